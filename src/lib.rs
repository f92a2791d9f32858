//! Greenloop: a self-healing deploy loop.
//!
//! A commit goes in; quality gates, image, rollout and smoke tests run; what fails is turned
//! into evidence, an author drafts a patch, a reviewer may veto it, a policy decides, and the
//! loop goes round until the release is verified or a limit stops it.
//!
//! The map of the house, leftmost first; a module imports only from layers to its left
//! (`tests/layering.rs` holds the code to it):
//!
//! `model` → `patch` `config` `evidence` `exec` → `policy` `ports` → `audit` `stages` `apply`
//! `adapters` → `heal` → `engine` `report` `hub` → `app` → `cli`

pub mod adapters;
pub mod app;
pub mod apply;
pub mod audit;
pub mod cli;
pub mod config;
pub mod engine;
pub mod evidence;
pub mod exec;
pub mod heal;
pub mod hub;
pub mod model;
pub mod patch;
pub mod policy;
pub mod ports;
pub mod report;
pub mod stages;
