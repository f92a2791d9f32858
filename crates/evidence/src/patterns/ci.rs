//! What CI systems and the services around them say themselves.

use super::super::rule::{Body, Classification, Rule, Symptom};
use super::classes;
use greenloop_model::FailureClass::{Auth, Infrastructure, Quota, Timeout, Unknown};

/// Lines that only say that all is over: kept last, but kept, because a person looks for them.
pub(super) const EPITAPHS: &[Rule] = &[
    Rule {
        kind: "ci",
        needs: &[
            "##[error]process completed",
            "##[error]the process ",
            "##[error]bash exited",
            "task.complete result=failed",
            "failed with exit code",
            "job failed: exit",
            "with non-zero exit code",
        ],
        start: r"^##\[error\](?:Process completed with exit code|(?:Error: )?The process '.*' failed with exit code|Bash exited with code|\w+ command failed with non-zero exit code)|^##vso\[task\.complete result=Failed|^ERROR: Job failed: exit ",
        unless: r"\b137\b.*Killed",
        score: 8,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &["##[error]Process completed with exit code 1."],
        ..Rule::SUMMARY
    },
    // What the builder printed stands between them, without its prefix.
    Rule {
        kind: "nix",
        needs: &[
            "error: builder for",
            "error: cannot build",
            "error: build failed due to",
            " of derivation '",
            "builder failed with",
            " log lines:",
            "for full logs, run",
            "output paths:",
            "/nix/store/",
            "nix log ",
        ],
        start: r"^error: (?:builder for '|Cannot build '|Build failed due to|\d+ dependenc(?:y|ies) of derivation)|^\s+(?:Reason: .*builder failed|[Ll]ast \d+ log lines:|For full logs, run|Output paths:|/nix/store/\S+$|nix log )",
        score: 20,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &[
            "error: builder for '/nix/store/5k9r-cart-0.3.1.drv' failed with exit code 2;",
            "error: Cannot build '/nix/store/1c9w-segments.drv'.",
            "       Reason: builder failed with exit code 3.",
            "error: 1 dependencies of derivation '/nix/store/9sgh-shop-1.2.0.drv' failed to build",
        ],
        ..Rule::SUMMARY
    },
    // A line that says no more than how a command ended.
    Rule {
        kind: "exit",
        needs: &["exit code", "exit status", "exited with", "exited (", "non-zero status"],
        start: r"(?i)^\W*(?:[\w./@#:'`\x22-]+[^\w\n]+){0,8}?(?:exit (?:code|status)|exited with (?:a )?(?:exit )?(?:non-zero )?(?:code|status)|non-zero status|exited) ?\W{0,2}(?:\d{1,2}|1(?:[012]\d|3[0-368]|[4-9]\d)|2\d\d)\W*$",
        unless: r"(?i)\bcontainer\b|\bpod\b|Caused by|did not complete|returned a non-zero|^\s*exit code:|^\s{2}",
        score: 8,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &[
            "Error: Process completed with exit code 65.",
            "##[error]Terraform exited with code 1.",
            "error: script \"build\" exited with code 1",
            "error: Recipe `check` failed on line 3 with exit code 1",
            "exit status 1",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "jenkins",
        needs: &["marked build as failure", "error: step ", "error: script returned exit code"],
        start: r"^Build step '.*' marked build as failure|^ERROR: Step .* failed: |^ERROR: script returned exit code",
        lead: r"does not exist\.$",
        before: 1,
        score: 14,
        share: 2,
        class: Classification::Fixed(Unknown),
        examples: &[
            "Build step 'Execute shell' marked build as failure",
            "ERROR: Step \u{2018}Publish XML Summary Reports\u{2019} failed: /x/archive does not exist.",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "summary",
        needs: &[
            "finished: failure",
            "build fail",
            "compilation error",
            "tests completed",
            " failed **",
            "chart(s) linted",
            "[error] (",
            "[error] total time",
            "[error] failed: total",
            "error: while executing test",
            "command finished with error",
            "error: test failed",
            "error: type checking failed",
            "build stopped: subcommand failed",
            "*** error code",
            "make: stopped in",
            "returned with error code",
            "command failed with status (",
            "scons: ",
            ": fail code",
            ": exit ",
            "evaluation failed :(",
            "lint-staged failed",
            "husky - ",
            "command execution failed",
            "executeexception: process exited",
            "nx   ran target",
            "this job failed:",
            "exited with status",
            "aborted after failed subtask",
            "** (exit)",
            "aborting on container exit",
            "^found ",
            "^summary: ",
            "dubious, test returned",
            " subtests",
            "subtests failed",
            "result: fail",
            "errors while running ctest",
            "% tests passed, ",
            "error: update failed",
            "no objects passed to",
            "execution failure",
            "error: error during sonarscanner",
            "error: test failures",
            "execution halted",
            "test run failed",
            "subprocess exited with status",
            "error: building at step",
            "error building image: ",
        ],
        start: r"^\[error\] (?:\(.*\) |Total time|Failed: Total )|^error: while executing test |command finished with error: |^Error: \d+ chart\(s\) linted|^\*\* \w+ FAILED \*\*$|^error: (?:Test failed|Type checking failed\.?)$|^ninja: build stopped|^Finished: FAILURE|^(?:\[\w+\] )?BUILD FAIL(?:URE|ED)\b|^\[ERROR\] COMPILATION ERROR|^\d+ tests? completed, \d+ failed|^\*\*\* Error code \d+|^b?make(?:\[\d+\])?: stopped in |^Script .+ handling the \S+ event returned with error code \d+|^Command failed with status \(\d+\)|^scons: (?:\*\*\* \[.*\] Error \d+|building terminated)|^\s*\S+: (?:FAIL code \d+|exit \d+ \()|^\s*evaluation failed :\(|^\W*lint-staged failed|^husky - .*(?:failed|exited)|^(?:\[ERROR\] )?Command execution failed\.?$|ExecuteException: Process exited with an error: \d+|^(?:\[ERROR\] )?Failed to execute goal .*: Command execution failed|^\s*NX +Ran target|^parallel: This job failed:|^xargs: .*: exited with status \d+|^(?:Error: )?Sequence aborted after failed subtask|^\*\* \(exit\) \d+$|^Aborting on container exit|^Found \d+ (?:errors?|problems?|issues?|warnings?)\.$|^Summary: \d+ resources? found in |^\s*Dubious, test returned|^\s*Failed \d+/\d+ (?:subtests|test programs)|^Result: FAIL$|^Errors while running CTest|^\d+% tests passed, [1-9]|^\s*error: update failed$|^error: no objects passed to|^(?:INFO: |\[INFO\] )?EXECUTION FAILURE$|^ERROR: Error during SonarScanner|^\s*Error: Test failures$|^\s*Execution halted$|^(?:.*: error : )?Test Run Failed\.$|^subprocess exited with status \d+|^Error: building at STEP |^error building image: ",
        score: 8,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &[
            "[INFO] BUILD FAILURE",
            "BUILD FAILED in 13s",
            "27 tests completed, 1 failed",
            "** TEST FAILED **",
            "error: Test failed",
            "ninja: build stopped: subcommand failed.",
            "[error] (Test / test) sbt.TestsFailedException: Tests unsuccessful",
            "Error: 1 chart(s) linted, 1 chart(s) failed",
            "ERROR: command finished with error: command (/app) npm run build exited (1)",
            "*** Error code 3",
            "make: stopped in /x",
            "Script ./tool handling the check event returned with error code 3",
            "Command failed with status (3): [./tool]",
            "scons: *** [a.bin] Error 3",
            "scons: building terminated because of errors.",
            "  py311: FAIL code 3 (0.30=setup[0.25]+cmd[0.05] seconds)",
            "py311: exit 3 (0.05 seconds) /x> ./tool pid=12",
            "  evaluation failed :( (0.40 seconds)",
            "husky - pre-commit script failed (code 1)",
            "[ERROR] Command execution failed.",
            " NX   Ran target build for project app (1s)",
            "parallel: This job failed:",
            "xargs: ./tool: exited with status 255; aborting",
            "Error: Sequence aborted after failed subtask 'check'",
            "** (exit) 3",
            "Aborting on container exit...",
            "Found 1 error.",
            "Summary: 1 resource found in 1 file - Valid: 0, Invalid: 1, Errors: 0, Skipped: 0",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "travis",
        needs: &["the command \"", "your build exited with"],
        start: r#"^The command ".*" (?:exited with [1-9]|failed)"#,
        score: 16,
        share: 1,
        class: Classification::Fixed(Unknown),
        examples: &["The command \"mvn test\" exited with 1."],
        ..Rule::SUMMARY
    },
];

pub(super) const RULES: &[Rule] = &[
    // An annotation with a place was made from a compiler's or a linter's message.
    Rule {
        kind: "annotation",
        needs: &["##[error]", "::error ", "task.logissue"],
        start: r"^##\[error\]\S+?(?:\(\d+(?:,\d+)?\)|:\d+:\d+): |^::error [^:]*file=|##vso\[task\.logissue [^\]]*type=error[^\]]*sourcepath=|##vso\[task\.logissue [^\]]*sourcepath=[^\]]*type=error",
        score: 84,
        share: 2,
        examples: &[
            "##[error]src/app.js(3,5): 'x' is not defined",
            "::error file=app.js,line=1,col=5::no",
            "##vso[task.logissue type=error;sourcepath=src/app.cs;linenumber=3]no",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "github",
        needs: &["##[error]", "::error"],
        start: r"^##\[error\]\S|^::error(?: [^:]*)?::",
        score: 64,
        share: 6,
        body: Body::While(r"^##\[error\]\s", 0),
        examples: &["##[error]No file matched to [**/package-lock.json]", "::error::no"],
        ..Rule::TOOL
    },
    Rule {
        kind: "azure",
        needs: &["task.logissue"],
        start: r"##vso\[task\.logissue [^\]]*type=error",
        score: 64,
        share: 2,
        examples: &["##vso[task.logissue type=error]no"],
        ..Rule::TOOL
    },
    Rule {
        kind: "jenkins",
        needs: &[
            "remote repo 'origin'",
            "hudson.",
            "no such property",
            "orderlyshutdown",
            "channelclosed",
            "channel is already closed",
        ],
        start: r"^ERROR: Error (?:cloning|fetching) remote repo|^FATAL: .*(?:hudson|remoting|[Cc]hannel)|ChannelClosedException|channel is already closed",
        body: Body::While(
            r"^hudson\.|^std(?:out|err): |^\s+at |^\s*Caused by|^\s*\.\.\. \d+ more|^\s+Suppressed|^Command |^java\.|^Also: ",
            1,
        ),
        key: r"^stderr: |^\s*Caused by|^Caused: ",
        score: 67,
        share: 14,
        class: Classification::ToolText(Infrastructure),
        examples: &[
            "ERROR: Error cloning remote repo 'origin'",
            "FATAL: hudson.remoting.Channel$OrderlyShutdown: Command Close created at",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "quota",
        needs: classes::QUOTA_NEEDS,
        start: classes::QUOTA,
        unless: NOT_ITS_OWN,
        score: 57,
        share: 3,
        class: Classification::Fixed(Quota),
        examples: &["pods \"web\" is forbidden: exceeded quota: team-a"],
        ..Rule::TOOL
    },
    Rule {
        kind: "quota",
        needs: classes::RATE_NEEDS,
        start: classes::RATE,
        unless: NOT_ITS_OWN,
        score: 57,
        share: 3,
        class: Classification::Fixed(Quota),
        examples: &["toomanyrequests: You have reached your pull rate limit."],
        ..Rule::TOOL
    },
    Rule {
        kind: "auth",
        needs: classes::AUTH_NEEDS,
        start: classes::AUTH,
        unless: NOT_ITS_OWN,
        score: 57,
        share: 3,
        class: Classification::Fixed(Auth),
        examples: &[
            "denied: requested access to the resource is denied",
            "Permission denied (publickey).",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "disk",
        needs: classes::DISK_NEEDS,
        start: classes::DISK,
        unless: NOT_ITS_OWN,
        score: 65,
        share: 3,
        class: Classification::Fixed(Infrastructure),
        examples: &["write /tmp/x: no space left on device"],
        ..Rule::TOOL
    },
    // pip says only afterwards, and misleadingly, that there is no such package.
    Rule {
        kind: "network",
        needs: &["retry(total=0"],
        start: r"Retry\(total=0\b",
        score: 73,
        share: 1,
        class: Classification::Fixed(Infrastructure),
        examples: &[
            "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError'",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "network",
        needs: classes::NETWORK_NEEDS,
        start: classes::NETWORK,
        unless: NOT_ITS_OWN,
        score: 56,
        share: 3,
        class: Classification::Fixed(Infrastructure),
        examples: &["dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution"],
        ..Rule::TOOL
    },
    Rule {
        kind: "timeout",
        needs: classes::TIMEOUT_NEEDS,
        start: classes::TIMEOUT,
        unless: NOT_ITS_OWN,
        score: 54,
        share: 3,
        class: Classification::Fixed(Timeout),
        symptom: Symptom::Location,
        examples: &[
            "The job running on runner Hosted Agent has exceeded the maximum execution time of 60 minutes.",
        ],
        ..Rule::TOOL
    },
];

/// A warning or a retry that came out well is no cause, and a test's name no complaint.
const NOT_ITS_OWN: &str = r"(?i)(?u:[✓✔√])|^\W*(?:warn|info|debug|note|hint|trace|npm warn|ok\b|pass|running|test |get:|hit:)|\bwarn(?:ing)?\b[]: ]|\[(?:warn|info|debug)|retry|retries|try again in|attempt \d|will be retried|^\s*at |^\s*#";
