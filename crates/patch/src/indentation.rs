//! How the answer's indentation stands to the file's, and the same for the lines it adds.

/// A way from the answer's indentation to the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shift {
    /// They are the same.
    None,
    /// The file has this much more.
    More(Vec<u8>),
    /// The answer has this much more.
    Less(Vec<u8>),
    /// Tabs in one stand for this many spaces in the other, and the file's lines begin this
    /// many columns further to the right.
    Columns { tab: usize, right: isize, file_has_tabs: bool },
    /// Each indentation of the answer has one of the file, by example.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
}

fn columns(indent: &[u8], tab: usize) -> usize {
    indent.iter().fold(0, |at, b| if *b == b'\t' { (at / tab + 1) * tab } else { at + 1 })
}

impl Shift {
    /// The one shift that is true of all pairs (answer's indentation, file's indentation) of
    /// lines that are not blank.
    pub(super) fn uniform(pairs: &[(&[u8], &[u8])]) -> Option<Self> {
        let (first_answer, first_file) = pairs.first()?;
        if pairs.iter().all(|(answer, file)| answer == file) {
            return Some(Self::None);
        }
        let candidates = [
            first_file
                .strip_suffix(*first_answer)
                .filter(|more| !more.is_empty())
                .map(|more| Self::More(more.to_vec())),
            first_answer
                .strip_suffix(*first_file)
                .filter(|less| !less.is_empty())
                .map(|less| Self::Less(less.to_vec())),
        ];
        let holds = |shift: &Self| {
            pairs.iter().all(|(answer, file)| shift.apply(answer).as_deref() == Some(*file))
        };
        if let Some(shift) = candidates.into_iter().flatten().find(|shift| holds(shift)) {
            return Some(shift);
        }
        let file_has_tabs = pairs.iter().any(|(_, file)| file.contains(&b'\t'));
        let answer_has_tabs = pairs.iter().any(|(answer, _)| answer.contains(&b'\t'));
        if file_has_tabs == answer_has_tabs {
            return None;
        }
        // Without a shift first: a tab for four spaces is likelier than a tab for eight, moved.
        let mut fitting = [4, 2, 8, 3]
            .into_iter()
            .map(|tab| {
                let right = columns(first_file, tab) as isize - columns(first_answer, tab) as isize;
                Self::Columns { tab, right, file_has_tabs }
            })
            .filter(holds)
            .collect::<Vec<_>>();
        fitting.sort_by_key(|shift| !matches!(shift, Self::Columns { right: 0, .. }));
        fitting.into_iter().next()
    }

    /// The map from the answer's indentations to the file's, when it is one: the same
    /// indentation never stands for two, and deeper stays deeper.
    pub(super) fn by_example(pairs: &[(&[u8], &[u8])]) -> Option<Self> {
        let mut map: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (answer, file) in pairs {
            match map.iter().find(|(known, _)| known == answer) {
                Some((_, known)) if known == file => {}
                Some(_) => return None,
                None => map.push((answer.to_vec(), file.to_vec())),
            }
        }
        map.sort_by_key(|(answer, _)| columns(answer, 4));
        let rises = map.windows(2).all(|pair| {
            columns(&pair[0].0, 4) < columns(&pair[1].0, 4)
                && columns(&pair[0].1, 4) < columns(&pair[1].1, 4)
        });
        rises.then_some(Self::Map(map))
    }

    /// The file's indentation for one of the answer's; `None` when it cannot be known.
    pub(super) fn apply(&self, indent: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::None => Some(indent.to_vec()),
            Self::More(more) => Some([more.as_slice(), indent].concat()),
            Self::Less(less) => indent.strip_prefix(less.as_slice()).map(<[u8]>::to_vec),
            Self::Columns { tab, right, file_has_tabs } => {
                let at = columns(indent, *tab).checked_add_signed(*right)?;
                Some(if *file_has_tabs {
                    let mut tabs = vec![b'\t'; at / tab];
                    tabs.resize(at / tab + at % tab, b' ');
                    tabs
                } else {
                    vec![b' '; at]
                })
            }
            Self::Map(map) => {
                if let Some((_, file)) = map.iter().find(|(answer, _)| answer == indent) {
                    return Some(file.clone());
                }
                if map.iter().all(|(answer, file)| answer == file) {
                    return Some(indent.to_vec());
                }
                scaled(map, indent)
            }
        }
    }

    /// The shift in words; `None` when there is none.
    pub(super) fn describe(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::More(more) => Some(format!("indented {} more", width(more))),
            Self::Less(less) => Some(format!("indented {} less", width(less))),
            Self::Columns { file_has_tabs: true, .. } => Some("tabs for spaces".to_owned()),
            Self::Columns { file_has_tabs: false, .. } => Some("spaces for tabs".to_owned()),
            Self::Map(map) => map
                .iter()
                .any(|(answer, file)| answer != file)
                .then(|| "indented as the file is".to_owned()),
        }
    }
}

fn width(indent: &[u8]) -> String {
    let unit = if indent.iter().all(|b| *b == b'\t') { "tab" } else { "space" };
    let plural = if indent.len() == 1 { "" } else { "s" };
    format!("{} {unit}{plural}", indent.len())
}

/// Two examples with the same ratio make a rule: two spaces a level in the answer, four in the
/// file.
fn scaled(map: &[(Vec<u8>, Vec<u8>)], indent: &[u8]) -> Option<Vec<u8>> {
    let spaces = |text: &[u8]| text.iter().all(|b| *b == b' ');
    let examples: Vec<(usize, usize)> =
        map.iter().map(|(answer, file)| (answer.len(), file.len())).collect();
    let only_spaces =
        spaces(indent) && map.iter().all(|(answer, file)| spaces(answer) && spaces(file));
    let (from, to) = examples.iter().copied().find(|(from, _)| *from > 0)?;
    let deep = examples.iter().filter(|(from, _)| *from > 0).count();
    if !only_spaces || deep < 2 || examples.iter().any(|(a, b)| a * to != b * from) {
        return None;
    }
    (indent.len() * to).is_multiple_of(from).then(|| vec![b' '; indent.len() * to / from])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], added: &str, expect: Option<&str>) {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(a, f)| (a.as_bytes(), f.as_bytes())).collect();
        let shift = Shift::uniform(&pairs).or_else(|| Shift::by_example(&pairs));
        let applied = shift.as_ref().and_then(|shift| shift.apply(added.as_bytes()));
        assert_eq!(applied.as_deref(), expect.map(str::as_bytes), "{pairs:?} {shift:?}");
    }

    #[test]
    fn shifts_added_lines_as_the_others() {
        check(&[("", "    "), ("  ", "      ")], "    ", Some("        "));
        check(&[("    ", ""), ("      ", "  ")], "        ", Some("    "));
        check(&[("\t", ""), ("\t\t", "\t")], "\t\t\t", Some("\t\t"));
        check(&[("    ", "")], "", None);
        check(&[("    ", "\t"), ("        ", "\t\t")], "            ", Some("\t\t\t"));
        check(&[("  ", "\t"), ("    ", "\t\t")], "      ", Some("\t\t\t"));
        check(&[("\t", "    ")], "\t\t", Some("        "));
        check(&[("  ", "    "), ("    ", "        ")], "      ", Some("            "));
        check(&[("", "    "), ("        ", "        ")], "", Some("    "));
    }

    #[test]
    fn knows_what_it_cannot_know() {
        check(&[("    ", "    "), ("    ", "")], "    ", None);
        check(&[("", "    "), ("        ", "        ")], "    ", None);
        check(&[("", ""), ("    ", "")], "", None);
    }
}
