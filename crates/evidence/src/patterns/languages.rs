//! Julia, Clojure, Erlang, PureScript, Nim, D, Pascal, Crystal, Fortran, Haxe, Nix; hardware
//! description languages; LaTeX.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "julia-test",
        needs: &["test failed at ", "error during test at "],
        start: r"^\s*(?:(?P<name>\S.*?): )?(?:Test Failed|Error During Test) at \S+:\d+$",
        body: Body::While(r"^\s+\S|^Stacktrace:", 1),
        key: r"^\s+(?:Expression|Evaluated): |^\s+\w+(?:Error|Exception)\b",
        share: 10,
        examples: &[
            "adds: Test Failed at /app/test/runtests.jl:4",
            "Error During Test at /app/test/runtests.jl:9",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "julia",
        needs: &[
            "error: loaderror: ",
            "error: undefvarerror",
            "error: methoderror",
            "error: initerror",
        ],
        start: r"^ERROR: (?:LoadError: |(?:UndefVar|Method|Init)Error\b)",
        body: Body::While(r"^Stacktrace:|^\s+\[\d+\] |^\s+@ |^in expression starting|^\s+\S", 1),
        key: r"^in expression starting",
        score: 82,
        share: 8,
        class: Classification::ProgramText(Code),
        examples: &["ERROR: LoadError: UndefVarError: `foo` not defined"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "clojure-test",
        needs: &["fail in ", "error in "],
        start: r"^(?:FAIL|ERROR) in (?:\((?P<name>[^()]+)\)|(?P<test>\S+)) \(\S+:\d+\)$",
        body: Body::Until(
            r"^Ran \d+ tests?|^(?:FAIL|ERROR) in |^Testing \S|^lein test |^\d+ failures?, ",
        ),
        key: r"^expected: |^\s+actual: |^Uncaught exception",
        share: 8,
        examples: &[
            "FAIL in (adds-test) (core_test.clj:7)",
            "ERROR in shop.cart-test/totals-test (cart_test.clj:12)",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "clojure",
        needs: &["syntax error ", "execution error "],
        start: r"^(?:Syntax error (?:\(.*\) )?(?:compiling|reading source|macroexpanding) .*at|Execution error (?:\(.*\) )?at) .*\(\S+:\d+",
        body: Body::While(r"^\S", 0),
        key: r"^\S",
        introduces: true,
        score: 88,
        share: 3,
        class: Classification::ProgramText(Code),
        examples: &["Syntax error compiling at (src/app/core.clj:7:3)."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "erlang",
        needs: &[".erl:", ".hrl:"],
        start: r"^\S+\.[eh]rl:\d+(?::\d+)?: \S",
        unless: r"^\S+ Warning: ",
        body: Body::While(r"^%\s", 0),
        share: 4,
        of_source: true,
        examples: &["src/app.erl:7:5: function foo/0 undefined"],
        ..Rule::COMPILER
    },
    // The file and its lines in a frame.
    Rule {
        kind: "erlang",
        needs: &[".erl:$", ".hrl:$"],
        start: r"^\s*(?u:┌─) \S+\.[eh]rl:$",
        lead: r"^===> Compiling .* failed$",
        before: 1,
        body: Body::While(r"^\s*\d* *(?u:│)", 0),
        key: r"(?u:╰──|└──)",
        introduces: true,
        share: 8,
        of_source: true,
        examples: &["   \u{250c}\u{2500} src/app.erl:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "purescript",
        needs: &["error found:$", "^error "],
        start: r"^Error (?:found|\d+ of \d+):$",
        body: Body::Until(
            r"^See https|^\[error\]|^\s+See https|^(?:Error|Warning) (?:found|\d+ of)|^npm ",
        ),
        key: r"^\s{2,}[A-Z]\S* \S+ .*$|^\s{4,}\S+$|^\s{2,}Unknown |^\s*at \S+\.purs:\d",
        introduces: false,
        share: 8,
        of_source: true,
        examples: &["Error found:", "Error 1 of 2:"],
        ..Rule::COMPILER
    },
    // Nim, Free Pascal, D.
    Rule {
        kind: "compiler",
        needs: &[") error: ", "): error: ", ") fatal: "],
        start: r"^\S+\.\w+\(\d+(?:, ?\d+)?\):? (?:Error|Fatal): ",
        body: Body::While(r"^\s+\S", 0),
        share: 4,
        of_source: true,
        examples: &[
            "/app/a.nim(3, 1) Error: undeclared identifier: 'foo'",
            "source/cart.d(12,12): Error: undefined identifier `totl`",
            "app.pas(3,1) Error: Identifier not found \"foo\"",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "crystal",
        needs: &[".cr:"],
        start: r"^In \S+\.e?cr:\d+:\d+$",
        body: Body::Through(r"^Error: "),
        key: r"^Error: ",
        introduces: true,
        share: 6,
        of_source: true,
        examples: &["In src/a.cr:3:1"],
        ..Rule::COMPILER
    },
    // A warning, unless it says otherwise.
    Rule {
        kind: "fortran",
        needs: &[".f90:", ".f95:", ".f03:", ".f08:", ".for:", ".ftn:", ".fpp:", ".f:"],
        start: r"^\S+\.(?i:f|f90|f95|f03|f08|for|ftn|fpp):\d+(?::\d+)?:$",
        body: Body::Through(r"^(?:Fatal )?(?:Error|Warning): "),
        key: r"^(?:Fatal )?Error: ",
        introduces: true,
        proof: r"^(?:Fatal )?Error: ",
        hollow: r"^Warning: ",
        score: 70,
        share: 8,
        of_source: true,
        examples: &["calc.f90:4:5:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "haxe",
        needs: &[".hx:"],
        start: r"^\S+\.hx:\d+: (?:characters?|lines?) \d+(?:-\d+)? : ",
        unless: r" : Warning ",
        body: Body::While(r"^\s*\d* *\|", 0),
        share: 4,
        of_source: true,
        examples: &["src/Cart.hx:12: characters 9-13 : Unknown identifier : totl"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "nix",
        needs: &["hash mismatch in fixed-output"],
        start: r"^\s*error: hash mismatch in fixed-output derivation",
        body: Body::While(r"^\s+\S", 0),
        share: 4,
        examples: &["error: hash mismatch in fixed-output derivation '/nix/store/aaa-source.drv':"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "nix",
        needs: &[
            "error: undefined variable",
            "error: attribute '",
            "error: infinite recursion",
            "error: cannot coerce",
            "error: syntax error, unexpected",
            "error: the option `",
            "error: evaluation aborted",
            "error: value is ",
        ],
        start: r"^\s*error: (?:undefined variable '|attribute '.*' missing|infinite recursion encountered|cannot coerce |syntax error, unexpected|The option `.*' does not exist|evaluation aborted|value is .* while a)",
        body: Body::While(r"^\s+\S", 1),
        key: r"^\s+at \S+:\d+:\d+:",
        share: 6,
        of_source: true,
        examples: &[
            "error: undefined variable 'opensssl'",
            "       error: attribute 'foo' missing",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "verilator",
        needs: &["%error: ", "%error-"],
        start: r"^%Error(?:-\w+)?: \S+:\d+:",
        body: Body::While(r"^\s+\S", 0),
        share: 5,
        of_source: true,
        examples: &["%Error: rtl/top.v:9:12: Can't find definition of variable: 'clkk'"],
        ..Rule::COMPILER
    },
    // Fails the build where all warnings do.
    Rule {
        kind: "verilator",
        needs: &["%warning-"],
        start: r"^%Warning-\w+: \S+:\d+:",
        body: Body::While(r"^\s+\S", 0),
        score: 48,
        share: 5,
        of_source: true,
        examples: &["%Warning-WIDTH: rtl/a.v:3:10: Operator ASSIGN expects 8 bits"],
        ..Rule::COMPILER
    },
    // Vivado and Quartus.
    Rule {
        kind: "synthesis",
        needs: &["^error: [", "^error ("],
        start: r"^ERROR: \[[A-Z]\w+(?: \w+)? \d+-\d+\] |^Error \(\d{5,}\): ",
        unless: r"failed synthesizing module|^Error \(\d+\): Quartus .* was unsuccessful",
        share: 3,
        of_source: true,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: [Synth 8-439] module 'foo' not found [/src/rtl/top.v:12]",
            "Error (10161): Verilog HDL error at top.v(9): object \"clkk\" is not declared.",
        ],
        ..Rule::COMPILER
    },
    // TeX prints what it was reading on the line with its number.
    Rule {
        kind: "latex",
        needs: &[
            "! undefined control",
            "! latex error",
            "! latex3 error",
            "! package ",
            "! class ",
            "! missing ",
            "! extra ",
            "! misplaced ",
            "! illegal ",
            "! paragraph ended",
            "! file ended",
            "! too many ",
            "! argument of",
            "! use of ",
            "! double s",
            "! pdftex error",
            "! i can't ",
            "! dimension too",
            "! tex capacity",
            "! not in ",
            "! text line",
            "! incomplete ",
            "! fontspec error",
        ],
        start: r"^! [A-Z]",
        body: Body::Through(r"^l\.\d+ |^! "),
        key: r"^l\.\d+ ",
        share: 6,
        of_source: true,
        examples: &["! Undefined control sequence.", "! LaTeX Error: File `foo.sty' not found."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "latex",
        needs: &[".tex:", ".sty:", ".cls:", ".bib:", ".ltx:", ".dtx:"],
        start: r"^\S+\.(?:tex|sty|cls|bib|ltx|dtx):\d+: \S",
        unless: r"^\S+: (?:\w+ )*[Ww]arning\b",
        body: Body::While(r"^l\.\d+ |^\s+\S|^<.*>", 0),
        key: r"^l\.\d+ ",
        share: 6,
        of_source: true,
        examples: &["./main.tex:12: Undefined control sequence."],
        ..Rule::COMPILER
    },
];
