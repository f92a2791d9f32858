//! `agents.codex.mode: agent`: the author runs the gates' commands in a throwaway copy.

use serde_json::{Value, json};

use crate::repository::{Outcome, Repository};
use crate::server::{APPROVE, ModelServer};

const TEST: &str = "#!/bin/sh\n. ./add.sh\necho \"in $(pwd), sandbox ${GREENLOOP_SANDBOX:-none}\"\n\
    echo x >>\"${HOME:-/}/left\"\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
const FIX: &str = "The operator is wrong: it subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";

fn call(arguments: &Value) -> String {
    format!("call run_command {arguments}")
}

/// The results of tools in a request, in order.
fn results(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap().iter();
    let tools = messages.filter(|message| message["role"] == "tool");
    tools.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_author_tries_its_edits_in_a_copy_in_the_sandbox() {
    let config = "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
        deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
        agents:\n  codex:\n    mode: agent\n";
    let repository =
        Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST), ("config.yaml", config)]);
    let calls = [
        call(&json!({"command": "cat /etc/hostname"})),
        call(&json!({"command": "sh test.sh"})),
        call(&json!({"command": "sh test.sh", "edits": FIX})),
        FIX.to_owned(),
    ];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let server = ModelServer::start(&calls, APPROVE).await;
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let outcome: Outcome = repository
        .greenloop()
        .args(["heal", "--", "sh", "test.sh"])
        .env("HOME", home.path())
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("GREENLOOP_MODEL", "test-model")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let requests = server.author_requests();
    assert_eq!(requests.len(), 4, "{}", outcome.all());
    assert!(requests[0]["tools"].to_string().contains("run_command"));
    let said = results(&requests[3]);
    let [refused, failed, passed] = said.as_slice() else { panic!("{said:#?}") };
    assert!(refused.contains("only the commands of the gates"), "{refused}");
    assert!(failed.contains("add 2 3 is -1"), "{failed}");
    assert!(passed.contains("exit status 0") || passed.contains("code 0"), "{passed}");
    for ran in [failed, passed] {
        assert!(!ran.contains("sandbox none"), "{ran}");
        let own = format!("in {},", repository.path().canonicalize().unwrap().display());
        assert!(!ran.contains(&own), "in the work tree itself: {ran}");
    }
    // The home folder was never its own, and what was tried left nothing behind.
    assert!(!home.path().join("left").exists());
    assert_eq!(repository.git(&["status", "--porcelain"]), "M add.sh");
    assert!(repository.read("add.sh").contains("$(($1 + $2))"));
    let worktrees = repository.git(&["worktree", "list"]);
    assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
}
