//! The job of a pull request: the gates on the merge commit, a fix that is offered there, and the
//! fix committed to the pull request's branch when that is asked for.
//!
//! Invariant: code of a fork meets no model and no push; nothing is ever forced onto a branch.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::agents::Agents;
use super::comment_event::{APPLY_COMMENT, github_event};
use super::delivery::Delivering;
use super::hub_flakes::HubFlakes;
use super::run::{load_plan, refuse_certain};
use super::sandbox::{self, Need};
use super::session::{Purpose, Session};
use super::{AppError, Environment, configuration, folder, logging, parallelism};
use greenloop_config::plan::{ApplyPolicy, PullRequestPlan, RunPlan};
use greenloop_engine::approval::Approval;
use greenloop_engine::driver::{RunDependencies, WorkTreeAtEnd};
use greenloop_engine::machine::{Mode, Rules, RunSpec};
use greenloop_engine::passed::PassedBefore;
use greenloop_engine::stages::preflight;
use greenloop_evidence::Redactor;
use greenloop_model::{
    Invocation, Limits, RunHeader, RunId, RunKind, RunSummary, Stage, StopReason,
};
use greenloop_policy::Policy;
use greenloop_ports::{PullRequestError, PullRequestErrorKind};
use greenloop_report::pull_requests::conversation::{
    Asked, Conversation, Offer, ReviewedRequest, Told, asked, converse, offered, settle, tell,
};
use greenloop_report::pull_requests::{Pusher, blob, is_ancestor, is_own_branch, transplant};
use greenloop_report::{Boxed, Links, ReviewComment, TakeOver, check_report};
use greenloop_workspace::Workspace;

/// Which pull request, and how.
pub struct PullRequestJob {
    /// Where the command was given.
    pub directory: PathBuf,
    /// The environment whose gates are run.
    pub environment: String,
    /// The configuration; the one at the repository's root when it is `None`.
    pub config: Option<PathBuf>,
    /// The pull request's number; the job's own for `None`.
    pub number: Option<u64>,
    /// Log in detail.
    pub debug: bool,
    /// How a person's decision is obtained.
    pub approval: Approval,
    /// Environment variables.
    pub env: Environment,
    /// How the command was written.
    pub invocation: Invocation,
}

/// How the job of a pull request ended.
pub struct PullRequestOutcome {
    pub summary: RunSummary,
    /// What a person should know beside the run, a line each.
    pub notes: Vec<String>,
}

/// The number of the pull request that the job belongs to.
fn number_of(env: &Environment) -> Option<u64> {
    let given = |name: &str| env(name).and_then(|text| text.trim().parse().ok());
    let by_ref = || {
        let name = env("GITHUB_REF")?;
        name.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok()
    };
    let by_event = || {
        let event = github_event(env)?;
        event.get("pull_request")?.get("number")?.as_u64()
    };
    given("SYSTEM_PULLREQUEST_PULLREQUESTID")
        .or_else(|| given("CI_MERGE_REQUEST_IID"))
        .or_else(by_ref)
        .or_else(by_event)
}

fn no_number() -> AppError {
    AppError::Unsupported {
        what: "this is not the job of a pull request".to_owned(),
        hint: "--number N says which one is meant".to_owned(),
    }
}

/// The repository's side of a pull request.
struct Provider {
    conversation: Box<dyn Conversation>,
    pusher: Pusher,
    request: ReviewedRequest,
}

impl Provider {
    async fn connect(
        plan: &PullRequestPlan,
        workspace: &Workspace,
        number: u64,
        env: &Environment,
        redactor: &Redactor,
    ) -> Result<Self, PullRequestError> {
        let remote = workspace.remote_url(&plan.remote).ok_or_else(|| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("the repository has no remote {}", plan.remote),
            source: None,
        })?;
        let lookup = |name: &str| env(name);
        let conversation = converse(plan, &remote, &lookup, redactor)?;
        let pusher = Pusher::new(plan, &remote, &lookup, redactor)?;
        let request = conversation.request(number).await?;
        Ok(Self { conversation, pusher, request })
    }
}

/// Where fixes of pull requests are fetched to.
const OFFERED_REF: &str = "refs/greenloop/pull-request/fix";
/// Where the tips of pull requests are fetched to.
const HEAD_REF: &str = "refs/greenloop/pull-request/head";

/// Runs the gates on the commit at hand, the merge of a pull request, and says in the pull request
/// what they found.
pub async fn check_pull_request(
    job: PullRequestJob,
    reporters: Vec<Boxed>,
    cancel: CancellationToken,
) -> Result<PullRequestOutcome, AppError> {
    let number = job.number.or_else(|| number_of(&job.env)).ok_or_else(no_number)?;
    let workspace = Workspace::open(&job.directory)?;
    let mut plan = load_plan(
        &workspace,
        job.config.as_ref(),
        &job.directory,
        &job.environment,
        None,
        &job.env,
    )?;
    let pull = plan.pull_request.get_or_insert_default().clone();
    let redactor = Redactor::from_env();
    let mut notes = Vec::new();
    let provider = match Provider::connect(&pull, &workspace, number, &job.env, &redactor).await {
        Ok(provider) => Some(provider),
        // Jobs of forks have no token. The gates are run all the same, and their result is the
        // job's.
        Err(error) => {
            notes.push(format!(
                "nothing can be said in pull request {number}: {}",
                greenloop_model::error_chain(&error)
            ));
            None
        }
    };
    let stranger = provider.as_ref().is_none_or(|provider| provider.request.fork);
    let own = provider.as_ref().is_some_and(|it| is_own_branch(&it.request.branch));
    if stranger || own {
        let why = if own { "its branch is Greenloop's own" } else { "its code may be a fork's" };
        notes.push(format!("pull request {number} is checked and not repaired: {why}"));
        // With one iteration no model is asked.
        plan.limits = Limits { max_iterations: 1, ..plan.limits };
    }
    let workspace_root = workspace.root().to_owned();
    let flakes = HubFlakes::learn(plan.tasks.as_ref(), Some(&pull), &job.env, &workspace).await;
    let gated = gates(workspace, plan, number, &job, &redactor, reporters, &cancel).await;
    // What a fork's tests do says nothing of the repository's.
    if let Some(flakes) = flakes.filter(|_| !stranger) {
        flakes.report().await;
    }
    let (summary, run, run_folder) = gated?;
    let Some(provider) = provider else { return Ok(PullRequestOutcome { summary, notes }) };
    let events = greenloop_report::read_events(&run_folder.join(greenloop_report::EVENTS_FILE))
        .unwrap_or_default();
    let said =
        Said { provider: &provider, pull: &pull, run, root: workspace_root, cancel: &cancel };
    let lookup = |name: &str| (job.env)(name);
    said.publish(&summary, &events, Links::of_pipeline(&lookup), &mut notes).await;
    Ok(PullRequestOutcome { summary, notes })
}

/// Runs the plan's gates and nothing else.
async fn gates(
    workspace: Workspace,
    plan: RunPlan,
    number: u64,
    job: &PullRequestJob,
    redactor: &Redactor,
    mut reporters: Vec<Boxed>,
    cancel: &CancellationToken,
) -> Result<(RunSummary, RunId, PathBuf), AppError> {
    refuse_certain(preflight::judge(&plan.gates, None, workspace.root()))?;
    if plan.gates.is_empty() {
        return Err(AppError::Unsupported {
            what: "the configuration has no quality_gates: there is nothing to check".to_owned(),
            hint: "greenloop config check shows what is configured".to_owned(),
        });
    }
    sandbox::ensure(&workspace, &plan.sandbox, &job.env)?;
    folder::ensure_inside(&workspace, &logging::path(&plan.logging, workspace.root()))?;
    logging::start(&plan.logging, workspace.root(), job.debug);
    let delivering = Delivering::new(plan, &job.env).with_secrets().await?;
    let env_remove = delivering.env_remove();
    let Delivering { plan, env, redactor: known, azure, .. } = delivering;
    let agents = Agents::connect(
        &plan.author,
        &plan.reviewer,
        workspace.root(),
        &env,
        azure.as_ref(),
        &known,
    );
    let policy = Policy::new(&plan.policy)?;
    let title = format!("gates of pull request {number}");
    let purpose = Purpose {
        title: title.clone(),
        environment: None,
        configuration: None,
        writes: true,
        deploys: false,
        resume: None,
        run: None,
        copies: None,
        always_copy: false,
    };
    let session =
        Session::open(&workspace, purpose, None, &mut reporters, redactor, cancel).await?;
    let spec = RunSpec {
        stages: vec![Stage::Gates],
        limits: plan.limits.clone(),
        mode: Mode::Heal,
        approve_rollout: false,
        attended: job.approval.is_attended(),
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
        limits: plan.limits.clone(),
        repository: workspace.root().to_owned(),
        invocation: job.invocation.clone(),
        folder: session.folder.clone(),
    };
    let (run, run_folder) = (session.run, session.folder.clone());
    let need = Need::AsConfigured;
    let sandbox = sandbox::of_run(&workspace, run, &plan.sandbox, need, &[], &job.env)?;
    let dependencies = RunDependencies {
        header,
        spec,
        gates: plan.gates,
        assignment: None,
        tasks: None,
        env_remove,
        sandbox: Some(sandbox),
        delivery: None,
        author: agents.author,
        reviewer: agents.reviewer,
        policy,
        policy_plan: plan.policy,
        approval: job.approval.clone(),
        passed_before: PassedBefore::load(&workspace.git_dir().join("greenloop/passed.json")),
        workspace,
        redactor: known,
        at_end: WorkTreeAtEnd::Restore,
        parallelism: parallelism(),
    };
    let summary = session.drive(dependencies, reporters, cancel.clone()).await?;
    Ok((summary, run, run_folder))
}

/// What the end of a run needs to speak in its pull request.
struct Said<'a> {
    provider: &'a Provider,
    pull: &'a PullRequestPlan,
    run: RunId,
    root: PathBuf,
    cancel: &'a CancellationToken,
}

impl Said<'_> {
    /// Comment and check; what cannot be said is a note, and changes nothing of the run's result.
    async fn publish(
        &self,
        summary: &RunSummary,
        events: &[greenloop_report::Stamped],
        links: Links,
        notes: &mut Vec<String>,
    ) {
        let Provider { conversation, request, .. } = self.provider;
        let healed = summary.stop == StopReason::Verified && !summary.patches.is_empty();
        let mut offer = None;
        let mut take_over = TakeOver::default();
        if healed && !request.fork {
            match self.offer(summary).await {
                Ok(made) => {
                    take_over = self.take_over(&made);
                    offer = Some(made);
                }
                Err(error) => notes.push(format!(
                    "the fix could not be offered: {}",
                    greenloop_model::error_chain(&error)
                )),
            }
        }
        if let Some(made) = offer.as_ref().filter(|_| self.pull.apply == ApplyPolicy::Always) {
            match self.commit(made).await {
                Ok(tip) => {
                    notes.push(format!("the fix is committed to {} as {tip}", request.branch));
                    take_over.done = true;
                }
                Err(error) => notes.push(format!(
                    "the fix could not be committed to {}: {}",
                    request.branch,
                    greenloop_model::error_chain(&error)
                )),
            }
        }
        let done = take_over.done;
        let mut comment = ReviewComment::of(events, links.clone(), take_over);
        if let Some(comment) = &mut comment {
            // After the fix is there, accepting it would apply it a second time.
            let fits = !done && self.suggestion_fits(comment, offer.as_ref()).await;
            comment.suggestion = comment.suggestion.take().filter(|_| fits);
        }
        // A run that was cut off has found out nothing.
        let ended = !matches!(summary.stop, StopReason::Cancelled | StopReason::Abandoned);
        let passed = summary.stop == StopReason::Verified && summary.patches.is_empty();
        if ended && (passed || comment.is_some()) {
            let offer = offer.as_ref().filter(|_| !done);
            match tell(conversation.as_ref(), request, comment.as_ref(), offer).await {
                Ok(Told::Nothing | Told::Unchanged) => {}
                Ok(Told::Posted) => {
                    notes.push(format!("commented on pull request {}", request.number))
                }
                Ok(Told::Updated) => {
                    notes.push(format!("updated the comment on pull request {}", request.number));
                }
                Err(error) => notes.push(format!(
                    "the comment could not be written: {}",
                    greenloop_model::error_chain(&error)
                )),
            }
        }
        if let Some(report) = check_report(events, &links).filter(|_| ended)
            && let Err(error) = conversation.check(request, &report).await
        {
            notes.push(format!(
                "the state of the commit could not be set: {}",
                greenloop_model::error_chain(&error)
            ));
        }
    }

    /// Pushes the run's branch, and says what of it is the fix.
    async fn offer(&self, summary: &RunSummary) -> Result<Offer, PullRequestError> {
        let Provider { pusher, request, .. } = self.provider;
        let moved = |message: String| PullRequestError {
            kind: PullRequestErrorKind::Rejected,
            message,
            source: None,
        };
        let (first, last) = match (summary.patches.first(), summary.patches.last()) {
            (Some(first), Some(last)) => (first, last),
            _ => return Err(moved("the run has no patches".to_owned())),
        };
        let base = self.git_parent(first.commit.as_str()).await?;
        pusher.fetch(&self.root, &request.branch, HEAD_REF, self.run, self.cancel).await?;
        if !is_ancestor(&self.root, &request.head, &base, self.run, self.cancel).await? {
            return Err(moved(format!(
                "{base}, which was checked, does not contain {}, the pull request's tip",
                request.head
            )));
        }
        let branch = self.run.branch();
        pusher.push(&self.root, &branch, self.run, self.cancel).await?;
        Ok(Offer { head: request.head.clone(), base, fix: last.commit.as_str().to_owned(), branch })
    }

    async fn git_parent(&self, commit: &str) -> Result<String, PullRequestError> {
        greenloop_report::pull_requests::parent(&self.root, commit, self.run, self.cancel).await
    }

    fn take_over(&self, offer: &Offer) -> TakeOver {
        let Offer { base, fix, branch, .. } = offer;
        let remote = &self.pull.remote;
        TakeOver {
            by_comment: Some(APPLY_COMMENT),
            command: Some(format!("git fetch {remote} {branch}\ngit cherry-pick {base}..{fix}")),
            done: false,
        }
    }

    /// Whether the lines of the suggestion are those of the pull request's head: the fix was made on
    /// its merge with the target branch.
    async fn suggestion_fits(&self, comment: &ReviewComment, offer: Option<&Offer>) -> bool {
        let (Some(at), Some(offer)) = (&comment.suggestion, offer) else { return false };
        let of =
            async |commit: &str| blob(&self.root, commit, &at.path, self.run, self.cancel).await;
        let there = of(&offer.head).await;
        there.is_some() && there == of(&offer.base).await
    }

    /// Commits the fix to the pull request's branch; returns its new tip.
    async fn commit(&self, offer: &Offer) -> Result<String, PullRequestError> {
        let Provider { pusher, request, .. } = self.provider;
        let range = (offer.base.as_str(), offer.fix.as_str());
        let tip = transplant(&self.root, &request.head, range, self.run, self.cancel).await?;
        pusher.push_as(&self.root, &tip, &request.branch, self.run, self.cancel).await?;
        Ok(tip)
    }
}

/// A person's name without what is markup or a mention somewhere.
fn plain(name: &str) -> String {
    const LONGEST: usize = 60;
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    name.chars().filter(kept).take(LONGEST).collect()
}

/// Who wants the fix to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applicant {
    /// Whoever started the job.
    Job,
    /// The author of a comment, by the provider's own word.
    User(String),
    /// Whoever has asked in the pull request since the fix was offered, and may push.
    Commenter,
}

/// Commits the fix that a comment in the pull request offers to the pull request's branch. Returns
/// what was done, as a line.
pub async fn apply_fix(
    job: &PullRequestJob,
    applicant: &Applicant,
    cancel: &CancellationToken,
) -> Result<String, AppError> {
    let number = job.number.or_else(|| number_of(&job.env)).ok_or_else(no_number)?;
    let workspace = Workspace::open(&job.directory)?;
    let path = configuration::path(&workspace, job.config.as_ref(), &job.directory);
    let configured = match path.is_file() {
        true => {
            load_plan(
                &workspace,
                job.config.as_ref(),
                &job.directory,
                &job.environment,
                None,
                &job.env,
            )?
            .pull_request
        }
        false => None,
    };
    let pull = configured.unwrap_or_default();
    let redactor = Redactor::from_env();
    let provider = Provider::connect(&pull, &workspace, number, &job.env, &redactor).await?;
    let refused = |message: String| {
        AppError::PullRequest(PullRequestError {
            kind: PullRequestErrorKind::Rejected,
            message,
            source: None,
        })
    };
    let Provider { conversation, pusher, request } = &provider;
    let may_not =
        |who: &str| refused(format!("{who} may not push to this repository: nothing was applied"));
    let (user, offer) = match applicant {
        Applicant::Job => (None, offered(conversation.as_ref(), request).await?),
        Applicant::User(user) => match conversation.may_push(user).await? {
            Some(true) => (Some(user.clone()), offered(conversation.as_ref(), request).await?),
            Some(false) | None => return Err(may_not(user)),
        },
        Applicant::Commenter => match asked(conversation.as_ref(), request, APPLY_COMMENT).await? {
            Asked::By(author, offer) => (Some(plain(&author.name)), Some(offer)),
            Asked::Refused(names) => return Err(may_not(&names.join(", "))),
            Asked::Nobody => {
                return Ok(format!(
                    "nobody has asked for the fix of pull request {number} since it was offered"
                ));
            }
        },
    };
    if !request.open {
        return Err(refused(format!("pull request {number} is not open")));
    }
    if request.fork {
        return Err(refused(format!(
            "pull request {number} comes from a fork: its branch is not written to"
        )));
    }
    let Some(offer) = offer else {
        return Err(refused(format!("pull request {number} has no fix that could be applied")));
    };
    if offer.head != request.head {
        return Err(refused(format!(
            "the fix is for {}, and pull request {number} has new commits since: its next check \
             makes a new fix",
            offer.head
        )));
    }
    let (root, run) = (workspace.root().to_owned(), RunId::generate());
    pusher.fetch(&root, &request.branch, HEAD_REF, run, cancel).await?;
    pusher.fetch(&root, &offer.branch, OFFERED_REF, run, cancel).await?;
    // The comment could be anybody's: what counts is what is in the repository.
    let tip = greenloop_report::pull_requests::tip(&root, OFFERED_REF, run, cancel).await?;
    let begins = is_ancestor(&root, &offer.head, &offer.base, run, cancel).await?
        && is_ancestor(&root, &offer.base, &offer.fix, run, cancel).await?;
    if tip != offer.fix || !begins {
        return Err(refused(format!(
            "{} is not the fix that pull request {number} speaks of",
            offer.branch
        )));
    }
    let said = Said { provider: &provider, pull: &pull, run, root, cancel };
    let tip = said.commit(&offer).await?;
    let who = user.map_or_else(String::new, |user| format!(", as {user} asked"));
    let text = format!("The fix is committed here as {tip}{who}. The next check runs on it.");
    settle(conversation.as_ref(), request, &text).await?;
    Ok(format!("the fix of pull request {number} is committed to {} as {tip}", request.branch))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn env(variables: &'static [(&'static str, &'static str)]) -> Environment {
        Arc::new(move |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_number_is_the_jobs() {
        for (variables, expect) in [
            (&[("SYSTEM_PULLREQUEST_PULLREQUESTID", "7")][..], Some(7)),
            (&[("CI_MERGE_REQUEST_IID", "12")][..], Some(12)),
            (&[("GITHUB_REF", "refs/pull/31/merge")][..], Some(31)),
            (&[("GITHUB_REF", "refs/heads/main")][..], None),
            (
                &[("SYSTEM_PULLREQUEST_PULLREQUESTID", "$(System.PullRequest.PullRequestId)")][..],
                None,
            ),
            (&[][..], None),
        ] {
            assert_eq!(number_of(&env(variables)), expect, "{variables:?}");
        }
    }
}
