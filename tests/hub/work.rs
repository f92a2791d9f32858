//! The life of a graph.

use reqwest::Method;
use serde_json::{Value, json};

use super::program::{Answer, Hub, claim, graph, reports, task, tasks, until};
use super::stores::Place;

#[tokio::test]
async fn a_graph_lives_and_ends() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let mut second = task("b");
        second["needs"] = json!(["a"]);
        let mut first = task("a");
        first["role"] = json!("backend");
        let graph = admin.submit(json!([first, second])).await;

        let ready = admin.get("/tasks/ready").await.expect(200);
        assert_eq!(ready["items"].as_array().unwrap().len(), 1, "{ready:#}");

        let beat = json!({
            "name": "w1", "instance": "w1-1", "roles": ["backend"], "host": "h", "version": "1",
            "cpu_percent": 12.5, "memory_bytes": 1024,
        });
        assert_eq!(admin.post("/agents/heartbeat", beat).await.expect(200)["state"], "idle");

        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["key"], "a");
        assert_eq!(claimed["branch"], format!("task/{}/e1", claimed["task"]["id"]));
        assert_eq!(admin.claim("w2", 0).await, None, "`b` needs `a`");

        let at = reports(&claimed);
        let lease =
            admin.post(&format!("{at}/heartbeat"), json!({"percent": 40, "message": "half"})).await;
        assert_eq!(lease.expect(200), json!({"lease_seconds": 60, "cancel": false}));
        assert_eq!(admin.get("/agents/w1").await.expect(200)["state"], "working");
        let branches = admin.get("/branches").await.expect(200);
        assert!(
            branches["items"].as_array().unwrap().iter().any(|it| it["name"] == claimed["branch"]),
            "{branches:#}"
        );

        let evidence = json!({"kind": "log", "title": "the end of the log", "body": "ok"});
        let evidence = admin.post(&format!("{at}/evidence"), evidence).await.expect(201);
        assert_eq!(evidence["agent"], "w1");

        let done = admin.post(&format!("{at}/complete"), json!({"summary": "done"})).await;
        assert_eq!(done.expect(200)["state"], "done");

        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["key"], "b");
        let at = reports(&claimed);
        let failure = json!({"class": "code", "message": "no", "retry": false});
        assert_eq!(admin.post(&format!("{at}/fail"), failure).await.expect(200)["state"], "failed");
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "failed");

        let task = claimed["task"]["id"].clone();
        admin.post(&format!("/tasks/{task}/retry"), json!({})).await.expect(200);
        let claimed = admin.claim("w2", 0).await.unwrap();
        let at = reports(&claimed);
        admin.post(&format!("{at}/complete"), json!({"summary": ""})).await.expect(200);
        let ended = admin.get(&format!("/graphs/{graph}")).await.expect(200);
        assert_eq!((&ended["state"], &ended["percent"]), (&json!("done"), &json!(100.0)));

        let attempts = admin.get(&format!("/tasks/{task}/attempts")).await.expect(200);
        let states: Vec<&Value> =
            attempts["items"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
        assert_eq!(states, ["failed", "succeeded"]);
        let summary = admin.get(&format!("/progress/summary?graph={graph}")).await.expect(200);
        assert_eq!(summary["tasks"], json!({"done": 2}));
        let agents = admin.get("/progress/agents").await.expect(200);
        assert_eq!(agents["items"][0]["succeeded"], 1, "{agents:#}");
    }
}

#[tokio::test]
async fn work_with_a_commit_goes_to_the_merge_queue() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let mut body = graph(tasks(1));
    body["repository"] = json!("https://git.example/demo.git");
    admin.post("/graphs", body).await.expect(201);
    let claimed = admin.claim("w", 0).await.unwrap();
    let done = json!({"commit": "a".repeat(40), "summary": "s"});
    let task = admin.post(&format!("{}/complete", reports(&claimed)), done).await.expect(200);
    assert_eq!(task["state"], "merging");
    let queue = admin.get("/merge-queue?state=queued").await.expect(200);
    let entry = queue["items"][0]["id"].as_i64().unwrap();
    let ejected =
        admin.post(&format!("/merge-queue/{entry}/eject"), json!({"reason": "not now"})).await;
    let ejected = ejected.expect(200);
    assert_eq!((&ejected["state"], &ejected["reason"]), (&json!("ejected"), &json!("not now")));
    let back = admin.post(&format!("/merge-queue/{entry}/retry"), json!({})).await.expect(200);
    assert_eq!(back["state"], "queued");
}

#[tokio::test]
async fn a_stale_lease_changes_nothing() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        admin.submit(tasks(1)).await;
        let old = admin.claim("w1", 0).await.unwrap();
        let failure = json!({"class": "flaky", "message": "again", "retry": true});
        admin.post(&format!("{}/fail", reports(&old)), failure.clone()).await.expect(200);
        let task = format!("/tasks/{}", old["task"]["id"]);
        // It waits for its back-off first.
        let new = until("another claim", async || admin.claim("w2", 2).await).await;
        assert_eq!((&old["epoch"], &new["epoch"]), (&json!(1), &json!(2)));
        let before = admin.get(&task).await.expect(200);
        for (what, body) in [
            ("heartbeat", json!({"percent": 99})),
            ("evidence", json!({"kind": "log", "title": "t"})),
            ("complete", json!({"summary": "s"})),
            ("fail", failure),
        ] {
            admin
                .post(&format!("{}/{what}", reports(&old)), body)
                .await
                .problem(409, "stale-lease");
        }
        assert_eq!(admin.get(&task).await.expect(200), before);
        let evidence = admin.get(&format!("{task}/evidence")).await.expect(200);
        assert_eq!(evidence["items"], json!([]));
        admin.post(&format!("{}/complete", reports(&new)), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn the_same_key_has_the_same_answer() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let (admin, other) = (hub.admin(&place), hub.admin(&place));
        let first = admin.post_keyed("/graphs", "k1", graph(tasks(2))).await.expect(201);
        let again = admin.post_keyed("/graphs", "k1", graph(tasks(2))).await.expect(201);
        assert_eq!(first, again);
        admin.post_keyed("/graphs", "k1", graph(tasks(3))).await.problem(409, "conflict");
        let theirs = other.post_keyed("/graphs", "k1", graph(tasks(2))).await.expect(201);
        assert_ne!(theirs["id"], first["id"], "another token's keys are its own");

        let claimed = admin.post_keyed("/claims", "k2", claim("w", 0)).await.expect(200);
        let again = admin.post_keyed("/claims", "k2", claim("w", 0)).await.expect(200);
        assert_eq!(claimed["task"]["id"], again["task"]["id"]);
        assert_eq!(claimed["epoch"], again["epoch"]);
        let at = format!("{}/complete", reports(&claimed));
        for _ in 0..2 {
            let task = admin.post_keyed(&at, "k3", json!({"summary": "s"})).await.expect(200);
            assert_eq!(task["state"], "done");
        }
        let evidence = json!({"kind": "test", "title": "t"});
        let claimed = admin.claim("w", 0).await.unwrap();
        let at = reports(&claimed);
        for _ in 0..2 {
            admin.post_keyed(&format!("{at}/evidence"), "k4", evidence.clone()).await.expect(201);
        }
        let list = format!("/tasks/{}/evidence", claimed["task"]["id"]);
        assert_eq!(admin.get(&list).await.expect(200)["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_cancel_reaches_whoever_works() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let graph = admin.submit(tasks(2)).await;
    let claimed = admin.claim("w", 0).await.unwrap();
    admin.post(&format!("/graphs/{graph}/cancel"), json!({})).await.expect(200);
    let beat = admin.post(&format!("{}/heartbeat", reports(&claimed)), json!({})).await.expect(200);
    assert_eq!(beat["cancel"], true);
    let ended = admin.get(&format!("/graphs/{graph}")).await.expect(200);
    assert_eq!(ended["state"], "cancelled");
}

#[tokio::test]
async fn lists_come_in_parts() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let graph = admin.submit(tasks(7)).await;
    let mut path = format!("/tasks?graph={graph}&limit=3");
    let mut keys = Vec::new();
    loop {
        let page = admin.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        keys.extend(items.iter().map(|it| it["key"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/tasks?graph={graph}&limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6"]);
    let graphs = admin.get("/graphs?limit=1").await.expect(200);
    assert_eq!(graphs["next"], Value::Null);
}

#[tokio::test]
async fn whoever_has_the_current_version_is_not_sent_it_again() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let graph = admin.submit(tasks(1)).await;
    let path = format!("/graphs/{graph}");
    let tag = admin.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    let ask = async || {
        let request = admin.request(Method::GET, &path).header("if-none-match", &tag);
        Answer::of(request.send().await.unwrap()).await
    };
    let same = ask().await;
    assert_eq!((same.status.as_u16(), same.body), (304, json!("")));
    admin.claim("w", 0).await.unwrap();
    assert_eq!(ask().await.status, 200);
}

#[tokio::test]
async fn deploy_runs_are_kept() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let worker = hub.client(&place.token(&["--scope", "work"]));
    let run = |state: &str| json!({"id": "r1", "environment": "staging", "state": state, "report": "# Report"});
    worker.post("/runs", run("running")).await.expect(201);
    let run = worker.post("/runs", run("verified")).await.expect(201);
    assert_eq!(run["ended_at"], run["updated_at"]);
    assert_eq!(worker.get("/runs/r1").await.expect(200)["report"], "# Report");
    assert_eq!(worker.get("/runs").await.expect(200)["items"][0]["report"], "");
    worker.get("/runs/r2").await.problem(404, "not-found");
}

#[tokio::test]
async fn an_agent_that_is_deactivated_gets_no_work() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(tasks(1)).await;
    let beat = json!({"name": "w", "instance": "i", "roles": [], "host": "h", "version": "1"});
    admin.post("/agents/heartbeat", beat).await.expect(200);
    let agent = admin.post("/agents/w/deactivate", json!({})).await.expect(200);
    assert_eq!(agent["state"], "inactive");
    assert_eq!(admin.claim("w", 0).await, None);
    admin.post("/agents/w/activate", json!({})).await.expect(200);
    assert!(admin.claim("w", 0).await.is_some());
}
