//! A part of a longer text, redacted: secrets are looked for before the text is cut, because what
//! a cut leaves of one has no longer its shape.

use super::{Hidden, Redactor, replace};

/// How many times as much is looked at as is shown.
const MARGIN: usize = 4;

impl Redactor {
    /// Bytes to read where [`Redactor::tail`] or [`Redactor::head`] is to show `most` of them: a
    /// secret that reaches over the cut is then seen whole.
    pub const fn margin(most: usize) -> usize {
        most.saturating_mul(MARGIN)
    }

    /// The last `most` bytes without their secrets, from the beginning of a line where there is
    /// one. `bytes` is the whole text, or the last [`Redactor::margin`] bytes of it.
    pub fn tail(&self, bytes: &[u8], most: usize) -> String {
        let spans = self.spans(bytes);
        let mut from = bytes.len().saturating_sub(most);
        if from > 0 {
            let before = from - 1;
            let last = bytes.len() - 1;
            if let Some(end) = memchr::memchr(b'\n', bytes.get(before..last).unwrap_or_default()) {
                from = before + end + 1;
            }
            while bytes.get(from).is_some_and(|byte| is_continuation(*byte)) {
                from += 1;
            }
        }
        let mut out = Vec::new();
        if let Some(cut) = spans.iter().find(|span| span.start < from && from < span.end) {
            out.extend_from_slice(cut.marker().as_bytes());
            from = cut.end;
        }
        let shown: Vec<_> = spans
            .into_iter()
            .filter(|span| span.start >= from)
            .map(|span| Hidden { start: span.start - from, end: span.end - from, ..span })
            .collect();
        replace(bytes.get(from..).unwrap_or_default(), &shown, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The first `most` bytes without their secrets. `bytes` is the whole text, or the first
    /// [`Redactor::margin`] bytes of it.
    pub fn head(&self, bytes: &[u8], most: usize) -> String {
        let bytes = bytes.get(..Self::margin(most)).unwrap_or(bytes);
        let spans = self.spans(bytes);
        let mut end = most.min(bytes.len());
        while end > 0 && bytes.get(end).is_some_and(|byte| is_continuation(*byte)) {
            end -= 1;
        }
        let cut = spans.iter().find(|span| span.start < end && end < span.end).cloned();
        if let Some(cut) = &cut {
            end = cut.start;
        }
        let shown: Vec<_> = spans.into_iter().filter(|span| span.end <= end).collect();
        let mut out = Vec::new();
        replace(bytes.get(..end).unwrap_or_default(), &shown, &mut out);
        if let Some(cut) = cut {
            out.extend_from_slice(cut.marker().as_bytes());
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Whether this byte of UTF-8 is not the first of its character.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown at the least in these tests.
    const MOST: usize = 200;

    /// Texts with a secret, and the secret without what names it.
    fn secrets() -> Vec<(String, Vec<String>)> {
        let token: String = "a1B2c3D4e5".repeat(4);
        let body: Vec<String> =
            (0..3).map(|n| format!("{n}MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw")).collect();
        let key =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", body.join("\n"));
        vec![
            (format!("ghp_{token}"), vec![token]),
            (
                "SHOP_PASSWORD=correct-horse-battery-staple".into(),
                vec!["correct-horse-battery-staple".into()],
            ),
            ("url postgres://shop:tr0ub4dor-and-3@db/shop".into(), vec!["tr0ub4dor-and-3".into()]),
            ("the value is learned-by-heart, twice".into(), vec!["learned-by-heart".into()]),
            (key.replace('\n', "\\n"), body.clone()),
            (key, body),
        ]
    }

    /// The pieces of five bytes of each secret that a text shows.
    fn leaks<'a>(text: &str, secrets: &'a [String]) -> Vec<&'a str> {
        secrets
            .iter()
            .flat_map(|secret| (0..secret.len() - 5).map(move |at| &secret[at..at + 5]))
            .filter(|piece| text.contains(*piece))
            .collect()
    }

    #[test]
    fn a_secret_at_any_place_around_a_cut_is_hidden() {
        let redactor = Redactor::new(["learned-by-heart".to_owned()]);
        for (said, secrets) in secrets() {
            for at in 0..=2 * MOST {
                for end in ["\n", " "] {
                    let (fill, rest) = ("x".repeat(at), "y".repeat(2 * MOST - at));
                    let text = format!("{fill}{end}{said}{end}{rest}");
                    let tail = redactor.tail(text.as_bytes(), MOST);
                    assert_eq!(leaks(&tail, &secrets), [""; 0], "{at}: {tail}");
                    let head = redactor.head(text.as_bytes(), MOST);
                    assert_eq!(leaks(&head, &secrets), [""; 0], "{at}: {head}");
                    // The secret's neighbours stay.
                    assert!(tail.ends_with('y') || at == 2 * MOST, "{tail}");
                    assert!(head.starts_with('x') || at == 0, "{head}");
                }
            }
        }
    }

    #[test]
    fn a_key_whose_beginning_was_never_read_is_hidden_up_to_its_end() {
        let redactor = Redactor::default();
        let (_, body) = secrets().pop().unwrap();
        let lines = body.join("\n");
        let escaped = body.join("\\n");
        let stamped: String = body.iter().map(|l| format!("2026-01-01T00:00:00Z {l}\n")).collect();
        for text in [
            format!("{lines}\n-----END RSA PRIVATE KEY-----\nready\n"),
            format!("{escaped}\\n-----END PRIVATE KEY-----\\n\nready\n"),
            format!("{stamped}2026-01-01T00:00:00Z -----END PRIVATE KEY-----\nready\n"),
            format!("{lines}\r\nshort==\r\n-----END OPENSSH PRIVATE KEY-----\nready\n"),
        ] {
            let shown = redactor.tail(text.as_bytes(), 1000);
            assert_eq!(leaks(&shown, &body), [""; 0], "{shown}");
            assert!(!shown.contains("short==") && shown.ends_with("\nready\n"), "{shown}");
            assert_eq!(shown.lines().count(), text.lines().count());
        }
        let certificate = format!("{lines}\n-----END CERTIFICATE-----\n");
        assert_eq!(redactor.tail(certificate.as_bytes(), 1000), certificate);
    }

    #[test]
    fn a_cut_is_made_at_a_line_and_between_characters() {
        let redactor = Redactor::default();
        for (text, most, expect) in [
            ("one\ntwo\nthree\n", 100, "one\ntwo\nthree\n"),
            ("one\ntwo\nthree\n", 12, "two\nthree\n"),
            ("one\ntwo\nthree\n", 10, "two\nthree\n"),
            ("one\ntwo\nthree\n", 9, "three\n"),
            ("ééé", 3, "é"),
            ("", 3, ""),
            ("one\n", 0, ""),
        ] {
            assert_eq!(redactor.tail(text.as_bytes(), most), expect, "{text} {most}");
        }
        for (text, most, expect) in [
            ("one\ntwo", 100, "one\ntwo"),
            ("one\ntwo", 5, "one\nt"),
            ("ééé", 3, "é"),
            ("é", 0, ""),
        ] {
            assert_eq!(redactor.head(text.as_bytes(), most), expect, "{text} {most}");
        }
    }
}
