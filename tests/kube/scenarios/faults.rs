//! Faults of the API server. Unknown is not failed.

use std::time::Duration;

use greenloop_model::{EventSink, RunId};
use greenloop_ports::Target as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails};
use crate::objects::{config_map, deployment};
use crate::program;
use crate::server::Server;
use crate::server::call::Call;
use crate::server::fault::Fault;
use crate::world::{World, scenarios};

/// Waits until a pod runs, or exists.
async fn pods(server: &Server) {
    let resource = crate::server::resource::by_kind("Pod");
    while server.api().store.list(resource, None).next().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn an_outage_of_seconds_is_no_failure(world: &mut World) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let server = world.wire().server.clone();
    let cut = async {
        pods(&server).await;
        server.cut(Duration::from_secs(5));
    };
    let (attempt, ()) = tokio::join!(world.roll_out(), cut);
    attempt.outcome.unwrap();
    assert!(attempt.took > Duration::from_secs(5), "{:?}", attempt.took);
}

/// An outage is reported once at its start and once at its end, and the end of the soak once.
async fn an_outage_during_the_soak_is_told_once(world: &mut World) {
    world.plan.soak = Some(Duration::from_secs(2));
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let server = world.wire().server.clone();
    let (sender, receiver) = std::sync::mpsc::channel();
    let target = world.target();
    let (run, cancel) = (RunId::generate(), CancellationToken::new());
    let sink = EventSink::new(sender);
    target.claim(run, &sink, &cancel).await.unwrap();
    let request = world.request(run);
    let mut told = String::new();
    let cut = async {
        while !told.contains("watching restarts") {
            told.extend(receiver.try_iter().map(|event| format!("{event:?}\n")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.cut(Duration::from_secs(4));
    };
    let (outcome, ()) = tokio::join!(target.roll_out(&request, &sink, &cancel), cut);
    outcome.unwrap();
    told.extend(receiver.try_iter().map(|event| format!("{event:?}\n")));
    for (text, times) in [
        ("the API server is unreachable", 1),
        ("the API server is reachable again after", 1),
        ("nothing has changed in the meantime", 1),
        ("no restarts in", 1),
    ] {
        assert_eq!(told.matches(text).count(), times, "{text}: {told}");
    }
}

/// Changes during the outage are detected afterwards.
async fn a_crash_during_an_outage_is_found(world: &mut World) {
    world.manifests(&[deployment(world, &program::PANICS)]);
    let server = world.wire().server.clone();
    let cut = async {
        pods(&server).await;
        server.cut(Duration::from_secs(4));
    };
    let (attempt, ()) = tokio::join!(world.roll_out(), cut);
    let failure = RolloutFailure {
        class: greenloop_model::FailureClass::Code,
        message: &[],
        evidence: &["missing DATABASE_URL"],
        within: (14, 60),
    };
    super::judged(world, &attempt, &failure);
}

async fn expired(world: &mut World, in_stream: bool) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    let server = world.wire().server.clone();
    let expire = async {
        pods(&server).await;
        server.expire_watches(in_stream);
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.expire_watches(in_stream);
    };
    let (attempt, ()) = tokio::join!(world.roll_out(), expire);
    attempt.outcome.unwrap();
}

async fn watches_that_expire_in_the_stream_list_again(world: &mut World) {
    expired(world, true).await;
}

async fn watches_that_are_refused_list_again(world: &mut World) {
    expired(world, false).await;
}

fn writes_of(plural: &'static str) -> impl Fn(&Call) -> bool + Send + 'static {
    move |call| call.writes() && call.resource.plural == plural
}

/// The result of an unanswered write is queried, not repeated blindly.
async fn lost_acknowledgements_are_resolved(world: &mut World) {
    world.manifests(&[
        config_map("settings", json!({"A": "1"})),
        deployment(world, &program::HEALTHY),
    ]);
    for plural in ["deployments", "configmaps", "secrets", "leases"] {
        world.wire().server.faults().add(1, Fault::LoseAnswer, writes_of(plural));
    }
    world.release().await;
    assert!(world.wire().server.faults().spent());
    let api = world.wire().server.api();
    let resource = crate::server::resource::by_kind("Deployment");
    let web = api.store.get(resource, &world.namespace, "web").unwrap();
    assert_eq!(web["metadata"]["generation"], 1, "written once");
}

async fn throttling_and_server_errors_are_waited_out(world: &mut World) {
    world.manifests(&[
        config_map("settings", json!({"A": "1"})),
        deployment(world, &program::HEALTHY),
    ]);
    let server = world.wire().server.clone();
    let status = |code, retry_after| Fault::Status { code, retry_after };
    server.faults().add(2, status(429, Some(1)), |call| call.verb == "patch");
    server.faults().add(1, status(500, None), writes_of("secrets"));
    server.faults().add(1, status(504, None), |call| call.verb == "list");
    server.faults().add(2, status(503, None), |call| call.verb == "watch");
    server.faults().add(2, Fault::Slow(Duration::from_secs(2)), |call| call.verb == "get");
    world.release().await;
    assert!(server.faults().spent());
}

/// Evidence is collected even if reading logs needs a retry.
async fn a_log_is_asked_for_again(world: &mut World) {
    let server = world.wire().server.clone();
    let fault = Fault::Status { code: 500, retry_after: None };
    server.faults().add(1, fault, |call| call.subresource == "log");
    let failure = RolloutFailure {
        class: greenloop_model::FailureClass::Code,
        message: &[],
        evidence: &["missing DATABASE_URL"],
        within: (6, 60),
    };
    fails(world, &[deployment(world, &program::PANICS)], &failure).await;
}

scenarios! {
    wire:
        an_outage_of_seconds_is_no_failure,
        an_outage_during_the_soak_is_told_once,
        a_crash_during_an_outage_is_found,
        watches_that_expire_in_the_stream_list_again,
        watches_that_are_refused_list_again,
        lost_acknowledgements_are_resolved,
        throttling_and_server_errors_are_waited_out,
        a_log_is_asked_for_again
}
