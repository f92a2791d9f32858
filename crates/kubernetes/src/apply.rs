//! Writing a release: object after object, in order.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::DynamicObject;
use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{ApplyError, Cluster, Kind, Ownership, WriteMode};
use super::diff;
use super::dry_run::{PlannedObject, conflict, take_from_people};
use super::error::{KubernetesError, KubernetesErrorKind};
use super::manifest::labels::RELEASE;
use super::manifest::object::template_at;
use super::manifest::{Manifest, ObjectId, order};
use super::ownership::{Owned, owners};
use super::prune;
use super::track::{Workload, WorkloadKind};
use greenloop_model::{Notice, ReleaseId, RunEvent};

/// How long a kind may take until it is served, and a Job until it is gone.
const SETTLING: Duration = Duration::from_secs(60);
/// Objects that are written at the same time.
const AT_ONCE: usize = 6;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// An object that was written.
#[derive(Debug, Clone)]
pub(super) struct AppliedObject {
    pub(super) id: ObjectId,
    before: Option<DynamicObject>,
    after: DynamicObject,
}

impl AppliedObject {
    pub(super) fn was_created(&self) -> bool {
        self.before.is_none()
    }

    /// Whether the write did anything at all.
    pub(super) fn has_changed(&self) -> bool {
        let version = |object: &DynamicObject| object.metadata.resource_version.clone();
        self.before.as_ref().is_none_or(|before| version(before) != version(&self.after))
    }

    /// What the write changed, marks aside.
    pub(super) fn diff(&self) -> String {
        let value = |object: &DynamicObject| serde_json::to_value(object).ok();
        let before = self.before.as_ref().and_then(value);
        diff::one(&self.id.to_string(), before.as_ref(), value(&self.after).as_ref())
    }

    /// The object as something to follow, when it is of a kind that can be.
    pub(super) fn workload(&self) -> Option<Workload> {
        let kind = workload_kind(&self.id)?;
        let template = |object: &DynamicObject| -> Option<Value> {
            object.data.pointer(template_at(&self.id.kind)?).cloned()
        };
        let changed =
            self.before.as_ref().is_none_or(|before| template(before) != template(&self.after));
        Some(workload_of(kind, &self.after, changed))
    }
}

/// The kind of workload an object is.
pub(super) fn workload_kind(id: &ObjectId) -> Option<WorkloadKind> {
    let group = match id.kind.as_str() {
        "Job" => "batch",
        _ => "apps",
    };
    WorkloadKind::ALL.into_iter().find(|kind| kind.name() == id.kind && id.group() == group)
}

pub(super) fn workload_of(kind: WorkloadKind, object: &DynamicObject, changed: bool) -> Workload {
    Workload {
        kind,
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        changed,
    }
}

/// Applies the steps of one rank at the same time: what has served together before needs no order
/// within it.
///
/// # Errors
/// At the first object that cannot be written, and when the lease is lost.
pub(super) async fn write_together(
    cluster: &Cluster,
    steps: Vec<PlannedObject>,
) -> Result<Vec<AppliedObject>, KubernetesError> {
    let rank = |step: &PlannedObject| order::rank(step.object.group(), step.object.kind());
    let mut written = Vec::with_capacity(steps.len());
    let mut steps = steps.into_iter().peekable();
    while let Some(first) = steps.next() {
        let own = rank(&first);
        let mut group = vec![first];
        while let Some(next) = steps.next_if(|next| rank(next) == own) {
            group.push(next);
        }
        let writes = group.into_iter().map(|step| one(cluster, step));
        let done: Vec<AppliedObject> =
            futures::stream::iter(writes).buffered(AT_ONCE).try_collect().await?;
        written.extend(done);
    }
    Ok(written)
}

/// Applies one step.
///
/// # Errors
/// When it cannot be written, or the lease is lost.
pub(super) async fn one(
    cluster: &Cluster,
    step: PlannedObject,
) -> Result<AppliedObject, KubernetesError> {
    let PlannedObject { object, kind, live, ownership, replace, .. } = step;
    let id = object.id();
    let kind = match kind {
        Some(kind) => kind,
        None => served(cluster, &object).await?,
    };
    let before = if replace {
        let uid = live.as_ref().and_then(|live| live.metadata.uid.clone());
        cluster.delete(&kind, &id, uid.as_deref()).await?;
        gone(cluster, &kind, &id).await?;
        None
    } else {
        live
    };
    let after = match cluster.apply(&kind, &object, WriteMode::Real, ownership).await {
        Ok(after) => after,
        Err(ApplyError::Failed(error)) => return Err(error),
        // Somebody has written between the look and the write.
        Err(ApplyError::Conflict(fields)) => {
            let current = cluster.get(&kind, &id).await?;
            let owned: Vec<Owned> = owners(current.as_ref(), fields);
            take_from_people(cluster, &object, &owned)?;
            match cluster.apply(&kind, &object, WriteMode::Real, Ownership::Taken).await {
                Ok(after) => after,
                Err(ApplyError::Conflict(fields)) => return Err(conflict(&object, fields)),
                Err(ApplyError::Failed(error)) => return Err(error),
            }
        }
    };
    if id.kind == "CustomResourceDefinition" {
        established(cluster, &kind, &id).await?;
    }
    Ok(AppliedObject { id, before, after })
}

/// Waits until the API server serves the object's kind, which the release has just brought.
async fn served(cluster: &Cluster, object: &Manifest) -> Result<Kind, KubernetesError> {
    let deadline = Instant::now() + SETTLING;
    loop {
        if let Some(kind) = cluster.kind(object.api_version(), object.kind()).await? {
            return Ok(kind);
        }
        if Instant::now() > deadline || cluster.cancel().is_cancelled() {
            let message = format!(
                "{}: the cluster has no kind {} in {}",
                object.origin,
                object.kind(),
                object.api_version()
            );
            return Err(KubernetesError::new(KubernetesErrorKind::Manifest, message));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn established(cluster: &Cluster, kind: &Kind, id: &ObjectId) -> Result<(), KubernetesError> {
    let deadline = Instant::now() + SETTLING;
    while Instant::now() < deadline && !cluster.cancel().is_cancelled() {
        let found = cluster.get(kind, id).await?;
        let conditions = found.as_ref().and_then(|o| o.data.pointer("/status/conditions"));
        let established = conditions.and_then(Value::as_array).into_iter().flatten().any(|c| {
            c.get("type").and_then(Value::as_str) == Some("Established")
                && c.get("status").and_then(Value::as_str) == Some("True")
        });
        if established {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    let message = format!("{id} is not established");
    Err(KubernetesError::new(KubernetesErrorKind::Manifest, message))
}

async fn gone(cluster: &Cluster, kind: &Kind, id: &ObjectId) -> Result<(), KubernetesError> {
    let deadline = Instant::now() + SETTLING;
    while cluster.get(kind, id).await?.is_some() {
        if Instant::now() > deadline || cluster.cancel().is_cancelled() {
            let message = format!("{id} is being deleted, but still exists");
            return Err(KubernetesError::new(KubernetesErrorKind::Waiting, message));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Removes what `releases` brought and `kept` does not name, last things first: objects that
/// are another release's by now are left alone, and what holds data stays. What was removed.
pub(super) async fn remove(
    cluster: &Cluster,
    releases: &[ReleaseId],
    brought: &[ObjectId],
    kept: &[ObjectId],
) -> Result<Vec<ObjectId>, KubernetesError> {
    let mut ids: Vec<&ObjectId> = brought.iter().filter(|id| !kept.contains(id)).collect();
    ids.sort_by_key(|id| std::cmp::Reverse(order::rank(id.group(), &id.kind)));
    let mut removed = Vec::new();
    for id in ids {
        let Some(kind) = cluster.kind(&id.api_version, &id.kind).await? else { continue };
        let Some(live) = cluster.get(&kind, id).await? else { continue };
        let annotations = live.metadata.annotations.as_ref();
        let release = annotations.and_then(|a| a.get(RELEASE));
        let ours = release.is_some_and(|of| releases.iter().any(|id| id.to_string() == *of));
        if !ours {
            continue;
        }
        if prune::is_to_be_kept(&live) {
            let text = format!(
                "kept {id}, which a later release created: `helm.sh/resource-policy: keep`"
            );
            cluster.events().send(RunEvent::Notice(Notice::Info(text)));
            continue;
        }
        if prune::holds_data(id, &live) {
            let text = format!("kept {id}, which a later release created: it may hold data");
            cluster.events().send(RunEvent::Notice(Notice::Info(text)));
            continue;
        }
        cluster.delete(&kind, id, live.metadata.uid.as_deref()).await?;
        removed.push(id.clone());
    }
    Ok(removed)
}
