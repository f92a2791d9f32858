//! `go.mod`, `go.work` and `go.sum`.

use serde_json::Value;

use super::install::{Install, Pin, Source};

/// `go.mod`, `go.work`
pub(super) fn module(text: &str) -> Option<Install> {
    let mut install = Install::default();
    let mut rest = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if line == ")" {
            block = None;
            continue;
        }
        let (verb, arguments) = match &block {
            Some(verb) => (verb.clone(), line),
            None => {
                let (verb, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                if arguments.trim() == "(" || line.ends_with('(') {
                    block = Some(verb.trim_end_matches('(').to_owned());
                    continue;
                }
                (verb.to_owned(), arguments)
            }
        };
        let words: Vec<&str> =
            arguments.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        match (verb.as_str(), words.as_slice()) {
            ("require", [name, version, ..]) => install.want("", name, version, Source::Registry),
            ("replace", words) => {
                let at = words.iter().position(|word| *word == "=>")?;
                let (from, to) = (words[..at].join(" "), &words[at + 1..]);
                let source = match to {
                    [path] => Source::Path((*path).to_owned()),
                    [module, version] => Source::Alias(format!("{module} {version}")),
                    _ => return None,
                };
                install.want("overrides", &from, "", source);
            }
            ("use", [path, ..]) => install.want("use", path, "", Source::Path((*path).to_owned())),
            ("tool", [name, ..]) => {
                install.scripts.insert(format!("tool {name}"), (*name).to_owned());
            }
            _ => rest.push(Value::String(format!("{verb} {}", words.join(" ")))),
        }
    }
    install.rest = Value::Array(rest);
    block.is_none().then_some(install)
}

/// `go.sum`
pub(super) fn sums(text: &str) -> Option<Install> {
    let mut install = Install::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (name, version, sum) = (words.next()?, words.next()?, words.next()?);
        let checksums = [sum.to_owned()].into();
        install.pin(name, version, Pin { checksums, ..Pin::default() });
    }
    Some(install)
}
