//! The docker target as the rest of the program sees it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::containers::Containers;
use super::fault::{FailureEvidence, Fault, LOG_SHOWN, error};
use super::protocol::{DockerProtocol, DockerReply, DockerRequest};
use super::pull::{Pulled, pull, registry};
use super::record::{ContainerDetail, ContainerRecord, Launch, ReleaseRecord, State};
use super::startup::{ContainerStart, Failed, Healthy};
use super::supervise::mark_of;
use crate::proxy::address::{foreign_listener, front_address};
use crate::proxy::probe;
use crate::supervisor::control::{self, SupervisorLauncher, until_gone};
use crate::supervisor::deployer::{Deployer, shut_down as shut_down_target, target_error};
use crate::supervisor::protocol::RequestError;
use greenloop_config::plan::{DockerPlan, EnvironmentPlan, HealthPlan, Rollback};
use greenloop_evidence::Redactor;
use greenloop_image::engine::Engine;
use greenloop_image::registry::Logins;
use greenloop_model::{
    Condition, EnvironmentName, EventSink, ImageRef, Release, ReleaseId, ReleaseState, RunEvent,
    RunId, Stage, TargetKind, times,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Stopped, Target, TargetError, TargetErrorKind,
    TargetStatus,
};

/// How long an earlier release may take to become healthy.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the supervisor may take to let go of a container that is being stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(60);

type Control = control::Control<DockerProtocol>;
type Request = crate::supervisor::protocol::Request<DockerRequest>;
type Reply = crate::supervisor::protocol::Reply<DockerReply>;

/// What a docker target is made of.
pub struct DockerSettings<'a> {
    /// The folder of its record, no other target's; it need not exist.
    pub state: PathBuf,
    /// `deploy.docker`
    pub plan: &'a DockerPlan,
    /// The environment, whose URL the front binds.
    pub environment: &'a EnvironmentPlan,
    /// The health check.
    pub health: &'a HealthPlan,
    /// `deploy.rollback`, for what is rolled out with this target.
    pub rollback: Rollback,
    /// Where containers run.
    pub engine: Engine,
    /// Who one is at a registry.
    pub logins: Logins,
    /// Cleans what is shown.
    pub redactor: Redactor,
    /// This program, started as the supervisor with `supervise --docker ENGINE --environment
    /// NAME --state FOLDER`.
    pub program: PathBuf,
}

/// Releases as containers on a Docker Engine. See the module's documentation.
pub struct DockerTarget {
    deployer: Deployer<ContainerDetail, DockerProtocol>,
    environment: EnvironmentName,
    launch: Launch,
    rollback: Rollback,
    engine: Engine,
    pub(super) logins: Logins,
}

impl DockerTarget {
    /// Nothing is asked of the engine yet.
    pub fn new(settings: DockerSettings<'_>) -> Self {
        let DockerSettings {
            state,
            plan,
            environment,
            health,
            rollback,
            engine,
            logins,
            redactor,
            program,
        } = settings;
        let arguments = ["supervise", "--docker", engine.address(), "--environment"]
            .into_iter()
            .chain(std::iter::once(environment.name.as_str()))
            .map(OsString::from)
            .collect();
        let launcher = SupervisorLauncher { program, arguments, env_remove: Vec::new() };
        let (kind, url) = (TargetKind::Docker, &environment.url);
        let deployer = Deployer::new(kind, state, url, redactor, launcher, STOP_TIMEOUT);
        let (launch, environment) = (Launch::new(plan, health), environment.name.clone());
        Self { deployer, environment, launch, rollback, engine, logins }
    }

    /// Names variables, such as a model's key, that the supervisor does not inherit.
    #[must_use]
    pub fn env_remove(mut self, names: impl IntoIterator<Item = OsString>) -> Self {
        self.deployer.env_remove(names);
        self
    }

    fn containers(&self) -> Result<Containers, TargetError> {
        let mark = mark_of(&self.deployer.folder).map_err(|source| {
            let message = format!("could not use the folder {}", self.deployer.folder.display());
            target_error(message, Some(Box::new(source)))
        })?;
        let (engine, environment) = (self.engine.clone(), self.environment.clone());
        Ok(Containers { engine, environment, mark })
    }

    fn error(&self, fault: impl Into<Fault>, record: Option<&ReleaseRecord>) -> TargetError {
        error(fault.into(), record, FailureEvidence::default(), &self.deployer.redactor)
    }

    /// The record; when there is none but containers of this target are, from them.
    async fn state(&self) -> Result<Option<State>, TargetError> {
        if let Some(state) = self.deployer.state()? {
            return Ok(Some(state));
        }
        let found = self.containers()?.list().await;
        if found.is_ok_and(|found| !found.is_empty()) {
            let _it_writes_the_record = self.deployer.control().await?;
            return self.deployer.state();
        }
        Ok(None)
    }

    /// Makes sure that the engine has the image.
    async fn pull(&self, image: &ImageRef, events: &EventSink) -> Result<(), Fault> {
        let started = Instant::now();
        let host = registry(image);
        let login = (self.logins)(image.clone())
            .await
            .map_err(|source| Fault::NoLogin { registry: host.to_owned(), source })?;
        let report = |done, total| {
            let (stage, name) = (Stage::Rollout, "pull".to_owned());
            events.send(RunEvent::Progress { stage, name, done, total: Some(total) });
        };
        let pulled = pull(&self.engine, image, login, report)
            .await
            .map_err(|error| Fault::NotPulled { image: image.to_string(), error })?;
        let detail = match pulled {
            Pulled::Before => format!("the engine already has {}", image.short()),
            Pulled::Now { bytes } => {
                format!("{} ({:.1} MiB)", image.short(), bytes_in_mib(bytes))
            }
        };
        step(events, "pull", detail, started);
        Ok(())
    }

    /// Begins a rollout at the supervisor; `None` when the release serves already.
    async fn begin(
        &self,
        candidate: &ReleaseRecord,
        front: String,
    ) -> Result<(Control, bool), TargetError> {
        let mut control = self.deployer.control().await?;
        let candidate = Box::new(candidate.clone());
        let engine = self.engine.address().to_owned();
        let request = Request::Own(DockerRequest::Begin { candidate, front, engine });
        let mut reply = self.deployer.ask(&mut control, &request).await?;
        if reply == Reply::Own(DockerReply::Elsewhere) {
            until_gone(control.pid, SHUTDOWN).await;
            control = self.deployer.control().await?;
            reply = self.deployer.ask(&mut control, &request).await?;
        }
        match reply {
            Reply::Own(DockerReply::Begun) => Ok((control, true)),
            Reply::Serving { .. } => Ok((control, false)),
            Reply::Here { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(self.deployer.unexpected_reply()),
        }
    }

    /// Brings `record`'s release up, and switches to it. On an error the evidence is taken
    /// before the supervisor may touch the container.
    async fn bring_up(
        &self,
        control: &mut Control,
        record: &ReleaseRecord,
        wait: Duration,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<ReleaseId, TargetError> {
        match self.try_out(record, wait, events, cancel).await {
            Ok(container) => {
                let started = Instant::now();
                let release = record.id;
                let switch = Request::Own(DockerRequest::Switch { release, container });
                match self.deployer.ask(control, &switch).await? {
                    Reply::Serving { release } => {
                        let short = release.short();
                        let detail = format!("new connections go to release {short}");
                        step(events, "switch", detail, started);
                        Ok(release)
                    }
                    Reply::Here { .. }
                    | Reply::Restored { .. }
                    | Reply::Done { .. }
                    | Reply::Failed { .. }
                    | Reply::Own(_) => Err(self.deployer.unexpected_reply()),
                }
            }
            Err(Failed { fault, container }) => {
                let remains = match (&container, &fault) {
                    (None, _) | (Some(_), Fault::Cancelled | Fault::Engine(_)) => {
                        FailureEvidence::default()
                    }
                    (Some(container), _) => {
                        FailureEvidence::of(&self.containers()?, record, container).await
                    }
                };
                let error = error(fault, Some(record), remains, &self.deployer.redactor);
                let failed = error.kind == TargetErrorKind::Release;
                let why = failed.then(|| error.message.clone());
                let given_up = control.ask(&Request::Own(DockerRequest::Abandon { why })).await;
                if let Err(error) = given_up {
                    tracing::warn!(error = &error as &dyn std::error::Error, "not given up");
                }
                Err(error)
            }
        }
    }

    async fn try_out(
        &self,
        record: &ReleaseRecord,
        wait: Duration,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<ContainerRecord, Failed> {
        let bare = |fault| Failed { fault, container: None };
        tokio::select! {
            pulled = self.pull(&record.detail.image, events) => pulled.map_err(bare)?,
            () = cancel.cancelled() => return Err(bare(Fault::Cancelled)),
        }
        let containers = self.containers().map_err(|error| {
            let message = error.message;
            bare(Fault::Request(RequestError::Supervisor { message }))
        })?;
        let client = probe::client().map_err(|error| {
            let message = format!("could not run health checks: {error}");
            bare(Fault::Request(RequestError::Supervisor { message }))
        })?;
        let start =
            ContainerStart { containers: &containers, client: &client, record, wait, cancel };
        let started = Instant::now();
        let container = start.start().await?;
        let short: String = container.id.chars().take(12).collect();
        step(events, "start", format!("container {short} on port {}", container.port), started);
        let started = Instant::now();
        let judged = start.healthy(container).await;
        let (ok, detail) = match &judged {
            Ok(Healthy { requests: 1, .. }) => (true, "healthy at the first request".to_owned()),
            Ok(Healthy { requests, .. }) => (true, format!("healthy after {requests} requests")),
            Err(Failed { fault, .. }) => {
                (false, self.deployer.redactor.redact(&fault.to_string()).into_owned())
            }
        };
        events.send(RunEvent::StepFinished {
            stage: Stage::Rollout,
            name: "health check".to_owned(),
            ok,
            detail,
            elapsed: started.elapsed(),
        });
        judged.map(|healthy| healthy.container)
    }

    /// What the engine says of the container that serves.
    async fn container_notes(&self, record: &ReleaseRecord, url: &str) -> (Vec<String>, Condition) {
        let Some(container) = &record.detail.container else {
            return (Vec::new(), Condition::Down("it has no container".to_owned()));
        };
        let short: String = container.id.chars().take(12).collect();
        let looked = match self.containers() {
            Ok(containers) => containers.inspect(&container.id).await,
            Err(error) => return (Vec::new(), Condition::Unknown(error.message)),
        };
        let mut notes = Vec::new();
        let serving = match &looked {
            Ok(Some(condition)) if condition.up => Condition::Serves,
            Ok(Some(_)) => Condition::Down(format!("its container {short} is stopped")),
            Ok(None) => Condition::Down(format!("its container {short} no longer exists")),
            Err(error) => Condition::Unknown(error.to_string()),
        };
        let condition = match looked {
            Ok(Some(condition)) => {
                let up = if condition.up { "" } else { ", stopped" };
                notes.push(format!("container {short} on port {}{up}", container.port));
                Some(condition)
            }
            Ok(None) => {
                notes.push(format!("its container {short} no longer exists"));
                None
            }
            Err(error) => {
                notes.push(format!("{error}; {}", error.kind.advice()));
                None
            }
        };
        let seen = condition.as_ref().map_or(0, |condition| condition.restarts);
        let restarts = record.detail.restarts.max(seen);
        let out_of_memory = condition.as_ref().is_some_and(|condition| condition.out_of_memory);
        let last = match (&record.detail.last_exit, condition) {
            (Some(last), _) => Some(last.clone()),
            (None, Some(condition)) if !condition.up => condition.exit.map(|exit| exit.to_string()),
            (None, _) if out_of_memory => Some("it exceeded its memory limit".to_owned()),
            (None, _) => None,
        };
        let last = last.map(|last| format!(", last exit: {last}")).unwrap_or_default();
        match restarts {
            0 if last.is_empty() => {}
            0 => notes.push(format!("not restarted{last}")),
            count => notes.push(format!("restarted {}{last}", times(count))),
        }
        let serving = match serving {
            Condition::Serves => {
                let url = format!("{url}{}", self.launch.health);
                let seen = probe::condition(&url).await;
                notes.extend(seen.reason().map(str::to_owned));
                seen
            }
            other => other,
        };
        (notes, serving)
    }
}

fn bytes_in_mib(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for a person, one decimal")]
    let bytes = bytes as f64;
    bytes / (1024.0 * 1024.0)
}

fn step(events: &EventSink, name: &str, detail: String, started: Instant) {
    events.send(RunEvent::StepFinished {
        stage: Stage::Rollout,
        name: name.to_owned(),
        ok: true,
        detail,
        elapsed: started.elapsed(),
    });
}

#[async_trait]
impl Target for DockerTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Docker
    }

    async fn check(&self) -> Result<(), TargetError> {
        self.deployer.check().await
    }

    async fn roll_out(
        &self,
        request: &RolloutRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(self.error(Fault::Cancelled, None));
        }
        let front = front_address(&self.deployer.url);
        let front = front.map_err(|error| target_error(error.to_string(), None))?;
        let Some(image) = request.image.clone() else {
            return Err(self.error(Fault::NoImage, None));
        };
        // An engine that is away is said before anything is begun.
        self.engine.info().await.map_err(|error| self.error(error, None))?;
        let contained =
            ContainerDetail::new(image, self.launch.clone(), self.rollback == Rollback::Forbidden);
        let (id, run, now) = (request.release, request.run, Timestamp::now());
        let candidate = ReleaseRecord::candidate(id, request.commit.clone(), run, contained, now);
        let (mut control, begun) = self.begin(&candidate, front).await?;
        if begun {
            self.bring_up(&mut control, &candidate, request.wait, events, cancel).await?;
        }
        self.deployer.hold_lease(control).await;
        Ok(self.deployer.deployed(request.release))
    }

    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError> {
        self.deployer.mark_verified(release).await
    }

    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError> {
        let state = self.state().await?;
        let Some(record) = state.as_ref().and_then(|state| state.get(release)) else {
            return Ok(String::new());
        };
        let containers = self.containers()?;
        let found = containers.find(record).await.map_err(|error| self.error(error, None))?;
        let Some(found) = found else { return Ok(String::new()) };
        let since = record.detail.container.as_ref().and_then(|container| container.log_from);
        let said = containers.log(&found.id, since, Redactor::margin(LOG_SHOWN)).await;
        Ok(self.deployer.redactor.tail(&said.map_err(|error| self.error(error, None))?, LOG_SHOWN))
    }

    async fn restore(
        &self,
        failed: ReleaseId,
        _events: &EventSink,
        _hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        let began = Instant::now();
        let Some(state) = self.state().await? else { return Ok(Restored::Nothing) };
        let to = state.fallback().or_else(|| state.before_active());
        let warm = to.and_then(|to| state.get(to)?.detail.container.clone());
        // Where the engine cannot be asked, what stands by is believed to run.
        let runs = match warm {
            Some(container) => !matches!(
                self.containers()?.inspect(&container.id).await,
                Ok(None) | Ok(Some(super::containers::ContainerState { up: false, .. }))
            ),
            None => true,
        };
        let mut control = self.deployer.control().await?;
        let request = Request::Own(DockerRequest::Restore { failed, runs });
        let reply = self.deployer.ask(&mut control, &request).await?;
        let restored = match reply {
            Reply::Restored { serving: Some(release), untouched: true } => {
                Restored::Untouched(self.deployer.serving(release))
            }
            Reply::Restored { serving: Some(release), untouched: false } => {
                let serving_after = Some(began.elapsed());
                Restored::Release { deployed: self.deployer.serving(release), serving_after }
            }
            Reply::Restored { serving: None, .. } => Restored::Nothing,
            Reply::Own(DockerReply::Prepared { record }) => {
                let (events, go_on) = (EventSink::null(), CancellationToken::new());
                let back =
                    self.bring_up(&mut control, &record, ROLLBACK_TIMEOUT, &events, &go_on).await?;
                let serving_after = Some(began.elapsed());
                Restored::Release { deployed: self.deployer.serving(back), serving_after }
            }
            Reply::Here { .. }
            | Reply::Serving { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => return Err(self.deployer.unexpected_reply()),
        };
        self.deployer.drop_lease().await;
        Ok(restored)
    }

    async fn roll_back(
        &self,
        earlier: Earlier,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(self.error(Fault::Cancelled, None));
        }
        let no_release =
            |message: String| self.error(Fault::Request(RequestError::NoRelease { message }), None);
        if self.state().await?.is_none() {
            return Err(no_release("nothing has been deployed here".to_owned()));
        }
        let release = match earlier {
            Earlier::LastVerified => None,
            Earlier::Release(release) => Some(release),
            Earlier::Revision(number) => {
                Some(self.deployer.numbered(&self.status().await?, number)?)
            }
        };
        let mut control = self.deployer.control().await?;
        match self
            .deployer
            .ask(&mut control, &Request::Own(DockerRequest::Prepare { release }))
            .await?
        {
            Reply::Serving { release } => Ok(self.deployer.serving(release)),
            Reply::Own(DockerReply::Prepared { record }) => {
                let back =
                    self.bring_up(&mut control, &record, ROLLBACK_TIMEOUT, events, cancel).await?;
                Ok(self.deployer.serving(back))
            }
            Reply::Here { .. }
            | Reply::Restored { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(self.deployer.unexpected_reply()),
        }
    }

    async fn stop(&self) -> Result<Stopped, TargetError> {
        self.deployer.stop(SHUTDOWN).await
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        let Some(mut state) = self.state().await? else { return Ok(TargetStatus::default()) };
        let mut notes = Vec::new();
        let mut supervisor = None;
        if state.active().is_some() {
            supervisor = self.deployer.revive(&mut notes).await?;
            state = self.state().await?.unwrap_or(state);
        } else {
            notes.push(state.stopped_note().unwrap_or_else(|| "nothing is serving".to_owned()));
        }
        let serving = state.active().and_then(|active| state.get(active));
        let mut condition = Condition::default();
        if let Some(record) = serving {
            let url = self.deployer.endpoint(Some(&state)).url;
            let (told, mut seen) = self.container_notes(record, &url).await;
            notes.extend(told);
            if let Some((own, address)) = supervisor.zip(state.front.as_deref())
                && let Some(why) = foreign_listener(address, own)
            {
                notes.push(why.clone());
                seen = Condition::Down(why);
            }
            condition = seen.map(|reason| self.deployer.redactor.redact(&reason).into_owned());
            if !record.detail.stays {
                notes.extend(state.expected_change());
            }
            if record.detail.stays {
                let short = record.id.short();
                notes.push(format!("release {short} must not be rolled back"));
            }
            if let Some(failure) = &record.failure {
                notes.push(failure.clone());
            }
        }
        // While it is not verified it serves at both.
        if let Some(address) = &state.front
            && serving.is_none_or(|record| record.state != ReleaseState::Live)
            && !self.deployer.url.ends_with(address.rsplit(':').next().unwrap_or_default())
        {
            notes.push(format!("the proxy listens on {address}, not on {}", self.deployer.url));
        }
        let mut releases: Vec<Release> =
            state.releases().iter().map(ReleaseRecord::release).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.id));
        let serving =
            serving.map(|record| (record.release(), self.deployer.endpoint(Some(&state))));
        let notes =
            notes.iter().map(|note| self.deployer.redactor.redact(note).into_owned()).collect();
        Ok(TargetStatus { serving, condition, releases, notes })
    }

    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError> {
        let Some(state) = self.state().await? else { return Ok(Vec::new()) };
        self.deployer.clean_up(&state, run).await
    }
}

/// Ends the service and the supervisor of the target in `folder`, and waits until they are gone;
/// whether there was one. Releases are kept for a rollback.
///
/// # Errors
///
/// [`TargetErrorKind::Target`] when the supervisor cannot be asked or does not end.
pub async fn shut_down(folder: &Path) -> Result<bool, TargetError> {
    shut_down_target::<DockerProtocol>(TargetKind::Docker, folder, SHUTDOWN).await
}
