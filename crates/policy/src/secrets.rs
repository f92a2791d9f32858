//! Credentials by their shape: what a patch must never add. A match's detail never shows it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::file_kind::FileKind;
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

/// A password, or a token of a service, that only what stands around it tells: the group `s`, or
/// the whole match.
struct Told {
    what: &'static str,
    regex: &'static str,
}

const TOLD: &[Told] = &[
    Told {
        what: "a password in a URL",
        regex: r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'"<>]*:(?P<s>[^\s/@'"<>]+)@(?P<host>\[[^\]]*\]|[^\s/:?'"<>,]+)"#,
    },
    Told {
        what: "a password of a connection",
        regex: r#"(?i)(?:jdbc:|\b(?:server|data source|host|driver|account)\s*=)(?P<host>[^\s"']*)[^\n"']*?[?&;\s](?:password|pwd)\s*=\s*(?P<s>[^&\s"';<>]+)"#,
    },
    Told {
        what: "a JSON web token",
        regex: r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.(?P<s>[A-Za-z0-9_-]{20,})",
    },
    Told { what: "a Telegram bot's token", regex: r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,36}\b" },
    Told {
        what: "a webhook's address",
        regex: r"\b(?:ptb\.|canary\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{15,21}/(?P<s>[A-Za-z0-9_-]{40,})",
    },
    Told {
        what: "a webhook's address",
        regex: r"\bwebhook\.office\.com/webhookb2/(?P<s>[A-Za-z0-9@/-]{60,})",
    },
    Told {
        what: "a Discord bot's token",
        regex: r"\b[MNO][A-Za-z\d_-]{23,25}\.[\w-]{6}\.[\w-]{27,}",
    },
];

static COMPILED: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    TOLD.iter().filter_map(|told| Some((told.what, Regex::new(told.regex).ok()?))).collect()
});

/// The signature of the token that the description of JSON web tokens shows.
const SHOWN_SIGNATURES: &[&str] = &["SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"];

/// Passwords and tokens that are recognised by the text around them; tests and documents make
/// such up.
fn told(kind: FileKind, text: &str) -> Vec<(String, &'static str)> {
    if matches!(kind, FileKind::Test | FileKind::Snapshot | FileKind::Docs) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (what, regex) in &*COMPILED {
        for captures in regex.captures_iter(text) {
            let Some(secret) = captures.name("s").or_else(|| captures.get(0)) else { continue };
            let secret = secret.as_str();
            if captures.name("host").is_some_and(|host| is_local(host.as_str()))
                || SHOWN_SIGNATURES.contains(&secret)
                || what.contains("password") && is_made_up(secret)
            {
                continue;
            }
            found.push((secret.to_owned(), *what));
        }
    }
    found
}

/// Whether a host is the machine itself.
fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('/').trim_start_matches("mysql://").to_lowercase();
    let host = host.rsplit("//").next().unwrap_or_default();
    ["localhost", "127.", "[::1]", "0.0.0.0", "host.docker.internal", "(local", "."]
        .iter()
        .any(|local| host.starts_with(local))
}

/// Whether a password is a word, or is put in later: one that a machine made has digits.
fn is_made_up(password: &str) -> bool {
    let lower = password.to_lowercase();
    let words =
        ["pass", "secret", "changeme", "change_me", "test", "admin", "postgres", "root", "guest"];
    password.len() < 8
        || password.contains(['$', '{', '}', '%', '*', '<', '>', '(', '['])
        || words.iter().any(|word| lower.starts_with(word))
        || !password.contains(|c: char| c.is_ascii_digit())
        || !password.contains(|c: char| c.is_ascii_alphabetic())
}

/// A literal that may be a text in base64 or hexadecimal digits.
static ENCODED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{24,}={0,2}").ok());

/// What an encoded text says, where it says letters.
fn decoded(text: &str) -> Option<String> {
    let digits = text.trim_end_matches('=');
    let hex = digits.len().is_multiple_of(2) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes: Vec<u8> = if hex {
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16))
            .collect::<Result<_, _>>()
            .ok()?
    } else {
        let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
        for byte in digits.bytes() {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = (bits << 6) | u32::from(six);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
            }
        }
        bytes
    };
    let plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'));
    plain.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Credentials of the resulting file that the file before did not hold. Shapes are the
/// redactor's; a literal in parts, also on several lines, is read as one, and one that is encoded
/// as what it says.
pub(super) fn find(kind: FileKind, before: &[u8], after: &[u8], lines: &Alignment) -> Vec<Secret> {
    let before = String::from_utf8_lossy(before);
    let mut found = BTreeSet::new();
    let texts = split(after);
    let mut look = |number: usize, text: &str| {
        let shaped = credentials(text.as_bytes())
            .into_iter()
            .map(|(span, what)| (text.get(span).unwrap_or_default().to_owned(), what));
        for (secret, what) in shaped.chain(told(kind, text)) {
            if !is_placeholder(&secret) && !before.contains(&secret) {
                found.insert((number, what));
            }
        }
    };
    for (number, line) in texts.iter().enumerate().filter(|(at, _)| lines.is_added(*at)) {
        let line = String::from_utf8_lossy(line);
        look(number, &line);
        if let Some(joined) = JOINS.as_ref().map(|joins| joins.replace_all(&line, ""))
            && joined != line
        {
            look(number, &joined);
        }
        if let Some(encoded) = ENCODED.as_ref() {
            for text in encoded.find_iter(&line).filter(|text| text.len() < MAX_ENCODED) {
                let said = decoded(text.as_str()).filter(|_| !before.contains(text.as_str()));
                if let Some(said) = said {
                    look(number, &said);
                }
            }
        }
    }
    let mut seen: BTreeSet<&'static str> = found.iter().map(|(_, what)| *what).collect();
    for hunk in lines.hunks().into_iter().filter(|hunk| hunk.after.len() > 1) {
        let text: Vec<_> =
            texts[hunk.after.clone()].iter().map(|line| String::from_utf8_lossy(line)).collect();
        let text = text.join("\n");
        let Some(joined) = JOINS.as_ref().map(|joins| joins.replace_all(&text, "")) else {
            continue;
        };
        for (span, what) in credentials(joined.as_bytes()) {
            let secret = joined.get(span).unwrap_or_default();
            let is_new = !is_placeholder(secret) && !before.contains(secret);
            if is_new && seen.insert(what) {
                found.insert((hunk.after.start, what));
            }
        }
    }
    found.into_iter().map(|(line, what)| Secret { line, what }).collect()
}

/// The longest text that is decoded.
const MAX_ENCODED: usize = 4_096;

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
        find(FileKind::Product, before.as_bytes(), after.as_bytes(), &lines).len()
    }

    #[test]
    fn credentials_are_known_by_what_stands_around_them() {
        let github = format!("ghp_{}", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6");
        let hex: String = github.bytes().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            format!("DSN = \"postgresql://admin:{}@db.prod.example.org/app\"", "Xk29fLq8ZtR4"),
            format!("URL = \"redis://:{}@cache.internal:6379/0\"", "p4ssW0rd9xZq"),
            format!("url=jdbc:mysql://db.prod/app?user=root&password={}", "Tq7Lw2Zx9Rk4"),
            format!("BOT = \"6123456789:AA{}\"", "Hk3v9Lr2PqWm8ZtYb4NdUc7HsEa1JfGo0"),
            format!("K = bytes.fromhex(\"{hex}\")"),
            format!("K = (\"-----BEGIN RSA \"\n     \"PRIVATE {}-----\\nMIIEowIB\")", "KEY"),
        ] {
            assert_ne!(found("", &format!("{text}\n")), 0, "{text}");
        }
        for text in [
            "url = 'postgres://user:password@localhost/app'",
            "url = 'postgres://app:s3cr3tPw99@localhost:5432/app'",
            "url = 'postgres://app:${DB_PASSWORD}@db/app'",
            "url = f'amqp://{user}:{password}@{host}/'",
            "url=jdbc:mysql://localhost/app?user=root&password=Tq7Lw2Zx9Rk4",
            "see https://example.org:8080/a@b",
            "git@github.com:a/b.git",
            "digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        ] {
            assert_eq!(found("", &format!("{text}\n")), 0, "{text}");
        }
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
