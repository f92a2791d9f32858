//! The outside world: what speaks to it stands behind a trait of [`crate::ports`].

pub mod llm;
pub mod process;
