//! Secrets on the line below their name: a block of YAML, a value that was moved to the next line.

use std::ops::Range;

use greenloop_model::names_secret;

use super::assignment::is_placeholder;

/// Lines of one block.
const MOST_LINES: usize = 32;

/// The end of a line whose value is on the next line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// `password: |`: every line that is indented more.
    Block,
    /// `password:`: one line that is indented more.
    Key,
    /// `PASSWORD=`: one line.
    Variable,
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count()
}

/// The line's opening, if it is no more than the name of a secret and what announces its value.
fn opening(line: &[u8]) -> Option<Opening> {
    let line = line.trim_ascii_end();
    let (opening, name) = match line {
        [name @ .., b':'] => (Opening::Key, name),
        [name @ .., b'='] => (Opening::Variable, name),
        [.., b'|' | b'>' | b'-' | b'+'] => {
            let at = memchr::memrchr(b':', line)?;
            let (name, announced) = line.split_at(at);
            let block = announced.get(1..)?.trim_ascii();
            let block = block.strip_suffix(b"-").or(block.strip_suffix(b"+")).unwrap_or(block);
            (Opening::Block, matches!(block, b"|" | b">").then_some(name)?)
        }
        _ => return None,
    };
    let name = name.trim_ascii();
    let name = name.strip_prefix(b"- ").or(name.strip_prefix(b"export ")).unwrap_or(name);
    let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
    let is_name = name.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
    (is_name && names_secret(std::str::from_utf8(name).ok()?)).then_some(opening)
}

/// Whether the value of the name on this line may be on the next line.
pub(super) fn is_open(line: &[u8]) -> bool {
    opening(line).is_some()
}

/// Values on the line below their names.
pub(super) fn secrets(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        let line = text.get(from..end).unwrap_or_default();
        from = end + 1;
        if let Some(opening) = opening(line) {
            values(text, from, indent(line), opening, &mut found);
        }
    }
    found
}

fn values(
    text: &[u8],
    mut from: usize,
    least: usize,
    opening: Opening,
    found: &mut Vec<Range<usize>>,
) {
    let lines = text.get(from..).unwrap_or_default().split(|byte| *byte == b'\n');
    for line in lines.take(if opening == Opening::Block { MOST_LINES } else { 1 }) {
        let indent = indent(line);
        let value = line.trim_ascii();
        if opening != Opening::Variable && !value.is_empty() && indent <= least {
            return;
        }
        let start = from + indent;
        let quoted = value.strip_suffix(b",").unwrap_or(value);
        let (inner, offset) = match quoted {
            [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => (inner, 1),
            _ => (quoted, 0),
        };
        if is_value(inner, opening, offset > 0) {
            found.push(start + offset..start + offset + inner.len());
        }
        from += line.len() + 1;
    }
}

/// Whether the line below a name is its value, and not the next key or variable.
fn is_value(value: &[u8], opening: Opening, quoted: bool) -> bool {
    let mixed = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    let one = !value.iter().any(u8::is_ascii_whitespace);
    let names = value.iter().any(|byte| b"=:(){}/".contains(byte));
    !is_placeholder(value)
        && match opening {
            Opening::Block => value.len() >= 4,
            Opening::Key => one && value.len() >= 4 && (quoted || mixed && !names),
            Opening::Variable => one && value.len() >= 8 && mixed && !names,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_below_its_name_is_found() {
        for (text, expect) in [
            ("password: |\n  two words\n  more\nnext: 1\n", &["two words", "more"][..]),
            ("db:\n  password: >-\n    hunter\n  port: 1\n", &["hunter"]),
            ("{\n  \"password\":\n    \"correct horse\",\n}\n", &[]),
            ("{\n  \"password\":\n    \"hunter2\",\n}\n", &["hunter2"]),
            ("  - api_token:\n      abc123def\n", &["abc123def"]),
            ("DB_PASSWORD=\r\nhunter2hunter9\r\n", &["hunter2hunter9"]),
            // What comes after a name without a value.
            ("DB_PASSWORD=\nDB_HOST2=shop\n", &[]),
            ("DB_PASSWORD=\nready\n", &[]),
            ("password:\nport2\n", &[]),
            ("credentials:\n  username\n", &[]),
            ("credentials:\n  user2: shop\n", &[]),
            ("unexpected token:\n  ident1fier\n", &[]),
            ("password: |\n  ${DB_PASSWORD}\n", &[]),
            ("rows: |\n  hunter2hunter9\n", &[]),
            ("token_file:\n  run2\n", &[]),
        ] {
            let found = secrets(text.as_bytes());
            let found: Vec<&str> = found.into_iter().map(|span| &text[span]).collect();
            assert_eq!(found, expect, "{text}");
        }
    }
}
