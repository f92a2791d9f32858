//! Merge queues: one for each target branch, with one leased writer at a time.
//!
//! The writer takes the branch with [`TaskStore::claim_merges`](super::TaskStore::claim_merges); every
//! call of it carries that lease, and one that somebody else has taken over meanwhile changes
//! nothing. The order of an entry's life: `queued`, `testing` with the commit that the gates run on,
//! about to be pushed (`landing`), which needs a passing gate record of that very commit, `merged`.
//! A writer that dies between the two last steps leaves the commit in `landing`: the next one looks
//! whether the target has it.

mod approval;
mod entry;
mod hold;
mod lease;
mod list;
mod passes;
mod redo;
mod removal;
mod rewind;

pub use approval::{MergeQuestion, UnapprovedMerge};
pub(super) use approval::{approve, expire, note_entry, note_rules, reject, wake_targets};
pub use entry::{GateRecord, QueueEntry};
pub(super) use hold::decide;
pub use hold::{NewHold, TargetRecord};
pub use lease::{QueueLease, TargetQueue};
pub use list::MergeFilter;
pub(super) use list::no_entry;
#[cfg(test)]
pub(super) use list::{ENTRIES, ENTRY};
pub use redo::Redo;
pub(super) use removal::{eject, requeue};
pub use rewind::MergedCommit;
