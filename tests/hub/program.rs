//! A running hub, and its clients.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::stores::Place;

pub(crate) fn greenloop() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenloop"));
    command.env_remove("GREENLOOP_STORE").env_remove("GREENLOOP_REDIS");
    command
}

/// A running `greenloop hub serve`; killed on drop.
pub(crate) struct Hub {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) scheme: &'static str,
    /// Its output when it was ready.
    pub(crate) greeting: String,
    log: Arc<Mutex<String>>,
}

impl Hub {
    /// On any free port.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_with(place, &["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn start_with(place: &Place, arguments: &[&str]) -> Self {
        Self::try_start(place, arguments).unwrap_or_else(|log| panic!("the hub ended: {log}"))
    }

    /// With these variables.
    pub(crate) fn start_env(place: &Place, arguments: &[&str], env: &[(&str, String)]) -> Self {
        let started = Self::try_start_env(place, arguments, env);
        started.unwrap_or_else(|log| panic!("the hub ended: {log}"))
    }

    /// Or its output before it exited.
    pub(crate) fn try_start(place: &Place, arguments: &[&str]) -> Result<Self, String> {
        Self::try_start_env(place, arguments, &[])
    }

    fn try_start_env(
        place: &Place,
        arguments: &[&str],
        env: &[(&str, String)],
    ) -> Result<Self, String> {
        let mut child = greenloop()
            .args(["hub", "serve", "--debug", "--store", &place.url])
            // Gates here tell tests things through files outside their work trees.
            .args(["--sandbox", "off", "--pass-env", "*"])
            .args(arguments)
            .env("XDG_CACHE_HOME", place.folder.path())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::clone(&log);
        let collector = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|n| n > 0) {
                lines.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut greeting, mut at) = (String::new(), None);
        while at.is_none() || !greeting.contains("\n  reading ") {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                collector.join().unwrap();
                return Err(log.lock().unwrap().clone());
            }
            if let Some((scheme, rest)) =
                line.trim().strip_prefix("dashboard").and_then(|it| it.trim().split_once("://"))
            {
                let scheme = if scheme == "https" { "https" } else { "http" };
                at = Some((scheme, rest.trim_end_matches('/').parse::<SocketAddr>().unwrap()));
            }
            greeting.push_str(&line);
        }
        std::thread::spawn(move || stdout.read_to_string(&mut String::new()));
        let (scheme, address) = at.unwrap();
        Ok(Self { child, address, scheme, greeting, log })
    }

    /// Restarts with the same store and address.
    pub(crate) fn again(self, place: &Place) -> Self {
        self.again_with(place, &[])
    }

    pub(crate) fn again_with(self, place: &Place, arguments: &[&str]) -> Self {
        let address = self.address.to_string();
        drop(self);
        Self::start_with(place, &[&["--listen", &address], arguments].concat())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: it cannot sign off.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; requires success, and returns how long it took to exit.
    pub(crate) fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.terminate();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        began.elapsed()
    }

    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        Client {
            // A pooled connection is useless after its hub was killed.
            http: reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            base: self.url("/api/v1"),
            token: (!token.is_empty()).then(|| token.to_owned()),
        }
    }

    /// A client with the scope `admin`.
    pub(crate) fn admin(&self, place: &Place) -> Client {
        self.client(&place.token(&["--scope", "admin"]))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A client of a hub.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// The body; requires this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self.body
    }

    /// A problem of this kind, with all fields of a problem.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{:#}", self.body);
        assert_eq!(self.body["type"], format!("urn:greenloop:problem:{kind}"), "{:#}", self.body);
        assert_eq!(self.body["status"], status, "{:#}", self.body);
        for part in ["title", "detail"] {
            assert!(self.body[part].as_str().is_some_and(|it| !it.is_empty()), "{:#}", self.body);
        }
    }
}

impl Client {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, path).header("idempotency-key", key);
        Answer::of(request.json(&body).send().await.unwrap()).await
    }

    /// Submits a graph of these tasks; returns its id.
    pub(crate) async fn submit(&self, tasks: Value) -> i64 {
        let graph = graph(tasks);
        self.post("/graphs", graph).await.expect(201)["id"].as_i64().unwrap()
    }

    /// Claims for an agent with these roles, with this wait.
    pub(crate) async fn claim(&self, agent: &str, wait: u32) -> Option<Value> {
        let answer = self.post("/claims", claim(agent, wait)).await;
        match answer.status.as_u16() {
            204 => None,
            _ => Some(answer.expect(200)),
        }
    }
}

pub(crate) fn claim(agent: &str, wait: u32) -> Value {
    json!({
        "agent": agent, "instance": format!("{agent}-1"), "roles": ["backend"],
        "lease_seconds": 60, "wait_seconds": wait,
    })
}

pub(crate) fn graph(tasks: Value) -> Value {
    json!({"project": "demo", "name": "demo", "target": "main", "tasks": tasks})
}

pub(crate) fn task(key: &str) -> Value {
    json!({"key": key, "title": format!("Task {key}"), "action": {"command": "true"}, "hours": 1})
}

pub(crate) fn tasks(count: usize) -> Value {
    (0..count).map(|n| task(&n.to_string())).collect()
}

/// The path of reports on a claim.
pub(crate) fn reports(claimed: &Value) -> String {
    format!("/tasks/{}/attempts/{}", claimed["task"]["id"], claimed["epoch"])
}

/// Waits until a condition holds.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
