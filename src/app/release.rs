//! What is deployed, and going back to an earlier release.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::delivery::Delivering;
use super::hub_flakes::{self, HubFlakes};
use super::hub_reporter::HubReporter;
use super::run::load_plan;
use super::sandbox::{self, Need};
use super::session::{Purpose, Session};
use super::{AppError, Environment, configuration, folder, parallelism, telemetry};
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{Deliverable, Delivery, RunDependencies, WorkTreeAtEnd};
use greenloop_engine::flaky::FlakyTests;
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_model::{
    CommitId, Condition, FailureClass, Invocation, Release, ReleaseId, RunHeader, RunKind,
    RunSummary, Stage, TargetKind, Usage, error_chain,
};
use greenloop_policy::Policy;
use greenloop_ports::{
    Earlier, ModelError, ModelErrorKind, TargetError, TargetErrorKind, TargetStatus,
};
use greenloop_report::Boxed;
use greenloop_workspace::Workspace;

/// Which environment, and for a rollback which release.
pub struct ReleaseRequest {
    /// Where the command was given.
    pub directory: PathBuf,
    pub environment: String,
    pub config: Option<PathBuf>,
    /// The release to go back to; the verified one before the one that serves when `None`.
    pub release: Option<ReleaseId>,
    /// Go back to the release this many places down the history that `status` shows.
    pub revision: Option<u32>,
    /// Environment variables.
    pub env: Environment,
    /// How the command was written.
    pub invocation: Invocation,
}

/// Commits listed of those that came after what serves.
const COMMITS_SHOWN: usize = 10;
/// Flaky tests that the text names.
const FLAKY_SHOWN: usize = 20;

/// Commits that came after what serves: the newest, and how many there are.
type Since = (Vec<(CommitId, String)>, usize);

/// How long the target may take to say what it runs.
const ANSWER: Duration = Duration::from_secs(20);

/// What is deployed, for a person and as JSON.
pub struct StatusReport {
    /// For a person.
    pub text: String,
    /// For a program.
    pub json: serde_json::Value,
    /// Why the target could not say.
    pub unknown: Option<TargetError>,
}

/// Asks the target what is deployed, and what has become of it.
pub async fn status(request: &ReleaseRequest) -> Result<StatusReport, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = plan_of(&workspace, request)?;
    let delivering = Delivering::new(plan, &request.env);
    let unknown_secrets = delivering.learn_secrets().await;
    let target = delivering.target(&workspace)?;
    let asked = tokio::time::timeout(ANSWER, target.status()).await;
    let mut status = match asked.unwrap_or_else(|_elapsed| Err(no_answer(target.kind()))) {
        Ok(status) => status,
        Err(error) => {
            let why = error_chain(&error);
            return Ok(StatusReport {
                text: format!("{}: state unknown: {why}\n", request.environment),
                json: serde_json::json!({
                    "environment": request.environment,
                    "condition": "unknown",
                    "reason": why,
                    "serving": null,
                }),
                unknown: Some(error),
            });
        }
    };
    status.notes.extend(unknown_secrets);
    let head = workspace.head()?.commit;
    let since = status
        .serving
        .as_ref()
        .and_then(|(release, _)| workspace.commits_since(&release.commit, &head, COMMITS_SHOWN));
    let plan = &delivering.plan;
    let at_hub =
        HubFlakes::of(plan.tasks.as_ref(), plan.pull_request.as_ref(), &request.env, &workspace);
    let flaky = match at_hub {
        Some(at_hub) => at_hub.merged().await,
        None => FlakyTests::load(&hub_flakes::path(&workspace)),
    };
    let mut text = status_text(&request.environment, &status, &head, since.as_ref());
    text.push_str(&flaky_text(&flaky));
    let mut json = status_json(&request.environment, &status, since.as_ref());
    json["flaky_tests"] = flaky_json(&flaky);
    Ok(StatusReport { text, json, unknown: None })
}

/// Tests that were seen to pass and to fail on one tree within the last two weeks.
fn flaky_text(flaky: &FlakyTests) -> String {
    let tests = flaky.latest();
    let mut text = String::new();
    if !tests.is_empty() {
        text.push_str("flaky tests, the latest first:\n");
    }
    for (test, seen) in tests.iter().take(FLAKY_SHOWN) {
        let name = greenloop_report::safe_text::safe(test);
        let _infallible = writeln!(text, "  {}  {name}", seen.strftime("%Y-%m-%d"));
    }
    if tests.len() > FLAKY_SHOWN {
        let _infallible = writeln!(text, "  … {} more", tests.len() - FLAKY_SHOWN);
    }
    text
}

fn flaky_json(flaky: &FlakyTests) -> serde_json::Value {
    let tests = flaky.latest().into_iter().map(|(test, seen)| {
        let name = greenloop_report::safe_text::harmless(test);
        serde_json::json!({"test": name, "seen_at": seen.to_string()})
    });
    tests.collect()
}

fn no_answer(kind: TargetKind) -> TargetError {
    TargetError {
        kind: TargetErrorKind::Target,
        message: format!("the {} target did not answer within {} s", kind.name(), ANSWER.as_secs()),
        class: FailureClass::Infrastructure,
        evidence: Box::default(),
        source: None,
    }
}

pub(super) fn plan_of(
    workspace: &Workspace,
    request: &ReleaseRequest,
) -> Result<greenloop_config::plan::RunPlan, AppError> {
    load_plan(
        workspace,
        request.config.as_ref(),
        &request.directory,
        &request.environment,
        None,
        &request.env,
    )
}

fn release_line(release: &Release) -> String {
    let verified = match release.verified_at {
        Some(at) => format!("verified {}", at.strftime("%Y-%m-%d %H:%M:%SZ")),
        None => "never verified".to_owned(),
    };
    format!(
        "{}  {}  commit {}  run {}  {}",
        release.id,
        release.state.name(),
        release.commit.short(),
        release.run.short(),
        verified
    )
}

fn status_text(
    environment: &str,
    status: &TargetStatus,
    head: &CommitId,
    since: Option<&Since>,
) -> String {
    let mut text = String::new();
    match &status.serving {
        None => {
            let _infallible = writeln!(text, "{environment}: nothing is deployed");
        }
        Some((release, endpoint)) => {
            let url = &endpoint.url;
            let _infallible = match &status.condition {
                Condition::Serves => writeln!(text, "{environment}: serving at {url}"),
                Condition::Partly(why) => {
                    writeln!(text, "{environment}: serving at {url}, but {why}")
                }
                Condition::Down(why) => writeln!(text, "{environment}: NOT serving: {why}"),
                Condition::Unknown(why) => {
                    writeln!(text, "{environment}: state unknown: {why}")
                }
            };
            let _infallible = writeln!(text, "  {}", release_line(release));
            if let Some(image) = &release.image {
                let _infallible = writeln!(text, "  image {image}");
            }
            changed_since(&mut text, &release.commit, head, since);
        }
    }
    // The first line has its reason already.
    let told = status.condition.reason();
    for note in status.notes.iter().filter(|note| Some(note.as_str()) != told) {
        let _infallible = writeln!(text, "  {note}");
    }
    let serving = status.serving.as_ref().map(|(release, _)| release.id);
    let earlier: Vec<&Release> = status.releases.iter().filter(|r| Some(r.id) != serving).collect();
    if !earlier.is_empty() {
        let _infallible = writeln!(text, "earlier releases, newest first:");
        for (i, release) in earlier.iter().enumerate() {
            let _infallible = writeln!(text, "  {:>2}  {}", i + 1, release_line(release));
        }
    }
    text
}

fn changed_since(text: &mut String, serving: &CommitId, head: &CommitId, since: Option<&Since>) {
    match since {
        _ if serving == head => text.push_str("  this is the current commit\n"),
        Some((_, 0)) => text.push_str("  it is ahead of the current commit\n"),
        Some((commits, all)) => {
            let _infallible = writeln!(text, "  commits since then: {all}");
            for (commit, subject) in commits {
                let _infallible = writeln!(
                    text,
                    "    {}  {}",
                    commit.short(),
                    greenloop_report::safe_text::safe(subject)
                );
            }
            if *all > commits.len() {
                let _infallible = writeln!(text, "    more: git log {}..HEAD", serving.short());
            }
        }
        None => {
            let _infallible =
                writeln!(text, "  commit {} is not in this repository", serving.short());
        }
    }
}

fn release_json(release: &Release) -> serde_json::Value {
    serde_json::json!({
        "id": release.id.to_string(),
        "state": release.state.name(),
        "image": release.image.as_ref().map(ToString::to_string),
        "commit": release.commit.as_str(),
        "run": release.run.to_string(),
        "created_at": release.created_at.to_string(),
        "verified_at": release.verified_at.map(|at| at.to_string()),
    })
}

fn status_json(
    environment: &str,
    status: &TargetStatus,
    since: Option<&Since>,
) -> serde_json::Value {
    serde_json::json!({
        "environment": environment,
        "condition": status.serving.as_ref().map(|_| status.condition.name()),
        "reason": status.condition.reason(),
        "serving": status.serving.as_ref().map(|(release, endpoint)| {
            serde_json::json!({"url": endpoint.url, "release": release_json(release)})
        }),
        "releases": status.releases.iter().map(release_json).collect::<Vec<_>>(),
        "notes": status.notes,
        "commits_since": since.map(|(commits, all)| serde_json::json!({
            "count": all,
            "newest": commits.iter().map(|(commit, subject)| {
                serde_json::json!({"commit": commit.as_str(), "subject": greenloop_report::safe_text::harmless(subject)})
            }).collect::<Vec<_>>(),
        })),
    })
}

/// Lets an earlier release serve again, smoke-tested like any other.
pub async fn roll_back(
    request: ReleaseRequest,
    mut reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<RunSummary, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = plan_of(&workspace, &request)?;
    let delivering = Delivering::new(plan, &request.env).with_secrets().await?;
    let target = delivering.target(&workspace)?;
    let env_remove = delivering.env_remove();
    let Delivering { plan, redactor, .. } = delivering;
    let earlier = match (request.release, request.revision) {
        (Some(release), _) => Earlier::Release(release),
        (None, None) => Earlier::LastVerified,
        (None, Some(number)) => Earlier::Revision(number),
    };
    let policy = Policy::new(&plan.policy)?;
    if let Some(path) = &plan.metrics {
        folder::ensure_inside(&workspace, &workspace.root().join(path))?;
    }
    let title = format!("roll back {}", plan.environment.name);
    let purpose = Purpose {
        title: title.clone(),
        environment: Some(&plan.environment.name),
        configuration: configuration::apart(&plan),
        writes: false,
        deploys: true,
        resume: None,
        copies: None,
        always_copy: false,
        run: None,
    };
    let session = Session::open(
        &workspace,
        purpose,
        Some(target.as_ref()),
        &mut reporters,
        &redactor,
        &cancel,
    )
    .await?;
    folder::keep_out(&workspace, &plan.logging, plan.metrics.as_deref())?;
    configuration::remember(&workspace, &plan)?;
    let spec = RunSpec {
        stages: vec![Stage::Rollout, Stage::Smoke],
        limits: plan.limits.clone(),
        mode: Mode::RollBack,
        approve_rollout: false,
        attended: false,
        rules: Rules::CURRENT,
        tree: workspace.tree_id(&session.base)?,
    };
    let header = RunHeader {
        run: session.run,
        task: RunKind::RollBack,
        title,
        environment: Some(plan.environment.name.clone()),
        commit: session.base.clone(),
        commit_subject: workspace.subject(&session.base)?,
        target: Some(plan.deploy.target),
        author: "none: a rollback is not repaired".to_owned(),
        reviewer: "nobody".to_owned(),
        limits: plan.limits.clone(),
        repository: workspace.root().to_owned(),
        invocation: request.invocation,
        folder: session.folder.clone(),
    };
    let need = Need::WhateverThereIs;
    let sandbox = sandbox::of_run(&workspace, session.run, &plan.sandbox, need, &[], &request.env)?;
    let nobody = || {
        Err(ModelError {
            model: "none".to_owned(),
            kind: ModelErrorKind::NotConfigured,
            message: "a rollback asks no model".to_owned(),
            usage: Usage::default(),
            source: None,
        })
    };
    if let Some(path) = &plan.metrics {
        reporters.push(greenloop_report::metrics(workspace.root().join(path)));
    }
    if let Some(plan) = &plan.telemetry {
        reporters.push(telemetry::reporter(plan, &request.env));
    }
    let dependencies = RunDependencies {
        header,
        spec,
        gates: Vec::new(),
        assignment: None,
        tasks: None,
        env_remove,
        sandbox: Some(sandbox),
        delivery: Some(Delivery {
            target: Some(target),
            image: None,
            wait: plan.deploy.wait_timeout,
            verification: plan.verification,
            url: plan.environment.url,
            what: Deliverable::Earlier(earlier),
        }),
        author: nobody().map(|never: std::convert::Infallible| match never {}),
        reviewer: nobody().map(|never: std::convert::Infallible| match never {}),
        policy,
        policy_plan: plan.policy,
        approval: Approval::Nobody,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/passed.json")),
        workspace,
        redactor,
        at_end: WorkTreeAtEnd::Keep,
        parallelism: parallelism(),
    };
    let news = HubReporter::begin(plan.tasks.as_ref(), &request.env, &dependencies.header);
    let outcome = session.drive(dependencies, reporters, cancel).await;
    if let Some(news) = news {
        news.end(&outcome).await;
    }
    outcome
}
