//! What the description of the API begins with.

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::problem::{FieldError, ProblemBody};
use greenloop_hub_api::types;

const ABOUT: &str = "\
Tasks, agents, merges and progress of a Greenloop hub.

Every answer that is not a success is a problem after RFC 9457. Lists come in parts: hand `next` \
in as `cursor`. Calls that change something take an `Idempotency-Key`: the same call with the same \
key has the answer of the first one. Reports on an attempt carry its epoch; an older one is \
answered with 409 and the type `urn:greenloop:problem:stale-lease`, and changes nothing.";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Greenloop hub", version = "1", description = ABOUT),
    components(schemas(ProblemBody, FieldError, types::Event, types::LiveNote)),
    modifiers(&Tokens),
    tags(
        (name = "graphs", description = "Graphs of tasks"),
        (name = "tasks", description = "Tasks, their attempts and evidence"),
        (name = "work", description = "What agents say"),
        (name = "agents", description = "Agents"),
        (name = "progress", description = "How far everything is"),
        (name = "git", description = "Merge queues and branches"),
        (name = "runs", description = "Deploy runs"),
        (name = "approvals", description = "What waits for a person, and what was decided"),
        (name = "badges", description = "States as small pictures"),
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
