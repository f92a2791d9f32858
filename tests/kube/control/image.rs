//! The results of image pulls, with containerd's messages, and the node's images.
//!
//! An image at a loopback address is really fetched from the registry there: its manifest, by the
//! digest if one is given, and its configuration. For every other image, the name decides the
//! result.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::program::Program;

/// What containerd accepts of a registry.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Why a name is invalid, so that nothing is pulled.
pub(crate) fn bad_name(image: &str) -> Option<String> {
    let repository = image.split(['@', ':']).next().unwrap_or_default();
    let bad = image.is_empty() || repository.chars().any(|c| c.is_ascii_uppercase());
    bad.then(|| {
        format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: \
             invalid reference format: repository name (library/{repository}) must be lowercase"
        )
    })
}

/// The images of the node, with their default command; and which containers (pod's uid, name)
/// listen.
#[derive(Debug, Default)]
pub(crate) struct Images(Mutex<BTreeMap<String, Vec<String>>>, Mutex<BTreeSet<(String, String)>>);

impl Images {
    /// Pulls an image: a name with `missing`, `private` or `away` in it fails like that, one with
    /// `slow` takes its time.
    pub(crate) fn pull(&self, image: &str) -> Result<(), String> {
        let prefix = format!(
            "failed to pull and unpack image {image:?}: failed to resolve reference {image:?}"
        );
        let missing = || format!("rpc error: code = NotFound desc = {prefix}: {image}: not found");
        if image.starts_with("127.0.0.1:") {
            let command = match fetch(image) {
                Ok(Some(command)) => command,
                Ok(None) => return Err(missing()),
                Err(error) => {
                    return Err(format!(
                        "rpc error: code = Unavailable desc = {prefix}: failed to do request: \
                         {error}"
                    ));
                }
            };
            self.0.lock().unwrap().insert(image.to_owned(), command);
            Ok(())
        } else if image.contains("missing") {
            Err(missing())
        } else if image.contains("private") {
            Err(format!(
                "rpc error: code = Unknown desc = {prefix}: failed to authorize: failed to fetch \
                 anonymous token: unexpected status from GET request to \
                 https://registry.example.com/oauth2/token?service=registry.example.com: 401 \
                 Unauthorized"
            ))
        } else if image.contains("away") {
            Err(format!(
                "rpc error: code = Unavailable desc = {prefix}: failed to do request: Head \
                 \"https://registry.example.com/v2/\": dial tcp 10.0.0.9:443: connect: connection \
                 refused"
            ))
        } else {
            Ok(())
        }
    }

    /// Notes which containers listen.
    pub(crate) fn listen(&self, containers: BTreeSet<(String, String)>) {
        *self.1.lock().unwrap() = containers;
    }

    /// Whether the container listens.
    pub(crate) fn listens(&self, pod_uid: &str, container: &str) -> bool {
        self.1.lock().unwrap().contains(&(pod_uid.to_owned(), container.to_owned()))
    }

    /// The program of a container: its own command, otherwise its image's.
    pub(crate) fn program(&self, container: &Value) -> &'static Program {
        let own = words(&container["command"]);
        if !own.is_empty() {
            return Program::by_command(&own);
        }
        let image = container["image"].as_str().unwrap_or_default();
        let pulled = self.0.lock().unwrap().get(image).cloned();
        Program::by_command(&pulled.unwrap_or_default())
    }
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// What the image runs; `None` when the registry has no such image.
fn fetch(image: &str) -> std::io::Result<Option<Vec<String>>> {
    let (host, rest) = image.split_once('/').unwrap_or((image, ""));
    let (name, reference) =
        rest.split_once('@').or_else(|| rest.split_once(':')).unwrap_or((rest, "latest"));
    let Some(mut manifest) = document(host, name, "manifests", reference)? else {
        return Ok(None);
    };
    if let Some(images) = manifest["manifests"].as_array() {
        let real = images.iter().find(|image| image["platform"]["os"] == "linux");
        let digest = real.and_then(|image| image["digest"].as_str()).unwrap_or_default();
        let Some(found) = document(host, name, "manifests", digest)? else { return Ok(None) };
        manifest = found;
    }
    let digest = manifest["config"]["digest"].as_str().unwrap_or_default();
    let Some(config) = document(host, name, "blobs", digest)? else { return Ok(None) };
    let mut command = words(&config["config"]["Entrypoint"]);
    command.extend(words(&config["config"]["Cmd"]));
    Ok(Some(command))
}

/// A document of a repository, verified against its digest like in containerd.
fn document(host: &str, name: &str, kind: &str, wanted: &str) -> std::io::Result<Option<Value>> {
    let wrong = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // HTTP/1.0, so that the answer is not chunked and ends with the connection.
    write!(stream, "GET /v2/{name}/{kind}/{wanted} HTTP/1.0\r\nhost: {host}\r\n")?;
    write!(stream, "accept: {MANIFESTS}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return Err(wrong("an answer without an end".to_owned())) };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    match head.split(' ').nth(1) {
        Some("200") => {}
        Some("404") => return Ok(None),
        status => return Err(wrong(format!("unexpected status {status:?}"))),
    }
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if wanted.strip_prefix("sha256:").is_some_and(|wanted| wanted != digest) {
        return Err(wrong(format!("{wanted} has the digest sha256:{digest}")));
    }
    Ok(Some(serde_json::from_slice(body)?))
}
