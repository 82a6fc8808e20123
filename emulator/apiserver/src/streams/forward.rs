//! `port-forward`: connections to ports of a pod, and their channels over WebSocket.

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::websocket::{self, Protocol, Socket};
use super::{WAITING, spdy};
use crate::kubelet::stream::{Connection, Entrance};

/// The WebSocket subprotocol that carries SPDY, which carries the connections.
pub(crate) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// What a tunnel holds back for a slow side.
const TUNNEL_BYTES: usize = 64 * 1024;

/// Ports of one WebSocket: each has two of the 256 channels.
const MOST: usize = 100;

const CHUNK: usize = 32 * 1024;

/// A pod whose ports are wanted.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) entrance: Entrance,
    pub(crate) pod: String,
    pub(crate) uid: String,
}

impl Forward {
    /// Connects; the error is for the client.
    pub(crate) async fn connect(&self, port: u16) -> Result<Connection, String> {
        self.entrance.connect(port).await.map_err(|error| {
            format!(
                "error forwarding port {port} to pod {}, uid {}: failed to connect to localhost:{port} inside the pod: {error}",
                self.pod, self.uid
            )
        })
    }
}

/// A port as queries and headers give it.
///
/// # Errors
/// What to tell the client.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("unable to parse {text:?} as a port")),
    }
}

/// The ports of a request that has a channel for each.
///
/// # Errors
/// What to tell the client.
pub(crate) fn parse_ports<'a>(values: impl Iterator<Item = &'a str>) -> Result<Vec<u16>, String> {
    let ports: Result<Vec<u16>, String> =
        values.flat_map(|value| value.split(',')).map(parse_port).collect();
    match ports?.as_slice() {
        [] => Err("query parameter \"port\" is required".to_owned()),
        ports if ports.len() > MOST => Err(format!("no more than {MOST} ports are forwarded")),
        ports => Ok(ports.to_vec()),
    }
}

type Sink = Mutex<SplitSink<Socket, Message>>;

/// Serves one connection for each port, until all have ended or the client is gone.
pub(crate) async fn serve(socket: Socket, protocol: Protocol, ports: Vec<u16>, forward: Forward) {
    let (sink, mut stream) = socket.split();
    let sink = Mutex::new(sink);
    let (mut senders, mut connections) = (Vec::new(), Vec::new());
    for (index, port) in ports.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
        senders.push(sender);
        let Ok(channel) = u8::try_from(2 * index) else { return };
        connections.push(carry(&sink, protocol, channel, port, &forward, receiver));
    }
    let reading = async {
        while let Some((channel, data)) = websocket::next(&mut stream, protocol).await {
            let sender = senders.get(usize::from(channel) / 2).filter(|_| channel % 2 == 0);
            if let Some(sender) = sender.filter(|_| !data.is_empty()) {
                // A connection that has ended takes nothing any more.
                let _ = sender.send(data).await;
            }
        }
    };
    tokio::select! {
        _ = join_all(connections) => {}
        () = reading => {}
    }
    websocket::farewell(sink.into_inner(), stream).await;
}

/// Carries the connection of a channel to its end.
async fn carry(
    sink: &Sink,
    protocol: Protocol,
    channel: u8,
    port: u16,
    forward: &Forward,
    mut receiver: mpsc::Receiver<Bytes>,
) {
    let send = |channel: u8, data: Bytes| async move {
        sink.lock().await.send(websocket::message(protocol, channel, &data)).await
    };
    // The first message of each channel says which port it is for.
    for channel in [channel, channel + 1] {
        if send(channel, Bytes::copy_from_slice(&port.to_le_bytes())).await.is_err() {
            return;
        }
    }
    let mut connection = match forward.connect(port).await {
        Ok(connection) => connection,
        Err(message) => {
            // Whoever has gone wants no answer.
            let _ = send(channel + 1, message.into()).await;
            return;
        }
    };
    let up = async {
        while let Some(data) = receiver.recv().await {
            if connection.writer.write_all(&data).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let down = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            match connection.reader.read_buf(&mut buffer).await {
                Ok(count) if count > 0 => {}
                _ => return,
            }
            if send(channel, buffer.split().freeze()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Carries SPDY, which carries the connections.
pub(crate) async fn tunnel(socket: Socket, forward: Forward) {
    let (near, far) = tokio::io::duplex(TUNNEL_BYTES);
    let (mut sink, mut stream) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(near);
    let inward = async {
        while let Some(Ok(message)) = stream.next().await {
            let data: Bytes = match message {
                Message::Binary(data) => data,
                Message::Close(_) => break,
                _ => continue,
            };
            if writer.write_all(&data).await.is_err() {
                break;
            }
        }
    };
    let outward = outward(&mut reader, &mut sink);
    tokio::select! {
        () = inward => {}
        () = outward => {}
        () = spdy::forward::serve(far, forward) => {}
    }
    websocket::farewell(sink, stream).await;
}

async fn outward(
    reader: &mut tokio::io::ReadHalf<DuplexStream>,
    sink: &mut SplitSink<Socket, Message>,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match reader.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        if sink.send(Message::Binary(buffer.split().freeze())).await.is_err() {
            return;
        }
    }
}
