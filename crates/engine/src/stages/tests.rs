//! Real commands and a real HTTP server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::StageContext;
use super::gates::{run_gates, run_gates_again};
use super::rollout::{RolloutOutcome, restore, roll_back, roll_out};
use super::smoke::{SmokeOutcome, Subject, run_smoke};
use greenloop_config::plan::{
    Expectation, FlowPlan, FlowStep, GatePlan, HealthPlan, ScriptPlan, StepBody, VerificationPlan,
};
use greenloop_evidence::Redactor;
use greenloop_model::{
    Endpoint, EventSink, Evidence, Exit, Failure, FailureClass, GateResult, GateStatus, Release,
    ReleaseId, ReleaseState, RepoPath, RunEvent, RunId, Stage, StageOutcome, TargetKind,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target, TargetError, TargetErrorKind, TargetStatus,
};

/// A work tree and a run's folder.
struct Stand {
    root: tempfile::TempDir,
    folder: tempfile::TempDir,
    events: EventSink,
    received: mpsc::Receiver<RunEvent>,
    cancel: CancellationToken,
    redactor: Redactor,
    run: RunId,
    parallelism: usize,
}

impl Stand {
    fn new() -> Self {
        let (sender, received) = mpsc::channel();
        Self {
            root: tempfile::tempdir().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            events: EventSink::new(sender),
            received,
            cancel: CancellationToken::new(),
            redactor: Redactor::default(),
            run: RunId::generate(),
            parallelism: 4,
        }
    }

    fn context(&self) -> StageContext<'_> {
        StageContext {
            root: self.root.path(),
            run: self.run,
            iteration: 3,
            folder: self.folder.path(),
            redactor: &self.redactor,
            events: &self.events,
            cancel: &self.cancel,
            parallelism: self.parallelism,
            env_remove: &[],
            sandbox: None,
        }
    }

    async fn gates(&self, gates: &[GatePlan]) -> StageOutcome {
        run_gates(gates, &self.context()).await
    }

    fn log(&self, relative: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(relative)).unwrap()
    }

    fn events(&self) -> Vec<RunEvent> {
        self.received.try_iter().collect()
    }

    fn cancel_soon(&self) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cancel.cancel();
        });
    }
}

fn gate(name: &str, command: &str, needs: &[&str]) -> GatePlan {
    GatePlan {
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        ..GatePlan::new(name, command)
    }
}

fn advisory(name: &str, command: &str) -> GatePlan {
    GatePlan { required: false, ..gate(name, command, &[]) }
}

fn failed(outcome: StageOutcome) -> (Failure, Vec<GateResult>) {
    match outcome {
        StageOutcome::Failed { failure, gates } => (*failure, gates),
        other => panic!("{other:?}"),
    }
}

fn passed(outcome: StageOutcome) -> Vec<GateResult> {
    match outcome {
        StageOutcome::Passed { gates } => gates,
        other => panic!("{other:?}"),
    }
}

fn statuses(results: &[GateResult]) -> Vec<&GateStatus> {
    results.iter().map(|result| &result.status).collect()
}

#[tokio::test]
async fn gates_pass_in_configured_order_with_logs_and_events() {
    let stand = Stand::new();
    std::fs::create_dir(stand.root.path().join("sub")).unwrap();
    let mut inside = gate("where", "basename \"$PWD\"; echo \"$X $GREENLOOP_STAGE\"", &["slow"]);
    inside.working_directory = Some(RepoPath::new("sub").unwrap());
    inside.env.insert("X".into(), "configured".into());
    let gates = [inside, gate("slow", "sleep 0.3", &[]), gate("quick", "printf 'no newline'", &[])];
    let results = passed(stand.gates(&gates).await);
    let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
    assert_eq!(names, ["where", "slow", "quick"]);
    assert!(results.iter().all(GateResult::passed));
    assert_eq!(results[0].log.as_deref(), Some("stages/3-gates-where.log"));
    assert_eq!(stand.log("stages/3-gates-where.log"), "sub\nconfigured gates\n");
    assert_eq!(results[2].output_bytes, 10);
    let told: Vec<String> = stand
        .events()
        .into_iter()
        .filter_map(|event| match event {
            RunEvent::PartStarted { name, .. } => Some(format!("start {name}")),
            RunEvent::GateFinished { result, .. } => Some(format!("end {}", result.name)),
            RunEvent::Output { name, text, .. } => Some(format!("{name}: {text}")),
            _ => None,
        })
        .collect();
    assert_eq!(told[0], "start slow");
    assert!(told.contains(&"quick: no newline".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "end where");
}

#[tokio::test]
async fn independent_gates_run_at_the_same_time_up_to_the_limit() {
    for (parallelism, most) in [(4, 4), (2, 2), (1, 1)] {
        let stand = Stand { parallelism, ..Stand::new() };
        // Each leaves a mark while it runs, and counts the marks of the others.
        let command = "touch $GATE.on; sleep 0.3; ls | grep -c 'on$'; sleep 0.2; rm $GATE.on";
        let gates: Vec<GatePlan> = (0..4)
            .map(|n| {
                let mut gate = gate(&n.to_string(), command, &[]);
                gate.env.insert("GATE".into(), n.to_string());
                gate
            })
            .collect();
        let results = passed(stand.gates(&gates).await);
        let seen = results.iter().map(|result| {
            let count = stand.log(result.log.as_ref().unwrap());
            count.trim().parse::<usize>().unwrap()
        });
        assert_eq!(seen.max(), Some(most), "{parallelism}");
    }
}

#[tokio::test]
async fn what_fails_is_collected_and_what_needs_it_is_skipped() {
    let stand = Stand::new();
    let gates = [
        gate("build", "echo 'error: cannot build the thing' >&2; exit 2", &[]),
        gate("test", "true", &["build"]),
        gate("deep", "true", &["test"]),
        advisory("lint", "echo untidy; exit 1"),
        gate("audit", "kill -KILL $$", &[]),
    ];
    let (failure, results) = failed(stand.gates(&gates).await);
    assert_eq!((failure.stage, failure.name.as_str()), (Stage::Gates, "build"));
    assert_eq!(
        failure.headline,
        "gates build, audit failed (exit status 2): error: cannot build the thing"
    );
    assert_eq!(
        statuses(&results),
        [
            &GateStatus::Failed(Exit::Code(2)),
            &GateStatus::Skipped { needs: "build".into() },
            &GateStatus::Skipped { needs: "test".into() },
            &GateStatus::Failed(Exit::Code(1)),
            &GateStatus::Failed(Exit::Signal(9)),
        ]
    );
    let notes = failure.evidence.notes.join("\n");
    assert!(notes.contains("gate audit failed too (killed by SIGKILL (signal 9))"), "{notes}");
    assert!(!notes.contains("lint"), "{notes}");
    assert_eq!(failure.evidence.exit, Some(Exit::Code(2)));
    assert!(failure.symptoms.contains("gate audit"), "{:?}", failure.symptoms);
    // The same again has the same identity; another failure has another.
    let (again, _) = failed(stand.gates(&gates).await);
    assert_eq!(again.fingerprint, failure.fingerprint);
    let (other, _) = failed(stand.gates(&gates[..1]).await);
    assert_ne!(other.fingerprint, failure.fingerprint);
}

#[tokio::test]
async fn an_advisory_failure_only_warns_unless_a_required_gate_needs_it() {
    let stand = Stand::new();
    let lint = advisory("lint", "exit 1");
    let results = passed(stand.gates(std::slice::from_ref(&lint)).await);
    assert_eq!(results[0].status, GateStatus::Failed(Exit::Code(1)));
    let (failure, results) = failed(stand.gates(&[gate("ship", "true", &["lint"]), lint]).await);
    assert_eq!((failure.name.as_str(), failure.class), ("ship", FailureClass::Config));
    assert!(failure.headline.contains("needs the advisory gate lint"), "{}", failure.headline);
    assert_eq!(results[0].status, GateStatus::Skipped { needs: "lint".into() });
}

#[tokio::test]
async fn an_exit_has_its_class() {
    let stand = Stand::new();
    let mut slow = gate("slow", "sleep 60", &[]);
    slow.timeout = Some(Duration::from_millis(200));
    let mut nowhere = gate("nowhere", "true", &[]);
    nowhere.working_directory = Some(RepoPath::new("no/such").unwrap());
    let missing = gate("missing", "exit 127", &[]);
    for (gate, class, told) in [
        (slow, FailureClass::Timeout, "gate slow failed: timed out after 0.2s"),
        (nowhere, FailureClass::Config, "gate nowhere failed: could not be started"),
        (missing, FailureClass::Config, "gate missing failed: exit status 127"),
    ] {
        let (failure, _) = failed(stand.gates(&[gate]).await);
        assert_eq!(failure.class, class, "{}", failure.headline);
        assert!(failure.headline.starts_with(told), "{}", failure.headline);
    }
}

#[tokio::test]
async fn one_failure_that_code_can_mend_is_reason_enough_to_heal() {
    let stand = Stand::new();
    let full = gate("full", "echo 'error: No space left on device' >&2; exit 1", &[]);
    let (failure, _) = failed(stand.gates(std::slice::from_ref(&full)).await);
    assert!(!failure.class.heals(), "{:?}", failure.class);
    let broken = gate("broken", "echo 'src/a.rs:3:5: error: expected `;`' >&2; exit 1", &[]);
    let (failure, _) = failed(stand.gates(&[full, broken]).await);
    assert!(failure.class.heals(), "{:?}", failure.class);
}

#[tokio::test]
async fn a_cancel_ends_running_gates_and_starts_no_more() {
    let stand = Stand { parallelism: 1, ..Stand::new() };
    stand.cancel_soon();
    let gates = [gate("a", "sleep 600", &[]), gate("b", "touch b", &[])];
    assert_eq!(stand.gates(&gates).await, StageOutcome::Cancelled);
    assert!(!stand.root.path().join("b").exists());
}

#[tokio::test]
async fn what_passes_when_it_runs_again_is_flaky_and_the_first_log_stays() {
    let stand = Stand::new();
    let gates = [
        gate("flaky", "echo run; test -e ran || { touch ran; exit 1; }", &[]),
        gate("after", "true", &["flaky"]),
    ];
    let (_, results) = failed(stand.gates(&gates).await);
    assert!(!results[1].passed());
    let again = run_gates_again(&gates, &["flaky".into()], &stand.context()).await;
    let results = passed(again);
    // The second one did not fail: it had not run.
    assert_eq!(statuses(&results), [&GateStatus::Flaky, &GateStatus::Passed]);
    assert_eq!(results[0].log.as_deref(), Some("stages/3-gates-flaky-2.log"));
    assert_eq!(stand.log("stages/3-gates-flaky.log"), "run\n");
    std::fs::remove_file(stand.root.path().join("ran")).unwrap();
    failed(run_gates_again(&gates, &["flaky".into()], &stand.context()).await);
}

#[tokio::test]
async fn a_flood_of_output_is_logged_whole_and_told_in_part() {
    let stand = Stand::new();
    let flood = gate("flood", "yes 'a line of some length, again and again' | head -n 400000", &[]);
    let results = passed(stand.gates(&[flood]).await);
    let log = stand.folder.path().join(results[0].log.as_ref().unwrap());
    assert_eq!(std::fs::metadata(log).unwrap().len(), results[0].output_bytes);
    let told: usize = stand
        .events()
        .iter()
        .map(|event| match event {
            RunEvent::Output { text, .. } => text.len(),
            _ => 0,
        })
        .sum();
    assert!(results[0].output_bytes > 15_000_000 && told < 2_000_000, "{told}");
}

/// A tmpfs of 64 KiB, unmounted when dropped; `None` where mounting is not allowed.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(at)
            .output();
        mounted.is_ok_and(|it| it.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _still_mounted = std::process::Command::new("umount").arg(&self.0).output();
    }
}

/// The warnings among the events.
fn warnings(stand: &Stand) -> Vec<String> {
    let told = stand.events().into_iter().filter_map(|event| match event {
        RunEvent::Notice(greenloop_model::Notice::Warning(text)) => Some(text),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn a_log_that_does_not_fit_is_told_and_the_gate_counts() {
    let stand = Stand::new();
    let Some(disk) = SmallDisk::mount(&stand.folder.path().join("stages")) else {
        eprintln!("SKIPPED: a tmpfs cannot be mounted here, so no disk was filled");
        return;
    };
    let print = "yes 'a line of some length' | head -n 20000";
    let failing = format!("{print}; echo 'src/a.rs:3: error: the last line'; exit 1");
    let gates = [gate("long", print, &[]), gate("failing", &failing, &["long"])];
    let (failure, results) = failed(stand.gates(&gates).await);
    assert_eq!(statuses(&results)[0], &GateStatus::Passed);
    assert_eq!(results[0].output_bytes, 20_000 * 22);
    // What was printed is known all the same: the log is only one of its sinks.
    assert!(failure.headline.contains("the last line"), "{}", failure.headline);
    let warnings = warnings(&stand);
    let [long, failing] = warnings.as_slice() else { panic!("{warnings:?}") };
    for (said, name) in [(long, "long"), (failing, "failing")] {
        for part in [&format!("stages/3-gates-{name}.log"), "No space left", "counts all the same"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert!(failure.evidence.notes.iter().any(|note| note == failing), "{failure:?}");
    assert!(std::fs::metadata(disk.0.join("3-gates-long.log")).unwrap().len() <= 64 << 10);
}

#[tokio::test]
async fn a_folder_that_takes_no_log_is_told_and_the_gate_counts() {
    let stand = Stand::new();
    std::fs::write(stand.folder.path().join("stages"), "a file in place of the folder").unwrap();
    let results = passed(stand.gates(&[gate("quiet", "echo fine", &[])]).await);
    assert!(results[0].passed());
    let warnings = warnings(&stand);
    let [said] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(said.contains("stages/3-gates-quiet.log is incomplete"), "{said}");
}

fn step(method: &str, path: &str, expect: Expectation) -> FlowStep {
    FlowStep {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect,
        timeout: Duration::from_millis(500),
    }
}

fn flow(name: &str, steps: Vec<FlowStep>) -> FlowPlan {
    FlowPlan { name: name.to_owned(), steps }
}

fn verification(flows: Vec<FlowPlan>) -> VerificationPlan {
    VerificationPlan {
        health: HealthPlan {
            endpoint: "/health".into(),
            timeout: Duration::from_millis(500),
            retries: 2,
            backoff: Duration::from_millis(20),
        },
        script: None,
        flows,
    }
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let healthy = ResponseTemplate::new(200);
    Mock::given(path("/health")).respond_with(healthy).mount(&server).await;
    server
}

async fn smoke(stand: &Stand, plan: &VerificationPlan, url: &str) -> Option<Failure> {
    let subject = Subject { url, target: None, release: None, fresh: true };
    match run_smoke(plan, &subject, &stand.context()).await {
        SmokeOutcome::Passed => None,
        SmokeOutcome::Failed(failure) => Some(*failure),
        SmokeOutcome::Cancelled => panic!("cancelled"),
    }
}

#[tokio::test]
async fn flows_log_in_post_and_match() {
    let server = server().await;
    let login = ResponseTemplate::new(303).insert_header("set-cookie", "session=s1; HttpOnly");
    Mock::given(method("POST"))
        .and(path("/login"))
        .and(body_json(json!({"user": "a"})))
        .respond_with(login)
        .mount(&server)
        .await;
    let vehicles = ResponseTemplate::new(200)
        .set_body_json(json!({"vehicles": [{"id": "1"}]}))
        .insert_header("set-cookie", "theme=dark");
    Mock::given(path("/vehicles"))
        .and(header("cookie", "session=s1"))
        .respond_with(vehicles)
        .mount(&server)
        .await;
    let mut post = step("POST", "/login", Expectation::default());
    post.body = Some(StepBody::Json(json!({"user": "a"})));
    let wanted = |id| Expectation {
        json: Some(json!({"vehicles": [{"id": id}]})),
        ..Expectation::default()
    };
    let stand = Stand::new();
    let good = flow("good", vec![post.clone(), step("GET", "/vehicles", wanted(json!("1")))]);
    assert_eq!(smoke(&stand, &verification(vec![good.clone()]), &server.uri()).await, None);
    let steps = stand.events().into_iter().filter_map(|event| match event {
        RunEvent::StepFinished { name, ok, detail, .. } => Some((name, ok, detail)),
        _ => None,
    });
    let steps: Vec<_> = steps.collect();
    assert_eq!(steps[0], ("health".into(), true, "GET /health → 200".into()));
    assert_eq!(steps[1], ("good: POST /login".into(), true, "303".into()));

    // A flow without the login gets no cookie of the other's.
    let stranger = flow("stranger", vec![step("GET", "/vehicles", Expectation::default())]);
    let bad = flow("bad", vec![post, step("GET", "/vehicles", wanted(json!(1)))]);
    let plan = verification(vec![bad, good, stranger]);
    let failure = smoke(&stand, &plan, &server.uri()).await.unwrap();
    assert_eq!((failure.name.as_str(), failure.class), ("bad", FailureClass::Code));
    assert!(failure.headline.contains("vehicles[0].id"), "{}", failure.headline);
    assert_eq!(failure.evidence.http.len(), 2);
    assert_eq!(failure.evidence.http[1].status, Some(404));
    let first = &failure.evidence.http[0];
    assert_eq!((first.status, first.request.starts_with("GET http://")), (Some(200), true));
    assert!(first.response.contains("{\"vehicles\":[{\"id\":\"1\"}]}"), "{}", first.response);
    assert!(!first.response.contains("dark"), "cookies are secrets: {}", first.response);
    assert!(!failure.flaky_suspect);
}

#[tokio::test]
async fn an_answer_is_judged_by_status_headers_and_body() {
    let server = server().await;
    let answer = ResponseTemplate::new(201)
        .insert_header("x-kind", "good")
        .set_body_string("the whole text");
    Mock::given(path("/x")).respond_with(answer).mount(&server).await;
    let header = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let any = Expectation::default;
    for (expect, complaint) in [
        (any(), ""),
        (Expectation { status: vec![200, 201], ..any() }, ""),
        (Expectation { status: vec![200], ..any() }, "expected status 200, got 201"),
        (Expectation { headers: header("X-Kind", "good"), ..any() }, ""),
        (Expectation { headers: header("x-kind", "bad"), ..any() }, "x-kind: bad, got good"),
        (Expectation { headers: header("x-none", "a"), ..any() }, "x-none: a, but it is missing"),
        (Expectation { body_contains: Some("whole".into()), ..any() }, ""),
        (Expectation { body_contains: Some("half".into()), ..any() }, "contains \"half\""),
        (Expectation { json: Some(json!({})), ..any() }, "expected JSON"),
    ] {
        let plan = verification(vec![flow("f", vec![step("GET", "/x", expect.clone())])]);
        let failure = smoke(&Stand::new(), &plan, &server.uri()).await;
        match failure {
            None => assert_eq!(complaint, "", "{expect:?}"),
            Some(failure) => {
                assert!(!complaint.is_empty(), "{expect:?}: {}", failure.headline);
                assert!(failure.headline.contains(complaint), "{}", failure.headline);
            }
        }
    }
}

#[tokio::test]
async fn the_health_check_is_retried_and_then_says_what_it_saw() {
    let server = MockServer::start().await;
    Mock::given(path("/health"))
        .respond_with(ResponseTemplate::new(503).set_body_string("warming up"))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(path("/health")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let stand = Stand::new();
    assert_eq!(smoke(&stand, &verification(Vec::new()), &server.uri()).await, None);

    let server = MockServer::start().await;
    Mock::given(path("/health"))
        .respond_with(ResponseTemplate::new(500).set_body_string("no database"))
        .expect(3)
        .mount(&server)
        .await;
    let failure = smoke(&stand, &verification(Vec::new()), &server.uri()).await.unwrap();
    assert_eq!(failure.name, "health");
    assert!(failure.evidence.http[0].response.ends_with("no database"));
}

#[tokio::test]
async fn a_secret_at_the_cut_of_an_answer_is_hidden() {
    let server = MockServer::start().await;
    let body = format!("{}\nSHOP_PASSWORD=correct-horse-battery-staple\nend", ".".repeat(4065));
    Mock::given(path("/health"))
        .respond_with(ResponseTemplate::new(500).set_body_string(body))
        .mount(&server)
        .await;
    let stand = Stand::new();
    let failure = smoke(&stand, &verification(Vec::new()), &server.uri()).await.unwrap();
    let response = &failure.evidence.http[0].response;
    assert!(response.contains("SHOP_PASSWORD=[redacted]\n"), "{response}");
    assert!(!response.contains("corr"), "{response}");
}

/// A server that answers every connection with these bytes and closes it.
async fn raw(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 1024];
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(answer).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn no_answer_is_told_by_its_kind() {
    let stand = Stand::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap();
    let cut = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let other = raw(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    for (url, class, flaky, complaint) in [
        (format!("http://{closed}"), FailureClass::Code, true, "no connection"),
        (format!("http://{silent_at}"), FailureClass::Timeout, true, "no answer within 0.5s"),
        (cut, FailureClass::Code, false, "the response ended after 4 bytes"),
        (other, FailureClass::Code, false, "the request failed"),
        ("nonsense".into(), FailureClass::Config, false, ""),
    ] {
        let mut once = verification(Vec::new());
        once.health.retries = 0;
        let failure = smoke(&stand, &once, &url).await.unwrap();
        let told = &failure.evidence.http[0].complaint;
        assert_eq!((failure.class, failure.flaky_suspect), (class, flaky), "{url}: {told}");
        assert!(told.starts_with(complaint), "{url}: {told}");

        let retried = smoke(&stand, &verification(Vec::new()), &url).await.unwrap();
        let suspect = (retried.class, retried.flaky_suspect);
        assert_eq!(suspect, (class, false), "its retries have settled that: {url}");
    }
}

#[tokio::test]
async fn the_script_gets_the_address_and_its_failure_is_evidence() {
    let server = server().await;
    let stand = Stand::new();
    let mut plan = verification(vec![flow("f", vec![step("GET", "/x", Expectation::default())])]);
    let script = Path::new("scripts/smoke.sh");
    plan.script = Some(ScriptPlan {
        script: script.to_owned(),
        timeout: Duration::from_millis(900),
        writes: vec![],
    });
    let failure = smoke(&stand, &plan, &server.uri()).await.unwrap();
    assert_eq!(failure.class, FailureClass::Config);
    assert!(failure.headline.contains("scripts/smoke.sh"), "{}", failure.headline);

    std::fs::create_dir(stand.root.path().join("scripts")).unwrap();
    let write = |text: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = stand.root.path().join(script);
        // A program that is being written cannot be started: a new file, moved into place.
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    };
    write("#!/bin/sh\necho \"asked $1 and $BASE_URL\"\nexit 9\n");
    let failure = smoke(&stand, &plan, &server.uri()).await.unwrap();
    assert_eq!(failure.evidence.exit, Some(Exit::Code(9)));
    assert!(failure.evidence.notes.iter().any(|n| n.starts_with("failed too: f: GET")));
    // Both are named where the failure is one line.
    let both = format!("2 checks failed ({0}, f): {0} (exit status 9)", script.display());
    assert!(failure.headline.starts_with(&both), "{}", failure.headline);
    let log = stand.log(failure.evidence.log.as_ref().unwrap());
    assert_eq!(log, format!("asked {0} and {0}\n", server.uri()));

    write("#!/bin/sh\nsleep 60\n");
    let failure = smoke(&stand, &plan, &server.uri()).await.unwrap();
    assert_eq!(failure.class, FailureClass::Timeout);
}

#[tokio::test]
async fn a_cancel_ends_the_smoke_tests_at_once() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stand = Stand::new();
    let mut plan = verification(Vec::new());
    plan.health.timeout = Duration::from_secs(600);
    stand.cancel_soon();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let subject = Subject { url: &url, target: None, release: None, fresh: true };
    let outcome = run_smoke(&plan, &subject, &stand.context()).await;
    assert!(matches!(outcome, SmokeOutcome::Cancelled), "{outcome:?}");
}

/// A target whose service says one thing, and whose rollouts fail in one way.
struct Scripted {
    said: &'static str,
    kind: TargetErrorKind,
    class: FailureClass,
    /// How often it was asked to go back or to restore.
    asked: AtomicUsize,
    /// The attempt that succeeds.
    succeeds: usize,
    /// What it calls serving after each attempt.
    serving: Vec<ReleaseId>,
}

impl Scripted {
    fn new(said: &'static str, kind: TargetErrorKind, class: FailureClass) -> Self {
        let serving = Vec::new();
        Self { said, kind, class, asked: AtomicUsize::new(0), succeeds: usize::MAX, serving }
    }

    fn attempt(&self) -> Result<(), TargetError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if asked < self.succeeds { Err(self.error()) } else { Ok(()) }
    }

    fn error(&self) -> TargetError {
        TargetError {
            kind: self.kind,
            message: "process 4711 did not answer".to_owned(),
            class: self.class,
            evidence: Box::new(Evidence {
                notes: vec!["from the target".into()],
                ..Evidence::default()
            }),
            source: Some(Box::new(std::io::Error::other("the pipe is broken"))),
        }
    }
}

#[async_trait]
impl Target for Scripted {
    async fn stop(&self) -> Result<greenloop_ports::Stopped, TargetError> {
        Ok(greenloop_ports::Stopped::Nothing)
    }

    fn kind(&self) -> TargetKind {
        TargetKind::Process
    }

    async fn roll_out(
        &self,
        _: &RolloutRequest,
        _: &EventSink,
        _: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        Err(self.error())
    }

    async fn endpoint_error(&self) -> Option<TargetError> {
        Some(self.error())
    }

    async fn mark_verified(&self, _: ReleaseId) -> Result<(), TargetError> {
        Err(self.error())
    }

    async fn service_log(&self, _: ReleaseId) -> Result<String, TargetError> {
        Ok(self.said.to_owned())
    }

    async fn restore(
        &self,
        _: ReleaseId,
        _: &EventSink,
        _: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        self.attempt().map(|()| Restored::Nothing)
    }

    async fn roll_back(
        &self,
        earlier: Earlier,
        _: &EventSink,
        _: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        let endpoint = Endpoint { url: "http://localhost".to_owned() };
        self.attempt()?;
        let release = match earlier {
            Earlier::Release(release) => release,
            Earlier::LastVerified | Earlier::Revision(_) => ReleaseId::generate(),
        };
        Ok(Deployed { release, endpoint })
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        let asked = self.asked.load(Ordering::Relaxed);
        let serving = self.serving.get(asked).or(self.serving.last()).map(|id| {
            let release = Release {
                id: *id,
                commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                run: RunId::generate(),
                image: None,
                state: ReleaseState::Verified,
                created_at: jiff::Timestamp::UNIX_EPOCH,
                verified_at: None,
            };
            (release, Endpoint { url: "http://localhost".to_owned() })
        });
        Ok(TargetStatus { serving, ..TargetStatus::default() })
    }

    async fn clean_up(&self, _: RunId) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn the_services_own_log_is_evidence_and_leads_to_the_code() {
    let server = server().await;
    let stand = Stand::new();
    std::fs::write(stand.root.path().join("app.py"), "a = 1\nb = None\nb.x\n").unwrap();
    let said = "Traceback (most recent call last):\n  File \"app.py\", line 3, in <module>\n    \
                b.x\nAttributeError: 'NoneType' object has no attribute 'x'\n";
    let target = Scripted::new(said, TargetErrorKind::Target, FailureClass::Infrastructure);
    let plan = verification(vec![flow("f", vec![step("GET", "/x", Expectation::default())])]);
    let release = Some(ReleaseId::generate());
    let uri = server.uri();
    let subject = Subject { url: &uri, target: Some(&target), release, fresh: true };
    let outcome = run_smoke(&plan, &subject, &stand.context()).await;
    let SmokeOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.evidence.service_log.as_deref(), Some(said));
    assert_eq!(failure.evidence.code.len(), 1, "{:?}", failure.evidence.code);
}

/// A host that cannot be found and a server without TLS are the configuration's: told at once of
/// what has stood for a while, and not run again.
#[tokio::test]
async fn what_cannot_be_reached_is_told_as_what_it_is() {
    let stand = Stand::new();
    let server = server().await;
    let plain = server.uri().replace("http://", "https://");
    let plan = verification(Vec::new());
    let unknown = "http://no-such-host.invalid";
    for (url, part) in [
        (unknown, "the host no-such-host.invalid is unknown"),
        (unknown, "`url` of the environment"),
        (plain.as_str(), "does not use TLS"),
    ] {
        for fresh in [false, true] {
            let subject = Subject { url, target: None, release: None, fresh };
            let outcome = run_smoke(&plan, &subject, &stand.context()).await;
            let SmokeOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            assert!(failure.headline.contains(part), "{part}: {}", failure.headline);
            assert_eq!((failure.class, failure.flaky_suspect), (FailureClass::Config, false));
        }
    }
    let closed = free_address();
    let subject = Subject { url: &closed, target: None, release: None, fresh: false };
    let outcome = run_smoke(&plan, &subject, &stand.context()).await;
    let SmokeOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.class, failure.flaky_suspect), (FailureClass::Code, false));
    assert!(failure.headline.contains("no connection"), "{}", failure.headline);
}

/// The address of a port where nobody listens.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn what_the_target_knows_of_an_address_is_the_reason() {
    let stand = Stand::new();
    let target = Scripted::new("", TargetErrorKind::Release, FailureClass::Config);
    let plan = verification(Vec::new());
    let closed = free_address();
    let subject = Subject { url: &closed, target: Some(&target), release: None, fresh: false };
    let outcome = run_smoke(&plan, &subject, &stand.context()).await;
    let SmokeOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert!(failure.headline.contains("process 4711 did not answer"), "{}", failure.headline);
    assert_eq!((failure.class, failure.flaky_suspect), (FailureClass::Config, false));
}

#[tokio::test]
async fn a_targets_fault_is_a_failure_of_its_kind() {
    let stand = Stand::new();
    let request = RolloutRequest {
        release: ReleaseId::generate(),
        commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        run: stand.run,
        image: None,
        work_tree: stand.root.path().to_owned(),
        wait: Duration::from_secs(1),
    };
    let mut fingerprints = Vec::new();
    for (kind, class, expect) in [
        (TargetErrorKind::Release, FailureClass::Code, FailureClass::Code),
        (TargetErrorKind::Release, FailureClass::Config, FailureClass::Config),
        // Whatever the class says: the code is not at fault.
        (TargetErrorKind::Target, FailureClass::Code, FailureClass::Infrastructure),
        (TargetErrorKind::Held, FailureClass::Unknown, FailureClass::Infrastructure),
    ] {
        let target = Scripted::new("", kind, class);
        let outcome = roll_out(&target, &request, &stand.context()).await;
        let RolloutOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!((failure.stage, failure.class), (Stage::Rollout, expect));
        assert_eq!(failure.headline, "process 4711 did not answer: the pipe is broken");
        assert_eq!(failure.evidence.notes, ["from the target"]);
        fingerprints.push(failure.fingerprint);
    }
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 1);
    for kind in
        [TargetErrorKind::NoRelease, TargetErrorKind::Superseded, TargetErrorKind::Forbidden]
    {
        let target = Scripted::new("", kind, FailureClass::Config);
        let outcome = roll_out(&target, &request, &stand.context()).await;
        let RolloutOutcome::Declined(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure.class, FailureClass::Unknown);
    }
    let target = Scripted::new("", TargetErrorKind::Cancelled, FailureClass::Unknown);
    let outcome = roll_out(&target, &request, &stand.context()).await;
    assert!(matches!(outcome, RolloutOutcome::Cancelled), "{outcome:?}");
}

/// As many further attempts as there are, without a pause.
const AT_ONCE: [Duration; 2] = [Duration::ZERO; 2];

/// Going back is tried again where the same attempt may succeed later, and only while it would go
/// back to the same release.
#[tokio::test]
async fn a_rollback_that_the_target_kept_from_succeeding_is_tried_again() {
    use FailureClass::{Auth, Code, Infrastructure, Unknown};
    use TargetErrorKind::{Forbidden, Held, Release, Target};
    let last = Earlier::LastVerified;
    let (one, two) = (ReleaseId::generate(), ReleaseId::generate());
    for (kind, class, earlier, succeeds, serving, asked) in [
        (Target, Infrastructure, last, 1, vec![one], 1),
        (Target, Infrastructure, last, 3, vec![one], 3),
        (Release, Infrastructure, Earlier::Release(two), 2, vec![one], 2),
        (Target, Infrastructure, last, 9, vec![one], 3),
        // Another release serves by now: the next attempt would go back further.
        (Target, Infrastructure, last, 9, vec![one, two], 1),
        // Each attempt makes a revision.
        (Target, Infrastructure, Earlier::Revision(0), 9, vec![one], 1),
        (Release, Code, last, 9, vec![one], 1),
        (Target, Auth, last, 9, vec![one], 1),
        (Held, Infrastructure, last, 9, vec![one], 1),
        (Forbidden, Unknown, last, 9, vec![one], 1),
    ] {
        let stand = Stand::new();
        let target = Scripted { succeeds, serving, ..Scripted::new("", kind, class) };
        let outcome = roll_back(&target, earlier, &stand.context(), &AT_ONCE).await;
        let what = format!("{kind:?} {class} {earlier:?} {succeeds}");
        assert_eq!(target.asked.load(Ordering::Relaxed), asked, "{what}");
        assert_eq!(matches!(outcome, RolloutOutcome::Deployed(_)), succeeds == asked, "{what}");
    }
}

#[tokio::test]
async fn a_restore_that_the_target_kept_from_succeeding_is_tried_again_unless_it_has_to_hurry() {
    for (hurried, asked) in [(false, 3), (true, 1)] {
        let target = Scripted {
            succeeds: 3,
            ..Scripted::new("", TargetErrorKind::Target, FailureClass::Infrastructure)
        };
        let hurry = CancellationToken::new();
        if hurried {
            hurry.cancel();
        }
        let events = EventSink::null();
        let outcome = restore(&target, ReleaseId::generate(), &events, &hurry, &AT_ONCE).await;
        assert_eq!(outcome.is_ok(), !hurried);
        assert_eq!(target.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test]
async fn a_pipe_does_not_hide_that_tests_failed() {
    let stand = Stand::new();
    let runner = "cat <<'END'\nFAIL: test_add (test_calc.T.test_add)\n\
                  Ran 2 tests in 0.001s\n\nFAILED (failures=1)\nEND\nexit 1\n";
    std::fs::write(stand.root.path().join("run.sh"), runner).unwrap();
    let fine = "printf 'Ran 2 tests in 0.001s\\n\\nOK\\n' | tee o";
    for (command, by) in [
        ("sh run.sh 2>&1 | tee o", "the pipe hides it"),
        ("sh run.sh || true", "the command after `||` hides it"),
        ("sh run.sh; echo done", "the last command of the line hides it"),
    ] {
        let (failure, gates) = failed(stand.gates(&[gate("tests", command, &[])]).await);
        let said = format!("1 test failed, but the exit status is 0: {by}");
        assert!(failure.headline.ends_with(&said), "{}", failure.headline);
        assert_eq!(failure.class, FailureClass::Config);
        assert!(failure.evidence.remedy.is_some_and(|remedy| remedy.person_only));
        assert_eq!(statuses(&gates), [&GateStatus::Failed(Exit::Code(0))]);
    }
    // A command that means what it ends with: a suite that prints such a summary, a rerun.
    for command in ["sh run.sh > o; cat o && test -s o", "sh run.sh || test -s run.sh", fine] {
        passed(stand.gates(&[gate("tests", command, &[])]).await);
    }
}
