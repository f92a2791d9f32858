//! The front listener: the address that stays while releases come and go.
//!
//! It forwards whole TCP connections and knows no HTTP, but for the one answer it gives itself
//! when nothing serves, and for the last answer of a release that is retired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::last_answer;
use super::port_owner::port_owner;

/// Connections forwarded at once; further ones wait in the kernel's queue.
const MOST: usize = 4096;
/// How long a connection waits for a release that is being restarted.
const BACKEND_WAIT: Duration = Duration::from_secs(5);
/// Between two tries to reach it.
const RETRY: Duration = Duration::from_millis(25);
/// A connection of a retired release is closed when it is silent this long after an answer: the
/// client's next request opens a new one, to the new release.
const SILENCE: Duration = Duration::from_millis(300);
/// How long the other direction may go on after the service has closed its own.
const LAST_WORDS: Duration = Duration::from_secs(2);

const NOTHING_SERVES: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
retry-after: 1\r\nconnection: close\r\ncontent-length: 43\r\n\r\n\
greenloop: no release is serving right now\n";

/// A release that can take connections.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    /// The machine it runs on.
    pub(crate) host: Arc<str>,
    /// Its private port there.
    pub(crate) port: u16,
    /// Connections that are forwarded to it.
    pub(crate) connections: Arc<Connections>,
}

impl Backend {
    /// A release at `port` of `host`, without connections yet.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port, connections: Arc::default() }
    }
}

/// The connections that are forwarded to one release.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    /// Set when the release is about to be stopped.
    retired: CancellationToken,
    /// Whether new ones wait, because the release is known not to answer.
    held: AtomicBool,
    changed: tokio::sync::Notify,
}

impl Connections {
    /// Lets new connections wait, or go on.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// Closes connections as they fall silent; returns when none is left.
    pub(crate) async fn drain(&self) {
        self.retired.cancel();
        loop {
            let changed = self.changed.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }

    fn enter(self: &Arc<Self>) -> ConnectionGuard {
        self.open.fetch_add(1, Ordering::SeqCst);
        ConnectionGuard(Arc::clone(self))
    }
}

/// One connection, counted while it lives.
struct ConnectionGuard(Arc<Connections>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

/// The listener. Dropping it closes the address; connections go on.
#[derive(Debug)]
pub(crate) struct ProxyListener {
    pub(crate) address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ProxyListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a front cannot listen at its address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Another program does; which one, where it can be seen.
    #[error("the address {address} is in use")]
    InUse { address: String, owner: Option<String> },
    #[error("could not listen on {address}")]
    Refused {
        address: String,
        #[source]
        source: std::io::Error,
    },
}

impl BindError {
    fn new(address: &str, source: std::io::Error) -> Self {
        let address = address.to_owned();
        if source.kind() == std::io::ErrorKind::AddrInUse {
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            Self::InUse { owner: port.and_then(port_owner), address }
        } else {
            Self::Refused { address, source }
        }
    }
}

impl ProxyListener {
    /// Listens at `address` and forwards to whatever `backends` names when a connection comes.
    pub(crate) async fn bind(
        address: &str,
        backends: watch::Receiver<Option<Backend>>,
    ) -> Result<Self, BindError> {
        let listener =
            TcpListener::bind(address).await.map_err(|error| BindError::new(address, error))?;
        let task = tokio::spawn(accept(listener, backends));
        Ok(Self { address: address.to_owned(), task })
    }

    /// Closes the address; it can be bound again when this returns.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        let _aborted = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, backends: watch::Receiver<Option<Backend>>) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let backends = backends.clone();
                tokio::spawn(async move {
                    forward(client, backends).await;
                    drop(place);
                });
            }
            // Out of descriptors, or the client is gone again: neither is a reason to stop.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn forward(client: TcpStream, backends: watch::Receiver<Option<Backend>>) {
    let deadline = Instant::now() + BACKEND_WAIT;
    loop {
        let Some(backend) = backends.borrow().clone() else { break };
        // Counted first and looked at again: a release that is not counted on is not stopped
        // under a connection that has just chosen it.
        let guard = backend.connections.enter();
        let connections = &backend.connections;
        if connections.retired.is_cancelled() || connections.held.load(Ordering::SeqCst) {
            drop(guard);
        } else if let Ok(service) = TcpStream::connect((&*backend.host, backend.port)).await {
            relay(client, service, connections).await;
            return;
        }
        if Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(RETRY).await;
    }
    refuse(client).await;
}

/// Answers 503, once the client has asked: an answer that comes before the question is an error
/// to most. What it still sends is read, for closing a socket with unread bytes takes the answer
/// away from the client.
async fn refuse(mut client: TcpStream) {
    let mut question = [0u8; 4096];
    let asked = tokio::time::timeout(BACKEND_WAIT, client.read(&mut question)).await;
    if !matches!(asked, Ok(Ok(length)) if length > 0) {
        return;
    }
    if client.write_all(NOTHING_SERVES).await.is_ok() && client.shutdown().await.is_ok() {
        let mut ignored = [0u8; 4096];
        let drain = async { while matches!(client.read(&mut ignored).await, Ok(n) if n > 0) {} };
        let _client_is_slow = tokio::time::timeout(SILENCE, drain).await;
    }
}

/// When bytes last passed, and in which direction.
struct Activity {
    since: Instant,
    last: AtomicU64,
    answered: AtomicBool,
}

impl Activity {
    fn note(&self, answered: bool) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
        self.answered.store(answered, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.since
            .elapsed()
            .saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

async fn relay(mut client: TcpStream, mut service: TcpStream, connections: &Connections) {
    let _slower_at_worst = (client.set_nodelay(true), service.set_nodelay(true));
    let activity = Activity {
        since: Instant::now(),
        last: AtomicU64::new(0),
        // A connection that has not asked anything may be closed as well.
        answered: AtomicBool::new(true),
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_service, mut to_service) = service.split();
    let up = pump(&mut from_client, &mut to_service, &activity);
    let down = answer(&mut from_service, &mut to_client, &activity, &connections.retired);
    tokio::pin!(up, down);
    let both = async {
        tokio::select! {
            sent = &mut up => {
                if sent.is_ok() {
                    let _client_is_gone = (&mut down).await;
                }
            }
            received = &mut down => {
                if received.is_ok() {
                    let _service_has_closed = tokio::time::timeout(LAST_WORDS, &mut up).await;
                }
            }
        }
    };
    let silent = async {
        connections.retired.cancelled().await;
        while !(activity.answered.load(Ordering::Relaxed) && activity.silence() >= SILENCE) {
            tokio::time::sleep(SILENCE / 6).await;
        }
    };
    tokio::select! {
        () = both => {}
        () = silent => {}
    }
}

/// What the client sends, as it is.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> std::io::Result<()> {
    let mut buffer = vec![0u8; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        activity.note(false);
        to.write_all(&buffer[..length]).await?;
        activity.note(false);
    }
}

/// What the service answers, as it is; but once it is retired, its next answer in HTTP tells the
/// client to close: one that always has a next request would else never be silent, and lose the
/// one that is under way when the service's time is up.
async fn answer(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
    retired: &CancellationToken,
) -> std::io::Result<()> {
    let mut buffer = vec![0u8; 16 * 1024];
    loop {
        let mut length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let begins = !activity.answered.swap(true, Ordering::Relaxed);
        if begins && retired.is_cancelled() && buffer.starts_with(b"HTTP/1.") {
            while last_answer::end_of_head(&buffer[..length]).is_none() && length < buffer.len() {
                match from.read(&mut buffer[length..]).await? {
                    0 => break,
                    more => length += more,
                }
            }
            if let Some(last) = last_answer::rewritten(&buffer[..length]) {
                to.write_all(&last).await?;
                activity.note(true);
                continue;
            }
        }
        activity.note(true);
        to.write_all(&buffer[..length]).await?;
        activity.note(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line server that answers each line with its own name.
    async fn lines(name: &'static str) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0u8; 64];
                    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {
                        if stream.write_all(name.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Backend::new("127.0.0.1", port)
    }

    async fn free_address() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    async fn ask(stream: &mut TcpStream) -> Option<String> {
        stream.write_all(b"?\n").await.ok()?;
        let mut buffer = [0u8; 256];
        let length = stream.read(&mut buffer).await.ok()?;
        (length > 0).then(|| String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[tokio::test]
    async fn new_connections_follow_the_switch_and_old_ones_finish() {
        let (old, new) = (lines("old").await, lines("new").await);
        let (switch, backends) = watch::channel(Some(old.clone()));
        let address = free_address().await;
        let _front = ProxyListener::bind(&address, backends).await.unwrap();
        let mut first = TcpStream::connect(&address).await.unwrap();
        assert_eq!(ask(&mut first).await.as_deref(), Some("old"));
        switch.send_replace(Some(new));
        let mut second = TcpStream::connect(&address).await.unwrap();
        assert_eq!(ask(&mut second).await.as_deref(), Some("new"));
        assert_eq!(ask(&mut first).await.as_deref(), Some("old"));
        old.connections.drain().await;
        assert_eq!(ask(&mut first).await, None);
        assert_eq!(ask(&mut second).await.as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn a_client_that_is_never_silent_is_told_to_close() {
        let busy = lines("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let (_switch, backends) = watch::channel(Some(busy.clone()));
        let address = free_address().await;
        let _front = ProxyListener::bind(&address, backends).await.unwrap();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        assert!(!ask(&mut stream).await.unwrap().contains("close"));
        busy.connections.retired.cancel();
        let last = ask(&mut stream).await.unwrap();
        assert!(last.ends_with("\r\nconnection: close\r\n\r\nok"), "{last}");
    }

    #[tokio::test]
    async fn nothing_serving_is_said_in_http() {
        let (_switch, backends) = watch::channel(None);
        let address = free_address().await;
        let _front = ProxyListener::bind(&address, backends).await.unwrap();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.text().await.unwrap().contains("no release is serving"));
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_release_that_is_coming_back() {
        let port = free_address().await.rsplit(':').next().unwrap().parse().unwrap();
        let dead = Backend::new("127.0.0.1", port);
        let (switch, backends) = watch::channel(Some(dead));
        let address = free_address().await;
        let _front = ProxyListener::bind(&address, backends).await.unwrap();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let asked = tokio::spawn(async move { ask(&mut stream).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        switch.send_replace(Some(lines("back").await));
        assert_eq!(asked.await.unwrap().as_deref(), Some("back"));
    }

    #[tokio::test]
    async fn connections_to_a_release_that_is_held_wait() {
        let backend = lines("here").await;
        backend.connections.hold(true);
        let (_switch, backends) = watch::channel(Some(backend.clone()));
        let address = free_address().await;
        let _front = ProxyListener::bind(&address, backends).await.unwrap();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let mut asked = tokio::spawn(async move { ask(&mut stream).await });
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut asked).await.is_err());
        backend.connections.hold(false);
        assert_eq!(asked.await.unwrap().as_deref(), Some("here"));
    }
}
