//! What Teams is told, and what it may answer.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use runtime::project::Moment;
use serde_json::Value;

use super::{card, tell};
use crate::sample::{self, keeper, outbox, relayed, sink, variables};
use crate::{Notification, OutboxOptions, TellError, Tone, text};

fn check(notification: &Notification, expected: &Expect) {
    let body = read(notification);
    let card = serde_json::to_string_pretty(&body["attachments"][0]["content"]).unwrap();
    // What nobody sees is to be seen here.
    expected.assert_eq(&card.replace(text::JOINER, "¦"));
}

/// The message, which is as small as Teams wants it.
fn read(notification: &Notification) -> Value {
    let written = card::message(notification);
    assert!(written.len() <= 20 * 1024, "{}", written.len());
    let body: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(body["type"], "message");
    let attachment = &body["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachment["contentUrl"], Value::Null);
    assert_eq!(attachment["content"]["version"], "1.4");
    body
}

#[test]
fn a_failed_build_shows_the_end_of_the_log() {
    check(
        &sample::failed(),
        &expect![[r#"
        {
          "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
          "actions": [
            {
              "title": "Open",
              "type": "Action.OpenUrl",
              "url": "https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&c=d"
            }
          ],
          "body": [
            {
              "bleed": true,
              "items": [
                {
                  "color": "Attention",
                  "size": "Medium",
                  "text": "acme/app: push of main has failed",
                  "type": "TextBlock",
                  "weight": "Bolder",
                  "wrap": true
                }
              ],
              "style": "attention",
              "type": "Container"
            },
            {
              "text": "the job test failed: exit code 2",
              "type": "TextBlock",
              "wrap": true
            },
            {
              "facts": [
                {
                  "title": "Event",
                  "value": "push"
                },
                {
                  "title": "Ref",
                  "value": "main"
                },
                {
                  "title": "Commit",
                  "value": "2f9c1b7d5e8a"
                },
                {
                  "title": "Failed jobs",
                  "value": "test"
                },
                {
                  "title": "Duration",
                  "value": "2 min 10 s"
                },
                {
                  "title": "Build",
                  "value": "01hf7yat00cqzj3v9p0m3ykqzr"
                }
              ],
              "type": "FactSet"
            },
            {
              "isSubtle": true,
              "text": "The end of the log of test",
              "type": "TextBlock",
              "wrap": true
            },
            {
              "items": [
                {
                  "fontType": "Monospace",
                  "size": "Small",
                  "spacing": "None",
                  "text": "running 3 tests",
                  "type": "TextBlock",
                  "wrap": true
                },
                {
                  "fontType": "Monospace",
                  "size": "Small",
                  "spacing": "None",
                  "text": "assertion failed: <¦left> == \\`right\\`",
                  "type": "TextBlock",
                  "wrap": true
                }
              ],
              "style": "emphasis",
              "type": "Container"
            }
          ],
          "msteams": {
            "width": "Full"
          },
          "type": "AdaptiveCard",
          "version": "1.4"
        }"#]],
    );
}

#[test]
fn a_build_that_recovered_is_good() {
    check(
        &sample::build(Moment::Recovered, "Succeeded", Tone::Good),
        &expect![[r#"
        {
          "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
          "actions": [
            {
              "title": "Open",
              "type": "Action.OpenUrl",
              "url": "https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&c=d"
            }
          ],
          "body": [
            {
              "bleed": true,
              "items": [
                {
                  "color": "Good",
                  "size": "Medium",
                  "text": "acme/app: push of main succeeds again",
                  "type": "TextBlock",
                  "weight": "Bolder",
                  "wrap": true
                }
              ],
              "style": "good",
              "type": "Container"
            },
            {
              "facts": [
                {
                  "title": "Event",
                  "value": "push"
                },
                {
                  "title": "Ref",
                  "value": "main"
                },
                {
                  "title": "Commit",
                  "value": "2f9c1b7d5e8a"
                },
                {
                  "title": "Duration",
                  "value": "2 min 10 s"
                },
                {
                  "title": "Build",
                  "value": "01hf7yat00cqzj3v9p0m3ykqzr"
                }
              ],
              "type": "FactSet"
            }
          ],
          "msteams": {
            "width": "Full"
          },
          "type": "AdaptiveCard",
          "version": "1.4"
        }"#]],
    );
}

#[test]
fn a_build_that_was_started_runs() {
    let body = read(&sample::build(Moment::Started, "Running", Tone::Running)).to_string();
    assert!(body.contains("has started") && body.contains("Accent"), "{body}");
}

#[test]
fn a_message_is_shown_as_it_was_written() {
    check(
        &sample::plain(),
        &expect![[r#"
        {
          "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
          "body": [
            {
              "bleed": true,
              "items": [
                {
                  "color": "Default",
                  "size": "Medium",
                  "text": "Tide",
                  "type": "TextBlock",
                  "weight": "Bolder",
                  "wrap": true
                }
              ],
              "style": "default",
              "type": "Container"
            },
            {
              "text": "High water at \\*noon\\*\n\nin <¦the> harbour",
              "type": "TextBlock",
              "wrap": true
            }
          ],
          "msteams": {
            "width": "Full"
          },
          "type": "AdaptiveCard",
          "version": "1.4"
        }"#]],
    );
}

#[test]
fn an_image_is_told_with_its_values() {
    check(
        &sample::image(),
        &expect![[r#"
        {
          "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
          "body": [
            {
              "bleed": true,
              "items": [
                {
                  "color": "Good",
                  "size": "Medium",
                  "text": "New Build",
                  "type": "TextBlock",
                  "weight": "Bolder",
                  "wrap": true
                }
              ],
              "style": "good",
              "type": "Container"
            },
            {
              "text": "New Build acme/app:v1 available!",
              "type": "TextBlock",
              "wrap": true
            },
            {
              "facts": [
                {
                  "title": "Registry",
                  "value": "acme.azurecr.io"
                },
                {
                  "title": "Digest",
                  "value": "sha256:0123"
                }
              ],
              "type": "FactSet"
            }
          ],
          "msteams": {
            "width": "Full"
          },
          "type": "AdaptiveCard",
          "version": "1.4"
        }"#]],
    );
}

#[test]
fn whatever_strangers_write_is_a_card_within_limits() {
    for notification in [sample::hostile(), sample::hostile_plain(), Notification::default()] {
        let body = read(&notification).to_string();
        assert!(!body.contains("<at>") && !body.contains("<script>"), "{body}");
        assert!(!body.contains("[x](") && !body.contains(" **bold**"), "{body}");
        assert!(!body.contains(['\u{202e}', '\0']), "{body}");
    }
    // Logs go first: what is left says as much as it did.
    let mut long = sample::failed();
    let line = "a line of a log that is too long to be shown with all of the others in a card\n";
    long.build.as_mut().unwrap().jobs[1].log = line.repeat(10_000);
    let body = read(&long).to_string();
    assert!(body.contains(line.trim()) && body.contains("exit code 2"), "{body}");
    let mut full = long.clone();
    full.message = "äöü ".repeat(5000);
    let body = read(&full).to_string();
    assert!(body.contains("äöü äöü…"), "{body}");
}

#[tokio::test]
async fn the_address_of_a_workflow_is_used_as_it_is() {
    let (url, kept) = keeper(StatusCode::ACCEPTED).await;
    let hook = "https://prod-1.westeurope.logic.azure.com:443/workflows/0a/triggers/manual/paths/\
                invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c%2B~d";
    let variables = variables(&[("TEAMS_WEBHOOK", hook)]);
    let told = tell(&variables, &sample::image(), &relayed(&url)).await.unwrap();
    assert_eq!((told.said.as_str(), told.handle), ("told Teams of New Build", None));
    let kept = kept.lock().unwrap();
    let line = "POST /https/prod-1.westeurope.logic.azure.com/workflows/0a/triggers/manual/paths/\
                invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c%2B~d";
    assert_eq!((kept.len(), kept[0].line.as_str()), (1, line));
    assert_eq!(kept[0].headers["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn what_teams_answers_is_understood() {
    let busy = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
                error 429 with ContextId tcid=1";
    let large = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP \
                 error 413 with ContextId tcid=1";
    for (status, body, way_out) in [
        (202, "", None),
        (202, "whatever", None),
        (200, "1", None),
        (200, " 1\n", None),
        (200, "", None),
        (200, large, Some("too long for Teams")),
        (200, "Summary or Text is required.", Some("or a no: look at the address")),
        (200, "<html>log in</html>", Some("somebody else")),
        (400, "Bad payload received by generic incoming webhook.", Some("must begin with")),
        (401, "{\"error\":{\"code\":\"DirectApiAuthorizationRequired\"}}", Some("not whole")),
        (403, "", Some("not whole")),
        (404, "{\"error\":{\"code\":\"WorkflowNotFound\"}}", Some("make a Workflow")),
        (410, "Connector configuration not found", Some("make a Workflow")),
        (413, "", Some("too long for Teams")),
        (418, "", Some("")),
    ] {
        let url = sink(move |_got| (StatusCode::from_u16(status).unwrap(), body)).await;
        let hook = format!("{url}/workflows/0123456789abcdefghijklm?sig=very-secret-signature");
        let variables = variables(&[("TEAMS_WEBHOOK", &hook)]);
        let outbox = outbox(OutboxOptions::default());
        let told = tell(&variables, &sample::plain(), &outbox).await;
        match (told, way_out) {
            (Ok(_), None) => {}
            (Err(error @ TellError::Refused { .. }), Some(way_out)) => {
                let error = error.to_string();
                assert!(error.starts_with("Teams at 127.0.0.1 refused the message: "), "{error}");
                assert!(error.contains(way_out) && !error.contains("secret"), "{error}");
            }
            (told, _) => panic!("{status} {body}: {told:?}"),
        }
    }
    // What is busy is asked again.
    for (status, body) in [(429, ""), (200, busy), (503, "")] {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let asked = std::sync::Arc::new(asked);
        let counter = asked.clone();
        let url = sink(move |_got| {
            let first = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let headers = [("retry-after", "0")];
            if first {
                (StatusCode::from_u16(status).unwrap(), headers, body)
            } else {
                (StatusCode::ACCEPTED, headers, "")
            }
        });
        let variables = variables(&[("TEAMS_WEBHOOK", &url.await)]);
        let outbox = outbox(OutboxOptions::default());
        tell(&variables, &sample::plain(), &outbox).await.unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_connector_that_says_nothing_has_not_said_yes() {
    let connector = "https://acme.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d";
    let old = "https://outlook.office.com/webhook/a@b/IncomingWebhook/c/d";
    let workflow = "https://prod-1.westeurope.logic.azure.com/workflows/a?sig=b";
    for (hook, body, is_taken) in [
        (connector, "", false),
        (connector, " \n", false),
        (connector, "1", true),
        (old, "", false),
        (old, "1", true),
        (workflow, "", true),
    ] {
        let url = sink(move |_got| body).await;
        let variables = variables(&[("TEAMS_WEBHOOK", hook)]);
        let told = tell(&variables, &sample::plain(), &relayed(&url)).await;
        assert_eq!(told.is_ok(), is_taken, "{hook} {body:?}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let outbox = outbox(OutboxOptions::default());
    let error = tell(&variables(&[]), &sample::plain(), &outbox).await.unwrap_err();
    assert_eq!(error.to_string(), "the variable TEAMS_WEBHOOK is not set");
}
