//! Regular expressions in the built-in tables, for `#[serde(deserialize_with = …)]`.

use regex::{Regex, RegexBuilder};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// A list of expressions for which upper and lower case are the same.
pub(super) fn ignoring_case<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Regex>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let build = |text: &String| RegexBuilder::new(text).case_insensitive(true).build();
    texts.iter().map(build).collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// An expression whose `^` and `$` match at the ends of lines.
pub(super) fn by_lines<'de, D: Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
    let text = String::deserialize(from)?;
    RegexBuilder::new(&text).multi_line(true).build().map_err(D::Error::custom)
}

/// A list of such expressions.
pub(super) fn all_by_lines<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Regex>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let build = |text: &String| RegexBuilder::new(text).multi_line(true).build();
    texts.iter().map(build).collect::<Result<_, _>>().map_err(D::Error::custom)
}
