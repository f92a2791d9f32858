//! What looks like a secret. A configuration is committed and shown on screens, so a secret in
//! it is refused, and redacted in the report that says so.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::vault_reference::reference;
use greenloop_evidence::tokens;
use greenloop_model::names_secret;

/// What kind of secret a text holds, if it holds one. The shapes are those of the redactor.
pub fn find(text: &str) -> Option<&'static str> {
    tokens(text.as_bytes()).into_iter().min_by_key(|(span, _)| span.start).map(|(_, what)| what)
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
    spans.extend(tokens(text.as_bytes()).into_iter().map(|(span, _)| span));
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
        assert!(ASSIGNMENT.is_some());
    }

    #[test]
    fn finds_secrets_and_leaves_ordinary_values() {
        for (text, expect) in [
            ("sk-proj-abcdefghijklmnop1234", Some("a key of a model provider")),
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
