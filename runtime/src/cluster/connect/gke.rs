//! A cluster of Google's GKE: its address by Google's API, and the tokens of the service account that
//! the host runs as, which its metadata server gives.
//!
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::ConnectError;
use super::outside::Call;
use super::source::Source;
use super::target::Target;
use super::token::Token;
use crate::settings::ClusterSettings;

const WHO: &str = "Google's metadata server";
const MEND_METADATA: &str = "the host needs a service account";
const MEND_DESCRIBE: &str = "give this service account the role roles/container.clusterViewer, or set \
     GKE_ENDPOINT and GKE_CA; is GKE_CLUSTER right?";
const TRIED: &str = "there is no metadata server, as Google's hosts have; elsewhere, use a kubeconfig \
     with the token of a service account";
pub(super) const MEND_TOKEN: &str = "give this service account the role roles/container.developer, or \
     a RoleBinding for the user of its address";

/// Who gives tokens for a cluster of GKE.
pub(super) struct Gke {
    settings: Arc<ClusterSettings>,
}

impl Gke {
    pub(super) fn new(settings: &Arc<ClusterSettings>) -> Gke {
        Gke { settings: settings.clone() }
    }

    pub(super) async fn token(&self) -> Result<Token, ConnectError> {
        token(&self.settings).await
    }

    pub(super) fn identity(&self) -> String {
        "the service account of this host".to_owned()
    }
}

/// The API server of the cluster that the settings name.
pub(super) async fn target(settings: &Arc<ClusterSettings>) -> Result<Target, ConnectError> {
    let google = &settings.google;
    let gke = Gke::new(settings);
    let config = match &google.endpoint {
        Some(endpoint) => {
            let authority = google.authority.as_deref().map(|text| ("GKE_CA", text));
            Target::config(("GKE_ENDPOINT", endpoint), authority)?
        }
        None => described(settings).await?,
    };
    let identity = gke.identity();
    Ok(Target { config, source: Some(Source::Gke(gke)), identity, mend: MEND_TOKEN })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    endpoint: String,
    #[serde(default)]
    master_auth: Authority,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Authority {
    cluster_ca_certificate: String,
}

/// <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters>
async fn described(settings: &Arc<ClusterSettings>) -> Result<kube::Config, ConnectError> {
    let unset = || ConnectError::Unset { what: "GKE".to_owned(), variable: "GKE_CLUSTER" };
    let cluster = settings.google.cluster.as_deref().ok_or_else(unset)?;
    let token = token(settings).await?;
    let url = format!("{}/v1/{cluster}", settings.google.api);
    let call =
        Call::get("Google's API", url).header("authorization", format!("Bearer {}", token.text()));
    let answer = call.send(settings).await?.granted(MEND_DESCRIBE)?;
    let cluster: Cluster = answer.json()?;
    let what = "what Google says of the cluster";
    let authority = cluster.master_auth.cluster_ca_certificate;
    let authority = settings.google.authority.clone().unwrap_or(authority);
    Target::config((what, &format!("https://{}", cluster.endpoint)), Some((what, &authority)))
}

async fn token(settings: &ClusterSettings) -> Result<Token, ConnectError> {
    #[derive(Deserialize)]
    struct Given {
        access_token: String,
        expires_in: i64,
    }
    let host = &settings.google.metadata;
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let call = Call::get(WHO, url).header("metadata-flavor", "Google");
    let answer = call.send(settings).await.map_err(|error| match error {
        ConnectError::Late { .. }
        | ConnectError::Refused { .. }
        | ConnectError::Broken { .. }
        | ConnectError::Name { .. } => ConnectError::NoIdentity { cloud: "Google", tried: TRIED },
        other => other,
    })?;
    // Whoever else answers at that name does not say so.
    if answer.headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        return Err(answer.unread("it is not the metadata server's"));
    }
    let answer = answer.granted(MEND_METADATA)?;
    let given: Given = answer.json()?;
    let life = SignedDuration::from_secs(given.expires_in.clamp(0, 24 * 60 * 60));
    let token = Token::new(&given.access_token, Timestamp::now() + life);
    token.ok_or_else(|| answer.unread("its token is none"))
}
