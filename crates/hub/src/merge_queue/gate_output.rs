//! The output of gates, kept in the store while they run, so that people can follow it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::candidate::{MergeCandidate, NO_ENTRY};
use super::store::MergeStore;
use crate::store::LogWriter;
use greenloop_model::task::Lease;
use greenloop_model::{EventSink, RunEvent, error_chain};

/// How long output may gather.
const GATHER: Duration = Duration::from_millis(500);
/// Bytes that are kept at a time.
const PIECE: usize = 64 << 10;

/// Where the output of gates goes.
#[derive(Clone)]
pub(super) struct GateOutput(Arc<dyn MergeStore>);

impl std::fmt::Debug for GateOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GateOutput")
    }
}

/// Output that is being kept.
pub(super) struct KeptOutput(Option<tokio::task::JoinHandle<()>>);

impl KeptOutput {
    /// Waits until all of it is kept. Nobody sends anything any more.
    pub(super) async fn finish(self) {
        let Some(task) = self.0 else { return };
        if let Err(error) = task.await {
            tracing::warn!(%error, "the output of gates was not kept");
        }
    }
}

impl GateOutput {
    pub(super) fn new(store: Arc<dyn MergeStore>) -> Self {
        Self(store)
    }

    /// Keeps what gates of a candidate send, which is redacted.
    pub(super) fn follow(&self, candidate: &MergeCandidate) -> (EventSink, KeptOutput) {
        if candidate.id.0 == NO_ENTRY {
            return (EventSink::null(), KeptOutput(None));
        }
        let (sender, events) = channel();
        let kept = Kept {
            store: Arc::clone(&self.0),
            lease: Lease { task: candidate.task, epoch: candidate.epoch },
            pending: BTreeMap::new(),
            failed: false,
        };
        let runtime = tokio::runtime::Handle::current();
        let task = tokio::task::spawn_blocking(move || kept.keep(&events, &runtime));
        (EventSink::new(sender), KeptOutput(Some(task)))
    }
}

struct Kept {
    store: Arc<dyn MergeStore>,
    lease: Lease,
    /// What is still to be kept, by the name of its gate.
    pending: BTreeMap<String, String>,
    failed: bool,
}

impl Kept {
    /// Until nobody sends anything any more.
    fn keep(mut self, events: &Receiver<RunEvent>, runtime: &tokio::runtime::Handle) {
        loop {
            match events.recv_timeout(GATHER) {
                Ok(RunEvent::PartStarted { name, command, .. }) => {
                    self.pending.entry(name).or_default().push_str(&format!("$ {command}\n"));
                }
                Ok(RunEvent::Output { name, text, .. }) => {
                    let gathered = self.pending.entry(name).or_default();
                    gathered.push_str(&text);
                    if gathered.len() < PIECE {
                        continue;
                    }
                }
                Ok(_) => continue,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    runtime.block_on(self.flush());
                    return;
                }
            }
            runtime.block_on(self.flush());
        }
    }

    async fn flush(&mut self) {
        for (name, text) in std::mem::take(&mut self.pending) {
            let source = format!("gate {name}");
            for piece in pieces(&text, PIECE) {
                let kept = self
                    .store
                    .append_log(self.lease, &source, LogWriter::MergeQueue, None, piece)
                    .await;
                if let Err(error) = kept
                    && !std::mem::replace(&mut self.failed, true)
                {
                    // The gates' result counts more than their output.
                    let error = error_chain(&error);
                    tracing::warn!(error, task = %self.lease.task, "gate output was not kept");
                }
            }
        }
    }
}

/// A text in pieces of at most so many bytes.
fn pieces(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = (1..=most.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(pieces("aéb", 2).collect::<Vec<_>>(), ["a", "é", "b"]);
        assert_eq!(pieces("", 2).count(), 0);
        assert_eq!(pieces("é", 1).collect::<Vec<_>>(), ["é"]);
    }
}
