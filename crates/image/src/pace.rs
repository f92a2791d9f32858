//! Keeps frequent events to a few a second.

use std::time::{Duration, Instant};

use greenloop_model::{EventSink, RunEvent, Stage};

/// Between two events of one measure.
const BETWEEN: Duration = Duration::from_millis(200);

/// How far one thing has come, told at most five times a second.
#[derive(Debug)]
pub(super) struct ProgressThrottle {
    name: String,
    events: EventSink,
    told: Option<Instant>,
    last: Option<(u64, Option<u64>)>,
}

impl ProgressThrottle {
    pub(super) fn new(name: &str, events: &EventSink) -> Self {
        Self { name: name.to_owned(), events: events.clone(), told: None, last: None }
    }

    /// Reports it, unless it was reported just now; the end is always reported, once.
    pub(super) fn at(&mut self, done: u64, total: Option<u64>) {
        let whole = total.is_some_and(|total| done >= total);
        let due = self.told.is_none_or(|told| told.elapsed() >= BETWEEN);
        if (due || whole) && self.last != Some((done, total)) {
            self.told = Some(Instant::now());
            self.last = Some((done, total));
            let name = self.name.clone();
            self.events.send(RunEvent::Progress { stage: Stage::Image, name, done, total });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_event_and_the_end_another() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut pace = ProgressThrottle::new("push", &EventSink::new(sender));
        for done in 0..=1000 {
            pace.at(done, Some(1000));
        }
        pace.at(1000, Some(1000));
        let told: Vec<u64> = receiver
            .try_iter()
            .filter_map(|event| match event {
                RunEvent::Progress { done, .. } => Some(done),
                _ => None,
            })
            .collect();
        assert_eq!(told.first(), Some(&0));
        assert_eq!(told.last(), Some(&1000));
        assert!(told.len() <= 3, "{told:?}");
    }
}
