//! The scheduler: one node with eight processors.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::{clock, condition, pods, recorder};
use crate::server::admission::requested;
use crate::server::api::Api;
use crate::server::managed::Writer;
use crate::server::resource::by_kind;
use crate::server::store;

const CAPACITY: i64 = 8_000;

/// What a scenario can add to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Autoscaler {
    None,
    /// A node with enough capacity is added after this many seconds.
    AddsNode(i64),
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) autoscaler: Autoscaler,
    /// When the autoscaler's node is available.
    promised: Option<Instant>,
    /// When a pod (by uid) was last reported as unschedulable.
    told: BTreeMap<String, Instant>,
}

impl Scheduler {
    pub(crate) fn new() -> Self {
        Self { autoscaler: Autoscaler::None, promised: None, told: BTreeMap::new() }
    }

    pub(crate) fn sync(&mut self, api: &mut Api) {
        let waiting: Vec<Value> = api
            .store
            .list(by_kind("Pod"), None)
            .filter(|pod| pod["spec"]["nodeName"].is_null() && !pods::leaving(pod))
            .cloned()
            .collect();
        for pod in waiting {
            match self.obstacle(api, &pod) {
                None => bind(api, &pod),
                Some(why) => self.refuse(api, &pod, &why),
            }
        }
    }

    fn obstacle(&self, api: &Api, pod: &Value) -> Option<String> {
        let (namespace, _) = store::identity(pod);
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
                continue;
            };
            let unhelpful = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for \
                             scheduling.";
            match api.store.get(by_kind("PersistentVolumeClaim"), &namespace, claim) {
                None => {
                    return Some(format!(
                        "0/1 nodes are available: persistentvolumeclaim {claim:?} not found. \
                         {unhelpful}"
                    ));
                }
                Some(found) if found["status"]["phase"] != "Bound" => {
                    return Some(format!(
                        "0/1 nodes are available: pod has unbound immediate \
                         PersistentVolumeClaims. {unhelpful}"
                    ));
                }
                Some(_) => {}
            }
        }
        let used: i64 = api
            .store
            .list(by_kind("Pod"), None)
            .filter(|pod| pods::active(pod) && pod["spec"]["nodeName"].is_string())
            .map(|pod| requested(&pod["spec"], "cpu"))
            .sum();
        let grown = self.promised.is_some_and(|at| at <= Instant::now());
        (!grown && used + requested(&pod["spec"], "cpu") > CAPACITY).then(|| {
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 \
             No preemption victims found for incoming pod."
                .to_owned()
        })
    }

    fn refuse(&mut self, api: &mut Api, pod: &Value, why: &str) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut status = pod["status"].clone();
        condition::set(&mut status, "PodScheduled", false, "Unschedulable", why, false);
        pods::write_status(api, "Pod", pod, status, "kube-scheduler");
        let again = clock::seconds(60);
        if self.told.get(&uid).is_none_or(|at| at.elapsed() > again) {
            self.told.insert(uid, Instant::now());
            recorder::record(api, pod, "default-scheduler", true, "FailedScheduling", why, None);
        }
        if let Autoscaler::AddsNode(seconds) = self.autoscaler
            && self.promised.is_none()
            && why.contains("Insufficient")
        {
            self.promised = Some(Instant::now() + clock::seconds(seconds));
            let told = "pod triggered scale-up: [{pool-1 1->2 (max: 5)}]";
            recorder::record(api, pod, "cluster-autoscaler", false, "TriggeredScaleUp", told, None);
        }
    }
}

fn bind(api: &mut Api, pod: &Value) {
    let (namespace, name) = store::identity(pod);
    let mut bound = pod.clone();
    bound["spec"]["nodeName"] = json!("node-1");
    let writer = Writer::named("kube-scheduler");
    let Ok(stored) = api.commit(by_kind("Pod"), pod, bound, &writer) else { return };
    let mut status = stored["status"].clone();
    condition::set(&mut status, "PodScheduled", true, "", "", false);
    pods::write_status(api, "Pod", &stored, status, "kube-scheduler");
    let told = format!("Successfully assigned {namespace}/{name} to node-1");
    recorder::record(api, &stored, "default-scheduler", false, "Scheduled", &told, None);
}
