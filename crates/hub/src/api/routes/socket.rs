//! Events as they happen: WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::time::Instant;

use super::events::{EventQuery, live_note, still_good};
use crate::api::Api;
use crate::api::auth::{Reader, presented};
use crate::api::extract::QueryParams;
use crate::api::live::{End, Follower, Next};
use crate::api::metrics::LiveGuard;
use crate::api::problem::{Kind, Problem};

/// The subprotocol that clients name beside the one with their token.
const PROTOCOL: &str = "greenloop.v1";
/// Bytes of a message from a client, who has nothing to say.
const LONGEST: usize = 4 << 10;
/// Bytes that are gathered on the way in and out of one connection.
const BUFFER: usize = 4 << 10;
/// How long a message may take to be written.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Events as they happen, over WebSocket
///
/// Each message is an event, or a `LiveNote`. A browser names the subprotocols `greenloop.v1` and
/// `bearer.<token>`. The hub pings every 15 seconds at least.
#[utoipa::path(
    get, path = "/ws", tag = "live", operation_id = "follow_events_ws", params(EventQuery),
    responses((status = 101, description = "Events follow")), security(("token" = ["read"]))
)]
pub(super) async fn socket(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    QueryParams(which): QueryParams<EventQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|_not_one| {
        Problem::new(
            Kind::Malformed,
            "this path is for WebSocket; /api/v1/events has the same \
            events",
        )
    })?;
    let (after, graph) = which.parts()?;
    let follower = Follower::start(&api, after, graph).await?;
    let connection = Connection {
        token: presented(&headers)?.map(str::to_owned),
        looked: Instant::now(),
        _following: api.metrics.follower("ws"),
        api: Arc::clone(&api),
        follower,
    };
    let sockets = api.sockets.clone();
    Ok(upgrade
        .protocols([PROTOCOL])
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(64 * BUFFER)
        .on_upgrade(move |socket| sockets.track_future(connection.run(socket))))
}

struct Connection {
    api: Arc<Api>,
    follower: Follower,
    token: Option<String>,
    looked: Instant,
    _following: LiveGuard,
}

impl Connection {
    async fn run(mut self, mut socket: WebSocket) {
        let end = self.api.end.clone();
        let ended = loop {
            let next = tokio::select! {
                biased;
                () = end.cancelled() => Next::End(End::Shutdown),
                heard = socket.recv() => match heard {
                    // Pings are answered by the library; whatever else a client says is nothing
                    // to us, but that it may go.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
                next = self.follower.next() => next,
            };
            let message = match next {
                Next::Frame(frame) => Message::Text(frame.json.clone()),
                Next::Beat => {
                    let token = self.token.as_deref();
                    if !still_good(&self.api, token, &mut self.looked).await {
                        break End::Revoked;
                    }
                    Message::Ping(axum::body::Bytes::new())
                }
                Next::Gap(after) => Message::text(live_note("gap", None, after)),
                Next::End(end) => break end,
            };
            match tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_gone)) => return,
                Err(_elapsed) => {
                    self.api.metrics.dropped(End::Slow.name());
                    return;
                }
            }
        };
        self.bye(socket, ended).await;
    }

    async fn bye(&self, mut socket: WebSocket, end: End) {
        if end != End::Shutdown {
            self.api.metrics.dropped(end.name());
        }
        let code = match end {
            End::Slow => close_code::POLICY,
            End::Shutdown => close_code::RESTART,
            End::Revoked => close_code::POLICY,
            End::Unavailable => close_code::AGAIN,
        };
        let frame = CloseFrame { code, reason: end.name().into() };
        let words = live_note("bye", Some(end), self.follower.after());
        let goodbye = async {
            socket.send(Message::text(words)).await?;
            socket.send(Message::Close(Some(frame))).await?;
            // Until the client has closed its side, or has nothing more to say.
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        let _best_effort = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }
}
