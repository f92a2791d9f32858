//! Looking around in a commit: what the author's read-only tools are made of. All bounded,
//! binary files passed over.

use std::io;
use std::ops::ControlFlow;

use regex::RegexBuilder;

use super::commit_tree::walk;
use super::workspace::find_commit;
use super::{Workspace, WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{CommitId, FileContent, FileMode, RepoPath};
use greenloop_patch::Tree;

/// The most of a file that is returned at once.
const MAX_RANGE_LINES: u64 = 1_000;
const MAX_RANGE_BYTES: usize = 128 * 1024;
/// Files larger than this are not searched.
const MAX_SEARCHED_FILE: usize = 1 << 20;
/// What one search reads in all.
const MAX_SEARCHED: usize = 256 << 20;
/// What is shown of a line that was found.
const MAX_LINE: usize = 300;
/// The largest search pattern, compiled.
const MAX_PATTERN: usize = 1 << 20;

/// Some lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLines {
    /// 1-based number of the first one.
    pub first: u64,
    /// The lines, without their ends.
    pub lines: Vec<String>,
    /// How many lines the file has.
    pub total: u64,
}

/// A line that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    pub path: RepoPath,
    /// 1-based.
    pub line: u64,
    /// The line, shortened.
    pub text: String,
}

impl Workspace {
    /// Lines `first..=last` (1-based) of a file; fewer when the file is shorter or the range is
    /// larger than a thousand lines.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, or it is binary, a link or a submodule.
    pub fn read_range(
        &self,
        commit: &CommitId,
        path: &RepoPath,
        first: u64,
        last: u64,
    ) -> Result<FileLines, WorkspaceError> {
        let tree = self.tree_at(commit)?;
        let found = tree.read(path).map_err(unreadable(path))?;
        let not_found = |what: &str| {
            WorkspaceError::new(WorkspaceErrorKind::NotFound, format!("{path} {what}"))
        };
        let file = match found {
            None => return Err(not_found("does not exist")),
            Some(file) => file,
        };
        match file.mode {
            FileMode::Regular | FileMode::Executable => {}
            FileMode::Symlink => return Err(not_found("is a symbolic link")),
            FileMode::Submodule => return Err(not_found("is a submodule")),
        }
        if file.is_binary() {
            return Err(not_found("is a binary file"));
        }
        let text = String::from_utf8_lossy(&file.bytes);
        let first = first.max(1);
        let last = last.min(first.saturating_add(MAX_RANGE_LINES - 1));
        let (mut total, mut size, mut lines) = (0, 0, Vec::new());
        for line in text.lines() {
            total += 1;
            // Past a line that does not fit nothing more is taken: lines follow each other.
            let follows = total == first + lines.len() as u64;
            if follows && total <= last && size + line.len() <= MAX_RANGE_BYTES {
                size += line.len();
                lines.push(line.to_owned());
            }
        }
        Ok(FileLines { first, lines, total })
    }

    /// Lines that match a regular expression, by path, at most `limit`.
    ///
    /// # Errors
    /// `BadPattern` when it is none, or too large.
    pub fn search(
        &self,
        commit: &CommitId,
        pattern: &str,
        limit: usize,
    ) -> Result<Vec<SearchHit>, WorkspaceError> {
        let regex =
            RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build().map_err(|source| {
                WorkspaceError {
                    kind: WorkspaceErrorKind::BadPattern,
                    context: format!(
                        "{pattern:?} is not a regular expression that can be searched for"
                    ),
                    source: Some(Box::new(source)),
                }
            })?;
        let repo = self.repo()?;
        let tree = find_commit(&repo, commit)?.tree_id();
        let mut hits = Vec::new();
        let mut budget = MAX_SEARCHED;
        let odb = repo.odb().map_err(WorkspaceError::git("cannot read git's objects"))?;
        walk(&repo, tree, |path, mode, id| {
            if hits.len() >= limit || budget == 0 {
                return ControlFlow::Break(());
            }
            if !matches!(mode, FileMode::Regular | FileMode::Executable) {
                return ControlFlow::Continue(());
            }
            let small = odb.read_header(id).is_ok_and(|(size, _)| size <= MAX_SEARCHED_FILE);
            let Some(blob) = small.then(|| repo.find_blob(id).ok()).flatten() else {
                return ControlFlow::Continue(());
            };
            budget = budget.saturating_sub(blob.size());
            if blob.is_binary() {
                return ControlFlow::Continue(());
            }
            let text = String::from_utf8_lossy(blob.content());
            for (number, line) in (1..).zip(text.lines()) {
                if hits.len() >= limit {
                    break;
                }
                if regex.is_match(line) {
                    let text = line.chars().take(MAX_LINE).collect();
                    hits.push(SearchHit { path: path.clone(), line: number, text });
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(WorkspaceError::git(format!("cannot search {}", commit.short())))?;
        Ok(hits)
    }

    /// The entries of a folder (the root for `None`), folders with a `/` at the end, at most
    /// `limit`.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn list(
        &self,
        commit: &CommitId,
        folder: Option<&RepoPath>,
        limit: usize,
    ) -> Result<Vec<String>, WorkspaceError> {
        let repo = self.repo()?;
        let shown = folder.map_or_else(|| ".".to_owned(), RepoPath::to_string);
        let failed = || WorkspaceError::git(format!("{shown} is not a folder"));
        let mut tree = find_commit(&repo, commit)?.tree().map_err(failed())?;
        if let Some(folder) = folder {
            let entry = tree.get_path(&folder.to_os_path()).map_err(failed())?;
            if entry.kind() != Some(git2::ObjectType::Tree) {
                let context = format!("{shown} is not a folder");
                return Err(WorkspaceError::new(WorkspaceErrorKind::NotFound, context));
            }
            tree = repo.find_tree(entry.id()).map_err(failed())?;
        }
        let entries = tree.iter().take(limit).map(|entry| {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let folder = entry.kind() == Some(git2::ObjectType::Tree);
            if folder { name + "/" } else { name }
        });
        Ok(entries.collect())
    }

    /// One file of a commit.
    ///
    /// # Errors
    /// When the commit cannot be read; that there is no such file is `None`.
    pub fn read_file(
        &self,
        commit: &CommitId,
        path: &RepoPath,
    ) -> Result<Option<FileContent>, WorkspaceError> {
        self.tree_at(commit)?.read(path).map_err(unreadable(path))
    }
}

fn unreadable(path: &RepoPath) -> impl FnOnce(io::Error) -> WorkspaceError {
    let context = format!("cannot read {path}");
    move |source| WorkspaceError {
        kind: WorkspaceErrorKind::Git,
        context,
        source: Some(Box::new(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::TestRepo;
    use super::*;

    #[test]
    fn a_commit_can_be_looked_at() {
        let repo = TestRepo::new(&[
            ("src/a.rs", "one\ntwo\nthree\nfour\n"),
            ("src/deep/b.rs", "two more\n"),
            ("data.bin", "two\0\n"),
        ]);
        let workspace = repo.workspace();
        let head = workspace.head().expect("head").commit;
        // The work tree is not what is read.
        repo.write("src/a.rs", "changed two\n");
        let path = |text: &str| RepoPath::new(text).expect("a path");

        let range = workspace.read_range(&head, &path("src/a.rs"), 2, 3).expect("lines");
        assert_eq!(range.lines, ["two", "three"]);
        assert_eq!((range.first, range.total), (2, 4));
        let range = workspace.read_range(&head, &path("src/a.rs"), 0, u64::MAX).expect("lines");
        assert_eq!(range.lines.len(), 4);
        for bad in ["nope", "data.bin", "src"] {
            let error = workspace.read_range(&head, &path(bad), 1, 2).expect_err(bad);
            assert_eq!(error.kind, WorkspaceErrorKind::NotFound, "{bad}");
        }

        let hits = workspace.search(&head, r"\btwo\b", 10).expect("hits");
        let places: Vec<_> = hits.iter().map(|h| format!("{}:{}", h.path, h.line)).collect();
        assert_eq!(places, ["src/a.rs:2", "src/deep/b.rs:1"]);
        assert_eq!(workspace.search(&head, "two", 1).expect("hits").len(), 1);
        let error = workspace.search(&head, "(", 1).expect_err("bad pattern");
        assert_eq!(error.kind, WorkspaceErrorKind::BadPattern);

        assert_eq!(workspace.list(&head, None, 10).expect("entries"), ["data.bin", "src/"]);
        assert_eq!(
            workspace.list(&head, Some(&path("src")), 10).expect("entries"),
            ["a.rs", "deep/"]
        );
        assert_eq!(workspace.list(&head, None, 1).expect("entries").len(), 1);
        let error = workspace.list(&head, Some(&path("data.bin")), 1).expect_err("a file");
        assert_eq!(error.kind, WorkspaceErrorKind::NotFound);
    }
}
