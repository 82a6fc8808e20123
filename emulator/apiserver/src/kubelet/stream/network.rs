//! Connects to the loopback of a pod, from outside its network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdPair;
use std::process::Stdio;
use std::thread;

use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Child;
use tokio::sync::oneshot;

use super::enter::{differs, joiner};

/// Carries bytes between its own streams and a port; a shell can.
const RELAY: &str = "exec 3<>/dev/tcp/127.0.0.1/$1 && { cat <&3 & cat >&3; }";

/// A connection to a port of a pod.
pub(crate) struct Connection {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// What carries the bytes, where the kubelet itself cannot go in; ended with the connection.
    pub(crate) _relay: Option<Child>,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Connection {
        let (reader, writer) = stream.into_split();
        Connection { reader: Box::new(reader), writer: Box::new(writer), _relay: None }
    }
}

/// Connects to a port of the loopback that a process has.
pub(super) async fn connect(process: Pid, port: u16) -> io::Result<Connection> {
    if !differs(process, "net") {
        return Ok(TcpStream::connect(&loopback(port)[..]).await?.into());
    }
    if !geteuid().is_root() {
        return relay(process, port);
    }
    let (answer, connected) = oneshot::channel();
    // The thread ends with the namespace that it has joined.
    thread::Builder::new().name("forward".to_owned()).spawn(move || {
        let connect = || {
            let handle = pidfd_open(process, PidfdFlags::empty())?;
            move_into_thread_name_spaces(handle.as_fd(), ThreadNameSpaceType::NETWORK)?;
            let stream = StdStream::connect(&loopback(port)[..])?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        // Whoever no longer waits needs no connection.
        let _ = answer.send(connect());
    })?;
    let failed = |_| io::Error::other("the thread that connects has failed");
    let stream: io::Result<StdStream> = connected.await.map_err(failed)?;
    Ok(TcpStream::from_std(stream?)?.into())
}

fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// A shell in the other network, for one who may not go there alone.
fn relay(process: Pid, port: u16) -> io::Result<Connection> {
    let (own, other) = StdPair::pair()?;
    own.set_nonblocking(true)?;
    let mut command = joiner(process)?;
    if differs(process, "user") {
        command.arg("--user");
    }
    command.args(["--net", "--", "/bin/bash", "-c", RELAY, "relay", &port.to_string()]);
    command.stdin(Stdio::from(OwnedFd::from(other.try_clone()?)));
    command.stdout(Stdio::from(OwnedFd::from(other))).stderr(Stdio::null());
    let child = command.spawn()?;
    let (reader, writer) = UnixStream::from_std(own)?.into_split();
    Ok(Connection { reader: Box::new(reader), writer: Box::new(writer), _relay: Some(child) })
}
