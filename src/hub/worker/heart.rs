//! Heartbeats, on a thread of their own: no work, however much of it, keeps them from going out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::{Load, host, memory_bytes};
use super::stop::{Ending, Stop, Void};
use super::{WorkerError, WorkerOptions};
use crate::adapters::hub_client::wire::{AgentHeartbeat, AttemptHeartbeat};
use crate::adapters::hub_client::{HubClient, HubErrorKind};
use crate::model::task::Lease;

/// A hub is asked at least this long about a lease that should have expired by now: perhaps it
/// has not looked yet.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The thread. Dropped, it ends, and every heartbeat with it.
pub(super) struct Heart {
    runtime: tokio::runtime::Handle,
    ended: CancellationToken,
    client: HubClient,
}

/// Keeps one lease. Dropped, it is kept no longer.
pub(super) struct Pulse {
    task: AbortHandle,
    said: watch::Sender<AttemptHeartbeat>,
}

impl Heart {
    /// Starts the thread, and the worker's own heartbeat as `instance`.
    pub(super) fn start(
        client: &HubClient,
        options: &WorkerOptions,
        instance: &str,
        stop: &Stop,
    ) -> Result<Self, WorkerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WorkerError::Thread)?;
        let handle = runtime.handle().clone();
        let ended = CancellationToken::new();
        let until = ended.clone();
        let client = client.apart();
        handle.spawn(present(client.clone(), options.clone(), instance.to_owned(), stop.clone()));
        std::thread::Builder::new()
            .name("heartbeats".to_owned())
            .spawn(move || runtime.block_on(until.cancelled()))
            .map_err(WorkerError::Thread)?;
        Ok(Self { runtime: handle, ended, client })
    }

    /// Keeps `lease`, which was had when `since` was and lasts for `lasts`; `ending` hears when
    /// it is lost, or when the task is cancelled.
    pub(super) fn keep(
        &self,
        lease: Lease,
        since: Instant,
        lasts: Duration,
        options: &WorkerOptions,
        ending: &Ending,
    ) -> Pulse {
        let (said, heard) = watch::channel(AttemptHeartbeat::default());
        let keeper = Keeper {
            client: self.client.clone(),
            lease,
            since,
            lasts,
            options: options.clone(),
            ending: ending.clone(),
        };
        let task = self.runtime.spawn(keeper.keep(heard)).abort_handle();
        Pulse { task, said }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Pulse {
    /// What the next heartbeat tells; how far the work is stays as it was for `None`.
    pub(super) fn say(&self, percent: Option<u8>, text: String) {
        tell(&self.said, percent, text);
    }

    /// The same, for those that outlive the attempt.
    pub(super) fn voice(&self) -> impl Fn(u8, String) + Send + Sync + 'static {
        let said = self.said.clone();
        move |percent, text| tell(&said, Some(percent), text)
    }
}

fn tell(said: &watch::Sender<AttemptHeartbeat>, percent: Option<u8>, text: String) {
    said.send_modify(|beat| {
        beat.percent = percent.or(beat.percent);
        beat.message = Some(text);
    });
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    client: HubClient,
    lease: Lease,
    since: Instant,
    lasts: Duration,
    options: WorkerOptions,
    ending: Ending,
}

impl Keeper {
    async fn keep(mut self, heard: watch::Receiver<AttemptHeartbeat>) {
        loop {
            tokio::time::sleep(self.options.period(self.lasts)).await;
            let beat = heard.borrow().clone();
            let asked = Instant::now();
            let left = self.lasts.saturating_sub(self.since.elapsed()).max(LAST_WORD);
            let client = self.client.within(left);
            match tokio::time::timeout(left, client.heartbeat(self.lease, &beat)).await {
                Ok(Ok(answer)) if answer.cancel => return self.ending.end(Void::Cancelled),
                Ok(Ok(answer)) => {
                    self.since = asked;
                    self.lasts = Duration::from_secs(answer.lease_seconds.max(1).into());
                }
                Ok(Err(error)) => match error.kind {
                    HubErrorKind::StaleLease | HubErrorKind::NotFound => {
                        return self.ending.end(Void::Stale);
                    }
                    HubErrorKind::Conflict
                    | HubErrorKind::Unauthorised
                    | HubErrorKind::Forbidden
                    | HubErrorKind::Invalid
                    | HubErrorKind::Unavailable
                    | HubErrorKind::Protocol => {
                        tracing::warn!(%error, "a heartbeat was not taken");
                    }
                },
                Err(_elapsed) => tracing::warn!("a heartbeat was not answered"),
            }
            if self.since.elapsed() >= self.lasts {
                return self.ending.end(Void::Stale);
            }
        }
    }
}

/// Says that the worker is there, until the thread ends.
async fn present(client: HubClient, options: WorkerOptions, instance: String, stop: Stop) {
    let mut load = Load::default();
    let client = client.within(options.heartbeat);
    let mut told_of_drain = false;
    loop {
        told_of_drain |= stop.is_draining();
        let beat = AgentHeartbeat {
            name: options.name.clone(),
            instance: instance.clone(),
            roles: options.roles.clone(),
            labels: options.labels.clone(),
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cpu_percent: load.cpu_percent(),
            memory_bytes: memory_bytes(),
            draining: told_of_drain,
        };
        if let Err(error) = client.agent_heartbeat(&beat).await {
            tracing::warn!(%error, "the worker's heartbeat was not taken");
        }
        tokio::select! {
            () = tokio::time::sleep(options.heartbeat) => {}
            // At once, but only once.
            () = stop.draining(), if !told_of_drain => {}
        }
    }
}
