//! What every kind of run shares: claims, recovery of dead runs, the run's folder, the audit
//! log, the reporters.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{AppError, audit_key, folder, logging, sandbox};
use greenloop_audit::{
    CHECKPOINT_FILE, Checkpoint, Fault, FaultKind, SigningKey, VerifiedRun, Writer,
};
use greenloop_engine::claim::{Claim, Holder};
use greenloop_engine::driver::{Continuation, Ended, RunDependencies, drive};
use greenloop_engine::recover::{abandon, check_resumable, resume};
use greenloop_evidence::Redactor;
use greenloop_model::{
    CommitId, EnvironmentName, EventSink, Notice, RepoPath, Restoration, RunEvent, RunId,
    RunSummary, StopReason,
};
use greenloop_ports::{Target, TargetError};
use greenloop_report::Boxed;
use greenloop_workspace::{CopyOptions, WorkTreeCopy, Workspace};

/// What is copied of files that git does not track, where the file system cannot share their blocks.
const COPIED_BYTES: u64 = 2 << 30;
/// Records of a living run between two checkpoints.
const CHECKPOINT_EVERY: NonZeroU64 = NonZeroU64::MIN.saturating_add(31);
/// How long a cancelled run takes to give the target's environment back.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(700);

/// A run that holds its claims and has its folder and its audit log.
pub(super) struct Session {
    pub(super) run: RunId,
    pub(super) folder: PathBuf,
    /// The commit the run starts from, or started from when it is resumed.
    pub(super) base: CommitId,
    claims: Vec<Claim>,
    audit: Writer,
    /// Signs the log's checkpoint.
    audit_key: Option<SigningKey>,
    continuation: Option<Continuation>,
    notices: Vec<Notice>,
    /// The copy it works in, when the work tree holds changes.
    pub(super) copy: Option<WorkTreeCopy>,
}

/// What a session is opened for.
pub(super) struct Purpose<'a> {
    /// For the next in line: `deploy to staging`.
    pub(super) title: String,
    /// The environment it holds.
    pub(super) environment: Option<&'a EnvironmentName>,
    /// The configuration by which environments of one name are told apart: what a run of it left is
    /// cleaned up with its own target.
    pub(super) configuration: Option<&'a RepoPath>,
    /// Whether it changes the work tree.
    pub(super) writes: bool,
    /// Whether it changes what the target runs.
    pub(super) deploys: bool,
    /// Its id; a new one for `None`.
    pub(super) run: Option<RunId>,
    /// The run to go on with.
    pub(super) resume: Option<RunId>,
    /// Where it works when the work tree holds changes; `None` refuses such a work tree.
    pub(super) copies: Option<&'a Path>,
    /// Whether it works in a copy although the work tree holds no changes.
    pub(super) always_copy: bool,
}

impl Session {
    /// Takes the claims, cleans up after a run that died holding them (or goes on with it), and
    /// opens the audit log.
    pub(super) async fn open(
        workspace: &Workspace,
        purpose: Purpose<'_>,
        target: Option<&dyn Target>,
        reporters: &mut Vec<Boxed>,
        redactor: &Redactor,
        cancel: &CancellationToken,
    ) -> Result<Self, AppError> {
        let opened =
            Self::claim_and_begin(workspace, purpose, target, reporters, redactor, cancel).await;
        if opened.is_err()
            && let Some(target) = target
        {
            // Nobody will drive it to an end that would do so.
            target.release_claim().await;
        }
        opened
    }

    async fn claim_and_begin(
        workspace: &Workspace,
        purpose: Purpose<'_>,
        target: Option<&dyn Target>,
        reporters: &mut Vec<Boxed>,
        redactor: &Redactor,
        cancel: &CancellationToken,
    ) -> Result<Self, AppError> {
        let Purpose {
            title,
            environment,
            configuration,
            writes,
            deploys,
            run,
            resume: wanted,
            copies,
            always_copy,
        } = purpose;
        let audit_key = audit_key::from_environment()?;
        let run = wanted.or(run).unwrap_or_else(RunId::generate);
        let run_folder = folder::of_run(workspace, run);
        let accept = || -> Result<(), AppError> {
            folder::ensure_inside(workspace, &run_folder)?;
            if writes && wanted.is_none() {
                match copies {
                    Some(_) => workspace.ensure_settled()?,
                    None => workspace.ensure_clean()?,
                }
            }
            if writes {
                workspace.ensure_room_for_branch(run)?;
            }
            Ok(())
        };
        if wanted.is_some() {
            if !run_folder.join(greenloop_audit::FILE_NAME).is_file() {
                return Err(AppError::NoSuchRun { run: run.to_string() });
            }
            check_resumable(&run_folder, &title)?;
        }
        let place = workspace.git_dir().join("greenloop").join("claims");
        let mut names = Vec::new();
        if let Some(environment) = environment {
            let what = format!("environment {environment}");
            names.push((environment_claim(environment, configuration), what, true));
        }
        if writes {
            names.push((work_tree_claim(workspace), "the work tree".to_owned(), false));
        }
        // A run that is refused leaves nothing behind, not even the files of its claims.
        let mut left_by_another = false;
        for (name, what, _) in &names {
            left_by_another |= Claim::look(&place, name, what)?;
        }
        if !left_by_another {
            accept()?;
        }
        let mut taken = Vec::new();
        for (name, what, in_environment) in names {
            taken.push((Claim::take(&place, &name, &what)?, in_environment));
        }
        let mut notices: Vec<Notice> = workspace.notices().into_iter().map(Notice::Info).collect();
        let mut claims = Vec::new();
        let mut cleaned = Vec::new();
        for ((claim, left), in_environment) in taken {
            if let Some(left) = left.filter(|left| Some(left.run) != wanted) {
                // Most often both claims bear the trace of one run.
                if !cleaned.contains(&left.run) {
                    let target = target.filter(|_| in_environment);
                    let redact = || redact(redactor);
                    let done = abandon(workspace, target, left.run, &left.folder, redact).await?;
                    sandbox::forget(workspace, left.run);
                    if let Ok(run) = greenloop_audit::verify_run(&left.folder)
                        && run.log.complete
                        && wants_checkpoint(&run, &left.folder)
                    {
                        keep(run.checkpoint(), audit_key.as_ref(), workspace, &left.folder);
                    }
                    notices.push(Notice::Warning(cleaned_up(&left, &done)));
                    cleaned.push(left.run);
                }
                claim.forget()?;
            }
            claims.push(claim);
        }
        sandbox::sweep(workspace, &|name| std::env::var(name).ok());
        // Once more: the dead run's changes are gone, and nobody else makes any from here on.
        accept()?;
        if let Some(target) = target.filter(|_| deploys) {
            claim_target(target, run, reporters, cancel).await?;
        }
        let holder = Holder {
            run,
            pid: std::process::id(),
            since: jiff::Timestamp::now(),
            title,
            folder: run_folder.clone(),
        };
        // Before the first trace of the run itself: from here on, whoever comes next finds it.
        for claim in &claims {
            claim.sign(&holder)?;
        }
        let made =
            copies.map(|folder| copy_of(workspace, run, folder, always_copy, reporters, cancel));
        let copy = match made.transpose().map(Option::flatten) {
            Ok(copy) => copy,
            Err(error) => {
                // It never was: there is nothing to clean up after.
                release(claims)?;
                return Err(error);
            }
        };
        logging::accepted();
        let (audit, continuation, base) = if wanted.is_some() {
            let (audit, continuation, base, done) =
                resume(workspace, target, run, &run_folder, redact(redactor)).await?;
            notices.extend(done.into_iter().map(|text| Notice::Info(format!("resumed: {text}"))));
            (audit, Some(continuation), base)
        } else {
            match begin(workspace, run, &run_folder, redactor) {
                Ok((audit, head)) => {
                    let base = copy.as_ref().map_or(head, |copy| copy.snapshot.commit.clone());
                    (audit, None, base)
                }
                Err(error) => {
                    let _best_effort = std::fs::remove_dir_all(&run_folder);
                    if copy.is_some() {
                        discard(workspace, run);
                    }
                    release(claims)?;
                    return Err(error);
                }
            }
        };
        if let Some(copy) = &copy {
            notices.extend(copy.notices.iter().cloned().map(Notice::Warning));
        }
        Ok(Self {
            run,
            folder: run_folder,
            base,
            claims,
            audit,
            audit_key,
            continuation,
            notices,
            copy,
        })
    }

    /// Drives the run to its end and gives the claims back.
    pub(super) async fn drive(
        self,
        dependencies: RunDependencies,
        mut reporters: Vec<Boxed>,
        cancel: CancellationToken,
    ) -> Result<RunSummary, AppError> {
        let Self { run, folder, claims, audit, audit_key, continuation, notices, copy, .. } = self;
        let (mut audit, audit_key) = (audit, audit_key.map(Arc::new));
        // Not the dependencies': that one is the copy, when there is one.
        let original = copy.as_ref().map(|copy| copy.original.clone());
        let target = dependencies.delivery.as_ref().and_then(|delivery| delivery.target.clone());
        match file_reporters(&folder, continuation.is_some()) {
            Ok(of_files) => reporters.extend(of_files),
            Err(error) => {
                remove_if_never_began(&folder);
                return Err(error);
            }
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let events = EventSink::new(sender);
        let reporting = greenloop_report::spawn(reporters, receiver);
        for notice in notices {
            events.send(RunEvent::Notice(notice));
        }
        let repository = original.clone().unwrap_or_else(|| dependencies.workspace.clone());
        {
            let (key, repository) = (audit_key.clone(), repository.clone());
            let folder = folder.clone();
            audit.checkpoint_every(
                CHECKPOINT_EVERY,
                Box::new(move |checkpoint| {
                    keep(checkpoint, key.as_deref(), &repository, &folder);
                }),
            );
        }
        let ended = drive(dependencies, audit, events, cancel, continuation).await;
        // The sender went with the run: the reporters come to an end.
        let finished = tokio::task::spawn_blocking(move || reporting.join()).await;
        // None are left where a reporter panicked.
        let mut finished = finished.ok().and_then(Result::ok).unwrap_or_default();
        // They have written what the log's last record seals.
        let (outcome, closed) = match ended.map(Ended::close) {
            Ok((summary, Ok(checkpoint))) => {
                let kept = keep(checkpoint, audit_key.as_deref(), &repository, &folder);
                if audit_key.is_some() {
                    let tags = kept.to_build_tags();
                    finished.iter_mut().for_each(|reporter| reporter.anchor(&tags));
                }
                drop(finished);
                (Ok(summary), Ok(()))
            }
            Ok((summary, Err(error))) => (Ok(summary), Err(error)),
            Err(error) => (Err(error), Ok(())),
        };
        let cancelled = outcome.as_ref().is_ok_and(|run| run.stop == StopReason::Cancelled);
        if let Some(target) = target {
            let release_claim = target.release_claim();
            if cancelled {
                // It expires by itself; whoever cancelled is about to kill.
                let _expires = tokio::time::timeout(RELEASE_TIMEOUT, release_claim).await;
            } else {
                release_claim.await;
            }
        }
        if outcome.is_err() {
            remove_if_never_began(&folder);
        }
        let restored = outcome.as_ref().ok().and_then(|summary| summary.target.restored);
        if restored == Some(Restoration::Unconfirmed) {
            // They keep the run's name: the next run cleans up after it.
            return Ok(outcome?);
        }
        if let Some(original) = original {
            discard(&original, run);
        }
        // A run that could not even begin leaves nothing to clean up after either.
        release(claims)?;
        let summary = outcome?;
        closed.map_err(|source| AppError::NoEnd { end: summary.stop.to_string(), source })?;
        Ok(summary)
    }
}

/// Whether the checkpoint beside a log is an earlier one of the same log, or there is none. One of
/// another log is left: `audit verify` reports it.
fn wants_checkpoint(run: &VerifiedRun, folder: &Path) -> bool {
    match std::fs::read_to_string(folder.join(CHECKPOINT_FILE)) {
        Ok(text) => text
            .parse::<Checkpoint>()
            .is_ok_and(|kept| run.extends(&kept) && !run.is_whole_in(&kept)),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Holds an environment for work that is no run; given back when it is dropped. The trace of a run
/// that died stays for the next run, which cleans up after it.
pub(super) fn claim_environment(
    workspace: &Workspace,
    environment: &EnvironmentName,
    configuration: Option<&RepoPath>,
) -> Result<Claim, AppError> {
    let place = workspace.git_dir().join("greenloop").join("claims");
    let what = format!("environment {environment}");
    let (claim, _left) =
        Claim::take(&place, &environment_claim(environment, configuration), &what)?;
    Ok(claim)
}

fn environment_claim(environment: &EnvironmentName, configuration: Option<&RepoPath>) -> String {
    match configuration {
        Some(path) => format!("env-{environment}-{}", short_digest(path.as_bytes())),
        None => format!("env-{environment}"),
    }
}

/// Keeps the checkpoint of a log beside it, and in git, signed where there is a key. A log without one is as good; `audit
/// verify` tells which it has.
fn keep(
    checkpoint: Checkpoint,
    key: Option<&SigningKey>,
    repository: &Workspace,
    folder: &Path,
) -> Checkpoint {
    let checkpoint = match key {
        Some(key) => checkpoint.signed(key),
        None => checkpoint,
    };
    let text = checkpoint.to_string();
    if let Err(error) = std::fs::write(folder.join(CHECKPOINT_FILE), &text) {
        tracing::warn!(%error, "the audit log's checkpoint could not be written");
    }
    if let Err(error) = repository.append_checkpoint(&text) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the audit log's checkpoint could not be kept in git"
        );
    }
    checkpoint
}

fn release(claims: Vec<Claim>) -> Result<(), AppError> {
    for claim in claims {
        claim.release()?;
    }
    Ok(())
}

/// Removes the folder of a run whose first record could not be written: it has done nothing.
fn remove_if_never_began(folder: &Path) {
    let verified = greenloop_audit::verify(&folder.join(greenloop_audit::FILE_NAME));
    if matches!(verified, Err(Fault { what: FaultKind::Empty, .. })) {
        let _best_effort = std::fs::remove_dir_all(folder);
    }
}

/// Takes the target's environment; a wait is reported.
async fn claim_target(
    target: &dyn Target,
    run: RunId,
    reporters: &mut Vec<Boxed>,
    cancel: &CancellationToken,
) -> Result<(), TargetError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = EventSink::new(sender);
    let mut claim = target.claim(run, &events, cancel);
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let outcome = loop {
        tokio::select! {
            outcome = &mut claim => break outcome,
            _ = look.tick() => greenloop_report::feed_pending(reporters, &receiver),
        }
    };
    greenloop_report::feed_pending(reporters, &receiver);
    outcome
}

/// A new run's folder and audit log, and the commit it starts from.
fn begin(
    workspace: &Workspace,
    run: RunId,
    run_folder: &Path,
    redactor: &Redactor,
) -> Result<(Writer, CommitId), AppError> {
    let base = workspace.head()?.commit;
    folder::prepare(workspace, run_folder)?;
    let audit =
        Writer::create(&run_folder.join(greenloop_audit::FILE_NAME), run, redact(redactor))?;
    Ok((audit, base))
}

/// The claim on the work tree, for changing it outside a run.
pub(super) fn hold_work_tree(workspace: &Workspace) -> Result<Claim, AppError> {
    let place = workspace.git_dir().join("greenloop").join("claims");
    let name = work_tree_claim(workspace);
    let (claim, _left) = Claim::take(&place, &name, "the work tree")?;
    Ok(claim)
}

/// The copy that a run works in; `None` when nothing differs from the last commit, unless it is
/// wanted `always`: then it works in the work tree itself, where builds are warm.
fn copy_of(
    workspace: &Workspace,
    run: RunId,
    folder: &Path,
    always: bool,
    reporters: &mut Vec<Boxed>,
    cancel: &CancellationToken,
) -> Result<Option<WorkTreeCopy>, AppError> {
    // What a dead process left; the claim says that no living one works in them.
    workspace.remove_copies()?;
    let is_changed = workspace.is_changed()?;
    if !is_changed && !always {
        return Ok(None);
    }
    if is_changed {
        let (sender, receiver) = std::sync::mpsc::channel();
        EventSink::new(sender).send(RunEvent::Notice(Notice::Info(
            "the work tree has uncommitted changes: working on a copy".to_owned(),
        )));
        greenloop_report::feed_pending(reporters, &receiver);
    }
    // Known as a run in a copy before there is one.
    workspace.mark_copied(run, &workspace.head()?.commit)?;
    let options = CopyOptions {
        folder,
        skip: &folder::is_own,
        cancelled: &|| cancel.is_cancelled(),
        copied_bytes: COPIED_BYTES,
    };
    // Takes as long as there is to copy, and signals have to be heard meanwhile.
    match tokio::task::block_in_place(|| workspace.copy(run, &options)) {
        Ok(copy) => Ok(Some(copy)),
        Err(error) => {
            workspace.unmark_copied(run)?;
            Err(error.into())
        }
    }
}

/// Removes a run's copy. One that cannot be removed is removed by the next run.
fn discard(original: &Workspace, run: RunId) {
    let removed = original.remove_copy(run).and_then(|_| original.unmark_copied(run));
    if let Err(error) = removed {
        tracing::warn!(%error, "could not delete the copy of the work tree");
    }
}

/// The reports in the run's folder. A resumed run's reports begin where the first process began.
fn file_reporters(folder: &Path, resumed: bool) -> Result<Vec<Boxed>, AppError> {
    let events = folder.join(greenloop_report::EVENTS_FILE);
    let failed = |source| AppError::Folder { path: events.clone(), source };
    let earlier = if resumed {
        greenloop_report::read_events(&events).unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut reporters = vec![
        greenloop_report::events(&events).map_err(failed)?,
        greenloop_report::junit(folder.join(greenloop_report::JUNIT_FILE)),
        greenloop_report::markdown(folder.join(greenloop_report::SUMMARY_FILE)),
        greenloop_report::html(folder.join(greenloop_report::HTML_FILE)),
    ];
    for reporter in &mut reporters {
        for stamped in &earlier {
            reporter.event(stamped.at, &stamped.event).map_err(failed)?;
        }
    }
    // Not what happened before: the log has that already.
    reporters.push(greenloop_report::program_log());
    Ok(reporters)
}

/// What the audit log runs every text through, as the last line of defence.
fn redact(redactor: &Redactor) -> greenloop_audit::Redact {
    let redactor = redactor.clone();
    Box::new(move |text| redactor.redact(text).into_owned())
}

/// Linked work trees share a git folder; each is claimed by itself.
fn work_tree_claim(workspace: &Workspace) -> String {
    format!("work-tree-{}", short_digest(workspace.root().as_os_str().as_encoded_bytes()))
}

fn short_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

fn cleaned_up(left: &Holder, done: &[String]) -> String {
    let done =
        if done.is_empty() { "nothing had to be cleaned up".to_owned() } else { done.join("; ") };
    format!("run {} ({}) died or was interrupted: {done}", left.run.short(), left.title)
}
