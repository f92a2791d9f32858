//! What a release would do to the cluster: asked of the cluster, changing nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use super::admission_error::ENDING;
use super::cluster::{ApplyError, Cluster, Kind, Ownership, WriteMode};
use super::diff;
use super::error::{KubernetesError, KubernetesErrorKind};
use super::manifest::labels::{MANAGED_BY, MANAGER, Stamp};
use super::manifest::{Manifest, ObjectId, checksum, order, waves};
use super::ownership::{Owned, owners};
use super::scaler::{Scaled, is_scalable, leave_replicas};
use super::transient_refusal::{TransientRefusal, transient_refusal};
use greenloop_model::{Notice, RunEvent};

/// Objects that are looked at at the same time.
const AT_ONCE: usize = 6;
/// Complaints that are shown.
const COMPLAINTS: usize = 20;

/// What the objects are to be applied for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A new release: everything must be valid, and nobody's fields are taken who is no person.
    Rollout,
    /// One that has served before: it must serve again, whatever blocks it.
    Restore,
}

/// One object and what is to be done about it.
#[derive(Debug, Clone)]
pub(super) struct PlannedObject {
    pub(super) object: Manifest,
    /// `None` while the release itself has yet to bring the kind.
    pub(super) kind: Option<Kind>,
    /// As it is now.
    pub(super) live: Option<DynamicObject>,
    /// As it would be; `None` where that cannot be asked yet.
    pub(super) after: Option<Value>,
    pub(super) ownership: Ownership,
    /// A finished Job cannot be changed: it is removed and made again.
    pub(super) replace: bool,
}

impl PlannedObject {
    /// Whether there was nothing of it before.
    pub(super) fn creates(&self) -> bool {
        self.live.is_none() || self.replace
    }

    /// What would change.
    pub(super) fn diff(&self) -> String {
        let live = self.live.as_ref().and_then(|live| serde_json::to_value(live).ok());
        let after = self.after.as_ref().unwrap_or(self.object.value());
        diff::one(&self.object.id().to_string(), live.as_ref(), Some(after))
    }
}

/// The kinds that CustomResourceDefinitions among the objects bring: whether they are namespaced,
/// by group and kind.
fn brought(objects: &[Manifest]) -> BTreeMap<(String, String), bool> {
    let definitions = objects.iter().filter(|o| o.kind() == "CustomResourceDefinition");
    definitions
        .filter_map(|definition| {
            let text = |pointer: &str| definition.value().pointer(pointer)?.as_str();
            let key = (text("/spec/group")?.to_owned(), text("/spec/names/kind")?.to_owned());
            Some((key, text("/spec/scope") != Some("Cluster")))
        })
        .collect()
}

fn unknown(object: &Manifest) -> KubernetesError {
    let message = format!(
        "{}: the cluster has no kind {} in {}",
        object.origin,
        object.kind(),
        object.api_version()
    );
    KubernetesError::new(KubernetesErrorKind::Manifest, message)
}

/// Objects as they go to the cluster, in order: each in its namespace, marked, and with the
/// checksums of what it reads.
pub(super) async fn stamped(
    cluster: &Cluster,
    mut objects: Vec<Manifest>,
    namespace: &str,
    stamp: &Stamp,
    occasion: waves::Occasion,
) -> Result<Vec<Manifest>, KubernetesError> {
    objects.retain(|object| !waves::is_for_another_occasion(object, occasion));
    let brought = brought(&objects);
    let mut complaints = Vec::new();
    for object in &mut objects {
        let known = cluster.kind(object.api_version(), object.kind()).await?;
        let own = (object.group().to_owned(), object.kind().to_owned());
        match known.map(|kind| kind.namespaced).or(brought.get(&own).copied()) {
            Some(namespaced) => stamp.put_on(object, namespaced, namespace),
            None => complaints.push(unknown(object)),
        }
    }
    one_of(complaints)?;
    super::manifest::parse::refuse_doubles(&objects)?;
    checksum::mark(&mut objects);
    order::sort(&mut objects);
    waves::waves(&objects)?;
    Ok(objects)
}

/// The first complaint, with the others as its notes.
fn one_of(complaints: Vec<KubernetesError>) -> Result<(), KubernetesError> {
    let mut complaints = complaints.into_iter();
    let Some(first) = complaints.next() else { return Ok(()) };
    let more: Vec<KubernetesError> = complaints.collect();
    let left_out = more.len().saturating_sub(COMPLAINTS);
    let mut notes: Vec<String> = Vec::new();
    for error in more.into_iter().take(COMPLAINTS) {
        notes.push(error.message);
        notes.extend(error.notes);
    }
    if left_out > 0 {
        let more = greenloop_model::counted(left_out, "more object", "more objects");
        notes.push(format!("and {more}"));
    }
    Err(first.noting(notes))
}

/// Looks at every object, and for a rollout asks the API server to try it.
///
/// # Errors
/// All complaints together, the first one first.
pub(super) async fn dry_run(
    cluster: &Cluster,
    objects: Vec<Manifest>,
    purpose: Purpose,
) -> Result<Vec<PlannedObject>, KubernetesError> {
    let missing = missing_namespaces(cluster, &objects, purpose).await?;
    let scaled = scaled(cluster, &objects, &missing).await?;
    let look = |object: Manifest| one(cluster, object, purpose, &missing, &scaled);
    let looked: Vec<Result<PlannedObject, KubernetesError>> =
        futures::stream::iter(objects.into_iter().map(look)).buffered(AT_ONCE).collect().await;
    let mut steps = Vec::with_capacity(looked.len());
    let mut complaints = Vec::new();
    for step in looked {
        match step {
            Ok(step) => steps.push(step),
            // Nothing is wrong with the objects, and asking on would take minutes for each.
            Err(error) if error.kind == KubernetesErrorKind::Unreachable => return Err(error),
            Err(error) => complaints.push(error),
        }
    }
    one_of(complaints)?;
    Ok(steps)
}

/// Namespaces of the objects that do not exist. One that is being deleted ends a rollout; what is
/// restored may be in it still.
async fn missing_namespaces(
    cluster: &Cluster,
    objects: &[Manifest],
    purpose: Purpose,
) -> Result<BTreeSet<String>, KubernetesError> {
    let used: BTreeSet<&str> = objects.iter().filter_map(Manifest::namespace).collect();
    let mut missing = BTreeSet::new();
    for namespace in used {
        match (namespace_state(cluster, namespace).await?, purpose) {
            (NamespaceState::Missing, _) => {
                missing.insert(namespace.to_owned());
            }
            (NamespaceState::Ending(error), Purpose::Rollout) => return Err(error),
            (NamespaceState::Ending(_), Purpose::Restore) | (NamespaceState::Active, _) => {}
        }
    }
    Ok(missing)
}

fn namespace_id(name: &str) -> ObjectId {
    ObjectId {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        namespace: None,
        name: name.to_owned(),
    }
}

/// How a namespace is.
pub(super) enum NamespaceState {
    /// It does not exist.
    Missing,
    /// It exists, or may not be looked at.
    Active,
    /// It is being deleted: nothing can be created in it. Says so, and what holds it.
    Ending(KubernetesError),
}

/// How the namespace is now.
pub(super) async fn namespace_state(
    cluster: &Cluster,
    name: &str,
) -> Result<NamespaceState, KubernetesError> {
    let Some(kind) = cluster.kind("v1", "Namespace").await? else {
        return Ok(NamespaceState::Active);
    };
    match cluster.get(&kind, &namespace_id(name)).await {
        Ok(None) => Ok(NamespaceState::Missing),
        Ok(Some(live)) if live.metadata.deletion_timestamp.is_some() => {
            Ok(NamespaceState::Ending(ending(name, &live)))
        }
        Ok(Some(_)) => Ok(NamespaceState::Active),
        Err(error) if error.kind == KubernetesErrorKind::Refused => Ok(NamespaceState::Active),
        Err(error) => Err(error),
    }
}

/// A namespace that is being deleted, with what its controller says it still waits for.
fn ending(name: &str, live: &DynamicObject) -> KubernetesError {
    let since = live.metadata.deletion_timestamp.as_ref();
    let since = since.map(|time| format!(" since {}", time.0)).unwrap_or_default();
    let message = format!(
        "the namespace {name} is being deleted{since}, and nothing can be created in it: {ENDING}"
    );
    let conditions = live.data.pointer("/status/conditions").and_then(Value::as_array);
    let held = conditions.into_iter().flatten().filter_map(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str);
        let words = text("message").filter(|words| !words.is_empty())?;
        (text("status") == Some("True")).then(|| words.to_owned())
    });
    let look = format!("`kubectl get namespace {name} --output yaml` shows what holds it");
    KubernetesError::new(KubernetesErrorKind::Waiting, message).noting(held.chain([look]))
}

/// Makes the environment's own namespace, where the lease and the records will be.
pub(super) async fn make_namespace(cluster: &Cluster, name: &str) -> Result<(), KubernetesError> {
    match namespace_state(cluster, name).await? {
        NamespaceState::Missing => {}
        NamespaceState::Active => return Ok(()),
        NamespaceState::Ending(error) => return Err(error),
    }
    let Some(kind) = cluster.kind("v1", "Namespace").await? else { return Ok(()) };
    let value = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {MANAGED_BY: MANAGER}},
    });
    let origin = super::manifest::Origin { file: "environment".to_owned(), line: None };
    let Ok(object) = Manifest::new(value, origin) else { return Ok(()) };
    match cluster.apply(&kind, &object, WriteMode::Real, Ownership::Respected).await {
        Ok(_) => {
            let text = format!("created the namespace {name}");
            cluster.events().send(RunEvent::Notice(Notice::Info(text)));
            Ok(())
        }
        // Made by somebody else meanwhile.
        Err(ApplyError::Conflict(_)) => Ok(()),
        Err(ApplyError::Failed(error)) => {
            let message = format!("the namespace {name} does not exist and could not be created");
            Err(KubernetesError::new(error.kind, message).because(error))
        }
    }
}

/// What autoscalers look after, in the cluster and among the objects themselves.
async fn scaled(
    cluster: &Cluster,
    objects: &[Manifest],
    missing: &BTreeSet<String>,
) -> Result<Scaled, KubernetesError> {
    let mut scaled = Scaled::default();
    let own = objects.iter().filter(|object| object.kind() == "HorizontalPodAutoscaler");
    own.for_each(|object| scaled.add(object.value()));
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter(|object| is_scalable(object))
        .filter_map(Manifest::namespace)
        .filter(|namespace| !missing.contains(*namespace))
        .collect();
    if namespaces.is_empty() {
        return Ok(scaled);
    }
    let Some(kind) = cluster.kind("autoscaling/v2", "HorizontalPodAutoscaler").await? else {
        return Ok(scaled);
    };
    for namespace in namespaces {
        match cluster.list(&kind, namespace, "").await {
            Ok(list) => {
                for autoscaler in list {
                    if let Ok(value) = serde_json::to_value(autoscaler) {
                        scaled.add(&value);
                    }
                }
            }
            Err(error) if error.kind == KubernetesErrorKind::Refused => {
                let text = format!(
                    "no permission to list autoscalers in {namespace}: replicas are set as in the \
                     manifests"
                );
                cluster.events().send(RunEvent::Notice(Notice::Warning(text)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(scaled)
}

async fn one(
    cluster: &Cluster,
    mut object: Manifest,
    purpose: Purpose,
    missing: &BTreeSet<String>,
    scaled: &Scaled,
) -> Result<PlannedObject, KubernetesError> {
    let kind = cluster.kind(object.api_version(), object.kind()).await?;
    let nowhere = object.namespace().is_some_and(|namespace| missing.contains(namespace));
    let Some(known) = kind.clone().filter(|_| !nowhere) else {
        let ownership = Ownership::Respected;
        return Ok(PlannedObject {
            object,
            kind,
            live: None,
            after: None,
            ownership,
            replace: false,
        });
    };
    let live = cluster.get(&known, &object.id()).await?;
    if scaled.has(&object) {
        leave_replicas(&mut object, live.as_ref());
    }
    let mut step = PlannedObject {
        object,
        kind,
        live,
        after: None,
        ownership: Ownership::Taken,
        replace: false,
    };
    match purpose {
        Purpose::Restore => {
            resume(&mut step);
            Ok(step)
        }
        Purpose::Rollout => {
            step.ownership = Ownership::Respected;
            try_out(cluster, &known, &mut step).await?;
            refuse_paused(&step)?;
            Ok(step)
        }
    }
}

async fn try_out(
    cluster: &Cluster,
    kind: &Kind,
    step: &mut PlannedObject,
) -> Result<(), KubernetesError> {
    if is_job(&step.object) && step.live.as_ref().is_some_and(has_failed) {
        // A failed Job fails for ever; the release wants it to be done.
        step.replace = true;
        return Ok(());
    }
    let answer = cluster.apply(kind, &step.object, WriteMode::Dry, step.ownership).await;
    let after = match answer {
        Ok(after) => after,
        Err(ApplyError::Conflict(fields)) => {
            let owned = owners(step.live.as_ref(), fields);
            take_from_people(cluster, &step.object, &owned)?;
            step.ownership = Ownership::Taken;
            match cluster.apply(kind, &step.object, WriteMode::Dry, Ownership::Taken).await {
                Ok(after) => after,
                Err(ApplyError::Conflict(fields)) => return Err(conflict(&step.object, fields)),
                Err(ApplyError::Failed(error)) => return Err(error),
            }
        }
        Err(ApplyError::Failed(error)) => {
            // A Job's template cannot be changed, which the server calls invalid.
            let job = is_job(&step.object) && error.kind == KubernetesErrorKind::Manifest;
            match step.live.as_ref().filter(|_| job) {
                Some(live) if has_ended(live) => {
                    step.replace = true;
                    return Ok(());
                }
                Some(_running) => {
                    let message = format!(
                        "{} is still running, and a Job cannot be changed: wait for it, or delete \
                         it",
                        step.object.id()
                    );
                    return Err(KubernetesError::new(KubernetesErrorKind::Waiting, message));
                }
                // Nothing is wrong with the object: that is found out when it is written.
                None if transient_refusal(&error) == Some(TransientRefusal::Webhook) => {
                    let text =
                        format!("{} cannot be validated yet: {}", step.object.id(), error.message);
                    cluster.events().send(RunEvent::Notice(Notice::Warning(text)));
                    return Ok(());
                }
                None => return Err(error),
            }
        }
    };
    step.after = serde_json::to_value(after).ok();
    Ok(())
}

fn is_job(object: &Manifest) -> bool {
    object.kind() == "Job" && object.group() == "batch"
}

fn has_condition(job: &DynamicObject, of: &[&str]) -> bool {
    let conditions = job.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str);
        text("type").is_some_and(|kind| of.contains(&kind)) && text("status") == Some("True")
    })
}

fn has_failed(job: &DynamicObject) -> bool {
    has_condition(job, &["Failed"])
}

fn has_ended(job: &DynamicObject) -> bool {
    has_condition(job, &["Failed", "Complete"])
}

/// Lets the release have fields that people own, and says so; refuses those of others.
pub(super) fn take_from_people(
    cluster: &Cluster,
    object: &Manifest,
    owned: &[Owned],
) -> Result<(), KubernetesError> {
    if !owned.iter().all(Owned::is_peoples) {
        let kept: Vec<String> =
            owned.iter().filter(|owned| !owned.is_peoples()).map(Owned::to_string).collect();
        let message = format!(
            "{}: {} is also managed by others: {}; remove these fields from the manifest, or have \
             the other manager release them",
            object.origin,
            object.id(),
            kept.join(", ")
        );
        return Err(KubernetesError::new(KubernetesErrorKind::Conflict, message));
    }
    for owned in owned {
        let text = format!("{}: {owned}; taking it over", object.id());
        cluster.events().send(RunEvent::Notice(Notice::Info(text)));
    }
    Ok(())
}

pub(super) fn conflict(object: &Manifest, fields: Vec<String>) -> KubernetesError {
    let message =
        format!("{}: {}: conflict over {}", object.origin, object.id(), fields.join(", "));
    KubernetesError::new(KubernetesErrorKind::Conflict, message)
}

fn is_paused(value: &Value) -> bool {
    value.pointer("/spec/paused").and_then(Value::as_bool) == Some(true)
}

/// A paused Deployment never gets new pods: that is said now, not after a deadline.
fn refuse_paused(step: &PlannedObject) -> Result<(), KubernetesError> {
    let object = &step.object;
    if object.kind() != "Deployment" || !step.after.as_ref().is_some_and(is_paused) {
        return Ok(());
    }
    if is_paused(object.value()) {
        let message = format!(
            "{}: {} is paused (`spec.paused`), so its pods would not be updated",
            object.origin,
            object.id()
        );
        return Err(KubernetesError::new(KubernetesErrorKind::Manifest, message));
    }
    let message = format!(
        "{id} is paused in the cluster, so its pods would not be updated: `kubectl rollout resume \
         {id} --namespace {}`",
        object.namespace().unwrap_or_default(),
        id = object.id(),
    );
    Err(KubernetesError::new(KubernetesErrorKind::Waiting, message))
}

/// What was paused since it served goes on, or it could not serve again.
fn resume(step: &mut PlannedObject) {
    let paused = step.object.kind() == "Deployment"
        && step.live.as_ref().is_some_and(|live| {
            live.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true)
        });
    let spec = step.object.body_mut().find(|(key, _)| *key == "spec");
    if let Some((_, Value::Object(spec))) = spec.filter(|_| paused) {
        spec.insert("paused".to_owned(), false.into());
    }
}
