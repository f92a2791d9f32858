//! Missing permissions, reported in advance and when they are needed.

use std::time::Duration;

use crate::binary::Shop;
use crate::program::HEALTHY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_at_the_engine_the_registry_and_each_verb() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let doctor = shop.ends(&["doctor"], 0);
    for line in ["docker engine", "registry", "cluster", "permissions", "target"] {
        assert!(doctor.stdout.contains(line), "{line}: {}", doctor.all());
    }
    assert!(doctor.stdout.contains(&format!("{} accepts pushes", shop.image)), "{}", doctor.all());
    assert!(doctor.stdout.contains("Kubernetes v1."), "{}", doctor.all());

    shop.world.wire().server.forbid("patch", "deployments");
    shop.world.wire().server.forbid("get", "pods/log");
    let doctor = shop.ends(&["doctor"], 1);
    for part in ["patch deployments.apps in shop", "get pods/log in shop", "rbac.yaml"] {
        assert!(doctor.stdout.contains(part), "{part}: {}", doctor.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_gone_is_told() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.world.wire().server.cut(Duration::from_secs(600));
    let outcome = shop.ends(&[], 3);
    assert!(outcome.stderr.contains("API server http://127.0.0.1:"), "{}", outcome.all());
    assert!(outcome.stderr.contains("greenloop doctor"), "{}", outcome.all());
    let doctor = shop.ends(&["doctor"], 1);
    for part in ["API server http://127.0.0.1:", "check deploy.kubernetes"] {
        assert!(doctor.stdout.contains(part), "{part}: {}", doctor.all());
    }
}
