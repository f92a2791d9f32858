//! The supervisor: the one owner of a process target's state, front and processes.
//!
//! Everything that happens (a request, a process that ended, a health check's result, a timer)
//! comes in as a message and is handled to its end before the next one; nothing here waits for
//! a process. The state is on the disk before anybody is told of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::{ExitRecord, Reply, Request, Supervision, Trouble, Variable};
use super::service::{Service, Start, files_folder, release_folder};
use super::state::{ReleaseRecord, RunningRecord, State, Supervised};
use crate::front::control::ControlError;
use crate::front::ledger::StateError;
use crate::front::listener::{Backend, NotBound};
use crate::front::listeners::Listeners;
use crate::front::probe::{Probe, until_healthy};
use crate::front::socket::Incoming;
use greenloop_model::{Exit, ReleaseId, ReleaseState, RunId};

/// How long an unverified release serves on after its deployer has gone away without a verdict.
const LEASE_GRACE: Duration = Duration::from_secs(if cfg!(test) { 4 } else { 30 });
/// The first pause before a crashed process is started again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A process that ran this long is not in a crash loop.
const STEADY: Duration = Duration::from_secs(10);
/// A supervisor with nothing to do ends after this.
const IDLE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(500);
/// How long a release that is started for a restore may take to become healthy.
const RESTORE_WAIT: Duration = Duration::from_secs(30);

/// What comes in.
pub(super) enum Message {
    /// A connection was made.
    Opened,
    /// A connection asks.
    Asked { connection: u64, request: Request, replies: mpsc::UnboundedSender<Reply> },
    /// A connection is gone.
    Closed { connection: u64 },
    /// The health check of a starting release is over.
    Probed { release: ReleaseId, attempt: u64, result: Result<u32, Option<Probe>> },
    /// A process ended by itself.
    Exited { release: ReleaseId, attempt: u64, exit: ExitRecord },
    /// A crashed release's pause is over.
    Restart { release: ReleaseId },
    /// Time to look around.
    Tick,
    /// The machine goes down, or somebody ends the supervisor politely.
    Terminated,
}

impl From<Incoming<Supervision>> for Message {
    fn from(incoming: Incoming<Supervision>) -> Self {
        match incoming {
            Incoming::Opened => Self::Opened,
            Incoming::Asked { connection, request, replies } => {
                Self::Asked { connection, request, replies }
            }
            Incoming::Closed { connection } => Self::Closed { connection },
        }
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    /// Stop what runs and end.
    End,
}

/// Why a release is being started.
enum Purpose {
    RollOut {
        connection: u64,
        replies: mpsc::UnboundedSender<Reply>,
    },
    RollBack {
        connection: u64,
        replies: mpsc::UnboundedSender<Reply>,
    },
    /// `replies` is absent when the supervisor restores by itself.
    Restore {
        replies: Option<mpsc::UnboundedSender<Reply>>,
    },
}

/// A release on its way to serving. At most one at a time.
struct Pending {
    release: ReleaseId,
    purpose: Purpose,
    started: Instant,
    wait: Duration,
    /// Ends the health check.
    probe: CancellationToken,
}

impl Pending {
    fn is_rollout(&self) -> bool {
        matches!(self.purpose, Purpose::RollOut { .. })
    }
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

/// A running process with the number of its start.
struct Running {
    attempt: u64,
    service: Service,
}

/// See the module's documentation.
pub(super) struct Supervisor {
    folder: PathBuf,
    mark: String,
    state: State,
    running: BTreeMap<ReleaseId, Running>,
    stopping: JoinSet<()>,
    pauses: BTreeMap<ReleaseId, Duration>,
    backends: watch::Sender<Option<Backend>>,
    listeners: Listeners,
    pending: Option<Pending>,
    lease: Lease,
    /// What services inherit: the last deployer's environment, or the supervisor's own.
    environment: Vec<(OsString, OsString)>,
    client: reqwest::Client,
    messages: mpsc::UnboundedSender<Message>,
    attempts: u64,
    connections: u64,
    idle_since: Instant,
}

/// What a supervisor begins with.
pub(super) struct Beginning {
    pub(super) folder: PathBuf,
    pub(super) mark: String,
    pub(super) state: State,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) client: reqwest::Client,
    pub(super) messages: mpsc::UnboundedSender<Message>,
}

impl Supervisor {
    /// Takes over what the state says: the release that serves, and the one that stands by, are
    /// started again.
    pub(super) async fn begin(beginning: Beginning) -> Result<Self, StateError> {
        let Beginning { folder, mark, state, environment, client, messages } = beginning;
        let backends = watch::Sender::new(None);
        let mut supervisor = Self {
            folder,
            mark,
            state,
            running: BTreeMap::new(),
            stopping: JoinSet::new(),
            pauses: BTreeMap::new(),
            listeners: Listeners::new(backends.subscribe()),
            backends,
            pending: None,
            lease: Lease::None,
            environment,
            client,
            messages,
            attempts: 0,
            connections: 0,
            idle_since: Instant::now(),
        };
        supervisor.state.supervisor = Some(std::process::id());
        supervisor.drop_candidates();
        for release in
            [supervisor.state.active(), supervisor.state.fallback()].into_iter().flatten()
        {
            if supervisor.start(release).is_err() {
                supervisor.restart_later(release);
            }
        }
        supervisor.publish();
        if let Some(active) = supervisor.state.active()
            && supervisor.state_of(active) == Some(ReleaseState::Live)
        {
            let until = Instant::now() + LEASE_GRACE;
            supervisor.lease = Lease::Lost { release: active, until };
        }
        supervisor.state.abandoned = matches!(supervisor.lease, Lease::Lost { .. });
        supervisor.listen_again().await;
        supervisor.state.save(&supervisor.folder)?;
        Ok(supervisor)
    }

    /// Candidates of a supervisor that was killed: their processes are gone already.
    fn drop_candidates(&mut self) {
        let candidates: Vec<ReleaseId> = self
            .state
            .releases()
            .iter()
            .filter(|r| r.state == ReleaseState::Candidate)
            .map(|r| r.id)
            .collect();
        for release in candidates {
            self.forget_candidate(release);
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
                // Without a state on the disk nothing may change; what serves goes on serving.
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "state"),
            }
        }
        self.end().await;
    }

    async fn end(mut self) {
        self.listeners.close();
        self.backends.send_replace(None);
        let releases: Vec<ReleaseId> = self.running.keys().copied().collect();
        for release in releases {
            self.stop(release, Duration::ZERO);
        }
        while self.stopping.join_next().await.is_some() {}
    }

    async fn handle(&mut self, message: Message) -> Result<Next, StateError> {
        match message {
            Message::Opened => self.connections += 1,
            Message::Asked { connection, request, replies } => {
                let answered = self.answer(connection, request, replies.clone()).await;
                if let Err(error) = &answered {
                    let trouble = Trouble::Supervisor { message: error.to_string() };
                    let _asker_is_gone = replies.send(failed(trouble));
                }
                return answered;
            }
            Message::Closed { connection } => self.closed(connection)?,
            Message::Probed { release, attempt, result } => {
                self.probed(release, attempt, result)?;
            }
            Message::Exited { release, attempt, exit } => self.exited(release, attempt, exit)?,
            Message::Restart { release } => {
                if self.state.is_wanted(release) && !self.running.contains_key(&release) {
                    self.restart(release)?;
                }
            }
            Message::Tick => return self.look_around().await,
            Message::Terminated => return Ok(Next::End),
        }
        Ok(Next::Go)
    }

    async fn answer(
        &mut self,
        connection: u64,
        request: Request,
        replies: mpsc::UnboundedSender<Reply>,
    ) -> Result<Next, StateError> {
        let reply = match request {
            Request::Ping => Some(Reply::Here { pid: std::process::id() }),
            Request::RollOut { release, commit, run, launch, front, wait, environment } => {
                let (service, now) = (Supervised::new(launch), Timestamp::now());
                let candidate = ReleaseRecord::candidate(release, commit, run, service, now);
                self.environment = environment.into_iter().map(Variable::into_pair).collect();
                let purpose = Purpose::RollOut { connection, replies: replies.clone() };
                self.roll_out(candidate, &front, wait, purpose, connection).await?
            }
            Request::RollBack { release, wait } => {
                let purpose = Purpose::RollBack { connection, replies: replies.clone() };
                self.roll_back(release, wait, purpose)?
            }
            Request::Cancel => {
                self.cancel(connection)?;
                None
            }
            Request::MarkVerified { release } => Some(self.mark_verified(release)?),
            Request::Restore { failed } => {
                self.restore(failed, "its smoke tests failed", Some(replies.clone()))?;
                None
            }
            Request::CleanUp { run } => Some(self.clean_up(run)?),
            Request::ShutDown => {
                self.state.silence();
                self.state.supervisor = None;
                self.save()?;
                return Ok(Next::End);
            }
        };
        if let Some(reply) = reply {
            let _asker_is_gone = replies.send(reply);
        }
        Ok(Next::Go)
    }

    /// `None`: the answer comes when the release is healthy, or is not.
    async fn roll_out(
        &mut self,
        candidate: ReleaseRecord,
        front: &str,
        wait: Duration,
        purpose: Purpose,
        connection: u64,
    ) -> Result<Option<Reply>, StateError> {
        let release = candidate.id;
        let taken_up = self.state.active() == Some(release)
            && self.state_of(release) == Some(ReleaseState::Live);
        if taken_up && let Err(trouble) = self.listen(front).await {
            return Ok(Some(failed(trouble)));
        }
        if let Some(known) = self.state.get(release) {
            return Ok(Some(match known.state {
                ReleaseState::Live | ReleaseState::Verified
                    if self.state.active() == Some(release) =>
                {
                    if known.state == ReleaseState::Live {
                        self.lease = Lease::Held { connection, release };
                    }
                    Reply::Serving { release }
                }
                ReleaseState::Candidate => busy(&self.pending),
                ReleaseState::Live | ReleaseState::Verified | ReleaseState::Superseded => {
                    failed(Trouble::FailedBefore { why: "another release replaced it".to_owned() })
                }
                ReleaseState::Failed => failed(Trouble::FailedBefore {
                    why: known.failure.clone().unwrap_or_else(|| "it failed".to_owned()),
                }),
            }));
        }
        if self.pending.is_some() {
            return Ok(Some(busy(&self.pending)));
        }
        if let Err(trouble) = self.listen(front).await {
            return Ok(Some(failed(trouble)));
        }
        self.state.add(candidate);
        if let Err(error) = self.save() {
            self.state.forget_candidate(release);
            return Err(error);
        }
        match self.start(release) {
            Ok(()) => {
                self.save()?;
                self.await_health(release, wait, purpose);
                Ok(None)
            }
            Err(reason) => {
                self.state.fail(release, &reason);
                self.save()?;
                Ok(Some(failed(Trouble::NotStarted { reason })))
            }
        }
    }

    fn roll_back(
        &mut self,
        release: Option<ReleaseId>,
        wait: Duration,
        purpose: Purpose,
    ) -> Result<Option<Reply>, StateError> {
        if self.pending.is_some() {
            return Ok(Some(busy(&self.pending)));
        }
        let Some(release) = release.or_else(|| self.state.before_active()) else {
            return Ok(Some(no_release("there is no verified release to go back to")));
        };
        let kept = release_folder(&self.folder, release).is_dir();
        match self.state.get(release) {
            Some(known) if known.is_restorable() && kept => {}
            Some(known) if known.state == ReleaseState::Failed => {
                return Ok(Some(no_release(&format!("release {} failed", release.short()))));
            }
            Some(_) => {
                let message = format!("release {} was never verified", release.short());
                return Ok(Some(no_release(&message)));
            }
            None => {
                let message = format!("release {} is not kept here", release.short());
                return Ok(Some(no_release(&message)));
            }
        }
        if self.state.active() == Some(release) && self.running.contains_key(&release) {
            return Ok(Some(Reply::Serving { release }));
        }
        if !self.running.contains_key(&release)
            && let Err(reason) = self.start(release)
        {
            return Ok(Some(failed(Trouble::NotStarted { reason })));
        }
        self.save()?;
        self.await_health(release, wait, purpose);
        Ok(None)
    }

    fn mark_verified(&mut self, release: ReleaseId) -> Result<Reply, StateError> {
        if self.state.active() != Some(release) {
            let message = format!("release {} does not serve", release.short());
            return Ok(no_release(&message));
        }
        let stood_by = self.state.verify(release, Timestamp::now());
        let keep = self.state.get(release).map_or(2, |known| known.detail.launch.keep);
        let gone = self.state.prune(keep);
        self.lease = Lease::None;
        if let Some(address) = self.listeners.stay() {
            self.state.front = Some(address.to_owned());
        }
        self.save()?;
        if let Some(last) = stood_by {
            self.retire(last);
        }
        for release in gone {
            self.stop(release, Duration::ZERO);
        }
        self.remove_unknown_folders();
        Ok(Reply::Done { notes: Vec::new() })
    }

    /// `failed` gives way to the last verified release, which serves before `failed` is stopped.
    fn restore(
        &mut self,
        failed_release: ReleaseId,
        why: &str,
        replies: Option<mpsc::UnboundedSender<Reply>>,
    ) -> Result<(), StateError> {
        let answer = |reply| {
            if let Some(replies) = &replies {
                let _asker_is_gone = replies.send(reply);
            }
        };
        if self.pending.as_ref().is_some_and(|pending| pending.release == failed_release) {
            self.give_up(Trouble::Cancelled)?;
        }
        self.state.fail(failed_release, why);
        if self.state.active() != Some(failed_release) {
            // Nothing has to change for what serves: a full disk is no reason to say otherwise.
            if let Err(error) = self.save() {
                tracing::error!(error = &error as &dyn std::error::Error, "state");
            }
            self.stop(failed_release, Duration::ZERO);
            answer(Reply::Restored { serving: self.state.active(), untouched: true });
            return Ok(());
        }
        self.lease = Lease::None;
        let Some(last) = self.state.fallback().or_else(|| self.state.before_active()) else {
            self.state.silence();
            self.save()?;
            self.publish();
            self.retire(failed_release);
            answer(Reply::Restored { serving: None, untouched: false });
            return Ok(());
        };
        if self.running.contains_key(&last) {
            self.switch(last)?;
            answer(Reply::Restored { serving: Some(last), untouched: false });
        } else if self.pending.is_some() {
            answer(busy(&self.pending));
        } else {
            self.save()?;
            match self.start(last) {
                Ok(()) => self.await_health(last, RESTORE_WAIT, Purpose::Restore { replies }),
                Err(reason) => answer(failed(Trouble::NotStarted { reason })),
            }
        }
        Ok(())
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
                        self.give_up(Trouble::Cancelled)?;
                    } else {
                        self.stop(release, Duration::ZERO);
                        self.forget_candidate(release);
                        self.save()?;
                    }
                    notes.push(format!("stopped the candidate {}", release.short()));
                }
                ReleaseState::Live if self.state.active() == Some(release) => {
                    self.restore(release, "its run ended before it was verified", None)?;
                    notes.push(match self.state.active() {
                        Some(now) if now != release => format!(
                            "release {} was never verified: {} serves again",
                            release.short(),
                            now.short()
                        ),
                        Some(_) => format!(
                            "release {} was never verified: the last verified one is being started",
                            release.short()
                        ),
                        None => format!(
                            "release {} was never verified, and no other ever was: stopped it",
                            release.short()
                        ),
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
        self.cancel(connection)
    }

    fn cancel(&mut self, connection: u64) -> Result<(), StateError> {
        let asked = self.pending.as_ref().is_some_and(|pending| match &pending.purpose {
            Purpose::RollOut { connection: by, .. } | Purpose::RollBack { connection: by, .. } => {
                *by == connection
            }
            Purpose::Restore { .. } => false,
        });
        if asked { self.give_up(Trouble::Cancelled) } else { Ok(()) }
    }

    /// Ends what is pending: the release did not come to serve.
    fn give_up(&mut self, trouble: Trouble) -> Result<(), StateError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Pending { release, purpose, started, wait: _, probe } = pending;
        probe.cancel();
        // A release that stood by goes on standing by.
        if !self.state.is_wanted(release) {
            self.stop(release, Duration::ZERO);
        }
        let replies = match purpose {
            Purpose::RollOut { replies, .. } => {
                if trouble == Trouble::Cancelled {
                    self.forget_candidate(release);
                } else {
                    self.state.fail(release, &in_words(&trouble));
                }
                Some(replies)
            }
            Purpose::RollBack { replies, .. } => Some(replies),
            Purpose::Restore { replies } => replies,
        };
        self.save()?;
        if let Some(replies) = replies {
            let step = Reply::Progress {
                step: "health check".to_owned(),
                ok: false,
                detail: in_words(&trouble),
                elapsed: started.elapsed(),
            };
            let _asker_is_gone = (replies.send(step), replies.send(failed(trouble)));
        }
        Ok(())
    }

    fn probed(
        &mut self,
        release: ReleaseId,
        attempt: u64,
        result: Result<u32, Option<Probe>>,
    ) -> Result<(), StateError> {
        let is_current = self.running.get(&release).is_some_and(|r| r.attempt == attempt);
        if !is_current || self.pending.as_ref().is_none_or(|p| p.release != release) {
            return Ok(());
        }
        let requests = match result {
            Ok(requests) => requests,
            Err(last) => {
                let waited = self.pending.as_ref().map_or(Duration::ZERO, |p| p.wait);
                return self.give_up(Trouble::Unhealthy { last, waited });
            }
        };
        let switching = Instant::now();
        if let Err(error) = self.switch(release) {
            return self.give_up(Trouble::Supervisor { message: error.to_string() });
        }
        let switch_took = switching.elapsed();
        let Some(Pending { purpose, started, .. }) = self.pending.take() else { return Ok(()) };
        let healthy = Reply::Progress {
            step: "health check".to_owned(),
            ok: true,
            detail: match requests {
                1 => "healthy at the first request".to_owned(),
                n => format!("healthy after {n} requests"),
            },
            elapsed: switching.duration_since(started),
        };
        let switched = Reply::Progress {
            step: "switch".to_owned(),
            ok: true,
            detail: format!("new connections go to release {}", release.short()),
            elapsed: switch_took,
        };
        let (replies, last) = match purpose {
            Purpose::RollOut { connection, replies } => {
                self.lease = Lease::Held { connection, release };
                (Some(replies), Reply::Serving { release })
            }
            Purpose::RollBack { replies, .. } => (Some(replies), Reply::Serving { release }),
            Purpose::Restore { replies } => {
                (replies, Reply::Restored { serving: Some(release), untouched: false })
            }
        };
        if let Some(replies) = replies {
            for reply in [healthy, switched, last] {
                let _asker_is_gone = replies.send(reply);
            }
        }
        Ok(())
    }

    fn exited(
        &mut self,
        release: ReleaseId,
        attempt: u64,
        exit: ExitRecord,
    ) -> Result<(), StateError> {
        if self.running.get(&release).is_none_or(|running| running.attempt != attempt) {
            return Ok(());
        }
        let lived =
            self.running.remove(&release).map_or(Duration::ZERO, |r| r.service.started.elapsed());
        if let Some(known) = self.state.get_mut(release) {
            known.detail.running = None;
            known.detail.last_exit = Some(Exit::from(exit).to_string());
        }
        if self.pending.as_ref().is_some_and(|pending| pending.release == release) {
            self.give_up(Trouble::Exited { exit })?;
        }
        if lived >= STEADY {
            self.pauses.remove(&release);
        }
        if self.state.is_wanted(release) {
            self.restart_later(release);
        }
        self.save()
    }

    fn restart_later(&mut self, release: ReleaseId) {
        let pause = self.pauses.get(&release).copied().unwrap_or(FIRST_PAUSE);
        self.pauses.insert(release, (pause * 2).min(LONGEST_PAUSE));
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _supervisor_has_ended = messages.send(Message::Restart { release });
        });
    }

    fn restart(&mut self, release: ReleaseId) -> Result<(), StateError> {
        let started = self.start(release);
        if let Some(known) = self.state.get_mut(release) {
            known.detail.restarts += 1;
            if let Err(reason) = &started {
                known.detail.last_exit = Some(format!("could not be started: {reason}"));
            }
        }
        if started.is_err() {
            self.restart_later(release);
        }
        if self.state.active() == Some(release) {
            self.publish();
        }
        self.save()
    }

    async fn look_around(&mut self) -> Result<Next, StateError> {
        while self.stopping.try_join_next().is_some() {}
        if self.stopping.is_empty() {
            self.empty_failed_folders();
        }
        if !State::path(&self.folder).exists() {
            // The repository is gone, and with it everything this was for.
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
            self.restore(release, "its deployer went away before it was verified", None)?;
        }
        let busy = self.connections > 0 || self.pending.is_some() || self.state.active().is_some();
        if busy {
            self.idle_since = Instant::now();
        } else if self.idle_since.elapsed() >= IDLE {
            self.state.supervisor = None;
            self.save()?;
            return Ok(Next::End);
        }
        Ok(Next::Go)
    }

    /// `release` serves from now on; what served before stands by or is stopped.
    fn switch(&mut self, release: ReleaseId) -> Result<(), StateError> {
        let before = [self.state.active(), self.state.fallback()];
        let mut next = self.state.clone();
        next.switch(release);
        next.save(&self.folder)?;
        self.state = next;
        self.publish();
        for last in before.into_iter().flatten() {
            if !self.state.is_wanted(last) {
                self.retire(last);
            }
        }
        Ok(())
    }

    /// Tells the front where new connections go.
    fn publish(&self) {
        let active = self.state.active().and_then(|active| self.running.get(&active));
        // A crashed release that is being restarted keeps its place: connections wait for it.
        if active.is_some() || self.state.active().is_none() {
            self.backends.send_replace(active.map(|running| running.service.backend.clone()));
        }
    }

    /// Starts the release's process, and counts the start.
    fn start(&mut self, release: ReleaseId) -> Result<(), String> {
        let Some(known) = self.state.get_mut(release) else {
            return Err("no such release".to_owned());
        };
        self.attempts += 1;
        let attempt = self.attempts;
        let messages = self.messages.clone();
        let service = Service::start(
            &Start {
                target: &self.folder,
                mark: &self.mark,
                release,
                launch: &known.detail.launch,
                environment: &self.environment,
            },
            move |exit| {
                let _supervisor_has_ended =
                    messages.send(Message::Exited { release, attempt, exit });
            },
        )?;
        known.detail.running = Some(RunningRecord { pid: service.pid, port: service.backend.port });
        known.detail.log = Some(service.log);
        self.running.insert(release, Running { attempt, service });
        Ok(())
    }

    /// Starts the health check of a release that runs.
    fn await_health(&mut self, release: ReleaseId, wait: Duration, purpose: Purpose) {
        let (Some(running), Some(known)) = (self.running.get(&release), self.state.get(release))
        else {
            return;
        };
        let (attempt, port) = (running.attempt, running.service.backend.port);
        if let Purpose::RollOut { replies, .. } | Purpose::RollBack { replies, .. } = &purpose {
            let _asker_is_gone = replies.send(Reply::Progress {
                step: "start".to_owned(),
                ok: true,
                detail: format!("process {} at port {port}", running.service.pid),
                elapsed: running.service.started.elapsed(),
            });
        }
        let probe = CancellationToken::new();
        let (cancelled, client, launch) =
            (probe.clone(), self.client.clone(), known.detail.launch.clone());
        let url = format!("http://127.0.0.1:{port}{}", launch.health);
        let messages = self.messages.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                result = until_healthy(&client, &url, launch.health_timeout, wait) => {
                    let _supervisor_has_ended =
                        messages.send(Message::Probed { release, attempt, result });
                }
            }
        });
        self.pending = Some(Pending { release, purpose, started: Instant::now(), wait, probe });
    }

    /// Stops a release that has served, letting its connections finish.
    fn retire(&mut self, release: ReleaseId) {
        let drain =
            self.state.get(release).map_or(Duration::ZERO, |known| known.detail.launch.drain);
        self.stop(release, drain);
    }

    fn stop(&mut self, release: ReleaseId, drain: Duration) {
        self.pauses.remove(&release);
        if let Some(known) = self.state.get_mut(release) {
            known.detail.running = None;
        }
        if let Some(Running { service, .. }) = self.running.remove(&release) {
            self.stopping.spawn(service.stop(drain));
        }
    }

    fn forget_candidate(&mut self, release: ReleaseId) {
        self.state.forget_candidate(release);
        if self.state.get(release).is_none() {
            remove_folder(&release_folder(&self.folder, release));
        }
    }

    /// A failed release never serves again: each of a run's attempts would else keep its files
    /// until one is verified. Its log stays.
    fn empty_failed_folders(&self) {
        for known in self.state.releases() {
            if known.state == ReleaseState::Failed && !self.running.contains_key(&known.id) {
                remove_folder(&files_folder(&self.folder, known.id));
            }
        }
    }

    /// Folders of releases that are not remembered any more, and of copies that broke off.
    fn remove_unknown_folders(&self) {
        let Ok(folders) = std::fs::read_dir(self.folder.join("releases")) else { return };
        for folder in folders.flatten() {
            let id = folder.file_name().to_str().and_then(|name| name.parse::<ReleaseId>().ok());
            if id.is_none_or(|id| self.state.get(id).is_none()) {
                remove_folder(&folder.path());
            }
        }
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
        let may_stay = self.pending.as_ref().is_some_and(Pending::is_rollout)
            || self.state.active().and_then(|active| self.state_of(active))
                == Some(ReleaseState::Live);
        if self.listeners.has_moved() && !may_stay {
            self.listeners.move_back().await;
        }
    }

    /// Takes the front's address again after a restart; somebody else may have it meanwhile.
    async fn listen_again(&mut self) {
        if let (Some(address), Some(_)) = (self.state.front.clone(), self.state.active())
            && let Err(error) = self.listeners.open(&address).await
        {
            tracing::warn!("{}", in_words(&not_bound(error)));
        }
    }

    /// Whoever asks for the status reads it in the state.
    fn note_abandonment(&mut self) {
        let abandoned = matches!(self.lease, Lease::Lost { .. });
        if std::mem::replace(&mut self.state.abandoned, abandoned) != abandoned
            && let Err(error) = self.save()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "state");
        }
    }

    fn state_of(&self, release: ReleaseId) -> Option<ReleaseState> {
        self.state.get(release).map(|known| known.state)
    }

    fn save(&self) -> Result<(), StateError> {
        self.state.save(&self.folder)
    }
}

fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder stays");
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

fn busy(pending: &Option<Pending>) -> Reply {
    let with = pending.as_ref().map_or_else(
        || "another request".to_owned(),
        |pending| format!("release {}", pending.release.short()),
    );
    failed(Trouble::Busy { with })
}

/// One line for a person.
pub(super) fn in_words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotStarted { reason } => format!("the new release could not be started: {reason}"),
        Trouble::Exited { exit } => {
            format!("the new release ended before it was healthy: {}", Exit::from(*exit))
        }
        Trouble::Unhealthy { last, waited } => {
            let last = last.as_ref().map_or("it was never asked", |probe| &probe.complaint);
            format!("the new release never became healthy within {}s: {last}", waited.as_secs_f64())
        }
        Trouble::FailedBefore { why } => format!("this release cannot be rolled out again: {why}"),
        Trouble::AddressInUse { address, owner: Some(owner) } => {
            format!("the address {address} is in use by process {owner}")
        }
        Trouble::AddressInUse { address, owner: None } => {
            format!("the address {address} is in use by another program")
        }
        Trouble::Busy { with } => format!("the target is busy with {with}"),
        Trouble::Cancelled => "cancelled; nothing was switched".to_owned(),
        Trouble::NoRelease { message } | Trouble::Supervisor { message } => message.clone(),
        Trouble::Version { supervisor } => ControlError::Version(*supervisor).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::front::probe::client;
    use crate::process::state::Launch;

    /// A release of that run, in `state`.
    fn release(state: &mut State) -> ReleaseId {
        let launch = Launch {
            command: vec!["/bin/sleep".into(), "600".into()],
            env: BTreeMap::new(),
            health: "/".into(),
            health_timeout: Duration::from_secs(1),
            drain: Duration::ZERO,
            keep: 2,
        };
        let (id, now) = (ReleaseId::generate(), Timestamp::now());
        let commit = "c".repeat(40).parse().unwrap();
        let service = Supervised::new(launch);
        state.add(ReleaseRecord::candidate(id, commit, RunId::generate(), service, now));
        id
    }

    #[tokio::test]
    async fn a_disk_that_is_full_takes_nothing_back_that_serves() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::default();
        let serving = release(&mut state);
        state.switch(serving);
        state.verify(serving, Timestamp::now());
        std::fs::create_dir_all(files_folder(folder.path(), serving)).unwrap();
        let (messages, _received) = mpsc::unbounded_channel();
        let beginning = Beginning {
            folder: folder.path().to_owned(),
            mark: "mark".to_owned(),
            state,
            environment: Vec::new(),
            client: client().unwrap(),
            messages,
        };
        let mut supervisor = Supervisor::begin(beginning).await.unwrap();
        // Nothing can be written to a folder that is gone.
        drop(folder);
        assert!(supervisor.save().is_err());
        let failed = release(&mut supervisor.state);
        let (replies, mut received) = mpsc::unbounded_channel();
        supervisor.restore(failed, "no space left on device", Some(replies)).unwrap();
        assert_eq!(
            received.try_recv().ok(),
            Some(Reply::Restored { serving: Some(serving), untouched: true })
        );
        assert!(received.try_recv().is_err());
        supervisor.end().await;
    }
}
