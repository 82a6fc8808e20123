//! What a webhook answered: whether it makes sense, what it refuses, changes and warns of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::hooks::{Hook, Review};
use crate::failure::Failure;

/// Warnings that are longer than the second together are each cut to the first.
const WARNING_LIMIT: usize = 256;
const WARNINGS_LIMIT: usize = 4096;

/// An answer that makes sense.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) denied: Option<Box<Failure>>,
    /// The operations of a JSON patch, if there are any.
    pub(super) patch: Option<Value>,
    pub(super) warnings: Vec<String>,
}

/// Reads the answer to the question with a uid.
///
/// # Errors
/// Why it makes no sense.
pub(super) fn read(hook: &Hook, uid: &str, body: &[u8]) -> Result<Answer, String> {
    let review: Value = serde_json::from_slice(body).map_err(|error| {
        format!("failed to call webhook: couldn't get version/kind; json parse error: {error}")
    })?;
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let response = &review["response"];
    let (group_version, kind) = (text(&review, "apiVersion"), text(&review, "kind"));
    if !group_version.is_empty()
        && !matches!(group_version, "admission.k8s.io/v1" | "admission.k8s.io/v1beta1")
    {
        return Err(format!(
            "failed to call webhook: no kind {kind:?} is registered for version {group_version:?} in scheme \"k8s.io/apiserver/pkg/util/webhook\""
        ));
    }
    if !response.is_object() {
        return Err(invalid("webhook response was absent".to_owned()));
    }
    if hook.review != Review::Beta {
        let answered = text(response, "uid");
        if answered != uid {
            return Err(invalid(format!("expected response.uid={uid:?}, got {answered:?}")));
        }
        if (group_version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
            let shown = match group_version {
                "" => "/".to_owned(),
                both => both.to_owned(),
            };
            return Err(invalid(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {shown}, Kind={kind}"
            )));
        }
    }
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(Value::as_str).map(str::to_owned).collect();
    let patch = if hook.mutating { patch(hook, response)? } else { None };
    if response["allowed"] != true {
        let failure = Box::new(denial(hook, &response["status"]));
        return Ok(Answer { denied: Some(failure), patch: None, warnings });
    }
    Ok(Answer { denied: None, patch, warnings })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn patch(hook: &Hook, response: &Value) -> Result<Option<Value>, String> {
    let invalid = |why: &str| Err(format!("received invalid webhook response: {why}"));
    let (patch, kind) = (text(response, "patch"), response["patchType"].as_str());
    match (patch, kind) {
        ("", None) => return Ok(None),
        ("", Some(_)) if hook.review != Review::Beta => {
            return invalid("webhook returned response.patchType but not response.patch");
        }
        ("", Some(_)) => return Ok(None),
        (_, None) if hook.review != Review::Beta => {
            return invalid("webhook returned response.patch but not response.patchType");
        }
        (_, None | Some("JSONPatch")) => {}
        (_, Some(other)) => {
            return invalid(&format!("webhook returned invalid response.patchType of {other:?}"));
        }
    }
    let undecodable =
        |why: String| format!("received undecodable patch in webhook response: {why}");
    let bytes = STANDARD.decode(patch).map_err(|error| {
        format!("failed to call webhook: illegal base64 data in response.patch: {error}")
    })?;
    let operations: Value =
        serde_json::from_slice(&bytes).map_err(|error| undecodable(error.to_string()))?;
    match operations.as_array() {
        None => Err(undecodable("it is no list of operations".to_owned())),
        Some(list) if list.is_empty() => Ok(None),
        Some(_) => Ok(Some(operations)),
    }
}

/// The failure that a webhook asks for; where it says little, it is a 400 without a reason.
fn denial(hook: &Hook, status: &Value) -> Failure {
    let by = format!("admission webhook {:?} denied the request", hook.name);
    let reason = text(status, "reason");
    let message = match (text(status, "message"), reason) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code)).unwrap_or(400);
    let mut failure = Failure::new(code, reason.to_owned(), message);
    failure.details = status.get("details").filter(|details| details.is_object()).cloned();
    failure
}

/// Warnings as they are sent: once each, and all cut where they are too long together.
pub(super) fn bounded(warnings: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for warning in warnings {
        let printable: String = warning.chars().filter(|letter| !letter.is_control()).collect();
        if !printable.is_empty() && !kept.contains(&printable) {
            kept.push(printable);
        }
    }
    if kept.iter().map(|one| one.chars().count()).sum::<usize>() <= WARNINGS_LIMIT {
        return kept;
    }
    kept.truncate(WARNINGS_LIMIT / WARNING_LIMIT);
    kept.iter().map(|one| one.chars().take(WARNING_LIMIT).collect()).collect()
}

/// What an answer that is no success means, in the words of the real server's client.
pub(super) fn refusal(code: u16, body: &[u8], is_text: bool) -> String {
    if let Ok(status) = serde_json::from_slice::<Value>(body)
        && status["kind"] == "Status"
        && let Some(message) = status["message"].as_str()
    {
        return message.to_owned();
    }
    let said = if is_text { String::from_utf8_lossy(body) } else { "unknown".into() };
    let said: String = said.trim().chars().take(2048).collect();
    match code {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 | 406 => said,
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        409 => "the server reported a conflict".to_owned(),
        422 => "the server rejected our request due to an error in our request".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later"
            .to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the request".to_owned(),
        500.. => {
            let said = json!(said);
            format!("an error on the server ({said}) has prevented the request from succeeding")
        }
        code => format!(
            "the server responded with the status code {code} but did not return more information"
        ),
    }
}
