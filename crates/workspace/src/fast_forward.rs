//! Moving a run's branch to a commit that was made elsewhere.

use super::workspace::{oid, ref_name};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RunId};

impl Workspace {
    /// Whether `commit` has `ancestor` among its ancestors, or is it.
    ///
    /// # Errors
    /// When one of them is not in the repository.
    pub fn contains(&self, commit: &CommitId, ancestor: &CommitId) -> Result<bool, WorkspaceError> {
        if commit == ancestor {
            return Ok(true);
        }
        let repo = self.repo()?;
        repo.graph_descendant_of(oid(commit)?, oid(ancestor)?).map_err(WorkspaceError::git(
            format!("cannot compare {} with {}", commit.short(), ancestor.short()),
        ))
    }

    /// Moves the run's branch, which is made at `base` when there is none, from `from` to `to`
    /// in one step. The work tree does not follow: [`Workspace::restore`] lets it.
    ///
    /// # Errors
    /// `RefMoved` when the branch is elsewhere: nothing was changed.
    pub fn fast_forward(
        &self,
        run: RunId,
        base: &CommitId,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), WorkspaceError> {
        if self.tip(run)?.is_none() {
            self.start_branch(run, base)?;
        }
        let repo = self.repo()?;
        let (old, new) = (oid(from)?, oid(to)?);
        let moved = repo.reference_matching(&ref_name(run), new, true, old, "greenloop: tasks");
        match moved {
            Ok(_) => Ok(()),
            Err(_) if self.tip(run)?.as_ref() == Some(to) => Ok(()),
            Err(source) => Err(WorkspaceError::by_git(
                WorkspaceErrorKind::RefMoved,
                format!("the branch {} is not at {}", run.branch(), from.short()),
                &source,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestRepo;

    #[test]
    fn the_branch_moves_once_and_only_from_where_it_is() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        let workspace = repo.workspace();
        let base = workspace.head().unwrap().commit;
        repo.write("a", "2\n");
        repo.git(&["commit", "-qam", "second"]);
        let next = workspace.head().unwrap().commit;
        assert!(workspace.contains(&next, &base).unwrap());
        assert!(workspace.contains(&next, &next).unwrap());
        assert!(!workspace.contains(&base, &next).unwrap());
        let run = RunId::generate();
        for _again in 0..2 {
            workspace.fast_forward(run, &base, &base, &next).unwrap();
            assert_eq!(workspace.tip(run).unwrap(), Some(next.clone()));
        }
        let error = workspace.fast_forward(run, &base, &base, &base).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::RefMoved);
    }
}
