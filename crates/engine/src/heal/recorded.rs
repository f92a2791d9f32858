//! A patch that an earlier run has made and that this one is to judge again.

use greenloop_model::FileChange;

/// A patch, and who wrote it why.
#[derive(Debug, Clone)]
pub struct RecordedPatch {
    /// Who wrote it, for people and the audit log.
    pub label: String,
    /// What it changes of the commit that the run starts from.
    pub changes: Vec<FileChange>,
    /// The author's reason.
    pub reason: String,
}
