//! A real engine and a real registry: a supervisor of its own for each test, a compiled service
//! in an image that is nothing else, and requests through the front.
//!
//! `GREENLOOP_TEST_DOCKER` is the engine's address, `GREENLOOP_TEST_REGISTRY` the `host:port` of a
//! registry without authentication; either may be `skip`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::containers::Containers;
use super::labels::FoundContainer;
use super::record::tests::launch;
use super::record::{ContainerDetail, Launch, ReleaseRecord, State};
use super::supervise::mark_of;
use super::{DockerSettings, DockerTarget, shut_down, supervise};
use greenloop_config::plan::{DockerPlan, EnvironmentPlan, HealthPlan, Rollback};
use greenloop_evidence::Redactor;
use greenloop_image::engine::Engine;
use greenloop_model::{
    Condition, EventSink, Evidence, Exit, FailureClass, ImageRef, ReleaseId, ReleaseState,
    RunEvent, RunId,
};
use greenloop_ports::{
    Deployed, Earlier, Restored, RolloutRequest, Target as _, TargetError, TargetErrorKind,
};

const SUPERVISE: &str = "GREENLOOP_TEST_DOCKER_SUPERVISE";
const DEPLOY: &str = "GREENLOOP_TEST_DOCKER_DEPLOY";
const REPOSITORY: &str = "greenloop-test/docker-target";

/// Not a test: the supervisor's process, which is this test binary started once more.
#[tokio::test]
async fn supervisor_process() {
    if let Ok(arguments) = std::env::var(SUPERVISE) {
        let [engine, environment, folder] =
            arguments.split('\n').collect::<Vec<_>>().try_into().unwrap();
        supervise(Path::new(folder), environment.parse().unwrap(), engine).await.unwrap();
    }
}

/// Not a test: a deployer that is killed. Rolls out what it is told, says each step, and waits.
#[tokio::test(flavor = "multi_thread")]
async fn deployer_process() {
    let Ok(told) = std::env::var(DEPLOY) else { return };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let stand = Stand {
        folder: PathBuf::from(text("folder")),
        url: text("url"),
        image: ImageRef::parse(&text("image")).unwrap(),
        plan: plan(),
        rollback: Rollback::Allowed,
        run: text("run").parse().unwrap(),
        engine: engine().unwrap(),
        tree: None,
    };
    let (sender, steps) = std::sync::mpsc::channel();
    let said = PathBuf::from(text("said"));
    std::thread::spawn(move || {
        for event in steps {
            if let RunEvent::StepFinished { name, .. } = event {
                let before = std::fs::read_to_string(&said).unwrap_or_default();
                std::fs::write(&said, format!("{before}{name}\n")).unwrap();
            }
        }
    });
    let request = RolloutRequest { release: text("release").parse().unwrap(), ..stand.request() };
    let target = stand.target(&text("mode"));
    let _killed =
        target.roll_out(&request, &EventSink::new(sender), &CancellationToken::new()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name)
        .unwrap_or_else(|_| panic!("set {name} (see scripts/test.sh), or set it to `skip`"));
    (value != "skip").then_some(value)
}

fn engine() -> Option<Engine> {
    Some(Engine::at(Some(&variable("GREENLOOP_TEST_DOCKER")?), &|_| None).unwrap())
}

/// Beside the test binary, where everything that was built lies: made once, replaced when what it
/// is made from is newer. Other test processes may do the same at the same time.
fn built(name: &str, from: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().join("docker-target-fixtures");
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

/// Takes `supervise --docker ENGINE --environment NAME --state FOLDER`, as the real program does.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    built("greenloop", &test, |path| {
        let script = format!(
            "#!/bin/sh\n{SUPERVISE}=\"$3\n$5\n$7\" exec '{}' --exact \
             docker::tests::supervisor_process\n",
            test.display()
        );
        std::fs::write(path, script).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    })
});

/// The compiled service, needing nothing but the kernel.
static SERVICE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/services/echo.rs");
    let path = built("server", &source, |path| {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = std::process::Command::new(rustc);
        command.args(["--edition=2024", "-Ctarget-feature=+crt-static", "-Cstrip=symbols"]);
        command.arg(&source).arg("-o").arg(path);
        assert!(command.status().unwrap().success());
    });
    std::fs::read(path).unwrap()
});

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A layer with one program in it.
fn layer(program: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    tar.append_data(&mut header, "server", program).unwrap();
    tar.into_inner().unwrap()
}

/// Puts an image into the registry, without the engine: nobody else has this one.
async fn push(registry: &str, program: &[u8], config: serde_json::Value) -> ImageRef {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let base = format!("http://{registry}/v2/{REPOSITORY}");
    let blob = async |bytes: Vec<u8>| {
        let digest = digest(&bytes);
        let there = client.head(format!("{base}/blobs/{digest}")).send().await.unwrap();
        if there.status() != 200 {
            let upload = client.post(format!("{base}/blobs/uploads/")).send().await.unwrap();
            let place = upload.headers()["location"].to_str().unwrap();
            let mut place = url::Url::parse(&base).unwrap().join(place).unwrap();
            place.query_pairs_mut().append_pair("digest", &digest);
            let put = client.put(place).body(bytes).send().await.unwrap();
            assert_eq!(put.status(), 201);
        }
        digest
    };
    let files = layer(program);
    let size = files.len();
    let layer_digest = blob(files).await;
    let mut config = config;
    config["config"]["Labels"] = json!({ "stand": uuid::Uuid::new_v4().to_string() });
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [layer_digest] });
    let config = serde_json::to_vec(&config).unwrap();
    let config_size = config.len();
    let config_digest = blob(config).await;
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config_size, "digest": config_digest,
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
            "size": size, "digest": layer_digest,
        }],
    }))
    .unwrap();
    let digest = digest(&manifest);
    let put = client.put(format!("{base}/manifests/{digest}")).header("content-type", kind);
    assert_eq!(put.body(manifest).send().await.unwrap().status(), 201);
    ImageRef::new(&format!("{registry}/{REPOSITORY}"), &digest).unwrap()
}

fn config() -> serde_json::Value {
    // The first process of a container has no default for SIGTERM, and the service none of its own.
    let run = json!({ "Cmd": ["/server"], "Env": ["LISTEN=0.0.0.0"], "StopSignal": "SIGKILL" });
    json!({ "architecture": arch(), "os": "linux", "config": run })
}

fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn plan() -> DockerPlan {
    DockerPlan {
        docker_host: None,
        container_port: 8080,
        command: Vec::new(),
        env: [("PLANNED".to_owned(), "yes".to_owned())].into(),
        volumes: Vec::new(),
        network: None,
        memory: None,
        drain_timeout: Duration::from_secs(3),
        keep_releases: 2,
    }
}

/// An environment on the engine; everything is removed at the end.
struct Stand {
    folder: PathBuf,
    url: String,
    image: ImageRef,
    plan: DockerPlan,
    rollback: Rollback,
    run: RunId,
    engine: Engine,
    /// Absent in a process that only borrows the stand.
    tree: Option<tempfile::TempDir>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        if self.tree.is_none() {
            return;
        }
        let supervisor =
            self.supervisor().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = supervisor {
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let (containers, image) = (self.containers(), self.image.clone());
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                for found in containers.list().await.unwrap_or_default() {
                    let _gone = containers.remove(&found.id).await;
                }
                let _gone = containers.remove_image(&image).await;
            });
        });
        let _removed = removed.join();
    }
}

impl Stand {
    /// `None` when there is no engine or registry, and that is said to be right.
    async fn new() -> Option<Self> {
        Self::with(&SERVICE, config()).await
    }

    async fn with(program: &[u8], config: serde_json::Value) -> Option<Self> {
        let (engine, registry) = (engine()?, variable("GREENLOOP_TEST_REGISTRY")?);
        let image = push(&registry, program, config).await;
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("git/greenloop/targets/staging/docker");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Self {
            folder,
            url: format!("http://127.0.0.1:{port}"),
            image,
            plan: plan(),
            rollback: Rollback::Allowed,
            run: RunId::generate(),
            engine,
            tree: Some(tree),
        })
    }

    fn target(&self, mode: &str) -> DockerTarget {
        let mut plan = self.plan.clone();
        plan.env.insert("MODE".to_owned(), mode.to_owned());
        let environment = EnvironmentPlan {
            name: "staging".parse().unwrap(),
            namespace: None,
            url: self.url.clone(),
            health_endpoint: "/health".into(),
            require_approval: false,
        };
        let health = HealthPlan {
            endpoint: "/health".into(),
            timeout: Duration::from_secs(1),
            retries: 1,
            backoff: Duration::from_millis(10),
        };
        DockerTarget::new(DockerSettings {
            state: self.folder.clone(),
            plan: &plan,
            environment: &environment,
            health: &health,
            rollback: self.rollback,
            engine: self.engine.clone(),
            logins: Arc::new(|_| Box::pin(async { Ok(None) })),
            redactor: Redactor::default(),
            program: PROGRAM.clone(),
        })
        .env_remove([SUPERVISE.into(), DEPLOY.into()])
    }

    fn request(&self) -> RolloutRequest {
        RolloutRequest {
            release: ReleaseId::generate(),
            commit: "c".repeat(40).parse().unwrap(),
            run: self.run,
            image: Some(self.image.clone()),
            work_tree: self.folder.clone(),
            wait: Duration::from_secs(15),
        }
    }

    async fn roll_out(&self, mode: &str) -> (DockerTarget, Result<Deployed, TargetError>) {
        let target = self.target(mode);
        let go = CancellationToken::new();
        let deployed = target.roll_out(&self.request(), &EventSink::null(), &go).await;
        (target, deployed)
    }

    /// A release that does not come to serve.
    async fn fail(&self, mode: &str) -> (TargetError, Evidence) {
        let mut error = self.roll_out(mode).await.1.unwrap_err();
        let evidence = std::mem::take(&mut *error.evidence);
        (error, evidence)
    }

    /// A verified release.
    async fn deploy(&self, mode: &str) -> ReleaseId {
        let (target, deployed) = self.roll_out(mode).await;
        let release = deployed.unwrap().release;
        target.mark_verified(release).await.unwrap();
        release
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn serves(&self, mode: &str) {
        assert_eq!(self.get("/").await, Some((200, mode.to_owned())));
    }

    /// Until `holds`, for at most `limit`.
    async fn until(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + limit;
        while !holds().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn containers(&self) -> Containers {
        Containers {
            engine: self.engine.clone(),
            environment: "staging".parse().unwrap(),
            mark: mark_of(&self.folder).unwrap(),
        }
    }

    async fn found(&self) -> Vec<FoundContainer> {
        self.containers().list().await.unwrap()
    }

    async fn is_up(&self, release: ReleaseId) -> Option<bool> {
        self.found().await.into_iter().find(|f| f.release() == Some(release)).map(|f| f.up)
    }

    fn state(&self) -> State {
        State::load(&self.folder).unwrap().unwrap()
    }

    fn supervisor(&self) -> Option<u32> {
        State::load(&self.folder).ok().flatten()?.supervisor
    }

    /// Starts a process that rolls out `mode` as `release`, and gives the file it tells its steps to.
    fn deployer(&self, mode: &str, release: ReleaseId) -> (std::process::Child, PathBuf) {
        let said = self.folder.with_file_name(format!("said-{release}"));
        std::fs::create_dir_all(said.parent().unwrap()).unwrap();
        let told = json!({
            "folder": self.folder, "url": self.url, "image": self.image.to_string(),
            "run": self.run.to_string(), "release": release.to_string(), "mode": mode,
            "said": said,
        });
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "docker::tests::deployer_process"])
            .env(DEPLOY, told.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (child, said)
    }

    async fn end(self) {
        shut_down(&self.folder).await.unwrap();
        let found = self.found().await;
        let state = State::load(&self.folder);
        assert!(
            found.iter().all(|found| !found.up),
            "a container survived: {found:#?}, {state:#?}"
        );
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

const SOON: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_rolled_out_verified_and_outlives_its_deployer() {
    let Some(stand) = Stand::new().await else { return };
    let target = stand.target("one");
    assert_eq!(target.status().await.unwrap(), greenloop_ports::TargetStatus::default());
    assert_eq!(
        target
            .restore(ReleaseId::generate(), &EventSink::null(), &CancellationToken::new())
            .await
            .unwrap(),
        Restored::Nothing
    );
    assert!(!stand.folder.exists());
    let (sender, events) = std::sync::mpsc::channel();
    let go = CancellationToken::new();
    let request = stand.request();
    target.roll_out(&request, &EventSink::new(sender), &go).await.unwrap();
    let steps: Vec<String> = events
        .try_iter()
        .filter_map(|event| match event {
            RunEvent::StepFinished { name, ok: true, .. } => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["pull", "start", "health check", "switch"]);
    let live = target.status().await.unwrap().serving.unwrap().0;
    assert_eq!((live.id, live.state), (request.release, ReleaseState::Live));
    target.mark_verified(request.release).await.unwrap();
    // The same release again is the same answer, and no second container.
    let again = target.roll_out(&request, &EventSink::null(), &go).await.unwrap();
    assert_eq!((again.release, stand.found().await.len()), (request.release, 1));
    drop(target);
    stand.serves("one").await;
    assert_eq!(stand.get("/env/PLANNED").await.unwrap().1, "yes");
    assert_eq!(stand.get("/env/PORT").await.unwrap().1, "8080");
    let status = stand.target("one").status().await.unwrap();
    let (serving, endpoint) = status.serving.unwrap();
    assert_eq!((serving.id, serving.state), (request.release, ReleaseState::Verified));
    assert_eq!((serving.image, endpoint.url.as_str()), (Some(stand.image.clone()), &*stand.url));
    assert!(status.notes[0].starts_with("container "), "{:?}", status.notes);
    let log = stand.target("one").service_log(request.release).await.unwrap();
    assert_eq!(log, "starting as one\n");
    Stand::until(SOON, "its name says that it is verified", async || {
        stand.found().await[0].name.ends_with("-verified")
    })
    .await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_a_switch() {
    let Some(mut stand) = Stand::new().await else { return };
    // On a new kernel the bridge of an old engine changes its own address whenever a container
    // comes or goes, and containers that run lose packets for up to a minute.
    stand.plan.network = Some("host".to_owned());
    stand.plan.env.insert("LISTEN".to_owned(), "127.0.0.1".to_owned());
    stand.deploy("one").await;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let failed: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
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
                match answer {
                    Ok(answer) if answer.status().is_success() => {}
                    other => failed.lock().unwrap().push(format!("{worker}: {other:?}")),
                }
            }
        });
    }
    for mode in ["two", "slow-start"] {
        stand.deploy(mode).await;
        stand.serves(mode).await;
    }
    let (target, bad) = stand.roll_out("bad").await;
    let restored = target
        .restore(bad.unwrap().release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(restored, Restored::Release { .. }), "{restored:?}");
    stand.serves("slow-start").await;
    let (events, go) = (EventSink::null(), CancellationToken::new());
    target.roll_back(Earlier::LastVerified, &events, &go).await.unwrap();
    stand.serves("two").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    while load.join_next().await.is_some() {}
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked > 100, "{asked}");
    let failed = failed.lock().unwrap().clone();
    assert!(failed.is_empty(), "{} of {asked}: {failed:#?}", failed.len());
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_fails_leaves_the_old_one_serving() {
    let Some(mut stand) = Stand::new().await else { return };
    let first = stand.deploy("one").await;
    let (error, evidence) = stand.fail("exit").await;
    assert_eq!(error.kind, TargetErrorKind::Release);
    assert_eq!(evidence.exit, Some(Exit::Code(7)));
    let said = evidence.service_log.unwrap();
    assert!(said.contains("no such table: vehicles"), "{said}");
    assert!(!evidence.excerpts.is_empty());
    stand.serves("one").await;

    let request = RolloutRequest { wait: Duration::from_millis(900), ..stand.request() };
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let target = stand.target("unhealthy");
    let error = target.roll_out(&request, &events, &go).await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Code));
    let exchange = &error.evidence.http[0];
    assert_eq!((exchange.status, exchange.response.as_str()), (Some(500), "database is down"));
    // What it said can still be read when it is stopped.
    let said = target.service_log(request.release).await.unwrap();
    assert_eq!(said, "starting as unhealthy\n");
    let again = target.roll_out(&request, &events, &go).await.unwrap_err();
    assert!(again.message.contains("cannot be deployed again"), "{}", again.message);
    let restored = target
        .restore(request.release, &EventSink::null(), &CancellationToken::new())
        .await
        .unwrap();
    assert!(matches!(restored, Restored::Untouched(d) if d.release == first));

    // It listens where nobody can come: the hint is worth more than the probe.
    stand.plan.env.insert("LISTEN".into(), "127.0.0.1".into());
    let request = RolloutRequest { wait: Duration::from_millis(900), ..stand.request() };
    let error = stand.target("two").roll_out(&request, &events, &go).await.unwrap_err();
    let notes = error.evidence.notes.join("\n");
    assert!(notes.contains("listen on all interfaces (0.0.0.0)"), "{notes}");
    stand.serves("one").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_commands_and_volumes_that_cannot_be_are_the_configurations_fault() {
    let Some(mut stand) = Stand::new().await else { return };
    stand.plan.memory = Some(24 << 20);
    let (error, evidence) = stand.fail("hungry").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("exceeded its memory limit"), "{}", error.message);
    assert_eq!(evidence.exit, Some(Exit::Signal(9)));

    stand.plan.memory = Some(1000);
    let (error, evidence) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    let notes = evidence.notes.join("\n");
    assert!(notes.contains("memory limit"), "{notes}");

    stand.plan.memory = None;
    stand.plan.command = vec!["/no-such-server".into(), "--fast".into()];
    let (error, evidence) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("/no-such-server"), "{}", error.message);
    assert!(matches!(evidence.exit, Some(Exit::NotStarted(_))), "{:?}", evidence.exit);
    assert!(evidence.command.unwrap().ends_with("/no-such-server --fast"));

    stand.plan.command = Vec::new();
    stand.plan.network = Some("greenloop-no-such-network".into());
    let (error, _) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("greenloop-no-such-network"), "{}", error.message);

    // The first release of all: nothing serves, and nothing is left of the failed ones.
    assert!(stand.target("one").status().await.unwrap().serving.is_none());
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_for_another_machine_is_told_from_a_broken_one() {
    let mut foreign = config();
    foreign["architecture"] = json!(if arch() == "amd64" { "arm64" } else { "amd64" });
    let Some(stand) = Stand::with(b"\x7fELF of another machine", foreign).await else { return };
    let (error, evidence) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    let notes = evidence.notes.join("\n");
    assert!(notes.contains("is for linux/arm64, but the engine runs on"), "{notes}");
    let said = evidence.service_log.unwrap_or_default();
    assert!(said.contains("exec format error"), "{said}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_own_health_check_is_heard() {
    let mut sick = config();
    sick["config"]["Healthcheck"] = json!({
        "Test": ["CMD", "/server", "check"], "Interval": 200_000_000, "Retries": 2,
    });
    let Some(stand) = Stand::with(&SERVICE, sick).await else { return };
    // Its HTTP health check does not pass either, so that there is time to be heard.
    let (error, evidence) = stand.fail("unhealthy").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Code));
    assert!(error.message.contains("the disk is full"), "{}", error.message);
    let notes = evidence.notes.join("\n");
    assert!(notes.contains("health check, exit status 1: the disk is full"), "{notes}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_an_engine_or_an_address_that_is_not_there_is_said() {
    let Some(mut stand) = Stand::new().await else { return };
    let taken = std::net::TcpListener::bind(stand.url.strip_prefix("http://").unwrap()).unwrap();
    let (error, _) = stand.fail("one").await;
    let kind = (TargetErrorKind::AddressInUse, FailureClass::Infrastructure);
    assert_eq!((error.kind, error.class), kind);
    let owner = format!("in use by process {} (", std::process::id());
    assert!(error.message.contains(&owner), "{}", error.message);
    drop(taken);

    let real = stand.image.clone();
    stand.image = ImageRef::new(real.repository(), &digest(b"never pushed")).unwrap();
    let (error, _) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));
    assert!(error.message.contains("the registry does not have"), "{}", error.message);
    stand.image = real;

    let none = RolloutRequest { image: None, ..stand.request() };
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let error = stand.target("one").roll_out(&none, &events, &go).await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Config));

    let url = std::mem::replace(&mut stand.url, "https://127.0.0.1:1".into());
    let (error, _) = stand.fail("one").await;
    assert!(error.message.contains("without TLS"), "{}", error.message);
    stand.url = url;

    let here = std::mem::replace(
        &mut stand.engine,
        Engine::at(Some("tcp://127.0.0.1:9"), &|_| None).unwrap(),
    );
    let (error, _) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Target, FailureClass::Infrastructure));
    assert!(error.message.contains("no Docker Engine at tcp://127.0.0.1:9"), "{}", error.message);
    stand.engine = here;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_login_gets_it_or_the_failure_is_one_of_authentication() {
    let Some(mut stand) = Stand::new().await else { return };
    // A registry that only says who may come; nothing is in it.
    let registry = wiremock::MockServer::start().await;
    let answer = wiremock::ResponseTemplate::new;
    let robot = || wiremock::matchers::basic_auth("robot", "s3cr3t~?>");
    let unknown = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "no such" }] });
    let refused = answer(401).insert_header("www-authenticate", "Basic realm=\"test\"");
    for (priority, mock) in [
        wiremock::Mock::given(robot())
            .and(wiremock::matchers::path("/v2/"))
            .respond_with(answer(200)),
        wiremock::Mock::given(robot()).respond_with(answer(404).set_body_json(unknown)),
        wiremock::Mock::given(wiremock::matchers::any()).respond_with(refused),
    ]
    .into_iter()
    .enumerate()
    {
        let priority = u8::try_from(priority + 1).unwrap();
        mock.with_priority(priority).mount(&registry).await;
    }
    let host = registry.address().to_string();
    let real = stand.image.clone();
    stand.image = ImageRef::new(&format!("{host}/fleet"), real.digest()).unwrap();
    let (error, evidence) = stand.fail("one").await;
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Auth));
    assert!(error.message.contains(&format!("could not pull {host}/fleet")), "{}", error.message);
    assert!(evidence.notes.len() > 1, "{:?}", evidence.notes);

    let (asked, (events, go)) =
        (Arc::new(std::sync::Mutex::new(None)), (EventSink::null(), CancellationToken::new()));
    let mut target = stand.target("one");
    let by = Arc::clone(&asked);
    target.logins = Arc::new(move |image| {
        *by.lock().unwrap() = Some(image);
        let (username, password) = (Some("robot".to_owned()), Some("s3cr3t~?>".to_owned()));
        let login = DockerCredentials { username, password, ..DockerCredentials::default() };
        Box::pin(async { Ok(Some(login)) })
    });
    let error = target.roll_out(&stand.request(), &events, &go).await.unwrap_err();
    assert!(error.message.contains("the registry does not have"), "{}", error.message);
    assert_eq!(error.class, FailureClass::Config);
    assert_eq!(asked.lock().unwrap().take(), Some(stand.image.clone()));

    target.logins = Arc::new(|_| Box::pin(async { Err("no helper on PATH".into()) }));
    let error = target.roll_out(&stand.request(), &events, &go).await.unwrap_err();
    assert_eq!((error.kind, error.class), (TargetErrorKind::Release, FailureClass::Auth));
    assert!(error.evidence.notes.iter().any(|note| note == "no helper on PATH"));
    stand.image = real;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_service_is_started_again_and_status_tells() {
    let Some(stand) = Stand::new().await else { return };
    let release = stand.deploy("slow-start").await;
    assert_eq!(stand.get("/crash").await, None);
    Stand::until(SOON, "the engine tells of it", async || {
        stand.state().get(release).unwrap().detail.last_exit.is_some()
    })
    .await;
    // Whoever comes while it starts waits for it, though the engine's forwarder is there already.
    stand.serves("slow-start").await;
    let target = stand.target("slow-start");
    let mut notes = String::new();
    Stand::until(SOON, "the crash is told", async || {
        notes = target.status().await.unwrap().notes.join("\n");
        notes.contains("restarted once, last exit: killed by SIG")
    })
    .await;
    assert_eq!(stand.state().active(), Some(release));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_starts_an_earlier_release_again() {
    let Some(stand) = Stand::new().await else { return };
    let target = stand.target("one");
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let none = target.roll_back(Earlier::LastVerified, &events, &go).await.unwrap_err();
    assert_eq!(none.kind, TargetErrorKind::NoRelease);
    let first = stand.deploy("one").await;
    let second = stand.deploy("two").await;
    Stand::until(SOON, "the first one is stopped", async || {
        stand.is_up(first).await == Some(false)
    })
    .await;
    let back = target.roll_back(Earlier::LastVerified, &events, &go).await.unwrap();
    assert_eq!(back.release, first);
    stand.serves("one").await;
    // At once: the second one may still be on its way down.
    let forth = target.roll_back(Earlier::Release(second), &events, &go).await.unwrap();
    assert_eq!(forth.release, second);
    stand.serves("two").await;
    // A container that somebody removed is made again, as it was released.
    let containers = stand.containers();
    for found in stand.found().await.iter().filter(|found| found.release() == Some(first)) {
        containers.remove(&found.id).await.unwrap();
    }
    let back = target.roll_back(Earlier::Revision(1), &events, &go).await.unwrap();
    assert_eq!(back.release, first);
    stand.serves("one").await;
    assert_eq!(stand.get("/env/PLANNED").await.unwrap().1, "yes");
    let unknown =
        target.roll_back(Earlier::Release(ReleaseId::generate()), &events, &go).await.unwrap_err();
    assert_eq!(unknown.kind, TargetErrorKind::NoRelease);
    // Two are kept: the third pushes the first one out, with its container.
    stand.deploy("three").await;
    assert!(target.roll_back(Earlier::Release(first), &events, &go).await.is_err());
    Stand::until(SOON, "two are left", async || stand.found().await.len() == 2).await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_must_stay_stays() {
    let Some(mut stand) = Stand::new().await else { return };
    let first = stand.deploy("one").await;
    stand.rollback = Rollback::Forbidden;
    // A candidate that never served is given up like any other.
    let (error, _) = stand.fail("exit").await;
    assert_eq!(error.kind, TargetErrorKind::Release);
    let (target, migration) = stand.roll_out("two").await;
    let migration = migration.unwrap().release;
    let error =
        target.restore(migration, &EventSink::null(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Forbidden);
    assert!(error.message.contains("deploy.rollback: forbidden"), "{}", error.message);
    stand.serves("two").await;
    drop(target);
    // Neither its run's end nor a person takes it back.
    let notes = stand.target("two").clean_up(stand.run).await.unwrap();
    assert!(notes[0].contains("keeps serving"), "{notes:?}");
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let target = stand.target("two");
    for earlier in [Earlier::LastVerified, Earlier::Release(first)] {
        let error = target.roll_back(earlier, &events, &go).await.unwrap_err();
        assert_eq!(error.kind, TargetErrorKind::Forbidden, "{earlier:?}");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    stand.serves("two").await;
    let notes = target.status().await.unwrap().notes.join("\n");
    assert!(notes.contains("must not be rolled back"), "{notes}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_replaced_and_the_container_never_stops() {
    let Some(stand) = Stand::new().await else { return };
    let release = stand.deploy("one").await;
    let container = stand.state().get(release).unwrap().detail.container.clone().unwrap();
    kill(stand.supervisor().unwrap());
    Stand::until(SOON, "the front is gone", async || stand.get("/").await.is_none()).await;
    let status = stand.target("one").status().await.unwrap();
    assert_eq!(status.serving.map(|(release, _)| release.id), Some(release));
    assert!(status.notes.iter().any(|note| note.contains("started a new one")));
    stand.serves("one").await;
    assert_eq!(stand.state().get(release).unwrap().detail.container, Some(container));
    // Even the record can be lost: the containers tell it.
    kill(stand.supervisor().unwrap());
    std::fs::remove_dir_all(&stand.folder).unwrap();
    let second = stand.deploy("two").await;
    stand.serves("two").await;
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let back = stand.target("two").roll_back(Earlier::LastVerified, &events, &go).await.unwrap();
    assert_eq!(back.release, release);
    stand.serves("one").await;
    assert!(stand.state().get(second).is_some());
    stand.end().await;
}

/// What the record says is not what the engine has.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_at_another_address_leaves_the_old_one_where_it_was() {
    let Some(mut stand) = Stand::new().await else { return };
    let first = stand.deploy("one").await;
    let next = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let before = std::mem::replace(&mut stand.url, format!("http://{next}"));
    let (events, go) = (EventSink::null(), CancellationToken::new());
    for mode in ["exit", "two"] {
        let target = stand.target(mode);
        let request = stand.request();
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
        let next = std::mem::replace(&mut stand.url, before.clone());
        stand.serves("one").await;
        stand.url = next;
    }
    let release = stand.deploy("three").await;
    stand.serves("three").await;
    let status = stand.target("three").status().await.unwrap();
    let (serving, endpoint) = status.serving.unwrap();
    assert_eq!((serving.id, endpoint.url), (release, stand.url.clone()));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_at_the_address_is_not_the_release() {
    let Some(stand) = Stand::new().await else { return };
    stand.deploy("one").await;
    kill(stand.supervisor().unwrap());
    let address = stand.url.strip_prefix("http://").unwrap();
    let mut stranger = None;
    Stand::until(Duration::from_secs(60), "the address is free", async || {
        stranger = std::net::TcpListener::bind(address).ok();
        stranger.is_some()
    })
    .await;
    let status = stand.target("one").status().await.unwrap();
    let Condition::Down(why) = status.condition else { panic!("{:?}", status.condition) };
    assert!(why.contains(&format!("in use by process {} (", std::process::id())), "{why}");
    drop(stranger);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_removed_by_hand_serves_nothing() {
    let Some(stand) = Stand::new().await else { return };
    let release = stand.deploy("one").await;
    assert_eq!(stand.target("one").status().await.unwrap().condition, Condition::Serves);
    let container = stand.state().get(release).unwrap().detail.container.clone().unwrap();
    let by_hand =
        bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
    stand.engine.docker().remove_container(&container.id, Some(by_hand)).await.unwrap();
    let status = stand.target("one").status().await.unwrap();
    assert_eq!(status.serving.map(|(release, _)| release.id), Some(release));
    let Condition::Down(why) = status.condition else { panic!("{:?}", status.condition) };
    assert!(why.contains("no longer exists"), "{why}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployer_that_is_killed_leaves_the_old_or_the_new_release() {
    let Some(stand) = Stand::new().await else { return };
    let first = stand.deploy("one").await;
    // Before the switch: the candidate goes.
    for (mode, step) in [("two", "pull"), ("silent", "start")] {
        let release = ReleaseId::generate();
        let (mut deployer, said) = stand.deployer(mode, release);
        Stand::until(SOON, step, async || {
            std::fs::read_to_string(&said).unwrap_or_default().contains(step)
        })
        .await;
        deployer.kill().unwrap();
        deployer.wait().unwrap();
        stand.serves("one").await;
        Stand::until(SOON, "the candidate is gone", async || {
            stand.state().get(release).is_none() && stand.is_up(release).await.is_none()
        })
        .await;
        assert_eq!(stand.state().active(), Some(first));
    }
    // After it: the new one serves until its lease is over, and then the old one.
    let release = ReleaseId::generate();
    let (mut deployer, said) = stand.deployer("two", release);
    Stand::until(SOON, "switch", async || {
        std::fs::read_to_string(&said).unwrap_or_default().contains("switch")
    })
    .await;
    deployer.kill().unwrap();
    deployer.wait().unwrap();
    stand.serves("two").await;
    Stand::until(SOON, "the old one serves again", async || {
        stand.get("/").await == Some((200, "one".to_owned()))
    })
    .await;
    assert_eq!(stand.state().active(), Some(first));
    assert_eq!(stand.state().get(release).unwrap().state, ReleaseState::Failed);
    // Cleaned up before that, it goes at once; taken up again, it stays.
    let (target, deployed) = stand.roll_out("three").await;
    let request = RolloutRequest { release: deployed.unwrap().release, ..stand.request() };
    drop(target);
    let (events, go) = (EventSink::null(), CancellationToken::new());
    let resumed = stand.target("three");
    resumed.roll_out(&request, &events, &go).await.unwrap();
    drop(resumed);
    let other = stand.target("three").clean_up(RunId::generate()).await.unwrap();
    assert_eq!(other, Vec::<String>::new());
    let notes = stand.target("three").clean_up(stand.run).await.unwrap();
    assert!(notes.len() == 1 && notes[0].contains("serves again"), "{notes:?}");
    stand.serves("one").await;
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployer_killed_at_any_moment_leaves_one_release_serving() {
    let Some(stand) = Stand::new().await else { return };
    stand.deploy("one").await;
    for milliseconds in [60, 180, 300, 420, 540, 700] {
        let release = ReleaseId::generate();
        let (mut deployer, _) = stand.deployer("two", release);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        deployer.kill().unwrap();
        deployer.wait().unwrap();
        let now = stand.get("/").await.unwrap();
        assert!(now.0 == 200 && (now.1 == "one" || now.1 == "two"), "{now:?}");
        stand.target("two").clean_up(stand.run).await.unwrap();
        stand.serves("one").await;
    }
    Stand::until(SOON, "one runs", async || {
        stand.found().await.iter().filter(|found| found.up).count() == 1
    })
    .await;
    stand.serves("one").await;
    stand.end().await;
}

/// A start may be under way at the engine when its deployer is gone, and is listed as stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_removes_what_a_killed_deployer_had_begun() {
    let Some(stand) = Stand::new().await else { return };
    stand.deploy("one").await;
    let containers = stand.containers();
    let commit = "c".repeat(40).parse().unwrap();
    let launch = Launch { command: Vec::new(), memory: None, ..launch() };
    let detail = ContainerDetail::new(stand.image.clone(), launch, false);
    let now = jiff::Timestamp::now();
    let begun = ReleaseRecord::candidate(ReleaseId::generate(), commit, stand.run, detail, now);
    let id = containers.create(&begun, containers.free_port()).await.unwrap();
    let starter = containers.clone();
    let start = tokio::spawn(async move { starter.start(&id).await });
    shut_down(&stand.folder).await.unwrap();
    let _removed_while_it_started = start.await.unwrap();
    let left: Vec<_> = stand.found().await.into_iter().map(|found| found.release()).collect();
    assert!(!left.contains(&Some(begun.id)), "{left:?}");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_removes_the_candidate() {
    let Some(stand) = Stand::new().await else { return };
    stand.deploy("one").await;
    let request = stand.request();
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(900)).await;
        later.cancel();
    });
    let target = stand.target("silent");
    let error = target.roll_out(&request, &EventSink::null(), &cancel).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Cancelled);
    assert!(stand.state().get(request.release).is_none());
    stand.serves("one").await;
    Stand::until(SOON, "one is left", async || stand.found().await.len() == 1).await;
    stand.end().await;
}
