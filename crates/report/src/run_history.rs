//! A run's events, collected for the reports that are written when it is over.

use std::collections::BTreeSet;

use super::reporter::Stamped;
use super::safe_text::head;
use greenloop_model::{
    CommitId, Evaluation, ReleaseId, Review, RunEvent, RunHeader, RunSummary, Stage,
};

/// Events that are kept; a run has a few dozen in each iteration.
const MOST_EVENTS: usize = 20_000;
/// Bytes of a diff that are kept.
const LONGEST_DIFF: usize = 256 << 10;

/// One pass over the stages, or what came before the first.
#[derive(Debug, Default)]
pub(super) struct IterationEvents {
    /// Number, limit and commit; `None` for what came before the first iteration.
    pub(super) iteration: Option<(u32, u32, CommitId)>,
    /// In the order they came; no output, no start and no end of the run.
    pub(super) events: Vec<Stamped>,
}

/// The whole run.
#[derive(Debug, Default)]
pub(super) struct RunHistory {
    pub(super) header: Option<Box<RunHeader>>,
    pub(super) started: Option<jiff::Timestamp>,
    pub(super) ended: Option<jiff::Timestamp>,
    pub(super) passes: Vec<IterationEvents>,
    pub(super) switched: BTreeSet<ReleaseId>,
    pub(super) summary: Option<Box<RunSummary>>,
    kept: usize,
}

impl RunHistory {
    /// Takes in one event.
    pub(super) fn add(&mut self, at: jiff::Timestamp, event: &RunEvent) {
        self.started.get_or_insert(at);
        self.ended = Some(at);
        match event {
            RunEvent::Started(header) => self.header = Some(header.clone()),
            RunEvent::Finished(summary) => self.summary = Some(summary.clone()),
            RunEvent::Output { .. } | RunEvent::Progress { .. } => {}
            RunEvent::IterationStarted { iteration, of, commit } => {
                self.passes.push(IterationEvents {
                    iteration: Some((*iteration, *of, commit.clone())),
                    events: Vec::new(),
                })
            }
            RunEvent::Switched { release, .. } => {
                self.switched.insert(*release);
                self.keep(at, event.clone());
            }
            RunEvent::PatchProposed { iteration, reason, diff, usage } => {
                let diff = head(diff, LONGEST_DIFF).to_owned();
                let (iteration, usage) = (*iteration, *usage);
                let reason = reason.clone();
                self.keep(at, RunEvent::PatchProposed { iteration, reason, diff, usage });
            }
            RunEvent::StagePassed { .. } | RunEvent::StageFailed { .. } => {
                self.put_gates_in_order();
                self.keep(at, event.clone());
            }
            RunEvent::Notice(_)
            | RunEvent::StageStarted { .. }
            | RunEvent::PartStarted { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::GateFinished { .. }
            | RunEvent::StepFinished { .. }
            | RunEvent::FlakyRerun { .. }
            | RunEvent::Restored { .. }
            | RunEvent::AuthorAsked { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::PatchRefused { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::Reviewed { .. }
            | RunEvent::Evaluated { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. } => self.keep(at, event.clone()),
        }
    }

    /// Gates end in any order; a report shows them as they are configured, so that the reports
    /// of two runs can be compared.
    fn put_gates_in_order(&mut self) {
        let Some(pass) = self.passes.last_mut() else { return };
        let started = pass.events.iter().rposition(|stamped| {
            matches!(stamped.event, RunEvent::StageStarted { stage: Stage::Gates, .. })
        });
        let Some((head, rest)) = started.map(|at| pass.events.split_at_mut(at + 1)) else { return };
        let Some(RunEvent::StageStarted { parts, .. }) = head.last().map(|s| &s.event) else {
            return;
        };
        let place = |event: &RunEvent| {
            let RunEvent::GateFinished { result, .. } = event else { return None };
            parts.iter().position(|part| *part == result.name)
        };
        let slots: Vec<usize> =
            (0..rest.len()).filter(|at| place(&rest[*at].event).is_some()).collect();
        let mut gates: Vec<Stamped> = slots.iter().map(|at| rest[*at].clone()).collect();
        gates.sort_by_key(|stamped| place(&stamped.event));
        for (slot, gate) in slots.into_iter().zip(gates) {
            rest[slot] = gate;
        }
    }

    /// From events that were recorded.
    pub(super) fn of(events: &[Stamped]) -> Self {
        let mut history = Self::default();
        for stamped in events {
            history.add(stamped.at, &stamped.event);
        }
        history
    }

    fn keep(&mut self, at: jiff::Timestamp, event: RunEvent) {
        if self.kept == MOST_EVENTS {
            return;
        }
        self.kept += 1;
        if self.passes.is_empty() {
            self.passes.push(IterationEvents::default());
        }
        if let Some(pass) = self.passes.last_mut() {
            pass.events.push(Stamped { at, event });
        }
    }

    /// `deploy to local`, or a stand-in where the run's first event is missing.
    pub(super) fn title(&self) -> &str {
        self.header.as_ref().map_or("a run", |header| &header.title)
    }

    /// Every review, with its iteration.
    pub(super) fn reviews(&self) -> impl Iterator<Item = (u32, &Review)> {
        self.passes.iter().flat_map(|pass| &pass.events).filter_map(|stamped| {
            let RunEvent::Reviewed { iteration, review, .. } = &stamped.event else { return None };
            Some((*iteration, review))
        })
    }

    /// Why each answer of the author was refused, with its iteration.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (u32, &str)> {
        self.passes.iter().flat_map(|pass| &pass.events).filter_map(|stamped| {
            let RunEvent::PatchRefused { iteration, reason, .. } = &stamped.event else {
                return None;
            };
            Some((*iteration, reason.as_str()))
        })
    }

    /// Every evaluation in which a rule matched, with its iteration.
    pub(super) fn evaluations(&self) -> impl Iterator<Item = (u32, &Evaluation)> {
        self.passes.iter().flat_map(|pass| &pass.events).filter_map(|stamped| {
            let RunEvent::Evaluated { iteration, evaluation } = &stamped.event else {
                return None;
            };
            (!evaluation.matches().is_empty()).then_some((*iteration, evaluation))
        })
    }
}
