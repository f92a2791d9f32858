//! All lanes of a store, each worked on while it has entries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lane::Worker;
use super::place::Place;
use super::store::{Lane, MergeStore};
use super::tidy::tidy;
use super::trial::TrialPlace;
use greenloop_evidence::Redactor;
use greenloop_model::chain;
use greenloop_model::task::HoldDecision;

/// How the merge queue works.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Mirrors, work trees and logs go below it.
    pub work: PathBuf,
    /// Who writes: unique for each hub and start of it.
    pub holder: String,
    /// How long a lane is held without a sign of life.
    pub lease: Duration,
    /// How often the store is looked at when nothing wakes the queue.
    pub look: Duration,
    /// Entries of one lane that are tested at the same time, each on top of the one before; 1
    /// for one after the other.
    pub window: usize,
    /// How often the target of a lane on hold is looked at.
    pub recheck: Duration,
    /// How often the target of a lane without entries is looked at.
    pub watch: Duration,
    /// How often mirrors and logs that nobody needs are looked for.
    pub tidy: Duration,
    /// What becomes of a target that was moved other than forward; `None` asks a person.
    pub on_rewind: Option<HoldDecision>,
    /// Variables that gates do not inherit: the hub's own secrets.
    pub withheld: Vec<String>,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
}

/// The merge queue of one hub.
#[derive(Debug)]
pub struct MergeQueue {
    options: Arc<MergeOptions>,
    place: Arc<Place>,
}

impl MergeQueue {
    /// Takes a place below the folder for its work.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn open(options: MergeOptions) -> std::io::Result<Self> {
        let place = Arc::new(Place::take(&options.work)?);
        Ok(Self { options: Arc::new(options), place })
    }

    /// Works until `cancel`; on return nothing of it is left running. `wake` lets it look at
    /// once.
    pub async fn run(
        self,
        store: Arc<dyn MergeStore>,
        wake: Arc<tokio::sync::Notify>,
        cancel: CancellationToken,
    ) {
        let Self { options, place } = self;
        let trials = TrialPlace {
            folder: place.merges(),
            logs: place.logs(),
            redactor: options.redactor.clone(),
            withheld: options.withheld.clone(),
        };
        let tidying = tokio::spawn(tidy(
            Arc::clone(&store),
            Arc::clone(&place),
            options.redactor.clone(),
            options.tidy,
            cancel.clone(),
        ));
        let mut running = tokio::task::JoinSet::new();
        // How often in a row each lane was in trouble.
        let mut troubles: HashMap<Lane, u32> = HashMap::new();
        let mut failing = false;
        while !cancel.is_cancelled() {
            let taken = match store.take(&options.holder, options.lease).await {
                Ok(None) => store.watch(&options.holder, options.lease, options.watch).await,
                taken => taken,
            };
            match taken {
                Ok(Some(writer)) => {
                    let worker = Worker {
                        store: Arc::clone(&store),
                        options: Arc::clone(&options),
                        place: Arc::clone(&place),
                        trials: trials.clone(),
                        troubles: troubles.get(&writer.lane).copied().unwrap_or(0),
                        writer,
                        cancel: cancel.child_token(),
                    };
                    running.spawn(worker.run());
                    continue;
                }
                Ok(None) => failing = false,
                Err(error) => {
                    if !failing {
                        let error = chain(&error);
                        tracing::warn!(error, "the merge queues cannot be read");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(options.look) => {}
                () = wake.notified() => {}
                Some(ended) = running.join_next() => {
                    if let Ok((lane, in_a_row)) = ended {
                        troubles.insert(lane, in_a_row);
                    }
                }
                () = cancel.cancelled() => {}
            }
        }
        // Lanes hear the cancel themselves, and give their leases back.
        while running.join_next().await.is_some() {}
        if let Err(error) = tidying.await {
            tracing::warn!(%error, "tidying the merge queue's folder failed");
        }
    }
}
