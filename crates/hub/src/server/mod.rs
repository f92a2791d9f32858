//! Listening, and serving what comes in: connections over plain HTTP/1.1 or TLS.
//!
//! Our own loop around hyper, because what a connection may take has to be bounded: the time for
//! its head, its buffers, the time that a write may stand still, how many there are.
//!
//! # Guarantees
//! - Whoever does not read is dropped; whoever sends slowly too.
//! - On `end` no connection is taken any more, requests under way are answered, and after
//!   [`Limits::drain`] the rest is cut.

mod stall_guard;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::api::Peer;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stall_guard::StallGuard;
pub use tls::{Tls, TlsError};

/// For the head of a request; also how long a connection may be idle between two.
const HEAD: Duration = Duration::from_secs(75);
/// For the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a write may stand still.
const STALL: Duration = Duration::from_secs(30);
/// The buffer of a connection, and the longest head of a request.
const BUFFER: usize = 16 << 10;
/// What the system may keep for a client that reads slowly.
const SEND_BUFFER: u32 = 256 << 10;
/// Connections that wait to be taken.
const BACKLOG: u32 = 4_096;
/// Files that are open besides: the store, its log, the standard streams.
const FILES_BESIDE: u64 = 128;
/// How long to wait when the system gives no more connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// How long requests under way may take at the end.
    pub drain: Duration,
}

/// Lets this process have as many files open as so many connections and the rest need, as far as
/// the system allows; how many connections that is.
pub fn allow(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(FILES_BESIDE);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let possible = maximum.map_or(wanted, |most| most.min(wanted));
    if current.is_some_and(|current| current < possible) {
        let more = Rlimit { current: Some(possible), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, more) {
            tracing::warn!(%error, "could not raise the limit of open files");
        }
    }
    let has = getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted);
    usize::try_from(has.saturating_sub(FILES_BESIDE)).unwrap_or(usize::MAX).max(1)
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 means any that is free.
    ///
    /// # Errors
    /// When it is taken, or not this machine's.
    pub fn bind(address: SocketAddr) -> Result<Self, std::io::Error> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A hub that is started again right away finds its address free.
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        let inner = socket.listen(BACKLOG)?;
        let address = inner.local_addr()?;
        Ok(Self { inner, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `end`, and then until what is under way has ended.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    end: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections.max(1)));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = end.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.inner.accept() => accepted,
            () = end.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let connection =
            Connection { peer, router: router.clone(), end: end.clone(), cut: cut.clone() };
        let tls = tls.clone();
        connections.spawn(async move {
            connection.open(stream, tls).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!("closing {} connections", connections.len());
        cut.cancel();
        connections.wait().await;
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    end: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    async fn open(self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        // Events are small and are to arrive at once.
        let _best_effort = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.run(StallGuard::new(stream, STALL)).await };
        let handshake = tls.acceptor().accept(StallGuard::new(stream, STALL));
        match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => self.run(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, router, end, cut } = self;
        let service = router.map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        tokio::pin!(connection);
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection was interrupted");
                    }
                    return;
                }
                () = end.cancelled(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = cut.cancelled() => return,
            }
        }
    }
}
