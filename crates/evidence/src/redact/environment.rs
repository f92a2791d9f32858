//! Which environment variables hold secrets, told by their names.

use std::ffi::OsString;

use super::values::{SecretValue, sensitive_parts};
use greenloop_model::may_name_secret;

/// The values of the variables whose names look secret, and the values inside them.
pub(super) fn secrets(vars: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    vars.filter_map(|(name, value)| {
        let name = name.to_str()?.to_ascii_uppercase();
        let value = value.into_string().ok()?;
        (may_name_secret(&name) && may_be_secret(&name, &value)).then(|| {
            let mut parts = sensitive_parts(SecretValue { key: &name, bytes: value.as_bytes() });
            parts.push(value);
            parts
        })
    })
    .flatten()
    .collect()
}

/// A number and the path of a file are no secrets, whatever their name.
fn may_be_secret(name: &str, value: &str) -> bool {
    let number = value.bytes().all(|b| b.is_ascii_digit()) && value.len() < 8;
    let path = value.starts_with('/')
        && ["PATH", "FILE", "DIR", "HOME", "SOCK"].iter().any(|end| name.ends_with(end));
    !number && !path && !matches!(value, "disabled" | "enabled" | "default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (name, value, expect) in [
            ("OPENAI_API_KEY", "sk-abcdef", true),
            ("SYSTEM_ACCESSTOKEN", "abcdef", true),
            ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=x", true),
            ("DB_PWD", "hunter2", true),
            ("DB_PASSWORD_PROD", "hunter2", true),
            ("PASS", "hunter2", true),
            ("SIGNING_KEYS_KEY", "hunter2", true),
            ("PWD", "/home/user", false),
            ("OLDPWD", "/home/user", false),
            ("KEYBOARD", "german", false),
            ("SSH_KEY_PATH", "/home/user/.ssh/id", false),
            ("GREENLOOP_MAX_TOKEN", "100000", false),
            ("STORAGE_SAS", "sv=2020&sig=x", true),
            ("HOME", "/home/user", false),
        ] {
            let found = secrets([(name.into(), value.into())].into_iter());
            assert_eq!(!found.is_empty(), expect, "{name}");
        }
    }
}
