//! How far a run is, on one line: `iteration 1 of 5 · rollout, stage 2 of 3 · 1,234 tokens · $0.02`.

use greenloop_model::{RunEvent, RunHeader, RunKind, Stage, TargetKind, Usage};

use super::format;

/// What is known of it so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Overall {
    iteration: Option<(u32, u32)>,
    /// The stages that it passes through, as far as that is known.
    stages: Vec<Stage>,
    stage: Option<Stage>,
    /// Stages of this iteration that have begun.
    begun: usize,
    tokens: u64,
    cost: f64,
}

impl Overall {
    pub(super) fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started(header) => self.stages = stages_of(header),
            RunEvent::IterationStarted { iteration, of, .. } => {
                self.iteration = Some((*iteration, *of));
                (self.stage, self.begun) = (None, 0);
            }
            RunEvent::StageStarted { stage, .. } => self.begin(*stage),
            RunEvent::PatchProposed { usage, .. }
            | RunEvent::PatchRefused { usage, .. }
            | RunEvent::Reviewed { usage, .. } => self.spend(usage),
            RunEvent::Notice(_)
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::GateFinished { .. }
            | RunEvent::StepFinished { .. }
            | RunEvent::Progress { .. }
            | RunEvent::ImageReady { .. }
            | RunEvent::StagePassed { .. }
            | RunEvent::StageFailed { .. }
            | RunEvent::FlakyRerun { .. }
            | RunEvent::Restored { .. }
            | RunEvent::AuthorAsked { .. }
            | RunEvent::AuthorLooked { .. }
            | RunEvent::NoPatch { .. }
            | RunEvent::ReviewerAsked { .. }
            | RunEvent::Evaluated { .. }
            | RunEvent::HumanDecided { .. }
            | RunEvent::PatchApplied { .. }
            | RunEvent::Switched { .. }
            | RunEvent::Finished(_) => {}
        }
    }

    fn begin(&mut self, stage: Stage) {
        let order = |stage: &Stage| Stage::ALL.iter().position(|known| known == stage);
        if !self.stages.contains(&stage) {
            self.stages.push(stage);
            self.stages.sort_by_key(order);
        }
        // What was expected before it is not among the run's stages.
        let place = self.stages.iter().position(|known| *known == stage).unwrap_or_default();
        self.stages.drain(self.begun.min(place)..place);
        self.begun = self.begun.min(place) + 1;
        self.stage = Some(stage);
    }

    fn spend(&mut self, usage: &Usage) {
        self.tokens += usage.tokens();
        self.cost += usage.cost_usd;
    }

    pub(super) fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some((iteration, of)) = self.iteration {
            parts.push(format!("iteration {iteration} of {of}"));
        }
        if let Some(stage) = self.stage {
            parts.push(format!("{stage}, stage {} of {}", self.begun, self.stages.len()));
        }
        if self.tokens > 0 {
            parts.push(format!("{} tokens", format::count(self.tokens)));
        }
        if self.cost > 0.0 {
            parts.push(format!("${:.2}", self.cost));
        }
        parts.join(" · ")
    }
}

/// The stages that such a run most often has; those that come are what counts.
fn stages_of(header: &RunHeader) -> Vec<Stage> {
    match (header.task, header.target) {
        (RunKind::Heal, _) => vec![Stage::Gates],
        (RunKind::Verify, _) => vec![Stage::Smoke],
        (RunKind::RollBack, _) => vec![Stage::Rollout, Stage::Smoke],
        (RunKind::Deploy, Some(TargetKind::Docker | TargetKind::Kubernetes)) => {
            vec![Stage::Gates, Stage::Image, Stage::Rollout, Stage::Smoke]
        }
        (RunKind::Deploy, Some(TargetKind::Process) | None) => {
            vec![Stage::Gates, Stage::Rollout, Stage::Smoke]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(events: &[RunEvent]) -> Vec<String> {
        let mut overall = Overall::default();
        events
            .iter()
            .map(|event| {
                overall.event(event);
                overall.text()
            })
            .collect()
    }

    fn stage(stage: Stage) -> RunEvent {
        RunEvent::StageStarted { iteration: 1, stage, parts: Vec::new() }
    }

    #[test]
    fn stages_are_counted_as_they_come() {
        let started = crate::fixtures::healed().into_iter().next().unwrap().event;
        assert!(matches!(&started, RunEvent::Started(header) if header.task == RunKind::Deploy));
        let commit = "ab".repeat(20).parse().unwrap();
        let iteration = RunEvent::IterationStarted { iteration: 1, of: 5, commit };
        // A process, without gates.
        let RunEvent::Started(mut header) = started else { panic!() };
        header.target = Some(TargetKind::Process);
        let said = texts(&[
            RunEvent::Started(header),
            iteration.clone(),
            stage(Stage::Rollout),
            stage(Stage::Smoke),
            iteration,
            stage(Stage::Rollout),
        ]);
        assert_eq!(
            said[1..],
            [
                "iteration 1 of 5",
                "iteration 1 of 5 · rollout, stage 1 of 2",
                "iteration 1 of 5 · smoke, stage 2 of 2",
                "iteration 1 of 5",
                "iteration 1 of 5 · rollout, stage 1 of 2",
            ]
        );
    }

    #[test]
    fn what_models_cost_is_added_up() {
        let mut overall = Overall::default();
        for stamped in crate::fixtures::healed() {
            overall.event(&stamped.event);
        }
        assert!(overall.text().contains(" tokens"), "{}", overall.text());
    }
}
