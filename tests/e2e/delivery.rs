//! From a commit to a container: a real Docker Engine and a real registry, agents that answer
//! from a recording.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::repository::{Outcome, Repository, free_port, get};
use crate::run::APPROVE;
use crate::services::services;

/// A repository whose service is a page in a container. Dropping it removes its containers.
struct Shop {
    repository: Repository,
    docker: String,
    environment: String,
    port: u16,
}

const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY page.txt /www/index.html
COPY health /www/health
RUN ["/bin/busybox", "grep", "-q", "hello", "/www/index.html"]
CMD ["/bin/busybox", "httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
"#;

impl Shop {
    fn new(dockerfile: &str, transcript: &str) -> Option<Self> {
        let (docker, registry) = services()?;
        let port = free_port();
        let environment = format!("e2e-{port}");
        let config = format!(
            r#"environments:
  {environment}:
    url: http://127.0.0.1:{port}
build:
  registry: {registry}
  image_name: greenloop-e2e/shop-{port}
  docker_host: {docker}
deploy:
  method: docker
  wait_timeout: 30
  docker:
    docker_host: {docker}
    container_port: 8080
verification:
  health_check: {{ timeout: 5, retries: 3 }}
  user_flows:
    - name: page
      steps:
        - request: GET /
          expect: {{ status: 200, body_contains: hello }}
agents:
  codex: {{ provider: replay, transcript: transcript.jsonl }}
  jules: {{ provider: replay, transcript: transcript.jsonl }}
"#
        );
        let repository = Repository::new(&[
            ("config.yaml", &config),
            ("Dockerfile", dockerfile),
            ("page.txt", "hello one\n"),
            ("health", "ok\n"),
            ("transcript.jsonl", transcript),
            (".gitignore", "/busybox\n"),
            (".dockerignore", ".git\nlogs\n"),
        ]);
        std::fs::copy("/bin/busybox", repository.path().join("busybox")).unwrap();
        Some(Self { repository, docker, environment, port })
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all = arguments.to_vec();
        all.extend(["--environment", &self.environment]);
        self.repository.run(&all)
    }

    fn page(&self) -> Option<String> {
        get(self.port, "/").map(|(_, body)| body)
    }

    /// The engine's answer to a request, as JSON.
    fn engine(&self, method: &str, path: &str) -> serde_json::Value {
        let socket = self.docker.strip_prefix("unix://").expect("a local engine");
        let output = Command::new("curl")
            .args(["-s", "-g", "-X", method, "--unix-socket", socket])
            .arg(format!("http://localhost{path}"))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn containers(&self) -> Vec<String> {
        let label = format!("dev.greenloop.environment={}", self.environment);
        let filters = format!("%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        let found = self.engine("GET", &format!("/containers/json?all=1&filters={filters}"));
        let found = found.as_array().cloned().unwrap_or_default();
        found.iter().filter_map(|c| c["Id"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for id in self.containers() {
            self.engine("DELETE", &format!("/containers/{id}?force=1"));
        }
    }
}

#[test]
fn a_commit_becomes_an_image_and_a_container_that_serves() {
    let Some(shop) = Shop::new(DOCKERFILE, "") else { return };
    let first = shop.run(&[]);
    assert_eq!(first.code, Some(0), "{}", first.all());
    assert_eq!(shop.page().as_deref(), Some("hello one\n"), "{}", first.all());
    let status = shop.run(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let image = status["serving"]["release"]["image"].as_str().unwrap();
    assert!(image.contains("@sha256:"), "{status}");

    // The same commit again: nothing is built.
    let again = shop.run(&[]);
    assert_eq!(again.code, Some(0), "{}", again.all());
    assert!(again.all().contains("already in the registry"), "{}", again.all());

    shop.repository.write("page.txt", "hello two\n");
    shop.repository.commit("two");
    let second = shop.run(&[]);
    assert_eq!(second.code, Some(0), "{}", second.all());
    assert_eq!(shop.page().as_deref(), Some("hello two\n"));
    let back = shop.run(&["rollback"]);
    assert_eq!(back.code, Some(0), "{}", back.all());
    assert_eq!(shop.page().as_deref(), Some("hello one\n"), "{}", back.all());
}

#[test]
fn an_image_that_does_not_build_is_healed() {
    let fix = r#"{"role":"author","answer":"The greeting is misspelt, so the check in the image fails.\n\npage.txt\n```\n<<<<<<< SEARCH\nhallo one\n=======\nhello one\n>>>>>>> REPLACE\n```\n"}"#;
    let Some(shop) = Shop::new(DOCKERFILE, &format!("{fix}\n{APPROVE}\n")) else { return };
    shop.repository.write("page.txt", "hallo one\n");
    shop.repository.commit("misspelt");
    let outcome = shop.run(&[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("Dockerfile:5"), "{}", outcome.all());
    assert_eq!(shop.page().as_deref(), Some("hello one\n"));
}

#[test]
fn a_container_that_dies_leaves_the_old_one_serving() {
    let Some(shop) = Shop::new(DOCKERFILE, "") else { return };
    assert_eq!(shop.run(&[]).code, Some(0));
    let dies = DOCKERFILE.lines().take(5).collect::<Vec<_>>().join("\n")
        + "\nCMD [\"/bin/busybox\", \"sh\", \"-c\", \"echo fatal: DATABASE_URL is not set >&2; exit 3\"]\n";
    shop.repository.write("Dockerfile", &dies);
    shop.repository.commit("needs a database");
    let outcome = shop.run(&[]);
    assert_eq!(outcome.code, Some(4), "{}", outcome.all());
    assert!(outcome.all().contains("DATABASE_URL is not set"), "{}", outcome.all());
    assert_eq!(shop.page().as_deref(), Some("hello one\n"));
}

/// Waits until something is as it should be; a test's own time limit ends it otherwise.
fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupted(shop: &Shop, when: impl Fn() -> bool) -> Outcome {
    let mut command = shop.repository.greenloop();
    command.args(["--environment", &shop.environment]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| when() || child.try_wait().unwrap().is_some());
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap().into()
}

/// A pipeline that cancels sends a signal and gives seconds: one restore, by what the supervisor
/// accepts, and the run says what serves.
#[test]
fn ctrl_c_restores_once_and_says_what_runs() {
    let Some(shop) = Shop::new(DOCKERFILE, "") else { return };
    assert_eq!(shop.run(&[]).code, Some(0));
    let status = || -> serde_json::Value {
        serde_json::from_str(&shop.run(&["status", "--output", "json"]).stdout).unwrap()
    };
    let good = status()["serving"]["release"]["id"].as_str().unwrap().to_owned();

    // The new release serves already, and its smoke tests go on and on.
    let marker = shop.repository.path().join(".git/smoke-tests-run");
    let script = format!("#!/bin/sh\ntouch '{}'\nexec sleep 1000\n", marker.display());
    shop.repository.write("smoke.sh", &script);
    let smoke = shop.repository.path().join("smoke.sh");
    std::fs::set_permissions(&smoke, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = shop.repository.read("config.yaml");
    let with_script = config.replace(
        "  user_flows:",
        "  smoke_tests: { script: ./smoke.sh, timeout: 900 }\n  user_flows:",
    );
    // It notes outside of the work tree that it runs.
    let outside = format!("{with_script}sandbox: {{level: off}}\n");
    shop.repository.write("config.yaml", &outside);
    shop.repository.write("page.txt", "hello two\n");
    shop.repository.commit("two");
    let outcome = interrupted(&shop, || marker.exists());
    let check = |outcome: &Outcome, words: &str| {
        assert_eq!(outcome.code, Some(130), "{}", outcome.all());
        assert_eq!(shop.page().as_deref(), Some("hello one\n"), "{}", outcome.all());
        let folder = shop.repository.run_folder();
        let audit = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
        assert_eq!(audit.matches("\"event\":\"restore\"").count(), 1, "{audit}");
        assert!(audit.contains("\"hurried\":true"), "{audit}");
        let summary = std::fs::read_to_string(folder.join("summary.md")).unwrap();
        assert!(summary.contains(&format!("Cancelled: {words}")), "{words}: {summary}");
        assert!(
            summary.contains("release from before") || summary.contains("restored"),
            "{summary}"
        );
        let now = status();
        assert_eq!(now["serving"]["release"]["id"], good.as_str(), "{now}");
        assert_eq!(now["releases"][0]["state"], "failed", "{now}");
    };
    check(&outcome, &format!("restored to release {good}"));

    // One that has not become healthy: what served never stopped.
    let idle = DOCKERFILE.lines().take(5).collect::<Vec<_>>().join("\n")
        + "\nCMD [\"/bin/busybox\", \"sleep\", \"1000\"]\n";
    shop.repository.write("Dockerfile", &idle);
    shop.repository.write("config.yaml", &config.replace("wait_timeout: 30", "wait_timeout: 900"));
    shop.repository.commit("never healthy");
    let before = shop.containers();
    let outcome = interrupted(&shop, || shop.containers().iter().any(|id| !before.contains(id)));
    check(&outcome, &format!("release {good} never stopped serving"));
    // Nothing of it is left, and nothing is held.
    shop.repository.write("Dockerfile", DOCKERFILE);
    shop.repository.write("page.txt", "hello three\n");
    shop.repository.commit("three");
    let next = shop.run(&[]);
    assert_eq!(next.code, Some(0), "{}", next.all());
    assert_eq!(shop.page().as_deref(), Some("hello three\n"));
}

#[test]
fn an_engine_that_is_gone_is_told_at_once() {
    let Some(shop) = Shop::new(DOCKERFILE, "") else { return };
    let config = shop.repository.read("config.yaml");
    shop.repository
        .write("config.yaml", &config.replace(&shop.docker, "unix:///nowhere/docker.sock"));
    shop.repository.commit("elsewhere");
    let outcome = shop.run(&[]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("/nowhere/docker.sock"), "{}", outcome.all());
    let doctor = shop.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{}", doctor.all());
    assert!(doctor.stdout.contains("/nowhere/docker.sock"), "{}", doctor.all());
}

impl Shop {
    /// Kills the main process of a container from outside, as the kernel would: an engine that is
    /// asked to kill it does not start it again.
    fn crash(&self, id: &str) {
        let state = self.engine("GET", &format!("/containers/{id}/json"));
        let pid = state["State"]["Pid"].as_u64().unwrap().to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    }

    /// Follows the log of the service.
    fn follow(&self) -> Followed {
        let mut command = self.repository.greenloop();
        command.args(["logs", "--follow", "--environment", &self.environment]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        Followed { child, lines: Box::new(lines.map_while(Result::ok)) }
    }
}

/// `logs --follow` of a service.
struct Followed {
    child: std::process::Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Followed {
    /// Waits for a line with `part`.
    fn until(&mut self, part: &str) {
        assert!(self.lines.any(|line| line.contains(part)), "the log ended without {part:?}");
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_container_s_log_is_followed_through_a_restart() {
    // It names the addresses that it is asked for.
    let names_addresses = DOCKERFILE.replace("\"-v\"", "\"-vv\"");
    let Some(shop) = Shop::new(&names_addresses, "") else { return };
    assert_eq!(shop.run(&[]).code, Some(0));
    get(shop.port, "/first").unwrap();
    let logs = shop.run(&["logs"]);
    assert!(logs.stdout.contains("url:/first"), "{}", logs.all());
    let mut followed = shop.follow();
    followed.until("url:/first");
    for id in shop.containers() {
        shop.crash(&id);
    }
    // It is started again, and serves.
    until(|| get(shop.port, "/second").is_some_and(|(status, _)| status == 404));
    followed.until("url:/second");
}

#[test]
fn a_container_is_stopped_once_and_also_when_somebody_has_removed_it() {
    let Some(shop) = Shop::new(DOCKERFILE, "") else { return };
    // Before anything was deployed.
    let nothing = shop.run(&["stop", "--yes"]);
    assert_eq!(nothing.code, Some(0), "{}", nothing.all());
    assert!(nothing.stdout.contains("nothing is serving"), "{}", nothing.all());
    assert_eq!(shop.run(&[]).code, Some(0));
    let stopped = shop.run(&["stop", "--yes"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.all());
    assert!(stopped.stdout.contains("stopped release"), "{}", stopped.all());
    assert_eq!(shop.page(), None);
    let running = |shop: &Shop| {
        let ids = shop.containers();
        let state = |id: &String| shop.engine("GET", &format!("/containers/{id}/json"));
        ids.iter().filter(|id| state(id)["State"]["Running"] == true).count()
    };
    assert_eq!(running(&shop), 0);
    let status = shop.run(&["status"]);
    assert!(status.stdout.contains("stopped by `greenloop stop`"), "{}", status.all());
    let twice = shop.run(&["stop", "--yes"]);
    assert_eq!(twice.code, Some(0), "{}", twice.all());
    assert!(twice.stdout.contains("nothing is serving"), "{}", twice.all());
    let logs = shop.run(&["logs"]);
    assert_eq!(logs.code, Some(1), "{}", logs.all());
    assert!(logs.stderr.contains("nothing is serving"), "{}", logs.all());
    // What was stopped is a release to go back to.
    assert_eq!(shop.run(&[]).code, Some(0));
    assert_eq!(shop.page().as_deref(), Some("hello one\n"));
    for id in shop.containers() {
        shop.engine("DELETE", &format!("/containers/{id}?force=1"));
    }
    let gone = shop.run(&["stop", "--yes"]);
    assert_eq!(gone.code, Some(0), "{}", gone.all());
    assert_eq!(running(&shop), 0, "nobody starts it again");
    assert_eq!(shop.page(), None);
}
