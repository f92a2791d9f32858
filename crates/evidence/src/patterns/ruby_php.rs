//! Ruby, PHP, Perl, Elixir, R and their tools.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "bundler",
        needs: &[
            "bundler could not",
            "could not find",
            "an error occurred while installing",
            "could not resolve",
            "gem::",
        ],
        start: r"^(?:Bundler could not find|Could not find (?:gem|compatible)|Could not find \S+ in |An error occurred while installing |Gem::\S+Error|Bundler::\w+:)",
        body: Body::While(r"^\s+\S", 1),
        score: 72,
        share: 10,
        class: Classification::ToolText(Code),
        examples: &[
            "Could not find gem 'rails (= 99.0)' in rubygems repository https://rubygems.org/",
            "An error occurred while installing nokogiri (1.15.0), and Bundler cannot continue.",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "rspec",
        needs: &["rspec "],
        start: r"^rspec \S+\.rb(?::\d+|\[[\d:]+\]) # (?P<name>.*)$",
        score: 66,
        share: 1,
        examples: &["rspec ./spec/cart_spec.rb:12 # Cart adds up"],
        ..Rule::TEST
    },
    Rule {
        kind: "rspec",
        needs: &["an error occurred while loading"],
        start: r"^An error occurred while loading ",
        body: Body::Until(r"^Finished in|^\d+ examples?, |^An error occurred"),
        key: r"^\S*Error:|^# \./|^Failure/Error|^\s+cannot load|undefined ",
        introduces: true,
        score: 84,
        share: 8,
        examples: &["An error occurred while loading ./spec/cart_spec.rb."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "rspec",
        needs: &["failure/error:"],
        start: r"^\s+Failure/Error: ",
        lead: r"^\s+\d+\) \S",
        before: 1,
        body: Body::While(r"^\s+\S", 1),
        key: r"^\s+(?:expected|got|\w+Error)|^\s+# \./",
        share: 16,
        examples: &["     Failure/Error: expect(cart.total).to eq(4)"],
        ..Rule::TEST
    },
    Rule {
        kind: "minitest",
        needs: &["failure:$", "error:$"],
        start: r"^\s*(?:\d+\) )?(?:Failure|Error):$",
        body: Body::While(r"^\s*\S", 0),
        item: r"^(\S+#\S+?)(?: \[|:$)",
        share: 12,
        examples: &["Failure:", "  1) Failure:"],
        ..Rule::TEST
    },
    Rule {
        kind: "rubocop",
        needs: &[".rb:"],
        start: r"^\S+\.rb:\d+:\d+: [CWEFR]: ",
        body: Body::While(r"^\s|^\^", 0),
        score: 76,
        share: 3,
        of_source: true,
        examples: &["app/cart.rb:3:5: C: Style/StringLiterals: Prefer single-quoted strings"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "ruby",
        needs: &[".rb:"],
        start: r"^\S+\.rb:\d+:in ['`].*\(\w*(?:Error|Exception)?\w*\)$|^\S+\.rb:\d+: .*(?:error|unexpected)",
        body: Body::While(r"^\s+from |^\t|^\s*\d+: from ", 0),
        score: 78,
        share: 8,
        class: Classification::ProgramText(Code),
        examples: &[
            "app/cart.rb:3:in `total': undefined method `+' for nil:NilClass (NoMethodError)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "php",
        needs: &["fatal error:", "parse error:"],
        start: r"^(?:PHP )?(?:Fatal|Parse) error: ",
        body: Body::While(r"^Stack trace:|^#\d+ |^\s+thrown in", 0),
        score: 80,
        share: 8,
        class: Classification::ProgramText(Code),
        examples: &[
            "PHP Fatal error:  Uncaught Error: Call to undefined function foo() in /app/index.php:3",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "phpunit",
        needs: &["there was ", "there were "],
        start: r"^There (?:was|were) \d+ (?:failure|error)s?:$",
        body: Body::Until(r"^(?:FAILURES|ERRORS)!|^--$"),
        item: r"^\d+\) ([\w\\]+::\w+)",
        key: r"^Failed asserting|^[\w\\]*(?:Error|Exception): |^\S+\.php:\d+|^[-+]\s",
        share: 20,
        examples: &["There was 1 failure:", "There were 2 errors:"],
        ..Rule::TEST
    },
    // Where a harness takes the protocol, only the diagnostics come through.
    Rule {
        kind: "perl-test",
        needs: &["failed test "],
        start: r"^\s*# +Failed (?:\([A-Z]+\) )?test '(?P<name>.*)'$",
        body: Body::While(r"^\s*#", 0),
        key: r"^\s*# +(?:got|expected|\$got\S*|\$expected\S*)\s*[:=]|^\s*# +'",
        score: 80,
        share: 10,
        examples: &["#   Failed test 'totals add up'"],
        ..Rule::TEST
    },
    Rule {
        kind: "perl",
        needs: &[".t line ", ".pl line ", ".pm line "],
        start: r"^[^\s#].* at \S+\.(?:t|pl|pm) line \d+(?:\.$|, (?:near|at|<))",
        unless: r"^\S*[Ww]arn|^Use of uninitialized|\bDEBUG\b",
        body: Body::While(r"^\s+\S.* called at |^BEGIN failed|^Compilation failed", 0),
        score: 78,
        share: 6,
        class: Classification::ProgramText(Code),
        examples: &[
            "Can't locate object method \"total\" via package \"Shop::Cart\" at t/cart.t line 9.",
            "syntax error at lib/Shop/Cart.pm line 12, near \"}\"",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "testthat",
        needs: &["\u{2500} failure (", "\u{2500} error ("],
        start: r"^\s*(?u:──) (?:Failure|Error) \(.*?\): (?P<name>.*?) (?u:─+)$",
        body: Body::Until(r"^\s*(?u:──|══) |^\s*\[ FAIL"),
        key: r"\bnot (?:strictly )?(?:equal|identical|equivalent|TRUE|FALSE)|^\s*.(?:actual|expected).: |^\s*Expected |^\s*Error in |^\s*Error: |did not ",
        share: 12,
        examples: &[
            "\u{2500}\u{2500} Failure ('test-cart.R:9:3'): totals add up \u{2500}\u{2500}\u{2500}\u{2500}",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "composer",
        needs: &["your requirements could not be resolved"],
        start: r"^\s*Your requirements could not be resolved",
        body: Body::While(r"^\s+\S", 1),
        score: 72,
        share: 10,
        class: Classification::ToolText(Code),
        examples: &["Your requirements could not be resolved to an installable set of packages."],
        ..Rule::TOOL
    },
    Rule {
        kind: "elixir",
        needs: &["    error: "],
        start: r"^    error: \S",
        unless: r"^    error: (?:[\w./-]+:\w+|Running program|\w+ failed$|\d+ errors? occurred|Code=)",
        of_source: true,
        body: Body::While(r"^\s*(?:\d+ *)?(?u:│|└─)", 0),
        key: r"(?u:└─) \S+:\d+",
        share: 8,
        examples: &["    error: undefined variable \"itms\""],
        ..Rule::COMPILER
    },
    Rule {
        kind: "elixir",
        needs: &["compilation error in file", "** ("],
        start: r"^== Compilation error in file |^\s*\*\* \(\w+",
        body: Body::While(r"^\s+\S|^\*\* \(", 0),
        score: 82,
        share: 12,
        class: Classification::ProgramText(Code),
        of_source: true,
        examples: &[
            "== Compilation error in file lib/cart.ex ==",
            "** (Mix) Could not start application",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "exunit",
        needs: &[") test "],
        start: r"^\s+\d+\) test (?P<test>\S.*) \((?P<owner>[\w.]+)\)$",
        body: Body::While(r"^\s+\S", 1),
        key: r"Assertion|code:|left:|right:|\*\* \(|[Ee]xpected |match \(=\) failed",
        share: 14,
        examples: &["  1) test adds up (CartTest)"],
        ..Rule::TEST
    },
];
