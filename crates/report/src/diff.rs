//! A canonical unified diff, taken apart for display: files, hunks, numbered lines, and the
//! parts of changed lines that differ.

use std::ops::Range;

use similar::{ChangeTag, TextDiff};

use super::safe_text;

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Context,
    Removed,
    Added,
}

/// One line of a hunk. Its text is made visible already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiffLine {
    pub(super) change: Change,
    /// 1-based line number: in the old file for a removed line, else in the new one.
    pub(super) number: u64,
    pub(super) text: String,
    /// Byte ranges of `text` that differ from the line it replaces or is replaced by.
    pub(super) parts: Vec<Range<usize>>,
    /// The file ends here without a newline.
    pub(super) unterminated: bool,
}

/// A run of changed lines with what stands around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) lines: Vec<DiffLine>,
}

/// The change of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileDiff {
    /// Where it is afterwards, or was, when it is deleted.
    pub(super) path: String,
    /// `new file`, `deleted`, `moved from …`, `binary`, `mode …`.
    pub(super) notes: Vec<String>,
    pub(super) hunks: Vec<Hunk>,
    pub(super) added: usize,
    pub(super) removed: usize,
}

/// Lines of a diff that are shown at all; a longer one is cut.
const MOST_LINES: usize = 4_000;
/// Pairs of lines longer than this are not compared word by word.
const LONGEST_COMPARED: usize = 600;
/// Lines that have less in common than this are not marked: everything would be.
const ALIKE: f32 = 0.45;

/// Takes `diff` apart. Text that is not a diff gives no files.
pub(super) fn parse(diff: &str) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    // Lines left in the current hunk, and the numbers of the next ones.
    let (mut old_left, mut new_left, mut old_at, mut new_at) = (0u64, 0u64, 0u64, 0u64);
    let mut in_header = false;
    for raw in diff.split('\n').take(MOST_LINES) {
        if old_left > 0 || new_left > 0 {
            let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) else {
                continue;
            };
            let (change, text) = match raw.as_bytes().first() {
                Some(b'+') => (Change::Added, &raw[1..]),
                Some(b'-') => (Change::Removed, &raw[1..]),
                Some(b' ') => (Change::Context, &raw[1..]),
                Some(b'\\') => {
                    mark_unterminated(hunk);
                    continue;
                }
                Some(_) | None => (Change::Context, raw),
            };
            let number = match change {
                Change::Removed => old_at,
                Change::Added | Change::Context => new_at,
            };
            if change != Change::Added {
                old_at += 1;
                old_left = old_left.saturating_sub(1);
            }
            if change != Change::Removed {
                new_at += 1;
                new_left = new_left.saturating_sub(1);
            }
            hunk.lines.push(DiffLine {
                change,
                number,
                text: safe_text::literal(text).into_owned(),
                parts: Vec::new(),
                unterminated: false,
            });
            continue;
        }
        if let Some(rest) = raw.strip_prefix("@@ -") {
            if let (Some((old, new)), Some(file)) = (hunk_ranges(rest), files.last_mut()) {
                ((old_at, old_left), (new_at, new_left)) = (old, new);
                file.hunks.push(Hunk::default());
                in_header = false;
            }
        } else if raw.starts_with('\\') {
            if let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) {
                mark_unterminated(hunk);
            }
        } else if let Some(rest) = raw.strip_prefix("diff --git ") {
            let path = rest.split_once(" b/").map_or(rest, |(_, path)| path);
            files.push(FileDiff { path: shown_path(path), ..FileDiff::default() });
            in_header = true;
        } else if let Some(path) = raw.strip_prefix("--- ") {
            if !in_header {
                files.push(FileDiff::default());
                in_header = true;
            }
            if let Some(file) = files.last_mut() {
                match side(path) {
                    Some(path) => file.path = path,
                    None => file.note("new file"),
                }
            }
        } else if let Some(file) = files.last_mut().filter(|_| in_header) {
            if let Some(path) = raw.strip_prefix("+++ ") {
                match side(path) {
                    Some(path) => file.path = path,
                    None => file.note("deleted"),
                }
            } else if raw.starts_with("new file mode") {
                file.note("new file");
                if raw.ends_with("755") {
                    file.note("executable");
                }
            } else if raw.starts_with("deleted file mode") {
                file.note("deleted");
            } else if let Some(from) = raw.strip_prefix("rename from ") {
                file.note(&format!("moved from {}", shown_path(from)));
            } else if let Some(to) = raw.strip_prefix("rename to ") {
                file.path = shown_path(to);
            } else if let Some(mode) = raw.strip_prefix("new mode ") {
                file.note(&format!("mode {mode}"));
            } else if raw.starts_with("Binary files") || raw.starts_with("GIT binary") {
                file.note("binary");
            }
        }
    }
    for file in &mut files {
        for hunk in &mut file.hunks {
            mark_parts(&mut hunk.lines);
            file.added += hunk.lines.iter().filter(|l| l.change == Change::Added).count();
            file.removed += hunk.lines.iter().filter(|l| l.change == Change::Removed).count();
        }
    }
    files
}

impl FileDiff {
    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// `src/main.rs (new file)`
    pub(super) fn title(&self) -> String {
        if self.notes.is_empty() {
            self.path.clone()
        } else {
            format!("{} ({})", self.path, self.notes.join(", "))
        }
    }
}

fn mark_unterminated(hunk: &mut Hunk) {
    if let Some(line) = hunk.lines.last_mut() {
        line.unterminated = true;
    }
}

/// `a/src/main.rs` without its prefix; `None` for `/dev/null`.
fn side(path: &str) -> Option<String> {
    let path = path.split('\t').next().unwrap_or(path).trim_end();
    let plain = path.trim_start_matches('"');
    if plain == "/dev/null" {
        return None;
    }
    let name = plain.strip_prefix("a/").or_else(|| plain.strip_prefix("b/")).unwrap_or(plain);
    Some(shown_path(name))
}

fn shown_path(path: &str) -> String {
    safe_text::literal(path.trim_end_matches('"')).replace('\n', "\u{240a}")
}

/// Start and length on both sides.
type Ranges = ((u64, u64), (u64, u64));

/// `12,7 +12,8 @@ fn main()`
fn hunk_ranges(rest: &str) -> Option<Ranges> {
    let (ranges, _heading) = rest.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((start, length)) => Some((start.parse().ok()?, length.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    Some((range(old)?, range(new)?))
}

/// Pairs removed lines with the added ones that follow them and marks where they differ.
fn mark_parts(lines: &mut [DiffLine]) {
    let mut at = 0;
    while at < lines.len() {
        let removed = lines[at..].iter().take_while(|l| l.change == Change::Removed).count();
        let added = lines[at + removed..].iter().take_while(|l| l.change == Change::Added).count();
        for pair in 0..removed.min(added) {
            let (before, after) = lines.split_at_mut(at + removed);
            mark_pair(&mut before[at + pair], &mut after[pair]);
        }
        at += (removed + added).max(1);
    }
}

fn mark_pair(old: &mut DiffLine, new: &mut DiffLine) {
    if old.text.len() > LONGEST_COMPARED || new.text.len() > LONGEST_COMPARED {
        return;
    }
    let (mut old_parts, mut new_parts) = (Vec::new(), Vec::new());
    let diff = TextDiff::from_unicode_words(old.text.as_str(), new.text.as_str());
    if diff.ratio() < ALIKE {
        return;
    }
    let (mut old_at, mut new_at) = (0, 0);
    for change in diff.iter_all_changes() {
        let length = change.value().len();
        match change.tag() {
            ChangeTag::Equal => {
                old_at += length;
                new_at += length;
            }
            ChangeTag::Delete => {
                extend(&mut old_parts, old_at..old_at + length);
                old_at += length;
            }
            ChangeTag::Insert => {
                extend(&mut new_parts, new_at..new_at + length);
                new_at += length;
            }
        }
    }
    old.parts = old_parts;
    new.parts = new_parts;
}

fn extend(parts: &mut Vec<Range<usize>>, part: Range<usize>) {
    match parts.last_mut() {
        Some(last) if last.end == part.start => last.end = part.end,
        Some(_) | None => parts.push(part),
    }
}

impl DiffLine {
    /// The text in pieces, each with whether it differs.
    pub(super) fn pieces(&self) -> Vec<(bool, &str)> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for part in &self.parts {
            pieces.push((false, &self.text[at..part.start]));
            pieces.push((true, &self.text[part.clone()]));
            at = part.end;
        }
        pieces.push((false, &self.text[at..]));
        pieces.retain(|(_, text)| !text.is_empty());
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "\
diff --git a/src/main.rs b/src/main.rs
index 111..222 100644
--- a/src/main.rs
+++ b/src/main.rs
@@ -10,3 +10,4 @@ fn main() {
 a
-    let port: u16 = 8080;
+    let port: u32 = 8080;
+--- not a header
 b
diff --git a/old.txt b/new.txt
similarity index 100%
rename from old.txt
rename to new.txt
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
\\ No newline at end of file
";

    #[test]
    fn files_lines_and_parts_are_found() {
        let files = parse(DIFF);
        let titles: Vec<_> = files.iter().map(FileDiff::title).collect();
        assert_eq!(titles, ["src/main.rs", "new.txt (moved from old.txt)", "gone (deleted)"]);
        assert_eq!((files[0].added, files[0].removed), (2, 1));
        let lines = &files[0].hunks[0].lines;
        assert_eq!(lines.iter().map(|l| l.number).collect::<Vec<_>>(), [10, 11, 11, 12, 13]);
        assert_eq!(&lines[1].text[lines[1].parts[0].clone()], "u16");
        assert_eq!(
            lines[2].pieces(),
            [(false, "    let port: "), (true, "u32"), (false, " = 8080;")]
        );
        assert_eq!(lines[3].text, "--- not a header");
        assert!(files[2].hunks[0].lines[0].unterminated);
    }

    #[test]
    fn unlike_lines_are_not_marked_and_escapes_are_seen() {
        let files = parse("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-alpha beta\n+\u{1b}[8mgamma(delta)\n");
        let lines = &files[0].hunks[0].lines;
        assert!(lines[0].parts.is_empty() && lines[1].parts.is_empty());
        assert_eq!(lines[1].text, "␛[8mgamma(delta)");
    }

    #[test]
    fn what_is_no_diff_gives_no_files() {
        for text in ["", "hello\n", "@@ -1 +1 @@\n-a\n+b\n", "@@ -x +y @@"] {
            assert_eq!(parse(text), [], "{text:?}");
        }
    }
}
