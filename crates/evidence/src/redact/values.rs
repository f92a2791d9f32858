//! What of a secret's value is to be looked for: the value, its lines, and the values inside it.
//!
//! The rule, which `docs/kubernetes.md` states for people:
//!
//! - Shorter than six bytes, a word of configuration (`enabled`) or a number of fewer than eight
//!   digits: not looked for, or every log would be full of markers.
//! - One line: the value. Over a thousand bytes it is looked for piece by piece, because what
//!   prints it may cut it anywhere.
//! - Several lines: the value of each line that is a setting (`NAME=value`, `name: value`), each
//!   other line whole.
//! - JSON, connection strings, addresses with a password, and base64 of text: the values inside.
//!   Inside, a value whose key does not speak of a secret must have a digit: the rest of a
//!   configuration stays readable.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::SHORTEST;
use greenloop_model::may_name_secret;

/// Bytes of one value that are looked at.
const MOST: usize = 256 * 1024;
/// A longer line is looked for in pieces.
const WHOLE: usize = 1024;
/// Bytes of a piece.
const PIECE: usize = 96;
/// Bytes of a line of base64, as `base64` and `openssl` wrap it.
const BASE64_LINE: usize = 76;
/// Values inside values inside values.
const DEEPEST: u32 = 4;

/// A secret's value and the name under which it is kept.
#[derive(Debug, Clone, Copy)]
pub struct SecretValue<'a> {
    /// `password`, `.dockerconfigjson`
    pub key: &'a str,
    /// The value, decoded.
    pub bytes: &'a [u8],
}

/// The texts to give to [`super::Redactor::learn`] so that nothing of the value is shown.
pub fn sensitive_parts(value: SecretValue<'_>) -> Vec<String> {
    let bytes = value.bytes.get(..MOST).unwrap_or(value.bytes);
    let mut parts = Parts(Vec::new());
    match text_of(bytes) {
        Some(text) => {
            // A Secret keeps whole values: what its key is called does not matter.
            if text.trim().lines().count() <= 1 {
                parts.add(text.trim());
            } else {
                parts.base64(bytes);
            }
            parts.inside(value.key, text.trim(), 0);
        }
        None => parts.base64(bytes),
    }
    parts.0.sort_unstable();
    parts.0.dedup();
    parts.0
}

/// The bytes as text; a character that was cut in two at the end is left out.
fn text_of(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
    .filter(|text| !text.contains('\0'))
}

struct Parts(Vec<String>);

impl Parts {
    /// One line, in pieces where it is long.
    fn add(&mut self, line: &str) {
        if !may_be_secret(line) {
            return;
        }
        if line.len() <= WHOLE {
            self.0.push(line.to_owned());
            return;
        }
        let mut rest = line;
        while rest.len() > PIECE + SHORTEST {
            let mut end = PIECE;
            while !rest.is_char_boundary(end) {
                end += 1;
            }
            let (piece, after) = rest.split_at(end);
            self.0.push(piece.to_owned());
            rest = after;
        }
        self.0.push(rest.to_owned());
    }

    /// What bytes become when they are encoded as a whole.
    fn base64(&mut self, bytes: &[u8]) {
        let encoded = STANDARD.encode(bytes);
        let mut rest = encoded.as_str();
        while let Some((line, after)) = rest.split_at_checked(BASE64_LINE) {
            self.0.push(line.to_owned());
            rest = after;
        }
        self.add(rest.trim_end_matches('='));
    }

    /// A value inside another, under its key.
    fn inner(&mut self, key: &str, value: &str, depth: u32) {
        let value = unquoted(value.trim());
        let named = names_secret(key);
        if named || value.bytes().any(|b| b.is_ascii_digit()) {
            self.add(value);
        }
        self.inside(key, value, depth + 1);
    }

    /// Everything that `text` is made of.
    fn inside(&mut self, key: &str, text: &str, depth: u32) {
        if depth > DEEPEST || text.len() < SHORTEST {
            return;
        }
        if text.starts_with(['{', '['])
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            self.json(key, &value, depth);
            return;
        }
        if text.contains('\n') {
            text.lines().for_each(|line| self.line(key, line.trim(), depth));
            return;
        }
        if let Some(password) = password_of(text) {
            self.add(password);
            self.add(&percent_decoded(password));
        }
        // `Server=db;User Id=sa;Password=x`, `host=db password=x`
        let settings = || text.split([';', ' ', '&']).filter_map(setting);
        if text.contains('=') && (settings().count() > 1 || text.contains(';')) {
            for (key, value) in text.split(';').filter_map(setting).chain(settings()) {
                self.inner(key, value, depth);
            }
        }
        if let Some((scheme, token)) = text.split_once(' ')
            && ["bearer", "basic", "token"].contains(&scheme.to_ascii_lowercase().as_str())
        {
            self.add(token.trim());
            self.inside(key, token.trim(), depth + 1);
        }
        if let Some(decoded) = decoded(text) {
            // `user:password`, as in `auth` of a Docker configuration.
            if let Some((_, password)) = decoded.split_once(':') {
                self.add(password.trim());
            }
            self.add(decoded.trim());
            self.inside(key, decoded.trim(), depth + 1);
        }
    }

    fn json(&mut self, key: &str, value: &Value, depth: u32) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| self.json(key, value, depth));
            }
            Value::Array(items) => items.iter().for_each(|value| self.json(key, value, depth)),
            Value::String(text) if text.contains('\n') => self.inside(key, text.trim(), depth + 1),
            Value::String(text) => self.inner(key, text, depth),
            Value::Number(number) => self.inner(key, &number.to_string(), depth),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn line(&mut self, key: &str, line: &str, depth: u32) {
        let marks = ["#", "//", "-----", "<!--"];
        if line.len() < SHORTEST || marks.iter().any(|mark| line.starts_with(mark)) {
            return;
        }
        let written = line.strip_prefix("export ").unwrap_or(line);
        let written = written.strip_prefix("- ").unwrap_or(written);
        if let Some((key, value)) = setting(written).or_else(|| labelled(written)) {
            self.inner(key, value, depth);
            return;
        }
        let heading = line.ends_with([':', '{', '[', ',', ']', '}']) || line.starts_with('[');
        if heading && !line.bytes().any(|b| b.is_ascii_digit()) {
            return;
        }
        // `login joe password x`
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            if let [name, value] = pair
                && names_secret(name)
            {
                self.add(value);
            }
        }
        self.add(line);
        self.inside(key, line, depth + 1);
    }
}

/// Whether a value is looked for at all.
fn may_be_secret(value: &str) -> bool {
    let number = value.bytes().all(|b| b.is_ascii_digit()) && value.len() < 8;
    let word = ["disabled", "enabled", "default", "required", "optional", "undefined"];
    let marks = value.bytes().all(|b| b.is_ascii_punctuation() || b == b' ');
    value.len() >= SHORTEST
        && !number
        && !marks
        && !word.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a key speaks of a secret: inside a secret's value, more of them do.
fn names_secret(key: &str) -> bool {
    may_name_secret(key)
        || key
            .split(|c: char| !c.is_alphanumeric())
            .any(|part| ["AUTH", "PIN"].iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// `NAME=value`, where the name is one word.
fn setting(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim();
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '[' | ']');
    let value = value.trim();
    // The end of a line of base64 has no value.
    let padding = value.bytes().all(|b| b == b'=');
    (!padding && !key.is_empty() && key.len() <= 64 && key.chars().all(word))
        .then_some((key, value))
}

/// `name: value`, quoted or not, with the comma of JSON or without.
fn labelled(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(": ").or_else(|| text.split_once("\":"))?;
    let key = key.trim().trim_matches(['"', '\'']);
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let value = value.trim().trim_end_matches(',');
    (!key.is_empty() && !value.is_empty() && key.chars().all(word)).then_some((key, value))
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// The password of `scheme://user:password@host`.
fn password_of(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // A password may hold a slash that nobody has encoded.
    let (user, _) = authority.rsplit_once('@').or_else(|| rest.rsplit_once('@'))?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text that `encoded` is base64 of, where it is.
fn decoded(encoded: &str) -> Option<String> {
    if encoded.len() < 8 || encoded.contains(char::is_whitespace) {
        return None;
    }
    let bytes = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
        .into_iter()
        .find_map(|alphabet| alphabet.decode(encoded).ok())?;
    let text = String::from_utf8(bytes).ok()?;
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;
    use super::*;

    fn knowing(key: &str, bytes: &[u8]) -> Redactor {
        Redactor::new(sensitive_parts(SecretValue { key, bytes }))
    }

    /// Every kind of value, what is printed of it, and what must not be there afterwards.
    #[test]
    fn values_lines_and_inner_values_are_known() {
        let docker = r#"{"auths":{"registry.test":{"username":"puller","password":"moor-hen-41",
            "auth":"cHVsbGVyOm1vb3ItaGVuLTQx"}}}"#;
        let pem = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ3\nq9hYw2Lk==\n-----END \
                   CERTIFICATE-----\n";
        for (key, value, printed, hidden) in [
            ("word", "waterfall", "got waterfall!", "waterfall"),
            ("password", "p@ss word/1", "p%40ss%20word%2F1", "p%40ss"),
            ("tls.crt", pem, "read MIIBszCCAVmgAwIBAgIUQ3", "MIIBszCC"),
            ("tls.crt", pem, "read q9hYw2Lk==", "q9hYw2Lk"),
            (".env", "LOG=info\nexport DB_PASSWORD='swan-lake'\n", "pw is swan-lake", "swan-lake"),
            (".env", "A_TOKEN=kingfisher\nB=1", "kingfisher", "kingfisher"),
            ("app.yaml", "db:\n  user: shop\n  password: grey heron\n", "grey heron", "heron"),
            ("c.json", r#"{"db":{"pw":"goldeneye"}}"#, "with goldeneye", "goldeneye"),
            ("c.json", r#"{"keys":["k1-abcdef","k2-abcdef"]}"#, "k2-abcdef", "k2-abcdef"),
            ("c.json", "{\n  \"secret\": \"lapwing-9\",\n broken", "lapwing-9", "lapwing"),
            ("url", "postgres://shop:cr%40ke-77@db:5432/shop", "no: cr@ke-77", "cr@ke"),
            ("url", "postgres://shop:corn%40crake@db/shop", "says corn@crake", "crake"),
            ("dsn", "Server=db;User Id=sa;Password=red kite;", "used red kite", "kite"),
            ("dsn", "host=db user=shop password=sandpiper", "used sandpiper", "sandpiper"),
            (".dockerconfigjson", docker, "login moor-hen-41", "moor-hen"),
            (".dockerconfigjson", docker, "auth cHVsbGVyOm1vb3ItaGVuLTQx", "cHVsbGVy"),
            ("twice", "c3RhcmxpbmctZmxvY2s=", "decoded starling-flock", "starling"),
            ("header", "Bearer oystercatcher", "token oystercatcher", "oystercatcher"),
            (".netrc", "machine a login joe password nightjar\nx", "is nightjar", "nightjar"),
        ] {
            let out = knowing(key, value.as_bytes()).redact(printed).into_owned();
            assert!(!out.contains(hidden), "{key}: {printed} -> {out}");
        }
    }

    #[test]
    fn words_of_configuration_stay() {
        for (key, value, printed) in [
            ("debug", "true", "true, it is true"),
            ("replicas", "1", "1 of 1 ready in 10 s"),
            ("port", "5432", "listening on 5432"),
            ("size", "1048576", "allocated 1048576 bytes"),
            ("feature", "enabled", "feature enabled"),
            ("empty", "", "nothing here"),
            ("c.json", r#"{"level":"information","password":"x"}"#, "information: up"),
            ("app.yaml", "logging:\n  level: warning\n  # set by hand\n", "logging: warning"),
        ] {
            assert_eq!(knowing(key, value.as_bytes()).redact(printed), printed, "{key}");
        }
    }

    #[test]
    fn long_and_binary_values_are_known_in_pieces() {
        let long: String = (0..3000).map(|i| format!("{:x}", i * 7919)).collect();
        let out = knowing("blob", long.as_bytes()).redact(&long).into_owned();
        assert_eq!(out.replace(super::super::MARKER, ""), "");
        let cut = format!("begin {}", &long[..1000]);
        let out = knowing("blob", long.as_bytes()).redact(&cut).into_owned();
        assert!(!out.contains(&long[..40]) && !out.contains(&long[400..440]), "{out}");

        let bytes: Vec<u8> = (0..=255).cycle().take(900).collect();
        let encoded = STANDARD.encode(&bytes);
        let out = knowing("keystore", &bytes).redact(&encoded).into_owned();
        assert!(!out.contains(&encoded[..40]) && !out.contains(&encoded[800..840]), "{out}");
    }
}
