//! Lists and watches.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use base64::Engine as _;
use futures::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Server;
use super::call::Call;
use super::event;
use super::resource::Resource;
use super::selector::Selector;
use super::status::Refusal;
use super::store::{Change, ChangeKind, Store};

/// How often an idle watch with bookmarks gets the newest version: a minute on a real server,
/// shorter here so that tests cover it.
const BOOKMARK: Duration = Duration::from_millis(700);

fn selector(call: &Call) -> Result<Selector, Refusal> {
    let name = (!call.name.is_empty()).then(|| format!("metadata.name={}", call.name));
    let fields = name.as_deref().or_else(|| call.query("fieldSelector"));
    Selector::parse(call.resource, call.query("labelSelector"), fields)
}

/// A list, in pages if `limit` is given.
pub(crate) fn list(store: &Store, call: &Call) -> Result<Value, Refusal> {
    let selector = selector(call)?;
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0_usize);
    let coder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (revision, from) = match call.query("continue").filter(|token| !token.is_empty()) {
        None => (store.revision(), 0),
        Some(token) => {
            let bad = || Refusal::bad_request("continue key is not valid");
            let token = coder.decode(token).map_err(|_| bad())?;
            let token: Value = serde_json::from_slice(&token).map_err(|_| bad())?;
            let revision = token["rv"].as_u64().ok_or_else(bad)?;
            if revision < store.compacted {
                return Err(Refusal::expired(
                    "The provided continue parameter is too old to display a consistent list \
                     result. You can start a new list without the continue parameter.",
                ));
            }
            (revision, usize::try_from(token["start"].as_u64().unwrap_or(0)).unwrap())
        }
    };
    let all: Vec<&Value> = store
        .list(call.resource, call.namespace.as_deref())
        .filter(|object| selector.matches(object))
        .collect();
    let end = if limit == 0 { all.len() } else { (from + limit).min(all.len()) };
    let custom = call.resource.group == "greenloop.test";
    let items: Vec<Value> = all[from.min(all.len())..end]
        .iter()
        .map(|object| {
            let mut object = event::served(call.resource, object);
            if !custom {
                // Items of a built-in kind do not repeat the kind.
                let object = object.as_object_mut().unwrap();
                object.shift_remove("kind");
                object.shift_remove("apiVersion");
            }
            object
        })
        .collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if end < all.len() {
        let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": end}).to_string();
        metadata["continue"] = json!(coder.encode(token));
        metadata["remainingItemCount"] = json!(all.len() - end);
    }
    Ok(json!({
        "kind": format!("{}List", call.resource.kind),
        "apiVersion": call.resource.api_version(), "metadata": metadata, "items": items,
    }))
}

struct Watch {
    server: Arc<Server>,
    resource: &'static Resource,
    namespace: Option<String>,
    selector: Selector,
    /// The newest version that this watch has sent or skipped.
    last: u64,
    waiting: VecDeque<Bytes>,
    changed: tokio::sync::watch::Receiver<u64>,
    ends: Instant,
    bookmark: Option<Instant>,
    over: bool,
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}

fn bookmark(resource: &Resource, revision: u64, initial_end: bool) -> Bytes {
    let mut object = json!({
        "kind": resource.kind, "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    if initial_end {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    line("BOOKMARK", &object)
}

impl Watch {
    fn tell(&self, change: &Change) -> Option<Bytes> {
        let here = change.resource.stored() == self.resource.stored()
            && self.namespace.as_deref().is_none_or(|namespace| {
                change.object["metadata"]["namespace"].as_str() == Some(namespace)
            });
        if !here {
            return None;
        }
        let before = change.before.as_ref().is_some_and(|before| self.selector.matches(before));
        let now = self.selector.matches(&change.object);
        let kind = match (change.kind, before, now) {
            (ChangeKind::Deleted, true, _) | (_, true, false) => "DELETED",
            (ChangeKind::Deleted, false, _) | (_, false, false) => return None,
            (_, false, true) => "ADDED",
            (_, true, true) => "MODIFIED",
        };
        Some(line(kind, &event::served(self.resource, &change.object)))
    }

    /// Reads the changes since then.
    fn catch_up(&mut self) {
        let server = Arc::clone(&self.server);
        let api = server.api();
        let store = &api.store;
        if self.last < store.compacted {
            if server.tells_expiry_in_stream() {
                let gone =
                    Refusal::expired("The resourceVersion for the provided watch is too old.");
                self.waiting.push_back(line("ERROR", &gone.body));
            }
            self.over = true;
            return;
        }
        let from = store.history.partition_point(|change| change.revision <= self.last);
        for change in &store.history[from..] {
            if let Some(told) = self.tell(change) {
                self.waiting.push_back(told);
            }
        }
        self.last = store.revision();
    }

    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Some((Ok(bytes), self));
            }
            if self.over {
                return None;
            }
            self.changed.borrow_and_update();
            self.catch_up();
            if !self.waiting.is_empty() || self.over {
                continue;
            }
            let wake = self.bookmark.map_or(self.ends, |at| at.min(self.ends));
            tokio::select! {
                changed = self.changed.changed() => self.over |= changed.is_err(),
                () = tokio::time::sleep_until(wake) => {
                    if self.bookmark.is_some() {
                        self.waiting.push_back(bookmark(self.resource, self.last, false));
                        self.bookmark = Some(Instant::now() + BOOKMARK);
                    }
                    self.over = Instant::now() >= self.ends;
                }
            }
        }
    }
}

/// A watch: the stream of its events.
///
/// # Errors
/// 410 if its version has expired.
pub(crate) fn watch(server: &Arc<Server>, call: &Call) -> Result<Body, Refusal> {
    let selector = selector(call)?;
    let timeout = call.query("timeoutSeconds").and_then(|time| time.parse().ok()).unwrap_or(1800);
    let on = |name: &str| call.query(name).is_some_and(|value| value == "true" || value == "1");
    let api = server.api();
    let store = &api.store;
    let wanted = call.query("resourceVersion").unwrap_or_default();
    let initial = on("sendInitialEvents");
    if initial && call.query("resourceVersionMatch") != Some("NotOlderThan") {
        return Err(Refusal::new(
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
             sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    let mut waiting = VecDeque::new();
    let last = if initial || matches!(wanted, "" | "0") {
        for object in store.list(call.resource, call.namespace.as_deref()) {
            if selector.matches(object) {
                waiting.push_back(line("ADDED", &event::served(call.resource, object)));
            }
        }
        if initial {
            waiting.push_back(bookmark(call.resource, store.revision(), true));
        }
        store.revision()
    } else {
        let wanted: u64 = wanted
            .parse()
            .map_err(|_| Refusal::bad_request(format!("invalid resource version {wanted:?}")))?;
        // A real server does either; with its watch cache, in the stream.
        if wanted < store.compacted && !server.tells_expiry_in_stream() {
            return Err(Refusal::expired(format!(
                "too old resource version: {wanted} ({})",
                store.compacted
            )));
        }
        wanted
    };
    let now = Instant::now();
    let watch = Watch {
        server: Arc::clone(server),
        resource: call.resource,
        namespace: call.namespace.clone(),
        selector,
        last,
        waiting,
        changed: store.subscribe(),
        ends: now + Duration::from_secs(timeout),
        bookmark: on("allowWatchBookmarks").then(|| now + BOOKMARK),
        over: false,
    };
    Ok(Body::from_stream(stream::unfold(watch, Watch::next)))
}
