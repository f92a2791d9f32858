//! Which environment variables hold secrets, told by their names.

use std::ffi::OsString;

use super::values::{SecretValue, sensitive_parts};

/// Parts of a name, between underscores, that make it a secret's.
const PARTS: &[&str] = &[
    "KEY",
    "APIKEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "SAS",
    "PAT",
    "CONNSTR",
    "DSN",
];

/// Texts anywhere in a name that make it a secret's.
const TEXTS: &[&str] = &[
    "SECRET",
    "PASSWORD",
    "ACCESSTOKEN",
    "ACCESS_TOKEN",
    "APIKEY",
    "API_KEY",
    "CREDENTIAL",
    "CONNECTION_STRING",
    "CONNECTIONSTRING",
    "PRIVATE_KEY",
    "ACCESSKEY",
    "ACCOUNTKEY",
    "AUTHTOKEN",
];

/// The values of the variables whose names look secret, and the values inside them.
pub(super) fn secrets(vars: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    vars.filter_map(|(name, value)| {
        let name = name.to_str()?.to_ascii_uppercase();
        let value = value.into_string().ok()?;
        (is_secret(&name) && may_be_secret(&name, &value)).then(|| {
            let mut parts = sensitive_parts(SecretValue { key: &name, bytes: value.as_bytes() });
            parts.push(value);
            parts
        })
    })
    .flatten()
    .collect()
}

/// Whether a variable of this name, in capitals, holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    !matches!(name, "PWD" | "OLDPWD")
        && (TEXTS.iter().any(|text| name.contains(text))
            || name.split(['_', '.', '-']).any(|part| PARTS.contains(&part)))
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
