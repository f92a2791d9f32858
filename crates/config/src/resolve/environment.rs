//! `environments.NAME`

use super::{Context, bare};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::EnvironmentPlan;
use crate::raw::RawConfig;
use greenloop_model::EnvironmentName;

/// `None` only when the name is unfit; anything else has a stand-in and a problem.
pub(super) fn resolve(
    cx: &mut Context<'_>,
    raw: &RawConfig,
    name: &str,
) -> Option<EnvironmentPlan> {
    let place = KeyPath::root().key("environments").key(name);
    let environment = raw.environments.get(name)?;
    let parsed = name.parse::<EnvironmentName>();
    if let Err(error) = &parsed {
        let message = error.to_string();
        let help = "the name is used in file names and labels";
        cx.report(ProblemKind::InvalidValue, &place, message, help);
    }
    let url_place = place.key("url");
    let url = cx.url(&environment.url, &url_place, &format!("`{url_place}`"));
    let health_place = place.key("health_endpoint");
    let health_endpoint = environment.health_endpoint.as_deref().unwrap_or("/health");
    let health_endpoint = endpoint(cx, health_endpoint, &health_place);
    Some(EnvironmentPlan {
        name: parsed.ok()?,
        namespace: environment.namespace.clone().filter(|name| !name.is_empty()),
        url: url.map(|url| bare(&url)).unwrap_or_default(),
        health_endpoint: health_endpoint.unwrap_or_else(|| "/".to_owned()),
        require_approval: environment.require_approval.unwrap_or(false),
    })
}

/// A path and query that a request can be made of.
pub(super) fn endpoint(cx: &mut Context<'_>, text: &str, place: &KeyPath) -> Option<String> {
    let text = text.trim();
    if text.starts_with('/') && !text.starts_with("//") && !text.contains(char::is_whitespace) {
        return Some(text.to_owned());
    }
    let help = if text.contains("://") {
        "use only the path, for example /health; the host is the environment's `url`"
    } else {
        "a path begins with one slash and has no spaces, for example /health"
    };
    cx.report(
        ProblemKind::InvalidValue,
        place,
        format!("{} is not a valid request path", quoted(text)),
        help,
    );
    None
}
