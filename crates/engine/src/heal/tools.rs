//! The author's read-only tools.

use serde::Deserialize;
use serde_json::{Value, json};

use super::budget::{Keep, shorten};
use super::explore::RUN_COMMAND;
use greenloop_model::{CommitId, RepoPath};
use greenloop_ports::{ToolCall, ToolSpec};
use greenloop_workspace::{Workspace, WorkspaceError, WorkspaceErrorKind};

/// The longest result, in characters.
const LONGEST_RESULT: usize = 12_000;

/// Of those, what is kept free for the line above a file's.
const ROOM_FOR_HEAD: usize = 600;

/// Lines of a file that are read when no range is given, and at most.
const MOST_LINES: u64 = 400;

/// Matches that are listed, and that are sought in all.
const MOST_MATCHES: usize = 60;
const MOST_FOUND: usize = 1_000;

/// Entries of a folder that are listed.
const MOST_ENTRIES: usize = 300;

/// One call of a tool, with its arguments read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ToolInvocation {
    ReadFile { path: String, first: Option<u64>, last: Option<u64> },
    Search { pattern: String, path: Option<String> },
    ListFiles { folder: Option<String> },
    ShowCommit { revision: String },
}

/// A call that cannot be made; the model gets its text.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidToolCall {
    #[error("there is no tool {0:?}; there are read_file, search, list_files and show_commit")]
    Unknown(String),
    #[error("the arguments of {tool} are not what it takes: {source}")]
    Arguments {
        tool: String,
        #[source]
        source: serde_json::Error,
    },
}

// The aliases are names that models are used to from other tools.
#[derive(Deserialize)]
struct ReadFile {
    path: String,
    #[serde(default, alias = "start_line", alias = "start")]
    first_line: Option<u64>,
    #[serde(default, alias = "end_line", alias = "end")]
    last_line: Option<u64>,
}

#[derive(Deserialize)]
struct Search {
    #[serde(alias = "query")]
    pattern: String,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
struct ListFiles {
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
struct ShowCommit {
    #[serde(alias = "commit", alias = "sha", alias = "hash", alias = "rev")]
    revision: String,
}

impl ToolInvocation {
    /// The tools as they are described to a model.
    pub(super) fn specs() -> Vec<ToolSpec> {
        let object = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required });
        vec![
            ToolSpec {
                name: "read_file",
                description: "Reads lines of a file, as they stand in it: at most 400 lines and \
                              12,000 characters; the result says where it goes on.",
                parameters: object(
                    json!({
                        "path": { "type": "string" },
                        "first_line": { "type": "integer" },
                        "last_line": { "type": "integer" },
                    }),
                    &["path"],
                ),
            },
            ToolSpec {
                name: "search",
                description: "Finds lines that match a regular expression, in a file, a folder \
                              or everywhere.",
                parameters: object(
                    json!({ "pattern": { "type": "string" }, "path": { "type": "string" } }),
                    &["pattern"],
                ),
            },
            ToolSpec {
                name: "list_files",
                description: "Lists the entries of a folder.",
                parameters: object(json!({ "path": { "type": "string" } }), &[]),
            },
            ToolSpec {
                name: "show_commit",
                description: "Shows a commit's message and diff.",
                parameters: object(json!({ "revision": { "type": "string" } }), &["revision"]),
            },
        ]
    }

    /// The tool that runs something, for an author that may.
    pub(super) fn run_spec() -> ToolSpec {
        ToolSpec {
            name: RUN_COMMAND,
            description: "Runs the command that failed, another gate's command, or the same test \
                          runner for single tests, in a throwaway copy of the tree. `edits`, in a \
                          form of the final answer, are tried for this call only.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "command": { "type": "string" },
                    "edits": { "type": "string" },
                },
                "required": ["command"],
            }),
        }
    }

    /// Reads a model's call.
    pub(super) fn read(call: &ToolCall) -> Result<Self, InvalidToolCall> {
        fn arguments<'a, T: Deserialize<'a>>(call: &'a ToolCall) -> Result<T, InvalidToolCall> {
            let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
            serde_json::from_str(text)
                .map_err(|source| InvalidToolCall::Arguments { tool: call.name.clone(), source })
        }
        match call.name.as_str() {
            "read_file" => {
                let ReadFile { path, first_line, last_line } = arguments(call)?;
                Ok(Self::ReadFile { path, first: first_line, last: last_line })
            }
            "search" => {
                let Search { pattern, path } = arguments(call)?;
                Ok(Self::Search { pattern, path })
            }
            "list_files" => {
                let ListFiles { path } = arguments(call)?;
                Ok(Self::ListFiles { folder: path })
            }
            "show_commit" => {
                let ShowCommit { revision } = arguments(call)?;
                Ok(Self::ShowCommit { revision })
            }
            other => Err(InvalidToolCall::Unknown(other.chars().take(40).collect())),
        }
    }

    /// For a person: `read src/main.rs 1-80`.
    pub(super) fn words(&self) -> String {
        let words = match self {
            Self::ReadFile { path, first: None, last: None } => format!("read {path}"),
            Self::ReadFile { path, first, last } => {
                let last = last.map_or_else(String::new, |last| last.to_string());
                format!("read {path} {}-{last}", first.unwrap_or(1))
            }
            Self::Search { pattern, path: None } => format!("search {pattern}"),
            Self::Search { pattern, path: Some(path) } => format!("search {pattern} in {path}"),
            Self::ListFiles { folder } => {
                format!("list {}", folder.as_deref().filter(|f| !f.is_empty()).unwrap_or("."))
            }
            Self::ShowCommit { revision } => format!("show {revision}"),
        };
        words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
    }
}

/// The result of a call in `commit`, for the model, which gets errors in the same way.
pub(super) fn run(invocation: &ToolInvocation, workspace: &Workspace, commit: &CommitId) -> String {
    let found = match invocation {
        ToolInvocation::ReadFile { path, first, last } => {
            read_file(workspace, commit, path, *first, *last)
        }
        ToolInvocation::Search { pattern, path } => {
            search(workspace, commit, pattern, path.as_deref())
        }
        ToolInvocation::ListFiles { folder } => list_files(workspace, commit, folder.as_deref()),
        ToolInvocation::ShowCommit { revision } => {
            workspace.show_commit(revision.trim(), LONGEST_RESULT).map_err(ToolError::from)
        }
    };
    match found {
        Ok(text) => shorten(&text, LONGEST_RESULT, Keep::Ends),
        Err(ToolError(text)) => text,
    }
}

/// The text that the model gets in place of a result.
struct ToolError(String);

impl From<WorkspaceError> for ToolError {
    fn from(error: WorkspaceError) -> Self {
        Self(error.to_string())
    }
}

/// Lines `first` to `last` of the file as they stand in it, as many as a result holds, below a
/// line that says which they are: a number before a line is easily taken for indentation.
fn read_file(
    workspace: &Workspace,
    commit: &CommitId,
    path: &str,
    first: Option<u64>,
    last: Option<u64>,
) -> Result<String, ToolError> {
    let Some(at) = inside(path)? else {
        return Err(ToolError("it takes the path of a file".into()));
    };
    let first = first.unwrap_or(1).max(1);
    let wanted = last.unwrap_or(u64::MAX);
    let last = wanted.min(first.saturating_add(MOST_LINES - 1));
    let found = workspace.read_range(commit, &at, first, last)?;
    if found.lines.is_empty() {
        return Ok(format!("{at} has {} lines", found.total));
    }
    let mut text = String::new();
    let mut next = found.first;
    let mut left = LONGEST_RESULT - ROOM_FOR_HEAD;
    for line in &found.lines {
        let length = line.chars().count() + 1;
        if length > left {
            if text.is_empty() {
                // One line alone is too long: its beginning.
                text.extend(line.chars().take(left));
                text.push_str(" […]\n");
                next += 1;
            }
            break;
        }
        left -= length;
        text.push_str(line);
        text.push('\n');
        next += 1;
    }
    let more = if next <= wanted.min(found.total) {
        format!("; it goes on with line {next}")
    } else {
        String::new()
    };
    Ok(format!("{at}, lines {}-{} of {}{more}:\n{text}", found.first, next - 1, found.total))
}

/// A path as a model writes it: nothing, `.` and `/` mean the root.
fn inside(written: &str) -> Result<Option<RepoPath>, ToolError> {
    let path = written.trim().trim_start_matches("./").trim_matches('/');
    if path.is_empty() || path == "." {
        return Ok(None);
    }
    match RepoPath::new(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) => Err(ToolError(error.to_string())),
    }
}

/// Whether `file` is `folder` or lies in it.
fn within(file: &RepoPath, folder: &RepoPath) -> bool {
    let rest = file.as_bytes().strip_prefix(folder.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// `path:line: text` for each line that matches.
fn search(
    workspace: &Workspace,
    commit: &CommitId,
    pattern: &str,
    path: Option<&str>,
) -> Result<String, ToolError> {
    let folder = inside(path.unwrap_or(""))?;
    let found = match workspace.search(commit, pattern, MOST_FOUND) {
        // What is no expression is searched for as it stands.
        Err(error) if error.kind == WorkspaceErrorKind::BadPattern => {
            workspace.search(commit, &regex::escape(pattern), MOST_FOUND)?
        }
        found => found?,
    };
    let mut lines: Vec<String> = found
        .iter()
        .filter(|hit| folder.as_ref().is_none_or(|folder| within(&hit.path, folder)))
        .map(|hit| format!("{}:{}: {}", hit.path, hit.line, hit.text.trim_end()))
        .collect();
    if lines.is_empty() {
        return Ok("no line matches".to_owned());
    }
    let more = lines.len().saturating_sub(MOST_MATCHES);
    lines.truncate(MOST_MATCHES);
    let mut text = lines.join("\n");
    if more > 0 {
        text.push_str(&format!("\n[… {more} or more further lines match …]"));
    }
    Ok(text)
}

/// The entries of a folder, one a line.
fn list_files(
    workspace: &Workspace,
    commit: &CommitId,
    folder: Option<&str>,
) -> Result<String, ToolError> {
    let folder = inside(folder.unwrap_or(""))?;
    let mut entries = workspace.list(commit, folder.as_ref(), MOST_ENTRIES + 1)?;
    let more = entries.len() > MOST_ENTRIES;
    entries.truncate(MOST_ENTRIES);
    let mut text = entries.join("\n");
    if more {
        text.push_str("\n[… more entries …]");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::fixtures::Repository;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: "1".into(), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn calls_are_read_and_put_into_words() {
        for (name, arguments, expect) in [
            ("read_file", r#"{"path":"src/a.rs"}"#, Some("read src/a.rs")),
            ("read_file", r#"{"path":"a","first_line":3,"last_line":9}"#, Some("read a 3-9")),
            ("search", r#"{"pattern":"x\ny","path":null}"#, Some("search x y")),
            ("list_files", "", Some("list .")),
            ("show_commit", r#"{"revision":"HEAD~1"}"#, Some("show HEAD~1")),
            ("read_file", "{}", None),
            ("read_file", "not json", None),
            ("write_file", "{}", None),
        ] {
            let words = ToolInvocation::read(&call(name, arguments))
                .ok()
                .map(|invocation| invocation.words());
            assert_eq!(words.as_deref(), expect, "{name} {arguments}");
        }
        let names: Vec<_> = ToolInvocation::specs().into_iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["read_file", "search", "list_files", "show_commit"]);
    }

    #[test]
    fn looks_find_what_the_commit_holds() {
        let repo = Repository::of(&[
            ("src/a.rs", "one\ntwo\nthree\n"),
            ("src/sub/b.rs", "two (again)\n"),
            ("empty", ""),
        ]);
        let result = |name: &str, arguments: &str| {
            let invocation = ToolInvocation::read(&call(name, arguments)).unwrap();
            run(&invocation, &repo.workspace, &repo.head)
        };
        for (name, arguments, expect) in [
            ("read_file", r#"{"path":"src/a.rs"}"#, "src/a.rs, lines 1-3 of 3:\none\ntwo\nthree\n"),
            (
                "read_file",
                r#"{"path":"./src/a.rs","first_line":2,"last_line":99}"#,
                "src/a.rs, lines 2-3 of 3:\ntwo\nthree\n",
            ),
            ("read_file", r#"{"path":"src/a.rs","first_line":9}"#, "src/a.rs has 3 lines"),
            ("read_file", r#"{"path":"empty"}"#, "empty has 0 lines"),
            ("read_file", r#"{"path":"/"}"#, "it takes the path of a file"),
            ("read_file", r#"{"path":"../x"}"#, "\"../x\" is outside the repository"),
            ("search", r#"{"pattern":"^two"}"#, "src/a.rs:2: two\nsrc/sub/b.rs:1: two (again)"),
            ("search", r#"{"pattern":"two","path":"src/sub/"}"#, "src/sub/b.rs:1: two (again)"),
            ("search", r#"{"pattern":"two","path":"src/su"}"#, "no line matches"),
            ("search", r#"{"pattern":"two ("}"#, "src/sub/b.rs:1: two (again)"),
            ("search", r#"{"pattern":"four"}"#, "no line matches"),
            ("list_files", r#"{"path":"."}"#, "empty\nsrc/"),
            ("list_files", r#"{"path":"src/sub"}"#, "b.rs"),
        ] {
            assert_eq!(result(name, arguments), expect, "{name} {arguments}");
        }
        for (name, arguments, expect) in [
            ("read_file", r#"{"path":"nope"}"#, "nope"),
            ("list_files", r#"{"path":"nope"}"#, "nope"),
            ("show_commit", r#"{"revision":"nope"}"#, "nope"),
            ("show_commit", r#"{"revision":"HEAD"}"#, "+two (again)"),
        ] {
            let text = result(name, arguments);
            assert!(text.contains(expect), "{name} {arguments}: {text}");
        }
    }

    /// Every line can be read, and nothing between two lines is left out.
    #[test]
    fn a_long_file_is_read_in_whole_pieces() {
        let long: String =
            (1..=900).map(|n| format!("    line {n} {}\n", "x".repeat(40))).collect();
        let wide = format!("{}\nend\n", "y".repeat(20_000));
        let repo = Repository::of(&[("long.py", &long), ("wide.min.js", &wide)]);
        let read = |arguments: &str| {
            let invocation = ToolInvocation::read(&call("read_file", arguments)).unwrap();
            run(&invocation, &repo.workspace, &repo.head)
        };
        let mut all = String::new();
        let mut next = 1;
        while next <= 900 {
            let text = read(&format!(r#"{{"path":"long.py","first_line":{next}}}"#));
            let (head, lines) = text.split_once('\n').unwrap();
            assert!(text.chars().count() <= LONGEST_RESULT && !text.contains('…'), "{head}");
            assert!(head.starts_with(&format!("long.py, lines {next}-")), "{head}");
            all.push_str(lines);
            next += lines.lines().count();
            assert_eq!(head.ends_with(&format!("; it goes on with line {next}:")), next <= 900);
        }
        assert_eq!(all, long);
        let wide = read(r#"{"path":"wide.min.js"}"#);
        assert!(wide.starts_with("wide.min.js, lines 1-1 of 2; it goes on with line 2:\nyyy"));
        assert!(wide.chars().count() <= LONGEST_RESULT && wide.ends_with(" […]\n"));
    }
}
