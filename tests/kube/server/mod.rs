//! A simulated Kubernetes API server over plain HTTP: resources, verbs, errors, watches and
//! subresources like those of a real one. `control` simulates the cluster behind it.

pub(crate) mod admission;
pub(crate) mod api;
pub(crate) mod call;
mod connection;
mod defaults;
mod discovery;
mod event;
pub(crate) mod fault;
mod fields;
mod http;
pub(crate) mod journal;
pub(crate) mod logs;
pub(crate) mod managed;
mod patch;
pub(crate) mod port_forward;
pub(crate) mod resource;
pub(crate) mod selector;
pub(crate) mod status;
pub(crate) mod store;
mod typed;
mod validate;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};

use crate::control::Images;
use crate::program::PORT;
use api::Api;
use call::Call;
use connection::{Door, Line, Via};
use fault::Faults;
use journal::Journal;
use logs::Logs;
use port_forward::Backends;
use status::Refusal;

/// A denied permission of the client's account: a verb on `deployments` or `pods/log`.
pub(crate) type Forbidden = (&'static str, &'static str);

/// The real address of each page.
pub(crate) type Pages = BTreeMap<&'static str, SocketAddr>;

/// The running server; the interface for scenarios.
pub(crate) struct Server {
    api: Mutex<Api>,
    journal: Mutex<Journal>,
    faults: Mutex<Faults>,
    logs: Mutex<Logs>,
    forbidden: Mutex<BTreeSet<Forbidden>>,
    expiry_in_stream: AtomicBool,
    line: Line,
    address: SocketAddr,
    /// The node's images.
    images: Images,
    /// The real addresses of container ports, by page.
    pages: Pages,
}

impl Server {
    /// Starts a server on a free port of this machine, with `pages` behind the pods' ports.
    pub(crate) async fn start(pages: Pages) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Line::default();
        let server = Arc::new(Self {
            api: Mutex::new(Api::new()),
            journal: Mutex::default(),
            faults: Mutex::default(),
            logs: Mutex::default(),
            forbidden: Mutex::default(),
            expiry_in_stream: AtomicBool::new(false),
            line: line.clone(),
            address,
            images: Images::default(),
            pages,
        });
        let router = Router::new().fallback(http::handle).with_state(Arc::clone(&server));
        let door = Door { listener, line };
        tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<Via>();
            axum::serve(door, service).await
        });
        server
    }

    pub(crate) fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap()
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap()
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap()
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap()
    }

    pub(crate) fn images(&self) -> &Images {
        &self.images
    }

    /// Breaks every connection, and refuses new ones for `time`.
    pub(crate) fn cut(&self, time: Duration) {
        self.line.cut(time);
    }

    /// Expires every current watch: by an `ERROR` event in the stream, or by the stream's end and a
    /// 410 for the next request.
    pub(crate) fn expire_watches(&self, in_stream: bool) {
        self.expiry_in_stream.store(in_stream, Ordering::Relaxed);
        self.api().store.compact();
    }

    pub(crate) fn tells_expiry_in_stream(&self) -> bool {
        self.expiry_in_stream.load(Ordering::Relaxed)
    }

    /// Removes a permission of the client's account.
    pub(crate) fn forbid(&self, verb: &'static str, what: &'static str) {
        self.forbidden.lock().unwrap().insert((verb, what));
    }

    fn may(&self, verb: &str, plural: &str, subresource: &str) -> bool {
        let what = if subresource.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}/{subresource}")
        };
        !self.forbidden.lock().unwrap().iter().any(|(no, about)| *no == verb && *about == what)
    }

    /// The RBAC decision for a request.
    fn permitted(&self, call: &Call) -> Result<(), Refusal> {
        let (plural, subresource) = (call.resource.plural, call.subresource.as_str());
        // A stream into a pod is opened by a GET, and needs the permission `create` since v1.35.
        let also = if subresource == "portforward" { "create" } else { call.verb };
        let refused =
            [call.verb, also].into_iter().find(|verb| !self.may(verb, plural, subresource));
        let Some(verb) = refused else { return Ok(()) };
        let what = if call.subresource.is_empty() {
            call.resource.plural.to_owned()
        } else {
            format!("{}/{}", call.resource.plural, call.subresource)
        };
        let place = match &call.namespace {
            Some(namespace) => format!(" in the namespace {namespace:?}"),
            None => " at the cluster scope".to_owned(),
        };
        let why = format!(
            "User \"system:serviceaccount:ci:greenloop\" cannot {} resource {what:?} in API group \
             {:?}{place}",
            verb, call.resource.group
        );
        Err(Refusal::forbidden(call.resource, &call.name, &why))
    }

    /// The answer to a SelfSubjectAccessReview.
    fn review(&self, review: &Value) -> Value {
        let about = &review["spec"]["resourceAttributes"];
        let text = |name: &str| about[name].as_str().unwrap_or_default();
        let allowed = self.may(text("verb"), text("resource"), text("subresource"));
        let mut answer = review.clone();
        answer["status"] = if allowed {
            json!({"allowed": true, "reason": "RBAC: allowed by RoleBinding \"greenloop/ci\""})
        } else {
            json!({"allowed": false})
        };
        answer
    }

    /// The real addresses of a pod's ports: a port is open while its program serves.
    fn backends(&self, pod: &Value) -> Backends {
        let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|container| {
                statuses.iter().any(|status| {
                    status["name"] == container["name"] && status["state"]["running"].is_object()
                })
            })
            .filter(|container| {
                self.images.listens(uid, container["name"].as_str().unwrap_or_default())
            })
            .filter_map(|container| self.images.program(container).page())
            .map(|page| (PORT, self.pages[page]))
            .collect()
    }

    /// A kubeconfig for it; the token is not checked.
    pub(crate) fn kubeconfig(&self, namespace: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: wire\nclusters:\n- name: wire\n  \
             cluster:\n    server: http://{}\nusers:\n- name: ci\n  user:\n    token: \
             not-checked\ncontexts:\n- name: wire\n  context:\n    cluster: wire\n    user: ci\n    \
             namespace: {namespace}\n",
            self.address
        )
    }
}
