//! The last look at what is sent to models, hubs, code hosts and telemetry.

use std::borrow::Cow;

use greenloop_evidence::last_check;

/// The finished bytes of a request to `exit` (`the model`), without values that are known to be
/// secret. That one came this far is a fault elsewhere, and is logged as one, without the value.
pub fn checked<'a>(exit: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    match last_check(body) {
        None => Cow::Borrowed(body),
        Some(covered) => {
            let bytes = covered.iter().zip(body).filter(|(now, was)| now != was).count();
            tracing::warn!(
                exit,
                bytes,
                "the request to {exit} contained a secret value; it was replaced before sending"
            );
            Cow::Owned(covered)
        }
    }
}
