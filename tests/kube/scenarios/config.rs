//! Missing references of pods.

use greenloop_model::FailureClass;
use serde_json::json;

use super::{Case, RolloutFailure};
use crate::objects::{deployment, first, pod_spec};
use crate::program;
use crate::world::{World, scenarios};

pub(super) fn a_config_map_is_missing(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["envFrom"] = json!([{"configMapRef": {"name": "nowhere"}}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["nowhere"],
        evidence: &["configmap \"nowhere\" not found"],
        within: (5, 40),
    };
    Case::new(vec![object], failure)
}

pub(super) fn a_key_of_a_secret_is_missing(world: &World) -> Case {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"},
        "stringData": {"user": "fleet"},
    });
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["env"] = json!([{"name": "PASSWORD", "valueFrom": {
        "secretKeyRef": {"name": "database", "key": "password"}}}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["password"],
        evidence: &["couldn't find key password in Secret"],
        within: (5, 40),
    };
    Case::new(vec![secret, object], failure)
}

pub(super) fn a_volume_is_missing(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    pod_spec(&mut object)["volumes"] =
        json!([{"name": "tls", "secret": {"secretName": "no-certificate"}}]);
    first(&mut object)["volumeMounts"] = json!([{"name": "tls", "mountPath": "/tls"}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["no-certificate"],
        evidence: &["secret \"no-certificate\" not found"],
        within: (6, 60),
    };
    Case::new(vec![object], failure)
}

pub(super) fn a_volume_claim_is_missing(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    pod_spec(&mut object)["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "no-disk"}}]);
    first(&mut object)["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["no-disk"],
        evidence: &["persistentvolumeclaim \"no-disk\" not found"],
        within: (5, 40),
    };
    Case::new(vec![object], failure)
}

scenarios! {
    broken:
        a_config_map_is_missing,
        a_key_of_a_secret_is_missing,
        a_volume_is_missing,
        a_volume_claim_is_missing
}
