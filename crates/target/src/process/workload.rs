//! Releases as processes of the supervisor: started, asked for their health, started again after
//! a crash, and stopped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::{ProcessProtocol, ProcessReply, ProcessRequest, Variable};
use super::service::{Service, Start, files_folder, release_folder};
use super::state::{ProcessDetail, ReleaseRecord, RunningRecord};
use crate::proxy::listener::Backend;
use crate::proxy::probe::{Probe, until_healthy};
use crate::supervisor::Supervisor;
use crate::supervisor::protocol::{ExitRecord, Reply, RequestError};
use crate::supervisor::release_state::StateError;
use crate::supervisor::workload::{Answered, Asker, Next, Pending, Purpose, Workload};
use greenloop_model::{Exit, ReleaseId, ReleaseState};

/// Before a crashed process is started again.
const RESTART: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();
/// A process that ran this long is not in a crash loop.
const STEADY: Duration = Duration::from_secs(10);
/// How long a release that is started for a restore may take to become healthy.
const RESTORE_WAIT: Duration = Duration::from_secs(30);

/// The processes of one target.
pub(super) struct Processes {
    /// What they carry in their environment.
    mark: String,
    running: BTreeMap<ReleaseId, Running>,
    stopping: JoinSet<()>,
    restarts: BTreeMap<ReleaseId, ExponentialBackoff>,
    /// What services inherit: the last deployer's environment, or the supervisor's own.
    environment: Vec<(OsString, OsString)>,
    attempts: u64,
}

/// A running process with the number of its start.
struct Running {
    attempt: u64,
    service: Service,
}

/// What happens to them.
pub(super) enum ProcessEvent {
    /// The health check of a starting release is over.
    Probed { release: ReleaseId, attempt: u64, result: Result<u32, Option<Probe>> },
    /// A process ended by itself.
    Exited { release: ReleaseId, attempt: u64, exit: ExitRecord },
    /// A crashed release's pause is over.
    Restart { release: ReleaseId },
}

/// A health check that is under way.
pub(super) struct Startup {
    /// Absent when the supervisor restores by itself.
    asker: Option<Asker<Processes>>,
    started: Instant,
    wait: Duration,
    /// Ends the health check.
    probe: CancellationToken,
}

impl Processes {
    pub(super) fn new(mark: String, environment: Vec<(OsString, OsString)>) -> Self {
        Self {
            mark,
            running: BTreeMap::new(),
            stopping: JoinSet::new(),
            restarts: BTreeMap::new(),
            environment,
            attempts: 0,
        }
    }

    fn is_attempt(&self, release: ReleaseId, attempt: u64) -> bool {
        self.running.get(&release).is_some_and(|running| running.attempt == attempt)
    }
}

impl Workload for Processes {
    type Detail = ProcessDetail;
    type Protocol = ProcessProtocol;
    type Event = ProcessEvent;
    type Startup = Startup;

    const ENDS_WITH_SUPERVISOR: bool = true;

    /// The processes of a supervisor that was killed are gone already: its releases are started
    /// again.
    fn take_over(supervisor: &mut Supervisor<Self>) {
        let wanted = [supervisor.state.active(), supervisor.state.fallback()];
        for release in wanted.into_iter().flatten() {
            if supervisor.start(release).is_err() {
                supervisor.restart_later(release);
            }
        }
    }

    async fn answer(
        supervisor: &mut Supervisor<Self>,
        asker: &Asker<Self>,
        request: ProcessRequest,
    ) -> Result<Answered<Self>, StateError> {
        let reply = match request {
            ProcessRequest::RollOut { release, commit, run, launch, front, wait, environment } => {
                let (detail, now) = (ProcessDetail::new(launch), Timestamp::now());
                let candidate = ReleaseRecord::candidate(release, commit, run, detail, now);
                supervisor.workload.environment =
                    environment.into_iter().map(Variable::into_pair).collect();
                match supervisor.admit(asker, candidate, &front).await? {
                    Some(reply) => Some(reply),
                    None => supervisor.start_candidate(release, wait, asker)?,
                }
            }
            ProcessRequest::RollBack { release, wait } => {
                supervisor.roll_back(release, wait, asker).await?
            }
            ProcessRequest::Cancel => {
                supervisor.cancel(asker.connection)?;
                None
            }
            ProcessRequest::Restore { failed } => {
                if supervisor.is_pending(failed) {
                    supervisor.give_up(RequestError::Cancelled)?;
                }
                supervisor.restore(failed, "its smoke tests failed", Some(asker))?
            }
        };
        Ok((reply, Next::Continue))
    }

    fn handle(supervisor: &mut Supervisor<Self>, event: ProcessEvent) -> Result<(), StateError> {
        match event {
            ProcessEvent::Probed { release, attempt, result } => {
                supervisor.probed(release, attempt, result)
            }
            ProcessEvent::Exited { release, attempt, exit } => {
                supervisor.exited(release, attempt, exit)
            }
            ProcessEvent::Restart { release } => {
                let runs = supervisor.workload.running.contains_key(&release);
                if supervisor.state.is_wanted(release) && !runs {
                    supervisor.restart(release)?;
                }
                Ok(())
            }
        }
    }

    fn backend(&self, release: ReleaseId) -> Option<Backend> {
        Some(self.running.get(&release)?.service.backend.clone())
    }

    fn is_kept(supervisor: &Supervisor<Self>, release: ReleaseId) -> bool {
        release_folder(&supervisor.folder, release).is_dir()
    }

    fn stop(supervisor: &mut Supervisor<Self>, release: ReleaseId) {
        supervisor.stop_within(release, Duration::ZERO);
    }

    fn retire(supervisor: &mut Supervisor<Self>, release: ReleaseId) {
        let launch = supervisor.state.get(release).map(|known| &known.detail.launch);
        let drain = launch.map_or(Duration::ZERO, |launch| launch.drain);
        supervisor.stop_within(release, drain);
    }

    fn forget(supervisor: &mut Supervisor<Self>, release: ReleaseId) {
        supervisor.state.forget_candidate(release);
        if supervisor.state.get(release).is_none() {
            remove_folder(&release_folder(&supervisor.folder, release));
        }
    }

    fn serve_again(
        supervisor: &mut Supervisor<Self>,
        to: ReleaseId,
        asker: Option<&Asker<Self>>,
    ) -> Result<Option<Reply<ProcessReply>>, StateError> {
        if supervisor.workload.running.contains_key(&to) {
            supervisor.switch(to, |_| {})?;
            return Ok(Some(Reply::Restored { serving: Some(to), untouched: false }));
        }
        if supervisor.pending.is_some() {
            return Ok(Some(supervisor.busy().into()));
        }
        supervisor.save()?;
        Ok(match supervisor.start(to) {
            Ok(()) => {
                supervisor.await_health(to, RESTORE_WAIT, Purpose::Restore, asker);
                None
            }
            Err(reason) => Some(RequestError::NotStarted { reason }.into()),
        })
    }

    /// Removes the folders of releases that are not remembered any more, and of copies that broke
    /// off.
    fn prune(supervisor: &mut Supervisor<Self>) {
        let Ok(folders) = std::fs::read_dir(supervisor.folder.join("releases")) else { return };
        for folder in folders.flatten() {
            let id = folder.file_name().to_str().and_then(|name| name.parse::<ReleaseId>().ok());
            if id.is_none_or(|id| supervisor.state.get(id).is_none()) {
                remove_folder(&folder.path());
            }
        }
    }

    /// A release that stood by goes on standing by.
    fn give_up(supervisor: &mut Supervisor<Self>, pending: &Pending<Self>) {
        pending.startup.probe.cancel();
        if !supervisor.state.is_wanted(pending.release) {
            Self::stop(supervisor, pending.release);
        }
    }

    fn tell_given_up(pending: Pending<Self>, error: RequestError) {
        let Startup { asker: Some(asker), started, .. } = pending.startup else { return };
        asker.tell(step("health check", false, error.to_string(), started.elapsed()));
        asker.tell(error);
    }

    /// A failed release never serves again: each of a run's attempts would else keep its files
    /// until one is verified. Its log stays.
    fn tick(supervisor: &mut Supervisor<Self>) {
        let Processes { stopping, running, .. } = &mut supervisor.workload;
        while stopping.try_join_next().is_some() {}
        if !stopping.is_empty() {
            return;
        }
        for known in supervisor.state.releases() {
            if known.state == ReleaseState::Failed && !running.contains_key(&known.id) {
                remove_folder(&files_folder(&supervisor.folder, known.id));
            }
        }
    }

    async fn stop_all(mut supervisor: Supervisor<Self>) {
        let releases: Vec<ReleaseId> = supervisor.workload.running.keys().copied().collect();
        for release in releases {
            Self::stop(&mut supervisor, release);
        }
        while supervisor.workload.stopping.join_next().await.is_some() {}
    }
}

impl Supervisor<Processes> {
    fn start_candidate(
        &mut self,
        release: ReleaseId,
        wait: Duration,
        asker: &Asker<Processes>,
    ) -> Result<Option<Reply<ProcessReply>>, StateError> {
        match self.start(release) {
            Ok(()) => {
                self.save()?;
                self.await_health(release, wait, Purpose::RollOut, Some(asker));
                Ok(None)
            }
            Err(reason) => {
                self.state.fail(release, &reason);
                self.save()?;
                Ok(Some(RequestError::NotStarted { reason }.into()))
            }
        }
    }

    async fn roll_back(
        &mut self,
        release: Option<ReleaseId>,
        wait: Duration,
        asker: &Asker<Processes>,
    ) -> Result<Option<Reply<ProcessReply>>, StateError> {
        let release = match self.earlier(release) {
            Ok(release) => release,
            Err(error) => return Ok(Some(error.into())),
        };
        let runs = self.workload.running.contains_key(&release);
        if self.state.active() == Some(release) && runs {
            return Ok(Some(Reply::Serving { release }));
        }
        if let Err(error) = self.reopen().await {
            return Ok(Some(error.into()));
        }
        if !runs && let Err(reason) = self.start(release) {
            return Ok(Some(RequestError::NotStarted { reason }.into()));
        }
        self.save()?;
        self.await_health(release, wait, Purpose::RollBack, Some(asker));
        Ok(None)
    }

    /// Starts the release's process, and counts the start.
    fn start(&mut self, release: ReleaseId) -> Result<(), String> {
        let sender = self.sender();
        let Some(known) = self.state.get_mut(release) else {
            return Err("no such release".to_owned());
        };
        let processes = &mut self.workload;
        processes.attempts += 1;
        let attempt = processes.attempts;
        let service = Service::start(
            &Start {
                target: &self.folder,
                mark: &processes.mark,
                release,
                launch: &known.detail.launch,
                environment: &processes.environment,
            },
            move |exit| sender(ProcessEvent::Exited { release, attempt, exit }),
        )?;
        known.detail.running = Some(RunningRecord { pid: service.pid, port: service.backend.port });
        known.detail.log = Some(service.log);
        processes.running.insert(release, Running { attempt, service });
        Ok(())
    }

    /// Starts the health check of a release that runs.
    fn await_health(
        &mut self,
        release: ReleaseId,
        wait: Duration,
        purpose: Purpose,
        asker: Option<&Asker<Processes>>,
    ) {
        let running = self.workload.running.get(&release);
        let (Some(running), Some(known)) = (running, self.state.get(release)) else { return };
        let (attempt, port) = (running.attempt, running.service.backend.port);
        let of_a_deployer = match purpose {
            Purpose::RollOut | Purpose::RollBack => asker,
            Purpose::Restore => None,
        };
        if let Some(asker) = of_a_deployer {
            let detail = format!("process {} on port {port}", running.service.pid);
            asker.tell(step("start", true, detail, running.service.started.elapsed()));
        }
        let probe = CancellationToken::new();
        let (cancelled, client, launch) =
            (probe.clone(), self.client.clone(), known.detail.launch.clone());
        let url = format!("http://127.0.0.1:{port}{}", launch.health);
        let sender = self.sender();
        tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                result = until_healthy(&client, &url, launch.health_timeout, wait) => {
                    sender(ProcessEvent::Probed { release, attempt, result });
                }
            }
        });
        let connection = of_a_deployer.map(|asker| asker.connection);
        let asker = asker.cloned();
        let startup = Startup { asker, started: Instant::now(), wait, probe };
        self.pending = Some(Pending { release, purpose, connection, startup });
    }

    fn probed(
        &mut self,
        release: ReleaseId,
        attempt: u64,
        result: Result<u32, Option<Probe>>,
    ) -> Result<(), StateError> {
        if !self.workload.is_attempt(release, attempt) || !self.is_pending(release) {
            return Ok(());
        }
        let requests = match result {
            Ok(requests) => requests,
            Err(last) => {
                let last = last.map(Box::new);
                let waited = self.pending.as_ref().map_or(Duration::ZERO, |p| p.startup.wait);
                return self.give_up(RequestError::Unhealthy { last, waited });
            }
        };
        let switching = Instant::now();
        if let Err(error) = self.switch(release, |_| {}) {
            return self.give_up(RequestError::unsaved(&error));
        }
        let switch_took = switching.elapsed();
        let Some(Pending { purpose, startup, .. }) = self.take_pending() else { return Ok(()) };
        let Some(asker) = startup.asker else { return Ok(()) };
        let healthy = match requests {
            1 => "healthy at the first request".to_owned(),
            n => format!("healthy after {n} requests"),
        };
        asker.tell(step("health check", true, healthy, switching - startup.started));
        let switched = format!("new connections go to release {}", release.short());
        asker.tell(step("switch", true, switched, switch_took));
        asker.tell(match purpose {
            Purpose::RollOut | Purpose::RollBack => Reply::Serving { release },
            Purpose::Restore => Reply::Restored { serving: Some(release), untouched: false },
        });
        Ok(())
    }

    fn exited(
        &mut self,
        release: ReleaseId,
        attempt: u64,
        exit: ExitRecord,
    ) -> Result<(), StateError> {
        if !self.workload.is_attempt(release, attempt) {
            return Ok(());
        }
        let ended = self.workload.running.remove(&release);
        let lived = ended.map_or(Duration::ZERO, |ended| ended.service.started.elapsed());
        if let Some(known) = self.state.get_mut(release) {
            known.detail.running = None;
            known.detail.last_exit = Some(Exit::from(exit).to_string());
        }
        if self.is_pending(release) {
            self.give_up(RequestError::Exited { exit })?;
        }
        if lived >= STEADY {
            self.workload.restarts.remove(&release);
        }
        if self.state.is_wanted(release) {
            self.restart_later(release);
        }
        self.save()
    }

    fn restart_later(&mut self, release: ReleaseId) {
        let delays = self.workload.restarts.entry(release).or_insert_with(|| RESTART.build());
        let pause = delays.next().unwrap_or_default();
        let sender = self.sender();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            sender(ProcessEvent::Restart { release });
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

    /// Stops a release's process; its connections may take `drain` to finish.
    fn stop_within(&mut self, release: ReleaseId, drain: Duration) {
        self.workload.restarts.remove(&release);
        if let Some(known) = self.state.get_mut(release) {
            known.detail.running = None;
        }
        if let Some(Running { service, .. }) = self.workload.running.remove(&release) {
            self.workload.stopping.spawn(service.stop(drain));
        }
    }
}

/// A step of a rollout, for its deployer.
fn step(step: &str, ok: bool, detail: String, elapsed: Duration) -> Reply<ProcessReply> {
    Reply::Own(ProcessReply::Progress { step: step.to_owned(), ok, detail, elapsed })
}

fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "could not delete a folder");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::process::state::{Launch, State};
    use crate::proxy::probe::client;
    use crate::supervisor::Parts;
    use greenloop_model::RunId;

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
        let detail = ProcessDetail::new(launch);
        state.add(ReleaseRecord::candidate(id, commit, RunId::generate(), detail, now));
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
        let parts = Parts {
            folder: folder.path().to_owned(),
            workload: Processes::new("mark".to_owned(), Vec::new()),
            state: Some(state),
            client: client().unwrap(),
            messages,
        };
        let mut supervisor = Supervisor::begin(parts).await.unwrap();
        // Nothing can be written to a folder that is gone.
        drop(folder);
        assert!(supervisor.save().is_err());
        let failed = release(&mut supervisor.state);
        let reply = supervisor.restore(failed, "no space left on device", None).unwrap();
        assert_eq!(reply, Some(Reply::Restored { serving: Some(serving), untouched: true }));
        Processes::stop_all(supervisor).await;
    }
}
