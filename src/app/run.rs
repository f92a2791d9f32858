//! One run of one environment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::address::{ConfiguredUrl, located};
use super::agents::Agents;
use super::delivery::Delivering;
use super::hub_approvals::{ApprovalContext, HubApprovals};
use super::hub_flakes::HubFlakes;
use super::hub_reporter::HubReporter;
use super::proposal::{Proposal, propose};
use super::run_notifier::{DecisionReporter, RunNotifier};
use super::sandbox::{self, Need};
use super::session::{Purpose, Session};
use super::{AppError, Environment, configuration, folder, logging, parallelism, tasks, telemetry};
use greenloop_config::Overrides;
use greenloop_config::plan::RunPlan;
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{Deliverable, Delivery, RunDependencies, WorkTreeAtEnd};
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_engine::stages::preflight::{self, Finding};
use greenloop_model::{
    CommitId, ImageRef, Invocation, ReleaseId, RepoPath, RunHeader, RunId, RunKind, RunSummary,
    Stage, counted,
};
use greenloop_policy::Policy;
use greenloop_ports::RolloutRequest;
use greenloop_report::Boxed;
use greenloop_workspace::Workspace;

/// What is to be run.
pub struct RunRequest {
    /// Where the command was given.
    pub directory: PathBuf,
    /// The environment, as the configuration names it.
    pub environment: String,
    /// The configuration; the one at the repository's root when it is `None`.
    pub config: Option<PathBuf>,
    /// Overrides the configuration's.
    pub max_iterations: Option<u32>,
    /// Smoke tests only.
    pub verify_only: bool,
    /// The run to go on with.
    pub resume: Option<RunId>,
    /// Log in detail.
    pub debug: bool,
    /// How a person's decision is obtained.
    pub approval: Approval,
    /// Environment variables.
    pub env: Environment,
    /// How the command was written.
    pub invocation: Invocation,
    /// Take the model from the environment, whatever the configuration says.
    pub live_roles: bool,
}

/// The environment that is meant: the given one, or the configuration's only one.
///
/// # Errors
/// [`AppError::WhichEnvironment`] when it has several.
pub fn environment_of(
    directory: &Path,
    config: Option<&PathBuf>,
    given: Option<String>,
) -> Result<String, AppError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let workspace = Workspace::open(directory)?;
    let config = greenloop_config::load(&configuration::path(&workspace, config, directory))?;
    match config.environments().as_slice() {
        [only] => Ok(only.to_string()),
        several => {
            let names = several.iter().map(ToString::to_string).collect();
            Err(AppError::WhichEnvironment { names })
        }
    }
}

pub(super) fn load_plan(
    workspace: &Workspace,
    request_config: Option<&PathBuf>,
    directory: &Path,
    environment: &str,
    max_iterations: Option<u32>,
    env: &Environment,
) -> Result<RunPlan, AppError> {
    let path = configuration::path(workspace, request_config, directory);
    let config = greenloop_config::load(&path)?;
    let inside = path.strip_prefix(workspace.root()).ok();
    let config_path =
        inside.and_then(|relative| RepoPath::new(relative.as_os_str().as_encoded_bytes()).ok());
    let overrides = Overrides { max_iterations, config_path };
    Ok(config.plan(environment, &overrides, &|name: &str| env(name))?)
}

/// Says what a run would do and what a rollout would change, and changes nothing.
pub async fn describe(request: &RunRequest) -> Result<String, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = load_plan(
        &workspace,
        request.config.as_ref(),
        &request.directory,
        &request.environment,
        request.max_iterations,
        &request.env,
    )?;
    let script = plan.verification.script.as_ref();
    let gates = if request.verify_only { &[][..] } else { &plan.gates };
    let doubts = refuse_certain(preflight::judge(gates, script, workspace.root()))?;
    let head = workspace.head()?;
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _infallible = writeln!(text, "{label:<12} {value}");
    };
    line("environment", plan.environment.name.to_string());
    line("commit", format!("{} {}", head.commit.short(), head.subject));
    if request.verify_only {
        let target = plan.deploy.target.name();
        line(
            "verify",
            format!("the release that the {target} target serves at {}", plan.environment.url),
        );
    } else {
        before_verification(&plan, &mut line);
    }
    line("health", plan.verification.health.endpoint.clone());
    if let Some(script) = &plan.verification.script {
        line("script", script.script.display().to_string());
    }
    for flow in &plan.verification.flows {
        line("flow", format!("{} ({})", flow.name, counted(flow.steps.len(), "step", "steps")));
    }
    if !request.verify_only {
        line("limits", counted(plan.limits.max_iterations as usize, "iteration", "iterations"));
        let approval =
            if plan.environment.require_approval { "a person must approve" } else { "none needed" };
        line("approval", approval.to_owned());
    }
    for Finding { subject, fault, certain: _ } in doubts {
        line("doubtful", format!("{subject}: {fault}"));
    }
    if !request.verify_only {
        // What a rollout would apply, and what of it is not to be shown.
        let delivering = Delivering::new(plan, &request.env);
        let delivering = if delivering.applies_secrets() {
            delivering.with_secrets().await?
        } else {
            delivering
        };
        changes(&workspace, delivering, head.commit, &mut text).await?;
    }
    text.push_str("\nNothing was run (--dry-run).\n");
    Ok(text)
}

/// The stages before the smoke tests, a line each.
fn before_verification(plan: &RunPlan, line: &mut impl FnMut(&str, String)) {
    for gate in &plan.gates {
        let kind = if gate.required { "required" } else { "advisory" };
        let needs = match gate.needs.as_slice() {
            [] => String::new(),
            needs => format!(", after {}", needs.join(", ")),
        };
        line("gate", format!("{} ({kind}{needs}): {}", gate.name, gate.command));
    }
    if let Some(tasks) = &plan.tasks {
        line("tasks", format!("{} on the hub at {}", tasks.file.display(), tasks.hub));
    }
    if let Some(build) = &plan.build {
        line("image", format!("{} from {}", build.repository(), build.dockerfile_path.display()));
    }
    line("rollout", format!("{} target at {}", plan.deploy.target.name(), plan.environment.url));
}

/// What a rollout of `commit` would change.
async fn changes(
    workspace: &Workspace,
    delivering: Delivering,
    commit: CommitId,
    text: &mut String,
) -> Result<(), AppError> {
    let target = delivering.target(workspace)?;
    let build = delivering.plan.build.as_ref();
    let rollout = RolloutRequest {
        release: ReleaseId::generate(),
        commit,
        run: RunId::generate(),
        // Nothing is built for a look.
        image: build.and_then(|build| ImageRef::unbuilt(&build.repository())),
        work_tree: workspace.root().to_owned(),
        wait: delivering.plan.deploy.wait_timeout,
    };
    let changes = target.preview(&rollout).await?;
    if !changes.is_empty() {
        let _infallible = write!(text, "\n{}", delivering.redactor.redact(&changes));
    }
    if rollout.image.is_some() {
        text.push_str(
            "\nNo image was built: the diff uses the serving image, or a placeholder digest (all \
             zeros).\n",
        );
    }
    Ok(())
}

/// Runs an environment to its end.
pub async fn run(
    request: RunRequest,
    mut reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<(RunSummary, Option<Proposal>), AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let mut plan = load_plan(
        &workspace,
        request.config.as_ref(),
        &request.directory,
        &request.environment,
        request.max_iterations,
        &request.env,
    )?;
    let gates = if request.verify_only { &[] } else { plan.gates.as_slice() };
    let script = plan.verification.script.as_ref();
    refuse_certain(preflight::judge(gates, script, workspace.root()))?;
    sandbox::look_ahead(&plan.sandbox);
    folder::ensure_inside(&workspace, &logging::path(&plan.logging, workspace.root()))?;
    if let Some(metrics) = &plan.metrics {
        folder::ensure_inside(&workspace, &workspace.root().join(metrics))?;
    }
    logging::start(&plan.logging, workspace.root(), request.debug);
    if request.live_roles {
        let live = greenloop_config::heal_plan(&|name: &str| (request.env)(name))?;
        (plan.author, plan.reviewer) = (live.author, live.reviewer);
    }
    let delivering = Delivering::new(plan, &request.env).with_secrets().await?;
    let target = match delivering.target(&workspace) {
        Ok(target) => Some(target),
        // Smoke tests need only an address.
        Err(AppError::Engine(_)) if request.verify_only => None,
        Err(error) => return Err(error),
    };
    if let Some(target) = target.as_ref().filter(|_| !request.verify_only) {
        let address = (&request.environment[..], &delivering.plan.environment.url[..]);
        let config = request.config.as_ref();
        let at = || ConfiguredUrl::of(&workspace, config, &request.directory, address);
        target.check().await.map_err(|error| located(error, at))?;
    }
    let image = delivering.image_source(&workspace).filter(|_| !request.verify_only);
    let env_remove = delivering.env_remove();
    let Delivering { plan, env, redactor, azure, .. } = delivering;
    let agents = Agents::connect(
        &plan.author,
        &plan.reviewer,
        workspace.root(),
        &env,
        azure.as_ref(),
        &redactor,
    );
    let tasks_plan = plan.tasks.clone().filter(|_| !request.verify_only);
    let tasks = tasks_plan.as_ref();
    let tasks = tasks.map(|tasks| tasks::of_run(tasks, &env, &redactor)).transpose()?;
    let policy = Policy::new(&plan.policy)?;
    if !request.verify_only {
        sandbox::ensure(&workspace, &plan.sandbox, &request.env)?;
    }
    let verb = if request.verify_only { "verify" } else { "deploy to" };
    let title = format!("{verb} {}", plan.environment.name);
    let purpose = Purpose {
        title: title.clone(),
        environment: Some(&plan.environment.name),
        configuration: configuration::apart(&plan),
        writes: !request.verify_only,
        deploys: !request.verify_only,
        resume: request.resume,
        copies: None,
        always_copy: false,
        run: None,
    };
    let session =
        Session::open(&workspace, purpose, target.as_deref(), &mut reporters, &redactor, &cancel)
            .await?;
    folder::keep_out(&workspace, &plan.logging, plan.metrics.as_deref())?;
    if !request.verify_only {
        configuration::remember(&workspace, &plan)?;
    }
    let stages = if request.verify_only {
        vec![Stage::Smoke]
    } else {
        let gates = (!plan.gates.is_empty()).then_some(Stage::Gates);
        let image = image.is_some().then_some(Stage::Image);
        let tasks = tasks.is_some().then_some(Stage::Tasks);
        gates.into_iter().chain(tasks).chain(image).chain([Stage::Rollout, Stage::Smoke]).collect()
    };
    let need = if request.verify_only { Need::WhateverThereIs } else { Need::AsConfigured };
    let own: Vec<PathBuf> =
        plan.metrics.iter().map(|metrics| workspace.root().join(metrics)).collect();
    let sandbox =
        sandbox::of_run(&workspace, session.run, &plan.sandbox, need, &own, &request.env)?;
    let header = RunHeader {
        run: session.run,
        task: if request.verify_only { RunKind::Verify } else { RunKind::Deploy },
        title,
        environment: Some(plan.environment.name.clone()),
        commit: session.base.clone(),
        commit_subject: workspace.subject(&session.base)?,
        target: Some(plan.deploy.target),
        author: agents.author_label(),
        reviewer: agents.reviewer_label(),
        limits: plan.limits.clone(),
        repository: workspace.root().to_owned(),
        invocation: request.invocation,
        folder: session.folder.clone(),
    };
    let notifier = RunNotifier::of(&plan.notifications, &request.env, &redactor, &header);
    let notifier = notifier.map(Arc::new);
    let asks = !request.verify_only && !matches!(request.approval, Approval::Beforehand { .. });
    let hub = match asks {
        true => {
            let context = ApprovalContext {
                run: session.run,
                subject: plan.environment.name.to_string(),
                timeout: plan.approval_timeout,
                notifier: notifier.clone(),
            };
            HubApprovals::of_run(tasks_plan.as_ref(), &request.env, context).await
        }
        false => None,
    };
    let approval = request.approval.with_hub(hub);
    let spec = RunSpec {
        stages,
        limits: plan.limits.clone(),
        mode: if request.verify_only { Mode::Verify } else { Mode::Heal },
        approve_rollout: plan.environment.require_approval,
        attended: approval.is_attended(),
        rules: Rules::CURRENT,
        tree: workspace.tree_id(&session.base)?,
    };
    let (run, folder, proposing) = (session.run, session.folder.clone(), redactor.clone());
    if let Some(path) = plan.metrics.as_ref().filter(|_| !request.verify_only) {
        reporters.push(greenloop_report::metrics(workspace.root().join(path)));
    }
    if let Some(notifier) = &notifier {
        reporters.push(Box::new(DecisionReporter::new(notifier)));
    }
    if let Some(plan) = &plan.telemetry {
        reporters.push(telemetry::reporter(plan, &request.env));
    }
    let flakes =
        HubFlakes::learn(tasks_plan.as_ref(), plan.pull_request.as_ref(), &request.env, &workspace)
            .await;
    let dependencies = RunDependencies {
        header,
        spec,
        gates: plan.gates,
        assignment: None,
        tasks,
        env_remove,
        sandbox: Some(sandbox),
        delivery: Some(Delivery {
            target,
            image,
            wait: plan.deploy.wait_timeout,
            verification: plan.verification,
            url: plan.environment.url,
            what: Deliverable::New,
        }),
        author: agents.author,
        reviewer: agents.reviewer,
        policy,
        policy_plan: plan.policy,
        approval,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/passed.json")),
        workspace,
        redactor,
        at_end: WorkTreeAtEnd::Restore,
        parallelism: parallelism(),
    };
    let news = HubReporter::begin(tasks_plan.as_ref(), &request.env, &dependencies.header);
    let outcome = session.drive(dependencies, reporters, cancel.clone()).await;
    if let Some(news) = news {
        news.end(&outcome).await;
    }
    if let Some(flakes) = flakes {
        flakes.report().await;
    }
    if let Some(notifier) = notifier {
        notifier.end(&outcome).await;
    }
    let summary = outcome?;
    let workspace = Workspace::open(&request.directory)?;
    let proposal = propose(
        plan.pull_request.as_ref(),
        &workspace,
        (run, &folder),
        &summary,
        &request.env,
        &proposing,
        &cancel,
    )
    .await;
    Ok((summary, proposal))
}

/// Refuses what could not pass; gives back what is wrong, but may be repaired by then.
pub(super) fn refuse_certain(findings: Vec<Finding>) -> Result<Vec<Finding>, AppError> {
    let (certain, others): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.certain);
    if certain.is_empty() { Ok(others) } else { Err(AppError::Preflight(certain)) }
}
