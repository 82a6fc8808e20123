//! A cluster of a kubeconfig: files, or a text in a variable.
//!
//! Files are put together as kubectl does: the first that says something counts, and one that is
//! not there says nothing.
//!
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};

use super::ConnectError;
use super::error::chain;
use super::plugin;
use super::target::{Target, read_authority};
use crate::settings::ClusterSettings;

/// What to look at where the cluster does not know who asks.
const MEND: &str = "the credentials of the kubeconfig have ended, or are those of another cluster";

/// A kubeconfig, and where it is from.
pub(super) struct Source {
    pub(super) place: String,
    pub(super) kubeconfig: Kubeconfig,
}

/// Reads files.
pub(super) fn of_files(variable: &'static str, files: &[PathBuf]) -> Result<Source, ConnectError> {
    let mut merged: Option<Kubeconfig> = None;
    let mut missing = None;
    for file in files {
        let place = file.display().to_string();
        let read = match Kubeconfig::read_from(file) {
            Ok(read) => read,
            Err(KubeconfigError::ReadConfig(source, _path)) => {
                let is_missing = source.kind() == io::ErrorKind::NotFound;
                let error = ConnectError::File { variable, path: place, source };
                if !is_missing {
                    return Err(error);
                }
                missing.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(unread(place, &error)),
        };
        merged = Some(match merged {
            Some(before) => before.merge(read).map_err(|error| unread(place, &error))?,
            None => read,
        });
    }
    let place = match files {
        [file] => file.display().to_string(),
        _ => variable.to_owned(),
    };
    match (merged, missing) {
        (Some(kubeconfig), _) => Ok(Source { place, kubeconfig }),
        (None, missing) => Err(missing.unwrap_or(ConnectError::Unconfigured)),
    }
}

/// Reads a text: YAML, or that in base64.
pub(super) fn of_text(place: &str, text: &str) -> Result<Source, ConnectError> {
    let place = place.to_owned();
    let compact: String = text.split_whitespace().collect();
    let decoded = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.as_deref().unwrap_or(text);
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| unread(place.clone(), &error))?;
    Ok(Source { place, kubeconfig })
}

/// The cluster and the user of a context.
pub(super) fn target(
    Source { place, kubeconfig }: Source,
    settings: &Arc<ClusterSettings>,
) -> Result<Target, ConnectError> {
    let missing = |kind, name: &str, known: Vec<&str>| ConnectError::Missing {
        place: place.clone(),
        kind,
        name: name.to_owned(),
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    };
    let contexts = || kubeconfig.contexts.iter().map(|each| each.name.as_str()).collect();
    let name = settings.context.as_deref().or(kubeconfig.current_context.as_deref());
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| missing("current-context", "", contexts()))?;
    let context = kubeconfig.contexts.iter().find(|each| each.name == name);
    let context = context.and_then(|each| each.context.as_ref());
    let context = context.ok_or_else(|| missing("context", name, contexts()))?;
    let clusters = || kubeconfig.clusters.iter().map(|each| each.name.as_str()).collect();
    let cluster = kubeconfig.clusters.iter().find(|each| each.name == context.cluster);
    let cluster = cluster.and_then(|each| each.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster, clusters()))?;
    // As in kubectl, a user that is not there is nobody.
    let user = context.user.as_ref();
    let user = kubeconfig.auth_infos.iter().find(|each| Some(&each.name) == user);
    let user_name = user.map_or("nobody", |user| &user.name).to_owned();
    let mut user: AuthInfo = user.and_then(|user| user.auth_info.clone()).unwrap_or_default();

    let what = |what: &str| format!("the {what} of the cluster {} in {place}", context.cluster);
    let authority = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) if !data.is_empty() => Some(data.clone()),
        (_, Some(path)) if !path.is_empty() => {
            let read = std::fs::read_to_string(path);
            Some(read.map_err(|source| ConnectError::File {
                variable: "certificate-authority",
                path: path.clone(),
                source,
            })?)
        }
        _ => None,
    };
    let server = cluster.server.clone().unwrap_or_default();
    let mut config = Target::config((&what("server"), &server), None)?;
    let of_authority = what("certificate authority");
    let authority = authority.map(|authority| read_authority(&of_authority, &authority));
    config.root_cert = authority.transpose()?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    if let Some(proxy) = cluster.proxy_url.as_ref().filter(|proxy| !proxy.is_empty()) {
        let unknown = || ConnectError::Proxy { what: what("server") };
        config.proxy_url = Some(proxy.parse().map_err(|_unparsed| unknown())?);
    }
    let source = plugin::replaced(&place, &server, &mut user, settings)?;
    if let Some(plugin) = &mut user.exec
        && plugin.provide_cluster_info
    {
        plugin.cluster = cluster.try_into().ok();
    }
    config.auth_info = user;
    let (identity, mend) = match &source {
        Some(source) => (source.identity(), source.mend()),
        None => (format!("the user {user_name} of {place}"), MEND),
    };
    Ok(Target { config, source, identity, mend })
}

/// Why a text is no kubeconfig. The parser would quote it.
fn unread(place: String, error: &KubeconfigError) -> ConnectError {
    let problem = match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("its YAML is wrong in line {}", at.line()),
            None => "its YAML is wrong".to_owned(),
        },
        other => chain(other),
    };
    ConnectError::Kubeconfig { place, problem }
}
