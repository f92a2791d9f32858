//! The YAML text as a tree whose every node knows its place in the file.
//!
//! Reads text only; knows nothing of what the keys mean. Bounded: the text and what it unfolds
//! to by its [`FileKind`], aliases and depth by the parser's budgets.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Error as YamlError, Location, MessageFormatter, Spanned};

use super::error::{ConfigError, Position, Problem, ProblemKind, quoted};
use super::file_kind::FileKind;

/// How deeply lists and mappings may be nested. The parser recurses, in an unoptimised build
/// with some 30 KiB a level, and threads have stacks of 2 MiB.
const DEEPEST: usize = 24;

/// A file that is YAML.
#[derive(Debug, Clone)]
pub struct Document {
    file_name: String,
    text: String,
    kind: &'static FileKind,
    root: Node,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it is used: for an alias, the alias.
    pub span: Range<usize>,
    /// Where it is written: for an alias, the anchored value.
    written: Range<usize>,
    pub value: Value,
}

/// What stands there.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub span: Range<usize>,
}

/// A way through the tree: `quality_gates[1].needs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    pub fn root() -> Self {
        Self::default()
    }

    pub fn key(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(name.to_owned()));
        Self(steps)
    }

    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The place of which this is a part; the root is its own.
    #[must_use]
    pub fn parent(&self) -> Self {
        let steps = self.0.split_last().map_or(&[][..], |(_, rest)| rest);
        Self(steps.to_vec())
    }

    /// A place below this one.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self([self.0.as_slice(), below.0.as_slice()].concat())
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys on the way, without the numbers of lists.
    pub fn keys(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|step| match step {
                Step::Key(name) => Some(name.as_str()),
                Step::Index(_) => None,
            })
            .collect()
    }

    /// The innermost key on the way.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if i == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Document {
    pub fn parse(
        text: &str,
        file_name: &str,
        kind: &'static FileKind,
    ) -> Result<Self, ConfigError> {
        let fail = |problem, span, message: String, help: &str| {
            Err(ConfigError::in_text(
                file_name,
                text,
                vec![Problem {
                    kind: problem,
                    message,
                    help: (!help.is_empty()).then(|| help.to_owned()),
                    position: Some(Position::new(text, span)),
                }],
            ))
        };
        if text.len() > kind.longest {
            return fail(
                ProblemKind::TooLarge,
                0..0,
                format!("{file_name} has {} bytes; the maximum is {}", text.len(), kind.longest),
                kind.when_too_large,
            );
        }
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return fail(
                ProblemKind::Empty,
                0..0,
                format!("{file_name} is empty"),
                kind.when_empty,
            );
        }
        match serde_yaml::from_str_with_options::<Spanned<Any>>(text, options(kind)) {
            Ok(root) => {
                let root = Node::new(root);
                // A tag is dropped by the parser, and with it the `!` of `! grep x y`.
                if let Some(tag) = first_tag(text, &root) {
                    return fail(
                        ProblemKind::Syntax,
                        until_line_end(text, tag..tag),
                        "this begins with `!`, which YAML takes for a tag".to_owned(),
                        "write the whole text in quotes, or below a `|`",
                    );
                }
                Ok(Self { file_name: file_name.to_owned(), text: text.to_owned(), kind, root })
            }
            Err(error) => {
                let (problem, message, help) = describe(&error);
                let span = error.location().map_or(0..0, |at| span_in(text, &at));
                fail(problem, until_line_end(text, span), message, help)
            }
        }
    }

    pub fn root(&self) -> &Node {
        &self.root
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The most mistakes that are reported at once.
    pub fn most_problems(&self) -> usize {
        self.kind.most_problems
    }

    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// A scalar as it was written, quotes and escapes resolved.
    pub fn scalar<'a>(&'a self, node: &'a Node) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {
                self.text.get(node.written.clone()).map(str::trim)
            }
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Where `place` is, or the nearest thing around it that the file has. A mapping or a list
    /// is shown by its key, a scalar by itself.
    pub fn position(&self, place: &KeyPath) -> Position {
        let mut node = &self.root;
        let mut span = self.shown_root();
        for step in &place.0 {
            let next = match (step, &node.value) {
                (Step::Key(name), Value::Map(entries)) => {
                    entries.iter().find(|(key, _)| key.name == *name).map(|(key, value)| {
                        (value, if value.is_scalar() { &value.span } else { &key.span })
                    })
                }
                (Step::Index(index), Value::List(items)) => items
                    .get(*index)
                    .map(|item| (item, item.first_key().map_or(&item.span, |key| &key.span))),
                _ => None,
            };
            let Some((value, shown)) = next else { break };
            node = value;
            span = shown.clone();
        }
        Position::new(&self.text, span)
    }

    /// Whether the file has something there.
    pub fn has(&self, place: &KeyPath) -> bool {
        let mut node = &self.root;
        for step in &place.0 {
            let next = match (step, &node.value) {
                (Step::Key(name), _) => node.get(name),
                (Step::Index(index), Value::List(items)) => items.get(*index),
                (Step::Index(_), _) => None,
            };
            let Some(next) = next else { return false };
            node = next;
        }
        true
    }

    fn shown_root(&self) -> Range<usize> {
        let whole = || until_line_end(&self.text, self.root.span.clone());
        self.root.first_key().map_or_else(whole, |key| key.span.clone())
    }

    /// The places of all scalars, keys included in their place.
    pub fn scalars(&self) -> Vec<(KeyPath, &Node)> {
        let mut found = Vec::new();
        let mut open = vec![(KeyPath::root(), &self.root)];
        while let Some((place, node)) = open.pop() {
            match &node.value {
                Value::List(items) => {
                    open.extend(items.iter().enumerate().map(|(i, item)| (place.index(i), item)));
                }
                Value::Map(entries) => {
                    open.extend(entries.iter().map(|(key, value)| (place.key(&key.name), value)));
                }
                Value::Null
                | Value::Bool(_)
                | Value::Unsigned(_)
                | Value::Signed(_)
                | Value::Float(_)
                | Value::Text(_) => found.push((place, node)),
            }
        }
        found
    }
}

impl Node {
    /// Where it is written: for an alias, the anchored value.
    pub(super) fn written(&self) -> Range<usize> {
        self.written.clone()
    }

    fn new(any: Spanned<Any>) -> Self {
        Self { span: span_of(&any.referenced), written: span_of(&any.defined), value: any.value.0 }
    }

    fn is_scalar(&self) -> bool {
        match self.value {
            Value::List(_) | Value::Map(_) | Value::Null => false,
            Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::Text(_) => true,
        }
    }

    fn first_key(&self) -> Option<&Key> {
        match &self.value {
            Value::Map(entries) => entries.first().map(|(key, _)| key),
            _ => None,
        }
    }

    /// The value of `name`, when this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> Vec<&str> {
        match &self.value {
            Value::Map(entries) => entries.iter().map(|(key, _)| key.name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// What it is, in the words of an error.
    pub fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "true or false",
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// The position of the file's first tag, of a value or of a key. The parser reports tags only
/// at the cost of more stack for each level.
fn first_tag(text: &str, root: &Node) -> Option<usize> {
    let mut first: Option<usize> = None;
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        let of_value = tag_before(text, node.written.start, true);
        let mut of_key = None;
        match &node.value {
            Value::List(items) => open.extend(items),
            Value::Map(entries) => {
                of_key =
                    entries.iter().find_map(|(key, _)| tag_before(text, key.span.start, false));
                open.extend(entries.iter().map(|(_, value)| value));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Unsigned(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::Text(_) => {}
        }
        first = first.into_iter().chain(of_value).chain(of_key).min();
    }
    first
}

/// The `!` of the tag before what begins at `start`, past an anchor and the header of a block.
fn tag_before(text: &str, start: usize, across_lines: bool) -> Option<usize> {
    let mut before = text.get(..start)?;
    // The span of an anchored value may begin at the anchor.
    let mut at = start;
    while text[at..].starts_with('&') {
        let anchor = text[at..].find(char::is_whitespace).map_or(text.len(), |end| at + end);
        at = text.len() - text[anchor..].trim_start().len();
    }
    let mut found = text[at..].starts_with('!').then_some(at);
    loop {
        before = without_blank(before, across_lines);
        let word = before.rfind(|c: char| c.is_whitespace() || matches!(c, '[' | '{' | ','));
        let word = match before.strip_suffix('>').and_then(|uri| uri.rfind("!<")) {
            // A tag in full may hold a comma.
            Some(tag) if !before[tag..].contains(char::is_whitespace) => tag,
            Some(_) | None => word.map_or(0, |at| at + 1),
        };
        match before.as_bytes().get(word) {
            // `"a !b":` is a key.
            Some(b'!') if !before.ends_with(':') => return Some(word),
            Some(b'&') => {}
            // The text of a block may begin with any character.
            Some(b'|' | b'>') => found = None,
            Some(_) | None => return found,
        }
        before = &before[..word];
    }
}

/// `text` without white space and comments at its end; nothing at a line's beginning, unless
/// `across_lines`.
fn without_blank(text: &str, across_lines: bool) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_end_matches([' ', '\t', '\r']);
        let Some(above) = rest.strip_suffix('\n') else { return rest };
        if !across_lines {
            return "";
        }
        let begin = above.rfind('\n').map_or(0, |at| at + 1);
        let line = &above[begin..];
        let comment = line.char_indices().find(|(at, c)| {
            *c == '#' && line[..*at].chars().next_back().is_none_or(char::is_whitespace)
        });
        rest = &above[..begin + comment.map_or(line.len(), |(at, _)| at)];
    }
}

fn options(kind: &FileKind) -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEEPEST,
            max_events: 10 * kind.nodes,
            max_nodes: kind.nodes,
            max_total_scalar_bytes: 4 * kind.longest,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 1_000,
        },
        // A mode or a port that is written `0644` means octal, as kubectl reads it.
        legacy_octal_numbers: true,
        with_snippet: false,
        emit_comments: false,
    }
}

fn span_of(at: &Location) -> Range<usize> {
    let span = at.span();
    match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(len)) => {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            start..start.saturating_add(usize::try_from(len).unwrap_or(0))
        }
        _ => 0..0,
    }
}

/// Errors of the scanner know line and column only.
fn span_in(text: &str, at: &Location) -> Range<usize> {
    if at.span().byte_offset().is_some() {
        return span_of(at);
    }
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(count(at.line())).map(str::len).sum();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let column = line.char_indices().nth(count(at.column())).map_or(line.len(), |(i, _)| i);
    line_start + column..line_start + column
}

/// An empty span is stretched to the end of its line, so that there is something to underline.
fn until_line_end(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() || text.get(span.start..).is_none() {
        return span;
    }
    let rest = &text[span.start..];
    span.start..span.start + rest.find('\n').unwrap_or(rest.len())
}

fn describe(error: &YamlError) -> (ProblemKind, String, &'static str) {
    match error {
        YamlError::DuplicateMappingKey { key, .. } => (
            ProblemKind::DuplicateKey,
            match key {
                Some(key) => format!("duplicate key {} in a mapping", quoted(key)),
                None => "duplicate key in a mapping".to_owned(),
            },
            "remove one of the two",
        ),
        YamlError::MultipleDocuments { .. } => (
            ProblemKind::Syntax,
            "a second YAML document begins here".to_owned(),
            "the file must be a single document: remove the `---` and everything after it",
        ),
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => (
            ProblemKind::TooLarge,
            "the file expands to more than the allowed size".to_owned(),
            "use fewer aliases or less nesting",
        ),
        // Valid YAML, with values that no configuration has.
        YamlError::NullIntoString { .. } => (
            ProblemKind::WrongType,
            "a key is text, and this one is null".to_owned(),
            "write the key in quotes, or remove its line",
        ),
        YamlError::Unexpected { expected: "string scalar", .. } => (
            ProblemKind::WrongType,
            "a key is text, and this one is a list or a mapping".to_owned(),
            "write the key in quotes; text that begins with `[` or `{` needs them",
        ),
        YamlError::NonFiniteFloat { value, .. } => (
            ProblemKind::WrongType,
            format!("{} is not a number that can be used", quoted(value)),
            "write it in quotes where it is text, else a finite number",
        ),
        YamlError::UnsupportedTag { tag, .. } => (
            ProblemKind::WrongType,
            format!("the YAML tag {} means nothing here", quoted(tag)),
            "remove the tag, or write the value in quotes where `!` belongs to it",
        ),
        YamlError::UnknownAnchor { .. } => (
            ProblemKind::UnknownName,
            "no anchor has the name of this alias".to_owned(),
            "define it before with `&NAME`, or quote text that begins with `*`",
        ),
        YamlError::WithSnippet { error, .. } | YamlError::AliasError { error, .. } => {
            describe(error)
        }
        other => (
            ProblemKind::Syntax,
            format!(
                "this is not valid YAML: {}",
                first_line(&serde_yaml::DefaultMessageFormatter.format_message(other))
            ),
            "indent with spaces, and quote text that contains `: ` or ` #`, or begins with `{`, \
             `*`, `@` or a quotation mark",
        ),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.trim_start_matches("error: ");
    quoted(line).trim_matches('`').to_owned()
}

/// A value of any type, through serde.
struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor;

        impl<'de> Visitor<'de> for AnyVisitor {
            type Value = Any;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any(Value::Null))
            }

            fn visit_none<E>(self) -> Result<Any, E> {
                Ok(Any(Value::Null))
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Any, D::Error> {
                Any::deserialize(inner)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any(Value::Bool(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any(Value::Unsigned(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any(Value::Signed(value)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                Ok(Any(Value::Float(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Any, E> {
                Ok(Any(Value::Text(value.to_owned())))
            }

            fn visit_string<E>(self, value: String) -> Result<Any, E> {
                Ok(Any(Value::Text(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Any, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Spanned<Any>>()? {
                    items.push(Node::new(item));
                }
                Ok(Any(Value::List(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Any, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    let value = map.next_value::<Spanned<Any>>()?;
                    let key = Key { span: span_of(&key.referenced), name: key.value };
                    entries.push((key, Node::new(value)));
                }
                Ok(Any(Value::Map(entries)))
            }
        }

        deserializer.deserialize_any(AnyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_kind::CONFIGURATION;

    fn parse(text: &str) -> Document {
        Document::parse(text, "config.yaml", &CONFIGURATION).unwrap()
    }

    #[test]
    fn nodes_know_their_place() {
        let text = "a: é\nb:\n  - c: 1\n    d: \"two\" # x\n  - yes\n";
        let document = parse(text);
        for (place, expect) in [
            (KeyPath::root().key("a"), "é"),
            (KeyPath::root().key("b"), "b"),
            (KeyPath::root().key("b").index(0), "c"),
            (KeyPath::root().key("b").index(0).key("c"), "1"),
            (KeyPath::root().key("b").index(0).key("d"), "\"two\""),
            (KeyPath::root().key("b").index(1), "yes"),
            (KeyPath::root().key("b").index(7).key("x"), "b"),
        ] {
            let at = document.position(&place);
            assert_eq!(&text[at.span.clone()], expect, "{place}");
        }
        let at = document.position(&KeyPath::root().key("b").index(0).key("d"));
        assert_eq!((at.line, at.column), (4, 8));
    }

    #[test]
    fn a_scalar_keeps_the_way_it_was_written() {
        let document = parse("a: 0010\nb: yes\nc: 1.50\nd: 'x'\ne: &x 7\nf: *x\n");
        for (key, expect) in
            [("a", "0010"), ("b", "yes"), ("c", "1.50"), ("d", "x"), ("e", "7"), ("f", "7")]
        {
            let node = document.root().get(key).unwrap();
            assert_eq!(document.scalar(node), Some(expect), "{key}");
        }
    }

    #[test]
    fn a_tag_is_an_error_where_it_stands() {
        for (text, line, column) in [
            ("a: ! grep x y\n", 1, 4),
            ("a: !foo bar\n", 1, 4),
            ("a: !!str 1\n", 1, 4),
            ("a: !!binary aGk=\n", 1, 4),
            ("a: !<tag:x,2000:y> z\n", 1, 4),
            ("a: 'no ! tag'\nb: {c: ! grep x, d: 1}\n", 2, 8),
            ("a:\n  - ! grep x\n", 2, 5),
            ("a:\n  - [x, !y z]\n", 2, 9),
            ("a: &n !t x\nb: *n\n", 1, 7),
            ("a: !t &n x\nb: *n\n", 1, 4),
            ("a: !t\n  b: 1\n", 1, 4),
            ("a: !t [x]\n", 1, 4),
            ("a: &n !t [x]\n", 1, 7),
            ("a: &n !t\n  b: 1\n", 1, 7),
            ("a: ! |\n  x\n", 1, 4),
            ("a: ! 'x'\n", 1, 4),
            ("a: 1\n!t b: 2\n", 2, 1),
            ("a: {x: 1, !t b: 2}\n", 1, 11),
            ("!t\na: 1\n", 1, 1),
        ] {
            let error = Document::parse(text, "config.yaml", &CONFIGURATION).unwrap_err();
            let problem = &error.problems()[0];
            let at = problem.position.as_ref().unwrap();
            assert_eq!((at.line, at.column), (line, column), "{text:?}: {error}");
            assert!(problem.message.contains("takes for a tag"), "{text:?}: {error}");
        }
        // Within text, a `!` is a character.
        for text in [
            "a: '! grep x y'\n",
            "a: |\n  ! grep x y\n",
            "a: x !y\n# !t\nb: 2\n",
            "a: {b: x !y, c: 1}\n",
            "a: \"x\n  !y\"\nb: 1\n",
            "a: # !t\n  - b\n",
            "a: >- # !t\n  !b c\nd:\n  - 1\n",
            "a: [x !y, z]\n",
            "\"a !b\": 1\n",
        ] {
            parse(text);
        }
    }

    #[test]
    fn what_is_not_yaml_is_an_error_with_a_place() {
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
        for (text, kind, line) in [
            ("a: [1, 2\nb: 3\n", ProblemKind::Syntax, 2),
            ("a:\n\t- b\n", ProblemKind::Syntax, 2),
            ("a: 1\n\tb: 2\n", ProblemKind::Syntax, 2),
            ("a: 'open\n", ProblemKind::Syntax, 2),
            ("a: 1\nb: 2\na: 3\n", ProblemKind::DuplicateKey, 3),
            ("a: *nothing\n", ProblemKind::UnknownName, 1),
            ("null: 1\n", ProblemKind::WrongType, 1),
            ("a:\n  ~: 1\n", ProblemKind::WrongType, 2),
            ("a:\n  [b]: 1\n", ProblemKind::WrongType, 2),
            ("a: 1\nb: [.inf]\n", ProblemKind::WrongType, 2),
            ("a: 1\n---\nb: 2\n", ProblemKind::Syntax, 3),
            ("", ProblemKind::Empty, 1),
            ("# only\n\n  # words\n", ProblemKind::Empty, 1),
            (deep.as_str(), ProblemKind::TooLarge, 1),
            (bomb, ProblemKind::TooLarge, 5),
        ] {
            let error = Document::parse(text, "config.yaml", &CONFIGURATION).unwrap_err();
            assert_eq!(error.problems()[0].kind, kind, "{text:?}: {error}");
            assert!(error.line().is_some_and(|l| l <= line), "{text:?}: {error:?}");
        }
        let long = "# x\n".repeat(CONFIGURATION.longest / 4 + 1);
        let error = Document::parse(&long, "config.yaml", &CONFIGURATION).unwrap_err();
        assert_eq!(error.problems()[0].kind, ProblemKind::TooLarge);
    }
}
