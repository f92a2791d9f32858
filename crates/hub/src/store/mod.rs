//! The hub's memory: one [`TaskStore`] over SQLite or PostgreSQL.
//!
//! Lives here: all SQL of the program, written once; where the databases differ stands in
//! `dialect.rs`. Must not be here: HTTP, git, scheduling by a client's clock.
//!
//! # Expected flow
//! 1. [`TaskStore::open`] brings the tables up to date.
//! 2. [`TaskStore::submit`] takes a graph in; tasks without open needs are ready.
//! 3. Agents are heard of ([`TaskStore::agent_heartbeat`]), [`TaskStore::claim`] tasks (or wait:
//!    [`TaskStore::claim_within`]), report by [`TaskStore::heartbeat`] and
//!    [`TaskStore::add_evidence`], and end with [`TaskStore::complete`] or [`TaskStore::fail`].
//! 4. One writer a branch merges what has a commit: [`TaskStore::claim_merges`] and what follows.
//! 5. Every hub calls [`TaskStore::sweep`] every second or so.
//! 6. Whoever follows reads [`TaskStore::events_after`], again whenever
//!    [`TaskStore::event_changes`] says so, and every [`POLL`] in any case.
//!
//! # Guarantees
//! - A task has one attempt at a time that counts. Each claim raises its epoch; a report with an
//!   older one is refused as [`StoreErrorKind::StaleLease`] and changes nothing.
//! - What follows from a report (dependants, conditions, the graph's end, events) happens in the
//!   transaction of the report, or not at all. An answer means that it is on the disk.
//! - The same call with the same idempotency key has the answer of the first one. Keys are the
//!   caller's: put the token's id in front when several callers share a store. Calls without a
//!   key parameter may simply be repeated.
//! - All times are the database's.
//! - Ids of events are seen in their order: whoever has read up to one has missed none before it.
//! - A future that is dropped leaves nothing half-done; what it asked for may still happen.
//!
//! # Assumptions
//! A graph was checked by whoever made it: no cycles. Texts were redacted by who sent them.
//!
//! # Errors
//! [`StoreError`] with a [`StoreErrorKind`]; [`StoreErrorKind::is_transient`] ones may be retried
//! with the same key.
//!
//! # Caveats
//! SQLite is for one hub; several processes may open the file, but only the one that changed
//! something is woken. Wake-ups between hubs (LISTEN and NOTIFY, Redis) are hints.

mod address;
mod agents;
mod approvals;
mod attempt_list;
mod attempts;
mod batch;
mod branches;
mod checkpoints;
mod claim;
mod claim_batch;
mod columns;
mod complete_batch;
mod conflicts;
mod connect;
mod counts;
mod dialect;
mod done_task;
mod driver;
mod epics;
mod error;
mod finish;
mod flakes;
mod graph_tasks;
mod graphs;
mod health;
mod listen;
mod logs;
mod merges;
mod migrate;
mod notifications;
mod operator;
mod outbox;
mod page;
#[cfg(test)]
mod plan_tests;
mod progress;
mod pubsub;
mod record;
mod report;
mod requests;
mod retention;
mod runs;
#[cfg(test)]
mod statement_tests;
mod sweep;
mod task_search;
mod tasks;
mod timeline;
mod tokens;
mod tx;
mod unserved;
mod value;
mod wake;
mod writer;

pub use approvals::ApprovalFilter;
pub use attempt_list::AttemptFilter;
pub use branches::SpentBranch;
pub use checkpoints::NewCheckpoint;
pub use conflicts::ConflictReport;
pub use connect::{StoreOptions, TaskStore};
pub use counts::TaskCount;
pub use error::{StoreError, StoreErrorKind};
pub use health::Dependency;
pub use logs::{LogSearch, LogWriter};
pub use merges::{
    GateRecord, MergeFilter, MergeQuestion, MergedCommit, NewHold, QueueEntry, QueueLease, Redo,
    TargetQueue, TargetRecord, UnapprovedMerge,
};
pub use notifications::{Delivery, SinkFilter};
pub use operator::{ActionFilter, ActionOutcome, AddedTask, OpenGraph, Operator, OperatorCommand};
pub use page::{Page, PageRequest};
pub use progress::Figures;
pub use report::{MergeFacts, ReportFacts, ShareFacts, TaskFacts};
pub use retention::{PURGE_ROWS, Purged, Retention};
pub use runs::{RunCursor, RunFilter};
pub use sweep::{SweepOptions, SweepResult};
pub use tasks::TaskFilter;
pub use tokens::{NewToken, Scope, TokenRequest, TokenView};
pub use unserved::{Unserved, UnservedTask};
pub use wake::{Changes, POLL};
