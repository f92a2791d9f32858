//! Where a repository's configuration lies.

use std::path::{Path, PathBuf};

/// The configuration at a repository's root.
pub const FILE_NAME: &str = "greenloop.yaml";

/// The name that it also has, and that other programs use as well.
pub const OLD_NAME: &str = "config.yaml";

/// Where a repository keeps the schema for editors, relative to its root.
pub const SCHEMA_PATH: &str = ".greenloop/config.schema.json";

/// The configuration that is read when none is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// [`FILE_NAME`] where it is there; else [`OLD_NAME`] where that is there; else [`FILE_NAME`],
    /// which then is missing.
    pub path: PathBuf,
    /// A second configuration of Greenloop's at the root, which is not read.
    pub ignored: Option<PathBuf>,
}

/// Looks for the configuration at `root`.
pub fn locate(root: &Path) -> Located {
    let (new, old) = (root.join(FILE_NAME), root.join(OLD_NAME));
    match (new.is_file(), old.is_file()) {
        (false, true) => Located { path: old, ignored: None },
        (true, true) => {
            let text = std::fs::read(&old).unwrap_or_default();
            let own = super::is_meant_for_greenloop(&String::from_utf8_lossy(&text));
            Located { path: new, ignored: own.then_some(old) }
        }
        (_, false) => Located { path: new, ignored: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_name_comes_first_and_only_a_second_configuration_is_noted() {
        let root = tempfile::tempdir().unwrap();
        let (new, old) = (root.path().join(FILE_NAME), root.path().join(OLD_NAME));
        let only = |path: &PathBuf| Located { path: path.clone(), ignored: None };
        assert_eq!(locate(root.path()), only(&new));
        std::fs::write(&old, "port: 8080\n").unwrap();
        assert_eq!(locate(root.path()), only(&old));
        std::fs::write(&new, "").unwrap();
        assert_eq!(locate(root.path()), only(&new));
        std::fs::write(&old, "environments:\n  x: {}\ndeploy: {}\n").unwrap();
        assert_eq!(locate(root.path()), Located { path: new, ignored: Some(old) });
    }
}
