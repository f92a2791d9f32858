//! The wire's time: real, but a restart that backs off for ten seconds there does so for one
//! here.

use std::time::Duration;

/// One second of the cluster is this long here.
pub(crate) const SECOND: Duration = Duration::from_millis(100);

/// So many seconds of the cluster.
pub(crate) fn seconds(count: i64) -> Duration {
    SECOND * u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

/// Real time of a program, as it passes here.
pub(crate) fn scaled(time: Duration) -> Duration {
    time / 10
}
