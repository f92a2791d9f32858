//! Missing permissions, and access to a service without an ingress.

use std::time::Duration;

use greenloop_config::plan::ServicePlan;
use greenloop_model::{Condition, EventSink, FailureClass, RunId};
use greenloop_ports::{Target as _, TargetErrorKind};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails, said};
use crate::objects::{config_map, deployment, service};
use crate::program;
use crate::world::{World, scenarios};

async fn a_missing_right_is_a_matter_of_access(world: &mut World) {
    world.wire().server.forbid("patch", "deployments");
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let error = world.roll_out().await.outcome.unwrap_err();
    assert_eq!(error.class, FailureClass::Auth, "{error}");
    let told = format!("{error} {}", said(&error.evidence));
    let sentence = "the account `system:serviceaccount:ci:greenloop` is not permitted to patch \
                    deployments.apps in namespace shop";
    assert!(error.message.contains(sentence), "{told}");
    let rule = "{apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"patch\"]}";
    assert!(told.contains(rule) && told.contains("cannot patch resource"), "{told}");
}

async fn seeing_pods_is_forbidden(world: &mut World) {
    world.wire().server.forbid("list", "pods");
    world.wire().server.forbid("watch", "pods");
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let error = world.roll_out().await.outcome.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Target, FailureClass::Auth), "{error}");
    for part in ["is not permitted to list pods in namespace shop", "verbs: [\"list\"]"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

/// The verdict does not need the logs.
async fn logs_are_forbidden(world: &mut World) {
    world.wire().server.forbid("get", "pods/log");
    let failure = RolloutFailure {
        class: FailureClass::Unknown,
        message: &["web"],
        evidence: &[
            "exit",
            "is not permitted to get pods/log in namespace shop",
            "resources: [\"pods/log\"]",
        ],
        within: (8, 60),
    };
    fails(world, &[deployment(world, &program::PANICS)], &failure).await;
}

async fn permissions_are_asked_for(world: &mut World) {
    world.wire().server.forbid("get", "pods/log");
    world.wire().server.forbid("patch", "deployments");
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let all = world.target().permissions().await.unwrap();
    let denied = all.iter().filter(|permission| !permission.allowed).count();
    assert_eq!(denied, 2, "{all:?}");
}

/// A namespace that does not exist yet, or is in the manifests, needs permissions that no Role can
/// grant.
async fn permissions_for_namespaces_are_asked_for(world: &mut World) {
    world.wire().server.forbid("create", "namespaces");
    let denied = async |world: &World| {
        let all = world.target().permissions().await.unwrap();
        let denied = all.into_iter().filter(|permission| !permission.allowed);
        denied.map(|denied| (denied.verb, denied.resource, denied.namespace)).collect::<Vec<_>>()
    };
    let create = ("create", "namespaces".to_owned(), None);
    world.manifests(&[service()]);
    assert_eq!(denied(world).await, []);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    world.manifests(&[namespace, service()]);
    assert_eq!(denied(world).await, std::slice::from_ref(&create));
    world.manifests(&[service()]);
    world.plan.namespace = "elsewhere".to_owned();
    assert_eq!(denied(world).await, [create]);
}

/// A rollback to a revision in the cluster replaces a workload, which is an `update`.
async fn the_right_to_go_back_to_a_revision_is_asked_for(world: &mut World) {
    world.create(&deployment(world, &program::HEALTHY)).await;
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    world.wire().server.forbid("update", "deployments");
    let all = world.target().permissions().await.unwrap();
    let denied: Vec<_> = all.iter().filter(|permission| !permission.allowed).collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!((denied[0].verb, denied[0].resource.as_str()), ("update", "deployments.apps"));
}

/// Nothing can be created in a namespace that is being deleted: that is reported before the first
/// write, with what holds it; once it is gone, the next run creates it.
async fn a_namespace_that_is_being_deleted_is_told(world: &mut World) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let mut held = config_map("held", json!({"A": "1"}));
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    world.create(&held).await;
    world.release().await;
    let hold = json!({"metadata": {"finalizers": ["example.org/hold"]}});
    let free = json!({"metadata": {"finalizers": null}});
    let secrets = world.api::<Secret>();
    let records = secrets.list(&Default::default()).await.unwrap();
    for record in &records {
        let name = record.name_any();
        secrets.patch(&name, &Default::default(), &Patch::Merge(&hold)).await.unwrap();
    }
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    let deployments = world.api::<k8s_openapi::api::apps::v1::Deployment>();
    while deployments.get_opt("web").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let writes = || {
        let journal = world.wire().server.journal();
        journal.entries().iter().filter(|entry| entry.call.writes()).count()
    };
    let before = writes();
    let target = world.target();
    let (run, cancel) = (RunId::generate(), CancellationToken::new());
    let tried = target.preview(&world.request(run)).await.unwrap_err();
    let claimed = target.claim(run, &EventSink::null(), &cancel).await.unwrap_err();
    let left = 1 + records.items.len();
    let remaining =
        format!("has finalizers remaining: example.org/hold in {left} resource instances");
    for error in [tried, claimed] {
        let told = format!("{error} {}", said(&error.evidence));
        assert_eq!(error.kind, TargetErrorKind::Target, "{told}");
        assert_eq!(error.class, FailureClass::Infrastructure, "{told}");
        for part in [
            "the namespace shop is being deleted since ",
            "wait until it is gone and run again",
            &remaining,
            "kubectl get namespace shop",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let refused = target.permissions().await.unwrap_err();
    assert!(refused.message.contains("is being deleted"), "{refused}");
    let status = target.status().await.unwrap();
    let Condition::Down(why) = &status.condition else { panic!("{status:?}") };
    assert!(why.contains("the namespace shop is being deleted since "), "{why}");
    assert!(why.contains("deployment/web no longer exists"), "{why}");
    assert_eq!(writes(), before, "something was written");
    // A creation that the check came too early for.
    let late = config_map("late", json!({"A": "1"}));
    let late: ConfigMap = serde_json::from_value(late).unwrap();
    let refused = world.api::<ConfigMap>().create(&PostParams::default(), &late).await.unwrap_err();
    let kube::Error::Api(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert_eq!(refused.details.unwrap().causes[0].reason, "NamespaceTerminating");

    // The same once the record of the release has gone too.
    for record in &records {
        let name = record.name_any();
        secrets.patch(&name, &Default::default(), &Patch::Merge(&free)).await.unwrap();
        while secrets.get_opt(&name).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let status = target.status().await.unwrap();
    assert!(status.serving.is_none());
    assert!(status.notes.iter().any(|note| note.contains("is being deleted since ")), "{status:?}");

    let maps = world.api::<ConfigMap>();
    maps.patch("held", &Default::default(), &Patch::Merge(&free)).await.unwrap();
    while namespaces.get_opt(&world.namespace).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.release().await;
}

async fn smoke_tests_go_through_a_port_forward(world: &mut World) {
    world.plan.service = Some(ServicePlan { name: "web".to_owned(), port: None });
    world.manifests(&[service(), deployment(world, &program::HEALTHY)]);
    let attempt = world.roll_out().await;
    attempt.outcome.as_ref().unwrap();
    let reached = attempt.target.smoke_endpoint().await.unwrap().unwrap();
    assert!(reached.url.starts_with("http://127.0.0.1:"), "{}", reached.url);
    for _ in 0..3 {
        let answer = reqwest::get(&reached.url).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "ok\n");
    }
}

scenarios! {
    both: smoke_tests_go_through_a_port_forward;
    wire:
        a_missing_right_is_a_matter_of_access,
        seeing_pods_is_forbidden,
        logs_are_forbidden,
        permissions_are_asked_for,
        permissions_for_namespaces_are_asked_for,
        the_right_to_go_back_to_a_revision_is_asked_for,
        a_namespace_that_is_being_deleted_is_told
}
