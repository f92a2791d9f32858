//! Repairs of a test that leave what it demands as it was: it did not parse, or it calls the
//! product by a name that the product does not have any more.

use std::sync::LazyLock;

use regex::Regex;

use super::Subject;
use super::lines::{Alignment, split};
use greenloop_model::FileChange;

/// How many lines of a file that does not parse may change.
const MAX_LINES: usize = 3;
/// How many characters of such a line may come in or go.
const MAX_CHARACTERS: usize = 2;

static DOES_NOT_PARSE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(SyntaxError|IndentationError|ParseError|parse error|syntax error|unexpected (token|end|eof|identifier|indent)|unterminated|unclosed|mismatched|was never closed|expected one of|expected (`|'|\u{201c})?[:;,()\[\]{}])",
    )
    .ok()
});

/// What a tool says of a name that is not there: the name.
static MISSING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?:cannot import name|has no attribute|cannot find (?:function|value|type|name|symbol)[^`'"\n]*|no (?:function or associated item|method|associated item) named|unresolved import|undefined local variable or method|undefined method|does not provide an export named|has no exported member(?: named)?|Unresolved reference:?)\s*[`'"]?(?:[\w:.]+(?:::|\.))?(?P<a>\w+)|undefined: (?:\w+\.)?(?P<b>\w+)|name '(?P<c>\w+)' is not defined|(?:\w+[.)])*(?P<d>\w+) is not (?:a function|defined)"#,
    )
    .ok()
});

/// Whether the change of a test is such a repair, of the failure at hand.
pub(super) fn is_repair(change: &FileChange, subject: &Subject<'_>) -> bool {
    let (Some(failure), Some(before), Some(after)) =
        (subject.failure, &change.before, &change.after)
    else {
        return false;
    };
    if change.moved_from.as_ref().is_some_and(|from| *from != change.path)
        || before.mode != after.mode
        || before.is_binary()
        || after.is_binary()
    {
        return false;
    }
    let was = String::from_utf8_lossy(&before.bytes);
    let is = String::from_utf8_lossy(&after.bytes);
    let parses_again = subject.failure_names(&change.path)
        && DOES_NOT_PARSE.as_ref().is_some_and(|says| says.is_match(failure))
        && changes_brackets(&was, &is);
    parses_again || follows_name(failure, &was, &is, subject)
}

/// A few lines get, or lose, a bracket, a comma or a colon.
fn changes_brackets(was: &str, is: &str) -> bool {
    let lines = Alignment::new(Some(was.as_bytes()), Some(is.as_bytes()));
    let (before, after) = (split(was.as_bytes()), split(is.as_bytes()));
    let hunks = lines.hunks();
    let changed: usize = hunks.iter().map(|hunk| hunk.after.len()).sum();
    !hunks.is_empty()
        && changed <= MAX_LINES
        && hunks.iter().all(|hunk| {
            hunk.before.len() == hunk.after.len()
                && before[hunk.before.clone()]
                    .iter()
                    .zip(&after[hunk.after.clone()])
                    .all(|(old, new)| gets_characters(old, new) || gets_characters(new, old))
        })
}

/// Whether `longer` is `shorter` with a bracket, a comma or a colon more.
fn gets_characters(shorter: &[u8], longer: &[u8]) -> bool {
    let mut rest = shorter.iter().peekable();
    let mut more = 0;
    for byte in longer {
        if rest.next_if_eq(&byte).is_some() {
            continue;
        }
        if !b":;,()[]{}".contains(byte) {
            return false;
        }
        more += 1;
    }
    rest.peek().is_none() && (1..=MAX_CHARACTERS).contains(&more)
}

/// The words of a text, and what stands between them.
fn words(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| part(c) != part(first)).unwrap_or(rest.len());
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

/// Whether all that differs is a name that the failure says is missing, and that became, wherever
/// it stood, one that the product defines.
fn follows_name(failure: &str, was: &str, is: &str, subject: &Subject<'_>) -> bool {
    let Some(missing) = MISSING.as_ref() else { return false };
    let (old, new) = (words(was), words(is));
    if old.len() != new.len() {
        return false;
    }
    let mut pair = None;
    for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
        if *pair.get_or_insert((*old, *new)) != (*old, *new) {
            return false;
        }
    }
    let Some((old, new)) = pair else { return false };
    let is_missing = missing.captures_iter(failure).any(|found| {
        ["a", "b", "c", "d"]
            .iter()
            .any(|group| found.name(group).is_some_and(|it| it.as_str() == old))
    });
    is_missing
        && new.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && subject.product_defines(new)
        && !subject.product_defines(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{FileContent, RepoPath};
    use greenloop_patch::MemoryTree;

    #[test]
    fn repairs_of_tests_are_known() {
        let path = |path: &str| RepoPath::new(path).expect("a path");
        let tree: MemoryTree =
            [(path("calc.py"), FileContent::regular("def plus(a, b):\n    return a + b\n"))]
                .into_iter()
                .collect();
        const OLD: &str = "from calc import add\ndef test_a(self):\n    assert add(2, 3) == 5\n";
        const IMPORT: &str = "ImportError: cannot import name 'add' from 'calc' (calc.py)";
        const SYNTAX: &str = "File tests/test_calc.py, line 2\nSyntaxError: expected ':'";
        for (failure, before, after, expect) in [
            (IMPORT, OLD, OLD.replace("add", "plus"), true),
            (IMPORT, OLD, OLD.replace("add", "plus").replace("== 5", "== 6"), false),
            (IMPORT, OLD, OLD.replace("add", "minus"), false),
            ("AssertionError: 6 != 5", OLD, OLD.replace("add", "plus"), false),
            (SYNTAX, &OLD.replace("self):", "self)"), OLD.to_owned(), true),
            (SYNTAX, &OLD.replace("self):", "self)"), OLD.replace("== 5", "== 6"), false),
            (SYNTAX, &OLD.replace("self):", "self)"), OLD.replace("== 5", "!= 5"), false),
            ("AssertionError", &OLD.replace("self):", "self)"), OLD.to_owned(), false),
        ] {
            let change = FileChange {
                path: path("tests/test_calc.py"),
                moved_from: None,
                before: Some(FileContent::regular(before)),
                after: Some(FileContent::regular(after.as_bytes())),
            };
            let subject = Subject::of_tree(&tree, []).repairing(failure);
            assert_eq!(is_repair(&change, &subject), expect, "{failure}: {after}");
        }
    }
}
