//! Rollouts that somebody else changes: paused, superseded, scaled.

use std::time::Duration;

use greenloop_model::{EventSink, FailureClass};
use greenloop_ports::{Target as _, TargetErrorKind};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails};
use crate::objects::{deployment, first};
use crate::program;
use crate::world::{World, scenarios};

async fn a_paused_deployment_fails_at_once(world: &mut World) {
    let mut object = deployment(world, &program::HEALTHY);
    object["spec"]["paused"] = json!(true);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["paused"],
        evidence: &[],
        within: (3, 20),
    };
    fails(world, &[object], &failure).await;
}

/// Somebody writes a newer revision during the rollout: this run neither judges nor rolls it back.
async fn a_newer_revision_takes_over(world: &mut World) {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"] = json!({
        "exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1,
    });
    world.manifests(&[object]);
    let api = world.api::<Deployment>();
    let overtake = async {
        let observed = |object: Option<&Deployment>| {
            object.and_then(|object| object.status.as_ref()).is_some_and(|status| {
                status.unavailable_replicas == Some(1) && status.updated_replicas == Some(1)
            })
        };
        kube::runtime::wait::await_condition(api.clone(), "web", observed).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let change = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "env": [{"name": "BY", "value": "hand"}]}]}}}});
        let hand =
            PatchParams { field_manager: Some("kubectl-set".to_owned()), ..PatchParams::default() };
        api.patch("web", &hand, &Patch::Strategic(&change)).await.unwrap();
    };
    let (attempt, ()) = tokio::join!(world.roll_out(), overtake);
    let error = attempt.outcome.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Superseded, "{error}");
    let refused = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, TargetErrorKind::Superseded, "{refused}");
    let now = world.api::<Deployment>().get("web").await.unwrap();
    let env = now.spec.unwrap().template.spec.unwrap().containers[0].env.clone().unwrap();
    assert_eq!(env[0].name, "BY", "what the other wrote is left alone");
}

/// An autoscaler's replicas are not overwritten.
async fn an_autoscaler_owns_the_replicas(world: &mut World) {
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    });
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["resources"] = json!({"requests": {"cpu": "10m"}});
    world.manifests(&[object.clone(), scaler.clone()]);
    world.release().await;
    let scaled = |object: Option<&Deployment>| {
        object.and_then(|object| object.spec.as_ref()).is_some_and(|s| s.replicas == Some(2))
    };
    let api = world.api::<Deployment>();
    let waiting = kube::runtime::wait::await_condition(api.clone(), "web", scaled);
    tokio::time::timeout(Duration::from_secs(90), waiting).await.unwrap().unwrap();

    first(&mut object)["command"] = program::HEALTHY_TOO.command();
    world.manifests(&[object, scaler]);
    let before = world.wire.as_ref().map(|wire| wire.server.api().store.history.len());
    world.release().await;
    assert_eq!(api.get("web").await.unwrap().spec.unwrap().replicas, Some(2));
    if let (Some(wire), Some(before)) = (&world.wire, before) {
        let api = wire.server.api();
        let dip = api.store.history[before..].iter().find(|change| {
            change.resource.kind == "Deployment" && change.object["spec"]["replicas"] != 2
        });
        assert!(dip.is_none(), "the replicas were written back on the way");
    }
}

scenarios! {
    both:
        a_paused_deployment_fails_at_once,
        a_newer_revision_takes_over,
        an_autoscaler_owns_the_replicas
}
