//! Pull requests with a run's patches, at Azure Repos, GitHub and GitLab; `conversation` is what is
//! said in an open one.
//!
//! Lives here: which repository a remote's address means, the token that opens it, pushing the
//! run's branch, and the providers' REST APIs. Must not be here: the text of a pull request
//! (`report` writes it), and whether a run asks for one (`app` does).
//!
//! # Expected flow
//!
//! [`is_own_branch`] and [`is_own_commit`] say no for a run that started from Greenloop's own
//! work; [`Pusher::push`] brings the branch to the remote; [`connect`] and
//! [`PullRequests::open`] propose it.
//!
//! # Guarantees
//!
//! - One pull request stays open for one fingerprint and one base branch. What is looked for is
//!   a marker that stands at the very beginning of the body, because Azure Repos cuts the text
//!   in its lists after 400 characters; and only pull requests from branches of Greenloop's own
//!   in the same repository count, so that nobody can keep one from being opened by writing the
//!   marker into another.
//! - A lost answer is resolved by looking, never by asking blindly again.
//! - The token is sent to the repository's own host only, by header; it stands in no argument
//!   list, no file and no message, and no hook of the repository runs while git knows it.
//! - The branch's commits are pushed as they are: the audit log names them. In particular no
//!   `***NO_CI***` is added, because Azure Pipelines would also skip the run on the base branch
//!   that their merge is to start; pipelines leave `greenloop/*` out of their triggers instead.
//!
//! # Not resilient against
//!
//! - Two runs that repair the same failure at the same moment: both look, then both open one.

mod azure_devops;
pub mod conversation;
mod github;
mod gitlab;
mod open_request;
mod push;
mod remote;
#[cfg(test)]
mod server_tests;
mod token;
mod transplant;
mod wire;

use std::sync::Arc;

pub use push::Pusher;
pub use transplant::{blob, is_ancestor, parent, tip, transplant};

use self::azure_devops::AzureRepos;
use self::github::GitHub;
use self::gitlab::Gitlab;
use self::remote::{Remote, Repository};
use self::token::Token;
use self::wire::Wire;
use greenloop_config::plan::{PullRequestPlan, PullRequestProvider};
use greenloop_evidence::Redactor;
use greenloop_model::Fingerprint;
use greenloop_ports::{PullRequestError, PullRequests};

/// Bytes of a description that the marker takes, and what a comment says before the text.
const MARKER_ROOM: usize = 512;

/// The folder of the branches that runs leave.
const OWN_BRANCHES: &str = "greenloop/";

/// The label of every pull request.
const LABEL: &str = "greenloop";

/// Whether a branch is one of Greenloop's own: its short name, or its full one, or how a clone
/// or a pipeline writes it.
pub fn is_own_branch(name: &str) -> bool {
    let name = name.trim();
    let name = match name.strip_prefix("refs/remotes/") {
        Some(rest) => rest.split_once('/').map_or(rest, |(_remote, branch)| branch),
        None => name.strip_prefix("refs/heads/").unwrap_or(name),
    };
    name.strip_prefix("origin/").unwrap_or(name).starts_with(OWN_BRANCHES)
}

/// Whether a commit's message says that a run made it, or that no pipeline is to act on it.
pub fn is_own_commit(message: &str) -> bool {
    message.contains("***NO_CI***")
        || message.lines().any(|line| line.trim_start().starts_with("Greenloop-Run:"))
}

/// What the branch to merge into is: the configured one, else the one the run started from.
/// `head` is the branch that is checked out; a pipeline checks out none and says it by a
/// variable, in a pull request's build the branch that wants to be merged.
pub fn base_branch(
    plan: &PullRequestPlan,
    head: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let short = |name: &str| {
        let name = name.trim();
        let name = name.strip_prefix("refs/heads/").unwrap_or(name);
        (!name.is_empty() && !name.starts_with("refs/")).then(|| name.to_owned())
    };
    plan.target_branch.as_deref().or(head).and_then(short).or_else(|| {
        [
            "SYSTEM_PULLREQUEST_SOURCEBRANCH",
            "BUILD_SOURCEBRANCH",
            "GITHUB_HEAD_REF",
            "GITHUB_REF",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
            "CI_COMMIT_BRANCH",
        ]
        .into_iter()
        .find_map(|name| env(name).as_deref().and_then(short))
    })
}

/// The environment variables that hold the token: what gates and releases, whose code a model
/// may have written, are not to inherit.
pub fn token_variables(plan: &PullRequestPlan) -> Vec<String> {
    let usual = [
        PullRequestProvider::AzureDevops,
        PullRequestProvider::Github,
        PullRequestProvider::Gitlab,
    ];
    let usual = usual.into_iter().flat_map(token::usual).map(str::to_owned);
    usual.chain(plan.token_env.clone()).collect()
}

/// What a pull request for this fingerprint begins with.
fn marker(fingerprint: &Fingerprint) -> String {
    format!("<!-- greenloop:fingerprint={fingerprint} -->")
}

/// The body with its marker at the very beginning.
fn marked(body: &str, fingerprint: &Fingerprint) -> String {
    let marker = marker(fingerprint);
    if body.starts_with(&marker) { body.to_owned() } else { format!("{marker}\n{body}") }
}

/// The comment on an open pull request when the same failure was repaired again.
fn note(proposed: &greenloop_ports::Proposed) -> String {
    format!(
        "The same failure was repaired again, on the branch `{}`. This pull request remains the \
         one for it. The text for the new branch:\n\n{}",
        proposed.branch, proposed.body
    )
}

/// The repository behind a remote's address, ready for pull requests.
///
/// # Errors
/// When the address does not say which repository it is, or no token is in the environment.
pub fn connect(
    plan: &PullRequestPlan,
    remote_url: &str,
    env: &dyn Fn(&str) -> Option<String>,
    redactor: &Redactor,
) -> Result<Arc<dyn PullRequests>, PullRequestError> {
    let repository = Remote::parse(remote_url).repository(plan, env)?;
    let token = Token::find(plan, repository.provider(), env)?;
    let wire = Wire::new(token, redactor)?;
    Ok(match repository {
        Repository::AzureDevops(place) => Arc::new(AzureRepos::new(place, wire)),
        Repository::Github(place) => Arc::new(GitHub::new(place, wire)),
        Repository::Gitlab(place) => Arc::new(Gitlab::new(place, wire)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_branches_and_commits_are_known() {
        for (name, expect) in [
            ("greenloop/0190", true),
            ("refs/heads/greenloop/0190", true),
            ("refs/remotes/origin/greenloop/0190", true),
            ("refs/remotes/up/greenloop/0190", true),
            ("origin/greenloop/0190", true),
            ("main", false),
            ("feature/greenloop/x", false),
            ("greenloop", false),
            ("greenloops/x", false),
        ] {
            assert_eq!(is_own_branch(name), expect, "{name}");
        }
        for (message, expect) in [
            ("Repair it\n\nGreenloop-Run: 0190\nGreenloop-Iteration: 1\n", true),
            ("Squash\n\n* Repair it\n\n  Greenloop-Run: 0190", true),
            ("Update ***NO_CI***", true),
            ("Speak of Greenloop-Run: in a line", false),
            ("Add the fuel report", false),
        ] {
            assert_eq!(is_own_commit(message), expect, "{message}");
        }
    }

    #[test]
    fn the_base_is_where_the_run_started() {
        let plan = |target: Option<&str>| PullRequestPlan {
            target_branch: target.map(Into::into),
            ..PullRequestPlan::default()
        };
        for (target, head, variables, expect) in [
            (Some("develop"), Some("main"), &[][..], Some("develop")),
            (None, Some("main"), &[("BUILD_SOURCEBRANCH", "refs/heads/x")], Some("main")),
            (None, None, &[("BUILD_SOURCEBRANCH", "refs/heads/a/b")], Some("a/b")),
            (
                None,
                None,
                &[
                    ("BUILD_SOURCEBRANCH", "refs/pull/7/merge"),
                    ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "refs/heads/fuel"),
                ],
                Some("fuel"),
            ),
            (None, None, &[("BUILD_SOURCEBRANCH", "refs/tags/v1")], None),
            (None, None, &[("GITHUB_HEAD_REF", ""), ("GITHUB_REF", "refs/heads/m")], Some("m")),
            (None, None, &[], None),
        ] {
            let env = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(base_branch(&plan(target), head, &env).as_deref(), expect, "{variables:?}");
        }
    }

    #[test]
    fn the_marker_stands_first_once() {
        let fingerprint = Fingerprint::from_digest([1; 8]);
        let once = marked("text", &fingerprint);
        assert_eq!(once, "<!-- greenloop:fingerprint=0101010101010101 -->\ntext");
        assert_eq!(marked(&once, &fingerprint), once);
    }
}
