//! Texts for people and models that follow from the state of a run: what to do next, what a
//! person is asked, the limits that the author is shown, what a commit says.

use std::fmt::Write as _;

use greenloop_config::plan::PolicyPlan;
use greenloop_model::{
    CommitId, Decision, Evaluation, FixPlace, Invocation, Limits, NextStep, Release, Remedy,
    Review, RunHeader, RunKind, RunSummary, RunningNow, Stage, StopReason, counted, shell_word,
};

/// The limits that the author works under.
pub(super) fn limits_text(policy: &PolicyPlan, limits: &Limits, iteration: u32) -> String {
    let mut text = format!(
        "This is iteration {iteration} of at most {}.\n\
         A patch may change at most {} and {}; no file may grow beyond {} KiB.\n",
        limits.max_iterations,
        counted(policy.max_files, "file", "files"),
        counted(policy.max_changed_lines, "line", "lines"),
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
         assertions, lint rules switched off and gates made weaker need a person: repair the \
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

/// Commits that are listed before a person is asked about a rollout.
pub(super) const COMMITS_ASKED: usize = 20;
/// Lines of their diff.
const DIFF_ASKED: usize = 60;

/// What a rollout would change: the commits since what serves, and the diff.
pub(super) fn rollout_facts(
    serving: &Release,
    tip: &CommitId,
    since: Option<(Vec<(CommitId, String)>, usize)>,
    diff: &str,
    git: &str,
) -> String {
    let (from, to) = (serving.commit.short(), tip.short());
    let release = serving.id.short();
    let mut text = String::new();
    match since {
        None => {
            let _infallible = writeln!(
                text,
                "release {release} of commit {from} is serving; this clone does not have that \
                 commit"
            );
        }
        Some((_, 0)) if serving.commit == *tip => {
            let _infallible = writeln!(text, "release {release} of the same commit is serving");
        }
        Some((commits, all)) => {
            let count = counted(all, "commit", "commits");
            let _infallible =
                writeln!(text, "{count} since the serving release {release} ({from}):");
            for (commit, subject) in &commits {
                let _infallible = writeln!(text, "  {} {subject}", commit.short());
            }
            if all > commits.len() {
                let more = all - commits.len();
                let _infallible = writeln!(text, "  … {more} more: {git} log {from}..{to}");
            }
        }
    }
    let lines = diff.lines().count();
    if lines > 0 {
        text.push('\n');
        for line in diff.lines().take(DIFF_ASKED) {
            let _infallible = writeln!(text, "  {line}");
        }
        if lines > DIFF_ASKED {
            let more = counted(lines - DIFF_ASKED, "more line", "more lines");
            let _infallible = writeln!(text, "  … {more}: {git} diff {from} {to}");
        }
    }
    text
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
        "{subject}\n\n{reason}\n\nRepairs: {failure}\nReviewed-by: {} ({} risk)\nGreenloop-Run: \
         {}\nGreenloop-Iteration: {iteration}\n",
        review.reviewer,
        review.risk.name(),
        header.run,
    )
}

/// What a person can do about a copy of the work tree that tests the original.
pub(super) fn leave_copy(header: &RunHeader) -> NextStep {
    NextStep {
        what: "the failure is the same after the patch, and the command ran in a copy of the work \
            tree: anything that contains the original path (pip install -e, a CMake cache) still \
            tests the original; commit or stash your changes, so that the command runs in the \
            work tree itself"
            .to_owned(),
        command: Some(header.invocation.again("")),
    }
}

/// What a person can do now, most useful first. `confirms`: where a person has to decide, `--yes`
/// does.
pub(super) fn next_steps(
    header: &RunHeader,
    summary: &RunSummary,
    confirms: bool,
) -> Vec<NextStep> {
    let remedy = summary.failure.as_ref().and_then(|failure| failure.evidence.remedy.as_ref());
    let mut steps: Vec<NextStep> = remedy
        .map(|Remedy { what, command, .. }| NextStep {
            what: what.clone(),
            command: command.clone(),
        })
        .into_iter()
        .collect();
    let invocation = &header.invocation;
    let stage = summary.failure.as_ref().map(|failure| failure.stage);
    let at_rollout = stage == Some(Stage::Rollout);
    let deployment_failed = at_rollout || stage == Some(Stage::Smoke);
    let mut step = |what: &str, command: String| {
        steps.push(NextStep { what: what.to_owned(), command: Some(command) });
    };
    match &summary.stop {
        StopReason::Verified => match (&summary.branch, &summary.fix) {
            (Some(_), Some(FixPlace::WorkTree { can_undo })) => {
                step("show the fix in your work tree", format!("{} diff", invocation.git));
                if header.task == RunKind::Heal && *can_undo {
                    let undo = format!("{} heal --undo {}", invocation.program, header.run);
                    step("remove it", undo);
                }
            }
            (Some(branch), Some(FixPlace::SnapshotBranch | FixPlace::NotBroughtBack { .. })) => {
                let (git, base) = (&invocation.git, header.commit.short());
                let take = format!("{git} diff {base} {branch} | {git} apply --reject");
                step("apply the fix; parts that do not apply are written to .rej files", take);
            }
            (Some(branch), Some(FixPlace::Branch) | None) => {
                step("merge the fix", format!("{} merge --ff-only {branch}", invocation.git));
            }
            (None, _) => {}
        },
        StopReason::NeedsHuman { .. } if confirms => step("to confirm", invocation.again("--yes")),
        StopReason::NeedsHuman { .. } => {
            step("to decide, run it again at a terminal, which asks you", invocation.again(""));
        }
        StopReason::NoModel { .. } => {
            step("after repairing it", invocation.again(""));
            step("to configure a model", format!("{} doctor", invocation.program));
        }
        StopReason::ModelUnavailable { .. } => {
            step("check the model's endpoint", format!("{} doctor", invocation.program));
            step("when the model answers again", invocation.again(""));
        }
        StopReason::NotHealable { stage, .. } => {
            step(
                &format!("after repairing what the {stage} stage depends on"),
                invocation.again(""),
            );
        }
        StopReason::NoPatch { .. } => step("after resolving that", invocation.again("")),
        StopReason::MaxIterations { limit } => {
            // It is given once already where the command line set it.
            if !invocation.arguments.contains("--max-iterations") {
                let flags = format!("--max-iterations {}", limit.saturating_mul(2).min(100));
                step("allow more iterations", invocation.again(&flags));
            }
        }
        StopReason::NoHealing { .. } if header.task == RunKind::RollBack => {
            let other = |release: &str| {
                let environment = header.environment.as_ref().map_or("ENV", |e| e.as_str());
                let Invocation { program, options, .. } = invocation;
                format!(
                    "{program} rollback --environment {environment}{options} --to-release {release}"
                )
            };
            let served = match &summary.target.serving {
                Some(RunningNow::Release { release, .. }) => Some(*release),
                Some(RunningNow::Nothing | RunningNow::Unknown { .. }) | None => None,
            };
            step("when what kept it from succeeding is repaired", invocation.again(""));
            step("go back to another release that `status` lists", other("ID"));
            if let Some(served) = served.filter(|_| at_rollout) {
                step("or let what served before serve again", other(&served.to_string()));
            }
        }
        StopReason::NoHealing { .. } => step("after repairing it", invocation.again("")),
        StopReason::NoProgress { .. }
        | StopReason::RepeatedAnswer { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::Declined { .. } => {}
        // The failed release is still there.
        StopReason::NotRestored { .. } | StopReason::Internal { .. }
            if deployment_failed && summary.target.restored.is_none() =>
        {
            if let Some(environment) = &header.environment {
                let Invocation { program, options, .. } = invocation;
                let command = format!("{program} rollback --environment {environment}{options}");
                step("when the cause is gone, let the last verified release serve again", command);
            }
        }
        StopReason::NotRestored { .. } | StopReason::Internal { .. } => {
            step("after removing the cause", invocation.again(""));
        }
        StopReason::Cancelled | StopReason::Abandoned => step("start over", invocation.again("")),
    }
    if summary.stop != StopReason::Verified
        && let Some(branch) = &summary.branch
    {
        let from = header.commit.short();
        step("show the changes so far", format!("{} diff {from} {branch}", invocation.git));
    }
    if let Some(failure) = &summary.failure
        && let Some(log) = &failure.evidence.log
    {
        let log = header.folder.join(log);
        step("the complete log", format!("less {}", shell_word(&log.to_string_lossy())));
    }
    if let Some(environment) = &header.environment
        && deployment_failed
    {
        let Invocation { program, options, .. } = invocation;
        let command = format!("{program} status --environment {environment}{options}");
        step("show the serving and the earlier releases", command);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{Failure, FailureClass};

    /// The failed release still serves: the way back comes first.
    #[test]
    fn after_a_restore_that_failed_a_rollback_is_the_first_step() {
        let header = RunHeader {
            run: greenloop_model::RunId::generate(),
            task: RunKind::Deploy,
            title: String::new(),
            environment: Some("staging".parse().unwrap()),
            commit: format!("{:040x}", 1).parse().unwrap(),
            commit_subject: String::new(),
            target: None,
            author: String::new(),
            reviewer: String::new(),
            limits: Limits {
                max_iterations: 3,
                no_progress_threshold: 2,
                max_tokens: None,
                max_cost_usd: None,
                max_duration: None,
            },
            repository: "/r".into(),
            invocation: Invocation {
                program: "greenloop".to_owned(),
                git: "git".to_owned(),
                arguments: "run".to_owned(),
                tail: String::new(),
                options: " --config c.yaml".to_owned(),
            },
            folder: "/r/logs".into(),
        };
        let failed = |stage| Failure {
            stage,
            name: "ready".to_owned(),
            headline: "it is not ready".to_owned(),
            class: FailureClass::Code,
            fingerprint: "ab".repeat(8).parse().unwrap(),
            flaky_suspect: false,
            symptoms: Default::default(),
            evidence: Default::default(),
        };
        for (stage, expect) in [
            (Stage::Rollout, "greenloop rollback --environment staging --config c.yaml"),
            (Stage::Gates, "greenloop run"),
        ] {
            let summary = RunSummary {
                stop: StopReason::NotRestored { reason: "no answer".to_owned() },
                iterations: 1,
                patches: Vec::new(),
                failure: Some(Box::new(failed(stage))),
                target: Default::default(),
                branch: None,
                fix: None,
                flaky: Vec::new(),
                proof: None,
                usage: Default::default(),
                models: Vec::new(),
                elapsed: Default::default(),
                next_steps: Vec::new(),
            };
            let steps = next_steps(&header, &summary, true);
            assert_eq!(steps[0].command.as_deref().map(str::trim_end), Some(expect), "{steps:?}");
        }
    }

    #[test]
    fn a_person_sees_the_commits_and_the_diff_before_the_question() {
        let commit = |n: u8| -> CommitId { format!("{n:040x}").parse().unwrap() };
        let release = Release {
            id: greenloop_model::ReleaseId::generate(),
            commit: commit(1),
            run: greenloop_model::RunId::generate(),
            image: None,
            state: greenloop_model::ReleaseState::Verified,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            verified_at: None,
        };
        let commits = vec![(commit(3), "third".to_owned()), (commit(2), "second".to_owned())];
        let diff: String = (0..100).map(|n| format!("+line {n}\n")).collect();
        let facts = |since, diff: &str| rollout_facts(&release, &commit(3), since, diff, "git");
        let text = facts(Some((commits.clone(), 2)), "+a\n");
        assert!(text.starts_with("2 commits since the serving release "), "{text}");
        assert!(text.contains("  0000000000 third\n") && text.contains("  +a\n"), "{text}");
        assert!(!text.contains('…'), "{text}");
        let text = facts(Some((commits, 30)), &diff);
        assert!(text.contains("… 28 more: git log 0000000000..0000000000\n"), "{text}");
        assert!(text.contains("… 40 more lines: git diff 0000000000 0000000000\n"), "{text}");
        assert!(facts(None, "").contains("does not have that commit"));
        let same = rollout_facts(&release, &commit(1), Some((Vec::new(), 0)), "", "git");
        assert!(same.contains("of the same commit is serving"), "{same}");
    }
}
