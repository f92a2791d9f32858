//! `summary.md`: the run on one page, for a pipeline's summary tab and for a pull request.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use super::format;
use super::run_history::RunHistory;
use super::safe_text::{harmless, head, literal, visible};
use super::verdict::{self, Conclusion};
use super::wording;
use greenloop_model::{Failure, GateStatus, ReviewVerdict, RunEvent, RunKind};

/// Bytes of one fenced block.
const LONGEST_BLOCK: usize = 12 << 10;
/// Bytes of the page: GitHub takes at most 1 MiB.
const LONGEST_PAGE: usize = 512 << 10;

pub(super) fn render(history: &RunHistory) -> io::Result<Vec<u8>> {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _infallible = write(&mut page, history);
    if page.len() > LONGEST_PAGE {
        page.truncate(head(&page, LONGEST_PAGE).len());
        page.push_str("\n\n*(truncated; the report has the rest)*\n");
    }
    Ok(page.into_bytes())
}

fn write(page: &mut String, history: &RunHistory) -> std::fmt::Result {
    let header = history.header.as_deref();
    match &history.summary {
        Some(summary) => {
            let mark = match verdict::conclusion(summary) {
                Conclusion::Success => "✓",
                Conclusion::Undecided => "?",
                Conclusion::Failure => "✗",
            };
            writeln!(page, "# {mark} {}\n", escaped(&verdict::headline(header, summary)))?;
            for reason in verdict::reasons(summary) {
                writeln!(page, "{}\n", escaped(&reason))?;
            }
            writeln!(page, "{} · {}\n", escaped(history.title()), verdict::measure(summary))?;
            if let Some(serving) = verdict::serving(header, summary, &history.switched) {
                writeln!(page, "**What runs now.** {}\n", escaped(&serving))?;
            }
        }
        None => writeln!(page, "# ✗ {} was interrupted\n", escaped(history.title()))?,
    }
    if let Some(header) = header {
        if verdict::is_recorded(header) {
            writeln!(page, "> {}\n", verdict::RECORDED)?;
        }
        writeln!(page, "| | |\n|---|---|")?;
        let mut row = |name: &str, value: &str| writeln!(page, "| {name} | {} |", escaped(value));
        row("Run", &header.run.to_string())?;
        row(
            verdict::commit_label(header),
            &format!("{} {}", header.commit.short(), header.commit_subject),
        )?;
        if matches!(header.task, RunKind::Deploy | RunKind::Heal) {
            row("Author", &header.author)?;
            row("Reviewer", &header.reviewer)?;
        }
        if let Some(summary) = &history.summary {
            if summary.usage.requests > 0 {
                row("Models", &format::usage(&summary.usage))?;
            }
            for (model, usage) in format::usage_by_model(summary) {
                row(&format!("· {model}"), &usage)?;
            }
            if let Some(branch) = &summary.branch {
                row("Branch", branch)?;
            }
        }
        writeln!(page)?;
    }
    if let Some(summary) = &history.summary {
        if !summary.patches.is_empty() {
            writeln!(page, "## What broke, and what was changed\n")?;
        }
        for patch in &summary.patches {
            let failure = escaped(&wording::shortened(&patch.failure));
            writeln!(page, "### Iteration {}: {failure}\n", patch.iteration)?;
            writeln!(page, "{}\n", escaped(&patch.reason))?;
            let review = &patch.review;
            write!(
                page,
                "Commit {}. Approved by {} ({} risk): {}",
                patch.commit.short(),
                escaped(&review.reviewer),
                review.risk.name(),
                escaped(&review.reason)
            )?;
            match &patch.confirmed_by {
                Some(who) => writeln!(page, " Confirmed by {}.\n", escaped(who))?,
                None => writeln!(page, "\n")?,
            }
            block(page, "diff", &patch.diff)?;
        }
        if let Some(failure) = verdict::broken(summary) {
            writeln!(page, "## What is still broken\n")?;
            self::failure(page, failure)?;
        }
    }
    iterations(page, history)?;
    decisions(page, history)?;
    if let Some(summary) = &history.summary
        && !summary.next_steps.is_empty()
    {
        writeln!(page, "## What you can do\n")?;
        for step in &summary.next_steps {
            match &step.command {
                None => writeln!(page, "- {}", escaped(&step.what))?,
                Some(command) => {
                    writeln!(page, "- {}: {}", escaped(&step.what), code(command))?;
                }
            }
        }
    }
    Ok(())
}

fn iterations(page: &mut String, history: &RunHistory) -> std::fmt::Result {
    writeln!(page, "## Iterations\n\n| | Stage | Result | Time |\n|---|---|---|---|")?;
    for pass in &history.passes {
        let number = pass.iteration.as_ref().map_or(0, |(iteration, _, _)| *iteration);
        for stamped in &pass.events {
            if let Some((what, said, time)) = row(&stamped.event) {
                let time = time.map(format::duration).unwrap_or_default();
                writeln!(page, "| {number} | {} | {said} | {time} |", escaped(&what))?;
            }
        }
    }
    writeln!(page)
}

/// What, what became of it (as markup), and how long it took: of the events that a table shows.
fn row(event: &RunEvent) -> Option<(String, String, Option<Duration>)> {
    if let RunEvent::StagePassed { stage, elapsed, .. } = event {
        return Some((stage.to_string(), "passed".to_owned(), Some(*elapsed)));
    }
    if let RunEvent::StageFailed { failure, elapsed, .. } = event {
        let said = format!("**failed**: {}", escaped(&wording::shortened(&failure.headline)));
        return Some((failure.stage.to_string(), said, Some(*elapsed)));
    }
    if let RunEvent::Restored { ok, detail, .. } = event {
        let what = if *ok { "restored" } else { "**not restored**" };
        return Some(("restore".to_owned(), format!("{what}: {}", escaped(detail)), None));
    }
    if let RunEvent::GateFinished { result, .. } = event {
        let said = match &result.status {
            GateStatus::Flaky => "flaky: passed when rerun".to_owned(),
            GateStatus::Failed(exit) if !result.required => {
                format!("advisory: {}", escaped(&exit.to_string()))
            }
            GateStatus::Passed
            | GateStatus::Failed(_)
            | GateStatus::Skipped { .. }
            | GateStatus::Cancelled => return None,
        };
        return Some((format!("gates/{}", result.name), said, Some(result.duration)));
    }
    None
}

fn decisions(page: &mut String, history: &RunHistory) -> std::fmt::Result {
    let rejected = history.reviews().filter(|(_, review)| review.verdict == ReviewVerdict::Reject);
    let rejected = counted(rejected.map(|(iteration, review)| {
        (iteration, format!("{} risk: {}", review.risk.name(), escaped(&review.reason)))
    }));
    list(page, "Rejected by the reviewer", &rejected)?;
    let refused = counted(
        history
            .refusals()
            .map(|(iteration, reason)| (iteration, escaped(&wording::shortened(reason)))),
    );
    list(page, "Rejected answers of the author", &refused)?;
    if history.evaluations().next().is_some() {
        writeln!(page, "## Policy\n")?;
        for (iteration, evaluation) in history.evaluations() {
            for found in evaluation.matches() {
                let text = escaped(&wording::rule_match(found));
                writeln!(page, "- iteration {iteration}: {text}")?;
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

/// Each text once, with the iterations it came in.
fn counted(texts: impl Iterator<Item = (u32, String)>) -> Vec<(String, Vec<u32>)> {
    let mut counted: Vec<(String, Vec<u32>)> = Vec::new();
    for (iteration, text) in texts {
        match counted.iter_mut().find(|(known, _)| *known == text) {
            Some((_, iterations)) => iterations.push(iteration),
            None => counted.push((text, vec![iteration])),
        }
    }
    counted
}

fn list(page: &mut String, title: &str, items: &[(String, Vec<u32>)]) -> std::fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(page, "## {title}\n")?;
    for (text, iterations) in items {
        match iterations.as_slice() {
            [iteration] => writeln!(page, "- iteration {iteration}: {text}")?,
            [first, ..] => {
                writeln!(page, "- {} times from iteration {first}: {text}", iterations.len())?;
            }
            [] => {}
        }
    }
    writeln!(page)
}

fn failure(page: &mut String, failure: &Failure) -> std::fmt::Result {
    writeln!(page, "**{}**\n", escaped(&failure.headline))?;
    writeln!(
        page,
        "{}/{} · {}\n",
        failure.stage,
        escaped(&failure.name),
        wording::class(failure.class)
    )?;
    for excerpt in failure.evidence.excerpts.iter().take(3) {
        block(page, "text", &excerpt.text)?;
    }
    for exchange in failure.evidence.http.iter().take(3) {
        writeln!(page, "{}: {}\n", escaped(&exchange.request), escaped(&exchange.complaint))?;
        block(page, "text", &exchange.response)?;
    }
    Ok(())
}

/// A fenced block; the fence is longer than any run of backticks in it.
fn block(page: &mut String, language: &str, text: &str) -> std::fmt::Result {
    block_of(page, language, text, LONGEST_BLOCK)
}

/// A block with at most so many bytes of the text.
pub(super) fn block_of(
    page: &mut String,
    language: &str,
    text: &str,
    limit: usize,
) -> std::fmt::Result {
    let cut = head(text, limit);
    let shown = literal(cut);
    let shown = harmless(&shown);
    let fence = "`".repeat(longest_run(&shown, '`').max(2) + 1);
    writeln!(page, "{fence}{language}\n{}", shown.trim_end())?;
    if cut.len() < text.len() {
        writeln!(page, "…")?;
    }
    writeln!(page, "{fence}\n")
}

/// A command in a line of text.
fn code(command: &str) -> String {
    let shown = literal(command);
    let shown = harmless(&shown).replace('\n', " ");
    let ticks = "`".repeat(longest_run(&shown, '`') + 1);
    // Without the spaces a backtick at an end would belong to the fence.
    let gap = if shown.contains('`') { " " } else { "" };
    format!("{ticks}{gap}{shown}{gap}{ticks}")
}

fn longest_run(text: &str, wanted: char) -> usize {
    text.split(|c| c != wanted).map(|run| run.chars().count()).max().unwrap_or(0)
}

/// One line of text that is only text: no markup, no HTML, no table cell's end, no mention.
pub(super) fn escaped(text: &str) -> String {
    let text = visible(text.trim());
    let mut out = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    let mut at_start = true;
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '!' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '&' => out.push_str("&amp;"),
            // Nobody is to be called because their name stands in a log.
            '@' => out.push_str("@\u{2060}"),
            '-' | '+' if at_start => {
                out.push('\\');
                out.push(c);
            }
            '.' | ')' if at_number(&out) && chars.peek() == Some(&' ') => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        at_start = false;
    }
    harmless(&out).into_owned()
}

fn at_number(out: &str) -> bool {
    !out.is_empty() && out.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_only_text() {
        for (input, expect) in [
            ("a | b\nc", "a \\| b c"),
            ("<script>", "\\<script\\>"),
            ("[x](javascript:y)", "\\[x\\](javascript:y)"),
            ("`tick`", "\\`tick\\`"),
            ("1. one", "1\\. one"),
            ("- item", "\\- item"),
            ("src/main.rs:1", "src/main.rs:1"),
            ("##vso[x]", "\\#\\#vso\\[x\\]"),
            ("@everyone", "@\u{2060}everyone"),
        ] {
            assert_eq!(escaped(input), expect, "{input:?}");
        }
    }

    #[test]
    fn fences_are_longer_than_what_they_hold() {
        let mut page = String::new();
        block(&mut page, "diff", "````\n##[x]").unwrap();
        assert_eq!(page, "`````diff\n````\n# #[x]\n`````\n\n");
    }
}
