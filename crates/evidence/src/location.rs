//! Places that lines name.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::expression::compile;
use super::guarded::Guarded;
use super::patterns::{LOCATIONS, NOT_FILES};
use greenloop_model::Location;

/// Places of one line, in order of appearance. A bare `line:column` at the start of a line is a
/// place in `header`'s file.
pub(super) fn locations(text: &str, header: Option<&str>) -> Vec<Location> {
    static TABLE: LazyLock<Vec<Guarded>> = LazyLock::new(|| {
        LOCATIONS.iter().map(|(needs, pattern)| Guarded::new(needs, pattern)).collect()
    });
    static BARE: LazyLock<Option<Regex>> =
        LazyLock::new(|| compile(r"^\s*(?P<line>\d+):(?P<col>\d+)\s"));
    let bytes = text.as_bytes();
    if let Some(file) = header
        && let Some(captures) = BARE.as_ref().and_then(|bare| bare.captures(bytes))
        && let Some(place) = place(&captures, Some(file))
    {
        return vec![place];
    }
    if !bytes.iter().any(u8::is_ascii_digit) {
        return Vec::new();
    }
    let mut found: Vec<(std::ops::Range<usize>, Location)> = Vec::new();
    let lower = text.to_ascii_lowercase();
    for regex in TABLE.iter().filter_map(|guarded| guarded.on(&lower)) {
        for captures in regex.captures_iter(bytes) {
            let Some(whole) = captures.get(0) else { continue };
            let taken = |(range, _): &(std::ops::Range<usize>, Location)| {
                range.start < whole.end() && whole.start() < range.end
            };
            if found.iter().any(taken) || in_url(bytes, whole.start()) {
                continue;
            }
            if let Some(place) = place(&captures, None) {
                found.push((whole.range(), place));
            }
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    found.into_iter().map(|(_, place)| place).collect()
}

fn place(captures: &Captures<'_>, header: Option<&str>) -> Option<Location> {
    let text = |name: &str| {
        captures.name(name).and_then(|found| std::str::from_utf8(found.as_bytes()).ok())
    };
    let number = |name: &str| text(name).and_then(|digits| digits.parse::<u64>().ok());
    let line = number("line").filter(|line| *line > 0)?;
    let file = text("file").or(header).unwrap_or("Dockerfile");
    let extension = file.rsplit('.').next().unwrap_or_default();
    if header.is_none() && NOT_FILES.contains(&extension) || file.starts_with("//") {
        return None;
    }
    let file = match text("package") {
        Some(package) => format!("{}{file}", package.replace('.', "/")),
        None => file.to_owned(),
    };
    Some(Location { file, line, column: number("col").filter(|column| *column > 0) })
}

/// Whether the text before belongs to a URL: `https://host.example:443`.
fn in_url(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    let start = before.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    let word = before.get(start..).unwrap_or_default();
    let file = memchr::memmem::find(word, b"file:").is_some();
    !file
        && (memchr::memmem::find(word, b"://").is_some()
            || word.ends_with(b"http:")
            || word.ends_with(b"https:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_as_tools_write_them() {
        for (text, expect) in [
            ("  --> src/main.rs:3:5", &["src/main.rs:3:5"][..]),
            ("thread 'main' panicked at src/lib.rs:12:9:", &["src/lib.rs:12:9"]),
            ("src/app.ts(12,5): error TS2322: no", &["src/app.ts:12:5"]),
            ("src/app.ts:12:5 - error TS2322: no", &["src/app.ts:12:5"]),
            ("[ERROR] /app/src/App.java:[27,122] no", &["/app/src/App.java:27:122"]),
            ("  File \"/app/main.py\", line 3, in <module>", &["/app/main.py:3"]),
            ("\tat com.acme.App.run(App.java:12)", &["com/acme/App.java:12"]),
            ("\tat app//com.acme.App.run(App.java:12)", &["com/acme/App.java:12"]),
            ("    at Object.<anonymous> (/app/x.test.js:10:5)", &["/app/x.test.js:10:5"]),
            ("    at file:///app/x.mjs:10:5", &["/app/x.mjs:10:5"]),
            ("./main.go:12:5: undefined: foo", &["./main.go:12:5"]),
            ("  test/cart_test.dart 14:5    main.<fn>", &["test/cart_test.dart:14:5"]),
            ("    cart_test.go:12: got 1", &["cart_test.go:12"]),
            ("src/main.c:12:5: error: no", &["src/main.c:12:5"]),
            ("Makefile:3: *** missing separator.  Stop.", &["Makefile:3"]),
            ("CMake Error at CMakeLists.txt:12 (find_package):", &["CMakeLists.txt:12"]),
            ("Dockerfile:12", &["Dockerfile:12"]),
            ("dockerfile parse error on line 3: unknown", &["Dockerfile:3"]),
            ("/app/Program.cs(12,5): error CS0103: no", &["/app/Program.cs:12:5"]),
            ("   at Acme.Cart.Total() in /src/Cart.cs:line 12", &["/src/Cart.cs:12"]),
            ("./run.sh: line 3: syntax error", &["./run.sh:3"]),
            ("run.sh: 3: foo: not found", &["run.sh:3"]),
            ("PHP Fatal error: x in /app/index.php on line 3", &["/app/index.php:3"]),
            ("  on main.tf line 12, in resource \"x\"", &["main.tf:12"]),
            ("https://example.com:443/x failed", &[]),
            ("dial tcp registry.example.io:443: refused", &[]),
            ("127.0.0.1:8080 refused, 12:30:45", &[]),
            ("a.rs:1:2 and b.rs:3", &["a.rs:1:2", "b.rs:3"]),
        ] {
            let found: Vec<String> =
                locations(text, None).iter().map(ToString::to_string).collect();
            assert_eq!(found, expect, "{text}");
        }
    }

    #[test]
    fn a_bare_place_is_in_the_headers_file() {
        let found = locations("  12:5  error  no", Some("/app/x.js"));
        assert_eq!(found.first().map(ToString::to_string), Some("/app/x.js:12:5".to_owned()));
    }
}
