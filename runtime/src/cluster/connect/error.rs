//! Why a cluster is not reached, and what to do about it.
//!
//! Errors name what was tried, what is missing, and the way out; none has a secret in it, nor text of
//! an answer that could have one.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Why there is no connection to a cluster.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "what they say, and the names, say it")]
pub enum ConnectError {
    #[error(
        "no cluster is configured: set KUBECONFIG or KUBECONFIG_TEXT, EKS_CLUSTER, AKS_CLUSTER or \
         GKE_CLUSTER, or run in a pod with a service account"
    )]
    Unconfigured,
    #[error("{variable} names the file {path}, which cannot be read")]
    File {
        variable: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{place} is no kubeconfig: {problem}")]
    Kubeconfig { place: String, problem: String },
    #[error("{place} has no {kind} {name:?}; there are: {known}")]
    Missing { place: String, kind: &'static str, name: String, known: String },
    #[error("{what} is not a certificate authority: PEM is needed, in base64 or not")]
    Authority { what: String },
    #[error("{what} is not a client's certificate and its key: {problem}")]
    Identity { what: String, problem: String },
    #[error("{what} is not the address of a cluster; one begins with https://")]
    Address { what: String },
    #[error(
        "{place} asks the program {program} for a token, which {problem}: set {instead} instead"
    )]
    Plugin { place: String, program: String, problem: String, instead: &'static str },
    #[error("{what} needs {variable}, which is not set")]
    Unset { what: String, variable: &'static str },
    #[error("nothing here proves who asks {cloud}: {tried}")]
    NoIdentity { cloud: &'static str, tried: &'static str },
    #[error("the proxy of {what} must be an address that begins with http://")]
    Proxy { what: String },
    #[error("the proxy does not lead to {server}: {problem}")]
    ProxyRefused { server: String, problem: String },
    #[error("{server} refuses connections: is the API server there, and does its firewall let in?")]
    Refused { server: String },
    #[error("nobody knows the name of {server}: it may be a private one that is not resolved here")]
    Name { server: String },
    #[error(
        "{server} was not reached in time: a firewall, a list of authorized addresses or a private \
         network may be between"
    )]
    Late { server: String },
    #[error("the connection to {server} failed: {problem}")]
    Broken { server: String, problem: String },
    #[error("the certificate of {server} has expired or is not valid yet, by this machine's clock")]
    Expired { server: String },
    #[error(
        "the certificate of {server} was signed by an authority that is not the configured one: the \
         cluster may have been made anew, or somebody is between"
    )]
    Issuer { server: String },
    #[error(
        "the certificate of {server} is for another name: set tls-server-name in the kubeconfig"
    )]
    OtherName { server: String },
    #[error("the certificate of {server} is not accepted: {problem}")]
    Certificate { server: String, problem: String },
    #[error("{server} does not know who asks ({identity}): {mend}")]
    Unauthenticated { server: String, identity: String, mend: &'static str },
    #[error("{who} refused with {code}{problem}: {mend}")]
    Denied { who: String, code: u16, problem: String, mend: &'static str },
    #[error("{who} could not answer: {problem}")]
    Away { who: String, problem: String },
    #[error("the answer of {who} cannot be read: {problem}")]
    Answer { who: String, problem: &'static str },
    #[error(
        "the clock here is {} seconds {} that of {who}, which therefore refuses what it signs: set it",
        .seconds.abs(),
        if *.seconds > 0 { "ahead of" } else { "behind" }
    )]
    Clock { who: String, seconds: i64 },
    #[error("the client of the cluster cannot be made: {problem}")]
    Client { problem: String },
    #[error("the connection was not made to its end")]
    Interrupted,
}

impl ConnectError {
    /// Whether trying again soon may help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            ConnectError::Refused { .. }
                | ConnectError::Name { .. }
                | ConnectError::Late { .. }
                | ConnectError::Broken { .. }
                | ConnectError::Away { .. }
                | ConnectError::Interrupted
        )
    }
}

/// What a client's error says of the connection, if it is about that.
pub(super) fn classify(error: &(dyn Error + 'static), server: &str) -> Option<ConnectError> {
    let server = server.to_owned();
    let mut said = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<kube::Error>()
            && matches!(error, kube::Error::Api(_) | kube::Error::SerdeError(_))
        {
            return None;
        }
        if let Some(rustls::Error::InvalidCertificate(problem)) = error.downcast_ref() {
            return Some(certificate(server, problem));
        }
        let io = error.downcast_ref::<io::Error>();
        if let Some(io) = io {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return Some(ConnectError::Refused { server }),
                io::ErrorKind::TimedOut => return Some(ConnectError::Late { server }),
                _ => {}
            }
        }
        let text = error.to_string();
        if text.starts_with("dns error") {
            return Some(ConnectError::Name { server });
        }
        if text.starts_with("tunnel error") {
            return Some(ConnectError::ProxyRefused { server, problem: text });
        }
        said.push(text);
        // What one of input and output holds is not its source, but the same error.
        let held = io.and_then(io::Error::get_ref).map(|held| held as &(dyn Error + 'static));
        next = held.or_else(|| error.source());
    }
    // The last one says what happened, those before it where.
    let is_connecting = said.iter().any(|text| text.contains("(Connect)"));
    let problem = said.pop().filter(|_| is_connecting)?;
    Some(ConnectError::Broken { server, problem })
}

fn certificate(server: String, problem: &CertificateError) -> ConnectError {
    match problem {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ConnectError::Expired { server },
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ConnectError::Issuer { server }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectError::OtherName { server }
        }
        other => ConnectError::Certificate { server, problem: format!("{other}") },
    }
}

/// An error and what caused it, in one line; some repeat their causes by themselves.
pub(in crate::cluster) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
