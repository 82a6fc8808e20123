//! Calls webhooks: HTTPS, certificates from the configuration only, no redirects, bounded in time,
//! size and number. Errors are worded as the real server's client words them.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use rustls::CertificateError;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer;
use super::hooks::{Hook, Place};
use super::trust;
use crate::object;
use crate::selectors::Labels;
use crate::store::{Key, Store};

/// No answer may be larger.
const ANSWER_LIMIT: usize = 3 * 1024 * 1024;
/// So many calls are under way at most.
const CALLS: usize = 256;
/// So many clients are kept; more are made anew.
const CLIENTS: usize = 64;

/// The clients by what they trust, and where a name leads that no name server knows.
pub(super) struct Clients {
    cached: Mutex<HashMap<Way, Client>>,
    permits: Semaphore,
}

type Way = (Bytes, Option<(String, SocketAddr)>);

impl Default for Clients {
    fn default() -> Self {
        Clients { cached: Mutex::default(), permits: Semaphore::new(CALLS) }
    }
}

impl Clients {
    /// Sends a review to a webhook; its answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn post(
        &self,
        store: &Store,
        hook: &Hook,
        review: String,
    ) -> Result<Bytes, String> {
        let shown = shown(hook);
        match timeout(hook.timeout, self.exchange(store, hook, review)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Fault::Answered(why))) => Err(why),
            Ok(Err(Fault::Unreached(why))) => Err(format!("Post {shown:?}: {why}")),
            Err(_) => Err(format!("Post {shown:?}: context deadline exceeded")),
        }
    }

    async fn exchange(&self, store: &Store, hook: &Hook, review: String) -> Result<Bytes, Fault> {
        let _permit = self.permits.acquire().await.map_err(|_| unreached("no more calls"))?;
        let (mut url, detour) = route(store, hook)?;
        url.query_pairs_mut().append_pair("timeout", &format!("{}s", hook.timeout.as_secs()));
        let client = self.client(&hook.trusted, detour)?;
        let request = client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(review);
        let response = request.send().await.map_err(|error| unreached(&worded(&error, &url)))?;
        let code = response.status().as_u16();
        let media = response.headers().get(header::CONTENT_TYPE);
        let media = media.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_text = media.is_empty() || media.starts_with("text/");
        let body = body(response).await?;
        if (200..=206).contains(&code) {
            return Ok(body);
        }
        Err(Fault::Answered(answer::refusal(code, &body, is_text)))
    }

    fn client(
        &self,
        trusted: &Bytes,
        detour: Option<(String, SocketAddr)>,
    ) -> Result<Client, Fault> {
        let way = (trusted.clone(), detour);
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = cached.get(&way) {
            return Ok(client.clone());
        }
        let config = trust::config(trusted).map_err(Fault::Unreached)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .user_agent("kube-apiserver-admission");
        if let Some((host, address)) = &way.1 {
            builder = builder.resolve(host, *address);
        }
        let client = builder.build().map_err(|error| unreached(&error.to_string()))?;
        if cached.len() >= CLIENTS {
            cached.clear();
        }
        cached.insert(way, client.clone());
        Ok(client)
    }
}

/// Why there is no answer.
enum Fault {
    /// Nobody was reached.
    Unreached(String),
    /// There is one, and it is no success.
    Answered(String),
}

fn unreached(why: &str) -> Fault {
    Fault::Unreached(why.to_owned())
}

/// Reads a body as long as it is not too large.
async fn body(mut response: Response) -> Result<Bytes, Fault> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_LIMIT => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(Fault::Answered(format!(
                    "the answer is larger than {ANSWER_LIMIT} bytes"
                )));
            }
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Fault::Answered("unexpected EOF".to_owned())),
        }
    }
}

/// The address of a webhook for messages.
fn shown(hook: &Hook) -> String {
    let base = match &hook.place {
        Place::Url(url) => url.clone(),
        Place::Service { namespace, name, path, port } => {
            let path = path.trim_start_matches('/');
            format!("https://{name}.{namespace}.svc:{port}/{path}")
        }
    };
    format!("{base}?timeout={}s", hook.timeout.as_secs())
}

/// Where to send a review; for a service also the address behind its name.
fn route(store: &Store, hook: &Hook) -> Result<(Url, Option<(String, SocketAddr)>), Fault> {
    let (namespace, name, path, port) = match &hook.place {
        Place::Url(url) => {
            let url = Url::parse(url).map_err(|error| unreached(&error.to_string()))?;
            return Ok((url, None));
        }
        Place::Service { namespace, name, path, port } => (namespace, name, path, *port),
    };
    let address = endpoint(store, namespace, name, port).map_err(Fault::Unreached)?;
    let host = format!("{name}.{namespace}.svc");
    let path = path.trim_start_matches('/');
    let url = Url::parse(&format!("https://{host}:{}/{path}", address.port()))
        .map_err(|error| unreached(&error.to_string()))?;
    Ok((url, Some((host, address))))
}

/// An address behind a service: of its endpoints, of a pod that it selects, or its own.
fn endpoint(store: &Store, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
    let key = Key::new(namespace, name);
    let service =
        store.get("services", &key).ok_or_else(|| format!("service {name:?} not found"))?;
    let spec = &service.value["spec"];
    let entry = object::list(spec, &["ports"])
        .iter()
        .find(|one| one["port"] == port)
        .ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    if let Some(endpoints) = store.get("endpoints", &key) {
        for subset in object::list(&endpoints.value, &["subsets"]) {
            let ports = object::list(subset, &["ports"]);
            let found = ports.iter().find(|one| ports.len() == 1 || one["name"] == entry["name"]);
            let ip = &object::at(subset, &["addresses"])[0]["ip"];
            if let Some(address) = found.and_then(|found| address(ip, &found["port"])) {
                return Ok(address);
            }
        }
    }
    let selector = &spec["selector"];
    if selector.as_object().is_some_and(|selector| !selector.is_empty()) {
        let selector = Labels::of_selector(&serde_json::json!({"matchLabels": selector}));
        for pod in store.list("pods", Some(namespace)).1 {
            let runs = object::text(&pod.value, &["status", "phase"]) == "Running";
            if !runs || object::is_deleting(&pod.value) || !selector.matches(&pod.value) {
                continue;
            }
            let target = target_port(&pod.value, entry, port);
            if let Some(address) = address(&pod.value["status"]["podIP"], &target) {
                return Ok(address);
            }
        }
    }
    let own = address(&spec["clusterIP"], &Value::from(port));
    own.ok_or_else(|| format!("no endpoints available for service {name:?}"))
}

/// The port of a pod that a port of a service means.
fn target_port(pod: &Value, entry: &Value, port: u16) -> Value {
    match &entry["targetPort"] {
        Value::String(wanted) => object::list(pod, &["spec", "containers"])
            .iter()
            .flat_map(|container| object::list(container, &["ports"]))
            .find(|one| one["name"] == **wanted)
            .map(|one| one["containerPort"].clone())
            .unwrap_or_default(),
        Value::Number(number) if number.as_i64() != Some(0) => Value::Number(number.clone()),
        _ => Value::from(port),
    }
}

fn address(ip: &Value, port: &Value) -> Option<SocketAddr> {
    let port = u16::try_from(port.as_u64()?).ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip.as_str()?.parse().ok()?, port))
}

/// An error of the client in the words of the real one.
fn worded(error: &reqwest::Error, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let place = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let mut last = error.to_string();
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        last = cause.to_string();
        if let Some(fault) = tls_fault(cause) {
            return certificate(fault, host);
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => {
                return format!("dial tcp {place}: connect: connection refused");
            }
            Some(io::ErrorKind::ConnectionReset) => return "read: connection reset by peer".into(),
            Some(io::ErrorKind::UnexpectedEof) => return "EOF".into(),
            _ => {}
        }
        if last.starts_with("dns error") {
            return format!("dial tcp: lookup {host}: no such host");
        }
        source = cause.source();
    }
    last
}

/// The fault of the encryption, where an error is one in however many wrappers.
fn tls_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return tls_fault(error.get_ref()?);
    }
    error.downcast_ref::<rustls::Error>()
}

fn certificate(error: &rustls::Error, host: &str) -> String {
    let rustls::Error::InvalidCertificate(fault) = error else { return format!("tls: {error}") };
    let why = match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("certificate is not valid for {host}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        other => other.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}
