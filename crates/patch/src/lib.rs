#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! A model's answer or a plain diff, understood and fitted to a tree.
//!
//! The way of an answer: text → [`parse_answer`] → [`Edits`] (what it says) → [`resolve`]
//! against a [`Tree`] → [`ParsedPatch`] (what it means) → canonical unified diff.
//!
//! Lives here: the accepted formats (search/replace blocks, unified diffs, the
//! `*** Begin Patch` envelope, whole files), fuzzy matching with ever more tolerance, the refusals
//! that teach, the rendering of the canonical diff. Must not be here: the file system, git,
//! policy. Nothing here judges whether a change is wise; symlinks and modes are carried through.
//!
//! Invariants:
//! - All or nothing: a [`ParsedPatch`] exists only when every edit of the answer has its place.
//! - An edit has exactly one place at the first tolerance at which it has any, or the answer
//!   is refused. Line numbers alone never choose between places unless all of them hold.
//! - Lines that an edit keeps come from the file, byte for byte, never from the answer.
//! - The canonical diff is computed from the two trees, never copied from the answer.
//! - Time is bounded by the sizes of the answer and of the files it names; there are no clocks.

mod adapt;
mod answer;
mod boundary;
mod canonical;
mod collector;
mod edit;
mod elision;
mod envelope;
mod fence;
mod fit;
mod fuzzy_match;
mod hunk_body;
mod indentation;
mod line_index;
mod lines;
mod link;
mod locate;
mod nearest;
mod no_patch;
mod normalize;
mod parsed;
mod placement;
mod refusal;
mod resolve;
mod scan;
mod search_replace;
mod spaced_path;
mod splice;
mod tree;
mod unified;
mod whole_file;
mod written_path;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod scenario_tests;

pub use answer::{Answer, Edits, parse_answer};
pub use locate::ResolveOptions;
pub use parsed::ParsedPatch;
pub use refusal::{Refusal, RefusalKind};
pub use resolve::resolve;
pub use tree::{MemoryTree, Tree};
