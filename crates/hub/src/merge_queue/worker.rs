//! One target's queue, from taking its lease until it is empty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::approval::Clearance;
use super::candidate::{
    MergeCandidate, Staged, bring, brings, conflict_text, forget, leads_to, stage,
};
use super::gates::{GateOutcome, GateRunner};
use super::options::MergeOptions;
use super::stop::{QueueExit, Stop};
use super::store::MergeStore;
use super::window::Window;
use super::workdir::Workdir;
use crate::store::{
    ConflictReport, GateRecord, QueueLease, Redo, StoreError, StoreErrorKind, TargetQueue,
    TargetRecord,
};
use greenloop_http::retry::nth_delay;
use greenloop_model::task::{HoldReason, MergeId, TaskId};
use greenloop_model::{CommitId, RunId};
use greenloop_workspace::Conflict;
use greenloop_workspace::git::{Git, GitError, GitErrorKind, Mirror};

/// The longest pause between two tries of a queue when something outside is out of order.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a hold because of a rewind is over.
pub(super) const HAS_IT_AGAIN: &str = "the target contains the merged commits again";

/// Entries that may wait at the head of a queue while later ones go on.
const OVERTAKEN: u32 = 50;

/// Characters of a gate's evidence that are kept with its verdict.
const DETAIL: usize = 16_000;

/// Works on one target's queue.
pub(super) struct Worker {
    pub(super) store: Arc<dyn MergeStore>,
    pub(super) options: Arc<MergeOptions>,
    pub(super) workdir: Arc<Workdir>,
    pub(super) gates: GateRunner,
    /// The target, and the right to write to it.
    pub(super) lease: QueueLease,
    /// How often in a row the queue was paused before.
    pub(super) pauses: u32,
    pub(super) cancel: CancellationToken,
}

/// What became of an entry whose gates are through.
enum LandResult {
    Merged,
    /// It waits for a person.
    Asked,
    Ejected,
    /// The push was refused: it is tested again.
    TargetMoved,
}

impl Worker {
    /// The queue, and how often in a row it was paused by now.
    pub(super) async fn run(self) -> (TargetQueue, u32) {
        let queue = self.lease.queue();
        let _keeper = self.keep_lease();
        match self.work().await {
            QueueExit::Empty | QueueExit::Stopped => {
                if let Err(error) = self.store.release_merges(&self.lease).await {
                    tracing::warn!(%error, "the lease of a merge queue was not released; it expires");
                }
                (queue, 0)
            }
            QueueExit::Superseded => {
                tracing::warn!(
                    branch = queue.target,
                    "another hub holds the lease of the merge \
                    queue"
                );
                (queue, 0)
            }
            QueueExit::Held => (queue, 0),
            QueueExit::Paused => (queue, self.pauses + 1),
        }
    }

    /// Extends the lease beside the work; when it is lost, the work is cancelled.
    fn keep_lease(&self) -> DropGuard {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let (store, lease, lasts) =
            (Arc::clone(&self.store), self.lease.clone(), self.options.lease);
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            let mut extended = Instant::now();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(lasts / 3) => {}
                    () = ended.cancelled() => return,
                }
                let asked = Instant::now();
                let lost = match store.extend_merges(&lease, lasts).await {
                    Ok(()) => {
                        extended = asked;
                        false
                    }
                    Err(error) if is_lost(&error) => true,
                    Err(error) => {
                        tracing::warn!(%error, "the lease of a merge queue was not extended");
                        extended.elapsed() >= lasts
                    }
                };
                if lost {
                    return cancel.cancel();
                }
            }
        });
        guard
    }

    async fn work(&self) -> QueueExit {
        let mut window = Window::new(self.options.window);
        let mut first = true;
        let reason = loop {
            if self.cancel.is_cancelled() {
                return QueueExit::Stopped;
            }
            match self.round(&mut window, first).await {
                Ok(()) | Err(Stop::Moved) => first = false,
                Err(Stop::Exit(left)) => return left,
                Err(Stop::Unavailable(reason)) => break reason,
            }
        };
        let reason = self.options.redactor.redact(&reason).into_owned();
        let pause = nth_delay(Duration::from_secs(1), LONGEST_PAUSE, self.pauses);
        tracing::warn!(reason, ?pause, branch = self.lease.target, "the merge queue is paused");
        if let Err(error) = self.store.pause_merges(&self.lease, pause, &reason).await {
            tracing::warn!(%error, "could not record a pause; the lease will expire");
        }
        QueueExit::Paused
    }

    /// The first entries of the queue. One whose commit is none leaves it: no writer can merge it.
    async fn entries(&self, limit: u32) -> Result<Vec<MergeCandidate>, Stop> {
        let (target, redactor) = (&self.lease.target, &self.options.redactor);
        let mut candidates = Vec::new();
        for entry in self.store.next_merges(&self.lease, limit).await? {
            let id = entry.id;
            match MergeCandidate::of(entry, target, redactor) {
                Some(candidate) => candidates.push(candidate),
                None => {
                    let reason = "what is in the queue is not a commit of a task";
                    self.store.merge_ejected(&self.lease, id, reason, false).await?;
                }
            }
        }
        Ok(candidates)
    }

    /// Tries the first entries on top of each other, and settles them in order up to the first
    /// that does not pass. Of a queue that is empty at the `first` round only the target is looked
    /// at: somebody may have moved it.
    async fn round(&self, window: &mut Window, first: bool) -> Result<(), Stop> {
        let git = Git::new(RunId::generate(), &self.options.redactor, &self.cancel);
        let target = self.store.target_record(&self.lease).await?;
        let tried = u32::try_from(target.tried.len()).unwrap_or(u32::MAX);
        let size = u32::try_from(window.size()).unwrap_or(u32::MAX);
        // Some may have to wait for others that are done again.
        let limit = size.saturating_add(OVERTAKEN).saturating_add(tried);
        let entries = self.entries(limit).await?;
        let decided = target.hold.as_ref().is_some_and(|it| it.decision.is_some());
        if entries.is_empty() {
            if !first && !decided {
                return Err(Stop::Exit(QueueExit::Empty));
            }
            return Err(match self.look(&target, &git).await {
                Ok(()) => Stop::Exit(QueueExit::Empty),
                // Nothing waits for it: the next look tries again.
                Err(Stop::Unavailable(reason)) if !decided => {
                    let reason = self.options.redactor.redact(&reason).into_owned();
                    tracing::debug!(reason, branch = self.lease.target, "not processed");
                    Stop::Exit(QueueExit::Empty)
                }
                Err(stop) => stop,
            });
        }
        let lease = &self.lease;
        let mirror = self.workdir.mirror(&lease.repository, &git).await?;
        let there = mirror.remote_tip(&lease.target, &git).await?;
        self.keep_to_the_rewind(&target, there.as_ref(), &mirror, &git).await?;
        let base = entries.iter().find_map(|entry| entry.base.as_deref());
        let tip = tip(&lease.target, base, there.as_ref(), &mirror, &git).await?;
        let expected = target.tip.as_deref().and_then(|it| it.parse::<CommitId>().ok());
        if expected.as_ref() != Some(&tip) {
            if let Some(expected) = &expected
                && !leads_to(&mirror, expected, &tip).await?
            {
                // It moved since it was looked at.
                return Err(Stop::Moved);
            }
            self.store.note_tip(&self.lease, tip.as_str()).await?;
        }
        let rewound: Vec<CommitId> =
            target.rewound.iter().filter_map(|it| it.parse().ok()).collect();
        if let Some(hold) = &target.hold {
            let retest = (hold, &target);
            self.keep_to_the_hold(retest, &entries, &tip, &rewound, &mirror, &git).await?;
        }
        let redos = self.store.redos(&self.lease).await?;
        let unapproved = self.store.unapproved_merges(&self.lease).await?;
        let round = self.cancel.child_token();
        let mut running = FuturesOrdered::new();
        let began = Instant::now();
        let mut top = tip.clone();
        let mut waits_for = BTreeSet::new();
        let mut waits_for_people = BTreeSet::new();
        for entry in entries {
            if running.len() == window.size() {
                break;
            }
            if !bring(&mirror, &entry, &git).await? {
                if running.is_empty() {
                    let reason = format!("{} does not have {}", entry.branch, entry.commit);
                    self.store.merge_ejected(&self.lease, entry.id, &reason, true).await?;
                    return Ok(());
                }
                break;
            }
            if let Some(redo) = overtaken(&entry, &redos, &tip, &mirror, &git).await? {
                waits_for.insert(redo.key.as_str());
                continue;
            }
            if let Some(gone) = brings(&mirror, &entry, rewound.clone(), &tip).await? {
                if running.is_empty() {
                    let reason = format!(
                        "{} is based on {}, which was removed from {}: merging it would bring \
                         that back",
                        entry.branch,
                        gone.short(),
                        lease.target
                    );
                    self.store.redo_merge(&self.lease, entry.id, &reason).await?;
                    return Ok(());
                }
                break;
            }
            match self.clearance(&entry, &unapproved, &tip, &mirror).await? {
                Clearance::Go => {}
                Clearance::Waits(key) => {
                    waits_for_people.insert(key);
                    continue;
                }
                Clearance::Asks if running.is_empty() => return Ok(()),
                Clearance::Asks => break,
            }
            // No candidate is built on an entry that may never be merged.
            let onto = if entry.wants_approval { &tip } else { &top };
            match stage(&mirror, onto, &entry).await {
                Staged::Commit(commit) => {
                    self.store.merge_testing(&self.lease, entry.id, commit.as_str()).await?;
                    if !entry.wants_approval {
                        top = commit.clone();
                    }
                    let (gates, mirror) = (&self.gates, &mirror);
                    let cancel = round.clone();
                    running.push_back(async move {
                        let verdict = gates.test(mirror, &commit, &entry, &cancel).await;
                        (entry, commit, verdict)
                    });
                }
                // Whether it still is so is known when it is the first.
                Staged::Nothing | Staged::Conflict(_) if !running.is_empty() => break,
                Staged::Nothing => return self.already(&entry, &tip, &mirror, &git).await,
                Staged::Conflict(conflicts) => {
                    let conflict = self.describe(&entry, &conflicts, &tip, &mirror, &git).await;
                    self.keep_conflict(&mirror, &entry, &git).await;
                    self.store.merge_conflicting(&self.lease, entry.id, &conflict).await?;
                    window.failed();
                    return Ok(());
                }
                Staged::Unavailable(reason) => return Err(Stop::Unavailable(reason)),
            }
        }
        if running.is_empty() {
            let why = nothing_can_be_merged(&waits_for, &waits_for_people);
            self.store.rest_merges(&self.lease, self.options.recheck, Some(&why)).await?;
            return Err(Stop::Exit(QueueExit::Held));
        }
        let mut settled = Ok(());
        while let Some((entry, commit, verdict)) = running.next().await {
            // Those behind one that did not pass stand on a merge that will never be.
            if settled.is_ok() {
                settled = self
                    .resolve((&entry, &commit), (verdict, began), &mirror, &git)
                    .await
                    .and_then(|settled| match settled {
                        LandResult::Merged => {
                            window.succeeded();
                            Ok(())
                        }
                        LandResult::Asked => Ok(()),
                        LandResult::Ejected => {
                            window.failed();
                            Err(Stop::Moved)
                        }
                        LandResult::TargetMoved => Err(Stop::Moved),
                    });
                if settled.is_err() {
                    round.cancel();
                }
            }
            forget(&mirror, entry.id).await;
        }
        settled
    }

    /// Looks at the target of a queue that has no entries.
    async fn look(&self, target: &TargetRecord, git: &Git) -> Result<(), Stop> {
        let mirror = self.workdir.mirror(&self.lease.repository, git).await?;
        let there = mirror.remote_tip(&self.lease.target, git).await?;
        self.keep_to_the_rewind(target, there.as_ref(), &mirror, git).await?;
        if target.hold.as_ref().is_some_and(|it| it.reason == HoldReason::TargetRewound) {
            self.store.lift_hold(&self.lease, HAS_IT_AGAIN).await?;
        }
        Ok(())
    }

    /// What becomes of an entry whose gates `began` then.
    async fn resolve(
        &self,
        (entry, commit): (&MergeCandidate, &CommitId),
        (verdict, began): (GateOutcome, Instant),
        mirror: &Mirror,
        git: &Git,
    ) -> Result<LandResult, Stop> {
        let below = git_parent(mirror, commit, git).await?;
        let verdict = match verdict {
            GateOutcome::Failed { headline, evidence, gates } => {
                // What passed before may not pass any more: something outside may have changed.
                let passes_still = self.passes(&below, entry, began.elapsed()).await?;
                let passed_before =
                    passes_still || self.passes(&below, entry, Duration::MAX).await?;
                if !passes_still {
                    self.hold_when_broken(entry, &below, &gates, mirror, git).await?;
                }
                if passed_before {
                    GateOutcome::Failed { headline, evidence, gates }
                } else {
                    // The target passes: what the entry met may have been the moment.
                    self.gates.test(mirror, commit, entry, &self.cancel).await
                }
            }
            verdict @ (GateOutcome::Passed
            | GateOutcome::Unavailable(_)
            | GateOutcome::Cancelled) => verdict,
        };
        match verdict {
            GateOutcome::Passed if entry.wants_approval => {
                self.ask(entry, commit, &below, mirror, git).await?;
                Ok(LandResult::Asked)
            }
            GateOutcome::Passed => {
                let landed = self.land(entry, commit, &below, mirror, git).await?;
                Ok(if landed { LandResult::Merged } else { LandResult::TargetMoved })
            }
            GateOutcome::Failed { headline, evidence, gates: _ } => {
                let detail = format!("{headline}\n{evidence}").chars().take(DETAIL).collect();
                let record = GateRecord { sha: commit.to_string(), passed: false, detail };
                self.store.record_gates(&self.lease, &record).await?;
                let title = format!("gates failed on {}: {headline}", commit.short());
                self.store.note_gate_failure(&self.lease, entry.id, &title, &evidence).await?;
                let reason = format!("merged as {}: {headline}\n{evidence}", commit.short());
                self.store.merge_ejected(&self.lease, entry.id, &reason, true).await?;
                Ok(LandResult::Ejected)
            }
            GateOutcome::Unavailable(reason) => Err(Stop::Unavailable(reason)),
            GateOutcome::Cancelled => Err(Stop::Exit(QueueExit::Stopped)),
        }
    }

    /// Whether `commit` passed the gates of an entry within so long.
    async fn passes(
        &self,
        commit: &CommitId,
        entry: &MergeCandidate,
        within: Duration,
    ) -> Result<bool, StoreError> {
        self.store.tip_passes(&self.lease, commit.as_str(), &entry.gates, within).await
    }

    /// Pushes a merge that passed, made on `below`; whether the target was still there.
    pub(super) async fn land(
        &self,
        entry: &MergeCandidate,
        commit: &CommitId,
        below: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<bool, Stop> {
        // Before the push: what stands on the target has its record.
        self.store.record_gates(&self.lease, &passed(entry, commit)).await?;
        self.store.merge_landing(&self.lease, entry.id, commit.as_str()).await?;
        match mirror.push_from(Some(below), commit, &self.lease.target, git).await {
            Ok(()) => {
                self.brief_redos(entry, below, commit, mirror, git).await?;
                self.store.merge_landed(&self.lease, entry.id, commit.as_str()).await?;
                Ok(true)
            }
            Err(error) if error.kind == GitErrorKind::Rejected => {
                let now = mirror.remote_tip(&self.lease.target, git).await?;
                if now.as_ref() == Some(below) {
                    // Nobody moved it: it is guarded, and only a person can change that, or cancel
                    // the task.
                    self.store.merge_refused(&self.lease, entry.id).await?;
                    return Err(error.into());
                }
                tracing::info!(branch = self.lease.target, "moved: tested again");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The target has the entry's commit: it was pushed by a writer that died before it could
    /// say so, or by somebody else, such as an older writer whose push came late. In that case
    /// the tip itself has to pass.
    async fn already(
        &self,
        entry: &MergeCandidate,
        tip: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        if let Some(landing) = &entry.landing
            && leads_to(mirror, landing, tip).await?
        {
            return Ok(self.store.merge_landed(&self.lease, entry.id, landing.as_str()).await?);
        }
        self.store.merge_testing(&self.lease, entry.id, tip.as_str()).await?;
        match self.gates.test(mirror, tip, entry, &self.cancel).await {
            GateOutcome::Passed => {
                self.store.record_gates(&self.lease, &passed(entry, tip)).await?;
                Ok(self.store.merge_found(&self.lease, entry.id, tip.as_str()).await?)
            }
            GateOutcome::Failed { headline, evidence: _, gates: _ } => {
                let tried = vec![entry.id];
                Err(self.hold_broken(tip, &headline, tried, mirror, git).await?)
            }
            GateOutcome::Unavailable(reason) => Err(Stop::Unavailable(reason)),
            GateOutcome::Cancelled => Err(Stop::Exit(QueueExit::Stopped)),
        }
    }

    /// A conflict, for people and for the next attempt: what the target got meanwhile in the
    /// files in question belongs to it.
    async fn describe(
        &self,
        candidate: &MergeCandidate,
        conflicts: &[Conflict],
        tip: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> ConflictReport {
        let reason = conflict_text(candidate, conflicts);
        let files: Vec<String> = conflicts.iter().map(|it| it.path.clone()).collect();
        let changes = match mirror.merge_base(&candidate.commit, tip, git).await {
            Ok(Some(base)) => mirror.changes(&base, tip, &files, git).await,
            Ok(None) => Ok(String::new()),
            Err(error) => Err(error),
        };
        let mut brief = reason.clone();
        match changes {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                let target = &candidate.target;
                let changes = self.options.redactor.redact(&changes).into_owned();
                brief.push_str(&format!(
                    "\n\nWhat {target} got in these files since the branch began:\n{changes}"
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "could not read the target's changes since the branch was \
                    created")
            }
        }
        ConflictReport { reason, files, brief }
    }

    /// Adds what was just merged to the briefs of tasks that conflicted in these files and that
    /// nobody does again yet.
    async fn brief_redos(
        &self,
        entry: &MergeCandidate,
        below: &CommitId,
        commit: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        let redos = self.store.redos(&self.lease).await?;
        for Redo { task, key: _, place: _, files, unclaimed, queued: _ } in redos {
            if task == entry.task || !unclaimed || files.is_empty() {
                continue;
            }
            let changes = mirror.changes(below, commit, &files, git).await?;
            if changes.is_empty() {
                continue;
            }
            let text = format!(
                "Then {} got {} ({}):\n{changes}",
                self.lease.target,
                entry.title,
                commit.short()
            );
            let text = self.options.redactor.redact(&text).into_owned();
            self.store.add_to_brief(&self.lease, task, &text).await?;
        }
        Ok(())
    }

    /// Leaves the work that does not merge where a person finds it. Not finding it there is no
    /// reason to stop: the attempt's own branch has it as well.
    async fn keep_conflict(&self, mirror: &Mirror, entry: &MergeCandidate, git: &Git) {
        for branch in conflict_branches(entry.task, entry.id) {
            match mirror.push(&entry.commit, &branch, git).await {
                Ok(()) => return,
                // An earlier conflict of the task is there.
                Err(error) if error.kind == GitErrorKind::Rejected => {}
                Err(error) => {
                    tracing::warn!(%error, branch, "could not push a conflict");
                    return;
                }
            }
        }
    }
}

/// Where the work of an entry goes that does not merge: the first of these that is free.
pub fn conflict_branches(task: TaskId, entry: MergeId) -> [String; 2] {
    [format!("conflict/{task}"), format!("conflict/{task}-{entry}")]
}

/// The earlier task, done again because of a conflict, whose files an entry changes: merged before
/// it, the entry would make the two conflict again.
pub(super) async fn overtaken<'r>(
    entry: &MergeCandidate,
    redos: &'r [Redo],
    tip: &CommitId,
    mirror: &Mirror,
    git: &Git,
) -> Result<Option<&'r Redo>, GitError> {
    let own = redos.iter().find(|it| it.task == entry.task);
    let place = own.map_or(entry.id, |it| it.place);
    let earlier = |it: &&Redo| it.place < place && !it.queued && !it.files.is_empty();
    let earlier: Vec<&Redo> = redos.iter().filter(earlier).collect();
    if earlier.is_empty() {
        return Ok(None);
    }
    let Some(base) = mirror.merge_base(&entry.commit, tip, git).await? else {
        return Ok(None);
    };
    for redo in earlier {
        if mirror.differ(&base, &entry.commit, &redo.files, git).await? {
            return Ok(Some(redo));
        }
    }
    Ok(None)
}

/// Whether the error says that another holds the lease.
fn is_lost(error: &StoreError) -> bool {
    match error.kind {
        StoreErrorKind::StaleLease | StoreErrorKind::NotFound | StoreErrorKind::Conflict => true,
        StoreErrorKind::Forbidden
        | StoreErrorKind::Invalid
        | StoreErrorKind::Busy
        | StoreErrorKind::Unavailable
        | StoreErrorKind::Corrupt => false,
    }
}

/// Why none of the entries can be merged now.
fn nothing_can_be_merged(redone: &BTreeSet<&str>, undecided: &BTreeSet<String>) -> String {
    let mut why = Vec::new();
    if !redone.is_empty() {
        let keys: Vec<&str> = redone.iter().copied().collect();
        why.push(format!(
            "changes files of a task that conflicted earlier, and waits until that task has been \
             redone: {}",
            keys.join(", ")
        ));
    }
    if !undecided.is_empty() {
        let keys: Vec<&str> = undecided.iter().map(String::as_str).collect();
        why.push(format!(
            "contains work that a person has yet to approve: that of {}",
            keys.join(", ")
        ));
    }
    format!("every entry {}", why.join(", or "))
}

fn passed(entry: &MergeCandidate, commit: &CommitId) -> GateRecord {
    let detail = format!("{} gates passed\n", entry.gates.len());
    GateRecord { sha: commit.to_string(), passed: true, detail }
}

/// Where the target is, `there` when it was asked for; made from `base` when the repository does
/// not have it.
async fn tip(
    target: &str,
    base: Option<&str>,
    there: Option<&CommitId>,
    mirror: &Mirror,
    git: &Git,
) -> Result<CommitId, Stop> {
    if there.is_none() {
        let Some(base) = base else {
            return Err(Stop::Unavailable(format!("the repository has no branch {target}")));
        };
        let from = mirror.fetch(base, git).await?;
        mirror.push_from(None, &from, target, git).await?;
    }
    Ok(mirror.fetch(target, git).await?)
}

/// What the merge was made on.
async fn git_parent(mirror: &Mirror, commit: &CommitId, git: &Git) -> Result<CommitId, GitError> {
    mirror.resolve(&format!("{commit}^1"), git).await
}
