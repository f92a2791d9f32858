//! One connection's way through the events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::feed::{Feed, Found, Frame};
use super::reader::written;
use crate::api::{Api, chance};
use crate::store::{StoreError, TaskStore};
use greenloop_model::task::EventId;

/// Events that a follower holds at once.
const BATCH: usize = 64;
/// Old events that are read from the store at once.
const PAGE: u32 = 200;
/// Something is said at least this often.
const BEAT: Duration = Duration::from_secs(15);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum End {
    /// It fell too far behind.
    Slow,
    /// The hub stops.
    Shutdown,
    /// Its token is not good any more.
    Revoked,
    /// The store does not answer.
    Unavailable,
}

impl End {
    pub(in crate::api) const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Shutdown => "shutdown",
            Self::Revoked => "revoked",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What comes next on a connection.
#[derive(Debug)]
pub(in crate::api) enum Next {
    /// An event.
    Frame(Arc<Frame>),
    /// Nothing for a while: a sign of life.
    Beat,
    /// What was asked for is not kept any more; events go on after this one.
    Gap(i64),
    /// Nothing more.
    End(End),
}

/// Follows the events from one on.
#[derive(Debug)]
pub(in crate::api) struct Follower {
    store: TaskStore,
    feed: Arc<Feed>,
    changes: watch::Receiver<i64>,
    graph: Option<i64>,
    after: i64,
    /// What is still to be said of where it begins.
    gap: bool,
    /// It has left the store's old events behind.
    live: bool,
    pending: VecDeque<Arc<Frame>>,
    beat: Instant,
}

impl Follower {
    /// Goes on after an event; with what is new when none is named.
    pub(in crate::api) async fn start(
        api: &Api,
        after: Option<i64>,
        graph: Option<i64>,
    ) -> Result<Self, StoreError> {
        let feed = Arc::clone(&api.feed);
        let changes = feed.changes();
        let (from, gap) = match after {
            None => (api.store.latest_event().await?.0, false),
            Some(after) => {
                // After one that is yet to come: the events of another store, or of one that was
                // put back.
                let foreign = after > feed.latest() && after > api.store.latest_event().await?.0;
                let trimmed = after > 0 && api.store.earliest_event().await?.0 > after + 1;
                (if foreign { feed.latest() } else { after }, foreign || trimmed)
            }
        };
        Ok(Self {
            store: api.store.clone(),
            feed,
            changes,
            graph,
            after: from,
            gap,
            live: after.is_none(),
            pending: VecDeque::new(),
            beat: next_beat(),
        })
    }

    /// The event up to which everything was said.
    pub(in crate::api) fn after(&self) -> i64 {
        match self.pending.front() {
            Some(next) => next.id - 1,
            None => self.after,
        }
    }

    /// What comes next.
    pub(in crate::api) async fn next(&mut self) -> Next {
        if std::mem::take(&mut self.gap) {
            return Next::Gap(self.after);
        }
        loop {
            if let Some(frame) = self.pending.pop_front() {
                self.beat = next_beat();
                return Next::Frame(frame);
            }
            match self.feed.take(self.after, self.graph, BATCH, &mut self.pending) {
                Found::Gone if self.live => return Next::End(End::Slow),
                Found::Gone => {
                    if let Err(error) = self.catch_up().await {
                        tracing::warn!(
                            error = %greenloop_model::error_chain(&error),
                            "could not read old events"
                        );
                        return Next::End(End::Unavailable);
                    }
                }
                Found::UpTo(after) => {
                    self.live = true;
                    self.after = after;
                    if self.pending.is_empty() && after >= *self.changes.borrow_and_update() {
                        tokio::select! {
                            changed = self.changes.changed() => {
                                if changed.is_err() {
                                    return Next::End(End::Shutdown);
                                }
                            }
                            () = tokio::time::sleep_until(self.beat) => {
                                self.beat = next_beat();
                                return Next::Beat;
                            }
                        }
                    }
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let events = self.store.events_after(EventId(self.after), PAGE).await?;
        let Some(last) = events.last() else {
            // The buffer is ahead of the store: it was trimmed meanwhile.
            self.after = self.feed.latest();
            self.gap = true;
            return Ok(());
        };
        self.after = last.id.0;
        let graph = self.graph;
        self.pending.extend(
            events
                .into_iter()
                .filter(|event| graph.is_none() || event.graph.map(|it| it.0) == graph)
                .filter_map(written)
                .map(Arc::new),
        );
        Ok(())
    }
}

/// Not for everybody at the same moment.
fn next_beat() -> Instant {
    Instant::now() + BEAT.mul_f64(0.6 + 0.4 * chance())
}
