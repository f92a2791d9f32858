//! Typographic characters and the plain ones that people and models write for them.

/// Families of characters that stand for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    DoubleQuote,
    SingleQuote,
    Dash,
    Space,
    Ellipsis,
    /// Has no width: zero-width spaces, a byte order mark within a file.
    Nothing,
}

/// The family of a character that is not ASCII, and the plain text it stands for.
pub(super) const fn plain(c: char) -> Option<(Family, &'static str)> {
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ff02}' => {
            Some((Family::DoubleQuote, "\""))
        }
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{ff07}' => {
            Some((Family::SingleQuote, "'"))
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            Some((Family::Dash, "-"))
        }
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Some((Family::Space, " "))
        }
        '\u{2026}' => Some((Family::Ellipsis, "...")),
        '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{2060}' | '\u{feff}' => {
            Some((Family::Nothing, ""))
        }
        _ => None,
    }
}

/// `text` with plain characters for typographic ones; bytes that are not UTF-8 become U+FFFD,
/// which is how a model was shown them.
pub(super) fn normalize(text: &[u8]) -> Vec<u8> {
    if text.is_ascii() {
        return text.to_vec();
    }
    let mut normalized = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match plain(c) {
            Some((_, plain)) => normalized.push_str(plain),
            None => normalized.push(c),
        }
    }
    normalized.into_bytes()
}

/// Without the white space at its end.
pub(super) fn trim_end(text: &[u8]) -> &[u8] {
    text.trim_ascii_end()
}

/// Runs of white space as one space each, none at either end.
pub(super) fn collapse(text: &[u8]) -> Vec<u8> {
    let mut collapsed = Vec::with_capacity(text.len());
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if !collapsed.is_empty() {
            collapsed.push(b' ');
        }
        collapsed.extend_from_slice(word);
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_to_plain() {
        for (input, expect) in [
            ("\u{201c}a\u{201d} \u{2013} b\u{2026}", "\"a\" - b..."),
            ("it\u{2019}s\u{a0}so", "it's so"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("a\u{200b}b", "ab"),
        ] {
            assert_eq!(normalize(input.as_bytes()), expect.as_bytes(), "{input}");
        }
        assert_eq!(normalize(b"a\xffb"), "a\u{fffd}b".as_bytes());
    }

    #[test]
    fn collapses_runs() {
        assert_eq!(collapse(b"  a \t b  "), b"a b");
        assert_eq!(collapse(b" \t "), b"");
    }
}
