//! Single resources with an `ETag`: whoever has the current one is not sent it again.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{Kind, Problem};

/// The resource as JSON with its tag, or 304 for whoever has it.
pub(super) fn tagged(asked: &HeaderMap, resource: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(resource).map_err(|error| {
        tracing::error!(%error, "could not write an answer");
        Problem::new(Kind::Internal, "see the hub's log")
    })?;
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..32]);
    Ok(with_tag(asked, &tag, "application/json", "no-cache", body))
}

/// Something with a tag that is known, or 304 for whoever has it.
pub(super) fn with_tag(
    asked: &HeaderMap,
    tag: &str,
    content_type: &'static str,
    keep: &'static str,
    body: impl Into<axum::body::Body>,
) -> Response {
    let mut response = if has(asked, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

/// Whether `If-None-Match` names the tag. Compression makes tags weak on the way: compared
/// weakly, as RFC 9110 has it for this header.
fn has(asked: &HeaderMap, tag: &str) -> bool {
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        for (asked, expect) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, asked.parse().unwrap())]);
            assert_eq!(has(&headers, "\"a\""), expect, "{asked}");
        }
        assert!(!has(&HeaderMap::new(), "\"a\""));
    }
}
