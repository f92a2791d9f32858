//! What a crash says about its own cause: one that waiting can change, one that no waiting can
//! change, or neither.
//!
//! A table of kinds with examples in the words of the languages and services that programs are
//! written in; a test checks that every example comes to its own row. The first row that fits a
//! line counts, so the special stands before the general. Where lines of one log fit rows of
//! several kinds, the one further down decides: a program writes last what it dies of. How it ends
//! (it shuts down, its connections are closed) decides only where nothing else does.
//!
//! Words alone cannot tell much: a panic or a refused permission may come of what another part of
//! the release has yet to do. Only what speaks of the program itself (its code, a variable by its
//! name, that it cannot be executed) lasts for certain; the rest lasts as far as nothing else in
//! the release moves (see `movement`).

use std::sync::LazyLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

/// What a crash's words say about waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something else has to come up, arrive or let go first.
    Waits(&'static str),
    /// It comes again at every start, however long one waits.
    Lasts(&'static str),
    /// It comes again at every start, unless something else in the release changes it.
    Likely(&'static str),
    /// The words say neither.
    Unclear,
}

/// How a row is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Waiting can change it.
    Waits,
    /// It cannot.
    Lasts,
    /// It cannot, unless it is somebody else's doing.
    Likely,
    /// It looks like waiting, unless another line says what is wrong.
    Hints,
    /// A program that stops in its own code: it is likely to last, unless a remote name is in its
    /// words.
    Panics,
    /// How a program ends, whatever it dies of: it looks like waiting where no other line says
    /// anything.
    Ends,
}

struct Row {
    id: &'static str,
    weight: Weight,
    /// Regular expressions, in any case; one of them fits.
    says: &'static [&'static str],
    /// None of these does.
    but_not: &'static [&'static str],
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that checks them"))]
    examples: &'static [&'static str],
}

/// An environment variable's name, as nearly everybody writes one.
const VARIABLE: &str = r"(?-i:\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b)";

static TABLE: &[Row] = &[
    Row {
        id: "connection",
        weight: Weight::Waits,
        says: &[
            r"connection ?(?:was |is )?(?:refused|reset|aborted|lost|failed|failure|error|attempt failed)",
            r"\bECONN(?:REFUSED|RESET|ABORTED)\b|\bEPIPE\b|\bEHOST(?:UNREACH|DOWN)\b|\bENETUNREACH\b",
            r"actively refused|broken pipe|no route to host|socket hang up|server (?:has )?(?:gone away|closed the connection)",
            r"(?:host|network|server|service|broker|peer|endpoint|upstream)s? (?:is |are |was )?(?:currently )?(?:unreachable|down|away)",
            r"(?:can ?not|can't|could ?n[o']t|failed to|unable to|failure to) (?:re)?(?:connect|dial|reach|contact|ping|establish)",
            r"connect(?:ion)?(?:error|exception|failure)\b|communications link failure|no brokers? available|error connecting|failed connecting",
        ],
        but_not: &[],
        examples: &[
            "dial tcp 10.0.0.5:5432: connect: connection refused",
            "Error: connect ECONNREFUSED 10.96.14.2:5432",
            "java.net.ConnectException: Connection refused",
            "Caused by: com.mysql.cj.exceptions.CJCommunicationsException: Communications link failure",
            "psycopg2.OperationalError: could not connect to server: Connection refused",
            "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
            "System.Net.Sockets.SocketException (111): Connection refused",
            "No connection could be made because the target machine actively refused it.",
            "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379.",
            "PG::ConnectionBad: could not connect to server",
            "SQLSTATE[HY000] [2006] MySQL server has gone away",
            "kafka.errors.NoBrokersAvailable: no brokers available",
            "Error: getsockopt: no route to host",
            "pq: failed to connect to `host=db user=app`",
        ],
    },
    Row {
        id: "name",
        weight: Weight::Waits,
        says: &[
            r"no such host|\bNXDOMAIN\b|\bSERVFAIL\b|\bENOTFOUND\b|\bEAI_(?:AGAIN|NONAME|FAIL|NODATA)\b|\bgai_?error\b",
            r"name or service not known|name does not resolve|nodename nor servname|name resolution|server misbehaving",
            r"(?:can ?not|can't|could ?n[o']t|failed to|unable to) (?:resolve|translate|look ?up|find)\b[^\n]{0,40}\b(?:host ?name|host|address|dns|name)\b",
            r"UnknownHostException|no address associated with host|php_network_getaddresses|getaddrinfo|host (?:was )?not found|unknown host|bad address '",
        ],
        but_not: &[],
        examples: &[
            "dial tcp: lookup db on 10.96.0.10:53: no such host",
            "Error: getaddrinfo ENOTFOUND db",
            "Error: getaddrinfo EAI_AGAIN redis",
            "java.net.UnknownHostException: db: Name or service not known",
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "could not translate host name \"db\" to address: Name or service not known",
            "SQLSTATE[HY000] [2002] php_network_getaddresses: getaddrinfo failed",
            "failed to lookup address information: Name does not resolve",
            "System.Net.Sockets.SocketException (00000001): No such host is known",
            "curl: (6) Could not resolve host: vault",
            "wget: bad address 'db:8080'",
            "** server can't find db.shop.svc.cluster.local: NXDOMAIN",
        ],
    },
    Row {
        id: "not-there-yet",
        weight: Weight::Waits,
        says: &[
            r"\b(?:relation|table|view|column|database|schema|catalog|keyspace|collection|bucket|container|topic|queue|exchange|vhost|stream|index|sequence|role|user|extension|tenant|namespace|partition|group|leader|lease|secret|configmap)s?\b[^\n]{0,60}(?:does ?n[o']t exist|do(?:es)? not exist|(?:is|are) missing)",
            r"\b(?:relation|table|database|schema|keyspace|collection|bucket|topic|queue)s?\b[^\n]{0,20}\bnot found",
            r"no such (?:table|column|database|bucket|topic|collection|index|keyspace|queue)|unknown (?:database|table|column|topic|collection)",
            r"UndefinedTable|NoSuchBucket|NoSuchTable|UnknownTopicOrPart|UNKNOWN_TOPIC|index_not_found|NamespaceNotFound|NOT_FOUND - no (?:queue|exchange)",
            r"\bORA-00942\b|invalid object name|\b42P01\b|\b3D000\b|invalid catalog name|base table or view not found",
            r"migrations?\b[^\n]{0,30}\b(?:pending|missing|not (?:been )?(?:applied|run)|outstanding)|(?:pending|unapplied|outstanding) migrations?",
            r"schema\b[^\n]{0,40}\b(?:behind|out of date|outdated|not up to date|too old|mismatch|not initiali[sz]ed|expected|needed|required)|permission denied for (?:table|relation|schema|sequence|database)",
        ],
        but_not: &[],
        examples: &[
            "ERROR: relation \"vehicles\" does not exist at character 15",
            "FATAL: database \"shop\" does not exist",
            "FATAL: role \"app\" does not exist",
            "sqlite3.OperationalError: no such table: vehicles",
            "ER_NO_SUCH_TABLE: Table 'shop.vehicles' doesn't exist",
            "ERROR 1049 (42000): Unknown database 'shop'",
            "NoSuchBucket: The specified bucket does not exist",
            "[Error] UnknownTopicOrPartition: This server does not host this topic-partition",
            "System.Data.SqlClient.SqlException: Invalid object name 'dbo.Vehicles'.",
            "ActiveRecord::PendingMigrationError: Migrations are pending.",
            "schema version 41 is behind, 42 is needed",
            "index_not_found_exception: no such index [vehicles]",
            "panic: table not found: vehicles",
            "error: schema is at version 3, expected 4",
        ],
    },
    Row {
        id: "starting-up",
        weight: Weight::Waits,
        says: &[
            r"(?:is |are |still )(?:currently )?(?:starting|booting|loading|initiali[sz]ing|recovering|warming up|being created|bootstrapping)",
            r"starting up|in recovery|recovery mode|\bLOADING\b[^\n]{0,20}(?:redis|dataset)|MASTERDOWN|CLUSTERDOWN",
            r"(?:not|n't) (?:yet |currently )?(?:ready|available|accepting|reachable|healthy|listening|started|initiali[sz]ed|synced|joined|elected|provisioned|running|up)\b",
            r"health(?: status)? is (?:red|yellow|unknown)|not ready|not yet|no healthy upstream|no (?:ready |available |live )?(?:endpoints?|nodes?|hosts?|servers?|upstreams?|replicas?)\b[^\n]{0,20}(?:available|found|alive|ready|up)",
            r"\bsealed\b|temporarily unavailable|bad gateway|gateway time-?out|StatusCode\.UNAVAILABLE|code = Unavailable",
            r"(?:status(?: ?code)?|http(?:/[\d.]+)?|returned|answered|response|got)[^\w\n]{0,3}(?:code |status )?50[234]\b|\b50[234] (?:service|server error|bad|gateway)",
        ],
        but_not: &["x509|certificate"],
        examples: &[
            "FATAL: the database system is starting up",
            "LOADING Redis is loading the dataset in memory",
            "database is not ready",
            "upstream connect: no healthy upstream",
            "Error: Vault is sealed",
            "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url",
            "rpc error: code = Unavailable desc = transport is closing",
            "config server answered 503",
            "the server is currently unable to handle the request: etcd is not ready",
            "schema registry is not yet available",
            "sidecar not ready, giving up",
        ],
    },
    Row {
        id: "elected",
        weight: Weight::Waits,
        says: &[
            r"no (?:leader|primary|master|quorum|coordinator)|not (?:the |a )?(?:leader|primary|master|writable)|lost (?:the )?(?:lease|leadership|quorum)|election|LEADER_NOT_AVAILABLE|NotWritablePrimary|NotLeader",
            r"(?:lock|lease)\b[^\n]{0,40}\b(?:held|taken|owned|busy|acquired by|in use)|already locked|is locked|database is locked|another (?:instance|process|replica|migration|node|pod)\b",
            r"(?:can ?not|can't|could ?n[o']t|failed to|unable to|waiting to) (?:acquire|obtain|get|take|become|elect)\b[^\n]{0,40}(?:lock|lease|leader|mutex|primary)",
            r"read[- ]?only (?:replica|transaction|mode|server)|too many (?:connections|clients|requests)|remaining connection slots|resource (?:busy|temporarily)|device or resource busy",
        ],
        but_not: &[],
        examples: &[
            "etcdserver: no leader",
            "MongoServerError: not primary and secondaryOk=false",
            "could not acquire lock: migration lock is held by web-0",
            "Another instance is running the migrations",
            "sqlite3.OperationalError: database is locked",
            "FATAL: sorry, too many clients already",
            "leader election lost",
            "liquibase.exception.LockException: Could not acquire change log lock.",
        ],
    },
    Row {
        id: "certificate",
        weight: Weight::Waits,
        says: &[
            r"not yet valid|CERT_NOT_YET_VALID|certificate (?:has expired|is not trusted)|unknown authority|certificate verify failed|unable to (?:get|verify)[^\n]{0,20}(?:issuer|certificate)|UNABLE_TO_(?:GET|VERIFY)",
            r"(?:no such file|not found|does not exist|ENOENT|missing|can ?not (?:open|load|read)|can't open|failed to (?:open|load|read))[^\n]{0,120}(?:\.(?:pem|crt|cer|key|p12|pfx|jks|keystore)\b|/(?:tls|certs?|ssl|pki|secrets?|vault|token)/)",
            r"(?:\.(?:pem|crt|cer|key|p12|pfx|jks|keystore)\b|/(?:tls|certs?|ssl|pki|secrets?|vault)/)[^\n]{0,80}(?:no such file|not found|does not exist|ENOENT|missing|is empty)",
        ],
        but_not: &[],
        examples: &[
            "x509: certificate has expired or is not yet valid: current time 2026-11-02 is before",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "open /etc/tls/tls.crt: no such file or directory",
            "Error: ENOENT: no such file or directory, open '/tls/server.key'",
            "FileNotFoundError: [Errno 2] No such file or directory: '/certs/ca.pem'",
        ],
    },
    Row {
        id: "reload",
        weight: Weight::Waits,
        says: &[
            r"(?:config(?:uration)?|certificates?|settings?|secrets?|credentials?|files?)\b[^\n]{0,40}\b(?:has |have |was |were )?(?:changed|rotated|renewed)\b",
        ],
        but_not: &[r"\b(?:must|should|needs?|cannot|can't|not)\b"],
        examples: &[
            "configuration changed on disk, restarting to apply it",
            "certificate was renewed, exiting for a restart",
        ],
    },
    Row {
        id: "setting",
        weight: Weight::Likely,
        says: &[
            r"(?:\benv(?:ironment)?\b(?: variables?)?|variables?|settings?|config(?:uration)?(?: (?:key|value|option|property|parameter|file))?|options?|parameters?|propert(?:y|ies)|arguments?|flags?|credentials?|api[ _-]?key|connection ?string|field)\b[^.\n]{0,60}\b(?:not (?:been )?(?:set|defined|specified|provided|configured|present|initiali[sz]ed)|unset|missing|required|undefined|empty|must (?:not )?be|NotPresent|not found)",
            r"(?:missing|required|undefined|unset|no|without|must (?:set|provide|specify|define)|(?:please|need to) (?:set|provide|specify|define)|unknown|invalid|bad)\b[^.\n]{0,40}\b(?:env(?:ironment)?(?: variables?)?|settings?|config(?:uration)?(?: (?:key|value|option|property|file))?|options?|parameters?|propert(?:y|ies)|argument|flag|api[ _-]?key|connection ?string)\b",
            r"could not resolve placeholder|parameter (?:null or )?not set|unbound variable|VarError|key not found: .|KeyError|undefined (?:array key|index)|field required|value cannot be null|has not been initialized",
        ],
        but_not: &[
            r"flag provided but not defined",
            r"(?:propert(?:y|ies)|reading|undefined is|null is)\b[^\n]{0,20}\b(?:of|reading|not an?) (?:undefined|null|function|object|')",
        ],
        examples: &[
            "required environment variable not found",
            "config key `listen` is missing",
            "error: no configuration file given",
            "Could not resolve placeholder 'db.url' in value \"${db.url}\"",
            "sh: 1: TOKEN: parameter not set",
            "called `Result::unwrap()` on an `Err` value: VarError",
            "KeyError (key not found: \"TOKEN\")",
            "Value cannot be null. (Parameter 'connectionString')",
            "The ConnectionString property has not been initialized.",
            "PHP Warning: Undefined array key \"token\"",
            "pydantic_core.ValidationError: 1 validation error for Settings: Field required",
            "FATAL no config",
        ],
    },
    Row {
        id: "cannot-run",
        weight: Weight::Lasts,
        says: &[
            r"exec format error|cannot execute|bad interpreter|error while loading shared libraries|applet not found|symbol lookup error|undefined symbol|version `GLIBC\w*[^']*' not found",
            r"^env: [^\n]*no such file or directory|unknown directive|command not found|executable file not found|^(?:/bin/)?(?:ba|da|a)?sh: (?:(?:line )?\d+: )?\S+: not found$|no main manifest attribute|could not find or load main class|You must install or update \.NET",
        ],
        but_not: &[],
        examples: &[
            "exec /app/server: exec format error",
            "/bin/sh: gunicorn: not found",
            "bash: line 1: serve: command not found",
            "./server: error while loading shared libraries: libpq.so.5: cannot open shared object file",
            "Error: Could not find or load main class com.example.App",
            "env: 'python': No such file or directory",
            "nginx: [emerg] unknown directive \"lisen\" in /etc/nginx/nginx.conf:3",
        ],
    },
    Row {
        id: "refused",
        weight: Weight::Likely,
        says: &[
            r"permission denied|\bEACCES\b|\bEPERM\b|operation not permitted|read-only file system|\bEROFS\b|AccessDeniedException|UnauthorizedAccessException",
            r"unknown (?:flag|option|argument|command|shorthand)|unrecogni[sz]ed (?:option|argument|command)|flag provided but not defined|illegal option|unexpected argument|invalid option|^usage: ",
        ],
        but_not: &[r"permission denied for (?:table|relation|schema|sequence|database)"],
        examples: &[
            "PermissionError: [Errno 13] Permission denied: '/data/app.db'",
            "Error: EACCES: permission denied, mkdir '/var/lib/app'",
            "Code: 403. Errors: * permission denied",
            "flag provided but not defined: -prot",
            "error: unexpected argument '--prot' found",
        ],
    },
    Row {
        id: "code",
        weight: Weight::Lasts,
        says: &[
            r"\b(?:SyntaxError|IndentationError|ParseError|ModuleNotFoundError|ImportError|LoadError|ClassNotFoundException|NoClassDefFoundError|UnsupportedClassVersionError|NoSuchMethodError|DllNotFoundException|NameError|ReferenceError)\b",
            r"no module named|cannot find (?:module|package)|MODULE_NOT_FOUND|cannot load such file|could not load file or assembly|class \S+ not found|call to undefined|(?:php )?parse error|syntax error",
        ],
        but_not: &[],
        examples: &[
            "ModuleNotFoundError: No module named 'flask'",
            "Error: Cannot find module 'express'",
            "SyntaxError: Unexpected token '}'",
            "java.lang.NoClassDefFoundError: org/postgresql/Driver",
            "cannot load such file -- sinatra (LoadError)",
            "PHP Fatal error: Uncaught Error: Class \"App\\Kernel\" not found",
            "Unhandled exception. System.IO.FileNotFoundException: Could not load file or assembly 'Npgsql'",
            "nginx: [emerg] syntax error, unexpected end of file",
        ],
    },
    Row {
        id: "waiting",
        weight: Weight::Hints,
        says: &[
            r"timed?[ -]?out\b|\bETIMEDOUT\b|deadline ?exceeded|timeout(?:error|exception)?\b|TimedOut",
            r"wait(?:ing|ed)? (?:for|until)|wait for|retry(?:ing)?\b|retries|\battempts\b|\battempt (?:\d|#|no)|after \d+ attempt|attempting to|try(?:ing)? again|giving up|unavailable",
        ],
        but_not: &[],
        examples: &[
            "context deadline exceeded",
            "java.util.concurrent.TimeoutException",
            "Error: Connect timeout after 5000ms",
            "kafka: client has run out of attempts",
            "gave up after 5 retries",
            "waiting for the schema",
            "upstream: service unavailable",
        ],
    },
    Row {
        id: "ending",
        weight: Weight::Ends,
        says: &[r"shutting down|connections? ?(?:was |were |is |are )?closed"],
        but_not: &[],
        examples: &[
            "FATAL: the database system is shutting down",
            "pq: connection closed",
            "shutting down",
        ],
    },
    Row {
        id: "panic",
        weight: Weight::Panics,
        says: &[
            r"panicked at|^panic: |runtime error:|^fatal error: |traceback \(most recent call last\)|exception in thread|unhandled (?:exception|rejection)|uncaught|segmentation fault|core dumped|terminate called|\bSIG(?:SEGV|ABRT|ILL|BUS)\b",
            r"assert(?:ion)? ?(?:failed|error)|nullpointerexception|nil pointer|null reference|index out of (?:range|bounds)|divi(?:de|sion) by zero|stack overflow|\b(?:TypeError|AttributeError|NoMethodError|IllegalStateException|IllegalArgumentException|InvalidOperationException|RuntimeError|ValueError)\b",
            r"(?:can ?not|can't|could ?n[o']t|failed to|unable to) (?:parse|decode|unmarshal|deserialize)|invalid (?:json|yaml|toml|xml)|\byaml: |did not find expected",
        ],
        but_not: &[],
        examples: &[
            "thread 'main' panicked at src/main.rs:7:20:",
            "panic: runtime error: invalid memory address or nil pointer dereference",
            "Traceback (most recent call last):",
            "Exception in thread \"main\" java.lang.NullPointerException",
            "TypeError: Cannot read properties of undefined (reading 'port')",
            "Unhandled exception. System.InvalidOperationException: no handler",
            "Segmentation fault (core dumped)",
            "terminate called after throwing an instance of 'std::invalid_argument'",
            "undefined method `each' for nil (NoMethodError)",
            "failed to parse settings: yaml: line 3: did not find expected key",
        ],
    },
];

/// The row of settings. One that is missing by its name lasts for certain; that it fits is beside the
/// table, for what it is built from.
const NAMED_SETTING: &str = "setting";

struct Compiled {
    says: Vec<(RegexSet, RegexSet)>,
    variable: RegexSet,
    remote: Regex,
    /// A line that tells of something the program goes on without.
    aside: Regex,
}

fn set(patterns: &[&str]) -> Option<RegexSet> {
    RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(1 << 26).build().ok()
}

/// `None` where a pattern is wrong, which the test of the table finds.
static COMPILED: LazyLock<Option<Compiled>> = LazyLock::new(|| {
    let mut says = Vec::with_capacity(TABLE.len());
    for row in TABLE {
        says.push((set(row.says)?, set(row.but_not)?));
    }
    let missing = r"(?:not (?:been )?(?:set|defined|specified|provided|configured|present|found)|unset|missing|required|undefined|empty|must (?:not )?be|NotPresent)";
    let before = r"(?:missing|required|undefined|unset|no|without|must set|set|provide|need|needs|expected|KeyError|environ)";
    let variable = set(&[
        &format!(r"{VARIABLE}[^.\n]{{0,40}}\b{missing}"),
        &format!(r"\b{before}\b[^.\n]{{0,30}}{VARIABLE}"),
        &format!(r#"(?-i:\b[A-Z][A-Z0-9_]{{2,}})['"`]? (?:is|was|has) {missing}"#),
    ])?;
    let remote = Regex::new(
        r#"(?xi)
        [a-z][a-z0-9+.-]*://
        | \b\d{1,3}(?:\.\d{1,3}){3}\b
        | \b[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.(?:svc|local|internal|com|net|org|io|dev|cloud|example|test)(?:[^\w.-]|$)
        | (?:^|[\s@'"=(\[])[a-z][a-z0-9-]*:\d{2,5}(?:[^\w:.]|$)
        | \b(?:postgres(?:ql)?|mysql|mariadb|redis|kafka|rabbitmq|amqp|mongo(?:db)?|database|cassandra|elasticsearch|opensearch|etcd|zookeeper|consul|vault|nats|memcached|broker|upstream|remote|socket|grpc|https?|dns|rpc)\b
        "#,
    )
    .ok()?;
    let aside = Regex::new(
        r"(?i)^[^a-z]*(?:\S+ ){0,4}\W*(?:warn(?:ing)?|info|debug|trace|notice)\b|level=(?:warn|info|debug)|using (?:the )?default|fall(?:ing|s)? back|ignor(?:ed|ing)|skipp(?:ed|ing)|disabled|deprecated|going on|continuing|optional",
    )
    .ok()?;
    Some(Compiled { says, variable, remote, aside })
});

/// The row that a line fits, with its weight there.
fn row_of(line: &str, compiled: &Compiled) -> Option<(&'static Row, Weight)> {
    let fits = |index: usize| {
        let (says, but_not) = &compiled.says[index];
        says.is_match(line) && !but_not.is_match(line)
    };
    let named = compiled.variable.is_match(line);
    TABLE.iter().enumerate().find_map(|(index, row)| {
        let by_name = named && row.id == NAMED_SETTING;
        let weight = if by_name { Weight::Lasts } else { row.weight };
        (fits(index) || by_name).then_some((row, weight))
    })
}

/// What these lines, in their order, say about waiting.
pub(super) fn cause<'a>(lines: impl Iterator<Item = &'a str>) -> Cause {
    let Some(compiled) = COMPILED.as_ref() else { return Cause::Unclear };
    let mut decided = Cause::Unclear;
    let mut hint = None;
    let mut panic = None;
    let mut ending = None;
    let mut remote = false;
    for line in lines {
        remote |= compiled.remote.is_match(line);
        let Some((row, weight)) = row_of(line.trim(), compiled) else { continue };
        // What it goes on without is not what it dies of.
        let lasts = matches!(weight, Weight::Lasts | Weight::Likely | Weight::Panics);
        if lasts && compiled.aside.is_match(line) {
            continue;
        }
        match weight {
            Weight::Waits => decided = Cause::Waits(row.id),
            Weight::Lasts => decided = Cause::Lasts(row.id),
            Weight::Likely => decided = Cause::Likely(row.id),
            Weight::Hints => hint = Some(row.id),
            Weight::Panics => panic = Some(row.id),
            Weight::Ends => ending = Some(row.id),
        }
    }
    match (decided, hint, panic) {
        (Cause::Waits(_) | Cause::Lasts(_) | Cause::Likely(_), _, _) => decided,
        (Cause::Unclear, Some(id), _) => Cause::Waits(id),
        (Cause::Unclear, None, Some(id)) if !remote => Cause::Likely(id),
        (Cause::Unclear, None, Some(_)) => Cause::Unclear,
        (Cause::Unclear, None, None) => ending.map_or(Cause::Unclear, Cause::Waits),
    }
}

/// The rows for the documentation: whether waiting can change it, and examples.
#[cfg(test)]
pub(super) fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])>
{
    TABLE.iter().map(|row| {
        let verdict = match row.weight {
            Weight::Waits => "waits",
            Weight::Lasts => "lasts",
            Weight::Likely if row.id == NAMED_SETTING => {
                "lasts by the name of a variable; otherwise while nothing else moves"
            }
            Weight::Likely => "lasts while nothing else moves",
            Weight::Hints => "waits, unless another line says what is wrong",
            Weight::Panics => {
                "lasts while nothing else moves, unless a remote name stands in its words"
            }
            Weight::Ends => "waits, unless any other line says something",
        };
        (row.id, verdict, row.examples)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_to_its_own_row() {
        let compiled = COMPILED.as_ref().expect("the patterns are regular expressions");
        let mut wrong = Vec::new();
        for row in TABLE {
            assert!(!row.examples.is_empty(), "{} has no example", row.id);
            for example in row.examples {
                let found = row_of(example, compiled).map(|(row, _)| row.id);
                if found != Some(row.id) {
                    wrong.push(format!("{example}: {found:?}, not {}", row.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn of(log: &str) -> Cause {
        cause(log.lines())
    }

    #[test]
    fn whole_logs_are_weighed() {
        let mut wrong = Vec::new();
        for (log, expect) in [
            // Named settings, in the forms of several languages.
            ("error: DATABASE_URL is not set", Cause::Lasts("setting")),
            (
                "thread 'main' panicked at src/main.rs:14:5: missing DATABASE_URL",
                Cause::Lasts("setting"),
            ),
            ("Error: CONNECT_TIMEOUT is not set", Cause::Lasts("setting")),
            ("KeyError: 'REDIS_HOST'", Cause::Lasts("setting")),
            ("required key SHOP_TOKEN missing value", Cause::Lasts("setting")),
            (
                "env: required environment variable \"SHOP_TOKEN\" is not set",
                Cause::Lasts("setting"),
            ),
            // A panic by itself, and one of a remote.
            (
                "thread 'main' panicked at src/main.rs:7:20:\nattempt to divide by zero",
                Cause::Likely("panic"),
            ),
            (
                "panic: handshake with postgres://db:5432 went wrong\n\ngoroutine 1 [running]:\n\
                 main.main()\n\t/app/main.go:22 +0x1d",
                Cause::Unclear,
            ),
            (
                "panic: cannot load\n\ngoroutine 1 [running]:\n\t/app/main.go:22 +0x1d",
                Cause::Likely("panic"),
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/main.py\", line 4, in <module>\n    \
                 x = [][1]\nIndexError: list index out of range",
                Cause::Likely("panic"),
            ),
            // The cause of the cause.
            (
                "org.springframework.beans.factory.BeanCreationException: Error creating bean\n\
                 Caused by: java.net.ConnectException: Connection refused",
                Cause::Waits("connection"),
            ),
            (
                "thread 'main' panicked at src/main.rs:5:42:\ncalled `Result::unwrap()` on an `Err` \
                 value: Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }\n\
                 note: run with `RUST_BACKTRACE=1`",
                Cause::Waits("connection"),
            ),
            (
                "node:internal/process/promises:394\n      triggerUncaughtException(err, true);\n\
                 Error: connect ECONNREFUSED 10.1.2.3:6379\n    at TCPConnectWrap.afterConnect\n  \
                 errno: -111,\n  code: 'ECONNREFUSED',\nNode.js v22.1.0",
                Cause::Waits("connection"),
            ),
            // What is written last is what it dies of.
            (
                "warn: cache: connection refused, going on without\nfatal: SHOP_TOKEN is not set",
                Cause::Lasts("setting"),
            ),
            (
                "warn: option `cache` is not set, using the default\ndial tcp: lookup db: no such host",
                Cause::Waits("name"),
            ),
            // What it goes on without is not what it dies of.
            ("WARN SENTRY_DSN is not set, reports are disabled\nfatal: no answer", Cause::Unclear),
            (
                "2026-11-02T08:00:01Z  INFO no configuration file, using the default\nboom",
                Cause::Unclear,
            ),
            // How it ends is not what it dies of, in whatever order.
            ("fatal: SHOP_TOKEN is not set\nshutting down", Cause::Lasts("setting")),
            ("missing SHOP_TOKEN\ndb: connection closed", Cause::Lasts("setting")),
            ("missing SHOP_TOKEN, exiting because of the above", Cause::Lasts("setting")),
            (
                "ModuleNotFoundError: No module named 'x'\nhealth: service unavailable",
                Cause::Lasts("code"),
            ),
            (
                "thread 'main' panicked at src/main.rs:7:20:\nattempt to divide by zero\n\
                 shutting down",
                Cause::Likely("panic"),
            ),
            ("error: config key `listen` is missing\nshutting down", Cause::Likely("setting")),
            ("FATAL: the database system is shutting down", Cause::Waits("ending")),
            ("fatal: default credentials must be changed", Cause::Likely("setting")),
            ("fatal: unknown user www-data in group web not found", Cause::Unclear),
            // What something else in the release may change is not certain.
            ("panic: driver: bad connection", Cause::Likely("panic")),
            ("panic: pq: password authentication failed for user \"shop\"", Cause::Likely("panic")),
            ("Code: 403. Errors: * permission denied", Cause::Likely("refused")),
            ("TypeError: fetch failed", Cause::Likely("panic")),
            (
                "Traceback (most recent call last):\nFileNotFoundError: [Errno 2] No such file or \
                 directory: '/shared/config.json'",
                Cause::Likely("setting"),
            ),
            // A hint alone, a hint beside a cause.
            ("gave up after 30 attempts", Cause::Waits("waiting")),
            ("retry 1\nretry 2\nModuleNotFoundError: No module named 'x'", Cause::Lasts("code")),
            // Neither.
            ("boom", Cause::Unclear),
            ("migrating\nversion 3", Cause::Unclear),
            ("", Cause::Unclear),
        ] {
            let found = of(log);
            if found != expect {
                wrong.push(format!("{log}\n  {found:?}, not {expect:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
