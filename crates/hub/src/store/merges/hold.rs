//! Target branches whose queue is on hold: one that does not pass its own gates, and one that
//! somebody moved other than forward. Nothing is counted against a task meanwhile.
//!
//! A hold is the branch's, not a hub's: every hub sees the same one, and it outlives them. Its writer
//! sets and lifts it; a person decides what becomes of a rewind.

use std::sync::Arc;
use std::time::Duration;

use super::lease::{QueueLease, release_queue, superseded};
use crate::store::columns::{micros, time};
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_hub_api::types::MergeHold;
use greenloop_model::task::{HoldDecision, HoldReason, MergeId, TaskEventKind};

/// A hold to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
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

const HOLD: &str = "SELECT h.*, {now} - h.tested_at AS tested_us FROM merge_holds h \
    WHERE h.project_id = $1 AND h.target = $2";

impl TaskStore {
    /// What is known of a target branch, for its writer.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn target_record(&self, lease: &QueueLease) -> Result<TargetRecord, StoreError> {
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
    pub async fn note_tip(&self, lease: &QueueLease, tip: &str) -> Result<(), StoreError> {
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
        lease: &QueueLease,
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

    /// The merge of an entry with the broken tip did not pass: it waits at its place, and is not
    /// tried again before the tip moves.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn hold_tried(&self, lease: &QueueLease, id: MergeId) -> Result<(), StoreError> {
        self.as_writer(lease, move |tx, lease| {
            Box::pin(async move { add_tried(tx, &lease, id).await })
        })
        .await
    }

    /// The reason for the hold is gone: the queue goes on.
    ///
    /// # Errors
    /// `StaleLease`.
    pub async fn lift_hold(&self, lease: &QueueLease, text: &str) -> Result<(), StoreError> {
        let text = text.to_owned();
        self.as_writer(lease, move |tx, lease| {
            let text = text.clone();
            Box::pin(async move { lift(tx, &lease, &text).await })
        })
        .await
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
            Box::pin(async move {
                decide(tx, asked.0.as_deref(), asked.1.as_deref(), decision).await.map(drop)
            })
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
        since: time(row, "created_at")?,
    })
}

fn tried(row: &Record) -> Result<Vec<MergeId>, StoreError> {
    Ok(row.numbers("tried")?.into_iter().map(MergeId).collect())
}

async fn add_tried(tx: &mut Tx<'_>, lease: &QueueLease, id: MergeId) -> Done<()> {
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

async fn set_hold(tx: &mut Tx<'_>, lease: &QueueLease, new: &NewHold, rest: i64) -> Done<()> {
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
    release_queue(tx, lease, rest, None).await?;
    if !same || before.is_some_and(|it| it.text != new.text) {
        let text = format!("{}: {}", lease.target, new.text);
        tx.emit(NewEvent::new(TaskEventKind::MergePaused).text(text));
    }
    Ok(())
}

async fn lift(tx: &mut Tx<'_>, lease: &QueueLease, text: &str) -> Done<()> {
    let lifted = tx
        .run(
            "DELETE FROM merge_holds WHERE project_id = $1 AND target = $2",
            args![lease.project, &lease.target],
        )
        .await?;
    if lifted > 0 {
        let text = format!("{}: {text}", lease.target);
        tx.emit(NewEvent::new(TaskEventKind::MergeResumed).text(text));
    }
    Ok(())
}

pub(in crate::store) async fn decide(
    tx: &mut Tx<'_>,
    project: Option<&str>,
    target: Option<&str>,
    decision: HoldDecision,
) -> Done<String> {
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
            return Err(StoreError::not_found("merge queue on hold with that name").into());
        }
        let names = held
            .iter()
            .map(|it| Ok(format!("{} of {}", it.text("target")?, it.text("name")?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let names = names.join(", ");
        return Err(StoreError::conflict(format!(
            "several merge queues are on hold ({names}): specify the project and the target"
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
                "{target} was not rewound, but fails its gates; repair it, and the queue \
                 continues by itself"
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
    let text = format!("{target}: a person decided to {}", decision.name());
    tx.emit(NewEvent::new(TaskEventKind::MergePaused).text(text));
    Ok(target)
}
