//! `never_delete`: files that no patch may delete, move away, empty or replace.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::PolicyError;
use super::syntax::SourceFile;
use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

/// Less than this part of a file's content left counts as gutted.
const GUTTED_DIVISOR: usize = 10;
/// Files shorter than this, comments and white space aside, may shrink as they like, but not to
/// nothing.
const SMALL: usize = 200;

/// The patterns, in gitignore's language: `*.sql` at any depth, `migrations/` the folder at any
/// depth, `k8s/secrets.yaml` from the root. Case does not matter.
#[derive(Debug)]
pub(super) struct Protected {
    patterns: Gitignore,
}

impl Protected {
    pub(super) fn new(patterns: &[String]) -> Result<Self, PolicyError> {
        let mut builder = GitignoreBuilder::new("");
        let error = |pattern: &str, source: ignore::Error| PolicyError::Pattern {
            pattern: pattern.to_owned(),
            source: Box::new(source),
        };
        builder.case_insensitive(true).map_err(|source| error("", source))?;
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(|source| error(pattern, source))?;
        }
        let patterns = builder.build().map_err(|source| error("", source))?;
        Ok(Self { patterns })
    }

    /// The pattern that protects `path`.
    fn pattern(&self, path: &RepoPath) -> Option<&str> {
        match self.patterns.matched_path_or_any_parents(path.to_os_path(), false) {
            ignore::Match::Ignore(glob) => Some(glob.original()),
            ignore::Match::None | ignore::Match::Whitelist(_) => None,
        }
    }

    /// What the change takes away from a protected file.
    pub(super) fn broken(&self, change: &FileChange) -> Option<String> {
        let before = change.before.as_ref()?;
        let old_path = change.moved_from.as_ref().unwrap_or(&change.path);
        let pattern = self.pattern(old_path)?;
        let what = if change.moved_from.as_ref().is_some_and(|from| *from != change.path) {
            "moved away"
        } else {
            taken(before, change.after.as_ref(), &SourceFile::new(old_path, &before.bytes))?
        };
        Some(format!("{old_path} is {what}, but {pattern:?} protects it"))
    }
}

fn taken(
    before: &FileContent,
    after: Option<&FileContent>,
    file: &SourceFile,
) -> Option<&'static str> {
    let Some(after) = after else { return Some("deleted") };
    if after.mode != before.mode && matches!(after.mode, FileMode::Symlink | FileMode::Submodule) {
        return Some("replaced by something that is not a file");
    }
    if before.bytes.trim_ascii().is_empty() {
        return None;
    }
    if after.bytes.trim_ascii().is_empty() {
        return Some("emptied");
    }
    if before.is_binary() {
        let kept = after.is_binary() && after.bytes.len() * GUTTED_DIVISOR >= before.bytes.len();
        return (!kept).then_some("replaced");
    }
    if after.is_binary() {
        return Some("replaced by a binary file");
    }
    let (old, new) = (weight(&before.bytes, file), weight(&after.bytes, file));
    if old > 0 && (new == 0 || (old >= SMALL && new * GUTTED_DIVISOR < old)) {
        return Some("almost completely emptied");
    }
    None
}

/// How many letters and digits there are outside comments.
fn weight(bytes: &[u8], file: &SourceFile) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let mut weight = 0;
    let mut rest: &str = &text;
    let mut outside = String::with_capacity(text.len());
    while let Some(start) = rest.find("/*") {
        let Some(length) = rest[start..].find("*/") else { break };
        outside.push_str(&rest[..start]);
        rest = &rest[start + length + 2..];
    }
    outside.push_str(rest);
    let hash = !file.has_extension(&["c", "h", "cc", "cpp", "cs", "rs", "md"]);
    for line in outside.lines() {
        let line = line.trim_start();
        let comment = line.starts_with("--") && !line.starts_with("---")
            || line.starts_with("//")
            || (hash && line.starts_with('#'))
            || (line.starts_with("<!--") && line.trim_end().ends_with("-->"));
        if !comment {
            weight += line.chars().filter(|c| c.is_alphanumeric()).count();
        }
    }
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(from: &str, to: Option<&str>, before: &[u8], after: Option<&[u8]>) -> bool {
        let patterns = ["*.sql", "migrations/", "k8s/secrets.yaml"].map(str::to_owned);
        let protected = Protected::new(&patterns).expect("valid patterns");
        let path = |p: &str| RepoPath::new(p).expect("a path");
        let change = FileChange {
            path: path(to.unwrap_or(from)),
            moved_from: to.map(|_| path(from)),
            before: Some(FileContent::regular(before)),
            after: after.map(FileContent::regular),
        };
        protected.broken(&change).is_some()
    }

    #[test]
    fn protected_files_stay() {
        let long = "CREATE TABLE users (id INT PRIMARY KEY, name TEXT NOT NULL);\n".repeat(10);
        let long = long.as_bytes();
        let commented: String =
            String::from_utf8_lossy(long).lines().map(|l| format!("-- {l}\n")).collect();
        for path in [
            "a.sql",
            "db/x/a.sql",
            "db/A.SQL",
            "migrations/1.py",
            "app/migrations/1/up.txt",
            "k8s/secrets.yaml",
            "Migrations/x",
            "K8s/Secrets.yaml",
        ] {
            assert!(broken(path, None, long, None), "{path}: deleted");
            assert!(broken(path, None, long, Some(b"")), "{path}: emptied");
            assert!(broken(path, None, long, Some(b" \n\n")), "{path}: blank");
            assert!(broken(path, None, long, Some(commented.as_bytes())), "{path}: commented");
            assert!(broken(path, None, long, Some(b"/* gone */\n;")), "{path}: comment");
            assert!(broken(path, None, long, Some(b"SELECT 1;")), "{path}: gutted");
            assert!(broken(path, None, long, Some(b"\0\0")), "{path}: binary");
            assert!(broken(path, Some("old/x.bak"), long, Some(long)), "{path}: moved");
            assert!(!broken(path, None, long, Some(&long[70..])), "{path}: edited");
        }
        for path in ["a.sqlx", "sql", "x/k8s/secrets.yaml", "migrations.rs", "k8s/secrets.yaml.tpl"]
        {
            assert!(!broken(path, None, long, None), "{path}");
        }
        assert!(!broken("a.sql", None, b"", Some(b"")));
        assert!(!broken("a.sql", None, b"DROP TABLE x;", Some(b"SELECT 1;")));
    }

    #[test]
    fn a_link_is_a_replacement() {
        let protected = Protected::new(&["*.sql".to_owned()]).expect("valid");
        let change = FileChange {
            path: RepoPath::new("a.sql").expect("a path"),
            moved_from: None,
            before: Some(FileContent::regular("x")),
            after: Some(FileContent { bytes: b"x".to_vec(), mode: FileMode::Symlink }),
        };
        assert!(protected.broken(&change).is_some());
    }
}
