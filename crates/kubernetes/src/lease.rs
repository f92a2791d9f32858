//! One deployer at a time: a `Lease` for each environment.
//!
//! # Expected flow
//! [`claim`] makes the Lease or takes a free one, by compare-and-swap on its resource version.
//! A task renews it in the background. Whoever is about to write asks [`Hold::permit`] first.
//! [`Hold::release`] gives it back.
//!
//! # Guarantees
//! - A run writes only while its last renewal is younger than [`WRITABLE`], and others take a
//!   Lease over only when its last renewal is older than [`DURATION`]: both cannot be true of
//!   clocks that run at the same speed.
//! - A run that was away for longer (the API server was) goes on only if the Lease is still its
//!   own; otherwise every permit is refused from then on.
//! - Each taking has a number that is greater than all before it, the fencing number. It stands
//!   on the Lease and in the records of releases.
//!
//! # Caveats
//! - Whether a Lease has expired is told by this machine's clock, with [`SKEW`] of tolerance,
//!   or by seeing it unchanged for [`DURATION`].

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::error::{KubernetesError, KubernetesErrorKind, is_transient};
use super::manifest::settle::{MANAGED_BY, MANAGER};
use greenloop_model::{Notice, RunEvent, RunId};

/// How long a Lease is valid without a renewal.
const DURATION: Duration = Duration::from_secs(15);
/// How long after a renewal its holder may write.
const WRITABLE: Duration = Duration::from_secs(10);
/// From one renewal to the next.
const RENEWAL: Duration = Duration::from_secs(3);
/// By how much another machine's clock may be wrong.
const SKEW: Duration = Duration::from_secs(5);
/// How long a permit waits for a renewal that is late.
const PATIENCE: Duration = Duration::from_secs(150);
/// How often a Lease that somebody else holds is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The fencing number, as an annotation of the Lease.
const FENCING: &str = "greenloop.dev/fencing";

/// Where a hold stands.
#[derive(Debug, Clone)]
enum Standing {
    /// Ours; writes are permitted until then.
    Held { until: Instant },
    /// Somebody else's, for this reason.
    Lost(String),
}

/// A Lease that is held. Dropped without [`Hold::release`], it expires.
pub(super) struct Hold {
    run: RunId,
    fencing: i64,
    standing: watch::Receiver<Standing>,
    lost: CancellationToken,
    stop: CancellationToken,
    renewer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<Option<Lease>>>>,
    api: Api<Lease>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn is_holder(lease: &Lease, run: RunId) -> bool {
    holder(lease).is_some_and(|holder| holder == run.to_string())
}

/// Who holds it; a Lease that was given back has nobody's name.
fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// Whether nobody renewed it for too long, as this machine's clock has it.
fn has_expired(lease: &Lease, now: jiff::Timestamp) -> bool {
    let Some(spec) = &lease.spec else { return true };
    let Some(renewed) = &spec.renew_time else { return true };
    let valid = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    let valid = valid.map_or(DURATION, Duration::from_secs);
    let age = now.duration_since(renewed.0);
    age > jiff::SignedDuration::try_from(valid + SKEW).unwrap_or(jiff::SignedDuration::MAX)
}

fn transitions(lease: &Lease) -> i64 {
    let counted = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let annotations = lease.metadata.annotations.as_ref();
    let noted = annotations.and_then(|a| a.get(FENCING)).and_then(|text| text.parse().ok());
    noted.unwrap_or(0).max(i64::from(counted))
}

/// `run 0193… since 2026-11-21 06:30:00Z`
fn in_words(lease: &Lease) -> String {
    let Some(holder) = holder(lease) else {
        return "another run, which has given it back since".to_owned();
    };
    match lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref()) {
        Some(since) => format!("run {holder} since {}", since.0.strftime("%Y-%m-%d %H:%M:%SZ")),
        None => format!("run {holder}"),
    }
}

/// Which Lease is wanted, and by whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) run: RunId,
    /// The fencing number must be greater than this.
    pub(super) floor: i64,
    /// How long to wait for whoever holds it.
    pub(super) wait: Duration,
}

/// Takes a Lease, waiting for whoever holds it.
///
/// # Errors
/// [`KubernetesErrorKind::Held`] when somebody else holds it, with who and since when.
pub(super) async fn claim(cluster: &Cluster, wanted: &Wanted<'_>) -> Result<Hold, KubernetesError> {
    let Wanted { namespace, name, run, floor, wait } = *wanted;
    let api: Api<Lease> = Api::namespaced(cluster.client().clone(), namespace);
    let plain = PostParams::default();
    let deadline = Instant::now() + wait;
    let mut seen: Option<(Option<String>, Instant)> = None;
    let mut told = false;
    loop {
        let asked = Instant::now();
        let found = cluster.ask(|| api.get_opt(name)).await;
        let found = found.map_err(|e| KubernetesError::of(&format!("read lease/{name}"), e))?;
        let taken = match found {
            None => {
                let lease = fresh(name, namespace, run, floor);
                cluster.ask(|| api.create(&plain, &lease)).await
            }
            Some(lease) => {
                let version = lease.metadata.resource_version.clone();
                let stale = match &seen {
                    Some((known, since)) if *known == version => since.elapsed() > DURATION,
                    _ => {
                        seen = Some((version, Instant::now()));
                        false
                    }
                };
                let free = holder(&lease).is_none()
                    || is_holder(&lease, run)
                    || stale
                    || has_expired(&lease, jiff::Timestamp::now());
                if !free {
                    let who = in_words(&lease);
                    if Instant::now() + LOOK > deadline {
                        let message = format!("{namespace}/{name} is held by {who}");
                        return Err(KubernetesError::new(KubernetesErrorKind::Held, message));
                    }
                    if !told {
                        told = true;
                        let text = format!("waiting for {who}, up to {} s", wait.as_secs());
                        cluster.events().send(RunEvent::Notice(Notice::Info(text)));
                    }
                    pause(cluster).await?;
                    continue;
                }
                let lease = taken_over(lease, run, floor);
                cluster.ask(|| api.replace(name, &plain, &lease)).await
            }
        };
        match taken {
            Ok(lease) => return Ok(hold(api, lease, run, asked)),
            // Somebody was faster, or an answer was lost on its way: look again.
            Err(kube::Error::Api(status)) if status.code == 409 => pause(cluster).await?,
            Err(error) => {
                return Err(KubernetesError::of(
                    &format!("take lease/{name} in {namespace}"),
                    error,
                ));
            }
        }
    }
}

async fn pause(cluster: &Cluster) -> Result<(), KubernetesError> {
    tokio::select! {
        () = tokio::time::sleep(LOOK) => Ok(()),
        () = cluster.cancel().cancelled() => Err(KubernetesError::new(
            KubernetesErrorKind::Cancelled,
            "the run was cancelled while it waited for the environment",
        )),
    }
}

fn fresh(name: &str, namespace: &str, run: RunId, floor: i64) -> Lease {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: None,
    };
    taken_over(lease, run, floor)
}

/// The Lease as `run` takes it. One that is taken again by its own holder keeps its time and
/// gets a new number all the same: an earlier process of the run may still be about to write.
fn taken_over(mut lease: Lease, run: RunId, floor: i64) -> Lease {
    let now = MicroTime(jiff::Timestamp::now());
    let number = transitions(&lease).max(floor) + 1;
    let kept = lease.spec.as_ref().filter(|_| is_holder(&lease, run));
    let since = kept.and_then(|spec| spec.acquire_time.clone()).unwrap_or_else(|| now.clone());
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(FENCING.to_owned(), number.to_string());
    lease.metadata.managed_fields = None;
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(run.to_string()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(since),
        renew_time: Some(now),
        lease_transitions: i32::try_from(number).ok(),
        ..LeaseSpec::default()
    });
    lease
}

fn hold(api: Api<Lease>, lease: Lease, run: RunId, asked: Instant) -> Hold {
    let fencing = transitions(&lease);
    let (sender, standing) = watch::channel(Standing::Held { until: asked + WRITABLE });
    let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
    let renewer = Renewer { api: api.clone(), run, standing: sender, lost: lost.clone() };
    let renewer = tokio::spawn(renewer.renew(lease, stop.clone()));
    let renewer = tokio::sync::Mutex::new(Some(renewer));
    Hold { run, fencing, standing, lost, stop, renewer, api }
}

struct Renewer {
    api: Api<Lease>,
    run: RunId,
    standing: watch::Sender<Standing>,
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
                    self.standing.send_replace(Standing::Held { until: asked + WRITABLE });
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
                        self.standing.send_replace(Standing::Lost(reason));
                        self.lost.cancel();
                        return None;
                    }
                    Err(None) => {}
                }
            } else if !is_transient(&error) {
                tracing::warn!(error = %error, "the lease cannot be renewed");
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
                tracing::debug!(run = %self.run, "the lease could not be looked at");
                Err(None)
            }
        }
    }
}

impl Hold {
    pub(super) fn run(&self) -> RunId {
        self.run
    }

    /// Greater than that of every hold before.
    pub(super) fn fencing(&self) -> i64 {
        self.fencing
    }

    /// Cancelled when the Lease is lost.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Whether a write may be made now; waits while a renewal is late.
    ///
    /// # Errors
    /// [`KubernetesErrorKind::Lost`] when the Lease is somebody else's.
    pub(super) async fn permit(&self) -> Result<(), KubernetesError> {
        let mut standing = self.standing.clone();
        let started = Instant::now();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Held { until } if Instant::now() < *until => return Ok(()),
                Standing::Held { .. } => {}
                Standing::Lost(reason) => {
                    let message =
                        format!("the environment is no longer held by this run: {reason}");
                    return Err(KubernetesError::new(KubernetesErrorKind::Lost, message));
                }
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            let renewed = tokio::time::timeout(left, standing.changed()).await;
            if !matches!(renewed, Ok(Ok(()))) {
                let message = "the environment's lease cannot be renewed";
                return Err(KubernetesError::new(KubernetesErrorKind::Unreachable, message));
            }
        }
    }

    /// Gives it back, if it is still ours: the next one need not wait.
    pub(super) async fn release(self: Arc<Self>) {
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
            tracing::debug!("the lease was not given back; it expires");
        }
    }
}

/// Who holds the Lease, when somebody does and it has not expired.
pub(super) async fn holder_of(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, KubernetesError> {
    let api: Api<Lease> = Api::namespaced(cluster.client().clone(), namespace);
    let found = cluster.ask(|| api.get_opt(name)).await;
    let found = found.map_err(|e| KubernetesError::of(&format!("read lease/{name}"), e))?;
    Ok(found
        .filter(|lease| !has_expired(lease, jiff::Timestamp::now()))
        .and_then(|lease| holder(&lease).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_by_its_renewal_with_tolerance() {
        let now = jiff::Timestamp::now();
        for (age, expect) in [(0, false), (14, false), (19, false), (21, true), (3_600, true)] {
            let mut lease = fresh("l", "n", RunId::generate(), 0);
            let renewed = now - jiff::SignedDuration::from_secs(age);
            lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(renewed));
            assert_eq!(has_expired(&lease, now), expect, "{age}");
        }
        // One that was given back is nobody's, whatever its times.
        let mut lease = fresh("l", "n", RunId::generate(), 0);
        lease.spec.as_mut().unwrap().holder_identity = Some(String::new());
        assert_eq!(holder(&lease), None);
    }

    #[test]
    fn every_taking_has_a_greater_number() {
        let (first, second) = (RunId::generate(), RunId::generate());
        let lease = fresh("l", "n", first, 0);
        assert_eq!(transitions(&lease), 1);
        let since = lease.spec.as_ref().unwrap().acquire_time.clone();
        let again = taken_over(lease, first, 0);
        assert_eq!(transitions(&again), 2);
        assert_eq!(again.spec.as_ref().unwrap().acquire_time, since);
        let other = taken_over(again, second, 0);
        assert_eq!(transitions(&other), 3);
        assert!(is_holder(&other, second) && !is_holder(&other, first));
        assert_ne!(other.spec.as_ref().unwrap().acquire_time, since);
        // One that was deleted goes on where the records have come to.
        assert_eq!(transitions(&fresh("l", "n", first, 41)), 42);
    }
}
