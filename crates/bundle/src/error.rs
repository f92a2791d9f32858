//! Why a file is not accepted as a bundle.

use std::io;

/// Why a bundle cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A folder, a pipe, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// More bytes than [`super::LARGEST_FILE`], or than an entry may have.
    #[error("{what} is larger than {most} bytes")]
    TooLarge { what: String, most: u64 },
    /// Its first lines are not those of a bundle.
    #[error("it is not a bundle of Greenloop: {0}")]
    Form(&'static str),
    /// Another key, or other first lines than were signed.
    #[error(
        "its signature is not one of the key `{key}`: it was changed, or another key signed it"
    )]
    Signature { key: String },
    /// The content is not the one that was signed.
    #[error("its content is not what was signed: {0}")]
    Content(&'static str),
    /// A signed archive with something in it that no bundle has.
    #[error("its archive is not that of a bundle: {0}")]
    Archive(String),
    #[error("its manifest cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// A later version of Greenloop wrote it.
    #[error("it has version {found}, and this Greenloop reads version {known}")]
    Version { found: u32, known: u32 },
    /// Parts that do not belong together.
    #[error("its parts contradict each other: {0}")]
    Contradiction(&'static str),
    /// Records that do not follow from each other.
    #[error("its audit log is broken")]
    AuditLog(#[source] greenloop_audit::Fault),
    #[error("the file failed")]
    Io(#[from] io::Error),
}
