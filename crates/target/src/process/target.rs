//! The process target as the rest of the program sees it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::artifacts;
use super::protocol::{ProcessProtocol, ProcessReply, ProcessRequest, Variable};
use super::service::{files_folder, release_folder};
use super::service_log::{LogMark, read_since};
use super::state::{Launch, ProcessDetail, ReleaseRecord, State};
use crate::proxy::address::{foreign_listener, front_address};
use crate::proxy::probe::{self, Probe, health_path};
use crate::service_evidence::{ServiceLog, add_service_log};
use crate::supervisor::control::{self, SupervisorLauncher};
use crate::supervisor::deployer::{Deployer, shut_down as shut_down_target, target_error};
use crate::supervisor::protocol::RequestError;
use greenloop_config::plan::{HealthPlan, ProcessPlan};
use greenloop_config::program::{ProgramFault, look_up, path_variable};
use greenloop_evidence::Redactor;
use greenloop_model::{
    Condition, EventSink, Evidence, Exit, FailureClass, HttpExchange, ReleaseId, ReleaseState,
    RunEvent, RunId, Stage, TargetKind,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Stopped, Target, TargetError, TargetErrorKind,
    TargetStatus,
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
    deployer: Deployer<ProcessDetail, ProcessProtocol>,
    plan: ProcessPlan,
    health: HealthPlan,
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
        let arguments = vec!["supervise".into()];
        let launcher = SupervisorLauncher { program, arguments, env_remove: Vec::new() };
        let kind = TargetKind::Process;
        let deployer = Deployer::new(kind, folder, url, redactor, launcher, 2 * SLACK);
        Self { deployer, plan: plan.clone(), health: health.clone() }
    }

    /// Names variables, such as a model's key, that services do not inherit.
    #[must_use]
    pub fn env_remove(mut self, names: impl IntoIterator<Item = OsString>) -> Self {
        self.deployer.env_remove(names);
        self
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
        let env_remove: Vec<_> = self.deployer.launcher.all_env_remove().collect();
        std::env::vars_os()
            .filter(|(name, _)| !env_remove.contains(&name.as_os_str()))
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
        control.send(request).await.map_err(|error| self.deployer.unreachable(error))?;
        let mut deadline = Instant::now() + wait + SLACK;
        let mut cancelled = false;
        loop {
            let reply = tokio::select! {
                reply = control.receive() => reply.map_err(|error| self.deployer.unreachable(error))?,
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    deadline = Instant::now() + CANCEL;
                    control.send(&Request::Own(ProcessRequest::Cancel)).await.map_err(|error| self.deployer.unreachable(error))?;
                    continue;
                }
                () = tokio::time::sleep_until(deadline) => {
                    if cancelled {
                        // Who hangs up is taken to have given the rollout up.
                        return Err(self::cancelled());
                    }
                    return Err(self.deployer.unexpected_reply());
                }
            };
            match reply {
                Reply::Own(ProcessReply::Progress { step, ok, detail, elapsed }) => {
                    let detail = self.deployer.redactor.redact(&detail).into_owned();
                    let stage = Stage::Rollout;
                    events.send(RunEvent::StepFinished { stage, name: step, ok, detail, elapsed });
                }
                Reply::Serving { release } => return Ok(release),
                Reply::Failed { error } => return Err(self.error(error, asked)),
                Reply::Here { .. } | Reply::Restored { .. } | Reply::Done { .. } => {
                    return Err(self.deployer.unexpected_reply());
                }
            }
        }
    }

    /// What the supervisor's error means for whoever asked, with the evidence of it.
    fn error(&self, error: RequestError, release: Option<ReleaseId>) -> TargetError {
        let mut message = self.deployer.redactor.redact(&error.to_string()).into_owned();
        let (kind, own_class) = error.kind();
        let mut evidence = Evidence {
            notes: vec![message.clone()],
            remedy: error.remedy(),
            ..Evidence::default()
        };
        let mut class = own_class;
        if kind == TargetErrorKind::Release {
            evidence.command =
                Some(self.deployer.redactor.redact(&self.plan.command.join(" ")).into_owned());
            evidence.exit = match error.exit() {
                Some(Exit::NotStarted(reason)) => {
                    Some(Exit::NotStarted(self.deployer.redactor.redact(&reason).into_owned()))
                }
                other => other,
            };
            let exited = matches!(error, RequestError::Exited { .. });
            let mut wrong_path = false;
            if let RequestError::Unhealthy { last: Some(probe), .. } = error {
                evidence.remedy = health_path(&probe);
                wrong_path = evidence.remedy.is_some();
                evidence.http.push(self.exchange(*probe));
            }
            if let Some(release) = release {
                let said = self.read_log(release, LOG_READ);
                let log = self.add_log(&mut evidence, &said);
                if log.class != FailureClass::Unknown {
                    class = log.class;
                }
                if exited {
                    message = log.explain(message);
                }
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
        let files = files_folder(&self.deployer.folder, release);
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
            response: probe.shown_body(&self.deployer.redactor),
            complaint: probe.complaint,
            elapsed: probe.elapsed,
        }
    }

    /// What matters in the service's log.
    fn add_log(&self, evidence: &mut Evidence, said: &[u8]) -> ServiceLog {
        if said.is_empty() {
            evidence.notes.push("the service wrote no output".to_owned());
            return ServiceLog::silent();
        }
        let whole = self.deployer.redactor.tail(said, said.len());
        add_service_log(evidence, &whole, LOG_SHOWN, &self.deployer.redactor)
    }

    fn read_log(&self, release: ReleaseId, limit: usize) -> Vec<u8> {
        let mark = State::load(&self.deployer.folder)
            .ok()
            .flatten()
            .and_then(|state| state.get(release)?.detail.log)
            .unwrap_or(LogMark { files: 0, offset: 0 });
        read_since(&release_folder(&self.deployer.folder, release), mark, limit as u64)
            .unwrap_or_default()
    }
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
        self.deployer.check().await
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
        let front = front_address(&self.deployer.url)
            .map_err(|error| target_error(error.to_string(), None))?;
        let known =
            self.deployer.state()?.is_some_and(|state| state.get(request.release).is_some());
        let named = if known {
            None
        } else {
            Some(
                artifacts::check(&request.work_tree, &self.plan.artifacts)
                    .map_err(|error| unusable(error, &request.work_tree))?,
            )
        };
        let mut control = self.deployer.control().await?;
        if let Some(named) = named {
            let (folder, release) = (self.deployer.folder.clone(), request.release);
            let copy = move || artifacts::copy(&named, &folder, release);
            let copied = tokio::task::spawn_blocking(copy).await;
            copied
                .map_err(|_| {
                    target_error("copying the artifacts was interrupted".to_owned(), None)
                })?
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
                error
                    .evidence
                    .notes
                    .push(self.deployer.redactor.redact(&fault.to_string()).into_owned());
                error.evidence.remedy = Some(fault.remedy());
            }
            error
        })?;
        self.deployer.hold_lease(control).await;
        Ok(self.deployer.deployed(release))
    }

    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError> {
        self.deployer.mark_verified(release).await
    }

    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError> {
        let said = self.read_log(release, Redactor::margin(LOG_SHOWN));
        Ok(self.deployer.redactor.tail(&said, LOG_SHOWN))
    }

    async fn restore(
        &self,
        failed: ReleaseId,
        _events: &EventSink,
        _hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        if self.deployer.state()?.is_none() {
            return Ok(Restored::Nothing);
        }
        let began = Instant::now();
        let request = Request::Own(ProcessRequest::Restore { failed });
        let mut control = self.deployer.control().await?;
        match self.deployer.ask(&mut control, &request).await? {
            Reply::Restored { serving, untouched } => {
                self.deployer.drop_lease().await;
                Ok(match (serving, untouched) {
                    (Some(release), true) => Restored::Untouched(self.deployer.serving(release)),
                    (Some(release), false) => Restored::Release {
                        deployed: self.deployer.serving(release),
                        serving_after: Some(began.elapsed()),
                    },
                    (None, _) => Restored::Nothing,
                })
            }
            Reply::Here { .. }
            | Reply::Serving { .. }
            | Reply::Done { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(self.deployer.unexpected_reply()),
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
        if self.deployer.state()?.is_none() {
            let message = "nothing has been deployed here".to_owned();
            return Err(self.error(RequestError::NoRelease { message }, None));
        }
        let release = match earlier {
            Earlier::LastVerified => None,
            Earlier::Release(release) => Some(release),
            Earlier::Revision(number) => {
                Some(self.deployer.numbered(&self.status().await?, number)?)
            }
        };
        let mut control = self.deployer.control().await?;
        let request = Request::Own(ProcessRequest::RollBack { release, wait: SLACK });
        let serving = self.follow(&mut control, (&request, release), SLACK, events, cancel).await?;
        Ok(self.deployer.serving(serving))
    }

    async fn stop(&self) -> Result<Stopped, TargetError> {
        self.deployer.stop(SHUTDOWN).await
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        let Some(mut state) = self.deployer.state()? else { return Ok(TargetStatus::default()) };
        let mut notes = Vec::new();
        let mut supervisor = None;
        if state.active().is_some() {
            supervisor = self.deployer.revive(&mut notes).await?;
            state = self.deployer.state()?.unwrap_or(state);
        } else {
            notes.push(state.stopped_note().unwrap_or_else(|| "nothing is serving".to_owned()));
        }
        let active = state.active();
        let mut condition = Condition::default();
        if active.is_some() {
            let url = self.deployer.endpoint(Some(&state)).url;
            let listens = supervisor.zip(state.front.as_deref());
            condition = match listens.and_then(|(own, address)| foreign_listener(address, own)) {
                Some(why) => Condition::Down(why),
                None => probe::condition(&format!("{url}{}", self.health.endpoint)).await,
            };
            // The supervisor reports a process that was just found dead.
            state = self.deployer.state()?.unwrap_or(state);
        }
        let serving = active.and_then(|active| state.get(active));
        if let Some(record) = serving {
            notes.extend(state.expected_change());
            notes.extend(self.service_notes(record, &state));
        }
        notes.extend(condition.reason().map(|why| self.deployer.redactor.redact(why).into_owned()));
        let mut releases: Vec<_> = state.releases().iter().map(ReleaseRecord::release).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.id));
        let serving =
            serving.map(|record| (record.release(), self.deployer.endpoint(Some(&state))));
        Ok(TargetStatus { serving, condition, releases, notes })
    }

    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError> {
        let Some(state) = self.deployer.state()? else { return Ok(Vec::new()) };
        self.deployer.clean_up(&state, run).await
    }
}

impl ProcessTarget {
    fn service_notes(&self, record: &ReleaseRecord, state: &State) -> Vec<String> {
        let mut notes = Vec::new();
        match record.detail.running {
            Some(running) => {
                notes.push(format!("process {} on internal port {}", running.pid, running.port));
            }
            None => notes.push("its process is being restarted".to_owned()),
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
            && !self.deployer.url.ends_with(address.rsplit(':').next().unwrap_or_default())
        {
            notes.push(format!("the proxy listens on {address}, not on {}", self.deployer.url));
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
    shut_down_target::<ProcessProtocol>(TargetKind::Process, folder, SHUTDOWN).await
}
