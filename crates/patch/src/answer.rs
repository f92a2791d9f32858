//! A model's answer: edits with a reason, or the statement that no patch is right.

use greenloop_model::NoPatch;

use super::edit::FileEdit;
use super::refusal::{Finding, Refusal, RefusalKind};
use super::scan::scan;

/// The longest answer that is looked at, in bytes.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// The most hunks and blocks of one answer.
const MOST_HUNKS: usize = 2_000;
/// The most of the prose that is kept, in characters.
const LONGEST_REASON: usize = 4_000;

/// An answer that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It changes something.
    Edits(Edits),
    /// It says that no patch is right.
    NoPatch(NoPatch),
}

/// What an answer asks for, not yet fitted to a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    files: Vec<FileEdit>,
    reason: String,
}

impl Edits {
    /// The prose around the edits, without lines that only introduce one; may be empty. At most
    /// 4,000 characters.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn files(&self) -> &[FileEdit] {
        &self.files
    }
}

const FORMATS: &str = "\
answer with search/replace blocks, each with the file's path above it:

src/example.rs
<<<<<<< SEARCH
lines exactly as they stand in the file, enough of them to be found only once
=======
the lines that come in their place
>>>>>>> REPLACE

or with a unified diff (`--- a/path`, `+++ b/path`, `@@` hunks) in a ```diff fence.
A new file takes a block with an empty SEARCH part.
If no patch is right, answer instead:

```no-patch
class: infrastructure | flaky | needs human
reason: why
```";

/// Reads an answer: finds the edits in it, or the `no-patch` block, and the prose around them.
pub fn parse_answer(text: &str) -> Result<Answer, Refusal> {
    if text.len() > LONGEST_ANSWER {
        return Err(Refusal::one(Finding::new(
            RefusalKind::TooLarge,
            "",
            format!("the answer has {} bytes; at most {LONGEST_ANSWER} are looked at", text.len()),
        )));
    }
    let lines = lines(without_thoughts(text));
    let found = scan(&lines).map_err(Refusal::one)?;
    if found.hunks > MOST_HUNKS || found.files.len() > MOST_HUNKS {
        return Err(Refusal::one(Finding::new(
            RefusalKind::TooLarge,
            "",
            format!("the answer has more than {MOST_HUNKS} edits"),
        )));
    }
    let mut no_patches = found.no_patches.into_iter();
    match (found.files.is_empty(), no_patches.next()) {
        (true, None) => Err(Refusal::one(Finding::new(
            RefusalKind::NothingFound,
            "",
            format!("there is no edit in the answer\n{FORMATS}"),
        ))),
        (true, Some(no_patch)) => Ok(Answer::NoPatch(no_patch)),
        (false, Some(_)) => Err(Refusal::one(Finding::new(
            RefusalKind::EditsAndNoPatch,
            "",
            "the answer has edits and a no-patch block; it has to be one or the other",
        ))),
        (false, None) => Ok(Answer::Edits(Edits {
            files: found.files,
            reason: found.prose.chars().take(LONGEST_REASON).collect(),
        })),
    }
}

/// Without the thoughts that some models set before their answer: drafts are no edits.
fn without_thoughts(text: &str) -> &str {
    let trimmed = text.trim_start();
    ["think", "thinking"]
        .iter()
        .find_map(|tag| {
            let rest = trimmed.strip_prefix('<')?.strip_prefix(tag)?.strip_prefix('>')?;
            let close = format!("</{tag}>");
            let end = rest.find(&close)?;
            Some(&rest[end + close.len()..])
        })
        .unwrap_or(text)
}

/// The answer's lines. Carriage returns go when every line has one: then they are of the way
/// the answer came, not of the file.
fn lines(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let newlines = text.matches('\n').count();
    let all_crlf = newlines > 0 && text.matches("\r\n").count() == newlines;
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    if all_crlf {
        for line in &mut lines {
            *line = line.strip_suffix('\r').unwrap_or(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::NoPatchClass;

    fn kind(text: &str) -> Option<RefusalKind> {
        parse_answer(text).err().map(|refusal| refusal.kind)
    }

    const BLOCK: &str = "a.txt\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n";

    #[test]
    fn answers_of_each_kind() {
        let no_patch =
            "The mirror is down.\n```no-patch\nclass: infrastructure\nreason: 503\n```\n";
        match parse_answer(no_patch) {
            Ok(Answer::NoPatch(found)) => {
                assert_eq!(found.class, NoPatchClass::Infrastructure);
                assert_eq!(found.reason, "503");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(kind("just words"), Some(RefusalKind::NothingFound));
        assert_eq!(kind(""), Some(RefusalKind::NothingFound));
        assert_eq!(kind(&format!("{BLOCK}{no_patch}")), Some(RefusalKind::EditsAndNoPatch));
        assert_eq!(kind(&"x".repeat(LONGEST_ANSWER + 1)), Some(RefusalKind::TooLarge));
        assert_eq!(kind("<<<<<<< SEARCH\nx\n=======\ny\n"), Some(RefusalKind::Malformed));
    }

    #[test]
    fn the_reason_is_the_prose_around() {
        let text = format!("The test expects y.\n\n### {BLOCK}\nThat is all.\n");
        match parse_answer(&text) {
            Ok(Answer::Edits(edits)) => {
                assert_eq!(edits.reason(), "The test expects y.\n\nThat is all.");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_that_only_introduces_an_edit_is_no_reason() {
        let long = "The loop reads one element past the end of the list, so it stops earlier now:";
        for (text, reason) in [
            (format!("Here is the change:\n\n{BLOCK}"), ""),
            (format!("Sure, here is the corrected file:\n{BLOCK}Done.\n"), "Done."),
            (format!("An off-by-one error.\n\nThe fix:\n{BLOCK}"), "An off-by-one error."),
            (format!("{long}\n{BLOCK}"), long),
            (format!("Causes:\n- the bound\n{BLOCK}"), "Causes:\n- the bound"),
        ] {
            match parse_answer(&text) {
                Ok(Answer::Edits(edits)) => assert_eq!(edits.reason(), reason, "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn drafts_in_thoughts_are_no_edits() {
        let text = format!("<think>\nb.txt\n<<<<<<< SEARCH\nhm\n</think>\n{BLOCK}");
        match parse_answer(&text) {
            Ok(Answer::Edits(edits)) => assert_eq!(edits.files().len(), 1),
            other => panic!("{other:?}"),
        }
    }
}
