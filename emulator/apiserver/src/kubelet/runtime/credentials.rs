//! The credentials of image registries, out of the Secrets that pods name in `imagePullSecrets`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What a registry is shown. Its `Debug` form has no secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
    /// The registry that they are for, as the Secret names it.
    pub(crate) registry: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
}

/// The credentials of a Secret's data that are for the registry of an image, the closest first.
pub(crate) fn matching(data: &BTreeMap<String, Vec<u8>>, image: &str) -> Vec<Credentials> {
    let entries = if let Some(text) = data.get(".dockerconfigjson") {
        serde_json::from_slice::<Configuration>(text).map(|found| found.auths)
    } else if let Some(text) = data.get(".dockercfg") {
        serde_json::from_slice(text)
    } else {
        return Vec::new();
    };
    let mut found: Vec<Credentials> = entries
        .unwrap_or_default()
        .into_iter()
        .filter(|(registry, _)| is_for(registry, image))
        .filter_map(|(registry, entry)| entry.credentials(registry))
        .collect();
    found.sort_by(|one, other| other.registry.cmp(&one.registry));
    found
}

impl Entry {
    fn credentials(self, registry: String) -> Option<Credentials> {
        if !self.username.is_empty() || !self.password.is_empty() {
            return Some(Credentials { user: self.username, password: self.password, registry });
        }
        let pair = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        // Some tools end the pair with zero bytes.
        let password = password.trim_end_matches('\0');
        Some(Credentials { user: user.to_owned(), password: password.to_owned(), registry })
    }
}

/// Whether a key of `auths` (`https://index.docker.io/v1/`, `*.example.com/team`) covers an image.
fn is_for(registry: &str, image: &str) -> bool {
    let (host, path) = split(image);
    let key = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let (key_host, key_path) = key.split_once('/').unwrap_or((key, ""));
    let key_path = key_path.trim_end_matches('/');
    let key_path = if matches!(key_path, "v1" | "v2") { "" } else { key_path };
    let canonical = |host: &str| match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            "docker.io".to_owned()
        }
        other => other.to_owned(),
    };
    let (key_host, host) = (canonical(key_host), canonical(&host));
    let labels: (Vec<_>, Vec<_>) = (key_host.split('.').collect(), host.split('.').collect());
    let hosts_match = labels.0.len() == labels.1.len()
        && labels.0.iter().zip(&labels.1).all(|(key, label)| *key == "*" || key == label);
    let path_matches = key_path.is_empty()
        || path.strip_prefix(key_path).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['/', ':', '@']) || key_path.ends_with('/')
        });
    hosts_match && path_matches
}

/// The registry's host and the rest of a reference.
fn split(image: &str) -> (String, &str) {
    match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (host.to_owned(), rest)
        }
        _ => ("docker.io".to_owned(), image),
    }
}

#[test]
fn credentials_are_for_the_registry_of_the_image() {
    for (key, image, expected) in [
        ("https://index.docker.io/v1/", "alpine:3", true),
        ("docker.io", "team/tool", true),
        ("ghcr.io", "alpine:3", false),
        ("ghcr.io", "ghcr.io/team/tool:1", true),
        ("ghcr.io/team", "ghcr.io/team/tool:1", true),
        ("ghcr.io/team", "ghcr.io/teammate/tool:1", false),
        ("*.example.com", "one.example.com/tool", true),
        ("*.example.com", "a.b.example.com/tool", false),
        ("http://127.0.0.1:5000", "127.0.0.1:5000/tool", true),
        ("127.0.0.1", "127.0.0.1:5000/tool", false),
    ] {
        assert_eq!(is_for(key, image), expected, "{key} {image}");
    }
}

#[test]
fn both_forms_of_secrets_are_read_and_hide_their_passwords() {
    let data = |key: &str, text: &str| BTreeMap::from([(key.to_owned(), text.as_bytes().to_vec())]);
    let pair = STANDARD.encode("me:pass:word");
    let text = format!(r#"{{"auths":{{"ghcr.io":{{"auth":"{pair}"}},"other.io":{{}}}}}}"#);
    let found = matching(&data(".dockerconfigjson", &text), "ghcr.io/tool");
    assert_eq!((found[0].user.as_str(), found[0].password.as_str()), ("me", "pass:word"));
    assert!(!format!("{found:?}").contains("word"));
    let text = r#"{"ghcr.io":{"username":"me","password":"p"}}"#;
    assert_eq!(matching(&data(".dockercfg", text), "ghcr.io/tool").len(), 1);
    assert!(matching(&data(".dockerconfigjson", "no JSON"), "ghcr.io/tool").is_empty());
}
