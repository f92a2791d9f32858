//! Whether what the store relies on is there.

use std::time::Duration;

use super::connect::TaskStore;
use super::dialect::Dialect;
use super::error::StoreError;
use super::value::args;

/// How long the database may take to answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Something that the store relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// `sqlite`, `postgres`, `notifications`, `redis`
    pub name: &'static str,
    /// Whether the store can do its work without it, only more slowly.
    pub optional: bool,
    /// Whether it is there.
    pub healthy: bool,
    /// Why not; no secrets.
    pub detail: Option<String>,
    /// How long it took to answer.
    pub latency: Option<Duration>,
}

impl TaskStore {
    /// Asks everything that the store relies on. The hub is healthy when all that is not
    /// optional is.
    pub async fn health(&self) -> Vec<Dependency> {
        let begun = tokio::time::Instant::now();
        let asked = async {
            let mut reader = self.reader().await?;
            reader.tx().one("SELECT 1 AS one", args![]).await?;
            Ok::<_, StoreError>(())
        };
        let detail = match tokio::time::timeout(HEALTH_TIMEOUT, asked).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message),
            Err(_late) => Some(format!("no answer within {} s", HEALTH_TIMEOUT.as_secs())),
        };
        let name = match self.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        };
        let mut all = vec![Dependency {
            name,
            optional: false,
            healthy: detail.is_none(),
            latency: detail.is_none().then(|| begun.elapsed()),
            detail,
        }];
        let wakers = [("notifications", self.listening()), ("redis", self.redis())];
        for (name, status) in wakers {
            if let Some(status) = status {
                let healthy = status.is_connected();
                let detail = (!healthy).then(|| "no connection; polling instead".to_owned());
                all.push(Dependency { name, optional: true, healthy, detail, latency: None });
            }
        }
        all
    }
}
