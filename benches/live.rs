//! How many live connections one hub holds, in how much memory, and how soon an event is with all
//! of them: `cargo bench --bench live [-- CONNECTIONS]`. Linux only.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and tells what it found"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections that are being opened at the same time.
const AT_ONCE: usize = 200;
/// Events that are timed.
const EVENTS: usize = 20;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(10_000);
    let connections = files_for(wanted);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(connections));
}

/// As many as this process may open files for; two hundred stay for everything else.
fn files_for(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = maximum.map_or(usize::MAX, |it| usize::try_from(it).unwrap());
    if wanted + 200 > most {
        println!("only {} connections: ulimit -n is {most}", most - 200);
        return most - 200;
    }
    wanted
}

struct Hub {
    child: Child,
    address: SocketAddr,
    token: String,
    _folder: tempfile::TempDir,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Hub {
    fn start(connections: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("hub.db").display());
        let greenloop = env!("CARGO_BIN_EXE_greenloop");
        let made = Command::new(greenloop)
            .args(["hub", "token", "create", "--name", "bench", "--scope", "admin"])
            .args(["--store", &store])
            .output()
            .unwrap();
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let mut child = Command::new(greenloop)
            .args(["hub", "serve", "--listen", "127.0.0.1:0", "--rate", "0", "--store", &store])
            .args(["--connections", &(connections + 100).to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| {
                let line = line.unwrap();
                let at = line.split_once("http://")?.1;
                Some(at.trim_end_matches('/').parse().unwrap())
            })
            .expect("an address");
        std::thread::spawn(move || lines.count());
        Self { child, address, token, _folder: folder }
    }

    /// Resident memory in bytes.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("http://{}/api/v1{path}", self.address);
        let request = reqwest::Client::new().post(url).bearer_auth(&self.token).json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}

async fn run(connections: usize) {
    let hub = Hub::start(connections);
    let task = json!({"key": "a", "title": "A", "action": "agent"});
    let graph = json!({"project": "p", "name": "n", "target": "main", "tasks": [task]});
    hub.post("/graphs", graph).await;
    let claimed = hub
        .post("/claims", json!({"agent": "w", "instance": "i", "roles": [], "lease_seconds": 600}))
        .await;
    let beat = format!("/tasks/{}/attempts/{}/heartbeat", claimed["task"]["id"], claimed["epoch"]);
    let progress = async |n: usize| {
        hub.post(&beat, json!({"percent": n % 100, "message": format!("mark-{n}-")})).await
    };

    let before = hub.resident();
    let began = Instant::now();
    let (opened, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut followers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (opened, seen) = (Arc::clone(&opened), Arc::clone(&seen));
        let address = hub.address;
        followers.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut buffer = vec![0; 2048];
            let mut greeted = false;
            let mut place = Some(place);
            loop {
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                if read == 0 {
                    return;
                }
                let text = String::from_utf8_lossy(&buffer[..read]);
                if !greeted && text.contains("retry:") {
                    greeted = true;
                    opened.fetch_add(1, Ordering::Relaxed);
                    drop(place.take());
                }
                seen.fetch_add(text.matches("mark-").count(), Ordering::Relaxed);
            }
        });
    }
    wait(&opened, connections).await;
    println!("{connections} connections open after {:.1} s", began.elapsed().as_secs_f64());
    let after = hub.resident();
    let each = (after - before) / connections as f64;
    println!(
        "memory of the hub: {:.1} MiB before, {:.1} MiB with them: {:.1} KiB each",
        before / 1048576.0,
        after / 1048576.0,
        each / 1024.0
    );

    let mut took = Vec::new();
    for n in 0..EVENTS {
        let target = seen.load(Ordering::Relaxed) + connections;
        let began = Instant::now();
        progress(n).await;
        wait(&seen, target).await;
        took.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    took.sort();
    println!(
        "one event with all of them: median {:?}, worst {:?}",
        took[EVENTS / 2],
        took[EVENTS - 1]
    );
    let (began, target) = (Instant::now(), seen.load(Ordering::Relaxed) + 50 * connections);
    for n in 0..50 {
        progress(n + EVENTS).await;
    }
    wait(&seen, target).await;
    let rate = 50.0 * connections as f64 / began.elapsed().as_secs_f64();
    println!("50 events in a row: {rate:.0} deliveries a second");
    println!("memory of the hub at the end: {:.1} MiB", hub.resident() / 1048576.0);
    followers.abort_all();
}

async fn wait(counter: &AtomicUsize, target: usize) {
    let end = Instant::now() + Duration::from_secs(120);
    while counter.load(Ordering::Relaxed) < target {
        let at = counter.load(Ordering::Relaxed);
        assert!(Instant::now() < end, "{at} of {target}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
