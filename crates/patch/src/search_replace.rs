//! Search/replace blocks.
//!
//! ```text
//! src/a.rs
//! <<<<<<< SEARCH
//! lines that are there
//! =======
//! lines that come in their place
//! >>>>>>> REPLACE
//! ```

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::edit::{HunkLine, LineOp};

/// The marks of a line that has nothing before them: how many, and what follows.
fn marks(line: &str, mark: char) -> Option<(usize, &str)> {
    let line = line.trim();
    let rest = line.trim_start_matches(mark);
    let count = line.len() - rest.len();
    (5..=9).contains(&count).then(|| (count, rest.trim()))
}

/// What follows one of `words` at the beginning of `text`.
fn after_word<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let head = text.get(..word.len())?;
        let rest = &text[word.len()..];
        let whole = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        (head.eq_ignore_ascii_case(word) && whole).then_some(rest)
    })
}

/// The line that opens a block: how many marks it has, and the path it names.
pub(super) fn opening(line: &str) -> Option<(usize, Option<&str>)> {
    // Other tools write `------- SEARCH`; without the word, that is a rule of Markdown.
    let (count, rest) = match marks(line, '<') {
        Some((count, "")) => return Some((count, None)),
        Some(marks) => marks,
        None => marks(line, '-')?,
    };
    let rest = after_word(rest, &["SEARCH", "ORIGINAL", "FIND"])?;
    let path = rest.trim_start_matches([':', '<', '>', ' ']).trim();
    Some((count, (!path.is_empty()).then_some(path)))
}

/// The number of marks of a line between the two parts.
fn divider(line: &str) -> Option<usize> {
    marks(line, '=').filter(|(_, rest)| rest.is_empty()).map(|(count, _)| count)
}

/// Whether a line of a file could be taken for the one between the two parts.
pub(super) fn is_divider(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    (5..=9).contains(&text.len()) && text.iter().all(|b| *b == b'=')
}

/// Whether a line closes a block, and whether it says so in words.
fn closing(line: &str) -> Option<bool> {
    let rest = match marks(line, '>') {
        Some((_, "")) => return Some(false),
        Some((_, rest)) => rest,
        None => marks(line, '+')?.1,
    };
    after_word(rest, &["REPLACE", "REPLACEMENT", "UPDATED"]).map(|_| true)
}

/// A block as it stands in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// The path in its opening line.
    pub(super) path: Option<&'a str>,
    /// The line after its last.
    pub(super) end: usize,
    pub(super) search: &'a [&'a str],
    pub(super) replace: &'a [&'a str],
    /// What is looked for and what comes, by each of the further lines that could divide it.
    pub(super) others: Vec<(&'a [&'a str], &'a [&'a str])>,
}

/// Reads the block that opens at `at`.
pub(super) fn read<'a>(lines: &'a [&'a str], at: usize) -> Result<Block<'a>, &'static str> {
    const NO_END: &str = "it never ends: `>>>>>>> REPLACE` is missing";
    let (count, path) = lines.get(at).and_then(|line| opening(line)).ok_or(NO_END)?;
    let body = lines.get(at + 1..).unwrap_or(&[]);
    let next = body
        .iter()
        .position(|line| {
            opening(line).is_some() && !marks(line, '<').is_some_and(|m| m.1.is_empty())
        })
        .unwrap_or(body.len());
    let body = &body[..next];
    let length = body
        .iter()
        .position(|line| closing(line) == Some(true))
        .or_else(|| body.iter().position(|line| closing(line) == Some(false)))
        .ok_or(NO_END)?;
    let body = &body[..length];
    // The dividers of conflict markers, which a block may take out of a file, are not its own.
    let mut in_conflict = false;
    let mut dividers: Vec<(usize, usize)> = Vec::new();
    for (line, text) in body.iter().enumerate() {
        in_conflict = match (marks(text, '<'), marks(text, '>')) {
            (Some(_), _) => true,
            (_, Some(_)) => false,
            (None, None) => in_conflict,
        };
        dividers.extend(divider(text).filter(|_| !in_conflict).map(|marks| (line, marks)));
    }
    let same: Vec<usize> =
        dividers.iter().filter(|(_, marks)| *marks == count).map(|(line, _)| *line).collect();
    let chosen =
        if same.is_empty() { dividers.iter().map(|(line, _)| *line).collect() } else { same };
    let Some(first) = chosen.first().copied() else {
        return Err("it has no `=======` line between what is there and what comes");
    };
    let head = numbers_end(&body[..first]);
    Ok(Block {
        path,
        end: at + 1 + length + 1,
        search: &body[head..first],
        replace: &body[first + 1..],
        others: chosen[1..].iter().map(|at| (&body[head..*at], &body[at + 1..])).collect(),
    })
}

/// How many lines say where the block belongs, before what is looked for: `:start_line:12`,
/// `:end_line:14`, and the rule below them.
fn numbers_end(search: &[&str]) -> usize {
    let is_number = |line: &&&str| {
        let number = line
            .trim()
            .strip_prefix(":start_line:")
            .or_else(|| line.trim().strip_prefix(":end_line:"));
        number.is_some_and(|number| number.trim().parse::<u64>().is_ok())
    };
    let numbers = search.iter().take_while(is_number).count();
    let is_rule = |line: &&str| marks(line, '-').is_some_and(|(_, rest)| rest.is_empty());
    match search.get(numbers).filter(|line| numbers > 0 && is_rule(line)) {
        Some(_) => numbers + 1,
        None => 0,
    }
}

/// What may stand between a line's number and its text, where files are shown.
const GUTTERS: [char; 4] = ['|', '\t', '\u{2192}', ':'];

/// `  5| text` as the line's number and its text: how files are shown to the author.
fn numbered(line: &str) -> Option<(u64, &str)> {
    let (number, text) = line.split_once(GUTTERS)?;
    Some((number.trim().parse().ok()?, text))
}

/// Whether the gutter ends with a blank, which is then none of the text's.
fn is_spaced(lines: &[&str]) -> bool {
    lines
        .iter()
        .filter_map(|line| numbered(line))
        .all(|(_, text)| text.is_empty() || text.starts_with(' '))
}

/// Whether every line has its number, each one more than the one before.
fn are_numbered(lines: &[&str]) -> bool {
    let numbers: Option<Vec<u64>> = lines.iter().map(|line| Some(numbered(line)?.0)).collect();
    numbers.is_some_and(|numbers| {
        // `8080: http` alone is a line of a file.
        let telling = numbers.len() > 1 || lines.iter().all(|line| line.contains('|'));
        telling
            && !numbers.is_empty()
            && numbers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
    })
}

/// What is looked for and what comes in its place, as lines that stay, go and come.
pub(super) fn hunk_lines(search: &[&str], replace: &[&str]) -> Vec<HunkLine> {
    fn text(line: &str) -> &str {
        line.strip_suffix('\r').unwrap_or(line)
    }
    let mut search: Vec<&str> = search.iter().map(|line| text(line)).collect();
    let mut replace: Vec<&str> = replace.iter().map(|line| text(line)).collect();
    let spaced = is_spaced(&search);
    if are_numbered(&search) {
        // The author copied what it was shown, with the numbers of the lines.
        for line in search.iter_mut().chain(&mut replace) {
            *line = numbered(line).map_or(*line, |(_, text)| {
                if spaced { text.strip_prefix(' ').unwrap_or(text) } else { text }
            });
        }
    }
    let mut lines = Vec::with_capacity(search.len() + replace.len());
    for op in capture_diff_slices(Algorithm::Myers, &search, &replace) {
        let (old, new) = (op.old_range(), op.new_range());
        let keeps = matches!(op, DiffOp::Equal { .. });
        for line in search.get(old).unwrap_or(&[]) {
            let op = if keeps { LineOp::Keep } else { LineOp::Remove };
            lines.push(HunkLine::new(op, line.as_bytes()));
        }
        if !keeps {
            for line in replace.get(new).unwrap_or(&[]) {
                lines.push(HunkLine::new(LineOp::Add, line.as_bytes()));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_in_many_spellings() {
        for line in
            ["<<<<<<< SEARCH", "<<<<< search", "<<<<<<<<< SEARCH:", "<<<<<<<SEARCH", "<<<<<<<"]
        {
            assert!(opening(line).is_some_and(|(_, path)| path.is_none()), "{line}");
        }
        assert_eq!(opening("<<<<<<< SEARCH src/a.rs"), Some((7, Some("src/a.rs"))));
        for line in ["<<<<<<< HEAD", "<<<< SEARCH", "x <<<<<<< SEARCH", "<<<<<<< SEARCHING"] {
            assert!(opening(line).is_none(), "{line}");
        }
        assert_eq!(closing(">>>>>>> feature"), None);
        assert_eq!(closing(">>>>>> REPLACE"), Some(true));
    }

    #[test]
    fn conflict_markers_within_a_block() {
        let text = "<<<<<<< SEARCH\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n=======\nb\n>>>>>>> REPLACE\nrest";
        let lines: Vec<&str> = text.lines().collect();
        let block = read(&lines, 0).expect("a block");
        assert_eq!((block.search.len(), block.replace.len()), (5, 1));
        assert!(block.others.is_empty());
        assert_eq!(lines[block.end], "rest");
    }

    #[test]
    fn line_numbers_that_were_copied_are_taken_off() {
        let lines = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        let check = |search: &[&str], replace: &[&str], expect: &[&str]| {
            let got: Vec<String> = hunk_lines(search, replace)
                .iter()
                .map(|line| String::from_utf8_lossy(&line.text).into_owned())
                .collect();
            assert_eq!(got, lines(expect), "{search:?}");
        };
        check(&[" 9| a", "10|   b"], &[" 9| a", "10|   c"], &["a", "  b", "  c"]);
        check(&[" 9| a", "10| "], &["b"], &["a", "", "b"]);
        // A table of a file's own is left alone.
        check(&["1| a", "3| b"], &["1| a"], &["1| a", "3| b"]);
        check(&["1| a", "x"], &["x"], &["1| a", "x"]);
    }

    #[test]
    fn the_numbers_at_the_head_of_a_block_are_none_of_its_lines() {
        for (head, left) in [
            (":start_line:2\n-------\n", 1),
            (":start_line: 2\n:end_line: 3\n-------\n", 1),
            ("", 1),
            ("-------\n", 2),
            (":start_line:2\n", 2),
            (":start_line:x\n-------\n", 3),
        ] {
            let text = format!("<<<<<<< SEARCH\n{head}a\n=======\nb\n>>>>>>> REPLACE");
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(read(&lines, 0).expect("a block").search.len(), left, "{head}");
        }
    }

    #[test]
    fn unterminated_blocks() {
        for text in ["<<<<<<< SEARCH\na\n=======\nb", "<<<<<<< SEARCH\na\n>>>>>>> REPLACE"] {
            let lines: Vec<&str> = text.lines().collect();
            assert!(read(&lines, 0).is_err(), "{text}");
        }
    }
}
