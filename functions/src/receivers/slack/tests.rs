//! What Slack's deliveries mean, and what is said to them.

use axum::body::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::event::Event;
use serde_json::{Value, json};

use super::*;
use crate::host::Meaning;
use crate::tests::shown;

fn said(form: Form, body: impl Into<Bytes>) -> Result<Said, Rejection> {
    translate(form, body.into())
}

/// What is meant, and how it is answered.
fn check(form: Form, body: &str, expected: Expect) {
    let text = match said(form, body.to_owned()) {
        Ok(Said::Something { meaning, answer }) => format!("{}\n{answer:?}", shown(Ok(meaning))),
        other => format!("{other:?}"),
    };
    expected.assert_eq(&text);
}

fn event_of(form: Form, body: &str) -> Event {
    match said(form, body.to_owned()) {
        Ok(Said::Something { meaning: Meaning::Events(mut events), .. }) => events.remove(0).0,
        other => panic!("{other:?}"),
    }
}

fn callback(event: Value) -> String {
    json!({
        "token": "t", "team_id": "T1", "api_app_id": "A1", "type": "event_callback",
        "event_id": "Ev1", "event_time": 1_772_359_200, "event": event,
    })
    .to_string()
}

fn interaction(payload: &Value) -> String {
    serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap()
}

const COMMAND: &str = "token=x&team_id=T1&command=%2Fdeploy&text=app+%3Cnow%3E&trigger_id=1.2.3";

#[test]
fn a_command_is_named_without_its_slash_and_its_payload_is_json() {
    check(
        Form::Fields,
        COMMAND,
        expect![[r#"
            slash_command
            action deploy
            ref master
            short /deploy app <now>
            long /deploy app <now>
            Text"#]],
    );
    let event = event_of(Form::Fields, COMMAND);
    let payload: Value = serde_json::from_slice(&event.payload).unwrap();
    let expected = json!({
        "team_id": "T1", "command": "/deploy", "text": "app <now>", "trigger_id": "1.2.3",
    });
    assert_eq!(payload, expected);
    let again = event_of(Form::Fields, &COMMAND.replace("1.2.3", "1.2.4"));
    assert_ne!(event.identity, again.identity);
}

#[test]
fn an_interaction_is_named_by_what_was_used() {
    let action = json!({"type": "block_actions", "actions": [{"action_id": "approve"}]});
    check(
        Form::Fields,
        &interaction(&action),
        expect![[r#"
            block_actions
            action approve
            ref master
            Nothing"#]],
    );
    let view = json!({"type": "view_submission", "view": {"callback_id": "deploy"}});
    let event = event_of(Form::Fields, &interaction(&view));
    assert_eq!(event.action.as_deref(), Some("deploy"));
    assert_eq!(event.payload, view.to_string());
    let shortcut = json!({"type": "shortcut", "callback_id": "a b", "action_ts": "1772359200.123"});
    let event = event_of(Form::Fields, &interaction(&shortcut));
    assert_eq!(event.action, None);
    assert!(event.time.is_some());
    check(
        Form::Fields,
        &interaction(&json!({"type": "block_suggestion"})),
        expect![[r#"
            rare: block_suggestion
            Options"#]],
    );
}

#[test]
fn an_event_is_itself_however_often_it_comes() {
    let mention = callback(json!({"type": "app_mention", "text": "hi"}));
    check(
        Form::Json,
        &mention,
        expect![[r#"
            app_mention
            ref master
            time 2026-03-01T10:00:00Z
            Ours"#]],
    );
    let first = event_of(Form::Json, &mention);
    assert_eq!(first.payload, mention);
    let retried = event_of(Form::Json, &mention.replace("\"t\"", "\"another\""));
    assert_eq!(retried.identity, first.identity);
    let other = event_of(Form::Json, &mention.replace("Ev1", "Ev2"));
    assert_ne!(other.identity, first.identity);
    let shared =
        event_of(Form::Json, &callback(json!({"type": "message", "subtype": "file_share"})));
    assert_eq!((shared.kind.as_str(), shared.action.as_deref()), ("message", Some("file_share")));
}

#[test]
fn what_the_app_itself_said_makes_nothing() {
    let own = callback(json!({"type": "message", "subtype": "bot_message", "app_id": "A1"}));
    check(
        Form::Json,
        &own,
        expect![[r#"
            ignored: the app itself said this
            Ours"#]],
    );
    event_of(Form::Json, &own.replace("\"app_id\":\"A1\"", "\"app_id\":\"A2\""));
    for said in [
        json!({"message": {"app_id": "A1"}}),
        json!({"message": {"bot_profile": {"app_id": "A1"}}}),
        json!({"previous_message": {"app_id": "A1"}}),
        json!({"bot_profile": {"app_id": "A1"}}),
    ] {
        let mut event = json!({"type": "message", "subtype": "message_changed"});
        event.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let Ok(Said::Something { meaning, .. }) = self::said(Form::Json, callback(event)) else {
            panic!("{said}")
        };
        assert!(matches!(meaning, Meaning::Ignored { .. }), "{said}");
    }
}

#[test]
fn questions_about_the_address_are_no_events() {
    let question = json!({"type": "url_verification", "challenge": "c\"<"}).to_string();
    assert!(matches!(said(Form::Json, question), Ok(Said::Challenge(text)) if text == "c\"<"));
    let long = json!({"type": "url_verification", "challenge": "c".repeat(501)}).to_string();
    assert!(matches!(said(Form::Json, long), Err(Rejection::Malformed { .. })));
    assert!(matches!(said(Form::Fields, "ssl_check=1&token=x"), Ok(Said::Check)));
    let limited = json!({"type": "app_rate_limited"}).to_string();
    assert!(matches!(
        said(Form::Json, limited),
        Ok(Said::Something { meaning: Meaning::Ignored { .. }, .. })
    ));
}

#[test]
fn what_is_no_event_is_malformed() {
    for (form, body) in [
        (Form::Json, "{}x".to_owned()),
        (Form::Json, "[]".to_owned()),
        (Form::Json, callback(json!({"type": "a b"}))),
        (Form::Json, callback(json!("x"))),
        (Form::Fields, String::new()),
        (Form::Fields, "text=x".to_owned()),
        (Form::Fields, "payload=7".to_owned()),
        (Form::Fields, "payload=%7B%7D".to_owned()),
        (Form::Fields, "payload={}&payload={}".to_owned()),
        (Form::Fields, format!("command=x{}", "&a=b".repeat(FIELDS_TOO_MANY))),
    ] {
        let said = said(form, body.clone());
        assert!(matches!(said, Err(Rejection::Malformed { .. })), "{body:.50}: {said:?}");
    }
}

const FIELDS_TOO_MANY: usize = 100;

#[test]
fn nothing_in_a_text_is_slacks_markup() {
    let made = Made { build: "01".into(), project: "a/<b>".into(), ..Made::default() };
    let told = |made: Made| text(&Answer::Made { status: "", made: Box::new(made) });
    assert_eq!(told(made.clone()), "Build 01 of a/&lt;b&gt; was started.");
    let reason = "the script has no handler for `slash_command`".to_owned();
    let ended = Made { phase: Some("Succeeded".into()), reason, ..made.clone() };
    assert_eq!(
        told(ended),
        "Build 01 of a/&lt;b&gt; does nothing: the script has no handler for `slash_command`."
    );
    let jobs = vec!["x-01".to_owned(), "y-01".to_owned()];
    assert_eq!(
        told(Made { jobs, ..made.clone() }),
        "Build 01 of a/&lt;b&gt; was started: x-01, y-01."
    );
    let failed = Made { phase: Some("Failed".into()), reason: "a & b".into(), ..made.clone() };
    assert_eq!(told(failed), "Build 01 of a/&lt;b&gt; failed: a &amp; b.");
    assert_eq!(
        told(Made { duplicate: true, ..made }),
        "This was started before, as build 01 of a/&lt;b&gt;."
    );
    let passed = Answer::ignored("the event is `x`", None);
    assert_eq!(text(&passed), "Nothing was started: the event is `x`.");
}

proptest! {
    #[test]
    fn no_body_makes_the_translation_panic(text in ".{0,40}", start in "payload=|command=|&payload=|") {
        let _answered = said(Form::Fields, format!("{start}{text}"));
        let _answered = said(Form::Json, format!(r#"{{"type": {text:?}, "event": {{"type": {text:?}}}}}"#));
        let _answered = said(Form::Json, text);
    }
}
