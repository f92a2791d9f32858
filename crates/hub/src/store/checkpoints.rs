//! The latest checkpoint of each run's audit log. Whether a new one extends it, the caller has found
//! out.

use std::sync::Arc;

use super::columns::time;
use super::connect::TaskStore;
use super::error::StoreError;
use super::record::Record;
use super::value::args;
use greenloop_hub_api::types::KeptCheckpoint;

/// A checkpoint to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint {
    pub run: String,
    /// How many records it is about.
    pub records: u64,
    /// How many those were that it was compared with; 0 where there was none.
    pub known: u64,
    /// Who submits it.
    pub token: String,
    pub text: String,
}

impl TaskStore {
    /// The latest checkpoint of a run.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn checkpoint(&self, run: &str) -> Result<Option<KeptCheckpoint>, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe("SELECT checkpoint, updated_at FROM checkpoints WHERE run = $1", args![run])
            .await?;
        row.as_ref().map(view).transpose()
    }

    /// Keeps a checkpoint in place of the one that it was compared with.
    ///
    /// # Errors
    /// `Conflict` where that is not the latest one, or another token has submitted it.
    pub async fn keep_checkpoint(&self, new: &NewCheckpoint) -> Result<KeptCheckpoint, StoreError> {
        let records = |count: u64| {
            i64::try_from(count).map_err(|_| StoreError::invalid("no log has so many records"))
        };
        let (records, known) = (records(new.records)?, records(new.known)?);
        let asked = Arc::new(new.clone());
        let kept = self
            .write(move |tx| {
                let new = Arc::clone(&asked);
                Box::pin(async move {
                    let values = args![&new.run, records, &new.token, &new.text];
                    if known == 0 {
                        return tx
                            .run(
                                "INSERT INTO checkpoints (run, records, token, checkpoint, updated_at) \
                                 VALUES ($1, $2, $3, $4, {now}) ON CONFLICT (run) DO NOTHING",
                                values,
                            )
                            .await;
                    }
                    tx.run(
                        "UPDATE checkpoints SET records = $2, checkpoint = $4, updated_at = {now} \
                         WHERE run = $1 AND token = $3 AND records = $5",
                        args![&new.run, records, &new.token, &new.text, known],
                    )
                    .await
                })
            })
            .await?;
        if kept == 0 {
            return Err(StoreError::conflict(format!(
                "the latest checkpoint of run {} is not the one with {known} records, or another \
                 token has submitted it",
                new.run
            )));
        }
        self.checkpoint(&new.run)
            .await?
            .ok_or_else(|| StoreError::not_found(format_args!("a checkpoint of run {}", new.run)))
    }
}

fn view(row: &Record) -> Result<KeptCheckpoint, StoreError> {
    Ok(KeptCheckpoint { checkpoint: row.text("checkpoint")?, at: time(row, "updated_at")? })
}
