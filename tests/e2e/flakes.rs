//! Flaky tests that two clones of one repository share through a hub.

use crate::hub::Hub;
use crate::repository::{Outcome, Repository, deployable, free_port};

const LIBRARY: &str = "\
#[cfg(test)]
mod tests {
    #[test]
    fn chance() {
        let path = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/.git/ran-once\");
        let ran = std::path::Path::new(path).exists();
        std::fs::write(path, \"\").unwrap();
        assert!(ran, \"not this time\");
    }

    #[test]
    fn steady() {}
}
";

fn run(repository: &Repository, hub: &Hub, arguments: &[&str]) -> Outcome {
    let mut command = repository.greenloop();
    command.args(arguments).env("GREENLOOP_HUB_URL", &hub.url);
    command.env("GREENLOOP_HUB_TOKEN", &hub.token).output().unwrap().into()
}

fn flaky_tests(repository: &Repository, hub: &Hub) -> Vec<String> {
    let said = run(repository, hub, &["status", "--environment", "local", "--output", "json"]);
    let status: serde_json::Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.all()));
    let tests = status["flaky_tests"].as_array().unwrap();
    tests.iter().map(|it| it["test"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_one_clone_has_seen_the_other_knows() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let bare = folder.path().join("fleet.git");
    let made = std::process::Command::new("git").args(["init", "-q", "--bare"]).arg(&bare).status();
    assert!(made.unwrap().success());
    let bare = bare.display().to_string();

    let first = deployable(free_port(), "hello\n", "hello", "");
    let config = first
        .read("config.yaml")
        .replace("! grep -n teh page.txt", "cargo test --offline --lib --no-fail-fast");
    first.write("config.yaml", &format!("{config}sandbox: {{level: off}}\n"));
    let manifest = "[package]\nname = \"fleet\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    first.write("Cargo.toml", manifest);
    first.write("src/lib.rs", LIBRARY);
    first.write(".gitignore", "/service\n/target\nCargo.lock\n");
    first.commit("tests");
    first.git(&["remote", "add", "origin", &bare]);
    first.git(&["push", "-q", "origin", "HEAD:main"]);
    assert!(flaky_tests(&first, &hub).is_empty());
    let ran = run(&first, &hub, &["run", "--environment", "local"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.all().to_lowercase().contains("flaky"), "{}", ran.all());
    assert_eq!(flaky_tests(&first, &hub), ["tests::chance"]);
    let stopped = run(&first, &hub, &["stop", "--environment", "local", "--yes"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.all());

    // Another machine, which has run nothing yet.
    let second = deployable(free_port(), "hello\n", "hello", "");
    second.git(&["remote", "add", "origin", &bare]);
    second.git(&["fetch", "-q", "origin"]);
    second.git(&["reset", "-q", "--hard", "origin/main"]);
    assert_eq!(flaky_tests(&second, &hub), ["tests::chance"]);
    assert!(!second.path().join(".git/greenloop/flaky.json").exists(), "a look writes nothing");
    second.write(".git/ran-once", "");
    let ran = run(&second, &hub, &["run", "--environment", "local"]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    // It uses the hub's answer, and keeps it while the hub is away.
    assert!(second.read(".git/greenloop/flaky.json").contains("tests::chance"));

    // A repository of its own knows nothing of it, and a hub that is gone fails no run.
    let other = deployable(free_port(), "hello\n", "hello", "");
    other.git(&["remote", "add", "origin", "https://example.org/other.git"]);
    assert!(flaky_tests(&other, &hub).is_empty());
    let (url, token) = (hub.url.clone(), hub.token.clone());
    drop(hub);
    let ran: Outcome = other
        .greenloop()
        .args(["run", "--environment", "local"])
        .env("GREENLOOP_HUB_URL", url)
        .env("GREENLOOP_HUB_TOKEN", token)
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
}

/// `heal` and `pr` have the hub's memory, too.
#[test]
fn a_command_that_is_healed_learns_and_reports_flaky_tests() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let ran_once = folder.path().join("ran-once");
    let clone = || {
        let clone = deployable(free_port(), "hello\n", "hello", "");
        let config = clone.read("config.yaml");
        clone.write("config.yaml", &format!("{config}sandbox: {{level: off}}\n"));
        let manifest = "[package]\nname = \"fleet\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        clone.write("Cargo.toml", manifest);
        let path = format!("\"{}\"", ran_once.display());
        let library =
            LIBRARY.replace("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/.git/ran-once\")", &path);
        clone.write("src/lib.rs", &library);
        clone.write(".gitignore", "/service\n/target\nCargo.lock\n");
        clone.commit("tests");
        clone.git(&["remote", "add", "origin", "https://example.org/fleet.git"]);
        clone
    };
    let first = clone();
    let healed = run(&first, &hub, &["heal", "--", "cargo test --offline --lib --no-fail-fast"]);
    assert_eq!(healed.code, Some(0), "{}", healed.all());
    assert_eq!(flaky_tests(&clone(), &hub), ["tests::chance"]);
    for arguments in
        [&["heal", "--", "true"][..], &["pr", "--number", "7", "--environment", "local"]]
    {
        let other = clone();
        let ran = run(&other, &hub, arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert!(other.read(".git/greenloop/flaky.json").contains("tests::chance"), "{arguments:?}");
    }
}
