//! Live events.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use greenloop_hub::store::{Retention, StoreOptions, TaskStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::program::{Client, Hub, reports, tasks, until};
use super::stores::Place;

/// A stream of events, read block by block.
pub(crate) struct Sse {
    response: reqwest::Response,
    text: String,
}

/// One block of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) id: Option<i64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Sse {
    pub(crate) async fn open(client: &Client, after: Option<i64>) -> Self {
        let mut request = client.request(reqwest::Method::GET, "/events");
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next block with data; `None` at the end of the stream, whatever its cause.
    pub(crate) async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                let found = field("data:").map(|data| Block {
                    id: field("id:").map(|id| id.parse().unwrap()),
                    event: field("event:").unwrap(),
                    data: serde_json::from_str(&data).unwrap(),
                });
                self.text = rest.to_owned();
                match found {
                    Some(block) => return Some(block),
                    None => continue,
                }
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            let piece = piece.expect("silence").ok()??;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

/// Reads events from a hub until the end of a graph, and resumes after the last event on each
/// reconnect.
async fn follow(client: Client, graph: i64) -> Vec<i64> {
    let (mut seen, mut last) = (Vec::new(), 0);
    loop {
        let request = client.request(reqwest::Method::GET, "/events");
        let sent = request.header("last-event-id", last.to_string()).send().await;
        let Ok(response) = sent else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut stream = Sse { response, text: String::new() };
        while let Some(block) = stream.next().await {
            assert_ne!(block.event, "gap");
            if block.event == "bye" {
                break;
            }
            last = block.id.unwrap();
            assert_eq!(block.data["id"], last);
            seen.push(last);
            if block.event == "graph.done" && block.data["graph"] == graph {
                return seen;
            }
        }
    }
}

async fn follow_socket(hub: String, token: String, graph: i64) -> Vec<i64> {
    let (mut seen, mut last) = (Vec::new(), 0);
    loop {
        let url = format!("ws://{hub}/api/v1/ws?after={last}");
        let mut request = url.into_client_request().unwrap();
        let protocols = format!("greenloop.v1, bearer.{token}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(&text).unwrap();
            if let Some(note) = event.get("note") {
                assert_eq!(note, "bye", "{event}");
                break;
            }
            last = event["id"].as_i64().unwrap();
            seen.push(last);
            if event["kind"] == "graph.done" && event["graph"] == graph {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn events_go_on_after_a_restart_without_loss_or_double() {
    for place in Place::all() {
        let mut hub =
            Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--read-token-required"]);
        let admin = hub.admin(&place);
        let count = 30;
        let graph = admin.submit(tasks(count)).await;
        let sse = tokio::spawn(follow(admin.clone(), graph));
        let token = admin.token.clone().unwrap();
        let socket = tokio::spawn(follow_socket(hub.address.to_string(), token, graph));
        for n in 0..count {
            if n % 10 == 5 {
                if n % 20 == 5 {
                    hub.stop();
                } else {
                    hub.kill();
                }
                hub = hub.again(&place);
            }
            let claimed = admin.claim("w", 5).await.unwrap();
            let at = reports(&claimed);
            admin.post(&format!("{at}/heartbeat"), json!({"percent": 50})).await.expect(200);
            admin.post(&format!("{at}/complete"), json!({})).await.expect(200);
        }
        let limit = Duration::from_secs(60);
        let sse = tokio::time::timeout(limit, sse).await.unwrap().unwrap();
        let socket = tokio::time::timeout(limit, socket).await.unwrap().unwrap();
        assert!(sse.windows(2).all(|two| two[0] < two[1]), "out of order or twice: {sse:?}");
        assert_eq!(sse, socket, "both ways have the same events");
        // From the first event of the store.
        let mut all = Sse::open(&admin, Some(0)).await;
        let mut whole = Vec::new();
        while whole.last() != sse.last() {
            whole.push(all.next().await.unwrap().id.unwrap());
        }
        assert_eq!(sse, whole);
        assert!(whole.len() > 3 * count, "{}", whole.len());
    }
}

#[tokio::test]
async fn only_what_is_new_or_of_one_graph_when_asked_so() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let first = admin.submit(tasks(2)).await;
    let mut new = Sse::open(&admin, None).await;
    // The greeting has come, so it follows.
    let second = admin.submit(tasks(2)).await;
    let event = new.next().await.unwrap();
    assert_eq!(event.data["graph"], second, "{event:?}");
    let request = admin.request(reqwest::Method::GET, &format!("/events?after=0&graph={second}"));
    let mut of_one = Sse { response: request.send().await.unwrap(), text: String::new() };
    admin.post(&format!("/graphs/{first}/cancel"), json!({})).await.expect(200);
    admin.post(&format!("/graphs/{second}/cancel"), json!({})).await.expect(200);
    loop {
        let event = of_one.next().await.unwrap();
        assert_eq!(event.data["graph"], second, "{event:?}");
        if event.event == "graph.cancelled" {
            break;
        }
    }
}

#[tokio::test]
async fn an_event_of_another_store_is_a_gap() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    admin.submit(tasks(1)).await;
    let mut stream = Sse::open(&admin, Some(1_000_000)).await;
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.event.as_str(), &gap.data["note"]), ("gap", &json!("gap")));
    admin.claim("w", 0).await.unwrap();
    let mut next = stream.next().await.unwrap();
    while next.event.starts_with("graph.") || next.event == "task.ready" {
        // What was on its way when the stream was opened.
        next = stream.next().await.unwrap();
    }
    assert_eq!(next.event, "task.claimed");
}

/// A client that was disconnected for longer than events are kept receives `gap`, then new events.
#[tokio::test]
async fn an_event_that_is_not_kept_any_more_is_a_gap() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        admin.submit(tasks(5)).await;
        let store = TaskStore::open(&place.url, StoreOptions::default()).await.unwrap();
        let latest = store.latest_event().await.unwrap().0;
        assert!(latest > 2, "{latest}");
        let keep = Retention { events: Some(Duration::ZERO), ..Retention::default() };
        while store.purge(&keep).await.unwrap().is_some() {}
        drop(store);
        // A running hub still has the events that it sent.
        let _hub = hub.again(&place);
        let mut stream = Sse::open(&admin, Some(1)).await;
        let gap = stream.next().await.unwrap();
        assert_eq!((gap.event.as_str(), &gap.data["note"]), ("gap", &json!("gap")));
        assert_eq!(stream.next().await.unwrap().id, Some(latest), "the latest is kept");
        admin.claim("w", 0).await.unwrap();
        assert_eq!(stream.next().await.unwrap().event, "task.claimed");
        // A client that has the latest event has missed nothing.
        let mut stream = Sse::open(&admin, Some(latest)).await;
        assert_eq!(stream.next().await.unwrap().event, "task.claimed");
    }
}

#[tokio::test]
async fn a_hub_that_stops_says_goodbye() {
    let place = Place::sqlite();
    let mut hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let mut sse = Sse::open(&admin, None).await;
    let url = format!("ws://{}/api/v1/ws", hub.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    tokio::task::spawn_blocking(move || hub.stop()).await.unwrap();
    let bye = sse.next().await.unwrap();
    assert_eq!((bye.event.as_str(), &bye.data["reason"]), ("bye", &json!("shutdown")));
    assert_eq!(sse.next().await, None);
    let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(text.contains("shutdown"), "{text}");
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(close.code), 1012);
}

#[tokio::test]
async fn a_client_has_nothing_to_say_on_a_socket() {
    let place = Place::sqlite();
    let hub = Hub::start(&place);
    let url = format!("ws://{}/api/v1/ws", hub.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    socket.send(Message::text("x".repeat(100_000))).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(5), async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                return;
            }
        }
    });
    end.await.expect("a frame that is too long ends the connection");
    let plain = reqwest::get(hub.url("/api/v1/ws")).await.unwrap();
    super::program::Answer::of(plain).await.problem(400, "malformed");
}

/// A connection that sends a request and then reads nothing.
async fn deaf(hub: &Hub, path: &str, more: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(hub.address).await.unwrap();
    let host = hub.address;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_slow_client_is_dropped_with_a_reason_and_holds_nobody_up() {
    let place = Place::sqlite();
    let hub =
        Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--rate", "0", "--live-events", "64"]);
    let admin = hub.admin(&place);
    admin.submit(tasks(1)).await;
    let at = reports(&admin.claim("w", 0).await.unwrap());
    let mut slow = deaf(&hub, "/api/v1/events", "connection: close\r\n").await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut slow_socket = deaf(&hub, "/api/v1/ws", upgrade).await;
    let mut quick = Sse::open(&admin, None).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // More than the socket buffers: twice 256 KiB each.
    let (rounds, at_once, mut worst) = (150, 16, Duration::ZERO);
    for round in 0..rounds {
        let began = Instant::now();
        let path = format!("{at}/heartbeat");
        let posts = (0..at_once).map(|n| {
            let message = format!("{round} {n} {}", "x".repeat(4_000));
            let body = json!({"percent": round % 100, "message": message});
            admin.post(&path, body)
        });
        for answer in futures::future::join_all(posts).await {
            answer.expect(200);
        }
        let mut seen = 0;
        while seen < at_once {
            // The hub writes snapshots periodically.
            seen += usize::from(quick.next().await.unwrap().event == "task.progress");
        }
        worst = worst.max(began.elapsed());
    }
    eprintln!("{rounds} rounds past a client that does not read: worst {worst:?}");
    let read = async |stream: &mut TcpStream| {
        let mut bytes = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
        let ended = reading.await;
        let said = String::from_utf8_lossy(&bytes).into_owned();
        // A reset ends the stream as well.
        assert!(ended.is_ok(), "it goes on after {} bytes: {}", said.len(), tail(&said));
        said
    };
    let said = read(&mut slow).await;
    assert!(said.contains("event: bye") && said.contains(r#""reason":"slow""#), "{}", tail(&said));
    let said = read(&mut slow_socket).await;
    assert!(said.contains(r#""reason":"slow""#), "{}", tail(&said));
    let metrics = reqwest::get(hub.url("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("greenloop_live_dropped_total{reason=\"slow\"} 2"), "{metrics}");
    until("its place", async || {
        let text = reqwest::get(hub.url("/metrics")).await.unwrap().text().await.unwrap();
        text.contains("greenloop_live_connections{transport=\"sse\"} 1").then_some(())
    })
    .await;
}

fn tail(text: &str) -> &str {
    let mut at = text.len().saturating_sub(400);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    &text[at..]
}
