//! The key that signs checkpoints of audit logs.

use super::AppError;
use greenloop_audit::SigningKey;

/// Holds the key itself.
pub(super) const AUDIT_KEY: &str = "GREENLOOP_AUDIT_KEY";
/// Names the file that holds it.
const AUDIT_KEY_FILE: &str = "GREENLOOP_AUDIT_KEY_FILE";

/// The key that the environment names; `None` when it names none.
///
/// # Errors
/// A file that cannot be read, and a text that is no signing key. The text is not repeated.
pub(super) fn from_environment() -> Result<Option<SigningKey>, AppError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let (name, text) = match (set(AUDIT_KEY), set(AUDIT_KEY_FILE)) {
        (Some(text), _) => (AUDIT_KEY, text),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path);
            let failed = |source| AppError::Folder { path: path.clone().into(), source };
            (AUDIT_KEY_FILE, read.map_err(failed)?)
        }
        (None, None) => return Ok(None),
    };
    match text.parse() {
        Ok(key) => Ok(Some(key)),
        Err(error) => Err(AppError::Unsupported {
            what: format!("{name} does not hold a key that signs audit logs: {error}"),
            hint: "make one: greenloop audit keygen NAME --out FILE".to_owned(),
        }),
    }
}
