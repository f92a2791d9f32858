//! Tasks, and what becomes of them in a hub.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::words::named;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The sum of hours of work; 0.0 of none. The standard library's sum of no numbers is -0.0, which
/// would be printed with its sign.
pub fn total_hours(hours: impl IntoIterator<Item = f64>) -> f64 {
    hours.into_iter().sum::<f64>() + 0.0
}

number_id!(
    /// One submitted graph.
    GraphId
);
number_id!(
    /// One task of one graph.
    TaskId
);
number_id!(
    /// One entry of a merge queue.
    MergeId
);
number_id!(
    /// One event of the outbox: later events have larger ids.
    EventId
);

named!(
    /// Where a task stands.
    TaskState {
        /// What it needs is not there yet.
        Waiting = "waiting",
        /// It can be claimed.
        Ready = "ready",
        /// An agent holds its lease.
        Running = "running",
        /// Its branch is in the merge queue.
        Merging = "merging",
        /// A person must decide.
        Blocked = "blocked",
        /// Finished, and merged when it had a commit.
        Done = "done",
        /// Given up.
        Failed = "failed",
        /// A person ended it.
        Cancelled = "cancelled",
    }
);

impl TaskState {
    /// Whether nothing happens to the task any more unless a person asks for it.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

named!(
    /// Where an attempt at a task stands.
    AttemptState {
        /// Its lease is held.
        Running = "running",
        /// The agent reported success.
        Succeeded = "succeeded",
        /// The agent reported a failure.
        Failed = "failed",
        /// Its lease expired.
        Lost = "lost",
        /// The task was cancelled meanwhile.
        Cancelled = "cancelled",
        /// Its branch was thrown out of the merge queue.
        Ejected = "ejected",
        /// The agent gave the task back for a reason of its own machine: it does not count.
        Returned = "returned",
    }
);

named!(
    /// Where a graph stands.
    GraphState {
        /// Something can still run.
        Running = "running",
        /// All its tasks are done.
        Done = "done",
        /// A task failed and nothing else can run.
        Failed = "failed",
        /// A person ended it.
        Cancelled = "cancelled",
    }
);

named!(
    /// Where an entry of the merge queue stands.
    MergeState {
        /// Waiting for its turn.
        Queued = "queued",
        /// Merged to a staging ref, the gates run on that commit.
        Testing = "testing",
        /// Its gates passed, and a person has to approve the merge.
        Waiting = "waiting",
        /// The target branch has it.
        Merged = "merged",
        /// It cannot be merged with the target as it is.
        Conflict = "conflict",
        /// Thrown out: its gates failed, or what it depends on was thrown out.
        Ejected = "ejected",
    }
);

named!(
    /// Why a merge queue is on hold.
    HoldReason {
        /// The target does not pass its own gates.
        TargetBroken = "target_broken",
        /// The target was moved other than forward.
        TargetRewound = "target_rewound",
    }
);

named!(
    /// What a person wants of a merge queue that is on hold.
    HoldDecision {
        /// The target stays where it was moved to: what is missing there is open again.
        Follow = "follow",
        /// The target gets back what it had.
        Restore = "restore",
        /// Look again now.
        Retry = "retry",
    }
);

named!(
    /// What a worker does.
    AgentState {
        /// It waits for work.
        Idle = "idle",
        /// It has a task.
        Working = "working",
        /// It finishes what it has and takes no more.
        Draining = "draining",
        /// A heartbeat is overdue.
        Stale = "stale",
        /// Three heartbeats are overdue.
        Down = "down",
        /// A person deactivated it: it gets no more work.
        Inactive = "inactive",
        /// Its self-check failed: it claims nothing until it passes.
        Quarantined = "quarantined",
        /// It stopped by itself.
        Left = "left",
    }
);

named!(
    /// What a piece of evidence is.
    EvidenceKind {
        /// A commit.
        Commit = "commit",
        /// A pull request.
        PullRequest = "pull_request",
        /// A test run.
        Test = "test",
        /// A build.
        Build = "build",
        /// A deployment.
        Deployment = "deployment",
        /// Something found out.
        Research = "research",
        /// Where something was found.
        Citation = "citation",
        /// The end of a log.
        Log = "log",
        /// A change.
        Diff = "diff",
        /// A reviewer's verdict.
        Review = "review",
        /// What models used: a JSON array of [`ModelUsage`](crate::ModelUsage).
        Usage = "usage",
    }
);

named!(
    /// What happened, in the outbox and on live connections.
    TaskEventKind {
        /// A graph was submitted.
        GraphSubmitted = "graph.submitted",
        /// All tasks of a graph are done.
        GraphDone = "graph.done",
        /// Nothing of a graph can run any more.
        GraphFailed = "graph.failed",
        /// A graph was cancelled.
        GraphCancelled = "graph.cancelled",
        /// A task can be claimed.
        TaskReady = "task.ready",
        /// An agent claimed a task.
        TaskClaimed = "task.claimed",
        /// An agent said how far it is.
        TaskProgress = "task.progress",
        /// A task's branch entered the merge queue.
        TaskMerging = "task.merging",
        /// A task is done.
        TaskDone = "task.done",
        /// An attempt failed; the task will be tried again.
        TaskRetry = "task.retry",
        /// A lease expired.
        TaskLost = "task.lost",
        /// A task was given up.
        TaskFailed = "task.failed",
        /// A task waits for a person.
        TaskBlocked = "task.blocked",
        /// A task was cancelled.
        TaskCancelled = "task.cancelled",
        /// What a task had merged was taken back: it is open again.
        TaskReopened = "task.reopened",
        /// A running task has said nothing new for long.
        TaskStuck = "task.stuck",
        /// A piece of evidence came in.
        EvidenceAdded = "evidence.added",
        /// An agent appeared, or came back.
        AgentUp = "agent.up",
        /// An agent has sent no heartbeat for too long.
        AgentDown = "agent.down",
        /// An agent was told to take no more work.
        AgentDeactivated = "agent.deactivated",
        /// An agent's self-check failed: it claims nothing until it passes.
        AgentQuarantined = "agent.quarantined",
        /// An agent stopped by itself.
        AgentLeft = "agent.left",
        /// An agent was removed, by a person or because it sent no heartbeat for too long.
        AgentRemoved = "agent.removed",
        /// Gates run on a merge.
        MergeTesting = "merge.testing",
        /// The target branch moved forward.
        Merged = "merge.done",
        /// A branch does not merge.
        MergeConflict = "merge.conflict",
        /// A branch was thrown out.
        MergeEjected = "merge.ejected",
        /// A merge queue waits: for something outside, or because its target is broken or was
        /// rewound.
        MergePaused = "merge.paused",
        /// The reason for which a merge queue waited is gone.
        MergeResumed = "merge.resumed",
        /// Progress was written down.
        Snapshot = "progress.snapshot",
        /// A deploy run was reported.
        RunReported = "run.reported",
        /// A person did something; the record of it says what and why.
        OperatorAction = "operator.action",
        /// A person has to approve something before it goes on.
        ApprovalWanted = "approval.wanted",
        /// A request for approval was decided, expired or was withdrawn.
        ApprovalEnded = "approval.ended",
    }
);

/// The right to report on one attempt: valid as long as the task's epoch is this one and the
/// attempt runs. One that has expired is valid until somebody takes the task back. A fencing
/// token: epochs of a task only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub task: TaskId,
    /// 1 for the first claim.
    pub epoch: i64,
}

impl Lease {
    /// The branch that this attempt works on, and no other.
    pub fn branch(&self) -> String {
        format!("task/{}/e{}", self.task, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_name(state.name()), Some(*state));
        }
        for kind in TaskEventKind::ALL {
            assert_eq!(TaskEventKind::from_name(kind.name()), Some(*kind));
        }
        assert_eq!(TaskState::from_name("sleeping"), None);
    }

    #[test]
    fn names_and_numbers_are_what_goes_over_a_wire() {
        assert_eq!(serde_json::to_string(&TaskState::Ready).unwrap(), "\"ready\"");
        assert_eq!(serde_json::from_str::<TaskState>("\"done\"").unwrap(), TaskState::Done);
        let error = serde_json::from_str::<MergeState>("\"gone\"").unwrap_err().to_string();
        assert!(error.contains("\"gone\"") && error.contains("`queued`"), "{error}");
        assert_eq!(serde_json::to_string(&TaskId(7)).unwrap(), "7");
    }

    #[test]
    fn no_hours_are_nought_without_a_sign() {
        assert_eq!(format!("{:.1}", total_hours([])), "0.0");
        assert_eq!(format!("{:.1}", total_hours([1.5, 2.0])), "3.5");
    }

    #[test]
    fn every_attempt_has_a_branch_of_its_own() {
        assert_eq!(Lease { task: TaskId(7), epoch: 2 }.branch(), "task/7/e2");
    }
}
