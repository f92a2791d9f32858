//! A healed run as a bundle.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::proposal::default_pull_request;
use super::{AppError, Environment, audit_key};
use greenloop_audit::{CHECKPOINT_FILE, FILE_NAME, SigningKey, VerifyingKey};
use greenloop_bundle::{
    AuditHead, Bundle, BundleError, Manifest, Repair, Revision, TestsRan, VERSION,
};
use greenloop_evidence::Redactor;
use greenloop_model::{CommitId, Failure, RepoPath, RunEvent, RunId, RunSummary, StopReason};
use greenloop_report::pull_requests::token_variables;
use greenloop_workspace::Workspace;

/// The audit record of the tests that ran.
const TESTS_RAN: &str = "gates.tests";

/// A bundle that was written.
#[derive(Debug)]
pub struct WrittenBundle {
    pub file: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    /// Verifies it.
    pub key: VerifyingKey,
}

/// Variables that are set here and with which one can push: a job that makes bundles needs none.
pub fn push_credentials(env: &Environment) -> Vec<String> {
    let mut names = token_variables(&default_pull_request());
    names.retain(|name| env(name).is_some_and(|value| !value.is_empty()));
    names
}

/// Where a bundle is to be written, and by which key.
pub(super) struct Destination {
    file: PathBuf,
    key: SigningKey,
}

impl Destination {
    /// # Errors
    /// No key in the environment, or a file that cannot be written there.
    pub(super) fn new(file: PathBuf) -> Result<Self, AppError> {
        let Some(key) = audit_key::from_environment()? else {
            return Err(AppError::Unsupported {
                what: "a bundle is signed, and no key is given".to_owned(),
                hint: "make one: greenloop audit keygen NAME --out FILE; then set \
                       GREENLOOP_AUDIT_KEY_FILE to FILE, or GREENLOOP_AUDIT_KEY to its content"
                    .to_owned(),
            });
        };
        let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(AppError::Unsupported {
                what: format!("there is no folder {} for the bundle", folder.display()),
                hint: "make it first".to_owned(),
            });
        }
        if file.is_dir() {
            return Err(AppError::Unsupported {
                what: format!("{} is a folder, not a file", file.display()),
                hint: "name a file: --bundle heal.bundle".to_owned(),
            });
        }
        Ok(Self { file, key })
    }
}

/// What is known of a run before it is driven.
pub(super) struct Origin {
    pub(super) run: RunId,
    pub(super) folder: PathBuf,
    pub(super) base: CommitId,
    pub(super) command: String,
    pub(super) directory: Option<RepoPath>,
    pub(super) policy: String,
    pub(super) author: String,
    pub(super) redactor: Redactor,
}

/// Writes the bundle of a run that ended healed; `None` for one that has no patch to hand on.
///
/// # Errors
/// [`AppError::Bundle`].
pub(super) fn write(
    to: &Destination,
    origin: &Origin,
    workspace: &Workspace,
    summary: &RunSummary,
) -> Result<Option<WrittenBundle>, AppError> {
    let Some(tip) = summary.patches.last().map(|patch| &patch.commit) else { return Ok(None) };
    if summary.stop != StopReason::Verified {
        return Ok(None);
    }
    let failed = |source| AppError::Bundle { file: to.file.clone(), source };
    let result = workspace.tree_id(tip)?;
    let patch = patch(workspace, origin, tip)?;
    let read =
        |name: &str| std::fs::read(origin.folder.join(name)).map_err(|error| failed(error.into()));
    let log = greenloop_audit::verify_run(&origin.folder)
        .map_err(|fault| failed(BundleError::Io(std::io::Error::other(fault.to_string()))))?;
    let redacted = |text: &str| origin.redactor.redact(text).into_owned();
    let manifest = Manifest {
        version: VERSION,
        greenloop: env!("CARGO_PKG_VERSION").to_owned(),
        run: origin.run,
        created: jiff::Timestamp::now(),
        base: Revision { commit: origin.base.clone(), tree: workspace.tree_id(&origin.base)? },
        result,
        command: redacted(&origin.command),
        directory: origin.directory.clone(),
        failure: Box::new(first_failure(&origin.folder).ok_or_else(|| {
            failed(BundleError::Contradiction("the run's events do not have its failure"))
        })?),
        repairs: summary
            .patches
            .iter()
            .map(|patch| Repair {
                iteration: patch.iteration,
                failure: redacted(&patch.failure),
                reason: redacted(&patch.reason),
                review: patch.review.clone(),
                confirmed_by: patch.confirmed_by.clone(),
            })
            .collect(),
        proof: summary.proof.clone(),
        tests: tests(&origin.folder)?,
        policy: origin.policy.clone(),
        author: origin.author.clone(),
        audit: AuditHead { records: log.log.records, head: log.log.head.clone() },
    };
    let bundle = Bundle {
        manifest,
        patch,
        summary: read(greenloop_report::SUMMARY_FILE)?,
        audit_log: read(FILE_NAME)?,
        checkpoint: read(CHECKPOINT_FILE)?,
    };
    let bytes = bundle.seal(&to.key).map_err(failed)?;
    store(&to.file, &bytes).map_err(|error| failed(error.into()))?;
    let sha256 = hex_digest(&bytes);
    Ok(Some(WrittenBundle { file: to.file.clone(), sha256, key: to.key.public() }))
}

/// The patch, with as many lines around its changes as hold no secret.
fn patch(workspace: &Workspace, origin: &Origin, tip: &CommitId) -> Result<Vec<u8>, AppError> {
    let result = workspace.tree_id(tip)?;
    for context in [3, 1, 0] {
        let patch = workspace.exact_patch(&origin.base, tip, context)?;
        let text = String::from_utf8_lossy(&patch);
        let is_clean = origin.redactor.redact(&text) == text;
        let applies =
            || workspace.read_patch(&origin.base, &patch).is_ok_and(|(tree, _)| tree == result);
        if is_clean && applies() {
            return Ok(patch);
        }
    }
    Err(AppError::Unsupported {
        what: "the patch is not put into a bundle: a line that it changes holds what looks like a \
               secret, or it changes what a patch cannot express"
            .to_owned(),
        hint: format!("it is on the branch {}", origin.run.branch()),
    })
}

/// The failure that the run began with.
fn first_failure(folder: &Path) -> Option<Failure> {
    let events = greenloop_report::read_events(&folder.join(greenloop_report::EVENTS_FILE)).ok()?;
    events.into_iter().find_map(|stamped| match stamped.event {
        RunEvent::StageFailed { failure, .. } => Some(*failure),
        _ => None,
    })
}

/// What the audit log has of tests.
fn tests(folder: &Path) -> Result<Vec<TestsRan>, AppError> {
    let records = greenloop_audit::read(&folder.join(FILE_NAME))?;
    let ran = records.into_iter().filter(|record| record.event == TESTS_RAN);
    Ok(ran.filter_map(|record| serde_json::from_value(record.data).ok()).collect())
}

/// In one step: a reader sees all of it or nothing.
fn store(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&draft).and_then(|mut draft| {
        draft.write_all(bytes)?;
        draft.sync_all()
    });
    let stored = written.and_then(|()| std::fs::rename(&draft, file));
    if stored.is_err() {
        let _best_effort = std::fs::remove_file(&draft);
    }
    stored
}

pub(super) fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
