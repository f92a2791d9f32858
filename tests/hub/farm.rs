//! A repository that workers change, and workers as processes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::{Client, Hub, greenloop, until};

/// A bare repository, and folders for workers.
pub(crate) struct Farm {
    folder: tempfile::TempDir,
}

impl Farm {
    /// With these files on `main`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let farm = Self { folder: tempfile::tempdir().unwrap() };
        let work = farm.path().join("first");
        std::fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        for (path, text) in files {
            std::fs::write(work.join(path), text).unwrap();
        }
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "first"]);
        git(farm.path(), &["clone", "-q", "--bare", "first", "remote.git"]);
        farm
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.path().join("remote.git")
    }

    /// Git in the bare repository.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.remote(), arguments)
    }

    /// The folder for the marks of commands.
    pub(crate) fn marks(&self) -> PathBuf {
        let marks = self.path().join("marks");
        std::fs::create_dir_all(&marks).unwrap();
        marks
    }

    pub(crate) fn marked(&self, name: &str) -> bool {
        self.marks().join(name).exists()
    }

    /// A graph on this repository.
    pub(crate) fn graph(&self, tasks: Value) -> Value {
        json!({
            "project": "farm", "name": "farm", "target": "main", "tasks": tasks,
            "repository": self.remote().to_str().unwrap(), "gates": ["test ! -e bad"],
        })
    }

    pub(crate) fn worker(&self, hub: &Hub, token: &str, name: &str) -> WorkerSpec {
        WorkerSpec {
            hub: hub.url(""),
            token: token.to_owned(),
            name: name.to_owned(),
            place: self.path().join("workers"),
            lease: 30,
            more: Vec::new(),
            env: Vec::new(),
            through: Vec::new(),
        }
    }

    /// Waits for the state of a graph.
    pub(crate) async fn ended(&self, client: &Client, graph: i64, state: &str) {
        let began = Instant::now();
        loop {
            let now = client.get(&format!("/graphs/{graph}")).await.expect(200);
            if now["state"] == state {
                return;
            }
            if now["state"] != "running" || began.elapsed() > Duration::from_secs(300) {
                let tasks = client.get(&format!("/tasks?graph={graph}")).await.expect(200);
                let queue = client.get("/merge-queue").await.expect(200);
                panic!("{now:#}\n{tasks:#}\n{queue:#}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A worker to be started. Its lease outlasts the pauses of a busy machine, unless a test asks for
/// one that expires.
pub(crate) struct WorkerSpec {
    hub: String,
    token: String,
    name: String,
    place: PathBuf,
    lease: u32,
    more: Vec<String>,
    env: Vec<(String, String)>,
    /// The command that starts the program; empty: none.
    through: Vec<String>,
}

impl WorkerSpec {
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|it| (*it).to_owned()));
        self
    }

    /// The lease in seconds.
    pub(crate) fn lease(mut self, lease: u32) -> Self {
        self.lease = lease;
        self
    }

    /// With another folder, as on another machine.
    pub(crate) fn at(mut self, place: PathBuf) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by another program: `ip netns exec …`.
    pub(crate) fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(|it| (*it).to_owned()).collect();
        self
    }

    pub(crate) fn start(self) -> Worker {
        let mut program = match self.through.split_first() {
            None => greenloop(),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(greenloop().get_program());
                command
            }
        };
        let mut child = program
            .args(["worker", "--hub", &self.hub, "--name", &self.name])
            // Commands here tell each other things through files outside their work trees.
            .args(["--sandbox", "off", "--pass-env", "*"])
            .args(["--lease", &self.lease.to_string(), "--heartbeat", "1", "--work"])
            .arg(&self.place)
            .args(&self.more)
            .env("GREENLOOP_HUB_TOKEN", &self.token)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut lines = lines.lock().unwrap();
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        Worker { child, log }
    }
}

/// A worker process; killed on drop, with its child processes.
pub(crate) struct Worker {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Worker {
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// SIGKILL: it cannot sign off.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it exits, and requires success.
    pub(crate) async fn ended(&mut self) {
        let status = until("the worker's end", async || self.child.try_wait().unwrap()).await;
        assert!(status.success(), "{}", self.log.lock().unwrap());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _gone = Command::new("kill").args(["-CONT", &pid]).output();
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Drop for Farm {
    /// Leftover processes of killed workers run in this folder.
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let here = std::fs::read_link(entry.path().join("cwd"))
                .is_ok_and(|cwd| cwd.starts_with(self.path()));
            if let Some(pid) = entry.file_name().to_str().filter(|_| here) {
                let _gone = Command::new("kill").args(["-KILL", pid]).output();
            }
        }
    }
}

/// The states of a task's attempts, oldest first.
pub(crate) async fn attempts(client: &Client, task: i64) -> Vec<String> {
    let attempts = client.get(&format!("/tasks/{task}/attempts")).await.expect(200);
    let items = attempts["items"].as_array().unwrap();
    items.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

/// The id of the task with this key.
pub(crate) async fn id_of(client: &Client, graph: i64, key: &str) -> i64 {
    let tasks = client.get(&format!("/tasks?graph={graph}")).await.expect(200);
    let items = tasks["items"].as_array().unwrap();
    items.iter().find(|it| it["key"] == key).unwrap()["id"].as_i64().unwrap()
}

pub(crate) fn command(key: &str, line: &str) -> Value {
    json!({"key": key, "title": format!("Task {key}"), "hours": 1, "action": {"command": line}})
}
