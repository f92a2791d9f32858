//! Hints for known kinds of failure: data, in `playbooks.yaml`, matched against the evidence.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::pattern;
use greenloop_model::Evidence;

/// At most this many hints go into a brief.
const MOST: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Playbook {
    name: String,
    #[serde(deserialize_with = "pattern::ignoring_case")]
    patterns: Vec<Regex>,
    hint: String,
}

const TABLE: &str = include_str!("playbooks.yaml");

static PLAYBOOKS: LazyLock<Vec<Playbook>> =
    LazyLock::new(|| serde_yaml::from_str(TABLE).unwrap_or_default());

/// The hints whose patterns occur in the evidence, in the order of the file.
pub(super) fn hints(evidence: &Evidence) -> Vec<&'static str> {
    let exit = evidence.exit.as_ref().map(ToString::to_string);
    let texts: Vec<&str> = evidence
        .excerpts
        .iter()
        .map(|excerpt| excerpt.text.as_str())
        .chain(evidence.notes.iter().map(String::as_str))
        .chain(evidence.service_log.as_deref())
        .chain(evidence.http.iter().map(|exchange| exchange.complaint.as_str()))
        .chain(exit.as_deref())
        .collect();
    PLAYBOOKS
        .iter()
        .filter(|book| book.patterns.iter().any(|p| texts.iter().any(|text| p.is_match(text))))
        .inspect(|book| tracing::debug!(playbook = book.name, "applies"))
        .map(|book| book.hint.trim())
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::Excerpt;

    #[test]
    fn the_file_is_sound() {
        let books = serde_yaml::from_str::<Vec<Playbook>>(TABLE).unwrap();
        assert!(books.len() >= 10);
        let mut names: Vec<_> = books.iter().map(|book| &book.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), books.len());
        assert!(books.iter().all(|book| !book.patterns.is_empty() && book.hint.len() > 40));
    }

    #[test]
    fn evidence_finds_its_hints() {
        for (text, expect) in [
            (
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
                Some("max-old-space-size"),
            ),
            (
                "npm ERR! `npm ci` can only install with an existing package-lock.json",
                Some("lock file"),
            ),
            ("error[E0425]: cannot find value `cout` in this scope", Some("near spelling")),
            ("OSError: [Errno 98] Address already in use", Some("PORT")),
            ("assertion failed: left == right", None),
        ] {
            let excerpt = Excerpt {
                start: 1,
                end: 1,
                kind: "general".into(),
                text: text.into(),
                locations: Vec::new(),
            };
            let evidence = Evidence { excerpts: vec![excerpt], ..Evidence::default() };
            let hints = hints(&evidence);
            assert_eq!(!hints.is_empty(), expect.is_some(), "{text}");
            if let Some(expect) = expect {
                assert!(hints[0].contains(expect), "{text}: {hints:?}");
            }
        }
    }
}
