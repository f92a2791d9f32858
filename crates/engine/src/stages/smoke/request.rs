//! One request of a smoke test, and the complaint when what comes back is not what was wanted.

use std::error::Error;
use std::time::Instant;

use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;

use super::expect::{check_body, check_headers, check_status};
use greenloop_config::plan::{FlowStep, StepBody};
use greenloop_evidence::Redactor;
use greenloop_model::{FailureClass, HttpExchange, Remedy, error_chain};
use greenloop_ports::TargetError;

/// Bytes of a body that are read to be compared.
const MAX_BODY: usize = 8 << 20;
/// Bytes of a body that are kept as evidence.
const SHOWN_BODY: usize = 4 << 10;
/// The header by which a service's log tells one request from another.
const REQUEST_ID: &str = "x-request-id";
/// Headers that are kept as evidence.
const SHOWN_HEADERS: usize = 24;

/// Makes the requests of one flow: cookies are kept between its steps.
pub(super) struct Caller<'a> {
    base: String,
    client: reqwest::Client,
    cookies: Cookies,
    redactor: &'a Redactor,
}

/// What came back and was as wanted.
pub(super) struct Answer {
    pub(super) status: u16,
}

/// What came back and was not.
pub(super) struct Complaint {
    pub(super) exchange: Box<HttpExchange>,
    pub(super) class: FailureClass,
    pub(super) flaky_suspect: bool,
    /// `None` when nothing was sent.
    pub(super) request_id: Option<String>,
    /// Asking again changes nothing, unless what is asked has only just been made.
    pub(super) settled: bool,
    /// What helps, where that is known.
    pub(super) remedy: Option<Box<Remedy>>,
}

impl Complaint {
    /// With what the target knows of why nothing answered.
    pub(super) fn explain(&mut self, error: &TargetError, redactor: &Redactor) {
        self.exchange.complaint = redactor.redact(&error_chain(error)).into_owned();
        self.class = error.class;
        self.flaky_suspect = false;
        self.settled = true;
    }
}

/// A host name that could not be turned into an address.
#[derive(Debug, thiserror::Error)]
#[error("the host {host} is unknown")]
struct UnknownHost {
    host: String,
    #[source]
    source: std::io::Error,
}

/// The machine's own resolver; what it fails at keeps its kind.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            match found.map(Iterator::collect::<Vec<_>>) {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(source) => Err(Box::new(UnknownHost { host, source }) as _),
            }
        })
    }
}

/// `name=value` of each cookie that a response set; a login flow needs no more.
#[derive(Default)]
struct Cookies(std::sync::Mutex<Vec<(String, String)>>);

impl Cookies {
    fn remember(&self, headers: &HeaderMap) {
        let Ok(mut jar) = self.0.lock() else { return };
        for value in headers.get_all("set-cookie") {
            let Ok(text) = value.to_str() else { continue };
            let pair = text.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                jar.retain(|(known, _)| known != name.trim());
                jar.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    fn header(&self) -> Option<String> {
        let jar = self.0.lock().ok()?;
        let pairs: Vec<String> =
            jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl<'a> Caller<'a> {
    pub(super) fn new(base: &str, redactor: &'a Redactor) -> Result<Self, Complaint> {
        let mut builder = reqwest::Client::builder();
        if is_loopback(base) {
            // A proxy cannot reach what serves on this machine.
            builder = builder.no_proxy();
        }
        if base.starts_with("http://") {
            // Reading the machine's certificates takes longer than the requests.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            // A redirect is an answer to be judged, not a way to another server.
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Resolver)
            .user_agent(concat!("greenloop/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Complaint {
                exchange: Box::new(HttpExchange {
                    request: base.to_owned(),
                    status: None,
                    response: String::new(),
                    complaint: format!("could not create an HTTP client: {error}"),
                    elapsed: Default::default(),
                }),
                class: FailureClass::Infrastructure,
                flaky_suspect: false,
                request_id: None,
                settled: true,
                remedy: None,
            })?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { base, client, cookies: Cookies::default(), redactor })
    }

    /// Makes the request and compares what comes back with what the step expects.
    pub(super) async fn call(&self, step: &FlowStep) -> Result<Answer, Complaint> {
        let began = Instant::now();
        let url = format!("{}{}", self.base, step.path);
        let given = step.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(REQUEST_ID));
        let id = given.map_or_else(|| uuid::Uuid::new_v4().to_string(), |(_, id)| id.clone());
        let complain = |status, response: String, complaint: String, cause: Cause| {
            let shown = |text: &str| self.redactor.redact(text).into_owned();
            Complaint {
                exchange: Box::new(HttpExchange {
                    request: shown(&format!("{} {url}", step.method)),
                    status,
                    response: shown(&response),
                    complaint: shown(&complaint),
                    elapsed: began.elapsed(),
                }),
                class: cause.class,
                flaky_suspect: cause.flaky,
                settled: cause.settled,
                request_id: Some(id.clone()),
                remedy: None,
            }
        };
        let method = match reqwest::Method::from_bytes(step.method.as_bytes()) {
            Ok(method) => method,
            Err(_) => {
                let text = format!("{:?} is not an HTTP method", step.method);
                return Err(complain(None, String::new(), text, Cause::SETTINGS));
            }
        };
        let mut request = self.client.request(method, &url).timeout(step.timeout);
        for (name, value) in &step.headers {
            request = request.header(name, value);
        }
        if given.is_none() {
            request = request.header(REQUEST_ID, &id);
        }
        if let Some(cookies) = self.cookies.header() {
            request = request.header("cookie", cookies);
        }
        match &step.body {
            Some(StepBody::Text(text)) => request = request.body(text.clone()),
            Some(StepBody::Json(value)) => request = request.json(value),
            None => {}
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let text = describe(&error, step);
                return Err(complain(None, String::new(), text, cause_of(&error)));
            }
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.cookies.remember(&headers);
        let (body, broken) = read_body(response).await;
        let shown = render(status, &headers, &body, self.redactor);
        if let Some(error) = broken {
            let text = format!(
                "the response ended after {} bytes of its body: {}",
                body.len(),
                describe(&error, step)
            );
            return Err(complain(Some(status), shown, text, cause_of(&error)));
        }
        let verdict = check_status(status, &step.expect)
            .and_then(|()| check_headers(&headers, &step.expect))
            .and_then(|()| check_body(&body, &step.expect));
        match verdict {
            Ok(()) => Ok(Answer { status }),
            Err(complaint) => {
                // A gateway's answer is not the service's own.
                let flaky = matches!(status, 502..=504);
                let cause = Cause { class: FailureClass::Code, flaky, settled: false };
                Err(complain(Some(status), shown, complaint, cause))
            }
        }
    }
}

fn is_loopback(base: &str) -> bool {
    let Ok(url) = url::Url::parse(base) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// At most [`MAX_BODY`] bytes, and the error that cut it short.
async fn read_body(response: reqwest::Response) -> (Vec<u8>, Option<reqwest::Error>) {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => {
                let room = MAX_BODY - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == MAX_BODY {
                    break;
                }
            }
            Err(error) => return (body, Some(error)),
        }
    }
    (body, None)
}

fn render(status: u16, headers: &HeaderMap, body: &[u8], redactor: &Redactor) -> String {
    let mut text = format!("HTTP {status}\n");
    for (name, value) in headers.iter().take(SHOWN_HEADERS) {
        // A session is a secret whatever it looks like.
        let value = if name == "set-cookie" {
            "[redacted]".into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push('\n');
    text.push_str(&redactor.head(body, SHOWN_BODY));
    if body.len() > SHOWN_BODY {
        text.push_str(&format!("\n… {} more bytes", body.len() - SHOWN_BODY));
    }
    text
}

/// The error without the address, which the request line has already, and with its causes.
fn describe(error: &reqwest::Error, step: &FlowStep) -> String {
    if error.is_timeout() {
        return format!("no answer within {}s", step.timeout.as_secs_f64());
    }
    let remedy = match inside(error) {
        Some(Inside::Host(unknown)) => {
            return format!(
                "{unknown} on this machine ({}): check `url` of the environment, and DNS",
                unknown.source
            );
        }
        Some(Inside::Tls(rustls::Error::InvalidMessage(_))) => {
            ": the server does not use TLS on this port; check scheme and port of `url`"
        }
        Some(Inside::Tls(rustls::Error::InvalidCertificate(_))) => {
            ": this machine does not trust the certificate for that name"
        }
        Some(Inside::Tls(_)) => ": TLS negotiation failed",
        Some(Inside::Io(_)) | None => "",
    };
    let mut text =
        if error.is_connect() { "no connection" } else { "the request failed" }.to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text.push_str(remedy);
    text
}

/// The cause of a request that failed.
enum Inside<'a> {
    Host(&'a UnknownHost),
    Tls(&'a rustls::Error),
    Io(&'a std::io::Error),
}

fn inside(error: &reqwest::Error) -> Option<Inside<'_>> {
    let mut found = None;
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(unknown) = error.downcast_ref() {
            return Some(Inside::Host(unknown));
        }
        if let Some(tls) = error.downcast_ref() {
            return Some(Inside::Tls(tls));
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            if let Some(tls) = wrapped(io) {
                return Some(Inside::Tls(tls));
            }
            found.get_or_insert(io);
        }
        cause = error.source();
    }
    found.map(Inside::Io)
}

/// What is wrapped in an error of this kind is not its source.
fn wrapped(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    inner.downcast_ref().or_else(|| wrapped(inner.downcast_ref()?))
}

/// The class of a failed exchange, and whether a retry may help.
struct Cause {
    class: FailureClass,
    flaky: bool,
    settled: bool,
}

impl Cause {
    /// The address, or what stands behind it, is not as it has to be.
    const SETTINGS: Self = Self { class: FailureClass::Config, flaky: false, settled: true };
}

fn cause_of(error: &reqwest::Error) -> Cause {
    let open = |class, flaky| Cause { class, flaky, settled: false };
    if error.is_timeout() {
        return open(FailureClass::Timeout, true);
    }
    if error.is_builder() {
        return Cause::SETTINGS;
    }
    match inside(error) {
        Some(Inside::Host(_) | Inside::Tls(_)) => Cause::SETTINGS,
        // The service began to answer and broke off.
        _ if !error.is_connect() => open(FailureClass::Code, false),
        // Nobody listens: the service is not up.
        Some(Inside::Io(io)) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            open(FailureClass::Code, true)
        }
        Some(Inside::Io(_)) | None => open(FailureClass::Infrastructure, true),
    }
}
