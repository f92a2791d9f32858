//! Pods that are not created or not scheduled.

use greenloop_model::FailureClass;
use greenloop_ports::TargetErrorKind;
use serde_json::json;

use super::{Case, RolloutFailure, fails, said};
use crate::objects::{deployment, first};
use crate::program;
use crate::server::admission::Denial;
use crate::world::{World, scenarios};

pub(super) fn no_node_has_room(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["resources"] = json!({"requests": {"cpu": "9000"}});
    object["spec"]["progressDeadlineSeconds"] = json!(3600);
    let failure = RolloutFailure {
        class: FailureClass::Infrastructure,
        message: &["cpu"],
        evidence: &["Insufficient cpu"],
        within: (66, 80),
    };
    Case::new(vec![object], failure)
}

pub(super) fn the_quota_is_used_up(world: &World) -> Case {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "0"}},
    });
    let failure = RolloutFailure {
        class: FailureClass::Quota,
        message: &["quota"],
        evidence: &["exceeded quota: tight"],
        within: (5, 30),
    };
    Case::new(vec![quota, deployment(world, &program::HEALTHY)], failure)
}

pub(super) fn pod_security_refuses(world: &World) -> Case {
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["PodSecurity"],
        evidence: &["allowPrivilegeEscalation"],
        within: (4, 30),
    };
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    Case { labels, ..Case::new(vec![deployment(world, &program::HEALTHY)], failure) }
}

async fn a_webhook_refuses_the_pods(world: &mut World) {
    world.wire().server.api().denials.push(Denial {
        plural: "pods",
        webhook: "policy.example.com",
        message: "images must be signed",
    });
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["images must be signed"],
        evidence: &["policy.example.com"],
        within: (4, 30),
    };
    fails(world, &[deployment(world, &program::HEALTHY)], &failure).await;
}

/// The dry run detects it before anything is written.
async fn a_webhook_refuses_the_deployment(world: &mut World) {
    world.wire().server.api().denials.push(Denial {
        plural: "deployments",
        webhook: "policy.example.com",
        message: "replicas must be at least 2",
    });
    world.manifests(&[
        crate::objects::config_map("settings", json!({})),
        deployment(world, &program::HEALTHY),
    ]);
    let attempt = world.roll_out().await;
    let error = attempt.outcome.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release, "{error}");
    assert_eq!(error.class, FailureClass::Config, "{error}");
    let said = said(&error.evidence);
    assert!(said.contains("replicas must be at least 2"), "{said}");
    let journal = world.wire().server.journal();
    let wrote = journal.entries().iter().find(|entry| {
        entry.call.writes() && matches!(entry.call.resource.plural, "configmaps" | "deployments")
    });
    assert!(wrote.is_none(), "{:?}", wrote.map(|entry| entry.call.told()));
}

async fn a_field_is_unknown(world: &mut World) {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["imagePulPolicy"] = json!("Always");
    world.manifests(&[object]);
    let error = world.roll_out().await.outcome.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release, "{error}");
    assert_eq!(error.class, FailureClass::Config, "{error}");
    let told = format!("{error} {}", said(&error.evidence));
    assert!(told.contains("imagePulPolicy"), "{told}");
}

pub(super) fn the_deployments_own_deadline_passes(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"] = json!({
        "exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 2,
    });
    object["spec"]["progressDeadlineSeconds"] = json!(15);
    let failure = RolloutFailure {
        class: FailureClass::Timeout,
        message: &["web"],
        evidence: &["ProgressDeadlineExceeded"],
        within: (6, 45),
    };
    Case::new(vec![object], failure)
}

scenarios! {
    broken:
        no_node_has_room,
        the_quota_is_used_up,
        pod_security_refuses,
        the_deployments_own_deadline_passes;
    both: a_field_is_unknown;
    wire: a_webhook_refuses_the_pods, a_webhook_refuses_the_deployment
}
