//! Events as they happen: Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::{Reader, presented};
use crate::api::extract::QueryParams;
use crate::api::live::{End, Follower, Next};
use crate::api::metrics::LiveGuard;
use crate::api::problem::Problem;
use greenloop_hub_api::types;

/// How long a client is to wait before it connects again, in milliseconds.
const RETRY: &str = "retry: 2000\n";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A token is looked at again this often.
pub(super) const STILL_GOOD: Duration = Duration::from_secs(30);

/// Where the stream of events begins, and of which graph it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Go on after this event; 0 for all that are still kept. Only new ones when it is absent.
    after: Option<i64>,
    /// Only those of this graph.
    graph: Option<i64>,
}

impl EventQuery {
    /// After which event, and of which graph.
    pub(super) fn parts(&self) -> Result<(Option<i64>, Option<i64>), Problem> {
        if self.after.is_some_and(|after| after < 0) {
            return Err(Problem::invalid("after", "it must be 0 or the id of an event"));
        }
        Ok((self.after, self.graph))
    }
}

/// Events as they happen, as Server-Sent Events
///
/// `id` is the event's id, `event` its kind, `data` the event as JSON. `event: gap` says that
/// events are missing, `event: bye` why the hub ends the stream. Silence lasts 15 seconds at
/// most.
#[utoipa::path(
    get, path = "/events", tag = "live", operation_id = "follow_events",
    params(EventQuery, ("Last-Event-ID" = Option<i64>, Header, description = "Like `after`; takes \
        precedence over it")),
    responses((status = 200, content_type = "text/event-stream", body = types::Event)),
    security(("token" = ["read"]))
)]
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (mut after, graph) = which.parts()?;
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        let id = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|id| *id >= 0);
        let id =
            id.ok_or_else(|| Problem::invalid("last-event-id", "it must be the id of an event"))?;
        after = Some(id);
    }
    let follower = Follower::start(&api, after, graph).await?;
    let stream = Connection {
        token: presented(&headers)?.map(str::to_owned),
        looked: tokio::time::Instant::now(),
        end: api.end.clone(),
        _following: api.metrics.follower("sse"),
        api,
        follower,
        greeted: false,
        over: false,
    };
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // Proxies that gather answers before they pass them on.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream.pieces())).into_response())
}

struct Connection {
    api: Arc<Api>,
    follower: Follower,
    token: Option<String>,
    looked: tokio::time::Instant,
    end: CancellationToken,
    greeted: bool,
    over: bool,
    _following: LiveGuard,
}

impl Connection {
    fn pieces(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, |mut own| async move {
            let piece = own.piece().await?;
            Some((Ok(piece), own))
        })
    }

    async fn piece(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from(format!("{RETRY}id: {}\n\n", self.follower.after())));
        }
        let next = tokio::select! {
            biased;
            () = self.end.cancelled() => Next::End(End::Shutdown),
            next = self.follower.next() => next,
        };
        Some(match next {
            Next::Frame(frame) => frame.sse.clone(),
            Next::Beat => {
                let good = still_good(&self.api, self.token.as_deref(), &mut self.looked).await;
                if !good {
                    return Some(self.bye(End::Revoked));
                }
                Bytes::from(format!(": still here\nid: {}\n\n", self.follower.after()))
            }
            Next::Gap(after) => note("gap", None, after),
            Next::End(end) => self.bye(end),
        })
    }

    fn bye(&mut self, end: End) -> Bytes {
        self.over = true;
        if end != End::Shutdown {
            self.api.metrics.dropped(end.name());
        }
        note("bye", Some(end), self.follower.after())
    }
}

/// What is said beside events.
pub(super) fn live_note(name: &str, end: Option<End>, after: i64) -> String {
    let note = types::LiveNote {
        note: name.to_owned(),
        reason: end.map(|end| end.name().to_owned()),
        after,
    };
    // Names and a number can always be written.
    serde_json::to_string(&note).unwrap_or_default()
}

fn note(name: &str, end: Option<End>, after: i64) -> Bytes {
    let data = live_note(name, end, after);
    Bytes::from(format!("event: {name}\nid: {after}\ndata: {data}\n\n"))
}

/// Whether a connection's token is good; asked now and then. A store that does not answer takes
/// nobody's right away.
pub(super) async fn still_good(
    api: &Api,
    token: Option<&str>,
    looked: &mut tokio::time::Instant,
) -> bool {
    let Some(token) = token else { return true };
    if looked.elapsed() < STILL_GOOD {
        return true;
    }
    *looked = tokio::time::Instant::now();
    !matches!(api.tokens.verify(token).await, Ok(None))
}
