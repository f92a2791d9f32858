//! The author and the reviewer at a hub's task, in a clone of their own.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;

use super::agents::Agents;
use super::model_check::{self, Models};
use super::sandbox::{self as confined, Need};
use super::session::{Purpose, Session};
use super::{AppError, Environment, parallelism};
use greenloop_azure::Identity;
use greenloop_config::plan::GatePlan;
use greenloop_config::{HealPlan, Overrides};
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{Assignment, RunDependencies, WorkTreeAtEnd};
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_evidence::Redactor;
use greenloop_model::{
    FailureClass, Invocation, RunEvent, RunHeader, RunKind, RunSummary, Stage, StopReason,
    error_chain,
};
use greenloop_policy::Policy;
use greenloop_ports::ModelError;
use greenloop_report::{Boxed, Reporter};
use greenloop_worker::{AgentEnd, AgentJob, AgentLoop, Fault, LogSink, ModelCheck, ProgressSink};
use greenloop_workspace::Workspace;

/// The loop, as a worker calls it.
pub(super) fn agent_loop(env: &Environment, redactor: &Redactor) -> AgentLoop {
    let (env, redactor) = (Arc::clone(env), redactor.clone());
    Arc::new(move |job| {
        let (env, redactor) = (Arc::clone(&env), redactor.clone());
        async move {
            match carry_out(job, &env, &redactor).await {
                Ok(end) => end,
                Err(error) => refused(&error),
            }
        }
        .boxed()
    })
}

/// What kept the loop from beginning: the repository's own settings, or this machine.
fn refused(error: &AppError) -> AgentEnd {
    let message = error_chain(error);
    let (class, fault) = match error {
        AppError::Config(_) | AppError::Policy(_) | AppError::Unsupported { .. } => {
            (FailureClass::Config, None)
        }
        _ => {
            let class = FailureClass::Infrastructure;
            (class, Some(Fault::new(class, message.clone())))
        }
    };
    AgentEnd::Failed {
        class,
        message,
        fingerprint: None,
        evidence: String::new(),
        fault,
        check: None,
        usage: Vec::new(),
    }
}

async fn carry_out(
    job: AgentJob,
    env: &Environment,
    redactor: &Redactor,
) -> Result<AgentEnd, AppError> {
    let AgentJob { folder, run, title, description, files, previous, gates, progress, log, cancel } =
        job;
    let workspace = Workspace::open(&folder)?;
    let (plan, own_gates) = plan_of(&folder, env)?;
    let HealPlan {
        author,
        reviewer,
        limits,
        approval_timeout: _,
        policy,
        sandbox,
        azure,
        pull_request: _,
    } = plan;
    let azure = Identity::new(&azure, &|name| env(name));
    let root = workspace.root();
    let plans = [("author", &author), ("reviewer", &reviewer)];
    let models = match Models::connect(plans, root, env) {
        Ok(models) => models,
        // Nobody could write the patch: the gates need not run to find that out.
        Err(error) => return Ok(without_model(&error, &folder, env.clone())),
    };
    let agents = Agents::connect(&author, &reviewer, root, env, azure.as_ref(), redactor);
    confined::ensure(&workspace, &sandbox, env)?;
    let title = redactor.redact(&title).into_owned();
    let purpose = Purpose {
        title: title.clone(),
        environment: None,
        configuration: None,
        writes: true,
        deploys: false,
        run: Some(run),
        resume: None,
        copies: None,
        always_copy: false,
    };
    let mut reporters: Vec<Boxed> =
        vec![Box::new(ProgressReporter { progress, log, part: String::new() })];
    let session =
        Session::open(&workspace, purpose, None, &mut reporters, redactor, &cancel).await?;
    let spec = RunSpec {
        stages: vec![Stage::Gates],
        limits: limits.clone(),
        mode: Mode::Heal,
        approve_rollout: false,
        attended: false,
        rules: Rules::CURRENT,
        tree: workspace.tree_id(&session.base)?,
    };
    let header = RunHeader {
        run: session.run,
        task: RunKind::Heal,
        title: title.clone(),
        environment: None,
        commit: session.base.clone(),
        commit_subject: workspace.subject(&session.base)?,
        target: None,
        author: agents.author_label(),
        reviewer: agents.reviewer_label(),
        limits,
        repository: workspace.root().to_owned(),
        invocation: Invocation {
            program: "greenloop".to_owned(),
            git: "git".to_owned(),
            arguments: "worker".to_owned(),
            tail: String::new(),
            options: String::new(),
        },
        folder: session.folder.clone(),
    };
    let need = Need::AsConfigured;
    let sandbox = confined::of_run(&workspace, session.run, &sandbox, need, &[], env)?;
    let dependencies = RunDependencies {
        header,
        spec,
        gates: all_gates(own_gates, &gates),
        assignment: Some(Assignment {
            title,
            text: text_of(&description, &files, previous),
            files,
        }),
        tasks: None,
        env_remove: agents.key_variables,
        sandbox: Some(sandbox),
        delivery: None,
        author: agents.author,
        reviewer: agents.reviewer,
        policy: Policy::new(&policy)?,
        policy_plan: policy,
        // Nobody sits at a worker: what wants a person fails, and says so.
        approval: Approval::Nobody,
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/healed.json")),
        workspace,
        redactor: redactor.clone(),
        at_end: WorkTreeAtEnd::Keep,
        parallelism: parallelism(),
    };
    let summary = session.drive(dependencies, reporters, cancel).await?;
    let fault = model_fault(&summary.stop, &models).await;
    Ok(end(summary, fault))
}

/// A task that nobody here can write a patch for. What the repository or the environment names
/// may be there later: a recording, say.
fn without_model(error: &ModelError, folder: &Path, env: Environment) -> AgentEnd {
    let fault = model_check::fault(error);
    let folder = folder.to_owned();
    let again = fault.clone();
    let check: ModelCheck = Arc::new(move || {
        let plan = greenloop_config::heal_plan(&|name: &str| env(name)).ok();
        let connected = plan.is_some_and(|plan| {
            let plans = [("author", &plan.author), ("reviewer", &plan.reviewer)];
            Models::connect(plans, &folder, &env).is_ok()
        });
        let found = if connected { Ok(()) } else { Err(again.clone()) };
        std::future::ready(found).boxed()
    });
    AgentEnd::Failed {
        class: fault.class,
        message: format!("no model is configured: {}", fault.reason),
        fingerprint: None,
        evidence: String::new(),
        fault: Some(fault),
        check: Some(check),
        usage: Vec::new(),
    }
}

/// Whether the run ended because no model answered, and how to see that one does again. A
/// model that lists what it has and refuses to answer is asked for an answer from then on.
async fn model_fault(stop: &StopReason, models: &Models) -> Option<(Fault, ModelCheck)> {
    let reason = match stop {
        StopReason::ModelUnavailable { reason, .. } | StopReason::NoModel { reason, .. } => reason,
        StopReason::Verified
        | StopReason::MaxIterations { .. }
        | StopReason::NoProgress { .. }
        | StopReason::RepeatedAnswer { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::NotHealable { .. }
        | StopReason::NoPatch { .. }
        | StopReason::NeedsHuman { .. }
        | StopReason::Declined { .. }
        | StopReason::NoHealing { .. }
        | StopReason::NotRestored { .. }
        | StopReason::Internal { .. }
        | StopReason::Cancelled
        | StopReason::Abandoned => return None,
    };
    if let Err(fault) = models.check().await {
        return Some((fault, models.as_check(false)));
    }
    match models.speak().await {
        Err(fault) => Some((fault, models.as_check(true))),
        // It is back already.
        Ok(()) => {
            let fault = Fault::new(FailureClass::Infrastructure, reason.clone());
            Some((fault, models.as_check(false)))
        }
    }
}

/// Tells how far the loop is, as far as that can be said of one whose end nobody knows: each
/// iteration takes half of what the one before has left.
struct ProgressReporter {
    progress: ProgressSink,
    log: LogSink,
    /// Whose output came last.
    part: String,
}

impl Reporter for ProgressReporter {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> std::io::Result<()> {
        if let Some((iteration, share, text)) = step(event) {
            self.progress.report(percent(iteration, share), text.to_owned());
            self.log.push(format!("── iteration {iteration}: {text}\n").as_bytes());
        }
        if let RunEvent::Output { name, text, .. } = event {
            if *name != self.part {
                self.part.clone_from(name);
                self.log.push(format!("── {name}\n").as_bytes());
            }
            self.log.push(text.as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

/// The iteration of an event, how much of it is done then, and what comes now.
fn step(event: &RunEvent) -> Option<(u32, f64, &'static str)> {
    match event {
        RunEvent::StageStarted { iteration, .. } => Some((*iteration, 0.0, "gates run")),
        RunEvent::AuthorAsked { iteration, .. } => Some((*iteration, 0.3, "the author works")),
        RunEvent::PatchProposed { iteration, .. } => Some((*iteration, 0.6, "a patch is judged")),
        RunEvent::ReviewerAsked { iteration, .. } => Some((*iteration, 0.7, "the reviewer reads")),
        RunEvent::PatchApplied { iteration, .. } => Some((*iteration, 0.9, "a patch is applied")),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 95")]
fn percent(iteration: u32, share: f64) -> u8 {
    let before = f64::from(iteration.clamp(1, 30) - 1);
    (95.0 * (1.0 - 0.5_f64.powf(before + share))).floor() as u8
}

/// The roles, limits and rules of the repository's own configuration (those of its first
/// environment) with its gates, or what the environment gives.
fn plan_of(folder: &Path, env: &Environment) -> Result<(HealPlan, Vec<GatePlan>), AppError> {
    let lookup = |name: &str| env(name);
    let path = greenloop_config::locate(folder).path;
    if !path.is_file() {
        return Ok((greenloop_config::heal_plan(&lookup)?, Vec::new()));
    }
    let config = greenloop_config::load(&path)?;
    let Some(first) = config.environments().first().map(ToString::to_string) else {
        return Ok((greenloop_config::heal_plan(&lookup)?, Vec::new()));
    };
    let plan = config.plan(&first, &Overrides::default(), &lookup)?;
    let heal = HealPlan {
        author: plan.author,
        reviewer: plan.reviewer,
        limits: plan.limits,
        approval_timeout: plan.approval_timeout,
        policy: plan.policy,
        sandbox: plan.sandbox,
        azure: plan.azure,
        pull_request: plan.pull_request,
    };
    Ok((heal, plan.gates))
}

/// The repository's own gates, and those of the merge that it does not have.
fn all_gates(mut own: Vec<GatePlan>, merge: &[String]) -> Vec<GatePlan> {
    for (nth, command) in merge.iter().enumerate() {
        if own.iter().any(|gate| gate.command == *command) {
            continue;
        }
        own.push(GatePlan::new(format!("merge gate {}", nth + 1), command.clone()));
    }
    own
}

fn text_of(description: &str, files: &[String], previous: Option<String>) -> String {
    let mut text = description.to_owned();
    if !files.is_empty() {
        text.push_str(&format!("\n\nIt is expected to touch: {}", files.join(", ")));
    }
    if let Some(previous) = previous {
        text.push_str(&format!("\n\nThe attempt before ended in this:\n{previous}"));
    }
    text
}

fn end(summary: RunSummary, model: Option<(Fault, ModelCheck)>) -> AgentEnd {
    if summary.stop == StopReason::Verified {
        let patches = summary.patches.iter().map(|patch| {
            let review = &patch.review;
            let review =
                format!("{:?}, risk {}: {}", review.verdict, review.risk.name(), review.reason);
            (patch.diff.clone(), review)
        });
        let said = summary.patches.last().map(|patch| match patch.reason.trim() {
            "" => format!("repaired: {}", patch.failure),
            reason => reason.to_owned(),
        });
        let mut said = said.unwrap_or_else(|| "nothing had to be cleaned up".to_owned());
        if let Some(proof) = &summary.proof {
            said.push_str(&format!("\n\nTests: {}", proof.verdict()));
        }
        return AgentEnd::Done { summary: said, patches: patches.collect(), usage: summary.models };
    }
    let message = summary.stop.to_string();
    // What failed under the loop is this machine's: its disk, its git.
    let internal = matches!(summary.stop, StopReason::Internal { .. });
    let internal = internal.then(|| Fault::new(FailureClass::Infrastructure, message.clone()));
    let (fault, check) = match model {
        Some((fault, check)) => (Some(fault), Some(check)),
        None => (internal, None),
    };
    let Some(failure) = summary.failure else {
        let class = fault.as_ref().map_or(FailureClass::Unknown, |fault| fault.class);
        let evidence = String::new();
        return AgentEnd::Failed {
            class,
            message,
            fingerprint: None,
            evidence,
            fault,
            check,
            usage: summary.models,
        };
    };
    let mut lines = vec![failure.headline.clone()];
    lines.extend(failure.evidence.notes.iter().cloned());
    lines.extend(failure.evidence.excerpts.iter().map(|excerpt| excerpt.text.clone()));
    // Some ends tell what failed themselves.
    let message = match message.contains(&failure.headline) {
        true => message,
        false => format!("{message}: {}", failure.headline),
    };
    AgentEnd::Failed {
        class: failure.class,
        message,
        fingerprint: Some(failure.fingerprint),
        evidence: lines.join("\n"),
        fault,
        check,
        usage: summary.models,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percent_rises_and_never_arrives() {
        let steps = (1..=40)
            .flat_map(|iteration| [0.0, 0.3, 0.6, 0.7, 0.9].map(|share| percent(iteration, share)));
        let steps: Vec<u8> = steps.collect();
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!((steps[0], steps[5], steps[10]), (0, 47, 71));
        assert!(steps.iter().all(|it| *it < 96));
    }
}
