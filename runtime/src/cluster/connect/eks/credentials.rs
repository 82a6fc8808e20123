//! Who this host is to AWS: from the first of these that says so, in the order of AWS's own tools.
//!
//! The environment (Lambda's), a web identity (pods of EKS with a role by annotation), a container's
//! endpoint (pods of EKS with an association, tasks of ECS), a machine of EC2.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::super::ConnectError;
use super::super::outside::{Answer, Call, element};
use super::sign::Key;
use crate::settings::{AwsSettings, ClusterSettings};

/// For how long before its end a key is not used any more. Those who give keys give new ones by then.
const EARLY: SignedDuration = SignedDuration::from_mins(3);

const TRIED: &str = "there is no AWS_ACCESS_KEY_ID, no AWS_WEB_IDENTITY_TOKEN_FILE, no \
     AWS_CONTAINER_CREDENTIALS_FULL_URI, and no machine of EC2 with a role";
const MEND_WEB: &str = "the role's trust policy must name this cluster's OIDC provider and this \
     service account, and AWS_ROLE_ARN the role";
const MEND_CONTAINER: &str = "look at the pod identity association, or at the role of the task";
const MEND_MACHINE: &str = "the machine needs an instance profile";

/// The key of this host, kept until it ends.
#[derive(Default)]
pub(super) struct Keys(Mutex<Option<Key>>);

impl Keys {
    pub(super) async fn get(
        &self,
        settings: &ClusterSettings,
        sts: &str,
    ) -> Result<Key, ConnectError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_good = |key: &Key| key.ends.is_some_and(|ends| ends - EARLY > Timestamp::now());
        if let Some(key) = kept.filter(is_good) {
            return Ok(key);
        }
        let key = find(settings, sts).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(key)
    }
}

/// Whether something other than a machine says who this host is.
pub(in crate::cluster::connect) fn are_set(aws: &AwsSettings) -> bool {
    aws.key.is_some()
        || (aws.web_token.is_some() && aws.web_role.is_some())
        || aws.container.is_some()
        || aws.container_path.is_some()
}

async fn find(settings: &ClusterSettings, sts: &str) -> Result<Key, ConnectError> {
    let aws = &settings.aws;
    if let Some(id) = &aws.key {
        let session = Some(&aws.session).filter(|session| !session.expose_secret().is_empty());
        if aws.secret.expose_secret().is_empty() {
            let what = "AWS_ACCESS_KEY_ID".to_owned();
            return Err(ConnectError::Unset { what, variable: "AWS_SECRET_ACCESS_KEY" });
        }
        let secret = aws.secret.clone();
        return Ok(Key { id: id.clone(), secret, session: session.cloned(), ends: None });
    }
    if let (Some(file), Some(role)) = (&aws.web_token, &aws.web_role) {
        return of_web_identity(settings, sts, file, role).await;
    }
    if let Some(address) = container(aws)? {
        return of_container(settings, address).await;
    }
    if aws.no_machine {
        return Err(ConnectError::NoIdentity { cloud: "AWS", tried: TRIED });
    }
    of_machine(settings).await
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
async fn of_web_identity(
    settings: &ClusterSettings,
    sts: &str,
    file: &Path,
    role: &str,
) -> Result<Key, ConnectError> {
    let token = read("AWS_WEB_IDENTITY_TOKEN_FILE", file)?;
    let body = serde_urlencoded::to_string([
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &settings.aws.session_name),
        ("WebIdentityToken", &token),
    ])
    .unwrap_or_default();
    let call = Call::post("AWS STS", format!("{sts}/"), body)
        .header("content-type", "application/x-www-form-urlencoded");
    of_xml(&call.send(settings).await?.granted(MEND_WEB)?)
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
async fn of_container(settings: &ClusterSettings, address: String) -> Result<Key, ConnectError> {
    let aws = &settings.aws;
    let mut call = Call::get("the container's credentials endpoint", address);
    // The file changes, and counts before the other.
    let token = match &aws.container_token_file {
        Some(file) => read("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)?,
        None => aws.container_token.expose_secret().to_owned(),
    };
    if !token.is_empty() {
        call = call.header("authorization", token);
    }
    of_json(&call.send(settings).await?.granted(MEND_CONTAINER)?)
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>
async fn of_machine(settings: &ClusterSettings) -> Result<Key, ConnectError> {
    let (who, at) = ("the metadata of this machine", &settings.aws.machine);
    let absent = |error: ConnectError| match error {
        ConnectError::Late { .. } | ConnectError::Refused { .. } | ConnectError::Broken { .. } => {
            ConnectError::NoIdentity { cloud: "AWS", tried: TRIED }
        }
        other => other,
    };
    let mut call = Call::get(who, format!("{at}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "60");
    call.method = http::Method::PUT;
    let answer = call.send(settings).await.map_err(absent)?.granted(MEND_MACHINE)?;
    let session = text(&answer)?;
    let get = async |path: &str| {
        let call = Call::get(who, format!("{at}/latest/meta-data/iam/security-credentials/{path}"));
        let call = call.header("x-aws-ec2-metadata-token", session.clone());
        call.send(settings).await?.granted(MEND_MACHINE)
    };
    let roles = get("").await?;
    let role = text(&roles)?;
    let role = role.lines().next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if role.is_empty() || !role.chars().all(fits) {
        return Err(roles.unread("it names no role"));
    }
    of_json(&get(role).await?)
}

/// Where a container asks, if it is told. Only its own host and network are asked without TLS.
fn container(aws: &AwsSettings) -> Result<Option<String>, ConnectError> {
    if let Some(path) = &aws.container_path {
        return Ok(Some(format!("http://169.254.170.2/{}", path.trim_start_matches('/'))));
    }
    let Some(address) = &aws.container else { return Ok(None) };
    let url = address.parse::<Uri>().ok();
    let is_allowed = url.is_some_and(|url| {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_near = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[..3] == [169, 254, 170],
            IpAddr::V6(v6) => v6.is_loopback() || v6 == EKS_AGENT,
        };
        match url.scheme_str() {
            Some("https") => true,
            Some("http") => host == "localhost" || host.parse().is_ok_and(is_near),
            _ => false,
        }
    });
    let wrong = || ConnectError::Address { what: "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned() };
    if is_allowed { Ok(Some(address.clone())) } else { Err(wrong()) }
}

/// Where the agent of EKS is in clusters of IPv6.
const EKS_AGENT: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<Timestamp>,
}

fn of_json(answer: &Answer) -> Result<Key, ConnectError> {
    let credentials: Credentials = answer.json()?;
    Ok(Key {
        id: credentials.access_key_id,
        secret: credentials.secret_access_key.into(),
        session: credentials.token.filter(|token| !token.is_empty()).map(Into::into),
        ends: credentials.expiration,
    })
}

/// The credentials in an answer of STS.
pub(super) fn of_xml(answer: &Answer) -> Result<Key, ConnectError> {
    let xml = text(answer)?;
    let find = |name: &str| {
        let found = element(&xml, name).filter(|text| !text.is_empty() && !text.contains('<'));
        found.ok_or_else(|| answer.unread("it has no credentials"))
    };
    let ends = find("Expiration")?.parse();
    Ok(Key {
        id: find("AccessKeyId")?.to_owned(),
        secret: find("SecretAccessKey")?.into(),
        session: Some(find("SessionToken")?.into()),
        ends: Some(ends.map_err(|_no_time| answer.unread("its credentials end at no time"))?),
    })
}

fn text(answer: &Answer) -> Result<String, ConnectError> {
    String::from_utf8(answer.body.clone()).map_err(|_no_text| answer.unread("it is no text"))
}

/// What a file has that a host renews.
pub(in crate::cluster::connect) fn read(
    variable: &'static str,
    file: &Path,
) -> Result<String, ConnectError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConnectError::File {
        variable,
        path: file.display().to_string(),
        source,
    })?;
    Ok(text.trim().to_owned())
}
