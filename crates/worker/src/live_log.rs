//! An attempt's output on its way to the hub, while it is written. The work never waits for it: of
//! output that comes faster than the hub takes it, a part is left out, and the hub's log has a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use greenloop_hub_api::client::{HubClient, HubErrorKind};
use greenloop_hub_api::types::LogAppend;
use greenloop_model::error_chain;
use greenloop_model::task::Lease;

/// Bytes that may wait for the hub.
const WAITING: usize = 4 << 20;
/// Bytes that are sent at a time.
const PIECE: usize = 64 << 10;
/// How long output may gather before it is sent.
const GATHER: Duration = Duration::from_millis(400);
/// How long one piece is tried for.
const TRIED: Duration = Duration::from_secs(30);
/// How long the end of an attempt waits for its output.
const LAST: Duration = Duration::from_secs(20);

enum Message {
    Bytes(Vec<u8>),
    /// So many bytes were left out.
    Skipped(usize),
    End,
}

/// Takes output, redacted by who sends it. Cheap to clone.
#[derive(Clone)]
pub struct LogSink(Option<Shared>);

#[derive(Clone)]
struct Shared {
    messages: mpsc::UnboundedSender<Message>,
    waiting: Arc<AtomicUsize>,
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogSink")
    }
}

impl LogSink {
    /// One that drops everything.
    pub const fn null() -> Self {
        Self(None)
    }

    /// Sends the next bytes, without waiting.
    pub fn push(&self, bytes: &[u8]) {
        let Some(Shared { messages, waiting }) = &self.0 else { return };
        if bytes.is_empty() {
            return;
        }
        let message = if waiting.load(Ordering::Relaxed) + bytes.len() > WAITING {
            Message::Skipped(bytes.len())
        } else {
            waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            Message::Bytes(bytes.to_vec())
        };
        let _the_lease_is_over = messages.send(message);
    }
}

/// The output of one attempt.
pub(super) struct LiveLog {
    sink: LogSink,
    task: JoinHandle<()>,
}

impl LiveLog {
    /// Begins to send.
    pub(super) fn start(client: &HubClient, lease: Lease) -> Self {
        let (messages, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let sending = Sending {
            client: client.within(TRIED),
            lease,
            waiting: Arc::clone(&waiting),
            pending: Vec::new(),
            offset: 0,
        };
        let sink = LogSink(Some(Shared { messages, waiting }));
        Self { sink, task: tokio::spawn(sending.run(receiver)) }
    }

    /// Where the output goes.
    pub(super) fn sink(&self) -> LogSink {
        self.sink.clone()
    }

    /// Sends what is left, before the lease ends.
    pub(super) async fn finish(mut self) {
        if let Some(shared) = &self.sink.0 {
            let _the_lease_is_over = shared.messages.send(Message::End);
        }
        if tokio::time::timeout(LAST, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the end of a task's output did not reach the hub in time");
        }
    }
}

impl Drop for LiveLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sending {
    client: HubClient,
    lease: Lease,
    waiting: Arc<AtomicUsize>,
    pending: Vec<u8>,
    /// The place of `pending` in the whole.
    offset: u64,
}

impl Sending {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut due: Option<Instant> = None;
        loop {
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                message = messages.recv() => message,
                () = timer => {
                    due = None;
                    if !self.flush(false).await {
                        return;
                    }
                    continue;
                }
            };
            match message {
                Some(Message::Bytes(bytes)) => {
                    self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                    self.pending.extend(bytes);
                    due.get_or_insert_with(|| Instant::now() + GATHER);
                    while self.pending.len() >= PIECE {
                        if !self.flush(false).await {
                            return;
                        }
                    }
                }
                Some(Message::Skipped(bytes)) => {
                    if !self.flush(true).await {
                        return;
                    }
                    self.offset += bytes as u64;
                }
                Some(Message::End) | None => {
                    while !self.pending.is_empty() {
                        if !self.flush(true).await {
                            return;
                        }
                    }
                    return;
                }
            }
        }
    }

    /// Sends up to a piece of what is pending; with `all` also a character that is not whole.
    /// Whether the hub takes more.
    async fn flush(&mut self, all: bool) -> bool {
        let part = self.pending.get(..PIECE.min(self.pending.len())).unwrap_or_default();
        let whole = match std::str::from_utf8(part) {
            Ok(text) => text.len(),
            // Cut in the middle of a character: the rest of it is still to come.
            Err(error) if error.error_len().is_none() && !(all && error.valid_up_to() == 0) => {
                error.valid_up_to()
            }
            Err(_) => part.len(),
        };
        if whole == 0 {
            return true;
        }
        let bytes: Vec<u8> = self.pending.drain(..whole).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (offset, length) = (self.offset, text.len() as u64);
        self.offset += length;
        match self.client.append_log(self.lease, &LogAppend { offset, text }).await {
            Ok(_) => true,
            Err(error) => {
                let over = matches!(
                    error.kind,
                    HubErrorKind::StaleLease
                        | HubErrorKind::NotFound
                        | HubErrorKind::Unauthorised
                        | HubErrorKind::Forbidden
                        | HubErrorKind::Protocol
                );
                let error = error_chain(&error);
                tracing::warn!(error, task = %self.lease.task, "output did not reach the hub");
                !over
            }
        }
    }
}
