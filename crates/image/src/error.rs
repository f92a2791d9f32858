//! From what went wrong to an [`ImageError`] with its evidence.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use bollard::errors::Error as BollardError;

use super::build::BuildError;
use super::context::{ContextError, ContextErrorKind};
use super::dockerfile::{Base, Dockerfile, Instruction, StepName};
use super::failure::{self, FailurePattern};
use super::push::PushError;
use super::secrets::Secrets;
use super::watch::{FailedStep, shortened};
use crate::engine::{Engine, EngineError};
use crate::registry::RegistryError;
use greenloop_evidence::{CodeLimits, Extraction, read_code};
use greenloop_model::{Evidence, Excerpt, Exit, FailureClass, Location};
use greenloop_ports::{ImageError, ImageErrorKind};

/// The excerpt that shows the failing instruction.
const INSTRUCTION: &str = "dockerfile";
/// The excerpt with the builder's own words.
const COMPLAINT: &str = "builder";
/// What to do about a file that does not stand still.
const STOP_WRITING: &str = "a process keeps writing to this file: stop it during the build, or \
    list the file in `.dockerignore`";
/// Characters of an instruction in a headline, and of it and a complaint in an excerpt.
const HEADLINE: usize = 100;
const QUOTED: usize = 2000;

/// The build that failed, as far as evidence needs it.
pub(super) struct BuildFailure<'a> {
    pub secrets: &'a Secrets,
    pub engine: &'a Engine,
    pub dockerfile: &'a Dockerfile,
    /// The Dockerfile's path as people know it: relative to the repository's root.
    pub path: &'a str,
    pub bases: &'a [Base],
    pub work_tree: &'a Path,
    /// The `.git` that the context lacks.
    pub git_excluded: Option<&'a str>,
}

/// Nothing was wrong: it was told to stop.
pub(super) fn cancelled() -> ImageError {
    ImageError {
        kind: ImageErrorKind::Cancelled,
        message: "the image stage was cancelled".to_owned(),
        class: FailureClass::Unknown,
        evidence: Box::default(),
        source: None,
    }
}

/// Something of our own surroundings: the engine, the registry, the disk.
fn plain(
    kind: ImageErrorKind,
    class: FailureClass,
    message: String,
    advice: &str,
    source: Option<Box<dyn StdError + Send + Sync>>,
) -> ImageError {
    let mut notes = vec![message.clone()];
    if !advice.is_empty() {
        notes.push(advice.to_owned());
    }
    let evidence = Box::new(Evidence { notes, ..Evidence::default() });
    ImageError { kind, message, class, evidence, source }
}

/// The engine cannot be used.
pub(super) fn engine(error: EngineError) -> ImageError {
    let (message, advice) = (error.message.clone(), error.kind.advice());
    plain(ImageErrorKind::Engine, FailureClass::Infrastructure, message, advice, error.source)
}

/// The registry or the credentials for it.
pub(super) fn registry(error: RegistryError) -> ImageError {
    let class = error.class();
    let advice = match class {
        FailureClass::Auth => "log in to the registry with an account that may push there",
        FailureClass::Quota => "the registry limits the request rate: wait, or get a higher limit",
        FailureClass::Code
        | FailureClass::Config
        | FailureClass::Flaky
        | FailureClass::Infrastructure
        | FailureClass::Timeout
        | FailureClass::Unknown => "check whether the registry is running and reachable from here",
    };
    let message = error.to_string();
    plain(ImageErrorKind::Registry, class, message, advice, Some(Box::new(error)))
}

/// The context cannot be read.
pub(super) fn context(error: ContextError) -> ImageError {
    let (class, advice) = match &error.kind {
        ContextErrorKind::NotFound | ContextErrorKind::NotAFolder | ContextErrorKind::NotAFile => (
            FailureClass::Config,
            "check `build.dockerfile_path` and `build.context_path`, which are relative to the \
             repository's root",
        ),
        ContextErrorKind::Pattern { .. } | ContextErrorKind::TooLarge { .. } => {
            (FailureClass::Code, "")
        }
        ContextErrorKind::Unreadable => (
            FailureClass::Infrastructure,
            "make the file readable for this user, or list it in `.dockerignore`",
        ),
        ContextErrorKind::Changed => (FailureClass::Infrastructure, STOP_WRITING),
    };
    let message = format!("the build context: {error}");
    plain(ImageErrorKind::Build, class, message, advice, Some(Box::new(error)))
}

/// A file of the context that changed each time the context was sent.
pub(super) fn changed(path: PathBuf) -> ImageError {
    context(ContextError { path, kind: ContextErrorKind::Changed, source: None })
}

/// A tag or repository that the registry's grammar has no place for.
pub(super) fn name(message: String) -> ImageError {
    plain(ImageErrorKind::Registry, FailureClass::Config, message, "", None)
}

/// A task of our own that died.
pub(super) fn task(error: tokio::task::JoinError) -> ImageError {
    plain(
        ImageErrorKind::Build,
        FailureClass::Unknown,
        "reading the build context was interrupted".to_owned(),
        "",
        Some(Box::new(error)),
    )
}

/// The push failed for good.
pub(super) fn push(error: PushError, secrets: &Secrets, engine_at: &Engine) -> ImageError {
    match error {
        PushError::Cancelled => cancelled(),
        PushError::Registry(error) => registry(error),
        PushError::NoDigest => plain(
            ImageErrorKind::Registry,
            FailureClass::Infrastructure,
            "the push ended without a digest, and the registry does not have the image".to_owned(),
            "",
            None,
        ),
        PushError::Engine(BollardError::DockerStreamError { error }) => {
            let complaint = failure::bare(&error);
            let row = failure::row(complaint);
            let complaint = secrets.redact(complaint);
            let kind = match row.map(|row| row.kind) {
                Some(ImageErrorKind::Engine) => ImageErrorKind::Engine,
                Some(_) | None => ImageErrorKind::Registry,
            };
            let class = row.map_or(FailureClass::Infrastructure, |row| row.class);
            let advice = row.map_or("", |row| row.advice);
            let message = format!("the push failed: {}", shortened(&complaint, QUOTED));
            plain(kind, class, message, advice, None)
        }
        PushError::Engine(error) => engine(engine_at.error(error)),
    }
}

/// The build failed.
pub(super) fn build(
    error: BuildError,
    failed: Option<FailedStep>,
    at: &BuildFailure<'_>,
) -> ImageError {
    let complaint = match error {
        BuildError::Cancelled => return cancelled(),
        BuildError::Changed(path) => return changed(path),
        BuildError::Context(text) => {
            return plain(
                ImageErrorKind::Build,
                FailureClass::Infrastructure,
                format!("could not send the build context: {text}"),
                "make the file readable for this user, or list it in `.dockerignore`",
                None,
            );
        }
        BuildError::NoImage => {
            return plain(
                ImageErrorKind::Engine,
                FailureClass::Infrastructure,
                "the build ended without an image".to_owned(),
                "check the engine's log",
                None,
            );
        }
        BuildError::Engine(BollardError::DockerStreamError { error }) => error,
        // What is wrong with a Dockerfile as a whole comes before the stream begins, as a 400;
        // a 5xx is about a base image as often as about the engine, so its words count too.
        BuildError::Engine(BollardError::DockerResponseServerError { status_code, message })
            if status_code == 400 || failure::row(failure::bare(&message)).is_some() =>
        {
            message
        }
        BuildError::Engine(error) => return engine(at.engine.error(error)),
    };
    let complaint = failure::bare(&complaint);
    match failure::exit_status(complaint) {
        Some(status) => run(status, failed, at),
        None => refused(complaint, failed, at),
    }
}

/// A `RUN` that ran and failed.
fn run(status: i32, failed: Option<FailedStep>, at: &BuildFailure<'_>) -> ImageError {
    let (step, printed) = match failed {
        Some(FailedStep { name, printed }) => (Some(name), printed),
        None => (None, None),
    };
    let instruction = instruction(step.as_deref(), at);
    let exit = Exit::Code(status);
    let class = match &printed {
        Some(printed) => failure::class_of_run(status, printed),
        None => failure::class_of_run(status, &nothing(at)),
    };
    let telling = printed.as_ref().map(|printed| printed.headline.as_str()).unwrap_or_default();
    let mut message = format!("{} failed ({exit})", subject(step.as_deref(), instruction, at));
    if !telling.is_empty() {
        message.push_str(": ");
        message.push_str(telling);
    }
    let mut evidence = evidence(step.as_deref(), instruction, printed, at);
    evidence.exit = Some(exit);
    if let Some(git) = at.git_excluded
        && instruction.is_some_and(|one| uses_git(&one.command()))
    {
        evidence.notes.push(git_note(git));
    }
    if class == FailureClass::Quota {
        evidence.notes.push(
            "the process was killed, probably for lack of memory: give the engine's machine more \
             memory, or reduce the parallelism of the build"
                .to_owned(),
        );
    }
    error(ImageErrorKind::Build, class, message, evidence, at)
}

/// Whether a command line has `git` or `.git` as a word.
fn uses_git(command: &str) -> bool {
    let separates = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
    command.split(separates).any(|word| matches!(word, "git" | ".git"))
}

/// What is said of a `.git` that the build does not see.
pub(super) fn git_note(git: &str) -> String {
    format!(
        "`{git}` is not part of the build context; to include it, name it in the Dockerfile: \
         `COPY {git} {git}`"
    )
}

/// Something the builder itself refused or could not do.
fn refused(complaint: &str, failed: Option<FailedStep>, at: &BuildFailure<'_>) -> ImageError {
    let (mut step, printed) = match failed {
        Some(FailedStep { name, printed }) => (Some(name), printed),
        None => (None, None),
    };
    let complaint = failure::after_command(complaint);
    let row: Option<&FailurePattern> = failure::row(complaint);
    let by_line = failure::named_line(complaint).and_then(|line| at.dockerfile.at(line));
    if by_line.is_some() {
        step = None;
    }
    let instruction = by_line.or_else(|| instruction(step.as_deref(), at));
    let kind = row.map_or(ImageErrorKind::Build, |row| row.kind);
    let class = row.map_or(FailureClass::Unknown, |row| row.class);
    let complaint = at.secrets.redact(&failure::tidy(complaint));
    let message = match (kind, instruction.is_some() || step.is_some()) {
        (ImageErrorKind::Engine, _) | (_, false) => {
            format!("the build failed: {}", shortened(&complaint, QUOTED))
        }
        (_, true) => format!(
            "{} failed: {}",
            subject(step.as_deref(), instruction, at),
            shortened(&complaint, QUOTED)
        ),
    };
    let mut evidence = evidence(step.as_deref(), instruction, printed, at);
    evidence.excerpts.push(Excerpt {
        start: 1,
        end: 1,
        kind: COMPLAINT.to_owned(),
        text: shortened(&complaint, QUOTED),
        locations: Vec::new(),
    });
    if let Some(row) = row.filter(|row| !row.advice.is_empty()) {
        evidence.notes.push(row.advice.to_owned());
    }
    error(kind, class, message, evidence, at)
}

fn error(
    kind: ImageErrorKind,
    class: FailureClass,
    message: String,
    mut evidence: Evidence,
    at: &BuildFailure<'_>,
) -> ImageError {
    evidence.code =
        read_code(at.work_tree, &evidence.excerpts, CodeLimits::default(), at.secrets.run());
    for code in &mut evidence.code {
        code.text = at.secrets.redact(&code.text);
    }
    ImageError { kind, message, class, evidence: Box::new(evidence), source: None }
}

/// The instruction that a builder's step stands for.
fn instruction<'a>(step: Option<&str>, at: &BuildFailure<'a>) -> Option<&'a Instruction> {
    let step = step?;
    if let Some(image) =
        step.strip_prefix("[internal] load metadata for ").or_else(|| step.strip_prefix("FROM "))
    {
        return at.dockerfile.naming(image, at.bases);
    }
    let name = StepName::of_vertex(step).or_else(|| StepName::of_line(step))?;
    at.dockerfile.find(name).or_else(|| {
        let image = name.text().strip_prefix("FROM ")?;
        at.dockerfile.naming(image.split_whitespace().next()?, at.bases)
    })
}

/// `Dockerfile:7: RUN npm ci`
fn subject(step: Option<&str>, instruction: Option<&Instruction>, at: &BuildFailure<'_>) -> String {
    match (instruction, step) {
        (Some(one), _) => {
            let text = at.secrets.redact(&one.text());
            format!("{}:{}: {}", at.path, one.line, shortened(&text, HEADLINE))
        }
        (None, Some(step)) => shortened(&at.secrets.redact(step), HEADLINE),
        (None, None) => format!("the build of {}", at.path),
    }
}

fn evidence(
    step: Option<&str>,
    instruction: Option<&Instruction>,
    printed: Option<Extraction>,
    at: &BuildFailure<'_>,
) -> Evidence {
    let mut evidence = Evidence::default();
    if let Some(one) = instruction {
        let text = at.secrets.redact(&one.text());
        evidence.excerpts.push(Excerpt {
            start: one.line,
            end: one.last.max(one.line),
            kind: INSTRUCTION.to_owned(),
            text: shortened(&text, QUOTED),
            locations: vec![Location { file: at.path.to_owned(), line: one.line, column: None }],
        });
        evidence.command = Some(shortened(&at.secrets.redact(&one.command()), QUOTED));
    } else if let Some(step) = step {
        evidence.command = Some(shortened(&at.secrets.redact(step), QUOTED));
    }
    if let Some(printed) = printed {
        evidence.log_lines = printed.lines;
        evidence.excerpts.extend(printed.excerpts);
        evidence.failing_tests = printed.failing_tests;
    }
    evidence
}

/// What a step that printed nothing printed.
fn nothing(at: &BuildFailure<'_>) -> Extraction {
    greenloop_evidence::extract(&[], greenloop_evidence::ExtractLimits::default(), at.secrets.run())
}
