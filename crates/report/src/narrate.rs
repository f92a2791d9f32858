//! What a person reads while a run goes on: each event as a few lines, styled but not printed.
//!
//! The human, the plain and the Azure reporter print the same lines; they differ in how much of
//! what passes they show ([`Detail`]) and in what they put around them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::diff_lines::{Context, diff_lines};
use super::format;
use super::line::{Line, Tone, text_lines, unbroken, wrap};
use super::link::Paths;
use super::safe_text::LineAssembler;
use super::summary::{self, FailureAttempts, SummaryContext};
use super::verdict;
use super::wording::{class, image_origin, limits, progress_words, rule_match, shortened};
use greenloop_model::{
    Decision, Evaluation, Evidence, Excerpt, Failure, FailureClass, GateResult, GateStatus, Notice,
    Progress, ReleaseId, Review, ReviewVerdict, Risk, RunEvent, RunHeader, RunKind, Stage,
};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Results; what is under way is shown elsewhere, or not at all.
    Results,
    /// Every event, and the output of gates.
    Everything,
}

/// Lines of one part's output that are passed on; the rest stands in its log.
const MOST_OUTPUT: usize = 5_000;
/// Lines of excerpts that are shown for one failure.
const MOST_EXCERPT: usize = 24;
/// Observations beside the failure itself, and lines of each.
const MOST_NOTES: usize = 6;
const MOST_NOTE_LINES: usize = 4;
/// Lines of a response or a service log.
const MOST_RESPONSE: usize = 8;
/// Lines of a proposed diff.
const MOST_DIFF: usize = 80;
/// Where the text beside a label begins.
const GUTTER: usize = 12;

/// Turns events into lines.
#[derive(Debug)]
pub(super) struct Narrator {
    detail: Detail,
    /// All that is known of a failure is told.
    whole: bool,
    width: usize,
    name_width: usize,
    /// Result lines since the stage began.
    results: usize,
    /// The iteration that was shown last.
    iteration: (u32, u32),
    /// The author was asked, and nothing was said of the answer yet.
    author_at_work: bool,
    /// The last failure's headline, while it runs once more.
    suspect: Option<String>,
    last_headline: String,
    output: BTreeMap<(Stage, String), PartOutput>,
    pub(super) header: Option<Box<RunHeader>>,
    switched: BTreeSet<ReleaseId>,
    attempts: Vec<FailureAttempts>,
    paths: Paths,
}

#[derive(Debug, Default)]
struct PartOutput {
    lines: LineAssembler,
    shown: usize,
}

impl Narrator {
    pub(super) fn new(detail: Detail, width: usize) -> Self {
        Self {
            detail,
            whole: detail == Detail::Everything,
            width,
            name_width: name_width(Stage::Gates, &[]),
            results: 0,
            iteration: (0, 0),
            author_at_work: false,
            suspect: None,
            last_headline: String::new(),
            output: BTreeMap::new(),
            header: None,
            switched: BTreeSet::new(),
            attempts: Vec::new(),
            paths: Paths::default(),
        }
    }

    /// With all that is known of each failure, where `whole`.
    pub(super) fn whole(self, whole: bool) -> Self {
        Self { whole: self.whole || whole, ..self }
    }

    /// With paths as `paths` shows them.
    pub(super) fn at(self, paths: Paths) -> Self {
        Self { paths, ..self }
    }

    fn summary_context(&self) -> SummaryContext<'_> {
        SummaryContext {
            header: self.header.as_deref(),
            switched: &self.switched,
            attempts: &self.attempts,
            width: self.width,
            paths: &self.paths,
        }
    }

    /// Columns to fill.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// After the terminal was resized.
    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// The lines for `event`.
    pub(super) fn tell(&mut self, event: &RunEvent) -> Vec<Line> {
        let everything = self.detail == Detail::Everything;
        match event {
            RunEvent::Started(header) => {
                self.header = Some(header.clone());
                self.started(header)
            }
            RunEvent::Notice(Notice::Info(text)) => self.note(Tone::Dim, "note", text),
            RunEvent::Notice(Notice::Warning(text)) => self.note(Tone::Warn, "!", text),
            RunEvent::IterationStarted { iteration, of, commit } => {
                self.iteration = (*iteration, *of);
                if !self.heals() {
                    // It has one pass, whatever the limit says.
                    return vec![Line::new()];
                }
                let [blank, title] = self.heading();
                vec![blank, title.dim(format!("  {}", commit.short()))]
            }
            RunEvent::StageStarted { stage, parts, .. } => {
                self.results = 0;
                // Less than half of a narrow terminal.
                self.name_width = name_width(*stage, parts).min(self.width * 9 / 20);
                vec![Line::indent(2).plain(stage.name())]
            }
            RunEvent::PartStarted { stage: _, name, command } => {
                if everything {
                    vec![Line::indent(4).dim(format!("{name} | $ {command}"))]
                } else {
                    Vec::new()
                }
            }
            RunEvent::Output { stage, name, text } => {
                if everything {
                    self.output(*stage, name, text)
                } else {
                    Vec::new()
                }
            }
            RunEvent::GateFinished { iteration: _, result } => {
                let mut lines = self.rest_of_output(Stage::Gates, &result.name);
                self.results += 1;
                lines.push(self.gate(result));
                lines
            }
            RunEvent::StepFinished { stage, name, ok, detail, elapsed } => {
                let mut lines = self.rest_of_output(*stage, name);
                self.results += 1;
                let mark = if *ok { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
                lines.push(self.result(mark, name, Some(*elapsed), detail));
                lines
            }
            RunEvent::StagePassed { stage, elapsed, .. } => {
                let told = self.results > 0;
                self.results = 0;
                if told && !everything {
                    Vec::new()
                } else {
                    let name = format!("{} passed", stage.name());
                    vec![self.result((Tone::Good, "✓"), &name, Some(*elapsed), "")]
                }
            }
            RunEvent::StageFailed { iteration, failure, progress, elapsed } => {
                let again = self.suspect.take().as_ref() == Some(&failure.headline);
                self.last_headline.clone_from(&failure.headline);
                if again {
                    // What is known of it stands above.
                    return vec![Line::new()];
                }
                self.attempts.push(FailureAttempts {
                    iteration: *iteration,
                    failure: shortened(&failure.headline),
                    outcomes: Vec::new(),
                });
                self.failure(failure, *progress, *elapsed)
            }
            RunEvent::FlakyRerun { stage: _, name, passed } => {
                match passed {
                    None => self.suspect = Some(std::mem::take(&mut self.last_headline)),
                    Some(true) => self.suspect = None,
                    Some(false) => {}
                }
                let (mark, text) = match passed {
                    None => ((Tone::Warn, "↻"), "rerunning on the same tree"),
                    Some(true) => ((Tone::Warn, "~"), "passed this time: flaky"),
                    Some(false) => ((Tone::Bad, "✗"), "failed again: not flaky"),
                };
                vec![self.result(mark, name, None, text)]
            }
            RunEvent::Restored { release: _, ok, detail } => {
                if *ok {
                    return self.labelled("restore", Line::new(), &format!("✓ {detail}"));
                }
                let head = Line::new().push(Tone::Bad, "✗ NOT restored");
                self.labelled("restore", head, detail)
            }
            RunEvent::AuthorAsked { iteration, model } => self.author_asked(*iteration, model),
            RunEvent::AuthorLooked { iteration: _, call } => {
                let label = self.author_label();
                self.labelled(label, Line::new().dim(format!("looked: {call}")), "")
            }
            RunEvent::PatchProposed { iteration: _, reason, diff, usage: _ } => {
                let label = self.author_label();
                let mut lines = self.labelled(label, Line::new(), reason);
                lines.push(Line::new());
                lines.extend(diff_lines(diff, 4, MOST_DIFF, Context::Shown, self.width));
                lines.push(Line::new());
                lines
            }
            RunEvent::PatchRefused { iteration: _, reason, usage: _ } => {
                self.outcome(format!("an answer could not be used: {reason}"));
                let head = Line::new().push(Tone::Warn, "✗").plain(" the answer could not be used");
                let label = self.author_label();
                self.labelled(label, head, reason)
            }
            RunEvent::NoPatch { iteration: _, class, reason } => {
                self.outcome(format!("no patch ({class}): {reason}"));
                let head = Line::new()
                    .push(Tone::Warn, "∅")
                    .strong(" no patch")
                    .dim(format!(" · {class}"));
                let label = self.author_label();
                self.labelled(label, head, reason)
            }
            RunEvent::ReviewerAsked { iteration: _, model } => {
                if everything {
                    let named = self.unless_known(model, |header| &header.reviewer);
                    self.labelled("review", Line::new().dim(format!("is asked{named}")), "")
                } else {
                    Vec::new()
                }
            }
            RunEvent::Reviewed { iteration: _, review, usage: _ } => self.review(review),
            RunEvent::Evaluated { iteration: _, evaluation } => self.evaluation(evaluation),
            RunEvent::HumanDecided { iteration: _, approved, who, reason } => {
                if !*approved {
                    self.outcome(format!("{who} declined it"));
                }
                let (tone, text) = if *approved {
                    (Tone::Good, "✓ approved")
                } else {
                    (Tone::Bad, "✗ declined")
                };
                self.labelled(
                    "person",
                    Line::new().push(tone, text).plain(format!(" by {who}")),
                    reason,
                )
            }
            RunEvent::PatchApplied { iteration: _, commit, files } => {
                self.outcome(format!("applied as {}", commit.short()));
                let head = Line::new()
                    .push(Tone::Good, "✓")
                    .plain(" commit ")
                    .push(Tone::Accent, commit.short())
                    .dim(format!("  {}", files.join(", ")));
                self.labelled("applied", head, "")
            }
            RunEvent::Progress { .. } => Vec::new(),
            RunEvent::ImageReady { image, tags, reused } => {
                let head = Line::new()
                    .plain(format!("{} ", image_origin(*reused)))
                    .push(Tone::Accent, image.short());
                let detail = format!("{}: {}", image.repository(), tags.join(", "));
                self.labelled("image", head, &detail)
            }
            RunEvent::Switched { release, endpoint } => {
                self.switched.insert(*release);
                let head = Line::new()
                    .plain(format!("release {} serves at ", release.short()))
                    .push(Tone::Accent, &endpoint.url);
                self.labelled("switched", head, "")
            }
            RunEvent::Finished(summary) => summary::lines(&self.summary_context(), summary),
        }
    }

    /// Whether failures are healed in this run.
    fn heals(&self) -> bool {
        self.header
            .as_ref()
            .is_none_or(|header| matches!(header.task, RunKind::Deploy | RunKind::Heal))
    }

    /// ` · model` where it is not the one that the run began with.
    fn unless_known(&self, model: &str, known: impl Fn(&RunHeader) -> &String) -> String {
        match &self.header {
            Some(header) if known(header) == model => String::new(),
            Some(_) | None => format!(" · {model}"),
        }
    }

    /// The label of the first thing that is said of the author's answer.
    fn author_label(&mut self) -> &'static str {
        if std::mem::take(&mut self.author_at_work) { "author" } else { "" }
    }

    fn author_asked(&mut self, iteration: u32, model: &str) -> Vec<Line> {
        let mut said = self.unless_known(model, |header| &header.author);
        let mut lines = Vec::new();
        if iteration != self.iteration.0 {
            // A new answer is an iteration too, though no stage runs before it.
            self.iteration.0 = iteration;
            said = format!(" again{said}");
            lines.extend(self.heading());
        }
        if said.is_empty() && self.detail == Detail::Results {
            self.author_at_work = true;
            return lines;
        }
        lines.extend(self.labelled("author", Line::new().dim(format!("is asked{said}")), ""));
        lines
    }

    fn heading(&self) -> [Line; 2] {
        let (iteration, of) = self.iteration;
        let title = format!("Iteration {iteration} of {of}");
        [Line::new(), Line::new().push(Tone::Accent, "▸ ").strong(title)]
    }

    fn outcome(&mut self, outcome: String) {
        if let Some(attempts) = self.attempts.last_mut() {
            match attempts.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, times)) => *times += 1,
                None => attempts.outcomes.push((outcome, 1)),
            }
        }
    }

    fn started(&self, header: &RunHeader) -> Vec<Line> {
        let mut title =
            Line::new().push(Tone::Accent, "greenloop").strong(format!("  {}", header.title));
        if let Some(target) = header.target {
            title = title.dim(format!("  on the {} target", target.name()));
        }
        let mut lines = vec![title, Line::new()];
        let commit = Line::new()
            .plain(header.commit.short())
            .dim(format!("  {}", header.commit_subject))
            .fit(self.width.saturating_sub(GUTTER));
        let label = verdict::commit_label(header).to_lowercase();
        lines.extend(self.labelled(&label, commit, ""));
        if self.heals() {
            if header.author == header.reviewer {
                lines.extend(self.labelled("agents", Line::new(), &header.author));
            } else {
                lines.extend(self.labelled("author", Line::new(), &header.author));
                lines.extend(self.labelled("reviewer", Line::new(), &header.reviewer));
            }
            lines.extend(self.labelled("limits", Line::new(), &limits(header)));
        }
        let folder = &header.folder;
        let records = Line::new().linked(self.paths.shown(folder), self.paths.link(folder));
        lines.extend(self.labelled("records", records, ""));
        if verdict::is_recorded(header) {
            lines.extend(self.note(Tone::Warn, "!", verdict::RECORDED));
        }
        lines
    }

    fn note(&self, tone: Tone, label: &str, text: &str) -> Vec<Line> {
        self.labelled_in(tone, label, Line::new(), text)
    }

    /// `  label     head` and `text` wrapped below it; beside the label where there is no head.
    fn labelled(&self, label: &str, head: Line, text: &str) -> Vec<Line> {
        self.labelled_in(Tone::Dim, label, head, text)
    }

    fn labelled_in(&self, tone: Tone, label: &str, head: Line, text: &str) -> Vec<Line> {
        let start = || {
            if label.is_empty() {
                Line::indent(GUTTER)
            } else {
                Line::indent(2).push(tone, label).pad_to(GUTTER)
            }
        };
        let mut lines = Vec::new();
        if head.width() > 0 {
            lines.push(start().append(head));
            lines.extend(self.text(GUTTER, Tone::Plain, text));
            return lines;
        }
        for (n, piece) in wrap(text, self.width.saturating_sub(GUTTER)).into_iter().enumerate() {
            let line = if n == 0 { start() } else { Line::indent(GUTTER) };
            lines.push(line.plain(piece));
        }
        lines
    }

    fn text(&self, indent: usize, tone: Tone, text: &str) -> Vec<Line> {
        text_lines(indent, tone, text, self.width)
    }

    fn result(
        &self,
        (tone, mark): (Tone, &str),
        name: &str,
        elapsed: Option<Duration>,
        detail: &str,
    ) -> Line {
        let time = elapsed.map(format::duration).unwrap_or_default();
        Line::indent(4)
            .push(tone, mark)
            .plain(format!(" {name}"))
            .pad_to(6 + self.name_width + 1)
            .dim(format!("{time:>7}"))
            .plain("  ")
            .plain(detail)
    }

    fn gate(&self, result: &GateResult) -> Line {
        let advisory = if result.required { "" } else { " (advisory)" };
        let (mark, detail) = match &result.status {
            GateStatus::Passed => ((Tone::Good, "✓"), String::new()),
            GateStatus::Flaky => ((Tone::Warn, "~"), "flaky: passed when rerun".to_owned()),
            GateStatus::Failed(exit) if result.required => ((Tone::Bad, "✗"), exit.to_string()),
            GateStatus::Failed(exit) => ((Tone::Warn, "!"), exit.to_string()),
            GateStatus::Skipped { needs } => {
                let detail = format!("skipped: it needs {needs}");
                return self.result((Tone::Dim, "·"), &result.name, None, &detail);
            }
            GateStatus::Cancelled => ((Tone::Warn, "·"), "cancelled".to_owned()),
        };
        let detail = format!("{detail}{advisory}");
        self.result(mark, &result.name, Some(result.duration), detail.trim_start())
    }

    fn output(&mut self, stage: Stage, name: &str, text: &str) -> Vec<Line> {
        let part = self.output.entry((stage, name.to_owned())).or_default();
        let lines = part.lines.push(text);
        part.print(name, lines)
    }

    fn rest_of_output(&mut self, stage: Stage, name: &str) -> Vec<Line> {
        let Some(mut part) = self.output.remove(&(stage, name.to_owned())) else {
            return Vec::new();
        };
        let last = part.lines.take();
        let mut lines = part.print(name, last.into_iter().collect());
        if part.shown > MOST_OUTPUT {
            // How many lines that is, nobody knows: of a long output not every line is an event.
            lines.push(Line::indent(4).dim(format!("{name} | … the rest is in its log")));
        }
        lines
    }

    fn failure(
        &self,
        failure: &Failure,
        progress: Option<Progress>,
        elapsed: Duration,
    ) -> Vec<Line> {
        let evidence = &failure.evidence;
        let mut lines = vec![Line::new()];
        let mut facts = format!("{} failed", failure.stage);
        // Where nothing was there to tell it from, the class says nothing.
        let unclassified = failure.class == FailureClass::Unknown
            && evidence.exit.is_none()
            && evidence.excerpts.is_empty();
        if !unclassified {
            facts.push_str(&format!(" · {}", class(failure.class)));
        }
        if let Some(progress) = progress {
            facts.push_str(&format!(" · {}", progress_words(progress)));
        }
        facts.push_str(&format!(" · after {}", format::duration(elapsed)));
        let headline = shortened(&failure.headline);
        let mut headline = wrap(&headline, self.width.saturating_sub(4)).into_iter();
        let first = headline.next().unwrap_or_default();
        lines.push(Line::indent(2).push(Tone::Bad, "✗ ").strong(first));
        lines.extend(headline.map(|line| Line::indent(4).strong(line)));
        lines.extend(self.text(4, Tone::Dim, &facts));
        if let (Some(command), Some(exit)) = (&evidence.command, &evidence.exit) {
            lines.push(Line::indent(4).dim("$ ").plain(unbroken(command)).dim(format!("  {exit}")));
        }
        lines.extend(self.notes(failure));
        // A diff was shown when it was made, where everything is; elsewhere a log tells more.
        let everything = self.detail == Detail::Everything;
        let has_log = evidence.excerpts.iter().any(|excerpt| excerpt.kind != Excerpt::DIFF);
        let diff = !everything && (self.whole || !has_log);
        let shown = |excerpt: &&Excerpt| diff || excerpt.kind != Excerpt::DIFF;
        let excerpts: Vec<&Excerpt> = evidence.excerpts.iter().filter(shown).collect();
        lines.extend(excerpt_lines(&excerpts, self.width));
        for exchange in &evidence.http {
            let status = exchange.status.map_or("no response".to_owned(), |s| s.to_string());
            let took = format::duration(exchange.elapsed);
            let line = Line::indent(4)
                .plain(&exchange.request)
                .dim(" → ")
                .push(Tone::Bad, status)
                .dim(format!("  {took}"));
            lines.push(line);
            if !failure.headline.contains(&exchange.complaint) {
                lines.extend(self.text(6, Tone::Plain, &exchange.complaint));
            }
            lines.extend(quoted(&exchange.response, End::First, self.width));
        }
        // Of a long excerpt not every line is.
        let excerpted: Vec<&str> =
            excerpts.iter().flat_map(|excerpt| excerpt.text.lines()).take(MOST_EXCERPT).collect();
        let shown = |line: &str| excerpted.contains(&line);
        let log = evidence.service_log.as_ref();
        if let Some(log) = log.filter(|log| !last(log).all(shown)) {
            lines.push(Line::indent(4).dim("the service's own log ends with"));
            lines.extend(quoted(log, End::Last, self.width));
        }
        lines.extend(self.failing_tests(evidence));
        if let Some(log) = &evidence.log {
            let count = format::counted(evidence.log_lines, "line", "lines");
            let (shown, link) = match &self.header {
                Some(header) => {
                    let path = header.folder.join(log);
                    (self.paths.below(&path, log), self.paths.link(&path))
                }
                None => (log.clone(), None),
            };
            let line = Line::indent(4).dim("whole log: ").linked(shown, link);
            lines.push(line.dim(format!(" ({count})")));
        }
        if failure.flaky_suspect {
            lines.push(Line::indent(4).dim("it may pass if rerun"));
        }
        lines.push(Line::new());
        lines
    }

    /// What else was seen, the most telling first: a few lines, where not everything is wanted.
    fn notes(&self, failure: &Failure) -> Vec<Line> {
        let told = |note: &&String| !failure.headline.contains(note.as_str());
        let notes: Vec<&String> = failure.evidence.notes.iter().filter(told).collect();
        // One more is no longer than the line that says so.
        let most = match notes.len() {
            _ if self.whole => usize::MAX,
            all if all <= MOST_NOTES + 1 => usize::MAX,
            _ => MOST_NOTES,
        };
        let mut lines = Vec::new();
        for note in notes.iter().take(most) {
            let mut wrapped = self.text(4, Tone::Plain, note);
            if !self.whole && wrapped.len() > MOST_NOTE_LINES {
                wrapped.truncate(MOST_NOTE_LINES);
                let last = wrapped.pop().map(|last| last.dim(" …"));
                wrapped.extend(last);
            }
            lines.extend(wrapped);
        }
        if notes.len() > most {
            let more =
                format!("… {} more in the report; `--debug` shows them here", notes.len() - most);
            lines.extend(self.text(4, Tone::Dim, &more));
        }
        lines
    }

    fn failing_tests(&self, evidence: &Evidence) -> Vec<Line> {
        const MOST: usize = 8;
        let tests = &evidence.failing_tests;
        if tests.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<&str> = tests.iter().take(MOST).map(String::as_str).collect();
        let more = format!("and {} more", tests.len().saturating_sub(MOST));
        if tests.len() > MOST {
            names.push(&more);
        }
        self.text(4, Tone::Plain, &format!("failing tests: {}", names.join(", ")))
    }

    fn review(&mut self, review: &Review) -> Vec<Line> {
        let (tone, text) = match review.verdict {
            ReviewVerdict::Approve => (Tone::Good, "✓ approved"),
            ReviewVerdict::Reject => {
                self.outcome(format!("the reviewer rejected it: {}", review.reason));
                (Tone::Bad, "✗ rejected")
            }
        };
        let risk = match review.risk {
            Risk::Low => Tone::Dim,
            Risk::Medium => Tone::Warn,
            Risk::High => Tone::Bad,
        };
        let head = Line::new()
            .push(tone, text)
            .push(risk, format!(" · {} risk", review.risk.name()))
            .dim(self.unless_known(&review.reviewer, |header| &header.reviewer));
        let mut lines = self.labelled("review", head, &review.reason);
        if let Some(suggestion) = &review.suggestion {
            lines.extend(self.text(GUTTER, Tone::Plain, &format!("suggests: {suggestion}")));
        }
        lines
    }

    fn evaluation(&mut self, evaluation: &Evaluation) -> Vec<Line> {
        let decision = evaluation.decision();
        if decision == Decision::Forbid {
            let rules: Vec<&str> =
                evaluation.matches().iter().map(|found| found.rule.as_str()).collect();
            self.outcome(format!("the policy forbids it: {}", rules.join(", ")));
        }
        let (tone, text) = match decision {
            Decision::Allow => (Tone::Good, "✓ allowed"),
            Decision::NeedsHuman => (Tone::Warn, "? needs confirmation by a person"),
            Decision::Forbid => (Tone::Bad, "✗ forbidden"),
        };
        let mut lines = self.labelled("policy", Line::new().push(tone, text), "");
        for found in evaluation.matches() {
            lines.extend(self.text(GUTTER, Tone::Plain, &rule_match(found)));
        }
        lines
    }
}

impl PartOutput {
    fn print(&mut self, name: &str, lines: Vec<String>) -> Vec<Line> {
        let mut printed = Vec::with_capacity(lines.len());
        for line in lines {
            self.shown += 1;
            if self.shown <= MOST_OUTPUT {
                printed.push(Line::indent(4).dim(format!("{name} | ")).plain(line));
            }
        }
        printed
    }
}

/// Columns for the names of a stage's parts. The steps of a rollout and of a flow are not known
/// when the stage begins.
pub(super) fn name_width(stage: Stage, parts: &[String]) -> usize {
    let least = match stage {
        Stage::Gates | Stage::Tasks | Stage::Image => 8,
        Stage::Rollout => 12,
        Stage::Smoke => 30,
    };
    parts.iter().map(|part| part.width()).max().unwrap_or(0).clamp(least, 36)
}

fn excerpt_lines(excerpts: &[&Excerpt], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let total: usize = excerpts.iter().map(|e| e.text.lines().count()).sum();
    let mut shown = 0;
    for (n, excerpt) in excerpts.iter().enumerate() {
        if shown == MOST_EXCERPT {
            break;
        }
        if n > 0 {
            lines.push(Line::indent(4).dim("     ┊"));
        }
        for (number, text) in (excerpt.start..).zip(excerpt.text.lines()) {
            if shown == MOST_EXCERPT {
                break;
            }
            shown += 1;
            lines.push(Line::indent(4).dim(format!("{number:>4} │ ")).plain(text).fit(width));
        }
    }
    if total > shown {
        let more = match total - shown {
            1 => "1 more relevant line".to_owned(),
            more => format!("{} more relevant lines", format::count(more as u64)),
        };
        lines.push(Line::indent(4).dim(format!("     … {more}")));
    }
    lines
}

/// Which end of a long text is shown.
enum End {
    First,
    Last,
}

/// The last lines of a log, as many as are shown of it.
fn last(text: &str) -> impl Iterator<Item = &str> {
    text.trim_end().lines().rev().take(MOST_RESPONSE)
}

fn quoted(text: &str, end: End, width: usize) -> Vec<Line> {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let (from, to) = match end {
        End::First => (0, all.len().min(MOST_RESPONSE)),
        End::Last => (all.len().saturating_sub(MOST_RESPONSE), all.len()),
    };
    all[from..to].iter().map(|line| Line::indent(6).dim("│ ").plain(line).fit(width)).collect()
}
