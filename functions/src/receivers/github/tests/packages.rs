//! What GitHub's events of packages mean.

use super::*;

fn package(member: &str, action: &str, package: Value) -> Value {
    json!({"action": action, member: package, "repository": repository()})
}

fn container(tag: Value) -> Value {
    json!({
        "name": "app",
        "namespace": "ocean",
        "ecosystem": "CONTAINER",
        "package_type": "CONTAINER",
        "package_version": {
            "id": 77,
            "version": "sha256:aa",
            "package_url": "ghcr.io/Ocean/app:1.0",
            "container_metadata": {"tag": tag, "manifest": {"digest": "sha256:aa"}},
        },
    })
}

/// The image of a push, and what tells it from another.
fn pushed(name: &str, body: &Value) -> (String, Identity) {
    let Ok(Meaning::Event(translated)) = meaning(name, body) else { panic!("no event") };
    let event = translated.event;
    assert_eq!((event.provider.as_str(), event.kind.as_str()), ("ghcr", "image_push"));
    assert_eq!((event.action, &event.payload), (None, &Bytes::from(body.to_string())));
    assert_eq!(event.revision.reference, "refs/heads/main");
    (event.image.unwrap().reference(), event.identity)
}

#[test]
fn a_package_and_a_registry_package_of_one_push_are_one_event() {
    let tag = || json!({"name": "1.0", "digest": "sha256:aa"});
    let package = |member: &str, action: &str, tag| package(member, action, container(tag));
    let one = pushed("package", &package("package", "published", tag()));
    let same = pushed("registry_package", &package("registry_package", "published", tag()));
    assert_eq!(one, same);
    assert_eq!(one.0, "ghcr.io/ocean/app:1.0");
    let updated = pushed("package", &package("package", "updated", tag()));
    let other = pushed("package", &package("package", "published", json!({"name": "1.1"})));
    assert_eq!((&updated.0, other.0.as_str()), (&one.0, "ghcr.io/ocean/app:1.1"));
    assert!(one.1 != updated.1 && one.1 != other.1);
}

#[test]
fn a_tag_that_comes_back_to_a_version_is_another_push() {
    let pushed = |member: &str, id: u64, updated: &str| {
        let mut body = container(json!({"name": "latest"}));
        body["package_version"]["id"] = json!(id);
        body["updated_at"] = json!(updated);
        pushed(member, &package(member, "published", body)).1
    };
    let (noon, one) = ("2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z");
    let first = pushed("package", 77, noon);
    assert_ne!(first, pushed("package", 78, "2026-03-01T12:30:00Z"));
    assert_ne!(first, pushed("package", 77, one));
    assert_eq!(first, pushed("registry_package", 77, noon));
    // Where nothing says when, nothing tells them apart.
    let unknown = "0001-01-01T00:00:00Z";
    assert_eq!(pushed("package", 77, unknown), Identity::Content("77 latest published".into()));
}

#[test]
fn an_image_is_named_by_whatever_its_body_says() {
    let image =
        |package_body: Value| pushed("package", &package("package", "published", package_body)).0;
    for (url, tag, version, expected) in [
        ("ghcr.io/o/a:1", json!({"name": "1"}), "sha256:aa", "ghcr.io/o/a:1"),
        // Of a push for several platforms, the manifests for each have no tag.
        ("ghcr.io/o/a:", json!({"name": ""}), "sha256:aa", "ghcr.io/o/a@sha256:aa"),
        ("ghcr.io/o/a:", Value::Null, "sha256:aa", "ghcr.io/o/a@sha256:aa"),
        ("ghcr.io/o/a@sha256:aa", json!({}), "sha256:aa", "ghcr.io/o/a@sha256:aa"),
        ("ghcr.io/o/a:2", Value::Null, "1", "ghcr.io/o/a:2"),
        ("https://containers.acme.com/o/a:1", Value::Null, "", "containers.acme.com/o/a:1"),
        ("host:5000/o/a", json!({"name": "1"}), "", "host:5000/o/a:1"),
        ("", json!({"name": "1"}), "sha256:aa", "ghcr.io/ocean/app:1"),
        ("", Value::Null, "", "ghcr.io/ocean/app"),
    ] {
        let mut body = container(tag.clone());
        body["package_version"]["package_url"] = json!(url);
        body["package_version"]["version"] = json!(version);
        assert_eq!(image(body), expected, "{url} {tag}");
    }
    // Without a namespace, or with a path for one, its owner is whose it is.
    for namespace in [Value::Null, json!("Ocean/app")] {
        let owner = json!({"login": "Ocean"});
        let version = json!({"name": "v1", "container_metadata": {}});
        let body = json!({
            "name": "App",
            "namespace": namespace,
            "owner": owner,
            "package_type": "container",
            "package_version": version,
        });
        assert_eq!(image(body), "ghcr.io/ocean/app:v1");
    }
}

#[test]
fn only_containers_are_images() {
    for (kind, ecosystem, metadata, is_image) in [
        (json!("container"), json!(null), json!(null), true),
        (json!("Docker"), json!(null), json!(null), true),
        (json!(null), json!("CONTAINER"), json!(null), true),
        (json!("npm"), json!("docker"), json!({}), true),
        (json!("npm"), json!("docker"), json!(null), false),
        (json!("maven"), json!(null), json!(null), false),
        (json!(null), json!(null), json!(null), false),
    ] {
        let version = json!({"id": 1, "container_metadata": metadata});
        let body = json!({
            "name": "app",
            "namespace": "ocean",
            "package_type": kind,
            "ecosystem": ecosystem,
            "package_version": version,
        });
        let body = package("package", "published", body);
        let found = matches!(meaning("package", &body), Ok(Meaning::Event(_)));
        assert_eq!(found, is_image, "{kind} {ecosystem} {metadata}");
        // Who asks for packages gets those that are none of images.
        let asked = meaning_with(
            &Settings::default(),
            "{events: package}",
            "package",
            body.to_string().into(),
        );
        let Ok(Meaning::Event(asked)) = asked else { panic!("not built") };
        assert_eq!(asked.event.kind, if is_image { "image_push" } else { "package" });
    }
}

#[test]
fn what_is_nothing_to_pull_is_ignored_and_says_why() {
    let shown = |action: &str, body: Value| shown("package", &package("package", action, body));
    assert_eq!(
        shown("deleted", container(Value::Null)),
        "ignored: the action `deleted` of a container is not built"
    );
    let nameless = json!({"package_type": "container", "owner": {"login": "ocean"}});
    let reason = "ignored: the package is a container and has no name to pull it by";
    assert_eq!(shown("published", nameless), reason);
    let mut endless = container(Value::Null);
    endless["package_version"]["package_url"] = json!(format!("ghcr.io/o/{}", "a".repeat(2000)));
    assert_eq!(shown("published", endless), reason);
    let npm = json!({"name": "app", "package_type": "npm"});
    assert_eq!(
        shown("published", npm),
        "ignored: the package is no container image, its type is `npm`"
    );
}
