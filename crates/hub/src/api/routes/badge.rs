//! Badges of graphs and environments, for READMEs and start pages.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::auth::Reader;
use crate::api::extract::{PathParams, QueryParams};
use crate::api::problem::{Kind, Problem};
use crate::api::tagged::with_tag;
use crate::badge::{Tone, svg};
use greenloop_hub_api::types::{Graph, Run};
use greenloop_model::task::{GraphId, GraphState};

const SVG: &str = "image/svg+xml";
/// Seconds for which a copy is good: shared ones only where everybody may read.
const PUBLIC: &str = "public, max-age=30";
const PRIVATE: &str = "private, max-age=30";

/// What stands on a badge.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BadgeQuery {
    /// The left part; at most 40 characters of it are shown.
    label: Option<String>,
}

/// A badge with the state of a graph: `ID.svg`. Needs no token where badges are public
#[utoipa::path(
    get, path = "/badge/graphs/{name}", tag = "badges", operation_id = "graph_badge",
    params(("name" = String, Path, description = "`ID.svg`"), BadgeQuery),
    responses((status = 200, content_type = "image/svg+xml", body = String),
        (status = 304, description = "Unchanged")),
    security((), ("token" = ["read"]))
)]
pub(super) async fn graph(
    State(api): State<Arc<Api>>,
    reader: Result<Reader, Problem>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<BadgeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    may_read(&api, reader)?;
    let id = stem(&name)?.parse().map_err(|_not_a_number| no_badge())?;
    let graph = api.store.graph(GraphId(id)).await?;
    let (value, tone) = of_graph(&graph);
    Ok(answer(&api, &headers, query.label.as_deref().unwrap_or("tasks"), &value, tone))
}

/// A badge with the state of an environment's last run: `NAME.svg`. Needs no token where badges
/// are public
#[utoipa::path(
    get, path = "/badge/environments/{name}", tag = "badges", operation_id = "environment_badge",
    params(("name" = String, Path, description = "`NAME.svg`"), BadgeQuery),
    responses((status = 200, content_type = "image/svg+xml", body = String),
        (status = 304, description = "Unchanged")),
    security((), ("token" = ["read"]))
)]
pub(super) async fn environment(
    State(api): State<Arc<Api>>,
    reader: Result<Reader, Problem>,
    PathParams(name): PathParams<String>,
    QueryParams(query): QueryParams<BadgeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    may_read(&api, reader)?;
    let environment = stem(&name)?;
    let run = api.store.last_run(environment).await?;
    let (value, tone) = of_run(run.as_ref());
    Ok(answer(&api, &headers, query.label.as_deref().unwrap_or(environment), value, tone))
}

fn may_read(api: &Api, reader: Result<Reader, Problem>) -> Result<(), Problem> {
    match api.settings.public_badges {
        true => Ok(()),
        false => reader.map(drop),
    }
}

fn stem(name: &str) -> Result<&str, Problem> {
    name.strip_suffix(".svg").filter(|it| !it.is_empty()).ok_or_else(no_badge)
}

fn no_badge() -> Problem {
    Problem::new(
        Kind::NotFound,
        "there is no such badge: /badge/graphs/ID.svg, /badge/environments/NAME.svg",
    )
}

fn of_graph(graph: &Graph) -> (String, Tone) {
    match graph.state {
        GraphState::Running if graph.paused_since.is_some() => {
            (format!("paused at {:.0} %", graph.percent.floor()), Tone::Warn)
        }
        GraphState::Running => (format!("{:.0} %", graph.percent.floor()), Tone::Active),
        GraphState::Done => ("done".to_owned(), Tone::Good),
        GraphState::Failed => ("failed".to_owned(), Tone::Bad),
        GraphState::Cancelled => ("cancelled".to_owned(), Tone::Neutral),
    }
}

/// The states of runs are words of the programs that report them.
fn of_run(run: Option<&Run>) -> (&str, Tone) {
    let Some(run) = run else { return ("no run", Tone::Neutral) };
    let tone = match run.state.as_str() {
        "verified" => Tone::Good,
        "running" => Tone::Active,
        "restored" => Tone::Warn,
        "cancelled" => Tone::Neutral,
        _ => Tone::Bad,
    };
    (&run.state, tone)
}

fn answer(api: &Api, asked: &HeaderMap, label: &str, value: &str, tone: Tone) -> Response {
    let picture = svg(label, value, tone);
    let tag = format!("\"{}\"", &blake3::hash(picture.as_bytes()).to_hex()[..32]);
    let public = api.settings.public_badges;
    let mut response = with_tag(asked, &tag, SVG, if public { PUBLIC } else { PRIVATE }, picture);
    if public {
        // Pages of other sites show it.
        response.headers_mut().insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_pictures_are_badges() {
        assert_eq!(stem("7.svg").unwrap(), "7");
        assert_eq!(stem("eu.west.svg").unwrap(), "eu.west");
        for name in ["7", ".svg", "7.png", ""] {
            stem(name).unwrap_err();
        }
    }
}
