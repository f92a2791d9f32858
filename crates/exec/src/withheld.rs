//! Variables with keys of Greenloop's own: no command gets them without being given them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::{PoisonError, RwLock};

/// Those of every configuration.
const ALWAYS: &[&str] =
    &["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GREENLOOP_AUDIT_KEY", "GREENLOOP_HUB_TOKEN"];

static NAMES: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// Keeps variables that hold keys of Greenloop's own from every command that this process runs from
/// now on: git and its hooks and helpers among them. A command that needs one is given it.
pub fn withhold(names: impl IntoIterator<Item = String>) {
    NAMES.write().unwrap_or_else(PoisonError::into_inner).extend(names);
}

/// The names of the variables that a command does not inherit.
pub(crate) fn withheld() -> BTreeSet<String> {
    let mut names = NAMES.read().unwrap_or_else(PoisonError::into_inner).clone();
    names.extend(ALWAYS.iter().map(|name| (*name).to_owned()));
    names
}

/// Whether a command does not inherit the variable.
pub(crate) fn is_withheld(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    ALWAYS.contains(&name) || NAMES.read().unwrap_or_else(PoisonError::into_inner).contains(name)
}
