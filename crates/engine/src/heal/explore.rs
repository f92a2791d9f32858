//! The author's tool that runs something: a gate's command in a throwaway copy of the work tree.
//!
//! # Guarantees
//!
//! - Only the commands of the gates run, and plain invocations of their test runners with other
//!   tests; with the gates' own environment, timeouts and process groups, in the gates' sandbox.
//! - The copy is made at the first call and deleted with the value; the work tree is never touched.
//! - The time of all commands for one proposal is limited, and what a command prints is bounded and
//!   redacted.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::budget::{Keep, shorten};
use crate::stages::confined::grant;
use crate::stages::narrow::is_selection;
use greenloop_config::plan::GatePlan;
use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::{Confinement, Sandbox};
use greenloop_exec::{Command, Marker, Program};
use greenloop_model::{CommitId, RepoPath, RunId};
use greenloop_patch::{Answer, ResolveOptions, parse_answer, resolve};
use greenloop_ports::ToolCall;
use greenloop_workspace::{CopyOptions, WorkTreeCopy, Workspace, write_work_tree};

/// The time of all commands for one proposal.
const ALL_COMMANDS: Duration = Duration::from_secs(900);
/// The time of one without a limit of its own.
const ONE_COMMAND: Duration = Duration::from_secs(300);
/// Bytes of output that are kept of one.
const KEPT_OUTPUT: usize = 64 << 10;
/// Characters of it that the model gets.
const LONGEST_RESULT: usize = 6_000;
/// Bytes of ignored files that are copied where that costs space.
const COPIED_BYTES: u64 = 1 << 30;

/// The tool's name.
pub(super) const RUN_COMMAND: &str = "run_command";

/// What the tool takes.
#[derive(Debug, Deserialize)]
pub(super) struct RunCommand {
    pub(super) command: String,
    /// Edits in a form of the final answer, tried for this call only.
    #[serde(default)]
    pub(super) edits: Option<String>,
}

impl RunCommand {
    /// What a model's call asks for; the text tells the model what is wrong with it.
    pub(super) fn read(call: &ToolCall) -> Result<Self, String> {
        serde_json::from_str(&call.arguments).map_err(|error| {
            format!("the arguments of {RUN_COMMAND} are not what it takes: {error}")
        })
    }
}

/// What the commands run with.
pub struct Explore<'a> {
    /// Whose commands may run.
    pub gates: &'a [GatePlan],
    /// Marks the processes.
    pub run: RunId,
    /// Variables that gates do not get to see.
    pub env_remove: &'a [String],
    /// Ends what runs.
    pub cancel: &'a CancellationToken,
    /// What gates run in.
    pub sandbox: Option<&'a Arc<Sandbox>>,
    /// Tokens that the author may still use; `None` without a limit.
    pub tokens: Option<u64>,
    left: Duration,
    copy: Option<ScratchCopy>,
}

struct ScratchCopy {
    made: WorkTreeCopy,
    run: RunId,
    /// Deleted last.
    _folder: tempfile::TempDir,
    /// Paths that the edits of an earlier call changed.
    touched: Vec<RepoPath>,
}

impl Drop for ScratchCopy {
    fn drop(&mut self) {
        if let Err(error) = self.made.original.remove_copy(self.run) {
            tracing::warn!(%error, "a throwaway copy could not be removed");
        }
    }
}

impl<'a> Explore<'a> {
    /// For one proposal.
    pub fn new(
        gates: &'a [GatePlan],
        run: RunId,
        env_remove: &'a [String],
        cancel: &'a CancellationToken,
        sandbox: Option<&'a Arc<Sandbox>>,
        tokens: Option<u64>,
    ) -> Self {
        Self { gates, run, env_remove, cancel, sandbox, tokens, left: ALL_COMMANDS, copy: None }
    }

    /// Runs the command in the copy; what came of it, for the model. `commit` is what the work tree
    /// is at.
    pub(super) async fn run(
        &mut self,
        call: &RunCommand,
        workspace: &Workspace,
        commit: &CommitId,
        redactor: &Redactor,
    ) -> String {
        let wanted = call.command.trim();
        let Some(gate) = allowed(wanted, self.gates) else {
            let commands: Vec<String> =
                self.gates.iter().map(|gate| format!("- {}", gate.command)).collect();
            return redactor
                .redact(&format!(
                    "not run: only the commands of the gates may be, as they stand or, for a plain \
                     call of a test runner, with other tests:\n{}",
                    commands.join("\n")
                ))
                .into_owned();
        };
        if self.left.is_zero() {
            return format!("not run: the {} s for commands are used up", ALL_COMMANDS.as_secs());
        }
        if let Err(why) = self.prepare(call.edits.as_deref(), workspace, commit) {
            return redactor.redact(&why).into_owned();
        }
        let Some(copy) = &self.copy else { return "not run: there is no copy".to_owned() };
        let root = copy.made.workspace.root();
        let cwd = match &gate.working_directory {
            Some(folder) => root.join(folder.to_os_path()),
            None => root.to_owned(),
        };
        let limit = gate.timeout.unwrap_or(ONE_COMMAND).min(self.left);
        let command = Command {
            program: Program::Shell(wanted.to_owned()),
            cwd,
            env: gate.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            env_remove: self.env_remove.iter().map(Into::into).collect(),
            timeout: Some(limit),
            marker: Marker::new(self.run),
            confinement: self.sandbox.map(|sandbox| {
                // What a gate may do, and to write to the copy.
                let mut grant = grant(gate);
                grant.cache.push(root.to_owned());
                Confinement { sandbox: Arc::clone(sandbox), grant }
            }),
        };
        let mut lines = redactor.line_redactor();
        let mut kept = Vec::new();
        let mut keep = |bytes: &[u8]| {
            lines.push(bytes, &mut kept);
            // The end of an output says most; its beginning is cut away.
            if kept.len() > 2 * KEPT_OUTPUT {
                kept.drain(..kept.len() - KEPT_OUTPUT);
            }
        };
        let outcome = greenloop_exec::run(&command, &mut keep, self.cancel).await;
        lines.finish(&mut kept);
        self.left = self.left.saturating_sub(outcome.duration);
        let printed = String::from_utf8_lossy(&kept);
        let printed = shorten(printed.trim_end(), LONGEST_RESULT, Keep::Ends);
        format!("it ended with: {}\n{printed}", outcome.exit)
    }

    /// Makes the copy, or takes the edits of the call before back, and makes those of this one.
    fn prepare(
        &mut self,
        edits: Option<&str>,
        workspace: &Workspace,
        commit: &CommitId,
    ) -> Result<(), String> {
        let told = |what: &str, error: &dyn std::fmt::Display| format!("not run: {what}: {error}");
        if self.copy.is_none() {
            let folder = tempfile::Builder::new()
                .prefix("greenloop-explore-")
                .tempdir()
                .map_err(|error| told("there is no room for a copy", &error))?;
            let run = RunId::generate();
            let cancel = self.cancel;
            let options = CopyOptions {
                folder: folder.path(),
                skip: &|_| false,
                cancelled: &|| cancel.is_cancelled(),
                copied_bytes: COPIED_BYTES,
            };
            let made = workspace
                .copy(run, &options)
                .map_err(|error| told("the work tree cannot be copied", &error))?;
            self.copy = Some(ScratchCopy { made, run, _folder: folder, touched: Vec::new() });
        }
        let Some(copy) = &mut self.copy else { return Err("not run".to_owned()) };
        let inside = &copy.made.workspace;
        let back = std::mem::take(&mut copy.touched);
        inside
            .write_paths(&back, commit)
            .map_err(|error| told("the last edits cannot be taken back", &error))?;
        let Some(edits) = edits.filter(|edits| !edits.trim().is_empty()) else { return Ok(()) };
        let parsed = match parse_answer(edits) {
            Ok(Answer::Edits(edits)) => edits,
            Ok(Answer::NoPatch(_)) => return Err("not run: these are no edits".to_owned()),
            Err(refusal) => return Err(told("the edits cannot be read", &refusal)),
        };
        let tree =
            inside.tree_at(commit).map_err(|error| told("the commit cannot be read", &error))?;
        let patch = resolve(&parsed, &tree, &ResolveOptions::new([inside.root()]))
            .map_err(|refusal| told("the edits do not fit", &refusal))?;
        copy.touched = patch
            .changes()
            .iter()
            .flat_map(|change| std::iter::once(&change.path).chain(&change.moved_from))
            .cloned()
            .collect();
        write_work_tree(inside.root(), patch.changes())
            .map_err(|error| told("the edits cannot be made", &error))
    }

    /// Where the copy lies.
    #[cfg(test)]
    fn root(&self) -> Option<std::path::PathBuf> {
        self.copy.as_ref().map(|copy| copy.made.workspace.root().to_owned())
    }
}

/// The gate that a command is one of.
fn allowed<'g>(command: &str, gates: &'g [GatePlan]) -> Option<&'g GatePlan> {
    gates
        .iter()
        .find(|gate| gate.command.trim() == command)
        .or_else(|| gates.iter().find(|gate| is_selection(&gate.command, command)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::fixtures::Repository;

    fn gate(command: &str) -> GatePlan {
        GatePlan::new("test", command)
    }

    #[test]
    fn only_what_gates_run_is_allowed() {
        let gates = [gate("pytest -q tests"), gate("make lint"), gate("cargo test | tail")];
        for (command, expect) in [
            ("pytest -q tests", true),
            ("pytest -q tests/test_a.py::test_b", true),
            ("pytest -k total", true),
            ("make lint", true),
            ("make install", false),
            ("pytest -q; rm -rf .", false),
            ("pytest --basetemp=/home/me", false),
            ("pytest ../other", false),
            ("pytest --unknown", false),
            ("cargo test", false),
            ("cargo test | tail", true),
            ("python3 -m pytest", false),
            ("PATH=. pytest -q", false),
            ("sh", false),
        ] {
            assert_eq!(allowed(command, &gates).is_some(), expect, "{command}");
        }
    }

    #[tokio::test]
    async fn a_command_runs_in_a_copy_with_the_edits_of_its_call() {
        let repository = Repository::of(&[("a.txt", "one\n"), ("b.txt", "two\n")]);
        let Repository { workspace, head, .. } = &repository;
        let gates = [gate("cat a.txt new.txt; touch made; echo token=hunter2-secret")];
        let cancel = CancellationToken::new();
        let redactor = Redactor::new(["hunter2-secret".to_owned()]);
        let mut explore = Explore::new(&gates, RunId::generate(), &[], &cancel, None, None);
        let command = gates[0].command.clone();
        let edits = "a.txt\n<<<<<<< SEARCH\none\n=======\nthree\n>>>>>>> REPLACE\n\nnew.txt\n\
            ```\nfresh\n```\n";
        let call = RunCommand { command: command.clone(), edits: Some(edits.to_owned()) };
        let said = explore.run(&call, workspace, head, &redactor).await;
        assert!(said.contains("three") && said.contains("fresh"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        // The next call begins without them.
        let call = RunCommand { command, edits: None };
        let said = explore.run(&call, workspace, head, &redactor).await;
        assert!(said.contains("one") && !said.contains("fresh"), "{said}");
        let call = RunCommand { command: "cat a.txt".into(), edits: None };
        let said = explore.run(&call, workspace, head, &redactor).await;
        assert!(said.starts_with("not run: only the commands of the gates"), "{said}");
        let root = explore.root().unwrap();
        assert!(root.join("made").exists());
        drop(explore);
        assert!(!root.exists());
        let read = |name: &str| std::fs::read_to_string(workspace.root().join(name)).ok();
        assert_eq!(read("a.txt").as_deref(), Some("one\n"));
        assert_eq!((read("new.txt"), read("made")), (None, None));
    }
}
