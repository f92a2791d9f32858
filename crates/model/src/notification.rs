//! What people are notified of, and in which form.

use super::words::named;

named!(
    /// What a notification is about.
    NotificationKind {
        /// A run ended verified, without a patch.
        RunVerified = "run_verified",
        /// A run ended verified, with at least one patch.
        RunHealed = "run_healed",
        /// A run stopped and needs a person.
        RunStopped = "run_stopped",
        /// A deployment failed and the last good release was restored.
        RunRolledBack = "run_rolled_back",
        /// A person has to decide.
        ApprovalWanted = "approval_wanted",
        /// A person decided, or the request expired.
        ApprovalDecided = "approval_decided",
        /// All tasks of a graph are done.
        GraphDone = "graph_done",
        /// Tasks of a graph failed, and nothing else of it can run.
        GraphFailed = "graph_failed",
        /// A task's branch conflicts, and a person has to resolve it.
        Conflict = "conflict",
        /// A worker sends no heartbeats any more.
        WorkerLost = "worker_lost",
        /// A target branch fails its own gates, or was moved back.
        MainBroken = "main_broken",
    }
);

named!(
    /// Which form a receiver of notifications understands.
    NotificationForm {
        /// A JSON object, for programs.
        Generic = "generic",
        /// An incoming webhook of Slack.
        Slack = "slack",
        /// A workflow of Microsoft Teams: an Adaptive Card.
        Teams = "teams",
    }
);
