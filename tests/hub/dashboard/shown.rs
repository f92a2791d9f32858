//! The content of the page.

use serde_json::json;

use super::browser::with_browser;
use super::seed;
use super::stage::{Hub, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_hub_is_shown_whole_and_without_a_complaint() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        tab.until_line("Live").await;
        assert_eq!(tab.text("document.querySelector('.head h1').textContent").await, "Architecture remediation");
        assert_eq!(tab.count(".node").await, 28);
        assert_eq!(tab.count(".edge").await, hub.world().tasks.iter().map(|task| task.needs.len()).sum::<usize>());
        assert_eq!(tab.count(".agent").await, 16);
        assert_eq!(tab.count(".epics-list li").await, 5);
        let alerts = tab.text("document.querySelector('.alerts-list').textContent").await;
        for alert in ["Agent down", "Merge conflict", "Task failed", "No progress"] {
            assert!(alerts.contains(alert), "{alert} in {alerts}");
        }
        let working = tab.text("[...document.querySelectorAll('.agent')].find((a) => a.textContent.includes('agent-d')).textContent").await;
        for part in ["1.3 Maintenance domain repositories", "62 %", "left", "12 of 14 tests pass", "CPU", "MiB", "worker-vm-1"] {
            assert!(working.contains(part), "{part} in {working}");
        }
        let figures = tab.text("document.querySelector('.figures').textContent").await;
        assert!(figures.contains("9.2 h/h") && figures.contains(" to "), "{figures}");
        assert_eq!(tab.count(".chart .band").await, 1);
        assert!(tab.count(".chart .column").await > 0);
        let git = tab.text("document.querySelector('.git').textContent").await;
        for part in ["conflict", "both changed lines", "testing", "merged", "task/3/e1"] {
            assert!(git.contains(part), "{part} in {git}");
        }
        assert_eq!(tab.count(".runs-list li").await, 2);
        assert!(tab.text("document.title").await.ends_with("% · Architecture remediation · Greenloop"));
        tab.assert_calm().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_a_page_with_its_diff_and_its_review() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        let id = hub.world().task("1.6").id;
        tab.open(&hub.url(&format!("/#/tasks/{id}"))).await;
        tab.until("document.querySelectorAll('.evidence-list > li').length === 5").await;
        assert_eq!(
            tab.text("document.querySelector('h1').textContent").await,
            "1.6 Remaining domain repositories"
        );
        assert_eq!(tab.count(".code-line.is-added").await, 3);
        assert_eq!(tab.count(".code-line.is-removed").await, 4);
        assert_ne!(
            tab.text("getComputedStyle(document.querySelector('.is-added')).backgroundColor").await,
            tab.text("getComputedStyle(document.querySelector('.is-removed')).backgroundColor")
                .await,
        );
        let page = tab.text("document.getElementById('main').innerText").await;
        for part in [
            "The query takes its value as a parameter.",
            "Needed by",
            "1.7 Migrate 186 routes",
            "succeeded",
            "agent-g",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert_eq!(tab.count("a[href^='javascript']").await, 0);
        tab.open(&hub.url("/#/tasks/4711")).await;
        tab.until("document.querySelector('h1')?.textContent === 'Not found'").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_outside_stays_text() {
    const HOSTILE: &str = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>";
    let mut world = seed::project();
    world.task("1.3").title = HOSTILE.to_owned();
    world.task("1.3").description = HOSTILE.to_owned();
    world.task("1.5").reason = Some(HOSTILE.to_owned());
    world.agents[3].host = HOSTILE.to_owned();
    world.attempts[0].message = Some(HOSTILE.to_owned());
    world.merges[4].reason = Some(HOSTILE.to_owned());
    let id = world.task("1.3").id;
    for item in &mut world.evidence {
        (item.task, item.title, item.body) = (id, HOSTILE.to_owned(), HOSTILE.to_owned());
    }
    let hub = Hub::start(world);
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        assert!(
            tab.text("document.querySelector('.alerts-list').textContent").await.contains(HOSTILE)
        );
        assert!(
            tab.text("document.querySelector('.agents-grid').textContent").await.contains(HOSTILE)
        );
        tab.open(&hub.url(&format!("/#/tasks/{id}"))).await;
        tab.until("document.querySelectorAll('.evidence-list > li').length === 5").await;
        assert!(tab.text("document.querySelector('h1').textContent").await.contains(HOSTILE));
        assert_eq!(tab.count("main img, main script").await, 0);
        assert!(tab.value("window.pwned").await.is_null());
        tab.assert_calm().await;
    })
    .await;
}

/// If a module fails to load, the page shows an error instead of staying blank.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_not_arrive_is_named() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        tab.cdp("Network.enable", json!({})).await;
        for file in ["/js/format.js", "/js/main.js"] {
            tab.cdp("Network.setBlockedURLs", json!({ "urls": [format!("*{file}")] })).await;
            tab.open("about:blank").await;
            tab.open(&hub.url("/")).await;
            tab.until(
                "document.querySelector('h1')?.textContent === 'The dashboard did not start'",
            )
            .await;
            let page = tab.text("document.getElementById('main').innerText").await;
            assert!(page.contains(file), "{page}");
        }
        tab.cdp("Network.setBlockedURLs", json!({ "urls": [] })).await;
        tab.value("document.querySelector('#start button').click()").await;
        tab.until_loaded().await;
        tab.until_line("Live").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_hub_says_what_to_type() {
    let hub = Hub::start(World::default());
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until_loaded().await;
        let page = tab.text("document.getElementById('main').innerText").await;
        assert!(
            page.contains(&format!("greenloop tasks import tasks.yaml --hub {}", hub.url(""))),
            "{page}"
        );
        tab.assert_calm().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_and_kept_in_the_tab_only() {
    let hub = Hub::start(World { token: Some("glh_1_right".to_owned()), ..seed::project() });
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until("!!document.getElementById('token')").await;
        tab.until_line("No access").await;
        for (token, expected) in [
            ("glh_1_wrong", "!!document.querySelector('.refused')"),
            ("glh_1_right", "document.querySelectorAll('.node').length === 28"),
        ] {
            tab.value("document.getElementById('token').focus()").await;
            tab.press(token).await;
            tab.press("\u{e007}").await;
            tab.until(expected).await;
        }
        assert_eq!(tab.value("localStorage.length").await, 0);
        assert_eq!(tab.text("document.cookie").await, "");
        assert_eq!(tab.text("location.href").await, hub.url("/"));
        tab.driver.refresh().await.unwrap();
        tab.until("document.querySelectorAll('.node').length === 28").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wider_than_a_small_phone() {
    let mut world = seed::project();
    world.task("1.4").title = "averylongtitlewithoutspaces".repeat(12);
    let id = world.task("1.6").id;
    let hub = Hub::start(world);
    with_browser(async move |tab| {
        tab.resize(320, 640).await;
        for page in ["/", "/#/graph", &format!("/#/tasks/{id}"), "/#/runs/01JD3K9Y6W", "/#/nowhere"]
        {
            tab.open(&hub.url(page)).await;
            tab.until("!!document.querySelector('main h1') && !document.querySelector('.loading')")
                .await;
            // A page that is being replaced by the next one may be wider for a moment.
            tab.until("document.documentElement.scrollWidth === 320").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_tasks_are_drawn() {
    let hub = Hub::start(seed::large(500));
    with_browser(async move |tab| {
        tab.open(&hub.url("/")).await;
        tab.until("document.querySelectorAll('.node').length === 500").await;
        let seen = "[...document.querySelectorAll('.node')].every((node) => { \
                    const a = node.getBoundingClientRect(), b = document.querySelector('.graph').getBoundingClientRect(); \
                    return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom; })";
        tab.until(seen).await;
        tab.assert_calm().await;
    })
    .await;
}
