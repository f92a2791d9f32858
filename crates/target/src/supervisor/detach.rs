//! What a detached process takes hold of: its folder, the lock, a session of its own.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{Resource, Rlimit};

/// The target's lock: who holds it is its process. It is the kernel's, not a file's existence.
pub(crate) fn lock(folder: &Path) -> std::io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("supervisor.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The folder, only this user's.
pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Leaves the terminal, so that what serves outlives who deployed it, and takes as many
/// descriptors as it may: each forwarded connection needs two.
pub(crate) fn detach() {
    let _leads_its_group_already = rustix::process::setsid();
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _as_it_was = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit { current: limit.maximum, maximum: limit.maximum },
    );
}
