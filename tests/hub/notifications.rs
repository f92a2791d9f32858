//! Notifications of the real hub to a real server, which refuses first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::program::{Hub, graph, reports, task, until};
use super::stores::Place;

/// A delivery as it came in.
#[derive(Debug, Clone)]
struct Received {
    path: String,
    id: String,
    signature: Option<String>,
    at: i64,
    body: String,
    answered: u16,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Clone, Default)]
struct Receiver {
    seen: Arc<Mutex<Vec<Received>>>,
    /// How many deliveries of each id are refused first.
    refused: usize,
}

impl Receiver {
    /// Listens; the address.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/{*path}", post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    }

    fn of(&self, path: &str) -> Vec<Received> {
        self.seen.lock().unwrap().iter().filter(|it| it.path == path).cloned().collect()
    }

    /// The first delivery to a path that was accepted and is about such an event.
    async fn accepted(&self, path: &str, event: &str) -> Received {
        until(event, async || {
            self.of(path).into_iter().find(|it| it.answered == 200 && it.body.contains(event))
        })
        .await
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    axum::extract::Path(path): axum::extract::Path<String>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    let id = text("webhook-id").unwrap();
    let mut seen = receiver.seen.lock().unwrap();
    let before = seen.iter().filter(|it| it.path == path && it.id == id).count();
    let answer =
        if before < receiver.refused { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    seen.push(Received {
        path,
        id,
        signature: text("webhook-signature"),
        at: text("webhook-timestamp").unwrap().parse().unwrap(),
        body,
        answered: answer.as_u16(),
    });
    answer
}

/// A hub that notifies these sinks; the variables hold what the configuration names.
fn hub(place: &Place, address: &str, sinks: &Value) -> Hub {
    let env = [
        ("ALL_URL", format!("{address}/all")),
        ("SLACK_URL", format!("{address}/slack")),
        ("TEAMS_URL", format!("{address}/teams")),
        ("ALL_SECRET", "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0".to_owned()),
    ];
    hub_with(place, sinks, &env)
}

fn hub_with(place: &Place, sinks: &Value, env: &[(&str, String)]) -> Hub {
    let file = place.folder.path().join("notifications.yaml");
    std::fs::write(&file, serde_json::to_string(&json!({ "notifications": sinks })).unwrap())
        .unwrap();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--notifications",
        file.to_str().unwrap(),
        "--public-url",
        "https://hub.example.org",
    ];
    Hub::start_env(place, &arguments, env)
}

#[tokio::test]
async fn what_happens_is_sent_again_until_it_arrives() {
    for place in Place::all() {
        let receiver = Receiver { refused: 1, ..Receiver::default() };
        let address = receiver.start().await;
        let sinks = json!([
            {"name": "all", "url_env": "ALL_URL", "secret_env": "ALL_SECRET"},
            {"name": "chat", "form": "slack", "url_env": "SLACK_URL", "events": ["graph_failed"]},
            {"name": "office", "form": "teams", "url_env": "TEAMS_URL", "events": ["run_healed"]},
        ]);
        let mut hub = hub(&place, &address, &sinks);
        let admin = hub.admin(&place);
        let mut tasks = json!([task("build")]);
        tasks[0]["max_attempts"] = json!(1);
        let id = admin.post("/graphs", graph(tasks)).await.expect(201)["id"].clone();
        let claimed = admin.claim("w1", 0).await.unwrap();
        let failure = json!({"class": "code", "message": "error: it broke", "retry": false});
        admin.post(&format!("{}/fail", reports(&claimed)), failure).await.expect(200);

        let sent = receiver.accepted("all", "graph_failed").await;
        let body = sent.json();
        assert_eq!(body["title"], "Graph demo failed");
        assert_eq!(body["text"], "build Task build: error: it broke");
        assert_eq!(body["link"], format!("https://hub.example.org/#/graphs/{id}"));
        let secret = SecretString::from("whsec_c2VjcmV0IG9mIHRoZSB0ZXN0".to_owned());
        let expect = greenloop_notify::signature(&secret, &sent.id, sent.at, sent.body.as_bytes());
        assert_eq!(sent.signature.as_deref(), Some(expect.as_str()));
        let key = expect.strip_prefix("v1,").unwrap();
        assert_eq!(base64::engine::general_purpose::STANDARD.decode(key).unwrap().len(), 32);
        // Refused once, with the same id, and accepted once.
        let tries: Vec<u16> =
            receiver.of("all").iter().filter(|it| it.id == sent.id).map(|it| it.answered).collect();
        assert_eq!(tries, [503, 200]);

        let chat = receiver.accepted("slack", "Graph demo failed").await.json();
        assert_eq!(chat["blocks"][0]["text"]["text"], "✘ Graph demo failed");

        // A run that was reported; and what has not arrived outlives the hub.
        let run =
            json!({"id": "r1", "environment": "staging", "state": "verified", "iterations": 2});
        admin.post("/runs", run).await.expect(201);
        // This thread's receivers do not answer while it waits here: that must not hold up the hub for
        // longer than Kubernetes gives a pod.
        assert!(hub.stop() < Duration::from_secs(30));
        let hub = self::hub(&place, &address, &sinks);
        let card = receiver.accepted("teams", "staging: healed and verified").await.json();
        let card = &card["attachments"][0]["content"];
        assert_eq!(card["actions"][0]["url"], "https://hub.example.org/#/runs/r1");
        assert!(
            receiver.of("teams").iter().all(|it| it.body.contains("healed")),
            "only what it wants"
        );
        drop(hub);
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_keeps_the_others_from_nothing() {
    let place = Place::sqlite();
    let receiver = Receiver::default();
    let address = receiver.start().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let connections = Arc::new(Mutex::new(Vec::new()));
    let accepted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((connection, _)) = silent.accept().await {
            accepted.lock().unwrap().push(connection);
        }
    });
    let sinks =
        json!([{"name": "silent", "url_env": "SLACK_URL"}, {"name": "all", "url_env": "ALL_URL"}]);
    let hub = hub_with(
        &place,
        &sinks,
        &[("ALL_URL", format!("{address}/all")), ("SLACK_URL", silent_url)],
    );
    let admin = hub.admin(&place);
    for id in ["r1", "r2", "r3"] {
        let run = json!({"id": id, "environment": id, "state": "verified", "iterations": 1});
        admin.post("/runs", run).await.expect(201);
        receiver.accepted("all", id).await;
    }
    // The first is still being sent.
    assert_eq!(connections.lock().unwrap().len(), 1);
    drop(hub);
}

#[tokio::test]
async fn a_task_that_waits_for_a_person_is_told_and_one_that_a_person_took_is_not() {
    let place = Place::sqlite();
    let receiver = Receiver::default();
    let address = receiver.start().await;
    let hub = hub(&place, &address, &json!([{"name": "all", "url_env": "ALL_URL"}]));
    let admin = hub.admin(&place);
    let mut body = graph(json!([task("a"), task("b")]));
    body["repository"] = json!("https://git.example/demo.git");
    admin.post("/graphs", body).await.expect(201);
    let claimed = admin.claim("w1", 0).await.unwrap();
    let pushed = json!({"commit": "a".repeat(40), "summary": "s"});
    admin.post(&format!("{}/complete", reports(&claimed)), pushed).await.expect(200);
    let open = admin.get("/tasks?state=ready").await.expect(200)["items"][0]["id"].clone();
    admin.post(&format!("/tasks/{open}/take-over"), json!({})).await.expect(200);
    let entry = admin.get("/merge-queue").await.expect(200)["items"][0]["id"].clone();
    admin.post(&format!("/merge-queue/{entry}/eject"), json!({"reason": "look"})).await.expect(200);
    let told = receiver.accepted("all", "approval_wanted").await.json();
    assert_eq!(
        (&told["title"], &told["text"]),
        (&json!("Task a waits for a person"), &json!("look"))
    );
    assert_eq!(receiver.of("all").len(), 1, "{:#?}", receiver.of("all"));
}

#[tokio::test]
async fn what_a_run_asks_is_told_with_a_link_to_where_it_is_decided() {
    for place in Place::all() {
        let receiver = Receiver::default();
        let address = receiver.start().await;
        let sinks = json!([{"name": "all", "url_env": "ALL_URL"}]);
        let hub = hub(&place, &address, &sinks);
        let run = hub.client(&place.token(&["--scope", "work"]));
        let asked = json!({
            "run": "r1", "environment": "staging", "subject": "rollout", "iteration": 1,
            "commit": "c".repeat(40), "new_tree": "a".repeat(40), "policy": "d".repeat(40),
            "request": "deploy commit cccccccccc to staging? (it requires approval)",
            "timeout_seconds": 600, "lease_seconds": 600,
        });
        let id = run.post("/approvals", asked.clone()).await.expect(201)["id"].clone();
        // Asked again, it is told once.
        run.post("/approvals", asked).await.expect(201);
        let told = receiver.accepted("all", "approval_wanted").await.json();
        assert_eq!(told["title"], "staging: the rollout waits for a decision");
        assert_eq!(told["link"], format!("https://hub.example.org/#/approvals/{id}"));
        assert!(told["text"].as_str().unwrap().starts_with("deploy commit"), "{told}");
        // Events are looked at in their order: with this one, what came before it was.
        let marker = json!({"id": "r2", "environment": "e", "state": "verified", "iterations": 1});
        run.post("/runs", marker).await.expect(201);
        receiver.accepted("all", "run_verified").await;
        assert_eq!(receiver.of("all").len(), 2, "{:#?}", receiver.of("all"));
    }
}

#[tokio::test]
async fn who_decided_and_why_is_told_under_its_own_name() {
    let place = Place::sqlite();
    let receiver = Receiver::default();
    let address = receiver.start().await;
    let sinks = json!([{"name": "all", "url_env": "ALL_URL"}]);
    let hub = hub(&place, &address, &sinks);
    let (author, admin) = (hub.admin(&place), hub.admin(&place));
    let mut wanted = task("a");
    wanted["approval"] = json!(true);
    author.submit(json!([wanted])).await;
    let asked = receiver.accepted("all", "approval_wanted").await.json();
    let id = asked["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let no = json!({"reason": "not on a Friday"});
    admin.post(&format!("/approvals/{id}/reject"), no).await.expect(200);
    let told = receiver.accepted("all", "approval_decided").await.json();
    assert_eq!(told["title"], "task a: the start of a task was rejected by test");
    assert!(told["text"].as_str().unwrap().starts_with("not on a Friday\n"), "{told}");
    assert_eq!(told["facts"]["Decided by"], "test");
    assert_eq!(told["link"], asked["link"]);
    let wanted = receiver.of("all").iter().filter(|it| it.body.contains("approval_wanted")).count();
    assert_eq!(wanted, 1, "{:#?}", receiver.of("all"));
}

#[tokio::test]
async fn a_hub_says_which_variable_is_missing() {
    let place = Place::sqlite();
    let file = place.folder.path().join("notifications.yaml");
    std::fs::write(&file, "notifications:\n  - name: ops\n    url_env: NOT_SET_ANYWHERE\n")
        .unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--notifications", file.to_str().unwrap()];
    let log = Hub::try_start(&place, &arguments).err().unwrap();
    assert!(log.contains("`ops`") && log.contains("NOT_SET_ANYWHERE is not set"), "{log}");
    std::fs::write(&file, "notifications:\n  - name: ops\n    url_envv: X\n").unwrap();
    let log = Hub::try_start(&place, &arguments).err().unwrap();
    assert!(log.contains("url_env"), "{log}");
}
