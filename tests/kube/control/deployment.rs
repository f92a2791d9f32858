//! Deployments: a new ReplicaSet for a new template; old ones scale down while it scales up.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::pods;
use super::replica_set::drop_zeros;
use super::{clock, condition, recorder};
use crate::server::api::{Api, Strictness};
use crate::server::managed::Writer;
use crate::server::resource::by_kind;
use crate::server::store;

const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";
const MANAGER: &str = "kube-controller-manager";

/// When each deployment (by uid) last made progress.
pub(crate) type Progress = BTreeMap<String, Instant>;

pub(crate) fn sync(api: &mut Api, progress: &mut Progress) {
    let all: Vec<Value> = api.store.list(by_kind("Deployment"), None).cloned().collect();
    for deployment in all.iter().filter(|deployment| !pods::leaving(deployment)) {
        Rollout::of(api, deployment).sync(progress);
    }
}

fn count(object: &Value, part: &str, name: &str) -> i64 {
    object[part][name].as_i64().unwrap_or(0)
}

fn wanted(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The template without the label that its ReplicaSet adds.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove(HASH);
    }
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.shift_remove("creationTimestamp");
    }
    template
}

/// `25%` of `replicas`, or a number.
fn fraction(value: &Value, replicas: i64, up: bool) -> i64 {
    match value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok()) {
        Some(percent) if up => (replicas * percent + 99) / 100,
        Some(percent) => replicas * percent / 100,
        None => value.as_i64().unwrap_or(0),
    }
}

struct Rollout<'a> {
    api: &'a mut Api,
    deployment: Value,
    new: Option<Value>,
    old: Vec<Value>,
}

impl<'a> Rollout<'a> {
    fn of(api: &'a mut Api, deployment: &Value) -> Self {
        let mut rollout = Self { api, deployment: deployment.clone(), new: None, old: Vec::new() };
        rollout.read();
        rollout
    }

    fn read(&mut self) {
        let template = plain(&self.deployment["spec"]["template"]);
        let (mut new, mut old) = (None, Vec::new());
        for set in pods::owned(self.api, "ReplicaSet", &self.deployment) {
            if new.is_none() && plain(&set["spec"]["template"]) == template {
                new = Some(set);
            } else {
                old.push(set);
            }
        }
        (self.new, self.old) = (new, old);
    }

    fn limits(&self) -> (i64, i64) {
        let replicas = wanted(&self.deployment);
        let strategy = &self.deployment["spec"]["strategy"];
        if strategy["type"] == "Recreate" {
            return (0, replicas);
        }
        let surge = fraction(&strategy["rollingUpdate"]["maxSurge"], replicas, true);
        let missing = fraction(&strategy["rollingUpdate"]["maxUnavailable"], replicas, false);
        (surge, if surge == 0 && missing == 0 { 1 } else { missing.min(replicas) })
    }

    fn sync(mut self, progress: &mut Progress) {
        let paused = self.deployment["spec"]["paused"] == true;
        let mut status = self.deployment["status"].clone();
        self.pause(&mut status, paused);
        if !paused {
            self.ensure_new(&mut status, progress);
        }
        self.roll(paused);
        self.read();
        self.tell(status, progress, paused);
        if self.complete() {
            self.forget();
        }
    }

    fn pause(&self, status: &mut Value, paused: bool) {
        let reason = condition::find(&json!({"status": status}), "Progressing")
            .map(|condition| condition["reason"].clone())
            .unwrap_or_default();
        if reason == "ProgressDeadlineExceeded" {
            return;
        }
        if paused && reason != "DeploymentPaused" {
            let told = "Deployment is paused";
            condition::set(status, "Progressing", false, "DeploymentPaused", told, true);
        } else if !paused && reason == "DeploymentPaused" {
            let told = "Deployment is resumed";
            condition::set(status, "Progressing", true, "DeploymentResumed", told, true);
        }
    }

    /// The ReplicaSet of the template exists and has the newest revision.
    fn ensure_new(&mut self, status: &mut Value, progress: &mut Progress) {
        let uid = self.deployment["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let newest = self.old.iter().map(revision).max().unwrap_or(0) + 1;
        match self.new.clone() {
            Some(set) => {
                let mut set_now = set.clone();
                if revision(&set) < newest {
                    let before = set["metadata"]["annotations"][REVISION].clone();
                    set_now["metadata"]["annotations"][REVISION] = json!(newest.to_string());
                    let mut history =
                        set["metadata"]["annotations"][HISTORY].as_str().unwrap_or("").to_owned();
                    if let Some(before) = before.as_str() {
                        if !history.is_empty() {
                            history.push(',');
                        }
                        history.push_str(before);
                        set_now["metadata"]["annotations"][HISTORY] = json!(history);
                    }
                    progress.insert(uid.clone(), Instant::now());
                    let name = set["metadata"]["name"].as_str().unwrap_or_default();
                    let told = format!("Found new replica set {name:?}");
                    if condition::find(&json!({"status": status}), "Progressing").is_none() {
                        let reason = "FoundNewReplicaSet";
                        condition::set(status, "Progressing", true, reason, &told, true);
                    }
                }
                let minimum = self.deployment["spec"]["minReadySeconds"].clone();
                if set_now["spec"]["minReadySeconds"] != minimum && !minimum.is_null() {
                    set_now["spec"]["minReadySeconds"] = minimum;
                }
                self.write(&set, set_now);
            }
            None => {
                self.create(newest);
                progress.insert(uid, Instant::now());
                self.read();
                if let Some(set) = &self.new {
                    let name = set["metadata"]["name"].as_str().unwrap_or_default();
                    let told = format!("Created new replica set {name:?}");
                    condition::set(
                        status,
                        "Progressing",
                        true,
                        "NewReplicaSetCreated",
                        &told,
                        true,
                    );
                }
            }
        }
        self.read();
        let Some(set) = &self.new else { return };
        let is = json!(revision(set).to_string());
        if self.deployment["metadata"]["annotations"][REVISION] != is {
            let mut changed = self.deployment.clone();
            if !changed["metadata"]["annotations"].is_object() {
                changed["metadata"]["annotations"] = json!({});
            }
            changed["metadata"]["annotations"][REVISION] = is;
            let writer = Writer::of_status(MANAGER);
            let live = self.deployment.clone();
            if let Ok(stored) = self.api.commit(by_kind("Deployment"), &live, changed, &writer) {
                self.deployment = stored;
            }
        }
    }

    fn create(&mut self, revision: i64) {
        let (namespace, name) = store::identity(&self.deployment);
        let template = plain(&self.deployment["spec"]["template"]);
        let hash = pods::hash(&template);
        let mut set_template = template;
        set_template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = self.deployment["spec"]["selector"].clone();
        if !selector["matchLabels"].is_object() {
            selector["matchLabels"] = json!({});
        }
        selector["matchLabels"][HASH] = json!(hash);
        let mut annotations = self.deployment["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = json!({});
        }
        annotations
            .as_object_mut()
            .unwrap()
            .shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        let replicas = wanted(&self.deployment);
        annotations[REVISION] = json!(revision.to_string());
        annotations[DESIRED] = json!(replicas.to_string());
        annotations[MAXIMUM] = json!((replicas + self.limits().0).to_string());
        let mut set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{name}-{hash}"), "namespace": namespace,
                "labels": set_template["metadata"]["labels"], "annotations": annotations,
                "ownerReferences": pods::owner_reference(&self.deployment),
            },
            "spec": {
                "replicas": 0, "selector": selector, "template": set_template,
            },
        });
        if let Some(minimum) = self.deployment["spec"]["minReadySeconds"].as_i64() {
            set["spec"]["minReadySeconds"] = json!(minimum);
        }
        let writer = Writer::named(MANAGER);
        let _refused =
            self.api.create(by_kind("ReplicaSet"), &namespace, &set, &writer, Strictness::Ignore);
    }

    fn write(&mut self, live: &Value, changed: Value) {
        if *live != changed {
            let writer = Writer::named(MANAGER);
            let _refused = self.api.commit(by_kind("ReplicaSet"), live, changed, &writer);
        }
    }

    fn scale(&mut self, set: &Value, to: i64) {
        let from = wanted(set);
        let mut changed = set.clone();
        changed["spec"]["replicas"] = json!(to);
        let replicas = wanted(&self.deployment);
        changed["metadata"]["annotations"][DESIRED] = json!(replicas.to_string());
        changed["metadata"]["annotations"][MAXIMUM] =
            json!((replicas + self.limits().0).to_string());
        self.write(set, changed);
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let name = set["metadata"]["name"].as_str().unwrap_or_default();
            let told = format!("Scaled {direction} replica set {name} from {from} to {to}");
            recorder::record(
                self.api,
                &self.deployment.clone(),
                "deployment-controller",
                false,
                "ScalingReplicaSet",
                &told,
                None,
            );
        }
    }

    fn roll(&mut self, paused: bool) {
        let replicas = wanted(&self.deployment);
        let (surge, missing) = self.limits();
        let recreate = self.deployment["spec"]["strategy"]["type"] == "Recreate";
        if paused {
            // Only a change of the number itself is applied.
            let active: Vec<Value> =
                self.new.iter().chain(&self.old).filter(|set| wanted(set) > 0).cloned().collect();
            if let [only] = active.as_slice()
                && wanted(only) != replicas
            {
                self.scale(only, replicas);
            }
            return;
        }
        let Some(new) = self.new.clone() else { return };
        let total: i64 = self.old.iter().map(wanted).sum::<i64>() + wanted(&new);
        if wanted(&new) > replicas {
            self.scale(&new, replicas);
            return;
        }
        if recreate {
            let old = self.old.clone();
            let mut left = false;
            for set in &old {
                if wanted(set) > 0 {
                    self.scale(set, 0);
                }
                left |= pods::owned(self.api, "Pod", set).iter().any(|pod| {
                    !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
                });
            }
            if !left && wanted(&new) < replicas {
                self.scale(&new, replicas);
            }
            return;
        }
        if wanted(&new) < replicas && total < replicas + surge {
            let up = (replicas + surge - total).min(replicas - wanted(&new));
            self.scale(&new, wanted(&new) + up);
            return;
        }
        self.shrink_old(&new, replicas - missing);
    }

    fn shrink_old(&mut self, new: &Value, minimum: i64) {
        let total: i64 = self.old.iter().map(wanted).sum::<i64>() + wanted(new);
        let unavailable = wanted(new) - count(new, "status", "availableReplicas");
        let mut room = total - minimum - unavailable;
        // Pods that never became ready go first.
        for set in self.old.clone() {
            let broken = wanted(&set) - count(&set, "status", "availableReplicas");
            let down = broken.min(room).max(0);
            if down > 0 {
                self.scale(&set, wanted(&set) - down);
                room -= down;
            }
        }
        self.read();
        let Some(new) = self.new.clone() else { return };
        let available: i64 = self
            .old
            .iter()
            .chain(Some(&new))
            .map(|set| count(set, "status", "availableReplicas").min(wanted(set)))
            .sum();
        let mut room = available - minimum;
        for set in self.old.clone() {
            let down = wanted(&set).min(room).max(0);
            if down > 0 {
                self.scale(&set, wanted(&set) - down);
                room -= down;
            }
        }
    }

    fn complete(&self) -> bool {
        let replicas = wanted(&self.deployment);
        let (namespace, name) = store::identity(&self.deployment);
        self.api.store.get(by_kind("Deployment"), &namespace, &name).is_some_and(|now| {
            count(now, "status", "updatedReplicas") == replicas
                && count(now, "status", "replicas") == replicas
                && count(now, "status", "availableReplicas") == replicas
        })
    }

    fn tell(&mut self, mut status: Value, progress: &mut Progress, paused: bool) {
        let uid = self.deployment["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let replicas = wanted(&self.deployment);
        let sets: Vec<&Value> = self.new.iter().chain(&self.old).collect();
        let sum = |name: &str| sets.iter().map(|set| count(set, "status", name)).sum::<i64>();
        let updated = self.new.as_ref().map_or(0, |set| count(set, "status", "replicas"));
        let (total, ready, available) =
            (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let before = self.deployment["status"].clone();
        let was = |name: &str| before[name].as_i64().unwrap_or(0);
        let asked: i64 = sets.iter().map(|set| wanted(set)).sum();
        let moved = updated > was("updatedReplicas")
            || total - updated < was("replicas") - was("updatedReplicas")
            || ready > was("readyReplicas")
            || available > was("availableReplicas");

        let missing = self.limits().1;
        let enough = available >= replicas - missing;
        let (reason, told) = if enough {
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        condition::set(&mut status, "Available", enough, reason, told, true);

        let failing = sets
            .iter()
            .find_map(|set| condition::find(set, "ReplicaFailure").map(|c| c["message"].clone()));
        match failing {
            Some(message) => condition::set(
                &mut status,
                "ReplicaFailure",
                true,
                "FailedCreate",
                message.as_str().unwrap_or_default(),
                true,
            ),
            None => condition::drop(&mut status, "ReplicaFailure"),
        }

        let deadline = self.deployment["spec"]["progressDeadlineSeconds"].as_i64();
        if let (Some(deadline), Some(new), false) = (deadline, &self.new, paused) {
            let name = new["metadata"]["name"].as_str().unwrap_or_default();
            let wrapped = json!({"status": status});
            let current = condition::find(&wrapped, "Progressing")
                .map(|condition| condition["reason"].as_str().unwrap_or_default().to_owned())
                .unwrap_or_default();
            let complete = updated == replicas && total == replicas && available == replicas;
            let already = total == updated && current == "NewReplicaSetAvailable";
            if complete && !already {
                let told = format!("ReplicaSet {name:?} has successfully progressed.");
                condition::set(
                    &mut status,
                    "Progressing",
                    true,
                    "NewReplicaSetAvailable",
                    &told,
                    true,
                );
            } else if !complete && !already {
                if moved {
                    progress.insert(uid.clone(), Instant::now());
                }
                let late = progress
                    .get(&uid)
                    .is_some_and(|last| last.elapsed() > clock::seconds(deadline));
                if late && current != "NewReplicaSetAvailable" {
                    let told = format!("ReplicaSet {name:?} has timed out progressing.");
                    condition::set(
                        &mut status,
                        "Progressing",
                        false,
                        "ProgressDeadlineExceeded",
                        &told,
                        true,
                    );
                } else if moved {
                    let told = format!("ReplicaSet {name:?} is progressing.");
                    condition::set(
                        &mut status,
                        "Progressing",
                        true,
                        "ReplicaSetUpdated",
                        &told,
                        true,
                    );
                }
            }
        }
        let mut next = json!({
            "observedGeneration": self.deployment["metadata"]["generation"],
            "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
            "availableReplicas": available,
            "unavailableReplicas": (asked - available).max(0),
            "conditions": status["conditions"],
        });
        drop_zeros(
            &mut next,
            &[
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
            ],
        );
        pods::write_status(self.api, "Deployment", &self.deployment, next, MANAGER);
    }

    /// Removes old sets beyond the history limit.
    fn forget(&mut self) {
        let limit = self.deployment["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10);
        let mut idle: Vec<Value> = self
            .old
            .iter()
            .filter(|set| wanted(set) == 0 && count(set, "status", "replicas") == 0)
            .cloned()
            .collect();
        idle.sort_by_key(revision);
        let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for set in idle.iter().take(surplus) {
            let (namespace, name) = store::identity(set);
            self.api.store.remove(by_kind("ReplicaSet"), &namespace, &name);
        }
    }
}
