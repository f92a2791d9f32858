//! Heartbeats, on a thread of their own: no work, however much of it, keeps them from going out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::{Load, host, memory_bytes};
use super::stop::{Ending, Stop, Void};
use super::{WorkerError, WorkerOptions};
use greenloop_hub_api::client::wire::{AgentHeartbeat, AgentLeaving, AttemptHeartbeat};
use greenloop_hub_api::client::{HubClient, HubErrorKind};
use greenloop_model::task::Lease;

/// A hub is asked at least this long about a lease that should have expired by now: perhaps it
/// has not looked yet.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long the hub is given to hear that the worker stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// The thread. Dropped, it ends, and every heartbeat with it.
pub(super) struct Heart {
    runtime: tokio::runtime::Handle,
    ended: CancellationToken,
    client: HubClient,
    leaving: CancellationToken,
    presence: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What the worker is not fit for now.
pub(super) struct Fitness {
    /// Why it claims nothing.
    pub(super) quarantine: watch::Receiver<Option<String>>,
    /// Repositories that it claims nothing in.
    pub(super) unreachable: watch::Receiver<Vec<String>>,
}

impl Fitness {
    /// Returns at a change; never when nobody is left to change anything.
    async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.quarantine.changed() => {}
            Ok(()) = self.unreachable.changed() => {}
            else => std::future::pending().await,
        }
    }
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
        fitness: Fitness,
    ) -> Result<Self, WorkerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WorkerError::Thread)?;
        let handle = runtime.handle().clone();
        let ended = CancellationToken::new();
        let until = ended.clone();
        let client = client.apart();
        let leaving = CancellationToken::new();
        let presence = Presence {
            client: client.clone().within(options.heartbeat),
            options: options.clone(),
            instance: instance.to_owned(),
            stop: stop.clone(),
            fitness,
            leaving: leaving.clone(),
        };
        let presence = handle.spawn(presence.keep());
        std::thread::Builder::new()
            .name("heartbeats".to_owned())
            .spawn(move || runtime.block_on(until.cancelled()))
            .map_err(WorkerError::Thread)?;
        Ok(Self { runtime: handle, ended, client, leaving, presence: Mutex::new(Some(presence)) })
    }

    /// Says that the worker stops: the hub does not expect it any more. The last heartbeat has
    /// come in by then, so that none follows.
    pub(super) async fn leave(&self) {
        self.leaving.cancel();
        let presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(presence) = presence else { return };
        if tokio::time::timeout(GOODBYE, presence).await.is_err() {
            tracing::warn!("the hub did not hear in time that the worker stops");
        }
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

/// Says that the worker is there, until it leaves or the thread ends.
struct Presence {
    client: HubClient,
    options: WorkerOptions,
    instance: String,
    stop: Stop,
    fitness: Fitness,
    leaving: CancellationToken,
}

impl Presence {
    async fn keep(mut self) {
        let mut load = Load::default();
        let mut told_of_drain = false;
        while !self.leaving.is_cancelled() {
            told_of_drain |= self.stop.is_draining();
            let quarantine = self.fitness.quarantine.borrow_and_update().clone();
            let unreachable = self.fitness.unreachable.borrow_and_update().clone();
            let period = self.options.heartbeat.as_secs_f64().ceil().max(1.0);
            let beat = AgentHeartbeat {
                name: self.options.name.clone(),
                instance: self.instance.clone(),
                roles: self.options.roles.clone(),
                labels: self.options.labels.clone(),
                host: host(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                cpu_percent: load.cpu_percent(),
                memory_bytes: memory_bytes(),
                draining: told_of_drain,
                quarantine,
                period_seconds: Some(period as u32),
                unreachable,
            };
            if let Err(error) = self.client.agent_heartbeat(&beat).await {
                tracing::warn!(%error, "the worker's heartbeat was not taken");
            }
            tokio::select! {
                () = tokio::time::sleep(self.options.heartbeat) => {}
                // At once, but only once.
                () = self.stop.draining(), if !told_of_drain => {}
                () = self.fitness.changed() => {}
                () = self.leaving.cancelled() => {}
            }
        }
        let leaving = AgentLeaving { instance: self.instance.clone() };
        if let Err(error) = self.client.agent_leaves(&self.options.name, &leaving).await {
            tracing::warn!(%error, "the hub did not hear that the worker stops");
        }
    }
}
