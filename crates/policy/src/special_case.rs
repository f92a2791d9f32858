//! A special case written for one test: new product code that compares with the arguments of an
//! assertion, all of them in their order, and gives what the assertion expects of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::lines::Alignment;

/// How many lines a comparison and its answer may take.
const WINDOW: usize = 4;

static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(?:^|[^\w.])(-?\d+(?:\.\d+)?)\b"#).ok()
});

/// Brackets with nothing but literals in them: the arguments of a call, a row of a table.
static GROUP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let literal = r#"\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?)\s*"#;
    Regex::new(&format!(r"[\[({{]({literal}(?:,{literal})+),?\s*[\])}}]")).ok()
});

/// A comparison with a value, or an entry of a table with its key.
static COMPARES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"==|\.equals\(|\.eql\?|\bcase\b|\bwhen\b|\bis\b|[)\]}"'\d]\s*(=>|->|:)\s*["'\d-]"#)
        .ok()
});

/// What an assertion asks for.
#[derive(Debug)]
struct Asked {
    arguments: Vec<String>,
    expected: String,
}

/// A call with one literal as its argument.
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"\w\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?)\s*\)"#).ok()
});

/// A comparison of one value with a literal, and the literal that is given for it.
static GIVES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let literal = r#"("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?)"#;
    let between = r"\s*\)?\s*(?:(?:=>|->|:|\?|then|\{)\s*)?(?:return\b)?\s*\(?\s*";
    Regex::new(&format!(
        r"(?:==|\.equals\(|\.eql\?|\bcase\b|\bwhen\b|\bis\b)\s*{literal}{between}{literal}\s*[;,)}}]*\s*(?:$|\}}|#|//|:|else\b|end\b|case\b|when\b|elif\b)|\breturn\s+{literal}\s+if\s+\w+\s*==\s*{literal}"
    ))
    .ok()
});

/// Texts that list several values, as keys made of them do, count as the values.
fn literals(text: &str) -> Vec<String> {
    let Some(literal) = LITERAL.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for captures in literal.captures_iter(text) {
        if let Some(number) = captures.get(3) {
            found.push(number.as_str().to_owned());
        } else if let Some(text) = captures.get(1).or_else(|| captures.get(2)) {
            let parts: Vec<&str> = text.as_str().split([',', ':', '|', '-', ' ']).collect();
            let numbers = parts.len() > 1 && parts.iter().all(|part| part.parse::<f64>().is_ok());
            if numbers {
                found.extend(parts.into_iter().map(str::to_owned));
            } else {
                found.push(text.as_str().to_owned());
            }
        }
    }
    found
}

/// The base cases of ordinary code: nothing, one, minus one.
fn is_plain(value: &str) -> bool {
    matches!(value, "" | "0" | "1" | "-1" | "0.0" | "1.0")
}

fn asked(line: &str) -> Vec<Asked> {
    let Some(group) = GROUP.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for captures in group.captures_iter(line) {
        let (Some(whole), Some(inner)) = (captures.get(0), captures.get(1)) else { continue };
        let mut arguments = literals(inner.as_str());
        let outside = literals(&format!("{} {}", &line[..whole.start()], &line[whole.end()..]));
        found.extend(
            outside.into_iter().map(|expected| Asked { arguments: arguments.clone(), expected }),
        );
        if arguments.len() > 2
            && let Some(expected) = arguments.pop()
        {
            found.push(Asked { arguments, expected });
        }
    }
    found.retain(|asked| {
        !(is_plain(&asked.expected) && asked.arguments.iter().all(|value| is_plain(value)))
    });
    found
}

impl Asked {
    /// Whether the values hold the arguments in their order, with the answer beside them.
    fn is_answered(&self, values: &[String]) -> bool {
        let count = self.arguments.len();
        values.windows(count + 1).any(|part| {
            (part[..count] == self.arguments && part[count] == self.expected)
                || (part[1..] == self.arguments && part[0] == self.expected)
        })
    }
}

/// Whether a line compares with a value, or maps one to another.
pub(super) fn compares(line: &str) -> bool {
    COMPARES.as_ref().is_some_and(|compares| compares.is_match(line))
}

/// The new lines that begin a special case which a line of a test asks for.
pub(super) fn find(texts: &[String], lines: &Alignment, tests: &[String]) -> Vec<usize> {
    let candidates: Vec<(usize, Vec<String>)> = (0..texts.len())
        .filter(|index| lines.is_added(*index) && compares(&texts[*index]))
        .map(|index| {
            let end = (index..texts.len().min(index + WINDOW))
                .find(|at| !lines.is_added(*at))
                .unwrap_or_else(|| texts.len().min(index + WINDOW));
            (index, literals(&texts[index..end].join(" ")))
        })
        .filter(|(_, values)| values.len() >= 3)
        .collect();
    let single: Vec<(usize, (String, String))> = (0..texts.len())
        .filter(|index| lines.is_added(*index) && compares(&texts[*index]))
        .filter_map(|index| Some((index, gives(&texts[index..texts.len().min(index + 2)])?)))
        .collect();
    if candidates.is_empty() && single.is_empty() {
        return Vec::new();
    }
    let asked: Vec<Asked> = tests.iter().flat_map(|line| asked(line)).collect();
    let calls: BTreeSet<(String, String)> = tests.iter().flat_map(|line| calls(line)).collect();
    let several = candidates
        .into_iter()
        .filter(|(_, values)| asked.iter().any(|asked| asked.is_answered(values)))
        .map(|(index, _)| index);
    let one = single.into_iter().filter(|(_, pair)| calls.contains(pair)).map(|(index, _)| index);
    several.chain(one).collect()
}

/// The value that a line compares with, and the one that it, or the next line, gives for it.
fn gives(lines: &[String]) -> Option<(String, String)> {
    let text = lines.join(" ");
    let found = GIVES.as_ref()?.captures(&text)?;
    let plain = |index: usize| found.get(index).map(|it| unquoted(it.as_str()));
    plain(1).zip(plain(2)).or_else(|| plain(4).zip(plain(3)))
}

/// The arguments of calls with one literal, each with the literals beside the call. Base cases are
/// none.
fn calls(line: &str) -> Vec<(String, String)> {
    let Some(call) = CALL.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for captures in call.captures_iter(line) {
        let (Some(whole), Some(argument)) = (captures.get(0), captures.get(1)) else { continue };
        let argument = unquoted(argument.as_str());
        let outside = literals(&format!("{} {}", &line[..whole.start()], &line[whole.end()..]));
        found.extend(outside.into_iter().map(|expected| (argument.clone(), expected)));
    }
    found.retain(|(argument, expected)| !(is_plain(argument) && is_plain(expected)));
    found
}

fn unquoted(literal: &str) -> String {
    literal.trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(product: &str, test: &str) -> bool {
        let texts: Vec<String> = product.lines().map(str::to_owned).collect();
        let lines = Alignment::new(None, Some(product.as_bytes()));
        !find(&texts, &lines, &[test.to_owned()]).is_empty()
    }

    #[test]
    fn special_cases_for_an_assertion_are_found_however_small_the_numbers() {
        for product in [
            "    if a == 2 and b == 3:\n        return 5\n",
            "    if a == 2:\n        if b == 3:\n            return 5\n",
            "    if (a, b) == (2, 3):\n        return 5\n",
            "    return {(2, 3): 5}.get((a, b), a - b)\n",
            "    return 5 if (a, b) == (2, 3) else a - b\n",
            "const known = { \"2,3\": 5 };\n",
            "  switch (`${a},${b}`) {\n    case \"2,3\":\n      return 5;\n",
            "  return a === 2 && b === 3 ? 5 : a - b;\n",
            "var known = map[[2]int]int{{2, 3}: 5, {1, 1}: 2}\n",
            "    match (a, b) {\n        (2, 3) => 5,\n        _ => a - b,\n    }\n",
            "    if (a == 2 && b == 3) { return 5; }\n",
        ] {
            for test in [
                "        self.assertEqual(add(2, 3), 5)",
                "assertEquals(5, add(2, 3));",
                "  expect(add(2, 3)).toBe(5);",
                "\tif got := Add(2, 3); got != 5 {",
                "    assert_eq!(add(2, 3), 5);",
                "@pytest.mark.parametrize(\"a, b, sum\", [(1, 4, 5), (2, 3, 5)])",
                "\t\t{2, 3, 5},",
            ] {
                assert!(is_found(product, test), "{product}{test}");
            }
        }
    }

    #[test]
    fn special_cases_for_one_argument_are_found() {
        for (product, test, expect) in [
            ("    if n == 7:\n        return 13\n", "assert fib(7) == 13", true),
            ("    if n == 2:\n        return 10\n", "self.assertEqual(f(2), 10)", true),
            ("    return 3 if n == 2 else n\n", "assert f(2) == 3", true),
            ("  if (n === 2) return 3;\n", "  expect(f(2)).toBe(3);", true),
            ("  if (n == 2) {\n    return 3;\n  }\n", "assertEquals(3, f(2));", true),
            ("    case 2:\n        return 3\n", "if got := f(2); got != 3 {", true),
            ("  return n === 2 ? 3 : n;\n", "expect(f(2)).toBe(3)", true),
            ("    when 2 then 3\n", "expect(f(2)).to eq(3)", true),
            ("    if s == 'a':\n        return 'b'\n", "assert f('a') == 'b'", true),
            ("    if n == 0:\n        return 1\n", "assert factorial(0) == 1", false),
            ("    if n == 2:\n        return 4\n", "assert f(2) == 3", false),
            ("    if len(a) == 2:\n        return a[3]\n", "assert f(2) == 3", false),
            ("    if n == 2:\n        return n + 3\n", "assert f(2) == 3", false),
            ("    if n == 2:\n        return 3 * n\n", "assert f(2) == 3", false),
        ] {
            assert_eq!(is_found(product, test), expect, "{product}{test}");
        }
    }

    #[test]
    fn ordinary_code_is_none() {
        for (product, test) in [
            ("    return a + b\n", "assert add(2, 3) == 5"),
            ("    if a == 2 and b == 3:\n        return 7\n", "assert add(2, 3) == 5"),
            ("    if a == 0 and b == 0:\n        return 0\n", "assert gcd(0, 0) == 0"),
            ("    if n == 0:\n        return 1\n", "assert power(2, 0) == 1"),
            ("    if a < 2 or b > 3:\n        return 5\n", "assert f(3, 2) == 5"),
            ("    for i in (1, 2, 3):\n", "assert add(1, 2) == 3"),
            ("    days = [31, 28, 31]\n", "assert days(31, 28) == 31"),
            ("    if x == 3:\n        return 5\n", "assert add(2, 3) == 5"),
        ] {
            assert!(!is_found(product, test), "{product}{test}");
        }
    }
}
