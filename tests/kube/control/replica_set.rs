//! ReplicaSets: keep the requested number of pods.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::pods::{self, Ready};
use super::{clock, condition, recorder};
use crate::server::api::Api;
use crate::server::resource::by_kind;

/// When sets whose pods were rejected may retry.
pub(crate) type Refused = BTreeMap<String, Instant>;

/// Deletion order: pods that are not ready, then the youngest.
fn rank(pod: &Value) -> (bool, bool, std::cmp::Reverse<String>) {
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    (pod["spec"]["nodeName"].is_string(), pods::ready(pod), std::cmp::Reverse(created))
}

pub(crate) fn sync(api: &mut Api, since: &Ready, refused: &mut Refused) {
    let sets: Vec<Value> = api.store.list(by_kind("ReplicaSet"), None).cloned().collect();
    for set in sets.iter().filter(|set| !pods::leaving(set)) {
        one(api, set, since, refused);
    }
}

fn one(api: &mut Api, set: &Value, since: &Ready, refused: &mut Refused) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    let mut active: Vec<Value> =
        pods::owned(api, "Pod", set).into_iter().filter(pods::active).collect();
    let mut status = set["status"].clone();
    if active.len() < wanted {
        if refused.get(&uid).is_none_or(|until| *until <= Instant::now()) {
            while active.len() < wanted {
                let named = json!({"generateName": format!("{name}-")});
                match pods::create(api, set, named, &set["spec"]["template"], &[]) {
                    Ok(pod) => {
                        let told = format!(
                            "Created pod: {}",
                            pod["metadata"]["name"].as_str().unwrap_or_default()
                        );
                        recorder::record(
                            api,
                            set,
                            "replicaset-controller",
                            false,
                            "SuccessfulCreate",
                            &told,
                            None,
                        );
                        active.push(pod);
                        refused.remove(&uid);
                        condition::drop(&mut status, "ReplicaFailure");
                    }
                    Err(refusal) => {
                        refused.insert(uid.clone(), Instant::now() + clock::seconds(5));
                        recorder::record(
                            api,
                            set,
                            "replicaset-controller",
                            true,
                            "FailedCreate",
                            &format!("Error creating: {}", refusal.message()),
                            None,
                        );
                        condition::set(
                            &mut status,
                            "ReplicaFailure",
                            true,
                            "FailedCreate",
                            refusal.message(),
                            false,
                        );
                        break;
                    }
                }
            }
        }
    } else {
        condition::drop(&mut status, "ReplicaFailure");
        active.sort_by_key(rank);
        let surplus = active.len() - wanted;
        for pod in active.drain(..surplus) {
            let told =
                format!("Deleted pod: {}", pod["metadata"]["name"].as_str().unwrap_or_default());
            pods::delete(api, &pod);
            recorder::record(
                api,
                set,
                "replicaset-controller",
                false,
                "SuccessfulDelete",
                &told,
                None,
            );
        }
    }
    let minimum = &set["spec"]["minReadySeconds"];
    let ready = active.iter().filter(|pod| pods::ready(pod)).count();
    let available = active.iter().filter(|pod| pods::available(pod, minimum, since)).count();
    let conditions = status["conditions"].clone();
    let mut status = json!({
        "replicas": active.len(), "fullyLabeledReplicas": active.len(),
        "readyReplicas": ready, "availableReplicas": available,
        "observedGeneration": set["metadata"]["generation"],
    });
    if conditions.as_array().is_some_and(|all| !all.is_empty()) {
        status["conditions"] = conditions;
    }
    drop_zeros(&mut status, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]);
    pods::write_status(api, "ReplicaSet", set, status, "kube-controller-manager");
}

/// Counts that are zero are left out, as Go does.
pub(crate) fn drop_zeros(status: &mut Value, names: &[&str]) {
    let status = status.as_object_mut().unwrap();
    status.retain(|name, value| !(names.contains(&name.as_str()) && *value == 0));
}
