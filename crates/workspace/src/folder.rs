//! Patching a folder of files directly, repository or not: `greenloop patch`.
//!
//! All or nothing: every new file is written beside its place first; only then do renames put
//! them there. When a rename fails, the files that were replaced are put back.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{WorkspaceError, WorkspaceErrorKind};
use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

/// Files that are listed, for finding one by the end of its path.
const MOST_FILES: usize = 100_000;

/// The work tree that `path` lies in; `None` outside a repository.
pub fn work_tree_root(path: &Path) -> Option<PathBuf> {
    let repo = git2::Repository::discover(path).ok()?;
    repo.workdir()?.canonicalize().ok()
}

/// A file as it stands on disk; `None` when there is none, when it is a folder, or when the way
/// to it leads through a symbolic link.
pub fn read_work_tree(root: &Path, path: &RepoPath) -> io::Result<Option<FileContent>> {
    if check_way(root, path).is_err() {
        return Ok(None);
    }
    let file = root.join(path.to_os_path());
    let found = match file.symlink_metadata() {
        Ok(found) => found,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if found.is_symlink() {
        let target = fs::read_link(&file)?.into_os_string().as_bytes().to_vec();
        return Ok(Some(FileContent { bytes: target, mode: FileMode::Symlink }));
    }
    if !found.is_file() {
        return Ok(None);
    }
    let executable = found.permissions().mode() & 0o100 != 0;
    let mode = if executable { FileMode::Executable } else { FileMode::Regular };
    Ok(Some(FileContent { bytes: fs::read(&file)?, mode }))
}

/// The files below `root` that git does not ignore.
pub fn list_work_tree(root: &Path) -> io::Result<Vec<RepoPath>> {
    let walk = ignore::WalkBuilder::new(root).hidden(false).require_git(false).build();
    let mut files = Vec::new();
    for entry in walk.flatten() {
        if files.len() >= MOST_FILES {
            break;
        }
        let Ok(relative) = entry.path().strip_prefix(root) else { continue };
        if relative.starts_with(".git") || !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        files.extend(RepoPath::new(relative.as_os_str().as_bytes()));
    }
    Ok(files)
}

/// Whether [`write_work_tree`] would make the changes, as far as that can be told without writing.
///
/// # Errors
/// Those of [`write_work_tree`] but for files that cannot be written.
pub fn check_work_tree(root: &Path, changes: &[FileChange]) -> Result<(), WorkspaceError> {
    for change in changes {
        let source = change.moved_from.as_ref().unwrap_or(&change.path);
        for path in [&change.path, source] {
            check_way(root, path)?;
        }
        let now = read_work_tree(root, source)
            .map_err(WorkspaceError::io(format!("cannot read {source}")))?;
        if now != change.before {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::Stale,
                format!("{source} has changed since the patch was created"),
            ));
        }
        if change.after.as_ref().is_some_and(|after| permissions(after.mode).is_none()) {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::Symlink,
                format!("{} would become a symbolic link or a submodule", change.path),
            ));
        }
    }
    Ok(())
}

/// Makes the changes on disk: all of them, or none.
///
/// # Errors
/// When a path leads through a symbolic link or into `.git`, when a file is no longer what the
/// change was made against, or when a file cannot be written.
pub fn write_work_tree(root: &Path, changes: &[FileChange]) -> Result<(), WorkspaceError> {
    check_work_tree(root, changes)?;
    let kept = |path: &RepoPath| {
        read_work_tree(root, path).map_err(WorkspaceError::io(format!("cannot read {path}")))
    };
    let mut steps = Vec::new();
    for change in changes {
        if let Some(source) = &change.moved_from {
            let place = root.join(source.to_os_path());
            steps.push(Step { place, draft: None, kept: kept(source)? });
        }
        let place = root.join(change.path.to_os_path());
        let draft = change.after.as_ref().map(|after| draft(&place, after)).transpose()?;
        steps.push(Step { place, draft, kept: kept(&change.path)? });
    }
    // What goes makes room: a file for a folder of its name, and a folder for a file.
    steps.sort_by_key(|step| step.draft.is_some());
    let mut done = Vec::new();
    for step in steps {
        let Step { place, draft, kept } = step;
        let outcome = match draft {
            Some(draft) => persist(draft, &place),
            None => fs::remove_file(&place),
        };
        if let Err(error) = outcome {
            for (place, kept) in done.into_iter().rev() {
                put_back(root, place, kept);
            }
            return Err(WorkspaceError::io(format!("cannot write {}", place.display()))(error));
        }
        done.push((place, kept));
    }
    Ok(())
}

fn persist(draft: NamedTempFile, place: &Path) -> io::Result<()> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    if place.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        // Only one that is empty now.
        fs::remove_dir(place)?;
    }
    draft.persist(place).map(|_file| ()).map_err(|error| error.error)
}

struct Step {
    place: PathBuf,
    draft: Option<NamedTempFile>,
    kept: Option<FileContent>,
}

/// The mode of a file; `None` for what is never written.
const fn permissions(mode: FileMode) -> Option<u32> {
    match mode {
        FileMode::Regular => Some(0o644),
        FileMode::Executable => Some(0o755),
        FileMode::Symlink | FileMode::Submodule => None,
    }
}

/// The new file, complete, in the folder of its place or the nearest that is there.
fn draft(place: &Path, content: &FileContent) -> Result<NamedTempFile, WorkspaceError> {
    let failed = || WorkspaceError::io(format!("cannot write {}", place.display()));
    let permissions = permissions(content.mode).unwrap_or(0o644);
    let folder = place.ancestors().skip(1).find(|folder| folder.is_dir());
    let file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed())?;
    fs::write(file.path(), &content.bytes).map_err(failed())?;
    // What the file may do besides being executable is its owner's business.
    let mode = place.metadata().map_or(permissions, |found| {
        let known = found.permissions().mode() & 0o777;
        if permissions == 0o755 { known | 0o111 } else { known & !0o111 }
    });
    fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).map_err(failed())?;
    file.as_file().sync_all().map_err(failed())?;
    Ok(file)
}

/// As well as it can be done; the error that led here is the one that is reported.
fn put_back(root: &Path, place: PathBuf, kept: Option<FileContent>) {
    let _as_well_as_possible = match kept {
        Some(kept) => place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            fs::write(&place, kept.bytes)?;
            let mode = permissions(kept.mode).unwrap_or(0o644);
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))
        }),
        None => fs::remove_file(&place).map(|()| {
            // Folders that were made for it.
            let mut folders = place.ancestors().skip(1).take_while(|folder| *folder != root);
            while folders.next().is_some_and(|folder| fs::remove_dir(folder).is_ok()) {}
        }),
    };
}

/// That no folder on the way is a symbolic link, and none is `.git`.
fn check_way(root: &Path, path: &RepoPath) -> Result<(), WorkspaceError> {
    if path.components().any(|part| part.eq_ignore_ascii_case(b".git")) {
        return Err(WorkspaceError::new(
            WorkspaceErrorKind::InvalidPath,
            format!("{path} is inside git's own folder"),
        ));
    }
    let mut folder = root.to_owned();
    let path = path.to_os_path();
    for part in path.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        if folder.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return Err(WorkspaceError::new(
                WorkspaceErrorKind::Symlink,
                format!("{} is a symbolic link", folder.display()),
            ));
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    fn change(at: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        FileChange {
            path: path(at),
            moved_from: None,
            before: before.map(FileContent::regular),
            after: after.map(FileContent::regular),
        }
    }

    #[test]
    fn all_changes_are_made() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "1").unwrap();
        fs::write(root.path().join("b"), "2").unwrap();
        let changes = [
            change("a", Some("1"), Some("one")),
            change("b", Some("2"), None),
            change("c/d", None, Some("new")),
        ];
        write_work_tree(root.path(), &changes).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "one");
        assert!(!root.path().join("b").exists());
        assert_eq!(fs::read_to_string(root.path().join("c/d")).unwrap(), "new");
    }

    #[test]
    fn a_file_makes_room_for_a_folder_and_a_folder_for_a_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("pkg"), "1").unwrap();
        fs::create_dir(root.path().join("lib")).unwrap();
        fs::write(root.path().join("lib/main"), "2").unwrap();
        let moved = |from: &str, to: &str, text: &str| FileChange {
            moved_from: Some(path(from)),
            ..change(to, Some(text), Some(text))
        };
        let changes = [moved("pkg", "pkg/main", "1"), moved("lib/main", "lib", "2")];
        check_work_tree(root.path(), &changes).unwrap();
        write_work_tree(root.path(), &changes).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("pkg/main")).unwrap(), "1");
        assert_eq!(fs::read_to_string(root.path().join("lib")).unwrap(), "2");

        // One that cannot be written takes the folder back, too.
        fs::create_dir_all(root.path().join("full/inside")).unwrap();
        let changes = [moved("lib", "lib/main", "2"), change("full", None, Some("a file"))];
        assert!(write_work_tree(root.path(), &changes).is_err());
        assert_eq!(fs::read_to_string(root.path().join("lib")).unwrap(), "2");
    }

    #[test]
    fn what_would_become_a_link_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        let link = FileContent { bytes: b"/etc/passwd".to_vec(), mode: FileMode::Symlink };
        let changes = [FileChange { after: Some(link), ..change("link", None, None) }];
        let checked = check_work_tree(root.path(), &changes).unwrap_err();
        let written = write_work_tree(root.path(), &changes).unwrap_err();
        assert_eq!(checked.kind, WorkspaceErrorKind::Symlink);
        assert_eq!(checked.to_string(), written.to_string());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_cannot_be_made_undoes_the_others() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "1").unwrap();
        fs::create_dir_all(root.path().join("folder/inside")).unwrap();
        let changes = [change("a", Some("1"), Some("one")), change("folder", None, Some("a file"))];
        assert!(write_work_tree(root.path(), &changes).is_err());
        assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "1");
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "no draft is left behind: {left:?}");
    }

    #[test]
    fn links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("x"), "safe").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        assert_eq!(read_work_tree(root.path(), &path("link/x")).unwrap(), None);
        let error = write_work_tree(root.path(), &[change("link/y", None, Some("owned"))]);
        assert_eq!(error.unwrap_err().kind, WorkspaceErrorKind::Symlink);
        assert!(!outside.path().join("y").exists());
    }
}
