//! Where agents wait for work.
//!
//! A thousand that wait must not all look for one task. Those that can do the same stand in one
//! line; news of work wakes the first of each line. Whoever then gets a task wakes the next two,
//! because there may be more; whoever gets none wakes one more, a few times over: it may have
//! been shut out by what it did before. So n tasks cost about n looks, however many wait. What
//! falls through is found by everybody's own look every few seconds.
//!
//! # Guarantees
//! A call that is dropped while it waits hands on what it was woken for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{POLL, StoreError, TaskStore};
use greenloop_hub_api::types::{ClaimRequest, Claimed};

/// How many in a row may look and find nothing.
const MISSES: u8 = 4;
/// How many are woken by one that found something.
const FOUND: usize = 2;

/// What those in one line have in common: their roles, their labels, and the repositories that they
/// do not reach.
type Line = (Vec<String>, Vec<String>, Vec<String>);

/// A look that is due; how many before it found nothing.
#[derive(Debug, Clone, Copy)]
struct PollSlot {
    misses: u8,
}

/// How a task was found for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// It was there when the claim came in.
    AtOnce,
    /// News of work woke the claim.
    Woken,
    /// The claim looked by itself, after a while.
    Polled,
}

impl FoundBy {
    /// The name in figures.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::Woken => "woken",
            Self::Polled => "polled",
        }
    }
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct ClaimQueue {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    next: u64,
    waiting: HashMap<Line, VecDeque<(u64, oneshot::Sender<PollSlot>)>>,
}

impl ClaimQueue {
    /// Wakes the lines whenever something may be claimed, until `end`.
    pub(super) async fn keep(self: Arc<Self>, store: TaskStore, end: CancellationToken) {
        let mut changes = store.work_changes();
        loop {
            tokio::select! {
                () = changes.changed() => {}
                () = tokio::time::sleep(POLL) => {}
                () = end.cancelled() => return,
            }
            self.news();
        }
    }

    /// Claims a task, waiting for one up to `wait`; nothing after that, or at the `end`.
    pub(super) async fn claim(
        &self,
        store: &TaskStore,
        request: &ClaimRequest,
        key: Option<&str>,
        wait: Duration,
        end: &CancellationToken,
    ) -> Result<Option<(Claimed, FoundBy)>, StoreError> {
        let until = Instant::now() + wait;
        let line = line(request);
        let mut turn = None;
        let mut how = FoundBy::AtOnce;
        loop {
            // In line before looking: what comes in between is not missed.
            let mut place = Waiting::take(self, &line);
            let found = store.claim(request, key).await;
            let error = match found {
                Ok(Some(claimed)) => {
                    place.leave();
                    if turn.is_some() {
                        self.wake(&line, PollSlot { misses: 0 }, FOUND);
                    }
                    return Ok(Some((claimed, how)));
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if let Some(PollSlot { misses }) = turn.take()
                && misses < MISSES
            {
                self.wake_another(&line, place.number, PollSlot { misses: misses + 1 });
            }
            let now = Instant::now();
            if let Some(error) = error {
                return Err(error);
            }
            if now >= until || end.is_cancelled() {
                return Ok(None);
            }
            tokio::select! {
                woken = place.woken() => (turn, how) = (woken, FoundBy::Woken),
                () = tokio::time::sleep_until(until.min(now + spread(POLL))) => {
                    how = FoundBy::Polled;
                }
                () = end.cancelled() => return Ok(None),
            }
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lines().waiting.values().map(VecDeque::len).sum()
    }

    fn news(&self) {
        let lines: Vec<Line> = self.lines().waiting.keys().cloned().collect();
        for line in lines {
            self.wake(&line, PollSlot { misses: 0 }, 1);
        }
    }

    fn wake(&self, line: &Line, turn: PollSlot, count: usize) {
        let mut lines = self.lines();
        for _ in 0..count {
            while let Some((_, one)) = lines.pop(line) {
                if one.send(turn).is_ok() {
                    break;
                }
            }
        }
    }

    /// Wakes the first in line that is not the one that just looked.
    fn wake_another(&self, line: &Line, own: u64, turn: PollSlot) {
        let mut lines = self.lines();
        let Some(queue) = lines.waiting.get_mut(line) else { return };
        while let Some(at) = queue.iter().position(|(number, _)| *number != own) {
            let Some((_, one)) = queue.remove(at) else { return };
            if one.send(turn).is_ok() {
                return;
            }
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn pop(&mut self, line: &Line) -> Option<(u64, oneshot::Sender<PollSlot>)> {
        let queue = self.waiting.get_mut(line)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(line);
        }
        first
    }
}

/// Not everybody at the same moment.
fn spread(most: Duration) -> Duration {
    most.mul_f64(0.75 + 0.25 * super::chance())
}

fn line(request: &ClaimRequest) -> Line {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        names
    };
    (sorted(&request.roles), sorted(&request.labels), sorted(&request.unreachable))
}

/// A place in a line; given up when it is dropped.
struct Waiting<'a> {
    claims: &'a ClaimQueue,
    line: &'a Line,
    number: u64,
    turn: oneshot::Receiver<PollSlot>,
}

impl<'a> Waiting<'a> {
    fn take(claims: &'a ClaimQueue, line: &'a Line) -> Self {
        let (sender, turn) = oneshot::channel();
        let mut lines = claims.lines();
        lines.next += 1;
        let number = lines.next;
        lines.waiting.entry(line.clone()).or_default().push_back((number, sender));
        drop(lines);
        Self { claims, line, number, turn }
    }

    async fn woken(&mut self) -> Option<PollSlot> {
        (&mut self.turn).await.ok()
    }

    /// Gives the place up; a turn that came meanwhile goes to the next.
    fn leave(&mut self) {
        let mut lines = self.claims.lines();
        if let Some(queue) = lines.waiting.get_mut(self.line) {
            queue.retain(|(number, _)| *number != self.number);
            if queue.is_empty() {
                lines.waiting.remove(self.line);
            }
        }
        drop(lines);
        if let Ok(turn) = self.turn.try_recv() {
            self.claims.wake(self.line, turn, 1);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        (vec!["a".to_owned()], Vec::new(), Vec::new())
    }

    #[tokio::test]
    async fn news_wake_one_of_each_line() {
        let claims = ClaimQueue::default();
        let (a, b) = (line(), (vec!["b".to_owned()], Vec::new(), Vec::new()));
        let mut first = Waiting::take(&claims, &a);
        let mut second = Waiting::take(&claims, &a);
        let mut other = Waiting::take(&claims, &b);
        claims.news();
        assert!(first.turn.try_recv().is_ok() && other.turn.try_recv().is_ok());
        assert!(second.turn.try_recv().is_err());
        assert_eq!(claims.waiting(), 1);
    }

    #[tokio::test]
    async fn whoever_leaves_hands_on_what_it_was_woken_for() {
        let claims = ClaimQueue::default();
        let a = line();
        let first = Waiting::take(&claims, &a);
        let mut second = Waiting::take(&claims, &a);
        claims.news();
        drop(first);
        assert!(second.woken().await.is_some());
        drop(second);
        assert_eq!(claims.waiting(), 0);
        assert!(claims.lines().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_miss_wakes_somebody_else() {
        let claims = ClaimQueue::default();
        let a = line();
        let mut own = Waiting::take(&claims, &a);
        let mut other = Waiting::take(&claims, &a);
        claims.wake_another(&a, own.number, PollSlot { misses: 1 });
        assert_eq!(other.turn.try_recv().unwrap().misses, 1);
        assert!(own.turn.try_recv().is_err());
    }
}
