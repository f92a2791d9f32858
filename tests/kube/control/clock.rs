//! The simulation's clock: ten times as fast as real time, so a back-off of ten seconds takes one.

use std::time::Duration;

/// The real duration of one second of the cluster.
pub(crate) const SECOND: Duration = Duration::from_millis(100);

/// A duration in seconds of the cluster.
pub(crate) fn seconds(count: i64) -> Duration {
    SECOND * u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

/// A program's time, converted to the simulation's clock.
pub(crate) fn scaled(time: Duration) -> Duration {
    time / 10
}
