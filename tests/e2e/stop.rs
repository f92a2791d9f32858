//! `greenloop stop`, `greenloop logs` and `greenloop` without a command.

use crate::readme_paths::{typed, works};
use crate::repository::{Repository, free_port, get};

const SERVER: &str = "\
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print('asked for', self.path, 'with', os.environ.get('API_TOKEN'), flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello')

http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";

fn deployed(port: u16) -> Repository {
    let config = format!(
        "version: 1\nenvironments: {{local: {{url: 'http://127.0.0.1:{port}', health_endpoint: /}}}}\n\
         deploy:\n  method: process\n  process: {{command: [python3, server.py], artifacts: [server.py]}}\n"
    );
    let repository = Repository::new(&[("greenloop.yaml", &config), ("server.py", SERVER)]);
    let secret = [("API_TOKEN", "tok-5f2e8c1a9b7d4e60")];
    let run = typed(&repository, "greenloop run", &secret);
    assert_eq!(run.code, Some(0), "{}", run.all());
    repository
}

#[test]
fn what_was_deployed_is_stopped_told_and_deployed_again() {
    let port = free_port();
    let repository = deployed(port);
    let overview = works(&repository, "greenloop", &[]);
    assert!(overview.stdout.contains("local: serving at"), "{}", overview.all());
    assert!(overview.stdout.contains("last run: deploy to local"), "{}", overview.all());
    assert!(overview.stdout.contains("greenloop stop"), "{}", overview.all());
    // Nobody can be asked here.
    let asked = typed(&repository, "greenloop stop", &[]);
    assert_eq!(asked.code, Some(1), "{}", asked.all());
    assert!(get(port, "/").is_some());
    let stopped = works(&repository, "greenloop stop --yes", &[]);
    assert!(stopped.stdout.contains("stopped release"), "{}", stopped.all());
    assert_eq!(get(port, "/"), None);
    let status = works(&repository, "greenloop status", &[]);
    assert!(status.stdout.contains("stopped by `greenloop stop` on"), "{}", status.all());
    let again = works(&repository, "greenloop down --yes", &[]);
    assert!(again.stdout.contains("nothing is serving"), "{}", again.all());
    let logs = typed(&repository, "greenloop logs", &[]);
    assert_eq!(logs.code, Some(1), "{}", logs.all());
    // What was stopped is a release to go back to, and the next run serves again.
    let run = typed(&repository, "greenloop run", &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    assert!(get(port, "/").is_some());
    let status = works(&repository, "greenloop status", &[]);
    assert!(!status.stdout.contains("stopped by"), "{}", status.all());
}

#[test]
fn the_service_s_log_is_shown_redacted_and_followed() {
    let port = free_port();
    let repository = deployed(port);
    let secret = [("API_TOKEN", "tok-5f2e8c1a9b7d4e60")];
    get(port, "/first").unwrap();
    let logs = typed(&repository, "greenloop logs", &secret);
    assert!(logs.stdout.contains("asked for /first"), "{}", logs.all());
    assert!(!logs.stdout.contains("tok-5f2e8c1a9b7d4e60"), "{}", logs.all());
    let mut command = repository.greenloop();
    command.args(["logs", "--follow"]).envs(secret).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut until = |part: &str| {
        let found = lines.by_ref().map(Result::unwrap).find(|line| line.contains(part));
        assert!(found.is_some(), "{part}");
    };
    until("asked for /first");
    get(port, "/second").unwrap();
    until("asked for /second");
    let told = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(told.unwrap().success());
    assert!(child.wait().unwrap().success());
}

/// A run holds the environment: what serves is not taken away under it.
#[test]
fn during_a_run_nothing_is_stopped() {
    let port = free_port();
    let repository = deployed(port);
    let (begun, go) = (repository.path().join(".git/begun"), repository.path().join(".git/go"));
    let gate = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        begun.display(),
        go.display()
    );
    let before = repository.read("greenloop.yaml");
    let more =
        format!("sandbox: {{level: off}}\nquality_gates: [{{name: slow, command: {gate:?}}}]\n");
    repository.write("greenloop.yaml", &format!("{before}{more}"));
    repository.commit("a gate that waits");
    let mut command = repository.greenloop();
    command.args(["run"]).stdout(std::process::Stdio::piped());
    let run = command.spawn().unwrap();
    while !begun.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let refused = typed(&repository, "greenloop stop --yes", &[]);
    let log = typed(&repository, "greenloop logs", &[]);
    std::fs::write(&go, "").unwrap();
    let ran = run.wait_with_output().unwrap();
    assert_eq!(refused.code, Some(5), "{}", refused.all());
    assert!(refused.stderr.contains("is held by another run"), "{}", refused.all());
    // Reading changes nothing, and needs no lock.
    assert_eq!(log.code, Some(0), "{}", log.all());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert!(get(port, "/").is_some());
}

#[test]
fn without_a_configuration_one_learns_how_to_begin() {
    let repository = Repository::new(&[("a", "")]);
    let overview = works(&repository, "greenloop", &[]);
    assert!(overview.stdout.contains("greenloop init"), "{}", overview.all());
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"));
    let ran = command.current_dir(nowhere.path()).output().unwrap();
    assert!(ran.status.success());
    assert!(String::from_utf8_lossy(&ran.stdout).contains("no git repository"), "{ran:?}");
}

#[test]
fn stop_frees_the_address_after_a_first_release_that_failed() {
    let port = free_port();
    let config = format!(
        "version: 1\nenvironments: {{local: {{url: 'http://127.0.0.1:{port}', health_endpoint: /}}}}\n\
         deploy:\n  method: process\n  process: {{command: [python3, server.py], artifacts: [server.py]}}\n"
    );
    let broken = SERVER.replace("'PORT'", "'NO_SUCH_VARIABLE'");
    let repository = Repository::new(&[("greenloop.yaml", &config), ("server.py", &broken)]);
    let run = typed(&repository, "greenloop run", &[]);
    assert_ne!(run.code, Some(0), "{}", run.all());
    let free = || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    assert!(!free());
    let stopped = works(&repository, "greenloop stop --yes", &[]);
    assert!(stopped.stdout.contains("its address is free now"), "{}", stopped.all());
    assert!(free());
}
