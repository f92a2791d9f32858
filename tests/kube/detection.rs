//! How long the detection of a failure takes, compared with `kubectl rollout status`, and how long
//! after the last event that it needs a success is reported (`benches/detection.sh`).

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::kubectl;
use crate::objects::deployment;
use crate::program;
use crate::scenarios::{Case, MEASURED, Row};
use crate::server::resource::by_kind;
use crate::world::World;

/// The value of kubectl's `--timeout`.
const LIMIT: &str = "75s";
/// Rollouts that measure the lag of a success.
const SUCCESSES: usize = 20;

/// How `kubectl rollout status` ended.
async fn kubectl_says(world: &World) -> String {
    let begun = Instant::now();
    let deployments = by_kind("Deployment");
    while world.wire().server.api().store.list(deployments, None).next().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let limit = format!("--timeout={LIMIT}");
    let said = kubectl::run(world, &["rollout", "status", "deployment/web", &limit]).await;
    let after = begun.elapsed().as_secs_f64();
    match said.code {
        Some(0) => format!("false success after {after:.1} s"),
        _ => format!("not detected within {after:.0} s"),
    }
}

async fn measure(name: &'static str, row: Row) -> (&'static str, f64, String, String) {
    let mut world = World::on_wire().await;
    let mut case: Case = row(&world);
    for object in &mut case.objects {
        if object["kind"] == "Deployment" {
            // The server's clock runs ten times as fast: kubectl must not profit from that.
            object["spec"]["progressDeadlineSeconds"] = json!(3600);
        }
    }
    case.set(&mut world).await;
    let (attempt, kubectl) = tokio::join!(world.roll_out(), kubectl_says(&world));
    let class = match &attempt.outcome {
        Ok(_) => "false success".to_owned(),
        Err(error) => error.class.to_string(),
    };
    (name, attempt.took.as_secs_f64(), class, kubectl)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark: benches/detection.sh"]
async fn failures_beside_kubectl() {
    if !kubectl::installed() {
        return;
    }
    let rows = futures::stream::iter(MEASURED.iter().map(|(name, row)| measure(name, *row)));
    let rows: Vec<_> = rows.buffered(6).collect().await;
    println!("| scenario | Greenloop | class | `kubectl rollout status --timeout={LIMIT}` |");
    println!("|---|---|---|---|");
    for (name, took, class, kubectl) in rows {
        println!("| {name} | {took:.1} s | {class} | {kubectl} |");
    }
}

/// When the deployment's status last changed.
fn last_event(world: &World) -> Instant {
    let api = world.wire().server.api();
    let changes = api.store.history.iter().rev();
    let mut of_web = changes.filter(|change| {
        change.resource.kind == "Deployment"
            && change.object["status"]["availableReplicas"] != Value::Null
    });
    of_web.next().unwrap().at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark: benches/detection.sh"]
async fn success_after_its_last_event() {
    let mut lags = Vec::new();
    for _ in 0..SUCCESSES {
        let mut world = World::on_wire().await;
        world.plan.soak = Some(Duration::ZERO);
        world.manifests(&[deployment(&world, &program::HEALTHY)]);
        let attempt = world.roll_out().await;
        let done = Instant::now();
        attempt.outcome.unwrap();
        lags.push(done.duration_since(last_event(&world)).as_secs_f64() * 1000.0);
    }
    lags.sort_by(f64::total_cmp);
    println!(
        "\nsuccess lag over {SUCCESSES} rollouts: median {:.0} ms, worst {:.0} ms",
        lags[SUCCESSES / 2],
        lags[SUCCESSES - 1]
    );
}
