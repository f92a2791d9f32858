//! What handlers take out of requests; whatever is wrong becomes a [`Problem`] with its place.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::{Kind, Problem};

/// The longest idempotency key.
const LONGEST_KEY: usize = 200;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        read(&bytes).map(Self)
    }
}

/// A JSON body, or none: then what is usual.
#[derive(Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(not_json());
        }
        read(&bytes).map(Self)
    }
}

fn not_json() -> Problem {
    Problem::new(
        Kind::UnsupportedMediaType,
        "the body must be JSON, with the header content-type: application/json",
    )
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

fn unread(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Kind::TooLarge, "the body is longer than this path allows");
    }
    Problem::new(Kind::Malformed, "the body is incomplete")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would take a list for a record: its parts in their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        let _json: IgnoredAny =
            serde_json::from_slice(bytes).map_err(|error| refused("$".to_owned(), &error))?;
        return Err(Problem::invalid("$", "an object is expected, not a list"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refused(path_of(error.path()), error.inner()))?;
    json.end().map_err(|error| {
        Problem::new(
            Kind::Malformed,
            format!(
                "the body continues after the JSON \
            value: {error}"
            ),
        )
    })?;
    Ok(value)
}

fn refused(path: String, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(path, message),
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => {
            Problem::new(Kind::Malformed, format!("the body is not JSON: {message}"))
                .at(path, message)
        }
    }
}

/// `$.tasks[3].hours`
fn path_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::from("$"), |mut text, segment| {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                text.push('.');
                text.push_str(key);
            }
            Segment::Unknown => {}
        }
        text
    })
}

/// The query of a request.
#[derive(Debug)]
pub(super) struct QueryParams<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|error| {
            // "Failed to deserialize query string: limit: invalid digit found in string"
            let text = std::error::Error::source(&error)
                .map_or_else(|| error.body_text(), |source| source.to_string());
            match text.split_once(": ") {
                Some((name, message)) => Problem::invalid(name, message),
                None => Problem::invalid("query", text),
            }
        })
    }
}

/// The variables of a path. What cannot be one of this hub's ids leads nowhere.
#[derive(Debug)]
pub(super) struct PathParams<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|_rejection| Problem::new(Kind::NotFound, "the path has no valid id"))
    }
}

/// The `Idempotency-Key` of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Key(Option<String>);

impl Key {
    /// The key as the store knows it: two tokens may use the same one without meeting.
    pub(super) fn of(&self, caller: &str) -> Option<String> {
        self.0.as_ref().map(|key| format!("{caller}:{key}"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > LONGEST_KEY {
            return Err(Problem::new(
                Kind::Malformed,
                format!(
                    "an Idempotency-Key consists of 1 to {LONGEST_KEY} visible ASCII \
                    characters"
                ),
            ));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::types::GraphSubmission;

    #[test]
    fn the_place_of_a_mistake_is_told() {
        let text =
            |tasks: &str| format!(r#"{{"project":"p","target":"t","name":"n","tasks":{tasks}}}"#);
        for (body, path) in [
            (
                text(r#"[{"key":"1","title":"t","action":"agent","hours":"many"}]"#),
                "$.tasks[0].hours",
            ),
            (text(r#"[{"key":"1","title":"t","action":"agent","howrs":1}]"#), "$.tasks[0].howrs"),
            (text("7"), "$.tasks"),
            ("{".to_owned(), "$"),
            ("[]".to_owned(), "$"),
        ] {
            let problem = read::<GraphSubmission>(body.as_bytes()).unwrap_err();
            assert!(
                format!("{problem:?}").contains(&format!("path: {path:?}")),
                "{body}: {problem:?}"
            );
        }
    }

    #[test]
    fn json_says_so() {
        for (kind, expect) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), expect, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
