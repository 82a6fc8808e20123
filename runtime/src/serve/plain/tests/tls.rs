//! HTTPS, and certificates that change.

use std::fs;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::*;

/// Puts a new certificate and its key into a folder, as a whole, and gives the certificate.
fn renew(folder: &Path) -> rustls_pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["brig.example".to_owned()]).unwrap();
    put(folder, "tls.crt", &made.cert.pem());
    put(folder, "tls.key", &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

fn put(folder: &Path, name: &str, text: &str) {
    let draft = folder.join("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, folder.join(name)).unwrap();
}

fn load(folder: &Path) -> std::io::Result<Tls> {
    Tls::load(&folder.join("tls.crt"), &folder.join("tls.key"))
}

fn client(certificate: rustls_pki_types::CertificateDer<'static>, speaks: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = speaks.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn https_is_served_in_both_versions() {
    let folder = TempDir::new().unwrap();
    let certificate = renew(folder.path());
    let tls = Some(Arc::new(load(folder.path()).unwrap()));
    let served = served_with(Limits { tls, ..Limits::default() }).await;
    let connect = async |speaks: &[&str]| {
        let stream = TcpStream::connect(served.address).await.unwrap();
        let name = ServerName::try_from("brig.example").unwrap();
        client(certificate.clone(), speaks).connect(name, stream).await.unwrap()
    };
    for speaks in [&[][..], &["http/1.1"]] {
        let mut stream = connect(speaks).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        let _closed_without_a_word = stream.read_to_end(&mut told).await;
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("here"), "{told}");
    }
    let stream = connect(&["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let stream = TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = ::http::Request::get("https://brig.example/").body(String::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    // Who speaks no TLS is not served.
    let plain = rest(served.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(!plain.contains("here"), "{plain}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    renew(folder.path());
    let tls = Some(Arc::new(load(folder.path()).unwrap()));
    let served = served_with(Limits { tls, ..Limits::default() }).await;
    let start = Instant::now();
    assert_eq!(rest(served.send("").await).await, "");
    assert!(start.elapsed() < HEAD_TIMEOUT * 2, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_changes_is_served_and_a_broken_one_is_not() {
    let folder = TempDir::new().unwrap();
    renew(folder.path());
    let tls = load(folder.path()).unwrap();
    let first = tls.config();
    assert!(Arc::ptr_eq(&first, &tls.config()));
    renew(folder.path());
    // The files are not looked at for every connection.
    assert!(Arc::ptr_eq(&first, &tls.config()));
    let later = async || {
        tokio::time::advance(Duration::from_secs(6)).await;
        tls.config()
    };
    let second = later().await;
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &later().await));
    put(folder.path(), "tls.key", "no key");
    assert!(Arc::ptr_eq(&second, &later().await));
    fs::remove_file(folder.path().join("tls.crt")).unwrap();
    assert!(Arc::ptr_eq(&second, &later().await));
    renew(folder.path());
    assert!(!Arc::ptr_eq(&second, &later().await));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let error = || load(folder.path()).err().unwrap().to_string();
    let unread = format!("the file {} of TLS_CERT cannot be read as PEM", file("tls.crt"));
    assert_eq!(error(), unread);
    renew(folder.path());
    fs::write(folder.path().join("tls.key"), "no key").unwrap();
    assert_eq!(error(), format!("the file {} of TLS_KEY cannot be read as PEM", file("tls.key")));
    renew(folder.path());
    let key = fs::read_to_string(folder.path().join("tls.key")).unwrap();
    fs::write(folder.path().join("tls.crt"), key).unwrap();
    assert_eq!(error(), format!("the file {} of TLS_CERT has no certificate", file("tls.crt")));
    renew(folder.path());
    let old = fs::read_to_string(folder.path().join("tls.key")).unwrap();
    renew(folder.path());
    fs::write(folder.path().join("tls.key"), old).unwrap();
    assert_eq!(error(), "the certificate of TLS_CERT and the key of TLS_KEY cannot be used");
}
