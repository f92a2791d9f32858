//! The gates of a candidate, run on the very commit that is to be pushed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::candidate::{MergeCandidate, author};
use super::gate_output::GateOutput;
use super::options::SandboxOptions;
use super::workdir::folder_name;
use greenloop_config::plan::{AccessPlan, GatePlan};
use greenloop_engine::stages::StageContext;
use greenloop_engine::stages::gates::{run_gates, run_gates_again};
use greenloop_evidence::Redactor;
use greenloop_exec::sandbox::{Place, Sandbox, SandboxError};
use greenloop_model::{
    CommitId, Failure, FailureClass, GateResult, GateStatus, Network, RunId, StageOutcome,
    error_chain,
};
use greenloop_workspace::git::{Git, GitErrorKind, Mirror, TaskClone, remove_folder};

/// For one gate.
const GATE_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// Lines of a failure's evidence that are kept.
const LINES: usize = 200;

/// What the gates found.
#[derive(Debug)]
pub(super) enum GateOutcome {
    /// All passed.
    Passed,
    /// One did not.
    Failed {
        /// One line.
        headline: String,
        /// What matters of the output.
        evidence: String,
        /// The gates that did not pass, by their place in the list.
        gates: Vec<String>,
    },
    /// Something outside is out of order: the entry is not to blame.
    Unavailable(String),
    /// The hub stops, its lease is gone, or the merge will never be.
    Cancelled,
}

/// Runs gates in clones of a mirror.
#[derive(Debug, Clone)]
pub(super) struct GateRunner {
    /// Clones go below it.
    pub(super) folder: PathBuf,
    /// The output of gates goes below it.
    pub(super) logs: PathBuf,
    /// Takes secrets out of every text.
    pub(super) redactor: Redactor,
    /// Variables that gates do not inherit.
    pub(super) env_remove: Vec<String>,
    /// What gates run in.
    pub(super) sandbox: Option<SandboxOptions>,
    /// Keeps their output for people.
    pub(super) output: GateOutput,
}

impl GateRunner {
    /// Checks `commit` out and runs the candidate's gates on it.
    pub(super) async fn test(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        candidate: &MergeCandidate,
        cancel: &CancellationToken,
    ) -> GateOutcome {
        let run = RunId::generate();
        let git = Git::new(run, &self.redactor, cancel);
        let folder = self.folder.join(folder_name(candidate.id.0, run));
        let made =
            TaskClone::make(mirror, &folder, "greenloop-staging", commit, &author(), &git).await;
        let verdict = match made {
            Ok(_) => self.gates(mirror, &folder, candidate, run, cancel).await,
            Err(error) if error.kind == GitErrorKind::Cancelled => GateOutcome::Cancelled,
            Err(error) => GateOutcome::Unavailable(error_chain(&error)),
        };
        let cleared = tokio::task::spawn_blocking(move || remove_folder(&folder)).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "could not delete the work tree of a merge");
        }
        verdict
    }

    /// The sandbox of the gates in `folder`, whose clone borrows from `mirror`.
    fn sandbox(
        &self,
        mirror: &Mirror,
        folder: &Path,
        run: RunId,
    ) -> Result<Option<Arc<Sandbox>>, SandboxError> {
        let Some(options) = &self.sandbox else { return Ok(None) };
        let mut settings = options.settings.clone();
        settings.read.push(mirror.folder().to_owned());
        let place = Place {
            root: folder.to_owned(),
            git: vec![folder.join(".git")],
            own: Vec::new(),
            state: vec![folder.join(".git/greenloop")],
            scratch: self.folder.join(folder_name(0, run)),
            launcher: options.launcher.clone(),
        };
        Ok(Some(Arc::new(Sandbox::new(settings, place)?)))
    }

    async fn gates(
        &self,
        mirror: &Mirror,
        folder: &Path,
        candidate: &MergeCandidate,
        run: RunId,
        cancel: &CancellationToken,
    ) -> GateOutcome {
        let plans: Vec<GatePlan> = candidate
            .gates
            .iter()
            .enumerate()
            .map(|(nth, command)| GatePlan {
                timeout: Some(GATE_TIMEOUT),
                access: AccessPlan {
                    network: Network::all_or_none(
                        self.sandbox.as_ref().is_none_or(|it| it.network),
                    ),
                    ..AccessPlan::default()
                },
                ..GatePlan::new(format!("{}", nth + 1), command.clone())
            })
            .collect();
        let logs = self.logs.join(candidate.id.0.to_string());
        let sandbox = match self.sandbox(mirror, folder, run) {
            Ok(sandbox) => sandbox,
            Err(error) => return GateOutcome::Unavailable(error_chain(&error)),
        };
        let (events, kept) = self.output.follow(candidate);
        let context = StageContext {
            root: folder,
            run,
            iteration: 1,
            folder: &logs,
            redactor: &self.redactor,
            events: &events,
            cancel,
            parallelism: 1,
            env_remove: &self.env_remove,
            sandbox: sandbox.as_ref(),
        };
        let mut outcome = run_gates(&plans, &context).await;
        if let StageOutcome::Failed { failure, gates } = &outcome
            && failure.flaky_suspect
        {
            let failed = |gate: &&GateResult| matches!(gate.status, GateStatus::Failed(_));
            let names: Vec<String> =
                gates.iter().filter(failed).map(|gate| gate.name.clone()).collect();
            outcome = run_gates_again(&plans, &names, &context).await;
        }
        drop(events);
        kept.finish().await;
        match outcome {
            StageOutcome::Passed { .. } => GateOutcome::Passed,
            StageOutcome::Cancelled => GateOutcome::Cancelled,
            // Gates never decline; were one to, only a person could change it.
            StageOutcome::Declined { failure } => GateOutcome::Unavailable(failure.headline),
            StageOutcome::Failed { failure, gates } => match failure.class {
                FailureClass::Infrastructure | FailureClass::Quota | FailureClass::Auth => {
                    GateOutcome::Unavailable(failure.headline)
                }
                FailureClass::Code
                | FailureClass::Config
                | FailureClass::Flaky
                | FailureClass::Timeout
                | FailureClass::Unknown => {
                    let evidence = text_of(&failure);
                    let failed = |gate: &&GateResult| matches!(gate.status, GateStatus::Failed(_));
                    let gates = gates.iter().filter(failed).map(|it| it.name.clone()).collect();
                    GateOutcome::Failed { headline: failure.headline, evidence, gates }
                }
            },
        }
    }
}

fn text_of(failure: &Failure) -> String {
    let evidence = &failure.evidence;
    let mut lines: Vec<String> = Vec::new();
    if let Some(command) = &evidence.command {
        lines.push(format!("$ {command}"));
    }
    lines.extend(evidence.notes.iter().cloned());
    for excerpt in &evidence.excerpts {
        lines.extend(excerpt.text.lines().map(str::to_owned));
    }
    lines.truncate(LINES);
    lines.join("\n")
}
