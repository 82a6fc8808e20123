//! The plain server against clients that are slow, large, or gone.

use std::sync::Arc;

use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use std::net::SocketAddr;

use super::*;

mod http2;
mod sockets;
mod tls;

/// A server, whose `/slow` answers when it is told to.
struct Served {
    address: SocketAddr,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn served() -> Served {
    served_with(Limits::default()).await
}

async fn served_with(limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        async move || {
            begun.notify_one();
            go_on.notified().await;
            "late"
        }
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/readyz", get(async || "OK"))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/slow", get(slow));
    let (shutdown, asked) = oneshot::channel::<()>();
    let asked = async { drop(asked.await) };
    let ended = tokio::spawn(run(router, Listener::Tcp(listener), limits, asked));
    Served { address, begun, go_on, shutdown, ended }
}

impl Served {
    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// All that comes until the connection is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut told = Vec::new();
    // A server that closes before it has read everything resets the connection.
    let _closed = stream.read_to_end(&mut told).await;
    String::from_utf8(told).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_arrive_is_not_waited_for() {
    let served = served().await;
    for head in ["", "PRI * HT", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let start = Instant::now();
        let told = rest(served.send(head).await).await;
        assert!(!told.starts_with("HTTP/1.1 200"), "{head:?}: {told}");
        let waited = start.elapsed();
        assert!(waited >= HEAD_TIMEOUT && waited < HEAD_TIMEOUT * 2, "{head:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_asks_for_nothing_more_is_kept_until_every_proxy_has_left_it() {
    let served = served().await;
    let start = Instant::now();
    let told = rest(served.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("here"), "{told}");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(90) && waited < IDLE * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_next_head_on_a_connection_is_waited_for_no_longer_than_the_first() {
    let served = served().await;
    let mut stream = served.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        answer.push(stream.read_u8().await.unwrap());
    }
    tokio::time::advance(Duration::from_secs(75)).await;
    let start = Instant::now();
    stream.write_all(b"GET / HT").await.unwrap();
    let told = rest(stream).await;
    assert!(!told.starts_with("HTTP/1.1 200"), "{told}");
    let waited = start.elapsed();
    assert!(waited >= HEAD_TIMEOUT && waited < HEAD_TIMEOUT * 2, "{waited:?}");
}

#[tokio::test]
async fn a_head_may_be_only_so_large() {
    let served = served().await;
    let with = |headers: usize, size: usize| {
        let header = |number| format!("x-{number}: {}\r\n", "y".repeat(size));
        let headers: String = (1..headers).map(header).collect();
        format!("GET / HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
    };
    for (head, status) in [
        (with(MAX_HEADERS, 10), "200"),
        (with(MAX_HEADERS + 1, 10), "431"),
        (with(10, MAX_HEAD / 20), "200"),
        (with(10, MAX_HEAD), "431"),
    ] {
        let told = rest(served.send(&head).await).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{} bytes: {told}", head.len());
    }
}

#[tokio::test]
async fn a_body_in_pieces_arrives_whole() {
    let served = served().await;
    let head =
        "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked";
    let body = "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let told = rest(served.send(&format!("{head}\r\n\r\n{body}")).await).await;
    assert!(told.ends_with("\r\n\r\n7"), "{told}");
}

#[tokio::test]
async fn requests_that_have_begun_are_answered_before_the_end() {
    let served = served().await;
    let stream = served.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    served.begun.notified().await;
    served.shutdown.send(()).unwrap();
    // Nobody new is let in, but for those whom the system has let in already.
    while let Ok(stream) = TcpStream::connect(served.address).await {
        drop(stream);
        tokio::task::yield_now().await;
    }
    assert!(!served.ended.is_finished());
    served.go_on.notify_one();
    let told = rest(stream).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("late"), "{told}");
    tokio::time::timeout(Duration::from_secs(60), served.ended).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_that_never_end_do_not_hold_up_the_end() {
    let served = served().await;
    let _stream = served.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    served.begun.notified().await;
    let start = Instant::now();
    served.shutdown.send(()).unwrap();
    served.ended.await.unwrap();
    assert!(start.elapsed() >= DRAIN && start.elapsed() < DRAIN * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn before_the_end_it_says_that_it_is_not_ready_and_serves() {
    let day = Duration::from_secs(24 * 60 * 60);
    let served = served_with(Limits { drain_delay: day, ..Limits::default() }).await;
    let address = served.address;
    let ask = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        rest(stream).await
    };
    let told = ask("/readyz").await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    served.shutdown.send(()).unwrap();
    let unready = async {
        while !ask("/readyz").await.starts_with("HTTP/1.1 503") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), unready).await.unwrap();
    let told = ask("/").await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert!(!served.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn after_the_delay_it_ends() {
    let delay = Duration::from_secs(30);
    let served = served_with(Limits { drain_delay: delay, ..Limits::default() }).await;
    let start = Instant::now();
    served.shutdown.send(()).unwrap();
    served.ended.await.unwrap();
    assert!(start.elapsed() >= delay && start.elapsed() < delay * 2, "{:?}", start.elapsed());
}
