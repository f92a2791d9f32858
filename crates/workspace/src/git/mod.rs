//! The git of the machine: what needs the network, a checkout with its filters, or a commit as
//! a person would make it. libgit2, in `apply`, speaks no https and runs no filter.
//!
//! Lives here: mirrors of remote repositories, clones that borrow a mirror's objects, fetching
//! and pushing. Must not be here: judging what is fetched, merging.
//!
//! # Guarantees
//!
//! - Credentials are the machine's own: its helpers, its ssh keys, its `GIT_CONFIG_*` variables.
//!   Nothing asks at a terminal.
//! - No hook of a repository runs, and no variable points git at another repository.
//! - A push never takes commits from a branch: it only moves it forward, and with
//!   [`Mirror::push_from`] only from where it is expected.
//! - A branch is deleted only while it stands where it is expected to.

mod branches;
mod check;
mod clone;
mod command;
mod error;
mod mirror;
#[cfg(test)]
mod tests;

pub use branches::{Deletion, ExpectedBranch, delete_branches, init_bare};
pub use check::{reachable, works};
pub use clone::{Author, TaskClone, remove_folder};
pub use command::Git;
pub use error::{GitError, GitErrorKind, class_of, system_class};
pub use mirror::{Mirror, Tip, fetch_branch};
