//! Credentials by their shape: what a patch must never add. A match's detail never shows it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::lines::{Alignment, split};
use greenloop_evidence::credentials;

/// A credential on a line that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    /// 0-based line of the resulting file.
    pub line: usize,
    pub what: &'static str,
}

/// What stands between two parts of a literal that a program puts together.
static JOINS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"["'`]\s*(\+|\.|,|&|\|\||\.\.)?\s*["'`]"#).ok());

/// Credentials of the resulting file that the file before did not hold. Shapes are the
/// redactor's; a literal in parts is read as one as well.
pub(super) fn find(before: &[u8], after: &[u8], lines: &Alignment) -> Vec<Secret> {
    let before = String::from_utf8_lossy(before);
    let mut found = BTreeSet::new();
    for (number, line) in split(after).into_iter().enumerate() {
        if !lines.is_added(number) {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let joined = JOINS.as_ref().map(|joins| joins.replace_all(&line, ""));
        for text in std::iter::once(&line).chain(&joined) {
            for (span, what) in credentials(text.as_bytes()) {
                let secret = text.get(span).unwrap_or_default();
                if !is_placeholder(secret) && !before.contains(secret) {
                    found.insert((number, what));
                }
            }
        }
    }
    found.into_iter().map(|(line, what)| Secret { line, what }).collect()
}

/// Whether it is an example rather than a credential: says so, or repeats few characters.
fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if ["example", "xxxx", "your", "placeholder", "dummy", "redacted", "0000000000"]
        .iter()
        .any(|word| lower.contains(word))
    {
        return true;
    }
    if text.starts_with("-----") {
        return false;
    }
    let mut distinct: Vec<char> = text.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.len() < 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str, after: &str) -> usize {
        let lines = Alignment::new(Some(before.as_bytes()), Some(after.as_bytes()));
        find(before.as_bytes(), after.as_bytes(), &lines).len()
    }

    #[test]
    fn credentials_are_known_by_shape() {
        // Put together here, so that no scanner takes this file for one that holds them.
        let aws = format!("AKIA{}", "QYLPMN5HHHFPZAM2");
        let github = format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6");
        let pem = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
        for secret in [&aws, &github, &pem] {
            assert_eq!(found("", &format!("key = \"{secret}\"\n")), 1, "{secret}");
            assert_eq!(found(&format!("a {secret}\n"), &format!("b {secret}\n")), 0);
        }
        for text in ["AKIAIOSFODNN7EXAMPLE", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk-short"]
        {
            assert_eq!(found("", text), 0, "{text}");
        }
    }
}
