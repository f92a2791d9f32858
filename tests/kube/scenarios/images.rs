//! Images that cannot be pulled.

use std::time::Duration;

use greenloop_model::FailureClass;
use serde_json::json;

use super::{Case, RolloutFailure, fails};
use crate::objects::{deployment, first};
use crate::program;
use crate::world::{World, scenarios};

pub(super) fn not_found(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["image"] = json!(format!("{}/greenloop/missing:1", world.registry));
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["greenloop/missing:1"],
        evidence: &["not found", "greenloop/missing:1"],
        within: (3, 30),
    };
    Case::new(vec![object], failure)
}

pub(super) fn bad_name(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["image"] = json!("Fleet:latest");
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["Fleet:latest"],
        evidence: &["must be lowercase"],
        within: (3, 20),
    };
    Case::new(vec![object], failure)
}

pub(super) fn unauthorised(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["image"] = json!("registry.test/private/fleet:1");
    let failure = RolloutFailure {
        class: FailureClass::Auth,
        message: &["registry.test/private/fleet:1"],
        evidence: &["401 Unauthorized"],
        within: (3, 30),
    };
    Case::new(vec![object], failure)
}

/// An unreachable registry: retried until the timeout, then classified as infrastructure.
async fn registry_away(world: &mut World) {
    world.wait = Duration::from_secs(6);
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["image"] = json!("registry.test/away/fleet:1");
    let failure = RolloutFailure {
        class: FailureClass::Infrastructure,
        message: &[],
        evidence: &["connection refused"],
        within: (12, 60),
    };
    let attempt = fails(world, &[object], &failure).await;
    assert!(attempt.took >= Duration::from_secs(6));
}

scenarios! { broken: not_found, bad_name; broken_on_wire: unauthorised; wire: registry_away }
