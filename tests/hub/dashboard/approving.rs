//! A person decides on the page, with the real hub: what waits is shown with its change, evidence
//! and review, and what was decided stands in the hub's record.

use serde_json::json;

use super::acting::{act, sign_in, submit};
use super::browser::with_browser;
use crate::farm::{Farm, command};
use crate::program::{Client, Hub};
use crate::stores::Place;

/// Asks about the tree of this digit; the request's id.
async fn ask(client: &Client, tree: &str) -> i64 {
    let body = json!({
        "run": "r1", "environment": "staging", "subject": "patch", "iteration": 2,
        "commit": "c".repeat(40), "base_tree": "b".repeat(40), "new_tree": tree.repeat(40),
        "policy": "d".repeat(40), "timeout_seconds": 600, "lease_seconds": 600,
        "request": "apply the patch of iteration 2?\n  ci_files in ci.yml: changes <b>CI</b>",
        "diff": "diff --git a/ci.yml b/ci.yml\n--- a/ci.yml\n+++ b/ci.yml\n@@ -1 +1 @@\n-a\n+b\n",
        "evidence": "error: <i>exit 1</i>", "review": "approved by jules (low risk)\nright",
    });
    client.post("/approvals", body).await.expect(201)["id"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_shown_decided_and_recorded() {
    let place = Place::sqlite();
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let token = place.token(&["--scope", "admin"]);
    let admin = hub.client(&token);
    let run = hub.client(&place.token(&["--scope", "work"]));
    let (first, second) = (ask(&run, "a").await, ask(&run, "e").await);

    with_browser(async move |tab| {
        tab.open(&hub.url("/#/approvals")).await;
        tab.until("document.querySelectorAll('.approvals-pending li').length === 2").await;
        let link = tab.text("document.querySelector('.approvals-pending a').hash").await;
        assert_eq!(link, format!("#/approvals/{second}"), "the latest first");

        tab.open(&hub.url(&format!("/#/approvals/{first}"))).await;
        tab.until("document.querySelectorAll('.code-line.is-added').length === 1").await;
        let page = tab.text("document.querySelector('.approval-page').textContent").await;
        for part in ["changes <b>CI</b>", "error: <i>exit 1</i>", "approved by jules", "ci.yml"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(
            tab.value("document.querySelector('.approval-page .action-row').checkVisibility()")
                .await,
            json!(false),
            "a reader decides nothing"
        );
        let hint = tab.text("document.querySelector('.sign-in-hint').textContent").await;
        assert!(hint.contains(&format!("greenloop approve {first}")), "{hint}");
        sign_in(&tab, &token).await;

        act(&tab, ".approval-page", "approve").await;
        submit(&tab, &json!({"reason": "looked at it"})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'approved'")
            .await;
        let facts = tab.text("document.querySelector('.facts').textContent").await;
        assert!(facts.contains("approved by test") && facts.contains("looked at it"), "{facts}");

        tab.open(&hub.url(&format!("/#/approvals/{second}"))).await;
        act(&tab, ".approval-page", "reject").await;
        submit(&tab, &json!({"reason": "not on a Friday"})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'rejected'")
            .await;

        tab.open(&hub.url("/#/approvals")).await;
        tab.until("document.querySelectorAll('.approvals-decided li').length === 2").await;
        // A decision made elsewhere is seen without a reload.
        let third = ask(&run, "f").await;
        tab.until("document.querySelectorAll('.approvals-pending li').length === 1").await;
        admin.post(&format!("/approvals/{third}/approve"), json!({})).await.expect(200);
        tab.until("document.querySelectorAll('.approvals-decided li').length === 3").await;

        let recorded = admin.get("/actions").await.expect(200);
        let recorded: Vec<_> = recorded["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (it["action"].as_str().unwrap(), it["reason"].as_str().unwrap()))
            .collect();
        assert_eq!(
            recorded,
            [
                ("approval.approve", ""),
                ("approval.reject", "not on a Friday"),
                ("approval.approve", "looked at it"),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_waits_is_found_in_the_queue_and_approved() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start(&place);
    let token = place.token(&["--scope", "admin"]);
    let admin = hub.client(&token);
    let mut careful = command("careful", "echo more > careful");
    careful["merge_approval"] = json!(true);
    let graph = admin.post("/graphs", farm.graph(json!([careful]))).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let worker_token = place.token(&["--scope", "work"]);
    let _worker = farm.worker(&hub, &worker_token, "w1").start();

    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until("document.querySelector('.git-list .badge[data-state=waiting]') !== null").await;
        let link = "document.querySelector('.git-list a[href^=\"#/approvals/\"]')";
        tab.until(&format!("{link}?.checkVisibility()")).await;
        tab.value(&format!("{link}.click()")).await;
        tab.until("document.querySelectorAll('.code-line.is-added').length === 1").await;
        let page = tab.text("document.querySelector('.approval-page').textContent").await;
        for part in ["merge task careful", "+more", "passed: test ! -e bad", "w1"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        sign_in(&tab, &token).await;
        act(&tab, ".approval-page", "approve").await;
        submit(&tab, &json!({"reason": "fine"})).await;
        tab.until("document.querySelector('.task-title .badge').dataset.state === 'approved'")
            .await;
        farm.ended(&admin, graph, "done").await;
        assert_eq!(farm.git(&["show", "main:careful"]), "more");
        tab.open(&hub.url("/#/")).await;
        tab.until("document.querySelector('.git-list .badge[data-state=merged]') !== null").await;
    })
    .await;
}
