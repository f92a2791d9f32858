//! What is under way, redrawn at the foot of a terminal: a spinner, a name, the time it has
//! taken, the last line it said.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::line::{Line, Paint};
use super::overall::Overall;
use super::rows::rows;
use super::safe_text::{self, LineAssembler};
use super::{format, human, narrate};
use greenloop_model::{RunEvent, Stage};

/// Who is at work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Worker {
    Stage(Stage),
    Part(Stage, String),
    Author,
    Reviewer,
}

#[derive(Debug)]
struct WorkerRow {
    bar: ProgressBar,
    output: LineAssembler,
}

/// Lines of a part's output that are kept, and the bytes of each.
const TAIL: usize = 20;
const TAIL_LINE: usize = 400;

/// What is shown on demand.
#[derive(Debug, Default)]
struct Shown {
    overall: Overall,
    /// The last lines of each part that runs, and of the last one that did.
    tails: BTreeMap<Worker, VecDeque<String>>,
}

/// What is under way, for a person who asks: may be used by another thread than the reporter's.
#[derive(Debug, Clone)]
pub struct LiveView {
    bars: MultiProgress,
    shown: Arc<Mutex<Shown>>,
    began: Instant,
}

impl LiveView {
    /// Prints the end of the output of what runs.
    pub fn show_tail(&self) {
        let mut lines = Vec::new();
        for (worker, tail) in &self.shown.lock().unwrap_or_else(PoisonError::into_inner).tails {
            if let Worker::Part(_, name) = worker {
                lines.push(format!("--- {name}: the last {} lines", tail.len()));
                lines.extend(tail.iter().cloned());
            }
        }
        if lines.is_empty() {
            lines.push("--- nothing has written anything yet".to_owned());
        }
        self.say(&lines.join("\n"));
    }

    /// Prints how far the run is.
    pub fn show_status(&self) {
        let overall = self.shown.lock().unwrap_or_else(PoisonError::into_inner).overall.text();
        self.say(&format!("--- {overall} · {}", format::duration(self.began.elapsed())));
    }

    /// Prints above what is redrawn.
    pub fn say(&self, text: &str) {
        for line in rows(text, human::columns(), Paint::default()).lines() {
            let _closed = self.bars.println(line);
        }
    }
}

/// The foot of the terminal.
#[derive(Debug)]
pub(super) struct Live {
    bars: MultiProgress,
    shown: Arc<Mutex<Shown>>,
    began: Instant,
    /// The line that stays; `None` before the run and while a person is asked.
    overall: Option<ProgressBar>,
    color: bool,
    /// Columns of the names, the same as in the results above.
    name_width: usize,
    workers: BTreeMap<Worker, WorkerRow>,
}

impl Live {
    pub(super) fn new(color: bool) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(12), color)
    }

    fn on(target: ProgressDrawTarget, color: bool) -> Self {
        Self {
            bars: MultiProgress::with_draw_target(target),
            shown: Arc::default(),
            began: Instant::now(),
            overall: None,
            color,
            name_width: narrate::name_width(Stage::Gates, &[]),
            workers: BTreeMap::new(),
        }
    }

    pub(super) fn view(&self) -> LiveView {
        LiveView { bars: self.bars.clone(), shown: Arc::clone(&self.shown), began: self.began }
    }

    /// The line that stays, with what `event` changes about it.
    fn redraw_overall(&mut self, event: &RunEvent) {
        let text = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.overall.event(event);
            shown.overall.text()
        };
        // A person may be asked next, and what they are asked stays readable.
        if matches!(event, RunEvent::Evaluated { .. } | RunEvent::Finished(_)) {
            self.hide_overall();
            return;
        }
        let bar = self.overall.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_elapsed(self.began.elapsed());
            let bar = self.bars.insert_from_back(0, bar);
            bar.set_style(overall_style(self.color));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        bar.set_message(text);
    }

    fn hide_overall(&mut self) {
        if let Some(bar) = self.overall.take() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn keep_tail(&self, worker: &Worker, lines: &[String]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = shown.tails.entry(worker.clone()).or_default();
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(safe_text::safe(safe_text::head(line, TAIL_LINE)));
        }
    }

    /// Runs `print` with the foot out of the way.
    pub(super) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bars.suspend(print)
    }

    /// Who has stopped with `event`: taken away before its lines are printed.
    pub(super) fn before(&mut self, event: &RunEvent) {
        match event {
            RunEvent::GateFinished { result, .. } => {
                self.stop(&Worker::Part(Stage::Gates, result.name.clone()));
            }
            RunEvent::StepFinished { stage, name, .. } => {
                self.stop(&Worker::Part(*stage, name.clone()));
            }
            RunEvent::StagePassed { .. }
            | RunEvent::StageFailed { .. }
            | RunEvent::IterationStarted { .. }
            | RunEvent::Finished(_) => self.clear(),
            RunEvent::PatchProposed { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. } => self.stop(&Worker::Author),
            RunEvent::Reviewed { .. } => self.stop(&Worker::Reviewer),
            // A person is about to be asked on this terminal.
            RunEvent::Evaluated { .. } => self.finish(),
            RunEvent::Started(_)
            | RunEvent::Notice(_)
            | RunEvent::StageStarted { .. }
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::Progress { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::FlakyRerun { .. }
            | RunEvent::Restored { .. }
            | RunEvent::AuthorAsked { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. } => {}
        }
    }

    /// Who begins with `event`, and what they say.
    pub(super) fn after(&mut self, event: &RunEvent) {
        self.redraw_overall(event);
        match event {
            RunEvent::StageStarted { iteration: _, stage, parts } => {
                // Less than half of a narrow terminal, as in the results.
                let most = human::columns() * 9 / 20;
                self.name_width = narrate::name_width(*stage, parts).min(most);
                if *stage != Stage::Gates {
                    self.start(Worker::Stage(*stage), stage.name());
                }
            }
            RunEvent::PartStarted { stage, name, command } => {
                self.stop(&Worker::Stage(*stage));
                let worker = Worker::Part(*stage, name.clone());
                self.start(worker.clone(), name);
                self.say(&worker, &format!("$ {command}"));
            }
            RunEvent::Output { stage, name, text } => {
                let worker = Worker::Part(*stage, name.clone());
                let lines = self.workers.get_mut(&worker).map(|entry| entry.output.push(text));
                let lines = lines.unwrap_or_default();
                self.keep_tail(&worker, &lines);
                let last = lines.into_iter().rfind(|line| !line.trim().is_empty());
                if let Some(last) = last {
                    self.say(&worker, &last);
                }
            }
            RunEvent::Progress { stage, name, done, total } => {
                let worker = Worker::Part(*stage, name.clone());
                self.say(&worker, &format::progress(*done, *total));
            }
            RunEvent::FlakyRerun { stage, name, passed: None } => {
                self.start(Worker::Part(*stage, name.clone()), name);
            }
            RunEvent::FlakyRerun { stage, name, passed: Some(_) } => {
                self.stop(&Worker::Part(*stage, name.clone()));
            }
            RunEvent::AuthorAsked { model, .. } => {
                self.start(Worker::Author, "author");
                self.say(&Worker::Author, &format!("{model}: writes a patch"));
            }
            RunEvent::AuthorLooked { call, .. } => self.say(&Worker::Author, call),
            RunEvent::ReviewerAsked { model, .. } => {
                self.start(Worker::Reviewer, "review");
                self.say(&Worker::Reviewer, &format!("{model}: reads the patch"));
            }
            RunEvent::Started(_)
            | RunEvent::Notice(_)
            | RunEvent::IterationStarted { .. }
            | RunEvent::GateFinished { .. }
            | RunEvent::StepFinished { .. }
            | RunEvent::StagePassed { .. }
            | RunEvent::StageFailed { .. }
            | RunEvent::Restored { .. }
            | RunEvent::PatchProposed { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::Reviewed { .. }
            | RunEvent::Evaluated { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::Switched { .. }
            | RunEvent::Finished(_) => {}
        }
    }

    /// Takes everything away, at the end.
    pub(super) fn finish(&mut self) {
        self.clear();
        self.hide_overall();
    }

    /// Takes away who is at work.
    fn clear(&mut self) {
        for entry in std::mem::take(&mut self.workers).into_values() {
            entry.bar.finish_and_clear();
        }
    }

    fn start(&mut self, worker: Worker, name: &str) {
        self.stop(&worker);
        if let Worker::Part(..) = &worker {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.tails.retain(|known, _| *known != worker && self.workers.contains_key(known));
        }
        let bar = match &self.overall {
            Some(overall) => self.bars.insert_before(overall, ProgressBar::new_spinner()),
            None => self.bars.add(ProgressBar::new_spinner()),
        };
        bar.set_style(style(self.color));
        let name = Line::new().plain(name).fit(self.name_width);
        let padding = " ".repeat(self.name_width.saturating_sub(name.width()));
        bar.set_prefix(name.render(false) + &padding);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.workers.insert(worker, WorkerRow { bar, output: LineAssembler::default() });
    }

    fn stop(&mut self, worker: &Worker) {
        if let Some(entry) = self.workers.remove(worker) {
            entry.bar.finish_and_clear();
            self.bars.remove(&entry.bar);
        }
    }

    fn say(&self, worker: &Worker, text: &str) {
        if let Some(entry) = self.workers.get(worker) {
            let text = safe_text::head(text, 400);
            entry.bar.set_message(safe_text::safe(text.trim()).replace(['\n', '\t'], " "));
        }
    }
}

const COLOURED: &str = "    {spinner:.cyan} {prefix} {elapsed:>7.dim}  {wide_msg:.dim}";
const PLAIN: &str = "    {spinner} {prefix} {elapsed:>7}  {wide_msg}";

const OVERALL_COLOURED: &str = "  {elapsed:>9.dim}  {wide_msg:.cyan}";
const OVERALL_PLAIN: &str = "  {elapsed:>9}  {wide_msg}";

fn overall_style(color: bool) -> ProgressStyle {
    let template = if color { OVERALL_COLOURED } else { OVERALL_PLAIN };
    let plain = ProgressStyle::default_spinner();
    plain.clone().template(template).unwrap_or(plain)
}

fn style(color: bool) -> ProgressStyle {
    let template = if color { COLOURED } else { PLAIN };
    let spinner = ProgressStyle::default_spinner();
    match spinner.clone().template(template) {
        Ok(style) => style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "),
        // A template that does not parse would be found by the test below.
        Err(_) => spinner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_at_work_when_the_run_is_over() {
        let mut live = Live::on(ProgressDrawTarget::hidden(), true);
        let mut most = 0;
        for stamped in crate::fixtures::healed() {
            live.before(&stamped.event);
            live.after(&stamped.event);
            most = most.max(live.workers.len());
        }
        assert_eq!((most, live.workers.len()), (2, 0));
        assert!(live.overall.is_none());
    }

    #[test]
    fn the_templates_parse() {
        for template in [COLOURED, PLAIN, OVERALL_COLOURED, OVERALL_PLAIN] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
