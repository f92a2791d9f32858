//! Detects gates that ran with other tests than the commit's: a product that rewrites a test, or adds a
//! module that shadows one, while the gate runs, passes any gate. Files that the gates also write on the
//! commit before the patches are ignored. A new file that is deleted before the gate ends is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::gate_writes::GatesRan;
use super::{DriveError, Driver};
use crate::judges::Standing;
use greenloop_model::{CommitId, FileChange, Notice, RepoPath, RunEvent};
use greenloop_patch::Tree;
use greenloop_workspace::read_work_tree;

/// Judging files that gates wrote, and whether their content differs from the commit's.
pub(super) type Written = BTreeMap<RepoPath, bool>;

/// What is known of such files in a run.
#[derive(Default)]
pub(super) struct Meddling {
    /// Written on the commit before the patches; `None` until the gates have run there.
    habits: Option<Written>,
    /// Written on the tree at hand, without the habits.
    found: BTreeSet<RepoPath>,
    /// Found earlier in the run, and not put back.
    left: BTreeSet<RepoPath>,
    /// When the tree at hand came to be.
    since: Option<SystemTime>,
}

impl Meddling {
    /// A new tree is at hand.
    pub(super) fn tree_changed(&mut self) {
        self.found.clear();
        self.since = Some(SystemTime::now());
    }

    /// The files that speak against the tree at hand.
    pub(super) fn found(&self) -> &BTreeSet<RepoPath> {
        &self.found
    }

    fn is_habit(&self, path: &RepoPath, differs: bool) -> bool {
        let habits = self.habits.as_ref();
        // One that was written with the commit's content is no excuse for another content.
        habits.and_then(|habits| habits.get(path)).is_some_and(|differed| *differed || !differs)
    }

    fn without_habits(&self, written: Written) -> BTreeSet<RepoPath> {
        let news = written.into_iter().filter(|(path, differs)| !self.is_habit(path, *differs));
        news.map(|(path, _)| path).collect()
    }

    /// The gates wrote these on the tree at hand.
    pub(super) fn add(&mut self, written: Written) {
        let news = self.without_habits(written);
        self.found.extend(news);
    }
}

impl Driver {
    /// Judging files that were written while the gates ran in these times on the tree of `commit`:
    /// changed, written with the same content, or new.
    pub(super) fn written_by_gates(
        &self,
        commit: &CommitId,
        ran: &[GatesRan],
    ) -> Result<Written, DriveError> {
        let workspace = &self.run.workspace;
        let tree = workspace.tree_at(commit)?;
        let standing = Standing::of(&self.run.gates, &tree);
        let while_they_ran = |path: &RepoPath| {
            let file = workspace.root().join(path.to_os_path());
            let Ok(found) = file.symlink_metadata() else { return true };
            changed_at(&found).is_some_and(|at| ran.iter().any(|ran| ran.spans(at)))
        };
        let tracked = tree.files().unwrap_or_default();
        let judging = tracked.iter().filter(|path| standing.judges(path));
        let mut written: Written =
            judging.filter(|path| while_they_ran(path)).map(|path| (path.clone(), false)).collect();
        for path in workspace.strayed(commit)? {
            // Elsewhere than in a copy, a person may have saved it before or after.
            if (self.works_on_copy() || while_they_ran(&path))
                && (standing.judges(&path) || standing.judges_by(&self.stray(&tree, &path)))
            {
                written.insert(path, true);
            }
        }
        let names = standing.modules(&tracked);
        for path in workspace.untracked_files()? {
            if standing.shadows(&path, &names) && while_they_ran(&path) {
                written.insert(path, true);
            }
        }
        Ok(written)
    }

    /// From the commit's file to the work tree's.
    fn stray(&self, tree: &dyn Tree, path: &RepoPath) -> FileChange {
        FileChange {
            path: path.clone(),
            moved_from: None,
            before: tree.read(path).ok().flatten(),
            after: read_work_tree(self.run.workspace.root(), path).ok().flatten(),
        }
    }

    /// Notes what the gates write where nothing is patched yet.
    pub(super) fn note_habits(&mut self) -> Result<(), DriveError> {
        let written = self.written_by_gates(&self.tip, &self.context.gates_ran)?;
        self.context.tests.meddling.habits.get_or_insert_default().extend(written);
        Ok(())
    }

    /// Notes what the gates have meddled with on the tree at hand, and what is left of before. In a copy
    /// it is put back; in the work tree itself it may be a person's edit, and stays.
    pub(super) async fn note_meddling(&mut self, iteration: u32) -> Result<(), DriveError> {
        let since = self.context.tests.meddling.since.unwrap_or(UNIX_EPOCH);
        let ran = self.context.gates_ran.iter().filter(|ran| ran.from >= since);
        let ran: Vec<GatesRan> = ran.copied().collect();
        let mut written = self.written_by_gates(&self.tip, &ran)?;
        let left = self.still_there()?;
        written.extend(left.into_iter().map(|path| (path, true)));
        if written.is_empty() {
            return Ok(());
        }
        if self.context.tests.meddling.habits.is_none() {
            self.learn_habits(iteration).await?;
        }
        let meddled = self.context.tests.meddling.without_habits(written);
        if meddled.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = meddled.iter().map(ToString::to_string).collect();
        let copy = self.works_on_copy();
        self.events.send(RunEvent::Notice(Notice::Warning(self.redacted(&format!(
            "while the gates ran, tests or files that gates depend on were written, and not before \
             the patches: {}; {}",
            names.join(", "),
            if copy {
                "they are put back"
            } else {
                "they stay as they are: `git status` lists them"
            }
        )))));
        let kept = if copy { self.put_back(&meddled, &ran)? } else { meddled.clone() };
        let meddling = &mut self.context.tests.meddling;
        meddling.left.extend(kept);
        meddling.found.extend(meddled);
        Ok(())
    }

    /// Of what was left, the files that are still other than the commit's.
    fn still_there(&self) -> Result<Vec<RepoPath>, DriveError> {
        let left = &self.context.tests.meddling.left;
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let tree = self.run.workspace.tree_at(&self.tip)?;
        let differs = |path: &&RepoPath| {
            let FileChange { before, after, .. } = self.stray(&tree, path);
            before.map(|file| file.bytes) != after.map(|file| file.bytes)
        };
        Ok(left.iter().filter(differs).cloned().collect())
    }

    /// Runs the gates once on the commit before the patches, where they have not run in this process:
    /// in a task, and in a run that was resumed.
    async fn learn_habits(&mut self, iteration: u32) -> Result<(), DriveError> {
        let base = self.base_commit();
        let changes = self.run.workspace.changes(&base, &self.tip)?;
        let paths: Vec<RepoPath> = changes.into_iter().map(|change| change.path).collect();
        let gates = self.run.gates.clone();
        let (_, _, written) = self.run_gates_with(iteration, &gates, &base, &paths).await?;
        self.context.tests.meddling.habits = Some(written);
        Ok(())
    }

    /// Puts files back as the commit has them, so that the next patch is not judged by them. A new file
    /// is deleted if it was created while the gates ran. Returns the others.
    fn put_back(
        &self,
        meddled: &BTreeSet<RepoPath>,
        ran: &[GatesRan],
    ) -> Result<BTreeSet<RepoPath>, DriveError> {
        let workspace = &self.run.workspace;
        let tree = workspace.tree_at(&self.tip)?;
        let (tracked, new): (Vec<RepoPath>, Vec<RepoPath>) =
            meddled.iter().cloned().partition(|path| matches!(tree.read(path), Ok(Some(_))));
        workspace.restore_files(&tracked, &self.tip)?;
        let deleted = |path: &RepoPath| {
            let file = workspace.root().join(path.to_os_path());
            let created = file.symlink_metadata().and_then(|found| found.created());
            created.is_ok_and(|at| ran.iter().any(|ran| ran.spans(at)))
                && std::fs::remove_file(&file).is_ok()
        };
        Ok(new.into_iter().filter(|path| !deleted(path)).collect())
    }
}

/// When a file or its metadata was last changed. Unlike the time of modification, only the kernel
/// sets it.
fn changed_at(found: &std::fs::Metadata) -> Option<SystemTime> {
    let seconds = Duration::from_secs(u64::try_from(found.ctime()).ok()?);
    let rest = Duration::from_nanos(u64::try_from(found.ctime_nsec()).ok()?);
    Some(UNIX_EPOCH + seconds + rest)
}
