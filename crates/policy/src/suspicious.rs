//! Product code that makes a check pass without being right: an end before the code that decides,
//! and an answer that is written for a test.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Subject;
use super::lines::{Alignment, split};
use super::special_case;
use super::syntax::SourceFile;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// 0-based line of the resulting file.
    pub line: usize,
    pub detail: String,
}

static CONSTANT_END: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"^\s*(return|raise\s+SystemExit|exit|sys\.exit|os\.Exit|process\.exit)\b\s*\(?\s*(True|true|False|false|None|nil|null|undefined|[-+]?\d+(\.\d+)?|"[^"]*"|'[^']*'|\[\]|\{\}|Ok\(\(\)\)|Ok\(true\)|Some\(true\)|self|this)?\s*\)?\s*;?\s*(#.*|//.*)?$"#).ok()
});

/// New lines that end a function, with old lines after them that are never reached.
pub(super) fn unreachable(file: &SourceFile, after: &[u8], lines: &Alignment) -> Vec<Hit> {
    let Some(end) = CONSTANT_END.as_ref() else { return Vec::new() };
    let texts: Vec<String> =
        split(after).into_iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).count();
    let mut found = Vec::new();
    for (index, line) in texts.iter().enumerate() {
        if !lines.is_added(index) || !end.is_match(line) {
            continue;
        }
        let opens_without_braces =
            texts[..index].iter().rev().find(|l| !l.trim().is_empty()).is_some_and(|l| {
                // `if (x)` and, on the next line, what it guards.
                let l = l.trim_end();
                !file.has_extension(&["py"])
                    && (l.ends_with(')') || l.ends_with("else") || l.ends_with("=>"))
                    && indent(l) < indent(line)
            });
        let next = (index + 1..texts.len()).find(|i| !texts[*i].trim().is_empty());
        if let Some(next) = next
            && !opens_without_braces
            && indent(&texts[next]) == indent(line)
            && !lines.is_added(next)
        {
            let text = texts[next].trim_start();
            let label = [
                "case ", "default", "}", "else", "elif", "except", "finally", "rescue", "ensure",
                "end", "when ", "#", "//", "@", "def ", "class ", "fi", "esac", "done", "|",
                "_ =>", ")",
            ]
            .iter()
            .any(|start| text.starts_with(start));
            if !label {
                found.push(Hit {
                    line: index,
                    detail: format!("`{}` is inserted before existing code", line.trim()),
                });
            }
        }
    }
    found
}

static COMPARES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(==|===|\bis\b|\.equals\(|\bcase\b|\bin\s*[\[({]|=>|\bwhen\b|:\s*$)"#).ok()
});

static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#""(?:[^"\\]|\\.){2,}"|'(?:[^'\\]|\\.){2,}'|(?:^|[^\w.])(-?\d+(?:\.\d+)?)\b"#).ok()
});

/// New comparisons with a value, and a value given for it, that stand side by side in a test.
pub(super) fn test_answers(
    before: &[u8],
    after: &[u8],
    lines: &Alignment,
    subject: &Subject<'_>,
) -> Vec<Hit> {
    let (Some(compares), Some(literal)) = (COMPARES.as_ref(), LITERAL.as_ref()) else {
        return Vec::new();
    };
    let read = |bytes| -> Vec<String> {
        split(bytes).into_iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect()
    };
    let texts = read(after);
    let literals = |text: &str| -> BTreeSet<String> {
        literal
            .captures_iter(text)
            .filter_map(|captures| {
                let found = captures.get(1).or_else(|| captures.get(0))?;
                Some(found.as_str().trim_matches(['"', '\'', ' ']).to_owned())
            })
            .filter(|text| !["0", "1", "-1", "2", "10", "100"].contains(&text.as_str()))
            .collect()
    };
    let mut candidates = Vec::new();
    for (index, line) in texts.iter().enumerate() {
        if !lines.is_added(index) || !compares.is_match(line) {
            continue;
        }
        let mut text = line.clone();
        let gives = |line: &str| {
            line.contains("return")
                || line.contains("=>")
                || line.contains("->")
                || line.contains(" if ")
        };
        if !gives(line)
            && let Some(next) = texts.get(index + 1).filter(|_| lines.is_added(index + 1))
        {
            text.push(' ');
            text.push_str(next);
        }
        let values = literals(&text);
        if gives(&text) && values.len() >= 2 {
            candidates.push((index, values));
        }
    }
    let compared = (0..texts.len()).any(|i| lines.is_added(i) && special_case::compares(&texts[i]));
    let read_tests = LazyCell::new(|| subject.test_lines());
    let constants = special_case::constants(&read(before), &texts, lines, &|| {
        read_tests.iter().flat_map(|line| special_case::literals(line)).collect()
    });
    if candidates.is_empty() && !compared && constants.is_empty() {
        return Vec::new();
    }
    let test_lines = &*read_tests;
    let tests: Vec<BTreeSet<String>> =
        test_lines.iter().map(|line| literals(line)).filter(|l| l.len() >= 2).collect();
    let found: BTreeSet<usize> = candidates
        .into_iter()
        .filter(|(_, values)| tests.iter().any(|test| test.intersection(values).count() >= 2))
        .map(|(line, _)| line)
        .chain(special_case::find(&texts, lines, test_lines))
        .chain(constants)
        .collect();
    found
        .into_iter()
        .map(|line| Hit {
            line,
            detail: format!(
                "`{}` contains values that a test has side by side, or a constant that it expects",
                texts[line].trim()
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{FileContent, RepoPath};
    use greenloop_patch::MemoryTree;

    #[test]
    fn an_answer_written_for_a_test_is_found() {
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let tree: MemoryTree = [(
            path("tests/test_f.py"),
            FileContent::regular(
                "@parametrize('a, b', [(3, 7), (4, 8)])\nassert f('abc') == 'xyz'\n",
            ),
        )]
        .into_iter()
        .collect();
        let subject = Subject::of_tree(&tree, []);
        for (text, expect) in [
            ("def f(a): return 7 if a == 3 else 2 * a\n", true),
            ("if (a === 3) {\n  return 7;\n}\n", true),
            ("if a == 'abc':\n    return 'xyz'\n", true),
            ("if a == 0:\n    return 1\n", false),
            ("if a == 5:\n    return 6\n", false),
            ("x = 3 + 7\n", false),
        ] {
            let lines = Alignment::new(None, Some(text.as_bytes()));
            let found = test_answers(b"", text.as_bytes(), &lines, &subject);
            assert_eq!(!found.is_empty(), expect, "{text}");
        }
    }
}
