//! Keeps what models were asked and answered: files named by their hash, and records that name
//! the hashes.

use std::path::Path;

use super::{DriveError, Driver};
use crate::heal::Exchange;
use greenloop_audit::Actor;

/// The folder of a run's exchanges with models.
const FOLDER: &str = "exchanges";

impl Driver {
    /// Keeps these calls of a model.
    pub(super) fn keep_exchanges(
        &mut self,
        iteration: u32,
        actor: &Actor,
        exchanges: Vec<Exchange>,
    ) -> Result<(), DriveError> {
        for exchange in exchanges {
            let contents = std::iter::once(&exchange.request).chain(exchange.answer.as_ref().ok());
            for content in contents {
                let folder = self.run.header.folder.join(FOLDER);
                // The record holds the hash in any case: what is missing is seen to be missing.
                if let Err(error) = write_once(&folder, &content.sha256, &content.bytes) {
                    tracing::warn!(%error, "what a model was asked or answered was not kept");
                }
            }
            self.note(actor, "model.exchange", exchange.record(iteration))?;
        }
        Ok(())
    }
}

/// Writes a file that is named by its content, unless it is there.
fn write_once(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.json"));
    if path.exists() {
        return Ok(());
    }
    let part = folder.join(format!("{name}.part"));
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, path)
}
