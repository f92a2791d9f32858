//! make, ninja, CMake, autotools, shells, git, tar and their like.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Code, Config, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "pre-commit",
        needs: &["- hook id: "],
        start: r"^- hook id: ",
        body: Body::Until(
            r"\.{3,}(?:Passed|Failed|Skipped|\(no files)|^pre-commit hook|^\[INFO\]|^##\[|^Error: Process completed",
        ),
        key: r"^[^-\s]|^- files were modified",
        introduces: true,
        score: 58,
        share: 10,
        class: Classification::ToolText(Code),
        examples: &["- hook id: trailing-whitespace"],
        ..Rule::TOOL
    },
    Rule {
        kind: "make",
        needs: &[": *** ", "command not found", "no such file", "permission denied"],
        start: r"^(?:g?make(?:\[\d+\])?: \*\*\* No rule to make target|\S*[Mm]akefile\S*:\d+: \*\*\* |\S+\.mk:\d+: \*\*\* |g?make(?:\[\d+\])?: [^*\s]\S*: (?:No such file|Command not found|Permission denied))",
        score: 84,
        share: 3,
        examples: &[
            "make: *** No rule to make target 'main.o', needed by 'app'.  Stop.",
            "Makefile:3: *** missing separator.  Stop.",
            "make: gcc: No such file or directory",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "make",
        needs: &[": *** "],
        start: r"^(?:g?make|mingw32-make)(?:\[\d+\])?: \*\*\* ",
        score: 42,
        share: 1,
        examples: &["make[1]: *** [Makefile:12: app] Error 2"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "ninja",
        needs: &["ninja: ", "failed: "],
        start: r"^ninja: error: |^FAILED: (?:\[code=\d+\] )?(?:[\w.@+-]+ )*[\w@+-]*[./][\w./@+-]*(?: [\w./@+-]+)* ?$",
        share: 2,
        score: 45,
        examples: &[
            "FAILED: CMakeFiles/app.dir/main.c.o",
            "ninja: error: loading 'build.ninja': No such file or directory",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "cmake",
        needs: &["cmake error"],
        start: r"^CMake Error(?: at |: |$)",
        body: Body::While(r"^\s+\S|^Call Stack", 1),
        score: 84,
        share: 12,
        class: Classification::ToolText(Code),
        examples: &["CMake Error at CMakeLists.txt:12 (find_package):"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "configure",
        needs: &["configure: error:", "errors occurred!"],
        start: r"^configure: error: |^-- Configuring incomplete, errors occurred",
        score: 68,
        share: 4,
        examples: &["configure: error: no acceptable C compiler found in $PATH"],
        ..Rule::TOOL
    },
    Rule {
        kind: "shell",
        needs: &[": line ", "sh: ", ".bats", "bash: "],
        start: r"^(?:\S*(?:bash|/sh|dash|zsh|ksh)|sh|\S+\.(?:sh|bash|bats)|[./]\S+|main|environment): (?:line )?\d+: |^\S*(?:ba|da|z|k)?sh: (?:\d+: )?\S+: (?:not found|command not found|[Pp]ermission denied|No such file|cannot|syntax|bad)|^\S+\.(?:sh|bash): \d+: |^-?(?:ba)?sh: ",
        body: Body::While(
            r"^(?:\S*(?:bash|/sh|dash)|sh|\S+\.(?:sh|bash)|[./]\S+): (?:line )?\d+: ",
            0,
        ),
        score: 71,
        share: 12,
        class: Classification::ToolText(Code),
        examples: &[
            "sh: 1: foo: not found",
            "./run.sh: line 3: syntax error near unexpected token `fi'",
            "/bin/sh: 1: npm: not found",
            "bash: foo: command not found",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "shell",
        needs: &[
            "command not found",
            ": not found",
            "no such file or directory",
            "executable file not found",
            "unbound variable",
            "parameter not set",
            "permission denied",
            "is not recognized as",
            "tar: ",
            "mv: ",
            "cp: ",
            "cannot ",
        ],
        start: r"^\S*(?:: line \d+)?: ?.*(?:command not found|: not found|executable file not found in \$PATH|unbound variable|parameter not set|is not recognized as)|^(?:env|/usr/bin/env|exec|xargs|nice|nohup|timeout|sudo|time): .*(?:No such file|not found|Permission denied)|^(?:mv|cp|rm|ls|cat|tar|sed|awk|chmod|chown|mkdir|cd|ln|install|find|touch|grep|tee|head|tail|diff|sort|source|unzip|gzip|bzip2|rsync|mktemp|stat|cmp): ",
        unless: r"(?i)failed to solve|^(?:\S*warn|info|debug|note)|404|^cp: omitting|^tar: Removing",
        body: Body::While(r"^(?:tar|mv|cp): ", 0),
        score: 61,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &[
            "mv: cannot stat 'a.xml': No such file or directory",
            "env: 'node': No such file or directory",
            "tar: This does not look like a tar archive",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "bats",
        needs: &["\u{2717} "],
        start: r"^ (?u:✗) (?P<name>\S.*?)(?:\s+\[?\(?\d+(?:ms)?\)?\]?)?$",
        body: Body::While(r"^\s{3}\s*\S", 0),
        key: r"failed(?: with status \d+)?$|^\s+(?:expected|actual)\s*:",
        share: 12,
        examples: &[" \u{2717} totals add up", " \u{2717} totals add up [12]"],
        ..Rule::TEST
    },
    Rule {
        kind: "git",
        needs: &["identity unknown", "please tell me who you are"],
        start: r"^(?:Author|Committer) identity unknown|^\*\*\* Please tell me who you are",
        body: Body::Through(r"^fatal: |^##\["),
        key: r"^fatal: |git config",
        score: 74,
        share: 8,
        class: Classification::Fixed(Config),
        examples: &["Author identity unknown", "*** Please tell me who you are."],
        ..Rule::TOOL
    },
    Rule {
        kind: "git",
        needs: &["fatal: ", "conflict ("],
        start: r"^(?:stderr: |remote: )?fatal: |^CONFLICT \(",
        unless: r"^fatal: \[",
        lead: r"^remote: |^git@|^Permission denied|^ERROR: Repository",
        before: 3,
        body: Body::While(
            r"^\t\S|^Please make sure|^and the repository|^To add an exception|^\tgit |^If the directory",
            1,
        ),
        score: 66,
        share: 8,
        class: Classification::ToolText(Unknown),
        examples: &[
            "fatal: unable to access 'https://example.com/x.git/': The requested URL returned error: 503",
            "fatal: Authentication failed for 'https://example.com/x.git/'",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "apt",
        needs: &["^e: ", "^w: failed"],
        start: r"^E: \S|^W: Failed to fetch ",
        body: Body::While(r"^E: |^W: Failed", 0),
        score: 65,
        share: 5,
        class: Classification::ToolText(Code),
        symptom: Symptom::Location,
        examples: &[
            "E: Unable to locate package foo",
            "E: Failed to fetch http://deb.debian.org/x  404  Not Found",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "apk",
        needs: &["unable to select packages"],
        start: r"^ERROR: unable to select packages:",
        body: Body::While(r"^\s+\S", 0),
        score: 70,
        share: 6,
        class: Classification::Fixed(Code),
        examples: &["ERROR: unable to select packages:"],
        ..Rule::TOOL
    },
];
