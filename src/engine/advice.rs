//! Texts for people and models that follow from the state of a run: what to do next, what a
//! person is asked, what the author is told of its limits, what a commit says.

use std::fmt::Write as _;

use crate::config::plan::PolicyPlan;
use crate::model::{
    CommitId, Decision, Evaluation, Invocation, Limits, NextStep, Review, RunHeader, RunSummary,
    Stage, StopReason, shell_word,
};

/// The limits that the author works under.
pub(super) fn limits_text(policy: &PolicyPlan, limits: &Limits, iteration: u32) -> String {
    let mut text = format!(
        "This is iteration {iteration} of at most {}.\n\
         A patch may change at most {} files and {} lines; no file may grow beyond {} KiB.\n",
        limits.max_iterations,
        policy.max_files,
        policy.max_changed_lines,
        policy.max_file_bytes / 1024,
    );
    if !policy.never_delete.is_empty() {
        let _infallible = writeln!(
            text,
            "Files that match these patterns must not be deleted, moved away or emptied: {}.",
            policy.never_delete.join(", ")
        );
    }
    if !policy.require_confirmation.is_empty() {
        let _infallible = writeln!(
            text,
            "A person has to confirm a patch that adds any of: {}.",
            policy.require_confirmation.join(", ")
        );
    }
    text.push_str(
        "Never touch .git, symbolic links, submodules, file modes, paths outside the repository \
         or Greenloop's own configuration. CI files, deleted or skipped tests, removed \
         assertions, lint rules switched off and gates made weaker need a person: mend the \
         cause instead.\n",
    );
    text
}

/// What a person is asked about a patch.
pub(super) fn patch_request(evaluation: &Evaluation, iteration: u32) -> String {
    let mut text = format!("apply the patch of iteration {iteration}?");
    for m in evaluation.matches().iter().filter(|m| m.decision == Decision::NeedsHuman) {
        let place = match (&m.path, m.line) {
            (Some(path), Some(line)) => format!(" at {path}:{line}"),
            (Some(path), None) => format!(" in {path}"),
            (None, _) => String::new(),
        };
        let _infallible = write!(text, "\n  {}{place}: {}", m.rule, m.detail);
    }
    text
}

/// What a person is asked about a rollout.
pub(super) fn rollout_request(header: &RunHeader, commit: &CommitId) -> String {
    let environment = header.environment.as_ref().map_or("the environment", |e| e.as_str());
    format!("deploy commit {} to {environment}? (it requires approval)", commit.short())
}

/// The message of a patch's commit.
pub(super) fn commit_message(
    header: &RunHeader,
    iteration: u32,
    failure: &str,
    reason: &str,
    review: &Review,
) -> String {
    let first = reason.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(failure);
    let mut subject: String = first.chars().take(68).collect();
    if subject.len() < first.len() {
        subject.push('…');
    }
    format!(
        "{subject}\n\n{reason}\n\nMends: {failure}\nReviewed-by: {} ({} risk)\n\
         Greenloop-Run: {}\nGreenloop-Iteration: {iteration}\n",
        review.reviewer,
        review.risk.name(),
        header.run,
    )
}

/// What a person can do now, most useful first. `kept`: the fix is in the work tree.
pub(super) fn next_steps(header: &RunHeader, summary: &RunSummary, kept: bool) -> Vec<NextStep> {
    let mut steps = Vec::new();
    let invocation = &header.invocation;
    let mut step = |what: &str, command: String| {
        steps.push(NextStep { what: what.to_owned(), command: Some(command) });
    };
    match &summary.stop {
        StopReason::Verified => match &summary.branch {
            Some(_) if kept => {
                step("look at the fix in your work tree", format!("{} diff", invocation.git));
            }
            Some(branch) => {
                step("take the fix", format!("{} merge --ff-only {branch}", invocation.git));
            }
            None => {}
        },
        StopReason::NeedsHuman { .. } => step("if the answer is yes", invocation.again("--yes")),
        StopReason::NoModel { .. } => {
            step("when it is mended", invocation.again(""));
            step("how to configure a model", format!("{} doctor", invocation.program));
        }
        StopReason::ModelUnavailable { .. } => {
            step("look at the model's endpoint", format!("{} doctor", invocation.program));
            step("when it answers again", invocation.again(""));
        }
        StopReason::NotHealable { stage, .. } => {
            step(
                &format!("when what the {stage} stage depends on is mended"),
                invocation.again(""),
            );
        }
        StopReason::NoPatch { .. } => step("when that is seen to", invocation.again("")),
        StopReason::MaxIterations { limit } => {
            // It is given once already where the command line set it.
            if !invocation.arguments.contains("--max-iterations") {
                let flags = format!("--max-iterations {}", limit.saturating_mul(2).min(100));
                step("give it more iterations", invocation.again(&flags));
            }
        }
        StopReason::NoHealing { .. } => step("when it is mended", invocation.again("")),
        StopReason::NoProgress { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::Declined { .. } => {}
        StopReason::Internal { .. } => step("when the cause is gone", invocation.again("")),
        StopReason::Cancelled | StopReason::Abandoned => step("start over", invocation.again("")),
    }
    if summary.stop != StopReason::Verified
        && let Some(branch) = &summary.branch
    {
        let from = header.commit.short();
        step("what was changed so far", format!("{} diff {from} {branch}", invocation.git));
    }
    if let Some(failure) = &summary.failure
        && let Some(log) = &failure.evidence.log
    {
        let log = header.folder.join(log);
        step("the whole log", format!("less {}", shell_word(&log.to_string_lossy())));
    }
    let deployment_failed = summary
        .failure
        .as_ref()
        .is_some_and(|f| f.stage == Stage::Rollout || f.stage == Stage::Smoke);
    if let Some(environment) = &header.environment
        && deployment_failed
    {
        let Invocation { program, options, .. } = invocation;
        let command = format!("{program} status --environment {environment}{options}");
        step("what serves now, and what served before", command);
    }
    steps
}
