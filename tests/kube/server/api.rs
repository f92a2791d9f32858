//! The verbs: effects of writes on the store, and reasons for rejections.

use serde_json::{Value, json};

use super::admission::{self, Denial};
use super::managed::{self, Writer};
use super::resource::{Resource, by_kind};
use super::status::{Mistake, Refusal};
use super::store::{self, Store};
use super::{defaults, patch, typed, validate};

/// How unknown fields are handled (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// A delete's options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deletion {
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) dry_run: bool,
}

/// The API over its store. Controllers write through it too.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) denials: Vec<Denial>,
    /// The `Warning` headers of the next answer.
    pub(crate) warnings: Vec<String>,
}

/// Five characters that Kubernetes uses in generated names.
pub(crate) fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    uuid::Uuid::new_v4()
        .as_bytes()
        .iter()
        .take(5)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

fn metadata_mut(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().unwrap()
}

impl Api {
    pub(crate) fn new() -> Self {
        Self { store: Store::new(), denials: Vec::new(), warnings: Vec::new() }
    }

    fn decode(
        &mut self,
        resource: &Resource,
        object: &Value,
        strictness: Strictness,
    ) -> Result<Value, Refusal> {
        let kind = resource.kind;
        let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        if version != resource.api_version() || object["kind"] != kind {
            return Err(Refusal::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get \
                 version/kind; json parse error"
            )));
        }
        let decoded = typed::decode(resource, object).map_err(|why| {
            Refusal::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {kind}: json: cannot unmarshal: \
                 {why}",
                resource.version
            ))
        })?;
        if !decoded.unknown.is_empty() {
            let told: Vec<String> =
                decoded.unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            match strictness {
                Strictness::Ignore => {}
                Strictness::Warn => self.warnings.extend(told),
                Strictness::Strict => {
                    return Err(Refusal::bad_request(format!(
                        "{kind} in version {:?} cannot be handled as a {kind}: strict decoding \
                         error: {}",
                        resource.version,
                        told.join(", ")
                    )));
                }
            }
        }
        Ok(decoded.object)
    }

    /// Creates an object from what a client sent.
    pub(crate) fn create(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        object: &Value,
        writer: &Writer,
        strictness: Strictness,
    ) -> Result<Value, Refusal> {
        let mut object = self.decode(resource, object, strictness)?;
        self.place(resource, namespace, &mut object)?;
        let metadata = metadata_mut(&mut object);
        if metadata.get("name").is_none()
            && let Some(prefix) = metadata.get("generateName").and_then(Value::as_str)
        {
            let name = format!("{prefix}{}", suffix());
            metadata.insert("name".to_owned(), json!(name));
        }
        if metadata.contains_key("resourceVersion") {
            return Err(Refusal::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let (namespace, name) = store::identity(&object);
        if self.store.get(resource, &namespace, &name).is_some() {
            return Err(Refusal::exists(resource, &name));
        }
        self.complete_new(resource, &mut object);
        managed::note_update(resource, None, &mut object, writer);
        self.insert(resource, object, writer)
    }

    /// The namespace of the request is the object's own.
    fn place(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &mut Value,
    ) -> Result<(), Refusal> {
        if !resource.namespaced {
            metadata_mut(object).shift_remove("namespace");
            return Ok(());
        }
        let metadata = metadata_mut(object);
        match metadata.get("namespace").and_then(Value::as_str) {
            Some(other) if other != namespace => Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the \
                 request",
            )),
            _ => {
                metadata.insert("namespace".to_owned(), json!(namespace));
                Ok(())
            }
        }
    }

    /// The create strategy of a resource.
    fn complete_new(&self, resource: &Resource, object: &mut Value) {
        let metadata = metadata_mut(object);
        for name in ["uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp"] {
            metadata.shift_remove(name);
        }
        if resource.generation {
            metadata.insert("generation".to_owned(), json!(1));
            object.as_object_mut().unwrap().shift_remove("status");
        }
        defaults::fill(resource, object);
        match resource.kind {
            "Pod" => defaults::admit_pod(object),
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
                object["status"] = match resource.kind {
                    "ReplicaSet" | "StatefulSet" => json!({"replicas": 0}),
                    "DaemonSet" => json!({
                        "currentNumberScheduled": 0, "numberMisscheduled": 0,
                        "desiredNumberScheduled": 0, "numberReady": 0,
                    }),
                    _ => json!({}),
                };
            }
            _ => {}
        }
    }

    fn insert(
        &mut self,
        resource: &'static Resource,
        mut object: Value,
        writer: &Writer,
    ) -> Result<Value, Refusal> {
        admission::admit(&self.store, &self.denials, resource, &object)?;
        if resource.kind == "Job" && object["spec"]["selector"].is_null() {
            label_job(&mut object);
        }
        validate::check(resource, None, &object)?;
        if writer.dry_run {
            object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
            object["metadata"]["creationTimestamp"] = json!(store::now());
            return Ok(object);
        }
        let stored = self.store.insert(resource, object);
        if resource.kind == "Namespace" {
            self.furnish(stored["metadata"]["name"].as_str().unwrap_or_default());
        }
        Ok(stored)
    }

    /// The initial objects of every namespace.
    fn furnish(&mut self, namespace: &str) {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        });
        self.store.insert(by_kind("ServiceAccount"), account);
        let authority = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": namespace},
            "data": {"ca.crt": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
        });
        self.store.insert(by_kind("ConfigMap"), authority);
    }

    fn live(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Value, Refusal> {
        self.store
            .get(resource, namespace, name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(resource, name))
    }

    /// Replaces an object, or its status or scale, with a client's object.
    pub(crate) fn update(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        object: &Value,
        writer: &Writer,
        strictness: Strictness,
    ) -> Result<Value, Refusal> {
        let live = self.live(resource, namespace, name)?;
        if writer.subresource == "scale" {
            return self.rescale(resource, &live, object, writer);
        }
        let mut object = self.decode(resource, object, strictness)?;
        self.place(resource, namespace, &mut object)?;
        if object["metadata"]["name"] != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object["metadata"]["name"].as_str().unwrap_or_default()
            )));
        }
        self.commit(resource, &live, object, writer)
    }

    /// Stores `object` over `live`: versions, strategies, managed fields, validation.
    pub(crate) fn commit(
        &mut self,
        resource: &'static Resource,
        live: &Value,
        mut object: Value,
        writer: &Writer,
    ) -> Result<Value, Refusal> {
        let (_, name) = store::identity(live);
        expect_version(resource, &name, live, &object)?;
        if let Some(uid) = object["metadata"]["uid"].as_str()
            && live["metadata"]["uid"] != uid
        {
            let what = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                live["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(Refusal::precondition(resource, &name, &what));
        }
        finish(resource, live, &mut object, writer);
        managed::note_update(resource, Some(live), &mut object, writer);
        self.settle(resource, live, object, writer)
    }

    fn settle(
        &mut self,
        resource: &'static Resource,
        live: &Value,
        mut object: Value,
        writer: &Writer,
    ) -> Result<Value, Refusal> {
        admission::denied(&self.denials, resource)?;
        // Controllers write status through a subresource, which the rules do not name.
        if writer.subresource.is_empty() {
            admission::webhooks(&self.store, resource)?;
        }
        validate::check(resource, Some(live), &object)?;
        if writer.dry_run {
            object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            return Ok(object);
        }
        let stored = self.store.replace(resource, object);
        let gone = stored["metadata"]["deletionTimestamp"].is_string()
            && stored["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && !matches!(resource.kind, "Pod" | "Namespace");
        if gone {
            let (namespace, name) = store::identity(&stored);
            self.store.remove(resource, &namespace, &name);
        }
        Ok(stored)
    }

    fn rescale(
        &mut self,
        resource: &'static Resource,
        live: &Value,
        scale: &Value,
        writer: &Writer,
    ) -> Result<Value, Refusal> {
        let (_, name) = store::identity(live);
        expect_version(resource, &name, live, scale)?;
        let mut object = live.clone();
        object["spec"]["replicas"] = scale["spec"]["replicas"].clone();
        let main = Writer { subresource: "scale".to_owned(), ..writer.clone() };
        let stored = self.commit(resource, live, object, &main)?;
        Ok(scale_of(&stored))
    }

    /// A patch of any kind but apply.
    pub(crate) fn patch(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        change: &patch::Patch,
        writer: &Writer,
        strictness: Strictness,
    ) -> Result<Value, Refusal> {
        let live = self.live(resource, namespace, name)?;
        if writer.subresource == "scale" {
            let patched = change.on(resource.kind, &scale_of(&live))?;
            return self.rescale(resource, &live, &patched, writer);
        }
        let patched = change.on(resource.kind, &live)?;
        let patched = self.decode(resource, &patched, strictness)?;
        self.commit(resource, &live, patched, writer)
    }

    /// Server-side apply; says whether it created.
    pub(crate) fn apply(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        applied: &Value,
        writer: &Writer,
        strictness: Strictness,
    ) -> Result<(Value, bool), Refusal> {
        if writer.manager.is_empty() {
            let mistake = Mistake {
                reason: "FieldValueRequired",
                field: "fieldManager".to_owned(),
                message: "Required value: is required for apply patch".to_owned(),
            };
            let mut refusal = Refusal::invalid(resource, "", &[mistake]);
            refusal.body["message"] = json!(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                 required for apply patch"
            );
            return Err(refusal);
        }
        if applied["metadata"]["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        let mut applied = self.applied(resource, namespace, name, applied, strictness)?;
        self.place(resource, namespace, &mut applied)?;
        let sent = applied["metadata"]["name"].as_str().unwrap_or_default();
        if !sent.is_empty() && sent != name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({sent}) does not match the name on the URL ({name})"
            )));
        }
        applied["metadata"]["name"] = json!(name);
        if writer.subresource.is_empty() && resource.generation {
            applied.as_object_mut().unwrap().shift_remove("status");
        }
        match self.store.get(resource, namespace, name).cloned() {
            None => {
                if applied["metadata"]["resourceVersion"].is_string()
                    || applied["metadata"]["uid"].is_string()
                {
                    return Err(Refusal::stale(resource, name));
                }
                let object = managed::apply(resource, None, &applied, writer, |_| {})?;
                let mut object = object;
                self.complete_new(resource, &mut object);
                Ok((self.insert(resource, object, writer)?, true))
            }
            Some(live) => {
                expect_version(resource, name, &live, &applied)?;
                metadata_mut(&mut applied).shift_remove("resourceVersion");
                let object = managed::apply(resource, Some(&live), &applied, writer, |merged| {
                    finish(resource, &live, merged, writer);
                })?;
                Ok((self.settle(resource, &live, object, writer)?, false))
            }
        }
    }

    /// The applied configuration, decoded: unlike elsewhere, unknown fields are an error without a
    /// reason.
    fn applied(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        applied: &Value,
        strictness: Strictness,
    ) -> Result<Value, Refusal> {
        if applied["apiVersion"] != resource.api_version() || applied["kind"] != resource.kind {
            return Err(Refusal::bad_request(format!(
                "invalid object type: {}, Kind={}",
                applied["apiVersion"].as_str().unwrap_or_default(),
                applied["kind"].as_str().unwrap_or_default()
            )));
        }
        let what =
            format!("{namespace}/{name}; {}, Kind={}", resource.api_version(), resource.kind);
        let failed = |why: String| {
            Refusal::new(500, "", format!("failed to create typed patch object ({what}): {why}"))
        };
        let decoded = typed::decode(resource, applied).map_err(failed)?;
        if let Some(first) = decoded.unknown.first() {
            if strictness == Strictness::Strict {
                return Err(Refusal::bad_request(format!(
                    "strict decoding error: unknown field {first:?}"
                )));
            }
            let told: Vec<String> = decoded
                .unknown
                .iter()
                .map(|field| {
                    let (at, name) = field.rsplit_once('.').unwrap_or(("", field));
                    let dot = if at.is_empty() { "" } else { "." };
                    format!("{dot}{at}.{name}: field not declared in schema")
                })
                .collect();
            let told = match told.as_slice() {
                [one] => one.clone(),
                many => format!("errors:\n  {}", many.join("\n  ")),
            };
            return Err(failed(told));
        }
        Ok(decoded.object)
    }

    /// Deletes an object, at once or gracefully.
    pub(crate) fn delete(
        &mut self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        deletion: &Deletion,
    ) -> Result<Value, Refusal> {
        let live = self.live(resource, namespace, name)?;
        for (what, wanted, field) in [
            ("UID", &deletion.uid, "uid"),
            ("ResourceVersion", &deletion.version, "resourceVersion"),
        ] {
            let has = live["metadata"][field].as_str().unwrap_or_default();
            if let Some(wanted) = wanted
                && wanted != has
            {
                let what = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object \
                     meta: {has}"
                );
                return Err(Refusal::precondition(resource, name, &what));
            }
        }
        let done = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {
                "name": name, "group": resource.group, "kind": resource.plural,
                "uid": live["metadata"]["uid"],
            },
        });
        if deletion.dry_run {
            return Ok(done);
        }
        let mut object = live.clone();
        let mut lingers = false;
        match deletion.propagation.as_deref() {
            Some("Foreground") => {
                let finalizers = &mut object["metadata"]["finalizers"];
                if !finalizers.is_array() {
                    *finalizers = json!([]);
                }
                finalizers.as_array_mut().unwrap().push(json!("foregroundDeletion"));
                lingers = true;
            }
            Some("Orphan") => self.orphan(&live),
            _ => {}
        }
        lingers |= object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let mut grace = 0;
        if resource.kind == "Pod" {
            grace = deletion
                .grace
                .or_else(|| live["spec"]["terminationGracePeriodSeconds"].as_i64())
                .unwrap_or(30);
            let ended = matches!(live["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
            if live["spec"]["nodeName"].is_null() || ended {
                grace = 0;
            }
            lingers |= grace > 0;
        }
        if resource.kind == "Namespace" {
            object["status"]["phase"] = json!("Terminating");
            lingers = true;
        }
        if !lingers {
            self.store.remove(resource, namespace, name);
            return Ok(done);
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!(store::now());
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            if resource.generation {
                let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
                object["metadata"]["generation"] = json!(generation);
            }
            return Ok(self.store.replace(resource, object));
        }
        Ok(live)
    }

    /// Orphans the dependents of an object.
    fn orphan(&mut self, owner: &Value) {
        let (namespace, _) = store::identity(owner);
        let uid = owner["metadata"]["uid"].clone();
        for (resource, mut object) in self.store.in_namespace(&namespace) {
            let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() else {
                continue;
            };
            let before = owners.len();
            owners.retain(|reference| reference["uid"] != uid);
            if owners.len() != before {
                self.store.replace(resource, object);
            }
        }
    }
}

/// A write may require a resource version.
fn expect_version(
    resource: &Resource,
    name: &str,
    live: &Value,
    object: &Value,
) -> Result<(), Refusal> {
    match object["metadata"]["resourceVersion"].as_str() {
        Some(version) if !version.is_empty() && live["metadata"]["resourceVersion"] != version => {
            Err(Refusal::stale(resource, name))
        }
        _ => Ok(()),
    }
}

/// The update strategy of a resource: keeps immutable fields, sets defaults, and increments the
/// generation.
fn finish(resource: &Resource, live: &Value, object: &mut Value, writer: &Writer) {
    for name in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "managedFields",
    ] {
        let kept = live["metadata"][name].clone();
        let metadata = metadata_mut(object);
        if kept.is_null() {
            metadata.shift_remove(name);
        } else {
            metadata.insert(name.to_owned(), kept);
        }
    }
    if writer.subresource == "status" {
        // A status update keeps everything but the status, and the annotations with it.
        let status = object["status"].clone();
        let annotations = object["metadata"]["annotations"].clone();
        *object = live.clone();
        object["status"] = status;
        if annotations.is_object() {
            object["metadata"]["annotations"] = annotations;
        }
        return;
    }
    if resource.subresources.contains(&"status") {
        match live.get("status") {
            Some(status) => object["status"] = status.clone(),
            None => {
                object.as_object_mut().unwrap().shift_remove("status");
            }
        }
    }
    if resource.kind == "Service" {
        for name in ["clusterIP", "clusterIPs"] {
            if object["spec"][name].is_null() {
                object["spec"][name] = live["spec"][name].clone();
            }
        }
    }
    defaults::fill(resource, object);
    if resource.kind == "Job" {
        for name in ["selector", "manualSelector"] {
            if object["spec"][name].is_null() {
                object["spec"][name] = live["spec"][name].clone();
            }
        }
        let labels = &live["spec"]["template"]["metadata"]["labels"];
        for name in JOB_LABELS {
            let mut_labels = &mut object["spec"]["template"]["metadata"]["labels"];
            if mut_labels[*name].is_null() && labels[*name].is_string() {
                mut_labels[*name] = labels[*name].clone();
            }
        }
    }
    if resource.generation {
        let annotated = resource.kind == "Deployment"
            && object["metadata"]["annotations"] != live["metadata"]["annotations"];
        if object["spec"] != live["spec"] || annotated {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            object["metadata"]["generation"] = json!(generation);
        }
    }
}

const JOB_LABELS: &[&str] = &[
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];

/// The selector and labels that a new job gets.
fn label_job(job: &mut Value) {
    let uid = uuid::Uuid::new_v4().to_string();
    let name = job["metadata"]["name"].clone();
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    if !job["spec"]["template"]["metadata"].is_object() {
        job["spec"]["template"]["metadata"] = json!({});
    }
    if !job["spec"]["template"]["metadata"]["labels"].is_object() {
        job["spec"]["template"]["metadata"]["labels"] = json!({});
    }
    for label in JOB_LABELS {
        let value = if label.ends_with("uid") { json!(uid) } else { name.clone() };
        job["spec"]["template"]["metadata"]["labels"][*label] = value;
    }
}

/// The `scale` subresource of a workload.
pub(crate) fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let selector = object["spec"]["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",");
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"],
            "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object["status"]["replicas"], "selector": selector},
    })
}
