//! The audit log: what a run did and why, as a hash chain in one file.
//!
//! Lives here: the record, its exact form on disk, the writer, verification, checkpoints and the
//! listing of runs. Must not be here: what the events mean (the engine names them; their data is opaque
//! here), file locks, redaction rules (the writer takes a closure and applies it to every
//! string, as a last line of defence).
//!
//! # Form
//!
//! `audit.jsonl` is UTF-8, one record a line, each line ended by one `\n`:
//!
//! ```text
//! {"h":"<64 hex digits>","body":{"seq":0,"prev":"<64 hex digits>","wall":"2026-11-02T10:15:30.123Z","mono_ms":0,"run":"<UUID>","actor":{"kind":"machine"},"event":"run.started","data":{…}}}
//! ```
//!
//! - `h` is the lower-case hex of SHA-256 over the 64 ASCII hex digits of the previous record's
//!   `h`, followed by the exact bytes of `body` as they stand in the line (from its `{` to its
//!   `}`), nothing between. The first record's previous hash is 64 zeros.
//! - The layout before the body is fixed (`{"h":"`, 64 digits, `","body":`), so the body is
//!   what stands from byte 79 of the line up to, but without, the last `}`.
//! - `seq` counts from 0 without a gap, `prev` repeats the previous `h`, `run` is the same in
//!   all records, `wall` is RFC 3339 in UTC, `mono_ms` counts milliseconds since the log was
//!   created and never runs backwards.
//! - `actor` is `{"kind":"machine"}` or `{"kind":"author"|"reviewer"|"human","name":"…"}`.
//!
//! Anyone can check a log with a shell:
//!
//! ```sh
//! export LC_ALL=C
//! prev=$(printf '%064d' 0)
//! while IFS= read -r line; do
//!   body=${line:79}; body=${body%\}}
//!   prev=$(printf '%s%s' "$prev" "$body" | sha256sum | cut -d' ' -f1)
//!   [ "$prev" = "${line:6:64}" ] || { echo "broken: $line"; break; }
//! done < audit.jsonl
//! ```
//!
//! # Guarantees
//!
//! - [`Writer::append`] returns after one write and an `fdatasync`: an effect that is run after
//!   its intent was appended never happens without a record of it.
//! - After a failed append the file ends with the last whole record, and the writer takes no
//!   further record but the closing one, so that the run stops before the effect. 64 KiB of
//!   disk space are kept allocated behind the last record for that closing record.
//! - A process that dies while it appends leaves at most a torn last line (one without its
//!   `\n`). [`Writer::resume`] truncates it, saves it beside the log as `audit.jsonl.torn-<n>`
//!   and records that with an event [`TORN_TAIL`].
//! - Any changed, removed, swapped, repeated or inserted byte or line before the last `\n` is a
//!   [`Fault`] that names the record.
//! - The last record's data has `sealed`: the number of records before it, their last hash, and
//!   path, length and SHA-256 of every file beside the log. [`verify_run`] holds the folder to it.
//!
//! # Caveats
//!
//! - Whole records cut off at the end leave a valid, shorter chain. A finished run's last record
//!   is [`RUN_FINISHED`]; [`Verified::complete`] says whether it is there.
//! - The chain has no key: who can write the folder can write another valid one. A [`Checkpoint`]
//!   that is kept elsewhere finds any other log; a signed one proves who wrote it.

mod artifact;
mod build_tag;
mod checkpoint;
mod error;
mod hex;
mod listing;
mod merkle;
mod read;
mod record;
mod run;
#[cfg(test)]
mod tests;
mod writer;

pub use artifact::{Artifact, Change, artifacts};
pub use checkpoint::{Checkpoint, CheckpointError, SigningKey, VerifyingKey};
pub use error::{AuditError, AuditErrorKind, Fault, FaultKind};
pub use listing::{RunListing, folders, list};
pub use merkle::ConsistencyProof;
pub use read::{Verified, consistency_proof, read, verify, verify_log};
pub use record::{Actor, Record, RecordId};
pub use run::{VerifiedRun, verify_run};
pub use writer::{KeepCheckpoint, Redact, TornTail, Writer};

/// The file's name within a run's folder.
pub const FILE_NAME: &str = "audit.jsonl";

/// The name, within a run's folder, of the log's latest checkpoint.
pub const CHECKPOINT_FILE: &str = "audit.checkpoint";

/// The event of a run's last record.
pub const RUN_FINISHED: &str = "run.finished";

/// The event of the record that [`Writer::resume`] appends after it cut a torn last line; its
/// data is `{"bytes": N, "saved_as": "audit.jsonl.torn-1"}`.
pub const TORN_TAIL: &str = "torn_tail";

/// The longest line, in bytes. A longer one is refused when written and a fault when read, so
/// that reading a damaged file takes bounded memory.
pub const MAX_LINE: usize = 64 << 20;
