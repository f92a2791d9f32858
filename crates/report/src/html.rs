//! `report.html`: the whole run on one page that needs nothing else, not even a network.
//!
//! Every text reaches the page through the template's escaping; nothing here writes markup. The
//! page's own policy forbids scripts and everything that would be loaded.

use std::io;
use std::time::Duration;

use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use super::diff::{self, Change};
use super::format;
use super::reporter::Stamped;
use super::run_history::{IterationEvents, RunHistory};
use super::safe_text::{command_breaks, head, literal, visible};
use super::syntax::Highlighter;
use super::verdict::{self, Conclusion};
use super::wording;
use greenloop_model::{
    CodeContext, Decision, Evidence, Excerpt, Failure, GateResult, GateStatus, NextStep, Notice,
    ReviewVerdict, RunEvent,
};

/// Diff lines on the page; further diffs are in `patches/`.
const MOST_DIFF: usize = 6_000;
/// Diff lines that are coloured: colouring is slow.
const MOST_COLOURED: usize = 2_000;
/// Bytes of one text.
const LONGEST_TEXT: usize = 48 << 10;

#[derive(Serialize)]
struct Page {
    title: String,
    conclusion: &'static str,
    headline: String,
    reasons: Vec<String>,
    measure: String,
    serving: Option<String>,
    recorded: Option<&'static str>,
    facts: Vec<(&'static str, String)>,
    timeline: Vec<Bar>,
    patches: Vec<Patch>,
    failure: Option<FailureView>,
    passes: Vec<Section>,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    what: String,
    command: Option<String>,
}

#[derive(Serialize)]
struct Bar {
    what: String,
    good: bool,
    heal: bool,
    time: String,
    /// Percent of the run before it, and percent it takes.
    from: String,
    width: String,
}

#[derive(Serialize)]
struct Patch {
    iteration: u32,
    failure: String,
    reason: String,
    review: String,
    confirmed_by: Option<String>,
    commit: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct Section {
    id: usize,
    title: String,
    failed: bool,
    entries: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Serialize)]
struct TimelineEntry {
    at: String,
    /// `good`, `bad`, `warn` or nothing.
    tone: &'static str,
    mark: &'static str,
    head: String,
    note: String,
    text: Option<String>,
    log: Option<Link>,
    list: Vec<String>,
    failure: Option<FailureView>,
    files: Vec<File>,
}

#[derive(Serialize)]
struct FailureView {
    headline: String,
    facts: String,
    log: Option<Link>,
    command: Option<String>,
    notes: Vec<String>,
    tests: Vec<String>,
    blocks: Vec<Block>,
}

/// A file beside the page.
#[derive(Serialize)]
struct Link {
    href: String,
    text: String,
}

#[derive(Serialize)]
struct Block {
    title: String,
    lines: Vec<Row>,
}

#[derive(Serialize)]
struct File {
    title: String,
    added: usize,
    removed: usize,
    lines: Vec<Row>,
    hidden: usize,
}

/// A line with a number.
#[derive(Serialize)]
struct Row {
    number: Option<u64>,
    /// `a` added, `r` removed, `h` highlighted, `g` a gap.
    kind: &'static str,
    sign: &'static str,
    pieces: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    class: String,
    text: String,
}

pub(super) fn render(history: &RunHistory) -> io::Result<Vec<u8>> {
    let mut environment = Environment::new();
    // The name decides that every value is escaped as HTML.
    environment
        .add_template("report.html", include_str!("report.html.j2"))
        .map_err(io::Error::other)?;
    let template = environment.get_template("report.html").map_err(io::Error::other)?;
    let page = page(history);
    let html = template.render(context! { page => Serde(page) }).map_err(io::Error::other)?;
    Ok(unobeyed(&html).into_bytes())
}

/// Somebody may print the page into a job's log: what its agent would obey is written as a
/// character reference, which the page shows as it was.
fn unobeyed(html: &str) -> String {
    let mut out = String::with_capacity(html.len() + 64);
    let mut from = 0;
    for at in command_breaks(html) {
        let Some(hash) = at.checked_sub(1).filter(|hash| html[*hash..].starts_with('#')) else {
            continue;
        };
        out.push_str(&html[from..hash]);
        out.push_str("&#35;");
        from = at;
    }
    out.push_str(&html[from..]);
    out
}

/// How much of the page's budget for diffs is left.
struct Budget {
    lines: usize,
    coloured: usize,
}

fn page(history: &RunHistory) -> Page {
    let header = history.header.as_deref();
    let mut budget = Budget { lines: MOST_DIFF, coloured: MOST_COLOURED };
    let summary = history.summary.as_deref();
    let patches = summary.map_or(&[][..], |summary| &summary.patches);
    Page {
        title: text(history.title()),
        conclusion: match summary.map(verdict::conclusion) {
            Some(Conclusion::Success) => "good",
            Some(Conclusion::Undecided) => "warn",
            Some(Conclusion::Failure) | None => "bad",
        },
        headline: summary.map_or("The run was interrupted".to_owned(), |summary| {
            text(&verdict::headline(header, summary))
        }),
        reasons: summary
            .map(verdict::reasons)
            .unwrap_or_default()
            .iter()
            .map(|r| text(r))
            .collect(),
        measure: summary.map(verdict::measure).unwrap_or_default(),
        serving: summary
            .and_then(|summary| verdict::serving(header, summary, &history.switched))
            .map(|serving| text(&serving)),
        recorded: header.is_some_and(verdict::is_recorded).then_some(verdict::RECORDED),
        facts: facts(history),
        timeline: timeline(history),
        patches: patches
            .iter()
            .map(|patch| Patch {
                iteration: patch.iteration,
                failure: text(&patch.failure),
                reason: text(&patch.reason),
                review: text(&format!(
                    "{}, {} risk: {}",
                    patch.review.reviewer,
                    patch.review.risk.name(),
                    patch.review.reason
                )),
                confirmed_by: patch.confirmed_by.as_deref().map(text),
                commit: patch.commit.to_string(),
                files: files(&patch.diff, &mut budget),
            })
            .collect(),
        failure: summary.and_then(|summary| summary.failure.as_deref()).map(failure_view),
        passes: history
            .passes
            .iter()
            .enumerate()
            .map(|(id, pass)| section(id, pass, &mut budget))
            .collect(),
        steps: summary
            .map(|summary| {
                let step = |step: &NextStep| Step {
                    what: text(&step.what),
                    command: step.command.as_deref().map(text),
                };
                summary.next_steps.iter().map(step).collect()
            })
            .unwrap_or_default(),
    }
}

fn facts(history: &RunHistory) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let Some(header) = history.header.as_deref() else { return facts };
    let mut fact = |name, value: &str| facts.push((name, text(value)));
    fact("Run", &header.run.to_string());
    if let Some(environment) = &header.environment {
        fact("Environment", environment.as_str());
    }
    if let Some(target) = header.target {
        fact("Target", target.name());
    }
    fact(verdict::commit_label(header), &format!("{} {}", header.commit, header.commit_subject));
    if let Some(started) = history.started {
        fact("Started", &format!("{started:.0}"));
    }
    fact("Author", &header.author);
    fact("Reviewer", &header.reviewer);
    fact("Limits", &wording::limits(header));
    if let Some(summary) = &history.summary {
        let usage = &summary.usage;
        fact("Models", &format::usage(usage));
        let (sent, received) =
            (format::count(usage.input_tokens), format::count(usage.output_tokens));
        fact("Tokens", &format!("{sent} sent, {received} received"));
        for (model, usage) in format::usage_by_model(summary) {
            fact("Model", &format!("{model}: {usage}"));
        }
        if let Some(branch) = &summary.branch {
            fact("Branch", branch);
        }
    }
    fact("Repository", &header.repository.to_string_lossy());
    let log = header.folder.join(greenloop_audit::FILE_NAME);
    fact("Audit log", &log.to_string_lossy());
    match greenloop_audit::verify(&log) {
        Ok(verified) => {
            let complete = if verified.complete { "complete" } else { "not yet closed" };
            let records = format::counted(verified.records, "record", "records");
            fact("Audit chain", &format!("{records}, verified, {complete}"));
            fact("Audit head", &verified.head);
        }
        Err(fault) => fact("Audit chain", &format!("NOT VERIFIED: {fault}")),
    }
    facts
}

/// The stages with the times they took, and the healing between them by the clock.
fn timeline(history: &RunHistory) -> Vec<Bar> {
    let mut spans: Vec<(String, bool, bool, jiff::Timestamp, Duration)> = Vec::new();
    for pass in &history.passes {
        let number = pass.iteration.as_ref().map_or(0, |(iteration, _, _)| *iteration);
        let mut asked = None;
        for Stamped { at, event } in &pass.events {
            if let RunEvent::StagePassed { stage, elapsed, .. } = event {
                spans.push((format!("{number} {stage}"), true, false, *at, *elapsed));
            }
            if let RunEvent::StageFailed { failure, elapsed, .. } = event {
                spans.push((format!("{number} {}", failure.stage), false, false, *at, *elapsed));
            }
            if let RunEvent::AuthorAsked { .. } = event {
                asked.get_or_insert(*at);
            }
            let ends = matches!(event, RunEvent::PatchApplied { .. } | RunEvent::NoPatch { .. });
            if let (true, Some(since)) = (ends, asked) {
                let took = Duration::try_from(at.duration_since(since)).unwrap_or_default();
                let applied = matches!(event, RunEvent::PatchApplied { .. });
                spans.push((format!("{number} heal"), applied, true, *at, took));
                asked = None;
            }
        }
    }
    // A stage's event comes when it ends.
    let begins =
        |at: &jiff::Timestamp, took: &Duration| at.as_millisecond() - took.as_millis() as i64;
    let first = spans.iter().map(|(_, _, _, at, took)| begins(at, took)).min().unwrap_or(0);
    let last = spans.iter().map(|(_, _, _, at, _)| at.as_millisecond()).max().unwrap_or(0);
    let whole = (last - first).max(1) as f64;
    spans
        .iter()
        .map(|(what, good, heal, at, took)| Bar {
            what: what.clone(),
            good: *good,
            heal: *heal,
            time: format::duration(*took),
            from: format!("{:.2}", (begins(at, took) - first) as f64 * 100.0 / whole),
            width: format!("{:.2}", (took.as_millis() as f64 * 100.0 / whole).clamp(0.4, 100.0)),
        })
        .collect()
}

fn section(id: usize, pass: &IterationEvents, budget: &mut Budget) -> Section {
    let title = match &pass.iteration {
        Some((iteration, of, commit)) => {
            format!("Iteration {iteration} of {of} at {}", commit.short())
        }
        None => "Before the first iteration".to_owned(),
    };
    let failed =
        pass.events.iter().any(|stamped| matches!(stamped.event, RunEvent::StageFailed { .. }));
    Section {
        id,
        title,
        failed,
        entries: pass.events.iter().filter_map(|stamped| entry(stamped, budget)).collect(),
    }
}

fn entry(stamped: &Stamped, budget: &mut Budget) -> Option<TimelineEntry> {
    let mut entry = TimelineEntry {
        at: stamped.at.strftime("%H:%M:%S").to_string(),
        tone: "",
        mark: "·",
        head: String::new(),
        note: String::new(),
        text: None,
        log: None,
        list: Vec::new(),
        failure: None,
        files: Vec::new(),
    };
    let mut is = |tone, head: String| {
        entry.tone = tone;
        entry.mark = match tone {
            "good" => "✓",
            "bad" => "✗",
            "warn" => "!",
            _ => "·",
        };
        entry.head = text(&head);
    };
    match &stamped.event {
        RunEvent::Notice(Notice::Info(said)) => is("", said.clone()),
        RunEvent::Notice(Notice::Warning(said)) => is("warn", said.clone()),
        RunEvent::GateFinished { result, .. } => {
            let (tone, note) = gate(result);
            is(tone, format!("gate {}", result.name));
            entry.note = text(&note);
            entry.log = result.log.as_deref().and_then(|log| link(log, "log"));
        }
        RunEvent::StepFinished { stage, name, ok, detail, elapsed } => {
            is(if *ok { "good" } else { "bad" }, format!("{stage}: {name}"));
            entry.note = text(&format!("{} · {detail}", format::duration(*elapsed)));
        }
        RunEvent::StagePassed { stage, elapsed, .. } => {
            is("good", format!("{stage} passed"));
            entry.note = format::duration(*elapsed);
        }
        RunEvent::StageFailed { failure, progress, elapsed, .. } => {
            is("bad", format!("{} failed", failure.stage));
            entry.note = format::duration(*elapsed);
            if let Some(progress) = progress {
                entry.note.push_str(&format!(" · {}", wording::progress_words(*progress)));
            }
            entry.failure = Some(failure_view(failure));
        }
        RunEvent::FlakyRerun { name, passed, .. } => match passed {
            None => is("", format!("rerunning {name} on the same tree")),
            Some(true) => is("warn", format!("{name} passed this time: flaky")),
            Some(false) => is("bad", format!("{name} failed again: not flaky")),
        },
        RunEvent::Restored { ok, detail, .. } => {
            if *ok {
                is("good", "restore".to_owned());
            } else {
                is("bad", "the last verified release could NOT be restored".to_owned());
            }
            entry.text = Some(text(detail));
        }
        RunEvent::AuthorAsked { model, .. } => is("", format!("author: {model}")),
        RunEvent::AuthorLooked { call, .. } => is("", format!("the author called a tool: {call}")),
        RunEvent::PatchProposed { reason, diff, usage, .. } => {
            is("", "a patch was proposed".to_owned());
            entry.note = format::usage(usage);
            entry.text = Some(text(reason));
            entry.files = files(diff, budget);
        }
        RunEvent::PatchRefused { reason, usage, .. } => {
            is("bad", "the answer could not be used".to_owned());
            entry.note = format::usage(usage);
            entry.text = Some(text(reason));
        }
        RunEvent::NoPatch { class, reason, .. } => {
            is("warn", format!("the author declined to write a patch: {class}"));
            entry.text = Some(text(reason));
        }
        RunEvent::ReviewerAsked { model, .. } => is("", format!("reviewer: {model}")),
        RunEvent::Reviewed { review, usage, .. } => {
            let (tone, verdict) = match review.verdict {
                ReviewVerdict::Approve => ("good", "approved"),
                ReviewVerdict::Reject => ("bad", "rejected"),
            };
            is(tone, format!("review: {verdict}, {} risk", review.risk.name()));
            entry.note = text(&format!("{} · {}", review.reviewer, format::usage(usage)));
            entry.text = Some(text(&review.reason));
            entry.list.extend(review.suggestion.iter().map(|s| text(&format!("suggests: {s}"))));
        }
        RunEvent::Evaluated { evaluation, .. } => {
            let (tone, said) = match evaluation.decision() {
                Decision::Allow => ("good", "policy: allowed"),
                Decision::NeedsHuman => ("warn", "policy: needs confirmation by a person"),
                Decision::Forbid => ("bad", "policy: forbidden"),
            };
            is(tone, said.to_owned());
            let matches = evaluation.matches().iter().take(200);
            entry.list.extend(matches.map(|found| text(&wording::rule_match(found))));
        }
        RunEvent::HumanDecided { approved, who, reason, .. } => {
            let (tone, said) = if *approved { ("good", "approved") } else { ("bad", "declined") };
            is(tone, format!("{said} by {who}"));
            entry.note = text(reason);
        }
        RunEvent::PatchApplied { commit, files, .. } => {
            is("good", format!("applied as commit {}", commit.short()));
            entry.list.extend(files.iter().take(200).map(|file| text(file)));
        }
        RunEvent::ImageReady { image, tags, reused } => {
            is("", format!("image {}", wording::image_origin(*reused)));
            entry.note = text(&format!("{image} {}", tags.join(" ")));
        }
        RunEvent::Switched { release, endpoint } => {
            is("", format!("release {} serves at {}", release.short(), endpoint.url));
        }
        RunEvent::StageStarted { .. }
        | RunEvent::PartStarted { .. }
        | RunEvent::Output { .. }
        | RunEvent::Progress { .. }
        | RunEvent::Started(_)
        | RunEvent::IterationStarted { .. }
        | RunEvent::Finished(_) => return None,
    }
    Some(entry)
}

fn gate(result: &GateResult) -> (&'static str, String) {
    let time = format::duration(result.duration);
    match &result.status {
        GateStatus::Passed => ("good", time),
        GateStatus::Flaky => ("warn", format!("{time} · flaky: passed when rerun")),
        GateStatus::Failed(exit) if result.required => ("bad", format!("{time} · {exit}")),
        GateStatus::Failed(exit) => ("warn", format!("{time} · {exit} (advisory)")),
        GateStatus::Skipped { needs } => ("", format!("skipped: it needs {needs}")),
        GateStatus::Cancelled => ("warn", format!("{time} · cancelled")),
    }
}

fn failure_view(failure: &Failure) -> FailureView {
    let Evidence {
        command,
        exit,
        excerpts,
        log_lines,
        log,
        failing_tests,
        code,
        http,
        service_log,
        notes,
        remedy: _,
        deterministic: _,
    } = &failure.evidence;
    let mut blocks: Vec<Block> = excerpts.iter().take(20).map(excerpt).collect();
    blocks.extend(code.iter().take(20).map(context));
    for exchange in http.iter().take(20) {
        let status = exchange.status.map_or("no response".to_owned(), |status| status.to_string());
        let title = format!(
            "{} → {status} after {}: {}",
            exchange.request,
            format::duration(exchange.elapsed),
            exchange.complaint
        );
        blocks.push(plain_block(&title, &exchange.response));
    }
    if let Some(log) = service_log {
        blocks.push(plain_block("The service's own log", log));
    }
    let facts = format!(
        "{}/{} · {} · fingerprint {}",
        failure.stage,
        failure.name,
        wording::class(failure.class),
        failure.fingerprint
    );
    let log = log.as_deref().and_then(|log| {
        let lines = format::counted(*log_lines, "line", "lines");
        link(log, &format!("{log} ({lines})"))
    });
    let exit = exit.as_ref().map(|exit| format!(": {exit}")).unwrap_or_default();
    FailureView {
        headline: text(&failure.headline),
        facts: text(&facts),
        log,
        command: command.as_ref().map(|command| text(&format!("{command}{exit}"))),
        notes: notes.iter().map(|note| text(note)).collect(),
        tests: failing_tests.iter().take(200).map(|test| text(test)).collect(),
        blocks,
    }
}

/// A link to a log of the run's folder, in which the page lies too; `None` for a path that leads
/// elsewhere.
fn link(log: &str, shown: &str) -> Option<Link> {
    use std::path::Component;
    let path = std::path::Path::new(log);
    if log.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let mut href = String::new();
    for byte in log.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                href.push(byte.into());
            }
            other => href.push_str(&format!("%{other:02X}")),
        }
    }
    Some(Link { href, text: text(shown) })
}

/// The lines that name a place are the ones to look at.
fn excerpt(excerpt: &Excerpt) -> Block {
    let places: Vec<String> =
        excerpt.locations.iter().map(|place| format!("{}:{}", place.file, place.line)).collect();
    let shown = visible(head(&excerpt.text, LONGEST_TEXT));
    let lines = (excerpt.start..).zip(shown.lines()).map(|(number, line)| {
        let named = places.iter().any(|place| line.contains(place.as_str()));
        row(Some(number), if named { "h" } else { "" }, line)
    });
    Block {
        title: format!("Log lines {} to {} ({})", excerpt.start, excerpt.end, text(&excerpt.kind)),
        lines: lines.collect(),
    }
}

fn context(code: &CodeContext) -> Block {
    let mut colours = Highlighter::new(&code.path);
    let shown = literal(head(&code.text, LONGEST_TEXT));
    let lines = (code.first_line..).zip(shown.lines()).map(|(number, line)| {
        let about = number == code.about.line;
        Row {
            number: Some(number),
            kind: if about { "h" } else { "" },
            sign: "",
            pieces: pieces(line, &colours.line(line), &[]),
        }
    });
    Block { title: text(&format!("{} (the code)", code.path)), lines: lines.collect() }
}

fn plain_block(title: &str, body: &str) -> Block {
    let shown = visible(head(body, LONGEST_TEXT));
    Block { title: text(title), lines: shown.lines().map(|line| row(None, "", line)).collect() }
}

fn row(number: Option<u64>, kind: &'static str, line: &str) -> Row {
    Row { number, kind, sign: "", pieces: pieces(line, &[], &[]) }
}

fn files(diff: &str, budget: &mut Budget) -> Vec<File> {
    diff::parse(diff)
        .into_iter()
        .map(|file| {
            let (mut old, mut new) = (Highlighter::new(&file.path), Highlighter::new(&file.path));
            let mut shown = File {
                title: text(&file.title()),
                added: file.added,
                removed: file.removed,
                lines: Vec::new(),
                hidden: 0,
            };
            for (n, hunk) in file.hunks.iter().enumerate() {
                if n > 0 {
                    shown.lines.push(row(None, "g", "⋯"));
                }
                for line in &hunk.lines {
                    if budget.lines == 0 {
                        shown.hidden += 1;
                        continue;
                    }
                    budget.lines -= 1;
                    let mut colours = Vec::new();
                    if budget.coloured > 0 {
                        budget.coloured -= 1;
                        // An unchanged line belongs to both sides.
                        colours = match line.change {
                            Change::Removed => old.line(&line.text),
                            Change::Added => new.line(&line.text),
                            Change::Context => {
                                old.line(&line.text);
                                new.line(&line.text)
                            }
                        };
                    }
                    let (kind, sign) = match line.change {
                        Change::Context => ("", " "),
                        Change::Removed => ("r", "-"),
                        Change::Added => ("a", "+"),
                    };
                    shown.lines.push(Row {
                        number: Some(line.number),
                        kind,
                        sign,
                        pieces: pieces(&line.text, &colours, &line.parts),
                    });
                }
            }
            shown
        })
        .collect()
}

/// `line` in pieces that have one class each: of `colours`, and `m` where it lies in `marked`.
fn pieces(
    line: &str,
    colours: &[(std::ops::Range<usize>, &'static str)],
    marked: &[std::ops::Range<usize>],
) -> Vec<Span> {
    let mut cuts: Vec<usize> = colours
        .iter()
        .map(|(range, _)| range)
        .chain(marked)
        .flat_map(|range| [range.start, range.end])
        .chain([0, line.len()])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<Span> = Vec::new();
    for cut in cuts.windows(2) {
        let Some(text) = line.get(cut[0]..cut[1]) else { continue };
        let colour = colours.iter().find(|(range, _)| range.contains(&cut[0]));
        let is_marked = marked.iter().any(|range| range.contains(&cut[0]));
        let class = match (colour.map(|(_, class)| *class), is_marked) {
            (Some(class), true) => format!("{class} m"),
            (Some(class), false) => class.to_owned(),
            (None, true) => "m".to_owned(),
            (None, false) => String::new(),
        };
        match pieces.last_mut() {
            Some(last) if last.class == class => last.text.push_str(text),
            Some(_) | None => pieces.push(Span { class, text: text.to_owned() }),
        }
    }
    pieces
}

/// Bounded and visible.
fn text(text: &str) -> String {
    visible(head(text, LONGEST_TEXT)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn html(events: &[Stamped]) -> String {
        String::from_utf8(render(&RunHistory::of(events)).unwrap()).unwrap()
    }

    #[test]
    fn the_page_tells_the_run_and_loads_nothing() {
        let page = html(&fixtures::healed());
        for expected in [
            "Healed, deployed and verified",
            "The new release, verified",
            "Iteration 3 of 6",
            "class=\"k\"",
            "require_approval",
            "10,800 sent, 790 received",
            "default-src &#x27;none&#x27;",
        ] {
            let plain = expected.replace("&#x27;", "'");
            assert!(page.contains(&plain), "{expected}");
        }
        for forbidden in ["<script", "http-equiv=\"refresh\"", " src=", "<link", "url(", "@import"]
        {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let evil = "<img src=x onerror=alert(1)>\"'</pre></script>{{ 7*7 }}\u{1b}[2J";
        let mut events = fixtures::every_event();
        for stamped in &mut events {
            match &mut stamped.event {
                RunEvent::Started(header) => {
                    header.title = evil.into();
                    header.commit_subject = evil.into();
                    header.author = evil.into();
                }
                RunEvent::StageFailed { failure, .. } => {
                    failure.headline = evil.into();
                    for excerpt in &mut failure.evidence.excerpts {
                        excerpt.text = evil.into();
                    }
                    failure.evidence.service_log = Some(evil.into());
                }
                RunEvent::PatchProposed { reason, diff, .. } => {
                    *reason = evil.into();
                    *diff = diff.replace("litres", evil);
                }
                _ => {}
            }
        }
        let page = html(&events);
        assert!(page.contains("onerror=alert(1)"), "the text is there");
        assert!(!page.contains("<img") && !page.contains("</script>") && !page.contains(">49<"));
        assert!(!page.contains('\u{1b}'));
    }

    #[test]
    fn logs_are_linked_beside_the_page() {
        let page = html(&fixtures::healed());
        let page = page.replace("&#x2f;", "/");
        assert!(page.contains(r#"href="stages/1-gates-build.log""#), "{page}");
        for (log, href) in [
            ("stages/1-smoke-über x#1.log", Some("stages/1-smoke-%C3%BCber%20x%231.log")),
            ("../x.log", None),
            ("/etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(link(log, "log").map(|link| link.href).as_deref(), href, "{log}");
        }
        assert!(!link("javascript:alert(1)", "x").unwrap().href.contains(':'));
    }

    #[test]
    fn the_page_is_bounded() {
        let mut diff = "--- a/x.rs\n+++ b/x.rs\n".to_owned();
        diff.push_str("@@ -0,0 +1,100000 @@\n");
        diff.push_str(&"+let x = 1; // a line of no interest\n".repeat(100_000));
        let mut events = fixtures::healed();
        for stamped in &mut events {
            if let RunEvent::PatchProposed { diff: proposed, .. } = &mut stamped.event {
                proposed.clone_from(&diff);
            }
        }
        let page = html(&events);
        assert!(page.len() < 4 << 20, "{} bytes", page.len());
        assert!(page.contains("more lines"));
    }

    #[test]
    fn a_run_that_broke_off_has_a_page() {
        let events = fixtures::healed();
        assert!(html(&events[..12]).contains("The run was interrupted"));
        assert!(html(&[]).contains("The run was interrupted"));
    }
}
