//! A row of the pattern tables.

use greenloop_model::FailureClass;

/// Which lines after the first belong to a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// None.
    Line,
    /// The lines that match; up to this many blank lines are bridged when a match follows.
    While(&'static str, usize),
    /// All up to a line that matches, which is left out.
    Until(&'static str),
    /// All up to a line that matches, which is taken.
    Through(&'static str),
}

/// Where the class of a block comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Classification {
    /// This one, whatever the text says: a test may well assert on a 403.
    Fixed(FailureClass),
    /// What the text says, or this. Only classes that go to the author are taken from the text,
    /// because the text is a program's own and may speak of anything.
    ProgramText(FailureClass),
    /// What the text says, or this. For tools that speak of the network, registries and
    /// credentials themselves.
    ToolText(FailureClass),
}

/// What a block adds to the symptoms of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symptom {
    /// Its failing tests only.
    Tests,
    /// `file: message` of its first line.
    Location,
    /// Nothing: it only repeats that something failed.
    None,
}

/// One row: how one kind of error block is recognised. Regular expressions are over bytes,
/// without Unicode classes; an empty one never matches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The name in excerpts.
    pub kind: &'static str,
    /// Literals of three bytes or more, upper or lower case, one of which is on every line that
    /// starts a block; after `^` one that does not begin within a word, after `~` one that
    /// does, before `$` one that ends the line.
    pub needs: &'static [&'static str],
    /// The first line. Groups: `test` and `owner` name a failing test, `name` a whole one; `passed`
    /// one that failed before and passed now, whose line starts no block.
    pub start: &'static str,
    /// First lines that do not count.
    pub unless: &'static str,
    /// The lines after.
    pub body: Body,
    /// A line further up that names the file; looked for in the last few dozen lines.
    pub header: &'static str,
    /// Lines directly before that belong to the block.
    pub lead: &'static str,
    /// At most so many of them.
    pub before: usize,
    /// The lines of a block that tell most.
    pub key: &'static str,
    /// The first line only introduces: the first of the telling lines is the headline.
    pub introduces: bool,
    /// What names the failing test in the first line where `start` does not.
    pub named: &'static str,
    /// What names the failing test in the last few dozen lines before, read as one text; the last
    /// match counts.
    pub titled: &'static str,
    /// The first group that matches names a failing test in a body line; the group `owned` only
    /// one that has an `owner`.
    pub item: &'static str,
    /// The first group that matches names what the following `item`s belong to.
    pub owner: &'static str,
    /// Where its class comes from.
    pub class: Classification,
    /// How much of a cause it is: 90 a compiler's error, 86 a test's failure, 60 a tool's
    /// complaint, 40 a summary, 10 the last line of a failed build.
    pub score: u16,
    /// At most so many lines of one block are kept.
    pub share: usize,
    /// Whether and how it counts when iterations are compared.
    pub symptom: Symptom,
    /// It is said of the source text and not of a run of it: the same tree brings it every time.
    pub of_source: bool,
    /// A line in the body that proves it a compiler's error after all.
    pub proof: &'static str,
    /// A line in the body that proves it a mere follow-up, whose first line names no test.
    pub hollow: &'static str,
    /// Lines that start a block; a test holds the row to them. Only a row with a warning among
    /// them starts on warnings.
    pub examples: &'static [&'static str],
}

impl Rule {
    /// The body's expression, whatever it means.
    pub(super) fn body(&self) -> &'static str {
        match self.body {
            Body::Line => "",
            Body::While(pattern, _) | Body::Until(pattern) | Body::Through(pattern) => pattern,
        }
    }

    /// A compiler's error: what other rows start from.
    pub(super) const COMPILER: Self = Self {
        kind: "",
        needs: &[],
        start: "",
        unless: "",
        body: Body::Line,
        header: "",
        lead: "",
        before: 0,
        key: "",
        introduces: false,
        named: "",
        titled: "",
        item: "",
        owner: "",
        class: Classification::Fixed(FailureClass::Code),
        score: 90,
        share: 24,
        symptom: Symptom::Location,
        of_source: false,
        proof: "",
        hollow: "",
        examples: &[],
    };
    /// What a failed test has to say.
    pub(super) const TEST: Self =
        Self { score: 86, symptom: Symptom::Tests, introduces: true, ..Self::COMPILER };
    /// A tool's own complaint.
    pub(super) const TOOL: Self = Self {
        class: Classification::ToolText(FailureClass::Unknown),
        score: 60,
        share: 10,
        ..Self::COMPILER
    };
    /// A line that only says that something failed.
    pub(super) const SUMMARY: Self = Self {
        class: Classification::ToolText(FailureClass::Unknown),
        score: 40,
        share: 3,
        symptom: Symptom::None,
        ..Self::COMPILER
    };
}
