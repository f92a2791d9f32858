//! The name that was probably meant.

use std::path::Path;

/// The candidate nearest to `name`, when it is near enough to be a slip of the hand: one letter
/// in three. Case and the choice between `-` and `_` count for nothing.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(name);
    let far = wanted.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A file beside the missing one whose name is nearly the same, written as that one is.
pub fn near_file(missing: &Path, shown: &str) -> Option<String> {
    let wanted = missing.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(missing.parent()?)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    Some(match shown.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{near}"),
        None => near.to_owned(),
    })
}

/// `a`, `b` and `c`, each in back quotes.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "and")
}

/// `a`, `b` or `c`, each in back quotes.
pub fn choice<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "or")
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first, last] => format!("{first} {word} {last}"),
        [most @ .., last] => format!("{}, {word} {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["environments", "quality_gates", "deploy", "url", "env", "needs"];
        for (typed, expect) in [
            ("quality_gate", Some("quality_gates")),
            ("qualitygates", Some("quality_gates")),
            ("Quality-Gates", Some("quality_gates")),
            ("enviroments", Some("environments")),
            ("delpoy", Some("deploy")),
            ("urls", Some("url")),
            ("need", Some("needs")),
            ("banana", None),
            ("x", None),
            ("ur", None),
            ("URL", Some("url")),
        ] {
            assert_eq!(nearest(typed, keys), expect, "{typed}");
        }
    }
}
