//! What has the shape of a secret, as data.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use regex::bytes::{Captures, Regex};

use super::super::rule::compile;
use super::assignment;

/// A shape.
struct Shape {
    /// Literals, one of which is in every text that has the shape.
    needs: &'static [&'static str],
    /// The expression; the group `s` (`dq`, `sq`, `bare` of an assignment), if it
    /// took part, is the secret, else the whole match is.
    pattern: &'static str,
    /// What the expression cannot say.
    holds: fn(&Captures<'_>) -> bool,
}

const ALWAYS: fn(&Captures<'_>) -> bool = |_| true;

/// Letters of both cases and digits: made by a machine.
fn random(captures: &Captures<'_>) -> bool {
    captures.get(0).is_some_and(|found| {
        let bytes = found.as_bytes();
        bytes.iter().any(u8::is_ascii_digit)
            && bytes.iter().any(u8::is_ascii_uppercase)
            && bytes.iter().any(u8::is_ascii_lowercase)
    })
}

/// Not the digest of a package, which looks the same.
fn no_digest(captures: &Captures<'_>) -> bool {
    captures.name("digest").is_none()
}

const SHAPES: &[Shape] = &[
    Shape {
        needs: &["private key"],
        pattern: r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        holds: ALWAYS,
    },
    // What a cut has left of a key: its end without its beginning.
    Shape {
        needs: &["private key"],
        pattern: r#"(?xm)
            (?: ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]{16,} [\\"',]* \r?\n )*
            ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]+ [\\"',]* \r?\n
            (?: [^\r\n-] | -[^\r\n-] )* -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----
          | (?: [A-Za-z0-9+/=]+ (?:\\[rn])+ )+ -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----"#,
        holds: ALWAYS,
    },
    Shape {
        needs: &["authorization"],
        pattern: r#"(?i)\bauthorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token|negotiate|digest|apikey|key|aws4-hmac-sha256)\s+)?(?P<s>[A-Za-z0-9._~+/=:-]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        needs: &["bearer "],
        pattern: r"(?i)\bbearer\s+(?P<s>[A-Za-z0-9._~+/=-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        needs: &["://"],
        pattern: r#"\b[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/:@'"<>]*:(?P<s>[^\s/@'"<>]+)|[A-Za-z0-9_-]{20,})@"#,
        holds: |captures| {
            captures.name("s").is_none_or(|s| !assignment::is_placeholder(s.as_bytes()))
        },
    },
    Shape {
        needs: &["akia", "asia", "abia", "acca"],
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        holds: ALWAYS,
    },
    Shape {
        needs: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        pattern: r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
        holds: ALWAYS,
    },
    Shape {
        needs: &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-"],
        pattern: r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{16,}",
        holds: ALWAYS,
    },
    Shape { needs: &["sk-"], pattern: r"\bsk-[A-Za-z0-9_-]{20,}", holds: random },
    Shape {
        needs: &["xox", "hooks.slack.com"],
        pattern: r"\bxox[abceprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/(?P<s>[A-Za-z0-9/]{20,})",
        holds: ALWAYS,
    },
    Shape { needs: &["aiza"], pattern: r"\bAIza[0-9A-Za-z_-]{35}", holds: ALWAYS },
    Shape { needs: &["npm_"], pattern: r"\bnpm_[A-Za-z0-9]{36}\b", holds: ALWAYS },
    Shape { needs: &["pypi-"], pattern: r"\bpypi-[A-Za-z0-9_-]{50,}", holds: ALWAYS },
    Shape {
        needs: &["_live_", "_test_"],
        pattern: r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        holds: ALWAYS,
    },
    Shape { needs: &["dckr_pat_"], pattern: r"\bdckr_pat_[A-Za-z0-9_-]{20,}", holds: ALWAYS },
    Shape {
        needs: &["sg."],
        pattern: r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        holds: ALWAYS,
    },
    Shape { needs: &["hf_"], pattern: r"\bhf_[A-Za-z0-9]{30,}", holds: ALWAYS },
    Shape {
        needs: &["accountkey=", "sharedaccesskey=", "sharedaccesssignature="],
        pattern: r#"(?i)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<s>[^;"'\s]{8,})"#,
        holds: ALWAYS,
    },
    Shape {
        needs: &["sig="],
        pattern: r"(?i)[?&;]sig=(?P<s>[A-Za-z0-9%+/=_-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        needs: &["q~"],
        pattern: r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{28,40}",
        holds: ALWAYS,
    },
    Shape {
        needs: &["jqqj99"],
        pattern: r"\b[A-Za-z0-9]{30,60}JQQJ99[A-Za-z0-9]{8,}",
        holds: ALWAYS,
    },
    Shape {
        needs: &["=="],
        pattern: r"(?P<digest>sha\d+[-:])?[A-Za-z0-9+/]{86}==",
        holds: no_digest,
    },
    Shape {
        needs: &["eyj"],
        pattern: r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        holds: ALWAYS,
    },
    Shape {
        needs: &["x-"],
        pattern: r#"(?i)\bx-[a-z0-9-]*(?:key|token|auth|secret)[a-z0-9-]*["']?\s*:\s*["']?(?P<s>[^\s"',]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        needs: &["cookie:"],
        pattern: r"(?i)\b(?:set-)?cookie:\s*(?P<s>[^\s;=]+=[^\r\n]+)",
        holds: ALWAYS,
    },
    Shape {
        needs: &["curl "],
        pattern: r"\bcurl\b[^\r\n]*?\s(?:-u|--user)[ =]+[^\s:]+:(?P<s>[^\s]+)",
        holds: ALWAYS,
    },
    Shape { needs: assignment::NEEDS, pattern: assignment::PATTERN, holds: assignment::holds },
    Shape { needs: assignment::NEEDS, pattern: assignment::LINE, holds: assignment::holds_line },
];

struct Table {
    literals: Option<DFA>,
    of_literal: Vec<usize>,
    shapes: Vec<(Option<Regex>, &'static Shape)>,
}

/// The parts of a text that have the shape of a secret, in no order.
pub(super) fn spans(text: &[u8]) -> Vec<Range<usize>> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let literals: Vec<(&str, usize)> = SHAPES
            .iter()
            .enumerate()
            .flat_map(|(i, shape)| shape.needs.iter().map(move |need| (*need, i)))
            .collect();
        Table {
            literals: DFA::builder()
                .ascii_case_insensitive(true)
                .prefilter(false)
                .build(literals.iter().map(|(need, _)| need))
                .ok(),
            of_literal: literals.iter().map(|(_, i)| *i).collect(),
            shapes: SHAPES.iter().map(|shape| (compile(shape.pattern), shape)).collect(),
        }
    });
    let table = &*TABLE;
    let mut wanted = 0u64;
    if let Some(literals) = &table.literals {
        let Ok(mut state) = literals.start_state(Anchored::No) else { return Vec::new() };
        // The automaton's own search for overlapping matches takes a third longer.
        for byte in text {
            state = literals.next_state(Anchored::No, state, *byte);
            if literals.is_special(state) && literals.is_match(state) {
                for i in 0..literals.match_len(state) {
                    let literal = literals.match_pattern(state, i).as_usize();
                    wanted |= table.of_literal.get(literal).map_or(0, |shape| 1u64 << shape);
                }
            }
        }
    }
    let mut spans = Vec::new();
    if wanted == 0 {
        return spans;
    }
    for (i, (regex, shape)) in table.shapes.iter().enumerate() {
        let Some(regex) = regex.as_ref().filter(|_| wanted & (1 << i) != 0) else { continue };
        for captures in regex.captures_iter(text) {
            let secret = ["s", "dq", "sq", "bare"].into_iter().find_map(|name| captures.name(name));
            if let Some(found) = secret.or_else(|| captures.get(0))
                && (shape.holds)(&captures)
            {
                spans.push(found.range());
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        assert!(SHAPES.len() <= 64);
        for shape in SHAPES {
            assert!(compile(shape.pattern).is_some(), "{}", shape.pattern);
        }
    }
}
