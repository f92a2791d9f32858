//! The stages of an iteration.

use super::words::named;

named!(
    /// One part of an iteration. They run in this order; the first failure ends the iteration.
    Stage {
        /// Quality gates.
        Gates = "gates",
        /// The multi-VM task graph.
        Tasks = "tasks",
        /// Image build and push.
        Image = "image",
        /// Rollout of the release on the target.
        Rollout = "rollout",
        /// Smoke tests against the rolled-out release.
        Smoke = "smoke",
    }
);
