//! Commands that may be gates, and which of them become gates.

use std::collections::BTreeMap;

/// Roles in the order in which they are tried: what others need comes first.
const ROLES: &[&str] =
    &["install", "syntax", "page", "format", "vet", "lint", "types", "build", "test", "publish"];

/// A command that may be a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is for: `test`.
    pub role: String,
    /// The id of the kind it belongs to.
    pub kind: String,
    /// For a person: the kind, or the pipeline that has it as a step.
    pub origin: String,
    /// Where it runs, relative to the root; empty for the root.
    pub folder: String,
    pub command: String,
    pub required: bool,
    /// It fetches something.
    pub network: bool,
    /// Roles of gates of the same folder that come first.
    pub needs: Vec<String>,
    /// Report files.
    pub reports: Vec<String>,
    /// It belongs to a task runner: it stands for those of the languages in its folder.
    pub runner: bool,
}

/// How a command went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// It passed; `network`: only with the network; `ran_no_test`: a runner counted none.
    Passed { network: bool, ran_no_test: bool },
    /// It failed, and why in one line.
    Failed { reason: String },
}

/// A command that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The gate's name, unique in a configuration.
    pub name: String,
    pub candidate: Candidate,
    pub conclusion: Conclusion,
}

impl Trial {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        matches!(self.conclusion, Conclusion::Passed { .. })
    }
}

/// Tries the candidates until each role of each project has one that passes. `run` runs a command
/// and says how that went.
pub async fn choose(
    candidates: &[Candidate],
    mut run: impl AsyncFnMut(&Candidate) -> Conclusion,
) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    let mut names = BTreeMap::<String, usize>::new();
    for group in groups(candidates) {
        let [first, ..] = group.as_slice() else { continue };
        let covered = trials.iter().any(|trial| {
            trial.passed()
                && trial.candidate.runner
                && (&trial.candidate.role, &trial.candidate.folder) == (&first.role, &first.folder)
        });
        if covered {
            continue;
        }
        for candidate in group {
            let conclusion = run(candidate).await;
            let name = name_of(candidate, &mut names);
            let passed = matches!(conclusion, Conclusion::Passed { .. });
            trials.push(Trial { name, candidate: candidate.clone(), conclusion });
            if passed {
                break;
            }
        }
    }
    trials
}

/// Alternatives together: those of one role of one kind in one folder, by role, runners first.
fn groups(candidates: &[Candidate]) -> Vec<Vec<&Candidate>> {
    let place = |role: &str| ROLES.iter().position(|known| *known == role).unwrap_or(ROLES.len());
    let key = |candidate: &Candidate| {
        (place(&candidate.role), candidate.folder.clone(), !candidate.runner)
    };
    let mut groups: Vec<Vec<&Candidate>> = Vec::new();
    for candidate in candidates {
        let same = |group: &&mut Vec<&Candidate>| {
            group.first().is_some_and(|first| {
                (&first.role, &first.folder, &first.kind)
                    == (&candidate.role, &candidate.folder, &candidate.kind)
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(candidate),
            None => groups.push(vec![candidate]),
        }
    }
    groups.sort_by_key(|group| group.first().map(|first| key(first)));
    groups
}

/// `test`, `web-test` in the folder `web`, and a number where that is taken.
fn name_of(candidate: &Candidate, names: &mut BTreeMap<String, usize>) -> String {
    let name = match candidate.folder.as_str() {
        "" => candidate.role.clone(),
        folder => format!("{}-{}", folder.replace('/', "-"), candidate.role),
    };
    let count = names.entry(name.clone()).or_default();
    *count += 1;
    match *count {
        1 => name,
        count => format!("{name}-{count}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn candidate(role: &str, kind: &str, command: &str) -> Candidate {
        Candidate {
            role: role.to_owned(),
            kind: kind.to_owned(),
            origin: kind.to_owned(),
            folder: String::new(),
            command: command.to_owned(),
            required: true,
            network: false,
            needs: Vec::new(),
            reports: Vec::new(),
            runner: kind == "make",
        }
    }

    fn chosen(candidates: &[Candidate], failing: &[&str]) -> Vec<(String, String, bool)> {
        let run = async |candidate: &Candidate| match failing.contains(&candidate.command.as_str())
        {
            true => Conclusion::Failed { reason: "exit 1".to_owned() },
            false => Conclusion::Passed { network: false, ran_no_test: false },
        };
        let mut trials = std::pin::pin!(choose(candidates, run));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(trials) = trials.as_mut().poll(&mut context) else {
            panic!("nothing here waits")
        };
        let row =
            |trial: Trial| (trial.name.clone(), trial.candidate.command.clone(), trial.passed());
        trials.into_iter().map(row).collect()
    }

    #[test]
    fn the_first_of_several_that_passes_is_the_gate() {
        let all = [candidate("test", "python", "pytest"), candidate("test", "python", "unittest")];
        let row = |name: &str, command: &str, passed| (name.to_owned(), command.to_owned(), passed);
        assert_eq!(chosen(&all, &[]), [row("test", "pytest", true)]);
        assert_eq!(
            chosen(&all, &["pytest"]),
            [row("test", "pytest", false), row("test-2", "unittest", true)]
        );
    }

    #[test]
    fn a_task_runner_stands_for_the_languages_unless_it_fails() {
        let all = [
            candidate("test", "cargo", "cargo test"),
            candidate("test", "node", "npm test"),
            candidate("test", "make", "make test"),
            candidate("install", "node", "npm ci"),
        ];
        let commands = |failing: &[&str]| -> Vec<String> {
            chosen(&all, failing).into_iter().map(|(_, command, _)| command).collect()
        };
        assert_eq!(commands(&[]), ["npm ci", "make test"]);
        assert_eq!(commands(&["make test"]), ["npm ci", "make test", "cargo test", "npm test"]);
    }
}
