//! What surrounds a literal of a shape wherever its expression matches.
//!
//! An expression costs about as much as passing over a hundred lines. These tests look at a few
//! bytes, and may say yes too often, but never no where the expression matches and holds.

use std::ops::Range;

/// The text, and where the literal is in it.
pub(super) type Near = fn(&[u8], &Range<usize>) -> bool;

/// A word that is longer is left to the expression.
const LONGEST: usize = 256;

pub(super) fn anything(_: &[u8], _: &Range<usize>) -> bool {
    true
}

fn before<'t>(text: &'t [u8], literal: &Range<usize>) -> &'t [u8] {
    text.get(..literal.start).unwrap_or_default()
}

fn after<'t>(text: &'t [u8], literal: &Range<usize>) -> &'t [u8] {
    text.get(literal.end..).unwrap_or_default()
}

/// How many bytes a text begins with that pass a test; no more than [`LONGEST`] are asked.
fn leading(text: &[u8], passes: impl Fn(u8) -> bool) -> usize {
    text.iter().take(LONGEST).take_while(|byte| passes(**byte)).count()
}

/// The bytes at the end of a text that pass a test, at most [`LONGEST`].
fn trailing(text: &[u8], passes: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().rev().take(LONGEST).take_while(|byte| passes(**byte)).count();
    text.get(text.len() - length..).unwrap_or_default()
}

fn begins_word(text: &[u8], literal: &Range<usize>) -> bool {
    !before(text, literal).last().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_=+/.,~-".contains(&byte)
}

/// The literal begins a word, and `LEAST` bytes of a token come after it.
pub(super) fn token<const LEAST: usize>(text: &[u8], literal: &Range<usize>) -> bool {
    let rest = after(text, literal).get(..LEAST);
    begins_word(text, literal) && rest.is_some_and(|rest| rest.iter().all(|b| is_token(*b)))
}

/// `xox…`; or an address.
pub(super) fn slack(text: &[u8], literal: &Range<usize>) -> bool {
    literal.len() > "xox".len() || token::<11>(text, literal)
}

/// `sk_live_…`.
pub(super) fn stripe(text: &[u8], literal: &Range<usize>) -> bool {
    let kind = matches!(before(text, literal), [.., b's' | b'r' | b'p', b'k']);
    let rest = after(text, literal).get(..16);
    kind && rest.is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
}

/// The literal begins the token, except for two that are inside one.
pub(super) fn service(text: &[u8], literal: &Range<usize>) -> bool {
    let name = text.get(literal.clone()).unwrap_or_default();
    let within = [".atlasv1.", "azdo"];
    within.iter().any(|within| name.eq_ignore_ascii_case(within.as_bytes()))
        || token::<16>(text, literal)
}

/// `1234567890:AA…`.
pub(super) fn bot(text: &[u8], literal: &Range<usize>) -> bool {
    before(text, literal).last().is_some_and(u8::is_ascii_digit)
        && after(text, literal).get(..33).is_some_and(|rest| rest.iter().all(|b| is_token(*b)))
}

/// 86 digits of base64, of which the literal has the last, before `==`.
pub(super) fn base64(text: &[u8], literal: &Range<usize>) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let before = before(text, literal);
    let digits = before.len().checked_sub(85).and_then(|from| before.get(from..));
    digits.is_some_and(|digits| digits.iter().rev().all(digit))
}

/// `://user:password@` or `://token@`.
pub(super) fn user_of_url(text: &[u8], literal: &Range<usize>) -> bool {
    let ends = |byte: u8| byte.is_ascii_whitespace() || b"/@'\"<>".contains(&byte);
    let rest = after(text, literal);
    let length = leading(rest, |byte| !ends(byte));
    length == LONGEST || rest.get(length) == Some(&b'@')
}

/// Whether a name of a variable or key can contain this byte.
fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// The text after the name that contains the literal and an optional quotation mark; `None` if the
/// name is longer than [`LONGEST`].
fn after_name<'t>(text: &'t [u8], literal: &Range<usize>) -> Option<&'t [u8]> {
    let rest = after(text, literal);
    let rest =
        rest.get(leading(rest, in_name)..).filter(|after| rest.len() - after.len() < LONGEST)?;
    Some(match rest {
        [b'"' | b'\'', rest @ ..] => rest,
        rest => rest,
    })
}

/// The literal is part of a name that is followed by `=` or `:`.
pub(super) fn assigned(text: &[u8], literal: &Range<usize>) -> bool {
    after_name(text, literal).is_none_or(|rest| {
        let blanks = leading(rest, |byte| byte.is_ascii_whitespace());
        blanks == LONGEST || matches!(rest.get(blanks), Some(b'=' | b':'))
    })
}

/// The same, or the literal is in a command-line flag that is followed by a blank.
pub(super) fn assigned_or_flag(text: &[u8], literal: &Range<usize>) -> bool {
    let Some(rest) = after_name(text, literal) else { return true };
    match rest {
        [b'=' | b':', ..] => true,
        [blank, b'=', ..] if blank.is_ascii_whitespace() => true,
        [b' ', ..] => {
            let in_flag = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            let name = trailing(before(text, literal), in_flag);
            name.len() == LONGEST || name.windows(2).any(|pair| pair == b"--")
        }
        _ => false,
    }
}

/// The literal is part of a name that a blank comes after.
pub(super) fn named(text: &[u8], literal: &Range<usize>) -> bool {
    after_name(text, literal).is_none_or(|rest| matches!(rest.first(), Some(b' ' | b'\t')))
}

/// `x-api-key:`.
pub(super) fn header(text: &[u8], literal: &Range<usize>) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let name = trailing(before(text, literal), in_name);
    let extension = || name.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"x-"));
    (name.len() == LONGEST || extension()) && assigned(text, literal)
}

/// `using token …`, `password is …`, `secret for shop: …`; the literal ends with a blank.
pub(super) fn prose(text: &[u8], literal: &Range<usize>) -> bool {
    let rest = after(text, literal).trim_ascii_start();
    let verbs: [&[u8]; 4] = [b"is", b"was", b"ist", b"for"];
    let starts = |word: &[u8]| rest.get(..word.len()).is_some_and(|r| r.eq_ignore_ascii_case(word));
    let before = before(text, literal).trim_ascii_end();
    let using = before.len().checked_sub(5).and_then(|from| before.get(from..));
    using.is_some_and(|word| word.eq_ignore_ascii_case(b"using")) || verbs.into_iter().any(starts)
}
