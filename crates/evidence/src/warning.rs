//! Lines that the tool that printed them calls warnings: none fails a build, whatever it speaks of.

/// Bytes of a line within which its level stands.
const REACH: usize = 300;

/// Whether the line states a warning, by the level that it gives itself: `warning: x`,
/// `a.c:3:1: warning: x`, `a.cs(1,2): warning CS1: x`, `[WARNING] x`, `10:11 WARN c.a.B - x`,
/// `npm warn x`, `level=warn`, `  3:1  warning  x`.
pub(super) fn is_warning(line: &[u8]) -> bool {
    let line = line.get(..REACH).unwrap_or(line);
    memchr::memchr2_iter(b'w', b'W', line).any(|at| {
        let (before, level) = line.split_at(at);
        gives_level(before, level) && !speaks_of_failure(before)
    })
}

/// Whether `level`, with `before` before it, begins with the word, as a level.
fn gives_level(before: &[u8], level: &[u8]) -> bool {
    let Some(rest) = after(level, b"warn") else { return false };
    let rest = after(rest, b"ing").unwrap_or(rest);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if before.last().is_some_and(|byte| word(byte) && *byte != b'-' || *byte == b'.')
        || rest.first().is_some_and(|byte| word(byte) || *byte == b'.')
    {
        return false;
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let left = before.iter().rposition(|byte| !blank(byte)).and_then(|at| before.get(at));
    let opens = !before.iter().any(u8::is_ascii_alphanumeric);
    let shouted = level.starts_with(b"WARN");
    // After a place, a program's name, a bracket or a timestamp.
    let placed = left.is_none_or(|byte| b":)][-|>Z".contains(byte) || byte.is_ascii_digit());
    let stated = matches!(rest.first(), Some(b':' | b']' | b')')) || has_code(rest);
    let column = before.first().is_some_and(blank)
        && left.is_some_and(u8::is_ascii_digit)
        && before.contains(&b':')
        && rest.first().is_some_and(blank);
    let named = before.ends_with(b"npm ")
        || before.ends_with(b"level=")
        || before.ends_with(b"level=\"")
        || before.ends_with(b"level\":\"");
    opens || shouted || placed && stated || column || named
}

/// Whether a code such as ` CS8618:` follows.
fn has_code(rest: &[u8]) -> bool {
    let Some((b' ', rest)) = rest.split_first() else { return false };
    let letters = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let rest = rest.get(letters..).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    letters > 0 && digits > 0 && rest.get(digits) == Some(&b':')
}

/// Whether a failure was spoken of before: what follows is about it.
fn speaks_of_failure(before: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"error:", b"error[", b"error ", b"failed", b"fatal", b"panic"];
    memchr::memchr3_iter(b'e', b'f', b'p', before)
        .chain(memchr::memchr3_iter(b'E', b'F', b'P', before))
        .any(|at| {
            WORDS.iter().any(|word| after(before.get(at..).unwrap_or_default(), word).is_some())
        })
}

/// What follows `word`, upper or lower case, if the text begins with it.
fn after<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_told_from_a_word() {
        for line in [
            "warning: unused variable: `error`",
            "Warning: failed to load",
            "WARNING: DATA RACE",
            "src/error.c:3:7: warning: unused variable 'failed' [-Wunused-variable]",
            "/src/Errors.cs(7,19): warning CS0168: The variable 'error' is never used",
            "[WARNING] /src/App.java:[9,12] [deprecation] fail() is deprecated",
            "[warn] -- Warning: x",
            "    3:1   warning  Unexpected console statement",
            "npm warn deprecated x",
            "npm WARN deprecated x",
            "time=\"2025\" level=warning msg=\"error\"",
            "{\"level\":\"warn\",\"msg\":\"failed\"}",
            "2024-05-30 09:11:02,123 WARN  [worker-1] com.acme.ErrorHandler - retrying",
            "2024-05-30T09:11:02.1Z ##[warning]x",
            "2024-05-30T09:11:02.1Z warning: x",
            "::warning file=a.js::x",
            "ld: warning: undefined symbol",
            "#9 3.210 warning: x",
            "  warning • Unused import",
        ] {
            assert!(is_warning(line.as_bytes()), "{line}");
        }
        for line in [
            "error: could not compile, 3 warnings emitted",
            "cc1: all warnings being treated as errors",
            "a.cpp(14): error C2220: the following warning is treated as an error",
            "error: warning: x",
            "test warns_when_empty ... FAILED",
            "--- FAIL: TestWarning (0.00s)",
            "FAILED tests/test_warning.py::test_x - boom",
            "cc -Wall -Wno-warning -c a.c",
            "gradle --warning-mode all: failed",
            "  ● cart › logs a warning: one",
            "src/warning.c:3:7: error: x",
            "",
            "w",
        ] {
            assert!(!is_warning(line.as_bytes()), "{line}");
        }
    }
}
