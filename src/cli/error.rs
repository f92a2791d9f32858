//! Every error of every layer becomes a [`CommandError`] here: one line, its causes, hints, and
//! an exit code.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use crate::app::AppError;
use greenloop_config::ConfigError;
use greenloop_engine::claim::ClaimError;
use greenloop_engine::recover::RecoverError;
use greenloop_exec::sandbox::SandboxError;
use greenloop_hub::store::StoreErrorKind;
use greenloop_hub_api::client::{HubError, HubErrorKind};
use greenloop_model::{FailureClass, NoPatchClass, Remedy, RunSummary, StopReason};
use greenloop_ports::{TargetError, TargetErrorKind};
use greenloop_worker::{WorkdirError, WorkerError};
use greenloop_workspace::{WorkspaceError, WorkspaceErrorKind};

/// What the process exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Verified, healed, or the command did what it was asked to.
    Ok,
    /// Stopped; a person is needed.
    NeedsPerson,
    /// Usage or configuration.
    Usage,
    /// Engine, registry, cluster, model, disk.
    Infrastructure,
    /// The deployment failed and the last good release serves again.
    Restored,
    /// Another run holds the environment.
    Held,
    /// Cancelled.
    Cancelled,
}

impl Exit {
    /// The number.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NeedsPerson => 1,
            Self::Usage => 2,
            Self::Infrastructure => 3,
            Self::Restored => 4,
            Self::Held => 5,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The exit code of a run that ended like this.
pub(super) fn exit_of(summary: &RunSummary) -> Exit {
    match &summary.stop {
        // What was asked for is a work tree in which the command passes.
        StopReason::Verified if summary.not_brought_back().is_some() => Exit::NeedsPerson,
        StopReason::Verified => Exit::Ok,
        StopReason::Cancelled | StopReason::Abandoned => Exit::Cancelled,
        _ if summary.rolled_back() => Exit::Restored,
        StopReason::NotHealable { class, .. } => exit_of_class(*class),
        // What failed decides; that no model is configured is no failure.
        StopReason::NoModel { failure, .. } => {
            let class = failure.as_ref().map(|failure| failure.class);
            let left = summary.failure.as_ref().map(|failure| failure.class);
            class.or(left).map_or(Exit::NeedsPerson, exit_of_class)
        }
        // Nothing was reached that could have passed or not.
        StopReason::NoHealing { .. }
            if summary.failure.as_ref().is_some_and(|failure| !failure.class.heals()) =>
        {
            Exit::Infrastructure
        }
        StopReason::NoPatch { class, .. } => match class {
            NoPatchClass::Infrastructure => Exit::Infrastructure,
            NoPatchClass::Flaky | NoPatchClass::NeedsHuman => Exit::NeedsPerson,
        },
        StopReason::ModelUnavailable { .. } | StopReason::Internal { .. } => Exit::Infrastructure,
        StopReason::MaxIterations { .. }
        | StopReason::NoProgress { .. }
        | StopReason::RepeatedAnswer { .. }
        | StopReason::RepeatedTree { .. }
        | StopReason::Budget { .. }
        | StopReason::NeedsHuman { .. }
        | StopReason::Declined { .. }
        | StopReason::NoHealing { .. } => Exit::NeedsPerson,
    }
}

const fn exit_of_class(class: FailureClass) -> Exit {
    match class {
        FailureClass::Infrastructure | FailureClass::Auth | FailureClass::Quota => {
            Exit::Infrastructure
        }
        FailureClass::Code
        | FailureClass::Config
        | FailureClass::Flaky
        | FailureClass::Timeout
        | FailureClass::Unknown => Exit::NeedsPerson,
    }
}

/// An error as a person sees it.
#[derive(Debug)]
pub struct CommandError {
    exit: Exit,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    diagnostic: Option<Box<ConfigError>>,
    hints: Vec<String>,
}

impl CommandError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), cause: None, diagnostic: None, hints: Vec::new() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(super) fn infrastructure(message: impl Into<String>) -> Self {
        Self::new(Exit::Infrastructure, message)
    }

    pub(super) fn person(message: impl Into<String>) -> Self {
        Self::new(Exit::NeedsPerson, message)
    }

    pub(super) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Prints it on stderr and returns the exit code.
    pub(super) fn report(self) -> Exit {
        let redactor = greenloop_evidence::Redactor::from_env();
        let mut text = String::new();
        match &self.diagnostic {
            Some(error) => text.push_str(&config_report(error)),
            None => {
                text.push_str("error: ");
                text.push_str(&self.message);
                if let Some(cause) = &self.cause {
                    text.push_str(": ");
                    text.push_str(&greenloop_model::error_chain(cause.as_ref()));
                }
                text.push('\n');
            }
        }
        for hint in &self.hints {
            text.push_str("  hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        let text = redactor.redact(&text);
        let safe = match super::stream::width_of_stderr() {
            // Its lines are drawn to the width already, and marked in colour.
            Some(width) if self.diagnostic.is_none() => greenloop_report::rows(&text, width),
            Some(_) | None => greenloop_report::safe_text::safe(&text),
        };
        let _closed_pipe = anstream::stderr().write_all(safe.as_bytes());
        self.exit
    }
}

/// Columns of a report that is not read on a screen.
const WIDTH: usize = 100;
/// Mistakes of a file that are shown with their lines; the others have one line each.
const SHOWN_WITH_SOURCE: usize = 10;

/// Every mistake of a configuration with its place, one below the other.
fn config_report(error: &ConfigError) -> String {
    let width = super::stream::width_of_stderr().unwrap_or(WIDTH);
    let handler = miette::GraphicalReportHandler::new_themed(theme()).with_width(width);
    let mut text = String::new();
    for problem in error.each().take(SHOWN_WITH_SOURCE) {
        // Writing into a string cannot fail.
        let _infallible = handler.render_report(&mut text, &problem);
    }
    text.push_str(&error.plain_after(SHOWN_WITH_SOURCE));
    if error.problems().len() > 1 {
        text.push_str(&format!("{error}\n"));
    }
    text
}

fn theme() -> miette::GraphicalTheme {
    if super::stream::colour_on_stderr() {
        miette::GraphicalTheme::unicode()
    } else {
        miette::GraphicalTheme::unicode_nocolor()
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let message = error.to_string();
        let mut own = Self::usage(message);
        own.diagnostic = Some(Box::new(error));
        own
    }
}

impl From<WorkspaceError> for CommandError {
    fn from(error: WorkspaceError) -> Self {
        let hint = error.hint();
        let exit = match error.kind {
            WorkspaceErrorKind::Cancelled => Exit::Cancelled,
            WorkspaceErrorKind::Conflict { .. } => Exit::NeedsPerson,
            _ if error.is_usage() => Exit::Usage,
            _ => Exit::Infrastructure,
        };
        let own = Self { cause: error_cause(&error), ..Self::new(exit, error.to_string()) };
        match hint {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

fn error_cause(error: &dyn Error) -> Option<Box<dyn Error + Send + Sync>> {
    error.source().map(|source| greenloop_model::error_chain(source).into())
}

impl From<ClaimError> for CommandError {
    fn from(error: ClaimError) -> Self {
        match &error {
            ClaimError::Held { .. } => Self::new(Exit::Held, error.to_string())
                .hint("wait for it to end, or cancel it with Ctrl-C where it runs"),
            ClaimError::Io { .. } => {
                let cause = error_cause(&error);
                Self { cause, ..Self::infrastructure(error.to_string()) }
                    .hint("the git folder holds the state of runs: it has to be writable")
            }
        }
    }
}

impl From<RecoverError> for CommandError {
    fn from(error: RecoverError) -> Self {
        let message = format!("an earlier run cannot be taken over: {error}");
        let cause = error_cause(&error);
        match error {
            RecoverError::Foreign => Self { cause, ..Self::person(message) }
                .hint("git status shows them; commit or stash what is yours")
                .hint("git checkout -- FILE puts a file back as it was"),
            RecoverError::HeadMoved { .. } => Self { cause, ..Self::person(message) }
                .hint("start a new run: it cleans up after that one and takes HEAD as it is")
                .hint("to go on with that one, git switch to its commit first"),
            RecoverError::Ended(_) | RecoverError::Another { .. } => {
                Self::usage(message).hint("greenloop audit list shows the runs")
            }
            RecoverError::Audit(_)
            | RecoverError::Replay(_)
            | RecoverError::Workspace(_)
            | RecoverError::Target(_)
            | RecoverError::Base(_)
            | RecoverError::Folder(_) => Self { cause, ..Self::infrastructure(message) },
        }
    }
}

impl From<TargetError> for CommandError {
    fn from(error: TargetError) -> Self {
        let cause = error_cause(&error);
        let (exit, hint) = match error.kind {
            TargetErrorKind::Held => (
                Exit::Held,
                Some("wait for it to end; the lease of a run that died expires by itself"),
            ),
            TargetErrorKind::Forbidden => (
                Exit::NeedsPerson,
                Some(
                    "deploy.rollback of that release forbids it: repair it forward, or change it there",
                ),
            ),
            TargetErrorKind::NoRelease => {
                (Exit::Usage, Some("greenloop status lists the releases"))
            }
            TargetErrorKind::Superseded | TargetErrorKind::Release => (Exit::NeedsPerson, None),
            TargetErrorKind::Cancelled => (Exit::Cancelled, None),
            TargetErrorKind::Target => (
                Exit::Infrastructure,
                Some("greenloop doctor --environment ENV looks at each part"),
            ),
        };
        let own = Self { cause, ..Self::new(exit, error.message.clone()) };
        match hint {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

impl From<HubError> for CommandError {
    fn from(error: HubError) -> Self {
        let cause = error_cause(&error);
        let (exit, hint) = match error.kind {
            HubErrorKind::Unauthorised => (
                Exit::Usage,
                Some(
                    "`greenloop hub token create --name NAME` makes one; put it into GREENLOOP_HUB_TOKEN",
                ),
            ),
            HubErrorKind::Forbidden => (
                Exit::Usage,
                Some(
                    "`greenloop hub token create --name NAME --scope SCOPE` makes one with another scope",
                ),
            ),
            HubErrorKind::Invalid | HubErrorKind::NotFound | HubErrorKind::Conflict => {
                (Exit::Usage, None)
            }
            HubErrorKind::StaleLease => (Exit::NeedsPerson, None),
            HubErrorKind::Unavailable | HubErrorKind::Protocol => {
                (Exit::Infrastructure, Some("is that the hub's address, and does it run?"))
            }
        };
        let own = Self { cause, ..Self::new(exit, error.to_string()) };
        match hint {
            Some(hint) => own.hint(hint),
            None => own,
        }
    }
}

impl From<AppError> for CommandError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Config(error) => (*error).into(),
            AppError::Workspace(error) => error.into(),
            AppError::Claim(error) => error.into(),
            AppError::Recover(error) => error.into(),
            AppError::Unsupported { what, hint } => Self::usage(what).hint(hint),
            AppError::Preflight(ref findings) => {
                let remedies = findings.iter().map(|found| found.fault.remedy());
                let own = Self::usage(error.to_string());
                remedies.fold(own, |own, Remedy { what, command, person_only: _ }| {
                    own.hint(match command {
                        Some(command) => format!("{what}: {command}"),
                        None => what,
                    })
                })
            }
            AppError::Policy(_) => Self::usage(error.to_string()).because_source(&error),
            AppError::NoSuchRun { .. } => {
                Self::usage(error.to_string()).hint("greenloop audit list shows the runs")
            }
            AppError::LinkOutside { .. } => Self::usage(error.to_string())
                .hint("remove the link: Greenloop writes its logs and reports there"),
            AppError::WhichEnvironment { ref names } => {
                let first = names.first().map_or("ENV", String::as_str);
                Self::usage(error.to_string()).hint(format!("--environment {first}, for example"))
            }
            AppError::NoFix { .. } => {
                Self::usage(error.to_string()).hint("greenloop audit list shows the runs")
            }
            AppError::Target(error) => error.into(),
            AppError::Engine(error) => {
                let hint = error.kind.advice();
                let cause = error_cause(&error);
                Self { cause, ..Self::infrastructure(error.to_string()) }.hint(hint)
            }
            AppError::Hub(error) => error.into(),
            AppError::Worker(WorkerError::Hub(error)) => error.into(),
            AppError::Worker(WorkerError::Workdir(ref workdir)) => {
                let exit = match workdir {
                    WorkdirError::Io { .. } => Exit::Infrastructure,
                    WorkdirError::Taken { .. } => Exit::Held,
                    WorkdirError::Name(_) => Exit::Usage,
                };
                Self::new(exit, workdir.to_string()).because_source(workdir)
            }
            AppError::Worker(WorkerError::Thread(_)) => {
                Self::infrastructure(error.to_string()).because_source(&error)
            }
            AppError::Secret(_) => Self::infrastructure(error.to_string())
                .because_source(&error)
                .hint("greenloop doctor --environment ENV shows who one is in Azure"),
            AppError::Store(ref store) => {
                let (exit, hint) = match store.kind {
                    StoreErrorKind::Invalid | StoreErrorKind::NotFound => (
                        Exit::Usage,
                        "--store takes sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                    ),
                    StoreErrorKind::StaleLease
                    | StoreErrorKind::Conflict
                    | StoreErrorKind::Busy
                    | StoreErrorKind::Unavailable => {
                        (Exit::Infrastructure, "does the database run, and may one log in there?")
                    }
                    StoreErrorKind::Corrupt => (
                        Exit::Infrastructure,
                        "a newer greenloop may have made these tables; docs/hub.md tells how to \
                         restore a backup",
                    ),
                };
                Self::new(exit, error.to_string()).because_source(&error).hint(hint)
            }
            AppError::Sandbox(ref sandbox) => {
                let command = Self::infrastructure(sandbox.to_string()).because_source(&error);
                match sandbox {
                    SandboxError::TooWeak { .. } => command
                        .hint("install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap) or use a kernel with Landlock (5.13 or later)")
                        .hint("`sandbox: {level: D}` in the configuration runs without one where there is none, and `level: off` everywhere; both stand in the audit log"),
                    SandboxError::Scratch { .. } => command,
                }
            }
            AppError::Tls(_) => Self::usage(error.to_string())
                .because_source(&error)
                .hint("--tls-cert takes a chain of certificates, --tls-key its key, both in PEM"),
            AppError::Listen { .. } => Self::infrastructure(error.to_string())
                .because_source(&error)
                .hint("--listen ADDRESS:PORT names another; port 0 takes any that is free"),
            AppError::Drive(_)
            | AppError::Folder { .. }
            | AppError::Audit(_)
            | AppError::NoEnd { .. } => {
                Self::infrastructure(error.to_string()).because_source(&error)
            }
        }
    }
}

impl CommandError {
    fn because_source(mut self, error: &dyn Error) -> Self {
        self.cause = error_cause(error);
        self
    }
}
