//! `port-forward` over SPDY: each connection is a stream for its data and one for its error.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CHUNK, Frame, Frames, Headers, Peer, Refusal, header};
use crate::streams::WAITING;
use crate::streams::forward::{Forward, parse_port};

/// The only protocol that there is.
pub(crate) const PROTOCOL: &str = "portforward.k8s.io";

/// Streams that a client may have open at one time.
const MOST: usize = 2000;

/// Serves connections until the client is gone.
pub(crate) async fn serve<S>(socket: S, forward: Forward)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = tokio::io::split(socket);
    let mut frames = Frames::new(reader);
    let mut connections = Connections {
        peer: Arc::new(Peer::new(writer)),
        forward: Arc::new(forward),
        half: HashMap::new(),
        open: HashMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        tokio::select! {
            frame = frames.next() => {
                let Some(frame) = frame else { break };
                if connections.take(frame).await.is_err() {
                    break;
                }
            }
            Some(ended) = connections.tasks.join_next() => {
                if let Ok((data, error)) = ended {
                    connections.open.remove(&data);
                    connections.open.remove(&error);
                }
            }
        }
    }
}

struct Connections<W> {
    peer: Arc<Peer<W>>,
    forward: Arc<Forward>,
    /// Connections of which one stream is open, by the number that the client gave.
    half: HashMap<String, Half>,
    open: HashMap<u32, Stream>,
    tasks: JoinSet<(u32, u32)>,
}

struct Half {
    is_error: bool,
    stream: u32,
    port: u16,
}

/// A stream of a connection that is served.
enum Stream {
    Data { sender: Option<mpsc::Sender<Bytes>>, _reset: DropGuard },
    Error,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Connections<W> {
    async fn take(&mut self, frame: Frame) -> std::io::Result<()> {
        match frame {
            Frame::Open { stream, headers, .. } => self.begin(stream, &headers).await,
            Frame::Data { stream, data, fin } => self.hand_on(stream, data, fin).await,
            Frame::Reset { stream } => {
                self.open.remove(&stream);
                self.half.retain(|_, half| half.stream != stream);
                Ok(())
            }
            Frame::Ping { id } => self.peer.ping(id).await,
            Frame::GoAway | Frame::Other => Ok(()),
        }
    }

    async fn begin(&mut self, stream: u32, headers: &Headers) -> std::io::Result<()> {
        let port = parse_port(header(headers, "port"));
        let is_error = match header(headers, "streamtype") {
            "error" => Some(true),
            "data" => Some(false),
            _ => None,
        };
        let room = self.open.len() + self.half.len() < MOST;
        let (Ok(port), Some(is_error), true) = (port, is_error, room) else {
            return self.peer.reset(stream, Refusal::RefusedStream).await;
        };
        let number = match header(headers, "requestid") {
            // The oldest clients open the stream for errors first, and give no number.
            "" if is_error => stream.to_string(),
            "" => stream.saturating_sub(2).to_string(),
            number => number.to_owned(),
        };
        match self.half.remove(&number) {
            None => {
                self.half.insert(number, Half { is_error, stream, port });
            }
            Some(half) if half.is_error != is_error && half.port == port => {
                let (data, error) =
                    if is_error { (half.stream, stream) } else { (stream, half.stream) };
                self.connect(data, error, port);
            }
            Some(half) => {
                self.half.insert(number, half);
                return self.peer.reset(stream, Refusal::RefusedStream).await;
            }
        }
        self.peer.reply(stream).await
    }

    fn connect(&mut self, data: u32, error: u32, port: u16) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let reset = CancellationToken::new();
        let stream = Stream::Data { sender: Some(sender), _reset: reset.clone().drop_guard() };
        self.open.insert(data, stream);
        self.open.insert(error, Stream::Error);
        let (peer, forward) = (self.peer.clone(), self.forward.clone());
        self.tasks.spawn(async move {
            let carried = carry(&peer, data, port, &forward, receiver);
            let said = tokio::select! {
                said = carried => said,
                () = reset.cancelled() => String::new(),
            };
            // Whoever has gone wants no answer.
            let _ = peer.data(error, said.as_bytes(), true).await;
            (data, error)
        });
    }

    async fn hand_on(&mut self, stream: u32, data: Bytes, fin: bool) -> std::io::Result<()> {
        match self.open.get_mut(&stream) {
            Some(Stream::Data { sender, .. }) => {
                if let Some(sender) = sender.as_ref().filter(|_| !data.is_empty()) {
                    // A connection that has ended takes nothing any more.
                    let _ = sender.send(data).await;
                }
                if fin {
                    *sender = None;
                }
                Ok(())
            }
            Some(Stream::Error) => Ok(()),
            // The stream for errors may be ended before the one for data is opened.
            None if self.half.values().any(|half| half.stream == stream) => Ok(()),
            None if data.is_empty() => Ok(()),
            None => self.peer.reset(stream, Refusal::InvalidStream).await,
        }
    }
}

/// Carries one connection to its end; what there is to say about it.
async fn carry<W: AsyncWrite + Unpin>(
    peer: &Peer<W>,
    stream: u32,
    port: u16,
    forward: &Forward,
    mut receiver: mpsc::Receiver<Bytes>,
) -> String {
    let mut connection = match forward.connect(port).await {
        Ok(connection) => connection,
        Err(message) => {
            // Whoever has gone wants no answer.
            let _ = peer.data(stream, &[], true).await;
            return message;
        }
    };
    let up = async {
        while let Some(data) = receiver.recv().await {
            if connection.writer.write_all(&data).await.is_err() {
                return;
            }
        }
        // Where it has ended already nothing has to be closed.
        let _ = connection.writer.shutdown().await;
    };
    let down = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            let count = connection.reader.read_buf(&mut buffer).await.unwrap_or(0);
            let data = buffer.split();
            if peer.data(stream, &data, count == 0).await.is_err() || count == 0 {
                return;
            }
        }
    };
    // The client's end may come long after the other, or never: then the connection is over.
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut down => {}
        () = &mut up => down.await,
    }
    String::new()
}
