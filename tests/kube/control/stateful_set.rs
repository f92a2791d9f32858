//! StatefulSets: one pod after the other, and none after a broken one.

use serde_json::{Value, json};

use super::pods::{self, Ready};
use super::replica_set::drop_zeros;
use super::revisions;
use crate::server::api::Api;
use crate::server::resource::by_kind;
use crate::server::store;

const LABEL: &str = "controller-revision-hash";

pub(crate) fn sync(api: &mut Api, since: &Ready) {
    let all: Vec<Value> = api.store.list(by_kind("StatefulSet"), None).cloned().collect();
    for set in all.iter().filter(|set| !pods::leaving(set)) {
        one(api, set, since);
    }
}

fn of_revision(pod: &Value, revision: &str) -> bool {
    pod["metadata"]["labels"][LABEL] == revision
}

fn one(api: &mut Api, set: &Value, since: &Ready) {
    let (update, known) = revisions::current(api, set);
    let before = &set["status"];
    let current = before["currentRevision"].as_str().unwrap_or(&update).to_owned();
    act(api, set, &current, &update, &known, since);
    let all = pods::owned(api, "Pod", set);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let number = |test: &dyn Fn(&Value) -> bool| {
        all.iter().filter(|pod| !pods::leaving(pod) && test(pod)).count()
    };
    let minimum = &set["spec"]["minReadySeconds"];
    let updated = number(&|pod| of_revision(pod, &update));
    let ready = number(&|pod| pods::ready(pod));
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": number(&|_| true),
        "readyReplicas": ready, "availableReplicas":
            number(&|pod| pods::available(pod, minimum, since)),
        "currentReplicas": number(&|pod| of_revision(pod, &current)),
        "updatedReplicas": updated, "currentRevision": current, "updateRevision": update,
        "collisionCount": 0,
    });
    let whole = usize::try_from(wanted).unwrap_or(0);
    if updated == whole && ready == whole && current != update {
        status["currentRevision"] = json!(update);
        status["currentReplicas"] = json!(updated);
    }
    drop_zeros(&mut status, &["readyReplicas", "currentReplicas", "updatedReplicas"]);
    pods::write_status(api, "StatefulSet", set, status, "kube-controller-manager");
}

fn act(
    api: &mut Api,
    set: &Value,
    current: &str,
    update: &str,
    known: &[(String, Value)],
    since: &Ready,
) {
    let (namespace, name) = store::identity(set);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let partition =
        set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let minimum = &set["spec"]["minReadySeconds"];
    let pod = |api: &Api, ordinal: i64| {
        api.store.get(by_kind("Pod"), &namespace, &format!("{name}-{ordinal}")).cloned()
    };
    for ordinal in 0..wanted {
        match pod(api, ordinal) {
            None => {
                let revision = if ordinal < partition { current } else { update };
                let template = known
                    .iter()
                    .find(|(name, _)| name == revision)
                    .map_or(&set["spec"]["template"], |(_, template)| template);
                let labels = [
                    (LABEL, revision.to_owned()),
                    ("statefulset.kubernetes.io/pod-name", format!("{name}-{ordinal}")),
                    ("apps.kubernetes.io/pod-index", ordinal.to_string()),
                ];
                let named = json!({"name": format!("{name}-{ordinal}")});
                let _refused = pods::create(api, set, named, template, &labels);
                if !parallel {
                    return;
                }
            }
            Some(pod)
                if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) =>
            {
                pods::delete(api, &pod);
                return;
            }
            // A StatefulSet stays here forever behind a broken pod.
            Some(pod) if !parallel && !pods::available(&pod, minimum, since) => return,
            Some(_) => {}
        }
    }
    let surplus = pods::owned(api, "Pod", set)
        .into_iter()
        .filter(|pod| ordinal(pod).is_some_and(|ordinal| ordinal >= wanted))
        .max_by_key(ordinal);
    if let Some(pod) = surplus {
        if !pods::leaving(&pod) {
            pods::delete(api, &pod);
        }
        return;
    }
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return;
    }
    for ordinal in (partition..wanted).rev() {
        let Some(pod) = pod(api, ordinal) else { return };
        if !of_revision(&pod, update) && !pods::leaving(&pod) {
            pods::delete(api, &pod);
            return;
        }
        if !pods::available(&pod, minimum, since) {
            return;
        }
    }
}

fn ordinal(pod: &Value) -> Option<i64> {
    pod["metadata"]["name"].as_str()?.rsplit_once('-')?.1.parse().ok()
}
