//! The lines of a file that come nearest to those of a hunk, for the refusal that teaches.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::edit::HunkLine;
use super::elision::is_gap;
use super::fuzzy_match::has_word;
use super::line_index::{Form, LineIndex};
use super::normalize::normalize;
use super::refusal::shown;

/// Lines of the file that are shown.
const MOST_SHOWN: usize = 14;
/// A line that is commoner than this says nothing about the place.
const COMMON: usize = 40;
/// The most of a file that is compared letter by letter.
const MOST_COMPARED: usize = 4_000;
const LONGEST_COMPARED: usize = 200;
/// Bytes of a part of a line that say anything about the place.
const LEAST_PART: usize = 2;

/// The place with the most lines in common: the file's line (from zero) where the hunk's first
/// old line would stand, and how many lines agree.
fn nearest(file: &LineIndex<'_>, old: &[&HunkLine]) -> Option<(usize, usize)> {
    let mut votes: HashMap<isize, usize> = HashMap::new();
    for (at, line) in old.iter().enumerate().filter(|(_, line)| has_word(&line.text)).take(400) {
        let places = file.lines_with(Form::Collapsed, &line.text);
        for place in places.iter().take(COMMON) {
            *votes.entry(*place as isize - at as isize).or_default() += 1;
        }
    }
    if let Some((start, count)) = votes.into_iter().max_by_key(|(start, count)| (*count, -*start)) {
        return Some((start.max(0) as usize, count));
    }
    // No line agrees: the likest one.
    let (at, wanted) =
        old.iter().enumerate().max_by_key(|(_, line)| line.text.trim_ascii().len().min(80))?;
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(&normalize(bytes))
            .trim()
            .chars()
            .take(LONGEST_COMPARED)
            .collect::<String>()
    };
    let wanted = text(&wanted.text);
    let (line, likeness) = (0..file.len().min(MOST_COMPARED))
        .map(|line| (line, strsim::sorensen_dice(&wanted, &text(file.text(line)))))
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    (likeness >= 0.5).then(|| (line.saturating_sub(at), 0))
}

/// The places (lines from zero) whose lines hold those of the hunk as a part, one each. The first
/// few.
fn within(file: &LineIndex<'_>, old: &[&HunkLine]) -> Vec<usize> {
    let wanted: Vec<&[u8]> = old.iter().map(|line| line.text.trim_ascii()).collect();
    let telling = wanted.iter().map(|part| part.len()).sum::<usize>() >= LEAST_PART;
    if !telling || wanted.len() > file.len() {
        return Vec::new();
    }
    let holds = |start: usize| {
        wanted.iter().enumerate().all(|(at, part)| {
            let line = file.text(start + at);
            part.is_empty() && line.trim_ascii().is_empty()
                || !part.is_empty() && line.windows(part.len()).any(|window| window == *part)
        })
    };
    (0..=file.len() - wanted.len())
        .take(MOST_COMPARED)
        .filter(|start| holds(*start))
        .take(4)
        .collect()
}

/// What is said of a hunk that is a part of lines.
fn explain_part(file: &LineIndex<'_>, path: &str, lines: usize, places: &[usize]) -> String {
    let named = |start: usize| match lines {
        1 => format!("line {}", start + 1),
        lines => format!("lines {}-{}", start + 1, start + lines),
    };
    let all: Vec<String> = places.iter().take(3).map(|start| named(*start)).collect();
    let more = if places.len() > 3 { " and others" } else { "" };
    let mut text = format!("  they are a part of {} of {path}{more}:\n", all.join(" and of "));
    for start in places.iter().take(3) {
        for line in *start..(start + lines).min(start + MOST_SHOWN) {
            let _ = writeln!(text, "{:>6} | {}", line + 1, shown(file.text(line)));
        }
    }
    text.push_str("  send whole lines, exactly as they stand in the file");
    text
}

/// What is said of a hunk that is not in the file: what it looks for, what stands there.
pub(super) fn explain(file: &LineIndex<'_>, path: &str, lines: &[HunkLine]) -> String {
    let old: Vec<&HunkLine> = lines.iter().filter(|line| line.is_old()).collect();
    let mut text = String::from("these lines are not in the file:\n");
    for line in old.iter().take(6) {
        let _ = writeln!(text, "    | {}", shown(&line.text));
    }
    if old.len() > 6 {
        let _ = writeln!(text, "    | ({} more lines)", old.len() - 6);
    }
    if file.len() == 0 {
        let _ = write!(text, "  {path} is empty");
        return text;
    }
    if let Some(gap) = old.iter().find(|line| is_gap(&line.text)) {
        let _ = writeln!(
            text,
            "  `{}` stands for lines that are left out; give every line, or split the edit in two",
            shown(gap.text.trim_ascii())
        );
    }
    let places = within(file, &old);
    if !places.is_empty() {
        text.push_str(&explain_part(file, path, old.len(), &places));
        return text;
    }
    let Some((start, agreeing)) = nearest(file, &old) else {
        let _ = write!(text, "  nothing in {path} ({} lines) is like them", file.len());
        return text;
    };
    let _ = writeln!(text, "  nearest lines of {path}:");
    let from = start.saturating_sub(1);
    let to = (start + old.len() + 1).min(from + MOST_SHOWN).min(file.len());
    for line in from..to {
        let _ = writeln!(text, "{:>6} | {}", line + 1, shown(file.text(line)));
    }
    if agreeing > 0 {
        let differing = old.iter().enumerate().find(|(at, line)| {
            Form::Collapsed.of(&line.text) != Form::Collapsed.of(file.text(start + at))
        });
        if let Some((at, line)) = differing {
            let there = if start + at < file.len() {
                format!(
                    "line {} is `{}`",
                    start + at + 1,
                    shown(file.text(start + at).trim_ascii())
                )
            } else {
                "the file has ended".to_owned()
            };
            let _ = writeln!(
                text,
                "  the first difference: the answer has `{}`, {there}",
                shown(line.text.trim_ascii())
            );
        }
    }
    text.push_str("  copy the lines exactly as they stand in the file");
    text
}

/// What is said of a hunk that is in the file more than once.
pub(super) fn explain_ambiguity(
    file: &LineIndex<'_>,
    path: &str,
    lines: &[HunkLine],
    places: &[(usize, usize)],
) -> String {
    const MOST_PLACES: usize = 8;
    let mut text = format!("its lines are in {path} {} times, at ", places.len());
    for (number, (start, end)) in places.iter().take(MOST_PLACES).enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        if end - start > 1 {
            let _ = write!(text, "{comma}lines {}-{end}", start + 1);
        } else {
            let _ = write!(text, "{comma}line {}", start + 1);
        }
    }
    if places.len() > MOST_PLACES {
        text.push_str(", ...");
    }
    text.push_str(":\n");
    for line in lines.iter().filter(|line| line.is_old()).take(4) {
        let _ = writeln!(text, "    | {}", shown(&line.text));
    }
    for (start, end) in places.iter().take(2) {
        let _ = writeln!(text, "  around line {}:", start + 1);
        for line in start.saturating_sub(3)..(end + 1).min(start + 4).min(file.len()) {
            let _ = writeln!(text, "{:>6} | {}", line + 1, shown(file.text(line)));
        }
    }
    text.push_str(
        "  add lines above or below, as they stand in the file, until only one place fits",
    );
    text
}

#[cfg(test)]
mod tests {
    use crate::{Answer, MemoryTree, ResolveOptions, parse_answer, resolve};
    use greenloop_model::{FileContent, FileMode, RepoPath};

    /// What is said of a search for `wanted` in `file`.
    fn refused(file: &str, wanted: &str) -> String {
        let content = FileContent { bytes: file.as_bytes().to_vec(), mode: FileMode::Regular };
        let tree = MemoryTree::from_iter([(RepoPath::new("lib.py").unwrap(), content)]);
        let answer = format!(
            "Why.\n\nlib.py\n```python\n<<<<<<< SEARCH\n{wanted}\n=======\nnew\n>>>>>>> REPLACE\n```\n"
        );
        let Ok(Answer::Edits(edits)) = parse_answer(&answer) else { panic!("{answer}") };
        resolve(&edits, &tree, &ResolveOptions::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_part_of_a_line_is_said_to_be_one() {
        let file = "def sub(a, b):\n    return a-b\n\ndef neg(a):\n    return -a\n";
        let text = refused(file, "a-b");
        assert!(text.contains("they are a part of line 2 of lib.py"), "{text}");
        assert!(text.contains("2 |     return a-b"), "{text}");
        assert!(text.contains("send whole lines"), "{text}");
        assert!(!text.contains("is like them"), "{text}");
        let text = refused(file, "b):\n    return a");
        assert!(text.contains("they are a part of lines 1-2 of lib.py"), "{text}");
        let text = refused(file, "return");
        assert!(text.contains("a part of line 2 and of line 5 of lib.py"), "{text}");
        let text = refused(file, "nowhere to be found");
        assert!(!text.contains("a part of"), "{text}");
    }
}
