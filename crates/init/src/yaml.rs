//! Values as they are written into a YAML file.

/// A scalar: plain where that means the same text to every YAML reader, else in double quotes.
pub(crate) fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '.' | '_');
    let inner = |c: char| c.is_ascii_alphanumeric() || " ./_-+=@~^(),".contains(c);
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"];
    let plain = text.starts_with(first)
        && text.chars().all(inner)
        && !text.ends_with(' ')
        && !text.starts_with('.')
        && !reserved.contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// A scalar within `[…]` or `{…}`, where a comma ends it.
pub(crate) fn inline(text: &str) -> String {
    let written = scalar(text);
    if written.starts_with('"') || !written.contains([',', '(', ')']) {
        written
    } else {
        quoted(text)
    }
}

/// `[a, b]`
pub(crate) fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| inline(item)).collect();
    format!("[{}]", items.join(", "))
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "cargo test --locked",
            "python3 -m compileall -q -x '/(\\.venv|venv)/' .",
            "true",
            "No",
            "8080",
            "./service",
            "{{ port }}",
            "127.0.0.1:{{ port }}",
            "a: b",
            "a #b",
            "-x",
            "",
            " x ",
            "0x1F",
            "é",
            "a,b",
            "mvn verify, (all)",
        ] {
            let file = format!("a: {}\nb: {}\n", scalar(text), list(&[text.to_owned()]));
            let read: serde_json::Value = serde_yaml::from_str(&file).unwrap();
            assert_eq!(read["a"], text, "{file}");
            assert_eq!(read["b"][0], text, "{file}");
        }
    }
}
