//! What changed before the failure: the suspect commits with their diffs, others by subject.

use std::collections::BTreeSet;

use super::budget::Section;
use super::source::is_test;
use greenloop_model::{CommitId, RepoPath};
use greenloop_workspace::{CommitInfo, Workspace};

/// Commits that are looked at.
const MOST_COMMITS: usize = 10;

/// Characters of the diffs of all suspects, of the newest one, and of what has nothing to do
/// with the failing code.
const DIFFS: usize = 3_600;
const NEWEST: usize = 2_400;
const UNRELATED: usize = 1_000;

/// Commits that are only named.
const MOST_SUBJECTS: usize = 5;

/// Other changed files that are named.
const MOST_NAMED: usize = 8;

/// Files whose changes break no code: told of only where the failure has to do with them.
const PROSE: &[&str] = &[".md", ".rst", ".adoc", ".txt", ".svg"];

/// Generated files, whose diffs are long and say little.
const GENERATED: &[&str] = &[
    ".lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "npm-shrinkwrap.json",
    "go.sum",
    ".snap",
    ".min.js",
    ".map",
];

/// The history as sections: the newest commit that changed code, with its diff; then those that
/// changed what is `related` to the failure; the subjects of the others. `green` is the last
/// commit known to be right: what came before it is no suspect.
pub(super) fn sections(
    workspace: &Workspace,
    start: &CommitId,
    green: Option<&CommitId>,
    related: &BTreeSet<RepoPath>,
) -> Vec<Section> {
    let commits = match workspace.commits_back(start, green, MOST_COMMITS) {
        Ok(commits) => commits,
        Err(error) => {
            tracing::warn!(%error, "could not read recent commits for the author's prompt");
            return Vec::new();
        }
    };
    let mut sections = Vec::new();
    let mut subjects = Vec::new();
    let mut left = DIFFS;
    for commit in &commits {
        let code: Vec<&RepoPath> =
            commit.paths.iter().filter(|path| counts(path, related)).collect();
        let (near, far): (Vec<&RepoPath>, Vec<&RepoPath>) =
            code.into_iter().partition(|path| related.contains(*path));
        let newest = sections.is_empty();
        let suspect = !near.is_empty() || (newest && !far.is_empty());
        if !suspect || left < 200 {
            subjects.push(format!("{} {}\n", commit.id.short(), commit.subject));
            continue;
        }
        let most = if newest { left.min(NEWEST) } else { left };
        let text = diffs(workspace, commit, &near, if newest { &far } else { &[] }, most);
        left = left.saturating_sub(text.chars().count());
        let since = if green.is_some() { " since it last passed" } else { "" };
        let heading = if newest { "What changed last" } else { "An earlier change of this code" };
        let heading = format!("{heading}{since}: commit {} {}", commit.id.short(), commit.subject);
        sections.push(Section::new(&heading, text, most, if newest { 2 } else { 4 }));
    }
    subjects.truncate(MOST_SUBJECTS);
    sections.push(Section::new("Other commits", subjects.concat(), 500, 5));
    sections
}

/// Whether a change of this file can be why something fails.
fn counts(path: &RepoPath, related: &BTreeSet<RepoPath>) -> bool {
    let name = path.to_string();
    let ends = |list: &[&str]| list.iter().any(|end| name.ends_with(end));
    if is_test(&name) {
        return false;
    }
    related.contains(path) || !(ends(PROSE) || ends(GENERATED))
}

fn diffs(
    workspace: &Workspace,
    commit: &CommitInfo,
    near: &[&RepoPath],
    far: &[&RepoPath],
    most: usize,
) -> String {
    let of = |paths: &[&RepoPath], most: usize| {
        let paths: Vec<RepoPath> = paths.iter().map(|path| (*path).clone()).collect();
        if paths.is_empty() || most < 100 {
            return String::new();
        }
        workspace.commit_diff(&commit.id, &paths, most * 2).map_or_else(
            |error| {
                tracing::warn!(%error, "could not read a commit's changes for the author's prompt");
                String::new()
            },
            |diff| super::budget::shorten(&compact(&diff), most, super::budget::Keep::Ends),
        )
    };
    let mut text = of(near, most);
    let left = most.saturating_sub(text.chars().count());
    let room = if near.is_empty() { left } else { left.min(UNRELATED) };
    text.push_str(&of(far, room));
    let unnamed: Vec<String> = commit
        .paths
        .iter()
        .filter(|path| !near.contains(path) && !far.contains(path) && !is_test(&path.to_string()))
        .map(ToString::to_string)
        .collect();
    if !unnamed.is_empty() {
        let named = unnamed.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = unnamed.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!("[also changed: {named}{more}]\n"));
    }
    text
}

/// A diff with one line for the names of each file.
fn compact(diff: &str) -> String {
    let mut out = String::new();
    let mut header = false;
    for line in diff.lines() {
        if line.starts_with("diff --git ") {
            header = true;
            continue;
        }
        if line.starts_with("@@") {
            header = false;
        }
        if header {
            let old = line.strip_prefix("--- ").filter(|old| *old != "/dev/null");
            if line.starts_with("index ") || old.is_some() {
                continue;
            }
            if line == "+++ /dev/null" || line == "--- /dev/null" {
                continue;
            }
            if let Some(new) = line.strip_prefix("+++ b/") {
                out.push_str(&format!("+++ {new}\n"));
                continue;
            }
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::fixtures::Repository;

    fn told(repository: &Repository, green: Option<&CommitId>, related: &[&str]) -> Vec<String> {
        let related = related.iter().map(|path| RepoPath::new(*path).unwrap()).collect();
        let list = sections(&repository.workspace, &repository.head, green, &related);
        let told = list.iter().filter(|section| !section.text.is_empty());
        told.map(|section| format!("{}\n{}", section.heading, section.text)).collect()
    }

    #[test]
    fn the_newest_change_of_code_comes_first_and_tests_and_roots_stay_out() {
        let mut repository = Repository::of(&[("a.py", "a = 1\n"), ("b.py", "b = 1\n")]);
        assert!(told(&repository, None, &["a.py"]).is_empty(), "the first commit is none");
        let begin = repository.head.clone();
        repository.commit("Change a", &[("a.py", "a = 2\n")]);
        let first = repository.head.clone();
        repository.commit("Change b", &[("b.py", "b = 2\n"), ("tests/test_b.py", "b\n")]);
        repository.commit("Write tests", &[("tests/test_a.py", "secret = 1\n")]);
        repository.commit("Write notes", &[("NOTES.md", "notes\n")]);
        let list = told(&repository, None, &["a.py"]);
        assert_eq!(list.len(), 3, "{list:#?}");
        assert!(list[0].starts_with("What changed last: commit "), "{}", list[0]);
        assert!(list[0].contains("Change b\n+++ b.py\n@@") && list[0].contains("-b = 1\n+b = 2"));
        assert!(list[1].contains("Change a\n+++ a.py\n") && list[1].contains("+a = 2"));
        assert!(list[2].contains("Write notes\n") && list[2].contains("Write tests\n"));
        assert!(!list.concat().contains("secret") && !list.concat().contains("Begin"));

        let list = told(&repository, Some(&first), &["a.py"]);
        assert!(!list.concat().contains("Change a"), "what came before is no suspect: {list:#?}");
        assert!(list[0].starts_with("What changed last since it last passed: "));
        assert!(told(&repository, Some(&begin), &["a.py"]).concat().contains("Change a"));
    }

    #[test]
    fn a_large_change_is_bounded_and_begins_with_what_is_related() {
        let mut repository = Repository::of(&[("z.py", "z = 1\n"), ("a.py", "")]);
        let long: String = (0..2_000).map(|n| format!("line_{n} = {n}\n")).collect();
        repository.commit("Import", &[("a.py", &long), ("z.py", "z = 2\n"), ("x.lock", "1\n")]);
        let list = told(&repository, None, &["z.py"]);
        assert!(list[0].contains("Import\n+++ z.py\n"), "{}", list[0]);
        assert!(list[0].chars().count() < NEWEST + 200, "{}", list[0].chars().count());
        assert!(list[0].contains("[also changed: x.lock]"), "{}", list[0]);
    }
}
