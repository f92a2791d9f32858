//! A hub that is killed at any moment loses nothing and accepts nothing twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::{Client, Hub, claim, graph, tasks};
use super::stores::Place;

/// Repeats a call with the same key until there is an answer, like every client of the hub.
async fn insist(client: &Client, path: &str, body: &Value) -> Option<(u16, Value)> {
    let key = uuid::Uuid::new_v4().to_string();
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let request = client.request(reqwest::Method::POST, path).header("idempotency-key", &key);
        if let Ok(response) = request.json(body).timeout(Duration::from_secs(10)).send().await {
            let status = response.status().as_u16();
            if status < 500
                && let Ok(text) = response.text().await
            {
                return Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)));
            }
        }
        assert!(Instant::now() < end, "{path} was never answered");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_killed_loses_nothing_and_takes_nothing_twice() {
    for place in Place::all() {
        let mut hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--rate", "0"]);
        let admin = hub.admin(&place);
        let count = 150;
        let (_, submitted) = insist(&admin, "/graphs", &graph(tasks(count))).await.unwrap();
        let graph_id = submitted["id"].as_i64().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..4)
            .map(|n| {
                let (client, over) = (admin.clone(), Arc::clone(&over));
                tokio::spawn(async move {
                    let mut completed = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let wanted = claim(&format!("w{n}"), 1);
                        let (status, claimed) = insist(&client, "/claims", &wanted).await.unwrap();
                        if status == 204 {
                            continue;
                        }
                        assert_eq!(status, 200, "{claimed}");
                        let at = super::program::reports(&claimed);
                        let evidence = json!({"kind": "log", "title": "t"});
                        let (status, _) =
                            insist(&client, &format!("{at}/evidence"), &evidence).await.unwrap();
                        assert_eq!(status, 201);
                        let (status, said) =
                            insist(&client, &format!("{at}/complete"), &json!({})).await.unwrap();
                        assert_eq!(status, 200, "{said}");
                        completed.push(claimed["task"]["id"].as_i64().unwrap());
                    }
                    completed
                })
            })
            .collect();

        let (mut kills, mut slowest) = (0, Duration::ZERO);
        let end = Instant::now() + Duration::from_secs(600);
        loop {
            let pause = 30 + u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 2;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let looked = admin.request(reqwest::Method::GET, &format!("/graphs/{graph_id}"));
            if let Ok(response) = looked.send().await
                && response.json::<Value>().await.is_ok_and(|it| it["state"] == "done")
            {
                break;
            }
            assert!(Instant::now() < end, "it never ended");
            if kills < 12 {
                hub.kill();
                let began = Instant::now();
                hub = hub.again_with(&place, &["--rate", "0"]);
                slowest = slowest.max(began.elapsed());
                kills += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
        let mut completed: BTreeMap<i64, usize> = BTreeMap::new();
        for worker in workers {
            for task in worker.await.unwrap() {
                *completed.entry(task).or_default() += 1;
            }
        }
        eprintln!("{kills} kills, {count} tasks; slowest restart {slowest:?}");
        assert_eq!(completed.len(), count, "lost");
        assert!(completed.values().all(|times| *times == 1), "accepted twice: {completed:?}");
        assert!(kills >= 3, "{kills}");
        let mut path = "/assignments?limit=500".to_owned();
        let mut attempts = Vec::new();
        loop {
            let page = admin.get(&path).await.expect(200);
            attempts.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/assignments?limit=500&cursor={next}");
        }
        assert_eq!(attempts.len(), count, "each task was given out once");
        assert!(attempts.iter().all(|it| it["state"] == "succeeded"));
        for task in completed.keys() {
            let evidence = admin.get(&format!("/tasks/{task}/evidence")).await.expect(200);
            assert_eq!(evidence["items"].as_array().unwrap().len(), 1, "{evidence:#}");
        }
    }
}

#[tokio::test]
async fn a_hub_that_was_killed_gives_out_work_at_its_first_claim() {
    let place = Place::sqlite();
    let mut hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(tasks(3)).await;
    admin.claim("w", 0).await.unwrap();
    hub.kill();
    let began = Instant::now();
    let _hub = hub.again(&place);
    let listening = began.elapsed();
    admin.claim("w", 0).await.unwrap();
    eprintln!("after a kill: listening after {listening:?}, first claim {:?}", began.elapsed());
}
