//! How the containers follow the record, and end at a shutdown.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::labels::{FoundContainer, name};
use super::super::sweep::SweepAction;
use super::{DockerEvent, DockerWorkload};
use crate::supervisor::Supervisor;
use greenloop_image::engine::EngineError;
use greenloop_model::{ReleaseId, ReleaseState};

/// How long a shutdown looks for containers that still run, and what lies between two looks.
const STOP_ALL: Duration = Duration::from_secs(45);
const STOP_AGAIN: Duration = Duration::from_millis(100);

impl Supervisor<DockerWorkload> {
    pub(super) fn sweep_when_due(&mut self) {
        let sender = self.sender();
        let DockerWorkload { sweep, containers, .. } = &mut self.workload;
        if sweep.begin() {
            let containers = containers.clone();
            sweep.spawn(async move { sender(DockerEvent::Listed(containers.list().await)) });
        }
    }

    /// Compares, and has done what must be.
    pub(super) fn listed(&mut self, listed: Result<Vec<FoundContainer>, EngineError>) {
        let found = match listed {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not list \
                    containers"
                );
                return self.workload.sweep.ended(false);
            }
        };
        let chores: Vec<SweepAction> =
            found.into_iter().filter_map(|found| self.chore(found)).collect();
        let sender = self.sender();
        let DockerWorkload { sweep, containers, .. } = &mut self.workload;
        sweep.follow(chores, containers.clone(), move |all| sender(DockerEvent::Swept { all }));
    }

    /// What is to be done about one container. A stop is begun at once.
    fn chore(&mut self, found: FoundContainer) -> Option<SweepAction> {
        let release = found.release()?;
        if self.is_pending(release) {
            return None;
        }
        let Some(record) = self.state.get(release) else {
            let mut releases = self.state.releases().iter();
            let image = found.image().filter(|image| !releases.any(|r| r.detail.image == *image));
            return Some(SweepAction::Remove { id: found.id, image });
        };
        let served = record.detail.container.as_ref();
        if served.is_some_and(|served| served.id != found.id) {
            return Some(SweepAction::Remove { id: found.id, image: None });
        }
        let name = name(&self.workload.containers.environment, record);
        let rename = (name != found.name).then_some(name);
        let wanted = self.state.is_wanted(release);
        let start = wanted && self.workload.sweep.is_starting() && !found.up;
        if !wanted && found.up && !self.workload.sweep.is_stopping(release) {
            let drain = record.detail.launch.drain;
            self.stop_container(release, found.id.clone(), drain);
        }
        Some(SweepAction::Follow { id: found.id, rename, start })
    }

    /// Stops a container that is not wanted any more, letting its connections finish.
    fn stop_container(&mut self, release: ReleaseId, id: String, drain: Duration) {
        let sender = self.sender();
        let backend = self.workload.forget_backend(release);
        let containers = self.workload.containers.clone();
        let call_off = self.workload.sweep.stopping(release);
        self.workload.sweep.spawn(async move {
            let drained = async {
                if let Some(backend) = backend {
                    let _time_is_up =
                        tokio::time::timeout(drain, backend.connections.drain()).await;
                }
            };
            let go = tokio::select! {
                biased;
                () = call_off.cancelled() => false,
                () = drained => true,
            };
            if go && let Err(error) = containers.stop(&id).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a container runs on");
            }
            sender(DockerEvent::Stopped { release });
        });
    }

    /// For a shutdown: nothing runs afterwards. The engine is asked until it lists nothing that
    /// runs: a container that has just ended is listed as running for a moment, and one that a
    /// killed deployer had started is listed as stopped until the engine has done it.
    pub(super) async fn stop_containers(&self) {
        let containers = &self.workload.containers;
        let deadline = Instant::now() + STOP_ALL;
        loop {
            let left: Vec<FoundContainer> = match containers.list().await {
                Ok(found) => found.into_iter().filter(|f| f.up || !self.may_serve(f)).collect(),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    return tracing::error!(error, "containers run on");
                }
            };
            if left.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                return tracing::error!(left = left.len(), "containers run on");
            }
            let mut stops = JoinSet::new();
            for found in left {
                let (containers, kept) = (containers.clone(), self.may_serve(&found));
                stops.spawn(async move {
                    if kept {
                        containers.stop(&found.id).await
                    } else {
                        // The engine does this once a start that is under way is done.
                        containers.remove(&found.id).await
                    }
                });
            }
            while let Some(stopped) = stops.join_next().await {
                if let Ok(Err(error)) = stopped {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a container runs on");
                }
            }
            tokio::time::sleep(STOP_AGAIN).await;
        }
    }

    /// Whether it is the container of a release that has served, or whose log is kept.
    fn may_serve(&self, found: &FoundContainer) -> bool {
        let record = found.release().and_then(|release| self.state.get(release));
        record.is_some_and(|record| {
            record.state != ReleaseState::Candidate
                && record.detail.container.as_ref().is_none_or(|served| served.id == found.id)
        })
    }
}
