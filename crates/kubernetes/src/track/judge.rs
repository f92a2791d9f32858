//! The judgement: a snapshot and the time in, a [`RolloutVerdict`] out. Reads no clock and no cluster.

use std::time::Duration;

use super::cause::Cause;
use super::probe;
use super::rule::{Deferral, Source};
use super::rules::{find, rules};
use super::signal::Signal;
use super::signals::signals;
use super::view::{View, is_sidecar, statuses};
use super::workload_status::WorkloadStatus;
use super::{TrackSettings, WorkloadKind};
use greenloop_model::{FailureClass, times};

/// How long restart counts must stay still when nothing says longer.
const LEAST_SOAK: Duration = Duration::from_secs(10);

/// How long a container without a probe must run before what is awaited counts as there: it is
/// ready as soon as it runs, and a program that fails at its start does so within this.
const UNPROBED: Duration = Duration::from_secs(3);

/// What a snapshot is judged for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal<'a> {
    /// That everything is there and stays so.
    Prove,
    /// That these workloads are there, each with whether it is firm. Those that are not are
    /// awaited in the order of kinds only, until then, and no longer once they wait themselves.
    Settle { awaited: &'a [(usize, bool)], until: Duration },
}

/// What a snapshot amounts to.
#[derive(Debug, Clone)]
pub(super) enum RolloutVerdict {
    /// Everything is there and has stayed so.
    Ready { soaked: Duration },
    /// Everything is there; restarts are watched until then.
    Soaking { until: Duration },
    /// Not there yet. Nothing can change by the clock alone before `look_again`.
    Progressing { look_again: Option<Duration> },
    /// What was to settle is there.
    WaveReady,
    /// What was to settle waits for something itself, or takes too long.
    Yields { why: String },
    /// It cannot succeed.
    Failed(Box<Judgement>),
    /// The deadline has passed.
    Late(Box<Judgement>),
    /// It is no longer this run's.
    Superseded { message: String },
}

/// Why it cannot succeed.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) rule: &'static str,
    pub(super) message: String,
    pub(super) class: FailureClass,
    /// The sign that decided; `None` for the deadline without any.
    pub(super) signal: Option<Signal>,
}

impl View {
    /// Takes the time: remembers since when each sign has been there, and since when everything
    /// has been available. To be called after each change and before each judgement.
    pub(super) fn stamp(&mut self, now: Duration) -> Vec<Signal> {
        let signals = signals(self, now);
        let mut since = std::collections::BTreeMap::new();
        for signal in &signals {
            let key = (signal.rule.id, signal.subject());
            let at = signal.since.or_else(|| self.since.get(&key).copied()).unwrap_or(now);
            since.insert(key, at);
        }
        self.since = since;
        let standings = self.standings();
        let done = !standings.is_empty() && standings.iter().all(|standing| standing.done);
        let restarts = self.restarts();
        self.available = match self.available {
            Some((at, before)) if done && before == restarts => Some((at, before)),
            Some((_, before)) => {
                self.relapses += u32::from(before != restarts);
                done.then_some((now, restarts))
            }
            None => done.then_some((now, restarts)),
        };
        signals
    }

    /// When the last of a workload's containers was started of which no probe tells whether it is
    /// ready; `None` for Jobs, and without such a container.
    fn started_without_probe(&self, scope: usize) -> Option<Duration> {
        let serves =
            |followed: &super::object::Followed| followed.workload.kind != WorkloadKind::Job;
        self.followed.get(scope).filter(|followed| serves(followed))?;
        let started = self.new_pods(scope).flat_map(|(_, seen)| {
            statuses(&seen.pod).filter_map(|(status, init)| {
                let kept = seen.containers.get(&status.name)?;
                let ends = init && !is_sidecar(&seen.pod, &status.name);
                let tells = ends || kept.old || probe::is_probed(&seen.pod, &status.name);
                kept.run.filter(|_| !tells).map(|(_, since)| since)
            })
        });
        started.max()
    }

    /// How far each workload has come.
    pub(super) fn standings(&self) -> Vec<WorkloadStatus> {
        (0..self.followed.len()).map(|scope| self.workload_status(scope)).collect()
    }

    /// Restarts of all new pods' containers since the tracking began.
    fn restarts(&self) -> i64 {
        let scopes = 0..self.followed.len();
        let pods = scopes.flat_map(|scope| self.new_pods(scope));
        pods.flat_map(|(_, seen)| {
            statuses(&seen.pod).map(|(status, _)| {
                let old = seen.containers.get(&status.name).map_or(0, |seen| seen.old_restarts);
                i64::from(status.restart_count - old)
            })
        })
        .sum()
    }

    /// How long restarts are watched: the longest of `minReadySeconds`, two periods of a
    /// readiness probe, and ten seconds. Jobs have done what they should when they end.
    pub(super) fn soak(&self, settings: &TrackSettings) -> Duration {
        let mut soak = Duration::ZERO;
        for (scope, followed) in self.followed.iter().enumerate() {
            let serves = followed.workload.kind != WorkloadKind::Job;
            let Some(object) = followed.object.as_ref().filter(|_| serves) else { continue };
            if self.new_pods(scope).next().is_none() {
                continue;
            }
            if let Some(configured) = settings.soak {
                return configured;
            }
            let least = u64::try_from(object.min_ready_seconds()).unwrap_or(0);
            soak = soak.max(LEAST_SOAK).max(Duration::from_secs(least));
            let spec = object.template().and_then(|template| template.spec.as_ref());
            let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
            for readiness in containers.iter().filter_map(|c| c.readiness_probe.as_ref()) {
                soak = soak.max(probe::period(readiness) * 2);
            }
        }
        soak
    }
}

/// What the snapshot amounts to at `now`; `deadline` is the settings' one and the outages that
/// count.
pub(super) fn judge(
    view: &View,
    signals: &[Signal],
    settings: &TrackSettings,
    deadline: Duration,
    now: Duration,
    goal: Goal<'_>,
) -> RolloutVerdict {
    if let Some(message) = view.followed.iter().find_map(|followed| followed.superseded.clone()) {
        return RolloutVerdict::Superseded { message };
    }
    let age = |signal: &Signal| now.saturating_sub(since(view, signal).unwrap_or(now));
    let is_final = |signal: &&Signal| {
        !signal.held && signal.rule.is_final(age(signal), signal.count, signal.window)
    };
    let wave = AwaitedWave::of(view, goal, now);
    let yields = |signal: &Signal| wave.as_ref().is_some_and(|wave| wave.yields_to(view, signal));
    if let Some(signal) = signals.iter().filter(is_final).min_by_key(|signal| place(signal))
        && !yields(signal)
    {
        return RolloutVerdict::Failed(Box::new(Judgement {
            rule: signal.rule.id,
            message: in_words(view, signal),
            class: class(signal),
            signal: Some(signal.clone()),
        }));
    }
    if let Some(wave) = &wave {
        if wave.left.is_empty() {
            return RolloutVerdict::WaveReady;
        }
        if let Some(signal) = signals.iter().find(|signal| yields(signal)) {
            return RolloutVerdict::Yields { why: in_words(view, signal) };
        }
        if let Some(why) = wave.waits(view) {
            return RolloutVerdict::Yields { why };
        }
        if wave.is_soft() && now >= wave.until {
            let why = format!("{} is taking long", wave.titles(view));
            return RolloutVerdict::Yields { why };
        }
    } else if let Some((since, _)) = view.available {
        // What died once after it had become available has to prove itself for longer.
        let until = since + view.soak(settings) * (1 + view.relapses.min(2));
        return match now >= until {
            true => RolloutVerdict::Ready { soaked: now.saturating_sub(since) },
            // Time that is needed to prove what is there already is not taken from it.
            false => RolloutVerdict::Soaking { until },
        };
    }
    if now >= deadline {
        return RolloutVerdict::Late(Box::new(too_late(view, signals, settings)));
    }
    let ripe = signals.iter().filter(|signal| !signal.held).filter_map(|signal| {
        let since = since(view, signal)?;
        Some(since + signal.rule.ripe_at(signal.window)?).filter(|at| *at > now)
    });
    let proven = wave.as_ref().and_then(|wave| wave.proven);
    let until = wave.filter(AwaitedWave::is_soft).map(|wave| wave.until);
    let moments = ripe.chain([deadline]).chain(until).chain(proven);
    RolloutVerdict::Progressing { look_again: moments.min() }
}

/// What is left of what is to settle.
struct AwaitedWave {
    left: Vec<(usize, bool)>,
    until: Duration,
    /// When the last of the containers without a probe has run for long enough.
    proven: Option<Duration>,
}

impl AwaitedWave {
    fn of(view: &View, goal: Goal<'_>, now: Duration) -> Option<Self> {
        let Goal::Settle { awaited, until } = goal else { return None };
        let mut left = Vec::new();
        let mut proven: Option<Duration> = None;
        for (scope, firm) in awaited {
            let at = view.started_without_probe(*scope).map(|since| since + UNPROBED);
            let at = at.filter(|at| *at > now);
            if at.is_some() || !view.workload_status(*scope).done {
                left.push((*scope, *firm));
                proven = proven.max(at);
            }
        }
        Some(Self { left, until, proven })
    }

    /// Whether nothing that is left must be there.
    fn is_soft(&self) -> bool {
        self.left.iter().all(|(_, firm)| !firm)
    }

    /// Whether the sign is one of a workload that waits for what comes later, perhaps: it says that
    /// it waits, it dies a second time without saying why, or it lacks what a later wave may make.
    fn yields_to(&self, view: &View, signal: &Signal) -> bool {
        let of_left = self.left.iter().any(|(scope, _)| *scope == signal.scope);
        let may_wait = match (signal.rule.deferral, signal.rule.source) {
            (Deferral::None, _) => false,
            (Deferral::Made, _) => view.makers_to_come,
            (Deferral::Moving, Source::Crash | Source::Kill) => match signal.cause {
                Cause::Waits(_) => true,
                Cause::Unclear => signal.count > 1,
                Cause::Lasts(_) | Cause::Likely(_) => false,
            },
            (Deferral::Moving, _) => true,
        };
        self.is_soft() && of_left && may_wait
    }

    /// What one of them says that it waits for, without dying of it.
    fn waits(&self, view: &View) -> Option<String> {
        let soft = self.left.iter().filter(|_| self.is_soft());
        let pods = soft.flat_map(|(scope, _)| view.new_pods(*scope));
        pods.flat_map(|(uid, seen)| seen.containers.keys().map(move |name| (uid, seen, name)))
            .find_map(|(uid, seen, name)| {
                let tail = view.tails.get(&(uid.clone(), name.clone()))?;
                let line = tail.waits.as_deref()?;
                let pod = seen.pod.metadata.name.as_deref().unwrap_or_default();
                Some(format!("pod {pod}: container {name} logs: {line}"))
            })
    }

    fn titles(&self, view: &View) -> String {
        let titles = self.left.iter().filter_map(|(scope, _)| view.followed.get(*scope));
        titles.map(super::object::Followed::title).collect::<Vec<_>>().join(", ")
    }
}

/// Since when the sign counts.
fn since(view: &View, signal: &Signal) -> Option<Duration> {
    let since = view.since.get(&(signal.rule.id, signal.subject())).copied()?;
    Some(signal.from.map_or(since, |from| from.max(since)))
}

/// Its row's place in the table.
fn place(signal: &Signal) -> usize {
    rules().position(|rule| rule.id == signal.rule.id).unwrap_or(usize::MAX)
}

fn class(signal: &Signal) -> FailureClass {
    let told = signal.log_class.filter(|_| signal.rule.log_class);
    told.unwrap_or(signal.rule.class)
}

/// The deadline has passed: the last trouble that was seen names the class.
fn too_late(view: &View, signals: &[Signal], settings: &TrackSettings) -> Judgement {
    let scope = view.standings().iter().position(|standing| !standing.done).unwrap_or_default();
    let title = view.followed.get(scope).map(super::object::Followed::title).unwrap_or_default();
    let standing = view.workload_status(scope);
    let mut message =
        format!("{title} is not ready after {:?}: {}", settings.deadline, standing.words);
    let worst = signals.iter().min_by_key(|signal| place(signal));
    if let Some(signal) = worst {
        message.push_str("; ");
        message.push_str(&in_words(view, signal));
    }
    let clock = find(Source::Clock, "Deadline", &message);
    Judgement {
        rule: clock.map_or("deadline", |rule| rule.id),
        message,
        class: worst.map_or(FailureClass::Timeout, class),
        signal: worst.cloned(),
    }
}

/// The rule's line, filled in: neither redacted nor cut, see [`shown`](super::progress::shown).
pub(super) fn in_words(view: &View, signal: &Signal) -> String {
    let workload = view.followed.get(signal.scope).map(super::object::Followed::title);
    let pod = signal.pod.as_ref().map(|(_, name)| format!("pod {name}"));
    let mut line = String::with_capacity(signal.rule.line.len() + signal.message.len());
    let mut rest = signal.rule.line;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        line.push_str(before);
        match name {
            "workload" => line.push_str(workload.as_deref().unwrap_or_default()),
            "pod" => line.push_str(pod.as_deref().unwrap_or_default()),
            "container" => line.push_str(signal.container.as_deref().unwrap_or_default()),
            "image" => line.push_str(match signal.image.as_str() {
                "" => "its image",
                image => image,
            }),
            "count" => match after.strip_prefix(" times") {
                Some(after) => {
                    line.push_str(&times(signal.count));
                    rest = after;
                    continue;
                }
                None => line.push_str(&signal.count.to_string()),
            },
            _ => line.push_str(signal.message.trim()),
        }
        rest = after;
    }
    line.push_str(rest);
    line.trim_end_matches([':', ' ']).to_owned()
}
