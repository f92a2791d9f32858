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
}

impl Line {
    /// An empty line.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `n` spaces, and what follows.
    pub(super) fn indent(n: usize) -> Self {
        Self::new().plain(" ".repeat(n))
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
        self.plain(" ".repeat(missing))
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
        Self { spans: kept }
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
    fn text_wraps_at_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\n\n  - b c", 5), ["a", "", "  - b", "c"]);
        assert_eq!(wrap("/a/very/long/path x", 5), ["/a/very/long/path", "x"]);
    }
}
