//! Text of commands that are no run, laid out for a terminal: what does not fit goes on below the
//! text of its own row.

use unicode_width::UnicodeWidthStr as _;

use super::line::{Line, Paint, keep_quoted};
use super::link::Paths;

/// Columns of text beside a gutter or a first column, at the least.
const LEAST: usize = 20;

/// The lines of `text` on at most `width` columns. Only what must not be broken is wider: paths,
/// addresses and commands ([`super::unbroken`], and what stands between backticks).
pub fn rows(text: &str, width: usize, paint: Paint) -> String {
    let paths = if paint.links { Paths::from_here() } else { Paths::default() };
    let lines = text.lines().flat_map(|line| row(line, width));
    lines.map(|line| line.painted_with_files(paint, &paths) + "\n").collect()
}

fn row(line: &str, width: usize) -> Vec<Line> {
    let line = line.trim_end();
    let shown = Line::new().plain(line);
    if shown.width() <= width {
        return vec![shown];
    }
    let (gutter, rest) = line.split_at(gutter(line));
    let (first, below) = fitted(gutter, width);
    let room = width.saturating_sub(first.width()).max(LEAST);
    let lines = columns(rest, room);
    let with = |(n, line): (usize, Line)| {
        let gutter = if n == 0 { &first } else { &below };
        Line::new().dim(gutter).append(line)
    };
    lines.into_iter().enumerate().map(with).collect()
}

/// Bytes of what stands before the text: line numbers and the lines of a tree.
fn gutter(line: &str) -> usize {
    let part = |c: char| c.is_ascii_digit() || " │├└─┊⋮⋯╭╰·".contains(c);
    let end = line.find(|c| !part(c)).unwrap_or(line.len());
    let last = line[..end].char_indices().rfind(|(_, c)| "│├└─".contains(*c));
    last.map_or(0, |(at, c)| {
        let after = at + c.len_utf8();
        after + usize::from(line[after..].starts_with(' '))
    })
}

/// A gutter that leaves room for text, and the same for what goes on below: there are no numbers
/// in it, and no branches.
fn fitted(gutter: &str, width: usize) -> (String, String) {
    let mut first = gutter.to_owned();
    let most = (width / 2).min(width.saturating_sub(LEAST));
    if first.width() > most {
        let kept: Vec<char> = first.chars().rev().take(most.saturating_sub(1)).collect();
        first = std::iter::once('⋯').chain(kept.into_iter().rev()).collect();
    }
    let plain = |c: char| match c {
        '├' => '│',
        '│' | '┊' => c,
        _ => ' ',
    };
    let below = first.chars().map(plain).collect();
    (first, below)
}

/// A row whose columns are separated by two spaces or more: the text of the others stays beside
/// the first where there is room for it, and goes below it otherwise.
fn columns(row: &str, width: usize) -> Vec<Line> {
    let leading = row.len() - row.trim_start_matches(' ').len();
    let line = |text: &str| Line::new().plain(keep_quoted(text));
    let Some(gap) = row[leading..].find("  ").map(|at| leading + at) else {
        return line(row).hanging(leading + 2).wrapped(width);
    };
    let text = gap + (row[gap..].len() - row[gap..].trim_start_matches(' ').len());
    let column = row[..text].width();
    if column + LEAST <= width {
        return line(row).hanging(column).wrapped(width);
    }
    // A first column that is indented names something, and stays whole.
    let head = line(&row[..gap]).hanging(leading + 2);
    let mut lines = if leading > 0 { vec![head.unbroken()] } else { head.wrapped(width) };
    let below = Line::indent(leading + 4).append(line(&row[text..])).hanging(leading + 4);
    lines.extend(below.wrapped(width));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unbroken;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        rows(text, width, Paint::default()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_does_not_fit_goes_on_below_its_text() {
        assert_eq!(wrapped("short\n\n  row", 40), ["short", "", "  row"]);
        assert_eq!(
            wrapped("  greenloop init   find out what it is, and write a configuration", 50),
            [
                "  greenloop init   find out what it is, and write",
                "                   a configuration"
            ]
        );
        assert_eq!(
            wrapped("  greenloop status --environment staging  what is deployed, and since", 40),
            ["  greenloop status --environment staging", "      what is deployed, and since"]
        );
        assert_eq!(
            wrapped(" 123 │ error: expected one of these words here", 40),
            [" 123 │ error: expected one of these", "     │   words here"]
        );
        assert_eq!(
            wrapped("│  ├─ 1.1  漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", 40),
            ["│  ├─ 1.1  漢字漢字漢字漢字漢字漢字漢字", "│  │       漢字漢字漢字"]
        );
    }

    #[test]
    fn only_what_is_copied_is_wider_than_the_terminal() {
        let command = "git diff 0123456789 greenloop/0190aaaa | git -C '/a b' apply";
        let texts = [
            format!("  hint: go on with {} and wait for it", unbroken(command)),
            format!("  hint: `{command}` says what it is"),
            "report: /srv/fleet/logs/runs/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff/report.html".into(),
            "see https://example.com/a/very/long/address/that/does/not/fit/on/it?x=1 for it".into(),
            format!("{}  deep in the tree, with many words", "│  ".repeat(40)),
            "👩‍🔬 an emoji 🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀🚀".into(),
            "x".repeat(200),
        ];
        for width in [40, 80, 120] {
            for text in &texts {
                let lines = wrapped(text, width);
                let bare = |text: &str| -> String {
                    text.chars().filter(|c| !" │⋯".contains(*c)).collect()
                };
                let whole = crate::unwrapped(text).replace('\u{200d}', "\\u{200d}");
                assert_eq!(bare(&lines.concat()), bare(&whole), "nothing is lost");
                for line in lines.iter().filter(|line| line.width() > width) {
                    let alone = line.trim();
                    let is_path = !alone.contains(' ') && alone.contains('/');
                    assert!(alone.contains(command) || is_path, "{width}: {line}");
                }
            }
        }
    }
}
