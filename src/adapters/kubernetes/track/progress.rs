//! Tells the run's event stream how far a rollout has come: milestones and reasons for waiting,
//! each once, not what every watch brings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::judge::{Verdict, in_words};
use super::signal::Signal;
use super::standing::Standing;
use super::view::View;
use crate::evidence::Redactor;
use crate::model::{EventSink, RunEvent, Stage};

/// Pods that one reason is told of: a hundred replicas wait for the same.
const MOST_REASONS: usize = 3;

/// What has been told.
pub(super) struct Told<'a> {
    events: &'a EventSink,
    redactor: &'a Redactor,
    /// The most pods that were ready, and whether all were there, by workload.
    standings: Vec<(i32, bool)>,
    reasons: BTreeSet<(&'static str, String)>,
    /// How many of them were of one rule and workload.
    reasons_of: BTreeMap<(&'static str, usize), usize>,
    soaking: Option<Duration>,
    away: bool,
}

impl<'a> Told<'a> {
    pub(super) fn new(events: &'a EventSink, redactor: &'a Redactor) -> Self {
        Self {
            events,
            redactor,
            standings: Vec::new(),
            reasons: BTreeSet::new(),
            reasons_of: BTreeMap::new(),
            soaking: None,
            away: false,
        }
    }

    /// Tells what is new.
    pub(super) fn tell(
        &mut self,
        view: &View,
        signals: &[Signal],
        verdict: &Verdict,
        now: Duration,
    ) {
        let standings = view.standings();
        self.standings.resize(standings.len(), (0, false));
        for (scope, standing) in standings.iter().enumerate() {
            self.standing(view, scope, standing, now);
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
            Verdict::Soaking { until } if self.soaking != Some(*until) => {
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
            Verdict::Ready { soaked } => {
                let detail = match soaked.is_zero() {
                    true => "nothing to watch".to_owned(),
                    false => format!("no restarts in {:.0} s", soaked.as_secs_f64()),
                };
                self.step("soak".to_owned(), detail, *soaked);
            }
            Verdict::Soaking { .. }
            | Verdict::Progressing { .. }
            | Verdict::Doomed(_)
            | Verdict::Late(_)
            | Verdict::Superseded { .. } => {}
        }
    }

    fn standing(&mut self, view: &View, scope: usize, standing: &Standing, now: Duration) {
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

    /// The API server is away, or back.
    pub(super) fn away(&mut self, away: bool, why: &str) {
        if self.away != away {
            self.away = away;
            let words = match away {
                true => format!("the API server cannot be reached, trying again: {why}"),
                false => "the API server is back".to_owned(),
            };
            self.output("kubernetes".to_owned(), words.trim_end_matches([' ', ':']));
        }
    }

    /// Something to be read beside the milestones.
    pub(super) fn output(&self, name: String, line: &str) {
        let text = format!("{}\n", self.redactor.redact(line));
        self.events.send(RunEvent::Output { stage: Stage::Rollout, name, text });
    }

    fn step(&self, name: String, detail: String, elapsed: Duration) {
        let detail = self.redactor.redact(&detail).into_owned();
        let stage = Stage::Rollout;
        self.events.send(RunEvent::StepFinished { stage, name, ok: true, detail, elapsed });
    }
}
