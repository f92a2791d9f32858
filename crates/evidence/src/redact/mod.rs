//! Secrets out: known values in every spelling a log may give them, and what has the shape of a
//! secret.
//!
//! Invariants: what is replaced becomes [`MARKER`]; the number of lines never changes; text
//! without a secret comes back borrowed.

mod assignment;
mod below;
mod cut;
mod encoded;
mod environment;
mod key;
mod last_check;
mod line;
mod near;
mod plain;
mod prefilter;
mod runs;
mod shapes;
mod told;
mod value_index;
mod values;
mod wrapped;

use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

pub(super) use key::{KEY_MARKER, KeyLine, KeyState};
pub use last_check::last_check;
pub use line::LineRedactor;
pub use shapes::{credentials, tokens};
pub use values::{SecretValue, sensitive_parts};

use value_index::ValueIndex;

/// Replaces a secret that is known by its value or by its name. If its shape tells its kind, the
/// marker names the kind as well: `[redacted: github-token]`.
pub const MARKER: &str = "[redacted]";

/// Bytes that are looked at together for secrets in other forms.
const BLOCK: usize = 32 * 1024;

/// Forms within forms: a colour in base64 in a URL in JSON.
const DEEPEST: u8 = 4;

/// Shorter values are not looked for: they are words.
const SHORTEST: usize = 6;

/// Bytes of all spellings, beyond which a value is looked for as it is alone: whole certificate
/// stores would take hundreds of MiB otherwise.
const MOST_SPELLED: usize = 4 << 20;

/// Takes secrets out of text. Cheap to clone; all clones share what [`Redactor::learn`] adds, so
/// that a value that becomes known during a run is known to every sink from then on.
#[derive(Clone)]
pub struct Redactor {
    known: Arc<RwLock<Arc<KnownValues>>>,
}

struct KnownValues {
    index: ValueIndex,
    /// The values, as they are.
    values: Vec<Vec<u8>>,
}

impl Default for KnownValues {
    fn default() -> Self {
        Self { index: ValueIndex::new(Vec::new(), &[], shapes::prefilter()), values: Vec::new() }
    }
}

impl KnownValues {
    /// With these values as well; `None` when none of them is new.
    fn grown(&self, more: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut spellings = self.index.spellings().to_vec();
        let mut values = self.values.clone();
        let mut spelled: usize = spellings.iter().map(Vec::len).sum();
        for secret in more {
            let whole = secret.trim();
            // A value of several lines is printed line by line.
            let lines = whole.lines().map(str::trim).filter(|_| whole.contains('\n'));
            for value in std::iter::once(whole).chain(lines) {
                if value.len() < SHORTEST || value.starts_with("-----") {
                    continue;
                }
                if spelled < MOST_SPELLED {
                    let more = encoded::spellings(value);
                    spelled += more.iter().map(Vec::len).sum::<usize>();
                    spellings.extend(more);
                    values.push(value.as_bytes().to_vec());
                } else {
                    spellings.push(value.as_bytes().to_vec());
                }
            }
        }
        spellings.sort_unstable();
        spellings.dedup();
        if spellings.len() == self.index.spellings().len() {
            return None;
        }
        values.sort_unstable();
        values.dedup();
        let index = ValueIndex::new(spellings, &values, shapes::prefilter());
        Some(Self { index, values })
    }
}

impl std::fmt::Debug for Redactor {
    /// Never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.known().index.spellings().len();
        f.debug_struct("Redactor").field("spellings", &count).finish()
    }
}

impl Default for Redactor {
    /// Knows no values, only shapes.
    fn default() -> Self {
        Self::knowing(KnownValues::default())
    }
}

impl Redactor {
    /// Knows these values, of six bytes or more, in every spelling of [`encoded::spellings`],
    /// and the built-in shapes.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        Self::default().with(secrets)
    }

    /// Knows these values as well; this redactor and its clones do not.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = String>) -> Self {
        let known = self.known();
        match known.grown(more) {
            Some(grown) => Self::knowing(grown),
            None => Self { known: Arc::new(RwLock::new(known)) },
        }
    }

    /// Knows these values from now on, and so does every clone of this redactor.
    pub fn learn(&self, more: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(grown) = known.grown(more) {
            *known = Arc::new(grown);
        }
    }

    fn knowing(known: KnownValues) -> Self {
        Self { known: Arc::new(RwLock::new(Arc::new(known))) }
    }

    fn known(&self) -> Arc<KnownValues> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Knows the values of the environment variables whose names look secret.
    pub fn from_env() -> Self {
        Self::from_vars(std::env::vars_os())
    }

    /// Knows the values of those of these variables whose names look secret.
    pub fn from_vars(vars: impl Iterator<Item = (OsString, OsString)>) -> Self {
        Self::new(environment::secrets(vars))
    }

    /// Knows from now on the values of those of these variables whose names look secret, as does
    /// every clone.
    pub fn learn_vars(&self, vars: impl Iterator<Item = (OsString, OsString)>) {
        self.learn(environment::secrets(vars));
    }

    /// The text without its secrets.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let spans = self.spans(text.as_bytes());
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        replace(text.as_bytes(), &spans, &mut out);
        Cow::Owned(match String::from_utf8(out) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// For output that streams.
    pub fn line_redactor(&self) -> LineRedactor {
        LineRedactor::new(self.clone())
    }

    /// The secret parts of a text, in order, apart from each other: those of the text as it
    /// stands, and those of the text as it is read, without what only a terminal obeys, with
    /// other forms decoded, and over wraps.
    fn spans(&self, text: &[u8]) -> Vec<Hidden> {
        let known = self.known();
        let Literal { hidden: mut found, open } = literal(&known, text);
        let mut others = Vec::new();
        let mut from = 0;
        while from < text.len() {
            let rest = text.get(from..).unwrap_or_default();
            let end = match rest.get(BLOCK..).and_then(|after| memchr::memchr(b'\n', after)) {
                Some(after) => BLOCK + after + 1,
                None => rest.len(),
            };
            let block = from..from + end;
            let ends: Vec<usize> = found
                .iter()
                .filter(|hidden| block.contains(&hidden.start) && hidden.end <= block.end)
                .map(|hidden| hidden.end - from)
                .collect();
            let open = open.iter().filter(|at| block.contains(at)).map(|at| at - from);
            let open: Vec<usize> = open.collect();
            let before = others.len();
            let text = rest.get(..end).unwrap_or_default();
            as_read(&known, text, (&ends, &open), DEEPEST, &mut others);
            for hidden in others.get_mut(before..).unwrap_or_default() {
                hidden.start += from;
                hidden.end += from;
            }
            from += end;
        }
        found.append(&mut others);
        merged(found)
    }

    /// Whether a text may end within a secret, which goes on in what follows.
    fn may_go_on(&self, text: &[u8]) -> bool {
        let plain = plain::without_controls(text);
        let text = plain.as_ref().map_or(text, |plain| &plain.text);
        wrapped::is_continued(text)
            || below::is_open(text)
            || shapes::may_go_on(text)
            || self.known().index.may_go_on(text)
            || runs::may_go_on(text)
    }

    /// Where the part of a line begins that may be the first one of a secret: its last word, or
    /// what may be a known value's beginning.
    fn last_part(&self, line: &[u8]) -> usize {
        let words = line.trim_ascii_end();
        let words = words.strip_suffix(b"\\").unwrap_or(words).trim_ascii_end();
        let word = words.iter().rposition(u8::is_ascii_whitespace).map_or(0, |before| before + 1);
        let known = self.known();
        let plain = plain::without_controls(line);
        let value = match &plain {
            None => known.index.begins_at(line),
            Some(plain) => known
                .index
                .begins_at(&plain.text)
                .and_then(|at| Some(plain.place(&(at..at + 1))?.start)),
        };
        value.map_or(word, |at| at.min(word))
    }
}

/// A part of a text that is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hidden {
    start: usize,
    end: usize,
    /// What it is, where its shape tells it: `a GitHub token`.
    what: &'static str,
}

impl Hidden {
    fn new(span: &Range<usize>, what: &'static str) -> Self {
        Self { start: span.start, end: span.end, what }
    }

    fn moved(self, by: usize) -> Self {
        Self { start: self.start + by, end: self.end + by, ..self }
    }

    /// The marker that replaces it.
    fn marker(&self) -> Cow<'static, str> {
        let kind = self.what.trim_start_matches("a ").trim_start_matches("an ");
        if kind.is_empty() {
            return Cow::Borrowed(MARKER);
        }
        let kind = kind.replace(" of a ", " ").to_lowercase().replace(' ', "-");
        Cow::Owned(format!("[redacted: {kind}]"))
    }
}

/// What one pass over a text as it stands finds.
struct Literal {
    hidden: Vec<Hidden>,
    /// Where the last words of lines may go on in the next one.
    open: Vec<usize>,
}

/// The secrets of a text as it stands.
fn literal(known: &KnownValues, text: &[u8]) -> Literal {
    let shapes::Scan { matches, values, open } = shapes::scan(known.index.table(), text);
    let shapes = matches.into_iter().map(|found| {
        // A name and its value say what it is.
        let told = found.weight == shapes::Weight::Credential;
        Hidden::new(&found.span, if told { found.what } else { "" })
    });
    let mut hidden: Vec<Hidden> = shapes.collect();
    hidden.extend(known.index.find(text, &values).iter().map(|span| Hidden::new(span, "")));
    Literal { hidden, open }
}

/// The secrets of a text that are seen only when it is read in another way. Beside the text come
/// the ends of those that are seen as it stands, and where last words may go on.
fn as_read(
    known: &KnownValues,
    text: &[u8],
    (ends, open): (&[usize], &[usize]),
    depth: u8,
    found: &mut Vec<Hidden>,
) {
    let mut read = |plain: &plain::Plain, offset: usize| {
        let Literal { hidden: mut inside, open } = literal(known, &plain.text);
        if depth > 0 {
            let ends: Vec<usize> = inside.iter().map(|hidden| hidden.end).collect();
            as_read(known, &plain.text, (&ends, &open), depth - 1, &mut inside);
        }
        found.extend(inside.iter().filter_map(|hidden| {
            let span = plain.place(&(hidden.start..hidden.end))?;
            Some(Hidden::new(&span, hidden.what).moved(offset))
        }));
    };
    for (groups, view) in [
        (plain::lines_with_controls(text), plain::without_controls as fn(&[u8]) -> _),
        (plain::lines_with_escapes(text), plain::decoded),
        (plain::lines_with_backspaces(text), plain::overwritten),
    ] {
        for group in groups {
            if let Some(plain) = view(text.get(group.clone()).unwrap_or_default()) {
                read(&plain, group.start);
            }
        }
    }
    runs::readable(text).iter().for_each(|plain| read(plain, 0));
    let wrapped = wrapped::secrets(text, ends, open);
    found.extend(wrapped.iter().map(|(span, what)| Hidden::new(span, what)));
    found.extend(below::secrets(text).iter().map(|span| Hidden::new(span, "")));
}

fn merged(mut spans: Vec<Hidden>) -> Vec<Hidden> {
    spans.retain(|span| span.start < span.end);
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut out: Vec<Hidden> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => {
                last.end = last.end.max(span.end);
                if last.what.is_empty() {
                    last.what = span.what;
                }
            }
            _ => out.push(span),
        }
    }
    out
}

/// Writes `text` with a marker in place of every span, as many lines as before.
fn replace(text: &[u8], spans: &[Hidden], out: &mut Vec<u8>) {
    let mut at = 0;
    for span in spans {
        out.extend_from_slice(text.get(at..span.start).unwrap_or_default());
        let marker = span.marker();
        out.extend_from_slice(marker.as_bytes());
        let hidden = text.get(span.start..span.end).unwrap_or_default();
        for end in memchr::memchr_iter(b'\n', hidden) {
            if end.checked_sub(1).and_then(|before| hidden.get(before)) == Some(&b'\r') {
                out.push(b'\r');
            }
            out.push(b'\n');
            out.extend_from_slice(marker.as_bytes());
        }
        at = span.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values_go_in_every_spelling() {
        let redactor = Redactor::new(["p@ss w\"rd/1".to_owned(), "short".to_owned()]);
        for (text, expect) in [
            ("it is p@ss w\"rd/1.", "it is [redacted]."),
            ("url p%40ss%20w%22rd%2F1", "url [redacted]"),
            ("url p%40ss%20w%22rd%2f1", "url [redacted]"),
            ("json p@ss w\\\"rd/1", "json [redacted]"),
            ("b64 cEBzcyB3InJkLzE=", "b64 [redacted]"),
            // `user:p@ss w"rd/1`: the value starts in the middle of a group of three.
            ("b64 dXNlcjpwQHNzIHcicmQvMQ==", "b64 dXNlcj[redacted]"),
            ("short stays", "short stays"),
        ] {
            assert_eq!(redactor.redact(text), expect, "{text}");
        }
    }

    #[test]
    fn more_values_can_become_known() {
        let first = Redactor::new(["hunter2-one".to_owned()]);
        let both = first.with(["hunter2-two".to_owned(), "short".to_owned()]);
        let text = "hunter2-one hunter2-two short";
        assert_eq!(first.redact(text), "[redacted] hunter2-two short");
        assert_eq!(both.redact(text), "[redacted] [redacted] short");
        assert_eq!(Redactor::default().with([]).redact(text), text);
    }

    #[test]
    fn what_is_learned_is_known_to_every_clone_and_to_streams_that_have_begun() {
        let first = Redactor::new(["hunter2-one".to_owned()]);
        let (clone, apart) = (first.clone(), first.with([]));
        let mut stream = clone.line_redactor();
        let mut out = Vec::new();
        stream.push(b"hunter2-two\nhunter2-", &mut out);
        first.learn(["hunter2-two".to_owned()]);
        stream.push(b"two\n", &mut out);
        stream.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "hunter2-two\n[redacted]\n");
        assert_eq!(clone.redact("hunter2-one hunter2-two"), "[redacted] [redacted]");
        assert_eq!(apart.redact("hunter2-one hunter2-two"), "[redacted] hunter2-two");
    }

    #[test]
    fn shapes_go() {
        let redactor = Redactor::default();
        let gh = format!("ghp_{}", "a1B2c3D4e5".repeat(4));
        for text in [
            "Authorization: Bearer abcdef0123456789abcdef",
            "curl -H 'Authorization: Basic dXNlcjpwYXNz'",
            "clone https://bob:hunter2@example.com/x.git",
            "key AKIAIOSFODNN7EXAMPLE here",
            &gh,
            "glpat-abcdefABCDEF12345678",
            "sk-proj-abcDEF1234567890abcdefGHIJ",
            "xoxb-123456789012-abcdefghij",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abcdEFGH1234abcdEFGH1234abcdEFGH1234==;EndpointSuffix=x",
            "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=abcdEFGH1234abcdEFGH1234=",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
            "password=hunter2",
            "PASSWORD: \"hunter2!\"",
            "db_password = 'correct-horse'",
            "--password hunter22",
            "--token=abc123def456",
            "api_key: 9f8e7d6c5b4a39281706",
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "https://x.blob.core.windows.net/c?sv=2020&sig=abcDEF123%2Babcdefghijklmnop%3D",
            "PASS=hunter2hunter9",
            "export DB_PASS='hunter2hunter9'",
            "DB_PASSWORD_PROD=\"hunter2hunter9\"",
            "DB_PASSWORD_PROD: hunter2hunter9",
            "password_prod: hunter2hunter9",
            "  db_password: hunter2hunter9\r",
            "loaded db_password: hunter2hunter9",
            "password: hunter2hunter9",
            "- apiTokenProd: hunter2hunter9",
            "client_secret: Hunter2Hunter9",
            "first: 1\n  secret: hunter2x\nlast: 2",
            "dbPasswordProd=hunter2hunter9",
            "PASSWORD2=hunter2hunter9",
            "STRIPE_PRIVATE_KEY_LIVE=hunter2hunter9",
            "--pass=hunter2hunter9",
            "client_secret=abc8Q~abcdefghijklmnopqrstuvwxyz012345",
            "{\"access_token\":\"abcdefghijklmnop\"}",
        ] {
            let out = redactor.redact(text);
            assert!(out.contains("[redacted"), "{text} -> {out}");
            for secret in [
                "hunter2",
                "abcdef0123456789",
                "dXNlcjpwYXNz",
                "AKIAIOS",
                "a1B2c3D4e5",
                "ABCDEF12345678",
                "abcDEF1",
                "abcdefghij",
                "abcdEFGH1234",
                "dozjgNry",
                "correct-horse",
                "abc123def456",
                "9f8e7d6c",
                "wJalrX",
                "hunter22",
            ] {
                assert!(!out.contains(secret), "{text} -> {out}");
            }
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        let redactor = Redactor::default();
        for text in [
            "let token = next_token();",
            "token = next_token()",
            "password = get_password(user)",
            "fn login(password: &str, token: Option<String>) -> Result<Token, Error> {",
            "  password: String,",
            "const secret = process.env.SECRET;",
            "connect(user=user, password=password)",
            "self.token = token",
            "commit 3f2a1bc94d5e6f708192a3b4c5d6e7f801234567",
            "id 123e4567-e89b-12d3-a456-426614174000",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "unexpected token: \"return\"",
            "error: expected token `;`, found `}`",
            "integrity sha512-6xpi8zPqdJqx5KBaBnM3pcPcdSrwbPj2CK4Uz5J4lrVZ7+3QKgpPQmC0wQmEm9xv2vVXJ4nHo5vUhKXQm4zZ5Q==",
            "GET https://example.com:8080/path?key=value",
            "PWD=/home/user/project",
            "password must not be empty",
            "invalid password: too short",
            "token: string;",
            "tokens = tokenize(text)",
            "SECRET_KEY is not set",
            "password=$DB_PASSWORD --token=${TOKEN}",
            "export API_KEY=<your key>",
            "  12 |     let key = map.get(&token)?;",
            "assert_eq!(token, Token::Ident);",
            "Key: value, key = 3",
            "key: value1234567",
            "unexpected token: ident1fier",
            "SyntaxError: Unexpected token: else1234",
            "invalid password: tooshort1",
            "  token: Uint8Array",
            "    password: user_password1,",
            "password_encryption: scram_sha_256",
            "password_hasher: argon2id",
            "token: pbkdf2_sha256",
            "secret_name: app_secret_v2",
            "partition_key: tenant42region",
            "tokens: word1and2",
            "pass: test_total_2",
            "the secret: it12345 is out",
            "git@github.com:acme/app.git",
            "expected password=None",
            "PASS: tests/test_cart.py::test_total_of_3_items",
            "--- PASS: TestTotal (0.00s)",
            "PASS=12 FAIL=3",
            "12 passed, 3 failed; pass_rate=0.8000001",
            "bypass=127.0.0.1,localhost",
            "PASSED=test_total_2",
            "password_length: 12 characters",
            "password_length=1234567",
            "TOKEN_FILE=run/secrets2/token.txt",
            "api_key_env: OPENAI_API_KEY_2",
            "docker login --password-stdin registry1.example.org",
            "TOKENIZERS_PARALLELISM=false0",
            "max_tokens: 4096",
            "max_tokens=4096",
            "sk-loading-spinner-container-wrapper",
        ] {
            assert_eq!(redactor.redact(text), text);
            assert!(matches!(redactor.redact(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn private_keys_go_line_by_line() {
        let text = "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabcd\n-----END RSA PRIVATE KEY-----\nafter";
        assert_eq!(
            Redactor::default().redact(text),
            "before\n{0}\n{0}\n{0}\n{0}\nafter".replace("{0}", KEY_MARKER)
        );
    }

    proptest! {
        #[test]
        fn a_known_value_never_survives(
            secret in "[A-Za-z0-9!@#%&/+ ]{4}[A-Za-z0-9]{4,20}", before in "[ -~]{0,30}", after in "[ -~\n]{0,30}",
        ) {
            let redactor = Redactor::new([secret.clone()]);
            let text = format!("{before}{secret}{after}");
            let out = redactor.redact(&text);
            prop_assert!(!out.contains(secret.trim()));
            prop_assert_eq!(out.lines().count(), text.lines().count());
        }

        #[test]
        fn a_stream_cut_anywhere_says_the_same(
            lines in proptest::collection::vec("[ -~]{0,40}(hunter2hunter2)?[ -~]{0,10}", 1..8),
            cuts in proptest::collection::vec(1usize..20, 1..30),
        ) {
            let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
            let text = lines.join("\n");
            let mut stream = redactor.line_redactor();
            let mut out = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                stream.push(now, &mut out);
                rest = later;
            }
            stream.finish(&mut out);
            let whole: Vec<String> = lines.iter().map(|line| redactor.redact(line).into_owned()).collect();
            prop_assert_eq!(String::from_utf8_lossy(&out).into_owned(), whole.join("\n"));
        }
    }
}
