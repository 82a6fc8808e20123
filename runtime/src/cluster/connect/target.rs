//! An API server and who asks it, of which a client is made.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{Client, Config};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::ConnectError;
use super::error::chain;
use super::lazy::Made;
use super::source::Source;
use super::token::Tokens;
use crate::settings::ClusterSettings;

/// How long it may take to reach the API server: less than one try of a call may.
const CONNECT: Duration = Duration::from_millis(2500);

/// An API server and who asks it.
pub(super) struct Target {
    pub(super) config: Config,
    /// Who gives tokens for it, if they are not in the configuration.
    pub(super) source: Option<Source>,
    /// Who asks, as far as is known here.
    pub(super) identity: String,
    /// What to look at where the server does not know who asks.
    pub(super) mend: &'static str,
}

impl Target {
    /// The server at an address, whose certificate is signed by an authority in PEM or base64, or else
    /// by one that the host trusts.
    pub(super) fn config(
        (what, address): (&str, &str),
        authority: Option<(&str, &str)>,
    ) -> Result<Config, ConnectError> {
        let url: Option<Uri> = address.parse().ok();
        let is_url = |url: &Uri| {
            matches!(url.scheme_str(), Some("https" | "http"))
                && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        };
        let url = url.filter(is_url);
        let mut config =
            Config::new(url.ok_or_else(|| ConnectError::Address { what: what.to_owned() })?);
        config.connect_timeout = Some(CONNECT);
        // Calls are tried again by who makes them.
        config.default_retry = false;
        config.root_cert = authority.map(|(what, text)| read_authority(what, text)).transpose()?;
        Ok(config)
    }

    /// The address of the server.
    pub(super) fn server(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// Sets the proxy that the settings have for the server, if it has none of its own.
    pub(super) fn through_proxy(&mut self, settings: &ClusterSettings) -> Result<(), ConnectError> {
        if self.config.proxy_url.is_none() {
            self.config.proxy_url = proxy(settings, &self.config.cluster_url)?;
        }
        let is_known = |proxy: &Uri| proxy.scheme_str() == Some("http");
        match &self.config.proxy_url {
            Some(proxy) if !is_known(proxy) => Err(ConnectError::Proxy { what: self.server() }),
            _ => Ok(()),
        }
    }

    /// Makes the client.
    pub(super) async fn made(self) -> Result<Made, ConnectError> {
        let server = self.server();
        let Target { mut config, source, identity, mend } = self;
        // A cloud's token is good for more than one call, and for whoever reads it on its way.
        if source.is_some() && !is_private(&config.cluster_url) {
            return Err(ConnectError::Address { what: server });
        }
        if config.accept_invalid_certs {
            tracing::warn!(
                server.address = server,
                "the kubeconfig has insecure-skip-tls-verify: whoever is between here and the \
                 cluster can read and change everything"
            );
        }
        // Nobody is to be believed without TLS, and the host's list of those who are takes 10 ms to read.
        if config.cluster_url.scheme_str() == Some("http") {
            config.root_cert.get_or_insert_default();
        }
        // A program may be run for a token, and files are read.
        let made = tokio::task::spawn_blocking(move || client(config)).await;
        let client = made.map_err(|_ended| ConnectError::Interrupted)?;
        let client = client.map_err(|error| problem(&server, &error))?;
        Ok(Made { client, server, tokens: source.map(Tokens::new), identity, mend })
    }
}

/// Whether nobody can read what is sent there.
fn is_private(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme_str() == Some("https") || host == "localhost" || is_here
}

/// The client of this configuration.
pub(super) fn client(config: Config) -> Result<Client, kube::Error> {
    // Installed once for the process; a second time changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::try_from(config)
}

/// The proxy that the settings have for an address.
pub(super) fn proxy(settings: &ClusterSettings, to: &Uri) -> Result<Option<Uri>, ConnectError> {
    let text = settings.proxy.expose_secret();
    let no = settings.no_proxy.as_deref().unwrap_or_default();
    let matcher = Matcher::builder().all("http://proxy.invalid").no(no).build();
    if text.is_empty() || matcher.intercept(to).is_none() {
        return Ok(None);
    }
    let proxy = text.parse::<Uri>().ok().filter(|proxy| proxy.scheme_str() == Some("http"));
    let what = || ConnectError::Proxy { what: "HTTPS_PROXY".to_owned() };
    Ok(Some(proxy.ok_or_else(what)?))
}

/// The certificates of an authority, in PEM or that in base64.
pub(super) fn read_authority(what: &str, text: &str) -> Result<Vec<Vec<u8>>, ConnectError> {
    let is_pem = text.contains("-----BEGIN");
    let compact: String = text.split_whitespace().collect();
    let pem = if is_pem { Some(text.as_bytes().to_vec()) } else { STANDARD.decode(compact).ok() };
    let certificates = pem.and_then(|pem| {
        CertificateDer::pem_slice_iter(&pem)
            .map(|found| found.map(|certificate| certificate.to_vec()).ok())
            .collect::<Option<Vec<_>>>()
    });
    certificates
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| ConnectError::Authority { what: what.to_owned() })
}

/// Why there is no client. What a program printed may be a token, and is not repeated.
fn problem(server: &str, error: &kube::Error) -> ConnectError {
    use kube::client::AuthError;

    let problem = match error {
        kube::Error::Auth(AuthError::AuthExecRun { out, .. }) => {
            format!("the program of the kubeconfig that gives tokens ended with {}", out.status)
        }
        kube::Error::Auth(AuthError::AuthExecStart(error)) => {
            format!("the program of the kubeconfig that gives tokens cannot be run: {error}")
        }
        kube::Error::Auth(AuthError::AuthExecParse(_)) => {
            "what the program of the kubeconfig printed is no token".to_owned()
        }
        kube::Error::Auth(AuthError::ReadTokenFile(error, path)) => {
            format!("the token's file {} cannot be read: {error}", path.display())
        }
        other => chain(other),
    };
    ConnectError::Client { problem: format!("{problem} (for {server})") }
}

#[test]
fn a_proxy_is_for_what_is_not_listed() {
    let settings = ClusterSettings {
        proxy: "http://user:s3cret@proxy:3128".into(),
        no_proxy: Some("10.0.0.0/8, .internal,kube.example".into()),
        ..ClusterSettings::default()
    };
    for (to, is_through) in [
        ("https://10.1.2.3:6443", false),
        ("https://api.internal", false),
        ("https://kube.example:443/", false),
        ("https://11.1.2.3", true),
        ("https://kube.example.com", true),
    ] {
        let found = proxy(&settings, &to.parse().unwrap()).unwrap();
        assert_eq!(found.is_some(), is_through, "{to}");
    }
    let socks = ClusterSettings { proxy: "socks5://u:s3cret@proxy".into(), ..Default::default() };
    let error = proxy(&socks, &"https://a".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "the proxy of HTTPS_PROXY must be an address that begins with http://");
}
