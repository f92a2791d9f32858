//! Brings a run's branch to the remote, with the git on the machine: libgit2 speaks no https
//! here.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::remote::Remote;
use super::token::Token;
use greenloop_config::plan::{PullRequestPlan, PullRequestProvider};
use greenloop_evidence::Redactor;
use greenloop_exec::{Command, Marker, Program, run};
use greenloop_http::retry::{BackoffBuilder as _, ExponentialBuilder, backoff};
use greenloop_model::{Exit, RunId};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// Between the tries of a push; it says the same thing twice without harm.
const RETRY: ExponentialBuilder =
    backoff(Duration::from_millis(700), Duration::from_secs(15)).with_max_times(2);
/// For one try.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of git's output that are kept, from its end.
const LONGEST_OUTPUT: usize = 16 << 10;

/// Variables that would point git elsewhere, or make it write down what it sends.
pub(super) const ENV_REMOVE: [&str; 13] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_CURL_VERBOSE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_ASKPASS",
];

/// Pushes to one remote.
#[derive(Debug)]
pub struct Pusher {
    remote: Remote,
    provider: Option<PullRequestProvider>,
    token: Option<Token>,
    /// Entries of git's configuration that the environment holds already.
    entries: usize,
    redactor: Redactor,
    /// Between two tries.
    pub(super) retry: ExponentialBuilder,
}

impl Pusher {
    /// For the remote at `remote_url`.
    ///
    /// # Errors
    /// When the remote is reached over https and no token is in the environment.
    pub fn new(
        plan: &PullRequestPlan,
        remote_url: &str,
        env: &dyn Fn(&str) -> Option<String>,
        redactor: &Redactor,
    ) -> Result<Self, PullRequestError> {
        let remote = Remote::parse(remote_url);
        let provider = remote.provider(plan);
        let token = match (provider, remote.push_url()) {
            (Some(provider), Some(_)) => Some(Token::find(plan, provider, env)?),
            // Over ssh, to a folder, or where nobody can be told: as the person would push.
            (_, _) => None,
        };
        let entries = env("GIT_CONFIG_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(Self { remote, provider, token, entries, redactor: redactor.clone(), retry: RETRY })
    }

    /// Pushes `branch` (its short name) of the repository that `folder` lies in, under its own
    /// name and never by force. A branch that is there already at the same commit is well.
    ///
    /// # Errors
    /// [`PullRequestErrorKind::Auth`] with the missing permission, and the others.
    pub async fn push(
        &self,
        folder: &Path,
        branch: &str,
        run_id: RunId,
        cancel: &CancellationToken,
    ) -> Result<(), PullRequestError> {
        self.push_as(folder, &format!("refs/heads/{branch}"), branch, run_id, cancel).await
    }

    /// Pushes `commit` (a full id, or a ref of the repository) to `branch`, never by force.
    ///
    /// # Errors
    /// As [`Self::push`]; [`PullRequestErrorKind::Rejected`] where the branch has moved.
    pub async fn push_as(
        &self,
        folder: &Path,
        commit: &str,
        branch: &str,
        run_id: RunId,
        cancel: &CancellationToken,
    ) -> Result<(), PullRequestError> {
        let refspec = format!("{commit}:refs/heads/{branch}");
        let push = ["push", "--porcelain", "--no-verify", "--no-follow-tags"];
        let mut delays = self.retry.build();
        loop {
            if let Some(status) = self.refused().await {
                return Err(self.not_allowed(status));
            }
            let (error, again) =
                match self.once(folder, &push, (&refspec, branch), run_id, cancel).await {
                    Ok(()) => return Ok(()),
                    Err(failed) => failed,
                };
            let Some(delay) = delays.next().filter(|_| again) else { return Err(error) };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = cancel.cancelled() => return Err(cancelled()),
            }
        }
    }

    /// Fetches the tip of `branch` into `into`, a full ref of the repository that `folder` lies in.
    ///
    /// # Errors
    /// [`PullRequestErrorKind::Unreachable`] when git cannot fetch it, and the others.
    pub async fn fetch(
        &self,
        folder: &Path,
        branch: &str,
        into: &str,
        run_id: RunId,
        cancel: &CancellationToken,
    ) -> Result<(), PullRequestError> {
        let refspec = format!("+refs/heads/{branch}:{into}");
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        let mut delays = self.retry.build();
        loop {
            let (error, again) =
                match self.once(folder, &fetch, (&refspec, branch), run_id, cancel).await {
                    Ok(()) => return Ok(()),
                    Err(failed) => failed,
                };
            let Some(delay) = delays.next().filter(|_| again) else { return Err(error) };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = cancel.cancelled() => return Err(cancelled()),
            }
        }
    }

    /// The status with which the server refuses a push, asked for as git asks: git itself says
    /// it only in words. `None` when it takes one, or cannot be asked.
    async fn refused(&self) -> Option<u16> {
        let token = self.token.as_ref()?;
        let url = self.remote.push_url()?;
        let url = format!("{}/info/refs", url.as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .ok()?;
        let answer = client
            .get(url)
            .query(&[("service", "git-receive-pack")])
            .header("user-agent", concat!("git/greenloop-", env!("CARGO_PKG_VERSION")))
            .header("authorization", token.for_git())
            .send()
            .await
            .ok()?;
        let status = answer.status().as_u16();
        matches!(status, 203 | 401 | 403 | 404).then_some(status)
    }

    fn not_allowed(&self, status: u16) -> PullRequestError {
        let needed = match self.provider {
            Some(PullRequestProvider::AzureDevops) => {
                "Contribute and Create branch on the repository; in a pipeline they belong to the \
                 project's Build Service account"
            }
            Some(PullRequestProvider::Github) => {
                "contents: write, or the scope repo, and access to this repository"
            }
            Some(PullRequestProvider::Gitlab) => {
                "the scope write_repository and the role Developer"
            }
            None => "the right to push",
        };
        PullRequestError {
            kind: PullRequestErrorKind::Auth,
            message: format!(
                "a push to {}: HTTP {status} (the token needs {needed})",
                self.remote.address
            ),
            source: None,
        }
    }

    /// One push or fetch. On failure whether it may pass if it is tried again.
    async fn once(
        &self,
        folder: &Path,
        command: &[&str],
        (refspec, branch): (&str, &str),
        run_id: RunId,
        cancel: &CancellationToken,
    ) -> Result<(), (PullRequestError, bool)> {
        let url = self.remote.push_url().filter(|_| self.token.is_some());
        let url = url.map_or_else(|| self.remote.address.clone(), String::from);
        let verb = command.first().copied().unwrap_or("push");
        let mut argv: Vec<OsString> = vec!["git".into()];
        argv.extend(command.iter().map(Into::into));
        argv.push("--recurse-submodules=no".into());
        argv.push("--".into());
        argv.push(url.clone().into());
        argv.push(refspec.into());
        let command = Command {
            program: Program::Argv(argv),
            cwd: folder.to_owned(),
            env: self.environment(&url),
            env_remove: ENV_REMOVE.into_iter().map(Into::into).collect(),
            timeout: Some(TIMEOUT),
            marker: Marker::new(run_id),
            confinement: None,
        };
        let mut output = Vec::new();
        let mut keep = |piece: &[u8]| {
            output.extend_from_slice(piece);
            let surplus = output.len().saturating_sub(2 * LONGEST_OUTPUT);
            if surplus > 0 {
                output.drain(..surplus + LONGEST_OUTPUT);
            }
        };
        let outcome = run(&command, &mut keep, cancel).await;
        if outcome.cancelled {
            return Err((cancelled(), false));
        }
        if outcome.exit == Exit::Code(0) {
            return Ok(());
        }
        let said = self.said(&output);
        let rejection = rejection(&output);
        let error = |kind, message| PullRequestError { kind, message, source: None };
        match (&outcome.exit, rejection) {
            (Exit::NotStarted(why), _) => {
                let message = format!("could not run git {verb}: {why}");
                Err((error(PullRequestErrorKind::Git, message), false))
            }
            (_, Some(reason)) => {
                let reason = self.said(reason.as_bytes());
                let message = format!("the remote rejected {branch}: {reason}");
                Err((error(PullRequestErrorKind::Rejected, message), false))
            }
            (exit, None) => {
                let address = &self.remote.address;
                let message =
                    format!("git {verb} of {branch} at {address} failed ({exit}): {said}");
                Err((error(PullRequestErrorKind::Unreachable, message), true))
            }
        }
    }

    /// Git's configuration for this one command; the token stands nowhere else.
    fn environment(&self, url: &str) -> Vec<(OsString, OsString)> {
        let mut entries = vec![
            // A hook is the repository's own program, and would know the token.
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("push.gpgSign".to_owned(), "false".to_owned()),
        ];
        if let Some(token) = &self.token {
            // For this address alone. The first, empty one takes away what a pipeline's
            // checkout has left there: two headers of that name are refused.
            let header = format!("http.{url}.extraHeader");
            entries.push((header.clone(), String::new()));
            entries.push((header, format!("Authorization: {}", token.for_git())));
            entries.push(("credential.helper".to_owned(), String::new()));
            entries.push(("http.followRedirects".to_owned(), "false".to_owned()));
        }
        let mut env: Vec<(OsString, OsString)> = vec![
            ("GIT_TERMINAL_PROMPT".into(), "0".into()),
            ("GCM_INTERACTIVE".into(), "never".into()),
            ("LC_ALL".into(), "C".into()),
            ("GIT_CONFIG_COUNT".into(), (self.entries + entries.len()).to_string().into()),
        ];
        for (n, (key, value)) in entries.into_iter().enumerate() {
            let n = self.entries + n;
            env.push((format!("GIT_CONFIG_KEY_{n}").into(), key.into()));
            env.push((format!("GIT_CONFIG_VALUE_{n}").into(), value.into()));
        }
        env
    }

    /// The end of git's output on one line, without secrets.
    fn said(&self, output: &[u8]) -> String {
        let text = String::from_utf8_lossy(output).into_owned();
        let text = match &self.token {
            Some(token) => {
                let sent = token.for_git();
                let encoded = sent.rsplit(' ').next().unwrap_or(&sent).to_owned();
                text.replace(token.secret(), greenloop_evidence::MARKER)
                    .replace(&encoded, greenloop_evidence::MARKER)
            }
            None => text,
        };
        let text = self.redactor.redact(&text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        let from = line.len().saturating_sub(600);
        let from = (from..line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line[from..].to_owned()
    }
}

/// What the remote says of the ref, in git's format for programs: `!<tab>from:to<tab>[reason]`.
fn rejection(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().find(|line| line.starts_with("!\t"))?;
    line.split('\t').nth(2).map(str::to_owned)
}

fn cancelled() -> PullRequestError {
    PullRequestError {
        kind: PullRequestErrorKind::Cancelled,
        message: "the push was cancelled".to_owned(),
        source: None,
    }
}
