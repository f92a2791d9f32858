//! Two hubs on one PostgreSQL.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::live::Sse;
use super::program::{Hub, reports, tasks, until};
use super::stores::Place;

#[tokio::test]
async fn two_hubs_are_one() {
    let Some(place) = Place::postgres() else {
        eprintln!("skipped: GREENLOOP_TEST_POSTGRES names no server");
        return;
    };
    let (one, mut two) = (Hub::start(&place), Hub::start(&place));
    let here = one.admin(&place);
    let there = two.client(here.token.as_ref().unwrap());
    until("wake-ups between them", async || {
        let health =
            [here.get("/health").await.expect(200), there.get("/health").await.expect(200)];
        health.iter().all(|it| it["notifications"] == "ok").then_some(())
    })
    .await;
    let mut events = Sse::open(&there, None).await;
    let worker = there.clone();
    let waiting = tokio::spawn(async move {
        let claimed = worker.claim("w", 20).await.unwrap();
        (claimed, Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let graph = here.submit(tasks(40)).await;
    let (claimed, had) = waiting.await.unwrap();
    eprintln!("submitted to one hub, claimed from another: {:?}", had - began);
    assert_eq!(events.next().await.unwrap().event, "graph.submitted");

    let mut seen = BTreeSet::from([claimed["task"]["id"].as_i64().unwrap()]);
    here.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
    let claims = (0..39).map(|n| {
        let client = if n % 2 == 0 { here.clone() } else { there.clone() };
        tokio::spawn(async move { client.claim(&format!("w{n}"), 5).await.unwrap() })
    });
    for claimed in futures::future::join_all(claims).await {
        let claimed = claimed.unwrap();
        assert!(seen.insert(claimed["task"]["id"].as_i64().unwrap()), "twice");
        there.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
    }
    // A lease is valid at both hubs, and the death of one does not affect the other.
    two.kill();
    let ended = here.get(&format!("/graphs/{graph}")).await.expect(200);
    assert_eq!(ended["state"], "done");
    let mut whole = Sse::open(&here, Some(0)).await;
    let (mut ids, mut done) = (Vec::new(), 0);
    loop {
        let event = whole.next().await.unwrap();
        ids.push(event.id.unwrap());
        done += usize::from(event.event == "task.done");
        if event.event == "graph.done" {
            break;
        }
    }
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
    assert_eq!(done, 40);
}
