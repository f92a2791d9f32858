//! Why an answer was not taken, said so that the next one can be.

use std::fmt::Write as _;

/// The kind of a finding about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// No edit and no `no-patch` block in it.
    NothingFound,
    /// Edits and a `no-patch` block.
    EditsAndNoPatch,
    /// A block, a diff or a `no-patch` block that cannot be read.
    Malformed,
    /// More than can be looked at.
    TooLarge,
    /// A path outside the repository, under `.git`, or through a file or a link.
    BadPath,
    /// There is no such file.
    UnknownFile,
    /// A shortened path that fits several files.
    AmbiguousPath,
    /// The lines of a hunk are not in the file.
    NotFound,
    /// The lines of a hunk are in the file more than once.
    Ambiguous,
    /// Two edits want the same lines.
    Overlap,
    /// Everything the answer asks for is there already.
    AlreadyApplied,
    /// The answer changes nothing.
    NoChange,
    /// A file to be created, or the new name of one, is taken.
    AlreadyExists,
    /// A binary file or a binary patch.
    Binary,
    /// A whole file for one that is neither new nor tiny.
    WholeFile,
    /// A part is left out: `// ... existing code ...`.
    Elision,
    /// The tree could not be read.
    Unreadable,
}

/// The longest text of a refusal, in bytes; what is beyond it is said to be left out.
const LONGEST: usize = 12_000;
/// The most findings that are reported in full.
const MOST_FINDINGS: usize = 8;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: RefusalKind,
    /// `hunk 2 of src/a.rs (@@ -1,2 +1,3 @@)`, a path, or nothing.
    pub(super) subject: String,
    /// What is wrong with it and how to repair it; several lines.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn new(
        kind: RefusalKind,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { kind, subject: subject.into(), text: text.into() }
    }
}

/// An answer that was not taken; nothing was applied. Its text is the whole lesson, for a model
/// and for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kind of the first thing that is wrong.
    pub kind: RefusalKind,
    text: String,
    /// What is wrong, and with what; in the order of the answer.
    findings: Vec<(RefusalKind, String)>,
}

impl Refusal {
    /// A refusal for one reason.
    pub(super) fn one(finding: Finding) -> Self {
        let kind = finding.kind;
        let text = bounded(tell(&finding));
        Self { kind, text, findings: vec![(kind, finding.subject)] }
    }

    /// What is wrong, and with which hunk or path (empty for the answer as a whole), in the
    /// order of the answer: two refusals with the same findings say the same.
    pub fn findings(&self) -> &[(RefusalKind, String)] {
        &self.findings
    }

    /// A refusal of edits, some of which would have fitted.
    pub(super) fn of_edits(findings: &[Finding], fitting: &[String], there: &[String]) -> Self {
        let kind = findings.first().map_or(RefusalKind::NothingFound, |finding| finding.kind);
        let mut text =
            String::from("nothing was applied, because an answer is applied whole or not at all\n");
        for finding in findings.iter().take(MOST_FINDINGS) {
            text.push('\n');
            text.push_str(&tell(finding));
            text.push('\n');
        }
        if findings.len() > MOST_FINDINGS {
            let more: Vec<&str> =
                findings[MOST_FINDINGS..].iter().map(|finding| finding.subject.as_str()).collect();
            let _ = write!(text, "\nalso wrong: {}\n", list(&more));
        }
        if !fitting.is_empty() {
            let _ = write!(text, "\nthese fit and need no change: {}\n", list(fitting));
        }
        if !there.is_empty() {
            let _ = write!(text, "\nalready there, leave out: {}\n", list(there));
        }
        text.push_str("\nsend all edits again, the fitting ones too");
        let findings = findings.iter().map(|f| (f.kind, f.subject.clone())).collect();
        Self { kind, text: bounded(text), findings }
    }
}

fn tell(finding: &Finding) -> String {
    if finding.subject.is_empty() {
        finding.text.clone()
    } else {
        format!("{}: {}", finding.subject, finding.text)
    }
}

fn list(items: &[impl AsRef<str>]) -> String {
    const MOST: usize = 20;
    let mut text = items.iter().take(MOST).map(AsRef::as_ref).collect::<Vec<_>>().join("; ");
    if items.len() > MOST {
        let _ = write!(text, "; and {} more", items.len() - MOST);
    }
    text
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("\n(the rest is left out)");
    }
    text
}

/// A line as it is shown: bounded, control characters visible.
pub(super) fn shown(line: &[u8]) -> String {
    const LONGEST_LINE: usize = 160;
    let text = String::from_utf8_lossy(line);
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST_LINE {
            shown.push('…');
            break;
        }
        if c != '\t' && c.is_control() {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
