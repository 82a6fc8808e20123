//! Where requests come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{SettingsError, seconds, wrong};

#[cfg(test)]
mod tests;

/// What the environment says of the host that the program is on.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// What Azure Functions says of itself, where the program is its custom handler.
    pub azure: Option<AzureSettings>,
    /// AWS Lambda, if that is the host.
    pub lambda: Option<LambdaSettings>,
    /// How plain HTTP is served.
    pub plain: PlainSettings,
    /// `SWEEPER_SERVICE_ACCOUNT`: the service account of the pods that a timer of the host has sweep,
    /// as `worker sweep` does; its `imagePullSecrets` are theirs. Default: `brigantine-sweeper`.
    pub sweeper_service_account: String,
}

/// What Azure Functions tells its custom handler.
#[derive(Clone, Debug)]
pub struct AzureSettings {
    /// `AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest`,
    /// `AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest`: whether requests arrive as
    /// they were sent, where that is not said in `host.json`. Default: false.
    pub forwards: bool,
    /// `AzureFunctionsJobHost__extensions__http__routePrefix`: the prefix where it is not that of
    /// `host.json`. Default: none.
    pub host_prefix: Option<String>,
    /// `FUNCTIONS_CUSTOMHANDLER_PORT`, `FUNCTIONS_HTTPWORKER_PORT`: the port of this machine that the
    /// host of Azure Functions speaks to; with it, requests are expected from there. Set by the host.
    /// Default: none.
    pub port: u16,
    /// `AZURE_ROUTE_PREFIX`: what the paths of requests begin with behind Azure Functions, and `/` for
    /// nothing. Default: what `extensions.http.routePrefix` of `host.json` says, else `api`.
    pub prefix: Option<String>,
    /// `FUNCTIONS_APP_ROOT_PATH`: the folder with `host.json` and a folder for each function. Set by
    /// the host. Default: none.
    pub root: Option<PathBuf>,
    /// `AZURE_TRIGGERS`: where the messages of triggers other than HTTP's and timers' are posted, a
    /// list of `<function>=<path>`, with the token in the path where the path needs one:
    /// `acr=/eventgrid/{project}/{token}`. Default: nowhere.
    pub triggers: Vec<(String, SecretString)>,
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
    /// `/events/webhook/org/repository?token=...`. Default: nowhere, so that such messages are not taken,
    /// and go to a dead letter queue if there is one.
    pub message_path: Option<SecretString>,
}

/// How plain HTTP is served.
#[derive(Clone, Debug)]
pub struct PlainSettings {
    /// `DRAIN_DELAY`: for how long requests are still taken once the program is asked to end, while
    /// `/readyz` answers 503 already, so that whoever spreads requests can look elsewhere; in seconds.
    /// Default: 0.
    pub drain_delay: Duration,
    /// `HOST` and `PORT`: where plain HTTP is served. Default: `0.0.0.0` and 8080.
    pub listen: SocketAddr,
    /// `LISTEN_FDS`: how many sockets systemd hands over; the first is served in the place of all
    /// others. Set by systemd. Default: 0.
    pub listen_fds: u32,
    /// `NOTIFY_SOCKET`: where systemd is told that the program serves, and that it ends. Set by
    /// systemd. Default: nowhere.
    pub notify_socket: Option<String>,
    /// `TLS_CERT`: the file with the certificate of the server and those that it was made with, in
    /// PEM; with it and `TLS_KEY` HTTPS is served in the place of HTTP. Both files are read again
    /// when they have changed. Default: none.
    pub tls_cert: Option<PathBuf>,
    /// `TLS_KEY`: the file with the key of that certificate, in PEM. Default: none.
    pub tls_key: Option<PathBuf>,
    /// `UNIX_SOCKET`: the path of a socket that is served in the place of `HOST` and `PORT`.
    /// Default: none.
    pub unix_socket: Option<PathBuf>,
    /// `UNIX_SOCKET_MODE`: who may speak to that socket, in the octal digits of chmod.
    /// Default: `660`.
    pub unix_socket_mode: u32,
}

/// What is wrong where Lambda did not set what it always sets.
const BY_LAMBDA: &str = "set, as Lambda sets it beside AWS_LAMBDA_RUNTIME_API";

impl HostSettings {
    /// Reads variables. An empty one is one that is not set.
    pub(super) fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<HostSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        Ok(HostSettings {
            azure: AzureSettings::read(&variable)?,
            lambda: LambdaSettings::read(get)?,
            plain: PlainSettings::read(&variable)?,
            sweeper_service_account: get("SWEEPER_SERVICE_ACCOUNT")
                .unwrap_or_else(|| "brigantine-sweeper".to_owned()),
        })
    }
}

impl PlainSettings {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<PlainSettings, SettingsError> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| get(name).map(|path| PathBuf::from(path.trim()));
        let host = match get("HOST") {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some(host) => host.trim().parse::<IpAddr>().map_err(|_unparsed| {
                wrong("HOST", "an IP address of this machine, such as 127.0.0.1")
            })?,
        };
        let (tls_cert, tls_key) = (path("TLS_CERT"), path("TLS_KEY"));
        match (&tls_cert, &tls_key) {
            (Some(_), None) => {
                return Err(wrong("TLS_KEY", "set with TLS_CERT: a file with its key"));
            }
            (None, Some(_)) => {
                return Err(wrong("TLS_CERT", "set with TLS_KEY: a file with its certificate"));
            }
            _ => {}
        }
        Ok(PlainSettings {
            drain_delay: seconds("DRAIN_DELAY", get("DRAIN_DELAY"), 0.0)?,
            listen: SocketAddr::new(host, port("PORT", get("PORT"))?.unwrap_or(8080)),
            listen_fds: match get("LISTEN_FDS") {
                None => 0,
                Some(count) => count.trim().parse().map_err(|_unparsed| {
                    wrong("LISTEN_FDS", "a number of sockets, as systemd sets it")
                })?,
            },
            notify_socket: get("NOTIFY_SOCKET").map(|name| name.trim().to_owned()),
            tls_cert,
            tls_key,
            unix_socket: path("UNIX_SOCKET"),
            unix_socket_mode: match get("UNIX_SOCKET_MODE") {
                None => 0o660,
                Some(mode) => u32::from_str_radix(mode.trim(), 8)
                    .ok()
                    .filter(|mode| *mode <= 0o777)
                    .ok_or(wrong("UNIX_SOCKET_MODE", "octal digits like 660"))?,
            },
        })
    }
}

impl AzureSettings {
    fn read(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<AzureSettings>, SettingsError> {
        const FORWARDING: &str =
            "AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest";
        const PROXYING: &str = "AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest";
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let of_name = |name| port(name, get(name));
        let old = of_name("FUNCTIONS_HTTPWORKER_PORT");
        let of_host = match of_name("FUNCTIONS_CUSTOMHANDLER_PORT")? {
            None => old?,
            port => port,
        };
        let Some(port) = of_host else { return Ok(None) };
        let is_on = |name| get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        Ok(Some(AzureSettings {
            forwards: is_on(FORWARDING) || is_on(PROXYING),
            // The host takes an empty one for no prefix.
            host_prefix: variable("AzureFunctionsJobHost__extensions__http__routePrefix"),
            port,
            prefix: get("AZURE_ROUTE_PREFIX").map(prefix).transpose()?,
            root: get("FUNCTIONS_APP_ROOT_PATH").map(PathBuf::from),
            triggers: triggers(&get("AZURE_TRIGGERS").unwrap_or_default())?,
        }))
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

fn port(name: &'static str, value: Option<String>) -> Result<Option<u16>, SettingsError> {
    let parse = |port: String| {
        port.trim().parse().map_err(|_unparsed| wrong(name, "a port number from 0 to 65535"))
    };
    value.map(parse).transpose()
}

/// A prefix without the slashes around it.
fn prefix(text: String) -> Result<String, SettingsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '/');
    let prefix = text.trim().trim_matches('/');
    let is_prefix = prefix.chars().all(fits) && !prefix.contains("//");
    let expected = "the beginning of a path like api, or / for none";
    is_prefix.then(|| prefix.to_owned()).ok_or(wrong("AZURE_ROUTE_PREFIX", expected))
}

fn triggers(text: &str) -> Result<Vec<(String, SecretString)>, SettingsError> {
    let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
    let trigger = |item: &str| {
        let (function, path) = item.split_once('=')?;
        let (function, path) = (function.trim(), path.trim());
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_name = !function.is_empty() && function.chars().all(fits);
        let is_path = is_path(path);
        (is_name && is_path).then(|| (function.to_owned(), path.into()))
    };
    let expected = "a list of <function>=<path>, such as acr=/eventgrid/{project}/{token}";
    items.map(|item| trigger(item).ok_or(wrong("AZURE_TRIGGERS", expected))).collect()
}
