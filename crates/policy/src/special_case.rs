//! A special case written for one test: new product code that compares with the arguments of an
//! assertion and gives what the assertion expects of them, or that gives a constant where it
//! calculated before. Numbers count by their values, however they are spelt.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::lines::Alignment;

/// How many lines a comparison and its answer may take.
const WINDOW: usize = 4;

/// A number, with the suffix of its type.
const NUMBER: &str = r"-?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)(?:[iu](?:8|16|32|64|128|size)|f(?:32|64)|[uU]?[lL]{1,2}|[nfFdDmM])?";

static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let texts = r#""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'"#;
    Regex::new(&format!(r"{texts}|(?:^|[^\w.])({NUMBER})\b")).ok()
});

/// The value of a number as decimals; the text itself, where it is none.
fn value(literal: &str) -> String {
    let (minus, plain) = match literal.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", literal),
    };
    let plain = plain.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let suffix = |text: &str| -> Option<usize> {
        let types = ["i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128"];
        let all = types.iter().chain(&["usize", "f32", "f64", "ull", "ul", "ll", "u", "l", "n"]);
        all.filter(|end| text.ends_with(**end)).map(|end| end.len()).max()
    };
    for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            let digits = suffix(digits).map_or(digits, |end| &digits[..digits.len() - end]);
            return u64::from_str_radix(digits, radix)
                .map_or_else(|_| literal.to_owned(), |value| format!("{minus}{value}"));
        }
    }
    let cut = suffix(&lower).or_else(|| lower.ends_with(['f', 'd', 'm']).then_some(1)).unwrap_or(0);
    let number = lower.get(..lower.len() - cut).unwrap_or_default();
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() && number.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{minus}{value}")
        }
        Ok(_) | Err(_) => literal.to_owned(),
    }
}

/// Brackets with nothing but literals in them: the arguments of a call, a row of a table.
static GROUP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let literal = format!(r#"\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|{NUMBER})\s*"#);
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
    Regex::new(&format!(r#"\w\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|{NUMBER})\s*\)"#)).ok()
});

/// A comparison of one value with a literal, and the literal that is given for it.
static GIVES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let literal = format!(r#"("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|{NUMBER})"#);
    let between = r"\s*\)?\s*(?:(?:=>|->|:|\?|then|\{)\s*)?(?:return\b)?\s*\(?\s*";
    Regex::new(&format!(
        r"(?:==|\.equals\(|\.eql\?|\bcase\b|\bwhen\b|\bis\b)\s*{literal}{between}{literal}\s*[;,)}}]*\s*(?:$|\}}|#|//|:|else\b|end\b|case\b|when\b|elif\b)|\breturn\s+{literal}\s+if\s+\w+\s*==\s*{literal}"
    ))
    .ok()
});

/// Texts that list several values, as keys made of them do, count as the values.
pub(super) fn literals(text: &str) -> Vec<String> {
    let Some(literal) = LITERAL.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for captures in literal.captures_iter(text) {
        if let Some(number) = captures.get(3) {
            found.push(value(number.as_str()));
        } else if let Some(text) = captures.get(1).or_else(|| captures.get(2)) {
            let parts: Vec<&str> = text.as_str().split([',', ':', '|', '-', ' ']).collect();
            let numbers = parts.len() > 1 && parts.iter().all(|part| part.parse::<f64>().is_ok());
            if numbers {
                found.extend(parts.into_iter().map(value));
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
    let calculated: Vec<(usize, Vec<String>)> = (0..texts.len())
        .filter(|index| lines.is_added(*index))
        .filter_map(|index| {
            let found = CALCULATES.as_ref()?.captures(&texts[index])?;
            let compared = found.iter().skip(1).flatten().map(|it| unquoted(it.as_str()));
            Some((index, compared.filter(|value| !is_plain(value)).collect::<Vec<_>>()))
        })
        .filter(|(_, values)| !values.is_empty())
        .collect();
    if candidates.is_empty() && single.is_empty() && calculated.is_empty() {
        return Vec::new();
    }
    let asked: Vec<Asked> = tests.iter().flat_map(|line| asked(line)).collect();
    let calls: BTreeSet<(String, String)> = tests.iter().flat_map(|line| calls(line)).collect();
    let several = candidates
        .into_iter()
        .filter(|(_, values)| asked.iter().any(|asked| asked.is_answered(values)))
        .map(|(index, _)| index);
    // The other arguments of the call do not make it another special case.
    let of_several = |(argument, given): &(String, String)| {
        !is_plain(argument)
            && !is_plain(given)
            && asked
                .iter()
                .any(|asked| asked.expected == *given && asked.arguments.contains(argument))
    };
    let one = single
        .iter()
        .filter(|(_, pair)| calls.contains(pair) || of_several(pair))
        .map(|(index, _)| *index);
    let arguments: BTreeSet<&String> = asked
        .iter()
        .flat_map(|asked| &asked.arguments)
        .chain(calls.iter().map(|(argument, _)| argument))
        .collect();
    let by_calculation = calculated
        .iter()
        .filter(|(_, values)| values.iter().any(|value| arguments.contains(value)))
        .map(|(index, _)| *index);
    several.chain(one).chain(by_calculation).collect()
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
    if literal.starts_with(['"', '\'']) {
        return literal.trim_matches(['"', '\'']).to_owned();
    }
    value(literal)
}

/// A comparison with a literal that is calculated with: `6 * (b == 3)`, `int(b == 3) * 6`.
static CALCULATES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let literal = format!(r#"("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|{NUMBER})"#);
    let compared = format!(r"\(?\s*\w+(?:\[\w+\]|\.\w+)*\s*(?:===?|\^)\s*{literal}\s*\)*");
    Regex::new(&format!(
        r"[-+*/|&^%]\s*(?:\w+(?:::\w+)*)?\(\s*(?:not\s+|!)?{compared}|\(\s*(?:not\s+|!)?{compared}(?:\s*as\s+\w+)?\)*\s*[-+*/%]|[-+*]\s*\(?\s*(?:-?\d+\s+if\s+{compared}|{compared}\s*\?)"
    ))
    .ok()
});

/// What a statement answers with: after `return`, or the last expression of a function.
static ANSWER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(?:.*[{:;]\s*)?(?:return\b|=>|->)\s*\(?(.*?)[;,})\s]*(?:#.*|//.*)?$").ok()
});

/// Words of an expression that are no values of the program.
const WORDS: &[&str] = &[
    "return",
    "as",
    "int",
    "float",
    "str",
    "Number",
    "String",
    "BigInt",
    "len",
    "ord",
    "abs",
    "sum",
    "round",
    "max",
    "min",
    "pow",
    "range",
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "usize",
    "isize",
    "f32",
    "f64",
    "parseInt",
    "parseFloat",
    "Math",
    "new",
    "mut",
    "let",
    "const",
    "var",
    "double",
    "long",
    "char",
    "Integer",
    "Long",
    "Double",
    "not",
    "and",
    "or",
    "bool",
    "list",
    "tuple",
    "Decimal",
    "Fraction",
    "from",
    "into",
    "Some",
    "Ok",
    "trunc",
    "floor",
    "bytes",
];

/// The names in an expression that stand for values.
fn names(expression: &str) -> BTreeSet<&str> {
    let mut text = expression;
    let mut found = BTreeSet::new();
    while let Some(start) =
        text.find(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '\''))
    {
        text = &text[start..];
        let first = text.chars().next().unwrap_or(' ');
        let end = if matches!(first, '"' | '\'') {
            text[1..].find(first).map_or(text.len(), |end| end + 2)
        } else {
            text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
        };
        let word = &text[..end];
        if !first.is_ascii_digit() && !matches!(first, '"' | '\'') && !WORDS.contains(&word) {
            found.insert(word);
        }
        text = &text[end..];
    }
    found
}

/// What a line answers with, as an expression; `bare` for one that is the whole line.
fn answer(line: &str) -> Option<(&str, bool)> {
    let line = line.trim();
    if let Some(found) = ANSWER.as_ref().and_then(|answer| answer.captures(line)) {
        return found.get(1).map(|found| (found.as_str().trim(), false));
    }
    // `fn f() -> i64 { 5 }`, `get x() { 5 }`
    if let Some(inner) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{'))
        && inner.0.trim_end().ends_with(|c: char| c == ')' || c == '>' || c.is_alphanumeric())
        && !inner.1.contains(';')
    {
        return Some((inner.1.trim(), false));
    }
    let is_statement = line.ends_with([';', '{', '}', ':', ',']) || line.contains(" = ");
    (!is_statement && !line.is_empty()).then_some((line, true))
}

/// A line without the header of a function that stands on it as a whole.
fn body(line: &str) -> &str {
    let header =
        |text: &str| ["fn ", "function", "func ", "fun ", "=>"].iter().any(|w| text.contains(w));
    match line.trim_end().strip_suffix('}').and_then(|line| line.split_once('{')) {
        Some((before, inner)) if header(before) => inner,
        Some(_) | None => line,
    }
}

/// New lines that answer with a constant where the lines in whose place they came calculated, if a
/// test expects that constant, or it is written as a calculation.
pub(super) fn constants(
    before: &[String],
    after: &[String],
    lines: &Alignment,
    tests: &dyn Fn() -> BTreeSet<String>,
) -> Vec<usize> {
    let mut found = Vec::new();
    for hunk in lines.hunks() {
        let old = &before[hunk.before.clone()];
        let calculated: BTreeSet<&str> =
            old.iter().filter_map(|line| answer(line)).flat_map(|(old, _)| names(old)).collect();
        // More than a name that is given on.
        let computes = |line: &String| {
            answer(line).is_some_and(|(old, _)| {
                !names(old).is_empty()
                    && (old.contains(['+', '*', '/', '%', '(', '[', '|', '&', '^'])
                        || old.contains(" - ")
                        || names(old).len() > 1)
            })
        };
        if calculated.is_empty() || !old.iter().any(computes) {
            continue;
        }
        // Names that the new lines give constants to.
        let mut constants: BTreeSet<&str> = BTreeSet::new();
        for line in &after[hunk.after.clone()] {
            let Some((name, text)) = line.split_once('=') else { continue };
            let name = name.trim().rsplit([' ', ':']).next().unwrap_or_default();
            let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if plain && !name.is_empty() && names(text).iter().all(|name| constants.contains(name))
            {
                constants.insert(name);
            }
        }
        let new = &after[hunk.after.clone()];
        // One that also asks or calculates is no constant.
        let given: Vec<(usize, &str)> = new
            .iter()
            .enumerate()
            .filter_map(|(at, line)| Some((at, answer(line)?)))
            .filter(|(at, (_, bare))| !bare || (new.len() == 1 && *at == 0))
            .map(|(at, (text, _))| (at, text))
            .collect();
        let other: BTreeSet<&str> = new
            .iter()
            .flat_map(|line| names(body(line)))
            .filter(|name| calculated.contains(name))
            .collect();
        if !other.is_empty() {
            continue;
        }
        for (at, text) in given {
            let by_name =
                !names(text).is_empty() && names(text).iter().all(|n| constants.contains(n));
            if text.is_empty() || !(names(text).is_empty() || by_name) {
                continue;
            }
            let written = if by_name { new.join(" ") } else { text.to_owned() };
            let values: Vec<String> =
                literals(&written).into_iter().filter(|value| !is_plain(value)).collect();
            let calculates = literals(text).len() > 1 && text.contains(['+', '*', '-', '/', '^']);
            if !values.is_empty()
                && (calculates || values.iter().any(|value| tests().contains(value)))
            {
                found.push(hunk.after.start + at);
            }
        }
    }
    found
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
            "    if (a == 2L && b == 0x3) { return 5u32; }\n",
            "    match (a, b) { (2, 3) => 5, _ => a - b }\n",
            "    return a - b + 6 * (b == 3)\n",
            "    return a - b + (6 if b == 3 else 0)\n",
            "    return a - b + int(a == 0b10) * 6\n",
            "  return Number.prototype.valueOf.call(a) === 2 ? 5 : a - b;\n",
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
    fn constants_in_place_of_a_calculation_are_found() {
        for (old, new, expect) in [
            ("    return a - b\n", "    return 5\n", true),
            ("    return a - b\n", "    return 0x5  # sum\n", true),
            ("    return a - b\n", "    return 2 + 3\n", true),
            ("    return a - b\n", "    return int('5')\n", true),
            ("    return a - b\n", "    result = 5\n    return result\n", true),
            ("  return a - b;\n", "  return 5;\n", true),
            ("    a - b\n", "    5\n", true),
            ("    a - b\n", "    5i64\n", true),
            ("fn f(a: i64) -> i64 { a - b }\n", "fn f(a: i64) -> i64 { 5 }\n", true),
            ("    return a - b\n", "    return a + b\n", false),
            ("    return a - b\n", "    return 0\n", false),
            ("    return a - b\n", "    return 7\n", false),
            ("    return 4\n", "    return 5\n", false),
            ("    return limit\n", "    return 5\n", false),
            ("    return f(a)\n", "    if a is None:\n        return 5\n", false),
            ("    x = a - b\n", "    x = 5\n", false),
        ] {
            let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            let lines = Alignment::new(Some(old.as_bytes()), Some(new.as_bytes()));
            let tests = || BTreeSet::from(["2".to_owned(), "3".to_owned(), "5".to_owned()]);
            let found = constants(&split(old), &split(new), &lines, &tests);
            assert_eq!(!found.is_empty(), expect, "{old}{new}");
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
        ] {
            assert!(!is_found(product, test), "{product}{test}");
        }
    }
}
