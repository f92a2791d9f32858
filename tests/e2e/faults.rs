//! Faults around a run: a busy model, disks, clocks, many runs at once, and what the killed leave.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use self::failing_sync::with_failing_sync;
use crate::repository::{Outcome, Repository, deployable, free_port, get};
use crate::run::{APPROVE as APPROVED, FIX_SPELLING};
use crate::server::{APPROVE, ModelServer, Quirk};

#[path = "../fixtures/failing_sync.rs"]
mod failing_sync;

const TEST: &str =
    ". ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: not 5\"; exit 1; }\n";
const BROKEN: &str = "add() {\n  echo $(($1 - $2))\n}\n";
const FIX: &str = "It subtracts.\n\n\
    add.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n=======\n  echo $(($1 + $2))\n>>>>>>> REPLACE\n```\n";

fn broken() -> Repository {
    Repository::new(&[("add.sh", BROKEN), ("test.sh", TEST)])
}

fn heal(repository: &Repository, server: &ModelServer, arguments: &[&str]) -> Outcome {
    let mut command = repository.greenloop();
    command.arg("heal").args(arguments).args(["--", "sh", "test.sh"]);
    command.env("OPENAI_BASE_URL", server.base_url()).env("GREENLOOP_MODEL", "test-model");
    command.env("OPENAI_API_KEY", "sk-test-0123456789abcdef").output().unwrap().into()
}

/// The events that a run has printed as JSON.
fn events(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_a_model_asks_for_is_told_before_it_begins() {
    for output in ["plain", "json"] {
        let repository = broken();
        let busy = Quirk::Busy { asks: "2", times: 1 };
        let server = ModelServer::with_quirk(&[FIX], APPROVE, busy).await;
        let outcome = heal(&repository, &server, &["--output", output]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.all());
        assert_eq!(server.author_requests().len(), 2);
        let told = ["HTTP status 429", "the server asks to wait 2 s", "retry 1 of 3", "Ctrl-C"];
        let is_wait = |text: &str| told.iter().all(|part| text.contains(part));
        if output == "plain" {
            let screen = outcome.all().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(is_wait(&screen), "{}", outcome.all());
            continue;
        }
        let events = events(&outcome);
        let place = |what: &str, is_it: &dyn Fn(&Value) -> bool| {
            let found = events.iter().position(is_it);
            found.unwrap_or_else(|| panic!("no {what}: {}", outcome.all()))
        };
        let asked = place("question", &|event| event["event"] == "author_asked");
        let wait = place("wait", &|event| event["text"].as_str().is_some_and(is_wait));
        let patch = place("patch", &|event| event["event"] == "patch_proposed");
        assert!(asked < wait && wait < patch, "{asked} {wait} {patch}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_leads_nowhere_ends_the_run_at_once() {
    let limited = "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
                   deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
                   safety:\n  max_duration: 30s\n";
    for (config, asks, told) in [
        // Longer than all retries together.
        (None, "3600", ["the server asks to wait 3600 s (until 20", "run again then"]),
        (Some(limited), "50", ["left of the run's time limit", "`safety.max_duration`: 30 s"]),
    ] {
        let repository = broken();
        if let Some(config) = config {
            repository.write("config.yaml", config);
            repository.commit("a limit");
        }
        let busy = Quirk::Busy { asks, times: usize::MAX };
        let server = ModelServer::with_quirk(&[FIX], APPROVE, busy).await;
        let outcome = heal(&repository, &server, &[]);
        assert_eq!(outcome.code, Some(3), "{asks}: {}", outcome.all());
        let screen = outcome.all().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in told {
            assert!(screen.contains(part), "{asks}: {part}: {}", outcome.all());
        }
        assert_eq!(server.author_requests().len(), 1, "{asks}: it was asked again");
        assert_eq!(repository.read("add.sh"), BROKEN);
    }
}

#[test]
fn ten_runs_in_ten_environments_do_not_disturb_each_other() {
    const RUNS: usize = 10;
    let cache = tempfile::tempdir().unwrap();
    let mut worlds = Vec::new();
    for n in 0..RUNS {
        let port = free_port();
        let fix = FIX_SPELLING.replace("the page", &format!("the page of {n}"));
        let transcript = format!("{fix}\n{APPROVED}\n");
        let repository = deployable(port, "teh page\n", &format!("of {n}"), &transcript);
        let config = repository.read("config.yaml").replace("  local:", &format!("  stage-{n}:"));
        repository.write("config.yaml", &config);
        repository.commit("an environment of its own");
        worlds.push((n, port, repository));
    }
    // A port that was free twice would be a fault of this test.
    assert_eq!(worlds.iter().map(|world| world.1).collect::<BTreeSet<_>>().len(), RUNS);
    let running: Vec<Child> = worlds
        .iter()
        .map(|(n, _, repository)| {
            let mut command = repository.greenloop();
            command.args(["--environment", &format!("stage-{n}"), "--output", "json"]);
            command.env("XDG_CACHE_HOME", cache.path());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut runs = BTreeSet::new();
    for (child, (n, port, repository)) in running.into_iter().zip(&worlds) {
        let outcome: Outcome = child.wait_with_output().unwrap().into();
        assert_eq!(outcome.code, Some(0), "{n}: {}", outcome.all());
        assert_eq!(get(*port, "/"), Some((200, format!("the page of {n}\n"))), "{n}");
        let environment = format!("stage-{n}");
        let started: Vec<Value> =
            events(&outcome).into_iter().filter(|event| event["event"] == "started").collect();
        let [started] = started.as_slice() else { panic!("{n}: {}", outcome.all()) };
        assert_eq!(started["environment"], environment.as_str(), "{n}");
        // Every event is of the one run whose folder lies in this repository.
        let folder = repository.run_folder();
        let run = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(events(&outcome).iter().all(|event| event["run"] == run.as_str()), "{n}");
        assert!(runs.insert(run), "{n}");
        let verified = repository.run(&["audit", "verify"]);
        assert_eq!(verified.stdout.matches("ok    ").count(), 1, "{n}: {}", verified.all());
        let status = repository.run(&["status", "--environment", &environment]);
        assert!(status.stdout.contains("verified"), "{n}: {}", status.all());
        assert_eq!(repository.git(&["status", "--porcelain"]), "", "{n}");
        assert_eq!(repository.read("page.txt"), "teh page\n", "{n}");
    }
    assert_eq!(left_in(&cache.path().join("greenloop/sandbox")), Vec::<PathBuf>::new());
}

/// What lies in a folder, sorted; nothing where there is no folder.
fn left_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Runs the program with the repository mounted read-only; `None` where that cannot be done.
fn read_only(repository: &Repository, arguments: &[&str]) -> Option<Outcome> {
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && cd \"$1\" || exit 77; \
                 shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", mount, "sh"]).arg(repository.path());
    command.arg(env!("CARGO_BIN_EXE_greenloop")).args(arguments);
    command.env_remove("OPENAI_API_KEY").env_remove("OPENAI_BASE_URL").stdin(Stdio::null());
    let outcome: Outcome = command.output().ok()?.into();
    let mounted = outcome.code != Some(77) && !outcome.stderr.contains("unshare failed");
    if !mounted {
        eprintln!("SKIPPED: nothing can be mounted here: {}", outcome.stderr);
    }
    mounted.then_some(outcome)
}

#[test]
fn a_read_only_file_system_is_told_before_anything_begins() {
    let repository = broken();
    let first = repository.run(&["heal", "--", "true"]);
    assert_eq!(first.code, Some(0), "{}", first.all());
    let before = left_in(&repository.path().join("logs/runs"));
    let Some(doctor) = read_only(&repository, &["doctor"]) else { return };
    assert_ne!(doctor.code, Some(0), "{}", doctor.all());
    for part in ["storage", "Read-only file system", "mount the file system for writing"] {
        let all = doctor.all().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(part), "{part}: {}", doctor.all());
    }
    let Some(healed) = read_only(&repository, &["heal", "--", "touch", "ran"]) else { return };
    assert_eq!(healed.code, Some(3), "{}", healed.all());
    assert!(healed.all().contains("Read-only file system"), "{}", healed.all());
    assert_eq!(left_in(&repository.path().join("logs/runs")), before);
    assert!(!repository.path().join("ran").exists());
}

#[test]
fn a_disk_that_reports_errors_lets_no_run_begin() {
    let repository = broken();
    let first = repository.run(&["heal", "--", "true"]);
    assert_eq!(first.code, Some(0), "{}", first.all());
    let before = left_in(&repository.path().join("logs/runs"));
    let outcome = with_failing_sync(|| repository.run(&["heal", "--", "touch", "ran"]));
    assert_eq!(outcome.code, Some(3), "{}", outcome.all());
    assert!(outcome.all().contains("Input/output error"), "{}", outcome.all());
    assert_eq!(left_in(&repository.path().join("logs/runs")), before);
    assert!(!repository.path().join("ran").exists(), "a gate ran without a record");
    // The disk has room again: nothing blocks the next run.
    let next = repository.run(&["heal", "--", "true"]);
    assert_eq!(next.code, Some(0), "{}", next.all());
    let verified = repository.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.all());
}

/// Adds the seconds in the file `$TEST_CLOCK`, once it is there, to what the clock on the wall says.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long jump(void) {
    const char *path = getenv("TEST_CLOCK");
    FILE *file = path ? fopen(path, "re") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return result;
}
"#;

/// The library that [`CLOCK`] comes to; `None` without a C compiler.
fn clock(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, CLOCK).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output();
    built.is_ok_and(|it| it.status.success()).then_some(library)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_day_changes_no_duration_and_no_limit() {
    const DAY: i64 = 86_400;
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = clock(folder.path()) else {
        eprintln!("SKIPPED: there is no C compiler, so no clock could be played");
        return;
    };
    for jump in [DAY, -DAY] {
        let repository = broken();
        let server = ModelServer::start(&[FIX], APPROVE).await;
        let dial = folder.path().join(format!("clock{jump}"));
        let mut command = repository.greenloop();
        // The clock jumps while the command runs; the run has minutes for all of it.
        let line = format!("echo {jump} > {}; sh test.sh", dial.display());
        command.args(["heal", "--sandbox", "off", "--timeout", "600", "--output", "json", "--"]);
        command.arg(&line).env("TEST_CLOCK", &dial).env("LD_PRELOAD", &library);
        command.env("OPENAI_BASE_URL", server.base_url()).env("GREENLOOP_MODEL", "test-model");
        command.env("OPENAI_API_KEY", "sk-test-0123456789abcdef");
        let outcome: Outcome = command.output().unwrap().into();
        assert_eq!(outcome.code, Some(0), "{jump}: {}", outcome.all());
        assert!(repository.read("add.sh").contains("$(($1 + $2))"), "{jump}");

        let log = repository.run_folder().join("audit.jsonl");
        let records: Vec<Value> = std::fs::read_to_string(log)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].clone())
            .collect();
        let number = |record: &Value| record["mono_ms"].as_u64().unwrap();
        assert!(records.is_sorted_by_key(number), "{jump}: {records:#?}");
        // Half a day is far from what any of it can have taken, and from the jump.
        let half = DAY.unsigned_abs() * 500;
        assert!(number(records.last().unwrap()) < half, "{jump}");
        let walls: Vec<jiff::Timestamp> = records
            .iter()
            .map(|record| record["wall"].as_str().unwrap().parse().unwrap())
            .collect();
        let jumped = walls[walls.len() - 1].as_second() - walls[0].as_second();
        assert!((jumped - jump).abs() < DAY / 2, "{jump}: the records show {jumped}");
        let durations: Vec<u64> = events(&outcome)
            .iter()
            .filter_map(|event| {
                event.get("elapsed_ms").or(event["gate"].get("duration_ms"))?.as_u64()
            })
            .collect();
        assert!(!durations.is_empty() && durations.iter().all(|it| *it < half), "{durations:?}");
        let verified = repository.run(&["audit", "verify"]);
        assert_eq!(verified.code, Some(0), "{jump}: {}", verified.all());
    }
}

/// A run whose command waits; its sandbox's folder is there.
fn waiting(repository: &Repository, cache: &Path) -> (Child, PathBuf) {
    let before = left_in(&cache.join("greenloop/sandbox"));
    let mut child = repository
        .greenloop()
        .args(["heal", "--", "sleep", "1000"])
        .env("XDG_CACHE_HOME", cache)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let made = (0..9_000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let found = left_in(&cache.join("greenloop/sandbox")).into_iter();
        found.filter(|path| !before.contains(path)).find(|path| path.join("home").is_dir())
    });
    let Some(folder) = made else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("no sandbox was made");
    };
    (child, folder)
}

#[test]
fn what_killed_runs_of_other_repositories_left_is_removed_and_nothing_of_the_living() {
    let cache = tempfile::tempdir().unwrap();
    let sandboxes = cache.path().join("greenloop/sandbox");
    let (killed, living, next) = (broken(), broken(), broken());
    let run = |repository: &Repository, arguments: &[&str]| -> Outcome {
        let mut command = repository.greenloop();
        command.args(arguments).env("XDG_CACHE_HOME", cache.path()).output().unwrap().into()
    };
    if run(&next, &["sandbox", "--", "true"]).code != Some(0) {
        eprintln!("SKIPPED: this machine has no sandbox, so nothing was left in one");
        return;
    }
    let (mut dead, dead_folder) = waiting(&killed, cache.path());
    let (mut alive, alive_folder) = waiting(&living, cache.path());
    dead.kill().unwrap();
    dead.wait().unwrap();
    assert!(dead_folder.is_dir());

    let outcome = run(&next, &["heal", "--", "true"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    assert!(!dead_folder.exists(), "{}", outcome.all());
    let lock = alive_folder.with_extension("lock");
    assert_eq!(left_in(&sandboxes), [alive_folder.clone(), lock]);

    alive.kill().unwrap();
    alive.wait().unwrap();
    let doctor = run(&next, &["doctor"]);
    assert!(doctor.all().contains("sandbox folders"), "{}", doctor.all());
    assert_eq!(left_in(&sandboxes), Vec::<PathBuf>::new(), "{}", doctor.all());
}
