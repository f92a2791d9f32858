//! The control socket in a target's folder, and the supervisor that listens there.
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

use super::protocol::{self, Reply, Request, Trouble, WireError};
use super::supervisor::Message;

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
pub(super) async fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(&short(folder)?.path).await
}

/// Listens in `folder`; only this user can connect. Whoever holds the target's lock may replace
/// the socket that a dead supervisor left.
pub(super) fn listen(folder: &Path) -> std::io::Result<UnixListener> {
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

/// Turns connections into messages, for as long as somebody takes them.
pub(super) async fn serve(listener: UnixListener, messages: mpsc::UnboundedSender<Message>) {
    let mut connection = 0;
    while !messages.is_closed() {
        match listener.accept().await {
            Ok((stream, _)) => {
                connection += 1;
                tokio::spawn(attend(stream, connection, messages.clone()));
            }
            // Out of descriptors, or the client is gone again.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn attend(stream: UnixStream, connection: u64, messages: mpsc::UnboundedSender<Message>) {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (replies, outgoing) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write(writer, outgoing));
    let _supervisor_has_ended = messages.send(Message::Opened);
    loop {
        match protocol::receive::<Request>(&mut reader).await {
            Ok(Some(request)) => {
                let replies = replies.clone();
                let asked = Message::Asked { connection, request, replies };
                if messages.send(asked).is_err() {
                    break;
                }
            }
            Ok(None) | Err(WireError::Io(_)) => break,
            Err(WireError::Version(_) | WireError::Malformed(_)) => {
                let trouble = Trouble::Version { supervisor: protocol::VERSION };
                let _client_is_gone = replies.send(Reply::Failed { trouble });
                break;
            }
        }
    }
    drop(replies);
    let _supervisor_has_ended = messages.send(Message::Closed { connection });
    let _written = writing.await;
}

async fn write(mut writer: OwnedWriteHalf, mut replies: mpsc::UnboundedReceiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        if protocol::send(&mut writer, &reply).await.is_err() {
            break;
        }
    }
}
