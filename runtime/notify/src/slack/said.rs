//! What Slack answers, and what to do about it.
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>,
//! <https://docs.slack.dev/reference/methods/chat.postMessage#errors>

use serde_json::Value;

use crate::TellError;
use crate::outbox::Answer;
use crate::text;

/// Words that mean that nothing is wrong but the moment.
const PASSING: &[&str] = &[
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "rollup_error",
    "service_unavailable",
];

/// What to do about words that Slack's webhooks and API say.
const WAYS_OUT: &[(&[&str], &str)] = &[
    (
        &["no_service", "no_service_id", "no_team", "no_active_hooks", "invalid_token"],
        "the webhook was deleted, or its app was removed: make a new one, and set SLACK_WEBHOOK to it",
    ),
    (
        &["team_disabled", "account_inactive", "token_revoked", "token_expired"],
        "the app was removed from the workspace, or the workspace is no more: install it again, and \
         set its new token or webhook",
    ),
    (
        &["not_authed", "invalid_auth", "not_allowed_token_type"],
        "SLACK_BOT_TOKEN must be the token of a bot, which begins with xoxb-",
    ),
    (
        &["missing_scope", "no_permission"],
        "give the app the scope chat:write, for SLACK_USERNAME and SLACK_ICON also \
         chat:write.customize, and install it again",
    ),
    (
        &["channel_not_found"],
        "SLACK_CHANNEL must be a channel that is there: of a private one, its id, and the app must be \
         a member",
    ),
    (&["not_in_channel"], "invite the app to the channel, or give it the scope chat:write.public"),
    (&["user_not_found"], "SLACK_CHANNEL names a person who is not there"),
    (
        &["channel_is_archived", "is_archived"],
        "the channel is archived: choose another, or take it out of the archive",
    ),
    (
        &[
            "action_prohibited",
            "posting_to_general_channel_denied",
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_non_threadable_channel",
            "restricted_action_thread_only_channel",
            "ekm_access_denied",
            "access_denied",
            "enterprise_is_restricted",
            "team_access_not_granted",
        ],
        "the workspace does not let the app write there: ask its administrators, or choose another \
         channel",
    ),
    (
        &["message_limit_exceeded"],
        "the workspace has as many messages as its plan has: ask its administrators",
    ),
    (
        &[
            "invalid_payload",
            "invalid_blocks",
            "invalid_blocks_format",
            "invalid_attachments",
            "too_many_attachments",
            "msg_too_long",
            "msg_blocks_too_long",
            "no_text",
            "invalid_arguments",
            "invalid_json",
        ],
        "it cannot read the message, which is a fault of this program unless SLACK_ICON or \
         SLACK_CHANNEL is none",
    ),
];

/// Whether a webhook took a message: Slack's, or one of those that speak like it.
pub(super) fn is_taken(answer: &Answer) -> bool {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let is_yes = |key: &str| body.as_ref().is_some_and(|body| body[key] == true);
    answer.status == 200 && (answer.body.trim_ascii() == b"ok" || is_yes("ok") || is_yes("success"))
}

/// Whether an answer of the API, which may be a no in a yes, may be another one later.
pub(super) fn is_passing(answer: &Answer) -> bool {
    PASSING.contains(&word(&answer.body).as_str())
}

/// Whether an answer says that a message is no more, or no more to be changed.
pub(super) fn is_gone(answer: &Value) -> bool {
    let gone = ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"];
    gone.iter().any(|word| answer["error"] == *word)
}

/// A no, with its way out.
pub(super) fn refusal(answer: &Answer) -> TellError {
    let word = word(&answer.body);
    let way_out = WAYS_OUT.iter().find(|(words, _)| words.contains(&word.as_str()));
    let way_out = way_out.map(|(_, way_out)| format!("; {way_out}"));
    let needed = serde_json::from_slice::<Value>(&answer.body).ok();
    let needed =
        needed.and_then(|body| body["needed"].as_str().map(|scope| text::line(scope, 100)));
    match (way_out, needed) {
        (Some(way_out), Some(needed)) => {
            answer.refused_as(&format!("{word} (it needs {needed})"), &way_out)
        }
        // The API's answers are 200, whatever they say.
        (Some(way_out), None) if answer.status == 200 => answer.refused_as(&word, &way_out),
        (Some(way_out), None) => answer.refused(&way_out),
        (None, _) if answer.status == 200 => {
            answer.refused("; Slack says ok, so that this is somebody else: look at the address")
        }
        (None, _) => answer.refused(""),
    }
}

/// The word that says what is wrong: a webhook's whole answer, or the API's error.
fn word(body: &[u8]) -> String {
    let error = serde_json::from_slice::<Value>(body).ok();
    let error = error.and_then(|body| body["error"].as_str().map(str::to_owned));
    let said = error.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    text::line(&said, 100)
}
