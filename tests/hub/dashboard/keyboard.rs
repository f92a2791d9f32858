//! Everything is usable without a pointer.

use super::browser::with_browser;
use super::seed;
use super::stage::Hub;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const HOME: &str = "\u{e011}";

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_with_the_keyboard() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        tab.until("document.querySelectorAll('.node').length === 28").await;

        tab.press(TAB).await;
        assert_eq!(tab.focused().await, "a skip");
        assert!(
            tab.value("document.activeElement.getBoundingClientRect().left >= 0")
                .await
                .as_bool()
                .unwrap()
        );
        tab.press(ENTER).await;
        assert_eq!(tab.focused().await, "main main");

        // The graph is one tab stop, whatever its size.
        assert_eq!(tab.count(".node[tabindex='0']").await, 1);
        let mut stops = 0;
        while !tab.focused().await.starts_with("a node") {
            tab.press(TAB).await;
            stops += 1;
            assert!(stops < 40, "the graph is not reached");
        }
        assert!(
            tab.value("document.activeElement.matches(':focus-visible')").await.as_bool().unwrap()
        );
        tab.press(HOME).await;
        let label = "document.activeElement.getAttribute('aria-label')";
        let first = tab.text(label).await;
        tab.press(RIGHT).await;
        let second = tab.text(label).await;
        assert_ne!(first, second);
        assert_eq!(tab.count(".node[tabindex='0']").await, 1);
        tab.press(LEFT).await;
        assert_ne!(tab.text(label).await, second);
        tab.press(TAB).await;
        assert!(tab.focused().await.starts_with("button"), "out of the graph again");

        tab.value("document.querySelector('.node[tabindex=\"0\"]').focus()").await;
        let key = tab.text("document.activeElement.querySelector('.node-key').textContent").await;
        tab.press(ENTER).await;
        tab.until(&format!(
            "document.querySelector('h1')?.textContent.startsWith({:?})",
            format!("{key} ")
        ))
        .await;
        assert_eq!(tab.focused().await, "main main");
        tab.driver.back().await.unwrap();
        tab.until("document.querySelectorAll('.node').length === 28").await;
        tab.assert_calm().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_can_be_read_as_a_table() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/#/graph")).await;
        tab.until("document.querySelectorAll('.node').length === 28").await;
        tab.value("document.querySelectorAll('.switch button')[1].focus()").await;
        tab.press(ENTER).await;
        tab.until("document.querySelectorAll('.task-table tbody tr').length === 28").await;
        tab.value("document.getElementById('task-words').focus()").await;
        tab.press("schema").await;
        tab.until("document.querySelectorAll('.task-table tbody tr').length === 5").await;
        assert_eq!(
            tab.text("document.querySelector('.filter [role=status]').textContent").await,
            "5 of 28"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zooming_and_fitting() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/#/graph")).await;
        tab.until("document.querySelectorAll('.node').length === 28").await;
        let scale = "document.querySelector('.graph > g').getAttribute('transform')";
        let before = tab.text(scale).await;
        tab.value("document.querySelector('.node[tabindex=\"0\"]').focus()").await;
        tab.press("+").await;
        let larger = tab.text(scale).await;
        assert_ne!(larger, before);
        tab.press("0").await;
        assert_eq!(tab.text(scale).await, before);
    })
    .await;
}
