//! A line of styled text, for terminals and for logs.

use anstyle::{AnsiColor, Effects, Style};
use unicode_width::UnicodeWidthStr;

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

/// One line, without its newline. What is pushed is made visible at once; commands are broken
/// when the whole line is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    spans: Vec<(Tone, String)>,
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
            self.spans.push((tone, text));
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
        if self.spans.first().is_some_and(|(_, text)| text.trim().is_empty()) {
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
        self.spans.iter().map(|(_, text)| text.as_str()).collect()
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
        for (tone, text) in self.spans.drain(..) {
            let fitting = head_columns(&text, left);
            left -= fitting.width();
            let whole = fitting.len() == text.len();
            kept.push((tone, fitting.to_owned()));
            if !whole {
                break;
            }
        }
        kept.push((Tone::Dim, "…".to_owned()));
        Self { spans: kept, ..self }
    }

    /// As lines of at most `width` columns: broken at spaces, a word that is longer than a line
    /// (a path, an address) behind one of its separators.
    pub(super) fn wrapped(self, width: usize) -> Vec<Self> {
        /// Columns that a line has left behind its indentation, at the least.
        const LEAST: usize = 20;
        let text = self.text();
        let end = text.trim_end().len();
        if self.whole || text[..end].width() + self.breaks().len() <= width {
            return vec![self];
        }
        let leading = text.len() - text.trim_start().len();
        let hang = match self.hang.max(leading) {
            0 => 2,
            hang if hang + LEAST > width => (leading + 2).min(width / 4),
            hang => hang,
        };
        // Nothing is broken before the text itself begins.
        let mut body = head_columns(&text, hang).len().max(leading);
        let mut lines = Vec::new();
        let mut from = 0;
        let mut room = width.saturating_sub(self.breaks().len()).max(LEAST / 2);
        while from < end {
            let fitting = head_columns(&text[from..end], room).len().max(1);
            let mut to = from + fitting;
            while !text.is_char_boundary(to) {
                to += 1;
            }
            if to < end {
                to = break_before(&text[..end], body.max(from), to);
            }
            let piece = text[from..to].trim_end();
            let line = if lines.is_empty() { Self::new() } else { Self::indent(hang) };
            lines.push(line.append(self.slice(from, from + piece.len())));
            let rest = &text[to..end];
            from = to + (rest.len() - rest.trim_start().len());
            body = from;
            room = width.saturating_sub(hang + self.breaks().len()).max(LEAST / 2);
        }
        lines
    }

    /// The spans of these bytes of the text.
    fn slice(&self, from: usize, to: usize) -> Self {
        let mut at = 0;
        let mut spans = Vec::new();
        for (tone, text) in &self.spans {
            let (start, end) = (from.max(at), to.min(at + text.len()));
            if start < end {
                spans.push((*tone, text[start - at..end - at].to_owned()));
            }
            at += text.len();
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
        for (tone, text) in self.spans {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let mut fitting = head_columns(rest, width.saturating_sub(line.width()));
                if lines.len() + 1 == MOST {
                    fitting = rest;
                }
                rest = &rest[fitting.len()..];
                line.spans.push((tone, fitting.to_owned()));
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
        let breaks = self.breaks();
        let mut out = String::new();
        let mut at = 0;
        for (tone, text) in &self.spans {
            let style = tone.style();
            let styled = color && *tone != Tone::Plain;
            if styled {
                out.push_str(&style.render().to_string());
            }
            for (offset, c) in text.char_indices() {
                if breaks.contains(&(at + offset)) {
                    out.push(' ');
                }
                out.push(c);
            }
            if styled {
                out.push_str(&style.render_reset().to_string());
            }
            at += text.len();
        }
        let printed = if color { out.len() } else { out.trim_end().len() };
        out.truncate(printed);
        out
    }
}

/// Where a line that may end at `most` is broken, after `least`.
fn break_before(text: &str, least: usize, most: usize) -> usize {
    if least >= most {
        return most;
    }
    // A space may stand just behind the line.
    if text[most..].starts_with(' ') {
        return most;
    }
    let line = &text[least..most];
    if let Some(space) = line.trim_start().rfind(' ') {
        return least + (line.len() - line.trim_start().len()) + space + 1;
    }
    // The parts of a path before the parts of a name.
    let last =
        |separators: &str| line.char_indices().rfind(|(at, c)| *at > 0 && separators.contains(*c));
    match last("/\\").or_else(|| last("-_.,:;=&?@|")) {
        Some((at, c)) => least + at + c.len_utf8(),
        None => most,
    }
}

/// A command for a shell on lines of at most `width` columns, indented, each of which a shell
/// takes for the beginning of the next. What stands in quotes is not broken.
pub(super) fn shell_lines(command: &str, indent: usize, width: usize) -> Vec<String> {
    let margin = " ".repeat(indent);
    if indent + command.width() <= width {
        return vec![margin + command];
    }
    let mut lines = Vec::new();
    let mut line = margin.clone();
    let mut begun = false;
    for word in shell_words(command) {
        if begun && line.width() + 1 + word.width() + 2 > width {
            lines.push(std::mem::replace(&mut line, format!("{margin}  ")) + " \\");
        } else if begun {
            line.push(' ');
        }
        begun = true;
        let mut rest = word;
        // A word goes on at the very beginning of the next line: space there would end it.
        while line.width() + rest.width() > width && !rest.contains(['\'', '"', '\\']) {
            let head = head_columns(rest, width.saturating_sub(line.width() + 1));
            if head.is_empty() {
                break;
            }
            lines.push(std::mem::take(&mut line) + head + "\\");
            rest = &rest[head.len()..];
        }
        line.push_str(rest);
    }
    lines.push(line);
    lines
}

/// The words of a command, each with its quotes.
fn shell_words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut from, mut quote, mut escaped) = (0, None, false);
    for (at, c) in command.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => {
                words.push(&command[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    words.push(&command[from..]);
    words.retain(|word| !word.is_empty());
    words
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
        for word in paragraph.split_whitespace() {
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
            wrapped(row("/srv/fleet/logs/runs/0190aaaa-bbbb/report.html"), 32),
            [
                "  label   /srv/fleet/logs/runs/",
                "          0190aaaa-bbbb/",
                "          report.html"
            ]
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
    fn commands_are_broken_as_a_shell_wants_them() {
        let command = "git diff 0123456789 greenloop/0190aaaa | git -C '/a b' apply";
        assert_eq!(shell_lines(command, 2, 80), [format!("  {command}")]);
        assert_eq!(
            shell_lines(command, 2, 38),
            ["  git diff 0123456789 \\", "    greenloop/0190aaaa | git -C \\", "    '/a b' apply"]
        );
        let long = "printf %s, one 'two  words' three0123456789012345678901234567890123456789 four";
        let lines = shell_lines(long, 4, 24);
        assert!(lines.iter().all(|line| line.width() <= 24), "{lines:?}");
        let output =
            std::process::Command::new("sh").arg("-c").arg(lines.join("\n")).output().unwrap();
        let said = "one,two  words,three0123456789012345678901234567890123456789,four,";
        assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    }

    #[test]
    fn text_wraps_at_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\n\n  - b c", 5), ["a", "", "  - b", "c"]);
        assert_eq!(wrap("/a/very/long/path x", 5), ["/a/very/long/path", "x"]);
    }
}
