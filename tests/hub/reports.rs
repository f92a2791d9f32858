//! The completion report of a graph, as its readers get it.

use serde_json::{Value, json};

use super::program::{Client, Hub, graph, greenloop, reports, task};
use super::stores::Place;

/// A task that is estimated and has markup in its title, one that needs it and has no estimate,
/// and one for an author.
async fn submit(admin: &Client) -> i64 {
    let (mut first, mut second, mut third) = (task("a"), task("b"), task("c"));
    first["hours"] = json!(2.0);
    first["title"] = json!("<b>First</b> | with markup");
    second["needs"] = json!(["a"]);
    second["hours"] = json!(0.0);
    third["action"] = json!("agent");
    third["priority"] = json!(5);
    let mut body = graph(json!([first, second, third]));
    body["repository"] = json!("https://git.example/demo.git");
    admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap()
}

/// `a` fails once and is retried, its work is thrown out of the merge queue and done by a person;
/// `c` is done with two models, one of which has a price.
async fn work(admin: &Client) {
    let claimed = admin.claim("w1", 0).await.unwrap();
    assert_eq!(claimed["task"]["key"], "a");
    let failure = json!({"class": "code", "message": "exit 1 | <i>", "retry": true,
        "uncounted": true});
    admin.post(&format!("{}/fail", reports(&claimed)), failure).await.expect(200);
    let id = claimed["task"]["id"].clone();
    let author = loop {
        // The failed one may come first again, to another worker.
        let claimed = admin.claim("w2", 30).await.unwrap();
        if claimed["task"]["key"] == "c" {
            break claimed;
        }
        let done = json!({"commit": "c0ffee00".repeat(5), "summary": "did it"});
        admin.post(&format!("{}/complete", reports(&claimed)), done).await.expect(200);
        let entries = admin.get("/merge-queue").await.expect(200);
        let entry = entries["items"][0]["id"].clone();
        let why = json!({"reason": "not wanted"});
        admin.post(&format!("/merge-queue/{entry}/eject"), why).await.expect(200);
    };
    let usage = json!([
        {"model": "large | one", "usage": {"requests": 2, "input_tokens": 1500,
            "output_tokens": 20, "cost_usd": 0.25}},
        {"model": "own", "usage": {"requests": 1, "input_tokens": 7, "output_tokens": 1,
            "cost_usd": 0.0}},
    ]);
    let evidence = json!({"kind": "usage", "title": "model usage", "body": usage.to_string()});
    let at = reports(&author);
    admin.post(&format!("{at}/evidence"), evidence).await.expect(201);
    admin.post(&format!("{at}/complete"), json!({"summary": "did it"})).await.expect(200);
    let taken = json!({"reason": "by hand"});
    admin.post(&format!("/tasks/{id}/take-over"), taken).await.expect(200);
    let resolution = json!({"commit": "decaf000".repeat(5), "reason": "by hand"});
    admin.post(&format!("/tasks/{id}/resolve"), resolution).await.expect(200);
    let last = admin.claim("w1", 30).await.unwrap();
    assert_eq!(last["task"]["key"], "b");
    admin.post(&format!("{}/complete", reports(&last)), json!({})).await.expect(200);
}

async fn text(admin: &Client, path: &str, accept: &str) -> (String, String, String) {
    let request = admin.request(reqwest::Method::GET, path).header("accept", accept);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (kind, policy) = (header("content-type"), header("content-security-policy"));
    (kind, policy, response.text().await.unwrap())
}

fn of<'a>(list: &'a Value, name: &str, value: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|it| it[name] == value);
    found.unwrap_or_else(|| panic!("{value} in {list:#}"))
}

#[tokio::test]
async fn a_report_says_who_did_what_and_what_is_not_known() {
    for place in Place::all() {
        let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
        let admin = hub.admin(&place);
        let graph = submit(&admin).await;
        let path = format!("/graphs/{graph}/report");
        let before = admin.get(&path).await.expect(200);
        assert_eq!((&before["speed_up"], &before["started_at"]), (&Value::Null, &Value::Null));
        assert_eq!(before["tasks"][0]["actual_seconds"], Value::Null);

        work(&admin).await;
        let report = admin.get(&path).await.expect(200);
        assert_eq!(report["graph"]["state"], "done", "{report:#}");
        let tasks = &report["tasks"];
        let (first, second) = (of(tasks, "key", "a"), of(tasks, "key", "b"));
        assert_eq!(first["agent"], "operator test");
        assert_eq!(
            (&first["estimate_hours"], &first["actual_seconds"]),
            (&json!(2.0), &Value::Null)
        );
        assert_eq!((&second["agent"], &second["estimate_hours"]), (&json!("w1"), &Value::Null));
        assert!(second["actual_seconds"].as_f64().unwrap() >= 0.0);
        assert!(first["attempts"].as_i64().unwrap() >= 2, "{first}");
        let failed = of(&report["unsuccessful"], "state", "returned");
        assert_eq!((&failed["key"], &failed["class"]), (&json!("a"), &json!("code")));
        assert_eq!(
            of(&report["contributors"], "name", "operator test")["worked_seconds"],
            Value::Null
        );
        of(&report["actions"], "action", "task.resolve");
        let costs = &report["costs"];
        assert_eq!(costs["unreported_attempts"], 0);
        assert_eq!(of(&costs["models"], "model", "own")["cost_usd"], Value::Null);
        assert_eq!(of(&costs["models"], "model", "large | one")["cost_usd"], 0.25);
        let speed_up = &report["speed_up"];
        let figure = |name: &str| speed_up[name].as_f64().unwrap();
        assert!(figure("reached") <= figure("largest") + 1e-6, "{speed_up}");
        assert_eq!(speed_up["unmeasured_tasks"], 1);

        let (kind, _, markdown) = text(&admin, &path, "text/markdown").await;
        assert_eq!(kind, "text/markdown; charset=utf-8");
        assert!(markdown.contains(r"&lt;b&gt;First&lt;/b&gt; \| with markup"), "{markdown}");
        assert!(markdown.contains("none given") && markdown.contains("not measured"));
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        let (kind, policy, page) = text(&admin, &path, browser).await;
        assert_eq!(kind, "text/html; charset=utf-8");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
        assert!(page.contains("&lt;b&gt;First&lt;/b&gt; | with markup"), "{page}");
        let (kind, _, asked) = text(&admin, &format!("{path}?format=markdown"), browser).await;
        assert_eq!(kind, "text/markdown; charset=utf-8");
        assert_eq!(asked.lines().next(), markdown.lines().next());
        admin.get(&format!("{path}?format=pdf")).await.problem(422, "invalid");
        admin.get("/graphs/4711/report").await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_program_prints_a_report_or_writes_it() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let admin = hub.admin(&place);
    let run = |arguments: &[&str]| {
        let output = greenloop()
            .args(["tasks", "report"])
            .args(arguments)
            .env("GREENLOOP_HUB_URL", hub.url("/"))
            .env("GREENLOOP_HUB_TOKEN", admin.token.as_ref().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text, String::from_utf8(output.stderr).unwrap())
    };
    let (code, _, error) = run(&[]);
    assert!(code != Some(0) && error.contains("the hub has no graph"), "{error}");
    let graph = submit(&admin).await.to_string();
    work(&admin).await;
    let (code, text, _) = run(&[]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with(&format!("# Graph {graph}: ")), "{text}");
    let (_, text, _) = run(&[&graph, "--format", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["tasks_total"], 3);
    let file = place.folder.path().join("report.html");
    let (code, text, error) = run(&[&graph, "--format", "html", "--out", file.to_str().unwrap()]);
    assert_eq!((code, text.as_str()), (Some(0), ""), "{error}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("<!doctype html>"));
    let (code, _, error) = run(&["4711"]);
    assert!(code != Some(0) && error.contains("404"), "{error}");
}
