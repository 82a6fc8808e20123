//! Cluster roles that gather the rules of others.

use serde_json::{Value, json};

use super::edit;
use crate::access::union;
use crate::managed::Writer;
use crate::object;
use crate::selectors::Labels;
use crate::server::Shared;
use crate::store::{Change, Key};

const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

pub(crate) fn changed(shared: &Shared, storage: &str, change: &Change) {
    if storage != ROLES {
        return;
    }
    let roles = shared.store.list(ROLES, None).1;
    for role in &roles {
        let selectors = object::list(&role.value, &["aggregationRule", "clusterRoleSelectors"]);
        let selectors: Vec<Labels> = selectors.iter().map(Labels::of_selector).collect();
        let own = Key::of(&role.value);
        if selectors.is_empty() || !(own == change.key || concerns(&selectors, change)) {
            continue;
        }
        let parts = selectors.iter().flat_map(|selector| {
            roles
                .iter()
                .map(|one| &one.value)
                .filter(|one| object::name(one) != own.name && selector.matches(one))
        });
        let rules = union(parts);
        let held = object::list(&role.value, &["rules"]);
        if rules != held {
            let writer =
                Writer { manager: "clusterrole-aggregation-controller".into(), subresource: "" };
            edit(shared, ROLES, &own, &writer, |role| role["rules"] = json!(rules));
        }
    }
}

/// Whether a change is about a role that is gathered.
fn concerns(selectors: &[Labels], change: &Change) -> bool {
    let matches = |value: &Value| selectors.iter().any(|selector| selector.matches(value));
    matches(&change.new.value) || change.old.as_ref().is_some_and(|old| matches(&old.value))
}
