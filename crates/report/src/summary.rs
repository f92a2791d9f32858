//! The end of a run, for the person who reads it at three in the morning: what is the verdict,
//! what serves now, what was tried, what can be done.

use super::format;
use super::line::{Line, Tone, shell_lines};
use super::narrate::{Context, Narrator, diff_lines, shortened};
use super::verdict::{self, Mood};
use greenloop_model::{RunSummary, SummaryPatch};

/// Changed lines that are shown of each patch.
const MOST_DIFF: usize = 16;

/// The summary.
pub(super) fn lines(narrator: &Narrator, summary: &RunSummary) -> Vec<Line> {
    let header = narrator.header.as_deref();
    let rule = || Line::new().dim("─".repeat(narrator.width()));
    let (tone, mark) = match verdict::mood(summary) {
        Mood::Good => (Tone::Good, "✓"),
        Mood::Open => (Tone::Warn, "?"),
        Mood::Bad => (Tone::Bad, "✗"),
    };
    let headline = verdict::headline(header, summary);
    let mut wrapped = super::line::wrap(&headline, narrator.width().saturating_sub(2)).into_iter();
    let mut lines = vec![Line::new(), rule()];
    lines.push(Line::new().push(tone, format!("{mark} {}", wrapped.next().unwrap_or_default())));
    lines.extend(wrapped.map(|line| Line::indent(2).push(tone, line)));
    for reason in verdict::reasons(summary) {
        lines.extend(narrator.text(2, Tone::Plain, &reason));
    }
    let mut measure = Line::indent(2);
    if let Some(header) = header {
        measure = measure.dim(format!("{} · ", header.title));
    }
    lines.push(measure.dim(verdict::measure(summary)));
    lines.push(rule());

    if let Some(serving) = verdict::serving(header, summary, &narrator.switched) {
        lines.extend(section("What runs now"));
        lines.extend(narrator.text(2, Tone::Strong, &serving));
    }
    if !summary.patches.is_empty() {
        lines.extend(section("What broke, and what was changed"));
        for (n, patch) in summary.patches.iter().enumerate() {
            if n > 0 {
                lines.push(Line::new());
            }
            lines.extend(patch_lines(narrator, patch));
        }
    }
    if let Some(failure) = verdict::broken(summary) {
        lines.extend(section("What is still broken"));
        lines.extend(narrator.text(2, Tone::Bad, &shortened(&failure.headline)));
        let place = format!("{}/{}", failure.stage, failure.name);
        lines.push(Line::indent(2).dim(place));
    }
    let tried = narrator.tried.iter().any(|tried| !tried.outcomes.is_empty());
    if verdict::mood(summary) != Mood::Good && tried {
        lines.extend(section("What was tried"));
        for tried in &narrator.tried {
            let head = format!("{}. {}", tried.iteration, tried.failure);
            lines.extend(narrator.text(2, Tone::Plain, &head));
            if tried.outcomes.is_empty() {
                lines.push(Line::indent(5).dim("nothing"));
            }
            for (outcome, times) in &tried.outcomes {
                let outcome = match times {
                    0 | 1 => outcome.clone(),
                    times => format!("{outcome} ({times} times)"),
                };
                let mut wrapped = narrator.text(7, Tone::Dim, &outcome);
                if let Some(first) = wrapped.first_mut() {
                    *first = Line::indent(5).dim("→ ").append(std::mem::take(first).unindented());
                }
                lines.extend(wrapped);
            }
        }
    }

    lines.extend(section("Where to look"));
    let mut row = |label: &str, text: &str| {
        lines.push(Line::indent(2).dim(label).pad_to(13).plain(text));
    };
    if let Some(header) = header {
        row("report", &header.folder.join(super::HTML_FILE).to_string_lossy());
        row("audit log", &header.folder.join(greenloop_audit::FILE_NAME).to_string_lossy());
    }
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
            lines.extend(narrator.text(2, Tone::Plain, &step.what));
            // Alone on its lines, and broken for a shell: it must survive being copied.
            let command = step.command.iter();
            for text in command.flat_map(|text| shell_lines(text, 4, narrator.command_width())) {
                let command = text.trim_start();
                let indent = Line::indent(text.len() - command.len());
                lines.push(indent.push(Tone::Accent, command).unbroken());
            }
        }
    }
    lines.push(Line::new());
    lines
}

fn section(title: &str) -> [Line; 2] {
    [Line::new(), Line::new().strong(title)]
}

fn patch_lines(narrator: &Narrator, patch: &SummaryPatch) -> Vec<Line> {
    let mut lines = narrator.text(2, Tone::Plain, &format!("✗ {}", shortened(&patch.failure)));
    let mut row = |label: &str, text: &str| {
        let mut wrapped = narrator.text(15, Tone::Plain, text);
        if let Some(first) = wrapped.first_mut() {
            *first =
                Line::indent(4).dim(label).pad_to(15).append(std::mem::take(first).unindented());
        }
        lines.extend(wrapped);
    };
    row("why", &patch.reason);
    let review = &patch.review;
    let known = narrator.header.as_ref().is_some_and(|h| h.reviewer == review.reviewer);
    let reviewer = if known { "the reviewer" } else { &review.reviewer };
    row("approved", &format!("by {reviewer}, {} risk: {}", review.risk.name(), review.reason));
    if let Some(who) = &patch.confirmed_by {
        row("confirmed", &format!("by {who}, as the policy asks"));
    }
    row("commit", patch.commit.short());
    lines.extend(diff_lines(&patch.diff, 4, MOST_DIFF, Context::Hidden, narrator.width()));
    lines
}
