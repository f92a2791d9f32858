//! What people do: done as a whole, recorded with who and why, or refused with the state.

use reqwest::Method;
use serde_json::{Value, json};

use super::program::{Answer, Client, Hub, graph, reports, task, tasks, until};
use super::stores::Place;

async fn put(client: &Client, path: &str, body: Value) -> Answer {
    Answer::of(client.request(Method::PUT, path).json(&body).send().await.unwrap()).await
}

/// The latest record of what people did.
async fn latest(client: &Client) -> Value {
    let actions = client.get("/actions?limit=1").await.expect(200);
    actions["items"][0].clone()
}

async fn id_of(client: &Client, graph: i64, key: &str) -> i64 {
    let tasks = client.get(&format!("/tasks?graph={graph}")).await.expect(200);
    let found = tasks["items"].as_array().unwrap().iter().find(|it| it["key"] == key).unwrap();
    found["id"].as_i64().unwrap()
}

async fn beat(client: &Client, name: &str) -> Value {
    let beat = json!({
        "name": name, "instance": format!("{name}-1"), "roles": ["backend"], "host": "h",
        "version": "1",
    });
    client.post("/agents/heartbeat", beat).await.expect(200)
}

#[tokio::test]
async fn an_action_is_recorded_with_who_what_and_why() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let graph = admin.submit(tasks(1)).await;
        let task = id_of(&admin, graph, "0").await;
        let why =
            json!({"reason": "not needed with token ghp_abcdefghijklmnopqrstuvwxyz0123456789"});
        admin.post(&format!("/tasks/{task}/cancel"), why.clone()).await.expect(200);
        let action = latest(&admin).await;
        assert_eq!(action["operator"], "test", "{action:#}");
        assert_eq!((&action["action"], &action["task"]), (&json!("task.cancel"), &json!(task)));
        assert_eq!(action["before"]["state"], "ready");
        assert_eq!(action["after"]["state"], "cancelled");
        let reason = action["reason"].as_str().unwrap();
        assert!(reason.starts_with("not needed") && !reason.contains("ghp_abc"), "{reason}");

        // Done already: no second record.
        admin.post(&format!("/tasks/{task}/cancel"), why).await.expect(200);
        let all = admin.get("/actions").await.expect(200);
        assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all:#}");
        let other = admin.get(&format!("/actions?task={}", task + 1)).await.expect(200);
        assert_eq!(other["items"], json!([]));

        let reader = hub.client(&place.token(&["--scope", "work"]));
        reader.post(&format!("/tasks/{task}/retry"), json!({})).await.problem(403, "forbidden");
        assert_eq!(admin.get("/session").await.expect(200)["scope"], "admin");
        assert_eq!(reader.get("/session").await.expect(200)["scope"], "work");
        // Without a body, as older clients send it.
        let bare = admin.request(Method::POST, &format!("/tasks/{task}/retry")).send().await;
        assert_eq!(Answer::of(bare.unwrap()).await.expect(200)["state"], "ready");
    }
}

#[tokio::test]
async fn a_task_is_changed_before_its_next_attempt_and_not_during_one() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let graph = admin.submit(tasks(2)).await;
        let path = format!("/tasks/{}", id_of(&admin, graph, "1").await);
        let edit = json!({"title": "New", "command": "echo new", "priority": 0, "reason": "typo"});
        // More urgent now than the other one.
        let changed = put(&admin, &path, edit).await.expect(200);
        assert_eq!((&changed["title"], &changed["priority"]), (&json!("New"), &json!(0)));
        put(&admin, &path, json!({"title": ""})).await.problem(422, "invalid");
        put(&admin, &path, json!({"priority": 1001})).await.problem(422, "invalid");
        put(&admin, &path, json!({"nothing": 1})).await.problem(422, "invalid");
        let other = format!("/tasks/{}", id_of(&admin, graph, "0").await);
        put(&admin, &other, json!({"priority": 5})).await.expect(200);

        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["action"]["command"], "echo new");
        let refused = put(&admin, &path, json!({"title": "Newer"})).await;
        refused.problem(409, "conflict");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("is running (attempt 1 by w1)"), "{detail}");
        // What the attempt does not read may change.
        let changed = put(&admin, &path, json!({"priority": 9, "max_attempts": 7})).await;
        assert_eq!(changed.expect(200)["max_attempts"], 7);
        admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        put(&admin, &path, json!({"priority": 1})).await.problem(409, "conflict");
    }
}

#[tokio::test]
async fn a_paused_graph_gives_nothing_out_and_loses_nothing() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let mut later = task("later");
        later["needs"] = json!(["first"]);
        let mut first = task("first");
        first["max_attempts"] = json!(2);
        let graph = admin.submit(json!([first, later, task("other")])).await;
        let other = format!("/tasks/{}", id_of(&admin, graph, "other").await);
        put(&admin, &other, json!({"priority": 9})).await.expect(200);
        let first = admin.claim("w1", 0).await.unwrap();
        assert_eq!(first["task"]["key"], "first");

        for _ in 0..2 {
            let paused =
                admin.post(&format!("/graphs/{graph}/pause"), json!({"reason": "demo"})).await;
            assert!(paused.expect(200)["paused_since"].is_string());
        }
        let all = admin.get("/actions").await.expect(200);
        let pauses =
            all["items"].as_array().unwrap().iter().filter(|it| it["action"] == "graph.pause");
        assert_eq!(pauses.count(), 1, "the second found it paused");
        assert_eq!(admin.claim("w1", 0).await, None);

        // What runs may fail and be tried again, or be retried by a person: all in the pause.
        let failure = json!({"class": "code", "message": "no", "retry": true});
        let failed = admin.post(&format!("{}/fail", reports(&first)), failure).await.expect(200);
        assert_eq!(failed["state"], "waiting");
        let other = id_of(&admin, graph, "other").await;
        admin.post(&format!("/tasks/{other}/cancel"), json!({})).await.expect(200);
        let again = admin.post(&format!("/tasks/{other}/retry"), json!({})).await.expect(200);
        assert_eq!(again["state"], "waiting");
        assert_eq!(admin.claim("w2", 0).await, None);
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "running");
        // A task that is added waits as well.
        let new = json!({"graph": graph, "task": task("added")});
        assert_eq!(admin.post("/tasks", new).await.expect(201)["state"], "waiting");

        let resumed = admin.post(&format!("/graphs/{graph}/resume"), json!({})).await.expect(200);
        assert_eq!(resumed["paused_since"], Value::Null);
        let mut done = Vec::new();
        while done.len() < 4 {
            let claimed = until("a claim", async || admin.claim("w2", 2).await).await;
            done.push(claimed["task"]["key"].as_str().unwrap().to_owned());
            admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        }
        done.sort_unstable();
        assert_eq!(done, ["added", "first", "later", "other"]);
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "done");
        admin.post(&format!("/graphs/{graph}/pause"), json!({})).await.problem(409, "conflict");
    }
}

#[tokio::test]
async fn a_task_is_for_whom_a_person_says() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        beat(&admin, "w1").await;
        beat(&admin, "w2").await;
        let graph = admin.submit(tasks(1)).await;
        let path = format!("/tasks/{}/assign", id_of(&admin, graph, "0").await);
        admin.post(&path, json!({"agent": "nobody"})).await.problem(404, "not-found");
        admin.post(&path, json!({"agent": "w1", "exclude": ["w1"]})).await.problem(422, "invalid");
        let assigned = admin.post(&path, json!({"agent": "w2", "reason": "its cache"})).await;
        assert_eq!(assigned.expect(200)["assigned"], "w2");
        assert_eq!(admin.claim("w1", 0).await, None);
        let claimed = admin.claim("w2", 0).await.unwrap();
        let failure = json!({"class": "code", "message": "no", "retry": true});
        admin.post(&format!("{}/fail", reports(&claimed)), failure.clone()).await.expect(200);
        // Also after it failed there.
        let claimed = until("w2 again", async || admin.claim("w2", 2).await).await;
        admin.post(&format!("{}/fail", reports(&claimed)), failure).await.expect(200);

        let excluded = admin.post(&path, json!({"exclude": ["w2"]})).await.expect(200);
        assert_eq!((&excluded["assigned"], &excluded["excluded"]), (&Value::Null, &json!(["w2"])));
        let claimed = until("w1", async || admin.claim("w1", 2).await).await;
        assert_eq!(claimed["epoch"], 3);
    }
}

#[tokio::test]
async fn tasks_that_failed_are_tried_again_with_what_needs_them() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let mut second = task("second");
        second["needs"] = json!(["first"]);
        let graph = admin.submit(json!([task("first"), second, task("third")])).await;
        for _ in 0..2 {
            let claimed = admin.claim("w1", 0).await.unwrap();
            let failure = json!({"class": "code", "message": "no", "retry": false});
            admin.post(&format!("{}/fail", reports(&claimed)), failure).await.expect(200);
        }
        let (first, second) =
            (id_of(&admin, graph, "first").await, id_of(&admin, graph, "second").await);
        admin.post(&format!("/tasks/{second}/cancel"), json!({})).await.expect(200);
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "failed");

        let path = format!("/tasks/{first}/retry");
        let ready = admin.post(&path, json!({"dependants": true, "reason": "fixed"})).await;
        assert_eq!(ready.expect(200)["state"], "ready");
        let second = admin.get(&format!("/tasks/{second}")).await.expect(200);
        assert_eq!(second["state"], "waiting");
        admin.post(&path, json!({})).await.problem(409, "conflict");

        let retried = admin.post(&format!("/graphs/{graph}/retry"), json!({})).await.expect(200);
        assert_eq!(retried["tasks"], json!({"ready": 2, "waiting": 1}));
        assert_eq!(latest(&admin).await["after"]["tasks"], json!(["third"]));
    }
}

#[tokio::test]
async fn a_task_is_added_to_a_graph_that_runs() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let mut body = graph(json!([task("a"), task("b")]));
        body["epics"] = json!([{"key": "1", "title": "One"}, {"key": "2", "title": "Two"}]);
        body["tasks"][0]["epic"] = json!("1");
        body["tasks"][1]["conditions"] = json!([{"epic": "1", "at_least": 100}]);
        let graph = admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap();
        let add = async |key: &str, change: Value| {
            let mut new = task(key);
            for (name, value) in change.as_object().unwrap() {
                new[name] = value.clone();
            }
            admin.post("/tasks", json!({"graph": graph, "task": new, "reason": "forgotten"})).await
        };
        add("a", json!({})).await.problem(422, "invalid");
        add("c", json!({"needs": ["nothing"]})).await.problem(422, "invalid");
        // Epic 1 would wait for what waits for epic 1.
        add("c", json!({"epic": "1", "needs": ["b"]})).await.problem(422, "invalid");
        let added = add("c", json!({"epic": "1", "needs": ["a"], "hours": 3})).await.expect(201);
        assert_eq!(added["state"], "waiting");
        let first =
            admin.get(&format!("/tasks/{}", id_of(&admin, graph, "a").await)).await.expect(200);
        assert_eq!(first["rank_hours"], 4.0, "the path from it is longer now: {first:#}");

        for expect in ["a", "c", "b"] {
            let claimed = until("a claim", async || admin.claim("w", 2).await).await;
            assert_eq!(claimed["task"]["key"], expect);
            admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        }
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "done");
        add("d", json!({})).await.problem(409, "conflict");
    }
}

#[tokio::test]
async fn a_person_takes_a_task_over_and_hands_its_work_in() {
    for place in Place::all() {
        let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
        let admin = hub.admin(&place);
        let mut body = graph(json!([task("a"), task("b")]));
        body["repository"] = json!("https://git.example/demo.git");
        let graph = admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap();
        let (a, b) = (id_of(&admin, graph, "a").await, id_of(&admin, graph, "b").await);
        let taken = admin.post(&format!("/tasks/{a}/take-over"), json!({"reason": "tricky"})).await;
        let taken = taken.expect(200);
        assert_eq!(taken["state"], "blocked");
        assert_eq!(taken["reason"], "taken over by test: tricky");
        let claimed = admin.claim("w", 0).await.unwrap();
        assert_eq!(claimed["task"]["key"], "b");
        assert_eq!(admin.claim("w", 0).await, None);
        admin.post(&format!("/tasks/{b}/take-over"), json!({})).await.problem(409, "conflict");
        let commit = "a".repeat(40);
        let by_hand = json!({"commit": commit});
        admin.post(&format!("/tasks/{b}/resolve"), by_hand.clone()).await.problem(409, "conflict");

        let pushed = json!({"commit": commit, "branch": "fix/tricky", "reason": "done by hand"});
        let merging = admin.post(&format!("/tasks/{a}/resolve"), pushed).await.expect(200);
        assert_eq!(merging["state"], "merging");
        let queue = admin.get("/merge-queue?state=queued").await.expect(200);
        let entry = &queue["items"][0];
        assert_eq!((&entry["branch"], &entry["task"]), (&json!("fix/tricky"), &json!(a)));
        let attempts = admin.get(&format!("/tasks/{a}/attempts")).await.expect(200);
        assert_eq!(attempts["items"][0]["agent"], "operator test");

        // Thrown out, and merged by hand instead.
        let id = &entry["id"];
        admin.post(&format!("/merge-queue/{id}/eject"), json!({})).await.expect(200);
        assert_eq!(latest(&admin).await["action"], "merge.eject");
        let done = admin.post(&format!("/tasks/{a}/resolve"), by_hand).await.expect(200);
        assert_eq!((&done["state"], &done["commit"]), (&json!("done"), &json!(commit)));
        admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "done");
    }
}

#[tokio::test]
async fn workers_are_drained_and_put_in_quarantine_by_a_person() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        beat(&admin, "w1").await;
        admin.submit(tasks(1)).await;
        let barred = admin.post("/agents/w1/quarantine", json!({"reason": "odd results"})).await;
        let barred = barred.expect(200);
        assert_eq!(barred["state"], "quarantined");
        assert_eq!(barred["quarantine"], "put in quarantine by test: odd results");
        // Its own self-check passes; that does not end it.
        assert_eq!(beat(&admin, "w1").await["state"], "quarantined");
        assert_eq!(admin.claim("w1", 0).await, None);
        let released = admin.post("/agents/w1/release", json!({})).await.expect(200);
        assert_eq!((&released["state"], &released["quarantine"]), (&json!("idle"), &Value::Null));

        let drained = admin.post("/agents/w1/drain", json!({"reason": "new kernel"})).await;
        assert_eq!(drained.expect(200)["drain"], true);
        assert_eq!(admin.claim("w1", 0).await, None, "also before it has heard of it");
        assert_eq!(beat(&admin, "w1").await["state"], "draining");
        let left = json!({"instance": "w1-1"});
        assert_eq!(admin.post("/agents/w1/leave", left).await.status, 204);
        admin.post("/agents/w1/drain", json!({})).await.problem(409, "conflict");
        assert_eq!(beat(&admin, "w1").await["drain"], false, "it came back");
        assert!(admin.claim("w1", 0).await.is_some());
        admin.post("/agents/none/drain", json!({})).await.problem(404, "not-found");
        let mine = admin.get("/actions?agent=w1").await.expect(200);
        let names: Vec<&Value> =
            mine["items"].as_array().unwrap().iter().map(|it| &it["action"]).collect();
        assert_eq!(names, ["agent.drain", "agent.release", "agent.quarantine"]);
    }
}

#[tokio::test]
async fn the_same_key_acts_once() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let graph = admin.submit(tasks(1)).await;
        let new = json!({"graph": graph, "task": task("added")});
        let first = admin.post_keyed("/tasks", "k1", new.clone()).await.expect(201);
        let path = format!("/graphs/{graph}/pause");
        admin.post_keyed(&path, "k2", json!({})).await.expect(200);
        admin.post(&format!("/graphs/{graph}/resume"), json!({})).await.expect(200);
        let again = admin.post_keyed(&path, "k2", json!({})).await.expect(200);
        assert_eq!(again["paused_since"], Value::Null, "it was done before");
        assert_eq!(first["key"], "added");
        let again = admin.post_keyed("/tasks", "k1", new).await.expect(201);
        assert_eq!(again["id"], first["id"]);
        admin.post_keyed(&path, "k2", json!({"reason": "other"})).await.problem(409, "conflict");
    }
}
