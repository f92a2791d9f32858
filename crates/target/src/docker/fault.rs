//! What goes wrong with a release as a container, and what is known of it: frozen while the
//! container is still there.

use bollard::query_parameters::InspectContainerOptions;

use super::containers::{ContainerState, Containers, HealthTry};
use super::record::{ContainerRecord, ReleaseRecord};
use crate::proxy::probe::{Probe, health_path};
use crate::service_evidence::{ServiceLog, add_service_log};
use crate::supervisor::control::ControlError;
use crate::supervisor::protocol::RequestError;
use greenloop_evidence::{ExtractLimits, Redactor, extract};
use greenloop_image::engine::{EngineError, EngineErrorKind};
use greenloop_image::registry::LoginError;
use greenloop_model::{Evidence, Exit, FailureClass, HttpExchange, times};
use greenloop_ports::{TargetError, TargetErrorKind};

/// Bytes of a container's log that are looked at.
const LOG_READ: usize = 1024 * 1024;
/// Bytes of it that are handed on.
pub(super) const LOG_SHOWN: usize = 16 * 1024;
/// Bytes of each try of a health check.
const TRY_SHOWN: usize = 2048;

/// Why a release does not serve.
#[derive(Debug)]
pub(super) enum Fault {
    /// The image stage gave none.
    NoImage,
    /// Nobody can say who one is at the registry.
    NoLogin {
        registry: String,
        source: LoginError,
    },
    /// The engine could not get the image.
    NotPulled {
        image: String,
        error: EngineError,
    },
    /// The engine does not take the container as it is configured.
    NotCreated(EngineError),
    /// The container's program could not be started.
    NotStarted {
        reason: String,
    },
    /// It ended.
    Exited {
        exit: Exit,
        out_of_memory: bool,
    },
    /// The container is gone: somebody removed it.
    Removed,
    /// The image's own health check says so.
    HealthCheckFailed {
        tries: Vec<HealthTry>,
    },
    /// It runs, but its health check does not pass.
    Unhealthy {
        last: Option<Probe>,
        waited: std::time::Duration,
    },
    /// The engine cannot be used.
    Engine(EngineError),
    /// The supervisor does not do it.
    Request(RequestError),
    /// The supervisor cannot be used.
    Control(ControlError),
    Cancelled,
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<ControlError> for Fault {
    fn from(error: ControlError) -> Self {
        Self::Control(error)
    }
}

impl std::fmt::Display for Fault {
    /// One line for a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoImage => {
                write!(f, "the docker target needs an image, but the configuration has no `build`")
            }
            Self::NoLogin { registry, .. } => write!(f, "could not log in to {registry}"),
            Self::NotPulled { image, error } if error.kind == EngineErrorKind::Refused(404) => {
                write!(f, "the registry does not have {image}")
            }
            Self::NotPulled { image, .. } => write!(f, "the engine could not pull {image}"),
            Self::NotCreated(_) => write!(f, "the engine rejected the container"),
            Self::NotStarted { reason } => {
                write!(f, "the new release could not be started: {reason}")
            }
            Self::Exited { exit, out_of_memory: true } => {
                write!(f, "the new release exceeded its memory limit: {exit}")
            }
            Self::Exited { exit, out_of_memory: false } => {
                write!(f, "the new release exited before it became healthy: {exit}")
            }
            Self::Removed => write!(
                f,
                "the container of the new release was removed by another \
                process"
            ),
            Self::HealthCheckFailed { tries } => {
                let last = tries.last().map_or("", |one| one.said.trim());
                let failed = times(u32::try_from(tries.len()).unwrap_or(u32::MAX));
                write!(f, "the image's own health check failed {failed}: {last}")
            }
            Self::Unhealthy { last, waited } => {
                let last = last.as_ref().map_or("there was no answer", |probe| &probe.complaint);
                let waited = waited.as_secs_f64();
                write!(f, "the new release did not become healthy within {waited}s: {last}")
            }
            Self::Engine(error) => write!(f, "{error}; {}", error.kind.advice()),
            Self::Request(error) => write!(f, "{error}"),
            Self::Control(_) => write!(f, "the supervisor of the docker target failed"),
            Self::Cancelled => write!(f, "cancelled; nothing was switched"),
        }
    }
}

impl Fault {
    /// Which kind it is, and its class as far as the log does not tell another.
    fn weight(&self, redactor: &Redactor) -> (TargetErrorKind, FailureClass) {
        use FailureClass::{Auth, Code, Config, Infrastructure, Unknown};

        match self {
            Self::NoImage | Self::NotCreated(_) | Self::NotStarted { .. } => {
                (TargetErrorKind::Release, Config)
            }
            Self::NoLogin { .. } => (TargetErrorKind::Release, Auth),
            // The engine answers a missing image with a status of its own, and everything else
            // the registry says, a missing login included, with its text alone.
            Self::NotPulled { error, .. } => match error.kind {
                EngineErrorKind::Refused(404) => (TargetErrorKind::Release, Config),
                EngineErrorKind::Refused(401 | 403) => (TargetErrorKind::Release, Auth),
                EngineErrorKind::Refused(_) | EngineErrorKind::Broken => {
                    let said = error.message.as_bytes();
                    match extract(said, ExtractLimits::default(), redactor).class {
                        Auth => (TargetErrorKind::Release, Auth),
                        FailureClass::Quota => (TargetErrorKind::Release, FailureClass::Quota),
                        Code
                        | Config
                        | FailureClass::Flaky
                        | Infrastructure
                        | FailureClass::Timeout
                        | Unknown => (TargetErrorKind::Target, Infrastructure),
                    }
                }
                EngineErrorKind::Address
                | EngineErrorKind::Unreachable
                | EngineErrorKind::Permission
                | EngineErrorKind::TimedOut => (TargetErrorKind::Target, Infrastructure),
            },
            Self::Exited { out_of_memory: true, .. } => (TargetErrorKind::Release, Config),
            Self::Exited { .. } | Self::HealthCheckFailed { .. } | Self::Unhealthy { .. } => {
                (TargetErrorKind::Release, Code)
            }
            Self::Removed | Self::Engine(_) | Self::Control(_) => {
                (TargetErrorKind::Target, Infrastructure)
            }
            Self::Cancelled => (TargetErrorKind::Cancelled, Unknown),
            Self::Request(error) => error.kind(),
        }
    }

    fn exit(&self) -> Option<Exit> {
        match self {
            Self::Exited { exit, .. } => Some(exit.clone()),
            Self::NotStarted { reason } => Some(Exit::NotStarted(reason.clone())),
            Self::NoImage
            | Self::NoLogin { .. }
            | Self::NotPulled { .. }
            | Self::NotCreated(_)
            | Self::Removed
            | Self::HealthCheckFailed { .. }
            | Self::Unhealthy { .. }
            | Self::Engine(_)
            | Self::Request(_)
            | Self::Control(_)
            | Self::Cancelled => None,
        }
    }

    fn into_source(self) -> Option<LoginError> {
        match self {
            Self::NoLogin { source, .. } => Some(source),
            Self::NotPulled { error, .. } | Self::NotCreated(error) => Some(Box::new(error)),
            Self::Engine(error) => error.source,
            Self::Control(error) => Some(Box::new(error)),
            Self::NoImage
            | Self::NotStarted { .. }
            | Self::Exited { .. }
            | Self::Removed
            | Self::HealthCheckFailed { .. }
            | Self::Unhealthy { .. }
            | Self::Request(_)
            | Self::Cancelled => None,
        }
    }
}

/// What a container told, before it goes away.
#[derive(Debug, Default)]
pub(super) struct FailureEvidence {
    /// Its log, at most [`LOG_READ`] bytes of its end; `None` when there never was a container.
    log: Option<Result<Vec<u8>, EngineError>>,
    /// Plain statements.
    notes: Vec<String>,
}

impl FailureEvidence {
    /// Asks the engine for what `container` has left since it was started.
    pub(super) async fn of(
        containers: &Containers,
        record: &ReleaseRecord,
        container: &ContainerRecord,
    ) -> Self {
        let id = &container.id;
        let log = Some(containers.log(id, container.log_from, LOG_READ).await);
        let mut notes = Vec::new();
        if let Some(note) = foreign(containers, record, id).await {
            notes.push(note);
        }
        Self { log, notes }
    }
}

/// Whether the image is made for another kind of machine, which shows as a program that cannot
/// be started, or ends at once.
async fn foreign(containers: &Containers, record: &ReleaseRecord, id: &str) -> Option<String> {
    let docker = containers.engine.docker();
    let engine = containers.engine.info().await.ok()?.platform();
    let seen = docker.inspect_container(id, None::<InspectContainerOptions>).await.ok()?;
    let image = docker.inspect_image(&seen.image?).await.ok()?;
    let image_for = format!("{}/{}", image.os?, image.architecture?);
    (image_for != engine).then(|| {
        format!(
            "the image {} is for {image_for}, but the engine runs on {engine}",
            record.detail.image.short()
        )
    })
}

/// The error that `fault` is for whoever asked, with all that is known of it.
pub(super) fn error(
    fault: Fault,
    record: Option<&ReleaseRecord>,
    remains: FailureEvidence,
    redactor: &Redactor,
) -> TargetError {
    let clean = |text: &str| redactor.redact(text).into_owned();
    let mut message = clean(&fault.to_string());
    let (kind, own_class) = fault.weight(redactor);
    let mut class = own_class;
    let mut evidence = Evidence { notes: vec![message.clone()], ..Evidence::default() };
    evidence.notes.extend(remains.notes.iter().map(|note| clean(note)));
    if kind == TargetErrorKind::Release {
        evidence.exit = match fault.exit() {
            Some(Exit::NotStarted(reason)) => Some(Exit::NotStarted(clean(&reason))),
            other => other,
        };
        if let Some(record) = record {
            let image = &record.detail.image;
            let words: Vec<&str> = std::iter::once("docker run")
                .chain(std::iter::once(image.repository()))
                .chain(record.detail.launch.command.iter().map(String::as_str))
                .collect();
            evidence.command = Some(clean(&words.join(" ")));
            evidence.notes.push(format!("image {image}"));
        }
    }
    match &fault {
        Fault::Unhealthy { last: Some(probe), .. } => {
            if probe.status.is_none() {
                let port = record.map_or(0, |record| record.detail.launch.port);
                evidence.notes.push(format!(
                    "inside its container, the service must listen on all interfaces (0.0.0.0) on \
                     the port in PORT ({port})"
                ));
            }
            evidence.remedy = health_path(probe);
            evidence.http.push(HttpExchange {
                request: format!("GET {}", probe.url),
                status: probe.status,
                response: probe.shown_body(redactor),
                complaint: probe.complaint.clone(),
                elapsed: probe.elapsed,
            });
        }
        Fault::HealthCheckFailed { tries } => {
            for one in tries {
                let said = redactor.head(one.said.trim().as_bytes(), TRY_SHOWN);
                evidence.notes.push(format!("health check, exit status {}: {said}", one.exit));
            }
        }
        Fault::Request(error) => evidence.remedy = error.remedy(),
        Fault::NoImage
        | Fault::NoLogin { .. }
        | Fault::NotPulled { .. }
        | Fault::NotCreated(_)
        | Fault::NotStarted { .. }
        | Fault::Exited { .. }
        | Fault::Removed
        | Fault::Unhealthy { last: None, .. }
        | Fault::Engine(_)
        | Fault::Control(_)
        | Fault::Cancelled => {}
    }
    match remains.log {
        Some(Ok(said)) => {
            let log = add_log(&mut evidence, &said, redactor);
            let told = log.class;
            let exited = matches!(fault, Fault::Exited { out_of_memory: false, .. });
            if exited {
                message = log.explain(message);
            }
            let only_the_log_knows = exited
                || matches!(fault, Fault::HealthCheckFailed { .. } | Fault::Unhealthy { .. });
            if evidence.remedy.is_some() {
                class = FailureClass::Config;
            } else if only_the_log_knows && told != FailureClass::Unknown {
                class = told;
            }
        }
        Some(Err(error)) => {
            evidence.notes.push(clean(&format!("could not read the container's log: {error}")));
        }
        None => {}
    }
    if !remains.notes.is_empty() && kind == TargetErrorKind::Release {
        class = FailureClass::Config;
    }
    let source = fault.into_source();
    let mut cause = source.as_deref().map(|error| error as &dyn std::error::Error);
    while let Some(error) = cause {
        evidence.notes.push(clean(&error.to_string()));
        cause = error.source();
    }
    TargetError { kind, message, class, evidence: Box::new(evidence), source }
}

/// What matters in the container's log.
fn add_log(evidence: &mut Evidence, said: &[u8], redactor: &Redactor) -> ServiceLog {
    if said.is_empty() {
        evidence.notes.push("the service wrote no output".to_owned());
        return ServiceLog::silent();
    }
    let whole = redactor.tail(said, said.len());
    add_service_log(evidence, &whole, LOG_SHOWN, redactor)
}

/// What a container that is not up means.
pub(super) fn ended(condition: Option<ContainerState>) -> Fault {
    match condition {
        None => Fault::Removed,
        Some(ContainerState { exit, out_of_memory, .. }) => {
            Fault::Exited { exit: exit.unwrap_or(Exit::Code(0)), out_of_memory }
        }
    }
}
