//! What of a repository makes git run programs, kept as it was where mounts cannot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files below a git folder that can make git run a program.
const FILES: &[&str] = &["config", "config.worktree", "info/attributes", "commondir", "gitdir"];
/// Folders all of whose files can.
const FOLDERS: &[&str] = &["hooks"];
/// Folders below which there are further git folders.
const NESTED: &[&str] = &["modules", "worktrees"];
/// Folders that a git folder consists of: what lies below them is no further one.
const OF_GIT_FOLDERS: &[&str] = &["objects", "refs", "logs", "hooks", "info", "lfs"];
/// How deep those are looked for.
const DEPTH: usize = 6;
/// The largest file that is kept.
const LARGEST: u64 = 1 << 20;

/// The files as they were before a command.
#[derive(Debug)]
pub(crate) struct Guard {
    git: Vec<PathBuf>,
    before: BTreeMap<PathBuf, Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    File { content: Vec<u8>, mode: u32 },
    Link(PathBuf),
}

impl Guard {
    /// Remembers the files of the git folders.
    pub(crate) fn new(git: &[PathBuf]) -> Self {
        Self { git: git.to_vec(), before: read(git) }
    }

    /// Puts back what a command has changed; the files that were.
    pub(crate) fn restore(&self) -> Vec<PathBuf> {
        let after = read(&self.git);
        let mut restored = Vec::new();
        for path in after.keys().filter(|path| !self.before.contains_key(*path)) {
            if std::fs::remove_file(path).is_ok() {
                restored.push(path.clone());
            }
        }
        for (path, kept) in &self.before {
            if after.get(path) != Some(kept) && kept.put_back(path).is_ok() {
                restored.push(path.clone());
            }
        }
        restored
    }
}

impl Kept {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let found = path.symlink_metadata().ok()?;
        if found.is_symlink() {
            return Some(Self::Link(path.read_link().ok()?));
        }
        if !found.is_file() || found.len() > LARGEST {
            return None;
        }
        let mode = found.permissions().mode();
        Some(Self::File { content: std::fs::read(path).ok()?, mode })
    }

    fn put_back(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        if let Some(above) = path.parent() {
            if above.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
                std::fs::remove_file(above)?;
            }
            std::fs::create_dir_all(above)?;
        }
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path)?,
            Ok(_) => std::fs::remove_file(path)?,
            Err(_missing) => {}
        }
        match self {
            Self::Link(target) => std::os::unix::fs::symlink(target, path),
            Self::File { content, mode } => {
                std::fs::write(path, content)?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(*mode))
            }
        }
    }
}

fn read(git: &[PathBuf]) -> BTreeMap<PathBuf, Kept> {
    let mut found = BTreeMap::new();
    for folder in git {
        read_folder(folder, DEPTH, &mut found);
    }
    found
}

fn read_folder(git: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Kept>) {
    let mut keep = |path: PathBuf| {
        if let Some(kept) = Kept::of(&path) {
            found.insert(path, kept);
        }
    };
    for name in FILES {
        keep(git.join(name));
    }
    for name in FOLDERS {
        let folder = git.join(name);
        // A link in place of the folder is one of its files.
        keep(folder.clone());
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            keep(entry.path());
        }
    }
    for name in NESTED {
        read_nested(&git.join(name), depth, found);
    }
}

/// The git folders below `folder`, at any depth: a submodule's name may be a path.
fn read_nested(folder: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Kept>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_content = OF_GIT_FOLDERS.iter().any(|name| entry.file_name() == *name);
        if !is_content && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            read_folder(&entry.path(), depth, found);
            read_nested(&entry.path(), depth, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_and_configuration_are_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().to_owned();
        std::fs::create_dir_all(git.join("hooks")).unwrap();
        std::fs::create_dir_all(git.join("modules/a/b/hooks")).unwrap();
        std::fs::write(git.join("config"), "[core]\n").unwrap();
        std::fs::write(git.join("hooks/pre-push"), "#!/bin/sh\n").unwrap();
        let guard = Guard::new(std::slice::from_ref(&git));
        assert!(guard.restore().is_empty());

        std::fs::write(git.join("config"), "[core]\nfsmonitor = /tmp/x\n").unwrap();
        std::fs::write(git.join("hooks/post-commit"), "#!/bin/sh\n").unwrap();
        std::fs::write(git.join("modules/a/b/hooks/post-checkout"), "x").unwrap();
        std::fs::remove_file(git.join("hooks/pre-push")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", git.join("hooks/pre-push")).unwrap();
        assert_eq!(guard.restore().len(), 4);
        assert_eq!(std::fs::read_to_string(git.join("config")).unwrap(), "[core]\n");
        assert_eq!(std::fs::read_to_string(git.join("hooks/pre-push")).unwrap(), "#!/bin/sh\n");
        assert!(!git.join("hooks/post-commit").exists());
        assert!(guard.restore().is_empty());

        std::fs::remove_dir_all(git.join("hooks")).unwrap();
        std::os::unix::fs::symlink("/tmp", git.join("hooks")).unwrap();
        guard.restore();
        assert_eq!(std::fs::read_to_string(git.join("hooks/pre-push")).unwrap(), "#!/bin/sh\n");
    }
}
