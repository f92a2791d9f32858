//! What has the shape of a secret, as data.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use regex::bytes::{Captures, Regex};

use super::super::expression::compile;
use super::assignment;

/// A shape.
struct Shape {
    /// What a text of this shape is by itself, wherever it stands; empty where the words around it
    /// make it a secret.
    what: &'static str,
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
        what: "a private key",
        needs: &["private key"],
        pattern: r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        holds: ALWAYS,
    },
    // What a cut has left of a key: its end without its beginning.
    Shape {
        what: "a private key",
        needs: &["private key"],
        pattern: r#"(?xm)
            (?: ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]{16,} [\\"',]* \r?\n )*
            ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]+ [\\"',]* \r?\n
            (?: [^\r\n-] | -[^\r\n-] )* -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----
          | (?: [A-Za-z0-9+/=]+ (?:\\[rn])+ )+ -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["authorization"],
        pattern: r#"(?i)\bauthorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token|negotiate|digest|apikey|key|aws4-hmac-sha256)\s+)?(?P<s>[A-Za-z0-9._~+/=:-]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["bearer "],
        pattern: r"(?i)\bbearer\s+(?P<s>[A-Za-z0-9._~+/=-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["://"],
        pattern: r#"\b[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/:@'"<>]*:(?P<s>[^\s/@'"<>]+)|[A-Za-z0-9_-]{20,})@"#,
        holds: |captures| {
            captures.name("s").is_none_or(|s| !assignment::is_placeholder(s.as_bytes()))
        },
    },
    Shape {
        what: "an AWS access key",
        needs: &["akia", "asia", "abia", "acca"],
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        holds: ALWAYS,
    },
    Shape {
        what: "a GitHub token",
        needs: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        pattern: r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
        holds: ALWAYS,
    },
    Shape {
        what: "a GitLab token",
        needs: &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-"],
        pattern: r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a key of a model provider",
        needs: &["sk-"],
        pattern: r"\bsk-[A-Za-z0-9_-]{20,}",
        holds: random,
    },
    Shape {
        what: "a Slack token",
        needs: &["xox", "hooks.slack.com"],
        pattern: r"\bxox[abceprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/(?P<s>[A-Za-z0-9/]{20,})",
        holds: ALWAYS,
    },
    Shape {
        what: "a Google API key",
        needs: &["aiza"],
        pattern: r"\bAIza[0-9A-Za-z_-]{35}",
        holds: ALWAYS,
    },
    Shape {
        what: "an npm token",
        needs: &["npm_"],
        pattern: r"\bnpm_[A-Za-z0-9]{36}\b",
        holds: ALWAYS,
    },
    Shape {
        what: "a PyPI token",
        needs: &["pypi-"],
        pattern: r"\bpypi-[A-Za-z0-9_-]{50,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Stripe key",
        needs: &["_live_", "_test_"],
        pattern: r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Docker token",
        needs: &["dckr_pat_"],
        pattern: r"\bdckr_pat_[A-Za-z0-9_-]{20,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a SendGrid key",
        needs: &["sg."],
        pattern: r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Hugging Face token",
        needs: &["hf_"],
        pattern: r"\bhf_[A-Za-z0-9]{30,}",
        holds: ALWAYS,
    },
    Shape {
        what: "an Azure key",
        needs: &["accountkey=", "sharedaccesskey=", "sharedaccesssignature="],
        pattern: r#"(?i)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<s>[^;"'\s]{8,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "a signed address",
        needs: &["sig="],
        pattern: r"(?i)[?&;]sig=(?P<s>[A-Za-z0-9%+/=_-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        what: "an Entra secret",
        needs: &["q~"],
        pattern: r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{28,40}",
        holds: ALWAYS,
    },
    Shape {
        what: "an Azure key",
        needs: &["jqqj99"],
        pattern: r"\b[A-Za-z0-9]{30,60}JQQJ99[A-Za-z0-9]{8,}",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["=="],
        pattern: r"(?P<digest>sha\d+[-:])?[A-Za-z0-9+/]{86}==",
        holds: no_digest,
    },
    Shape {
        what: "",
        needs: &["eyj"],
        pattern: r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["x-"],
        pattern: r#"(?i)\bx-[a-z0-9-]*(?:key|token|auth|secret)[a-z0-9-]*["']?\s*:\s*["']?(?P<s>[^\s"',]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["cookie:"],
        pattern: r"(?i)\b(?:set-)?cookie:\s*(?P<s>[^\s;=]+=[^\r\n]+)",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["curl "],
        pattern: r"\bcurl\b[^\r\n]*?\s(?:-u|--user)[ =]+[^\s:]+:(?P<s>[^\s]+)",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: assignment::NEEDS,
        pattern: assignment::PATTERN,
        holds: assignment::holds,
    },
    Shape {
        what: "a token of a service",
        needs: &[
            "hvs.",
            "hvb.",
            "hvr.",
            "dop_v1_",
            "shpat_",
            "shpss_",
            "shpca_",
            "glsa_",
            "glc_",
            "nrak-",
            "pmak-",
            "pscale_",
            "sbp_",
            "lin_api_",
            "ntn_",
            "dapi",
            "figd_",
            "sntrys_",
            "gsk_",
            "xai-",
            "pplx-",
            "r8_",
            "tskey-",
            "rubygems_",
            "goccspx-",
            "gocspx-",
            "ya29.",
            "atatt3",
            "atctt3",
            "atbb",
            "cio",
            "pul-",
            "age-secret-key-",
            "whsec_",
            "xapp-",
            "dp.pt.",
            "dp.st.",
            "hrku-",
            "sq0",
            "eaaa",
            "key-",
            "ltai",
            "fo1_",
            "fm2_",
            "vercel_",
            "nfp_",
            "ddp_",
            "sk.eyj",
            "oy2",
            "tfp_",
            "pat-",
            "rk_live",
            "azdo",
            "akcp",
            ".atlasv1.",
            "sq0csp",
            "secret_",
        ],
        pattern: r"(?x)\b(?:
            hv[sbr]\.[A-Za-z0-9_-]{20,} | dop_v1_[a-f0-9]{40,} | shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}
          | gl(?:sa|c)_[A-Za-z0-9_=+/-]{30,} | NRAK-[A-Z0-9]{27} | PMAK-[A-Za-z0-9-]{50,}
          | pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{30,} | sbp_[a-f0-9]{40} | lin_api_[A-Za-z0-9]{32,}
          | ntn_[A-Za-z0-9]{40,} | secret_[A-Za-z0-9]{43} | dapi[a-f0-9]{32} | figd_[A-Za-z0-9_-]{30,}
          | sntry[su]_[A-Za-z0-9_=+/-]{30,} | gsk_[A-Za-z0-9]{40,} | xai-[A-Za-z0-9]{60,} | pplx-[A-Za-z0-9]{40,}
          | r8_[A-Za-z0-9]{37} | tskey-[a-z]+-[A-Za-z0-9-]{20,} | rubygems_[a-f0-9]{48} | GOCSPX-[A-Za-z0-9_-]{24,}
          | ya29\.[A-Za-z0-9_-]{30,} | AT(?:ATT|CTT)3[A-Za-z0-9_=-]{50,} | ATBB[A-Za-z0-9]{28,} | cio[A-Za-z0-9]{32}
          | pul-[a-f0-9]{40} | AGE-SECRET-KEY-1[A-Z0-9]{50,} | whsec_[A-Za-z0-9+/=]{24,} | xapp-\d-[A-Za-z0-9-]{20,}
          | dp\.[a-z]{2,3}\.[A-Za-z0-9]{40,} | HRKU-[A-Za-z0-9-]{30,} | sq0(?:csp|atp|idp)-[A-Za-z0-9_-]{20,}
          | EAAA[A-Za-z0-9_-]{56,} | key-[a-f0-9]{32} | LTAI[A-Za-z0-9]{16,24} | f(?:o1|m2)_[A-Za-z0-9_=+/,-]{30,}
          | (?:vercel|nfp)_[A-Za-z0-9_-]{24,} | sk\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{10,} | oy2[a-z0-9]{43}
          | AKCp[A-Za-z0-9]{60,} | [A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,} | [A-Za-z0-9]{70,}AZDO[A-Za-z0-9]{4}
        )",
        holds: ALWAYS,
    },
    Shape {
        what: "a Twilio key",
        needs: &[
            "sk0", "sk1", "sk2", "sk3", "sk4", "sk5", "sk6", "sk7", "sk8", "sk9", "ska", "skb",
            "skc", "skd", "ske", "skf",
        ],
        pattern: r"\bSK[0-9a-f]{32}\b",
        holds: ALWAYS,
    },
    Shape {
        what: "a signed address",
        needs: &["&sig=", "?sig="],
        pattern: r"[?&]sig=(?P<s>[A-Za-z0-9%+/]{40,}(?:%3D|=)?)",
        holds: ALWAYS,
    },
    Shape {
        what: "a bot token",
        needs: &[":aa"],
        pattern: r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b",
        holds: ALWAYS,
    },
    // Programs that take a password as an argument.
    Shape {
        what: "",
        needs: &[
            "mysql",
            "mariadb",
            "mysqldump",
            "sshpass",
            "redis-cli",
            "valkey-cli",
            "smbclient",
            "ldapsearch",
            "keytool",
        ],
        pattern: r#"(?x)
            \b(?:mysql\w*|mariadb\w*)\b [^\r\n|;]*? \s -p (?P<s> ['"]?[^\s'"-][^\s'"]{3,} )
          | \bsshpass\s+-p\s*(?P<dq> ['"]?[^\s'"]{4,} )
          | \b(?:redis|valkey)-cli\b [^\r\n|;]*? \s -a \s+ (?P<sq> ['"]?[^\s'"]{4,} )
          | \b(?:ldapsearch|keytool)\b [^\r\n|;]*? \s -(?:w|storepass|keypass) \s+ (?P<bare> ['"]?[^\s'"]{4,} )"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["--from-literal"],
        pattern: r#"--from-literal[= ]['"]?[A-Za-z0-9_.-]+=(?P<s>[^\s'"]{4,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["\"auth\""],
        pattern: r#""auth"\s*:\s*"(?P<s>[A-Za-z0-9+/]{12,}={0,2})""#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        needs: &["password ", "passwort ", "passphrase ", "token ", "secret ", "key "],
        pattern: r#"(?i)\b(?:using\s+(?:password|token|key)|(?:password|passphrase|passwort|token|secret|api\s?key)\s+(?:(?:is|was|ist)\s*:?|for\s+\S+\s*:))\s+['"`]?(?P<s>[^\s'"`,;]*\d[^\s'"`,;]*[A-Za-z][^\s'"`,;]{2,}|[^\s'"`,;]*[A-Za-z][^\s'"`,;]*\d[^\s'"`,;]*)"#,
        holds: |captures| captures.name("s").is_some_and(|s| s.as_bytes().len() >= 6),
    },
    Shape {
        what: "",
        needs: &["secret_id", "secretid", "secret-id"],
        pattern: r#"(?i)\b\w*secret[_-]?id\b["']?\s*[=:]\s*["']?(?P<s>[A-Za-z0-9-]{12,})"#,
        holds: |captures| {
            captures.name("s").is_some_and(|s| s.as_bytes().iter().any(u8::is_ascii_digit))
        },
    },
    Shape {
        what: "",
        needs: assignment::NEEDS,
        pattern: assignment::LINE,
        holds: assignment::holds_line,
    },
];

struct Table {
    literals: Option<DFA>,
    of_literal: Vec<usize>,
    shapes: Vec<(Option<Regex>, &'static Shape)>,
}

/// The parts of a text that are credentials by themselves, whatever stands around them, with what
/// each is. For texts that a program writes, such as a patch: names and assignments tell nothing
/// there.
pub fn credentials(text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
    found(text).into_iter().filter(|(_, what)| !what.is_empty()).collect()
}

/// The parts of a text that have the shape of a secret, in no order.
pub(super) fn spans(text: &[u8]) -> Vec<Range<usize>> {
    found(text).into_iter().map(|(span, _)| span).collect()
}

fn found(text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
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
                spans.push((found.range(), shape.what));
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
