//! What every kind of run shares: claims, recovery of dead runs, the run's folder, the audit
//! log, the reporters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{AppError, folder};
use crate::apply::Workspace;
use crate::audit::{self, Writer};
use crate::engine::claim::{Claim, Holder};
use crate::engine::driver::{Assembly, Continuation, drive};
use crate::engine::recover::{abandon, check_resumable, resume};
use crate::evidence::Redactor;
use crate::model::{CommitId, EnvironmentName, EventSink, Notice, RunEvent, RunId, RunSummary};
use crate::ports::{Target, TargetError};
use crate::report::{self, Boxed};

/// A run that holds its claims and has its folder and its audit log.
pub(super) struct Session {
    pub(super) run: RunId,
    pub(super) folder: PathBuf,
    /// The commit the run starts from, or started from when it is resumed.
    pub(super) base: CommitId,
    claims: Vec<Claim>,
    audit: Writer,
    continuation: Option<Continuation>,
    notices: Vec<Notice>,
}

/// What a session is opened for.
pub(super) struct Purpose<'a> {
    /// For the next in line: `deploy to staging`.
    pub(super) title: String,
    /// The environment it holds.
    pub(super) environment: Option<&'a EnvironmentName>,
    /// Whether it changes the work tree.
    pub(super) writes: bool,
    /// Whether it changes what the target runs.
    pub(super) deploys: bool,
    /// Its id; a new one for `None`.
    pub(super) run: Option<RunId>,
    /// The run to go on with.
    pub(super) resume: Option<RunId>,
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
            target.let_go().await;
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
        let Purpose { title, environment, writes, deploys, run, resume: wanted } = purpose;
        let place = workspace.git_dir().join("greenloop").join("claims");
        let mut taken = Vec::new();
        if let Some(environment) = environment {
            let what = format!("environment {environment}");
            taken.push((Claim::take(&place, &format!("env-{environment}"), &what)?, true));
        }
        if writes {
            let name = work_tree_claim(workspace);
            taken.push((Claim::take(&place, &name, "the work tree")?, false));
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
                    notices.push(Notice::Warning(cleaned_up(&left, &done)));
                    cleaned.push(left.run);
                }
                claim.forget()?;
            }
            claims.push(claim);
        }
        if wanted.is_none() && writes {
            workspace.ensure_clean()?;
        }
        let run = wanted.or(run).unwrap_or_else(RunId::generate);
        if writes {
            workspace.ensure_room_for_branch(run)?;
        }
        if let Some(target) = target.filter(|_| deploys) {
            claim_target(target, run, reporters, cancel).await?;
        }
        let run_folder = folder::of_run(workspace, run);
        if wanted.is_some() {
            if !run_folder.join(audit::FILE_NAME).is_file() {
                return Err(AppError::NoSuchRun { run: run.to_string() });
            }
            check_resumable(&run_folder, &title)?;
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
        let (audit, continuation, base) = if wanted.is_some() {
            let (audit, continuation, base, done) =
                resume(workspace, target, run, &run_folder, redact(redactor)).await?;
            notices.extend(done.into_iter().map(|text| Notice::Info(format!("resumed: {text}"))));
            (audit, Some(continuation), base)
        } else {
            match begin(workspace, run, &run_folder, redactor) {
                Ok((audit, base)) => (audit, None, base),
                Err(error) => {
                    // It never was: there is nothing to clean up after.
                    for claim in claims {
                        claim.release()?;
                    }
                    return Err(error);
                }
            }
        };
        Ok(Self { run, folder: run_folder, base, claims, audit, continuation, notices })
    }

    /// Drives the run to its end and gives the claims back.
    pub(super) async fn drive(
        self,
        assembly: Assembly,
        mut reporters: Vec<Boxed>,
        cancel: CancellationToken,
    ) -> Result<RunSummary, AppError> {
        let Self { folder, claims, audit, continuation, notices, .. } = self;
        let target = assembly.delivery.as_ref().and_then(|delivery| delivery.target.clone());
        reporters.extend(file_reporters(&folder, continuation.is_some())?);
        let (sender, receiver) = std::sync::mpsc::channel();
        let events = EventSink::new(sender);
        let reporting = report::spawn(reporters, receiver);
        for notice in notices {
            events.send(RunEvent::Notice(notice));
        }
        let outcome = drive(assembly, audit, events, cancel, continuation).await;
        // The sender went with the run: the reporters come to an end.
        let _reporter_panicked = tokio::task::spawn_blocking(move || reporting.join()).await;
        if let Some(target) = target {
            target.let_go().await;
        }
        // A run that could not even begin leaves nothing to clean up after either.
        for claim in claims {
            claim.release()?;
        }
        Ok(outcome?)
    }
}

/// Takes the target's environment; whoever watches is told when that takes waiting.
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
            _ = look.tick() => report::feed_pending(reporters, &receiver),
        }
    };
    report::feed_pending(reporters, &receiver);
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
    let audit = Writer::create(&run_folder.join(audit::FILE_NAME), run, redact(redactor))?;
    Ok((audit, base))
}

/// The reports in the run's folder. A resumed run's reports begin where the first process began.
fn file_reporters(folder: &Path, resumed: bool) -> Result<Vec<Boxed>, AppError> {
    let events = folder.join(report::EVENTS_FILE);
    let failed = |source| AppError::Folder { path: events.clone(), source };
    let earlier =
        if resumed { report::read_events(&events).unwrap_or_default() } else { Vec::new() };
    let mut reporters = vec![
        report::events(&events).map_err(failed)?,
        report::junit(folder.join(report::JUNIT_FILE)),
        report::markdown(folder.join(report::SUMMARY_FILE)),
        report::html(folder.join(report::HTML_FILE)),
    ];
    for reporter in &mut reporters {
        for stamped in &earlier {
            reporter.event(stamped.at, &stamped.event).map_err(failed)?;
        }
    }
    // Not what happened before: the log has that already.
    reporters.push(report::program_log());
    Ok(reporters)
}

/// What the audit log runs every text through, as the last line of defence.
fn redact(redactor: &Redactor) -> crate::audit::Redact {
    let redactor = redactor.clone();
    Box::new(move |text| redactor.redact(text).into_owned())
}

/// Linked work trees share a git folder; each is claimed by itself.
fn work_tree_claim(workspace: &Workspace) -> String {
    let digest = Sha256::digest(workspace.root().as_os_str().as_encoded_bytes());
    let hex: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
    format!("work-tree-{hex}")
}

fn cleaned_up(left: &Holder, done: &[String]) -> String {
    let done = if done.is_empty() { "nothing was left to do".to_owned() } else { done.join("; ") };
    format!("run {} ({}) died without an end: {done}", left.run.short(), left.title)
}
