//! Ways to read a text in which words do not hide: each [`View`] undoes some of what can stand
//! between the letters of a word (escapes, look-alike letters, comments, string joins, quotes,
//! continued lines), and remembers which line each byte came from.
//!
//! No single reading is right for every language, and each could be misled by a text made for
//! it; a word counts when any view shows it. All are linear in the text.

/// The longest stretch between two string literals that is still a join.
const MAX_JOIN: usize = 400;

/// Calls that put one literal after another.
const JOINING_CALLS: &[&str] =
    &[".args(", ".arg(", ".append(", ".push(", ".push_str(", ".concat(", ".add("];

/// A character and its 0-based line.
type Glyph = (char, u32);

/// One reading of a text: white space is a single space, or a newline where it had one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub text: String,
    /// For each byte of it, its 0-based line in the file.
    lines: Vec<u32>,
}

impl View {
    fn of(glyphs: &[Glyph]) -> Self {
        let mut text = String::with_capacity(glyphs.len());
        let mut lines = Vec::with_capacity(glyphs.len());
        let mut index = 0;
        while let Some((c, line)) = glyphs.get(index).copied() {
            if !c.is_whitespace() {
                text.push(c);
                lines.resize(text.len(), line);
                index += 1;
                continue;
            }
            let run = glyphs[index..].iter().take_while(|(c, _)| c.is_whitespace());
            let (mut length, mut newline) = (0, false);
            for (c, _) in run {
                length += 1;
                newline |= *c == '\n';
            }
            text.push(if newline { '\n' } else { ' ' });
            lines.push(line);
            index += length;
        }
        Self { text, lines }
    }

    /// The line of the byte at `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.get(offset).or(self.lines.last()).map_or(0, |line| *line as usize)
    }
}

/// Calls `look` with every reading of `bytes`; the same reading is not shown twice in a row.
pub(super) fn views(bytes: &[u8], mut look: impl FnMut(&View)) {
    let raw = fold(bytes);
    let decoded = decode_escapes(&raw);
    let bare = strip_comments(&decoded);
    let mut last: Option<View> = None;
    let mut show = |glyphs: &[Glyph]| {
        let view = View::of(glyphs);
        if last.as_ref() != Some(&view) {
            look(&view);
        }
        last = Some(view);
    };
    show(&raw);
    show(&decoded);
    show(&bare);
    for text in [&decoded, &bare] {
        show(&join(text, ""));
        show(&join(text, " "));
    }
    show(&without_quotes(&raw));
    show(&without_quotes(&strip_comments(&raw)));
}

/// Decodes UTF-8, drops what is invisible, and replaces letters that only look like ASCII.
fn fold(bytes: &[u8]) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(bytes.len());
    let mut line = 0;
    for c in String::from_utf8_lossy(bytes).chars() {
        if let Some(c) = ascii_like(c) {
            glyphs.push((c, line));
        }
        if c == '\n' {
            line += 1;
        }
    }
    glyphs
}

/// The ASCII character that `c` looks like, `c` itself, or nothing when it is invisible.
fn ascii_like(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c);
    }
    let code = c as u32;
    let offset = |base: u32, start: char| char::from_u32(start as u32 + (code - base));
    match code {
        // Soft hyphen, joiners, zero-width, direction marks, variation selectors, tags.
        0xAD
        | 0x34F
        | 0x61C
        | 0x180B..=0x180E
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x206F
        | 0xFE00..=0xFE0F
        | 0xFEFF
        | 0xE0000..=0xE0FFF => None,
        // Combining marks.
        0x300..=0x36F => None,
        0xFF01..=0xFF5E => offset(0xFF01, '!'),
        // Mathematical alphabets: thirteen of 52 letters each.
        0x1D400..=0x1D6A3 => {
            let letter = (code - 0x1D400) % 52;
            let start = if letter < 26 { 'A' as u32 } else { 'a' as u32 - 26 };
            char::from_u32(start + letter)
        }
        0x24B6..=0x24CF => offset(0x24B6, 'A'),
        0x24D0..=0x24E9 => offset(0x24D0, 'a'),
        0x2010..=0x2015 | 0x2212 => Some('-'),
        _ if c.is_whitespace() => Some(' '),
        _ => Some(LOOK_ALIKES.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)),
    }
}

/// Cyrillic, Greek and a few other letters that are drawn like ASCII ones.
const LOOK_ALIKES: &[(char, char)] = &[
    ('А', 'A'),
    ('В', 'B'),
    ('С', 'C'),
    ('Е', 'E'),
    ('Н', 'H'),
    ('І', 'I'),
    ('Ј', 'J'),
    ('К', 'K'),
    ('М', 'M'),
    ('О', 'O'),
    ('Р', 'P'),
    ('Ѕ', 'S'),
    ('Т', 'T'),
    ('Х', 'X'),
    ('У', 'Y'),
    ('а', 'a'),
    ('с', 'c'),
    ('ԁ', 'd'),
    ('е', 'e'),
    ('һ', 'h'),
    ('і', 'i'),
    ('ј', 'j'),
    ('ӏ', 'l'),
    ('о', 'o'),
    ('р', 'p'),
    ('ѕ', 's'),
    ('х', 'x'),
    ('у', 'y'),
    ('Α', 'A'),
    ('Β', 'B'),
    ('Ε', 'E'),
    ('Ζ', 'Z'),
    ('Η', 'H'),
    ('Ι', 'I'),
    ('Κ', 'K'),
    ('Μ', 'M'),
    ('Ν', 'N'),
    ('Ο', 'O'),
    ('Ρ', 'P'),
    ('Τ', 'T'),
    ('Υ', 'Y'),
    ('Χ', 'X'),
    ('ο', 'o'),
    ('ν', 'v'),
    ('α', 'a'),
    ('ı', 'i'),
    ('ꭱ', 'R'),
    ('Ꭰ', 'D'),
    ('Ꮲ', 'P'),
    ('ſ', 's'),
    ('K', 'K'),
    ('ʀ', 'r'),
    ('ᴅ', 'd'),
    ('ᴏ', 'o'),
    ('ᴘ', 'p'),
    ('“', '"'),
    ('”', '"'),
    ('‘', '\''),
    ('’', '\''),
];

/// Undoes `\x44`, `\u0044`, `\u{44}`, `\104`, `\n`, `\t`, `\r`, `&#x44;`, and joins lines that
/// end in `\`, `` ` `` or `^`.
fn decode_escapes(glyphs: &[Glyph]) -> Vec<Glyph> {
    let mut out = Vec::with_capacity(glyphs.len());
    let mut index = 0;
    while let Some((c, line)) = glyphs.get(index).copied() {
        let rest = &glyphs[index + 1..];
        if matches!(c, '\\' | '`' | '^')
            && let Some(length) = line_end(rest)
        {
            index += 1 + length;
            continue;
        }
        let decoded = match c {
            '\\' => escape(rest),
            '&' => entity(rest),
            _ => None,
        };
        let (c, length) = decoded.unwrap_or((c, 0));
        if let Some(c) = ascii_like(c) {
            out.push((c, line));
        }
        index += 1 + length;
    }
    out
}

/// The length of `\n` or `\r\n` at the start.
fn line_end(glyphs: &[Glyph]) -> Option<usize> {
    match glyphs {
        [('\n', _), ..] => Some(1),
        [('\r', _), ('\n', _), ..] => Some(2),
        _ => None,
    }
}

/// What follows a backslash: the character and how many glyphs it took.
fn escape(rest: &[Glyph]) -> Option<(char, usize)> {
    let kind = rest.first()?.0;
    match kind {
        'n' => Some(('\n', 1)),
        't' | 'r' => Some((' ', 1)),
        'x' => number(&rest[1..], 16, 2, 2).map(|(c, n)| (c, n + 1)),
        'u' if rest.get(1)?.0 == '{' => {
            let (c, n) = number(&rest[2..], 16, 1, 6)?;
            (rest.get(2 + n)?.0 == '}').then_some((c, n + 3))
        }
        'u' => number(&rest[1..], 16, 4, 4).map(|(c, n)| (c, n + 1)),
        'U' => number(&rest[1..], 16, 8, 8).map(|(c, n)| (c, n + 1)),
        '0'..='7' => number(rest, 8, 3, 3),
        _ => None,
    }
}

/// What follows an ampersand: `#68;` or `#x44;`.
fn entity(rest: &[Glyph]) -> Option<(char, usize)> {
    if rest.first()?.0 != '#' {
        return None;
    }
    let (skip, radix) = if matches!(rest.get(1)?.0, 'x' | 'X') { (2, 16) } else { (1, 10) };
    let (c, n) = number(&rest[skip..], radix, 2, 6)?;
    (rest.get(skip + n)?.0 == ';').then_some((c, skip + n + 1))
}

fn number(glyphs: &[Glyph], radix: u32, least: usize, most: usize) -> Option<(char, usize)> {
    let mut value = 0;
    let mut length = 0;
    for (c, _) in glyphs.iter().take(most) {
        let Some(digit) = c.to_digit(radix) else { break };
        value = value * radix + digit;
        length += 1;
    }
    (length >= least).then(|| char::from_u32(value))?.map(|c| (c, length))
}

fn at(glyphs: &[Glyph], index: usize, text: &str) -> bool {
    text.chars().enumerate().all(|(i, c)| glyphs.get(index + i).is_some_and(|g| g.0 == c))
}

/// Block comments become a space, line comments end where their line does. What stands in a
/// comment that some MySQL versions run (`/*!50000 … */`) stays.
fn strip_comments(glyphs: &[Glyph]) -> Vec<Glyph> {
    let mut out: Vec<Glyph> = Vec::with_capacity(glyphs.len());
    let mut index = 0;
    // Once there is no further end, later beginnings need no search: this keeps it linear.
    let (mut no_block_end, mut no_markup_end) = (false, false);
    while let Some((c, line)) = glyphs.get(index).copied() {
        let word_before = out.last().is_some_and(|(c, _)| c.is_alphanumeric());
        let blank_before = out.last().is_none_or(|(c, _)| c.is_whitespace());
        if at(glyphs, index, "/*!") {
            out.push((' ', line));
            index += 3;
            while glyphs.get(index).is_some_and(|(c, _)| c.is_ascii_digit()) {
                index += 1;
            }
            continue;
        }
        if at(glyphs, index, "*/") {
            out.push((' ', line));
            index += 2;
            continue;
        }
        if at(glyphs, index, "/*") && !no_block_end {
            if let Some(end) = find(glyphs, index + 2, "*/") {
                out.push((' ', line));
                index = end + 2;
                continue;
            }
            no_block_end = true;
        }
        if at(glyphs, index, "<!--") && !no_markup_end {
            if let Some(end) = find(glyphs, index + 4, "-->") {
                out.push((' ', line));
                index = end + 3;
                continue;
            }
            no_markup_end = true;
        }
        let after = glyphs.get(index + 2).map(|(c, _)| *c);
        let line_comment = (c == '#' && blank_before)
            || (at(glyphs, index, "//") && out.last().is_none_or(|(c, _)| *c != ':'))
            || (at(glyphs, index, "--") && (word_before || after.is_none_or(char::is_whitespace)));
        if line_comment {
            while glyphs.get(index).is_some_and(|(c, _)| *c != '\n') {
                index += 1;
            }
            continue;
        }
        out.push((c, line));
        index += 1;
    }
    out
}

fn find(glyphs: &[Glyph], from: usize, text: &str) -> Option<usize> {
    (from..glyphs.len()).find(|index| at(glyphs, *index, text))
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

/// Puts literals that follow one another together, `between` instead of what joined them:
/// `"DR" + "OP"`, `'rm' ' -rf'`, `"rm", "-rf"`, `"a" . "b"`, `"a" || "b"`, `"a"\n"b"`.
fn join(glyphs: &[Glyph], between: &str) -> Vec<Glyph> {
    let mut out = Vec::with_capacity(glyphs.len());
    let mut index = 0;
    while let Some((c, line)) = glyphs.get(index).copied() {
        if is_quote(c)
            && let Some(next) = joined_literal(glyphs, index + 1)
        {
            out.extend(between.chars().map(|c| (c, line)));
            index = next;
            continue;
        }
        out.push((c, line));
        index += 1;
    }
    out
}

/// Where the text of the next literal begins, when only a join stands before it.
fn joined_literal(glyphs: &[Glyph], from: usize) -> Option<usize> {
    let mut index = from;
    while index < from + MAX_JOIN {
        let (c, _) = *glyphs.get(index)?;
        if is_quote(c) {
            return Some(index + 1);
        }
        if let Some(call) = JOINING_CALLS.iter().find(|call| at(glyphs, index, call)) {
            index += call.len();
            continue;
        }
        let glue = c.is_whitespace()
            || matches!(c, '+' | '.' | '&' | '|' | '~' | ',' | '\\' | '(' | ')' | '[' | ']')
            || matches!(c, '{' | '}' | '$' | '%' | '<' | '@' | ';' | '=');
        let prefix = matches!(c, 'f' | 'F' | 'r' | 'R' | 'b' | 'B' | 'u' | 'U' | 'L' | 'c')
            && glyphs.get(index + 1..)?.iter().take(2).any(|(c, _)| is_quote(*c));
        if !glue && !prefix {
            return None;
        }
        index += 1;
    }
    None
}

/// As a shell puts a word together: `r''m`, `"r"m`, `r\m`.
fn without_quotes(glyphs: &[Glyph]) -> Vec<Glyph> {
    let mut out = Vec::with_capacity(glyphs.len());
    let mut index = 0;
    while let Some((c, line)) = glyphs.get(index).copied() {
        index += 1;
        if c == '\\' {
            index += line_end(&glyphs[index..]).unwrap_or(0);
        } else if !is_quote(c) {
            out.push((c, line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, usize)> {
        let mut seen = Vec::new();
        views(text.as_bytes(), |view| {
            seen.push((view.text.clone(), view.line(view.text.len().saturating_sub(1))));
        });
        seen
    }

    #[test]
    fn some_view_shows_the_word() {
        for text in [
            "DROP TABLE",
            "DROP\n\t TABLE",
            "DROP/**/TABLE",
            "DROP/* a\n b */TABLE",
            "DROP -- x\nTABLE",
            "DROP--\nTABLE",
            "DROP # x\nTABLE",
            "/*!50000DROP*/ TABLE",
            "\"DR\" + \"OP TABLE\"",
            "'DR' 'OP' \" TABLE\"",
            "\"DR\"\n  f\"OP TABLE\"",
            "\"DROP\", \"TABLE\"",
            "D\\\nROP TABLE",
            "\\x44ROP TABLE",
            "\\u0044\\u{52}\\117P TABLE",
            "DROP\\nTABLE",
            "ＤＲＯＰ　ＴＡＢＬＥ",
            "D\u{200b}ROP TABLE",
            "DRОP TABLE",
            "D''ROP \"TAB\"LE",
            "&#68;ROP TABLE",
            "𝐃𝐑𝐎𝐏 TABLE",
        ] {
            let views = shown(text);
            assert!(
                views.iter().any(|(view, _)| {
                    view.split_whitespace().collect::<Vec<_>>().join(" ").contains("DROP TABLE")
                }),
                "{text:?}: {views:#?}"
            );
        }
    }

    #[test]
    fn lines_are_kept() {
        let views = shown("a\n\"DR\" +\n\"OP\" b");
        assert!(views.iter().all(|(_, line)| *line == 2), "{views:?}");
    }

    #[test]
    fn hostile_texts_stay_linear() {
        for unit in ["/*", "\"", "\" + ", "\\", "<!--", "&#", "''"] {
            let text = unit.repeat(200_000 / unit.len());
            let mut shown = 0;
            views(text.as_bytes(), |view| shown += view.text.len());
            assert!(shown <= 32 * text.len(), "{unit:?}: {shown} bytes of {}", text.len());
        }
    }
}
