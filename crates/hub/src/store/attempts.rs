//! Reports on an attempt by whoever holds its lease: heartbeat, evidence, complete, fail.
//!
//! A report counts as long as the attempt is the task's current one and still runs. A lease that
//! has expired without anybody having taken notice is simply extended: the sweep of
//! [`super::sweep`] is what takes a task back.

use std::sync::Arc;

use super::columns::{lease_seconds, micros};
use super::connect::{StoreOptions, TaskStore};
use super::dialect::Dialect;
use super::done_task::done_task;
use super::epics::Destination;
use super::error::StoreError;
use super::finish::{release, settle_graph};
use super::record::Record;
use super::tx::{Done, NewEvent, Tx};
use super::value::args;
use greenloop_hub_api::types::{
    AttemptFailure, AttemptHeartbeat, AttemptLease, Completion, NewEvidence, Task,
};
use greenloop_model::task::{
    AttemptState, GraphId, Lease, MergeId, TaskEventKind, TaskId, TaskState,
};

/// The longest message, in bytes; longer ones are cut.
const MESSAGE: usize = 4096;
/// The longest body of a piece of evidence, in bytes.
const BODY: usize = 256 * 1024;

impl TaskStore {
    /// Extends a lease, and notes how far the work is.
    ///
    /// Needs no idempotency key: a second one does no harm.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn heartbeat(
        &self,
        lease: Lease,
        report: &AttemptHeartbeat,
    ) -> Result<AttemptLease, StoreError> {
        let report = Arc::new(AttemptHeartbeat {
            percent: report.percent.map(|it| it.min(100)),
            message: report.message.as_deref().map(cut),
        });
        self.write(move |tx| {
            let report = Arc::clone(&report);
            Box::pin(async move { heartbeat(tx, lease, &report).await })
        })
        .await
    }

    /// Adds a piece of evidence to an attempt; its id. The same `key` adds it once.
    ///
    /// # Errors
    /// `StaleLease`; `Invalid` when it is too long.
    pub async fn add_evidence(
        &self,
        lease: Lease,
        evidence: &NewEvidence,
        key: Option<&str>,
    ) -> Result<i64, StoreError> {
        if evidence.body.len() > BODY {
            return Err(StoreError::invalid("a piece of evidence is at most 256 KiB long"));
        }
        let asked = Arc::new((evidence.clone(), key.map(str::to_owned)));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { add_evidence(tx, lease, &asked.0, asked.1.as_deref()).await })
        })
        .await
    }

    /// Ends an attempt with success: the task is done, or goes to the merge queue when there is a
    /// commit. What waits for it becomes ready in the same transaction. The new state of the task.
    ///
    /// The same `key` gives the same answer again.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn complete(
        &self,
        lease: Lease,
        completion: &Completion,
        key: Option<&str>,
    ) -> Result<TaskState, StoreError> {
        self.completed(lease, completion, key, None).await.map(|it| it.state)
    }

    /// The same, reported with the token `by`, its id; the task as it is now.
    ///
    /// # Errors
    /// See [`complete`](Self::complete).
    pub async fn complete_task(
        &self,
        lease: Lease,
        completion: &Completion,
        key: Option<&str>,
        by: Option<&str>,
    ) -> Result<Task, StoreError> {
        match self.completed(lease, completion, key, by).await?.task {
            Some(task) => Ok(*task),
            None => self.task(lease.task).await,
        }
    }

    async fn completed(
        &self,
        lease: Lease,
        completion: &Completion,
        key: Option<&str>,
        by: Option<&str>,
    ) -> Result<Completed, StoreError> {
        let completion = completion.clone();
        let (key, by) = (key.map(str::to_owned), by.map(str::to_owned));
        let query = CompletionQuery { lease, completion, key, by };
        if self.dialect() == Dialect::Postgres && query.completion.commit.is_none() {
            return self.completions().submit(self, (), query).await;
        }
        self.complete_alone(query).await
    }

    /// Completes a task in a transaction of its own.
    pub(super) async fn complete_alone(
        &self,
        query: CompletionQuery,
    ) -> Result<Completed, StoreError> {
        let query = Arc::new(query);
        self.write(move |tx| {
            let query = Arc::clone(&query);
            Box::pin(async move { complete(tx, &query).await })
        })
        .await
    }

    /// Ends an attempt with a failure: the task is ready again after a rest, or given up. The new
    /// state of the task.
    ///
    /// An uncounted one leaves the task the attempts it had. A task that was given back by machines
    /// at fault, or because its repository was out of reach, [`StoreOptions::max_returns`] times,
    /// with no attempt between that counts, waits for a person: it may well be the cause. A worker
    /// that only stops says nothing of the task.
    ///
    /// The same `key` gives the same answer again.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn fail(
        &self,
        lease: Lease,
        failure: &AttemptFailure,
        key: Option<&str>,
    ) -> Result<TaskState, StoreError> {
        let mut failure = failure.clone();
        failure.message = cut(&failure.message);
        failure.quarantine = failure.quarantine.as_deref().map(cut);
        let asked = Arc::new((failure, key.map(str::to_owned), self.options().clone()));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (failure, key, options) = &*asked;
                fail(tx, lease, failure, key.as_deref(), options).await
            })
        })
        .await
    }
}

pub(super) fn stale(lease: Lease) -> StoreError {
    StoreError::stale(format!("attempt {} at task {} has ended", lease.epoch, lease.task))
}

fn cut(message: &str) -> String {
    let mut end = message.len().min(MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().to_owned()
}

async fn heartbeat(tx: &mut Tx<'_>, lease: Lease, report: &AttemptHeartbeat) -> Done<AttemptLease> {
    let percent = report.percent.map(i64::from);
    let extended = tx
        .maybe(
            "UPDATE attempts SET expires_at = {now} + lease_us WHERE task_id = $1 AND epoch = $2 \
             AND state = 'running' RETURNING lease_us, percent, message, agent",
            args![lease.task.0, lease.epoch],
        )
        .await?;
    let Some(row) = extended else {
        return cancelled(tx, lease).await;
    };
    let news = percent.is_some_and(|it| row.int("percent").is_ok_and(|before| before != it))
        || report.message.is_some() && report.message != row.opt_text("message")?;
    if news {
        let changed = tx
            .maybe(
                "UPDATE attempts SET percent = COALESCE($3, percent), \
                 message = COALESCE($4, message), progress_at = {now}, stuck = 0 \
                 WHERE task_id = $1 AND epoch = $2 RETURNING percent, \
                 (SELECT graph_id FROM tasks WHERE id = $1) AS graph_id",
                args![lease.task.0, lease.epoch, percent, &report.message],
            )
            .await?;
        if let Some(changed) = changed {
            let graph = GraphId(changed.int("graph_id")?);
            let mut event = NewEvent::new(TaskEventKind::TaskProgress)
                .graph(graph)
                .lease(lease)
                .agent(row.text("agent")?)
                .percent(changed.int("percent")?);
            if let Some(message) = &report.message {
                event = event.text(message);
            }
            tx.emit(event);
        }
    }
    Ok(AttemptLease { lease_seconds: lease_seconds(&row)?, cancel: false })
}

/// The lease of a cancelled attempt is over, but its agent is to know why.
async fn cancelled(tx: &mut Tx<'_>, lease: Lease) -> Done<AttemptLease> {
    let found = tx
        .maybe(
            "SELECT a.id FROM attempts a JOIN tasks t ON t.id = a.task_id \
             AND t.epoch = a.epoch WHERE a.task_id = $1 AND a.epoch = $2 \
             AND a.state = 'cancelled'",
            args![lease.task.0, lease.epoch],
        )
        .await?;
    match found {
        Some(_) => Ok(AttemptLease { lease_seconds: 0, cancel: true }),
        None => Err(stale(lease).into()),
    }
}

async fn add_evidence(
    tx: &mut Tx<'_>,
    lease: Lease,
    evidence: &NewEvidence,
    key: Option<&str>,
) -> Done<i64> {
    if key.is_some() {
        let before = tx
            .maybe(
                "SELECT id, kind, title FROM evidence \
                 WHERE task_id = $1 AND epoch = $2 AND request_key = $3",
                args![lease.task.0, lease.epoch, key],
            )
            .await?;
        if let Some(row) = before {
            let same =
                row.text("title")? == evidence.title && row.text("kind")? == evidence.kind.name();
            return if same { Ok(row.int("id")?) } else { Err(other_key().into()) };
        }
    }
    // First the task, then its attempt, as the reports that end it do.
    let task = tx
        .maybe(
            "SELECT graph_id FROM tasks WHERE id = $1 AND epoch = $2 {share}",
            args![lease.task.0, lease.epoch],
        )
        .await?
        .ok_or_else(|| stale(lease))?;
    let attempt = tx
        .maybe(
            "UPDATE attempts SET progress_at = {now}, stuck = 0 \
             WHERE task_id = $1 AND epoch = $2 AND state = 'running' RETURNING agent",
            args![lease.task.0, lease.epoch],
        )
        .await?
        .ok_or_else(|| stale(lease))?;
    let agent = attempt.text("agent")?;
    let id = tx
        .one(
            "INSERT INTO evidence (task_id, epoch, agent, kind, title, body, url, request_key, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, {now}) RETURNING id",
            args![
                lease.task.0,
                lease.epoch,
                &agent,
                evidence.kind.name(),
                &evidence.title,
                &evidence.body,
                &evidence.url,
                key,
            ],
        )
        .await?
        .int("id")?;
    let event = NewEvent::new(TaskEventKind::EvidenceAdded)
        .graph(GraphId(task.int("graph_id")?))
        .lease(lease)
        .agent(agent)
        .text(format!("{}: {}", evidence.kind, evidence.title));
    tx.emit(event);
    Ok(id)
}

fn other_key() -> StoreError {
    StoreError::conflict("the idempotency key was used for another request")
}

/// The task's state, when this very report came in before.
async fn ended_before(
    tx: &mut Tx<'_>,
    lease: Lease,
    key: Option<&str>,
    same: impl Fn(&Record) -> Result<bool, StoreError>,
) -> Done<Option<TaskState>> {
    if key.is_none() {
        return Ok(None);
    }
    let row = tx
        .maybe(
            "SELECT * FROM attempts WHERE task_id = $1 AND epoch = $2 AND end_key = $3",
            args![lease.task.0, lease.epoch, key],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    if !same(&row)? {
        return Err(other_key().into());
    }
    Ok(Some(row.named("outcome", TaskState::from_name)?))
}

/// The report that ends an attempt with success.
#[derive(Debug, Clone)]
pub(super) struct CompletionQuery {
    pub(super) lease: Lease,
    pub(super) completion: Completion,
    pub(super) key: Option<String>,
    /// The id of the token that it came with.
    pub(super) by: Option<String>,
}

impl CompletionQuery {
    /// What is kept of the summary.
    pub(super) fn summary(&self) -> String {
        cut(&self.completion.summary)
    }
}

/// What a completion came to. `task` is absent when the report came in before.
pub(super) struct Completed {
    pub(super) state: TaskState,
    pub(super) task: Option<Box<Task>>,
}

async fn complete(tx: &mut Tx<'_>, query: &CompletionQuery) -> Done<Completed> {
    let CompletionQuery { lease, completion, key, by } = query;
    let (lease, key) = (*lease, key.as_deref());
    let commit = &completion.commit;
    let state = if commit.is_some() { TaskState::Merging } else { TaskState::Done };
    let ended = tx
        .maybe(
            "UPDATE tasks SET state = $3, commit_sha = COALESCE($4, commit_sha), \
             reason = NULL, updated_at = {now}, \
             ended_at = CASE WHEN $3 = 'done' THEN {now} ELSE NULL END \
             WHERE id = (SELECT id FROM tasks WHERE id = $1 AND epoch = $2 \
             AND state = 'running' {lock end}) AND epoch = $2 AND state = 'running' \
             RETURNING id, graph_id, epic_id, position, hours, dependants",
            args![lease.task.0, lease.epoch, state.name(), commit],
        )
        .await?;
    let Some(row) = ended else {
        let before = ended_before(tx, lease, key, |row| {
            Ok(!matches!(row.text("state")?.as_str(), "failed" | "returned")
                && row.opt_text("commit_sha")? == *commit)
        });
        let state = before.await?.ok_or_else(|| stale(lease))?;
        return Ok(Completed { state, task: None });
    };
    let done = done_task(&row)?;
    let attempt = tx
        .maybe(
            "UPDATE attempts SET state = 'succeeded', percent = 100, message = $3, \
             commit_sha = $4, end_key = $5, outcome = $6, branch = $7, ended_at = {now} \
             WHERE task_id = $1 AND epoch = $2 AND state = 'running' \
             RETURNING agent, {now} - started_at AS worked",
            args![
                lease.task.0,
                lease.epoch,
                cut(&completion.summary),
                commit,
                key,
                state.name(),
                &completion.branch,
            ],
        )
        .await?
        .ok_or_else(|| stale(lease))?;
    count(tx, &attempt, AttemptState::Succeeded).await?;
    let agent = attempt.text("agent")?;
    match commit {
        Some(commit) => {
            let branch = completion.branch.clone().unwrap_or_else(|| lease.branch());
            let work = (branch.as_str(), commit.as_str());
            let merge = enqueue(tx, done.graph, lease, work, by.as_deref()).await?;
            let event = NewEvent::new(TaskEventKind::TaskMerging).graph(done.graph).lease(lease);
            tx.emit(event.agent(agent).merge(merge).text(commit));
        }
        None => {
            let event = NewEvent::new(TaskEventKind::TaskDone).graph(done.graph).lease(lease);
            tx.emit(event.agent(agent).text(cut(&completion.summary)));
            release(tx, &done).await?;
        }
    }
    let task = super::tasks::one(tx, lease.task).await?;
    Ok(Completed { state, task: Some(Box::new(task)) })
}

/// Puts a commit into the queue of the branch that its task ends in.
async fn enqueue(
    tx: &mut Tx<'_>,
    graph: GraphId,
    lease: Lease,
    work: (&str, &str),
    by: Option<&str>,
) -> Done<MergeId> {
    let place = tx
        .one(
            "SELECT g.project_id, COALESCE(e.branch, g.target) AS target FROM tasks t \
             JOIN graphs g ON g.id = t.graph_id LEFT JOIN epics e ON e.id = t.epic_id \
             WHERE t.id = $1",
            args![lease.task.0],
        )
        .await?;
    let place =
        Destination { project: place.int("project_id")?, target: place.text("target")?, graph };
    super::epics::enqueue(tx, &place, lease, work, by).await
}

async fn fail(
    tx: &mut Tx<'_>,
    lease: Lease,
    failure: &AttemptFailure,
    key: Option<&str>,
    options: &StoreOptions,
) -> Done<TaskState> {
    let current = tx
        .maybe(
            "SELECT id FROM tasks WHERE id = $1 AND epoch = $2 AND state = 'running' {lock end}",
            args![lease.task.0, lease.epoch],
        )
        .await?;
    if current.is_none() {
        let before = ended_before(tx, lease, key, |row| {
            Ok(matches!(row.text("state")?.as_str(), "failed" | "returned")
                && row.opt_text("message")?.as_deref() == Some(failure.message.as_str()))
        });
        return before.await?.ok_or_else(|| stale(lease).into());
    }
    let state = if failure.uncounted { AttemptState::Returned } else { AttemptState::Failed };
    let attempt = tx
        .maybe(
            "UPDATE attempts SET state = $7, message = $3, class = $4, fingerprint = $5, \
             end_key = $6, ended_at = {now} \
             WHERE task_id = $1 AND epoch = $2 AND state = 'running' \
             RETURNING agent, instance, {now} - started_at AS worked",
            args![
                lease.task.0,
                lease.epoch,
                &failure.message,
                &failure.class,
                &failure.fingerprint,
                key,
                state.name(),
            ],
        )
        .await?
        .ok_or_else(|| stale(lease))?;
    count(tx, &attempt, state).await?;
    let agent = attempt.text("agent")?;
    if let Some(reason) = &failure.quarantine {
        super::agents::quarantine(tx, &agent, &attempt.text("instance")?, reason).await?;
    }
    let end = AttemptEnd {
        lease,
        agent: &agent,
        reason: &failure.message,
        retry: failure.retry || failure.uncounted,
        uncounted: failure.uncounted,
        fault: failure.quarantine.is_some() || failure.unreachable,
        death: false,
        event: TaskEventKind::TaskRetry,
    };
    let state = set_back(tx, &end, options).await?;
    tx.run(
        "UPDATE attempts SET outcome = $3 WHERE task_id = $1 AND epoch = $2",
        args![lease.task.0, lease.epoch, state.name()],
    )
    .await?;
    Ok(state)
}

/// An attempt that failed or was lost.
pub(super) struct AttemptEnd<'a> {
    pub(super) lease: Lease,
    pub(super) agent: &'a str,
    pub(super) reason: &'a str,
    /// Whether another attempt makes sense at all.
    pub(super) retry: bool,
    /// Whether the attempt does not count.
    pub(super) uncounted: bool,
    /// Whether the agent's machine is at fault, or its way to the task's repository.
    pub(super) fault: bool,
    /// Whether its agent was lost over it.
    pub(super) death: bool,
    /// What is reported when there will be another attempt.
    pub(super) event: TaskEventKind,
}

/// Makes a task ready again after a rest, or gives it up. The caller holds the task's row.
pub(super) async fn set_back(
    tx: &mut Tx<'_>,
    end: &AttemptEnd<'_>,
    options: &StoreOptions,
) -> Done<TaskState> {
    let row = tx
        .one(
            "SELECT graph_id, attempts, max_attempts, deaths, returns FROM tasks WHERE id = $1",
            args![end.lease.task.0],
        )
        .await?;
    let graph = GraphId(row.int("graph_id")?);
    if end.uncounted {
        let returns = row.int("returns")? + i64::from(end.fault);
        return give_back(tx, end, graph, returns, options).await;
    }
    let attempts = row.int("attempts")?;
    let deaths = row.int("deaths")? + i64::from(end.death);
    let again = end.retry
        && attempts < row.int("max_attempts")?
        && (!end.death || deaths < i64::from(options.max_deaths.max(1)));
    let state = if again { TaskState::Ready } else { TaskState::Failed };
    // Ready again, unless its graph is paused.
    let row = tx.one(
        "UPDATE tasks SET state = CASE WHEN $2 = 'ready' AND unmet > 0 THEN 'waiting' ELSE $2 END, \
         reason = $3, deaths = $4, returns = 0, \
         not_before = CASE WHEN $2 = 'ready' AND $5 > 0 THEN {now} + $5 ELSE 0 END, updated_at = {now}, \
         ended_at = CASE WHEN $2 = 'failed' THEN {now} ELSE NULL END WHERE id = $1 \
         RETURNING state",
        args![end.lease.task.0, state.name(), end.reason, deaths, rest(attempts, options)],
    )
    .await?;
    let state = row.named("state", TaskState::from_name)?;
    let event =
        |kind| NewEvent::new(kind).graph(graph).lease(end.lease).agent(end.agent).text(end.reason);
    if again {
        tx.emit(event(end.event));
    } else {
        if end.death {
            tx.emit(event(end.event));
        }
        tx.emit(event(TaskEventKind::TaskFailed));
        settle_graph(tx, graph).await?;
    }
    Ok(state)
}

/// Makes a task ready again that was given back, by machines at fault `returns` times by now, as if
/// the attempt had not been; its reason stays what the last attempt that counts left. One that went
/// back and forth too often waits for a person.
async fn give_back(
    tx: &mut Tx<'_>,
    end: &AttemptEnd<'_>,
    graph: GraphId,
    returns: i64,
    options: &StoreOptions,
) -> Done<TaskState> {
    let again = !end.fault || returns < i64::from(options.max_returns.max(1));
    let state = if again { TaskState::Ready } else { TaskState::Blocked };
    let blocked = format!("returned {returns} times without a counted attempt: {}", end.reason);
    let row = tx.one(
        "UPDATE tasks SET state = CASE WHEN $2 = 'ready' AND unmet > 0 THEN 'waiting' ELSE $2 END, \
         reason = COALESCE($3, reason), returns = $4, \
         attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END, \
         not_before = CASE WHEN $2 = 'ready' AND $5 > 0 THEN {now} + $5 ELSE 0 END, updated_at = {now} \
         WHERE id = $1 RETURNING state",
        args![
            end.lease.task.0,
            state.name(),
            (!again).then_some(blocked.as_str()),
            returns,
            rest(returns, options),
        ],
    )
    .await?;
    let state = row.named("state", TaskState::from_name)?;
    let (kind, text) = match again {
        true => (end.event, end.reason),
        false => (TaskEventKind::TaskBlocked, blocked.as_str()),
    };
    tx.emit(NewEvent::new(kind).graph(graph).lease(end.lease).agent(end.agent).text(text));
    Ok(state)
}

/// Adds an attempt that ended to its agent's figures; `attempt` has its `agent` and how long it
/// `worked`.
pub(super) async fn count(tx: &mut Tx<'_>, attempt: &Record, end: AttemptState) -> Done<()> {
    let (succeeded, failed): (i64, i64) = match end {
        AttemptState::Succeeded => (1, 0),
        AttemptState::Failed | AttemptState::Lost => (0, 1),
        AttemptState::Running
        | AttemptState::Cancelled
        | AttemptState::Ejected
        | AttemptState::Returned => (0, 0),
    };
    tx.run(
        "UPDATE agents SET succeeded = succeeded + $2, failed = failed + $3, \
         worked_us = worked_us + $4 WHERE name = $1",
        args![attempt.text("agent")?, succeeded, failed, attempt.int("worked")?],
    )
    .await?;
    Ok(())
}

/// The work of an attempt that succeeded leaves the merge queue (`ejected`), or is back in it.
pub(super) async fn set_ejected(tx: &mut Tx<'_>, lease: Lease, ejected: bool) -> Done<()> {
    let (state, change) = match ejected {
        true => (AttemptState::Ejected, -1_i64),
        false => (AttemptState::Succeeded, 1),
    };
    let attempt = tx
        .maybe(
            "UPDATE attempts SET state = $3 WHERE task_id = $1 AND epoch = $2 AND state <> $3 \
             RETURNING agent",
            args![lease.task.0, lease.epoch, state.name()],
        )
        .await?;
    if let Some(attempt) = attempt {
        tx.run(
            "UPDATE agents SET succeeded = succeeded + $2 WHERE name = $1",
            args![attempt.text("agent")?, change],
        )
        .await?;
    }
    Ok(())
}

/// How long a task rests after so many attempts, in microseconds: twice as long each time.
fn rest(attempts: i64, options: &StoreOptions) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 32) - 1).unwrap_or(0);
    let factor = 1_i64.checked_shl(doublings).unwrap_or(i64::MAX);
    micros(options.retry_base).saturating_mul(factor).min(micros(options.retry_cap))
}

/// A task id for a message.
pub(super) fn lease_of(row: &Record) -> Result<Lease, StoreError> {
    Ok(Lease { task: TaskId(row.int("task_id")?), epoch: row.int("epoch")? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_task_rests_twice_as_long_each_time_up_to_a_cap() {
        let options = StoreOptions {
            retry_base: Duration::from_secs(5),
            retry_cap: Duration::from_secs(60),
            ..StoreOptions::default()
        };
        let seconds: Vec<i64> = [1, 2, 3, 4, 5, 99].map(|it| rest(it, &options) / 1_000_000).into();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let long = "é".repeat(MESSAGE);
        assert_eq!(cut(&long).len(), MESSAGE);
        assert_eq!(cut(&format!("a{long}")).len(), MESSAGE - 1);
        assert_eq!(cut("short"), "short");
    }
}
