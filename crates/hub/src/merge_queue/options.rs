//! How the merge queue works.

use std::path::PathBuf;
use std::time::Duration;

use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::Settings;
use greenloop_model::task::HoldDecision;

/// The sandbox of the merge queue's gates.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// What it is like.
    pub settings: Settings,
    /// Whether gates may use the network.
    pub network: bool,
    /// The program that starts sandboxed commands.
    pub launcher: PathBuf,
}

/// How the merge queue works.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Mirrors, work trees and logs go below it.
    pub work: PathBuf,
    /// Who writes: unique for each hub and start of it.
    pub holder: String,
    /// How long a lease lasts that is not extended.
    pub lease: Duration,
    /// How often the store is looked at when nothing wakes the queue.
    pub look: Duration,
    /// Entries of one queue that are tested at the same time, each on top of the one before; 1
    /// for one after the other.
    pub window: usize,
    /// How often the target of a queue on hold is looked at.
    pub recheck: Duration,
    /// How often the target of a queue without entries is looked at.
    pub watch: Duration,
    /// How often mirrors and logs that nobody needs are looked for.
    pub tidy: Duration,
    /// What becomes of a target that was moved other than forward; `None` asks a person.
    pub on_rewind: Option<HoldDecision>,
    /// Variables that gates do not inherit: the hub's own secrets.
    pub env_remove: Vec<String>,
    /// What gates run in; `None` for gates that see what the hub sees.
    pub sandbox: Option<SandboxOptions>,
    /// Takes secrets out of every text.
    pub redactor: Redactor,
}
