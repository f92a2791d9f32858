//! Accepting the bundle of another job: everything is judged again, on this checkout.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::heal::plan_of;
use super::proposal::{Proposal, default_pull_request, propose};
use super::recorded_review::RecordedReview;
use super::sandbox::{self, Need, network};
use super::session::{Purpose, Session};
use super::{AppError, Environment, folder, logging, parallelism};
use greenloop_audit::VerifyingKey;
use greenloop_bundle::{Bundle, Manifest};
use greenloop_config::HealPlan;
use greenloop_config::plan::{AccessPlan, GatePlan, PullRequestPlan, SandboxLevel};
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{Assignment, RunDependencies, WorkTreeAtEnd};
use greenloop_engine::heal::{Author, RecordedPatch, Reviewer};
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_evidence::Redactor;
use greenloop_model::{
    CommitId, FileChange, Invocation, Limits, RunHeader, RunId, RunKind, RunSummary, Stage,
    StopReason,
};
use greenloop_patch::Tree as _;
use greenloop_policy::Policy;
use greenloop_report::Boxed;
use greenloop_report::pull_requests::{Pusher, token_variables};
use greenloop_workspace::Workspace;

/// The bundle as it is kept in the run's folder.
const KEPT: &str = "accepted.bundle";

/// What is to be accepted, and how.
pub struct AcceptRequest {
    /// Where the command was given.
    pub directory: PathBuf,
    /// The bundle.
    pub file: PathBuf,
    /// Has signed it.
    pub key: VerifyingKey,
    /// The command that the bundle must be a repair of; whichever it says for `None`.
    pub command: Option<String>,
    /// As for a heal.
    pub config: Option<PathBuf>,
    /// Whether the command is run again, before and with the patch.
    pub rerun: bool,
    /// Leave the commit on the run's branch only.
    pub branch: bool,
    /// Push the run's branch, and open a pull request where the configuration has one.
    pub push: bool,
    pub timeout: Option<Duration>,
    pub network: bool,
    pub sandbox: Option<SandboxLevel>,
    pub cache: Vec<PathBuf>,
    pub env_names: Vec<String>,
    pub debug: bool,
    pub approval: Approval,
    pub env: Environment,
    pub invocation: Invocation,
}

/// What came of it.
#[derive(Debug)]
pub struct Accepted {
    pub summary: RunSummary,
    /// The commit that HEAD, or the branch alone, has now; `None` when nothing was committed.
    pub commit: Option<CommitId>,
    /// The run's branch.
    pub branch: String,
    /// The run that made the bundle.
    pub origin: RunId,
    /// Whether the rules here are others than those that the patch was made by.
    pub other_policy: bool,
    /// What became of the push.
    pub pushed: Option<Pushed>,
}

/// What became of a push.
#[derive(Debug)]
pub enum Pushed {
    /// The branch is at the remote.
    Branch,
    /// And a pull request was asked for.
    Proposed(Proposal),
}

/// Reads a bundle, and checks that it fits this checkout. Nothing is written.
///
/// # Errors
/// [`AppError::Bundle`] and [`AppError::BundleRefused`].
fn open(
    request: &AcceptRequest,
    workspace: &Workspace,
) -> Result<(Bundle, Vec<FileChange>), AppError> {
    let file = &request.file;
    let bundle = Bundle::read(file, &request.key)
        .map_err(|source| AppError::Bundle { file: file.clone(), source })?;
    let refused = |why: String| AppError::BundleRefused { file: file.clone(), why };
    let manifest = &bundle.manifest;
    if let Some(command) = request.command.as_ref().filter(|it| **it != manifest.command) {
        let theirs = &manifest.command;
        return Err(refused(format!("it is a repair of `{theirs}`, not of `{command}`")));
    }
    if let Some(why) = manifest.unreviewed().or_else(|| manifest.test_complaint()) {
        return Err(refused(why));
    }
    let head = workspace.head()?.commit;
    let base = &manifest.base.commit;
    if !workspace.contains(&head, base).unwrap_or(false) {
        return Err(refused(format!(
            "it was made of commit {}, which is not in the history of HEAD ({}): check out its \
             branch, with its whole history",
            base.short(),
            head.short()
        )));
    }
    if workspace.tree_id(base)? != manifest.base.tree {
        return Err(refused(format!("commit {} has another tree here", base.short())));
    }
    let (tree, changes) = workspace
        .read_patch(base, &bundle.patch)
        .map_err(|error| refused(greenloop_model::error_chain(&error)))?;
    if tree != manifest.result {
        return Err(refused("its patch does not make the tree that was tested".to_owned()));
    }
    if changes.is_empty() {
        return Err(refused("its patch changes nothing".to_owned()));
    }
    if head != *base {
        let here = workspace.tree_at(&head)?;
        for change in &changes {
            let same = here.read(&change.path).is_ok_and(|content| content == change.before);
            if !same {
                return Err(refused(format!(
                    "{} changed between commit {} and HEAD: heal HEAD again",
                    change.path,
                    base.short()
                )));
            }
        }
    }
    Ok((bundle, changes))
}

/// Accepts a bundle, or refuses it.
///
/// # Errors
/// A bundle that is not what it claims to be, and what keeps a run from beginning: nothing was
/// written then. A bundle whose patch is not accepted is no error: its summary says why.
pub async fn accept(
    request: AcceptRequest,
    mut reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<Accepted, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let (bundle, changes) = open(&request, &workspace)?;
    let manifest = bundle.manifest;
    let (mut plan, unused) =
        plan_of(&workspace, request.config.as_ref(), &request.directory, &request.env)?;
    plan.sandbox.level = request.sandbox.unwrap_or(plan.sandbox.level);
    sandbox::ensure(&workspace, &plan.sandbox, &request.env)?;
    let HealPlan { author, reviewer, limits, policy, sandbox: sandbox_plan, pull_request, .. } =
        plan;
    let rules = Policy::new(&policy)?;
    let log = logging::default_plan();
    folder::ensure_inside(&workspace, &logging::path(&log, workspace.root()))?;
    logging::start(&log, workspace.root(), request.debug);
    if let Some(unused) = &unused {
        tracing::warn!(unused, "accepting by the defaults");
    }
    let redactor = Redactor::from_env().guard_exits();
    let title =
        redactor.redact(&format!("accept the repair of `{}`", manifest.command)).into_owned();
    let purpose = Purpose {
        title: title.clone(),
        environment: None,
        configuration: None,
        writes: true,
        deploys: false,
        resume: None,
        run: None,
        // A commit of what somebody changed meanwhile is not what was proven.
        copies: None,
        always_copy: false,
    };
    let session =
        Session::open(&workspace, purpose, None, &mut reporters, &redactor, &cancel).await?;
    let (run, run_folder, base) = (session.run, session.folder.clone(), session.base.clone());
    let kept = run_folder.join(KEPT);
    std::fs::copy(&request.file, &kept)
        .map_err(|source| AppError::Folder { path: kept, source })?;
    let label = format!("{} (bundle of run {})", manifest.author, manifest.run.short());
    let recorded = RecordedPatch { label: label.clone(), changes, reason: reason_of(&manifest) };
    let review = RecordedReview::of(&manifest);
    let reviewer_label = review.label.clone();
    let other_policy = manifest.policy != rules.digest();
    let limits = Limits { max_iterations: 2, ..limits };
    let spec = RunSpec {
        stages: vec![Stage::Gates],
        limits: limits.clone(),
        mode: Mode::Heal,
        approve_rollout: false,
        attended: request.approval.is_attended(),
        rules: Rules::CURRENT,
        tree: workspace.tree_id(&base)?,
    };
    let header = RunHeader {
        run,
        task: RunKind::Heal,
        title,
        environment: None,
        commit: base.clone(),
        commit_subject: workspace.subject(&base)?,
        target: None,
        author: label,
        reviewer: reviewer_label,
        limits,
        repository: workspace.root().to_owned(),
        invocation: request.invocation,
        folder: run_folder.clone(),
    };
    let need = Need::AsConfigured;
    let sandbox = sandbox::of_run(&workspace, run, &sandbox_plan, need, &[], &request.env)?;
    let mut env_remove = super::agents::key_variables([&author, &reviewer]);
    let proposing = pull_request.clone().unwrap_or_else(default_pull_request);
    env_remove.extend(token_variables(&proposing));
    let gate = GatePlan {
        timeout: request.timeout,
        access: AccessPlan {
            network: network(request.network, &sandbox_plan),
            env: request.env_names,
            cache: request.cache,
            ..AccessPlan::default()
        },
        working_directory: manifest.directory.clone(),
        ..GatePlan::new("command", manifest.command.clone())
    };
    // Without a command that fails, the patch is carried out like a task.
    let assignment = (!request.rerun).then(|| Assignment {
        title: manifest.failure.headline.clone(),
        text: manifest.failure.headline.clone(),
        files: Vec::new(),
    });
    let dependencies = RunDependencies {
        header,
        spec,
        gates: if request.rerun { vec![gate] } else { Vec::new() },
        assignment,
        tasks: None,
        env_remove,
        sandbox: Some(sandbox),
        delivery: None,
        author: Ok(Author::of_patch(recorded, redactor.clone())),
        reviewer: Ok(Reviewer::new(Arc::new(review), &reviewer, redactor.clone())),
        policy: rules,
        policy_plan: policy,
        approval: request.approval,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/healed.json")),
        workspace: workspace.clone(),
        redactor: redactor.clone(),
        at_end: WorkTreeAtEnd::Restore,
        parallelism: parallelism(),
    };
    let summary = session.drive(dependencies, reporters, cancel.clone()).await?;
    let mut accepted = Accepted {
        commit: None,
        branch: run.branch(),
        origin: manifest.run,
        other_policy,
        pushed: None,
        summary,
    };
    let tip = accepted.summary.patches.last().map(|patch| patch.commit.clone());
    let Some(tip) = tip.filter(|_| accepted.summary.stop == StopReason::Verified) else {
        // What was tried is in the run's folder; nothing of it stays in the repository.
        if workspace.tip(run)?.is_some() {
            workspace.delete_branch(run)?;
        }
        return Ok(accepted);
    };
    if request.push {
        let at = (run, run_folder.as_path());
        let pushing = Pushing { workspace: &workspace, env: &request.env, redactor: &redactor };
        accepted.pushed =
            Some(pushing.push(pull_request.as_ref(), at, &accepted.summary, &cancel).await?);
    }
    if !request.branch {
        workspace.advance_head(&base, &tip)?;
    }
    accepted.commit = Some(tip);
    Ok(accepted)
}

/// What pushes need.
struct Pushing<'a> {
    workspace: &'a Workspace,
    env: &'a Environment,
    redactor: &'a Redactor,
}

impl Pushing<'_> {
    /// Pushes the run's branch; with a plan, a pull request is opened, too.
    async fn push(
        &self,
        plan: Option<&PullRequestPlan>,
        (run, folder): (RunId, &Path),
        summary: &RunSummary,
        cancel: &CancellationToken,
    ) -> Result<Pushed, AppError> {
        let Self { workspace, env, redactor } = *self;
        if let Some(proposal) =
            propose(plan, workspace, (run, folder), summary, env, redactor, cancel).await
        {
            return Ok(Pushed::Proposed(proposal));
        }
        let plan = default_pull_request();
        let remote = workspace.remote_url(&plan.remote).ok_or_else(|| AppError::Unsupported {
            what: format!("--push: the repository has no remote `{}`", plan.remote),
            hint: "git remote add, or `pull_request.remote` in the configuration".to_owned(),
        })?;
        let lookup = |name: &str| env(name);
        let pusher = Pusher::new(&plan, &remote, &lookup, redactor).map_err(AppError::Push)?;
        let branch = run.branch();
        pusher.push(workspace.root(), &branch, run, cancel).await.map_err(AppError::Push)?;
        Ok(Pushed::Branch)
    }
}

/// The reasons of all of its patches.
fn reason_of(manifest: &Manifest) -> String {
    let reasons: Vec<&str> = manifest.repairs.iter().map(|repair| repair.reason.trim()).collect();
    reasons.join("\n\n")
}
