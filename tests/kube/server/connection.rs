//! A listener that can close all its connections.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Whether the server can be reached. Shared by the listener and the scenario.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    down_until: Option<Instant>,
    /// Cancelled to close all current connections.
    now: CancellationToken,
}

impl Line {
    /// Closes every connection, and every new one for `time`.
    pub(crate) fn cut(&self, time: Duration) {
        let mut state = self.0.lock().unwrap();
        state.down_until = Some(Instant::now() + time);
        std::mem::take(&mut state.now).cancel();
    }

    fn connect(&self) -> Option<CancellationToken> {
        let state = self.0.lock().unwrap();
        let down = state.down_until.is_some_and(|until| Instant::now() < until);
        (!down).then(|| state.now.child_token())
    }
}

/// Accepts while the server is reachable; otherwise resets a connection at once.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) line: Line,
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let Some(token) = self.line.connect() else {
                drop(stream);
                continue;
            };
            let _without = stream.set_nodelay(true);
            let broken = Box::pin(token.clone().cancelled_owned());
            return (Wire { stream, token, broken }, address);
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection, until it is closed.
pub(crate) struct Wire {
    stream: TcpStream,
    token: CancellationToken,
    broken: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    fn check(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        match self.broken.as_mut().poll(context) {
            Poll::Ready(()) => Err(std::io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The connection of a request, which its handler may close.
#[derive(Clone)]
pub(crate) struct Via(pub(crate) CancellationToken);

impl Connected<IncomingStream<'_, Door>> for Via {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.io().token.clone())
    }
}
