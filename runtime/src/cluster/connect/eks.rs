//! A cluster of Amazon's EKS: its address by `DescribeCluster`, and tokens that are an address of STS,
//! signed so that the cluster can ask it who asks.
//!
//! <https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html>

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::ConnectError;
use super::outside::Call;
use super::source::Source;
use super::target::Target;
use super::token::Token;
use crate::settings::ClusterSettings;
use credentials::Keys;
pub(super) use credentials::{are_set, read};
use sign::{Key, Request, Scope};

mod credentials;
mod sign;

/// For how many seconds STS takes the address; EKS itself takes it for 15 minutes.
const SECONDS: u32 = 60;

/// For how long a token is shown.
const LIFE: SignedDuration = SignedDuration::from_mins(14);

const MEND_DESCRIBE: &str = "allow eks:DescribeCluster to this identity, or set EKS_ENDPOINT and EKS_CA; is the name right, \
     and AWS_REGION?";
const MEND_ROLE: &str =
    "allow sts:AssumeRole to this identity, and this identity in the role's trust policy";
pub(super) const MEND_TOKEN: &str = "the cluster needs an access entry for this role (aws eks create-access-entry), or a line in \
     its ConfigMap aws-auth";

/// Who gives tokens for a cluster of EKS.
pub(super) struct Eks {
    /// The name of the cluster, which a token is for.
    cluster: String,
    region: String,
    role: Option<String>,
    keys: Keys,
    settings: Arc<ClusterSettings>,
}

impl Eks {
    /// Tokens for the cluster of this name; what is not said is in the settings.
    pub(super) fn new(
        cluster: &str,
        region: Option<&str>,
        role: Option<&str>,
        settings: &Arc<ClusterSettings>,
    ) -> Result<Eks, ConnectError> {
        let aws = &settings.aws;
        let region = region.or(aws.region.as_deref()).filter(|region| is_plain(region));
        let unset = || ConnectError::Unset {
            what: format!("the cluster {cluster} of EKS"),
            variable: "AWS_REGION",
        };
        Ok(Eks {
            cluster: cluster.to_owned(),
            region: region.ok_or_else(unset)?.to_owned(),
            role: role.or(aws.role.as_deref()).map(str::to_owned),
            keys: Keys::default(),
            settings: settings.clone(),
        })
    }

    /// A token: nobody is asked for it, unless for a key.
    pub(super) async fn token(&self) -> Result<Token, ConnectError> {
        let key = self.key().await?;
        let now = Timestamp::now();
        let text = self.text(&key, now)?;
        let ends = key.ends.map_or(now + LIFE, |ends| ends.min(now + LIFE));
        let unread =
            || ConnectError::Client { problem: "the token for EKS is no header".to_owned() };
        Token::new(&text, ends).ok_or_else(unread)
    }

    fn text(&self, key: &Key, at: Timestamp) -> Result<String, ConnectError> {
        let api = self.sts();
        let host = host(&api)?;
        let request = Request {
            method: "GET",
            host: &host,
            path: "/",
            query: vec![("Action", "GetCallerIdentity"), ("Version", "2011-06-15")],
            headers: vec![("x-k8s-aws-id", self.cluster.clone())],
            body: "",
        };
        let scope = Scope { region: &self.region, service: "sts", at };
        let address = format!("{api}{}", request.presigned(key, scope, SECONDS));
        Ok(format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(address)))
    }

    pub(super) fn identity(&self) -> String {
        let role = || self.role.as_ref().or(self.settings.aws.web_role.as_ref());
        match role() {
            Some(role) => format!("the role {role}"),
            None => "the AWS identity of this host".to_owned(),
        }
    }

    /// The key of whoever speaks to the cluster: this host's, or of the role that it assumes.
    async fn key(&self) -> Result<Key, ConnectError> {
        let key = self.keys.get(&self.settings, &self.sts()).await?;
        let Some(role) = &self.role else { return Ok(key) };
        let api = self.sts();
        let session = &self.settings.aws.session_name;
        let body = serde_urlencoded::to_string([
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
        ])
        .unwrap_or_default();
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        let host = host(&api)?;
        let request = Request {
            method: "POST",
            host: &host,
            path: "/",
            headers: vec![form],
            body: &body,
            ..Request::default()
        };
        let scope = Scope { region: &self.region, service: "sts", at: Timestamp::now() };
        let headers = request.signed(&key, scope);
        let mut call = Call::post("AWS STS", format!("{api}/"), body.clone());
        call.headers.extend(headers);
        let answer = call.send(&self.settings).await?.granted(MEND_ROLE)?;
        credentials::of_xml(&answer)
    }

    fn sts(&self) -> String {
        let set = self.settings.aws.sts_api.clone();
        set.unwrap_or_else(|| api("sts", &self.region))
    }
}

/// The API server of the cluster that the settings name.
pub(super) async fn target(settings: &Arc<ClusterSettings>) -> Result<Target, ConnectError> {
    let aws = &settings.aws;
    let unset = || ConnectError::Unset { what: "EKS_ENDPOINT".to_owned(), variable: "EKS_CLUSTER" };
    // A token names the cluster, too.
    let cluster = aws.cluster.as_deref().ok_or_else(unset)?;
    let eks = Eks::new(cluster, None, None, settings)?;
    let config = match &aws.endpoint {
        Some(endpoint) => {
            let authority = aws.authority.as_deref().map(|text| ("EKS_CA", text));
            Target::config(("EKS_ENDPOINT", endpoint), authority)?
        }
        None => {
            let found = describe(&eks, cluster).await?;
            let authority = aws.authority.clone().unwrap_or(found.certificate_authority.data);
            let what = "what EKS says of the cluster";
            Target::config((what, &found.endpoint), Some((what, &authority)))?
        }
    };
    let identity = eks.identity();
    let source = Some(Source::Eks(Box::new(eks)));
    Ok(Target { config, source, identity, mend: MEND_TOKEN })
}

#[derive(Deserialize)]
struct Described {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    endpoint: String,
    certificate_authority: Authority,
}

#[derive(Deserialize)]
struct Authority {
    data: String,
}

async fn describe(eks: &Eks, cluster: &str) -> Result<Cluster, ConnectError> {
    if !is_plain(cluster) {
        return Err(ConnectError::Address { what: "EKS_CLUSTER".to_owned() });
    }
    let settings = &eks.settings;
    let api = settings.aws.eks_api.clone().unwrap_or_else(|| api("eks", &eks.region));
    let key = eks.key().await?;
    let path = format!("/clusters/{cluster}");
    let host = host(&api)?;
    let request = Request { method: "GET", host: &host, path: &path, ..Request::default() };
    let scope = Scope { region: &eks.region, service: "eks", at: Timestamp::now() };
    let mut call = Call::get("AWS EKS", format!("{api}{path}"));
    call.headers.extend(request.signed(&key, scope));
    let answer = call.send(settings).await?.granted(MEND_DESCRIBE)?;
    let described: Described = answer.json()?;
    Ok(described.cluster)
}

/// The API of a service in a region.
fn api(service: &str, region: &str) -> String {
    let domain = match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    format!("https://{service}.{region}.{domain}")
}

fn host(api: &str) -> Result<String, ConnectError> {
    let address = api.parse::<Uri>().ok();
    let host = address.and_then(|address| Some(address.authority()?.to_string()));
    host.ok_or_else(|| ConnectError::Address { what: "AWS_ENDPOINT_URL_STS".to_owned() })
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
