//! A file made ready for finding runs of lines in it.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use super::lines::{Lines, is_blank};
use super::normalize::{collapse, normalize, trim_end};

/// How two lines are held to be the same, ever looser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Byte for byte, but for the line ending.
    Exact,
    /// But for white space at the end.
    Trailing,
    /// And typographic characters count as plain ones.
    Normalized,
    /// And but for the indentation.
    Body,
    /// And every run of white space counts as one space.
    Collapsed,
}

impl Form {
    const COUNT: usize = 5;

    pub(super) fn of(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Exact => text.to_vec(),
            Self::Trailing => trim_end(text).to_vec(),
            Self::Normalized => trim_end(&normalize(text)).to_vec(),
            Self::Body => normalize(text).trim_ascii().to_vec(),
            Self::Collapsed => collapse(&normalize(text)),
        }
    }
}

/// Line comparisons that one file may cost; enough for a megabyte and a hundred hunks, and the
/// end of it for a text made of one line a million times.
const FUEL: u64 = 40_000_000;

/// More places than this are as good as endless.
const MOST_PLACES: usize = 2_000;

/// The search was given up: the file repeats itself too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooRepetitive;

#[derive(Debug)]
struct FormIndex {
    /// Per line, which text it is.
    ids: Vec<u32>,
    texts: HashMap<Vec<u8>, u32>,
    /// Per text, the lines that have it.
    lines: Vec<Vec<u32>>,
}

impl FormIndex {
    fn new<'t>(texts_of_lines: impl Iterator<Item = &'t [u8]>, form: Form) -> Self {
        let mut index = Self { ids: Vec::new(), texts: HashMap::new(), lines: Vec::new() };
        for (number, text) in texts_of_lines.enumerate() {
            let next = index.lines.len() as u32;
            let id = *index.texts.entry(form.of(text)).or_insert(next);
            if id == next {
                index.lines.push(Vec::new());
            }
            index.ids.push(id);
            if let Some(lines) = index.lines.get_mut(id as usize) {
                lines.push(number as u32);
            }
        }
        index
    }
}

/// A line that is looked for: any of these texts.
pub(super) type Wanted = Vec<Vec<u8>>;

/// A file's lines with an index per form, each built when it is first needed.
#[derive(Debug)]
pub(super) struct LineIndex<'a> {
    pub(super) file: Lines<'a>,
    all: [OnceCell<FormIndex>; Form::COUNT],
    /// The lines that are not blank, and the same indexes over these.
    solid: OnceCell<Vec<u32>>,
    solid_indexes: [OnceCell<FormIndex>; Form::COUNT],
    fuel: Cell<u64>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            file: Lines::new(bytes),
            all: Default::default(),
            solid: OnceCell::new(),
            solid_indexes: Default::default(),
            fuel: Cell::new(FUEL),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.file.lines.len()
    }

    /// The text of a line; nothing beyond the end.
    pub(super) fn text(&self, line: usize) -> &'a [u8] {
        self.file.lines.get(line).map_or(b"", |line| line.text)
    }

    /// The lines that are not blank.
    pub(super) fn solid(&self) -> &[u32] {
        self.solid.get_or_init(|| {
            (0..self.len())
                .filter(|line| !is_blank(self.text(*line)))
                .map(|line| line as u32)
                .collect()
        })
    }

    fn index(&self, form: Form) -> &FormIndex {
        self.all[form as usize]
            .get_or_init(|| FormIndex::new(self.file.lines.iter().map(|line| line.text), form))
    }

    fn solid_index(&self, form: Form) -> &FormIndex {
        self.solid_indexes[form as usize].get_or_init(|| {
            FormIndex::new(self.solid().iter().map(|line| self.text(*line as usize)), form)
        })
    }

    /// The lines that have this text, in the given form of both.
    pub(super) fn lines_with(&self, form: Form, text: &[u8]) -> &[u32] {
        let index = self.index(form);
        index
            .texts
            .get(&form.of(text))
            .and_then(|id| index.lines.get(*id as usize))
            .map_or(&[], Vec::as_slice)
    }

    /// Where the wanted lines stand one after the other: the first line of each place.
    pub(super) fn find(&self, form: Form, wanted: &[Wanted]) -> Result<Vec<usize>, TooRepetitive> {
        find(self.index(form), form, wanted, &self.fuel)
    }

    /// The same among the lines that are not blank; the places are indexes into `solid()`.
    pub(super) fn find_solid(
        &self,
        form: Form,
        wanted: &[Wanted],
    ) -> Result<Vec<usize>, TooRepetitive> {
        find(self.solid_index(form), form, wanted, &self.fuel)
    }
}

fn find(
    index: &FormIndex,
    form: Form,
    wanted: &[Wanted],
    fuel: &Cell<u64>,
) -> Result<Vec<usize>, TooRepetitive> {
    let mut ids: Vec<Vec<u32>> = Vec::with_capacity(wanted.len());
    for texts in wanted {
        let mut alternatives: Vec<u32> =
            texts.iter().filter_map(|text| index.texts.get(&form.of(text)).copied()).collect();
        alternatives.sort_unstable();
        alternatives.dedup();
        if alternatives.is_empty() {
            return Ok(Vec::new());
        }
        ids.push(alternatives);
    }
    // The rarest line leads, so that common ones (a brace, a blank) cost nothing.
    let places = |id: &u32| index.lines.get(*id as usize).map_or(&[][..], Vec::as_slice);
    let Some((lead, alternatives)) = ids
        .iter()
        .enumerate()
        .min_by_key(|(_, ids)| ids.iter().map(|id| places(id).len()).sum::<usize>())
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for at in alternatives.iter().flat_map(places) {
        let Some(start) = (*at as usize).checked_sub(lead) else { continue };
        let Some(window) = index.ids.get(start..start + ids.len()) else { continue };
        let same = window.iter().zip(&ids).take_while(|(id, ids)| ids.contains(id)).count();
        let left = fuel.get().checked_sub(same as u64 + 1).ok_or(TooRepetitive)?;
        fuel.set(left);
        if same == ids.len() {
            found.push(start);
            if found.len() > MOST_PLACES {
                return Err(TooRepetitive);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(lines: &[&str]) -> Vec<Wanted> {
        lines.iter().map(|line| vec![line.as_bytes().to_vec()]).collect()
    }

    #[test]
    fn finds_every_place() {
        let file = LineIndex::new(b"a\nb\na\nb\n\nc\n");
        for (lines, expect) in [
            (vec!["a", "b"], vec![0, 2]),
            (vec!["b", "a"], vec![1]),
            (vec!["c"], vec![5]),
            (vec!["c", "d"], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(file.find(Form::Exact, &wanted(&lines)), Ok(expect), "{lines:?}");
        }
        assert_eq!(file.find_solid(Form::Exact, &wanted(&["b", "c"])), Ok(vec![3]));
    }

    #[test]
    fn gives_up_on_endless_repetition() {
        let file = LineIndex::new(&b"a\n".repeat(100_000)).len();
        assert_eq!(file, 100_000);
        let bytes = b"a\nb\n".repeat(50_000);
        let file = LineIndex::new(&bytes);
        let mut lines = ["a", "b"].repeat(2_000);
        lines.extend(["b", "a"]);
        assert_eq!(file.find(Form::Exact, &wanted(&lines)), Err(TooRepetitive));
        assert_eq!(file.find(Form::Exact, &wanted(&["a"])), Err(TooRepetitive));
    }
}
