//! Keeping a prompt within its bounds.

/// One part of a prompt.
#[derive(Debug)]
pub(super) struct Section {
    /// What the data is; a line of its own above it.
    pub(super) heading: String,
    /// The data.
    pub(super) text: String,
    /// The most it may take, in characters.
    pub(super) most: usize,
    /// What is fitted first; the order in the prompt is another matter.
    pub(super) rank: u8,
    /// Which part of a text that is too long is kept.
    pub(super) keep: Keep,
}

impl Section {
    /// A section of which both ends are kept when it is too long.
    pub(super) fn new(heading: &str, text: String, most: usize, rank: u8) -> Self {
        Self { heading: heading.to_owned(), text, most, rank, keep: Keep::Ends }
    }
}

/// Which part of a text that is too long is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The beginning and the end: the middle says least.
    Ends,
    /// The end.
    End,
}

/// A part that would shrink below this is left out.
const LEAST: usize = 300;

/// Fits the sections into `budget` characters, those of low rank first. What does not fit is cut
/// with a notice, or left out; the order stays.
pub(super) fn fit(mut sections: Vec<Section>, budget: usize) -> Vec<Section> {
    let mut order: Vec<usize> = (0..sections.len()).collect();
    order.sort_by_key(|at| sections[*at].rank);
    let mut left = budget;
    for at in order {
        let section = &mut sections[at];
        let most = section.most.min(left);
        let length = section.text.chars().count();
        if length > most {
            let cut = if most < LEAST {
                String::new()
            } else {
                shorten(&section.text, most, section.keep)
            };
            section.text = cut;
        }
        left = left.saturating_sub(section.text.chars().count());
    }
    sections.retain(|section| !section.text.is_empty());
    sections
}

/// At most about `most` characters of `text`, cut between lines where there are any.
pub(super) fn shorten(text: &str, most: usize, keep: Keep) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(60);
    let head = match keep {
        Keep::Ends => room * 3 / 5,
        Keep::End => 0,
    };
    let first = take(text.split_inclusive('\n'), head, false);
    let rest = &text[first.len()..];
    let lines: Vec<&str> = rest.split_inclusive('\n').collect();
    let last = take(lines.iter().rev().copied(), room - head, true);
    let last = &rest[rest.len() - last.len()..];
    let left_out = &rest[..rest.len() - last.len()];
    let lines = left_out.lines().count();
    let newline = if first.is_empty() || first.ends_with('\n') { "" } else { "\n" };
    format!("{first}{newline}[… {lines} lines left out …]\n{last}")
}

/// Whole lines up to `most` characters; a piece of the first line when even that is longer.
fn take<'a>(lines: impl Iterator<Item = &'a str>, most: usize, from_end: bool) -> String {
    let mut taken: Vec<&str> = Vec::new();
    let mut left = most;
    for line in lines {
        let length = line.chars().count();
        if length > left {
            if taken.is_empty() {
                let cut = if from_end {
                    let skip = length - left;
                    line.char_indices().nth(skip).map_or("", |(at, _)| &line[at..])
                } else {
                    line.char_indices().nth(left).map_or(line, |(at, _)| &line[..at])
                };
                taken.push(cut);
            }
            break;
        }
        left -= length;
        taken.push(line);
    }
    if from_end {
        taken.reverse();
    }
    taken.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str, most: usize, rank: u8) -> Section {
        Section::new("", text.to_owned(), most, rank)
    }

    #[test]
    fn what_matters_most_is_fitted_first() {
        let long = "line\n".repeat(200);
        let sections = vec![section(&long, 2_000, 2), section(&long, 2_000, 1), section("x", 9, 0)];
        let fitted = fit(sections, 1_400);
        assert_eq!(fitted.len(), 3);
        assert_eq!(fitted[1].text, long);
        assert!(fitted[0].text.contains("lines left out"));
        assert!(fitted.iter().map(|s| s.text.chars().count()).sum::<usize>() <= 1_400);
        let fitted = fit(vec![section(&long, 2_000, 2), section(&long, 1_000, 1)], 1_100);
        assert_eq!(fitted.len(), 1, "too little room is none");
    }

    #[test]
    fn the_middle_goes_and_says_so() {
        let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let short = shorten(&text, 300, Keep::Ends);
        assert!(short.starts_with("line 1\n") && short.ends_with("line 100\n"), "{short}");
        assert!(short.chars().count() <= 300);
        let kept = short.lines().count() - 1;
        assert!(short.contains(&format!("[… {} lines left out …]", 100 - kept)), "{short}");
        let end = shorten(&text, 300, Keep::End);
        assert!(end.starts_with("[…") && end.ends_with("line 100\n"), "{end}");
        let one_line = shorten(&"ä".repeat(1_000), 300, Keep::Ends);
        assert!((200..=300).contains(&one_line.chars().count()), "{}", one_line.chars().count());
        assert_eq!(shorten("short", 300, Keep::Ends), "short");
    }
}
