//! In which form a client wants its answer, and putting objects into that form.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::Call;
use crate::custom;
use crate::events;
use crate::failure::Failure;
use crate::object;
use crate::resources::Resource;
use crate::store::Object;
use crate::table;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Object,
    Table(Include, Version),
    Metadata(Version),
}

/// The version of a table or of bare metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    Beta,
}

impl Version {
    fn text(self) -> &'static str {
        match self {
            Version::V1 => "meta.k8s.io/v1",
            Version::Beta => "meta.k8s.io/v1beta1",
        }
    }
}

/// How much of the object the row of a table carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Metadata,
    Object,
    None,
}

const TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

impl View {
    /// The first form in `Accept` that can be given. `resource` and `list` say what is answered.
    ///
    /// # Errors
    /// 406 when there is none.
    pub(crate) fn of(call: &Call, resource: &Resource, list: bool) -> Result<View, Failure> {
        let accept = call.header("accept");
        if accept.is_empty() {
            return Ok(View::Object);
        }
        let mut refused = false;
        for wish in accept.split(',') {
            let mut media = "";
            let (mut form, mut version, mut group) = ("", "v1", "meta.k8s.io");
            for (index, part) in wish.split(';').map(str::trim).enumerate() {
                match part.split_once('=') {
                    _ if index == 0 => media = part,
                    Some(("as", value)) => form = value,
                    Some(("v", value)) => version = value,
                    Some(("g", value)) => group = value,
                    _ => {}
                }
            }
            if !matches!(media, "application/json" | "application/yaml" | "*/*" | "application/*") {
                continue;
            }
            let version = match version {
                _ if form.is_empty() => return Ok(View::Object),
                _ if group != "meta.k8s.io" => None,
                "v1" => Some(Version::V1),
                "v1beta1" => Some(Version::Beta),
                _ => None,
            };
            match (form, version) {
                ("Table", Some(version)) => return Ok(View::Table(include(call)?, version)),
                ("PartialObjectMetadata", Some(version)) if !list => {
                    return Ok(View::Metadata(version));
                }
                ("PartialObjectMetadataList", Some(version)) if list => {
                    return Ok(View::Metadata(version));
                }
                ("PartialObjectMetadata", Some(_)) => {
                    return Err(not_acceptable(format!(
                        "you requested PartialObjectMetadata, but the requested object is a list (*{}List)",
                        go_type(resource)
                    )));
                }
                ("PartialObjectMetadataList", Some(_)) if resource.custom.is_some() => {
                    return Err(Failure::internal("content is not a list"));
                }
                ("PartialObjectMetadataList", Some(_)) => {
                    return Err(not_acceptable(format!(
                        "you requested PartialObjectMetadataList, but the requested object is not a list (*{})",
                        go_type(resource)
                    )));
                }
                _ => refused = true,
            }
        }
        if refused || resource.custom.is_some() {
            return Err(not_acceptable(format!(
                "only the following media types are accepted: {TYPES}"
            )));
        }
        let message = format!("406: Not Acceptable\n\nAvailable representations: {TYPES}");
        Err(Failure::new(406, "NotAcceptable", message).without_details())
    }

    /// One object as JSON.
    pub(crate) fn object(self, resource: &Resource, object: &Object) -> Bytes {
        match self {
            View::Object => with_kind(resource, object),
            View::Metadata(version) => Bytes::from(partial(object, version).to_string()),
            View::Table(..) => {
                let metadata =
                    json!({"resourceVersion": object::meta(&object.value, "resourceVersion")});
                self.table(resource, &metadata, std::iter::once(object), true)
            }
        }
    }

    /// A list as JSON.
    pub(crate) fn list<'a>(
        self,
        resource: &Resource,
        metadata: &Value,
        objects: impl Iterator<Item = &'a Object>,
    ) -> Bytes {
        let (kind, api_version) = match self {
            View::Table(..) => return self.table(resource, metadata, objects, true),
            View::Metadata(version) => {
                ("PartialObjectMetadataList".to_owned(), version.text().to_owned())
            }
            View::Object => (resource.list_kind(), resource.api_version()),
        };
        let mut metadata = metadata.clone();
        if self == View::Object && resource.custom.is_some() && metadata.get("continue").is_none() {
            metadata["continue"] = json!("");
        }
        let head = format!(
            "{{\"kind\":{kind:?},\"apiVersion\":{api_version:?},\"metadata\":{metadata},\"items\":["
        );
        let items: Vec<Bytes> = objects
            .map(|object| match self {
                View::Metadata(version) => Bytes::from(partial(object, version).to_string()),
                _ => item(resource, object),
            })
            .collect();
        let length: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut body = BytesMut::with_capacity(head.len() + length + 2);
        body.put_slice(head.as_bytes());
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.put_u8(b',');
            }
            body.put_slice(item);
        }
        body.put_slice(b"]}");
        body.freeze()
    }

    /// Whether every watch of the objects sees the same: there is one form and one version of them.
    pub(crate) fn is_common(self, resource: &Resource) -> bool {
        self == View::Object && resource.custom.is_none() && resource.group != "events.k8s.io"
    }

    /// The object of a watch event as JSON; only the first of a stream has columns.
    pub(crate) fn event(self, resource: &Resource, object: &Object, first: bool) -> Bytes {
        match self {
            View::Table(..) => {
                let metadata =
                    json!({"resourceVersion": object::meta(&object.value, "resourceVersion")});
                self.table(resource, &metadata, std::iter::once(object), first)
            }
            _ => self.object(resource, object),
        }
    }

    /// The object of a bookmark as JSON.
    pub(crate) fn bookmark(self, resource: &Resource, metadata: &Value, first: bool) -> Bytes {
        let object = match self {
            View::Table(..) => {
                let object = Object::new(json!({"metadata": metadata}), 0);
                return self.table(resource, metadata, std::iter::once(&object), first);
            }
            View::Metadata(version) => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": version.text(),
                "metadata": metadata,
            }),
            View::Object => {
                let types = &crate::schema::TYPES;
                let mut zero = match types.find(&resource.schema) {
                    Some(root) => crate::schema::normalize::zero(types, types.get(root)),
                    None => json!({}),
                };
                zero["kind"] = json!(resource.kind);
                zero["apiVersion"] = json!(resource.api_version());
                zero["metadata"] = metadata.clone();
                zero
            }
        };
        Bytes::from(object.to_string())
    }

    fn table<'a>(
        self,
        resource: &Resource,
        metadata: &Value,
        objects: impl Iterator<Item = &'a Object>,
        columns: bool,
    ) -> Bytes {
        let (include, version) = match self {
            View::Table(include, version) => (include, version),
            _ => (Include::Metadata, Version::V1),
        };
        let mut body = BytesMut::new();
        let columns = if columns { table::definitions(resource) } else { Value::Null };
        let head = format!(
            "{{\"kind\":\"Table\",\"apiVersion\":{:?},\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":[",
            version.text()
        );
        body.put_slice(head.as_bytes());
        let mut any = false;
        for (index, object) in objects.enumerate() {
            any = true;
            let comma = if index > 0 { "," } else { "" };
            let cells = table::cells(resource, &shown(resource, object));
            body.put_slice(format!("{comma}{{\"cells\":{cells},").as_bytes());
            if let Some(conditions) = table::conditions(resource, &object.value) {
                body.put_slice(format!("\"conditions\":{conditions},").as_bytes());
            }
            body.put_slice(b"\"object\":");
            match include {
                Include::None => body.put_slice(b"null"),
                Include::Object => body.put_slice(&with_kind(resource, object)),
                Include::Metadata => {
                    body.put_slice(partial(object, version).to_string().as_bytes());
                }
            }
            body.put_u8(b'}');
        }
        if !any && resource.is(custom::GROUP, "CustomResourceDefinition") {
            // Where the real server has nothing of its own to make rows, it makes no list of them.
            body.truncate(body.len() - 1);
            body.put_slice(b"null}");
            return body.freeze();
        }
        body.put_slice(b"]}");
        body.freeze()
    }
}

/// How a type is named in messages: with the first part of the group.
fn go_type(resource: &Resource) -> String {
    if resource.custom.is_some() {
        return "unstructured.Unstructured".to_owned();
    }
    let package = match resource.group.split('.').next() {
        None | Some("") => "core",
        Some(first) => first,
    };
    format!("{package}.{}", resource.kind)
}

fn not_acceptable(message: String) -> Failure {
    Failure::new(406, "NotAcceptable", message)
}

fn include(call: &Call) -> Result<Include, Failure> {
    match call.query.get("includeObject") {
        None | Some("" | "Metadata") => Ok(Include::Metadata),
        Some("Object") => Ok(Include::Object),
        Some("None") => Ok(Include::None),
        Some(other) => Err(Failure::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
        ))),
    }
}

/// An object as its version shows it.
fn shown<'a>(resource: &Resource, object: &'a Object) -> Cow<'a, Value> {
    match &resource.custom {
        Some(custom) => custom.shown(object),
        None => Cow::Borrowed(&object.value),
    }
}

/// An object as it is in a list: without kind and version, unless it is a custom resource.
fn item(resource: &Resource, object: &Object) -> Bytes {
    if resource.custom.is_some() {
        return with_kind(resource, object);
    }
    bare(resource, object)
}

fn bare(resource: &Resource, object: &Object) -> Bytes {
    if let Cow::Owned(value) = shown(resource, object) {
        return Bytes::from(value.to_string());
    }
    if events::is_new(resource) {
        return Bytes::from(events::to_shown(resource, object.value.clone()).to_string());
    }
    object.body().clone()
}

/// An object with kind and version in front.
fn with_kind(resource: &Resource, object: &Object) -> Bytes {
    let body = bare(resource, object);
    let (kind, api_version) = (&resource.kind, resource.api_version());
    let head = match &resource.custom {
        Some(_) => format!("{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\","),
        None => format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\","),
    };
    let mut whole = BytesMut::with_capacity(head.len() + body.len());
    whole.put_slice(head.as_bytes());
    whole.put_slice(&body[1..]);
    whole.freeze()
}

fn partial(object: &Object, version: Version) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.text(),
        "metadata": object.value["metadata"],
    })
}
