//! The control socket in a target's folder, and the process that listens there.
//!
//! A socket's path may have at most 107 bytes, a target's folder more: a longer path is reached
//! through the folder's descriptor under `/proc/self/fd`.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::io::BufReader;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::protocol::{Protocol, Reply, Request, other_version};
use super::wire::{self, WireError};

const NAME: &str = "control.sock";
/// What fits on every system.
const LONGEST: usize = 100;

/// A path that is short enough, and what keeps it valid.
struct ShortPath {
    path: PathBuf,
    _folder: Option<File>,
}

fn short(folder: &Path) -> std::io::Result<ShortPath> {
    let path = folder.join(NAME);
    if path.as_os_str().as_bytes().len() <= LONGEST {
        return Ok(ShortPath { path, _folder: None });
    }
    let open = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()));
    Ok(ShortPath { path, _folder: Some(open) })
}

/// Connects to the supervisor of the target in `folder`.
pub(crate) async fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(&short(folder)?.path).await
}

/// Listens in `folder`; only this user can connect. Whoever holds the target's lock may replace
/// the socket that a dead supervisor left.
pub(crate) fn listen(folder: &Path) -> std::io::Result<UnixListener> {
    let short = short(folder)?;
    match std::fs::remove_file(&short.path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&short.path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What happens at the socket.
pub(crate) enum Incoming<P: Protocol> {
    /// A connection was made.
    Opened,
    /// A connection asks.
    Asked {
        connection: u64,
        request: Request<P::Request>,
        /// Where the answers go.
        replies: mpsc::UnboundedSender<Reply<P::Reply>>,
    },
    /// A connection is gone.
    Closed { connection: u64 },
}

/// Turns connections into messages, for as long as somebody takes them.
pub(crate) async fn serve<P: Protocol, M: From<Incoming<P>> + Send + 'static>(
    listener: UnixListener,
    messages: mpsc::UnboundedSender<M>,
) {
    let mut connection = 0;
    while !messages.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => {
                connection += 1;
                tokio::spawn(attend::<P, M>(stream, connection, messages.clone()));
            }
            // Out of descriptors, or the client is gone again.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn attend<P: Protocol, M: From<Incoming<P>> + Send + 'static>(
    stream: UnixStream,
    connection: u64,
    messages: mpsc::UnboundedSender<M>,
) {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (replies, outgoing) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write::<P>(writer, outgoing));
    let _supervisor_has_ended = messages.send(Incoming::Opened.into());
    loop {
        match wire::receive::<Request<P::Request>>(&mut reader).await {
            Ok(Some(request)) => {
                let replies = replies.clone();
                let asked = Incoming::Asked { connection, request, replies };
                if messages.send(asked.into()).is_err() {
                    break;
                }
            }
            Ok(None) | Err(WireError::Io(_)) => break,
            Err(WireError::Version(_) | WireError::Malformed(_)) => {
                let _client_is_gone = replies.send(other_version());
                break;
            }
        }
    }
    drop(replies);
    let _supervisor_has_ended = messages.send(Incoming::Closed { connection }.into());
    let _written = writing.await;
}

async fn write<P: Protocol>(
    mut writer: OwnedWriteHalf,
    mut replies: mpsc::UnboundedReceiver<Reply<P::Reply>>,
) {
    while let Some(reply) = replies.recv().await {
        if wire::send(&mut writer, &reply).await.is_err() {
            break;
        }
    }
}
