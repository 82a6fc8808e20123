//! Who is told, in words that may be shown.

use http::{HeaderMap, HeaderName};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What is no shorter may be a secret.
const SHORTEST_SECRET: usize = 12;

/// A sink, and what nobody may read of it.
#[derive(Debug)]
pub(super) struct Whom {
    /// Its name with its host.
    pub(super) name: String,
    hidden: Vec<SecretString>,
}

impl Whom {
    pub(super) fn of(sink: &str, url: &Url, headers: &HeaderMap) -> Whom {
        let mut hidden = Vec::new();
        let mut hide = |text: &str| {
            if text.len() >= SHORTEST_SECRET {
                hidden.push(SecretString::from(text));
            }
        };
        hide(url.path());
        url.query().into_iter().for_each(&mut hide);
        // Ids of commits are in paths too, and may be read.
        let is_commit = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        url.path()
            .split('/')
            .filter(|part| part.len() >= 20 && !is_commit(part))
            .for_each(&mut hide);
        for (name, value) in url.query_pairs() {
            hide(&value);
            hide(&name);
        }
        let values = headers.iter().filter(|(name, _)| !is_shown(name));
        for value in values.filter_map(|(_, value)| value.to_str().ok()) {
            hide(value);
            value.split_whitespace().for_each(&mut hide);
        }
        // The longest first, so that nothing of it is left.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.expose_secret().len()));
        Whom { name: format!("{sink} at {}", url.host_str().unwrap_or("***")), hidden }
    }

    /// A text without what nobody may read.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for hidden in &self.hidden {
            if text.contains(hidden.expose_secret()) {
                text = text.replace(hidden.expose_secret(), "***");
            }
        }
        text
    }
}

/// Whether the value of a header is no secret.
pub(super) fn is_shown(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "accept"
            | "content-type"
            | "idempotency-key"
            | "user-agent"
            | "webhook-id"
            | "webhook-timestamp"
            | "x-github-api-version"
    ) || name.starts_with("ce-")
}

/// An address without what may be secret: its path, its query and its credentials.
pub fn redacted(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) if url.has_host() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}/***", url.scheme(), url.host_str().unwrap_or_default())
        }
        _ => "***".to_owned(),
    }
}

#[test]
fn what_is_secret_of_an_address_is_not_shown() {
    for (url, shown) in [
        ("https://hooks.slack.com/services/T/B/X", "https://hooks.slack.com/***"),
        ("https://user:pass@[::1]:8443/?sig=a#b", "https://[::1]:8443/***"),
        ("mailto:a@b", "***"),
        ("no url", "***"),
    ] {
        assert_eq!(redacted(url), shown);
    }
}

#[test]
fn what_a_sink_repeats_of_an_address_is_hidden() {
    let url = "https://h.example/services/T0/abcdefghijklmnopqrstuvwx?sig=top%2Fsecret-signature";
    let headers = [(http::header::AUTHORIZATION, "Bearer xoxb-0123456789".parse().unwrap())];
    let whom = Whom::of("Slack", &Url::parse(url).unwrap(), &headers.into_iter().collect());
    assert_eq!(whom.name, "Slack at h.example");
    for text in [
        "/services/T0/abcdefghijklmnopqrstuvwx",
        "abcdefghijklmnopqrstuvwx",
        "top/secret-signature",
        "sig=top%2Fsecret-signature",
        "Bearer xoxb-0123456789",
        "xoxb-0123456789",
    ] {
        assert_eq!(whom.hide(&format!("no {text}!")), "no ***!");
    }
    assert_eq!(whom.hide("no_service at /services"), "no_service at /services");
}
