//! One deployment at a time.

use std::time::{Duration, Instant};

use greenloop_model::{EventSink, RunId};
use greenloop_ports::{Target as _, TargetErrorKind};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::objects::{deployment, first};
use crate::program;
use crate::world::{World, scenarios};

async fn the_lease(world: &World) -> Lease {
    let leases = world.api::<Lease>().list(&ListParams::default()).await.unwrap();
    let mut ours = leases.items.into_iter().filter(|lease| {
        lease.metadata.name.as_deref().is_some_and(|name| name.starts_with("greenloop"))
    });
    ours.next().unwrap()
}

async fn a_second_deployer_leaves(world: &mut World) {
    let (first, second) = (world.target(), world.target());
    let cancel = CancellationToken::new();
    let run = RunId::generate();
    first.claim(run, &EventSink::null(), &cancel).await.unwrap();
    first.claim(run, &EventSink::null(), &cancel).await.unwrap();
    let refused = second.claim(RunId::generate(), &EventSink::null(), &cancel).await.unwrap_err();
    assert_eq!(refused.kind, TargetErrorKind::Held, "{refused}");
    assert!(refused.message.contains(&run.to_string()), "{refused}");
    first.release_claim().await;
    second.claim(RunId::generate(), &EventSink::null(), &cancel).await.unwrap();
    second.release_claim().await;
}

async fn a_second_deployer_waits(world: &mut World) {
    world.plan.lease_wait = Duration::from_secs(20);
    let (first, second) = (world.target(), world.target());
    let cancel = CancellationToken::new();
    first.claim(RunId::generate(), &EventSink::null(), &cancel).await.unwrap();
    let leave = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        first.release_claim().await;
    };
    let begun = Instant::now();
    let quiet = EventSink::null();
    let (claimed, ()) = tokio::join!(second.claim(RunId::generate(), &quiet, &cancel), leave);
    claimed.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    second.release_claim().await;
}

/// Its holder is gone: it has expired.
async fn an_expired_lease_is_taken_over(world: &mut World) {
    let first = world.target();
    let cancel = CancellationToken::new();
    first.claim(RunId::generate(), &EventSink::null(), &cancel).await.unwrap();
    let lease = the_lease(world).await;
    let name = lease.metadata.name.clone().unwrap();
    first.release_claim().await;
    drop(first);
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let mut stale = the_lease(world).await;
    let spec = stale.spec.get_or_insert_default();
    spec.holder_identity = Some(RunId::generate().to_string());
    spec.renew_time = serde_json::from_value(json!("2026-01-02T03:04:05.000000Z")).unwrap();
    world.api::<Lease>().replace(&name, &PostParams::default(), &stale).await.unwrap();
    let second = world.target();
    let run = RunId::generate();
    second.claim(run, &EventSink::null(), &cancel).await.unwrap();
    let taken = the_lease(world).await.spec.unwrap();
    assert_eq!(taken.holder_identity, Some(run.to_string()));
    assert!(taken.lease_transitions > transitions, "the fencing number grows");
    second.release_claim().await;
}

/// It stops writing as soon as it detects the loss, and restores nothing.
async fn a_stolen_lease_ends_all_writing(world: &mut World) {
    let mut object = deployment(world, &program::HEALTHY);
    first(&mut object)["readinessProbe"] = json!({
        "exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1,
    });
    world.manifests(&[object]);
    let steal = async {
        let pods = world.api::<k8s_openapi::api::core::v1::Pod>();
        let patience = Instant::now() + Duration::from_secs(60);
        while pods.list(&ListParams::default().labels("app=web")).await.unwrap().items.is_empty()
            && Instant::now() < patience
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let thief = RunId::generate().to_string();
        loop {
            let mut lease = the_lease(world).await;
            let name = lease.metadata.name.clone().unwrap();
            let spec = lease.spec.as_mut().unwrap();
            spec.holder_identity = Some(thief.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
            let stolen = world.api::<Lease>().replace(&name, &PostParams::default(), &lease).await;
            if stolen.is_ok() {
                return thief;
            }
        }
    };
    let (attempt, thief) = tokio::join!(world.roll_out(), steal);
    let error = attempt.outcome.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Superseded, "{error}");
    let mark = world.wire.as_ref().map(|wire| wire.server.journal().entries().len());
    let refused = attempt
        .target
        .restore(attempt.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(refused.kind, TargetErrorKind::Superseded | TargetErrorKind::Held),
        "{refused}"
    );
    attempt.target.release_claim().await;
    if let (Some(wire), Some(mark)) = (&world.wire, mark) {
        let journal = wire.server.journal();
        let theft = journal
            .entries()
            .iter()
            .rposition(|e| {
                e.call.resource.plural == "leases" && e.code == Some(200) && e.call.writes()
            })
            .unwrap();
        let late: Vec<String> = journal.entries()[theft.min(mark)..]
            .iter()
            .skip(1)
            .filter(|e| e.call.writes() && e.code.is_some_and(|code| code < 300))
            .map(|entry| entry.call.told())
            .collect();
        assert_eq!(late, Vec::<String>::new(), "written after the lease was lost");
    }
    assert_eq!(the_lease(world).await.spec.unwrap().holder_identity, Some(thief));
}

scenarios! {
    both:
        a_second_deployer_leaves,
        a_second_deployer_waits,
        an_expired_lease_is_taken_over,
        a_stolen_lease_ends_all_writing
}
