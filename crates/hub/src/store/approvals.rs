//! Decisions that people are asked for.
//!
//! # Guarantees
//! - At most one request about the same thing is pending: the same run that asks again about the
//!   same trees, by the same policy, finds its request, or the consent that it has not heard of yet.
//! - A request that is pending is decided by [`TaskStore::act`] only, which records who did it.
//! - Who asks keeps a lease. One that is not heard of for as long has its request withdrawn, and
//!   takes it up again when it comes back before the request expires.

use std::sync::Arc;
use std::time::Duration;

use super::columns::{micros, small, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::merges::{self, MergeQuestion};
use super::page::{Page, PageRequest};
use super::record::Record;
use super::requests::{fingerprint, remember, replayed};
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_hub_api::types::{
    Action, Approval, ApprovalSubmission, Task, TaskSubmission, Timestamp,
};
use greenloop_model::task::{GraphId, Lease, MergeId, TaskEventKind, TaskId};
use greenloop_model::{ApprovalState, ApprovalSubject};

/// How long a consent holds that the run which asked has not heard of.
const CONSENT_LASTS: Duration = Duration::from_secs(3600);
/// Requests that one sweep ends at most; the next one goes on.
const ENDED: i64 = 200;

/// Which requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// In this state.
    pub state: Option<ApprovalState>,
    /// Of this run.
    pub run: Option<String>,
    /// About this graph or one of its tasks.
    pub graph: Option<GraphId>,
    /// About this task.
    pub task: Option<TaskId>,
}

impl TaskStore {
    /// Asks for a decision for the holder of `token`, its id. The same `key` asks once.
    ///
    /// # Errors
    /// `Conflict` for a key that was used for another request.
    pub async fn request_approval(
        &self,
        asked: &ApprovalSubmission,
        token: &str,
        key: Option<&str>,
    ) -> Result<Approval, StoreError> {
        let print = fingerprint("approval.request", asked);
        let asked = Arc::new((asked.clone(), token.to_owned(), key.map(str::to_owned), print));
        let id = self
            .write(move |tx| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    let (submission, token, key, print) = &*asked;
                    if let Some(before) = replayed::<i64>(tx, key.as_deref(), print).await? {
                        return Ok(before);
                    }
                    let id = request(tx, submission, token).await?;
                    remember(tx, key.as_deref(), print, &id).await?;
                    Ok(id)
                })
            })
            .await?;
        self.approval(id).await
    }

    /// One request, with its texts.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn approval(&self, id: i64) -> Result<Approval, StoreError> {
        let mut reader = self.reader().await?;
        let row = reader
            .tx()
            .maybe(
                "SELECT a.*, COALESCE((SELECT w.agent FROM merge_queue q JOIN attempts w \
                 ON w.task_id = q.task_id AND w.epoch = q.epoch WHERE q.id = a.merge_id), \
                 (SELECT t.name FROM tokens t WHERE t.id = a.token)) AS requested_by \
                 FROM approvals a WHERE a.id = $1",
                args![id],
            )
            .await?;
        row.as_ref().map(view).transpose()?.ok_or_else(|| missing(id))
    }

    /// The id of the token that asked.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn approval_token(&self, id: i64) -> Result<String, StoreError> {
        let mut reader = self.reader().await?;
        let row = reader.tx().maybe("SELECT token FROM approvals WHERE id = $1", args![id]).await?;
        row.ok_or_else(|| missing(id))?.text("token")
    }

    /// Requests, latest first, without their texts.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
        page: PageRequest,
    ) -> Result<Page<Approval>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader
            .tx()
            .all(
                "SELECT id, scope, subject, state, run, environment, iteration, graph_id, task_id, \
                 merge_id, commit_sha, base_tree, new_tree, policy, request, '' AS diff, \
                 '' AS evidence, '' AS review, created_at, expires_at, ended_at, decided_by, \
                 reason, COALESCE((SELECT w.agent FROM merge_queue q JOIN attempts w \
                 ON w.task_id = q.task_id AND w.epoch = q.epoch WHERE q.id = approvals.merge_id), \
                 (SELECT t.name FROM tokens t WHERE t.id = approvals.token)) AS requested_by FROM approvals WHERE id < $1 AND ($2 IS NULL OR state = $2) \
                 AND ($3 IS NULL OR run = $3) AND ($4 IS NULL OR graph_id = $4) \
                 AND ($5 IS NULL OR task_id = $5) ORDER BY id DESC LIMIT $6",
                args![
                    page.cursor.unwrap_or(i64::MAX),
                    filter.state.map(ApprovalState::name),
                    &filter.run,
                    filter.graph.map(|it| it.0),
                    filter.task.map(|it| it.0),
                    page.limit() + 1,
                ],
            )
            .await?;
        let found = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(found, |approval| approval.id))
    }

    /// Who asked still waits. Takes a request up again that was withdrawn because nobody had heard
    /// of who asked.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn renew_approval(&self, id: i64) -> Result<ApprovalState, StoreError> {
        self.write(move |tx| Box::pin(renew(tx, id))).await
    }

    /// Where a request stands.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn approval_state(&self, id: i64) -> Result<ApprovalState, StoreError> {
        let mut reader = self.reader().await?;
        let row = reader.tx().maybe("SELECT state FROM approvals WHERE id = $1", args![id]).await?;
        row.ok_or_else(|| missing(id))?.named("state", ApprovalState::from_name)
    }

    /// Who asked waits no longer. What is decided stays so, and what a task waits for is decided.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn withdraw_approval(&self, id: i64, reason: &str) -> Result<Approval, StoreError> {
        let reason = reason.to_owned();
        self.write(move |tx| {
            let reason = reason.clone();
            Box::pin(async move {
                let withdrawn = tx
                    .maybe(
                        "UPDATE approvals SET state = 'withdrawn', lost = 0, reason = $2, \
                         ended_at = {now} WHERE id = $1 AND state = 'pending' AND task_id = 0 \
                         RETURNING id, state, graph_id, task_id, merge_id",
                        args![id, &reason],
                    )
                    .await?;
                if let Some(row) = withdrawn {
                    ended(tx, &row)?;
                }
                Ok(())
            })
        })
        .await?;
        self.approval(id).await
    }

    /// Ends requests that expired, and those of runs that were not heard of until their lease
    /// expired, or for `grace` longer.
    pub(super) async fn sweep_approvals(&self, grace: Duration) -> Result<(), StoreError> {
        let grace = micros(grace);
        let due = "SELECT id FROM approvals WHERE state = 'pending' \
            AND (expires_at > 0 AND expires_at <= {now} \
            OR lease_until > 0 AND lease_until < {now} - $1) LIMIT 1";
        if self.reader().await?.tx().maybe(due, args![grace]).await?.is_none() {
            return Ok(());
        }
        self.write(move |tx| Box::pin(end_due(tx, grace))).await
    }
}

pub(super) fn missing(id: i64) -> StoreError {
    StoreError::not_found(format_args!("request for approval {id}"))
}

async fn request(tx: &mut Tx<'_>, asked: &ApprovalSubmission, token: &str) -> Done<i64> {
    let scope = scope_of(asked);
    let known = tx
        .maybe(
            "SELECT id FROM approvals WHERE scope = $1 AND (state = 'pending' \
             OR state = 'withdrawn' AND lost = 1 AND expires_at > {now} \
             OR state = 'approved' AND ended_at > {now} - $2) ORDER BY id DESC LIMIT 1",
            args![&scope, micros(CONSENT_LASTS)],
        )
        .await?;
    if let Some(row) = known {
        let id = row.int("id")?;
        // Who asks has another token now, if a pipeline's was renewed meanwhile.
        tx.run(
            "INSERT INTO approval_requesters (approval_id, token) SELECT id, token FROM approvals \
             WHERE id = $1 AND token <> $2 ON CONFLICT (approval_id, token) DO NOTHING",
            args![id, token],
        )
        .await?;
        tx.run("UPDATE approvals SET token = $2 WHERE id = $1", args![id, token]).await?;
        renew(tx, id).await?;
        return Ok(id);
    }
    let seconds = |seconds: u32| micros(Duration::from_secs(seconds.into()));
    let ApprovalSubmission {
        run,
        environment,
        subject,
        iteration,
        commit,
        base_tree,
        new_tree,
        policy,
        request,
        diff,
        evidence,
        review,
        timeout_seconds,
        lease_seconds,
    } = asked;
    let made = tx
        .maybe(
            "INSERT INTO approvals (scope, subject, state, token, run, environment, iteration, \
             graph_id, task_id, merge_id, commit_sha, base_tree, new_tree, policy, request, diff, \
             evidence, review, created_at, expires_at, lease_until, lease_us, lost, ended_at, \
             decided_by, decided_token, reason) VALUES ($1, $2, 'pending', $3, $4, $5, $6, 0, 0, 0, \
             $7, $8, $9, $10, $11, $12, $13, $14, {now}, {now} + $15, {now} + $16, $16, 0, 0, '', \
             '', '') ON CONFLICT (scope) WHERE state = 'pending' DO NOTHING RETURNING id",
            args![
                &scope,
                subject.name(),
                token,
                run,
                environment,
                i64::from(*iteration),
                commit.as_deref().unwrap_or_default(),
                base_tree,
                new_tree,
                policy,
                request,
                diff,
                evidence,
                review,
                seconds(*timeout_seconds),
                seconds(*lease_seconds),
            ],
        )
        .await?;
    let Some(row) = made else {
        // Another call was faster.
        let id = "SELECT id FROM approvals WHERE scope = $1 AND state = 'pending'";
        return Ok(tx.one(id, args![&scope]).await?.int("id")?);
    };
    let id = row.int("id")?;
    wanted(tx, id, environment, request);
    Ok(id)
}

fn wanted(tx: &mut Tx<'_>, id: i64, environment: &str, request: &str) {
    let line = request.lines().next().unwrap_or_default();
    let text = format!("{}{id}: {environment}: {line}", PREFIX);
    tx.emit(NewEvent::new(TaskEventKind::ApprovalWanted).text(text));
}

/// What the text of an event about a request begins with, before its id.
const PREFIX: &str = "approval ";

/// The request that an event is about.
pub(super) fn of_event(text: &str) -> Option<i64> {
    text.strip_prefix(PREFIX)?.split_once(':')?.0.parse().ok()
}

/// The latest request about the start of a task, which is the one that counts.
pub(super) struct StartRequest {
    pub(super) id: i64,
    pub(super) state: ApprovalState,
    pub(super) scope: String,
    /// The id of the token that asked.
    pub(super) token: String,
}

pub(super) async fn start_request(tx: &mut Tx<'_>, task: TaskId) -> Done<Option<StartRequest>> {
    let latest = tx
        .maybe(
            "SELECT id, state, scope, token FROM approvals WHERE task_id = $1 AND task_id > 0 \
             AND subject = 'task' ORDER BY id DESC LIMIT 1",
            args![task.0],
        )
        .await?;
    let request = |row: Record| -> Result<StartRequest, StoreError> {
        Ok(StartRequest {
            id: row.int("id")?,
            state: row.named("state", ApprovalState::from_name)?,
            scope: row.text("scope")?,
            token: row.text("token")?,
        })
    };
    Ok(latest.map(request).transpose()?)
}

/// Whether a task that is open again may start. If its start is to be approved and is not, it is
/// blocked instead, and asked about unless that is pending.
pub(super) async fn may_start(tx: &mut Tx<'_>, task: TaskId) -> Done<bool> {
    let Some(latest) = start_request(tx, task).await? else { return Ok(true) };
    if latest.state == ApprovalState::Approved {
        return Ok(true);
    }
    tx.run(
        "UPDATE tasks SET state = 'blocked' WHERE id = $1 AND state IN ('ready', 'waiting')",
        args![task.0],
    )
    .await?;
    if latest.state != ApprovalState::Pending {
        ask_anew(tx, task, &latest.token).await?;
    }
    Ok(false)
}

/// Asks about a task as it is now.
pub(super) async fn ask_anew(tx: &mut Tx<'_>, task: TaskId, token: &str) -> Done<()> {
    let task = super::tasks::one(tx, task).await?;
    ask_for_task(tx, task.graph, task.id, &submission(&task), token).await
}

/// The scope of a request about a task as it is now.
pub(super) async fn start_scope(tx: &mut Tx<'_>, task: TaskId) -> Done<String> {
    let shown = super::tasks::one(tx, task).await?;
    Ok(StartQuestion::of(task, &submission(&shown)).scope)
}

/// What a request says of a task.
fn submission(task: &Task) -> TaskSubmission {
    TaskSubmission {
        description: task.description.clone(),
        files: task.files.clone(),
        ..TaskSubmission::new(&task.key, &task.title, task.action.clone())
    }
}

struct StartQuestion {
    request: String,
    evidence: String,
    scope: String,
}

impl StartQuestion {
    fn of(id: TaskId, task: &TaskSubmission) -> Self {
        let TaskSubmission { key, title, description, files, action, .. } = task;
        let request = format!("start task {key} {title}? (it requires approval)");
        let mut evidence = description.clone();
        if !files.is_empty() {
            evidence.push_str(&format!("\n\nFiles: {}", files.join(", ")));
        }
        if let Action::Command(command) = action {
            evidence.push_str(&format!("\n\n{command}\n"));
        }
        let scope = digest(&("task", id, &request, &evidence));
        Self { request, evidence, scope }
    }
}

/// Asks whether a task may start, which is blocked until somebody decides. `token` is the id of the
/// one that it came with.
pub(super) async fn ask_for_task(
    tx: &mut Tx<'_>,
    graph: GraphId,
    task: TaskId,
    submission: &TaskSubmission,
    token: &str,
) -> Done<()> {
    let StartQuestion { request, evidence, scope } = StartQuestion::of(task, submission);
    let made = tx
        .one(
            "INSERT INTO approvals (scope, subject, state, token, run, environment, iteration, \
             graph_id, task_id, merge_id, commit_sha, base_tree, new_tree, policy, request, diff, \
             evidence, review, created_at, expires_at, lease_until, lease_us, lost, ended_at, \
             decided_by, decided_token, reason) VALUES ($1, 'task', 'pending', $6, '', '', 0, $2, \
             $3, 0, '', '', '', '', $4, '', $5, '', {now}, 0, 0, 0, 0, 0, '', '', '') \
             RETURNING id",
            args![scope, graph.0, task.0, &request, evidence.trim(), token,],
        )
        .await?;
    let id = made.int("id")?;
    tx.run(
        "UPDATE tasks SET reason = $2 WHERE id = $1",
        args![task.0, format!("waits for a person to approve its start: request {id}")],
    )
    .await?;
    let text = format!("{PREFIX}{id}: {request}");
    tx.emit(NewEvent::new(TaskEventKind::ApprovalWanted).graph(graph).task(task).text(text));
    Ok(())
}

/// What an entry of a merge queue asks.
pub(super) struct MergeRequest<'a> {
    pub(super) merge: MergeId,
    pub(super) lease: Lease,
    pub(super) graph: i64,
    pub(super) project: i64,
    pub(super) target: &'a str,
    pub(super) key: String,
    pub(super) title: String,
    pub(super) branch: String,
    pub(super) commit: String,
    /// The token that handed the commit in; empty for the hub itself.
    pub(super) token: String,
    /// Who did the work.
    pub(super) agent: Option<String>,
    /// What they say of it.
    pub(super) summary: String,
    pub(super) question: &'a MergeQuestion,
    /// Microseconds after which the request expires.
    pub(super) lasts: i64,
}

/// Asks whether an entry, which waits from now on, is merged. Another commit is another request.
pub(super) async fn ask_for_merge(tx: &mut Tx<'_>, asked: &MergeRequest<'_>) -> Done<()> {
    let MergeRequest {
        merge,
        lease,
        graph,
        project,
        target,
        key,
        title,
        branch,
        commit,
        token,
        agent,
        summary,
        question: MergeQuestion { staged: _, base_tree, new_tree, diff, evidence },
        lasts,
    } = asked;
    let question = format!("merge task {key} {title} into {target}? (it requires approval)");
    let by = agent.as_ref().map(|agent| format!(", by {agent}")).unwrap_or_default();
    let mut request = format!("{question}\n  {branch} at {commit}{by}");
    if !summary.trim().is_empty() {
        request.push_str(&format!("\n\n{}", summary.trim_end()));
    }
    let scope = digest(&("merge", project, target, lease, commit));
    let made = tx
        .one(
            "INSERT INTO approvals (scope, subject, state, token, run, environment, iteration, \
             graph_id, task_id, merge_id, commit_sha, base_tree, new_tree, policy, request, diff, \
             evidence, review, created_at, expires_at, lease_until, lease_us, lost, ended_at, \
             decided_by, decided_token, reason) VALUES ($1, 'merge', 'pending', $2, '', '', 0, $3, \
             $4, $5, $6, $7, $8, '', $9, $10, $11, '', {now}, {now} + $12, 0, 0, 0, 0, '', '', '') \
             RETURNING id",
            args![
                scope,
                token,
                *graph,
                lease.task.0,
                merge.0,
                commit,
                base_tree,
                new_tree,
                request,
                diff,
                evidence,
                *lasts,
            ],
        )
        .await?;
    let id = made.int("id")?;
    tx.run(
        "UPDATE tasks SET reason = $3, updated_at = {now} WHERE id = $1 AND epoch = $2 \
         AND state = 'merging'",
        args![
            lease.task.0,
            lease.epoch,
            format!("waits for a person to approve its merge: request {id}"),
        ],
    )
    .await?;
    let text = format!("{PREFIX}{id}: {question}");
    let event = NewEvent::new(TaskEventKind::ApprovalWanted).graph(GraphId(*graph)).lease(*lease);
    tx.emit(event.merge(*merge).text(text));
    Ok(())
}

/// Whose pending requests.
#[derive(Debug, Clone, Copy)]
pub(super) enum PendingOf {
    Task(TaskId),
    /// All tasks of it.
    Graph(GraphId),
    Merge(MergeId),
}

/// It was decided elsewhere, or is over: the request is withdrawn.
pub(super) async fn settle(tx: &mut Tx<'_>, of: PendingOf, reason: &str) -> Done<()> {
    let (sql, id) = match of {
        PendingOf::Task(task) => (
            "UPDATE approvals SET state = 'withdrawn', ended_at = {now}, reason = $2 \
             WHERE task_id = $1 AND task_id > 0 AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            task.0,
        ),
        PendingOf::Graph(graph) => (
            "UPDATE approvals SET state = 'withdrawn', ended_at = {now}, reason = $2 \
             WHERE graph_id = $1 AND graph_id > 0 AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            graph.0,
        ),
        PendingOf::Merge(merge) => (
            "UPDATE approvals SET state = 'withdrawn', ended_at = {now}, reason = $2 \
             WHERE merge_id = $1 AND merge_id > 0 AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            merge.0,
        ),
    };
    for row in &tx.all(sql, args![id, reason]).await? {
        ended(tx, row)?;
    }
    Ok(())
}

/// What is decided on. Two requests with the same scope are the same.
fn scope_of(asked: &ApprovalSubmission) -> String {
    let ApprovalSubmission {
        run,
        subject,
        iteration,
        base_tree,
        new_tree,
        policy,
        request,
        environment: _,
        commit: _,
        diff: _,
        evidence: _,
        review: _,
        timeout_seconds: _,
        lease_seconds: _,
    } = asked;
    let what = (run, subject, iteration, base_tree, new_tree, policy, request);
    digest(&what)
}

pub(super) fn digest(what: &impl std::fmt::Debug) -> String {
    blake3::hash(format!("{what:?}").as_bytes()).to_hex()[..32].to_owned()
}

async fn renew(tx: &mut Tx<'_>, id: i64) -> Done<ApprovalState> {
    tx.run(
        "UPDATE approvals SET state = 'pending', lost = 0, ended_at = 0, reason = '', \
         lease_until = {now} + lease_us WHERE id = $1 AND lease_us > 0 AND expires_at > {now} \
         AND (state = 'pending' OR state = 'withdrawn' AND lost = 1 AND NOT EXISTS (\
         SELECT 1 FROM approvals o WHERE o.scope = approvals.scope AND o.state = 'pending'))",
        args![id],
    )
    .await?;
    let row = tx.maybe("SELECT state FROM approvals WHERE id = $1", args![id]).await?;
    Ok(row.ok_or_else(|| missing(id))?.named("state", ApprovalState::from_name)?)
}

async fn end_due(tx: &mut Tx<'_>, grace: i64) -> Done<()> {
    let expired = tx
        .all(
            "UPDATE approvals SET state = 'expired', ended_at = {now} WHERE id IN (\
             SELECT id FROM approvals WHERE state = 'pending' AND expires_at > 0 \
             AND expires_at <= {now} ORDER BY id LIMIT $1 {lock free}) AND state = 'pending' \
             RETURNING id, state, graph_id, task_id, merge_id",
            args![ENDED],
        )
        .await?;
    let lost = tx
        .all(
            "UPDATE approvals SET state = 'withdrawn', lost = 1, ended_at = {now}, \
             reason = 'the run that asked is not heard of any more' WHERE id IN (\
             SELECT id FROM approvals WHERE state = 'pending' AND lease_until > 0 \
             AND lease_until < {now} - $2 ORDER BY id LIMIT $1 {lock free}) AND state = 'pending' \
             AND lease_until < {now} - $2 RETURNING id, state, graph_id, task_id, merge_id",
            args![ENDED, grace],
        )
        .await?;
    for row in expired.iter().chain(&lost) {
        ended(tx, row)?;
    }
    for row in &expired {
        if let Some(merge) = some(row, "merge_id")? {
            merges::expire(tx, MergeId(merge)).await?;
        }
    }
    Ok(())
}

/// Says that a request is pending no more: `row` has its `id`, `state`, `graph_id`, `task_id` and
/// `merge_id`.
pub(super) fn ended(tx: &mut Tx<'_>, row: &Record) -> Result<(), StoreError> {
    let text = format!("{PREFIX}{}: {}", row.int("id")?, row.text("state")?);
    let mut event = NewEvent::new(TaskEventKind::ApprovalEnded).text(text);
    if let Some(graph) = some(row, "graph_id")? {
        event = event.graph(GraphId(graph));
    }
    if let Some(task) = some(row, "task_id")? {
        event = event.task(TaskId(task));
    }
    if let Some(merge) = some(row, "merge_id")? {
        event = event.merge(MergeId(merge));
    }
    tx.emit(event);
    Ok(())
}

/// A number that is 0 where there is none.
pub(super) fn some(row: &Record, column: &str) -> Result<Option<i64>, StoreError> {
    Ok(Some(row.int(column)?).filter(|it| *it != 0))
}

fn view(row: &Record) -> Result<Approval, StoreError> {
    let text = |column: &str| -> Result<Option<String>, StoreError> {
        Ok(Some(row.text(column)?).filter(|it| !it.is_empty()))
    };
    Ok(Approval {
        id: row.int("id")?,
        subject: row.named("subject", ApprovalSubject::from_name)?,
        state: row.named("state", ApprovalState::from_name)?,
        scope: row.text("scope")?,
        run: text("run")?,
        environment: text("environment")?,
        iteration: small(row, "iteration")?,
        graph: some(row, "graph_id")?.map(GraphId),
        task: some(row, "task_id")?.map(TaskId),
        merge: some(row, "merge_id")?.map(MergeId),
        commit: text("commit_sha")?,
        base_tree: text("base_tree")?,
        new_tree: text("new_tree")?,
        policy: text("policy")?,
        request: row.text("request")?,
        diff: row.text("diff")?,
        evidence: row.text("evidence")?,
        review: row.text("review")?,
        created_at: time(row, "created_at")?,
        expires_at: some(row, "expires_at")?.map(Timestamp),
        ended_at: some(row, "ended_at")?.map(Timestamp),
        requested_by: row.opt_text("requested_by")?,
        decided_by: text("decided_by")?,
        reason: row.text("reason")?,
    })
}
