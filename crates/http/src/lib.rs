//! Small HTTP requests to services that Greenloop calls itself: after 429, 5xx and lost
//! connections they are sent again.
//!
//! Invariants: no redirect is followed here, so that what a header carries never reaches a host
//! that it was not made for; this machine is never spoken to through a proxy; what is read is
//! bounded.

mod last_check;
pub mod retry;

pub use last_check::checked;

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use url::{Host, Url};

use crate::retry::{BackoffBuilder as _, ExponentialBuilder, delay, longest_in_all, retry_after};

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// For one try, from the connection to the last byte.
const WHOLE: Duration = Duration::from_secs(60);
/// Bytes of a body that are read: what a registry may refuse a manifest beyond.
const LONGEST: usize = 4 << 20;

/// A request that can be sent several times.
#[derive(Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Outgoing {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A POST of a form, which [`form`] writes.
    pub fn posting(url: Url, form: String) -> Self {
        let mut request = Self::new(Method::POST, url);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, kind);
        request.body = form.into();
        request
    }
}

/// Names and values, as a form or a query.
pub fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Its answer, whatever the status.
pub struct Incoming {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Incoming {
    /// A header that is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No client, no connection, or a body that broke off.
    #[error("no connection")]
    Connection(#[source] reqwest::Error),
    /// The time for one try was up.
    #[error("no answer within {} s", WHOLE.as_secs())]
    Late,
    /// The body is longer than anything that is expected.
    #[error("the answer is larger than {} MiB", LONGEST >> 20)]
    TooLong,
}

/// Two clients, each made when it is first needed: one that goes by the system's proxies, one
/// for this machine and its link, which no proxy stands before.
#[derive(Debug, Default)]
pub struct HttpClients {
    proxied: OnceLock<reqwest::Client>,
    direct: OnceLock<reqwest::Client>,
}

impl HttpClients {
    /// The client for `url`.
    pub fn client(&self, url: &Url) -> Result<&reqwest::Client, reqwest::Error> {
        let near = is_near(url);
        let cell = if near { &self.direct } else { &self.proxied };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("greenloop/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            // What a digest is of must not be unpacked on the way, nor lose its length.
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none());
        if near {
            client = client.no_proxy();
        }
        let client = client.build()?;
        Ok(cell.get_or_init(|| client))
    }

    /// Sends until there is an answer other than 429 and 5xx, or `retry` is at its end; then the
    /// last answer is what there is. So is one that asks for more time than all retries may take.
    pub async fn send(
        &self,
        request: &Outgoing,
        retry: ExponentialBuilder,
    ) -> Result<Incoming, HttpError> {
        let mut delays = retry.build();
        loop {
            let answer = match tokio::time::timeout(WHOLE, self.once(request)).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(HttpError::Late),
            };
            let asked = match &answer {
                Ok(answer) if is_transient(answer.status) => {
                    retry_after(&answer.headers, jiff::Timestamp::now())
                }
                Err(HttpError::Connection(_) | HttpError::Late) => None,
                Ok(_) | Err(HttpError::TooLong) => return answer,
            };
            if let Some(asked) = asked.filter(|asked| *asked > longest_in_all(retry)) {
                let (host, seconds) = (request.url.host_str(), asked.as_secs());
                tracing::warn!(
                    host,
                    seconds,
                    "not waited for: the server asks for too long a wait"
                );
                return answer;
            }
            let Some(next) = delays.next() else { return answer };
            tokio::time::sleep(delay(next, asked)).await;
        }
    }

    async fn once(&self, request: &Outgoing) -> Result<Incoming, HttpError> {
        let lost = |error: reqwest::Error| HttpError::Connection(error.without_url());
        let client = self.client(&request.url).map_err(lost)?;
        let mut response = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(lost)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            if body.len() + piece.len() > LONGEST {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Incoming { status, headers, body })
    }
}

/// Whether the same request may well be answered otherwise in a moment.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether what a URL's server is sent cannot be read on the way.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// This machine, or the link-local addresses that instance metadata is served at.
fn is_near(url: &Url) -> bool {
    let link_local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_link_local(),
        Some(Host::Ipv6(_) | Host::Domain(_)) | None => false,
    };
    link_local || is_loopback(url)
}

/// A server's words: on one line, not too many, nothing that a terminal obeys.
pub fn words(text: &str) -> String {
    const LONGEST: usize = 300;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().map(plain).take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (url, loopback, private) in [
            ("http://127.0.0.1:5000/v2/", true, true),
            ("http://127.8.9.1/", true, true),
            ("http://[::1]:5000/", true, true),
            ("http://localhost/", true, true),
            ("http://a.localhost/", true, true),
            ("http://169.254.169.254/", false, false),
            ("http://localhost.example.org/", false, false),
            ("https://example.org/", false, true),
            ("ftp://127.0.0.1/", true, false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!((is_loopback(&url), is_private(&url)), (loopback, private), "{url}");
        }
    }

    /// The status of the last answer of a server that refuses its first request with this
    /// `Retry-After`.
    async fn last_status(asks: &str) -> u16 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let answering = async {
            for status in ["429 X", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _head = stream.read(&mut [0; 4096]).await.unwrap();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nretry-after: {asks}\r\ncontent-length: 0\r\n\
                     connection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let (clients, request) = (HttpClients::default(), Outgoing::new(Method::GET, url));
        let retry = retry::backoff(Duration::from_millis(1), Duration::from_millis(2));
        tokio::select! {
            answer = clients.send(&request, retry.with_max_times(2)) => {
                answer.unwrap().status.as_u16()
            }
            () = answering => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_server_that_asks_for_more_than_all_retries_is_not_waited_for() {
        for (asks, expect) in [("0", 200), ("121", 429), ("3600", 429)] {
            assert_eq!(last_status(asks).await, expect, "{asks}");
        }
    }

    #[test]
    fn a_servers_words_stay_on_one_line() {
        assert_eq!(words(" no\nway\u{1b}[2J "), "no way [2J");
        assert_eq!(words(&"x".repeat(400)).chars().count(), 301);
    }
}
