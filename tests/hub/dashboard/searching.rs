//! Tasks are found on the page, and by the command, whose terms are the same.

use serde_json::json;

use super::browser::with_browser;
use crate::program::{Hub, graph, greenloop, task};
use crate::stores::Place;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_all_graphs_are_found_by_what_people_remember() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "read"]);
    let mut login = task("login");
    login["title"] = json!("Rework <b>login</b>");
    let mut audit = task("audit");
    audit["description"] = json!("who has used the login");
    admin.post("/graphs", graph(json!([login, task("payments")]))).await.expect(201);
    admin.post("/graphs", graph(json!([audit]))).await.expect(201);
    let many = (0..60).map(|n| task(&format!("page-{n}"))).collect::<Vec<_>>();
    admin.post("/graphs", graph(json!(many))).await.expect(201);

    let said = |text: &str, more: &[&str]| {
        let mut list = greenloop();
        list.args(["tasks", "list", "--search", text, "--hub", &hub.url("")]).args(more);
        let output = list.env("GREENLOOP_HUB_TOKEN", &token).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let found = said("LOGIN", &[]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    assert!(lines[0].contains("ready") && lines[0].contains("audit"), "the latest first: {found}");
    assert!(lines[1].contains("Rework <b>login</b>"), "{found}");
    assert_eq!(said("no such thing", &[]), "no task fits\n");
    let listed: serde_json::Value = serde_json::from_str(&said("payments", &["--json"])).unwrap();
    assert_eq!(listed[0]["key"], "payments");

    with_browser(async move |tab| {
        let rows = "document.querySelectorAll('.search-page .runs-list li').length";
        tab.open(&hub.url("/#/search")).await;
        tab.until("document.getElementById('search-text')?.checkVisibility()").await;
        tab.value(
            "(() => { const box = document.getElementById('search-text'); box.value = ' LOGIN '; \
             box.form.requestSubmit(); return true; })()",
        )
        .await;
        tab.until(&format!("{rows} === 2")).await;
        assert_eq!(tab.text("location.hash").await, "#/search?q=LOGIN");
        let text = tab.text("document.querySelector('.search-page .runs-list').textContent").await;
        assert!(text.contains("Rework <b>login</b>") && text.contains("audit"), "{text}");

        // The address alone says what is sought; a long list comes in parts.
        tab.open(&hub.url("/#/search?q=page-")).await;
        tab.until(&format!("{rows} === 50")).await;
        tab.value("document.querySelector('.search-page .panel button').click()").await;
        tab.until(&format!("{rows} === 60")).await;
        tab.open(&hub.url("/#/search?q=nothing+of+it")).await;
        tab.until("document.querySelector('.search-page').textContent.includes('No task fits.')")
            .await;
        assert_eq!(tab.count(".search-page .runs-list li").await, 0);

        tab.open(&hub.url("/#/search?q=payments")).await;
        tab.until(&format!("{rows} === 1")).await;
        tab.value("document.querySelector('.search-page .runs-list a').click()").await;
        tab.until("document.querySelector('.task-title')?.textContent.includes('payments')").await;
        tab.assert_calm().await;
    })
    .await;
}
