//! The health check of a release that is about to serve, made directly at its private port.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use greenloop_config::nearest::nearest;
use greenloop_evidence::Redactor;
use greenloop_model::{Condition, Remedy, USUAL_HEALTH_PATHS};

/// Between two tries.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_factor(1.5)
    .with_min_delay(Duration::from_millis(20))
    .with_max_delay(Duration::from_millis(500))
    .without_max_times();
/// For each of the other paths.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// Bytes of an unhealthy answer that are shown.
const BODY: usize = 2048;

/// One health request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) url: String,
    pub(crate) status: Option<u16>,
    /// The beginning of the body as it came: [`Probe::shown_body`] is what may be shown of it.
    pub(crate) body: String,
    pub(crate) complaint: String,
    pub(crate) elapsed: Duration,
    /// Other paths at which the service answers, when it has none such.
    #[serde(default)]
    pub(crate) answers: Vec<String>,
}

impl Probe {
    /// The beginning of the body without its secrets.
    pub(crate) fn shown_body(&self, redactor: &Redactor) -> String {
        redactor.head(self.body.as_bytes(), BODY)
    }
}

/// A 404 of a service that is there: the paths that it has are what somebody wants to know.
async fn look_elsewhere(client: &reqwest::Client, timeout: Duration, probe: &mut Probe) {
    let Ok(asked) = reqwest::Url::parse(&probe.url) else { return };
    if probe.status != Some(404) {
        return;
    }
    for path in USUAL_HEALTH_PATHS.into_iter().filter(|path| *path != asked.path()) {
        let mut url = asked.clone();
        url.set_path(path);
        if ask(client, url.as_str(), timeout).await.is_ok() {
            probe.answers.push(path.to_owned());
        }
    }
    if !probe.answers.is_empty() {
        let answers = probe.answers.join(", ");
        let path = asked.path();
        probe.complaint = format!("the service has no {path} (404), but answers at {answers}");
    }
}

/// A client that asks the release itself: no proxy, no redirects, a connection a request. It speaks
/// plain HTTP, so the machine's certificates are not read.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
}

/// How long what serves may take to answer when it is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How what serves at `url`, a health check's address, is now.
pub(crate) async fn condition(url: &str) -> Condition {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return Condition::Unknown(format!("could not request {url}: {error}")),
    };
    match until_healthy(&client, url, LOOK, LOOK).await {
        Ok(_) => Condition::Serves,
        Err(Some(Probe { status: Some(status), .. })) => {
            Condition::Partly(format!("GET {url} answers {status}"))
        }
        Err(Some(Probe { status: None, .. }) | None) => {
            Condition::Down(format!("no answer from {url}"))
        }
    }
}

/// Asks until the answer is a success, for at most `wait`; the number of requests it took, or
/// the last request that failed.
pub(crate) async fn until_healthy(
    client: &reqwest::Client,
    url: &str,
    timeout: Duration,
    wait: Duration,
) -> Result<u32, Option<Probe>> {
    let deadline = Instant::now() + wait;
    let mut delays = RETRY.build();
    let mut requests = 0;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if let Some(last) = &mut last {
                look_elsewhere(client, timeout.min(ELSEWHERE), last).await;
            }
            return Err(last);
        }
        requests += 1;
        match ask(client, url, timeout.min(left)).await {
            Ok(()) => return Ok(requests),
            Err(probe) => last = Some(probe),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(delays.next().map_or(left, |delay| delay.min(left))).await;
    }
}

/// What helps where the service has no such path.
pub(crate) fn health_path(probe: &Probe) -> Option<Remedy> {
    let answers: Vec<&str> = probe.answers.iter().map(String::as_str).collect();
    let asked = reqwest::Url::parse(&probe.url).ok()?;
    let near = nearest(asked.path(), answers.iter().copied());
    let near = near.or_else(|| answers.first().copied())?;
    Some(Remedy::health_path(near))
}

async fn ask(client: &reqwest::Client, url: &str, timeout: Duration) -> Result<(), Probe> {
    let started = Instant::now();
    let probe = |status, body, complaint| Probe {
        url: url.to_owned(),
        status,
        body,
        complaint,
        elapsed: started.elapsed(),
        answers: Vec::new(),
    };
    match client.get(url).timeout(timeout).send().await {
        Ok(mut response) => {
            let status = response.status();
            if status.is_success() || status.is_redirection() {
                return Ok(());
            }
            let mut body = Vec::new();
            while body.len() < Redactor::margin(BODY)
                && let Ok(Some(piece)) = response.chunk().await
            {
                body.extend_from_slice(&piece);
            }
            body.truncate(Redactor::margin(BODY));
            let body = String::from_utf8_lossy(&body).into_owned();
            let code = status.as_u16();
            Err(probe(Some(code), body, format!("answered {code}")))
        }
        Err(error) if error.is_timeout() => {
            Err(probe(None, String::new(), format!("no answer within {timeout:?}")))
        }
        Err(error) if error.is_connect() => {
            Err(probe(None, String::new(), "nothing listens on the port in PORT".to_owned()))
        }
        Err(_) => Err(probe(None, String::new(), "the answer is not HTTP".to_owned())),
    }
}
