//! How much of a log is kept.

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractLimits {
    /// Lines, all excerpts together.
    pub lines: usize,
    /// Bytes, all excerpts together.
    pub bytes: usize,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self { lines: 80, bytes: 12 * 1024 }
    }
}
