//! What is read of variables, and what is said of those that are not understood.

use super::*;

mod table;

fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn brigades_own_variables_are_read() {
    let settings = read(&[
        ("BRIGADE_NAMESPACE", "brigade"),
        ("BRIGADE_AUTHORS", "owner, contributor"),
        ("BRIGADE_WORKER_IMAGE", "w:1"),
    ])
    .unwrap();
    assert_eq!(settings.namespace, "brigade");
    assert_eq!(settings.allowed_authors, ["OWNER", "CONTRIBUTOR"]);
    assert_eq!(settings.worker_image, "w:1");
}

#[test]
fn a_setting_that_is_not_understood_is_named() {
    for (name, value, error) in [
        ("PORT", "http", "the variable PORT must be a port number from 0 to 65535"),
        ("PORT", "70000", "the variable PORT must be a port number from 0 to 65535"),
        ("INLINE", "sometimes", "the variable INLINE must be auto or never"),
        (
            "REGISTRY_ALLOW_UNSIGNED",
            "maybe",
            "the variable REGISTRY_ALLOW_UNSIGNED must be true or false",
        ),
        (
            "REQUEST_BUDGET",
            "-1",
            "the variable REQUEST_BUDGET must be a number of seconds, a day's at most",
        ),
        (
            "SCRIPT_FETCH_BUDGET",
            "1e18",
            "the variable SCRIPT_FETCH_BUDGET must be a number of seconds, a day's at most",
        ),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err().to_string(), error);
    }
}

#[test]
fn an_app_has_a_key_as_a_text_or_in_a_file() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----";
    let settings = read(&[("APP_ID", "7"), ("APP_KEY", key), ("CHECK_SUITE_ON_PR", "")]).unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&settings.app_key);
    assert_eq!(text.lines().count(), 3);
    assert_eq!((settings.app_id, settings.check_suite_on_pr), (Some(7), true));
    let settings = read(&[("APP_ID", "0"), ("CHECK_SUITE_ON_PR", "false")]).unwrap();
    assert_eq!((settings.app_id, settings.check_suite_on_pr), (None, false));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (app, problem) in [
        (&[("APP_ID", "ours"), ("APP_KEY", key)][..], "APP_ID must be the number of a GitHub App"),
        (&[("APP_ID", "7"), ("APP_KEY", "s3cret")], "APP_KEY must be a private key in PEM, as"),
    ] {
        let variable = |name: &str| {
            let found = app.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert!(Settings::read(variable).is_err());
        let settings = Settings::read_for_worker(variable).unwrap();
        assert_eq!(settings.app_id, None);
        let said = settings.app_problem.unwrap();
        assert!(said.starts_with(&format!("the variable {problem}")), "{said}");
    }
    let settings = read(&[("APP_SECRET", " our-app.v1 ")]).unwrap();
    assert_eq!(settings.app_secret.as_deref(), Some("our-app.v1"));
    for name in ["Our", "a/b", "-a", "a_b", &"a".repeat(254)] {
        let error = read(&[("APP_SECRET", name)]).unwrap_err().to_string();
        assert_eq!(error, "the variable APP_SECRET must be the name of a Secret");
    }
    for (name, value, error) in [
        ("APP_ID", "x", "the variable APP_ID must be the number of a GitHub App"),
        ("APP_KEY", "x", "the variable APP_KEY must be a private key in PEM"),
        ("APP_KEY_FILE", file, "the variable APP_KEY must be a private key in PEM"),
        ("APP_KEY_FILE", "/none/such", "the variable APP_KEY must be set with APP_ID"),
    ] {
        let error_there =
            read(&[("APP_ID", if name == "APP_ID" { value } else { "7" }), (name, value)]);
        let error_there = error_there.unwrap_err().to_string();
        assert!(error_there.starts_with(error), "{error_there}");
    }
}

#[test]
fn an_empty_environment_is_closed() {
    let settings = Settings::default();
    assert!(!settings.registry_allow_unsigned && !settings.github_allow_sha1);
    assert!(settings.github_hosts.is_empty());
    assert_eq!(settings.host.plain.listen.port(), 8080);
}
