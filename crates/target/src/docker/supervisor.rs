//! The supervisor: the one owner of a docker target's record and front.
//!
//! Everything that happens (a request, the engine's news, a timer) comes in as a message and is
//! handled to its end before the next one; nothing here waits for the engine. The record is on
//! the disk before anybody is told of it. Containers follow the record: a sweep compares what
//! the engine has with what the record says, and what is too much is stopped or removed. The
//! engine may be away at any time; the front does not need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::containers::{Containers, Happening};
use super::labels::{Found, name, rebuilt};
use super::protocol::{Reply, Request, Supervision, Trouble};
use super::record::{ContainerRecord, ReleaseRecord, State, closed_by, switch};
use super::trial::health_url;
use crate::front::ledger::StateError;
use crate::front::listener::{Backend, NotBound};
use crate::front::listeners::Listeners;
use crate::front::probe::until_healthy;
use crate::front::socket::Incoming;
use greenloop_image::engine::EngineError;
use greenloop_model::{ImageRef, ReleaseId, ReleaseState, RunId};

/// How long an unverified release serves on after its deployer has gone away without a verdict.
const LEASE_GRACE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 30 });
/// A supervisor with nothing to do ends after this.
const IDLE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at the engine's containers when nothing has happened.
const SWEEP: Duration = Duration::from_secs(30);
/// Until the next look when the engine did not answer, or may not have done all yet.
const SWEEP_AGAIN: Duration = Duration::from_secs(3);
/// How long connections are held back for a container that was started again, at most.
const COMING_BACK: Duration = Duration::from_secs(60);
/// Between two tries to hear the engine's news.
const DEAF: Duration = Duration::from_secs(1);
/// How long a shutdown looks for containers that still run, and what lies between two looks.
const STOP_ALL: Duration = Duration::from_secs(45);
const STOP_AGAIN: Duration = Duration::from_millis(100);

/// What comes in.
pub(super) enum Message {
    /// At the socket.
    Socket(Incoming<Supervision>),
    /// What the engine has.
    Listed(Result<Vec<Found>, EngineError>),
    /// A sweep has done what it was to do, or not all of it.
    Swept { all: bool },
    /// A release's container was stopped, or left alone because it is wanted again.
    Stopped { release: ReleaseId },
    /// Something happened to a container.
    Happened { container: String, happening: Happening },
    /// A container that was started again answers, or has had its time.
    Answers { release: ReleaseId },
    /// Time to look around.
    Tick,
    /// The machine goes down, or somebody ends the supervisor politely.
    Terminated,
}

impl From<Incoming<Supervision>> for Message {
    fn from(incoming: Incoming<Supervision>) -> Self {
        Self::Socket(incoming)
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    /// End; containers serve on without the front.
    End,
    /// Stop them first.
    StopAndEnd,
}

/// Why a release is being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    RollOut,
    RollBack,
    Restore { failed: ReleaseId },
}

/// A release on its way to serving; its deployer starts it. At most one at a time.
struct Pending {
    connection: u64,
    release: ReleaseId,
    purpose: Purpose,
    /// Who waits until it is not being stopped any more.
    waiting: Option<mpsc::UnboundedSender<Reply>>,
}

/// Who answers for a release that serves but is not verified.
enum Lease {
    /// Every release that serves is verified.
    None,
    Held {
        connection: u64,
        release: ReleaseId,
    },
    Lost {
        release: ReleaseId,
        until: Instant,
    },
}

/// The comparison of the engine's containers with the record.
struct Sweep {
    due: Instant,
    under_way: bool,
    /// Whether what is to serve is started when it stands still: at the beginning, and when the
    /// supervisor itself goes back to a release.
    starting: bool,
}

/// See the module's documentation.
pub(super) struct Supervisor {
    folder: PathBuf,
    containers: Containers,
    client: reqwest::Client,
    state: State,
    /// Where the front leads, for each release that serves or has served since the beginning.
    known: BTreeMap<ReleaseId, Backend>,
    backends: watch::Sender<Option<Backend>>,
    listeners: Listeners,
    pending: Option<Pending>,
    lease: Lease,
    /// Each with what calls the stop off while connections still drain.
    stopping: BTreeMap<ReleaseId, CancellationToken>,
    /// Ended by themselves and not started again yet.
    down: BTreeSet<ReleaseId>,
    out_of_memory: BTreeSet<ReleaseId>,
    sweep: Sweep,
    /// What is being asked of the engine.
    tasks: JoinSet<()>,
    messages: mpsc::UnboundedSender<Message>,
    connections: u64,
    idle_since: Instant,
}

/// What a supervisor begins with.
pub(super) struct Beginning {
    pub(super) folder: PathBuf,
    pub(super) containers: Containers,
    pub(super) client: reqwest::Client,
    /// `None` when there is no record.
    pub(super) state: Option<State>,
    pub(super) messages: mpsc::UnboundedSender<Message>,
}

impl Supervisor {
    /// Takes over what the record says; without one, what the containers tell.
    pub(super) async fn begin(beginning: Beginning) -> Result<Self, StateError> {
        let Beginning { folder, containers, client, state, messages } = beginning;
        let state = match state {
            Some(state) => state,
            None => match containers.list().await {
                Ok(found) => rebuilt(&found, &containers.host()),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no containers seen");
                    State::default()
                }
            },
        };
        let now = Instant::now();
        let backends = watch::Sender::new(None);
        let mut supervisor = Self {
            folder,
            containers,
            client,
            state,
            known: BTreeMap::new(),
            listeners: Listeners::new(backends.subscribe()),
            backends,
            pending: None,
            lease: Lease::None,
            stopping: BTreeMap::new(),
            down: BTreeSet::new(),
            out_of_memory: BTreeSet::new(),
            sweep: Sweep { due: now, under_way: false, starting: true },
            tasks: JoinSet::new(),
            messages,
            connections: 0,
            idle_since: now,
        };
        supervisor.state.supervisor = Some(std::process::id());
        supervisor.forget_candidates();
        for release in
            [supervisor.state.active(), supervisor.state.fallback()].into_iter().flatten()
        {
            supervisor.lead_to(release);
        }
        if let Some(active) = supervisor.state.active() {
            supervisor.hold_until_it_answers(active);
            if supervisor.state_of(active) == Some(ReleaseState::Live) {
                let until = now + LEASE_GRACE;
                supervisor.lease = Lease::Lost { release: active, until };
            }
        }
        supervisor.publish();
        supervisor.state.abandoned = matches!(supervisor.lease, Lease::Lost { .. });
        supervisor.listen_again().await;
        supervisor.save()?;
        tokio::spawn(hear(supervisor.containers.clone(), supervisor.messages.clone()));
        Ok(supervisor)
    }

    /// Candidates of a supervisor that was killed; the sweep removes their containers.
    fn forget_candidates(&mut self) {
        let candidates: Vec<ReleaseId> = self
            .state
            .releases()
            .iter()
            .filter(|r| r.state == ReleaseState::Candidate)
            .map(|r| r.id)
            .collect();
        for release in candidates {
            self.state.forget_candidate(release);
        }
    }

    /// Handles messages until the end.
    pub(super) async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                message = messages.recv() => message.unwrap_or(Message::Terminated),
                _ = ticks.tick() => Message::Tick,
            };
            let handled = self.handle(message).await;
            self.move_back().await;
            self.note_abandonment();
            match handled {
                Ok(Next::Go) => {}
                Ok(Next::End) => break,
                Ok(Next::StopAndEnd) => {
                    self.listeners.close();
                    self.backends.send_replace(None);
                    self.stop_everything().await;
                    break;
                }
                // Without a record on the disk nothing may change; what serves goes on serving.
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "record"),
            }
            self.sweep_when_due();
        }
    }

    async fn handle(&mut self, message: Message) -> Result<Next, StateError> {
        match message {
            Message::Socket(Incoming::Opened) => self.connections += 1,
            Message::Socket(Incoming::Asked { connection, request, replies }) => {
                let answered = self.answer(connection, request, &replies).await;
                let (reply, next) = match answered {
                    Ok((reply, next)) => (reply, Ok(next)),
                    Err(error) => {
                        let trouble = Trouble::Supervisor { message: error.to_string() };
                        (Some(failed(trouble)), Err(error))
                    }
                };
                if let Some(reply) = reply {
                    let _asker_is_gone = replies.send(reply);
                }
                return next;
            }
            Message::Socket(Incoming::Closed { connection }) => self.closed(connection)?,
            Message::Listed(listed) => self.listed(listed),
            Message::Swept { all } => {
                self.sweep.under_way = false;
                if !all {
                    self.sweep_in(SWEEP_AGAIN);
                }
            }
            Message::Stopped { release } => self.stopped(release),
            Message::Happened { container, happening } => self.happened(&container, happening)?,
            Message::Answers { release } => {
                if let Some(backend) = self.known.get(&release) {
                    backend.connections.hold(false);
                }
            }
            Message::Tick => return self.look_around().await,
            Message::Terminated => return Ok(Next::End),
        }
        Ok(Next::Go)
    }

    /// `None`: the answer comes later.
    async fn answer(
        &mut self,
        connection: u64,
        request: Request,
        replies: &mpsc::UnboundedSender<Reply>,
    ) -> Result<(Option<Reply>, Next), StateError> {
        let reply = match request {
            Request::Ping => Some(Reply::Here { pid: std::process::id() }),
            Request::Begin { candidate, front, engine } => {
                if engine != self.containers.engine.address() && self.pending.is_none() {
                    return Ok((Some(Reply::Elsewhere), Next::End));
                }
                Some(self.roll_out(connection, *candidate, &front).await?)
            }
            Request::Prepare { release } => self.prepare(connection, release, replies),
            Request::Switch { release, container } => {
                Some(self.switched(connection, release, container)?)
            }
            Request::Abandon { why } => {
                if self.pending.as_ref().is_some_and(|p| p.connection == connection) {
                    self.give_up(why.as_deref())?;
                }
                Some(Reply::Done { notes: Vec::new() })
            }
            Request::MarkVerified { release } => Some(self.mark_verified(release)?),
            Request::Restore { failed, runs } => self.restore(connection, failed, runs, replies)?,
            Request::CleanUp { run } => Some(self.clean_up(run)?),
            Request::ShutDown => {
                self.state.silence();
                self.state.supervisor = None;
                self.save()?;
                return Ok((None, Next::StopAndEnd));
            }
        };
        Ok((reply, Next::Go))
    }

    async fn roll_out(
        &mut self,
        connection: u64,
        candidate: ReleaseRecord,
        front: &str,
    ) -> Result<Reply, StateError> {
        let release = candidate.id;
        let taken_up = self.state.active() == Some(release)
            && self.state_of(release) == Some(ReleaseState::Live);
        if taken_up && let Err(trouble) = self.listen(front).await {
            return Ok(failed(trouble));
        }
        if let Some(known) = self.state.get(release) {
            return Ok(match known.state {
                ReleaseState::Live | ReleaseState::Verified
                    if self.state.active() == Some(release) =>
                {
                    if known.state == ReleaseState::Live {
                        self.lease = Lease::Held { connection, release };
                    }
                    Reply::Serving { release }
                }
                ReleaseState::Candidate => busy(self.pending.as_ref()),
                ReleaseState::Live | ReleaseState::Verified | ReleaseState::Superseded => {
                    failed(Trouble::FailedBefore { why: "another release replaced it".to_owned() })
                }
                ReleaseState::Failed => failed(Trouble::FailedBefore {
                    why: known.failure.clone().unwrap_or_else(|| "it failed".to_owned()),
                }),
            });
        }
        if self.pending.is_some() {
            return Ok(busy(self.pending.as_ref()));
        }
        if let Err(trouble) = self.listen(front).await {
            return Ok(failed(trouble));
        }
        self.state.add(candidate);
        if let Err(error) = self.save() {
            self.state.forget_candidate(release);
            return Err(error);
        }
        let purpose = Purpose::RollOut;
        self.pending = Some(Pending { connection, release, purpose, waiting: None });
        Ok(Reply::Begun)
    }

    fn prepare(
        &mut self,
        connection: u64,
        release: Option<ReleaseId>,
        replies: &mpsc::UnboundedSender<Reply>,
    ) -> Option<Reply> {
        if self.pending.is_some() {
            return Some(busy(self.pending.as_ref()));
        }
        let Some(release) = release.or_else(|| self.state.before_active()) else {
            return Some(no_release("there is no verified release to go back to"));
        };
        match self.state.get(release) {
            Some(known) if known.is_restorable() => {}
            Some(known) if known.state == ReleaseState::Failed => {
                return Some(no_release(&format!("release {} failed", release.short())));
            }
            Some(_) => {
                let message = format!("release {} was never verified", release.short());
                return Some(no_release(&message));
            }
            None => {
                return Some(no_release(&format!("release {} is not kept here", release.short())));
            }
        }
        if self.state.active() == Some(release) {
            return Some(Reply::Serving { release });
        }
        if let Some(active) = self.state.active()
            && let Some(by) = closed_by(&self.state, active, Some(release))
        {
            return Some(forbidden(active, by));
        }
        self.hand_over(connection, release, Purpose::RollBack, replies)
    }

    /// Lets the asker start `release`; at once, unless its container is being stopped.
    fn hand_over(
        &mut self,
        connection: u64,
        release: ReleaseId,
        purpose: Purpose,
        replies: &mpsc::UnboundedSender<Reply>,
    ) -> Option<Reply> {
        let record = Box::new(self.state.get(release)?.clone());
        let waiting = self.stopping.get(&release).map(|call_off| {
            call_off.cancel();
            replies.clone()
        });
        let at_once = waiting.is_none();
        self.pending = Some(Pending { connection, release, purpose, waiting });
        at_once.then_some(Reply::Prepared { record })
    }

    fn switched(
        &mut self,
        connection: u64,
        release: ReleaseId,
        container: ContainerRecord,
    ) -> Result<Reply, StateError> {
        let asked = |p: &&Pending| p.connection == connection && p.release == release;
        let Some(purpose) = self.pending.as_ref().filter(asked).map(|p| p.purpose) else {
            let message = format!("nobody waits for release {}", release.short());
            return Ok(no_release(&message));
        };
        if let Purpose::Restore { failed } = purpose {
            self.state.fail(failed, "its smoke tests failed");
        }
        self.lead(release, container)?;
        self.pending = None;
        self.lease = match purpose {
            Purpose::RollOut => Lease::Held { connection, release },
            Purpose::RollBack | Purpose::Restore { .. } => Lease::None,
        };
        Ok(Reply::Serving { release })
    }

    /// `release` serves from now on; what served before stands by or is stopped.
    fn lead(&mut self, release: ReleaseId, container: ContainerRecord) -> Result<(), StateError> {
        let mut next = self.state.clone();
        if let Err(unknown) = switch(&mut next, release, container) {
            tracing::error!("{unknown}");
            return Ok(());
        }
        next.save(&self.folder)?;
        self.state = next;
        self.down.remove(&release);
        self.lead_to(release);
        self.publish();
        self.sweep_in(Duration::ZERO);
        Ok(())
    }

    /// Knows where `release` is.
    fn lead_to(&mut self, release: ReleaseId) {
        let container = self.state.get(release).and_then(|r| r.detail.container.as_ref());
        if let Some(ContainerRecord { host, port, .. }) = container
            && self.known.get(&release).is_none_or(|b| (&*b.host, b.port) != (host, *port))
        {
            self.known.insert(release, Backend::new(host, *port));
        }
    }

    /// Tells the front where new connections go.
    fn publish(&self) {
        let active = self.state.active().and_then(|active| self.known.get(&active));
        self.backends.send_replace(active.cloned());
    }

    /// What is on its way is given up, by its deployer or because that is gone.
    fn give_up(&mut self, why: Option<&str>) -> Result<(), StateError> {
        let Some(Pending { release, purpose, .. }) = self.pending.take() else { return Ok(()) };
        match (purpose, why) {
            (Purpose::RollOut, Some(why)) => self.state.fail(release, why),
            (Purpose::RollOut, None) => self.state.forget_candidate(release),
            (Purpose::RollBack | Purpose::Restore { .. }, _) => {}
        }
        self.sweep_in(Duration::ZERO);
        self.save()
    }

    fn mark_verified(&mut self, release: ReleaseId) -> Result<Reply, StateError> {
        if self.state.active() != Some(release) {
            let message = format!("release {} does not serve", release.short());
            return Ok(no_release(&message));
        }
        self.state.verify(release, Timestamp::now());
        let keep = self.state.get(release).map_or(2, |known| known.detail.launch.keep);
        self.state.prune(keep);
        self.lease = Lease::None;
        if let Some(address) = self.listeners.stay() {
            self.state.front = Some(address.to_owned());
        }
        self.sweep_in(Duration::ZERO);
        self.save()?;
        Ok(Reply::Done { notes: Vec::new() })
    }

    /// `failed` gives way to the last verified release, which serves before `failed` is stopped.
    fn restore(
        &mut self,
        connection: u64,
        failed_release: ReleaseId,
        runs: bool,
        replies: &mpsc::UnboundedSender<Reply>,
    ) -> Result<Option<Reply>, StateError> {
        if self.pending.as_ref().is_some_and(|pending| pending.release == failed_release) {
            self.give_up(Some("it was given up"))?;
        }
        let to = self.state.fallback().or_else(|| self.state.before_active());
        let serves = self.state.active() == Some(failed_release);
        if let (true, false, Some(to)) = (serves, runs, to) {
            if let Some(by) = closed_by(&self.state, failed_release, Some(to)) {
                return Ok(Some(self.stay(failed_release, by)?));
            }
            if self.pending.is_some() {
                return Ok(Some(busy(self.pending.as_ref())));
            }
            let purpose = Purpose::Restore { failed: failed_release };
            return Ok(self.hand_over(connection, to, purpose, replies));
        }
        self.go_back(failed_release, "its smoke tests failed").map(Some)
    }

    /// The same without anybody's help.
    fn go_back(&mut self, failed_release: ReleaseId, why: &str) -> Result<Reply, StateError> {
        if self.state.active() != Some(failed_release) {
            self.state.fail(failed_release, why);
            self.sweep_in(Duration::ZERO);
            // Nothing has to change for what serves: a full disk is no reason to say otherwise.
            if let Err(error) = self.save() {
                tracing::error!(error = &error as &dyn std::error::Error, "record");
            }
            return Ok(Reply::Restored { serving: self.state.active(), untouched: true });
        }
        let to = self.state.fallback().or_else(|| self.state.before_active());
        if let Some(by) = closed_by(&self.state, failed_release, to) {
            return self.stay(failed_release, by);
        }
        self.lease = Lease::None;
        self.state.fail(failed_release, why);
        let container = to.and_then(|to| self.state.get(to)?.detail.container.clone());
        match to.zip(container) {
            Some((to, container)) => {
                self.sweep.starting = true;
                self.lead(to, container)?;
                Ok(Reply::Restored { serving: Some(to), untouched: false })
            }
            None => {
                self.state.silence();
                self.save()?;
                self.publish();
                self.sweep_in(Duration::ZERO);
                Ok(Reply::Restored { serving: None, untouched: false })
            }
        }
    }

    /// A release that failed and must stay.
    fn stay(&mut self, release: ReleaseId, by: ReleaseId) -> Result<Reply, StateError> {
        self.lease = Lease::None;
        if let Some(known) = self.state.get_mut(release) {
            known
                .failure
                .get_or_insert_with(|| "it failed, and must not be rolled back".to_owned());
        }
        self.save()?;
        Ok(forbidden(release, by))
    }

    fn clean_up(&mut self, run: RunId) -> Result<Reply, StateError> {
        let mut notes = Vec::new();
        let of_run = |record: &&ReleaseRecord| record.run == run;
        let open: Vec<(ReleaseId, ReleaseState)> =
            self.state.releases().iter().filter(of_run).map(|r| (r.id, r.state)).collect();
        for (release, state) in open {
            match state {
                ReleaseState::Candidate => {
                    if self.pending.as_ref().is_some_and(|p| p.release == release) {
                        self.give_up(None)?;
                    } else {
                        self.state.forget_candidate(release);
                        self.sweep_in(Duration::ZERO);
                        self.save()?;
                    }
                    notes.push(format!("stopped the candidate {}", release.short()));
                }
                ReleaseState::Live if self.state.active() == Some(release) => {
                    let came_to = self.go_back(release, "its run ended before it was verified")?;
                    let never = format!("release {} was never verified", release.short());
                    notes.push(match (came_to, self.state.active()) {
                        (Reply::Failed { trouble }, _) => format!("{never}: {trouble}"),
                        (_, Some(now)) => format!("{never}: {} serves again", now.short()),
                        (_, None) => format!("{never}, and no other ever was: stopped it"),
                    });
                }
                ReleaseState::Live
                | ReleaseState::Verified
                | ReleaseState::Superseded
                | ReleaseState::Failed => {}
            }
        }
        Ok(Reply::Done { notes })
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
        if self.pending.as_ref().is_some_and(|pending| pending.connection == connection) {
            self.give_up(None)?;
        }
        Ok(())
    }

    /// What the engine tells of a container that serves or stands by.
    fn happened(&mut self, container: &str, happening: Happening) -> Result<(), StateError> {
        let of = |record: &&ReleaseRecord| {
            record.detail.container.as_ref().is_some_and(|known| known.id == container)
        };
        let Some(release) = self.state.releases().iter().find(of).map(|record| record.id) else {
            return Ok(());
        };
        if !self.state.is_wanted(release) {
            return Ok(());
        }
        match happening {
            Happening::OutOfMemory => {
                self.out_of_memory.insert(release);
            }
            Happening::Died(exit) => {
                self.down.insert(release);
                if let Some(backend) = self.known.get(&release) {
                    backend.connections.hold(true);
                }
                let told = if self.out_of_memory.remove(&release) {
                    format!("{exit}, for using more memory than it may")
                } else {
                    exit.to_string()
                };
                if let Some(known) = self.state.get_mut(release) {
                    known.detail.last_exit = Some(told);
                }
                self.save()?;
            }
            Happening::Started => {
                if self.down.remove(&release)
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
        let (Some(backend), Some(known)) = (self.known.get(&release), self.state.get(release))
        else {
            return;
        };
        let Some(container) = &known.detail.container else { return };
        backend.connections.hold(true);
        let launch = &known.detail.launch;
        let url = health_url(container, &launch.health);
        let timeout = launch.health_timeout;
        let (client, messages) = (self.client.clone(), self.messages.clone());
        tokio::spawn(async move {
            let _it_has_had_its_time = until_healthy(&client, &url, timeout, COMING_BACK).await;
            let _supervisor_has_ended = messages.send(Message::Answers { release });
        });
    }

    fn sweep_in(&mut self, pause: Duration) {
        self.sweep.due = self.sweep.due.min(Instant::now() + pause);
    }

    fn sweep_when_due(&mut self) {
        if self.sweep.under_way || Instant::now() < self.sweep.due {
            return;
        }
        self.sweep.under_way = true;
        self.sweep.due = Instant::now() + SWEEP;
        let (containers, messages) = (self.containers.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let listed = containers.list().await;
            let _supervisor_has_ended = messages.send(Message::Listed(listed));
        });
    }

    /// Compares, and has done what must be.
    fn listed(&mut self, listed: Result<Vec<Found>, EngineError>) {
        let found = match listed {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "containers not seen");
                self.sweep.under_way = false;
                self.sweep_in(SWEEP_AGAIN);
                return;
            }
        };
        let mut chores = Vec::new();
        for container in found {
            let Some(release) = container.release() else { continue };
            if self.pending.as_ref().is_some_and(|pending| pending.release == release) {
                continue;
            }
            let Some(record) = self.state.get(release) else {
                let unused = |image: &ImageRef| {
                    !self.state.releases().iter().any(|r| r.detail.image == *image)
                };
                let image = container.image().filter(unused);
                chores.push(Chore::Remove { id: container.id, image });
                continue;
            };
            let served = record.detail.container.as_ref();
            if served.is_some_and(|served| served.id != container.id) {
                chores.push(Chore::Remove { id: container.id, image: None });
                continue;
            }
            let name = name(&self.containers.environment, record);
            if name != container.name {
                chores.push(Chore::Rename { id: container.id.clone(), name });
            }
            if self.state.is_wanted(release) {
                if self.sweep.starting && !container.up {
                    chores.push(Chore::Start { id: container.id });
                }
            } else if container.up && !self.stopping.contains_key(&release) {
                let drain = record.detail.launch.drain;
                self.stop(release, container.id, drain);
            }
        }
        self.sweep.starting = false;
        let (containers, messages) = (self.containers.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let mut all = true;
            for chore in chores {
                if let Err(error) = chore.done(&containers).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "left for later");
                    all = false;
                }
            }
            let _supervisor_has_ended = messages.send(Message::Swept { all });
        });
    }

    /// Stops a container that is not wanted any more, letting its connections finish.
    fn stop(&mut self, release: ReleaseId, id: String, drain: Duration) {
        let call_off = CancellationToken::new();
        self.stopping.insert(release, call_off.clone());
        let backend = self.known.remove(&release);
        let (containers, messages) = (self.containers.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let drained = async {
                if let Some(backend) = backend {
                    let _time_is_up =
                        tokio::time::timeout(drain, backend.connections.drain()).await;
                }
            };
            let go = tokio::select! {
                biased;
                () = call_off.cancelled() => false,
                () = drained => true,
            };
            if go && let Err(error) = containers.stop(&id).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a container runs on");
            }
            let _supervisor_has_ended = messages.send(Message::Stopped { release });
        });
    }

    fn stopped(&mut self, release: ReleaseId) {
        self.stopping.remove(&release);
        let of_it = |pending: &&mut Pending| pending.release == release;
        if let Some(pending) = self.pending.as_mut().filter(of_it)
            && let Some(replies) = pending.waiting.take()
            && let Some(record) = self.state.get(release)
        {
            let _asker_is_gone = replies.send(Reply::Prepared { record: Box::new(record.clone()) });
        }
    }

    /// For a shutdown: nothing runs afterwards. The engine is asked until it lists nothing that
    /// runs: a container that has just ended is listed as running for a moment, and one that a
    /// killed deployer had started is listed as stopped until the engine has done it.
    async fn stop_everything(&mut self) {
        for call_off in self.stopping.values() {
            call_off.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
        let deadline = Instant::now() + STOP_ALL;
        loop {
            let left = match self.containers.list().await {
                Ok(found) => {
                    self.stop_all_of(found).await;
                    self.containers.list().await.map(|found| self.unstopped(&found))
                }
                Err(error) => Err(error),
            };
            match left {
                Ok(0) => return,
                Ok(_) if Instant::now() < deadline => tokio::time::sleep(STOP_AGAIN).await,
                Ok(left) => return tracing::error!(left, "containers run on"),
                Err(error) => {
                    return tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "containers run on"
                    );
                }
            }
        }
    }

    /// Stops what runs, and removes what the record does not have: the engine does that when a
    /// start that is under way is done.
    async fn stop_all_of(&self, found: Vec<Found>) {
        let mut stops = JoinSet::new();
        for container in found.into_iter().filter(|found| found.up || !self.is_kept(found)) {
            let kept = self.is_kept(&container);
            let containers = self.containers.clone();
            stops.spawn(async move {
                match kept {
                    true => containers.stop(&container.id).await,
                    false => containers.remove(&container.id).await,
                }
            });
        }
        while let Some(stopped) = stops.join_next().await {
            if let Ok(Err(error)) = stopped {
                tracing::error!(error = &error as &dyn std::error::Error, "a container runs on");
            }
        }
    }

    fn unstopped(&self, found: &[Found]) -> usize {
        found.iter().filter(|found| found.up || !self.is_kept(found)).count()
    }

    /// Whether it is the container of a release that may serve again.
    fn is_kept(&self, found: &Found) -> bool {
        let record = found.release().and_then(|release| self.state.get(release));
        record.is_some_and(|record| {
            record.state != ReleaseState::Candidate
                && record.detail.container.as_ref().is_none_or(|served| served.id == found.id)
        })
    }

    async fn look_around(&mut self) -> Result<Next, StateError> {
        while self.tasks.try_join_next().is_some() {}
        if !State::path(&self.folder).exists() {
            // The repository is gone. What serves is the engine's; whoever deploys from the same
            // place again finds it by its labels.
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
            let why = "its deployer went away before it was verified";
            if let Reply::Failed { trouble } = self.go_back(release, why)? {
                tracing::warn!("{trouble}");
            }
        }
        let busy = self.connections > 0
            || self.pending.is_some()
            || self.state.active().is_some()
            || !self.stopping.is_empty()
            || self.sweep.under_way;
        if busy {
            self.idle_since = Instant::now();
        } else if self.idle_since.elapsed() >= IDLE {
            self.state.supervisor = None;
            self.save()?;
            return Ok(Next::End);
        }
        Ok(Next::Go)
    }

    /// Listens at `address`; besides at the one that serves now, which is left when a release has
    /// been verified at the new one.
    async fn listen(&mut self, address: &str) -> Result<(), Trouble> {
        let serving = self.state.front.clone().filter(|_| self.state.active().is_some());
        match serving {
            Some(serving) => self.listeners.move_to(address, &serving).await.map_err(not_bound),
            None => {
                self.listeners.open(address).await.map_err(not_bound)?;
                self.state.front = Some(address.to_owned());
                Ok(())
            }
        }
    }

    /// The release that moved the address is not to be verified any more.
    async fn move_back(&mut self) {
        let rolling_out = self.pending.as_ref().is_some_and(|p| p.purpose == Purpose::RollOut);
        let unverified = self.state.active().and_then(|active| self.state_of(active))
            == Some(ReleaseState::Live);
        if self.listeners.has_moved() && !rolling_out && !unverified {
            self.listeners.move_back().await;
        }
    }

    /// Takes the front's address again after a restart; somebody else may have it meanwhile.
    async fn listen_again(&mut self) {
        if let (Some(address), Some(_)) = (self.state.front.clone(), self.state.active())
            && let Err(error) = self.listeners.open(&address).await
        {
            tracing::warn!("{}", not_bound(error));
        }
    }

    /// Whoever asks for the status reads it in the record.
    fn note_abandonment(&mut self) {
        let abandoned = matches!(self.lease, Lease::Lost { .. });
        if std::mem::replace(&mut self.state.abandoned, abandoned) != abandoned
            && let Err(error) = self.save()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "record");
        }
    }

    fn state_of(&self, release: ReleaseId) -> Option<ReleaseState> {
        self.state.get(release).map(|known| known.state)
    }

    fn save(&self) -> Result<(), StateError> {
        self.state.save(&self.folder)
    }
}

/// What a sweep found to do.
enum Chore {
    Remove { id: String, image: Option<ImageRef> },
    Rename { id: String, name: String },
    Start { id: String },
}

impl Chore {
    async fn done(self, containers: &Containers) -> Result<(), EngineError> {
        match self {
            Self::Remove { id, image } => {
                containers.remove(&id).await?;
                match image {
                    Some(image) => containers.remove_image(&image).await,
                    None => Ok(()),
                }
            }
            Self::Rename { id, name } => containers.rename(&id, &name).await,
            Self::Start { id } => {
                containers.keep_up(&id, true).await?;
                containers.start(&id).await
            }
        }
    }
}

/// Passes the engine's news on, for as long as somebody takes them.
async fn hear(containers: Containers, messages: mpsc::UnboundedSender<Message>) {
    while !messages.is_closed() {
        let mut news = std::pin::pin!(containers.happenings());
        while let Some(Ok((container, happening))) = news.next().await {
            if messages.send(Message::Happened { container, happening }).is_err() {
                return;
            }
        }
        tokio::time::sleep(DEAF).await;
    }
}

fn not_bound(error: NotBound) -> Trouble {
    match error {
        NotBound::InUse { address, owner } => Trouble::AddressInUse { address, owner },
        NotBound::Refused { .. } => Trouble::Supervisor { message: error.to_string() },
    }
}

fn failed(trouble: Trouble) -> Reply {
    Reply::Failed { trouble }
}

fn no_release(message: &str) -> Reply {
    failed(Trouble::NoRelease { message: message.to_owned() })
}

fn forbidden(serving: ReleaseId, by: ReleaseId) -> Reply {
    let message = format!(
        "release {} serves on: release {} was rolled out with `deploy.rollback: forbidden`, so \
         nothing older may serve again; roll a repaired release out instead",
        serving.short(),
        by.short()
    );
    failed(Trouble::Forbidden { message })
}

fn busy(pending: Option<&Pending>) -> Reply {
    let with = pending.map_or_else(
        || "another request".to_owned(),
        |pending| format!("release {}", pending.release.short()),
    );
    failed(Trouble::Busy { with })
}
