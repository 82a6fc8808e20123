//! Who is told, in words that may be shown.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What is no shorter may be a secret; to hide what is would take words apart.
const SHORTEST_SECRET: usize = 4;

/// Words of addresses that say nothing, and are in what sinks say of themselves.
const WORDS: &[&str] = &[
    "Bearer",
    "IncomingWebhook",
    "api-version",
    "events",
    "false",
    "hooks",
    "incoming",
    "invoke",
    "manual",
    "message",
    "messages",
    "notify",
    "paths",
    "services",
    "token",
    "triggers",
    "true",
    "wait",
    "webhook",
    "webhooks",
    "workflows",
];

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
            if text.len() >= SHORTEST_SECRET && !WORDS.contains(&text) {
                hidden.push(SecretString::from(text));
            }
        };
        // Whatever is in an address may be its secret, but for the APIs that have none in it.
        if !is_api(sink, url) {
            hide(url.path());
            for part in url.path().split('/') {
                hide(part);
                hide(&percent_decode_str(part).decode_utf8_lossy());
            }
            for part in url.query().unwrap_or_default().split('&') {
                hide(part);
                hide(part.split_once('=').map_or("", |(_, value)| value));
            }
            url.query().into_iter().for_each(&mut hide);
            for (name, value) in url.query_pairs() {
                hide(&value);
                hide(&name);
            }
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

/// Whether an address is one of an API whose secrets are headers, so that its repositories and
/// commits may be read.
fn is_api(sink: &str, url: &Url) -> bool {
    let begins = |known: &str| url.path().starts_with(known);
    match sink {
        "GitHub" => ["/repos/", "/app/", "/api/v3/"].into_iter().any(begins),
        "Slack" => url.host_str() == Some("slack.com") && begins("/api/"),
        _ => false,
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

#[test]
fn of_a_path_only_that_of_an_api_is_shown() {
    let hide = |sink: &str, url: &str, text: &str| {
        Whom::of(sink, &Url::parse(url).unwrap(), &HeaderMap::new()).hide(text)
    };
    let id = "0123456789abcdef0123456789abcdef";
    let teams = format!("https://a.webhook.office.com/webhookb2/c1@d2/IncomingWebhook/{id}/e3f4");
    assert_eq!(
        hide("Teams", &teams, &format!("no {id}, IncomingWebhook")),
        "no ***, IncomingWebhook"
    );
    let short = "https://h.example/s3cr%2Ft/hooks?key=k3y4&wait=true&pa%24s";
    let said = "s3cr%2Ft s3cr/t hooks k3y4 wait true pa%24s pa$s";
    assert_eq!(hide("the webhook", short, said), "*** *** hooks *** wait true *** ***");
    let commit = "6".repeat(40);
    let said = format!("No commit found for SHA: {commit}");
    for (sink, url, shown) in [
        ("GitHub", format!("https://api.github.com/repos/acme/app/statuses/{commit}"), true),
        ("GitHub", format!("https://h.example/api/v3/repos/acme/app/statuses/{commit}"), true),
        ("GitHub", format!("https://h.example/{commit}/repos/acme/app"), false),
        ("the webhook", format!("https://h.example/repos/{commit}"), false),
        ("Slack", format!("https://slack.com/api/{commit}"), true),
        ("Slack", format!("https://chat.example/api/{commit}"), false),
    ] {
        assert_eq!(hide(sink, &url, &said) == said, shown, "{sink} {url}");
    }
}
