//! The detached process behind a target on this machine: the one owner of the target's state and
//! of the address that it serves at.
//!
//! Lives here: the record of releases, the control socket, how the process is started and found,
//! and the [`Supervisor`] itself, which decides which release serves. It is generic over what it
//! supervises: a [`Workload`] is the processes of the `process` target or the containers of the
//! `docker` target.
//!
//! Everything that happens (a request, a process that ended, the engine's events, a timer) comes
//! in as a message and is handled to its end before the next one; nothing here waits for a
//! workload.
//!
//! Invariants: only the process that holds the target's lock writes its state; the state is on
//! the disk before anybody is told of it.

mod clean_up;
pub(crate) mod control;
pub(crate) mod deployer;
mod detach;
pub(crate) mod protocol;
pub(crate) mod release_state;
mod restore;
mod rollout;
mod serving_address;
mod socket;
pub(crate) mod supervise;
pub(crate) mod wire;
pub(crate) mod workload;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::protocol::{Reply, Request, RequestError};
use self::release_state::{StateError, TargetState};
use self::socket::Incoming;
use self::workload::{Asker, Lease, Next, OwnReply, OwnRequest, Pending, Workload};
use crate::proxy::listener::Backend;
use crate::proxy::listeners::Listeners;
use greenloop_model::{ReleaseId, ReleaseState};

/// How long an unverified release serves on after its deployer has gone away without a verdict.
const LEASE_GRACE: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 30 });
/// A supervisor with nothing to do ends after this.
const IDLE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(500);

/// What comes in.
pub(crate) enum Message<W: Workload> {
    /// At the socket.
    Socket(Incoming<W::Protocol>),
    /// From what is supervised.
    Workload(W::Event),
    /// A timer.
    Tick,
    /// SIGTERM or SIGINT.
    Terminated,
}

impl<W: Workload> From<Incoming<W::Protocol>> for Message<W> {
    fn from(incoming: Incoming<W::Protocol>) -> Self {
        Self::Socket(incoming)
    }
}

/// See the module's documentation.
pub(crate) struct Supervisor<W: Workload> {
    pub(crate) folder: PathBuf,
    pub(crate) state: TargetState<W::Detail>,
    pub(crate) workload: W,
    pub(crate) pending: Option<Pending<W>>,
    /// For health checks.
    pub(crate) client: reqwest::Client,
    pub(crate) messages: mpsc::UnboundedSender<Message<W>>,
    lease: Lease,
    backends: watch::Sender<Option<Backend>>,
    listeners: Listeners,
    connections: u64,
    idle_since: Instant,
}

/// What a supervisor begins with.
pub(crate) struct Parts<W: Workload> {
    pub(crate) folder: PathBuf,
    pub(crate) workload: W,
    /// `None` when there is no record.
    pub(crate) state: Option<TargetState<W::Detail>>,
    pub(crate) client: reqwest::Client,
    pub(crate) messages: mpsc::UnboundedSender<Message<W>>,
}

impl<W: Workload> Supervisor<W> {
    /// Takes over what the state says: the release that serves, and the one that stands by.
    pub(crate) async fn begin(parts: Parts<W>) -> Result<Self, StateError> {
        let Parts { folder, workload, state, client, messages } = parts;
        let state = match state {
            Some(state) => state,
            None => workload.rebuild_state().await,
        };
        let backends = watch::Sender::new(None);
        let mut supervisor = Self {
            folder,
            state,
            workload,
            pending: None,
            client,
            messages,
            lease: Lease::None,
            listeners: Listeners::new(backends.subscribe()),
            backends,
            connections: 0,
            idle_since: Instant::now(),
        };
        supervisor.state.supervisor = Some(std::process::id());
        supervisor.forget_candidates();
        W::take_over(&mut supervisor);
        supervisor.publish();
        if let Some(active) = supervisor.state.active()
            && supervisor.state_of(active) == Some(ReleaseState::Live)
        {
            let until = Instant::now() + LEASE_GRACE;
            supervisor.lease = Lease::Lost { release: active, until };
        }
        supervisor.state.abandoned = matches!(supervisor.lease, Lease::Lost { .. });
        supervisor.listen_again().await;
        supervisor.save()?;
        Ok(supervisor)
    }

    /// Candidates of a supervisor that was killed.
    fn forget_candidates(&mut self) {
        let is_candidate = |state: ReleaseState| state == ReleaseState::Candidate;
        let releases = self.state.releases().iter().filter(|r| is_candidate(r.state));
        for release in releases.map(|r| r.id).collect::<Vec<_>>() {
            W::forget(self, release);
        }
    }

    /// Handles messages until the end.
    pub(crate) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message<W>>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stop = loop {
            let message = tokio::select! {
                message = messages.recv() => message.unwrap_or(Message::Terminated),
                _ = ticks.tick() => Message::Tick,
            };
            let handled = self.handle(message).await;
            self.move_back().await;
            self.note_abandonment();
            match handled {
                Ok(Next::Continue) => {}
                Ok(Next::End) => break false,
                Ok(Next::StopAndEnd) => break true,
                // Without a state on the disk nothing may change; what serves goes on serving.
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "state"),
            }
            W::after_message(&mut self);
        };
        if stop || W::ENDS_WITH_SUPERVISOR {
            self.end().await;
        }
    }

    /// Closes the address and stops what runs.
    async fn end(mut self) {
        self.listeners.close();
        self.backends.send_replace(None);
        W::stop_all(self).await;
    }

    async fn handle(&mut self, message: Message<W>) -> Result<Next, StateError> {
        match message {
            Message::Socket(Incoming::Opened) => self.connections += 1,
            Message::Socket(Incoming::Asked { connection, request, replies }) => {
                let asker = Asker { connection, replies };
                let (reply, next) = match self.answer(&asker, request).await {
                    Ok((reply, next)) => (reply, Ok(next)),
                    Err(error) => (Some(RequestError::unsaved(&error).into()), Err(error)),
                };
                if let Some(reply) = reply {
                    asker.tell(reply);
                }
                return next;
            }
            Message::Socket(Incoming::Closed { connection }) => self.closed(connection)?,
            Message::Workload(event) => W::handle(self, event)?,
            Message::Tick => return self.tick().await,
            Message::Terminated => return Ok(Next::End),
        }
        Ok(Next::Continue)
    }

    /// `None`: the answer comes later.
    async fn answer(
        &mut self,
        asker: &Asker<W>,
        request: Request<OwnRequest<W>>,
    ) -> Result<(Option<Reply<OwnReply<W>>>, Next), StateError> {
        let reply = match request {
            Request::Ping => Reply::Here { pid: std::process::id() },
            Request::MarkVerified { release } => self.mark_verified(release)?,
            Request::CleanUp { run } => self.clean_up(run)?,
            Request::ShutDown => {
                self.state.stop_on_request(jiff::Timestamp::now());
                self.state.supervisor = None;
                self.save()?;
                return Ok((None, Next::StopAndEnd));
            }
            Request::Own(request) => return W::answer(self, asker, request).await,
        };
        Ok((Some(reply), Next::Continue))
    }

    /// What a deployer that is gone has left.
    fn closed(&mut self, connection: u64) -> Result<(), StateError> {
        self.connections = self.connections.saturating_sub(1);
        self.idle_since = Instant::now();
        if let Lease::Held { connection: holder, release } = self.lease
            && holder == connection
        {
            self.lease = Lease::Lost { release, until: Instant::now() + LEASE_GRACE };
        }
        self.cancel(connection)
    }

    async fn tick(&mut self) -> Result<Next, StateError> {
        W::tick(self);
        if !TargetState::<W::Detail>::path(&self.folder).exists() {
            // The repository is gone, and with it everything this was for. An engine's containers
            // serve on: whoever deploys from the same folder again finds them by their labels.
            return Ok(Next::End);
        }
        if !self.listeners.is_open() {
            self.listen_again().await;
        }
        if let Lease::Lost { release, until } = self.lease
            && Instant::now() >= until
            && self.pending.is_none()
        {
            self.lease = Lease::None;
            let why = "the deploying process ended before it was verified";
            if let Some(Reply::Failed { error }) = self.restore(release, why, None)? {
                tracing::warn!("{error}");
            }
        }
        let busy = self.connections > 0
            || self.pending.is_some()
            || self.state.active().is_some()
            || self.workload.is_busy();
        if busy {
            self.idle_since = Instant::now();
        } else if self.idle_since.elapsed() >= IDLE {
            self.state.supervisor = None;
            self.save()?;
            return Ok(Next::End);
        }
        Ok(Next::Continue)
    }

    /// Tells the listeners where new connections go. A release that serves and is being started
    /// again keeps its backend: connections wait for it.
    pub(crate) fn publish(&self) {
        let active = self.state.active();
        let backend = active.and_then(|active| self.workload.backend(active));
        if backend.is_some() || active.is_none() {
            self.backends.send_replace(backend);
        }
    }

    /// Whoever asks for the status reads it in the state.
    fn note_abandonment(&mut self) {
        let abandoned = matches!(self.lease, Lease::Lost { .. });
        if std::mem::replace(&mut self.state.abandoned, abandoned) != abandoned {
            self.try_save();
        }
    }

    fn state_of(&self, release: ReleaseId) -> Option<ReleaseState> {
        self.state.get(release).map(|known| known.state)
    }

    pub(crate) fn save(&self) -> Result<(), StateError> {
        self.state.save(&self.folder)
    }

    /// Where nothing has to change for what serves: a full disk is no reason to say otherwise.
    fn try_save(&self) {
        if let Err(error) = self.save() {
            tracing::error!(error = &error as &dyn std::error::Error, "state");
        }
    }

    /// Sends itself an event.
    pub(crate) fn sender(&self) -> impl Fn(W::Event) + Send + Sync + use<W> {
        let messages = self.messages.clone();
        move |event| {
            let _supervisor_has_ended = messages.send(Message::Workload(event));
        }
    }
}
