//! Missing permissions, and access to a service without an ingress.

use greenloop_config::plan::ServicePlan;
use greenloop_model::FailureClass;
use greenloop_ports::{Target as _, TargetErrorKind};

use serde_json::json;

use super::{Doom, fails, said};
use crate::objects::{deployment, service};
use crate::program;
use crate::world::{World, scenarios};

async fn a_missing_right_is_a_matter_of_access(world: &mut World) {
    world.wire().server.forbid("patch", "deployments");
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let error = world.roll_out().await.outcome.unwrap_err();
    assert_eq!(error.class, FailureClass::Auth, "{error}");
    let told = format!("{error} {}", said(&error.evidence));
    let sentence = "the account `system:serviceaccount:ci:greenloop` may not patch \
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
    for part in ["may not list pods in namespace shop", "verbs: [\"list\"]"] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

/// The verdict does not need the logs.
async fn logs_are_forbidden(world: &mut World) {
    world.wire().server.forbid("get", "pods/log");
    let doom = Doom {
        class: FailureClass::Unknown,
        message: &["web"],
        evidence: &["exit", "may not get pods/log in namespace shop", "resources: [\"pods/log\"]"],
        within: (8, 60),
    };
    fails(world, &[deployment(world, &program::PANICS)], &doom).await;
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
        the_right_to_go_back_to_a_revision_is_asked_for
}
