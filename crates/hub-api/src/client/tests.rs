//! Against a server that speaks the hub's part.

use std::sync::Mutex;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;
use crate::types::{AttemptHeartbeat, ClaimRequest, Completion};
use greenloop_model::task::{GraphId, Lease, TaskId};

const TOKEN: &str = "glh_7_qwertyuiopasdfgh";
const LEASE: Lease = Lease { task: TaskId(7), epoch: 2 };

fn client(server: &MockServer) -> HubClient {
    let client = HubClient::new(&server.uri(), Some(SecretString::from(TOKEN))).unwrap();
    client.within(Duration::from_secs(10))
}

fn problem(status: u16, kind: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(
        json!({
            "type": format!("urn:greenloop:problem:{kind}"),
            "title": "t", "status": status, "detail": "the task has moved on",
        })
        .to_string(),
        "application/problem+json",
    )
}

/// Answers in turn, and remembers the keys it was sent.
struct Turns {
    answers: Mutex<Vec<ResponseTemplate>>,
}

impl Turns {
    fn new(answers: impl IntoIterator<Item = ResponseTemplate>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Mutex::new(answers) }
    }
}

impl Respond for Turns {
    fn respond(&self, _request: &Request) -> ResponseTemplate {
        self.answers.lock().unwrap().pop().expect("an answer")
    }
}

#[tokio::test]
async fn a_secret_that_reached_a_report_is_not_sent() {
    let _guard = greenloop_evidence::Redactor::new(["Hub-Exit-7-x".to_owned()]).guard_exits();
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let completion =
        Completion { summary: "done with Hub-Exit-7-x".into(), ..Completion::default() };
    client(&server).complete(LEASE, &completion).await.unwrap();
    let sent = server.received_requests().await.unwrap();
    let said = String::from_utf8_lossy(&sent[0].body).into_owned();
    assert!(said.contains("done with ************") && !said.contains("Hub-Exit"), "{said}");
}

#[tokio::test]
async fn a_call_is_repeated_under_one_key_and_the_next_has_another() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/tasks/7/attempts/2/complete"))
        .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
        .respond_with(Turns::new([
            ResponseTemplate::new(503),
            ResponseTemplate::new(429).insert_header("retry-after-ms", "1"),
            ResponseTemplate::new(204),
            ResponseTemplate::new(200).set_body_json(json!({"state": "done"})),
        ]))
        .mount(&server)
        .await;
    let client = client(&server);
    let done = Completion { commit: None, summary: "done".to_owned(), branch: None };
    client.complete(LEASE, &done).await.unwrap();
    client.complete(LEASE, &done).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let keys: Vec<&str> =
        requests.iter().map(|r| r.headers["idempotency-key"].to_str().unwrap()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
}

#[tokio::test]
async fn a_stale_lease_is_told_at_once_and_by_its_name() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/tasks/7/attempts/2/heartbeat"))
        .respond_with(Turns::new([problem(409, "stale-lease"), problem(409, "conflict")]))
        .mount(&server)
        .await;
    let client = client(&server);
    for expect in [HubErrorKind::StaleLease, HubErrorKind::Conflict] {
        let error = client.heartbeat(LEASE, &AttemptHeartbeat::default()).await.unwrap_err();
        assert_eq!(error.kind, expect);
        assert!(error.to_string().contains("the task has moved on"), "{error}");
        assert!(!format!("{error:?} {client:?}").contains("qwerty"), "{error:?}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn no_work_is_no_error() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/claims"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let request = ClaimRequest {
        agent: "a".to_owned(),
        instance: "i".to_owned(),
        roles: Vec::new(),
        labels: Vec::new(),
        lease_seconds: 60,
        wait_seconds: 1,
        unreachable: Vec::new(),
    };
    assert_eq!(client(&server).claim(&request).await.unwrap(), None);
}

#[tokio::test]
async fn a_hub_that_is_away_is_given_up_when_the_budget_is_spent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = HubClient::new(&format!("http://{address}"), None).unwrap();
    let error = client.within(Duration::from_millis(400)).graphs().await.unwrap_err();
    assert_eq!(error.kind, HubErrorKind::Unavailable, "{error}");
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["", "hub.example.org", "ftp://hub", "http://user:pw@hub/", "file:///tmp"] {
        assert_eq!(HubClient::new(url, None).unwrap_err().kind, HubErrorKind::Invalid, "{url}");
    }
    let client = HubClient::new("https://example.org/hub?x=1", None).unwrap();
    assert_eq!(client.address().as_str(), "https://example.org/hub/");
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let server = MockServer::start().await;
    let graph = |id: i64| {
        json!({
            "id": id, "project": "p", "name": "n", "repository": null, "target": "main",
            "state": "running", "run": null, "tasks": {}, "percent": 0.0,
            "created_at": "2026-11-21T00:00:00Z", "ended_at": null,
        })
    };
    Mock::given(method("GET"))
        .and(path("/api/v1/graphs"))
        .and(query_param("cursor", "two"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"items": [graph(2)]})))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/api/v1/graphs"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"items": [graph(1)], "next": "two"})),
        )
        .mount(&server)
        .await;
    let ids: Vec<i64> =
        client(&server).graphs().await.unwrap().into_iter().map(|graph| graph.id.0).collect();
    assert_eq!(ids, [1, 2]);
    let error = client(&server).graph(GraphId(9)).await.unwrap_err();
    assert_eq!(error.kind, HubErrorKind::NotFound);
}

#[tokio::test]
async fn a_broken_stream_of_events_goes_on_after_the_last_one() {
    let server = MockServer::start().await;
    let event = |id: i64| {
        let data = json!({"id": id, "at": "2026-11-21T00:00:00Z", "kind": "task.done", "graph": 3});
        format!("id: {id}\nevent: task.done\ndata: {data}\n\n")
    };
    let stream = |text: String| ResponseTemplate::new(200).set_body_raw(text, "text/event-stream");
    Mock::given(method("GET"))
        .and(path("/api/v1/events"))
        .and(query_param("graph", "3"))
        .and(header("last-event-id", "5"))
        // One event arrives twice, and half of the next one never whole.
        .respond_with(stream(format!("{}{}id: 7\ndata: {{", event(5), event(6))))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/api/v1/events"))
        .and(header("last-event-id", "6"))
        .respond_with(Turns::new([ResponseTemplate::new(502), stream(event(7))]))
        .mount(&server)
        .await;
    let mut follow = client(&server).follow(Some(5), Some(3), Duration::from_secs(10));
    assert_eq!(follow.next().await.unwrap().id.0, 6);
    assert_eq!(follow.next().await.unwrap().id.0, 7);
}

#[tokio::test]
async fn a_refused_stream_is_not_asked_for_again() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/api/v1/events"))
        .respond_with(ResponseTemplate::new(401))
        .expect(1)
        .mount(&server)
        .await;
    let mut follow = client(&server).follow(None, None, Duration::from_secs(10));
    assert_eq!(follow.next().await.unwrap_err().kind, HubErrorKind::Unauthorised);
}

/// A path of the API with its parameters filled in, as a template of `docs/openapi.json`.
fn is_of(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, is)| part == is || part.starts_with('{'))
}

#[tokio::test]
async fn every_query_is_one_that_the_hub_knows() {
    let api: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let server = MockServer::start().await;
    // Two pages of everything, so that both ask as they do.
    let page = |next: serde_json::Value| {
        ResponseTemplate::new(200).set_body_json(json!({"items": [], "next": next}))
    };
    Mock::given(method("GET"))
        .and(query_param("cursor", "7"))
        .respond_with(page(serde_json::Value::Null))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("GET")).respond_with(page(json!("7"))).mount(&server).await;

    let client = client(&server);
    let (graph, task) = (GraphId(1), TaskId(7));
    client.graphs().await.unwrap();
    client.tasks(graph).await.unwrap();
    client.evidence(task).await.unwrap();
    client.attempts(task).await.unwrap();
    client.merges().await.unwrap();
    client.branches().await.unwrap();
    client.agents().await.unwrap();
    client.alerts(None).await.unwrap();
    client.alerts(Some(graph)).await.unwrap();
    // A page is no stream of events: it ends, and is given up.
    for after in [None, Some(3)] {
        let mut follow = client.follow(after, Some(1), Duration::ZERO);
        follow.next().await.unwrap_err();
    }

    let requests = server.received_requests().await.unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for request in requests {
        let (template, operations) = api["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(template, _)| is_of(template, request.url.path()))
            .min_by_key(|(template, _)| template.matches('{').count())
            .unwrap_or_else(|| panic!("{} is not a path of the API", request.url));
        asked.insert(template.clone());
        let parameters = operations["get"]["parameters"].as_array();
        let known: Vec<&str> = parameters
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter(|it| it["in"] == "query")
            .filter_map(|it| it["name"].as_str())
            .collect();
        for (name, _) in request.url.query_pairs() {
            assert!(known.contains(&&*name), "{}: known are {known:?}", request.url);
        }
    }
    assert_eq!(asked.len(), 9, "{asked:?}");
}
