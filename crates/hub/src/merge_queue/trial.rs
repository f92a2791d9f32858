//! One entry: merged with a tip, checked out as that very commit, and put to the gates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lane::Stop;
use super::place::name;
use greenloop_config::plan::GatePlan;
use greenloop_engine::stages::StageContext;
use greenloop_engine::stages::gates::{run_gates, run_gates_again};
use greenloop_evidence::Redactor;
use greenloop_model::{
    CommitId, EventSink, Failure, FailureClass, GateResult, GateStatus, RunId, StageOutcome, chain,
};
use greenloop_workspace::git::{Author, Git, GitErrorKind, Mirror, TaskClone, remove_folder};
use greenloop_workspace::{Conflict, MergePlace, Merged, WorkspaceError};

/// For one gate.
const GATE_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// Lines of a failure's evidence that are kept.
const LINES: usize = 200;

/// What is to be merged where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The entry's id: names its staging ref.
    pub(super) id: i64,
    /// The branch, for people.
    pub(super) branch: String,
    /// The commit that was approved, and no other.
    pub(super) commit: CommitId,
    /// The target branch, for people.
    pub(super) target: String,
    /// One line: what the merge is about.
    pub(super) title: String,
    /// Commands that must pass.
    pub(super) gates: Vec<String>,
}

/// What merging came to.
#[derive(Debug)]
pub(super) enum Staged {
    /// A merge, which the entry's staging ref refers to.
    Commit(CommitId),
    /// The tip has it already.
    Nothing,
    /// It does not merge.
    Conflict(Vec<Conflict>),
    /// Something outside is out of order: the entry is not to blame.
    Troubled(String),
}

/// What the gates said of a merge.
#[derive(Debug)]
pub(super) enum Judgement {
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
    Troubled(String),
    /// The hub stops, its lease is gone, or the merge will never be.
    Cancelled,
}

/// Where trials happen.
#[derive(Debug, Clone)]
pub(super) struct TrialPlace {
    /// Clones go below it.
    pub(super) folder: PathBuf,
    /// The output of gates goes below it.
    pub(super) logs: PathBuf,
    /// Takes secrets out of every text.
    pub(super) redactor: Redactor,
    /// Variables that gates do not inherit.
    pub(super) withheld: Vec<String>,
}

/// Who merges.
fn author() -> Author {
    Author {
        name: "Greenloop merge queue".to_owned(),
        email: "merge-queue@greenloop.invalid".to_owned(),
    }
}

impl TrialPlace {
    /// Merges `candidate` into `tip`, both in `mirror`, to its staging ref.
    pub(super) async fn stage(
        &self,
        mirror: &Mirror,
        tip: &CommitId,
        candidate: &Candidate,
    ) -> Staged {
        match merge(mirror.folder(), tip, candidate).await {
            Ok(Merged::Commit(commit)) => Staged::Commit(commit),
            Ok(Merged::Nothing) => Staged::Nothing,
            Ok(Merged::Conflict(conflicts)) => Staged::Conflict(conflicts),
            Err(error) => Staged::Troubled(chain(&error)),
        }
    }

    /// Checks `commit` out and runs the candidate's gates on it.
    pub(super) async fn judge(
        &self,
        mirror: &Mirror,
        commit: &CommitId,
        candidate: &Candidate,
        cancel: &CancellationToken,
    ) -> Judgement {
        let run = RunId::generate();
        let git = Git::new(run, &self.redactor, cancel);
        let folder = self.folder.join(name(candidate.id, run));
        let made =
            TaskClone::make(mirror, &folder, "greenloop-staging", commit, &author(), &git).await;
        let judged = match made {
            Ok(_) => self.gates(&folder, candidate, run, cancel).await,
            Err(error) if error.kind == GitErrorKind::Cancelled => Judgement::Cancelled,
            Err(error) => Judgement::Troubled(chain(&error)),
        };
        let cleared = tokio::task::spawn_blocking(move || remove_folder(&folder)).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "a merge's work tree cannot be cleared away");
        }
        judged
    }

    async fn gates(
        &self,
        folder: &Path,
        candidate: &Candidate,
        run: RunId,
        cancel: &CancellationToken,
    ) -> Judgement {
        let plans: Vec<GatePlan> = candidate
            .gates
            .iter()
            .enumerate()
            .map(|(nth, command)| GatePlan {
                name: format!("{}", nth + 1),
                command: command.clone(),
                required: true,
                timeout: Some(GATE_TIMEOUT),
                env: Default::default(),
                working_directory: None,
                needs: Vec::new(),
                reports: Vec::new(),
                writes: Vec::new(),
            })
            .collect();
        let logs = self.logs.join(candidate.id.to_string());
        let context = StageContext {
            root: folder,
            run,
            iteration: 1,
            folder: &logs,
            redactor: &self.redactor,
            events: &EventSink::null(),
            cancel,
            parallelism: 1,
            hidden_env: &self.withheld,
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
        match outcome {
            StageOutcome::Passed { .. } => Judgement::Passed,
            StageOutcome::Cancelled => Judgement::Cancelled,
            // Gates never decline; were one to, only a person could change it.
            StageOutcome::Declined { failure } => Judgement::Troubled(failure.headline),
            StageOutcome::Failed { failure, gates } => match failure.class {
                FailureClass::Infrastructure | FailureClass::Quota | FailureClass::Auth => {
                    Judgement::Troubled(failure.headline)
                }
                FailureClass::Code
                | FailureClass::Config
                | FailureClass::Flaky
                | FailureClass::Timeout
                | FailureClass::Unknown => {
                    let evidence = text_of(&failure);
                    let failed = |gate: &&GateResult| matches!(gate.status, GateStatus::Failed(_));
                    let gates = gates.iter().filter(failed).map(|it| it.name.clone()).collect();
                    Judgement::Failed { headline: failure.headline, evidence, gates }
                }
            },
        }
    }
}

/// Merges, and gives the merge its staging ref. Not on the runtime's threads: a large tree takes
/// its time.
async fn merge(
    folder: &Path,
    tip: &CommitId,
    candidate: &Candidate,
) -> Result<Merged, WorkspaceError> {
    let (folder, tip, candidate) = (folder.to_owned(), tip.clone(), candidate.clone());
    let task = tokio::task::spawn_blocking(move || {
        let place = MergePlace::open(&folder)?;
        let message = format!(
            "Merge {} into {}: {}\n\nGreenloop-Merge: {}\nGreenloop-Branch: {}\n",
            candidate.branch, candidate.target, candidate.title, candidate.id, candidate.commit
        );
        let by = author();
        let merged = place.merge(&tip, &candidate.commit, &message, (&by.name, &by.email))?;
        if let Merged::Commit(commit) = &merged {
            place.set_ref(&staging_ref(candidate.id), commit)?;
        }
        Ok(merged)
    });
    match task.await {
        Ok(merged) => merged,
        // Blocking tasks are not cancelled: it panicked, and so does this.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Lets go of a merge that is settled.
pub(super) async fn forget(mirror: &Mirror, id: i64) {
    let folder = mirror.folder().to_owned();
    let forgotten = tokio::task::spawn_blocking(move || {
        MergePlace::open(&folder).and_then(|place| place.delete_ref(&staging_ref(id)))
    });
    if let Ok(Err(error)) = forgotten.await {
        tracing::warn!(%error, "a staging ref cannot be deleted");
    }
}

/// Keeps the merge from being collected while its gates run.
fn staging_ref(id: i64) -> String {
    format!("refs/greenloop/staging/{id}")
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

/// What a person or an agent has to solve.
pub(super) fn conflict_text(candidate: &Candidate, conflicts: &[Conflict]) -> String {
    let files: Vec<String> = conflicts
        .iter()
        .map(|conflict| format!("- {}: {}", conflict.path, conflict.what))
        .collect();
    format!(
        "{} ({}) does not merge into {}. The files in conflict:\n{}",
        candidate.branch,
        candidate.commit.short(),
        candidate.target,
        files.join("\n")
    )
}

/// Whether `commit` is on the branch whose tip is `tip`.
///
/// # Errors
/// When the mirror cannot be read: that says nothing of the commit.
pub(super) async fn leads_to(
    mirror: &Mirror,
    commit: &CommitId,
    tip: &CommitId,
) -> Result<bool, WorkspaceError> {
    let (commit, tip) = (commit.clone(), tip.clone());
    read(mirror, move |place| place.leads_to(&commit, &tip)).await
}

/// Reads a mirror, not on the runtime's threads.
async fn read<T: Send + 'static>(
    mirror: &Mirror,
    look: impl FnOnce(MergePlace) -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    let folder = mirror.folder().to_owned();
    match tokio::task::spawn_blocking(move || look(MergePlace::open(&folder)?)).await {
        Ok(read) => read,
        // Blocking tasks are not cancelled: it panicked, and so does this.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Which of the commits that were taken back from the target `candidate` would bring back.
pub(super) async fn brings_back(
    mirror: &Mirror,
    candidate: &Candidate,
    rewound: &[CommitId],
    tip: &CommitId,
) -> Result<Option<CommitId>, WorkspaceError> {
    for gone in rewound {
        if leads_to(mirror, gone, &candidate.commit).await? && !leads_to(mirror, gone, tip).await? {
            return Ok(Some(gone.clone()));
        }
    }
    Ok(None)
}

/// Whether the commit that was approved can be had: it is on its branch, or was fetched before.
pub(super) async fn bring(mirror: &Mirror, candidate: &Candidate, git: &Git) -> Result<bool, Stop> {
    let look = || {
        let commit = candidate.commit.clone();
        read(mirror, move |place| place.has(&commit))
    };
    if look().await? {
        return Ok(true);
    }
    if mirror.remote_tip(&candidate.branch, git).await?.is_none() {
        return Ok(false);
    }
    mirror.fetch(&candidate.branch, git).await?;
    Ok(look().await?)
}
