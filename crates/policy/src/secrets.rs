//! Credentials by their shape: what a patch must never add. A match's detail never shows it.

use regex::Regex;

use super::PolicyError;
use super::lines::{Alignment, split};

#[rustfmt::skip]
const SHAPES: &[(&str, &str)] = &[
    ("a private key", r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----"),
    ("an AWS access key", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{20,}|hooks\.slack\.com/services/T\w+/B\w+/\w{20,}"),
    ("an OpenAI key", r"\bsk-(proj-|svcacct-|ant-)?[A-Za-z0-9_-]{32,}"),
    ("a Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{20,}"),
    ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    ("an Azure storage key", r"\bAccountKey=[A-Za-z0-9+/]{80,}={0,2}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b|//[^\s:]+/:_authToken=[A-Za-z0-9_-]{20,}"),
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{40,}"),
    ("a PyPI token", r"\bpypi-[A-Za-z0-9_-]{60,}"),
    ("a crates.io token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("an Azure DevOps or Entra secret", r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{34}\b"),
];

/// A credential on a line that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    /// 0-based line of the resulting file.
    pub line: usize,
    pub what: &'static str,
}

#[derive(Debug)]
pub(super) struct Secrets {
    shapes: Vec<(&'static str, Regex)>,
}

impl Secrets {
    pub(super) fn new() -> Result<Self, PolicyError> {
        let shapes = SHAPES
            .iter()
            .map(|(what, shape)| Regex::new(shape).map(|regex| (*what, regex)))
            .collect::<Result<_, _>>()
            .map_err(|source| PolicyError::Words { source: Box::new(source) })?;
        Ok(Self { shapes })
    }

    /// Credentials of the resulting file that the file before did not hold.
    pub(super) fn find(&self, before: &[u8], after: &[u8], lines: &Alignment) -> Vec<Secret> {
        let before = String::from_utf8_lossy(before);
        let mut found = Vec::new();
        for (number, line) in split(after).into_iter().enumerate() {
            if !lines.is_added(number) {
                continue;
            }
            let line = String::from_utf8_lossy(line);
            for (what, shape) in &self.shapes {
                let new = shape
                    .find_iter(&line)
                    .any(|hit| !is_placeholder(hit.as_str()) && !before.contains(hit.as_str()));
                if new {
                    found.push(Secret { line: number, what });
                }
            }
        }
        found
    }
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
        let secrets = Secrets::new().expect("valid shapes");
        secrets.find(before.as_bytes(), after.as_bytes(), &lines).len()
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
