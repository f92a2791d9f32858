//! What a target remembers: the versioned record in `state.json`, and its transitions.
//!
//! Pure but for [`TargetState::load`] and [`TargetState::save`]. Only the detached process writes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use greenloop_model::{CommitId, ImageRef, Release, ReleaseId, ReleaseState, RunId};

/// The form of the record.
const VERSION: u32 = 1;

/// What one kind of target remembers of a release beyond what all do.
pub(crate) trait ReleaseDetail {
    /// The image it runs.
    fn image(&self) -> Option<ImageRef> {
        None
    }

    /// How many releases are kept.
    fn keep(&self) -> u32;

    /// `deploy.rollback: forbidden` in the release's own configuration.
    fn forbids_rollback(&self) -> bool {
        false
    }

    /// The later release that forbids going back to this one.
    fn closed_by(&self) -> Option<ReleaseId> {
        None
    }

    /// `by` serves, and forbids going back to this one. The first one stays on record.
    fn close(&mut self, _by: ReleaseId) {}
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReleaseRecord<D> {
    pub(crate) id: ReleaseId,
    pub(crate) commit: CommitId,
    pub(crate) run: RunId,
    pub(crate) state: ReleaseState,
    pub(crate) created_at: Timestamp,
    pub(crate) verified_at: Option<Timestamp>,
    /// Why it failed.
    pub(crate) failure: Option<String>,
    #[serde(flatten)]
    pub(crate) detail: D,
}

impl<D: ReleaseDetail> ReleaseRecord<D> {
    /// A candidate made now.
    pub(crate) fn candidate(
        id: ReleaseId,
        commit: CommitId,
        run: RunId,
        detail: D,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            commit,
            run,
            state: ReleaseState::Candidate,
            created_at: now,
            verified_at: None,
            failure: None,
            detail,
        }
    }

    /// What the rest of the program calls it.
    pub(crate) fn release(&self) -> Release {
        Release {
            id: self.id,
            commit: self.commit.clone(),
            run: self.run,
            image: self.detail.image(),
            state: self.state,
            created_at: self.created_at,
            verified_at: self.verified_at,
        }
    }

    /// Whether it may serve again.
    pub(crate) fn is_restorable(&self) -> bool {
        self.verified_at.is_some() && self.state != ReleaseState::Failed
    }
}

/// All a target remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetState<D> {
    version: u32,
    /// Where the front listens: `127.0.0.1:8080`.
    pub(crate) front: Option<String>,
    /// The release that serves.
    active: Option<ReleaseId>,
    /// The last verified release, kept warm while the active one is not yet verified.
    fallback: Option<ReleaseId>,
    /// Oldest first.
    releases: Vec<ReleaseRecord<D>>,
    /// Number of the process that writes this.
    pub(crate) supervisor: Option<u32>,
    /// Whether the run that put the active release live is gone and has not verified it.
    #[serde(default)]
    pub(crate) abandoned: bool,
    /// When what served was stopped on request; `None` once anything serves again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<Timestamp>,
}

impl<D> Default for TargetState<D> {
    fn default() -> Self {
        Self {
            version: VERSION,
            front: None,
            active: None,
            fallback: None,
            releases: Vec::new(),
            supervisor: None,
            abandoned: false,
            stopped: None,
        }
    }
}

/// A state that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the target's state {} {problem}", path.display())]
pub struct StateError {
    path: PathBuf,
    problem: StateProblem,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum StateProblem {
    #[error("cannot be read")]
    Unreadable,
    #[error("cannot be written")]
    Unwritable,
    #[error("is not a state file of Greenloop")]
    Malformed,
    #[error("has format version {found}; this greenloop supports version {VERSION}")]
    Version { found: u32 },
}

/// Only the part that says how to read the rest.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl<D: ReleaseDetail + Serialize + DeserializeOwned> TargetState<D> {
    /// Where it stands in a target's folder.
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("state.json")
    }

    /// The state in `folder`; `None` when nothing was ever deployed there.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, StateError> {
        let path = Self::path(folder);
        let error = |problem, source| StateError { path: path.clone(), problem, source };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error(StateProblem::Unreadable, Some(e.into()))),
        };
        let Versioned { version } = serde_json::from_slice(&bytes)
            .map_err(|e| error(StateProblem::Malformed, Some(e.into())))?;
        if version != VERSION {
            return Err(error(StateProblem::Version { found: version }, None));
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| error(StateProblem::Malformed, Some(e.into())))
    }

    /// Replaces the state in `folder`, all or nothing, on the disk when it returns.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), StateError> {
        let path = Self::path(folder);
        let write = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            std::fs::File::open(folder)?.sync_all()?;
            Ok(())
        };
        write().map_err(|e| StateError {
            path: path.clone(),
            problem: StateProblem::Unwritable,
            source: Some(e),
        })
    }

    pub(crate) fn active(&self) -> Option<ReleaseId> {
        self.active
    }

    pub(crate) fn fallback(&self) -> Option<ReleaseId> {
        self.fallback
    }

    pub(crate) fn releases(&self) -> &[ReleaseRecord<D>] {
        &self.releases
    }

    pub(crate) fn get(&self, id: ReleaseId) -> Option<&ReleaseRecord<D>> {
        self.releases.iter().find(|release| release.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ReleaseId) -> Option<&mut ReleaseRecord<D>> {
        self.releases.iter_mut().find(|release| release.id == id)
    }

    /// Whether its process is to be kept running.
    pub(crate) fn is_wanted(&self, id: ReleaseId) -> bool {
        self.active == Some(id) || self.fallback == Some(id)
    }

    /// A new candidate; replaces nothing.
    pub(crate) fn add(&mut self, candidate: ReleaseRecord<D>) {
        self.releases.push(candidate);
    }

    /// Forgets a candidate that was given up; anything else stays.
    pub(crate) fn forget_candidate(&mut self, id: ReleaseId) {
        self.releases.retain(|r| r.id != id || r.state != ReleaseState::Candidate);
    }

    /// `id` serves from now on. A verified release that served until now becomes the fallback
    /// while `id` is not verified itself; one that was not gives way for good. A release that
    /// forbids its rollback closes the way to all that are older: what it has done to the world
    /// outside, they cannot live with.
    pub(crate) fn switch(&mut self, id: ReleaseId) {
        let verified = self.get(id).is_some_and(ReleaseRecord::is_restorable);
        let last = self.active.filter(|last| *last != id);
        if let Some(last) = last.and_then(|last| self.get_mut(last)) {
            match last.state {
                ReleaseState::Verified if !verified => {
                    let last = last.id;
                    self.fallback = Some(last);
                }
                ReleaseState::Verified | ReleaseState::Live | ReleaseState::Candidate => {
                    last.state = ReleaseState::Superseded;
                }
                ReleaseState::Superseded | ReleaseState::Failed => {}
            }
        }
        if verified {
            self.fallback = None;
        }
        self.active = Some(id);
        self.stopped = None;
        let Some(release) = self.get_mut(id) else { return };
        release.state = if verified { ReleaseState::Verified } else { ReleaseState::Live };
        if release.detail.forbids_rollback() {
            for older in self.releases.iter_mut().filter(|older| older.id < id) {
                older.detail.close(id);
            }
        }
    }

    /// The release that forbids going back from `from` to `to`, or to nothing.
    pub(crate) fn closed_by(&self, from: ReleaseId, to: Option<ReleaseId>) -> Option<ReleaseId> {
        match to {
            Some(to) => self.get(to)?.detail.closed_by(),
            None => self.get(from)?.detail.forbids_rollback().then_some(from),
        }
    }

    /// The release that serves again when the active one fails.
    pub(crate) fn restorable(&self) -> Option<ReleaseId> {
        self.fallback.or_else(|| self.before_active())
    }

    /// The active release passed its smoke tests. The one that stood by, when there is one.
    pub(crate) fn verify(&mut self, id: ReleaseId, now: Timestamp) -> Option<ReleaseId> {
        let stood_by = self.fallback.take();
        if let Some(last) = stood_by.and_then(|last| self.get_mut(last)) {
            last.state = ReleaseState::Superseded;
        }
        if let Some(release) = self.get_mut(id) {
            release.state = ReleaseState::Verified;
            release.verified_at.get_or_insert(now);
        }
        stood_by
    }

    /// `id` failed; never serves again unless it is serving now.
    pub(crate) fn fail(&mut self, id: ReleaseId, why: &str) {
        if let Some(release) = self.get_mut(id) {
            release.state = ReleaseState::Failed;
            release.failure.get_or_insert_with(|| why.to_owned());
        }
    }

    /// That what served was stopped on request, for a person.
    pub(crate) fn stopped_note(&self) -> Option<String> {
        let at = self.stopped.filter(|_| self.active.is_none())?;
        Some(format!("stopped by `greenloop stop` on {}", at.strftime("%Y-%m-%d %H:%M:%SZ")))
    }

    /// Nothing serves any more, because somebody wants it so.
    pub(crate) fn stop_on_request(&mut self, now: Timestamp) {
        if self.active.is_some() {
            self.stopped = Some(now);
        }
        self.stop_serving();
    }

    /// Nothing serves any more.
    pub(crate) fn stop_serving(&mut self) {
        for id in [self.active.take(), self.fallback.take()].into_iter().flatten() {
            if let Some(release) = self.get_mut(id) {
                match release.state {
                    ReleaseState::Verified | ReleaseState::Live | ReleaseState::Candidate => {
                        release.state = ReleaseState::Superseded;
                    }
                    ReleaseState::Superseded | ReleaseState::Failed => {}
                }
            }
        }
    }

    /// The release a rollback without a name goes to: the newest restorable one that is older
    /// than what serves.
    pub(crate) fn before_active(&self) -> Option<ReleaseId> {
        self.releases
            .iter()
            .filter(|r| r.is_restorable() && self.active.is_none_or(|active| r.id < active))
            .map(|r| r.id)
            .max()
    }

    /// What becomes of an active release whose run is gone, for a person.
    pub(crate) fn expected_change(&self) -> Option<String> {
        let active = self.get(self.active?).filter(|_| self.abandoned)?;
        let next = match self.restorable() {
            Some(to) => format!("release {} will be restored", to.short()),
            None => "it will be stopped, because no release was ever verified".to_owned(),
        };
        let run = active.run.short();
        Some(format!("run {run} ended before this release was verified: {next}"))
    }

    /// Forgets what is beyond the number of restorable, and of other, releases that `latest` says
    /// are kept; never what serves or stands by. The forgotten ones.
    pub(crate) fn prune(&mut self, latest: ReleaseId) -> Vec<ReleaseId> {
        let keep = self.get(latest).map_or(0, |latest| latest.detail.keep());
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).max(2);
        let mut ids: Vec<(ReleaseId, bool)> =
            self.releases.iter().map(|r| (r.id, r.is_restorable())).collect();
        ids.sort_by(|a, b| b.cmp(a));
        let mut gone = Vec::new();
        for restorable in [true, false] {
            let of_kind = ids.iter().filter(|(_, kind)| *kind == restorable);
            gone.extend(of_kind.skip(keep).map(|(id, _)| *id).filter(|id| !self.is_wanted(*id)));
        }
        self.releases.retain(|r| !gone.contains(&r.id));
        gone
    }
}

#[cfg(all(test, target_os = "linux"))]
#[path = "../../../../tests/fixtures/failing_sync.rs"]
mod failing_sync;

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing beyond what all remember.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Plain {
        kept: u32,
    }

    impl ReleaseDetail for Plain {
        fn keep(&self) -> u32 {
            self.kept
        }
    }

    type State = TargetState<Plain>;

    fn add(state: &mut State) -> ReleaseId {
        let id = ReleaseId::generate();
        let commit = "a".repeat(40).parse().unwrap();
        let (run, now) = (RunId::generate(), Timestamp::UNIX_EPOCH);
        state.add(ReleaseRecord::candidate(id, commit, run, Plain { kept: 2 }, now));
        id
    }

    fn serve(state: &mut State, verified: bool) -> ReleaseId {
        let id = add(state);
        state.switch(id);
        if verified {
            state.verify(id, Timestamp::UNIX_EPOCH);
        }
        id
    }

    fn shown(state: &State, id: ReleaseId) -> &'static str {
        state.get(id).unwrap().state.name()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_state_that_cannot_be_synced_does_not_replace_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::default();
        let first = serve(&mut state, true);
        state.save(folder.path()).unwrap();
        let second = serve(&mut state, true);
        let error =
            super::failing_sync::with_failing_sync(|| state.save(folder.path())).unwrap_err();
        assert!(matches!(error.problem, StateProblem::Unwritable), "{error:?}");
        let kept = State::load(folder.path()).unwrap().unwrap();
        assert_eq!((kept.active(), kept.get(second).is_some()), (Some(first), false));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file");
    }

    #[test]
    fn a_verified_release_stands_by_until_the_next_is_verified() {
        let mut state = State::default();
        let first = serve(&mut state, true);
        let second = serve(&mut state, false);
        assert_eq!((state.active(), state.fallback()), (Some(second), Some(first)));
        assert_eq!((shown(&state, first), shown(&state, second)), ("verified", "live"));
        assert_eq!(state.verify(second, Timestamp::UNIX_EPOCH), Some(first));
        assert_eq!((state.active(), state.fallback()), (Some(second), None));
        assert_eq!((shown(&state, first), shown(&state, second)), ("superseded", "verified"));
    }

    #[test]
    fn an_unverified_release_never_becomes_the_fallback() {
        let mut state = State::default();
        let first = serve(&mut state, true);
        let second = serve(&mut state, false);
        let third = serve(&mut state, false);
        assert_eq!((state.active(), state.fallback()), (Some(third), Some(first)));
        assert_eq!(shown(&state, second), "superseded");
        assert!(!state.get(second).unwrap().is_restorable());
    }

    #[test]
    fn a_restore_goes_back_to_the_fallback() {
        let mut state = State::default();
        let first = serve(&mut state, true);
        let second = serve(&mut state, false);
        state.fail(second, "smoke");
        state.switch(first);
        assert_eq!((state.active(), state.fallback()), (Some(first), None));
        assert_eq!((shown(&state, first), shown(&state, second)), ("verified", "failed"));
    }

    #[test]
    fn a_rollback_goes_to_the_newest_verified_one_before() {
        let mut state = State::default();
        assert_eq!(state.before_active(), None);
        let first = serve(&mut state, true);
        assert_eq!(state.before_active(), None);
        let second = serve(&mut state, true);
        let bad = serve(&mut state, false);
        state.fail(bad, "smoke");
        state.switch(second);
        let third = serve(&mut state, true);
        assert_eq!(state.before_active(), Some(second));
        state.switch(second);
        assert_eq!((state.active(), state.before_active()), (Some(second), Some(first)));
        assert_eq!(shown(&state, third), "superseded");
    }

    #[test]
    fn pruning_spares_what_serves_or_stands_by() {
        let mut state = State::default();
        let all: Vec<_> = (0..4).map(|_| serve(&mut state, true)).collect();
        state.switch(all[0]);
        let live = serve(&mut state, false);
        assert_eq!(state.prune(live), vec![all[1]]);
        assert!(state.get(all[0]).is_some() && state.get(live).is_some());
    }

    #[test]
    fn the_record_survives_the_disk_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(State::load(folder.path()).unwrap().is_none());
        let mut state = State::default();
        serve(&mut state, true);
        add(&mut state);
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), Some(state));
        for (text, expect) in [
            ("{\"version\": 9}", "format version 9"),
            ("{", "not a state file"),
            ("{\"version\":1}", "not a state file"),
        ] {
            std::fs::write(State::path(folder.path()), text).unwrap();
            let error = State::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
