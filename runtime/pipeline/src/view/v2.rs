//! The event as scripts of Brigade 2 see it: its source, its type, and what tells it from others.

use std::collections::BTreeMap;

use runtime::build::Build;
use runtime::event::LogLevel;
use runtime::project::Project;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    source: String,
    #[serde(rename = "type")]
    kind: String,
    qualifiers: BTreeMap<&'static str, String>,
    labels: BTreeMap<&'static str, String>,
    short_title: String,
    long_title: String,
    log_level: &'static str,
}

/// What a build's event is in the words of Brigade 2's gateways.
pub(super) fn event(project: &Project, build: &Build) -> Event {
    let event = &build.event;
    let (mut qualifiers, mut labels) = (BTreeMap::new(), BTreeMap::new());
    match (event.provider.as_str(), &event.image) {
        ("github" | "gitlab" | "bitbucket", _) => {
            qualifiers.insert("repo", repository(project));
        }
        ("acr", Some(image)) => {
            qualifiers.insert("registry", image.registry.clone());
            labels.insert("repo", image.repository.clone());
        }
        (_, Some(image)) => {
            qualifiers.insert("repo", image.repository.clone());
        }
        (_, None) => {}
    }
    Event {
        source: source(&event.provider),
        kind: kind(event),
        qualifiers,
        labels,
        short_title: event.short_title.clone(),
        long_title: event.long_title.clone(),
        log_level: match event.log_level {
            LogLevel::All => "DEBUG",
            LogLevel::Log | LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error | LogLevel::None => "ERROR",
        },
    }
}

/// The gateway that an event of this provider comes from.
fn source(provider: &str) -> String {
    let gateway = match provider {
        "brigade-cli" => "cli",
        other => other,
    };
    format!("brigade.sh/{}", gateway.to_ascii_lowercase())
}

/// The qualified type; registries have a word for it that needs no `image_` before.
fn kind(event: &runtime::event::Event) -> String {
    if let Some(action) = &event.action {
        return format!("{}:{action}", event.kind);
    }
    match (event.provider.as_str(), event.kind.strip_prefix("image_")) {
        (
            "acr" | "distribution" | "dockerhub" | "ghcr" | "gitea" | "harbor" | "quay"
            | "registry",
            Some(kind),
        ) => kind.to_owned(),
        _ => event.kind.clone(),
    }
}

/// The name of the repository without its host: `org/app`.
fn repository(project: &Project) -> String {
    match project.repository.split_once('/') {
        Some((host, name)) if host.contains('.') => name.to_owned(),
        Some(_) => project.repository.clone(),
        None => project.name.clone(),
    }
}

#[test]
fn sources_and_types_are_those_of_brigades_gateways() {
    use runtime::event::Event;

    for (provider, type_, action, expected) in [
        ("github", "push", None, "brigade.sh/github push"),
        ("github", "pull_request", Some("opened"), "brigade.sh/github pull_request:opened"),
        ("brigade-cli", "exec", None, "brigade.sh/cli exec"),
        ("acr", "image_push", None, "brigade.sh/acr push"),
        ("acr", "chart_delete", None, "brigade.sh/acr chart_delete"),
        ("dockerhub", "image_push", None, "brigade.sh/dockerhub push"),
        ("registry", "image_push", None, "brigade.sh/registry push"),
        ("ghcr", "image_push", None, "brigade.sh/ghcr push"),
        ("harbor", "image_delete", None, "brigade.sh/harbor delete"),
        ("GenericWebhook", "simpleevent", None, "brigade.sh/genericwebhook simpleevent"),
        ("other", "image_push", None, "brigade.sh/other image_push"),
    ] {
        let mut event = Event::new(provider, type_, "");
        event.action = action.map(str::to_owned);
        assert_eq!(format!("{} {}", source(provider), kind(&event)), expected);
    }
}
