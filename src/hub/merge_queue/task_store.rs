//! The hub's store as the merge queue sees it.

use std::time::Duration;

use async_trait::async_trait;

use super::store::{Entry, GateVerdict, Lane, MergeStore, MergeStoreError, Writer};
use crate::adapters::store::{
    GateRecord, MergeLease, MergeView, StoreError, StoreErrorKind, TaskStore,
};
use crate::model::CommitId;

/// Characters of a gate's evidence that are kept with its verdict.
const DETAIL: usize = 16_000;

fn lease(writer: &Writer) -> MergeLease {
    let Writer { lane, epoch } = writer;
    MergeLease { project: lane.project, target: lane.target.clone(), epoch: *epoch }
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

async fn entry(store: &TaskStore, writer: &Writer, view: MergeView) -> Option<Entry> {
    let task = store.task(view.lease.task).await.ok()?;
    let graph = store.graph(view.graph).await.ok()?;
    Some(Entry {
        id: view.id,
        task: view.lease.task,
        title: format!("{} {}", task.key, task.title),
        branch: view.branch,
        commit: view.commit.parse().ok()?,
        gates: view.gates,
        base: (graph.target != writer.lane.target).then_some(graph.target),
        landing: view.landing.and_then(|commit| commit.parse().ok()),
    })
}

#[async_trait]
impl MergeStore for TaskStore {
    async fn take(&self, holder: &str, lasts: Duration) -> Result<Option<Writer>, MergeStoreError> {
        let Some(turn) = self.claim_merges(holder, lasts).await? else { return Ok(None) };
        let MergeLease { project, target, epoch } = turn.lease;
        let lane = Lane { project, repository: turn.repository.unwrap_or_default(), target };
        Ok(Some(Writer { lane, epoch }))
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
            match entry(self, writer, view).await {
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

    async fn conflict(
        &self,
        writer: &Writer,
        entry: &Entry,
        text: &str,
    ) -> Result<(), MergeStoreError> {
        Ok(self.merge_conflict(&lease(writer), entry.id, text, true).await?)
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
