//! What a repository is, and the files that make Greenloop deploy it: `greenloop init`.
//!
//! Lives here: finding out what kinds of projects a repository holds ([`survey`]), by a table
//! (`table/kinds.yaml`, read in [`kind`]); choosing among the gates that were tried ([`choose`]);
//! writing configuration, ignore files and the step of a pipeline ([`proposal`]).
//! Must not be here: running anything, and writing files. The caller tries a command and says how
//! that went.
//!
//! Invariants: a file that is there is never replaced; lines are only added to ignore files. A gate
//! stands in the configuration only if it was run and passed.

mod cluster;
mod condition;
mod container;
mod files;
mod health;
mod ignore_file;
mod kind;
mod notes;
mod pages;
mod pipeline;
mod preview;
mod project;
mod proposal;
mod start;
mod survey;
mod trial;
mod yaml;

pub use files::Files;
pub use notes::notes;
pub use pipeline::System;
pub use preview::preview;
pub use proposal::{Choices, ProposedFile, propose};
pub use start::Start;
pub use survey::{Survey, survey};
pub use trial::{Candidate, Conclusion, Trial, choose};
