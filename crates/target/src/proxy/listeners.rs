//! Where a supervisor listens, and how its address moves: the one that serves stays open until a
//! release has been verified at the next.

use tokio::sync::watch;

use super::listener::{Backend, BindError, ProxyListener};

/// The listeners of one target. All forward to the same release.
#[derive(Debug)]
pub(crate) struct Listeners {
    backends: watch::Receiver<Option<Backend>>,
    current: Option<ProxyListener>,
    former: Option<PreviousAddress>,
}

/// What is listened at again when the release that moved the address is not verified.
#[derive(Debug)]
struct PreviousAddress {
    address: String,
    /// `None` while it cannot be held beside the current one: `0.0.0.0:80` covers `127.0.0.1:80`.
    front: Option<ProxyListener>,
}

impl Listeners {
    pub(crate) fn new(backends: watch::Receiver<Option<Backend>>) -> Self {
        Self { backends, current: None, former: None }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the address has moved and may yet move back.
    pub(crate) fn has_moved(&self) -> bool {
        self.former.is_some()
    }

    /// Listens at `address`, and only there.
    pub(crate) async fn open(&mut self, address: &str) -> Result<(), BindError> {
        if !self.is_at(address) {
            self.current = Some(match self.bind(address).await {
                Err(BindError::InUse { .. }) if self.covers(address) => {
                    let _nothing_serves_there = self.close_current().await;
                    self.bind(address).await?
                }
                bound => bound?,
            });
        }
        self.former = None;
        Ok(())
    }

    /// Listens at `address` besides `serving`, which it listens at again after
    /// [`Listeners::move_back`]. When it cannot, nothing changes.
    pub(crate) async fn move_to(&mut self, address: &str, serving: &str) -> Result<(), BindError> {
        if address == serving {
            self.move_back().await;
            return self.open(address).await;
        }
        if self.is_at(address) {
            return Ok(());
        }
        let next = match self.bind(address).await {
            Err(BindError::InUse { .. }) if self.covers(address) => {
                let before = self.close_current().await;
                match self.bind(address).await {
                    Ok(front) => front,
                    Err(error) => {
                        if let Some(before) = before {
                            self.current = self.bind(&before).await.ok();
                        }
                        return Err(error);
                    }
                }
            }
            bound => bound?,
        };
        let last = self.current.replace(next);
        if self.former.is_none() {
            self.former = Some(PreviousAddress { address: serving.to_owned(), front: last });
        }
        Ok(())
    }

    /// The move is for good: closes the former address. The one that serves from now on.
    pub(crate) fn stay(&mut self) -> Option<&str> {
        self.former = None;
        self.current.as_ref().map(|front| front.address.as_str())
    }

    /// Listens at the former address again, and only there.
    pub(crate) async fn move_back(&mut self) {
        let Some(PreviousAddress { address, front }) = self.former.take() else { return };
        let _moved_from = self.close_current().await;
        self.current = front;
        if self.current.is_none() {
            self.current = match self.bind(&address).await {
                Ok(front) => Some(front),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "not listening again \
                        yet"
                    );
                    None
                }
            };
        }
    }

    pub(crate) fn close(&mut self) {
        self.former = None;
        self.current = None;
    }

    /// Closes the current listener, so that its address can be bound when this returns.
    async fn close_current(&mut self) -> Option<String> {
        let front = self.current.take()?;
        let address = front.address.clone();
        front.close().await;
        Some(address)
    }

    fn is_at(&self, address: &str) -> bool {
        self.current.as_ref().is_some_and(|front| front.address == address)
    }

    /// Whether it may be the current listener that keeps `address` from being bound.
    fn covers(&self, address: &str) -> bool {
        let port = |address: &str| address.rsplit(':').next().map(str::to_owned);
        self.current.as_ref().is_some_and(|front| port(&front.address) == port(address))
    }

    async fn bind(&self, address: &str) -> Result<ProxyListener, BindError> {
        ProxyListener::bind(address, self.backends.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn listeners() -> Listeners {
        Listeners::new(watch::channel(None).1)
    }

    async fn free() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    /// Which of these addresses take connections.
    async fn open(addresses: [&str; 2]) -> [bool; 2] {
        let [one, two] = addresses;
        [TcpStream::connect(one).await.is_ok(), TcpStream::connect(two).await.is_ok()]
    }

    /// A closed listener's task ends soon after.
    async fn until_open(addresses: [&str; 2], expect: [bool; 2]) {
        while open(addresses).await != expect {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_address_moves_and_stays_or_moves_back() {
        let (old, new) = (free().await, free().await);
        let both = [old.as_str(), new.as_str()];
        let mut listeners = listeners();
        listeners.open(&old).await.unwrap();
        listeners.move_to(&new, &old).await.unwrap();
        assert_eq!(open(both).await, [true, true]);
        listeners.move_back().await;
        until_open(both, [true, false]).await;
        listeners.move_to(&new, &old).await.unwrap();
        assert_eq!(listeners.stay(), Some(new.as_str()));
        until_open(both, [false, true]).await;
        assert!(!listeners.has_moved());
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_changes_nothing() {
        let old = free().await;
        let foreign_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = foreign_listener.local_addr().unwrap().to_string();
        let mut listeners = listeners();
        listeners.open(&old).await.unwrap();
        assert!(listeners.move_to(&taken, &old).await.is_err());
        assert!(!listeners.has_moved() && TcpStream::connect(&old).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_that_covers_the_former_takes_its_place_and_gives_it_back() {
        let old = free().await;
        let wide = old.replace("127.0.0.1", "0.0.0.0");
        let mut listeners = listeners();
        listeners.open(&old).await.unwrap();
        listeners.move_to(&wide, &old).await.unwrap();
        assert!(TcpStream::connect(&old).await.is_ok());
        listeners.move_back().await;
        assert!(TcpStream::connect(&old).await.is_ok());
        assert!(listeners.is_at(&old));
    }
}
