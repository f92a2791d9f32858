//! Notifications of a hub: what happened goes to the receivers of its configuration.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{Delivery, SinkFilter, StoreError, TaskStore};
use greenloop_http::retry::RETRY;
use greenloop_model::{NotificationKind, error_chain};
use greenloop_notify::{Sender, Sink};

/// Between two looks when nothing happens.
const LOOK: Duration = Duration::from_secs(2);
/// What is being sent when the hub stops has so long to arrive; then it is due again.
const GRACE: Duration = Duration::from_secs(2);
/// After so many tries a delivery is given up: with the pauses between them, about a day.
const TRIES: i64 = 30;

/// Who is notified, and where links lead.
#[derive(Debug, Clone)]
pub struct NotifyOptions {
    pub sinks: Vec<Sink>,
    /// Where people reach the dashboard, with a slash at its end.
    pub address: String,
}

/// Notifies until `end`. A receiver that does not answer keeps the others from nothing.
pub async fn notify(store: TaskStore, options: NotifyOptions, end: CancellationToken) {
    let NotifyOptions { sinks, address } = options;
    let filters: Vec<SinkFilter> = sinks
        .iter()
        .map(|sink| SinkFilter {
            name: sink.name.clone(),
            kinds: NotificationKind::ALL.iter().copied().filter(|it| sink.wants(*it)).collect(),
        })
        .collect();
    let sender = Sender::default();
    let (kept, _) = watch::channel(());
    let deliver = sinks.iter().map(|sink| deliver(&store, &sender, sink, kept.subscribe(), &end));
    tokio::join!(
        futures::future::join_all(deliver),
        collect(&store, &filters, &address, &kept, &end)
    );
}

/// Makes notifications out of events, for all receivers.
async fn collect(
    store: &TaskStore,
    filters: &[SinkFilter],
    address: &str,
    kept: &watch::Sender<()>,
    end: &CancellationToken,
) {
    let mut changes = store.event_changes();
    let mut failing = false;
    while !end.is_cancelled() {
        let events = store.collect_notifications(filters, address).await;
        if more(events.map(|it| it > 0), &mut failing) {
            kept.send_replace(());
        } else {
            rest(changes.changed(), end).await;
        }
    }
}

/// Sends a receiver what is due.
async fn deliver(
    store: &TaskStore,
    sender: &Sender,
    sink: &Sink,
    mut kept: watch::Receiver<()>,
    end: &CancellationToken,
) {
    let mut failing = false;
    while !end.is_cancelled() {
        if !more(round(store, sender, sink, end).await, &mut failing) {
            rest(kept.changed(), end).await;
        }
    }
}

/// Whether there may be more to do at once.
fn more(done: Result<bool, StoreError>, failing: &mut bool) -> bool {
    match done {
        Ok(more) => {
            *failing &= more;
            more
        }
        Err(error) => {
            if !std::mem::replace(failing, true) {
                let error = error_chain(&error);
                tracing::warn!(error, "notifications could not be collected or delivered");
            }
            false
        }
    }
}

async fn rest(woken: impl Future, end: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => {}
        _ = woken => {}
        () = end.cancelled() => {}
    }
}

async fn round(
    store: &TaskStore,
    sender: &Sender,
    sink: &Sink,
    end: &CancellationToken,
) -> Result<bool, StoreError> {
    let due = store.take_deliveries(std::slice::from_ref(&sink.name)).await?;
    let any = !due.is_empty();
    let deliver = due.into_iter().map(|delivery| one(store, sender, sink, delivery, end));
    for ended in futures::future::join_all(deliver).await {
        ended?;
    }
    Ok(any)
}

async fn one(
    store: &TaskStore,
    sender: &Sender,
    sink: &Sink,
    delivery: Delivery,
    end: &CancellationToken,
) -> Result<(), StoreError> {
    let Delivery { id, tries, notification, .. } = delivery;
    let now = jiff::Timestamp::now().as_second();
    // Tries again are the store's: they outlive this hub.
    let sent = tokio::select! {
        sent = sender.send(sink, &notification, now, RETRY.with_max_times(0)) => sent,
        () = stopped(end) => return store.postpone_delivery(id, tries, None).await,
    };
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

async fn stopped(end: &CancellationToken) {
    end.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
