//! Paths that a patch may not touch, or not without a person, by path alone.

use greenloop_model::RepoPath;

/// Why a path is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProtectedPath {
    /// Inside `.git`, by whatever spelling a file system takes for it.
    GitInternals,
    /// `.gitmodules`
    Submodules,
    /// Greenloop's own configuration.
    OwnConfig,
    /// Where Greenloop looks for its configuration when none is named. Other programs have a file
    /// of that name, too: see [`DefaultConfig`](Self::DefaultConfig)'s use in `judge_paths`.
    DefaultConfig,
    /// What Greenloop records of its runs.
    OwnRecords,
}

/// Which of them `path` is; `config` is the configuration's own path.
pub(super) fn protected_path(path: &RepoPath, config: Option<&RepoPath>) -> Option<ProtectedPath> {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        for part in component.split(|b| *b == b'\\') {
            parts.push(folded(part));
        }
    }
    if parts.iter().any(|part| is_git_folder(part)) {
        return Some(ProtectedPath::GitInternals);
    }
    let name = parts.last()?.as_str();
    let folders = &parts[..parts.len() - 1];
    if name == ".gitmodules" || name.starts_with("gitmod~") {
        return Some(ProtectedPath::Submodules);
    }
    let own_name = folders.is_empty()
        && matches!(
            name,
            "greenloop.yaml" | "greenloop.yml" | ".greenloop.yaml" | ".greenloop.yml"
        );
    let own = own_name
        || parts.iter().any(|part| part == ".greenloop")
        || config.is_some_and(|config| config.components().map(folded).eq(parts.iter().cloned()));
    if own {
        return Some(ProtectedPath::OwnConfig);
    }
    if folders.is_empty() && name == greenloop_config::OLD_NAME {
        return Some(ProtectedPath::DefaultConfig);
    }
    if is_record(folders, name) {
        return Some(ProtectedPath::OwnRecords);
    }
    None
}

/// Whether Greenloop writes its records there: `logs/runs/`, its log of each day, and the metrics,
/// with the names that damaged ones are put aside under.
fn is_record(folders: &[String], name: &str) -> bool {
    match folders {
        [logs] if logs == "logs" => name == "runs" || name.starts_with("orchestrator_"),
        [logs, runs, ..] if logs == "logs" => runs == "runs",
        [metrics] if metrics == "metrics" => name.starts_with("deployments.json"),
        _ => false,
    }
}

/// As the laxest file system compares names: no case, nothing invisible, no trailing dots,
/// spaces or streams.
fn folded(part: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(part)
        .chars()
        .filter(|c| {
            !matches!(*c as u32, 0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xFEFF)
        })
        .flat_map(char::to_lowercase)
        .collect();
    let text = text.split(':').next().unwrap_or_default();
    text.trim_end_matches(['.', ' ']).to_owned()
}

fn is_git_folder(part: &str) -> bool {
    part == ".git"
        || part
            .strip_prefix("git~")
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_known_by_any_spelling() {
        use ProtectedPath::{DefaultConfig, GitInternals, OwnConfig, OwnRecords, Submodules};
        let config = RepoPath::new("ops/Config.yaml").expect("a path");
        for (path, expect) in [
            (".git/config", Some(GitInternals)),
            (".GIT/hooks/pre-commit", Some(GitInternals)),
            ("a/.git/x", Some(GitInternals)),
            (".git./x", Some(GitInternals)),
            (".git /x", Some(GitInternals)),
            (".git::$INDEX_ALLOCATION/x", Some(GitInternals)),
            ("git~1/x", Some(GitInternals)),
            (".g\u{200c}it/x", Some(GitInternals)),
            (".git\\config", Some(GitInternals)),
            (".git", Some(GitInternals)),
            (".gitmodules", Some(Submodules)),
            ("ops/config.yaml", Some(OwnConfig)),
            ("greenloop.yaml", Some(OwnConfig)),
            (".greenloop/state", Some(OwnConfig)),
            (".gitignore", None),
            ("src/git.rs", None),
            ("git~x", None),
            ("src/pipelines/x.rs", None),
            ("config.yaml", Some(DefaultConfig)),
            ("CONFIG.yaml ", Some(DefaultConfig)),
            ("app/config.yaml", None),
            ("logs/runs/0190/audit.jsonl", Some(OwnRecords)),
            ("Logs/RUNS/x", Some(OwnRecords)),
            ("logs/runs", Some(OwnRecords)),
            ("logs/orchestrator_20260102.log", Some(OwnRecords)),
            ("metrics/deployments.json", Some(OwnRecords)),
            ("metrics/deployments.json.corrupt-7", Some(OwnRecords)),
            ("logs/app.log", None),
            ("app/logs/runs/x", None),
            ("metrics/names.json", None),
        ] {
            assert_eq!(
                protected_path(&RepoPath::new(path).expect("a path"), Some(&config)),
                expect,
                "{path}"
            );
        }
    }
}
