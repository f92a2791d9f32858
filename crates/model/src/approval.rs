//! A decision that a hub's people are asked for.

use super::words::named;

named!(
    /// What is approved.
    ApprovalSubject {
        /// A patch that the policy lets through only with a person's consent.
        Patch = "patch",
        /// The rollout to an environment with `require_approval`.
        Rollout = "rollout",
        /// Patches that pass the gates, although the test results speak against them.
        Proof = "proof",
        /// The start of a task.
        Task = "task",
        /// The merge of a task's branch.
        Merge = "merge",
    }
);

named!(
    /// Where a request for approval stands.
    ApprovalState {
        /// A person has to decide.
        Pending = "pending",
        /// A person said yes.
        Approved = "approved",
        /// A person said no.
        Rejected = "rejected",
        /// Nobody decided in time.
        Expired = "expired",
        /// Who asked waits no longer.
        Withdrawn = "withdrawn",
    }
);
