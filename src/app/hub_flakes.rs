//! The hub's memory of flaky tests: what other clones of the repository have seen is used by a run,
//! and what a run has seen is passed on. A hub that does not answer fails no run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Environment;
use super::hub_connection::{connect, hub_of};
use greenloop_config::plan::{PullRequestPlan, TasksPlan};
use greenloop_engine::flaky::{FLAKY_FILE, FlakyTests};
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::{HubClient, HubError};
use greenloop_hub_api::types::FlakeReport;
use greenloop_model::error_chain;
use greenloop_workspace::Workspace;

/// How long the hub may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Tests of one report, and bytes of a name: what the hub takes.
const MOST: usize = 500;
const LONGEST: usize = 500;

/// The memory for one repository.
pub(super) struct HubFlakes {
    client: HubClient,
    redactor: Redactor,
    repository: String,
    path: PathBuf,
    /// What was known before the run, in seconds.
    before: BTreeMap<String, i64>,
}

/// Where a repository's own memory is.
pub(super) fn path(workspace: &Workspace) -> PathBuf {
    workspace.git_dir().join("greenloop").join(FLAKY_FILE)
}

impl HubFlakes {
    /// `None` where no hub or no token for it is known, or the repository has no remote that all its
    /// clones have in common.
    pub(super) fn of(
        tasks: Option<&TasksPlan>,
        pull_request: Option<&PullRequestPlan>,
        env: &Environment,
        workspace: &Workspace,
    ) -> Option<Self> {
        let (hub, token_env) = hub_of(tasks, env)?;
        let remote = pull_request.map_or_else(|| "origin".to_owned(), |plan| plan.remote.clone());
        let repository = repository_of(&workspace.remote_url(&remote)?)?;
        let (client, redactor) = match connect(&hub, &token_env, env) {
            Ok((client, redactor)) => (client.within(TIMEOUT), redactor),
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the hub's flaky tests are not used");
                return None;
            }
        };
        let path = path(workspace);
        Some(Self { client, redactor, repository, path, before: BTreeMap::new() })
    }

    /// The memory, if [`HubFlakes::of`] knows one, for a run that is about to begin: the hub's part is
    /// written down for it, and for whoever looks at it without the hub.
    pub(super) async fn learn(
        tasks: Option<&TasksPlan>,
        pull_request: Option<&PullRequestPlan>,
        env: &Environment,
        workspace: &Workspace,
    ) -> Option<Self> {
        let mut memory = Self::of(tasks, pull_request, env, workspace)?;
        let mut known = FlakyTests::load(&memory.path);
        match memory.ask().await {
            Ok(theirs) => {
                known.learn(theirs);
                if let Err(error) = known.save() {
                    tracing::warn!(%error, "could not save the hub's flaky tests");
                }
            }
            Err(why) => tracing::warn!(why, "the hub's flaky tests could not be read"),
        }
        memory.before = seen(&known);
        Some(memory)
    }

    /// Both memories, for a look; nothing is written.
    pub(super) async fn merged(&self) -> FlakyTests {
        let mut known = FlakyTests::load(&self.path);
        match self.ask().await {
            Ok(theirs) => known.learn(theirs),
            Err(why) => tracing::warn!(why, "the hub's flaky tests could not be read"),
        }
        known
    }

    async fn ask(&self) -> Result<Vec<(String, Timestamp)>, String> {
        let asked = self.client.flakes(&self.repository);
        let flakes = answered(tokio::time::timeout(TIMEOUT, asked).await)?;
        let time = |at: i64| Timestamp::from_microsecond(at).ok();
        Ok(flakes.into_iter().filter_map(|it| Some((it.test, time(it.seen_at.0)?))).collect())
    }

    /// Passes on what was seen since [`HubFlakes::learn`].
    pub(super) async fn report(self) {
        let now = seen(&FlakyTests::load(&self.path));
        let tests = new_since(&self.before, &now, &self.redactor);
        if tests.is_empty() {
            return;
        }
        let report = FlakeReport { repository: self.repository, tests };
        let told = self.client.report_flakes(&report);
        if let Err(why) = answered(tokio::time::timeout(TIMEOUT, told).await) {
            tracing::warn!(why, "the flaky tests could not be reported to the hub");
        }
    }
}

fn answered<T>(
    outcome: Result<Result<T, HubError>, tokio::time::error::Elapsed>,
) -> Result<T, String> {
    match outcome {
        Ok(answer) => answer.map_err(|error| error_chain(&error)),
        Err(_elapsed) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn seen(tests: &FlakyTests) -> BTreeMap<String, i64> {
    tests.latest().into_iter().map(|(test, at)| (test.to_owned(), at.as_second())).collect()
}

/// Tests that were seen later than before, as the hub takes them.
fn new_since(
    before: &BTreeMap<String, i64>,
    now: &BTreeMap<String, i64>,
    redactor: &Redactor,
) -> Vec<String> {
    let new = now.iter().filter(|(test, at)| before.get(*test).is_none_or(|known| known < at));
    // A name that holds a secret would be another test's there.
    let told = new.map(|(test, _)| test).filter(|test| redactor.redact(test) == test.as_str());
    let fits = |test: &&String| {
        !test.is_empty() && test.len() <= LONGEST && !test.contains(char::is_control)
    };
    told.filter(fits).take(MOST).cloned().collect()
}

/// What all clones of a repository have in common: the remote's host and path, without a login, a
/// scheme, a port and `.git`. A local path is itself.
fn repository_of(remote: &str) -> Option<String> {
    let remote = remote.trim().trim_end_matches('/');
    let name = match url::Url::parse(remote) {
        Ok(url) if url.has_host() => {
            let host = url.host_str()?.to_ascii_lowercase();
            format!("{host}{}", url.path())
        }
        Ok(url) if url.scheme() == "file" => url.path().to_owned(),
        _ => match remote.split_once(':') {
            // `git@host:path`; a path with a colon after a slash is none.
            Some((host, path)) if !host.contains('/') && !host.is_empty() => {
                let host = host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase();
                format!("{host}/{}", path.trim_start_matches('/'))
            }
            _ => Path::new(remote).is_absolute().then(|| remote.to_owned())?,
        },
    };
    let name = name.trim_end_matches('/');
    let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
    (!name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_of_a_repository_have_one_name() {
        for (remote, expect) in [
            ("https://github.com/acme/fleet.git", Some("github.com/acme/fleet")),
            ("https://me:key@GitHub.com/acme/fleet/", Some("github.com/acme/fleet")),
            ("git@github.com:acme/fleet.git", Some("github.com/acme/fleet")),
            ("ssh://git@github.com:22/acme/fleet", Some("github.com/acme/fleet")),
            ("/srv/git/fleet.git", Some("/srv/git/fleet")),
            ("file:///srv/git/fleet.git", Some("/srv/git/fleet")),
            ("../fleet", None),
            ("", None),
        ] {
            assert_eq!(repository_of(remote).as_deref(), expect, "{remote}");
        }
    }

    #[test]
    fn only_what_this_run_has_seen_is_passed_on() {
        let map = |tests: &[(&str, i64)]| -> BTreeMap<String, i64> {
            tests.iter().map(|(test, at)| ((*test).to_owned(), *at)).collect()
        };
        let long = "x".repeat(LONGEST + 1);
        let before = map(&[("known", 5), ("again", 5)]);
        let now = map(&[("known", 5), ("again", 9), ("new", 9), (&long, 9), ("a\nb", 9)]);
        let found = new_since(&before, &now, &Redactor::default());
        assert_eq!(found, ["again", "new"]);
        let secret = Redactor::new(["S3cr3tV4lu3".to_owned()]);
        assert!(new_since(&before, &map(&[("is S3cr3tV4lu3", 9)]), &secret).is_empty());
    }
}
