//! What is known of languages and tools, as data: one table a family. The first row that a line
//! matches wins, so the particular stands before the general.
//!
//! To teach Greenloop a tool, add a row with examples; the tests in `rule_set.rs` hold every row to
//! its examples and keep [`HARMLESS`] lines from starting anything.

mod bazel;
mod build_tools;
mod ci;
mod classes;
mod dart;
mod databases;
mod dotnet;
mod general;
mod go;
mod javascript;
mod jvm;
mod languages;
mod locations;
mod native;
mod python;
mod ruby_php;
mod rust;
mod scenarios;
mod swift;
mod tools;

pub(super) use classes::{CLASS_PATTERNS, ClassPattern};
#[cfg(test)]
pub(super) use general::HARMLESS;
pub(super) use general::{DULL, NOISE, PREFIXES, RESULT_COLUMNS, STEPS, TABBED_PREFIX};
pub(super) use locations::{LOCATIONS, NOT_FILES};

use super::rule::Rule;

/// All rows, in the order in which they are tried.
pub(super) fn tables() -> impl Iterator<Item = &'static Rule> {
    [
        ci::EPITAPHS,
        native::KILLED,
        swift::RULES,
        bazel::RULES,
        dart::RULES,
        languages::RULES,
        databases::RULES,
        scenarios::RULES,
        rust::RULES,
        python::RULES,
        javascript::RULES,
        go::RULES,
        jvm::RULES,
        dotnet::RULES,
        ruby_php::RULES,
        native::RULES,
        build_tools::RULES,
        tools::RULES,
        ci::RULES,
        general::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Length of a level in brackets at the start, such as Maven's `[ERROR] `. A warning's is not
/// one: what a tool calls a warning did not fail the build.
pub(super) fn level_len(text: &str) -> usize {
    ["[ERROR] ", "[error] ", "[FATAL] ", "[INFO] "]
        .into_iter()
        .find(|level| text.starts_with(level))
        .map_or(0, str::len)
}
