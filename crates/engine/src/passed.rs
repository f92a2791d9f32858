//! Gates that passed on a tree in an earlier run, and tests that failed there: a gate or a test that
//! ends otherwise on the same tree now is a flaky suspect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::flaky::{FLAKY_FILE, FlakyTests};
use super::state_file::write;
use greenloop_model::TreeId;

/// The file's name of the tests that failed, beside that of the gates that passed.
const FAILED_FILE: &str = "failed-tests.json";
/// Names of failed tests that are remembered of one gate on one tree.
const MOST_TESTS: usize = 400;
/// How many trees are remembered; older ones are forgotten first.
const KEPT_TREES: usize = 64;

/// Which gates passed on which trees. Commands are kept as digests only: a command line may hold
/// a password. A lost or torn file only means that nothing is remembered.
#[derive(Debug)]
pub struct PassedBefore {
    path: PathBuf,
    trees: VecDeque<(String, BTreeSet<String>)>,
    /// What this run adds: it must not make its own failures suspects.
    added: Vec<(String, String)>,
    /// Tests that failed, by tree and command.
    failed: VecDeque<(String, BTreeMap<String, BTreeSet<String>>)>,
    failed_now: Vec<(String, String, BTreeSet<String>)>,
    flaky: FlakyTests,
}

impl PassedBefore {
    /// What is remembered in the file at `path`.
    pub fn load(path: &Path) -> Self {
        let trees = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let failed = std::fs::read(path.with_file_name(FAILED_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let flaky = FlakyTests::load(&path.with_file_name(FLAKY_FILE));
        let (added, failed_now) = (Vec::new(), Vec::new());
        Self { path: path.to_owned(), trees, added, failed, failed_now, flaky }
    }

    /// Whether the gate with this command passed on `tree` in an earlier run.
    pub fn contains(&self, tree: &TreeId, command: &str) -> bool {
        self.trees.iter().any(|(t, gates)| t == tree.as_str() && gates.contains(&digest(command)))
    }

    /// Remembers that the gate with this command passed on `tree`, from the next run on.
    pub fn insert(&mut self, tree: &TreeId, command: &str) {
        self.added.push((tree.to_string(), digest(command)));
    }

    /// The tests of the gate with this command that failed on `tree` in an earlier run, all of them.
    pub fn failed_tests(&self, tree: &TreeId, command: &str) -> Option<&BTreeSet<String>> {
        let (_, gates) = self.failed.iter().find(|(t, _)| t == tree.as_str())?;
        gates.get(&digest(command))
    }

    /// Remembers all tests of the gate with this command that failed on `tree`, from the next run on.
    pub fn insert_failed(&mut self, tree: &TreeId, command: &str, tests: BTreeSet<String>) {
        if tests.len() <= MOST_TESTS {
            self.failed_now.push((tree.to_string(), digest(command), tests));
        }
    }

    /// Whether one of these tests was seen to pass and to fail on one tree.
    pub fn is_known_flaky(&self, tests: &BTreeSet<String>) -> bool {
        tests.iter().any(|test| self.flaky.contains(test))
    }

    /// Remembers tests that were seen to pass and to fail on one tree.
    pub fn add_flaky(&mut self, tests: impl IntoIterator<Item = String>) {
        self.flaky.add(tests, Timestamp::now());
    }

    /// Writes it down, atomically.
    pub fn save(&mut self) -> io::Result<()> {
        for (tree, gate) in self.added.drain(..) {
            match self.trees.iter_mut().find(|(t, _)| *t == tree) {
                Some((_, gates)) => {
                    gates.insert(gate);
                }
                None => self.trees.push_back((tree, BTreeSet::from([gate]))),
            }
        }
        while self.trees.len() > KEPT_TREES {
            self.trees.pop_front();
        }
        write(&self.path, &self.trees)?;
        if !self.failed_now.is_empty() {
            for (tree, gate, tests) in self.failed_now.drain(..) {
                match self.failed.iter_mut().find(|(t, _)| *t == tree) {
                    Some((_, gates)) => {
                        gates.insert(gate, tests);
                    }
                    None => self.failed.push_back((tree, BTreeMap::from([(gate, tests)]))),
                }
            }
            while self.failed.len() > KEPT_TREES {
                self.failed.pop_front();
            }
            write(&self.path.with_file_name(FAILED_FILE), &self.failed)?;
        }
        self.flaky.save()
    }
}

fn digest(command: &str) -> String {
    Sha256::digest(command).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_earlier_runs_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/passed.json");
        let tree: TreeId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let mut first = PassedBefore::load(&path);
        first.insert(&tree, "test");
        assert!(!first.contains(&tree, "test"));
        first.save().unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("\"test\""));
        let second = PassedBefore::load(&path);
        assert!(second.contains(&tree, "test"));
        assert!(!second.contains(&tree, "lint"));
        let mut third = PassedBefore::load(&path);
        third.insert_failed(&tree, "lint", BTreeSet::from(["a".to_owned()]));
        assert_eq!(third.failed_tests(&tree, "lint"), None);
        third.save().unwrap();
        let fourth = PassedBefore::load(&path);
        assert_eq!(fourth.failed_tests(&tree, "lint"), Some(&BTreeSet::from(["a".to_owned()])));
        assert_eq!(fourth.failed_tests(&tree, "test"), None);
        std::fs::write(&path, "{torn").unwrap();
        assert!(!PassedBefore::load(&path).contains(&tree, "test"));
    }
}
