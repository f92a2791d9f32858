//! The graphs in `examples/tasks/` run, on a repository.

use super::farm::Farm;
use super::program::{Hub, greenloop};
use super::stores::Place;

const ROLES: [&str; 7] =
    ["analytics", "backend", "database", "frontend", "operations", "security", "typescript"];

/// Runs the graph in `file` with three workers; returns the files of its tasks in the target, in
/// order.
async fn done(file: &str) -> Vec<String> {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("README.md", "fleet\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "admin"]);
    let path = format!("{}/examples/tasks/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let on = format!("  target: main\n  repository: {}\n", farm.remote().display());
    let here = farm.path().join("tasks.yaml");
    std::fs::write(&here, text.replacen("  target: main\n", &on, 1)).unwrap();
    let imported = greenloop()
        .args(["tasks", "import", here.to_str().unwrap(), "--hub", &hub.url("")])
        .env("GREENLOOP_HUB_TOKEN", &token)
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let roles: Vec<&str> = ROLES.iter().flat_map(|role| ["--role", *role]).collect();
    let _workers =
        ["w1", "w2", "w3"].map(|name| farm.worker(&hub, &token, name).with(&roles).start());
    farm.ended(&admin, 1, "done").await;
    let queue = admin.get("/merge-queue?state=queued").await.expect(200);
    assert_eq!(queue["items"], serde_json::json!([]));
    farm.git(&["ls-tree", "--name-only", "main:done"]).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_remediation_of_the_fleet() {
    // All except those that were already done.
    let expect = [
        "1.3", "1.4", "1.5", "1.6", "1.7", "2.1", "2.2", "2.3", "2.4", "2.5", "3.2", "3.3", "3.4",
        "3.5", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6",
    ];
    assert_eq!(done("fleet-remediation.yaml").await, expect);
}

#[tokio::test]
async fn ten_agents() {
    let expect = ["1", "10", "2", "3", "4", "5", "6a", "6b", "7", "8", "9"];
    assert_eq!(done("ten-agents.yaml").await, expect);
}
