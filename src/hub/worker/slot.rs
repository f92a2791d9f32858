//! Asking for work, one task at a time in each slot.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::WorkerOptions;
use super::attempt::{AgentLoop, Bench};
use super::heart::Heart;
use super::place::{PlaceError, WorkPlace};
use super::stop::Stop;
use crate::adapters::hub_client::wire::ClaimRequest;
use crate::adapters::hub_client::{HubClient, HubError, HubErrorKind};
use crate::evidence::Redactor;

/// How long the hub may keep a worker waiting for work.
const WAIT: u32 = 20;
/// Between two questions to a hub that answers at once that there is nothing.
const SHORTEST: Duration = Duration::from_millis(250);
/// Between two questions to a hub that does not answer, at most.
const LONGEST: Duration = Duration::from_secs(15);

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
}

impl Worker {
    /// Works until it is told to stop. On return nothing of its tasks is left running.
    ///
    /// # Errors
    /// When it cannot begin, or the hub does not let it in.
    pub async fn run(self, stop: Stop) -> Result<(), WorkerError> {
        let Self { options, client, redactor, agents } = self;
        let place = WorkPlace::take(&options.work, &options.name)?;
        let instance = uuid::Uuid::new_v4().to_string();
        let heart = Heart::start(&client, &options, &instance, &stop)?;
        let slots = options.slots.max(1);
        let bench = Arc::new(Bench { client, options, place, heart, redactor, agents, stop });
        let mut running = tokio::task::JoinSet::new();
        for _slot in 0..slots {
            let (bench, instance) = (Arc::clone(&bench), instance.clone());
            running.spawn(async move { bench.slot(&instance).await });
        }
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            // A slot that panicked has lost its task to the lease; the others go on.
            if let Ok(Err(error)) = ended {
                bench.stop.drain();
                result = Err(error);
            }
        }
        result
    }
}

impl Bench {
    async fn slot(&self, instance: &str) -> Result<(), WorkerError> {
        let request = ClaimRequest {
            agent: self.options.name.clone(),
            instance: instance.to_owned(),
            roles: self.options.roles.clone(),
            labels: self.options.labels.clone(),
            lease_seconds: self.options.lease_seconds(),
            wait_seconds: WAIT,
        };
        let mut pause = SHORTEST;
        while !self.stop.is_draining() {
            let asked = Instant::now();
            let claim = tokio::select! {
                claim = self.client.claim(&request) => claim,
                () = self.stop.draining() => return Ok(()),
            };
            match claim {
                Ok(Some(claimed)) => {
                    pause = SHORTEST;
                    // The lease began at some moment after the question; to be on the safe side
                    // of a long wait, only the answer's time counts.
                    self.attempt(claimed, Instant::now()).await;
                }
                Ok(None) => {
                    pause = SHORTEST;
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
                        tracing::warn!(%error, ?pause, "no work can be asked for");
                        self.rest(pause).await;
                        pause = (pause * 2).min(LONGEST);
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
