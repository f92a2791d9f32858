//! Scenarios in `tests/fixtures/track`: objects as clusters write them, step by step, and what
//! the judge is to say at each.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::crash::{CrashLog, ReadCrashLog};
use super::judge::{Goal, RolloutVerdict, judge};
use super::object::Object;
use super::rule::{Source, When};
use super::rules::rules;
use super::view::{Change, PortLook, View, uid};
use super::{TrackSettings, Workload, WorkloadKind};
use greenloop_evidence::Redactor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    about: String,
    base: String,
    workload: WorkloadForm,
    #[serde(default)]
    soak: Option<u64>,
    /// Other workloads of the release.
    #[serde(default)]
    also: Vec<Also>,
    /// Names that other objects of the release are there to make.
    #[serde(default)]
    promised: Vec<String>,
    /// Whether only the first workload is to settle, and firmly.
    settle: Option<bool>,
    steps: Vec<Step>,
}

/// Another workload: what `base` has as `web`, under another name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Also {
    base: String,
    kind: String,
    name: String,
    uid: String,
    generation: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadForm {
    kind: String,
    name: String,
    uid: String,
    generation: i64,
    #[serde(default = "yes")]
    changed: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: f64,
    /// JSON merge patches by `Kind/name`.
    #[serde(default)]
    patch: BTreeMap<String, Value>,
    #[serde(default)]
    add: Vec<Value>,
    #[serde(default)]
    delete: Vec<String>,
    /// Logs by the crashed container's id.
    #[serde(default)]
    logs: BTreeMap<String, String>,
    /// Looks at ports by `pod/container`.
    #[serde(default)]
    ports: BTreeMap<String, Look>,
    expect: Option<String>,
    class: Option<String>,
    says: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    open: Vec<u16>,
    refused: Vec<u16>,
}

/// A cluster's objects, and the view that is fed from them.
pub(super) struct Stage {
    objects: BTreeMap<String, Value>,
    pub(super) view: View,
    goal: Goal<'static>,
    fed: bool,
}

impl Stage {
    pub(super) fn new(base: &str, workload: Workload) -> Self {
        let text = read(&folder().join("base").join(format!("{base}.json")));
        let objects: Vec<Value> = serde_json::from_str(&text).unwrap();
        Self {
            objects: objects.into_iter().map(|object| (key(&object), object)).collect(),
            view: View::new(&[workload]),
            goal: Goal::Prove,
            fed: false,
        }
    }

    /// Another workload, with its objects.
    fn join(&mut self, also: &Also) {
        let text = read(&folder().join("base").join(format!("{}.json", also.base)));
        let objects: Vec<Value> = serde_json::from_str(&text.replace("web", &also.name)).unwrap();
        self.objects.extend(objects.into_iter().map(|object| (key(&object), object)));
        self.view.add(&Workload {
            kind: WorkloadKind::ALL.into_iter().find(|kind| kind.name() == also.kind).unwrap(),
            namespace: "shop".into(),
            name: also.name.clone(),
            uid: also.uid.clone(),
            generation: also.generation,
            changed: true,
        });
    }

    /// The workload that an object belongs to, by its name.
    fn scope(&self, key: &str) -> usize {
        let name = key.split_once('/').unwrap().1;
        let of = self.view.followed.iter().position(|f| name.starts_with(&f.workload.name));
        of.unwrap_or(0)
    }

    pub(super) fn put(&mut self, object: Value, now: Duration) {
        let key = key(&object);
        self.objects.insert(key.clone(), object);
        if self.fed {
            self.feed(&key, false, now);
        }
    }

    pub(super) fn patch(&mut self, key: &str, patch: &Value, now: Duration) {
        merge(self.objects.get_mut(key).unwrap_or_else(|| panic!("no {key}")), patch);
        if self.fed {
            self.feed(key, false, now);
        }
    }

    fn delete(&mut self, key: &str, now: Duration) {
        if self.fed {
            self.feed(key, true, now);
        }
        self.objects.remove(key).unwrap_or_else(|| panic!("no {key}"));
    }

    /// The first lists, with everything that is there by then.
    pub(super) fn list(&mut self, now: Duration) {
        let keys: Vec<String> = self.objects.keys().cloned().collect();
        for key in &keys {
            if !key.starts_with("Pod/") && !key.starts_with("Event/") {
                self.feed(key, false, now);
            }
        }
        let of_kind = |kind: &str| -> Vec<Value> {
            keys.iter()
                .filter(|key| key.starts_with(kind))
                .map(|key| self.objects[key].clone())
                .collect()
        };
        let (pods, events) = (of_kind("Pod/"), of_kind("Event/"));
        let events =
            events.into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
        for scope in 0..self.view.followed.len() {
            let of_scope = pods.iter().filter(|pod| self.scope(&key(pod)) == scope);
            let listed = of_scope.map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
            self.view.see_pods(scope, Change::Listed(listed), now, true);
        }
        self.view.see_events(Change::Listed(events), true);
        self.fed = true;
    }

    fn feed(&mut self, key: &str, gone: bool, now: Duration) {
        let value = self.objects[key].clone();
        let scope = self.scope(key);
        let view = &mut self.view;
        match key.split('/').next().unwrap() {
            "Deployment" => {
                view.see_object(scope, change(of(value, Object::Deployment), gone));
            }
            "StatefulSet" => {
                view.see_object(scope, change(of(value, Object::StatefulSet), gone));
            }
            "DaemonSet" => {
                view.see_object(scope, change(of(value, Object::DaemonSet), gone));
            }
            "Job" => view.see_object(scope, change(of(value, Object::Job), gone)),
            "ReplicaSet" => {
                view.see_replica_sets(change(serde_json::from_value(value).unwrap(), gone));
            }
            "ControllerRevision" => {
                view.see_revisions(change(serde_json::from_value(value).unwrap(), gone));
            }
            "Pod" => {
                view.see_pods(
                    scope,
                    change(serde_json::from_value(value).unwrap(), gone),
                    now,
                    false,
                );
            }
            "Event" => {
                view.see_events(change(serde_json::from_value(value).unwrap(), gone), false);
            }
            kind => panic!("{kind}"),
        }
    }

    /// What the containers of that id wrote.
    fn log(&mut self, id: &str, text: &str) {
        let crashes = self.view.crashes.values_mut().flatten();
        let crash = crashes.into_iter().find(|crash| crash.id == id);
        let said = ReadCrashLog::read(text, false, &Redactor::default());
        crash.unwrap_or_else(|| panic!("no crash {id}")).log = CrashLog::Read(Box::new(said));
    }

    fn look(&mut self, place: &str, look: &Look, at: Duration) {
        let (pod, container) = place.split_once('/').unwrap();
        let uid = self
            .view
            .pods
            .values()
            .find(|seen| seen.pod.metadata.name.as_deref() == Some(pod))
            .map(|seen| uid(&seen.pod.metadata))
            .unwrap();
        self.view.port_looks.entry((uid, container.to_owned())).or_default().push(PortLook {
            at,
            open: look.open.iter().copied().collect(),
            refused: look.refused.iter().copied().collect(),
        });
    }

    pub(super) fn verdict(&mut self, settings: &TrackSettings, now: Duration) -> RolloutVerdict {
        let signals = self.view.stamp(now);
        judge(&self.view, &signals, settings, settings.deadline, now, self.goal)
    }
}

fn of<K: serde::de::DeserializeOwned>(value: Value, wrap: fn(Box<K>) -> Object) -> Object {
    wrap(Box::new(serde_json::from_value(value).unwrap()))
}

fn change<K>(object: K, gone: bool) -> Change<K> {
    if gone { Change::Gone(object) } else { Change::Applied(object) }
}

fn key(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

pub(super) fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/track")
}

/// How long what is not firm is awaited.
const SOFT: Duration = Duration::from_secs(150);

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(super) fn settings(soak: Option<u64>) -> TrackSettings {
    TrackSettings {
        deadline: Duration::from_secs(300),
        soak: soak.map(Duration::from_secs),
        diff: String::new(),
    }
}

fn check(path: &Path) -> Result<(), String> {
    let scenario: Scenario = serde_json::from_str(&read(path)).map_err(|e| e.to_string())?;
    let form = scenario.workload;
    let kind = WorkloadKind::ALL.into_iter().find(|kind| kind.name() == form.kind).unwrap();
    let mut stage = Stage::new(
        &scenario.base,
        Workload {
            kind,
            namespace: "shop".into(),
            name: form.name,
            uid: form.uid,
            generation: form.generation,
            changed: form.changed,
        },
    );
    scenario.also.iter().for_each(|also| stage.join(also));
    stage.view.promised.extend(scenario.promised);
    stage.goal = match scenario.settle {
        None => Goal::Prove,
        Some(true) => Goal::Settle { awaited: &[(0, true)], until: SOFT },
        Some(false) => Goal::Settle { awaited: &[(0, false)], until: SOFT },
    };
    let settings = settings(scenario.soak);
    for (number, step) in scenario.steps.iter().enumerate() {
        let now = Duration::from_secs_f64(step.at);
        for (key, patch) in &step.patch {
            stage.patch(key, patch, now);
        }
        for key in &step.delete {
            stage.delete(key, now);
        }
        for object in &step.add {
            stage.put(object.clone(), now);
        }
        if number == 0 {
            stage.list(now);
        }
        for (id, log) in &step.logs {
            stage.log(id, log);
        }
        for (place, look) in &step.ports {
            stage.look(place, look, now);
        }
        let verdict = stage.verdict(&settings, now);
        let (got, class, said) = match &verdict {
            RolloutVerdict::Ready { .. } => ("ready".to_owned(), None, String::new()),
            RolloutVerdict::Soaking { .. } => ("soaking".to_owned(), None, String::new()),
            RolloutVerdict::Progressing { .. } => ("progressing".to_owned(), None, String::new()),
            RolloutVerdict::WaveReady => ("settled".to_owned(), None, String::new()),
            RolloutVerdict::Yields { why } => ("yields".to_owned(), None, why.clone()),
            RolloutVerdict::Failed(why) => {
                (format!("doomed {}", why.rule), Some(why.class.name()), why.message.clone())
            }
            RolloutVerdict::Late(why) => {
                ("late".to_owned(), Some(why.class.name()), why.message.clone())
            }
            RolloutVerdict::Superseded { message } => {
                ("superseded".to_owned(), None, message.clone())
            }
        };
        let says = step.says.as_ref().is_none_or(|says| said.contains(says.as_str()));
        let wanted = step.expect.as_ref().is_none_or(|expect| *expect == got);
        let class_is = step.class.as_deref().is_none_or(|expect| class == Some(expect));
        if !(says && wanted && class_is) {
            return Err(format!(
                "{}\n  step {number} at {} s: {got} ({class:?}): {said}\n  expected {:?} {:?} {:?}",
                scenario.about, step.at, step.expect, step.class, step.says
            ));
        }
    }
    Ok(())
}

#[test]
fn each_scenario_comes_to_what_it_should() {
    let mut paths: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(paths.len() > 100, "the scenarios are gone");
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            check(path).err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn each_rule_has_a_scenario() {
    let said: String = std::fs::read_dir(folder())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| read(&entry.path()))
        .collect();
    for rule in rules().filter(|rule| rule.when != When::Never) {
        let expected = match rule.source {
            Source::Clock => "\"expect\": \"late\"".to_owned(),
            _ => format!("\"expect\": \"doomed {}\"", rule.id),
        };
        assert!(said.contains(&expected), "no scenario comes to {}", rule.id);
    }
}

/// A state that a container of an old pod may be in.
fn trouble() -> impl Strategy<Value = Value> {
    let waiting = prop::sample::select(vec![
        ("CrashLoopBackOff", "back-off 5m0s restarting failed container=web"),
        ("ErrImagePull", "registry.example/shop/web:1.4.1: not found"),
        ("InvalidImageName", "couldn't parse image name"),
        ("CreateContainerConfigError", "secret \"web-secrets\" not found"),
        ("RunContainerError", "exec: \"serve\": executable file not found in $PATH"),
    ]);
    let restarts = 0..30i32;
    let code = prop::sample::select(vec![0, 1, 2, 101, 126, 127, 137, 139]);
    let reason = prop::sample::select(vec!["Error", "OOMKilled", "StartError", "Completed"]);
    (waiting, restarts, code, reason).prop_map(|((why, message), restarts, code, reason)| {
        serde_json::json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "web", "image": "web", "imageID": "", "ready": false,
                "restartCount": restarts,
                "state": {"waiting": {"reason": why, "message": message}},
                "lastState": {"terminated": {
                    "containerID": format!("containerd://old{restarts}"),
                    "exitCode": code, "reason": reason, "message": "exec format error",
                }},
            }],
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_trouble_of_old_pods_dooms_a_rollout(
        steps in prop::collection::vec((trouble(), 0.1f64..40.0), 1..6),
        ready in any::<bool>(),
    ) {
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
            uid: "deploy".into(),
            generation: 2,
            changed: true,
        };
        let mut stage = Stage::new("deployment", workload);
        let mut now = Duration::ZERO;
        if ready {
            let conditions = serde_json::json!([{"type": "Ready", "status": "True"}]);
            let status = serde_json::json!({"status": {"phase": "Running", "conditions": conditions}});
            stage.patch("Pod/web-6c5f9d8b7-x2x5z", &status, now);
        }
        stage.list(now);
        let old = stage.objects["Pod/web-5d4c8b6a9-k9k2p"].clone();
        for (number, (status, pause)) in steps.into_iter().enumerate() {
            now += Duration::from_secs_f64(pause);
            let mut pod = old.clone();
            pod["metadata"]["name"] = format!("web-5d4c8b6a9-{number}").into();
            pod["metadata"]["uid"] = format!("pod-old-{number}").into();
            pod["status"] = status;
            stage.put(pod, now);
            let event = serde_json::json!({
                "kind": "Event", "type": "Warning", "reason": "FailedMount", "count": 9,
                "message": "MountVolume.SetUp failed for volume \"x\" : secret \"x\" not found",
                "metadata": {"name": format!("e{number}"), "uid": format!("e{number}")},
                "involvedObject": {"kind": "Pod", "name": format!("web-5d4c8b6a9-{number}"),
                                   "uid": format!("pod-old-{number}")},
            });
            stage.put(event, now);
            let verdict = stage.verdict(&settings(None), now);
            prop_assert!(
                matches!(verdict, RolloutVerdict::Progressing { .. } | RolloutVerdict::Soaking { .. }),
                "{verdict:?}"
            );
        }
    }
}
