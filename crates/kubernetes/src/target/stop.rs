//! Taking what serves out of the cluster, without anything in its place.

use super::KubernetesTarget;
use crate::cluster::Cluster;
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::manifest::order;
use crate::prune::Leftover;
use greenloop_model::{ReleaseState, RunId};
use greenloop_ports::Stopped;

impl KubernetesTarget {
    /// Removes the objects of the environment's releases that the records and the objects themselves
    /// prove to be Greenloop's, and records that nothing serves. What may hold data stays, as it does
    /// when a release no longer names it.
    ///
    /// # Errors
    /// When another run holds the environment, or an object cannot be removed: the record then says
    /// that the release serves, and another stop removes the rest.
    pub(super) async fn stop_serving(&self) -> Result<Stopped, KubernetesError> {
        let cluster = self.cluster().await?;
        if self.history(&cluster).await?.serving().is_none() {
            return Ok(Stopped::Nothing);
        }
        let held = self.acquire_lease(&cluster, RunId::generate()).await?;
        let outcome = self.stop_held(&cluster.guarded(&held.hold)).await;
        self.release_lease(held).await;
        outcome
    }

    async fn stop_held(&self, cluster: &Cluster) -> Result<Stopped, KubernetesError> {
        // Once more: it may have changed before the lease was taken.
        let history = self.history(cluster).await?;
        self.refuse_history_of_others(cluster, &history).await?;
        let Some(serving) = history.serving() else { return Ok(Stopped::Nothing) };
        let release = serving.release.clone();
        let (mut own, kept): (Vec<Leftover>, Vec<Leftover>) = self
            .leftovers(cluster, &history, &[])
            .await?
            .into_iter()
            .partition(|leftover| leftover.keep.is_none());
        // Last things first, as they were applied.
        own.sort_by_key(|object| {
            std::cmp::Reverse(order::rank(object.id.group(), &object.id.kind))
        });
        let mut refused = None;
        for object in own {
            match cluster.delete(&object.kind, &object.id, object.uid.as_deref()).await {
                Ok(()) => {}
                // Others may go all the same.
                Err(error) if error.kind == KubernetesErrorKind::Refused => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let now = jiff::Timestamp::now();
        self.store()
            .change(cluster, release.id, |record| {
                record.release.state = ReleaseState::Superseded;
                record.stopped = Some(now);
            })
            .await?;
        let kept = kept.iter().map(|object| object.id.to_string()).collect();
        Ok(Stopped::Release { release: Box::new(release), kept })
    }
}
