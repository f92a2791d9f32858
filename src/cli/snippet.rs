//! The lines of a file in a drawn error, on a terminal that is narrower than they are: as much of
//! each as fits is shown, with the marked part in view, and the remark at the mark is wrapped.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of a remark beside its mark, at the least.
const LEAST: usize = 16;
/// Columns that stay in view before what is marked.
const BEFORE: usize = 4;

/// `drawn` with its source lines on at most `width` columns.
pub(super) fn fit(drawn: &str, width: usize) -> String {
    let lines: Vec<&str> = drawn.lines().collect();
    let mut out = String::new();
    for group in lines.chunk_by(|a, b| gutter(a).is_some() == gutter(b).is_some()) {
        if group.iter().any(|line| gutter(line).is_some() && line.width() > width) {
            window(group, width, &mut out);
        } else {
            group.iter().for_each(|line| push(&mut out, line));
        }
    }
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Bytes before the text of a source line (`  12 │ `) or of its marks (`     · `).
fn gutter(line: &str) -> Option<usize> {
    let rest = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    let at = line.len() - rest.len();
    let numbered = line[..at].ends_with(|c: char| c.is_ascii_digit())
        || line[..at].trim_end().ends_with(|c: char| c.is_ascii_digit());
    let bar =
        rest.chars().next().filter(|c| (*c == '│' && numbered) || (*c == '·' && !numbered))?;
    let end = at + bar.len_utf8();
    Some(end + usize::from(line[end..].starts_with(' ')))
}

fn is_mark(line: &str) -> bool {
    line.trim_start().starts_with('·')
}

fn window(group: &[&str], width: usize, out: &mut String) {
    let parts = || group.iter().map(|line| line.split_at(gutter(line).unwrap_or_default()));
    let room = width.saturating_sub(parts().map(|(head, _)| head.width()).max().unwrap_or(0));
    let marks = || parts().filter(|(head, _)| is_mark(head)).map(|(_, text)| text);
    let in_view = marks().all(|text| text.width() <= room);
    let first = marks().filter_map(|text| text.find(|c| c != ' ')).min().unwrap_or(0);
    let shift = if in_view { 0 } else { first.saturating_sub(BEFORE) };
    for (head, text) in parts() {
        if is_mark(head) {
            mark(head, &columns(text, shift, usize::MAX), room, out);
            continue;
        }
        let mut shown = columns(text, shift, room);
        if shift > 0 && !text.is_empty() {
            shown = format!("…{}", columns(&shown, 1, room));
        }
        if text.width() > shift + room {
            shown = format!("{}…", columns(&shown, 0, room.saturating_sub(1)));
        }
        push(out, &format!("{head}{shown}"));
    }
}

/// A line of marks; the remark that ends it is wrapped.
fn mark(head: &str, text: &str, room: usize, out: &mut String) {
    const ARM: &str = "── ";
    let Some(at) = text.rfind(ARM).filter(|_| text.width() > room) else {
        return push(out, &format!("{head}{}", columns(text, 0, room)));
    };
    let (arm, remark) = text.split_at(at + ARM.len());
    let column = if arm.width() + LEAST <= room { arm.width() } else { BEFORE };
    let mut line = format!("{head}{arm}");
    let mut free = room.saturating_sub(arm.width());
    let mut begun = false;
    for word in remark.split(' ').filter(|word| !word.is_empty()) {
        let needed = word.width() + usize::from(begun);
        if needed > free && (begun || free < room - column) {
            push(out, &line);
            line = format!("{head}{}", " ".repeat(column));
            (free, begun) = (room - column, false);
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        free = free.saturating_sub(word.width() + usize::from(begun));
        begun = true;
    }
    push(out, &line);
}

/// The characters of `text` from column `from` on, on `count` columns.
fn columns(text: &str, from: usize, count: usize) -> String {
    let mut at = 0;
    let mut shown = String::new();
    for c in text.chars() {
        let end = at + c.width().unwrap_or(0);
        if at >= from && end <= from.saturating_add(count) {
            shown.push(c);
        }
        at = end;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: &str = "\
  × the configuration is not valid
   ╭─[greenloop.yaml:2:40]
 1 │ version: 1
 2 │ environments: {staging: {url: 'https://staging.example.com', helth_endpoint: /}}
   ·                                                              ───────┬───────
   ·                                                                     ╰── unknown key, did you mean health_endpoint?
   ╰────
  help: the keys are listed in docs/configuration.md
";

    #[test]
    fn the_marked_part_is_in_view_and_nothing_is_wider() {
        for width in [40, 80] {
            let drawn = fit(DRAWN, width);
            let snippet: Vec<&str> = drawn.lines().filter(|line| gutter(line).is_some()).collect();
            assert!(snippet.iter().all(|line| line.width() <= width), "{drawn}");
            assert!(
                drawn.contains("helth_endpoint") && drawn.contains("───────┬───────"),
                "{drawn}"
            );
            let remark: Vec<&str> =
                snippet.iter().flat_map(|line| line.split([' ', '·'])).collect();
            assert!(remark.contains(&"health_endpoint?"), "{drawn}");
            let column = |part: &str| {
                let line = snippet.iter().find(|line| line.contains(part)).unwrap();
                line[..line.find(part).unwrap()].width()
            };
            assert_eq!(column("helth_endpoint"), column("───────┬"), "{drawn}");
        }
        assert_eq!(fit(DRAWN, 200), DRAWN);
    }
}
