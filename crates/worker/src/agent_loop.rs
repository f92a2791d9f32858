//! The author and the reviewer, as a worker runs them.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::live_log::LogSink;
use super::self_check::{Fault, ModelCheck};
use greenloop_model::{FailureClass, Fingerprint, ModelUsage, RunId};

/// A task for the author and the reviewer.
#[derive(Debug, Clone)]
pub struct AgentJob {
    /// The clone they work in.
    pub folder: PathBuf,
    /// Marks every process of the work.
    pub run: RunId,
    /// One line.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// What it is expected to touch, as globs.
    pub files: Vec<String>,
    /// What the attempt before ended in.
    pub previous: Option<String>,
    /// Commands that the merge must pass.
    pub gates: Vec<String>,
    /// ProgressSink how far the work is, in percent, and what is done now.
    pub progress: ProgressSink,
    /// Takes the output of its gates, redacted.
    pub log: LogSink,
    /// Ends the work.
    pub cancel: CancellationToken,
}

/// Takes reports on progress. Cheap to clone.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(u8, String) + Send + Sync>);

impl ProgressSink {
    /// Calls `report` for each.
    pub fn new(report: impl Fn(u8, String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Reports.
    pub fn report(&self, percent: u8, text: String) {
        (self.0)(percent, text);
    }
}

impl std::fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProgressSink")
    }
}

/// What the author and the reviewer came to.
pub enum AgentEnd {
    /// The work tree has it.
    Done {
        /// One line.
        summary: String,
        /// The canonical diffs, and what the reviewer said of each.
        patches: Vec<(String, String)>,
        /// What models used.
        usage: Vec<ModelUsage>,
    },
    /// It was not done.
    Failed {
        /// What kind of error it is.
        class: FailureClass,
        /// One line.
        message: String,
        /// Its identity.
        fingerprint: Option<Fingerprint>,
        /// The evidence, as text.
        evidence: String,
        /// What this machine, or its way to a model, is at fault for.
        fault: Option<Fault>,
        /// How to see whether the model answers again.
        check: Option<ModelCheck>,
        /// What models used.
        usage: Vec<ModelUsage>,
    },
}

/// The author/reviewer loop, as the composition root puts it together.
pub type AgentLoop = Arc<dyn Fn(AgentJob) -> BoxFuture<'static, AgentEnd> + Send + Sync>;
