//! `greenloop watch`: real files that are saved, a model's answers from a local server.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::repository::Repository;
use crate::server::{APPROVE, ModelServer};
use crate::terminal::Terminal;

/// How long something may take to be said; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const TEST: &str = "#!/bin/sh\n[ -e slow ] && exec sleep 300\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || \
    { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
const FIXED: &str = "add() {\n  echo $(($1 + $2))\n}\n";
const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";

struct Watch {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Watch {
    fn start(repository: &Repository, server: Option<&ModelServer>, arguments: &[&str]) -> Self {
        let mut command = repository.greenloop();
        command.arg("watch").args(arguments).args(["--", "sh", "test.sh"]);
        if let Some(server) = server {
            command.envs(variables(server));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// The next line with `part`; what is said before it is passed over.
    fn until(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(_) => panic!("{part:?} was not said:\n{}", self.said.join("\n")),
            }
        }
    }

    /// How often the command has been run.
    fn runs(&self) -> usize {
        self.said.iter().filter(|line| line.starts_with('▸')).count()
    }

    fn interrupt(mut self) -> (Option<i32>, Vec<String>) {
        let id = self.child.id().to_string();
        let told = std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(told.success());
        let code = self.child.wait().unwrap().code();
        self.said.extend(self.lines.iter());
        (code, std::mem::take(&mut self.said))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn variables(server: &ModelServer) -> [(&'static str, String); 3] {
    [
        ("OPENAI_BASE_URL", server.base_url()),
        ("OPENAI_API_KEY", "sk-test-0123456789abcdef".to_owned()),
        ("GREENLOOP_MODEL", "test-model".to_owned()),
    ]
}

fn repository() -> Repository {
    Repository::new(&[("add.sh", FIXED), ("test.sh", TEST), (".gitignore", "/out/\n")])
}

/// Saves a file that no run has seen and waits for its run: whatever else was saved before it would
/// have had a run of its own by then.
fn touch(watch: &mut Watch, repository: &Repository, text: &str) {
    repository.write("notes.txt", text);
    watch.until("✓ It passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_run_healed_and_left_alone_then() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let mut watch = Watch::start(&repository, Some(&server), &["--apply"]);
    watch.until("✓ It passes");
    assert_eq!(watch.runs(), 1);
    repository.write("add.sh", BROKEN);
    watch.until("not 5");
    let end = watch.until("it passes now");
    assert!(end.contains("so far 2 requests · 240 tokens"), "{end}");
    assert_eq!(repository.read("add.sh"), FIXED);
    assert_eq!(repository.git(&["status", "--porcelain"]), "", "only the fix was written");
    // Neither the fix, nor Greenloop's own files, nor what git ignores, nor a file that is as it
    // was is a change.
    repository.write("out/build.log", "built");
    repository.write("logs/runs/x", "own");
    repository.write("add.sh", FIXED);
    touch(&mut watch, &repository, "1");
    assert_eq!(watch.runs(), 3, "{:?}", watch.said);
    // Costs add up over the whole watch.
    repository.write("add.sh", BROKEN);
    let end = watch.until("it passes now");
    assert!(end.contains("so far 4 requests · 480 tokens"), "{end}");
    let (code, _) = watch.interrupt();
    assert_eq!(code, Some(0));
}

/// A repository whose command says in a file that it runs, and then runs for minutes, for as long
/// as there is a file `slow`.
fn slow_repository() -> (Repository, std::path::PathBuf) {
    let repository = repository();
    let mark = repository.path().join(".git/started");
    let slow = format!("[ -e slow ] && {{ touch '{}'; exec sleep 300; }}", mark.display());
    repository.write("test.sh", &TEST.replace("[ -e slow ] && exec sleep 300", &slow));
    repository.write("slow", "");
    (repository, mark)
}

fn wait_for(mark: &std::path::Path) {
    let began = std::time::Instant::now();
    while !mark.exists() {
        assert!(began.elapsed() < PATIENCE, "{} did not appear", mark.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_change_while_the_command_runs_begins_again() {
    let (repository, mark) = slow_repository();
    let mut watch = Watch::start(&repository, None, &["--sandbox", "off"]);
    watch.until("▸ sh test.sh");
    wait_for(&mark);
    std::fs::remove_file(repository.path().join("slow")).unwrap();
    watch.until("files were saved: cancelled");
    watch.until("✓ It passes");
    assert_eq!(watch.runs(), 2);
    let (code, _) = watch.interrupt();
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_a_fix_is_offered_on_its_branch_and_a_limit_ends_repairs() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let mut watch = Watch::start(&repository, Some(&server), &["--max-tokens", "200"]);
    watch.until("✓ It passes");
    repository.write("add.sh", BROKEN);
    watch.until("it passes now");
    let offer = watch.until("the fix is on greenloop/");
    let branch = offer.split_whitespace().last().unwrap().to_owned();
    assert_eq!(repository.read("add.sh"), BROKEN, "nobody asked for it");
    assert_eq!(repository.git(&["show", &format!("{branch}:add.sh")]), FIXED.trim());
    repository.write("notes.txt", "2");
    watch.until("the limit of this watch is reached");
    watch.until("not 5");
    watch.until("✗ ");
    assert_eq!(server.author_requests().len(), 1, "nobody is asked beyond the limit");
    let (code, said) = watch.interrupt();
    assert_eq!(code, Some(0), "{said:?}");
}

/// What a request costs, so that the two of the first repair reach a limit of two cents.
const PRICED: &str = "environments:\n  local: { url: \"http://127.0.0.1:9\" }\ndeploy:\n  method: process\n  \
    process: { command: [./x], artifacts: [test.sh] }\nagents:\n  codex: &agent\n    model: test-model\n    \
    input_price: 100\n    output_price: 100\n  jules: *agent\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_cost_ends_repairs_and_programs_are_told() {
    let repository = repository();
    repository.write("config.yaml", PRICED);
    repository.commit("prices");
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let arguments = ["--apply", "--output", "json", "--max-cost", "0.02"];
    let mut watch = Watch::start(&repository, Some(&server), &arguments);
    let event = |watch: &mut Watch, name: &str| -> serde_json::Value {
        let line = watch.until(&format!("\"event\":\"{name}\""));
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(event(&mut watch, "watch_runs")["command"], "sh test.sh");
    let ended = event(&mut watch, "watch_ended");
    assert_eq!((&ended["v"], ended["run"].is_string()), (&1.into(), true), "{ended}");
    assert_eq!(ended["spent"]["requests"], 0, "{ended}");
    repository.write("add.sh", BROKEN);
    let ended = event(&mut watch, "watch_ended");
    assert_eq!(ended["offered"], serde_json::Value::Null, "it is in the work tree");
    assert_eq!(ended["spent"]["requests"], 2, "{ended}");
    assert!(ended["spent"]["cost_usd"].as_f64().unwrap() >= 0.02, "{ended}");
    assert_eq!(repository.read("add.sh"), FIXED);
    repository.write("add.sh", BROKEN);
    let limit = event(&mut watch, "watch_limit_reached");
    assert_eq!(limit["spent"], ended["spent"]);
    event(&mut watch, "watch_ended");
    assert_eq!(server.author_requests().len(), 1, "nobody is asked beyond the limit");
    assert_eq!(repository.read("add.sh"), BROKEN);
    let (code, said) = watch.interrupt();
    assert_eq!(code, Some(0), "{said:?}");
    for line in &said {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["event"].is_string(), "{line}");
    }
    let runs = said.iter().filter(|line| line.contains("\"event\":\"finished\"")).count();
    assert_eq!(runs, 3, "{said:?}");
}

#[test]
fn ctrl_c_while_the_command_runs_leaves_nothing_behind() {
    let (repository, mark) = slow_repository();
    let mut watch = Watch::start(&repository, None, &["--sandbox", "off"]);
    watch.until("▸ sh test.sh");
    wait_for(&mark);
    let (code, _) = watch.interrupt();
    assert_eq!(code, Some(0));
    let refs = repository.git(&["for-each-ref", "--format=%(refname)", "refs/greenloop"]);
    assert!(!refs.contains("copied"), "{refs}");
    let trees = repository.git(&["worktree", "list"]);
    assert_eq!(trees.lines().count(), 1, "{trees}");
}

#[test]
fn a_watch_that_cannot_begin_says_why() {
    let repository = repository();
    let nothing = repository.run(&["watch", "--", " "]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.all());
    let missing = repository.run(&["watch", "--", "no-such-program-here"]);
    assert_eq!(missing.code, Some(2), "{}", missing.all());
    let outside = tempfile::tempdir().unwrap();
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_greenloop"))
        .args(["watch", "--", "true"])
        .current_dir(outside.path())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_apply_skip_and_quit() {
    let repository = repository();
    let server = ModelServer::start(&[FIX], APPROVE).await;
    repository.write("add.sh", BROKEN);
    let variables = variables(&server);
    let opened = Terminal::open_with(&repository, "watch -- sh test.sh", &variables);
    let Some(mut terminal) = opened else { return };
    let until = |terminal: &mut Terminal, text: &str| {
        tokio::task::block_in_place(|| terminal.until(text));
    };
    until(&mut terminal, "a apply");
    terminal.press("s");
    until(&mut terminal, "skipped");
    assert_eq!(repository.read("add.sh"), BROKEN);
    // The key has no fix to apply any more.
    terminal.press("a");
    repository.write("notes.txt", "1");
    until(&mut terminal, "a apply");
    assert_eq!(repository.read("add.sh"), BROKEN);
    terminal.press("a");
    until(&mut terminal, "applied: add.sh");
    until(&mut terminal, "heal --undo");
    assert_eq!(repository.read("add.sh"), FIXED);
    repository.write("notes.txt", "2");
    until(&mut terminal, "It passes");
    terminal.press("q");
    assert_eq!(tokio::task::block_in_place(|| terminal.end()), Some(0));
}
