//! The waves in which a release is applied: what others need is applied, and where that can be
//! told, awaited, before what needs it.
//!
//! What a person has written comes first: `greenloop.dev/depends-on` names objects of the release
//! that must be there, `greenloop.dev/hook` and Helm's `helm.sh/hook` put an object before or after
//! everything else. Helm waits for its hooks before a release and between them, but not for the
//! release before its `post-install`: that wait is not firm. Around that stands the order by kind: StatefulSets and the backends of
//! webhooks, then Jobs, then the rest of the workloads. That order is a guess, so a wait of it is
//! not firm: it ends when what is awaited turns out to wait for something itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::order::{self, Rank};
use super::{Manifest, ObjectId};
use crate::error::{KubernetesError, KubernetesErrorKind};
use greenloop_config::nearest::nearest;

/// Names, with commas between them, what an object needs: `job/migrate, statefulset/db`.
pub(crate) const DEPENDS_ON: &str = "greenloop.dev/depends-on";
/// `pre-deploy` or `post-deploy`.
pub(crate) const HOOK: &str = "greenloop.dev/hook";
pub(crate) const HELM_HOOK: &str = "helm.sh/hook";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";

/// Objects that are applied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wave {
    /// Their places in the list that the waves were made from, in the order of writing.
    pub(crate) objects: Vec<usize>,
    /// What must be there before.
    pub(crate) awaited: Vec<Awaited>,
}

/// A workload that is awaited: ready, or for a Job complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) id: ObjectId,
    /// Whether somebody has written that it must be there; else the order of kinds says so.
    pub(crate) firm: bool,
}

/// Where an object stands by itself, without what others say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Namespaces,
    Kinds,
    Configuration,
    Services,
    /// Objects of other kinds, whose controllers are there already: certificates, databases.
    Requests,
    /// Hooks before everything else, by weight.
    Before(i64),
    /// StatefulSets, and what webhooks are served by.
    Providers,
    /// Webhooks and aggregated APIs, once they are served.
    Registrations,
    Jobs,
    Workloads,
    /// What speaks about workloads, and objects of kinds that the release itself serves.
    Rest,
    /// Hooks after everything else, by weight.
    After(i64),
}

fn annotation<'a>(object: &'a Manifest, key: &str) -> Option<&'a str> {
    object.value().get("metadata")?.get("annotations")?.get(key)?.as_str()
}

fn invalid(object: &Manifest, what: &str) -> KubernetesError {
    let message = format!("{}: {} {what}", object.origin, object.id());
    KubernetesError::new(KubernetesErrorKind::Manifest, message)
}

/// What a release is to the environment, which Helm's hooks tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// No release before it was verified.
    Install,
    Upgrade,
}

/// Whether the object is a hook of Helm's for another occasion: a test, a removal, an upgrade
/// while this is the first release.
pub(crate) fn is_for_another_occasion(object: &Manifest, occasion: Occasion) -> bool {
    let other = match occasion {
        Occasion::Install => ["pre-upgrade", "post-upgrade"],
        Occasion::Upgrade => ["pre-install", "post-install"],
    };
    let of = |hook: &str| of_release(hook).is_some() && !other.contains(&hook);
    helm_hooks(object).is_some_and(|hooks| !hooks.split(',').any(|hook| of(hook.trim())))
}

/// Helm's hooks, where the object has none of Greenloop's.
fn helm_hooks(object: &Manifest) -> Option<&str> {
    annotation(object, HELM_HOOK).filter(|_| annotation(object, HOOK).is_none())
}

/// The stage of a hook of Helm's; `None` for those of other occasions.
fn of_release(hook: &str) -> Option<fn(i64) -> Stage> {
    match hook {
        "pre-install" | "pre-upgrade" => Some(Stage::Before),
        "post-install" | "post-upgrade" => Some(Stage::After),
        "crd-install" => Some(|_| Stage::Kinds),
        _ => None,
    }
}

fn hook(object: &Manifest) -> Result<Option<Stage>, KubernetesError> {
    if let Some(written) = annotation(object, HOOK) {
        return match written.trim() {
            "pre-deploy" => Ok(Some(Stage::Before(0))),
            "post-deploy" => Ok(Some(Stage::After(0))),
            other => Err(invalid(
                object,
                &format!("has `{HOOK}: {other}`; it must be `pre-deploy` or `post-deploy`"),
            )),
        };
    }
    let Some(hooks) = annotation(object, HELM_HOOK) else { return Ok(None) };
    let weight = annotation(object, HELM_WEIGHT).and_then(|weight| weight.trim().parse().ok());
    let stage = hooks.split(',').find_map(|hook| of_release(hook.trim()));
    Ok(stage.map(|stage| stage(weight.unwrap_or(0))))
}

/// What the release itself brings, for the stages of its objects.
struct Brought {
    /// Group and kind of its definitions.
    kinds: BTreeSet<(String, String)>,
    /// The labels that the Services behind its webhooks select by, each with its namespace.
    behind_webhooks: Vec<(Option<String>, BTreeMap<String, String>)>,
}

impl Brought {
    fn of(objects: &[Manifest]) -> Self {
        let text = |object: &Manifest, pointer: &str| {
            object.value().pointer(pointer).and_then(Value::as_str).map(str::to_owned)
        };
        let definitions = objects.iter().filter(|o| o.kind() == "CustomResourceDefinition");
        let kinds = definitions
            .filter_map(|o| Some((text(o, "/spec/group")?, text(o, "/spec/names/kind")?)))
            .collect();
        let mut served: Vec<(Option<String>, String)> = Vec::new();
        for object in objects.iter().filter(|object| registers(object)) {
            services(object.value(), &mut served);
        }
        let behind_webhooks = objects
            .iter()
            .filter(|object| object.kind() == "Service" && object.group().is_empty())
            .filter(|object| {
                served.iter().any(|(namespace, name)| {
                    name == object.name()
                        && namespace.as_deref().is_none_or(|own| Some(own) == object.namespace())
                })
            })
            .filter_map(|object| {
                let selector = labels(object.value().pointer("/spec/selector")?);
                Some((object.namespace().map(str::to_owned), selector))
            })
            .filter(|(_, selector)| !selector.is_empty())
            .collect();
        Self { kinds, behind_webhooks }
    }

    /// Whether the workload's pods are what a webhook of the release is served by.
    fn serves_a_webhook(&self, object: &Manifest) -> bool {
        let template = order::rank(object.group(), object.kind()) == Rank::Workloads;
        let Some(own) = object.value().pointer("/spec/template/metadata/labels") else {
            return false;
        };
        let own = labels(own);
        template
            && self.behind_webhooks.iter().any(|(namespace, selector)| {
                namespace.as_deref() == object.namespace()
                    && selector.iter().all(|(key, value)| own.get(key) == Some(value))
            })
    }

    fn stage(&self, object: &Manifest) -> Result<Stage, KubernetesError> {
        if let Some(hook) = hook(object)? {
            return Ok(hook);
        }
        let (group, kind) = (object.group(), object.kind());
        Ok(match order::rank(group, kind) {
            Rank::Namespaces => Stage::Namespaces,
            Rank::Kinds => Stage::Kinds,
            Rank::Configuration => Stage::Configuration,
            Rank::Services => Stage::Services,
            Rank::Workloads if kind == "StatefulSet" || self.serves_a_webhook(object) => {
                Stage::Providers
            }
            Rank::Workloads if kind == "Job" => Stage::Jobs,
            Rank::Workloads => Stage::Workloads,
            Rank::Rest if registers(object) => Stage::Registrations,
            Rank::Rest if speaks_of_workloads(group) => Stage::Rest,
            Rank::Rest if self.kinds.contains(&(group.to_owned(), kind.to_owned())) => Stage::Rest,
            Rank::Rest => Stage::Requests,
        })
    }
}

fn speaks_of_workloads(group: &str) -> bool {
    matches!(group, "" | "autoscaling" | "policy") || group.ends_with("networking.k8s.io")
}

/// Whether the API server asks a Service of the cluster for what the object registers.
fn registers(object: &Manifest) -> bool {
    matches!(
        (object.group(), object.kind()),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration"
        ) | ("apiregistration.k8s.io", "APIService")
    )
}

/// The Services that a registration names.
fn services(value: &Value, found: &mut Vec<(Option<String>, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let text = |name: &str| value.get(name).and_then(Value::as_str);
                match text("name").filter(|_| key == "service") {
                    Some(name) => {
                        found.push((text("namespace").map(str::to_owned), name.to_owned()));
                    }
                    None => services(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| services(item, found)),
        _ => {}
    }
}

fn labels(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether a rollout of the object can be awaited.
fn is_awaitable(id: &ObjectId) -> bool {
    match id.group() {
        "apps" => matches!(id.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet"),
        "batch" => id.kind == "Job",
        _ => false,
    }
}

/// Whether people call the kind so: `job`, `jobs`, `deploy`.
fn is_called(kind: &str, word: &str) -> bool {
    let (kind, word) = (kind.to_lowercase(), word.to_lowercase());
    let word = word.split('.').next().unwrap_or_default();
    let short = match kind.as_str() {
        "deployment" => "deploy",
        "statefulset" => "sts",
        "daemonset" => "ds",
        "service" => "svc",
        "configmap" => "cm",
        "persistentvolumeclaim" => "pvc",
        "serviceaccount" => "sa",
        "customresourcedefinition" => "crd",
        _ => "",
    };
    word == kind || (!short.is_empty() && word == short) || word == format!("{kind}s")
}

/// What each object says that it needs, by place.
fn written(objects: &[Manifest]) -> Result<Vec<BTreeSet<usize>>, KubernetesError> {
    let mut needs = Vec::with_capacity(objects.len());
    for (place, object) in objects.iter().enumerate() {
        let mut of = BTreeSet::new();
        let names = annotation(object, DEPENDS_ON).unwrap_or_default();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some((kind, plain)) = name.split_once('/').filter(|(_, n)| !n.contains('/')) else {
                let what = format!(
                    "has `{DEPENDS_ON}: {name}`; use `kind/name`, for example \
                        `job/migrate`"
                );
                return Err(invalid(object, &what));
            };
            let called = |other: &&Manifest| is_called(other.kind(), kind) && other.name() == plain;
            let near = |other: &&Manifest| other.namespace() == object.namespace();
            let find = |test: &dyn Fn(&&Manifest) -> bool| objects.iter().position(|o| test(&o));
            let found = find(&|o| called(o) && near(o)).or_else(|| find(&called));
            match found {
                Some(other) if other == place => {
                    return Err(invalid(object, &format!("depends on itself (`{DEPENDS_ON}`)")));
                }
                Some(other) => of.insert(other),
                None => {
                    let known: Vec<String> = objects.iter().map(|o| o.id().to_string()).collect();
                    let hint = match nearest(name, known.iter().map(String::as_str)) {
                        Some(near) => format!("; did you mean `{near}`?"),
                        None => String::new(),
                    };
                    let what = format!("depends on `{name}`, which is not in the release{hint}");
                    return Err(invalid(object, &what));
                }
            };
        }
        needs.push(of);
    }
    if let Some(circle) = circle(&needs) {
        let names: Vec<String> =
            circle.iter().map(|place| objects[*place].id().to_string()).collect();
        let first = &objects[circle[0]];
        let what = format!("is part of a cycle of `{DEPENDS_ON}`: {}", names.join(" needs "));
        return Err(invalid(first, &what));
    }
    Ok(needs)
}

/// Places that need each other in a circle, the first one again at the end.
fn circle(needs: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    fn walk(
        at: usize,
        needs: &[BTreeSet<usize>],
        path: &mut Vec<usize>,
        done: &mut [bool],
    ) -> bool {
        if let Some(from) = path.iter().position(|place| *place == at) {
            path.drain(..from);
            path.push(at);
            return true;
        }
        if done[at] {
            return false;
        }
        path.push(at);
        if needs[at].iter().any(|next| walk(*next, needs, path, done)) {
            return true;
        }
        path.pop();
        done[at] = true;
        false
    }
    let mut done = vec![false; needs.len()];
    (0..needs.len()).find_map(|start| {
        let mut path = Vec::new();
        walk(start, needs, &mut path, &mut done).then_some(path)
    })
}

/// The waves of a release.
///
/// # Errors
/// When an annotation names what the release does not have, or objects need each other in a circle.
pub(crate) fn waves(objects: &[Manifest]) -> Result<Vec<Wave>, KubernetesError> {
    let needs = written(objects)?;
    let brought = Brought::of(objects);
    let mut stages = Vec::with_capacity(objects.len());
    for object in objects {
        stages.push(brought.stage(object)?);
    }
    let own = stages.clone();
    // What something early needs is early too.
    let mut moved = true;
    while moved {
        moved = false;
        for (place, of) in needs.iter().enumerate() {
            for other in of {
                if stages[*other] > stages[place] {
                    stages[*other] = stages[place];
                    moved = true;
                }
            }
        }
    }
    let helms: Vec<bool> = objects.iter().map(|object| helm_hooks(object).is_some()).collect();
    let is_firm = |place: usize, other: usize| {
        needs[place].contains(&other) || needs_hook(stages[place], own[other], helms[place])
    };
    let mut placed: BTreeSet<usize> = BTreeSet::new();
    // Each with whether the wait for it was firm: one that was not may have ended before it was
    // there.
    let mut awaited: BTreeMap<ObjectId, bool> = BTreeMap::new();
    let mut waves: Vec<Wave> = Vec::new();
    while placed.len() < objects.len() {
        let ready: Vec<usize> = (0..objects.len())
            .filter(|place| !placed.contains(place) && needs[*place].is_subset(&placed))
            .collect();
        let Some(stage) = ready.iter().map(|place| stages[*place]).min() else { break };
        let of_stage: Vec<usize> =
            ready.into_iter().filter(|place| stages[*place] == stage).collect();
        // What has to be awaited for one object of the stage may need the others.
        let is_bound = |place: &usize| {
            placed.iter().any(|other| {
                let id = objects[*other].id();
                is_awaitable(&id)
                    && is_firm(*place, *other)
                    && awaited.get(&id).is_none_or(|firm| !firm)
            })
        };
        let (bound, free): (Vec<usize>, Vec<usize>) = of_stage.into_iter().partition(is_bound);
        let mut together = if free.is_empty() { bound } else { free };
        together.sort_by_key(|place| order::rank(objects[*place].group(), objects[*place].kind()));
        let mut before: Vec<Awaited> = Vec::new();
        for other in &placed {
            let id = objects[*other].id();
            let firm = together.iter().any(|place| is_firm(*place, *other));
            let by_kind = together.iter().any(|place| {
                is_awaitable(&objects[*place].id()) && comes_first(own[*other], stages[*place])
            });
            let served = stage == Stage::Registrations && own[*other] == Stage::Providers;
            let after = matches!(stage, Stage::After(_)) && own[*other] < stage;
            let is_new = awaited.get(&id).is_none_or(|was_firm| firm && !was_firm);
            if is_awaitable(&id) && (firm || by_kind || served || after) && is_new {
                before.push(Awaited { id, firm });
            }
        }
        awaited.extend(before.iter().map(|one| (one.id.clone(), one.firm)));
        placed.extend(&together);
        match waves.last_mut().filter(|_| before.is_empty()) {
            Some(wave) => wave.objects.extend(together),
            None => waves.push(Wave { objects: together, awaited: before }),
        }
    }
    Ok(waves)
}

/// Whether an object of the stage `other` must be there before one of `stage`, since one of them is
/// a hook. `helm` says that the one of `stage` is a hook of Helm's, which waits for other hooks only.
fn needs_hook(stage: Stage, other: Stage, helm: bool) -> bool {
    match (other, stage) {
        (Stage::Before(_), _) | (Stage::After(_), Stage::After(_)) => other < stage,
        (_, Stage::After(_)) => other < stage && !helm,
        _ => false,
    }
}

/// Whether workloads of the stage `other` are awaited before workloads of `stage`.
fn comes_first(other: Stage, stage: Stage) -> bool {
    matches!(other, Stage::Providers | Stage::Jobs) && other < stage
}

/// Whether other objects may come of it: of what a Job does, or of what the controller of a kind that
/// is not Kubernetes' own makes of the object.
pub(crate) fn makes_others(object: &Manifest) -> bool {
    object.kind() == "Job" || order::is_custom(object.group())
}

/// Secrets and ConfigMaps that other objects of the release are there to make, as [`missing`] has
/// them: what objects of kinds that are not Kubernetes' own name as one, what is called like the
/// object that it is made from, and the Secrets of an Ingress that cert-manager looks after.
pub(crate) fn promised(objects: &[Manifest]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for object in objects {
        let group = object.group();
        let managed = object.value().pointer("/metadata/annotations").and_then(Value::as_object);
        let managed =
            managed.is_some_and(|all| all.keys().any(|key| key.starts_with("cert-manager.io/")));
        if order::is_custom(group) {
            if matches!(object.kind(), "ExternalSecret" | "SealedSecret") {
                found.insert(missing("Secret", object.name()));
            }
            object.value().get("spec").into_iter().for_each(|spec| collect(spec, &mut found));
        } else if object.kind() == "Ingress" && managed {
            let tls = object.value().pointer("/spec/tls");
            tls.into_iter().for_each(|tls| collect(tls, &mut found));
        }
    }
    found
}

/// `secret "web-tls"`, as the kubelet calls an object that a pod needs and that is not there.
pub(crate) fn missing(kind: &str, name: &str) -> String {
    format!("{} \"{name}\"", kind.to_lowercase())
}

/// The Secrets and ConfigMaps that a custom object names, in the fields in which such objects name
/// them.
fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let named = |value: &Value| value.as_str().map(str::to_owned);
                let name = match key.as_str() {
                    "secretName" => named(value).map(|name| ("Secret", name)),
                    "configMapName" => named(value).map(|name| ("ConfigMap", name)),
                    "secretRef" | "secretKeyRef" | "writeConnectionSecretToRef" | "target" => {
                        value.get("name").and_then(named).map(|name| ("Secret", name))
                    }
                    "configMapRef" | "configMapKeyRef" => {
                        value.get("name").and_then(named).map(|name| ("ConfigMap", name))
                    }
                    _ => None,
                };
                found.extend(name.map(|(kind, name)| missing(kind, &name)));
                collect(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// The waves in words, one a line; empty where there is but one.
pub(crate) fn describe(objects: &[Manifest], waves: &[Wave]) -> String {
    if waves.len() < 2 {
        return String::new();
    }
    let mut text = String::new();
    for (number, wave) in waves.iter().enumerate() {
        let names: Vec<String> =
            wave.objects.iter().map(|place| objects[*place].id().to_string()).collect();
        let awaited: Vec<String> = wave
            .awaited
            .iter()
            .map(|one| {
                let what = if one.id.kind == "Job" { "complete" } else { "ready" };
                let how = if one.firm { "" } else { ", unless it waits itself" };
                format!("{} {what}{how}", one.id)
            })
            .collect();
        let after = match awaited.is_empty() {
            true => String::new(),
            false => format!(" (after {})", awaited.join(", ")),
        };
        text.push_str(&format!("wave {}{after}: {}\n", number + 1, names.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Origin;
    use super::*;

    fn object(api_version: &str, kind: &str, name: &str, annotations: Value) -> Manifest {
        let value = json!({"apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "annotations": annotations}});
        Manifest::new(value, Origin { file: "k8s/app.yaml".to_owned(), line: Some(7) }).unwrap()
    }

    fn deployment(name: &str, annotations: Value) -> Manifest {
        object("apps/v1", "Deployment", name, annotations)
    }

    fn job(name: &str, annotations: Value) -> Manifest {
        object("batch/v1", "Job", name, annotations)
    }

    fn shown(objects: &[Manifest]) -> String {
        describe(objects, &waves(objects).unwrap())
    }

    #[test]
    fn what_others_need_comes_first_by_kind() {
        let objects = [
            object("networking.k8s.io/v1", "Ingress", "web", json!({})),
            deployment("web", json!({})),
            job("migrate", json!({})),
            object("v1", "ConfigMap", "settings", json!({})),
            object("apps/v1", "StatefulSet", "db", json!({})),
            object("cert-manager.io/v1", "Certificate", "tls", json!({})),
        ];
        assert_eq!(
            shown(&objects),
            "wave 1: configmap/settings, certificate/tls, statefulset/db\n\
             wave 2 (after statefulset/db ready, unless it waits itself): job/migrate\n\
             wave 3 (after job/migrate complete, unless it waits itself): deployment/web, \
             ingress/web\n"
        );
        assert_eq!(shown(&objects[..2]), "", "nothing to wait for");
    }

    #[test]
    fn what_is_written_wins() {
        let objects = [
            job("check", json!({DEPENDS_ON: "deployment/web"})),
            deployment("web", json!({DEPENDS_ON: "deploy/cache, configmaps/settings"})),
            deployment("cache", json!({})),
            object("v1", "ConfigMap", "settings", json!({})),
        ];
        assert_eq!(
            shown(&objects),
            "wave 1: configmap/settings, deployment/cache\n\
             wave 2 (after deployment/cache ready): deployment/web\n\
             wave 3 (after deployment/web ready): job/check\n"
        );
    }

    #[test]
    fn hooks_stand_before_and_after_everything() {
        let objects = [
            job("notify", json!({HOOK: "post-deploy"})),
            deployment("web", json!({})),
            job("second", json!({HELM_HOOK: "pre-install,pre-upgrade", HELM_WEIGHT: "5"})),
            object(
                "v1",
                "ConfigMap",
                "first",
                json!({HELM_HOOK: "pre-install", HELM_WEIGHT: "-5"}),
            ),
            job("first", json!({HELM_HOOK: "pre-upgrade", HELM_WEIGHT: "-5"})),
        ];
        assert_eq!(
            shown(&objects),
            "wave 1: configmap/first, job/first\n\
             wave 2 (after job/first complete): job/second\n\
             wave 3 (after job/second complete): deployment/web\n\
             wave 4 (after deployment/web ready): job/notify\n"
        );
        for (hooks, install, upgrade) in [
            ("test", true, true),
            ("pre-delete, post-delete", true, true),
            ("pre-install", false, true),
            ("post-install", false, true),
            ("pre-install,pre-upgrade", false, false),
            ("pre-upgrade", true, false),
            ("test, post-upgrade", true, false),
            ("crd-install", false, false),
        ] {
            let object = job("a", json!({HELM_HOOK: hooks}));
            let other = |occasion| is_for_another_occasion(&object, occasion);
            assert_eq!(other(Occasion::Install), install, "{hooks}");
            assert_eq!(other(Occasion::Upgrade), upgrade, "{hooks}");
        }
        let own = job("a", json!({HOOK: "pre-deploy", HELM_HOOK: "pre-upgrade"}));
        assert!(!is_for_another_occasion(&own, Occasion::Install));
    }

    #[test]
    fn what_others_wait_for_does_not_wait_for_what_comes_with_them() {
        // The Job calls `api`, which is of the same stage as what needs the Job.
        let objects = [
            deployment("api", json!({})),
            job("seed", json!({})),
            deployment("web", json!({DEPENDS_ON: "job/seed"})),
        ];
        assert_eq!(
            shown(&objects),
            "wave 1: job/seed\n\
             wave 2 (after job/seed complete, unless it waits itself): deployment/api\n\
             wave 3 (after job/seed complete): deployment/web\n"
        );
    }

    #[test]
    fn helm_does_not_wait_for_the_release_before_its_post_install() {
        let helm = |weight: &str| json!({HELM_HOOK: "post-install", HELM_WEIGHT: weight});
        let objects = [
            deployment("web", json!({})),
            job("migrate", helm("0")),
            job("report", helm("5")),
            job("check", json!({HOOK: "post-deploy"})),
        ];
        assert_eq!(
            shown(&objects),
            "wave 1: deployment/web\n\
             wave 2 (after deployment/web ready, unless it waits itself): job/migrate\n\
             wave 3 (after deployment/web ready): job/check\n\
             wave 4 (after job/migrate complete, job/check complete): job/report\n"
        );
    }

    #[test]
    fn a_webhook_is_registered_when_it_is_served() {
        let mut backend = deployment("policy", json!({}));
        backend.change(|value| {
            value["spec"] = json!({"template": {"metadata": {"labels": {"app": "policy"}}}});
        });
        let mut service = object("v1", "Service", "policy", json!({}));
        service.change(|value| value["spec"] = json!({"selector": {"app": "policy"}}));
        let mut webhook = object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "policy",
            json!({}),
        );
        webhook.change(|value| {
            value["webhooks"] =
                json!([{"clientConfig": {"service": {"name": "policy", "namespace": "shop"}}}]);
        });
        let objects = [deployment("web", json!({})), webhook, backend, service];
        assert_eq!(
            shown(&objects),
            "wave 1: service/policy, deployment/policy\n\
             wave 2 (after deployment/policy ready, unless it waits itself): \
             validatingwebhookconfiguration/policy, deployment/web\n"
        );
    }

    #[test]
    fn mistakes_name_their_place() {
        let circle = [
            job("a", json!({DEPENDS_ON: "deployment/b"})),
            deployment("b", json!({DEPENDS_ON: "job/a"})),
        ];
        for (objects, expect) in [
            (
                &circle[..],
                "k8s/app.yaml:7: job/a is part of a cycle of `greenloop.dev/depends-on`: job/a \
                 needs deployment/b needs job/a",
            ),
            (
                &[job("migrate", json!({})), deployment("web", json!({DEPENDS_ON: "job/migrat"}))],
                "k8s/app.yaml:7: deployment/web depends on `job/migrat`, which is not in \
                 the release; did you mean `job/migrate`?",
            ),
            (
                &[deployment("web", json!({DEPENDS_ON: "migrate"}))],
                "k8s/app.yaml:7: deployment/web has `greenloop.dev/depends-on: migrate`; use \
                 `kind/name`, for example `job/migrate`",
            ),
            (
                &[deployment("web", json!({HOOK: "before"}))],
                "k8s/app.yaml:7: deployment/web has `greenloop.dev/hook: before`; it must be \
                 `pre-deploy` or `post-deploy`",
            ),
        ] {
            assert_eq!(waves(objects).unwrap_err().message, expect);
        }
    }

    #[test]
    fn secrets_and_config_maps_of_requests_are_promises() {
        let custom = |kind: &str, spec: Value| {
            let mut object = object("example.org/v1", kind, "web", json!({}));
            object.change(|value| value["spec"] = spec);
            object
        };
        let mut ingress = object(
            "networking.k8s.io/v1",
            "Ingress",
            "web",
            json!({"cert-manager.io/issuer": "main"}),
        );
        ingress.change(|value| {
            value["spec"] = json!({"tls": [{"hosts": ["fleet"], "secretName": "web-tls"}]});
        });
        for (object, expect) in [
            (custom("Certificate", json!({"secretName": "tls"})), vec!["secret \"tls\""]),
            (ingress, vec!["secret \"web-tls\""]),
            (custom("ExternalSecret", json!({})), vec!["secret \"web\""]),
            (custom("SealedSecret", json!({"encryptedData": {"a": "b"}})), vec!["secret \"web\""]),
            (
                custom("ExternalSecret", json!({"target": {"name": "db"}})),
                vec!["secret \"db\"", "secret \"web\""],
            ),
            (
                custom("Database", json!({"writeConnectionSecretToRef": {"name": "conn"}})),
                vec!["secret \"conn\""],
            ),
            (
                custom("Bundle", json!({"out": [{"configMapRef": {"name": "ca"}}]})),
                vec!["configmap \"ca\""],
            ),
            // A label or a host is not a name of a Secret.
            (
                custom(
                    "ServiceMonitor",
                    json!({"selector": {"matchLabels": {"app": "fleet"}}, "name": "fleet"}),
                ),
                vec![],
            ),
            (deployment("api", json!({})), vec![]),
        ] {
            let found: Vec<String> = promised(std::slice::from_ref(&object)).into_iter().collect();
            assert_eq!(found, expect, "{object:?}");
        }
    }
}
