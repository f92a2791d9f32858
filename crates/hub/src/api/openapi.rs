//! The description of the API, made from the routes themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder, ResponsesBuilder,
};
use utoipa::{Modify, OpenApi as _};

use super::problem::{Mistake, ProblemBody};
use super::routes;
use greenloop_hub_api::client::wire;

const ABOUT: &str = "\
Tasks, agents, merges and progress of a Greenloop hub.

Every answer that is not a success is a problem after RFC 9457. Lists come in parts: hand `next` \
in as `cursor`. Calls that change something take an `Idempotency-Key`: the same call with the same \
key has the answer of the first one. Reports on an attempt carry its epoch; an older one is \
answered with 409 and the type `urn:greenloop:problem:stale-lease`, and changes nothing.";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Greenloop hub", version = "1", description = ABOUT),
    components(schemas(ProblemBody, Mistake, wire::Event, wire::LiveNote)),
    modifiers(&Tokens),
    tags(
        (name = "graphs", description = "Graphs of tasks"),
        (name = "tasks", description = "Tasks, their attempts and evidence"),
        (name = "work", description = "What agents say"),
        (name = "agents", description = "Agents"),
        (name = "progress", description = "How far everything is"),
        (name = "git", description = "Merge queues and branches"),
        (name = "runs", description = "Deploy runs"),
        (name = "live", description = "Events as they happen"),
        (name = "hub", description = "The hub itself"),
    )
)]
struct Base;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, api: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("glh_<id>_<secret>")
            .description(Some("`greenloop hub token create`. Scopes: read, work, admin; each may what the one before may."))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What the document begins with.
pub(super) fn base() -> OpenApi {
    Base::openapi()
}

/// The whole document.
pub fn document() -> OpenApi {
    let (_, mut api) = routes::described().split_for_parts();
    for item in api.paths.paths.values_mut() {
        every_operation_may_fail(item);
    }
    api
}

fn every_operation_may_fail(item: &mut PathItem) {
    let problem = RefOr::Ref(Ref::from_schema_name("ProblemBody"));
    let response = ResponseBuilder::new()
        .description("Not a success")
        .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build())
        .build();
    for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
        let default = ResponsesBuilder::new().response("default", response.clone()).build();
        operation.responses.responses.extend(default.responses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GREENLOOP_UPDATE=1 cargo test --lib hub::api::openapi` writes it again.
    #[test]
    fn the_document_says_what_the_routes_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let text = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("GREENLOOP_UPDATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/openapi.json is out of date: just generate");
    }
}
