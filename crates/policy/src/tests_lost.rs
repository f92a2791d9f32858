//! Tests that a patch takes away: by name over the whole patch, so that moving one to another
//! file is nothing, and assertions by number within each file that holds tests.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::Regex;

use super::syntax::{SourceFile, Syntax};
use super::test_changes::is_collected;
use greenloop_model::{FileChange, RepoPath};

/// How a language writes a test; the first group is its name.
struct Language {
    extensions: &'static [&'static str],
    test: &'static str,
}

#[rustfmt::skip]
const LANGUAGES: &[Language] = &[
    Language { extensions: &["rs"], test: r"(?m)^[ \t]*#\[(?:\w+::)*(?:test|rstest|test_case|quickcheck|proptest|bench)\b[^\n]*\][ \t]*\r?\n?(?:[ \t]*(?:#\[[^\n]*\]|//[^\n]*)[ \t]*\r?\n)*[ \t]*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?fn\s+(\w+)" },
    Language { extensions: &["py"], test: r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+(test\w*)[ \t]*\(" },
    Language { extensions: &["js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts"], test: r#"(?m)^[ \t]*(?:await[ \t]+)?(?:it|test|specify|Deno\.test)(?:\.\w+)*(?:\([^\n]*?\))?\s*\(\s*["'`]([^"'`\n]*)["'`]"# },
    Language { extensions: &["go"], test: r"(?m)^func[ \t]+((?:Test|Benchmark|Fuzz|Example)(?:[A-Z0-9_]\w*)?)[ \t]*\(" },
    Language { extensions: &["java", "kt", "kts", "scala", "groovy"], test: r"(?m)^[ \t]*@(?:Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b[^\n]*(?:\r?\n[ \t]*@[^\n]*)*\s+(?:[\w<>\[\],?. ]+\s)?(?:fun\s+)?(`[^`]+`|\w+)\s*\(" },
    Language { extensions: &["cs"], test: r"(?m)^[ \t]*\[(?:Fact|Theory|Test|TestCase|TestMethod|DataTestMethod)\b[^\n]*\](?:\s*\[[^\n]*\])*\s+[\w<>\[\], ]+\s(\w+)\s*\(" },
    Language { extensions: &["rb"], test: r#"(?m)^[ \t]*(?:it|specify|scenario|test)[ \t]*\(?[ \t]*["']([^"'\n]*)["']"# },
    Language { extensions: &["rb"], test: r"(?m)^[ \t]*def[ \t]+(test_\w+)" },
    Language { extensions: &["php"], test: r"(?m)^[ \t]*(?:public[ \t]+)?function[ \t]+(test\w*)[ \t]*\(" },
    Language { extensions: &["c", "cc", "cpp", "cxx", "h", "hpp"], test: r#"(?m)^[ \t]*(?:TEST|TEST_F|TEST_P|TYPED_TEST|TEST_CASE|SCENARIO|BOOST_AUTO_TEST_CASE|START_TEST)[ \t]*\(([^)\n]*)\)"# },
    Language { extensions: &["ex", "exs"], test: r#"(?m)^[ \t]*test[ \t]+"([^"\n]*)""# },
    Language { extensions: &["swift"], test: r"(?m)^[ \t]*(?:@Test[^\n]*\s+)?func[ \t]+(test\w*)[ \t]*\(" },
    Language { extensions: &["dart"], test: r#"(?m)^[ \t]*(?:test|testWidgets)[ \t]*\(\s*["']([^"'\n]*)["']"# },
    Language { extensions: &["bats"], test: r#"(?m)^[ \t]*@test[ \t]+["']([^"'\n]*)["']"# },
];

const ASSERTION: &str = r"\b(assert\w*|expect\w*|should|must|EXPECT_\w+|ASSERT_\w+|CHECK\w*|REQUIRE\w*|pytest\.raises|t\.(Error|Errorf|Fatal|Fatalf|Fail|FailNow)|require\.\w+|XCTAssert\w*|verify)\b\s*[!.(\s]";

/// What a patch takes away from the tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub path: RepoPath,
    /// 0-based line of the resulting file, where there is one.
    pub line: Option<usize>,
    pub detail: String,
    /// Whether the file as a whole is lost, rather than a part of it.
    pub whole: bool,
}

/// The patterns, each compiled when a file first needs it.
#[derive(Debug)]
pub(super) struct TestPatterns {
    tests: Vec<OnceLock<Option<Regex>>>,
    assertion: OnceLock<Option<Regex>>,
}

impl TestPatterns {
    pub(super) fn new() -> Self {
        Self {
            tests: LANGUAGES.iter().map(|_| OnceLock::new()).collect(),
            assertion: OnceLock::new(),
        }
    }

    /// Everything the changes take away; files above `limit` bytes are not read.
    pub(super) fn find(&self, changes: &[&FileChange], limit: usize) -> Vec<Lost> {
        let mut found = Vec::new();
        let mut names: HashMap<String, i64> = HashMap::new();
        let mut held = Vec::new();
        for change in changes {
            let old_path = change.moved_from.as_ref().unwrap_or(&change.path);
            let empty: &[u8] = &[];
            let text = |content: Option<&greenloop_model::FileContent>| -> Option<String> {
                content
                    .filter(|c| c.bytes.len() <= limit && !c.is_binary())
                    .map(|c| String::from_utf8_lossy(&c.bytes).into_owned())
            };
            let (before, after) = (text(change.before.as_ref()), text(change.after.as_ref()));
            let old_file =
                SourceFile::new(old_path, before.as_deref().map_or(empty, str::as_bytes));
            let new_file =
                SourceFile::new(&change.path, after.as_deref().map_or(empty, str::as_bytes));
            let old = before.map(|text| self.tests(&old_file, &text)).unwrap_or_default();
            let new = after.map(|text| self.tests(&new_file, &text)).unwrap_or_default();
            for name in &new.names {
                *names.entry(name.clone()).or_default() -= 1;
            }
            for name in &old.names {
                *names.entry(name.clone()).or_default() += 1;
            }
            if let Some(detail) = file_lost(change, &old_file, &new_file) {
                found.push(Lost { path: change.path.clone(), line: None, detail, whole: true });
            } else if (old_file.is_test() || !old.names.is_empty())
                && change.after.is_some()
                && new.assertions < old.assertions
            {
                let detail = format!(
                    "{} of {} assertions are gone",
                    old.assertions - new.assertions,
                    old.assertions
                );
                found.push(Lost { path: change.path.clone(), line: None, detail, whole: false });
            }
            held.push((change, old));
        }
        // Fewer tests than before are lost ones, whatever the others are called now.
        let fewer = names.values().sum::<i64>() > 0;
        for (change, old) in held {
            for name in old.names {
                if let Some(count) = names.get_mut(&name).filter(|count| **count > 0) {
                    *count -= 1;
                    let detail = format!("the test {name:?} is gone");
                    found.push(Lost {
                        path: change.path.clone(),
                        line: None,
                        detail,
                        whole: fewer,
                    });
                }
            }
        }
        found
    }

    fn tests(&self, file: &SourceFile, text: &str) -> Tests {
        if matches!(file.syntax, Syntax::Prose) {
            return Tests::default();
        }
        let text = without_block_comments(text);
        let mut names = Vec::new();
        for (language, regex) in LANGUAGES.iter().zip(&self.tests) {
            if file.has_extension(language.extensions)
                && let Some(regex) = regex.get_or_init(|| Regex::new(language.test).ok())
            {
                for found in regex.captures_iter(&text) {
                    names.push(found.get(1).map_or("", |name| name.as_str()).to_owned());
                }
            }
        }
        let assertion = self.assertion.get_or_init(|| Regex::new(ASSERTION).ok());
        let assertions = match assertion {
            Some(assertion) if file.is_test() || !names.is_empty() => text
                .lines()
                .filter(|line| !is_comment(line))
                .map(|line| assertion.find_iter(line).count())
                .sum(),
            Some(_) | None => 0,
        };
        Tests { names, assertions }
    }
}

#[derive(Debug, Default)]
struct Tests {
    names: Vec<String>,
    assertions: usize,
}

/// A whole test file that is gone, emptied, or moved to where no runner looks.
fn file_lost(change: &FileChange, old: &SourceFile, new: &SourceFile) -> Option<String> {
    if !old.is_test() || change.before.is_none() {
        return None;
    }
    let Some(after) = &change.after else { return Some("a test file is deleted".to_owned()) };
    let before_blank = change.before.as_ref().is_none_or(|b| b.bytes.trim_ascii().is_empty());
    if after.bytes.trim_ascii().is_empty() && !before_blank {
        return Some("a test file is emptied".to_owned());
    }
    let moved = change.moved_from.as_ref().filter(|from| **from != change.path);
    let hidden = moved.is_some_and(|from| is_collected(from) && !is_collected(&change.path));
    if hidden || !new.is_test() || old.extension != new.extension {
        return Some("a test file is moved to where no test runner looks".to_owned());
    }
    None
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["//", "#", "*", "--", ";"].iter().any(|start| line.starts_with(start))
        && !line.starts_with("#[")
}

/// Keeps the line ends of what it removes.
fn without_block_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        let Some(length) = rest[start..].find("*/") else { break };
        out.push_str(&rest[..start]);
        out.extend(rest[start..start + length].chars().filter(|c| *c == '\n'));
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::FileContent;

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        FileChange {
            path: RepoPath::new(path).expect("a path"),
            moved_from: None,
            before: before.map(FileContent::regular),
            after: after.map(FileContent::regular),
        }
    }

    fn lost(changes: &[FileChange]) -> Vec<String> {
        let patterns = TestPatterns::new();
        patterns
            .find(&changes.iter().collect::<Vec<_>>(), 1 << 20)
            .into_iter()
            .map(|l| l.detail)
            .collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in LANGUAGES.iter().map(|l| l.test).chain([ASSERTION]) {
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn lost_tests_are_found() {
        for (path, before, after) in [
            ("src/a.rs", "#[test]\nfn a() {}\n#[test]\nfn b() {}\n", "#[test]\nfn a() {}\n"),
            ("src/a.rs", "#[tokio::test]\nasync fn a() {}\n", "async fn a() {}\n"),
            ("src/a.rs", "#[test]\nfn a() {}\n", "// #[test]\nfn a() {}\n"),
            ("src/a.rs", "#[test]\nfn a() {}\n", "/*\n#[test]\nfn a() {}\n*/\n"),
            ("test_a.py", "def test_a():\n    assert f() == 1\n", "def test_a():\n    pass\n"),
            ("test_a.py", "def test_a():\n  assert 1\n", "def check_a():\n  assert 1\n"),
            ("a.test.js", "it('a', () => {})\nit('b', () => {})\n", "it('a', () => {})\n"),
            ("a_test.go", "func TestA(t *testing.T) {}\n", "func testA(t *testing.T) {}\n"),
            ("src/test/ATest.java", "@Test\npublic void a() {}\n", "public void a() {}\n"),
            ("a_test.rb", "it 'works' do\nend\n", "\nx\n"),
            ("a_test.cc", "TEST(A, b) { EXPECT_EQ(1, f()); }\n", "TEST(A, b) { }\n"),
        ] {
            let lost = lost(&[change(path, Some(before), Some(after))]);
            assert!(!lost.is_empty(), "{path}: {before:?} -> {after:?}");
        }
        for path in ["tests/a.rs", "pkg/a_test.go", "spec/a_spec.rb"] {
            assert_eq!(lost(&[change(path, Some("x"), None)]).len(), 1, "{path}");
        }
    }

    #[test]
    fn moved_and_changed_tests_are_none() {
        let test = "#[test]\nfn a() { assert!(f()); }\n";
        for changes in [
            vec![
                change("src/a.rs", Some(&format!("{test}fn f() {{}}\n")), Some("fn f() {}\n")),
                change("src/b.rs", None, Some(test)),
            ],
            vec![change(
                "src/a.rs",
                Some("fn f() {}\n#[test]\nfn a() { assert!(f()); }\n"),
                Some("fn f() { 1 }\n#[test]\nfn a() { assert!(f()); assert!(g()); }\n"),
            )],
            vec![change("src/a.py", Some("assert x\nassert y\n"), Some("x\n"))],
        ] {
            let kept: Vec<_> =
                lost(&changes).into_iter().filter(|l| l.contains("the test")).collect();
            assert_eq!(kept, Vec::<String>::new(), "{changes:?}");
        }
    }
}
