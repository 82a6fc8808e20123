//! `exec` and `attach` over SPDY: a stream for each of the command's, and one for its last words.

use std::io;

use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{FAREWELL, Frame, Frames, OPENING, Peer, Refusal, header};
use crate::streams::{Attachment, Input, Output, Size, Wanted, remote};

/// The protocols that are spoken, the newest first; the oldest has no name.
pub(crate) const PROTOCOLS: &[&str] =
    &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", ""];

/// No message about the terminal's size is longer.
const SIZE_LIMIT: usize = 4096;

/// The streams that the client has opened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Opened {
    error: Option<u32>,
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

/// Carries a command's streams until it has ended or the client is gone.
pub(crate) async fn serve(
    upgraded: Upgraded,
    protocol: &str,
    wanted: Wanted,
    start: impl FnOnce() -> Attachment,
) {
    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
    let (mut frames, peer) = (Frames::new(reader), Peer::new(writer));
    let resizes = wanted.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let opening = open(&mut frames, &peer, wanted, resizes);
    let Ok(Some(opened)) = timeout(OPENING, opening).await else {
        tracing::debug!("a client has not opened its streams");
        return;
    };
    let Attachment { input, output } = start();
    let finished = {
        let reading = read(&mut frames, &peer, &opened, input);
        let writing = write(&peer, &opened, protocol == "v4.channel.k8s.io", output);
        tokio::select! {
            finished = writing => finished,
            () = reading => return,
        }
    };
    if let Err(error) = finished {
        tracing::debug!(%error, "a client went before its command ended");
        return;
    }
    let rest = async { while frames.next().await.is_some() {} };
    // A client that does not close has had its time.
    let _ = timeout(FAREWELL, rest).await;
    let _ = peer.go_away().await;
}

/// Waits until the client has opened all streams; `None` when it is gone before.
async fn open<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    frames: &mut Frames<R>,
    peer: &Peer<W>,
    wanted: Wanted,
    resizes: bool,
) -> Option<Opened> {
    let mut opened = Opened::default();
    loop {
        let complete = opened.error.is_some()
            && opened.stdin.is_some() == wanted.stdin
            && opened.stdout.is_some() == wanted.stdout
            && opened.stderr.is_some() == wanted.stderr
            && opened.resize.is_some() == resizes;
        if complete {
            return Some(opened);
        }
        match frames.next().await? {
            Frame::Open { stream, headers, .. } => {
                let place = match header(&headers, "streamtype") {
                    "error" => Some(&mut opened.error),
                    "stdin" if wanted.stdin => Some(&mut opened.stdin),
                    "stdout" if wanted.stdout => Some(&mut opened.stdout),
                    "stderr" if wanted.stderr => Some(&mut opened.stderr),
                    "resize" if resizes => Some(&mut opened.resize),
                    _ => None,
                };
                match place.filter(|place| place.is_none()) {
                    Some(place) => {
                        *place = Some(stream);
                        peer.reply(stream).await.ok()?;
                    }
                    None => peer.reset(stream, Refusal::RefusedStream).await.ok()?,
                }
            }
            Frame::Ping { id } => peer.ping(id).await.ok()?,
            _ => {}
        }
    }
}

/// Returns when the client is gone.
async fn read<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    frames: &mut Frames<R>,
    peer: &Peer<W>,
    opened: &Opened,
    input: mpsc::Sender<Input>,
) {
    let mut sizes = BytesMut::new();
    let own = [opened.error, opened.stdin, opened.stdout, opened.stderr, opened.resize];
    while let Some(frame) = frames.next().await {
        // A command that has ended takes nothing any more; its last words are under way.
        match frame {
            Frame::Data { stream, data, fin } if opened.stdin == Some(stream) => {
                if !data.is_empty() {
                    let _ = input.send(Input::Data(data)).await;
                }
                if fin {
                    let _ = input.send(Input::End).await;
                }
            }
            Frame::Reset { stream } if opened.stdin == Some(stream) => {
                let _ = input.send(Input::End).await;
            }
            Frame::Data { stream, data, .. } if opened.resize == Some(stream) => {
                sizes.extend_from_slice(&data);
                for size in take_sizes(&mut sizes) {
                    let _ = input.send(Input::Resize(size)).await;
                }
            }
            Frame::Open { stream, .. } => {
                if peer.reset(stream, Refusal::RefusedStream).await.is_err() {
                    return;
                }
            }
            Frame::Data { stream, .. } if !own.contains(&Some(stream)) => {
                if peer.reset(stream, Refusal::InvalidStream).await.is_err() {
                    return;
                }
            }
            Frame::Ping { id } => {
                if peer.ping(id).await.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// Takes whole documents off a stream of them.
fn take_sizes(buffer: &mut BytesMut) -> Vec<Size> {
    let mut documents = serde_json::Deserializer::from_slice(buffer).into_iter();
    let (mut sizes, mut broken, mut used) = (Vec::new(), false, 0);
    while let Some(document) = documents.next() {
        match document {
            Ok(size) => {
                sizes.push(size);
                used = documents.byte_offset();
            }
            Err(error) => broken = !error.is_eof(),
        }
    }
    if broken || buffer.len() - used > SIZE_LIMIT {
        buffer.clear();
    } else {
        let _ = buffer.split_to(used);
    }
    sizes
}

/// Writes until the command has ended.
async fn write<W: AsyncWrite + Unpin>(
    peer: &Peer<W>,
    opened: &Opened,
    status: bool,
    mut output: mpsc::Receiver<Output>,
) -> io::Result<()> {
    while let Some(item) = output.recv().await {
        match (item, opened) {
            (Output::Stdout(data), Opened { stdout: Some(stream), .. })
            | (Output::Stderr(data), Opened { stderr: Some(stream), .. }) => {
                peer.data(*stream, &data, false).await?;
            }
            (Output::Exit(exit), _) => {
                let words = match status {
                    true => remote::status(&exit).to_string(),
                    false => remote::text(&exit),
                };
                for stream in [opened.stdout, opened.stderr].into_iter().flatten() {
                    peer.data(stream, &[], true).await?;
                }
                if let Some(stream) = opened.error {
                    peer.data(stream, words.as_bytes(), true).await?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn sizes_are_taken_as_they_become_whole() {
    let mut buffer = BytesMut::from(&br#"{"Width":80,"Height":24} {"Width":1"#[..]);
    assert_eq!(take_sizes(&mut buffer), [Size { width: 80, height: 24 }]);
    buffer.extend_from_slice(br#"00,"Height":50}"#);
    assert_eq!(take_sizes(&mut buffer), [Size { width: 100, height: 50 }]);
    assert_eq!(take_sizes(&mut buffer), []);
    buffer.extend_from_slice(b"nonsense");
    assert_eq!(take_sizes(&mut buffer), []);
    assert!(buffer.is_empty());
    buffer.extend_from_slice(&[b'['; 2 * SIZE_LIMIT]);
    assert_eq!(take_sizes(&mut buffer), []);
    assert!(buffer.is_empty());
}
