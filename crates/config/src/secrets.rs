//! What looks like a secret. A configuration is committed and shown on screens, so a secret in
//! it is refused, and redacted in the report that says so.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::vault_reference::reference;
use greenloop_model::names_secret;

/// Forms that are secrets wherever they stand. Each has a prefix that nothing else has, so that
/// an ordinary value is never refused.
const FORMS: &[(&str, &str)] = &[
    ("an OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{16,}"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{16,}"),
    ("an AWS access key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a Google API key", r"\bAIza[A-Za-z0-9_-]{30,}"),
    ("a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{30,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"),
    (
        "a private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----)?",
    ),
    ("an Azure account key", r"(?i)\b(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/=]{20,}"),
    ("a password in a URL", r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@"),
    ("a bearer token", r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}=*"),
];

static FORM: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    FORMS.iter().filter_map(|(what, form)| Some((*what, Regex::new(form).ok()?))).collect()
});

/// What kind of secret a text holds, if it holds one.
pub fn find(text: &str) -> Option<&'static str> {
    FORM.iter().find(|(_, form)| form.is_match(text)).map(|(what, _)| *what)
}

/// Whether a value under a secret's name could be a real one: `test` and `dummy` are not.
pub(super) fn is_credible(value: &str) -> bool {
    value.len() >= 12
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic())
        && !value.contains(char::is_whitespace)
}

/// Names and the credible values they are given, for redaction.
static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?m)(?:^|[\s{,-])["']?([\w-]+)["']?\s*:[ \t]*["']?([^\s"',}#]{12,})"#).ok()
});

/// `text`, byte for byte as long, with what looks like a secret and every control character
/// that a terminal could obey replaced.
pub(super) fn redact(text: &str) -> String {
    redact_also(text, Vec::new())
}

/// [`redact`], and the given bytes as well.
pub(super) fn redact_also(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.extend(FORM.iter().flat_map(|(_, form)| form.find_iter(text)).map(|m| m.range()));
    if let Some(assignment) = ASSIGNMENT.as_ref() {
        spans.extend(
            assignment
                .captures_iter(text)
                .filter(|c| c.get(1).is_some_and(|name| names_secret(name.as_str())))
                .filter_map(|c| c.get(2))
                .filter(|value| is_credible(value.as_str()) && reference(value.as_str()).is_none())
                .map(|value| value.range()),
        );
    }
    spans.sort_by_key(|span| span.start);
    let mut spans = spans.into_iter().peekable();
    let mut hidden_to = 0;
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let obeyed = c.is_control() && !matches!(c, '\n' | '\t' | '\r');
        while let Some(span) = spans.next_if(|span| span.start <= at) {
            hidden_to = hidden_to.max(span.end);
        }
        let hidden = c != '\n' && at < hidden_to;
        if hidden || obeyed {
            out.extend(std::iter::repeat_n(if hidden { '*' } else { '?' }, c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_a_valid_expression() {
        assert_eq!(FORM.len(), FORMS.len());
        assert!(ASSIGNMENT.is_some());
    }

    #[test]
    fn finds_secrets_and_leaves_ordinary_values() {
        for (text, expect) in [
            ("sk-proj-abcdefghijklmnop1234", Some("an OpenAI key")),
            ("ghp_abcdefghijklmnopqrstuvwxyz012345", Some("a GitHub token")),
            ("https://user:hunter2@example.org", Some("a password in a URL")),
            ("-----BEGIN RSA PRIVATE KEY-----", Some("a private key")),
            ("Bearer abcdefghijklmnop123456", Some("a bearer token")),
            ("npm run lint", None),
            ("https://example.org/a:b@c", None),
            ("task-runner-with-a-long-name-here", None),
            ("OPENAI_API_KEY", None),
            ("--max-old-space-size=8192", None),
        ] {
            assert_eq!(find(text), expect, "{text}");
        }
    }

    #[test]
    fn redacts_without_moving_anything() {
        let text = "a: sk-abcdefghijklmnop1234\nDB_PASSWORD_PROD: hunter2hunter2 # é\n\x1b[31m\n";
        let redacted = redact(text);
        assert_eq!(redacted.len(), text.len());
        assert!(!redacted.contains("abcdefgh") && !redacted.contains("hunter2"), "{redacted}");
        assert!(redacted.contains("# é") && !redacted.contains('\x1b'));
    }
}
