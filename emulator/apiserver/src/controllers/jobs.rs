//! Jobs: pods are made until enough of them have succeeded or too many have failed.
//!
//! A pod counts when it has ended. It holds a finalizer until it is counted: its uid is written
//! into the status, then the finalizer goes, then the count rises; whatever is interrupted goes on
//! from there without counting twice.

mod backoff;
mod decide;
mod indexes;
mod policy;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

pub(super) use self::backoff::BackOff;
use self::decide::{New, Plan, decide, finished, is_tracked};
use self::indexes::INDEX;
use self::status::Status;
use super::controller;
use super::queue::{Item, later};
use super::work::{Owner, Work, controller_of};
use crate::failure::Failure;
use crate::object;
use crate::store::{Change, Key, Object};
use crate::verbs::delete::{Options, Policy, remove};
use crate::verbs::update::{self, Change as Write};

pub(super) const JOBS: &str = "jobs.batch";
const ABOUT: (&str, &str) = ("batch/v1", "Job");
const CONTROLLER: &str = "kubernetes.io/job-controller";
/// Keeps a pod until its job has counted it.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// Looks at every job after a start.
pub(super) fn resume(work: &mut Work) {
    for job in work.shared.store.list(JOBS, None).1 {
        work.queue.add(Item::Job(Key::of(&job.value)));
    }
    for pod in work.shared.store.list("pods", None).1 {
        if is_tracked(&pod.value) {
            work.queue.add(Item::Uncounted(Key::of(&pod.value)));
        }
    }
}

pub(super) fn changed(work: &mut Work, storage: &str, change: &Change) {
    match storage {
        JOBS => {
            let uid = object::uid(&change.new.value);
            if change.deleted {
                work.back_off.remove(uid);
                for pod in work.pods.of(uid) {
                    work.queue.add(Item::Uncounted(Key::of(&pod.value)));
                }
            }
            work.queue.add(Item::Job(change.key.clone()));
        }
        "pods" => {
            for pod in change.old.iter().chain([&change.new]) {
                if let Some(owner) = job_of(&pod.value) {
                    let name = object::text(owner, &["name"]);
                    work.queue.add(Item::Job(Key::new(&*change.key.namespace, name)));
                }
            }
            if !change.deleted && is_tracked(&change.new.value) {
                work.queue.add(Item::Uncounted(change.key.clone()));
            }
        }
        _ => {}
    }
}

/// The reference to the job that controls a pod.
fn job_of(pod: &Value) -> Option<&Value> {
    controller_of(pod).filter(|owner| {
        owner["kind"] == "Job" && object::text(owner, &["apiVersion"]).starts_with("batch/")
    })
}

/// Lets go of a pod whose job is no more.
pub(super) fn sync_uncounted(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(pod) = work.shared.store.get("pods", key) else { return Ok(()) };
    if !is_tracked(&pod.value) {
        return Ok(());
    }
    if let Some(owner) = job_of(&pod.value) {
        let job = Key::new(&*key.namespace, object::text(owner, &["name"]));
        let job = work.shared.store.get(JOBS, &job);
        if job.is_some_and(|job| owner["uid"] == object::uid(&job.value)) {
            return Ok(());
        }
    }
    release(work, &pod)
}

/// Does for a job what there is to do now.
pub(super) fn sync(work: &mut Work, key: &Key) -> Result<(), Failure> {
    let Some(job) = work.shared.store.get(JOBS, key) else { return Ok(()) };
    if let Some(end) = finished(&job.value) {
        return expire(work, &job, end);
    }
    let managed_by = object::text(&job.value, &["spec", "managedBy"]);
    if !matches!(managed_by, "" | CONTROLLER) {
        return Ok(());
    }
    let uid = object::uid(&job.value).to_owned();
    let pods = work.pods.of(&uid);
    let back_off = work.back_off.get(&uid).cloned().unwrap_or_default();
    let plan = decide(&job.value, &pods, &back_off, work.now());
    carry_out(work, &job, &uid, plan)
}

fn carry_out(work: &mut Work, job: &Object, uid: &str, plan: Plan) -> Result<(), Failure> {
    let owner = Owner {
        api_version: "batch/v1",
        kind: "Job",
        component: "job-controller",
        value: &job.value,
    };
    let Plan {
        end,
        withdraw,
        create,
        mut status,
        release: free,
        ending,
        whole,
        back_off,
        again,
        said,
    } = plan;
    // What cannot be done is tried again; what was done is counted all the same.
    let mut trouble = Ok(());
    for pod in &withdraw {
        let gone = release(work, pod).and_then(|()| work.delete_pod(&owner, &pod.value));
        trouble = trouble.and(gone);
    }
    for pod in &end {
        trouble = trouble.and(work.delete_pod(&owner, &pod.value));
    }
    let wanted = create.len();
    let mut made = 0;
    for new in create {
        match work.create_pod(&owner, pod_of(&owner, &new), None) {
            Ok(()) => made += 1,
            Err(failure) => {
                // The others would fail alike.
                trouble = trouble.and(Err(failure));
                break;
            }
        }
    }
    status.active -= (wanted - made) as u64;
    for (reason, message) in said {
        work.say(ABOUT, &job.value, owner.said("Normal", reason, message));
    }
    if let Some(time) = again {
        work.queue.add_at(time, Item::Job(Key::of(&job.value)));
    }
    write(work, job, &status)?;
    work.back_off.insert(uid.to_owned(), back_off);
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for pod in &free {
        if let Err(failure) = release(work, pod) {
            held.insert(object::uid(&pod.value));
            trouble = trouble.and(Err(failure));
        }
    }
    let freed: BTreeSet<&str> = free.iter().map(|pod| object::uid(&pod.value)).collect();
    status.settle(|uid| !freed.contains(uid) || held.contains(uid));
    let counted = status.uncounted_succeeded.is_empty() && status.uncounted_failed.is_empty();
    let ending = ending.filter(|_| whole && counted && status.terminating == 0);
    if let Some(ending) = &ending {
        let now = work.now();
        let kind = if ending.failed { "Failed" } else { "Complete" };
        status.set(kind, true, &ending.reason, &ending.message, now);
        if !ending.failed {
            status.completion_time = Some(object::seconds(now));
        }
    }
    write(work, job, &status)?;
    if let Some(ending) = ending {
        work.back_off.remove(uid);
        let completions = job.value["spec"]["completions"].as_u64();
        if completions.is_some_and(|wanted| !ending.failed && status.succeeded > wanted) {
            let message = "Too many succeeded pods running after completion count reached";
            work.say(ABOUT, &job.value, owner.said("Warning", "TooManySucceededPods", message));
        }
        let said = if ending.failed {
            owner.said("Warning", &ending.reason, &ending.message)
        } else {
            owner.said("Normal", "Completed", "Job completed")
        };
        work.say(ABOUT, &job.value, said);
    }
    trouble
}

/// Writes the status, if it is another one.
fn write(work: &Work, job: &Object, status: &Status) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage(JOBS);
    let status = status.write();
    let uid = object::uid(&job.value);
    let written = update::modify(
        &work.shared,
        &resource,
        &Key::of(&job.value),
        &controller("status"),
        false,
        |old| {
            let mut new = old.clone();
            if object::uid(old) == uid {
                new["status"] = status.clone();
            }
            Ok(Write::Update(new))
        },
    );
    gone_is_fine(written.map(|_| ()))
}

fn gone_is_fine(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.code == 404 => Ok(()),
        result => result,
    }
}

/// Takes the finalizer from a pod.
fn release(work: &Work, pod: &Arc<Object>) -> Result<(), Failure> {
    let resource = work.shared.catalogue().storage("pods");
    let uid = object::uid(&pod.value);
    let key = Key::of(&pod.value);
    let written = update::modify(&work.shared, &resource, &key, &controller(""), false, |old| {
        let mut new = old.clone();
        if object::uid(old) == uid
            && let Some(Value::Array(list)) = new.pointer_mut("/metadata/finalizers")
        {
            list.retain(|one| one != TRACKING);
            if list.is_empty() {
                object::metadata_mut(&mut new).remove("finalizers");
            }
        }
        Ok(Write::Update(new))
    });
    gone_is_fine(written.map(|_| ()))
}

/// A pod of a job.
fn pod_of(owner: &Owner, new: &New) -> Value {
    let mut template = owner.value["spec"]["template"].clone();
    let metadata = object::metadata_mut(&mut template);
    let mut finalizers = metadata.get("finalizers").cloned().unwrap_or_else(|| json!([]));
    if let Value::Array(list) = &mut finalizers
        && !list.iter().any(|one| one == TRACKING)
    {
        list.push(json!(TRACKING));
    }
    metadata.insert("finalizers".into(), finalizers);
    for (annotation, value) in &new.annotations {
        object::child_mut(metadata, "annotations").insert((*annotation).into(), json!(value));
    }
    let Some(index) = new.index else { return owner.pod(&template) };
    for map in ["annotations", "labels"] {
        object::child_mut(metadata, map).insert(INDEX.into(), json!(index.to_string()));
    }
    let name = object::name(owner.value);
    template["spec"]["hostname"] = json!(format!("{name}-{index}"));
    for list in ["initContainers", "containers"] {
        let containers = template["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            tell_index(container);
        }
    }
    let mut pod = owner.pod(&template);
    // The random end of a name needs its place, too.
    let end = format!("-{index}-");
    let start: String = name.chars().take(58_usize.saturating_sub(end.len())).collect();
    object::metadata_mut(&mut pod).insert("generateName".into(), json!(start + &end));
    pod
}

/// Tells a container its index.
fn tell_index(container: &mut Value) {
    const VARIABLE: &str = "JOB_COMPLETION_INDEX";
    if object::list(container, &["env"]).iter().any(|one| one["name"] == VARIABLE) {
        return;
    }
    let variables = object::map_mut(container).entry("env").or_insert_with(|| json!([]));
    if let Value::Array(variables) = variables {
        let field = json!({"apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")});
        variables.push(json!({"name": VARIABLE, "valueFrom": {"fieldRef": field}}));
    }
}

/// Deletes a job that has ended long enough ago, if it says how long that is.
fn expire(work: &mut Work, job: &Object, end: jiff::Timestamp) -> Result<(), Failure> {
    let Some(seconds) = job.value["spec"]["ttlSecondsAfterFinished"].as_i64() else {
        return Ok(());
    };
    if object::is_deleting(&job.value) {
        return Ok(());
    }
    let due = later(end, SignedDuration::from_secs(seconds));
    let key = Key::of(&job.value);
    if due > work.now() {
        work.queue.add_at(due, Item::Job(key));
        return Ok(());
    }
    let resource = work.shared.catalogue().storage(JOBS);
    let options = Options {
        uid: Some(object::uid(&job.value).to_owned()),
        policy: Some(Policy::Foreground),
        ..Options::default()
    };
    match remove(&work.shared, &resource, &key, &options) {
        Err(failure) if matches!(failure.code, 404 | 409) => Ok(()),
        result => result.map(|_| ()),
    }
}
