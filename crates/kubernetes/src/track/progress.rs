//! Tells the run's event stream how far a rollout has come: milestones and reasons for waiting,
//! each once, not what every watch brings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::judge::{RolloutVerdict, in_words};
use super::signal::Signal;
use super::view::{View, statuses};
use super::workload_status::WorkloadStatus;
use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, RunEvent, Stage, counted};

/// Pods that one reason is told of: a hundred replicas wait for the same.
const MOST_REASONS: usize = 3;

/// What has been told.
pub(super) struct ReportedProgress<'a> {
    events: &'a EventSink,
    redactor: &'a Redactor,
    /// The most pods that were ready, and whether all were there, by workload.
    standings: Vec<(i32, bool)>,
    reasons: BTreeSet<(&'static str, String)>,
    /// How many of them were of one rule and workload.
    reasons_of: BTreeMap<(&'static str, usize), usize>,
    soaking: Option<Duration>,
    /// What was known when the API server went away.
    away: Option<Before>,
}

/// How things stood before an outage.
struct Before {
    standings: Vec<String>,
    restarts: i32,
}

impl Before {
    fn of(view: &View) -> Self {
        let pods = (0..view.followed.len()).flat_map(|scope| view.new_pods(scope));
        let restarts = pods.flat_map(|(_, seen)| statuses(&seen.pod));
        Self {
            standings: view.standings().iter().map(|standing| standing.words.clone()).collect(),
            restarts: restarts.map(|(status, _)| status.restart_count).sum(),
        }
    }

    /// What has changed until now.
    fn missed(&self, view: &View) -> Vec<String> {
        let now = Self::of(view);
        let mut missed = Vec::new();
        for (scope, (before, after)) in self.standings.iter().zip(&now.standings).enumerate() {
            if before != after {
                let title = view.followed.get(scope).map(|followed| followed.title());
                missed.push(format!("{}: {after}, was {before}", title.unwrap_or_default()));
            }
        }
        if let Ok(restarts @ 1..) = usize::try_from(now.restarts - self.restarts) {
            missed.push(counted(restarts, "restart", "restarts"));
        }
        missed
    }
}

/// Bytes of a line for a person.
const LINE: usize = 800;

/// What a cluster says, as a line for a person: redacted, and only then cut.
pub(super) fn shown(redactor: &Redactor, text: &str) -> String {
    redactor.head(text.as_bytes(), LINE)
}

impl<'a> ReportedProgress<'a> {
    pub(super) fn new(events: &'a EventSink, redactor: &'a Redactor) -> Self {
        Self {
            events,
            redactor,
            standings: Vec::new(),
            reasons: BTreeSet::new(),
            reasons_of: BTreeMap::new(),
            soaking: None,
            away: None,
        }
    }

    /// Tells what is new.
    pub(super) fn tell(
        &mut self,
        view: &View,
        signals: &[Signal],
        verdict: &RolloutVerdict,
        now: Duration,
    ) {
        let standings = view.standings();
        self.standings.resize(standings.len(), (0, false));
        for (scope, standing) in standings.iter().enumerate() {
            self.workload_status(view, scope, standing, now);
        }
        for signal in signals {
            let of = self.reasons_of.entry((signal.rule.id, signal.scope)).or_default();
            if *of < MOST_REASONS && self.reasons.insert((signal.rule.id, signal.subject())) {
                *of += 1;
                let name = view.followed.get(signal.scope).map(|followed| followed.title());
                self.output(name.unwrap_or_default(), &in_words(view, signal));
            }
        }
        match verdict {
            RolloutVerdict::Soaking { until } if self.soaking != Some(*until) => {
                let words = match self.soaking {
                    None => "all available",
                    Some(_) => "available again",
                };
                self.soaking = Some(*until);
                let left = until.saturating_sub(now).as_secs_f64();
                self.output(
                    "soak".to_owned(),
                    &format!("{words}, watching restarts for {left:.0} s"),
                );
            }
            RolloutVerdict::Ready { soaked } => {
                let detail = match soaked.is_zero() {
                    true => "nothing to watch".to_owned(),
                    false => format!("no restarts in {:.0} s", soaked.as_secs_f64()),
                };
                self.step("soak".to_owned(), detail, *soaked);
            }
            RolloutVerdict::Soaking { .. }
            | RolloutVerdict::Progressing { .. }
            | RolloutVerdict::WaveReady
            | RolloutVerdict::Yields { .. }
            | RolloutVerdict::Failed(_)
            | RolloutVerdict::Late(_)
            | RolloutVerdict::Superseded { .. } => {}
        }
    }

    fn workload_status(
        &mut self,
        view: &View,
        scope: usize,
        standing: &WorkloadStatus,
        now: Duration,
    ) {
        let Some((most, was_done)) = self.standings.get_mut(scope) else { return };
        let done_now = standing.done && !*was_done;
        if standing.ready <= *most && !done_now {
            return;
        }
        *most = standing.ready.max(*most);
        *was_done |= standing.done;
        let name = view.followed.get(scope).map(|followed| followed.title()).unwrap_or_default();
        self.step(name, standing.words.clone(), now);
    }

    /// The API server is away: told once, until it is back.
    pub(super) fn away(&mut self, view: &View, why: &str) {
        if self.away.is_none() {
            self.away = Some(Before::of(view));
            let words = format!("the API server is unreachable, retrying: {why}");
            self.output("kubernetes".to_owned(), words.trim_end_matches([' ', ':']));
        }
    }

    /// It is back, and everything has been listed again.
    pub(super) fn back(&mut self, view: &View, after: Duration) {
        let Some(before) = self.away.take() else { return };
        let missed = before.missed(view);
        let missed = match missed.as_slice() {
            [] => "nothing has changed in the meantime".to_owned(),
            missed => format!("meanwhile: {}", missed.join("; ")),
        };
        let after = after.as_secs_f64();
        let words = format!("the API server is reachable again after {after:.0} s; {missed}");
        self.output("kubernetes".to_owned(), &words);
    }

    /// Something to be read beside the milestones.
    pub(super) fn output(&self, name: String, line: &str) {
        let text = format!("{}\n", shown(self.redactor, line));
        self.events.send(RunEvent::Output { stage: Stage::Rollout, name, text });
    }

    fn step(&self, name: String, detail: String, elapsed: Duration) {
        let detail = self.redactor.redact(&detail).into_owned();
        let stage = Stage::Rollout;
        self.events.send(RunEvent::StepFinished { stage, name, ok: true, detail, elapsed });
    }
}
