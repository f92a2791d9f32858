//! The hub as a witness of a run's audit log: it gets each checkpoint with the proof that the log
//! extends the one before, and signs it where it has a key. A hub that does not answer fails no run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use greenloop_audit::{CHECKPOINT_FILE, Checkpoint, FILE_NAME, consistency_proof};
use greenloop_hub_api::client::{HubClient, HubErrorKind};
use greenloop_hub_api::types::CheckpointSubmission;
use greenloop_model::{RunId, error_chain};

/// How often a living run is looked at for a new checkpoint.
const LOOK: Duration = Duration::from_secs(5);

/// A run whose checkpoints are submitted until [`HubWitness::finish`].
pub(super) struct HubWitness {
    ended: CancellationToken,
    submitter: JoinHandle<Submitter>,
}

struct Submitter {
    client: HubClient,
    run: RunId,
    folder: PathBuf,
    /// The latest checkpoint that the hub has, once it was asked.
    kept: Option<Checkpoint>,
}

impl HubWitness {
    pub(super) fn watch(client: HubClient, run: RunId, folder: &Path) -> Self {
        let ended = CancellationToken::new();
        let mut submitter = Submitter { client, run, folder: folder.to_owned(), kept: None };
        let end = ended.clone();
        let submitter = tokio::spawn(async move {
            let watched = async {
                loop {
                    tokio::time::sleep(LOOK).await;
                    if let Err(why) = submitter.submit().await {
                        tracing::debug!(why, "the hub has not taken the audit log's checkpoint");
                    }
                }
            };
            end.run_until_cancelled(watched).await;
            submitter
        });
        Self { ended, submitter }
    }

    /// Submits the last checkpoint, and writes it down with the hub's signature.
    pub(super) async fn finish(self, timeout: Duration) {
        self.ended.cancel();
        let Ok(mut submitter) = self.submitter.await else { return };
        let outcome = match tokio::time::timeout(timeout, submitter.submit()).await {
            Ok(Ok(())) => submitter.write_down(),
            Ok(Err(why)) => Err(why),
            Err(_elapsed) => Err(format!("no answer within {} s", timeout.as_secs_f32())),
        };
        if let Err(why) = outcome {
            tracing::warn!(why, "the audit log's checkpoint is not kept at the hub");
        }
    }
}

impl Submitter {
    /// The checkpoint beside the log; `None` before the first one.
    fn own(&self) -> Result<Option<Checkpoint>, String> {
        match std::fs::read_to_string(self.folder.join(CHECKPOINT_FILE)) {
            Ok(text) => {
                text.parse().map(Some).map_err(|error| format!("{CHECKPOINT_FILE}: {error}"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{CHECKPOINT_FILE}: {error}")),
        }
    }

    /// Has the hub keep the checkpoint beside the log, if it has not.
    async fn submit(&mut self) -> Result<(), String> {
        let Some(own) = self.own()? else { return Ok(()) };
        let parsed = |text: &str| text.parse::<Checkpoint>().map_err(|error| format!("{error}"));
        if self.kept.is_none() {
            // A run that is resumed has been there before.
            self.kept = match self.client.checkpoint(&self.run.to_string()).await {
                Ok(kept) => Some(parsed(&kept.checkpoint)?),
                Err(error) if error.kind == HubErrorKind::NotFound => None,
                Err(error) => return Err(error_chain(&error)),
            };
        }
        if self.kept.as_ref().is_some_and(|kept| kept.is_of_same_log(&own)) {
            return Ok(());
        }
        let (known, records) = (self.kept.as_ref().map_or(0, |kept| kept.records), own.records);
        let log = self.folder.join(FILE_NAME);
        let proof = tokio::task::spawn_blocking(move || consistency_proof(&log, known, records))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|fault| fault.to_string())?
            .ok_or_else(|| format!("the hub has a checkpoint of {known} records, the log fewer"))?;
        let submission =
            CheckpointSubmission { checkpoint: own.to_string(), known, proof: proof.to_lines() };
        let kept = self.client.keep_checkpoint(&submission).await.map_err(|e| error_chain(&e))?;
        let kept = parsed(&kept.checkpoint)?;
        if !kept.is_of_same_log(&own) {
            return Err("the hub's answer is about another log".to_owned());
        }
        self.kept = Some(kept);
        Ok(())
    }

    /// Replaces the checkpoint beside the log with the hub's, which has its signature too.
    fn write_down(&self) -> Result<(), String> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let path = self.folder.join(CHECKPOINT_FILE);
        // Not in the folder, whose files the log's last record lists.
        let part = self.folder.with_extension("checkpoint");
        std::fs::write(&part, kept.to_string())
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
