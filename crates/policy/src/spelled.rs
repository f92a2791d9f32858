//! Texts that a program puts together out of parts: escapes, joined literals, codes of characters,
//! texts that are turned round. What is written in parts is read as one.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

/// `\x41`, `A`, `\u{41}`, `\101`.
static ESCAPE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\\(?:x([0-9A-Fa-f]{2})|u\{0*([0-9A-Fa-f]{1,4})\}|u00([0-9A-Fa-f]{2})|([01][0-7]{2})\b|([01][0-7]{2}))",
    )
});

/// `"".join(map(chr, [97, 98]))`, `String.fromCharCode(97, 98)`, `bytes([97, 98]).decode()`.
static CODES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r#"(?:(?:""|'')\s*\.\s*join\s*\(\s*map\s*\(\s*chr\s*,|(?:""|'')\s*\.\s*join\s*\(\s*chr\s*\(\s*\w+\s*\)\s*for\s+\w+\s+in|String\s*\.\s*from(?:CharCode|CodePoint)\s*\(|\bbytes\s*\(|\bbytearray\s*\()\s*[\[(]?\s*((?:0x)?[0-9a-fA-F]+(?:\s*,\s*(?:0x)?[0-9a-fA-F]+)*)\s*,?\s*[\])]*(?:\s*\.\s*decode\s*\([^)]*\))?"#,
    )
});

/// `chr(97)`
static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"\bchr\s*\(\s*(\d{2,3})\s*\)"));

/// `["a", "b"].join("")`, `"".join(["a", "b"])`, `"a".concat("b")`.
static JOINED_LIST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r#"\[((?:\s*(?:"[^"]*"|'[^']*'|`[^`]*`)\s*,?)+)\]\s*\.\s*join\s*\(\s*(?:""|''|``)\s*\)|(?:""|'')\s*\.\s*join\s*\(\s*[\[(]((?:\s*(?:"[^"]*"|'[^']*')\s*,?)+)[\])]\s*\)"#,
    )
});

static BETWEEN_ITEMS: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(r#"["'`]\s*,?\s*["'`]|^\s*["'`]|["'`]\s*,?\s*$"#));

/// `"lave"[::-1]`
static TURNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r#"(?:"([^"]*)"|'([^']*)')\s*(?:\[\s*::\s*-1\s*\]|\.\s*split\s*\([^)]*\)\s*\.\s*reverse\s*\(\s*\)\s*\.\s*join\s*\([^)]*\)|\.\s*reverse\b)"#,
    )
});

/// What stands between two parts of a literal.
static JOINS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(r#"(["'`])\s*\)?\s*(?:\+|\.\.?|\|\||\.\s*concat\s*\()?\s*\(?\s*[bruf]?(["'`])"#)
});

fn character(code: u32) -> Option<char> {
    char::from_u32(code).filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\'' | '`' | '\\'))
}

/// The line with its texts in one piece; `None` where it says what it says.
pub(super) fn read(line: &str) -> Option<String> {
    let quotes = line.contains(['"', '\'', '`']);
    if !quotes && !line.contains("chr") && !line.contains("fromC") && !line.contains("bytes") {
        return None;
    }
    let mut text = Cow::Borrowed(line);
    let mut replace = |regex: &LazyLock<Option<Regex>>, with: &dyn Fn(&Captures<'_>) -> String| {
        let changed = regex
            .as_ref()
            .map(|regex| regex.replace_all(&text, |found: &Captures<'_>| with(found)).into_owned());
        if let Some(changed) = changed {
            text = Cow::Owned(changed);
        }
    };
    if line.contains('\\') {
        replace(&ESCAPE, &|found| {
            let code = |group: usize, radix: u32| {
                u32::from_str_radix(found.get(group)?.as_str(), radix).ok()
            };
            let code = (1..=3).find_map(|group| code(group, 16)).or_else(|| code(4, 8));
            let code = code.or_else(|| u32::from_str_radix(found.get(5)?.as_str(), 8).ok());
            code.and_then(character).map_or_else(|| found[0].to_owned(), String::from)
        });
    }
    replace(&CODES, &|found| {
        let codes = found[1].split(',').map(|code| {
            let code = code.trim();
            match code.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => code.parse().ok(),
            }
        });
        let letters: Option<String> = codes.map(|code| code.and_then(character)).collect();
        letters.map_or_else(|| found[0].to_owned(), |letters| format!("\"{letters}\""))
    });
    replace(&CODE, &|found| {
        let letter = found[1].parse().ok().and_then(character);
        letter.map_or_else(|| found[0].to_owned(), |letter| format!("\"{letter}\""))
    });
    replace(&JOINED_LIST, &|found| {
        let items = found.get(1).or_else(|| found.get(2)).map_or("", |items| items.as_str());
        let joined = BETWEEN_ITEMS
            .as_ref()
            .map_or(Cow::Borrowed(items), |between| between.replace_all(items.trim(), ""));
        format!("\"{joined}\"")
    });
    replace(&TURNED, &|found| {
        let text = found.get(1).or_else(|| found.get(2)).map_or("", |text| text.as_str());
        format!("\"{}\"", text.chars().rev().collect::<String>())
    });
    if let Some(joins) = JOINS.as_ref() {
        let mut joined = String::with_capacity(text.len());
        let (mut from, mut is_open) = (0, None::<char>);
        // Only what stands between the end of one literal and the beginning of the next.
        let mut skip = 0;
        for (at, c) in text.char_indices() {
            if at < skip {
                continue;
            }
            match is_open {
                None if matches!(c, '"' | '\'' | '`') => is_open = Some(c),
                Some(quote) if c == quote => {
                    let next = joins.captures(&text[at..]).filter(|next| {
                        next.get(0).is_some_and(|next| next.start() == 0 && next.len() > 1)
                    });
                    match next {
                        Some(next) => {
                            let end = at + next[0].len();
                            joined.push_str(&text[from..at]);
                            (from, skip) = (end, end);
                            is_open = next[2].chars().next();
                        }
                        None => is_open = None,
                    }
                }
                Some(_) | None => {}
            }
        }
        joined.push_str(&text[from..]);
        text = Cow::Owned(joined);
    }
    (text != line).then(|| text.into_owned())
}

/// Words that make a program of a text, or reach what runs it.
static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(
        r"\b(eval|exec|execfile|execSync|spawnSync|popen|subprocess|child_process|system|__import__|builtins|__builtins__|globals|compile|Function|getattr|setattr|import\s+os|unittest|pytest|curl|wget|powershell|/bin/(?:ba|z)?sh|mkfifo|authorized_keys|id_rsa|rm\s+-rf|chmod|process\.\w+|os\.environ|socket|urllib|requests|passthru|shell_exec|assert)\b|\|\s*(?:ba)?sh\b",
    )
});

/// A word that the line only has when its parts are read as one.
pub(super) fn hidden_word(line: &str) -> Option<String> {
    let read = read(line)?;
    let words = WORDS.as_ref()?;
    words
        .find_iter(&read)
        .map(|word| word.as_str())
        .find(|word| !line.contains(word))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_is_read() {
        for (line, expect) in [
            (r#"f("\x65\x76\x61\x6c")"#, r#"f("eval")"#),
            ("f('unit' + 'test')", "f('unittest')"),
            (r#"g[["ev","al"].join("")]"#, r#"g["eval"]"#),
            (r#"f("".join(map(chr,[101,118])))"#, r#"f("ev""#),
            ("f('lave'[::-1])", "f(\"eval\")"),
            ("$f='sys'.'tem';", "$f='system';"),
            ("x = chr(101) + chr(118)", "x = \"ev\""),
        ] {
            assert_eq!(read(line).as_deref(), Some(expect), "{line}");
        }
        for line in ["f('a', 'b')", "x = ''", "if a == 'b' and c == 'd':", r#"r"\d+\x1b""#] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn a_word_in_parts_is_found() {
        for line in [
            r#"os.x("\x63\x75\x72\x6c\x20\x78\x7c\x73\x68")"#,
            "importlib.import_module('unit' + 'test')",
            r#"(globalThis as any)[["ev","al"].join("")]("x")"#,
            r#"__x__["".join(map(chr,[101,120,101,99]))]()"#,
            "$f='sys'.'tem'; $f($x);",
        ] {
            assert!(hidden_word(line).is_some(), "{line}: {:?}", read(line));
        }
        for line in [
            "subprocess.run(['a', 'b'])",
            "x = 'file' + 'system'",
            "log('exec' + 'ution')",
            "print('a ' 'b')",
            r#"magic = b"\x89PNG\x0d\x0a""#,
        ] {
            assert_eq!(hidden_word(line), None, "{line}: {:?}", read(line));
        }
    }
}
