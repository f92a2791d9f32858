//! Files that keep what a run remembers for the next.

use std::io;
use std::path::Path;

use serde::Serialize;

/// Writes `value` as JSON and replaces the file at `path` in one step.
pub(super) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    serde_json::to_writer(&mut file, value)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
