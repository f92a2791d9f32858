//! What a file defines, and where each definition begins and ends.

use super::languages::{Body, Language};

/// Lines of comments and attributes above a definition that belong to it.
const MOST_ABOVE: usize = 6;

/// Lines in which a definition that has no end is taken to end.
const LONGEST: usize = 400;

/// A definition, with the comments and attributes above it. Lines are 0-based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::heal) struct Definition {
    /// Its name; the title of a test that has one.
    pub(in crate::heal) name: String,
    /// The first line of what belongs to it.
    pub(in crate::heal) first: usize,
    /// The line that names it.
    pub(in crate::heal) signature: usize,
    /// Its last line.
    pub(in crate::heal) last: usize,
}

impl Definition {
    /// Whether the line is one of its.
    pub(in crate::heal) const fn has(&self, line: usize) -> bool {
        self.first <= line && line <= self.last
    }

    /// Its number of lines.
    pub(in crate::heal) const fn lines(&self) -> usize {
        self.last + 1 - self.first
    }
}

/// The definitions of a file, in the order of their lines; one may lie within another.
pub(in crate::heal) fn definitions(text: &str, language: &Language) -> Vec<Definition> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = name(line, language) else { continue };
        let last = match language.body {
            Body::Braces => braces(&lines, at),
            Body::Indent => indented(&lines, at),
            Body::Line => at,
        };
        found.push(Definition { name, first: above(&lines, at), signature: at, last });
    }
    found
}

/// The innermost definition that has the line.
pub(in crate::heal) fn enclosing(list: &[Definition], line: usize) -> Option<&Definition> {
    list.iter().filter(|definition| definition.has(line)).min_by_key(|d| d.lines())
}

fn name(line: &str, language: &Language) -> Option<String> {
    for pattern in language.titles.iter().chain(&language.definitions) {
        let Some(captures) = pattern.captures(line) else { continue };
        let named = ["name", "name2", "name3"].iter().find_map(|group| captures.name(group));
        let Some(name) = named.map(|found| found.as_str().trim_matches('`')) else { continue };
        if !language.not_names.iter().any(|word| word == name) {
            return Some(name.to_owned());
        }
    }
    None
}

/// The first of the lines above that are comments or attributes.
fn above(lines: &[&str], at: usize) -> usize {
    let belongs = |line: &str| {
        let line = line.trim_start();
        ["//", "/*", "*", "#", "@"].iter().any(|start| line.starts_with(start))
    };
    let count = lines[..at].iter().rev().take(MOST_ABOVE).take_while(|line| belongs(line)).count();
    at - count
}

/// The line with the brace that closes the first one from `at` on; a statement without any ends
/// at its semicolon, or with its line when the next one is no deeper.
fn braces(lines: &[&str], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut parens = 0_usize;
    let mut opened = false;
    for (nth, line) in lines.iter().enumerate().skip(at).take(LONGEST) {
        let mut quote: Option<char> = None;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some(_), '\\') => {
                    chars.next();
                }
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"') => quote = Some('"'),
                (None, '/') if chars.peek() == Some(&'/') => break,
                // A character, such as '{'; a lifetime has no second quote there.
                (None, '\'') => {
                    let mut ahead = chars.clone();
                    if matches!(ahead.next(), Some('{' | '}' | '"' | '(' | ')' | ';'))
                        && ahead.next() == Some('\'')
                    {
                        chars = ahead;
                    }
                }
                (None, '{') => {
                    depth += 1;
                    opened = true;
                }
                (None, '}') => {
                    depth = depth.saturating_sub(1);
                    // `})` and `];` still belong to the last line.
                    if opened && depth == 0 && parens == 0 {
                        return nth;
                    }
                }
                (None, '(' | '[') => parens += 1,
                (None, ')' | ']') => {
                    parens = parens.saturating_sub(1);
                    if opened && depth == 0 && parens == 0 {
                        return nth;
                    }
                }
                (None, ';') if depth == 0 && parens == 0 => return nth,
                (None, _) => {}
            }
        }
        let next = lines.get(nth + 1).copied().unwrap_or_default();
        let goes_on = depth > 0
            || parens > 0
            || next.trim_start().starts_with(['{', ':', '.', '=', '?', '|', '&', '-', '+'])
            || next.trim_start().starts_with("where")
            || (!next.trim().is_empty() && indent(next) > indent(lines[at]))
            || (!opened && line.trim_end().ends_with(['=', ',', '(', '>', ':']));
        if !goes_on {
            return nth;
        }
    }
    (at + LONGEST - 1).min(lines.len() - 1)
}

/// The last line before the next one that is not deeper. Closing brackets and `end` belong to it.
fn indented(lines: &[&str], at: usize) -> usize {
    let depth = indent(lines[at]);
    let mut last = at;
    for (nth, line) in lines.iter().enumerate().skip(at + 1).take(LONGEST) {
        if line.trim().is_empty() {
            continue;
        }
        let closes = line.trim_start().starts_with([')', ']', '}']) || line.trim() == "end";
        if indent(line) < depth || (indent(line) == depth && !closes) {
            break;
        }
        last = nth;
    }
    last
}

/// White space before the text; a tab counts as one.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::super::of_path;
    use super::*;
    use greenloop_model::RepoPath;

    fn outline(path: &str, text: &str) -> Vec<(String, usize, usize)> {
        let language = of_path(&RepoPath::new(path).unwrap()).unwrap();
        let found = definitions(text, language);
        found.into_iter().map(|d| (d.name, d.first + 1, d.last + 1)).collect()
    }

    fn named(list: &[(&str, usize, usize)]) -> Vec<(String, usize, usize)> {
        list.iter().map(|(name, first, last)| ((*name).to_owned(), *first, *last)).collect()
    }

    #[test]
    fn definitions_begin_with_their_comments_and_end_with_their_bodies() {
        let python = "LIMIT = 3\n\n@cache\ndef a(\n    x,\n):\n    return x\n\nclass B:\n    def c(self):\n        pass\n\nx()\n";
        assert_eq!(
            outline("a.py", python),
            named(&[("LIMIT", 1, 1), ("a", 3, 7), ("B", 9, 11), ("c", 10, 11)])
        );
        let rust = "/// Says.\npub(crate) fn a<'x>(c: char) -> bool {\n    c == '{' || \"}\".len() > 1 // }\n}\nconst N: u8 = 3;\nimpl Some<T> for Other<'_> {\n    fn b(&self);\n}\n";
        assert_eq!(
            outline("a.rs", rust),
            named(&[("a", 1, 4), ("N", 5, 5), ("Other", 6, 8), ("b", 7, 7)])
        );
        let js = "export const zero = (c) => ({\n  c,\n});\nclass A {\n  push(x) {\n    if (x) {\n    }\n  }\n}\nit('does it', function () {\n  push(1);\n});\n";
        assert_eq!(
            outline("a.ts", js),
            named(&[("zero", 1, 3), ("A", 4, 9), ("push", 5, 8), ("does it", 10, 12)])
        );
        let go = "// Wait waits.\nfunc (p Policy) Wait(n int) int {\n\treturn 1\n}\n";
        assert_eq!(outline("a.go", go), named(&[("Wait", 1, 4)]));
        let java = "class A {\n    @Test\n    void b() {\n        c();\n    }\n}\n";
        assert_eq!(outline("A.java", java), named(&[("A", 1, 6), ("b", 2, 5)]));
        let c = "static int\nx;\nuint16_t crc(const char *b)\n{\n    for (;;) {\n    }\n}\n";
        assert_eq!(outline("a.c", c), named(&[("crc", 3, 7)]));
        let ruby = "class A\n  def b\n    1\n  end\nend\n";
        assert_eq!(outline("a.rb", ruby), named(&[("A", 1, 5), ("b", 2, 4)]));
    }

    #[test]
    fn the_innermost_definition_encloses_a_line() {
        let language = of_path(&RepoPath::new("a.py").unwrap()).unwrap();
        let list = definitions("class A:\n    def b(self):\n        pass\n    x = 1\n", language);
        assert_eq!(enclosing(&list, 2).unwrap().name, "b");
        assert_eq!(enclosing(&list, 3).unwrap().name, "A");
        assert_eq!(enclosing(&list, 9), None);
    }

    #[test]
    fn a_file_that_never_closes_is_bounded() {
        let text = format!("fn a() {{\n{}", "x(\n".repeat(5_000));
        assert_eq!(outline("a.rs", &text), named(&[("a", 1, 400)]));
    }
}
