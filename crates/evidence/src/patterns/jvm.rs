//! javac, kotlinc, scalac, Maven, Gradle, sbt, Surefire, JUnit, Checkstyle.

use super::super::rule::{Body, Classification, Rule, Symptom};
use greenloop_model::FailureClass::{Code, Infrastructure, Unknown};

const STACK: &str =
    r"^\s+at |^\s*Caused by|^\s*\.\.\. \d+ (?:more|common)|^\s+Suppressed|^\s*\[CIRCULAR";

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "checkstyle",
        needs: &["[ant:checkstyle]"],
        start: r"^\[ant:checkstyle\] \[ERROR\] ",
        score: 76,
        share: 2,
        of_source: true,
        examples: &[
            "[ant:checkstyle] [ERROR] /app/src/App.java:12:5: Missing a Javadoc comment. [JavadocMethod]",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "javac",
        needs: &[": error: "],
        start: r"^\S+\.(?:java|groovy|kt|scala):\d+(?::\d+)?: error: ",
        body: Body::While(r"^\s+\S|^symbol:|^location:", 0),
        key: r": error: |^\s+(?:symbol|location|required|found|reason):",
        share: 8,
        of_source: true,
        examples: &["src/main/java/com/acme/App.java:12: error: ';' expected"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "kotlin-lint",
        needs: &[".kt:", ".kts:"],
        start: r"^\S+\.kts?:\d+:\d+: .*(?:\[\w+\]|\([\w:-]+\))$",
        score: 78,
        share: 1,
        of_source: true,
        examples: &[
            "/src/src/main/kotlin/Cart.kt:12:5: The function total is too complex. [CyclomaticComplexMethod]",
            "src/main/kotlin/Cart.kt:3:1: Unused import (standard:no-unused-imports)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "kotlinc",
        needs: &["^e: "],
        start: r"^e: (?:file://)?\S+\.kts?:",
        share: 3,
        of_source: true,
        examples: &["e: file:///app/src/main/kotlin/App.kt:3:5 Unresolved reference: foo"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "javac",
        needs: &[".java:[", ".kt:[", ".groovy:[", ".scala:["],
        start: r"^(?:\[ERROR\] )?\S+\.(?:java|kt|groovy|scala):\[\d+,\d+\] ",
        unless: r"^\[WARN|\] (?:\[deprecation\]|\[unchecked\]|.* is internal proprietary API)",
        body: Body::While(
            r"^(?:\[ERROR\])?\s{2,}\S|^\[ERROR\]\s*$|^\s+\S|^(?:\[ERROR\] )?(?:symbol|location|required|found|reason):? ",
            0,
        ),
        key: r"\.\w+:\[\d+|symbol:|class file has wrong|location:",
        share: 8,
        of_source: true,
        examples: &["[ERROR] /app/src/main/java/com/acme/App.java:[12,5] cannot find symbol"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "surefire",
        needs: &["<<< fail", "<<< err"],
        start: r"^(?:\[ERROR\] +)?(?:(?P<test>[\w$-]+)(?:\[.*?\]|\{.*?\})*\((?P<owner>[\w.$]+)\)|(?P<name>[\w.$]+\.[\w$]+(?:\(.*?\)|\[.*?\]|\{.*?\})*))\s+(?:-- )?Time elapsed: .*<<< (?:FAILURE|ERROR)!",
        body: Body::Until(
            r"^\s*$|^\[(?:INFO|ERROR|WARNING)\]|^Tests run|^Running |<<< (?:FAILURE|ERROR)!",
        ),
        key: r"^\s*Caused by|^[\w.$]+(?:Exception|Error|Failure|Failed)\b",
        share: 20,
        examples: &[
            "[ERROR] com.acme.AppTest.adds  Time elapsed: 0.003 s  <<< FAILURE!",
            "adds(com.acme.AppTest)  Time elapsed: 0.021 sec  <<< ERROR!",
            "[ERROR] com.acme.AppTest.adds -- Time elapsed: 0.05 s <<< ERROR!",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "surefire",
        needs: &["<<< fail", "<<< err"],
        start: r"Tests run: .*<<< (?:FAILURE|ERROR)!",
        score: 66,
        share: 1,
        symptom: Symptom::None,
        class: Classification::Fixed(Code),
        examples: &[
            "Tests run: 10, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.036 s <<< FAILURE! - in com.acme.AppTest",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "surefire",
        needs: &[
            "[error] failures:",
            "[error] errors:",
            "failures:$",
            "errors:$",
            "failed tests:",
            "tests in error:",
        ],
        start: r"^(?:\[ERROR\] )?(?:Failures|Errors|Failed tests|Tests in error):\s*(?:\S.*)?$",
        unless: r"(?:Failures|Errors): \d",
        body: Body::While(r"^(?:\[ERROR\])?\s{2,}\S", 0),
        item: r"^(?:\[ERROR\])?\s{2,}(?:Run \d+: )?(\w+\.\w+)(?::\d+|->| (?u:») )|^\s{2,}(\w+\([\w.]+\))",
        score: 72,
        share: 16,
        examples: &["[ERROR] Failures: ", "Tests in error: "],
        ..Rule::TEST
    },
    Rule {
        kind: "gradle-test",
        needs: &[" failed"],
        start: r"^(?P<owner>\S.*?) > (?P<test>\S.*?) FAILED$",
        unless: r"^> Task",
        body: Body::While(r"^\s{2,}\S|^FAILURE: ", 1),
        key: r"^\s+[\w.$]+(?:Exception|Error|Failure|Failed)\b|^\s+Caused by|^\s+at \S+Test",
        examples: &["com.acme.AppTest > adds() FAILED", "AppTest > adds FAILED"],
        ..Rule::TEST
    },
    Rule {
        kind: "gradle",
        needs: &["failure: build", "what went wrong"],
        start: r"^FAILURE: Build |^\* What went wrong:",
        body: Body::Until(r"^\* (?:Try|Get more help):|^BUILD FAILED|^={20,}"),
        hollow: r"There were failing tests|Compilation failed; see the compiler|Compilation error\. See log|finished with non-zero exit value",
        proof: r"\.\w+:\d+:(?:\d+:)? .*\berror: ",
        introduces: true,
        key: r"^\s*> |^A problem occurred|^Could not|^Script '|^Build file",
        score: 64,
        share: 10,
        symptom: Symptom::Location,
        examples: &["FAILURE: Build failed with an exception.", "* What went wrong:"],
        ..Rule::TOOL
    },
    Rule {
        kind: "gradle",
        needs: &[" failed"],
        start: r"^> Task :\S+ FAILED$",
        body: Body::While(r"^(?u:w|e): \S", 0),
        share: 1,
        examples: &["> Task :app:test FAILED"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "gradle",
        needs: &["daemon has disappeared", "daemon disappeared"],
        start: r"(?i)the daemon has disappeared|build daemon disappeared",
        body: Body::While(
            r"^Build request sent|^Attempting to read|^Daemon pid|^\s+log file:|^-----",
            0,
        ),
        score: 74,
        share: 3,
        class: Classification::Fixed(Infrastructure),
        examples: &[
            "The message received from the daemon indicates that the daemon has disappeared.",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "maven-goal",
        needs: &["failed to execute goal"],
        start: r"^(?:\[ERROR\] )?Failed to execute goal ",
        body: Body::While(
            r"^\[ERROR\]|^\s+at |^Caused by|^Error: |^\S*\.[A-Z]\w+(?:Exception|Error)",
            0,
        ),
        key: r"^Caused by|\.java:\[|Could not|Cannot",
        score: 63,
        share: 8,
        class: Classification::ToolText(Code),
        symptom: Symptom::None,
        examples: &[
            "[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.8.0:compile (default-compile) on project app: Compilation failure",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "maven",
        needs: &["[error]"],
        start: r"^\[ERROR\] \S",
        unless: r"Help 1\]|To see the full stack|Re-run Maven|For more information|After correcting|COMPILATION ERROR|mvn <|^\[ERROR\] Tests run:|^\[ERROR\] -> |^\[ERROR\] (?:symbol|location):|BUILD FAIL",
        body: Body::While(
            r"^\[(?:ERROR|FATAL)\]\s+\S|^\s+at |^\s*Caused by|^\s*\.\.\. \d+ more|^\S*\.[A-Z]\w+(?:Exception|Error)",
            0,
        ),
        key: r"Caused by|(?:Exception|Error): |^\[FATAL\]|Could not (?:transfer|resolve|find)",
        score: 62,
        share: 6,
        class: Classification::ToolText(Code),
        examples: &[
            "[ERROR] The project com.acme:app:1.0 (/app/pom.xml) has 1 error",
            "[ERROR] src/main/java/App.java:12: Undefined reference: java.nio.ByteBuffer",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "scalatest",
        needs: &["*** failed ***"],
        start: r"^(?:\[info\] )?\s*- (?P<name>\S.*?) \*\*\* FAILED \*\*\*",
        body: Body::While(r"^(?:\[info\] )\s{2,}\S", 0),
        key: r"\.scala:\d+",
        share: 6,
        examples: &["[info] - totals should add up *** FAILED ***"],
        ..Rule::TEST
    },
    Rule {
        kind: "munit",
        needs: &["==> x "],
        start: r"^==> X (?P<name>\S.*?)\s+[\d.]+m?s\b",
        body: Body::Until(r"^\[|^\s*[+-] |^==> |^\S+:$"),
        key: r"^[-+]\S|\bassert\w*\(",
        share: 16,
        examples: &[
            "==> X shop.CartSuite.totals add up  0.031s munit.ComparisonFailException: /src/CartSuite.scala:12",
        ],
        ..Rule::TEST
    },
    Rule {
        kind: "sbt",
        needs: &["[error]"],
        start: r"^\[error\] \S",
        unless: r"^\[error\] (?:\(|Total time|Failed: Total|\s*$)",
        body: Body::While(r"^\[error\]", 0),
        key: r"\.scala:\d+|^\[error\] \S+: ",
        score: 70,
        share: 16,
        class: Classification::ToolText(Code),
        examples: &["[error] /app/src/main/scala/App.scala:3:5: not found: value foo"],
        ..Rule::TOOL
    },
    Rule {
        kind: "java",
        needs: &["~exception", "~error", "~failure", "~failed", "~throwable", "~shutdown"],
        start: r#"^(?:Exception in thread "[^"]*" )?(?:Caused by: )?(?:[a-z][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Failure|Failed|Throwable|Shutdown)\b(?::|$| )"#,
        lead: r"^\[?(?:ERROR|WARN|WARNING|SEVERE|FATAL)|(?i:error|fail|fatal|exception)",
        before: 1,
        body: Body::While(STACK, 0),
        key: r"^\s*Caused by",
        score: 58,
        share: 12,
        class: Classification::ProgramText(Code),
        examples: &[
            "java.lang.IllegalStateException: no",
            "Exception in thread \"main\" java.lang.NullPointerException",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "java",
        needs: &[
            "could not find or load main class",
            "unable to access jarfile",
            "unsupportedclassversionerror",
        ],
        start: r"^Error: (?:Could not find or load main class|Unable to access jarfile|LinkageError)",
        score: 70,
        share: 3,
        class: Classification::Fixed(Code),
        examples: &["Error: Could not find or load main class com.acme.App"],
        ..Rule::TOOL
    },
    Rule {
        kind: "java",
        needs: &["error occurred during initialization of vm"],
        start: r"^Error occurred during initialization of VM",
        body: Body::While(r"^\S", 0),
        score: 74,
        share: 3,
        class: Classification::ToolText(Unknown),
        examples: &["Error occurred during initialization of VM"],
        ..Rule::TOOL
    },
];
