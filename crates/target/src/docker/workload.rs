//! Releases as containers of an engine. A deployer starts them; here they are only led to,
//! followed by the engine's events, and swept: see [`super::sweep`]. The engine may be away at
//! any time; the address that serves does not need it.

mod follow;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::containers::{ContainerEvent, Containers};
use super::labels::{FoundContainer, rebuilt};
use super::protocol::{DockerProtocol, DockerReply, DockerRequest};
use super::record::{ContainerDetail, ContainerRecord, State};
use super::startup::health_url;
use super::sweep::Sweep;
use crate::proxy::listener::Backend;
use crate::proxy::probe::until_healthy;
use crate::supervisor::protocol::{Reply, RequestError};
use crate::supervisor::release_state::StateError;
use crate::supervisor::workload::{Answered, Asker, Next, Pending, Purpose, Workload};
use crate::supervisor::{Message, Supervisor};
use greenloop_image::engine::EngineError;
use greenloop_model::ReleaseId;

/// How long connections are held back for a container that was started again, at most.
const COMING_BACK: Duration = Duration::from_secs(60);
/// Before the engine's events are asked for again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The containers of one target.
pub(super) struct DockerWorkload {
    pub(super) containers: Containers,
    pub(super) sweep: Sweep,
    /// Where the listeners lead, for each release that serves or has served since the beginning.
    backends: BTreeMap<ReleaseId, Backend>,
    /// Ended by themselves and not started again yet.
    down: BTreeSet<ReleaseId>,
    out_of_memory: BTreeSet<ReleaseId>,
}

/// What happens to them.
pub(super) enum DockerEvent {
    /// What the engine has.
    Listed(Result<Vec<FoundContainer>, EngineError>),
    /// A sweep has done what it was to do, or not all of it.
    Swept { all: bool },
    /// A release's container was stopped, or left alone because it is wanted again.
    Stopped { release: ReleaseId },
    /// Something happened to a container.
    Engine { container: String, event: ContainerEvent },
    /// A container that was started again answers, or has had its time.
    Answers { release: ReleaseId },
}

/// A release that its deployer starts.
pub(super) struct Startup {
    /// Who waits until the release's container is not being stopped any more.
    waiting: Option<Asker<DockerWorkload>>,
    /// The release that a restore is to replace.
    failed: Option<ReleaseId>,
}

impl DockerWorkload {
    pub(super) fn new(containers: Containers) -> Self {
        Self {
            containers,
            sweep: Sweep::new(),
            backends: BTreeMap::new(),
            down: BTreeSet::new(),
            out_of_memory: BTreeSet::new(),
        }
    }

    /// Knows where `release` is.
    fn lead_to(&mut self, release: ReleaseId, container: &ContainerRecord) {
        let ContainerRecord { host, port, .. } = container;
        let moved = |backend: &Backend| (&*backend.host, backend.port) != (host, *port);
        if self.backends.get(&release).is_none_or(moved) {
            self.backends.insert(release, Backend::new(host, *port));
        }
    }

    /// Nobody is led to `release` any more; its connections drain.
    pub(super) fn forget_backend(&mut self, release: ReleaseId) -> Option<Backend> {
        self.backends.remove(&release)
    }
}

impl Workload for DockerWorkload {
    type Detail = ContainerDetail;
    type Protocol = DockerProtocol;
    type Event = DockerEvent;
    type Startup = Startup;

    const ENDS_WITH_SUPERVISOR: bool = false;

    /// What the containers tell.
    async fn rebuild_state(&self) -> State {
        match self.containers.list().await {
            Ok(found) => rebuilt(&found, &self.containers.host()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not list \
                    containers"
                );
                State::default()
            }
        }
    }

    fn take_over(supervisor: &mut Supervisor<Self>) {
        let (active, fallback) = (supervisor.state.active(), supervisor.state.fallback());
        for release in [active, fallback].into_iter().flatten() {
            if let Some(container) = supervisor.container_of(release) {
                supervisor.workload.lead_to(release, &container);
            }
        }
        if let Some(active) = active {
            supervisor.hold_until_it_answers(active);
        }
        let containers = supervisor.workload.containers.clone();
        tokio::spawn(forward_events(containers, supervisor.messages.clone()));
    }

    async fn answer(
        supervisor: &mut Supervisor<Self>,
        asker: &Asker<Self>,
        request: DockerRequest,
    ) -> Result<Answered<Self>, StateError> {
        let reply = match request {
            DockerRequest::Begin { candidate, front, engine } => {
                let here = engine == supervisor.workload.containers.engine.address();
                if !here && supervisor.pending.is_none() {
                    return Ok((Some(Reply::Own(DockerReply::Elsewhere)), Next::End));
                }
                let release = candidate.id;
                Some(match supervisor.admit(asker, *candidate, &front).await? {
                    Some(reply) => reply,
                    None => {
                        supervisor.pending = Some(Pending {
                            release,
                            purpose: Purpose::RollOut,
                            connection: Some(asker.connection),
                            startup: Startup { waiting: None, failed: None },
                        });
                        Reply::Own(DockerReply::Begun)
                    }
                })
            }
            DockerRequest::Prepare { release } => match supervisor.earlier(release) {
                Ok(release) if supervisor.state.active() == Some(release) => {
                    Some(Reply::Serving { release })
                }
                Ok(release) => match supervisor.reopen().await {
                    Ok(()) => supervisor.hand_over(asker, release, Purpose::RollBack, None),
                    Err(error) => Some(error.into()),
                },
                Err(error) => Some(error.into()),
            },
            DockerRequest::Switch { release, container } => {
                Some(supervisor.switch_to(asker, release, container)?)
            }
            DockerRequest::Abandon { why } => {
                let asked = |pending: &Pending<Self>| pending.connection == Some(asker.connection);
                if supervisor.pending.as_ref().is_some_and(asked) {
                    supervisor.give_up(match why {
                        Some(why) => RequestError::GivenUp { why },
                        None => RequestError::Cancelled,
                    })?;
                }
                Some(Reply::Done { notes: Vec::new() })
            }
            DockerRequest::Restore { failed, runs } => {
                if supervisor.is_pending(failed) {
                    supervisor
                        .give_up(RequestError::GivenUp { why: "it was given up".to_owned() })?;
                }
                let to = supervisor.state.restorable();
                match to.filter(|_| supervisor.state.active() == Some(failed) && !runs) {
                    Some(to) => supervisor.restart_for_restore(asker, failed, to)?,
                    None => supervisor.restore(failed, "its smoke tests failed", Some(asker))?,
                }
            }
        };
        Ok((reply, Next::Continue))
    }

    fn handle(supervisor: &mut Supervisor<Self>, event: DockerEvent) -> Result<(), StateError> {
        match event {
            DockerEvent::Listed(listed) => supervisor.listed(listed),
            DockerEvent::Swept { all } => supervisor.workload.sweep.ended(all),
            DockerEvent::Stopped { release } => supervisor.stopped(release),
            DockerEvent::Engine { container, event } => {
                return supervisor.container_event(&container, event);
            }
            DockerEvent::Answers { release } => {
                if let Some(backend) = supervisor.workload.backends.get(&release) {
                    backend.connections.hold(false);
                }
            }
        }
        Ok(())
    }

    fn backend(&self, release: ReleaseId) -> Option<Backend> {
        self.backends.get(&release).cloned()
    }

    /// A container that somebody removed is made again.
    fn is_kept(_supervisor: &Supervisor<Self>, _release: ReleaseId) -> bool {
        true
    }

    fn stop(supervisor: &mut Supervisor<Self>, _release: ReleaseId) {
        supervisor.workload.sweep.now();
    }

    fn retire(supervisor: &mut Supervisor<Self>, _release: ReleaseId) {
        supervisor.workload.sweep.now();
    }

    fn forget(supervisor: &mut Supervisor<Self>, release: ReleaseId) {
        supervisor.state.forget_candidate(release);
        supervisor.workload.sweep.now();
    }

    fn serve_again(
        supervisor: &mut Supervisor<Self>,
        to: ReleaseId,
        _asker: Option<&Asker<Self>>,
    ) -> Result<Option<Reply<DockerReply>>, StateError> {
        supervisor.workload.sweep.start_wanted();
        if let Some(container) = supervisor.container_of(to) {
            supervisor.workload.down.remove(&to);
            supervisor.workload.lead_to(to, &container);
        }
        supervisor.switch(to, |_| {})?;
        supervisor.workload.sweep.now();
        Ok(Some(Reply::Restored { serving: Some(to), untouched: false }))
    }

    /// The containers' names say how far their releases have come.
    fn prune(supervisor: &mut Supervisor<Self>) {
        supervisor.workload.sweep.now();
    }

    fn give_up(supervisor: &mut Supervisor<Self>, _pending: &Pending<Self>) {
        supervisor.workload.sweep.now();
    }

    fn tick(supervisor: &mut Supervisor<Self>) {
        supervisor.workload.sweep.reap();
    }

    fn is_busy(&self) -> bool {
        self.sweep.is_busy()
    }

    fn after_message(supervisor: &mut Supervisor<Self>) {
        supervisor.sweep_when_due();
    }

    async fn stop_all(mut supervisor: Supervisor<Self>) {
        supervisor.workload.sweep.cancel().await;
        supervisor.stop_containers().await;
    }
}

impl Supervisor<DockerWorkload> {
    fn container_of(&self, release: ReleaseId) -> Option<ContainerRecord> {
        self.state.get(release)?.detail.container.clone()
    }

    /// Lets the asker start `release`; at once, unless its container is being stopped.
    fn hand_over(
        &mut self,
        asker: &Asker<DockerWorkload>,
        release: ReleaseId,
        purpose: Purpose,
        failed: Option<ReleaseId>,
    ) -> Option<Reply<DockerReply>> {
        let record = Box::new(self.state.get(release)?.clone());
        let waiting = self.workload.sweep.call_off(release).then(|| asker.clone());
        let at_once = waiting.is_none();
        let (connection, startup) = (Some(asker.connection), Startup { waiting, failed });
        self.pending = Some(Pending { release, purpose, connection, startup });
        at_once.then_some(Reply::Own(DockerReply::Prepared { record }))
    }

    /// The container that is to serve again in the place of `failed` has to be started first, by
    /// whoever asks for it.
    fn restart_for_restore(
        &mut self,
        asker: &Asker<DockerWorkload>,
        failed: ReleaseId,
        to: ReleaseId,
    ) -> Result<Option<Reply<DockerReply>>, StateError> {
        if let Some(by) = self.state.closed_by(failed, Some(to)) {
            return self.keep_failed(failed, by).map(Some);
        }
        if self.pending.is_some() {
            return Ok(Some(self.busy().into()));
        }
        Ok(self.hand_over(asker, to, Purpose::Restore, Some(failed)))
    }

    fn switch_to(
        &mut self,
        asker: &Asker<DockerWorkload>,
        release: ReleaseId,
        container: ContainerRecord,
    ) -> Result<Reply<DockerReply>, StateError> {
        let asked =
            |p: &&Pending<_>| p.connection == Some(asker.connection) && p.release == release;
        let Some(pending) = self.pending.as_ref().filter(asked) else {
            let message = format!("no rollout is waiting for release {}", release.short());
            return Ok(RequestError::no_release(message).into());
        };
        let failed = pending.startup.failed;
        self.workload.down.remove(&release);
        self.workload.lead_to(release, &container);
        self.switch(release, |state| {
            if let Some(failed) = failed {
                state.fail(failed, "its smoke tests failed");
            }
            if let Some(record) = state.get_mut(release) {
                record.detail.container = Some(container);
            }
        })?;
        self.take_pending();
        self.workload.sweep.now();
        Ok(Reply::Serving { release })
    }

    /// What the engine reports of a container that serves or stands by.
    fn container_event(
        &mut self,
        container: &str,
        event: ContainerEvent,
    ) -> Result<(), StateError> {
        let mut releases = self.state.releases().iter();
        let of = releases.find(|record| {
            record.detail.container.as_ref().is_some_and(|known| known.id == container)
        });
        let Some(release) = of.map(|record| record.id).filter(|id| self.state.is_wanted(*id))
        else {
            return Ok(());
        };
        match event {
            ContainerEvent::OutOfMemory => {
                self.workload.out_of_memory.insert(release);
            }
            ContainerEvent::Died(exit) => {
                self.workload.down.insert(release);
                if let Some(backend) = self.workload.backends.get(&release) {
                    backend.connections.hold(true);
                }
                let told = if self.workload.out_of_memory.remove(&release) {
                    format!("{exit}, because it exceeded its memory limit")
                } else {
                    exit.to_string()
                };
                if let Some(known) = self.state.get_mut(release) {
                    known.detail.last_exit = Some(told);
                }
                self.save()?;
            }
            ContainerEvent::Started => {
                if self.workload.down.remove(&release)
                    && let Some(known) = self.state.get_mut(release)
                {
                    known.detail.restarts += 1;
                    self.save()?;
                }
                self.hold_until_it_answers(release);
            }
        }
        Ok(())
    }

    /// The engine's own forwarder takes connections before the service does, and drops them: they
    /// are held back here until the service answers.
    fn hold_until_it_answers(&self, release: ReleaseId) {
        let backend = self.workload.backends.get(&release);
        let (Some(backend), Some(known)) = (backend, self.state.get(release)) else { return };
        let Some(container) = &known.detail.container else { return };
        backend.connections.hold(true);
        let launch = &known.detail.launch;
        let (url, timeout) = (health_url(container, &launch.health), launch.health_timeout);
        let (client, sender) = (self.client.clone(), self.sender());
        tokio::spawn(async move {
            let _it_has_had_its_time = until_healthy(&client, &url, timeout, COMING_BACK).await;
            sender(DockerEvent::Answers { release });
        });
    }

    fn stopped(&mut self, release: ReleaseId) {
        self.workload.sweep.stopped(release);
        let Some(record) = self.state.get(release) else { return };
        if let Some(pending) = self.pending.as_mut().filter(|p| p.release == release)
            && let Some(asker) = pending.startup.waiting.take()
        {
            asker.tell(Reply::Own(DockerReply::Prepared { record: Box::new(record.clone()) }));
        }
    }
}

/// Passes the engine's events on, for as long as the supervisor takes them.
async fn forward_events(
    containers: Containers,
    messages: mpsc::UnboundedSender<Message<DockerWorkload>>,
) {
    while !messages.is_closed() {
        let mut events = std::pin::pin!(containers.events());
        while let Some(Ok((container, event))) = events.next().await {
            let event = DockerEvent::Engine { container, event };
            if messages.send(Message::Workload(event)).is_err() {
                return;
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}
