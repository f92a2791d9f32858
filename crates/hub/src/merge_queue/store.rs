//! What the merge queue needs of the store, so that its tests can do without a database.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::{
    ConflictReport, GateRecord, LogWriter, MergeQuestion, MergedCommit, NewHold, QueueEntry,
    QueueLease, Redo, StoreError, TargetRecord, TaskStore, UnapprovedMerge,
};
use greenloop_model::task::{Lease, MergeId, TaskId};

/// The trait, and its implementation by the methods of the same names.
macro_rules! merge_store {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// The methods of [`TaskStore`] that the merge queue calls; see there. Every change is
        /// made under a [`QueueLease`] that is still held, or not at all.
        #[async_trait]
        pub trait MergeStore: Send + Sync {
            $(
                #[doc = concat!("See [`TaskStore::", stringify!($name), "`].")]
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError>;
            )*
        }

        #[async_trait]
        impl MergeStore for TaskStore {
            $(
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    TaskStore::$name(self, $($argument),*).await
                }
            )*
        }
    };
}

merge_store! {
    fn claim_merges(holder: &str, lease: Duration) -> Option<QueueLease>;
    fn watch_merges(holder: &str, lease: Duration, every: Duration) -> Option<QueueLease>;
    fn repositories() -> Vec<String>;
    fn known_merges(ids: &[i64]) -> Vec<i64>;
    fn extend_merges(lease: &QueueLease, by: Duration) -> ();
    fn release_merges(lease: &QueueLease) -> ();
    fn pause_merges(lease: &QueueLease, rest: Duration, reason: &str) -> ();
    fn rest_merges(lease: &QueueLease, rest: Duration, waits_for: Option<&str>) -> ();
    fn next_merges(lease: &QueueLease, limit: u32) -> Vec<QueueEntry>;
    fn merge_testing(lease: &QueueLease, id: MergeId, staged: &str) -> ();
    fn record_gates(lease: &QueueLease, record: &GateRecord) -> ();
    fn merge_landing(lease: &QueueLease, id: MergeId, sha: &str) -> ();
    fn ask_for_approval(lease: &QueueLease, id: MergeId, question: &MergeQuestion) -> ();
    fn unapproved_merges(lease: &QueueLease) -> Vec<UnapprovedMerge>;
    fn want_approval(lease: &QueueLease, id: MergeId) -> bool;
    fn merge_refused(lease: &QueueLease, id: MergeId) -> ();
    fn merge_landed(lease: &QueueLease, id: MergeId, sha: &str) -> ();
    fn merge_found(lease: &QueueLease, id: MergeId, sha: &str) -> ();
    fn merge_ejected(lease: &QueueLease, id: MergeId, reason: &str, retry: bool) -> ();
    fn merge_conflicting(lease: &QueueLease, id: MergeId, report: &ConflictReport) -> ();
    fn redo_merge(lease: &QueueLease, id: MergeId, reason: &str) -> ();
    fn note_gate_failure(lease: &QueueLease, id: MergeId, title: &str, body: &str) -> ();
    fn append_log(
        lease: Lease,
        source: &str,
        writer: LogWriter,
        offset: Option<u64>,
        text: &str
    ) -> u64;
    fn redos(lease: &QueueLease) -> Vec<Redo>;
    fn add_to_brief(lease: &QueueLease, task: TaskId, text: &str) -> ();
    fn target_record(lease: &QueueLease) -> TargetRecord;
    fn note_tip(lease: &QueueLease, tip: &str) -> ();
    fn hold_merges(lease: &QueueLease, new: &NewHold, rest: Duration) -> ();
    fn hold_tried(lease: &QueueLease, id: MergeId) -> ();
    fn lift_hold(lease: &QueueLease, text: &str) -> ();
    fn tip_passes(lease: &QueueLease, sha: &str, gates: &[String], within: Duration) -> bool;
    fn note_tip_passes(lease: &QueueLease, sha: &str, gates: &[String]) -> ();
    fn known_good(lease: &QueueLease, shas: &[String]) -> Vec<String>;
    fn merged_commits(lease: &QueueLease) -> Vec<MergedCommit>;
    fn follow_rewind(
        lease: &QueueLease,
        lost: &[MergeId],
        gone: &[String],
        tip: Option<&str>
    ) -> ();
}
