//! Notifications of a hub: what happened goes to the receivers of its configuration.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Delivery, SinkFilter, StoreError, TaskStore};
use greenloop_http::retry::RETRY;
use greenloop_model::{NotificationKind, error_chain};
use greenloop_notify::{Sender, Sink};

/// Between two looks when nothing happens.
const LOOK: Duration = Duration::from_secs(2);
/// After so many tries a delivery is given up: with the pauses between them, about a day.
const TRIES: i64 = 30;

/// Who is notified, and where links lead.
#[derive(Debug, Clone)]
pub struct NotifyOptions {
    pub sinks: Vec<Sink>,
    /// Where people reach the dashboard, with a slash at its end.
    pub address: String,
}

/// Notifies until `end`. A receiver that does not answer keeps nothing from going on.
pub async fn notify(store: TaskStore, options: NotifyOptions, end: CancellationToken) {
    let NotifyOptions { sinks, address } = options;
    let filters: Vec<SinkFilter> = sinks
        .iter()
        .map(|sink| SinkFilter {
            name: sink.name.clone(),
            kinds: NotificationKind::ALL.iter().copied().filter(|it| sink.wants(*it)).collect(),
        })
        .collect();
    let (sender, mut changes) = (Sender::default(), store.event_changes());
    let mut failing = false;
    while !end.is_cancelled() {
        match round(&store, &sender, &sinks, &filters, &address).await {
            // There may be more.
            Ok(true) => continue,
            Ok(false) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = error_chain(&error);
                    tracing::warn!(error, "notifications could not be collected");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = changes.changed() => {}
            () = end.cancelled() => {}
        }
    }
}

/// Whether there may be more to do at once.
async fn round(
    store: &TaskStore,
    sender: &Sender,
    sinks: &[Sink],
    filters: &[SinkFilter],
    address: &str,
) -> Result<bool, StoreError> {
    let events = store.collect_notifications(filters, address).await?;
    let names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
    let due = store.take_deliveries(&names).await?;
    let any = events > 0 || !due.is_empty();
    let deliver = due.into_iter().map(|delivery| one(store, sender, sinks, delivery));
    for ended in futures::future::join_all(deliver).await {
        ended?;
    }
    Ok(any)
}

async fn one(
    store: &TaskStore,
    sender: &Sender,
    sinks: &[Sink],
    delivery: Delivery,
) -> Result<(), StoreError> {
    let Delivery { id, sink, tries, notification } = delivery;
    let Some(sink) = sinks.iter().find(|it| it.name == sink) else { return Ok(()) };
    let now = jiff::Timestamp::now().as_second();
    // Tries again are the store's: they outlive this hub.
    let sent = sender.send(sink, &notification, now, RETRY.with_max_times(0)).await;
    match sent {
        Ok(()) => store.end_delivery(id).await,
        Err(error) if error.again && tries < TRIES => {
            tracing::info!(%error, tries, "a notification is sent again later");
            store.postpone_delivery(id, tries, error.after).await
        }
        Err(error) => {
            tracing::warn!(%error, tries, notification = notification.id, "a notification is given up");
            store.end_delivery(id).await
        }
    }
}
