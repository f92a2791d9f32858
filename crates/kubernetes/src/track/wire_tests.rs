//! The driver against an API server on the wire, as small as will do: lists, watches, logs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::scenarios::{folder, merge};
use super::{Outcome, TrackErrorKind, TrackSettings, Workload, WorkloadKind, pod_logs, track};
use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, Excerpt, Exit, FailureClass, RunEvent};

const POD: &str = "Pod/web-6c5f9d8b7-x2x5z";

/// What the server holds.
#[derive(Default)]
struct Held {
    /// By `Kind/name`.
    objects: BTreeMap<String, Value>,
    /// By `container` and `container previous`.
    logs: BTreeMap<String, String>,
    version: u64,
    /// Resources that the account may not read.
    forbidden: BTreeSet<&'static str>,
    lists: u32,
    /// The next watches are refused as expired.
    expired: u32,
}

struct Server {
    held: Arc<Mutex<Held>>,
    changes: broadcast::Sender<(String, Value)>,
    /// Cuts all connections.
    cut: broadcast::Sender<()>,
    address: std::net::SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

/// The kind of a resource's path, with its API version.
const RESOURCES: &[(&str, &str, &str)] = &[
    ("deployments", "Deployment", "apps/v1"),
    ("statefulsets", "StatefulSet", "apps/v1"),
    ("replicasets", "ReplicaSet", "apps/v1"),
    ("pods", "Pod", "v1"),
    ("events", "Event", "v1"),
];

impl Server {
    async fn start(base: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(format!("base/{base}.json"))).unwrap();
        let objects: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut held = Held { version: 5000, ..Held::default() };
        for object in objects {
            held.objects.insert(key(&object), object);
        }
        let held = Arc::new(Mutex::new(held));
        let changes = broadcast::channel(256).0;
        let cut = broadcast::channel(4).0;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = accept(listener, held.clone(), changes.clone(), cut.clone());
        Self { held, changes, cut, address, accepting }
    }

    fn client(&self) -> kube::Client {
        let uri = format!("http://{}", self.address).parse().unwrap();
        kube::Client::try_from(kube::Config::new(uri)).unwrap()
    }

    /// Writes an object and tells the watches.
    fn put(&self, object: Value) {
        let mut held = self.held.lock().unwrap();
        held.version += 1;
        let mut object = object;
        object["metadata"]["resourceVersion"] = held.version.to_string().into();
        let kind = object["kind"].as_str().unwrap().to_owned();
        let known = held.objects.insert(key(&object), object.clone()).is_some();
        let change = json!({"type": if known { "MODIFIED" } else { "ADDED" }, "object": object});
        let _nobody_watches = self.changes.send((kind, change));
    }

    fn patch(&self, key: &str, patch: Value) {
        let mut object = self.held.lock().unwrap().objects[key].clone();
        merge(&mut object, &patch);
        self.put(object);
    }

    fn log(&self, place: &str, text: &str) {
        self.held.lock().unwrap().logs.insert(place.into(), text.into());
    }

    /// All that a finished rollout looks like, but for the pod.
    fn finish(&self) {
        self.patch("ReplicaSet/web-5d4c8b6a9", json!({"status": {"replicas": 0}}));
        self.patch(
            "Deployment/web",
            json!({"status": {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                              "availableReplicas": 1, "unavailableReplicas": null}}),
        );
    }

    fn ready(&self) {
        self.patch(
            POD,
            json!({"status": {"phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "web", "image": "web", "imageID": "", "ready": true,
                    "started": true, "restartCount": 0, "state": {"running": {}}}]}}),
        );
    }

    fn crash(&self, number: u32) {
        self.patch(
            POD,
            json!({"status": {"phase": "Running", "containerStatuses": [{
                "name": "web", "image": "web", "imageID": "", "ready": false, "started": false,
                "restartCount": number,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error",
                    "containerID": format!("containerd://{number}")}}}]}}),
        );
    }

    /// Ends every watch as one whose version is forgotten.
    fn expire(&self, and_refuse: u32) {
        self.held.lock().unwrap().expired = and_refuse;
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
            "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
            "message": "too old resource version: 5000 (6000)"}});
        let _nobody_watches = self.changes.send(("*".into(), gone));
    }

    /// Is away for a while, with every connection cut.
    async fn go_away(&mut self, time: Duration) {
        self.accepting.abort();
        let _nobody_is_connected = self.cut.send(());
        tokio::time::sleep(time).await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting =
            accept(listener, self.held.clone(), self.changes.clone(), self.cut.clone());
    }
}

fn key(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

fn accept(
    listener: TcpListener,
    held: Arc<Mutex<Held>>,
    changes: broadcast::Sender<(String, Value)>,
    cut: broadcast::Sender<()>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (held, changes, mut cut) = (held.clone(), changes.clone(), cut.subscribe());
            tokio::spawn(async move {
                tokio::select! {
                    _ = serve(stream, held, changes) => {}
                    _ = cut.recv() => {}
                }
            });
        }
    })
}

async fn serve(
    stream: TcpStream,
    held: Arc<Mutex<Held>>,
    changes: broadcast::Sender<(String, Value)>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut header = String::from("-");
        while !header.trim().is_empty() {
            header.clear();
            stream.read_line(&mut header).await?;
        }
        let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let url = url::Url::parse(&format!("http://cluster{target}")).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let mut parts = url.path().trim_matches('/').split('/').skip_while(|p| *p != "namespaces");
        let (_, _, resource, name, sub) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let Some(resource) = resource else {
            let version = json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0",
                "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "",
                "compiler": "", "platform": ""});
            answer(&mut stream, 200, version.to_string()).await?;
            continue;
        };
        let (resource, kind, api) =
            *RESOURCES.iter().find(|(path, _, _)| *path == resource).unwrap();
        if held.lock().unwrap().forbidden.contains(resource) {
            let why =
                format!("{resource} is forbidden: User \"system:serviceaccount:ci\" cannot list");
            answer(&mut stream, 403, failure(403, "Forbidden", &why)).await?;
        } else if query.get("watch").is_some_and(|watch| watch == "true") {
            let refuse = {
                let mut held = held.lock().unwrap();
                let refuse = held.expired > 0;
                held.expired = held.expired.saturating_sub(1);
                refuse
            };
            if refuse {
                answer(&mut stream, 410, failure(410, "Expired", "too old resource version"))
                    .await?;
                continue;
            }
            let from = query["resourceVersion"].parse().unwrap();
            return stream_changes(stream, kind, from, &query, &held, changes.subscribe()).await;
        } else if sub == Some("log") {
            let previous = query.get("previous").is_some_and(|previous| previous == "true");
            let place =
                format!("{}{}", query["container"], if previous { " previous" } else { "" });
            let log = held.lock().unwrap().logs.get(&place).cloned();
            match log {
                Some(log) => answer(&mut stream, 200, log).await?,
                None => answer(&mut stream, 400, failure(400, "BadRequest", "not found")).await?,
            }
        } else if let Some(name) = name {
            let object = held.lock().unwrap().objects.get(&format!("{kind}/{name}")).cloned();
            match object {
                Some(object) => answer(&mut stream, 200, object.to_string()).await?,
                None => answer(&mut stream, 404, failure(404, "NotFound", "not found")).await?,
            }
        } else {
            let list = {
                let mut held = held.lock().unwrap();
                held.lists += 1;
                let items: Vec<&Value> = held
                    .objects
                    .values()
                    .filter(|object| object["kind"] == kind && selected(object, &query))
                    .collect();
                json!({"kind": format!("{kind}List"), "apiVersion": api, "items": items,
                       "metadata": {"resourceVersion": held.version.to_string()}})
            };
            answer(&mut stream, 200, list.to_string()).await?;
        }
    }
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    match query.get("fieldSelector").and_then(|fields| fields.strip_prefix("metadata.name=")) {
        Some(name) => object["metadata"]["name"] == name,
        None => true,
    }
}

fn failure(code: u16, reason: &str, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
           "reason": reason, "code": code, "message": message})
    .to_string()
}

async fn answer(stream: &mut BufReader<TcpStream>, code: u16, body: String) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

async fn stream_changes(
    mut stream: BufReader<TcpStream>,
    kind: &str,
    from: u64,
    query: &BTreeMap<String, String>,
    held: &Mutex<Held>,
    mut changes: broadcast::Receiver<(String, Value)>,
) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    // What was written between the list and this watch.
    let missed: Vec<Value> = {
        let held = held.lock().unwrap();
        let newer = |object: &&Value| {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or("0");
            version.parse::<u64>().unwrap() > from
        };
        held.objects
            .values()
            .filter(|object| object["kind"] == kind)
            .filter(newer)
            .map(|object| json!({"type": "MODIFIED", "object": object}))
            .collect()
    };
    let mut missed = missed.into_iter();
    loop {
        let (of, change) = match missed.next() {
            Some(change) => (kind.to_owned(), change),
            None => match changes.recv().await {
                Ok(change) => change,
                Err(_) => return Ok(()),
            },
        };
        if of == "*" || of == kind && selected(&change["object"], query) {
            let line = format!("{change}\n");
            stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await?;
        }
        if of == "*" {
            return stream.write_all(b"0\r\n\r\n").await;
        }
    }
}

fn workload() -> Workload {
    Workload {
        kind: WorkloadKind::Deployment,
        namespace: "shop".into(),
        name: "web".into(),
        uid: "deploy".into(),
        generation: 2,
        changed: true,
    }
}

fn settings(deadline: u64, soak: u64) -> TrackSettings {
    TrackSettings {
        deadline: Duration::from_millis(deadline),
        soak: Some(Duration::from_millis(soak)),
        diff: "-  image: web:1.4.1\n+  image: web:1.4.2\n".into(),
    }
}

/// Follows the rollout; with the outcome, how long it took and what was told.
async fn follow(
    server: &Server,
    settings: &TrackSettings,
) -> (Result<Outcome, super::TrackError>, Vec<RunEvent>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let redactor = Redactor::new(["hunter2secret".to_owned()]);
    let outcome = track(
        &server.client(),
        &[workload()],
        settings,
        &redactor,
        &EventSink::new(sender),
        &CancellationToken::new(),
    )
    .await;
    (outcome, receiver.try_iter().collect())
}

/// Runs `script` beside the tracking.
macro_rules! beside {
    ($server:ident, $settings:expr, $script:block) => {{
        let settings = $settings;
        let script = async { $script };
        let (outcome, _) = tokio::join!(follow(&$server, &settings), script);
        outcome
    }};
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn success_is_told_in_milestones() {
    let server = Server::start("deployment").await;
    let (outcome, told) = beside!(server, settings(20_000, 200), {
        pause(300).await;
        server.finish();
        pause(50).await;
        server.ready();
    });
    assert!(
        matches!(outcome, Ok(Outcome::Ready { soaked }) if soaked >= Duration::from_millis(200))
    );
    let steps: Vec<String> = told
        .iter()
        .filter_map(|event| match event {
            RunEvent::StepFinished { name, detail, ok: true, .. } => {
                Some(format!("{name}: {detail}"))
            }
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["deployment/web: 1 of 1 ready", "soak: no restarts in 0 s"]);
}

#[tokio::test]
async fn evidence_is_frozen_with_the_log_of_the_container_that_died() {
    let server = Server::start("deployment").await;
    let log = "connecting as shop:hunter2secret\n\
               thread 'main' panicked at src/settings.rs:41:10:\n\
               DATABASE_URL must be set\n";
    server.log("web previous", log);
    server.log("web", "unable to retrieve container logs for containerd://2");
    let (outcome, told) = beside!(server, settings(20_000, 200), {
        pause(100).await;
        server.crash(1);
        pause(300).await;
        server.put(json!({"kind": "Event", "apiVersion": "v1", "type": "Warning",
            "reason": "BackOff", "message": "Back-off restarting failed container web", "count": 2,
            "metadata": {"name": "web-6c5f9d8b7-x2x5z.1", "namespace": "shop", "uid": "e1"},
            "involvedObject": {"kind": "Pod", "name": "web-6c5f9d8b7-x2x5z", "uid": "pod-new"}}));
        pause(50).await;
        server.crash(2);
    });
    let Ok(Outcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.rule, failure.class), ("crash-same", FailureClass::Code));
    assert!(failure.message.contains("DATABASE_URL must be set"), "{}", failure.message);
    let evidence = &failure.evidence;
    assert_eq!(evidence.exit, Some(Exit::Code(3)));
    assert_eq!(evidence.excerpts[0].locations[0].to_string(), "src/settings.rs:41:10");
    let diff = evidence.excerpts.last().unwrap();
    assert_eq!(diff.kind, Excerpt::DIFF);
    assert!(diff.text.contains("-  image: web:1.4.1"), "{}", diff.text);
    let service_log = evidence.service_log.as_deref().unwrap();
    assert!(service_log.contains("panicked at src/settings.rs"), "{service_log}");
    let all = format!("{failure:?} {told:?}");
    assert!(!all.contains("hunter2secret"), "a secret got out");
    for expect in [
        "event of pod/web-6c5f9d8b7-x2x5z : BackOff (twice): Back-off restarting",
        "container web (web): waiting: CrashLoopBackOff back-off 10s, 2 restarts; before that \
         terminated: Error with exit status 3",
        "condition Progressing is True",
    ] {
        let found = evidence.notes.iter().any(|note| note.contains(expect));
        assert!(found, "{expect:?} is not in {:#?}", evidence.notes);
    }
}

#[tokio::test]
async fn a_previous_log_that_is_gone_is_read_as_the_current_one() {
    let server = Server::start("deployment").await;
    server.log("web previous", "unable to retrieve container logs for containerd://1");
    server.log("web", "FATAL: no such table: orders\n");
    let (outcome, _) = beside!(server, settings(20_000, 200), {
        pause(50).await;
        server.crash(1);
        pause(200).await;
        server.crash(2);
    });
    let Ok(Outcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert!(failure.message.contains("no such table"), "{}", failure.message);
}

#[tokio::test]
async fn an_expired_watch_is_listed_anew() {
    let server = Server::start("deployment").await;
    let (outcome, _) = beside!(server, settings(20_000, 100), {
        pause(200).await;
        server.expire(2);
        pause(20).await;
        server.finish();
        server.ready();
    });
    assert!(matches!(outcome, Ok(Outcome::Ready { .. })), "{outcome:?}");
    assert!(server.held.lock().unwrap().lists > 4, "nothing was listed again");
}

#[tokio::test]
async fn an_outage_moves_the_deadline_and_is_no_failure() {
    let mut server = Server::start("deployment").await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let (client, settings) = (server.client(), settings(1_500, 100));
    let following = tokio::spawn(async move {
        let redactor = Redactor::default();
        let sink = EventSink::new(sender);
        let cancel = CancellationToken::new();
        track(&client, &[workload()], &settings, &redactor, &sink, &cancel).await
    });
    pause(300).await;
    // Longer than the deadline.
    server.go_away(Duration::from_millis(2_000)).await;
    server.finish();
    server.ready();
    let outcome = following.await.unwrap();
    assert!(matches!(outcome, Ok(Outcome::Ready { .. })), "{outcome:?}");
    let told: Vec<String> = receiver
        .try_iter()
        .filter_map(|event| match event {
            RunEvent::Output { text, .. } => Some(text),
            _ => None,
        })
        .collect();
    assert!(told.iter().any(|text| text.starts_with("the API server is unreachable")), "{told:?}");
    assert!(
        told.iter().any(|text| text.starts_with("the API server is reachable again")),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_deadline_ends_it() {
    let server = Server::start("deployment").await;
    let (outcome, _) = follow(&server, &settings(400, 100)).await;
    let Ok(Outcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((failure.rule, failure.class), ("deadline", FailureClass::Timeout));
    assert!(
        failure.message.starts_with("deployment/web is not ready after 400ms"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_missing_right_is_an_error_but_for_events() {
    let server = Server::start("deployment").await;
    server.held.lock().unwrap().forbidden.insert("events");
    let (outcome, _) = beside!(server, settings(20_000, 0), {
        pause(50).await;
        server.finish();
        server.ready();
    });
    assert!(matches!(outcome, Ok(Outcome::Ready { .. })), "{outcome:?}");
    server.held.lock().unwrap().forbidden.insert("pods");
    let (outcome, _) = follow(&server, &settings(20_000, 0)).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, TrackErrorKind::Refused);
    assert!(error.message.contains("pods"), "{error}");
}

#[tokio::test]
async fn somebody_else_and_a_cancel_end_it() {
    let server = Server::start("deployment").await;
    let (outcome, _) = beside!(server, settings(20_000, 0), {
        pause(100).await;
        server.patch(
            "Deployment/web",
            json!({"metadata": {"generation": 3},
                   "spec": {"template": {"metadata": {"annotations": {"by": "another"}}}}}),
        );
    });
    assert!(matches!(outcome, Ok(Outcome::Superseded { .. })), "{outcome:?}");
    let cancel = CancellationToken::new();
    let (client, settings, redactor, sink) =
        (server.client(), settings(20_000, 0), Redactor::default(), EventSink::null());
    let mut theirs = workload();
    theirs.generation = 3;
    let workloads = [theirs];
    let following = track(&client, &workloads, &settings, &redactor, &sink, &cancel);
    let (outcome, ()) = tokio::join!(following, async {
        pause(100).await;
        cancel.cancel();
    });
    assert!(matches!(outcome, Ok(Outcome::Cancelled)), "{outcome:?}");
}

#[tokio::test]
async fn logs_of_pods_are_read_and_redacted() {
    let server = Server::start("statefulset").await;
    server.log("web", "listening on 8080, token hunter2secret\n");
    let set = Workload { kind: WorkloadKind::StatefulSet, uid: "sts".into(), ..workload() };
    let redactor = Redactor::new(["hunter2secret".to_owned()]);
    let client = server.client();
    let logs = pod_logs(&client, std::slice::from_ref(&set), None, &redactor).await.unwrap();
    let parts: Vec<_> = logs.iter().map(|log| (log.part.as_str(), log.life)).collect();
    assert_eq!(parts, [("web-0/web", 0), ("web-1/web", 0), ("web-2/web", 0)]);
    for log in &logs {
        assert!(log.text.starts_with("listening on 8080"), "{log:?}");
        assert!(!log.text.contains("hunter2secret"), "{log:?}");
    }
}
