//! Disruption budgets: how many of the pods that one selects are healthy, and how many may go.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployments::amount;
use super::queue::Item;
use super::replicasets::{selects, write};
use super::work::{Work, is_active, is_ready};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key};

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// Looks at every budget after a start.
pub(super) fn resume(work: &mut Work) {
    for budget in work.shared.store.list(BUDGETS, None).1 {
        work.queue.add(Item::Budget(Key::of(&budget.value)));
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        BUDGETS => work.queue.add(Item::Budget(change.key.clone())),
        "pods" => {
            let shown =
                |pod: &Value| (is_ready(pod), is_active(pod), pod["metadata"]["labels"].clone());
            let old = change.old.as_ref().map(|old| shown(&old.value));
            if !change.deleted && old == Some(shown(&change.new.value)) {
                return;
            }
            for budget in work.shared.store.list(BUDGETS, Some(&change.key.namespace)).1 {
                let pods = change.old.iter().chain([&change.new]);
                if pods.into_iter().any(|pod| selects(&budget.value, &pod.value)) {
                    work.queue.add(Item::Budget(Key::of(&budget.value)));
                }
            }
        }
        _ => {}
    }
}

/// Writes the status of a budget.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(budget) = work.shared.store.get(BUDGETS, key) else { return Ok(()) };
    let pods = work.shared.store.list("pods", Some(&key.namespace)).1;
    let selected =
        || pods.iter().filter(|pod| is_active(&pod.value) && selects(&budget.value, &pod.value));
    let expected = selected().count() as i64;
    let healthy = selected().filter(|pod| is_ready(&pod.value)).count() as i64;
    let status = status(&budget.value, expected, healthy, work.now());
    write(work, BUDGETS, &budget, &status)
}

fn status(budget: &Value, expected: i64, healthy: i64, now: Timestamp) -> Value {
    let spec = &budget["spec"];
    let desired = if spec["maxUnavailable"].is_null() {
        amount(&spec["minAvailable"], expected, true)
    } else {
        (expected - amount(&spec["maxUnavailable"], expected, true)).max(0)
    };
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let (holds, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = object::list(budget, &["status", "conditions"])
        .iter()
        .find(|one| one["type"] == "DisruptionAllowed" && one["status"] == holds);
    let since = old.map_or(json!(object::seconds(now)), |one| one["lastTransitionTime"].clone());
    json!({
        "conditions": [{
            "type": "DisruptionAllowed",
            "status": holds,
            "observedGeneration": budget["metadata"]["generation"],
            "lastTransitionTime": since,
            "reason": reason,
            "message": "",
        }],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": budget["metadata"]["generation"],
    })
}

#[test]
fn what_is_healthy_beyond_the_desired_may_go() {
    for (spec, expected, healthy, desired, allowed) in [
        (json!({"minAvailable": 2}), 3, 3, 2, 1),
        (json!({"minAvailable": "50%"}), 3, 3, 2, 1),
        (json!({"maxUnavailable": 1}), 3, 2, 2, 0),
        (json!({"maxUnavailable": "100%"}), 3, 1, 0, 1),
        (json!({"minAvailable": 0}), 0, 0, 0, 0),
    ] {
        let status = status(&json!({"spec": spec}), expected, healthy, Timestamp::UNIX_EPOCH);
        assert_eq!(status["desiredHealthy"], desired, "{spec}");
        assert_eq!(status["disruptionsAllowed"], allowed, "{spec}");
    }
}
