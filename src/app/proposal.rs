//! The pull request that a healed run asks for.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Environment;
use greenloop_config::plan::PullRequestPlan;
use greenloop_evidence::Redactor;
use greenloop_model::{RunId, RunSummary, StopReason};
use greenloop_ports::{Proposed, PullRequest, PullRequestError};
use greenloop_report::Links;
use greenloop_report::pull_requests::{self, Pusher, base_branch, is_own_branch, is_own_commit};
use greenloop_workspace::Workspace;

/// What became of a run's patches beyond its branch.
#[derive(Debug)]
pub enum Proposal {
    /// A pull request is open with them.
    Opened(PullRequest),
    /// None is asked for, and why: `this run heals a branch of Greenloop's own`.
    Skipped(String),
    /// It could not be opened; the branch is there all the same.
    Failed(PullRequestError),
}

/// Pushes the branch of a run that ended verified with patches, and opens a pull request. `None`
/// where there is nothing to propose.
pub(super) async fn propose(
    plan: Option<&PullRequestPlan>,
    workspace: &Workspace,
    (run, folder): (RunId, &Path),
    summary: &RunSummary,
    env: &Environment,
    redactor: &Redactor,
    cancel: &CancellationToken,
) -> Option<Proposal> {
    let plan = plan?;
    if summary.stop != StopReason::Verified || summary.patches.is_empty() {
        return None;
    }
    let skipped = |why: &str| Some(Proposal::Skipped(why.to_owned()));
    let Ok(head) = workspace.head() else { return skipped("could not read HEAD") };
    let message = workspace.message(&head.commit).unwrap_or_default();
    let started_from =
        head.branch.clone().or_else(|| env("BUILD_SOURCEBRANCH")).or_else(|| env("GITHUB_REF"));
    if started_from.is_some_and(|branch| is_own_branch(&branch)) || is_own_commit(&message) {
        return skipped(
            "the run repaired a branch of Greenloop, for which no further pull request \
            is opened",
        );
    }
    let Some(base) = base_branch(plan, head.branch.as_deref(), &|name| env(name)) else {
        return skipped("no branch is checked out: set pull_request.target_branch");
    };
    let Some(remote) = workspace.remote_url(&plan.remote) else {
        return skipped("the repository does not have the remote that pull_request.remote names");
    };
    let lookup = |name: &str| env(name);
    let opened = async {
        let pusher = Pusher::new(plan, &remote, &lookup, redactor)?;
        let requests = pull_requests::connect(plan, &remote, &lookup, redactor)?;
        let events = greenloop_report::read_events(&folder.join(greenloop_report::EVENTS_FILE))
            .unwrap_or_default();
        let links = Links::of_pipeline(&lookup);
        let Some(text) = greenloop_report::pull_request(&events, &links, requests.body_limit())
        else {
            return Ok(None);
        };
        let branch = run.branch();
        pusher.push(workspace.root(), &branch, run, cancel).await?;
        let proposed = Proposed {
            branch,
            base,
            title: text.title,
            body: text.body,
            fingerprint: text.fingerprint,
            draft: plan.draft,
        };
        requests.open(&proposed).await.map(Some)
    };
    match opened.await {
        Ok(Some(request)) => Some(Proposal::Opened(request)),
        Ok(None) => skipped("the run's events do not contain what was repaired"),
        Err(error) => Some(Proposal::Failed(error)),
    }
}

pub(super) fn default_pull_request() -> PullRequestPlan {
    PullRequestPlan::default()
}
