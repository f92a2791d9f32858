//! The report in Markdown (GitHub's flavour, for its tables).

use std::fmt::Write as _;

use super::sections::{Section, Table, sections, title};
use super::words::{grouped, is_bidi};
use greenloop_hub_api::types::GraphReport;

/// The report in Markdown.
pub fn markdown(report: &GraphReport) -> String {
    let mut out = format!("# {}\n", escaped(&title(report)));
    for Section { heading, sentences, table } in sections(report) {
        let _infallible = write!(out, "\n## {heading}\n");
        for sentence in &sentences {
            let _infallible = write!(out, "\n- {}", escaped(sentence));
        }
        if !sentences.is_empty() {
            out.push('\n');
        }
        if let Some(table) = &table {
            write_table(&mut out, table);
        }
    }
    let _infallible = write!(out, "\nMade by Greenloop at {}.\n", report.at);
    out
}

fn write_table(out: &mut String, table: &Table) {
    out.push_str("\n|");
    for column in &table.columns {
        let _infallible = write!(out, " {} |", column.name);
    }
    out.push_str("\n|");
    for column in &table.columns {
        out.push_str(if column.number { "---:|" } else { "---|" });
    }
    out.push('\n');
    for row in &table.rows {
        out.push('|');
        for cell in row {
            let _infallible = write!(out, " {} |", escaped(cell));
        }
        out.push('\n');
    }
    if table.left_out > 0 {
        let _infallible = write!(out, "\n{} more are not listed.\n", grouped(table.left_out));
    }
}

/// Text as itself, in one line: no markup, no HTML, no link, no cell's end.
fn escaped(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len() + 8);
    let mut blank = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || c.is_control() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) && !out.is_empty() {
            out.push(' ');
        }
        let rest = text.get(at..).unwrap_or_default();
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An address or a mention becomes a link without any markup.
            '@' => out.push_str("&#64;"),
            ':' if rest.starts_with("://") => out.push_str("&#58;"),
            '.' if ends_with_www(&out) => out.push_str("&#46;"),
            c if is_bidi(c) => out.push('\u{fffd}'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn ends_with_www(text: &str) -> bool {
    let start = text.len().checked_sub(3);
    start.and_then(|at| text.get(at..)).is_some_and(|it| it.eq_ignore_ascii_case("www"))
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_no_markup() {
        for (text, expect) in [
            ("a | b", r"a \| b"),
            ("line\r\n\n# two", r"line \# two"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("[a](javascript:b)", r"\[a\](javascript:b)"),
            ("`*_~", r"\`\*\_\~"),
            ("![i](x)", r"!\[i\](x)"),
            ("see HTTPS://example.org @team", "see HTTPS&#58;//example.org &#64;team"),
            ("at 12:30 on www.example.org", "at 12:30 on www&#46;example.org"),
            ("\u{1b}[31m", r"\[31m"),
            ("a\u{202e}b", "a\u{fffd}b"),
            (r"a\|b", r"a\\\|b"),
        ] {
            assert_eq!(escaped(text), expect, "{text:?}");
        }
    }
}
