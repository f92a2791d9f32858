//! A browser per test, and common queries.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::LoggingPrefsLogLevel;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::prelude::*;

/// How long a page may take to show something; machines under load are slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a browser that was told to end may take.
const ENDING: Duration = Duration::from_secs(20);

/// Installed before the page's scripts: collects errors of the page.
const WITNESS: &str = "
window.__troubles = [];
const trouble = (what) => window.__troubles.push(String(what));
addEventListener('error', (event) => trouble('error: ' + event.message));
addEventListener('unhandledrejection', (event) => trouble('rejection: ' + event.reason));
document.addEventListener('securitypolicyviolation', (event) =>
  trouble('policy: ' + event.violatedDirective + ' ' + event.blockedURI));
for (const name of ['error', 'warn']) {
  const before = console[name];
  console[name] = (...all) => { trouble(name + ': ' + all.join(' ')); before.apply(console, all); };
}";

/// A tab, for as long as a test lasts.
#[derive(Clone)]
pub(crate) struct Tab {
    pub(crate) driver: WebDriver,
}

/// Runs `test` with a new browser, and always ends the browser.
pub(crate) async fn with_browser<F, Done>(test: F)
where
    F: FnOnce(Tab) -> Done,
    Done: Future<Output = ()> + Send + 'static,
{
    let profile = tempfile::tempdir().unwrap();
    let (mut process, port) = chromedriver(profile.path());
    let mut wanted = DesiredCapabilities::chrome();
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        "--window-size=1440,1000",
        &format!("--user-data-dir={}", profile.path().display()),
    ] {
        wanted.add_arg(argument).unwrap();
    }
    wanted.set_logging_prefs("browser", LoggingPrefsLogLevel::All).unwrap();
    let driver = WebDriver::new(&format!("http://127.0.0.1:{port}"), wanted).await.unwrap();
    let tab = Tab { driver: driver.clone() };
    tab.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITNESS })).await;
    // In a separate task, so that a failed assertion does not leave the browser running.
    let outcome = tokio::spawn(test(tab)).await;
    let closed = driver.quit().await;
    let end = Instant::now() + ENDING;
    while runs_in(profile.path()) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _ = process.kill();
    let _ = process.wait();
    if let Err(failure) = outcome {
        std::panic::resume_unwind(failure.into_panic());
    }
    closed.unwrap();
}

/// Whether a browser with that profile still runs, and writes into it.
fn runs_in(profile: &Path) -> bool {
    let profile = format!("--user-data-dir={}", profile.display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(&profile))
}

/// Starts a driver on a free port and waits until it prints the port. What it and the browser leave
/// in the temporary folder goes with `folder`.
fn chromedriver(folder: &Path) -> (Child, u16) {
    let mut process = Command::new("chromedriver")
        .arg("--port=0")
        .env("TMPDIR", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("chromedriver (Debian: chromium, chromium-driver): {error}")
        });
    let output = BufReader::new(process.stdout.take().unwrap());
    let port = output.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    (process, port.unwrap())
}

impl Tab {
    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// The value of an expression in the page.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let found = self.driver.execute(format!("return ({expression})"), vec![]).await;
        found.unwrap_or_else(|error| panic!("{expression}: {error}")).json().clone()
    }

    pub(crate) async fn text(&self, expression: &str) -> String {
        self.value(expression).await.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn count(&self, selector: &str) -> usize {
        let number = self.value(&format!("document.querySelectorAll({selector:?}).length")).await;
        usize::try_from(number.as_u64().unwrap()).unwrap()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression).await != Value::Bool(true) {
            if Instant::now() >= end {
                let page = self.text("document.body.innerText").await;
                panic!("never true: {expression}\n{page}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the overview is complete.
    pub(crate) async fn until_loaded(&self) {
        self.until(
            "!!document.querySelector('.agent, .note:not(#start)') && !document.querySelector('.loading')",
        )
        .await;
    }

    /// Waits until the header shows that text.
    pub(crate) async fn until_line(&self, word: &str) {
        self.until(&format!("document.getElementById('line').textContent === {word:?}")).await;
    }

    pub(crate) async fn press(&self, keys: impl AsRef<str>) {
        self.driver.action_chain().send_keys(keys.as_ref()).perform().await.unwrap();
    }

    /// The focused element: its tag, and its id, class or text.
    pub(crate) async fn focused(&self) -> String {
        self.text(
            "(() => { const e = document.activeElement; \
             return e.tagName.toLowerCase() + ' ' + (e.id || e.getAttribute('class') || e.textContent.slice(0, 40)); })()",
        )
        .await
    }

    /// The screen of a phone, or any other.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", screen).await;
    }

    pub(crate) async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.cdp("Emulation.setEmulatedMedia", features).await;
    }

    pub(crate) async fn cdp(&self, command: &str, arguments: Value) -> Value {
        self.driver.cdp().send_raw(command, arguments).await.unwrap()
    }

    /// Errors, rejections, violations of the policy, and everything in the console.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let mut found: Vec<String> =
            serde_json::from_value(self.value("window.__troubles").await).unwrap();
        let console = self.driver.browser_log().await.unwrap();
        // Messages of the browser's own pages, such as a new tab, do not count.
        let ours = console.into_iter().filter(|entry| !entry.message.starts_with("chrome://"));
        found.extend(ours.map(|entry| format!("console: {}", entry.message)));
        found
    }

    pub(crate) async fn assert_calm(&self) {
        let troubles = self.troubles().await;
        assert!(troubles.is_empty(), "{troubles:#?}");
    }
}
