//! Tests of builds and of their ids.

use expect_test::expect;
use proptest::prelude::{any, proptest};

use super::*;
use crate::event::{Identity, Image};
use crate::project::values;

#[test]
fn the_same_delivery_is_the_same_build() {
    let one = build(push("body", Some("2024-01-01T00:00:00Z")));
    let two = build(push("body", Some("2024-01-01T00:00:00Z")));
    assert_eq!(one.id, two.id);
    assert_eq!(one.id.to_string(), "01hk153x00gfn4xkrcz8tf0kbk");
}

#[test]
fn another_body_provider_type_or_project_is_another_build() {
    let one = build(push("body", None)).id;
    let other_body = build(push("body ", None)).id;
    let other_provider = build(Event { provider: "acr".into(), ..push("body", None) }).id;
    // The parts are told apart: moving a letter from one to the next is another event.
    let other_parts =
        build(Event { provider: "githu".into(), kind: "bpush".into(), ..push("body", None) });
    let (project, _) = values::read("project: acme/other", "default").unwrap();
    let other_project = Build::new(&project, push("body", None), Timestamp::UNIX_EPOCH).id;
    let ids = [one, other_body, other_provider, other_parts.id, other_project];
    assert_eq!(std::collections::BTreeSet::from(ids).len(), 5);
}

#[test]
fn what_a_header_says_after_a_colon_makes_no_other_build() {
    let of = |kind: &str| build(Event { kind: kind.into(), ..push("body", None) }).id;
    assert_eq!(of("pullrequest:created"), of("pullrequest:updated"));
    assert_eq!(of("pullrequest:created"), of("pullrequest"));
    assert_ne!(of("pullrequest:created"), of("issue:created"));
}

#[test]
fn a_build_is_named_by_the_time_of_its_event_not_of_its_delivery() {
    let event = push("body", Some("2024-01-01T00:00:00Z"));
    let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(9_999_999).unwrap());
    assert_eq!(
        Build::new(&project(), event.clone(), now).id,
        Build::new(&project(), event, later).id
    );
    let timeless = push("body", None);
    assert_eq!(
        Build::new(&project(), timeless.clone(), now).id,
        Build::new(&project(), timeless, later).id
    );
}

#[test]
fn a_fresh_event_is_a_new_build_every_time() {
    let event = Event { identity: Identity::Fresh, ..push("body", None) };
    assert_ne!(build(event.clone()).id, build(event).id);
}

#[test]
fn a_senders_absurd_time_is_no_time() {
    for time in ["-000001-01-01T00:00:00Z", "1960-01-01T00:00:00Z"] {
        assert!(build(push("body", Some(time))).id.to_string().starts_with("0000000000"));
    }
    assert_eq!(build(push("body", Some("9999-12-30T00:00:00Z"))).id.to_string().len(), 26);
}

#[test]
fn an_id_is_what_pods_can_be_named_after() {
    let id = build(push("body", None)).id;
    assert_eq!(BuildId::parse(&id.to_string()).unwrap(), id);
    assert_eq!(BuildId::parse(&format!("brigade-worker-{id}")).unwrap(), id);
    let longest = "a".repeat(63);
    for text in ["0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f", "nightly-1.2", "7", &longest] {
        assert_eq!(BuildId::parse(text).unwrap().to_string(), text);
    }
    let upper = id.to_string().to_uppercase();
    let too_long = "a".repeat(64);
    for text in ["", "-", "a-", "-a", "a..b", "a.-b", "a_b", "a b", "a/b", "é", "a\n", "a\0b"]
        .into_iter()
        .chain([upper.as_str(), too_long.as_str()])
    {
        assert!(BuildId::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn only_ids_of_ours_tell_a_time() {
    let ours = build(push("body", Some("2024-01-01T00:00:00Z"))).id;
    assert_eq!(ours.time(), Some(1_704_067_200_000));
    assert_eq!(build(push("body", None)).id.time(), None);
    for other in ["0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f", "oooooooooooooooooooooooooo", "7"] {
        assert_eq!(BuildId::parse(other).unwrap().time(), None, "{other}");
    }
}

#[test]
fn ids_that_nobody_chose_are_known() {
    let ours = build(push("body", Some("2024-01-01T00:00:00Z"))).id.to_string();
    assert!(BuildId::is_made(&ours) && BuildId::is_made("0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f"));
    for text in ["", "x", "5f6d8c7b9-x2x4z", "0c5b6f1e-3f0a-4bd6-9e0f", &ours.to_uppercase()] {
        assert!(!BuildId::is_made(text), "{text}");
    }
}

#[test]
fn ids_sort_by_the_times_of_their_events() {
    let id = |time: &str| build(push("body", Some(time))).id;
    let mut ids =
        [id("2024-01-02T00:00:00Z"), id("2023-12-31T00:00:00Z"), id("2024-01-01T00:00:00Z")];
    ids.sort();
    assert!(ids.windows(2).all(|pair| pair[0].time() < pair[1].time()));
}

#[test]
fn a_build_survives_its_secret() {
    let event = Event {
        action: Some("opened".into()),
        alias: Some("pr".into()),
        revision: Revision { commit: "abc".into(), reference: "refs/heads/main".into() },
        clone_url: Some("https://example.com/x.git".into()),
        short_title: "PR #1".into(),
        long_title: "PR #1: é".into(),
        image: Some(Image { repository: "app".into(), ..Image::default() }),
        script: Some("console.log(1)".into()),
        log_level: LogLevel::Warn,
        ..push("body", None)
    };
    let build = build(event.clone());
    let again = Build::from_secret(&build.secret().unwrap()).unwrap();
    assert_eq!(again.event, Event { identity: Identity::Fresh, ..event });
    assert_eq!(again.fires(), ["push", "push:opened", "pr"]);
    assert_eq!((again.id, again.project, again.accepted), (build.id, build.project, false));
}

#[test]
fn a_builds_secret_is_brigades() {
    let secret = build(push("{}", None)).secret().unwrap();
    let mut json = serde_json::to_value(&secret).unwrap();
    for value in json["data"].as_object_mut().unwrap().values_mut() {
        let ByteString(bytes) = serde_json::from_value(value.clone()).unwrap();
        *value = String::from_utf8(bytes).unwrap().into();
    }
    expect![[r#"
        {
          "apiVersion": "v1",
          "data": {
            "build_id": "brigade-worker-00000000003r4as6vrargnw7yp",
            "build_name": "brigade-worker-00000000003r4as6vrargnw7yp",
            "clone_url": "",
            "commit_id": "",
            "commit_ref": "",
            "config": "",
            "event_provider": "github",
            "event_type": "push",
            "log_level": "LOG",
            "long_title": "",
            "payload": "{}",
            "project_id": "brigade-00",
            "script": "",
            "short_title": ""
          },
          "kind": "Secret",
          "metadata": {
            "labels": {
              "build": "00000000003r4as6vrargnw7yp",
              "component": "build",
              "heritage": "brigade",
              "project": "brigade-00"
            },
            "name": "brigade-worker-00000000003r4as6vrargnw7yp",
            "namespace": "default"
          },
          "type": "brigade.sh/build"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn a_large_payload_is_compressed_and_a_larger_one_refused() {
    let large = build(push(&"a".repeat(SECRET_LIMIT + 1), None));
    let secret = large.secret().unwrap();
    assert_eq!(secret.metadata.annotations.as_ref().unwrap()[annotation::PAYLOAD_ENCODING], "gzip");
    assert!(secret.data.as_ref().unwrap()["payload"].0.len() < 10_000);
    assert_eq!(Build::from_secret(&secret).unwrap().event.payload, large.event.payload);

    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(SECRET_LIMIT * 2).collect();
    let event = Event::new("github", "push", noise);
    assert!(matches!(build(event).secret(), Err(BuildError::TooLarge { .. })));
}

#[test]
fn a_damaged_payload_is_an_error() {
    let mut secret = build(push(&"a".repeat(SECRET_LIMIT + 1), None)).secret().unwrap();
    secret.data.as_mut().unwrap().insert("payload".into(), ByteString(b"not gzip".to_vec()));
    assert!(matches!(Build::from_secret(&secret), Err(BuildError::Payload(_))));
}

#[test]
fn a_build_made_by_hand_is_read() {
    let secret: Secret = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "brigade-worker-01hk153x00m4q4bjg1fjsdy6gm", "labels": {
            "build": "01hk153x00m4q4bjg1fjsdy6gm", "project": "brigade-00", "component": "build"}},
        "type": "brigade.sh/build",
        "stringData": {"event_type": "exec", "event_provider": "brigade-cli", "script": "1"},
    }))
    .unwrap();
    let build = Build::from_secret(&secret).unwrap();
    assert_eq!((build.event.kind.as_str(), build.event.script.as_deref()), ("exec", Some("1")));
}

#[test]
fn a_build_as_brigades_documentation_makes_one_is_read() {
    // `base64 <<<"my_event"` encodes the end of the line, too.
    let secret: Secret = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "simple-event-0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f", "labels": {
            "heritage": "brigade", "project": "brigade-00", "component": "build",
            "build": "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f"}},
        "type": "brigade.sh/build",
        "stringData": {
            "event_provider": "simple-event\n", "event_type": "my_event\n", "payload": "Mon\n",
            "commit_ref": "master\n", "build_id": "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f\n",
        },
    }))
    .unwrap();
    let build = Build::from_secret(&secret).unwrap();
    assert_eq!(build.id.to_string(), "0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f");
    assert_eq!(build.name(), "simple-event-0c5b6f1e-3f0a-4bd6-9e0f-6a3b1d2c4e5f");
    assert_eq!(
        (build.event.provider.as_str(), build.event.kind.as_str()),
        ("simple-event", "my_event")
    );
    assert_eq!(
        (build.event.revision.reference.as_str(), &build.event.payload[..]),
        ("master", &b"Mon\n"[..])
    );
    let head = Head::of(&secret.metadata).unwrap();
    assert_eq!((head.id, head.name()), (build.id, build.name()));
    let again = Build::from_secret(&build.secret().unwrap()).unwrap();
    assert_eq!((again.name(), again.event), (build.name(), build.event));
}

#[test]
fn what_a_build_does_not_say_is_as_in_brigade() {
    let secret: Secret = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "x", "labels": {"build": "x", "project": "brigade-00"}},
        "type": "brigade.sh/build",
    }))
    .unwrap();
    let event = Build::from_secret(&secret).unwrap().event;
    assert_eq!((event.kind.as_str(), event.provider.as_str()), ("ping", "unknown"));
    assert_eq!((event.log_level, event.revision), (LogLevel::Log, Revision::default()));
    for labels in
        [serde_json::json!({"project": "p"}), serde_json::json!({"build": "x", "project": ""})]
    {
        let mut secret = secret.clone();
        secret.metadata.labels = serde_json::from_value(labels).unwrap();
        assert!(matches!(Build::from_secret(&secret), Err(BuildError::Label(_))));
        assert!(matches!(Head::of(&secret.metadata), Err(BuildError::Label(_))));
    }
}

proptest! {
    #[test]
    fn every_id_is_26_characters_that_name_objects(body: Vec<u8>, seconds in any::<i32>()) {
        let time = Timestamp::from_second(seconds.into()).ok();
        let id = build(Event { time, ..push(&hex::encode(body), None) }).id.to_string();
        assert!(id.len() == 26 && id.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()));
    }
}

fn project() -> Project {
    let (mut project, _) = values::read("project: acme/app", "default").unwrap();
    project.id = "brigade-00".to_owned();
    project
}

fn build(event: Event) -> Build {
    Build::new(&project(), event, Timestamp::UNIX_EPOCH)
}

fn push(body: &str, time: Option<&str>) -> Event {
    Event {
        identity: Identity::Content(Bytes::copy_from_slice(body.as_bytes())),
        time: time.map(|time| time.parse().unwrap()),
        ..Event::new("github", "push", body.to_owned())
    }
}
