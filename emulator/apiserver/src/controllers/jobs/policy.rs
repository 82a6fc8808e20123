//! What a job's policies say about failed pods and about success.

use serde_json::Value;

use super::indexes::Indexes;
use crate::object;

/// What a failed pod means for its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts as one failure.
    Counts,
    /// It counts for nothing.
    Ignored,
    /// Its index has failed.
    FailsIndex,
    /// The whole job has failed, for this reason.
    FailsJob(String),
}

/// The verdict of the first rule that matches a failed pod.
pub(super) fn verdict(policy: &Value, pod: &Value) -> Verdict {
    for (index, rule) in object::list(policy, &["rules"]).iter().enumerate() {
        let action = object::text(rule, &["action"]);
        let place = format!("{}/{}", object::namespace(pod), object::name(pod));
        let why = if rule["onExitCodes"].is_object() {
            exit_code(pod, &rule["onExitCodes"]).map(|(container, code)| {
                format!(
                    "Container {container} for pod {place} failed with exit code {code} matching {action} rule at index {index}"
                )
            })
        } else {
            condition(pod, object::list(rule, &["onPodConditions"])).map(|kind| {
                format!("Pod {place} has condition {kind} matching {action} rule at index {index}")
            })
        };
        match (why, action) {
            (None, _) => {}
            (Some(_), "Ignore") => return Verdict::Ignored,
            (Some(_), "Count") => return Verdict::Counts,
            (Some(_), "FailIndex") => return Verdict::FailsIndex,
            (Some(why), "FailJob") => return Verdict::FailsJob(why),
            (Some(_), _) => {}
        }
    }
    Verdict::Counts
}

/// The first container whose exit code a requirement names.
fn exit_code<'a>(pod: &'a Value, requirement: &Value) -> Option<(&'a str, i64)> {
    let only = requirement["containerName"].as_str();
    let values = object::list(requirement, &["values"]);
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| object::list(pod, &["status", list]))
        .filter(|status| only.is_none_or(|only| status["name"] == only))
        .find_map(|status| {
            let code = status["state"]["terminated"]["exitCode"].as_i64()?;
            let named = values.iter().any(|value| value.as_i64() == Some(code));
            let matches = match object::text(requirement, &["operator"]) {
                "In" => named,
                // A container that ended well has not failed, whatever the rule says.
                "NotIn" => code != 0 && !named,
                _ => false,
            };
            matches.then(|| (object::text(status, &["name"]), code))
        })
}

fn condition<'a>(pod: &Value, patterns: &'a [Value]) -> Option<&'a str> {
    let conditions = object::list(pod, &["status", "conditions"]);
    patterns
        .iter()
        .find(|pattern| {
            conditions
                .iter()
                .any(|one| one["type"] == pattern["type"] && one["status"] == pattern["status"])
        })
        .map(|pattern| object::text(pattern, &["type"]))
}

/// The first rule of a success policy that the succeeded indexes fulfil, in words.
pub(super) fn success(policy: &Value, completions: u64, succeeded: &Indexes) -> Option<String> {
    if succeeded.count() == 0 {
        return None;
    }
    let met = |rule: &Value| {
        let count = rule["succeededCount"].as_u64();
        match rule["succeededIndexes"].as_str() {
            Some(text) => {
                let required = Indexes::parse(text, completions);
                let there = required.shared_with(succeeded);
                required.count() > 0 && there >= count.unwrap_or(required.count())
            }
            None => count.is_some_and(|count| succeeded.count() >= count),
        }
    };
    let index = object::list(policy, &["rules"]).iter().position(met)?;
    Some(format!("Matched rules at index {index}"))
}
