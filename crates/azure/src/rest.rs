//! One REST call to Azure as the identity that Greenloop has.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{AzureError, AzureErrorKind};
use super::identity::Identity;
use greenloop_http::{Incoming, Outgoing, words};

/// What was refused, before it is known what to do about it.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The server's code, the innermost one.
    pub(super) code: String,
    /// The server's words.
    pub(super) message: String,
}

/// What a call came to.
pub(super) enum Answer<T> {
    Given(T),
    Refused(Refusal),
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Deserialize)]
struct ErrorText {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    innererror: Option<InnerError>,
}

#[derive(Deserialize)]
struct InnerError {
    #[serde(default)]
    code: String,
}

/// Calls `url` with a token for `scope`; a token that is not taken is renewed once. `what` is
/// what errors call the server.
pub(super) async fn call<T: DeserializeOwned>(
    identity: &Identity,
    method: Method,
    url: Url,
    scope: &str,
    what: &str,
) -> Result<Answer<T>, AzureError> {
    let mut answer = once(identity, method.clone(), url.clone(), scope, what).await?;
    if answer.status == StatusCode::UNAUTHORIZED {
        identity.forget(scope).await;
        answer = once(identity, method, url, scope, what).await?;
    }
    let status = answer.status;
    if status.is_success() {
        // The parser's own error is not passed on: it may quote what it could not read.
        return serde_json::from_slice(&answer.body).map(Answer::Given).map_err(|_unread| {
            AzureError::new(
                AzureErrorKind::Protocol,
                format!("{what} answered {status} with an unexpected body"),
            )
        });
    }
    let refusal = refusal(&answer);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let message = format!("{what} still answers {status} after several attempts");
        return Err(AzureError::new(AzureErrorKind::Unreachable, message));
    }
    Ok(Answer::Refused(refusal))
}

async fn once(
    identity: &Identity,
    method: Method,
    url: Url,
    scope: &str,
    what: &str,
) -> Result<Incoming, AzureError> {
    let token = identity.token(scope).await?;
    let mut bearer =
        HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_unfit| {
            AzureError::new(
                AzureErrorKind::Protocol,
                "the token contains characters that a \
                header cannot contain",
            )
        })?;
    bearer.set_sensitive(true);
    let mut request = Outgoing::new(method, url);
    request.headers.insert(AUTHORIZATION, bearer);
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    identity.http().send(&request, identity.retry()).await.map_err(|source| {
        let message = format!("could not reach {what}");
        AzureError::new(AzureErrorKind::Unreachable, message).because(source)
    })
}

fn refusal(answer: &Incoming) -> Refusal {
    let status = answer.status;
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(ErrorBody { error }) => {
            let inner = error.innererror.map(|inner| inner.code).filter(|code| !code.is_empty());
            let code = words(&inner.unwrap_or(error.code));
            Refusal { status, code, message: words(&error.message) }
        }
        Err(_) => Refusal { status, code: String::new(), message: String::new() },
    }
}

impl Refusal {
    /// ` (403 ForbiddenByRbac: …)`
    pub(super) fn in_words(&self) -> String {
        let status = self.status.as_u16();
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, true) => format!(" ({status})"),
            (true, false) => format!(" ({status}: {})", self.message),
            (false, true) => format!(" ({status} {})", self.code),
            (false, false) => format!(" ({status} {}: {})", self.code, self.message),
        }
    }
}
