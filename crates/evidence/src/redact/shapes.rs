//! What has the shape of a secret, as data.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Captures, Regex};

use super::super::expression::compile;
use super::assignment;
use super::near::{self, Near};
use super::prefilter::{Literals, Table as Prefilter};
use super::told;

/// What a match of a shape is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// A credential by itself, wherever it stands: no patch may add it.
    Credential,
    /// A secret wherever it stands, though tests and documents make them up too.
    Token,
    /// A secret by the words around it.
    Context,
}

/// A part of a text that has the shape of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShapeMatch {
    pub span: Range<usize>,
    /// `a GitHub token`; empty for a value that is known by its name.
    pub what: &'static str,
    pub weight: Weight,
}

/// A shape.
struct Shape {
    /// What a text of this shape is; empty where the name of a value makes it a secret.
    what: &'static str,
    weight: Weight,
    /// Literals, one of which is in every text that has the shape.
    needs: &'static [&'static str],
    /// The expression; the group `s` (`dq`, `sq`, `bare` of an assignment), if it
    /// took part, is the secret, else the whole match is.
    pattern: &'static str,
    /// What stands next to one of the literals wherever the expression matches: most texts with
    /// a literal have it not, and the expression is not tried on them.
    near: Near,
    /// What the expression cannot say.
    holds: fn(&Captures<'_>) -> bool,
}

const ALWAYS: fn(&Captures<'_>) -> bool = |_| true;

/// Made by a machine: letters and digits, in both cases or in one word, or behind a prefix of the
/// provider's. `sk-loading-spinner-2` is a name.
fn random(captures: &Captures<'_>) -> bool {
    const PREFIXES: &[&str] = &["proj-", "svcacct-", "admin-", "None-", "ant-", "or-"];
    captures.get(0).is_some_and(|found| {
        let bytes = found.as_bytes();
        let key = bytes.splitn(2, |byte| *byte == b'-').nth(1).unwrap_or_default();
        let any = |test: fn(&u8) -> bool| key.iter().any(test);
        any(u8::is_ascii_digit)
            && any(u8::is_ascii_alphabetic)
            && (any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase)
                || !key.iter().any(|byte| matches!(byte, b'-' | b'_'))
                || PREFIXES.iter().any(|prefix| key.starts_with(prefix.as_bytes())))
    })
}

/// A user of an address without a password that is a token itself: long, or of letters in both
/// cases and several digits.
fn is_token_as_user(user: &[u8]) -> bool {
    let any = |test: fn(&u8) -> bool| user.iter().any(test);
    user.len() >= 20
        || any(u8::is_ascii_uppercase)
            && any(u8::is_ascii_lowercase)
            && user.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
}

/// Not the digest of a package, which looks the same.
fn no_digest(captures: &Captures<'_>) -> bool {
    captures.name("digest").is_none()
}

const SHAPES: &[Shape] = &[
    Shape {
        what: "a private key",
        weight: Weight::Credential,
        needs: &["private key"],
        near: near::anything,
        pattern: r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        holds: ALWAYS,
    },
    // What a cut has left of a key: its end without its beginning.
    Shape {
        what: "a private key",
        weight: Weight::Credential,
        needs: &["private key"],
        near: near::anything,
        pattern: r#"(?xm)
            (?: ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]{16,} [\\"',]* \r?\n )*
            ^ (?:[^\r\n]*[\ \t])? [A-Za-z0-9+/=]+ [\\"',]* \r?\n
            (?: [^\r\n-] | -[^\r\n-] )* -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----
          | (?: [A-Za-z0-9+/=]+ (?:\\[rn])+ )+ -----END\ [A-Z0-9\ ]*PRIVATE\ KEY(?:\ BLOCK)?-----"#,
        holds: ALWAYS,
    },
    Shape {
        what: "an authorization header",
        weight: Weight::Token,
        needs: &["authorization"],
        near: near::assigned,
        pattern: r#"(?i)(?:\b|_)authorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|bot|token|negotiate|digest|apikey|key|aws4-hmac-sha256)\s+)?(?P<s>[A-Za-z0-9._~+/=:-]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "a bearer token",
        weight: Weight::Token,
        needs: &["bearer "],
        near: near::anything,
        pattern: r"(?i)(?:\b|_)bearer\s+(?P<s>[A-Za-z0-9._~+/=-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        what: "a password in a URL",
        weight: Weight::Token,
        needs: &["://"],
        near: near::user_of_url,
        pattern: r#"(?:\b|_)[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s/:@'"<>]*:(?P<s>[^\s/@'"<>]+)|(?P<dq>[A-Za-z0-9_-]{12,}))@"#,
        holds: |captures| match captures.name("s") {
            Some(password) => !assignment::is_placeholder(password.as_bytes()),
            None => captures.name("dq").is_some_and(|user| is_token_as_user(user.as_bytes())),
        },
    },
    Shape {
        what: "an AWS access key",
        weight: Weight::Credential,
        needs: &["akia", "asia", "abia", "acca"],
        near: near::token::<16>,
        pattern: r"(?:\b|_)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?:\b|_)",
        holds: ALWAYS,
    },
    Shape {
        what: "a GitHub token",
        weight: Weight::Credential,
        needs: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        near: near::token::<30>,
        pattern: r"(?:\b|_)(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
        holds: ALWAYS,
    },
    Shape {
        what: "a GitLab token",
        weight: Weight::Credential,
        needs: &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-"],
        near: near::token::<16>,
        pattern: r"(?:\b|_)gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a key of a model provider",
        weight: Weight::Credential,
        needs: &["sk-"],
        near: near::token::<20>,
        pattern: r"(?:\b|_)sk-[A-Za-z0-9_-]{20,}",
        holds: random,
    },
    Shape {
        what: "a Slack token",
        weight: Weight::Credential,
        needs: &["xox", "hooks.slack.com"],
        near: near::slack,
        pattern: r"(?:\b|_)xox[abceprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/(?P<s>[A-Za-z0-9/]{20,})",
        holds: ALWAYS,
    },
    Shape {
        what: "a Google API key",
        weight: Weight::Credential,
        needs: &["aiza"],
        near: near::token::<35>,
        pattern: r"(?:\b|_)AIza[0-9A-Za-z_-]{35}",
        holds: ALWAYS,
    },
    Shape {
        what: "an npm token",
        weight: Weight::Credential,
        needs: &["npm_"],
        near: near::token::<36>,
        pattern: r"(?:\b|_)npm_[A-Za-z0-9]{36}(?:\b|_)",
        holds: ALWAYS,
    },
    Shape {
        what: "a PyPI token",
        weight: Weight::Credential,
        needs: &["pypi-"],
        near: near::token::<50>,
        pattern: r"(?:\b|_)pypi-[A-Za-z0-9_-]{50,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Stripe key",
        weight: Weight::Credential,
        needs: &["_live_", "_test_"],
        near: near::stripe,
        pattern: r"(?:\b|_)[srp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Docker token",
        weight: Weight::Credential,
        needs: &["dckr_pat_"],
        near: near::token::<20>,
        pattern: r"(?:\b|_)dckr_pat_[A-Za-z0-9_-]{20,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a SendGrid key",
        weight: Weight::Credential,
        needs: &["sg."],
        near: near::token::<16>,
        pattern: r"(?:\b|_)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        holds: ALWAYS,
    },
    Shape {
        what: "a Hugging Face token",
        weight: Weight::Credential,
        needs: &["hf_"],
        near: near::token::<30>,
        pattern: r"(?:\b|_)hf_[A-Za-z0-9]{30,}",
        holds: ALWAYS,
    },
    Shape {
        what: "an Azure key",
        weight: Weight::Credential,
        needs: &["accountkey=", "sharedaccesskey=", "sharedaccesssignature="],
        near: near::anything,
        pattern: r#"(?i)(?:\b|_)(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<s>[^;"'\s]{8,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "a signed address",
        weight: Weight::Credential,
        needs: &["sig="],
        near: near::anything,
        pattern: r"(?i)[?&;]sig=(?P<s>[A-Za-z0-9%+/=_-]{16,})",
        holds: ALWAYS,
    },
    Shape {
        what: "an Entra secret",
        weight: Weight::Credential,
        needs: &["0q~", "1q~", "2q~", "3q~", "4q~", "5q~", "6q~", "7q~", "8q~", "9q~"],
        near: near::anything,
        pattern: r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{28,40}",
        holds: ALWAYS,
    },
    Shape {
        what: "an Azure key",
        weight: Weight::Credential,
        needs: &["jqqj99"],
        near: near::anything,
        pattern: r"(?:\b|_)[A-Za-z0-9]{30,60}JQQJ99[A-Za-z0-9]{8,}",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &[
            "a==", "b==", "c==", "d==", "e==", "f==", "g==", "h==", "i==", "j==", "k==", "l==",
            "m==", "n==", "o==", "p==", "q==", "r==", "s==", "t==", "u==", "v==", "w==", "x==",
            "y==", "z==", "0==", "1==", "2==", "3==", "4==", "5==", "6==", "7==", "8==", "9==",
            "+==", "/==",
        ],
        near: near::base64,
        pattern: r"(?P<digest>sha\d+[-:])?[A-Za-z0-9+/]{86}==",
        holds: no_digest,
    },
    Shape {
        what: "a JSON web token",
        weight: Weight::Token,
        needs: &["eyj"],
        near: near::token::<8>,
        pattern: r"(?:\b|_)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["key", "token", "auth", "secret"],
        near: near::header,
        pattern: r#"(?i)(?:\b|_)x-[a-z0-9-]*(?:key|token|auth|secret)[a-z0-9-]*["']?\s*:\s*["']?(?P<s>[^\s"',]{6,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "a cookie",
        weight: Weight::Token,
        needs: &["cookie:"],
        near: near::anything,
        pattern: r"(?i)(?:\b|_)(?:set-)?cookie:\s*(?P<s>[^\s;=]+=[^\r\n]+)",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["curl "],
        near: near::anything,
        pattern: r"(?:\b|_)curl\b[^\r\n]*?\s(?:-u|--user)[ =]+[^\s:]+:(?P<s>[^\s]+)",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: assignment::NEEDS,
        near: near::assigned_or_flag,
        pattern: assignment::PATTERN,
        holds: assignment::holds,
    },
    Shape {
        what: "a token of a service",
        weight: Weight::Credential,
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
            "gto_",
            "doo_v1_",
            "dor_v1_",
            "ccipat_",
            "cciprj_",
            "bkua_",
        ],
        near: near::service,
        pattern: r"(?x)(?:\b|_)(?:
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
          | gto_[a-f0-9]{40} | do[or]_v1_[a-f0-9]{40,} | CCI(?:PAT|PRJ)_[A-Za-z0-9]{16,}_[a-f0-9]{32,} | bkua_[a-f0-9]{40}
        )",
        holds: ALWAYS,
    },
    Shape {
        what: "a Twilio key",
        weight: Weight::Credential,
        needs: &[
            "sk0", "sk1", "sk2", "sk3", "sk4", "sk5", "sk6", "sk7", "sk8", "sk9", "ska", "skb",
            "skc", "skd", "ske", "skf",
        ],
        near: near::token::<30>,
        pattern: r"(?:\b|_)SK[0-9a-f]{32}(?:\b|_)",
        holds: ALWAYS,
    },
    Shape {
        what: "a signed address",
        weight: Weight::Credential,
        needs: &["&sig=", "?sig="],
        near: near::anything,
        pattern: r"[?&]sig=(?P<s>[A-Za-z0-9%+/]{40,}(?:%3D|=)?)",
        holds: ALWAYS,
    },
    Shape {
        what: "a bot token",
        weight: Weight::Credential,
        needs: &[":aa"],
        near: near::bot,
        pattern: r"(?:\b|_)\d{8,10}:AA[A-Za-z0-9_-]{33}(?:\b|_)",
        holds: ALWAYS,
    },
    Shape {
        what: "a bot token",
        weight: Weight::Token,
        needs: &["discord"],
        near: near::anything,
        pattern: r"(?x) \b [MNO][A-Za-z0-9_-]{22,27} \. [A-Za-z0-9_-]{6} \. [A-Za-z0-9_-]{27,45} (?:\b|_)
            | (?i: discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/ ) (?P<s> [A-Za-z0-9_-]{40,} )",
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &[
            "password>",
            "passwd>",
            "passphrase>",
            "secret>",
            "token>",
            "key>",
            "pwd>",
            "pat>",
            "credentials>",
            "value=",
        ],
        near: near::anything,
        pattern: told::MARKUP,
        holds: told::named,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["password=", "password =", "pwd=", "pwd =", "key=", "key ="],
        near: near::anything,
        pattern: told::CONNECTION,
        holds: told::given,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &[" login ", " upload ", " publish ", "nuget", "vault login", " pass:"],
        near: near::anything,
        pattern: told::COMMAND,
        holds: told::given,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["-stdin", "--stdin", "--with-token", "chpasswd"],
        near: near::anything,
        pattern: told::PIPED,
        holds: told::given,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["password", "passwd", "secret", "token", "_key"],
        near: near::named,
        pattern: told::SET,
        holds: told::set,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["password "],
        near: near::anything,
        pattern: told::NETRC,
        holds: told::mixed,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &[
            "set to",
            "changed to",
            "updated to",
            "rotated to",
            " key:",
            " key =",
            "pw:",
            "pw =",
            "pw=",
            "wort:",
            "wort =",
        ],
        near: near::anything,
        pattern: told::SENTENCE,
        holds: told::mixed,
    },
    // Programs that take a password as an argument.
    Shape {
        what: "",
        weight: Weight::Context,
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
        near: near::anything,
        pattern: r#"(?x)
            \b(?:mysql\w*|mariadb\w*)\b [^\r\n|;]*? \s -p (?P<s> ['"]?[^\s'"-][^\s'"]{3,} )
          | \bsshpass\s+-p\s*(?P<dq> ['"]?[^\s'"]{4,} )
          | \b(?:redis|valkey)-cli\b [^\r\n|;]*? \s -a \s+ (?P<sq> ['"]?[^\s'"]{4,} )
          | \b(?:ldapsearch|keytool)\b [^\r\n|;]*? \s -(?:w|storepass|keypass) \s+ (?P<bare> ['"]?[^\s'"]{4,} )"#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["--from-literal"],
        near: near::anything,
        pattern: r#"--from-literal[= ]['"]?[A-Za-z0-9_.-]+=(?P<s>[^\s'"]{4,})"#,
        holds: ALWAYS,
    },
    Shape {
        what: "a Docker login",
        weight: Weight::Token,
        needs: &["\"auth\""],
        near: near::anything,
        pattern: r#""auth"\s*:\s*"(?P<s>[A-Za-z0-9+/]{12,}={0,2})""#,
        holds: ALWAYS,
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["password ", "passwort ", "passphrase ", "token ", "secret ", "key "],
        near: near::prose,
        pattern: r#"(?i)(?:\b|_)(?:using\s+(?:password|token|key)|(?:password|passphrase|passwort|token|secret|api\s?key)\s+(?:(?:is|was|ist)\s*:?|for\s+\S+\s*:))\s+['"`]?(?P<s>[^\s'"`,;]*\d[^\s'"`,;]*[A-Za-z][^\s'"`,;]{2,}|[^\s'"`,;]*[A-Za-z][^\s'"`,;]*\d[^\s'"`,;]*)"#,
        holds: |captures| captures.name("s").is_some_and(|s| s.as_bytes().len() >= 6),
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: &["secret_id", "secretid", "secret-id"],
        near: near::assigned,
        pattern: r#"(?i)(?:\b|_)\w*secret[_-]?id\b["']?\s*[=:]\s*["']?(?P<s>[A-Za-z0-9-]{12,})"#,
        holds: |captures| {
            captures.name("s").is_some_and(|s| s.as_bytes().iter().any(u8::is_ascii_digit))
        },
    },
    Shape {
        what: "",
        weight: Weight::Context,
        needs: assignment::NEEDS,
        near: near::assigned,
        pattern: assignment::LINE,
        holds: assignment::holds_line,
    },
];

struct Table {
    /// All literals, each with the number of its shape.
    literals: Literals,
    /// Each with its expression, which is compiled when the first text comes that it may match.
    shapes: Vec<(OnceLock<Option<Regex>>, &'static Shape)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let needs = |(number, shape): (usize, &Shape)| shape.needs.iter().map(move |n| (*n, number));
    Table {
        literals: Literals::new(SHAPES.iter().enumerate().flat_map(needs)),
        shapes: SHAPES.iter().map(|shape| (OnceLock::new(), shape)).collect(),
    }
});

/// The table of the literals of all shapes, to which values may be added.
pub(super) fn prefilter() -> Prefilter {
    TABLE.literals.table().clone()
}

/// The parts of a text that are credentials by themselves, whatever stands around them, with what
/// each is. For texts that a program writes, such as a patch: names and assignments tell nothing
/// there.
pub fn credentials(text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
    let found = found(text).into_iter().filter(|found| found.weight == Weight::Credential);
    found.map(|found| (found.span, found.what)).collect()
}

/// The parts of a text that are secrets wherever they stand, with what each is; those that only
/// the name of a value makes one are not among them. For files that people write and commit.
pub fn tokens(text: &[u8]) -> Vec<(Range<usize>, &'static str)> {
    let found = found(text).into_iter().filter(|found| found.weight != Weight::Context);
    found.map(|found| (found.span, found.what)).collect()
}

/// The parts of a text that have the shape of a secret, in no order.
pub(super) fn found(text: &[u8]) -> Vec<ShapeMatch> {
    scan(TABLE.literals.table(), text).matches
}

/// What one pass over a text finds.
#[derive(Default)]
pub(super) struct Scan {
    /// The parts that have the shape of a secret, in no order.
    pub matches: Vec<ShapeMatch>,
    /// Where known values may begin.
    pub values: Vec<usize>,
    /// Where the last word of a line may begin a credential that goes on after a wrap.
    pub open: Vec<usize>,
}

/// Looks for shapes, and for the beginnings of the values that were added to the table.
pub(super) fn scan(table: &Prefilter, text: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let Scan { matches, values, open } = &mut scan;
    let mut passed = [0usize; 64];
    let literal = |number: usize, literal: Range<usize>| {
        let Some((regex, shape)) = TABLE.shapes.get(number) else { return };
        if is_open(text, shape, &literal) {
            open.push(literal.start);
        }
        let Some(to) = passed.get_mut(number).filter(|to| literal.end > **to || **to == 0) else {
            return;
        };
        if !(shape.near)(text, &literal) {
            return;
        }
        let Some(regex) = regex.get_or_init(|| compile(shape.pattern)) else { return };
        let part = if shape.is_multiline() {
            // The whole text, once.
            *to = usize::MAX;
            0..text.len()
        } else {
            let line = line_at(text, literal.end);
            *to = line.end;
            line
        };
        collect(regex, shape, text.get(part.clone()).unwrap_or_default(), part.start, matches);
    };
    TABLE.literals.scan(table, text, literal, |at| values.push(at));
    scan
}

/// The line of the byte before `at`, without its end.
fn line_at(text: &[u8], at: usize) -> Range<usize> {
    let before = text.get(..at.saturating_sub(1)).unwrap_or_default();
    let from = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let rest = text.get(at..).unwrap_or_default();
    from..at + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

fn collect(
    regex: &Regex,
    shape: &'static Shape,
    text: &[u8],
    offset: usize,
    matches: &mut Vec<ShapeMatch>,
) {
    for captures in regex.captures_iter(text) {
        let secret = ["s", "dq", "sq", "bare"].into_iter().find_map(|name| captures.name(name));
        if let Some(found) = secret.or_else(|| captures.get(0))
            && (shape.holds)(&captures)
        {
            // The end of the last line is none of the secret.
            let length = found.as_bytes().trim_ascii_end().len();
            let span = found.start() + offset..found.start() + length + offset;
            matches.push(ShapeMatch { span, what: shape.what, weight: shape.weight });
        }
    }
}

impl Shape {
    /// Whether what has this shape goes over several lines.
    fn is_multiline(&self) -> bool {
        self.needs == ["private key"]
    }
}

/// Whether the last word of a text may be the beginning of a credential that goes on after a wrap.
/// A line that does waits for the next one, so ordinary words and addresses must not.
pub(super) fn may_go_on(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let from = text.iter().rposition(|byte| ends_word(*byte)).map_or(0, |before| before + 1);
    let word = text.get(from..).unwrap_or_default();
    let mut any = false;
    let literal = |number: usize, literal| {
        let shape = TABLE.shapes.get(number);
        any |= shape.is_some_and(|(_, shape)| is_open(word, shape, &literal));
    };
    TABLE.literals.scan(TABLE.literals.table(), word, literal, |_| {});
    any
}

/// What no credential has in it.
fn ends_word(byte: u8) -> bool {
    b" \t\"'`=,;()<>".contains(&byte)
}

/// Whether a literal stands in the last word of its line, and begins a credential there that may
/// go on after a wrap.
fn is_open(text: &[u8], shape: &Shape, literal: &Range<usize>) -> bool {
    /// Literals that stand within a credential, or behind a name.
    const WITHIN: &[&[u8]] = &[b"q~", b"jqqj99", b".atlasv1.", b"azdo", b":aa"];
    if shape.weight != Weight::Credential && shape.needs != ["eyj"] {
        return false;
    }
    let rest = text.get(literal.start..).unwrap_or_default();
    let separator = |byte: &u8| ends_word(*byte) || *byte == b'\n';
    let end = rest.iter().position(separator).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let line =
        memchr::memchr(b'\n', after).map_or(after, |end| after.get(..end).unwrap_or_default());
    if word.trim_ascii_end().len() < literal.len() || !line.trim_ascii().is_empty() {
        return false;
    }
    let before = text.get(..literal.start).unwrap_or_default();
    let from = before.iter().rposition(separator).map_or(0, |at| at + 1);
    let before = before.get(from..).unwrap_or_default();
    let begins = !before.last().is_some_and(u8::is_ascii_alphanumeric);
    let name = word.get(..literal.len()).unwrap_or_default().to_ascii_lowercase();
    (begins || WITHIN.iter().any(|within| name.ends_with(within)))
        && [before, word]
            .into_iter()
            .flatten()
            .any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::prefilter::PROBE;
    use super::*;

    #[test]
    fn every_expression_compiles() {
        assert!(SHAPES.len() <= 64);
        let needs = SHAPES.iter().flat_map(|shape| shape.needs);
        assert!(needs.into_iter().all(|need| need.len() >= PROBE && *need == need.to_lowercase()));
        for shape in SHAPES {
            assert!(compile(shape.pattern).is_some(), "{}", shape.pattern);
        }
    }
}
