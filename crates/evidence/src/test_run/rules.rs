//! What test runners print: one row for each kind of line, with lines that it was written for.

use super::Outcome;

/// How a line's counts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `3 passed, 1 failed`
    NumberFirst,
    /// `Tests run: 3, Failures: 1`
    WordFirst,
    /// In the groups `total`, `passed`, `failed`, `skipped`.
    Groups,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineMeaning {
    /// A runner begins.
    Starts,
    /// A test's result: of the group `outcome`, or this one.
    Result(Option<Outcome>),
    /// The same in a list that repeats results: it counts where the test is not known yet.
    Again(Option<Outcome>),
    /// The last one of a test counts: runners that try again.
    Latest,
    /// A test began on this line, and its result is on a later one.
    Opens,
    /// The result of the test that was opened.
    Closes,
    /// A test of Go; its package is named later.
    GoTest,
    /// A package of Go: the end of its tests.
    GoPackage,
    /// A runner is done; all its counts.
    Summary(Form),
    /// One line of a summary of several; the counts add up.
    Part(Form),
    /// Counts of a group within other groups: the highest ones are the runner's.
    Nested(Form),
    /// The number of tests, before the line that says how it ended.
    Ran,
    /// How it ended, after that line.
    Ended,
    /// Tests could not be loaded or compiled, so that they did not run.
    NotLoaded,
}

/// One row.
pub(super) struct Rule {
    /// The family of runners whose counts belong together.
    pub runner: &'static str,
    /// One of these is on every line that matches; empty: any line. Compared as it stands.
    pub needs: &'static [&'static str],
    /// Over bytes, without Unicode classes.
    pub pattern: &'static str,
    pub meaning: LineMeaning,
    /// Lines that match this row and none above it.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub examples: &'static [&'static str],
}

const fn rule(
    runner: &'static str,
    meaning: LineMeaning,
    needs: &'static [&'static str],
    pattern: &'static str,
    examples: &'static [&'static str],
) -> Rule {
    Rule { runner, needs, pattern, meaning, examples }
}

use Form::{Groups, NumberFirst, WordFirst};
use LineMeaning::{
    Again, Closes, Ended, GoPackage, GoTest, Latest, Nested, NotLoaded, Opens, Part, Ran, Result,
    Starts, Summary,
};
use Outcome::{Failed, Skipped};

/// In order: the first row that matches a line counts.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // libtest, and what prints like it
    rule("cargo", Starts, &["running "], r"^running \d+ tests?$", &["running 1 test", "running 0 tests"]),
    rule("cargo", Summary(NumberFirst), &["test result: "], r"^test result: \w+\. (?P<counts>\d+ passed; \d+ failed; \d+ ignored);", &[
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
    ]),
    rule("cargo", Result(None), &["test "], r"^test (?P<name>\S.*?)(?: - should panic| - compile(?: fail)?)? \.\.\. (?P<outcome>ok|FAILED|failed|ignored)(?:, .*|: .*| <[\d.]+s>| \([\d.]+s\))?$", &[
        "test tests::adds ... ok", "test tests::adds ... FAILED", "test tests::slow ... ignored, takes minutes",
        "test src/lib.rs - add (line 3) ... ok", "test tests::p - should panic ... ok",
    ]),
    rule("cargo", Opens, &["test "], r"^test (?P<name>[\w:]+(?: - should panic)?) \.\.\. ", &["test tests::adds ... printed by the test"]),
    rule("cargo", Closes, &["ok", "FAILED"], r"^(?:.*\s)?(?P<outcome>ok|FAILED)$", &["ok", "FAILED", "printed ok"]),
    // nextest
    rule("nextest", Summary(NumberFirst), &["Summary ["], r"^ +Summary \[[^\]]*\] +\d+(?:/\d+)? tests? run: (?P<counts>.*)$", &[
        "     Summary [  41.020s] 1200/1288 tests run: 1199 passed (1 flaky), 1 failed, 0 skipped",
        "     Summary [   0.020s] 3 tests run: 3 passed, 1 skipped",
    ]),
    rule("nextest", Latest, &["PASS [", "FAIL [", "SIG", "ABORT [", "TIMEOUT [", "LEAK", "FLAKY "], r"^ +(?:TRY \d+ (?P<again>\w+)|(?P<outcome>PASS|FAIL|SIG\w+|ABORT|TIMEOUT|LEAK|LEAK-FAIL|FLAKY \d+/\d+)) \[[^\]]*\] +(?:\( *\d+/\d+\) +)?(?P<name>\S.*)$", &[
        "        PASS [   0.010s] engine tree::t0",
        "        PASS [   0.010s] ( 1/80) engine tree::t0",
        "   TRY 2 PASS [   1.090s] engine-tree tree::payload_processor::tests::test_state_root",
        "        FAIL [   0.012s] engine-tree pool::tests::rejects_underpriced",
        "     SIGABRT [   1.157s] engine-tree tree::aborts",
    ]),
    // pytest
    rule("pytest", Starts, &["test session starts"], r"^=+ test session starts =+$", &["============================= test session starts =============================="]),
    rule("pytest", Summary(NumberFirst), &[" in "], r"^(?:=+ )?(?P<counts>(?:\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|subtests passed)(?:, )?)+|no tests (?:ran|collected)(?: \(\d+ deselected\))?) in [\d.]+ ?s", &[
        "========================= 1 failed, 2 passed in 0.03s =========================",
        "1 failed in 0.26 seconds", "3 passed, 1 warning in 0.12s", "no tests ran in 0.01s",
        "================= 2 passed, 1 deselected, 1 xfailed in 61.02s (0:01:01) =================",
    ]),
    rule("pytest", NotLoaded, &["ERROR collecting", "error", "ERROR "], r"^(?:_+ ERROR collecting .* _+|!+ Interrupted: \d+ errors? during collection !+|ERROR \S+\.\w+(?: - .*)?)$", &[
        "________________ ERROR collecting tests/test_app.py ________________",
        "!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!",
        "ERROR tests/test_app.py - ModuleNotFoundError: No module named 'app'",
    ]),
    rule("pytest", Result(None), &["] PASSED", "] FAILED", "] SKIPPED", "] ERROR", "] XFAIL", "] XPASS"], r"^\[gw\d+\] \[ *\d+%\] (?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (?P<name>\S.*)$", &["[gw0] [ 50%] PASSED tests/test_native.py::test_decode_frame "]),
    rule("pytest", Result(None), &[" PASSED", " FAILED", " ERROR", " SKIPPED", " XFAIL", " XPASS"], r"^(?P<name>\S+\.\w+::\S.*?) (?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\))?(?: +\[ *\d+%\])?$", &[
        "tests/test_a.py::test_a PASSED                                   [ 50%]",
        "tests/test_a.py::TestB::test_c[a b] FAILED", "tests/test_a.py::test_s SKIPPED (unconditional skip) [100%]",
    ]),
    rule("pytest", Again(None), &["PASSED ", "FAILED ", "ERROR ", "XFAIL ", "XPASS "], r"^(?P<outcome>PASSED|FAILED|ERROR|XFAIL|XPASS) (?P<name>\S+\.\w+::[^\s\[]+(?:\[.*?\])?)(?: - .*)?$", &[
        "FAILED tests/test_cart.py::TestCart::test_total - assert 3 == 4", "PASSED tests/test_cart.py::test_a",
    ]),
    rule("pytest", Opens, &["::"], r"^(?P<name>\S+\.py(?:::\w+)+(?:\[\S*\])?)(?: +.*)?$", &["tests/test_a.py::test_a printed by the test"]),
    rule("pytest", Closes, &["PASSED", "FAILED", "SKIPPED", "XFAIL", "XPASS"], r"^.*?(?P<outcome>PASSED|FAILED|SKIPPED|XFAIL|XPASS)(?: +\[ *\d+%\])?$", &["PASSED", "printed PASSED   [ 50%]"]),
    // unittest
    rule("unittest", Result(None), &[" ... "], r"^(?P<test>\w+) \((?P<owner>[\w.<>]+)\)(?: \[?.*?\]?)? \.\.\. (?P<outcome>ok|FAIL|ERROR|skipped\b|expected failure|unexpected success)(?: .*)?$", &[
        "test_add (tests.test_calc.T.test_add) ... ok", "test_add (__main__.T) ... FAIL",
        "test_x (t.T.test_x) ... skipped 'no net'",
    ]),
    rule("unittest", Opens, &[" ("], r"^(?P<test>test\w*) \((?P<owner>[\w.<>]+)\)(?: \.\.\. .*)?$", &[
        "test_add (tests.test_calc.T.test_add)", "test_add (t.T.test_add) ... printed by the test",
    ]),
    rule("unittest", Closes, &[" ... ", "ok", "FAIL", "ERROR"], r"^(?:.* \.\.\. )?(?P<outcome>ok|FAIL|ERROR|skipped\b|expected failure|unexpected success)(?: '.*')?$", &["Adds two numbers. ... ok", "FAIL"]),
    rule("unittest", NotLoaded, &["_FailedTest", "setUpClass", "setUpModule"], r"^ERROR: .*\b(?:_FailedTest|setUpClass|setUpModule)\b", &[
        "ERROR: test_app (unittest.loader._FailedTest.test_app)", "ERROR: setUpClass (tests.test_a.T)",
    ]),
    rule("unittest", Again(None), &["FAIL: ", "ERROR: ", "UNEXPECTED SUCCESS: "], r"^(?P<outcome>FAIL|ERROR|UNEXPECTED SUCCESS): (?P<test>\w+) \((?P<owner>[\w.<>]+)\)", &["FAIL: test_total (tests.test_cart.TestCart)"]),
    rule("unittest", Ran, &["Ran "], r"^Ran (?P<total>\d+) tests? in [\d.]+s$", &["Ran 2 tests in 0.001s"]),
    rule("unittest", Ended, &["OK", "FAILED (", "NO TESTS RAN"], r"^(?:OK|FAILED|NO TESTS RAN)(?: \((?P<counts>.*)\))?$", &["OK", "OK (skipped=1)", "FAILED (failures=1, errors=2)", "NO TESTS RAN"]),
    // go test; test2json is read as JSON
    rule("go", GoTest, &["--- "], r"^ *--- (?P<outcome>PASS|FAIL|SKIP): (?P<name>\S+) \([\d.]+s\)$", &["--- FAIL: TestAdd (0.00s)", "    --- PASS: TestAdd/negative (0.00s)"]),
    rule("go", GoPackage, &["ok "], r"^(?P<outcome>ok) +\t(?P<name>\S+)\t(?:[\d.]+s|\(cached\))(?P<none>.*\[no tests to run\])?", &["ok  \texample.org/shop/cart\t0.012s", "ok  \texample.org/a\t(cached)\tcoverage: 3.0% of statements"]),
    rule("go", NotLoaded, &["FAIL\t"], r"^FAIL\t(?P<name>\S+) \[(?:build|setup) failed\]$", &["FAIL\texample.org/shop/cart [build failed]"]),
    rule("go", GoPackage, &["FAIL\t"], r"^(?P<outcome>FAIL)\t(?P<name>\S+)\t[\d.]+s$", &["FAIL\texample.org/shop/cart\t0.012s"]),
    // XCTest, Swift Testing
    rule("xctest", Result(None), &["Test Case '"], r"^Test Case '(?P<name>.+?)' (?P<outcome>passed|failed|skipped) \([\d.]+ seconds\)", &["Test Case '-[CacheTests testEvictsOldest]' failed (0.031 seconds).", "Test Case 'CacheTests.testA' passed (0.0 seconds)"]),
    rule("xctest", Nested(NumberFirst), &["Executed "], r"^\s*Executed (?P<counts>\d+ tests?, with (?:\d+ tests? skipped and )?\d+ failures?)", &["\t Executed 3 tests, with 1 failure (0 unexpected) in 0.042 (0.043) seconds"]),
    rule("swift", Summary(Groups), &["Test run with "], r"^\S+ +Test run with (?P<total>\d+) tests? (?:in \d+ suites? )?(?:passed|failed) after", &["\u{2714} Test run with 3 tests passed after 0.002 seconds."]),
    rule("swift", Result(None), &[" Test "], r"^\S+ +Test (?P<name>\S.*?) (?P<outcome>passed|failed|skipped)(?: after [\d.]+ seconds.*|\.)?$", &["\u{2714} Test adds() passed after 0.001 seconds.", "\u{2718} Test \"adds up\" failed after 0.002 seconds with 1 issue."]),
    // TAP
    rule("tap", Starts, &["TAP version"], r"^TAP version \d+$", &["TAP version 13"]),
    rule("tap", Result(None), &["ok "], r"^ *(?P<outcome>ok|not ok) \d+(?: -)?(?: (?P<name>[^#]*?(?:#\d[^#]*?)*))?(?: +# ?(?P<directive>(?i:skip|todo))\b.*)?(?: +# time=.*)?$", &[
        "ok 1 - adds", "not ok 2 adds negative numbers", "ok 3 - slow # SKIP no network", "not ok 4 # todo later", "    ok 1 - nested",
    ]),
    // A plan is complete only with its end, but where it stands differs from runner to runner.
    rule("tap", Part(Groups), &["1.."], r"^1\.\.\d+(?: .*)?$", &["1..3", "1..0 # SKIP no network"]),
    rule("tap", Part(WordFirst), &["# pass ", "# fail ", "# cancelled ", "# skipped ", "# todo "], r"^# (?P<counts>(?:pass|fail|cancelled|skipped|todo) +\d+)$", &["# pass 2", "# fail  1", "# skipped 0"]),
    // Node's runner, mocha, playwright, bun: a line for each count
    rule("js", Summary(NumberFirst), &[" passing"], r"^ +(?P<counts>\d+ passing) \(", &["  3 passing (12ms)"]),
    rule("js", Part(NumberFirst), &[" failing", " pending"], r"^ +(?P<counts>\d+ (?:failing|pending))$", &["  1 failing", "  2 pending"]),
    rule("js", Summary(WordFirst), &["\u{2139} pass "], r"^\xe2\x84\xb9 (?P<counts>pass +\d+)$", &["\u{2139} pass 2"]),
    rule("js", Part(WordFirst), &["\u{2139} "], r"^\xe2\x84\xb9 (?P<counts>(?:fail|cancelled|skipped|todo) +\d+)$", &["\u{2139} fail 1", "\u{2139} cancelled 0"]),
    rule("js", Summary(NumberFirst), &[" passed", " pass"], r"^ +(?P<counts>\d+ (?:passed|pass))(?: \([\d.]+m?s\))?$", &["  3 passed (5.2s)", " 3 pass"]),
    rule("js", Part(NumberFirst), &[" failed", " fail", " skipped", " skip", " flaky", " did not run", " todo"], r"^ +(?P<counts>\d+ (?:failed|fail|skipped|skip|flaky|did not run|todo))$", &["  1 failed", " 1 fail", "  2 did not run"]),
    // jest, vitest
    rule("js", Summary(NumberFirst), &["Tests:"], r"^Tests: +(?P<counts>\d+ \w+(?:, \d+ \w+)*)$", &["Tests:       1 failed, 2 passed, 3 total"]),
    rule("js", Summary(NumberFirst), &["Tests "], r"^ +Tests  (?P<counts>\d+ \w+(?: \| \d+ \w+)*) \(\d+\)$", &["      Tests  1 failed | 2 passed (3)"]),
    rule("js", NotLoaded, &["Test suite failed to run", "Failed Suites"], r"Test suite failed to run|Failed Suites \d+", &["  \u{25cf} Test suite failed to run"]),
    // gtest
    rule("gtest", Result(None), &["[       OK ]", "[  FAILED  ]", "[  SKIPPED ]"], r"^\[ +(?P<outcome>OK|FAILED|SKIPPED) +\] (?P<name>\S+?\.\S+?)(?:, where .*)? \(\d+ ms\)$", &["[       OK ] Cart.Adds (0 ms)", "[  FAILED  ] Cart.Removes (1 ms)"]),
    rule("gtest", Starts, &["[==========] Running"], r"^\[==========\] Running \d+ tests? from", &["[==========] Running 2 tests from 1 test suite."]),
    rule("gtest", Summary(Groups), &["[==========] "], r"^\[==========\] \d+ tests? from .* ran\.", &["[==========] 2 tests from 1 test suite ran. (1 ms total)"]),
    rule("gtest", Part(Groups), &["[  PASSED  ]", "[  FAILED  ]"], r"^\[  (?:PASSED  \] (?P<passed>\d+)|FAILED  \] (?P<failed>\d+)|SKIPPED \] (?P<skipped>\d+)) tests?[.,]", &["[  PASSED  ] 1 test.", "[  FAILED  ] 1 test, listed below:"]),
    // ctest
    rule("ctest", Result(None), &[" Test "], r"^ *\d+/\d+ Test +#\d+: (?P<name>.+?) \.+ *(?P<outcome>Passed|\*\*\*[A-Za-z ]+?|Skipped|Not Run)\S* +[\d.]+ sec", &["1/2 Test #1: cart ...............   Passed    0.01 sec", "2/2 Test #2: pay .....***Failed  Error regular expression found in output.  0.02 sec"]),
    rule("ctest", Summary(Groups), &["tests passed, "], r"^\d+% tests passed, (?P<failed>\d+) tests? failed out of (?P<total>\d+)", &["50% tests passed, 1 tests failed out of 2"]),
    // bazel
    rule("bazel", Latest, &["//"], r"^(?P<name>//\S+) +(?:\(cached\) )?(?P<outcome>PASSED|FAILED|TIMEOUT|FLAKY|NO STATUS|FAILED TO BUILD|SKIPPED|INCOMPLETE)\b", &["//base:certs_test                                    FAILED in 0.3s", "//java:a_test                     (cached) PASSED in 1.1s"]),
    rule("bazel", Summary(Groups), &["Executed "], r"^Executed \d+ out of \d+ tests?: ", &["Executed 2 out of 3 tests: 1 test passes and 2 fail locally."]),
    // dotnet
    rule("dotnet", Result(None), &["Passed ", "Failed ", "Skipped "], r"^ +(?P<outcome>Passed|Failed|Skipped) (?P<name>\S.*?) \[<? ?[\d.,]+ \w+\]$", &["  Passed Shop.Tests.CartTests.Adds [5 ms]", "  Failed Shop.Tests.CartTests.Removes [< 1 ms]"]),
    rule("dotnet", Summary(WordFirst), &["Passed!", "Failed!"], r"^(?:Passed|Failed)! +- (?P<counts>Failed: +\d+, Passed: +\d+, Skipped: +\d+), Total:", &["Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3, Duration: 8 ms - Tests.dll (net8.0)"]),
    rule("dotnet", Starts, &["Total tests: "], r"^Total tests: \d+$", &["Total tests: 3"]),
    rule("dotnet", Part(WordFirst), &["Passed: ", "Failed: ", "Skipped: "], r"^ +(?P<counts>(?:Passed|Failed|Skipped): \d+)$", &["     Passed: 2", "     Failed: 1"]),
    // Maven surefire, sbt, PHPUnit, minitest, RSpec, ExUnit, Deno, Dart
    rule("surefire", Again(None), &["<<< "], r"^(?:\[ERROR\] +)?(?P<name>[\w.$\[\](), ]+?) +(?:-- )?Time elapsed: [\d.]+ s(?:ec)? +<<< (?P<outcome>FAILURE|ERROR)!", &["[ERROR] com.acme.AppTest.adds -- Time elapsed: 0.01 s <<< FAILURE!", "adds(com.acme.AppTest)  Time elapsed: 0.02 sec  <<< ERROR!"]),
    rule("surefire", Summary(WordFirst), &["Tests run:"], r"^(?:\[\w+\] +)?(?P<counts>Tests run: \d+, Failures: \d+, Errors: \d+, Skipped: \d+)$", &["[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0", "Tests run: 3, Failures: 0, Errors: 0, Skipped: 1"]),
    rule("sbt", Summary(WordFirst), &["Tests: succeeded"], r"^(?:\[\w+\] )?Tests: (?P<counts>succeeded \d+, failed \d+, canceled \d+, ignored \d+, pending \d+)", &["[info] Tests: succeeded 3, failed 1, canceled 0, ignored 0, pending 0"]),
    rule("phpunit", Summary(NumberFirst), &["OK ("], r"^OK \((?P<counts>\d+ tests?), \d+ assertions?\)$", &["OK (3 tests, 4 assertions)"]),
    rule("phpunit", Summary(WordFirst), &["Assertions: "], r"^(?P<counts>Tests: \d+, Assertions: \d+(?:, [\w ]+: \d+)*)\.$", &["Tests: 3, Assertions: 4, Failures: 1."]),
    rule("phpunit", NotLoaded, &["No tests executed!"], r"^No tests executed!$", &["No tests executed!"]),
    rule("minitest", Summary(NumberFirst), &[" assertions, "], r"^(?P<counts>\d+ (?:runs|tests), \d+ assertions, \d+ failures, \d+ errors(?:, \d+ (?:skips|pendings))?)", &["3 runs, 3 assertions, 1 failures, 0 errors, 1 skips", "2 tests, 2 assertions, 0 failures, 0 errors, 0 pendings, 0 omissions"]),
    rule("minitest", Result(None), &[" s = "], r"^(?P<name>\S+#.+?) = [\d.]+ s = (?P<outcome>[.FES])$", &["CartTest#test_total = 0.01 s = ."]),
    rule("rspec", Summary(NumberFirst), &[" example"], r"^(?P<counts>\d+ examples?, \d+ failures?(?:, \d+ pending)?(?:, \d+ errors? occurred outside of examples)?)$", &["3 examples, 1 failure, 1 pending"]),
    rule("rspec", Again(Some(Failed)), &["rspec "], r"^rspec \S+ # (?P<name>\S.*)$", &["rspec ./spec/cart_spec.rb:5 # Cart adds up"]),
    rule("mix", Result(None), &["  * "], r"^  \* (?:test|doctest) (?P<name>\S.*?) \((?:(?P<outcome>skipped|excluded)|[\d.]+m?s)\)(?: \[L#\d+\])?$", &["  * test adds (0.1ms) [L#5]", "  * test slow (excluded) [L#9]"]),
    rule("mix", Summary(NumberFirst), &[" failure"], r"^(?P<counts>(?:\d+ doctests?, )?(?:\d+ propert(?:y|ies), )?\d+ tests?, \d+ failures?(?:, \d+ (?:excluded|skipped|invalid))*)$", &["3 tests, 1 failure", "1 doctest, 3 tests, 0 failures, 1 excluded"]),
    rule("doctest", Summary(NumberFirst), &[" passed"], r"^(?P<counts>\d+ passed(?: and \d+ failed)?)\.$", &["2 passed.", "1 passed and 1 failed."]),
    rule("deno", Summary(NumberFirst), &[" passed"], r"^(?:ok|FAILED) \| (?P<counts>\d+ passed)(?: \(\d+ steps?\))? \| (?:(?P<failed>\d+) failed)(?: \(\d+ steps?\))?(?: \| (?P<skipped>\d+) ignored)?", &["ok | 3 passed | 0 failed (12ms)", "FAILED | 2 passed | 1 failed (12ms)"]),
    rule("deno", Result(None), &[" ... "], r"^ *(?P<name>\S.*?) \.\.\. (?P<outcome>ok|FAILED|ignored) \(\d+m?s\)$", &["adds two numbers ... ok (2ms)"]),
    rule("dart", Nested(Groups), &[" +"], r"^\d\d:\d\d \+(?P<passed>\d+)(?: ~(?P<skipped>\d+))?(?: -(?P<failed>\d+))?: ", &["00:02 +3 -1: adds"]),
    // Gradle
    rule("gradle", Result(None), &[" > "], r"^(?P<name>[\w.$]+ > .+?) (?P<outcome>PASSED|FAILED|SKIPPED)$", &["CartTest > adds() PASSED", "com.acme.CartTest > removes() FAILED"]),
    rule("gradle", Nested(Groups), &[" tests completed", " test completed"], r"^(?P<total>\d+) tests? completed(?:, (?P<failed>\d+) failed)?(?:, (?P<skipped>\d+) skipped)?", &["3 tests completed, 1 failed"]),
    // What is marked by a symbol: jest, vitest, mocha, Node, bun, playwright
    rule("js", Result(None), &["\u{2713}", "\u{221a}", "\u{2714}", "\u{2715}", "\u{d7}", "\u{2716}", "\u{2717}", "\u{2718}", "\u{25cb}", "\u{2193}", "\u{fe63}", "\u{270e}"], r"^ *(?P<outcome>\xe2\x9c\x93|\xe2\x88\x9a|\xe2\x9c\x94|\xe2\x9c\x95|\xc3\x97|\xe2\x9c\x96|\xe2\x9c\x97|\xe2\x9c\x98|\xe2\x97\x8b|\xe2\x86\x93|\xef\xb9\xa3|\xe2\x9c\x8e) +(?:\d+ )?(?P<name>\S.*?)(?: +(?:\([\d.]+ ?m?s\)|[\d.]+ ?m?s))?$", &[
        "  \u{2713} adds (5 ms)", "    \u{2715} removes", "\u{2716} removes (1.2ms)", " \u{d7} src/cart.test.ts > cart > adds 3ms", "  \u{25cb} skipped slow",
    ]),
    rule("js", Result(None), &["(pass)", "(fail)", "(skip)", "(todo)"], r"^(?P<outcome>\(pass\)|\(fail\)|\(skip\)|\(todo\)) (?P<name>\S.*?)(?: \[[\d.]+m?s\])?$", &["(pass) cart > adds [0.12ms]"]),
    rule("js", Result(Some(Failed)), &[") "], r"^ {4,}\d+\) (?P<name>\S.*)$", &["    1) removes"]),
    rule("js", Result(Some(Skipped)), &["- "], r"^ {4,}- (?P<name>\S.*)$", &["    - is slow"]),
];
