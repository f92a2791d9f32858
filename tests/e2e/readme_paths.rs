//! Runs the instructions of docs/deploy.md: the configuration and the commands are read from it, and
//! only addresses are replaced.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::repository::{Outcome, Repository};

/// The copyable parts of a section of docs/deploy.md.
pub(crate) struct Section {
    /// The first `yaml` block.
    pub(crate) config: String,
    /// The lines of its `sh` blocks, without comments.
    pub(crate) commands: Vec<String>,
}

/// The section with that heading.
pub(crate) fn section(heading: &str) -> Section {
    let page = include_str!("../../docs/deploy.md");
    let (_, text) = page.split_once(&format!("\n### {heading}\n")).expect("the section");
    let text = text.split("\n#").next().unwrap_or_default();
    let blocks = |language: &str| -> Vec<&str> {
        let opening = format!("```{language}\n");
        text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    };
    let config = blocks("yaml").first().expect("a configuration").to_string();
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let commands: Vec<String> = lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    assert!(!commands.is_empty(), "{heading}: no commands");
    Section { config, commands }
}

/// Replaces a text that must be present.
pub(crate) fn put(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the page's\n{text}");
    text.replace(from, to)
}

/// An empty repository, with a service in its first commit.
pub(crate) fn repository(files: &[(&str, &str)]) -> Repository {
    let repository = Repository::new(files);
    assert!(!repository.path().join(".dockerignore").exists());
    repository
}

/// Runs a line in a shell at the repository's root, with `greenloop` on the PATH.
pub(crate) fn typed(repository: &Repository, line: &str, variables: &[(&str, &str)]) -> Outcome {
    let program = Path::new(env!("CARGO_BIN_EXE_greenloop"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(repository.path()).stdin(Stdio::null());
    command.env("PATH", path).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
        command.env(name, "t");
    }
    for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "t@localhost");
    }
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "GREENLOOP_MODEL", "GREENLOOP_CONFIG"] {
        command.env_remove(name);
    }
    command.env_remove("TF_BUILD").envs(variables.iter().copied());
    command.output().unwrap().into()
}

/// Like `typed`, and requires success.
pub(crate) fn works(repository: &Repository, line: &str, variables: &[(&str, &str)]) -> Outcome {
    let outcome = typed(repository, line, variables);
    assert_eq!(outcome.code, Some(0), "{line}: {}", outcome.all());
    outcome
}
