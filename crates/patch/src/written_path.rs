//! A path as an answer writes it, and the lines that name one.

/// A path as it stands in an answer, with the ways it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenPath {
    /// How the answer writes it.
    pub(super) shown: String,
    /// What it can mean, the likeliest first; never empty.
    pub(super) readings: Vec<Vec<u8>>,
    /// The line it stands on, where that may name a file with spaces of which this is a part:
    /// only the tree tells.
    pub(super) line: Option<String>,
    /// Whether it is a line of which no word is surely the path.
    pub(super) is_unclear: bool,
}

impl WrittenPath {
    /// A path that stands alone: it means itself, or lacks git's `a/` or `b/`.
    pub(super) fn alone(written: &str) -> Self {
        let bytes = unquote(written.trim());
        let mut readings = vec![bytes.clone()];
        if let Some(rest) = strip_side(&bytes, b"a/").or_else(|| strip_side(&bytes, b"b/")) {
            readings.push(rest.to_vec());
        }
        Self { shown: written.trim().to_owned(), readings, line: None, is_unclear: false }
    }

    /// A path on a line that has other words.
    pub(super) fn on_line(written: &str, line: &str) -> Self {
        Self { line: Some(line.trim().to_owned()), ..Self::alone(written) }
    }

    /// A line in which several words may be paths, or parts of one with spaces.
    pub(super) fn unclear(line: &str) -> Self {
        let line = line.trim().trim_matches(['#', '*', '`', ':', ' ']);
        let readings = vec![line.as_bytes().to_vec()];
        Self { shown: line.to_owned(), readings, line: None, is_unclear: true }
    }

    /// The path of one side of a diff, where both sides are known to carry git's prefixes or
    /// not to.
    pub(super) fn side(written: &str, prefixed: bool) -> Self {
        let bytes = unquote(written.trim());
        let stripped = bytes
            .iter()
            .position(|b| *b == b'/')
            .filter(|_| prefixed)
            .map(|slash| bytes[slash + 1..].to_vec())
            .filter(|rest| !rest.is_empty());
        let readings = stripped.into_iter().chain([bytes]).collect();
        Self { shown: written.trim().to_owned(), readings, line: None, is_unclear: false }
    }
}

fn strip_side<'a>(path: &'a [u8], side: &[u8]) -> Option<&'a [u8]> {
    path.strip_prefix(side).filter(|rest| !rest.is_empty())
}

/// Undoes git's quoting: `"a\303\244\t.txt"`; other paths are themselves.
pub(super) fn unquote(written: &str) -> Vec<u8> {
    let Some(inner) = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return written.as_bytes().to_vec();
    };
    let mut path = Vec::with_capacity(inner.len());
    let mut bytes = inner.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            path.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => path.push(b'\n'),
            Some(b't') => path.push(b'\t'),
            Some(b'r') => path.push(b'\r'),
            Some(b'a') => path.push(7),
            Some(b'b') => path.push(8),
            Some(b'v') => path.push(11),
            Some(b'f') => path.push(12),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = bytes.peek().copied() {
                        value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                        bytes.next();
                    }
                }
                path.push(value);
            }
            Some(other) => path.push(other),
            None => path.push(b'\\'),
        }
    }
    path
}

/// The path on a `---` or `+++` line: without the timestamp after a tab.
pub(super) fn header_path(rest: &str) -> &str {
    let rest = rest.trim_end_matches(['\r', '\n']);
    let path = rest.split('\t').next().unwrap_or(rest).trim();
    // `diff` without a tab before the date: `--- a.txt  2024-01-31 10:00:00`.
    if let Some(at) = path.find("  20").filter(|at| path[*at..].trim_start().contains('-')) {
        return path[..at].trim();
    }
    path
}

/// Names without an extension that are files all the same; as files spell them, so that the
/// heading `Build:` is not one.
const BARE_NAMES: [&str; 24] = [
    "Makefile",
    "makefile",
    "GNUmakefile",
    "Dockerfile",
    "Containerfile",
    "Justfile",
    "justfile",
    "Jenkinsfile",
    "Vagrantfile",
    "Procfile",
    "Rakefile",
    "Gemfile",
    "Podfile",
    "Brewfile",
    "Caddyfile",
    "LICENSE",
    "README",
    "CHANGELOG",
    "AUTHORS",
    "CODEOWNERS",
    "NOTICE",
    "VERSION",
    "BUILD",
    "WORKSPACE",
];

const LABELS: [&str; 14] = [
    "file path:",
    "file name:",
    "filename:",
    "filepath:",
    "new file:",
    "file:",
    "path:",
    "create:",
    "update:",
    "modify:",
    "edit:",
    "in:",
    "create ",
    "update ",
];

/// How surely a line names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Naming {
    /// The whole line is the path, perhaps decorated: `### src/a.rs`, `**src/a.rs**:`.
    Whole(String),
    /// The line is a path if it may have spaces: `docs/my file.md`. Good above a
    /// search/replace block, where nothing but a path stands.
    Spaced(String),
    /// A sentence has exactly one path in it.
    Within(String),
    /// A sentence has several.
    Unclear,
}

/// The file that a line names.
pub(super) fn named_in(line: &str) -> Option<Naming> {
    let line = line.trim();
    if line.is_empty() || line.len() > 1_000 {
        return None;
    }
    if let Some(path) = whole_line(line) {
        return Some(Naming::Whole(path));
    }
    let mut marked = line
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::trim)
        .filter(|name| looks_like_path(name, false));
    match (marked.next(), marked.next()) {
        (Some(path), None) => return Some(Naming::Within(path.to_owned())),
        (Some(_), Some(_)) => return Some(Naming::Unclear),
        (None, _) => {}
    }
    if let Some(path) = spaced(line) {
        return Some(Naming::Spaced(path.to_owned()));
    }
    let mut bare = line
        .split_whitespace()
        .map(|word| word.trim_matches(['`', '"', '\'', '(', ')', ',', ':', '.', ';', '*']))
        .filter(|word| has_extension(word) && looks_like_path(word, false));
    // Another word with a slash may be the beginning of a path with spaces.
    let slashed = line.split_whitespace().filter(|word| word.contains(['/', '\\'])).count();
    match (bare.next(), bare.next()) {
        (Some(path), None) if slashed > usize::from(path.contains(['/', '\\'])) => {
            Some(Naming::Unclear)
        }
        (Some(path), None) => Some(Naming::Within(path.to_owned())),
        (Some(_), Some(_)) => Some(Naming::Unclear),
        (None, _) => None,
    }
}

/// Whether the last component ends as a file's name does: a dot and a few letters.
fn has_extension(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    if matches!(name, "e.g" | "i.e") {
        return false;
    }
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=8).contains(&extension.len())
            && extension.chars().all(|c| c.is_ascii_alphanumeric())
            && extension.starts_with(|c: char| c.is_ascii_alphabetic())
    })
}

/// A line that is a path with spaces: a directory in its first word, an extension in its last
/// and nowhere else.
fn spaced(line: &str) -> Option<&str> {
    let line = line.trim_matches(['#', '*', ':', ' ']);
    let words: Vec<&str> = line.split(' ').collect();
    let (last, others) = words.split_last()?;
    let first = others.first()?;
    let is_path = first.contains('/')
        && has_extension(last)
        && !others.iter().any(|word| has_extension(word))
        && !line.contains(['`', '<', '>', '|', '*', '?', '"', '=', ';', ',']);
    is_path.then_some(line)
}

/// The path in an element of its own, as the tools of editors have it: `<path>src/a.rs</path>`.
fn element(line: &str) -> Option<&str> {
    ["path", "file_path", "filename", "file"].iter().find_map(|name| {
        let rest = line.strip_prefix('<')?.strip_prefix(name)?.strip_prefix('>')?;
        let path = rest.strip_suffix('>')?.strip_suffix(name)?.strip_suffix("</")?;
        Some(path.trim())
    })
}

/// Whether the line only opens an element: `<diff>`.
pub(super) fn opens_element(line: &str) -> bool {
    let name = line.trim().strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    })
}

fn whole_line(line: &str) -> Option<String> {
    if let Some(path) = element(line) {
        return looks_like_path(path, true).then(|| path.to_owned());
    }
    let mut text = line.trim_start_matches("<!--").trim_end_matches("-->").trim();
    text = text.trim_start_matches(['#', '>']).trim_start();
    for comment in ["// ", "/* ", "-- ", "* ", "- ", "; "] {
        text = text.strip_prefix(comment).unwrap_or(text).trim_start();
    }
    text = text.trim_end_matches("*/").trim_end();
    // `1. src/a.rs`
    if let Some((number, rest)) = text.split_once(". ")
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        text = rest.trim_start();
    }
    let mut sure = false;
    let mut changed = true;
    while changed {
        let before = text;
        for mark in ["**", "__", "`", "\"", "'", "*"] {
            let inner = text.strip_prefix(mark).map(|rest| rest.trim_end_matches(':'));
            if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(mark)) {
                text = inner.trim();
                sure = true;
            }
        }
        let lower = text.to_ascii_lowercase();
        // `**File:** a.rs` leaves the marks of an emphasised label behind.
        for label in LABELS {
            for (open, close) in [("", ""), ("**", "**"), ("__", "__")] {
                let length = open.len() + label.len() + close.len();
                if lower.strip_prefix(open).is_some_and(|rest| {
                    rest.strip_prefix(label).is_some_and(|rest| rest.starts_with(close))
                }) {
                    text = text.get(length..).unwrap_or("").trim();
                    sure = true;
                    break;
                }
            }
            if text != before {
                break;
            }
        }
        for tail in [":", "(new)", "(new file)", "(modified)", "(updated)", "(deleted)"] {
            if let Some(rest) = text.strip_suffix(tail) {
                text = rest.trim_end();
            }
        }
        changed = text != before;
    }
    looks_like_path(text, sure).then(|| text.to_owned())
}

fn looks_like_path(text: &str, sure: bool) -> bool {
    if text.is_empty() || text.len() > 400 || text.contains(['`', '<', '>', '|', '*', '?', '\0']) {
        return false;
    }
    if text.starts_with('"') && text.ends_with('"') && text.len() > 2 {
        return true;
    }
    if text.contains("://") || text.ends_with(['/', '\\', '.', ',', ';', '!']) {
        return false;
    }
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    if text.contains(char::is_whitespace) {
        // A path with a space in it has to have been marked as one.
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        return sure
            && (text.contains(['/', '\\']) || !extension.is_empty())
            && !extension.contains(char::is_whitespace);
    }
    if text.contains(['(', ')', '=', ';', ',', '{', '}', '"', '\'']) && !text.contains('/') {
        return false;
    }
    let named = name.contains('.') && !name.chars().all(|c| c.is_ascii_digit() || c == '.');
    named
        || text.contains(['/', '\\'])
        || BARE_NAMES.contains(&name)
        || (sure && !text.contains(':'))
}

/// The file that a fence's info string names: `rust path=src/a.rs`, `rust:src/a.rs`,
/// `src/a.rs`, `rust title="src/a.rs"`, `rust src/a.rs`.
pub(super) fn named_in_info(info: &str) -> Option<String> {
    let info = info.trim().trim_start_matches('{').trim_end_matches('}').trim();
    for key in ["path=", "file=", "filename=", "filepath=", "title=", "name="] {
        let lower = info.to_ascii_lowercase();
        let at = match lower.find(key) {
            Some(at) if at == 0 || lower.as_bytes().get(at - 1) == Some(&b' ') => at + key.len(),
            Some(_) | None => continue,
        };
        let value = info.get(at..)?;
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next(),
            Some(_) | None => value.split_whitespace().next(),
        };
        return value.filter(|value| !value.is_empty()).map(str::to_owned);
    }
    if let Some((language, path)) = info.split_once(':') {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_');
        // One letter before the colon is a drive.
        if language.len() > 1 && language.chars().all(plain) && looks_like_path(path.trim(), true) {
            return Some(path.trim().to_owned());
        }
    }
    let last = info.split_whitespace().last()?;
    let is_path = last.contains(['/', '\\'])
        || (last.contains('.') && !last.starts_with('.') && !last.contains('='))
        || (BARE_NAMES.contains(&last) && info != last);
    // `Dockerfile` and `node.js` alone are languages.
    let language = ["node.js", "next.js", "vue.js", "react.js", "asp.net", "vb.net"];
    let is_path = is_path && !language.contains(&info.to_ascii_lowercase().as_str());
    (is_path && looks_like_path(last, false)).then(|| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_a_file() {
        for line in [
            "src/a.rs",
            "### src/a.rs",
            "**src/a.rs**",
            "`src/a.rs`",
            "File: src/a.rs",
            "**File:** `src/a.rs`",
            "### `src/a.rs`:",
            "src/a.rs:",
            "// src/a.rs",
            "# src/a.rs",
            "1. **`src/a.rs`**",
            "- `src/a.rs`",
            "**`src/a.rs`** (new file)",
            "## File: `src/a.rs`",
            "**src/a.rs:**",
            "New file: src/a.rs",
            "<!-- src/a.rs -->",
            "*** src/a.rs",
            "<path>src/a.rs</path>",
            "<file_path> src/a.rs </file_path>",
        ] {
            let expect = match line {
                "*** src/a.rs" => Some(Naming::Within("src/a.rs".to_owned())),
                _ => Some(Naming::Whole("src/a.rs".to_owned())),
            };
            assert_eq!(named_in(line), expect, "{line}");
        }
        assert_eq!(
            named_in("In `src/a.rs`, the check is inverted:"),
            Some(Naming::Within("src/a.rs".to_owned()))
        );
        assert_eq!(
            named_in("`docs/my file.md`"),
            Some(Naming::Whole("docs/my file.md".to_owned()))
        );
        assert_eq!(named_in("Both `a.rs` and `b.rs` change:"), Some(Naming::Unclear));
        assert_eq!(named_in("Then src/a.rs, too:"), Some(Naming::Within("src/a.rs".to_owned())));
        for line in ["lib/b c.txt", "### lib/b c.txt", "## lib/b c.txt:"] {
            assert_eq!(named_in(line), Some(Naming::Spaced("lib/b c.txt".to_owned())), "{line}");
        }
        assert_eq!(named_in("or/and c.txt here"), Some(Naming::Unclear));
        assert_eq!(named_in("Makefile"), Some(Naming::Whole("Makefile".to_owned())));
    }

    #[test]
    fn lines_that_name_none() {
        for line in [
            "Fix:",
            "The fix is this.",
            "Here is the change:",
            "foo(a, b);",
            "",
            "```rust",
            "see https://example.com/a.rs",
            "e.g. this",
        ] {
            assert_eq!(named_in(line), None, "{line}");
        }
    }

    #[test]
    fn info_strings_that_name_a_file() {
        for (info, expect) in [
            ("rust path=src/a.rs", Some("src/a.rs")),
            ("rust:src/a.rs", Some("src/a.rs")),
            ("src/a.rs", Some("src/a.rs")),
            ("rust title=\"src/a b.rs\"", Some("src/a b.rs")),
            ("python src/a.py", Some("src/a.py")),
            ("rust", None),
            ("", None),
            ("diff", None),
            ("c++", None),
            ("no-patch", None),
            ("makefile", None),
            ("Dockerfile", None),
            ("docker Dockerfile", Some("Dockerfile")),
            ("node.js", None),
        ] {
            assert_eq!(named_in_info(info).as_deref(), expect, "{info}");
        }
    }

    #[test]
    fn git_quoting_is_undone() {
        assert_eq!(unquote(r#""\303\244 \"x\".txt""#), "ä \"x\".txt".as_bytes());
        assert_eq!(unquote("plain"), b"plain");
        assert_eq!(header_path("a/x.c\t2024-01-01 00:00:00 +0000"), "a/x.c");
    }
}
