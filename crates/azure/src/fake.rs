//! A credential for tests that have no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::time::OffsetDateTime;

/// Gives `token-1`, `token-2`, … that live this many seconds; none when negative.
#[derive(Debug)]
pub struct Counting {
    pub asked: AtomicU32,
    lives: i64,
}

impl Counting {
    pub fn living(lives: i64) -> Arc<Self> {
        Arc::new(Self { asked: AtomicU32::new(0), lives })
    }
}

#[async_trait::async_trait]
impl TokenCredential for Counting {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        // Whoever else asks has time to get in between.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if self.lives < 0 {
            return Err(azure_core::Error::with_message(ErrorKind::Credential, "no"));
        }
        let expires = OffsetDateTime::now_utc() + Duration::from_secs(self.lives as u64);
        Ok(AccessToken::new(format!("token-{nth}"), expires))
    }
}
