//! The names that a query may have, by path: a misspelt filter would otherwise show everything.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Uri;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{OpenApi, RefOr};

use super::problem::Problem;
use greenloop_config::nearest;

/// The query parameters of every described path, out of the API's own description.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<String, BTreeSet<String>>);

impl Parameters {
    pub(super) fn of(api: &OpenApi) -> Self {
        let names = |path: &utoipa::openapi::PathItem| -> BTreeSet<String> {
            [&path.get, &path.post, &path.put, &path.patch, &path.delete]
                .into_iter()
                .flatten()
                .flat_map(|operation| operation.parameters.iter().flatten())
                .filter_map(|parameter| match parameter {
                    RefOr::T(parameter) => Some(parameter),
                    // The routes write each parameter out.
                    RefOr::Ref(_) => None,
                })
                .filter(|parameter| matches!(parameter.parameter_in, ParameterIn::Query))
                .map(|parameter| parameter.name.clone())
                .collect()
        };
        Self(api.paths.paths.iter().map(|(path, item)| (path.clone(), names(item))).collect())
    }

    /// Refuses a name that the path does not have. `path` is the one that matched, with its
    /// variables' names; one that is not described takes any query.
    pub(super) fn check(&self, path: &str, uri: &Uri) -> Result<(), Problem> {
        let (Some(known), Some(query)) = (self.0.get(path), uri.query()) else { return Ok(()) };
        let names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        for name in names {
            if known.contains(name.as_ref()) {
                continue;
            }
            let known = || known.iter().map(String::as_str);
            let advice = match nearest::nearest(&name, known()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known: {}", nearest::list(known())),
            };
            return Err(Problem::invalid(
                name.as_ref(),
                format!("this path has no such parameter; {advice}"),
            ));
        }
        Ok(())
    }
}
