//! Decisions that a run asks people for, through the real hub.

use serde_json::{Value, json};

use super::program::{Client, Hub, reports, task, until};
use super::stores::Place;

fn tree(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// What a run asks about the tree of this digit.
fn asked(digit: char) -> Value {
    json!({
        "run": "r1", "environment": "staging", "subject": "patch", "iteration": 1,
        "commit": tree('c'), "base_tree": tree('b'), "new_tree": tree(digit), "policy": tree('d'),
        "request": "apply the patch of iteration 1?\n  ci_files in .github/ci.yml: changes CI",
        "diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
        "evidence": "password=hunter2hunter2 was refused", "review": "approve (low): right",
        "timeout_seconds": 600, "lease_seconds": 60,
    })
}

async fn ask(client: &Client, body: Value) -> i64 {
    client.post("/approvals", body).await.expect(201)["id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_person_decides_on_exactly_what_was_asked_and_it_is_recorded() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.client(&place.token(&["--scope", "admin"]));
        let run = hub.client(&place.token(&["--scope", "work"]));
        let reader = hub.client(&place.token(&["--scope", "read"]));
        let id = ask(&run, asked('a')).await;
        // The same again, after a reconnect.
        assert_eq!(ask(&run, asked('a')).await, id);
        let other = ask(&run, asked('e')).await;
        assert_ne!(other, id, "another tree is another request");

        let listed = reader.get("/approvals?state=pending").await.expect(200);
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|it| &it["id"]).collect::<Vec<_>>(), [other, id]);
        assert_eq!(items[1]["diff"], "", "lists have no texts");
        let shown = reader.get(&format!("/approvals/{id}")).await.expect(200);
        assert!(shown["diff"].as_str().unwrap().contains("+b"), "{shown}");
        assert!(!shown.to_string().contains("hunter2"), "{shown}");

        // Nobody decides but who may, on what it is.
        let at = format!("/approvals/{id}");
        for client in [&run, &reader] {
            client.post(&format!("{at}/approve"), json!({})).await.problem(403, "forbidden");
        }
        let else_seen = json!({"reason": "fine", "scope": "0".repeat(32)});
        admin.post(&format!("{at}/approve"), else_seen).await.problem(409, "conflict");
        let seen = json!({"reason": "the fix is right", "scope": shown["scope"]});
        let waits = tokio::spawn({
            let (run, at) = (run.clone(), at.clone());
            async move { run.post(&format!("{at}/await?wait=20"), json!({})).await.expect(200) }
        });
        let decided = admin.post(&format!("{at}/approve"), seen).await.expect(200);
        assert_eq!(decided["state"], "approved");
        let heard = waits.await.unwrap();
        assert_eq!(heard["state"], "approved");
        assert_eq!(heard["decided_by"], "test");
        assert_eq!(heard["reason"], "the fix is right");
        assert_eq!(heard["new_tree"], tree('a'));
        // Again is nothing new; the contrary is refused.
        admin.post(&format!("{at}/approve"), json!({})).await.expect(200);
        admin.post(&format!("{at}/reject"), json!({})).await.problem(409, "conflict");
        // A run that never heard of the consent has it when it asks again.
        assert_eq!(ask(&run, asked('a')).await, id);

        admin
            .post(&format!("/approvals/{other}/reject"), json!({"reason": "no"}))
            .await
            .expect(200);
        let again = ask(&run, asked('e')).await;
        assert_ne!(again, other, "what was rejected is asked again");

        let actions = admin.get("/actions").await.expect(200);
        let actions: Vec<(&Value, &Value, &Value)> = actions["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (&it["action"], &it["reason"], &it["after"]["tree"]))
            .collect();
        assert_eq!(
            actions,
            [
                (&json!("approval.reject"), &json!("no"), &json!(tree('e'))),
                (&json!("approval.approve"), &json!("the fix is right"), &json!(tree('a'))),
            ]
        );
        reader.get("/approvals/4711").await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_request_ends_with_its_time_or_with_who_asked() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.client(&place.token(&["--scope", "admin"]));
        let run = hub.client(&place.token(&["--scope", "work"]));
        let state = async |id: i64| {
            admin.get(&format!("/approvals/{id}")).await.expect(200)["state"].clone()
        };

        let mut short = asked('1');
        short["timeout_seconds"] = json!(1);
        let short = ask(&run, short).await;
        until("it expires", async || (state(short).await == "expired").then_some(())).await;
        let late = admin.post(&format!("/approvals/{short}/approve"), json!({})).await;
        late.problem(409, "conflict");

        let id = ask(&run, asked('2')).await;
        let stranger = hub.client(&place.token(&["--scope", "work"]));
        let at = format!("/approvals/{id}");
        stranger.post(&format!("{at}/await"), json!({})).await.problem(403, "forbidden");
        stranger.post(&format!("{at}/withdraw"), json!({})).await.problem(403, "forbidden");
        run.post(&format!("{at}/withdraw"), json!({"reason": "cancelled"})).await.expect(200);
        assert_eq!(state(id).await, "withdrawn");
        admin.post(&format!("{at}/approve"), json!({})).await.problem(409, "conflict");

        // One that is not heard of loses its request, and has it back when it is.
        let mut silent = asked('3');
        silent["lease_seconds"] = json!(5);
        let silent_id = ask(&run, silent.clone()).await;
        until("it is withdrawn", async || (state(silent_id).await == "withdrawn").then_some(()))
            .await;
        let heard = run.post(&format!("/approvals/{silent_id}/await"), json!({})).await;
        assert_eq!(heard.expect(200)["state"], "pending");
        assert_eq!(ask(&run, silent).await, silent_id);
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_place() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let run = hub.client(&place.token(&["--scope", "work"]));
    for (field, value, path) in [
        ("run", json!(""), "$.run"),
        ("environment", json!("a\nb"), "$.environment"),
        ("new_tree", json!(""), "$.new_tree"),
        ("new_tree", json!("not hex"), "$.new_tree"),
        ("policy", json!(""), "$.policy"),
        ("subject", json!("task"), "$.subject"),
        ("subject", json!("party"), "$.subject"),
        ("request", json!(" "), "$.request"),
        ("diff", json!("x".repeat((256 << 10) + 1)), "$.diff"),
        ("timeout_seconds", json!(0), "$.timeout_seconds"),
        ("lease_seconds", json!(1), "$.lease_seconds"),
    ] {
        let mut body = asked('a');
        body[field] = value;
        let refused = run.post("/approvals", body).await;
        refused.problem(422, "invalid");
        assert!(refused.body.to_string().contains(path), "{field}: {:#}", refused.body);
    }
    let worker = hub.client(&place.token(&["--scope", "work", "--agent", "w1"]));
    worker.post("/approvals", asked('a')).await.problem(403, "forbidden");
    assert_eq!(run.get("/approvals").await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_task_that_wants_a_person_starts_when_one_approves_it() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.client(&place.token(&["--scope", "admin"]));
        let mut tasks = json!([task("a"), task("b"), task("c")]);
        for nth in [0, 1] {
            tasks[nth]["approval"] = json!(true);
        }
        tasks[1]["needs"] = json!(["c"]);
        // Whoever submits it is not who approves.
        let author = hub.admin(&place);
        let graph = author.submit(tasks).await;
        let of = async |key: &str| {
            let listed = admin.get(&format!("/tasks?graph={graph}")).await.expect(200);
            listed["items"].as_array().unwrap().iter().find(|it| it["key"] == key).unwrap().clone()
        };
        let request = async |key: &str| {
            let id = of(key).await["id"].clone();
            let found = admin.get(&format!("/approvals?task={id}")).await.expect(200);
            found["items"][0].clone()
        };
        // It is said in the task why nobody gets it.
        let (first, second) = (request("a").await, request("b").await);
        let reason = format!("waits for a person to approve its start: request {}", first["id"]);
        assert_eq!(
            (&of("a").await["state"], &of("a").await["reason"]),
            (&json!("blocked"), &json!(reason))
        );
        assert_eq!(first["subject"], "task");

        // Only the one that nobody has to approve is given out; the graph goes on although nothing
        // else of it can run.
        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["key"], "c");
        assert_eq!(admin.claim("w2", 0).await, None);
        // What it needs is done meanwhile.
        let approve = async |approval: &Value, what: &str, reason: &str| {
            let path = format!("/approvals/{}/{what}", approval["id"]);
            admin.post(&path, json!({"reason": reason})).await.expect(200)
        };
        approve(&second, "approve", "").await;
        assert_eq!(of("b").await["state"], "waiting");
        admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        let claimed = admin.claim("w1", 0).await.unwrap();
        assert_eq!(claimed["task"]["key"], "b");
        admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        assert_eq!(admin.get(&format!("/graphs/{graph}")).await.expect(200)["state"], "running");

        // All that are blocked, tried again, are not those that nobody has approved.
        admin.post(&format!("/graphs/{graph}/retry"), json!({})).await.expect(200);
        assert_eq!(of("a").await["state"], "blocked");
        approve(&first, "reject", "too risky").await;
        let rejected = of("a").await;
        assert_eq!(rejected["state"], "cancelled");
        assert_eq!(rejected["reason"], "its start was rejected by test: too risky");

        // One task, tried again by a person, starts, and nobody is asked any more.
        let again = author
            .submit(json!([{
                "key": "d", "title": "D", "action": {"command": "true"}, "approval": true,
            }]))
            .await;
        let task =
            admin.get(&format!("/tasks?graph={again}")).await.expect(200)["items"][0].clone();
        admin.post(&format!("/tasks/{}/retry", task["id"]), json!({})).await.expect(200);
        let left = admin.get("/approvals?state=pending").await.expect(200);
        assert_eq!(left["items"], json!([]));
        assert_eq!(admin.claim("w1", 0).await.unwrap()["task"]["key"], "d");
    }
}

/// What a token requested or did is approved with another one, by whichever way.
#[tokio::test]
async fn nobody_approves_what_they_asked_for_or_did() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let (alice, bob) = (hub.admin(&place), hub.admin(&place));
        let pending = async || {
            let found = bob.get("/approvals?state=pending").await.expect(200);
            found["items"].as_array().unwrap().clone()
        };
        let refused = async |path: String| {
            let answer = alice.post(&path, json!({})).await;
            answer.problem(403, "forbidden");
            let detail = answer.body["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("--allow-self-approval"), "{detail}");
        };
        // A run's request.
        let id = ask(&alice, asked('a')).await;
        refused(format!("/approvals/{id}/approve")).await;
        bob.post(&format!("/approvals/{id}/approve"), json!({})).await.expect(200);
        // Saying no to oneself is allowed.
        let id = ask(&alice, asked('b')).await;
        alice.post(&format!("/approvals/{id}/reject"), json!({})).await.expect(200);

        // The start of a task; and the ways around it.
        let mut first = task("a");
        first["approval"] = json!(true);
        let graph = alice.submit(json!([first])).await;
        let task_id =
            alice.get(&format!("/tasks?graph={graph}")).await.expect(200)["items"][0]["id"].clone();
        let id = pending().await[0]["id"].clone();
        refused(format!("/approvals/{id}/approve")).await;
        refused(format!("/tasks/{task_id}/retry")).await;
        // Changed, it is asked about as it is now, and the earlier request is over.
        let edit = json!({"command": "echo changed"});
        let edited = hub.admin(&place);
        let request = edited.request(reqwest::Method::PUT, &format!("/tasks/{task_id}"));
        let answer = request.json(&edit).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let again = pending().await[0].clone();
        assert_ne!(again["id"], id);
        let shown = bob.get(&format!("/approvals/{}", again["id"])).await.expect(200);
        assert!(shown["evidence"].as_str().unwrap().contains("echo changed"), "{shown:#}");
        bob.post(&format!("/approvals/{id}/approve"), json!({})).await.problem(409, "conflict");
        let answer = edited.post(&format!("/approvals/{}/approve", again["id"]), json!({})).await;
        answer.problem(403, "forbidden");
        // By the one who submitted it, so that what follows is theirs.
        let request = alice.request(reqwest::Method::PUT, &format!("/tasks/{task_id}"));
        let answer = request.json(&json!({"command": "true"})).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let done = json!({"commit": "a".repeat(40)});
        let answer = alice.post(&format!("/tasks/{task_id}/resolve"), done).await;
        answer.problem(403, "forbidden");
        alice.post(&format!("/tasks/{task_id}/cancel"), json!({})).await.expect(200);
        refused(format!("/tasks/{task_id}/retry")).await;
        assert_eq!(alice.claim("w1", 0).await, None);
        bob.post(&format!("/tasks/{task_id}/retry"), json!({"reason": "go"})).await.expect(200);
        let claimed = alice.claim("w1", 0).await.unwrap();
        alice.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
        assert_eq!(pending().await, Vec::<Value>::new());
    }
}

/// A hub started with `--allow-self-approval` permits it, and records it.
#[tokio::test]
async fn who_works_alone_may_approve_and_it_is_recorded() {
    let place = Place::sqlite();
    let alone = ["--listen", "127.0.0.1:0", "--allow-self-approval"];
    let hub = Hub::start_with(&place, &alone);
    let admin = hub.admin(&place);
    let id = ask(&admin, asked('a')).await;
    let approved = admin.post(&format!("/approvals/{id}/approve"), json!({})).await.expect(200);
    assert_eq!(approved["requested_by"], "test");
    let hub = hub.again_with(&place, &["--allow-self-approval"]);
    let hub = hub.again(&place);
    let recorded = hub.client(admin.token.as_ref().unwrap()).get("/actions").await.expect(200);
    let recorded: Vec<(&Value, &Value)> = recorded["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["action"], &it["after"]))
        .collect();
    assert_eq!(recorded.len(), 3, "a restart with the same is no change: {recorded:#?}");
    assert_eq!(recorded[0], (&json!("hub.self_approval"), &json!({"self_approval": false})));
    assert_eq!(recorded[1].0, "approval.approve");
    assert_eq!(recorded[1].1["own_request"], true);
    assert_eq!(recorded[2], (&json!("hub.self_approval"), &json!({"self_approval": true})));
}
