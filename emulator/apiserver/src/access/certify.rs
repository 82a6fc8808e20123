//! TLS as the server speaks it: every client is asked for a certificate, none must show one.
//!
//! A certificate of another authority does not end the handshake: it is the requests that are
//! answered with 401, as the real server does.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHENTICATED, CREDENTIAL, Caller, Certificates, User};

/// Says who a client certificate names.
#[derive(Debug)]
pub(crate) struct Certifier(Arc<dyn ClientCertVerifier>);

impl Certifier {
    /// TLS for a listener at an address, and what judges the certificates that clients show.
    pub(crate) fn new(
        certificates: &Certificates,
        address: IpAddr,
        names: &[String],
    ) -> io::Result<(TlsAcceptor, Arc<Self>)> {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificates.root()?).map_err(io::Error::other)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .map_err(io::Error::other)?;
        let (certificate, key) = certificates.serving(address, names)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(AskOnly(Arc::clone(&verifier))))
            .with_single_cert(vec![certificate, certificates.root()?], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((TlsAcceptor::from(Arc::new(config)), Arc::new(Certifier(verifier))))
    }

    /// Who the certificates of a connection name.
    pub(crate) fn caller(&self, shown: Option<&[CertificateDer<'_>]>) -> Caller {
        let Some((first, rest)) = shown.and_then(<[_]>::split_first) else {
            return Caller::Stranger;
        };
        let verified = self.0.verify_client_cert(first, rest, UnixTime::now());
        match verified.ok().and_then(|_| user(first)) {
            Some(user) => Caller::Known(Arc::new(user)),
            None => Caller::Pretender,
        }
    }
}

/// The user that a certificate names: its common name, with its organizations as groups.
fn user(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let mut groups: Vec<String> = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok().map(str::to_owned))
        .collect();
    groups.push(AUTHENTICATED.to_owned());
    let digest = digest::digest(&digest::SHA256, certificate);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = [(CREDENTIAL.to_owned(), vec![format!("X509SHA256={digest}")])].into();
    Some(User { name: name.to_owned(), uid: String::new(), groups, extra })
}

/// Takes every certificate whose key the client has; who signed it is looked at later.
#[derive(Debug)]
struct AskOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskOnly {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
