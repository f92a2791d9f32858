//! Flaky tests at the hub's API.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::program::Hub;
use super::stores::Place;

fn tests(page: &Value) -> BTreeSet<&str> {
    page["items"].as_array().unwrap().iter().map(|it| it["test"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_run_reports_flaky_tests_and_everybody_may_read_them() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let worker = hub.client(&place.token(&["--scope", "work"]));
        let reader = hub.client(&place.token(&["--scope", "read"]));
        let report = |tests: Value| json!({"repository": "github.com/acme/fleet", "tests": tests});
        let reported = worker.post("/flakes", report(json!(["tests::a", "tests::b"]))).await;
        assert_eq!(reported.status.as_u16(), 204, "{reported:?}");
        let page = reader.get("/flakes?repository=github.com%2Facme%2Ffleet").await.expect(200);
        assert_eq!(tests(&page), BTreeSet::from(["tests::a", "tests::b"]));
        let page = reader.get("/flakes?repository=other").await.expect(200);
        assert!(tests(&page).is_empty());

        reader.post("/flakes", report(json!(["x"]))).await.problem(403, "forbidden");
        let agent = hub.client(&place.token(&["--scope", "work", "--agent", "w1"]));
        agent.post("/flakes", report(json!(["x"]))).await.problem(403, "forbidden");
        let many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
        for wrong in
            [json!([]), json!(many), json!(["a\nb"]), json!(["x".repeat(501)]), json!([""])]
        {
            worker.post("/flakes", report(wrong)).await.problem(422, "invalid");
        }
        let page = reader.get("/flakes?repository=github.com%2Facme%2Ffleet").await.expect(200);
        assert_eq!(tests(&page).len(), 2);
    }
}
