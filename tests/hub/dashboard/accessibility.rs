//! axe-core's checks on every page and state, in both colour schemes and on a phone.

use super::browser::{Tab, with_browser};
use super::seed;
use super::stage::{Hub, World};

const AXE: &str = include_str!("../../vendor/axe-core/axe.min.js");

async fn assert_accessible(tab: &Tab, what: &str) {
    tab.driver.execute(AXE, vec![]).await.unwrap();
    let run = "const done = arguments[0]; axe.run().then((result) => done(result.violations.map((one) => \
               one.id + ': ' + one.nodes.map((node) => node.target.join(' ') + ' ' + node.failureSummary).join('; '))))";
    let found = tab.driver.execute_async(run, vec![]).await.unwrap();
    let violations: Vec<String> = serde_json::from_value(found.json().clone()).unwrap();
    assert!(violations.is_empty(), "{what}: {violations:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_both_schemes_and_on_a_phone() {
    let mut world = seed::project();
    let task = world.task("1.6").id;
    let hub = Hub::start(world);
    with_browser(async move |tab| {
        for (scheme, width) in [("light", 1440), ("dark", 1440), ("light", 320)] {
            tab.prefer("prefers-color-scheme", scheme).await;
            tab.resize(width, 1000).await;
            for page in ["/", "/#/graph", &format!("/#/tasks/{task}"), "/#/runs/01JD3K9Y6W", "/#/nowhere"] {
                tab.open(&hub.url(page)).await;
                tab.until("!!document.querySelector('main h1') && !document.querySelector('.loading, .bone:not([hidden])')").await;
                assert_accessible(&tab, &format!("{page} {scheme} {width}")).await;
            }
            tab.open(&hub.url("/#/graph")).await;
            tab.until("document.querySelectorAll('.node').length === 28").await;
            tab.value("document.querySelectorAll('.switch button')[1].click()").await;
            assert_accessible(&tab, &format!("table {scheme} {width}")).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_empty_the_locked_and_the_lost_page() {
    let mut hub = Hub::start(World::default());
    let locked = Hub::start(World { token: Some("glh_1_x".to_owned()), ..World::default() });
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        assert_accessible(&tab, "empty").await;
        hub.stop();
        tab.until_line("No connection").await;
        assert_accessible(&tab, "disconnected").await;
        tab.open(&locked.url("/")).await;
        tab.until("!!document.getElementById('token')").await;
        assert_accessible(&tab, "locked").await;
    })
    .await;
}

/// With reduced motion, nothing is animated.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_when_motion_is_not_wanted() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.prefer("prefers-reduced-motion", "reduce").await;
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        assert_eq!(tab.value("document.getAnimations().length").await, 0);
        let page = tab.text("getComputedStyle(document.documentElement).scrollBehavior").await;
        assert_eq!(page, "auto");
    })
    .await;
}
