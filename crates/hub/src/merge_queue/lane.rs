//! One lane, from taking it until it is empty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::MergeOptions;
use super::place::Place;
use super::store::{
    Entry, FoundConflict, GateVerdict, Lane, MergeStore, MergeStoreError, Redo, Target, Writer,
};
use super::trial::{
    Candidate, Judgement, Staged, TrialPlace, bring, brings_back, conflict_text, forget, leads_to,
};
use super::window::Window;
use greenloop_model::task::{HoldReason, MergeId, TaskId};
use greenloop_model::{CommitId, RunId, chain};
use greenloop_workspace::git::{Git, GitError, GitErrorKind, Mirror};
use greenloop_workspace::{Conflict, WorkspaceError};

/// The longest pause between two tries of a lane whose surroundings are out of order.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a hold because of a rewind is over.
pub(super) const HAS_IT_AGAIN: &str = "the target has again what was merged";

/// Entries that may wait at the head of a lane while later ones go on.
const OVERTAKEN: usize = 50;

/// Works on one lane.
pub(super) struct Worker {
    pub(super) store: Arc<dyn MergeStore>,
    pub(super) options: Arc<MergeOptions>,
    pub(super) place: Arc<Place>,
    pub(super) trials: TrialPlace,
    /// The lane, and the right to write to it.
    pub(super) writer: Writer,
    /// How often in a row the lane was in trouble before.
    pub(super) troubles: u32,
    pub(super) cancel: CancellationToken,
}

/// Why a lane is left.
pub(super) enum Left {
    /// It has no entries any more.
    Empty,
    /// The hub stops.
    Stopped,
    /// Another writes to it by now.
    Superseded,
    /// Something outside is out of order, so it was put aside for a while.
    Paused,
    /// It is on hold, and was given back.
    Held,
}

/// What keeps a round from its end.
pub(super) enum Stop {
    Left(Left),
    /// Something outside is out of order.
    Troubled(String),
    /// The target moved: what was tested is no longer what it would become.
    Moved,
}

impl From<MergeStoreError> for Stop {
    fn from(error: MergeStoreError) -> Self {
        match error {
            MergeStoreError::Superseded(_) => Self::Left(Left::Superseded),
            // The queue is read again.
            MergeStoreError::Gone(_) => Self::Moved,
            MergeStoreError::Store(_) => Self::Troubled(chain(&error)),
        }
    }
}

impl From<WorkspaceError> for Stop {
    fn from(error: WorkspaceError) -> Self {
        Self::Troubled(chain(&error))
    }
}

/// What became of an entry whose gates are through.
enum Settled {
    Merged,
    Ejected,
    /// The push was refused: it is tested again.
    TargetMoved,
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        match error.kind {
            GitErrorKind::Cancelled => Self::Left(Left::Stopped),
            GitErrorKind::NoGit
            | GitErrorKind::Rejected
            | GitErrorKind::Remote
            | GitErrorKind::Local => Self::Troubled(chain(&error)),
        }
    }
}

impl Worker {
    /// The lane, and how often in a row it was in trouble by now.
    pub(super) async fn run(self) -> (Lane, u32) {
        let (writer, lane) = (self.writer.clone(), self.writer.lane.clone());
        let _keeper = self.keep(&writer);
        match self.work(&writer).await {
            Left::Empty | Left::Stopped => {
                if let Err(error) = self.store.release(&writer).await {
                    tracing::warn!(%error, "a lane was not given back; its lease runs out");
                }
                (lane, 0)
            }
            Left::Superseded => {
                tracing::warn!(branch = lane.target, "another writes to the lane by now");
                (lane, 0)
            }
            Left::Held => (lane, 0),
            Left::Paused => (lane, self.troubles + 1),
        }
    }

    /// Keeps the lease beside the work; when it is lost, the work is cancelled.
    fn keep(&self, writer: &Writer) -> DropGuard {
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let (store, writer, lasts) = (Arc::clone(&self.store), writer.clone(), self.options.lease);
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            let mut kept = tokio::time::Instant::now();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(lasts / 3) => {}
                    () = ended.cancelled() => return,
                }
                let asked = tokio::time::Instant::now();
                let lost = match store.keep(&writer, lasts).await {
                    Ok(()) => {
                        kept = asked;
                        false
                    }
                    Err(MergeStoreError::Superseded(_) | MergeStoreError::Gone(_)) => true,
                    Err(error @ MergeStoreError::Store(_)) => {
                        tracing::warn!(%error, "the lease of a lane was not kept");
                        kept.elapsed() >= lasts
                    }
                };
                if lost {
                    return cancel.cancel();
                }
            }
        });
        guard
    }

    async fn work(&self, writer: &Writer) -> Left {
        let mut window = Window::new(self.options.window);
        let mut first = true;
        let reason = loop {
            if self.cancel.is_cancelled() {
                return Left::Stopped;
            }
            match self.round(writer, &mut window, first).await {
                Ok(()) | Err(Stop::Moved) => first = false,
                Err(Stop::Left(left)) => return left,
                Err(Stop::Troubled(reason)) => break reason,
            }
        };
        let reason = self.options.redactor.redact(&reason).into_owned();
        let pause = Duration::from_secs(1)
            .saturating_mul(2u32.saturating_pow(self.troubles.min(16)))
            .min(LONGEST_PAUSE);
        tracing::warn!(reason, ?pause, branch = writer.lane.target, "the lane waits");
        if let Err(error) = self.store.pause(writer, &reason, pause).await {
            tracing::warn!(%error, "a pause was not recorded; the lease runs out");
        }
        Left::Paused
    }

    /// Tries the first entries on top of each other, and settles them in order up to the first
    /// that does not pass. Of a lane that is empty at the `first` round only the target is looked
    /// at: somebody may have moved it.
    async fn round(&self, writer: &Writer, window: &mut Window, first: bool) -> Result<(), Stop> {
        let git = Git::new(RunId::generate(), &self.options.redactor, &self.cancel);
        let target = self.store.target(writer).await?;
        let tried = target.hold.as_ref().map_or(0, |it| it.tried.len());
        // Some may have to wait for others that are done again.
        let entries = self.store.entries(writer, window.size() + OVERTAKEN + tried).await?;
        let decided = target.hold.as_ref().is_some_and(|it| it.decision.is_some());
        if entries.is_empty() {
            if !first && !decided {
                return Err(Stop::Left(Left::Empty));
            }
            return Err(match self.look(writer, &target, &git).await {
                Ok(()) => Stop::Left(Left::Empty),
                // Nothing waits for it: the next look tries again.
                Err(Stop::Troubled(reason)) if !decided => {
                    let reason = self.options.redactor.redact(&reason).into_owned();
                    tracing::debug!(reason, branch = writer.lane.target, "not looked at");
                    Stop::Left(Left::Empty)
                }
                Err(stop) => stop,
            });
        }
        let lane = &writer.lane;
        let mirror = self.place.mirror(&lane.repository, &git).await?;
        let there = mirror.remote_tip(&lane.target, &git).await?;
        self.keep_to_the_rewind(writer, &target, there.as_ref(), &mirror, &git).await?;
        let base = entries.iter().find_map(|entry| entry.base.as_deref());
        let tip = tip(lane, base, there.as_ref(), &mirror, &git).await?;
        if target.expected.as_ref() != Some(&tip) {
            if let Some(expected) = &target.expected
                && !leads_to(&mirror, expected, &tip).await?
            {
                // It moved since it was looked at.
                return Err(Stop::Moved);
            }
            self.store.note_tip(writer, &tip).await?;
        }
        if let Some(hold) = &target.hold {
            let rewound = &target.rewound;
            self.keep_to_the_hold(writer, hold, &entries, &tip, rewound, &mirror, &git).await?;
        }
        let redos = self.store.redos(writer).await?;
        let round = self.cancel.child_token();
        let mut gates = FuturesOrdered::new();
        let began = Instant::now();
        let mut top = tip.clone();
        let mut waits_for = BTreeSet::new();
        for entry in entries {
            if gates.len() == window.size() {
                break;
            }
            let candidate = self.candidate(&writer.lane, &entry);
            if !bring(&mirror, &candidate, &git).await? {
                if gates.is_empty() {
                    let reason = format!("{} does not have {}", entry.branch, entry.commit);
                    self.store.eject(writer, &entry, &reason).await?;
                    return Ok(());
                }
                break;
            }
            if let Some(redo) = overtaken(&entry, &candidate, &redos, &tip, &mirror, &git).await? {
                waits_for.insert(redo.key.as_str());
                continue;
            }
            if let Some(gone) = brings_back(&mirror, &candidate, &target.rewound, &tip).await? {
                if gates.is_empty() {
                    let reason = format!(
                        "{} stands on {}, which was taken back from {}: merging it would bring \
                         that back",
                        entry.branch,
                        gone.short(),
                        lane.target
                    );
                    self.store.redo(writer, &entry, &reason).await?;
                    return Ok(());
                }
                break;
            }
            match self.trials.stage(&mirror, &top, &candidate).await {
                Staged::Commit(commit) => {
                    self.store.testing(writer, &entry, &commit).await?;
                    top = commit.clone();
                    let (trials, mirror) = (&self.trials, &mirror);
                    let cancel = round.clone();
                    gates.push_back(async move {
                        let judged = trials.judge(mirror, &commit, &candidate, &cancel).await;
                        (entry, candidate, commit, judged)
                    });
                }
                // Whether it still is so is known when it is the first.
                Staged::Nothing | Staged::Conflict(_) if !gates.is_empty() => break,
                Staged::Nothing => return self.already(writer, &entry, &tip, &mirror, &git).await,
                Staged::Conflict(conflicts) => {
                    let conflict = self.describe(&candidate, &conflicts, &tip, &mirror, &git).await;
                    self.keep_conflict(&mirror, &entry, &git).await;
                    self.store.conflict(writer, &entry, &conflict).await?;
                    window.failed();
                    return Ok(());
                }
                Staged::Troubled(reason) => return Err(Stop::Troubled(reason)),
            }
        }
        if gates.is_empty() {
            let keys: Vec<&str> = waits_for.into_iter().collect();
            let why = format!(
                "every entry changes files of a task that conflicted before it, and waits until \
                 that one is done again: {}",
                keys.join(", ")
            );
            self.store.rest(writer, self.options.recheck, Some(&why)).await?;
            return Err(Stop::Left(Left::Held));
        }
        let mut settled = Ok(());
        while let Some((entry, candidate, commit, judged)) = gates.next().await {
            // Those behind one that did not pass stand on a merge that will never be.
            if settled.is_ok() {
                settled = self
                    .settle(writer, (&entry, &candidate, &commit), (judged, began), &mirror, &git)
                    .await
                    .and_then(|settled| match settled {
                        Settled::Merged => {
                            window.succeeded();
                            Ok(())
                        }
                        Settled::Ejected => {
                            window.failed();
                            Err(Stop::Moved)
                        }
                        Settled::TargetMoved => Err(Stop::Moved),
                    });
                if settled.is_err() {
                    round.cancel();
                }
            }
            forget(&mirror, candidate.id).await;
        }
        settled
    }

    /// Looks at the target of a lane that has no entries.
    async fn look(&self, writer: &Writer, target: &Target, git: &Git) -> Result<(), Stop> {
        let lane = &writer.lane;
        let mirror = self.place.mirror(&lane.repository, git).await?;
        let there = mirror.remote_tip(&lane.target, git).await?;
        self.keep_to_the_rewind(writer, target, there.as_ref(), &mirror, git).await?;
        if target.hold.as_ref().is_some_and(|it| it.reason == HoldReason::TargetRewound) {
            self.store.lift(writer, HAS_IT_AGAIN).await?;
        }
        Ok(())
    }

    /// What becomes of an entry whose gates `began` then.
    async fn settle(
        &self,
        writer: &Writer,
        (entry, candidate, commit): (&Entry, &Candidate, &CommitId),
        (judged, began): (Judgement, Instant),
        mirror: &Mirror,
        git: &Git,
    ) -> Result<Settled, Stop> {
        let below = git_parent(mirror, commit, git).await?;
        let judged = match judged {
            Judgement::Failed { headline, evidence, gates } => {
                // What passed before may not pass any more: something outside may have changed.
                let passes_still =
                    self.store.passes(writer, &below, &entry.gates, began.elapsed()).await?;
                let passed_before = passes_still
                    || self.store.passes(writer, &below, &entry.gates, Duration::MAX).await?;
                if !passes_still {
                    self.hold_when_broken(writer, entry, &below, &gates, mirror, git).await?;
                }
                if passed_before {
                    Judgement::Failed { headline, evidence, gates }
                } else {
                    // The target passes: what the entry met may have been the moment.
                    self.trials.judge(mirror, commit, candidate, &self.cancel).await
                }
            }
            judged @ (Judgement::Passed | Judgement::Troubled(_) | Judgement::Cancelled) => judged,
        };
        match judged {
            Judgement::Passed => {
                let landed = self.land(writer, entry, commit, &below, mirror, git).await?;
                Ok(if landed { Settled::Merged } else { Settled::TargetMoved })
            }
            Judgement::Failed { headline, evidence, gates: _ } => {
                let verdict = GateVerdict {
                    commit: commit.clone(),
                    passed: false,
                    headline: headline.clone(),
                    evidence: evidence.clone(),
                };
                self.store.judged(writer, entry, &verdict).await?;
                let reason = format!("merged as {}: {headline}\n{evidence}", commit.short());
                self.store.eject(writer, entry, &reason).await?;
                Ok(Settled::Ejected)
            }
            Judgement::Troubled(reason) => Err(Stop::Troubled(reason)),
            Judgement::Cancelled => Err(Stop::Left(Left::Stopped)),
        }
    }

    /// Pushes a merge that passed, made on `below`; whether the target was still there.
    pub(super) async fn land(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
        below: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<bool, Stop> {
        // Before the push: what stands on the target has its record.
        self.store.judged(writer, entry, &passed(entry, commit)).await?;
        self.store.landing(writer, entry, commit).await?;
        match mirror.push_from(Some(below), commit, &writer.lane.target, git).await {
            Ok(()) => {
                self.tell_redos(writer, entry, below, commit, mirror, git).await?;
                self.store.merged(writer, entry, commit).await?;
                Ok(true)
            }
            Err(error) if error.kind == GitErrorKind::Rejected => {
                let now = mirror.remote_tip(&writer.lane.target, git).await?;
                if now.as_ref() == Some(below) {
                    // Nobody moved it: it is guarded, and only a person can change that, or cancel
                    // the task.
                    self.store.refused(writer, entry).await?;
                    return Err(error.into());
                }
                tracing::info!(branch = writer.lane.target, "moved: tested again");
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
        writer: &Writer,
        entry: &Entry,
        tip: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        if let Some(landing) = &entry.landing
            && leads_to(mirror, landing, tip).await?
        {
            return Ok(self.store.merged(writer, entry, landing).await?);
        }
        self.store.testing(writer, entry, tip).await?;
        let candidate = self.candidate(&writer.lane, entry);
        match self.trials.judge(mirror, tip, &candidate, &self.cancel).await {
            Judgement::Passed => {
                self.store.judged(writer, entry, &passed(entry, tip)).await?;
                self.store.landing(writer, entry, tip).await?;
                Ok(self.store.merged(writer, entry, tip).await?)
            }
            Judgement::Failed { headline, evidence: _, gates: _ } => {
                let tried = vec![entry.id];
                Err(self.hold_broken(writer, tip, &headline, tried, mirror, git).await?)
            }
            Judgement::Troubled(reason) => Err(Stop::Troubled(reason)),
            Judgement::Cancelled => Err(Stop::Left(Left::Stopped)),
        }
    }

    pub(super) fn candidate(&self, lane: &Lane, entry: &Entry) -> Candidate {
        let Entry { id, task: _, title, branch, commit, gates, base: _, landing: _ } = entry;
        Candidate {
            id: id.0,
            branch: branch.clone(),
            commit: commit.clone(),
            target: lane.target.clone(),
            title: self.options.redactor.redact(title).into_owned(),
            gates: gates.clone(),
        }
    }

    /// A conflict, for people and for the next attempt: what the target got meanwhile in the
    /// files in question belongs to it.
    async fn describe(
        &self,
        candidate: &Candidate,
        conflicts: &[Conflict],
        tip: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> FoundConflict {
        let text = conflict_text(candidate, conflicts);
        let files: Vec<String> = conflicts.iter().map(|it| it.path.clone()).collect();
        let changes = match mirror.merge_base(&candidate.commit, tip, git).await {
            Ok(Some(base)) => mirror.changes(&base, tip, &files, git).await,
            Ok(None) => Ok(String::new()),
            Err(error) => Err(error),
        };
        let mut brief = text.clone();
        match changes {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                let target = &candidate.target;
                let changes = self.options.redactor.redact(&changes).into_owned();
                brief.push_str(&format!(
                    "\n\nWhat {target} got in these files since the branch began:\n{changes}"
                ));
            }
            Err(error) => tracing::warn!(%error, "what the target got meanwhile is not known"),
        }
        FoundConflict { text, files, brief }
    }

    /// Tells tasks that conflicted and were not begun again yet what was just merged in their
    /// files.
    async fn tell_redos(
        &self,
        writer: &Writer,
        entry: &Entry,
        below: &CommitId,
        commit: &CommitId,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        let redos = self.store.redos(writer).await?;
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
                writer.lane.target,
                entry.title,
                commit.short()
            );
            let text = self.options.redactor.redact(&text).into_owned();
            self.store.tell_redo(writer, task, &text).await?;
        }
        Ok(())
    }

    /// Leaves the work that does not merge where a person finds it. Not finding it there is no
    /// reason to stop: the attempt's own branch has it as well.
    async fn keep_conflict(&self, mirror: &Mirror, entry: &Entry, git: &Git) {
        for branch in conflict_branches(entry.task, entry.id) {
            match mirror.push(&entry.commit, &branch, git).await {
                Ok(()) => return,
                // An earlier conflict of the task is there.
                Err(error) if error.kind == GitErrorKind::Rejected => {}
                Err(error) => {
                    tracing::warn!(%error, branch, "a conflict was not pushed");
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
    entry: &Entry,
    candidate: &Candidate,
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
    let Some(base) = mirror.merge_base(&candidate.commit, tip, git).await? else {
        return Ok(None);
    };
    for redo in earlier {
        if mirror.differ(&base, &candidate.commit, &redo.files, git).await? {
            return Ok(Some(redo));
        }
    }
    Ok(None)
}

fn passed(entry: &Entry, commit: &CommitId) -> GateVerdict {
    GateVerdict {
        commit: commit.clone(),
        passed: true,
        headline: format!("{} gates passed", entry.gates.len()),
        evidence: String::new(),
    }
}

/// Where the target is, `there` when it was asked for; made from `base` when the repository does not have it.
async fn tip(
    lane: &Lane,
    base: Option<&str>,
    there: Option<&CommitId>,
    mirror: &Mirror,
    git: &Git,
) -> Result<CommitId, Stop> {
    let target = &lane.target;
    if there.is_none() {
        let Some(base) = base else {
            return Err(Stop::Troubled(format!("the repository has no branch {target}")));
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
