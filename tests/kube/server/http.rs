//! Maps HTTP requests to verbs, and results to answers.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, FromRequestParts as _, Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::Server;
use super::api::{Deletion, Strictness, scale_of};
use super::call::Call;
use super::connection::Via;
use super::fault::Fault;
use super::managed::Writer;
use super::patch::Patch;
use super::status::Refusal;
use super::{discovery, event, port_forward, watch};

const JSON: &str = "application/json";

fn answer(code: u16, kind: &str, body: impl Into<Body>) -> Response {
    Response::builder().status(code).header("content-type", kind).body(body.into()).unwrap()
}

fn object(code: u16, body: &Value) -> Response {
    answer(code, JSON, body.to_string())
}

fn refused(refusal: &Refusal) -> Response {
    object(refusal.code, &refusal.body)
}

/// The entry point of every request.
pub(crate) async fn handle(
    State(server): State<Arc<Server>>,
    ConnectInfo(via): ConnectInfo<Via>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let Some(call) = Call::parse(request.method().as_str(), &path, request.uri().query()) else {
        return elsewhere(&request, &path);
    };
    let place = server.journal().note(&call);
    let fault = server.faults().meet(&call);
    match &fault {
        Some(Fault::Status { code, retry_after }) => {
            server.journal().answered(place, *code);
            return troubled(*code, *retry_after);
        }
        Some(Fault::Slow(time)) => tokio::time::sleep(*time).await,
        Some(Fault::LoseAnswer) | None => {}
    }
    let response = match server.permitted(&call) {
        Ok(()) => serve(&server, &call, request).await,
        Err(refusal) => refused(&refusal),
    };
    server.journal().answered(place, response.status().as_u16());
    if matches!(fault, Some(Fault::LoseAnswer)) {
        via.0.cancel();
        std::future::pending::<()>().await;
    }
    response
}

fn header(request: &Request, name: &str) -> String {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn troubled(code: u16, retry_after: Option<u32>) -> Response {
    let (reason, message) = match code {
        429 => ("TooManyRequests", "Too many requests, please try again later."),
        503 => ("ServiceUnavailable", "apiserver is shutting down"),
        504 => (
            "Timeout",
            "Timeout: request did not complete within requested timeout - context deadline \
             exceeded",
        ),
        _ => ("InternalError", "Internal error occurred: etcdserver: leader changed"),
    };
    let mut refusal = Refusal::new(code, reason, message);
    if let Some(seconds) = retry_after {
        refusal.body["details"] = json!({"retryAfterSeconds": seconds});
    }
    let mut response = refused(&refusal);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// Paths that are not resources: discovery, health, OpenAPI.
fn elsewhere(request: &Request, path: &str) -> Response {
    let accept = header(request, "accept");
    let aggregated = accept.contains("APIGroupDiscoveryList");
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let body = match segments.as_slice() {
        ["version"] => Some(discovery::version()),
        ["livez" | "readyz" | "healthz"] => return answer(200, "text/plain", "ok"),
        [root @ ("api" | "apis")] if aggregated => {
            let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            return answer(200, kind, discovery::aggregated(*root == "api").to_string());
        }
        ["api"] => Some(discovery::core_versions()),
        ["apis"] => Some(discovery::group_list()),
        ["api", version] => discovery::resource_list("", version),
        ["apis", group] => discovery::one_group(group),
        ["apis", group, version] => discovery::resource_list(group, version),
        ["openapi", "v3"] => Some(discovery::openapi_root()),
        ["openapi", "v3", rest @ ..] => discovery::openapi_document(&rest.join("/")),
        _ => None,
    };
    match body {
        Some(body) => object(200, &body),
        None => refused(&Refusal::no_path()),
    }
}

fn strictness(call: &Call) -> Strictness {
    match call.query("fieldValidation") {
        Some("Ignore") => Strictness::Ignore,
        Some("Strict") => Strictness::Strict,
        _ => Strictness::Warn,
    }
}

/// The body as YAML or JSON.
fn parse(bytes: &Bytes) -> Result<Value, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|why| Refusal::bad_request(format!("error decoding the body: {why}")))?;
    serde_json::from_str(text).or_else(|_| {
        serde_yaml::from_str(text)
            .map_err(|why| Refusal::bad_request(format!("error decoding YAML: {why}")))
    })
}

async fn serve(server: &Arc<Server>, call: &Call, request: Request) -> Response {
    let accept = header(&request, "accept");
    match (call.verb, call.subresource.as_str()) {
        ("get" | "create", "portforward") => return forward(server, call, request).await,
        ("get", "log") => return logs(server, call),
        ("watch", _) => {
            return match watch::watch(server, call) {
                Ok(body) => answer(200, JSON, body),
                Err(refusal) => refused(&refusal),
            };
        }
        _ => {}
    }
    let kind = header(&request, "content-type");
    if kind.contains("protobuf") {
        return refused(&unsupported(&kind));
    }
    let agent = header(&request, "user-agent");
    let Ok(bytes) = axum::body::to_bytes(request.into_body(), 4 << 20).await else {
        return refused(&Refusal::bad_request("unexpected end of the body"));
    };
    let mut api = server.api();
    let outcome = verb(&mut api, call, &kind, &agent, &bytes, server);
    let warnings = std::mem::take(&mut api.warnings);
    drop(api);
    let mut response = match outcome {
        Ok((code, body)) => object(code, &shaped(&accept, body)),
        Err(refusal) => refused(&refusal),
    };
    for warning in warnings {
        let text = format!("299 - {warning:?}");
        if let Ok(value) = text.parse() {
            response.headers_mut().append("warning", value);
        }
    }
    response
}

/// A body in an unsupported format; a real server also reads protobuf.
fn unsupported(kind: &str) -> Refusal {
    Refusal::new(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json, application/yaml, application/json-patch+json, \
             application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml; not {kind}"
        ),
    )
}

/// Metadata only, when a client asks for that.
fn shaped(accept: &str, body: Value) -> Value {
    let partial = |object: &Value| {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        })
    };
    let first = accept.split(',').next().unwrap_or_default();
    if body["kind"] == "Status" {
        return body;
    }
    if first.contains("as=PartialObjectMetadataList") {
        let items: Vec<Value> =
            body["items"].as_array().into_iter().flatten().map(partial).collect();
        return json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": body["metadata"], "items": items,
        });
    }
    if first.contains("as=PartialObjectMetadata") { partial(&body) } else { body }
}

fn writer(call: &Call, agent: &str) -> Writer {
    let manager = match call.query("fieldManager") {
        Some(manager) => manager.to_owned(),
        None => agent.split('/').next().unwrap_or_default().to_owned(),
    };
    Writer {
        manager,
        subresource: call.subresource.clone(),
        dry_run: call.dry_run(),
        force: call.query("force") == Some("true"),
    }
}

fn verb(
    api: &mut super::api::Api,
    call: &Call,
    kind: &str,
    agent: &str,
    bytes: &Bytes,
    server: &Server,
) -> Result<(u16, Value), Refusal> {
    let resource = call.resource;
    let namespace = call.namespace.clone().unwrap_or_default();
    let name = call.name.as_str();
    let known =
        call.subresource.is_empty() || resource.subresources.contains(&call.subresource.as_str());
    if !known {
        return Err(Refusal::no_path());
    }
    if resource.kind == "SelfSubjectAccessReview" {
        return Ok((201, server.review(&parse(bytes)?)));
    }
    let mut writer = writer(call, agent);
    let out = |object: Value| event::served(resource, &object);
    match call.verb {
        "list" => Ok((200, watch::list(&api.store, call)?)),
        "get" => {
            let found = api
                .store
                .get(resource, &namespace, name)
                .ok_or_else(|| Refusal::not_found(resource, name))?;
            if call.subresource == "scale" {
                return Ok((200, scale_of(found)));
            }
            Ok((200, out(found.clone())))
        }
        "create" => {
            let sent = event::stored(resource, &parse(bytes)?);
            let stored =
                api.create(resource.stored(), &namespace, &sent, &writer, strictness(call))?;
            Ok((201, out(stored)))
        }
        "update" => {
            let sent = event::stored(resource, &parse(bytes)?);
            let stored =
                api.update(resource.stored(), &namespace, name, &sent, &writer, strictness(call))?;
            Ok((200, out(stored)))
        }
        "patch" => {
            let body = parse(bytes)?;
            let patch = match kind.split(';').next().unwrap_or_default() {
                "application/apply-patch+yaml" => {
                    writer.manager = call.query("fieldManager").unwrap_or_default().to_owned();
                    let (stored, created) =
                        api.apply(resource, &namespace, name, &body, &writer, strictness(call))?;
                    return Ok((if created { 201 } else { 200 }, stored));
                }
                "application/json-patch+json" => Patch::Json(body),
                "application/merge-patch+json" => Patch::Merge(body),
                "application/strategic-merge-patch+json" => Patch::Strategic(body),
                other => return Err(unsupported(other)),
            };
            let stored =
                api.patch(resource.stored(), &namespace, name, &patch, &writer, strictness(call))?;
            Ok((200, out(stored)))
        }
        "delete" => Ok((200, api.delete(resource, &namespace, name, &deletion(call, bytes))?)),
        "deletecollection" => {
            let listed = watch::list(&api.store, call)?;
            for item in listed["items"].as_array().into_iter().flatten() {
                let (namespace, name) = super::store::identity(item);
                api.delete(resource, &namespace, &name, &deletion(call, bytes))?;
            }
            Ok((200, listed))
        }
        _ => Err(Refusal::new(405, "MethodNotAllowed", "the server does not allow this method")),
    }
}

fn deletion(call: &Call, bytes: &Bytes) -> Deletion {
    let body = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Deletion {
        grace: body["gracePeriodSeconds"]
            .as_i64()
            .or_else(|| call.query("gracePeriodSeconds")?.parse().ok()),
        propagation: text(&body["propagationPolicy"])
            .or_else(|| call.query("propagationPolicy").map(str::to_owned)),
        uid: text(&body["preconditions"]["uid"]),
        version: text(&body["preconditions"]["resourceVersion"]),
        dry_run: call.dry_run() || body["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
    }
}

fn pod(server: &Server, call: &Call) -> Result<Value, Refusal> {
    let namespace = call.namespace.clone().unwrap_or_default();
    server
        .api()
        .store
        .get(call.resource, &namespace, &call.name)
        .cloned()
        .ok_or_else(|| Refusal::not_found(call.resource, &call.name))
}

fn logs(server: &Arc<Server>, call: &Call) -> Response {
    let text = pod(server, call).and_then(|pod| server.logs().read(&pod, call));
    match text {
        Ok(text) => answer(200, "text/plain", text),
        Err(refusal) => refused(&refusal),
    }
}

async fn forward(server: &Arc<Server>, call: &Call, request: Request) -> Response {
    let pod = match pod(server, call) {
        Ok(pod) => pod,
        Err(refusal) => return refused(&refusal),
    };
    let ports: Vec<u16> = call
        .query("ports")
        .unwrap_or_default()
        .split(',')
        .filter_map(|port| port.parse().ok())
        .collect();
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, server).await else {
        return refused(&Refusal::bad_request(
            "unable to upgrade: you must specify at least 1 port",
        ));
    };
    if pod["status"]["phase"] != "Running" {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        return refused(&Refusal::bad_request(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let backends = server.backends(&pod);
    upgrade
        .protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"])
        .on_upgrade(move |socket| port_forward::forward(socket, ports, backends))
}
