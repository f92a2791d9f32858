//! A copy of the repository in which commands are tried, so that the repository itself stays as it
//! is until somebody has said yes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{AppError, Stamps};
use greenloop_init::Files;

/// Bytes of ignored files (dependencies, build caches) that are copied; a folder that would exceed
/// them stays behind.
const IGNORED_BYTES: u64 = 1 << 30;

/// The copy; removed on drop.
pub(super) struct TrialCopy {
    folder: TempDir,
    original: PathBuf,
    stamps: Stamps,
}

impl TrialCopy {
    pub(super) fn make(files: &Files, scratch: &Path) -> Result<Self, AppError> {
        let failed = |source| AppError::Folder { path: scratch.to_owned(), source };
        fs::create_dir_all(scratch).map_err(failed)?;
        let folder =
            tempfile::Builder::new().prefix("init-").tempdir_in(scratch).map_err(failed)?;
        let to = folder.path().canonicalize().map_err(failed)?;
        let mut budget = IGNORED_BYTES;
        copy_folder(files, files.root(), Path::new(""), &to, &mut budget).map_err(failed)?;
        greenloop_workspace::create_repository(&to)?;
        greenloop_workspace::commit_all(&to, "the repository as it is")?;
        let stamp = |path: &String| Some((path.clone(), stamp_of(&to.join(path))?));
        let stamps = files.paths().iter().filter_map(stamp).collect();
        Ok(Self { folder, original: files.root().to_owned(), stamps })
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A text without the copy's own place, which says nothing to anybody.
    pub(super) fn without_path(&self, text: &str) -> String {
        let own = self.root().to_string_lossy();
        text.replace(&format!("{own}/"), "").replace(own.as_ref(), ".")
    }

    /// Files of the repository that were changed; they are as before afterwards.
    pub(super) fn put_back(&self) -> Vec<String> {
        let mut changed = Vec::new();
        for (path, stamp) in &self.stamps {
            let (copy, original) = (self.root().join(path), self.original.join(path));
            if stamp_of(&copy).as_ref() == Some(stamp) {
                continue;
            }
            let same =
                fs::read(&copy).ok().zip(fs::read(&original).ok()).is_some_and(|(a, b)| a == b);
            if !same {
                changed.push(path.clone());
                let _best_effort = fs::copy(&original, &copy);
            }
        }
        changed.truncate(3);
        changed
    }
}

fn stamp_of(path: &Path) -> Option<(u64, std::time::SystemTime)> {
    let found = path.symlink_metadata().ok()?;
    Some((found.len(), found.modified().ok()?))
}

/// Copies what lies in `inside`: the files that git knows, and of the others what the budget allows.
fn copy_folder(
    files: &Files,
    root: &Path,
    inside: &Path,
    to: &Path,
    budget: &mut u64,
) -> io::Result<()> {
    fs::create_dir_all(to.join(inside))?;
    for entry in fs::read_dir(root.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        if entry.file_name() == ".git" {
            continue;
        }
        let kind = entry.file_type()?;
        let known = path.to_str().is_some_and(|path| files.holds(path));
        if kind.is_dir() && known {
            copy_folder(files, root, &path, to, budget)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, to.join(&path))?;
        } else if known {
            fs::copy(entry.path(), to.join(&path))?;
        } else if let Some(size) = size(&entry.path(), *budget) {
            *budget -= size;
            copy_whole(&entry.path(), &to.join(&path))?;
        }
    }
    Ok(())
}

/// Bytes of a file or a folder, when they are at most `most`.
fn size(path: &Path, most: u64) -> Option<u64> {
    let found = path.symlink_metadata().ok()?;
    let mut sum = if found.is_file() { found.len() } else { 0 };
    if found.is_dir() {
        for entry in fs::read_dir(path).ok()?.flatten() {
            sum += size(&entry.path(), most.checked_sub(sum)?)?;
        }
    }
    (sum <= most).then_some(sum)
}

fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let kind = from.symlink_metadata()?;
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_whole(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    } else if kind.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        // Sockets and pipes are nothing that a build needs.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_changes_is_noticed_and_put_back() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("a", "1"), ("sub/b", "2"), (".gitignore", "deps/\n"), ("deps/x", "3")]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let copy = TrialCopy::make(&Files::read(root.path()), scratch.path()).unwrap();
        assert_eq!(fs::read_to_string(copy.root().join("deps/x")).unwrap(), "3");
        assert_eq!(copy.put_back(), Vec::<String>::new());
        fs::write(copy.root().join("sub/b"), "changed").unwrap();
        fs::write(copy.root().join("new"), "x").unwrap();
        assert_eq!(copy.put_back(), ["sub/b"]);
        assert_eq!(fs::read_to_string(copy.root().join("sub/b")).unwrap(), "2");
        assert_eq!(fs::read_to_string(root.path().join("sub/b")).unwrap(), "2");
        let folder = copy.root().to_owned();
        drop(copy);
        assert!(!folder.exists());
    }
}
