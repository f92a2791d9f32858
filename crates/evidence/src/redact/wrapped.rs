//! Secrets by their shape that are broken over lines: by a program that wraps what it prints, or
//! as a shell continues a command.

use std::ops::Range;

use super::plain::Plain;
use super::shapes::{self, ShapeMatch, Weight};

/// Lines that are read as one.
const MOST_LINES: usize = 16;

/// Whether a text ends as a shell's line that is continued.
pub(super) fn is_continued(text: &[u8]) -> bool {
    text.trim_ascii_end().last() == Some(&b'\\')
}

/// The secrets over line ends, with what each is. `ends` are the ends of the secrets that stand on
/// one line; `open` are places in lines whose last word may go on, by [`shapes::Scan`].
pub(super) fn secrets(
    text: &[u8],
    ends: &[usize],
    open: &[usize],
) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let mut done = 0;
    for line in candidates(text, ends, open) {
        if line.start < done {
            continue;
        }
        if is_continued(text.get(line.clone()).unwrap_or_default()) {
            done = continued(text, line.start, &mut found);
        } else {
            wrapped(text, line.start, &mut found);
        }
    }
    found
}

/// The lines that a secret may go on from, in order, without their ends. A line that has not ended
/// is none.
fn candidates(text: &[u8], ends: &[usize], open: &[usize]) -> Vec<Range<usize>> {
    let line = |at: usize| {
        let before = text.get(..at)?;
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        Some(start..at + memchr::memchr(b'\n', text.get(at..)?)?)
    };
    // Nothing but blanks comes after it.
    let is_last = |at: usize| {
        let rest = text.get(at..).unwrap_or_default().iter();
        rest.take_while(|byte| **byte != b'\n').all(u8::is_ascii_whitespace)
    };
    let last = ends.iter().copied().filter(|end| is_last(*end));
    let continued = memchr::memchr_iter(b'\\', text).map(|at| at + 1).filter(|at| is_last(*at));
    let all = open.iter().copied().chain(last).chain(continued);
    let mut lines: Vec<Range<usize>> = all.filter_map(line).collect();
    lines.sort_unstable_by_key(|line| line.start);
    lines.dedup();
    lines
}

/// The lines from a place on, each with its place.
fn lines(text: &[u8], from: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = from;
    text.get(from..).unwrap_or_default().split(|byte| *byte == b'\n').take(MOST_LINES).map(
        move |line| {
            let start = at;
            at += line.len() + 1;
            (start, line)
        },
    )
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// What is found in a command that goes on over lines, read as one line. Returns where the line
/// after it begins.
fn continued(text: &[u8], from: usize, found: &mut Vec<(Range<usize>, &'static str)>) -> usize {
    let mut plain = Plain::default();
    let mut next = from;
    for (number, (place, line)) in lines(text, from).enumerate() {
        next = place + line.len() + 1;
        let indent = line.iter().take_while(|b| matches!(**b, b' ' | b'\t')).count();
        let mut part = if number > 0 { indent } else { 0 }..line.trim_ascii_end().len();
        // A quotation that ended before the break begins again after it.
        if number > 0 && line.get(part.start).is_some_and(|byte| is_quote(*byte)) {
            part.start += 1;
        }
        let goes_on = is_continued(line);
        if goes_on {
            let before = line.get(..part.end - 1).unwrap_or_default();
            let words = before.trim_ascii_end();
            part.end = words.len();
            if words.last().is_some_and(|byte| is_quote(*byte)) {
                part.end -= 1;
            } else if words.len() < before.len() {
                part.end += 1;
            }
        }
        let part = part.start.min(part.end)..part.end;
        plain.extend(line.get(part.clone()).unwrap_or_default(), place + part.start);
        if !goes_on {
            break;
        }
    }
    found.extend(shapes::found(&plain.text).iter().filter_map(|found| placed(&plain, found)));
    next
}

/// What is found in a line and those after it, as a program prints what is too long for its width.
fn wrapped(text: &[u8], from: usize, found: &mut Vec<(Range<usize>, &'static str)>) {
    let mut plain = Plain::default();
    let mut crossed = false;
    for (number, (place, line)) in lines(text, from).enumerate() {
        let indent = line.iter().take_while(|b| matches!(**b, b' ' | b'\t')).count();
        let start = if number > 0 { indent } else { 0 };
        let words = line.get(start..).unwrap_or_default().trim_ascii_end();
        let broken_at = plain.text.len();
        let word = words.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let alone = word.len() == words.len() && !word.is_empty();
        let random = is_random(word);
        // After a secret that is whole so far, only what looks like more of one.
        if number > 0 && (word.is_empty() || crossed && !random) {
            return;
        }
        let so_far = shapes::found(&plain.text);
        plain.extend(words, place + start);
        if number > 0 {
            for found_now in shapes::found(&plain.text) {
                let whole =
                    so_far.iter().any(|it| it.what == found_now.what && it.span.end == broken_at);
                let over = found_now.span.start < broken_at && broken_at < found_now.span.end;
                let token = found_now.weight != Weight::Context && (!whole || random);
                if over && (token || whole && alone && random) {
                    crossed = true;
                    found.extend(placed(&plain, &found_now));
                }
            }
            if !alone {
                return;
            }
        }
    }
}

fn placed(plain: &Plain, found: &ShapeMatch) -> Option<(Range<usize>, &'static str)> {
    let what = if found.weight == Weight::Credential { found.what } else { "" };
    Some((plain.place(&found.span)?, what))
}

/// Whether a line is one word, as the lines of a wrapped value are.
pub(super) fn is_one_word(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    !line.is_empty() && line.len() <= 1024 && !line.iter().any(u8::is_ascii_whitespace)
}

/// Letters and digits, or letters whose case changes within.
fn is_random(word: &[u8]) -> bool {
    let case = word
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    case || word.iter().any(u8::is_ascii_digit) && word.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        let scan = shapes::scan(&shapes::prefilter(), text.as_bytes());
        let ends: Vec<usize> = scan.matches.into_iter().map(|found| found.span.end).collect();
        let found = secrets(text.as_bytes(), &ends, &scan.open).into_iter();
        found.map(|(span, _)| &text[span]).collect()
    }

    #[test]
    fn wrapped_and_continued_secrets_are_found() {
        let (first, second) = ("ghp_aB3dE6gH9jK2mN5p", "Q8sT1vW4yZ7bC0dF3gH6");
        for joint in ["\n", "\n  ", "\\\n", "\" \\\n  \"", "\r\n"] {
            let text = format!("before\n+ {first}{joint}{second} next\nafter");
            assert_eq!(hidden(&text), [format!("{first}{joint}{second}")], "{joint:?}");
        }
        assert_eq!(
            hidden("curl -u \\\n  deploy:hunter2hunter9 \\\n  https://x\n"),
            ["hunter2hunter9"]
        );
        assert_eq!(hidden("export PASSWORD=hunter2\\\nhunter9\n"), ["hunter2\\\nhunter9"]);
    }

    #[test]
    fn the_next_line_is_none_of_a_whole_one() {
        let token = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6";
        for text in [
            format!("{token}\nnext line\n"),
            format!("{token}\nnext\n"),
            "PASSWORD=hunter2hunter9\nready\n".to_owned(),
            "task-runner\nthe-next-task-is-here\n".to_owned(),
            "RUN a && \\\n  b\n".to_owned(),
            "see https://example.org/a\nuser@example.org\n".to_owned(),
        ] {
            assert_eq!(hidden(&text), [""; 0], "{text}");
        }
    }
}
