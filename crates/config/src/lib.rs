//! Configuration: [`raw`] is what the file says, [`plan`] what it means.
//!
//! Lives here: finding and reading the configuration, telling every mistake with line, column and the nearest
//! known key, filling defaults, expanding `{{ env.… }}`. Must not be here: doing anything.
//!
//! The way of a file: [`document`] (YAML with places) → [`shape`] (held to the schema of
//! [`raw`]) → [`resolve`] (judged, defaults filled) → [`plan`]. Invariants: a [`Config`] that
//! exists is without mistakes for every environment it defines, as far as the file alone can
//! tell; no secret of the file reaches an error message.

mod command;
pub mod document;
pub mod duration;
pub mod error;
pub mod file_kind;
mod heal;
mod location;
mod migrate;
pub mod nearest;
pub mod plan;
mod price;
pub mod program;
mod raw;
mod resolve;
pub mod schema;
pub mod secrets;
pub mod shape;
mod show;
mod template;
mod vault;
mod vault_reference;
mod version;

use std::path::Path;

use serde::Deserialize;

use document::{Document, KeyPath};
use error::quoted;
use file_kind::CONFIGURATION;
use raw::{RawConfig, RawNotifications};

/// The words of a command line, as `deploy.process.command` is split.
///
/// # Errors
/// When it needs a shell, or a quotation mark is never closed.
pub fn split_command(line: &str) -> Result<Vec<String>, SplitError> {
    command::split(line)
}

pub use command::SplitError;
pub use error::{ConfigError, Position, Problem, ProblemKind};
pub use heal::{HealPlan, heal_plan};
pub use location::{FILE_NAME, Located, OLD_NAME, SCHEMA_PATH, locate};
pub use migrate::{Migration, migrate};
pub use schema::schema;
pub use show::{to_json, to_yaml};
pub use vault::{fill_secrets, secret_references, with_secrets};
pub use vault_reference::is_vault_name;
pub use version::VERSION;

use greenloop_model::{EnvironmentName, RepoPath};

/// A configuration that was read and found without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    document: Document,
    raw: RawConfig,
    environments: Vec<EnvironmentName>,
}

/// What the command line changes about a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--max-iterations`, at least 1.
    pub max_iterations: Option<u32>,
    /// Where the configuration itself lies, so that the policy can protect it.
    pub config_path: Option<RepoPath>,
}

/// Whether a text found at [`OLD_NAME`] is, or tries to be, one of Greenloop's. Environments
/// alone are what many programs configure; how to deploy to them as well is what Greenloop's file
/// says.
pub fn is_meant_for_greenloop(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let says = |key: &str| text.lines().any(|line| line.starts_with(key));
    says("environments:") && says("deploy:") || parse(text, OLD_NAME).is_ok()
}

/// Reads the configuration at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    parse(&file_kind::read(path, &CONFIGURATION)?, &path.to_string_lossy())
}

/// Reads a file with `notifications` alone, as a hub has it.
///
/// # Errors
/// Every mistake, with its place.
pub fn load_notifications(path: &Path) -> Result<Vec<plan::NotificationPlan>, ConfigError> {
    let (text, file_name) = (file_kind::read(path, &CONFIGURATION)?, path.to_string_lossy());
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let document = Document::parse(text, &file_name, &CONFIGURATION)?;
    let fail = |problems| ConfigError::in_text(&file_name, text, problems);
    let problems = secrets_in(&document);
    if !problems.is_empty() {
        return Err(fail(problems));
    }
    let json = shape::read(&document, &schema::schema_of::<RawNotifications>()).map_err(fail)?;
    let raw = RawNotifications::deserialize(&json).map_err(|error| {
        fail(vec![Problem {
            kind: ProblemKind::WrongType,
            message: format!("invalid value: {error}"),
            help: None,
            position: Some(document.position(&KeyPath::root())),
        }])
    })?;
    resolve::receivers(&raw, &document).map_err(fail)
}

/// Reads a configuration from memory; `file_name` is what errors call it.
pub fn parse(text: &str, file_name: &str) -> Result<Config, ConfigError> {
    // Spans are bytes of what the parser saw, and it does not see a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = Document::parse(text, file_name, &CONFIGURATION)?;
    // The rest of a file of another version would only give misleading errors.
    version::check(&document)?;
    let fail = |problems| Err(ConfigError::in_text(file_name, text, problems));
    let mut problems = secrets_in(&document);
    problems.extend(vault::problems(&document));
    let json = match shape::read(&document, schema::shared()) {
        Ok(json) => json,
        Err(others) => {
            // `api_key: sk-…` is one mistake, not two.
            let lines: Vec<_> = problems.iter().filter_map(line_of).collect();
            problems.extend(
                others.into_iter().filter(|p| line_of(p).is_none_or(|line| !lines.contains(&line))),
            );
            return fail(problems);
        }
    };
    if !problems.is_empty() {
        return fail(problems);
    }
    let raw = match RawConfig::deserialize(&json) {
        Ok(raw) => raw,
        // The schema let through what the types refuse: a number too large for its field.
        Err(error) => {
            return fail(vec![Problem {
                kind: ProblemKind::WrongType,
                message: format!("invalid value: {error}"),
                help: None,
                position: Some(document.position(&KeyPath::root())),
            }]);
        }
    };
    let environments = document.root().get("environments").map(document::Node::keys);
    let environments: Vec<String> =
        environments.unwrap_or_default().into_iter().map(str::to_owned).collect();
    if environments.is_empty() {
        return fail(vec![Problem {
            kind: ProblemKind::InvalidValue,
            message: "`environments` is empty".to_owned(),
            help: Some("define at least one, for example `local`".to_owned()),
            position: Some(document.position(&KeyPath::root().key("environments"))),
        }]);
    }
    let mut names = Vec::new();
    for name in &environments {
        match resolve::plan(&raw, name, &document, &resolve::may_be_said_later) {
            Ok(plan) => names.push(plan.environment.name),
            Err(found) => {
                problems.extend(
                    found.into_iter().filter(|p| !problems.contains(p)).collect::<Vec<_>>(),
                );
            }
        }
    }
    if problems.is_empty() {
        Ok(Config { document, raw, environments: names })
    } else {
        fail(problems)
    }
}

impl Config {
    /// The environments, in the order of the file; never empty.
    pub fn environments(&self) -> Vec<&EnvironmentName> {
        self.environments.iter().collect()
    }

    /// What the configuration means for `environment`. `env` looks up variables: it is asked
    /// for `OPENAI_BASE_URL`, `GREENLOOP_MODEL` and `GREENLOOP_REVIEWER_MODEL`, never for a
    /// key.
    pub fn plan(
        &self,
        environment: &str,
        overrides: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<plan::RunPlan, ConfigError> {
        if !self.environments.iter().any(|known| known.as_str() == environment) {
            return Err(self.unknown_environment(environment));
        }
        let mut plan = resolve::plan(&self.raw, environment, &self.document, env)
            .map_err(|problems| self.error(problems))?;
        plan.policy.config_path.clone_from(&overrides.config_path);
        if let Some(max_iterations) = overrides.max_iterations {
            if max_iterations == 0 {
                return Err(self.error(vec![Problem {
                    kind: ProblemKind::OutOfRange,
                    message: "--max-iterations must be at least 1".to_owned(),
                    help: Some("to deploy nothing, use `greenloop verify` or --dry-run".to_owned()),
                    position: None,
                }]));
            }
            plan.limits.max_iterations = max_iterations;
        }
        Ok(plan)
    }

    /// Where the file says the address of `environment`.
    pub fn url_position(&self, environment: &str) -> Position {
        let place = KeyPath::root().key("environments").key(environment).key("url");
        self.document.position(&place)
    }

    fn unknown_environment(&self, name: &str) -> ConfigError {
        let known = || self.environments.iter().map(EnvironmentName::as_str);
        let defined = format!("{} defines {}", self.document.file_name(), nearest::list(known()));
        let help = match nearest::nearest(name, known()) {
            Some(near) => format!("did you mean `{near}`? {defined}"),
            None => defined,
        };
        self.error(vec![Problem {
            kind: ProblemKind::UnknownEnvironment,
            message: format!("unknown environment {}", quoted(name)),
            help: Some(help),
            position: Some(self.document.position(&KeyPath::root().key("environments"))),
        }])
    }

    fn error(&self, problems: Vec<Problem>) -> ConfigError {
        ConfigError::in_text(self.document.file_name(), self.document.text(), problems)
    }
}

fn line_of(problem: &Problem) -> Option<usize> {
    problem.position.as_ref().map(|at| at.line)
}

/// Every value that is a secret by its form, or by the name it stands under.
fn secrets_in(document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (place, node) in document.scalars() {
        let Some(text) = document.scalar(node) else { continue };
        let what = secrets::find(text).or_else(|| {
            let name = place.last_key()?;
            let named =
                greenloop_model::names_secret(name) && vault_reference::reference(text).is_none();
            (named && secrets::is_credible(text)).then_some("a secret")
        });
        let Some(what) = what else { continue };
        let place_text = place.to_string();
        let help = if place_text.starts_with("agents") {
            "remove it from the file and export it as OPENAI_API_KEY (`api_key_env` selects \
             another variable); if it was ever committed, revoke it"
                .to_owned()
        } else {
            let name = place.last_key().filter(|name| greenloop_model::names_secret(name));
            format!(
                "remove it from the file and export it{} where Greenloop runs: gates, scripts and \
                 the service inherit the environment; if it was ever committed, revoke it",
                name.map(|name| format!(" as {name}")).unwrap_or_default()
            )
        };
        problems.push(Problem {
            kind: ProblemKind::Secret,
            message: format!("`{place}` contains what looks like {what}"),
            help: Some(help),
            position: Some(document.position(&place)),
        });
    }
    problems
}

#[cfg(test)]
mod tests;
