//! Checks that each test that docs/RELIABILITY.md names exists.

use std::path::Path;

/// `FILE::NAME` of every test on the page.
fn named() -> Vec<(String, String)> {
    let page = include_str!("../docs/RELIABILITY.md");
    page.split('`')
        .filter_map(|part| part.split_once(".rs::"))
        .map(|(file, name)| (format!("{file}.rs"), name.to_owned()))
        .collect()
}

/// Whether `source` has a test `name`: a function with a test attribute, or one that a macro in
/// `source` or in `list` makes a test of by its name.
fn has_test(source: &str, list: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let mut above = before.split('\n').rev();
    // The rest of the function's own line: `async `, `pub(crate) async `.
    let _own = above.next();
    let attributed = above
        .map(str::trim)
        .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let listed =
        |text: &str| text.lines().any(|line| line.trim().trim_end_matches([',', ';']) == name);
    attributed || listed(source) || listed(list)
}

#[test]
fn every_test_on_the_page_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = named();
    assert!(named.len() > 80, "only {} tests were found on the page", named.len());
    let mut missing = Vec::new();
    for (file, name) in named {
        let source = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        // The tests of the store are listed once, for both databases.
        let list = match file.starts_with("tests/store/") {
            true => std::fs::read_to_string(root.join("tests/store/main.rs")).unwrap(),
            false => String::new(),
        };
        if !has_test(&source, &list, &name) {
            missing.push(format!("{file}::{name}"));
        }
    }
    assert!(missing.is_empty(), "docs/RELIABILITY.md names tests that do not exist: {missing:#?}");
}

#[test]
fn only_a_test_counts_as_one() {
    let source = "#[test]\nfn a() {}\n\nfn b() {}\n\nasync fn c(world: &mut World) {}\n\n\
                  scenarios! {\n    wire:\n        c,\n}\n\n#[tokio::test(flavor = \"x\")]\nasync fn d() {}\n";
    for (name, expect) in [("a", true), ("b", false), ("c", true), ("d", true), ("e", false)] {
        assert_eq!(has_test(source, "", name), expect, "{name}");
    }
    assert!(has_test("pub(crate) async fn b(place: &Place) {}", "crash {\n    b,\n}", "b"));
}
