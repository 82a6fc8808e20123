//! SPDY/3.1, as far as clients of Kubernetes speak it: many streams on one connection.
//!
//! The client opens every stream, and says in its headers what it is for. There is no flow
//! control per stream: neither side of the real pair has it.

pub(crate) mod forward;
mod headers;
pub(crate) mod remote;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use self::headers::{Deflater, Inflater};
use super::activity::Activity;

/// A longer frame that is no data is refused.
const CONTROL_LIMIT: usize = 64 * 1024;
const CHUNK: usize = 32 * 1024;
/// How long the streams that belong together may take to be opened.
const OPENING: Duration = Duration::from_secs(30);
/// How long the client may take to close the connection after the end.
const FAREWELL: Duration = Duration::from_secs(5);

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FIN: u8 = 1;

/// Why a stream is reset.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    InvalidStream = 2,
    RefusedStream = 3,
}

/// The headers of a stream; names are in lower case.
type Headers = Vec<(String, String)>;

/// What a client sends, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Open {
        stream: u32,
        headers: Headers,
        fin: bool,
    },
    /// A part of a data frame; only the last one can end the stream.
    Data {
        stream: u32,
        data: Bytes,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, windows and what is not known.
    Other,
}

/// A client that does not speak SPDY/3.1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("version {0} of SPDY is not spoken here")]
    Version(u16),
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a frame of type {0} is too short")]
    TooShort(u16),
    #[error("stream {0} is not one that a client may open")]
    Stream(u32),
    #[error("the headers of a stream cannot be read")]
    Headers,
}

/// Takes frames out of bytes.
#[derive(Default)]
struct Decoder {
    inflater: Inflater,
    /// What is still to come of a data frame: its stream, how much, and whether it ends it.
    rest: Option<(u32, usize, bool)>,
}

impl Decoder {
    /// The next frame, as soon as it is there.
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Broken> {
        if let Some((stream, length, fin)) = self.rest.take() {
            let data = buffer.split_to(length.min(buffer.len())).freeze();
            let left = length - data.len();
            if left > 0 {
                self.rest = Some((stream, left, fin));
            }
            if data.is_empty() && left > 0 {
                return Ok(None);
            }
            return Ok(Some(Frame::Data { stream, data, fin: fin && left == 0 }));
        }
        let Some(mut head) = buffer.get(..8) else { return Ok(None) };
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first >> 31 == 0 {
            buffer.advance(8);
            self.rest = Some((first, length, flags & FIN != 0));
            return self.decode(buffer);
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(Broken::Version(version));
        }
        if length > CONTROL_LIMIT {
            return Err(Broken::TooLong(length));
        }
        if buffer.len() < 8 + length {
            return Ok(None);
        }
        buffer.advance(8);
        let body = buffer.split_to(length);
        self.control(kind, flags, &body).map(Some)
    }

    fn control(&mut self, kind: u16, flags: u8, mut body: &[u8]) -> Result<Frame, Broken> {
        let least = match kind {
            SYN_STREAM => 10,
            SYN_REPLY | PING | HEADERS => 4,
            RST_STREAM => 8,
            _ => return Ok(if kind == GOAWAY { Frame::GoAway } else { Frame::Other }),
        };
        if body.len() < least {
            return Err(Broken::TooShort(kind));
        }
        let number = body.get_u32();
        let stream = number & 0x7fff_ffff;
        Ok(match kind {
            SYN_STREAM => {
                body.advance(6);
                let headers = self.inflater.inflate(body)?;
                if stream.is_multiple_of(2) {
                    return Err(Broken::Stream(stream));
                }
                Frame::Open { stream, headers, fin: flags & FIN != 0 }
            }
            RST_STREAM => Frame::Reset { stream },
            PING => Frame::Ping { id: number },
            _ => {
                // All headers of a connection are one compressed text.
                self.inflater.inflate(body)?;
                Frame::Other
            }
        })
    }
}

/// The frames that come from a client.
struct Frames<R> {
    reader: R,
    buffer: BytesMut,
    decoder: Decoder,
    activity: Arc<Activity>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(reader: R, activity: Arc<Activity>) -> Frames<R> {
        Frames { reader, buffer: BytesMut::new(), decoder: Decoder::default(), activity }
    }

    /// `None` when the client is gone, or does not speak SPDY.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a client is cut off");
                    return None;
                }
            }
            self.buffer.reserve(CHUNK);
            let read = self.reader.read_buf(&mut self.buffer).await;
            read.ok().filter(|count| *count > 0)?;
            self.activity.note();
        }
    }
}

/// The way to a client.
struct Peer<W> {
    outlet: Mutex<Outlet<W>>,
    activity: Arc<Activity>,
}

struct Outlet<W> {
    writer: W,
    deflater: Deflater,
}

impl<W: AsyncWrite + Unpin> Peer<W> {
    fn new(writer: W, activity: Arc<Activity>) -> Peer<W> {
        Peer { outlet: Mutex::new(Outlet { writer, deflater: Deflater::new() }), activity }
    }

    /// Accepts a stream.
    async fn reply(&self, stream: u32) -> io::Result<()> {
        let mut outlet = self.outlet.lock().await;
        let mut body = stream.to_be_bytes().to_vec();
        body.extend(outlet.deflater.deflate(&[])?);
        outlet.writer.write_all(&control(SYN_REPLY, &body)).await?;
        outlet.writer.flush().await
    }

    async fn reset(&self, stream: u32, refusal: Refusal) -> io::Result<()> {
        let body = [stream.to_be_bytes(), (refusal as u32).to_be_bytes()].concat();
        self.write(&[&control(RST_STREAM, &body)]).await
    }

    async fn ping(&self, id: u32) -> io::Result<()> {
        self.write(&[&control(PING, &id.to_be_bytes())]).await
    }

    async fn go_away(&self) -> io::Result<()> {
        self.write(&[&control(GOAWAY, &[0; 8])]).await
    }

    async fn data(&self, stream: u32, data: &[u8], fin: bool) -> io::Result<()> {
        let length = u32::try_from(data.len()).ok().filter(|length| *length < 1 << 24);
        let length = length.ok_or_else(|| io::Error::other("too much for one frame"))?;
        let flags = if fin { u32::from(FIN) << 24 } else { 0 };
        let head = [stream.to_be_bytes(), (flags | length).to_be_bytes()].concat();
        self.write(&[&head, data]).await
    }

    async fn write(&self, parts: &[&[u8]]) -> io::Result<()> {
        self.activity.note();
        let mut outlet = self.outlet.lock().await;
        for part in parts {
            outlet.writer.write_all(part).await?;
        }
        outlet.writer.flush().await
    }
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + body.len());
    frame.put_u16(0x8000 | VERSION);
    frame.put_u16(kind);
    frame.put_u32(body.len() as u32);
    frame.extend_from_slice(body);
    frame
}

fn header<'a>(headers: &'a Headers, name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// Whether a client asks for SPDY.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    let value = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.to_ascii_lowercase().contains("spdy/3.1"))
}

/// The first protocol of the client that is known here; the list itself, where there is none.
///
/// # Errors
/// What to tell the client.
pub(crate) fn negotiate(
    headers: &HeaderMap,
    known: &[&'static str],
) -> Result<&'static str, String> {
    let lines = headers.get_all("x-stream-protocol-version").iter();
    let names = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let offered: Vec<&str> = names.map(str::trim).collect();
    let find = |name: &str| known.iter().copied().find(|one| *one == name);
    match offered.as_slice() {
        [] => find(""),
        offered => offered.iter().find_map(|name| find(name)),
    }
    .ok_or_else(|| {
        format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
            offered.join(" "),
            known.join(" ")
        )
    })
}

/// The answer that begins SPDY.
pub(crate) fn accept<B: Default>(protocol: &'static str) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if !protocol.is_empty() {
        answer.insert("x-stream-protocol-version", HeaderValue::from_static(protocol));
    }
    response
}
