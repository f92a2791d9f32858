//! Ends of runs: verification, the report of the serving release, and signals.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::DeleteParams;

use crate::binary::Shop;
use crate::program::{HEALTHY, HEALTHY_TOO, PANICS};
use crate::repository::Outcome;
use crate::server::fault::Fault;

impl Shop {
    /// Without any model.
    fn without_model(&self) {
        let config = self.repository.read("config.yaml");
        let agents = config.find("agents:").unwrap();
        self.repository.write("config.yaml", &config[..agents]);
        self.repository.commit("no model");
    }

    fn soak(&self, soak: &str) {
        let config = self.repository.read("config.yaml");
        let (before, after) = config.split_once("soak: ").unwrap();
        let (_, after) = after.split_once('\n').unwrap();
        self.repository.write("config.yaml", &format!("{before}soak: {soak}\n{after}"));
        self.repository.commit("soak");
    }

    async fn remove_by_hand(&self) {
        let web = self.world.api::<Deployment>();
        web.delete("web", &DeleteParams::foreground()).await.unwrap();
        while web.get_opt("web").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn summary(&self) -> String {
        std::fs::read_to_string(self.repository.run_folder().join("summary.md")).unwrap()
    }

    fn start(&self) -> Child {
        let mut command = self.repository.greenloop();
        command.args(["--environment", "staging"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the Deployment has another image than `image`.
    async fn until_applied(&self, image: &str) {
        let applied = async {
            while self.applied().await.is_none_or(|now| now == image) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), applied).await.unwrap();
    }

    /// How often the Deployment was written.
    fn deployments_written(&self) -> usize {
        self.writes().iter().filter(|call| *call == "patch deployments/web").count()
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

async fn ended(child: Child) -> Outcome {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
    output.unwrap().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_never_verified() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let empty = shop.ends(&["verify"], 1);
    for part in ["NOT verified", "there is no service/web in namespace shop"] {
        assert!(empty.all().contains(part), "{part}: {}", empty.all());
    }
    shop.ends(&[], 0);
    shop.ends(&["verify"], 0);
    shop.remove_by_hand().await;
    let gone = shop.ends(&["verify"], 1);
    for part in ["has no ready pod", "deployment/web no longer exists"] {
        assert!(gone.all().contains(part), "{part}: {}", gone.all());
    }
    // `status` reports it as well.
    let status = shop.status();
    assert_eq!(status["condition"], "down", "{status}");
    let text = shop.ends(&["status"], 0);
    assert!(text.stdout.contains("NOT serving: deployment/web no longer exists"), "{}", text.all());
    shop.world.wire().server.cut(Duration::from_secs(600));
    let unknown = shop.ends(&["status"], 3);
    assert!(unknown.stdout.contains("state unknown: "), "{}", unknown.all());
    let lost = shop.ends(&["verify"], 3);
    assert!(lost.all().contains("API server"), "{}", lost.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_may_not_be_forwarded_is_no_reason_to_test_something_else() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    shop.world.wire().server.forbid("create", "pods/portforward");
    let refused = shop.ends(&["verify"], 3);
    assert!(refused.all().contains("`create` on `pods/portforward`"), "{}", refused.all());
    assert!(!refused.all().contains("web.example.com:"), "{}", refused.all());
}

/// An unknown host in `url` is a configuration error: it is not retried, and not an infrastructure
/// failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_told_as_such() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let config = shop.repository.read("config.yaml");
    let config = config.replace("    service: web:80\n", "");
    let config = config.replace("http://web.example.com", "http://no-such-host.invalid");
    shop.repository.write("config.yaml", &config);
    shop.repository.commit("an address that nobody has");
    let verify = shop.ends(&["verify"], 1);
    for part in ["the host no-such-host.invalid is unknown", "check `url` of the environment"] {
        assert!(verify.all().contains(part), "{part}: {}", verify.all());
    }
    for part in ["infrastructure", " tries)"] {
        assert!(!verify.all().contains(part), "{part}: {}", verify.all());
    }
}

/// The restore is the headline; the failure and the missing model are below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_model_the_outcome_is_the_restore() {
    let Some(shop) = Shop::new(&PANICS, "").await else { return };
    shop.without_model();
    let first = shop.ends(&[], 1);
    assert!(first.all().contains("there was none to restore"), "{}", first.all());
    assert!(first.all().contains("missing DATABASE_URL"), "{}", first.all());
    assert_eq!(shop.applied().await, None);

    shop.change(&HEALTHY, "works");
    shop.ends(&[], 0);
    let release = shop.status()["serving"]["release"]["id"].as_str().unwrap().to_owned();
    shop.change(&PANICS, "breaks");
    shop.ends(&[], 4);
    let summary = shop.summary();
    let headline = summary.lines().next().unwrap();
    assert!(headline.contains("Restored to release"), "{summary}");
    assert!(headline.contains(&release), "{summary}");
    assert!(headline.contains("serving again after"), "{summary}");
    let place = |part: &str| summary.find(part).unwrap_or_else(|| panic!("{part}: {summary}"));
    assert!(place("The rollout stage failed") < place("With a model"), "{summary}");
    let junit = shop.repository.run_folder().join("junit.xml");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("serves again after"), "{junit}");
    let report = shop.repository.run_folder().join("report.html");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("serving again after"), "no restore in the report");
}

/// One restore, only until it is accepted; the log and the summary report it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_restores_once_and_leaves() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.soak("120s");
    shop.change(&HEALTHY_TOO, "another page");
    let child = shop.start();
    shop.until_applied(&good).await;
    let before = shop.deployments_written();
    let slow = Fault::Slow(Duration::from_millis(150));
    shop.world.wire().server.faults().add(100, slow, |call| call.verb != "watch");
    signal(&child, "INT");
    let outcome = ended(child).await;
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert_eq!(shop.applied().await.as_ref(), Some(&good));
    assert_eq!(shop.deployments_written(), before + 1, "{}", outcome.all());
    let folder = shop.repository.run_folder();
    let audit = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("\"event\":\"restore\"").count(), 1, "{audit}");
    assert!(audit.contains("\"hurried\":true"), "{audit}");
    let summary = shop.summary();
    for part in ["Cancelled: restored to release", "soak was skipped"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    let status = shop.status();
    assert_eq!(status["releases"][0]["state"], "failed", "{status}");
    // It has released everything.
    shop.expect_page("two");
    shop.soak("1s");
    shop.ends(&[], 0);
}

/// Also while a failed release is being restored: the soak is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_cuts_the_soak_of_a_restore_short() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.soak("120s");
    shop.change(&PANICS, "breaks");
    let child = shop.start();
    shop.until_applied(&good).await;
    let back = async {
        while shop.applied().await.as_ref() != Some(&good) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), back).await.unwrap();
    signal(&child, "TERM");
    let outcome = ended(child).await;
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert!(shop.summary().contains("Cancelled: restored to release"), "{}", shop.summary());
    assert_eq!(shop.applied().await.as_ref(), Some(&good));
}

/// An API server that accepts nothing any more: the next run completes the restore.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_not_accepted_is_the_next_runs() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.soak("120s");
    shop.change(&HEALTHY_TOO, "another page");
    let child = shop.start();
    shop.until_applied(&good).await;
    shop.world.wire().server.cut(Duration::from_secs(30));
    signal(&child, "INT");
    let outcome = ended(child).await;
    assert_eq!(outcome.code, Some(130), "{}", outcome.all());
    assert!(outcome.all().contains("has not confirmed the restore"), "{}", outcome.all());
    tokio::time::sleep(Duration::from_secs(31)).await;
    shop.soak("1s");
    // The next run in this environment.
    let next = shop.ends(&["verify"], 0);
    assert!(next.all().contains("died or was interrupted"), "{}", next.all());
    assert_eq!(shop.applied().await.as_ref(), Some(&good));
}

/// Neither a second Ctrl-C nor kill -9 waits for the restore; the next run completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_forced_to_end_loses_nothing() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    for (n, program) in [&HEALTHY_TOO, &PANICS].into_iter().enumerate() {
        shop.soak("120s");
        shop.change(program, "another");
        let child = shop.start();
        shop.until_applied(&good).await;
        // The restore is slow.
        let slow = Fault::Slow(Duration::from_secs(4));
        shop.world.wire().server.faults().add(20, slow, |call| call.verb == "list");
        signal(&child, "INT");
        tokio::time::sleep(Duration::from_millis(900)).await;
        signal(&child, if n == 0 { "INT" } else { "KILL" });
        let outcome = ended(child).await;
        if n == 0 {
            assert_eq!(outcome.code, Some(130), "{}", outcome.all());
            assert!(outcome.stderr.contains("forced to end"), "{}", outcome.all());
        }
        shop.world.wire().server.faults().clear();
        shop.soak("1s");
        let next = shop.ends(&["verify"], 0);
        assert!(next.all().contains("died or was interrupted"), "{}", next.all());
        assert_eq!(shop.applied().await.as_ref(), Some(&good));
    }
}

/// The last verified release is restored although the failure cannot be recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_rollout_is_taken_back_without_an_audit_log() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let good = shop.applied().await.unwrap();
    shop.change(&PANICS, "breaks");
    // The new release is judged only after the disk is full.
    let gate = Fault::Slow(Duration::from_secs(3));
    shop.world.wire().server.faults().add(1000, gate, |call| call.subresource == "log");
    let greenloop = shop.repository.greenloop();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(greenloop.get_program());
    limited.envs(greenloop.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.args(["--environment", "staging"]).current_dir(shop.repository.path());
    let child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    shop.until_applied(&good).await;
    // No file can grow any more: simulates a full disk.
    let run = format!("--pid={}", child.id());
    let full = Command::new("prlimit").args(["--fsize=1", &run]).status();
    assert!(full.unwrap().success());
    let outcome = ended(child).await;
    assert!(outcome.all().contains("the audit log failed"), "{}", outcome.all());
    assert_eq!(shop.applied().await, Some(good), "{}", outcome.all());
    let audit = std::fs::read_to_string(shop.repository.run_folder().join("audit.jsonl")).unwrap();
    assert!(!audit.contains("stage.failed"), "the log was to end before the failure: {audit}");
}
