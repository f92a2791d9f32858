//! Containers that crash or do not start.

use greenloop_model::FailureClass;
use serde_json::json;

use super::{Case, RolloutFailure, said};
use crate::objects::{config_map, container, deployment, first, pod_spec, probe};
use crate::program;
use crate::world::{World, scenarios};

/// Two crashes with the same message are enough, without waiting for a third.
pub(super) fn the_same_panic_twice(world: &World) -> Case {
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["web"],
        evidence: &["missing DATABASE_URL", "src/main.rs:14:5", "exit"],
        within: (4, 40),
    };
    Case::new(vec![deployment(world, &program::PANICS)], failure)
}

pub(super) fn a_silent_exit_three_times(world: &World) -> Case {
    let failure = RolloutFailure {
        class: FailureClass::Unknown,
        message: &["web"],
        evidence: &["exit"],
        within: (6, 90),
    };
    Case::new(vec![deployment(world, &program::SILENT)], failure)
}

pub(super) fn out_of_memory_twice(world: &World) -> Case {
    let mut object = deployment(world, &program::HUNGRY);
    first(&mut object)["resources"] =
        json!({"limits": {"memory": "32Mi"}, "requests": {"memory": "16Mi"}});
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["memory"],
        evidence: &["OOMKilled", "32Mi"],
        within: (4, 60),
    };
    Case::new(vec![object], failure)
}

pub(super) fn no_program(world: &World) -> Case {
    let mut object = deployment(world, &program::NO_PROGRAM);
    pod_spec(&mut object)["volumes"] =
        json!([{"name": "app", "configMap": {"name": "app", "defaultMode": 0o755}}]);
    first(&mut object)["volumeMounts"] = json!([{"name": "app", "mountPath": "/app"}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["web"],
        evidence: &["exec format error"],
        within: (4, 40),
    };
    let app = config_map("app", json!({"app": "this is no program\n"}));
    Case::new(vec![app, object], failure)
}

pub(super) fn no_command(world: &World) -> Case {
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["/no/such/program"],
        evidence: &["no such file or directory"],
        within: (3, 40),
    };
    Case::new(vec![deployment(world, &program::NO_COMMAND)], failure)
}

pub(super) fn an_init_container_fails(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    let mut init = container(world, &program::MIGRATION_FAILS);
    init["name"] = json!("migrate");
    pod_spec(&mut object)["initContainers"] = json!([init]);
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["migrate"],
        evidence: &["migration 0042 failed"],
        within: (4, 40),
    };
    Case::new(vec![object], failure)
}

pub(super) fn the_liveness_probe_kills(world: &World) -> Case {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["livenessProbe"] = probe("/live");
    first(&mut object)["livenessProbe"]["failureThreshold"] = json!(2);
    // Long enough that the soak alone does not decide.
    object["spec"]["minReadySeconds"] = json!(30);
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["liveness"],
        evidence: &["Liveness probe failed", "404"],
        within: (6, 60),
    };
    Case::new(vec![object], failure)
}

/// kubectl calls this a success.
pub(super) fn dies_soon_after_it_was_ready(world: &World) -> Case {
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["web"],
        evidence: &["the license server says no"],
        within: (5, 60),
    };
    Case { usual_soak: true, ..Case::new(vec![deployment(world, &program::DIES_LATER)], failure) }
}

async fn no_third_crash_is_waited_for(world: &mut World) {
    let case = the_same_panic_twice(world);
    Case { objects: vec![deployment(world, &program::PANICS_TWICE)], ..case }.play(world).await;
}

/// An error before megabytes of other lines is the headline and the first excerpt.
async fn the_first_error_of_a_huge_log_is_the_headline(world: &mut World) {
    world.wire().server.logs().flood = 100_000;
    world.manifests(&[deployment(world, &program::PANICS)]);
    let error = world.roll_out().await.outcome.unwrap_err();
    let told = format!("{error}\n{}", said(&error.evidence));
    assert!(error.message.contains("missing DATABASE_URL"), "{told}");
    assert!(error.evidence.excerpts[0].text.contains("src/main.rs:14:5"), "{told}");
}

/// The node answers a request for the previous log with a success that contains an error.
async fn the_previous_log_is_lost(world: &mut World) {
    world.manifests(&[deployment(world, &program::PANICS)]);
    let server = world.wire().server.clone();
    let lose = tokio::spawn(async move {
        let resource = crate::server::resource::by_kind("Pod");
        loop {
            let uids: Vec<String> = server
                .api()
                .store
                .list(resource, None)
                .filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned))
                .collect();
            server.logs().lost = uids;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let attempt = world.roll_out().await;
    lose.abort();
    let error = attempt.outcome.unwrap_err();
    let said = said(&error.evidence);
    assert!(!said.contains("unable to retrieve container logs"), "{said}");
    assert!(said.contains("missing DATABASE_URL"), "the current log says it too: {said}");
}

scenarios! {
    broken:
        the_same_panic_twice,
        a_silent_exit_three_times,
        out_of_memory_twice,
        no_program,
        no_command,
        an_init_container_fails,
        the_liveness_probe_kills,
        dies_soon_after_it_was_ready;
    wire:
        the_previous_log_is_lost,
        no_third_crash_is_waited_for,
        the_first_error_of_a_huge_log_is_the_headline
}
