//! Level C of the sandbox: commands in containers of a real engine, with an image that has a shell
//! and nothing else.

use std::path::Path;
use std::process::Command;

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};
use crate::services::services;

const TEST: &str = ". ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
const FIX: &str = "It subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";

/// Tells what it finds, a line each.
const PROBE: &str = "say() { name=$1; shift; \"$@\" >/dev/null 2>&1 && echo \"probe: $name yes\" || echo \"probe: $name no\"; }\n\
    say secret cat \"$SECRET\"\nsay tree touch made\nsay git touch .git/x\nsay state ls .git/greenloop/claims\n\
    say root touch /x\nsay temporary touch /tmp/x\nsay home touch \"$HOME/x\"\n\
    say network wget -T 3 -O - \"http://$ADDRESS/\"\nsay key test -n \"$OPENAI_API_KEY\"\n\
    say given test \"$GIVEN\" = yes\nsay mount mount -t tmpfs none /tmp\necho \"probe: level $GREENLOOP_SANDBOX\"\n";

/// An engine with the image, which is removed on drop.
struct Engine {
    docker: String,
    image: String,
}

impl Engine {
    fn new(name: &str) -> Option<Self> {
        let (docker, _registry) = services()?;
        let engine = Self { docker, image: format!("greenloop-e2e/sandbox-{name}:1") };
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_path_with_name("/bin/busybox", "bin/busybox").unwrap();
        for applet in ["sh", "cat", "touch", "ls", "wget", "mount", "sleep", "test", "id"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.set_mode(0o777);
            archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.tar");
        std::fs::write(&file, archive.into_inner().unwrap()).unwrap();
        let path = format!("/images/create?fromSrc=-&repo=greenloop-e2e/sandbox-{name}&tag=1");
        engine.ask("POST", &path, Some(&file));
        Some(engine)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Path>) -> String {
        let socket = self.docker.strip_prefix("unix://").expect("a local engine");
        let mut command = Command::new("curl");
        command.args(["-s", "-g", "-X", method, "--unix-socket", socket]);
        if let Some(body) = body {
            command.args(["-H", "content-type: application/x-tar", "--data-binary"]);
            command.arg(format!("@{}", body.display()));
        }
        let output = command.arg(format!("http://localhost{path}")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn repository(&self) -> Repository {
        let config = format!(
            "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
             deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
             sandbox:\n  level: C\n  container: {{ image: '{}', docker_host: '{}' }}\n",
            self.image, self.docker
        );
        Repository::new(&[
            ("add.sh", BROKEN),
            ("test.sh", TEST),
            ("probe.sh", PROBE),
            ("config.yaml", &config),
        ])
    }

    /// Containers of its image, running or not.
    fn containers(&self) -> usize {
        let filter = format!("%7B%22ancestor%22%3A%5B%22{}%22%5D%7D", self.image);
        let found = self.ask("GET", &format!("/containers/json?all=1&filters={filter}"), None);
        serde_json::from_str::<serde_json::Value>(&found).unwrap().as_array().unwrap().len()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.ask("DELETE", &format!("/images/{}?force=1", self.image), None);
    }
}

fn heal(repository: &Repository, arguments: &[&str]) -> Command {
    let mut command = repository.greenloop();
    command.arg("heal").args(arguments).env("GREENLOOP_SANDBOX_AT_MOST", "C");
    command.env("OPENAI_API_KEY", "sk-test-0123456789abcdef").env("GREENLOOP_MODEL", "test-model");
    command
}

#[test]
fn a_command_in_a_container_sees_the_work_tree_and_nothing_else() {
    let Some(engine) = Engine::new("probe") else { return };
    let repository = engine.repository();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let arguments = ["--env", "SECRET", "--env", "ADDRESS", "--env", "GIVEN", "--", "sh probe.sh"];
    let outcome: Outcome = heal(&repository, &arguments)
        .env("SECRET", secret.path())
        .env("ADDRESS", format!("172.17.0.1:{}", listener.local_addr().unwrap().port()))
        .env("GIVEN", "yes")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let log = repository.run_folder().join("stages");
    let log = std::fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(log).unwrap();
    let said: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("probe: ")).collect();
    assert_eq!(
        said,
        [
            "secret no",
            "tree yes",
            "git no",
            "state no",
            "root no",
            "temporary yes",
            "home yes",
            "network no",
            "key no",
            "given yes",
            "mount no",
            "level C",
        ],
        "{}",
        outcome.all()
    );
    assert!(listener.accept().is_err(), "it reached the network");
    assert_eq!(engine.containers(), 0);
    let audit = std::fs::read_to_string(repository.run_folder().join("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""level":"C""#), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heal_works_in_containers_and_leaves_none() {
    let Some(engine) = Engine::new("heal") else { return };
    let repository = engine.repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let outcome: Outcome = heal(&repository, &["--", "sh test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(repository.read("add.sh").contains("$(($1 + $2))"), "{}", outcome.all());
    assert_eq!(engine.containers(), 0);

    let late = heal(&repository, &["--timeout", "1", "--", "sleep 1000"]).output().unwrap();
    let late: Outcome = late.into();
    assert_ne!(late.code, Some(0), "{}", late.all());
    assert_eq!(engine.containers(), 0);
}

#[test]
fn a_line_that_may_go_on_is_shown_while_the_command_is_quiet() {
    use std::io::BufRead as _;
    let Some(engine) = Engine::new("quiet") else { return };
    let repository = engine.repository();
    // The command goes on when its line, which may be the first part of a secret, was shown.
    let line = "echo 'copying with token ghp_aB3dE6gH9jK2'; \
                until [ -e shown ]; do sleep 0.1; done; echo 'and that was all'";
    let mut command = heal(&repository, &["--timeout", "120", "--output", "json", "--", line]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut told = Vec::new();
    for event in std::io::BufReader::new(running.stdout.take().unwrap()).lines() {
        let event: serde_json::Value = serde_json::from_str(&event.unwrap()).unwrap();
        let Some(text) = event["text"].as_str().filter(|_| event["event"] == "output") else {
            continue;
        };
        told.push(text.to_owned());
        if text.contains("copying with token") {
            std::fs::write(repository.path().join("shown"), "").unwrap();
        }
    }
    let outcome: Outcome = running.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(0), "{told:?} {}", outcome.all());
    assert_eq!(told.concat(), "copying with token [redacted]\nand that was all\n");
}

#[test]
fn without_an_engine_or_where_c_is_not_enough_nothing_begins() {
    let Some(engine) = Engine::new("none") else { return };
    let repository = engine.repository();
    let config = repository.read("config.yaml");
    for (from, to) in [("level: C", "level: B"), (engine.docker.as_str(), "unix:///nowhere.sock")] {
        repository.write("config.yaml", &config.replace(from, to));
        repository.commit("another sandbox");
        let outcome: Outcome = heal(&repository, &["--", "sh test.sh"]).output().unwrap().into();
        assert_eq!(outcome.code, Some(3), "{to}: {}", outcome.all());
        assert!(!repository.path().join("logs/runs").exists(), "{to}: {}", outcome.all());
    }
}
