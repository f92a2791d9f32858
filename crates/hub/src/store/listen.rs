//! Wake-ups over PostgreSQL's LISTEN and NOTIFY.
//!
//! A NOTIFY inside a transaction holds a lock of the whole database until that is on the disk:
//! commits would queue up one behind the other. So wake-ups are sent after the commit, and one
//! stands for many. One that is lost with its process is made up for by looking now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use super::tx::{Done, Tx, Woken};
use super::value::args;
use super::wake::{Wake, message, understood};

const CHANNEL: &str = "greenloop";
/// A wake-up is a transaction of its own. It need not survive a crash, so nothing waits until its
/// commit is on the disk, where it would take turns with those of claims and completions.
const NOTIFY: &str = "SELECT 1 FROM (SELECT set_config('synchronous_commit', 'off', true), \
    pg_notify($1, $2)) sent";
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether wake-ups arrive.
#[derive(Debug, Clone, Default)]
pub(super) struct Status(Arc<AtomicBool>);

impl Status {
    pub(super) fn is_connected(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, connected: bool) {
        self.0.store(connected, Ordering::Relaxed);
    }
}

pub(super) fn start(
    url: &str,
    process: &str,
    pool: PgPool,
    wake: Wake,
    end: CancellationToken,
) -> Status {
    let status = Status::default();
    let (url, own, heard) = (url.to_owned(), process.to_owned(), status.clone());
    let (announced, over) = (wake.clone(), end.clone());
    tokio::spawn(async move {
        let listening = async {
            loop {
                if let Err(error) = listen(&url, &own, &wake, &heard).await {
                    tracing::warn!(%error, "wake-ups from the database stopped; listening again");
                }
                heard.set(false);
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
            () = announce(&pool, &own, &announced) => {}
        }
    });
    status
}

async fn listen(url: &str, own: &str, wake: &Wake, heard: &Status) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    heard.set(true);
    loop {
        // Whatever was missed until now: everybody looks.
        wake.wake_here(Woken { work: true, events: true });
        while let Some(notification) = listener.try_recv().await? {
            if let Some(woken) = understood(own, notification.payload()) {
                wake.wake_here(woken);
            }
        }
        tracing::info!("reconnected the interrupted connection for wake-ups");
    }
}

async fn announce(pool: &PgPool, own: &str, wake: &Wake) {
    let mut outward = wake.outward();
    while let Some(woken) = outward.next().await {
        if let Err(error) = notify(pool, &message(own, woken)).await {
            tracing::debug!(%error, "could not send a wake-up; other hubs poll");
        }
    }
}

async fn notify(pool: &PgPool, message: &str) -> Result<(), super::error::StoreError> {
    let sent: Done<()> = async {
        let mut connection = pool.acquire().await.map_err(|error| {
            super::error::StoreError::with(
                super::error::StoreErrorKind::Unavailable,
                "no connection to send a wake-up",
                error,
            )
        })?;
        let mut tx = Tx::new(&mut *connection);
        tx.run(NOTIFY, args![CHANNEL, message]).await?;
        Ok(())
    }
    .await;
    Ok(sent?)
}
