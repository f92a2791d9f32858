//! The form of a reference to a secret in a key vault: `keyvault:NAME`.

/// What a reference begins with.
const PREFIX: &str = "keyvault:";

/// The name in a value that is a reference. Text that only begins like one is none: a prompt may
/// speak of key vaults.
pub(super) fn reference(value: &str) -> Option<&str> {
    let name = value.strip_prefix(PREFIX)?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

/// Whether a key vault can have a secret of this name.
pub fn is_vault_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
