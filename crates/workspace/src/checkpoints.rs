//! Checkpoints of audit logs, kept in git: each is the message of a commit in a history of its
//! own, which is pushed like any other, and which a server lets nobody shorten who may only
//! fast-forward.

use super::error::WorkspaceError;
use super::workspace::Workspace;
use git2::Signature;

/// Where that history ends.
pub const CHECKPOINTS_REF: &str = "refs/greenloop/audit";

/// How often an append is tried while other runs append.
const TRIES: usize = 40;
/// Between two tries.
const WHILE_LOCKED: std::time::Duration = std::time::Duration::from_millis(10);

/// Whether another run writes at the same time.
fn is_others(error: &git2::Error) -> bool {
    matches!(
        error.code(),
        git2::ErrorCode::Locked | git2::ErrorCode::Modified | git2::ErrorCode::Exists
    )
}

impl Workspace {
    /// Appends a checkpoint.
    ///
    /// # Errors
    /// When git cannot write it.
    pub fn append_checkpoint(&self, text: &str) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git(format!("cannot append to {CHECKPOINTS_REF}"));
        let by = Signature::now("Greenloop", "greenloop@localhost").map_err(failed())?;
        let empty = repo.treebuilder(None).and_then(|tree| tree.write()).map_err(failed())?;
        let tree = repo.find_tree(empty).map_err(failed())?;
        let mut tried = 1;
        loop {
            let tip = match repo.refname_to_id(CHECKPOINTS_REF) {
                Ok(tip) => Some(repo.find_commit(tip).map_err(failed())?),
                Err(error) if error.code() == git2::ErrorCode::NotFound => None,
                Err(error) => return Err(failed()(error)),
            };
            let parents: Vec<_> = tip.iter().collect();
            // Refused when the ref has moved on from that parent.
            match repo.commit(Some(CHECKPOINTS_REF), &by, &by, text, &tree, &parents) {
                Ok(_) => return Ok(()),
                Err(error) if tried < TRIES && is_others(&error) => {
                    tried += 1;
                    // The other run holds the ref's lock until it is on the disk.
                    std::thread::sleep(WHILE_LOCKED);
                }
                Err(error) => return Err(failed()(error)),
            }
        }
    }

    /// All checkpoints, the latest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<String>, WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git(format!("cannot read {CHECKPOINTS_REF}"));
        let tip = match repo.refname_to_id(CHECKPOINTS_REF) {
            Ok(tip) => tip,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed()(error)),
        };
        let mut walk = repo.revwalk().map_err(failed())?;
        walk.push(tip).map_err(failed())?;
        walk.map(|commit| {
            let commit = repo.find_commit(commit.map_err(failed())?).map_err(failed())?;
            Ok(String::from_utf8_lossy(commit.message_raw_bytes()).into_owned())
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::TestRepo;

    #[test]
    fn checkpoints_are_read_as_they_were_appended_by_several_at_once() {
        let repo = TestRepo::new(&[("a", "1\n")]);
        assert_eq!(repo.workspace().checkpoints().unwrap(), [""; 0]);
        let text = |n: u32| format!("greenloop/audit/{n}\n{n}\nroot=\n\n");
        repo.workspace().append_checkpoint(&text(0)).unwrap();
        std::thread::scope(|scope| {
            for n in 1..=3 {
                let workspace = repo.workspace();
                scope.spawn(move || workspace.append_checkpoint(&text(n)).unwrap());
            }
        });
        let mut checkpoints = repo.workspace().checkpoints().unwrap();
        assert_eq!(checkpoints.last(), Some(&text(0)));
        checkpoints.sort();
        assert_eq!(checkpoints, [text(0), text(1), text(2), text(3)]);
        assert_eq!(repo.git(&["status", "--porcelain"]), "");
    }
}
