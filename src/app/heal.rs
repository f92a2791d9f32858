//! Healing one command: by the repository's configuration where there is one, and without.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::agents::Agents;
use super::bundle::{self, Destination, Origin, WrittenBundle};
use super::delivery::secrets;
use super::hub_approvals::{ApprovalContext, HubApprovals};
use super::hub_flakes::HubFlakes;
use super::run::refuse_certain;
use super::sandbox::{self, Need, network};
use super::session::{self, Purpose, Session};
use super::{AppError, Environment, configuration, folder, logging, parallelism};
use greenloop_azure::Identity;
use greenloop_config::plan::{AccessPlan, GatePlan, SandboxLevel};
use greenloop_config::{HealPlan, with_secrets};
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{RunDependencies, WorkTreeAtEnd};
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_engine::stages::preflight;
use greenloop_evidence::Redactor;
use greenloop_model::{
    CommitId, Invocation, Limits, RepoPath, RunHeader, RunId, RunKind, RunSummary, Stage,
};
use greenloop_policy::Policy;
use greenloop_report::Boxed;
use greenloop_workspace::Workspace;

/// What is to be healed.
#[derive(Clone)]
pub struct HealRequest {
    /// Where the command was given, and runs.
    pub directory: PathBuf,
    /// The command, for `sh -c`.
    pub command: String,
    /// The configuration; the one at the repository's root, where it is one, for `None`,
    /// and none at all for an empty path.
    pub config: Option<PathBuf>,
    /// Runs of the command at the most; what the configuration says, or 5, for `None`.
    pub max_iterations: Option<u32>,
    /// Tokens at the most, where that is less than the configuration allows.
    pub max_tokens: Option<u64>,
    /// US dollars at the most, where that is less than the configuration allows.
    pub max_cost_usd: Option<f64>,
    /// Stops the command.
    pub timeout: Option<Duration>,
    /// Whether the command may use the network; what the configuration says when it is false.
    pub network: bool,
    /// The weakest sandbox that will do; what the configuration says for `None`.
    pub sandbox: Option<SandboxLevel>,
    /// Folders that the command may write to.
    pub cache: Vec<PathBuf>,
    /// Variables that the command inherits beside those that builds are known to need.
    pub env_names: Vec<String>,
    /// Leave the fix on the run's branch only.
    pub branch: bool,
    /// Put the fix into this file, signed, for another job to accept; it stays on the run's branch
    /// here.
    pub bundle: Option<PathBuf>,
    /// Where copies of changed work trees are made; beside git's data for `None`.
    pub copies: Option<PathBuf>,
    /// Log in detail.
    pub debug: bool,
    /// How a person's decision is obtained.
    pub approval: Approval,
    /// Environment variables.
    pub env: Environment,
    /// How the command was written.
    pub invocation: Invocation,
}

/// What came of it.
pub(super) struct Healed {
    pub(super) summary: RunSummary,
    pub(super) run: RunId,
    /// What it started from: the work tree as it was.
    pub(super) base: CommitId,
    written: Option<WrittenBundle>,
}

/// Heals a command.
pub async fn heal(
    request: HealRequest,
    reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<(RunSummary, Option<WrittenBundle>), AppError> {
    let healed = heal_in(request, false, reporters, cancel).await?;
    Ok((healed.summary, healed.written))
}

/// The same in a copy of the work tree, whatever is in it: somebody is at work there.
pub(super) async fn heal_copy(
    request: HealRequest,
    reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<Healed, AppError> {
    heal_in(request, true, reporters, cancel).await
}

async fn heal_in(
    request: HealRequest,
    always_copy: bool,
    mut reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<Healed, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let destination = request.bundle.clone().map(Destination::new).transpose()?;
    let mut gate = GatePlan {
        timeout: request.timeout,
        working_directory: below(workspace.root(), &request.directory),
        ..GatePlan::new("command", request.command.clone())
    };
    let mut findings = preflight::judge(std::slice::from_ref(&gate), None, workspace.root());
    for finding in &mut findings {
        finding.subject = "the command".to_owned();
    }
    refuse_certain(findings)?;
    let (mut plan, unused) =
        plan_of(&workspace, request.config.as_ref(), &request.directory, &request.env)?;
    plan.sandbox.level = request.sandbox.unwrap_or(plan.sandbox.level);
    gate.access = AccessPlan {
        network: network(request.network, &plan.sandbox),
        env: request.env_names.clone(),
        cache: request.cache.clone(),
        ..AccessPlan::default()
    };
    sandbox::ensure(&workspace, &plan.sandbox, &request.env)?;
    let rules = Policy::new(&plan.policy)?;
    let log = logging::default_plan();
    folder::ensure_inside(&workspace, &logging::path(&log, workspace.root()))?;
    logging::start(&log, workspace.root(), request.debug);
    if let Some(unused) = &unused {
        tracing::warn!(unused, "using the default settings");
    }
    let redactor = Redactor::from_env().guard_exits();
    let azure = Identity::new(&plan.azure, &|name| (request.env)(name));
    let mut env = Arc::clone(&request.env);
    let names = plan.secret_references();
    if !names.is_empty() {
        let values = secrets(&names, &azure, &plan.azure, &env, &redactor).await?;
        env = with_secrets(env, values);
    }
    let HealPlan {
        author,
        reviewer,
        limits,
        approval_timeout,
        policy,
        sandbox: sandbox_plan,
        pull_request,
        azure: _,
    } = plan;
    let agents =
        Agents::connect(&author, &reviewer, workspace.root(), &env, azure.as_ref(), &redactor);
    // The command may hold a password, and the title is shown everywhere.
    let title = redactor.redact(&format!("heal `{}`", request.command)).into_owned();
    let copies = copies_folder(&workspace, request.copies);
    let purpose = Purpose {
        title: title.clone(),
        environment: None,
        configuration: None,
        writes: true,
        deploys: false,
        resume: None,
        run: None,
        // Another job does not have what is not committed.
        copies: destination.is_none().then_some(copies.as_path()),
        always_copy,
    };
    let session =
        Session::open(&workspace, purpose, None, &mut reporters, &redactor, &cancel).await?;
    let root = workspace.root().to_owned();
    let on_branch = request.branch || destination.is_some();
    let (workspace, at_end) = match (&session.copy, on_branch) {
        (Some(copy), false) => {
            (copy.workspace.clone(), WorkTreeAtEnd::BringBack(copy.original.clone()))
        }
        (Some(copy), true) => (copy.workspace.clone(), WorkTreeAtEnd::Discard),
        (None, false) => (workspace, WorkTreeAtEnd::Keep),
        (None, true) => (workspace, WorkTreeAtEnd::Restore),
    };
    let max_iterations = request.max_iterations.unwrap_or(limits.max_iterations);
    let limits = Limits {
        max_iterations,
        max_tokens: [limits.max_tokens, request.max_tokens].into_iter().flatten().min(),
        max_cost_usd: [limits.max_cost_usd, request.max_cost_usd]
            .into_iter()
            .flatten()
            .reduce(f64::min),
        ..limits
    };
    let hub = match &request.approval {
        Approval::Beforehand { .. } => None,
        Approval::Nobody | Approval::Ask(_) | Approval::Hub { .. } => {
            let context = ApprovalContext {
                run: session.run,
                subject: title.clone(),
                timeout: approval_timeout,
                notifier: None,
            };
            HubApprovals::of_run(None, &request.env, context).await
        }
    };
    let approval = request.approval.with_hub(hub);
    let spec = RunSpec {
        stages: vec![Stage::Gates],
        limits: limits.clone(),
        mode: Mode::Heal,
        approve_rollout: false,
        attended: approval.is_attended(),
        rules: Rules::CURRENT,
        tree: workspace.tree_id(&session.base)?,
    };
    let header = RunHeader {
        run: session.run,
        task: RunKind::Heal,
        title,
        environment: None,
        commit: session.base.clone(),
        commit_subject: workspace.subject(&session.base)?,
        target: None,
        author: agents.author_label(),
        reviewer: agents.reviewer_label(),
        limits,
        repository: root,
        // A secret in the command is left out even of what a person could type again.
        invocation: Invocation {
            tail: redactor.redact(&request.invocation.tail).into_owned(),
            ..request.invocation
        },
        folder: session.folder.clone(),
    };
    let need = Need::AsConfigured;
    let sandbox = sandbox::of_run(&workspace, session.run, &sandbox_plan, need, &[], &request.env)?;
    let origin = Origin {
        run: session.run,
        folder: session.folder.clone(),
        base: session.base.clone(),
        command: gate.command.clone(),
        directory: gate.working_directory.clone(),
        policy: rules.digest(),
        author: header.author.clone(),
        redactor: redactor.clone(),
    };
    let flakes = HubFlakes::learn(None, pull_request.as_ref(), &request.env, &workspace).await;
    let repository = workspace.clone();
    let dependencies = RunDependencies {
        header,
        spec,
        gates: vec![gate],
        assignment: None,
        tasks: None,
        env_remove: agents.key_variables,
        sandbox: Some(sandbox),
        delivery: None,
        author: agents.author,
        reviewer: agents.reviewer,
        policy: rules,
        policy_plan: policy,
        approval,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/healed.json")),
        workspace,
        redactor,
        at_end,
        parallelism: parallelism(),
    };
    let (run, base) = (session.run, session.base.clone());
    let outcome = session.drive(dependencies, reporters, cancel).await;
    if let Some(flakes) = flakes {
        flakes.report().await;
    }
    let summary = outcome?;
    let written = match &destination {
        Some(to) => bundle::write(to, &origin, &repository, &summary)?,
        None => None,
    };
    Ok(Healed { summary, run, base, written })
}

/// Takes the fix of a run (the last one for `None`) back out of the work tree. Returns its run
/// and the files that were written: none when the fix is not there, and it stays known.
pub fn undo(directory: &Path, run: Option<&str>) -> Result<(RunId, Vec<RepoPath>), AppError> {
    let workspace = Workspace::open(directory)?;
    workspace.ensure_settled()?;
    let mut fixes = workspace.fixes()?;
    if let Some(end) = run {
        fixes.retain(|fix| fix.run.to_string().ends_with(end));
        if fixes.len() > 1 {
            fixes.clear();
        }
    }
    let none = || AppError::NoFix { run: run.map(ToOwned::to_owned) };
    let fix = fixes.pop().ok_or_else(none)?;
    let _claim = session::hold_work_tree(&workspace)?;
    let files = workspace.take_back(&fix)?;
    Ok((fix.run, files))
}

/// Whether a folder is there or can be made, without making it.
fn can_be_made(folder: &Path) -> bool {
    let there = folder.ancestors().find(|above| above.exists());
    there.is_some_and(|above| {
        above.is_dir() && rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok()
    })
}

/// A folder that can be written to: the given one, or one beside git's data. A copy inside the
/// work tree would be copied itself.
fn copies_folder(workspace: &Workspace, given: Option<PathBuf>) -> PathBuf {
    given
        .and_then(|folder| std::path::absolute(folder).ok())
        .filter(|folder| can_be_made(folder) && !lies_in_files_of(workspace, folder))
        .unwrap_or_else(|| workspace.git_dir().join("greenloop").join("copies"))
}

/// Whether a folder, which need not be there yet, lies in the work tree and not in git's data.
fn lies_in_files_of(workspace: &Workspace, folder: &Path) -> bool {
    let there = folder.ancestors().find_map(|above| above.canonicalize().ok());
    let git_dir = workspace.git_dir().canonicalize();
    there.is_some_and(|there| {
        there.starts_with(workspace.root())
            && !git_dir.is_ok_and(|git_dir| there.starts_with(git_dir))
    })
}

/// The plan by the configuration at hand, and why the file at the root is not it. A repository that does
/// not deploy with Greenloop may have a file of that name for something else.
pub(super) fn plan_of(
    workspace: &Workspace,
    config: Option<&PathBuf>,
    directory: &Path,
    env: &Environment,
) -> Result<(HealPlan, Option<String>), AppError> {
    let env = |name: &str| env(name);
    if config.is_some_and(|path| path.as_os_str().is_empty()) {
        return Ok((greenloop_config::heal_plan(&env)?, None));
    }
    let path = configuration::path(workspace, config, directory);
    if config.is_none() && !path.is_file() {
        return Ok((greenloop_config::heal_plan(&env)?, None));
    }
    let inside = path.strip_prefix(workspace.root()).ok();
    let protected =
        inside.and_then(|relative| RepoPath::new(relative.as_os_str().as_encoded_bytes()).ok());
    let by_file = |file: greenloop_config::Config| file.heal_plan(protected, &env);
    match greenloop_config::load(&path).and_then(by_file) {
        Ok(plan) => Ok((plan, None)),
        Err(error) if config.is_none() && !is_greenloops(&path) => {
            Ok((greenloop_config::heal_plan(&env)?, Some(error.to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the file at the default name is one of Greenloop's.
fn is_greenloops(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    greenloop_config::is_meant_for_greenloop(&String::from_utf8_lossy(&text))
}

/// Where `directory` lies below `root`; `None` for the root itself.
fn below(root: &Path, directory: &Path) -> Option<RepoPath> {
    let real = directory.canonicalize().ok()?;
    let relative = real.strip_prefix(root.canonicalize().ok()?).ok()?;
    RepoPath::new(relative.as_os_str().as_encoded_bytes()).ok()
}
