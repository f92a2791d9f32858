//! Bringing a release's container up, until it is healthy or is known not to become it.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::containers::Containers;
use super::fault::{Fault, ended};
use super::labels::FoundContainer;
use super::record::{ContainerRecord, ReleaseRecord};
use crate::proxy::probe::until_healthy;
use greenloop_image::engine::{EngineError, EngineErrorKind};

/// Between two looks at the image's own health check.
const LOOK: Duration = Duration::from_millis(500);
/// How often a port that turns out to be taken is drawn again.
const PORTS: u32 = 3;

/// What a start needs.
pub(super) struct ContainerStart<'a> {
    pub(super) containers: &'a Containers,
    pub(super) client: &'a reqwest::Client,
    pub(super) record: &'a ReleaseRecord,
    /// How long it may take to become healthy.
    pub(super) wait: Duration,
    pub(super) cancel: &'a CancellationToken,
}

/// A release that is up and healthy.
pub(super) struct Healthy {
    pub(super) container: ContainerRecord,
    /// Health requests it took.
    pub(super) requests: u32,
}

/// One that is not; its container, when there is one.
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) container: Option<ContainerRecord>,
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self { fault: error.into(), container: None }
    }
}

impl ContainerStart<'_> {
    /// Makes and starts the release's container: a new one for a candidate, the one that is
    /// there for an earlier release.
    pub(super) async fn start(&self) -> Result<ContainerRecord, Failed> {
        let candidate = self.record.detail.container.is_none();
        let found = self.containers.find(self.record).await?;
        let kept = match found {
            // Left by an attempt that died: nobody knows how far it came.
            Some(found) if candidate => {
                self.containers.remove(&found.id).await?;
                None
            }
            other => other,
        };
        if let Some(FoundContainer { id, up, .. }) = &kept
            && let Some(port) = kept.as_ref().and_then(FoundContainer::port)
        {
            let container = self.at(id.clone(), port);
            if *up {
                return Ok(container);
            }
            let ended_at = self.containers.inspect(id).await?.and_then(|c| c.ended_at);
            let container = ContainerRecord { log_from: ended_at, ..container };
            // Its end shall be seen; and its port may be somebody else's by now, or its network gone.
            self.containers.set_restart(id, false).await?;
            match self.containers.start(id).await {
                Ok(()) => return Ok(container),
                Err(error) if matches!(error.kind, EngineErrorKind::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(found) = kept {
            self.containers.remove(&found.id).await?;
        }
        self.start_new().await
    }

    async fn start_new(&self) -> Result<ContainerRecord, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = self.containers.free_port();
            let made = self.containers.create(self.record, port).await;
            let id = made.map_err(|error| Failed {
                fault: match error.kind {
                    EngineErrorKind::Refused(400..500) => Fault::NotCreated(error),
                    EngineErrorKind::Refused(_)
                    | EngineErrorKind::Address
                    | EngineErrorKind::Unreachable
                    | EngineErrorKind::Permission
                    | EngineErrorKind::TimedOut
                    | EngineErrorKind::Broken => Fault::Engine(error),
                },
                container: None,
            })?;
            let error = match self.containers.start(&id).await {
                Ok(()) => return Ok(self.at(id, port)),
                Err(error) => error,
            };
            let EngineErrorKind::Refused(status) = error.kind else {
                let container = Some(self.at(id, port));
                return Err(Failed { fault: error.into(), container });
            };
            // The container's own fault is a bad request; a port that is taken is the engine's.
            if status >= 500 && tries < PORTS {
                self.containers.remove(&id).await?;
                continue;
            }
            let condition = self.containers.inspect(&id).await?;
            let reason = condition.and_then(|condition| condition.error).unwrap_or(error.message);
            return Err(Failed {
                fault: Fault::NotStarted { reason },
                container: Some(self.at(id, port)),
            });
        }
    }

    fn at(&self, id: String, port: u16) -> ContainerRecord {
        ContainerRecord { id, host: self.containers.host(), port, log_from: None }
    }

    /// Until its health check passes, it ends, or its time is up. A healthy one is started again
    /// by the engine whenever it ends from then on.
    pub(super) async fn healthy(&self, container: ContainerRecord) -> Result<Healthy, Failed> {
        let judged = tokio::select! {
            judged = self.judge(&container) => judged,
            () = self.cancel.cancelled() => Err(Fault::Cancelled),
        };
        match judged {
            Ok(requests) => Ok(Healthy { container, requests }),
            Err(fault) => Err(Failed { fault, container: Some(container) }),
        }
    }

    async fn judge(&self, container: &ContainerRecord) -> Result<u32, Fault> {
        let started = Instant::now();
        let launch = &self.record.detail.launch;
        let url = health_url(container, &launch.health);
        let requests = tokio::select! {
            biased;
            fault = self.fault(&container.id) => return Err(fault?),
            asked = until_healthy(self.client, &url, launch.health_timeout, self.wait) => {
                asked.map_err(|last| Fault::Unhealthy { last, waited: started.elapsed() })?
            }
        };
        self.containers.set_restart(&container.id, true).await?;
        match self.containers.inspect(&container.id).await? {
            Some(condition) if condition.up => Ok(requests),
            other => Err(ended(other)),
        }
    }

    /// Returns when the container has ended or its own health check has failed.
    async fn fault(&self, id: &str) -> Result<Fault, EngineError> {
        let unhealthy = async {
            loop {
                tokio::time::sleep(LOOK).await;
                match self.containers.inspect(id).await {
                    Ok(Some(condition)) => {
                        if let Some(tries) = condition.unhealthy {
                            return Fault::HealthCheckFailed { tries };
                        }
                    }
                    Ok(None) => return Fault::Removed,
                    // Not to be seen is not to be ill; the other watch tells when it lasts.
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            fault = unhealthy => Ok(fault),
            over = self.containers.until_ended(id) => {
                over?;
                Ok(ended(self.containers.inspect(id).await?))
            }
        }
    }
}

/// Where a container is asked whether it is well.
pub(super) fn health_url(container: &ContainerRecord, path: &str) -> String {
    let ContainerRecord { host, port, .. } = container;
    if host.contains(':') {
        format!("http://[{host}]:{port}{path}")
    } else {
        format!("http://{host}:{port}{path}")
    }
}
