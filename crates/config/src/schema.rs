//! The JSON Schema of the configuration, for editors and for [`shape`](super::shape).

use std::sync::LazyLock;

use serde_json::Value as Json;

use super::raw::RawConfig;
use super::version::VERSION;

static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = schema_of::<RawConfig>();
    if let Json::Object(map) = &mut schema {
        map.insert("$id".to_owned(), format!("urn:greenloop:config:{VERSION}").into());
    }
    schema
});

/// The schema of a file whose raw form is `T`, JSON Schema 2020-12.
pub fn schema_of<T: schemars::JsonSchema>() -> Json {
    let mut schema = schemars::schema_for!(T).to_value();
    rename(&mut schema);
    schema
}

/// The schema, JSON Schema 2020-12.
pub fn schema() -> Json {
    SCHEMA.clone()
}

pub(super) fn shared() -> &'static Json {
    &SCHEMA
}

/// Definitions carry the names of our types; readers of the schema know none of them.
fn rename(json: &mut Json) {
    match json {
        Json::Object(map) => {
            if let Some(Json::Object(definitions)) = map.get_mut("$defs") {
                *definitions = std::mem::take(definitions)
                    .into_iter()
                    .map(|(name, value)| (plain(&name), value))
                    .collect();
            }
            if let Some(Json::String(target)) = map.get_mut("$ref")
                && let Some((path, name)) = target.rsplit_once('/')
            {
                *target = format!("{path}/{}", plain(name));
            }
            map.values_mut().for_each(rename);
        }
        Json::Array(items) => items.iter_mut().for_each(rename),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn plain(name: &str) -> String {
    name.strip_prefix("Raw").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GREENLOOP_WRITE_GENERATED=1 cargo test --lib config::schema` writes the file again.
    #[test]
    fn the_committed_schema_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.schema.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        if std::env::var_os("GREENLOOP_WRITE_GENERATED").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/config.schema.json is out of date; \
             `greenloop config schema > docs/config.schema.json` writes it again"
        );
    }

    /// An editor without descriptions is of little use.
    #[test]
    fn every_key_has_a_description() {
        fn visit(json: &Json, path: &str, missing: &mut Vec<String>) {
            let Some(map) = json.as_object() else { return };
            for (name, property) in
                map.get("properties").and_then(Json::as_object).into_iter().flatten()
            {
                if property.get("description").is_none() {
                    missing.push(format!("{path}.{name}"));
                }
            }
            for (name, definition) in
                map.get("$defs").and_then(Json::as_object).into_iter().flatten()
            {
                visit(definition, name, missing);
            }
        }
        let mut missing = Vec::new();
        visit(&schema(), "", &mut missing);
        assert_eq!(missing, Vec::<String>::new());
    }
}
