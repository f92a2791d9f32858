//! What CI systems and the services around them say themselves.

use super::super::rule::{Body, Rule, Symptom, Verdict};
use super::verdicts;
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
        ],
        start: r"^##\[error\](?:Process completed with exit code|The process '.*' failed with exit code|Bash exited with code)|^##vso\[task\.complete result=Failed|^ERROR: Job failed: exit ",
        score: 8,
        share: 1,
        verdict: Verdict::Is(Unknown),
        examples: &["##[error]Process completed with exit code 1."],
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
        verdict: Verdict::Is(Unknown),
        examples: &[
            "Build step 'Execute shell' marked build as failure",
            "ERROR: Step \u{2018}Publish XML Summary Reports\u{2019} failed: /x/archive does not exist.",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "summary",
        needs: &["finished: failure", "build fail", "compilation error", "tests completed"],
        start: r"^Finished: FAILURE|^(?:\[\w+\] )?BUILD FAIL(?:URE|ED)\b|^\[ERROR\] COMPILATION ERROR|^\d+ tests? completed, \d+ failed",
        score: 8,
        share: 1,
        verdict: Verdict::Is(Unknown),
        examples: &["[INFO] BUILD FAILURE", "BUILD FAILED in 13s", "27 tests completed, 1 failed"],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "travis",
        needs: &["the command \"", "your build exited with"],
        start: r#"^The command ".*" (?:exited with [1-9]|failed)"#,
        score: 16,
        share: 1,
        verdict: Verdict::Is(Unknown),
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
        verdict: Verdict::Says(Infrastructure),
        examples: &[
            "ERROR: Error cloning remote repo 'origin'",
            "FATAL: hudson.remoting.Channel$OrderlyShutdown: Command Close created at",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "auth",
        needs: verdicts::AUTH_NEEDS,
        start: verdicts::AUTH,
        unless: NOT_ITS_OWN,
        score: 57,
        share: 3,
        verdict: Verdict::Is(Auth),
        examples: &[
            "denied: requested access to the resource is denied",
            "Permission denied (publickey).",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "quota",
        needs: verdicts::QUOTA_NEEDS,
        start: verdicts::QUOTA,
        unless: NOT_ITS_OWN,
        score: 57,
        share: 3,
        verdict: Verdict::Is(Quota),
        examples: &["toomanyrequests: You have reached your pull rate limit."],
        ..Rule::TOOL
    },
    Rule {
        kind: "disk",
        needs: verdicts::DISK_NEEDS,
        start: verdicts::DISK,
        unless: NOT_ITS_OWN,
        score: 65,
        share: 3,
        verdict: Verdict::Is(Infrastructure),
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
        verdict: Verdict::Is(Infrastructure),
        examples: &[
            "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError'",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "network",
        needs: verdicts::NETWORK_NEEDS,
        start: verdicts::NETWORK,
        unless: NOT_ITS_OWN,
        score: 56,
        share: 3,
        verdict: Verdict::Is(Infrastructure),
        examples: &["dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution"],
        ..Rule::TOOL
    },
    Rule {
        kind: "timeout",
        needs: verdicts::TIMEOUT_NEEDS,
        start: verdicts::TIMEOUT,
        unless: NOT_ITS_OWN,
        score: 54,
        share: 3,
        verdict: Verdict::Is(Timeout),
        symptom: Symptom::Place,
        examples: &[
            "The job running on runner Hosted Agent has exceeded the maximum execution time of 60 minutes.",
        ],
        ..Rule::TOOL
    },
];

/// A warning or a retry that came out well is no cause, and a test's name no complaint.
const NOT_ITS_OWN: &str = r"(?i)(?u:[✓✔√])|^\W*(?:warn|info|debug|note|hint|trace|npm warn|ok\b|pass|running|test |get:|hit:)|\bwarn(?:ing)?\b[]: ]|\[(?:warn|info|debug)|retry|retries|try again in|attempt \d|will be retried|^\s*at |^\s*#";
