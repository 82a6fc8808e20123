//! The certificates: an authority of the cluster's own, what the server shows, what the admin shows.
//!
//! All of them are ECDSA on P-256. What must outlive a restart (the authority, the admin's
//! certificate, the key of the service accounts' tokens) is one file in the state directory, so
//! that a kubeconfig that was written before stays valid; the server's own certificate is made
//! anew for each listener.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ADMIN, MASTERS};
use crate::private;

/// Where they are kept in the state directory.
const FILE: &str = "credentials.json";

/// How many years they last.
const YEARS: i16 = 10;

/// The names under which pods know the API server.
const NAMES: &[&str] = &[
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "kubernetes.default",
    "kubernetes",
    "localhost",
    "127.0.0.1",
    "::1",
];

/// What the cluster proves itself with, as PEM.
#[derive(Serialize, Deserialize)]
pub(crate) struct Certificates {
    /// The certificate of the authority, which clients trust.
    pub(crate) authority: String,
    authority_key: String,
    pub(crate) admin: String,
    pub(crate) admin_key: String,
    pub(crate) admin_token: String,
    /// Signs the tokens of service accounts.
    pub(crate) token_key: String,
}

impl Certificates {
    /// Those of a state directory, made there the first time; new ones without a directory.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is none of ours.
    pub(crate) fn open(state: Option<&Path>) -> io::Result<Self> {
        let Some(folder) = state else { return Certificates::new().map_err(io::Error::other) };
        let file = folder.join(FILE);
        match std::fs::read(&file) {
            Ok(text) => {
                let read = serde_json::from_slice(&text).map_err(io::Error::other);
                read.and_then(Certificates::checked).map_err(|error| {
                    let why = format!(
                        "{} is damaged ({error}); remove it to have new credentials made, which makes earlier kubeconfigs and tokens invalid",
                        file.display()
                    );
                    io::Error::new(ErrorKind::InvalidData, why)
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = Certificates::new().map_err(io::Error::other)?;
                let text = serde_json::to_string_pretty(&made).map_err(io::Error::other)?;
                private::write(&file, &text)?;
                Ok(made)
            }
            Err(error) => Err(error),
        }
    }

    fn new() -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let authority = authority_params()?.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority_params()?, &authority_key);
        let admin_key = KeyPair::generate()?;
        let mut params = params(Vec::new(), ADMIN)?;
        params.distinguished_name.push(DnType::OrganizationName, MASTERS);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        let admin = params.signed_by(&admin_key, &issuer)?;
        Ok(Certificates {
            authority: authority.pem(),
            authority_key: authority_key.serialize_pem(),
            admin: admin.pem(),
            admin_key: admin_key.serialize_pem(),
            admin_token: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
            token_key: KeyPair::generate()?.serialize_pem(),
        })
    }

    fn checked(self) -> io::Result<Self> {
        for key in [&self.authority_key, &self.admin_key, &self.token_key] {
            KeyPair::from_pem(key).map_err(io::Error::other)?;
        }
        for certificate in [&self.authority, &self.admin] {
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
        }
        if self.admin_token.len() < 32 {
            return Err(io::Error::other("the admin's token is too short"));
        }
        Ok(self)
    }

    /// The certificate of the authority, to verify others with.
    pub(crate) fn root(&self) -> io::Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.authority.as_bytes()).map_err(io::Error::other)
    }

    /// A certificate for a server that is reached at an address, and under more names.
    pub(crate) fn serving(
        &self,
        address: IpAddr,
        names: &[String],
    ) -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let mut all: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let address = address.to_canonical().to_string();
        for name in std::iter::once(&address).chain(names) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        let made = || {
            let authority_key = KeyPair::from_pem(&self.authority_key)?;
            let issuer = Issuer::new(authority_params()?, authority_key);
            let key = KeyPair::generate()?;
            let mut params = params(all, "kube-apiserver")?;
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            Ok((params.signed_by(&key, &issuer)?.der().clone(), key.serialize_der()))
        };
        let (certificate, key) =
            made().map_err(|error: rcgen::Error| io::Error::new(ErrorKind::InvalidInput, error))?;
        Ok((certificate, PrivatePkcs8KeyDer::from(key).into()))
    }
}

/// What the authority is; it must be the same whenever it signs.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(Vec::new(), "kubernetes")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    Ok(params)
}

fn params(names: Vec<String>, common: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    // Clocks differ a little, so it is valid since yesterday.
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let since = today.yesterday().unwrap_or(today);
    let date = |year: i16, day: i8| {
        rcgen::date_time_ymd(year.into(), since.month().unsigned_abs(), day.unsigned_abs())
    };
    params.not_before = date(since.year(), since.day());
    // No year lacks the 28th.
    params.not_after = date(since.year() + YEARS, since.day().min(28));
    Ok(params)
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}
