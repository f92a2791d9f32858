//! The line that a test begins on, by the language's conventions or by a mark above it, and what
//! may become of it: another name.

use std::sync::LazyLock;

use regex::Regex;

/// The line a test, or a group of tests, begins on.
static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)^\s*(
            (async\s+)?def\s+test\w*\s*\( | class\s+\w*Test\w*
          | (await\s+)?(it|test|describe|context|suite|specify|Deno\.test|scenario|feature|example|testWidgets|group)(\.(each|concurrent)\b[^"'`]*)?\s*\(?\s*["'`]
          | func\s+(\([^)]*\)\s*)?(Test|Benchmark|Fuzz|Example)([A-Z0-9_]\w*)?\s*\(
          | func\s+test\w*\s*\( | (public\s+)?function\s+test\w*
          | (TEST|TEST_F|TEST_P|TYPED_TEST|TEST_CASE|SECTION|SCENARIO|SUBCASE|BOOST_AUTO_TEST_CASE)\s*\(
          | [tb]\.Run\( | \w+\.test\(\s*["'`] | @test\s+["']
          | test\s+"[^"]*"\s+do | def\s+test_\w+ | test_that\s*\(\s*["'] | subtest\s+["'] | @testset\s+"
        )"#,
    )
    .ok()
});

/// The name of a function that is being defined; the text before it is its kind.
static FUNCTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^\s*(?:
            (?:pub(?:\([^)]*\))?\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?fn\s+
          | (?:(?:public|private|protected|internal|static|final|override|suspend|async)\s+)*(?:fun\s+|[\w<>\[\],.?]+\s+)
        )(`[^`]+`|\w+)\s*\(",
    )
    .ok()
});

/// Marks that only make a function a test, or give it data.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s*(@(Test|ParameterizedTest|RepeatedTest)\b|#\[(\w+::)*(test|rstest)\b|\[(Fact|Theory|Test|TestMethod)\b)",
    )
    .ok()
});

static ANY_MARK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\s*(@[A-Za-z_]|#\[|\[[A-Z]\w*(\(|\]))").ok());

/// How many marks a definition may have.
const MAX_MARKS: usize = 50;

fn hits(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Whether a test, or a group of them, begins on the line.
pub(super) fn begins_test(lines: &[String], index: usize) -> bool {
    hits(&HEADER, &lines[index]) || is_marked(lines, index)
}

/// Whether the line defines a function that a mark above it makes a test.
fn is_marked(lines: &[String], index: usize) -> bool {
    hits(&FUNCTION, &lines[index])
        && lines[..index]
            .iter()
            .rev()
            .take(MAX_MARKS)
            .take_while(|line| hits(&ANY_MARK, line))
            .any(|line| hits(&MARK, line))
}

/// A header, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Header<'a> {
    /// The text before the name.
    kind: &'a str,
    name: &'a str,
    rest: &'a str,
}

fn parts(line: &str) -> Option<Header<'_>> {
    let Some(found) = HEADER.as_ref()?.find(line) else {
        let name = FUNCTION.as_ref()?.captures(line)?.get(1)?;
        return Some(Header {
            kind: line[..name.start()].trim(),
            name: name.as_str(),
            rest: line[name.end()..].trim(),
        });
    };
    let head = found.as_str();
    // `it("…"`: the name is quoted.
    if let Some(quote) = head.chars().next_back().filter(|c| matches!(c, '"' | '\'' | '`')) {
        let length = line[found.end()..].find(quote)?;
        return Some(Header {
            kind: head[..head.len() - 1].trim(),
            name: &line[found.end()..found.end() + length],
            rest: line[found.end() + length + 1..].trim(),
        });
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(open) = head.strip_suffix('(') {
        let open = open.trim_end();
        // `TEST(Suite, Name)`
        if open.trim_start().chars().all(|c| c.is_uppercase() || c == '_') {
            let length = line[found.end()..].find(')')?;
            return Some(Header {
                kind: head.trim(),
                name: &line[found.end()..found.end() + length],
                rest: line[found.end() + length..].trim(),
            });
        }
        let start = open.rfind(|c| !word(c)).map_or(0, |at| at + 1);
        return Some(Header {
            kind: line[..start].trim(),
            name: &line[start..open.len()],
            rest: line[open.len()..].trim(),
        });
    }
    // `test "…" do`, which the pattern holds wholly, and names without brackets.
    if let (Some(start), Some(end)) = (head.find('"'), head.rfind('"')) {
        return Some(Header {
            kind: head[..start].trim(),
            name: &line[start + 1..end],
            rest: line[end + 1..].trim(),
        });
    }
    let start = head.rfind(|c| !word(c)).map_or(0, |at| at + 1);
    Some(Header {
        kind: line[..start].trim(),
        name: &line[start..found.end()],
        rest: line[found.end()..].trim(),
    })
}

/// What the header calls its test.
pub(super) fn name(line: &str) -> Option<&str> {
    parts(line).map(|header| header.name)
}

/// Whether the line has more of the test than its opening.
pub(super) fn has_body(line: &str) -> bool {
    let line = line.trim_end();
    !(["{", ":", "=>", "(", "[", " do", "then", ")", ","].iter().any(|end| line.ends_with(end))
        || line
            .rsplit_once('|')
            .is_some_and(|(before, after)| after.is_empty() && before.contains(" do ")))
        || line.ends_with(')') && line.contains("=>")
}

/// Whether the test of one line is that of the other under another name: with the same body, if
/// it stands there, and, else, with other parameters at most.
pub(super) fn is_renamed(old: &str, new: &str) -> bool {
    let (Some(old_parts), Some(new_parts)) = (parts(old), parts(new)) else { return false };
    if old_parts.kind == new_parts.kind && old_parts.rest == new_parts.rest {
        return true;
    }
    !has_body(old)
        && !has_body(new)
        && shape(&old_parts) == shape(&new_parts)
        && (old_parts.kind == new_parts.kind
            || has_rows(new_parts.kind) && !old_parts.kind.contains(".each"))
}

/// What may not differ between an opening and another that only has other parameters.
fn shape(header: &Header<'_>) -> String {
    static ARROW: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?:async\s*)?(?:\([^()]*\)|\w+)\s*=>|(?:async\s+)?function\s*\w*\s*\([^()]*\)")
            .ok()
    });
    if header.kind.ends_with("def") {
        // Python: fixtures, and the names of a table's columns.
        return header.rest.rfind(')').map_or_else(String::new, |at| header.rest[at..].to_owned());
    }
    ARROW.as_ref().map_or_else(String::new, |arrow| arrow.replace(header.rest, "=>").into_owned())
}

/// `test.each([[1, 2]])(`, with a row at least.
fn has_rows(kind: &str) -> bool {
    kind.split_once(".each")
        .is_some_and(|(_, rows)| rows.chars().any(|c| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_renamed_test_differs() {
        for (old, new, expect) in [
            ("def test_a():", "def test_b():", true),
            ("def test_a():", "def test_b(x, y):", true),
            ("    def test_a(self):", "    async def test_a(self):", false),
            ("def test_a(): assert f() == 3", "def test_b(): assert f() == 3", true),
            ("def test_a(): assert f() == 3", "def test_a(): assert f() == -1", false),
            ("def test_a(): assert f() == 3", "def test_a(): return", false),
            ("def test_a(): assert f() == 3", "def test_a():", false),
            (
                "test('a', () => expect(f()).toBe(3));",
                "test('b', () => expect(f()).toBe(3));",
                true,
            ),
            (
                "test('a', () => expect(f()).toBe(3));",
                "test('a', () => expect(f()).toBe(4));",
                false,
            ),
            ("it('a', () => { expect(f()).toBe(3) });", "it('a', () => {});", false),
            ("it('a', () => {", "it('b', async () => {", true),
            ("it('a', () => {", "it('a', () => {});", false),
            ("test('a', () => {", "test.each([[1, 2]])('a', (x, y) => {", true),
            ("test('a', () => {", "test.each([])('a', () => {", false),
            ("test.each([[1, 3]])('a', (x) => {", "test.each([[1, 4]])('a', (x) => {", false),
            ("func TestA(t *testing.T) {", "func TestB(t *testing.T) {", true),
            (
                "func TestA(t *testing.T) { if f() != 3 { t.Fatal() } }",
                "func TestA(t *testing.T) { }",
                false,
            ),
            ("    func testAdds() throws {", "    func testAdds(_ x: Int = 0) throws {", false),
            ("it \"adds\" do", "it \"sums\" do", true),
            ("it \"adds\" do", "it \"adds\", if: false do", false),
            ("it(\"adds\") { expect(f).to eq(3) }", "it(\"adds\") { }", false),
            ("test \"adds\" do", "test \"sums\" do", true),
            ("TEST(Calc, Adds) {", "TEST(Calc, Sums) {", true),
            ("TEST(Calc, Adds) { EXPECT_EQ(f(), 3); }", "TEST(Calc, Adds) { }", false),
            ("fn a() {", "fn b() {", true),
            ("    void a() {", "    void doubles() {", true),
            ("fn a() { assert_eq!(f(), 3); }", "fn b() {}", false),
        ] {
            assert_eq!(is_renamed(old, new), expect, "{old} -> {new}");
        }
    }

    #[test]
    fn a_mark_makes_a_function_a_test() {
        for (text, expect) in [
            ("#[test]\nfn a() {", true),
            ("#[tokio::test]\nasync fn a() {", true),
            ("@Test\n@DisplayName(\"x\")\nvoid a() {", true),
            ("[Fact]\npublic void A() {", true),
            ("#[inline]\nfn a() {", false),
            ("#[test]\nfn a() {}\nfn b() {", false),
            ("func Testadd(t *testing.T) {", false),
            ("func TestAdd(t *testing.T) {", true),
        ] {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert_eq!(begins_test(&lines, lines.len() - 1), expect, "{text}");
        }
    }
}
