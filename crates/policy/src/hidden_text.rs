//! Characters that make a text look other than it is: direction marks, invisible letters, and
//! letters of another alphabet within an identifier.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use super::lines::{Alignment, split};
use super::syntax::SourceFile;

/// What is hidden on a line that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// 0-based line of the resulting file.
    pub line: usize,
    pub what: &'static str,
}

/// Everything hidden on the lines that are new.
pub(super) fn find(file: &SourceFile, after: &[u8], lines: &Alignment, prose: bool) -> Vec<Hidden> {
    let mut found = Vec::new();
    for (number, line) in split(after).into_iter().enumerate() {
        if !lines.is_added(number) {
            continue;
        }
        if let Some(what) = reads_otherwise(file, number, line) {
            found.push(Hidden { line: number, what });
            continue;
        }
        if line.is_ascii() {
            continue;
        }
        let text = String::from_utf8_lossy(line);
        let text = if number == 0 { text.trim_start_matches('\u{feff}') } else { &*text };
        if let Some(what) = hides(text, prose) {
            found.push(Hidden { line: number, what });
        }
    }
    found
}

/// The line in which a source says how its bytes are to be read.
static CODING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^[ \t\f]*#.*?(?:en)?coding[:=][ \t]*([-\w.]+)").ok());

/// Ways to read bytes in which ASCII means what it shows.
static PLAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^(utf[-_]?8([-_]?sig)?|(us[-_]?)?ascii(-8bit)?|binary|latin[-_]?\d+|l\d|iso[-_]?8859[-_]\d+|cp\d+|windows[-_]?\d+|koi8[-_]\w|euc[-_]\w+|mac[-_]?roman)([-_](unix|dos|mac))?$",
    )
    .ok()
});

/// Escapes that a compiler reads before anything else, or that stand for letters of a name.
static ESCAPED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"\\u+(?:00(?:0[aAdD]|2[279aAfF]|5[cC]|7[bBdD]|3[bB])\b|\{0*[46-7][0-9a-fA-F]\}|00[46-7][0-9a-fA-F])",
    )
    .ok()
});

/// Languages whose names may hold escapes, and the one that reads them everywhere.
const ESCAPING: &[&str] = &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts", "cs"];
const ESCAPING_EVERYWHERE: &[&str] = &["java", "groovy", "scala", "jsp"];

/// What makes a program read the line otherwise than it shows.
fn reads_otherwise(file: &SourceFile, number: usize, line: &[u8]) -> Option<&'static str> {
    if line.contains(&b'\r') {
        return Some("a carriage return within the line, which some readers take for its end");
    }
    let text = std::str::from_utf8(line).ok()?;
    if number < 2
        && file.has_extension(&["py", "pyw", "pyi", "rb", "pl", "pm", "", "cgi"])
        && let Some(coding) = CODING.as_ref().and_then(|coding| coding.captures(text))
        && PLAIN.as_ref().is_some_and(|plain| !plain.is_match(&coding[1]))
    {
        return Some("an encoding in which letters are read as others");
    }
    let escaped = ESCAPED.as_ref()?;
    if !text.contains("\\u") {
        return None;
    }
    let hides = if file.has_extension(ESCAPING_EVERYWHERE) {
        // Within a literal, letters may be spelt so; what ends it may not.
        let bare = without_texts(text);
        let ends = |text: &str| {
            escaped.find_iter(text).any(|found| {
                let code = found.as_str().trim_start_matches(['\\', 'u', '0']).to_lowercase();
                matches!(code.as_str(), "a" | "d" | "22" | "5c" | "2a" | "2f")
            })
        };
        escaped.is_match(&bare) || ends(text)
    } else if file.has_extension(ESCAPING) {
        let bare = without_texts(text);
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '\\');
        escaped.find_iter(&bare).any(|found| {
            let before = bare[..found.start()].chars().next_back();
            let after = bare[found.end()..].chars().next();
            let letter = found.as_str().contains("004")
                || found.as_str().contains("006")
                || found.as_str().contains("007")
                || found.as_str().contains('{');
            let in_class = before == Some('[') || before == Some('-') || after == Some('-');
            letter
                && !in_class
                && (before.is_some_and(part) || after.is_some_and(part) || after == Some('('))
        })
    } else {
        false
    };
    hides.then_some("an escape in place of a character of the program")
}

/// A line without its quoted texts.
fn without_texts(line: &str) -> String {
    let mut bare = String::with_capacity(line.len());
    let (mut open, mut escaped) = (None, false);
    for c in line.chars() {
        match open {
            Some(quote) => {
                if c == quote && !escaped {
                    open = None;
                }
                escaped = c == '\\' && !escaped;
            }
            None if matches!(c, '"' | '\'' | '`') => open = Some(c),
            None => bare.push(c),
        }
    }
    bare
}

/// What a file's name hides, if anything.
pub(super) fn hides_in_name(name: &str) -> Option<&'static str> {
    // Another system takes it for a folder, and tools that read diffs for an escape.
    hides(name, false).or_else(|| name.contains('\\').then_some("a backslash")).or_else(|| {
        name.split('/')
            .any(is_read_otherwise)
            .then_some("a part that Windows reads as another name")
    })
}

/// Names that Windows takes for another file, or for a device.
fn is_read_otherwise(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().to_lowercase();
    let device = matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || ["com", "lpt"].iter().any(|start| {
            stem.strip_prefix(start)
                .is_some_and(|rest| rest.len() == 1 && rest.parse::<u8>().is_ok())
        });
    // `PACKAG~1.JSO`
    let short = stem.split_once('~').is_some_and(|(name, number)| {
        !name.is_empty() && name.len() <= 6 && !number.is_empty() && number.parse::<u32>().is_ok()
    });
    device
        || short
        || part.ends_with(['.', ' ']) && !part.trim_matches('.').is_empty()
        || part.contains(':')
}

/// What a text hides, if anything; in prose, words of any alphabet stand side by side.
pub(super) fn hides(text: &str, prose: bool) -> Option<&'static str> {
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                return Some("characters that change the direction of text");
            }
            '\u{2028}' | '\u{2029}' => {
                return Some("separators that some readers take for the end of a line");
            }
            // Joiners stand between letters of the scripts that need them, and within emoji.
            '\u{200c}' | '\u{200d}' if !previous.is_ascii() => {}
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{180e}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{e0000}'..='\u{e007f}'
            | '\u{e0100}'..='\u{e01ef}'
            | '\u{fff9}'..='\u{fffb}' => return Some("invisible characters"),
            c if c.is_control() && !matches!(c, '\t' | '\r' | '\u{c}' | '\u{1b}') => {
                return Some("control characters");
            }
            _ => {}
        }
        previous = c;
    }
    if prose {
        return None;
    }
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$') {
        if !word.is_ascii() && mixes_alphabets(word) {
            return Some("a word with letters from different alphabets");
        }
    }
    None
}

/// Letters that look like Latin ones beside Latin ones, or a word that only looks Latin.
fn mixes_alphabets(word: &str) -> bool {
    let latin = word.chars().any(|c| c.is_ascii_alphabetic());
    let alike = word.chars().filter(|c| looks_latin(*c)).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    if is_normalized_to_ascii(word) {
        return true;
    }
    (latin && alike > 0) || (letters > 0 && alike == letters && letters < 12)
}

/// A name that Python, and others, read as another one, in ASCII: `\u{1d5b}erify`. Ordinals such
/// as `1\u{aa}` are ordinary.
fn is_normalized_to_ascii(word: &str) -> bool {
    let strange: Vec<char> = word
        .chars()
        .filter(|c| !c.is_ascii() && c.is_alphabetic() && !matches!(c, '\u{aa}' | '\u{ba}'))
        .collect();
    !strange.is_empty()
        && word.chars().count() > 2
        && word.nfkc().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        && word.nfkc().any(|c| c.is_ascii_alphabetic())
}

/// Letters of other alphabets, and of mathematics, that print like Latin ones.
fn looks_latin(c: char) -> bool {
    matches!(c,
        'а' | 'е' | 'о' | 'р' | 'с' | 'у' | 'х' | 'і' | 'ј' | 'ѕ' | 'ԁ' | 'ԛ' | 'ԝ' | 'һ' | 'ӏ' | 'ɡ'
        | 'А' | 'В' | 'Е' | 'К' | 'М' | 'Н' | 'О' | 'Р' | 'С' | 'Т' | 'У' | 'Х' | 'І' | 'Ј' | 'Ѕ' | 'Ԍ'
        | 'Α' | 'Β' | 'Ε' | 'Ζ' | 'Η' | 'Ι' | 'Κ' | 'Μ' | 'Ν' | 'Ο' | 'Ρ' | 'Τ' | 'Υ' | 'Χ' | 'ο' | 'ν' | 'ι'
        | 'ѵ' | 'ʏ' | 'ᴀ'..='ᴢ' | 'ⅰ'..='ⅿ' | 'Ⅰ'..='Ⅿ'
        | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}'
        | '\u{1d400}'..='\u{1d7ff}' | 'օ' | 'ո' | 'ս' | 'հ' | 'ց' | 'զ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_found() {
        for text in [
            "return a - b  # \u{202e} } \u{2066}if admin\u{2069}",
            "const \u{3164} = require('x')",
            "def аdd(a, b):",
            "db.execute('DRОP TABLE x')",
            "if (user\u{200b}name)",
            "x = 'a\u{ad}b'",
            "Ⅿain()",
            "x\u{8}y",
        ] {
            assert!(hides(text, false).is_some(), "{text:?}");
        }
    }

    #[test]
    fn names_that_another_system_reads_otherwise_are_found() {
        for name in ["package.json.", "a/.vscode /x", "PACKAG~1.JSO", "src/a.py:x", "aux.c", "a\\b"]
        {
            assert!(hides_in_name(name).is_some(), "{name}");
        }
        for name in
            ["src/auxiliary.c", "a~b/c.rs", "console.ts", ".github/x.yml", "com10/a", "a..b"]
        {
            assert_eq!(hides_in_name(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_read_otherwise_is_found() {
        use greenloop_model::RepoPath;
        for (path, text, expect) in [
            ("a.py", "# -*- coding: utf-7 -*-\n", true),
            ("a.py", "#!/usr/bin/python3\n# vim: set fileencoding=rot13 :\n", true),
            ("a.py", "    # compare\r    return True\n", true),
            ("A.java", "  // harmless \\u000a static { x(); }\n", true),
            ("A.java", "String s = \"\\u0022 + f() + \\u0022\";\n", true),
            ("a.js", "ev\\u0061l(x)\n", true),
            ("a.ts", "// note\u{2028}  run();\n", true),
            ("a.py", "get(url, \u{1d5b}erify=False)\n", true),
            ("a.py", "# -*- coding: utf-8 -*-\n", false),
            ("a.py", "# -*- coding: iso-8859-15 -*-\n", false),
            ("a.py", "x = 1\ny = 2\n# coding: see the manual\n", false),
            ("A.java", "String s = \"\\u00e9\\u001b[0m\";\n", false),
            ("a.js", "const re = /[\\u0041-\\u005a]/;\n", false),
            ("a.js", "const s = \"\\u0061\";\n", false),
            ("a.py", "area = '10 m\u{b2}'  # 1\u{aa}, 5 \u{b5}m\n", false),
            ("a.py", "x = 1\r\ny = 2\r\n", false),
        ] {
            let file = SourceFile::new(&RepoPath::new(path).expect("a path"), text.as_bytes());
            let lines = Alignment::new(None, Some(text.as_bytes()));
            let found = find(&file, text.as_bytes(), &lines, false);
            assert_eq!(!found.is_empty(), expect, "{text:?}: {found:?}");
        }
    }

    #[test]
    fn other_languages_are_not_hidden() {
        for text in [
            "print('Привет, мир')",
            "# größer als 3 µm",
            "name = \"日本語\"",
            "// Ελλάδα",
            "emoji = '👨\u{200d}👩\u{200d}👧'",
            "text = 'می\u{200c}خواهم'",
            "Δt = t1 - t0",
            "σ = sqrt(π)",
        ] {
            assert_eq!(hides(text, false), None, "{text:?}");
        }
    }
}
