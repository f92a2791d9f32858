//! Checks that each test that docs/RELIABILITY.md and docs/comparison.md name exists.

use std::path::Path;

/// `FILE::NAME` of every Rust test on a page.
fn named(page: &str) -> Vec<(String, String)> {
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

fn assert_tests_exist(page: &str, name: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = named(page);
    assert!(named.len() >= at_least, "only {} tests were found in {name}", named.len());
    let mut missing = Vec::new();
    for (file, test) in named {
        let source = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        // The tests of the store are listed once, for both databases.
        let list = match file.starts_with("tests/store/") {
            true => std::fs::read_to_string(root.join("tests/store/main.rs")).unwrap_or_default(),
            false => String::new(),
        };
        if !has_test(&source, &list, &test) {
            missing.push(format!("{file}::{test}"));
        }
    }
    assert!(missing.is_empty(), "{name} names tests that do not exist: {missing:#?}");
}

#[test]
fn every_test_on_the_page_of_reliability_exists() {
    assert_tests_exist(include_str!("../docs/RELIABILITY.md"), "docs/RELIABILITY.md", 130);
}

#[test]
fn every_test_in_the_comparison_exists() {
    assert_tests_exist(include_str!("../docs/comparison.md"), "docs/comparison.md", 40);
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
