//! From what the file says to what it means: defaults filled, templates expanded, every value
//! judged. One file a section. Each collects its problems in [`Context`] and goes on with a
//! stand-in, so that one reading finds every mistake.

mod agents;
mod cluster;
mod deploy;
mod environment;
mod gates;
mod logging;
mod notifications;
mod safety;
mod sandbox;
mod surroundings;
mod tasks;
mod values;
mod verification;
mod words;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use agents::roles;
pub(super) use safety::{
    APPROVAL_TIMEOUT, approval_timeout, default_limits, default_policy, limits, policy,
};
pub(super) use sandbox::resolve as sandbox;
pub(super) use surroundings::{azure, pull_request};

use super::document::{Document, KeyPath};
use super::duration;
use super::error::{Problem, ProblemKind, quoted};
use super::plan::{EnvironmentPlan, NotificationPlan, RunPlan};
use super::raw::{RawConfig, RawDuration, RawNotifications};
use super::template;
use greenloop_model::RepoPath;

/// Looks up a variable of the environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The plan for the environment called `name`, which must exist, or every mistake.
pub(super) fn plan(
    raw: &RawConfig,
    name: &str,
    document: &Document,
    env: Env<'_>,
) -> Result<RunPlan, Vec<Problem>> {
    let mut cx = Context { document: Some(document), problems: Vec::new(), env };
    let environment = environment::resolve(&mut cx, raw, name);
    let sandbox = sandbox::resolve(&mut cx, raw.sandbox.as_ref());
    let gates = raw.quality_gates.as_deref().unwrap_or_default();
    let gates = gates::resolve(&mut cx, gates, &sandbox);
    let build = raw.build.as_ref().map(|build| deploy::build(&mut cx, build));
    let deploy = deploy::resolve(&mut cx, raw, name, environment.as_ref());
    let verification = environment
        .as_ref()
        .map(|environment| verification::resolve(&mut cx, raw.verification.as_ref(), environment));
    let roles = roles(&mut cx, raw.agents.as_ref());
    let limits = safety::limits(&mut cx, raw.safety.as_ref(), &roles);
    let approval_timeout = approval_timeout(&mut cx, raw.safety.as_ref());
    let policy = safety::policy(&mut cx, raw.safety.as_ref(), environment.as_ref());
    let logging = logging::resolve(&mut cx, raw.logging.as_ref());
    let metrics = logging::metrics(&mut cx, raw.metrics.as_ref());
    let azure = azure(&mut cx, raw.azure.as_ref());
    let pull_request = pull_request(&mut cx, raw.pull_request.as_ref());
    let telemetry = surroundings::telemetry(&mut cx, raw.telemetry.as_ref());
    let tasks = tasks::resolve(&mut cx, raw, name);
    let sinks = raw.notifications.as_deref().unwrap_or_default();
    let notifications = notifications::resolve(&mut cx, sinks);
    match (environment, deploy, verification) {
        (Some(environment), Some(deploy), Some(verification)) if cx.problems.is_empty() => {
            Ok(RunPlan {
                environment,
                gates,
                sandbox,
                deploy,
                verification,
                author: roles.author,
                reviewer: roles.reviewer,
                limits,
                approval_timeout,
                policy,
                logging,
                metrics,
                build,
                azure,
                pull_request,
                telemetry,
                tasks,
                notifications,
            })
        }
        _ => Err(cx.problems),
    }
}

/// The receivers of a file that has nothing else, or every mistake.
pub(super) fn receivers(
    raw: &RawNotifications,
    document: &Document,
) -> Result<Vec<NotificationPlan>, Vec<Problem>> {
    let env: Env<'_> = &|_| None;
    let mut cx = Context { document: Some(document), problems: Vec::new(), env };
    let found = notifications::resolve(&mut cx, &raw.notifications);
    if cx.problems.is_empty() { Ok(found) } else { Err(cx.problems) }
}

/// Variables while a file is judged by itself: what only they can say is taken to be said.
pub(super) fn may_be_said_later(name: &str) -> Option<String> {
    (name == tasks::URL_VARIABLE).then(|| "https://hub.invalid".to_owned())
}

/// What every section needs: where things stand, and where to put what is wrong with them.
pub(super) struct Context<'a> {
    /// `None` when there is no file.
    pub(super) document: Option<&'a Document>,
    pub(super) problems: Vec<Problem>,
    pub(super) env: Env<'a>,
}

impl Context<'_> {
    fn report(&mut self, kind: ProblemKind, place: &KeyPath, message: String, help: &str) {
        self.problems.push(Problem {
            kind,
            message,
            help: (!help.is_empty()).then(|| help.to_owned()),
            position: self.document.map(|document| document.position(place)),
        });
    }

    /// A variable of the environment, when it is set and not blank.
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The first of `places` that the file has; the last when it has none.
    fn existing(&self, places: [KeyPath; 2]) -> KeyPath {
        let [first, last] = places;
        if self.document.is_some_and(|document| document.has(&first)) { first } else { last }
    }

    fn duration(&mut self, raw: Option<&RawDuration>, place: &KeyPath) -> Option<Duration> {
        let raw = raw?;
        let (read, shown) = match raw {
            RawDuration::Seconds(seconds) => {
                (duration::from_seconds(*seconds), format!("`{seconds}`"))
            }
            RawDuration::Text(text) => (duration::parse(text), quoted(text)),
        };
        if read.is_none() {
            self.report(
                ProblemKind::InvalidValue,
                place,
                format!("{shown} is not a valid duration for `{place}`"),
                "use seconds (30) or a number with a unit (500ms, 30s, 5m, 1h30m), at most 7d",
            );
        }
        read
    }

    /// A length of time that must not be zero, such as a timeout.
    fn timeout(&mut self, raw: Option<&RawDuration>, place: &KeyPath) -> Option<Duration> {
        let read = self.duration(raw, place)?;
        if read.is_zero() {
            self.report(
                ProblemKind::OutOfRange,
                place,
                format!("`{place}` is zero, so nothing could finish in time"),
                "use a positive duration, or remove the key for the default",
            );
            return None;
        }
        Some(read)
    }

    /// A path inside the repository, normalised; the root itself is `.`.
    fn path(&mut self, text: &str, place: &KeyPath, root: Root) -> Option<PathBuf> {
        let trimmed = text.trim();
        let home = trimmed == "~" || trimmed.starts_with("~/");
        let drive = trimmed.as_bytes().get(1) == Some(&b':')
            && trimmed.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        if !home && !drive {
            match RepoPath::new(trimmed) {
                Ok(path) => return Some(PathBuf::from(path.to_string_lossy())),
                Err(greenloop_model::InvalidPath::Empty)
                    if root == Root::Allowed && !trimmed.is_empty() =>
                {
                    return Some(PathBuf::from("."));
                }
                Err(_) => {}
            }
        }
        let message = if trimmed.is_empty() {
            format!("`{place}` is empty")
        } else {
            format!("`{place}` is {}, which is not a path inside the repository", quoted(text))
        };
        self.report(
            ProblemKind::InvalidPath,
            place,
            message,
            "paths are relative to the repository's root and must stay inside it",
        );
        None
    }

    /// A text that must say something.
    fn filled(&mut self, text: &str, place: &KeyPath) -> Option<String> {
        if text.trim().is_empty() {
            self.report(ProblemKind::InvalidValue, place, format!("`{place}` is empty"), "");
            return None;
        }
        Some(text.to_owned())
    }

    fn expand(
        &mut self,
        text: &str,
        environment: &EnvironmentPlan,
        place: &KeyPath,
    ) -> Option<String> {
        match template::expand(text, environment) {
            Ok(expanded) => Some(expanded),
            Err(problem) => {
                self.report(ProblemKind::InvalidTemplate, place, problem.message, &problem.help);
                None
            }
        }
    }

    /// An http or https URL without a trailing slash, credentials, query or fragment. `place`
    /// is where the text stands; `name` is what the message calls it.
    fn url(&mut self, text: &str, place: &KeyPath, name: &str) -> Option<url::Url> {
        let trimmed = text.trim();
        let wrong = match url::Url::parse(trimmed) {
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                Some(format!("{name} must begin with http:// or https://"))
            }
            Err(url::ParseError::InvalidPort) => {
                Some(format!("{name} has no valid port: ports are from 1 to 65535"))
            }
            Err(error) => Some(format!("{name} is not a URL: {error}")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                Some(format!("{name} must begin with http:// or https://"))
            }
            Ok(url) if url.host_str().is_none_or(str::is_empty) => {
                Some(format!("{name} has no host"))
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some(format!("{name} contains credentials, which are not allowed in a URL"))
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                Some(format!("{name} has a query or a fragment, but must be a base URL"))
            }
            Ok(url) => return Some(url),
        };
        if let Some(message) = wrong {
            self.report(
                ProblemKind::InvalidUrl,
                place,
                message,
                "for example https://staging.example.org",
            );
        }
        None
    }
}

/// Whether a path may be the repository's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Allowed,
    Refused,
}

/// A URL as text, without a trailing slash.
fn bare(url: &url::Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
