//! Decisions: may a user do this? And may they give others what they do not have?

use serde_json::Value;

use super::index::Reference;
use super::rules::{Rule, missing, quoted};
use super::{Access, Attributes, User};
use crate::admission::Gate;
use crate::failure::Failure;
use crate::object;
use crate::resources::Resource;
use crate::store::Store;

const GROUP: &str = "rbac.authorization.k8s.io";

/// An answer, and why, as the real server gives reasons.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

impl Access {
    /// Whether a user may do this.
    pub(crate) fn decide(&self, store: &Store, user: &User, wanted: &Attributes) -> Decision {
        if self.may_all(user) {
            return Decision { allowed: true, reason: String::new() };
        }
        let state = self.index.get(store);
        let mut errors: Vec<String> = Vec::new();
        for (binding, rules) in state.bindings(user, &wanted.namespace) {
            match rules {
                Some(rules) if rules.iter().any(|rule| rule.allows(wanted)) => {
                    return Decision { allowed: true, reason: binding.explain(user) };
                }
                Some(_) => {}
                None => errors.push(binding.role.missing()),
            }
        }
        Decision { allowed: false, reason: resolution(&mut errors, "RBAC: ") }
    }

    /// Like [`Access::decide`].
    ///
    /// # Errors
    /// 403 when the user may not.
    pub(crate) fn demand(
        &self,
        store: &Store,
        user: &User,
        wanted: &Attributes,
    ) -> Result<(), Failure> {
        let decision = self.decide(store, user, wanted);
        if decision.allowed {
            return Ok(());
        }
        Err(wanted.forbidden(user, &decision.reason))
    }

    /// All that a user may do in a namespace, and what could not be found out.
    pub(crate) fn rules(&self, store: &Store, user: &User, namespace: &str) -> (Vec<Rule>, String) {
        if !self.rbac && self.may_all(user) {
            return (Rule::everything(), String::new());
        }
        let state = self.index.get(store);
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for (binding, rules) in state.bindings(user, namespace) {
            match rules {
                Some(rules) => all.extend_from_slice(rules),
                None => errors.push(binding.role.missing()),
            }
        }
        (all, resolution(&mut errors, ""))
    }

    /// Whether a user may write a role or a binding as it is to be: nobody gives away rights that
    /// they do not have, unless they may do just that.
    ///
    /// # Errors
    /// 403 that names what is not theirs; 404 for a binding to a role that is not there.
    pub(crate) fn confirm(
        &self,
        store: &Store,
        user: &User,
        resource: &Resource,
        path_name: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Failure> {
        if resource.group != GROUP || self.may_all(user) {
            return Ok(());
        }
        // Even a label can give rights, so only what deletion needs may change without them.
        if old.is_some_and(|old| rest(old) == rest(new)) {
            return Ok(());
        }
        let namespace = object::namespace(new);
        let refuse = |why: String| {
            Failure::forbidden_about(GROUP, &resource.plural, object::name(new), &why)
        };
        if resource.kind.ends_with("Binding") {
            let reference = Reference::of(new);
            let bind = Attributes {
                verb: "bind".to_owned(),
                group: GROUP.to_owned(),
                version: "v1".to_owned(),
                resource: format!("{}s", reference.kind.to_lowercase()),
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
                ..Attributes::default()
            };
            if self.decide(store, user, &bind).allowed {
                return Ok(());
            }
            let rules = self.index.get(store).role(&reference, namespace).map(<[Rule]>::to_vec);
            let Some(rules) = rules else {
                let mut failure = Failure::new(404, "NotFound", reference.missing());
                let kind = reference.kind.to_lowercase();
                failure.details = Some(serde_json::json!({
                    "name": reference.name, "group": GROUP, "kind": kind,
                }));
                return Err(failure);
            };
            return self.covered(store, user, namespace, &rules).map_err(refuse);
        }
        let escalate = Attributes {
            verb: "escalate".to_owned(),
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            resource: resource.plural.clone(),
            namespace: namespace.to_owned(),
            name: path_name.to_owned(),
            ..Attributes::default()
        };
        if self.decide(store, user, &escalate).allowed {
            return Ok(());
        }
        self.covered(store, user, namespace, &Rule::of(new)).map_err(refuse)?;
        let gathers = |value: &Value| {
            !object::list(value, &["aggregationRule", "clusterRoleSelectors"]).is_empty()
        };
        if (gathers(new) || old.is_some_and(gathers))
            && self.covered(store, user, namespace, &Rule::everything()).is_err()
        {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(refuse(why.to_owned()));
        }
        Ok(())
    }

    fn covered(
        &self,
        store: &Store,
        user: &User,
        namespace: &str,
        wanted: &[Rule],
    ) -> Result<(), String> {
        let (held, error) = self.rules(store, user, namespace);
        let missing = missing(&held, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            missing.join("\n")
        );
        if !error.is_empty() {
            why += &format!("; resolution errors: [{error}]");
        }
        Err(why)
    }
}

impl Gate<'_> {
    /// Like [`Access::confirm`], for the request that is at the gate.
    ///
    /// # Errors
    /// When the user gives away rights that they do not have.
    pub(crate) fn confirm(
        &self,
        resource: &Resource,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Failure> {
        let Gate { shared, call, target, .. } = self;
        let name = target.name.as_deref().unwrap_or_default();
        shared.access.confirm(&shared.store, &call.user, resource, name, old, new)
    }

    /// Whether the user may also create, where a change would.
    ///
    /// # Errors
    /// 403 when not.
    pub(crate) fn may_create(&self) -> Result<(), Failure> {
        let Gate { shared, call, target, .. } = self;
        if shared.access.may_all(&call.user) {
            return Ok(());
        }
        let wanted = Attributes {
            verb: "create".to_owned(),
            group: target.resource.group.clone(),
            version: target.resource.version.clone(),
            resource: target.resource.plural.clone(),
            namespace: target.namespace.clone().unwrap_or_default(),
            name: target.name.clone().unwrap_or_default(),
            ..Attributes::default()
        };
        shared.access.demand(&shared.store, &call.user, &wanted)
    }
}

/// An object without what its deletion changes, and without what every write changes.
fn rest(value: &Value) -> Value {
    let mut rest = value.clone();
    let metadata = object::metadata_mut(&mut rest);
    for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
        metadata.remove(field);
    }
    rest
}

/// Several errors as one, each once.
fn resolution(errors: &mut Vec<String>, before: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.as_slice() {
        [] => String::new(),
        [one] => format!("{before}{one}"),
        many => format!("{before}[{}]", many.join(", ")),
    }
}
