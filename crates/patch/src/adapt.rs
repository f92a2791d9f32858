//! Adapts the lines that an edit adds to the file: where its kept lines differ from the file, the
//! added ones are changed in the same way.

use std::collections::{BTreeMap, HashMap};

use super::edit::{HunkLine, LineOp};
use super::fuzzy_match::{LineEdit, Match, Tolerance};
use super::indentation::Shift;
use super::line_index::{Form, LineIndex};
use super::lines::{indent, is_blank};
use super::normalize::{Family, normalize, plain, trim_end};

/// Why added lines cannot be adapted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdaptError {
    /// Their indentation has no counterpart in the file.
    Indentation,
    /// A block repeats a kept line that the file has otherwise: which of the two is kept is open.
    Repeated,
    /// They hold U+FFFD, which stands for bytes that are not UTF-8.
    NotUtf8,
}

/// The texts of the hunk's added lines, in order.
pub(super) fn adapt(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    steps: &[LineEdit],
    place: &Match,
    is_block: bool,
) -> Result<Vec<Vec<u8>>, AdaptError> {
    let adapted = |shift: &Shift| adapted(file, lines, steps, place, shift, is_block);
    let pairs = pairs(file, lines, steps);
    // Kept lines of a diff may have lost their leading space, or have one too many: when nothing
    // else tells the shift, it may be off by one, and the outcome has to look like the file.
    let unsure = !pairs.iter().any(|pair| !lines[pair.at].after_space);
    match place.tolerance {
        Tolerance::Plain(_) => adapted(&Shift::None),
        Tolerance::ContextSpace(_) if unsure => {
            let shifted = off_by_one(&pairs);
            std::iter::once(Shift::None)
                .chain(shifted)
                .map(|shift| adapted(&shift))
                .find(|texts| texts.as_ref().is_ok_and(|texts| are_usual(file, texts)))
                .unwrap_or(Err(AdaptError::Indentation))
        }
        Tolerance::Shifted | Tolerance::Collapsed | Tolerance::BlankLines(_)
            if unsure && place.shift != Shift::None =>
        {
            adapted(&place.shift).and_then(|texts| {
                if are_usual(file, &texts) { Ok(texts) } else { Err(AdaptError::Indentation) }
            })
        }
        Tolerance::ContextSpace(_)
        | Tolerance::Shifted
        | Tolerance::Collapsed
        | Tolerance::BlankLines(_)
        | Tolerance::BeyondTheFile => adapted(&place.shift),
    }
}

/// The space that all kept lines have too much, or lack.
fn off_by_one(pairs: &[Pair<'_>]) -> Option<Shift> {
    let lacks = |pair: &Pair<'_>| pair.file.strip_prefix(b" ") == Some(pair.answer);
    let exceeds = |pair: &Pair<'_>| pair.answer.strip_prefix(b" ") == Some(pair.file);
    if pairs.iter().all(lacks) {
        Some(Shift::More(b" ".to_vec()))
    } else if pairs.iter().all(exceeds) {
        Some(Shift::Less(b" ".to_vec()))
    } else {
        None
    }
}

fn are_usual(file: &LineIndex<'_>, texts: &[Vec<u8>]) -> bool {
    texts.iter().all(|text| is_blank(text) || is_usual(file, indent(text)))
}

fn adapted(
    file: &LineIndex<'_>,
    lines: &[HunkLine],
    steps: &[LineEdit],
    place: &Match,
    shift: &Shift,
    is_block: bool,
) -> Result<Vec<Vec<u8>>, AdaptError> {
    let exact = place.tolerance == Tolerance::Plain(Form::Exact);
    let pairs = pairs(file, lines, steps);
    let suffix = if exact { Vec::new() } else { extra_suffix(&pairs, lines) };
    let folds = if exact { Vec::new() } else { folded_families(&pairs) };
    let partners = partners(lines);
    let only_adds = lines.iter().all(|line| line.op != LineOp::Remove);
    let moved = moved(file, lines, steps);
    // In a diff the kept line is marked as such; a block leaves it open.
    let mut kept: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
    let may_repeat = is_block && !exact;
    for pair in pairs.iter().filter(|pair| may_repeat && lines[pair.at].op == LineOp::Keep) {
        kept.entry(pair.answer)
            .and_modify(|known| *known = known.filter(|known| *known == pair.file))
            .or_insert(Some(pair.file));
    }
    let differs = |text: &[u8], there: Option<&[u8]>| {
        kept.get(text).is_some_and(|kept| kept.is_none() || *kept != there)
    };
    if moved.iter().any(|(text, there)| differs(text, *there)) {
        return Err(AdaptError::Repeated);
    }
    let mut adapted = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.op == LineOp::Add) {
        if let (false, Some(Some(there))) = (exact, moved.get(line.text.as_slice())) {
            adapted.push(there.to_vec());
            continue;
        }
        let mut text = line.text.as_slice();
        if !suffix.is_empty() && !is_blank(text) {
            text = text.strip_suffix(suffix.as_slice()).unwrap_or(text);
        }
        let partner = partners
            .get(&at)
            .and_then(|removed| pairs.binary_search_by_key(removed, |pair| pair.at).ok())
            .and_then(|position| pairs.get(position));
        // An edit of the indentation alone, at a place that only another indentation leads to:
        // without a line beside it that tells the shift, nothing says which of the two is meant.
        let indents = |pair: &Pair<'_>, text: &[u8]| {
            pair.answer != text && pair.answer.trim_ascii() == text.trim_ascii()
        };
        let told = pairs.iter().any(|pair| {
            lines.iter().all(|line| line.op != LineOp::Add || !indents(pair, &line.text))
        });
        if *shift != Shift::None && !told && partner.is_some_and(|pair| indents(pair, &line.text)) {
            return Err(AdaptError::Indentation);
        }
        let text = match shift {
            _ if exact => text.to_vec(),
            // Examples tell nothing of an indentation that is none of them. Lines that only come
            // have no other: they stand as they are written.
            Shift::Map(_) if only_adds => {
                let reshaped = reworded(text, partner, &folds, shift);
                reshaped.or_else(|_| reworded(text, partner, &folds, &Shift::None))?
            }
            _ => reworded(text, partner, &folds, shift)?,
        };
        if differs(&line.text, Some(text.as_slice())) {
            return Err(AdaptError::Repeated);
        }
        if contains_replacement(&text) && !knows_replacement(file) {
            return Err(AdaptError::NotUtf8);
        }
        adapted.push(text);
    }
    Ok(adapted)
}

/// Whether the file indents so: a line of it does, or its shallowest indentation is a part of it.
fn is_usual(file: &LineIndex<'_>, wanted: &[u8]) -> bool {
    let indents =
        || file.file.lines.iter().filter(|line| !is_blank(line.text)).map(|line| indent(line.text));
    let unit = indents().map(<[u8]>::len).filter(|width| *width > 0).min().unwrap_or(1);
    indents().any(|known| known == wanted) || (unit > 1 && wanted.len().is_multiple_of(unit))
}

fn contains_replacement(text: &[u8]) -> bool {
    memchr::memmem::find(text, "\u{fffd}".as_bytes()).is_some()
}

/// Whether the file itself has the character that stands for bytes that are not UTF-8.
fn knows_replacement(file: &LineIndex<'_>) -> bool {
    file.file.lines.iter().any(|line| contains_replacement(line.text))
}

/// An old line of the hunk and the file's.
#[derive(Debug)]
struct Pair<'a> {
    /// Which line of the hunk.
    at: usize,
    answer: &'a [u8],
    file: &'a [u8],
}

fn pairs<'a>(file: &LineIndex<'a>, lines: &'a [HunkLine], steps: &[LineEdit]) -> Vec<Pair<'a>> {
    lines
        .iter()
        .zip(steps)
        .enumerate()
        .filter_map(|(at, (line, step))| match step {
            LineEdit::Keep(Some(number)) | LineEdit::Remove(number) => {
                Some(Pair { at, answer: &line.text, file: file.text(*number) })
            }
            LineEdit::Keep(None) | LineEdit::Insert(_) => None,
        })
        .filter(|pair| !is_blank(pair.answer))
        .collect()
}

/// The white space that the answer has at the end of every line, added ones included, where the
/// file has none.
fn extra_suffix(pairs: &[Pair<'_>], lines: &[HunkLine]) -> Vec<u8> {
    let suffix = |text: &[u8]| text[trim_end(text).len()..].to_vec();
    let Some(first) = pairs.first().map(|pair| suffix(pair.answer)) else { return Vec::new() };
    let throughout =
        pairs.iter().all(|pair| suffix(pair.answer) == first && suffix(pair.file).is_empty())
            && lines
                .iter()
                .filter(|line| line.op == LineOp::Add && !is_blank(&line.text))
                .all(|line| suffix(&line.text) == first);
    if throughout { first } else { Vec::new() }
}

/// One character, or one sequence of bytes that is none, with what it folds to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    bytes: Vec<u8>,
    family: Option<Family>,
    /// Bytes of the normalized text.
    width: usize,
}

fn units(text: &[u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let bytes = c.to_string().into_bytes();
            let (family, width) = match plain(c) {
                Some((family, plain)) => (Some(family), plain.len()),
                None => (None, bytes.len()),
            };
            units.push(Unit { bytes, family, width });
        }
        if !chunk.invalid().is_empty() {
            let width = '\u{fffd}'.len_utf8();
            units.push(Unit { bytes: chunk.invalid().to_vec(), family: None, width });
        }
    }
    units
}

/// The families of typographic characters that the answer has where the file has plain ones.
fn folded_families(pairs: &[Pair<'_>]) -> Vec<Family> {
    let mut normalized = Vec::new();
    let mut kept = Vec::new();
    for pair in pairs {
        if pair.answer.is_ascii() && pair.file.is_ascii() {
            continue;
        }
        // By where each begins in the normalized text.
        let starts = |text: &[u8]| {
            units(trim_end(text))
                .into_iter()
                .filter(|unit| unit.width > 0)
                .scan(0, |at, unit| {
                    let start = *at;
                    *at += unit.width;
                    Some((start, unit))
                })
                .collect::<BTreeMap<usize, Unit>>()
        };
        let file = starts(pair.file);
        kept.extend(file.values().filter_map(|unit| unit.family));
        if normalize(trim_end(pair.answer)) != normalize(trim_end(pair.file)) {
            // The indentation differs as well; the characters alone are compared.
            let plain_file = file.values().all(|unit| unit.family.is_none());
            let families = starts(pair.answer).into_values().filter_map(|unit| unit.family);
            normalized.extend(families.filter(|_| plain_file));
            continue;
        }
        for (start, unit) in starts(pair.answer) {
            if let (Some(family), Some(other)) = (unit.family, file.get(&start))
                && other.family.is_none()
            {
                normalized.push(family);
            }
        }
    }
    normalized.retain(|family| !kept.contains(family));
    normalized.dedup();
    normalized
}

/// The lines that go, as the answer and as the file has them: one that comes again has only
/// moved. `None` where the answer has one text for several of the file.
fn moved<'a>(
    file: &LineIndex<'a>,
    lines: &'a [HunkLine],
    steps: &[LineEdit],
) -> HashMap<&'a [u8], Option<&'a [u8]>> {
    let mut moved: HashMap<&[u8], Option<&[u8]>> = HashMap::new();
    for (line, step) in lines.iter().zip(steps) {
        if let LineEdit::Remove(at) = step {
            let there = file.text(*at);
            moved
                .entry(line.text.as_slice())
                .and_modify(|known| *known = known.filter(|known| *known == there))
                .or_insert(Some(there));
        }
    }
    moved
}

/// For each added line the removed line it stands for.
fn partners(lines: &[HunkLine]) -> HashMap<usize, usize> {
    let mut partners = HashMap::new();

    let mut at = 0;
    while at < lines.len() {
        let end =
            (at..lines.len()).find(|line| lines[*line].op == LineOp::Keep).unwrap_or(lines.len());
        let of =
            |op: LineOp| (at..end).filter(|line| lines[*line].op == op).collect::<Vec<usize>>();
        let (removed, added) = (of(LineOp::Remove), of(LineOp::Add));
        for (position, add) in added.iter().enumerate() {
            let partner = if removed.len() == added.len() {
                removed.get(position).copied()
            } else {
                // Bounded: only near ones are compared.
                removed
                    .iter()
                    .take(50)
                    .copied()
                    .max_by_key(|old| common(&lines[*old].text, &lines[*add].text))
                    .filter(|old| {
                        let longer = lines[*old].text.len().max(lines[*add].text.len());
                        common(&lines[*old].text, &lines[*add].text) * 2 > longer
                    })
            };
            partners.extend(partner.map(|old| (*add, old)));
        }
        at = end + 1;
    }
    partners
}

/// Bytes that two texts share at their beginning and end.
fn common(a: &[u8], b: &[u8]) -> usize {
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let most = a.len().min(b.len()) - front;
    let back = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    front + back
}

/// The length of the white space a text begins with, typographic spaces included.
fn lead(text: &[u8]) -> usize {
    units(text)
        .iter()
        .take_while(|unit| {
            matches!(unit.bytes.as_slice(), b" " | b"\t")
                || matches!(unit.family, Some(Family::Space | Family::Nothing))
        })
        .map(|unit| unit.bytes.len())
        .sum()
}

/// An added line with the file's own characters where it repeats the line it stands for, plain
/// characters where the answer was seen to write typographic ones, and the file's indentation.
fn reworded(
    text: &[u8],
    partner: Option<&Pair<'_>>,
    folds: &[Family],
    shift: &Shift,
) -> Result<Vec<u8>, AdaptError> {
    let (white, body) = text.split_at(lead(text));
    if body.is_empty() {
        return Ok(text.to_vec());
    }
    let white = flattened(&units(white), folds);
    let white = shift.apply(&white).ok_or(AdaptError::Indentation)?;
    let body_units = units(body);
    let body = match partner {
        Some(pair) if !(pair.answer.is_ascii() && pair.file.is_ascii()) => {
            let answer = trim_end(&pair.answer[lead(pair.answer)..]);
            let file = trim_end(&pair.file[lead(pair.file)..]);
            if are_delimiters(file) && answer.is_ascii() {
                // Typographic quotes where the language wants plain ones: they are what is wrong.
                body.to_vec()
            } else if normalize(answer) == normalize(file) {
                restored(&body_units, &units(answer), &units(file), folds)
            } else {
                flattened(&body_units, folds)
            }
        }
        Some(_) | None => flattened(&body_units, folds),
    };
    Ok([white, body].concat())
}

fn flattened(units: &[Unit], folds: &[Family]) -> Vec<u8> {
    let mut text = Vec::new();
    for unit in units {
        match unit.family.filter(|family| folds.contains(family)) {
            Some(_) => text.extend(normalize(&unit.bytes)),
            None => text.extend_from_slice(&unit.bytes),
        }
    }
    text
}

/// Whether a line has typographic quotes where a literal begins and ends: `print(“hi”)`.
fn are_delimiters(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    if text.contains('"') {
        return false;
    }
    let quote = |c: char| matches!(c, '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}');
    let (Some(open), Some(end)) = (text.find(quote), text.rfind(quote)) else { return false };
    let before = text[..open].trim_end().chars().next_back();
    let after = text[end..].chars().skip(1).find(|c| !c.is_whitespace());
    open < end
        && before.is_some_and(|c| matches!(c, '(' | '=' | '[' | '{'))
        && after.is_none_or(|c| matches!(c, ')' | ',' | ']' | '}' | ';' | '.' | '+'))
}

/// `added` repeats the beginning and the end of `answer`, which stands for `file`: these parts
/// are taken from the file.
fn restored(added: &[Unit], answer: &[Unit], file: &[Unit], folds: &[Family]) -> Vec<u8> {
    // How many units of the file are as wide as these.
    let as_wide = |wanted: usize, units: &mut dyn Iterator<Item = &Unit>| {
        let (mut width, mut count) = (0, 0);
        for unit in units {
            if width == wanted {
                break;
            }
            width += unit.width;
            count += 1;
        }
        (width == wanted).then_some(count)
    };
    let width = |units: &[Unit]| units.iter().map(|unit| unit.width).sum::<usize>();
    let mut front = added.iter().zip(answer).take_while(|(a, b)| a == b).count();
    let file_front = loop {
        if let Some(count) = as_wide(width(&answer[..front]), &mut file.iter()) {
            break count;
        }
        front -= 1;
    };
    let most = added.len().min(answer.len()) - front;
    let mut back =
        added.iter().rev().zip(answer.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let file_back = loop {
        let wanted = width(&answer[answer.len() - back..]);
        match as_wide(wanted, &mut file.iter().rev()) {
            Some(count) if count + file_front <= file.len() => break count,
            Some(_) | None if back == 0 => break 0,
            Some(_) | None => back -= 1,
        }
    };
    let mut text: Vec<u8> =
        file[..file_front].iter().flat_map(|unit| unit.bytes.iter().copied()).collect();
    text.extend(flattened(&added[front..added.len() - back], folds));
    text.extend(file[file.len() - file_back..].iter().flat_map(|unit| unit.bytes.iter().copied()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, file: &[u8], added: &str, expect: &[u8]) {
        let pair = Pair { at: 0, answer: answer.as_bytes(), file };
        let folds = folded_families(std::slice::from_ref(&pair));
        let text = reworded(added.as_bytes(), Some(&pair), &folds, &Shift::None);
        let shown = text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
        assert_eq!(text.as_deref(), Ok(expect), "{answer} {added} {shown:?}");
    }

    #[test]
    fn what_a_line_repeats_comes_from_the_file() {
        check("a = \u{201c}x\u{201d}", b"a = \"x\"", "a = \u{201c}y\u{201d}", b"a = \"y\"");
        check(
            "it's a 'thing'",
            "it\u{2019}s a 'thing'".as_bytes(),
            "it's a 'thong'",
            "it\u{2019}s a 'thong'".as_bytes(),
        );
        check(
            "wait... now",
            "wait\u{2026} now".as_bytes(),
            "wait... then",
            "wait\u{2026} then".as_bytes(),
        );
        check("caf\u{fffd} au lait", b"caf\xe9 au lait", "caf\u{fffd} noir", b"caf\xe9 noir");
        check("a \u{2013} b", b"a - b", "c \u{2014} d", b"c - d");
    }
}
