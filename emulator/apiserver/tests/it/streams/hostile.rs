//! Protocols by hand: every one that is spoken, and what no client should send.

use futures::{SinkExt, StreamExt};
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{PATIENCE, World, container};

const EXEC: &str = "/api/v1/namespaces/default/pods/main/exec?command=echo&stdout=1&stderr=1";

type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket; the protocol that was agreed upon, or what was answered.
async fn open(
    world: &World,
    path: &str,
    protocols: &str,
) -> Result<(Socket, String), (u16, String)> {
    let url = format!("ws://{}{path}", world.address);
    let mut request = url.into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let stream = TcpStream::connect(&world.address).await.unwrap();
    match timeout(PATIENCE, client_async(request, stream)).await.expect("it answers") {
        Ok((socket, response)) => {
            let agreed = response.headers().get("sec-websocket-protocol");
            Ok((socket, agreed.map_or("", |value| value.to_str().unwrap()).to_owned()))
        }
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8(body).unwrap()))
        }
        Err(error) => panic!("{error}"),
    }
}

/// All messages to the end.
async fn messages(socket: &mut Socket) -> Vec<Message> {
    let mut messages = Vec::new();
    let read = async {
        while let Some(Ok(message)) = socket.next().await {
            messages.push(message);
        }
    };
    timeout(PATIENCE, read).await.expect("it ends");
    messages
}

fn is_normal_close(message: &Message) -> bool {
    matches!(message, Message::Close(Some(frame)) if frame.code == CloseCode::Normal)
}

#[tokio::test]
async fn every_protocol_is_spoken() {
    let world = World::simulated().await;
    world.script("main", "true").await;
    let success = json!({"metadata": {}, "status": "Success"});
    for (offered, agreed) in [
        ("v5.channel.k8s.io", "v5.channel.k8s.io"),
        ("v4.channel.k8s.io, v5.channel.k8s.io", "v5.channel.k8s.io"),
        ("v4.channel.k8s.io", "v4.channel.k8s.io"),
        ("other, channel.k8s.io, v4.channel.k8s.io", "channel.k8s.io"),
        ("", ""),
    ] {
        let (mut socket, protocol) = open(&world, EXEC, offered).await.unwrap();
        assert_eq!(protocol, agreed, "{offered}");
        let said = messages(&mut socket).await;
        assert_eq!(said[0].clone().into_data(), &[1][..], "{offered}");
        assert_eq!(said[1].clone().into_data(), &b"\x01simulated: echo\n"[..], "{offered}");
        let rest = if agreed.starts_with('v') {
            let last = said[2].clone().into_data();
            assert_eq!(last[0], 3);
            assert_eq!(serde_json::from_slice::<Value>(&last[1..]).unwrap(), success);
            &said[3..]
        } else {
            &said[2..]
        };
        assert!(matches!(rest, [close] if is_normal_close(close)), "{offered}: {rest:?}");
    }
    for protocol in ["base64.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let (mut socket, agreed) = open(&world, EXEC, protocol).await.unwrap();
        assert_eq!(agreed, protocol);
        let said = messages(&mut socket).await;
        assert_eq!(said[0], Message::text("1"));
        assert_eq!(said[1], Message::text("1c2ltdWxhdGVkOiBlY2hvCg=="));
    }
    let (code, said) = open(&world, EXEC, "v9.channel.k8s.io").await.unwrap_err();
    assert_eq!(code, 403);
    assert!(
        said.contains("requested protocol(s) are not supported: [v9.channel.k8s.io]"),
        "{said}"
    );
}

#[tokio::test]
async fn a_request_without_a_stream_is_told_why() {
    let world = World::simulated().await;
    let two = json!([container("true"), {"name": "other", "image": "alpine:3"}]);
    world.run("main", two).await;
    let waiting = json!({"metadata": {"name": "lost"}, "spec": {
        "nodeSelector": {"none": "such"}, "containers": [container("true")],
    }});
    let waiting = serde_json::from_value(waiting).unwrap();
    world.pods().create(&PostParams::default(), &waiting).await.unwrap();
    let pods = "/api/v1/namespaces/default/pods";
    for (path, code, said) in [
        ("/absent/exec?command=x", 404, r#"pods \"absent\" not found"#),
        ("/lost/exec?command=x", 400, "pod lost does not have a host assigned"),
        ("/lost/portforward", 400, "pod lost does not have a host assigned"),
        ("/main/exec?command=x", 400, "a container name must be specified for pod main"),
        ("/main/exec?command=x&container=none", 400, "container none is not valid for pod main"),
        ("/main/attach?container=main&stdout=0&stderr=0", 400, "at least 1 of stdin"),
        ("/main/portforward", 400, r#"query parameter "port" is required"#),
        ("/main/portforward?ports=0", 400, "must be > 0"),
        ("/main/portforward?ports=80,x", 400, "unable to parse"),
    ] {
        let path = format!("{pods}{path}");
        let (status, body) = open(&world, &path, "v4.channel.k8s.io").await.unwrap_err();
        assert_eq!(status, code, "{path}: {body}");
        assert!(body.contains(said), "{path}: {body}");
    }
    let plain = http::Request::get(format!("{pods}/main/exec?command=x&container=main"));
    let error = world.client.request::<Value>(plain.body(Vec::new()).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("Upgrade request required"), "{error}");
}

#[tokio::test]
async fn a_container_that_does_not_run_is_not_found() {
    let world = World::simulated().await;
    let pod = json!({
        "metadata": {"name": "main"},
        "spec": {"nodeName": "node", "containers": [container("true")], "initContainers": [
            {"name": "init", "image": "alpine:3"},
        ]},
    });
    let pod = serde_json::from_value(pod).unwrap();
    world.pods().create(&PostParams::default(), &pod).await.unwrap();
    // The init container does not end, so the other one does not begin.
    let path = format!("{EXEC}&container=main");
    let (code, said) = open(&world, &path, "v4.channel.k8s.io").await.unwrap_err();
    assert_eq!((code, said.trim()), (500, "container not found (\"main\")"));
    let (mut socket, _) = open(&world, &path, "v5.channel.k8s.io").await.unwrap();
    let said = messages(&mut socket).await;
    let status: Value = serde_json::from_slice(&said[1].clone().into_data()[1..]).unwrap();
    assert_eq!(status["code"], 500);
    let message =
        "Internal error occurred: unable to upgrade connection: container not found (\"main\")";
    assert_eq!(status["message"], message);
}

#[tokio::test]
async fn strange_messages_harm_nobody() {
    let world = World::simulated().await;
    world.script("main", "true").await;
    let path = format!("{EXEC}&stdin=1");
    let (mut socket, _) = open(&world, &path, "v5.channel.k8s.io").await.unwrap();
    for message in
        [&b""[..], b"\x01no", b"\x03no", b"\x04no size", b"\x09no", b"\xff\x07", b"\x00yes"]
    {
        socket.send(Message::binary(message.to_vec())).await.unwrap();
    }
    socket.send(Message::Ping("alive?".into())).await.unwrap();
    socket.send(Message::binary(vec![255, 0])).await.unwrap();
    let said = messages(&mut socket).await;
    assert!(said.contains(&Message::Pong("alive?".into())), "{said:?}");
    assert!(said.contains(&Message::binary(b"\x01yes".to_vec())), "{said:?}");
    assert!(said.last().is_some_and(is_normal_close), "{said:?}");
    assert!(!said.iter().any(|one| one.clone().into_data().ends_with(b"no")), "{said:?}");
    // A message of more than 32 MiB is not taken: its head is enough to be cut off.
    let (socket, _) = open(&world, &path, "v4.channel.k8s.io").await.unwrap();
    let mut stream = socket.into_inner();
    let mut head = vec![0x82, 0xff];
    head.extend((64_u64 << 20).to_be_bytes());
    head.extend([0; 4]);
    stream.write_all(&head).await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is cut off");
    assert!(ended.is_err() || !rest.is_empty());
}

#[tokio::test]
async fn what_is_no_spdy_is_cut_off() {
    let world = World::simulated().await;
    world.script("main", "true").await;
    for (path, protocol) in
        [("exec?command=x", "v4.channel.k8s.io"), ("portforward", "portforward.k8s.io")]
    {
        let mut stream = TcpStream::connect(&world.address).await.unwrap();
        let request = format!(
            "POST /api/v1/namespaces/default/pods/main/{path} HTTP/1.1\r\nHost: localhost\r\n\
             Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await.expect("it answers").unwrap());
        }
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(answer.contains(&format!("x-stream-protocol-version: {protocol}\r\n")), "{answer}");
        // A ping is answered; a frame of another version is the end.
        stream.write_all(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]).await.unwrap();
        let mut ping = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut ping)).await.expect("it answers").unwrap();
        assert_eq!(ping, [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]);
        stream.write_all(&[0x80, 9, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9]).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is cut off");
        assert!(ended.is_err() || rest.is_empty());
    }
    let error = reset(&world).await;
    assert!(error.contains("client supports [v9], server accepts [v4.channel.k8s.io"), "{error}");
}

/// The answer to a client that speaks only what is not spoken here.
async fn reset(world: &World) -> String {
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    let request = format!(
        "POST {EXEC} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v9\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("server accepts [v4") {
        let mut buffer = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("it answers");
        let count = read.unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    answer
}
