//! Calls to those who give credentials: the clouds' APIs, and what a host has for its own programs.
//!
//! Nobody is followed elsewhere, what is read is bounded, and nothing of an answer is repeated but
//! the short code of an error.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ConnectError;
use super::error::classify;
use super::lazy::skew;
use super::target::proxy;
use crate::settings::ClusterSettings;

/// How much of an answer is read.
const LIMIT: usize = 1024 * 1024;

/// How long it may take to reach somebody on the same host, or on its network.
const NEAR: Duration = Duration::from_secs(1);

/// How long it may take to reach somebody else.
const FAR: Duration = Duration::from_secs(3);

/// How long a call may take.
const CALL: Duration = Duration::from_secs(8);

/// What a clock may differ by until that is the reason for a refusal, in seconds.
const SKEW: i64 = 240;

/// A call. It has secrets, and is not to be printed.
#[derive(Clone)]
pub(super) struct Call {
    /// Who is called, as errors name them.
    pub(super) who: String,
    pub(super) method: http::Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// What was answered.
pub(super) struct Answer {
    who: String,
    status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn get(who: &str, url: String) -> Call {
        let method = http::Method::GET;
        Call { who: who.to_owned(), method, url, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn post(who: &str, url: String, body: String) -> Call {
        Call { method: http::Method::POST, body, ..Call::get(who, url) }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    /// Calls. An answer that says that the other cannot answer now is an error.
    pub(super) async fn send(self, settings: &ClusterSettings) -> Result<Answer, ConnectError> {
        let Call { who, method, url, headers, body } = self;
        let is_near = !url.starts_with("https://");
        let address = || ConnectError::Address { what: who.clone() };
        let through = match is_near {
            true => None,
            false => proxy(settings, &url.parse().map_err(|_none| address())?)?,
        };
        let client = client(is_near, through).ok_or_else(|| ConnectError::Client {
            problem: format!("there is no client for {who}"),
        })?;
        let mut request = client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let failed = |error: reqwest::Error| {
            let is_late = error.is_timeout();
            if error.is_builder() {
                return address();
            }
            let error = error.without_url();
            match classify(&error, &who) {
                _ if is_late => ConnectError::Late { server: who.clone() },
                Some(known) => known,
                None => ConnectError::Away { who: who.clone(), problem: "it broke off".to_owned() },
            }
        };
        let mut response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > LIMIT {
                return Err(ConnectError::Answer { who, problem: "it is too long" });
            }
            body.extend_from_slice(&piece);
        }
        if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
            let problem = format!("it answered {}", status.as_u16());
            return Err(ConnectError::Away { who, problem });
        }
        Ok(Answer { who, status, headers, body })
    }
}

impl Answer {
    /// The answer, if it is not a refusal; `mend` says what to look at.
    pub(super) fn granted(self, mend: &'static str) -> Result<Answer, ConnectError> {
        if self.status.is_success() {
            return Ok(self);
        }
        if let Some(seconds) = skew(&self.headers).filter(|skew| skew.abs() > SKEW) {
            return Err(ConnectError::Clock { who: self.who, seconds });
        }
        let code = self.status.as_u16();
        let problem = code_of(&self.body).map_or_else(String::new, |code| format!(" ({code})"));
        Err(ConnectError::Denied { who: self.who, code, problem, mend })
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ConnectError> {
        // What the parser says could repeat a secret.
        serde_json::from_slice(&self.body)
            .map_err(|_quoting| self.unread("it is not what it should be"))
    }

    pub(super) fn unread(&self, problem: &'static str) -> ConnectError {
        ConnectError::Answer { who: self.who.clone(), problem }
    }
}

fn client(is_near: bool, proxy: Option<http::Uri>) -> Option<reqwest::Client> {
    // Installed once for the process; a second time changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .connect_timeout(if is_near { NEAR } else { FAR })
        .timeout(CALL)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .no_proxy();
    if is_near {
        // Nobody is believed by a certificate then; the host's list of those who are takes time to read.
        client = client.tls_certs_only([]);
    }
    if let Some(proxy) = proxy {
        client = client.proxy(reqwest::Proxy::all(proxy.to_string()).ok()?);
    }
    client.build().ok()
}

/// The short code of an error that an answer names, in the forms of the three clouds.
fn code_of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let code = match serde_json::from_str::<Value>(text) {
        Ok(json) => {
            let described = json["error_description"].as_str().unwrap_or_default();
            let entra = described.split([':', ' ']).find(|word| word.starts_with("AADSTS"));
            let texts = [
                entra,
                json["error"]["status"].as_str(),
                json["error"]["code"].as_str(),
                json["error"].as_str(),
                json["__type"].as_str(),
                json["code"].as_str(),
                json["Code"].as_str(),
            ];
            texts.into_iter().flatten().next()?.to_owned()
        }
        Err(_other) => element(text, "Code")?.to_owned(),
    };
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!code.is_empty() && code.len() <= 64 && code.chars().all(is_code)).then_some(code)
}

/// What is between the first `<name>` and the `</name>` behind it.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

#[test]
fn the_code_of_an_error_is_told_and_nothing_else_of_it() {
    let code = |text: &str| code_of(text.as_bytes());
    for (body, expected) in [
        (
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid secret"}"#,
            "AADSTS7000215",
        ),
        (
            r#"{"error":{"code":"AuthorizationFailed","message":"The client 'x'"}}"#,
            "AuthorizationFailed",
        ),
        (r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, "PERMISSION_DENIED"),
        (r#"{"__type":"AccessDeniedException"}"#, "AccessDeniedException"),
        ("<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>", "ExpiredToken"),
    ] {
        assert_eq!(code(body).as_deref(), Some(expected));
    }
    for body in ["", "<html>", "{}", r#"{"error":"the secret is hunter2"}"#, "<Code>", "\u{0}"] {
        assert_eq!(code(body), None, "{body}");
    }
}
