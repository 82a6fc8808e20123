//! HTTP/2 without TLS, by clients that know it and by such that abuse it.

use axum::body::{Body, to_bytes};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, as it goes over the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The frames of an answer: their kinds and payloads.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else { break };
        frames.push((bytes[3], payload.to_vec()));
        bytes = &bytes[9 + length..];
    }
    frames
}

#[tokio::test]
async fn a_client_may_speak_http2_at_once_and_is_told_when_it_ends() {
    let served = served().await;
    let stream = TcpStream::connect(served.address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = |path: &str, body: &'static str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let uri = format!("http://x{path}");
        ::http::Request::builder().method(method).uri(uri).body(Body::from(body)).unwrap()
    };
    for (path, body, expected) in [("/", "", "here"), ("/length", "four", "4")] {
        let response = sender.send_request(request(path, body)).await.unwrap();
        assert_eq!(response.version(), ::http::Version::HTTP_2);
        let told = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        assert_eq!(told, expected);
    }
    // What has begun is answered, and then the connection ends.
    let slow = tokio::spawn(sender.send_request(request("/slow", "")));
    served.begun.notified().await;
    served.shutdown.send(()).unwrap();
    served.go_on.notify_one();
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    let ended = async {
        connection.await.unwrap().unwrap();
        served.ended.await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_back_what_it_asks_for_is_sent_away() {
    let served = served().await;
    // GET / of http://x, each taken back at once.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
    let mut flood = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for stream in (1..2000).step_by(2) {
        flood.extend(frame(1, 0x5, stream, &head));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    // The server may hang up before it has read it all.
    let _refused = stream.write_all(&flood).await;
    let mut told = Vec::new();
    let _reset = stream.read_to_end(&mut told).await;
    let away = frames(&told).into_iter().find(|(kind, _)| *kind == 7);
    // A reset may overtake what was said before it.
    if let Some((_, payload)) = away {
        assert_eq!(payload[4..8], 11_u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    }
    let answered = frames(&told).into_iter().filter(|(kind, _)| *kind == 1).count();
    assert!(answered < 1000, "{answered} requests were answered");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http2_that_is_gone_is_let_go() {
    let served = served().await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let mut told = Vec::new();
    let _reset = stream.read_to_end(&mut told).await;
    assert!(start.elapsed() <= HEAD_TIMEOUT * 7, "{:?}", start.elapsed());
    // It was told how many requests it may have at once.
    let settings = frames(&told).into_iter().find(|(kind, _)| *kind == 4).unwrap().1;
    let limit = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(limit[2..], 100_u32.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http2_that_asks_for_nothing_is_let_go() {
    let served = served().await;
    let start = Instant::now();
    let stream = TcpStream::connect(served.address).await.unwrap();
    let handshake = http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream));
    let (_sender, connection) = handshake.await.unwrap();
    // It answers whoever asks whether it is there.
    let _ended = connection.await;
    let waited = start.elapsed();
    assert!(waited >= IDLE && waited < IDLE * 2, "{waited:?}");
}
