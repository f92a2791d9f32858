//! The code a failure is about, read from the commit's tree.

use std::collections::{BTreeMap, BTreeSet};

use super::looks::numbered;
use greenloop_model::{Evidence, FileMode, RepoPath};
use greenloop_patch::Tree;

/// Files that are shown for the places the evidence names.
const MOST_NAMED: usize = 8;

/// A file of up to this many lines is shown as a whole.
const WHOLE_LINES: usize = 300;

/// Lines shown before and after a place in a longer file.
const AROUND: u64 = 30;

/// A repository of up to this many files, and this many bytes, is shown as a whole.
const SMALL_FILES: usize = 40;
const SMALL_BYTES: usize = 24_000;

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 1 << 20;

/// Code to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The path, and what part of the file it is.
    pub(super) label: String,
    /// The lines with their numbers.
    pub(super) text: String,
    /// Whether the evidence names it, or it is there because the repository is small.
    pub(super) named: bool,
}

/// The code around the places that the evidence names, in the order in which it names them;
/// then, in a small repository, every other text file.
pub(super) fn relevant(tree: &dyn Tree, evidence: &Evidence) -> Vec<Shown> {
    let files = tree.files().unwrap_or_default();
    let mut shown = Vec::new();
    let mut done = BTreeSet::new();
    for (path, lines) in places(&files, evidence).into_iter().take(MOST_NAMED) {
        if let Some(text) = read(tree, &path) {
            shown.push(named(&path, &text, &lines));
            done.insert(path);
        }
    }
    // What the evidence has read itself, of files that are not in the tree (generated ones).
    for code in &evidence.code {
        let known = RepoPath::new(&code.path).is_ok_and(|path| done.contains(&path));
        if !known {
            let lines: Vec<&str> = code.text.lines().collect();
            shown.push(Shown {
                label: format!("{} from line {}", code.path, code.first_line),
                text: numbered(code.first_line, &lines),
                named: true,
            });
        }
    }
    if files.len() <= SMALL_FILES {
        let others: Vec<(&RepoPath, String)> = files
            .iter()
            .filter(|path| !done.contains(path))
            .filter_map(|path| Some((path, read(tree, path)?)))
            .collect();
        if others.iter().map(|(_, text)| text.len()).sum::<usize>() <= SMALL_BYTES {
            shown.extend(others.into_iter().filter(|(_, text)| !text.is_empty()).map(
                |(path, text)| {
                    let lines: Vec<&str> = text.lines().collect();
                    let label = format!("{path}, complete");
                    Shown { label, text: numbered(1, &lines), named: false }
                },
            ));
        }
    }
    shown
}

/// The files of the tree that the evidence names, with the lines it names in each.
fn places(files: &[RepoPath], evidence: &Evidence) -> Vec<(RepoPath, BTreeSet<u64>)> {
    let mut order: Vec<RepoPath> = Vec::new();
    let mut lines: BTreeMap<RepoPath, BTreeSet<u64>> = BTreeMap::new();
    let of_excerpts = evidence.excerpts.iter().flat_map(|excerpt| &excerpt.locations);
    let named = of_excerpts.chain(evidence.code.iter().map(|code| &code.about));
    for location in named {
        let Some(path) = in_tree(files, &location.file) else { continue };
        if !order.contains(path) {
            order.push(path.clone());
        }
        lines.entry(path.clone()).or_default().insert(location.line);
    }
    order
        .into_iter()
        .map(|path| {
            let lines = lines.remove(&path).unwrap_or_default();
            (path, lines)
        })
        .collect()
}

/// The file that a log means: of that path, else the longest path that its end matches, else the
/// only file whose end it is.
fn in_tree<'a>(files: &'a [RepoPath], written: &str) -> Option<&'a RepoPath> {
    let written = written.trim_start_matches("file://").replace('\\', "/");
    let written = written.trim_start_matches("./").trim_start_matches('/').as_bytes();
    let ends = |long: &[u8], short: &[u8]| {
        long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"/"))
    };
    if written.is_empty() {
        return None;
    }
    let within = files.iter().filter(|file| ends(written, file.as_bytes()));
    if let Some(file) = within.max_by_key(|file| file.as_bytes().len()) {
        return Some(file);
    }
    let mut around = files.iter().filter(|file| ends(file.as_bytes(), written));
    around.next().filter(|_| around.next().is_none())
}

fn read(tree: &dyn Tree, path: &RepoPath) -> Option<String> {
    let content = tree.read(path).ok()??;
    let is_file = match content.mode {
        FileMode::Regular | FileMode::Executable => true,
        FileMode::Symlink | FileMode::Submodule => false,
    };
    let readable = is_file && !content.is_binary() && content.bytes.len() <= LONGEST_FILE;
    readable.then(|| String::from_utf8_lossy(&content.bytes).into_owned())
}

/// The file, or of a long one the lines around the places.
fn named(path: &RepoPath, text: &str, places: &BTreeSet<u64>) -> Shown {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= WHOLE_LINES {
        let label = format!("{path}, complete");
        return Shown { label, text: numbered(1, &lines), named: true };
    }
    let mut windows: Vec<(u64, u64)> = Vec::new();
    for place in places {
        let place = (*place).clamp(1, lines.len() as u64);
        let first = place.saturating_sub(AROUND).max(1);
        let last = (place + AROUND).min(lines.len() as u64);
        match windows.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last,
            _ => windows.push((first, last)),
        }
    }
    let text: Vec<String> = windows
        .iter()
        .map(|(first, last)| numbered(*first, &lines[*first as usize - 1..*last as usize]))
        .collect();
    Shown {
        label: format!("{path}, parts of {} lines", lines.len()),
        text: text.join("…\n"),
        named: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{CodeContext, Excerpt, FileContent, Location};
    use greenloop_patch::MemoryTree;

    fn tree(files: &[(&str, &str)]) -> MemoryTree {
        files
            .iter()
            .map(|(path, text)| (RepoPath::new(path).unwrap(), FileContent::regular(*text)))
            .collect()
    }

    fn evidence(places: &[(&str, u64)]) -> Evidence {
        let locations = places
            .iter()
            .map(|(file, line)| Location { file: (*file).into(), line: *line, column: None })
            .collect();
        let excerpt =
            Excerpt { start: 1, end: 1, kind: "x".into(), text: String::new(), locations };
        Evidence { excerpts: vec![excerpt], ..Evidence::default() }
    }

    #[test]
    fn a_log_s_paths_find_their_files() {
        let files: Vec<RepoPath> = ["src/a.rs", "a.rs", "web/src/app.ts", "x/lib.py", "y/lib.py"]
            .iter()
            .map(|path| RepoPath::new(path).unwrap())
            .collect();
        for (written, expect) in [
            ("src/a.rs", Some("src/a.rs")),
            ("./a.rs", Some("a.rs")),
            ("/home/ci/build/src/a.rs", Some("src/a.rs")),
            ("src/app.ts", Some("web/src/app.ts")),
            ("web\\src\\app.ts", Some("web/src/app.ts")),
            ("lib.py", None),
            ("/usr/lib/python3/json.py", None),
            ("", None),
        ] {
            let found = in_tree(&files, written).map(ToString::to_string);
            assert_eq!(found.as_deref(), expect, "{written}");
        }
    }

    #[test]
    fn long_files_are_shown_around_their_places() {
        let long: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
        let filler = "x\n".repeat(20_000);
        let tree = tree(&[("long.py", &long), ("short.py", "one\n"), ("filler", &filler)]);
        let places = [("long.py", 100), ("long.py", 120), ("long.py", 900), ("short.py", 1)];
        let shown = relevant(&tree, &evidence(&places));
        assert_eq!(shown.len(), 2, "the filler makes the repository a large one");
        assert!(shown[0].text.starts_with(" 70| line 70\n"), "{}", &shown[0].text[..40]);
        assert!(shown[0].text.contains("150| line 150\n…\n870| line 870\n"));
        assert_eq!(shown[1].text, "1| one\n");
    }

    #[test]
    fn a_small_repository_is_shown_as_a_whole() {
        let tree = tree(&[("a.py", "one\n"), ("b.py", "two\n"), ("bin", "\0")]);
        let mut evidence = evidence(&[("a.py", 1)]);
        evidence.code.push(CodeContext {
            path: "build/gen.py".into(),
            first_line: 7,
            text: "seven".into(),
            about: Location { file: "build/gen.py".into(), line: 7, column: None },
        });
        let shown = relevant(&tree, &evidence);
        let labels: Vec<_> = shown.iter().map(|s| (s.label.as_str(), s.named)).collect();
        let expect = [
            ("a.py, complete", true),
            ("build/gen.py from line 7", true),
            ("b.py, complete", false),
        ];
        assert_eq!(labels, expect);
    }
}
