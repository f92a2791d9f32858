//! Code fences of Markdown.

/// An opening fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence<'a> {
    indent: usize,
    mark: u8,
    length: usize,
    /// What stands after the marks.
    pub(super) info: &'a str,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

fn marks(line: &str) -> Option<(u8, usize, &str)> {
    let line = line.trim_start_matches([' ', '\t']);
    let mark = line.bytes().next().filter(|b| matches!(b, b'`' | b'~'))?;
    let length = line.bytes().take_while(|b| *b == mark).count();
    (length >= 3).then(|| (mark, length, line.get(length..).unwrap_or("").trim()))
}

impl<'a> Fence<'a> {
    /// The fence that `line` opens, if it looks like one.
    pub(super) fn opening(line: &'a str) -> Option<Self> {
        let (mark, length, info) = marks(line)?;
        let indent = indent(line);
        (mark != b'`' || !info.contains('`')).then_some(Self { indent, mark, length, info })
    }

    /// Whether `line` closes this fence. It must not be indented more than the opening: in a
    /// diff, such a line is a kept line of a Markdown file.
    pub(super) fn is_closed_by(&self, line: &str) -> bool {
        marks(line).is_some_and(|(mark, length, rest)| {
            mark == self.mark
                && length >= self.length
                && rest.is_empty()
                && indent(line) <= self.indent
        })
    }

    /// Whether `line` opens a fence within this one that could be mistaken for its end: the
    /// same marks with an info string.
    pub(super) fn is_nested_by(&self, line: &str) -> bool {
        marks(line).is_some_and(|(mark, length, rest)| {
            mark == self.mark && length >= self.length && !rest.is_empty() && !rest.contains('`')
        })
    }

    /// The first word of the info string, in lower case.
    pub(super) fn language(&self) -> String {
        let word = self.info.split([' ', ':', '{', ',']).next().unwrap_or("");
        word.trim_matches(['.', '{', '}']).to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_and_closes() {
        let fence = Fence::opening("````md title=x").expect("a fence");
        assert_eq!(fence.language(), "md");
        assert!(!fence.is_closed_by("```"));
        assert!(fence.is_closed_by("`````  "));
        assert!(!fence.is_closed_by("~~~~"));
        assert!(!fence.is_closed_by(" ````"));
        assert!(Fence::opening("``` a `b` ```").is_none());
        assert!(Fence::opening("``x").is_none());
    }
}
