//! The pictures of `docs/dashboard.md`: `just pictures`.

use std::path::Path;

use base64::Engine;
use serde_json::{Value, json};

use super::browser::{Tab, with_browser};
use super::seed;
use super::stage::Hub;
use crate::program::{self, Client, graph, reports, task};
use crate::stores::Place;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/images"]
async fn write_the_pictures_of_the_docs() {
    let hub = Hub::start(seed::project());
    with_browser(async move |tab| {
        // The first screen in light colours, the part below it in dark ones.
        for (name, scheme, width, height, from) in [
            ("light", "light", 1360, 1460, ".top"),
            ("dark", "dark", 1360, 1400, ".agents"),
            ("phone", "light", 390, 1400, ".top"),
        ] {
            tab.prefer("prefers-color-scheme", scheme).await;
            tab.resize(width, height).await;
            tab.open(&hub.url("/")).await;
            tab.until("document.querySelectorAll('.node').length === 28").await;
            tab.until_line("Live").await;
            // Without animation, because a screenshot would show a page in transition.
            tab.value(&format!(
                "scrollTo({{ behavior: 'instant', \
                 top: document.querySelector({from:?}).getBoundingClientRect().top - 16 }})"
            ))
            .await;
            save(&tab, name).await;
        }
    })
    .await;
}

/// Tasks of the large graph.
const TASKS: usize = 2_400;
/// Bytes of a picture in the repository.
const LARGEST: usize = 150 << 10;

/// The pictures of a real hub: the program with its store, workers that report over HTTP, a graph
/// of which a part is done.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/images"]
async fn write_the_pictures_of_a_real_hub() {
    let place = Place::sqlite();
    let hub = program::Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let admin = hub.admin(&place);
    let mut body = graph(large_graph());
    body["name"] = json!("Migration of the fleet");
    body["epics"] = (1..=6).map(|nth| json!({"key": nth.to_string(), "title": "Part"})).collect();
    let id = admin.post("/graphs", body).await.expect(201)["id"].clone();
    work(&admin).await;
    with_browser(async move |tab| {
        let page = hub.url(&format!("/#/graphs/{id}"));
        for (name, scheme, width, height) in [
            ("graph-light", "light", 1360, 900),
            ("graph-dark", "dark", 1360, 900),
            ("graph-phone", "dark", 390, 800),
        ] {
            tab.prefer("prefers-color-scheme", scheme).await;
            tab.resize(width, height).await;
            tab.open("about:blank").await;
            tab.open(&page).await;
            let drawn =
                format!("document.querySelector('.graph-large')?.dataset.tasks === '{TASKS}'");
            tab.until(&drawn).await;
            tab.until_line("Live").await;
            if name != "graph-light" {
                tab.value("document.querySelector('.canvas-task').focus()").await;
                let labels = "document.querySelector('.graph-large').dataset.labels";
                while tab.text(labels).await != "titles" {
                    tab.press("+").await;
                }
            }
            save_webp(&tab, name).await;
        }
    })
    .await;
}

/// Six epics of twelve levels, each task after two or three of the level before.
fn large_graph() -> Value {
    const AREAS: [&str; 6] =
        ["gateway", "billing", "search", "accounts", "reports", "notifications"];
    const STEPS: [&str; 4] = ["Move", "Test", "Document", "Measure"];
    let level = TASKS / 72;
    let tasks = (0..TASKS).map(|nth| {
        let mut task = task(&format!("T{}", nth + 1));
        let (row, column) = (nth % level, nth / level % 12);
        let area = AREAS[nth / level / 12 % 6];
        task["title"] = json!(format!("{} the {area}, part {}", STEPS[nth % 4], row + 1));
        task["epic"] = json!((nth / level / 12 + 1).min(6).to_string());
        task["hours"] = json!(1 + nth % 5);
        let before = |shift: usize| format!("T{}", nth - level - row + (row + shift) % level + 1);
        if column > 0 {
            task["needs"] = json!([before(0), before(1), before(7)]);
        }
        task
    });
    tasks.collect()
}

/// Eight workers finish a quarter, and are at work.
async fn work(admin: &Client) {
    let workers: Vec<String> = (1..=8).map(|nth| format!("vm-{nth}")).collect();
    for name in &workers {
        let beat = json!({
            "name": name, "instance": format!("{name}-1"), "roles": ["backend"], "host": name,
            "version": env!("CARGO_PKG_VERSION"), "cpu_percent": 37.5,
        });
        admin.post("/agents/heartbeat", beat).await.expect(200);
    }
    for nth in 0..TASKS / 4 {
        let claimed = admin.claim(&workers[nth % 8], 0).await.unwrap();
        let at = reports(&claimed);
        admin.post(&format!("{at}/complete"), json!({"summary": "done"})).await.expect(200);
    }
    for (name, percent) in workers.iter().zip([15, 80, 45, 60, 30, 95, 5, 70]) {
        let claimed = admin.claim(name, 0).await.unwrap();
        let at = reports(&claimed);
        admin.post(&format!("{at}/heartbeat"), json!({"percent": percent})).await.expect(200);
    }
}

/// Thousands of thin lines: a WebP of them is a tenth of a PNG.
async fn save_webp(tab: &Tab, name: &str) {
    let how = json!({ "format": "webp", "quality": 60 });
    write(&format!("{name}.webp"), &tab.cdp("Page.captureScreenshot", how).await);
}

async fn save(tab: &Tab, name: &str) {
    let taken = tab.cdp("Page.captureScreenshot", json!({ "format": "png" })).await;
    write(&format!("{name}.png"), &taken);
}

fn write(name: &str, taken: &Value) {
    let picture =
        base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/dashboard-{name}"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // PNG files are made smaller afterwards.
    assert!(name.ends_with(".png") || picture.len() < LARGEST, "{name}: {} bytes", picture.len());
    std::fs::write(path, picture).unwrap();
}
