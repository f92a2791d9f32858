//! `greenloop mcp`, spoken to as an agent does: JSON-RPC, a line each, over pipes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::repository::Repository;

struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    /// Starts the server in the repository and begins a session.
    fn begin(repository: &Repository, arguments: &[&str]) -> Self {
        let mut command = repository.greenloop();
        command.arg("mcp").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, stdin, stdout, next: 0 };
        let answer = client.ask(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            }),
        );
        assert_eq!(answer["result"]["serverInfo"]["name"], "greenloop", "{answer}");
        assert!(answer["result"]["capabilities"]["tools"].is_object(), "{answer}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        client
    }

    fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server has ended");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        loop {
            let answer = self.receive();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// The tool's answer, which is JSON.
    fn answer(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments);
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        let text =
            answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn tools(&mut self) -> Vec<String> {
        let answer = self.ask("tools/list", json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        for tool in &tools {
            assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        }
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Closes standard input; the server ends by itself.
    fn end(mut self) -> bool {
        drop(self.stdin.take());
        self.child.wait().unwrap().success()
    }
}

const PATCH: &str = "--- a/page.txt\n+++ b/page.txt\n@@ -1 +1 @@\n-teh page\n+the page\n";

fn repository() -> Repository {
    Repository::new(&[("page.txt", "teh page\n"), ("migrations/1.sql", "CREATE TABLE a;\n")])
}

#[test]
fn agents_use_evidence_patches_and_policy() {
    let repository = repository();
    let mut client = Client::begin(&repository, &[]);
    let tools = ["explain_log", "check_patch", "policy_check", "run_status", "audit_show"];
    assert_eq!(client.tools(), tools);
    let log = "compiling\nerror[E0425]: cannot find value `x` in this scope\n --> src/a.rs:3:5\n";
    let explained = client.answer("explain_log", json!({"log": log}));
    assert!(explained.to_string().contains("E0425"), "{explained}");
    let checked = client.answer("check_patch", json!({"patch": PATCH}));
    assert_eq!(checked["applies"], true, "{checked}");
    assert!(checked["diff"].as_str().unwrap().contains("+the page"), "{checked}");
    assert_eq!(repository.read("page.txt"), "teh page\n", "nothing is written");
    let wrong = PATCH.replace("teh page", "no such line at all");
    let checked = client.answer("check_patch", json!({"patch": wrong}));
    assert_eq!(checked["applies"], false, "{checked}");
    assert!(!checked["reason"].as_str().unwrap().is_empty());
    let allowed = client.answer("policy_check", json!({"patch": PATCH}));
    assert_eq!(allowed["decision"], "allow", "{allowed}");
    let deletes = "--- a/migrations/1.sql\n+++ /dev/null\n@@ -1 +0,0 @@\n-CREATE TABLE a;\n";
    let judged = client.answer("policy_check", json!({"patch": deletes}));
    assert_eq!(judged["decision"], "forbid", "{judged}");
    let status = client.answer("run_status", json!({}));
    assert_eq!(status["run"], Value::Null, "{status}");
    let unknown = client.call("audit_show", json!({"run": "nope"}));
    assert_eq!(unknown["result"]["isError"], true, "{unknown}");
    assert!(client.end());
}

#[test]
fn heal_is_offered_only_where_it_is_allowed() {
    let repository = repository();
    let mut client = Client::begin(&repository, &[]);
    let refused = client.call("heal", json!({"command": "false"}));
    assert!(refused["error"]["message"].as_str().unwrap().contains("no tool `heal`"), "{refused}");
    assert!(client.end());
    let mut client = Client::begin(&repository, &["--allow-heal"]);
    assert!(client.tools().contains(&"heal".to_owned()));
    // Without a model it stops with the failure; what it did stands in a run.
    let stopped =
        client.answer("heal", json!({"command": "test -e no-such-file", "max_iterations": 1}));
    assert_ne!(stopped["stop"], "verified", "{stopped}");
    let status = client.answer("run_status", json!({}));
    let run = status["run"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned();
    let audit = client.answer("audit_show", json!({"run": run, "records": 3}));
    assert_eq!(audit["shown"].as_array().unwrap().len(), 3, "{audit}");
    assert_eq!(repository.read("page.txt"), "teh page\n");
    assert!(client.end());
}

#[test]
fn bad_and_huge_input_is_an_error_and_not_the_end() {
    let repository = repository();
    let mut client = Client::begin(&repository, &[]);
    for (tool, arguments, part) in [
        ("no_such_tool", json!({}), "no tool"),
        ("explain_log", json!({}), "needs the argument `log`"),
        ("explain_log", json!({"log": 3}), "must be of type string"),
        ("explain_log", json!({"log": "x", "more": "y"}), "no argument `more`"),
    ] {
        let answer = client.call(tool, arguments);
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(message.contains(part), "{answer}");
    }
    let answer = client.ask("no/such/method", json!({}));
    assert!(answer["error"].is_object(), "{answer}");
    client.send("this is no JSON");
    client.send(&format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"x\",\"params\":\"{}\"}}",
        "y".repeat(9 << 20)
    ));
    // A log of megabytes is read, and its answer is short.
    let log = format!(
        "{}error: linking failed: no space left on device\n",
        "all is well\n".repeat(300_000)
    );
    let answer = client.call("explain_log", json!({"log": log}));
    let text =
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(text.contains("no space left on device") && text.len() < 300_000, "{}", text.len());
    assert!(client.end());
}
