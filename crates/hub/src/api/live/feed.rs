//! The latest events, ready to be sent.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use tokio::sync::watch;

use greenloop_hub_api::types::Event;

/// Bytes of events that are kept at most.
const MOST_BYTES: usize = 32 << 20;

/// An event, written once for all.
#[derive(Debug)]
pub(in crate::api) struct Frame {
    /// The event's id.
    pub(in crate::api) id: i64,
    pub(in crate::api) graph: Option<i64>,
    /// `id: …`, `event: …`, `data: …`
    pub(in crate::api) sse: Bytes,
    /// The same bytes' JSON.
    pub(in crate::api) json: Utf8Bytes,
}

impl Frame {
    pub(super) fn new(event: Event) -> Result<Self, serde_json::Error> {
        let (id, graph, kind) = (event.id.0, event.graph.map(|it| it.0), event.kind);
        let json = serde_json::to_string(&event)?;
        let head = format!("id: {id}\nevent: {kind}\ndata: ");
        let range = head.len()..head.len() + json.len();
        let sse = Bytes::from(format!("{head}{json}\n\n"));
        // The cut is where text begins and ends, so this is text.
        let json = Utf8Bytes::try_from(sse.slice(range)).unwrap_or_default();
        Ok(Self { id, graph, sse, json })
    }
}

/// What a follower found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It has read everything up to this event.
    UpTo(i64),
    /// What comes next is not kept here any more.
    Gone,
}

/// The buffer. All followers share it.
#[derive(Debug)]
pub(in crate::api) struct Feed {
    buffer: RwLock<EventBuffer>,
    latest: watch::Sender<i64>,
}

#[derive(Debug)]
struct EventBuffer {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    most: usize,
    /// Every later event that the reader has read is in `frames`.
    whole_after: i64,
}

impl Feed {
    /// For `most` events.
    pub(in crate::api) fn new(most: usize) -> Self {
        let buffer =
            EventBuffer { frames: VecDeque::new(), bytes: 0, most: most.max(1), whole_after: 0 };
        Self { buffer: RwLock::new(buffer), latest: watch::Sender::new(0) }
    }

    /// Begins after an event, with nothing.
    pub(super) fn begin(&self, after: i64) {
        self.write().whole_after = after;
        self.latest.send_replace(after);
    }

    /// Adds events and wakes all followers.
    pub(super) fn publish(&self, frames: Vec<Frame>) {
        let Some(latest) = frames.last().map(|frame| frame.id) else { return };
        let mut buffer = self.write();
        for frame in frames {
            buffer.bytes += frame.sse.len();
            buffer.frames.push_back(Arc::new(frame));
        }
        while buffer.frames.len() > buffer.most || buffer.bytes > MOST_BYTES {
            let Some(old) = buffer.frames.pop_front() else { break };
            buffer.bytes -= old.sse.len();
            buffer.whole_after = old.id;
        }
        drop(buffer);
        self.latest.send_replace(latest);
    }

    /// Takes up to `most` events after one, of a graph or of all.
    pub(super) fn take(
        &self,
        after: i64,
        graph: Option<i64>,
        most: usize,
        into: &mut VecDeque<Arc<Frame>>,
    ) -> Found {
        let buffer = self.buffer.read().unwrap_or_else(PoisonError::into_inner);
        if after < buffer.whole_after {
            return Found::Gone;
        }
        let mut up_to = after;
        let start = buffer.frames.partition_point(|frame| frame.id <= after);
        let mut taken = 0;
        for frame in buffer.frames.range(start..) {
            if taken == most {
                break;
            }
            up_to = frame.id;
            if graph.is_none() || frame.graph == graph {
                into.push_back(Arc::clone(frame));
                taken += 1;
            }
        }
        Found::UpTo(up_to)
    }

    /// The latest event.
    pub(in crate::api) fn latest(&self) -> i64 {
        *self.latest.borrow()
    }

    /// Wakes whenever there are more.
    pub(super) fn changes(&self) -> watch::Receiver<i64> {
        self.latest.subscribe()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, EventBuffer> {
        self.buffer.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::Timestamp;
    use greenloop_model::task::{EventId, GraphId, TaskEventKind};

    fn frame(id: i64, graph: i64) -> Frame {
        Frame::new(Event {
            id: EventId(id),
            at: Timestamp(0),
            kind: TaskEventKind::TaskReady,
            graph: Some(GraphId(graph)),
            task: None,
            epoch: None,
            agent: None,
            merge: None,
            percent: None,
            text: Some("a\nb".to_owned()),
        })
        .unwrap()
    }

    fn ids(feed: &Feed, after: i64, graph: Option<i64>, most: usize) -> (Vec<i64>, Found) {
        let mut into = VecDeque::new();
        let found = feed.take(after, graph, most, &mut into);
        (into.iter().map(|frame| frame.id).collect(), found)
    }

    #[test]
    fn an_event_is_written_once() {
        let frame = frame(7, 1);
        let text = std::str::from_utf8(&frame.sse).unwrap();
        assert!(text.starts_with("id: 7\nevent: task.ready\ndata: {\"id\":7,"), "{text}");
        assert!(text.ends_with("}\n\n") && text.lines().count() == 4, "{text}");
        assert_eq!(text.split("data: ").nth(1).unwrap().trim_end(), frame.json.as_str());
        let inside = frame.sse.as_ptr_range();
        assert!(inside.contains(&frame.json.as_str().as_ptr()), "a copy");
    }

    #[test]
    fn followers_read_on_from_where_they_are() {
        let feed = Feed::new(4);
        feed.begin(10);
        feed.publish((11..=14).map(|id| frame(id, id % 2)).collect());
        assert_eq!(ids(&feed, 10, None, 10), (vec![11, 12, 13, 14], Found::UpTo(14)));
        assert_eq!(ids(&feed, 10, None, 2), (vec![11, 12], Found::UpTo(12)));
        assert_eq!(ids(&feed, 12, Some(1), 10), (vec![13], Found::UpTo(14)));
        assert_eq!(ids(&feed, 14, None, 10), (vec![], Found::UpTo(14)));
        assert_eq!(ids(&feed, 9, None, 10), (vec![], Found::Gone));
        feed.publish(vec![frame(20, 0), frame(21, 0)]);
        assert_eq!(ids(&feed, 11, None, 10), (vec![], Found::Gone));
        assert_eq!(ids(&feed, 12, None, 10), (vec![13, 14, 20, 21], Found::UpTo(21)));
        assert_eq!(feed.latest(), 21);
    }
}
