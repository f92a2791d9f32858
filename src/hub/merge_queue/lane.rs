//! One lane, from taking it until it is empty.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::MergeOptions;
use super::place::Place;
use super::store::{Entry, GateVerdict, Lane, MergeStore, MergeStoreError, Writer};
use super::trial::{
    Candidate, Judgement, Staged, TrialPlace, bring, conflict_text, forget, leads_to,
};
use super::window::Window;
use crate::adapters::git::{Git, GitError, GitErrorKind, Mirror};
use crate::model::{CommitId, RunId, chain};

/// The longest pause between two tries of a lane whose surroundings are out of order.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

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
enum Left {
    /// It has no entries any more.
    Empty,
    /// The hub stops.
    Stopped,
    /// Another writes to it by now.
    Superseded,
    /// Something outside is out of order, so it was put aside for a while.
    Paused,
}

/// What keeps a round from its end.
enum Stop {
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
            // The queue is read anew.
            MergeStoreError::Gone(_) => Self::Moved,
            MergeStoreError::Store(_) => Self::Troubled(chain(&error)),
        }
    }
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
        let reason = loop {
            if self.cancel.is_cancelled() {
                return Left::Stopped;
            }
            match self.round(writer, &mut window).await {
                Ok(()) | Err(Stop::Moved) => {}
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
    /// that does not pass.
    async fn round(&self, writer: &Writer, window: &mut Window) -> Result<(), Stop> {
        let git = Git::new(RunId::generate(), &self.options.redactor, &self.cancel);
        let entries = self.store.entries(writer, window.size()).await?;
        if entries.is_empty() {
            return Err(Stop::Left(Left::Empty));
        }
        let lane = &writer.lane;
        let mirror = self.place.mirror(&lane.repository, &git).await?;
        let base = entries.iter().find_map(|entry| entry.base.as_deref());
        let tip = tip(lane, base, &mirror, &git).await?;
        let round = self.cancel.child_token();
        let mut gates = FuturesOrdered::new();
        let mut top = tip.clone();
        for entry in entries {
            let candidate = self.candidate(&writer.lane, &entry);
            if !bring(&mirror, &candidate, &git).await? {
                if gates.is_empty() {
                    let reason = format!("{} does not have {}", entry.branch, entry.commit);
                    self.store.eject(writer, &entry, &reason).await?;
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
                Staged::Nothing => return self.already(writer, &entry, &tip, &mirror).await,
                Staged::Conflict(conflicts) => {
                    let text = conflict_text(&candidate, &conflicts);
                    self.keep_conflict(&mirror, &entry, &git).await;
                    self.store.conflict(writer, &entry, &text).await?;
                    window.failed();
                    return Ok(());
                }
                Staged::Troubled(reason) => return Err(Stop::Troubled(reason)),
            }
        }
        let mut settled = Ok(());
        while let Some((entry, candidate, commit, judged)) = gates.next().await {
            // Those behind one that did not pass stand on a merge that will never be.
            if settled.is_ok() {
                settled = self
                    .settle(writer, (&entry, &commit), judged, &mirror, &git, window)
                    .await
                    .and_then(|passed| if passed { Ok(()) } else { Err(Stop::Moved) });
                if settled.is_err() {
                    round.cancel();
                }
            }
            forget(&mirror, candidate.id).await;
        }
        settled
    }

    /// Whether the target has the entry now.
    async fn settle(
        &self,
        writer: &Writer,
        (entry, commit): (&Entry, &CommitId),
        judged: Judgement,
        mirror: &Mirror,
        git: &Git,
        window: &mut Window,
    ) -> Result<bool, Stop> {
        match judged {
            Judgement::Passed => {
                let verdict = passed(entry, commit);
                // Before the push: what stands on the target has its record.
                self.store.judged(writer, entry, &verdict).await?;
                self.store.landing(writer, entry, commit).await?;
                match mirror.push(commit, &writer.lane.target, git).await {
                    Ok(()) => {
                        self.store.merged(writer, entry, commit).await?;
                        window.succeeded();
                        Ok(true)
                    }
                    Err(error) if error.kind == GitErrorKind::Rejected => {
                        let now = mirror.remote_tip(&writer.lane.target, git).await?;
                        let first = git_parent(mirror, commit, git).await?;
                        if now.as_ref() == Some(&first) {
                            // Nobody moved it: it is guarded, and only a person can change that.
                            return Err(error.into());
                        }
                        tracing::info!(branch = writer.lane.target, "moved: tested anew");
                        Ok(false)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Judgement::Failed { headline, evidence } => {
                let verdict = GateVerdict {
                    commit: commit.clone(),
                    passed: false,
                    headline: headline.clone(),
                    evidence: evidence.clone(),
                };
                self.store.judged(writer, entry, &verdict).await?;
                let reason = format!("merged as {}: {headline}\n{evidence}", commit.short());
                self.store.eject(writer, entry, &reason).await?;
                window.failed();
                Ok(false)
            }
            Judgement::Troubled(reason) => Err(Stop::Troubled(reason)),
            Judgement::Cancelled => Err(Stop::Left(Left::Stopped)),
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
    ) -> Result<(), Stop> {
        if let Some(landing) = &entry.landing
            && leads_to(mirror, landing, tip).await
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
            Judgement::Failed { headline, evidence } => {
                let reason = format!("the target itself does not pass: {headline}\n{evidence}");
                Ok(self.store.eject(writer, entry, &reason).await?)
            }
            Judgement::Troubled(reason) => Err(Stop::Troubled(reason)),
            Judgement::Cancelled => Err(Stop::Left(Left::Stopped)),
        }
    }

    fn candidate(&self, lane: &Lane, entry: &Entry) -> Candidate {
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

    /// Leaves the work that does not merge where a person finds it. Not finding it there is no
    /// reason to stop: the attempt's own branch has it as well.
    async fn keep_conflict(&self, mirror: &Mirror, entry: &Entry, git: &Git) {
        let task = entry.task;
        for branch in [format!("conflict/{task}"), format!("conflict/{task}-{}", entry.id)] {
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

fn passed(entry: &Entry, commit: &CommitId) -> GateVerdict {
    GateVerdict {
        commit: commit.clone(),
        passed: true,
        headline: format!("{} gates passed", entry.gates.len()),
        evidence: String::new(),
    }
}

/// Where the target is; made from `base` when the repository does not have it.
async fn tip(
    lane: &Lane,
    base: Option<&str>,
    mirror: &Mirror,
    git: &Git,
) -> Result<CommitId, Stop> {
    let target = &lane.target;
    if mirror.remote_tip(target, git).await?.is_none() {
        let Some(base) = base else {
            return Err(Stop::Troubled(format!("the repository has no branch {target}")));
        };
        let from = mirror.fetch(base, git).await?;
        mirror.push(&from, target, git).await?;
    }
    Ok(mirror.fetch(target, git).await?)
}

/// What the merge was made on.
async fn git_parent(mirror: &Mirror, commit: &CommitId, git: &Git) -> Result<CommitId, GitError> {
    mirror.resolve(&format!("{commit}^1"), git).await
}
