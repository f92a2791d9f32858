//! The pictures of `docs/dashboard.md`: `just pictures`.

use std::path::Path;

use base64::Engine;
use serde_json::json;

use super::browser::{Tab, with_browser};
use super::seed;
use super::stage::Hub;

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

async fn save(tab: &Tab, name: &str) {
    let taken = tab.cdp("Page.captureScreenshot", json!({ "format": "png" })).await;
    let picture =
        base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/dashboard-{name}.png"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, picture).unwrap();
}
