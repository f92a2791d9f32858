//! gcc, clang, linkers, sanitizers, crashes, GoogleTest, CTest.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::{Code, Config, Infrastructure, Quota, Timeout, Unknown};

/// What the machine did not give: memory, where the kernel ended a process, or a port. No patch
/// gives more.
pub(super) const KILLED: &[Rule] = &[
    Rule {
        kind: "disk-quota",
        needs: &["disk quota exceeded", "edquot"],
        start: r"(?i)disk quota exceeded|\bEDQUOT\b",
        unless: r"(?i)^\s*(?:code: |errno: |at |E )|^\W*(?:warn|info|debug)",
        body: Body::While(r"^\s+at |^\s{2,}\S|^\}", 0),
        score: 81,
        share: 8,
        class: Classification::Fixed(Quota),
        examples: &[
            "OSError: [Errno 122] Disk quota exceeded: '/opt/conda/pkgs/x'",
            "Error: EDQUOT: disk quota exceeded, write",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "disk",
        needs: &["no space left on device", "enospc"],
        start: r"^(?:[\w.]+\.)?\w*(?:Error|Exception): .*(?:No space left on device|\bENOSPC\b)",
        body: Body::While(r"^\s+at |^\s{2,}\S|^\}", 0),
        score: 81,
        share: 8,
        class: Classification::Fixed(Infrastructure),
        examples: &["OSError: [Errno 28] No space left on device"],
        ..Rule::TOOL
    },
    Rule {
        kind: "out-of-memory",
        needs: &[
            "killed",
            "signal 9",
            "signal: 9",
            "exit code 137",
            "exit code: 137",
            "exit status 137",
            "exited with code 137",
            "cannot allocate memory",
            "virtual memory exhausted",
            "bad_alloc",
        ],
        start: r"^\s*Killed$|: (?:line )?\d+:?\s+\d+ Killed\b|: fatal error: Killed|terminated (?:with|by) signal 9\b|\(signal: 9, SIGKILL|[Oo]ut of memory: Kill(?:ed)? process|oom-kill|virtual memory exhausted|(?i:cannot allocate memory)|bad_alloc|(?:[Ee]xit (?:code|status):?|exited with code) 137\b",
        lead: r"^\S",
        before: 2,
        body: Body::While(r"^compilation terminated", 0),
        score: 72,
        share: 3,
        class: Classification::Fixed(Quota),
        examples: &[
            "Killed",
            "run.sh: line 3:   123 Killed                  ./app",
            "virtual memory exhausted: Cannot allocate memory",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "c++: fatal error: Killed signal terminated program cc1plus",
            "  process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)",
        ],
        ..Rule::TOOL
    },
    // Go names no process that ended it: the kernel, unless a time is spoken of.
    Rule {
        kind: "out-of-memory",
        needs: &["signal: killed"],
        start: r"\bsignal: killed\b",
        lead: r"(?i)time[d ]?-?out|deadline|^# \S",
        before: 3,
        key: r"(?i)time[d ]?-?out|deadline",
        score: 72,
        share: 3,
        class: Classification::ToolText(Quota),
        examples: &[
            "go build example.com/shop: /usr/local/go/pkg/tool/linux_amd64/compile: signal: killed",
        ],
        ..Rule::TOOL
    },
    // Another process has the port.
    Rule {
        kind: "address-in-use",
        needs: &[
            "eaddrinuse",
            "address already in use",
            "port is already allocated",
            "already in use",
            "only one usage of each socket",
        ],
        start: r"(?i)^[^{'\x22]*\bEADDRINUSE\b|address already in use|port is already allocated|\bport \S*\s?(?:is |was )?already in use|only one usage of each socket address",
        unless: r"(?i)^\s*(?:code: |at )|^\W*(?:warn|info|debug)|retry|trying another|using (?:available )?port",
        body: Body::While(r"^\s+at ", 0),
        score: 81,
        share: 5,
        class: Classification::Fixed(Infrastructure),
        examples: &[
            "bind: address already in use",
            "Error: listen EADDRINUSE: address already in use :::3000",
        ],
        ..Rule::TOOL
    },
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "compiler",
        needs: &["error:", "error :"],
        start: r"^(?:In file included from )?[^\s:][^:]*:\d+:(?:(?:\d+:)? (?:fatal )?error ?:? |\d+:error: )",
        lead: r"In (?:member |static |lambda )?(?:function|constructor|destructor|instantiation)|^In file included from|^\s+from |At global scope|required from",
        before: 3,
        body: Body::While(r"^\s+\S|^\S+:\d+:\d+: note: |^compilation terminated|^\|", 0),
        key: r"error:",
        share: 8,
        of_source: true,
        examples: &[
            "src/main.c:12:5: error: 'x' undeclared (first use in this function)",
            "src/main.cpp:1:10: fatal error: foo.h: No such file or directory",
            "rtl/cart.vhd:14:12:error: no declaration for \"totl\"",
            "Sources/App/main.swift:3:5: error: cannot find 'x' in scope",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "linker",
        needs: &[
            "undefined reference to",
            "undefined symbol",
            "cannot find -l",
            "multiple definition of",
            "symbol(s) not found",
            "unable to find library",
            "duplicate symbol",
        ],
        start: r"undefined reference to|[Uu]ndefined symbols?\b|cannot find -l|multiple definition of|symbol\(s\) not found|unable to find library|duplicate symbol",
        lead: r"in function|^\S*ld(?:\.\w+)?: ",
        before: 1,
        body: Body::While(
            r"undefined reference to|^>>> |^\s+\x22|^\s+\S+ in \S+\.o$|multiple definition of|first defined here",
            0,
        ),
        score: 86,
        share: 8,
        of_source: true,
        examples: &[
            "main.o: in function `main': main.c:(.text+0x1b): undefined reference to `add'",
            "/usr/bin/ld: cannot find -lfoo: No such file or directory",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "linker",
        needs: &["ld returned", "linker command failed", "collect2: ", "error lnk"],
        start: r"ld returned \d+ exit status|linker command failed|^collect2: |: fatal error LNK\d+",
        share: 1,
        examples: &["collect2: error: ld returned 1 exit status"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "catch2",
        needs: &[": failed:$", ": error: "],
        start: r"^\S+(?::\d+|\(\d+\)): (?:FAILED:$|(?:FATAL )?ERROR: (?:(?:CHECK|REQUIRE|WARN)\w*\(|test case THREW))",
        body: Body::While(
            r"^\s+\S|^with (?:expansion|message)|^due to|^explicitly with|^because",
            0,
        ),
        key: r"^\s{2,}\S",
        titled: r"(?m)^-{20,}\n(\S.*)\n(?:\s.*\n)*-{20,}\n\S+(?::\d+|\(\d+\))\n\.{20,}$|^TEST CASE:\s+(\S.*)$",
        introduces: false,
        share: 10,
        examples: &[
            "/src/tests/cart_test.cpp:14: FAILED:",
            "/src/tests/cart_test.cpp:14: ERROR: CHECK( total(cart) == 30 ) is NOT correct!",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "boost-test",
        needs: &["error: in \""],
        start: r#"^\S+(?::\d+|\(\d+\)): (?:fatal )?error: in "(?P<name>[^"]+)": "#,
        body: Body::While(r"^\s+\S", 0),
        introduces: false,
        score: 91,
        share: 5,
        examples: &[
            "/src/test/cart.cpp(14): error: in \"cart/adds_up\": check total(items) == 30 has failed [20 != 30]",
        ],
        ..Rule::TEST
    },
    // Unity and Check.
    Rule {
        kind: "unity",
        needs: &[":fail: ", ":fail$", ":f:", ":e:"],
        start: r"^\S+:\d+:(?P<name>\w+):FAIL(?:: |$)|^\S+\.\w+:\d+:[FE]:[^:]*:(?P<test>\w+):\d+: ",
        introduces: false,
        share: 2,
        examples: &[
            "test/test_cart.c:14:test_adds_up:FAIL: Expected 30 Was 20",
            "test/check_cart.c:14:F:Core:test_adds_up:0: Assertion 'total == 30' failed",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "qtest",
        needs: &["fail!  : "],
        start: r"^FAIL!  : (?P<name>\S+\(.*?\)) ",
        body: Body::While(r"^\s+\S", 0),
        introduces: false,
        share: 5,
        examples: &["FAIL!  : TestCart::addsUp() Compared values are not the same"],
        ..Rule::TEST
    },
    // The lines of one report begin with the number of the process.
    Rule {
        kind: "valgrind",
        needs: &[
            "== invalid ",
            "== conditional jump",
            "== use of uninit",
            "== syscall param",
            "== mismatched ",
            "== source and dest",
            "== possible data race",
            "== jump to the invalid",
            "== argument ",
            "== process terminating",
            "lost in loss record",
        ],
        start: r"^==\d+== (?:Invalid \w|Conditional jump|Use of uninit|Syscall param|Mismatched |Source and dest|Possible data race|Jump to the invalid|Argument |Process terminating|[\d,]+ (?:\([^)]*\) )?bytes in [\d,]+ blocks are (?:definitely|indirectly) lost)",
        body: Body::While(r"^==\d+==  +\S", 0),
        key: r"\([^()]*:\d+\)$",
        score: 88,
        share: 8,
        examples: &[
            "==12== Invalid read of size 4",
            "==77== 40 bytes in 1 blocks are definitely lost in loss record 1 of 1",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "conan",
        needs: &[
            "^error: package ",
            "^error: missing ",
            "^error: version conflict",
            "conanfile",
            "error in ",
        ],
        start: r"^ERROR: (?:Package '\S+' not resolved|Missing (?:prebuilt package|binary)|Version conflict: |Error loading conanfile|There are invalid packages|(?:conanfile\S*|\S+/\S+): Error in \w+\(\) method)|^\S+/\S+: ERROR: Package '",
        body: Body::While(r"^\s+\S|^\S+/\S+: WARN: Can't find", 1),
        score: 74,
        share: 5,
        class: Classification::ToolText(Code),
        examples: &[
            "ERROR: Package 'zlib/9.9' not resolved: Unable to find 'zlib/9.9' in remotes.",
            "ERROR: Missing binary: fmt/10.2.1:4d1f2b5a",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "gtest",
        needs: &[": failure", ": error: "],
        start: r"^\S+(?::\d+|\(\d+\)): (?:Failure|error: )",
        body: Body::Until(r"^\[|^\s*$"),
        key: r"^\s*(?:Expected|Value of|Actual|Which is)|^\s{2}\S",
        score: 84,
        share: 10,
        examples: &["/app/tests/cart_test.cc:12: Failure"],
        ..Rule::TEST
    },
    Rule {
        kind: "gtest",
        needs: &["[  failed  ]"],
        start: r"^\[  FAILED  \] (?P<name>[\w./]+)(?:, where .*)?(?: \(\d+ ms\))?$",
        unless: r"^\[  FAILED  \] \d+ tests?",
        score: 60,
        share: 1,
        examples: &["[  FAILED  ] Cart.AddsUp (0 ms)"],
        ..Rule::TEST
    },
    Rule {
        kind: "ctest",
        needs: &["(timeout)", "***timeout"],
        start: r"^\s*\d+ - (?P<name>\S+) \(Timeout\)|^\s*\d+/\d+ Test\s+#\d+: (?P<test>\S+) \.*\s*\*\*\*Timeout",
        score: 61,
        share: 1,
        class: Classification::Fixed(Timeout),
        examples: &[
            "\t  2 - sync_tests (Timeout)",
            "2/2 Test #2: sync_tests .......................***Timeout  30.03 sec",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "ctest",
        needs: &[
            "(failed)",
            "(timeout)",
            "(segfault)",
            "(not run)",
            "(subprocess aborted)",
            "***failed",
            "***exception",
        ],
        start: r"^\s*\d+ - (?P<name>\S+) \((?:Failed|Timeout|SEGFAULT|Not Run|Subprocess aborted|\w+)\)|^\s*\d+/\d+ Test\s+#\d+: \S+ \.*\s*\*\*\*",
        score: 60,
        share: 1,
        examples: &[
            "\t  2 - cart_adds_up (Failed)",
            " 2/3 Test  #2: cart_adds_up .....***Failed    0.01 sec",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "sanitizer",
        needs: &["sanitizer:", "runtime error: "],
        start: r"(?:Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer: |^\S+:\d+:\d+: runtime error: ",
        unless: r"^SUMMARY: ",
        body: Body::Until(r"^Shadow bytes|^={10,}$|^SUMMARY"),
        key: r"^\s+#\d+ .* \S+:\d+|is located",
        score: 88,
        share: 14,
        examples: &[
            "==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x602 at pc 0x4f",
            "src/main.c:12:5: runtime error: signed integer overflow",
            "WARNING: ThreadSanitizer: data race (pid=123)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "assertion",
        needs: &["assertion "],
        start: r"^\S+:\s?(?:\S+:)* ?.*Assertion [`'].*' failed|^Assertion failed: \(",
        score: 84,
        share: 3,
        examples: &["cart: src/cart.c:12: total: Assertion `n > 0' failed."],
        ..Rule::COMPILER
    },
    Rule {
        kind: "crash",
        needs: &[
            "segmentation fault",
            "core dumped",
            "sigsegv",
            "bus error",
            "illegal instruction",
            "double free",
            "stack smashing",
            "sigabrt",
            "floating point exception",
            "signal: ",
        ],
        start: r"Segmentation fault|\(core dumped\)|\bSIG(?:SEGV|ABRT|BUS|ILL|FPE)\b|^Bus error|^Illegal instruction|double free or corruption|stack smashing detected|^Floating point exception",
        lead: r"^\S",
        before: 2,
        score: 75,
        share: 4,
        class: Classification::Fixed(Code),
        symptom: super::super::rule::Symptom::Location,
        examples: &[
            "Segmentation fault (core dumped)",
            "free(): double free or corruption (fasttop)",
        ],
        ..Rule::TOOL
    },
    // A program's own limit, or its container's, which a patch can raise.
    Rule {
        kind: "out-of-memory",
        needs: &[
            "out of memory",
            "outofmemory",
            "oomkilled",
            "memoryerror",
            "heap space",
            "gc overhead",
        ],
        start: r"(?i)java heap space|gc overhead limit|\bout of memory\b|\bOOMKilled\b|\bOutOfMemoryError\b|^MemoryError\b",
        lead: r"^\S",
        before: 2,
        score: 72,
        share: 4,
        class: Classification::Fixed(Config),
        examples: &["The build ran out of memory.", "      Reason:       OOMKilled"],
        ..Rule::TOOL
    },
    Rule {
        kind: "zig-test",
        needs: &["' failed: "],
        start: r"^error: '(?P<name>\S.*)' failed: ",
        body: Body::While(r"^\s+\S|^\S+\.zig:\d+:\d+: ", 0),
        introduces: false,
        share: 6,
        examples: &["error: 'cart.test.adds up' failed: expected 30, found 20"],
        ..Rule::TEST
    },
    Rule {
        kind: "hspec",
        needs: &[".hs:"],
        start: r"^\s+\S+\.hs:\d+:\d+:$",
        body: Body::Until(r"^\s+To rerun|^Randomized|^Finished|^\d+ examples?"),
        item: r"^\s+\d+\) (\S.*)$",
        key: r"^\s+(?:expected|but got): |uncaught exception|predicate failed|Falsifi(?:ed|able)",
        share: 10,
        examples: &["  test/CartSpec.hs:12:23:"],
        ..Rule::TEST
    },
    Rule {
        kind: "elm",
        needs: &[".elm$"],
        start: r"^-- [A-Z][A-Z ]+ -+ \S+\.elm$",
        body: Body::Until(r"^-- [A-Z]|^npm |^Hint: |^\$ |^error"),
        key: r"^\d+\||^    \S",
        share: 14,
        of_source: true,
        examples: &["-- TYPE MISMATCH ------------------------------- src/Cart.elm"],
        ..Rule::COMPILER
    },
    // A warning, unless it says otherwise.
    Rule {
        kind: "ocaml",
        needs: &["file \""],
        start: r#"^(?:# )?File "[^"]+", lines? \d+(?:-\d+)?(?:, characters \d+-\d+)?:$"#,
        body: Body::While(r"^(?:# )?(?:\s*\d+ \||\s+\S|(?:Error|Warning|Alert|Hint)\b)", 0),
        key: r"^(?:# )?Error\b",
        introduces: true,
        proof: r"^(?:# )?Error\b",
        hollow: r"^(?:# )?(?:Warning|Alert)\b",
        score: 70,
        share: 10,
        of_source: true,
        examples: &["File \"lib/cart.ml\", line 12, characters 18-22:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "compiler",
        needs: &["error: "],
        start: r"^(?:clang|gcc|g\+\+|cc|c\+\+|cc1\w*|ld(?:\.\w+)?|swiftc|nvcc|rustc)(?:-[\d.]+)?: (?:fatal )?error: ",
        score: 80,
        share: 3,
        class: Classification::ToolText(Unknown),
        examples: &["clang: error: unsupported option '-fopenmp'"],
        ..Rule::TOOL
    },
];
