//! The files beside a run's log: what its last record says of them, and whether they still are
//! what it says.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex::hex;
use super::{CHECKPOINT_FILE, FILE_NAME};

/// A file of a run's folder, as the run left it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative to the run's folder, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// Every file of the run's folder but the log and its checkpoint, sorted by path. Links, pipes and
/// the like are none of the run's.
///
/// # Errors
/// A folder or a file that cannot be read.
pub fn artifacts(folder: &Path) -> io::Result<Vec<Artifact>> {
    Ok(contents(folder)?.files)
}

/// What is in a run's folder besides the log and its checkpoint.
#[derive(Default)]
struct Contents {
    /// Sorted by path.
    files: Vec<Artifact>,
    /// What is neither a file nor a folder.
    others: Vec<String>,
}

fn contents(folder: &Path) -> io::Result<Contents> {
    let mut found = Contents::default();
    collect(folder, "", &mut found)?;
    found.files.sort();
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Contents) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else if !kind.is_file() {
            found.others.push(path);
        } else if path != FILE_NAME && path != CHECKPOINT_FILE {
            let (bytes, sha256) = digest(&entry.path())?;
            found.files.push(Artifact { path, bytes, sha256 });
        }
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(&digest.finalize()))),
            read => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// The first file that is not as `listed` says, and what is wrong with it.
pub(super) fn changed(folder: &Path, listed: &[Artifact]) -> io::Result<Option<(String, Change)>> {
    let Contents { files: now, others } = contents(folder)?;
    for was in listed {
        match now.iter().find(|artifact| artifact.path == was.path) {
            None => return Ok(Some((was.path.clone(), Change::Missing))),
            Some(is) if is != was => return Ok(Some((was.path.clone(), Change::Edited))),
            Some(_) => {}
        }
    }
    let added = now.into_iter().find(|is| !listed.iter().any(|was| was.path == is.path));
    let added = added.map(|artifact| artifact.path).or_else(|| others.into_iter().next());
    Ok(added.map(|path| (path, Change::Added)))
}

/// What became of a file after the run had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is gone.
    Missing,
    /// It has other bytes.
    Edited,
    /// The run did not leave it.
    Added,
}
