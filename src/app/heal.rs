//! Healing one command, without any configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::agents::Agents;
use super::run::parallelism;
use super::session::{Purpose, Session};
use super::{AppError, Environment, logging};
use crate::adapters::azure::Identity;
use crate::apply::Workspace;
use crate::config::plan::{AzurePlan, GatePlan};
use crate::config::{self, HealPlan};
use crate::engine::approval::Approval;
use crate::engine::driver::{Assembly, WorkTreeAtEnd};
use crate::engine::machine::{Course, Mode};
use crate::engine::passed::PassedBefore;
use crate::evidence::Redactor;
use crate::model::{Invocation, Limits, RepoPath, RunHeader, RunSummary, Stage, Task};
use crate::policy::Policy;
use crate::report::Boxed;

/// What is to be healed.
pub struct HealRequest {
    /// Where the command was given, and runs.
    pub directory: PathBuf,
    /// The command, for `sh -c`.
    pub command: String,
    /// Runs of the command at the most.
    pub max_iterations: u32,
    /// Stops the command.
    pub timeout: Option<Duration>,
    /// What becomes of the work tree.
    pub at_end: WorkTreeAtEnd,
    /// Log in detail.
    pub debug: bool,
    /// How a person's decision is had.
    pub approval: Approval,
    /// Environment variables.
    pub env: Environment,
    /// How the command was written.
    pub invocation: Invocation,
}

/// Heals a command.
pub async fn heal(
    request: HealRequest,
    mut reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<RunSummary, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let HealPlan { author, reviewer, limits, policy } =
        config::heal_plan(&|name: &str| (request.env)(name))?;
    logging::start(&logging::default_plan(), workspace.root(), request.debug);
    let redactor = Redactor::from_env();
    let azure = Identity::new(&AzurePlan::default(), &|name| (request.env)(name));
    let agents = Agents::connect(
        &author,
        &reviewer,
        workspace.root(),
        &request.env,
        azure.as_ref(),
        &redactor,
    );
    // The command may hold a password, and the title is told everywhere.
    let title = redactor.redact(&format!("heal `{}`", request.command)).into_owned();
    let purpose = Purpose {
        title: title.clone(),
        environment: None,
        writes: true,
        deploys: false,
        resume: None,
        run: None,
    };
    let session =
        Session::open(&workspace, purpose, None, &mut reporters, &redactor, &cancel).await?;
    let limits = Limits { max_iterations: request.max_iterations, ..limits };
    let course = Course {
        stages: vec![Stage::Gates],
        limits: limits.clone(),
        mode: Mode::Heal,
        approve_rollout: false,
        tree: workspace.tree_id(&session.base)?,
    };
    let header = RunHeader {
        run: session.run,
        task: Task::Heal,
        title,
        environment: None,
        commit: session.base.clone(),
        commit_subject: workspace.subject(&session.base)?,
        target: None,
        author: agents.author_label(),
        reviewer: agents.reviewer_label(),
        limits,
        repository: workspace.root().to_owned(),
        // A secret in the command is left out even of what a person could type again.
        invocation: Invocation {
            tail: redactor.redact(&request.invocation.tail).into_owned(),
            ..request.invocation
        },
        folder: session.folder.clone(),
    };
    let gate = GatePlan {
        name: "command".to_owned(),
        command: request.command,
        required: true,
        timeout: request.timeout,
        env: Default::default(),
        working_directory: below(workspace.root(), &request.directory),
        needs: Vec::new(),
    };
    let assembly = Assembly {
        header,
        course,
        gates: vec![gate],
        assignment: None,
        tasks: None,
        hidden_env: agents.key_variables,
        delivery: None,
        author: agents.author,
        reviewer: agents.reviewer,
        policy: Policy::new(&policy)?,
        policy_plan: policy,
        approval: request.approval,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/healed.json")),
        workspace,
        redactor,
        at_end: request.at_end,
        parallelism: parallelism(),
    };
    session.drive(assembly, reporters, cancel).await
}

/// Where `directory` lies below `root`; `None` for the root itself.
fn below(root: &Path, directory: &Path) -> Option<RepoPath> {
    let real = directory.canonicalize().ok()?;
    let relative = real.strip_prefix(root.canonicalize().ok()?).ok()?;
    RepoPath::new(relative.as_os_str().as_encoded_bytes()).ok()
}
