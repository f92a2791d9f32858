//! The process target as the rest of the program sees it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::artifacts;
use super::protocol::{ProcessProtocol, ProcessReply, ProcessRequest, Variable};
use super::service::{files_folder, release_folder};
use super::service_log::{LogMark, read_since};
use super::state::{Launch, ReleaseRecord, State};
use crate::proxy::address::{address_owner, foreign_listener, front_address, serving_url};
use crate::proxy::probe::{self, Probe, health_path};
use crate::supervisor::control::{self, ControlError, SupervisorLauncher};
use crate::supervisor::protocol::RequestError;
use greenloop_config::plan::{HealthPlan, ProcessPlan};
use greenloop_config::program::{ProgramFault, look_up, path_variable};
use greenloop_evidence::{ExtractLimits, Redactor, extract};
use greenloop_model::{
    Condition, Endpoint, EventSink, Evidence, Exit, FailureClass, HttpExchange, ReleaseId,
    ReleaseState, RunEvent, RunId, Stage, TargetKind,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target, TargetError, TargetErrorKind, TargetStatus,
};

/// On top of what a release may take to become healthy.
const SLACK: Duration = Duration::from_secs(30);
/// How long a cancelled rollout is waited for.
const CANCEL: Duration = Duration::from_secs(15);
/// Bytes of a service's log that are looked at.
const LOG_READ: usize = 1024 * 1024;
/// Bytes of it that are handed on.
const LOG_SHOWN: usize = 16 * 1024;
/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(30);

type Control = control::Control<ProcessProtocol>;
type Request = crate::supervisor::protocol::Request<ProcessRequest>;
type Reply = crate::supervisor::protocol::Reply<ProcessReply>;

/// Releases as supervised local processes. See the module's documentation.
pub struct ProcessTarget {
    folder: PathBuf,
    plan: ProcessPlan,
    url: String,
    health: HealthPlan,
    redactor: Redactor,
    launcher: SupervisorLauncher,
    /// The connection that answers for a release that serves and is not verified.
    lease: Mutex<Option<Control>>,
}

impl ProcessTarget {
    /// The target whose state is in `folder` and whose address is `url`. `program` is this
    /// program, which is started as the supervisor with `supervise --state FOLDER`.
    pub fn new(
        folder: PathBuf,
        plan: &ProcessPlan,
        url: &str,
        health: &HealthPlan,
        redactor: Redactor,
        program: PathBuf,
    ) -> Self {
        Self {
            folder,
            plan: plan.clone(),
            url: url.trim_end_matches('/').to_owned(),
            health: health.clone(),
            redactor,
            launcher: SupervisorLauncher {
                program,
                arguments: vec!["supervise".into()],
                env_remove: Vec::new(),
            },
            lease: Mutex::new(None),
        }
    }

    /// Names variables, such as a model's key, that services do not inherit.
    #[must_use]
    pub fn env_remove(mut self, names: impl IntoIterator<Item = OsString>) -> Self {
        self.launcher.env_remove.extend(names);
        self
    }

    fn deployed(&self, release: ReleaseId) -> Deployed {
        Deployed { release, endpoint: Endpoint { url: self.url.clone() } }
    }

    /// What serves where the front listens, which is not the configured address when a release
    /// that was to move it failed.
    fn serving(&self, release: ReleaseId) -> Deployed {
        let state = State::load(&self.folder).ok().flatten();
        let endpoint = self.endpoint(state.as_ref());
        Deployed { release, endpoint }
    }

    fn endpoint(&self, state: Option<&State>) -> Endpoint {
        let front = state.and_then(|state| state.front.as_deref());
        Endpoint { url: serving_url(&self.url, front) }
    }

    fn launch(&self) -> Launch {
        Launch {
            command: self.plan.command.clone(),
            env: self.plan.env.clone(),
            health: self.health.endpoint.clone(),
            health_timeout: self.health.timeout,
            drain: self.plan.drain_timeout,
            keep: self.plan.keep_releases,
        }
    }

    fn environment(&self) -> Vec<Variable> {
        let withheld: Vec<_> = self.launcher.all_env_remove().collect();
        std::env::vars_os()
            .filter(|(name, _)| !withheld.contains(&name.as_os_str()))
            .map(|(name, value)| Variable::new(name, value))
            .collect()
    }

    /// Follows a rollout or a rollback to its end.
    async fn follow(
        &self,
        control: &mut Control,
        asked: (&Request, Option<ReleaseId>),
        wait: Duration,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<ReleaseId, TargetError> {
        let (request, asked) = asked;
        control.send(request).await.map_err(unreachable)?;
        let mut deadline = Instant::now() + wait + SLACK;
        let mut cancelled = false;
        loop {
            let reply = tokio::select! {
                reply = control.receive() => reply.map_err(unreachable)?,
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    deadline = Instant::now() + CANCEL;
                    control.send(&Request::Own(ProcessRequest::Cancel)).await.map_err(unreachable)?;
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    if cancelled {
                        // Who hangs up is taken to have given the rollout up.
                        return Err(self::cancelled());
                    }
                    return Err(unreachable(ControlError::NoAnswer(None)));
                }
            };
            match reply {
                Reply::Own(ProcessReply::Progress { step, ok, detail, elapsed }) => {
                    let detail = self.redactor.redact(&detail).into_owned();
                    let stage = Stage::Rollout;
                    events.send(RunEvent::StepFinished { stage, name: step, ok, detail, elapsed });
                }
                Reply::Serving { release } => return Ok(release),
                Reply::Failed { error } => return Err(self.error(error, asked)),
                Reply::Here { .. } | Reply::Restored { .. } | Reply::Done { .. } => {
                    return Err(unreachable(ControlError::NoAnswer(None)));
                }
            }
        }
    }

    /// What the supervisor's error means for whoever asked, with the evidence of it.
    fn error(&self, error: RequestError, release: Option<ReleaseId>) -> TargetError {
        let message = self.redactor.redact(&error.to_string()).into_owned();
        let (kind, own_class) = error.kind();
        let mut evidence = Evidence { notes: vec![message.clone()], ..Evidence::default() };
        let mut class = own_class;
        if kind == TargetErrorKind::Release {
            evidence.command =
                Some(self.redactor.redact(&self.plan.command.join(" ")).into_owned());
            evidence.exit = match error.exit() {
                Some(Exit::NotStarted(reason)) => {
                    Some(Exit::NotStarted(self.redactor.redact(&reason).into_owned()))
                }
                other => other,
            };
            let mut wrong_path = false;
            if let RequestError::Unhealthy { last: Some(probe), .. } = error {
                evidence.remedy = health_path(&probe);
                wrong_path = evidence.remedy.is_some();
                evidence.http.push(self.exchange(*probe));
            }
            if let Some(release) = release {
                let said = self.read_log(release, LOG_READ);
                class = self.add_log(&mut evidence, &said, own_class);
            }
            if wrong_path {
                class = FailureClass::Config;
            }
        }
        TargetError { kind, message, class, evidence: Box::new(evidence), source: None }
    }

    /// Why the program of a release whose files are ready cannot be started, named as the work tree
    /// has it, where somebody can repair it.
    fn program_fault(&self, release: ReleaseId) -> Option<ProgramFault> {
        let word = self.plan.command.first()?;
        let files = files_folder(&self.folder, release);
        let path = self.plan.env.get("PATH").map_or_else(path_variable, OsString::from);
        let inside = files.join(word).exists() && !word.contains('/');
        let shown = if inside { format!("./{word}") } else { word.clone() };
        let fault = look_up(&shown, &files, &path).err()?;
        let name = Path::new(word).file_name();
        let artifact = self.plan.artifacts.iter().find(|artifact| artifact.file_name() == name);
        Some(match (fault, artifact) {
            (ProgramFault::NotExecutable { .. }, Some(artifact)) => {
                ProgramFault::NotExecutable { path: artifact.to_string_lossy().into_owned() }
            }
            (ProgramFault::NoInterpreter { interpreter, carriage_return, .. }, Some(artifact)) => {
                let path = artifact.to_string_lossy().into_owned();
                ProgramFault::NoInterpreter { path, interpreter, carriage_return }
            }
            (fault, _) => fault,
        })
    }

    fn exchange(&self, probe: Probe) -> HttpExchange {
        HttpExchange {
            request: format!("GET {}", probe.url),
            status: probe.status,
            response: probe.shown_body(&self.redactor),
            complaint: probe.complaint,
            elapsed: probe.elapsed,
        }
    }

    /// What matters in the service's log; its class, where it tells one.
    fn add_log(&self, evidence: &mut Evidence, said: &[u8], class: FailureClass) -> FailureClass {
        if said.is_empty() {
            evidence.notes.push("the service wrote nothing".to_owned());
            return class;
        }
        let whole = self.redactor.tail(said, said.len());
        let extraction = extract(whole.as_bytes(), ExtractLimits::default(), &self.redactor);
        evidence.excerpts = extraction.excerpts;
        evidence.log_lines = extraction.lines;
        evidence.failing_tests = extraction.failing_tests;
        evidence.service_log = Some(self.redactor.tail(said, LOG_SHOWN));
        if extraction.class == FailureClass::Unknown { class } else { extraction.class }
    }

    fn read_log(&self, release: ReleaseId, limit: usize) -> Vec<u8> {
        let mark = State::load(&self.folder)
            .ok()
            .flatten()
            .and_then(|state| state.get(release)?.detail.log)
            .unwrap_or(LogMark { files: 0, offset: 0 });
        read_since(&release_folder(&self.folder, release), mark, limit as u64).unwrap_or_default()
    }

    /// A connection to the supervisor; starts it where something has been deployed.
    async fn control(&self) -> Result<Control, TargetError> {
        self.launcher.connect(&self.folder).await.map_err(unreachable)
    }

    fn state(&self) -> Result<Option<State>, TargetError> {
        State::load(&self.folder).map_err(|error| {
            let message = "the target's state cannot be used".to_owned();
            target_error(message, Some(Box::new(error)))
        })
    }
}

/// The message, and each cause that lies underneath.
fn notes(message: &str, source: &Option<Box<dyn std::error::Error + Send + Sync>>) -> Vec<String> {
    let mut notes = vec![message.to_owned()];
    let mut cause = source.as_deref().map(|error| error as &dyn std::error::Error);
    while let Some(error) = cause {
        notes.push(error.to_string());
        cause = error.source();
    }
    notes
}

fn target_error(
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> TargetError {
    TargetError {
        kind: TargetErrorKind::Target,
        evidence: Box::new(Evidence { notes: notes(&message, &source), ..Evidence::default() }),
        message,
        class: FailureClass::Infrastructure,
        source,
    }
}

fn unreachable(error: ControlError) -> TargetError {
    let message = "the supervisor of the process target cannot be used".to_owned();
    target_error(message, Some(Box::new(error)))
}

fn cancelled() -> TargetError {
    TargetError {
        kind: TargetErrorKind::Cancelled,
        message: RequestError::Cancelled.to_string(),
        class: FailureClass::Unknown,
        evidence: Box::default(),
        source: None,
    }
}

#[async_trait]
impl Target for ProcessTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Process
    }

    async fn check(&self) -> Result<(), TargetError> {
        let address = front_address(&self.url).map_err(|e| target_error(e.to_string(), None))?;
        let own = Control::connect(&self.folder).await.ok().map(|control| control.pid);
        match address_owner(&address, own) {
            None => Ok(()),
            Some(owner) => Err(self.error(RequestError::AddressInUse { address, owner }, None)),
        }
    }

    async fn roll_out(
        &self,
        request: &RolloutRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let started = Instant::now();
        let front =
            front_address(&self.url).map_err(|error| target_error(error.to_string(), None))?;
        let known = self.state()?.is_some_and(|state| state.get(request.release).is_some());
        let named = if known {
            None
        } else {
            Some(
                artifacts::check(&request.work_tree, &self.plan.artifacts)
                    .map_err(|error| unusable(error, &request.work_tree))?,
            )
        };
        let mut control = self.control().await?;
        if let Some(named) = named {
            let (folder, release) = (self.folder.clone(), request.release);
            let copy = move || artifacts::copy(&named, &folder, release);
            let copied = tokio::task::spawn_blocking(copy).await;
            copied
                .map_err(|_| target_error("copying the artifacts broke off".to_owned(), None))?
                .map_err(|error| unusable(error, &request.work_tree))?;
            events.send(RunEvent::StepFinished {
                stage: Stage::Rollout,
                name: "copy".to_owned(),
                ok: true,
                detail: match self.plan.artifacts.len() {
                    1 => "1 artifact".to_owned(),
                    count => format!("{count} artifacts"),
                },
                elapsed: started.elapsed(),
            });
        }
        let roll_out = Request::Own(ProcessRequest::RollOut {
            release: request.release,
            commit: request.commit.clone(),
            run: request.run,
            launch: self.launch(),
            front,
            wait: request.wait,
            environment: self.environment(),
        });
        let asked = (&roll_out, Some(request.release));
        // A failed release's files are soon gone.
        let fault = self.program_fault(request.release);
        let followed = self.follow(&mut control, asked, request.wait, events, cancel).await;
        let release = followed.map_err(|mut error| {
            if let (Some(Exit::NotStarted(_)), Some(fault)) = (&error.evidence.exit, fault) {
                error.evidence.notes.push(self.redactor.redact(&fault.to_string()).into_owned());
                error.evidence.remedy = Some(fault.remedy());
            }
            error
        })?;
        *self.lease.lock().await = Some(control);
        Ok(self.deployed(release))
    }

    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError> {
        let reply = self.control().await?.ask(&Request::MarkVerified { release }).await;
        match reply.map_err(unreachable)? {
            Reply::Done { .. } => {
                *self.lease.lock().await = None;
                Ok(())
            }
            Reply::Failed { error } => Err(self.error(error, None)),
            Reply::Here { .. } | Reply::Serving { .. } | Reply::Restored { .. } | Reply::Own(_) => {
                Err(unreachable(ControlError::NoAnswer(None)))
            }
        }
    }

    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError> {
        let said = self.read_log(release, Redactor::margin(LOG_SHOWN));
        Ok(self.redactor.tail(&said, LOG_SHOWN))
    }

    async fn restore(
        &self,
        failed: ReleaseId,
        _events: &EventSink,
        _hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        if self.state()?.is_none() {
            return Ok(Restored::Nothing);
        }
        let began = Instant::now();
        let request = Request::Own(ProcessRequest::Restore { failed });
        let reply = self.control().await?.ask_within(&request, 2 * SLACK).await;
        match reply.map_err(unreachable)? {
            Reply::Restored { serving, untouched } => {
                *self.lease.lock().await = None;
                Ok(match (serving, untouched) {
                    (Some(release), true) => Restored::Untouched(self.serving(release)),
                    (Some(release), false) => Restored::Release {
                        deployed: self.serving(release),
                        serving_after: Some(began.elapsed()),
                    },
                    (None, _) => Restored::Nothing,
                })
            }
            Reply::Failed { error } => Err(self.error(error, None)),
            Reply::Here { .. } | Reply::Serving { .. } | Reply::Done { .. } | Reply::Own(_) => {
                Err(unreachable(ControlError::NoAnswer(None)))
            }
        }
    }

    async fn roll_back(
        &self,
        earlier: Earlier,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        if self.state()?.is_none() {
            let message = "nothing was ever deployed here".to_owned();
            return Err(self.error(RequestError::NoRelease { message }, None));
        }
        let release = match earlier {
            Earlier::LastVerified => None,
            Earlier::Release(release) => Some(release),
            Earlier::Revision(number) => {
                Some(self.status().await?.earlier(number).ok_or_else(|| {
                    let message = format!("there is no earlier release number {number}");
                    self.error(RequestError::NoRelease { message }, None)
                })?)
            }
        };
        let mut control = self.control().await?;
        let request = Request::Own(ProcessRequest::RollBack { release, wait: SLACK });
        let serving = self.follow(&mut control, (&request, release), SLACK, events, cancel).await?;
        Ok(self.serving(serving))
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        let Some(mut state) = self.state()? else { return Ok(TargetStatus::default()) };
        let mut notes = Vec::new();
        let mut supervisor = None;
        if state.active().is_some() {
            supervisor = match Control::connect(&self.folder).await {
                Ok(control) => Some(control.pid),
                Err(ControlError::NotRunning) => {
                    let control = self.control().await?;
                    notes.push("the supervisor was gone; started a new one".to_owned());
                    state = self.state()?.unwrap_or(state);
                    Some(control.pid)
                }
                Err(_) => None,
            };
        } else {
            notes.push("nothing is serving".to_owned());
        }
        let active = state.active();
        let mut condition = Condition::default();
        if active.is_some() {
            let url = self.endpoint(Some(&state)).url;
            let listens = supervisor.zip(state.front.as_deref());
            condition = match listens.and_then(|(own, address)| foreign_listener(address, own)) {
                Some(why) => Condition::Down(why),
                None => probe::condition(&format!("{url}{}", self.health.endpoint)).await,
            };
            // A process that was just found dead is told of by the supervisor.
            state = self.state()?.unwrap_or(state);
        }
        let serving = active.and_then(|active| state.get(active));
        if let Some(record) = serving {
            notes.extend(state.expected_change());
            notes.extend(self.service_notes(record, &state));
        }
        notes.extend(condition.reason().map(|why| self.redactor.redact(why).into_owned()));
        let mut releases: Vec<_> = state.releases().iter().map(ReleaseRecord::release).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.id));
        let serving = serving.map(|record| (record.release(), self.endpoint(Some(&state))));
        Ok(TargetStatus { serving, condition, releases, notes })
    }

    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let left = state.releases().iter().any(|record| {
            record.run == run
                && matches!(record.state, ReleaseState::Candidate | ReleaseState::Live)
        });
        if !left {
            return Ok(Vec::new());
        }
        let reply = self.control().await?.ask_within(&Request::CleanUp { run }, SLACK).await;
        match reply.map_err(unreachable)? {
            Reply::Done { notes } => Ok(notes),
            Reply::Failed { error } => Err(self.error(error, None)),
            Reply::Here { .. } | Reply::Serving { .. } | Reply::Restored { .. } | Reply::Own(_) => {
                Err(unreachable(ControlError::NoAnswer(None)))
            }
        }
    }
}

impl ProcessTarget {
    fn service_notes(&self, record: &ReleaseRecord, state: &State) -> Vec<String> {
        let mut notes = Vec::new();
        match record.detail.running {
            Some(running) => {
                notes.push(format!("process {} at private port {}", running.pid, running.port));
            }
            None => notes.push("its process is being started again".to_owned()),
        }
        if let Some(exit) = &record.detail.last_exit {
            let times = if record.detail.restarts == 1 { "once" } else { "times" };
            let count = match record.detail.restarts {
                1 => String::new(),
                count => format!("{count} "),
            };
            notes.push(format!("restarted {count}{times}, last exit: {exit}"));
        }
        // While it is not verified it serves at both.
        if let Some(address) = &state.front
            && record.state != ReleaseState::Live
            && !self.url.ends_with(address.rsplit(':').next().unwrap_or_default())
        {
            notes.push(format!("the front listens at {address}, not at {}", self.url));
        }
        notes
    }
}

/// An artifact that is not there is the configuration's or a gate's fault, not the target's.
fn unusable(error: artifacts::ArtifactError, work_tree: &Path) -> TargetError {
    let (kind, class) = match error.problem() {
        artifacts::ArtifactProblem::Missing
        | artifacts::ArtifactProblem::Outside
        | artifacts::ArtifactProblem::SameName
        | artifacts::ArtifactProblem::Unsuitable => {
            (TargetErrorKind::Release, FailureClass::Config)
        }
        artifacts::ArtifactProblem::Copy => (TargetErrorKind::Target, FailureClass::Infrastructure),
    };
    let message = error.to_string();
    let remedy = error.remedy(work_tree);
    let notes = vec![message.clone()];
    TargetError {
        kind,
        evidence: Box::new(Evidence { notes, remedy, ..Evidence::default() }),
        message,
        class,
        source: error.into_source(),
    }
}

/// Ends the service and the supervisor of the target in `folder`, and waits until they are gone;
/// whether there was one. Releases are kept for a rollback.
///
/// # Errors
///
/// [`TargetErrorKind::Target`] when the supervisor cannot be asked or does not end.
pub async fn shut_down(folder: &Path) -> Result<bool, TargetError> {
    control::shut_down::<ProcessProtocol>(folder, SHUTDOWN).await.map_err(unreachable)
}
