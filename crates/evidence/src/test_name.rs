//! Names of failing tests, as one name a test however often a log spells it.

use std::collections::BTreeSet;

/// Most names that are kept.
const MOST: usize = 400;

/// The names a log gives, bounded.
#[derive(Default)]
pub(super) struct TestNames {
    failed: BTreeSet<String>,
    /// Those that passed when they were run again.
    passed: BTreeSet<String>,
}

impl TestNames {
    /// Adds a name; a repeated or overlong one changes nothing.
    pub(super) fn add(&mut self, name: &str) {
        insert(&mut self.failed, name);
    }

    /// Takes back what was no test's name.
    pub(super) fn withdraw(&mut self, name: &str) {
        self.failed.remove(name.trim());
    }

    /// Takes a name out: the test passed after it had failed.
    pub(super) fn passed(&mut self, name: &str) {
        insert(&mut self.passed, name);
    }

    /// The names that were taken out.
    pub(super) fn retried(&self) -> &BTreeSet<String> {
        &self.passed
    }

    /// The set, without names that are only the tail of another: `AppTest.adds` beside
    /// `com.acme.AppTest.adds`.
    pub(super) fn finish(self) -> BTreeSet<String> {
        let parts: Vec<(Vec<String>, &String)> =
            self.failed.difference(&self.passed).map(|n| (parts(n), n)).collect();
        parts
            .iter()
            .filter(|(short, name)| {
                !parts.iter().any(|(long, other)| {
                    other != name
                        && long.ends_with(short)
                        && (long.len() > short.len() || other.len() > name.len())
                })
            })
            .map(|(_, name)| (*name).clone())
            .collect()
    }
}

fn insert(names: &mut BTreeSet<String>, name: &str) {
    let name = name.trim();
    if !name.is_empty() && name.len() <= 400 && names.len() < MOST {
        names.insert(name.to_owned());
    }
}

fn parts(name: &str) -> Vec<String> {
    let mut name = name.trim_end_matches("()");
    if let Some(at) = name.find([' ', '[']).filter(|_| name.ends_with(']')) {
        // A parameter set is one part, whatever is in it.
        let (head, tail) = name.split_at(at);
        name = head;
        let mut parts = split(name);
        parts.push(tail.to_owned());
        return parts;
    }
    split(name)
}

fn split(name: &str) -> Vec<String> {
    name.split(['.', ':', '/', '>', '\u{203a}', '$', ' '])
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Joins what a test belongs to and its own name.
pub(super) fn join(owner: &str, test: &str) -> String {
    let test = test.trim();
    let owner = owner.trim();
    // Since Python 3.11 the owner names the test as well.
    if owner.ends_with(&format!(".{test}")) {
        return owner.to_owned();
    }
    let word =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$()-".contains(&b));
    let between = if word(owner) && word(test) { "." } else { " " };
    format!("{owner}{between}{test}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_a_test() {
        for (input, expect) in [
            (&["com.acme.AppTest.adds", "AppTest.adds"][..], &["com.acme.AppTest.adds"][..]),
            (&["tests/t.py::TestA::test_b", "TestA.test_b"], &["tests/t.py::TestA::test_b"]),
            (&["tests::adds", "tests::subtracts"], &["tests::adds", "tests::subtracts"]),
            (&["TestAdd", "TestAdd/negative"], &["TestAdd", "TestAdd/negative"]),
            (&["AppTest.adds()", "AppTest.adds"], &["AppTest.adds()"]),
        ] {
            let mut names = TestNames::default();
            for name in input {
                names.add(name);
            }
            let found = names.finish();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expect);
        }
    }

    #[test]
    fn owners_are_joined() {
        for (owner, test, expect) in [
            ("com.acme.AppTest", "adds", "com.acme.AppTest.adds"),
            ("tests.T.test_a", "test_a", "tests.T.test_a"),
            ("Cart", "adds up", "Cart adds up"),
        ] {
            assert_eq!(join(owner, test), expect);
        }
    }
}
