//! The Parameters and Secrets extension of AWS Lambda, which keeps a kubeconfig that is not to stand in
//! a variable.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>

use secrecy::ExposeSecret;
use serde::Deserialize;

use super::ConnectError;
use super::outside::Call;
use crate::settings::ClusterSettings;

const MEND: &str = "give the function the layer AWS-Parameters-and-Secrets-Lambda-Extension, and its \
     role ssm:GetParameter or secretsmanager:GetSecretValue (and kms:Decrypt)";

/// Whether this is not a kubeconfig, but says where one is.
pub(super) fn is_reference(text: &str) -> bool {
    ["ssm:", "secretsmanager:"].iter().any(|kind| text.starts_with(kind))
}

/// The text, or what it refers to.
pub(super) async fn resolved(settings: &ClusterSettings) -> Result<String, ConnectError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        secret_string: Option<String>,
        parameter: Option<Parameter>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Parameter {
        value: String,
    }
    let text = settings.kubeconfig_text.expose_secret();
    let (path, query) = if let Some(name) = text.strip_prefix("ssm:") {
        ("systemsmanager/parameters/get", vec![("name", name), ("withDecryption", "true")])
    } else if let Some(id) = text.strip_prefix("secretsmanager:") {
        ("secretsmanager/get", vec![("secretId", id)])
    } else {
        return Ok(text.to_owned());
    };
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    let url = format!("http://localhost:{}/{path}?{query}", settings.aws.extension_port);
    let call = Call::get("Lambda's Parameters and Secrets extension", url)
        .header("x-aws-parameters-secrets-token", settings.aws.session.expose_secret());
    let answer = call.send(settings).await?.granted(MEND)?;
    let stored: Stored = answer.json()?;
    let text = stored.secret_string.or(stored.parameter.map(|parameter| parameter.value));
    text.ok_or_else(|| answer.unread("it has no text"))
}
