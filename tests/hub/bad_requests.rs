//! Invalid requests are rejected with the location of the error, and change nothing.

use reqwest::Method;
use serde_json::{Value, json};

use super::program::{Answer, Hub, claim, graph, reports, task, tasks};
use super::stores::Place;

#[tokio::test]
async fn bad_input_is_told_with_its_place() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(tasks(1)).await;
    let claimed = admin.claim("w", 0).await.unwrap();
    let at = reports(&claimed);
    let with = |mut body: Value, name: &str, value: Value| {
        body[name] = value;
        body
    };
    let mut needy = task("a");
    needy["needs"] = json!(["nobody"]);
    let mut selfish = task("a");
    selfish["needs"] = json!(["a"]);
    let agent = json!({"name": "w", "instance": "i", "roles": [], "host": "h", "version": "1"});
    for (path, body, place) in [
        ("/graphs", json!([]), "$"),
        ("/graphs", json!({}), "$"),
        ("/graphs", graph(json!([])), "$.tasks"),
        ("/graphs", graph(json!([{"key": "a", "title": "A"}])), "$.tasks[0]"),
        ("/graphs", with(graph(tasks(1)), "surprise", json!(1)), "$.surprise"),
        ("/graphs", graph(json!([with(task("a"), "hours", json!("x"))])), "$.tasks[0].hours"),
        ("/graphs", graph(json!([with(task("a"), "hours", json!(-1))])), "$.tasks[0].hours"),
        ("/graphs", graph(json!([with(task("a"), "action", json!("dance"))])), "$.tasks[0].action"),
        ("/graphs", graph(json!([needy])), "$.tasks[0].needs[0]"),
        ("/graphs", graph(json!([selfish])), "$.tasks[0].needs"),
        ("/graphs", graph(json!([task("a"), task("a")])), "$.tasks[1].key"),
        ("/claims", with(claim("w", 0), "wait_seconds", json!(61)), "$.wait_seconds"),
        ("/claims", with(claim("w", 0), "lease_seconds", json!(0)), "$.lease_seconds"),
        ("/claims", with(claim("w", 0), "lease_seconds", json!(-1)), "$.lease_seconds"),
        ("/claims", with(claim("w", 0), "agent", json!("../w")), "$.agent"),
        ("/claims", with(claim("w", 0), "roles", json!("backend")), "$.roles"),
        ("/agents/heartbeat", with(agent.clone(), "name", json!("")), "$.name"),
        ("/agents/heartbeat", with(agent, "cpu_percent", json!(900)), "$.cpu_percent"),
        (&format!("{at}/heartbeat"), json!({"percent": 101}), "$.percent"),
        (&format!("{at}/heartbeat"), json!({"percent": 256}), "$.percent"),
        (&format!("{at}/evidence"), json!({"kind": "rumour", "title": "t"}), "$.kind"),
        (
            &format!("{at}/evidence"),
            json!({"kind": "log", "title": "t", "url": "javascript:alert(1)"}),
            "$.url",
        ),
        (&format!("{at}/complete"), json!({"commit": "main"}), "$.commit"),
        (&format!("{at}/complete"), json!({"commit": "--upload-pack=x"}), "$.commit"),
        (&format!("{at}/fail"), json!({"class": "bad", "message": "", "retry": true}), "$.class"),
        ("/runs", json!({"id": "", "environment": "e", "state": "running"}), "$.id"),
    ] {
        let answer = admin.post(path, body.clone()).await;
        answer.problem(422, "invalid");
        let told = answer.body["errors"][0]["path"].as_str().unwrap();
        assert!(told.starts_with(place), "{path} {body}: {:#}", answer.body);
    }
    for (path, name) in [
        ("/tasks?state=asleep", "state"),
        ("/tasks?graph=one", "graph"),
        ("/tasks?limit=0", "limit"),
        ("/tasks?limit=501", "limit"),
        ("/tasks?limit=-1", "limit"),
        ("/tasks?cursor=xyz", "cursor"),
        ("/assignments?state=asleep", "state"),
        ("/merge-queue?state=asleep", "state"),
        ("/events?after=-1", "after"),
        ("/progress/history", ""),
        ("/tasks?stat=ready", "did you mean `state`"),
        (
            "/tasks?graph=1&order=asc",
            "known: `cursor`, `epic`, `graph`, `limit`, `role`, and `state`",
        ),
        ("/graphs/1?state=done", "state"),
        ("/health?verbose", "known: none"),
    ] {
        let answer = admin.get(path).await;
        answer.problem(422, "invalid");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(name), "{path}: {detail}");
    }
    // All of that changed nothing.
    assert_eq!(admin.get("/graphs").await.expect(200)["items"].as_array().unwrap().len(), 1);
    admin.post(&format!("{at}/complete"), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_body_is_json_and_not_too_long() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let send = async |path: &str, kind: &str, body: Vec<u8>| {
        let request = admin.request(Method::POST, path).header("content-type", kind).body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    send("/claims", "text/plain", b"{}".to_vec()).await.problem(415, "unsupported-media-type");
    send("/claims", "application/json", b"{".to_vec()).await.problem(400, "malformed");
    send("/claims", "application/json", b"{} {}".to_vec()).await.problem(422, "invalid");
    send("/claims", "application/json", vec![0xff; 10]).await.problem(400, "malformed");
    let deep = "[".repeat(100_000).into_bytes();
    send("/claims", "application/json", deep).await.problem(400, "malformed");
    let none = admin.request(Method::POST, "/claims").send().await.unwrap();
    Answer::of(none).await.problem(415, "unsupported-media-type");

    admin.submit(tasks(1)).await;
    let at = reports(&admin.claim("w", 0).await.unwrap());
    let evidence = |bytes: usize| json!({"kind": "log", "title": "t", "body": "x".repeat(bytes)});
    admin.post(&format!("{at}/evidence"), evidence(256 << 10)).await.expect(201);
    let long = admin.post(&format!("{at}/evidence"), evidence((256 << 10) + 1)).await;
    long.problem(422, "invalid");
    let longer = admin.post(&format!("{at}/evidence"), evidence(3 << 20)).await;
    longer.problem(413, "too-large");
    let key = "k".repeat(201);
    admin.post_keyed("/progress/snapshot", &key, json!({})).await.problem(400, "malformed");
}

#[tokio::test]
async fn a_large_graph_is_taken() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let count = 5_000;
    let all: Value = (0..count)
        .map(|n: usize| {
            let mut task = task(&n.to_string());
            task["description"] = json!("d".repeat(1_000));
            task["needs"] = if n > 0 { json!([(n - 1).to_string()]) } else { json!([]) };
            task
        })
        .collect();
    let graph = admin.submit(all).await;
    let tasks = admin.get(&format!("/graphs/{graph}")).await.expect(200);
    assert_eq!(tasks["tasks"], json!({"ready": 1, "waiting": count - 1}));
}
