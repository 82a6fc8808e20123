//! How notifiers are told, by workers and by pods that tell one thing.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{SettingsError, seconds, truth, wrong};
use crate::template::Template;

/// What the environment says of telling notifiers.
#[derive(Clone, Debug)]
pub struct NotifySettings {
    /// `NOTIFY_ALLOWED_HOSTS`: hosts with private addresses, or without encryption, that messages may
    /// go to all the same, a list of names or addresses, with a port or without. Default: none.
    pub allowed_hosts: Vec<String>,
    /// `NOTIFY_BUDGET`: for how long it is tried to deliver a message, and to tell of a build once it
    /// has ended, in seconds. Default: 300.
    pub budget: Duration,
    /// `BUILD_URL`: where people see a build, an address with `{{ project }}` and `{{ build }}`.
    /// Default: nowhere.
    pub build_url: Option<Template>,
    /// `NOTIFY_DRY_RUN`: says what would be sent, and sends nothing. Default: false.
    pub dry_run: bool,
    /// `NOTIFY_RELAY`: who is given all messages instead of their sinks, an address of HTTP.
    /// Default: nobody.
    pub relay: Option<String>,
    /// `NOTIFY_SMTP_RELAY`: the same for email, `host:port`. Default: nobody.
    pub smtp_relay: Option<String>,
}

impl NotifySettings {
    /// Reads variables; an empty one was taken for one that is not set.
    pub(super) fn read(
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<NotifySettings, SettingsError> {
        let trimmed = |name: &str| get(name).map(|value| value.trim().to_owned());
        let build_url = get("BUILD_URL").map(|text| {
            let template = Template::parse(text.trim()).ok().filter(|_| is_http(text.trim()));
            template.ok_or(wrong(
                "BUILD_URL",
                "an address like https://ci.example/{{ project }}/{{ build }}",
            ))
        });
        let relay = trimmed("NOTIFY_RELAY").map(|text| {
            // Pods are given it as it is, where others can read it.
            let address = text.parse::<http::Uri>().ok().filter(|_| is_http(&text));
            let authority = address.as_ref().and_then(|address| address.authority());
            let is_address = authority.is_some_and(|place| !place.as_str().contains('@'));
            let expected = "an address that begins with https:// or http://, without a password";
            if is_address { Ok(text) } else { Err(wrong("NOTIFY_RELAY", expected)) }
        });
        let smtp_relay = trimmed("NOTIFY_SMTP_RELAY").map(|text| {
            let port =
                text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('@'));
            let is_place = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if is_place { Ok(text) } else { Err(wrong("NOTIFY_SMTP_RELAY", "host:port")) }
        });
        let hosts = get("NOTIFY_ALLOWED_HOSTS").unwrap_or_default();
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        Ok(NotifySettings {
            allowed_hosts: hosts.map(str::to_owned).collect(),
            budget: seconds("NOTIFY_BUDGET", get("NOTIFY_BUDGET"), 300.0)?,
            build_url: build_url.transpose()?,
            dry_run: truth("NOTIFY_DRY_RUN", trimmed("NOTIFY_DRY_RUN"))?,
            relay: relay.transpose()?,
            smtp_relay: smtp_relay.transpose()?,
        })
    }

    /// The variables that say so, for a pod that tells; those of defaults are left out.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let budget = self.budget.as_secs_f64();
        let all = [
            ("BUILD_URL", self.build_url.as_ref().map(ToString::to_string)),
            ("NOTIFY_ALLOWED_HOSTS", Some(self.allowed_hosts.join(","))),
            ("NOTIFY_BUDGET", Some(budget.to_string()).filter(|text| text != "300")),
            ("NOTIFY_DRY_RUN", self.dry_run.then(|| true.to_string())),
            ("NOTIFY_RELAY", self.relay.clone()),
            ("NOTIFY_SMTP_RELAY", self.smtp_relay.clone()),
        ];
        let all = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        all.filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// What a pod that tells one thing is told, in variables whose names depend on whom it tells.
#[derive(Clone, Debug, Default)]
pub struct NoticeSettings(BTreeMap<String, SecretString>);

impl NoticeSettings {
    /// Reads these variables from the environment of this process.
    pub fn from_environment(names: &[&str]) -> NoticeSettings {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        NoticeSettings::read(names, |name| std::env::var(name).ok())
    }

    /// Reads these variables. One that is empty is set.
    pub fn read(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> NoticeSettings {
        let found = names.iter().filter_map(|name| {
            let value = SecretString::from(variable(name)?);
            Some(((*name).to_owned(), value))
        });
        NoticeSettings(found.collect())
    }

    /// One of them, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }
}

fn is_http(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

#[test]
fn a_pod_is_told_what_was_read() {
    let given = [
        ("BUILD_URL", "https://ci.example/{{ project }}/{{ build }}"),
        ("NOTIFY_ALLOWED_HOSTS", "127.0.0.1:8080,sink.example"),
        ("NOTIFY_BUDGET", "2.5"),
        ("NOTIFY_DRY_RUN", "true"),
        ("NOTIFY_RELAY", "http://127.0.0.1:1/x"),
        ("NOTIFY_SMTP_RELAY", "127.0.0.1:25"),
    ];
    let read = |given: &[(&str, &str)]| {
        NotifySettings::read(|wanted| {
            let found = given.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    let variables = read(&given).unwrap().variables();
    assert_eq!(variables, given.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(read(&[]).unwrap().variables(), []);
    for (name, value) in [
        ("BUILD_URL", "ci.example"),
        ("BUILD_URL", "https://ci.example/{{"),
        ("NOTIFY_BUDGET", "soon"),
        ("NOTIFY_DRY_RUN", "perhaps"),
        ("NOTIFY_RELAY", "relay:80"),
        ("NOTIFY_RELAY", "https://brig:hunter2@relay.example/"),
        ("NOTIFY_SMTP_RELAY", "brig:hunter2@relay.example:25"),
        ("NOTIFY_SMTP_RELAY", "relay"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the variable {name} must be ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
