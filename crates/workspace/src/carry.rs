//! Bringing a fix into a work tree that somebody works in, and taking it back.
//!
//! Both are a three-way merge of trees against the work tree as it is at that moment, written
//! file by file; lines that both sides changed refuse the whole. The work tree before and after
//! is kept in `refs/greenloop/heals/<work tree>/<run>/`: what was there can be restored, and a
//! process that died while it wrote is cleaned up after. Linked work trees share their refs; a fix
//! is known in the one that it was written to.

use git2::{Index, IndexEntry, MergeOptions, ObjectType, Oid, Repository, Signature};

use super::work_tree::Version;
use super::workspace::{commit_id, find_commit, names, oid};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RepoPath, RunId};

const HEALS: &str = "refs/greenloop/heals";
/// The ref that marks a run in a copy.
const COPIED: &str = "copied";
/// Fixes that can be taken back.
const KEPT: usize = 20;

/// What came of writing a fix to the work tree.
#[derive(Debug)]
pub struct BroughtBack {
    /// The files that were written.
    pub files: Vec<RepoPath>,
    /// Why the fix could not be remembered: it cannot be taken back.
    pub not_recorded: Option<WorkspaceError>,
}

/// A fix that was written to the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The run it comes from.
    pub run: RunId,
    /// The work tree before it.
    pub before: CommitId,
    /// The work tree with it.
    pub after: CommitId,
}

impl Workspace {
    /// Merges what lies between `base` and `tip` into the work tree and remembers it as the fix
    /// of `run`. A fix that cannot be remembered is written all the same.
    ///
    /// # Errors
    /// `Conflict` when the work tree's lines changed since `base`. Whatever the error, nothing
    /// was written, or it was put back.
    pub fn bring_back(
        &self,
        run: RunId,
        base: &CommitId,
        tip: &CommitId,
    ) -> Result<BroughtBack, WorkspaceError> {
        let tip = self.with_line_ends_of(base, tip)?;
        let (before, after, files) = self.merged(base, &tip, "With the fix")?;
        let fix = Fix { run, before: before.clone(), after: after.clone() };
        let not_recorded = self.record_fix(&fix).err();
        if let Err(error) = self.write_paths(&files, &after) {
            // Known for as long as some of it may be there.
            if self.write_paths(&files, &before).is_ok() {
                self.forget_fix(run)?;
            }
            return Err(error);
        }
        Ok(BroughtBack { files, not_recorded })
    }

    /// Merges the reverse of a fix into the work tree, and forgets it. Returns the files it
    /// wrote; none, and the fix stays known, when it is not in the work tree.
    ///
    /// # Errors
    /// `Conflict` when the fix's lines changed since: nothing was written.
    pub fn take_back(&self, fix: &Fix) -> Result<Vec<RepoPath>, WorkspaceError> {
        let (_, without, paths) = self.merged(&fix.after, &fix.before, "Without the fix")?;
        self.write_paths(&paths, &without)?;
        if !paths.is_empty() {
            self.forget_fix(fix.run)?;
        }
        Ok(paths)
    }

    /// The work tree as it is, the same with what `from` → `to` changes, and the paths in which
    /// they differ. Nothing is written to the work tree.
    fn merged(
        &self,
        from: &CommitId,
        to: &CommitId,
        title: &str,
    ) -> Result<(CommitId, CommitId, Vec<RepoPath>), WorkspaceError> {
        let now = self.snapshot()?.commit;
        let repo = self.repo()?;
        let failed = || WorkspaceError::git("cannot merge the fix with the work tree");
        let commit = find_commit(&repo, &now)?;
        let tree = |commit: &CommitId| find_commit(&repo, commit)?.tree().map_err(failed());
        let mut options = MergeOptions::new();
        options.find_renames(false);
        let mut index = repo
            .merge_trees(&tree(from)?, &tree(&now)?, &tree(to)?, Some(&options))
            .map_err(failed())?;
        if index.has_conflicts() {
            let mut paths: Vec<RepoPath> = index
                .conflicts()
                .map_err(failed())?
                .flatten()
                .filter_map(|conflict| conflict.our.or(conflict.their).or(conflict.ancestor))
                .filter_map(|entry| RepoPath::new(&entry.path).ok())
                .collect();
            paths.sort_unstable();
            paths.dedup();
            let context =
                format!("the same lines of {} have changed since", names(&paths, paths.len()));
            return Err(WorkspaceError::new(WorkspaceErrorKind::Conflict { paths }, context));
        }
        let merged =
            index.write_tree_to(&repo).and_then(|id| repo.find_tree(id)).map_err(failed())?;
        let by = Signature::now("Greenloop", "greenloop@localhost").map_err(failed())?;
        let id = repo.commit(None, &by, &by, title, &merged, &[&commit]).map_err(failed())?;
        let merged = commit_id(id)?;
        let paths = self.differing(&now, &merged)?;
        // What somebody saves between this and the write is lost: a moment, not a run.
        let in_the_way = self.not_as(&paths, &[Version::of(&now)])?;
        if !in_the_way.is_empty() {
            let context = format!("{} changed just now", names(&in_the_way, in_the_way.len()));
            let kind = WorkspaceErrorKind::InTheWay { paths: in_the_way };
            return Err(WorkspaceError::new(kind, context));
        }
        Ok((now, merged, paths))
    }

    /// A commit like `tip` whose files end their lines with CRLF where those of `base` do: the
    /// repository's attributes make patches normalise them, and a fix is not the place for it.
    fn with_line_ends_of(
        &self,
        base: &CommitId,
        tip: &CommitId,
    ) -> Result<CommitId, WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git("cannot read the files of the fix");
        let old = find_commit(&repo, base)?.tree().map_err(failed())?;
        let fixed = find_commit(&repo, tip)?;
        let mut index = Index::new().map_err(failed())?;
        index.read_tree(&fixed.tree().map_err(failed())?).map_err(failed())?;
        let mut adapted = false;
        for path in self.differing(base, tip)? {
            let os_path = path.to_os_path();
            let (Ok(before), Some(entry)) = (old.get_path(&os_path), index.get_path(&os_path, 0))
            else {
                continue;
            };
            if let Some(id) = with_crlf(&repo, before.id(), entry.id).map_err(failed())? {
                index.add(&IndexEntry { id, ..entry }).map_err(failed())?;
                adapted = true;
            }
        }
        if !adapted {
            return Ok(tip.clone());
        }
        let tree = index.write_tree_to(&repo).and_then(|id| repo.find_tree(id)).map_err(failed())?;
        let by = Signature::now("Greenloop", "greenloop@localhost").map_err(failed())?;
        let title = "With the line ends of the work tree";
        let id = repo.commit(None, &by, &by, title, &tree, &[&fixed]).map_err(failed())?;
        commit_id(id)
    }

    /// Remembers what a fix changed.
    ///
    /// # Errors
    /// When the refs cannot be written.
    pub fn record_fix(&self, fix: &Fix) -> Result<(), WorkspaceError> {
        let repo = self.repo()?;
        for (name, commit) in [("before", &fix.before), ("after", &fix.after)] {
            let name = self.heal_ref(fix.run, name)?;
            repo.reference(&name, oid(commit)?, true, "greenloop: heal")
                .map_err(WorkspaceError::git(format!("cannot write {name}")))?;
        }
        let fixes = self.fixes()?;
        for old in fixes.iter().rev().skip(KEPT) {
            self.forget_fix(old.run)?;
        }
        Ok(())
    }

    /// Forgets a fix: it cannot be taken back any more.
    ///
    /// # Errors
    /// When the refs cannot be deleted.
    pub fn forget_fix(&self, run: RunId) -> Result<(), WorkspaceError> {
        // `after` first: without it there is no fix.
        for name in ["after", "before"] {
            self.delete_heal_ref(&self.heal_ref(run, name)?)?;
        }
        Ok(())
    }

    /// The fixes of this work tree that can be taken back, the latest last.
    ///
    /// # Errors
    /// When the refs cannot be read.
    pub fn fixes(&self) -> Result<Vec<Fix>, WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git("cannot list the fixes");
        let mut fixes = Vec::new();
        let all = format!("{}/*/after", self.heals()?);
        for reference in repo.references_glob(&all).map_err(failed())? {
            let reference = reference.map_err(failed())?;
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            let run = name.strip_suffix("/after").and_then(|name| name.rsplit('/').next());
            let Some(Ok(run)) = run.map(str::parse::<RunId>) else { continue };
            let before = repo.refname_to_id(&self.heal_ref(run, "before")?);
            let (Ok(before), Some(after)) = (before, reference.target()) else { continue };
            fixes.push(Fix { run, before: commit_id(before)?, after: commit_id(after)? });
        }
        // Ids are ordered by time.
        fixes.sort_by_key(|fix| fix.run.to_string());
        Ok(fixes)
    }

    /// Notes that `run` works in a copy made on top of `commit`.
    ///
    /// # Errors
    /// When the ref cannot be written.
    pub fn mark_copied(&self, run: RunId, commit: &CommitId) -> Result<(), WorkspaceError> {
        let name = self.heal_ref(run, COPIED)?;
        self.repo()?
            .reference(&name, oid(commit)?, true, "greenloop: heal")
            .map(drop)
            .map_err(WorkspaceError::git(format!("cannot write {name}")))
    }

    /// Forgets that `run` worked in a copy.
    ///
    /// # Errors
    /// When the ref cannot be deleted.
    pub fn unmark_copied(&self, run: RunId) -> Result<(), WorkspaceError> {
        self.delete_heal_ref(&self.heal_ref(run, COPIED)?)
    }

    /// Whether `run` works, or worked when it died, in a copy of the work tree.
    pub fn is_copied(&self, run: RunId) -> bool {
        let name = self.heal_ref(run, COPIED);
        name.is_ok_and(|name| self.repo().is_ok_and(|repo| repo.refname_to_id(&name).is_ok()))
    }

    /// The folder of this work tree's refs. Not by its path: a repository may be moved.
    fn heals(&self) -> Result<String, WorkspaceError> {
        let own = self.own_part()?;
        let key = Oid::hash_object(ObjectType::Blob, own.as_os_str().as_encoded_bytes())
            .map_err(WorkspaceError::git("cannot determine the path of the work tree"))?;
        Ok(format!("{HEALS}/{:.12}", key.to_string()))
    }

    fn heal_ref(&self, run: RunId, name: &str) -> Result<String, WorkspaceError> {
        Ok(format!("{}/{run}/{name}", self.heals()?))
    }

    fn delete_heal_ref(&self, name: &str) -> Result<(), WorkspaceError> {
        let failed = WorkspaceError::git(format!("cannot delete {name}"));
        match self.repo()?.find_reference(name) {
            Ok(mut reference) => reference.delete().map_err(failed),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The blob `after` with CRLF, when every line of `before` ends so and none of `after` does.
fn with_crlf(repo: &Repository, before: Oid, after: Oid) -> Result<Option<Oid>, git2::Error> {
    let (Ok(before), Ok(after)) = (repo.find_blob(before), repo.find_blob(after)) else {
        return Ok(None);
    };
    let (old, new) = (before.content(), after.content());
    let lines = old.iter().filter(|byte| **byte == b'\n').count();
    let crlf = old.windows(2).filter(|pair| *pair == b"\r\n").count();
    if lines == 0 || lines != crlf || new.contains(&b'\r') {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(new.len() + lines);
    for byte in new {
        if *byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(*byte);
    }
    repo.blob(&bytes).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::*;

    const OLD: &str = "1\n2\n3\n4\n5\n6\n7\n8\n";

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    /// A changed work tree, its snapshot, and a commit on top of that with these files.
    fn fixed(
        committed: &[(&str, &str)],
        changed: &[(&str, &str)],
        fix: &[(&str, &str)],
    ) -> (TestRepo, Workspace, CommitId, CommitId) {
        fixed_with("false", committed, changed, fix)
    }

    /// The same, with `core.autocrlf`.
    fn fixed_with(
        autocrlf: &str,
        committed: &[(&str, &str)],
        changed: &[(&str, &str)],
        fix: &[(&str, &str)],
    ) -> (TestRepo, Workspace, CommitId, CommitId) {
        let repo = TestRepo::new(committed);
        repo.git(&["config", "core.autocrlf", autocrlf]);
        for (file, text) in changed {
            repo.write(file, text);
        }
        let workspace = repo.workspace();
        let base = workspace.snapshot().unwrap().commit;
        let kept: Vec<_> = fix.iter().map(|(file, _)| (*file, repo.read(file))).collect();
        for (file, text) in fix {
            repo.write(file, text);
        }
        let tip = workspace.snapshot().unwrap().commit;
        for (file, text) in kept {
            match text {
                Some(text) => repo.write(file, text),
                None => std::fs::remove_file(repo.root().join(file)).unwrap(),
            }
        }
        (repo, workspace, base, tip)
    }

    #[test]
    fn a_fix_comes_and_goes_and_everything_else_stays() {
        let (repo, workspace, base, tip) = fixed(
            &[("a", OLD), ("b", "1\n")],
            &[("a", "1\n2\n3\n4\n5\n6\n7\nmine\n"), ("wip", "mine\n")],
            &[("a", "one\n2\n3\n4\n5\n6\n7\nmine\n"), ("added", "fix\n")],
        );
        repo.git(&["add", "a"]);
        let index = || std::fs::read(repo.root().join(".git/index")).unwrap();
        let staged = index();
        let run = RunId::generate();
        let brought = workspace.bring_back(run, &base, &tip).unwrap();
        assert_eq!(brought.files, [path("a"), path("added")]);
        assert!(brought.not_recorded.is_none());
        assert_eq!(repo.read("a").as_deref(), Some("one\n2\n3\n4\n5\n6\n7\nmine\n"));
        assert_eq!(repo.read("wip").as_deref(), Some("mine\n"));
        assert_eq!(index(), staged);
        // More work, and then the fix is taken back.
        repo.write("a", "one\n2\n3\n4\n5\nmore\n7\nmine\n");
        let fixes = workspace.fixes().unwrap();
        assert_eq!(fixes.len(), 1);
        assert_eq!(workspace.take_back(&fixes[0]).unwrap(), [path("a"), path("added")]);
        assert_eq!(repo.read("a").as_deref(), Some("1\n2\n3\n4\n5\nmore\n7\nmine\n"));
        assert_eq!(repo.read("added"), None);
        assert_eq!(repo.read("wip").as_deref(), Some("mine\n"));
        assert_eq!(index(), staged);
        assert_eq!(workspace.fixes().unwrap(), []);
        assert_eq!(repo.git(&["for-each-ref", "refs/greenloop"]), "");
    }

    #[test]
    fn work_on_other_lines_is_merged_and_on_the_same_lines_refuses_all() {
        let start = || {
            fixed(
                &[("a", OLD)],
                &[("b", "b\n")],
                &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n"), ("b", "B\n")],
            )
        };
        let (repo, workspace, base, tip) = start();
        repo.write("a", "1\n2\n3\n4\n5\n6\n7\nmeanwhile\n");
        workspace.bring_back(RunId::generate(), &base, &tip).unwrap();
        assert_eq!(repo.read("a").as_deref(), Some("one\n2\n3\n4\n5\n6\n7\nmeanwhile\n"));
        assert_eq!(repo.read("b").as_deref(), Some("B\n"));

        let (repo, workspace, base, tip) = start();
        repo.write("a", "meanwhile\n2\n3\n4\n5\n6\n7\n8\n");
        let error = workspace.bring_back(RunId::generate(), &base, &tip).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Conflict { paths: vec![path("a")] });
        assert_eq!(repo.read("a").as_deref(), Some("meanwhile\n2\n3\n4\n5\n6\n7\n8\n"));
        assert_eq!(repo.read("b").as_deref(), Some("b\n"));
        assert_eq!(workspace.fixes().unwrap(), []);
    }

    #[test]
    fn lines_of_the_fix_that_changed_since_are_not_taken_back() {
        let (repo, workspace, base, tip) = fixed(
            &[("a", OLD)],
            &[("x", "x\n")],
            &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n"), ("b", "B\n")],
        );
        workspace.bring_back(RunId::generate(), &base, &tip).unwrap();
        repo.write("a", "uno\n2\n3\n4\n5\n6\n7\n8\n");
        let fix = workspace.fixes().unwrap().remove(0);
        let error = workspace.take_back(&fix).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Conflict { paths: vec![path("a")] });
        assert_eq!(repo.read("b").as_deref(), Some("B\n"), "all or nothing");
        // Undone by hand: there is nothing left to do.
        repo.write("a", OLD);
        assert_eq!(workspace.take_back(&fix).unwrap(), [path("b")]);
        assert_eq!(repo.read("a").as_deref(), Some(OLD));
    }

    #[test]
    fn a_fix_that_cannot_be_written_whole_is_not_written_at_all() {
        let (repo, workspace, base, tip) = fixed(
            &[(".gitignore", "*.o\n"), ("a", OLD)],
            &[],
            &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n"), ("new", "fix\n")],
        );
        // A folder of that name, which git does not see.
        repo.write("new/built.o", "x");
        let error = workspace.bring_back(RunId::generate(), &base, &tip).unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Io);
        assert_eq!(repo.read("a").as_deref(), Some(OLD));
        assert_eq!(repo.read("new/built.o").as_deref(), Some("x"));
        assert_eq!(workspace.fixes().unwrap(), []);
    }

    #[test]
    fn a_fix_that_cannot_be_remembered_is_brought_back_all_the_same() {
        let (repo, workspace, base, tip) =
            fixed(&[("a", OLD)], &[], &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n")]);
        // A file in the place of the refs' folder.
        repo.write(".git/refs/greenloop/heals", "");
        let brought = workspace.bring_back(RunId::generate(), &base, &tip).unwrap();
        assert_eq!(brought.files, [path("a")]);
        assert!(brought.not_recorded.is_some());
        assert_eq!(repo.read("a").as_deref(), Some("one\n2\n3\n4\n5\n6\n7\n8\n"));
    }

    #[test]
    fn a_fix_that_is_not_in_the_work_tree_stays_known() {
        let (repo, workspace, base, tip) =
            fixed(&[("a", OLD)], &[], &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n")]);
        workspace.bring_back(RunId::generate(), &base, &tip).unwrap();
        let fix = workspace.fixes().unwrap().remove(0);
        repo.git(&["stash", "-q"]);
        assert_eq!(workspace.take_back(&fix).unwrap(), []);
        assert_eq!(workspace.fixes().unwrap(), std::slice::from_ref(&fix));
        repo.git(&["stash", "pop", "-q"]);
        assert_eq!(workspace.take_back(&fix).unwrap(), [path("a")]);
        assert_eq!(repo.read("a").as_deref(), Some(OLD));
        assert_eq!(workspace.fixes().unwrap(), []);
    }

    #[test]
    fn each_work_tree_has_its_own_fixes_and_keeps_them_when_the_repository_moves() {
        let (repo, workspace, base, tip) =
            fixed(&[("a", OLD)], &[], &[("a", "one\n2\n3\n4\n5\n6\n7\n8\n")]);
        let linked = repo.root().with_file_name("linked");
        repo.git(&["worktree", "add", "-q", "-b", "linked", &linked.display().to_string()]);
        let other = Workspace::open(&linked).unwrap();
        let run = RunId::generate();
        workspace.bring_back(run, &base, &tip).unwrap();
        workspace.mark_copied(run, &base).unwrap();
        assert_eq!(other.fixes().unwrap(), []);
        assert!(workspace.is_copied(run) && !other.is_copied(run));
        let theirs = RunId::generate();
        other.bring_back(theirs, &base, &tip).unwrap();
        let runs = |workspace: &Workspace| -> Vec<RunId> {
            workspace.fixes().unwrap().into_iter().map(|fix| fix.run).collect()
        };
        assert_eq!((runs(&workspace), runs(&other)), (vec![run], vec![theirs]));
        let moved = repo.root().with_file_name("moved");
        std::fs::rename(repo.root(), &moved).unwrap();
        assert_eq!(runs(&Workspace::open(&moved).unwrap()), [run]);
    }

    #[test]
    fn a_fix_keeps_the_line_ends_of_the_work_tree() {
        for (autocrlf, attributes) in [("input", ""), ("true", ""), ("false", "* text=auto\n")] {
            let (repo, workspace, base, tip) = fixed_with(
                autocrlf,
                &[(".gitattributes", attributes), ("a.txt", "1\n2\n")],
                &[("a.txt", "1\r\n2\r\n3\r\n")],
                // A patch is stored as the attributes want it.
                &[("a.txt", "one\n2\n3\n")],
            );
            workspace.bring_back(RunId::generate(), &base, &tip).unwrap();
            assert_eq!(repo.read("a.txt").as_deref(), Some("one\r\n2\r\n3\r\n"), "{autocrlf}");
            let fix = workspace.fixes().unwrap().remove(0);
            workspace.take_back(&fix).unwrap();
            assert_eq!(repo.read("a.txt").as_deref(), Some("1\r\n2\r\n3\r\n"), "{autocrlf}");
        }
    }

    #[test]
    fn old_fixes_are_forgotten() {
        let (_repo, workspace, base, tip) = fixed(&[("a", OLD)], &[("a", "x\n")], &[("a", "y\n")]);
        let runs: Vec<RunId> = (0..=KEPT).map(|_| RunId::generate()).collect();
        for run in &runs {
            let fix = Fix { run: *run, before: base.clone(), after: tip.clone() };
            workspace.record_fix(&fix).unwrap();
        }
        let kept: Vec<RunId> = workspace.fixes().unwrap().into_iter().map(|fix| fix.run).collect();
        assert_eq!(kept, runs[1..]);
    }
}
