//! Against docker-registry: the one that `GREENLOOP_TEST_REGISTRY` names, and one of our own
//! that wants a password.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;

use super::*;

const USER: &str = "deployer";
/// With characters that base64 writes with `+` and `/`.
const WORD: &str = "s3cret-w0rd";
/// `WORD`, as `htpasswd -B` writes it.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuxkfnsT92cmKajQ/1kES5QAXehS5Jpc.";

/// The registry without authentication; `None` when the tests against it are skipped.
fn open_registry() -> Option<String> {
    match std::env::var("GREENLOOP_TEST_REGISTRY") {
        Ok(value) if value == "skip" => None,
        Ok(value) => Some(value),
        Err(_) => panic!(
            "set GREENLOOP_TEST_REGISTRY to a registry without authentication \
             (127.0.0.1:5000), or to `skip`"
        ),
    }
}

fn repository() -> String {
    format!("greenloop-test/{}", uuid::Uuid::new_v4().simple())
}

/// Puts the manifest of [`manifest`] and its configuration into a repository.
async fn push(host: &str, repository: &str, login: Option<(&str, &str)>) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let with = |request: reqwest::RequestBuilder| match login {
        Some((user, word)) => request.basic_auth(user, Some(word)),
        None => request,
    };
    let begin = http.post(format!("http://{host}/v2/{repository}/blobs/uploads/"));
    let begun = with(begin).send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    let at = begun.headers()["location"].to_str().unwrap().to_owned();
    let (bytes, digest) = manifest();
    let config = serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
    let config = config["config"]["digest"].as_str().unwrap().to_owned();
    let end = http.put(format!("{at}&digest={config}")).body("{}");
    assert_eq!(with(end).send().await.unwrap().status(), StatusCode::CREATED);
    let put = http
        .put(format!("http://{host}/v2/{repository}/manifests/first"))
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .body(bytes);
    assert_eq!(with(put).send().await.unwrap().status(), StatusCode::CREATED);
    digest
}

async fn exercise(registry: &Registry, repository: &str, digest: &str) {
    let size = manifest().0.len() as u64;
    let expect = Manifest {
        digest: digest.to_owned(),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size,
    };
    assert_eq!(registry.head(repository, "first").await.unwrap(), Some(expect.clone()));
    assert_eq!(registry.head(repository, "second").await.unwrap(), None);
    registry.tag(repository, digest, "second").await.unwrap();
    registry.tag(repository, digest, "second").await.unwrap();
    assert_eq!(registry.head(repository, "second").await.unwrap(), Some(expect.clone()));
    let patience = Duration::from_secs(1);
    assert_eq!(registry.appears(repository, digest, patience).await.unwrap(), expect);
    registry.can_push(repository).await.unwrap();

    let absent = format!("sha256:{}", "0".repeat(64));
    assert_eq!(registry.head(repository, &absent).await.unwrap(), None);
    let error = registry.tag(repository, &absent, "third").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::NotFound, "{error}");
    assert!(error.message.contains("MANIFEST_UNKNOWN"), "{error}");
    let patience = Duration::from_millis(20);
    let error = registry.appears(repository, &absent, patience).await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn an_open_registry_is_asked_without_a_login() {
    let Some(host) = open_registry() else { return };
    let repository = repository();
    let digest = push(&host, &repository, None).await;
    let registry = Registry::new(&host, Credentials::default()).with_short_delays();
    exercise(&registry, &repository, &digest).await;
    for wrong in ["../catalog", "a?b", "a b", "UPPER"] {
        let found = registry.head(wrong, "first").await;
        assert!(!matches!(found, Ok(Some(_))), "{wrong}: {found:?}");
    }
    let deleted = reqwest::Client::new()
        .delete(format!("http://{host}/v2/{repository}/manifests/{digest}"))
        .send()
        .await
        .unwrap();
    // A registry may be set up to keep everything.
    assert!(deleted.status().is_success() || deleted.status() == StatusCode::METHOD_NOT_ALLOWED);
}

/// A docker-registry that wants a password, until it is dropped.
struct Guarded {
    process: Child,
    host: String,
    _folder: TempDir,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Guarded {
    /// `None` when the tests against registries are skipped.
    async fn start() -> Option<Self> {
        open_registry()?;
        let folder = tempfile::tempdir().unwrap();
        let passwords = folder.path().join("htpasswd");
        let mut file = std::fs::File::create(&passwords).unwrap();
        writeln!(file, "{USER}:{HASH}").unwrap();
        for _attempt in 0..5 {
            // Somebody else may take the port before the registry does: then another one.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let host = free.local_addr().unwrap().to_string();
            drop(free);
            let config = folder.path().join("registry.yml");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem:\n    \
                 rootdirectory: {}\nhttp:\n  addr: {host}\nauth:\n  htpasswd:\n    realm: test\n    \
                 path: {}\n",
                folder.path().join("data").display(),
                passwords.display()
            );
            std::fs::write(&config, text).unwrap();
            let process = Command::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry of Debian's package, or GREENLOOP_TEST_REGISTRY=skip");
            let mut guarded = Self { process, host, _folder: TempDir::new().unwrap() };
            for _look in 0..200 {
                if guarded.process.try_wait().unwrap().is_some() {
                    break;
                }
                if tokio::net::TcpStream::connect(&guarded.host).await.is_ok() {
                    guarded._folder = folder;
                    return Some(guarded);
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        panic!("docker-registry does not come up");
    }
}

#[tokio::test]
async fn a_guarded_registry_is_logged_in_to() {
    let Some(guarded) = Guarded::start().await else { return };
    let host = &guarded.host;
    let repository = repository();
    let digest = push(host, &repository, Some((USER, WORD))).await;
    let by_variables =
        [("GREENLOOP_REGISTRY_USERNAME", USER), ("GREENLOOP_REGISTRY_PASSWORD", WORD)];
    let registry = Registry::new(host, credentials(&by_variables)).with_short_delays();
    exercise(&registry, &repository, &digest).await;

    let folder = tempfile::tempdir().unwrap();
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{WORD}"));
    let config = serde_json::json!({"auths": {host: {"auth": auth}}});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let variables = [("DOCKER_CONFIG", folder.path().to_str().unwrap())];
    let registry = Registry::new(host, credentials(&variables)).with_short_delays();
    registry.can_push(&repository).await.unwrap();

    for (credentials, words) in [
        (Credentials::default(), "docker login"),
        (
            credentials(&[
                ("GREENLOOP_REGISTRY_USERNAME", USER),
                ("GREENLOOP_REGISTRY_PASSWORD", "wr0ng-w0rd"),
            ]),
            "UNAUTHORIZED",
        ),
        // The password is for another registry, so it is not shown to this one.
        (credentials(&by_variables).with_variables_for("fleet.example.org"), "docker login"),
    ] {
        let registry = Registry::new(host, credentials).with_short_delays();
        let error = registry.can_push(&repository).await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Auth, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
        let error = registry.head(&repository, "first").await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Auth, "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unreachable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = Registry::new(&closed.to_string(), Credentials::default()).with_short_delays();
    let error = registry.head("fleet", "latest").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable, "{error}");
    assert!(error.is_transient());
}
