//! Target branches whose queue is on hold: one that does not pass its own gates, and one that
//! somebody moved other than forward. Nothing is counted against a task meanwhile.
//!
//! A hold is the branch's, not a hub's: every hub sees the same one, and it outlives them. Its
//! writer sets and lifts it; a person decides what becomes of a rewind.

use std::sync::Arc;
use std::time::Duration;

use super::attempts::set_ejected;
use super::connect::TaskStore;
use super::epics::POSITIONS;
use super::error::StoreError;
use super::graphs::reached;
use super::merges::{MergeLease, Then, superseded, take_dependants_along, told};
use super::records::{Moment, micros, moment};
use super::statement::{Record, args, list};
use super::tasks::revive;
use super::tx::{Done, NewEvent, Tx};
use greenloop_model::task::{
    GraphId, HoldDecision, HoldReason, Lease, MergeId, TaskEventKind, TaskId,
};

/// How long a tip that passed its gates is taken to pass them still, in microseconds.
const PASS_LASTS: i64 = 3_600_000_000;
/// Merges that are looked through for those that a rewind took away.
const MERGES: i64 = 1_000;

/// A queue that is on hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeHold {
    /// Why.
    pub reason: HoldReason,
    /// Where the target is; `None` when the branch was deleted.
    pub tip: Option<String>,
    /// Broken: the last commit that is known to pass. Rewound: where the target was left.
    pub expected: Option<String>,
    /// Broken: the commit since which it does not pass, or the tip when several come into
    /// question. Rewound: the new tip.
    pub commit: Option<String>,
    /// Who made that commit.
    pub author: Option<String>,
    /// For people.
    pub text: String,
    /// What a rewind took away, a line each.
    pub lost: Vec<String>,
    /// What a person wants.
    pub decision: Option<HoldDecision>,
    /// Since when.
    pub since: Moment,
    /// When the gates ran on the tip, as long as it is broken.
    pub tested_at: Moment,
}

/// A hold to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Why.
    pub reason: HoldReason,
    /// See [`MergeHold::tip`].
    pub tip: Option<String>,
    /// See [`MergeHold::expected`].
    pub expected: Option<String>,
    /// See [`MergeHold::commit`].
    pub commit: Option<String>,
    /// See [`MergeHold::author`].
    pub author: Option<String>,
    /// For people; redacted by who sends it.
    pub text: String,
    /// See [`MergeHold::lost`].
    pub lost: Vec<String>,
    /// Broken: entries whose merges with this very tip did not pass either. They are added to
    /// those of a hold on the same tip.
    pub tried: Vec<MergeId>,
}

/// What is known of a target branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRecord {
    /// Where it was seen last.
    pub tip: Option<String>,
    /// Why its queue is on hold.
    pub hold: Option<MergeHold>,
    /// How long ago the gates ran on the tip, when it is on hold.
    pub tested_for: Duration,
    /// Entries whose merges with the broken tip did not pass either.
    pub tried: Vec<MergeId>,
    /// What was taken back from it.
    pub rewound: Vec<String>,
}

/// A merge that a target has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedCommit {
    /// The entry.
    pub id: MergeId,
    /// What the target became.
    pub sha: String,
    /// The task: `1.3 Title`.
    pub title: String,
}

const HOLD: &str = "SELECT h.*, {now} - h.tested_at AS tested_us FROM merge_holds h \
    WHERE h.project_id = $1 AND h.target = $2";

impl TaskStore {
    /// What is known of a target branch, for its writer.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn target_record(&self, lease: &MergeLease) -> Result<TargetRecord, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let place = || args![lease.project, &lease.target];
        let row = tx
            .maybe(
                "SELECT COALESCE(tip, head) AS tip FROM merge_targets WHERE project_id = $1 \
                 AND target = $2 AND epoch = $3 AND holder IS NOT NULL",
                args![lease.project, &lease.target, lease.epoch],
            )
            .await?
            .ok_or_else(|| superseded(&lease.target))?;
        let held = tx.maybe(HOLD, place()).await?;
        let tested = held.as_ref().map(|it| it.count("tested_us")).transpose()?.unwrap_or(0);
        let rewound = tx
            .all("SELECT sha FROM merge_rewinds WHERE project_id = $1 AND target = $2", place())
            .await?;
        Ok(TargetRecord {
            tip: row.opt_text("tip")?,
            hold: held.as_ref().map(hold).transpose()?,
            tested_for: Duration::from_micros(tested),
            tried: held.as_ref().map(tried).transpose()?.unwrap_or_default(),
            rewound: rewound.iter().map(|it| it.text("sha")).collect::<Result<_, _>>()?,
        })
    }

    /// Writes down where the target is, after it moved forward.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn note_tip(&self, lease: &MergeLease, tip: &str) -> Result<(), StoreError> {
        let tip = tip.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let tip = tip.clone();
            Box::pin(async move {
                tx.run(
                    "UPDATE merge_targets SET tip = $3 WHERE project_id = $1 AND target = $2",
                    args![lease.project, &lease.target, &tip],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Puts the queue of a target on hold and lets the target go; its entries wait in their
    /// places. It is looked at again after `rest`.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn hold_merges(
        &self,
        lease: &MergeLease,
        new: &NewHold,
        rest: Duration,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((new.clone(), micros(rest)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { set_hold(tx, &lease, &asked.0, asked.1).await })
        })
        .await
    }

    /// Lets a target go for so long: nothing is wrong, and nothing can be merged now. `waits_for`
    /// says what its entries wait for, where no hold does.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn rest_merges(
        &self,
        lease: &MergeLease,
        rest: Duration,
        waits_for: Option<&str>,
    ) -> Result<(), StoreError> {
        let (rest, waits_for) = (micros(rest), waits_for.map(str::to_owned));
        self.as_writer(lease, move |tx, lease| {
            let waits_for = waits_for.clone();
            Box::pin(async move { let_go(tx, &lease, rest, waits_for.as_deref()).await })
        })
        .await
    }

    /// The merge of an entry with the broken tip did not pass: it waits at its place, and is not
    /// tried again before the tip moves.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn hold_tried(&self, lease: &MergeLease, id: MergeId) -> Result<(), StoreError> {
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move { add_tried(tx, &lease, id).await })
        })
        .await
    }

    /// The reason for the hold is gone: the queue goes on.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn lift_hold(&self, lease: &MergeLease, text: &str) -> Result<(), StoreError> {
        let text = text.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let text = text.clone();
            Box::pin(async move { lift(tx, &lease, &text).await })
        })
        .await
    }

    /// Whether a commit has passed these gates as it is, within so long and the last hour.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tip_passes(
        &self,
        lease: &MergeLease,
        sha: &str,
        gates: &[String],
        within: Duration,
    ) -> Result<bool, StoreError> {
        let within = micros(within).min(PASS_LASTS);
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let known = tx
            .maybe(
                "SELECT sha FROM tip_passes WHERE project_id = $1 AND target = $2 AND sha = $3 \
                 AND gates = $4 AND created_at > {now} - $5 \
                 UNION ALL SELECT m.merged FROM merge_queue m JOIN graphs g ON g.id = m.graph_id \
                 JOIN gate_records r ON r.project_id = m.project_id AND r.target = m.target \
                 AND r.sha = m.merged WHERE m.project_id = $1 AND m.target = $2 \
                 AND m.merged = $3 AND g.gates = $4 AND r.passed = 1 \
                 AND r.created_at > {now} - $5 LIMIT 1",
                args![lease.project, &lease.target, sha, list(gates), within],
            )
            .await?;
        Ok(known.is_some())
    }

    /// Writes down that a commit passes these gates as it is.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn note_tip_passes(
        &self,
        lease: &MergeLease,
        sha: &str,
        gates: &[String],
    ) -> Result<(), StoreError> {
        let asked = Arc::new((sha.to_owned(), list(gates)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                tx.run(
                    "INSERT INTO tip_passes (project_id, target, sha, gates, created_at) \
                     VALUES ($1, $2, $3, $4, {now}) ON CONFLICT (project_id, target, sha, gates) \
                     DO UPDATE SET created_at = excluded.created_at",
                    args![lease.project, &lease.target, &asked.0, &asked.1],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Which of these commits are known to have passed gates of the target, whichever these were.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn known_good(
        &self,
        lease: &MergeLease,
        shas: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT sha FROM gate_records WHERE project_id = $1 AND target = $2 \
                 AND passed = 1 AND sha IN {in $3} \
                 UNION SELECT sha FROM tip_passes WHERE project_id = $1 AND target = $2 \
                 AND sha IN {in $3}",
                args![lease.project, &lease.target, shas],
            )
            .await?;
        rows.iter().map(|it| it.text("sha")).collect()
    }

    /// The merges of a target, the latest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn merged_commits(
        &self,
        lease: &MergeLease,
    ) -> Result<Vec<MergedCommit>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx
            .all(
                "SELECT m.id, m.merged, t.key, t.title FROM merge_queue m \
                 JOIN tasks t ON t.id = m.task_id WHERE m.project_id = $1 AND m.target = $2 \
                 AND m.state = 'merged' ORDER BY m.ended_at DESC, m.id DESC LIMIT $3",
                args![lease.project, &lease.target, MERGES],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(MergedCommit {
                    id: MergeId(row.int("id")?),
                    sha: row.text("merged")?,
                    title: format!("{} {}", row.text("key")?, row.text("title")?),
                })
            })
            .collect()
    }

    /// Follows a rewind: what it took away is not merged any more, and its tasks are open again.
    /// Branches that stand on it are no longer merged.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn follow_rewind(
        &self,
        lease: &MergeLease,
        lost: &[MergeId],
        gone: &[String],
        tip: Option<&str>,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((lost.to_vec(), gone.to_vec(), tip.map(str::to_owned)));
        self.as_writer(lease, move |tx, lease| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (lost, gone, tip) = &*asked;
                follow(tx, &lease, lost, gone, tip.as_deref()).await
            })
        })
        .await
    }

    /// The entry cannot be merged through no fault of its task: it leaves, and the task is done
    /// again without an attempt being counted. After
    /// [`StoreOptions::max_returns`](super::StoreOptions::max_returns) of these, and at once when
    /// it is the merge of an epic's branch, which would be the same again, it waits for a person.
    ///
    /// # Errors
    /// `StaleLease`; `Conflict` when the entry is no longer in the queue.
    pub async fn redo_merge(
        &self,
        lease: &MergeLease,
        id: MergeId,
        reason: &str,
    ) -> Result<(), StoreError> {
        let most = i64::from(self.options().max_returns.max(1));
        self.leave_as(lease, id, reason, Then::AnewAtMost(most)).await
    }

    /// A person says what becomes of a queue that is on hold: `follow` and `restore` for a target
    /// that was rewound, `retry` for any. The name of the target's project, or none when only one
    /// project has such a target.
    ///
    /// # Errors
    /// `NotFound` when no such queue is on hold; `Conflict` when it is for another reason, or
    /// several projects have such a target.
    pub async fn decide_hold(
        &self,
        project: Option<&str>,
        target: Option<&str>,
        decision: HoldDecision,
    ) -> Result<(), StoreError> {
        let asked = Arc::new((project.map(str::to_owned), target.map(str::to_owned)));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(
                async move { decide(tx, asked.0.as_deref(), asked.1.as_deref(), decision).await },
            )
        })
        .await
    }
}

pub(super) fn hold(row: &Record) -> Result<MergeHold, StoreError> {
    let decision = row.opt_text("decision")?;
    Ok(MergeHold {
        reason: row.named("reason", HoldReason::from_name)?,
        tip: row.opt_text("tip")?,
        expected: row.opt_text("expected")?,
        commit: row.opt_text("commit_sha")?,
        author: row.opt_text("author")?,
        text: row.text("text")?,
        lost: row.list("lost")?,
        decision: decision.as_deref().and_then(HoldDecision::from_name),
        since: moment(row, "created_at")?,
        tested_at: moment(row, "tested_at")?,
    })
}

fn tried(row: &Record) -> Result<Vec<MergeId>, StoreError> {
    Ok(row.numbers("tried")?.into_iter().map(MergeId).collect())
}

async fn add_tried(tx: &mut Tx<'_>, lease: &MergeLease, id: MergeId) -> Done<()> {
    tx.run(
        "UPDATE merge_queue SET state = 'queued', staged = NULL, landing = NULL, \
         updated_at = {now} WHERE id = $1 AND project_id = $2 AND target = $3 \
         AND state = 'testing'",
        args![id.0, lease.project, &lease.target],
    )
    .await?;
    let Some(row) = tx.maybe(HOLD, args![lease.project, &lease.target]).await? else {
        return Ok(());
    };
    let mut all = row.numbers("tried")?;
    if !all.contains(&id.0) {
        all.push(id.0);
    }
    tx.run(
        "UPDATE merge_holds SET tried = $3 WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, all.as_slice()],
    )
    .await?;
    Ok(())
}

async fn let_go(
    tx: &mut Tx<'_>,
    lease: &MergeLease,
    rest: i64,
    waits_for: Option<&str>,
) -> Done<()> {
    tx.run(
        "UPDATE merge_targets SET holder = NULL, expires_at = 0, not_before = {now} + $3, \
         waits_for = $4 WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, rest, waits_for],
    )
    .await?;
    Ok(())
}

async fn set_hold(tx: &mut Tx<'_>, lease: &MergeLease, new: &NewHold, rest: i64) -> Done<()> {
    let row = tx.maybe(HOLD, args![lease.project, &lease.target]).await?;
    let before = row.as_ref().map(hold).transpose()?;
    let same = before.as_ref().is_some_and(|it| it.reason == new.reason && it.tip == new.tip);
    let mut all: Vec<i64> = new.tried.iter().map(|it| it.0).collect();
    if let Some(row) = row.filter(|_| same) {
        all.extend(row.numbers("tried")?);
        all.sort_unstable();
        all.dedup();
    }
    tx.run(
        "INSERT INTO merge_holds (project_id, target, reason, tip, expected, commit_sha, author, \
         text, lost, tried, decision, created_at, tested_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, {now}, {now}) \
         ON CONFLICT (project_id, target) DO UPDATE SET \
         created_at = CASE WHEN merge_holds.reason = excluded.reason \
            THEN merge_holds.created_at ELSE excluded.created_at END, \
         reason = excluded.reason, tip = excluded.tip, expected = excluded.expected, \
         commit_sha = excluded.commit_sha, author = excluded.author, text = excluded.text, \
         lost = excluded.lost, tried = excluded.tried, decision = NULL, tested_at = excluded.tested_at",
        args![
            lease.project,
            &lease.target,
            new.reason.name(),
            &new.tip,
            &new.expected,
            &new.commit,
            &new.author,
            &new.text,
            new.lost.as_slice(),
            all.as_slice(),
        ],
    )
    .await?;
    tx.run(
        "UPDATE merge_queue SET state = 'queued', staged = NULL, landing = NULL, \
         updated_at = {now} WHERE project_id = $1 AND target = $2 AND state = 'testing'",
        args![lease.project, &lease.target],
    )
    .await?;
    let_go(tx, lease, rest, None).await?;
    if !same || before.is_some_and(|it| it.text != new.text) {
        let text = format!("{}: {}", lease.target, new.text);
        tx.tell(NewEvent::new(TaskEventKind::MergePaused).text(text));
    }
    Ok(())
}

async fn lift(tx: &mut Tx<'_>, lease: &MergeLease, text: &str) -> Done<()> {
    let lifted = tx
        .run(
            "DELETE FROM merge_holds WHERE project_id = $1 AND target = $2",
            args![lease.project, &lease.target],
        )
        .await?;
    if lifted > 0 {
        let text = format!("{}: {text}", lease.target);
        tx.tell(NewEvent::new(TaskEventKind::MergeResumed).text(text));
    }
    Ok(())
}

async fn follow(
    tx: &mut Tx<'_>,
    lease: &MergeLease,
    lost: &[MergeId],
    gone: &[String],
    tip: Option<&str>,
) -> Done<()> {
    let place = || args![lease.project, &lease.target];
    for sha in gone {
        tx.run(
            "INSERT INTO merge_rewinds (project_id, target, sha, created_at) \
             VALUES ($1, $2, $3, {now}) ON CONFLICT (project_id, target, sha) DO NOTHING",
            args![lease.project, &lease.target, sha],
        )
        .await?;
    }
    let now = tip.map_or_else(
        || format!("{} was deleted", lease.target),
        |tip| format!("somebody moved {} back to {}", lease.target, short(tip)),
    );
    for id in lost {
        reopen(tx, lease, *id, &now).await?;
    }
    tx.run(
        "UPDATE merge_targets SET tip = $3, head = (SELECT m.merged FROM merge_queue m \
         WHERE m.project_id = $1 AND m.target = $2 AND m.state = 'merged' \
         ORDER BY m.ended_at DESC, m.id DESC LIMIT 1) WHERE project_id = $1 AND target = $2",
        args![lease.project, &lease.target, tip],
    )
    .await?;
    tx.run("DELETE FROM merge_holds WHERE project_id = $1 AND target = $2", place()).await?;
    let text = format!("{}: {now}; {} merges are open again", lease.target, lost.len());
    tx.tell(NewEvent::new(TaskEventKind::MergeResumed).text(text));
    Ok(())
}

fn short(sha: &str) -> &str {
    sha.get(..12).unwrap_or(sha)
}

/// A merge is not there any more: its task is open again, and what needs it waits again.
async fn reopen(tx: &mut Tx<'_>, lease: &MergeLease, id: MergeId, now: &str) -> Done<()> {
    let row = tx
        .maybe(
            "SELECT merged FROM merge_queue WHERE id = $1 AND project_id = $2 AND target = $3 \
             AND state = 'merged'",
            args![id.0, lease.project, &lease.target],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let reason = format!("{} was taken back: {now}", short(&row.text("merged")?));
    let entry = tx
        .one(
            "UPDATE merge_queue SET state = 'ejected', merged = NULL, landing = NULL, \
             reason = $2, updated_at = {now}, ended_at = {now} WHERE id = $1 \
             RETURNING task_id, epoch, graph_id",
            args![id.0, &reason],
        )
        .await?;
    let attempt = Lease { task: TaskId(entry.int("task_id")?), epoch: entry.int("epoch")? };
    tx.tell(told(TaskEventKind::MergeEjected, id, &entry)?.text(&reason));
    // The branch of an epic would only be merged again as it is: that is for a person to say.
    let task = tx
        .maybe(
            "UPDATE tasks SET state = CASE WHEN position >= $4 THEN 'blocked' \
             WHEN unmet = 0 THEN 'ready' ELSE 'waiting' END, reason = $3, attempts = 0, \
             deaths = 0, not_before = 0, commit_sha = NULL, ended_at = NULL, updated_at = {now} \
             WHERE id = (SELECT id FROM tasks WHERE id = $1 AND epoch = $2 AND state = 'done' \
             {lock end}) AND state = 'done' \
             RETURNING state, graph_id, epic_id, position, hours",
            args![attempt.task.0, attempt.epoch, &reason, POSITIONS],
        )
        .await?;
    let Some(task) = task else { return Ok(()) };
    let graph = GraphId(task.int("graph_id")?);
    set_ejected(tx, attempt, true).await?;
    let event = NewEvent::new(TaskEventKind::TaskReopened).graph(graph).lease(attempt).merge(id);
    tx.tell(event.text(&reason));
    tx.run(
        "UPDATE tasks SET unmet = unmet + 1, updated_at = {now}, \
         state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END WHERE id IN \
         (SELECT id FROM tasks WHERE id IN (SELECT task_id FROM dependencies WHERE needs_id = $1) \
         ORDER BY id {lock})",
        args![attempt.task.0],
    )
    .await?;
    if let Some(epic) = task.opt_int("epic_id")? {
        let row = tx
            .one(
                "UPDATE epics SET tasks_done = tasks_done - 1, hours_done = hours_done - $2 \
                 WHERE id = $1 RETURNING tasks, tasks_done, hours, hours_done",
                args![epic, task.real("hours")?],
            )
            .await?;
        let percent = reached(
            row.real("hours_done")?,
            row.real("hours")?,
            row.int("tasks_done")?,
            row.int("tasks")?,
        );
        fall_short(tx, epic, percent).await?;
    } else if task.int("position")? >= POSITIONS {
        let epic = tx
            .maybe(
                "SELECT id FROM epics WHERE graph_id = $1 AND position = $2",
                args![graph.0, task.int("position")? - POSITIONS],
            )
            .await?;
        if let Some(epic) = epic {
            fall_short(tx, epic.int("id")?, 99).await?;
        }
    }
    take_dependants_along(tx, attempt.task, Then::Anew).await?;
    revive(tx, graph).await?;
    match task.text("state")?.as_str() {
        "ready" => tx.tell(NewEvent::new(TaskEventKind::TaskReady).graph(graph).task(attempt.task)),
        "blocked" => {
            let event = NewEvent::new(TaskEventKind::TaskBlocked).graph(graph).lease(attempt);
            tx.tell(event.text(&reason));
        }
        _waiting => {}
    }
    Ok(())
}

/// An epic is not as far any more: conditions that it met are open again.
async fn fall_short(tx: &mut Tx<'_>, epic: i64, percent: i64) -> Done<()> {
    let open = tx
        .all(
            "UPDATE conditions SET met = 0 WHERE epic_id = $1 AND met = 1 AND at_least > $2 \
             RETURNING task_id",
            args![epic, percent],
        )
        .await?;
    for row in open {
        tx.run(
            "UPDATE tasks SET unmet = unmet + 1, updated_at = {now}, \
             state = CASE WHEN state = 'ready' THEN 'waiting' ELSE state END WHERE id = $1",
            args![row.int("task_id")?],
        )
        .await?;
    }
    Ok(())
}

async fn decide(
    tx: &mut Tx<'_>,
    project: Option<&str>,
    target: Option<&str>,
    decision: HoldDecision,
) -> Done<()> {
    let held = tx
        .all(
            "SELECT h.project_id, h.target, h.reason, p.name FROM merge_holds h \
             JOIN projects p ON p.id = h.project_id WHERE ($1 IS NULL OR p.name = $1) \
             AND ($2 IS NULL OR h.target = $2) ORDER BY p.name, h.target",
            args![project, target],
        )
        .await?;
    let [one] = held.as_slice() else {
        if held.is_empty() {
            return Err(StoreError::not_found("merge queue on hold of that name").into());
        }
        let names = held
            .iter()
            .map(|it| Ok(format!("{} of {}", it.text("target")?, it.text("name")?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let names = names.join(", ");
        return Err(StoreError::conflict(format!(
            "several merge queues are on hold ({names}): name the project and the target"
        ))
        .into());
    };
    let (id, target) = (one.int("project_id")?, one.text("target")?);
    let reason = one.named("reason", HoldReason::from_name)?;
    let kept = match (reason, decision) {
        (_, HoldDecision::Retry) => None,
        (HoldReason::TargetRewound, kept) => Some(kept.name()),
        (HoldReason::TargetBroken, HoldDecision::Follow | HoldDecision::Restore) => {
            return Err(StoreError::conflict(format!(
                "{target} was not rewound: it does not pass its gates; repair it, and the queue \
                 goes on by itself"
            ))
            .into());
        }
    };
    tx.run(
        "UPDATE merge_holds SET decision = $3, tested_at = 0, tried = '[]' \
         WHERE project_id = $1 AND target = $2",
        args![id, &target, kept],
    )
    .await?;
    tx.run(
        "UPDATE merge_targets SET not_before = 0 WHERE project_id = $1 AND target = $2",
        args![id, &target],
    )
    .await?;
    let text = format!("{target}: a person decides to {}", decision.name());
    tx.tell(NewEvent::new(TaskEventKind::MergePaused).text(text));
    Ok(())
}
