//! What containers do: each program twice, as a command for busybox on a real cluster, and as its
//! sequence of runs for the simulated kubelet.

use std::time::Duration;

use serde_json::{Value, json};

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exits by itself.
    Exit(i64),
    /// The kernel kills it for using too much memory.
    OutOfMemory,
}

/// One run of a container, from its start to its end; the last one repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) log: &'static [&'static str],
    /// After how much real time it ends; `None`: never.
    pub(crate) ends: Option<(Duration, End)>,
    /// Its HTTP answer on [`PORT`].
    pub(crate) serves: Option<&'static str>,
    /// The path of that answer; anything else is 404.
    pub(crate) paths: &'static [&'static str],
    /// After how much real time it serves.
    pub(crate) wakes: Duration,
}

/// A dependency of a program at its start; on a real cluster, its command checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The Job of that name is complete.
    Complete(&'static str),
    /// A pod with that `app` label serves.
    Serving(&'static str),
    /// The other container of its pod of that name serves.
    Beside(&'static str),
    /// Every pod with its own `app` label and an earlier name is ready.
    Turn,
    /// As many earlier pods of its Job have failed.
    Tries(usize),
}

/// A program, identified by its command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    command: &'static [&'static str],
    pub(crate) lives: &'static [Life],
    /// While this is not met, its runs are `without`.
    pub(crate) needs: Option<(Need, Life)>,
    /// The container runtime's error if it cannot start it.
    pub(crate) unstartable: Option<&'static str>,
}

/// The port of the programs.
pub(crate) const PORT: u16 = 8080;

const fn shell(script: &'static [&'static str], lives: &'static [Life]) -> Program {
    Program { command: script, lives, needs: None, unstartable: None }
}

const fn dies(log: &'static [&'static str], code: i64) -> Life {
    Life {
        log,
        ends: Some((Duration::from_millis(300), End::Exit(code))),
        serves: None,
        paths: &[],
        wakes: Duration::ZERO,
    }
}

const fn serving(page: &'static str) -> Life {
    Life {
        log: &["listening on 8080"],
        ends: None,
        serves: Some(page),
        paths: &["/"],
        wakes: Duration::ZERO,
    }
}

const fn serving_after(page: &'static str, seconds: u64) -> Life {
    Life { wakes: Duration::from_secs(seconds), ..serving(page) }
}

const SERVES: &[Life] = &[serving("ok\n")];

const fn needing(script: &'static [&'static str], need: Need, without: Life) -> Program {
    let needs = Some((need, without));
    Program { command: script, lives: SERVES, needs, unstartable: None }
}

impl Program {
    /// For `command:` in a manifest.
    pub(crate) fn command(&self) -> Value {
        json!(self.command)
    }

    /// The program with this command; an idle one if there is none.
    pub(crate) fn by_command(words: &[String]) -> &'static Self {
        ALL.iter().copied().find(|program| program.command == words).unwrap_or(&IDLE)
    }

    /// Its HTTP answer in any run.
    pub(crate) fn page(&self) -> Option<&'static str> {
        self.lives.iter().find_map(|life| life.serves)
    }

    /// All pages.
    pub(crate) fn pages() -> impl Iterator<Item = &'static str> {
        ALL.iter().filter_map(|program| program.page())
    }
}

/// Answers `GET /` with 200.
pub(crate) static HEALTHY: Program = shell(
    &[
        "sh",
        "-c",
        "mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo ok > /tmp/www/health && \
         echo 'listening on 8080' && exec httpd -f -p 8080 -h /tmp/www",
    ],
    &[Life { paths: &["/", "/health"], ..serving("ok\n") }],
);

/// Another version of the service, with another page.
pub(crate) static HEALTHY_TOO: Program = shell(
    &[
        "sh",
        "-c",
        "mkdir -p /tmp/www && echo two > /tmp/www/index.html && echo 'listening on 8080' && \
         exec httpd -f -p 8080 -h /tmp/www",
    ],
    &[serving("two\n")],
);

/// Crashes because of a missing setting, with a message.
pub(crate) static PANICS: Program = shell(
    &[
        "sh",
        "-c",
        "echo 'starting fleet api'; \
         echo \"thread 'main' panicked at src/main.rs:14:5: missing DATABASE_URL\" >&2; exit 101",
    ],
    &[dies(
        &["starting fleet api", "thread 'main' panicked at src/main.rs:14:5: missing DATABASE_URL"],
        101,
    )],
);

/// As [`PANICS`], but its third run hangs: a third crash never comes.
pub(crate) static PANICS_TWICE: Program = shell(PANICS.command, PANICKING_TWICE);
const PANICKING_TWICE: &[Life] =
    &[PANICS.lives[0], PANICS.lives[0], Life { log: &[], ends: None, ..PANICS.lives[0] }];

/// The values that [`ECHOES`] prints.
pub(crate) const ECHOED: &[&str] = &[
    "swan-lake-17",
    "grey-heron-44",
    "nightjar-88",
    "kestrel-hovers-5",
    "oystercatcher",
    "lapwing flock 9",
    "moor-hen-41",
];

/// Crashes, and prints its secrets: from variables, from files, and its registry's password.
pub(crate) static ECHOES: Program = shell(
    &[
        "sh",
        "-c",
        "echo 'verbose is true'; echo \"key $API_KEY, token $(printf %s $TOKEN | base64)\"; \
         cat /secrets/app.json; echo; cat /secrets/notes; echo 'pulled by puller:moor-hen-41'; \
         echo \"fatal: cannot log in with $PASSWORD at $DSN\" >&2; exit 1",
    ],
    &[dies(
        &[
            "verbose is true",
            "key nightjar-88, token a2VzdHJlbC1ob3ZlcnMtNQ==",
            "{\"db\": {\"pw\": \"oystercatcher\"}}",
            "first line",
            "lapwing flock 9",
            "pulled by puller:moor-hen-41",
            "fatal: cannot log in with swan-lake-17 at grey-heron-44",
        ],
        1,
    )],
);

/// Crashes without output.
pub(crate) static SILENT: Program = shell(&["sh", "-c", "exit 3"], &[dies(&[], 3)]);

const REFUSED: Life = dies(
    &["connecting to postgres:5432", "dial tcp 10.0.0.5:5432: connect: connection refused"],
    1,
);

/// Crashes twice because its database does not exist yet, then serves. Counts in a volume, which
/// survives restarts.
pub(crate) static WAITS: Program = shell(
    &[
        "sh",
        "-c",
        "n=$(cat /state/n 2>/dev/null || echo 0); echo $((n+1)) > /state/n; \
         if [ $n -lt 2 ]; then echo 'connecting to postgres:5432'; \
         echo 'dial tcp 10.0.0.5:5432: connect: connection refused' >&2; exit 1; fi; \
         mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo 'listening on 8080' && \
         exec httpd -f -p 8080 -h /tmp/www",
    ],
    &[REFUSED, REFUSED, serving("ok\n")],
);

/// Exceeds its memory limit.
pub(crate) static HUNGRY: Program = shell(
    &["sh", "-c", "echo 'loading the index'; exec dd if=/dev/zero of=/dev/null bs=512M count=1"],
    &[Life {
        log: &["loading the index"],
        ends: Some((Duration::from_millis(300), End::OutOfMemory)),
        serves: None,
        paths: &[],
        wakes: Duration::ZERO,
    }],
);

/// A file that is not executable code: the kernel rejects it.
pub(crate) static NO_PROGRAM: Program =
    shell(&["/app/app"], &[dies(&["exec /app/app: exec format error"], 255)]);

/// A command that is not in the image.
pub(crate) static NO_COMMAND: Program = Program {
    command: &["/no/such/program"],
    lives: &[],
    needs: None,
    unstartable: Some(
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
         runc create failed: unable to start container process: error during container init: \
         exec: \"/no/such/program\": stat /no/such/program: no such file or directory",
    ),
};

/// A migration that fails, for an init container.
pub(crate) static MIGRATION_FAILS: Program = shell(
    &["sh", "-c", "echo 'Error: migration 0042 failed: column vin does not exist' >&2; exit 1"],
    &[dies(&["Error: migration 0042 failed: column vin does not exist"], 1)],
);

/// A migration that works.
pub(crate) static MIGRATION_WORKS: Program =
    shell(&["sh", "-c", "echo 'migrated to 42'"], &[dies(&["migrated to 42"], 0)]);

/// Becomes ready, then crashes: only a soak detects it.
pub(crate) static DIES_LATER: Program = shell(
    &[
        "sh",
        "-c",
        "mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo 'listening on 8080' && \
         httpd -p 8080 -h /tmp/www; sleep 6; \
         echo 'fatal: the license server says no' >&2; exit 7",
    ],
    &[Life {
        log: &["listening on 8080", "fatal: the license server says no"],
        ends: Some((Duration::from_secs(6), End::Exit(7))),
        serves: Some("ok\n"),
        paths: &["/"],
        wakes: Duration::ZERO,
    }],
);

/// Runs forever: for pods without HTTP.
pub(crate) static IDLE: Program = shell(
    &["sh", "-c", "echo idle; exec sleep 100000"],
    &[Life { log: &["idle"], ends: None, serves: None, paths: &[], wakes: Duration::ZERO }],
);

/// A migration that takes eight seconds.
pub(crate) static MIGRATES_SLOWLY: Program = shell(
    &["sh", "-c", "echo 'migrating'; sleep 8; echo 'migrated to 42'"],
    &[Life {
        ends: Some((Duration::from_secs(8), End::Exit(0))),
        ..dies(&["migrating", "migrated to 42"], 0)
    }],
);

/// Work of forty seconds.
pub(crate) static LONG_WORK: Program = Program {
    command: &["long-work"],
    lives: &[Life {
        ends: Some((Duration::from_secs(40), End::Exit(0))),
        ..dies(&["at work", "done"], 0)
    }],
    needs: None,
    unstartable: None,
};

/// Needs the migration's result. On a real cluster it has crashed twice by then.
pub(crate) static NEEDS_THE_TABLE: Program = needing(
    &[
        "sh",
        "-c",
        "n=$(cat /state/n 2>/dev/null || echo 0); echo $((n+1)) > /state/n; if [ $n -lt 2 ]; then \
         echo 'ERROR: relation \"vehicles\" does not exist' >&2; exit 1; fi; \
         mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo 'listening on 8080' && \
         exec httpd -f -p 8080 -h /tmp/www",
    ],
    Need::Complete("migrate"),
    dies(&["starting", "ERROR: relation \"vehicles\" does not exist"], 1),
);

/// A database that takes 25 seconds until it answers.
pub(crate) static DATABASE: Program = shell(
    &[
        "sh",
        "-c",
        "echo 'recovering'; sleep 25; mkdir -p /tmp/www && echo ok > /tmp/www/index.html && \
         echo 'listening on 8080' && exec httpd -f -p 8080 -h /tmp/www",
    ],
    &[serving_after("ok\n", 25)],
);

const NO_DATABASE: Life =
    dies(&["connecting to db:8080", "dial tcp 10.96.14.2:8080: connect: connection refused"], 1);

/// Needs the database. On a real cluster it has crashed three times before the database is ready.
pub(crate) static NEEDS_THE_DATABASE: Program = needing(
    &[
        "sh",
        "-c",
        "n=$(cat /state/n 2>/dev/null || echo 0); echo $((n+1)) > /state/n; \
         echo 'connecting to db:8080'; if [ $n -lt 3 ]; then \
         echo 'dial tcp 10.96.14.2:8080: connect: connection refused' >&2; exit 1; fi; \
         mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo 'listening on 8080' && \
         exec httpd -f -p 8080 -h /tmp/www",
    ],
    Need::Serving("db"),
    NO_DATABASE,
);

/// Needs a cache that reports that it is still loading.
pub(crate) static NEEDS_THE_CACHE: Program = needing(
    &["needs-the-cache"],
    Need::Serving("db"),
    dies(&["starting", "ReplyError: LOADING Redis is loading the dataset in memory"], 1),
);

/// A check that needs the service.
pub(crate) static CHECKS_THE_SERVICE: Program = Program {
    command: &["checks-the-service"],
    lives: &[dies(&["checking http://web", "all well"], 0)],
    needs: Some((
        Need::Serving("web"),
        dies(
            &[
                "checking http://web",
                "curl: (7) Failed to connect to web port 80: Connection refused",
            ],
            1,
        ),
    )),
    unstartable: None,
};

/// The same, but it waits instead of crashing.
pub(crate) static WAITS_FOR_THE_SERVICE: Program = Program {
    command: &["waits-for-the-service"],
    lives: &[dies(&["checking http://web", "all well"], 0)],
    needs: Some((
        Need::Serving("web"),
        Life {
            log: &["curl: (7) Failed to connect to web port 80: Connection refused, once more"],
            ends: None,
            serves: None,
            paths: &[],
            wakes: Duration::ZERO,
        },
    )),
    unstartable: None,
};

/// Takes fifteen seconds to serve, and only one replica at a time.
pub(crate) static TAKES_TURNS: Program = Program {
    command: &["takes-turns"],
    lives: &[serving_after("ok\n", 15)],
    needs: Some((
        Need::Turn,
        dies(&["starting", "could not acquire lock: the migration lock is held by web-0"], 1),
    )),
    unstartable: None,
};

/// Needs the proxy in the same pod.
pub(crate) static NEEDS_ITS_SIDECAR: Program = needing(
    &["needs-its-sidecar"],
    Need::Beside("proxy"),
    dies(&["starting", "Error: connect ECONNREFUSED 127.0.0.1:15001"], 1),
);

/// Needs a file that the other container of its pod writes, in a folder that both mount.
pub(crate) static NEEDS_A_SHARED_FILE: Program = needing(
    &["needs-a-shared-file"],
    Need::Beside("proxy"),
    dies(
        &[
            "Traceback (most recent call last):",
            "FileNotFoundError: [Errno 2] No such file or directory: '/shared/config.json'",
        ],
        1,
    ),
);

/// A Job that succeeds at its third attempt, and says nothing that tells why it failed before.
pub(crate) static THIRD_TIME_LUCKY: Program = Program {
    command: &["third-time-lucky"],
    lives: &[dies(&["seeding", "seeded"], 0)],
    needs: Some((Need::Tries(2), dies(&["seeding", "Error: the ledger is not balanced"], 1))),
    unstartable: None,
};

/// Panics in its own code.
pub(crate) static OUT_OF_RANGE: Program = shell(
    &[
        "sh",
        "-c",
        "echo 'starting'; echo 'panic: runtime error: index out of range [3] with length 3' >&2; \
         exit 2",
    ],
    &[dies(&["starting", "panic: runtime error: index out of range [3] with length 3"], 2)],
);

/// Restarts when its configuration changes: twice, then it serves.
pub(crate) static RELOADS: Program = Program {
    command: &["reloads"],
    lives: &[RELOAD, RELOAD, serving("ok\n")],
    needs: None,
    unstartable: None,
};

const RELOAD: Life = dies(&["configuration changed on disk, restarting to apply it"], 0);

/// Takes longer to serve than two windows of its probe and a minute.
pub(crate) static SLOW: Program = shell(
    &[
        "sh",
        "-c",
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo \"loading $n of 15\"; sleep 5; done; \
         mkdir -p /tmp/www && echo ok > /tmp/www/index.html && echo 'listening on 8080' && \
         exec httpd -f -p 8080 -h /tmp/www",
    ],
    // The simulation's clock runs ten times as fast.
    &[serving_after("ok\n", 700)],
);

static ALL: &[&Program] = &[
    &MIGRATES_SLOWLY,
    &LONG_WORK,
    &NEEDS_THE_TABLE,
    &DATABASE,
    &NEEDS_THE_DATABASE,
    &NEEDS_THE_CACHE,
    &CHECKS_THE_SERVICE,
    &WAITS_FOR_THE_SERVICE,
    &TAKES_TURNS,
    &NEEDS_ITS_SIDECAR,
    &NEEDS_A_SHARED_FILE,
    &THIRD_TIME_LUCKY,
    &OUT_OF_RANGE,
    &RELOADS,
    &SLOW,
    &HEALTHY,
    &HEALTHY_TOO,
    &PANICS,
    &ECHOES,
    &SILENT,
    &WAITS,
    &HUNGRY,
    &NO_PROGRAM,
    &NO_COMMAND,
    &MIGRATION_FAILS,
    &MIGRATION_WORKS,
    &DIES_LATER,
    &IDLE,
];
