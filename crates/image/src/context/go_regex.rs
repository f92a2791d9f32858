//! Go's regular expressions, as far as Docker makes them of patterns, in the words of
//! [`regex`]: both come from RE2, but they differ in what stands between brackets and after a
//! backslash.

use std::iter::Peekable;
use std::str::Chars;

/// Why Go would refuse an expression; the text is for a person.
pub(super) type Refusal = &'static str;

/// `expression` with the same meaning for [`regex::Regex`]. Outside of brackets it may hold
/// `^ $ . * ( ) ? | { }` as operators, `\` before anything, and letters.
///
/// # Errors
/// Where Go refuses it; and for `\p`, `\x`, `\Q` and octal escapes, which Go takes and nobody
/// means in a file name.
pub(super) fn translate(expression: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut rest = expression.chars().peekable();
    let mut before = Before::Nothing;
    while let Some(c) = rest.next() {
        let last = std::mem::replace(&mut before, Before::Atom);
        match c {
            '^' | '$' | '.' | ')' => out.push(c),
            '(' | '|' => {
                out.push(c);
                before = Before::Nothing;
            }
            '*' | '?' => {
                out.push(c);
                before = Before::Repetition;
            }
            '{' => match repetition(&mut rest)? {
                Some(count) => {
                    match last {
                        Before::Atom => out.push_str(&count),
                        Before::Nothing => return Err("a repetition has nothing to repeat"),
                        Before::Repetition => return Err("a repetition is repeated"),
                    }
                    before = Before::Repetition;
                }
                None => push(&mut out, c),
            },
            '[' => class(&mut rest, &mut out)?,
            '\\' => match rest.next() {
                Some('b') => out.push_str(r"(?-u:\b)"),
                Some('B') => out.push_str(r"\B"),
                Some('A') => out.push_str(r"\A"),
                Some('z') => out.push_str(r"\z"),
                Some(c) => match escape(c)? {
                    Escape::Char(c) => push(&mut out, c),
                    Escape::Class(class) => out.push_str(class),
                },
                None => return Err("it ends with a backslash"),
            },
            c => push(&mut out, c),
        }
    }
    Ok(out)
}

/// What stands before a place.
enum Before {
    Nothing,
    Atom,
    Repetition,
}

/// `{3}`, `{3,}` or `{3,5}`, of which the opening brace is gone; `None` when it is just a brace.
fn repetition(rest: &mut Peekable<Chars<'_>>) -> Result<Option<String>, Refusal> {
    const MOST: u32 = 1_000;
    let ahead: String = rest.clone().take_while(|c| *c != '}').collect();
    if rest.clone().count() == ahead.chars().count() {
        return Ok(None);
    }
    let (low, high) = match ahead.split_once(',') {
        Some((low, high)) => (low, (!high.is_empty()).then_some(high)),
        None => (ahead.as_str(), None),
    };
    let is_number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0'))
    };
    if !is_number(low) || !high.is_none_or(is_number) {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= MOST);
    match (number(low), high.map(number)) {
        (Some(low), Some(Some(high))) if low <= high => {}
        (Some(_), None) => {}
        (_, _) => return Err("a repetition is out of bounds"),
    }
    for _ in 0..=ahead.len() {
        rest.next();
    }
    Ok(Some(format!("{{{ahead}}}")))
}

enum Escape {
    Char(char),
    Class(&'static str),
}

fn escape(c: char) -> Result<Escape, Refusal> {
    Ok(match c {
        'd' => Escape::Class("[0-9]"),
        'D' => Escape::Class("[^0-9]"),
        's' => Escape::Class(r"[\t\n\x0C\r ]"),
        'S' => Escape::Class(r"[^\t\n\x0C\r ]"),
        'w' => Escape::Class("[0-9A-Za-z_]"),
        'W' => Escape::Class("[^0-9A-Za-z_]"),
        'a' => Escape::Char('\x07'),
        'f' => Escape::Char('\x0c'),
        't' => Escape::Char('\t'),
        'n' => Escape::Char('\n'),
        'r' => Escape::Char('\r'),
        'v' => Escape::Char('\x0b'),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Char(c),
        _ => return Err("a backslash stands before a letter or a digit"),
    })
}

/// What follows an opening bracket, the closing one included.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), Refusal> {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let Some(c) = rest.next() else { return Err("a bracket is not closed") };
        if c == ']' && !first {
            out.push(']');
            return Ok(());
        }
        first = false;
        if c == '['
            && rest.peek() == Some(&':')
            && let Some(name) = posix(rest)?
        {
            out.push_str(&name);
            continue;
        }
        let low = match single(c, rest)? {
            Escape::Char(c) => c,
            Escape::Class(class) => {
                out.push_str(class);
                continue;
            }
        };
        push(out, low);
        // `[a-]` holds an `a` and a hyphen.
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            rest.next();
            let Some(c) = rest.next() else { return Err("a bracket is not closed") };
            let Escape::Char(high) = single(c, rest)? else {
                return Err("a range ends with a class of characters");
            };
            if high < low {
                return Err("a range runs backwards");
            }
            out.push('-');
            push(out, high);
        }
    }
}

fn single(c: char, rest: &mut Peekable<Chars<'_>>) -> Result<Escape, Refusal> {
    match c {
        '\\' => rest.next().map_or(Err("it ends with a backslash"), escape),
        c => Ok(Escape::Char(c)),
    }
}

/// `[:alpha:]`, of which the opening bracket is gone; `None` when it only begins like one.
fn posix(rest: &mut Peekable<Chars<'_>>) -> Result<Option<String>, Refusal> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let ahead: String = rest.clone().skip(1).collect();
    let Some((name, _)) = ahead.split_once(":]") else { return Ok(None) };
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err("there is no such class of characters");
    }
    for _ in 0..name.chars().count() + 3 {
        rest.next();
    }
    Ok(Some(format!("[:{name}:]")))
}

/// `c` and nothing else, inside and outside of brackets.
fn push(out: &mut String, c: char) {
    if c.is_alphanumeric() || c == '/' || c == '_' {
        out.push(c);
    } else {
        out.push_str(&format!(r"\x{{{:X}}}", u32::from(c)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, text: &str, expect: bool) {
        let regex = regex::Regex::new(&translate(expression).unwrap()).unwrap();
        assert_eq!(regex.is_match(text), expect, "{expression} on {text:?}");
    }

    #[test]
    fn brackets_mean_what_they_mean_to_go() {
        for (expression, text, expect) in [
            ("^[a&&b]$", "&", true),
            ("^[a&&b]$", "c", false),
            ("^a{2}$", "aa", true),
            ("^a{2,}$", "a", false),
            ("^a{,2}$", "a{,2}", true),
            ("^a{02}$", "a{02}", true),
            ("^a{x}$", "a{x}", true),
            ("^a{$", "a{", true),
            ("^[{]}$", "{}", true),
            ("^a|b$", "ax", true),
            ("^a|b$", "xb", true),
            ("^[+--]$", ",", true),
            ("^[~~]$", "~", true),
            ("^[[a]$", "[", true),
            ("^[[a]b]$", "ab]", true),
            ("^[!a]$", "!", true),
            ("^[^!a]$", "b", true),
            ("^[[:alpha:]_]$", "q", true),
            ("^[[:^alpha:]]$", "q", false),
            ("^[[:]$", ":", true),
            ("^[a-]$", "-", true),
            (r"^[\]x]$", "]", true),
            (r"^[\d.]$", "7", true),
            (r"^[\d.]$", ".", true),
            (r"^a\d$", "a7", true),
            (r"^a\d$", "ad", false),
            (r"^a\ b$", "a b", true),
            (r"^a\bc$", "abc", false),
            ("^[α-ω]$", "β", true),
            ("^[^/]*$", "a\nb", true),
            ("^.*$", "a\nb", false),
            ("^a#b &~-$", "a#b &~-", true),
        ] {
            check(expression, text, expect);
        }
        for refused in [
            r"\",
            r"\é",
            r"\c",
            "[z-a]",
            "[a--c]",
            "[[:nope:]]",
            "[a",
            "[",
            r"[a-\d]",
            "a*{2}",
            "a|{2}",
            "a{1001}",
            "a{3,2}",
        ] {
            assert!(translate(refused).is_err(), "{refused}");
        }
    }
}
