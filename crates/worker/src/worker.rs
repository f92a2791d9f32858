//! Asking for work, one task at a time in each slot.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::agent_loop::AgentLoop;
use super::context::WorkerContext;
use super::error::WorkerError;
use super::lease_keeper::{LeaseKeeper, Restrictions};
use super::options::WorkerOptions;
use super::quarantine::Quarantine;
use super::reachability::Reachability;
use super::self_check::{Fault, ModelCheck, SelfCheck};
use super::stop::Stop;
use super::workdir::{Workdir, WorkdirError};
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::{HubClient, HubErrorKind};
use greenloop_hub_api::types::ClaimRequest;
use greenloop_model::{FailureClass, error_chain};

/// How long the hub may keep a worker waiting for work.
const WAIT: u32 = 20;
/// Between two questions to a hub that answers at once that there is nothing.
const SHORTEST: Duration = Duration::from_millis(250);
/// Between two questions to a hub that does not answer.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(SHORTEST)
    .with_max_delay(Duration::from_secs(15))
    .without_max_times();

/// Between two looks at the mirrors.
const MIRRORS: Duration = Duration::from_secs(3_600);

/// A worker.
pub struct Worker {
    /// How it works.
    pub options: WorkerOptions,
    /// Speaks to the hub.
    pub client: HubClient,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
    /// Does tasks that are not commands; `None` where there are no models.
    pub agents: Option<AgentLoop>,
    /// Asks the model that the worker's own environment names, as a part of the self-check.
    pub model: Option<ModelCheck>,
}

impl Worker {
    /// Works until `stop`. On return nothing of its tasks is left running.
    ///
    /// # Errors
    /// When it cannot begin, or the hub refuses its token.
    pub async fn run(self, stop: Stop) -> Result<(), WorkerError> {
        let Self { options, client, redactor, agents, model } = self;
        let locked = Workdir::lock(&options.work, &options.name);
        // A name that is taken, or is none, will not change; a disk may.
        if let Err(WorkdirError::Taken { .. } | WorkdirError::Name(_)) = &locked {
            locked?;
            return Ok(());
        }
        let folder = options.work.join(&options.name);
        let reach =
            Reachability::new(folder.clone(), redactor.clone(), options.recheck, stop.clone());
        let check = SelfCheck { folder, redactor: redactor.clone(), model };
        let quarantine = Quarantine::new(check, options.recheck);
        let instance = uuid::Uuid::new_v4().to_string();
        let restrictions =
            Restrictions { quarantine: quarantine.reason(), unreachable: reach.changes() };
        let leases = LeaseKeeper::start(&client, &options, &instance, &stop, restrictions)?;
        let workdir = match locked {
            Ok(workdir) => workdir,
            Err(error) => match lock_in_time(error, &options, &quarantine, &stop).await? {
                Some(workdir) => workdir,
                None => {
                    leases.leave().await;
                    return Ok(());
                }
            },
        };
        let slots = options.slots.max(1);
        let context = Arc::new(WorkerContext {
            client,
            options,
            workdir,
            leases,
            redactor,
            agents,
            stop,
            quarantine,
            reach,
        });
        let cleaner = tokio::spawn(Arc::clone(&context).forget_old_mirrors());
        let ready = Arc::new(tokio::sync::OnceCell::new());
        let mut running = tokio::task::JoinSet::new();
        for _slot in 0..slots {
            let (context, instance, ready) =
                (Arc::clone(&context), instance.clone(), Arc::clone(&ready));
            running.spawn(async move {
                ready.get_or_init(|| context.first_check()).await;
                context.slot(&instance).await
            });
        }
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            // A slot that panicked has lost its task to the lease; the others go on.
            if let Ok(Err(error)) = ended {
                context.stop.drain();
                result = Err(error);
            }
        }
        cleaner.abort();
        context.leases.leave().await;
        result
    }
}

/// Tries again to lock the folder, in quarantine meanwhile; `None` when the worker stops first.
async fn lock_in_time(
    error: WorkdirError,
    options: &WorkerOptions,
    quarantine: &Quarantine,
    stop: &Stop,
) -> Result<Option<Workdir>, WorkdirError> {
    let mut error = error;
    loop {
        let reason = error_chain(&error);
        quarantine.begin(&Fault::new(FailureClass::Infrastructure, reason), None);
        tokio::select! {
            () = quarantine.pause() => {}
            () = stop.draining() => return Ok(None),
        }
        match Workdir::lock(&options.work, &options.name) {
            // The first check ends the quarantine.
            Ok(workdir) => return Ok(Some(workdir)),
            Err(failed @ WorkdirError::Io { .. }) => error = failed,
            Err(failed @ (WorkdirError::Taken { .. } | WorkdirError::Name(_))) => {
                return Err(failed);
            }
        }
    }
}

impl WorkerContext {
    async fn first_check(&self) {
        tokio::select! {
            () = self.quarantine.start() => {}
            () = self.stop.draining() => {}
        }
    }

    /// Looks for mirrors that nobody uses, now and then.
    async fn forget_old_mirrors(self: Arc<Self>) {
        loop {
            let context = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let WorkerOptions { keep_mirrors, most_mirrors, .. } = context.options;
                context.workdir.forget_old_mirrors(keep_mirrors, most_mirrors);
            });
            if let Err(error) = looked.await {
                tracing::warn!(%error, "could not check the mirrors");
            }
            tokio::time::sleep(MIRRORS).await;
        }
    }

    async fn slot(&self, instance: &str) -> Result<(), WorkerError> {
        let mut request = ClaimRequest {
            agent: self.options.name.clone(),
            instance: instance.to_owned(),
            roles: self.options.roles.clone(),
            labels: self.options.labels.clone(),
            lease_seconds: self.options.lease_seconds(),
            wait_seconds: WAIT,
            unreachable: Vec::new(),
        };
        let mut delays = BACKOFF.build();
        while self.quarantine.over(&self.stop).await && !self.stop.is_draining() {
            let asked = Instant::now();
            request.unreachable = self.reach.unreachable();
            let claim = tokio::select! {
                claim = self.client.claim(&request) => claim,
                () = self.stop.draining() => return Ok(()),
            };
            match claim {
                Ok(Some(claimed)) => {
                    delays = BACKOFF.build();
                    // The lease began at some moment after the question; to be on the safe side
                    // of a long wait, only the answer's time counts.
                    self.attempt(claimed, Instant::now()).await;
                }
                Ok(None) => {
                    delays = BACKOFF.build();
                    if asked.elapsed() < SHORTEST {
                        self.rest(SHORTEST).await;
                    }
                }
                Err(error) => match error.kind {
                    HubErrorKind::Unauthorised
                    | HubErrorKind::Forbidden
                    | HubErrorKind::Invalid => return Err(WorkerError::Hub(error)),
                    HubErrorKind::StaleLease
                    | HubErrorKind::Conflict
                    | HubErrorKind::NotFound
                    | HubErrorKind::Unavailable
                    | HubErrorKind::Protocol => {
                        let pause = delays.next().unwrap_or_default();
                        tracing::warn!(%error, ?pause, "failed to claim a task");
                        self.rest(pause).await;
                    }
                },
            }
        }
        Ok(())
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.draining() => {}
        }
    }
}
