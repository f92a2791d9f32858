//! Workers whose machine is at fault: a full disk, no git, no model; and those that cannot reach a
//! repository. Each is a real process; what it lacks is really lacking.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use super::farm::{Farm, attempts, command, id_of};
use super::program::{Client, Hub, greenloop, until};
use super::stores::Place;

/// Waits until a worker is in quarantine; returns the reason.
async fn quarantined(client: &Client, name: &str) -> String {
    until("the quarantine", async || {
        let agent = client.get(&format!("/agents/{name}")).await;
        let agent = (agent.status == 200).then_some(agent.body)?;
        (agent["state"] == "quarantined").then(|| agent["quarantine"].as_str().unwrap().to_owned())
    })
    .await
}

/// The output of `greenloop tasks status`.
fn status(hub: &Hub, token: &str) -> String {
    let output = greenloop()
        .args(["tasks", "status", "--hub", &hub.url("")])
        .env("GREENLOOP_HUB_TOKEN", token)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn kinds(alerts: &Value) -> Vec<&str> {
    let items = alerts["items"].as_array().unwrap();
    items.iter().map(|it| it["kind"].as_str().unwrap()).collect()
}

/// A separate disk of 8 MiB for a worker, in a mount namespace.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn new(farm: &Farm) -> Self {
        let folder = farm.path().join("small");
        std::fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    /// The command that starts a worker there, with this many bytes already used.
    fn through(&self, taken: usize) -> Vec<String> {
        let at = self.folder.display();
        let script = format!(
            "mount -t tmpfs -o size=8m none {at} && head -c {taken} /dev/zero > {at}/filler \
             && exec \"$@\""
        );
        ["unshare", "-rm", "sh", "-c", script.as_str(), "sh"].map(str::to_owned).to_vec()
    }

    /// Frees space; `pid` is the worker's.
    fn clear(&self, pid: u32) {
        let filler = format!("/proc/{pid}/root{}/filler", self.folder.display());
        std::fs::remove_file(filler).unwrap();
    }
}

#[tokio::test]
async fn a_worker_with_a_full_disk_claims_nothing_until_there_is_room() {
    for place in Place::all() {
        let farm = Farm::new(&[("who", "nobody\n")]);
        let disk = SmallDisk::new(&farm);
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let token = place.token(&["--scope", "work"]);
        let mut task = command("a", "date > who");
        task["max_attempts"] = json!(1);
        let graph = admin.post("/graphs", farm.graph(json!([task]))).await.expect(201);
        let graph = graph["id"].as_i64().unwrap();
        let through = disk.through(8_100_000);
        let through: Vec<&str> = through.iter().map(String::as_str).collect();
        let worker =
            farm.worker(&hub, &token, "w1").at(disk.folder.clone()).through(&through).start();
        let why = quarantined(&admin, "w1").await;
        assert!(why.contains("is full") && why.contains("8.0 MiB"), "{why}");
        assert!(worker.log().contains("quarantine"), "{}", worker.log());
        let told = status(&hub, &token);
        assert!(told.contains(&format!("w1 claims nothing: {why}")), "{told}");
        assert!(told.contains("no live worker takes tasks: task a"), "{told}");
        let alerts = admin.get("/alerts").await.expect(200);
        assert_eq!(kinds(&alerts), ["no_worker", "agent_quarantined"], "{alerts:#}");
        assert_eq!(attempts(&admin, id_of(&admin, graph, "a").await).await, [""; 0]);

        disk.clear(worker.pid());
        farm.ended(&admin, graph, "done").await;
        assert_eq!(attempts(&admin, id_of(&admin, graph, "a").await).await, ["succeeded"]);
        let alerts = admin.get("/alerts").await.expect(200);
        assert_eq!(kinds(&alerts), [""; 0], "{alerts:#}");
    }
}

#[tokio::test]
async fn a_task_that_met_a_full_disk_has_lost_no_attempt() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let disk = SmallDisk::new(&farm);
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // The first time, its leftovers fill the disk; the second time, it cleans up.
    let line = "case $GREENLOOP_TASK_EPOCH in \
        1) head -c 20000000 /dev/zero > big;; \
        2) head -c 20000000 /dev/zero > big || { rm big; exit 1; };; \
        *) date > who;; esac";
    let mut task = command("a", line);
    task["max_attempts"] = json!(1);
    let graph = admin.post("/graphs", farm.graph(json!([task]))).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let through = disk.through(0);
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let worker = farm
        .worker(&hub, &token, "w1")
        .at(disk.folder.clone())
        .with(&["--recheck", "1"])
        .through(&through)
        .start();
    farm.ended(&admin, graph, "done").await;
    let id = id_of(&admin, graph, "a").await;
    assert_eq!(attempts(&admin, id).await, ["returned", "returned", "succeeded"]);
    let task = admin.get(&format!("/tasks/{id}")).await.expect(200);
    assert_eq!((&task["attempts"], &task["epoch"]), (&json!(1), &json!(3)), "{task:#}");
    let all = admin.get(&format!("/tasks/{id}/attempts")).await.expect(200);
    for nth in [0, 1] {
        assert_eq!(all["items"][nth]["class"], "infrastructure", "{all:#}");
        let why = all["items"][nth]["message"].as_str().unwrap();
        assert!(why.contains("is full") || why.contains("No space left"), "{why}");
    }
    assert_eq!(worker.log().matches("quarantine ended").count(), 2, "{}", worker.log());
}

#[tokio::test]
async fn a_worker_without_git_claims_nothing_until_there_is_one() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let tasks = json!([command("a", "echo me > who")]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let programs = farm.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink("/bin/sh", programs.join("sh")).unwrap();
    let worker = farm.worker(&hub, &token, "w1").env("PATH", programs.to_str().unwrap()).start();
    let why = quarantined(&admin, "w1").await;
    assert!(why.contains("could not run git"), "{why}");
    assert_eq!(attempts(&admin, id_of(&admin, graph, "a").await).await, [""; 0]);
    std::os::unix::fs::symlink(which("git"), programs.join("git")).unwrap();
    farm.ended(&admin, graph, "done").await;
    assert_eq!(attempts(&admin, id_of(&admin, graph, "a").await).await, ["succeeded"]);
    drop(worker);
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|it| it.join(name)).find(|it| it.exists());
    found.unwrap()
}

#[tokio::test]
async fn a_repository_out_of_reach_keeps_a_worker_from_nothing_else() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let graph = async |url: &Path| {
        let mut graph = farm.graph(json!([command("a", "date > who")]));
        graph["repository"] = json!(url.to_str().unwrap());
        // A project has one repository.
        graph["project"] = json!(url.file_name().unwrap().to_str().unwrap());
        admin.post("/graphs", graph).await.expect(201)["id"].as_i64().unwrap()
    };
    // The only work that there is when the worker starts.
    let missing = farm.path().join("missing.git");
    let away = graph(&missing).await;
    let worker = farm.worker(&hub, &token, "w1").with(&["--recheck", "1"]).start();
    let task = id_of(&admin, away, "a").await;
    until("it was given back", async || {
        (attempts(&admin, task).await.first()? == "returned").then_some(())
    })
    .await;
    let seen = admin.get(&format!("/tasks/{task}")).await.expect(200);
    assert_eq!((&seen["attempts"], &seen["state"]), (&json!(0), &json!("ready")), "{seen:#}");
    let told = until("somebody is told", async || {
        let alerts = admin.get("/alerts").await.expect(200);
        (kinds(&alerts) == ["repository_unreachable"]).then(|| alerts["items"][0].clone())
    })
    .await;
    assert!(told["text"].as_str().unwrap().contains("missing.git: task a"), "{told:#}");
    assert!(status(&hub, &token).contains(told["text"].as_str().unwrap()));
    // It works elsewhere, and asks for nothing there.
    let near = graph(&farm.remote()).await;
    farm.ended(&admin, near, "done").await;
    assert_eq!(attempts(&admin, task).await, ["returned"]);
    let agent = admin.get("/agents/w1").await.expect(200);
    assert_eq!(agent["quarantine"], json!(null), "{agent:#}");
    assert!(!worker.log().contains("quarantine ended"), "{}", worker.log());
    // The repository comes back, and with it the work.
    std::fs::rename(farm.remote(), &missing).unwrap();
    farm.ended(&admin, away, "done").await;
    assert_eq!(attempts(&admin, task).await, ["returned", "succeeded"]);
    drop(worker);
}

#[tokio::test]
async fn a_branch_of_another_hub_costs_a_task_nothing() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // What a hub with another store has left: tasks of all hubs are numbered from 1.
    let other = farm.git(&["commit-tree", "-p", "main", "-m", "other", "main^{tree}"]);
    for epoch in 1..4 {
        farm.git(&["update-ref", &format!("refs/heads/task/1/e{epoch}"), &other]);
    }
    let mut task = command("a", "echo me > who");
    task["max_attempts"] = json!(1);
    let graph = admin.post("/graphs", farm.graph(json!([task]))).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let _worker = farm.worker(&hub, &token, "w1").start();
    farm.ended(&admin, graph, "done").await;
    assert_eq!(attempts(&admin, id_of(&admin, graph, "a").await).await, ["succeeded"]);
    assert_eq!(farm.git(&["show", "main:who"]), "me");
    assert_eq!(farm.git(&["rev-parse", "task/1/e1"]), other, "not ours");
    let merge = admin.get("/merge-queue").await.expect(200)["items"][0].clone();
    let branch = merge["branch"].as_str().unwrap();
    assert!(branch.starts_with("task/1/e1-"), "{merge:#}");
    assert_eq!(farm.git(&["rev-parse", branch]), merge["commit"]);
}

/// A model server with two statuses: one for the list, one for a completion.
fn models(list: u16, answer: u16) -> (String, Arc<[AtomicU16; 2]>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let statuses = Arc::new([AtomicU16::new(list), AtomicU16::new(answer)]);
    let told = Arc::clone(&statuses);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = Arc::clone(&told);
            std::thread::spawn(move || serve(stream, &told));
        }
    });
    (url, statuses)
}

fn serve(mut stream: std::net::TcpStream, statuses: &[AtomicU16; 2]) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    let _gone = reader.read_line(&mut first);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let _gone = reader.read_exact(&mut vec![0; length]);
    let nth = usize::from(!first.starts_with("GET /v1/models"));
    let status = statuses[nth].load(Ordering::SeqCst);
    let body = match status {
        200 => r#"{"data": []}"#,
        _ => {
            r#"{"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}"#
        }
    };
    let _gone = write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
}

#[tokio::test]
async fn a_model_that_refuses_costs_no_attempt() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let mut task = command("a", "");
    task["action"] = json!("agent");
    task["max_attempts"] = json!(1);
    let graph = admin.post("/graphs", farm.graph(json!([task]))).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let (url, statuses) = models(401, 429);
    let worker = farm
        .worker(&hub, &token, "w1")
        .with(&["--recheck", "1"])
        .env("OPENAI_BASE_URL", &url)
        .env("OPENAI_API_KEY", "sk-nothing-but-a-test")
        .start();
    // Before the first claim, the key is rejected.
    let why = quarantined(&admin, "w1").await;
    assert!(why.contains("401") && why.contains("rejected the key"), "{why}");
    let id = id_of(&admin, graph, "a").await;
    assert_eq!(attempts(&admin, id).await, [""; 0]);
    // Then the key is valid, but its quota is used up.
    statuses[0].store(200, Ordering::SeqCst);
    until("the attempt", async || (attempts(&admin, id).await == ["returned"]).then_some(())).await;
    let why = quarantined(&admin, "w1").await;
    assert!(why.contains("limit has been reached"), "{why}");
    let attempt = admin.get(&format!("/tasks/{id}/attempts")).await.expect(200);
    assert_eq!(attempt["items"][0]["class"], "quota", "{attempt:#}");
    let task = admin.get(&format!("/tasks/{id}")).await.expect(200);
    assert_eq!((&task["attempts"], &task["state"]), (&json!(0), &json!("ready")), "{task:#}");
    assert!(!worker.log().contains("sk-nothing"), "{}", worker.log());
}

#[tokio::test]
async fn a_worker_without_a_model_gives_a_task_of_an_author_back() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let mut task = command("a", "");
    task["action"] = json!("agent");
    let graph = admin.post("/graphs", farm.graph(json!([task]))).await.expect(201);
    let _worker = farm.worker(&hub, &token, "w1").env("OPENAI_API_KEY", "").start();
    let why = quarantined(&admin, "w1").await;
    assert!(why.contains("OPENAI_API_KEY") && why.contains("worker's environment"), "{why}");
    let id = id_of(&admin, graph["id"].as_i64().unwrap(), "a").await;
    until("it was given back", async || (attempts(&admin, id).await == ["returned"]).then_some(()))
        .await;
    let task = admin.get(&format!("/tasks/{id}")).await.expect(200);
    assert_eq!(task["attempts"], 0, "{task:#}");
}

#[tokio::test]
async fn a_command_of_the_task_that_is_not_there_is_the_tasks_own_fault() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let mut missing = command("a", "no-such-program-anywhere");
    missing["max_attempts"] = json!(1);
    // It deletes its own folder: git is not at fault.
    let mut gone = command("b", "cd / && rm -rf \"$OLDPWD\"");
    gone["max_attempts"] = json!(1);
    let graph = admin.post("/graphs", farm.graph(json!([missing, gone]))).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let worker = farm.worker(&hub, &token, "w1").start();
    farm.ended(&admin, graph, "failed").await;
    for key in ["a", "b"] {
        assert_eq!(attempts(&admin, id_of(&admin, graph, key).await).await, ["failed"], "{key}");
    }
    assert!(!worker.log().contains("claiming no"), "{}", worker.log());
}

#[tokio::test]
async fn a_worker_that_stops_is_not_missed_and_one_that_died_can_be_removed() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--heartbeat", "1"]);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let state = async |name: &str| {
        admin.get(&format!("/agents/{name}")).await.body["state"].as_str().unwrap_or("").to_owned()
    };
    let mut stops = farm.worker(&hub, &token, "stops").start();
    let mut dies = farm.worker(&hub, &token, "dies").start();
    for name in ["stops", "dies"] {
        until(name, async || (state(name).await == "idle").then_some(())).await;
    }
    let remove = |name: &str| {
        greenloop()
            .args(["tasks", "agents", "remove", name, "--hub", &hub.url("")])
            .env("GREENLOOP_HUB_TOKEN", admin.token.as_ref().unwrap())
            .output()
            .unwrap()
    };
    let refused = remove("dies");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is alive"), "{refused:?}");
    stops.signal("TERM");
    stops.ended().await;
    assert_eq!(state("stops").await, "left");
    dies.kill();
    until("its death is noticed", async || (state("dies").await == "down").then_some(())).await;
    // Long after it would have been marked down.
    assert_eq!(state("stops").await, "left");
    let alerts = admin.get("/alerts").await.expect(200);
    assert_eq!(kinds(&alerts), ["agent_down"], "{alerts:#}");
    assert_eq!(alerts["items"][0]["agent"], "dies");
    let done = remove("dies");
    assert!(done.status.success(), "{done:?}");
    admin.get("/agents/dies").await.problem(404, "not-found");
    let alerts = admin.get("/alerts").await.expect(200);
    assert_eq!(kinds(&alerts), [""; 0], "{alerts:#}");
    // The name can be reused.
    let _again = farm.worker(&hub, &token, "dies").start();
    until("it is back", async || (state("dies").await == "idle").then_some(())).await;
}

#[tokio::test]
async fn tasks_that_no_worker_can_do_are_named_until_one_can() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let file = farm.path().join("tasks.yaml");
    let text = format!(
        "project: {{ name: farm, repository: '{}', target: main }}\nname: demo\ntasks:\n  \
         - {{ key: a, title: A, role: gpu, hours: 1, command: 'true' }}\n  \
         - {{ key: b, title: B, role: gpu, hours: 1, needs: [a], command: 'true' }}\n  \
         - {{ key: c, title: C, labels: [big], hours: 1, command: 'true' }}\n",
        farm.remote().display()
    );
    std::fs::write(&file, text).unwrap();
    let imported = greenloop()
        .args(["tasks", "import", file.to_str().unwrap(), "--hub", &hub.url("")])
        .env("GREENLOOP_HUB_TOKEN", admin.token.as_ref().unwrap())
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let warned = String::from_utf8_lossy(&imported.stderr).into_owned();
    let gpu = "no live worker has the role `gpu`: tasks a, b";
    let big = "no live worker has the label `big`: task c";
    assert!(warned.contains(&format!("warning: {gpu}")), "{warned}");
    assert!(warned.contains(&format!("warning: {big}")), "{warned}");
    let told = status(&hub, &token);
    assert!(told.contains(gpu) && told.contains(big), "{told}");

    let _gpu = farm.worker(&hub, &token, "w1").with(&["--role", "gpu"]).start();
    until("the role", async || (!status(&hub, &token).contains(gpu)).then_some(())).await;
    assert!(status(&hub, &token).contains(big));
    let _big = farm.worker(&hub, &token, "w2").with(&["--label", "big"]).start();
    farm.ended(&admin, 1, "done").await;
    assert!(!status(&hub, &token).contains("no live worker"));
}
