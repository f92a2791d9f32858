//! An agent of the user's own as the author: a program that works in a clone of the repository.
//!
//! # Expected flow
//!
//! The program is started in a throwaway clone of the commit, with the brief on its standard input.
//! When it ends with status 0, how the clone's files differ from the commit is the proposal; from
//! there on it is treated like a model's.
//!
//! # Guarantees
//!
//! - The program runs in a sandbox of the level that gates have: it writes to its clone and to what
//!   the configuration names, sees neither the original nor the home folder, and has no network
//!   unless the configuration says so.
//! - The clone has no remote, no configuration of the original and no credentials; the program
//!   inherits the variables that builds are known to need, and those that the configuration names.
//! - Its output is bounded and redacted before it is kept, its time is limited, and whatever it has
//!   started is killed when it ends, is cancelled or is late.
//!
//! # Not resilient against
//!
//! - Objects of other branches and stashes: the clone shares git's objects with the original.
//! - `sandbox.level: off`: the program then runs as the user, with the user's files and network.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minijinja::context;
use tokio_util::sync::CancellationToken;

use super::brief::Brief;
use super::fence::Fence;
use super::prompt::Prompt;
use super::sent_back::SentBack;
use super::{prompt_error, tree};
use greenloop_config::plan::{AgentPlan, RolePlan};
use greenloop_evidence::{LineRedactor, Redactor};
use greenloop_exec::sandbox::{ClonePlace, Confinement, Grant, Sandbox, SandboxError};
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{CommitId, Exit, FileChange, RunId, Usage, may_name_secret};
use greenloop_ports::{ModelError, ModelErrorKind};
use greenloop_workspace::{ThrowawayClone, Workspace};

/// The file that it reads, beside the clone.
const BRIEF: &str = "brief.md";
/// Bytes of the program's output that are kept in its log.
const LONGEST_LOG: usize = 4 << 20;
/// Bytes of the end of its output that say what it did.
const LONGEST_ANSWER: usize = 8 << 10;
/// Lines of them that an error shows.
const SHOWN_LINES: usize = 12;
/// Variables that lead to credentials, beside those with secrets in them.
const LEADING_TO_CREDENTIALS: &[&str] = &[
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "GIT_ASKPASS",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_CONFIG_GLOBAL",
    "KUBECONFIG",
    "DOCKER_CONFIG",
    "DOCKER_AUTH_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AZURE_CONFIG_DIR",
    "NETRC",
];

/// The program.
#[derive(Debug)]
pub struct OwnAgent {
    plan: AgentPlan,
    timeout: Duration,
    redactor: Redactor,
}

/// Where it works for one proposal.
#[derive(Debug)]
pub struct AgentRun<'a> {
    /// Marks its processes.
    pub run: RunId,
    /// Its output, redacted.
    pub log: &'a Path,
    /// Variables that it does not inherit, unless they are passed on to it.
    pub env_remove: &'a [String],
    /// What gates run in; a stricter one of the same level is made of it.
    pub sandbox: Option<&'a Arc<Sandbox>>,
    /// Ends it.
    pub cancel: &'a CancellationToken,
}

/// What it came to.
#[derive(Debug)]
pub struct AgentAnswer {
    /// How the clone differs from the commit.
    pub changes: Vec<FileChange>,
    /// The end of what it printed, redacted.
    pub said: String,
}

impl OwnAgent {
    /// The agent that the plan names; `None` when a model is asked.
    pub fn of(plan: &RolePlan, redactor: Redactor) -> Option<Self> {
        let agent = plan.agent.clone()?;
        Some(Self { plan: agent, timeout: plan.timeout, redactor })
    }

    /// `codex exec (own agent)`
    pub fn label(&self) -> String {
        let program = self.plan.command.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or(program);
        let next =
            self.plan.command.get(1).filter(|word| !word.starts_with('-') && word.len() <= 20);
        let words = next.map_or_else(|| program.to_owned(), |next| format!("{program} {next}"));
        format!("{} (own agent)", self.redactor.redact(&words))
    }

    /// Has the program work on the failure. `None`: it was cancelled.
    ///
    /// Errors: it could not be started, was late, or ended with another status than 0.
    pub async fn propose(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
        sent_back: Option<&SentBack>,
        at: AgentRun<'_>,
    ) -> Result<Option<AgentAnswer>, ModelError> {
        let text = self
            .brief_text(brief, workspace, commit, sent_back)
            .map_err(|source| prompt_error(self.label(), source))?;
        let clone = {
            let (workspace, commit) = (workspace.clone(), commit.clone());
            let made = tokio::task::spawn_blocking(move || workspace.throwaway_clone(&commit));
            made.await
                .map_err(|error| self.error(ModelErrorKind::NotConfigured, error.to_string()))?
                .map_err(|error| self.failed("its clone cannot be made", error))?
        };
        let file = clone.beside().join(BRIEF);
        std::fs::write(&file, text)
            .map_err(|error| self.failed("its brief cannot be written", error))?;
        let mut output = AgentOutput::new(at.log, &self.redactor);
        let confinement = at.sandbox.map(|sandbox| self.confinement(sandbox, workspace, &clone));
        let confinement = confinement
            .transpose()
            .map_err(|error| self.failed("its sandbox cannot be made", error))?;
        let command = Command { confinement, ..self.command(&clone, &file, &at) };
        let outcome =
            greenloop_exec::run(&command, &mut |bytes| output.push(bytes), at.cancel).await;
        if outcome.cancelled {
            return Ok(None);
        }
        let said = output.finish();
        self.judge(&outcome.exit, &said)?;
        let changes = tokio::task::spawn_blocking(move || clone.changes());
        let changes = changes
            .await
            .map_err(|error| self.error(ModelErrorKind::Protocol, error.to_string()))?
            .map_err(|error| self.failed("what it changed cannot be taken", error))?;
        Ok(Some(AgentAnswer { changes, said }))
    }

    fn brief_text(
        &self,
        brief: &Brief<'_>,
        workspace: &Workspace,
        commit: &CommitId,
        sent_back: Option<&SentBack>,
    ) -> Result<String, minijinja::Error> {
        let fence = Fence::new();
        let tree = tree(workspace, commit);
        let brief = brief.render(workspace, &*tree, &self.redactor, &fence, 0)?;
        let teaching = sent_back
            .map(|sent_back| fence.wrap("what was wrong", &self.redactor.redact(&sent_back.text)));
        Prompt::OwnAgent.render(context! { brief, teaching })
    }

    /// The program, its input redirected by a shell that hands the words on as they stand.
    fn command(&self, clone: &ThrowawayClone, brief: &Path, at: &AgentRun<'_>) -> Command {
        let script = "exec \"$@\" <\"$GREENLOOP_BRIEF\"";
        let mut words: Vec<OsString> =
            ["sh", "-c", script, "sh"].into_iter().map(OsString::from).collect();
        words.extend(self.plan.command.iter().map(OsString::from));
        // Keys that no command inherits have to be given.
        let passed = self
            .plan
            .pass_env
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let env = [
            ("GREENLOOP_BRIEF", brief.as_os_str()),
            ("GIT_TERMINAL_PROMPT", "0".as_ref()),
            // Nobody's helper is asked for a password.
            ("GIT_CONFIG_COUNT", "1".as_ref()),
            ("GIT_CONFIG_KEY_0", "credential.helper".as_ref()),
            ("GIT_CONFIG_VALUE_0", "".as_ref()),
        ];
        Command {
            program: Program::Argv(words),
            cwd: clone.root().to_owned(),
            env: env
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .chain(passed)
                .collect(),
            env_remove: self.withheld(std::env::vars_os().map(|(name, _)| name), at.env_remove),
            timeout: Some(self.timeout),
            marker: Marker::new(at.run),
            confinement: None,
        }
    }

    /// Its own sandbox, of the level that gates have.
    fn confinement(
        &self,
        sandbox: &Sandbox,
        workspace: &Workspace,
        clone: &ThrowawayClone,
    ) -> Result<Confinement, SandboxError> {
        let AgentPlan { command, pass_env, network, read, cache } = &self.plan;
        let mut read = read.clone();
        // The clone's objects, its brief, and the program itself wherever it lies.
        read.push(workspace.git_dir().join("objects"));
        read.push(clone.beside().join(BRIEF));
        read.extend(command.first().map(PathBuf::from).filter(|path| path.is_absolute()));
        let place = ClonePlace {
            root: clone.root().to_owned(),
            scratch: clone.beside().join("sandbox"),
            read,
            cache: cache.clone(),
            env: pass_env.clone(),
        };
        let sandbox = Arc::new(sandbox.of_clone(place)?);
        Ok(Confinement { sandbox, grant: Grant { network: network.clone(), ..Grant::default() } })
    }

    fn withheld(&self, names: impl Iterator<Item = OsString>, hidden: &[String]) -> Vec<OsString> {
        names
            .filter(|name| {
                let Some(text) = name.to_str() else { return false };
                let upper = text.to_ascii_uppercase();
                !self.plan.pass_env.iter().any(|passed| passed == text)
                    && (hidden.iter().any(|hidden| hidden == text)
                        || may_name_secret(&upper)
                        || LEADING_TO_CREDENTIALS.contains(&upper.as_str()))
            })
            .collect()
    }

    fn judge(&self, exit: &Exit, said: &str) -> Result<(), ModelError> {
        let program = self.plan.command.first().map_or("", String::as_str);
        let mut last: Vec<&str> = said.lines().rev().take(SHOWN_LINES).collect();
        last.reverse();
        let last = last.join("\n");
        let printed = match last.trim() {
            "" => "it printed nothing".to_owned(),
            last => format!("its last lines:\n{last}"),
        };
        let (kind, what) = match exit {
            Exit::Code(0) => return Ok(()),
            Exit::Code(126 | 127) => (
                ModelErrorKind::NotConfigured,
                format!("`{program}` of `agents.codex.command` cannot be started; {printed}"),
            ),
            Exit::NotStarted(why) => (
                ModelErrorKind::NotConfigured,
                format!("`{program}` of `agents.codex.command` cannot be started: {why}"),
            ),
            Exit::TimedOut(after) => (
                ModelErrorKind::Timeout,
                format!(
                    "`{program}` was ended after {} s (`agents.codex.timeout`); {printed}",
                    after.as_secs()
                ),
            ),
            Exit::Code(_) | Exit::Signal(_) => (
                ModelErrorKind::Rejected,
                format!(
                    "`{program}` ended with {exit}, so what it changed is not taken; {printed}"
                ),
            ),
        };
        Err(self.error(kind, self.redactor.redact(&what).into_owned()))
    }

    fn error(&self, kind: ModelErrorKind, message: String) -> ModelError {
        ModelError { model: self.label(), kind, message, usage: Usage::default(), source: None }
    }

    fn failed(
        &self,
        what: &str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> ModelError {
        let error = self.error(ModelErrorKind::Protocol, what.to_owned());
        ModelError { source: Some(Box::new(source)), ..error }
    }
}

/// Takes what the program prints, in bounded memory.
struct AgentOutput {
    redactor: LineRedactor,
    redacted: Vec<u8>,
    log: Option<BufWriter<File>>,
    written: usize,
    tail: Vec<u8>,
}

impl AgentOutput {
    fn new(log: &Path, redactor: &Redactor) -> Self {
        let opened = log.parent().map_or(Ok(()), std::fs::create_dir_all);
        let opened = opened.and_then(|()| File::create(log));
        if let Err(error) = &opened {
            tracing::warn!(%error, "the own agent's output has no log");
        }
        Self {
            redactor: redactor.line_redactor(),
            redacted: Vec::new(),
            log: opened.ok().map(BufWriter::new),
            written: 0,
            tail: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.redactor.push(bytes, &mut self.redacted);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        let bytes = std::mem::take(&mut self.redacted);
        if self.written < LONGEST_LOG
            && let Some(log) = &mut self.log
        {
            self.written += bytes.len();
            if log.write_all(&bytes).is_err() {
                self.log = None;
            }
        }
        self.tail.extend_from_slice(&bytes);
        self.tail.drain(..self.tail.len().saturating_sub(LONGEST_ANSWER));
    }

    fn finish(mut self) -> String {
        let redactor = std::mem::replace(&mut self.redactor, Redactor::default().line_redactor());
        redactor.finish(&mut self.redacted);
        self.pass_on();
        if let Some(mut log) = self.log {
            let _as_well_as_possible = log.flush();
        }
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::Network;

    fn agent(words: &[&str], pass_env: &[&str]) -> OwnAgent {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        OwnAgent {
            plan: AgentPlan {
                command: owned(words),
                pass_env: owned(pass_env),
                network: Network::None,
                read: Vec::new(),
                cache: Vec::new(),
            },
            timeout: Duration::from_secs(1),
            redactor: Redactor::new(["hunter2-secret".to_owned()]),
        }
    }

    #[test]
    fn secrets_are_not_inherited_unless_they_are_passed_on() {
        let names = ["HOME", "PATH", "OPENAI_API_KEY", "DB_PASSWORD", "SSH_AUTH_SOCK", "MY_MODEL"];
        let withheld = |pass: &[&str]| -> Vec<String> {
            agent(&["codex"], pass)
                .withheld(names.iter().map(OsString::from), &["MY_MODEL".to_owned()])
                .into_iter()
                .filter_map(|name| name.into_string().ok())
                .collect()
        };
        let all = ["OPENAI_API_KEY", "DB_PASSWORD", "SSH_AUTH_SOCK", "MY_MODEL"];
        assert_eq!(withheld(&[]), all);
        assert_eq!(withheld(&["OPENAI_API_KEY"]), all[1..]);
    }

    #[test]
    fn an_end_with_an_error_says_how_and_what_it_printed() {
        let agent = agent(&["/opt/bin/codex", "exec", "--full-auto"], &[]);
        assert_eq!(agent.label(), "codex exec (own agent)");
        assert!(agent.judge(&Exit::Code(0), "done").is_ok());
        for (exit, said, kind, parts) in [
            (
                Exit::Code(2),
                "no key hunter2-secret",
                ModelErrorKind::Rejected,
                ["status 2", "no key"],
            ),
            (
                Exit::TimedOut(Duration::from_secs(60)),
                "",
                ModelErrorKind::Timeout,
                ["60 s", "printed nothing"],
            ),
            (
                Exit::Code(127),
                "sh: codex: not found",
                ModelErrorKind::NotConfigured,
                ["cannot be started", "not found"],
            ),
        ] {
            let error = agent.judge(&exit, said).unwrap_err();
            assert_eq!(error.kind, kind);
            for part in parts {
                assert!(error.message.contains(part), "{part}: {}", error.message);
            }
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
