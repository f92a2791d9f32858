//! A line of styled text, for terminals and for logs.

use anstyle::{AnsiColor, Effects, Style};
use unicode_width::UnicodeWidthStr;

use super::link::{self, Link, Paths};
use super::safe_text;

/// What a piece of a line is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Ordinary text.
    Plain,
    /// Headings and what the eye should find.
    Strong,
    /// What is there when one looks for it.
    Dim,
    /// Passed.
    Good,
    /// Failed.
    Bad,
    /// Look at this.
    Warn,
    /// The thread through the page: iterations, addresses.
    Accent,
    /// A line that was added, and the part of it that differs.
    Added,
    AddedPart,
    /// A line that was removed, and the part of it that differs.
    Removed,
    RemovedPart,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green).bold(),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Warn => colour(AnsiColor::Yellow).bold(),
            Self::Accent => colour(AnsiColor::Cyan),
            Self::Added => colour(AnsiColor::Green),
            Self::AddedPart => colour(AnsiColor::Green).effects(Effects::BOLD | Effects::INVERT),
            Self::Removed => colour(AnsiColor::Red),
            Self::RemovedPart => colour(AnsiColor::Red).effects(Effects::BOLD | Effects::INVERT),
        }
    }
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    tone: Tone,
    text: String,
    /// The address that a terminal opens for it.
    link: Option<String>,
}

/// What a stream of text takes besides text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paint {
    /// Colours.
    pub color: bool,
    /// Hyperlinks (OSC 8).
    pub links: bool,
}

impl From<bool> for Paint {
    fn from(color: bool) -> Self {
        Self { color, links: false }
    }
}

/// One line, without its newline. What is pushed is made visible at once; commands are broken
/// when the whole line is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    spans: Vec<Span>,
    /// The column that what does not fit goes on at, on lines of its own.
    hang: usize,
    /// Never broken: it must survive being copied.
    whole: bool,
}

impl Line {
    /// An empty line.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `n` spaces, and what follows.
    pub(super) fn indent(n: usize) -> Self {
        Self { hang: n, ..Self::new() }.plain(" ".repeat(n))
    }

    /// What does not fit goes on at `column`.
    pub(super) fn hanging(self, column: usize) -> Self {
        Self { hang: column, ..self }
    }

    /// Never broken.
    pub(super) fn unbroken(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Appends `text`; a newline in it is shown as `␊`, a tab as four spaces.
    pub(super) fn push(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = safe_text::visible(text.as_ref());
        let text = text.replace('\n', "\u{240a}").replace('\t', "    ");
        if !text.is_empty() {
            self.spans.push(Span { tone, text, link: None });
        }
        self
    }

    /// Appends `text`, which opens `link` where there is one.
    pub(super) fn linked(mut self, text: impl AsRef<str>, link: Option<String>) -> Self {
        let before = self.spans.len();
        self = self.plain(text);
        if let Some(span) = self.spans.get_mut(before) {
            span.link = link;
        }
        self
    }

    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.push(Tone::Plain, text)
    }

    pub(super) fn dim(self, text: impl AsRef<str>) -> Self {
        self.push(Tone::Dim, text)
    }

    pub(super) fn strong(self, text: impl AsRef<str>) -> Self {
        self.push(Tone::Strong, text)
    }

    /// What `other` holds, behind what this holds.
    pub(super) fn append(mut self, other: Self) -> Self {
        self.spans.extend(other.spans);
        self
    }

    /// Without the spaces it begins with.
    pub(super) fn unindented(mut self) -> Self {
        if self.spans.first().is_some_and(|span| span.text.trim().is_empty()) {
            self.spans.remove(0);
        }
        self
    }

    /// Spaces up to `column`, at least one.
    pub(super) fn pad_to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width()).max(1);
        Self { hang: column, ..self }.plain(" ".repeat(missing))
    }

    /// Columns it takes on a terminal, with the spaces that break commands.
    pub(super) fn width(&self) -> usize {
        self.text().width() + self.breaks().len()
    }

    fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    fn breaks(&self) -> Vec<usize> {
        safe_text::command_breaks(&self.text())
    }

    /// Cut to `width` columns, the cut marked by `…`.
    pub(super) fn fit(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1 + self.breaks().len());
        let mut kept = Vec::new();
        for mut span in self.spans.drain(..) {
            let fitting = head_columns(&span.text, left);
            left -= fitting.width();
            let (end, whole) = (fitting.len(), fitting.len() == span.text.len());
            span.text.truncate(end);
            kept.push(span);
            if !whole {
                break;
            }
        }
        kept.push(Span { tone: Tone::Dim, text: "…".to_owned(), link: None });
        Self { spans: kept, ..self }
    }

    /// As lines of at most `width` columns, broken at spaces. A word that is longer than a line is
    /// broken only where nobody copies it ([`is_copied`]): otherwise it stands on a line of its own.
    pub(super) fn wrapped(self, width: usize) -> Vec<Self> {
        /// Columns that a line has left behind its indentation, at the least.
        const LEAST: usize = 20;
        let text = self.text();
        let end = text.trim_end().len();
        if self.whole || text[..end].width() + self.breaks().len() <= width {
            return vec![self];
        }
        let leading = text.len() - text.trim_start().len();
        let shallow = (leading + 2).min(width / 4);
        let hang = match self.hang.max(leading) {
            0 => 2,
            hang if hang + LEAST > width => shallow,
            hang => hang,
        };
        // Nothing is broken before the text itself begins.
        let mut body = head_columns(&text, hang).len().max(leading);
        let mut lines = Vec::new();
        let mut from = 0;
        let mut room = width.saturating_sub(self.breaks().len()).max(LEAST / 2);
        while from < end {
            let begin = body.max(from);
            let mut most = from + head_columns(&text[from..end], room).len().max(1);
            while !text.is_char_boundary(most) {
                most += 1;
            }
            let (to, whole) = break_of(&text[..end], from, begin, most);
            let piece = text[from..to].trim_end_matches(' ');
            let line = match lines.as_slice() {
                [] => Self::new(),
                _ if whole => Self::indent(shallow.min(hang)),
                _ => Self::indent(hang),
            };
            lines.push(line.append(self.slice(from, from + piece.len())));
            let rest = &text[to..end];
            from = to + (rest.len() - rest.trim_start_matches(' ').len());
            body = from;
            room = width.saturating_sub(hang + self.breaks().len()).max(LEAST / 2);
        }
        lines
    }

    /// The spans of these bytes of the text.
    fn slice(&self, from: usize, to: usize) -> Self {
        let mut at = 0;
        let mut spans = Vec::new();
        for span in &self.spans {
            let (start, end) = (from.max(at), to.min(at + span.text.len()));
            if start < end {
                let text = span.text[start - at..end - at].to_owned();
                spans.push(Span { text, ..span.clone() });
            }
            at += span.text.len();
        }
        Self { spans, ..Self::new() }
    }

    /// As lines of at most `width` columns, all but the first indented by `indent`.
    pub(super) fn folded(self, width: usize, indent: usize) -> Vec<Self> {
        /// So many lines; the last is cut.
        const MOST: usize = 6;
        if self.width() <= width || width <= indent + 8 {
            return vec![self.fit(width)];
        }
        let mut lines = Vec::new();
        let mut line = Self::new();
        for Span { tone, text, link } in self.spans {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let mut fitting = head_columns(rest, width.saturating_sub(line.width()));
                if lines.len() + 1 == MOST {
                    fitting = rest;
                }
                rest = &rest[fitting.len()..];
                let text = fitting.to_owned();
                line.spans.push(Span { tone, text, link: link.clone() });
                if !rest.is_empty() {
                    lines.push(std::mem::replace(&mut line, Self::indent(indent)));
                }
            }
        }
        lines.push(line.fit(width));
        lines
    }

    /// The line as it is printed, with or without colour, pipeline commands broken.
    pub(super) fn render(&self, color: bool) -> String {
        self.painted(color.into())
    }

    /// The line as it is printed on a stream that takes `paint`.
    pub(super) fn painted(&self, paint: Paint) -> String {
        self.painted_with(paint, &|_| Vec::new())
    }

    /// The same; files that the text names can be opened as well.
    pub(super) fn painted_with_files(&self, paint: Paint, paths: &Paths) -> String {
        self.painted_with(paint, &|text| paths.files(text))
    }

    fn painted_with(&self, paint: Paint, more: &dyn Fn(&str) -> Vec<Link>) -> String {
        let breaks = self.breaks();
        let links = if paint.links { self.links(more) } else { Vec::new() };
        let mut out = String::new();
        let mut at = 0;
        let mut open = false;
        for span in &self.spans {
            let style = span.tone.style();
            let styled = paint.color && span.tone != Tone::Plain;
            if styled {
                out.push_str(&style.render().to_string());
            }
            for (offset, c) in span.text.char_indices() {
                let here = at + offset;
                if open && links.iter().any(|link| link.end == here) {
                    out.push_str(&link::close());
                    open = false;
                }
                if breaks.contains(&here) {
                    out.push(' ');
                }
                if let Some(link) = links.iter().find(|link| link.start == here) {
                    out.push_str(&link::open(&link.to));
                    open = true;
                }
                out.push(if c == UNBROKEN { ' ' } else { c });
            }
            at += span.text.len();
            if open && links.iter().any(|link| link.end == at) {
                out.push_str(&link::close());
                open = false;
            }
            if styled {
                out.push_str(&style.render_reset().to_string());
            }
        }
        let printed = if paint.color { out.len() } else { out.trim_end().len() };
        out.truncate(printed);
        out
    }

    /// What can be opened: the spans that say so, and the addresses in the text.
    fn links(&self, more: &dyn Fn(&str) -> Vec<Link>) -> Vec<Link> {
        let mut links = Vec::new();
        let mut at = 0;
        for span in &self.spans {
            let end = at + span.text.len();
            if let Some(to) = &span.link {
                links.push(Link { start: at, end, to: to.clone() });
            }
            at = end;
        }
        let text = self.text();
        for found in [link::addresses(&text), more(&text)] {
            let own = links.clone();
            let apart =
                |it: &Link| own.iter().all(|own| it.end <= own.start || it.start >= own.end);
            links.extend(found.into_iter().filter(apart));
        }
        links
    }
}

/// A space at which nothing is broken; printed as a space.
const UNBROKEN: char = '\u{a0}';

/// A command in a text that is to be wrapped: it stays on one line, for people copy it.
pub fn unbroken(command: &str) -> String {
    command.replace(' ', &UNBROKEN.to_string())
}

/// The text as it is written where nothing is wrapped.
pub fn unwrapped(text: &str) -> String {
    text.replace(UNBROKEN, " ")
}

/// The same with what stands between backticks kept on one line, as in `` `git status` ``.
pub(super) fn keep_quoted(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut parts = line.split('`').peekable();
    let mut quoted = false;
    while let Some(part) = parts.next() {
        // The last part has no closing backtick.
        if quoted && parts.peek().is_some() {
            out.push_str(&unbroken(part));
        } else {
            out.push_str(part);
        }
        if parts.peek().is_some() {
            out.push('`');
        }
        quoted = !quoted;
    }
    out
}

/// Whether a word is copied as a whole: a path, an address, a command, the name of a test, a
/// digest, an id.
fn is_copied(word: &str) -> bool {
    let name = word.trim_matches(|c: char| ".,;:()[]'\"".contains(c));
    let id = |c: char| c.is_ascii_hexdigit() || c == '-';
    // Data, as in JSON.
    if name.contains(['"', '{']) && !name.contains(UNBROKEN) {
        return false;
    }
    name.contains(['/', '\\', UNBROKEN]) && name.len() > 1
        || name.contains(':')
        || (name.len() >= 32 && name.chars().all(id) && name.contains(|c: char| c.is_ascii_digit()))
}

/// Where the line from `from` ends that may end at `most` and is not broken before `begin`; and
/// whether it is one word that stays whole.
fn break_of(text: &str, from: usize, begin: usize, most: usize) -> (usize, bool) {
    if most >= text.len() || begin > most {
        return (most.max(begin).min(text.len()), false);
    }
    if text[most..].starts_with(' ') {
        return (most, false);
    }
    let word = text[..most].rfind(' ').map_or(0, |space| space + 1).max(begin);
    let end = text[most..].find(' ').map_or(text.len(), |space| most + space);
    if !is_copied(&text[word..end]) {
        return (break_before(text, begin, most), false);
    }
    if word > begin && !text[begin..word].trim().is_empty() {
        return (word, false);
    }
    // What stands before it, a label, has a line of its own as well.
    if from < begin && !text[from..begin].trim().is_empty() {
        return (begin, false);
    }
    (end, true)
}

/// Where a line that may end at `most` is broken, after `least`.
fn break_before(text: &str, least: usize, most: usize) -> usize {
    if least >= most {
        return most;
    }
    let line = &text[least..most];
    if let Some(space) = line.trim_start().rfind(' ') {
        return least + (line.len() - line.trim_start().len()) + space + 1;
    }
    let separator = line.char_indices().rfind(|(at, c)| *at > 0 && "-_.,;=&?@|".contains(*c));
    match separator {
        Some((at, c)) => least + at + c.len_utf8(),
        None => most,
    }
}

/// The longest beginning of `text` that takes at most `columns`.
fn head_columns(text: &str, columns: usize) -> &str {
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if text[..next].width() > columns {
            break;
        }
        end = next;
    }
    &text[..end]
}

/// `text` broken at spaces into lines of at most `width` columns. Line breaks in it stay; a
/// word that is longer than a line (a path, an address) is left whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let text = safe_text::visible(text.trim_end());
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let indent = paragraph.len() - paragraph.trim_start().len();
        let mut line = paragraph[..indent].to_owned();
        let mut empty = true;
        for word in keep_quoted(paragraph).split([' ', '\t']).filter(|word| !word.is_empty()) {
            if !empty && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        lines.push(line);
    }
    lines
}

/// `text` wrapped and indented, on at most 40 lines.
pub(super) fn text_lines(indent: usize, tone: Tone, text: &str, width: usize) -> Vec<Line> {
    wrap(text, width.saturating_sub(indent))
        .into_iter()
        .filter(|line| !line.is_empty())
        .take(40)
        .map(|line| Line::indent(indent).push(tone, line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cannot_form_a_command() {
        let line = Line::new().push(Tone::Added, "##").push(Tone::AddedPart, "vso[task.x]");
        assert_eq!(line.render(false), "# #vso[task.x]");
        assert!(!line.render(true).contains("##"));
        assert_eq!(Line::new().plain("a\nb").render(false), "a␊b");
    }

    #[test]
    fn lines_fit_by_columns() {
        for (text, width, expect) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("漢字漢字", 5, "漢字…"), ("漢字", 3, "漢…")]
        {
            assert_eq!(Line::new().plain(text).fit(width).render(false), expect);
        }
    }

    #[test]
    fn long_lines_are_folded() {
        let fold = |line: Line, width, indent| -> Vec<String> {
            line.folded(width, indent).iter().map(|line| line.render(false)).collect()
        };
        let line = Line::new().plain("+ abcdefghij").push(Tone::AddedPart, "klmnopqrstuvwxyz");
        assert_eq!(fold(line.clone(), 40, 2), ["+ abcdefghijklmnopqrstuvwxyz"]);
        assert_eq!(fold(line, 14, 2), ["+ abcdefghijkl", "  mnopqrstuvwx", "  yz"]);
        let endless = fold(Line::new().plain("x".repeat(1000)), 20, 4);
        assert_eq!(endless.len(), 6);
        assert!(endless.iter().all(|line| line.width() <= 20) && endless[5].ends_with('…'));
    }

    #[test]
    fn rows_go_on_below_their_text() {
        let wrapped = |line: Line, width| -> Vec<String> {
            line.wrapped(width).iter().map(|line| line.render(false)).collect()
        };
        let row = |text: &str| Line::indent(2).dim("label").pad_to(10).plain(text);
        assert_eq!(wrapped(row("short"), 40), ["  label   short"]);
        assert_eq!(
            wrapped(row("some words that do not fit on it"), 30),
            ["  label   some words that do", "          not fit on it"]
        );
        assert_eq!(
            wrapped(row("/srv/fleet/logs/runs/0190aaaa-bbbb/report.html is it"), 32),
            ["  label", "    /srv/fleet/logs/runs/0190aaaa-bbbb/report.html", "          is it"]
        );
        assert_eq!(
            wrapped(row(&format!("try {}, then wait", unbroken("git log --oneline --all"))), 32),
            ["  label   try", "    git log --oneline --all,", "          then wait"]
        );
        assert_eq!(
            wrapped(row("see `git log` or engine::machine::tests::steps"), 32),
            ["  label   see `git log` or", "    engine::machine::tests::steps"]
        );
        assert_eq!(wrapped(row(&"x".repeat(50)), 40).len(), 2);
        // Where the text begins too far to the right, it goes on further to the left.
        let far = Line::indent(4).plain("✓ name").pad_to(36).plain("what came of it, in words");
        assert!(wrapped(far.clone(), 40).iter().all(|line| line.width() <= 40));
        assert!(wrapped(far, 40)[1].starts_with("      "), "indented");
        for width in [20, 40, 80] {
            for text in [
                "漢字 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字",
                "a-b-c-d-e-f-g-h",
                "",
                "   ",
            ] {
                let lines = wrapped(row(text), width);
                assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
                let said: String = lines.concat().split_whitespace().collect();
                let whole: String = format!("label{text}").split_whitespace().collect();
                assert_eq!(said, whole, "nothing is lost");
            }
        }
        let coloured = row("one two three four five six seven").push(Tone::Bad, " eight nine ten");
        assert_eq!(coloured.wrapped(30)[1].render(true).matches("\u{1b}[31m").count(), 1);
        assert_eq!(wrapped(row(&"x".repeat(50)).unbroken(), 40).len(), 1);
    }

    #[test]
    fn text_wraps_at_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\n\n  - b c", 5), ["a", "", "  - b", "c"]);
        assert_eq!(wrap("/a/very/long/path x", 5), ["/a/very/long/path", "x"]);
    }
}
