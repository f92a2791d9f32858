//! Lines that stand for lines left out: `// ... existing code ...`.

const WORDS: [&str; 12] = [
    "existing",
    "rest of",
    "the rest",
    "unchanged",
    "remaining",
    "remainder",
    "same as",
    "as before",
    "omitted",
    "other code",
    "previous code",
    "no change",
];

/// Whether a line leaves something out. A bare `...` does not: it is a statement in Python.
pub(super) fn leaves_out(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line).replace('…', "...");
    let text = text.trim();
    if text.len() > 200 || !text.contains("...") {
        return false;
    }
    let mut inner = text;
    let mut comment = false;
    for mark in ["//", "#", "--", "/*", "<!--", "{/*", "%", ";", "(*"] {
        if let Some(rest) = text.strip_prefix(mark) {
            inner = rest.trim_start_matches(['/', '#', '-', '*', '!']).trim();
            comment = true;
            break;
        }
    }
    for mark in ["*/}", "*/", "-->", "*)"] {
        inner = inner.strip_suffix(mark).unwrap_or(inner).trim();
    }
    let Some(after) =
        inner.strip_prefix("...").or_else(|| inner.strip_suffix("...").filter(|_| comment))
    else {
        return false;
    };
    let words = after.trim_matches(['.', ' ', '(', ')']).to_ascii_lowercase();
    if words.is_empty() {
        return comment;
    }
    // Prose, not code: `...options,` spreads.
    let prose = words.contains(' ') || comment;
    prose && WORDS.iter().any(|known| words.contains(known))
}

/// Whether a line that is looked for can only be meant to leave something out.
pub(super) fn is_gap(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    matches!(text.trim(), "..." | "…") || leaves_out(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_gaps_from_code() {
        for line in [
            "// ... existing code ...",
            "    # ... rest of the function unchanged",
            "/* ... */",
            "<!-- ... existing content ... -->",
            "... rest of the file ...",
            "// …",
            "// existing code...",
            "{/* ... existing JSX ... */}",
        ] {
            assert!(leaves_out(line.as_bytes()), "{line}");
        }
        for line in [
            "    ...",
            "...args",
            "fn f(...)",
            "# loading...",
            "// wait for it...",
            "return [...existing, x]",
            "print(\"existing...\")",
            "...existing,",
            "x = 1",
        ] {
            assert!(!leaves_out(line.as_bytes()), "{line}");
        }
        assert!(is_gap(b"  ..."));
    }
}
