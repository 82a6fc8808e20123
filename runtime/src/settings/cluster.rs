//! Which cluster is spoken to, and as whom.
//!
//! What the cloud's own tools read is read here by the same names, so that what a host sets by itself
//! (Lambda, App Service, a pod with an identity) need not be set again.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{SettingsError, wrong};

/// What the environment says of the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterSettings {
    /// `KUBECONFIG_TEXT`: a kubeconfig itself, as YAML or in base64; or where the Parameters and
    /// Secrets extension of AWS Lambda has it, `ssm:<name>` or `secretsmanager:<name or ARN>`.
    /// Default: none.
    pub kubeconfig_text: SecretString,
    /// `KUBECONFIG`: the files of a kubeconfig, a list with `:` whose first file to say something
    /// counts. Default: `~/.kube/config` if there is one.
    pub kubeconfig: Vec<PathBuf>,
    /// `KUBE_CONTEXT`: the context of the kubeconfig. Default: its current one.
    pub context: Option<String>,
    /// `PATH`: where the programs are that a kubeconfig asks for a token. Default: nowhere.
    pub path: Option<String>,
    /// `HOME`: where `.kube/config` is looked for. Default: nowhere.
    pub home: Option<PathBuf>,
    /// `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`: the cluster that this program runs in,
    /// as Kubernetes sets them. Default: none, and 443.
    pub service: Option<(String, u16)>,
    /// `HTTPS_PROXY`, also as `https_proxy`: the proxy of a cluster's API that this program does not
    /// run in, and of the clouds' APIs, an address that begins with `http://`. Default: none.
    pub proxy: SecretString,
    /// `NO_PROXY`, also as `no_proxy`: what is spoken to without it, a list of names, addresses and
    /// ranges of addresses. Default: none.
    pub no_proxy: Option<String>,
    /// `CHECK_TOKEN`: whoever bears it is told at `/healthz/cluster` what `functions check` says.
    /// Default: none, so that nobody is.
    pub check_token: SecretString,
    /// Amazon's clusters.
    pub aws: AwsSettings,
    /// Azure's clusters.
    pub azure: AksSettings,
    /// Google's clusters.
    pub google: GoogleSettings,
}

/// What the environment says of a cluster of EKS, and of who asks AWS.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// `EKS_CLUSTER`: the name of a cluster of EKS. Default: none.
    pub cluster: Option<String>,
    /// `EKS_ENDPOINT`: the address of its API server, which AWS is then not asked for.
    /// Default: what AWS says.
    pub endpoint: Option<String>,
    /// `EKS_CA`: the certificate authority of that, PEM, in base64 or not. Default: what AWS says.
    pub authority: Option<String>,
    /// `EKS_ROLE_ARN`: the role that is assumed to speak to the cluster. Default: none.
    pub role: Option<String>,
    /// `AWS_REGION`, also as `AWS_DEFAULT_REGION`: the region of the cluster. Default: none.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`: the key of whoever asks. Default: none.
    pub key: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`: its secret. Default: none.
    pub secret: SecretString,
    /// `AWS_SESSION_TOKEN`: its session, if it has one. Default: none.
    pub session: SecretString,
    /// `AWS_ROLE_ARN`: the role of the web identity. Default: none.
    pub web_role: Option<String>,
    /// `AWS_ROLE_SESSION_NAME`: the name of its session. Default: `brigantine`.
    pub session_name: String,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`: the file of a web identity, as pods of EKS have it.
    /// Default: none.
    pub web_token: Option<PathBuf>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`: where a container asks for a key, as pods of EKS and
    /// tasks of ECS do. Default: none.
    pub container: Option<String>,
    /// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`: the same, a path at `169.254.170.2`. Default: none.
    pub container_path: Option<String>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`: what a container shows there. Default: none.
    pub container_token: SecretString,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`: the file of that. Default: none.
    pub container_token_file: Option<PathBuf>,
    /// `AWS_EC2_METADATA_DISABLED`: true asks no machine of EC2 for a key. Default: false.
    pub no_machine: bool,
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT`: where a machine of EC2 is asked for a key.
    /// Default: `http://169.254.169.254`.
    pub machine: String,
    /// `AWS_ENDPOINT_URL_EKS`: the API of EKS. Default: the region's.
    pub eks_api: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`: the API of STS. Default: the region's.
    pub sts_api: Option<String>,
    /// `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`: the port of Lambda's Parameters and Secrets
    /// extension. Default: 2773.
    pub extension_port: u16,
}

/// What the environment says of a cluster of AKS, and of who asks Azure.
#[derive(Clone, Debug, Default)]
pub struct AksSettings {
    /// `AKS_CLUSTER`: the resource id of a cluster of AKS,
    /// `/subscriptions/.../managedClusters/<name>`. Default: none.
    pub cluster: Option<String>,
    /// `AKS_ENDPOINT`: the address of its API server, which Azure is then not asked for.
    /// Default: what Azure says.
    pub endpoint: Option<String>,
    /// `AKS_CA`: the certificate authority of that, PEM, in base64 or not. Default: what Azure says.
    pub authority: Option<String>,
    /// `AKS_SERVER_ID`: the application that tokens are for. Default: AKS's own,
    /// `6dae42f8-4368-4678-94ff-3960e28e3630`.
    pub server: String,
    /// `AZURE_CLIENT_ID`: the identity that asks. Default: that of the host.
    pub client: Option<String>,
    /// `AZURE_TENANT_ID`: its tenant. Default: none.
    pub tenant: Option<String>,
    /// `AZURE_CLIENT_SECRET`: the secret of that application. Default: none.
    pub secret: SecretString,
    /// `AZURE_FEDERATED_TOKEN_FILE`: the file of a workload's identity, as pods of AKS have it.
    /// Default: none.
    pub federated: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`: who gives tokens. Default: `https://login.microsoftonline.com`.
    pub authority_host: String,
    /// `IDENTITY_ENDPOINT`: where App Service and Functions give tokens of a managed identity.
    /// Default: none.
    pub identity: Option<String>,
    /// `IDENTITY_HEADER`: what is shown there. Default: none.
    pub identity_header: SecretString,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: where a virtual machine is asked for a token.
    /// Default: `http://169.254.169.254`.
    pub machine: String,
    /// `AZURE_RESOURCE_MANAGER`: the API of Azure. Default: `https://management.azure.com`.
    pub manager: String,
}

/// What the environment says of a cluster of GKE, and of who asks Google.
#[derive(Clone, Debug, Default)]
pub struct GoogleSettings {
    /// `GKE_CLUSTER`: a cluster of GKE, `projects/<project>/locations/<location>/clusters/<name>`.
    /// Default: none.
    pub cluster: Option<String>,
    /// `GKE_ENDPOINT`: the address of its API server, which Google is then not asked for.
    /// Default: what Google says.
    pub endpoint: Option<String>,
    /// `GKE_CA`: the certificate authority of that, PEM, in base64 or not. Default: what Google says.
    pub authority: Option<String>,
    /// `GCE_METADATA_HOST`: where Google's hosts give tokens, a name or an address with or without a
    /// port. Default: `metadata.google.internal`.
    pub metadata: String,
    /// `GKE_API`: the API of GKE. Default: `https://container.googleapis.com`.
    pub api: String,
}

impl ClusterSettings {
    /// Reads variables; an empty one was taken for one that is not set.
    pub(super) fn read(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<ClusterSettings, SettingsError> {
        let get = |name: &str| get(name).map(|value| value.trim().to_owned());
        let either = |names: [&str; 2]| names.into_iter().find_map(get);
        let secret = |name: &str| SecretString::from(get(name).unwrap_or_default());
        let or = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_owned());
        let address = |name: &'static str| match get(name) {
            Some(text) if is_address(&text) => Ok(Some(text.trim_end_matches('/').to_owned())),
            Some(_) => Err(wrong(name, "an address that begins with https:// or http://")),
            None => Ok(None),
        };
        let address_or = |name: &'static str, default: &str| {
            address(name).map(|found| found.unwrap_or_else(|| default.to_owned()))
        };
        let port = |name: &'static str, default: u16| match get(name) {
            Some(text) => text.parse().map_err(|_none| wrong(name, "a port number")),
            None => Ok(default),
        };
        let text = get("KUBECONFIG_TEXT").unwrap_or_default();
        if text.starts_with("@Microsoft.KeyVault(") {
            return Err(wrong("KUBECONFIG_TEXT", UNRESOLVED));
        }
        let aks = get("AKS_CLUSTER");
        if aks.as_ref().is_some_and(|id| !is_managed_cluster(id)) {
            return Err(wrong("AKS_CLUSTER", MANAGED_CLUSTER));
        }
        let gke = get("GKE_CLUSTER");
        if gke.as_ref().is_some_and(|name| !is_named(name, &["projects", "locations", "clusters"]))
        {
            let expected = "a name like projects/<project>/locations/<location>/clusters/<name>";
            return Err(wrong("GKE_CLUSTER", expected));
        }
        let region = either(["AWS_REGION", "AWS_DEFAULT_REGION"]);
        match (get("EKS_CLUSTER"), get("EKS_ENDPOINT"), &region) {
            (None, Some(_), _) => return Err(wrong("EKS_CLUSTER", "set with EKS_ENDPOINT")),
            (Some(_), _, None) => return Err(wrong("AWS_REGION", "set with EKS_CLUSTER")),
            _ => {}
        }
        let service_port = port("KUBERNETES_SERVICE_PORT", 443)?;
        let files = get("KUBECONFIG").unwrap_or_default();
        let files = files.split(':').filter(|file| !file.is_empty());
        Ok(ClusterSettings {
            kubeconfig_text: text.into(),
            kubeconfig: files.map(PathBuf::from).collect(),
            context: get("KUBE_CONTEXT"),
            path: get("PATH"),
            home: get("HOME").map(PathBuf::from),
            service: get("KUBERNETES_SERVICE_HOST").map(|host| (host, service_port)),
            proxy: either(["HTTPS_PROXY", "https_proxy"]).unwrap_or_default().into(),
            no_proxy: either(["NO_PROXY", "no_proxy"]),
            check_token: secret("CHECK_TOKEN"),
            aws: AwsSettings {
                cluster: get("EKS_CLUSTER"),
                endpoint: address("EKS_ENDPOINT")?,
                authority: get("EKS_CA"),
                role: get("EKS_ROLE_ARN"),
                region,
                key: get("AWS_ACCESS_KEY_ID"),
                secret: secret("AWS_SECRET_ACCESS_KEY"),
                session: secret("AWS_SESSION_TOKEN"),
                web_role: get("AWS_ROLE_ARN"),
                session_name: or("AWS_ROLE_SESSION_NAME", "brigantine"),
                web_token: get("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from),
                container: get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                container_path: get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
                container_token: secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
                container_token_file: get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
                    .map(PathBuf::from),
                no_machine: get("AWS_EC2_METADATA_DISABLED")
                    .is_some_and(|text| text.eq_ignore_ascii_case("true")),
                machine: address_or("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")?,
                eks_api: address("AWS_ENDPOINT_URL_EKS")?,
                sts_api: address("AWS_ENDPOINT_URL_STS")?,
                extension_port: port("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", 2773)?,
            },
            azure: AksSettings {
                cluster: aks,
                endpoint: address("AKS_ENDPOINT")?,
                authority: get("AKS_CA"),
                server: or("AKS_SERVER_ID", AKS),
                client: get("AZURE_CLIENT_ID"),
                tenant: get("AZURE_TENANT_ID"),
                secret: secret("AZURE_CLIENT_SECRET"),
                federated: get("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from),
                authority_host: address_or(
                    "AZURE_AUTHORITY_HOST",
                    "https://login.microsoftonline.com",
                )?,
                identity: get("IDENTITY_ENDPOINT"),
                identity_header: secret("IDENTITY_HEADER"),
                machine: address_or("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://169.254.169.254")?,
                manager: address_or("AZURE_RESOURCE_MANAGER", "https://management.azure.com")?,
            },
            google: GoogleSettings {
                cluster: gke,
                endpoint: address("GKE_ENDPOINT")?,
                authority: get("GKE_CA"),
                metadata: or("GCE_METADATA_HOST", "metadata.google.internal"),
                api: address_or("GKE_API", "https://container.googleapis.com")?,
            },
        })
    }
}

/// The application that tokens for clusters of AKS are for.
const AKS: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

const UNRESOLVED: &str = "the text of a kubeconfig, and is still a reference to Key Vault that the \
     host did not resolve: give the app's identity the role Key Vault Secrets User, and look at the \
     reference's status in the portal";

const MANAGED_CLUSTER: &str = "a resource id like /subscriptions/<subscription>/resourceGroups/\
     <group>/providers/Microsoft.ContainerService/managedClusters/<name>";

fn is_address(text: &str) -> bool {
    let address = text.parse::<http::Uri>().ok();
    address.is_some_and(|address| {
        matches!(address.scheme_str(), Some("http" | "https"))
            && address.host().is_some_and(|host| !host.is_empty())
    })
}

fn is_managed_cluster(id: &str) -> bool {
    let Some(id) = id.strip_prefix('/') else { return false };
    is_named(id, &["subscriptions", "resourceGroups", "providers", "managedClusters"])
}

/// Whether a text is names and values in turn, as `projects/<project>/...`.
fn is_named(text: &str, names: &[&str]) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_plain = |part: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '(' | ')');
        !part.is_empty() && part.chars().all(fits) && !matches!(*part, "." | "..")
    };
    parts.len() == names.len() * 2
        && parts.iter().all(is_plain)
        && parts.iter().step_by(2).zip(names).all(|(part, name)| part.eq_ignore_ascii_case(name))
}

#[cfg(test)]
fn read(variables: &[(&str, &str)]) -> Result<ClusterSettings, SettingsError> {
    ClusterSettings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn a_way_to_a_cluster_that_is_plainly_wrong_is_named() {
    for (name, value, expected) in [
        ("AKS_CLUSTER", "mine", "a resource id like /subscriptions/"),
        ("AKS_ENDPOINT", "mine.azmk8s.io", "an address that begins with https:// or http://"),
        ("GKE_CLUSTER", "projects/a/clusters/b", "a name like projects/<project>/locations"),
        ("GKE_CLUSTER", "projects/../locations/a/clusters/b", "a name like projects/<project>"),
        ("KUBERNETES_SERVICE_PORT", "tcp://10.0.0.1:443", "a port number"),
        (
            "KUBECONFIG_TEXT",
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k)",
            "the text of a kubeconfig, and is still a reference to Key Vault",
        ),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the variable {name} must be {expected}")), "{error}");
    }
    let id = "/subscriptions/0a/resourcegroups/g_(1)/providers/Microsoft.ContainerService/\
              managedClusters/c";
    let settings = read(&[("AKS_CLUSTER", id), ("https_proxy", "http://a:s3cret@b:1")]).unwrap();
    assert_eq!(settings.azure.cluster.as_deref(), Some(id));
    assert!(!format!("{settings:?}").contains("s3cret"));
}
