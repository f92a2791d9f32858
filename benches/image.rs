//! The image stage against `docker build` on the same engine, and its memory.
//!
//! ```text
//! GREENLOOP_TEST_DOCKER=unix:///var/run/docker.sock GREENLOOP_TEST_REGISTRY=127.0.0.1:5000 \
//!     cargo bench --bench image                  # times, 200 MB
//! … cargo bench --bench image -- --memory 1024   # peak memory of a context of 1 GiB
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use greenloop_config::plan::{BuildPlan, Builder};
use greenloop_evidence::Redactor;
use greenloop_image::ImagePipeline;
use greenloop_image::registry::Credentials;
use greenloop_model::{EventSink, RunId};
use greenloop_ports::{ImageRequest, ImageSource};
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const FILE: usize = 100 << 10;
const ROUNDS: usize = 5;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match args.iter().position(|arg| arg == "--memory") {
        Some(at) => {
            let megabytes = args.get(at + 1).map_or(Ok(1024), |text| text.parse())?;
            runtime.block_on(memory(megabytes))
        }
        None => runtime.block_on(times(200)),
    }
}

async fn times(megabytes: usize) -> Outcome<()> {
    let bench = Bench::new(megabytes)?;
    println!("context: {megabytes} MB in files of {} KB", FILE >> 10);
    let began = Instant::now();
    assert!(!bench.greenloop().await?, "nothing was there before");
    println!("first build and push, greenloop: {}", seconds(began.elapsed()));
    let began = Instant::now();
    bench.docker("build")?;
    println!("first build, docker build: {}", seconds(began.elapsed()));

    let (mut skips, mut builds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        assert!(bench.greenloop().await?, "an unchanged context is not built");
        skips.push(began.elapsed());
        let began = Instant::now();
        bench.docker("build")?;
        builds.push(began.elapsed());
    }
    compare("unchanged", "greenloop", skips, "docker build", builds);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        fs::write(bench.work().join("src/one.txt"), format!("greenloop {round}"))?;
        let began = Instant::now();
        assert!(!bench.greenloop().await?, "a changed context is built");
        ours.push(began.elapsed());
        fs::write(bench.work().join("src/one.txt"), format!("docker {round}"))?;
        let began = Instant::now();
        bench.docker("build")?;
        bench.docker("push")?;
        theirs.push(began.elapsed());
    }
    compare("one file changed", "greenloop", ours, "docker build and push", theirs);
    Ok(())
}

async fn memory(megabytes: usize) -> Outcome<()> {
    let bench = Bench::new(megabytes)?;
    println!("resident before: {}", peak()?);
    let began = Instant::now();
    bench.greenloop().await?;
    println!("{megabytes} MB built and pushed in {}", seconds(began.elapsed()));
    println!("peak resident: {}", peak()?);
    Ok(())
}

struct Bench {
    folder: tempfile::TempDir,
    plan: BuildPlan,
    host: String,
}

impl Bench {
    fn new(megabytes: usize) -> Outcome<Self> {
        let host = std::env::var("GREENLOOP_TEST_DOCKER")?;
        let registry = std::env::var("GREENLOOP_TEST_REGISTRY")?;
        let folder = tempfile::tempdir()?;
        let work = folder.path().join("work");
        fs::create_dir_all(work.join("src"))?;
        let mut noise = u64::from_le_bytes(*b"greenloo");
        for file in 0..megabytes * 10 {
            let path = work.join(format!("assets/{}/{file}.bin", file % 100));
            fs::create_dir_all(path.parent().unwrap_or(&work))?;
            let bytes: Vec<u8> = (0..FILE / 8)
                .flat_map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    noise.to_le_bytes()
                })
                .collect();
            fs::write(path, bytes)?;
        }
        fs::write(work.join("src/one.txt"), "first")?;
        fs::write(work.join("Dockerfile"), "FROM scratch\nCOPY assets /assets\nCOPY src /src\n")?;
        let plan = BuildPlan {
            registry,
            image_name: format!("greenloop-bench/{}", std::process::id()),
            dockerfile_path: PathBuf::from("Dockerfile"),
            context_path: PathBuf::new(),
            args: [("ROUND".to_owned(), std::process::id().to_string())].into(),
            target: None,
            labels: Default::default(),
            platform: None,
            tags: Vec::new(),
            builder: Builder::Auto,
            docker_host: Some(host.clone()),
        };
        Ok(Self { folder, plan, host })
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Whether the image was found.
    async fn greenloop(&self) -> Outcome<bool> {
        let state = self.folder.path().join("state");
        let pipeline = ImagePipeline::new(
            &self.plan,
            state,
            Credentials::default(),
            Redactor::default(),
            &|_| None,
        );
        let request = ImageRequest {
            commit: "0123456789012345678901234567890123456789".parse()?,
            committed_at: "2026-01-02T03:04:05Z".parse()?,
            source: None,
            run: RunId::generate(),
            work_tree: self.work(),
            log: self.folder.path().join("image.log"),
        };
        let cancel = CancellationToken::new();
        Ok(pipeline.image(&request, &EventSink::null(), &cancel).await?.reused)
    }

    fn docker(&self, what: &str) -> Outcome<()> {
        let tag = format!("{}/{}:docker", self.plan.registry, self.plan.image_name);
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host).current_dir(self.work());
        match what {
            "build" => command.args(["build", "--quiet", "--tag", &tag, "."]),
            _ => command.args(["push", "--quiet", &tag]),
        };
        let output = command.output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let name = format!("{}/{}", self.plan.registry, self.plan.image_name);
        let _listed = Command::new("sh")
            .env("DOCKER_HOST", &self.host)
            .args(["-c", &format!("docker images -q {name} | sort -u | xargs -r docker rmi -f")])
            .output();
    }
}

fn compare(what: &str, one: &str, mut ones: Vec<Duration>, other: &str, mut others: Vec<Duration>) {
    ones.sort_unstable();
    others.sort_unstable();
    let (Some(a), Some(b)) = (ones.get(ROUNDS / 2), others.get(ROUNDS / 2)) else { return };
    let ratio = b.as_secs_f64() / a.as_secs_f64();
    println!("{what}: {one} {}, {other} {}, ratio {ratio:.1}", seconds(*a), seconds(*b));
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn peak() -> Outcome<String> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}
