//! The channel protocols over WebSocket: the first byte of a message is the number of its channel.
//!
//! Without a subprotocol, and with `channel.k8s.io`, the last words are plain text; with
//! `v4.channel.k8s.io` and later they are a `Status`; with `v5.channel.k8s.io` the client can end a
//! single channel. The `base64.` forms send text, with a digit for the channel.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::activity::Activity;
use super::{Attachment, Input, Output, Wanted, remote};

/// Nothing larger is taken as one message.
const MESSAGE_LIMIT: usize = 32 * 1024 * 1024;

/// How long the client may take to close its side after the end.
const FAREWELL: Duration = Duration::from_secs(5);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What was agreed upon with the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: &'static str,
    /// Messages are text.
    base64: bool,
    /// The last words are a `Status`.
    status: bool,
    /// The client can end a channel.
    pub(crate) close: bool,
}

const fn protocol(name: &'static str, base64: bool, status: bool, close: bool) -> Protocol {
    Protocol { name, base64, status, close }
}

const V5: Protocol = protocol("v5.channel.k8s.io", false, true, true);
const V4: Protocol = protocol("v4.channel.k8s.io", false, true, false);
const V4_TEXT: Protocol = protocol("v4.base64.channel.k8s.io", true, true, false);
const V1: Protocol = protocol("channel.k8s.io", false, false, false);
const V1_TEXT: Protocol = protocol("base64.channel.k8s.io", true, false, false);
const NONE: Protocol = protocol("", false, false, false);

/// The protocols of `exec` and `attach`.
pub(crate) const REMOTE: &[Protocol] = &[V5, V4, V4_TEXT, V1, V1_TEXT];
/// The protocols of `port-forward` with a channel for each port.
pub(crate) const FORWARD: &[Protocol] = &[V4, V4_TEXT];

/// Whether a client asks for WebSocket.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    text(headers, "upgrade").eq_ignore_ascii_case("websocket")
}

/// Picks a protocol: version 5 where it is offered, else the first that both know.
///
/// # Errors
/// When the client names protocols and none is known.
pub(crate) fn negotiate(
    headers: &HeaderMap,
    known: &'static [Protocol],
) -> Result<Protocol, String> {
    let offered = offered(headers);
    if offered.is_empty() {
        return Ok(NONE);
    }
    let find = |name: &str| known.iter().find(|one| one.name == name).copied();
    if let Some(found) = find(V5.name).filter(|v5| offered.contains(&v5.name)) {
        return Ok(found);
    }
    offered.iter().find_map(|name| find(name)).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|one| one.name).collect();
        format!(
            "requested protocol(s) are not supported: [{}]; supports [{}]",
            offered.join(" "),
            known.join(" ")
        )
    })
}

/// The protocols that the client names.
pub(crate) fn offered(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all("sec-websocket-protocol").iter();
    let names = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    names.map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The answer that begins the WebSocket.
///
/// # Errors
/// When the request is no opening handshake.
pub(crate) fn accept<B: Default>(
    headers: &HeaderMap,
    protocol: &str,
) -> Result<Response<B>, &'static str> {
    let key = text(headers, "sec-websocket-key");
    if key.is_empty() {
        return Err("the header Sec-WebSocket-Key is missing");
    }
    if text(headers, "sec-websocket-version") != "13" {
        return Err("the header Sec-WebSocket-Version must be 13");
    }
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for (name, value) in [
        ("sec-websocket-accept", derive_accept_key(key.as_bytes()).as_str()),
        ("sec-websocket-protocol", protocol),
    ] {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            answer.insert(name, value);
        }
    }
    Ok(response)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The WebSocket on a connection whose handshake is done.
pub(crate) async fn open(upgraded: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await
}

/// Carries a command's streams until it has ended or the client is gone.
pub(crate) async fn serve(
    socket: Socket,
    protocol: Protocol,
    wanted: Wanted,
    attachment: Attachment,
) {
    let Attachment { input, output } = attachment;
    let (mut sink, mut stream) = socket.split();
    let activity = Activity::begin();
    let finished = tokio::select! {
        finished = write(&mut sink, protocol, wanted, output, &activity) => finished,
        () = read(&mut stream, protocol, wanted, input, &activity) => Ok(()),
        () = activity.ceased() => Ok(()),
    };
    if let Err(error) = finished {
        tracing::debug!(%error, "a client went before its command ended");
        return;
    }
    farewell(sink, stream).await;
}

/// Closes the socket and waits a little for the client to have read all of it.
pub(crate) async fn farewell(
    mut sink: SplitSink<Socket, Message>,
    mut stream: SplitStream<Socket>,
) {
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let closed = async {
        sink.send(Message::Close(Some(close))).await?;
        while stream.next().await.is_some_and(|message| message.is_ok()) {}
        Ok::<(), Error>(())
    };
    // A client that does not answer has had its time.
    let _ = timeout(FAREWELL, closed).await;
}

/// Returns when the client is gone, or breaks the protocol.
async fn read(
    stream: &mut SplitStream<Socket>,
    protocol: Protocol,
    wanted: Wanted,
    input: mpsc::Sender<Input>,
    activity: &Activity,
) {
    while let Some((channel, data)) = next(stream, protocol, activity).await {
        let item = match channel {
            CLOSE if protocol.close => match data.as_ref() {
                [STDIN] => Input::End,
                [_] => continue,
                _ => return,
            },
            STDIN if wanted.stdin && !data.is_empty() => Input::Data(data),
            RESIZE => match serde_json::from_slice(&data) {
                Ok(size) => Input::Resize(size),
                Err(_) => continue,
            },
            _ => continue,
        };
        // A command that has ended takes nothing any more; its last words are under way.
        let _ = input.send(item).await;
    }
}

/// The next message, with its channel.
pub(crate) async fn next(
    stream: &mut SplitStream<Socket>,
    protocol: Protocol,
    activity: &Activity,
) -> Option<(u8, Bytes)> {
    loop {
        let message = stream.next().await?;
        activity.note();
        let data: Bytes = match message {
            Ok(Message::Binary(data)) => data,
            Ok(Message::Text(data)) => data.into(),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => continue,
        };
        let Some(&channel) = data.first() else { continue };
        if !protocol.base64 {
            return Some((channel, data.slice(1..)));
        }
        match STANDARD.decode(&data[1..]) {
            Ok(decoded) => return Some((channel.wrapping_sub(b'0'), decoded.into())),
            Err(_) => return None,
        }
    }
}

/// Writes until the command has ended.
async fn write(
    sink: &mut SplitSink<Socket, Message>,
    protocol: Protocol,
    wanted: Wanted,
    mut output: mpsc::Receiver<Output>,
    activity: &Activity,
) -> Result<(), Error> {
    // An empty message on the first channel tells the client that it is connected.
    let first = match (wanted.stdout, wanted.stderr) {
        (true, _) => STDOUT,
        (false, true) => STDERR,
        (false, false) => ERROR,
    };
    sink.send(message(protocol, first, b"")).await?;
    while let Some(item) = output.recv().await {
        activity.note();
        match item {
            Output::Stdout(data) => sink.send(message(protocol, STDOUT, &data)).await?,
            Output::Stderr(data) => sink.send(message(protocol, STDERR, &data)).await?,
            Output::Exit(exit) => {
                let words = match protocol.status {
                    true => remote::status(&exit).to_string(),
                    false => remote::text(&exit),
                };
                if !words.is_empty() {
                    sink.send(message(protocol, ERROR, words.as_bytes())).await?;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A message on a channel.
pub(crate) fn message(protocol: Protocol, channel: u8, data: &[u8]) -> Message {
    if protocol.base64 {
        let mut text = String::from(char::from(b'0'.wrapping_add(channel)));
        STANDARD.encode_string(data, &mut text);
        return Message::Text(text.into());
    }
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}
