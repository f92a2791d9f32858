//! The connection to a Docker Engine, shared by everything that speaks to one.
//!
//! bollard sends requests without an API version, so an engine of any age answers with the
//! newest interface it knows; nothing has to be agreed on beforehand.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as BollardError;
use http::HeaderValue;

/// Where an engine listens when nobody says otherwise.
#[cfg(unix)]
const LOCAL: &str = "unix:///var/run/docker.sock";
#[cfg(windows)]
const LOCAL: &str = "npipe:////./pipe/docker_engine";

/// Seconds until the head of a response must be there. An engine answers a build or a push only
/// once the first step is under way, which for a large context takes minutes.
const RESPONSE: u64 = 60 * 60;
/// How long [`Engine::info`] waits.
const INFO: Duration = Duration::from_secs(5);
/// The first API version with BuildKit.
const BUILDKIT_API: (u32, u32) = (1, 39);
/// Headers that carry credentials.
const AUTH_HEADERS: [&str; 2] = ["x-registry-auth", "x-registry-config"];

/// A connection to a Docker Engine. Cheap to clone; nothing is sent before the first request.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    address: Arc<str>,
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// `20.10.24`
    pub version: String,
    /// `1.41`
    pub api_version: String,
    /// Whether it builds with BuildKit.
    pub buildkit: bool,
    /// `linux`
    pub os: String,
    /// `amd64`
    pub arch: String,
    /// Bytes of memory of its machine.
    pub memory: Option<u64>,
    /// Where it keeps images and containers.
    pub data_root: Option<PathBuf>,
    /// Bytes that are free there; known only for an engine on this machine.
    pub free: Option<u64>,
}

impl EngineInfo {
    /// `linux/amd64`
    pub fn platform(&self) -> String {
        format!("{}/{}", self.os, self.arch)
    }
}

/// The kind of an error of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// The address has a form that is not understood.
    Address,
    /// Nothing answers at the address.
    Unreachable,
    /// The address exists, but this user may not use it.
    Permission,
    /// It did not answer in time.
    TimedOut,
    /// It answered with this HTTP status.
    Refused(u16),
    /// The connection broke, or the answer made no sense.
    Broken,
}

impl EngineErrorKind {
    /// What a person can do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Address => {
                "use an address of the form unix:///path, tcp://host:port or npipe:////./pipe/name"
            }
            Self::Unreachable => {
                "start the Docker Engine, or set another one in build.docker_host or DOCKER_HOST"
            }
            Self::Permission => {
                "add this user to the group that owns the socket (usually `docker`) and log in again"
            }
            Self::TimedOut | Self::Broken => {
                "check the engine's log; restart the engine if it \
                hangs"
            }
            Self::Refused(_) => "check the engine's message; an older engine may lack the feature",
        }
    }
}

/// An engine that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub kind: EngineErrorKind,
    /// One line for a person; names the address.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Engine {
    /// The engine at `host` (`unix://…`, `tcp://…`, `npipe://…`); for `None` the one that
    /// `DOCKER_HOST` names, then the local one. Does not talk to it yet.
    pub fn at(
        host: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, EngineError> {
        let given = |text: &String| !text.trim().is_empty();
        let address = host
            .map(str::to_owned)
            .filter(given)
            .or_else(|| env("DOCKER_HOST").filter(given))
            .unwrap_or_else(|| LOCAL.to_owned());
        let address = address.trim();
        if let Some(path) = address.strip_prefix("unix://") {
            // Asked here, because bollard says of a folder it may not look into that the socket
            // is not there.
            if let Err(error) = Path::new(path).symlink_metadata() {
                return Err(EngineError::of_io(address, error));
            }
        }
        let docker = Docker::connect_with_host(address)
            .map_err(|error| EngineError::new(address, error))?
            .with_timeout(Duration::from_secs(RESPONSE))
            .with_request_modifier(with_url_safe_credentials);
        Ok(Self { docker, address: address.into() })
    }

    /// The connection itself.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// As it was given: `unix:///var/run/docker.sock`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the engine runs on this machine, and so sees the same disk and loopback.
    pub fn is_local(&self) -> bool {
        self.address.starts_with("unix://") || self.address.starts_with("npipe://")
    }

    /// Asks the engine what it is; at most five seconds.
    pub async fn info(&self) -> Result<EngineInfo, EngineError> {
        let asked = async {
            let version = self.docker.version().await?;
            let info = self.docker.info().await?;
            Ok::<_, BollardError>((version, info))
        };
        let (version, info) = match tokio::time::timeout(INFO, asked).await {
            Ok(answer) => answer.map_err(|error| self.error(error))?,
            Err(_elapsed) => return Err(self.error(BollardError::RequestTimeoutError)),
        };
        let os = version.os.or(info.os_type).unwrap_or_default();
        let api_version = version.api_version.unwrap_or_default();
        // Podman speaks the same interface, but has no BuildKit sessions.
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        let data_root = info.docker_root_dir.map(PathBuf::from);
        let free = data_root.as_deref().filter(|_| self.is_local()).and_then(free_bytes);
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            buildkit: os == "linux" && !podman && parsed(&api_version) >= Some(BUILDKIT_API),
            api_version,
            os,
            arch: version.arch.unwrap_or_default(),
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()),
            data_root,
            free,
        })
    }

    /// What an error of the connection means.
    pub fn error(&self, error: BollardError) -> EngineError {
        EngineError::new(&self.address, error)
    }
}

impl EngineError {
    fn new(address: &str, error: BollardError) -> Self {
        let (kind, says) = match &error {
            BollardError::SocketNotFoundError(_) => (EngineErrorKind::Unreachable, None),
            BollardError::UnsupportedURISchemeError { .. }
            | BollardError::URLParseError { .. }
            | BollardError::InvalidURIError { .. }
            | BollardError::InvalidURIPartsError { .. } => (EngineErrorKind::Address, None),
            BollardError::RequestTimeoutError => (EngineErrorKind::TimedOut, None),
            BollardError::DockerResponseServerError { status_code, message } => {
                (EngineErrorKind::Refused(*status_code), Some(message.trim().to_owned()))
            }
            other => match io_kind(other) {
                Some(kind) => (kind_of_io(kind), None),
                None => (EngineErrorKind::Broken, None),
            },
        };
        Self { kind, message: message(kind, address, says), source: Some(Box::new(error)) }
    }

    fn of_io(address: &str, error: io::Error) -> Self {
        let kind = kind_of_io(error.kind());
        Self { kind, message: message(kind, address, None), source: Some(Box::new(error)) }
    }
}

fn message(kind: EngineErrorKind, address: &str, says: Option<String>) -> String {
    match kind {
        EngineErrorKind::Address => format!("{address} is not an address of a Docker Engine"),
        EngineErrorKind::Unreachable => format!("no Docker Engine at {address}"),
        EngineErrorKind::Permission => {
            format!("no permission to use the Docker Engine at {address}")
        }
        EngineErrorKind::TimedOut => format!("the Docker Engine at {address} does not answer"),
        EngineErrorKind::Broken => format!("lost the connection to the Docker Engine at {address}"),
        EngineErrorKind::Refused(status) => match says.filter(|text| !text.is_empty()) {
            Some(says) => format!("the Docker Engine reports: {says}"),
            None => format!("the Docker Engine answered with HTTP status {status}"),
        },
    }
}

fn kind_of_io(kind: io::ErrorKind) -> EngineErrorKind {
    match kind {
        io::ErrorKind::PermissionDenied => EngineErrorKind::Permission,
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => EngineErrorKind::Unreachable,
        io::ErrorKind::TimedOut => EngineErrorKind::TimedOut,
        _ => EngineErrorKind::Broken,
    }
}

/// The first I/O error underneath.
fn io_kind(error: &BollardError) -> Option<io::ErrorKind> {
    // Transparent: it is not among its own causes.
    if let BollardError::IOError { err } = error {
        return Some(err.kind());
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// bollard writes credentials in standard base64, the engine reads the URL's alphabet and takes
/// what it cannot read for anonymous: a password with `~` would silently be none.
fn with_url_safe_credentials(mut request: bollard::BollardRequest) -> bollard::BollardRequest {
    for name in AUTH_HEADERS {
        let Some(value) = request.headers().get(name) else { continue };
        let safe: Vec<u8> = value
            .as_bytes()
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        if let Ok(mut value) = HeaderValue::from_bytes(&safe) {
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
    }
    request
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    /// The engine that tests use.
    fn engine() -> Option<Engine> {
        let host = std::env::var("GREENLOOP_TEST_DOCKER")
            .expect("set GREENLOOP_TEST_DOCKER to an engine's address, or to `skip`");
        (host != "skip").then(|| Engine::at(Some(&host), &no_env).unwrap())
    }

    #[tokio::test]
    async fn an_engine_says_what_it_is() {
        let Some(engine) = engine() else { return };
        let info = engine.info().await.unwrap();
        assert_eq!(info.os, "linux");
        assert!(!info.version.is_empty() && !info.arch.is_empty(), "{info:?}");
        assert!(parsed(&info.api_version) >= Some((1, 40)), "{info:?}");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = format!("unix://{}", folder.path().join("none.sock").display());
        let error = Engine::at(Some(&missing), &no_env).unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Unreachable);
        assert_eq!(error.to_string(), format!("no Docker Engine at {missing}"));

        // A socket that nobody listens on any more.
        let path = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let dead = Engine::at(Some(&format!("unix://{}", path.display())), &no_env).unwrap();
        assert_eq!(dead.info().await.unwrap_err().kind, EngineErrorKind::Unreachable);

        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let closed = Engine::at(Some(&format!("tcp://127.0.0.1:{port}")), &no_env).unwrap();
        assert_eq!(closed.info().await.unwrap_err().kind, EngineErrorKind::Unreachable);

        let error = Engine::at(Some("carrier-pigeon://x"), &no_env).unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Address);
    }

    #[test]
    fn a_denied_connection_is_a_matter_of_permission() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = EngineError::new("unix:///x", BollardError::IOError { err: denied });
        assert_eq!(error.kind, EngineErrorKind::Permission);
        assert_eq!(error.message, "no permission to use the Docker Engine at unix:///x");
    }

    #[test]
    fn the_environment_names_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let address = format!("unix://{}", path.display());
        let engine =
            Engine::at(None, &|name| (name == "DOCKER_HOST").then(|| address.clone())).unwrap();
        assert_eq!(engine.address(), address);
        assert!(engine.is_local());
    }

    #[test]
    fn credentials_are_sent_in_the_alphabet_that_the_engine_reads() {
        let request = http::Request::builder()
            .header("X-Registry-Auth", "a+b/c=")
            .body(bollard::body_full(bytes::Bytes::new()))
            .unwrap();
        let request = with_url_safe_credentials(request);
        assert_eq!(request.headers().get("X-Registry-Auth").unwrap(), "a-b_c=");
    }
}
