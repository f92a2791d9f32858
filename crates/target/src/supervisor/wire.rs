//! What a deployer and a detached process say to each other: JSON lines over a Unix socket, each
//! with the protocol's version, for the two may be of different builds.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt as _, AsyncWrite, AsyncWriteExt};

/// Raised with every change that an older side would misunderstand.
pub(crate) const VERSION: u32 = 1;
/// The longest line either side reads; an environment can be large.
const LONGEST: u64 = 8 * 1024 * 1024;

/// What a person does about a supervisor of another build.
pub(crate) fn version_mismatch(supervisor: u32) -> String {
    format!(
        "the running supervisor uses protocol version {supervisor}, this greenloop version \
         {VERSION}: stop the service with the greenloop that started it"
    )
}

/// Why a message was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke.
    #[error("the connection was lost")]
    Io(#[from] std::io::Error),
    /// The other side speaks another version.
    #[error("the other process uses version {0} of the protocol")]
    Version(u32),
    /// Not a message, or too long for one.
    #[error("the other process sent an invalid message")]
    Malformed(#[source] Option<serde_json::Error>),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    body: T,
}

/// Only the part that says how to read the rest.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Sends one message.
pub(crate) async fn send<T: Serialize + Sync>(
    to: &mut (impl AsyncWrite + Unpin),
    body: &T,
) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(&Envelope { v: VERSION, body })
        .map_err(|e| WireError::Malformed(Some(e)))?;
    line.push(b'\n');
    to.write_all(&line).await?;
    Ok(to.flush().await?)
}

/// Receives one message; `None` when the other side has closed.
pub(crate) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
) -> Result<Option<T>, WireError> {
    let mut line = Vec::new();
    if from.take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(WireError::Malformed(None));
    }
    let Versioned { v } =
        serde_json::from_slice(&line).map_err(|e| WireError::Malformed(Some(e)))?;
    if v != VERSION {
        return Err(WireError::Version(v));
    }
    let envelope: Envelope<T> =
        serde_json::from_slice(&line).map_err(|e| WireError::Malformed(Some(e)))?;
    Ok(Some(envelope.body))
}
