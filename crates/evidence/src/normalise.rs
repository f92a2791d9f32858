//! What stays of a line when all that changes from run to run is taken away, and the digest of
//! such lines.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::clean::Line;
use super::guarded::Guarded;
use greenloop_model::Fingerprint;

/// What changes from run to run, with what every match of it has, and what is put in its place.
/// In order: the later rows see the work of the earlier ones.
static VOLATILE: [(Guarded, &str); 22] = [
    (Guarded::new(&["-"], r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<uuid>"),
    (
        Guarded::new(
            &["-"],
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?",
        ),
        "<time>",
    ),
    (
        Guarded::new(
            &["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(?:\d+ )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*(?: \d+)?(?:,? \d{4})?",
        ),
        "<time>",
    ),
    (
        Guarded::new(
            &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            r"\b(?:\d{1,2}[/ -])?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?:[/ -]+\d{1,4})\b(?:[/ -]\d{4}\b)?(?:[: ]\d\d:\d\d:\d\d)?(?: [+-]\d{4})?",
        ),
        "<time>",
    ),
    (Guarded::new(&["/"], r"\b\d{4}/\d\d/\d\d\b"), "<time>"),
    (Guarded::new(&[":"], r"\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (Guarded::new(&["0x"], r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    // Temporary places: the part that is made up again each time, with what made it up.
    (
        Guarded::new(
            &["tmp", "temp", "/var/folders", "/dev/shm"],
            r"(?i)/\S*/pytest-of-[^/\s]+/pytest-\w+/[^/\s:'\x22)\]]+|(?:/private)?/(?:tmp|var/tmp|var/folders/[^/\s]+/[^/\s]+/T)/[^/\s:'\x22)\]]+|[a-z]:\\(?:[^\\\s]+\\)*?te?mp\\[^\\\s:'\x22)]+|/dev/shm/[^/\s:'\x22)]+",
        ),
        "<tmp>",
    ),
    (Guarded::new(&["/_temp/"], r"/_temp/[^/\s:'\x22)\]]+"), "/<tmp>"),
    (Guarded::new(&["/.tmp"], r"/\.tmp[A-Za-z0-9]{6}\b"), "/<tmp>"),
    (
        Guarded::new(
            &["/builds/", "/work", "/__w/"],
            r"/(?:builds|home/runner/work|github/workspace|__w|home/vsts/work/\d+)/",
        ),
        "/<work>/",
    ),
    (Guarded::new(&["sha"], r"\bsha(?:256|512|1):[0-9a-f]{8,}\b"), "#"),
    (Guarded::new(&["@"], r"@[0-9a-f]{4,16}\b"), "@<address>"),
    // Pods: what a ReplicaSet and what a pod add to a name, in Kubernetes' alphabet of suffixes.
    (
        Guarded::new(
            &["-"],
            r"-(?:[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}|[0-9a-f]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5})\b",
        ),
        "-<pod>",
    ),
    (
        Guarded::new(&["pod"], r"\b(pods?[/ ]\x22?[a-z0-9-]+)-[bcdfghjklmnpqrstvwxz2456789]{5}\b"),
        "$1-<pod>",
    ),
    // Workers of pytest-xdist.
    (Guarded::new(&["gw"], r"\bgw\d+\b"), "<worker>"),
    // How often and since when: `(x133 over 30m)`, `5m12s`, `2d3h`.
    (Guarded::new(&["(x"], r"\(x\d+ over \w+\)"), "(<times>)"),
    (Guarded::new(&["d", "h", "m", "s"], r"\b(?:\d+(?:\.\d+)?(?:d|h|m|ms|s)){2,}\b"), "<duration>"),
    (Guarded::new(&["%"], r"\b\d+(?:[.,]\d+)?\s?%"), "<percent>"),
    (Guarded::new(&["b"], r"(?i)\b\d+(?:[.,]\d+)?\s?(?:[kmgt]i?b|bytes?)(?:/s)?\b"), "<size>"),
    (
        Guarded::new(
            &["s", "m", "h", "d"],
            r"(?i)\b\d+(?:[.,]\d+)?\s?(?:ns|us|\xC2\xB5s|ms|s|secs?|seconds?|m|min|mins|minutes?|h|hrs?|hours?|d|days?)\b(?:\s?\d+(?:\.\d+)?\s?(?:s|ms|m)\b)*",
        ),
        "<duration>",
    ),
    // Statuses tell one failure from another.
    (
        Guarded::new(
            &["status", "http", "exit code", "returned", "error", "code"],
            r"(?i)\b(status|status code|http(?:/[\d.]+)?|exit code|returned|error|code)(:? )(\d{3})\b",
        ),
        "$1$2\u{1}$3",
    ),
];

/// The line without what changes from run to run: escape sequences, CI prefixes, times,
/// durations, addresses, hashes, identifiers, temporary paths, sizes, percentages, counters and
/// line numbers. Names, messages and statuses stay.
pub fn normalise(line: &str) -> String {
    numbers_and_hashes(&marked(line))
}

/// The line without escape sequences, CI prefixes, times, durations, addresses, temporary paths,
/// sizes and percentages; other numbers stay.
pub(super) fn without_volatile(line: &str) -> String {
    let mut text = marked(line);
    text.retain(|char| char != KEPT);
    text
}

/// What a row of the table puts before a number that stays.
const KEPT: char = '\u{1}';

fn marked(line: &str) -> String {
    let mut text = Line::new(0, line.as_bytes()).text;
    for (guarded, by) in &VOLATILE {
        let lower = text.to_ascii_lowercase();
        if let Some(regex) = guarded.on(&lower).filter(|regex| regex.is_match(text.as_bytes())) {
            let bytes = regex.replace_all(text.as_bytes(), by.as_bytes()).into_owned();
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    text
}

/// Whether a word is a number, looks like a digest or like an identifier that was made up.
pub(super) fn is_identifier(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    // One sign for both: a digest may happen to have no letter in it.
    digits == word.len()
        || hex && word.len() >= 7 && digits > 0
        || word.len() >= 20 && digits >= 4 && word.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Puts `#` for numbers that stand alone and for words that look like digests, and one
/// blank for every run of them.
fn numbers_and_hashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let mut blank = false;
    let flush = |word: &mut String, out: &mut String| {
        if word.is_empty() {
            return;
        }
        if is_identifier(word) {
            out.push('#');
        } else {
            out.push_str(word);
        }
        word.clear();
    };
    let mut kept = false;
    for char in text.trim().chars() {
        match char {
            KEPT => kept = true,
            char if char.is_ascii_alphanumeric() || char == '_' => {
                if kept && char.is_ascii_digit() {
                    flush(&mut word, &mut out);
                    out.push(char);
                } else {
                    kept = false;
                    word.push(char);
                }
                blank = false;
            }
            char if char.is_whitespace() => {
                kept = false;
                flush(&mut word, &mut out);
                if !blank {
                    out.push(' ');
                }
                blank = true;
            }
            char => {
                kept = false;
                flush(&mut word, &mut out);
                out.push(char);
                blank = false;
            }
        }
    }
    flush(&mut word, &mut out);
    out
}

/// The identity of a failure that shows as these lines: normalised, without repeats, in no
/// particular order, because parallel tests end in any.
pub fn fingerprint(parts: impl IntoIterator<Item = impl AsRef<str>>) -> Fingerprint {
    let lines: BTreeSet<String> = parts
        .into_iter()
        .map(|part| normalise(part.as_ref()))
        .filter(|line| !line.is_empty())
        .collect();
    digest(&lines)
}

/// The identity that these lines make, as they are.
pub(super) fn digest(lines: &BTreeSet<String>) -> Fingerprint {
    let mut digest = Sha256::new();
    for line in lines {
        digest.update(line.as_bytes());
        digest.update(b"\n");
    }
    let digest = digest.finalize();
    let mut first = [0u8; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    Fingerprint::from_digest(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_changes_from_run_to_run_does_not_matter() {
        for (a, b) in [
            ("2024-05-01T10:00:00.123Z failed", "2025-06-02T11:22:33.4Z failed"),
            ("failed in 12.3s", "failed in 4 s"),
            ("took 1m 3s", "took 2m 59s"),
            ("ptr 0x7ffee4c0", "ptr 0x55aa"),
            ("Foo@1b2c3d4e died", "Foo@99aa88bb died"),
            ("at /tmp/abc123/x.txt", "at /tmp/zzz/x.txt"),
            ("at /var/folders/ab/cd12/T/x1/y", "at /var/folders/zz/ef/T/x2/y"),
            ("commit 3f2a1bc9 failed", "commit 99ffee12 failed"),
            ("commit 00000000 failed", "commit 99ffee12 failed"),
            ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-0000-4000-8000-000000000001"),
            ("src/a.rs:12:5: no", "src/a.rs:120:50: no"),
            ("thread 'x' (4711) panicked", "thread 'x' (8) panicked"),
            ("127.0.0.1:34567 refused", "127.0.0.1:45678 refused"),
            ("\x1b[31merror\x1b[0m: no", "error: no"),
            ("42% done, 12.3 MB", "99.5% done, 1 kB"),
            ("#12 3.456 error: no", "#9 0.100 error: no"),
            ("pool-1-thread-3", "pool-12-thread-44"),
            ("deps/app-0123456789abcdef", "deps/app-fedcba9876543210"),
            (
                "Warning  BackOff  38s (x133 over 30m)  kubelet  Back-off restarting",
                "Warning  BackOff  2m11s (x7 over 1d4h)  kubelet  Back-off restarting",
            ),
            ("portal-7d9c6b5f4-x2x8k crashed", "portal-5c8f7d6b9d-k2q7z crashed"),
            (
                "web-1  0/1  CrashLoopBackOff  5 (38s ago)  10m",
                "web-1  0/1  CrashLoopBackOff  6 (4m2s ago)  2d",
            ),
            ("Killed after 3 days", "Killed after 12 days"),
        ] {
            assert_eq!(normalise(a), normalise(b));
        }
    }

    #[test]
    fn what_tells_failures_apart_stays() {
        for (a, b) in [
            ("src/a.rs:1: no", "src/b.rs:1: no"),
            ("error[E0308]: x", "error[E0425]: x"),
            ("test_1 failed", "test_2 failed"),
            ("expected status 200, got status 404", "expected status 200, got status 500"),
            ("cannot find `foo`", "cannot find `bar`"),
            ("tests/v1/a.js", "tests/v2/a.js"),
            ("pod web-canary-blue failed", "pod web-stable-green failed"),
            ("exit code 137", "exit code 101"),
        ] {
            assert_ne!(normalise(a), normalise(b));
        }
    }

    #[test]
    fn order_and_repeats_do_not_matter() {
        assert_eq!(fingerprint(["a", "b", "a"]), fingerprint(["b", "a"]));
        assert_ne!(fingerprint(["a"]), fingerprint(["b"]));
    }

    proptest! {
        #[test]
        fn numbers_times_and_ids_never_matter(
            n in 1u32..100_000, m in 1u32..100_000, ms in 0u32..10_000, id in any::<u128>(),
            hash in "[0-9a-f]{12}[0-9]", seed in any::<u64>(),
        ) {
            let uuid = uuid::Uuid::from_u128(id);
            let line = |n: u32, ms: u32, uuid: uuid::Uuid, hash: &str| {
                format!("src/cart.rs:{n}: `total` failed after {ms}ms, request {uuid}, build {hash}, worker {n}")
            };
            let other = uuid::Uuid::from_u128(id ^ u128::from(seed));
            prop_assert_eq!(
                normalise(&line(n, ms, uuid, &hash)),
                normalise(&line(m, ms / 2 + 1, other, "00aa11bb22cc3"))
            );
        }

        #[test]
        fn normalising_holds_still(text in "[ -~]{0,80}") {
            let once = normalise(&text);
            prop_assert!(once.len() <= 8 * text.len() + 16);
            prop_assert_eq!(fingerprint([text.as_str()]), fingerprint([text.as_str(), text.as_str()]));
        }
    }
}
