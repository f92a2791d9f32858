//! The hub's store as the merge queue sees it.

use std::time::Duration;

use async_trait::async_trait;

use super::store::{
    Entry, FoundConflict, GateVerdict, Hold, Landed, Lane, MergeStore, MergeStoreError, NewHold,
    Redo, Target, Writer,
};
use crate::store::{
    GateRecord, MergeLease, MergeTurn, MergeView, StoreError, StoreErrorKind, TaskStore,
};
use greenloop_model::CommitId;
use greenloop_model::task::{MergeId, TaskId};

/// Characters of a gate's evidence that are kept with its verdict.
const DETAIL: usize = 16_000;

fn lease(writer: &Writer) -> MergeLease {
    let Writer { lane, epoch } = writer;
    MergeLease { project: lane.project, target: lane.target.clone(), epoch: *epoch }
}

fn writer(turn: MergeTurn) -> Writer {
    let MergeLease { project, target, epoch } = turn.lease;
    let lane = Lane { project, repository: turn.repository.unwrap_or_default(), target };
    Writer { lane, epoch }
}

impl From<StoreError> for MergeStoreError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::StaleLease => Self::Superseded(error.message),
            // The entry has changed under the writer's hands: a person ejected it, say.
            StoreErrorKind::Conflict | StoreErrorKind::NotFound => Self::Gone(error.message),
            StoreErrorKind::Invalid
            | StoreErrorKind::Busy
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Corrupt => Self::Store(Box::new(error)),
        }
    }
}

/// `None` for one that no writer can merge: its commit is none, or its task is not there.
async fn entry(
    store: &TaskStore,
    writer: &Writer,
    view: MergeView,
) -> Result<Option<Entry>, StoreError> {
    let Ok(commit) = view.commit.parse() else { return Ok(None) };
    let found = async { Ok((store.task(view.lease.task).await?, store.graph(view.graph).await?)) };
    let (task, graph) = match found.await {
        Ok(found) => found,
        Err(StoreError { kind: StoreErrorKind::NotFound, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(Entry {
        id: view.id,
        task: view.lease.task,
        title: format!("{} {}", task.key, task.title),
        branch: view.branch,
        commit,
        gates: view.gates,
        base: (graph.target != writer.lane.target).then_some(graph.target),
        landing: view.landing.and_then(|commit| commit.parse().ok()),
    }))
}

#[async_trait]
impl MergeStore for TaskStore {
    async fn take(&self, holder: &str, lasts: Duration) -> Result<Option<Writer>, MergeStoreError> {
        Ok(self.claim_merges(holder, lasts).await?.map(writer))
    }

    async fn watch(
        &self,
        holder: &str,
        lasts: Duration,
        every: Duration,
    ) -> Result<Option<Writer>, MergeStoreError> {
        Ok(self.watch_merges(holder, lasts, every).await?.map(writer))
    }

    async fn repositories(&self) -> Result<Vec<String>, MergeStoreError> {
        Ok(TaskStore::repositories(self).await?)
    }

    async fn known(&self, ids: &[i64]) -> Result<Vec<i64>, MergeStoreError> {
        Ok(self.known_merges(ids).await?)
    }

    async fn keep(&self, writer: &Writer, lasts: Duration) -> Result<(), MergeStoreError> {
        self.extend_merges(&lease(writer), lasts).await?;
        Ok(())
    }

    async fn release(&self, writer: &Writer) -> Result<(), MergeStoreError> {
        Ok(self.release_merges(&lease(writer)).await?)
    }

    async fn entries(&self, writer: &Writer, most: usize) -> Result<Vec<Entry>, MergeStoreError> {
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        let mut entries = Vec::new();
        for view in self.next_merges(&lease(writer), limit).await? {
            let id = view.id;
            match entry(self, writer, view).await? {
                Some(entry) => entries.push(entry),
                None => {
                    let reason = "what is in the queue is no commit of a task";
                    self.merge_ejected(&lease(writer), id, reason, false).await?;
                }
            }
        }
        Ok(entries)
    }

    async fn testing(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        Ok(self.merge_testing(&lease(writer), entry.id, commit.as_str()).await?)
    }

    async fn judged(
        &self,
        writer: &Writer,
        _entry: &Entry,
        verdict: &GateVerdict,
    ) -> Result<(), MergeStoreError> {
        let GateVerdict { commit, passed, headline, evidence } = verdict;
        let detail = format!("{headline}\n{evidence}").chars().take(DETAIL).collect();
        let record = GateRecord { sha: commit.to_string(), passed: *passed, detail };
        Ok(self.record_gates(&lease(writer), &record).await?)
    }

    async fn landing(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        Ok(self.merge_landing(&lease(writer), entry.id, commit.as_str()).await?)
    }

    async fn merged(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        Ok(self.merge_landed(&lease(writer), entry.id, commit.as_str()).await?)
    }

    async fn target(&self, writer: &Writer) -> Result<Target, MergeStoreError> {
        let record = self.target_record(&lease(writer)).await?;
        let commit = |text: String| text.parse().ok();
        Ok(Target {
            expected: record.tip.and_then(commit),
            hold: record.hold.map(|it| Hold {
                reason: it.reason,
                tip: it.tip.and_then(commit),
                decision: it.decision,
                tested_for: record.tested_for,
                tried: record.tried,
            }),
            rewound: record.rewound.into_iter().filter_map(commit).collect(),
        })
    }

    async fn note_tip(&self, writer: &Writer, tip: &CommitId) -> Result<(), MergeStoreError> {
        Ok(TaskStore::note_tip(self, &lease(writer), tip.as_str()).await?)
    }

    async fn hold(
        &self,
        writer: &Writer,
        hold: &NewHold,
        rest: Duration,
    ) -> Result<(), MergeStoreError> {
        let text = |commit: &Option<CommitId>| commit.as_ref().map(ToString::to_string);
        let NewHold { reason, tip, expected, commit, author, text: why, lost, tried } = hold;
        let hold = crate::store::NewHold {
            reason: *reason,
            tip: text(tip),
            expected: text(expected),
            commit: text(commit),
            author: author.clone(),
            text: why.clone(),
            lost: lost.clone(),
            tried: tried.clone(),
        };
        Ok(self.hold_merges(&lease(writer), &hold, rest).await?)
    }

    async fn rest(
        &self,
        writer: &Writer,
        rest: Duration,
        waits_for: Option<&str>,
    ) -> Result<(), MergeStoreError> {
        Ok(self.rest_merges(&lease(writer), rest, waits_for).await?)
    }

    async fn tried(&self, writer: &Writer, entry: &Entry) -> Result<(), MergeStoreError> {
        Ok(self.hold_tried(&lease(writer), entry.id).await?)
    }

    async fn refused(&self, writer: &Writer, entry: &Entry) -> Result<(), MergeStoreError> {
        Ok(self.merge_refused(&lease(writer), entry.id).await?)
    }

    async fn lift(&self, writer: &Writer, text: &str) -> Result<(), MergeStoreError> {
        Ok(self.lift_hold(&lease(writer), text).await?)
    }

    async fn passes(
        &self,
        writer: &Writer,
        commit: &CommitId,
        gates: &[String],
        within: Duration,
    ) -> Result<bool, MergeStoreError> {
        Ok(self.tip_passes(&lease(writer), commit.as_str(), gates, within).await?)
    }

    async fn note_passes(
        &self,
        writer: &Writer,
        commit: &CommitId,
        gates: &[String],
    ) -> Result<(), MergeStoreError> {
        Ok(self.note_tip_passes(&lease(writer), commit.as_str(), gates).await?)
    }

    async fn known_good(
        &self,
        writer: &Writer,
        commits: &[CommitId],
    ) -> Result<Vec<CommitId>, MergeStoreError> {
        let shas: Vec<String> = commits.iter().map(ToString::to_string).collect();
        let good = TaskStore::known_good(self, &lease(writer), &shas).await?;
        Ok(good.into_iter().filter_map(|it| it.parse().ok()).collect())
    }

    async fn landed(&self, writer: &Writer) -> Result<Vec<Landed>, MergeStoreError> {
        let merged = self.merged_commits(&lease(writer)).await?;
        let landed = |it: crate::store::MergedCommit| {
            Some(Landed { id: it.id, commit: it.sha.parse().ok()?, title: it.title })
        };
        Ok(merged.into_iter().filter_map(landed).collect())
    }

    async fn follow(
        &self,
        writer: &Writer,
        lost: &[MergeId],
        gone: &[CommitId],
        tip: Option<&CommitId>,
    ) -> Result<(), MergeStoreError> {
        let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
        let tip = tip.map(|it| it.as_str());
        Ok(self.follow_rewind(&lease(writer), lost, &gone, tip).await?)
    }

    async fn redo(
        &self,
        writer: &Writer,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), MergeStoreError> {
        Ok(self.redo_merge(&lease(writer), entry.id, reason).await?)
    }

    async fn conflict(
        &self,
        writer: &Writer,
        entry: &Entry,
        conflict: &FoundConflict,
    ) -> Result<(), MergeStoreError> {
        let FoundConflict { text, files, brief } = conflict.clone();
        let report = crate::store::ConflictReport { reason: text, files, brief };
        Ok(self.merge_conflicting(&lease(writer), entry.id, &report).await?)
    }

    async fn redos(&self, writer: &Writer) -> Result<Vec<Redo>, MergeStoreError> {
        let redos = TaskStore::redos(self, &lease(writer)).await?;
        let redo = |it: crate::store::Redo| {
            let crate::store::Redo { task, key, place, files, unclaimed, queued } = it;
            Redo { task, key, place, files, unclaimed, queued }
        };
        Ok(redos.into_iter().map(redo).collect())
    }

    async fn tell_redo(
        &self,
        writer: &Writer,
        task: TaskId,
        text: &str,
    ) -> Result<(), MergeStoreError> {
        Ok(TaskStore::tell_redo(self, &lease(writer), task, text).await?)
    }

    async fn eject(
        &self,
        writer: &Writer,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), MergeStoreError> {
        Ok(self.merge_ejected(&lease(writer), entry.id, reason, true).await?)
    }

    async fn pause(
        &self,
        writer: &Writer,
        reason: &str,
        lasts: Duration,
    ) -> Result<(), MergeStoreError> {
        Ok(self.pause_merges(&lease(writer), lasts, reason).await?)
    }
}
