//! A cluster of Azure's AKS: its address by Azure's API, and tokens of Entra ID for whoever this host
//! is: a workload, an application with a secret, or a managed identity of App Service, Functions or a
//! virtual machine.
//!
//! <https://learn.microsoft.com/azure/aks/enable-authentication-microsoft-entra-id>

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::eks::read;
use super::outside::{Answer, Call};
use super::source::Source;
use super::target::Target;
use super::token::Token;
use super::{ConnectError, kubeconfig};
use crate::settings::ClusterSettings;

const MEND_IDENTITY: &str = "is the identity assigned to this app or machine? AZURE_CLIENT_ID names \
     one that is assigned by the user";
const MEND_ENTRA: &str = "look at AZURE_TENANT_ID, AZURE_CLIENT_ID, and the secret or the federated \
     credential of that application";
const MEND_MANAGER: &str = "give this identity the role Azure Kubernetes Service Cluster User on the \
     cluster, or set AKS_ENDPOINT and AKS_CA; is AKS_CLUSTER right?";
const TRIED: &str = "there is no AZURE_FEDERATED_TOKEN_FILE, no AZURE_CLIENT_SECRET, no \
     IDENTITY_ENDPOINT, and no virtual machine with an identity";
pub(super) const MEND_TOKEN: &str = "the cluster needs Entra ID (az aks update --enable-aad), and \
     AKS_SERVER_ID must be its server application, which is AKS's own unless you made one";

/// Who gives tokens for a cluster of AKS.
pub(super) struct Aks {
    /// The application that tokens are for.
    server: String,
    settings: Arc<ClusterSettings>,
}

impl Aks {
    pub(super) fn new(server: Option<&str>, settings: &Arc<ClusterSettings>) -> Aks {
        let server = server.unwrap_or(&settings.azure.server).to_owned();
        Aks { server, settings: settings.clone() }
    }

    pub(super) async fn token(&self) -> Result<Token, ConnectError> {
        token(&self.settings, &self.server).await
    }

    pub(super) fn identity(&self) -> String {
        match &self.settings.azure.client {
            Some(client) => format!("the Azure identity {client}"),
            None => "the Azure identity of this host".to_owned(),
        }
    }
}

/// Whether something other than a machine says who this host is.
pub(super) fn is_known(settings: &ClusterSettings) -> bool {
    let azure = &settings.azure;
    let is_application = azure.tenant.is_some() && azure.client.is_some();
    azure.identity.is_some()
        || (is_application
            && (azure.federated.is_some() || !azure.secret.expose_secret().is_empty()))
}

/// The API server of the cluster that the settings name.
pub(super) async fn target(settings: &Arc<ClusterSettings>) -> Result<Target, ConnectError> {
    let azure = &settings.azure;
    let aks = Aks::new(None, settings);
    let identity = aks.identity();
    let source = Some(Source::Aks(aks));
    if let Some(endpoint) = &azure.endpoint {
        let authority = azure.authority.as_deref().map(|text| ("AKS_CA", text));
        let config = Target::config(("AKS_ENDPOINT", endpoint), authority)?;
        return Ok(Target { config, source, identity, mend: MEND_TOKEN });
    }
    let unset = || ConnectError::Unset { what: "AKS".to_owned(), variable: "AKS_CLUSTER" };
    let cluster = azure.cluster.as_deref().ok_or_else(unset)?;
    let manager = &azure.manager;
    let token = token(settings, manager).await?;
    let url = format!("{manager}{cluster}/listClusterUserCredential?api-version=2025-05-01");
    let call = Call::post("Azure's API", url, String::new())
        .header("authorization", format!("Bearer {}", token.text()));
    let answer = call.send(settings).await?.granted(MEND_MANAGER)?;
    let answer_text: Credentials = answer.json()?;
    let text = answer_text.kubeconfigs.into_iter().next().map(|named| named.value);
    let text = text.and_then(|text| STANDARD.decode(text).ok());
    let text = text.and_then(|text| String::from_utf8(text).ok());
    let text = text.ok_or_else(|| answer.unread("it has no kubeconfig"))?;
    let place = "what Azure says of the cluster";
    // It has a context of its own; and its user is a program, or somebody who is local to the cluster.
    let settings = Arc::new(ClusterSettings { context: None, ..ClusterSettings::clone(settings) });
    let mut target = kubeconfig::target(kubeconfig::of_text(place, &text)?, &settings)?;
    if target.config.auth_info.client_certificate_data.is_none()
        && target.config.auth_info.token.is_none()
    {
        target.config.auth_info = Default::default();
        target.source = source;
        target.identity = identity;
        target.mend = MEND_TOKEN;
    }
    Ok(target)
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    kubeconfigs: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    value: String,
}

/// A token for an application, or for an address that names one.
async fn token(settings: &ClusterSettings, audience: &str) -> Result<Token, ConnectError> {
    let azure = &settings.azure;
    let secret = azure.secret.expose_secret();
    let application = azure.tenant.as_deref().zip(azure.client.as_deref());
    if let (Some((tenant, client)), Some(file)) = (application, &azure.federated) {
        let assertion = read("AZURE_FEDERATED_TOKEN_FILE", file)?;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let proof = [("client_assertion_type", kind), ("client_assertion", &assertion)];
        return of_entra(settings, tenant, client, audience, &proof).await;
    }
    if let Some((tenant, client)) = application
        && !secret.is_empty()
    {
        return of_entra(settings, tenant, client, audience, &[("client_secret", secret)]).await;
    }
    of_identity(settings, audience).await
}

/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
async fn of_entra(
    settings: &ClusterSettings,
    tenant: &str,
    client: &str,
    audience: &str,
    proof: &[(&str, &str)],
) -> Result<Token, ConnectError> {
    let scope = format!("{}/.default", audience.trim_end_matches('/'));
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("scope", scope.as_str()),
    ];
    form.extend(proof);
    let is_tenant = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !tenant.chars().all(is_tenant) {
        return Err(ConnectError::Address { what: "AZURE_TENANT_ID".to_owned() });
    }
    let url = format!("{}/{tenant}/oauth2/v2.0/token", settings.azure.authority_host);
    let body = serde_urlencoded::to_string(form).unwrap_or_default();
    let call = Call::post("Entra ID", url, body)
        .header("content-type", "application/x-www-form-urlencoded");
    read_token(&call.send(settings).await?.granted(MEND_ENTRA)?)
}

/// <https://learn.microsoft.com/azure/app-service/overview-managed-identity> and
/// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
async fn of_identity(settings: &ClusterSettings, audience: &str) -> Result<Token, ConnectError> {
    let azure = &settings.azure;
    let query = |version| {
        let mut query = vec![("api-version", version), ("resource", audience)];
        query.extend(azure.client.as_deref().map(|client| ("client_id", client)));
        serde_urlencoded::to_string(query).unwrap_or_default()
    };
    let header = azure.identity_header.expose_secret();
    if let Some(endpoint) = &azure.identity {
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{endpoint}{mark}{}", query("2019-08-01"));
        let call = Call::get("the app's managed identity", url).header("x-identity-header", header);
        return read_token(&call.send(settings).await?.granted(MEND_IDENTITY)?);
    }
    let path = "/metadata/identity/oauth2/token";
    let url = format!("{}{path}?{}", azure.machine, query("2018-02-01"));
    let call = Call::get("the metadata of this machine", url).header("metadata", "true");
    let answer = call.send(settings).await.map_err(|error| match error {
        ConnectError::Late { .. } | ConnectError::Refused { .. } | ConnectError::Broken { .. } => {
            ConnectError::NoIdentity { cloud: "Azure", tried: TRIED }
        }
        other => other,
    })?;
    read_token(&answer.granted(MEND_IDENTITY)?)
}

/// Reads a token of Entra ID or of a managed identity, which say when it ends in forms of their own:
/// numbers or texts, in seconds from now or as a time.
fn read_token(answer: &Answer) -> Result<Token, ConnectError> {
    #[derive(Deserialize)]
    struct Given {
        access_token: String,
        expires_in: Option<Value>,
        expires_on: Option<Value>,
    }
    let given: Given = answer.json()?;
    let number = |value: &Option<Value>| match value {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds =
        |seconds: i64| Timestamp::now() + SignedDuration::from_secs(seconds.clamp(0, DAY));
    let on = number(&given.expires_on).and_then(|at| Timestamp::from_second(at).ok());
    let ends = on.or_else(|| number(&given.expires_in).map(seconds));
    let ends = ends.ok_or_else(|| answer.unread("its token ends at no time"))?;
    Token::new(&given.access_token, ends).ok_or_else(|| answer.unread("its token is none"))
}

/// The longest that a token lives, in seconds.
const DAY: i64 = 24 * 60 * 60;
