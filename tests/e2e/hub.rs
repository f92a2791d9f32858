//! A hub and workers as processes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use greenloop_audit::SigningKey;

fn greenloop() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenloop"));
    for name in ["GREENLOOP_STORE", "GREENLOOP_REDIS", "GREENLOOP_HUB_TOKEN"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A process; killed on drop.
pub(crate) struct Process(Child);

impl Process {
    /// SIGKILL: it cannot sign off.
    pub(crate) fn kill(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn new_token(store: &str, name: &str, scope: &str) -> String {
    let made = greenloop()
        .args(["hub", "token", "create", "--name", name, "--scope", scope, "--store", store])
        .output()
        .unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn serve(folder: &Path, store: &str, address: &str, key: &SigningKey) -> (Process, String) {
    let mut child = greenloop()
        .args(["hub", "serve", "--listen", address, "--store", store, "--work"])
        .arg(folder.join("merges"))
        .env("GREENLOOP_AUDIT_KEY", key.to_secret())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let process = Process(child);
    let mut line = String::new();
    let url = loop {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "the hub has ended");
        if let Some(url) = line.trim().strip_prefix("dashboard") {
            break url.trim().trim_end_matches('/').to_owned();
        }
    };
    std::thread::spawn(move || stdout.read_to_string(&mut String::new()));
    (process, url)
}

/// A running hub, with its store in `folder`.
pub(crate) struct Hub {
    process: Process,
    pub(crate) url: String,
    /// A token with the scope `admin`.
    pub(crate) token: String,
    /// Signs checkpoints of audit logs.
    pub(crate) key: SigningKey,
    store: String,
}

impl Hub {
    pub(crate) fn start(folder: &Path) -> Self {
        let store = format!("sqlite:{}", folder.join("hub.db").display());
        let token = new_token(&store, "t", "admin");
        let key = SigningKey::generate("hub").unwrap();
        let (process, url) = serve(folder, &store, "127.0.0.1:0", &key);
        Self { process, url, token, key, store }
    }

    /// Kills it and starts it again at the same address.
    pub(crate) fn restart(&mut self, folder: &Path) {
        self.process.kill();
        let address = self.url.split_once("//").unwrap().1.to_owned();
        (self.process, self.url) = serve(folder, &self.store, &address, &self.key);
    }

    pub(crate) fn token(&self, name: &str, scope: &str) -> String {
        new_token(&self.store, name, scope)
    }

    /// What people did, as JSON.
    pub(crate) fn actions(&self) -> String {
        let said = greenloop()
            .args(["tasks", "actions", "--json", "--hub", &self.url])
            .env("GREENLOOP_HUB_TOKEN", &self.token)
            .output()
            .unwrap();
        String::from_utf8(said.stdout).unwrap()
    }

    /// A worker whose lease lasts two seconds.
    pub(crate) fn worker(&self, name: &str, work: &Path) -> Process {
        let child = greenloop()
            .args(["worker", "--sandbox", "off", "--pass-env", "*"])
            .args(["--hub", &self.url, "--name", name, "--lease", "2", "--heartbeat"])
            .args(["1", "--work"])
            .arg(work)
            .env("GREENLOOP_HUB_TOKEN", &self.token)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// The newest graph and its tasks.
    pub(crate) fn status(&self) -> serde_json::Value {
        let said = greenloop()
            .args(["tasks", "status", "--json", "--hub", &self.url])
            .env("GREENLOOP_HUB_TOKEN", &self.token)
            .output()
            .unwrap();
        serde_json::from_slice(&said.stdout).unwrap_or_default()
    }
}
