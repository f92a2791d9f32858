//! Identities: of several parts together, and of what a model says.

use sha2::{Digest, Sha256};

use greenloop_model::Fingerprint;

/// The identity of a failure that has these parts. The parts are taken as they are: what may
/// differ between two runs of the same failure must have been normalised before.
pub fn combined(parts: &[&str]) -> Fingerprint {
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

/// The identity of what a model says. White space at the ends of lines and empty lines do not
/// count; that at their beginning does, for code may hang on it.
pub fn of_answer(text: &str) -> Fingerprint {
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    combined(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_that_says_nothing_does_not_count() {
        let answer = of_answer("a\n  b\n");
        for same in ["a\r\n  b", "\n\na  \n\n  b\t\n\n"] {
            assert_eq!(of_answer(same), answer, "{same:?}");
        }
        for other in ["a\nb\n", "a\n  b\nc", "a   b", ""] {
            assert_ne!(of_answer(other), answer, "{other:?}");
        }
        assert_eq!(of_answer(""), of_answer(" \n"));
    }
}
