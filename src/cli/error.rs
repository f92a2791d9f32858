//! Every error of every layer becomes a [`CommandError`] here: one line, its causes, hints, and
//! an exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::app::AppError;
use greenloop_bundle::BundleError;
use greenloop_config::ConfigError;
use greenloop_engine::claim::ClaimError;
use greenloop_engine::recover::RecoverError;
use greenloop_exec::sandbox::SandboxError;
use greenloop_hub::store::StoreErrorKind;
use greenloop_hub_api::client::{HubError, HubErrorKind};
use greenloop_model::{FailureClass, NoPatchClass, Remedy, RunSummary, StopReason, shell_word};
use greenloop_ports::{PullRequestErrorKind, TargetError, TargetErrorKind};
use greenloop_report::{Paint, safe_text, unbroken};
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
        StopReason::ModelUnavailable { .. }
        | StopReason::NotRestored { .. }
        | StopReason::Internal { .. } => Exit::Infrastructure,
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
    /// What `greenloop doctor` says more of; the command names the environment where one is known.
    doctor: Option<&'static str>,
    environment: Option<String>,
}

impl CommandError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            cause: None,
            diagnostic: None,
            hints: Vec::new(),
            doctor: None,
            environment: None,
        }
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

    /// Of a command that was given for this environment.
    pub(super) fn of_environment(name: &str) -> impl Fn(AppError) -> Self {
        |error| Self { environment: Some(name.to_owned()), ..Self::from(error) }
    }

    fn doctor(self, shows: &'static str) -> Self {
        Self { doctor: Some(shows), ..self }
    }

    fn advice(&self) -> Option<String> {
        let environment = self.environment.as_ref();
        let option = environment.map(|name| format!(" --environment {}", shell_word(name)));
        let command =
            format!("{} doctor{}", super::terminal::program(), option.unwrap_or_default());
        self.doctor.map(|shows| format!("`{command}` {shows}"))
    }

    /// The error with its causes and hints, redacted, as one text.
    pub(super) fn in_words(&self) -> String {
        let mut text = self.message.clone();
        if let Some(cause) = &self.cause {
            text.push_str(&format!(": {}", greenloop_model::error_chain(cause.as_ref())));
        }
        for hint in self.hints.iter().chain(&self.advice()) {
            text.push_str(&format!("; {hint}"));
        }
        let text = greenloop_report::unwrapped(&text);
        greenloop_evidence::Redactor::from_env().redact(&text).into_owned()
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
        for hint in self.hints.iter().chain(&self.advice()) {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        let text = redactor.redact(&text);
        match &self.diagnostic {
            // Its lines are drawn to the width already.
            Some(_) => super::output::tell_content(&text),
            None => super::output::tell(&text),
        }
        self.exit
    }
}

/// Columns of a report that is not read on a screen.
const WIDTH: usize = 100;
/// Mistakes of a file that are shown with their lines; the others have one line each.
const SHOWN_WITH_SOURCE: usize = 10;

/// Every mistake of a configuration with its place, one below the other.
fn config_report(error: &ConfigError) -> String {
    let screen = super::stream::width_of_stderr();
    let width = screen.unwrap_or(WIDTH);
    let drawn = |theme| {
        let handler = miette::GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_break_words(false);
        let mut text = String::new();
        for problem in error.each().take(SHOWN_WITH_SOURCE) {
            // Writing into a string cannot fail.
            let _infallible = handler.render_report(&mut text, &problem);
        }
        safe_text::safe(&text)
    };
    let mut text = drawn(theme());
    if screen.is_some() {
        // A part of a line cannot be cut out of what is coloured.
        let plain = drawn(miette::GraphicalTheme::unicode_nocolor());
        let fitted = super::snippet::fit(&plain, width);
        if fitted != plain {
            text = fitted;
        }
    }
    if super::stream::links_on_stderr() {
        text = linked(&text, error);
    }
    let mut more = error.plain_after(SHOWN_WITH_SOURCE);
    if error.problems().len() > 1 {
        more.push_str(&format!("{error}\n"));
    }
    match screen {
        Some(width) => text.push_str(&greenloop_report::rows(&more, width, Paint::default())),
        None => text.push_str(&safe_text::safe(&more)),
    }
    text
}

/// The drawing with the file's name as a link, where a mistake's place is said: `╭─[NAME:4:7]`.
fn linked(drawing: &str, error: &ConfigError) -> String {
    let Ok(path) = std::path::absolute(error.file_name()) else { return drawing.to_owned() };
    let link = greenloop_report::file_link(&path, error.file_name());
    let line = |line: &str| match line.contains("─[") {
        true => line.replacen(error.file_name(), &link, 1),
        false => line.to_owned(),
    };
    drawing.split('\n').map(line).collect::<Vec<_>>().join("\n")
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
                .hint("wait until it ends, or cancel it with Ctrl-C where it runs"),
            ClaimError::Io { .. } => {
                let cause = error_cause(&error);
                Self { cause, ..Self::infrastructure(error.to_string()) }
                    .hint("the git folder contains the state of runs and must be writable")
            }
        }
    }
}

impl From<RecoverError> for CommandError {
    fn from(error: RecoverError) -> Self {
        let message = format!("could not recover an earlier run: {error}");
        let cause = error_cause(&error);
        match error {
            RecoverError::Foreign => Self { cause, ..Self::person(message) }
                .hint("`git status` lists them; commit or stash your changes")
                .hint("`git checkout -- FILE` restores a file"),
            RecoverError::HeadMoved { .. } => Self { cause, ..Self::person(message) }
                .hint("start a new run, which cleans up after that run and uses the current HEAD")
                .hint("to resume that run, switch to its commit first"),
            RecoverError::Ended(_) | RecoverError::Another { .. } => {
                Self::usage(message).hint("`greenloop audit list` lists the runs")
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
                    "the release has `deploy.rollback: forbidden`: deploy a repaired release, or \
                     change the setting in its record",
                ),
            ),
            TargetErrorKind::NoRelease => {
                (Exit::Usage, Some("`greenloop status` lists the releases"))
            }
            TargetErrorKind::Superseded | TargetErrorKind::Release => (Exit::NeedsPerson, None),
            TargetErrorKind::Cancelled => (Exit::Cancelled, None),
            TargetErrorKind::Target | TargetErrorKind::AddressInUse => (Exit::Infrastructure, None),
        };
        let own = Self { cause, ..Self::new(exit, error.message.clone()) };
        let own = match error.evidence.remedy {
            Some(remedy) => own.remedy(remedy),
            None => own,
        };
        match (hint, error.kind) {
            (Some(hint), _) => own.hint(hint),
            (None, TargetErrorKind::Target) => own.doctor("checks each part"),
            (None, _) => own,
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
                    "create one with `greenloop hub token create --name NAME --scope SCOPE`, and \
                     set GREENLOOP_HUB_TOKEN",
                ),
            ),
            HubErrorKind::Forbidden => (
                Exit::Usage,
                Some(
                    "create one with another scope: `greenloop hub token create --name NAME \
                     --scope SCOPE`",
                ),
            ),
            HubErrorKind::Invalid | HubErrorKind::NotFound | HubErrorKind::Conflict => {
                (Exit::Usage, None)
            }
            HubErrorKind::StaleLease => (Exit::NeedsPerson, None),
            HubErrorKind::Unavailable | HubErrorKind::Protocol => (
                Exit::Infrastructure,
                Some(
                    "check the hub's address, and whether the hub is \
                    running",
                ),
            ),
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
                remedies.fold(Self::usage(error.to_string()), Self::remedy)
            }
            AppError::Policy(_) => Self::usage(error.to_string()).because_source(&error),
            AppError::NoSuchRun { .. } => {
                Self::usage(error.to_string()).hint("`greenloop audit list` lists the runs")
            }
            AppError::LinkOutside { .. } => Self::usage(error.to_string())
                .hint("remove the symbolic link: Greenloop writes its logs and reports there"),
            AppError::WhichEnvironment { ref names } => {
                let first = names.first().map_or("ENV", String::as_str);
                Self::usage(error.to_string()).hint(format!("for example: --environment {first}"))
            }
            AppError::NoFix { .. } => {
                Self::usage(error.to_string()).hint("`greenloop audit list` lists the runs")
            }
            AppError::Bundle { ref source, .. } => {
                let exit = match source {
                    BundleError::Io(_) => Exit::Infrastructure,
                    _ => Exit::NeedsPerson,
                };
                let cause = error_cause(&error);
                Self { cause, ..Self::new(exit, error.to_string()) }.hint("nothing was written")
            }
            AppError::BundleRefused { .. } => {
                Self::person(error.to_string()).hint("nothing was written")
            }
            AppError::Push(ref source) => {
                let exit = match source.kind {
                    PullRequestErrorKind::Auth => Exit::NeedsPerson,
                    _ => Exit::Infrastructure,
                };
                let cause = error_cause(&error);
                Self { cause, ..Self::new(exit, error.to_string()) }
                    .hint("the accepted commit is on the run's branch here: git branch --list 'greenloop/*'")
            }
            AppError::Target(error) => error.into(),
            AppError::AddressInUse { ref at, error: ref source } => {
                let own = Self::infrastructure(error.to_string()).hint(at.remedy());
                match source.evidence.remedy.clone() {
                    Some(remedy) => own.remedy(remedy),
                    None => own,
                }
            }
            AppError::Engine(error) => {
                let hint = error.kind.advice();
                let cause = error_cause(&error);
                Self { cause, ..Self::infrastructure(error.to_string()) }.hint(hint)
            }
            AppError::PullRequest(ref request) => {
                let exit = match request.kind {
                    PullRequestErrorKind::UnknownRepository | PullRequestErrorKind::NoToken => {
                        Exit::Usage
                    }
                    PullRequestErrorKind::Rejected | PullRequestErrorKind::Auth => {
                        Exit::NeedsPerson
                    }
                    PullRequestErrorKind::Unreachable
                    | PullRequestErrorKind::Protocol
                    | PullRequestErrorKind::Git => Exit::Infrastructure,
                    PullRequestErrorKind::Cancelled => Exit::Cancelled,
                };
                Self::new(exit, error.to_string()).because_source(&error)
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
            AppError::Secret(_) => {
                let own = Self::infrastructure(error.to_string()).because_source(&error);
                own.doctor("shows the identity that is used in Azure")
            }
            AppError::Store(ref store) => {
                let (exit, hint) = match store.kind {
                    StoreErrorKind::Invalid | StoreErrorKind::NotFound => (
                        Exit::Usage,
                        "--store takes sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                    ),
                    StoreErrorKind::StaleLease
                    | StoreErrorKind::Conflict
                    | StoreErrorKind::Forbidden
                    | StoreErrorKind::Busy
                    | StoreErrorKind::Unavailable => (
                        Exit::Infrastructure,
                        "check whether the database is running and accepts \
                            this login",
                    ),
                    StoreErrorKind::Corrupt => (
                        Exit::Infrastructure,
                        "a newer greenloop may have created these tables; docs/hub.md describes \
                         how to restore a backup",
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
            AppError::Watch(ref watch) => {
                let own = Self::infrastructure(error.to_string()).because_source(watch);
                if watch.limit {
                    own.hint("raise the limit: sudo sysctl fs.inotify.max_user_watches=524288")
                } else {
                    own
                }
            }
            AppError::Tls(_) => Self::usage(error.to_string()).because_source(&error).hint(
                "--tls-cert must be a certificate chain, --tls-key its private key, both in \
                    PEM",
            ),
            AppError::Listen { .. } => Self::infrastructure(error.to_string())
                .because_source(&error)
                .hint("use another address with --listen ADDRESS:PORT; port 0 selects a free port"),
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
    fn remedy(self, Remedy { what, command, person_only: _ }: Remedy) -> Self {
        self.hint(match command {
            Some(command) => format!("{what}: {}", unbroken(&command)),
            None => what,
        })
    }

    fn because_source(mut self, error: &dyn Error) -> Self {
        self.cause = error_cause(error);
        self
    }
}
