//! What a patch is judged for: the tree it changes, what the gates run in it, and the failure it
//! repairs.

use super::file_kind::{FileKind, file_kind};
use super::gate_files::GateFiles;
use super::syntax::SourceFile;
use super::test_changes::inline_tests;
use unicode_normalization::UnicodeNormalization as _;

use greenloop_model::{Failure, FileChange, RepoPath};
use greenloop_patch::Tree;

/// How many tests are read, and how large they may be.
const MAX_TESTS: usize = 400;
const MAX_TEST_BYTES: usize = 256 * 1024;

/// How many files of product code are read.
const MAX_SOURCES: usize = 2_000;

/// The circumstances of a patch. Without any, only the changes themselves are judged, and no
/// change counts as the repair of a failure.
#[derive(Default)]
pub struct Subject<'a> {
    tree: Option<&'a dyn Tree>,
    files: Vec<RepoPath>,
    pub(super) gates: GateFiles,
    pub(super) failure: Option<&'a str>,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("tree", &self.tree.is_some())
            .field("gates", &self.gates)
            .field("failure", &self.failure.map(str::len))
            .finish()
    }
}

impl<'a> Subject<'a> {
    /// A patch of this tree, whose gates run these commands.
    pub fn of_tree<'g>(tree: &'a dyn Tree, gates: impl IntoIterator<Item = &'g str>) -> Self {
        let files = tree.files().unwrap_or_default();
        Self { tree: Some(tree), gates: GateFiles::trace(tree, gates), failure: None, files }
    }

    /// The patch is to repair this failure: its headline, its excerpts, its places.
    #[must_use]
    pub fn repairing(self, failure: &'a str) -> Self {
        Self { failure: Some(failure), ..self }
    }

    /// Whether the failure is about the file: it names the whole path, or the name of a file that
    /// there is only one of.
    pub(super) fn failure_names(&self, path: &RepoPath) -> bool {
        let Some(failure) = self.failure else { return false };
        let whole = path.to_string_lossy();
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        if names(failure, &whole) {
            return true;
        }
        let same_name = |other: &RepoPath| other.file_name() == path.file_name();
        names(failure, &name) && self.files.iter().filter(|file| same_name(file)).count() <= 1
    }

    /// Whether the tree has a file or a folder of that name.
    pub(super) fn has_path(&self, word: &str) -> bool {
        let word = word.trim_start_matches("./").trim_end_matches('/');
        let Ok(path) = RepoPath::new(word) else { return false };
        let below = [path.as_bytes(), b"/"].concat();
        self.files.iter().any(|file| *file == path || file.as_bytes().starts_with(&below))
    }

    /// The text of a file of the tree.
    pub(super) fn text_of(&self, path: &RepoPath) -> Option<String> {
        let file = self.tree?.read(path).ok().flatten()?;
        (file.bytes.len() <= MAX_TEST_BYTES && !file.is_binary())
            .then(|| String::from_utf8_lossy(&file.bytes).into_owned())
    }

    /// Whether a pattern of an ignore file is the path of something that is tracked.
    pub(super) fn tracks(&self, pattern: &str) -> bool {
        self.has_path(pattern.trim_start_matches('/'))
    }

    /// A lockfile in the folder of a manifest, or, of a workspace, in the nearest folder above, as
    /// it is after the patch.
    pub(super) fn lockfile_beside(
        &self,
        manifest: &RepoPath,
        patch: &[FileChange],
    ) -> Option<(SourceFile, String)> {
        let folder = |path: &RepoPath| -> Vec<u8> {
            let bytes = path.as_bytes();
            bytes[..bytes.len() - path.file_name().len()].to_vec()
        };
        let mut here = folder(manifest);
        let brought: Vec<&RepoPath> = patch
            .iter()
            .filter(|change| change.after.is_some())
            .map(|change| &change.path)
            .collect();
        loop {
            let lockfile = self.files.iter().chain(brought.iter().copied()).find(|file| {
                folder(file) == here
                    && file_kind(file, b"", &self.gates) == FileKind::Lockfile
                    && locks(manifest, file)
            });
            if let Some(lockfile) = lockfile {
                let bytes = self.content_after(lockfile, patch)?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Some((SourceFile::new(lockfile, &bytes), text));
            }
            here.pop()?;
            here.truncate(here.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1));
        }
    }

    fn content_after(&self, path: &RepoPath, patch: &[FileChange]) -> Option<Vec<u8>> {
        if let Some(change) = patch.iter().find(|change| change.path == *path) {
            return change.after.as_ref().map(|file| file.bytes.clone());
        }
        self.tree?.read(path).ok().flatten().map(|file| file.bytes)
    }

    /// Whether the tree's product code has the text as a literal of its own.
    pub(super) fn product_says(&self, text: &str) -> bool {
        let literals = ['"', '\'', '`'].map(|quote| format!("{quote}{text}{quote}"));
        self.any_product_code(|code| literals.iter().any(|literal| code.contains(literal)))
    }

    /// Whether the product's code defines something of that name.
    pub(super) fn product_defines(&self, name: &str) -> bool {
        let name = regex::escape(name);
        let pattern = format!(
            r"(?m)\b(?:def|fn|func|function|class|struct|enum|trait|interface|type|const|let|var|static|void|int|long|double|boolean|String|bool|fun|sub|module)\s+(?:\([^)]*\)\s*|self\.)?{name}\b|^{name}\s*=[^=]",
        );
        let Ok(defines) = regex::Regex::new(&pattern) else { return false };
        self.any_product_code(|code| defines.is_match(code))
    }

    /// Whether a file of the tree's product code is such; at most so many files, none of them large.
    fn any_product_code(&self, is: impl Fn(&str) -> bool) -> bool {
        let Some(tree) = self.tree else { return false };
        self.files
            .iter()
            .filter(|file| file_kind(file, b"", &self.gates) == FileKind::Product)
            .take(MAX_SOURCES)
            .filter_map(|file| tree.read(file).ok().flatten())
            .filter(|content| content.bytes.len() <= MAX_TEST_BYTES && !content.is_binary())
            .any(|content| is(&String::from_utf8_lossy(&content.bytes)))
    }

    /// Whether a text is the name of a file of such a kind: with a folder, the end of its path;
    /// alone, a name that tells the kind by itself.
    pub(super) fn has_file_named(&self, text: &str, is: impl Fn(FileKind) -> bool) -> bool {
        let text = text.trim_start_matches("./").trim_start_matches('/');
        if text.len() < 5 || !text.contains('.') || text.contains(char::is_whitespace) {
            return false;
        }
        let tells = |name: &[u8]| {
            let kind = RepoPath::new(name).map(|name| file_kind(&name, b"", &self.gates));
            kind.is_ok_and(&is)
        };
        self.files.iter().any(|file| {
            let path = file.as_bytes();
            let named = match path.strip_suffix(text.as_bytes()) {
                Some(rest) if text.contains('/') => rest.is_empty() || rest.ends_with(b"/"),
                Some(_) => file.file_name() == text.as_bytes() && tells(file.file_name()),
                None => false,
            };
            named && is(file_kind(file, b"", &self.gates))
        })
    }

    /// A file that some file system takes for the one at `path`: one that ignores case, or how
    /// letters with accents are composed.
    pub(super) fn collides(&self, path: &RepoPath) -> Option<RepoPath> {
        let folded = |path: &RepoPath| -> String {
            path.to_string_lossy().nfc().flat_map(char::to_lowercase).collect()
        };
        let wanted = folded(path);
        self.files.iter().find(|file| *file != path && folded(file) == wanted).cloned()
    }

    /// The lines of the tree's tests.
    pub(super) fn test_lines(&self) -> Vec<String> {
        let Some(tree) = self.tree else { return Vec::new() };
        self.files
            .iter()
            .filter(|file| {
                matches!(file_kind(file, b"", &self.gates), FileKind::Test | FileKind::Snapshot)
            })
            .take(MAX_TESTS)
            .filter_map(|file| tree.read(file).ok().flatten())
            .filter(|content| content.bytes.len() <= MAX_TEST_BYTES && !content.is_binary())
            .flat_map(|content| statements(&String::from_utf8_lossy(&content.bytes)))
            .chain(self.inline_test_lines())
            .collect()
    }

    /// The lines of tests that stand in the files of the product.
    fn inline_test_lines(&self) -> Vec<String> {
        let Some(tree) = self.tree else { return Vec::new() };
        self.files
            .iter()
            .filter(|file| file.file_name().ends_with(b".rs"))
            .filter(|file| file_kind(file, b"", &self.gates) == FileKind::Product)
            .take(MAX_SOURCES)
            .filter_map(|file| tree.read(file).ok().flatten())
            .filter(|content| content.bytes.len() <= MAX_TEST_BYTES && !content.is_binary())
            .flat_map(|content| {
                let text = String::from_utf8_lossy(&content.bytes).into_owned();
                if !text.contains("test") {
                    return Vec::new();
                }
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let marked = inline_tests(&lines);
                let tests = lines.iter().zip(marked).filter(|(_, marked)| *marked);
                statements(&tests.map(|(line, _)| line.as_str()).collect::<Vec<_>>().join("\n"))
            })
            .collect()
    }
}

/// How many lines a statement of a test may take.
const MAX_STATEMENT: usize = 6;

/// The lines of a text, and each call that takes several lines as one more line.
fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let depth = |line: &str| {
        let count = |c: char| i32::try_from(line.matches(c).count()).unwrap_or(0);
        count('(') - count(')')
    };
    let mut found: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| depth(line) > 0) {
        let (mut open, mut whole) = (depth(line), line.trim().to_owned());
        for next in lines[at + 1..].iter().take(MAX_STATEMENT) {
            open += depth(next);
            whole.push(' ');
            whole.push_str(next.trim());
            if open <= 0 {
                found.push(whole);
                break;
            }
        }
    }
    found
}

/// Lockfiles by the manifests that they belong to, by how their names begin.
const LOCKS: &[(&str, &[&str])] = &[
    ("package.json", &["package-lock", "npm-shrinkwrap", "yarn.lock", "pnpm-lock", "bun.lock"]),
    ("cargo.toml", &["cargo.lock"]),
    ("pyproject.toml", &["poetry.lock", "uv.lock", "pdm.lock", "pylock", "requirements"]),
    ("pipfile", &["pipfile.lock"]),
    ("go.mod", &["go.sum"]),
    ("gemfile", &["gemfile.lock"]),
    ("composer.json", &["composer.lock"]),
];

/// Whether the file is a lockfile of this manifest; of one that the table does not have, any is.
fn locks(manifest: &RepoPath, file: &RepoPath) -> bool {
    let name = |path: &RepoPath| String::from_utf8_lossy(path.file_name()).to_lowercase();
    let lock = name(file);
    LOCKS
        .iter()
        .find(|(of, _)| *of == name(manifest))
        .is_none_or(|(_, starts)| starts.iter().any(|start| lock.starts_with(start)))
}

/// What a failure says of files and keys, to be repaired ([`Subject::repairing`]): not the
/// command that failed, which names what judges.
pub fn failure_text(failure: &Failure) -> String {
    let evidence = &failure.evidence;
    let mut lines = vec![failure.headline.clone()];
    for excerpt in &evidence.excerpts {
        lines.push(excerpt.text.clone());
        lines.extend(excerpt.locations.iter().map(ToString::to_string));
    }
    lines.extend(evidence.notes.iter().cloned());
    lines.extend(evidence.service_log.iter().cloned());
    lines.join("\n")
}

/// Whether a text has the name as a word of its own.
pub(super) fn names(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + name.len()..].chars();
        let next = after.next();
        // A full stop ends a sentence as well.
        let ends = match next {
            Some('.') => after.next().is_none_or(|c| !c.is_alphanumeric()),
            Some(c) => !part(c),
            None => true,
        };
        before.is_none_or(|c| !part(c)) && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::FileContent;
    use greenloop_patch::MemoryTree;

    #[test]
    fn a_name_that_some_system_takes_for_another_one_collides() {
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let tree: MemoryTree = ["src/Caf\u{e9}.py", "src/re\u{301}sume\u{301}.py", "src/a.py"]
            .into_iter()
            .map(|file| (path(file), FileContent::regular("")))
            .collect();
        let subject = Subject::of_tree(&tree, []);
        for (name, expect) in [
            ("src/Cafe\u{301}.py", Some("src/Caf\u{e9}.py")),
            ("src/r\u{e9}sum\u{e9}.py", Some("src/re\u{301}sume\u{301}.py")),
            ("src/CAF\u{c9}.py", Some("src/Caf\u{e9}.py")),
            ("SRC/A.py", Some("src/a.py")),
            ("src/cafe.py", None),
            ("src/a.py", None),
        ] {
            assert_eq!(subject.collides(&path(name)), expect.map(path), "{name}");
        }
    }

    #[test]
    fn a_failure_names_a_file_by_path_or_by_a_name_of_its_own() {
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let tree: MemoryTree = ["Dockerfile", "a/package.json", "b/package.json"]
            .into_iter()
            .map(|file| (path(file), FileContent::regular("")))
            .collect();
        for (failure, file, expect) in [
            ("Dockerfile:3: COPY failed", "Dockerfile", true),
            ("see a/package.json.", "a/package.json", true),
            ("npm error package.json", "a/package.json", false),
            ("Dockerfile.prod is missing", "Dockerfile", false),
            ("assertion failed", "Dockerfile", false),
        ] {
            let subject = Subject::of_tree(&tree, []).repairing(failure);
            assert_eq!(subject.failure_names(&path(file)), expect, "{failure}: {file}");
        }
        assert!(!Subject::of_tree(&tree, []).failure_names(&path("Dockerfile")));
    }
}
