//! The completion report of a graph, in three formats.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::Api;
use crate::api::auth::Reader;
use crate::api::extract::{PathParams, QueryParams};
use crate::api::problem::{Kind, Problem};
use crate::graph_report;
use greenloop_hub_api::types;
use greenloop_model::task::GraphId;

/// The page has one style sheet, in itself, and nothing else: all text in it is escaped.
const PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReportFormat {
    /// `application/json`
    Json,
    /// `text/markdown`
    Markdown,
    /// `text/html`
    Html,
}

/// Which format.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// `json`, `markdown`, `html`; what `Accept` prefers when nothing is said.
    #[param(inline)]
    format: Option<ReportFormat>,
}

/// The completion report of a graph; of one that runs, so far
#[utoipa::path(
    get, path = "/graphs/{id}/report", tag = "graphs", operation_id = "report_graph",
    params(("id" = i64, Path), ReportQuery),
    responses((status = 200, content(
        (types::GraphReport = "application/json"),
        (String = "text/markdown"),
        (String = "text/html"),
    ))),
    security(("token" = ["read"]))
)]
pub(super) async fn report(
    State(api): State<Arc<Api>>,
    _reader: Reader,
    PathParams(id): PathParams<i64>,
    QueryParams(query): QueryParams<ReportQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let facts = api.store.report_facts(GraphId(id)).await?;
    let format = query.format.unwrap_or_else(|| preferred(&headers));
    // The critical path and the tables of a large graph take a while.
    let written = tokio::task::spawn_blocking(move || write(facts, format)).await;
    let mut response = written.map_err(|error| {
        tracing::error!(%error, "could not write a report");
        Problem::new(Kind::Internal, "see the hub's log")
    })?;
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    Ok(response)
}

fn write(facts: crate::store::ReportFacts, format: ReportFormat) -> Response {
    let report = graph_report::report(facts);
    let text = |kind: &'static str, text: String| -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
    };
    match format {
        ReportFormat::Json => Json(report).into_response(),
        ReportFormat::Markdown => {
            text("text/markdown; charset=utf-8", graph_report::markdown(&report))
        }
        ReportFormat::Html => {
            let mut response = text("text/html; charset=utf-8", graph_report::html(&report));
            let policy: (HeaderName, _) = (CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE));
            response.headers_mut().insert(policy.0, policy.1);
            response
        }
    }
}

/// The format that `Accept` prefers: the highest weight, then the order. JSON when it names none.
fn preferred(headers: &HeaderMap) -> ReportFormat {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0.0, ReportFormat::Json);
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/html" => ReportFormat::Html,
            "text/markdown" => ReportFormat::Markdown,
            "application/json" | "application/*" | "*/*" => ReportFormat::Json,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.trim().parse::<f32>().unwrap_or(0.0));
        if weight > best.0 {
            best = (weight, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_format_is_taken() {
        for (accept, expect) in [
            ("application/json", ReportFormat::Json),
            ("text/markdown", ReportFormat::Markdown),
            ("text/html,application/xhtml+xml,*/*;q=0.8", ReportFormat::Html),
            ("text/html;q=0.5, text/markdown;q=0.9", ReportFormat::Markdown),
            ("text/html;q=0, application/json;q=0.1", ReportFormat::Json),
            ("*/*", ReportFormat::Json),
            ("image/png", ReportFormat::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(preferred(&headers), expect, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new()), ReportFormat::Json);
    }
}
