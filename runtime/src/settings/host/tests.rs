//! What the environment says of hosts, read.

use secrecy::ExposeSecret;

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<HostSettings, SettingsError> {
    HostSettings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn an_empty_environment_is_a_plain_host() {
    let HostSettings { azure, plain: settings, .. } = read(&[]).unwrap();
    assert!(azure.is_none() && settings.tls_cert.is_none());
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!((settings.listen_fds, settings.unix_socket_mode), (0, 0o660));
}

#[test]
fn the_port_of_azures_host_is_known_by_both_names() {
    for (variables, port) in [
        (&[("FUNCTIONS_CUSTOMHANDLER_PORT", "7071")][..], 7071),
        (&[("FUNCTIONS_HTTPWORKER_PORT", " 7072 ")], 7072),
        (&[("FUNCTIONS_HTTPWORKER_PORT", "1"), ("FUNCTIONS_CUSTOMHANDLER_PORT", "2")], 2),
    ] {
        assert_eq!(read(variables).unwrap().azure.unwrap().port, port);
    }
}

#[test]
fn what_azure_is_told_is_read() {
    let name = "AzureFunctionsJobHost__extensions__http__routePrefix";
    let azure = read(&[
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "7071"),
        ("AZURE_ROUTE_PREFIX", "/hooks/"),
        ("AZURE_TRIGGERS", "acr=/eventgrid/p/t0ken%2C, queue = /simpleevents/v1/p/s"),
        (name, ""),
    ]);
    let azure = azure.unwrap().azure.unwrap();
    assert_eq!(azure.prefix.as_deref(), Some("hooks"));
    assert_eq!(azure.host_prefix.as_deref(), Some(""));
    let triggers: Vec<(&str, &str)> =
        azure.triggers.iter().map(|(name, path)| (name.as_str(), path.expose_secret())).collect();
    let expected = [("acr", "/eventgrid/p/t0ken%2C"), ("queue", "/simpleevents/v1/p/s")];
    assert_eq!(triggers, expected);
    assert!(!format!("{azure:?}").contains("t0ken"));
}

#[test]
fn what_is_not_understood_is_named() {
    let azure = ("FUNCTIONS_CUSTOMHANDLER_PORT", "7071");
    for (name, value, expected) in [
        ("HOST", "localhost", "an IP address of this machine, such as 127.0.0.1"),
        ("FUNCTIONS_HTTPWORKER_PORT", "x", "a port number from 0 to 65535"),
        ("AZURE_ROUTE_PREFIX", "a b", "the beginning of a path like api, or / for none"),
        (
            "AZURE_TRIGGERS",
            "acr",
            "a list of <function>=<path>, such as acr=/eventgrid/{project}/{token}",
        ),
        ("UNIX_SOCKET_MODE", "999", "octal digits like 660"),
        ("UNIX_SOCKET_MODE", "1777", "octal digits like 660"),
        ("LISTEN_FDS", "-1", "a number of sockets, as systemd sets it"),
    ] {
        let of_azure = (name.starts_with("AZURE")).then_some(azure);
        let variables: Vec<_> = of_azure.into_iter().chain([(name, value)]).collect();
        let error = read(&variables).unwrap_err().to_string();
        assert_eq!(error, format!("the variable {name} must be {expected}"));
    }
    let error = read(&[("TLS_CERT", "/tls/tls.crt")]).unwrap_err().to_string();
    assert_eq!(error, "the variable TLS_KEY must be set with TLS_CERT: a file with its key");
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
