//! The git workspace: reading commits, and putting a cleared patch into one.
//!
//! Lives here: everything that touches git (this is the only user of git2) and the work tree.
//! Must not be here: any judgement of a patch; hooks, filters that run programs, signing, the
//! network.
//!
//! A patch goes three steps. [`Workspace::prepare`] writes objects that nothing refers to;
//! [`Workspace::publish`] moves the run's branch in one compare-and-swap; then
//! [`Workspace::write_paths`] makes the work tree's files equal to the commit's, one rename
//! each. Killed before the swap, nothing has happened; killed after it, writing the same paths
//! again finishes the job. HEAD and the index are never touched.
//!
//! A run in a changed work tree works on a [`WorkTreeCopy`], which shares no file with the
//! original; its fix is merged into the original at the end, and can be taken back.
//!
//! Invariants:
//! - What the author reads comes from a commit's tree, never from the work tree.
//! - No path through a symbolic link or into a submodule is written, on the tree or on disk.
//! - A work-tree file is only replaced when it is what one of the two commits says it is.

mod browse;
mod carry;
mod checkpoints;
mod commit_tree;
mod copy;
mod copy_file;
mod durable;
mod error;
mod exchange;
mod fast_forward;
#[cfg(test)]
mod fixtures;
mod folder;
pub mod git;
mod history;
mod init;
mod judged;
mod merge;
mod prepare;
mod snapshot;
mod throwaway;
mod work_tree;
mod workspace;

pub use browse::{FileLines, SearchHit};
pub use carry::{BroughtBack, Fix};
pub use checkpoints::CHECKPOINTS_REF;
pub use commit_tree::CommitTree;
pub use copy::{CopyOptions, WorkTreeCopy};
pub use error::{WorkspaceError, WorkspaceErrorKind};
pub use folder::{
    check_work_tree, list_work_tree, read_work_tree, work_tree_root, write_work_tree,
};
pub use history::CommitInfo;
pub use init::{check_out, commit_all, create_repository};
pub use merge::{Conflict, MergePlace, Merged};
pub use prepare::{AppliedPatch, PreparedPatch};
pub use snapshot::Snapshot;
pub use throwaway::ThrowawayClone;
pub use workspace::{Head, Workspace};
