//! Asking for work, one task at a time in each slot.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::WorkerOptions;
use super::attempt::{AgentLoop, Bench};
use super::heart::{Fitness, Heart};
use super::place::{PlaceError, WorkPlace};
use super::quarantine::Quarantine;
use super::reach::Reach;
use super::self_check::{Fault, ModelCheck, SelfCheck};
use super::stop::Stop;
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::wire::ClaimRequest;
use greenloop_hub_api::client::{HubClient, HubError, HubErrorKind};
use greenloop_model::{FailureClass, chain};

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

/// A worker that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its folders.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The hub does not let it in, or does not understand it.
    #[error("the hub does not take this worker")]
    Hub(#[source] HubError),
    /// No thread for its heartbeats.
    #[error("no thread for heartbeats can be had")]
    Thread(#[source] std::io::Error),
}

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
    /// Works until it is told to stop. On return nothing of its tasks is left running.
    ///
    /// # Errors
    /// When it cannot begin, or the hub does not let it in.
    pub async fn run(self, stop: Stop) -> Result<(), WorkerError> {
        let Self { options, client, redactor, agents, model } = self;
        let taken = WorkPlace::take(&options.work, &options.name);
        // A name that is taken, or is none, will not change; a disk may.
        if let Err(PlaceError::Taken { .. } | PlaceError::Name(_)) = &taken {
            taken?;
            return Ok(());
        }
        let folder = options.work.join(&options.name);
        let reach = Reach::new(folder.clone(), redactor.clone(), options.recheck, stop.clone());
        let check = SelfCheck { folder, redactor: redactor.clone(), model };
        let quarantine = Quarantine::new(check, options.recheck);
        let instance = uuid::Uuid::new_v4().to_string();
        let fitness = Fitness { quarantine: quarantine.reason(), unreachable: reach.changes() };
        let heart = Heart::start(&client, &options, &instance, &stop, fitness)?;
        let place = match taken {
            Ok(place) => place,
            Err(error) => match place_in_time(error, &options, &quarantine, &stop).await? {
                Some(place) => place,
                None => {
                    heart.leave().await;
                    return Ok(());
                }
            },
        };
        let slots = options.slots.max(1);
        let bench =
            Bench { client, options, place, heart, redactor, agents, stop, quarantine, reach };
        let bench = Arc::new(bench);
        let cleaner = tokio::spawn(Arc::clone(&bench).forget_old_mirrors());
        let ready = Arc::new(tokio::sync::OnceCell::new());
        let mut running = tokio::task::JoinSet::new();
        for _slot in 0..slots {
            let (bench, instance, ready) =
                (Arc::clone(&bench), instance.clone(), Arc::clone(&ready));
            running.spawn(async move {
                ready.get_or_init(|| bench.first_check()).await;
                bench.slot(&instance).await
            });
        }
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            // A slot that panicked has lost its task to the lease; the others go on.
            if let Ok(Err(error)) = ended {
                bench.stop.drain();
                result = Err(error);
            }
        }
        cleaner.abort();
        bench.heart.leave().await;
        result
    }
}

/// Tries again to take the place, in quarantine meanwhile; `None` when the worker stops first.
async fn place_in_time(
    error: PlaceError,
    options: &WorkerOptions,
    quarantine: &Quarantine,
    stop: &Stop,
) -> Result<Option<WorkPlace>, PlaceError> {
    let mut error = error;
    loop {
        let reason = chain(&error);
        quarantine.begin(&Fault::new(FailureClass::Infrastructure, reason), None);
        tokio::select! {
            () = quarantine.pause() => {}
            () = stop.draining() => return Ok(None),
        }
        match WorkPlace::take(&options.work, &options.name) {
            // The first check ends the quarantine.
            Ok(place) => return Ok(Some(place)),
            Err(failed @ PlaceError::Io { .. }) => error = failed,
            Err(failed @ (PlaceError::Taken { .. } | PlaceError::Name(_))) => return Err(failed),
        }
    }
}

impl Bench {
    async fn first_check(&self) {
        tokio::select! {
            () = self.quarantine.start() => {}
            () = self.stop.draining() => {}
        }
    }

    /// Looks for mirrors that nobody uses, now and then.
    async fn forget_old_mirrors(self: Arc<Self>) {
        loop {
            let bench = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let WorkerOptions { keep_mirrors, most_mirrors, .. } = bench.options;
                bench.place.forget_old_mirrors(keep_mirrors, most_mirrors);
            });
            if let Err(error) = looked.await {
                tracing::warn!(%error, "the mirrors were not looked at");
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
                        tracing::warn!(%error, ?pause, "no work can be asked for");
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
