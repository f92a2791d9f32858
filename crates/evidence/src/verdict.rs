//! The class of a failure, told from the words of its lines.

use std::sync::LazyLock;

use super::guarded::Guarded;
use super::patterns::{VERDICTS, VerdictRow};
use super::rule::Verdict;
use greenloop_model::FailureClass;

/// What the words of one line tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// The class, when they tell one.
    pub class: Option<FailureClass>,
    /// Whether they smell of something that passes by itself.
    pub flaky: bool,
}

/// Looks a line up in the table: the first row with a class decides the class, any row may
/// raise the suspicion.
pub(super) fn words(text: &str) -> Words {
    static TABLE: LazyLock<Vec<(Guarded, &VerdictRow)>> = LazyLock::new(|| {
        VERDICTS.iter().map(|row| (Guarded::new(row.needs, row.pattern), row)).collect()
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

/// The class of a block whose rule gives this verdict, most telling line first.
pub(super) fn class<'a>(
    verdict: Verdict,
    mut lines: impl Iterator<Item = &'a str>,
) -> FailureClass {
    match verdict {
        Verdict::Is(class) => class,
        Verdict::Own(or) => {
            lines.find_map(|text| words(text).class.filter(|class| class.heals())).unwrap_or(or)
        }
        Verdict::Says(or) => lines.find_map(|text| words(text).class).unwrap_or(or),
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
            ("listen EADDRINUSE: address already in use :::3000", None, true),
            ("undefined variable x", None, false),
        ] {
            assert_eq!(words(text), Words { class, flaky }, "{text}");
        }
    }
}
