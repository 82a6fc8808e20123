//! The cluster that this program runs in.
//!
//! The token and the authority are files that change; the client reads both again every minute.
//!
//! <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>

use std::path::Path;

use super::ConnectError;
use super::target::{Target, read_authority};

/// What to look at where the cluster does not know the pod.
const MEND: &str = "the pod's token is not this cluster's, or its service account was deleted";

/// The API server as a pod sees it, with the service account whose files are in a folder.
pub(super) fn target(host: &str, port: u16, account: &Path) -> Result<Target, ConnectError> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let variable = "KUBERNETES_SERVICE_HOST";
    let mut config = Target::config((variable, &format!("https://{host}:{port}")), None)?;
    let read = |name: &str| {
        let path = account.join(name);
        std::fs::read_to_string(&path).map_err(|source| ConnectError::File {
            variable: "the pod's service account",
            path: path.display().to_string(),
            source,
        })
    };
    let authority = account.join("ca.crt").display().to_string();
    config.root_cert = Some(read_authority(&authority, &read("ca.crt")?)?);
    config.root_cert_file = Some(account.join("ca.crt"));
    read("token")?;
    config.auth_info.token_file = Some(account.join("token").display().to_string());
    let identity = "the pod's service account".to_owned();
    Ok(Target { config, source: None, identity, mend: MEND })
}
