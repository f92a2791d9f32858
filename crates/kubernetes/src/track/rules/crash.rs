//! Containers that end, and Jobs that fail.

use super::super::rule::{Deferral, ROW, Rule, Source, When};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "out-of-memory",
        source: Source::Crash,
        reasons: &["OutOfMemory"],
        when: When::Times(2),
        class: FailureClass::Config,
        line: "{pod}: container {container} was killed {count} times for exceeding its memory \
            limit",
        about: "`OOMKilled` twice: the limit in the manifest is too small, or the program leaks.",
        examples: &[("OutOfMemory", "")],
        ..ROW
    },
    Rule {
        id: "crash-exec",
        source: Source::Crash,
        reasons: &["CannotRun"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot run: {message}",
        about: "The container's log says that its program cannot be executed: exec format error, \
                missing interpreter or command, a missing shared library.",
        examples: &[("CannotRun", "exec /app/server: exec format error")],
        ..ROW
    },
    Rule {
        id: "crash-same",
        source: Source::Crash,
        reasons: &["SameCause"],
        when: When::Times(2),
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} crashes at each start with the same message: {message}",
        about: "Two crashes in a row with the same message, of a cause that waiting cannot \
            change: an unset variable, a missing module, a program that cannot be executed.",
        examples: &[("SameCause", "DATABASE_URL is not set")],
        ..ROW
    },
    Rule {
        id: "crash-repeats",
        source: Source::Crash,
        reasons: &["SameWords"],
        when: When::Times(2),
        deferral: Deferral::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} crashes at each start with the same message: {message}",
        about: "Two crashes in a row whose previous logs say the same thing, which may or may not \
                be of waiting: a panic, a refused permission, a setting without a name. Where the \
                words of a Job tell nothing, its own limits decide.",
        examples: &[("SameWords", "boom")],
        ..ROW
    },
    Rule {
        id: "crash-waits",
        source: Source::Crash,
        reasons: &["Waits"],
        when: When::Times(3),
        deferral: Deferral::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} died waiting for something ({count} so far): {message}",
        about: "Crashes that indicate waiting: a refused connection, a missing name or table, a \
            held lock, a timeout.",
        examples: &[("Waits", "exit status 1; connect: connection refused")],
        ..ROW
    },
    Rule {
        id: "crash-loop",
        source: Source::Crash,
        reasons: &["Unclear"],
        when: When::Times(3),
        deferral: Deferral::Moving,
        class: FailureClass::Unknown,
        log_class: true,
        line: "{pod}: container {container} died {count} times: {message}",
        about: "Exits without a message, and crashes with a different message each time.",
        examples: &[("Unclear", "exit status 1, without a word")],
        ..ROW
    },
    Rule {
        id: "job-failed",
        source: Source::Workload,
        reasons: &[
            "BackoffLimitExceeded",
            "PodFailurePolicy",
            "FailedIndexes",
            "MaxFailedIndexesExceeded",
            "SuccessPolicy",
            "JobFailed",
        ],
        when: When::Now,
        class: FailureClass::Code,
        log_class: true,
        line: "{workload} failed: {message}",
        about: "The Job's own conditions say that it failed.",
        examples: &[
            ("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
            (
                "PodFailurePolicy",
                "Container main for pod shop/migrate-x failed with exit code 42 matching FailJob \
                 rule at index 0",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "job-deadline",
        source: Source::Workload,
        reasons: &["DeadlineExceeded"],
        when: When::Now,
        class: FailureClass::Timeout,
        line: "{workload} failed: {message}",
        about: "The Job took longer than its activeDeadlineSeconds.",
        examples: &[("DeadlineExceeded", "Job was active longer than specified deadline")],
        ..ROW
    },
];
