//! The one reader of the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Frame};
use crate::api::metrics::Metrics;
use crate::store::{POLL, StoreError, TaskStore};
use greenloop_hub_api::types::Event;
use greenloop_model::task::EventId;

/// Events that are read at once.
const PAGE: u32 = 1_000;
/// The shortest time between two readings: many followers are woken for each.
const PACE: Duration = Duration::from_millis(10);
/// How long to wait when the store does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Finds where to begin: so far back that clients of an earlier start of the hub find what they
/// missed without asking the store. The latest event.
///
/// # Errors
/// Those of the store.
pub(in crate::api) async fn begin(
    store: &TaskStore,
    feed: &Feed,
    kept: usize,
) -> Result<EventId, StoreError> {
    let latest = store.latest_event().await?;
    let back = i64::try_from(kept).unwrap_or(i64::MAX);
    feed.begin(latest.0.saturating_sub(back).max(0));
    Ok(latest)
}

/// Reads until `end`. Events up to `old` happened before the hub was started.
pub(in crate::api) async fn read(
    store: TaskStore,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    old: EventId,
    end: CancellationToken,
) {
    let reading = async {
        let mut changes = store.event_changes();
        loop {
            let read = Instant::now();
            match page(&store, &feed).await {
                Ok(events) => {
                    for event in events.iter().filter(|event| event.id > old) {
                        metrics.happened(event);
                    }
                    let more = events.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
                    feed.publish(events.into_iter().filter_map(written).collect());
                    if more {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = greenloop_model::error_chain(&error),
                        "could not read the outbox"
                    );
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            let _polled = tokio::time::timeout(POLL, changes.changed()).await;
            tokio::time::sleep_until(read + PACE).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = end.cancelled() => {}
    }
}

async fn page(store: &TaskStore, feed: &Feed) -> Result<Vec<Event>, StoreError> {
    store.events_after(EventId(feed.latest()), PAGE).await
}

pub(super) fn written(event: Event) -> Option<Frame> {
    Frame::new(event).inspect_err(|error| tracing::error!(%error, "could not write an event")).ok()
}
