//! One deployment at a time.

use greenloop_model::{EventSink, RunId};
use greenloop_ports::Target as _;
use k8s_openapi::api::coordination::v1::Lease;
use tokio_util::sync::CancellationToken;

use crate::binary::Shop;
use crate::program::HEALTHY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_deployer_leaves_and_comes_again() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let other = shop.world.target();
    let run = RunId::generate();
    other.claim(run, &EventSink::null(), &CancellationToken::new()).await.unwrap();
    for arguments in [&[][..], &["rollback"]] {
        let outcome = shop.ends(arguments, 5);
        assert!(outcome.stderr.contains(&run.to_string()), "{}", outcome.all());
        assert!(outcome.stderr.contains("hint"), "{}", outcome.all());
    }
    assert_eq!(shop.applied().await, None);
    other.release_claim().await;
    shop.ends(&[], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_the_environment_is_told_for_whom() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let config = shop.repository.read("config.yaml");
    let patient = config.replace("    soak:", "    lease_wait: 20s\n    soak:");
    assert_ne!(patient, config);
    shop.repository.write("config.yaml", &patient);
    shop.repository.commit("wait for others");
    let other = shop.world.target();
    let run = RunId::generate();
    other.claim(run, &EventSink::null(), &CancellationToken::new()).await.unwrap();
    let leave = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        other.release_claim().await;
    });
    let outcome = shop.ends(&[], 0);
    assert!(outcome.all().contains(&format!("waiting for run {run}")), "{}", outcome.all());
    leave.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_cannot_begin_gives_the_lease_back() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let outcome = shop.ends(&["--resume", &RunId::generate().to_string()], 2);
    assert!(outcome.stderr.contains("greenloop audit list"), "{}", outcome.all());
    // Refused before or after the claim: the environment is not held.
    let lease = shop.world.api::<Lease>().get_opt("greenloop-staging").await.unwrap();
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    assert_eq!(holder.unwrap_or_default(), "");
}
