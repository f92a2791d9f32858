//! Badges: pictures of states, for those who may read.

use reqwest::Response;
use serde_json::json;

use super::program::{Client, Hub, reports, task};
use super::stores::Place;

async fn badge(hub: &Hub, path: &str, token: Option<&str>) -> Response {
    let request = reqwest::Client::new().get(hub.url(path));
    let request = token.into_iter().fold(request, |it, token| it.bearer_auth(token));
    request.send().await.unwrap()
}

async fn picture(hub: &Hub, path: &str) -> String {
    let response = badge(hub, path, None).await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    response.text().await.unwrap()
}

async fn report_run(admin: &Client, id: &str, state: &str) {
    let run = json!({"id": id, "environment": "pro.duction", "state": state});
    let status = admin.post("/runs", run).await.status.as_u16();
    assert!((200..300).contains(&status), "{status}");
}

#[tokio::test]
async fn badges_show_the_state_of_a_graph_and_of_an_environment() {
    for place in Place::all() {
        let arguments = ["--listen", "127.0.0.1:0", "--public-badges", "--read-token-required"];
        let hub = Hub::start_with(&place, &arguments);
        let admin = hub.admin(&place);
        let graph = admin.submit(json!([task("a"), task("b")])).await;
        let path = format!("/badge/graphs/{graph}.svg");
        assert!(picture(&hub, &path).await.contains("aria-label=\"tasks: 0 %\""));
        for percent in ["50 %", "done"] {
            let claimed = admin.claim("w1", 0).await.unwrap();
            admin.post(&format!("{}/complete", reports(&claimed)), json!({})).await.expect(200);
            let shown = picture(&hub, &path).await;
            assert!(shown.contains(&format!("aria-label=\"tasks: {percent}\"")), "{shown}");
        }
        let named = picture(&hub, &format!("{path}?label=%3Cscript%3E%26")).await;
        assert!(named.contains("&lt;script&gt;&amp;: done") && !named.contains("<script"));

        let environment = "/badge/environments/pro.duction.svg";
        assert!(picture(&hub, environment).await.contains("pro.duction: no run"));
        report_run(&admin, "r1", "verified").await;
        report_run(&admin, "r2", "stopped").await;
        assert!(picture(&hub, environment).await.contains("pro.duction: stopped"));
        report_run(&admin, "r1", "verified").await;
        assert!(picture(&hub, environment).await.contains("pro.duction: verified"));

        let response = badge(&hub, environment, None).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), "public, max-age=30");
        assert_eq!(header("cross-origin-resource-policy"), "cross-origin");
        assert!(header("content-security-policy").starts_with("default-src 'none'"));
        let again = reqwest::Client::new().get(hub.url(environment));
        let again = again.header("if-none-match", header("etag")).send().await.unwrap();
        assert_eq!(again.status(), 304);

        for path in ["/badge/graphs/4711.svg", "/badge/graphs/x.svg", "/badge/graphs/1.png"] {
            assert_eq!(badge(&hub, path, None).await.status(), 404, "{path}");
        }
        assert_eq!(badge(&hub, &format!("{path}?lable=x"), None).await.status(), 422);
        // Badges only.
        assert_eq!(badge(&hub, "/api/v1/graphs", None).await.status(), 401);
    }
}

#[tokio::test]
async fn badges_need_a_token_when_nobody_has_said_otherwise() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--read-token-required"]);
    let graph = hub.admin(&place).submit(json!([task("a")])).await;
    let path = format!("/badge/graphs/{graph}.svg");
    for (path, token, status) in [
        (path.as_str(), None, 401),
        (path.as_str(), Some("glh_wrong"), 401),
        ("/badge/environments/production.svg", None, 401),
    ] {
        assert_eq!(badge(&hub, path, token).await.status(), status, "{path} {token:?}");
    }
    let token = place.token(&["--scope", "read"]);
    let response = badge(&hub, &path, Some(&token)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "private, max-age=30");
    assert_eq!(response.headers()["cross-origin-resource-policy"], "same-origin");
}
