//! A repair in one signed file: made by a job that may change nothing, accepted by one that may.
//!
//! Lives here: what a bundle holds, its form, and reading it such that nothing of it is used before
//! its signature is verified. Must not be here: git, the policy, commands.
//!
//! # Form
//!
//! A signed note (<https://c2sp.org/signed-note>), an empty line, and a gzip stream:
//!
//! ```text
//! greenloop/bundle/1
//! 01a22a36-7133-7717-8214-94e9a960ee7b
//! 4711
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — heal-job Az3grlgt…
//!
//! <4711 bytes, whose SHA-256 is the fourth line: a tar archive, compressed>
//! ```
//!
//! The archive has the entries [`ENTRIES`], in that order and no others. `sed '1,7d' FILE | tar tz`
//! lists them.
//!
//! # Guarantees
//!
//! - Every byte of the file is signed, or is the signature: any other file is refused by
//!   [`Bundle::open`], and nothing is written to the disk.
//! - What is read is bounded, compressed and unpacked, whoever has signed it.

mod container;
mod error;
mod manifest;
#[cfg(test)]
mod tests;

pub use container::{Bundle, ENTRIES, LARGEST_FILE};
pub use error::BundleError;
pub use manifest::{AuditHead, Manifest, Repair, Revision, TestsRan, VERSION};
