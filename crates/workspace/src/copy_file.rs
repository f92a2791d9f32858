//! Copying one file of the work tree.

use std::fs;
use std::io;
use std::path::Path;

/// Copies with the permissions and the modification time of the original, which builds compare. The
/// kernel copies, and shares blocks where the file system can.
pub(super) fn copy_file(from: &mut fs::File, found: &fs::Metadata, to: &Path) -> io::Result<()> {
    let mut copy = fs::File::create(to)?;
    io::copy(from, &mut copy)?;
    copy.set_permissions(found.permissions())?;
    copy.set_modified(found.modified()?)
}
