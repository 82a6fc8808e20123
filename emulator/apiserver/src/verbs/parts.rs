//! The parts of pods with paths of their own: binding and eviction; and the log.

use axum::response::Response;
use serde_json::{Value, json};

use super::delete::{self, Options};
use super::dry_run;
use super::update::{Change, modify};
use crate::admission::{Gate, Operation};
use crate::api::{parse, plain};
use crate::controllers;
use crate::failure::Failure;
use crate::managed::Writer;
use crate::object;

/// `POST .../pods/{name}/binding`: gives a pod to a node.
pub(crate) async fn bind(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let dry_run = dry_run(call, "CreateOptions")?;
    let step = gate.step(Operation::Create, None, dry_run);
    let binding = gate.admit_part(&step, parse(call, "Binding")?).await?;
    let node = object::text(&binding, &["target", "name"]).to_owned();
    let key = target.key();
    if node.is_empty() {
        return Err(Failure::bad_request("the binding names no node: target.name is empty"));
    }
    let manager = call.manager();
    let writer = Writer { manager: manager.into(), subresource: "binding" };
    modify(shared, &target.resource, &key, &writer, dry_run, |old| {
        let taken = object::text(old, &["spec", "nodeName"]);
        let why = if object::is_deleting(old) {
            Some(format!("pod {} is being deleted, cannot be assigned to a host", key.name))
        } else if !taken.is_empty() {
            Some(format!("pod {} is already assigned to node {taken:?}", key.name))
        } else {
            None
        };
        if let Some(why) = why {
            let message =
                format!("Operation cannot be fulfilled on pods/binding {:?}: {why}", key.name);
            let mut failure = Failure::new(409, "Conflict", message);
            failure.details = Some(json!({"name": key.name, "kind": "pods/binding"}));
            return Err(failure);
        }
        let mut new = old.clone();
        controllers::assign(&mut new, &node);
        // A binding is in nobody's books.
        Ok(Change::Applied(new))
    })?;
    Ok(done())
}

/// `POST .../pods/{name}/eviction`: deletes a pod; there are no disruption budgets here.
pub(crate) async fn evict(gate: &Gate<'_>) -> Result<Response, Failure> {
    let Gate { shared, target, call, .. } = gate;
    let eviction = parse(call, "Eviction")?;
    let dry = dry_run(call, "CreateOptions")? || eviction["deleteOptions"]["dryRun"].is_array();
    let eviction = gate.admit_part(&gate.step(Operation::Create, None, dry), eviction).await?;
    let options = &eviction["deleteOptions"];
    let options = Options {
        grace: options["gracePeriodSeconds"].as_i64(),
        dry_run: dry,
        uid: options["preconditions"]["uid"].as_str().map(str::to_owned),
        ..Options::default()
    };
    delete::remove(shared, &target.resource, &target.key(), &options)?;
    Ok(done())
}

fn done() -> Response {
    let status: Value = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    });
    plain(201, &status)
}
