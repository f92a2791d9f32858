//! The last look at bytes that leave the machine.
//!
//! Texts are redacted where they come in. What is sent is put together from many of them later,
//! by code that may have forgotten one: so the finished bytes are held against the known values
//! once more. The redactors register themselves with [`Redactor::guard_exits`], because a check
//! that depends on being handed the right redactor is forgotten in the same places.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use super::Redactor;

/// Shorter values are left alone: replacing a word of a protocol breaks it.
const SHORTEST: usize = 8;

static GUARDS: RwLock<Vec<Redactor>> = RwLock::new(Vec::new());

impl Redactor {
    /// Holds everything that leaves this process against the values of this redactor, also
    /// against those that it learns later.
    #[must_use]
    pub fn guard_exits(self) -> Self {
        let mut guards = GUARDS.write().unwrap_or_else(PoisonError::into_inner);
        if !guards.iter().any(|guard| Arc::ptr_eq(&guard.known, &self.known)) {
            guards.push(self.clone());
        }
        self
    }

    /// As [`last_check`], against the values of this redactor alone.
    pub fn check_outgoing(&self, body: &[u8]) -> Option<Vec<u8>> {
        let spans = self.known().index.find_exact(body);
        cover(body, spans.into_iter().filter(|span| counts(body.get(span.clone()))))
    }
}

/// The finished bytes of a request without the known values of all redactors that guard the
/// exits; `None` when there are none. What is replaced keeps its length, so that formats with
/// lengths in them stay valid: digits become zeros, everything else asterisks.
pub fn last_check(body: &[u8]) -> Option<Vec<u8>> {
    let guards = GUARDS.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut covered: Option<Vec<u8>> = None;
    for guard in guards {
        let now = covered.as_deref().unwrap_or(body);
        covered = guard.check_outgoing(now).or(covered);
    }
    covered
}

/// Whether a value that was found is replaced: words in small letters are what protocols are made
/// of, and no generated credential is one.
fn counts(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| {
        value.len() >= SHORTEST
            && !value.iter().all(|b| b.is_ascii_lowercase() || b"-_./ ".contains(b))
    })
}

fn cover(body: &[u8], spans: impl Iterator<Item = Range<usize>>) -> Option<Vec<u8>> {
    let mut covered: Option<Vec<u8>> = None;
    for span in spans {
        let out = covered.get_or_insert_with(|| body.to_vec());
        if let Some(value) = out.get_mut(span) {
            let number = value.iter().all(u8::is_ascii_digit);
            value.fill(if number { b'0' } else { b'*' });
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_covered_and_lengths_stay() {
        let redactor = Redactor::new(
            ["Tr0ub4dor\"&3", "123456789", "assistant", "s3cret"].map(ToOwned::to_owned),
        );
        for (body, expect) in [
            (r#"{"a":"x Tr0ub4dor\"&3 y"}"#, Some(r#"{"a":"x ************* y"}"#)),
            (r#"{"n":123456789}"#, Some(r#"{"n":000000000}"#)),
            (r#"{"role":"assistant","s":"s3cret"}"#, None),
            ("nothing", None),
        ] {
            let checked = redactor.check_outgoing(body.as_bytes());
            let checked = checked.map(|body| String::from_utf8(body).expect("text"));
            assert_eq!(checked.as_deref(), expect);
        }
    }

    #[test]
    fn every_guard_is_asked_also_for_what_it_learns_later() {
        let first = Redactor::new(["Guard-One-11".to_owned()]).guard_exits();
        let _second = Redactor::new(["Guard-Two-22".to_owned()]).guard_exits();
        assert_eq!(last_check(b"x"), None);
        first.learn(["Guard-Three-33".to_owned()]);
        let covered = last_check(b"Guard-One-11 Guard-Two-22 Guard-Three-33 rest");
        assert_eq!(covered.as_deref(), Some(&b"************ ************ ************** rest"[..]));
    }
}
