//! Commits and their differences, bounded, for the author and for people.

use git2::{Commit, Diff, DiffFormat, DiffOptions, Repository};
use jiff::Timestamp;

use super::workspace::{commit_id, find_commit, oid, subject};
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, RepoPath, TreeId};

/// The longest diff text between two commits.
const MAX_DIFF: usize = 1 << 20;
/// Ends a text that was cut.
const CUT: &str = "\n[… cut here]\n";

/// One commit, as the author sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    pub id: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// The files that it changed against its first parent.
    pub paths: Vec<RepoPath>,
}

impl Workspace {
    /// The unified diff between two commits; cut at 1 MiB.
    ///
    /// # Errors
    /// When a commit cannot be read.
    pub fn diff(&self, a: &CommitId, b: &CommitId) -> Result<String, WorkspaceError> {
        let repo = self.repo()?;
        let failed =
            || WorkspaceError::git(format!("cannot compare {} with {}", a.short(), b.short()));
        let (old, new) = (find_commit(&repo, a)?, find_commit(&repo, b)?);
        let (old, new) = (old.tree().map_err(failed())?, new.tree().map_err(failed())?);
        let mut diff = repo.diff_tree_to_tree(Some(&old), Some(&new), None).map_err(failed())?;
        diff.find_similar(None).map_err(failed())?;
        text(&diff, MAX_DIFF).map_err(failed())
    }

    /// A commit's message and diff, by anything git understands (`HEAD~2`, a short id), cut at
    /// `max_bytes`.
    ///
    /// # Errors
    /// `NotFound` when there is no such commit, or HEAD does not descend from it: what is stashed,
    /// on other branches or left behind in the reflog is not part of what is worked on.
    pub fn show_commit(&self, rev: &str, max_bytes: usize) -> Result<String, WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git(format!("cannot show the commit {rev:?}"));
        let commit = repo
            .revparse_single(rev)
            .and_then(|object| object.peel_to_commit())
            .map_err(failed())?;
        let head = repo.head().and_then(|head| head.peel_to_commit()).map_err(failed())?.id();
        if head != commit.id() && !repo.graph_descendant_of(head, commit.id()).map_err(failed())? {
            let message = format!("the commit {rev:?} is not in the history of HEAD");
            return Err(WorkspaceError::new(WorkspaceErrorKind::NotFound, message));
        }
        let author = commit.author();
        let mut shown = format!(
            "commit {}\nauthor {}\ndate {}\n\n{}\n",
            commit.id(),
            String::from_utf8_lossy(author.name_bytes()),
            when(&commit),
            String::from_utf8_lossy(commit.message_bytes()).trim_end(),
        );
        shown.push('\n');
        if shown.len() < max_bytes {
            let diff = against_parent(&repo, &commit, &[], 3).map_err(failed())?;
            shown.push_str(&text(&diff, max_bytes - shown.len()).map_err(failed())?);
        }
        Ok(cut(shown, max_bytes))
    }

    /// The commits of `to` that `from` lacks, newest first, each with its subject: at most
    /// `count`, and how many there are in all. `None` when `from` is not a commit of this
    /// repository, as after a shallow clone.
    pub fn commits_since(
        &self,
        from: &CommitId,
        to: &CommitId,
        count: usize,
    ) -> Option<(Vec<(CommitId, String)>, usize)> {
        let repo = self.repo().ok()?;
        let mut walk = repo.revwalk().ok()?;
        walk.push(oid(to).ok()?).ok()?;
        walk.hide(oid(from).ok()?).ok()?;
        let mut found = Vec::new();
        let mut all = 0;
        for id in walk.flatten() {
            all += 1;
            if found.len() < count {
                let commit = repo.find_commit(id).ok()?;
                found.push((commit_id(id).ok()?, subject(&commit)));
            }
        }
        Some((found, all))
    }

    /// The first commit of the history that HEAD stands on, along first parents; `None` before
    /// there is one, and in a shallow clone, which does not have it.
    pub fn root_commit(&self) -> Option<CommitId> {
        let repo = self.repo().ok()?;
        if repo.is_shallow() {
            return None;
        }
        let mut walk = repo.revwalk().ok()?;
        walk.push_head().ok()?;
        walk.simplify_first_parent().ok()?;
        walk.last()?.ok().and_then(|id| commit_id(id).ok())
    }

    /// The latest commits from `commit` back, newest first, at most `count`, with the paths that
    /// each changed: none that `green` has, and never the first of the history. Follows first
    /// parents, so that a merge stands for what it brought.
    ///
    /// # Errors
    /// When history cannot be read. That it ends early (a shallow clone) is none.
    pub fn commits_back(
        &self,
        commit: &CommitId,
        green: Option<&CommitId>,
        count: usize,
    ) -> Result<Vec<CommitInfo>, WorkspaceError> {
        let repo = self.repo()?;
        let green = green.map(oid).transpose()?;
        let mut next = Some(oid(commit)?);
        let mut found = Vec::new();
        while let Some(id) = next.filter(|id| found.len() < count && Some(*id) != green) {
            // In a shallow clone the last parent is not there.
            let Ok(commit) = repo.find_commit(id) else { break };
            next = commit.parent_ids().next();
            // Of the first commit, and of a shallow clone's last, everything is new.
            if next.is_none_or(|parent| repo.find_commit(parent).is_err()) {
                break;
            }
            let Ok(diff) = against_parent(&repo, &commit, &[], 0) else { break };
            let paths = diff
                .deltas()
                .filter_map(|delta| {
                    let file = delta.new_file().path_bytes().or(delta.old_file().path_bytes());
                    RepoPath::new(file?).ok()
                })
                .collect();
            found.push(CommitInfo { id: commit_id(id)?, subject: subject(&commit), paths });
        }
        Ok(found)
    }

    /// What a commit changed in `paths` against its first parent, with one line around each
    /// change, cut at `max_bytes`.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn commit_diff(
        &self,
        id: &CommitId,
        paths: &[RepoPath],
        max_bytes: usize,
    ) -> Result<String, WorkspaceError> {
        let repo = self.repo()?;
        let failed = || WorkspaceError::git(format!("cannot show the commit {}", id.short()));
        let commit = find_commit(&repo, id)?;
        let diff = against_parent(&repo, &commit, paths, 1).map_err(failed())?;
        text(&diff, max_bytes).map_err(failed())
    }

    /// The newest commit from `commit` back, `count` at most, whose tree is `wanted`; not
    /// `commit` itself.
    pub fn last_with_tree(
        &self,
        commit: &CommitId,
        count: usize,
        wanted: impl Fn(&TreeId) -> bool,
    ) -> Option<CommitId> {
        let repo = self.repo().ok()?;
        let mut next = repo.find_commit(oid(commit).ok()?).ok()?.parent_ids().next();
        for _ in 0..count {
            let commit = repo.find_commit(next?).ok()?;
            let tree = commit.tree_id().to_string().parse().ok()?;
            if wanted(&tree) {
                return commit_id(commit.id()).ok();
            }
            next = commit.parent_ids().next();
        }
        None
    }
}

fn when(commit: &Commit<'_>) -> Timestamp {
    Timestamp::from_second(commit.author().when().seconds()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn against_parent<'repo>(
    repo: &'repo Repository,
    commit: &Commit<'repo>,
    paths: &[RepoPath],
    around: u32,
) -> Result<Diff<'repo>, git2::Error> {
    let old = match commit.parent_ids().next() {
        Some(parent) => Some(repo.find_commit(parent)?.tree()?),
        None => None,
    };
    let new = commit.tree()?;
    let mut options = DiffOptions::new();
    options.disable_pathspec_match(true).context_lines(around);
    for path in paths {
        options.pathspec(path.as_bytes());
    }
    repo.diff_tree_to_tree(old.as_ref(), Some(&new), Some(&mut options))
}

/// The diff as text, cut at `max` bytes; no more than that is ever held.
fn text(diff: &Diff<'_>, max: usize) -> Result<String, git2::Error> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut full = false;
    let printed = diff.print(DiffFormat::Patch, |_, _, line| {
        if matches!(line.origin(), '+' | '-' | ' ') {
            bytes.push(line.origin() as u8);
        }
        bytes.extend_from_slice(line.content());
        full = bytes.len() > max;
        !full
    });
    match printed {
        Ok(()) => {}
        Err(error) if full && error.code() == git2::ErrorCode::User => {}
        Err(error) => return Err(error),
    }
    Ok(cut(String::from_utf8_lossy(&bytes).into_owned(), max))
}

/// At most `max` bytes, whole lines.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if text.len() <= max {
        return text;
    }
    let mut end = max.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(end);
    text.truncate(end);
    if max >= CUT.len() {
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::*;

    #[test]
    fn every_full_clone_has_the_same_first_commit() {
        let repo = TestRepo::new(&[("a.txt", "1\n")]);
        let first = repo.workspace().head().expect("head").commit;
        repo.commit(&[("a.txt", "2\n")]);
        assert_eq!(repo.workspace().root_commit(), Some(first));
        let folder = tempfile::tempdir().expect("folder");
        let clone = |depth: &str, name: &str| {
            let from = format!("file://{}", repo.root().display());
            let to = folder.path().join(name);
            let mut git = std::process::Command::new("git");
            let status = git.args(["clone", "-q", depth, &from]).arg(&to).status();
            assert!(status.expect("git").success());
            Workspace::open(&to).expect("opens").root_commit()
        };
        assert_eq!(clone("--no-single-branch", "full"), repo.workspace().root_commit());
        assert_eq!(clone("--depth=1", "shallow"), None);
    }

    #[test]
    fn history_is_read_back_to_the_last_good_commit_and_bounded() {
        let repo = TestRepo::new(&[("a.txt", "1\n"), ("b.txt", "1\n")]);
        let first = repo.workspace().head().expect("head").commit;
        repo.commit(&[("a.txt", "2\n")]);
        repo.commit(&[("b.txt", "2\n"), ("a.txt", "3\n")]);
        let workspace = repo.workspace();
        let head = workspace.head().expect("head").commit;
        let path = RepoPath::new("a.txt").expect("a path");
        let commits = workspace.commits_back(&head, None, 10).expect("history");
        assert_eq!(commits.len(), 2, "the first commit changed everything");
        assert_eq!((commits[0].paths.len(), &commits[1].paths[..]), (2, &[path.clone()][..]));
        let diff = workspace.commit_diff(&head, &[path], 10_000).expect("diff");
        assert!(diff.contains("-2\n+3\n") && !diff.contains("b.txt"), "{diff}");
        assert!(workspace.commit_diff(&head, &[], 60).expect("diff").len() <= 60);
        let since = workspace.commits_back(&head, Some(&commits[1].id), 10).expect("history");
        assert_eq!(since, commits[..1]);
        let tree = |commit| workspace.tree_id(commit).expect("tree");
        let wanted = [tree(&head), tree(&first)];
        let found = workspace.last_with_tree(&head, 10, |tree| wanted.contains(tree));
        assert_eq!(found, Some(first));

        let shown = workspace.show_commit("HEAD~1", 10_000).expect("shown");
        assert!(shown.contains("author Test") && shown.contains("+2\n"), "{shown}");
        assert!(workspace.show_commit("HEAD", 40).expect("shown").len() <= 40);
        let error = workspace.show_commit("nope", 10).expect_err("no such");
        assert_eq!(error.kind, WorkspaceErrorKind::NotFound);
        // What is stashed or on another branch is not shown, by whatever name.
        std::fs::write(repo.root().join("a.txt"), "stashed\n").expect("written");
        repo.git(&["stash", "-q"]);
        repo.git(&["checkout", "-q", "-b", "other"]);
        repo.commit(&[("a.txt", "other\n")]);
        let other = repo.git(&["rev-parse", "HEAD"]);
        repo.git(&["checkout", "-q", "-"]);
        for rev in ["stash@{0}", "refs/stash", "other", "HEAD@{1}", other.trim()] {
            let error = workspace.show_commit(rev, 10_000).expect_err(rev);
            assert_eq!(error.kind, WorkspaceErrorKind::NotFound, "{rev}");
        }

        let base = commits[1].id.clone();
        let diff = workspace.diff(&base, &head).expect("diff");
        assert!(diff.contains("a/a.txt") && diff.contains("b/b.txt"), "{diff}");
        assert_eq!(workspace.diff(&head, &head).expect("diff"), "");
    }

    #[test]
    fn texts_are_cut_at_lines() {
        let text = "one\ntwo\nthree\nfour\nfive\n".repeat(10);
        for max in [0, 5, 20, 100, 1_000] {
            assert!(cut(text.clone(), max).len() <= max, "{max}");
        }
        assert!(cut(text, 60).ends_with(CUT));
    }
}
