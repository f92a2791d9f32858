//! One fingerprint from several.

use sha2::{Digest, Sha256};

use crate::model::Fingerprint;

/// The identity of a failure that has these parts. The parts are taken as they are: what may
/// differ between two runs of the same failure must have been normalised before.
pub(super) fn combined(parts: &[&str]) -> Fingerprint {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Fingerprint::from_digest(first)
}
