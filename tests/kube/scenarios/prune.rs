//! Objects that a release no longer contains.

use std::time::Duration;

use greenloop_kubernetes::Repository;
use greenloop_model::{EventSink, RunId};
use greenloop_ports::{Earlier, Target as _, TargetErrorKind};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::objects::{config_map, deployment, service, stateful_set};
use crate::program::{HEALTHY, PANICS};
use crate::server::fault::Fault;
use crate::world::{World, scenarios};

const KEPT: &str = "kept: set `deploy.kubernetes.prune: true` to delete it";

fn old() -> Value {
    config_map("old", json!({"a": "1"}))
}

async fn has(world: &World, name: &str) -> bool {
    world.api::<ConfigMap>().get_opt(name).await.unwrap().is_some()
}

async fn preview(world: &World) -> String {
    world.target().preview(&world.request(RunId::generate())).await.unwrap()
}

async fn notes(world: &World) -> Vec<String> {
    world.target().status().await.unwrap().notes
}

/// Kept, and listed by the dry run and by the status while it exists.
async fn what_is_no_longer_named_is_shown_and_kept(world: &mut World) {
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    assert!(!preview(world).await.contains("no longer in the release"));
    world.manifests(&[deployment(world, &HEALTHY)]);
    let line = format!("no longer in the release: configmap/old; {KEPT}");
    let shown = preview(world).await;
    assert!(shown.contains(&line), "{shown}");
    // Still the case two releases later.
    for _ in 0..2 {
        world.release().await;
        assert_eq!(notes(world).await, std::slice::from_ref(&line));
    }
    assert!(has(world, "old").await);
    world.api::<ConfigMap>().delete("old", &DeleteParams::default()).await.unwrap();
    assert_eq!(notes(world).await, Vec::<String>::new());
}

/// Deleted only after the smoke tests; a rollback recreates it.
async fn it_is_removed_once_the_release_is_verified(world: &mut World) {
    world.manifests(&[old(), service(), deployment(world, &HEALTHY)]);
    world.release().await;
    world.plan.prune = true;
    world.manifests(&[deployment(world, &HEALTHY)]);
    let shown = preview(world).await;
    assert!(
        shown.contains("configmap/old; will be deleted once this release is verified"),
        "{shown}"
    );
    let attempt = world.roll_out().await;
    attempt.outcome.unwrap();
    let quiet = EventSink::null();
    attempt.target.prune(attempt.release, &quiet, &CancellationToken::new()).await;
    assert!(has(world, "old").await, "not verified yet");
    attempt.target.mark_verified(attempt.release).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    attempt.target.prune(attempt.release, &EventSink::new(sender), &CancellationToken::new()).await;
    let told: String = receiver.try_iter().map(|event| format!("{event:?}")).collect();
    assert!(
        told.contains(
            "deleted objects that are no longer in the release: service/web, configmap/old"
        ),
        "{told}"
    );
    attempt.target.release_claim().await;
    assert!(!has(world, "old").await);
    assert!(world.api::<Service>().get_opt("web").await.unwrap().is_none());
    assert_eq!(notes(world).await, Vec::<String>::new());

    let target = world.target();
    let cancel = CancellationToken::new();
    target.roll_back(Earlier::LastVerified, &quiet, &cancel).await.unwrap();
    assert!(has(world, "old").await);
    assert!(world.api::<Service>().get_opt("web").await.unwrap().is_some());
    // It is Greenloop's again: the next release deletes it again.
    world.release().await;
    assert!(!has(world, "old").await);
}

/// A failing release deletes nothing, and the restored release is complete.
async fn a_release_that_fails_removes_nothing(world: &mut World) {
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    world.plan.prune = true;
    world.manifests(&[deployment(world, &PANICS)]);
    let attempt = world.roll_out().await;
    assert_eq!(attempt.outcome.unwrap_err().kind, TargetErrorKind::Release);
    let quiet = EventSink::null();
    attempt.target.prune(attempt.release, &quiet, &CancellationToken::new()).await;
    assert!(has(world, "old").await);
    attempt.target.restore(attempt.release, &quiet, &CancellationToken::new()).await.unwrap();
    attempt.target.prune(attempt.release, &quiet, &CancellationToken::new()).await;
    assert!(has(world, "old").await);
}

/// Objects that existed before, that somebody recreated, or that somebody else owns stay.
async fn what_greenloop_did_not_make_stays(world: &mut World) {
    world.create(&config_map("before", json!({"a": "1"}))).await;
    let again = config_map("again", json!({"a": "1"}));
    let claimed = config_map("claimed", json!({"a": "1"}));
    let web = deployment(world, &HEALTHY);
    world.manifests(&[
        config_map("before", json!({"a": "1"})),
        again.clone(),
        claimed,
        old(),
        web.clone(),
    ]);
    world.release().await;
    let maps = world.api::<ConfigMap>();
    maps.delete("again", &DeleteParams::default()).await.unwrap();
    world.create(&again).await;
    let claim = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    maps.patch("claimed", &PatchParams::default(), &Patch::Merge(&claim)).await.unwrap();
    world.plan.prune = true;
    world.manifests(&[web]);
    let shown = preview(world).await;
    world.release().await;
    for name in ["before", "again", "claimed"] {
        let line =
            format!("no longer in the release: configmap/{name}; kept: not created by Greenloop");
        assert!(shown.contains(&line), "{shown}");
        assert!(has(world, name).await, "{name}");
    }
    assert!(!has(world, "old").await);
}

/// Volume claims, and objects that create them, are deleted only by a person.
async fn what_may_hold_data_stays(world: &mut World) {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
    let mut db = stateful_set(world, &HEALTHY);
    db["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "files"},
        "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}]);
    db["spec"]["replicas"] = json!(0);
    let web = deployment(world, &HEALTHY);
    world.manifests(&[claim, db, old(), web.clone()]);
    world.release().await;
    world.plan.prune = true;
    world.manifests(&[web]);
    let shown = preview(world).await;
    world.release().await;
    for id in ["persistentvolumeclaim/data", "statefulset/db"] {
        let line = format!(
            "no longer in the release: {id}; kept: it may hold data; to delete it: `kubectl delete {id} \
             --namespace {}`",
            world.namespace
        );
        assert!(shown.contains(&line), "{shown}");
        assert!(notes(world).await.contains(&line));
    }
    assert!(world.api::<PersistentVolumeClaim>().get_opt("data").await.unwrap().is_some());
    assert!(world.api::<StatefulSet>().get_opt("db").await.unwrap().is_some());
    assert!(!has(world, "old").await);
}

/// A restore and a rollback keep the same objects: those that may hold data.
async fn a_restore_keeps_what_may_hold_data(world: &mut World) {
    let web = deployment(world, &HEALTHY);
    world.manifests(&[web]);
    world.release().await;
    let mut db = stateful_set(world, &HEALTHY);
    db["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "files"},
        "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}]);
    db["spec"]["replicas"] = json!(0);
    world.manifests(&[db, config_map("new", json!({"a": "1"})), deployment(world, &PANICS)]);
    let attempt = world.roll_out().await;
    assert_eq!(attempt.outcome.unwrap_err().kind, TargetErrorKind::Release);
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = EventSink::new(sender);
    attempt.target.restore(attempt.release, &events, &CancellationToken::new()).await.unwrap();
    let told: String = receiver.try_iter().map(|event| format!("{event:?}")).collect();
    assert!(told.contains("kept statefulset/db, which a later release created"), "{told}");
    assert!(world.api::<StatefulSet>().get_opt("db").await.unwrap().is_some());
    assert!(!has(world, "new").await);
}

/// Two repositories with the same namespace and environment name: the second is refused before it
/// writes anything, and can take the environment over.
async fn another_repository_is_refused(world: &mut World) {
    let name = |name: &str| Repository::new(None, Some(&format!("https://example.com/{name}")));
    // A record of a version that did not store its repository.
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    world.repository = name("fleet/api");
    let own = world.release().await;
    world.repository = name("fleet/web");
    world.plan.prune = true;
    world.manifests(&[config_map("theirs", json!({"a": "1"}))]);
    let target = world.target();
    let cancel = CancellationToken::new();
    let refused = target.claim(RunId::generate(), &EventSink::null(), &cancel).await.unwrap_err();
    assert_eq!(refused.kind, TargetErrorKind::Target);
    let said = "is deployed from another repository, fleet/api; this one is fleet/web";
    assert!(refused.message.contains(said), "{}", refused.message);
    let refused = target.roll_back(Earlier::LastVerified, &EventSink::null(), &cancel).await;
    assert!(refused.unwrap_err().message.contains(said));
    assert!(has(world, "old").await && !has(world, "theirs").await);
    world.repository = name("fleet/api");
    assert_eq!(world.target().status().await.unwrap().serving.unwrap().0.id, own);

    let secrets = world.api::<Secret>();
    let records = ListParams::default().labels("greenloop.dev/environment=staging");
    for record in secrets.list(&records).await.unwrap() {
        let forget = json!({"metadata": {"annotations": {"greenloop.dev/repository": null}}});
        let name = record.metadata.name.unwrap();
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(&forget)).await.unwrap();
    }
    world.repository = name("fleet/web");
    world.release().await;
    assert!(has(world, "theirs").await && !has(world, "old").await);
}

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object["spec"]["selector"]["matchLabels"]["app"] = json!(name);
    object["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
    object
}

/// Two configurations of one repository with the same namespace and environment name: the second
/// is refused before it writes anything, unless it is for the same workloads or takes the place of
/// the first.
async fn another_configuration_is_refused(world: &mut World) {
    let of = |path: &str| {
        let repository = Repository::new(None, Some("https://example.com/fleet/shop"));
        repository.configured_by(Some(path.to_owned()))
    };
    world.plan.prune = true;
    world.file("api/config.yaml", "");
    world.repository = of("api/config.yaml");
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    // Another configuration for the same workload.
    world.repository = of("debug.yaml");
    world.release().await;
    world.repository = of("api/config.yaml");
    let own = world.release().await;

    world.repository = of("front/config.yaml");
    world.manifests(&[named(deployment(world, &HEALTHY), "front")]);
    let target = world.target();
    let cancel = CancellationToken::new();
    let run = RunId::generate();
    let tried = target.preview(&world.request(run)).await.unwrap_err();
    let attempt = world.roll_out().await;
    let rolled_out = attempt.outcome.unwrap_err();
    attempt.target.release_claim().await;
    let back = target.roll_back(Earlier::LastVerified, &EventSink::null(), &cancel).await;
    let status = target.status().await.unwrap_err();
    for error in [tried, rolled_out, back.unwrap_err(), status] {
        assert_eq!(error.kind, TargetErrorKind::Target, "{error}");
        for part in [
            "is released with api/config.yaml (deployment/web)",
            "front/config.yaml has other workloads (deployment/front)",
            "greenloop.dev/environment=staging greenloop.dev/configuration-",
        ] {
            assert!(error.message.contains(part), "{part}: {error}");
        }
    }
    assert!(has(world, "old").await);
    let deployments = world.api::<Deployment>();
    assert!(deployments.get_opt("front").await.unwrap().is_none(), "something was written");
    world.repository = of("api/config.yaml");
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    assert_eq!(world.target().status().await.unwrap().serving.unwrap().0.id, own);

    // The first one was moved: its workloads may have other names as well.
    world.repository = of("services/api/config.yaml");
    world.remove_file("api/config.yaml");
    world.manifests(&[named(deployment(world, &HEALTHY), "api")]);
    world.release().await;
}

/// Two environments that write one workload would undo each other; two with workloads of their own
/// share a namespace.
async fn another_environments_workload_is_refused(world: &mut World) {
    world.manifests(&[deployment(world, &HEALTHY)]);
    let staging = world.release().await;
    world.environment.name = "review".parse().unwrap();
    let writes = || {
        let journal = world.wire().server.journal();
        journal.entries().iter().filter(|entry| entry.call.writes()).count()
    };
    let before = writes();
    let tried = world.target().preview(&world.request(RunId::generate())).await.unwrap_err();
    for part in [
        "deployment/web in namespace shop is part of release ",
        "of environment staging, and environment review writes it too",
        "`{{ environment }}`",
        "--selector greenloop.dev/environment=staging",
    ] {
        assert!(tried.message.contains(part), "{part}: {tried}");
    }
    assert_eq!(writes(), before);
    world.manifests(&[named(deployment(world, &HEALTHY), "review")]);
    let review = world.release().await;
    let serving =
        async |world: &World| world.target().status().await.unwrap().serving.unwrap().0.id;
    assert_eq!(serving(world).await, review);
    world.environment.name = "staging".parse().unwrap();
    world.manifests(&[deployment(world, &HEALTHY)]);
    assert_eq!(serving(world).await, staging);
    // Each goes on by itself.
    world.release().await;
    // What the message says makes Greenloop forget the other one.
    let secrets = world.api::<Secret>();
    let records = ListParams::default().labels("greenloop.dev/environment=staging");
    for record in secrets.list(&records).await.unwrap() {
        secrets.delete(&record.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
    }
    world.environment.name = "review".parse().unwrap();
    world.manifests(&[deployment(world, &HEALTHY), named(deployment(world, &HEALTHY), "review")]);
    world.release().await;
}

/// Objects that others may use stay: cluster-scoped ones, and those in records of other
/// environments.
async fn what_others_may_use_stays(world: &mut World) {
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": format!("{}-fast", world.namespace)},
        "provisioner": "example.com/none"});
    let mut policy = config_map("policy", json!({"a": "1"}));
    policy["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    let shared = config_map("shared", json!({"a": "1"}));
    let web = deployment(world, &HEALTHY);
    let staging = std::mem::replace(&mut world.environment.name, "review".parse().unwrap());
    world.manifests(std::slice::from_ref(&shared));
    world.release().await;
    world.environment.name = staging;
    // This environment recreates it, and the other one still contains it.
    world.api::<ConfigMap>().delete("shared", &DeleteParams::default()).await.unwrap();
    world.manifests(&[class, policy, shared, old(), web.clone()]);
    world.release().await;
    world.plan.prune = true;
    world.manifests(&[web]);
    let shown = preview(world).await;
    world.release().await;
    for line in [
        format!("storageclass/{}-fast; kept: others may use it", world.namespace),
        "configmap/shared; kept: others may use it".to_owned(),
        "configmap/policy; kept: annotation `helm.sh/resource-policy`".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    assert!(has(world, "shared").await && has(world, "policy").await);
    assert!(!has(world, "old").await);
}

/// A run that is cancelled during pruning ends, and names the remaining objects.
async fn removing_ends_with_the_run(world: &mut World) {
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    world.plan.prune = true;
    world.manifests(&[deployment(world, &HEALTHY)]);
    let attempt = world.roll_out().await;
    attempt.outcome.unwrap();
    attempt.target.mark_verified(attempt.release).await.unwrap();
    // The API server answers only after the end of the scenario.
    let slow = Fault::Slow(Duration::from_secs(3600));
    world.wire().server.faults().add(1000, slow, |call| call.verb == "delete");
    let cancel = CancellationToken::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let events = EventSink::new(sender);
    let signal = async {
        while world.wire().server.faults().is_untouched() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
    };
    tokio::join!(attempt.target.prune(attempt.release, &events, &cancel), signal);
    let told: String = receiver.try_iter().map(|event| format!("{event:?}")).collect();
    assert!(told.contains("no longer in the release: the run was cancelled"), "{told}");
    let status = attempt.target.status().await.unwrap();
    assert_eq!(status.serving.unwrap().0.id, attempt.release);
}

/// A denied deletion is reported; the release serves all the same.
async fn a_missing_right_to_remove_is_told(world: &mut World) {
    world.manifests(&[old(), deployment(world, &HEALTHY)]);
    world.release().await;
    world.plan.prune = true;
    world.wire().server.forbid("delete", "configmaps");
    world.manifests(&[deployment(world, &HEALTHY)]);
    let rights = world.target().permissions().await.unwrap();
    let denied: Vec<String> = rights
        .iter()
        .filter(|right| !right.allowed)
        .map(|right| format!("{} {}", right.verb, right.resource))
        .collect();
    assert_eq!(denied, ["delete configmaps"]);
    let attempt = world.roll_out().await;
    attempt.outcome.unwrap();
    attempt.target.mark_verified(attempt.release).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    attempt.target.prune(attempt.release, &EventSink::new(sender), &CancellationToken::new()).await;
    let told: String = receiver.try_iter().map(|event| format!("{event:?}")).collect();
    assert!(told.contains("is not permitted to delete configmaps in namespace shop"), "{told}");
    assert!(has(world, "old").await);
}

scenarios! {
    both:
        what_is_no_longer_named_is_shown_and_kept,
        it_is_removed_once_the_release_is_verified,
        a_release_that_fails_removes_nothing,
        what_greenloop_did_not_make_stays,
        what_may_hold_data_stays,
        a_restore_keeps_what_may_hold_data,
        another_repository_is_refused,
        another_configuration_is_refused,
        what_others_may_use_stays;
    wire:
        a_missing_right_to_remove_is_told,
        removing_ends_with_the_run,
        another_environments_workload_is_refused
}
