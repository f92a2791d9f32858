//! Paths with spaces on a line with other words: only the files of the tree tell where such a path
//! begins.

use std::ops::Range;

use greenloop_model::RepoPath;

/// A file that a line names.
pub(super) struct Named<'t> {
    pub(super) file: &'t RepoPath,
    at: Range<usize>,
}

/// The files that `line` names, those without a space only where `all` are wanted, and without
/// those that are a part of a longer one.
pub(super) fn files_in<'t>(
    line: &str,
    files: &'t [RepoPath],
    roots: &[Vec<u8>],
    all: bool,
) -> Vec<Named<'t>> {
    let mut found: Vec<Named<'t>> = Vec::new();
    for file in files {
        let path = file.as_bytes();
        if !(all || path.contains(&b' ')) || path.len() > line.len() {
            continue;
        }
        let Ok(path) = std::str::from_utf8(path) else { continue };
        let places = line.match_indices(path).map(|(at, _)| at..at + path.len());
        let whole = |at: &Range<usize>| begins(&line[..at.start], roots) && ends(&line[at.end..]);
        found.extend(places.filter(whole).map(|at| Named { file, at }));
    }
    let places: Vec<Range<usize>> = found.iter().map(|named| named.at.clone()).collect();
    found.retain(|named| {
        let inner = |outer: &Range<usize>| {
            outer.start <= named.at.start
                && named.at.end <= outer.end
                && outer.len() > named.at.len()
        };
        !places.iter().any(inner)
    });
    // The same file named twice is one.
    found.sort_by(|a, b| a.file.cmp(b.file));
    found.dedup_by(|a, b| a.file == b.file);
    found
}

/// The path to a new file, `shown` on `line`, whose folder has a space and is in the tree: the
/// longest one.
pub(super) fn in_folder(line: &str, shown: &str, files: &[RepoPath]) -> Option<RepoPath> {
    let at = line.rfind(shown)?;
    let end = at + shown.len();
    let starts = line[..at].char_indices().filter(|(start, _)| begins(&line[..*start], &[]));
    starts.map(|(start, _)| &line[start..end]).find_map(|path| {
        let (folder, _) = path.rsplit_once('/')?;
        let below = format!("{folder}/");
        let is_there = folder.contains(' ')
            && files.iter().any(|file| file.as_bytes().starts_with(below.as_bytes()));
        is_there.then(|| RepoPath::new(path).ok()).flatten()
    })
}

/// Whether a path may begin after `before`.
fn begins(before: &str, roots: &[Vec<u8>]) -> bool {
    let Some(last) = before.chars().next_back() else { return true };
    let whole = |prefix: &str| {
        before.strip_suffix(prefix).is_some_and(|rest| !rest.ends_with(part_of_a_name))
    };
    let root = |root: &Vec<u8>| {
        before.strip_suffix('/').is_some_and(|before| {
            before.as_bytes().ends_with(root.strip_suffix(b"/").unwrap_or(root))
        })
    };
    !part_of_a_name(last) || ["./", "a/", "b/"].into_iter().any(whole) || roots.iter().any(root)
}

/// Whether a path may end before `after`.
fn ends(after: &str) -> bool {
    let mut after = after.chars();
    match after.next() {
        Some('.') => !after.next().is_some_and(part_of_a_name),
        Some(next) => !part_of_a_name(next),
        None => true,
    }
}

fn part_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '\\' | '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use greenloop_model::{FileContent, RepoPath};

    use crate::{Answer, MemoryTree, ParsedPatch, Refusal, ResolveOptions, parse_answer, resolve};

    const FILES: [&str; 8] = [
        "app/c.py",
        "my app/c.py",
        "level.py",
        "top level.py",
        "docs/b c.txt",
        "my docs/b c.txt",
        "größe/ein maß.py",
        "src/a.rs",
    ];

    fn patched(answer: &str) -> Result<ParsedPatch, Refusal> {
        let files =
            FILES.map(|path| (RepoPath::new(path).unwrap(), FileContent::regular(b"a\n".to_vec())));
        let tree: MemoryTree = files.into_iter().collect();
        match parse_answer(answer)? {
            Answer::Edits(edits) => resolve(&edits, &tree, &ResolveOptions::default()),
            other => panic!("{other:?}"),
        }
    }

    fn changed(answer: &str) -> String {
        let patch = patched(answer).unwrap_or_else(|refusal| panic!("{answer}: {refusal}"));
        assert_eq!(patch.changes().len(), 1, "{answer}");
        patch.changes()[0].path.to_string_lossy()
    }

    fn block(line: &str) -> String {
        format!("x\n\n{line}\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n")
    }

    #[test]
    fn the_longest_path_that_is_a_file_is_meant() {
        for (line, path) in [
            ("my app/c.py", "my app/c.py"),
            ("### my app/c.py", "my app/c.py"),
            ("**my app/c.py**:", "my app/c.py"),
            ("In `my app/c.py`, the sign is wrong:", "my app/c.py"),
            ("The change to my app/c.py:", "my app/c.py"),
            ("./my app/c.py", "my app/c.py"),
            ("top level.py", "top level.py"),
            ("# top level.py", "top level.py"),
            ("In level.py:", "level.py"),
            ("The fix of app/c.py:", "app/c.py"),
            ("app/c.py", "app/c.py"),
            ("docs/b c.txt", "docs/b c.txt"),
            ("my docs/b c.txt", "my docs/b c.txt"),
            ("### my docs/b c.txt", "my docs/b c.txt"),
            ("größe/ein maß.py", "größe/ein maß.py"),
            ("Now größe/ein maß.py.", "größe/ein maß.py"),
            ("In src/a.rs, too:", "src/a.rs"),
        ] {
            assert_eq!(changed(&block(line)), path, "{line}");
        }
    }

    #[test]
    fn a_path_in_an_element_is_that_of_the_block_below() {
        for name in ["replace_in_file", "apply_diff"] {
            for path in ["src/a.rs", "my app/c.py"] {
                let answer = format!(
                    "<{name}>\n<path>{path}</path>\n<diff>\n------- SEARCH\na\n=======\nb\n\
                     +++++++ REPLACE\n</diff>\n</{name}>\n"
                );
                assert_eq!(changed(&answer), path);
            }
        }
    }

    #[test]
    fn a_line_with_two_files_is_refused_with_both() {
        let line = "Both top level.py, and docs/b c.txt";
        let files: Vec<RepoPath> = FILES.iter().map(|path| RepoPath::new(*path).unwrap()).collect();
        let named: Vec<String> = super::files_in(line, &files, &[], false)
            .iter()
            .map(|named| named.file.to_string())
            .collect();
        assert_eq!(named, ["docs/b c.txt", "top level.py"]);
        for (line, both) in [
            ("Both top level.py, and docs/b c.txt", ["`docs/b c.txt`", "`top level.py`"]),
            ("src/a.rs and app/c.py", ["`app/c.py`", "`src/a.rs`"]),
        ] {
            let refusal = patched(&block(line)).unwrap_err().to_string();
            assert!(both.iter().all(|file| refusal.contains(file)), "{line}: {refusal}");
        }
    }

    #[test]
    fn a_new_file_goes_into_the_folder_with_the_space() {
        let new =
            |line: &str| format!("x\n\n{line}\n<<<<<<< SEARCH\n=======\nb\n>>>>>>> REPLACE\n");
        assert_eq!(changed(&new("my app/new.py")), "my app/new.py");
        assert_eq!(changed(&new("docs/new file.txt")), "docs/new file.txt");
        assert_eq!(changed(&new("The new app/new.py:")), "app/new.py");
    }

    #[test]
    fn diffs_name_files_with_spaces_and_other_letters() {
        for (path, quoted) in [
            ("my app/c.py", "my app/c.py"),
            ("top level.py", "top level.py"),
            ("größe/ein maß.py", "größe/ein maß.py"),
            ("größe/ein maß.py", r"gr\303\266\303\237e/ein ma\303\237.py"),
        ] {
            for tab in ["", "\t"] {
                let side = |side: &str| match quoted.contains('\\') {
                    true => format!("\"{side}/{quoted}\""),
                    false => format!("{side}/{quoted}{tab}"),
                };
                let (old, new) = (side("a"), side("b"));
                let hunk = "@@ -1 +1 @@\n-a\n+b\n";
                assert_eq!(changed(&format!("--- {old}\n+++ {new}\n{hunk}")), path);
                let git = format!(
                    "diff --git {} {}\nindex 1..2 100644\n--- {old}\n+++ {new}\n{hunk}",
                    old.trim_end(),
                    new.trim_end()
                );
                assert_eq!(changed(&git), path);
            }
        }
    }
}
