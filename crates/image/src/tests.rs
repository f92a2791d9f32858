//! Against a real engine and a real registry.
//!
//! `GREENLOOP_TEST_DOCKER` names the engine (`unix:///…`), `GREENLOOP_TEST_REGISTRY` a registry
//! over plain HTTP without authentication (`127.0.0.1:5000`) that the engine reaches by the same
//! name; `skip` in one of them leaves these tests out. A static busybox is taken from
//! `/bin/busybox`.

mod proxy;
mod small_engine;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bollard::query_parameters::RemoveImageOptionsBuilder;
use tokio_util::sync::CancellationToken;

use super::ImagePipeline;
use crate::engine::Engine;
use crate::registry::{Credentials, Registry};
use greenloop_config::plan::{BuildPlan, Builder};
use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, Exit, FailureClass, RunEvent, RunId};
use greenloop_ports::{Image, ImageError, ImageErrorKind, ImageRequest, ImageSource};
use proxy::{Proxy, Trick};
use small_engine::SmallEngine;

const BOTH: [Builder; 2] = [Builder::Buildkit, Builder::Classic];
/// What every Dockerfile here begins with: four lines, so that the test's own begin at line 5.
const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\",\"--install\",\"-s\",\"/bin\"]\nFROM base\n";

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name)
        .unwrap_or_else(|_| panic!("set {name} (see the module's doc), or set it to `skip`"));
    (value != "skip").then_some(value)
}

/// A work tree, and the repository that its image goes to.
struct Place {
    folder: tempfile::TempDir,
    docker: String,
    registry: String,
    name: String,
    plan: BuildPlan,
}

impl Place {
    /// `None` when the tests are to be left out.
    fn new(builder: Builder, dockerfile: &str) -> Option<Self> {
        let (docker, registry) =
            (variable("GREENLOOP_TEST_DOCKER")?, variable("GREENLOOP_TEST_REGISTRY")?);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("work");
        fs::create_dir_all(&root).unwrap();
        fs::copy("/bin/busybox", root.join("busybox"))
            .expect("a static busybox at /bin/busybox (package busybox-static)");
        fs::write(root.join("Dockerfile"), dockerfile).unwrap();
        let name = format!("greenloop-test/{}", uuid::Uuid::new_v4().simple());
        let plan = BuildPlan {
            registry: registry.clone(),
            image_name: name.clone(),
            dockerfile_path: PathBuf::from("Dockerfile"),
            context_path: PathBuf::new(),
            args: BTreeMap::new(),
            target: None,
            labels: BTreeMap::new(),
            platform: None,
            tags: Vec::new(),
            builder,
            docker_host: Some(docker.clone()),
        };
        Some(Self { folder, docker, registry, name, plan })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("image.log")).unwrap_or_default()
    }

    fn engine(&self) -> Engine {
        Engine::at(Some(&self.docker), &|_| None).unwrap()
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.registry, Credentials::default())
    }

    fn request(&self, commit: &str) -> ImageRequest {
        ImageRequest {
            commit: commit.repeat(40).parse().unwrap(),
            committed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            source: Some("https://example.org/team/app".to_owned()),
            run: RunId::generate(),
            work_tree: self.root(),
            log: self.folder.path().join("image.log"),
        }
    }

    async fn image(&self, commit: &str) -> (Result<Image, ImageError>, Vec<RunEvent>) {
        self.image_until(commit, &CancellationToken::new()).await
    }

    async fn image_until(
        &self,
        commit: &str,
        cancel: &CancellationToken,
    ) -> (Result<Image, ImageError>, Vec<RunEvent>) {
        let (sender, receiver) = mpsc::channel();
        let env = |name: &str| (name == "BUILD_BUILDID").then(|| "4711".to_owned());
        let pipeline = ImagePipeline::new(
            &self.plan,
            self.state(),
            Credentials::default(),
            Redactor::default(),
            &env,
        );
        let made = pipeline.image(&self.request(commit), &EventSink::new(sender), cancel).await;
        (made, receiver.try_iter().collect())
    }

    async fn failure(&self) -> ImageError {
        let (made, _) = self.image("a").await;
        made.expect_err("the build fails")
    }

    /// Takes what the test has made from the engine and the registry.
    async fn clean(self) {
        let docker = self.engine();
        let docker = docker.docker();
        let images = docker
            .list_images(None::<bollard::query_parameters::ListImagesOptions>)
            .await
            .unwrap_or_default();
        let names =
            images.iter().flat_map(|image| image.repo_tags.iter().chain(&image.repo_digests));
        for name in names.filter(|name| name.contains(&self.name)) {
            let options = RemoveImageOptionsBuilder::default().force(true).build();
            let _gone = docker.remove_image(name, Some(options), None).await;
        }
        let registry = self.registry();
        let client = reqwest::Client::new();
        let listed = format!("http://{}/v2/{}/tags/list", self.registry, self.name);
        let Ok(answer) = client.get(listed).send().await else { return };
        let tags: serde_json::Value = answer.json().await.unwrap_or_default();
        for tag in tags["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()) {
            if let Ok(Some(manifest)) = registry.head(&self.name, tag).await {
                let (host, digest) = (&self.registry, &manifest.digest);
                let url = format!("http://{host}/v2/{}/manifests/{digest}", self.name);
                let _gone = client.delete(url).send().await;
            }
        }
    }
}

fn steps(events: &[RunEvent]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            RunEvent::StepFinished { name, ok, detail, .. } => {
                Some(format!("{name} {ok} {detail}"))
            }
            _ => None,
        })
        .collect()
}

fn excerpt<'a>(error: &'a ImageError, kind: &str) -> &'a str {
    let found = error.evidence.excerpts.iter().find(|excerpt| excerpt.kind == kind);
    found.map(|excerpt| excerpt.text.as_str()).unwrap_or_default()
}

/// The line of the Dockerfile that the evidence points to.
fn line(error: &ImageError) -> Option<u64> {
    error
        .evidence
        .excerpts
        .iter()
        .flat_map(|excerpt| &excerpt.locations)
        .find(|place| place.file == "Dockerfile")
        .map(|place| place.line)
}

#[tokio::test]
async fn an_image_is_built_pushed_pinned_and_then_found_by_its_content() {
    for builder in BOTH {
        let dockerfile = format!("{BASE}ARG WORD\nCOPY file /file\nRUN echo said $WORD\n");
        let Some(mut place) = Place::new(builder, &dockerfile) else { return };
        fs::write(place.root().join("file"), "one").unwrap();
        place.plan.args.insert("WORD".to_owned(), "hello".to_owned());
        place.plan.labels.insert("team".to_owned(), "fleet".to_owned());
        place.plan.tags.push("latest".to_owned());

        let (made, events) = place.image("a").await;
        let made = made.unwrap();
        assert!(!made.reused);
        assert_eq!(made.tags, ["a".repeat(40), "4711".to_owned(), "latest".to_owned()]);
        assert_eq!(made.image.repository(), format!("{}/{}", place.registry, place.name));
        for tag in &made.tags {
            let manifest = place.registry().head(&place.name, tag).await.unwrap().unwrap();
            assert_eq!(manifest.digest, made.image.digest(), "{tag}");
        }
        let docker = place.engine();
        let built = docker.docker().inspect_image(&made.image.to_string()).await.unwrap();
        let labels = built.config.unwrap().labels.unwrap();
        assert_eq!(labels["org.opencontainers.image.revision"], "a".repeat(40));
        assert_eq!(labels["org.opencontainers.image.created"], "2026-01-02T03:04:05Z");
        assert_eq!(labels["org.opencontainers.image.source"], "https://example.org/team/app");
        assert_eq!(labels["team"], "fleet");
        assert!(labels.contains_key("dev.greenloop.run"));
        assert_eq!(labels["dev.greenloop.content-key"].len(), 64);

        let shown = match builder {
            Builder::Classic => "the classic builder of Docker",
            Builder::Auto | Builder::Buildkit => "BuildKit of Docker",
        };
        assert!(place.log().contains(shown), "{}", place.log());
        assert!(place.log().contains("said hello"), "{}", place.log());
        let told = |wanted: &str| {
            events.iter().any(|event| match event {
                RunEvent::PartStarted { name, command, .. } => {
                    name == wanted && command.contains("docker ")
                }
                _ => false,
            })
        };
        assert!(told("build") && told("push"), "{events:?}");
        let uploaded = events.iter().any(|event| {
            matches!(event, RunEvent::Progress { name, done, total: Some(total), .. }
                if name == "context" && done == total)
        });
        assert!(uploaded, "{events:?}");
        let steps = steps(&events);
        assert!(steps.iter().any(|step| step.contains("RUN echo said")), "{steps:?}");

        // Another commit of the same content: nothing is built, the tag is set.
        let (again, events) = place.image("b").await;
        let again = again.unwrap();
        assert!(again.reused);
        assert_eq!(again.image, made.image);
        assert!(
            !events.iter().any(
                |event| matches!(event, RunEvent::PartStarted { name, .. } if name == "build")
            )
        );
        let tag = "b".repeat(40);
        let manifest = place.registry().head(&place.name, &tag).await.unwrap().unwrap();
        assert_eq!(manifest.digest, made.image.digest());

        // A machine that has never seen it finds it by the tag in the registry.
        fs::remove_dir_all(place.state()).unwrap();
        assert!(place.image("c").await.0.unwrap().reused);

        // Other content is another image.
        fs::write(place.root().join("file"), "two").unwrap();
        let (other, _) = place.image("d").await;
        let other = other.unwrap();
        assert!(!other.reused);
        assert_ne!(other.image, made.image);
        // And so are other arguments.
        place.plan.args.insert("WORD".to_owned(), "bye".to_owned());
        assert!(!place.image("e").await.0.unwrap().reused);
        place.clean().await;
    }
}

/// A log that a process writes to all the time is in the context: what is sent is one state of
/// it, and the content key speaks for that state.
#[tokio::test]
async fn a_context_that_changes_all_the_time_is_built() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    for builder in BOTH {
        let dockerfile = format!("{BASE}COPY . /src\nRUN wc -l /src/service.log\n");
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        let log = place.root().join("service.log");
        fs::write(&log, "started\n").unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let writing = Arc::clone(&over);
        let writer = std::thread::spawn(move || {
            use std::io::Write as _;
            let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
            while !writing.load(Ordering::Relaxed) {
                log.write_all(b"still here\n").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let (made, events) = place.image("a").await;
        over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        let made = made.unwrap();
        assert!(!made.reused);
        let read_again = events.iter().any(|event| {
            matches!(event, RunEvent::Notice(greenloop_model::Notice::Info(text))
                if text.starts_with("`service.log` changed while it was sent"))
        });
        assert!(read_again, "{events:?}");
        place.clean().await;
    }
}

/// `COPY . .` in a repository without an ignore file.
#[tokio::test]
async fn the_repository_is_left_out_with_a_note() {
    use greenloop_model::Notice;
    for builder in BOTH {
        let dockerfile = format!("{BASE}COPY . /src\nRUN test ! -e /src/.git && git describe\n");
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        fs::create_dir(place.root().join(".git")).unwrap();
        fs::write(place.root().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let (made, events) = place.image("a").await;
        let told = events.iter().any(|event| {
            matches!(event, RunEvent::Notice(Notice::Info(text)) if text.contains("COPY .git .git"))
        });
        assert!(told, "{events:?}");
        // There is no git in the image; the evidence says why it would not help.
        let error = made.unwrap_err();
        assert_eq!(line(&error), Some(6));
        let notes = &error.evidence.notes;
        assert!(notes.iter().any(|note| note.contains("COPY .git .git")), "{notes:?}");
        place.clean().await;

        let dockerfile = format!("{BASE}COPY .git /git\nRUN grep refs/heads/main /git/HEAD\n");
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        fs::create_dir(place.root().join(".git")).unwrap();
        fs::write(place.root().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        assert!(!place.image("a").await.0.unwrap().reused);
        place.clean().await;
    }
}

#[tokio::test]
async fn an_image_that_was_deleted_from_the_registry_is_built_again() {
    let Some(place) = Place::new(Builder::Auto, BASE) else { return };
    let made = place.image("a").await.0.unwrap();
    let url =
        format!("http://{}/v2/{}/manifests/{}", place.registry, place.name, made.image.digest());
    let answer = reqwest::Client::new().delete(url).send().await.unwrap();
    if answer.status().is_success() {
        let again = place.image("a").await.0.unwrap();
        assert!(!again.reused);
        assert!(place.registry().head(&place.name, again.image.digest()).await.unwrap().is_some());
    }
    place.clean().await;
}

#[tokio::test]
async fn a_failing_run_shows_its_line_its_command_and_its_output() {
    for builder in BOTH {
        let dockerfile = format!(
            "{BASE}RUN echo fine\nRUN echo 'src/app.ts(12,5): error TS2322: Type x is wrong.' && \\\n    exit 3\n"
        );
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        let error = place.failure().await;
        assert_eq!(error.kind, ImageErrorKind::Build);
        assert_eq!(error.class, FailureClass::Code);
        assert_eq!(line(&error), Some(6));
        assert_eq!(error.evidence.exit, Some(Exit::Code(3)));
        let command = error.evidence.command.as_deref().unwrap();
        assert!(
            command.starts_with("echo 'src/app.ts") && command.ends_with("exit 3"),
            "{command}"
        );
        assert!(error.message.starts_with("Dockerfile:6: RUN echo"), "{}", error.message);
        assert!(error.message.contains("exit status 3"), "{}", error.message);
        assert!(excerpt(&error, "tsc").contains("error TS2322"), "{:?}", error.evidence);
        assert!(error.evidence.code.iter().any(|code| code.path == "Dockerfile"));
        place.clean().await;
    }
}

#[tokio::test]
async fn a_run_that_is_killed_for_memory_is_no_fault_of_the_code() {
    let heap = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory";
    for builder in BOTH {
        for (run, status, class) in [
            ("sh -c 'kill -9 $$'; exit $?".to_owned(), 137, FailureClass::Quota),
            (format!("echo '{heap}' >&2; exit 134"), 134, FailureClass::Config),
        ] {
            let Some(place) = Place::new(builder, &format!("{BASE}RUN {run}\n")) else { return };
            let error = place.failure().await;
            assert_eq!(error.class, class, "{error:?}");
            assert_eq!(error.evidence.exit, Some(Exit::Code(status)));
            assert_eq!(line(&error), Some(5));
            place.clean().await;
        }
    }
}

#[tokio::test]
async fn a_copy_of_a_missing_path_shows_its_line() {
    for builder in BOTH {
        let dockerfile = format!("{BASE}WORKDIR /app\nCOPY dist/nothing /app/\n");
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        let error = place.failure().await;
        assert_eq!((error.kind, error.class), (ImageErrorKind::Build, FailureClass::Code));
        assert_eq!(line(&error), Some(6), "{error:?}");
        assert_eq!(error.evidence.command.as_deref(), Some("COPY dist/nothing /app/"));
        let said = excerpt(&error, "builder");
        assert!(said.contains("dist") && !said.contains("buildkit-mount"), "{error:?}");
        place.clean().await;
    }
}

#[tokio::test]
async fn a_base_image_that_cannot_be_had_says_why() {
    let refusing = wiremock::MockServer::start().await;
    let challenge = wiremock::ResponseTemplate::new(401)
        .insert_header("www-authenticate", "Basic realm=\"test\"")
        .set_body_raw(
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
            "application/json",
        );
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(challenge).mount(&refusing).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for builder in BOTH {
        let Some(place) = Place::new(builder, "") else { return };
        for (host, class) in [
            (place.registry.clone(), FailureClass::Config),
            (closed.to_string(), FailureClass::Infrastructure),
            (refusing.address().to_string(), FailureClass::Auth),
        ] {
            let base = format!("{host}/{}/none:1", place.name);
            let dockerfile = format!("ARG V=1\nFROM {base}\nRUN true\n");
            fs::write(place.root().join("Dockerfile"), dockerfile).unwrap();
            let error = place.failure().await;
            assert_eq!(error.class, class, "{host}: {error:?}");
            assert_eq!(line(&error), Some(2), "{error:?}");
        }
        place.clean().await;
    }
}

#[tokio::test]
async fn a_syntax_error_shows_its_line() {
    for builder in BOTH {
        let Some(place) = Place::new(builder, &format!("{BASE}RUN true\nRUM false\n")) else {
            return;
        };
        let error = place.failure().await;
        assert_eq!((error.kind, error.class), (ImageErrorKind::Build, FailureClass::Code));
        assert_eq!(line(&error), Some(6), "{error:?}");
        assert!(error.message.contains("unknown instruction"), "{}", error.message);
        place.clean().await;
    }
}

#[tokio::test]
async fn a_target_that_does_not_exist_and_a_missing_dockerfile_are_configuration() {
    for builder in BOTH {
        let Some(mut place) = Place::new(builder, BASE) else { return };
        place.plan.target = Some("nothing".to_owned());
        assert_eq!(place.failure().await.class, FailureClass::Config);
        place.plan.target = None;
        fs::remove_file(place.root().join("Dockerfile")).unwrap();
        let error = place.failure().await;
        assert_eq!(error.class, FailureClass::Config, "{error:?}");
        place.clean().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_infrastructure() {
    for builder in BOTH {
        let run = "dd if=/dev/zero of=/dev/shm/big bs=1M count=200";
        let Some(place) = Place::new(builder, &format!("{BASE}RUN {run}\n")) else { return };
        let error = place.failure().await;
        assert_eq!(error.class, FailureClass::Infrastructure, "{error:?}");
        assert!(error.message.contains("No space left on device"), "{}", error.message);
        place.clean().await;
    }
}

#[tokio::test]
#[ignore = "starts a Docker Engine of its own, which takes root and dockerd"]
async fn an_engine_whose_disk_is_full_is_infrastructure() {
    let engine = SmallEngine::start(40).await;
    for builder in BOTH {
        for (file, run) in [(64 << 20, ""), (0, "RUN cat /dev/urandom > /big\n")] {
            let Some(mut place) = Place::new(builder, &format!("{BASE}{run}COPY big /big\n"))
            else {
                return;
            };
            fs::write(place.root().join("big"), vec![7; file]).unwrap();
            place.plan.docker_host = Some(engine.address());
            let error = place.failure().await;
            assert_eq!(error.class, FailureClass::Infrastructure, "{error:?}");
            assert!(error.message.to_lowercase().contains("no space left"), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn without_an_engine_it_is_over_at_once() {
    let Some(mut place) = Place::new(Builder::Auto, BASE) else { return };
    let socket = place.folder.path().join("none.sock");
    place.plan.docker_host = Some(format!("unix://{}", socket.display()));
    let error = place.failure().await;
    assert_eq!((error.kind, error.class), (ImageErrorKind::Engine, FailureClass::Infrastructure));
    assert!(error.message.starts_with("no Docker Engine at unix://"), "{}", error.message);
    assert!(error.evidence.notes.iter().any(|note| note.contains("start the Docker Engine")));
}

#[tokio::test]
async fn a_registry_that_is_down_or_refuses_is_known_before_the_build() {
    let refusing = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(401))
        .mount(&refusing)
        .await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Some(mut place) = Place::new(Builder::Auto, &format!("{BASE}RUN sleep 60\n")) else {
        return;
    };
    for (host, class) in [
        (closed.to_string(), FailureClass::Infrastructure),
        (refusing.address().to_string(), FailureClass::Auth),
    ] {
        place.plan.registry = host;
        let error = place.failure().await;
        assert!(!place.log().contains("RUN sleep"), "{}", place.log());
        assert_eq!((error.kind, error.class), (ImageErrorKind::Registry, class), "{error:?}");
    }
    place.clean().await;
}

#[tokio::test]
async fn secret_arguments_leave_no_trace() {
    for builder in BOTH {
        let dockerfile = format!("{BASE}ARG NPM_TOKEN\nRUN echo \"using $NPM_TOKEN\" && false\n");
        let Some(mut place) = Place::new(builder, &dockerfile) else { return };
        place.plan.args.insert("NPM_TOKEN".to_owned(), "very-secret-value".to_owned());
        let (made, events) = place.image("a").await;
        let error = made.unwrap_err();
        assert!(place.log().contains("using [redacted]"), "{}", place.log());
        for text in [format!("{error:?}"), format!("{events:?}"), place.log()] {
            assert!(!text.contains("very-secret"), "{text}");
        }
        place.clean().await;
    }
}

#[tokio::test]
async fn a_cancelled_build_stops_at_the_engine_and_tags_nothing() {
    for (builder, seconds) in BOTH.into_iter().zip(["31415926", "27182818"]) {
        let dockerfile = format!("{BASE}RUN echo {} && sleep {seconds}\n", uuid::Uuid::new_v4());
        let Some(place) = Place::new(builder, &dockerfile) else { return };
        let cancel = CancellationToken::new();
        let stop = async {
            let mut waited = 0;
            while !sleeps(seconds) {
                waited += 1;
                assert!(waited < 3_000, "the build has never begun to sleep");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            cancel.cancel();
        };
        let ((made, _), ()) = tokio::join!(place.image_until("a", &cancel), stop);
        assert_eq!(made.unwrap_err().kind, ImageErrorKind::Cancelled);
        let mut waited = 0;
        while sleeps(seconds) {
            waited += 1;
            assert!(waited < 3_000, "the build still sleeps");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(place.registry().head(&place.name, &"a".repeat(40)).await.unwrap().is_none());
        place.clean().await;
    }
}

/// Whether a process of this machine sleeps for that long.
fn sleeps(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        fs::read(process.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    })
}

#[tokio::test]
async fn a_push_whose_end_is_lost_is_looked_up_and_not_repeated() {
    let Some(mut place) = Place::new(Builder::Auto, BASE) else { return };
    let proxy = Proxy::start(&place.registry, Trick::LoseFirstAnswer).await;
    place.plan.registry = proxy.address();
    let made = place.image("a").await.0.unwrap();
    let manifest = place.registry().head(&place.name, made.image.digest()).await.unwrap();
    assert_eq!(manifest.unwrap().digest, made.image.digest());
    // The engine's one, and one for each tag that is put on it.
    assert_eq!(proxy.manifests_put(), 1 + made.tags.len(), "{}", place.log());
    assert!(place.log().contains("but the registry has"), "{}", place.log());
    place.clean().await;
}

#[tokio::test]
async fn a_push_that_meets_a_busy_registry_is_tried_again() {
    let Some(mut place) = Place::new(Builder::Auto, BASE) else { return };
    let proxy = Proxy::start(&place.registry, Trick::BusyOnce).await;
    place.plan.registry = proxy.address();
    let made = place.image("a").await.0.unwrap();
    let manifest = place.registry().head(&place.name, made.image.digest()).await.unwrap();
    assert_eq!(manifest.unwrap().digest, made.image.digest());
    assert!(place.log().contains("retrying in"), "{}", place.log());
    place.clean().await;
}

#[tokio::test]
async fn a_dockerfile_below_the_root_is_named_by_its_path_there() {
    let Some(mut place) = Place::new(Builder::Auto, BASE) else { return };
    let folder = place.root().join("services/api");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(place.root().join("busybox"), folder.join("busybox")).unwrap();
    fs::write(folder.join("Dockerfile"), format!("{BASE}RUN false\n")).unwrap();
    place.plan.dockerfile_path = Path::new("services/api/Dockerfile").to_owned();
    place.plan.context_path = Path::new("services/api").to_owned();
    let error = place.failure().await;
    assert!(error.message.starts_with("services/api/Dockerfile:5: RUN false"), "{}", error.message);
    assert!(error.evidence.code.iter().any(|code| code.path == "services/api/Dockerfile"));
    place.clean().await;
}
