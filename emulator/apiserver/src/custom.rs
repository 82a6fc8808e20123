//! Custom resources: what their definitions say, compiled into what serves them.
//!
//! A served version of an established definition is a [`Resource`] like any other, with a [`Custom`]
//! beside it that has the schema. Objects are kept without version; each version that reads them
//! leaves out what its schema does not know and fills in its defaults.

mod controller;
mod decode;
mod definition;
mod path;
mod prune;
mod rules;
mod scale;
mod schema;
mod structural;
mod table;
mod types;
mod validate;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::Response;
use http::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use self::controller::{changed, load, resume, written};
pub(crate) use self::decode::{decode, typed};
pub(crate) use self::definition::{
    check as check_definition, check_update as check_definition_update,
    defaults as definition_defaults, marked_for_deletion, prepare as prepare_definition,
    prepare_update as prepare_definition_update,
};
pub(crate) use self::path::find;
pub(crate) use self::scale::Scale;
use self::schema::Schema;
pub(crate) use self::table::{cells, columns};

use crate::api::{self, Call, Target};
use crate::failure::{Failure, FieldError};
use crate::names::{self, Rule};
use crate::object;
use crate::resources::{Resource, Subresource, is_built_in};
use crate::schema::Types;
use crate::store::Object;

/// The group of the definitions.
pub(crate) const GROUP: &str = "apiextensions.k8s.io";

/// Where the definitions are kept.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// One served version of a custom resource.
#[derive(Debug)]
pub(crate) struct Custom {
    /// Tells this schema from every other.
    pub(crate) id: u64,
    pub(crate) list_kind: String,
    pub(crate) types: Types,
    /// The place of the resource's own type.
    pub(crate) root: usize,
    /// The schema as it was written, for those who want to read it.
    pub(crate) written: Value,
    pub(crate) scale: Option<Scale>,
    /// The fields that lists can be narrowed by, as `.spec.color`.
    pub(crate) selectable: Vec<String>,
    /// The version that objects are kept in.
    pub(crate) storage_version: String,
    /// What those who use an old version are told.
    pub(crate) warning: Option<String>,
    /// Whether the definition is being deleted.
    pub(crate) terminating: bool,
    /// Whether versions are converted by a webhook.
    pub(crate) webhook: bool,
    /// Ends the watches when the definition changes or goes.
    pub(crate) ended: CancellationToken,
    schema: Arc<Schema>,
    /// The schema of the kept version, where it is another one.
    kept: Option<Arc<Schema>>,
    columns: Vec<table::Column>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The patches that custom resources take.
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

const STATUS: &[&str] = &["get", "patch", "update"];

/// The resources of a definition: one for each version that is served.
pub(crate) fn resources(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let text = |key: &str| object::text(names, &[key]).to_owned();
    let words = |key: &str| -> Vec<String> {
        object::list(names, &[key]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let group = object::text(spec, &["group"]).to_owned();
    // What is built in has its place in the store already.
    if is_built_in(&group, &text("plural")) {
        return Vec::new();
    }
    let versions = object::list(spec, &["versions"]);
    let schema_of = |version: &Value| Schema::read(&version["schema"]["openAPIV3Schema"]);
    let stored = versions.iter().find(|version| version["storage"] == true);
    let storage_version = stored.map(|version| object::text(version, &["name"]).to_owned());
    let kept = stored.map(|version| Arc::new(schema_of(version)));
    let domain: Vec<&str> = group.rsplit('.').collect();
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let name = object::text(version, &["name"]).to_owned();
            let is_stored = version["storage"] == true;
            let schema = match &kept {
                Some(kept) if is_stored => Arc::clone(kept),
                _ => Arc::new(schema_of(version)),
            };
            let type_name = format!("{}.{name}.{}", domain.join("."), text("kind"));
            let (types, root) = types::types(&type_name, &schema);
            let custom = Custom {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                list_kind: text("listKind"),
                types,
                root,
                written: version["schema"]["openAPIV3Schema"].clone(),
                scale: Scale::read(version),
                selectable: object::list(version, &["selectableFields"])
                    .iter()
                    .map(|one| object::text(one, &["jsonPath"]).to_owned())
                    .collect(),
                storage_version: storage_version.clone().unwrap_or_default(),
                warning: warning(version, &group, &text("kind")),
                terminating: object::is_deleting(definition),
                webhook: spec["conversion"]["strategy"] == "Webhook" && versions.len() > 1,
                schema,
                ended: CancellationToken::new(),
                kept: kept.clone().filter(|_| !is_stored),
                columns: table::read(version),
            };
            Resource {
                version: name,
                kind: text("kind"),
                plural: text("plural"),
                singular: text("singular"),
                short: words("shortNames"),
                categories: words("categories"),
                namespaced: spec["scope"] == "Namespaced",
                stored: true,
                subresources: subresources(version),
                storage: format!("{}.{group}", text("plural")),
                schema: type_name,
                custom: Some(Arc::new(custom)),
                group: group.clone(),
            }
        })
        .collect()
}

fn warning(version: &Value, group: &str, kind: &str) -> Option<String> {
    let name = object::text(version, &["name"]);
    (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("{group}/{name} {kind} is deprecated"),
    })
}

fn subresources(version: &Value) -> Vec<Subresource> {
    let part =
        |name, group, version, kind| Subresource { name, group, version, kind, verbs: STATUS };
    let declared = &version["subresources"];
    let mut parts = Vec::new();
    if declared.get("status").is_some_and(Value::is_object) {
        parts.push(part("status", "", "", ""));
    }
    if declared.get("scale").is_some_and(Value::is_object) {
        parts.push(part("scale", "autoscaling", "v1", "Scale"));
    }
    parts
}

impl Custom {
    /// An object as this version shows it.
    pub(crate) fn shown<'a>(&self, object: &'a Object) -> Cow<'a, Value> {
        if object.form() == self.id {
            return Cow::Borrowed(&object.value);
        }
        let mut value = object.value.clone();
        prune::prune(&self.schema, &mut value);
        prune::default(&self.schema, &mut value);
        if value == object.value {
            object.set_form(self.id);
            return Cow::Borrowed(&object.value);
        }
        Cow::Owned(value)
    }

    /// What of an object is kept: what the kept version knows.
    pub(crate) fn to_kept(&self, value: &mut Value) {
        if let Some(kept) = &self.kept {
            prune::prune(kept, value);
        }
    }

    /// The faults of a new object, its metadata left aside.
    pub(crate) fn check(&self, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::check(&self.schema, value, old);
        if let Some(scale) = &self.scale {
            scale.check(value, &mut errors);
        }
        errors.extend(validate::embedded(&self.schema, value));
        errors.extend(validate::duplicates(&self.schema, value));
        errors
    }

    /// The faults that the rules find, after all others.
    pub(crate) fn check_rules(
        &self,
        value: &Value,
        old: Option<&Value>,
        errors: &mut Vec<FieldError>,
    ) {
        if !self.schema.ruled {
            return;
        }
        if errors.iter().any(validate::blocks) {
            errors.push(FieldError::invalid(
                "<nil>",
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ));
            return;
        }
        errors.extend(rules::check(&self.schema, value, old));
    }
}

/// What a request is about: of custom resources a POST to an object is one to its collection.
pub(crate) fn collection<'a>(target: &'a Target, call: &Call) -> Cow<'a, Target> {
    let creates = call.method == Method::POST && target.subresource.is_empty();
    if creates && target.resource.custom.is_some() && target.name.is_some() {
        return Cow::Owned(Target { name: None, ..target.clone() });
    }
    Cow::Borrowed(target)
}

/// What is answered to a request on a custom resource before its verb is looked at: what its
/// version, its parts, or the end of its definition do not allow.
pub(crate) fn first(target: &Target, call: &Call) -> Option<Result<Response, Failure>> {
    let resource = &target.resource;
    let custom = resource.custom.as_ref()?;
    let part = target.subresource.as_str();
    if !part.is_empty() && resource.subresource(part).is_none() {
        let name = target.name.as_deref().unwrap_or_default();
        return Some(Err(Failure::not_found(resource, name)));
    }
    if custom.webhook && custom.storage_version != resource.version {
        return Some(Err(Failure::internal(format!(
            "conversion webhook for {}, Kind={} failed: this server calls no conversion webhooks; ask for version {}",
            resource.api_version(),
            resource.kind,
            custom.storage_version
        ))));
    }
    let media = call.header("content-type").split(';').next().unwrap_or_default().trim();
    if call.method == Method::PATCH && !PATCHES.contains(&media) {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            PATCHES.join(", ")
        );
        return Some(Err(Failure::new(415, "UnsupportedMediaType", message)));
    }
    let nowhere = resource.namespaced && target.namespace.is_none();
    match call.method {
        Method::POST | Method::DELETE if nowhere => Some(Ok(api::no_page())),
        Method::POST if custom.terminating => {
            let mut failure = Failure::method_not_allowed().about(resource, "");
            failure.message =
                "create not allowed while custom resource definition is terminating".to_owned();
            Some(Err(failure))
        }
        Method::PUT | Method::PATCH if target.name.is_none() => {
            Some(Err(Failure::bad_request("name must be provided")))
        }
        Method::GET | Method::PUT | Method::PATCH => None,
        Method::POST if part.is_empty() => None,
        Method::DELETE if part.is_empty() => None,
        _ => {
            let verb = match call.method {
                Method::POST => "create",
                Method::DELETE => "delete",
                _ => "",
            };
            let mut failure = Failure::method_not_allowed().about(resource, "");
            failure.message =
                format!("{verb} is not supported on resources of kind {:?}", resource.qualified());
            Some(Err(failure))
        }
    }
}

/// An object as the version of a resource shows it.
pub(crate) fn as_shown(resource: &Resource, object: Arc<Object>) -> Arc<Object> {
    let Some(custom) = &resource.custom else { return object };
    let owned = match custom.shown(&object) {
        Cow::Borrowed(_) => None,
        Cow::Owned(value) => Some(value),
    };
    match owned {
        Some(value) => Arc::new(Object::new(value, object.revision)),
        None => object,
    }
}

/// The failure of an object that says it is of another kind.
pub(crate) fn wrong_kind(resource: &Resource, value: &Value) -> Option<Failure> {
    resource.custom.as_ref()?;
    let kind = value.get("kind")?;
    let error = FieldError::invalid("kind", kind, &format!("must be {}", resource.kind));
    let kind = kind.as_str().unwrap_or_default();
    Some(Failure::invalid_kind(&resource.group, kind, object::name(value), &[error]))
}

/// The warnings about the names of finalizers that are new.
pub(crate) fn finalizer_warnings(
    resource: &Resource,
    old: Option<&Value>,
    value: &Value,
) -> Vec<String> {
    if resource.custom.is_none() {
        return Vec::new();
    }
    let before: Vec<&str> = old.into_iter().flat_map(object::finalizers).collect();
    let mut added: Vec<&str> =
        object::finalizers(value).filter(|name| !before.contains(name)).collect();
    added.sort_unstable();
    let mut warnings = Vec::new();
    for name in added {
        let said = |what: &str| format!("metadata.finalizers: {name:?}: {what}");
        warnings.extend(names::label_key_faults(name).iter().map(|fault| said(fault)));
        let standard = matches!(name, "orphan" | "foregroundDeletion" | "kubernetes");
        if !name.contains('/') && !standard {
            warnings.push(said("prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"));
        }
    }
    warnings
}

/// Whether a text is a name of a group, version, or resource.
fn label_faults(text: &str) -> Vec<String> {
    names::name_faults(Rule::OldLabel, text)
}

#[cfg(test)]
mod tests;
