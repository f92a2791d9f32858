//! Source code around the places that excerpts name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::clean::bounded;
use super::redact::Redactor;
use greenloop_model::{CodeContext, Excerpt, Location};

/// How much code is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeLimits {
    /// Pieces of code.
    pub pieces: usize,
    /// Lines before and after a place.
    pub around: u64,
    /// Bytes, all pieces together.
    pub bytes: usize,
    /// Larger files are not read.
    pub file_bytes: u64,
    /// Entries looked at in search of a file that a log names without its folder.
    pub entries: usize,
}

impl Default for CodeLimits {
    fn default() -> Self {
        Self { pieces: 8, around: 12, bytes: 16 * 1024, file_bytes: 2 << 20, entries: 20_000 }
    }
}

/// Characters of one line of code.
const LINE_CHARS: usize = 400;

/// The code around the places that `excerpts` name, in their order, nearby places of one file
/// together. Only regular files inside `root` are read: a path that leads out, by `..`, as an
/// absolute path or through a symbolic link, is passed over, and so is anything that cannot be
/// read.
pub fn read_code(
    root: &Path,
    excerpts: &[Excerpt],
    limits: CodeLimits,
    redactor: &Redactor,
) -> Vec<CodeContext> {
    let Ok(root) = root.canonicalize() else { return Vec::new() };
    let mut finder = Finder { root: &root, limits, by_name: None };
    let mut pieces: Vec<(String, PathBuf, u64, u64, Location)> = Vec::new();
    for place in excerpts.iter().flat_map(|excerpt| &excerpt.locations) {
        let Some((shown, path)) = finder.find(&place.file) else { continue };
        let first = place.line.saturating_sub(limits.around).max(1);
        let last = place.line.saturating_add(limits.around);
        let room = pieces.len() < limits.pieces;
        match pieces.iter_mut().find(|(file, _, from, to, _)| {
            *file == shown && first <= *to && *from <= last && last - *from <= 4 * limits.around
        }) {
            Some((_, _, from, to, _)) => {
                *from = first.min(*from);
                *to = last.max(*to);
            }
            None if room => {
                pieces.push((shown, path, first, last, place.clone()));
            }
            None => {}
        }
    }
    let mut left = limits.bytes;
    let mut out = Vec::new();
    for (path, file, first, last, about) in pieces {
        let Some(text) = lines(&file, first, last, limits.file_bytes) else { continue };
        // Redacted as a whole, so that a key of several lines is seen.
        let text = redactor.redact(&text).into_owned();
        if text.len() > left {
            continue;
        }
        left -= text.len();
        let about = Location { file: redactor.redact(&about.file).into_owned(), ..about };
        out.push(CodeContext { path, first_line: first, text, about });
    }
    out
}

/// Lines `first` to `last` of a file, as far as there are such; `None` when there are none.
fn lines(file: &Path, first: u64, last: u64, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(file).ok()?;
    if file.metadata().ok()?.len() > most {
        return None;
    }
    file.take(most).read_to_end(&mut bytes).ok()?;
    if bytes.iter().take(8192).any(|b| *b == 0) {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    let skip = usize::try_from(first - 1).ok()?;
    let take = usize::try_from(last - first + 1).ok()?;
    let lines: Vec<String> =
        text.lines().skip(skip).take(take).map(|line| bounded(line, LINE_CHARS)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

struct Finder<'r> {
    /// Canonical.
    root: &'r Path,
    limits: CodeLimits,
    /// Files by their name, read when first needed.
    by_name: Option<BTreeMap<String, BTreeSet<PathBuf>>>,
}

impl Finder<'_> {
    /// The file that a log means: its path relative to the root, and where it is.
    fn find(&mut self, named: &str) -> Option<(String, PathBuf)> {
        let named = named.strip_prefix("file://").unwrap_or(named).replace('\\', "/");
        if named.is_empty() || named.len() > 1024 || named.contains('\0') {
            return None;
        }
        self.inside(&self.root.join(&named)).or_else(|| self.by_tail(&named))
    }

    /// The path, if it is a file inside the root with all links followed.
    fn inside(&self, path: &Path) -> Option<(String, PathBuf)> {
        let path = path.canonicalize().ok()?;
        let inside = path.strip_prefix(self.root).ok()?;
        if inside.components().next().is_some_and(|first| first.as_os_str() == ".git") {
            return None;
        }
        let shown = inside.to_string_lossy().into_owned();
        (path.is_file() && !shown.is_empty()).then_some((shown, path))
    }

    /// The one file whose path ends like the name: a path of the machine the log was made on, of
    /// a sub-directory, of a container, or a class. Longer tails are tried before shorter ones,
    /// the bare name last; two files that fit are none.
    fn by_tail(&mut self, named: &str) -> Option<(String, PathBuf)> {
        let parts: Vec<&str> =
            named.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
        let name = (*parts.last()?).to_owned();
        let files = self.index().get(&name)?.clone();
        for from in 0..parts.len() {
            let tail: PathBuf = parts.get(from..)?.iter().collect();
            let mut fit = files.iter().filter(|file| file.ends_with(&tail));
            match (fit.next(), fit.next()) {
                (Some(one), None) => return self.inside(&self.root.join(one)),
                (Some(_), Some(_)) => return None,
                (None, _) => {}
            }
        }
        None
    }

    fn index(&mut self) -> &BTreeMap<String, BTreeSet<PathBuf>> {
        let (root, most) = (self.root, self.limits.entries);
        self.by_name.get_or_insert_with(|| {
            let mut by_name: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
            let walk = WalkBuilder::new(root)
                .hidden(false)
                .filter_entry(|entry| entry.file_name() != ".git")
                .require_git(false)
                .follow_links(false)
                .sort_by_file_name(std::cmp::Ord::cmp)
                .build();
            for entry in walk.filter_map(Result::ok).take(most) {
                if entry.file_type().is_some_and(|kind| kind.is_file())
                    && let Ok(inside) = entry.path().strip_prefix(root)
                {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    by_name.entry(name).or_default().insert(inside.to_owned());
                }
            }
            by_name
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(places: &[(&str, u64)]) -> Excerpt {
        Excerpt {
            start: 1,
            end: 1,
            kind: "x".to_owned(),
            text: String::new(),
            locations: places
                .iter()
                .map(|(file, line)| Location {
                    file: (*file).to_owned(),
                    line: *line,
                    column: None,
                })
                .collect(),
        }
    }

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let numbered: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        write("src/main.rs", numbered.as_bytes());
        write("a/same.c", b"a\n");
        write("b/same.c", b"b\n");
        write("app/src/main/java/com/acme/App.java", b"package com.acme;\nclass App {}\n");
        write("app/src/test/java/com/other/App.java", b"package com.other;\n");
        write("latin.py", b"# caf\xe9\nprint(1)\npassword = 'correct-horse'\n");
        write("binary.bin", b"a\0b");
        write(".git/config", b"[core]\n");
        write("target/out.rs", b"generated\n");
        write(".gitignore", b"target/\n");
        dir
    }

    #[test]
    fn only_files_inside_are_found() {
        let dir = repository();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.rs"), "no\n").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let root = dir.path().canonicalize().unwrap();
        let absolute = root.join("src/main.rs").display().to_string();
        let away = outside.path().join("secret.rs").display().to_string();
        for (named, expect) in [
            ("src/main.rs", Some("src/main.rs")),
            ("./src/../src/main.rs", Some("src/main.rs")),
            (absolute.as_str(), Some("src/main.rs")),
            ("/home/runner/work/x/x/src/main.rs", Some("src/main.rs")),
            ("main.rs", Some("src/main.rs")),
            ("com/acme/App.java", Some("app/src/main/java/com/acme/App.java")),
            ("App.java", None),
            ("same.c", None),
            ("a/same.c", Some("a/same.c")),
            ("elsewhere/b/same.c", Some("b/same.c")),
            ("link/secret.rs", None),
            ("../secret.rs", None),
            (away.as_str(), None),
            ("secret.rs", None),
            ("/etc/passwd", None),
            (".git/config", None),
            ("out.rs", None),
            ("nope.rs", None),
            ("binary.bin", None),
            ("src", None),
        ] {
            let found = read_code(
                dir.path(),
                &[excerpt(&[(named, 1)])],
                CodeLimits::default(),
                &Redactor::default(),
            );
            assert_eq!(found.first().map(|code| code.path.as_str()), expect, "{named}");
        }
    }

    #[test]
    fn lines_are_numbered_right_and_near_places_joined() {
        let dir = repository();
        let excerpts = [excerpt(&[("src/main.rs", 50), ("src/main.rs", 55), ("src/main.rs", 2)])];
        let limits = CodeLimits { around: 3, ..CodeLimits::default() };
        let found = read_code(dir.path(), &excerpts, limits, &Redactor::default());
        let shown: Vec<_> = found
            .iter()
            .map(|code| (code.first_line, code.text.lines().next(), code.text.lines().last()))
            .collect();
        assert_eq!(
            shown,
            [(47, Some("line 47"), Some("line 58")), (1, Some("line 1"), Some("line 5")),]
        );
        assert_eq!(found.first().map(|code| code.about.line), Some(50));
    }

    #[test]
    fn code_is_redacted_bounded_and_read_whatever_its_encoding() {
        let dir = repository();
        let excerpts = [excerpt(&[("latin.py", 1), ("src/main.rs", 50)])];
        let found = read_code(dir.path(), &excerpts, CodeLimits::default(), &Redactor::default());
        assert_eq!(
            found.first().map(|code| code.text.as_str()),
            Some("# caf\u{fffd}\nprint(1)\npassword = '[redacted]'")
        );
        let small = CodeLimits { bytes: 60, ..CodeLimits::default() };
        let found = read_code(dir.path(), &excerpts, small, &Redactor::default());
        assert_eq!(found.len(), 1);
        let beyond = [excerpt(&[("latin.py", 4_000_000)])];
        assert!(read_code(dir.path(), &beyond, small, &Redactor::default()).is_empty());
    }
}
