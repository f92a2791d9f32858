//! How tools write `file:line[:column]`.

/// Expressions with the groups `file` and `line`, and perhaps `col` and `package`; tried in this
/// order at every place of a line, an earlier one claims its text. Before each, lower-case literals
/// of which every match has one.
pub(crate) const LOCATIONS: &[(&[&str], &str)] = &[
    // CPython.
    (&["file \""], r#"File "(?P<file>[^"<]+)", line (?P<line>\d+)"#),
    // Java stack frames: the package makes the file findable.
    (
        &["at "],
        r"\bat (?:[\w.$@-]*/)*(?P<package>(?:[a-z_]\w*\.)+)[A-Z][\w$]*\.[\w$<>]+ ?\((?P<file>\w+\.(?:java|kt|scala|groovy|clj)):(?P<line>\d+)\)",
    ),
    // tsc, MSBuild, MSVC, Nim.
    (
        &["("],
        r"(?P<file>(?:[A-Za-z]:)?[\w./\\@+~-]+\.\w{1,8})\((?P<line>\d+)(?:, ?(?P<col>\d+)(?:,\d+,\d+)?)?\)",
    ),
    // Maven's compiler plug-in.
    (&[":["], r"(?P<file>[\w./\\@+~-]+\.\w{1,8}):\[(?P<line>\d+)(?:,(?P<col>\d+))?\]"),
    // .NET stack frames.
    (&[":line "], r"(?P<file>(?:[A-Za-z]:)?[\w./\\@+~-]+\.\w{1,8}):line (?P<line>\d+)"),
    // Shells.
    (
        &["sh: line ", "bats: line "],
        r"(?P<file>[\w./\\@+~-]+\.(?:sh|bash|bats|zsh)): line (?P<line>\d+)",
    ),
    (&["sh: ", "bats: "], r"(?P<file>[\w./\\@+~-]+\.(?:sh|bash|bats|zsh)): (?P<line>\d+):"),
    // PHP, Perl, Terraform, `in test file x.bats, line 3`.
    (
        &["line "],
        r"(?P<file>[\w./\\@+~-]+\.\w{1,8})(?: on|,)? line (?P<line>\d+)(?:, column (?P<col>\d+))?",
    ),
    // Dart's stack traces.
    (&[".dart "], r"(?P<file>[\w./-]+\.dart) (?P<line>\d+):(?P<col>\d+)"),
    // Azure Pipelines and GitHub commands.
    (
        &["sourcepath="],
        r"sourcepath=(?P<file>[^;\]]+);linenumber=(?P<line>\d+)(?:;columnnumber=(?P<col>\d+))?",
    ),
    (
        &["file="],
        r"file=(?P<file>[^,:]+),line=(?P<line>\d+)(?:,(?:endLine=\d+,)?col=(?P<col>\d+))?",
    ),
    // Dockerfiles by line only.
    (&["dockerfile parse"], r"(?i)dockerfile parse error on line (?P<line>\d+)"),
    // Everybody else.
    (
        &[":"],
        r"(?:file://)?(?P<file>(?:[A-Za-z]:[/\\])?[\w./\\@+~-]*(?:\.[A-Za-z]\w{0,9}|\b(?:Dockerfile|Makefile|GNUmakefile|Jenkinsfile|Rakefile|Gemfile|Vagrantfile|BUILD)\b[\w.-]*)):(?P<line>\d+)(?::(?P<col>\d+))?",
    ),
];

/// What looks like a file's extension and is the end of a host's name.
pub(crate) const NOT_FILES: &[&str] = &[
    "com",
    "org",
    "net",
    "io",
    "dev",
    "local",
    "internal",
    "cloud",
    "test",
    "example",
    "localhost",
    "app",
];
