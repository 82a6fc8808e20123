//! What Slack is told, and what it may answer.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use runtime::project::Moment;
use serde_json::{Value, json};

use super::{message, tell, tell_as_written};
use crate::sample::{self, keeper, outbox, relayed, sink, variables};
use crate::{Notification, OutboxOptions, TellError, Tone};

fn check(notification: &Notification, expected: &Expect) {
    let body = message::message(&variables(&[]), notification);
    fits(&body);
    expected.assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}

/// Checks Slack's limits, and that nothing is markup but what is ours.
fn fits(body: &Value) {
    let count = |text: &Value| text.as_str().map_or(0, |text| text.chars().count());
    let blocks = |of: &Value| of["blocks"].as_array().cloned().unwrap_or_default();
    let attachment = &body["attachments"][0];
    assert!(count(&body["text"]) <= 4000 && count(&body["text"]) > 0);
    assert!(!blocks(attachment).is_empty());
    let all = [blocks(body), blocks(attachment)].concat();
    assert!(all.len() <= 50);
    let mut texts = vec![body["text"].clone(), attachment["fallback"].clone()];
    for block in all {
        match block["type"].as_str().unwrap() {
            "header" => {
                assert!((1..=150).contains(&count(&block["text"]["text"])));
                assert_eq!(block["text"]["type"], "plain_text");
            }
            "section" => {
                let fields = block["fields"].as_array().cloned().unwrap_or_default();
                assert!(fields.len() <= 10);
                let texts = fields.iter().chain(block.get("text")).map(|one| &one["text"]);
                for text in texts {
                    let most = if fields.is_empty() { 3000 } else { 2000 };
                    assert!((1..=most).contains(&count(text)), "{}", count(text));
                }
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                assert!((1..=2000).contains(&count(&elements[0]["text"])));
            }
            other => panic!("{other}"),
        }
        texts.push(block["text"]["text"].clone());
        for key in ["fields", "elements"] {
            texts
                .extend(block[key].as_array().into_iter().flatten().map(|one| one["text"].clone()));
        }
    }
    for text in texts.iter().filter_map(Value::as_str) {
        let links = text.matches('<').count();
        let ours = text.matches("<https://").count().min(text.matches("|Open>").count());
        assert!(links == text.matches('>').count() && links == ours && links <= 1, "{text}");
        let lower = text.to_lowercase();
        assert!(!lower.contains("@everyone") && !lower.contains("@channel"), "{text}");
        assert!(!text.contains(['\u{202e}', '\0', '\r']), "{text}");
        assert!(text.matches("```").count() <= 2, "{text}");
    }
    assert!(body.to_string().len() < 40_000, "{}", body.to_string().len());
}

#[test]
fn a_failed_build_is_red_and_shows_the_end_of_the_log() {
    check(
        &sample::failed(),
        &expect![[r##"
            {
              "attachments": [
                {
                  "blocks": [
                    {
                      "text": {
                        "emoji": false,
                        "text": "the job test failed: exit code 2",
                        "type": "plain_text"
                      },
                      "type": "section"
                    },
                    {
                      "fields": [
                        {
                          "text": "*Event*\npush",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Ref*\nmain",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Commit*\n2f9c1b7d5e8a",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Failed jobs*\ntest",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Duration*\n2 min 10 s",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Build*\n01hf7yat00cqzj3v9p0m3ykqzr",
                          "type": "mrkdwn",
                          "verbatim": true
                        }
                      ],
                      "type": "section"
                    },
                    {
                      "text": {
                        "text": "The end of the log of test\n```\nrunning 3 tests\nassertion failed: &lt;left&gt; == `right`\n```",
                        "type": "mrkdwn",
                        "verbatim": true
                      },
                      "type": "section"
                    },
                    {
                      "elements": [
                        {
                          "text": "<https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&amp;c=d|Open>",
                          "type": "mrkdwn"
                        }
                      ],
                      "type": "context"
                    }
                  ],
                  "color": "#cf222e",
                  "fallback": "acme/app: push of main has failed\nthe job test failed: exit code 2"
                }
              ],
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "acme/app: push of main has failed",
                    "type": "plain_text"
                  },
                  "type": "header"
                }
              ],
              "mrkdwn": false,
              "text": "acme/app: push of main has failed\nthe job test failed: exit code 2",
              "unfurl_links": false,
              "unfurl_media": false
            }"##]],
    );
}

#[test]
fn a_build_that_was_started_is_blue() {
    check(
        &sample::build(Moment::Started, "Running", Tone::Running),
        &expect![[r##"
            {
              "attachments": [
                {
                  "blocks": [
                    {
                      "text": {
                        "emoji": false,
                        "text": "Mend &lt;the&gt; mast &amp; *sail*",
                        "type": "plain_text"
                      },
                      "type": "section"
                    },
                    {
                      "fields": [
                        {
                          "text": "*Event*\npush",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Ref*\nmain",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Commit*\n2f9c1b7d5e8a",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Build*\n01hf7yat00cqzj3v9p0m3ykqzr",
                          "type": "mrkdwn",
                          "verbatim": true
                        }
                      ],
                      "type": "section"
                    },
                    {
                      "elements": [
                        {
                          "text": "<https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&amp;c=d|Open>",
                          "type": "mrkdwn"
                        }
                      ],
                      "type": "context"
                    }
                  ],
                  "color": "#0969da",
                  "fallback": "acme/app: push of main has started\nMend &lt;the&gt; mast &amp; *sail*"
                }
              ],
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "acme/app: push of main has started",
                    "type": "plain_text"
                  },
                  "type": "header"
                }
              ],
              "mrkdwn": false,
              "text": "acme/app: push of main has started\nMend &lt;the&gt; mast &amp; *sail*",
              "unfurl_links": false,
              "unfurl_media": false
            }"##]],
    );
}

#[test]
fn a_build_that_recovered_is_green() {
    check(
        &sample::build(Moment::Recovered, "Succeeded", Tone::Good),
        &expect![[r##"
            {
              "attachments": [
                {
                  "blocks": [
                    {
                      "fields": [
                        {
                          "text": "*Event*\npush",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Ref*\nmain",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Commit*\n2f9c1b7d5e8a",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Duration*\n2 min 10 s",
                          "type": "mrkdwn",
                          "verbatim": true
                        },
                        {
                          "text": "*Build*\n01hf7yat00cqzj3v9p0m3ykqzr",
                          "type": "mrkdwn",
                          "verbatim": true
                        }
                      ],
                      "type": "section"
                    },
                    {
                      "elements": [
                        {
                          "text": "<https://ci.example/builds/01hf7yat00cqzj3v9p0m3ykqzr?a=b&amp;c=d|Open>",
                          "type": "mrkdwn"
                        }
                      ],
                      "type": "context"
                    }
                  ],
                  "color": "#1a7f37",
                  "fallback": "acme/app: push of main succeeds again"
                }
              ],
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "acme/app: push of main succeeds again",
                    "type": "plain_text"
                  },
                  "type": "header"
                }
              ],
              "mrkdwn": false,
              "text": "acme/app: push of main succeeds again",
              "unfurl_links": false,
              "unfurl_media": false
            }"##]],
    );
}

#[test]
fn a_message_is_shown_as_it_was_written() {
    check(
        &sample::plain(),
        &expect![[r##"
        {
          "attachments": [
            {
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "High water at *noon*\nin &lt;the&gt; harbour",
                    "type": "plain_text"
                  },
                  "type": "section"
                }
              ],
              "color": "#6e7781",
              "fallback": "Tide\nHigh water at *noon*\nin &lt;the&gt; harbour"
            }
          ],
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "Tide",
                "type": "plain_text"
              },
              "type": "header"
            }
          ],
          "mrkdwn": false,
          "text": "Tide\nHigh water at *noon*\nin &lt;the&gt; harbour",
          "unfurl_links": false,
          "unfurl_media": false
        }"##]],
    );
}

#[test]
fn an_image_is_told_with_its_values() {
    check(
        &sample::image(),
        &expect![[r##"
        {
          "attachments": [
            {
              "blocks": [
                {
                  "text": {
                    "emoji": false,
                    "text": "New Build acme/app:v1 available!",
                    "type": "plain_text"
                  },
                  "type": "section"
                },
                {
                  "fields": [
                    {
                      "text": "*Registry*\nacme.azurecr.io",
                      "type": "mrkdwn",
                      "verbatim": true
                    },
                    {
                      "text": "*Digest*\nsha256:0123",
                      "type": "mrkdwn",
                      "verbatim": true
                    }
                  ],
                  "type": "section"
                }
              ],
              "color": "#1a7f37",
              "fallback": "New Build\nNew Build acme/app:v1 available!"
            }
          ],
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "New Build",
                "type": "plain_text"
              },
              "type": "header"
            }
          ],
          "mrkdwn": false,
          "text": "New Build\nNew Build acme/app:v1 available!",
          "unfurl_links": false,
          "unfurl_media": false
        }"##]],
    );
}

#[test]
fn whatever_strangers_write_is_a_message_within_limits() {
    for notification in [sample::hostile(), sample::hostile_plain()] {
        fits(&message::message(&variables(&[]), &notification));
    }
    let long = Some(format!("https://a.example/?{}", "&".repeat(1900)));
    fits(&message::message(&variables(&[]), &Notification { url: long, ..sample::plain() }));
    let nothing = message::message(&variables(&[]), &Notification::default());
    fits(&nothing);
    assert_eq!(nothing["text"], "a notification that says nothing");
}

#[test]
fn what_has_no_title_is_said_once() {
    let only = Notification { message: "only\n*this*".to_owned(), ..Notification::default() };
    check(
        &only,
        &expect![[r##"
        {
          "attachments": [
            {
              "blocks": [
                {
                  "elements": [
                    {
                      "text": "Brigantine",
                      "type": "mrkdwn"
                    }
                  ],
                  "type": "context"
                }
              ],
              "color": "#6e7781",
              "fallback": "only\n*this*"
            }
          ],
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "only\n*this*",
                "type": "plain_text"
              },
              "type": "section"
            }
          ],
          "mrkdwn": false,
          "text": "only\n*this*",
          "unfurl_links": false,
          "unfurl_media": false
        }"##]],
    );
    let title = Notification { title: "only this".to_owned(), ..Notification::default() };
    let body = message::message(&variables(&[]), &title).to_string();
    assert_eq!(body.matches("only this").count(), 3, "a header and two fallbacks: {body}");
}

#[test]
fn who_speaks_and_in_what_colour_may_be_set() {
    let set = variables(&[
        ("SLACK_USERNAME", " Brig "),
        ("SLACK_CHANNEL", "#builds\n"),
        ("SLACK_ICON", "ship"),
        ("SLACK_COLOR", "#00f"),
    ]);
    let body = message::message(&set, &sample::plain());
    assert_eq!((&body["username"], &body["channel"]), (&json!("Brig"), &json!("#builds")));
    assert_eq!((&body["icon_emoji"], &body["icon_url"]), (&json!(":ship:"), &Value::Null));
    assert_eq!(body["attachments"][0]["color"], "#00f");
    // What is bad is red all the same, and a message's own colour is its own.
    assert_eq!(message::message(&set, &sample::failed())["attachments"][0]["color"], "#cf222e");
    for (color, shown) in [
        ("danger", "danger"),
        ("#AbCdEf", "#AbCdEf"),
        ("red", "#00f"),
        ("#12", "#00f"),
        ("", "#00f"),
    ] {
        let own = Notification { color: Some(color.to_owned()), ..sample::plain() };
        assert_eq!(message::message(&set, &own)["attachments"][0]["color"], shown);
    }
    let icon = variables(&[("SLACK_ICON", "https://a.example/i.png")]);
    let body = message::message(&icon, &sample::plain());
    assert_eq!(body["icon_url"], "https://a.example/i.png");
}

#[tokio::test]
async fn a_webhook_that_says_ok_has_the_message() {
    let (url, kept) = keeper("ok").await;
    let hook = format!("{url}/services/T/B/X");
    let (variables, outbox) =
        (variables(&[("SLACK_WEBHOOK", &hook)]), outbox(OutboxOptions::default()));
    let before = json!({"channel": "C1", "ts": "1.2"});
    let told = tell(&variables, &sample::image(), Some(&before), &outbox).await.unwrap();
    assert_eq!((told.handle, told.said.as_str()), (None, "told Slack of New Build"));
    let kept = kept.lock().unwrap();
    assert_eq!((kept.len(), kept[0].line.as_str()), (1, "POST /services/T/B/X"));
    assert_eq!(kept[0].headers["content-type"], "application/json; charset=utf-8");
    assert!(kept[0].headers.get("authorization").is_none());
    fits(&kept[0].json());
}

#[tokio::test]
async fn what_a_webhook_refuses_is_said_with_the_way_out() {
    for (status, word, way_out) in [
        (400, "invalid_payload", "a fault of this program"),
        (400, "invalid_blocks", "a fault of this program"),
        (400, "no_text", "a fault of this program"),
        (400, "too_many_attachments", "a fault of this program"),
        (400, "user_not_found", "a person who is not there"),
        (403, "action_prohibited", "ask its administrators"),
        (403, "posting_to_general_channel_denied", "ask its administrators"),
        (403, "invalid_token", "make a new one, and set SLACK_WEBHOOK"),
        (404, "channel_not_found", "must be a channel that is there"),
        (404, "no_service", "the webhook was deleted"),
        (404, "no_team", "the webhook was deleted"),
        (410, "channel_is_archived", "the channel is archived"),
        (404, "<html>not here</html>", ""),
        (200, "<html>log in</html>", "somebody else"),
        (200, "{\"ok\":false,\"error\":\"no_service\"}", "the webhook was deleted"),
    ] {
        let url = sink(move |_got| (StatusCode::from_u16(status).unwrap(), word)).await;
        let hook = format!("{url}/services/T000/B000/abcdefghijklmnopqrstuvwx");
        let variables = variables(&[("SLACK_WEBHOOK", &hook)]);
        let outbox = outbox(OutboxOptions::default());
        let error = tell(&variables, &sample::plain(), None, &outbox).await.unwrap_err();
        let shown = error.to_string();
        assert!(matches!(error, TellError::Refused { .. }), "{word}: {shown}");
        assert!(shown.starts_with("Slack at 127.0.0.1 refused the message: "), "{word}: {shown}");
        assert!(shown.contains(way_out), "{word}: {shown}");
        assert!(!shown.contains("abcdefgh") && !shown.contains("services"), "{word}: {shown}");
    }
}

#[tokio::test]
async fn a_bot_changes_the_message_of_its_build_and_answers_in_its_thread() {
    let answer = axum::Json(json!({"ok": true, "channel": "C024BE91L", "ts": "1503435956.000247"}));
    let (url, kept) = keeper(answer).await;
    let variables = variables(&[
        ("SLACK_BOT_TOKEN", "xoxb-0123456789"),
        ("SLACK_CHANNEL", "#builds"),
        ("SLACK_WEBHOOK", "https://hooks.slack.com/services/T/B/X"),
    ]);
    let outbox = relayed(&url);
    let started = sample::build(Moment::Started, "Running", Tone::Running);
    let told = tell(&variables, &started, None, &outbox).await.unwrap();
    let handle = told.handle.unwrap();
    assert_eq!(handle, json!({"channel": "C024BE91L", "ts": "1503435956.000247"}));
    assert_eq!(told.said, "told Slack's #builds of acme/app: push of main has started");
    let told = tell(&variables, &sample::failed(), Some(&handle), &outbox).await.unwrap();
    assert_eq!(told.handle, Some(handle));
    let kept = kept.lock().unwrap();
    let lines: Vec<&str> = kept.iter().map(|got| got.line.as_str()).collect();
    let (post, update) = ("POST /https/slack.com/api/chat.postMessage", "chat.update");
    assert_eq!(lines, [post, &format!("POST /https/slack.com/api/{update}"), post]);
    assert!(kept.iter().all(|got| got.headers["authorization"] == "Bearer xoxb-0123456789"));
    let [first, changed, reply] = [0, 1, 2].map(|number: usize| kept[number].json());
    assert_eq!((&first["channel"], &first["ts"]), (&json!("#builds"), &Value::Null));
    assert_eq!(changed["channel"], "C024BE91L");
    assert_eq!(changed["ts"], "1503435956.000247");
    assert_eq!(changed["attachments"][0]["color"], "#cf222e");
    assert_eq!(reply["thread_ts"], "1503435956.000247");
    let line = "acme/app: push of main has failed";
    assert_eq!(reply["text"], line);
    // In which no address is a link.
    let shown = json!({"type": "plain_text", "text": line, "emoji": false});
    assert_eq!((&reply["blocks"][0]["text"], &reply["parse"]), (&shown, &json!("none")));
}

#[tokio::test]
async fn a_message_that_is_gone_is_written_anew() {
    for word in ["message_not_found", "cant_update_message", "edit_window_closed"] {
        let url = sink(move |got| {
            let is_update = got.line.ends_with("chat.update");
            axum::Json(if is_update {
                json!({"ok": false, "error": word})
            } else {
                let body = got.json();
                assert!(body["thread_ts"].is_null() && body["ts"].is_null());
                json!({"ok": true, "channel": "C1", "ts": "2.0"})
            })
        });
        let variables = variables(&[("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_CHANNEL", "C1")]);
        let before = json!({"channel": "C1", "ts": "1.0"});
        let outbox = relayed(&url.await);
        let told = tell(&variables, &sample::failed(), Some(&before), &outbox).await.unwrap();
        assert_eq!(told.handle, Some(json!({"channel": "C1", "ts": "2.0"})), "{word}");
    }
}

#[tokio::test]
async fn what_a_bot_may_not_is_said_with_the_way_out() {
    for (word, way_out) in [
        ("not_authed", "must be the token of a bot"),
        ("invalid_auth", "must be the token of a bot"),
        ("account_inactive", "install it again"),
        ("token_revoked", "install it again"),
        ("missing_scope", "(it needs chat:write); give the app the scope chat:write"),
        ("channel_not_found", "must be a channel that is there"),
        ("not_in_channel", "invite the app to the channel"),
        ("is_archived", "the channel is archived"),
        ("msg_too_long", "a fault of this program"),
        ("restricted_action", "ask its administrators"),
        ("message_limit_exceeded", "as many messages as its plan has"),
    ] {
        let needed = if word == "missing_scope" { json!("chat:write") } else { Value::Null };
        let body = json!({"ok": false, "error": word, "needed": needed});
        let url = sink(move |_got| axum::Json(body.clone())).await;
        let variables =
            variables(&[("SLACK_BOT_TOKEN", "xoxb-secret-token"), ("SLACK_CHANNEL", "C1")]);
        let error = tell(&variables, &sample::plain(), None, &relayed(&url)).await.unwrap_err();
        let shown = error.to_string();
        assert!(matches!(error, TellError::Refused { .. }), "{word}: {shown}");
        assert!(shown.contains(word) && shown.contains(way_out), "{word}: {shown}");
        assert!(!shown.contains("secret-token"), "{shown}");
    }
}

#[tokio::test]
async fn a_bot_that_is_too_quick_tries_again() {
    for word in ["ratelimited", "rate_limited", "internal_error", "service_unavailable"] {
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counter = asked.clone();
        let url = sink(move |_got| {
            let first = counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            axum::Json(if first {
                json!({"ok": false, "error": word, "retry_after": 0.01})
            } else {
                json!({"ok": true, "channel": "C1", "ts": "1.0"})
            })
        });
        let variables = variables(&[("SLACK_BOT_TOKEN", "xoxb-1"), ("SLACK_CHANNEL", "C1")]);
        let told = tell(&variables, &sample::plain(), None, &relayed(&url.await)).await;
        assert!(told.unwrap().handle.is_some(), "{word}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2, "{word}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let outbox = outbox(OutboxOptions::default());
    for (set, error) in [
        (&[][..], "the variable SLACK_WEBHOOK is not set"),
        (&[("SLACK_CHANNEL", "#a")][..], "the variable SLACK_WEBHOOK is not set"),
        (
            &[("SLACK_BOT_TOKEN", "xoxb-1")][..],
            "the variable SLACK_CHANNEL is not set: a bot must be told where to write",
        ),
        (
            &[("SLACK_BOT_TOKEN", "xoxb\n1"), ("SLACK_CHANNEL", "#a")][..],
            "the variable SLACK_BOT_TOKEN has characters that no token has",
        ),
    ] {
        let shown = tell(&variables(set), &sample::plain(), None, &outbox).await.unwrap_err();
        assert_eq!(shown.to_string(), error);
    }
}

#[tokio::test]
async fn the_environment_of_slack_notify_makes_its_message() {
    let (url, kept) = keeper(StatusCode::OK).await;
    let outbox = outbox(OutboxOptions::default());
    let all = [
        ("SLACK_WEBHOOK", url.as_str()),
        ("SLACK_MESSAGE", "New Build <https://a.example|app> *available*! <!here>"),
        ("SLACK_TITLE", "New Build"),
        ("SLACK_COLOR", "#0000ff"),
        ("SLACK_CHANNEL", "#builds"),
        ("SLACK_USERNAME", "ACR"),
        ("SLACK_ICON", "https://a.example/i.png"),
        ("SLACK_MARKDOWN", "yes"),
    ];
    let told = tell_as_written(&variables(&all), &outbox).await.unwrap();
    assert_eq!(told.said, "told Slack of New Build");
    tell_as_written(&variables(&all[..2]), &outbox).await.unwrap();
    let missing = tell_as_written(&variables(&all[..1]), &outbox).await.unwrap_err();
    assert_eq!(missing.to_string(), "the variable SLACK_MESSAGE is not set");
    let kept = kept.lock().unwrap();
    expect![[r##"
        {
          "attachments": [
            {
              "color": "#0000ff",
              "fallback": "New Build <https://a.example|app> *available*! <!here>",
              "fields": [
                {
                  "short": false,
                  "title": "New Build",
                  "value": "New Build <https://a.example|app> *available*! <!here>"
                }
              ]
            }
          ],
          "channel": "#builds",
          "icon_url": "https://a.example/i.png",
          "mrkdwn": true,
          "unfurl_links": false,
          "username": "ACR"
        }"##]]
    .assert_eq(&serde_json::to_string_pretty(&kept[0].json()).unwrap());
    expect![[r#"
        {
          "attachments": [
            {
              "fallback": "New Build <https://a.example|app> *available*! <!here>",
              "fields": [
                {
                  "short": false,
                  "title": "",
                  "value": "New Build <https://a.example|app> *available*! <!here>"
                }
              ]
            }
          ],
          "unfurl_links": false
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&kept[1].json()).unwrap());
}

#[tokio::test]
async fn a_dry_run_says_what_slack_would_be_told() {
    let dry = OutboxOptions { dry_run: true, ..OutboxOptions::default() };
    for set in [
        &[("SLACK_WEBHOOK", "https://hooks.slack.com/services/T/B/secret")][..],
        &[("SLACK_BOT_TOKEN", "xoxb-secret"), ("SLACK_CHANNEL", "#a")][..],
    ] {
        let outbox = outbox(dry.clone());
        let told = tell(&variables(set), &sample::plain(), None, &outbox).await.unwrap();
        assert_eq!(told.handle, None);
        let withheld = outbox.withheld().join("\n");
        assert!(withheld.contains("High water") && !withheld.contains("secret"), "{withheld}");
    }
}
