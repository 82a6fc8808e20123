//! A webhook: an HTTPS server with a certificate of its own, that remembers what it was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::routing::post;
use axum::serve::Listener;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

/// A running webhook; it ends with the test.
pub(crate) struct Webhook {
    pub(crate) address: SocketAddr,
    /// What it must be trusted by, as a configuration carries it.
    pub(crate) bundle: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// Starts a webhook that answers each request as `answer` says.
    pub(crate) async fn start(answer: fn(&Value) -> Response<Body>) -> Webhook {
        Webhook::named(&["127.0.0.1"], answer).await
    }

    /// Starts a webhook whose certificate is for some names.
    pub(crate) async fn named(names: &[&str], answer: fn(&Value) -> Response<Body>) -> Webhook {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate is made");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("there are versions")
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .expect("certificate and key belong together");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = tcp.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let remembered = Arc::clone(&asked);
        let router = Router::new().fallback(post(move |body: Bytes| {
            let remembered = Arc::clone(&remembered);
            async move {
                let review: Value = serde_json::from_slice(&body).expect("a review is JSON");
                remembered.lock().expect("nobody panics").push(review["request"].clone());
                answer(&review["request"])
            }
        }));
        let listener = Tls { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, router).await });
        Webhook { address, bundle: STANDARD.encode(made.cert.pem()), asked }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("nobody panics").clone()
    }

    /// Its place in a configuration.
    pub(crate) fn client_config(&self) -> Value {
        json!({"url": format!("https://{}/hook", self.address), "caBundle": self.bundle})
    }
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.expect("the listener lives");
            // A client that does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// An answer with a response; the uid is that of the request.
pub(crate) fn respond(request: &Value, mut response: Value) -> Response<Body> {
    response["uid"] = request["uid"].clone();
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    });
    axum::response::IntoResponse::into_response(Json(review))
}

pub(crate) fn allow(request: &Value) -> Response<Body> {
    respond(request, json!({"allowed": true}))
}

/// An answer that changes the object.
pub(crate) fn patch(request: &Value, operations: &Value) -> Response<Body> {
    let patch = STANDARD.encode(operations.to_string());
    respond(request, json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}
