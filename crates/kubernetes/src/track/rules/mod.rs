//! The rule table: which sign of trouble is final, when, and where the failure is routed to.
//!
//! Order counts, from table to table and in each: the first row that fits a sign is the one, so the special stands before the
//! general; and of several final signs the one whose row stands first is the cause that is told.
//! The messages are those of the kubelet, the controllers, the scheduler and containerd; a test
//! checks that every example comes to its own row.

mod admission;
mod container_start;
mod controller;
mod crash;
mod eviction;
mod image;
mod probe;
mod scheduling;
mod volume;
mod workload;

use super::rule::{Rule, Source};

/// The tables, in order.
const TABLES: [&[Rule]; 10] = [
    workload::RULES,
    admission::RULES,
    eviction::RULES,
    scheduling::RULES,
    volume::RULES,
    image::RULES,
    container_start::RULES,
    crash::RULES,
    probe::RULES,
    controller::RULES,
];

/// All rows, in order.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLES.into_iter().flatten()
}

/// The first row that fits.
pub(super) fn find(source: Source, reason: &str, message: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.fits(source, reason, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_to_its_own_row() {
        let mut ids = std::collections::BTreeSet::new();
        for rule in rules() {
            assert!(ids.insert(rule.id), "{} stands twice", rule.id);
            assert!(!rule.examples.is_empty(), "{} has no example", rule.id);
            for (reason, message) in rule.examples {
                let found = find(rule.source, reason, message).map(|rule| rule.id);
                assert_eq!(found, Some(rule.id), "{reason}: {message}");
            }
        }
    }

    /// `GREENLOOP_UPDATE=1 cargo test --lib kubernetes::track` writes it again.
    #[test]
    fn the_page_says_what_the_table_says() {
        let page = super::super::page::page();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rollout-rules.md");
        if std::env::var_os("GREENLOOP_UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/rollout-rules.md is out of date: just generate");
    }
}
