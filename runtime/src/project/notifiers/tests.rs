//! What a project may say of its notifiers, and who cares for which builds.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::event::{Event, Revision};
use crate::project::{Project, values};

fn project(notifiers: &str) -> Result<Project, String> {
    let yaml = format!(
        "project: acme/demo\nsecrets: {{HOOK: 'https://hooks.example/hidden'}}\nnotifiers: {notifiers}"
    );
    values::read(&yaml, "default").map(|(project, _)| project).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })
}

fn build(project: &Project, kind: &str, action: Option<&str>, reference: &str) -> Build {
    let event = Event {
        action: action.map(str::to_owned),
        revision: Revision { commit: String::new(), reference: reference.to_owned() },
        ..Event::new("github", kind, "{}")
    };
    Build::new(project, event, Timestamp::now())
}

#[test]
fn a_list_is_the_same_in_a_secret() {
    let written = "
  - {kind: slack, name: releases, on: [failed, recovered], events: [push, 'pull_request:*'],
     refs: [main, 'refs/tags/v*'], title: '{{ project }}', message: '{{ reason | well }}',
     settings: {SLACK_WEBHOOK: {secret: HOOK}, SLACK_USERNAME: Brig, NUMBER: 7, TRUTH: true},
     most: 3, window: 600}
  - {kind: webhook, jobs: true}";
    let first = project(written).unwrap();
    let again = Project::from_secret(&first.secret()).unwrap();
    for project in [&first, &again] {
        let [slack, webhook] = project.notifiers.all() else { panic!("two") };
        assert_eq!((slack.name.as_str(), slack.kind), ("releases", NotifierKind::Slack));
        assert_eq!(slack.on, [Moment::Failed, Moment::Recovered]);
        assert_eq!((slack.most, slack.window), (3, Duration::from_secs(600)));
        assert_eq!(slack.references.text(), "main,v*");
        let settings: Vec<_> = slack
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
            .collect();
        assert_eq!(
            settings,
            [
                ("NUMBER", "7"),
                ("SLACK_USERNAME", "Brig"),
                ("SLACK_WEBHOOK", "https://hooks.example/hidden"),
                ("TRUTH", "true")
            ]
        );
        assert!(webhook.jobs && !slack.jobs);
        assert_eq!((webhook.on.len(), webhook.most), (5, 10));
        assert!(!format!("{:?}", project.notifiers).contains("hidden"));
    }
    assert_eq!(first.notifiers.json(), again.notifiers.json());
    assert!(first.notifiers.json().contains(r#"{"secret":"HOOK"}"#), "{}", first.notifiers.json());
    assert!(
        !project("[]").unwrap().secret().string_data.unwrap_or_default().contains_key("notifiers")
    );
}

#[test]
fn what_people_read_is_by_default_what_they_would_want_to_know() {
    for kind in NotifierKind::ALL {
        let project = project(&format!("[{{kind: {kind}}}]")).unwrap();
        let tells_start = project.notifiers.all()[0].on.contains(&Moment::Started);
        assert_eq!(tells_start, !kind.is_read_by_people(), "{kind}");
    }
}

#[test]
fn an_error_names_the_notifier_and_the_way_out_and_no_secret() {
    for (notifiers, error) in [
        ("7", "the notifier list must be a list"),
        ("not json", "the notifier list is not JSON"),
        ("[7]", "the notifier number 1 is no mapping: give it a kind"),
        ("[{}]", "the notifier number 1 is wrong: missing field `kind`"),
        ("[{kind: pager}]", "the notifier \"pager\" is wrong: unknown variant `pager`"),
        ("[{kind: slack, name: Ops}]", "\"Ops\" has a name that is not 1 to 40 small letters"),
        ("[{kind: slack}, {kind: slack}]", "\"slack\" is there twice: give it a name"),
        ("[{kind: slack, colour: red}]", "\"slack\" is wrong: unknown field `colour`"),
        ("[{kind: slack, on: [always]}]", "unknown variant `always`"),
        ("[{kind: slack, events: ['pu*sh']}]", "events: \"pu*sh\" is no name of an event; write *"),
        ("[{kind: slack, events: ['push*']}]", "events: \"push*\" is no name of an event"),
        ("[{kind: slack, events: ['']}]", "events: \"\" is no name of an event"),
        ("[{kind: slack, refs: ['{']}]", "refs: the list has the pattern \"{\""),
        ("[{kind: slack, title: '{{ x'}]", "has a title that is no template"),
        ("[{kind: slack, message: '{{ }}'}]", "has a message that is no template"),
        ("[{kind: slack, settings: 'https://hooks.example/hidden'}]", "has settings that are no"),
        ("[{kind: slack, settings: [hidden]}]", "has settings that are no mapping"),
        ("[{kind: slack, settings: {A: [hidden]}}]", "has a setting A that is neither a text nor"),
        (
            "[{kind: slack, settings: {A: {secret: B, c: hidden}}}]",
            "has a setting A that is neither",
        ),
        (
            "[{kind: slack, settings: {A: {secret: B}}}]",
            "wants the secret \"B\", which there is not",
        ),
        ("[{kind: slack, jobs: true}]", "has the key jobs, which only webhooks have"),
        ("[{kind: slack, window: 601}]", "may have a window of 1 to 600 seconds"),
        ("[{kind: slack, window: 0}]", "may have a window of 1 to 600 seconds"),
        ("[{kind: slack, most: 0}]", "and 1 to 1000 as most"),
        ("[{kind: slack, most: 1001}]", "and 1 to 1000 as most"),
    ] {
        let said = project(notifiers).unwrap_err();
        assert!(said.contains(error), "{notifiers}: {said}");
        assert!(!said.contains("hidden"), "{said}");
    }
    let many = vec![json!({"kind": "slack"}); MOST + 1];
    let error = Notifiers::read(&json!(many), &Map::new()).unwrap_err().to_string();
    assert_eq!(error, "the notifier list has more than 20 notifiers");
}

#[test]
fn what_is_wrong_in_a_secret_leaves_the_project_and_its_other_notifiers() {
    let project = project("[{kind: slack, settings: {SLACK_WEBHOOK: {secret: HOOK}}}]").unwrap();
    for (list, understood, problems) in [
        (json!([{"kind": "slack"}, {"kind": "pager"}, {"kind": "slack"}]), 1, 2),
        (json!([{"kind": "slack", "settings": {"SLACK_WEBHOOK": {"secret": "GONE"}}}]), 1, 0),
        (json!({"kind": "slack"}), 0, 1),
        (json!(vec![json!({"kind": "slack"}); MOST + 1]), 0, 1),
    ] {
        let mut secret = project.secret();
        let text = list.to_string().into_bytes();
        let data = secret.data.get_or_insert_default();
        data.insert("notifiers".to_owned(), k8s_openapi::ByteString(text.clone()));
        let read = Project::from_secret(&secret).unwrap();
        let Notifiers { all, problems: said, .. } = &read.notifiers;
        assert_eq!((all.len(), said.len()), (understood, problems), "{list}");
        let gone = "wants the secret \"GONE\", which there is not";
        let is_gone = |notifier: &Notifier| notifier.problem.as_deref() == Some(gone);
        assert_eq!(all.iter().any(is_gone), list.to_string().contains("GONE"), "{list}");
        // It is kept as it is, for who understands it.
        assert_eq!(read.secret().data.unwrap()["notifiers"].0, text);
    }
}

#[test]
fn who_cares_for_a_build_is_said_by_events_and_references() {
    for (keys, kind, action, reference, cares) in [
        ("", "push", None, "", true),
        ("on: []", "push", None, "refs/heads/main", false),
        ("events: ['*']", "anything", None, "", true),
        ("events: [push]", "push", None, "", true),
        ("events: [push]", "pushed", None, "", false),
        ("events: [pull_request]", "pull_request", Some("opened"), "", true),
        ("events: ['pull_request:opened']", "pull_request", Some("opened"), "", true),
        ("events: ['pull_request:opened']", "pull_request", Some("closed"), "", false),
        ("events: ['pull_request:*']", "pull_request", Some("closed"), "", true),
        ("events: ['pull_request:*']", "pull_request_review", Some("x"), "", false),
        ("events: ['push:*']", "push", None, "", true),
        ("refs: [main]", "push", None, "refs/heads/main", true),
        ("refs: [refs/heads/main]", "push", None, "main", true),
        ("refs: ['v*']", "push", None, "refs/tags/v1", true),
        ("refs: ['v*']", "push", None, "refs/tags/v1/x", false),
        ("refs: ['**', '!refs/heads/tmp/**']", "push", None, "refs/heads/tmp/x", false),
        ("refs: ['!tmp']", "push", None, "refs/heads/main", true),
        ("refs: [main]", "push", None, "", false),
        ("refs: ['refs/pull/*/head']", "pull_request", Some("opened"), "refs/pull/7/head", true),
    ] {
        let project = project(&format!("[{{kind: slack, {keys}}}]")).unwrap();
        let build = build(&project, kind, action, reference);
        assert_eq!(project.notifiers.caring(&build).count(), usize::from(cares), "{keys} {kind}");
        // What nobody cares for is not marked as something that somebody is told of.
        let marked = build.annotations.contains_key(crate::build::annotation::NOTIFIED);
        assert_eq!(marked, cares, "{keys} {kind}");
        let labels = build.secret().unwrap().metadata.labels.unwrap();
        assert_eq!(labels.contains_key(crate::build::ABOUT), cares);
    }
    let project = project("[{kind: slack}]").unwrap();
    let telling = Event::new("brigantine", "notify", "{}");
    let telling = Build::new(&project, telling, Timestamp::now());
    assert_eq!(project.notifiers.caring(&telling).count(), 0);
}
