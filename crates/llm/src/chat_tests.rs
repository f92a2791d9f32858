//! The model against real HTTP servers that misbehave on purpose.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tests::{plan_for, request};
use greenloop_azure::fake::Counting;
use greenloop_azure::{AzureError, Identity};
use greenloop_config::plan::Provider;
use greenloop_http::retry::backoff;
use greenloop_ports::{JsonSchema, ToolSpec};

const KEY: &str = "sk-very-secret";

/// What the server does with one connection.
#[derive(Clone)]
enum Turn {
    /// Writes these pieces with a pause before each, then closes.
    Pieces(Vec<(u64, Vec<u8>)>),
    /// Writes these and then says nothing more.
    Hang(Vec<u8>),
}

fn respond(status: u16, kind: &str, extra: &str, body: impl AsRef<[u8]>) -> Turn {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n{extra}\r\n",
        body.len()
    );
    Turn::Pieces(vec![(0, [head.as_bytes(), body].concat())])
}

fn json_body(status: u16, body: Value) -> Turn {
    respond(status, "application/json", "", body.to_string())
}

const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";

fn sse(events: &str) -> Turn {
    Turn::Pieces(vec![(0, format!("{SSE}{events}").into_bytes())])
}

fn text_event(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

fn end_event(reason: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
    )
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120}}\n\n";

fn good(text: &str) -> Turn {
    sse(&format!("{}{}{USAGE}data: [DONE]\n\n", text_event(text), end_event("stop")))
}

/// A server that plays its turns in order and keeps what it was asked.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    async fn playing(turns: Vec<Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            for turn in turns {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                kept.lock().unwrap().push(request);
                tokio::spawn(play(stream, turn));
            }
        });
        Self { base, asked }
    }

    fn model(&self) -> ChatModel {
        self.model_with(|_| {})
    }

    fn model_with(&self, change: impl FnOnce(&mut RolePlan)) -> ChatModel {
        let mut plan =
            plan_for(Provider::OpenAi { base_url: self.base.clone(), api_key_env: "KEY".into() });
        change(&mut plan);
        let address = Address::open_ai("m", &self.base, "KEY", &|_| Some(KEY.to_owned())).unwrap();
        quick(ChatModel::new(address, &plan).unwrap())
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

fn quick(mut model: ChatModel) -> ChatModel {
    model.backoff = backoff(Duration::from_millis(3), Duration::from_millis(15));
    model
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the request was cut");
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length: usize = head
            .lines()
            .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap();
        if bytes.len() >= end + 4 + length {
            return (head, serde_json::from_slice(&bytes[end + 4..]).unwrap());
        }
    }
}

async fn play(mut stream: TcpStream, turn: Turn) {
    match turn {
        Turn::Pieces(pieces) => {
            for (pause, piece) in pieces {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
            }
            let _ = stream.shutdown().await;
        }
        Turn::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}

/// Plays `turns`, asks once, and checks the answer or the error and the number of requests.
async fn check(
    name: &str,
    turns: Vec<Turn>,
    expect: Result<&str, (ModelErrorKind, &str)>,
    n: usize,
) {
    let server = Server::playing(turns).await;
    let got = server.model().complete(&request("why?")).await;
    match (got, expect) {
        (Ok(reply), Ok(text)) => assert_eq!(reply.text, text, "{name}"),
        (Err(error), Err((kind, part))) => {
            assert_eq!(error.kind, kind, "{name}: {error}");
            assert!(error.message.contains(part), "{name}: {}", error.message);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(KEY), "{name}: {shown}");
        }
        (got, expect) => panic!("{name}: {got:?} instead of {expect:?}"),
    }
    assert_eq!(server.requests().len(), n, "{name}: requests");
}

#[tokio::test]
async fn the_model_that_answered_is_named_as_its_server_names_it() {
    let said = |extra: Value| {
        let mut event = json!({ "choices": [{ "index": 0, "delta": { "content": "yes" } }] });
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        sse(&format!("data: {event}\n\n{}{USAGE}data: [DONE]\n\n", end_event("stop")))
    };
    for (extra, model, fingerprint) in [
        (
            json!({ "model": "m-2024-08-06", "system_fingerprint": "fp_44709d6fcb" }),
            Some("m-2024-08-06"),
            Some("fp_44709d6fcb"),
        ),
        (
            json!({ "model": "m-2024-08-06", "system_fingerprint": null }),
            Some("m-2024-08-06"),
            None,
        ),
        (json!({ "model": "", "system_fingerprint": 7 }), None, None),
        (json!({}), None, None),
    ] {
        let server = Server::playing(vec![said(extra)]).await;
        let served = server.model().complete(&request("why?")).await.unwrap().served;
        assert_eq!((served.model.as_deref(), served.fingerprint.as_deref()), (model, fingerprint));
    }
}

#[tokio::test]
async fn one_answer_is_one_request() {
    let server = Server::playing(vec![good("because")]).await;
    let reply = server.model().complete(&request("why?")).await.unwrap();
    assert_eq!(reply.text, "because");
    assert_eq!((reply.usage.requests, reply.usage.input_tokens), (1, 100));
    assert!((reply.usage.cost_usd - (100.0 * 2.0 + 20.0 * 10.0) / 1e6).abs() < 1e-12);
    let (head, body) = &server.requests()[0];
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {KEY}")), "{head}");
    assert_eq!(body["stream"], true);
    assert_eq!(body["model"], "m");
    assert_eq!(body["messages"][1]["content"], "why?");
}

#[tokio::test]
async fn a_secret_that_reached_the_request_is_not_sent() {
    let secret = "Model-Exit-7\"x";
    let _guard = greenloop_evidence::Redactor::new([secret.to_owned()]).guard_exits();
    let server = Server::playing(vec![good("because")]).await;
    let reply = server.model().complete(&request(&format!("it is {secret}, why?"))).await.unwrap();
    assert_eq!(reply.text, "because");
    let (_, body) = &server.requests()[0];
    let said = body["messages"][1]["content"].as_str().unwrap();
    assert!(said.starts_with("it is *****") && said.ends_with(", why?"), "{said}");
    assert!(!body.to_string().contains("Model-Exit-7"), "{body}");
}

#[tokio::test]
async fn every_shape_of_a_whole_answer_is_read() {
    let whole = json!({ "choices": [{ "message": { "role": "assistant", "content": "yes" } }] });
    let pretty = serde_json::to_string_pretty(&json!({ "choices": [{
        "message": { "content": "yes" }, "finish_reason": "stop" }] }))
    .unwrap();
    let crlf = format!("{}{}", text_event("yes"), end_event("stop")).replace('\n', "\r\n");
    let spread = "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"yes\"},\ndata: \"finish_reason\":\"stop\"}]}\n\n";
    let comments = format!(": keep\n\n{}: alive\n\n{}", text_event("yes"), end_event("stop"));
    let pieces = format!("{SSE}{}{}", text_event("yes"), end_event("stop")).into_bytes();
    let slowly = pieces.chunks(23).map(|piece| (3, piece.to_vec())).collect();
    let chunked = format!("{}{}", text_event("yes"), end_event("stop"));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{chunked}\r\n0\r\n\r\n",
        chunked.len()
    );
    let error_after = format!(
        "{}{}data: {{\"error\":{{\"message\":\"late\"}}}}\n\n",
        text_event("yes"),
        end_event("stop")
    );
    for (name, turn) in [
        ("JSON instead of a stream", json_body(200, whole.clone())),
        ("pretty JSON", respond(200, "application/json", "", pretty)),
        ("JSON called text", respond(200, "text/plain", "", whole.to_string())),
        ("a stream called text", respond(200, "text/plain", "", &crlf)),
        ("CRLF", sse(&crlf)),
        ("data over several lines", sse(spread)),
        ("comments", sse(&comments)),
        ("slow pieces", Turn::Pieces(slowly)),
        ("chunked", Turn::Pieces(vec![(0, chunked.into_bytes())])),
        ("no [DONE], closed", sse(&format!("{}{}", text_event("yes"), end_event("stop")))),
        ("an odd ending", sse(&format!("{}{}", text_event("yes"), end_event("eos_token")))),
        ("thoughts", good("<think>no?</think>yes")),
    ] {
        check(name, vec![turn], Ok("yes"), 1).await;
    }
    // An error that comes after the end still is an error of the stream.
    check("an error after the end", vec![sse(&error_after), good("yes")], Ok("yes"), 2).await;
}

#[tokio::test]
async fn a_cut_answer_is_never_a_reply() {
    use ModelErrorKind::{Cut, Protocol, Rejected};
    let half = sse(&text_event("half a patch"));
    let done = sse(&format!("{}data: [DONE]\n\n", text_event("half a patch")));
    let chunk = text_event("half");
    let broken = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\nfff\r\nda",
        chunk.len()
    );
    let broken = Turn::Pieces(vec![(0, broken.into_bytes())]);
    let half_json = respond(200, "application/json", "", "{\"choices\":[{\"mess");
    let streamed_error =
        sse(&format!("{}data: {{\"error\":{{\"message\":\"gone\"}}}}\n\n", text_event("x")));
    for (name, turn, part) in [
        ("closed", half.clone(), "ended before the answer was complete"),
        ("closed after [DONE]", done, "ended before the answer was complete"),
        ("broken", broken, "connection was lost"),
        ("half a document", half_json, "half a document"),
        ("an error in the stream", streamed_error, "gone"),
        ("aborted", sse(&end_event("abort")), "aborted the answer"),
    ] {
        let turns = vec![turn.clone(), turn.clone(), turn];
        check(name, turns, Err((Cut, part)), 3).await;
    }
    check("cut once", vec![half, good("whole")], Ok("whole"), 2).await;
    let long = sse(&format!("{}{}", text_event("half"), end_event("length")));
    check("max_tokens", vec![long], Err((Cut, "max_tokens (1000)")), 1).await;
    let filtered = sse(&end_event("content_filter"));
    check("filtered", vec![filtered], Err((Rejected, "content filter")), 1).await;
    let malformed = sse("data: {\"choices\": nonsense}\n\n");
    check("malformed", vec![malformed], Err((Protocol, "follow the protocol")), 1).await;
    let html = respond(200, "text/html", "", "<html>log in</html>");
    check("a page", vec![html], Err((Protocol, "text/html")), 1).await;
    check("nothing", vec![respond(200, "text/plain", "", "")], Err((Protocol, "nothing")), 1).await;
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    use ModelErrorKind::{Auth, RateLimited, Rejected, Unreachable};
    let busy = || json_body(503, json!({ "error": { "message": "busy" } }));
    let gateway = || respond(502, "text/html", "", "<html>Bad Gateway</html>");
    let plain_429 = || respond(429, "text/plain", "", "slow down");
    check("503 twice", vec![busy(), busy(), good("ok")], Ok("ok"), 3).await;
    check("a gateway's page", vec![gateway(), good("ok")], Ok("ok"), 2).await;
    check("429 in plain text", vec![plain_429(), good("ok")], Ok("ok"), 2).await;
    let closed = Turn::Pieces(vec![]);
    check("closed without a word", vec![closed, good("ok")], Ok("ok"), 2).await;
    let streamed = sse("data: {\"error\":{\"code\":\"503\",\"message\":\"x\"}}\n\n");
    check("503 in the stream", vec![streamed, good("ok")], Ok("ok"), 2).await;

    let turns = vec![gateway(), gateway(), gateway()];
    check("502 for good", turns, Err((Unreachable, "502: the body is text/html")), 3).await;
    let turns = vec![plain_429(), plain_429(), plain_429()];
    check("429 for good", turns, Err((RateLimited, "after 2 retries")), 3).await;
    let quota =
        json_body(429, json!({ "error": { "code": "insufficient_quota", "message": "pay" } }));
    check("no quota", vec![quota], Err((RateLimited, "pay")), 1).await;
    let echo = json_body(401, json!({ "error": { "message": format!("bad key {KEY}") } }));
    check("401", vec![echo], Err((Auth, "bad key [the API key]")), 1).await;
    let moved = respond(307, "text/plain", "location: https://elsewhere/\r\n", "");
    check("a redirect", vec![moved], Err((Rejected, "redirect to https://elsewhere/")), 1).await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let later = respond(429, "application/json", "retry-after: 1\r\n", "{}");
    let server = Server::playing(vec![later, good("ok")]).await;
    let start = Instant::now();
    server.model().complete(&request("why?")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Keeps what it is asked, and refuses from the `refuses`th pause on.
struct Asked {
    waits: Mutex<Vec<ModelWait>>,
    refuses: usize,
}

impl Waits for Asked {
    fn allow(&self, wait: &ModelWait) -> Result<(), String> {
        let mut waits = self.waits.lock().unwrap();
        waits.push(wait.clone());
        if waits.len() < self.refuses { Ok(()) } else { Err("there is no time left".to_owned()) }
    }
}

/// Asks once: what came of it, the pauses that were asked for, and the number of requests.
async fn with_waits(
    turns: Vec<Turn>,
    refuses: usize,
) -> (Result<ModelReply, ModelError>, Vec<ModelWait>, usize) {
    let server = Server::playing(turns).await;
    let asked = Asked { waits: Mutex::new(Vec::new()), refuses };
    let reply = server.model().complete_with(&request("why?"), &asked).await;
    (reply, asked.waits.into_inner().unwrap(), server.requests().len())
}

#[tokio::test]
async fn a_pause_is_asked_for_before_it_begins_and_may_be_refused() {
    let busy = |asks: &str| {
        let extra = format!("{asks}\r\n");
        let body = json!({ "error": { "message": format!("slow down, {KEY}") } });
        respond(429, "application/json", &extra, body.to_string())
    };
    let turns = vec![busy("retry-after-ms: 20"), busy("x-none: 1"), good("ok")];
    let (reply, waits, requests) = with_waits(turns, usize::MAX).await;
    assert_eq!((reply.unwrap().text.as_str(), requests), ("ok", 3));
    let asked: Vec<(Option<u128>, u32, u32)> = waits
        .iter()
        .map(|wait| (wait.asked.map(|asked| asked.as_millis()), wait.retry, wait.retries))
        .collect();
    assert_eq!(asked, [(Some(20), 1, 2), (None, 2, 2)]);
    for ModelWait { reason, pause, asked, .. } in &waits {
        assert_eq!(reason, "HTTP status 429: slow down, [the API key]");
        assert!(*pause >= asked.unwrap_or_default(), "{pause:?}");
    }

    // Nothing is waited for that was refused: this pause would take a minute.
    let (reply, waits, requests) = with_waits(vec![busy("retry-after: 60")], 1).await;
    let error = reply.unwrap_err();
    assert_eq!((error.kind, waits.len(), requests), (ModelErrorKind::RateLimited, 1, 1));
    assert!(error.message.ends_with("; there is no time left"), "{}", error.message);
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_all_retries_is_not_waited_for() {
    for asks in ["3600", "121", "18446744073709549568"] {
        let busy = respond(503, "text/plain", &format!("retry-after: {asks}\r\n"), "later");
        let (reply, waits, requests) = with_waits(vec![busy], usize::MAX).await;
        let error = reply.unwrap_err();
        assert_eq!((error.kind, waits.len(), requests), (ModelErrorKind::Unreachable, 0, 1));
        let told = format!("the server asks to wait {asks} s");
        for part in ["HTTP status 503", &told, "2 of at most 60 s each", "run again then"] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
    }
}

/// A server that answers one request with `head` and then `piece` again and again, for as long as it
/// is read; the bytes that it could write.
async fn endless(head: &'static str, piece: String) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let written = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut written = 0;
        while stream.write_all(piece.as_bytes()).await.is_ok() {
            written += piece.len();
            assert!(written < 256 << 20, "it is read without an end");
        }
        written
    });
    (base, written)
}

#[tokio::test]
async fn a_response_without_an_end_is_not_read_to_its_end() {
    const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"choices\":[\"";
    const REFUSAL: &str = "HTTP/1.1 401 X\r\ncontent-type: text/plain\r\n\r\n";
    let long = "x".repeat(1 << 16);
    let event = text_event(&long);
    // What the system buffers on both sides comes on top.
    let buffers = 24 << 20;
    for (name, head, piece, kind, told, most) in [
        ("events", STREAM, event, ModelErrorKind::Protocol, "too long", 32 << 20),
        ("comments", STREAM, format!(":{long}\n"), ModelErrorKind::Protocol, "too long", 32 << 20),
        ("a document", JSON, long.clone(), ModelErrorKind::Protocol, "too long", 32 << 20),
        ("a refusal", REFUSAL, long.clone(), ModelErrorKind::Auth, "401", 64 << 10),
    ] {
        let (base, written) = endless(head, piece).await;
        let mut plan =
            plan_for(Provider::OpenAi { base_url: base.clone(), api_key_env: "KEY".into() });
        plan.timeout = Duration::from_secs(300);
        let address = Address::open_ai("m", &base, "KEY", &|_| Some(KEY.to_owned())).unwrap();
        let model = quick(ChatModel::new(address, &plan).unwrap());
        let error = model.complete(&request("why?")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert!(error.message.contains(told), "{name}: {}", error.message);
        let written = written.await.unwrap();
        assert!(written <= most + buffers, "{name}: {written} bytes were read");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let plan = plan_for(Provider::OpenAi { base_url: base.clone(), api_key_env: "K".into() });
    let address = Address::open_ai("m", &base, "K", &|_| None).unwrap();
    let model = quick(ChatModel::new(address, &plan).unwrap());
    let error = model.complete(&request("why?")).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Unreachable);
    assert!(error.message.contains("refused"), "{}", error.message);
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    for (name, turn) in [
        ("no response", Turn::Hang(Vec::new())),
        ("no end", Turn::Hang(format!("{SSE}{}", text_event("half")).into_bytes())),
    ] {
        let server = Server::playing(vec![turn]).await;
        let model = server.model_with(|plan| plan.timeout = Duration::from_millis(300));
        let error = model.complete(&request("why?")).await.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Timeout, "{name}: {error}");
    }
    // A stream that stalls well before its deadline is taken for a lost connection.
    let half = Turn::Hang(format!("{SSE}{}", text_event("half")).into_bytes());
    let server = Server::playing(vec![half, good("whole")]).await;
    let mut model = server.model_with(|plan| plan.timeout = Duration::from_secs(30));
    model.idle = Duration::from_millis(100);
    assert_eq!(model.complete(&request("why?")).await.unwrap().text, "whole");
}

#[tokio::test]
async fn a_whole_answer_does_not_wait_for_its_count() {
    let whole = format!("{SSE}{}{}", text_event("yes"), end_event("stop")).into_bytes();
    let server = Server::playing(vec![Turn::Hang(whole)]).await;
    let model = server.model_with(|plan| plan.timeout = Duration::from_secs(1));
    let reply = model.complete(&request("why?")).await.unwrap();
    assert_eq!(reply.text, "yes");
    assert!(reply.usage.input_tokens > 0, "estimated");
}

fn demanding() -> ModelRequest {
    let tool = ToolSpec { name: "read", description: "reads", parameters: json!({}) };
    let schema = JsonSchema { name: "review", schema: json!({ "type": "object" }) };
    ModelRequest { tools: vec![tool], schema: Some(schema), ..request("why?") }
}

#[tokio::test]
async fn what_a_server_lacks_is_left_out_and_remembered() {
    let no = |param: Value| json_body(400, json!({ "error": { "message": "no", "param": param } }));
    let server = Server::playing(vec![
        no(json!("response_format")),
        no(json!("response_format")),
        no(json!("temperature")),
        good("one"),
        good("two"),
    ])
    .await;
    let model = server.model();
    assert_eq!(model.complete(&demanding()).await.unwrap().text, "one");
    assert_eq!(model.complete(&demanding()).await.unwrap().text, "two");
    let bodies: Vec<Value> = server.requests().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies[0]["response_format"]["type"], "json_schema");
    assert_eq!(bodies[1]["response_format"]["type"], "json_object");
    assert!(bodies[2].get("response_format").is_none());
    assert!(bodies[3].get("temperature").is_none());
    assert!(bodies[3].get("tools").is_some());
    assert!(bodies[4].get("temperature").is_none() && bodies[4].get("response_format").is_none());
}

#[tokio::test]
async fn a_server_that_names_nothing_is_tried_with_one_part_less_each_time() {
    let no = || json_body(400, json!({ "error": "registry.local/model does not support tools" }));
    let server = Server::playing(vec![no(), no(), no(), good("one shot"), good("again")]).await;
    let model = server.model();
    assert_eq!(model.complete(&demanding()).await.unwrap().text, "one shot");
    let last = server.requests().pop().unwrap().1;
    assert!(last.get("tools").is_none());
    assert_eq!(last["response_format"]["type"], "json_schema", "the innocent part stays");
    model.complete(&demanding()).await.unwrap();
    assert!(server.requests()[4].1.get("tools").is_none());
}

#[tokio::test]
async fn a_refusal_that_stands_is_told_and_nothing_is_remembered() {
    let long = json_body(
        400,
        json!({ "error": { "message": "too long", "code": "context_length_exceeded" } }),
    );
    check("too long", vec![long], Err((ModelErrorKind::Rejected, "400: too long")), 1).await;
    let server = Server::playing(
        std::iter::repeat_with(|| json_body(422, json!({ "message": "no" }))).take(20).collect(),
    )
    .await;
    let model = server.model();
    let error = model.complete(&demanding()).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Rejected);
    assert!(server.requests().len() <= 9, "{}", server.requests().len());
    assert_eq!(model.known.get(), Abilities::all(TokenLimit::MaxTokens));
}

#[tokio::test]
async fn tool_calls_come_through() {
    let call = json!({ "choices": [{ "delta": { "tool_calls": [
        { "index": 0, "id": "c", "function": { "name": "read", "arguments": "{}" } } ] } }] });
    let turn = sse(&format!("data: {call}\n\n{}", end_event("tool_calls")));
    let server = Server::playing(vec![turn]).await;
    let reply = server.model().complete(&demanding()).await.unwrap();
    assert_eq!(reply.tool_calls[0].name, "read");
}

#[tokio::test]
async fn azure_gets_its_key_or_a_fresh_token_for_each_attempt() {
    let server = Server::playing(vec![
        json_body(500, json!({})),
        json_body(401, json!({})),
        good("ok"),
        good("key"),
    ])
    .await;
    let endpoint = server.base.trim_end_matches("/v1").to_owned();
    let plan = plan_for(Provider::Azure {
        endpoint: endpoint.clone(),
        deployment: "gpt".into(),
        api_version: "2024-10-21".into(),
        api_key_env: None,
    });
    let credential = Counting::living(200);
    let identity = Identity::with_credential(credential.clone());
    let address = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        let env = |_: &str| key.clone();
        Address::azure(&endpoint, "gpt", "2024-10-21", Some("K"), &env, Ok(&identity)).unwrap()
    };
    let model = quick(ChatModel::new(address(None), &plan).unwrap());
    assert_eq!(model.complete(&request("why?")).await.unwrap().text, "ok");
    let model = quick(ChatModel::new(address(Some(KEY)), &plan).unwrap());
    assert_eq!(model.complete(&request("why?")).await.unwrap().text, "key");

    let heads: Vec<String> = server.requests().into_iter().map(|(head, _)| head).collect();
    let path = "POST /openai/deployments/gpt/chat/completions?api-version=2024-10-21 ";
    assert!(heads.iter().all(|head| head.starts_with(path)), "{heads:?}");
    for (head, nth) in heads.iter().zip(1..=3) {
        assert!(head.contains(&format!("authorization: Bearer token-{nth}")), "{head}");
    }
    assert_eq!(credential.asked.load(Ordering::SeqCst), 3);
    assert!(heads[3].contains(&format!("api-key: {KEY}")) && !heads[3].contains("authorization"));
}

#[tokio::test]
async fn without_a_token_the_ways_are_named() {
    let plan = plan_for(Provider::Replay { path: "unused".into() });
    let identity = Identity::with_credential(Counting::living(-1));
    let azure = Ok(&identity);
    let address = Address::azure("http://127.0.0.1:9", "gpt", "v", None, &|_| None, azure).unwrap();
    let model = quick(ChatModel::new(address, &plan).unwrap());
    let error = model.complete(&request("why?")).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Auth);
    assert!(error.message.contains("a test"), "{}", error.message);

    let missing = AzureError::for_test();
    let error = Address::azure("http://127.0.0.1:9", "gpt", "v", None, &|_| None, Err(&missing));
    assert_eq!(error.err().map(|error| error.kind), Some(ModelErrorKind::NotConfigured));
}
