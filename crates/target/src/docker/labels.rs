//! What a container says of itself: its name and its labels, and the record that can be made
//! from them when a target has lost its own.
//!
//! Pure. Labels cannot change once a container is made; how far a release has come therefore
//! stands at the end of its name, which can: `greenloop-staging-<release>-verified`.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::record::{ContainerDetail, ContainerRecord, Launch, ReleaseRecord, State};
use greenloop_model::{EnvironmentName, ImageRef, ReleaseId, ReleaseState};

/// Which target of which machine it belongs to.
pub(super) const TARGET: &str = "dev.greenloop.target";
const ENVIRONMENT: &str = "dev.greenloop.environment";
pub(super) const RELEASE: &str = "dev.greenloop.release";
const COMMIT: &str = "dev.greenloop.commit";
const RUN: &str = "dev.greenloop.run";
const IMAGE: &str = "dev.greenloop.image";
const CREATED: &str = "dev.greenloop.created";
const ROLLBACK: &str = "dev.greenloop.rollback";
/// The port of the engine's machine.
const PORT: &str = "dev.greenloop.port";
/// How it is started, as JSON.
const LAUNCH: &str = "dev.greenloop.launch";

/// Tells the containers of the target in `folder` on `machine` from everybody else's.
pub(super) fn mark(machine: &[u8], folder: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;

    let mut digest = Sha256::new();
    digest.update((machine.len() as u64).to_le_bytes());
    digest.update(machine);
    digest.update(folder.as_os_str().as_bytes());
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The labels of a release's container.
pub(super) fn labels(
    mark: &str,
    environment: &EnvironmentName,
    record: &ReleaseRecord,
    port: u16,
) -> Result<HashMap<String, String>, serde_json::Error> {
    let detail = &record.detail;
    let rollback = if detail.stays { "forbidden" } else { "allowed" };
    let pairs = [
        (TARGET, mark.to_owned()),
        (ENVIRONMENT, environment.to_string()),
        (RELEASE, record.id.to_string()),
        (COMMIT, record.commit.to_string()),
        (RUN, record.run.to_string()),
        (IMAGE, detail.image.to_string()),
        (CREATED, record.created_at.to_string()),
        (ROLLBACK, rollback.to_owned()),
        (PORT, port.to_string()),
        (LAUNCH, serde_json::to_string(&detail.launch)?),
    ];
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// How far a container's release has come, as its name says: nobody renames a container when its
/// release is replaced.
const IN_NAMES: [ReleaseState; 4] =
    [ReleaseState::Candidate, ReleaseState::Live, ReleaseState::Verified, ReleaseState::Failed];

fn state_in_name(record: &ReleaseRecord) -> ReleaseState {
    match record.state {
        ReleaseState::Failed | ReleaseState::Candidate => record.state,
        ReleaseState::Live | ReleaseState::Verified | ReleaseState::Superseded => {
            match record.verified_at {
                Some(_) => ReleaseState::Verified,
                None => ReleaseState::Live,
            }
        }
    }
}

/// The name of a release's container.
pub(super) fn name(environment: &EnvironmentName, record: &ReleaseRecord) -> String {
    format!("greenloop-{environment}-{}-{}", record.id, state_in_name(record).name())
}

/// One of the target's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundContainer {
    pub(super) id: String,
    pub(super) name: String,
    /// Running, or about to be again.
    pub(super) up: bool,
    pub(super) labels: HashMap<String, String>,
}

impl FoundContainer {
    /// The release it runs.
    pub(super) fn release(&self) -> Option<ReleaseId> {
        self.label(RELEASE)
    }

    /// The image it was made from.
    pub(super) fn image(&self) -> Option<ImageRef> {
        ImageRef::parse(self.labels.get(IMAGE)?)
    }

    /// The port of the engine's machine that leads to it.
    pub(super) fn port(&self) -> Option<u16> {
        self.label(PORT)
    }

    fn label<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.labels.get(name)?.parse().ok()
    }

    fn state(&self) -> ReleaseState {
        let named = |state: &ReleaseState| self.name.ends_with(&format!("-{}", state.name()));
        IN_NAMES.into_iter().find(named).unwrap_or(ReleaseState::Candidate)
    }

    /// `None` when a label is missing or says something else than it should.
    fn record(&self, host: &str) -> Option<ReleaseRecord> {
        let launch: Launch = serde_json::from_str(self.labels.get(LAUNCH)?).ok()?;
        let stays = self.labels.get(ROLLBACK)? == "forbidden";
        let created: Timestamp = self.label(CREATED)?;
        let mut detail = ContainerDetail::new(self.image()?, launch, stays);
        detail.container = Some(ContainerRecord {
            id: self.id.clone(),
            host: host.to_owned(),
            port: self.port()?,
            log_from: None,
        });
        let (commit, run) = (self.label(COMMIT)?, self.label(RUN)?);
        Some(ReleaseRecord::candidate(self.release()?, commit, run, detail, created))
    }
}

/// The record that the containers on `host` tell. Candidates are not in it, as nobody waits for
/// them any more; when exactly a release was verified is not known, so it is the moment it was
/// made.
pub(super) fn rebuilt(containers: &[FoundContainer], host: &str) -> State {
    let mut state = State::default();
    let mut known: Vec<(ReleaseRecord, ReleaseState, bool)> = containers
        .iter()
        .filter_map(|found| Some((found.record(host)?, found.state(), found.up)))
        .filter(|(_, named, _)| *named != ReleaseState::Candidate)
        .collect();
    known.sort_by_key(|(record, _, up)| (record.id, !*up));
    known.dedup_by_key(|(record, _, _)| record.id);
    for (record, named, _) in &known {
        let mut record = record.clone();
        record.state = match *named {
            ReleaseState::Failed => ReleaseState::Failed,
            ReleaseState::Candidate
            | ReleaseState::Live
            | ReleaseState::Verified
            | ReleaseState::Superseded => ReleaseState::Superseded,
        };
        record.verified_at = (*named == ReleaseState::Verified).then_some(record.created_at);
        state.add(record);
    }
    // What runs serves: the newest of them now, a verified one before it stands by.
    for (record, named, up) in known {
        if up && named != ReleaseState::Failed {
            state.switch(record.id);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::record::tests::launch;
    use greenloop_model::RunId;

    fn record(state: ReleaseState, verified: bool) -> ReleaseRecord {
        let image = ImageRef::new("r/fleet", &format!("sha256:{}", "0a".repeat(32))).unwrap();
        let detail = ContainerDetail::new(image, launch(), false);
        let (id, run) = (ReleaseId::generate(), RunId::generate());
        let commit = "a".repeat(40).parse().unwrap();
        let now: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let mut record = ReleaseRecord::candidate(id, commit, run, detail, now);
        record.state = state;
        record.verified_at = verified.then_some(now);
        record
    }

    fn found(record: &ReleaseRecord, up: bool) -> FoundContainer {
        let environment = "staging".parse().unwrap();
        FoundContainer {
            id: format!("id-{}", record.id),
            name: name(&environment, record),
            up,
            labels: labels("m", &environment, record, 20_001).unwrap(),
        }
    }

    #[test]
    fn the_record_can_be_told_from_the_containers() {
        let old = record(ReleaseState::Superseded, true);
        let bad = record(ReleaseState::Failed, false);
        let fallback = record(ReleaseState::Verified, true);
        let live = record(ReleaseState::Live, false);
        let candidate = record(ReleaseState::Candidate, false);
        let mut foreign = found(&old, true);
        foreign.labels.remove(COMMIT);
        let containers = [
            found(&candidate, true),
            found(&live, true),
            found(&fallback, true),
            found(&bad, false),
            found(&old, false),
            foreign,
        ];
        let state = rebuilt(&containers, "127.0.0.1");
        assert_eq!((state.active(), state.fallback()), (Some(live.id), Some(fallback.id)));
        let states: Vec<_> = state.releases().iter().map(|r| (r.id, r.state)).collect();
        assert_eq!(
            states,
            [
                (old.id, ReleaseState::Superseded),
                (bad.id, ReleaseState::Failed),
                (fallback.id, ReleaseState::Verified),
                (live.id, ReleaseState::Live),
            ]
        );
        let serving = state.get(live.id).unwrap().detail.container.clone().unwrap();
        assert_eq!((serving.host.as_str(), serving.port), ("127.0.0.1", 20_001));
        assert!(state.get(old.id).unwrap().is_restorable());
        // After a rollback the older one runs and the newer one stands still.
        let state = rebuilt(&[found(&old, true), found(&fallback, false)], "127.0.0.1");
        assert_eq!((state.active(), state.fallback()), (Some(old.id), None));
        assert_eq!(rebuilt(&[], "127.0.0.1"), State::default());
    }

    #[test]
    fn a_mark_is_one_targets_on_one_machine() {
        let marks = [
            mark(b"vm", Path::new("/a")),
            mark(b"vm", Path::new("/b")),
            mark(b"v", Path::new("m/a")),
        ];
        assert!(marks[0] != marks[1] && marks[0] != marks[2] && marks[0].len() == 32);
    }
}
