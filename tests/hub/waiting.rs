//! Agents that wait for tasks.

use std::time::{Duration, Instant};

use serde_json::json;

use super::program::{Client, Hub, claim, reports, tasks, until};
use super::stores::Place;

/// A figure of the hub's.
async fn figure(hub: &Hub, client: &Client, name: &str) -> Option<f64> {
    let request = reqwest::Client::new().get(hub.url("/metrics"));
    let request = request.bearer_auth(client.token.as_ref().unwrap());
    let text = request.send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_new_work() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let claims = async |found: &str| {
            let name = format!("greenloop_claims_total{{found=\"{found}\"}}");
            figure(&hub, &admin, &name).await.unwrap_or(0.0)
        };
        for _ in 0..20 {
            let waiting = async |count: f64| {
                let found = figure(&hub, &admin, "greenloop_claims_waiting").await?;
                (found == count).then_some(())
            };
            // An answer may arrive before its claim is counted out.
            until("nobody waits", async || waiting(0.0).await).await;
            let worker = admin.clone();
            let claim = tokio::spawn(async move { worker.claim("w", 60).await.unwrap() });
            until("it waits", async || waiting(1.0).await).await;
            admin.submit(tasks(1)).await;
            let claimed = claim.await.unwrap();
            admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        }
        // Each may have looked by itself just then; not all of them, twenty times over.
        let (woken, polled) = (claims("woken").await, claims("polled").await);
        assert!(woken > polled, "{woken} were woken, {polled} looked by themselves");
        assert_eq!((woken + polled, claims("at_once").await), (20.0, 0.0));
    }
}

#[tokio::test]
async fn many_that_wait_do_not_all_look_for_one_task() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--rate", "0"]);
    let admin = hub.admin(&place);
    let count = 200;
    let waiting: Vec<_> = (0..count)
        .map(|n| {
            let worker = admin.clone();
            tokio::spawn(async move { worker.claim(&format!("w{n}"), 30).await })
        })
        .collect();
    until("all of them wait", async || {
        let waiting = figure(&hub, &admin, "greenloop_claims_waiting").await?;
        (waiting >= f64::from(count)).then_some(())
    })
    .await;
    let began = Instant::now();
    admin.submit(tasks(usize::try_from(count).unwrap())).await;
    let mut seen = std::collections::BTreeSet::new();
    for claimed in waiting {
        let claimed = claimed.await.unwrap().expect("a task for each");
        assert!(seen.insert(claimed["task"]["id"].as_i64().unwrap()), "twice");
    }
    eprintln!("{count} tasks to {count} waiting agents: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_wait_ends_with_nothing_and_with_the_hub() {
    let place = Place::sqlite();
    let mut hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let began = Instant::now();
    assert_eq!(admin.claim("w", 1).await, None);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    let worker = admin.clone();
    let waiting = tokio::spawn(async move { worker.post("/claims", claim("w", 60)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::spawn_blocking(move || hub.stop()).await.unwrap();
    assert_eq!(waiting.await.unwrap().status.as_u16(), 204);
}

#[tokio::test]
async fn whoever_goes_away_takes_no_work_along() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    for _ in 0..5 {
        let gone = admin.request(reqwest::Method::POST, "/claims").json(&claim("gone", 30));
        let _timed_out = gone.timeout(Duration::from_millis(100)).send().await.unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    admin.submit(tasks(1)).await;
    let claimed = admin.claim("here", 5).await;
    assert!(claimed.is_some(), "somebody who is not there has it");
}

#[tokio::test]
async fn a_lease_that_expires_is_somebody_elses() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    // Right after its start, the hub does not expire leases.
    tokio::time::sleep(Duration::from_secs(11)).await;
    admin.submit(tasks(1)).await;
    let mut short = claim("dead", 0);
    short["lease_seconds"] = json!(2);
    let lost = admin.post("/claims", short).await.expect(200);
    let began = Instant::now();
    let found = admin.claim("alive", 30).await.unwrap();
    eprintln!("a lease of 2 s was somebody else's after {:?}", began.elapsed());
    assert_eq!(found["task"]["id"], lost["task"]["id"]);
    assert_eq!(found["epoch"], 2);
    let beat = format!("{}/heartbeat", reports(&lost));
    admin.post(&beat, json!({})).await.problem(409, "stale-lease");
}
