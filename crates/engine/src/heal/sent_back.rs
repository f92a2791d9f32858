//! Why an answer was not taken, told to whom gives the next one.

/// Why the last answer of a conversation was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBack {
    /// What is wrong with it, so that the next one can be right.
    pub text: String,
    /// The kind of reason.
    pub why: SentBackWhy,
}

/// Why an answer goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentBackWhy {
    /// It could not be read, or does not fit.
    Refused,
    /// A person would have to confirm it, and nobody can be asked.
    WantsPerson,
}
