//! One attempt at one task, from the claim to the report.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::agent_loop::{AgentEnd, AgentJob, ProgressSink};
use super::command::{self, CommandContext};
use super::context::WorkerContext;
use super::lease_keeper::LeaseGuard;
use super::live_log::{LiveLog, LogSink};
use super::report::{AttemptError, evidence, usage_evidence};
use super::self_check::Fault;
use super::stop::{AbortReason, AttemptCancel};
use super::workdir::{Checkout, CheckoutError, WorkdirError};
use greenloop_hub_api::client::{HubClient, HubError, HubErrorKind};
use greenloop_hub_api::types::{Action, AttemptHeartbeat, Claimed, Completion, NewEvidence};
use greenloop_model::task::{EvidenceKind, Lease};
use greenloop_model::{CommitId, FailureClass, RunId, error_chain};
use greenloop_workspace::git::{Author, Git, GitError, GitErrorKind, class_of};

/// Tries of a push.
const TRIES: usize = 5;
/// How long a worker that stops may take to hand a task back.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long a report is tried for; the lease is kept meanwhile.
const REPORT: Duration = Duration::from_secs(600);

/// What the work came to.
struct Work {
    summary: String,
    commit: Option<CommitId>,
    /// Where the commit was pushed to.
    branch: String,
    evidence: Vec<NewEvidence>,
}

impl WorkerContext {
    /// Does the task that was claimed when `since` was.
    pub(super) async fn attempt(&self, claimed: Claimed, since: Instant) {
        let lease = claimed.lease();
        let cancel = AttemptCancel::default();
        let lasts = Duration::from_secs(claimed.lease_seconds.max(1).into());
        let guard = self.leases.keep(lease, since, lasts, &self.options, &cancel);
        let watcher = self.hand_back_when_it_stops(&cancel);
        tracing::info!(task = %lease.task, epoch = lease.epoch, key = claimed.task.key, "begins");
        let live = LiveLog::start(&self.client, lease);
        let result = match self.quarantine.why() {
            // Another slot found out while this one was being given the task.
            Some(why) => Err(AttemptError {
                uncounted: true,
                quarantine: Some(why.clone()),
                ..AttemptError::new(FailureClass::Infrastructure, why)
            }),
            None => self.work(&claimed, lease, &guard, &live.sink(), &cancel).await,
        };
        if cancel.why().is_none() {
            tokio::select! {
                () = live.finish() => {}
                () = self.stop.aborting() => {}
            }
        }
        watcher.abort();
        match cancel.why() {
            None => self.report(lease, result).await,
            Some(AbortReason::HandedBack) => self.hand_back(lease).await,
            Some(why @ (AbortReason::Stale | AbortReason::Cancelled)) => {
                tracing::warn!(task = %lease.task, epoch = lease.epoch, ?why, "discarded");
            }
        }
        drop(guard);
    }

    /// A worker that drains lets work go on for the grace time; one that aborts does not.
    fn hand_back_when_it_stops(&self, cancel: &AttemptCancel) -> tokio::task::AbortHandle {
        let (stop, cancel, grace) = (self.stop.clone(), cancel.clone(), self.options.grace);
        let watch = async move {
            let grace_is_over = async {
                stop.draining().await;
                tokio::time::sleep(grace).await;
            };
            tokio::select! {
                () = grace_is_over => {}
                () = stop.aborting() => {}
            }
            cancel.cancel(AbortReason::HandedBack);
        };
        tokio::spawn(watch).abort_handle()
    }

    async fn work(
        &self,
        claimed: &Claimed,
        lease: Lease,
        guard: &LeaseGuard,
        live: &LogSink,
        cancel: &AttemptCancel,
    ) -> Result<Work, AttemptError> {
        let run = RunId::generate();
        let git = Git::new(run, &self.redactor, cancel.token());
        let checkout = match &claimed.repository {
            Some(url) => {
                let name = self.options.name.clone();
                let author = Author { email: format!("{name}@greenloop.invalid"), name };
                let target = (url.as_str(), claimed.target.as_str());
                let made = self.workdir.clone_checkout(lease, run, target, &author, &git).await;
                made.map_err(AttemptError::from)
            }
            None => self.workdir.empty_checkout(lease, run).map_err(AttemptError::from),
        };
        let checkout = match checkout {
            Ok(checkout) => checkout,
            Err(error) => return self.attribute(Err(error), claimed, cancel).await,
        };
        let result = self.work_at(&checkout, claimed, lease, run, guard, live, cancel, &git).await;
        // While what the work has left is still there: it may be what fills the disk.
        let result = self.attribute(result, claimed, cancel).await;
        checkout.remove().await;
        result
    }

    /// Whether this machine is the cause of a failure: then the task is given back as if it had
    /// not been tried, and nothing more is claimed until the self-check passes. A repository out of
    /// reach gives it back as well, and nothing more is claimed in that repository.
    async fn attribute(
        &self,
        result: Result<Work, AttemptError>,
        claimed: &Claimed,
        cancel: &AttemptCancel,
    ) -> Result<Work, AttemptError> {
        let mut error = match result {
            Ok(work) => {
                self.quarantine.worked();
                if let Some(url) = &claimed.repository {
                    self.reach.reached(url);
                }
                return Ok(work);
            }
            Err(error) if cancel.why().is_some() => return Err(error),
            Err(error) => error,
        };
        let model = error.model.take();
        let fault = match error.fault.take() {
            Some(fault) => fault,
            // The failure may be the work's own, or what a sick machine made of it.
            None => {
                let check = self.quarantine.check();
                let found = match error.class.heals() || error.remote {
                    true => check.machine().await,
                    false => check.whole(model.as_ref()).await,
                };
                match (found, &claimed.repository) {
                    (Err(fault), _) => fault,
                    (Ok(()), Some(url)) if error.remote => {
                        self.reach.missed(url, &self.redactor.redact(&error.message));
                        error.uncounted = true;
                        error.unreachable = true;
                        return Err(error);
                    }
                    (Ok(()), _) => {
                        self.quarantine.worked();
                        return Err(error);
                    }
                }
            }
        };
        self.quarantine.begin(&fault, model);
        if !error.message.contains(&fault.reason) {
            error.message = format!("{}; {}", fault.reason, error.message);
        }
        error.class = fault.class;
        error.uncounted = true;
        error.quarantine = Some(fault.reason);
        Err(error)
    }

    #[expect(clippy::too_many_arguments, reason = "one attempt's own things, used nowhere else")]
    async fn work_at(
        &self,
        checkout: &Checkout,
        claimed: &Claimed,
        lease: Lease,
        run: RunId,
        guard: &LeaseGuard,
        live: &LogSink,
        cancel: &AttemptCancel,
        git: &Git,
    ) -> Result<Work, AttemptError> {
        let mut work = match &claimed.task.action {
            Action::Command(line) => {
                let context = CommandContext {
                    claimed,
                    checkout,
                    run,
                    agent: &self.options.name,
                    env_remove: &self.options.env_remove,
                    sandbox: self.options.sandbox.as_ref(),
                    redactor: &self.redactor,
                    live: live.clone(),
                };
                command::run(line, &context, guard, cancel).await?;
                let summary = "the command passed".to_owned();
                Work { summary, commit: None, branch: String::new(), evidence: Vec::new() }
            }
            Action::Agent => self.agents(checkout, claimed, run, guard, live, cancel).await?,
        };
        let Some(clone) = &checkout.clone else { return Ok(work) };
        let message = self.commit_message(claimed);
        let Some(commit) = clone.commit(&message, git).await? else { return Ok(work) };
        work.branch = self.push(checkout, &commit, lease, cancel, git).await?;
        let title = format!("{} on {}", commit.short(), work.branch);
        work.evidence.push(evidence(EvidenceKind::Commit, &title, &message, &self.redactor));
        work.summary = format!("{}: {}", commit.short(), work.summary);
        work.commit = Some(commit);
        Ok(work)
    }

    async fn agents(
        &self,
        checkout: &Checkout,
        claimed: &Claimed,
        run: RunId,
        guard: &LeaseGuard,
        live: &LogSink,
        cancel: &AttemptCancel,
    ) -> Result<Work, AttemptError> {
        let Some(agents) = self.agents.as_ref().filter(|_| checkout.clone.is_some()) else {
            let message = "an author can only work on a task that has a repository";
            return Err(AttemptError {
                retry: false,
                ..AttemptError::new(FailureClass::Config, message)
            });
        };
        let job = AgentJob {
            folder: checkout.folder.clone(),
            run,
            title: claimed.task.title.clone(),
            description: claimed.task.description.clone(),
            files: claimed.task.files.clone(),
            previous: claimed.previous.clone(),
            gates: claimed.gates.clone(),
            progress: ProgressSink::new(guard.reporter()),
            log: live.clone(),
            cancel: cancel.token().clone(),
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
                return Err(AttemptError::new(FailureClass::Timeout, message));
            }
        };
        match ended {
            AgentEnd::Done { summary, patches, usage } => {
                let mut found = Vec::from_iter(usage_evidence(&usage, &self.redactor));
                for (nth, (diff, review)) in patches.iter().enumerate() {
                    let title = format!("patch {}", nth + 1);
                    found.push(evidence(EvidenceKind::Diff, &title, diff, &self.redactor));
                    let title = format!("review of patch {}", nth + 1);
                    found.push(evidence(EvidenceKind::Review, &title, review, &self.redactor));
                }
                Ok(Work { summary, commit: None, branch: String::new(), evidence: found })
            }
            AgentEnd::Failed {
                class,
                message,
                fingerprint,
                evidence: text,
                fault,
                check,
                usage,
            } => {
                let found =
                    evidence(EvidenceKind::Log, "what blocked the attempt", &text, &self.redactor);
                let used = usage_evidence(&usage, &self.redactor);
                let evidence =
                    used.into_iter().chain((!text.is_empty()).then_some(found)).collect();
                let error = AttemptError::new(class, message);
                Err(AttemptError { fingerprint, evidence, fault, model: check, ..error })
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
        checkout: &Checkout,
        commit: &CommitId,
        lease: Lease,
        cancel: &AttemptCancel,
        git: &Git,
    ) -> Result<String, AttemptError> {
        let Some(clone) = &checkout.clone else { return Ok(lease.branch()) };
        let mut branch = lease.branch();
        let mut refused = None;
        let delays = ExponentialBuilder::new().with_min_delay(Duration::from_secs(2));
        let mut delays = delays.with_max_times(TRIES - 1).build();
        loop {
            self.still_held(lease, cancel).await?;
            match clone.push(commit, &branch, git).await {
                Err(error) if error.kind == GitErrorKind::Rejected => match refused {
                    // Not the name, then: a watcher, say.
                    Some(first) => return Err(AttemptError::from(first)),
                    None => {
                        tracing::warn!(%error, "pushed to another branch");
                        refused = Some(error);
                        branch = format!("{}-{}", lease.branch(), commit.short());
                    }
                },
                Err(error) if error.kind == GitErrorKind::Remote => {
                    let Some(delay) = delays.next() else { return Err(error.into()) };
                    tracing::warn!(%error, "retrying the push");
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = cancel.token().cancelled() => return Err(error.into()),
                    }
                }
                Err(error) => return Err(error.into()),
                Ok(()) => return Ok(branch),
            }
        }
    }

    async fn still_held(&self, lease: Lease, cancel: &AttemptCancel) -> Result<(), AttemptError> {
        let beat = AttemptHeartbeat { percent: None, message: Some("pushing".to_owned()) };
        let asked = tokio::select! {
            asked = self.client.heartbeat(lease, &beat) => asked,
            () = cancel.token().cancelled() => return Err(handed_over()),
        };
        match asked {
            Ok(answer) if answer.cancel => {
                cancel.cancel(AbortReason::Cancelled);
                Err(handed_over())
            }
            Ok(_) => Ok(()),
            Err(error) if is_stale(&error) => {
                cancel.cancel(AbortReason::Stale);
                Err(handed_over())
            }
            // The hub is away: that says nothing of the task, nor of this machine's disk.
            Err(error) => {
                let error = AttemptError::new(FailureClass::Infrastructure, error_chain(&error));
                Err(AttemptError { uncounted: true, ..error })
            }
        }
    }

    async fn report(&self, lease: Lease, result: Result<Work, AttemptError>) {
        let client = self.client.within(REPORT);
        let reported = async {
            match &result {
                Ok(Work { summary, commit, branch, evidence }) => {
                    self.add(&client, lease, evidence).await?;
                    let commit = commit.as_ref().map(ToString::to_string);
                    let summary = self.redactor.redact(summary).into_owned();
                    let other = commit.is_some() && *branch != lease.branch();
                    let branch = other.then(|| branch.clone());
                    client.complete(lease, &Completion { commit, summary, branch }).await
                }
                Err(error) => {
                    self.add(&client, lease, &error.evidence).await?;
                    client.fail(lease, &error.failure(&self.redactor)).await
                }
            }
        };
        let reported = tokio::select! {
            reported = reported => reported,
            // The lease runs out by itself.
            () = self.stop.aborting() => return,
        };
        match (reported, &result) {
            (Ok(()), Ok(work)) => {
                tracing::info!(task = %lease.task, epoch = lease.epoch, work.summary, "done");
            }
            (Ok(()), Err(error)) => {
                let why = self.redactor.redact(&error.message);
                tracing::warn!(task = %lease.task, epoch = lease.epoch, %why, "failed");
            }
            (Err(error), _) if is_stale(&error) => {
                tracing::warn!(task = %lease.task, epoch = lease.epoch, "the hub rejected the \
                    report: another attempt holds the lease");
            }
            (Err(error), _) => {
                let why = error_chain(&error);
                tracing::error!(task = %lease.task, epoch = lease.epoch, why, "could not report");
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
                Err(error) => tracing::warn!(%error, "the hub rejected a piece of evidence"),
            }
        }
        Ok(())
    }

    async fn hand_back(&self, lease: Lease) {
        let message = format!("{} is stopping and returns the task", self.options.name);
        let error = AttemptError::new(FailureClass::Infrastructure, message);
        let error = AttemptError { uncounted: true, ..error };
        let client = self.client.within(HAND_BACK);
        let failure = error.failure(&self.redactor);
        match tokio::time::timeout(HAND_BACK, client.fail(lease, &failure)).await {
            Ok(Ok(())) => tracing::info!(task = %lease.task, epoch = lease.epoch, "returned"),
            Ok(Err(error)) => tracing::warn!(%error, "could not return the task"),
            Err(_elapsed) => tracing::warn!("the task was not returned in time"),
        }
    }
}

fn is_stale(error: &HubError) -> bool {
    matches!(error.kind, HubErrorKind::StaleLease | HubErrorKind::NotFound)
}

/// Never reported: why the attempt was cancelled says what becomes of it.
fn handed_over() -> AttemptError {
    AttemptError::new(FailureClass::Infrastructure, "the attempt has ended")
}

impl From<WorkdirError> for AttemptError {
    fn from(error: WorkdirError) -> Self {
        let kind = match &error {
            WorkdirError::Io { source, .. } => Some(source.kind()),
            WorkdirError::Taken { .. } | WorkdirError::Name(_) => None,
        };
        let class = kind.and_then(class_of).unwrap_or(FailureClass::Infrastructure);
        Self::of(Fault::new(class, error_chain(&error)))
    }
}

impl From<CheckoutError> for AttemptError {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Workdir(error) => error.into(),
            CheckoutError::Git(error) => GitError::into(error),
        }
    }
}
