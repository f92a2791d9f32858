//! The signature of a delivery, after Standard Webhooks: HMAC-SHA256 over id, time and body
//! (<https://github.com/standard-webhooks/standard-webhooks>). The time is part of it, so that an old
//! delivery cannot be sent again by somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The beginning of a secret that is base64.
const PREFIX: &str = "whsec_";

/// The header `webhook-signature`: `v1,BASE64`.
pub fn signature(secret: &SecretString, id: &str, at: i64, body: &[u8]) -> String {
    let key = key(secret.expose_secret());
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        // Keys of any length are taken.
        return String::new();
    };
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// `whsec_` and base64, or the text itself.
fn key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix(PREFIX).and_then(|it| STANDARD.decode(it).ok());
    encoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn it_is_the_one_that_other_libraries_verify() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn another_time_or_body_has_another_signature() {
        let secret = SecretString::from("plain".to_owned());
        let one = signature(&secret, "i", 1, b"body");
        assert_ne!(one, signature(&secret, "i", 2, b"body"));
        assert_ne!(one, signature(&secret, "i", 1, b"bodY"));
    }
}
