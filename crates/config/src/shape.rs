//! Holds a document to the JSON Schema of [`raw`](super::raw) and reads it as JSON.
//!
//! Serde would stop at the first mistake; this finds all of them, each with its place and the
//! nearest known key. It understands the part of JSON Schema that the derive writes, and its
//! one liberty is that a number or a truth value where a text belongs is taken as it was
//! written: `PORT: 8080` is the text `8080`.

use serde_json::{Map, Value as Json};

use super::document::{Document, Key, KeyPath, Node, Value};
use super::error::{Position, Problem, ProblemKind, quoted};
use super::nearest::{choice, list, nearest};

/// The document as JSON that [`RawConfig`](super::raw::RawConfig) accepts, or every mistake.
pub fn read(document: &Document, schema: &Json) -> Result<Json, Vec<Problem>> {
    let mut reader = Reader { document, schema, problems: Vec::new() };
    let json = reader.node(document.root(), schema, &KeyPath::root(), None);
    if reader.problems.is_empty() { Ok(json) } else { Err(reader.problems) }
}

struct Reader<'a> {
    document: &'a Document,
    schema: &'a Json,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn report(
        &mut self,
        kind: ProblemKind,
        at: Position,
        message: String,
        help: Option<String>,
    ) -> Json {
        if self.problems.len() < self.document.most_problems() {
            self.problems.push(Problem { kind, message, help, position: Some(at) });
        }
        Json::Null
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        schema
            .get("$ref")
            .and_then(Json::as_str)
            .and_then(|target| target.strip_prefix('#'))
            .and_then(|pointer| self.schema.pointer(pointer))
            .unwrap_or(schema)
    }

    fn node(&mut self, node: &Node, schema: &'a Json, place: &KeyPath, key: Option<&Key>) -> Json {
        // Placing a mistake costs a look at the text: one that is not told is not looked for.
        if self.problems.len() >= self.document.most_problems() {
            return Json::Null;
        }
        let schema = self.resolve(schema);
        if let Some(variants) = alternatives(schema) {
            return self.one_of(node, schema, variants, place, key);
        }
        let types = types(schema);
        if types.is_empty() {
            return self.anything(node);
        }
        let accepts = |name: &str| types.contains(&name);
        match &node.value {
            Value::Null if accepts("null") => Json::Null,
            Value::Map(entries) if accepts("object") => {
                self.mapping(node, entries, schema, place, key)
            }
            Value::List(items) if accepts("array") => self.list(items, schema, place),
            Value::Bool(value) if accepts("boolean") => Json::Bool(*value),
            Value::Unsigned(value) if accepts("integer") || accepts("number") => {
                self.number(Json::from(*value), *value as f64, schema, place)
            }
            Value::Signed(value) if accepts("integer") || accepts("number") => {
                self.number(Json::from(*value), *value as f64, schema, place)
            }
            Value::Float(value) if accepts("number") => {
                self.number(Json::from(*value), *value, schema, place)
            }
            _ if accepts("string") && self.document.scalar(node).is_some() => {
                self.text(node, schema, place)
            }
            _ => self.wrong_type(node, schema, place),
        }
    }

    /// The variant that fits what stands there, so that its own mistakes can be named.
    fn one_of(
        &mut self,
        node: &Node,
        schema: &'a Json,
        variants: &'a [Json],
        place: &KeyPath,
        key: Option<&Key>,
    ) -> Json {
        if variants.iter().all(|v| self.resolve(v).get("const").is_some()) {
            return self.word(node, variants, place);
        }
        let native = match &node.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Unsigned(_) | Value::Signed(_) => "integer",
            Value::Float(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        };
        let wanted: &[&str] = match native {
            "integer" => &["integer", "number", "string"],
            "boolean" | "number" => &[native, "string"],
            _ => &[native],
        };
        let fitting = wanted
            .iter()
            .find_map(|name| variants.iter().find(|v| self.covers(self.resolve(v), name)));
        match fitting {
            Some(variant) => self.node(node, variant, place, key),
            None => self.wrong_type(node, schema, place),
        }
    }

    fn covers(&self, schema: &'a Json, name: &str) -> bool {
        match alternatives(schema) {
            Some(variants) => variants.iter().any(|v| self.covers(self.resolve(v), name)),
            None => types(schema).contains(&name),
        }
    }

    /// One of a closed set of words.
    fn word(&mut self, node: &Node, variants: &'a [Json], place: &KeyPath) -> Json {
        let words: Vec<&str> = variants
            .iter()
            .filter_map(|v| self.resolve(v).get("const").and_then(Json::as_str))
            .collect();
        let found = self.document.scalar(node).unwrap_or_default().to_owned();
        if words.contains(&found.as_str()) {
            return Json::String(found);
        }
        let at = self.document.position(place);
        let help = match nearest(&found, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it must be {}", choice(words)),
        };
        let message = if self.document.scalar(node).is_some() {
            format!("{} is not a valid value of `{place}`", quoted(&found))
        } else {
            format!("`{place}` must be a word, not {}", node.describe())
        };
        self.report(ProblemKind::InvalidValue, at, message, Some(help))
    }

    fn mapping(
        &mut self,
        node: &Node,
        entries: &[(Key, Node)],
        schema: &'a Json,
        place: &KeyPath,
        own_key: Option<&Key>,
    ) -> Json {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|more| more.is_object());
        let mut out = Map::new();
        let mut misspelt = Vec::new();
        for (key, value) in entries {
            let inner = place.key(&key.name);
            if let Some(property) = known.and_then(|known| known.get(&key.name)) {
                out.insert(key.name.clone(), self.node(value, property, &inner, Some(key)));
            } else if let Some(more) = others {
                out.insert(key.name.clone(), self.node(value, more, &inner, Some(key)));
            } else {
                misspelt.extend(self.unknown_key(key, place, known.unwrap_or(&empty)));
            }
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let Some(name) = name.as_str().filter(|name| node.get(name).is_none()) else {
                continue;
            };
            // A misspelt key is one mistake, not an unknown key and a missing one.
            if misspelt.iter().any(|meant| meant == name) {
                continue;
            }
            let at = match own_key {
                Some(key) => Position::new(self.document.text(), key.span.clone()),
                None => self.document.position(place),
            };
            let wanted = if place.is_root() {
                format!("`{name}` is missing")
            } else {
                format!("`{name}` is missing in `{place}`")
            };
            let help = known
                .and_then(|known| known.get(name))
                .and_then(|property| describe(self.resolve(property), property));
            self.report(ProblemKind::MissingKey, at, wanted, help);
        }
        Json::Object(out)
    }

    /// Returns the key that was probably meant.
    fn unknown_key(
        &mut self,
        key: &Key,
        place: &KeyPath,
        known: &Map<String, Json>,
    ) -> Option<String> {
        let at = Position::new(self.document.text(), key.span.clone());
        let names = || known.keys().map(String::as_str);
        let message = if place.is_root() {
            format!("unknown key {}", quoted(&key.name))
        } else {
            format!("unknown key {} in `{place}`", quoted(&key.name))
        };
        let near = nearest(&key.name, names());
        let help = if greenloop_model::names_secret(&key.name) && known.contains_key("api_key_env")
        {
            Some(
                "keys do not belong in the file: export it as OPENAI_API_KEY, or select another \
                 variable with `api_key_env`"
                    .to_owned(),
            )
        } else if let Some(near) = near {
            Some(format!("did you mean `{near}`?"))
        } else if self.is_rest_of_value(key) {
            Some(
                "in `{…}` a comma ends a value: quote a value that has one, as in \
                 { command: 'pytest a,b' }"
                    .to_owned(),
            )
        } else if let Some(home) = self.home_of(&key.name) {
            Some(format!("`{}` belongs under `{home}`", key.name))
        } else {
            Some(format!("known keys: {}", list(names())))
        };
        self.report(ProblemKind::UnknownKey, at, message, help);
        near.map(str::to_owned)
    }

    /// Whether the key has no value and stands after a comma, as what follows one in a value does.
    fn is_rest_of_value(&self, key: &Key) -> bool {
        let text = self.document.text();
        let before = text.get(..key.span.start).unwrap_or_default().trim_end();
        let after = text.get(key.span.end..).unwrap_or_default().trim_start();
        before.ends_with(',') && after.starts_with([',', '}'])
    }

    /// The section that has a key of this name, when it is only in the wrong place.
    fn home_of(&self, name: &str) -> Option<String> {
        let sections = self.schema.get("properties")?.as_object()?;
        sections.iter().find_map(|(section, schema)| {
            let schema = self.unwrapped(schema);
            if schema.get("properties").and_then(|p| p.get(name)).is_some() {
                return Some(section.clone());
            }
            let inner = schema.get("properties")?.as_object()?;
            inner.iter().find_map(|(key, schema)| {
                self.unwrapped(schema)
                    .get("properties")
                    .and_then(|p| p.get(name))
                    .map(|_| format!("{section}.{key}"))
            })
        })
    }

    /// The schema behind an optional one.
    fn unwrapped(&self, schema: &'a Json) -> &'a Json {
        let schema = self.resolve(schema);
        alternatives(schema)
            .and_then(|variants| {
                variants.iter().map(|v| self.resolve(v)).find(|v| v.get("properties").is_some())
            })
            .unwrap_or(schema)
    }

    fn list(&mut self, items: &[Node], schema: &'a Json, place: &KeyPath) -> Json {
        if let Some(least) = schema.get("minItems").and_then(Json::as_u64)
            && (items.len() as u64) < least
        {
            let at = self.document.position(place);
            let message = format!("`{place}` must not be empty");
            return self.report(ProblemKind::InvalidValue, at, message, None);
        }
        let Some(item_schema) = schema.get("items") else {
            return Json::Array(items.iter().map(|item| self.anything(item)).collect());
        };
        let read = |(i, item)| self.node(item, item_schema, &place.index(i), None);
        Json::Array(items.iter().enumerate().map(read).collect())
    }

    fn number(&mut self, json: Json, value: f64, schema: &Json, place: &KeyPath) -> Json {
        let least = schema.get("minimum").and_then(Json::as_f64);
        let most = schema.get("maximum").and_then(Json::as_f64);
        let outside = least.is_some_and(|least| value < least) || most.is_some_and(|m| value > m);
        if !outside {
            return json;
        }
        let at = self.document.position(place);
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("must be between {least} and {most}"),
            (Some(least), None) => format!("must be at least {least}"),
            (None, Some(most)) => format!("must be at most {most}"),
            (None, None) => "is out of range".to_owned(),
        };
        let message = format!("`{place}` is {value}; it {range}");
        self.report(ProblemKind::OutOfRange, at, message, None)
    }

    fn text(&mut self, node: &Node, schema: &'a Json, place: &KeyPath) -> Json {
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            let found = self.document.scalar(node).unwrap_or_default().to_owned();
            if !words.contains(&found.as_str()) {
                let at = self.document.position(place);
                let help = match nearest(&found, words.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it must be {}", choice(words)),
                };
                let message = format!("{} is not a valid value of `{place}`", quoted(&found));
                return self.report(ProblemKind::InvalidValue, at, message, Some(help));
            }
        }
        Json::String(self.document.scalar(node).unwrap_or_default().to_owned())
    }

    fn wrong_type(&mut self, node: &Node, schema: &'a Json, place: &KeyPath) -> Json {
        let at = self.document.position(place);
        let mut wanted = Vec::new();
        self.words(schema, &mut wanted);
        let wanted = match wanted.as_slice() {
            [] => "something else".to_owned(),
            [only] => (*only).to_owned(),
            [most @ .., last] => format!("{} or {last}", most.join(", ")),
        };
        let subject = if place.is_root() { "the file".to_owned() } else { format!("`{place}`") };
        let message = format!("{subject} must be {wanted}, not {}", node.describe());
        let help = match node.value {
            Value::Null => Some("set a value, or remove the key".to_owned()),
            _ => describe(schema, schema),
        };
        self.report(ProblemKind::WrongType, at, message, help)
    }

    fn words(&self, schema: &'a Json, out: &mut Vec<&'static str>) {
        let schema = self.resolve(schema);
        if let Some(variants) = alternatives(schema) {
            for variant in variants {
                self.words(variant, out);
            }
            return;
        }
        for name in types(schema) {
            let word = match name {
                "object" => "a mapping",
                "array" => "a list",
                "boolean" => "true or false",
                "integer" => "a whole number",
                "number" => "a number",
                "string" => "text",
                _ => continue,
            };
            if !out.contains(&word) {
                out.push(word);
            }
        }
    }

    /// A value whose form is the user's own: a request's body.
    fn anything(&self, node: &Node) -> Json {
        match &node.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Unsigned(value) => Json::from(*value),
            Value::Signed(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(|item| self.anything(item)).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.name.clone(), self.anything(value)))
                .collect(),
        }
    }
}

fn alternatives(schema: &Json) -> Option<&[Json]> {
    ["anyOf", "oneOf"]
        .iter()
        .find_map(|name| schema.get(name).and_then(Json::as_array))
        .map(Vec::as_slice)
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name.as_str()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The first paragraph of a schema's description.
fn describe(schema: &Json, property: &Json) -> Option<String> {
    let text = property.get("description").or_else(|| schema.get("description"))?.as_str()?;
    Some(text.split("\n\n").next().unwrap_or(text).replace('\n', " "))
}
