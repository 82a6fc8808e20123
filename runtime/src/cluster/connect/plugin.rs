//! The programs that kubeconfigs name for a token, which functions have none of beside them.
//!
//! Those of the three clouds are replaced by our own code, where this host says who it is or the
//! program is not there, so that a kubeconfig works as the cloud's command line wrote it. Another
//! program is run, if it is there; so is one of Amazon's that is told of a profile, which is somebody
//! else than the environment's keys.

use std::path::Path;
use std::sync::Arc;

use kube::config::{AuthInfo, ExecConfig};

use super::ConnectError;
use super::aks::{self, Aks};
use super::eks::{self, Eks};
use super::gke::Gke;
use super::source::Source;
use crate::settings::ClusterSettings;

/// What is done without a program.
const INSTEAD: &str = "EKS_CLUSTER, AKS_CLUSTER or GKE_CLUSTER, or put the token of a service account \
     in its place (kubectl create token)";

/// Takes our own code in a program's place, where it does the same; `server` is the cluster's address.
pub(super) fn replaced(
    place: &str,
    server: &str,
    user: &mut AuthInfo,
    settings: &Arc<ClusterSettings>,
) -> Result<Option<Source>, ConnectError> {
    if let Some(provider) = &user.auth_provider {
        let source = match provider.name.as_str() {
            "azure" => {
                let application = provider.config.get("apiserver-id").map(String::as_str);
                Source::Aks(Aks::new(application, settings))
            }
            "gcp" if !provider.config.contains_key("cmd-path") => Source::Gke(Gke::new(settings)),
            _ => return Ok(None),
        };
        user.auth_provider = None;
        return Ok(Some(source));
    }
    let Some(plugin) = &mut user.exec else { return Ok(None) };
    // What kube takes before a plugin.
    if user.token.is_some() || user.token_file.is_some() || user.username.is_some() {
        return Ok(None);
    }
    let command = plugin.command.clone().unwrap_or_default();
    let found = find(&command, settings);
    let is_there = found.is_some();
    let name = Path::new(&command).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let has_profile =
        option(plugin, &["--profile"]).or_else(|| variable(plugin, "AWS_PROFILE")).is_some();
    let is_ours = !is_there || (eks::are_set(&settings.aws) && !has_profile);
    let source = match name.trim_end_matches(".exe") {
        "aws" if is_ours => {
            let cluster = option(plugin, &["--cluster-name", "--cluster-id"]);
            let role = option(plugin, &["--role-arn", "--role"]);
            eks_source(place, &name, server, plugin, (cluster, role), settings)?
        }
        "aws-iam-authenticator" | "heptio-authenticator-aws" if is_ours => {
            let cluster = option(plugin, &["-i", "--cluster-id"]);
            let role = option(plugin, &["-r", "--role"]);
            eks_source(place, &name, server, plugin, (cluster, role), settings)?
        }
        "kubelogin" if !is_there || aks::is_known(settings) => {
            let application = option(plugin, &["--server-id"]);
            Source::Aks(Aks::new(application.as_deref(), settings))
        }
        "gke-gcloud-auth-plugin" if !is_there => Source::Gke(Gke::new(settings)),
        _ if is_there => {
            plugin.command = found;
            return Ok(None);
        }
        _ => return Err(missing(place, &command, "is not here")),
    };
    user.exec = None;
    Ok(Some(source))
}

fn eks_source(
    place: &str,
    program: &str,
    server: &str,
    plugin: &ExecConfig,
    (cluster, role): (Option<String>, Option<String>),
    settings: &Arc<ClusterSettings>,
) -> Result<Source, ConnectError> {
    let cluster = cluster.ok_or_else(|| missing(place, program, "is told of no cluster"))?;
    let region = option(plugin, &["--region"])
        .or_else(|| variable(plugin, "AWS_REGION"))
        .or_else(|| variable(plugin, "AWS_DEFAULT_REGION"))
        .or_else(|| region_of(server));
    let eks = Eks::new(&cluster, region.as_deref(), role.as_deref(), settings)?;
    Ok(Source::Eks(Box::new(eks)))
}

fn missing(place: &str, program: &str, problem: &str) -> ConnectError {
    ConnectError::Plugin {
        place: place.to_owned(),
        program: program.to_owned(),
        problem: problem.to_owned(),
        instead: INSTEAD,
    }
}

/// What follows an option, or its `=`.
fn option(plugin: &ExecConfig, names: &[&str]) -> Option<String> {
    let arguments = plugin.args.as_deref().unwrap_or_default();
    let value = |(place, argument): (usize, &String)| match argument.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value.to_owned()),
        _ if names.contains(&argument.as_str()) => arguments.get(place + 1).cloned(),
        _ => None,
    };
    arguments.iter().enumerate().find_map(value).filter(|value| !value.is_empty())
}

fn variable(plugin: &ExecConfig, name: &str) -> Option<String> {
    let mut variables = plugin.env.iter().flatten();
    let found = variables.find(|each| each.get("name").is_some_and(|found| found == name))?;
    found.get("value").filter(|value| !value.is_empty()).cloned()
}

/// The region in the address of an API server of EKS: `https://<id>.<cell>.<region>.eks.amazonaws.com`.
fn region_of(server: &str) -> Option<String> {
    let url = server.parse::<http::Uri>().ok()?;
    let (before, _) = url.host()?.split_once(".eks.amazonaws.com")?;
    before.rsplit_once('.').map(|(_, region)| region.to_owned())
}

/// Where a program is, if it is anywhere.
fn find(command: &str, settings: &ClusterSettings) -> Option<String> {
    let folders = settings.path.iter().flat_map(std::env::split_paths);
    let mut files = match command.contains('/') {
        true => vec![Path::new(command).to_owned()],
        false => folders.map(|folder| folder.join(command)).collect(),
    };
    files.retain(|file| !command.is_empty() && file.is_file());
    files.first().map(|file| file.display().to_string())
}
