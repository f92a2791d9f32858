//! What a context consists of.

use super::stat::Stat;

/// A file, a folder or something else in the context.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Relative to the context, with slashes, as bytes: a name need not be UTF-8.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// The permission bits, set-user-id and the like included.
    pub(super) mode: u32,
}

/// What an entry is. Sockets are none: Docker leaves them out too.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A file; a hard link is one more file.
    File {
        stat: Stat,
        /// Of the content; known when the context has been scanned.
        hash: Option<blake3::Hash>,
        /// Where in the context's copies the content begins, for a file that keeps changing.
        copy: Option<u64>,
    },
    /// A folder.
    Folder,
    /// A symbolic link and where it points; never followed.
    Link(Vec<u8>),
    /// A named pipe.
    Pipe,
    /// A device.
    Device { block: bool, major: u32, minor: u32 },
}
