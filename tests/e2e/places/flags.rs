//! Every greenloop command line in these files is valid according to `docs/cli.md`, which is
//! generated from the help texts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{files, read, root};

/// The help text of a command.
fn help(command: &str) -> Option<String> {
    let reference = read("docs/cli.md");
    let (_, section) = reference.split_once(&format!("\n## greenloop {command}\n"))?;
    Some(section.split("\n## ").next().unwrap().to_owned())
}

/// The words after `greenloop` in a text, up to the end of the command.
fn calls(text: &str) -> Vec<Vec<String>> {
    let mut calls = Vec::new();
    // A line that ends in a backslash continues.
    for line in text.replace("\\\n", " ").lines() {
        for start in ["greenloop hub ", "greenloop worker ", "greenloop tasks "] {
            for (at, _) in line.match_indices(start) {
                let rest = &line[at + "greenloop ".len()..];
                let end = rest
                    .find(['`', ';', '|', '#', '"', '\'', ')', '<', '\\'])
                    .unwrap_or(rest.len());
                calls.push(rest[..end].split_whitespace().map(str::to_owned).collect());
            }
        }
    }
    calls
}

fn lists(value: &Value, into: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let words = value.as_array().filter(|_| matches!(key.as_str(), "args" | "command"));
                if let Some(words) = words {
                    into.push(words.iter().map(|w| w.as_str().unwrap().to_owned()).collect());
                }
                lists(value, into);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| lists(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn everything() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (folder, ending) in [
        ("scripts", ""),
        ("deploy/vm", ""),
        ("deploy/systemd", ""),
        ("deploy/cloud-init", ""),
        ("docs", ".md"),
        ("crates/hub/src/dashboard/assets", ".html"),
        ("crates/hub/src/dashboard/assets/js/pages", ".js"),
        ("src/cli", ".rs"),
    ] {
        for path in files(folder, ending) {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            // The reference itself.
            if name == "docs/cli.md" {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(calls(&text).into_iter().map(|words| (name.clone(), words)));
        }
    }
    let name = "README.md";
    found.extend(calls(&read(name)).into_iter().map(|words| (name.to_owned(), words)));
    for name in
        ["docker-compose.yml", "k8s/hub/base/deployment.yaml", "k8s/worker/base/deployment.yaml"]
    {
        let mut commands = Vec::new();
        lists(&serde_yaml::from_str(&read(name)).unwrap(), &mut commands);
        found.extend(commands.into_iter().map(|words| (name.to_owned(), words)));
    }
    found.retain(|(_, words)| {
        words.first().is_some_and(|word| matches!(word.as_str(), "hub" | "worker" | "tasks"))
    });
    found
}

/// The command's name: the words before its first option or value that form a known command.
fn command(words: &[String]) -> (String, Option<String>) {
    let plain = words.iter().take_while(|w| w.chars().all(|c| c.is_ascii_lowercase())).count();
    (1..=plain)
        .rev()
        .map(|n| words[..n].join(" "))
        .find_map(|command| help(&command).map(|help| (command, Some(help))))
        .unwrap_or_else(|| (words[..plain].join(" "), None))
}

#[test]
fn every_flag_is_one_of_the_command() {
    let mut checked = BTreeSet::new();
    for (file, words) in everything() {
        let (command, help) = command(&words);
        let Some(help) = help else { panic!("{file}: there is no greenloop {command}") };
        // A command group needs a subcommand. Program output starts with its name too: `greenloop
        // hub 0.1.0`.
        let next = words.get(command.split(' ').count());
        if let Some(next) = next.filter(|word| word.starts_with(|c: char| c.is_alphabetic())) {
            assert!(!help.contains("<COMMAND>"), "{file}: greenloop {command} has no {next}");
        }
        for word in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            let flag = word.split(['=', ',', '.', '…']).next().unwrap().trim_end_matches(']');
            let known = help.split([' ', '\n', ',']).any(|known| known == flag);
            assert!(known, "{file}: greenloop {command} has no {flag}");
            checked.insert(format!("{command} {flag}"));
        }
    }
    assert!(checked.len() > 15, "{checked:?}");
}

/// Variables that replace flags, so that no secret is on a command line.
#[test]
fn every_variable_is_read_by_the_command() {
    for (variable, command) in [
        ("GREENLOOP_STORE", "hub serve"),
        ("GREENLOOP_REDIS", "hub serve"),
        ("GREENLOOP_STORE", "hub token create"),
        ("GREENLOOP_HUB_URL", "worker"),
    ] {
        let help = help(command).unwrap();
        assert!(help.contains(&format!("[env: {variable}")), "{command} does not read {variable}");
    }
}

#[test]
fn a_call_in_a_text_is_found() {
    let found =
        calls("run `greenloop hub serve --listen X` or\ngreenloop worker \\\n  --name a # b");
    assert_eq!(found, [vec!["hub", "serve", "--listen", "X"], vec!["worker", "--name", "a"]]);
    assert!(everything().len() >= 6);
}
