//! Setting a repository up: what it is, the gates that pass in it, and the files it gets.

mod service;
mod trial_copy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::service::ServiceTrial;
use self::trial_copy::TrialCopy;
use super::address::free_port;
use super::{AppError, Environment, SandboxRequest, run_in_sandbox};
use greenloop_evidence::{ExtractLimits, Extractor, Knowledge, Redactor, TestReader};
use greenloop_init::{
    Candidate, Choices, Conclusion, Files, ProposedFile, Start, Survey, Trial, choose, notes,
    propose, survey,
};
use greenloop_model::{Exit, TargetKind};

/// Characters of a failed command's reason.
const REASON: usize = 160;

/// What is to be set up.
pub struct InitRequest {
    /// Where the command was given: in a repository, or in a folder that becomes one.
    pub directory: PathBuf,
    /// The target; the one that fits best for `None`.
    pub target: Option<TargetKind>,
    /// How the service is started; found out for `None`.
    pub start: Option<Vec<String>>,
    /// Where a copy of the repository is made, in which commands are tried.
    pub scratch: PathBuf,
    /// How long a command may take.
    pub timeout: Duration,
    /// Environment variables.
    pub env: Environment,
}

/// What goes on while commands are tried.
pub enum InitProgress<'a> {
    /// What was found, a line each.
    Found(&'a [String]),
    /// Something that a person would not expect.
    Noticed(&'a str),
    /// A command is tried.
    Trying { command: &'a str },
    /// It was tried.
    Tried { command: &'a str, conclusion: &'a Conclusion },
    /// The service was started, and answered there, or why not.
    Started { answered: Option<&'a str>, failure: Option<&'a str> },
}

/// What would be done; nothing is yet.
#[derive(Debug)]
pub struct InitPlan {
    /// Where the files are written.
    pub root: PathBuf,
    /// The root is no repository yet.
    pub creates_repository: bool,
    /// The files to write.
    pub files: Vec<ProposedFile>,
    /// The environment to run next.
    pub environment: String,
    /// What a person should know of it, a paragraph each.
    pub notes: Vec<String>,
}

/// Finds out what the repository is, and tries its commands in a copy of it.
///
/// # Errors
/// When nothing in it can be deployed, or the machine has no sandbox to try commands in.
pub async fn plan_init(
    request: InitRequest,
    progress: &mut (dyn FnMut(InitProgress<'_>) + Send),
    cancel: &CancellationToken,
) -> Result<InitPlan, AppError> {
    let found = greenloop_workspace::work_tree_root(&request.directory);
    let creates_repository = found.is_none();
    let root = found.unwrap_or_else(|| request.directory.clone());
    let files = Files::read(&root);
    let mut survey = survey(&files);
    progress(InitProgress::Found(&survey.findings()));
    if let Some(words) = &request.start {
        survey.starts = vec![Start::given(&files, words)];
    }
    let located = greenloop_config::locate(&root);
    if located.path.is_file() && is_own(&located.path) {
        return configured(root, creates_repository, &survey, &files, &located.path);
    }
    let target = request.target.or_else(|| survey.target()).ok_or_else(|| nothing(&survey))?;
    if target == TargetKind::Process && survey.starts.is_empty() {
        return Err(nothing(&survey));
    }
    let copy = TrialCopy::make(&files, &request.scratch)?;
    let trials = try_gates(&copy, &survey, &request, progress, cancel).await?;
    let mut service = ServiceTrial::default();
    let mut start = survey.starts.first().cloned();
    if target == TargetKind::Process {
        (start, service) = service::try_starts(&copy, &survey, &request, cancel).await?;
        let failure = service.failure.as_deref();
        progress(InitProgress::Started { answered: service.health.as_deref(), failure });
    }
    let port = free_port(survey.port()).unwrap_or(survey.port());
    if target != TargetKind::Kubernetes
        && let Some(said) = other_port(survey.port(), port)
    {
        progress(InitProgress::Noticed(&said));
    }
    let guess = || survey.health_paths().into_iter().next().unwrap_or_else(|| "/".to_owned());
    let choices = Choices {
        target,
        start,
        port,
        health: match service.health {
            Some(path) => (path, true),
            None => (guess(), false),
        },
        page: service.page,
        trials,
    };
    let notes = notes(&survey, &choices);
    let files = propose(&survey, &files, &choices);
    let environment = check(&files)?;
    Ok(InitPlan { root, creates_repository, files, environment, notes })
}

/// Only what other files lack: the configuration stays as it is.
fn configured(
    root: PathBuf,
    creates_repository: bool,
    survey: &Survey,
    files: &Files,
    path: &Path,
) -> Result<InitPlan, AppError> {
    let config = greenloop_config::load(path)?;
    let first = config.environments().first().map(ToString::to_string).unwrap_or_default();
    let plan = config.plan(&first, &Default::default(), &|_| None)?;
    let choices = Choices {
        target: plan.deploy.target,
        start: None,
        port: survey.port(),
        health: (plan.verification.health.endpoint.clone(), false),
        page: None,
        trials: Vec::new(),
    };
    let files = propose(survey, files, &choices);
    let notes = Vec::new();
    Ok(InitPlan { root, creates_repository, files, environment: first, notes })
}

fn is_own(path: &Path) -> bool {
    path.ends_with(greenloop_config::FILE_NAME)
        || std::fs::read_to_string(path)
            .is_ok_and(|text| greenloop_config::is_meant_for_greenloop(&text))
}

fn nothing(survey: &Survey) -> AppError {
    let kinds = match survey.findings().as_slice() {
        [] => "no known kind of project in this folder".to_owned(),
        findings => findings.join("; "),
    };
    AppError::Unsupported {
        what: format!(
            "nothing to deploy was found: no service to start, no Dockerfile, no manifests ({kinds})"
        ),
        hint: "say how the service is started: greenloop init --start 'COMMAND'; for a library, \
               `greenloop heal -- COMMAND` repairs a failing command without a configuration"
            .to_owned(),
    }
}

async fn try_gates(
    copy: &TrialCopy,
    survey: &Survey,
    request: &InitRequest,
    progress: &mut (dyn FnMut(InitProgress<'_>) + Send),
    cancel: &CancellationToken,
) -> Result<Vec<Trial>, AppError> {
    let mut error = None;
    let redactor = Redactor::from_env();
    let trials = choose(&survey.candidates, async |candidate: &Candidate| {
        if error.is_some() || cancel.is_cancelled() {
            return Conclusion::Failed { reason: "not run: cancelled".to_owned() };
        }
        progress(InitProgress::Trying { command: &candidate.command });
        match try_gate(copy, candidate, request, &redactor, cancel).await {
            Ok(conclusion) => {
                progress(InitProgress::Tried {
                    command: &candidate.command,
                    conclusion: &conclusion,
                });
                conclusion
            }
            Err(failed) => {
                error = Some(failed);
                Conclusion::Failed { reason: "not run".to_owned() }
            }
        }
    })
    .await;
    match error {
        Some(error) => Err(error),
        None => Ok(trials),
    }
}

/// Without the network first: a gate that needs none should have none.
async fn try_gate(
    copy: &TrialCopy,
    candidate: &Candidate,
    request: &InitRequest,
    redactor: &Redactor,
    cancel: &CancellationToken,
) -> Result<Conclusion, AppError> {
    let without = match candidate.network {
        true => None,
        false => Some(run_once(copy, candidate, false, request, redactor, cancel).await?),
    };
    let conclusion = match without {
        Some(passed @ Conclusion::Passed { .. }) => return Ok(passed),
        Some(Conclusion::Failed { reason }) => {
            match run_once(copy, candidate, true, request, redactor, cancel).await? {
                passed @ Conclusion::Passed { .. } => passed,
                // The first reason is the one of the gate as it would be run.
                Conclusion::Failed { .. } => Conclusion::Failed { reason },
            }
        }
        None => run_once(copy, candidate, true, request, redactor, cancel).await?,
    };
    Ok(conclusion)
}

async fn run_once(
    copy: &TrialCopy,
    candidate: &Candidate,
    network: bool,
    request: &InitRequest,
    redactor: &Redactor,
    cancel: &CancellationToken,
) -> Result<Conclusion, AppError> {
    let mut extractor = Extractor::new(ExtractLimits::default());
    let mut tests = TestReader::new();
    let mut output = |bytes: &[u8]| {
        extractor.push(bytes);
        tests.push(bytes);
    };
    let command = ["sh", "-c", &candidate.command].map(Into::into).to_vec();
    let sandboxed = SandboxRequest {
        directory: copy.root().join(&candidate.folder),
        config: None,
        level: None,
        network,
        env_names: Vec::new(),
        cache: Vec::new(),
        memory: None,
        timeout: Some(request.timeout),
        command,
        env: request.env.clone(),
    };
    let (_, outcome) = run_in_sandbox(sandboxed, &mut output, cancel.clone()).await?;
    let changed = copy.put_back();
    let extraction = extractor.finish(redactor);
    let tests = tests.finish();
    let ran_no_test = tests.knowledge() != Knowledge::Nothing && tests.counts().all() == 0;
    let said = |what: String| {
        let headline = copy.without_path(extraction.headline.trim());
        let reason = match headline.as_str() {
            "" => what,
            headline => format!("{what}: {headline}"),
        };
        Conclusion::Failed { reason: reason.chars().take(REASON).collect() }
    };
    Ok(match outcome.exit {
        Exit::Code(0) if changed.is_empty() => Conclusion::Passed { network, ran_no_test },
        Exit::Code(0) => {
            said(format!("it changes files of the repository ({})", changed.join(", ")))
        }
        Exit::Code(code) => said(format!("exit {code}")),
        Exit::Signal(signal) => said(format!("signal {signal}")),
        Exit::TimedOut(after) => said(format!("not finished after {} s", after.as_secs())),
        Exit::NotStarted(reason) => said(reason),
    })
}

/// What is said of a port that was not taken because another program listens there.
fn other_port(wanted: u16, port: u16) -> Option<String> {
    let owner = greenloop_target::port_owner(wanted);
    let by = owner.map_or_else(|| "another program".to_owned(), |owner| format!("process {owner}"));
    let said = format!("port {wanted} is in use by {by}: the configuration has {port}");
    (port != wanted).then_some(said)
}

/// That a configuration among the files is valid; its first environment.
fn check(files: &[ProposedFile]) -> Result<String, AppError> {
    let written = files.iter().find(|file| file.path == greenloop_config::FILE_NAME);
    let Some(file) = written else { return Ok(String::new()) };
    let config = greenloop_config::parse(&file.text, &file.path)?;
    Ok(config.environments().first().map(ToString::to_string).unwrap_or_default())
}

/// Writes the files of a plan. One that has changed since stays as it is.
///
/// # Errors
/// When a file cannot be written; those before it are.
pub fn write_init(plan: &InitPlan) -> Result<Vec<String>, AppError> {
    if plan.creates_repository {
        greenloop_workspace::create_repository(&plan.root)?;
    }
    let mut written = Vec::new();
    for file in &plan.files {
        let path = plan.root.join(&file.path);
        let failed = |source| AppError::Folder { path: path.clone(), source };
        let now = std::fs::read_to_string(&path).ok();
        if now != file.before || (file.before.is_none() && path.symlink_metadata().is_ok()) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(&path, &file.text).map_err(failed)?;
        written.push(file.path.clone());
    }
    Ok(written)
}

/// What a file was when the copy was made.
type Stamps = BTreeMap<String, (u64, std::time::SystemTime)>;
