//! Containers that run and are never ready.

use greenloop_model::FailureClass;
use serde_json::json;

use super::{Case, RolloutFailure};
use crate::objects::{deployment, first, probe};
use crate::program;
use crate::world::{World, scenarios};

pub(super) fn the_path_is_wrong(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"] = probe("/ready");
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["404"],
        evidence: &["Readiness probe failed", "/ready"],
        within: (16, 60),
    };
    Case::new(vec![object], failure)
}

pub(super) fn the_port_is_wrong(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"]["httpGet"]["port"] = json!(9999);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["9999"],
        evidence: &["connection refused", "8080"],
        within: (5, 60),
    };
    Case::new(vec![object], failure)
}

pub(super) fn it_is_never_ready(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"] = json!({
        "exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 3,
    });
    object["spec"]["progressDeadlineSeconds"] = json!(3600);
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["ready"],
        evidence: &["Readiness probe failed"],
        within: (30, 60),
    };
    // A slow start looks the same, so it has the whole timeout.
    Case { wait: Some(20), ..Case::new(vec![object], failure) }
}

scenarios! { broken: the_path_is_wrong, the_port_is_wrong, it_is_never_ready }
