//! Real processes: a supervisor of its own for each test, a compiled service behind it, and
//! requests through the front.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::state::State;
use super::{ProcessTarget, shut_down, supervise};
use greenloop_config::plan::{HealthPlan, ProcessPlan};
use greenloop_evidence::Redactor;
use greenloop_exec::ProcessIdentity;
use greenloop_model::{Condition, EventSink, Exit, FailureClass, ReleaseId, ReleaseState, RunId};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target as _, TargetError, TargetErrorKind,
};

const STATE: &str = "GREENLOOP_TEST_SUPERVISE";

/// Not a test: the supervisor's process, which is this test binary started once more.
#[tokio::test]
async fn supervisor_process() {
    if let Some(folder) = std::env::var_os(STATE) {
        supervise(Path::new(&folder)).await.unwrap();
    }
}

/// Beside the test binary, where everything that was built lies: made once, replaced when what it
/// is made from is newer. Other test processes may do the same at the same time.
fn built(name: &str, from: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().join("process-target-fixtures");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let modified = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    if modified(&path) < modified(from) {
        let half = tempfile::tempdir_in(&folder).unwrap();
        let made = half.path().join(name);
        make(&made);
        std::fs::rename(made, &path).unwrap();
    }
    path
}

/// Takes `supervise --state FOLDER`, as the real program does.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    built("greenloop", &test, |path| {
        let script = format!(
            "#!/bin/sh\n{STATE}=\"$3\" exec '{}' --exact \
             process::tests::supervisor_process\n",
            test.display()
        );
        std::fs::write(path, script).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    })
});

/// The compiled service.
static SERVICE: LazyLock<PathBuf> = LazyLock::new(|| {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/services/echo.rs");
    built("server", &source, |path| {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = std::process::Command::new(rustc);
        command.arg("--edition=2024").arg(&source).arg("-o").arg(path);
        assert!(command.status().unwrap().success());
    })
});

/// A repository, a target and what was deployed; shut down at the end.
struct Stand {
    tree: tempfile::TempDir,
    folder: PathBuf,
    url: String,
    plan: ProcessPlan,
    run: RunId,
}

impl Drop for Stand {
    fn drop(&mut self) {
        // Without its state a supervisor stops everything and ends; a killed one's services are
        // found by their mark, which names the folder.
        let pid =
            self.supervisor().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Stand {
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        // As deep as a real one may be: longer than a socket's path may be.
        let folder = tree.path().join("deep/".repeat(25)).join("git/greenloop/targets/local");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::copy(&*SERVICE, tree.path().join("server")).unwrap();
        let plan = ProcessPlan {
            command: vec!["./server".into()],
            artifacts: vec!["server".into(), "mode".into()],
            env: [("PLANNED".to_owned(), "yes".to_owned())].into(),
            drain_timeout: Duration::from_secs(3),
            keep_releases: 2,
        };
        let url = format!("http://127.0.0.1:{port}");
        Self { tree, folder, url, plan, run: RunId::generate() }
    }

    fn target(&self) -> ProcessTarget {
        let health = HealthPlan {
            endpoint: "/health".into(),
            timeout: Duration::from_secs(1),
            retries: 1,
            backoff: Duration::from_millis(10),
        };
        let redactor = Redactor::default();
        let program = PROGRAM.clone();
        ProcessTarget::new(self.folder.clone(), &self.plan, &self.url, &health, redactor, program)
            .env_remove(["GREENLOOP_TEST_SECRET".into(), STATE.into()])
    }

    fn request(&self, mode: &str) -> RolloutRequest {
        std::fs::write(self.tree.path().join("mode"), mode).unwrap();
        RolloutRequest {
            release: ReleaseId::generate(),
            commit: "c".repeat(40).parse().unwrap(),
            run: self.run,
            image: None,
            work_tree: self.tree.path().to_owned(),
            wait: Duration::from_secs(10),
        }
    }

    async fn roll_out(&self, target: &ProcessTarget, mode: &str) -> Result<Deployed, TargetError> {
        let request = self.request(mode);
        target.roll_out(&request, &EventSink::null(), &CancellationToken::new()).await
    }

    /// A verified release.
    async fn deploy(&self, target: &ProcessTarget, mode: &str) -> ReleaseId {
        let deployed = self.roll_out(target, mode).await.unwrap();
        target.mark_verified(deployed.release).await.unwrap();
        deployed.release
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn serves(&self, mode: &str) {
        assert_eq!(self.get("/").await, Some((200, mode.to_owned())));
    }

    /// Until `holds`; a hang ends after minutes.
    async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while !holds().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn state(&self) -> State {
        State::load(&self.folder).unwrap().unwrap()
    }

    fn supervisor(&self) -> Option<u32> {
        State::load(&self.folder).ok().flatten()?.supervisor
    }

    fn pid_of(&self, release: ReleaseId) -> Option<u32> {
        Some(self.state().get(release)?.detail.running?.pid)
    }

    async fn end(self) {
        let pids: Vec<u32> =
            self.state().releases().iter().filter_map(|r| Some(r.detail.running?.pid)).collect();
        shut_down(&self.folder).await.unwrap();
        for pid in pids {
            assert!(ProcessIdentity::of(pid).is_none(), "{pid} survived");
        }
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_rolled_out_verified_and_outlives_its_deployer() {
    let stand = Stand::new();
    let target = stand.target();
    assert_eq!(target.status().await.unwrap(), greenloop_ports::TargetStatus::default());
    assert!(!stand.folder.exists());
    let release = stand.deploy(&target, "one").await;
    drop(target);
    stand.serves("one").await;
    assert_eq!(stand.get("/env/PLANNED").await.unwrap().1, "yes");
    assert_eq!(stand.get(&format!("/env/{STATE}")).await.unwrap().1, "unset");
    let status = stand.target().status().await.unwrap();
    let (serving, endpoint) = status.serving.unwrap();
    assert_eq!((serving.id, serving.state), (release, ReleaseState::Verified));
    assert_eq!(endpoint.url, stand.url);
    let log = stand.target().service_log(release).await.unwrap();
    assert_eq!(log, "starting as one\n");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_a_switch() {
    let stand = Stand::new();
    let target = stand.target();
    stand.deploy(&target, "one").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..6 {
        let (stop, asked, failed) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&failed));
        let url = stand.url.clone();
        load.spawn(async move {
            // Half of them with connections that are kept alive.
            let idle = if worker % 2 == 0 { 4 } else { 0 };
            let client =
                reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle).build().unwrap();
            let path = if worker == 5 { "/slow" } else { "/" };
            while !stop.load(Ordering::Relaxed) {
                let answer = client.get(format!("{url}{path}")).send().await;
                asked.fetch_add(1, Ordering::Relaxed);
                if !answer.is_ok_and(|answer| answer.status().is_success()) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    for mode in ["two", "three", "slow-start"] {
        stand.deploy(&target, mode).await;
        stand.serves(mode).await;
    }
    let bad = stand.roll_out(&target, "bad").await.unwrap();
    let restored =
        target.restore(bad.release, &EventSink::null(), &CancellationToken::new()).await.unwrap();
    assert!(matches!(restored, Restored::Release { .. }), "{restored:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    while load.join_next().await.is_some() {}
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked > 100, "{asked}");
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {asked}");
    stand.serves("slow-start").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_leaves_the_old_one_serving() {
    let stand = Stand::new();
    let target = stand.target();
    let first = stand.deploy(&target, "one").await;
    let error = stand.roll_out(&target, "exit").await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Release);
    assert_eq!(error.evidence.exit, Some(Exit::Code(7)));
    let said = error.evidence.service_log.unwrap();
    assert!(said.contains("no such table: vehicles"), "{said}");
    assert!(!error.evidence.excerpts.is_empty());
    // One line says how it ended, and of what.
    let how = "the new release exited before it became healthy: exit status 7: ";
    assert!(error.message.starts_with(how), "{}", error.message);
    assert!(error.message.contains("no such table: vehicles"), "{}", error.message);
    stand.serves("one").await;

    let mut request = stand.request("unhealthy");
    request.wait = Duration::from_millis(600);
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let error = target.roll_out(&request, &events, &go).await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Code));
    let exchange = &error.evidence.http[0];
    assert_eq!((exchange.status, exchange.response.as_str()), (Some(500), "database is down"));
    let again = target.roll_out(&request, &events, &go).await.unwrap_err();
    assert!(again.message.contains("cannot be deployed again"), "{}", again.message);
    let restored = target
        .restore(request.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(restored, Restored::Untouched(d) if d.release == first));
    stand.serves("one").await;
    stand.end().await;
}

/// As on a full disk: nobody waits for an answer that does not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_written_is_reported_at_once() {
    let mut stand = Stand::new();
    let first = stand.deploy(&stand.target(), "one").await;
    let go = stand.tree.path().join("go");
    let wait = format!("until [ -e {} ]; do sleep 0.02; done; exit 7", go.display());
    stand.plan.command = vec!["sh".into(), "-c".into(), wait];
    let (target, request) = (stand.target(), stand.request("two"));
    let release = request.release;
    let rollout = tokio::spawn(async move {
        target.roll_out(&request, &EventSink::null(), &CancellationToken::new()).await
    });
    Stand::until("the candidate runs", async || stand.pid_of(release).is_some()).await;
    let (state, kept) = (stand.folder.join("state.json"), stand.folder.join("kept.json"));
    std::fs::rename(&state, &kept).unwrap();
    std::fs::create_dir(&state).unwrap();
    std::fs::write(&go, "").unwrap();
    let error = rollout.await.unwrap().unwrap_err();
    assert!(error.message.contains("state.json cannot be written"), "{}", error.message);
    std::fs::remove_dir(&state).unwrap();
    std::fs::rename(&kept, &state).unwrap();
    assert_eq!(stand.state().active(), Some(first));
    stand.serves("one").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_to_each_poll_of_its_health_is_evidence_once() {
    let stand = Stand::new();
    let mut request = stand.request("polled");
    request.wait = Duration::from_secs(4);
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let error = stand.target().roll_out(&request, &events, &go).await.unwrap_err();
    let said = error.evidence.service_log.unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[..2], ["starting as polled", "15:00:00 GET /health 500 0ms"], "{said}");
    assert!(lines[2].starts_with("… ") && lines[2].contains(" more lines like this one"), "{said}");
    assert!(lines[3].starts_with("15:00:") && lines.len() == 4, "{said}");
    let shown: usize = error.evidence.excerpts.iter().map(|it| it.text.lines().count()).sum();
    assert_eq!(shown, 4, "{:?}", error.evidence.excerpts);
    assert!(error.evidence.log_lines > 5, "{}", error.evidence.log_lines);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_at_the_cut_of_a_log_is_hidden() {
    let stand = Stand::new();
    let target = stand.target();
    let request = stand.request("tells");
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let error = target.roll_out(&request, &events, &go).await.unwrap_err();
    let kept = error.evidence.service_log.unwrap();
    let later = target.service_log(request.release).await.unwrap();
    for said in [&kept, &later] {
        assert!(said.ends_with("one more line of texu\nat the end\n"), "{said}");
        assert!(!said.contains("T0"), "{said}");
    }
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_before_anything_is_started() {
    let mut stand = Stand::new();
    stand.plan.artifacts.push("build/out".into());
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("build/out"), "{}", error.message);
    assert!(!stand.folder.exists());
    stand.plan.artifacts.pop();
    stand.plan.command = vec!["./no-such-server".into()];
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("no-such-server"), "{}", error.message);
    assert!(error.evidence.remedy.is_some());
    stand.plan.command = vec!["./sever".into()];
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    let remedy = error.evidence.remedy.unwrap();
    assert!(remedy.what.contains("did you mean `./server`"), "{}", remedy.what);
    stand.plan.command = vec!["./server".into()];
    let server = stand.tree.path().join("server");
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    assert_eq!(error.class, FailureClass::Config);
    assert!(error.message.contains("Permission denied"), "{}", error.message);
    let remedy = error.evidence.remedy.unwrap();
    assert_eq!(remedy.command.as_deref(), Some("chmod +x server"));
    stand.url = "https://127.0.0.1:1".into();
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    assert!(error.message.contains("without TLS"), "{}", error.message);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_names_its_owner() {
    let stand = Stand::new();
    let _taken = std::net::TcpListener::bind(stand.url.strip_prefix("http://").unwrap()).unwrap();
    let error = stand.roll_out(&stand.target(), "one").await.unwrap_err();
    let kind = (TargetErrorKind::AddressInUse, FailureClass::Infrastructure);
    assert_eq!((error.kind, error.class), kind);
    let owner = format!("in use by process {} (", std::process::id());
    assert!(error.message.contains(&owner), "{}", error.message);
    let remedy = error.evidence.remedy.unwrap();
    assert_eq!(remedy.command, Some(format!("kill {}", std::process::id())));
    stand.end().await;
}

/// A release that serves at one address, and a target whose configuration names another.
async fn moved() -> (Stand, ReleaseId, String) {
    let mut stand = Stand::new();
    let first = stand.deploy(&stand.target(), "one").await;
    let next = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let before = std::mem::replace(&mut stand.url, format!("http://{next}"));
    (stand, first, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_at_another_address_leaves_the_old_one_where_it_was() {
    let (mut stand, first, before) = moved().await;
    let (events, go) = (EventSink::null(), CancellationToken::new());
    for mode in ["exit", "unhealthy", "two"] {
        let target = stand.target();
        let mut request = stand.request(mode);
        if mode == "unhealthy" {
            request.wait = Duration::from_millis(600);
        }
        let rolled_out = target.roll_out(&request, &events, &go).await;
        assert_eq!(rolled_out.is_ok(), mode == "two", "{mode}");
        if mode == "two" {
            stand.serves("two").await;
        }
        let restored = target.restore(request.release, &events, &go).await.unwrap();
        let (Restored::Untouched(back) | Restored::Release { deployed: back, .. }) = restored
        else {
            panic!("{restored:?}")
        };
        assert_eq!((back.release, back.endpoint.url.as_str()), (first, before.as_str()));
        let status = target.status().await.unwrap();
        assert_eq!(status.condition, Condition::Serves, "{mode}");
        assert_eq!(status.serving.unwrap().1.url, before);
        let next = std::mem::replace(&mut stand.url, before.clone());
        stand.serves("one").await;
        stand.url = next;
    }
    Stand::until("the new address is closed", async || stand.get("/").await.is_none()).await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_address_is_closed_when_a_release_is_verified_at_another() {
    let (mut stand, _, before) = moved().await;
    let target = stand.target();
    let release = stand.roll_out(&target, "two").await.unwrap().release;
    let next = std::mem::replace(&mut stand.url, before.clone());
    stand.serves("two").await;
    target.mark_verified(release).await.unwrap();
    Stand::until("the old address is closed", async || stand.get("/").await.is_none()).await;
    stand.url = next;
    stand.serves("two").await;
    assert_eq!(target.status().await.unwrap().serving.unwrap().1.url, stand.url);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_at_the_address_is_not_the_release() {
    let stand = Stand::new();
    let target = stand.target();
    stand.deploy(&target, "one").await;
    kill(stand.supervisor().unwrap());
    let address = stand.url.strip_prefix("http://").unwrap();
    let mut stranger = None;
    Stand::until("the address is free", async || {
        stranger = std::net::TcpListener::bind(address).ok();
        stranger.is_some()
    })
    .await;
    let status = target.status().await.unwrap();
    let Condition::Down(why) = status.condition else { panic!("{:?}", status.condition) };
    let owner = format!("in use by process {} (", std::process::id());
    assert!(why.contains(&owner), "{why}");
    drop(stranger);
    Stand::until("it serves again", async || {
        target.status().await.unwrap().condition == Condition::Serves
    })
    .await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_service_is_started_again() {
    let stand = Stand::new();
    let target = stand.target();
    let release = stand.deploy(&target, "one").await;
    let before = stand.pid_of(release).unwrap();
    assert_eq!(stand.get("/crash").await, None);
    stand.serves("one").await;
    assert_ne!(stand.pid_of(release).unwrap(), before);
    let notes = target.status().await.unwrap().notes.join("\n");
    assert!(notes.contains("restarted once, last exit: killed by SIGABRT"), "{notes}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_release_has_nothing_to_restore() {
    let stand = Stand::new();
    let target = stand.target();
    assert_eq!(
        target
            .restore(ReleaseId::generate(), &EventSink::null(), &CancellationToken::new())
            .await
            .unwrap(),
        Restored::Nothing
    );
    let release = stand.roll_out(&target, "one").await.unwrap().release;
    assert_eq!(
        target.restore(release, &EventSink::null(), &CancellationToken::new()).await.unwrap(),
        Restored::Nothing
    );
    assert_eq!(stand.get("/").await.unwrap().0, 503);
    assert!(target.status().await.unwrap().serving.is_none());
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_starts_an_earlier_release_again() {
    let stand = Stand::new();
    let target = stand.target();
    let events = EventSink::null();
    let go = CancellationToken::new();
    let none = target.roll_back(Earlier::LastVerified, &events, &go).await.unwrap_err();
    assert_eq!(none.kind, TargetErrorKind::NoRelease);
    let first = stand.deploy(&target, "one").await;
    let second = stand.deploy(&target, "two").await;
    let back = target.roll_back(Earlier::LastVerified, &events, &go).await.unwrap();
    assert_eq!(back.release, first);
    stand.serves("one").await;
    let forth = target.roll_back(Earlier::Release(second), &events, &go).await.unwrap();
    assert_eq!(forth.release, second);
    stand.serves("two").await;
    let unknown =
        target.roll_back(Earlier::Release(ReleaseId::generate()), &events, &go).await.unwrap_err();
    assert_eq!(unknown.kind, TargetErrorKind::NoRelease);
    // Two are kept: the third pushes the first one out, with its folder.
    stand.deploy(&target, "three").await;
    assert!(target.roll_back(Earlier::Release(first), &events, &go).await.is_err());
    let folders = std::fs::read_dir(stand.folder.join("releases")).unwrap().count();
    assert_eq!(folders, 2);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_after_a_stop_serves_as_soon_as_it_says_so() {
    let stand = Stand::new();
    let target = stand.target();
    let release = stand.deploy(&target, "one").await;
    target.stop().await.unwrap();
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let back = target.roll_back(Earlier::Release(release), &events, &go).await.unwrap();
    assert_eq!(back.release, release);
    assert_eq!(stand.get("/").await.map(|(status, _)| status), Some(200));

    // Another program has the address now.
    target.stop().await.unwrap();
    let address = stand.url.strip_prefix("http://").unwrap();
    let other = std::net::TcpListener::bind(address).unwrap();
    let taken = target.roll_back(Earlier::Release(release), &events, &go).await.unwrap_err();
    assert!(taken.to_string().contains("in use"), "{taken}");
    drop(other);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_replaced_and_its_release_serves_again() {
    let stand = Stand::new();
    let target = stand.target();
    let release = stand.deploy(&target, "one").await;
    let service = stand.pid_of(release).unwrap();
    kill(stand.supervisor().unwrap());
    Stand::until("the front is gone", async || stand.get("/").await.is_none()).await;
    let status = stand.target().status().await.unwrap();
    assert_eq!(status.serving.map(|(release, _)| release.id), Some(release));
    assert!(status.notes.iter().any(|note| note.contains("started a new one")));
    stand.serves("one").await;
    assert!(ProcessIdentity::of(service).is_none(), "the orphan survived");
    stand.deploy(&target, "two").await;
    stand.serves("two").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployer_that_dies_before_the_switch_leaves_nothing() {
    let stand = Stand::new();
    let target = stand.target();
    let first = stand.deploy(&target, "one").await;
    let dying = stand.target();
    let request = stand.request("silent");
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let cut =
        tokio::time::timeout(Duration::from_millis(700), dying.roll_out(&request, &events, &go));
    assert!(cut.await.is_err());
    Stand::until("the candidate is forgotten", async || {
        stand.state().get(request.release).is_none()
    })
    .await;
    assert_eq!(stand.state().active(), Some(first));
    stand.serves("one").await;
    // The same release can be rolled out again, by whoever resumes the run.
    std::fs::write(stand.tree.path().join("mode"), "two").unwrap();
    let resumed = target.roll_out(&request, &events, &go).await.unwrap();
    assert_eq!(resumed.release, request.release);
    stand.serves("two").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_the_candidate() {
    let stand = Stand::new();
    let target = stand.target();
    stand.deploy(&target, "one").await;
    let request = stand.request("silent");
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        later.cancel();
    });
    let error = target.roll_out(&request, &EventSink::null(), &cancel).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Cancelled);
    assert!(stand.state().get(request.release).is_none());
    stand.serves("one").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_run_died_unverified_gives_way_or_is_taken_up() {
    let stand = Stand::new();
    let first = stand.deploy(&stand.target(), "one").await;
    let dying = stand.target();
    let request = stand.request("two");
    let (events, go) = (EventSink::null(), CancellationToken::new());
    dying.roll_out(&request, &events, &go).await.unwrap();
    drop(dying);
    // It serves on; a run that resumes gets the same answer, and no second process.
    stand.serves("two").await;
    let told = format!("run {} ended before this release was verified", stand.run.short());
    let back = format!("release {} will be restored", first.short());
    Stand::until("the status tells what comes", async || {
        let notes = stand.target().status().await.unwrap().notes;
        notes.iter().any(|note| *note == format!("{told}: {back}"))
    })
    .await;
    let service = stand.pid_of(request.release);
    let resumed = stand.target();
    let again = resumed.roll_out(&request, &events, &go).await.unwrap();
    Stand::until("a run answers for it again", async || !stand.state().abandoned).await;
    assert_eq!((again.release, stand.pid_of(request.release)), (request.release, service));
    drop(resumed);
    assert_eq!(stand.target().clean_up(RunId::generate()).await.unwrap(), Vec::<String>::new());
    let notes = stand.target().clean_up(stand.run).await.unwrap();
    assert!(notes.len() == 1 && notes[0].contains("serves again"), "{notes:?}");
    assert_eq!(stand.state().active(), Some(first));
    stand.serves("one").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_release_without_a_deployer_gives_way_by_itself() {
    let stand = Stand::new();
    let first = stand.deploy(&stand.target(), "one").await;
    let dying = stand.target();
    let second = stand.roll_out(&dying, "two").await.unwrap().release;
    drop(dying);
    stand.serves("two").await;
    Stand::until("the old one serves again", async || {
        stand.get("/").await == Some((200, "one".to_owned()))
    })
    .await;
    let state = stand.state();
    assert_eq!(state.active(), Some(first));
    assert_eq!(state.get(second).unwrap().state, ReleaseState::Failed);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_write_more_than_its_log_holds() {
    let stand = Stand::new();
    let target = stand.target();
    let release = stand.deploy(&target, "one").await;
    assert_eq!(stand.get("/noise").await.unwrap().0, 200);
    let folder = super::service::release_folder(&stand.folder, release);
    let mut size = 0;
    Stand::until("the log has it all", async || {
        let files = std::fs::read_dir(&folder).unwrap().flatten();
        size = files.map(|file| file.metadata().unwrap().len()).sum();
        target.service_log(release).await.unwrap().contains("noise 019999")
    })
    .await;
    assert!(size < 9 * 1024 * 1024, "{size}");
    assert!(target.service_log(release).await.unwrap().len() <= 16 * 1024);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_supervisor_and_a_deleted_repository_end_by_themselves() {
    let stand = Stand::new();
    let release = stand.deploy(&stand.target(), "one").await;
    let second = tokio::process::Command::new(&*PROGRAM)
        .args(["supervise", "--state"])
        .arg(&stand.folder)
        .output()
        .await
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(said.contains("AlreadyRunning"), "{said}");
    let (supervisor, service) = (stand.supervisor().unwrap(), stand.pid_of(release).unwrap());
    std::fs::remove_dir_all(&stand.folder).unwrap();
    Stand::until("both are gone", async || {
        ProcessIdentity::of(supervisor).is_none() && ProcessIdentity::of(service).is_none()
    })
    .await;
}
