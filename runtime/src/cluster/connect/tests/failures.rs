//! Ways in which a cluster is not reached: what is said of each.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, in PEM.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Somebody who speaks TLS with a certificate of an authority, and answers nothing behind it.
async fn somebody(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    is_expired: bool,
) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_expired {
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let certificate = parameters.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut buffer = [0; 4096];
                let _read = stream.read(&mut buffer).await.ok()?;
                let body = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    address
}

/// A kubeconfig for a server, with more of its cluster.
fn config(server: &str, more: serde_json::Value) -> String {
    let mut cluster = json!({"server": server});
    cluster.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "c", "user": {"token": "s3cret"}}],
    });
    config.to_string()
}

async fn said(config: &str) -> String {
    first_call(&connect(&[("KUBECONFIG_TEXT", config)])).await.unwrap_err()
}

#[tokio::test]
async fn certificates_that_are_not_believed_are_told_apart() {
    let (ours, theirs) = (authority(), authority());
    let ca = json!({"certificate-authority-data": ours.pem()});
    let with = |server: SocketAddr| config(&format!("https://{server}"), ca.clone());
    let expired = somebody(&ours, "127.0.0.1", true).await;
    let error = said(&with(expired)).await;
    assert!(error.starts_with("the certificate of https://127.0.0.1:"), "{error}");
    assert!(error.contains("has expired or is not valid yet"), "{error}");
    let foreign = somebody(&theirs, "127.0.0.1", false).await;
    let error = said(&with(foreign)).await;
    assert!(error.contains("was signed by an authority that is not the configured one"), "{error}");
    let other = somebody(&ours, "kubernetes.example", false).await;
    let error = said(&with(other)).await;
    assert!(error.contains("is for another name: set tls-server-name"), "{error}");
    // What is said there helps, and so does it to believe everybody.
    let named = json!({
        "certificate-authority-data": ours.pem(), "tls-server-name": "kubernetes.example",
    });
    let named = config(&format!("https://{other}"), named);
    first_call(&connect(&[("KUBECONFIG_TEXT", &named)])).await.unwrap();
    let all = config(&format!("https://{foreign}"), json!({"insecure-skip-tls-verify": true}));
    first_call(&connect(&[("KUBECONFIG_TEXT", &all)])).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_until_the_deadline_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = config(&format!("https://{address}"), json!({"insecure-skip-tls-verify": true}));
    let cluster = connect(&[("KUBECONFIG_TEXT", &config)]);
    let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(300);
    let error = cluster.with_deadline(soon).project("acme/app").await.unwrap_err();
    assert!(error.is_passing());
    let expected = format!(
        "https://{address} refuses connections: is the API server there, and does its firewall let in?"
    );
    // A slow machine has no time for one try.
    let all = [expected.as_str(), "the cluster did not answer in time"];
    assert!(all.contains(&error.to_string().as_str()), "{error}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_named() {
    let config = config("https://cluster.invalid:6443", json!({}));
    let settings = settings(&[("KUBECONFIG_TEXT", &config)]);
    let connection = Connection::new(Way::of(&settings).unwrap());
    let request = http::Request::get("/version").body(Vec::new()).unwrap();
    let error = connection.client().request_text(request).await.unwrap_err();
    let kube::Error::Service(error) = error else { panic!("{error:?}") };
    let error = error.to_string();
    // Some resolvers take their time to say so.
    let late = "https://cluster.invalid:6443 was not reached in time";
    let unknown = "nobody knows the name of https://cluster.invalid:6443";
    assert!(error.starts_with(unknown) || error.starts_with(late), "{error}");
}

#[tokio::test]
async fn whom_the_cluster_does_not_know_is_told_who_asked_and_no_secret() {
    let (server, url, _kubeconfig) = api().await;
    let config = config(&url, json!({"certificate-authority-data": server.authority()}));
    let error = said(&config).await;
    assert_eq!(
        error,
        format!(
            "{url} does not know who asks (the user c of KUBECONFIG_TEXT): the credentials of the \
             kubeconfig have ended, or are those of another cluster"
        )
    );
}

/// A proxy that leads to whatever it is asked for, or refuses; it counts its connections.
async fn proxy(refusal: Option<&'static str>) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                let head = String::from_utf8(head).ok()?;
                let to = head.split(' ').nth(1)?.to_owned();
                seen.lock().unwrap().push(head);
                if let Some(refusal) = refusal {
                    let answer = format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    return Some(());
                }
                let mut other = TcpStream::connect(to).await.ok()?;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                tokio::io::copy_bidirectional(&mut stream, &mut other).await.ok()?;
                Some(())
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_proxy_leads_to_the_cluster_unless_the_cluster_is_listed() {
    let (_server, url, kubeconfig) = api().await;
    let (address, asked) = proxy(None).await;
    let through = format!("http://user:pass%40word@{address}");
    let text = ("KUBECONFIG_TEXT", kubeconfig.as_str());
    first_call(&connect(&[text, ("HTTPS_PROXY", &through)])).await.unwrap();
    {
        let mut asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with(&format!("CONNECT {}", url.trim_start_matches("https://"))));
        // user:pass@word
        let proof = "proxy-authorization: basic dxnlcjpwyxnzqhdvcmq=";
        assert!(asked[0].to_lowercase().contains(proof), "{asked:?}");
        asked.clear();
    }
    let none = ("NO_PROXY", "example.com, 127.0.0.0/8");
    first_call(&connect(&[text, ("HTTPS_PROXY", &through), none])).await.unwrap();
    assert!(asked.lock().unwrap().is_empty());
    let (refusing, _asked) = proxy(Some("403 Forbidden")).await;
    let refusing = format!("http://user:s3cret@{refusing}");
    let error = first_call(&connect(&[text, ("HTTPS_PROXY", &refusing)])).await.unwrap_err();
    let expected = format!("the proxy does not lead to {url}: tunnel error: unsuccessful");
    assert_eq!(error, expected);
}
