//! The report as one HTML file that needs no other.

use std::fmt::Write as _;

use super::sections::{Section, Table, sections, title};
use super::words::{grouped, is_bidi};
use greenloop_hub_api::types::GraphReport;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:2rem}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.35rem .6rem;border-bottom:1px solid #8886;text-align:left;vertical-align:top}\
th.n,td.n{text-align:right;white-space:nowrap}\
td{overflow-wrap:anywhere}";

/// The report as one HTML file. It has no script, and asks for nothing else.
pub fn html(report: &GraphReport) -> String {
    let title = escaped(&title(report));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for Section { heading, sentences, table } in sections(report) {
        let _infallible = writeln!(out, "<section>\n<h2>{heading}</h2>");
        for sentence in &sentences {
            let _infallible = writeln!(out, "<p>{}</p>", escaped(sentence));
        }
        if let Some(table) = &table {
            write_table(&mut out, heading, table);
        }
        out.push_str("</section>\n");
    }
    let _infallible = write!(
        out,
        "<footer><p>Made by Greenloop at {}.</p></footer>\n</body>\n</html>\n",
        report.at
    );
    out
}

fn write_table(out: &mut String, heading: &str, table: &Table) {
    let class = |number: bool| if number { " class=\"n\"" } else { "" };
    // The focus lets the keyboard scroll it.
    let _infallible = write!(
        out,
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{heading}\">\n\
         <table>\n<thead><tr>"
    );
    for column in &table.columns {
        let _infallible =
            write!(out, "<th scope=\"col\"{}>{}</th>", class(column.number), column.name);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in table.columns.iter().zip(row) {
            let _infallible = write!(out, "<td{}>{}</td>", class(column.number), escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if table.left_out > 0 {
        let _infallible = writeln!(out, "<p>{} more are not listed.</p>", grouped(table.left_out));
    }
}

/// Text as itself, also in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || is_bidi(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(
            escaped("<img src=x onerror='a(\"b\")'> & \u{1b}[\u{2067}"),
            "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt; &amp; \u{fffd}[\u{fffd}"
        );
    }
}
