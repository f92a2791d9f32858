use super::*;
use greenloop_model::{CodeContext, Excerpt, FileContent, Location};
use greenloop_patch::MemoryTree;

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    files
        .iter()
        .map(|(path, text)| (RepoPath::new(*path).unwrap(), FileContent::regular(*text)))
        .collect()
}

fn evidence(text: &str, places: &[(&str, u64)]) -> Evidence {
    let locations = places
        .iter()
        .map(|(file, line)| Location { file: (*file).into(), line: *line, column: None })
        .collect();
    let excerpt = Excerpt { start: 1, end: 1, kind: "x".into(), text: text.into(), locations };
    Evidence { excerpts: vec![excerpt], ..Evidence::default() }
}

fn failing(test: &str) -> Evidence {
    Evidence { failing_tests: std::iter::once(test.to_owned()).collect(), ..evidence("", &[]) }
}

#[test]
fn a_log_s_paths_find_their_files() {
    let files: Vec<RepoPath> = ["src/a.rs", "a.rs", "web/src/app.ts", "x/lib.py", "y/lib.py"]
        .iter()
        .map(|path| RepoPath::new(*path).unwrap())
        .collect();
    for (written, expect) in [
        ("src/a.rs", Some("src/a.rs")),
        ("./a.rs", Some("a.rs")),
        ("/home/ci/build/src/a.rs", Some("src/a.rs")),
        ("src/app.ts", Some("web/src/app.ts")),
        ("web\\src\\app.ts", Some("web/src/app.ts")),
        ("lib.py", None),
        ("/usr/lib/python3/json.py", None),
        ("", None),
    ] {
        let found = in_tree(&files, written).map(ToString::to_string);
        assert_eq!(found.as_deref(), expect, "{written}");
    }
}

#[test]
fn a_test_s_name_is_that_of_its_definition() {
    for (test, definition, expect) in [
        ("tests/a.py::test_b[1-x]", "test_b", true),
        ("tests/a.py::A::test_b", "test_b", true),
        ("format::tests::it", "it_", false),
        ("format::tests::it_wraps", "it_wraps", true),
        ("test/u.test.ts > unique > numbers what is there", "numbers what is there", true),
        ("com.acme.ATest.fills(String)[2]", "fills", true),
        ("TestWait/of_zero", "TestWait", true),
        ("test_b (tests.a.A.test_b)", "test_b", true),
        ("pretest_b", "test_b", false),
    ] {
        assert_eq!(is_named(test, definition), expect, "{test} {definition}");
    }
}

/// Lines that nothing names, so that no file is small.
fn padding(count: usize) -> String {
    (0..count).map(|n| format!("# padding, line {n} of many more\n")).collect()
}

#[test]
fn what_the_failing_test_imports_is_shown_and_the_rest_are_signatures() {
    let module = format!(
        "from .tax import rate\n\ndef net(items):\n    return sum(items)\n\n\ndef other(x):\n    y = x\n    return y * 17\n\n\n{}",
        padding(60)
    );
    let tax =
        format!("RATES = {{'AT': 2}}\n\n\ndef rate(c):\n    return RATES[c]\n\n\n{}", padding(60));
    let test = format!(
        "from shop.price import net\n\n\ndef test_net():\n    assert net([rate, 2]) == 3\n\n\n{}",
        padding(60)
    );
    let unrelated = padding(60);
    let tree = tree(&[
        ("shop/price.py", &module),
        ("shop/tax.py", &tax),
        ("shop/unrelated.py", &unrelated),
        ("tests/test_price.py", &test),
    ]);
    let code = relevant(&tree, &failing("tests/test_price.py::test_net"), 6_000);
    let titles: Vec<_> = code.shown.iter().map(|shown| shown.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "tests/test_price.py, parts of 67 lines",
            "shop/price.py, parts of 71 lines",
            "shop/tax.py, parts of 67 lines"
        ]
    );
    let text = |nth: usize| code.shown[nth].text.as_str();
    assert!(text(0).contains("def test_net():\n    assert net([rate, 2]) == 3\n"), "{}", text(0));
    assert!(text(1).contains("def net(items):\n    return sum(items)\n"), "{}", text(1));
    assert!(text(1).contains("def other(x):\n…\n"), "a signature only: {}", text(1));
    assert!(text(2).contains("RATES = {'AT': 2}\n"), "named by a body: {}", text(2));
    assert!(!code.shown.iter().any(|shown| shown.text.contains("padding")));
}

#[test]
fn a_named_place_brings_its_definition_and_a_long_one_the_lines_around() {
    let long: String = (1..=300).map(|n| format!("    step({n})\n")).collect();
    let text = format!("def short():\n    return 1\n\n\ndef long():\n{long}");
    let tree = tree(&[("a.py", &text)]);
    let code = relevant(&tree, &evidence("boom", &[("a.py", 2), ("a.py", 105)]), 6_000);
    let shown = &code.shown[0];
    assert!(
        shown.text.starts_with("def short():\n    return 1\n…\ndef long():\n"),
        "{}",
        shown.text
    );
    assert!(shown.text.contains("    step(88)\n") && shown.text.contains("    step(112)\n"));
    assert!(!shown.text.contains("step(87)") && !shown.text.contains("step(113)"));
    assert!(
        shown.title.ends_with("; line 2 is `return 1`; line 105 is `step(100)`"),
        "{}",
        shown.title
    );
}

#[test]
fn code_is_shown_as_it_stands_in_the_file() {
    let text = "spec:\n    items:\n      - name: A\n";
    let tree = tree(&[("d.yaml", text)]);
    let code = relevant(&tree, &evidence("d.yaml:3: bad indentation", &[("d.yaml", 3)]), 6_000);
    assert_eq!(code.shown[0].text, text);
}

#[test]
fn a_small_repository_is_shown_as_a_whole() {
    let tree = tree(&[("a.py", "one\n"), ("b.txt", "two\n"), ("bin", "\0"), ("empty", "")]);
    let mut evidence = evidence("one", &[("a.py", 1)]);
    evidence.code.push(CodeContext {
        path: "build/gen.py".into(),
        first_line: 7,
        text: "seven".into(),
        about: Location { file: "build/gen.py".into(), line: 7, column: None },
    });
    let code = relevant(&tree, &evidence, 6_000);
    let titles: Vec<_> = code.shown.iter().map(|shown| shown.title.as_str()).collect();
    assert_eq!(titles, ["a.py", "b.txt", "build/gen.py from line 7 (not in git)"]);
}

#[test]
fn the_budget_holds_and_what_matters_most_is_in_it() {
    let body: String = (0..40).map(|n| format!("    step_number({n})\n")).collect();
    let module: String = (0..30).map(|n| format!("def part{n}():\n{body}\n")).collect();
    let calls: String = (0..30).map(|n| format!("    part{n}()\n")).collect();
    let test = format!("from m import *\n\ndef test_all():\n{calls}\n{}", padding(60));
    let tree = tree(&[("m.py", &module), ("test_m.py", &test)]);
    let code = relevant(&tree, &failing("test_m.py::test_all"), 3_000);
    let total: usize = code.shown.iter().map(|shown| shown.text.chars().count()).sum();
    assert!(total <= 3_100, "{total}");
    assert!(code.shown[0].text.contains("    part29()\n"), "{}", code.shown[0].text);
}

#[test]
fn a_reviewer_sees_what_is_changed_and_the_test() {
    let module = format!("def a():\n    return 1\n\n\ndef b():\n    return 2\n\n\n{}", padding(60));
    let test = "from m import a\n\ndef test_a():\n    assert a() == 2\n";
    let tree = tree(&[("m.py", &module), ("test_m.py", test), ("other.py", "x = 1\n")]);
    let changed = [(RepoPath::new("m.py").unwrap(), vec![6])];
    let code = around_changes(&tree, &failing("test_m.py::test_a"), &changed, 4_000);
    let titles: Vec<_> = code.shown.iter().map(|shown| shown.title.as_str()).collect();
    assert_eq!(titles, ["test_m.py", "m.py, parts of 68 lines"]);
    assert!(code.shown[1].text.contains("def b():\n    return 2\n"));
    assert!(code.shown[1].text.contains("def a():\n…"));
}
