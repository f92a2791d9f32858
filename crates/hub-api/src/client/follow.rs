//! The hub's events, live, without a gap: a broken stream is taken up after the last event seen.

use std::time::Duration;

use http::{Method, header::ACCEPT};
use tokio::time::Instant;

use super::connection::BACKOFF;
use super::{HubClient, HubError, HubErrorKind};
use crate::types::Event;
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBackoff};
use greenloop_model::task::EventId;

/// The hub sends a comment at least this often; silence beyond it is a dead connection.
const SILENCE: Duration = Duration::from_secs(60);
/// For the first byte of an answer.
const CONNECT: Duration = Duration::from_secs(20);
/// Bytes of one event, before it counts as broken.
const LONGEST: usize = 1 << 20;

/// Follows the hub's events.
pub struct Follow {
    client: HubClient,
    query: Vec<(&'static str, String)>,
    last: Option<EventId>,
    stream: Option<reqwest::Response>,
    reader: Reader,
    /// Before the next connections.
    delays: ExponentialBackoff,
    /// Since when the hub is out of reach.
    lost: Option<Instant>,
    patience: Duration,
}

impl HubClient {
    /// Events after `after` (all that are still kept for 0, only new ones for `None`), of one
    /// graph or of all. A hub out of reach is waited for, up to `patience`.
    pub fn follow(&self, after: Option<i64>, graph: Option<i64>, patience: Duration) -> Follow {
        let query = graph.map(|graph| ("graph", graph.to_string())).into_iter().collect();
        Follow {
            client: self.clone(),
            query,
            last: after.map(EventId),
            stream: None,
            reader: Reader::default(),
            delays: BACKOFF.build(),
            lost: None,
            patience,
        }
    }
}

impl Follow {
    /// The next event. Not cancel-safe towards the connection, but towards events: dropped
    /// half-way, the next call takes up after the last event that was returned.
    ///
    /// # Errors
    /// When the hub refuses, or has been out of reach for longer than patience lasts.
    pub async fn next(&mut self) -> Result<Event, HubError> {
        loop {
            while let Some(block) = self.reader.block() {
                if let Some(event) = block.event()
                    && self.last.is_none_or(|last| event.id > last)
                {
                    self.last = Some(event.id);
                    return Ok(event);
                }
            }
            if let Err(error) = self.more().await {
                self.stream = None;
                self.reader = Reader::default();
                if error.kind != HubErrorKind::Unavailable {
                    return Err(error);
                }
                let since = *self.lost.get_or_insert_with(Instant::now);
                if since.elapsed() > self.patience {
                    return Err(error);
                }
                tokio::time::sleep(self.delays.next().unwrap_or_default()).await;
            }
        }
    }

    /// Reads some bytes, over a new connection where there is none.
    async fn more(&mut self) -> Result<(), HubError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let lost = |why: &str| {
            HubError::new(
                HubErrorKind::Unavailable,
                format!("the stream of the hub's events was interrupted: {why}"),
            )
        };
        let piece = tokio::time::timeout(SILENCE, stream.chunk())
            .await
            .map_err(|_elapsed| lost("silence"))?
            .map_err(|error| lost("connection").because(error.without_url()))?
            .ok_or_else(|| lost("the hub closed it"))?;
        self.stream = Some(stream);
        self.delays = BACKOFF.build();
        self.lost = None;
        self.reader.push(&piece)
    }

    async fn connect(&self) -> Result<reqwest::Response, HubError> {
        let url = self.client.url("events")?;
        let unreachable = || {
            let message = format!("could not reach the hub at {}", self.client.address());
            HubError::new(HubErrorKind::Unavailable, message)
        };
        let mut request = self
            .client
            .request(Method::GET, url)
            .map_err(|error| unreachable().because(error))?
            .header(ACCEPT, "text/event-stream")
            .query(&self.query);
        if let Some(last) = self.last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = tokio::time::timeout(CONNECT, request.send())
            .await
            .map_err(|_elapsed| unreachable())?
            .map_err(|error| unreachable().because(error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let message = format!(
            "the hub at {} answered the request for its events with {}",
            self.client.address(),
            status.as_u16()
        );
        Err(HubError::new(HubErrorKind::of(status.as_u16(), None), message))
    }
}

/// Splits a stream into blocks.
#[derive(Default)]
struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    fn push(&mut self, piece: &[u8]) -> Result<(), HubError> {
        self.bytes.extend(piece.iter().filter(|byte| **byte != b'\r'));
        if self.bytes.len() > LONGEST && !self.bytes.windows(2).any(|two| two == b"\n\n") {
            return Err(HubError::new(HubErrorKind::Protocol, "an event of the hub is too long"));
        }
        Ok(())
    }

    fn block(&mut self) -> Option<Block> {
        let end = self.bytes.windows(2).position(|two| two == b"\n\n")?;
        let bytes: Vec<u8> = self.bytes.drain(..end + 2).collect();
        Some(Block(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// What lies between two empty lines.
struct Block(String);

impl Block {
    /// `None` for comments, for greetings and for what a later version of the hub may send.
    fn event(&self) -> Option<Event> {
        let data: Vec<&str> = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|value| value.strip_prefix(' ').unwrap_or(value))
            .collect();
        serde_json::from_str(&data.join("\n")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::task::TaskEventKind;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": hello\n\nid: 7\r\nevent: task.done\r\ndata: {\"id\":7,\"at\":\"2026-11-21T00:00:00Z\",\ndata: \"kind\":\"task.done\"}\n\nevent: bye\ndata: x\n\n";
        for size in [1, 3, 1000] {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                reader.push(piece).unwrap();
                while let Some(block) = reader.block() {
                    seen.extend(block.event().map(|event| (event.id, event.kind)));
                }
            }
            assert_eq!(seen, [(EventId(7), TaskEventKind::TaskDone)], "pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_not_collected_for_ever() {
        let mut reader = Reader::default();
        let error = reader.push(&vec![b'x'; LONGEST + 1]).unwrap_err();
        assert_eq!(error.kind, HubErrorKind::Protocol);
    }
}
