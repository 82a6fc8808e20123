//! What is told of bodies of our own, in the forms that their senders document.

use axum::http::HeaderMap;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use runtime::project::{Project, values};
use serde_json::{Value, json};

use super::*;

/// What is told, in a line for each part of it.
fn shown(said: &Said) -> String {
    let Notification { title, message, tone, color, fields, url, time, build, .. } =
        &said.notification;
    let mut lines = vec![title.clone(), message.clone()];
    let tone = json!(tone).as_str().unwrap_or_default().to_owned();
    lines.push(format!("{tone} {}", color.as_deref().unwrap_or_default()).trim().to_owned());
    lines.extend(fields.iter().map(|field| format!("- {}: {}", field.name, field.value)));
    lines.extend(url.clone());
    lines.extend(time.map(|time| time.to_string()));
    lines.extend(build.as_ref().map(|build| format!("build {}", build.build)));
    lines.extend(said.image.as_ref().map(|image| format!("image {}", image.reference())));
    lines.join("\n")
}

fn translated(
    body: &Value,
    kind: NotifierKind,
    named: Option<&Notifier>,
) -> Result<Meaning, Rejection> {
    let bytes = Bytes::from(body.to_string());
    let meaning = translate(Form::Json, &HeaderMap::new(), &bytes, kind, named);
    if let Ok(Meaning::Said(said)) = &meaning {
        for said in said.iter().flatten() {
            assert!(fit::json(&mut said.notification.clone()).len() <= fit::LIMIT);
        }
    }
    meaning
}

/// What a body comes to.
fn outcome(body: &Value, kind: NotifierKind, named: Option<&Notifier>) -> String {
    match translated(body, kind, named) {
        Ok(Meaning::Said(said)) => {
            let each = said.iter().map(|said| match said {
                Ok(said) => shown(said),
                Err(rejection) => format!("refused: {}", rejection.words().1),
            });
            each.collect::<Vec<_>>().join("\n\n")
        }
        Ok(Meaning::Ignored { reason }) => format!("ignored: {reason}"),
        Ok(Meaning::Validation { code }) => format!("validated: {code}"),
        Err(rejection) => format!("refused: {}", rejection.words().1),
    }
}

fn check(body: Value, expected: Expect) {
    expected.assert_eq(&outcome(&body, NotifierKind::Slack, None));
}

fn key(body: &Value) -> Key {
    match translated(body, NotifierKind::Slack, None) {
        Ok(Meaning::Said(mut said)) => said.remove(0).unwrap().key,
        other => panic!("{other:?}"),
    }
}

fn acr(action: &str) -> Value {
    json!({
        "id": "0a7e4cf6",
        "timestamp": "2026-03-01T10:00:00.123456789Z",
        "action": action,
        "target": {"digest": "sha256:8a2f", "repository": "team/app", "tag": "1.0"},
        "request": {"host": "ocean.azurecr.io"},
    })
}

fn event(kind: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/harbour/gauge", "type": kind,
        "time": "2026-03-01T10:00:00Z", "data": data,
    })
}

fn build() -> Value {
    json!({
        "build": "01kjmge4005ewm4st3vhf1kp7g", "project": "ocean/brig", "event": "push",
        "provider": "github", "ref": "refs/heads/main", "moment": "failed", "phase": "Failed",
        "reason": "job test failed", "url": "https://builds.ocean.example/1",
        "finished": "2026-03-01T10:05:00Z",
    })
}

fn group() -> Value {
    let alert = |status: &str, deck: u32, severity: &str| {
        json!({
            "status": status,
            "labels": {"alertname": "Leak", "deck": deck, "severity": severity},
            "annotations": {"summary": format!("There is water on deck {deck}.")},
            "startsAt": format!("2026-03-01T10:0{deck}:00Z"),
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": format!("{deck}"),
        })
    };
    json!({
        "receiver": "brigantine",
        "status": "firing",
        "alerts": [alert("firing", 1, "warning"), alert("resolved", 2, "page")],
        "groupLabels": {"alertname": "Leak"},
        "commonLabels": {"alertname": "Leak", "ship": "brig"},
        "commonAnnotations": {},
        "externalURL": "https://alerts.ocean.example",
        "groupKey": "{}:{alertname=\"Leak\"}",
        "truncatedAlerts": 3,
    })
}

#[test]
fn a_push_to_a_registry_is_a_new_build() {
    check(
        acr("push"),
        expect![[r#"
        New Build
        New Build team/app:1.0 available!
        good
        - Registry: ocean.azurecr.io
        - Digest: sha256:8a2f
        2026-03-01T10:00:00.123456789Z
        image ocean.azurecr.io/team/app:1.0"#]],
    );
    check(
        acr("delete"),
        expect![[r#"
        Image Deleted
        team/app:1.0 was deleted
        neutral
        - Registry: ocean.azurecr.io
        - Digest: sha256:8a2f
        2026-03-01T10:00:00.123456789Z
        image ocean.azurecr.io/team/app:1.0"#]],
    );
    check(
        acr("chart_push"),
        expect![[r#"
        New Chart
        New Chart team/app:1.0 available!
        good
        - Registry: ocean.azurecr.io
        - Digest: sha256:8a2f
        2026-03-01T10:00:00.123456789Z
        image ocean.azurecr.io/team/app:1.0"#]],
    );
    check(
        acr("quarantine"),
        expect!["ignored: the image is in quarantine; its push is built once it has passed"],
    );
    check(
        json!({"id": "1", "timestamp": "2026-03-01T10:00:00Z", "action": "ping"}),
        expect!["ignored: nobody is told of a ping"],
    );
}

#[test]
fn several_images_of_one_delivery_are_told_together() {
    let tags: Vec<String> = (1..=12).map(|number| format!("v{number}")).collect();
    check(
        json!({
            "repository": "ocean/app", "namespace": "ocean", "name": "app",
            "docker_url": "quay.ocean.example/ocean/app",
            "homepage": "https://quay.ocean.example/repository/ocean/app",
            "updated_tags": tags,
        }),
        expect![[r#"
            New Build
            New Build ocean/app:v1, ocean/app:v2, ocean/app:v3, ocean/app:v4, ocean/app:v5, ocean/app:v6, ocean/app:v7, ocean/app:v8, ocean/app:v9, ocean/app:v10 and 2 more available!
            good
            - Registry: quay.ocean.example
            https://quay.ocean.example/repository/ocean/app"#]],
    );
    let resource = |tag: &str| {
        let url = format!("hub.example/team/app:{tag}");
        json!({"digest": "sha256:8a2f", "tag": tag, "resource_url": url})
    };
    let harbor = |kind: &str| {
        json!({
            "type": kind, "occur_at": 1_772_359_200, "operator": "ada",
            "event_data": {
                "resources": [resource("1.0"), resource("1")],
                "repository": {"name": "app", "namespace": "team", "repo_full_name": "team/app"},
            },
        })
    };
    check(
        harbor("PUSH_ARTIFACT"),
        expect![[r#"
        New Build
        New Build team/app:1.0, team/app:1 available!
        good
        - Registry: hub.example
        - Digest: sha256:8a2f
        - Pushed by: ada
        2026-03-01T10:00:00Z"#]],
    );
    check(
        harbor("SCANNING_FAILED"),
        expect![[r#"
            Scan Failed
            team/app:1.0
            bad
            - Registry: hub.example
            - Digest: sha256:8a2f
            - By: ada
            2026-03-01T10:00:00Z
            image hub.example/team/app:1.0"#]],
    );
}

#[test]
fn who_pushed_is_told_where_the_registry_says_so() {
    check(
        json!({
            "push_data": {"pushed_at": 1_772_359_200, "pusher": "sailor", "tag": "1.0"},
            "repository": {"repo_name": "team/app", "repo_url": "https://hub.docker.com/r/team/app"},
        }),
        expect![[r#"
            New Build
            New Build team/app:1.0 available!
            good
            - Registry: docker.io
            - Pushed by: sailor
            https://hub.docker.com/r/team/app
            2026-03-01T10:00:00Z
            image docker.io/team/app:1.0"#]],
    );
}

#[test]
fn an_image_that_could_not_be_one_is_not_named() {
    let mut push = acr("push");
    push["target"]["repository"] = json!("<!channel> *click* [here](http://evil.example)");
    check(
        push,
        expect![[r#"
        New Build
        New Build available!
        good
        2026-03-01T10:00:00.123456789Z"#]],
    );
}

#[test]
fn alerts_are_told_together_by_the_worst_of_them() {
    check(
        group(),
        expect![[r#"
        [FIRING:1] Leak
        firing: There is water on deck 1.
        resolved: There is water on deck 2.
        and 3 more
        warning
        - ship: brig
        https://alerts.ocean.example/
        2026-03-01T10:01:00Z"#]],
    );
    let mut over = group();
    over["alerts"][0]["status"] = json!("resolved");
    over["alerts"][0]["endsAt"] = json!("2026-03-01T11:00:00Z");
    over["externalURL"] = json!("javascript:alert(1)");
    over["commonLabels"] = json!({});
    over["truncatedAlerts"] = json!(0);
    check(
        over,
        expect![[r#"
        [RESOLVED] Leak
        resolved: There is water on deck 1.
        resolved: There is water on deck 2.
        good
        2026-03-01T11:00:00Z"#]],
    );
    let mut worse = group();
    worse["alerts"][0]["labels"] = json!({"severity": "critical", "deck": 1});
    worse["alerts"][0]["annotations"] = json!({});
    check(
        worse,
        expect![[r#"
        [FIRING:1] Leak
        firing: deck=1 severity=critical
        resolved: There is water on deck 2.
        and 3 more
        bad
        - ship: brig
        https://alerts.ocean.example/
        2026-03-01T10:01:00Z"#]],
    );
}

#[test]
fn a_group_that_changes_is_another_one() {
    let mut changed = group();
    changed["alerts"][0]["status"] = json!("resolved");
    assert_eq!(key(&group()), key(&group()));
    assert_ne!(key(&group()), key(&changed));
    assert!(matches!(key(&group()), Key::Recent(_)));
}

#[test]
fn a_message_is_told_as_it_is_written() {
    check(
        json!({
            "message": "All hands\non deck", "title": "Watch", "color": "#ff0000",
            "fields": [{"title": "Wind", "value": "7 Bft"}, {"name": "Depth", "value": 12.5}, {"value": null}, 7],
            "url": "https://ocean.example/watch?x=1",
        }),
        expect![[r#"
            Watch
            All hands
            on deck
            neutral #ff0000
            - Wind: 7 Bft
            - Depth: 12.5
            https://ocean.example/watch?x=1"#]],
    );
    check(
        json!({
            "message": 7, "color": "warning", "fields": {"a": true, "b": [1, 2], "c": null},
            "url": "ftp://ocean.example",
        }),
        expect![[r#"

            7
            warning
            - a: true
            - b: [1,2]"#]],
    );
    check(
        json!({"message": "x", "url": "https://user:password@ocean.example"}),
        expect![[r#"

        x
        neutral"#]],
    );
}

#[test]
fn what_is_posted_to_slack_reads_the_same() {
    check(
        json!({"text": "Ahoy <!here|here>, <@U02> in <#C1|deck>: <https://ocean.example|a &lt;page&gt;> <https://x.example> a < b"}),
        expect![[r#"

            Ahoy @here, @U02 in #deck: a <page> (https://ocean.example) https://x.example a < b
            neutral"#]],
    );
    check(
        json!({
            "text": "in lists only",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "Watch"}},
                {"type": "section", "text": {"type": "mrkdwn", "text": "All <https://x.example|hands>"},
                 "fields": [{"type": "mrkdwn", "text": "*Wind* 7"}]},
                {"type": "divider"},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "from the bridge"}, {"type": "image"}]},
            ],
        }),
        expect![[r#"
            Watch
            All hands (https://x.example)
            *Wind* 7
            from the bridge
            neutral"#]],
    );
    check(
        json!({
            "attachments": [
                {"fallback": "not read", "color": "36a64f", "pretext": "Before", "title": "Watch",
                 "title_link": "https://ocean.example", "text": "All hands",
                 "fields": [{"title": "Wind", "value": "7", "short": true}]},
                {"fallback": "read", "color": "danger"},
            ],
        }),
        expect![[r#"
            Watch
            Before
            All hands
            read
            neutral #36a64f
            - Wind: 7
            https://ocean.example/"#]],
    );
}

#[test]
fn anything_else_is_told_by_its_members() {
    check(
        json!({"subject": "Tide", "level": 3.1, "rising": true, "at": {"x": 1}, "list": [1], "none": null, "url": "https://ocean.example/tide"}),
        expect![[r#"
            Tide

            neutral
            - level: 3.1
            - rising: true
            https://ocean.example/tide"#]],
    );
    check(
        json!({"at": {"x": 1}}),
        expect![
            "refused: there is nothing in it to tell: give a `message`, or a template in a notifier of the project, and its name as ?notifier="
        ],
    );
    check(
        json!({}),
        expect![
            "refused: there is nothing in it to tell: give a `message`, or a template in a notifier of the project, and its name as ?notifier="
        ],
    );
    check(
        json!([{"message": "x"}]),
        expect!["refused: a list must be of CloudEvents or of Event Grid's events"],
    );
    check(json!([]), expect!["ignored: there are no events in it"]);
}

#[test]
fn builds_are_told_by_their_reports() {
    check(
        event("dev.brigantine.build.failed", build()),
        expect![[r#"


        bad
        https://builds.ocean.example/1
        2026-03-01T10:00:00Z
        build 01kjmge4005ewm4st3vhf1kp7g"#]],
    );
    // What is no report is an event like any other.
    check(
        event("dev.brigantine.build.failed", json!({"build": 7})),
        expect![[r#"
        dev.brigantine.build.failed

        neutral
        - Source: /harbour/gauge
        - build: 7
        2026-03-01T10:00:00Z"#]],
    );
}

#[test]
fn what_a_notifier_told_a_program_is_told_again() {
    let said = Notification {
        title: "Watch".to_owned(),
        message: "All hands".to_owned(),
        ..Notification::default()
    };
    check(
        event("dev.brigantine.notification", json!(said)),
        expect![[r#"
        Watch
        All hands
        neutral
        2026-03-01T10:00:00Z"#]],
    );
}

#[test]
fn the_runs_of_other_pipelines_are_told() {
    let run = |kind: &str, outcome: &str| {
        event(
            kind,
            json!({
                "context": {"version": "0.4.1"},
                "subject": {
                    "id": "/runs/12", "type": "pipelineRun", "source": "/tekton",
                    "content": {"pipelineName": "refit", "outcome": outcome, "uri": "https://tekton.ocean.example/12", "errors": "mast broken"},
                },
            }),
        )
    };
    check(
        run("dev.cdevents.pipelinerun.finished.0.2.0", "failure"),
        expect![[r#"
        pipeline refit has failed
        mast broken
        bad
        - Run: /runs/12
        - Source: /tekton
        https://tekton.ocean.example/12
        2026-03-01T10:00:00Z"#]],
    );
    check(
        run("dev.cdevents.taskrun.started.0.2.0", ""),
        expect![[r#"
        task refit has started
        mast broken
        running
        - Run: /runs/12
        - Source: /tekton
        https://tekton.ocean.example/12
        2026-03-01T10:00:00Z"#]],
    );
    check(
        run("dev.cdevents.pipelinerun.sunk.0.2.0", "success"),
        expect![[r#"
        dev.cdevents.pipelinerun.sunk.0.2.0

        neutral
        - Source: /harbour/gauge
        2026-03-01T10:00:00Z"#]],
    );
}

#[test]
fn other_events_are_told_by_their_data() {
    check(
        event("com.ocean.tide", json!({"message": "The tide is high.", "level": 3.1, "x": {}})),
        expect![[r#"
            com.ocean.tide
            The tide is high.
            neutral
            - Source: /harbour/gauge
            - level: 3.1
            2026-03-01T10:00:00Z"#]],
    );
    check(
        event("com.ocean.tide", json!("0.4 m")),
        expect![[r#"
        com.ocean.tide
        0.4 m
        neutral
        - Source: /harbour/gauge
        2026-03-01T10:00:00Z"#]],
    );
    let harbor = json!({
        "resources": [{"digest": "sha256:8a2f", "tag": "1.0", "resource_url": "hub.example/team/app:1.0"}],
        "repository": {"repo_full_name": "team/app"},
    });
    check(
        event("harbor.artifact.pushed", harbor),
        expect![[r#"
        New Build
        New Build team/app:1.0 available!
        good
        - Registry: hub.example
        - Digest: sha256:8a2f
        2026-03-01T10:00:00Z
        image hub.example/team/app:1.0"#]],
    );
}

#[test]
fn event_grid_is_understood_in_its_own_schema() {
    let own = |kind: &str, data: Value| {
        json!([{
            "id": "1", "topic": "/subscriptions/1/registries/ocean", "subject": "app:1.0", "eventType": kind,
            "eventTime": "2026-03-01T10:00:00Z", "dataVersion": "1.0", "data": data,
        }])
    };
    check(
        own("Microsoft.ContainerRegistry.ImagePushed", acr("push")),
        expect![[r#"
        New Build
        New Build team/app:1.0 available!
        good
        - Registry: ocean.azurecr.io
        - Digest: sha256:8a2f
        2026-03-01T10:00:00Z
        image ocean.azurecr.io/team/app:1.0"#]],
    );
    check(
        own(
            "Microsoft.Storage.BlobCreated",
            json!({"api": "PutBlob", "url": "https://x.example/blob"}),
        ),
        expect![[r#"
            Microsoft.Storage.BlobCreated

            neutral
            - Source: /subscriptions/1/registries/ocean
            - Subject: app:1.0
            - api: PutBlob
            https://x.example/blob
            2026-03-01T10:00:00Z"#]],
    );
    check(
        own(
            "Microsoft.EventGrid.SubscriptionValidationEvent",
            json!({"validationCode": "512d38b6"}),
        ),
        expect!["validated: 512d38b6"],
    );
    check(
        own("Microsoft.EventGrid.SubscriptionDeletedEvent", json!({})),
        expect!["ignored: the event is about the subscription itself"],
    );
}

#[test]
fn an_event_is_the_same_in_whatever_form_it_comes() {
    let one = event("com.ocean.tide", json!({"level": 3.1}));
    let structured = translate(
        Form::Structured,
        &HeaderMap::new(),
        &one.to_string().into(),
        NotifierKind::Slack,
        None,
    );
    let Ok(Meaning::Said(structured)) = structured else { panic!("{structured:?}") };
    assert_eq!(structured[0].as_ref().unwrap().key, key(&one));
    let mut other = one.clone();
    other["id"] = json!("2");
    assert_ne!(key(&other), key(&one));
}

fn project(yaml: &str) -> Project {
    values::read(&format!("project: ocean/brig\nsharedSecret: x\n{yaml}"), "default").unwrap().0
}

#[test]
fn a_named_notifiers_templates_say_what_is_told() {
    let project = project(
        "notifiers:\n- kind: slack\n  title: '{{ subject | nothing }} at {{ level }}'\n  message: '{{ at.x }}'\n\
         - kind: slack\n  name: builds\n  title: '{{ project }} {{ phase }}'\n",
    );
    let all = project.notifiers.all();
    let body = json!({"subject": "Tide", "level": 3.1, "at": {"x": 1}});
    expect![[r#"
        Tide at 3.1
        1
        neutral"#]]
    .assert_eq(&outcome(&body, NotifierKind::Slack, Some(&all[0])));
    // A template that comes to nothing says nothing.
    expect![[r#"
        nothing at 
        Ahoy
        neutral"#]]
    .assert_eq(&outcome(&json!({"message": "Ahoy"}), NotifierKind::Slack, Some(&all[0])));
    let event = event("dev.brigantine.build.failed", build());
    expect![[r#"
        ocean/brig Failed

        bad
        https://builds.ocean.example/1
        2026-03-01T10:00:00Z
        build 01kjmge4005ewm4st3vhf1kp7g"#]]
    .assert_eq(&outcome(&event, NotifierKind::Slack, Some(&all[1])));
}

#[test]
fn github_is_told_of_builds_alone() {
    let told = |body: &Value| outcome(body, NotifierKind::Github, None);
    let refused = "refused: GitHub is told of builds: send a CloudEvent dev.brigantine.build.<moment>, or its data";
    assert_eq!(told(&json!({"message": "Ahoy"})), refused);
    assert_eq!(told(&acr("push")), refused);
    for body in [event("dev.brigantine.build.failed", build()), build(), json!({"build": build()})]
    {
        assert!(told(&body).ends_with("build 01kjmge4005ewm4st3vhf1kp7g"), "{body}");
    }
}

#[test]
fn a_program_is_given_the_event_itself_or_nothing() {
    let given = |event: &Value, kind| match translated(event, kind, None) {
        Ok(Meaning::Said(mut said)) => said.remove(0).unwrap().notification.event,
        other => panic!("{other:?}"),
    };
    let small = event("com.ocean.tide", json!({"level": 3.1}));
    assert_eq!(given(&small, NotifierKind::Webhook), Some(small.clone()));
    assert_eq!(given(&small, NotifierKind::Slack), None);
    let large = event("com.ocean.tide", json!({"level": "x".repeat(40_000)}));
    let refused = translated(&large, NotifierKind::Webhook, None);
    assert!(matches!(refused, Err(Rejection::TooLarge { .. })), "{refused:?}");
    assert_eq!(given(&large, NotifierKind::Slack), None);
}

#[test]
fn a_program_is_given_a_report_with_the_ends_of_its_logs() {
    let log = format!("begun\n{}\nthe end", "€".repeat(6_000));
    let mut report = build();
    report["log"] = json!(log);
    report["jobs"] =
        json!([{"name": "test", "phase": "Failed", "log": log}, {"name": "lint", "log": 7}, 7]);
    let mut job = report["jobs"][0].clone();
    job["log"] = json!(log.repeat(2));
    for (kind, data, place) in [
        ("dev.brigantine.build.failed", report, "/data/jobs/0/log"),
        ("dev.brigantine.job.failed", job, "/data/log"),
    ] {
        let sent = event(kind, data);
        let Ok(Meaning::Said(said)) = translated(&sent, NotifierKind::Webhook, None) else {
            panic!("{kind}")
        };
        let mut given = said[0].as_ref().unwrap().notification.event.clone().unwrap();
        assert!((1024..=fit::EVENT).contains(&given.to_string().len()), "{kind}");
        let end = given.pointer(place).unwrap().as_str().unwrap();
        assert!(end.starts_with('…') && end.ends_with("€\nthe end"), "{kind}");
        // Nothing else is another.
        for place in ["/data/log", "/data/jobs/0/log"] {
            if let (Some(given), Some(sent)) = (given.pointer_mut(place), sent.pointer(place)) {
                *given = sent.clone();
            }
        }
        assert_eq!(given, sent);
    }
    let mut wide = build();
    wide["summary"] = json!("x".repeat(40_000));
    let refused =
        translated(&event("dev.brigantine.build.failed", wide), NotifierKind::Webhook, None);
    assert!(matches!(refused, Err(Rejection::TooLarge { .. })), "{refused:?}");
}

#[test]
fn what_does_not_fit_is_cut() {
    let quotes = "\"".repeat(900_000);
    let fields: Vec<Value> =
        (0..10_000).map(|n| json!({"title": n, "value": "\\\u{1}ä".repeat(99)})).collect();
    let body = json!({"message": quotes, "title": quotes, "fields": fields, "color": quotes, "url": format!("https://x.example/{quotes}")});
    let Ok(Meaning::Said(mut said)) = translated(&body, NotifierKind::Slack, None) else {
        panic!()
    };
    let notification = &mut said[0].as_mut().unwrap().notification;
    assert!(notification.title.ends_with("\"…") && notification.message.ends_with("\"…"));
    assert_eq!((&notification.color, &notification.url), (&None, &None));
    assert!(notification.fields.iter().all(|field| !field.value.contains('\u{1}')));
    let mut report = build();
    let log = format!("begun\n{}\nthe end", "€".repeat(100_000));
    report["log"] = json!(log);
    report["jobs"] =
        (0..500).map(|n| json!({"name": n.to_string(), "phase": "Failed", "log": log})).collect();
    let event = event("dev.brigantine.build.failed", report);
    let Ok(Meaning::Said(said)) = translated(&event, NotifierKind::Slack, None) else { panic!() };
    let build = said[0].as_ref().unwrap().notification.build.as_ref().unwrap();
    assert!(
        !build.jobs.is_empty() && build.jobs[0].log.ends_with("€\nthe end"),
        "{}",
        build.jobs.len()
    );
    assert!(build.log.starts_with('…'));
}

proptest! {
    #[test]
    fn no_bytes_make_the_translation_panic(
        bytes: Vec<u8>,
        text in "\\PC{0,60}",
        name in "(message|text|attachments|blocks|alerts|action|events|fields|color|url|specversion|type|id|eventType)",
        value in r#"(null|true|-?[0-9]{1,20}|"[a-z<>|@!#&]{0,20}"|\{\}|\[\]|\[\{\}\]|\[\{"labels":\{\}\}\])"#,
    ) {
        message::plain(&text);
        let objects = [format!(r#"{{"message":"x","{name}":{value}}}"#), format!(r#"{{"{name}":{value}}}"#)];
        for body in [bytes, text.into_bytes()].into_iter().chain(objects.map(String::into_bytes)) {
            for form in [Form::Binary, Form::Structured, Form::Batch, Form::Json, Form::Payload] {
                for kind in NotifierKind::ALL {
                    let _any = translate(form, &HeaderMap::new(), &body.clone().into(), kind, None);
                }
            }
        }
    }
}
