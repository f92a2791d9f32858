//! Waits that a model asks for: reported before they begin, and refused when they exceed the run's
//! time limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Driver;
use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, Notice, RunEvent};
use greenloop_ports::{ModelWait, SilentWaits, Waits};

/// A pause that the server did not ask for is worth a line from here on.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// Tells of pauses while one request is under way.
struct ToldWaits {
    events: EventSink,
    redactor: Redactor,
    limit: Option<TimeLimit>,
}

/// The run's time limit.
#[derive(Debug, Clone, Copy)]
struct TimeLimit {
    /// What is configured.
    whole: Duration,
    /// When it is reached.
    ends: Instant,
}

impl Driver {
    /// For the request that is made next. [`no_waits`] takes its place afterwards: it holds a sink
    /// of events.
    pub(super) fn waits(&self) -> Arc<dyn Waits> {
        let limit = self.state.spec().limits.max_duration.map(|whole| {
            let elapsed = self.before + self.began.elapsed().saturating_sub(self.waited);
            TimeLimit { whole, ends: Instant::now() + whole.saturating_sub(elapsed) }
        });
        let (events, redactor) = (self.events.clone(), self.run.redactor.clone());
        Arc::new(ToldWaits { events, redactor, limit })
    }
}

/// Between requests.
pub(super) fn no_waits() -> Arc<dyn Waits> {
    Arc::new(SilentWaits)
}

impl Waits for ToldWaits {
    fn allow(&self, wait: &ModelWait) -> Result<(), String> {
        let ModelWait { model, reason, asked, pause, retry, retries } = wait;
        if let Some(TimeLimit { whole, ends }) = self.limit {
            let left = ends.saturating_duration_since(Instant::now());
            let needed = asked.unwrap_or_default().max(*pause);
            if needed > left {
                return Err(format!(
                    "the wait of {} s before the next try is longer than the {} s that are left \
                     of the run's time limit (`safety.max_duration`: {} s)",
                    needed.as_secs(),
                    left.as_secs(),
                    whole.as_secs(),
                ));
            }
        }
        if asked.is_some_and(|asked| asked >= Duration::from_secs(1)) || *pause >= WORTH_TELLING {
            let asks = asked.map(|it| format!("; the server asks to wait {} s", it.as_secs()));
            let text = format!(
                "{model}: {reason}{}; waiting {} s{}, then retry {retry} of {retries} \
                 (Ctrl-C ends the run)",
                asks.unwrap_or_default(),
                pause.as_secs_f32().round(),
                until(*pause).map(|until| format!(" until {until}")).unwrap_or_default(),
            );
            let text = self.redactor.redact(&text).into_owned();
            self.events.send(RunEvent::Notice(Notice::Warning(text)));
        }
        Ok(())
    }
}

/// When a pause that begins now ends.
fn until(pause: Duration) -> Option<String> {
    let end = jiff::Timestamp::now().checked_add(pause).ok()?;
    Some(end.strftime("%H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(asked: Option<u32>, pause: u32) -> ModelWait {
        ModelWait {
            model: "m at localhost".to_owned(),
            reason: "HTTP status 429: slow down, key-4711".to_owned(),
            asked: asked.map(|asked| asked * SECOND),
            pause: pause * SECOND,
            retry: 1,
            retries: 3,
        }
    }

    /// The outcome of a wait in a run with `left` seconds, and the notices that were sent.
    fn asked(left: Option<u32>, wait: &ModelWait) -> (Result<(), String>, Vec<String>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let limit = left
            .map(|left| TimeLimit { whole: 2_700 * SECOND, ends: Instant::now() + left * SECOND });
        let redactor = Redactor::new(["key-4711".to_owned()]);
        let waits = ToldWaits { events: EventSink::new(sender), redactor, limit };
        let allowed = waits.allow(wait);
        drop(waits);
        let told = receiver.iter().map(|event| match event {
            RunEvent::Notice(Notice::Warning(text)) => text,
            other => panic!("{other:?}"),
        });
        (allowed, told.collect())
    }

    #[test]
    fn a_wait_is_told_before_it_begins() {
        for (asked_for, pause) in [(Some(50), 55), (Some(1), 1), (None, 9)] {
            let (allowed, told) = asked(None, &wait(asked_for, pause));
            assert_eq!(allowed, Ok(()));
            let [told] = told.as_slice() else { panic!("{told:?}") };
            let waits = format!("waiting {pause} s until ");
            for part in ["m at localhost", "HTTP status 429", &waits, "retry 1 of 3", "Ctrl-C"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(!told.contains("key-4711"), "{told}");
            let asks = asked_for.map(|asked| format!("the server asks to wait {asked} s"));
            assert!(asks.is_none_or(|asks| told.contains(&asks)), "{told}");
        }
        assert_eq!(asked(None, &wait(None, 2)), (Ok(()), Vec::new()));
    }

    #[test]
    fn a_wait_beyond_the_time_limit_does_not_begin() {
        for (asked_for, pause) in [(Some(900), 60), (None, 700)] {
            let (allowed, told) = asked(Some(600), &wait(asked_for, pause));
            let why = allowed.unwrap_err();
            assert!(why.contains("`safety.max_duration`: 2700 s"), "{why}");
            assert!(told.is_empty(), "{told:?}");
        }
        assert_eq!(asked(Some(600), &wait(Some(60), 60)).0, Ok(()));
    }
}
