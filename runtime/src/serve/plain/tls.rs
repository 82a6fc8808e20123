//! HTTPS, by files that are read again when they have changed.
//!
//! Whether they have is looked at when a connection comes, and not more often than every few seconds:
//! a program that nobody speaks to does nothing. Files that cannot be used leave the certificate that
//! there is in place, and the log says so.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::connection::Stream;

/// How often the files are looked at, at most.
const INTERVAL: Duration = Duration::from_secs(5);

/// The certificate that is served.
pub(in crate::serve) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// What the files were when they were last read.
    seen: [Seen; 2],
    looked: Instant,
}

/// What tells a file from what it was before: when it changed, its length, its number.
type Seen = Option<(i64, i64, u64, u64)>;

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error("the file {0} of {1} cannot be read as PEM")]
    Unread(PathBuf, &'static str, #[source] rustls_pki_types::pem::Error),
    #[error("the file {0} of TLS_CERT has no certificate")]
    Empty(PathBuf),
    #[error("the certificate of TLS_CERT and the key of TLS_KEY cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(certificate: &Path, key: &Path) -> io::Result<Tls> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let seen = [seen(&certificate), seen(&key)];
        let config = read(&certificate, &key).map_err(io::Error::other)?;
        let current = Current { config, seen, looked: Instant::now() };
        Ok(Tls { certificate, key, current: Mutex::new(current) })
    }

    /// What is served by now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now - current.looked >= INTERVAL {
            current.looked = now;
            let seen = [seen(&self.certificate), seen(&self.key)];
            if seen != current.seen {
                current.seen = seen;
                match read(&self.certificate, &self.key) {
                    Ok(config) => {
                        current.config = config;
                        tracing::info!("the certificate has changed");
                    }
                    Err(error) => tracing::error!(
                        error = chain(&error),
                        "the new certificate cannot be used: the old one still is"
                    ),
                }
            }
        }
        Arc::clone(&current.config)
    }
}

/// Agrees with a client on what they speak: whether that is HTTP/2.
pub(super) async fn shake_hands(
    stream: Box<dyn Stream>,
    tls: &Tls,
) -> io::Result<(Box<dyn Stream>, bool)> {
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Box::new(stream), is_http2))
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unread = |path: &Path, name| {
        let path = path.to_owned();
        move |error| TlsError::Unread(path, name, error)
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(unread(certificate, "TLS_CERT"))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificate.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(unread(key, "TLS_KEY"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn seen(path: &Path) -> Seen {
    let of = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.len(), file.ino());
    fs::metadata(path).ok().map(of)
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
