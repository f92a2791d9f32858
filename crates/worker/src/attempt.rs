//! One attempt at one task, from the claim to the report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::WorkerOptions;
use super::command::{self, Surroundings};
use super::heart::{Heart, Pulse};
use super::place::{PlaceError, Seat, SeatError, WorkPlace};
use super::quarantine::Quarantine;
use super::reach::Reach;
use super::report::{Trouble, evidence};
use super::self_check::{Fault, ModelCheck};
use super::stop::{Ending, Stop, Void};
use greenloop_evidence::Redactor;
use greenloop_hub_api::client::wire::{Action, AttemptHeartbeat, Claimed, Completion, NewEvidence};
use greenloop_hub_api::client::{HubClient, HubError, HubErrorKind};
use greenloop_model::task::{EvidenceKind, Lease, TaskId};
use greenloop_model::{CommitId, FailureClass, Fingerprint, RunId, chain};
use greenloop_workspace::git::{Author, Git, GitError, GitErrorKind, class_of};

/// Tries of a push.
const TRIES: u32 = 5;
/// How long a worker that stops may take to hand a task back.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long a report is tried for; the lease is kept meanwhile.
const REPORT: Duration = Duration::from_secs(600);

/// A task for the author and the reviewer.
#[derive(Debug, Clone)]
pub struct AgentJob {
    /// The clone they work in.
    pub folder: PathBuf,
    /// Marks every process of the work.
    pub run: RunId,
    /// One line.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// What it is expected to touch, as globs.
    pub files: Vec<String>,
    /// What the attempt before ended in.
    pub previous: Option<String>,
    /// Commands that the merge must pass.
    pub gates: Vec<String>,
    /// Told how far the work is, in percent, and what is done now.
    pub told: Told,
    /// Ends the work.
    pub cancel: CancellationToken,
}

/// Hears how far work is. Cheap to clone.
#[derive(Clone)]
pub struct Told(Arc<dyn Fn(u8, String) + Send + Sync>);

impl Told {
    /// Calls `hear` whenever there is something to tell.
    pub fn new(hear: impl Fn(u8, String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Tells.
    pub fn tell(&self, percent: u8, text: String) {
        (self.0)(percent, text);
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

/// What the author and the reviewer came to.
pub enum AgentEnd {
    /// The work tree has it.
    Done {
        /// One line.
        summary: String,
        /// The canonical diffs, and what the reviewer said of each.
        patches: Vec<(String, String)>,
    },
    /// It was not done.
    Failed {
        /// What kind of trouble it is.
        class: FailureClass,
        /// One line.
        message: String,
        /// Its identity.
        fingerprint: Option<Fingerprint>,
        /// The evidence, as text.
        evidence: String,
        /// What this machine, or its way to a model, is at fault for.
        fault: Option<Fault>,
        /// How to see whether the model answers again.
        check: Option<ModelCheck>,
    },
}

/// The author/reviewer loop, as the composition root puts it together.
pub type AgentLoop = Arc<dyn Fn(AgentJob) -> BoxFuture<'static, AgentEnd> + Send + Sync>;

/// What all attempts of a worker share.
pub(super) struct Bench {
    pub(super) client: HubClient,
    pub(super) options: WorkerOptions,
    pub(super) place: WorkPlace,
    pub(super) heart: Heart,
    pub(super) redactor: Redactor,
    pub(super) agents: Option<AgentLoop>,
    pub(super) stop: Stop,
    pub(super) quarantine: Quarantine,
    pub(super) reach: Reach,
}

/// What the work came to.
struct Work {
    summary: String,
    commit: Option<CommitId>,
    /// Where the commit was pushed to.
    branch: String,
    evidence: Vec<NewEvidence>,
}

impl Bench {
    /// Does the task that was claimed when `since` was.
    pub(super) async fn attempt(&self, claimed: Claimed, since: Instant) {
        let lease = Lease { task: TaskId(claimed.task.id), epoch: claimed.epoch };
        let ending = Ending::default();
        let lasts = Duration::from_secs(claimed.lease_seconds.max(1).into());
        let pulse = self.heart.keep(lease, since, lasts, &self.options, &ending);
        let guard = self.hand_back_when_it_stops(&ending);
        tracing::info!(task = %lease.task, epoch = lease.epoch, key = claimed.task.key, "begins");
        let result = match self.quarantine.why() {
            // Another slot found out while this one was being given the task.
            Some(why) => Err(Trouble {
                uncounted: true,
                quarantine: Some(why.clone()),
                ..Trouble::new(FailureClass::Infrastructure, why)
            }),
            None => self.work(&claimed, lease, &pulse, &ending).await,
        };
        guard.abort();
        match ending.why() {
            None => self.report(lease, result).await,
            Some(Void::HandedBack) => self.hand_back(lease).await,
            Some(why @ (Void::Stale | Void::Cancelled)) => {
                tracing::warn!(task = %lease.task, epoch = lease.epoch, ?why, "thrown away");
            }
        }
        drop(pulse);
    }

    /// A worker that drains lets work go on for the grace time; one that aborts does not.
    fn hand_back_when_it_stops(&self, ending: &Ending) -> tokio::task::AbortHandle {
        let (stop, ending, grace) = (self.stop.clone(), ending.clone(), self.options.grace);
        let watch = async move {
            let grace_is_over = async {
                stop.draining().await;
                tokio::time::sleep(grace).await;
            };
            tokio::select! {
                () = grace_is_over => {}
                () = stop.aborting() => {}
            }
            ending.end(Void::HandedBack);
        };
        tokio::spawn(watch).abort_handle()
    }

    async fn work(
        &self,
        claimed: &Claimed,
        lease: Lease,
        pulse: &Pulse,
        ending: &Ending,
    ) -> Result<Work, Trouble> {
        let run = RunId::generate();
        let git = Git::new(run, &self.redactor, ending.token());
        let seat = match &claimed.repository {
            Some(url) => {
                let name = self.options.name.clone();
                let author = Author { email: format!("{name}@greenloop.invalid"), name };
                let target = (url.as_str(), claimed.target.as_str());
                let made = self.place.clone_seat(lease, run, target, &author, &git).await;
                made.map_err(Trouble::from)
            }
            None => self.place.bare_seat(lease, run).map_err(Trouble::from),
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(trouble) => return self.judged(Err(trouble), claimed, ending).await,
        };
        let result = self.work_at(&seat, claimed, lease, run, pulse, ending, &git).await;
        // While what the work has left is still there: it may be what fills the disk.
        let result = self.judged(result, claimed, ending).await;
        seat.leave().await;
        result
    }

    /// Whether this machine is the cause of a failure: then the task is given back as if it had
    /// not been tried, and nothing more is claimed until the self-check passes. A repository out of
    /// reach gives it back as well, and nothing more is claimed in that repository.
    async fn judged(
        &self,
        result: Result<Work, Trouble>,
        claimed: &Claimed,
        ending: &Ending,
    ) -> Result<Work, Trouble> {
        let mut trouble = match result {
            Ok(work) => {
                self.quarantine.worked();
                if let Some(url) = &claimed.repository {
                    self.reach.reached(url);
                }
                return Ok(work);
            }
            Err(trouble) if ending.why().is_some() => return Err(trouble),
            Err(trouble) => trouble,
        };
        let model = trouble.model.take();
        let fault = match trouble.fault.take() {
            Some(fault) => fault,
            // The failure may be the work's own, or what a sick machine made of it.
            None => {
                let check = self.quarantine.check();
                let found = match trouble.class.heals() || trouble.remote {
                    true => check.machine().await,
                    false => check.whole(model.as_ref()).await,
                };
                match (found, &claimed.repository) {
                    (Err(fault), _) => fault,
                    (Ok(()), Some(url)) if trouble.remote => {
                        self.reach.missed(url, &self.redactor.redact(&trouble.message));
                        trouble.uncounted = true;
                        trouble.unreachable = true;
                        return Err(trouble);
                    }
                    (Ok(()), _) => {
                        self.quarantine.worked();
                        return Err(trouble);
                    }
                }
            }
        };
        self.quarantine.begin(&fault, model);
        if !trouble.message.contains(&fault.reason) {
            trouble.message = format!("{}; {}", fault.reason, trouble.message);
        }
        trouble.class = fault.class;
        trouble.uncounted = true;
        trouble.quarantine = Some(fault.reason);
        Err(trouble)
    }

    #[expect(clippy::too_many_arguments, reason = "one attempt's own things, used nowhere else")]
    async fn work_at(
        &self,
        seat: &Seat,
        claimed: &Claimed,
        lease: Lease,
        run: RunId,
        pulse: &Pulse,
        ending: &Ending,
        git: &Git,
    ) -> Result<Work, Trouble> {
        let mut work = match &claimed.task.action {
            Action::Command(line) => {
                let around = Surroundings {
                    claimed,
                    seat,
                    run,
                    agent: &self.options.name,
                    withheld: &self.options.withheld,
                    redactor: &self.redactor,
                };
                command::run(line, &around, pulse, ending).await?;
                let summary = "the command passed".to_owned();
                Work { summary, commit: None, branch: String::new(), evidence: Vec::new() }
            }
            Action::Agent => self.agents(seat, claimed, run, pulse, ending).await?,
        };
        let Some(clone) = &seat.clone else { return Ok(work) };
        let message = self.commit_message(claimed);
        let Some(commit) = clone.commit(&message, git).await? else { return Ok(work) };
        work.branch = self.push(seat, &commit, lease, ending, git).await?;
        let title = format!("{} on {}", commit.short(), work.branch);
        work.evidence.push(evidence(EvidenceKind::Commit, &title, &message, &self.redactor));
        work.summary = format!("{}: {}", commit.short(), work.summary);
        work.commit = Some(commit);
        Ok(work)
    }

    async fn agents(
        &self,
        seat: &Seat,
        claimed: &Claimed,
        run: RunId,
        pulse: &Pulse,
        ending: &Ending,
    ) -> Result<Work, Trouble> {
        let Some(agents) = self.agents.as_ref().filter(|_| seat.clone.is_some()) else {
            let message = "an author can only work on a task that has a repository";
            return Err(Trouble { retry: false, ..Trouble::new(FailureClass::Config, message) });
        };
        let job = AgentJob {
            folder: seat.folder.clone(),
            run,
            title: claimed.task.title.clone(),
            description: claimed.task.description.clone(),
            files: claimed.task.files.clone(),
            previous: claimed.previous.clone(),
            gates: claimed.gates.clone(),
            told: Told::new(pulse.voice()),
            cancel: ending.token().clone(),
        };
        let limit = claimed.task.timeout_seconds.map_or(Duration::MAX, Duration::from_secs);
        let cancel = job.cancel.child_token();
        let job = AgentJob { cancel: cancel.clone(), ..job };
        let mut working = agents(job);
        let ended = tokio::select! {
            ended = &mut working => ended,
            () = tokio::time::sleep(limit) => {
                cancel.cancel();
                // To its end: it puts its own things in order.
                working.await;
                let message = format!("not done within {} s", limit.as_secs());
                return Err(Trouble::new(FailureClass::Timeout, message));
            }
        };
        match ended {
            AgentEnd::Done { summary, patches } => {
                let mut found = Vec::new();
                for (nth, (diff, review)) in patches.iter().enumerate() {
                    let title = format!("patch {}", nth + 1);
                    found.push(evidence(EvidenceKind::Diff, &title, diff, &self.redactor));
                    let title = format!("review of patch {}", nth + 1);
                    found.push(evidence(EvidenceKind::Review, &title, review, &self.redactor));
                }
                Ok(Work { summary, commit: None, branch: String::new(), evidence: found })
            }
            AgentEnd::Failed { class, message, fingerprint, evidence: text, fault, check } => {
                let found =
                    evidence(EvidenceKind::Log, "what stood in the way", &text, &self.redactor);
                let evidence = if text.is_empty() { Vec::new() } else { vec![found] };
                let trouble = Trouble::new(class, message);
                Err(Trouble { fingerprint, evidence, fault, model: check, ..trouble })
            }
        }
    }

    fn commit_message(&self, claimed: &Claimed) -> String {
        let task = &claimed.task;
        let title = self.redactor.redact(&task.title);
        let title = title.lines().next().unwrap_or_default();
        format!(
            "{title}\n\nGreenloop-Task: {} ({})\nGreenloop-Epoch: {}\nGreenloop-Agent: {}\n",
            task.id, task.key, claimed.epoch, self.options.name
        )
    }

    /// Pushes, once the hub has said that the lease is still held; where to. A branch of the
    /// attempt's name that is there already is another hub's, whose store had a task of this id.
    async fn push(
        &self,
        seat: &Seat,
        commit: &CommitId,
        lease: Lease,
        ending: &Ending,
        git: &Git,
    ) -> Result<String, Trouble> {
        let Some(clone) = &seat.clone else { return Ok(lease.branch()) };
        let mut branch = lease.branch();
        let mut refused = None;
        let mut tried = 0;
        loop {
            tried += 1;
            self.still_held(lease, ending).await?;
            match clone.push(commit, &branch, git).await {
                Err(error) if error.kind == GitErrorKind::Rejected => match refused {
                    // Not the name, then: a guard, say.
                    Some(first) => return Err(Trouble::from(first)),
                    None => {
                        tracing::warn!(%error, "pushed to another branch");
                        refused = Some(error);
                        branch = format!("{}-{}", lease.branch(), commit.short());
                    }
                },
                Err(error) if error.kind == GitErrorKind::Remote && tried < TRIES => {
                    tracing::warn!(%error, "pushed again in a moment");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_secs(1) * 2u32.pow(tried)) => {}
                        () = ending.token().cancelled() => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(branch),
            }
        }
    }

    async fn still_held(&self, lease: Lease, ending: &Ending) -> Result<(), Trouble> {
        let beat = AttemptHeartbeat { percent: None, message: Some("pushing".to_owned()) };
        let asked = tokio::select! {
            asked = self.client.heartbeat(lease, &beat) => asked,
            () = ending.token().cancelled() => return Err(handed_over()),
        };
        match asked {
            Ok(answer) if answer.cancel => {
                ending.end(Void::Cancelled);
                Err(handed_over())
            }
            Ok(_) => Ok(()),
            Err(error) if is_stale(&error) => {
                ending.end(Void::Stale);
                Err(handed_over())
            }
            // The hub is away: that says nothing of the task, nor of this machine's disk.
            Err(error) => {
                let trouble = Trouble::new(FailureClass::Infrastructure, chain(&error));
                Err(Trouble { uncounted: true, ..trouble })
            }
        }
    }

    async fn report(&self, lease: Lease, result: Result<Work, Trouble>) {
        let client = self.client.within(REPORT);
        let told = async {
            match &result {
                Ok(Work { summary, commit, branch, evidence }) => {
                    self.add(&client, lease, evidence).await?;
                    let commit = commit.as_ref().map(ToString::to_string);
                    let summary = self.redactor.redact(summary).into_owned();
                    let other = commit.is_some() && *branch != lease.branch();
                    let branch = other.then(|| branch.clone());
                    client.complete(lease, &Completion { commit, summary, branch }).await
                }
                Err(trouble) => {
                    self.add(&client, lease, &trouble.evidence).await?;
                    client.fail(lease, &trouble.failure(&self.redactor)).await
                }
            }
        };
        let told = tokio::select! {
            told = told => told,
            // The lease runs out by itself.
            () = self.stop.aborting() => return,
        };
        match (told, &result) {
            (Ok(()), Ok(work)) => {
                tracing::info!(task = %lease.task, epoch = lease.epoch, work.summary, "done");
            }
            (Ok(()), Err(trouble)) => {
                let why = self.redactor.redact(&trouble.message);
                tracing::warn!(task = %lease.task, epoch = lease.epoch, %why, "failed");
            }
            (Err(error), _) if is_stale(&error) => {
                tracing::warn!(task = %lease.task, epoch = lease.epoch, "refused: another has it");
            }
            (Err(error), _) => {
                let why = chain(&error);
                tracing::error!(task = %lease.task, epoch = lease.epoch, why, "cannot be reported");
            }
        }
    }

    async fn add(
        &self,
        client: &HubClient,
        lease: Lease,
        evidence: &[NewEvidence],
    ) -> Result<(), HubError> {
        for piece in evidence {
            match client.add_evidence(lease, piece).await {
                Ok(_) => {}
                Err(error) if is_stale(&error) => return Err(error),
                // The result counts more than its evidence.
                Err(error) => tracing::warn!(%error, "a piece of evidence was not taken"),
            }
        }
        Ok(())
    }

    async fn hand_back(&self, lease: Lease) {
        let message = format!("{} stops, and hands the task back", self.options.name);
        let trouble = Trouble::new(FailureClass::Infrastructure, message);
        let trouble = Trouble { uncounted: true, ..trouble };
        let client = self.client.within(HAND_BACK);
        let failure = trouble.failure(&self.redactor);
        match tokio::time::timeout(HAND_BACK, client.fail(lease, &failure)).await {
            Ok(Ok(())) => tracing::info!(task = %lease.task, epoch = lease.epoch, "handed back"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot be handed back"),
            Err(_elapsed) => tracing::warn!("cannot be handed back in time"),
        }
    }
}

fn is_stale(error: &HubError) -> bool {
    matches!(error.kind, HubErrorKind::StaleLease | HubErrorKind::NotFound)
}

/// Never told: the attempt's ending says what becomes of it.
fn handed_over() -> Trouble {
    Trouble::new(FailureClass::Infrastructure, "the attempt is over")
}

impl From<PlaceError> for Trouble {
    fn from(error: PlaceError) -> Self {
        let kind = match &error {
            PlaceError::Io { source, .. } => Some(source.kind()),
            PlaceError::Taken { .. } | PlaceError::Name(_) => None,
        };
        let class = kind.and_then(class_of).unwrap_or(FailureClass::Infrastructure);
        Self::of(Fault::new(class, chain(&error)))
    }
}

impl From<SeatError> for Trouble {
    fn from(error: SeatError) -> Self {
        match error {
            SeatError::Place(error) => error.into(),
            SeatError::Git(error) => GitError::into(error),
        }
    }
}
