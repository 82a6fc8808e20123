//! Decisions about jobs: a job and its pods, and what is to be done.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::backoff::BackOff;
use super::decide::{Plan, decide};
use super::indexes::INDEX;
use super::policy::{Verdict, verdict};
use super::{TRACKING, pod_of};
use crate::controllers::work::Owner;
use crate::object;
use crate::store::Object;

fn at(clock: &str) -> Timestamp {
    format!("2026-01-01T{clock}Z").parse().expect("the time is valid")
}

fn job(spec: Value) -> Value {
    let mut whole = json!({
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "podReplacementPolicy": "TerminatingOrFailed",
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}},
    });
    object::map_mut(&mut whole).extend(spec.as_object().expect("a map").clone());
    let status = object::map_mut(&mut whole).remove("status").unwrap_or_else(|| json!({}));
    json!({
        "metadata": {"name": "job", "namespace": "default", "uid": "u"},
        "spec": whole,
        "status": status,
    })
}

/// A pod in a word or two: `run`, `ready`, `ok`, `bad`, `gone`; with the index, and the failures
/// of the index before.
fn pod(text: &str) -> Arc<Object> {
    let mut words = text.split(' ');
    let what = words.next().unwrap_or_default();
    let index = words.next();
    let failures = words.next();
    let phase = match what {
        "ok" | "counted" => "Succeeded",
        "bad" => "Failed",
        _ => "Running",
    };
    let ready = if what == "ready" { "True" } else { "False" };
    let exit = if what == "bad" { 3 } else { 0 };
    let mut value = json!({
        "metadata": {
            "name": text.replace(' ', "-"),
            "namespace": "default",
            "uid": format!("uid-{}", text.replace(' ', "-")),
            "annotations": {},
        },
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{
                "name": "main",
                "state": {"terminated": {"exitCode": exit, "finishedAt": "2026-01-01T00:01:00Z"}},
            }],
        },
    });
    if what != "counted" {
        value["metadata"]["finalizers"] = json!([TRACKING]);
    }
    if what == "gone" {
        value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    }
    if let Some(index) = index {
        value["metadata"]["annotations"][INDEX] = json!(index);
    }
    if let Some(failures) = failures {
        value["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] =
            json!(failures);
    }
    Arc::new(Object::new(value, 1))
}

fn plan(spec: Value, pods: &[&str], clock: &str) -> Plan {
    let pods: Vec<Arc<Object>> = pods.iter().map(|text| pod(text)).collect();
    decide(&job(spec), &pods, &BackOff::default(), at(clock))
}

/// A plan as one line.
fn line(plan: &Plan) -> String {
    let mut parts = Vec::new();
    let names = |pods: &[Arc<Object>]| {
        pods.iter().map(|pod| object::name(&pod.value)).collect::<Vec<&str>>().join(",")
    };
    if !plan.create.is_empty() {
        let indexes: Vec<String> = plan
            .create
            .iter()
            .map(|new| new.index.map_or("any".to_owned(), |index| index.to_string()))
            .collect();
        parts.push(format!("create {}", indexes.join(",")));
    }
    for (what, pods) in
        [("withdraw", &plan.withdraw), ("end", &plan.end), ("release", &plan.release)]
    {
        if !pods.is_empty() {
            parts.push(format!("{what} {}", names(pods)));
        }
    }
    if let Some(ending) = &plan.ending {
        parts.push(ending.reason.clone());
    }
    if let Some(again) = plan.again {
        parts.push(format!("again {}", again.strftime("%T")));
    }
    parts.join("; ")
}

#[test]
fn pods_are_made_until_enough_have_succeeded() {
    for (spec, pods, expected) in [
        (json!({}), vec![], "create any"),
        (json!({}), vec!["run"], ""),
        (json!({}), vec!["ok"], "release ok; CompletionsReached"),
        (json!({"parallelism": 3, "completions": 5}), vec![], "create any,any,any"),
        (
            json!({"parallelism": 3, "completions": 5}),
            vec!["run", "ok"],
            "create any,any; release ok",
        ),
        (
            json!({"parallelism": 3, "completions": 5, "status": {"succeeded": 4}}),
            vec!["run", "ready"],
            "withdraw run",
        ),
        (json!({"completions": null, "parallelism": 2}), vec![], "create any,any"),
        (json!({"completions": null, "parallelism": 2}), vec!["run", "ok"], "release ok"),
        (
            json!({"completions": null, "parallelism": 2, "status": {"succeeded": 1}}),
            vec![],
            "CompletionsReached",
        ),
        (json!({"completions": 0}), vec![], "CompletionsReached"),
        (json!({"parallelism": 0}), vec![], ""),
        (json!({"suspend": true}), vec![], ""),
        (json!({"suspend": true}), vec!["run"], "withdraw run"),
    ] {
        assert_eq!(line(&plan(spec.clone(), &pods, "00:01:30")), expected, "{spec} {pods:?}");
    }
}

#[test]
fn failures_count_until_there_are_too_many() {
    for (spec, pods, clock, expected) in [
        // The next pod waits ten seconds, and twice as long after the second failure in a row.
        (json!({}), vec!["bad"], "00:01:05", "release bad; again 00:01:10"),
        (json!({}), vec!["bad"], "00:01:10", "create any; release bad"),
        (json!({"backoffLimit": 0}), vec!["bad"], "00:01:05", "release bad; BackoffLimitExceeded"),
        (
            json!({"backoffLimit": 2, "parallelism": 2, "completions": 2, "status": {"failed": 2}}),
            vec!["bad", "run"],
            "00:01:05",
            "end run; release bad,run; BackoffLimitExceeded",
        ),
        // Somebody deleted a pod: it counts as failed once it is going.
        (json!({}), vec!["gone"], "00:01:10", "create any; release gone"),
        (json!({"podReplacementPolicy": "Failed"}), vec!["gone"], "00:01:10", ""),
        (
            json!({"activeDeadlineSeconds": 60, "status": {"startTime": "2026-01-01T00:00:00Z"}}),
            vec!["run"],
            "00:00:59",
            "again 00:01:00",
        ),
        (
            json!({"activeDeadlineSeconds": 60, "status": {"startTime": "2026-01-01T00:00:00Z"}}),
            vec!["run"],
            "00:01:00",
            "end run; release run; DeadlineExceeded",
        ),
    ] {
        assert_eq!(line(&plan(spec.clone(), &pods, clock)), expected, "{spec} {pods:?}");
    }
}

#[test]
fn indexes_are_made_once_each() {
    let indexed = |more: Value| {
        let mut spec = json!({"completionMode": "Indexed", "parallelism": 3, "completions": 4});
        object::map_mut(&mut spec).extend(more.as_object().expect("a map").clone());
        spec
    };
    for (spec, pods, expected) in [
        (indexed(json!({})), vec![], "create 0,1,2"),
        (indexed(json!({})), vec!["run 0", "ok 1"], "create 2,3; release ok-1"),
        (indexed(json!({"status": {"completedIndexes": "0-2"}})), vec![], "create 3"),
        (indexed(json!({})), vec!["run 0", "ready 0"], "withdraw run-0"),
        (
            indexed(json!({"status": {"completedIndexes": "0-2", "succeeded": 3}})),
            vec!["ok 3"],
            "release ok-3; CompletionsReached",
        ),
        (
            indexed(
                json!({"successPolicy": {"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]}}),
            ),
            vec!["ok 2", "run 1"],
            "end run-1; release run-1,ok-2; SuccessPolicy",
        ),
        (
            indexed(json!({"backoffLimitPerIndex": 1, "backoffLimit": i32::MAX})),
            vec!["bad 0 0", "run 1", "run 2"],
            "create 0",
        ),
        (
            indexed(json!({"backoffLimitPerIndex": 1, "backoffLimit": i32::MAX})),
            vec!["bad 0 1", "run 1", "run 2"],
            "create 3; release bad-0-1",
        ),
        (
            indexed(
                json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": 0, "backoffLimit": i32::MAX}),
            ),
            vec!["bad 0", "run 1"],
            "end run-1; release bad-0,run-1; MaxFailedIndexesExceeded",
        ),
        (
            indexed(json!({
                "backoffLimitPerIndex": 0,
                "backoffLimit": i32::MAX,
                "status": {"completedIndexes": "1-3", "succeeded": 3},
            })),
            vec!["bad 0"],
            "release bad-0; FailedIndexes",
        ),
    ] {
        assert_eq!(line(&plan(spec.clone(), &pods, "00:02:00")), expected, "{spec} {pods:?}");
    }
    let counted = plan(
        indexed(json!({"backoffLimitPerIndex": 2, "backoffLimit": i32::MAX})),
        &["bad 0 1", "run 1", "run 2"],
        "00:02:00",
    );
    let carried =
        counted.create[0].annotations["batch.kubernetes.io/job-index-failure-count"].as_str();
    assert_eq!(carried, "2");
}

#[test]
fn a_status_counts_what_has_ended_only_when_the_finalizer_is_gone() {
    let plan = plan(json!({"parallelism": 2, "completions": 2}), &["ok", "ready"], "00:02:00");
    let status = plan.status.write();
    assert_eq!(status["uncountedTerminatedPods"], json!({"succeeded": ["uid-ok"]}));
    assert_eq!((&status["active"], &status["ready"]), (&json!(1), &json!(1)));
    assert!(status["succeeded"].is_null());
    let mut status = plan.status;
    status.settle(|uid| uid != "uid-ok");
    assert_eq!(status.write()["succeeded"], 1);
    assert_eq!(status.write()["uncountedTerminatedPods"], json!({}));
    // A stop between the two: the finalizer is gone, the count is not written yet.
    let before = json!({
        "parallelism": 2,
        "completions": 2,
        "status": {"uncountedTerminatedPods": {"succeeded": ["uid-counted"]}},
    });
    let pods = [pod("counted"), pod("ready")];
    let plan = decide(&job(before), &pods, &BackOff::default(), at("00:02:00"));
    assert_eq!(plan.status.succeeded, 1);
    assert_eq!(line(&plan), "");
}

#[test]
fn rules_say_what_a_failure_means() {
    let rules = |rules: Value| json!({"rules": rules});
    let codes = |action: &str, operator: &str, values: &[i64]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
    let disrupted = json!({
        "action": "Ignore",
        "onPodConditions": [{"type": "Ready", "status": "False"}],
    });
    for (policy, expected) in [
        (rules(json!([])), Verdict::Counts),
        (rules(json!([codes("Ignore", "In", &[3])])), Verdict::Ignored),
        (rules(json!([codes("Ignore", "NotIn", &[3])])), Verdict::Counts),
        (rules(json!([codes("FailIndex", "NotIn", &[4])])), Verdict::FailsIndex),
        (rules(json!([codes("Count", "In", &[3]), disrupted])), Verdict::Counts),
        (rules(json!([codes("Count", "In", &[4]), disrupted])), Verdict::Ignored),
        (
            rules(json!([codes("Ignore", "In", &[4]), codes("FailJob", "In", &[3])])),
            Verdict::FailsJob(
                "Container main for pod default/bad failed with exit code 3 matching FailJob rule at index 1"
                    .to_owned(),
            ),
        ),
    ] {
        assert_eq!(verdict(&policy, &pod("bad").value), expected, "{policy}");
    }
}

#[test]
fn the_pod_of_an_index_knows_it() {
    let long = "a".repeat(63);
    let mut value = job(json!({"completionMode": "Indexed"}));
    value["metadata"]["name"] = json!(long);
    let owner =
        Owner { api_version: "batch/v1", kind: "Job", component: "job-controller", value: &value };
    let new = super::New { index: Some(7), ..Default::default() };
    let pod = pod_of(&owner, &new);
    assert_eq!(pod["metadata"]["generateName"], format!("{}-7-", "a".repeat(55)));
    assert_eq!(pod["metadata"]["annotations"][INDEX], "7");
    assert_eq!(pod["metadata"]["labels"][INDEX], "7");
    assert_eq!(pod["spec"]["hostname"], format!("{long}-7"));
    assert_eq!(pod["metadata"]["finalizers"], json!([TRACKING]));
    let variable = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        variable["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['batch.kubernetes.io/job-completion-index']"
    );
}
