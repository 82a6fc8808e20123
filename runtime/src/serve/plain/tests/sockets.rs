//! Unix sockets, and systemd.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::settings::Settings;

use super::*;

fn settings(variables: &[(&str, &str)]) -> PlainSettings {
    let variable = |wanted: &str| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    Settings::read(variable).unwrap().host.plain
}

async fn ask(path: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut told = String::new();
    stream.read_to_string(&mut told).await?;
    Ok(told)
}

fn router() -> Router {
    Router::new().route("/", get(async || "here"))
}

#[tokio::test]
async fn a_unix_socket_is_served_and_gone_at_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("functions.sock");
    let heard = folder.path().join("systemd.sock");
    let systemd = UnixDatagram::bind(&heard).unwrap();
    let settings = settings(&[
        ("UNIX_SOCKET", path.to_str().unwrap()),
        ("UNIX_SOCKET_MODE", "600"),
        ("NOTIFY_SOCKET", heard.to_str().unwrap()),
    ]);
    // What a program left that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (shutdown, asked) = oneshot::channel::<()>();
    let asked = async { drop(asked.await) };
    let ended = tokio::spawn(async move { serve(router(), &settings, asked).await });
    let listen = move || {
        let mut said = [0; 64];
        let length = systemd.recv(&mut said).unwrap();
        (String::from_utf8(said[..length].to_vec()).unwrap(), systemd)
    };
    let (said, systemd) = tokio::task::spawn_blocking(listen).await.unwrap();
    assert_eq!(said, "READY=1");
    let told = ask(&path).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("here"), "{told}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // Nobody is driven away.
    let other = self::settings(&[("UNIX_SOCKET", path.to_str().unwrap())]);
    let error = serve(router(), &other, std::future::pending()).await.unwrap_err().to_string();
    assert!(error.ends_with("functions.sock: another program serves it"), "{error}");
    assert!(ask(&path).await.is_ok());
    shutdown.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap().unwrap().unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut said = [0; 64];
    let length = systemd.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"STOPPING=1");
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "mine").unwrap();
    let error = socket::bind(&path, 0o660).err().unwrap().to_string();
    assert!(error.ends_with("notes.txt: there is a file that is no socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    // Nor is what another program has put there since.
    let path = folder.path().join("functions.sock");
    let (listener, bound) = socket::bind(&path, 0o660).unwrap();
    let (_later, _bound) = {
        drop(listener);
        socket::bind(&path, 0o660).unwrap()
    };
    drop(bound);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
}

#[tokio::test]
async fn the_socket_of_systemd_is_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Its number is 3, and the process is the one that is meant.
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\"";
    let mut program = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "serve::plain::tests::sockets::what_systemd_starts", "--ignored"])
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The system holds the connection until the program serves.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), rest(stream)).await;
    program.kill().unwrap();
    program.wait().unwrap();
    let told = told.unwrap();
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("here"), "{told}");
}

#[tokio::test]
#[ignore = "a part of the_socket_of_systemd_is_served, which starts it as systemd would"]
async fn what_systemd_starts() {
    if let Some(listener) = systemd::listener().unwrap() {
        run(router(), listener, Limits::default(), std::future::pending()).await;
    }
}
