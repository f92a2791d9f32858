//! One command of git's.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{GitError, GitErrorKind};
use greenloop_evidence::Redactor;
use greenloop_exec::{Command, Marker, Program, run};
use greenloop_model::{Exit, RunId};

/// For one command.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of output that are kept, from its end.
const LONGEST_OUTPUT: usize = 64 << 10;

/// Variables that would point git elsewhere, make it write down what it sends, or sign for
/// somebody else.
const ENV_REMOVE: [&str; 21] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_CURL_VERBOSE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_ASKPASS",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE",
];

/// Settings of every command: nothing in a repository makes git run something, and what a
/// mirror holds stays where clones expect it.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=no",
    "protocol.ext.allow=never",
];

/// Runs the machine's git for one purpose. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Git {
    /// Marks its processes, so that they end with what they serve.
    run: RunId,
    redactor: Redactor,
    cancel: CancellationToken,
    env: Vec<(OsString, OsString)>,
}

/// What a command came to.
pub(super) struct CommandOutput {
    pub(super) exit: Exit,
    /// The end of both outputs, without secrets.
    pub(super) text: String,
}

impl CommandOutput {
    /// On one line, its end.
    pub(super) fn line(&self) -> String {
        const LONGEST: usize = 600;
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let line = words.join(" ");
        let from = line.len().saturating_sub(LONGEST);
        let from = (from..line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line[from..].to_owned()
    }
}

impl Git {
    /// Commands that are marked as `run`'s and end with `cancel`.
    pub fn new(run: RunId, redactor: &Redactor, cancel: &CancellationToken) -> Self {
        let env = [("GIT_TERMINAL_PROMPT", "0"), ("GCM_INTERACTIVE", "never"), ("LC_ALL", "C")];
        let env = env.map(|(name, value)| (name.into(), value.into())).to_vec();
        Self { run, redactor: redactor.clone(), cancel: cancel.clone(), env }
    }

    /// Runs `git ARGUMENTS` in `folder` to its end, whatever that is.
    pub(super) async fn outcome(
        &self,
        folder: &Path,
        arguments: &[&str],
    ) -> Result<CommandOutput, GitError> {
        let mut output = Vec::new();
        let mut keep = |piece: &[u8]| {
            output.extend_from_slice(piece);
            if output.len() > 2 * LONGEST_OUTPUT {
                output.drain(..output.len() - LONGEST_OUTPUT);
            }
        };
        let exit = self.exit(folder, arguments, &mut keep).await?;
        Ok(CommandOutput { exit, text: self.text(&output) })
    }

    /// Runs `git ARGUMENTS` in `folder`; the first `most` bytes of its output, cut at a line, and
    /// whether that is not all. Anything but success is an error of `kind`.
    pub(super) async fn run_head(
        &self,
        folder: &Path,
        arguments: &[&str],
        most: usize,
        kind: GitErrorKind,
    ) -> Result<(String, bool), GitError> {
        // A secret that the cut goes through is recognised by what comes after it.
        let kept = most.saturating_add(LONGEST_OUTPUT);
        let mut output = Vec::new();
        let mut keep = |piece: &[u8]| {
            let room = kept.saturating_sub(output.len()).min(piece.len());
            output.extend_from_slice(&piece[..room]);
        };
        let exit = self.exit(folder, arguments, &mut keep).await?;
        let text = self.text(&output);
        if exit != Exit::Code(0) {
            let what = arguments.first().copied().unwrap_or_default();
            let said = CommandOutput { exit, text };
            let message = format!("git {what} failed ({}): {}", said.exit, said.line());
            return Err(GitError::new(kind, message));
        }
        if text.len() <= most {
            return Ok((text, false));
        }
        let end = text.floor_char_boundary(most);
        let end = text[..end].rfind('\n').map_or(0, |at| at + 1);
        Ok((text[..end].to_owned(), true))
    }

    fn text(&self, output: &[u8]) -> String {
        self.redactor.redact(&String::from_utf8_lossy(output)).into_owned()
    }

    /// Runs `git ARGUMENTS` in `folder` to its end, whatever that is.
    async fn exit(
        &self,
        folder: &Path,
        arguments: &[&str],
        keep: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Exit, GitError> {
        let mut argv: Vec<OsString> = vec!["git".into()];
        for setting in SETTINGS {
            argv.push("-c".into());
            argv.push(setting.into());
        }
        argv.extend(arguments.iter().map(OsString::from));
        let command = Command {
            program: Program::Argv(argv),
            cwd: folder.to_owned(),
            env: self.env.clone(),
            env_remove: ENV_REMOVE.into_iter().map(Into::into).collect(),
            timeout: Some(TIMEOUT),
            marker: Marker::new(self.run),
            confinement: None,
        };
        let outcome = run(&command, keep, &self.cancel).await;
        if outcome.cancelled {
            return Err(GitError::new(GitErrorKind::Cancelled, "git was cancelled"));
        }
        if let Exit::NotStarted(why) = &outcome.exit {
            // A task may have deleted the folder that it was to work in: that is not git's fault.
            let (kind, message) = match folder.is_dir() {
                true => (GitErrorKind::NoGit, format!("could not run git: {why}")),
                false => {
                    let what = arguments.first().copied().unwrap_or_default();
                    let folder = folder.display();
                    (
                        GitErrorKind::Local,
                        format!(
                            "git {what}: the folder {folder} no longer \
                        exists"
                        ),
                    )
                }
            };
            return Err(GitError::new(kind, message));
        }
        Ok(outcome.exit)
    }

    /// `text` without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// Runs `git ARGUMENTS` in `folder`; anything but success is an error of `kind`.
    pub(super) async fn run(
        &self,
        folder: &Path,
        arguments: &[&str],
        kind: GitErrorKind,
    ) -> Result<String, GitError> {
        let said = self.outcome(folder, arguments).await?;
        if said.exit == Exit::Code(0) {
            return Ok(said.text);
        }
        let what = arguments.first().copied().unwrap_or_default();
        let message = format!("git {what} failed ({}): {}", said.exit, said.line());
        Err(GitError::new(kind, message))
    }
}
