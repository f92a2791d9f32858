//! The part of a hub that the dashboard uses: lists, and a resumable stream of events.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::Stream;
use greenloop_hub::dashboard;
use greenloop_hub_api::types::{
    Agent, Attempt, Event, Evidence, Graph, GraphTask, GraphTasks, Merge, Page, Snapshot, Summary,
    Task, Timestamp,
};
use greenloop_model::task::{AttemptState, EventId, GraphId, TaskId};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The hub's data.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) graph: Option<Graph>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) merges: Vec<Merge>,
    pub(crate) history: Vec<Snapshot>,
    pub(crate) summary: Option<Summary>,
    pub(crate) branches: Vec<serde_json::Value>,
    pub(crate) runs: Vec<serde_json::Value>,
    /// The token to require, if set.
    pub(crate) token: Option<String>,
    pub(crate) events: Vec<Event>,
    /// The position from which each stream resumed.
    pub(crate) resumed: Vec<Option<i64>>,
}

impl World {
    /// The task of that key.
    pub(crate) fn task(&mut self, key: &str) -> &mut Task {
        self.tasks.iter_mut().find(|task| task.key == key).unwrap()
    }
}

#[derive(Clone)]
struct Shared {
    world: Arc<Mutex<World>>,
    /// The number of events; streams wait for changes.
    news: Arc<watch::Sender<usize>>,
}

/// A running hub; stops when dropped.
pub(crate) struct Hub {
    shared: Shared,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Hub {
    pub(crate) fn start(world: World) -> Self {
        let shared =
            Shared { world: Arc::new(Mutex::new(world)), news: Arc::new(watch::channel(0).0) };
        let mut hub =
            Self { shared, address: SocketAddr::from(([127, 0, 0, 1], 0)), runtime: None };
        hub.listen();
        hub
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// The positions from which the streams resumed, in order.
    pub(crate) fn resumed(&self) -> Vec<Option<i64>> {
        self.world().resumed.clone()
    }

    /// Changes the data by `change`, then sends an event.
    pub(crate) fn happen(&self, event: Event, change: impl FnOnce(&mut World)) -> i64 {
        let mut world = self.world();
        change(&mut world);
        let id = i64::try_from(world.events.len()).unwrap() + 1;
        world.events.push(Event { id: EventId(id), at: now(), ..event });
        let count = world.events.len();
        drop(world);
        self.shared.news.send_replace(count);
        id
    }

    /// Closes every connection and accepts no more.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens on its previous address.
    pub(crate) fn listen(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let socket = bind(self.address);
        self.address = socket.local_addr().unwrap();
        let app = routes(self.shared.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(socket).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The port of a hub that was just stopped may take a moment to be free.
fn bind(address: SocketAddr) -> std::net::TcpListener {
    for _ in 0..100 {
        if let Ok(socket) = std::net::TcpListener::bind(address) {
            socket.set_nonblocking(true).unwrap();
            return socket;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{address} is not free");
}

pub(crate) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

fn routes(shared: Shared) -> Router {
    let api = Router::new()
        .route(
            "/graphs",
            get(|State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().graph.iter()) }),
        )
        .route(
            "/graphs/{id}/tasks",
            get(|State(s): State<Shared>, Path(id): Path<i64>| async move {
                Json(compact(GraphId(id), &s.lock().tasks))
            }),
        )
        .route(
            "/tasks",
            get(|State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().tasks.iter()) }),
        )
        .route("/tasks/{id}", get(task))
        .route(
            "/tasks/{id}/attempts",
            get(|State(s): State<Shared>, Path(id): Path<i64>, q: Cursor| async move {
                q.page(s.lock().attempts.iter().filter(|one| one.task.0 == id))
            }),
        )
        .route(
            "/tasks/{id}/evidence",
            get(|State(s): State<Shared>, Path(id): Path<i64>, q: Cursor| async move {
                q.page(s.lock().evidence.iter().filter(|one| one.task.0 == id))
            }),
        )
        .route(
            "/agents",
            get(|State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().agents.iter()) }),
        )
        .route(
            "/assignments",
            get(|State(s): State<Shared>, q: Cursor| async move {
                q.page(s.lock().attempts.iter().filter(|one| one.state == AttemptState::Running))
            }),
        )
        .route(
            "/progress/summary",
            get(|State(s): State<Shared>| async move { Json(s.lock().summary.clone()) }),
        )
        .route(
            "/progress/history",
            get(
                |State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().history.iter()) },
            ),
        )
        .route(
            "/merge-queue",
            get(|State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().merges.iter()) }),
        )
        .route(
            "/branches",
            get(|State(s): State<Shared>| async move {
                Json(Page { items: s.lock().branches.clone(), next: None })
            }),
        )
        .route(
            "/runs",
            get(|State(s): State<Shared>, q: Cursor| async move { q.page(s.lock().runs.iter()) }),
        )
        .route(
            "/runs/{id}",
            get(|State(s): State<Shared>, Path(id): Path<String>| async move {
                let found = s.lock().runs.iter().find(|run| run["id"] == id).cloned();
                found
                    .map_or_else(|| problem(StatusCode::NOT_FOUND), |run| Json(run).into_response())
            }),
        )
        .route(
            "/tasks/{id}/logs",
            get(|| async { Json(Page { items: Vec::<serde_json::Value>::new(), next: None }) }),
        )
        .route(
            "/actions",
            get(|| async { Json(Page { items: Vec::<serde_json::Value>::new(), next: None }) }),
        )
        .route(
            "/session",
            get(|| async { Json(serde_json::json!({"name": null, "scope": "read"})) }),
        )
        .route(
            "/health",
            get(|| async { Json(BTreeMap::from([("status", "ok"), ("store", "ok")])) }),
        )
        .route("/events", get(events))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    Router::new().nest("/api/v1", api).fallback(file)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

type Cursor = Query<HashMap<String, String>>;

trait Pages {
    fn page<'a, T: Serialize + Clone + 'a>(&self, items: impl Iterator<Item = &'a T>) -> Response;
}

impl Pages for Cursor {
    fn page<'a, T: Serialize + Clone + 'a>(&self, items: impl Iterator<Item = &'a T>) -> Response {
        let number = |name: &str| self.get(name).and_then(|text| text.parse::<usize>().ok());
        let (from, limit) = (number("cursor").unwrap_or(0), number("limit").unwrap_or(50).min(200));
        let mut items: Vec<T> = items.skip(from).take(limit + 1).cloned().collect();
        let next = (items.len() > limit).then(|| (from + limit).to_string());
        items.truncate(limit);
        Json(Page { items, next }).into_response()
    }
}

/// The tasks as the hub has them in one answer.
fn compact(graph: GraphId, tasks: &[Task]) -> GraphTasks {
    let mut epics: Vec<String> = tasks.iter().filter_map(|task| task.epic.clone()).collect();
    epics.sort();
    epics.dedup();
    let places: HashMap<TaskId, u32> = tasks.iter().map(|task| task.id).zip(0..).collect();
    let mut lists = GraphTasks::new(graph, epics.clone());
    for task in tasks.iter().cloned() {
        let epic = task.epic.and_then(|key| epics.iter().position(|it| *it == key));
        lists.push(GraphTask {
            id: task.id,
            key: task.key,
            title: task.title,
            state: task.state,
            epic: epic.map(|at| u32::try_from(at).unwrap()),
            role: task.role,
            labels: task.labels,
            hours: task.hours,
            epoch: task.epoch,
            percent: task.percent,
            agent: task.agent,
            reason: task.reason,
            updated_at: task.updated_at,
            needs: task.needs.iter().filter_map(|need| places.get(need).copied()).collect(),
        });
    }
    lists
}

async fn task(State(shared): State<Shared>, Path(id): Path<i64>) -> Response {
    let found = shared.lock().tasks.iter().find(|task| task.id.0 == id).cloned();
    found.map_or_else(|| problem(StatusCode::NOT_FOUND), |task| Json(task).into_response())
}

fn problem(status: StatusCode) -> Response {
    let body = serde_json::json!({
        "type": "urn:greenloop:problem:test", "title": status.to_string(),
        "status": status.as_u16(), "detail": status.to_string(),
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let wanted = shared.lock().token.clone().map(|token| format!("Bearer {token}"));
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if wanted.is_some() && wanted.as_deref() != given {
        return problem(StatusCode::UNAUTHORIZED);
    }
    next.run(request).await
}

async fn events(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<i64>().ok());
    let mut news = shared.news.subscribe();
    let start = {
        let mut world = shared.lock();
        world.resumed.push(after);
        after.map_or(world.events.len(), |id| usize::try_from(id).unwrap())
    };
    news.mark_changed();
    let stream =
        futures::stream::unfold((shared, news, start), |(shared, mut news, at)| async move {
            loop {
                let event = shared.lock().events.get(at).cloned();
                if let Some(event) = event {
                    let text = serde_json::to_string(&event).unwrap();
                    let message = sse::Event::default()
                        .id(event.id.to_string())
                        .event(event.kind.name())
                        .data(text);
                    return Some((Ok(message), (shared, news, at + 1)));
                }
                news.changed().await.ok()?;
            }
        });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(5)))
}

async fn file(request: Request) -> Response {
    match dashboard::asset(request.uri().path()) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.content_type.to_owned()),
                (header::CONTENT_SECURITY_POLICY, dashboard::POLICY.to_owned()),
                (header::ETAG, asset.etag),
                (header::CACHE_CONTROL, "no-cache".to_owned()),
            ],
            asset.bytes,
        )
            .into_response(),
        None => problem(StatusCode::NOT_FOUND),
    }
}
