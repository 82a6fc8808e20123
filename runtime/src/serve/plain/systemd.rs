//! systemd: the socket that it hands over, and what it is told.
//!
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>,
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::Listener;

/// The socket that was handed to this process, of TCP or a Unix socket, if any was.
pub(super) fn listener() -> io::Result<Option<Listener>> {
    // It looks at LISTEN_PID, too: what was handed to another process is nobody's here.
    let mut handed = ListenFd::from_env();
    if handed.len() == 0 {
        return Ok(None);
    }
    if let Ok(Some(listener)) = handed.take_tcp_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(Listener::Tcp(TcpListener::from_std(listener)?)));
    }
    if let Ok(Some(listener)) = handed.take_unix_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(Listener::Unix(UnixListener::from_std(listener)?)));
    }
    Err(io::Error::other("the first socket of systemd is none of streams: use ListenStream="))
}

/// Tells systemd, if it wants to be told.
pub(super) fn tell(socket: Option<&str>, what: &str) {
    let Some(name) = socket else { return };
    let told = || {
        let socket = UnixDatagram::unbound()?;
        match name.strip_prefix('@') {
            None => socket.send_to(what.as_bytes(), name),
            Some(name) => {
                socket.send_to_addr(what.as_bytes(), &SocketAddr::from_abstract_name(name)?)
            }
        }
    };
    if let Err(error) = told() {
        tracing::warn!(%error, what, "systemd could not be told");
    }
}
