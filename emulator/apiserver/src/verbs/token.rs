//! `POST .../serviceaccounts/{name}/token`: a token for a service account.
//!
//! Nobody asks for tokens yet, so it is an opaque text that names its owner and proves nothing.

use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::{Call, Target, parse, plain};
use crate::failure::Failure;
use crate::object;
use crate::server::Shared;

pub(crate) fn create(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let key = target.key();
    let account = shared
        .store
        .get(&target.resource.storage, &key)
        .ok_or_else(|| Failure::not_found(&target.resource, &key.name))?;
    let request = parse(call, "TokenRequest")?;
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3600).clamp(600, 1 << 32);
    let expires =
        Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let token = format!("embedded.{}.{}", object::uid(&account.value), uuid::Uuid::new_v4());
    let answer: Value = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "creationTimestamp": object::now(),
        },
        "spec": {
            "audiences": ["https://kubernetes.default.svc.cluster.local"],
            "expirationSeconds": seconds,
            "boundObjectRef": null,
        },
        "status": {"token": token, "expirationTimestamp": object::seconds(expires)},
    });
    Ok(plain(201, &answer))
}
