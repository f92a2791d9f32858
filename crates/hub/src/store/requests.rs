//! Idempotency keys: the answer of a call stands beside what the call changed, in the same
//! transaction, and is given again to whoever asks with the same key.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{StoreError, StoreErrorKind};
use super::tx::{Done, Tx};
use super::value::args;

/// Tells two requests apart: the operation's name and all that it was asked with.
pub(super) fn fingerprint(operation: &str, asked: &impl std::fmt::Debug) -> String {
    let hash = blake3::hash(format!("{asked:?}").as_bytes());
    format!("{operation}:{}", hash.to_hex())
}

/// The answer that was given before.
pub(super) async fn replayed<T: DeserializeOwned>(
    tx: &mut Tx<'_>,
    key: Option<&str>,
    fingerprint: &str,
) -> Done<Option<T>> {
    let Some(key) = key else { return Ok(None) };
    let row =
        tx.maybe("SELECT fingerprint, answer FROM requests WHERE key = $1", args![key]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.text("fingerprint")? != fingerprint {
        return Err(StoreError::conflict("the idempotency key was used for another request").into());
    }
    let answer = serde_json::from_str(&row.text("answer")?).map_err(|error| {
        StoreError::with(StoreErrorKind::Corrupt, "a stored answer is invalid", error)
    })?;
    Ok(Some(answer))
}

/// Keeps the answer.
pub(super) async fn remember<T: Serialize>(
    tx: &mut Tx<'_>,
    key: Option<&str>,
    fingerprint: &str,
    answer: &T,
) -> Done<()> {
    let Some(key) = key else { return Ok(()) };
    let answer = serde_json::to_string(answer).map_err(|error| {
        StoreError::with(StoreErrorKind::Corrupt, "could not store an answer", error)
    })?;
    tx.run(
        "INSERT INTO requests (key, fingerprint, answer, created_at) VALUES ($1, $2, $3, {now})",
        args![key, fingerprint, answer],
    )
    .await?;
    Ok(())
}
