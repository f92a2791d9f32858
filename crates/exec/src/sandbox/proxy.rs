//! The proxy through which a command reaches the hosts of a list, and no others.
//!
//! It runs in this process, outside the sandbox. The launcher listens inside, on the loopback
//! interface of the command's own network namespace at level A, and hands the listening socket
//! over: connections to it are accepted here, whatever namespace they come from. The command is
//! told by the usual variables.
//!
//! # Guarantees
//!
//! - Only hosts and ports of the list are connected to, by name as the command gives it; an address
//!   only where the list has it. What was refused is told to the command, and kept.
//! - Requests are bounded, and everything ends with the command.
//!
//! # Not resilient against
//!
//! - What a host of the list passes on to others: a mirror, a content delivery network.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use greenloop_model::HostPattern;

/// The most bytes of a request's first lines.
const LARGEST_HEAD: usize = 64 << 10;
/// How long these may take, and a connection to the host.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at the same time; the next one waits.
const MOST: usize = 256;
/// Refused hosts that are kept.
const MOST_REFUSED: usize = 20;

/// A proxy that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    serving: JoinHandle<()>,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

impl Proxy {
    /// Serves what arrives at a listening socket.
    pub(crate) fn serve(socket: OwnedFd, hosts: Vec<HostPattern>) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let refused = Arc::new(Mutex::new(BTreeSet::new()));
        let rules = Arc::new(Rules {
            hosts,
            upstream: Upstream::of_environment(),
            refused: Arc::clone(&refused),
        });
        Ok(Self { serving: tokio::spawn(accept(listener, rules)), refused })
    }

    /// `host:port` of what was asked for and is not on the list, sorted; bounded.
    pub(crate) fn refused(&self) -> Vec<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Rules {
    hosts: Vec<HostPattern>,
    upstream: Option<Upstream>,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

async fn accept(listener: TcpListener, rules: Arc<Rules>) {
    // Aborted with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.len() >= MOST {
            let _ended = connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let rules = Arc::clone(&rules);
                connections.spawn(async move {
                    let _gone = serve(client, &rules).await;
                });
            }
            // Descriptors are short, or the connection is gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One connection: a tunnel, or one plain request.
async fn serve(mut client: TcpStream, rules: &Rules) -> io::Result<()> {
    let (head, rest) = tokio::time::timeout(PATIENCE, read_head(&mut client)).await??;
    let Some(request) = Request::read(&head) else {
        return answer(&mut client, "400 Bad Request", "this is a proxy for HTTP and HTTPS").await;
    };
    let (host, port) = (request.host.as_str(), request.port);
    if !rules.hosts.iter().any(|pattern| pattern.matches(host, port)) {
        let wanted = format!("{host}:{port}");
        let why = format!("the sandbox refuses {wanted}: `network` does not list it");
        rules.note_refused(wanted);
        return answer(&mut client, "403 Forbidden", &why).await;
    }
    let connected = tokio::time::timeout(PATIENCE, rules.connect(&request)).await;
    let mut server = match connected.unwrap_or_else(|late| Err(late.into())) {
        Ok(server) => server,
        Err(error) => {
            let why = format!("no connection to {host}:{port}: {error}");
            return answer(&mut client, "502 Bad Gateway", &why).await;
        }
    };
    match &request.forwarded {
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Some(head) => server.write_all(head).await?,
    }
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The first lines up to the empty one, and what came after them.
async fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() > LARGEST_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn answer(client: &mut TcpStream, status: &str, why: &str) -> io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}

/// What a client asks of a proxy.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    host: String,
    port: u16,
    /// The first lines for the server, of a plain request; `None` for a tunnel.
    forwarded: Option<Vec<u8>>,
}

impl Request {
    fn read(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let (first, fields) = text.split_once("\r\n")?;
        let mut words = first.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        if method == "CONNECT" {
            let (host, port) = authority(target, None)?;
            return Some(Self { host, port, forwarded: None });
        }
        let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("HTTP://"))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (name, path) = rest.split_at(end);
        // Credentials in the address are the client's own affair; they are not the host.
        let name = name.rsplit_once('@').map_or(name, |(_, host)| host);
        let (host, port) = authority(name, Some(80))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut forwarded = format!("{method} {path} {version}\r\nHost: {name}\r\n");
        for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
            let (key, _) = field.split_once(':')?;
            if key.trim() != key || field.bytes().any(|b| b == b'\n' || b == b'\r') {
                return None;
            }
            // Those of the hop to the proxy, and the host, which the address says.
            let own =
                ["host", "connection", "keep-alive", "proxy-connection", "proxy-authorization"];
            if !own.iter().any(|own| key.eq_ignore_ascii_case(own)) {
                forwarded.push_str(field);
                forwarded.push_str("\r\n");
            }
        }
        forwarded.push_str("Connection: close\r\n\r\n");
        Some(Self { host, port, forwarded: Some(forwarded.into_bytes()) })
    }
}

/// `host:port`, `[address]:port`, or without a port where there is a usual one.
fn authority(text: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (address, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => usual?,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_owned(), port))
}

impl Rules {
    fn note_refused(&self, wanted: String) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MOST_REFUSED {
            refused.insert(wanted);
        }
    }

    async fn connect(&self, request: &Request) -> io::Result<TcpStream> {
        let Request { host, port, .. } = request;
        match self.upstream.as_ref().filter(|upstream| !upstream.passes_by(host)) {
            None => TcpStream::connect((host.as_str(), *port)).await,
            Some(upstream) => upstream.tunnel(host, *port).await,
        }
    }
}

/// The proxy that this process itself has to use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Upstream {
    host: String,
    port: u16,
    /// `user:password`, in base64.
    credentials: Option<String>,
    /// Hosts that are reached without it.
    direct: Vec<String>,
}

impl Upstream {
    fn of_environment() -> Option<Self> {
        let variable = |names: [&str; 2]| {
            names.into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
        };
        let proxy = variable(["HTTPS_PROXY", "https_proxy"])
            .or_else(|| variable(["ALL_PROXY", "all_proxy"]))?;
        Self::read(&proxy, &variable(["NO_PROXY", "no_proxy"]).unwrap_or_default())
    }

    fn read(proxy: &str, direct: &str) -> Option<Self> {
        let rest = proxy.split_once("://").map_or(Some(proxy), |(scheme, rest)| {
            scheme.eq_ignore_ascii_case("http").then_some(rest)
        })?;
        let rest = rest.split('/').next()?;
        let (credentials, name) = match rest.rsplit_once('@') {
            Some((credentials, name)) => (Some(BASE64_STANDARD.encode(credentials)), name),
            None => (None, rest),
        };
        let (host, port) = authority(name, Some(80))?;
        let direct = direct.split(',').map(|it| it.trim().trim_start_matches('.').to_lowercase());
        Some(Self { host, port, credentials, direct: direct.filter(|it| !it.is_empty()).collect() })
    }

    fn passes_by(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.direct.iter().any(|direct| {
            direct == "*"
                || host == *direct
                || host.strip_suffix(direct.as_str()).is_some_and(|above| above.ends_with('.'))
        })
    }

    async fn tunnel(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > LARGEST_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // One by one: what follows belongs to the tunnel.
            head.push(stream.read_u8().await?);
        }
        let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if status == b"200" {
            return Ok(stream);
        }
        let status = String::from_utf8_lossy(status).into_owned();
        Err(io::Error::other(format!("the proxy {} answers {status}", self.host)))
    }
}

/// The variables that tell programs of a proxy at this port of their own machine.
pub(super) fn variables(port: u16) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let address = format!("http://127.0.0.1:{port}");
    let none = "localhost,127.0.0.1,::1";
    let mut all: Vec<(&str, &str)> = Vec::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        all.push((name, &address));
    }
    all.extend([("NO_PROXY", none), ("no_proxy", none), ("NODE_USE_ENV_PROXY", "1")]);
    all.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Options by which a Java program uses it.
pub(super) fn java_options(port: u16) -> String {
    ["http", "https"]
        .map(|scheme| format!(" -D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={port}"))
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let read = |text: &str| Request::read(text.as_bytes());
        let tunnel = read("CONNECT crates.io:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
        assert_eq!((tunnel.host.as_str(), tunnel.port, tunnel.forwarded), ("crates.io", 443, None));
        let plain = read(
            "GET http://u:p@Example.org/a?b HTTP/1.1\r\nHost: other.example\r\nAccept: */*\r\n\
             Proxy-Authorization: Basic eDp5\r\nConnection: keep-alive\r\n\r\n",
        )
        .unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("Example.org", 80));
        assert_eq!(
            String::from_utf8(plain.forwarded.unwrap()).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: Example.org\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        let bare = read("GET http://[::1]:8080 HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("::1", 8080));
        for wrong in [
            "GET / HTTP/1.1\r\nHost: crates.io\r\n\r\n",
            "CONNECT crates.io HTTP/1.1\r\n\r\n",
            "CONNECT crates.io:443@evil.example:1 HTTP/1.1\r\n\r\n",
            "CONNECT crates.io:443/x HTTP/1.1\r\n\r\n",
            "GET ftp://crates.io/ HTTP/1.1\r\n\r\n",
            "GET http://a b/ HTTP/1.1\r\n\r\n",
            "GET http://crates.io/ HTTP/2\r\n\r\n",
            "GET http://crates.io/ HTTP/1.1\r\nX\r\n\r\n",
            "GET http://crates.io/ HTTP/1.1\r\nX : y\r\n\r\n",
            "GET http://crates.io/ HTTP/1.1\r\nX: y\nHost: z\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_proxy_of_this_process_is_used_for_what_it_is_for() {
        let upstream =
            Upstream::read("http://me:pass@proxy.example:3128/", "localhost, .corp.example")
                .unwrap();
        assert_eq!((upstream.host.as_str(), upstream.port), ("proxy.example", 3128));
        assert_eq!(upstream.credentials.as_deref(), Some("bWU6cGFzcw=="));
        assert!(upstream.passes_by("a.corp.example") && upstream.passes_by("LOCALHOST"));
        assert!(!upstream.passes_by("acorp.example") && !upstream.passes_by("crates.io"));
        assert_eq!(Upstream::read("socks5://p:1", ""), None);
    }
}
