//! A failed iteration, and how it compares with the one before.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{InvalidId, serde_as_text};
use super::words::named;
use super::{Evidence, Stage};

named!(
    /// The class of a failure. It decides the route: see [`FailureClass::heals`].
    FailureClass {
        /// The repository's code is wrong.
        Code = "code",
        /// The repository's configuration is wrong.
        Config = "config",
        /// It passes when it is run again.
        Flaky = "flaky",
        /// A machine, a network, a disk, a service that the repository does not own.
        Infrastructure = "infrastructure",
        /// A credential is missing, wrong or too weak.
        Auth = "auth",
        /// A limit somebody set on resources.
        Quota = "quota",
        /// It took longer than it was given.
        Timeout = "timeout",
        /// None of the patterns tell.
        Unknown = "unknown",
    }
);

impl FailureClass {
    /// Whether the author may be asked: a patch cannot repair a network, a credential or a quota.
    pub const fn heals(self) -> bool {
        match self {
            Self::Code | Self::Config | Self::Timeout | Self::Unknown | Self::Flaky => true,
            Self::Infrastructure | Self::Auth | Self::Quota => false,
        }
    }
}

/// The normalised identity of a failure: timestamps, durations, addresses, hashes, temporary
/// paths and counters do not change it. Sixteen lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// From the first eight bytes of a digest over normalised text.
    pub fn from_digest(digest: [u8; 8]) -> Self {
        Self(digest.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// A fingerprint that was written before; `None` when it is not sixteen hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (text.len() == 16 && hex).then(|| Self(text.to_owned()))
    }

    /// The sixteen digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| InvalidId::new("a fingerprint", text))
    }
}

serde_as_text!(Fingerprint);

/// Why an iteration did not end verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// The gate, flow or check within the stage.
    pub name: String,
    /// One line for a person.
    pub headline: String,
    /// Its class.
    pub class: FailureClass,
    /// Its normalised identity.
    pub fingerprint: Fingerprint,
    /// Whether it may well pass when run again on the same tree (looks like a network or timing
    /// failure).
    pub flaky_suspect: bool,
    /// What failed, as a set of normalised names: failing gates, tests and error places. Sets
    /// of two iterations are compared by [`compare`].
    pub symptoms: std::collections::BTreeSet<String>,
    /// What is known of it.
    pub evidence: Evidence,
}

/// A failure without its evidence: what a run that ends with it is headed by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureSummary {
    /// The stage that failed.
    pub stage: Stage,
    /// The gate, flow or check within the stage.
    pub name: String,
    /// Its class.
    pub class: FailureClass,
    /// Its normalised identity.
    pub fingerprint: Fingerprint,
    /// The failure's own headline; empty where the record of it has none.
    pub headline: String,
}

impl fmt::Display for FailureSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.headline.is_empty() {
            write!(f, "{} failed in the {} stage", self.name, self.stage)
        } else {
            f.write_str(&self.headline)
        }
    }
}

named!(
    /// How a failure compares with the last one.
    Progress {
        /// Some of the last symptoms are gone and none is new.
        Fixed = "fixed",
        /// The last symptoms are gone and others, further on, have come up.
        MovedOn = "moved on",
        /// The same symptoms.
        Same = "same",
        /// New symptoms beside the last ones, or an earlier stage fails than before.
        Worse = "worse",
    }
);

/// Compares two failures as sets of symptoms, stage first: a failure in a later stage is
/// progress whatever it says, one in an earlier stage is a step back.
pub fn compare(last: &Failure, now: &Failure) -> Progress {
    match now.stage.cmp(&last.stage) {
        std::cmp::Ordering::Greater => return Progress::MovedOn,
        std::cmp::Ordering::Less => return Progress::Worse,
        std::cmp::Ordering::Equal => {}
    }
    if last.fingerprint == now.fingerprint {
        return Progress::Same;
    }
    let gone = last.symptoms.difference(&now.symptoms).count();
    let new = now.symptoms.difference(&last.symptoms).count();
    let kept = last.symptoms.intersection(&now.symptoms).count();
    match (gone, new, kept) {
        (0, 0, _) => Progress::Same,
        (_, 0, _) => Progress::Fixed,
        (_, _, 0) => Progress::MovedOn,
        (_, _, _) => Progress::Worse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stage: Stage, symptoms: &[&str]) -> Failure {
        let mut digest = [0u8; 8];
        for (i, b) in symptoms.concat().bytes().enumerate() {
            digest[i % 8] ^= b.rotate_left(i as u32);
        }
        Failure {
            stage,
            name: "test".into(),
            headline: String::new(),
            class: FailureClass::Code,
            fingerprint: Fingerprint::from_digest(digest),
            flaky_suspect: false,
            symptoms: symptoms.iter().map(|s| (*s).to_owned()).collect(),
            evidence: Evidence::default(),
        }
    }

    #[test]
    fn progress_is_judged_by_stage_then_by_set() {
        let last = failure(Stage::Gates, &["a", "b"]);
        for (now, expect) in [
            (failure(Stage::Gates, &["a", "b"]), Progress::Same),
            (failure(Stage::Gates, &["a"]), Progress::Fixed),
            (failure(Stage::Gates, &["c"]), Progress::MovedOn),
            (failure(Stage::Gates, &["a", "b", "c"]), Progress::Worse),
            (failure(Stage::Gates, &["a", "c"]), Progress::Worse),
            (failure(Stage::Smoke, &["a", "b"]), Progress::MovedOn),
        ] {
            assert_eq!(compare(&last, &now), expect, "{:?}", now.symptoms);
        }
        let smoke = failure(Stage::Smoke, &["x"]);
        assert_eq!(compare(&smoke, &last), Progress::Worse);
    }
}
