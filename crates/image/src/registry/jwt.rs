//! The one thing that is read in a token: when it runs out. It is never trusted for more; whom
//! it is for checks its signature.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    exp: Option<u64>,
}

/// How long a token still lives, when it says; zero for one that has run out.
pub(super) fn life(token: &str, now: SystemTime) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let ends = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp?))?;
    Some(ends.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A token that runs out after this many seconds, unsigned.
    pub(in crate::registry) fn living(seconds: i64, name: &str) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let exp = now.as_secs().saturating_add_signed(seconds);
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"jti\":\"{name}\",\"exp\":{exp}}}"));
        format!("eyJhbGciOiJub25lIn0.{claims}.c2ln")
    }

    #[test]
    fn only_a_token_that_says_has_a_life() {
        let now = SystemTime::now();
        let close = |token: &str| life(token, now).map(|life| life.as_secs().div_ceil(10));
        assert_eq!(close(&living(3600, "a")), Some(360));
        assert_eq!(close(&living(-5, "a")), Some(0));
        for other in ["", "a.b", "a.b.c", "opaque", "..", "a.e30.c"] {
            assert_eq!(life(other, now), None, "{other}");
        }
    }
}
