//! The lifecycle of releases: records, conflicts, and restores.

use std::time::Duration;

use greenloop_config::plan::ServicePlan;
use greenloop_kubernetes::KubernetesTarget;
use greenloop_model::{EventSink, Excerpt, FailureClass, ReleaseState, RunId};
use greenloop_ports::{Earlier, Restored, Target as _, TargetErrorKind};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::objects::{self, config_map, deployment, first, service};
use crate::program::{HEALTHY, HEALTHY_TOO, MIGRATION_WORKS, PANICS, Program};
use crate::server::fault::Fault;
use crate::world::{World, scenarios};

fn quiet() -> (EventSink, CancellationToken) {
    (EventSink::null(), CancellationToken::new())
}

async fn command(world: &World) -> Vec<String> {
    let web = world.api::<Deployment>().get("web").await.unwrap();
    let template = web.spec.unwrap().template;
    template.spec.unwrap().containers[0].command.clone().unwrap_or_default()
}

fn is(program: &Program, command: &[String]) -> bool {
    program.command() == json!(command)
}

async fn patch<K>(world: &World, name: &str, manager: &str, change: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let by = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    world.api::<K>().patch(name, &by, &Patch::Merge(&change)).await.unwrap();
}

async fn states(target: &KubernetesTarget) -> Vec<ReleaseState> {
    target.status().await.unwrap().releases.iter().map(|release| release.state).collect()
}

/// A release leaves a record and marks on its objects, none on its pods; a repetition changes
/// nothing and is tracked all the same.
async fn a_release_is_recorded_and_marked(world: &mut World) {
    let web = deployment(world, &HEALTHY);
    world.manifests(&[config_map("web", json!({"a": "1"})), service(), web]);
    let release = world.release().await;
    let web = world.api::<Deployment>().get("web").await.unwrap();
    let annotations = web.metadata.annotations.clone().unwrap();
    assert_eq!(annotations["greenloop.dev/release"], release.to_string());
    assert_eq!(web.metadata.labels.unwrap()["app.kubernetes.io/managed-by"], "greenloop");
    let template = web.spec.unwrap().template.metadata.unwrap();
    assert!(template.annotations.unwrap_or_default().is_empty());

    let records = ListParams::default().labels("greenloop.dev/environment=staging");
    let records = world.api::<Secret>().list(&records).await.unwrap().items;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].type_.as_deref(), Some("greenloop.dev/release"));

    let pods = async || {
        let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        pods.into_iter().filter_map(|pod| pod.metadata.name).collect::<Vec<String>>()
    };
    let before = pods().await;
    let again = world.release().await;
    assert_ne!(again, release);
    assert_eq!(pods().await, before);
    let target = world.target();
    let status = target.status().await.unwrap();
    assert_eq!(status.serving.as_ref().unwrap().0.id, again);
    assert_eq!(status.notes, Vec::<String>::new());
    assert_eq!(states(&target).await, [ReleaseState::Verified, ReleaseState::Superseded]);
    let lease = world.api::<Lease>().get("greenloop-staging").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref().unwrap_or_default(), "");
    assert_eq!(lease.lease_transitions, Some(2));
}

/// A failing release is replaced by the last verified one: changes are reverted, additions removed.
async fn a_failed_release_gives_way(world: &mut World) {
    let web = deployment(world, &HEALTHY);
    world.manifests(&[config_map("web", json!({"a": "1"})), web]);
    let good = world.release().await;

    let web = deployment(world, &PANICS);
    let brought = config_map("brought", json!({}));
    world.manifests(&[config_map("web", json!({"a": "2"})), brought, web]);
    let attempt = world.roll_out().await;
    let error = attempt.outcome.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release);
    let changes = error.evidence.excerpts.last().unwrap();
    assert_eq!(changes.kind, Excerpt::DIFF);
    for id in ["configmap/web", "configmap/brought"] {
        assert!(changes.text.contains(id), "{}", changes.text);
    }
    assert!(is(&PANICS, &command(world).await));

    let restored = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(
        matches!(restored, Restored::Release { ref deployed, .. } if deployed.release == good),
        "{restored:?}"
    );
    assert!(is(&HEALTHY, &command(world).await));
    let config = world.api::<ConfigMap>().get("web").await.unwrap();
    assert_eq!(config.data.unwrap()["a"], "1");
    assert!(world.api::<ConfigMap>().get_opt("brought").await.unwrap().is_none());
    assert_eq!(states(&attempt.target).await, [ReleaseState::Failed, ReleaseState::Verified]);
    // A later query shows that it serves.
    let again = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(again, Restored::Untouched(ref d) if d.release == good), "{again:?}");
}

/// Without a verified release, a failure removes only what it created.
async fn the_first_release_leaves_nothing_behind(world: &mut World) {
    world.create(&config_map("others", json!({"a": "1"}))).await;
    let web = deployment(world, &PANICS);
    world.manifests(&[config_map("web", json!({})), service(), web]);
    let attempt = world.roll_out().await;
    assert!(attempt.outcome.is_err());
    assert_eq!(
        attempt
            .target
            .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
            .await
            .unwrap(),
        Restored::Nothing
    );
    assert!(world.api::<Deployment>().get_opt("web").await.unwrap().is_none());
    assert!(world.api::<ConfigMap>().get_opt("web").await.unwrap().is_none());
    assert!(world.api::<ConfigMap>().get_opt("others").await.unwrap().is_some());
}

/// If the very first release fails, the previous deployment of somebody else is restored.
async fn the_first_release_gives_way_to_what_was_there(world: &mut World) {
    world.create(&deployment(world, &HEALTHY)).await;
    world.manifests(&[deployment(world, &PANICS)]);
    let attempt = world.roll_out().await;
    assert!(attempt.outcome.is_err());
    assert_eq!(
        attempt
            .target
            .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
            .await
            .unwrap(),
        Restored::Nothing
    );
    assert!(is(&HEALTHY, &command(world).await));
}

/// A change of a workload's configuration restarts its pods; a rollback reverts manual changes.
async fn configuration_is_part_of_a_release(world: &mut World) {
    let reading = |world: &World| {
        let mut web = deployment(world, &HEALTHY);
        first(&mut web)["envFrom"] = json!([{"configMapRef": {"name": "web"}}]);
        web
    };
    let sum = async |world: &World| {
        let web = world.api::<Deployment>().get("web").await.unwrap();
        let annotations = web.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
        annotations["greenloop.dev/config-checksum"].clone()
    };
    world.manifests(&[config_map("web", json!({"a": "1"})), reading(world)]);
    let good = world.release().await;
    let before = sum(world).await;
    world.manifests(&[config_map("web", json!({"a": "2"})), reading(world)]);
    world.release().await;
    assert_ne!(sum(world).await, before);

    patch::<ConfigMap>(world, "web", "kubectl-edit", json!({"data": {"a": "by hand"}})).await;
    let target = world.target();
    let notes = target.status().await.unwrap().notes.join("\n");
    assert!(notes.contains("configmap/web has been changed since: data.a"), "{notes}");
    assert!(notes.contains("kubectl-edit"), "{notes}");

    let (events, cancel) = quiet();
    let back = target.roll_back(Earlier::LastVerified, &events, &cancel).await.unwrap();
    assert_eq!(back.release, good);
    let config = world.api::<ConfigMap>().get("web").await.unwrap();
    assert_eq!(config.data.unwrap()["a"], "1");
    assert_eq!(sum(world).await, before);
}

/// A controller's field is a conflict that names its owner; a person's field is taken over.
async fn fields_of_others_are_respected(world: &mut World) {
    world.manifests(&[deployment(world, &HEALTHY)]);
    world.release().await;
    let other = json!({"spec": {"replicas": 2}});
    patch::<Deployment>(world, "web", "argocd-controller", other.clone()).await;
    let attempt = world.roll_out().await;
    let error = attempt.outcome.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains(".spec.replicas is owned by argocd-controller"), "{error}");
    assert!(error.message.contains("k8s/app.yaml:1"), "{error}");
    attempt.target.release_claim().await;

    patch::<Deployment>(world, "web", "kubectl-edit", json!({"spec": {"replicas": 3}})).await;
    world.release().await;
    let web = world.api::<Deployment>().get("web").await.unwrap();
    assert_eq!(web.spec.unwrap().replicas, Some(1));
}

/// A rejection by the API server is detected before anything is written.
async fn mistakes_are_found_before_anything_is_written(world: &mut World) {
    let mut unknown = deployment(world, &HEALTHY);
    unknown["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");
    let mut invalid = deployment(world, &HEALTHY);
    invalid["spec"]["selector"]["matchLabels"]["app"] = json!("other");
    for (name, object, says) in [
        ("unknown field", unknown, "imagee"),
        ("invalid", invalid, "selector"),
        (
            "unknown kind",
            json!({"apiVersion": "example.org/v9", "kind": "Gadget", "metadata": {"name": "x"}}),
            "the cluster has no kind Gadget in example.org/v9",
        ),
    ] {
        world.manifests(&[config_map("web", json!({})), object]);
        let attempt = world.roll_out().await;
        let error = attempt.outcome.unwrap_err();
        let kind = (error.kind, error.class);
        assert_eq!(kind, (TargetErrorKind::Release, FailureClass::Config), "{name}: {error}");
        let all = format!("{} {}", error.message, error.evidence.notes.join(" "));
        assert!(all.contains(says), "{name}: {all}");
        assert!(all.contains("k8s/app.yaml:3"), "{name}: {all}");
        assert!(world.api::<ConfigMap>().get_opt("web").await.unwrap().is_none(), "{name}");
        assert_eq!(
            attempt
                .target
                .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
                .await
                .unwrap(),
            Restored::Nothing
        );
        attempt.target.release_claim().await;
    }
}

/// A paused Deployment is reported at once; a restore resumes it.
async fn a_paused_deployment_is_said_at_once(world: &mut World) {
    world.manifests(&[deployment(world, &HEALTHY)]);
    world.release().await;
    let pause = json!({"spec": {"paused": true}});
    patch::<Deployment>(world, "web", "kubectl-rollout", pause.clone()).await;
    world.manifests(&[deployment(world, &HEALTHY_TOO)]);
    let attempt = world.roll_out().await;
    let error = attempt.outcome.unwrap_err();
    assert!(error.message.contains("kubectl rollout resume deployment/web"), "{error}");
    attempt.target.release_claim().await;
    patch::<Deployment>(world, "web", "kubectl-rollout", json!({"spec": {"paused": false}})).await;

    world.manifests(&[deployment(world, &PANICS)]);
    let attempt = world.roll_out().await;
    assert!(attempt.outcome.is_err());
    patch::<Deployment>(world, "web", "kubectl-rollout", pause).await;
    let restored = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(restored, Restored::Release { .. }), "{restored:?}");
    let web = world.api::<Deployment>().get("web").await.unwrap();
    assert_ne!(web.spec.unwrap().paused, Some(true));
}

/// A cancelled rollout is restored once, until the API server has accepted the writes, without
/// waiting for pods or a soak.
async fn a_cancelled_rollout_is_taken_back(world: &mut World) {
    world.manifests(&[deployment(world, &HEALTHY)]);
    world.release().await;
    world.plan.soak = Some(Duration::from_secs(30));
    world.manifests(&[deployment(world, &HEALTHY_TOO)]);
    let target = world.target();
    let cancel = CancellationToken::new();
    let request = world.request(RunId::generate());
    let events = EventSink::null();
    world.plan.soak = None;
    let (outcome, ()) = tokio::join!(target.roll_out(&request, &events, &cancel), async {
        for _ in 0..100 {
            if is(&HEALTHY_TOO, &command(world).await) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap_err().kind, TargetErrorKind::Cancelled);
    assert!(is(&HEALTHY_TOO, &command(world).await), "a rollout does not restore by itself");
    // A slow server has accepted it all the same.
    if let Some(wire) = &world.wire {
        let slow = Fault::Slow(Duration::from_millis(200));
        wire.server.faults().add(100, slow, |call| call.verb != "watch");
    }
    let hurry = CancellationToken::new();
    hurry.cancel();
    let restored = target.restore(request.release, &events, &hurry).await.unwrap();
    assert!(matches!(restored, Restored::Release { serving_after: None, .. }), "{restored:?}");
    let status = target.status().await.unwrap();
    let state = |release| status.releases.iter().find(|r| r.id == release).map(|r| r.state);
    assert_eq!(state(request.release), Some(ReleaseState::Failed));
    assert!(is(&HEALTHY, &command(world).await));
}

/// Smoke tests reach a service without an ingress, through another pod if one dies.
async fn a_service_is_reached_through_a_forward(world: &mut World) {
    world.plan.service = Some(ServicePlan { name: "web".to_owned(), port: Some(80) });
    let mut web = deployment(world, &HEALTHY);
    web["spec"]["replicas"] = json!(2);
    world.manifests(&[service(), web]);
    let attempt = world.roll_out().await;
    attempt.outcome.unwrap();
    let url = attempt.target.smoke_endpoint().await.unwrap().unwrap().url;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(attempt.target.smoke_endpoint().await.unwrap().unwrap().url, url);
    let get = async || reqwest::get(&url).await.unwrap().text().await.unwrap();
    assert_eq!(get().await, "ok\n");
    let pods = world.api::<Pod>().list(&ListParams::default().labels("app=web")).await.unwrap();
    let mut newest = pods.items;
    newest.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let name = newest.pop().unwrap().metadata.name.unwrap();
    world.api::<Pod>().delete(&name, &Default::default()).await.unwrap();
    assert_eq!(get().await, "ok\n");
}

/// A dry run shows the changes without secrets, and changes nothing.
async fn a_preview_changes_nothing(world: &mut World) {
    let secret = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"},
            "stringData": {"password": value}})
    };
    world.manifests(&[secret("correct-horse"), config_map("web", json!({"a": "1"}))]);
    world.release().await;
    world.manifests(&[secret("battery-staple"), config_map("web", json!({"a": "2"}))]);
    let target = world.target();
    let diff = target.preview(&world.request(RunId::generate())).await.unwrap();
    assert!(
        diff.contains("-  a: '1'\n+  a: '2'") || diff.contains("-  a: \"1\"\n+  a: \"2\""),
        "{diff}"
    );
    assert!(diff.contains("secret/web"), "{diff}");
    world.manifests(&[service(), secret("battery-staple"), config_map("web", json!({"a": "2"}))]);
    let diff = target.preview(&world.request(RunId::generate())).await.unwrap();
    assert!(diff.contains("+++ b/service/web") && diff.contains("targetPort: 8080"), "{diff}");
    for given in ["clusterIP", "ipFamil", "sessionAffinity"] {
        assert!(!diff.contains(given), "{given}: {diff}");
    }
    assert!(!diff.contains("horse") && !diff.contains("staple"), "{diff}");
    let config = world.api::<ConfigMap>().get("web").await.unwrap();
    assert_eq!(config.data.unwrap()["a"], "1");
    assert_eq!(target.status().await.unwrap().releases.len(), 1);
}

/// A completed Job runs again for another release, but not for a rollback.
async fn a_finished_job_is_made_anew(world: &mut World) {
    let job = |n: &str| {
        let mut job = objects::job(world, &MIGRATION_WORKS);
        first(&mut job)["env"] = json!([{"name": "N", "value": n}]);
        job
    };
    world.manifests(&[job("1"), deployment(world, &HEALTHY)]);
    world.release().await;
    let uid = async || {
        let job = world.api::<k8s_openapi::api::batch::v1::Job>().get("migrate").await.unwrap();
        job.metadata.uid.unwrap()
    };
    let before = uid().await;
    world.manifests(&[job("2"), deployment(world, &HEALTHY)]);
    world.release().await;
    let after = uid().await;
    assert_ne!(after, before);
    let (events, cancel) = quiet();
    world.target().roll_back(Earlier::LastVerified, &events, &cancel).await.unwrap();
}

/// A StatefulSet with a broken pod recovers; its controller alone would wait forever.
async fn a_stateful_set_gets_unstuck(world: &mut World) {
    world.manifests(&[objects::stateful_set(world, &HEALTHY)]);
    let good = world.release().await;
    world.manifests(&[objects::stateful_set(world, &PANICS)]);
    let attempt = world.roll_out().await;
    assert_eq!(attempt.outcome.unwrap_err().kind, TargetErrorKind::Release);
    let restored = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(
        matches!(restored, Restored::Release { ref deployed, .. } if deployed.release == good),
        "{restored:?}"
    );
}

/// A release whose record is too large could not be restored: it is refused before anything is
/// written.
async fn a_release_that_is_too_large_for_its_record_is_refused(world: &mut World) {
    let mut seed = 1u32;
    let mut noise = || -> String {
        let next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_digit((seed >> 24) % 36, 36).unwrap()
        };
        std::iter::repeat_with(next).take(900_000).collect()
    };
    let web = deployment(world, &HEALTHY);
    let large = |name: &str, noise: String| config_map(name, json!({"noise": noise}));
    world.manifests(&[large("one", noise()), large("two", noise()), web]);
    let attempt = world.roll_out().await;
    let error = attempt.outcome.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("split the release"), "{error}");
    assert_eq!(world.api::<ConfigMap>().get_opt("one").await.unwrap(), None);
    assert_eq!(world.api::<Deployment>().get_opt("web").await.unwrap(), None);
    let restored = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(restored, Restored::Nothing);
}

/// A missing namespace of the environment is created.
async fn a_missing_namespace_is_made(world: &mut World) {
    world.plan.namespace = "elsewhere".to_owned();
    world.manifests(&[config_map("web", json!({"a": "1"}))]);
    let preview = world.target().preview(&world.request(RunId::generate())).await.unwrap();
    assert!(preview.contains("+++ b/configmap/web"), "{preview}");
    world.release().await;
    let api: kube::Api<ConfigMap> = kube::Api::namespaced(world.client.clone(), "elsewhere");
    api.get("web").await.unwrap();
    let again = api.create(&PostParams::default(), &ConfigMap::default()).await;
    assert!(again.is_err());
}

/// A status says what keeps the pods from being ready, not only how many of them are.
async fn a_status_says_what_keeps_the_pods(world: &mut World) {
    world.manifests(&[deployment(world, &HEALTHY)]);
    world.release().await;
    assert!(world.target().status().await.unwrap().notes.is_empty());
    let broken = json!([{"name": "web", "image": world.image, "command": PANICS.command()}]);
    let change = json!({"spec": {"template": {"spec": {"containers": broken}}}});
    patch::<Deployment>(world, "web", "kubectl-edit", change).await;
    let said = async {
        loop {
            let notes = world.target().status().await.unwrap().notes.join("\n");
            if notes.contains("waits: CrashLoopBackOff") {
                break notes;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let notes = tokio::time::timeout(Duration::from_secs(120), said).await.unwrap();
    for part in ["pod web-", ": container web waits: ", "the last time with exit status 101"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert!(!notes.contains("DATABASE_URL"), "what a container wrote is not shown: {notes}");
}

scenarios! {
    both:
        a_status_says_what_keeps_the_pods,
        a_release_is_recorded_and_marked,
        a_failed_release_gives_way,
        the_first_release_leaves_nothing_behind,
        the_first_release_gives_way_to_what_was_there,
        configuration_is_part_of_a_release,
        fields_of_others_are_respected,
        mistakes_are_found_before_anything_is_written,
        a_paused_deployment_is_said_at_once,
        a_cancelled_rollout_is_taken_back,
        a_service_is_reached_through_a_forward,
        a_preview_changes_nothing,
        a_finished_job_is_made_anew,
        a_stateful_set_gets_unstuck;
    wire:
        a_release_that_is_too_large_for_its_record_is_refused,
        a_missing_namespace_is_made
}
