//! What a docker target remembers of a release.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::supervisor::release_state::{self, ReleaseDetail, TargetState};
use greenloop_config::plan::{DockerPlan, HealthPlan};
use greenloop_model::{ImageRef, ReleaseId};

/// All a docker target remembers.
pub(super) type State = TargetState<ContainerDetail>;
/// One release of it.
pub(super) type ReleaseRecord = release_state::ReleaseRecord<ContainerDetail>;

/// How a release's container is made and judged. A rollback starts it as it was released, not as
/// the configuration of today would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Launch {
    /// The port the service listens on inside.
    pub(super) port: u16,
    /// Replaces the image's own command, when it is not empty.
    pub(super) command: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) volumes: Vec<String>,
    pub(super) network: Option<String>,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Path of the health check.
    pub(super) health: String,
    /// For each health request.
    pub(super) health_timeout: Duration,
    /// How long connections may take to finish after a switch.
    pub(super) drain: Duration,
    /// How many releases are kept.
    pub(super) keep: u32,
}

impl Launch {
    pub(super) fn new(plan: &DockerPlan, health: &HealthPlan) -> Self {
        Self {
            port: plan.container_port,
            command: plan.command.clone(),
            env: plan.env.clone(),
            volumes: plan.volumes.clone(),
            network: plan.network.clone(),
            memory: plan.memory,
            health: health.endpoint.clone(),
            health_timeout: health.timeout,
            drain: plan.drain_timeout,
            keep: plan.keep_releases,
        }
    }

    /// Whether the container shares its machine's network, and so its ports.
    pub(super) fn on_host_network(&self) -> bool {
        self.network.as_deref() == Some("host")
    }
}

/// A container that serves or has served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) id: String,
    /// The machine of the engine.
    pub(super) host: String,
    /// The port there that leads to the service. It stays the same when the engine starts the
    /// container again.
    pub(super) port: u16,
    /// When it had ended before it was started for the time it serves, by the engine's clock.
    pub(super) log_from: Option<Timestamp>,
}

/// A release as a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerDetail {
    pub(super) image: ImageRef,
    pub(super) launch: Launch,
    /// Absent until it has served.
    pub(super) container: Option<ContainerRecord>,
    /// `deploy.rollback: forbidden` in the release's own configuration.
    pub(super) stays: bool,
    /// The later release that closed the way back to this one.
    pub(super) closed_by: Option<ReleaseId>,
    /// How often the engine started it again after it had ended by itself.
    pub(super) restarts: u32,
    /// How it last ended by itself.
    pub(super) last_exit: Option<String>,
}

impl ContainerDetail {
    /// Not started yet.
    pub(super) fn new(image: ImageRef, launch: Launch, stays: bool) -> Self {
        Self {
            image,
            launch,
            container: None,
            stays,
            closed_by: None,
            restarts: 0,
            last_exit: None,
        }
    }
}

impl ReleaseDetail for ContainerDetail {
    fn image(&self) -> Option<ImageRef> {
        Some(self.image.clone())
    }

    fn keep(&self) -> u32 {
        self.launch.keep
    }

    fn forbids_rollback(&self) -> bool {
        self.stays
    }

    fn closed_by(&self) -> Option<ReleaseId> {
        self.closed_by
    }

    fn close(&mut self, by: ReleaseId) {
        self.closed_by.get_or_insert(by);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use greenloop_model::RunId;

    pub(in super::super) fn launch() -> Launch {
        Launch {
            port: 8080,
            command: vec!["/bin/busybox".into(), "httpd".into()],
            env: [("A".to_owned(), "1".to_owned())].into(),
            volumes: Vec::new(),
            network: None,
            memory: Some(1 << 24),
            health: "/health".into(),
            health_timeout: Duration::from_secs(1),
            drain: Duration::from_secs(1),
            keep: 2,
        }
    }

    fn add(state: &mut State, stays: bool) -> ReleaseId {
        let id = ReleaseId::generate();
        let image = ImageRef::new("r/fleet", &format!("sha256:{}", "0a".repeat(32))).unwrap();
        let contained = ContainerDetail::new(image, launch(), stays);
        let commit = "a".repeat(40).parse().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        state.add(ReleaseRecord::candidate(id, commit, RunId::generate(), contained, now));
        id
    }

    fn serve(state: &mut State, stays: bool) -> ReleaseId {
        let id = add(state, stays);
        let host = "127.0.0.1".to_owned();
        let container = ContainerRecord { id: "c".into(), host, port: 1, log_from: None };
        state.get_mut(id).unwrap().detail.container = Some(container);
        state.switch(id);
        id
    }

    #[test]
    fn a_release_that_must_stay_closes_the_way_back() {
        let mut state = State::default();
        let first = serve(&mut state, false);
        state.verify(first, Timestamp::UNIX_EPOCH);
        let unserved = add(&mut state, true);
        assert_eq!(state.closed_by(unserved, Some(first)), None);
        assert_eq!(state.closed_by(first, None), None);
        let migration = serve(&mut state, true);
        assert_eq!(state.closed_by(migration, Some(first)), Some(migration));
        assert_eq!(state.closed_by(migration, None), Some(migration));
        // Whoever comes after it may be taken back to it, never past it.
        state.verify(migration, Timestamp::UNIX_EPOCH);
        let next = serve(&mut state, false);
        assert_eq!(state.closed_by(next, Some(migration)), None);
        assert_eq!(state.closed_by(next, Some(first)), Some(migration));
        // And forth again.
        state.verify(next, Timestamp::UNIX_EPOCH);
        state.switch(migration);
        assert_eq!(state.closed_by(migration, Some(next)), None);
    }

    #[test]
    fn the_record_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::default();
        serve(&mut state, true);
        add(&mut state, false);
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), Some(state));
    }
}
