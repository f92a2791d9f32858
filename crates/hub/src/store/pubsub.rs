//! Wake-ups over Redis. It never holds anything: losing it, or flushing it, loses nothing.

use std::time::Duration;

use ::redis::{AsyncCommands, Client, RedisError};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::error::{StoreError, StoreErrorKind};
pub(super) use super::listen::Status;
use super::tx::Woken;
use super::wake::{Wake, message, understood};

const CHANNEL: &str = "greenloop:wake";
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn start(
    url: &str,
    process: &str,
    wake: Wake,
    end: CancellationToken,
) -> Result<Status, StoreError> {
    let client = Client::open(url).map_err(|error| {
        StoreError::with(StoreErrorKind::Invalid, "the address of Redis is invalid", error)
    })?;
    let status = Status::default();
    let (own, heard) = (process.to_owned(), status.clone());
    let (publisher, announced, over) = (client.clone(), wake.clone(), end.clone());
    tokio::spawn(async move {
        let listening = async {
            loop {
                if let Err(error) = listen(&client, &own, &wake, &heard).await {
                    tracing::debug!(%error, "Redis does not answer");
                }
                if heard.is_connected() {
                    tracing::warn!("wake-ups from Redis stopped; listening again");
                    heard.set(false);
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = end.cancelled() => {}
            () = listening => {}
        }
    });
    let own = process.to_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = announce(&publisher, &own, &announced) => {}
        }
    });
    Ok(status)
}

async fn listen(client: &Client, own: &str, wake: &Wake, heard: &Status) -> Result<(), RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(CHANNEL).await?;
    heard.set(true);
    // Whatever was missed until now: everybody looks.
    wake.wake_here(Woken { work: true, events: true });
    let mut messages = subscription.on_message();
    while let Some(one) = messages.next().await {
        if let Some(woken) = understood(own, &one.get_payload::<String>()?) {
            wake.wake_here(woken);
        }
    }
    Ok(())
}

async fn announce(client: &Client, own: &str, wake: &Wake) {
    let mut outward = wake.outward();
    let mut connection = None;
    while let Some(woken) = outward.next().await {
        if connection.is_none() {
            connection = client.get_multiplexed_async_connection().await.ok();
        }
        let Some(open) = &mut connection else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let sent: Result<(), RedisError> = open.publish(CHANNEL, message(own, woken)).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "could not send a wake-up over Redis");
            connection = None;
        }
    }
}
