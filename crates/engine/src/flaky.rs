//! Tests that were seen to pass and to fail on one tree, in the repository's own state.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::state_file::write;

/// The file's name, beside that of the gates that passed.
pub const FLAKY_FILE: &str = "flaky.json";
/// A test that behaves for so long is forgotten.
const QUIET_SECONDS: i64 = 14 * 24 * 3_600;
/// Tests that are remembered; those seen last stay.
const MOST: usize = 2_000;

/// Names of flaky tests, with the time each was last seen to be. A lost or torn file only means
/// that nothing is remembered.
#[derive(Debug)]
pub struct FlakyTests {
    path: PathBuf,
    /// Seconds since 1970.
    seen: BTreeMap<String, i64>,
    changed: bool,
}

impl FlakyTests {
    /// What is remembered in the file at `path`.
    pub fn load(path: &Path) -> Self {
        let seen = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut tests = Self { path: path.to_owned(), seen, changed: false };
        tests.forget(Timestamp::now());
        tests
    }

    /// Whether the test is known to be flaky.
    pub fn contains(&self, test: &str) -> bool {
        self.seen.contains_key(test)
    }

    /// The tests and when each was last seen to be flaky, the latest first.
    pub fn latest(&self) -> Vec<(&str, Timestamp)> {
        let mut tests: Vec<(&str, Timestamp)> = self
            .seen
            .iter()
            .filter_map(|(test, at)| Some((test.as_str(), Timestamp::from_second(*at).ok()?)))
            .collect();
        tests.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        tests
    }

    /// Adds what others have seen, each with its time; the later of two times counts.
    pub fn learn(&mut self, tests: impl IntoIterator<Item = (String, Timestamp)>) {
        for (test, at) in tests {
            let at = at.as_second();
            let known = self.seen.entry(test).or_insert(i64::MIN);
            if *known < at {
                *known = at;
                self.changed = true;
            }
        }
        self.bound(Timestamp::now());
    }

    pub(super) fn add(&mut self, tests: impl IntoIterator<Item = String>, now: Timestamp) {
        for test in tests {
            self.seen.insert(test, now.as_second());
            self.changed = true;
        }
        self.bound(now);
    }

    fn bound(&mut self, now: Timestamp) {
        self.forget(now);
        while self.seen.len() > MOST {
            let oldest = self.seen.iter().min_by_key(|(_, at)| **at).map(|(test, _)| test.clone());
            let Some(oldest) = oldest else { break };
            self.seen.remove(&oldest);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let before = self.seen.len();
        self.seen.retain(|_, at| now.as_second() - *at <= QUIET_SECONDS);
        self.changed |= self.seen.len() != before;
    }

    /// Writes it down, atomically, where it has changed.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn save(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.changed) { write(&self.path, &self.seen) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_behaves_for_two_weeks_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state").join(FLAKY_FILE);
        let now = Timestamp::now();
        let ago = |days: i64| Timestamp::from_second(now.as_second() - days * 24 * 3_600).unwrap();
        let mut tests = FlakyTests::load(&path);
        tests.add(["old".to_owned()], ago(15));
        tests.add(["quiet".to_owned()], ago(13));
        tests.add(["new".to_owned()], now);
        tests.save().unwrap();
        let read = FlakyTests::load(&path);
        let names: Vec<&str> = read.latest().into_iter().map(|(test, _)| test).collect();
        assert_eq!(names, ["new", "quiet"]);
        assert!(read.contains("quiet") && !read.contains("old"));
        let mut learned = FlakyTests::load(&path);
        learned.learn([("theirs".to_owned(), ago(3)), ("quiet".to_owned(), ago(1))]);
        learned.learn([("new".to_owned(), ago(2)), ("gone".to_owned(), ago(15))]);
        learned.save().unwrap();
        let read = FlakyTests::load(&path);
        let seen: Vec<(&str, i64)> =
            read.latest().into_iter().map(|(test, at)| (test, at.as_second())).collect();
        let expect = [("new", now), ("quiet", ago(1)), ("theirs", ago(3))]
            .map(|(t, at)| (t, at.as_second()));
        assert_eq!(seen, expect);
        std::fs::write(&path, "{torn").unwrap();
        assert!(!FlakyTests::load(&path).contains("new"));
    }
}
