//! What a builder's or a registry's complaint means: one table, read from the top.
//!
//! An engine tells what went wrong in words only, so words are what is looked at; they are data
//! here, with the sentences they were written for. What a `RUN` printed is not looked at by this
//! table but by [`greenloop_evidence`], except for memory, see [`MEMORY`].

use std::sync::LazyLock;

use regex::Regex;

use greenloop_evidence::Extraction;
use greenloop_model::FailureClass::{self, Auth, Code, Config, Infrastructure, Quota, Unknown};
use greenloop_ports::ImageErrorKind::{self, Build, Engine, Registry};

/// One kind of complaint.
#[derive(Debug)]
pub(super) struct FailurePattern {
    pattern: &'static str,
    /// Who is at fault.
    pub kind: ImageErrorKind,
    /// Whether a patch can help.
    pub class: FailureClass,
    /// What a person should know or do beside the complaint itself; may be empty.
    pub advice: &'static str,
    /// Sentences of real engines and registries that this row is for.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the table's test"))]
    examples: &'static [&'static str],
}

const FAILURE_PATTERNS: &[FailurePattern] = &[
    FailurePattern {
        pattern: r"no space left on device|disk quota exceeded",
        kind: Engine,
        class: Infrastructure,
        advice: "the engine's disk is full: free some space with `docker system prune` on its \
            machine",
        examples: &[
            "failed to register layer: Error processing tar file(exit status 1): write /big: no space left on device",
            "Error processing tar file(exit status 1): write /x: no space left on device",
            "failed to copy files: failed to copy file: write /var/lib/docker/overlay2/x/big: no space left on device",
            "write /var/lib/docker/tmp/docker-builder1/x: no space left on device",
            "mkdir /var/lib/docker/overlay2/x: no space left on device",
        ],
    },
    FailurePattern {
        pattern: r"requires BuildKit|--chmod option requires",
        kind: Build,
        class: Config,
        advice: "the Dockerfile needs BuildKit: set `build.builder` to `auto` or `buildkit`",
        examples: &[
            "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled",
        ],
    },
    FailurePattern {
        pattern: r"failed to reach build target|target stage .* could not be found",
        kind: Build,
        class: Config,
        advice: "`build.target` names a stage that the Dockerfile does not have",
        examples: &[
            "failed to reach build target nope in Dockerfile",
            "target stage nope could not be found",
            "target stage \"nope\" could not be found",
        ],
    },
    FailurePattern {
        pattern: r"(?i)dockerfile parse error|failed to parse Dockerfile|the Dockerfile .*cannot be empty|file with no instructions|unknown instruction|must have (?:one|two|exactly|at least)|requires (?:exactly|at least|at most|either)|base name .* should not be blank|invalid reference format|failed to parse (?:stage|platform|base)|failed to process .*: (?:unsupported|unexpected|missing)|circular dependency|no build stage in current context|invalid from flag value \S+: invalid|Unknown flag",
        kind: Build,
        class: Code,
        advice: "",
        examples: &[
            "dockerfile parse error line 2: unknown instruction: RUM",
            "dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)",
            "failed to parse Dockerfile: LABEL must have two arguments",
            "LABEL must have two arguments",
            "dockerfile parse error line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
            "invalid reference format: repository name must be lowercase",
            "failed to parse stage name \"127.0.0.1:5000/x:\": invalid reference format",
            "base name (${V}) should not be blank",
            "the Dockerfile (Dockerfile) cannot be empty",
            "the Dockerfile cannot be empty",
        ],
    },
    FailurePattern {
        pattern: r#"(?:COPY|ADD) failed: (?:.* )?(?:file not found|no such file|does not exist|forbidden path|no source files)|file not found in build context|failed to (?:compute cache key|calculate checksum).*"/?[^"]*"(?::| )? not found|"/[^"]*"(?::| )? not found|forbidden path outside the build context|no source files were specified|lstat /\S+: no such file or directory"#,
        kind: Build,
        class: Code,
        advice: "the path is not in the build context: check `build.context_path` and \
            `.dockerignore`",
        examples: &[
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nothing: file does not exist",
            "COPY failed: stat var/lib/docker/overlay2/x/merged/nothing: no such file or directory",
            "COPY failed: forbidden path outside the build context: ../x ()",
            "COPY failed: no source files were specified",
            "failed to compute cache key: \"/nothing\" not found: not found",
            "failed to compute cache key: failed to calculate checksum of ref abc::def: \"/nothing\": not found",
            "failed to compute cache key: failed to walk /var/lib/docker/tmp/x: lstat /var/lib/docker/tmp/x/nothing: no such file or directory",
        ],
    },
    FailurePattern {
        pattern: r"no matching manifest for|no match for platform|does not match the (?:specified|expected) platform|exec format error",
        kind: Build,
        class: Config,
        advice: "the base image is for another platform: check `build.platform` and the engine's \
            platform",
        examples: &[
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "no match for platform in manifest: not found",
            "exec /bin/sh: exec format error",
        ],
    },
    FailurePattern {
        pattern: r"unable to find user|unable to find group|no matching entries in (?:passwd|group) file|exec: \S+: |executable file not found|: permission denied: unknown|the input device is not a TTY",
        kind: Build,
        class: Code,
        advice: "",
        examples: &[
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/no/such/exec\": stat /no/such/exec: no such file or directory: unknown",
            "unable to find user nobody: no matching entries in passwd file",
            "unable to find user nobody: invalid argument",
        ],
    },
    FailurePattern {
        pattern: r"(?i)toomanyrequests|429 Too Many|pull rate limit",
        kind: Registry,
        class: Quota,
        advice: "the registry limits the request rate: log in, or use a mirror",
        examples: &[
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading",
            "unexpected status code [manifests latest]: 429 Too Many Requests",
        ],
    },
    FailurePattern {
        pattern: r"(?i)connection refused|no such host|i/o timeout|TLS handshake|connection reset|broken pipe|\bEOF$|unexpected EOF|server misbehaving|network is unreachable|no route to host|status(?: code)?:? ?(?:\[[^\]]*\]:? ?)?5\d\d\b|\b5\d\d (?:Internal Server|Bad Gateway|Service Unavailable|Gateway Time)|request canceled|context deadline exceeded|x509:|tls: |certificate|HTTP response to HTTPS client|blob upload (?:unknown|invalid)|Client\.Timeout",
        kind: Registry,
        class: Infrastructure,
        advice: "check whether the registry is running and reachable from the engine's machine",
        examples: &[
            "Get \"http://127.0.0.1:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused",
            "failed to do request: Head \"https://registry-1.docker.io/v2/library/x/manifests/1\": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host",
            "ADD failed: Get \"http://127.0.0.1:5999/x\": dial tcp 127.0.0.1:5999: connect: connection refused",
            "received unexpected HTTP status: 503 Service Unavailable",
            "unexpected status from HEAD request to http://127.0.0.1:5000/v2/x: 502 Bad Gateway",
            "Get \"https://r.example.org/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            "Get \"https://r.example.org/v2/\": http: server gave HTTP response to HTTPS client",
            "EOF",
        ],
    },
    // Everybody may read an official image: what Docker Hub denies there does not exist.
    FailurePattern {
        pattern: r"pull access denied for (?:docker\.io/)?(?:library/)?[\w.-]+, |docker\.io/library/[\w.-]+(?:[:@]\S+)?: (?:pull access denied|not found)",
        kind: Build,
        class: Config,
        advice: "no official image has this name",
        examples: &[
            "pull access denied for nod, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            "failed to resolve source metadata for docker.io/library/nod:20: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
        ],
    },
    FailurePattern {
        pattern: r"(?i)unauthorized|authentication required|no basic auth credentials|access .*denied|^denied|: denied|403 Forbidden|401 Unauthorized|insufficient_scope|authorization failed|invalid username/password|incorrect username or password|failed to (?:authorize|fetch (?:anonymous|oauth) token)",
        kind: Registry,
        class: Auth,
        advice: "the registry rejected the credentials: log in with an account that has access to \
            this repository",
        examples: &[
            "unauthorized: authentication required",
            "no basic auth credentials",
            "denied: requested access to the resource is denied",
            "pull access denied for team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            "unexpected status from HEAD request to https://r.example.org/v2/a/manifests/1: 401 Unauthorized",
            "failed to authorize: failed to fetch anonymous token: unexpected status: 403 Forbidden",
            "unexpected status code [manifests 1]: 401 Unauthorized",
        ],
    },
    FailurePattern {
        pattern: r"manifest (?:for \S+ )?(?:not found|unknown)|MANIFEST_UNKNOWN|NAME_UNKNOWN|name unknown|repository .*(?:not found|does not exist|name not known)|: not found$|404 Not Found|No such image",
        kind: Build,
        class: Config,
        advice: "no image has this name and tag",
        examples: &[
            "manifest for 127.0.0.1:5000/glimg/missing:1 not found: manifest unknown: manifest unknown",
            "127.0.0.1:5000/glimg/missing:1: not found",
            "failed to resolve source metadata for 127.0.0.1:5000/x:1: 127.0.0.1:5000/x:1: not found",
            "name unknown: The repository with name 'x' does not exist in the registry",
        ],
    },
    FailurePattern {
        pattern: r"cannot allocate memory|signal: killed|(?i:out of memory)",
        kind: Build,
        class: Quota,
        advice: "the build needs more memory than the engine has",
        examples: &["fork/exec /proc/self/exe: cannot allocate memory"],
    },
    FailurePattern {
        pattern: r"OCI runtime|shim task|\brunc\b|containerd|context canceled|failed to mount|overlay2?|input/output error|read-only file system|iptables|failed to create endpoint|cgroup|layer does not exist|session .*(?:healthcheck|timeout)|no active session",
        kind: Engine,
        class: Infrastructure,
        advice: "check the engine's log",
        examples: &[
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to apply cgroup configuration: unknown",
            "failed to create endpoint x on network bridge: iptables failed",
            "context canceled",
            "layer does not exist",
        ],
    },
];

static TABLE: LazyLock<Vec<(Regex, &FailurePattern)>> = LazyLock::new(|| {
    FAILURE_PATTERNS.iter().filter_map(|row| Some((Regex::new(row.pattern).ok()?, row))).collect()
});

/// The first row that knows a complaint.
pub(super) fn row(complaint: &str) -> Option<&'static FailurePattern> {
    TABLE.iter().find(|(regex, _)| regex.is_match(complaint)).map(|(_, row)| *row)
}

/// What is said of memory by a step that was killed or gave up, read from the top.
///
/// A runtime that reaches the heap limit it set itself can be given a larger one in the
/// repository (`--max-old-space-size`, `-Xmx`), so the author may try: `config`. A process that
/// the kernel kills has met a limit of the machine or the engine, which no patch raises: `quota`.
const MEMORY: &[(&str, FailureClass)] = &[
    (r"(?i)heap out of memory|reached heap limit|java heap space|OutOfMemoryError", Config),
    (
        r"(?m)^\s*Killed\s*$|\bKilled\b.*\bsigkill\b|[Ee]rror 137\b|[Ee]xit (?:code|status):? 137|signal: killed",
        Quota,
    ),
];

/// The status by which a shell reports SIGKILL, which is how the kernel ends what has used up
/// its memory.
const KILLED: i32 = 137;

/// The class of a `RUN` that exited with `status`, having printed this.
pub(super) fn class_of_run(status: i32, printed: &Extraction) -> FailureClass {
    static TABLE: LazyLock<Vec<(Regex, FailureClass)>> = LazyLock::new(|| {
        MEMORY
            .iter()
            .filter_map(|(pattern, class)| Some((Regex::new(pattern).ok()?, *class)))
            .collect()
    });
    let said = printed.excerpts.iter().filter(|excerpt| excerpt.kind == "out-of-memory");
    let said: Vec<&str> = said.map(|excerpt| excerpt.text.as_str()).collect();
    let told = TABLE
        .iter()
        .find(|(regex, _)| said.iter().any(|text| regex.is_match(text)))
        .map(|(_, class)| *class);
    match (status, told) {
        (_, Some(class)) => class,
        (KILLED, None) => Quota,
        (_, None) if printed.class == Unknown => Code,
        (_, None) => printed.class,
    }
}

/// The exit status in a builder's complaint about a `RUN`; the command that stands before it may
/// say anything, so only the end counts.
pub(super) fn exit_status(complaint: &str) -> Option<i32> {
    static END: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?s)(?:^The command '.*' returned a non-zero code|^executor failed running \[.*\]: exit code|^process .* did not complete successfully: exit code): (\d{1,3})(?:: [^']{0,200})?$",
        )
        .ok()
    });
    END.as_ref()?.captures(complaint)?.get(1)?.as_str().parse().ok()
}

/// A complaint without what BuildKit says before every one, and without a `RUN`'s command, which
/// may say anything.
pub(super) fn bare(complaint: &str) -> &str {
    let mut rest = complaint.trim();
    for before in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "rpc error: code = Unknown desc = ",
    ] {
        rest = rest.strip_prefix(before).unwrap_or(rest);
    }
    rest
}

/// What a complaint about a `RUN` that has no exit status says after the command.
pub(super) fn after_command(complaint: &str) -> &str {
    complaint
        .strip_prefix("executor failed running [")
        .and_then(|rest| rest.rsplit_once("]: "))
        .or_else(|| complaint.split_once("did not complete successfully: "))
        .map_or(complaint, |(_, after)| after)
}

/// What in a complaint differs from one build to the next, or names a place inside the engine that
/// nobody can look at, and what stands there instead.
const PASSING: &[(&str, &str)] = &[
    (r"/\S*/(?:buildkit-mount\d+|docker-builder\d+|overlay2/[0-9a-z]+/merged)/", ""),
    (r" of ref [0-9a-z]+::[0-9a-z]+", ""),
];

/// A complaint as it would be the next time too.
pub(super) fn tidy(complaint: &str) -> String {
    static TABLE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        PASSING.iter().filter_map(|(find, put)| Some((Regex::new(find).ok()?, *put))).collect()
    });
    TABLE
        .iter()
        .fold(complaint.to_owned(), |text, (find, put)| find.replace_all(&text, *put).into_owned())
}

/// The line of the Dockerfile that a complaint names.
pub(super) fn named_line(complaint: &str) -> Option<u64> {
    static LINE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^(?i:dockerfile) parse error (?:on )?line (\d+)").ok());
    LINE.as_ref()?.captures(complaint)?.get(1)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_evidence::{ExtractLimits, Redactor, extract};

    #[test]
    fn every_row_takes_its_own_examples() {
        assert_eq!(TABLE.len(), FAILURE_PATTERNS.len(), "a pattern does not compile");
        for own in FAILURE_PATTERNS {
            assert!(!own.examples.is_empty(), "{}", own.pattern);
            for example in own.examples {
                let found = row(bare(example)).map(|row| row.pattern);
                assert_eq!(found, Some(own.pattern), "{example}");
            }
        }
        assert!(row("something nobody has seen").is_none());
    }

    #[test]
    fn memory_is_quota_unless_the_repository_sets_the_limit() {
        let heap =
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory";
        for (status, printed, expect) in [
            (134, heap, Config),
            (137, heap, Config),
            (137, "compiling...\n", Quota),
            (137, "Killed\n", Quota),
            (2, "Killed\nmake: *** [Makefile:3: all] Error 137\n", Quota),
            (1, "java.lang.OutOfMemoryError: Java heap space\n", Config),
            (1, "src/app.ts(12,5): error TS2322: Type 'a' is not assignable to type 'b'.\n", Code),
            (3, "nothing telling\n", Code),
            (1, "npm ERR! network read ECONNRESET\n", Infrastructure),
            (1, "dd: error writing 'x': No space left on device\n", Infrastructure),
        ] {
            let printed_there =
                extract(printed.as_bytes(), ExtractLimits::default(), &Redactor::default());
            assert_eq!(class_of_run(status, &printed_there), expect, "{status} {printed}");
        }
    }

    #[test]
    fn an_exit_status_is_read_from_the_end_only() {
        for (complaint, expect) in [
            ("The command '/bin/sh -c exit 3' returned a non-zero code: 3", Some(3)),
            (
                "The command '/bin/sh -c echo \"exit code: 7\" && false' returned a non-zero code: 1",
                Some(1),
            ),
            ("executor failed running [/bin/sh -c false]: exit code: 1", Some(1)),
            (
                "process \"/bin/sh -c false\" did not complete successfully: exit code: 137: signal: killed",
                Some(137),
            ),
            (
                "executor failed running [/bin/sh -c x]: unable to find user nobody: invalid argument",
                None,
            ),
            ("exit code: 5", None),
        ] {
            assert_eq!(exit_status(complaint), expect, "{complaint}");
        }
        for (complaint, expect) in [
            (
                "failed to walk /var/lib/docker/tmp/buildkit-mount209898166/dist: lstat /var/lib/docker/tmp/buildkit-mount209898166/dist: no such file or directory",
                "failed to walk dist: lstat dist: no such file or directory",
            ),
            (
                "failed to calculate checksum of ref 8x2::9zq: \"/nothing\": not found",
                "failed to calculate checksum: \"/nothing\": not found",
            ),
        ] {
            assert_eq!(tidy(complaint), expect);
        }
        let user = "executor failed running [/bin/sh -c echo denied]: unable to find user nobody: invalid argument";
        assert_eq!(after_command(user), "unable to find user nobody: invalid argument");
        let parse = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUM";
        assert_eq!(named_line(bare(parse)), Some(2));
        assert_eq!(named_line("dockerfile parse error on line 12: x"), Some(12));
    }
}
