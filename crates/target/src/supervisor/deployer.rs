//! The deployer's side of a target: what both kinds ask of their supervisor and read in its state.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::control::{Control, ControlError, SupervisorLauncher, until_gone};
use super::protocol::{Protocol, Reply, Request, RequestError};
use super::release_state::{ReleaseDetail, TargetState};
use crate::proxy::address::{address_owner, front_address, serving_url};
use greenloop_evidence::Redactor;
use greenloop_model::{
    Endpoint, Evidence, FailureClass, ReleaseId, ReleaseState, RunId, TargetKind,
};
use greenloop_ports::{Deployed, Stopped, TargetError, TargetErrorKind, TargetStatus};

/// An error that lies under another.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a deployer knows of a target and its supervisor.
pub(crate) struct Deployer<D, P> {
    kind: TargetKind,
    /// Of the state, the lock and the socket.
    pub(crate) folder: PathBuf,
    /// The environment's, without a slash at the end.
    pub(crate) url: String,
    pub(crate) redactor: Redactor,
    pub(crate) launcher: SupervisorLauncher,
    /// How long the supervisor may take to answer.
    answer: Duration,
    /// The connection that answers for a release that serves and is not verified.
    lease: Mutex<Option<Control<P>>>,
    detail: PhantomData<fn() -> D>,
}

impl<D: ReleaseDetail + Serialize + DeserializeOwned, P: Protocol> Deployer<D, P> {
    pub(crate) fn new(
        kind: TargetKind,
        folder: PathBuf,
        url: &str,
        redactor: Redactor,
        launcher: SupervisorLauncher,
        answer: Duration,
    ) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let (lease, detail) = (Mutex::new(None), PhantomData);
        Self { kind, folder, url, redactor, launcher, answer, lease, detail }
    }

    /// Names variables, such as a model's key, that the supervisor does not inherit.
    pub(crate) fn env_remove(&mut self, names: impl IntoIterator<Item = OsString>) {
        self.launcher.env_remove.extend(names);
    }

    pub(crate) fn deployed(&self, release: ReleaseId) -> Deployed {
        Deployed { release, endpoint: Endpoint { url: self.url.clone() } }
    }

    /// What serves where the proxy listens, which is not the configured address when a release
    /// that was to move it failed.
    pub(crate) fn serving(&self, release: ReleaseId) -> Deployed {
        let state = self.state().ok().flatten();
        Deployed { release, endpoint: self.endpoint(state.as_ref()) }
    }

    pub(crate) fn endpoint(&self, state: Option<&TargetState<D>>) -> Endpoint {
        let front = state.and_then(|state| state.front.as_deref());
        Endpoint { url: serving_url(&self.url, front) }
    }

    /// `None` when nothing was ever deployed.
    pub(crate) fn state(&self) -> Result<Option<TargetState<D>>, TargetError> {
        TargetState::load(&self.folder).map_err(|error| {
            let message = "could not use the target's state".to_owned();
            target_error(message, Some(Box::new(error)))
        })
    }

    /// A connection to the supervisor; starts it where there is none.
    pub(crate) async fn control(&self) -> Result<Control<P>, TargetError> {
        self.launcher.connect(&self.folder).await.map_err(|error| self.unreachable(error))
    }

    /// Asks, and waits for the last reply.
    pub(crate) async fn ask(
        &self,
        control: &mut Control<P>,
        request: &Request<P::Request>,
    ) -> Result<Reply<P::Reply>, TargetError> {
        match control.ask_within(request, self.answer).await {
            Ok(Reply::Failed { error }) => Err(self.refused(&error)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// The supervisor cannot be used.
    pub(crate) fn unreachable(&self, error: ControlError) -> TargetError {
        unreachable(self.kind, error)
    }

    pub(crate) fn unexpected_reply(&self) -> TargetError {
        self.unreachable(ControlError::NoAnswer(None))
    }

    /// The supervisor does not do it.
    pub(crate) fn refused(&self, error: &RequestError) -> TargetError {
        let message = self.redactor.redact(&error.to_string()).into_owned();
        let (kind, class) = error.kind();
        let mut told = TargetError { kind, class, ..target_error(message, None) };
        told.evidence.remedy = error.remedy();
        told
    }

    /// Whether the address is free, or this target's.
    pub(crate) async fn check(&self) -> Result<(), TargetError> {
        let address = front_address(&self.url).map_err(|e| target_error(e.to_string(), None))?;
        let own = Control::<P>::connect(&self.folder).await.ok().map(|control| control.pid);
        match address_owner(&address, own) {
            None => Ok(()),
            Some(owner) => Err(self.refused(&RequestError::AddressInUse { address, owner })),
        }
    }

    pub(crate) async fn hold_lease(&self, control: Control<P>) {
        *self.lease.lock().await = Some(control);
    }

    pub(crate) async fn drop_lease(&self) {
        *self.lease.lock().await = None;
    }

    pub(crate) async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError> {
        let mut control = self.control().await?;
        match self.ask(&mut control, &Request::MarkVerified { release }).await? {
            Reply::Done { .. } => {
                self.drop_lease().await;
                Ok(())
            }
            Reply::Here { .. }
            | Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(self.unexpected_reply()),
        }
    }

    /// Removes what `run` left half-done, as far as `state` has anything of it.
    pub(crate) async fn clean_up(
        &self,
        state: &TargetState<D>,
        run: RunId,
    ) -> Result<Vec<String>, TargetError> {
        let unfinished = |state| matches!(state, ReleaseState::Candidate | ReleaseState::Live);
        if !state.releases().iter().any(|record| record.run == run && unfinished(record.state)) {
            return Ok(Vec::new());
        }
        let mut control = self.control().await?;
        match self.ask(&mut control, &Request::CleanUp { run }).await? {
            Reply::Done { notes } => Ok(notes),
            Reply::Here { .. }
            | Reply::Serving { .. }
            | Reply::Restored { .. }
            | Reply::Failed { .. }
            | Reply::Own(_) => Err(self.unexpected_reply()),
        }
    }

    /// The release this many places down the history.
    pub(crate) fn numbered(
        &self,
        status: &TargetStatus,
        number: u32,
    ) -> Result<ReleaseId, TargetError> {
        status.earlier(number).ok_or_else(|| {
            let message = format!("there is no earlier release with the number {number}");
            self.refused(&RequestError::no_release(message))
        })
    }

    /// Ends the supervisor and all that it supervises. One that is gone is started first: what it
    /// left may run, and only a supervisor writes the record.
    pub(crate) async fn stop(&self, limit: Duration) -> Result<Stopped, TargetError> {
        let Some(state) = self.state()? else { return Ok(Stopped::Nothing) };
        let Some(record) = state.active().and_then(|active| state.get(active)) else {
            // After a first release that failed, the supervisor holds the address.
            let ended = shut_down::<P>(self.kind, &self.folder, limit).await?;
            return Ok(if ended { Stopped::Address } else { Stopped::Nothing });
        };
        let release = Box::new(record.release());
        // It ends when nobody is connected to it any more, and not before it is told to.
        let running = self.control().await?;
        drop(running);
        shut_down::<P>(self.kind, &self.folder, limit).await?;
        Ok(Stopped::Release { release, kept: Vec::new() })
    }

    /// The supervisor of a target that serves; one that is gone is replaced, which is noted.
    /// `None` where it cannot be asked.
    pub(crate) async fn revive(&self, notes: &mut Vec<String>) -> Result<Option<u32>, TargetError> {
        match Control::<P>::connect(&self.folder).await {
            Ok(control) => Ok(Some(control.pid)),
            Err(ControlError::NotRunning) => {
                let control = self.control().await?;
                notes.push("the supervisor was not running; started a new one".to_owned());
                Ok(Some(control.pid))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Ends the service and the supervisor of the target in `folder`, and waits for at most `limit`
/// until the supervisor is gone; whether there was one.
pub(crate) async fn shut_down<P: Protocol>(
    kind: TargetKind,
    folder: &Path,
    limit: Duration,
) -> Result<bool, TargetError> {
    let mut control = match Control::<P>::connect(folder).await {
        Ok(control) => control,
        Err(ControlError::NotRunning) => return Ok(false),
        Err(error) => return Err(unreachable(kind, error)),
    };
    let sent = control.send(&Request::ShutDown).await;
    sent.map_err(|error| unreachable(kind, error))?;
    if until_gone(control.pid, limit).await {
        Ok(true)
    } else {
        Err(unreachable(kind, ControlError::NoAnswer(None)))
    }
}

fn unreachable(kind: TargetKind, error: ControlError) -> TargetError {
    let message = format!("the supervisor of the {} target failed", kind.name());
    target_error(message, Some(Box::new(error)))
}

/// An error of the target itself, with each cause as a note.
pub(crate) fn target_error(message: String, source: Option<Source>) -> TargetError {
    let mut notes = vec![message.clone()];
    let mut cause = source.as_deref().map(|error| error as &dyn std::error::Error);
    while let Some(error) = cause {
        notes.push(error.to_string());
        cause = error.source();
    }
    TargetError {
        kind: TargetErrorKind::Target,
        evidence: Box::new(Evidence { notes, ..Evidence::default() }),
        message,
        class: FailureClass::Infrastructure,
        source,
    }
}
