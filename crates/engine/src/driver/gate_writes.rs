//! Tracked files that the gates' own commands change (`gofmt -w . && go test ./...`). A patch is made
//! for the commit's version of a file, and is not written over any other: theirs is put back first,
//! as the command makes it again.

use std::time::{Duration, SystemTime};

use super::{Driver, WorkTreeAtEnd};
use greenloop_model::{NextStep, Notice, RepoPath, RunEvent, shell_word};
use greenloop_patch::Tree as _;
use greenloop_workspace::WorkspaceError;

/// How much older than the clock the time of a file may be that was just written.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// From when to when the gates ran.
#[derive(Debug, Clone, Copy)]
pub(super) struct GatesRan {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
}

impl GatesRan {
    /// Whether a file of that time was written while they ran.
    pub(super) fn spans(self, time: SystemTime) -> bool {
        time >= self.from && time <= self.to
    }

    fn holds(self, time: SystemTime) -> bool {
        time + CLOCK_TICK >= self.from && time <= self.to
    }
}

/// A file that was reset, and the id of the blob with what it held.
pub(super) type KeptFile = (RepoPath, String);

/// Files that block a patch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InTheWay {
    /// Those that git does not track.
    pub(super) untracked: Vec<RepoPath>,
    /// Those that somebody changed.
    pub(super) changed: Vec<RepoPath>,
}

impl Driver {
    /// Puts those of `paths` back as the tip has them that the gates changed while they ran. Returns
    /// the others, and what those held where it may have been a person's.
    pub(super) fn put_back_what_gates_changed(
        &self,
        paths: Vec<RepoPath>,
    ) -> Result<(InTheWay, Vec<KeptFile>), WorkspaceError> {
        let workspace = &self.run.workspace;
        let tree = workspace.tree_at(&self.tip)?;
        let mut theirs = Vec::new();
        let (mut left, mut reset) = (InTheWay::default(), Vec::new());
        for path in paths {
            if !matches!(tree.read(&path), Ok(Some(_))) {
                left.untracked.push(path);
            } else if self.is_changed_by_gates(&path) {
                theirs.push(path);
            } else {
                left.changed.push(path);
            }
        }
        if !theirs.is_empty() {
            let kept = workspace.restore_files(&theirs, &self.tip)?;
            let names: Vec<String> = theirs.iter().map(ToString::to_string).collect();
            let mut text = format!(
                "{} changed while the gates ran, and was reset to commit {} to apply a patch",
                names.join(", "),
                self.tip.short()
            );
            if !self.works_on_copy() && !kept.is_empty() {
                let git = &self.run.header.invocation.git;
                let ids: Vec<&str> = kept.iter().map(|(_, id)| id.as_str()).collect();
                text.push_str(&format!("; the previous content: {git} show {}", ids.join(" ")));
                reset = kept;
            }
            self.events.send(RunEvent::Notice(Notice::Info(self.redacted(&text))));
        }
        Ok((left, reset))
    }

    /// Nobody else works in a copy. In the work tree itself a file is theirs that was written while
    /// they ran, or that is gone: to write it again loses nothing.
    fn is_changed_by_gates(&self, path: &RepoPath) -> bool {
        let file = self.run.workspace.root().join(path.to_os_path());
        self.works_on_copy()
            || match file.symlink_metadata().and_then(|found| found.modified()) {
                Ok(time) => self.context.gates_ran.iter().any(|ran| ran.holds(time)),
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            }
    }

    /// How to get back what files of the work tree held before a patch was applied to them, where
    /// they do not hold it again: a person may have edited them while the gates ran.
    pub(super) fn reset_steps(&self) -> Vec<NextStep> {
        const MOST: usize = 5;
        let workspace = &self.run.workspace;
        let lost = self.context.reset.iter().filter(|(path, id)| !workspace.holds(path, id));
        let git = &self.run.header.invocation.git;
        lost.take(MOST)
            .map(|(path, id)| {
                let name = path.to_string();
                NextStep {
                    what: format!(
                        "{name} changed while the gates ran and was reset for a patch; if you had \
                         edited it, your version is still there"
                    ),
                    command: Some(format!(
                        "{git} show {id} > {}",
                        shell_word(&format!("{name}.mine"))
                    )),
                }
            })
            .collect()
    }

    pub(super) fn works_on_copy(&self) -> bool {
        match &self.run.at_end {
            WorkTreeAtEnd::BringBack(_) | WorkTreeAtEnd::Discard => true,
            WorkTreeAtEnd::Keep | WorkTreeAtEnd::Restore => false,
        }
    }
}
