//! Heartbeats, on a thread of their own: no work, however much of it, keeps them from going out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::WorkerError;
use super::load::{Load, host, memory_bytes};
use super::options::WorkerOptions;
use super::stop::{AbortReason, AttemptCancel, Stop};
use greenloop_hub_api::client::{HubClient, HubErrorKind};
use greenloop_hub_api::types::{AgentHeartbeat, AgentLeaving, AttemptHeartbeat};
use greenloop_model::task::Lease;

/// A hub is asked at least this long about a lease that should have expired by now: perhaps it
/// has not looked yet.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long the hub may take to answer that the worker stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// Keeps leases, and says that the worker is there, on a thread. Dropped, the thread ends, and every
/// heartbeat with it.
pub(super) struct LeaseKeeper {
    runtime: tokio::runtime::Handle,
    ended: CancellationToken,
    client: HubClient,
    leaving: CancellationToken,
    heartbeats: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// What the worker is not fit for now.
pub(super) struct Restrictions {
    /// Why it claims nothing.
    pub(super) quarantine: watch::Receiver<Option<String>>,
    /// Repositories that it claims nothing in.
    pub(super) unreachable: watch::Receiver<Vec<String>>,
}

impl Restrictions {
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
pub(super) struct LeaseGuard {
    task: AbortHandle,
    report: watch::Sender<AttemptHeartbeat>,
}

impl LeaseKeeper {
    /// Starts the thread, and the worker's own heartbeat as `instance`.
    pub(super) fn start(
        client: &HubClient,
        options: &WorkerOptions,
        instance: &str,
        stop: &Stop,
        restrictions: Restrictions,
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
        let heartbeats = AgentHeartbeats {
            client: client.clone().within(options.heartbeat),
            options: options.clone(),
            instance: instance.to_owned(),
            stop: stop.clone(),
            restrictions,
            leaving: leaving.clone(),
        };
        let heartbeats = handle.spawn(heartbeats.keep());
        std::thread::Builder::new()
            .name("heartbeats".to_owned())
            .spawn(move || runtime.block_on(until.cancelled()))
            .map_err(WorkerError::Thread)?;
        Ok(Self {
            runtime: handle,
            ended,
            client,
            leaving,
            heartbeats: Mutex::new(Some(heartbeats)),
        })
    }

    /// Says that the worker stops: the hub does not expect it any more. The last heartbeat has
    /// come in by then, so that none follows.
    pub(super) async fn leave(&self) {
        self.leaving.cancel();
        let heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(heartbeats) = heartbeats else { return };
        if tokio::time::timeout(GOODBYE, heartbeats).await.is_err() {
            tracing::warn!("the hub did not confirm in time that the worker is stopping");
        }
    }

    /// Keeps `lease`, which was had when `since` was and lasts for `lasts`; `cancel` is
    /// cancelled when it is lost, or when the task is cancelled.
    pub(super) fn keep(
        &self,
        lease: Lease,
        since: Instant,
        lasts: Duration,
        options: &WorkerOptions,
        cancel: &AttemptCancel,
    ) -> LeaseGuard {
        let (report, latest) = watch::channel(AttemptHeartbeat::default());
        let keeper = Keeper {
            client: self.client.clone(),
            lease,
            since,
            lasts,
            options: options.clone(),
            cancel: cancel.clone(),
        };
        let task = self.runtime.spawn(keeper.keep(latest)).abort_handle();
        LeaseGuard { task, report }
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl LeaseGuard {
    /// What the next heartbeat reports; how far the work is stays as it was for `None`.
    pub(super) fn report(&self, percent: Option<u8>, text: String) {
        set(&self.report, percent, text);
    }

    /// The same, for those that outlive the attempt.
    pub(super) fn reporter(&self) -> impl Fn(u8, String) + Send + Sync + 'static {
        let report = self.report.clone();
        move |percent, text| set(&report, Some(percent), text)
    }
}

fn set(report: &watch::Sender<AttemptHeartbeat>, percent: Option<u8>, text: String) {
    report.send_modify(|beat| {
        beat.percent = percent.or(beat.percent);
        beat.message = Some(text);
    });
}

impl Drop for LeaseGuard {
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
    cancel: AttemptCancel,
}

impl Keeper {
    async fn keep(mut self, latest: watch::Receiver<AttemptHeartbeat>) {
        loop {
            tokio::time::sleep(self.options.period(self.lasts)).await;
            let beat = latest.borrow().clone();
            let asked = Instant::now();
            let left = self.lasts.saturating_sub(self.since.elapsed()).max(LAST_WORD);
            let client = self.client.within(left);
            match tokio::time::timeout(left, client.heartbeat(self.lease, &beat)).await {
                Ok(Ok(answer)) if answer.cancel => {
                    return self.cancel.cancel(AbortReason::Cancelled);
                }
                Ok(Ok(answer)) => {
                    self.since = asked;
                    self.lasts = Duration::from_secs(answer.lease_seconds.max(1).into());
                }
                Ok(Err(error)) => match error.kind {
                    HubErrorKind::StaleLease | HubErrorKind::NotFound => {
                        return self.cancel.cancel(AbortReason::Stale);
                    }
                    HubErrorKind::Conflict
                    | HubErrorKind::Unauthorised
                    | HubErrorKind::Forbidden
                    | HubErrorKind::Invalid
                    | HubErrorKind::Unavailable
                    | HubErrorKind::Protocol => {
                        tracing::warn!(%error, "the hub rejected a heartbeat");
                    }
                },
                Err(_elapsed) => tracing::warn!("no answer to a heartbeat"),
            }
            if self.since.elapsed() >= self.lasts {
                return self.cancel.cancel(AbortReason::Stale);
            }
        }
    }
}

/// Says that the worker is there, until it leaves or the thread ends.
struct AgentHeartbeats {
    client: HubClient,
    options: WorkerOptions,
    instance: String,
    stop: Stop,
    restrictions: Restrictions,
    leaving: CancellationToken,
}

impl AgentHeartbeats {
    async fn keep(mut self) {
        let mut load = Load::default();
        let mut drain_reported = false;
        while !self.leaving.is_cancelled() {
            drain_reported |= self.stop.is_draining();
            let quarantine = self.restrictions.quarantine.borrow_and_update().clone();
            let unreachable = self.restrictions.unreachable.borrow_and_update().clone();
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
                draining: drain_reported,
                quarantine,
                period_seconds: Some(period as u32),
                unreachable,
            };
            match self.client.agent_heartbeat(&beat).await {
                Ok(agent) if agent.drain && !self.stop.is_draining() => {
                    tracing::info!("a person wants this worker to finish what it has and stop");
                    self.stop.drain();
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the hub rejected the worker's heartbeat"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.options.heartbeat) => {}
                // At once, but only once.
                () = self.stop.draining(), if !drain_reported => {}
                () = self.restrictions.changed() => {}
                () = self.leaving.cancelled() => {}
            }
        }
        let leaving = AgentLeaving { instance: self.instance.clone() };
        if let Err(error) = self.client.agent_leaves(&self.options.name, &leaving).await {
            tracing::warn!(%error, "could not tell the hub that the worker is stopping");
        }
    }
}
