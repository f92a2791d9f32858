//! What words tell of the class of a failure, whoever says them.

use greenloop_model::FailureClass::{self, Auth, Code, Config, Infrastructure, Quota, Timeout};

/// A row of the table: the first that matches a line decides.
pub(crate) struct VerdictRow {
    /// The class; `None` when the row only raises a suspicion.
    pub class: Option<FailureClass>,
    /// Whether it may well pass when it is run again.
    pub flaky: bool,
    /// The expression.
    pub pattern: &'static str,
}

pub(super) const AUTH_NEEDS: &[&str] = &[
    "unauthorized",
    "authentication",
    "permission denied (",
    "access denied",
    "access to the resource",
    "forbidden",
    "credential",
    "could not read username",
    "could not read password",
    "eneedauth",
    "e401",
    "e403",
    "login failed",
    "aadsts",
    "not authorized",
    "error: 401",
    "error: 403",
    "no basic auth",
    "authorizationfailed",
    "invalid token",
    "token expired",
    "denied:",
    "insufficient_scope",
    "status code 401",
    "status code 403",
    "status code: 401",
    "status code: 403",
    "http 401",
    "http 403",
    "terminal prompts disabled",
    "resource not accessible by integration",
    "not accessible by",
    "failed to authorize",
];
pub(super) const AUTH: &str = r"(?i)\bunauthorized\b|failed to authorize|authentication (?:required|failed|error)|permission denied \((?:publickey|keyboard|password|gssapi)|requested access to the resource is denied|access denied|403 forbidden|http(?:/\d\S*)? ?40[13]|status(?: code)?:? 40[13]|returned error: 40[13]|invalid (?:credentials|token|api key|username or password)|bad credentials|could not read (?:username|password)|ENEEDAUTH|\bE40[13]\b|login failed|not authorized|no basic auth credentials|token (?:has )?expired|expired token|AADSTS\d+|AuthorizationFailed|insufficient_scope|terminal prompts disabled|resource not accessible by|unable to (?:locate|find|load) credentials|^denied: |: denied: |\(forbidden\)";

pub(super) const QUOTA_NEEDS: &[&str] = &[
    "toomanyrequests",
    "too many requests",
    "rate limit",
    "rate-limit",
    "quota",
    "usage limit",
    "error: 429",
    "http 429",
    "status code 429",
    "status code: 429",
    "insufficient_quota",
    "concurrency limit",
];
pub(super) const QUOTA: &str = r"(?i)toomanyrequests|too many requests|rate[ -]limit(?:ed| exceeded| reached)?\b|quota (?:exceeded|reached)|exceed(?:ed|s)? (?:\w+ ){0,3}quota|quotaexceeded|insufficient_quota|usage limit|returned error: 429|http(?:/\d\S*)? ?429|status(?: code)?:? 429|concurrency limit";

pub(super) const DISK_NEEDS: &[&str] = &[
    "no space left",
    "enospc",
    "disk quota exceeded",
    "read-only file system",
    "input/output error",
    "disk full",
    "not enough space",
];
pub(super) const DISK: &str = r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded|read-only file system|\binput/output error|disk (?:is )?full|not enough (?:disk )?space";

pub(super) const NETWORK_NEEDS: &[&str] = &[
    "econnreset",
    "econnrefused",
    "etimedout",
    "eai_again",
    "enotfound",
    "enetunreach",
    "could not resolve",
    "name resolution",
    "name or service not known",
    "no such host",
    "connection reset",
    "connection refused",
    "connection timed out",
    "tls handshake",
    "bad gateway",
    "service unavailable",
    "gateway time",
    "returned error: 50",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "remote end hung up",
    "early eof",
    "could not transfer artifact",
    "ssl_error",
    "socket hang up",
    "socket timeout",
    "read timed out",
    "connect timed out",
    "connection aborted",
    "failed to download",
    "cannot connect to the docker daemon",
    "shutdown signal",
    "lost communication",
    "unexpected eof",
    "status code 50",
    "status code: 50",
    "http 50",
    "proxyerror",
    "max retries exceeded",
    "unknownhostexception",
    "the remote name could not be resolved",
    "spurious network error",
    "failed to connect to",
    "unable to connect",
    "error: 50",
    "ssl connect error",
    "connection broken",
];
pub(super) const NETWORK: &str = r"(?i)\b(?:ECONNRESET|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH)\b|could not resolve (?:host|proxy)|(?:failure in )?name resolution|name or service not known|no such host|connection (?:was )?(?:reset|refused|timed out|aborted|broken)|tls handshake|502 bad gateway|503 service|service unavailable|gateway time-?out|returned error: 50\d|status(?: code)?:? 50[234]|http(?:/\d\S*)? ?50[234]|network is unreachable|no route to host|i/o timeout|remote end hung up|early eof|SSL_ERROR|ssl connect error|socket hang up|(?:socket|read|connect) time(?:d )?out|cannot connect to the docker daemon|received a shutdown signal|lost communication with the server|\bunexpected eof\b|ProxyError|max retries exceeded|UnknownHostException|remote name could not be resolved|spurious network error|failed to connect to|unable to connect to";

pub(super) const TIMEOUT_NEEDS: &[&str] = &[
    "timed out after",
    "timeout of ",
    "deadline exceeded",
    "exceeded its progress deadline",
    "maximum execution time",
    "operation was canceled",
    "no output has been received",
    "build timed out",
    "timed out waiting",
    "timeout exceeded",
    "timed out (",
    "exceeded timeout",
    "execution took longer",
];
pub(super) const TIMEOUT: &str = r"(?i)timed out after|timeout of \d+ ?m?s exceeded|deadline exceeded|exceeded its progress deadline|exceeded the maximum execution time|the operation was canceled|no output has been received in the last|build timed out|timed out waiting|timeout exceeded|exceeded timeout|execution took longer than";

/// The table, in order.
pub(crate) const VERDICTS: &[VerdictRow] = &[
    VerdictRow { class: Some(Quota), flaky: true, pattern: QUOTA },
    VerdictRow { class: Some(Infrastructure), flaky: false, pattern: DISK },
    // A missing package or image and a broken build say so among network words.
    VerdictRow {
        class: Some(Code),
        flaky: false,
        pattern: r"(?i)there (?:are|were) (?:test failures|failing tests)|compilation failure|compilation error|\bE404\b|\bERESOLVE\b|\bETARGET\b|EJSONPARSE|missing script|unable to resolve dependency tree|no matching (?:distribution|version)|could not find (?:artifact|gem|a version)|manifest unknown|unable to locate package|unknown revision|no matching package|failed to select a version|couldn't find package|lockfile|lock file|checkstyle|There were \d+ errors",
    },
    VerdictRow { class: Some(Auth), flaky: false, pattern: AUTH },
    VerdictRow { class: Some(Infrastructure), flaky: true, pattern: NETWORK },
    VerdictRow {
        class: Some(Infrastructure),
        flaky: true,
        pattern: r"(?i)could not transfer artifact|hudson\.remoting|agent (?:was|is) (?:disconnected|offline)|runner has been lost",
    },
    VerdictRow { class: Some(Timeout), flaky: true, pattern: TIMEOUT },
    VerdictRow {
        class: Some(Config),
        flaky: false,
        pattern: r"(?i)heap out of memory|java heap space|(?:environment variable|env var)\b.{0,60}(?:not set|missing|required|not found|must be set)|missing required (?:environment|config)|config(?:uration)? file .{0,80}(?:not found|does not exist|missing)|ENOENT.*(?:config|\.env\b|settings)|(?:no such file or directory|FileNotFound).*(?:config|settings|\.env\b|\.ya?ml|\.toml|\.ini)|os\.environ",
    },
    VerdictRow {
        class: None,
        flaky: true,
        pattern: r"(?i)EADDRINUSE|address already in use|port \S*\s?(?:is )?already (?:in use|allocated)|\bflak(?:y|iness)\b|\bdeadlock\b|data race|timed? ?out\b|\btimeout\b|\brace condition\b",
    },
];
