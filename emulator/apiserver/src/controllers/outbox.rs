//! Pods that webhooks want to see before they are made. They are made beside the controllers, which
//! go on meanwhile: a webhook may be a pod of this cluster that has to be started first.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::controller;
use super::work::Owner;
use crate::access::{User, account_user};
use crate::admission::Gate;
use crate::api::{Call, Query, Target};
use crate::failure::Failure;
use crate::object;
use crate::server::Shared;
use crate::store::Object;
use crate::verbs::create;

/// A pod to be made for its controller.
pub(super) struct Order {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) component: &'static str,
    pub(super) owner: Value,
    pub(super) pod: Value,
    /// What the Event says, where it is not the usual thing.
    pub(super) message: Option<String>,
}

impl Order {
    pub(super) fn of(owner: &Owner, pod: Value, message: Option<String>) -> Self {
        Order {
            api_version: owner.api_version,
            kind: owner.kind,
            component: owner.component,
            owner: owner.value.clone(),
            pod,
            message,
        }
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        Owner {
            api_version: self.api_version,
            kind: self.kind,
            component: self.component,
            value: &self.owner,
        }
    }
}

/// What became of an order.
pub(super) type Made = (Order, Result<Arc<Object>, Failure>);

/// A request as a controller would send it to a real server.
fn request(shared: &Shared, namespace: &str, component: &str) -> (Target, Call) {
    let target = Target {
        resource: shared.catalogue().storage("pods"),
        namespace: Some(namespace.to_owned()),
        name: None,
        subresource: String::new(),
        watch: false,
    };
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    let user = User {
        name: account_user("kube-system", component),
        groups: groups.iter().chain(&["system:authenticated"]).map(|&one| one.to_owned()).collect(),
        uid: String::new(),
        extra: BTreeMap::new(),
    };
    let call = Call {
        method: Method::POST,
        query: Query::parse(""),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        user: Arc::new(user),
        upgrade: None,
        ended: shared.stop.clone(),
    };
    (target, call)
}

/// Whether a webhook may want to see the pods of a controller.
pub(super) fn is_watched(shared: &Shared, owner: &Owner) -> bool {
    let (target, call) = request(shared, object::namespace(owner.value), owner.component);
    !Gate::new(shared, &target, &call).is_open()
}

/// Makes what was ordered, one after the other; after a failure the rest would fail alike.
pub(super) async fn fill(shared: &Shared, orders: Vec<Order>) -> Vec<Made> {
    let mut made = Vec::new();
    for order in orders {
        let namespace = object::namespace(&order.owner);
        let (target, call) = request(shared, namespace, order.component);
        let gate = Gate::new(shared, &target, &call);
        let pod = order.pod.clone();
        let writer = controller("");
        let adding = create::add(&gate, &target.resource, namespace, pod, None, &writer, false);
        let result = tokio::select! {
            () = shared.stop.cancelled() => break,
            result = adding => result,
        };
        let failed = result.is_err();
        made.push((order, result));
        if failed {
            break;
        }
    }
    made
}
