//! The end of a run, for the person who reads it at three in the morning: what is the verdict,
//! what serves now, what was tried, what can be done.

use std::collections::BTreeSet;

use super::diff_lines::{Context, diff_lines};
use super::format;
use super::line::{Line, Tone, text_lines, wrap};
use super::link::Paths;
use super::verdict::{self, Conclusion};
use super::wording::shortened;
use greenloop_model::{ReleaseId, RunHeader, RunSummary, SummaryPatch};

/// Changed lines that are shown of each patch.
const MOST_DIFF: usize = 16;

/// What was tried against one failure, for the summary.
#[derive(Debug)]
pub(super) struct FailureAttempts {
    pub(super) iteration: u32,
    pub(super) failure: String,
    /// In the order they first came, each with how often it did.
    pub(super) outcomes: Vec<(String, u32)>,
}

/// What a summary needs besides the run's end.
pub(super) struct SummaryContext<'a> {
    /// `None` where the run ended before it began.
    pub(super) header: Option<&'a RunHeader>,
    /// The releases that served during the run.
    pub(super) switched: &'a BTreeSet<ReleaseId>,
    /// In the order of the failures.
    pub(super) attempts: &'a [FailureAttempts],
    /// Columns of a line.
    pub(super) width: usize,
    /// How paths are shown.
    pub(super) paths: &'a Paths,
}

impl SummaryContext<'_> {
    fn text(&self, indent: usize, tone: Tone, text: &str) -> Vec<Line> {
        text_lines(indent, tone, text, self.width)
    }
}

/// The summary.
pub(super) fn lines(context: &SummaryContext<'_>, summary: &RunSummary) -> Vec<Line> {
    let header = context.header;
    let rule = || Line::new().dim("─".repeat(context.width));
    let (tone, mark) = match verdict::conclusion(summary) {
        Conclusion::Success => (Tone::Good, "✓"),
        Conclusion::Undecided => (Tone::Warn, "?"),
        Conclusion::Failure => (Tone::Bad, "✗"),
    };
    let headline = verdict::headline(header, summary);
    let mut wrapped = wrap(&headline, context.width.saturating_sub(2)).into_iter();
    let mut lines = vec![Line::new(), rule()];
    lines.push(Line::new().push(tone, format!("{mark} {}", wrapped.next().unwrap_or_default())));
    lines.extend(wrapped.map(|line| Line::indent(2).push(tone, line)));
    for reason in verdict::reasons(summary) {
        lines.extend(context.text(2, Tone::Plain, &reason));
    }
    let mut measure = Line::indent(2);
    if let Some(header) = header {
        measure = measure.dim(format!("{} · ", header.title));
    }
    lines.push(measure.dim(verdict::measure(summary)));
    lines.push(rule());

    if let Some(serving) = verdict::serving(header, summary, context.switched) {
        lines.extend(section("What runs now"));
        lines.extend(context.text(2, Tone::Strong, &serving));
    }
    if !summary.patches.is_empty() {
        lines.extend(section("What broke, and what was changed"));
        for (n, patch) in summary.patches.iter().enumerate() {
            if n > 0 {
                lines.push(Line::new());
            }
            lines.extend(patch_lines(context, patch));
        }
    }
    if let Some(failure) = verdict::broken(summary) {
        lines.extend(section("What is still broken"));
        lines.extend(context.text(2, Tone::Bad, &shortened(&failure.headline)));
        let place = format!("{}/{}", failure.stage, failure.name);
        lines.push(Line::indent(2).dim(place));
    }
    let tried = context.attempts.iter().any(|tried| !tried.outcomes.is_empty());
    if verdict::conclusion(summary) != Conclusion::Success && tried {
        lines.extend(section("What was tried"));
        for tried in context.attempts {
            let head = format!("{}. {}", tried.iteration, tried.failure);
            lines.extend(context.text(2, Tone::Plain, &head));
            if tried.outcomes.is_empty() {
                lines.push(Line::indent(5).dim("nothing"));
            }
            for (outcome, times) in &tried.outcomes {
                let outcome = match times {
                    0 | 1 => outcome.clone(),
                    times => format!("{outcome} ({times} times)"),
                };
                let mut wrapped = context.text(7, Tone::Dim, &outcome);
                if let Some(first) = wrapped.first_mut() {
                    *first = Line::indent(5).dim("→ ").append(std::mem::take(first).unindented());
                }
                lines.extend(wrapped);
            }
        }
    }

    lines.extend(section("Where to look"));
    let start = |label: &str| Line::indent(2).dim(label).pad_to(13);
    if let Some(header) = header {
        let files = [("report", super::HTML_FILE), ("audit log", greenloop_audit::FILE_NAME)];
        for (label, name) in files {
            let path = header.folder.join(name);
            let (shown, link) = (context.paths.shown(&path), context.paths.link(&path));
            lines.push(start(label).linked(shown, link));
        }
    }
    let mut row = |label: &str, text: &str| lines.push(start(label).plain(text));
    if let Some(branch) = &summary.branch {
        row("branch", branch);
    }
    if summary.usage.requests > 0 {
        let usage = format::usage(&summary.usage);
        let recorded = header.is_some_and(verdict::is_recorded);
        let asked = if recorded { " · recorded answers" } else { "" };
        row("models", &format!("{usage}{asked}"));
        for (model, usage) in format::usage_by_model(summary) {
            row("", &format!("{model}: {usage}"));
        }
    }
    if !summary.next_steps.is_empty() {
        lines.extend(section("What you can do"));
        for step in &summary.next_steps {
            lines.extend(context.text(2, Tone::Plain, &step.what));
            // Alone on its line, and whole: it must survive being copied.
            for command in step.command.iter().flat_map(|command| command.lines()) {
                lines.push(Line::indent(4).push(Tone::Accent, command).unbroken());
            }
        }
    }
    lines.push(Line::new());
    lines
}

fn section(title: &str) -> [Line; 2] {
    [Line::new(), Line::new().strong(title)]
}

fn patch_lines(context: &SummaryContext<'_>, patch: &SummaryPatch) -> Vec<Line> {
    let mut lines = context.text(2, Tone::Plain, &format!("✗ {}", shortened(&patch.failure)));
    let mut row = |label: &str, text: &str| {
        let mut wrapped = context.text(15, Tone::Plain, text);
        if let Some(first) = wrapped.first_mut() {
            *first =
                Line::indent(4).dim(label).pad_to(15).append(std::mem::take(first).unindented());
        }
        lines.extend(wrapped);
    };
    row("why", &patch.reason);
    let review = &patch.review;
    let known = context.header.is_some_and(|h| h.reviewer == review.reviewer);
    let reviewer = if known { "the reviewer" } else { &review.reviewer };
    row("approved", &format!("by {reviewer}, {} risk: {}", review.risk.name(), review.reason));
    if let Some(who) = &patch.confirmed_by {
        row("confirmed", &format!("by {who}, as the policy requires"));
    }
    row("commit", patch.commit.short());
    lines.extend(diff_lines(&patch.diff, 4, MOST_DIFF, Context::Hidden, context.width));
    lines
}
