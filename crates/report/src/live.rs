//! What is under way, redrawn at the foot of a terminal: a spinner, a name, the time it has
//! taken, the last line it said.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::line::Line;
use super::safe_text::{self, LineAssembler};
use super::{format, narrate};
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

/// The foot of the terminal.
#[derive(Debug)]
pub(super) struct Live {
    bars: MultiProgress,
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
            color,
            name_width: narrate::name_width(Stage::Gates, &[]),
            workers: BTreeMap::new(),
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
            RunEvent::Evaluated { .. } => self.clear(),
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
        match event {
            RunEvent::StageStarted { iteration: _, stage, parts } => {
                self.name_width = narrate::name_width(*stage, parts);
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
                let last = self.workers.get_mut(&worker).and_then(|entry| {
                    entry.output.push(text).into_iter().rfind(|l| !l.trim().is_empty())
                });
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

    /// Takes everything away.
    pub(super) fn clear(&mut self) {
        for entry in std::mem::take(&mut self.workers).into_values() {
            entry.bar.finish_and_clear();
        }
    }

    fn start(&mut self, worker: Worker, name: &str) {
        self.stop(&worker);
        let bar = self.bars.add(ProgressBar::new_spinner());
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
    }

    #[test]
    fn the_templates_parse() {
        for template in [COLOURED, PLAIN] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
