//! Leftovers in the cluster: found, told, and removed.

use std::time::Duration;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use crate::cluster::{Cluster, Kind};
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::manifest::waves::{HELM_HOOK, HOOK};
use crate::manifest::{Manifest, ObjectId, order};
use crate::permissions::Scope;
use crate::prune::{
    KeepReason, Leftover, candidates, has, holds_data, in_words, is_marked, is_to_be_kept,
    made_so_far, named_by,
};
use crate::record::Record;
use crate::store::History;
use greenloop_model::{EventSink, Notice, ReleaseId, RunEvent};

/// Objects that are looked at at the same time.
const AT_ONCE: usize = 6;
/// How long removing may take: the release is verified, and the run is to end.
const MOST: Duration = Duration::from_secs(120);

impl KubernetesTarget {
    /// What is there of earlier releases and is not among `named`.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(super) async fn leftovers(
        &self,
        cluster: &Cluster,
        history: &History,
        named: &[ObjectId],
    ) -> Result<Vec<Leftover>, KubernetesError> {
        let releases: Vec<ReleaseId> = history.records.iter().map(Record::id).collect();
        let (releases, made) = (&releases, &made_so_far(history));
        let candidates = candidates(history, named);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let others = named_by(&self.store().load_others(cluster).await?);
        let is_shared = |id: &ObjectId| {
            id.namespace.as_deref() != Some(&self.plan.namespace)
                || others.as_ref().is_none_or(|named| named.contains(id))
        };
        let is_shared = &is_shared;
        let look = |id: ObjectId| async move {
            let Some(kind) = cluster.kind(&id.api_version, &id.kind).await? else {
                return Ok(None);
            };
            let live = match cluster.get(&kind, &id).await {
                Ok(Some(live)) => live,
                Ok(None) => return Ok(None),
                Err(error) if error.kind == KubernetesErrorKind::Refused => {
                    return Ok(Some(Leftover {
                        id,
                        kind,
                        uid: None,
                        keep: Some(KeepReason::Unseen),
                    }));
                }
                Err(error) => return Err(error),
            };
            if live.metadata.deletion_timestamp.is_some() {
                return Ok(None);
            }
            let owned = live.metadata.owner_references.as_ref().is_some_and(|o| !o.is_empty());
            let foreign = owned || !is_marked(&live, releases) || !made.contains(&id);
            let keep = match () {
                () if foreign => Some(KeepReason::Foreign),
                () if is_to_be_kept(&live) => Some(KeepReason::Policy),
                () if has(&live, HELM_HOOK) && !has(&live, HOOK) => Some(KeepReason::Hook),
                () if holds_data(&id, &live) => Some(KeepReason::HoldsData),
                () if is_shared(&id) => Some(KeepReason::Shared),
                () => None,
            };
            Ok(Some(Leftover { id, kind, uid: live.metadata.uid, keep }))
        };
        let found: Vec<Result<Option<Leftover>, KubernetesError>> =
            futures::stream::iter(candidates.into_iter().map(look))
                .buffered(AT_ONCE)
                .collect()
                .await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    /// The leftovers beside a record, one line each.
    pub(super) async fn left_beside(
        &self,
        cluster: &Cluster,
        history: &History,
        record: &Record,
    ) -> Result<Vec<String>, KubernetesError> {
        let objects = record.objects();
        let named: Vec<ObjectId> = objects.iter().map(Manifest::id).collect();
        let leftovers = self.leftovers(cluster, history, &named).await?;
        Ok(in_words(&leftovers, self.plan.prune))
    }

    /// The kinds of what would be removed, with their places: the manifests no longer speak of them.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(super) async fn kinds_to_prune(
        &self,
        cluster: &Cluster,
        objects: &[Manifest],
    ) -> Result<Vec<(Kind, Scope)>, KubernetesError> {
        // Not in their namespaces yet: whether an object belongs to the namespace or to the cluster is not known
        // yet, and no record has both.
        let both = |object: &Manifest| {
            let cluster_wide = object.id();
            let mut id = cluster_wide.clone();
            id.namespace.get_or_insert_with(|| self.plan.namespace.clone());
            [cluster_wide, id]
        };
        let named: Vec<ObjectId> = objects.iter().flat_map(both).collect();
        let history = self.history(cluster).await?;
        let mut leftovers = self.leftovers(cluster, &history, &named).await?;
        leftovers.retain(|leftover| matches!(leftover.keep, None | Some(KeepReason::Unseen)));
        let place = |id: &ObjectId| match &id.namespace {
            Some(namespace) => Scope::Namespace(namespace.clone()),
            None => Scope::Cluster(id.name.clone()),
        };
        Ok(leftovers.into_iter().map(|left| (left.kind, place(&left.id))).collect())
    }

    /// Removes what `release`, which is verified, no longer names, where the configuration wants
    /// that. What cannot be removed is told and stays: the release serves all the same. `cancel`
    /// and the time that it may take end it before the next request; what is left is a candidate
    /// again when the next release is verified.
    pub(super) async fn prune_after(
        &self,
        release: ReleaseId,
        events: &EventSink,
        cancel: &CancellationToken,
    ) {
        if !self.plan.prune {
            return;
        }
        let mut removed = Vec::new();
        let work = self.prune_into(release, events, cancel, &mut removed);
        let stopped = |why: &str| KubernetesError::new(KubernetesErrorKind::Cancelled, why);
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(stopped("the run was cancelled")),
            outcome = work => outcome,
            () = tokio::time::sleep(MOST) => {
                let why = format!("the API server did not finish within {} s", MOST.as_secs());
                Err(stopped(&why))
            }
        };
        if !removed.is_empty() {
            let names: Vec<String> = removed.iter().map(ObjectId::to_string).collect();
            let text =
                format!("deleted objects that are no longer in the release: {}", names.join(", "));
            events.send(RunEvent::Notice(Notice::Info(text)));
        }
        if let Err(error) = outcome {
            let text = format!(
                "could not delete all objects that are no longer in the release: {}",
                self.redacted(&error.message)
            );
            events.send(RunEvent::Notice(Notice::Warning(text)));
        }
    }

    async fn prune_into(
        &self,
        release: ReleaseId,
        events: &EventSink,
        cancel: &CancellationToken,
        removed: &mut Vec<ObjectId>,
    ) -> Result<(), KubernetesError> {
        let cluster = self.cluster().await?;
        let cluster = cluster.during(events, cancel);
        let history = self.history(&cluster).await?;
        // What is not verified may give way to what names the objects.
        let Some(record) = history.get(release) else { return Ok(()) };
        let serving = history.serving().map(Record::id);
        if record.release.verified_at.is_none() || serving != Some(release) {
            return Ok(());
        }
        let objects = record.objects();
        let named: Vec<ObjectId> = objects.iter().map(Manifest::id).collect();
        let mut leftovers = self.leftovers(&cluster, &history, &named).await?;
        leftovers.retain(|leftover| leftover.keep.is_none());
        if leftovers.is_empty() {
            return Ok(());
        }
        // Last things first, as they were applied.
        leftovers.sort_by_key(|leftover| {
            std::cmp::Reverse(order::rank(leftover.id.group(), &leftover.id.kind))
        });
        let held = self.acquire_lease(&cluster, record.release.run).await?;
        let cluster = cluster.guarded(&held.hold);
        let mut outcome = Ok(());
        for leftover in leftovers {
            let uid = leftover.uid.as_deref();
            match cluster.delete(&leftover.kind, &leftover.id, uid).await {
                Ok(()) => removed.push(leftover.id),
                // Others may go all the same.
                Err(error) if error.kind == KubernetesErrorKind::Refused => outcome = Err(error),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.release_lease(held).await;
        outcome
    }
}
