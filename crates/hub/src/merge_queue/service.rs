//! All merge queues of a store, each worked on while it has entries.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::gate_output::GateOutput;
use super::gates::GateRunner;
use super::options::MergeOptions;
use super::store::MergeStore;
use super::tidy::tidy;
use super::workdir::Workdir;
use super::worker::Worker;
use crate::store::TargetQueue;
use greenloop_model::error_chain;

/// The merge queue of one hub.
#[derive(Debug)]
pub struct MergeQueue {
    options: Arc<MergeOptions>,
    workdir: Arc<Workdir>,
}

impl MergeQueue {
    /// Locks a folder below the one of the options for its work.
    ///
    /// # Errors
    /// When none can be opened.
    pub fn open(options: MergeOptions) -> std::io::Result<Self> {
        let workdir = Arc::new(Workdir::lock(&options.work)?);
        Ok(Self { options: Arc::new(options), workdir })
    }

    /// Works until `cancel`; on return nothing of it is left running. `wake` lets it look at
    /// once.
    pub async fn run(
        self,
        store: Arc<dyn MergeStore>,
        wake: Arc<tokio::sync::Notify>,
        cancel: CancellationToken,
    ) {
        let Self { options, workdir } = self;
        let gates = GateRunner {
            folder: workdir.merges(),
            logs: workdir.logs(),
            redactor: options.redactor.clone(),
            env_remove: options.env_remove.clone(),
            sandbox: options.sandbox.clone(),
            output: GateOutput::new(Arc::clone(&store)),
        };
        let tidying = tokio::spawn(tidy(
            Arc::clone(&store),
            Arc::clone(&workdir),
            options.redactor.clone(),
            options.tidy,
            cancel.clone(),
        ));
        let mut running = tokio::task::JoinSet::new();
        // How often in a row each queue was paused.
        let mut pauses: HashMap<TargetQueue, u32> = HashMap::new();
        let mut failing = false;
        while !cancel.is_cancelled() {
            let taken = match store.claim_merges(&options.holder, options.lease).await {
                Ok(None) => store.watch_merges(&options.holder, options.lease, options.watch).await,
                taken => taken,
            };
            match taken {
                Ok(Some(lease)) => {
                    let worker = Worker {
                        store: Arc::clone(&store),
                        options: Arc::clone(&options),
                        workdir: Arc::clone(&workdir),
                        gates: gates.clone(),
                        pauses: pauses.get(&lease.queue()).copied().unwrap_or(0),
                        lease,
                        cancel: cancel.child_token(),
                    };
                    running.spawn(worker.run());
                    continue;
                }
                Ok(None) => failing = false,
                Err(error) => {
                    if !failing {
                        let error = error_chain(&error);
                        tracing::warn!(error, "could not read the merge queues");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(options.look) => {}
                () = wake.notified() => {}
                Some(ended) = running.join_next() => {
                    if let Ok((queue, in_a_row)) = ended {
                        pauses.insert(queue, in_a_row);
                    }
                }
                () = cancel.cancelled() => {}
            }
        }
        // Workers end at the cancel, and release their leases.
        while running.join_next().await.is_some() {}
        if let Err(error) = tidying.await {
            tracing::warn!(%error, "cleaning up the merge queue's folder failed");
        }
    }
}
