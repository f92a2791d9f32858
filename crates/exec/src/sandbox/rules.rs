//! Which paths a command may read and write, and the same for Landlock, which can only add.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What may be done with a path and all below it, unless a rule for a deeper one says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    /// Nothing; empty where it can be made so.
    Hidden,
    /// Reading and executing.
    Read,
    /// Everything.
    Write,
}

/// What may be done with a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Absolute, without links.
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
    /// What is seen there instead of what is there; only where there are mounts.
    pub(crate) source: Option<PathBuf>,
}

/// Rules by path, the shallowest first, none of which says what holds anyway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    by_path: BTreeMap<PathBuf, (Access, Option<PathBuf>)>,
}

impl Rules {
    /// Adds a rule. Links are resolved; what does not exist, or cannot be reached, needs none. A
    /// later rule for the same path replaces an earlier one.
    pub(crate) fn set(&mut self, path: &Path, access: Access) {
        if let Ok(path) = path.canonicalize() {
            self.by_path.insert(path, (access, None));
        }
    }

    /// The same, only where the path would otherwise be hidden.
    pub(crate) fn show(&mut self, path: &Path) {
        if let Ok(path) = path.canonicalize()
            && self.access(&path) == Access::Hidden
        {
            self.by_path.insert(path, (Access::Read, None));
        }
    }

    /// `path` is written to, and is `source`.
    pub(crate) fn replace(&mut self, path: &Path, source: PathBuf) {
        if let Ok(path) = path.canonicalize() {
            self.by_path.insert(path, (Access::Write, Some(source)));
        }
    }

    /// What may be done with `path`.
    pub(crate) fn access(&self, path: &Path) -> Access {
        self.nearest(path).map_or(Access::Hidden, |(access, _)| *access)
    }

    /// The rule for the path itself, or the deepest one above it.
    fn nearest(&self, path: &Path) -> Option<&(Access, Option<PathBuf>)> {
        path.ancestors().find_map(|above| self.by_path.get(above))
    }

    /// Whether a rule of its own hides `path`.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        matches!(self.by_path.get(path), Some((Access::Hidden, _)))
    }

    pub(crate) fn into_rules(self) -> Vec<Rule> {
        // What lies below a replaced folder is not seen without a rule of its own.
        let says_more = |path: &Path, access: Access, source: &Option<PathBuf>| {
            let above = path.parent().and_then(|parent| self.nearest(parent));
            let follows = above.is_some_and(|(of_above, replaced)| {
                *of_above == access && (access == Access::Hidden || replaced.is_none())
            });
            source.is_some() || !follows
        };
        // A path sorts after those above it.
        self.by_path
            .iter()
            .filter(|(path, (access, source))| says_more(path, *access, source))
            .map(|(path, (access, source))| Rule {
                path: path.clone(),
                access: *access,
                source: source.clone(),
            })
            .collect()
    }
}

/// What Landlock is to allow so that `rules` hold, as far as it can: what it allows for a folder,
/// it allows for all below. Below a folder that may be read, what is not hidden is therefore
/// allowed entry by entry; below one that may be written to, everything is allowed.
pub(crate) fn allowed(rules: &[Rule]) -> Vec<(PathBuf, Access)> {
    let by_path: BTreeMap<&Path, Access> =
        rules.iter().map(|rule| (rule.path.as_path(), rule.access)).collect();
    let mut found = Vec::new();
    for (path, access) in &by_path {
        match access {
            Access::Hidden => {}
            Access::Write => found.push(((*path).to_owned(), Access::Write)),
            Access::Read => readable(path, &by_path, &mut found),
        }
    }
    found
}

fn readable(path: &Path, rules: &BTreeMap<&Path, Access>, found: &mut Vec<(PathBuf, Access)>) {
    let hides = |path: &Path| {
        rules.iter().any(|(deeper, access)| *access == Access::Hidden && deeper.starts_with(path))
    };
    if !hides(path) {
        found.push((path.to_owned(), Access::Read));
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // What a link leads to has a place of its own; what has a rule, its own turn.
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !is_link && !rules.contains_key(path.as_path()) {
            readable(&path, rules, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_entry_by_entry() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["usr/bin", "home/me/.ssh", "home/me/.cargo/bin", "home/me/work/.git"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
        }
        std::fs::write(root.join("home/me/.cargo/credentials.toml"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("home"), root.join("link")).unwrap();
        let mut rules = Rules::default();
        rules.set(&root, Access::Read);
        rules.set(&root.join("home"), Access::Hidden);
        rules.set(&root.join("home/me"), Access::Hidden);
        rules.show(&root.join("home/me/.cargo"));
        rules.set(&root.join("home/me/.cargo/credentials.toml"), Access::Hidden);
        rules.set(&root.join("home/me/work"), Access::Write);
        rules.set(&root.join("home/me/work/.git"), Access::Read);
        rules.set(&root.join("no-such-thing"), Access::Write);
        let mut replaced = rules.clone();
        replaced.replace(&root.join("home/me/work"), root.join("usr"));
        std::fs::create_dir_all(root.join("home/me/work/deep")).unwrap();
        replaced.set(&root.join("home/me/work/deep"), Access::Write);
        let deep = |rule: &Rule| rule.path.ends_with("deep") && rule.access == Access::Write;
        assert!(replaced.into_rules().iter().any(deep), "it would be what lies in `usr`");
        assert_eq!(rules.access(&root.join("home/me/.ssh/id")), Access::Hidden);
        assert_eq!(rules.access(&root.join("home/me/work/.git/hooks")), Access::Read);
        let rules = rules.into_rules();
        let text: Vec<String> = rules
            .iter()
            .map(|rule| {
                let path = rule.path.strip_prefix(&root).unwrap();
                format!("{} {:?}", path.display(), rule.access)
            })
            .collect();
        assert_eq!(
            text,
            [
                " Read",
                "home Hidden",
                "home/me/.cargo Read",
                "home/me/.cargo/credentials.toml Hidden",
                "home/me/work Write",
                "home/me/work/.git Read",
            ]
        );
        let mut allowed: Vec<String> = allowed(&rules)
            .iter()
            .map(|(path, access)| {
                format!("{} {access:?}", path.strip_prefix(&root).unwrap().display())
            })
            .collect();
        allowed.sort();
        assert_eq!(
            allowed,
            ["home/me/.cargo/bin Read", "home/me/work Write", "home/me/work/.git Read", "usr Read",]
        );
    }
}
