//! Authentication and authorisation, and what is never disclosed.

use reqwest::Method;
use serde_json::{Value, json};

use super::program::{Answer, Hub, claim, tasks, until};
use super::stores::Place;

fn operations() -> Vec<(Method, String, String)> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
    let document: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            // An empty entry stands for no token where the hub is told so: not by default.
            let entries = operation["security"].as_array().into_iter().flatten();
            let scope = entries.filter_map(|entry| entry["token"][0].as_str()).next();
            let scope = scope.unwrap_or("none").to_owned();
            all.push((method, path.clone(), scope));
        }
    }
    assert!(all.len() > 35, "{}", all.len());
    all
}

/// A path with values for its parameters.
fn filled(path: &str) -> String {
    path.replace("{id}", "1").replace("{epoch}", "1").replace("{name}", "w")
}

async fn status(hub: &Hub, token: Option<&str>, method: &Method, path: &str) -> u16 {
    let mut request = reqwest::Client::new().request(method.clone(), hub.url(&filled(path)));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    // A body that every path rejects: authorisation comes first.
    if method == Method::POST {
        request = request.json(&json!({"no": "such field"}));
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--read-token-required"]);
    let tokens: Vec<(&str, String)> =
        ["read", "work", "admin"].map(|scope| (scope, place.token(&["--scope", scope]))).into();
    for (method, path, needed) in operations() {
        let anonymous = status(&hub, None, &method, &path).await;
        if needed == "none" {
            assert_eq!(anonymous, 200, "{method} {path}");
            continue;
        }
        assert_eq!(anonymous, 401, "{method} {path}");
        let wrong = format!("glh_{}_{}", "a".repeat(12), "b".repeat(64));
        let wrong = if path.ends_with("/graphs") { Some(wrong) } else { None };
        if let Some(wrong) = &wrong {
            assert_eq!(status(&hub, Some(wrong), &method, &path).await, 401, "{method} {path}");
        }
        let step = |scope: &str| ["read", "work", "admin"].iter().position(|it| *it == scope);
        for (scope, token) in &tokens {
            let got = status(&hub, Some(token), &method, &path).await;
            let allowed = step(scope) >= step(&needed);
            assert_eq!(got == 403, !allowed, "{method} {path} with {scope}: {got}");
            assert!(got != 401 && got < 500, "{method} {path} with {scope}: {got}");
        }
    }
}

#[tokio::test]
async fn this_machine_may_look_without_a_token_and_nothing_more() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let nobody = hub.client("");
    nobody.get("/graphs").await.expect(200);
    for (method, path, needed) in operations() {
        if method == Method::POST {
            assert_ne!(needed, "none", "{path}");
            assert_eq!(status(&hub, None, &method, &path).await, 401, "{path}");
        }
    }
    // A wrong token is not treated like a missing one.
    hub.client("glh_x_y").get("/graphs").await.problem(401, "unauthorised");
    hub.client("nonsense").get("/graphs").await.problem(401, "unauthorised");
}

#[tokio::test]
async fn a_workers_token_is_good_for_that_worker_only() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let one = hub.client(&place.token(&["--scope", "work", "--agent", "one"]));
    let two = hub.client(&place.token(&["--scope", "work", "--agent", "two"]));
    hub.admin(&place).submit(tasks(2)).await;
    two.post("/claims", claim("one", 0)).await.problem(403, "forbidden");
    let claimed = one.claim("one", 0).await.unwrap();
    let beat = format!("{}/heartbeat", super::program::reports(&claimed));
    two.post(&beat, json!({})).await.problem(403, "forbidden");
    one.post(&beat, json!({})).await.expect(200);
    let agent = |name: &str| json!({"name": name, "instance": "i", "roles": [], "host": "h", "version": "1"});
    two.post("/agents/heartbeat", agent("one")).await.problem(403, "forbidden");
    two.post("/agents/heartbeat", agent("two")).await.expect(200);
    let at = |report: &str| format!("{}/{report}", super::program::reports(&claimed));
    for (report, body) in [
        ("evidence", json!({"kind": "log", "title": "forged"})),
        ("complete", json!({"summary": "done, says another"})),
        ("fail", json!({"class": "code", "message": "says another", "retry": false})),
    ] {
        two.post(&at(report), body).await.problem(403, "forbidden");
    }
    two.post("/agents/one/leave", json!({"instance": "i"})).await.problem(403, "forbidden");

    // A run is no worker's: whoever deploys reports it.
    let run = json!({
        "id": "r", "environment": "e", "state": "verified", "iterations": 1, "summary": "",
        "report": "",
    });
    for worker in [&one, &two] {
        worker.post("/runs", run.clone()).await.problem(403, "forbidden");
    }
    let pipeline = hub.client(&place.token(&["--scope", "work"]));
    pipeline.post("/runs", run).await.expect(201);
    one.post(&at("complete"), json!({"summary": "done"})).await.expect(200);
}

#[tokio::test]
async fn a_revoked_token_ends_within_seconds() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(tasks(1)).await;
    let id = admin.token.as_deref().unwrap().split('_').nth(1).unwrap().to_owned();
    let listed = String::from_utf8(place.hub(&["token", "list"]).stdout).unwrap();
    assert!(listed.contains(&id) && listed.contains("good"), "{listed}");
    assert!(place.hub(&["token", "revoke", &id]).status.success());
    until("the token's end", async || {
        (admin.post("/progress/snapshot", json!({})).await.status == 401).then_some(())
    })
    .await;
    let listed = String::from_utf8(place.hub(&["token", "list"]).stdout).unwrap();
    assert!(listed.contains("revoked"), "{listed}");
    assert_eq!(place.hub(&["token", "revoke", "nobody"]).status.code(), Some(2));
}

#[tokio::test]
async fn pages_of_elsewhere_change_nothing() {
    let place = Place::sqlite();
    let hub = Hub::start_with(
        &place,
        &["--listen", "127.0.0.1:0", "--origin", "https://ops.example.org", "--host", "hub.test"],
    );
    let admin = hub.admin(&place);
    let own = format!("http://{}", hub.address);
    for (name, value, good) in [
        ("origin", own.as_str(), true),
        ("origin", "https://ops.example.org", true),
        ("origin", "https://evil.example", false),
        ("origin", "null", false),
        ("origin", "http://127.0.0.1:1", false),
        ("sec-fetch-site", "cross-site", false),
        ("sec-fetch-site", "same-origin", true),
    ] {
        let request = admin.request(Method::POST, "/progress/snapshot").header(name, value);
        let answer = Answer::of(request.send().await.unwrap()).await;
        if good {
            answer.expect(201);
        } else {
            answer.problem(403, "forbidden");
        }
        let socket = admin
            .request(Method::GET, "/ws")
            .header(name, value)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let status = socket.send().await.unwrap().status().as_u16();
        assert_eq!(status, if good { 101 } else { 403 }, "{name}: {value}");
    }
    for (host, good) in
        [("localhost:1", true), ("hub.test", true), ("evil.example", false), ("10.1.2.3", false)]
    {
        let request = admin.request(Method::GET, "/graphs").header("host", host);
        let answer = Answer::of(request.send().await.unwrap()).await;
        if good {
            answer.expect(200);
        } else {
            answer.problem(421, "misdirected");
        }
    }
}

#[tokio::test]
async fn browsers_are_told_to_run_nothing() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let nobody = hub.client("");
    for path in ["/graphs", "/health", "/nowhere", "/openapi.json"] {
        let headers = nobody.get(path).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
        assert!(!headers.contains_key("server"), "{path}");
    }
    let page = reqwest::get(hub.url("/")).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let tag = page.headers()["etag"].clone();
    let again = reqwest::Client::new().get(hub.url("/")).header("if-none-match", tag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    let script = reqwest::Client::new()
        .get(hub.url("/js/main.js"))
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(script.status(), 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--rate", "5"]);
    let (admin, other) = (hub.admin(&place), hub.admin(&place));
    let mut refused = None;
    for _ in 0..20 {
        let answer = admin.get("/graphs").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    refused.problem(429, "too-many-requests");
    assert_eq!(refused.headers["retry-after"], "1");
    other.get("/graphs").await.expect(200);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    admin.get("/graphs").await.expect(200);
}

#[tokio::test]
async fn who_guesses_tokens_is_soon_slow() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.get("/graphs").await.expect(200);
    let mut statuses = Vec::new();
    for n in 0..30 {
        statuses.push(hub.client(&format!("glh_x_{n}")).get("/graphs").await.status.as_u16());
    }
    assert!(statuses.starts_with(&[401; 15]), "{statuses:?}");
    // One more a second is let through, so the last need not be refused on a slow machine.
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn others_are_not_served_in_the_clear() {
    let place = Place::sqlite();
    let said = Hub::try_start(&place, &["--listen", "0.0.0.0:0"]).err().unwrap();
    assert!(said.contains("--tls-cert") && said.contains("--insecure-http"), "{said}");
    let hub = Hub::start_with(&place, &["--listen", "0.0.0.0:0", "--insecure-http"]);
    let base = format!("http://127.0.0.1:{}", hub.address.port());
    let status = async |path: &str| reqwest::get(format!("{base}{path}")).await.unwrap().status();
    assert_eq!(status("/api/v1/graphs").await, 401);
    assert_eq!(status("/metrics").await, 401);
    assert_eq!(status("/api/v1/health").await, 200);
}

#[tokio::test]
async fn secrets_are_in_no_log_and_in_no_store() {
    let place = Place::sqlite();
    let mut hub = Hub::start(&place);
    assert!(hub.greeting.contains("hub token create"), "{}", hub.greeting);
    let admin = hub.admin(&place);
    let token = admin.token.clone().unwrap();
    let secret = token.rsplit('_').next().unwrap();
    assert!(secret.len() >= 43, "{} characters", secret.len());
    admin.submit(tasks(1)).await;
    admin.post("/graphs", json!({"glh": token})).await.problem(422, "invalid");
    admin.get(&format!("/tasks?state={secret}")).await.problem(422, "invalid");
    admin.get(&format!("/{token}")).await.problem(404, "not-found");
    let claimed = admin.claim("w", 0).await.unwrap();
    let body = json!({"class": "auth", "message": format!("token {secret}"), "retry": true});
    admin.post(&format!("{}/fail", super::program::reports(&claimed)), body).await.expect(200);
    hub.stop();
    let log = hub.log();
    assert!(log.contains("a graph was submitted"), "{log}");
    assert!(!log.contains(secret), "{log}");
    let id = token.split('_').nth(1).unwrap();
    assert!(log.contains(id), "who did it is told: {log}");
    let listed = place.hub(&["token", "list"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(secret));
    assert!(Hub::start(&place).greeting.contains("tokens     1\n"));
}
