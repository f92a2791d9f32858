//! One deployer at a time: a `Lease` for each environment.
//!
//! # Expected flow
//! [`claim`] makes the Lease or takes a free one, by compare-and-swap on its resource version.
//! A task renews it in the background. Whoever is about to write asks [`held::HeldLease::permit`] first.
//! [`held::HeldLease::release`] gives it back.
//!
//! # Guarantees
//! - A run writes only while its last renewal is younger than 10 s, and others take a
//!   Lease over only when its last renewal is older than 15 s: both cannot be true of
//!   clocks that run at the same speed.
//! - A run that was away for longer (the API server was) goes on only if the Lease is still its
//!   own; otherwise every permit is refused from then on.
//! - Each taking has a number that is greater than all before it, the fencing number. It stands
//!   on the Lease and in the records of releases.
//!
//! # Caveats
//! - Whether a Lease has expired is told by this machine's clock, with 5 s of tolerance,
//!   or by seeing it unchanged for 15 s.

pub(crate) mod held;
mod object;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use self::held::{HeldLease, hold};
use self::object::{DURATION, fresh, has_expired, holder, in_words, is_holder, taken_over};
use super::cluster::Cluster;
use super::error::{KubernetesError, KubernetesErrorKind};
use greenloop_model::{Notice, RunEvent, RunId};

/// How often a Lease that somebody else holds is looked at.
const POLL: Duration = Duration::from_secs(1);

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
pub(super) async fn claim(
    cluster: &Cluster,
    wanted: &Wanted<'_>,
) -> Result<HeldLease, KubernetesError> {
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
                    if Instant::now() + POLL > deadline {
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
        () = tokio::time::sleep(POLL) => Ok(()),
        () = cluster.cancel().cancelled() => Err(KubernetesError::new(
            KubernetesErrorKind::Cancelled,
            "the run was cancelled while it waited for the environment",
        )),
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
