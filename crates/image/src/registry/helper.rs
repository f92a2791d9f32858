//! Docker's credential helpers: `docker-credential-NAME get`, the registry on its input, a JSON
//! document on its output.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::login::Login;
use greenloop_http::words;

/// A helper may ask a key store, or a person.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of its output that are read.
const LONGEST: u64 = 1 << 20;
/// What the protocol has helpers print when they have nothing: Docker's own client reads it the
/// same way (`docker-credential-helpers/credentials/error.go`).
const NOTHING: &str = "credentials not found in native keychain";
/// The user of an identity token, by the same protocol.
const TOKEN_USER: &str = "<token>";

/// Why a helper was of no help.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("its name is not a program name")]
    Name,
    #[error("docker-credential-{0} is not on the PATH")]
    Missing(String),
    #[error("could not run it")]
    Io(#[source] std::io::Error),
    #[error("it did not finish within {} s", TIMEOUT.as_secs())]
    Late,
    #[error("it failed: {0}")]
    Failed(String),
    #[error("its output does not follow the protocol")]
    Form,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperOutput {
    #[serde(default)]
    username: String,
    secret: SecretString,
}

/// What the helper called `name` keeps for `server`.
pub(super) async fn get(
    name: &str,
    server: &str,
    path: &OsStr,
) -> Result<Option<Login>, HelperError> {
    // A path would make any file of the machine a helper.
    if name.is_empty() || name.contains(['/', '\\', '\0']) {
        return Err(HelperError::Name);
    }
    let program = format!("docker-credential-{name}");
    let program = std::env::split_paths(path)
        .map(|folder| folder.join(&program))
        .find(|file| file.is_file())
        .ok_or_else(|| HelperError::Missing(name.to_owned()))?;
    let mut child = tokio::process::Command::new(program)
        .arg("get")
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(HelperError::Io)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let run = async {
        if let Some(mut input) = input {
            // A helper that reads nothing may still answer.
            let _unread = input.write_all(server.as_bytes()).await;
        }
        let mut text = Vec::new();
        if let Some(output) = output {
            output.take(LONGEST).read_to_end(&mut text).await?;
        }
        Ok((child.wait().await?, text))
    };
    let (status, text) = tokio::time::timeout(TIMEOUT, run)
        .await
        .map_err(|_elapsed| HelperError::Late)?
        .map_err(HelperError::Io)?;
    if !status.success() {
        // By the protocol a failure's output is a message, not a secret.
        let said = words(&String::from_utf8_lossy(&text));
        return if said == NOTHING { Ok(None) } else { Err(HelperError::Failed(said)) };
    }
    let given: HelperOutput = serde_json::from_slice(&text).map_err(|_unread| HelperError::Form)?;
    let identity_token = given.username == TOKEN_USER;
    let username = if identity_token { String::new() } else { given.username };
    Ok(Some(Login { username, password: given.secret, identity_token }))
}
