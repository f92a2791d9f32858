//! Greenloop: a self-healing deploy loop.
//!
//! A commit goes in; quality gates, image, rollout and smoke tests run; what fails is turned
//! into evidence, an author drafts a patch, a reviewer may veto it, a policy decides, and the
//! loop goes round until the release is verified or a limit stops it.
//!
//! This package is the program: the command line ([`cli`]) and what puts the parts together
//! ([`app`]). The parts are the crates under `crates/`; ARCHITECTURE.md is their map.

pub mod app;
pub mod cli;
