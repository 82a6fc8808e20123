//! What image registries send.

use serde_json::json;

use super::sample::Choice::{Image, Ref, Tag};
use super::sample::{Draft, Sample, Values, seconds};

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        source: "registry",
        event: "acr-push",
        fires: Some("image_push"),
        about: "an image is pushed to Azure Container Registry",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/acr-push.http"),
        fill: azure,
    },
    Sample {
        source: "registry",
        event: "acr-delete",
        fires: Some("image_delete"),
        about: "an image is deleted from Azure Container Registry",
        takes: &[Image, Ref],
        recording: include_str!("../../../tests/payloads/registry/acr-delete.http"),
        fill: |draft, values| {
            let (host, repository, _tag) = values.image("acme.azurecr.io");
            at_commit(draft, values);
            draft.put("/target/repository", repository);
            draft.put("/target/digest", values.digest());
            draft.put("/request/host", host);
            draft.put("/timestamp", values.now.to_string());
        },
    },
    Sample {
        source: "registry",
        event: "acr-chart-push",
        fires: Some("chart_push"),
        about: "a Helm chart is pushed to Azure Container Registry",
        takes: &[Ref],
        recording: include_str!("../../../tests/payloads/registry/acr-chart-push.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            draft.put("/timestamp", values.now.to_string());
        },
    },
    Sample {
        source: "registry",
        event: "acr-ping",
        fires: None,
        about: "Azure Container Registry tries its webhook",
        takes: &[],
        recording: include_str!("../../../tests/payloads/registry/acr-ping.http"),
        fill: |_draft, _values| {},
    },
    Sample {
        source: "registry",
        event: "dockerhub-push",
        fires: Some("image_push"),
        about: "an image is pushed to Docker Hub",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/dockerhub-push.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            let (_host, repository, tag) = values.image("docker.io/acme");
            let (space, name) = repository.rsplit_once('/').unwrap_or(("library", &repository));
            draft.put("/repository/namespace", space);
            draft.put("/repository/name", name);
            draft.put("/repository/repo_url", format!("https://hub.docker.com/r/{repository}"));
            draft.put("/repository/repo_name", repository.clone());
            draft.put("/push_data/tag", tag);
            draft.put("/push_data/pushed_at", seconds(values.now));
        },
    },
    Sample {
        source: "registry",
        event: "harbor-push",
        fires: Some("image_push"),
        about: "an image is pushed to Harbor",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/harbor-push.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            let (host, repository, tag) = values.image("harbor.acme.example/acme");
            let (space, name) = repository.split_once('/').unwrap_or(("library", &repository));
            let resource = json!({
                "digest": values.digest(),
                "tag": tag,
                "resource_url": format!("{host}/{repository}:{tag}"),
            });
            draft.put("/event_data/repository/namespace", space);
            draft.put("/event_data/repository/name", name);
            draft.put("/event_data/repository/repo_full_name", repository.clone());
            draft.put("/event_data/resources", json!([resource]));
            draft.put("/occur_at", seconds(values.now));
        },
    },
    Sample {
        source: "registry",
        event: "quay-push",
        fires: Some("image_push"),
        about: "an image is pushed to Quay",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/quay-push.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            let (host, repository, tag) = values.image("quay.acme.example/acme");
            let (space, name) = repository.split_once('/').unwrap_or(("library", &repository));
            draft.put("/namespace", space);
            draft.put("/name", name);
            draft.put("/docker_url", format!("{host}/{repository}"));
            draft.put("/homepage", format!("https://{host}/repository/{repository}"));
            draft.put("/repository", repository.clone());
            draft.put("/updated_tags", json!([tag]));
        },
    },
    Sample {
        source: "registry",
        event: "distribution-push",
        fires: Some("image_push"),
        about: "an image is pushed to a registry of one's own, or to GitLab's",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/distribution-push.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            let (host, repository, tag) = values.image("registry.acme.example/acme");
            let digest = values.digest();
            let manifest = format!("https://{host}/v2/{repository}/manifests/{digest}");
            for number in 0..2 {
                draft.put(&format!("/events/{number}/target/repository"), repository.clone());
                draft.put(&format!("/events/{number}/request/host"), host.clone());
                draft.put(&format!("/events/{number}/timestamp"), values.now.to_string());
            }
            draft.put("/events/1/target/tag", tag);
            draft.put("/events/1/target/url", manifest);
            draft.put("/events/1/target/digest", digest);
        },
    },
    Sample {
        source: "registry",
        event: "gitea-package",
        fires: Some("image_push"),
        about: "an image is pushed to the registry of a Gitea",
        takes: &[Image, Tag, Ref],
        recording: include_str!("../../../tests/payloads/registry/gitea-package.http"),
        fill: |draft, values| {
            at_commit(draft, values);
            let (host, repository, tag) = values.image("gitea.acme.example/acme");
            let (owner, name) = repository.split_once('/').unwrap_or(("acme", &repository));
            let page = format!("https://{host}/{owner}/-/packages/container/{name}/{tag}");
            draft.put("/package/owner/login", owner);
            draft.put("/package/name", name);
            draft.put("/package/version", tag);
            draft.put("/package/html_url", page);
            draft.put("/package/created_at", values.now.to_string());
        },
    },
];

fn azure(draft: &mut Draft, values: &Values) {
    let (host, repository, tag) = values.image("acme.azurecr.io");
    at_commit(draft, values);
    draft.put("/target/repository", repository);
    draft.put("/target/tag", tag);
    draft.put("/target/digest", values.digest());
    draft.put("/request/host", host);
    draft.put("/timestamp", values.now.to_string());
}

/// A registry knows no commit: the address says which one its events are about.
fn at_commit(draft: &mut Draft, values: &Values) {
    if let Some(reference) = &values.reference {
        let encoded = reference.replace('%', "%25").replace('&', "%26").replace('#', "%23");
        draft.redirect("?commit=main", &format!("?commit={encoded}"));
    }
}
