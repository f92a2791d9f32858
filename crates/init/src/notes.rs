//! What a person should know about the result, in addition to the lines with GUESS.

use crate::proposal::Choices;
use crate::survey::Survey;
use crate::trial::{Conclusion, Trial};
use greenloop_model::TargetKind;

/// Paragraphs, the most important first: commands that are no gates because they fail, gates that
/// test nothing, services that are not deployed.
pub fn notes(survey: &Survey, choices: &Choices) -> Vec<String> {
    let mut notes = Vec::new();
    let failed: Vec<&Trial> = choices.trials.iter().filter(|it| is_missing(it, choices)).collect();
    if let Some(first) = failed.first() {
        let mut text = match failed.len() {
            1 => "1 command fails and is no gate; nothing checks what it would check:\n".to_owned(),
            n => format!("{n} commands fail and are no gates; nothing checks what they would:\n"),
        };
        for trial in &failed {
            let Conclusion::Failed { reason } = &trial.conclusion else { continue };
            text.push_str(&format!("    {}\n        {reason}\n", shell(trial)));
        }
        text.push_str(&format!("  repair it: greenloop heal -- {}", shell(first)));
        notes.push(text);
    }
    for trial in &choices.trials {
        if let Conclusion::Passed { ran_no_test: true, .. } = trial.conclusion {
            let name = &trial.name;
            notes.push(format!("the gate {name} passes, but it ran no test: {}", shell(trial)));
        }
    }
    if choices.target == TargetKind::Process {
        notes.extend(not_deployed(survey, choices));
    }
    notes
}

/// Whether it failed, and nothing else does what it is for.
fn is_missing(trial: &Trial, choices: &Choices) -> bool {
    let role = |trial: &Trial| (trial.candidate.role.clone(), trial.candidate.folder.clone());
    !trial.passed()
        && !choices.trials.iter().any(|other| other.passed() && role(other) == role(trial))
}

/// As it is typed in the root.
fn shell(trial: &Trial) -> String {
    match trial.candidate.folder.as_str() {
        "" => trial.candidate.command.clone(),
        folder => format!("sh -c 'cd {folder} && {}'", trial.candidate.command),
    }
}

/// One configuration deploys one service.
fn not_deployed(survey: &Survey, choices: &Choices) -> Option<String> {
    let start = choices.start.as_ref()?;
    let mut others: Vec<String> = Vec::new();
    for other in &survey.starts {
        let place = if other.folder.is_empty() { "the root" } else { &other.folder };
        let text = format!("{place} (`{}`)", other.command.join(" "));
        if other.folder != start.folder && !others.iter().any(|it| it.starts_with(place)) {
            others.push(text);
        }
    }
    let compose = survey.compose.iter().flat_map(|compose| {
        let beside = (compose.services.len() > 1).then_some(&compose.services);
        beside.map(|services| format!("what {} starts ({})", compose.path, services.join(", ")))
    });
    others.extend(compose);
    let place = if start.folder.is_empty() { "the root" } else { &start.folder };
    (!others.is_empty())
        .then(|| format!("only the service in {place} is deployed, and not: {}", others.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;
    use crate::survey;
    use crate::trial::tests::candidate;

    fn trial(role: &str, command: &str, conclusion: Conclusion) -> Trial {
        let candidate = candidate(role, "python", command);
        Trial { name: role.to_owned(), candidate, conclusion }
    }

    fn told(files: &[(&str, &str)], trials: Vec<Trial>) -> Vec<String> {
        let (_folder, files) = written(files.iter().copied());
        let survey = survey(&files);
        let choices = Choices {
            target: TargetKind::Process,
            start: survey.starts.first().cloned(),
            port: 8000,
            health: ("/".to_owned(), true),
            page: None,
            trials,
        };
        notes(&survey, &choices)
    }

    #[test]
    fn a_command_that_fails_is_named_unless_another_does_its_work() {
        let failed = || Conclusion::Failed { reason: "exit 1: 1 != 2".to_owned() };
        let passed = Conclusion::Passed { network: false, ran_no_test: false };
        let files = [("server.py", "HTTPServer PORT")];
        let trials = vec![trial("test", "pytest", failed()), trial("lint", "ruff", failed())];
        let text = told(&files, trials).join("\n");
        for part in ["2 commands", "    pytest\n        exit 1: 1 != 2", "heal -- pytest"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let trials = vec![trial("test", "pytest", failed()), trial("test", "unittest", passed)];
        assert_eq!(told(&files, trials), Vec::<String>::new());
    }

    #[test]
    fn a_gate_that_tests_nothing_is_named() {
        let empty = Conclusion::Passed { network: false, ran_no_test: true };
        let notes = told(&[("server.py", "HTTPServer PORT")], vec![trial("test", "t", empty)]);
        assert_eq!(notes, ["the gate test passes, but it ran no test: t"]);
    }

    #[test]
    fn services_that_are_not_deployed_are_named() {
        let compose = "services:\n  api: {build: .}\n  db: {image: postgres}\n";
        let files = [
            ("api/server.py", "HTTPServer PORT"),
            ("web/package.json", "{\"scripts\":{\"start\":\"node server.js\"}}"),
            ("web/server.js", "require('http').createServer().listen(process.env.PORT)"),
            ("compose.yaml", compose),
        ];
        let [note] = told(&files, Vec::new()).try_into().unwrap();
        for part in
            ["only the service in api", "web (`node server.js`)", "compose.yaml starts (api, db)"]
        {
            assert!(note.contains(part), "{part}: {note}");
        }
    }
}
