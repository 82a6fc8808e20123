//! What registries' deliveries mean, in bodies of our own, in the documented forms.

use axum::body::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::{Event, Identity, Image};
use serde_json::{Value, json};

use super::*;

fn meaning(body: &Value) -> Result<Meaning, Rejection> {
    translate(Bytes::from(body.to_string()), "main")
}

fn events(body: &Value) -> Vec<Event> {
    match meaning(body) {
        Ok(Meaning::Events(events)) => events,
        other => panic!("no event: {other:?}"),
    }
}

fn event(body: &Value) -> Event {
    let [event] = <[Event; 1]>::try_from(events(body)).expect("one event");
    event
}

fn check(body: Value, expected: Expect) {
    let event = event(&body);
    assert_eq!(event.payload, body.to_string());
    let time = event.time.map(|time| time.to_string()).unwrap_or_default();
    let image = event.image.map(|image| serde_json::to_string(&image).unwrap());
    expected.assert_eq(&format!(
        "{} {}\n{}\n{} | {}\n{time}",
        event.provider,
        event.kind,
        image.unwrap_or_default(),
        event.short_title,
        event.long_title,
    ));
}

fn acr(action: &str) -> Value {
    json!({
        "id": "0a7e4cf6-26c9-44ad-9f4f-f2c1b8ee6f4f",
        "timestamp": "2026-03-01T10:00:00.123456789Z",
        "action": action,
        "target": {
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 524,
            "digest": "sha256:8a2f",
            "length": 524,
            "repository": "team/app",
            "tag": "1.0",
        },
        "request": {"id": "x", "host": "ocean.azurecr.io", "method": "PUT", "useragent": "docker"},
    })
}

fn docker_hub() -> Value {
    json!({
        "callback_url": "http://169.254.169.254/latest/",
        "push_data": {"pushed_at": 1.7723592e9, "pusher": "sailor", "tag": "1.0"},
        "repository": {
            "comment_count": "0",
            "name": "app",
            "namespace": "team",
            "repo_name": "team/app",
        },
    })
}

#[test]
fn azures_pushes_and_deletions_are_of_images() {
    check(
        acr("push"),
        expect![[r#"
            acr image_push
            {"registry":"ocean.azurecr.io","repository":"team/app","tag":"1.0","digest":"sha256:8a2f"}
            team/app:1.0 | ocean.azurecr.io/team/app:1.0
            2026-03-01T10:00:00.123456789Z"#]],
    );
    let mut deletion = acr("delete");
    deletion["target"]["tag"] = Value::Null;
    check(
        deletion,
        expect![[r#"
            acr image_delete
            {"registry":"ocean.azurecr.io","repository":"team/app","digest":"sha256:8a2f"}
            team/app | ocean.azurecr.io/team/app@sha256:8a2f
            2026-03-01T10:00:00.123456789Z"#]],
    );
}

#[test]
fn an_empty_tag_is_none() {
    let mut push = acr("push");
    push["target"]["tag"] = json!("");
    assert_eq!(event(&push).image.unwrap().tag, None);
}

#[test]
fn azures_charts_come_without_a_registry() {
    let mut push = acr("chart_push");
    push.as_object_mut().unwrap().remove("request");
    let event = event(&push);
    assert_eq!(event.kind, "chart_push");
    assert_eq!(event.image.unwrap().registry, "");
}

#[test]
fn a_push_that_names_no_repository_has_no_image() {
    let mut push = acr("push");
    push["target"].as_object_mut().unwrap().remove("repository");
    assert_eq!(event(&push).image, None);
}

#[test]
fn docker_hubs_numbers_come_as_they_like() {
    check(
        docker_hub(),
        expect![[r#"
            dockerhub image_push
            {"registry":"docker.io","repository":"team/app","tag":"1.0"}
            team/app:1.0 | docker.io/team/app:1.0
            2026-03-01T10:00:00Z"#]],
    );
    let mut old = docker_hub();
    old["repository"].as_object_mut().unwrap().remove("repo_name");
    old["push_data"].as_object_mut().unwrap().remove("tag");
    check(
        old,
        expect![[r#"
            dockerhub image_push
            {"registry":"docker.io","repository":"team/app"}
            team/app | docker.io/team/app
            2026-03-01T10:00:00Z"#]],
    );
}

fn harbor(kind: &str) -> Value {
    json!({
        "type": kind,
        "occur_at": 1772359200,
        "operator": "sailor",
        "event_data": {
            "resources": [
                {"digest": "sha256:8a2f", "tag": "1.0", "resource_url": "hub.example/team/app:1.0"},
                {"digest": "sha256:8a2f", "tag": "1", "resource_url": "hub.example/team/app:1"},
            ],
            "repository": {"name": "app", "namespace": "team", "repo_full_name": "team/app"},
        },
    })
}

fn notification(action: &str, media: &str, url: &str) -> Value {
    json!({
        "id": "320678d8",
        "timestamp": "2026-03-01T10:00:00Z",
        "action": action,
        "target": {
            "mediaType": media, "digest": "sha256:8a2f", "repository": "team/app", "tag": "1.0",
            "url": url,
        },
        "request": {"host": "hub.example:5000"},
    })
}

/// The kinds and images of the events in a body, or why there are none.
fn summary(body: &Value) -> String {
    match meaning(body).unwrap() {
        Meaning::Events(events) => {
            let line = |event: &Event| {
                let image = event.image.as_ref().map(Image::reference).unwrap_or("none".to_owned());
                format!("{} {} {image}", event.provider, event.kind)
            };
            events.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Meaning::Rare(event) => format!("{} if asked for", event.kind),
        Meaning::Ping => "ping".to_owned(),
        Meaning::Ignored { reason } => reason,
    }
}

#[test]
fn harbors_artifacts_are_a_build_each() {
    expect![[r#"
        harbor image_push hub.example/team/app:1.0
        harbor image_push hub.example/team/app:1"#]]
    .assert_eq(&summary(&harbor("PUSH_ARTIFACT")));
    let found = events(&harbor("PUSH_ARTIFACT"));
    assert_ne!(found[0].identity, found[1].identity);
    assert_eq!(found[0].time.unwrap().to_string(), "2026-03-01T10:00:00Z");
    let mut later = harbor("PUSH_ARTIFACT");
    later["occur_at"] = json!(1772359201);
    assert_ne!(events(&later)[0].identity, found[0].identity);
    let mut timeless = harbor("PUSH_ARTIFACT");
    timeless.as_object_mut().unwrap().remove("occur_at");
    assert_eq!(events(&timeless)[0].identity, Identity::Fresh);
}

#[test]
fn harbors_events_have_one_name_in_all_formats() {
    for (names, meant) in [
        (["PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"], "image_push"),
        (["DELETE_ARTIFACT", "deleteImage", "harbor.artifact.deleted"], "image_delete"),
        (["PULL_ARTIFACT", "pullImage", "harbor.artifact.pulled"], "harbor.artifact.pulled"),
        (["SCANNING_FAILED", "scanningFailed", "harbor.scan.failed"], "harbor.scan.failed"),
        (["QUOTA_EXCEED", "quotaExceed", "harbor.quota.exceeded"], "harbor.quota.exceeded"),
    ] {
        for name in names {
            let mut body = harbor(name);
            if name.starts_with("harbor.") {
                let data = body.as_object_mut().unwrap().remove("event_data").unwrap();
                body["data"] = data;
                body["specversion"] = json!("1.0");
                body["id"] = json!("1");
                body["source"] = json!("/projects/2/webhook/policies/15");
                body["time"] = json!("2026-03-01T10:00:00Z");
            }
            let kind = match meaning(&body).unwrap() {
                Meaning::Events(events) => events[0].kind.clone(),
                Meaning::Rare(event) => event.kind,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(kind, meant, "{name}");
        }
    }
    assert_eq!(summary(&harbor("UPLOAD_CHART")).split(' ').nth(1), Some("chart_push"));
    assert_eq!(summary(&harbor("BREW_TEA")), "Harbor's event `BREW_TEA` is not built");
}

#[test]
fn harbors_cloud_events_are_known_by_their_ids() {
    let event = |id: &str, operator: &str| {
        let data = harbor("")["event_data"].take();
        let body = json!({
            "specversion": "1.0", "type": "harbor.artifact.pushed", "id": id, "operator": operator,
            "source": "/projects/2/webhook/policies/15", "data": data,
        });
        events(&body)[1].identity.clone()
    };
    assert_eq!(event("1", "ada"), event("1", "grace"));
    assert_ne!(event("1", "ada"), event("2", "ada"));
}

#[test]
fn harbors_images_are_found_wherever_they_are_named() {
    let image = |resource: Value, repository: Value| {
        let mut body = harbor("PUSH_ARTIFACT");
        body["event_data"] = json!({"resources": [resource], "repository": repository});
        summary(&body).split(' ').nth(2).unwrap_or_default().to_owned()
    };
    let digest = "sha256:8a2f";
    for (resource, repository, expected) in [
        (
            json!({"tag": digest, "resource_url": "hub.example/team/app@sha256:8a2f"}),
            json!({"repo_full_name": "team/app"}),
            "hub.example/team/app@sha256:8a2f",
        ),
        (
            json!({"tag": "1", "resource_url": "https://hub.example:8443/team/app:1"}),
            json!({"name": "app", "namespace": "team"}),
            "hub.example:8443/team/app:1",
        ),
        (json!({"tag": "1", "resource_url": "team/app"}), json!({}), "team/app:1"),
        (
            json!({"tag": "1", "resource_url": "localhost/team/app:1"}),
            json!(7),
            "localhost/team/app:1",
        ),
        (json!({"digest": digest}), json!({"repo_full_name": "team/app"}), "team/app@sha256:8a2f"),
        (json!({"tag": "1"}), json!({"name": "app"}), "none"),
        (json!("what"), json!(null), "none"),
        (json!({"tag": "1; rm -rf /"}), json!({"repo_full_name": "team/app"}), "none"),
        (json!({"tag": "$(id)"}), json!({"repo_full_name": "team/app"}), "none"),
    ] {
        assert_eq!(image(resource.clone(), repository), expected, "{resource}");
    }
}

#[test]
fn quays_tags_are_a_build_each_and_nothing_else_is_one() {
    let quay = |more: Value| {
        let mut body = json!({
            "repository": "team/app", "namespace": "team", "name": "app",
            "docker_url": "https://quay.example/team/app",
            "homepage": "https://quay.example/repository/team/app",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        summary(&body)
    };
    assert_eq!(
        quay(json!({"updated_tags": ["1", "2", "1", "", 7]})),
        "quay image_push quay.example/team/app:1\nquay image_push quay.example/team/app:2"
    );
    assert_eq!(quay(json!({"updated_tags": []})), "quay image_push quay.example/team/app");
    assert_eq!(
        quay(json!({"updated_tags": ["1"], "docker_url": ""})),
        "quay image_push quay.example/team/app:1"
    );
    for (more, what) in [
        (json!({"build_id": "x", "docker_tags": ["1"]}), "a build"),
        (json!({"vulnerability": {}, "tags": ["1"]}), "a vulnerability"),
        (json!({"message": "TEST"}), "a mirror, or of something else"),
        (json!({"updated_tags": "1"}), "a mirror, or of something else"),
    ] {
        let expected =
            format!("Quay's notification is of {what}; one of a push has `updated_tags`");
        assert_eq!(quay(more), expected);
    }
}

#[test]
fn of_a_registrys_notifications_manifests_count() {
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let old = "application/vnd.docker.distribution.manifest.v2+json";
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let octets = "application/octet-stream";
    let at = |kind: &str| format!("http://hub.example:5000/v2/team/app/{kind}/sha256:8a2f");
    for (action, media, url, built) in [
        ("push", manifest, at("manifests"), Some("image_push")),
        ("push", old, at("manifests"), Some("image_push")),
        ("push", list, String::new(), Some("image_push")),
        ("push", octets, at("manifests"), Some("image_push")),
        ("mount", manifest, at("manifests"), Some("image_push")),
        ("delete", manifest, at("manifests"), Some("image_delete")),
        ("push", octets, at("blobs"), None),
        ("push", layer, at("blobs"), None),
        ("push", layer, at("manifests"), None),
        ("mount", octets, at("blobs"), None),
        ("delete", octets, at("blobs"), None),
        ("pull", manifest, at("manifests"), None),
        ("brew", manifest, at("manifests"), None),
    ] {
        let body = json!({"events": [notification(action, media, &url)]});
        let expected = match built {
            Some(kind) => format!("distribution {kind} hub.example:5000/team/app:1.0"),
            None => format!(
                "none of its events is a push or a deletion of a manifest: the first is a \
                 `{action}` of `{media}`"
            ),
        };
        assert_eq!(summary(&body), expected);
    }
    // What is deleted has a digest or a tag, and nothing else.
    let mut deleted = notification("delete", "", "");
    deleted["target"] = json!({"repository": "team/app", "digest": "sha256:8a2f"});
    assert_eq!(
        summary(&json!({"events": [deleted]})),
        "distribution image_delete hub.example:5000/team/app@sha256:8a2f"
    );
    let nothing = "none of its events is a push or a deletion of a manifest";
    assert_eq!(summary(&json!({"events": []})), nothing);
}

#[test]
fn a_notification_is_the_same_in_whichever_batch_it_comes() {
    let manifest = "application/vnd.oci.image.index.v1+json";
    let (one, mut two) = (notification("push", manifest, ""), notification("push", manifest, ""));
    two["id"] = json!("2");
    let alone = events(&json!({"events": [one]}));
    let both = events(&json!({"events": [two, one, one]}));
    assert_eq!(both.len(), 2, "the same twice is one");
    assert_eq!(both[1].identity, alone[0].identity);
    assert_ne!(both[0].identity, alone[0].identity);
    let many: Vec<Value> = (0..=translation::MOST)
        .map(|id| {
            let mut event = one.clone();
            event["id"] = json!(id);
            event
        })
        .collect();
    assert!(matches!(meaning(&json!({"events": many})), Err(Rejection::TooLarge { .. })));
    assert_eq!(events(&json!({"events": many[1..]})).len(), translation::MOST);
}

#[test]
fn a_delivery_of_many_events_takes_little_more_room_than_its_body() {
    let harbor = |resources: usize, around: usize| {
        json!({
            "type": "PUSH_ARTIFACT", "occur_at": 1772359200, "operator": "x".repeat(around),
            "event_data": {
                "resources": vec![json!({"tag": "1"}); resources],
                "repository": {"repo_full_name": "team/app"},
            },
        })
    };
    let length = |event: &Event| match &event.identity {
        Identity::Content(content) => content.len(),
        Identity::Fresh => 0,
    };
    let found = events(&harbor(translation::MOST, 100_000));
    assert_eq!(found.len(), translation::MOST);
    assert!(found.iter().all(|event| (1..100).contains(&length(event))));
    assert!(matches!(
        meaning(&harbor(translation::MOST, 200_000)),
        Err(Rejection::TooLarge { .. })
    ));
    assert_eq!(events(&harbor(1, 200_000)).len(), 1);

    let mut cloud = harbor(3, 0);
    cloud["type"] = json!("harbor.artifact.pushed");
    cloud["data"] = cloud["event_data"].take();
    cloud["specversion"] = json!("1.0");
    cloud["source"] = json!("/projects/1");
    cloud["id"] = json!("x".repeat(100_000));
    cloud["data"]["repository"]["repo_full_name"] = json!("x".repeat(100_000));
    let found = events(&cloud);
    assert!(found.iter().all(|event| length(event) < 100 && event.image.is_none()), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn giteas_packages_are_images_if_they_are_containers() {
    let gitea = |action: &str, type_: &str, version: &str| {
        json!({
            "action": action,
            "package": {
                "id": 7, "type": type_, "name": "App", "version": version,
                "owner": {"login": "Team"},
                "html_url": "https://gitea.example/Team/-/packages/container/app/1.0",
                "created_at": "2026-03-01T10:00:00Z",
            },
            "repository": null,
            "sender": {"login": "sailor"},
        })
    };
    for (action, type_, version, expected) in [
        ("created", "container", "1.0", "gitea image_push gitea.example/team/app:1.0"),
        ("deleted", "container", "sha256:0", "gitea image_delete gitea.example/team/app@sha256:0"),
        ("created", "helm", "1.0+b", "gitea chart_push gitea.example/team/app:1.0+b"),
        (
            "created",
            "npm",
            "1.0",
            "the package is a `npm` that is `created`; containers and charts are built that are \
             `created` or `deleted`",
        ),
    ] {
        assert_eq!(summary(&gitea(action, type_, version)), expected);
    }
    let of = |action: &str| event(&gitea(action, "container", "1.0")).identity;
    assert_ne!(of("created"), of("deleted"));
}

#[test]
fn docker_hubs_pushes_are_known_by_what_does_not_change() {
    let hub = event(&docker_hub()).identity;
    let with = |member: &str, key: &str, value: Value| {
        let mut body = docker_hub();
        body[member][key] = value;
        event(&body).identity
    };
    assert_eq!(with("repository", "star_count", json!(7)), hub);
    assert_ne!(with("push_data", "tag", json!("2.0")), hub);
    assert_ne!(with("push_data", "pushed_at", json!(1772359201)), hub);
    assert_ne!(with("repository", "repo_name", json!("team/other")), hub);
}

#[test]
fn any_other_object_is_an_image_push() {
    for body in [
        json!({}),
        json!({"repository": "team/app", "docker_url": "quay.io/team/app"}),
        json!({"type": "push", "specversion": "1.0"}),
        json!({"events": [{"action": "push"}]}),
        json!({"action": "push", "target": "team/app"}),
        json!({"action": "published", "package": {}, "repository": {}}),
    ] {
        let event = event(&body);
        assert_eq!((event.provider.as_str(), event.kind.as_str()), ("registry", "image_push"));
        assert_eq!(event.identity, Identity::Fresh);
    }
}

#[test]
fn pings_and_quarantines_are_no_events() {
    let ping = json!({"id": "x", "timestamp": "2026-03-01T10:00:00Z", "action": "ping"});
    assert!(matches!(meaning(&ping), Ok(Meaning::Ping)));
    let Ok(Meaning::Ignored { reason }) = meaning(&acr("quarantine")) else { panic!("event") };
    assert_eq!(reason, "the image is in quarantine; its push is built once it has passed");
    let Ok(Meaning::Ignored { reason }) = meaning(&acr("a\nb")) else { panic!("event") };
    assert_eq!(reason, "the action `ab` is not built");
}

#[test]
fn what_is_no_object_is_malformed() {
    for body in ["", "[]", "[{}]", "\"push\"", "1", "null", "{", "{\"action\": \"push\", \"t\": }"]
    {
        let meaning = translate(Bytes::from(body), "main");
        assert!(matches!(meaning, Err(Rejection::Malformed { .. })), "{body}");
    }
    let bytes = Bytes::from_static(b"{\"action\": \"\xff\"}");
    assert!(matches!(translate(bytes, "main"), Err(Rejection::Malformed { .. })));
}

#[test]
fn the_commit_is_a_reference_and_a_commit_only_if_it_is_an_id() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    for (commit, found) in [("main", ""), ("", ""), ("0123", ""), (id, id)] {
        let Ok(Meaning::Events(events)) = translate(acr("push").to_string().into(), commit) else {
            panic!("no event")
        };
        let event = &events[0];
        assert_eq!(event.revision.reference, commit);
        assert_eq!(event.revision.commit, found);
    }
}

#[test]
fn a_body_sent_for_two_commits_is_two_events() {
    let identity = |commit: &str| match translate(acr("push").to_string().into(), commit) {
        Ok(Meaning::Events(mut events)) => events.remove(0).identity,
        other => panic!("no event: {other:?}"),
    };
    assert_eq!(identity("main"), identity("main"));
    assert_ne!(identity("main"), identity("next"));
}

#[test]
fn bodies_that_do_not_differ_from_push_to_push_are_all_new() {
    let mut hub = docker_hub();
    assert_ne!(event(&hub).identity, Identity::Fresh);
    hub["push_data"].as_object_mut().unwrap().remove("pushed_at");
    assert_eq!(event(&hub).identity, Identity::Fresh);
    let mut azure = acr("push");
    azure.as_object_mut().unwrap().remove("timestamp");
    assert_ne!(event(&azure).identity, Identity::Fresh);
    azure.as_object_mut().unwrap().remove("id");
    assert_eq!(event(&azure).identity, Identity::Fresh);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>, commit: String) {
        let _any = translate(bytes.into(), &commit);
    }

    #[test]
    fn no_members_make_the_parsers_panic(
        member in "(id|timestamp|target|push_data|repository|request|action|type|occur_at|\
                   event_data|updated_tags|docker_url|events|package|sender)",
        json in r#"(null|true|-?[0-9]{1,20}|1e400|"[a-z]{0,5}"|\{\}|\[\]|\{"tag":[0-9]\})"#,
    ) {
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        for body in [
            acr("push"),
            docker_hub(),
            harbor("PUSH_ARTIFACT"),
            json!({"events": [notification("push", manifest, "")]}),
            json!({"updated_tags": ["1"], "docker_url": "quay.io/a/b", "repository": "a/b"}),
            json!({"action": "created", "package": {"type": "container"}, "sender": {}}),
        ] {
            let text = body.to_string();
            let value = body.get(&member).map(Value::to_string).unwrap_or("never".to_owned());
            let _any = translate(text.replace(&value, &json).into(), "main");
        }
    }
}

/// As EventBridge tells of it.
fn ecr(action: &str, result: &str) -> Value {
    json!({
        "version": "0",
        "id": "13cde686-328b-6117-af20-0e5566167482",
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": "123456789012",
        "time": "2026-03-01T10:00:00Z",
        "region": "eu-north-1",
        "resources": [],
        "detail": {
            "result": result,
            "repository-name": "team/app",
            "image-digest": "sha256:8a2f",
            "action-type": action,
            "image-tag": "1.0",
        },
    })
}

#[test]
fn eventbridge_tells_of_amazon_s_registry() {
    check(
        ecr("PUSH", "SUCCESS"),
        expect![[r#"
            ecr image_push
            {"registry":"123456789012.dkr.ecr.eu-north-1.amazonaws.com","repository":"team/app","tag":"1.0","digest":"sha256:8a2f"}
            team/app:1.0 | 123456789012.dkr.ecr.eu-north-1.amazonaws.com/team/app:1.0
            2026-03-01T10:00:00Z"#]],
    );
    assert_eq!(event(&ecr("DELETE", "SUCCESS")).kind, "image_delete");
    let pushed = event(&ecr("PUSH", "SUCCESS"));
    assert_eq!(pushed.identity, event(&ecr("PUSH", "SUCCESS")).identity);
    for body in [ecr("PUSH", "FAILURE"), json!({"source": "aws.ecr", "detail": [1]})] {
        assert!(matches!(meaning(&body), Ok(Meaning::Ignored { .. })), "{body}");
    }
}
