//! Characters that make a text look other than it is: direction marks, invisible letters, and
//! letters of another alphabet within an identifier.

use super::lines::{Alignment, split};

/// What is hidden on a line that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// 0-based line of the resulting file.
    pub line: usize,
    pub what: &'static str,
}

/// Everything hidden on the lines that are new.
pub(super) fn find(after: &[u8], lines: &Alignment, prose: bool) -> Vec<Hidden> {
    let mut found = Vec::new();
    for (number, line) in split(after).into_iter().enumerate() {
        if line.is_ascii() || !lines.is_added(number) {
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
    (latin && alike > 0) || (letters > 0 && alike == letters && letters < 12)
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
