//! Clients that are slow, silent, large or gone, on real connections: none of them stops the others.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

/// How many connections of each kind are open. `cargo bench --bench load` opens thousands.
const CROWD: usize = 60;

/// Long for any machine, and short for whoever waits for a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The functions on an address of their own, until this is dropped.
struct Served {
    address: SocketAddr,
    world: World,
    _shutdown: oneshot::Sender<()>,
}

async fn served() -> Served {
    let world = World::of(first_source()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, asked) = oneshot::channel::<()>();
    let asked = async { drop(asked.await) };
    tokio::spawn(runtime::serve::http(world.router.clone(), listener, asked));
    Served { address, world, _shutdown: shutdown }
}

impl Served {
    /// A connection on which these bytes were sent.
    async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The status of the answer to these bytes.
    async fn status(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect(bytes).await;
        let mut told = Vec::new();
        // A server that closes before it has read everything resets the connection.
        let _closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut told)).await.unwrap();
        let told = String::from_utf8_lossy(&told);
        told.split(' ').nth(1).unwrap_or("no answer").to_owned()
    }

    /// Checks that a delivery is taken while whatever is going on goes on.
    async fn still_takes(&self, number: u32, what: &str) {
        let status = self.status(&wire((first_source().sample)(number), &[])).await;
        assert_eq!(status, "200", "with {what}");
        let builds = self.world.builds().await;
        assert_eq!(builds.len(), number as usize, "with {what}");
    }
}

/// A proved delivery as it goes over the wire, with these lines in its head.
fn wire(sample: Sample, lines: &[&str]) -> Vec<u8> {
    let request = sample.proved();
    let mut head = format!("POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", request.uri());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    for line in lines {
        head += &format!("{line}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", sample.body.len());
    [head.as_bytes(), &sample.body].concat()
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_of_something_do_not_stop_others() {
    let served = served().await;
    let whole = wire((first_source().sample)(99), &[]);
    let body = whole.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let mut crowd = Vec::new();
    for (number, (what, sent)) in [
        ("silent connections", &whole[..0]),
        ("half of a first line", &whole[..7]),
        ("half of a head", &whole[..body / 2]),
        ("heads without a body", &whole[..body]),
        ("all but one byte", &whole[..whole.len() - 1]),
    ]
    .into_iter()
    .enumerate()
    {
        for _ in 0..CROWD {
            crowd.push(served.connect(sent).await);
        }
        served.still_takes(number as u32 + 1, what).await;
    }
    // Those who go on are answered; those who go away leave nothing.
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    last.write_all(&whole[whole.len() - 1..]).await.unwrap();
    let mut told = Vec::new();
    tokio::time::timeout(PATIENCE, last.read_to_end(&mut told)).await.unwrap().unwrap();
    assert!(told.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&told));
    served.still_takes(7, "nobody").await;
}

#[tokio::test]
async fn bodies_of_25_megabytes_do_not_stop_others() {
    let served = served().await;
    // As many as there is room for, and more, of which each lacks its last byte.
    let length = 25 * 1024 * 1024;
    let head = String::from_utf8(wire((first_source().sample)(1), &[])).unwrap();
    let head = head.split_once("content-length").unwrap().0;
    let head = format!("{head}content-length: {length}\r\n\r\n");
    let spaces = vec![b' '; length - 1];
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = served.connect(head.as_bytes()).await;
        // Where there is no room left, the server answers and closes before it has read all.
        if stream.write_all(&spaces).await.is_ok() {
            held.push(stream);
        }
    }
    assert!(held.len() >= 5, "{}", held.len());
    served.still_takes(1, "large bodies").await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_answer_loses_no_build() {
    let served = served().await;
    for number in 1..10 {
        drop(served.connect(&wire((first_source().sample)(number), &[])).await);
        let status = served.status(&wire((first_source().sample)(number), &[])).await;
        assert_eq!(status, "200");
        served.world.has_once(number as usize, "after a client that went away").await;
    }
}

#[tokio::test]
async fn a_request_that_two_servers_would_read_differently_is_refused() {
    let served = served().await;
    let sample = (first_source().sample)(1);
    for lines in [
        &["transfer-encoding: chunked"][..],
        &["content-length: 0"],
        &["content-length: 5, 5"],
        &["transfer-encoding: gzip, chunked"],
        &["transfer-encoding : chunked"],
        &["content-length: +5"],
    ] {
        let status = served.status(&wire(sample.clone(), lines)).await;
        assert_ne!(status, "200", "{lines:?}");
        assert!(served.world.is_untouched().await, "{lines:?}: {status}");
    }
}
