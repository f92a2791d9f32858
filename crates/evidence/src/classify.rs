//! The class of a failure, by the words of its lines.

use std::sync::LazyLock;

use super::guarded::Guarded;
use super::patterns::{CLASS_PATTERNS, ClassPattern};
use super::rule::Classification;
use greenloop_model::FailureClass;

/// What the words of one line say of the failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// The class; `None` where they name none.
    pub class: Option<FailureClass>,
    /// Whether they suggest a failure that passes when it is run again.
    pub flaky: bool,
}

/// Looks a line up in the table: the first row with a class decides the class, any row may
/// raise the suspicion.
pub(super) fn words(text: &str) -> Words {
    static TABLE: LazyLock<Vec<(Guarded, &ClassPattern)>> = LazyLock::new(|| {
        CLASS_PATTERNS.iter().map(|row| (Guarded::new(row.needs, row.pattern), row)).collect()
    });
    let lower = text.to_ascii_lowercase();
    let mut words = Words::default();
    for (guarded, row) in TABLE.iter() {
        if words.class.is_some() && row.class.is_some() {
            continue;
        }
        if guarded.on(&lower).is_some_and(|regex| regex.is_match(text.as_bytes())) {
            words.class = words.class.or(row.class);
            words.flaky |= row.flaky;
        }
    }
    words
}

/// The class of a block of these lines, most telling first.
pub(super) fn class<'a>(
    rule: Classification,
    mut lines: impl Iterator<Item = &'a str>,
) -> FailureClass {
    match rule {
        Classification::Fixed(class) => class,
        Classification::ProgramText(or) => {
            lines.find_map(|text| words(text).class.filter(|class| class.heals())).unwrap_or(or)
        }
        Classification::ToolText(or) => lines.find_map(|text| words(text).class).unwrap_or(or),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureClass::{Auth, Code, Config, Infrastructure, Quota, Timeout};

    #[test]
    fn words_tell_the_class() {
        for (text, class, flaky) in [
            ("npm ERR! network read ECONNRESET", Some(Infrastructure), true),
            ("curl: (6) Could not resolve host: example.com", Some(Infrastructure), true),
            ("net/http: TLS handshake timeout", Some(Infrastructure), true),
            ("write /x: no space left on device", Some(Infrastructure), false),
            ("The requested URL returned error: 503", Some(Infrastructure), true),
            ("The requested URL returned error: 403", Some(Auth), false),
            ("unauthorized: authentication required", Some(Auth), false),
            ("git@github.com: Permission denied (publickey).", Some(Auth), false),
            ("toomanyrequests: You have reached your pull rate limit", Some(Quota), true),
            ("Artifact storage quota has been hit. Unable to upload", Some(Quota), false),
            ("An error occurred (VcpuLimitExceeded) when calling RunInstances", Some(Quota), false),
            ("pods \"a\" is forbidden: exceeded quota: team-a", Some(Quota), false),
            ("Insufficient vcpu quota requested 64, remaining 12", Some(Quota), false),
            ("Job failed: BackoffLimitExceeded", None, false),
            ("FATAL ERROR: JavaScript heap out of memory", Some(Config), false),
            ("context deadline exceeded", Some(Timeout), true),
            ("There are test failures.", Some(Code), false),
            ("listen EADDRINUSE: address already in use :::3000", Some(Infrastructure), true),
            (
                "curl: (60) SSL certificate problem: certificate has expired",
                Some(Infrastructure),
                false,
            ),
            ("run.sh: line 3: jq: command not found", Some(Config), false),
            ("fatal: detected dubious ownership in repository at '/src'", Some(Config), false),
            ("./gradlew: Permission denied", Some(Config), false),
            ("PermissionError: [Errno 13] Permission denied: '/data'", None, false),
            ("undefined variable x", None, false),
        ] {
            assert_eq!(words(text), Words { class, flaky }, "{text}");
        }
    }
}
