//! `greenloop pr`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::error::{CommandError, Exit, exit_of};
use super::output::{self, OutputChoice};
use super::{block_on, completions, terminal};
use crate::app::{self, Applicant, CommentEvent, PullRequestJob};
use greenloop_model::StopReason;

/// Which pull request, and what to do.
#[derive(Debug, Args)]
#[command(after_long_help = "\
In the job of a pull request, its number is known: SYSTEM_PULLREQUEST_PULLREQUESTID (Azure
Pipelines), GITHUB_REF or the event (GitHub Actions), CI_MERGE_REQUEST_IID (GitLab CI).

One comment in the pull request is kept up to date: the evidence, the fix, the review, what the
tests show, the cost. It appears only when the gates fail. A fix is pushed to greenloop/<run>,
and committed to the pull request's branch

  - when somebody who may push comments `/greenloop apply`: a job on issue_comment (GitHub), a
    pipeline that a webhook for comments triggers (GitLab), or --on-comment, which a webhook
    pipeline (Azure Pipelines) or a schedule runs,
  - when somebody starts `greenloop pr --apply --number N`,
  - at once, with pull_request.apply: always.

Code of a fork is checked and not repaired, and its branch is never written to.

Exit codes: 0 the gates pass, 1 they fail on the pull request as it is (a fix may be offered).")]
pub(super) struct PrArgs {
    /// Environment of the configuration; optional if there is only one
    #[arg(short, long, value_name = "ENV", add = ArgValueCandidates::new(completions::environments))]
    environment: Option<String>,
    /// Configuration file [default: greenloop.yaml or config.yaml at the repository's root]
    #[arg(short, long, value_name = "FILE", env = "GREENLOOP_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The pull request [default: the one of this job]
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Commit the offered fix to the pull request's branch, and run nothing
    #[arg(long)]
    apply: bool,
    /// Do so if somebody who may push has commented `/greenloop apply` since the fix was offered
    #[arg(long, conflicts_with = "apply")]
    on_comment: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = OutputChoice::Auto)]
    output: OutputChoice,
    /// Write a debug log of Greenloop itself to logs/orchestrator_<date>.log
    #[arg(long)]
    debug: bool,
    /// Confirm where the policy asks for a person; cannot override what the policy forbids
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn pr(args: PrArgs) -> Result<Exit, CommandError> {
    let PrArgs { environment, config, number, apply, on_comment, output, debug, yes } = args;
    let directory = terminal::current_directory()?;
    let env = terminal::environment();
    let event = app::comment_event(&env).filter(|_| number.is_none() && !apply);
    let of_something_else =
        on_comment && event.is_none() && number.is_none() && app::is_webhook_pipeline(&env);
    if of_something_else || event.as_ref().is_some_and(|event| !event.applies) {
        output::tell("the comment asks for nothing of Greenloop\n");
        return Ok(Exit::Ok);
    }
    let environment = app::environment_of(&directory, config.as_ref(), environment)?;
    let flags = number.map_or_else(String::new, |number| format!(" --number {number}"));
    let invocation = terminal::invocation("pr ", &environment, config.as_ref(), &flags);
    let job = PullRequestJob {
        directory,
        environment,
        config,
        number: number.or(event.as_ref().map(|event| event.number)),
        debug,
        approval: terminal::approval(yes),
        env,
        invocation,
    };
    let applicant = match event {
        Some(CommentEvent { user: Some(user), .. }) => Some(Applicant::User(user)),
        Some(CommentEvent { user: None, .. }) => Some(Applicant::Commenter),
        None if on_comment => Some(Applicant::Commenter),
        None => apply.then_some(Applicant::Job),
    };
    if let Some(applicant) = applicant {
        let done = block_on(async {
            let cancel = terminal::cancel_on_signals();
            app::apply_fix(&job, &applicant, &cancel).await
        })??;
        output::print(&format!("{done}\n"))?;
        return Ok(Exit::Ok);
    }
    let ended = block_on(async {
        let cancel = terminal::cancel_on_signals();
        app::check_pull_request(job, output::reporters(output), cancel).await
    })??;
    for note in &ended.notes {
        // Beside the events, which have had their end.
        output::tell(&format!("{note}\n"));
    }
    let summary = &ended.summary;
    // The pull request as it is does not pass: a fix is in another commit.
    if summary.stop == StopReason::Verified && !summary.patches.is_empty() {
        return Ok(Exit::NeedsPerson);
    }
    Ok(exit_of(summary))
}
