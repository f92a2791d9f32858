//! A `Lease` that is held: renewed in the background, and asked before every write.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::object::{in_words, is_holder, transitions};
use crate::error::{KubernetesError, KubernetesErrorKind, is_transient};
use greenloop_model::RunId;

/// How long after a renewal its holder may write.
const WRITABLE: Duration = Duration::from_secs(10);
/// From one renewal to the next.
const RENEWAL: Duration = Duration::from_secs(3);
/// How long a permit waits for a renewal that is late.
const RENEWAL_WAIT: Duration = Duration::from_secs(150);

/// Whether it is still held.
#[derive(Debug, Clone)]
enum LeaseState {
    /// Ours; writes are permitted until then.
    Held { until: Instant },
    /// Somebody else's, for this reason.
    Lost(String),
}

/// A Lease that is held. Dropped without [`HeldLease::release`], it expires.
pub(crate) struct HeldLease {
    run: RunId,
    fencing: i64,
    state: watch::Receiver<LeaseState>,
    lost: CancellationToken,
    stop: CancellationToken,
    renewer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<Option<Lease>>>>,
    api: Api<Lease>,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn hold(api: Api<Lease>, lease: Lease, run: RunId, asked: Instant) -> HeldLease {
    let fencing = transitions(&lease);
    let (sender, state) = watch::channel(LeaseState::Held { until: asked + WRITABLE });
    let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
    let renewer = Renewer { api: api.clone(), run, state: sender, lost: lost.clone() };
    let renewer = tokio::spawn(renewer.renew(lease, stop.clone()));
    let renewer = tokio::sync::Mutex::new(Some(renewer));
    HeldLease { run, fencing, state, lost, stop, renewer, api }
}

struct Renewer {
    api: Api<Lease>,
    run: RunId,
    state: watch::Sender<LeaseState>,
    lost: CancellationToken,
}

impl Renewer {
    /// Renews until it is stopped or the Lease is lost; the Lease as it was last, when it is
    /// still ours.
    async fn renew(self, mut lease: Lease, stop: CancellationToken) -> Option<Lease> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEWAL) => {}
                () = stop.cancelled() => return Some(lease),
            }
            let asked = Instant::now();
            let name = lease.metadata.name.clone().unwrap_or_default();
            if let Some(spec) = &mut lease.spec {
                spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
            }
            let renewed = tokio::time::timeout(
                WRITABLE,
                self.api.replace(&name, &PostParams::default(), &lease),
            )
            .await;
            let error = match renewed {
                Ok(Ok(renewed)) => {
                    lease = renewed;
                    lease.metadata.managed_fields = None;
                    self.state.send_replace(LeaseState::Held { until: asked + WRITABLE });
                    continue;
                }
                Ok(Err(error)) => error,
                // The answer may be lost; the next round looks.
                Err(_late) => continue,
            };
            let gone_or_changed =
                matches!(&error, kube::Error::Api(status) if matches!(status.code, 404 | 409));
            if gone_or_changed {
                match self.look(&name).await {
                    Ok(current) => lease = current,
                    Err(Some(reason)) => {
                        self.state.send_replace(LeaseState::Lost(reason));
                        self.lost.cancel();
                        return None;
                    }
                    Err(None) => {}
                }
            } else if !is_transient(&error) {
                tracing::warn!(error = %error, "could not renew the lease");
            }
        }
    }

    /// The Lease as it is now if it is still ours, why it is not, or nothing where the API
    /// server does not say.
    async fn look(&self, name: &str) -> Result<Lease, Option<String>> {
        match tokio::time::timeout(WRITABLE, self.api.get_opt(name)).await {
            Ok(Ok(Some(lease))) if is_holder(&lease, self.run) => Ok(lease),
            Ok(Ok(Some(lease))) => Err(Some(format!("taken by {}", in_words(&lease)))),
            Ok(Ok(None)) => Err(Some("its lease was deleted".to_owned())),
            Ok(Err(_)) | Err(_) => {
                tracing::debug!(run = %self.run, "could not read the lease");
                Err(None)
            }
        }
    }
}

impl HeldLease {
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Greater than that of every hold before.
    pub(crate) fn fencing(&self) -> i64 {
        self.fencing
    }

    /// Cancelled when the Lease is lost.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Whether a write may be made now; waits while a renewal is late.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Lost`] when the Lease is somebody else's.
    pub(crate) async fn permit(&self) -> Result<(), KubernetesError> {
        let mut state = self.state.clone();
        let started = Instant::now();
        loop {
            match &*state.borrow_and_update() {
                LeaseState::Held { until } if Instant::now() < *until => return Ok(()),
                LeaseState::Held { .. } => {}
                LeaseState::Lost(reason) => {
                    let message =
                        format!("the environment is no longer held by this run: {reason}");
                    return Err(KubernetesError::new(KubernetesErrorKind::Lost, message));
                }
            }
            let left = RENEWAL_WAIT.saturating_sub(started.elapsed());
            let renewed = tokio::time::timeout(left, state.changed()).await;
            if !matches!(renewed, Ok(Ok(()))) {
                let message = "could not renew the environment's lease";
                return Err(KubernetesError::new(KubernetesErrorKind::Unreachable, message));
            }
        }
    }

    /// Gives it back, if it is still ours: the next one need not wait.
    pub(crate) async fn release(self: Arc<Self>) {
        self.stop.cancel();
        let Some(renewer) = self.renewer.lock().await.take() else { return };
        let Ok(Some(mut lease)) = renewer.await else { return };
        let name = lease.metadata.name.clone().unwrap_or_default();
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        let given =
            tokio::time::timeout(WRITABLE, self.api.replace(&name, &PostParams::default(), &lease))
                .await;
        if !matches!(given, Ok(Ok(_))) {
            tracing::debug!("the lease was not released; it will expire");
        }
    }
}
