//! Syntax colours for the lines of diffs and code, as classes.
//!
//! The languages come with syntect; nothing here knows one. A file of an unknown kind is shown
//! without colours.

use std::ops::Range;
use std::sync::LazyLock;

use syntect::easy::ScopeRegionIterator;
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Scopes and the class a text in them gets; the innermost scope that is listed decides.
static CLASSES: LazyLock<Vec<(Scope, &'static str)>> = LazyLock::new(|| {
    [
        ("comment", "c"),
        ("string", "s"),
        ("constant", "n"),
        ("keyword.operator", ""),
        ("keyword", "k"),
        ("storage", "k"),
        ("entity.name.function", "f"),
        ("support.function", "f"),
        ("variable.function", "f"),
        ("entity.name", "t"),
        ("support.type", "t"),
        ("support.class", "t"),
        ("entity.other.attribute-name", "t"),
    ]
    .into_iter()
    .filter_map(|(scope, class)| Some((Scope::new(scope).ok()?, class)))
    .collect()
});

/// Lines longer than this are data, not code.
const LONGEST: usize = 1_000;

/// Reads a file's lines in order and says which parts have which class.
pub(super) struct Highlighter {
    state: Option<(ParseState, ScopeStack)>,
}

impl Highlighter {
    /// For a file of this name.
    pub(super) fn new(path: &str) -> Self {
        Self { state: syntax(path).map(|s| (ParseState::new(s), ScopeStack::new())) }
    }

    /// The next line's parts that have a class, in order.
    pub(super) fn line(&mut self, line: &str) -> Vec<(Range<usize>, &'static str)> {
        let Some((state, stack)) = &mut self.state else { return Vec::new() };
        if line.len() > LONGEST {
            return Vec::new();
        }
        let with_end = format!("{line}\n");
        let Ok(ops) = state.parse_line(&with_end, &SYNTAXES) else {
            self.state = None;
            return Vec::new();
        };
        let mut parts = Vec::new();
        let mut at = 0;
        for (text, op) in ScopeRegionIterator::new(&ops, &with_end) {
            if stack.apply(op).is_err() {
                self.state = None;
                break;
            }
            let end = (at + text.len()).min(line.len());
            let class = class(stack);
            if !class.is_empty() && end > at {
                parts.push((at..end, class));
            }
            at += text.len();
        }
        parts
    }
}

fn class(stack: &ScopeStack) -> &'static str {
    let listed = |scope: &Scope| {
        CLASSES.iter().find(|(listed, _)| listed.is_prefix_of(*scope)).map(|(_, class)| *class)
    };
    stack.as_slice().iter().rev().find_map(listed).unwrap_or("")
}

fn syntax(path: &str) -> Option<&'static SyntaxReference> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
    let near = match extension {
        "ts" | "tsx" | "jsx" | "mjs" | "cjs" | "mts" | "cts" => "js",
        "pyi" => "py",
        "kt" | "kts" => "java",
        "h" => "c",
        other => other,
    };
    SYNTAXES.find_syntax_by_extension(near).or_else(|| SYNTAXES.find_syntax_by_extension(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_classes() {
        for (path, line, word, expect) in [
            ("src/main.rs", "let x = \"a\"; // b", "// b", "c"),
            ("src/main.rs", "let x = \"a\"; // b", "let", "k"),
            ("a.py", "return 12", "12", "n"),
            ("a.ts", "const x = 'y'", "y", "s"),
            ("Makefile", "# note", "# note", "c"),
            ("notes.unknown", "let x", "let", ""),
        ] {
            let parts = Highlighter::new(path).line(line);
            let at = line.find(word).unwrap() + word.len() / 2;
            let found = parts.iter().find(|(range, _)| range.contains(&at));
            assert_eq!(found.map_or("", |(_, class)| class), expect, "{path}: {line}: {parts:?}");
        }
    }

    #[test]
    fn a_comment_goes_on_to_the_next_line() {
        let mut highlighter = Highlighter::new("a.c");
        highlighter.line("/* one");
        assert_eq!(highlighter.line("two */ int x;")[0], (0..4, "c"));
    }
}
