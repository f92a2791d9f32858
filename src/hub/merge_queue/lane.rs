//! One lane, from taking it until it is empty.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, StreamExt as _};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::MergeOptions;
use super::store::{Entry, GateVerdict, Lane, MergeStore, MergeStoreError, Writer};
use super::trial::{Candidate, Judgement, Staged, TrialPlace, bring, conflict_text, forget};
use super::window::Window;
use crate::adapters::git::{Git, GitError, GitErrorKind, Mirror};
use crate::model::{CommitId, RunId, chain};

/// The longest pause between two tries of a lane whose surroundings are out of order.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Works on one lane.
pub(super) struct Worker {
    store: Arc<dyn MergeStore>,
    options: Arc<MergeOptions>,
    place: TrialPlace,
    lane: Lane,
    cancel: CancellationToken,
}

/// Why a lane is left.
enum Left {
    /// It has no entries any more.
    Empty,
    /// The hub stops.
    Stopped,
    /// Another writes to it by now.
    Superseded,
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
    pub(super) fn new(
        store: Arc<dyn MergeStore>,
        options: Arc<MergeOptions>,
        place: TrialPlace,
        lane: Lane,
        cancel: CancellationToken,
    ) -> Self {
        Self { store, options, place, lane, cancel }
    }

    pub(super) async fn run(self) {
        let taken = self.store.take(&self.lane, &self.options.holder, self.options.lease).await;
        let writer = match taken {
            Ok(Some(writer)) => writer,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, target = self.lane.target, "the lane cannot be taken");
                return;
            }
        };
        let _keeper = self.keep(&writer);
        match self.work(&writer).await {
            Left::Empty | Left::Stopped => {
                if let Err(error) = self.store.release(&writer).await {
                    tracing::warn!(%error, "a lane was not given back; its lease runs out");
                }
            }
            Left::Superseded => {
                tracing::warn!(target = self.lane.target, "another writes to the lane by now");
            }
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
                    Err(MergeStoreError::Superseded(_)) => true,
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
        let mut troubles = 0u32;
        loop {
            if self.cancel.is_cancelled() {
                return Left::Stopped;
            }
            match self.round(writer, &mut window).await {
                Ok(()) | Err(Stop::Moved) => troubles = 0,
                Err(Stop::Left(left)) => return left,
                Err(Stop::Troubled(reason)) => {
                    let reason = self.options.redactor.redact(&reason).into_owned();
                    let pause = Duration::from_secs(1)
                        .saturating_mul(2u32.saturating_pow(troubles.min(16)))
                        .min(LONGEST_PAUSE);
                    troubles += 1;
                    tracing::warn!(reason, ?pause, target = self.lane.target, "the lane waits");
                    if let Err(error) = self.store.paused(writer, &reason, pause).await {
                        tracing::warn!(%error, "a pause was not recorded");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.cancel.cancelled() => return Left::Stopped,
                    }
                }
            }
        }
    }

    /// Tries the first entries on top of each other, and settles them in order up to the first
    /// that does not pass.
    async fn round(&self, writer: &Writer, window: &mut Window) -> Result<(), Stop> {
        let git = Git::new(RunId::generate(), &self.options.redactor, &self.cancel);
        let entries = self.store.entries(writer, window.size()).await?;
        if entries.is_empty() {
            return Err(Stop::Left(Left::Empty));
        }
        let mirrors = self.options.work.join("mirrors");
        let mirror = Mirror::open(&mirrors, &self.lane.repository, &git).await?;
        let tip = self.tip(&mirror, &git).await?;
        let round = self.cancel.child_token();
        let mut gates = FuturesOrdered::new();
        let mut top = tip.clone();
        for entry in entries {
            let candidate = self.candidate(&entry);
            if !bring(&mirror, &candidate, &git).await? {
                if gates.is_empty() {
                    let reason = format!("{} does not have {}", entry.branch, entry.commit);
                    self.store.eject(writer, &entry, &reason).await?;
                    return Ok(());
                }
                break;
            }
            match self.place.stage(&mirror, &top, &candidate).await {
                Staged::Commit(commit) => {
                    self.store.testing(writer, &entry, &commit).await?;
                    top = commit.clone();
                    let (place, mirror) = (&self.place, &mirror);
                    let cancel = round.clone();
                    gates.push_back(async move {
                        let judged = place.judge(mirror, &commit, &candidate, &cancel).await;
                        (entry, candidate, commit, judged)
                    });
                }
                // Whether it still is so is known when it is the first.
                Staged::Nothing | Staged::Conflict(_) if !gates.is_empty() => break,
                Staged::Nothing => {
                    self.store.merged(writer, &entry, &tip).await?;
                    return Ok(());
                }
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
                let verdict = GateVerdict {
                    commit: commit.clone(),
                    passed: true,
                    headline: format!("{} gates passed", entry.gates.len()),
                    evidence: String::new(),
                };
                // Before the push: what stands on the target has its record.
                self.store.judged(writer, entry, &verdict).await?;
                match mirror.push(commit, &self.lane.target, git).await {
                    Ok(()) => {
                        self.store.merged(writer, entry, commit).await?;
                        window.succeeded();
                        Ok(true)
                    }
                    Err(error) if error.kind == GitErrorKind::Rejected => {
                        let now = mirror.remote_tip(&self.lane.target, git).await?;
                        let first = git_parent(mirror, commit, git).await?;
                        if now.as_ref() == Some(&first) {
                            // Nobody moved it: it is guarded, and only a person can change that.
                            return Err(error.into());
                        }
                        tracing::info!(target = self.lane.target, "moved: tested anew");
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
                    evidence,
                };
                self.store.judged(writer, entry, &verdict).await?;
                let reason = format!("merged as {}: {headline}", commit.short());
                self.store.eject(writer, entry, &reason).await?;
                window.failed();
                Ok(false)
            }
            Judgement::Troubled(reason) => Err(Stop::Troubled(reason)),
            Judgement::Cancelled => Err(Stop::Left(Left::Stopped)),
        }
    }

    /// Where the target is; made from its base when the repository does not have it.
    async fn tip(&self, mirror: &Mirror, git: &Git) -> Result<CommitId, Stop> {
        let target = &self.lane.target;
        if mirror.remote_tip(target, git).await?.is_some() {
            return Ok(mirror.fetch(target, git).await?);
        }
        let Some(base) = &self.lane.base else {
            return Err(Stop::Troubled(format!("the repository has no branch {target}")));
        };
        let from = mirror.fetch(base, git).await?;
        mirror.push(&from, target, git).await?;
        Ok(mirror.fetch(target, git).await?)
    }

    fn candidate(&self, entry: &Entry) -> Candidate {
        let Entry { id, task: _, title, branch, commit, gates } = entry;
        Candidate {
            id: id.0,
            branch: branch.clone(),
            commit: commit.clone(),
            target: self.lane.target.clone(),
            title: self.options.redactor.redact(title).into_owned(),
            gates: gates.clone(),
        }
    }

    /// Leaves the work that does not merge where a person finds it. Not finding it there is no
    /// reason to stop: the attempt's own branch has it as well.
    async fn keep_conflict(&self, mirror: &Mirror, entry: &Entry, git: &Git) {
        let name = entry.task.map_or_else(|| format!("merge-{}", entry.id), |t| t.to_string());
        for branch in [format!("conflict/{name}"), format!("conflict/{name}-{}", entry.id)] {
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

/// What the merge was made on.
async fn git_parent(mirror: &Mirror, commit: &CommitId, git: &Git) -> Result<CommitId, GitError> {
    mirror.resolve(&format!("{commit}^1"), git).await
}
