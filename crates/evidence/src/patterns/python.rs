//! CPython, pytest, unittest, pip, linters and type checkers.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Code, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "pytest",
        // A title that is wider than the terminal has as few as one underscore a side.
        needs: &["__ ", "_ test", "_ error at", "_ error coll"],
        start: r"^(?:_{2,}|_ (?:Test|test|ERROR )) ?(?:\S.*)? _+$",
        unless: r"^_+ (?:coverage|summary)",
        body: Body::Until(
            r"^__+ .* _+$|^_ (?:Test|test|ERROR).* _$|^={4,}|^\d+ (?:failed|passed|error)",
        ),
        key: r"^E\s|^\S+?\.py:\d+: |^worker '\w+' crashed while",
        named: r"^_+ (?P<name>[A-Za-z]\w*(?:\.\w+)*(?:\[.*\])?) _+$",
        examples: &[
            "_ test_total[a cart with a name that is wider than the terminal] _",
            "__ test_total[a long name] __",
            "_______________________ TestCart.test_total _______________________",
            "________________ ERROR collecting tests/test_app.py ________________",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "pytest",
        needs: &["failed ", "error "],
        start: r"^(?:FAILED|ERROR) (?P<name>[^\s:]+\.py(?:::\S+(?:\[.*?\])?)?)(?: - .*)?$",
        score: 70,
        share: 1,
        examples: &[
            "FAILED tests/test_cart.py::TestCart::test_total - assert 3 == 4",
            "ERROR tests/test_app.py - ModuleNotFoundError: No module named 'app'",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "pytest",
        needs: &["%] failed "],
        start: r"^\[gw\d+\] \[ *\d+%\] FAILED (?P<name>\S+?\.py::\S.*?)\s*$",
        score: 50,
        share: 1,
        introduces: false,
        examples: &["[gw0] [ 50%] FAILED tests/test_native.py::test_decode "],
        ..Rule::TEST
    },
    Rule {
        kind: "unittest",
        needs: &["fail: ", "error: "],
        start: r"^(?:FAIL|ERROR): (?P<test>\w+) \((?P<owner>[\w.<>]+)\)",
        body: Body::Until(r"^={20,}$|^Ran \d+ tests?"),
        key: r"^\w[\w.]*(?:Error|Exception|Failure|Exit|Interrupt)\b",
        examples: &["FAIL: test_total (tests.test_cart.TestCart)"],
        ..Rule::TEST
    },
    Rule {
        kind: "python",
        needs: &["traceback (most recent call last)"],
        start: r"^\s*(?:\+ \w+ )?(?:Exception Group )?Traceback \(most recent call last\)",
        body: Body::Through(r"^[^\s|]"),
        key: r"^[\w.]+(?:: |$)",
        introduces: true,
        score: 80,
        share: 18,
        hollow: r"^subprocess\.CalledProcessError: Command .* returned non-zero exit status",
        class: Classification::ProgramText(Code),
        examples: &["Traceback (most recent call last):"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "python-syntax",
        needs: &["file \""],
        start: r#"^(?:Sorry: |\*\*\* Error compiling .*|  )File "[^"]+", line \d+$"#,
        body: Body::Through(r"^\S"),
        key: r"^\w+: ",
        introduces: true,
        score: 84,
        of_source: true,
        examples: &["  File \"/app/main.py\", line 3"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "python-lint",
        needs: &[".py:", ".pyi:"],
        start: r"^[^\s:]+\.pyi?:\d+:(?:\d+:)? ?(?:error: |[A-Z]+\d+:? )",
        score: 76,
        share: 2,
        of_source: true,
        examples: &[
            "app/main.py:3:1: F401 'os' imported but unused",
            "app/main.py:12: error: Incompatible return value type (got \"str\", expected \"int\")  [return-value]",
            "app/main.py:1:0: C0114: Missing module docstring (missing-module-docstring)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "pyright",
        needs: &[" - error: "],
        start: r"^\s+\S+\.pyi?:\d+:\d+ - error: ",
        score: 76,
        share: 3,
        of_source: true,
        examples: &["  /app/main.py:3:5 - error: \"x\" is not defined (reportUndefinedVariable)"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "black",
        needs: &["would reformat"],
        start: r"^(?:would reformat |Would reformat: )\S",
        score: 70,
        share: 2,
        of_source: true,
        examples: &["would reformat /app/main.py", "Would reformat: app/main.py"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "pip",
        needs: &["error: "],
        start: r"^ERROR: (?:Could not|No matching|Cannot install|Cannot uninstall|ResolutionImpossible|Failed building|Failed to build|Invalid requirement|Ignored the|Exception|pip's|HTTP error|Directory|Double requirement|Package .* requires|THESE PACKAGES)",
        body: Body::While(r"^ERROR: |^\s+\S|^The conflict is caused by", 1),
        class: Classification::ToolText(Code),
        score: 72,
        examples: &["ERROR: No matching distribution found for flask==99.0"],
        ..Rule::TOOL
    },
    Rule {
        kind: "pip",
        needs: &["no solution found", "version solving failed", "resolutionimpossible"],
        start: r"(?i)^\W*(?:x )?(?:No solution found|.*version solving failed|.*ResolutionImpossible)",
        lead: r"^(?:Because|And because|So, because|\s+and )",
        before: 6,
        body: Body::While(r"^\s+\S|^(?:And|So|Because)", 0),
        class: Classification::ToolText(Code),
        score: 74,
        examples: &[
            "  \u{d7} No solution found when resolving dependencies:",
            "  x No solution found when resolving dependencies for split (python_full_version == '3.9.*'):",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "pytest",
        needs: &["passed", "failed"],
        start: r"^=+ .*\b\d+ (?:failed|errors?)\b.* in [\d.]+s.* =+$",
        symptom: Symptom::None,
        class: Classification::ToolText(Unknown),
        score: 30,
        share: 1,
        examples: &["========= 1 failed, 3 passed in 0.12s ========="],
        ..Rule::SUMMARY
    },
];
