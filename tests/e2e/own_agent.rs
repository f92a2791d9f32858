//! `agents.codex.command`: a program as the author, which works in a clone of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::repository::{Outcome, Repository, pids_mentioning};
use crate::server::{APPROVE, ModelServer};

const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: add 2 3 is $(add 2 3), not 5\" >&2; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";

/// A program, and what it leaves outside of the clone.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    /// `OUT` in the script is a folder for what the test looks at.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let program = folder.path().join("agent");
        std::fs::write(&program, format!("#!/bin/sh\n{}", script.replace("OUT", out))).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    fn left(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// With what a test looks at as the only folder that it may write to besides its clone.
    fn repository(&self, more: &str) -> Repository {
        let cache = format!("    cache: ['{}']\n{more}", self.folder.path().display());
        self.repository_with(&cache)
    }

    fn repository_with(&self, more: &str) -> Repository {
        let config = format!(
            "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
             deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
             agents:\n  codex:\n    command: ['{}', --now]\n{more}",
            self.path().display()
        );
        let files = [("add.sh", BROKEN), ("test.sh", TEST), ("config.yaml", &config)];
        let repository = Repository::new(&files);
        repository.git(&["remote", "add", "origin", "https://me:hunter2@example.invalid/x.git"]);
        repository
    }
}

fn command(repository: &Repository, server: &ModelServer) -> std::process::Command {
    let mut command = repository.greenloop();
    command
        .args(["heal", "--max-iterations", "2", "--", "sh", "test.sh"])
        .env("OPENAI_BASE_URL", server.base_url())
        .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        .env("DEPLOY_PASSWORD", "correct-horse-battery")
        .env("GREENLOOP_MODEL", "test-model");
    command
}

fn heal(repository: &Repository, server: &ModelServer) -> Outcome {
    command(repository, server).output().unwrap().into()
}

const REPAIRS: &str = "cat >OUT/brief\nenv >OUT/env\ngit remote >OUT/remotes\n\
    git log --oneline >OUT/history\npwd >OUT/place\necho \"$@\" >OUT/arguments\n\
    sed -i 's/\\$1 - \\$2/$1 + $2/' add.sh\ngit -c user.name=a -c user.email=a@b commit -qam mine\n\
    echo looking around\necho\necho 'It subtracted. password=hunter2-hunter2'\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_changes_in_its_clone_is_reviewed_and_applied() {
    for (more, inherits) in [("", false), ("    pass_env: [OPENAI_API_KEY]\n", true)] {
        let program = Program::new(REPAIRS);
        let repository = program.repository(more);
        let server = ModelServer::start(&["never asked"], APPROVE).await;
        let outcome = heal(&repository, &server);
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert!(repository.read("add.sh").contains("$(($1 + $2))"), "{}", outcome.all());
        assert_eq!(server.author_requests().len(), 0);
        assert_eq!(server.reviewer_requests().len(), 1);
        let review = server.reviewer_requests()[0].to_string();
        assert!(review.contains("It subtracted."), "{review}");
        assert!(!review.contains("looking around") && !review.contains("hunter2"), "{review}");

        assert!(program.left("brief").contains("add 2 3 is -1, not 5"));
        assert_eq!(program.left("arguments"), "--now\n");
        assert_eq!(program.left("remotes"), "");
        assert_eq!(program.left("history").lines().count(), 1);
        let env = program.left("env");
        assert_eq!(env.contains("OPENAI_API_KEY="), inherits, "{env}");
        assert!(!env.contains("DEPLOY_PASSWORD="), "{env}");
        assert!(!std::path::Path::new(program.left("place").trim()).exists());

        let log = repository.run_folder().join("stages/1-agent.log");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("looking around") && !log.contains("hunter2"), "{log}");
        let audit = std::fs::read_to_string(repository.run_folder().join("audit.jsonl")).unwrap();
        assert!(audit.contains("agent (own agent)"), "{audit}");
        let verified = repository.run(&["audit", "verify"]);
        assert_eq!(verified.code, Some(0), "{}", verified.all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_told_and_nothing_of_it_is_taken() {
    for (script, said) in [
        ("sed -i 's/-/+/' add.sh\necho 'no credit left' >&2\nexit 3\n", "exit status 3"),
        ("kill -9 $$\n", "SIGKILL"),
    ] {
        let program = Program::new(script);
        let repository = program.repository("");
        let server = ModelServer::start(&["never asked"], APPROVE).await;
        let outcome = heal(&repository, &server);
        assert_eq!(outcome.code, Some(3), "{}", outcome.all());
        assert!(outcome.all().contains(said), "{said}: {}", outcome.all());
        assert_eq!(repository.read("add.sh"), BROKEN);
        assert_eq!(server.reviewer_requests().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_changes_nothing_is_told_so_once() {
    let script = "cat >OUT/brief\necho run >>OUT/runs\necho Done.\n";
    let program = Program::new(script);
    let repository = program.repository("");
    let server = ModelServer::start(&["never asked"], APPROVE).await;
    let outcome = heal(&repository, &server);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert_eq!(program.left("runs").lines().count(), 2, "{}", outcome.all());
    assert!(program.left("brief").contains("changed no file"), "{}", program.left("brief"));

    let script = "echo run >>OUT/runs\nprintf '```no-patch\\nclass: needs human\\nreason: the \
        price is a decision\\n```\\n'\n";
    let program = Program::new(script);
    let repository = program.repository("");
    let outcome = heal(&repository, &server);
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    assert!(outcome.all().contains("the price is a decision"), "{}", outcome.all());
    assert_eq!(program.left("runs").lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_and_limits_hold_for_a_program_too() {
    for (script, said) in [
        ("ln -s /etc/passwd link\n", "link"),
        ("printf '#!/bin/sh\\nexit 0\\n' >test.sh\n", "test.sh"),
        ("echo 'agents: {}' >>config.yaml\n", "config.yaml"),
        (
            "mkdir .github; mkdir .github/workflows; echo 'on: push' >.github/workflows/x.yml\n",
            "x.yml",
        ),
    ] {
        let program = Program::new(script);
        let repository = program.repository("");
        let before = repository.read("config.yaml");
        let server = ModelServer::start(&["never asked"], APPROVE).await;
        let outcome = heal(&repository, &server);
        assert_eq!(outcome.code, Some(1), "{}", outcome.all());
        assert!(outcome.all().contains(said), "{said}: {}", outcome.all());
        assert_eq!(repository.git(&["status", "--porcelain"]), "", "{script}");
        assert_eq!(repository.read("config.yaml"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_late_or_cancelled_is_ended_with_all_that_it_started() {
    let script = "cd OUT\nsleep 3000 &\n(setsid sleep 3000 &)\ntouch begun\nsleep 3000\n";
    let program = Program::new(script);
    let repository = program.repository("    timeout: 1\n");
    let server = ModelServer::start(&["never asked"], APPROVE).await;
    let outcome = heal(&repository, &server);
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("agents.codex.timeout"), "{}", outcome.all());
    assert_eq!(pids_mentioning(program.folder.path()), [] as [u32; 0]);

    let program = Program::new(script);
    let repository = program.repository("");
    let child = command(&repository, &server)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !program.folder.path().join("begun").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "the program was never started");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let outcome: Outcome = child.wait_with_output().unwrap().into();
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert_eq!(pids_mentioning(program.folder.path()), [] as [u32; 0]);
    assert_eq!(repository.read("add.sh"), BROKEN);
}

/// What a program finds of places, variables and the network.
const LOOKS: &str = "look() { name=$1; shift; \"$@\" >OUT/$name 2>/dev/null; }\n\
    look home cat \"$REAL_HOME/.ssh/id\"\nlook shown cat \"$REAL_HOME/.agent/state\"\n\
    look original cat \"$ORIGINAL/add.sh\"\nlook git cat \"$ORIGINAL/.git/config\"\n\
    look env env\necho x >\"$ORIGINAL/planted\" 2>/dev/null\n\
    echo x >\"$REAL_HOME/.agent/planted\" 2>/dev/null\n\
    look net python3 -c 'import os, socket; socket.create_connection((\"127.0.0.1\", \
    int(os.environ[\"PORT\"])), 5); print(\"connected\")'\n\
    sed -i 's/\\$1 - \\$2/$1 + $2/' add.sh\necho repaired\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_and_reaches_what_the_configuration_names() {
    for (level, network) in [("B", false), ("A", false), ("A", true), ("off", false)] {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for (file, text) in [(".ssh/id", "the private key"), (".agent/state", "the agent's own")] {
            let path = home.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let program = Program::new(LOOKS);
        let off = if level == "off" { "sandbox: { level: off }\n" } else { "" };
        let more = format!(
            "    network: {network}\n    read: ['{}/.agent']\n\
             \x20   pass_env: [REAL_HOME, ORIGINAL, PORT]\n{off}",
            home.path().display()
        );
        let repository = program.repository(&more);
        let server = ModelServer::start(&["never asked"], APPROVE).await;
        let port =
            server.base_url().split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
        let outcome: Outcome = command(&repository, &server)
            .env("HOME", home.path())
            .env("REAL_HOME", home.path())
            .env("ORIGINAL", repository.path())
            .env("PORT", port)
            .env("GREENLOOP_SANDBOX_AT_MOST", level)
            .output()
            .unwrap()
            .into();
        assert_eq!(outcome.code, Some(0), "{level}: {}", outcome.all());
        assert!(repository.read("add.sh").contains("$(($1 + $2))"), "{}", outcome.all());
        let open = level == "off";
        assert_eq!(program.left("shown"), "the agent's own");
        assert_eq!(program.left("home").contains("private key"), open, "{level}");
        assert_eq!(program.left("original").contains("add()"), open, "{level}");
        assert_eq!(program.left("git").contains("hunter2"), open, "{level}");
        assert_eq!(repository.path().join("planted").exists(), open, "{level}");
        assert_eq!(home.path().join(".agent/planted").exists(), open, "{level}");
        assert_eq!(program.left("net").contains("connected"), network || open, "{level}");
        let env = program.left("env");
        assert!(env.contains("REAL_HOME=") && !env.contains("DEPLOY_PASSWORD"), "{env}");
        assert_eq!(env.contains("GREENLOOP_SANDBOX="), !open, "{level}: {env}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_not_begin_where_there_is_no_sandbox() {
    let program = Program::new("touch OUT/began\n");
    let repository = program.repository("");
    let server = ModelServer::start(&["never asked"], APPROVE).await;
    let outcome: Outcome = command(&repository, &server)
        .env("GREENLOOP_SANDBOX_AT_MOST", "D")
        .output()
        .unwrap()
        .into();
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(!program.folder.path().join("began").exists());
}
