//! What a person does on the page, with the real hub: each action is clicked, and looked up in the
//! hub's own record.

use serde_json::{Value, json};

use super::browser::{Tab, with_browser};
use crate::program::{Client, Hub, graph, reports, task};
use crate::stores::Place;

/// Signs in on the page.
pub(super) async fn sign_in(tab: &Tab, token: &str) {
    tab.until("document.getElementById('sign-in').textContent === 'Sign in'").await;
    tab.value("document.getElementById('sign-in').click()").await;
    submit(tab, &json!({ "token": token })).await;
    tab.until("document.getElementById('sign-in').textContent === 'Sign out'").await;
    tab.until("document.querySelector('.who').textContent === 'test (admin)'").await;
}

/// Fills in the dialog, submits it, and waits until it is closed.
pub(super) async fn submit(tab: &Tab, values: &Value) {
    fill(tab, values).await;
    tab.until("!document.querySelector('dialog')").await;
}

async fn fill(tab: &Tab, values: &Value) {
    tab.until("!!document.querySelector('dialog[open]')").await;
    let set = format!(
        "(() => {{ for (const [name, value] of Object.entries({values})) {{ \
         const it = document.querySelector(`dialog [name='${{name}}']`); \
         if (it.type === 'checkbox') it.checked = value; else it.value = value; }} \
         document.querySelector('dialog form').requestSubmit(); return true; }})()"
    );
    tab.value(&set).await;
}

/// Clicks an action in the part of the page that a selector finds.
pub(super) async fn act(tab: &Tab, within: &str, action: &str) {
    let button = format!("document.querySelector(\"{within} [data-action='{action}']\")");
    tab.until(&format!("!!{button} && {button}.checkVisibility()")).await;
    tab.value(&format!("{button}.click()")).await;
}

/// The latest record of what people did.
async fn latest(admin: &Client) -> (String, String) {
    let found = admin.get("/actions?limit=1").await.expect(200);
    let text = |name: &str| found["items"][0][name].as_str().unwrap_or_default().to_owned();
    (text("action"), text("reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_is_done_and_recorded() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let token = place.token(&["--scope", "admin"]);
    let admin = hub.client(&token);
    let mut body = graph(json!([task("build"), task("deploy")]));
    body["repository"] = json!("https://git.example/demo.git");
    body["tasks"][1]["needs"] = json!(["build"]);
    admin.post("/graphs", body).await.expect(201);
    let beat = json!({
        "name": "w1", "instance": "w1-1", "roles": ["backend"], "host": "h", "version": "1",
    });
    admin.post("/agents/heartbeat", beat.clone()).await.expect(200);
    let build = admin.get("/tasks").await.expect(200)["items"][0]["id"].clone();

    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        assert_eq!(
            tab.value(
                "[...document.querySelectorAll('.action-row')].some((it) => it.checkVisibility())"
            )
            .await,
            json!(false),
            "a reader is offered nothing"
        );
        sign_in(&tab, &token).await;

        act(&tab, ".head", "pause").await;
        submit(&tab, &json!({"reason": "the demo"})).await;
        tab.until("document.querySelector('.paused-note').checkVisibility()").await;
        assert_eq!(latest(&admin).await, ("graph.pause".to_owned(), "the demo".to_owned()));
        assert_eq!(admin.claim("w1", 0).await, None);
        act(&tab, ".head", "resume").await;
        submit(&tab, &json!({})).await;
        tab.until("!document.querySelector('.paused-note').checkVisibility()").await;

        act(&tab, ".head", "add").await;
        submit(&tab, &json!({"key": "docs", "title": "Docs", "command": "true", "needs": "build"}))
            .await;
        tab.until("document.querySelectorAll('.node').length === 3").await;
        assert_eq!(latest(&admin).await.0, "task.add");

        for (action, record) in [
            ("quarantine", "agent.quarantine"),
            ("release", "agent.release"),
            ("deactivate", "agent.deactivate"),
            ("activate", "agent.activate"),
        ] {
            act(&tab, ".agent", action).await;
            submit(&tab, &json!({"reason": action})).await;
            assert_eq!(latest(&admin).await, (record.to_owned(), action.to_owned()));
        }

        // The task's own page.
        tab.open(&hub.url(&format!("/#/tasks/{build}"))).await;
        act(&tab, ".task-page", "edit").await;
        submit(&tab, &json!({"title": "Build it", "priority": "1", "reason": "clearer"})).await;
        tab.until("document.querySelector('h1').textContent === 'build Build it'").await;
        act(&tab, ".task-page", "assign").await;
        submit(&tab, &json!({"agent": "w1"})).await;
        tab.until("document.querySelector('.facts').textContent.includes('Only forw1')").await;
        act(&tab, ".task-page", "take-over").await;
        submit(&tab, &json!({"reason": "tricky"})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'blocked'").await;
        act(&tab, ".task-page", "retry").await;
        submit(&tab, &json!({"dependants": true})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'ready'").await;

        // Somebody was faster: the dialog says in which state the task is, and stays.
        act(&tab, ".task-page", "edit").await;
        let claimed = admin.claim("w1", 0).await.unwrap();
        fill(&tab, &json!({"title": "Build it again"})).await;
        tab.until("!document.querySelector('dialog .refused').hidden").await;
        let refused = tab.text("document.querySelector('dialog .refused').textContent").await;
        assert!(refused.contains("is running (attempt 1 by w1)"), "{refused}");
        tab.value("document.querySelector('dialog').close()").await;
        let pushed = json!({"commit": "a".repeat(40), "summary": "s"});
        admin.post(&format!("{}/complete", reports(&claimed)), pushed).await.expect(200);

        // The merge queue.
        tab.open(&hub.url("/#/")).await;
        act(&tab, ".holds", "pause").await;
        submit(&tab, &json!({"reason": "release"})).await;
        assert_eq!(latest(&admin).await, ("queue.pause".to_owned(), "release".to_owned()));
        act(&tab, ".holds", "resume").await;
        submit(&tab, &json!({})).await;
        act(&tab, ".git-list:not(.holds)", "eject").await;
        submit(&tab, &json!({"reason": "not now"})).await;
        assert_eq!(latest(&admin).await, ("merge.eject".to_owned(), "not now".to_owned()));
        act(&tab, ".git-list:not(.holds)", "retry").await;
        submit(&tab, &json!({})).await;
        assert_eq!(latest(&admin).await.0, "merge.requeue");
        act(&tab, ".git-list:not(.holds)", "eject").await;
        submit(&tab, &json!({})).await;

        tab.open(&hub.url(&format!("/#/tasks/{build}"))).await;
        act(&tab, ".task-page", "resolve").await;
        submit(&tab, &json!({"commit": "b".repeat(40), "reason": "by hand"})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'done'").await;
        tab.until("document.querySelector('.operator-actions').textContent.includes('by hand')")
            .await;

        tab.open(&hub.url("/#/")).await;
        act(&tab, ".agent", "drain").await;
        submit(&tab, &json!({})).await;
        assert_eq!(latest(&admin).await.0, "agent.drain");
        act(&tab, ".head", "cancel").await;
        submit(&tab, &json!({"reason": "enough"})).await;
        tab.until("document.querySelector('.about').textContent.includes('cancelled')").await;
        // The browser notes the answer 409 of the edit that came too late.
        let troubles = tab.troubles().await;
        assert!(troubles.iter().all(|it| it.contains("409")), "{troubles:#?}");

        tab.value("document.getElementById('sign-in').click()").await;
        tab.until(
            "![...document.querySelectorAll('.action-row')].some((it) => it.checkVisibility())",
        )
        .await;
        drop(hub);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_shown_while_it_is_written() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(json!([task("build")])).await;
    let claimed = admin.claim("w1", 0).await.unwrap();
    let (at, id) = (reports(&claimed), claimed["task"]["id"].clone());
    let red = "\u{1b}[31mred\u{1b}[0m <b>text</b>\n";
    admin.post(&format!("{at}/log"), json!({"offset": 0, "text": red})).await.expect(200);

    with_browser(async move |tab| {
        tab.open(&hub.url(&format!("/#/tasks/{id}"))).await;
        tab.until("document.querySelector('.live-log')?.textContent === 'red <b>text</b>\\n'")
            .await;
        assert_eq!(
            tab.text("document.querySelector('.live-log .ansi-fg-red').textContent").await,
            "red"
        );
        tab.until("document.querySelector('.log > .more').textContent === 'Live.'").await;
        let more = json!({"offset": red.len(), "text": "more\n"});
        admin.post(&format!("{at}/log"), more).await.expect(200);
        tab.until("document.querySelector('.live-log').textContent.endsWith('more\\n')").await;
        admin.post(&format!("{at}/complete"), json!({})).await.expect(200);
        tab.until("document.querySelector('.log > .more').textContent === 'Ended.'").await;
        tab.value(
            "(() => { document.querySelector('.log-search input').value = 'MORE'; \
             document.querySelector('.log-search').requestSubmit(); return true; })()",
        )
        .await;
        tab.until("document.querySelector('.log-matches code')?.textContent === 'more'").await;
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}

/// A report comes with the token of the tab, which a plain link would not carry.
#[tokio::test(flavor = "multi_thread")]
async fn a_graphs_page_hands_out_its_report() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let graph = hub.admin(&place).submit(json!([task("build")])).await;

    with_browser(async move |tab| {
        tab.open(&hub.url(&format!("/#/graphs/{graph}"))).await;
        tab.until_loaded().await;
        tab.value(
            "(() => { window.saved = []; const make = URL.createObjectURL; \
             URL.createObjectURL = (blob) => { blob.text().then((it) => saved.push(it)); \
             return make.call(URL, blob); }; return true; })()",
        )
        .await;
        for (format, file, begin) in [
            ("html", "html", "<!doctype html>".to_owned()),
            ("markdown", "md", format!("# Graph {graph}: ")),
        ] {
            let button = format!("document.querySelector(\"[data-report='{format}']\")");
            tab.until(&format!("!!{button} && {button}.checkVisibility()")).await;
            tab.value(&format!("{button}.click()")).await;
            let note = format!("'Saved as graph-{graph}-report.{file}'");
            let row = "document.querySelector('.report-row [role=status]').textContent";
            tab.until(&format!("{row} === {note}")).await;
            tab.until(&format!("saved.some((it) => it.startsWith({begin:?}))")).await;
        }
        tab.assert_calm().await;
        drop(hub);
    })
    .await;
}
