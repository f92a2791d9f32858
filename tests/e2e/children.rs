//! What processes that a run starts get to hold: environment, arguments and descriptors of each.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::repository::{Outcome, deployable, free_port};
use crate::server::{APPROVE, ModelServer};

/// Variables that hold credentials of every kind that a job may have.
pub(crate) const SECRETS: &[&str] = &[
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "SYSTEM_ACCESSTOKEN",
    "GREENLOOP_HUB_TOKEN",
    "AZURE_CLIENT_SECRET",
    "ARM_CLIENT_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GITHUB_TOKEN",
    "NPM_TOKEN",
    "REGISTRY_PASSWORD",
    "SHOP_DB_PASSWORD",
    "GOOGLE_API_KEY",
];
/// Of those, the ones that are Greenloop's own.
const OWN: &[&str] = &["OPENAI_API_KEY", "SYSTEM_ACCESSTOKEN", "GREENLOOP_HUB_TOKEN"];

pub(crate) fn canary(name: &str) -> String {
    format!("canary-of-{}", name.to_lowercase().replace('_', "-"))
}

/// A folder for what processes write of themselves.
pub(crate) struct Dumps {
    folder: tempfile::TempDir,
}

impl Dumps {
    pub(crate) fn new() -> Self {
        let dumps = Self { folder: tempfile::tempdir().unwrap() };
        dumps.program(
            "dump",
            "d=OUT/$1.$$\ntr '\\0' '\\n' </proc/$PPID/environ >$d.env\n\
             tr '\\0' ' ' </proc/$PPID/cmdline >$d.cmd\n\
             for fd in /proc/$PPID/fd/*; do readlink $fd; done >$d.fd\n:\n",
        );
        dumps
    }

    /// A program that can write here; `OUT` stands for the folder.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let out = self.folder.path().to_str().unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{}", script.replace("OUT", out))).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Of every process of this name: environment, arguments, descriptors.
    pub(crate) fn of(&self, name: &str) -> Vec<[String; 3]> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.path()).unwrap().flatten() {
            let file = entry.file_name().into_string().unwrap();
            let Some(start) = file.strip_suffix(".env").filter(|it| it.starts_with(name)) else {
                continue;
            };
            let read = |end: &str| {
                let path = self.path().join(format!("{start}.{end}"));
                std::fs::read_to_string(path).unwrap_or_default()
            };
            found.push([read("env"), read("cmd"), read("fd")]);
        }
        assert!(!found.is_empty(), "no process {name} has written of itself");
        found
    }
}

/// That none of these is in a text.
pub(crate) fn holds_none(what: &str, text: &str, names: &[&str]) {
    for name in names {
        assert!(!text.contains(&canary(name)), "{what} holds {name}: {text}");
    }
    assert!(!text.contains("PRIVATE+KEY"), "{what} holds the audit key: {text}");
}

/// The process and all that it has started, by their ids.
fn family(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_of_a_run_holds_a_credential_that_it_was_not_given() {
    for level in ["A", "B"] {
        let dumps = Dumps::new();
        let out = dumps.path().display().to_string();
        let agent = dumps.program(
            "agent",
            "sh OUT/dump author\nsed -i s/teh/the/ page.txt\necho 'A word was misspelt.'\n",
        );
        let port = free_port();
        let repository = deployable(port, "teh page\n", "page", "");
        let config = repository.read("config.yaml");
        let (before, _agents) = config.split_once("agents:\n").unwrap();
        let config = before.replace(
            "command: \"! grep -n teh page.txt\"",
            &format!(
                "command: 'sh {out}/dump gate; while [ ! -e {out}/go ]; do sleep 0.05; done; ! grep -n teh page.txt'"
            ),
        );
        let config = config
            .replace("  user_flows:", "  smoke_tests: { script: ./smoke.sh }\n  user_flows:")
            + &format!(
                "agents:\n  codex:\n    command: ['{}']\n    cache: ['{out}']\n\
                 sandbox:\n  cache: ['{out}']\n",
                agent.display()
            );
        repository.write("config.yaml", &config);
        repository.write("smoke.sh", &format!("#!/bin/sh\nsh {out}/dump smoke\n"));
        let smoke = repository.path().join("smoke.sh");
        std::fs::set_permissions(smoke, std::fs::Permissions::from_mode(0o755)).unwrap();
        repository.commit("children that write of themselves");
        let key = dumps.path().join("key");
        let made = repository.run(&["audit", "keygen", "job", "--out", key.to_str().unwrap()]);
        assert_eq!(made.code, Some(0), "{}", made.all());
        let key = std::fs::read_to_string(&key).unwrap();
        std::fs::remove_file(dumps.path().join("key")).unwrap();

        let server = ModelServer::start(&["never asked"], APPROVE).await;
        let mut command = repository.greenloop();
        for name in SECRETS {
            command.env(name, canary(name));
        }
        let mut child = command
            .args(["run", "--environment", "local"])
            .env("OPENAI_BASE_URL", server.base_url())
            .env("GREENLOOP_MODEL", "test-model")
            .env("GREENLOOP_AUDIT_KEY", key)
            .env("SHOP_DATABASE_URL", format!("postgres://shop:{}@db/shop", canary("SHOP_URL")))
            .env("GREENLOOP_SANDBOX_AT_MOST", level)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !std::fs::read_dir(dumps.path())
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".fd")))
        {
            assert!(child.try_wait().unwrap().is_none(), "it has ended before its gate ran");
            assert!(began.elapsed() < Duration::from_secs(200), "the gate was never started");
            std::thread::sleep(Duration::from_millis(20));
        }
        // While the gate waits: Greenloop itself, its launcher, bubblewrap, and the gate, as root,
        // or somebody with the same user, would see them.
        let family = family(child.id());
        assert!(family.len() >= 3, "{level}: {family:?}");
        for pid in family {
            for file in ["environ", "cmdline"] {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).replace('\0', "\n");
                holds_none(&format!("{level}: process {pid}: {file}"), &text, SECRETS);
                holds_none(&format!("{level}: process {pid}: {file}"), &text, &["SHOP_URL"]);
            }
        }
        std::fs::write(dumps.path().join("go"), "").unwrap();
        let outcome: Outcome = tokio::task::block_in_place(|| child_output(child));
        assert_eq!(outcome.code, Some(0), "{level}: {}", outcome.all());
        holds_none("the output", &outcome.all(), SECRETS);
        for child in ["gate", "author", "smoke"] {
            for [env, cmd, fds] in dumps.of(child) {
                let what = format!("{level}: {child}");
                holds_none(&what, &env, SECRETS);
                holds_none(&what, &env, &["SHOP_URL"]);
                holds_none(&what, &cmd, SECRETS);
                assert!(env.contains("PATH="), "{what}: {env}");
                for fd in fds.lines() {
                    let own = fd.starts_with("pipe:")
                        || ["/dev/null", "brief.md", "agent", "smoke.sh"]
                            .iter()
                            .any(|end| fd.ends_with(end));
                    assert!(own, "{what} holds {fd}");
                }
            }
        }
        // The service gets what its job has, but nothing of Greenloop's own.
        let state = repository.path().join(".git/greenloop");
        for pid in crate::repository::pids_mentioning(&state) {
            let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).replace('\0', "\n");
            holds_none(&format!("{level}: service {pid}"), &text, OWN);
        }
    }
}

fn child_output(child: std::process::Child) -> Outcome {
    child.wait_with_output().unwrap().into()
}
