//! The kubelet: runs the pods of the node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::clock;
use super::container::{Around, Container, is_sidecar};
use super::image::Images;
use super::probe::POD_ADDRESS;
use super::{condition, pods, recorder};
use crate::program::Need;
use crate::server::api::Api;
use crate::server::logs::Logs;
use crate::server::resource::by_kind;
use crate::server::store;

#[derive(Debug)]
struct Run {
    since: Instant,
    started_at: String,
    containers: BTreeMap<String, Container>,
    /// When it last reported its volumes.
    complained: Option<Instant>,
    leaves: Option<Instant>,
}

/// All pods of the node, by uid.
#[derive(Debug, Default)]
pub(crate) struct Kubelet {
    runs: BTreeMap<String, Run>,
    /// The kubelet cannot read ConfigMaps until then.
    pub(crate) out_of_sync: Option<Instant>,
    /// Pods (by name) to evict.
    pub(crate) evict: Vec<String>,
}

impl Kubelet {
    pub(crate) fn sync(&mut self, api: &mut Api, logs: &mut Logs, images: &Images) {
        let mine: Vec<Value> = api
            .store
            .list(by_kind("Pod"), None)
            .filter(|pod| pod["spec"]["nodeName"].is_string())
            .cloned()
            .collect();
        for pod in mine {
            self.one(api, logs, images, &pod);
        }
        let serving = self.serving(api, Instant::now());
        images.listen(serving.into_iter().map(|(_, uid, name)| (uid, name)).collect());
    }

    fn one(&mut self, api: &mut Api, logs: &mut Logs, images: &Images, pod: &Value) {
        let now = Instant::now();
        let (namespace, name) = store::identity(pod);
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let run = self.runs.entry(uid.clone()).or_insert_with(|| Run {
            since: now,
            started_at: store::now(),
            containers: BTreeMap::new(),
            complained: None,
            leaves: None,
        });
        let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        if pods::leaving(pod) {
            let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(30);
            let stays = clock::seconds(grace.min(3));
            let leaves = *run.leaves.get_or_insert(now + if over { Duration::ZERO } else { stays });
            if leaves <= now {
                let finalizers = &pod["metadata"]["finalizers"];
                if finalizers.as_array().is_none_or(Vec::is_empty) {
                    api.store.remove(by_kind("Pod"), &namespace, &name);
                }
            }
            return;
        }
        if over {
            return;
        }
        if self.evict.contains(&name) {
            self.evict.retain(|evicted| *evicted != name);
            return evict(api, pod);
        }
        let synced = self.out_of_sync.is_none_or(|until| until <= now);
        if now.duration_since(run.since) < clock::SECOND / 5 {
            return;
        }
        if let Some(why) = unmountable(api, pod, synced) {
            let again = run.complained.is_none_or(|at| now.duration_since(at) > clock::seconds(8));
            if again {
                run.complained = Some(now);
                recorder::record(api, pod, "kubelet", true, "FailedMount", &why, None);
            }
            let status = report(pod, run, images, now, false);
            return pods::write_status(api, "Pod", pod, status, "kubelet");
        }
        let serving = self.serving(api, now);
        let Some(run) = self.runs.get_mut(&uid) else { return };
        let node = Node { images, now, synced, serving };
        advance(api, logs, pod, run, &node);
        let status = report(pod, run, images, now, true);
        pods::write_status(api, "Pod", pod, status, "kubelet");
    }
}

impl Kubelet {
    /// The serving containers: `app` label of the pod, its uid, the container's name.
    fn serving(&self, api: &Api, now: Instant) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut serving = Vec::new();
        for pod in api.store.list(by_kind("Pod"), None) {
            let uid = text(&pod["metadata"]["uid"]);
            let Some(run) = self.runs.get(&uid) else { continue };
            for (name, container) in &run.containers {
                if container.serves(now) {
                    let app = text(&pod["metadata"]["labels"]["app"]);
                    serving.push((app, uid.clone(), name.clone()));
                }
            }
        }
        serving
    }
}

/// Whether a program's dependencies exist.
fn is_met(api: &Api, pod: &Value, need: Need, node: &Node<'_>) -> bool {
    let (namespace, _) = store::identity(pod);
    let uid = &pod["metadata"]["uid"];
    match need {
        Need::Complete(job) => api
            .store
            .get(by_kind("Job"), &namespace, job)
            .is_some_and(|job| condition::holds(job, "Complete")),
        Need::Serving(app) => node.serving.iter().any(|(of, _, _)| of == app),
        Need::Beside(name) => node.serving.iter().any(|(_, of, it)| of == uid && it == name),
        Need::Tries(failed) => {
            let job = &pod["metadata"]["ownerReferences"][0]["uid"];
            let siblings = api.store.list(by_kind("Pod"), Some(&namespace)).filter(|other| {
                other["metadata"]["ownerReferences"][0]["uid"] == *job
                    && other["status"]["phase"] == "Failed"
            });
            siblings.count() >= failed
        }
        Need::Turn => {
            let app = &pod["metadata"]["labels"]["app"];
            let name = |pod: &Value| pod["metadata"]["name"].to_string();
            api.store
                .list(by_kind("Pod"), Some(&namespace))
                .filter(|other| other["metadata"]["labels"]["app"] == *app)
                .filter(|other| name(other) < name(pod))
                .all(pods::ready)
        }
    }
}

fn list<'a>(pod: &'a Value, name: &str) -> Vec<&'a Value> {
    pod["spec"][name].as_array().into_iter().flatten().collect()
}

/// The current state of the node.
struct Node<'a> {
    images: &'a Images,
    now: Instant,
    /// Whether ConfigMaps can be read from the API server.
    synced: bool,
    /// The containers that serve: `app` label, the pod's uid, name.
    serving: Vec<(String, String, String)>,
}

fn advance(api: &mut Api, logs: &mut Logs, pod: &Value, run: &mut Run, node: &Node<'_>) {
    let mut turn = |api: &mut Api, spec: &Value, init: bool| {
        let name = spec["name"].as_str().unwrap_or_default();
        let container = run.containers.entry(name.to_owned()).or_insert_with(Container::new);
        let missing = missing(api, pod, spec, node.synced);
        let needs = node.images.program(spec).needs;
        let met = needs.is_none_or(|(need, _)| is_met(api, pod, need, node));
        let around = Around { images: node.images, now: node.now, pod, spec, init, missing, met };
        let remarks = container.advance(&around, logs);
        let place = if init { "initContainers" } else { "containers" };
        for (warning, reason, message) in remarks {
            let field = format!("spec.{place}{{{name}}}");
            recorder::record(api, pod, "kubelet", warning, reason, &message, Some(&field));
        }
        // The next init container waits for the end of this one, or for the start of a sidecar.
        if is_sidecar(spec) { container.has_started(spec) } else { container.ended() == Some(0) }
    };
    for spec in list(pod, "initContainers") {
        if !turn(api, spec, true) {
            return;
        }
    }
    let main = list(pod, "containers");
    for spec in &main {
        turn(api, spec, false);
    }
    let ended = |spec: &Value| {
        let name = spec["name"].as_str().unwrap_or_default();
        run.containers.get(name).is_some_and(|container| container.ended().is_some())
    };
    if main.iter().all(|spec| ended(spec)) {
        for spec in list(pod, "initContainers").into_iter().filter(|spec| is_sidecar(spec)) {
            let name = spec["name"].as_str().unwrap_or_default();
            run.containers.get_mut(name).into_iter().for_each(Container::terminate);
        }
    }
}

/// Missing references of a container.
fn missing(api: &Api, pod: &Value, spec: &Value, synced: bool) -> Option<String> {
    let (namespace, _) = store::identity(pod);
    let refers = |kind: &str, reference: &Value| -> Option<String> {
        if reference.is_null() || reference["optional"] == true {
            return None;
        }
        if !synced {
            return Some(format!(
                "failed to sync {} cache: timed out waiting for the condition",
                kind.to_lowercase()
            ));
        }
        let name = reference["name"].as_str().unwrap_or_default();
        let Some(found) = api.store.get(by_kind(kind), &namespace, name) else {
            return Some(format!("{} {name:?} not found", kind.to_lowercase()));
        };
        let key = reference["key"].as_str()?;
        let held = [&found["data"], &found["binaryData"]].iter().any(|d| d.get(key).is_some());
        (!held).then(|| format!("couldn't find key {key} in {kind} {namespace}/{name}"))
    };
    let variables = spec["env"].as_array().into_iter().flatten().find_map(|variable| {
        let from = &variable["valueFrom"];
        refers("ConfigMap", &from["configMapKeyRef"])
            .or_else(|| refers("Secret", &from["secretKeyRef"]))
    });
    variables.or_else(|| {
        spec["envFrom"].as_array().into_iter().flatten().find_map(|from| {
            refers("ConfigMap", &from["configMapRef"])
                .or_else(|| refers("Secret", &from["secretRef"]))
        })
    })
}

/// Why the pod's volumes cannot be mounted.
fn unmountable(api: &Api, pod: &Value, synced: bool) -> Option<String> {
    let (namespace, _) = store::identity(pod);
    list(pod, "volumes").into_iter().find_map(|volume| {
        let named = volume["name"].as_str().unwrap_or_default();
        let source = [
            ("ConfigMap", &volume["configMap"], "name"),
            ("Secret", &volume["secret"], "secretName"),
        ];
        let (kind, source, field) = source.into_iter().find(|(_, source, _)| source.is_object())?;
        let name = source[field].as_str().unwrap_or_default();
        let word = kind.to_lowercase();
        let why = if !synced {
            format!("failed to sync {word} cache: timed out waiting for the condition")
        } else if source["optional"] != true
            && api.store.get(by_kind(kind), &namespace, name).is_none()
        {
            format!("{word} {name:?} not found")
        } else {
            return None;
        };
        Some(format!("MountVolume.SetUp failed for volume {named:?} : {why}"))
    })
}

fn evict(api: &mut Api, pod: &Value) {
    let told = "The node was low on resource: ephemeral-storage. Threshold quantity: 1000Mi, \
                available: 812Mi. ";
    let mut status = pod["status"].clone();
    status["phase"] = json!("Failed");
    status["reason"] = json!("Evicted");
    status["message"] = json!(told);
    condition::set(&mut status, "DisruptionTarget", true, "TerminationByKubelet", told, false);
    condition::set(&mut status, "Ready", false, "PodFailed", "", false);
    status.as_object_mut().unwrap().shift_remove("containerStatuses");
    pods::write_status(api, "Pod", pod, status, "kubelet");
    recorder::record(api, pod, "kubelet", true, "Evicted", told, None);
}

/// The current status of the pod.
fn report(pod: &Value, run: &Run, images: &Images, now: Instant, mounted: bool) -> Value {
    let mut status = pod["status"].clone();
    let fresh = Container::new();
    let of = |spec: &Value| {
        let name = spec["name"].as_str().unwrap_or_default();
        run.containers.get(name).unwrap_or(&fresh)
    };
    let (init, main) = (list(pod, "initContainers"), list(pod, "containers"));
    let sidecars = || init.iter().filter(|spec| is_sidecar(spec));
    let done = |spec: &Value| match is_sidecar(spec) {
        true => of(spec).has_started(spec) || of(spec).ended().is_some(),
        false => of(spec).ended() == Some(0),
    };
    let undone: Vec<&str> =
        init.iter().filter(|spec| !done(spec)).filter_map(|spec| spec["name"].as_str()).collect();
    let initialized = undone.is_empty();
    let entry = |spec: &Value, init: bool| {
        let waiting = if initialized || init { "ContainerCreating" } else { "PodInitializing" };
        let waiting = if init && !mounted { "PodInitializing" } else { waiting };
        of(spec).status(&Around { images, now, pod, spec, init, missing: None, met: true }, waiting)
    };
    if !init.is_empty() {
        status["initContainerStatuses"] =
            init.iter().map(|spec| entry(spec, true)).collect::<Vec<_>>().into();
    }
    status["containerStatuses"] =
        main.iter().map(|spec| entry(spec, false)).collect::<Vec<_>>().into();

    let failed_init = init
        .iter()
        .filter(|spec| !is_sidecar(spec))
        .any(|spec| of(spec).ended().is_some_and(|code| code != 0));
    let ended: Vec<i64> = main.iter().filter_map(|spec| of(spec).ended()).collect();
    let phase = if failed_init {
        "Failed"
    } else if !main.is_empty() && ended.len() == main.len() {
        if ended.iter().all(|code| *code == 0) { "Succeeded" } else { "Failed" }
    } else if status["phase"] == "Running"
        || (initialized && main.iter().all(|spec| of(spec).created()))
    {
        "Running"
    } else {
        "Pending"
    };
    status["phase"] = json!(phase);
    status["startTime"] = json!(run.started_at);
    status["hostIP"] = json!("192.168.49.2");
    status["hostIPs"] = json!([{"ip": "192.168.49.2"}]);
    if mounted {
        status["podIP"] = json!(POD_ADDRESS);
        status["podIPs"] = json!([{"ip": POD_ADDRESS}]);
    }
    status["observedGeneration"] = pod["metadata"]["generation"].clone();

    condition::set(&mut status, "PodReadyToStartContainers", mounted, "", "", false);
    let (reason, told) = if initialized {
        if phase == "Succeeded" { ("PodCompleted", String::new()) } else { ("", String::new()) }
    } else {
        (
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", undone.join(" ")),
        )
    };
    condition::set(&mut status, "Initialized", initialized, reason, &told, false);
    let unready: Vec<&str> = sidecars()
        .chain(&main)
        .filter(|spec| !of(spec).is_ready(spec))
        .filter_map(|spec| spec["name"].as_str())
        .collect();
    let ready = unready.is_empty() && initialized;
    let (reason, told) = match phase {
        _ if ready => ("", String::new()),
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => (
            "ContainersNotReady",
            format!("containers with unready status: [{}]", unready.join(" ")),
        ),
    };
    condition::set(&mut status, "Ready", ready, reason, &told, false);
    condition::set(&mut status, "ContainersReady", ready, reason, &told, false);
    status
}
