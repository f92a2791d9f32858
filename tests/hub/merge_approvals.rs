//! Merges that a person has to approve, with real hubs, workers and repositories.

use serde_json::{Value, json};

use super::farm::{Farm, attempts, command, git, id_of};
use super::program::{Client, Hub, until};
use super::stores::Place;

/// The request about a merge that waits, other than these.
async fn waiting(client: &Client, known: &[i64]) -> Value {
    until("a merge waits for a person", async || {
        let found = client.get("/approvals?state=pending").await.expect(200);
        let items = found["items"].as_array().unwrap();
        let id = items.iter().find_map(|it| {
            let id = it["id"].as_i64().unwrap();
            (it["subject"] == "merge" && !known.contains(&id)).then_some(id)
        })?;
        Some(client.get(&format!("/approvals/{id}")).await.expect(200))
    })
    .await
}

/// The entry of a task; null where it has none yet.
async fn entry(client: &Client, task: i64) -> Value {
    let queue = client.get("/merge-queue?limit=100").await.expect(200);
    let items = queue["items"].as_array().unwrap();
    items.iter().find(|it| it["task"] == task).cloned().unwrap_or_default()
}

async fn decide(client: &Client, request: &Value, what: &str, reason: &str) {
    let path = format!("/approvals/{}/{what}", request["id"]);
    let seen = json!({"reason": reason, "scope": request["scope"]});
    client.post(&path, seen).await.expect(200);
}

#[tokio::test]
async fn a_branch_is_merged_when_a_person_approves_exactly_its_commit() {
    for place in Place::all() {
        let farm = Farm::new(&[("shared", "nobody\n")]);
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let token = place.token(&["--scope", "work"]);
        let line = format!(
            "echo \"$GREENLOOP_TASK_PREVIOUS\" >> {}/previous; \
             echo attempt $GREENLOOP_TASK_EPOCH > careful",
            farm.marks().display()
        );
        let mut careful = command("careful", &line);
        careful["merge_approval"] = json!(true);
        let mut later = command("later", "test -e careful && echo later > later");
        later["needs"] = json!(["careful"]);
        let other = command("other", "echo other > other");
        let graph = admin.post("/graphs", farm.graph(json!([careful, other, later]))).await;
        let graph = graph.expect(201)["id"].as_i64().unwrap();
        let _worker = farm.worker(&hub, &token, "w1").start();

        let first = waiting(&admin, &[]).await;
        let task = id_of(&admin, graph, "careful").await;
        assert_eq!((&first["task"], &first["requested_by"]), (&json!(task), &json!("w1")));
        let text = |field: &str| first[field].as_str().unwrap().to_owned();
        assert!(text("diff").contains("+attempt 1"), "{first:#}");
        assert!(text("evidence").contains("- passed: test ! -e bad"), "{first:#}");
        assert!(text("request").contains("by w1"), "{first:#}");
        // Whatever does not need it is merged meanwhile; what does waits.
        let other = id_of(&admin, graph, "other").await;
        until("the other one is merged", async || {
            (entry(&admin, other).await["state"] == "merged").then_some(())
        })
        .await;
        assert_eq!(entry(&admin, task).await["state"], "waiting");
        assert!(!farm.git(&["ls-tree", "--name-only", "main"]).contains("careful"));
        let later = id_of(&admin, graph, "later").await;
        let shown = admin.get(&format!("/tasks/{later}")).await.expect(200);
        assert_eq!(shown["state"], "waiting");

        // Whoever may only work decides nothing.
        let worker = hub.client(&token);
        let path = format!("/approvals/{}/approve", first["id"]);
        worker.post(&path, json!({})).await.problem(403, "forbidden");

        // A no gives the task back; its new commit is asked about again.
        decide(&admin, &first, "reject", "more care").await;
        let second = waiting(&admin, &[first["id"].as_i64().unwrap()]).await;
        assert_ne!(second["commit"], first["commit"]);
        assert!(second["diff"].as_str().unwrap().contains("+attempt 2"), "{second:#}");
        let previous = std::fs::read_to_string(farm.marks().join("previous")).unwrap();
        let why = "its merge was rejected by test: more care";
        assert_eq!(previous.lines().collect::<Vec<_>>(), ["", why]);
        assert_eq!(attempts(&admin, task).await, ["ejected", "succeeded"]);
        // Consent to what was asked before is none.
        let path = format!("/approvals/{}/approve", second["id"]);
        let old = json!({"scope": first["scope"]});
        admin.post(&path, old).await.problem(409, "conflict");

        decide(&admin, &second, "approve", "now it is").await;
        farm.ended(&admin, graph, "done").await;
        assert_eq!(farm.git(&["show", "main:careful"]), "attempt 2");
        let commit = second["commit"].as_str().unwrap();
        farm.git(&["merge-base", "--is-ancestor", commit, "main"]);
    }
}

#[tokio::test]
async fn an_approved_epic_reaches_the_target_of_a_graph_that_asks() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let tasks: Vec<Value> = ["1.1", "1.2"]
        .map(|key| {
            let mut task = command(key, &format!("echo {key} > {key}"));
            task["epic"] = json!("1");
            task
        })
        .into();
    let mut body = farm.graph(json!(tasks));
    body["merge_approval"] = json!(true);
    body["epics"] = json!([{"key": "1", "title": "Data", "branch": "epic-1"}]);
    let graph = admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap();
    let _worker = farm.worker(&hub, &token, "w1").start();
    // Only the merge into the target is asked about, with all that the epic brings.
    let request = waiting(&admin, &[]).await;
    assert_eq!(request["task"], id_of(&admin, graph, "1-merge").await);
    let diff = request["diff"].as_str().unwrap();
    assert!(diff.contains("b/1.1") && diff.contains("b/1.2"), "{diff}");
    // Meanwhile the target moves: the approved commit is merged with it as it is then.
    let place = farm.path().join("person");
    git(farm.path(), &["clone", "-q", "remote.git", "person"]);
    std::fs::write(place.join("hotfix"), "x\n").unwrap();
    git(&place, &["add", "-A"]);
    git(&place, &["commit", "-q", "-m", "hotfix"]);
    git(&place, &["push", "-q", "origin", "HEAD:main"]);
    decide(&admin, &request, "approve", "").await;
    farm.ended(&admin, graph, "done").await;
    assert_eq!(farm.git(&["ls-tree", "--name-only", "main"]), "1.1\n1.2\nhotfix\nshared");
    let all = admin.get("/approvals").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all:#}");
}
