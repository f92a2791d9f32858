//! DaemonSets, on the single node.

use serde_json::{Value, json};

use super::pods::{self, Ready};
use super::replica_set::drop_zeros;
use super::revisions;
use crate::server::api::Api;
use crate::server::resource::by_kind;

const LABEL: &str = "controller-revision-hash";

pub(crate) fn sync(api: &mut Api, since: &Ready) {
    let all: Vec<Value> = api.store.list(by_kind("DaemonSet"), None).cloned().collect();
    for set in all.iter().filter(|set| !pods::leaving(set)) {
        one(api, set, since);
    }
}

fn one(api: &mut Api, set: &Value, since: &Ready) {
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    let (revision, _) = revisions::current(api, set);
    let hash = revision.rsplit('-').next().unwrap_or_default().to_owned();
    let all = pods::owned(api, "Pod", set);
    let present: Vec<&Value> = all
        .iter()
        .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")))
        .collect();
    if present.is_empty() {
        let generation = set["metadata"]["generation"].as_i64().unwrap_or(1).to_string();
        let labels = [(LABEL, hash.clone()), ("pod-template-generation", generation)];
        let named = json!({"generateName": format!("{name}-")});
        let _refused = pods::create(api, set, named, &set["spec"]["template"], &labels);
    }
    for pod in &present {
        if pod["metadata"]["labels"][LABEL] != hash
            && !pods::leaving(pod)
            && set["spec"]["updateStrategy"]["type"] != "OnDelete"
        {
            pods::delete(api, pod);
        }
    }
    let now: Vec<Value> = pods::owned(api, "Pod", set).into_iter().filter(pods::active).collect();
    let number = |test: &dyn Fn(&Value) -> bool| now.iter().filter(|pod| test(pod)).count();
    let minimum = &set["spec"]["minReadySeconds"];
    let available = number(&|pod| pods::available(pod, minimum, since));
    let mut status = json!({
        "currentNumberScheduled": number(&|_| true), "numberMisscheduled": 0,
        "desiredNumberScheduled": 1, "numberReady": number(&|pod| pods::ready(pod)),
        "observedGeneration": set["metadata"]["generation"],
        "updatedNumberScheduled": number(&|pod| pod["metadata"]["labels"][LABEL] == hash),
        "numberAvailable": available, "numberUnavailable": 1 - available.min(1),
    });
    drop_zeros(&mut status, &["updatedNumberScheduled", "numberAvailable", "numberUnavailable"]);
    pods::write_status(api, "DaemonSet", set, status, "kube-controller-manager");
}
