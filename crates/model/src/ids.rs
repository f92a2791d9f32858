//! Identifiers. Each is a validated newtype: a value that exists is well formed.

use std::fmt;
use std::str::FromStr;

/// A text that is not the identifier it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(80).collect() }
    }
}

/// On a wire and in a file an id is its text.
macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;

serde_as_text!(RunId, ReleaseId, CommitId, TreeId, EnvironmentName);

/// One invocation of the loop. A UUIDv7, so that ids sort by the time the run started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(uuid::Uuid);

impl RunId {
    /// A new id that sorts after every id made before it on this machine.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// Of what is not known yet.
    pub(crate) const fn nil() -> Self {
        Self(uuid::Uuid::nil())
    }

    /// The last eight hex digits: enough to tell runs apart on a screen.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 8..].to_owned()
    }

    /// The name of the branch the run commits its patches to.
    pub fn branch(&self) -> String {
        format!("greenloop/{self}")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text).map(Self).map_err(|_| InvalidId::new("a run id (a UUID)", text))
    }
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The first ten hex digits.
            pub fn short(&self) -> &str {
                &self.0[..10]
            }

            /// All forty (SHA-1) or sixty-four (SHA-256) lower-case hex digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if hex && (text.len() == 40 || text.len() == 64) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId::new($what, text))
                }
            }
        }
    };
}

object_id!(
    /// A git commit.
    CommitId,
    "a git commit id"
);
object_id!(
    /// A git tree.
    TreeId,
    "a git tree id"
);

/// The name of an environment: it becomes part of file names, so it is a plain word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EnvironmentName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = !text.is_empty()
            && text.len() <= 63
            && !text.starts_with(['.', '-'])
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(
                "an environment name (letters, digits, '-', '_' and '.', at most 63)",
                text,
            ))
        }
    }
}

/// One deployed release: a UUIDv7, so that releases sort by the time they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId(uuid::Uuid);

impl ReleaseId {
    /// A new id that sorts after every id made before it on this machine.
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// The last eight hex digits.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 8..].to_owned()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ReleaseId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| InvalidId::new("a release id (a UUID)", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort_by_time() {
        let first = RunId::generate();
        let second = RunId::generate();
        assert!(first < second);
        assert_eq!(first.to_string().parse::<RunId>(), Ok(first));
        assert!("not-a-run".parse::<RunId>().is_err());
    }

    #[test]
    fn environment_names_are_safe_in_file_names() {
        for good in ["local", "staging", "prod-eu.1", "a_b"] {
            assert!(good.parse::<EnvironmentName>().is_ok(), "{good}");
        }
        for bad in ["", "..", "-x", "a/b", "a b", "ä"] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn commit_ids_are_lower_case_hex() {
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<CommitId>().is_ok());
        assert!("0123456789ABCDEF0123456789abcdef01234567".parse::<CommitId>().is_err());
        assert!("abc".parse::<CommitId>().is_err());
    }
}
