//! Failing releases: their evidence, the restore, and healing.

use serde_json::{Value, json};

use crate::binary::{Shop, command};
use crate::program::{ECHOED, ECHOES, HEALTHY, HEALTHY_TOO, PANICS};
use crate::repository::Outcome;

/// The author's answer that fixes the command, and the reviewer's.
fn heals() -> String {
    let answer = format!(
        "The service dies of a missing setting.\n\nDockerfile\n```\n<<<<<<< SEARCH\n{}\n\
         =======\n{}\n>>>>>>> REPLACE\n```\n",
        command(&PANICS),
        command(&HEALTHY_TOO)
    );
    let review = json!({
        "verdict": "approve", "risk": "low", "reason": "right", "suggestion": null,
    });
    let lines = [
        json!({"role": "author", "answer": answer}),
        json!({"role": "reviewer", "answer": review.to_string()}),
    ];
    lines.map(|line| line.to_string() + "\n").concat()
}

fn states(status: &Value) -> Vec<&str> {
    let releases = status["releases"].as_array().unwrap();
    releases.iter().filter_map(|release| release["state"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_crashes_gives_way_to_the_last_verified_one() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.change(&PANICS, "needs a database");
    let outcome = shop.ends(&[], 4);
    // The log of the dead container contains it.
    assert!(outcome.all().contains("missing DATABASE_URL"), "{}", outcome.all());
    assert_eq!(shop.applied().await.unwrap(), good);
    assert!(outcome.all().contains("and passes the smoke tests"), "{}", outcome.all());
    let status = shop.status();
    assert_eq!(status["serving"]["release"]["image"], good, "{status}");
    assert_eq!(states(&status), ["failed", "verified"], "{status}");
    assert_eq!(status["notes"], json!([]), "{status}");
    let summary = std::fs::read_to_string(shop.repository.run_folder().join("summary.md")).unwrap();
    for part in ["missing DATABASE_URL", "The last verified release, restored"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    // Its log was read before the restore.
    let journal = shop.world.wire().server.journal();
    let calls: Vec<String> = journal.entries().iter().map(|entry| entry.call.told()).collect();
    let log = calls.iter().rposition(|call| call.contains("/log"));
    let back = calls.iter().rposition(|call| call == "patch deployments/web");
    assert!(log.is_some() && log < back, "{calls:#?}");
}

/// What a person at a terminal reads of it: the telling lines, not all that is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_rollout_shows_what_tells_most_and_the_rest_on_request() {
    let Some(shop) = Shop::new(&PANICS, "").await else { return };
    let told = |arguments: &[&str]| {
        let mut command = shop.repository.greenloop();
        command.args(["run", "--output", "human", "--environment", "staging"]).args(arguments);
        let outcome: Outcome = command.env("COLUMNS", "100").output().unwrap().into();
        let text = outcome.stdout.clone();
        let from = text.find("rollout failed").unwrap_or_else(|| panic!("{}", outcome.all()));
        let text = &text[from..];
        let to = text.find("the service's own log").unwrap_or(text.len());
        text[..to].to_owned()
    };
    let short = told(&[]);
    assert!(short.lines().count() <= 34, "{short}");
    for part in ["missing DATABASE_URL", "container web", "more in the report; `--debug`"] {
        assert!(short.contains(part), "{part}: {short}");
    }
    // What is as it should be is no trouble.
    for part in ["rule ", "probe of container", "event of pod/web", "Scheduled"] {
        assert!(part == "event of pod/web" || !short.contains(part), "{part}: {short}");
    }
    let folder = shop.repository.run_folder();
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("readiness probe of container web"), "the report has all");
    let whole = told(&["--debug"]);
    for part in ["missing DATABASE_URL", "rule ", "readiness probe of container web"] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    assert!(whole.lines().count() > short.lines().count(), "{whole}");
}

/// The program's own `logs` and `stop` of two replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_read_and_stopped_by_the_program() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let manifests = shop.repository.read("k8s/app.yaml").replace("replicas: 1", "replicas: 2");
    shop.repository.write("k8s/app.yaml", &manifests);
    shop.repository.commit("two replicas");
    let early = shop.ends(&["stop", "--yes"], 0);
    assert!(early.stdout.contains("nothing is serving"), "{}", early.all());
    shop.ends(&[], 0);
    let logs = shop.ends(&["logs"], 0);
    let mut pods: Vec<&str> =
        logs.stdout.lines().filter_map(|line| line.split_once(" | ")).map(|(pod, _)| pod).collect();
    pods.dedup();
    assert_eq!(pods.len(), 2, "{}", logs.all());
    assert!(pods.iter().all(|pod| pod.starts_with("web-") && pod.ends_with("/web")), "{pods:?}");
    assert!(logs.stdout.contains("/web | listening on 8080"), "{}", logs.all());
    let stopped = shop.ends(&["stop", "--yes"], 0);
    assert!(stopped.stdout.contains("stopped release"), "{}", stopped.all());
    assert_eq!(shop.applied().await, None);
    let twice = shop.ends(&["stop", "--yes"], 0);
    assert!(twice.stdout.contains("nothing is serving"), "{}", twice.all());
    let none = shop.ends(&["logs"], 1);
    assert!(none.stderr.contains("nothing is serving"), "{}", none.all());
}

/// Every file below a folder, as one text.
fn everything_in(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&everything_in(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            text.push_str(&format!("== {}\n{}\n", path.display(), String::from_utf8_lossy(&bytes)));
        }
    }
    text
}

/// A Secret of the manifests that a container prints is neither on the terminal nor in any file of
/// the run: audit log, events, reports, JUnit, the program's log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_a_crash_prints_is_in_no_file() {
    let Some(shop) = Shop::new(&ECHOES, "").await else { return };
    let values: Vec<String> =
        ECHOED.iter().enumerate().map(|(i, value)| format!("  key{i}: {value}\n")).collect();
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: web\nstringData:\n{}",
        values.concat()
    );
    let manifests = shop.repository.read("k8s/app.yaml") + &secret;
    shop.repository.write("k8s/app.yaml", &manifests);
    shop.repository.commit("keep secrets");
    let outcome = shop.run(&[]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.all());
    let told = outcome.all() + &everything_in(&shop.repository.path().join("logs"));
    assert!(told.contains("cannot log in with [redacted] at [redacted]"), "{told}");
    for value in ECHOED {
        assert!(!told.contains(value), "{value}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_crashes_is_healed() {
    let Some(shop) = Shop::new(&HEALTHY, &heals()).await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.expect_page("two");
    shop.change(&PANICS, "needs a database");
    // A person has to confirm a change of how the image is built.
    let outcome = shop.ends(&["run", "--yes"], 0);
    // The restored release differs from this commit, which is not reported as drift.
    let folder = shop.repository.run_folder();
    let events = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    assert!(events.contains("the smoke tests of this commit fail on it: page"), "{events}");
    assert!(outcome.all().contains("missing DATABASE_URL"), "{}", outcome.all());
    let healed = shop.applied().await.unwrap();
    assert_ne!(healed, good);
    let status = shop.status();
    assert_eq!(states(&status), ["verified", "failed", "superseded"], "{status}");
    assert_eq!(status["serving"]["release"]["image"], healed, "{status}");
    // It belongs to the commit on the run's branch.
    let branch =
        shop.repository.git(&["branch", "--list", "greenloop/*", "--format=%(objectname)"]);
    assert_eq!(status["serving"]["release"]["commit"], branch, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_whose_smoke_tests_fail_gives_way() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    // The rollout succeeds; only the page is wrong.
    shop.change(&HEALTHY_TOO, "another page");
    let outcome = shop.ends(&[], 4);
    assert!(outcome.all().contains("page"), "{}", outcome.all());
    assert_eq!(shop.applied().await.unwrap(), good);
    let status = shop.status();
    assert_eq!(states(&status), ["failed", "verified"], "{status}");
    assert_eq!(status["releases"][0]["verified_at"], Value::Null, "{status}");
}

/// What failed, what runs now, and the commands that lead on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_fails_says_what_runs_and_what_to_do() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    shop.expect_page("o");
    shop.change(&HEALTHY_TOO, "another page");
    shop.ends(&[], 0);
    let applied = shop.applied().await;
    let serving = shop.status()["serving"]["release"]["id"].as_str().unwrap().to_owned();
    shop.world.wire().server.forbid("patch", "deployments");
    let outcome = shop.ends(&["rollback"], 3);
    let again = format!("rollback --environment staging --to-release {serving}");
    for part in [
        "NOT rolled back: ",
        "is not permitted to patch deployments.apps",
        &serving[serving.len() - 8..],
        "status",
        again.as_str(),
    ] {
        assert!(outcome.all().contains(part), "{part}: {}", outcome.all());
    }
    // Whoever may not do it now will not be able to in ten seconds.
    assert!(!outcome.all().contains("trying again"), "{}", outcome.all());
    assert_eq!(shop.applied().await, applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_must_not_be_rolled_back_is_mended_forward() {
    let Some(shop) = Shop::new(&HEALTHY, &heals()).await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.expect_page("o");
    let config = shop.repository.read("config.yaml");
    let config = config.replace("  wait_timeout: 60", "  wait_timeout: 60\n  rollback: forbidden");
    shop.repository.write("config.yaml", &config);
    shop.change(&PANICS, "migrate for good");
    let outcome = shop.ends(&["run", "--yes"], 0);
    assert!(outcome.all().contains("must not be rolled back"), "{}", outcome.all());
    let healed = shop.applied().await.unwrap();
    assert_ne!(healed, good);
    // Rollback stays forbidden, whatever came after.
    let refused = shop.ends(&["rollback"], 1);
    assert!(refused.all().contains("must not be rolled back"), "{}", refused.all());
    assert_eq!(shop.applied().await.unwrap(), healed);
}
