//! Stands between the engine and a real registry and plays one trick on the first manifest that
//! is put.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the first manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trick {
    /// It arrives, and the connection is cut before the answer is passed on.
    LoseFirstAnswer,
    /// It does not arrive: the answer is a 503.
    BusyOnce,
}

/// A proxy that lives as long as its value.
pub(super) struct Proxy {
    port: u16,
    put: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(registry: &str, trick: Trick) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let put = Arc::new(AtomicUsize::new(0));
        let (registry, counter) = (registry.to_owned(), Arc::clone(&put));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (registry, counter) = (registry.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let _cut = pass_on(client, &registry, trick, &counter).await;
                });
            }
        });
        Self { port, put, task }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many manifests were sent, under any tag.
    pub(super) fn manifests_put(&self) -> usize {
        self.put.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection.
async fn pass_on(
    mut client: TcpStream,
    registry: &str,
    trick: Trick,
    put: &AtomicUsize,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let first_line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let first_line = String::from_utf8_lossy(first_line).into_owned();
    let manifest = first_line.starts_with("PUT ") && first_line.contains("/manifests/");
    let nth = if manifest { put.fetch_add(1, Ordering::SeqCst) } else { usize::MAX };
    if nth == 0 && trick == Trick::BusyOnce {
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(answer.as_bytes()).await?;
        return client.shutdown().await;
    }
    let mut upstream = TcpStream::connect(registry).await?;
    let rest = head.split_off(first_line.len() + 2);
    upstream.write_all(&head).await?;
    upstream.write_all(b"Connection: close\r\n").await?;
    upstream.write_all(&rest).await?;
    if nth == 0 && trick == Trick::LoseFirstAnswer {
        let (mut from_client, _to_client) = client.split();
        let (mut from_registry, mut to_registry) = upstream.split();
        let mut answer = Vec::new();
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_registry) => {}
            _ = from_registry.read_to_end(&mut answer) => {}
        }
        return Ok(());
    }
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
