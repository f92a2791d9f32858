//! The page with the real hub: the program, its store, its events.

use serde_json::json;

use super::browser::with_browser;
use crate::program::{Hub, reports, task};
use crate::stores::Place;

/// A node of the graph, found by its task's key.
fn node(key: &str) -> String {
    format!(
        "[...document.querySelectorAll('.node')].find((it) => it.textContent.includes('{key} '))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_graph_to_its_end_past_a_hub_that_is_killed() {
    let place = Place::sqlite();
    let mut hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let mut second = task("deploy");
    second["needs"] = json!(["build"]);
    let graph = admin.submit(json!([task("build"), second])).await;
    let beat = json!({
        "name": "w1", "instance": "w1-1", "roles": ["backend"], "host": "vm-1", "version": "1",
        "cpu_percent": 12.5, "memory_bytes": 1024,
    });
    admin.post("/agents/heartbeat", beat).await.expect(200);

    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        tab.until_line("Live").await;
        tab.value("window.__same = 1").await;
        tab.until(&format!("{}.dataset.state === 'ready'", node("build"))).await;
        tab.until(&format!("{}.dataset.state === 'waiting'", node("deploy"))).await;
        tab.until("document.querySelector('.agent').textContent.includes('w1')").await;

        let claimed = admin.claim("w1", 0).await.unwrap();
        let at = reports(&claimed);
        tab.until(&format!("{}.dataset.state === 'running'", node("build"))).await;
        let progress = json!({"percent": 40, "message": "compiling"});
        admin.post(&format!("{at}/heartbeat"), progress).await.expect(200);
        tab.until(&format!("{}.textContent.includes('40 %')", node("build"))).await;
        admin.post(&format!("{at}/complete"), json!({"summary": "built"})).await.expect(200);
        tab.until(&format!("{}.dataset.state === 'done'", node("build"))).await;
        tab.until(&format!("{}.dataset.state === 'ready'", node("deploy"))).await;
        tab.assert_calm().await;

        hub.kill();
        tab.until_line("No connection").await;
        assert_eq!(tab.count(".node").await, 2, "what was known stays");
        let hub = hub.again(&place);
        tab.value("document.querySelector('.banner button').click()").await;
        tab.until_line("Live").await;

        let claimed = admin.claim("w1", 0).await.unwrap();
        tab.until(&format!("{}.dataset.state === 'running'", node("deploy"))).await;
        let at = reports(&claimed);
        admin.post(&format!("{at}/complete"), json!({"summary": "deployed"})).await.expect(200);
        tab.until(&format!("{}.dataset.state === 'done'", node("deploy"))).await;
        let graph = admin.get(&format!("/graphs/{graph}")).await.expect(200);
        assert_eq!(graph["state"], "done");
        assert_eq!(tab.value("window.__same").await, 1, "the page was not loaded again");
        drop(hub);
    })
    .await;
}

/// `tasks status`, runs and other programs print these addresses.
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_has_an_address_of_its_own() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let first = admin.submit(json!([task("build")])).await;
    let second = admin.submit(json!([task("deploy")])).await;

    with_browser(async move |tab| {
        tab.open(&hub.url(&format!("/#/graphs/{first}"))).await;
        tab.until(&format!("!!{}", node("build"))).await;
        tab.open(&hub.url(&format!("/#/graphs/{second}"))).await;
        tab.until(&format!("!!{}", node("deploy"))).await;
        let choose = format!(
            "(() => {{ const it = document.getElementById('graph-choice'); it.value = '{first}'; \
             it.dispatchEvent(new Event('change')); return true; }})()"
        );
        tab.value(&choose).await;
        tab.until(&format!("location.hash === '#/graphs/{first}'")).await;
        tab.until(&format!("!!{}", node("build"))).await;
        tab.open(&hub.url("/#/graphs/4711")).await;
        tab.until("document.getElementById('main').innerText.includes('no graph 4711')").await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

/// The address of a list of runs names its filters.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_runs_is_filtered() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    for (nth, (environment, state)) in [
        ("staging", "verified"),
        ("staging", "stopped"),
        ("production", "verified"),
        ("staging", "stopped"),
    ]
    .iter()
    .enumerate()
    {
        let run = json!({"id": format!("r{nth}"), "environment": environment, "state": state});
        admin.post("/runs", run).await.expect(201);
    }

    with_browser(async move |tab| {
        let rows = |count: usize| {
            format!("document.querySelectorAll('.runs-page .runs-list li').length === {count}")
        };
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        tab.value("document.querySelector('.runs a[href=\"#/runs\"]').click()").await;
        tab.until(&rows(4)).await;
        let choose = "(() => { const it = document.getElementById('run-state'); \
            it.value = 'stopped'; it.dispatchEvent(new Event('change')); return true; })()";
        tab.value(choose).await;
        tab.until("location.hash === '#/runs?state=stopped'").await;
        tab.until(&rows(2)).await;
        tab.open(&hub.url("/#/runs?environment=staging&state=verified")).await;
        tab.until(&rows(1)).await;
        assert_eq!(
            tab.text("document.getElementById('run-environment').value").await,
            "staging",
            "the filter is that of the address"
        );
        let link = "document.querySelector('.runs-page .runs-list a').getAttribute('href')";
        assert_eq!(tab.text(link).await, "#/runs/r0");
        // One that is reported meanwhile comes by itself.
        let run = json!({"id": "r9", "environment": "staging", "state": "verified"});
        admin.post("/runs", run).await.expect(201);
        tab.until(&rows(2)).await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_shows_who_did_what() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let graph = admin.submit(json!([task("a"), task("b"), task("c")])).await;
    let first = admin.claim("w1", 0).await.unwrap();
    let failure = json!({"class": "code", "message": "exit 1", "retry": false});
    admin.post(&format!("{}/fail", reports(&first)), failure).await.expect(200);
    let second = admin.claim("w2", 0).await.unwrap();
    admin.post(&format!("{}/complete", reports(&second)), json!({})).await.expect(200);
    admin.claim("w2", 0).await.unwrap();

    with_browser(async move |tab| {
        tab.open(&hub.url(&format!("/#/graphs/{graph}"))).await;
        tab.until_loaded().await;
        tab.until("!!document.querySelector('.timeline-link')?.checkVisibility()").await;
        tab.value("document.querySelector('.timeline-link').click()").await;
        let bars = "[...document.querySelectorAll('.timeline-bar')].map((it) => it.dataset.state)";
        tab.until(&format!("{bars}.length === 3")).await;
        assert_eq!(tab.value(bars).await, json!(["failed", "succeeded", "running"]));
        let workers =
            "[...document.querySelectorAll('.timeline-page tbody th')].map((it) => it.textContent)";
        assert_eq!(tab.value(workers).await, json!(["w1", "w2"]));
        let hint = "document.querySelector('.timeline-bar title').textContent";
        assert!(tab.text(hint).await.contains("attempt 1, failed"));
        tab.assert_calm().await;
        tab.open(&hub.url("/#/graphs/4711/timeline")).await;
        tab.until("document.getElementById('main').innerText.includes('no graph 4711')").await;
        drop(hub);
    })
    .await;
}
