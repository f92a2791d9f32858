//! The description of the API, made from the routes themselves.

use utoipa::openapi::{
    ContentBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder, ResponsesBuilder,
};

use super::routes;

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
    let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
    for operation in operations.into_iter().flatten() {
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
