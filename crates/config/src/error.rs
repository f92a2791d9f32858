//! What is wrong with a configuration, and where.
//!
//! Every problem of a file is collected before anything is reported. The source that goes with
//! the report has what looks like a secret redacted, so that a mistake never shows one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::secrets;

/// What kind of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// There is no such file.
    NotFound,
    /// It cannot be read.
    Unreadable,
    /// It is larger than a configuration may be.
    TooLarge,
    /// It is not UTF-8.
    NotUtf8,
    /// It has no content.
    Empty,
    /// It is not YAML.
    Syntax,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// No such key exists here.
    UnknownKey,
    /// A key that must be there is not.
    MissingKey,
    /// A text where a number belongs, and the like.
    WrongType,
    /// A number outside its range.
    OutOfRange,
    /// A value that has the right type and makes no sense.
    InvalidValue,
    /// A path that leaves the repository.
    InvalidPath,
    /// A URL that is none, or not one that is of use here.
    InvalidUrl,
    /// A template that cannot be expanded.
    InvalidTemplate,
    /// A name that must be unique and is not.
    DuplicateName,
    /// A name that nothing has.
    UnknownName,
    /// Gates that wait for each other.
    Cycle,
    /// A secret, which must not stand in the file.
    Secret,
    /// An environment that the file does not define.
    UnknownEnvironment,
    /// A variable of the environment that cannot be used.
    Variable,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// A lower-case sentence without a full stop.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
    /// Where in the file.
    pub position: Option<Position>,
}

/// A place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Bytes of the file.
    pub span: Range<usize>,
}

impl Position {
    pub fn new(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            span: start..end,
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.position.as_ref()?.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(
            Some(self.kind.label().to_owned()),
            span,
        ))))
    }
}

impl ProblemKind {
    /// The few words beside the place.
    const fn label(self) -> &'static str {
        match self {
            Self::NotFound | Self::Unreadable | Self::TooLarge | Self::Variable => "here",
            Self::NotUtf8 => "not UTF-8",
            Self::Empty => "empty",
            Self::Syntax => "not valid YAML from here",
            Self::DuplicateKey => "duplicate",
            Self::UnknownKey => "unknown key",
            Self::MissingKey => "missing key",
            Self::WrongType => "wrong type",
            Self::OutOfRange => "out of range",
            Self::InvalidValue => "invalid value",
            Self::InvalidPath => "invalid path",
            Self::InvalidUrl => "invalid URL",
            Self::InvalidTemplate => "invalid template",
            Self::DuplicateName => "duplicate name",
            Self::UnknownName => "unknown name",
            Self::Cycle => "closes the cycle",
            Self::Secret => "a secret does not belong here",
            Self::UnknownEnvironment => "defined here",
        }
    }
}

/// A configuration that cannot be used: one problem, or all that were found.
pub struct ConfigError(Box<Report>);

struct Report {
    file_name: String,
    source_code: Option<NamedSource<String>>,
    problems: Vec<Problem>,
    cause: Option<std::io::Error>,
}

impl ConfigError {
    /// `problems` must not be empty.
    pub fn in_text(file_name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| p.position.as_ref().map(|at| at.span.start));
        problems.dedup();
        for problem in &mut problems {
            shorten(&mut problem.message);
        }
        let secret = |p: &Problem| {
            (p.kind == ProblemKind::Secret).then(|| p.position.as_ref().map(|at| at.span.clone()))
        };
        let source =
            secrets::redact_also(text, problems.iter().filter_map(secret).flatten().collect());
        Self(Box::new(Report {
            file_name: file_name.to_owned(),
            source_code: Some(NamedSource::new(file_name, source).with_language("YAML")),
            problems,
            cause: None,
        }))
    }

    pub fn without_text(file_name: &str, problem: Problem, cause: Option<std::io::Error>) -> Self {
        let file_name = file_name.to_owned();
        Self(Box::new(Report { file_name, source_code: None, problems: vec![problem], cause }))
    }

    /// The file, as whoever read it called it.
    pub fn file_name(&self) -> &str {
        &self.0.file_name
    }

    /// What is wrong, in the order of the file; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// Each problem as an error of its own, with the source, of which long lines are cut.
    pub fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.0.problems.iter().map(|problem| {
            let (source_code, problem) = match &self.0.source_code {
                Some(source) if has_long_lines(source.inner()) => {
                    let (text, problem) = excerpt(source.inner(), problem);
                    let source = NamedSource::new(&self.0.file_name, text);
                    (Some(source.with_language("YAML")), problem)
                }
                source => (source.clone(), problem.clone()),
            };
            Self(Box::new(Report {
                file_name: self.0.file_name.clone(),
                source_code,
                problems: vec![problem],
                cause: None,
            }))
        })
    }

    /// The problems after the first `shown` as `file:line:column: message` lines.
    pub fn plain_after(&self, shown: usize) -> String {
        self.0.problems.iter().skip(shown).map(|problem| self.line_of(problem) + "\n").collect()
    }

    fn line_of(&self, problem: &Problem) -> String {
        let at = problem.position.as_ref();
        let at = at.map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
        format!("{}{at}: {}", self.0.file_name, problem.message)
    }

    /// The first problem's line, from 1.
    pub fn line(&self) -> Option<usize> {
        self.position().map(|at| at.line)
    }

    /// The first problem's column, from 1, in characters.
    pub fn column(&self) -> Option<usize> {
        self.position().map(|at| at.column)
    }

    fn position(&self) -> Option<&Position> {
        self.0.problems.iter().find_map(|p| p.position.as_ref())
    }

    /// All problems as `file:line:column: message` lines, each followed by its way out.
    pub fn plain(&self) -> String {
        let mut out = String::new();
        for problem in &self.0.problems {
            out.push_str(&self.line_of(problem));
            out.push('\n');
            if let Some(help) = &problem.help {
                out.push_str(&format!("  help: {help}\n"));
            }
        }
        out
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.problems.as_slice() {
            [only] => write!(f, "{only}"),
            several => write!(f, "{} problems in {}", several.len(), self.0.file_name),
        }
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain())
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|e| e as _)
    }
}

impl Diagnostic for ConfigError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code.as_ref().map(|s| s as _)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self.0.problems.as_slice() {
            [only] => only.help(),
            _ => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match self.0.problems.as_slice() {
            [only] => only.labels(),
            _ => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self.0.problems.as_slice() {
            [_] => None,
            several => Some(Box::new(several.iter().map(|p| p as &dyn Diagnostic))),
        }
    }
}

/// Characters of a message: some of the libraries' quote what they could not read, whole.
const LONGEST_MESSAGE: usize = 600;

fn shorten(message: &mut String) {
    if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
}

/// Characters of a line of the source that are shown.
const WIDEST: usize = 160;

fn has_long_lines(text: &str) -> bool {
    text.lines().any(|line| line.len() > WIDEST)
}

/// The source with every line cut to [`WIDEST`] characters, the problem's around its column, and
/// the problem with its place in that text.
fn excerpt(text: &str, problem: &Problem) -> (String, Problem) {
    let mut problem = problem.clone();
    let mut shown = String::new();
    for (index, line) in text.lines().enumerate() {
        let at = problem.position.as_mut().filter(|at| at.line == index + 1);
        let from = at.as_ref().map_or(0, |at| at.column.saturating_sub(1 + WIDEST / 3));
        if from > 0 {
            shown.push('…');
        }
        let kept_from = shown.len();
        shown.extend(line.chars().skip(from).take(WIDEST));
        let kept_to = shown.len();
        if line.chars().nth(from + WIDEST).is_some() {
            shown.push('…');
        }
        if let Some(at) = at {
            let skipped: usize =
                line.chars().skip(from).take(at.column - 1 - from).map(char::len_utf8).sum();
            let begin = (kept_from + skipped).min(kept_to);
            let end = begin.saturating_add(at.span.len()).min(kept_to);
            at.span = floor(&shown, begin)..floor(&shown, end).max(floor(&shown, begin));
        }
        shown.push('\n');
    }
    (shown, problem)
}

/// Text from the file, fit to stand in a message: one line, bounded, without secrets.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let redacted: Cow<'_, str> = Cow::Owned(secrets::redact(text));
    let mut shown: String =
        redacted.chars().take(LONGEST).map(|c| if c.is_control() { '\u{b7}' } else { c }).collect();
    if redacted.chars().count() > LONGEST {
        shown.push('…');
    }
    format!("`{shown}`")
}
