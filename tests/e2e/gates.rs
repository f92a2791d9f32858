//! Gates from outside: order, timeouts, leftovers, memory.

use crate::repository::{Outcome, Repository, deployable, free_port, get, pids_mentioning};

/// A repository with these gates; no run of it reaches a rollout.
fn with_gates(gates: &str) -> Repository {
    let repository = deployable(free_port(), "hello\n", "hello", "");
    let config = repository.read("config.yaml");
    let (before, rest) = config.split_once("quality_gates:\n").unwrap();
    let (_, after) = rest.split_once("deploy:\n").unwrap();
    let config = format!("{before}quality_gates:\n{gates}deploy:\n{after}");
    repository.write("config.yaml", &config);
    repository.commit("gates");
    repository
}

#[test]
fn results_stand_in_configured_order_however_they_ran() {
    let repository = with_gates(
        "  - {name: slow, command: sleep 0.4, required: true}\n\
         \x20 - {name: quick, command: 'true', required: true}\n\
         \x20 - {name: last, command: 'false', required: true, needs: [slow]}\n\
         \x20 - {name: never, command: 'true', required: true, needs: [last]}\n",
    );
    let outcome = repository.run(&["--environment", "local", "--output", "json"]);
    let finished: Vec<serde_json::Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event"] == "gate_finished")
        .collect();
    let count = |name: &str| finished.iter().filter(|event| event["gate"]["name"] == name).count();
    // The failed gate is rerun with the gates that depend on it; passed gates are not.
    let counts = ["slow", "quick", "last", "never"].map(count);
    assert_eq!(counts, [1, 1, 2, 2], "{}", outcome.all());
    let junit = std::fs::read_to_string(repository.run_folder().join("junit.xml")).unwrap();
    let places: Vec<usize> = ["\"slow\"", "\"quick\"", "\"last\"", "\"never\""]
        .iter()
        .map(|name| junit.find(name).unwrap_or_else(|| panic!("{name} in {junit}")))
        .collect();
    assert!(places.is_sorted(), "{junit}");
}

#[test]
fn a_timeout_kills_everything_the_gate_started() {
    let repository = with_gates(
        "  - {name: hangs, command: 'sleep 77 & setsid sleep 78 & sleep 79', required: true, timeout: 1}\n",
    );
    let outcome = repository.run(&["--environment", "local"]);
    assert_ne!(outcome.code, Some(0));
    assert!(outcome.all().contains("timed out after 1s"), "{}", outcome.all());
    assert_eq!(pids_mentioning(repository.path()), Vec::<u32>::new());
}

#[test]
fn an_exit_by_signal_is_named() {
    let repository = with_gates("  - {name: crashes, command: 'kill -SEGV $$', required: true}\n");
    let outcome = repository.run(&["--environment", "local"]);
    assert!(outcome.all().contains("SIGSEGV"), "{}", outcome.all());
}

#[test]
fn an_advisory_gate_only_warns() {
    let repository = with_gates("  - {name: lint, command: 'exit 7', required: false}\n");
    let outcome = repository.run(&["--environment", "local"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("lint"), "{}", outcome.all());
}

#[test]
fn output_that_is_no_text_and_a_name_that_is_no_text_are_no_trouble() {
    let repository = with_gates(
        "  - {name: bytes, command: \"printf 'error: \\\\377\\\\376 bad\\\\n'; cat -- *.bin; exit 1\", required: true}\n",
    );
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.bin");
    std::fs::write(repository.path().join(name), b"\xff\xfe\x00\x01").unwrap();
    repository.commit("bytes");
    let outcome = repository.run(&["--environment", "local"]);
    // The recording is empty: this tests the failure, not the healing.
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("bytes"), "{}", outcome.all());
}

#[test]
fn a_log_of_any_size_is_read_in_bounded_memory() {
    // 300 MB here, 2 GB in benches/memory.sh, with the same limit.
    let repository = with_gates(
        "  - {name: loud, command: \"yes 'npm http fetch GET 200 https://registry/x 12ms' | head -c 300000000; echo 'src/a.rs:3:5: error: broken'; exit 1\", required: true}\n",
    );
    let mut child = repository
        .greenloop()
        .args(["--environment", "local", "--output", "plain"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now = text
            .lines()
            // Private memory: the code pages of an unoptimised program are not related to the log.
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(peak > 1_000, "no memory was measured");
    assert!(peak < 40 * 1024, "the peak was {peak} kB");
    let log = repository.run_folder().join("stages/1-gates-loud.log");
    // The beginning and the end are kept.
    let text = std::fs::read_to_string(log).unwrap();
    assert!((60 << 20..80 << 20).contains(&text.len()), "{}", text.len());
    assert!(text.contains(" bytes are left out here: the log is too long]"));
    assert!(text.ends_with("src/a.rs:3:5: error: broken\n"));
}

#[test]
fn a_gate_that_changes_tracked_files_stops_the_run_unless_it_says_so() {
    let gate = |more: &str| {
        let repository = with_gates(&format!(
            "  - {{name: writes, command: 'echo changed >>notes.txt; false', required: false}}\n\
             \x20 - {{name: format, command: 'echo changed >>notes.txt'{more}}}\n",
        ));
        repository.write("notes.txt", "notes\n");
        repository.commit("notes");
        repository.run(&["--environment", "local", "--output", "plain"])
    };
    let outcome = gate("");
    assert_eq!(outcome.code, Some(1), "{}", outcome.all());
    for part in ["notes.txt", "+changed", "writes"] {
        assert!(outcome.all().contains(part), "{part}: {}", outcome.all());
    }
    let outcome = gate(", writes: ['*.txt']");
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

/// Only what the script itself changes is its doing.
#[test]
fn a_smoke_script_that_changes_tracked_files_stops_the_run_unless_it_says_so() {
    let deploy = |script: &str, more: &str| {
        let port = free_port();
        let repository = deployable(port, "the page\n", "page", "");
        let config = repository.read("config.yaml");
        let smoke = format!("verification:\n  smoke_tests: {{ script: ./smoke.sh{more} }}\n");
        repository.write("config.yaml", &config.replace("verification:\n", &smoke));
        repository.write("smoke.sh", script);
        let path = repository.path().join("smoke.sh");
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        repository.write("seen.txt", "nothing\n");
        repository.commit("smoke");
        let outcome = repository.run(&["--environment", "local", "--output", "plain"]);
        (port, repository, outcome)
    };
    let writes = "#!/bin/sh\necho changed >seen.txt\n";
    let (port, _repository, outcome) = deploy(writes, "");
    assert_ne!(outcome.code, Some(0), "{}", outcome.all());
    for part in ["seen.txt", "-nothing", "+changed", "smoke_tests.writes"] {
        assert!(outcome.all().contains(part), "{part}: {}", outcome.all());
    }
    let status = get(port, "/").map(|(status, _)| status);
    assert_ne!(status, Some(200), "the release was not taken back");
    let (port, _repository, outcome) = deploy(writes, ", writes: ['*.txt']");
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert_eq!(get(port, "/"), Some((200, "the page\n".into())));
    let (_, _repository, outcome) = deploy("#!/bin/sh\necho built >out.log\n", "");
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
}

#[test]
fn a_gate_that_walks_the_work_tree_finds_no_tools_of_the_home() {
    let home = tempfile::tempdir().unwrap();
    let tools = home.path().join(".cargo/registry/src");
    std::fs::create_dir_all(&tools).unwrap();
    std::fs::write(tools.join("theirs.test.js"), "").unwrap();
    let repository = Repository::new(&[("ours.test.js", "\n")]);
    let walk = "ls ~/.cargo/registry/src/theirs.test.js \
                && test \"$(find -L . -name '*.test.js')\" = ./ours.test.js";
    let mut command = repository.greenloop();
    command.env("HOME", home.path()).env_remove("CARGO_HOME").env_remove("XDG_CACHE_HOME");
    let outcome: Outcome = command.args(["heal", "--", "sh", "-c", walk]).output().unwrap().into();
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let left =
        std::fs::read_dir(home.path().join(".cache/greenloop/sandbox")).into_iter().flatten();
    assert_eq!(left.count(), 0);
}
