//! The outside world, one folder for each thing that is spoken to; what each can do is a trait
//! in [`crate::ports`].

pub mod llm;
