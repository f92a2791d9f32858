//! `pods/portforward` over a WebSocket (`v4.channel.k8s.io`, `v5.channel.k8s.io`): two channels per
//! port, data and error, each starting with the port number.

use std::collections::BTreeMap;

use axum::extract::ws::{Message, WebSocket};
use futures::SinkExt as _;
use futures::stream::{SplitSink, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

/// The real addresses of a pod's ports, by container port.
pub(crate) type Backends = BTreeMap<u16, std::net::SocketAddr>;

async fn pump(mut sink: SplitSink<WebSocket, Message>, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if sink.send(Message::Binary(frame.into())).await.is_err() {
            return;
        }
    }
    let _gone = sink.close().await;
}

/// Copies bytes until either side closes.
pub(crate) async fn forward(socket: WebSocket, ports: Vec<u16>, backends: Backends) {
    let (sink, mut stream) = socket.split();
    let (frames, waiting) = mpsc::channel::<Vec<u8>>(16);
    let pump = tokio::spawn(pump(sink, waiting));
    let mut writers: Vec<Option<OwnedWriteHalf>> = Vec::new();
    for (place, port) in ports.iter().enumerate() {
        let data = u8::try_from(place * 2).unwrap();
        for channel in [data, data + 1] {
            let [low, high] = port.to_le_bytes();
            let _gone = frames.send(vec![channel, low, high]).await;
        }
        let connected = match backends.get(port) {
            Some(address) => TcpStream::connect(address).await.map_err(|e| e.to_string()),
            None => Err("connect: connection refused".to_owned()),
        };
        match connected {
            Ok(connection) => {
                let (mut reader, writer) = connection.into_split();
                writers.push(Some(writer));
                let frames = frames.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                        let mut frame = vec![data];
                        frame.extend_from_slice(&buffer[..count]);
                        if frames.send(frame).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Err(why) => {
                writers.push(None);
                let mut frame = vec![data + 1];
                frame.extend_from_slice(
                    format!(
                        "error forwarding port {port} to pod, uid : failed to execute portforward \
                         in network namespace: failed to connect to localhost:{port} inside \
                         namespace: {why}"
                    )
                    .as_bytes(),
                );
                let _gone = frames.send(frame).await;
            }
        }
    }
    drop(frames);
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(bytes) if !bytes.is_empty() => {
                let writer = writers.get_mut(usize::from(bytes[0] / 2)).and_then(Option::as_mut);
                if let Some(writer) = writer
                    && writer.write_all(&bytes[1..]).await.is_err()
                {
                    break;
                }
            }
            Message::Close(_) => break,
            _ => {}
        }
    }
    drop(writers);
    pump.abort();
}
