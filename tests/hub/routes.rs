//! The OpenAPI document and the routes agree.

use std::collections::BTreeSet;

use serde_json::Value;

use super::program::{Answer, Hub};
use super::stores::Place;

/// Every described path answers, and has no undescribed method: the header `allow` of an error
/// lists the router's methods.
#[tokio::test]
async fn every_described_route_answers_and_no_other() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let token = place.token(&["--scope", "admin"]);
    let http = reqwest::Client::new();
    let served: Value =
        http.get(hub.url("/api/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
    assert_eq!(served, serde_json::from_str::<Value>(&text.unwrap()).unwrap());
    for (path, item) in served["paths"].as_object().unwrap() {
        let place = path.replace("{id}", "1").replace("{epoch}", "1").replace("{name}", "w");
        let ask = async |method: reqwest::Method| {
            let request = http.request(method, hub.url(&place)).bearer_auth(&token);
            Answer::of(request.send().await.unwrap()).await
        };
        let refused = ask(reqwest::Method::TRACE).await;
        refused.problem(405, "method-not-allowed");
        let allow = refused.headers["allow"].to_str().unwrap();
        let allowed: BTreeSet<&str> =
            allow.split(',').map(str::trim).filter(|it| *it != "HEAD").collect();
        let described: BTreeSet<String> = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|it| matches!(it.as_str(), "get" | "post" | "put" | "patch" | "delete"))
            .map(|it| it.to_uppercase())
            .collect();
        assert_eq!(allowed, described.iter().map(String::as_str).collect(), "{path}");
        if described.contains("POST") {
            let answer = ask(reqwest::Method::POST).await;
            let nowhere = answer.body["detail"].as_str().unwrap_or("").contains("unknown path");
            assert!(!nowhere && answer.status.as_u16() < 500, "{path}: {answer:?}");
        }
    }
    // Axum's router cannot list its paths, so this checks those that the program's clients use.
    for path in ["/api/v1/claims", "/api/v1/tasks/{id}/attempts/{epoch}/complete", "/metrics"] {
        assert!(served["paths"].get(path).is_some(), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let nobody = hub.client("");
    for path in ["/nowhere", "/graphs/7", "/graphs/seven", "/tasks/1/nothing", "/agents/nobody"] {
        nobody.get(path).await.problem(404, "not-found");
    }
    for path in ["/", "/js/none.js", "/../Cargo.toml"] {
        let status = reqwest::get(hub.url(path)).await.unwrap().status().as_u16();
        assert_eq!(status, if path == "/" { 200 } else { 404 }, "{path}");
    }
}

#[tokio::test]
async fn health_and_figures_are_told() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let health = super::program::until("health", async || {
            let health = admin.get("/health").await.expect(200);
            (health["status"] == "ok").then_some(health)
        })
        .await;
        assert_eq!((&health["store"], &health["redis"]), (&"ok".into(), &"off".into()));
        let mut backend = super::program::task("a");
        backend["role"] = "backend".into();
        admin.submit(serde_json::json!([backend, super::program::task("b")])).await;
        admin.claim("w", 0).await.unwrap();
        let text = super::program::until("the figures", async || {
            let request = reqwest::Client::new().get(hub.url("/metrics"));
            let response = request.bearer_auth(admin.token.as_ref().unwrap()).send().await.unwrap();
            let text = response.text().await.unwrap();
            text.contains("greenloop_outbox_latest_event ").then_some(text)
        })
        .await;
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name}: {text}"))
                .rsplit(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let backend = value("greenloop_tasks_pending{role=\"backend\",state=\"ready\"}")
            + value("greenloop_tasks_running{role=\"backend\",state=\"running\"}");
        let anybody = value("greenloop_tasks_pending{role=\"\",state=\"ready\"}")
            + value("greenloop_tasks_running{role=\"\",state=\"running\"}");
        assert!((backend - 1.0).abs() < 0.1 && (anybody - 1.0).abs() < 0.1, "{text}");
        for name in [
            "greenloop_http_requests_total{method=\"POST\",path=\"/api/v1/graphs\",status=\"201\"}",
            "greenloop_agents{state=\"idle\"}",
            "greenloop_claims_waiting",
            "greenloop_outbox_lag_seconds",
        ] {
            value(name);
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

/// KEDA scales workers from none by these figures: they are there before any worker was, with a hub
/// that has just started, and when nothing is left to do.
#[tokio::test]
async fn workers_are_scaled_from_none() {
    for place in Place::all() {
        let mut hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let token = admin.token.clone().unwrap();
        // The query of k8s/worker/backend-keda: the sum of the pending and running tasks of a role,
        // and of those that anybody may do. `None`: Prometheus has no value for it.
        let wanted = async |hub: &Hub| -> Option<f64> {
            let request = reqwest::Client::new().get(hub.url("/metrics")).bearer_auth(&token);
            let text = request.send().await.unwrap().text().await.unwrap();
            let series = text.lines().filter(|line| {
                ["greenloop_tasks_pending{", "greenloop_tasks_running{"]
                    .iter()
                    .any(|name| line.starts_with(name))
                    && ["role=\"backend\"", "role=\"\""].iter().any(|role| line.contains(role))
            });
            let values: Vec<f64> =
                series.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        };
        assert_eq!(wanted(&hub).await, Some(0.0), "no task, no worker");
        let of_role = |key: &str, role: &str| {
            let mut task = super::program::task(key);
            task["role"] = role.into();
            task
        };
        let graph = admin
            .submit(serde_json::json!([
                of_role("a", "backend"),
                of_role("b", "backend"),
                of_role("c", "frontend"),
                super::program::task("d"),
            ]))
            .await;
        assert_eq!(wanted(&hub).await, Some(3.0), "no worker was ever there");
        hub = hub.again(&place);
        assert_eq!(wanted(&hub).await, Some(3.0));
        let admin = hub.client(&token);
        admin.claim("w", 0).await.unwrap();
        assert_eq!(wanted(&hub).await, Some(3.0), "running ones keep their workers");
        admin.post(&format!("/graphs/{graph}/cancel"), serde_json::json!({})).await.expect(200);
        assert_eq!(wanted(&hub).await, Some(0.0));
        hub = hub.again(&place);
        assert_eq!(wanted(&hub).await, Some(0.0), "a hub that knows no role any more");
    }
}
