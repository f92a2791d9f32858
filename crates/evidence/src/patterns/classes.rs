//! What words tell of the class of a failure, whoever says them.

use greenloop_model::FailureClass::{self, Auth, Code, Config, Infrastructure, Quota, Timeout};

/// A row of the table: the first that matches a line decides.
pub(crate) struct ClassPattern {
    /// The class; `None` when the row only raises a suspicion.
    pub class: Option<FailureClass>,
    /// Whether it may well pass when it is run again.
    pub flaky: bool,
    /// Lower-case literals, one of which is on every line that matches; none where any may.
    pub needs: &'static [&'static str],
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
    "statuscode: 40",
    "http 401",
    "http 403",
    "terminal prompts disabled",
    "resource not accessible by integration",
    "not accessible by",
    "failed to authorize",
    "failed to authenticate",
    "authenticationfailed",
    "response 401",
    "response 403",
    "expiredtoken",
    "accessdenied",
    "unauthenticated",
    "permission_denied",
    "invalidclienttokenid",
    "signaturedoesnotmatch",
    "access token",
    "not logged in",
    "invalid api key",
    "invalid username",
];
pub(super) const AUTH: &str = r"(?i)\bunauthorized\b|failed to (?:authorize|authenticate)|AuthenticationFailed|\bRESPONSE 40[13]\b|\bExpiredToken|\bAccessDenied|\bunauthenticated\b|\bPERMISSION_DENIED\b|InvalidClientTokenId|SignatureDoesNotMatch|no valid credentials?\b|failed to (?:refresh|retrieve|get) (?:\w+ )?credentials|could not acquire access token|not logged in\b|authentication (?:required|failed|error)|permission denied \((?:publickey|keyboard|password|gssapi)|requested access to the resource is denied|access denied|403 forbidden|http(?:/\d\S*)? ?40[13]|status(?: ?code)?:? 40[13]|returned error: 40[13]|invalid (?:credentials|token|api key|username or password)|bad credentials|could not read (?:username|password)|ENEEDAUTH|\bE40[13]\b|login failed|not authorized|no basic auth credentials|token (?:has )?expired|expired token|AADSTS\d+|AuthorizationFailed|insufficient_scope|terminal prompts disabled|resource not accessible by|unable to (?:locate|find|load) credentials|^denied: |: denied: |\(forbidden\)";

/// So many requests that waiting helps.
pub(super) const RATE_NEEDS: &[&str] = &[
    "toomanyrequests",
    "too many requests",
    "rate limit",
    "rate-limit",
    "error: 429",
    "http 429",
    "status code 429",
    "status code: 429",
    "statuscode: 429",
    "concurrency limit",
    "throttl",
    "resource_exhausted",
];
pub(super) const RATE: &str = r"(?i)toomanyrequests|too many requests|rate[ -]limit(?:ed| exceeded| reached)?\b|returned error: 429|http(?:/\d\S*)? ?429|status(?: ?code)?:? 429|concurrency limit|\bthrottl(?:ed|ing)|\bRESOURCE_EXHAUSTED\b";

/// What was granted is used up.
pub(super) const QUOTA_NEEDS: &[&str] = &[
    "quota",
    "usage limit",
    "limitexceeded",
    "limit exceeded",
    "spending limit",
    "account payments",
    "billing",
    "out of credits",
    "skunotavailable",
    "allocationfailed",
    "insufficientinstancecapacity",
    "insufficient capacity",
    "exceeded your current",
    "lfs budget",
    "enough resources available",
    "resource_pool_exhausted",
];
pub(super) const QUOTA: &str = r"(?i)quota (?:['\x22`]?[\w.:/-]+['\x22`]? )?(?:has been |was |is )?(?:exceeded|reached|hit|exhausted|used up)|\bover its (?:\w+ ){0,3}quota|exceeded its LFS budget|not have enough resources available|RESOURCE_POOL_EXHAUSTED|exceed(?:ed|s|ing)? (?:[\w-]+ ){0,5}quota|quota\w*exceeded|insufficient\w*[ _]?(?:\w+ ){0,2}\w*quota|usage limit|(?:vcpus?|instances?|volumes?|snapshots?|address(?:es)?|vpcs?|subnets?|gateways?|buckets?|clusters?|services?|accounts?|storage|resources?|requests?|groups?|rules?|keys?|roles?|policies|nodes?|cores?|\b)LimitExceeded(?:Exception)?\b|(?:storage|vcpu|core|account|plan|build minutes?) limit exceeded|spending limit|account payments have failed|billing (?:is )?(?:not enabled|disabled)|out of credits|SkuNotAvailable|\bAllocationFailed|InsufficientInstanceCapacity|insufficient capacity|exceeded your current \w+";

pub(super) const DISK_NEEDS: &[&str] = &[
    "no space left",
    "enospc",
    "read-only file system",
    "input/output error",
    "disk full",
    "not enough space",
];
pub(super) const DISK: &str = r"(?i)no space left on device|\bENOSPC\b|read-only file system|\binput/output error|disk (?:is )?full|not enough (?:disk )?space";

pub(super) const NETWORK_NEEDS: &[&str] = &[
    "econnreset",
    "econnrefused",
    "etimedout",
    "eai_again",
    "enotfound",
    "enetunreach",
    "ehostunreach",
    "read timeout",
    "connect timeout",
    "connection was",
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
    "statuscode: 50",
    "can't reach database server",
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
pub(super) const NETWORK: &str = r"(?i)\b(?:ECONNRESET|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ENETUNREACH|EHOSTUNREACH)\b|could not resolve (?:host|proxy)|(?:failure in )?name resolution|name or service not known|no such host|connection (?:was )?(?:reset|refused|timed out|aborted|broken)|tls handshake|502 bad gateway|503 service|service unavailable|gateway time-?out|returned error: 50\d|status(?: ?code)?:? 50[234]|can't reach database server|http(?:/\d\S*)? ?50[234]|network is unreachable|no route to host|i/o timeout|remote end hung up|early eof|SSL_ERROR|ssl connect error|socket hang up|(?:socket|read|connect) time(?:d )?out|cannot connect to the docker daemon|received a shutdown signal|lost communication with the server|\bunexpected eof\b|ProxyError|max retries exceeded|UnknownHostException|remote name could not be resolved|spurious network error|failed to connect to|unable to connect to";

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
    "timeout waiting",
    "timeout exceeded",
    "timed out (",
    "exceeded timeout",
    "execution took longer",
];
pub(super) const TIMEOUT: &str = r"(?i)timed out after|timeout of \d+ ?m?s exceeded|deadline exceeded|exceeded its progress deadline|exceeded the maximum execution time|the operation was canceled|no output has been received in the last|build timed out|time(?:d )?out waiting|timed out \(\d|timeout exceeded|exceeded timeout|execution took longer than";

/// The table, in order.
pub(crate) const CLASS_PATTERNS: &[ClassPattern] = &[
    ClassPattern { class: Some(Quota), flaky: true, needs: RATE_NEEDS, pattern: RATE },
    ClassPattern { class: Some(Quota), flaky: false, needs: QUOTA_NEEDS, pattern: QUOTA },
    ClassPattern { class: Some(Infrastructure), flaky: false, needs: DISK_NEEDS, pattern: DISK },
    ClassPattern {
        class: Some(Infrastructure),
        flaky: false,
        needs: &["state lock", "daemon"],
        pattern: r"(?i)error acquiring the state lock|daemon (?:has )?disappeared",
    },
    // A missing package or image and a broken build say so among network words.
    ClassPattern {
        class: Some(Code),
        flaky: false,
        needs: &[],
        pattern: r"(?i)there (?:are|were) (?:test failures|failing tests)|compilation failure|compilation error|\bE404\b|\bERESOLVE\b|\bETARGET\b|EJSONPARSE|missing script|unable to resolve dependency tree|no (?:matching (?:distribution|version)|version matching)|AAPT: error|could not find (?:artifact|gem|a version)|manifest unknown|unable to locate package|unknown revision|no matching package|failed to select a version|couldn't find package|lockfile|lock file|checkstyle|There were \d+ errors",
    },
    // Nobody renews a certificate by a patch.
    ClassPattern {
        class: Some(Infrastructure),
        flaky: false,
        needs: &["certificate", "cert_has_expired", "pkix path"],
        pattern: r"(?i)certificate (?:has|is) (?:expired|not yet valid)|certificate (?:has )?expired|CERT_HAS_EXPIRED|x509: certificate|certificate verif(?:y|ication) failed|SSL certificate problem|unable to (?:get|verify) (?:local issuer|the first) certificate|self[- ]signed certificate|PKIX path (?:building|validation) failed",
    },
    ClassPattern {
        class: Some(Infrastructure),
        flaky: true,
        needs: &["addr", "already allocated", "already in use"],
        pattern: r"(?i)EADDRINUSE|address already in use|port \S*\s?(?:is |was )?already (?:in use|allocated)",
    },
    ClassPattern { class: Some(Auth), flaky: false, needs: AUTH_NEEDS, pattern: AUTH },
    ClassPattern {
        class: Some(Infrastructure),
        flaky: true,
        needs: NETWORK_NEEDS,
        pattern: NETWORK,
    },
    ClassPattern {
        class: Some(Infrastructure),
        flaky: true,
        needs: &["could not transfer", "hudson.remoting", "agent ", "runner has been"],
        pattern: r"(?i)could not transfer artifact|hudson\.remoting|agent (?:was|is) (?:disconnected|offline)|runner has been lost",
    },
    ClassPattern { class: Some(Timeout), flaky: true, needs: TIMEOUT_NEEDS, pattern: TIMEOUT },
    ClassPattern {
        class: Some(Config),
        flaky: false,
        needs: &["memory", "heap", "env", "config", "settings", ".y", ".toml", ".ini", "oomkilled"],
        pattern: r"(?i)OOMKilled|heap out of memory|java heap space|(?:environment variable|env var)\b.{0,60}(?:not set|missing|required|not found|must be set)|missing required (?:environment|config)|config(?:uration)? file .{0,80}(?:not found|does not exist|missing)|ENOENT.*(?:config|\.env\b|settings)|(?:no such file or directory|FileNotFound).*(?:config|settings|\.env\b|\.ya?ml|\.toml|\.ini)|os\.environ",
    },
    // A tool that is not installed, a file whose owner or mode is not what it has to be.
    ClassPattern {
        class: Some(Config),
        flaky: false,
        needs: &[
            "not found",
            "permission denied",
            "eacces",
            "eperm",
            "dubious ownership",
            "not recognized as",
        ],
        pattern: r"(?i)command not found|\b(?:ba|da|z|k)?sh: (?:(?:line )?\d+: )?[\w./-]+: not found$|executable file not found|is not recognized as|dubious ownership|: permission denied$|\b(?:EACCES|EPERM)\b",
    },
    ClassPattern {
        class: None,
        flaky: true,
        needs: &["flak", "deadlock", "race", "time", "timeout"],
        pattern: r"(?i)\bflak(?:y|iness)\b|\bdeadlock\b|data race|timed? ?out\b|\btimeout\b|\brace condition\b",
    },
];
