//! Texts for people and models that follow from the state of a run: what to do next, what a
//! person is asked, what the author is told of its limits, what a commit says.

use std::error::Error;
use std::fmt::Write as _;

use crate::config::plan::PolicyPlan;
use crate::model::{
    CommitId, Decision, Evaluation, Limits, Review, RunHeader, RunSummary, Stage, StopReason,
};

/// An error with all that lies beneath it: `failed to x: no such file`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.ends_with(&part) {
            let _infallible = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}

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

/// What a person can do now, most useful first.
pub(super) fn next_steps(header: &RunHeader, summary: &RunSummary, kept: bool) -> Vec<String> {
    let mut steps = Vec::new();
    let rerun = match &header.environment {
        Some(environment) => format!("greenloop --environment {environment}"),
        None => "the same command".to_owned(),
    };
    match &summary.stop {
        StopReason::Verified => {
            if let Some(branch) = &summary.branch {
                if kept {
                    steps.push("git diff                 look at the fix in your work tree".into());
                } else {
                    steps.push(format!("git merge --ff-only {branch}   take the fix"));
                }
            }
        }
        StopReason::NeedsHuman { request } => {
            let question = request.lines().next().unwrap_or_default();
            steps.push(format!("decide: {question}"));
            steps.push(format!("{rerun} --yes   if the answer is yes"));
        }
        StopReason::NoModel { .. } => {
            steps.push(
                "export OPENAI_API_KEY=…   (and OPENAI_BASE_URL for another compatible server)"
                    .into(),
            );
            steps.push("greenloop doctor           says what else is missing".into());
        }
        StopReason::ModelUnavailable { .. } => {
            steps.push("greenloop doctor           checks the model's endpoint".into());
            steps.push(format!("{rerun}   when it answers again"));
        }
        StopReason::NotHealable { stage, .. } => {
            steps.push(format!("mend what the {stage} stage depends on, then: {rerun}"));
        }
        StopReason::NoPatch { reason, .. } => {
            steps.push(format!("see to it: {reason}"));
            steps.push(format!("{rerun}   afterwards"));
        }
        StopReason::MaxIterations { .. }
        | StopReason::NoProgress { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::NoHealing { .. } => {
            if let Some(branch) = &summary.branch {
                steps.push(format!("git diff {} {branch}   what was tried", header.commit.short()));
            }
        }
        StopReason::Internal { .. } => {
            steps.push(format!("{rerun}   when the cause is gone"));
        }
        StopReason::Cancelled | StopReason::Abandoned => steps.push(format!("{rerun}   to go on")),
    }
    if let Some(failure) = &summary.failure
        && let Some(log) = &failure.evidence.log
    {
        steps.push(format!("less {}", header.folder.join(log).display()));
    }
    if summary
        .failure
        .as_ref()
        .is_some_and(|f| f.stage == Stage::Rollout || f.stage == Stage::Smoke)
        && let Some(environment) = &header.environment
    {
        steps.push(format!("greenloop status --environment {environment}   what serves now"));
    }
    steps
}
