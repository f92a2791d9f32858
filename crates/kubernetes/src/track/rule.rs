//! What a row of the rule table says, and how a sign is looked up in it.

use std::time::Duration;

use greenloop_model::FailureClass;

/// Where a sign of trouble was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The workload's own conditions and settings; words of ours for what has no reason there.
    Workload,
    /// A pod that could not be created: a `ReplicaFailure` condition or a `FailedCreate` event.
    Create,
    /// A pod as a whole: `status.reason` of a failed one, or `DisruptionTarget`.
    Pod,
    /// The pod's `PodScheduled` condition.
    Schedule,
    /// Events of a pod that has not started: volumes, sandbox.
    Setup,
    /// A container's `state.waiting`.
    Waiting,
    /// A container that could not be started: `terminated` with a start error.
    Start,
    /// Terminations of a container; the reason is ours, see `crash.rs`.
    Crash,
    /// `Killing` events: the kubelet took a container down for its probe.
    Kill,
    /// A container that runs and is not ready; the reason is ours, see `signal.rs`.
    Probe,
    /// The clock alone.
    Clock,
}

/// When a sign is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The first time it is seen.
    Now,
    /// When it has lasted this long without a break.
    After(Duration),
    /// When it has been counted this often.
    Times(u32),
    /// Whichever comes first.
    TimesOrAfter(u32, Duration),
    /// When the probe's own window has passed since the container started, and at least this.
    Window(Duration),
    /// Never by itself: it is shown, and names the class when the deadline comes.
    Never,
}

/// Whether something else in the release can change a sign, so that it is not final while that
/// gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deferral {
    /// Nothing can.
    None,
    /// Whatever else moves: its count or its age begins when everything else has come to rest.
    Moving,
    /// A Job of the release that has yet to end, or an object of the release that names what is
    /// missing.
    Made,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name in messages, records and `docs/rollout-rules.md`.
    pub(super) id: &'static str,
    /// Where it looks.
    pub(super) source: Source,
    /// The reasons it is about; any reason when empty.
    pub(super) reasons: &'static [&'static str],
    /// One of these stands in the message, in any case; any message when empty.
    pub(super) says: &'static [&'static str],
    /// And all of these do.
    pub(super) also: &'static [&'static str],
    /// None of these does.
    pub(super) but_not: &'static [&'static str],
    /// When it is final.
    pub(super) when: When,
    /// Whether something else can change it.
    pub(super) deferral: Deferral,
    /// Where the failure is routed to.
    pub(super) class: FailureClass,
    /// Whether the class that the container's own log tells comes first.
    pub(super) log_class: bool,
    /// The line for a person; `{pod}`, `{container}`, `{image}`, `{workload}`, `{count}` and
    /// `{message}` are filled in.
    pub(super) line: &'static str,
    /// What it is for, for the documentation and the evidence.
    pub(super) about: &'static str,
    /// Reasons and messages as clusters write them, checked by a test to come to this row.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that checks them"))]
    pub(super) examples: &'static [(&'static str, &'static str)],
}

impl Rule {
    pub(super) fn fits(&self, source: Source, reason: &str, message: &str) -> bool {
        let has = |word: &&str| contains(message, word);
        self.source == source
            && (self.reasons.is_empty() || self.reasons.contains(&reason))
            && (self.says.is_empty() || self.says.iter().any(has))
            && self.also.iter().all(has)
            && !self.but_not.iter().any(has)
    }

    /// Whether a sign of this age and count is final.
    pub(super) fn is_final(&self, age: Duration, count: u32, window: Duration) -> bool {
        match self.when {
            When::Never => false,
            When::Times(times) => count >= times,
            When::TimesOrAfter(times, _) if count >= times => true,
            _ => self.ripe_at(window).is_some_and(|ripe| age >= ripe),
        }
    }

    /// The age at which a sign becomes final by age alone.
    pub(super) fn ripe_at(&self, window: Duration) -> Option<Duration> {
        match self.when {
            When::Now => Some(Duration::ZERO),
            When::After(age) | When::TimesOrAfter(_, age) => Some(age),
            When::Window(least) => Some(window.max(least)),
            When::Times(_) | When::Never => None,
        }
    }
}

/// Whether `word` stands in `text`, in any ASCII case.
pub(super) fn contains(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    !word.is_empty() && text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

/// For the tables: seconds.
pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the fields of a row are that are not written.
pub(super) const ROW: Rule = Rule {
    id: "",
    source: Source::Clock,
    reasons: &[],
    says: &[],
    also: &[],
    but_not: &[],
    when: When::Never,
    deferral: Deferral::None,
    class: FailureClass::Unknown,
    log_class: false,
    line: "",
    about: "",
    examples: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_by_age_count_or_window() {
        let s = Duration::from_secs;
        let rule = |when| Rule { when, ..ROW };
        for (when, age, count, window, expect) in [
            (When::Now, 0, 1, 0, true),
            (When::After(s(5)), 4, 9, 0, false),
            (When::After(s(5)), 5, 1, 0, true),
            (When::Times(2), 99, 1, 0, false),
            (When::Times(2), 0, 2, 0, true),
            (When::TimesOrAfter(2, s(5)), 1, 2, 0, true),
            (When::TimesOrAfter(2, s(5)), 5, 1, 0, true),
            (When::TimesOrAfter(2, s(5)), 4, 1, 0, false),
            (When::Window(s(10)), 11, 1, 20, false),
            (When::Window(s(10)), 20, 1, 20, true),
            (When::Window(s(10)), 9, 1, 3, false),
            (When::Never, 9999, 99, 0, false),
        ] {
            assert_eq!(rule(when).is_final(s(age), count, s(window)), expect, "{when:?} at {age}");
        }
    }
}
