//! What deliveries of Event Grid mean, in bodies of our own, in the documented forms.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::Event;
use serde_json::{Value, json};

use super::translation::{Meaning, translate};
use super::*;

fn of_event_grid(kind: &str, data: Value) -> Value {
    json!({
        "id": "4d96b1d4-0001",
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/Ocean",
        "subject": "team/app:1.0",
        "eventType": kind,
        "eventTime": "2026-03-01T10:00:00.1234567Z",
        "data": data,
        "dataVersion": "",
        "metadataVersion": "1",
    })
}

fn of_cloudevents(kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": "4d96b1d4-0001",
        "source": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/Ocean",
        "subject": "team/app:1.0",
        "type": kind,
        "time": "2026-03-01T10:00:00.1234567Z",
        "data": data,
    })
}

fn push() -> Value {
    json!({
        "action": "push",
        "target": {"repository": "team/app", "tag": "1.0", "digest": "sha256:8a2f"},
        "request": {"host": "ocean.azurecr.io"},
    })
}

fn several(body: &str) -> Result<Vec<Result<Event, Rejection>>, Rejection> {
    match translate(body.as_bytes())? {
        Meaning::Events(events) => Ok(events),
        other => panic!("not events: {other:?}"),
    }
}

fn one(body: &Value) -> Event {
    let [event] = <[_; 1]>::try_from(several(&body.to_string()).unwrap()).unwrap();
    event.unwrap()
}

fn check(body: &Value, expected: Expect) {
    let event = one(body);
    let image = event.image.map(|image| serde_json::to_string(&image).unwrap());
    let time = event.time.map(|time| time.to_string());
    expected.assert_eq(&format!(
        "{} {} {}\n{}\n{}@{}\n{} | {}\n{}",
        event.provider,
        event.kind,
        event.alias.unwrap_or_default(),
        image.unwrap_or_default(),
        event.revision.reference,
        event.revision.commit,
        event.short_title,
        event.long_title,
        time.unwrap_or_default(),
    ));
}

#[test]
fn an_event_of_a_registry_has_its_image_and_a_second_name() {
    check(
        &json!([of_event_grid("Microsoft.ContainerRegistry.ImagePushed", push())]),
        expect![[r#"
            eventgrid Microsoft.ContainerRegistry.ImagePushed image_push
            {"registry":"ocean.azurecr.io","repository":"team/app","tag":"1.0","digest":"sha256:8a2f"}
            master@HEAD
            team/app:1.0 | ocean.azurecr.io/team/app:1.0
            2026-03-01T10:00:00.1234567Z"#]],
    );
    let mut chart = push();
    chart.as_object_mut().unwrap().remove("request");
    check(
        &of_cloudevents("Microsoft.ContainerRegistry.ChartDeleted", chart),
        expect![[r#"
            cloudevents Microsoft.ContainerRegistry.ChartDeleted chart_delete
            {"registry":"ocean.azurecr.io","repository":"team/app","tag":"1.0","digest":"sha256:8a2f"}
            master@
            team/app:1.0 | ocean.azurecr.io/team/app:1.0
            2026-03-01T10:00:00.1234567Z"#]],
    );
    for data in [json!(null), json!("text"), json!({"target": 7}), json!([1])] {
        let event = one(&of_event_grid("Microsoft.ContainerRegistry.ImageDeleted", data));
        assert_eq!((event.image, event.alias.as_deref()), (None, Some("image_delete")));
    }
}

#[test]
fn an_event_of_anything_else_has_its_type_and_its_data() {
    for data in [json!({"url": "x"}), json!("text"), json!(7), json!([1, true]), json!(null)] {
        let event = of_event_grid("Microsoft.Storage.BlobCreated", data);
        let read = one(&json!([event]));
        assert_eq!(read.kind, "Microsoft.Storage.BlobCreated");
        assert_eq!((read.alias, read.image), (None, None));
        assert_eq!(read.payload, event.to_string(), "the event without its array");
    }
}

#[test]
fn the_first_cloudevents_are_read_as_brigades_gateway_did() {
    let event = json!({
        "cloudEventsVersion": "0.1",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTypeVersion": "",
        "source": "/subscriptions/s#blob",
        "eventID": "173d9985",
        "eventTime": "2026-03-01T10:00:00Z",
        "data": {"url": "x"},
    });
    check(
        &event,
        expect![[r#"
            cloudevents Microsoft.Storage.BlobCreated 

            master@
            Microsoft.Storage.BlobCreated | Microsoft.Storage.BlobCreated: /subscriptions/s#blob
            2026-03-01T10:00:00Z"#]],
    );
    let mut other = event;
    other["cloudEventsVersion"] = json!("0.2");
    assert!(several(&other.to_string()).unwrap()[0].is_err());
}

#[test]
fn events_are_told_apart_by_their_topic_their_subject_and_their_id() {
    let identity = |key: &str, value: &str| {
        let mut event = of_event_grid("a", json!(1));
        event[key] = json!(value);
        one(&event).identity
    };
    assert_eq!(identity("dataVersion", "a"), identity("dataVersion", "b"));
    assert_ne!(identity("subject", "a"), identity("subject", "b"));
    assert_ne!(identity("id", "a"), identity("id", "b"));
    assert_ne!(identity("topic", "a"), identity("topic", "b"));
}

#[test]
fn what_is_no_event_does_not_keep_others_from_being_events() {
    let good = of_event_grid("a", json!(1));
    let mut nameless = good.clone();
    nameless.as_object_mut().unwrap().remove("id");
    let mut typeless = good.clone();
    typeless["eventType"] = json!("");
    let body = json!([good, nameless, 7, typeless, of_cloudevents("b", json!({}))]).to_string();
    let good: Vec<bool> = several(&body).unwrap().iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false, false, true]);
}

#[test]
fn bodies_that_are_no_delivery_are_malformed() {
    let misspelt = of_cloudevents("a", json!({})).to_string().replace("specversion", "specVersion");
    for body in ["", "7", "[", "{", "null", "[{]", "{}", &misspelt] {
        let read = several(body).and_then(|mut events| events.remove(0));
        assert!(matches!(read, Err(Rejection::Malformed { .. })), "{body}: {read:?}");
    }
    assert!(translate(b"[\"\xff\"]").is_err());
    assert!(several("[]").unwrap().is_empty());
    let many = format!("[{}7]", "7,".repeat(5000));
    assert!(matches!(translate(many.as_bytes()), Err(Rejection::TooLarge { .. })));
}

#[test]
fn only_the_code_of_a_validation_is_told() {
    let validation = |data: Value| {
        let body = json!([of_event_grid("Microsoft.EventGrid.SubscriptionValidationEvent", data)]);
        translate(body.to_string().as_bytes())
    };
    let url = "http://169.254.169.254/";
    let read = validation(json!({"validationCode": "512d38b6", "validationUrl": url}));
    assert!(matches!(read, Ok(Meaning::Validation { code }) if code == "512d38b6"));
    for data in [json!({}), json!(null), json!({"validationCode": "a b"})] {
        assert!(validation(data).is_err());
    }
    assert!(validation(json!({"validationCode": "x".repeat(257)})).is_err());
    let deleted = of_event_grid("Microsoft.EventGrid.SubscriptionDeletedEvent", json!({}));
    let read = translate(json!([deleted]).to_string().as_bytes());
    assert!(matches!(read, Ok(Meaning::Ignored { .. })));
    // Only the type counts, wherever else the word stands.
    let quoted = of_event_grid("a", json!("Microsoft.EventGrid.SubscriptionValidationEvent"));
    assert_eq!(one(&quoted).kind, "a");
}

#[test]
fn what_is_said_of_the_subscription_does_not_hide_other_events() {
    let of_it = |kind: &str| {
        let kind = format!("Microsoft.EventGrid.Subscription{kind}Event");
        of_event_grid(&kind, json!({"validationCode": "512d38b6"}))
    };
    let pushed = of_event_grid("Microsoft.ContainerRegistry.ImagePushed", push());
    for kind in ["Deleted", "Validation"] {
        let event = one(&json!([of_it(kind), pushed, of_it(kind)]));
        assert_eq!(event.alias.as_deref(), Some("image_push"), "{kind}");
        let none = several(&json!([of_it(kind), of_it(kind)]).to_string()).unwrap();
        assert!(none.is_empty(), "{kind}: {none:?}");
    }
    let mut codeless = of_it("Validation");
    codeless["data"] = Value::Null;
    assert_eq!(one(&json!([codeless, pushed])).payload, pushed.to_string());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _any = translate(&bytes);
    }

    #[test]
    fn no_members_make_the_parser_panic(
        member in "(id|topic|subject|eventType|eventTime|data|specversion|cloudEventsVersion|eventID)",
        value in r#"(null|true|-?[0-9]{1,20}|1e400|"[a-z0-9é/]{0,9}"|\{\}|\[\]|\{"target":[0-9]\})"#,
    ) {
        let kind = "Microsoft.ContainerRegistry.ImagePushed";
        for event in [of_event_grid(kind, push()), of_cloudevents(kind, push())] {
            let rest = event.to_string();
            let _any = translate(format!("[{{\"{member}\":{value},{}]", &rest[1..]).as_bytes());
            let mut event = event;
            event[&member] = serde_json::from_str(&value).unwrap_or(json!(0));
            let _any = translate(event.to_string().as_bytes());
        }
    }
}
