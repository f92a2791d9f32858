//! What is done now and then, in every hub: leases that expired, agents that fell silent, work
//! that does not move, records that are old, progress written down.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{SweepOptions, TaskStore};

/// How often and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPlan {
    /// From one look to the next; several hubs do not look at the same moment.
    pub every: Duration,
    /// From one written-down progress to the next.
    pub snapshots: Duration,
    /// How long leases are left to their holders after the hub was started: it may be the hub
    /// that could not be reached.
    pub grace: Duration,
    /// What a look does.
    pub options: SweepOptions,
}

impl Default for SweepPlan {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            snapshots: Duration::from_secs(300),
            grace: Duration::from_secs(10),
            options: SweepOptions::default(),
        }
    }
}

/// Sweeps until `end`.
pub async fn sweep(store: TaskStore, plan: SweepPlan, end: CancellationToken) {
    let started = Instant::now();
    let mut written = 0;
    let mut failing = false;
    loop {
        let pause = plan.every.mul_f64(0.75 + 0.5 * chance());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = end.cancelled() => return,
        }
        let grace = plan.grace.saturating_sub(started.elapsed());
        match round(&store, &plan, grace, &mut written).await {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("the store answers again");
            }
            Ok(()) => {}
            Err(error) if failing => {
                tracing::debug!(
                    error = greenloop_model::error_chain(&error),
                    "the sweep failed again"
                );
            }
            Err(error) => {
                failing = true;
                tracing::warn!(error = greenloop_model::error_chain(&error), "the sweep failed");
            }
        }
    }
}

async fn round(
    store: &TaskStore,
    plan: &SweepPlan,
    grace: Duration,
    written: &mut i64,
) -> Result<(), crate::store::StoreError> {
    let swept = store.sweep(&SweepOptions { grace, ..plan.options }).await?;
    for lease in &swept.lost {
        tracing::warn!(task = lease.task.0, epoch = lease.epoch, "a lease expired");
    }
    for agent in &swept.down {
        tracing::warn!(agent, "an agent no longer sends heartbeats");
    }
    for lease in &swept.stuck {
        tracing::warn!(task = lease.task.0, epoch = lease.epoch, "a task makes no progress");
    }
    // All hubs of a store name the same period the same: it is written down once.
    let period = jiff::Timestamp::now().as_second() / seconds(plan.snapshots);
    if period != *written {
        store.snapshot(Some(&format!("hub:snapshot:{period}"))).await?;
        *written = period;
    }
    Ok(())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).max(1)
}

fn chance() -> f64 {
    fastrand::f64()
}
