//! For random trees and edits: rendered as an answer, damaged within the tolerances, read back
//! and fitted, an answer gives the intended tree or a refusal, never another tree.
//!
//! The files are made of few different lines, so that most places are ambiguous. What is random
//! is read off a tape of numbers, which proptest can shrink.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::{Answer, MemoryTree, ParsedPatch, Refusal, ResolveOptions, parse_answer, resolve};
use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

/// Random choices, all of them zero beyond its end.
struct Tape<'t> {
    numbers: &'t [u16],
    at: usize,
}

impl Tape<'_> {
    fn below(&mut self, end: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0) as usize;
        self.at += 1;
        if end == 0 { 0 } else { number % end }
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

const POOL: [&[u8]; 29] = [
    b"",
    b"}",
    b"    return x",
    b"foo()",
    b"    foo()",
    b"        foo()",
    b"\tbar(\"a\")",
    b"\tbar('b')",
    "it\u{2019}s \u{201c}so\u{201d} \u{2013} yes".as_bytes(),
    b"it's \"so\" - yes",
    b"x  =  1",
    b"x = 1",
    b"fn main() {",
    b"- item",
    b"+ plus",
    b"=======",
    b"```",
    b"--- a/x",
    b"+++ b/x",
    b"@@ -1 +1 @@",
    b"-- ",
    b"# heading",
    b"caf\xe9",
    b"    if (a) {",
    b"    }",
    b"end",
    b"diff --git a/x b/x",
    b"\\ No newline at end of file",
    b"*** End Patch",
];

/// A file as its lines.
#[derive(Debug, Clone, PartialEq)]
struct Text {
    lines: Vec<Vec<u8>>,
    crlf: bool,
    final_newline: bool,
}

impl Text {
    fn bytes(&self) -> Vec<u8> {
        let newline: &[u8] = if self.crlf { b"\r\n" } else { b"\n" };
        let mut bytes = self.lines.join(newline);
        if self.final_newline && !self.lines.is_empty() {
            bytes.extend_from_slice(newline);
        }
        bytes
    }
}

impl Text {
    /// Without an empty last line that no newline follows: there is no such line.
    fn closed(mut self) -> Self {
        if !self.final_newline && self.lines.last().is_none_or(Vec::is_empty) {
            self.lines.push(b"the end".to_vec());
        }
        self
    }
}

/// One file before and after.
#[derive(Debug, Clone)]
struct Change {
    path: &'static str,
    moved_to: Option<&'static str>,
    before: Option<Text>,
    after: Option<Text>,
}

/// Which lines there are: few that repeat, or all different.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lines {
    Repeating,
    Distinct,
}

fn line(tape: &mut Tape<'_>, kind: Lines, number: usize) -> Vec<u8> {
    match kind {
        Lines::Repeating => {
            // Half of the lines are of the first few kinds.
            let range = if tape.one_in(2) { POOL.len() } else { 5 };
            POOL[tape.below(range)].to_vec()
        }
        Lines::Distinct => {
            let indent = "    ".repeat(tape.below(3));
            let body = tape.pick(&["call", "let it = \"a\" +", "x  =  y;", "it's", "return"]);
            if number > 0 && tape.one_in(6) {
                Vec::new()
            } else {
                format!("{indent}{body} unique_{number}").into_bytes()
            }
        }
    }
}

fn changes(tape: &mut Tape<'_>, kind: Lines) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut fresh = 1_000;
    for path in ["src/a.rs", "lib/b c.txt", "src/deep/a.rs"] {
        let length = 1 + tape.below(25);
        let final_newline = !tape.one_in(4);
        let before = Text {
            lines: (0..length).map(|number| line(tape, kind, number)).collect(),
            // A file without any newline has no ending to keep to.
            crlf: tape.one_in(4) && (length > 1 || final_newline),
            final_newline,
        };
        let before = before.closed();
        match tape.below(12) {
            9 => changes.push(Change { path, moved_to: None, before: Some(before), after: None }),
            10 => {
                // An answer is text: what it creates is UTF-8.
                let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned().into_bytes();
                let lines = before.lines.iter().map(text).collect();
                let after = Text { lines, crlf: false, final_newline: true };
                changes.push(Change { path, moved_to: None, before: None, after: Some(after) });
            }
            11 => changes.push(Change {
                path,
                moved_to: None,
                before: Some(before.clone()),
                after: Some(before),
            }),
            kind_of_change => {
                let mut after = before.clone();
                for _ in 0..=tape.below(3) {
                    let at = tape.below(after.lines.len() + 1);
                    let gone = tape.below(3).min(after.lines.len() - at);
                    let come: Vec<Vec<u8>> = (0..tape.below(3))
                        .map(|_| {
                            fresh += 1;
                            line(tape, kind, fresh)
                        })
                        .collect();
                    after.lines.splice(at..at + gone, come);
                }
                let after = after.closed();
                let moved_to = (kind_of_change == 8).then_some("moved/here.rs");
                let moved_to = moved_to.filter(|_| path == "src/a.rs");
                changes.push(Change { path, moved_to, before: Some(before), after: Some(after) });
            }
        }
    }
    changes
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Unified,
    Blocks,
    Envelope,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Numbers {
    Right,
    Wrong,
    Moved,
    Bare,
}

/// What goes wrong with an answer; each within the tolerances.
#[derive(Debug, Clone)]
struct Damage {
    numbers: Numbers,
    /// White space at the end of lines that are there.
    trailing: bool,
    crlf: bool,
    lost_space: bool,
    lost_blank_space: bool,
    /// Spaces before every line that is not blank.
    shift: usize,
    dedent: bool,
    curly: bool,
    straight: bool,
    collapse: bool,
    drop_blank: bool,
    extra_blank: bool,
    absolute: bool,
    no_prefix: bool,
    fence: usize,
    no_final_newline: bool,
    lost_markers: bool,
    /// Blocks with other marks: those of another tool, or longer ones.
    marks: usize,
    /// Later blocks build on what the first one of a file makes.
    chained: bool,
    /// Paths lead through a symbolic link to their folder.
    linked: bool,
}

impl Damage {
    const NONE: Self = Self {
        numbers: Numbers::Right,
        trailing: false,
        crlf: false,
        lost_space: false,
        lost_blank_space: false,
        shift: 0,
        dedent: false,
        curly: false,
        straight: false,
        collapse: false,
        drop_blank: false,
        extra_blank: false,
        absolute: false,
        no_prefix: false,
        fence: 0,
        no_final_newline: false,
        lost_markers: false,
        marks: 0,
        chained: false,
        linked: false,
    };

    fn random(tape: &mut Tape<'_>) -> Self {
        let lost_space = tape.one_in(8);
        // A lost space and a shift may cancel each other where they can be seen.
        let shifts = !lost_space;
        Self {
            numbers: match tape.below(5) {
                0 | 1 => Numbers::Right,
                2 => Numbers::Wrong,
                3 => Numbers::Moved,
                _ => Numbers::Bare,
            },
            trailing: tape.one_in(6),
            crlf: tape.one_in(6),
            lost_space,
            lost_blank_space: tape.one_in(4),
            shift: if tape.one_in(6) && shifts { 1 + tape.below(8) } else { 0 },
            dedent: tape.one_in(8) && shifts,
            curly: tape.one_in(6),
            straight: tape.one_in(6),
            collapse: tape.one_in(8),
            drop_blank: tape.one_in(8),
            extra_blank: tape.one_in(8),
            absolute: tape.one_in(6),
            no_prefix: tape.one_in(4),
            fence: tape.below(4),
            no_final_newline: tape.one_in(4),
            lost_markers: tape.one_in(4),
            marks: tape.below(3),
            chained: tape.one_in(3),
            linked: tape.one_in(8),
        }
    }
}

#[derive(Debug, Clone)]
struct Row {
    /// ` `, `-` or `+`.
    sign: char,
    text: String,
    /// `\ No newline` follows.
    marker: bool,
}

struct Hunk {
    old_start: usize,
    new_start: usize,
    old_len: usize,
    new_len: usize,
    rows: Vec<Row>,
}

fn hunks(tape: &mut Tape<'_>, format: Format, before: &Text, after: &Text) -> Vec<Hunk> {
    let key = |text: &Text| -> Vec<(Vec<u8>, bool)> {
        let last = text.lines.len().saturating_sub(1);
        text.lines
            .iter()
            .enumerate()
            .map(|(at, line)| (line.clone(), at == last && !text.final_newline))
            .collect()
    };
    let (old, new) = (key(before), key(after));
    let context = if format == Format::Unified { tape.below(4) } else { 1 + tape.below(4) };
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let mut hunks = Vec::new();
    for group in group_diff_ops(ops, context) {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let (old_start, old_end) = (first.old_range().start, last.old_range().end);
        let (new_start, new_end) = (first.new_range().start, last.new_range().end);
        let mut rows = Vec::new();
        let row = |sign: char, (line, marker): &(Vec<u8>, bool)| Row {
            sign,
            text: String::from_utf8_lossy(line).into_owned(),
            marker: *marker,
        };
        for op in &group {
            if let DiffOp::Equal { .. } = op {
                rows.extend(old[op.old_range()].iter().map(|line| row(' ', line)));
            } else {
                rows.extend(old[op.old_range()].iter().map(|line| row('-', line)));
                rows.extend(new[op.new_range()].iter().map(|line| row('+', line)));
            }
        }
        hunks.push(Hunk {
            old_start,
            new_start,
            old_len: old_end - old_start,
            new_len: new_end - new_start,
            rows,
        });
    }
    hunks
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn curled(text: &str) -> String {
    let mut open = false;
    text.chars()
        .map(|c| match c {
            '"' => {
                open = !open;
                if open { '\u{201c}' } else { '\u{201d}' }
            }
            '\'' => '\u{2019}',
            c => c,
        })
        .collect()
}

fn straightened(text: &str) -> String {
    text.replace(['\u{201c}', '\u{201d}'], "\"").replace('\u{2019}', "'").replace('\u{2013}', "-")
}

/// The file's lines of a hunk, before any damage to the answer.
fn damaged(tape: &mut Tape<'_>, rows: &[Row], damage: &Damage) -> Vec<Row> {
    let mut rows = rows.to_vec();
    let solid = |row: &Row| !is_blank(&row.text);
    // A shift can be known only by a line that is there.
    let shiftable = rows.iter().any(|row| row.sign != '+' && solid(row));
    if damage.dedent && shiftable {
        let least = rows
            .iter()
            .filter(|row| solid(row))
            .map(|row| row.text.len() - row.text.trim_start_matches(' ').len())
            .min()
            .unwrap_or(0);
        for row in rows.iter_mut().filter(|row| solid(row)) {
            row.text = row.text[least..].to_owned();
        }
    } else if damage.shift > 0 && shiftable {
        for row in rows.iter_mut().filter(|row| solid(row)) {
            row.text = format!("{}{}", " ".repeat(damage.shift), row.text);
        }
    }
    // What the added lines lose can be known only by the lines that are there.
    let ascii = rows.iter().all(|row| row.text.is_ascii());
    let has = |quote: char| rows.iter().any(|row| row.sign != '+' && row.text.contains(quote));
    let told = |quote: char| {
        has(quote) || !rows.iter().any(|row| row.sign == '+' && row.text.contains(quote))
    };
    if damage.curly && ascii && told('"') && told('\'') {
        for row in &mut rows {
            row.text = curled(&row.text);
        }
    } else if damage.straight {
        // An edit that only curls quotes would be no edit any more.
        let texts: Vec<String> = rows.iter().map(|row| straightened(&row.text)).collect();
        let only_quotes = rows.iter().zip(&texts).any(|(gone, text)| {
            gone.sign == '-'
                && rows.iter().zip(&texts).any(|(come, other)| {
                    come.sign == '+' && come.text != gone.text && other == text
                })
        });
        if !only_quotes {
            for row in rows.iter_mut().filter(|row| row.sign != '+') {
                row.text = straightened(&row.text);
            }
        }
    }
    if damage.collapse {
        let squeezed = |text: &str| {
            let body = text.trim_start();
            let indent = &text[..text.len() - body.len()];
            format!("{indent}{}", body.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let only_spaces = rows.iter().any(|gone| {
            gone.sign == '-'
                && rows.iter().any(|come| {
                    come.sign == '+'
                        && come.text != gone.text
                        && squeezed(&come.text) == squeezed(&gone.text)
                })
        });
        if !only_spaces {
            for row in rows.iter_mut().filter(|row| row.sign != '+' && solid(row)) {
                row.text = squeezed(&row.text);
            }
        }
    }
    // Next to an edit, or among other blank lines, a blank line more or less is another edit.
    let kept = |row: Option<&Row>| row.is_some_and(|row| row.sign == ' ' && solid(row));
    if damage.drop_blank {
        let at = (1..rows.len()).find(|at| {
            rows[*at].sign == ' '
                && !solid(&rows[*at])
                && kept(rows.get(at - 1))
                && kept(rows.get(at + 1))
        });
        if let Some(at) = at {
            rows.remove(at);
        }
    } else if damage.extra_blank {
        let at = (1..rows.len()).find(|at| kept(rows.get(at - 1)) && kept(rows.get(*at)));
        if let Some(at) = at {
            rows.insert(at, Row { sign: ' ', text: String::new(), marker: false });
        }
    }
    // White space that every line has at its end is taken for damage to all of them.
    let told = !rows.iter().any(|row| row.sign == '+' && row.text.ends_with(' ') && solid(row));
    if damage.trailing && told {
        for row in rows.iter_mut().filter(|row| row.sign != '+') {
            if tape.one_in(2) {
                row.text.push_str(tape.pick(&[" ", "\t", "   "]));
            }
        }
    }
    rows
}

/// The numbers of an `@@` line, damaged.
fn header(tape: &mut Tape<'_>, hunk: &Hunk, damage: &Damage, before: &Text) -> String {
    let range =
        |start: usize, len: usize| format!("{},{len}", if len == 0 { start } else { start + 1 });
    let (mut old_start, mut new_start) = (hunk.old_start, hunk.new_start);
    let (mut old_len, mut new_len) = (hunk.old_len, hunk.new_len);
    match damage.numbers {
        Numbers::Right => {}
        Numbers::Bare => return tape.pick(&["@@", "@@ ... @@", "@@ @@"]).to_owned(),
        Numbers::Wrong => {
            old_start = tape.below(40);
            new_start = tape.below(40);
            old_len = tape.below(12);
            new_len = tape.below(12);
        }
        Numbers::Moved => {
            let by = 1 + tape.below(6);
            old_start += by;
            new_start += by;
        }
    }
    // Numbers that are true of another place where the same lines stand are not wrong: they
    // are another patch.
    let lines: Vec<&[u8]> = hunk_old_lines(before, hunk.old_start, hunk.old_len);
    if old_start != hunk.old_start && hunk_old_lines(before, old_start, hunk.old_len) == lines {
        return "@@".to_owned();
    }
    format!("@@ -{} +{} @@", range(old_start, old_len), range(new_start, new_len))
}

/// Whether damage made lines that are in the file just so: then the answer is right for that
/// place, and nothing tells that another was meant.
fn is_another_patch(before: &Text, intended: &[Row], damaged: &[Row]) -> bool {
    let old = |rows: &[Row]| -> Vec<String> {
        let old = rows.iter().filter(|row| row.sign != '+');
        old.map(|row| row.text.trim_end().to_owned()).collect()
    };
    let (intended, damaged) = (old(intended), old(damaged));
    let lines: Vec<String> = before
        .lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
        .collect();
    let words = |line: &String| -> String {
        straightened(line).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let plain = |lines: &[String]| -> Vec<String> { lines.iter().map(words).collect() };
    let has = |lines: &[String], part: &[String]| {
        !part.is_empty() && lines.windows(part.len()).any(|window| window == part)
    };
    intended != damaged && has(&lines, &damaged)
        || plain(&intended) != plain(&damaged) && has(&plain(&lines), &plain(&damaged))
}

fn hunk_old_lines(text: &Text, start: usize, len: usize) -> Vec<&[u8]> {
    text.lines.iter().skip(start).take(len).map(Vec::as_slice).collect()
}

fn render(tape: &mut Tape<'_>, changes: &[Change], format: Format, damage: &Damage) -> String {
    let mut answer = String::new();
    if damage.fence > 0 {
        answer.push_str("The cause is in these files.\n\n");
    }
    let fence = ["", "```", "````", "~~~"][damage.fence];
    if format == Format::Envelope {
        let _ = writeln!(answer, "{fence}\n*** Begin Patch");
    }
    for change in
        changes.iter().filter(|change| change.before != change.after || change.moved_to.is_some())
    {
        file(tape, &mut answer, change, format, damage, fence);
    }
    if format == Format::Envelope {
        let _ = writeln!(answer, "*** End Patch\n{fence}");
    }
    if damage.fence > 0 {
        answer.push_str("\nThis makes the test pass.\n");
    }
    if damage.no_final_newline && answer.ends_with('\n') {
        answer.pop();
    }
    if damage.crlf { answer.replace('\n', "\r\n") } else { answer }
}

fn file(
    tape: &mut Tape<'_>,
    answer: &mut String,
    change: &Change,
    format: Format,
    damage: &Damage,
    fence: &str,
) {
    let path = |path: &str, side: &str| {
        let path = match path.strip_prefix("src/").filter(|_| damage.linked) {
            Some(inner) => &format!("link/{inner}"),
            None => path,
        };
        if damage.absolute {
            format!("/home/me/repo/{path}")
        } else if damage.no_prefix {
            path.to_owned()
        } else {
            format!("{side}{path}")
        }
    };
    let empty = Text { lines: Vec::new(), crlf: false, final_newline: true };
    let before = change.before.as_ref().unwrap_or(&empty);
    let after = change.after.as_ref().unwrap_or(&empty);
    let hunks = hunks(tape, format, before, after);
    let same_end = before.final_newline == after.final_newline;
    let rows_of = |tape: &mut Tape<'_>, hunk: &Hunk| {
        if change.before.is_none() || change.after.is_none() {
            return hunk.rows.clone();
        }
        let rows = damaged(tape, &hunk.rows, damage);
        if is_another_patch(before, &hunk.rows, &rows) { hunk.rows.clone() } else { rows }
    };
    match format {
        Format::Unified => {
            let (old, new) = (path(change.path, "a/"), path(change.path, "b/"));
            let new = change.moved_to.map_or(new, |to| path(to, "b/"));
            if damage.fence > 0 {
                let _ = writeln!(answer, "{fence}diff");
            }
            if let Some(to) = change.moved_to {
                let from = match damage.linked {
                    true => path(change.path, ""),
                    false => change.path.to_owned(),
                };
                let _ = writeln!(
                    answer,
                    "diff --git a/{from} b/{to}\nrename from {from}\nrename to {to}"
                );
            }
            let old = if change.before.is_some() { old } else { "/dev/null".to_owned() };
            let new = if change.after.is_some() { new } else { "/dev/null".to_owned() };
            if !hunks.is_empty() {
                let _ = writeln!(answer, "--- {old}\n+++ {new}");
            }
            for hunk in &hunks {
                let header = header(tape, hunk, damage, before);
                answer.push_str(&header);
                answer.push('\n');
                for row in rows_of(tape, hunk) {
                    diff_row(answer, &row, damage, damage.lost_markers && same_end);
                }
            }
            if damage.fence > 0 {
                let _ = writeln!(answer, "{fence}");
            }
            answer.push('\n');
        }
        Format::Blocks => {
            let mid = first_step(before, after).filter(|_| damage.chained);
            let steps = match &mid {
                Some(mid) => {
                    let mut steps = self::hunks(tape, format, before, mid);
                    let built_on = steps.len();
                    steps.extend(self::hunks(tape, format, mid, after));
                    (steps, built_on)
                }
                None => (hunks, usize::MAX),
            };
            for (number, hunk) in steps.0.iter().enumerate() {
                // Damage is judged by the file as it stands.
                let rows = if number < steps.1 { rows_of(tape, hunk) } else { hunk.rows.clone() };
                let side = |signs: [char; 2]| {
                    rows.iter()
                        .filter(|row| signs.contains(&row.sign))
                        .map(|row| format!("{}\n", row.text))
                        .collect::<String>()
                };
                let (search, replace) = (side([' ', '-']), side([' ', '+']));
                let named = path(change.path, "");
                let named = match damage.fence {
                    1 => format!("### {named}"),
                    2 => format!("**`{named}`**"),
                    _ => named,
                };
                let marks = match damage.marks {
                    0 => ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"],
                    1 => ["------- SEARCH", "=======", "+++++++ REPLACE"],
                    _ => ["<<<<<<<<< SEARCH", "=========", ">>>>>>>>> REPLACE"],
                };
                let block = format!("{}\n{search}{}\n{replace}{}\n", marks[0], marks[1], marks[2]);
                let _ = if damage.fence > 0 {
                    writeln!(answer, "{named}\n{fence}rust\n{block}{fence}\n")
                } else {
                    writeln!(answer, "{named}\n{block}")
                };
            }
        }
        Format::Envelope => {
            let named = path(change.path, "");
            let what = match (&change.before, &change.after) {
                (None, _) => "Add",
                (_, None) => "Delete",
                (Some(_), Some(_)) => "Update",
            };
            let _ = writeln!(answer, "*** {what} File: {named}");
            if let Some(to) = change.moved_to {
                let _ = writeln!(answer, "*** Move to: {to}");
            }
            if what == "Delete" {
                return;
            }
            for hunk in &hunks {
                if what == "Update" {
                    answer.push_str("@@\n");
                }
                for row in rows_of(tape, hunk) {
                    diff_row(answer, &row, damage, true);
                }
            }
        }
    }
}

/// The text with only the first place changed, where there are several.
fn first_step(before: &Text, after: &Text) -> Option<Text> {
    if before.final_newline != after.final_newline {
        return None;
    }
    let ops = capture_diff_slices(Algorithm::Myers, &before.lines, &after.lines);
    let changed = |op: &&DiffOp| !matches!(op, DiffOp::Equal { .. });
    if ops.iter().filter(changed).count() < 2 {
        return None;
    }
    let mut lines = Vec::new();
    let first = ops.iter().position(|op| changed(&op));
    for (number, op) in ops.iter().enumerate() {
        lines.extend_from_slice(if first == Some(number) {
            &after.lines[op.new_range()]
        } else {
            &before.lines[op.old_range()]
        });
    }
    let mid = Text { lines, ..before.clone() };
    // A text without a line that no newline follows is another one.
    (mid.clone().closed() == mid).then_some(mid)
}

fn diff_row(answer: &mut String, row: &Row, damage: &Damage, no_markers: bool) {
    let blank = is_blank(&row.text);
    // Without its space, a line of a diff's own syntax makes another diff.
    let syntax = ["@@", "+++", "---", "diff ", "***", "\\"];
    let kept = row.sign == ' ' && !syntax.iter().any(|start| row.text.starts_with(start));
    if kept && (if blank { damage.lost_blank_space } else { damage.lost_space }) {
        let _ = writeln!(answer, "{}", if blank { "" } else { &row.text });
    } else {
        let _ = writeln!(answer, "{}{}", row.sign, row.text);
    }
    if row.marker && !no_markers {
        answer.push_str("\\ No newline at end of file\n");
    }
}

fn trees(changes: &[Change]) -> (MemoryTree, MemoryTree) {
    let path = |path: &str| RepoPath::new(path).expect("a path");
    let mut before = MemoryTree::new();
    let mut after = MemoryTree::new();
    for tree in [&mut before, &mut after] {
        let link = FileContent { bytes: b"src".to_vec(), mode: FileMode::Symlink };
        tree.insert(path("link"), link);
    }
    for change in changes {
        if let Some(text) = &change.before {
            before.insert(path(change.path), FileContent::regular(text.bytes()));
        }
        if let Some(text) = &change.after {
            let to = change.moved_to.unwrap_or(change.path);
            after.insert(path(to), FileContent::regular(text.bytes()));
        }
    }
    (before, after)
}

fn run(answer: &str, tree: &MemoryTree) -> Result<ParsedPatch, Refusal> {
    match parse_answer(answer)? {
        Answer::Edits(edits) => {
            let options = ResolveOptions { roots: vec![b"/home/me/repo".to_vec()] };
            resolve(&edits, tree, &options)
        }
        Answer::NoPatch(no_patch) => panic!("{no_patch:?} from {answer}"),
    }
}

fn applied(patch: &ParsedPatch, tree: &MemoryTree) -> MemoryTree {
    let mut tree = tree.clone();
    for change in patch.changes() {
        let gone = change.moved_from.as_ref().unwrap_or(&change.path);
        assert_eq!(tree.remove(gone), change.before);
        if let Some(after) = &change.after {
            tree.insert(change.path.clone(), after.clone());
        }
    }
    tree
}

fn shown(tree: &MemoryTree) -> BTreeMap<String, String> {
    tree.iter()
        .map(|(path, content)| {
            (path.to_string(), format!("{:?}", String::from_utf8_lossy(&content.bytes)))
        })
        .collect()
}

fn format(tape: &mut Tape<'_>, changes: &[Change]) -> Format {
    let format = match tape.below(3) {
        0 => Format::Unified,
        1 => Format::Blocks,
        _ => Format::Envelope,
    };
    // A block can neither delete nor rename, and only a unified diff can speak of the end.
    let beyond_blocks =
        changes.iter().any(|change| change.after.is_none() || change.moved_to.is_some());
    if format == Format::Blocks && beyond_blocks { Format::Unified } else { format }
}

/// Whether a hunk may have no line that is not blank to find its place by: then a refusal is
/// right.
fn has_no_place(changes: &[Change]) -> bool {
    changes.iter().any(|change| match (&change.before, &change.after) {
        (Some(before), Some(after)) => (0..4).any(|context| {
            let old = before.lines.iter().collect::<Vec<_>>();
            let new = after.lines.iter().collect::<Vec<_>>();
            let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
            group_diff_ops(ops, context).iter().any(|group| {
                let range = group[0].old_range().start..group[group.len() - 1].old_range().end;
                before.lines[range].iter().all(Vec::is_empty)
            })
        }),
        (None, _) | (_, None) => false,
    })
}

/// The numbers of a tape, kept out of proptest's reports: the answers are shown instead.
#[derive(Clone)]
struct Numbering(Vec<u16>);

impl std::fmt::Debug for Numbering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.0.len())
    }
}

fn numbering() -> impl Strategy<Value = Numbering> {
    prop::collection::vec(any::<u16>(), 0..260).prop_map(Numbering)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_intended_tree_or_a_refusal(tape in numbering()) {
        let mut tape = Tape { numbers: &tape.0, at: 0 };
        let changes = changes(&mut tape, Lines::Repeating);
        let format = format(&mut tape, &changes);
        let damage = Damage::random(&mut tape);
        let answer = render(&mut tape, &changes, format, &damage);
        let (before, after) = trees(&changes);
        if before != after && let Ok(patch) = run(&answer, &before) {
            let result = applied(&patch, &before);
            prop_assert!(
                result == after,
                "{damage:?}\n{answer}\nbefore {:#?}\nintended {:#?}\nresult {:#?}",
                shown(&before), shown(&after), shown(&result)
            );
        }
    }

    #[test]
    fn the_canonical_diff_means_itself(tape in numbering()) {
        let mut tape = Tape { numbers: &tape.0, at: 0 };
        let changes = changes(&mut tape, Lines::Repeating);
        let (before, after) = trees(&changes);
        let contents = |tree: &MemoryTree, path: &RepoPath| {
            tree.iter().find(|(known, _)| *known == path).map(|(_, content)| content.clone())
        };
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let changes: Vec<FileChange> = changes
            .iter()
            .map(|change| {
                let moved_from = change.moved_to.map(|_| path(change.path));
                let to = path(change.moved_to.unwrap_or(change.path));
                let before = contents(&before, &path(change.path));
                FileChange { after: contents(&after, &to), path: to, moved_from, before }
            })
            .filter(|change| change.before != change.after || change.moved_from.is_some())
            .collect();
        let patch = ParsedPatch::new(changes, Vec::new());
        if let Ok(diff) = String::from_utf8(patch.to_unified_diff())
            && !patch.is_empty()
        {
            match run(&diff, &before) {
                Ok(again) => prop_assert_eq!(again.changes(), patch.changes(), "{}", diff),
                Err(refusal) => prop_assert!(false, "{diff}\n{refusal}"),
            }
        }
    }

    #[test]
    fn one_tolerance_at_a_time_is_never_refused(
        tape in numbering(),
        which in 0_usize..20,
    ) {
        let mut tape = Tape { numbers: &tape.0, at: 0 };
        let changes = changes(&mut tape, Lines::Distinct);
        let format = format(&mut tape, &changes);
        let none = Damage::NONE;
        let damage = match which {
            0 => Damage { numbers: Numbers::Wrong, ..none },
            1 => Damage { numbers: Numbers::Moved, ..none },
            2 => Damage { numbers: Numbers::Bare, ..none },
            3 => Damage { trailing: true, ..none },
            4 => Damage { crlf: true, ..none },
            5 => Damage { lost_space: true, ..none },
            6 => Damage { lost_blank_space: true, ..none },
            7 => Damage { shift: 1 + tape.below(8), ..none },
            8 => Damage { dedent: true, ..none },
            9 => Damage { curly: true, ..none },
            10 => Damage { collapse: true, ..none },
            11 => Damage { drop_blank: true, ..none },
            12 => Damage { absolute: true, ..none },
            13 => Damage { no_prefix: true, ..none },
            14 => Damage { fence: 1 + tape.below(3), ..none },
            15 => Damage { no_final_newline: true, ..none },
            16 => Damage { lost_markers: true, ..none },
            17 => Damage { marks: 1, ..none },
            18 => Damage { marks: 2, ..none },
            _ => Damage { chained: true, ..none },
        };
        let answer = render(&mut tape, &changes, format, &damage);
        let (before, after) = trees(&changes);
        let may_refuse = has_no_place(&changes);
        if before != after {
            match run(&answer, &before) {
                Ok(patch) => {
                    let result = applied(&patch, &before);
                    prop_assert!(
                        result == after,
                        "{damage:?}\n{answer}\nintended {:#?}\nresult {:#?}",
                        shown(&after), shown(&result)
                    );
                }
                Err(refusal) => prop_assert!(may_refuse, "{damage:?}\n{answer}\n{refusal}"),
            }
        }
    }

    #[test]
    fn a_path_through_a_link_is_refused_and_the_link_named(tape in numbering()) {
        let mut tape = Tape { numbers: &tape.0, at: 0 };
        let changes = changes(&mut tape, Lines::Distinct);
        let linked = changes.iter().any(|change| {
            change.path.starts_with("src/")
                && (change.before != change.after || change.moved_to.is_some())
        });
        let format = format(&mut tape, &changes);
        let answer = render(&mut tape, &changes, format, &Damage { linked: true, ..Damage::NONE });
        let (before, after) = trees(&changes);
        if linked && before != after {
            match run(&answer, &before) {
                Ok(_) => prop_assert!(false, "taken: {answer}"),
                Err(refusal) => {
                    prop_assert!(refusal.to_string().contains("link"), "{answer}\n{refusal}");
                }
            }
        }
    }

    #[test]
    fn any_text_is_an_answer_or_a_refusal(
        parts in prop::collection::vec(
            prop_oneof![
                "[ -~\\n]{0,12}",
                "\\PC{0,6}",
                prop::sample::select(vec![
                    "\n", "```", "```diff\n", "~~~\n", "src/a.rs\n", "### src/a.rs\n", "<<<<<<< SEARCH\n",
                    "=======\n", ">>>>>>> REPLACE\n", "--- a/src/a.rs\n", "+++ b/src/a.rs\n", "@@ -1,2 +1,2 @@\n",
                    "@@\n", "@@ fn main() {\n", "-foo()\n", "+bar()\n", " fn main() {\n", "fn main() {\n", "foo()\n",
                    "diff --git a/src/a.rs b/src/a.rs\n", "rename from src/a.rs\n", "rename to b\n", "\n\n",
                    "\\ No newline at end of file\n", "*** Begin Patch\n", "*** Update File: src/a.rs\n",
                    "*** Add File: n\n", "*** End Patch\n", "*** End of File\n", "*** Delete File: src/a.rs\n",
                    "*** Move to: x\n", "```no-patch\n", "class: flaky\n", "reason: x\n", "new file mode 100644\n",
                    "deleted file mode 100644\n", "--- /dev/null\n", "+++ /dev/null\n", "\u{2026}", "\r\n", "    ",
                    "<think>", "</think>", "\"", "`", "new mode 100755\n", "old mode 100644\n",
                ]).prop_map(str::to_owned),
            ],
            0..40,
        ),
    ) {
        let answer = parts.concat();
        let mut tree = MemoryTree::new();
        let path = RepoPath::new("src/a.rs").expect("a path");
        tree.insert(path, FileContent::regular("fn main() {\n    foo()\n\n    foo()\r\n}\ncaf\u{e9}"));
        if let Ok(Answer::Edits(edits)) = parse_answer(&answer)
            && let Ok(patch) = resolve(&edits, &tree, &ResolveOptions::default())
        {
            prop_assert!(!patch.is_empty());
            prop_assert!(!patch.to_unified_diff().is_empty());
            applied(&patch, &tree);
        }
    }
}
