//! What deliveries of Kubernetes mean, in bodies of our own, in the documented forms.

use proptest::prelude::*;
use runtime::event::{Event, Identity};
use runtime::project::values;
use serde_json::{Value, json};

use super::translation::{Delivery, Happened, Taken};
use super::*;

fn project(filters: &str) -> Project {
    let yaml =
        format!("project: ocean/brig\nnamespace: builds\nkubernetes: {{eventFilters: {filters}}}");
    values::read(&yaml, "default").unwrap().0
}

fn event() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.17706", "namespace": "shop", "uid": "u-1"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1"},
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "lastTimestamp": "2026-03-01T10:00:00Z",
        "count": 3,
    })
}

/// The same Event, as the other group has it.
fn regarding() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "web-1.17706", "namespace": "shop", "uid": "u-1"},
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-1"},
        "reason": "BackOff",
        "note": "Back-off restarting failed container",
        "deprecatedLastTimestamp": "2026-03-01T10:00:00Z",
        "deprecatedCount": 3,
    })
}

fn taken(event: &Value, filters: &str) -> Taken {
    Happened::read(&event.to_string()).unwrap().taken(&project(filters))
}

fn made(event: &Value) -> Event {
    match taken(event, "[{action: accept}, {action: reject}]") {
        Taken::Event(event) => *event,
        Taken::Not(reason) => panic!("{reason}"),
    }
}

fn not(event: &Value, filters: &str) -> String {
    match taken(event, filters) {
        Taken::Event(event) => panic!("{event:?}"),
        Taken::Not(reason) => reason,
    }
}

#[test]
fn an_event_is_the_same_in_both_groups() {
    let (one, other) = (made(&event()), made(&regarding()));
    assert_eq!((one.provider.as_str(), one.kind.as_str()), ("k8s-gateway", "Pod:BackOff"));
    assert_eq!(one.revision.reference, "refs/heads/master");
    assert_eq!(one.payload, event().to_string());
    assert_eq!(
        (&one.identity, one.time, &one.long_title),
        (&other.identity, other.time, &other.long_title)
    );
}

#[test]
fn an_event_that_happens_again_is_another() {
    let identity = |change: fn(&mut Value)| {
        let mut event = event();
        change(&mut event);
        made(&event).identity
    };
    let first = identity(|_| {});
    assert_eq!(first, identity(|event| event["message"] = json!("x")));
    assert_ne!(first, identity(|event| event["count"] = json!(4)));
    assert_ne!(first, identity(|event| event["series"] = json!({"count": 4})));
    assert_ne!(first, identity(|event| event["metadata"]["uid"] = json!("u-2")));
    assert_eq!(identity(|event| event["metadata"] = json!({})), Identity::Fresh);
    let named = identity(|event| event["metadata"]["uid"] = Value::Null);
    assert_ne!((&named, &named), (&first, &Identity::Fresh));
}

#[test]
fn the_filter_that_decides_is_named() {
    assert_eq!(not(&event(), "[]"), "the project has no kubernetes.eventFilters, and takes none");
    let filters = "[{kind: Node, action: accept}, {reasons: [BackOff], action: reject}]";
    assert_eq!(not(&event(), filters), "filter 2 rejects Pod:BackOff in `shop`");
    assert_eq!(
        not(&event(), "[{kind: Node, action: accept}]"),
        "no filter is about Pod:BackOff in `shop`"
    );
}

#[test]
fn what_builds_do_is_never_built() {
    let ulid = "01hk153x00m4q4bjg1fjsdy6gm";
    let uuid = "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f";
    let cache = format!("{}-app-cache", runtime::project::id_of("ocean/brig"));
    let own = [
        format!("brigade-worker-{ulid}"),
        format!("test-{ulid}"),
        format!("test-{uuid}"),
        ulid.to_owned(),
        cache,
    ];
    for name in &own {
        let mut event = event();
        event["involvedObject"]["name"] = json!(name);
        let reason = not(&event, "[{namespace: shop, action: accept}]");
        assert_eq!(reason, format!("`{name}` is a build's own"));
    }
    let mut labelled = event();
    labelled["involvedObject"]["labels"] = json!({"heritage": "brigade"});
    assert!(not(&labelled, "[{action: accept}]").ends_with("is a build's own"));
    for name in ["web-5f6d8c7b9-x2x4z", "crashpod-f9b59484-7828f", "é".repeat(30).as_str(), ""] {
        let mut event = event();
        event["involvedObject"]["name"] = json!(name);
        made(&event);
    }
}

#[test]
fn a_volume_that_is_named_after_an_id_is_not_a_builds_own() {
    let filters = "[{action: accept}]";
    let about = |kind: &str| {
        let mut event = event();
        let name = "pvc-0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f";
        event["involvedObject"] = json!({"kind": kind, "name": name});
        taken(&event, filters)
    };
    let Taken::Event(event) = about("PersistentVolume") else { panic!("a cluster's volume") };
    assert_eq!(event.kind, "PersistentVolume:BackOff");
    for kind in ["Pod", "Secret", "PersistentVolumeClaim", "ConfigMap"] {
        assert!(matches!(about(kind), Taken::Not(_)), "{kind}");
    }
}

#[test]
fn the_namespace_of_builds_must_be_asked_for() {
    let mut event = event();
    event["involvedObject"]["namespace"] = json!("builds");
    for filters in ["[{action: accept}]", "[{namespace: '*', action: accept}]"] {
        let said = "builds are in the namespace `builds`, which filter 1 does not name";
        assert_eq!(not(&event, filters), said);
    }
    assert!(matches!(taken(&event, "[{namespace: builds, action: accept}]"), Taken::Event(_)));
}

fn review(change: impl FnOnce(&mut Value)) -> Value {
    let mut review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "kind": {"group": "", "version": "v1", "kind": "Event"},
            "operation": "CREATE", "object": event(), "oldObject": null, "dryRun": false,
        },
    });
    change(&mut review["request"]);
    review
}

/// What an API server's question comes to: the Event, or why there is none.
fn happened(review: &Value) -> Result<String, String> {
    let json = review.to_string();
    match Delivery::read(json.as_bytes()) {
        Ok(Delivery::Review(review)) => review.happened().map(str::to_owned),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_is_created_or_happens_again_has_happened() {
    assert_eq!(happened(&review(|_| {})), Ok(event().to_string()));
    assert_eq!(
        happened(&review(|request| request["dryRun"] = Value::Null)),
        Ok(event().to_string())
    );
    for (change, said) in [
        ((|request| request["dryRun"] = json!(true)) as fn(&mut Value), "a dry run has no effects"),
        (|request| request["operation"] = json!("DELETE"), "the operation is `DELETE`"),
        (|request| request["object"] = Value::Null, "there is no object in `CREATE`"),
        (
            |request| request["kind"]["kind"] = json!("Pod"),
            "the object is of the kind `Pod`, not Event",
        ),
        (|request| request["kind"] = Value::Null, "the object is of the kind ``, not Event"),
    ] {
        assert_eq!(happened(&review(change)), Err(said.to_owned()));
    }
    let updated = |before: i64| {
        happened(&review(|request| {
            request["operation"] = json!("UPDATE");
            request["oldObject"] = event();
            request["oldObject"]["count"] = json!(before);
        }))
    };
    assert!(updated(2).is_ok());
    assert_eq!(updated(3), Err("the Event was changed, and has not happened again".to_owned()));
}

#[test]
fn what_cannot_be_answered_is_malformed() {
    let mut other = review(|_| {});
    other["apiVersion"] = json!("admission.k8s.io/v2");
    for body in [
        other,
        review(|request| request["uid"] = Value::Null),
        review(|request| request["uid"] = json!("")),
        review(|request| request["uid"] = json!("a\nb")),
        review(|request| request["uid"] = json!("x".repeat(129))),
        review(|request| request["dryRun"] = json!("no")),
        review(|request| *request = Value::Null),
        json!([event()]),
        json!("x"),
    ] {
        let body = body.to_string();
        let read = Delivery::read(body.as_bytes());
        assert!(matches!(read, Err(Rejection::Malformed { .. })), "{body}: {read:?}");
    }
    for json in ["{}", "[]", r#"{"reason": "x"}"#, r#"{"involvedObject": {"kind": "Pod"}}"#] {
        assert!(Happened::read(json).is_err(), "{json}");
    }
    assert!(Delivery::read(b"{\"\xff\": 1}").is_err());
}

#[test]
fn a_list_is_its_items() {
    let list = json!({"kind": "EventList", "items": [event(), regarding()]}).to_string();
    let Ok(Delivery::Several(items)) = Delivery::read(list.as_bytes()) else { panic!("list") };
    assert_eq!(items, [event().to_string(), regarding().to_string()]);
    let many = json!({"items": vec![0; 1001]}).to_string();
    assert!(matches!(Delivery::read(many.as_bytes()), Err(Rejection::TooLarge { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>, text: String) {
        let _any = Delivery::read(&bytes);
        let _any = Happened::read(&text);
    }

    #[test]
    fn no_members_make_the_parsers_panic(
        member in "(kind|metadata|involvedObject|regarding|reason|count|series|lastTimestamp|items|request)",
        value in r#"(null|true|-?[0-9]{1,20}|"[a-z0-9é-]{0,40}"|\{\}|\[\]|\{"name":"[a-zé]{20,30}","kind":"é"\})"#,
    ) {
        let mut event = event();
        event[&member] = serde_json::from_str(&value).unwrap_or(json!(0));
        let json = event.to_string();
        let _any = Delivery::read(json.as_bytes());
        if let Ok(happened) = Happened::read(&json) {
            let _any = happened.taken(&project("[{action: accept}]"));
        }
        let json = review(|request| request["object"] = event).to_string();
        if let Ok(Delivery::Review(review)) = Delivery::read(json.as_bytes()) {
            let _any = review.happened();
        }
    }
}
