//! Where requests come from.

use secrecy::SecretString;

use super::{SettingsError, wrong};

/// What the environment says of the host that the program is on.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// AWS Lambda, if that is the host.
    pub lambda: Option<LambdaSettings>,
    /// `SWEEPER_SERVICE_ACCOUNT`: the service account of the pods that a timer of the host has sweep,
    /// as `worker sweep` does. Default: `brigantine-sweeper`.
    pub sweeper_service_account: String,
}

/// What the environment says on AWS Lambda.
#[derive(Clone, Debug)]
pub struct LambdaSettings {
    /// `AWS_LAMBDA_RUNTIME_API`: where invocations are fetched from, `host:port`; Lambda sets it, and
    /// `AWS_LAMBDA_FUNCTION_NAME`, `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` and `AWS_LAMBDA_FUNCTION_VERSION`
    /// with it. Default: none, since the host is another one.
    pub runtime_api: String,
    /// `MESSAGE_PATH`: where the messages of queues, topics and buses are posted that name no `path`
    /// of their own, a path with the token that proves them, such as
    /// `/events/webhook/org/repository?token=...`. Default: nowhere, so that such messages are dropped.
    pub message_path: Option<SecretString>,
}

/// What is wrong where Lambda did not set what it always sets.
const BY_LAMBDA: &str = "set, as Lambda sets it beside AWS_LAMBDA_RUNTIME_API";

impl HostSettings {
    /// Reads variables; an empty one was taken for one that is not set.
    pub(super) fn read(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<HostSettings, SettingsError> {
        Ok(HostSettings {
            lambda: LambdaSettings::read(&get)?,
            sweeper_service_account: get("SWEEPER_SERVICE_ACCOUNT")
                .unwrap_or_else(|| "brigantine-sweeper".to_owned()),
        })
    }
}

impl LambdaSettings {
    /// Lambda's address for what goes wrong before there are settings.
    pub fn address() -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        let address = std::env::var("AWS_LAMBDA_RUNTIME_API").ok();
        address.filter(|address| !address.trim().is_empty())
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<LambdaSettings>, SettingsError> {
        let Some(runtime_api) = get("AWS_LAMBDA_RUNTIME_API") else { return Ok(None) };
        // The crate that speaks to Lambda reads them again, and panics where they are wrong.
        let is_address = |text: &str| {
            let authority = text.parse::<http::uri::Authority>();
            authority.is_ok_and(|authority| !authority.as_str().contains('@'))
        };
        if !is_address(&runtime_api) {
            return Err(wrong("AWS_LAMBDA_RUNTIME_API", "a host and a port"));
        }
        for name in ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"] {
            get(name).ok_or(wrong(name, BY_LAMBDA))?;
        }
        let name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
        let memory = get(name).ok_or(wrong(name, BY_LAMBDA))?;
        memory.parse::<i32>().map_err(|_unparsed| wrong(name, "a number of megabytes"))?;
        let message_path = get("MESSAGE_PATH").map(|path| path.trim().to_owned());
        if message_path.as_ref().is_some_and(|path| !is_path(path)) {
            return Err(wrong("MESSAGE_PATH", "a path that begins with a slash"));
        }
        Ok(Some(LambdaSettings { runtime_api, message_path: message_path.map(Into::into) }))
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok()
}

#[test]
fn on_lambda_everything_is_there_that_lambda_sets() {
    let lambda = [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_LAMBDA_FUNCTION_NAME", "brigantine"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("MESSAGE_PATH", "/events/webhook/ocean/brig?token=x"),
    ];
    let read = |variables: &[(&str, &str)]| {
        HostSettings::read(|wanted| {
            let found = variables.iter().rev().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
        })
    };
    assert!(read(&[]).unwrap().lambda.is_none());
    assert_eq!(read(&lambda).unwrap().lambda.unwrap().runtime_api, "127.0.0.1:9001");
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", ""),
        ("AWS_LAMBDA_FUNCTION_VERSION", ""),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much"),
        ("AWS_LAMBDA_RUNTIME_API", "http://example.com/"),
        ("MESSAGE_PATH", "hunter2"),
    ] {
        let error = read(&[&lambda[..], &[(name, value)]].concat()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the variable {name} must be ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
