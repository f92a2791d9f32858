//! All lanes of a store, each worked on while it has entries.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lane::Worker;
use super::store::{Lane, MergeStore};
use super::trial::TrialPlace;
use crate::evidence::Redactor;

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
    /// Variables that gates do not inherit: the hub's own secrets.
    pub withheld: Vec<String>,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
}

/// The merge queue of one hub.
#[derive(Debug)]
pub struct MergeQueue;

impl MergeQueue {
    /// Works until `cancel`; on return nothing of it is left running. `wake` lets it look at
    /// once.
    pub async fn run(
        store: Arc<dyn MergeStore>,
        options: MergeOptions,
        wake: Arc<tokio::sync::Notify>,
        cancel: CancellationToken,
    ) {
        let options = Arc::new(options);
        let place = TrialPlace {
            folder: options.work.join("merges"),
            redactor: options.redactor.clone(),
            withheld: options.withheld.clone(),
        };
        let mut busy: HashMap<Lane, tokio::task::AbortHandle> = HashMap::new();
        let mut running = tokio::task::JoinSet::new();
        while !cancel.is_cancelled() {
            busy.retain(|_, task| !task.is_finished());
            match store.lanes().await {
                Ok(lanes) => {
                    for lane in lanes {
                        if busy.contains_key(&lane) {
                            continue;
                        }
                        let worker = Worker::new(
                            Arc::clone(&store),
                            Arc::clone(&options),
                            place.clone(),
                            lane.clone(),
                            cancel.child_token(),
                        );
                        busy.insert(lane, running.spawn(worker.run()));
                    }
                }
                Err(error) => tracing::warn!(%error, "the merge queues cannot be read"),
            }
            tokio::select! {
                () = tokio::time::sleep(options.look) => {}
                () = wake.notified() => {}
                Some(_lane) = running.join_next() => {}
                () = cancel.cancelled() => {}
            }
        }
        // Lanes hear the cancel themselves, and give their leases back.
        while running.join_next().await.is_some() {}
    }
}
