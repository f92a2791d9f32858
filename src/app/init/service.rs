//! Starting the service once, to see whether and where it answers.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::trial_copy::TrialCopy;
use super::{AppError, InitRequest, SandboxRequest, run_in_sandbox};
use greenloop_config::program::look_up;
use greenloop_evidence::{ExtractLimits, Extractor, Redactor};
use greenloop_init::{Start, Survey};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries to reach it.
const BETWEEN: Duration = Duration::from_millis(100);
/// For one request.
const ANSWER: Duration = Duration::from_secs(5);
/// Ways to start it that are tried.
const MOST_STARTS: usize = 3;
const FOLDER: &str = ".greenloop-release";

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct ServiceTrial {
    /// The first of the paths that it answered well.
    pub(super) health: Option<String>,
    /// The first of the other paths that it answered well; `None` when it answered nothing at all.
    pub(super) page: Option<Option<String>>,
    /// Why it did not answer.
    pub(super) failure: Option<String>,
}

/// Tries ways to start the service until one answers: that one, or the likeliest.
pub(super) async fn try_starts(
    copy: &TrialCopy,
    survey: &Survey,
    request: &InitRequest,
    cancel: &CancellationToken,
) -> Result<(Option<Start>, ServiceTrial), AppError> {
    let path = (request.env)("PATH").unwrap_or_default();
    let there = |start: &&Start| {
        let program = start.program.as_deref();
        program.is_none_or(|it| look_up(it, Path::new("/"), path.as_ref()).is_ok())
    };
    let starts: Vec<&Start> = survey.starts.iter().filter(there).take(MOST_STARTS).collect();
    let mut first_failure = None;
    for start in &starts {
        let trial = try_start(copy, start, survey, request, cancel).await?;
        if trial.health.is_some() {
            return Ok((Some((*start).clone()), trial));
        }
        first_failure = first_failure.or(Some(trial));
    }
    Ok((starts.first().map(|start| (*start).clone()), first_failure.unwrap_or_default()))
}

async fn try_start(
    copy: &TrialCopy,
    start: &Start,
    survey: &Survey,
    request: &InitRequest,
    cancel: &CancellationToken,
) -> Result<ServiceTrial, AppError> {
    let release = copy.root().join(FOLDER);
    let failed = |source| AppError::Folder { path: release.clone(), source };
    let _not_there = std::fs::remove_dir_all(&release);
    std::fs::create_dir_all(&release).map_err(failed)?;
    for artifact in &start.artifacts {
        let from = copy.root().join(artifact);
        let Some(name) = from.file_name().filter(|_| from.exists()) else {
            let failure = Some(format!("{artifact} was not built"));
            return Ok(ServiceTrial { failure, ..ServiceTrial::default() });
        };
        std::os::unix::fs::symlink(&from, release.join(name)).map_err(failed)?;
    }
    // Any: another program that looks for one at the same time gets another.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
    let Ok(port) = free.map(|address| address.port()) else {
        let failure = Some("no port is free".to_owned());
        return Ok(ServiceTrial { failure, ..ServiceTrial::default() });
    };
    let words = start.command.iter().map(|word| word.replace("{{ port }}", &port.to_string()));
    let script = format!("export PORT={port}; exec \"$@\"");
    let command = ["sh", "-c", &script, "sh"].map(OsString::from).into_iter();
    let mut extractor = Extractor::new(ExtractLimits::default());
    let mut output = |bytes: &[u8]| extractor.push(bytes);
    let stop = cancel.child_token();
    let sandboxed = SandboxRequest {
        directory: release.clone(),
        config: None,
        level: None,
        network: true,
        env_names: Vec::new(),
        cache: Vec::new(),
        memory: None,
        timeout: None,
        command: command.chain(words.map(OsString::from)).collect(),
        env: request.env.clone(),
    };
    let (answered, ran) = {
        let running = run_in_sandbox(sandboxed, &mut output, stop.clone());
        let asking = ask(port, survey);
        tokio::pin!(running, asking);
        tokio::select! {
            answered = &mut asking => {
                stop.cancel();
                (answered, running.await)
            }
            ran = &mut running => (None, ran),
        }
    };
    ran?;
    Ok(answered.unwrap_or_else(|| {
        let headline = extractor.finish(&Redactor::from_env()).headline;
        let failure = match copy.without_path(headline.trim()).as_str() {
            "" => "it answered nothing at $PORT".to_owned(),
            headline => format!("it answered nothing at $PORT; it said: {headline}"),
        };
        ServiceTrial { failure: Some(failure), ..ServiceTrial::default() }
    }))
}

/// Asks for what the survey names, once it answers at all; `None` when it does not.
async fn ask(port: u16, survey: &Survey) -> Option<ServiceTrial> {
    let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build().ok()?;
    let status = async |path: &str| {
        let asked = client.get(format!("http://127.0.0.1:{port}{path}")).send().await;
        asked.ok().map(|answer| answer.status().as_u16())
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while status("/").await.is_none() {
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    let good = |status: Option<u16>| status.is_some_and(|status| status < 400);
    let first_good = async |paths: Vec<String>| {
        for path in paths {
            if good(status(&path).await) {
                return Some(path);
            }
        }
        None
    };
    let Some(health) = first_good(survey.health_paths()).await else {
        let failure = Some("it answered, but no path of a health check well".to_owned());
        return Some(ServiceTrial { page: Some(None), failure, ..ServiceTrial::default() });
    };
    let page = first_good(survey.pages(&health)).await;
    Some(ServiceTrial { health: Some(health), page: Some(page), failure: None })
}
