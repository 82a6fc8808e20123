//! In which form a client wants its answer, and putting objects into that form.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::Call;
use crate::failure::Failure;
use crate::resources::Resource;
use crate::store::Object;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Object,
    Table(Include),
    Metadata,
}

/// How much of the object the row of a table carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    Metadata,
    Object,
    None,
}

impl View {
    /// The first form in `Accept` that can be given.
    ///
    /// # Errors
    /// 406 when there is none.
    pub(crate) fn of(call: &Call) -> Result<View, Failure> {
        let accept = call.header("accept");
        if accept.is_empty() {
            return Ok(View::Object);
        }
        for wish in accept.split(',') {
            let mut parts = wish.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*") {
                continue;
            }
            let form = parts.find_map(|part| part.strip_prefix("as="));
            match form {
                None => return Ok(View::Object),
                Some("Table") => return Ok(View::Table(include(call)?)),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Ok(View::Metadata);
                }
                Some(_) => {}
            }
        }
        Err(Failure::new(
            406,
            "NotAcceptable",
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
        .without_details())
    }

    /// One object as JSON.
    pub(crate) fn object(self, resource: &Resource, object: &Object) -> Bytes {
        match self {
            View::Object => with_kind(&resource.api_version(), &resource.kind, object.body()),
            View::Metadata => Bytes::from(partial(object).to_string()),
            View::Table(_) => with_kind(&resource.api_version(), &resource.kind, object.body()),
        }
    }

    /// A list as JSON.
    pub(crate) fn list<'a>(
        self,
        resource: &Resource,
        metadata: &Value,
        objects: impl Iterator<Item = &'a Object>,
    ) -> Bytes {
        let mut body = BytesMut::new();
        let (kind, api_version) = match self {
            View::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => (format!("{}List", resource.kind), resource.api_version()),
        };
        body.put_slice(
            format!("{{\"kind\":{kind:?},\"apiVersion\":{api_version:?},\"metadata\":{metadata},\"items\":[")
                .as_bytes(),
        );
        for (index, object) in objects.enumerate() {
            if index > 0 {
                body.put_u8(b',');
            }
            match self {
                View::Metadata => body.put_slice(partial(object).to_string().as_bytes()),
                _ => body.put_slice(object.body()),
            }
        }
        body.put_slice(b"]}\n");
        body.freeze()
    }

    /// The object of a watch event as JSON.
    pub(crate) fn event(self, resource: &Resource, object: &Object, _columns: bool) -> Bytes {
        self.object(resource, object)
    }

    /// The object of a bookmark as JSON.
    pub(crate) fn bookmark(self, resource: &Resource, metadata: &Value, _columns: bool) -> Bytes {
        let mut object = match self {
            View::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"})
            }
            _ => json!({"kind": resource.kind, "apiVersion": resource.api_version()}),
        };
        object["metadata"] = metadata.clone();
        Bytes::from(object.to_string())
    }
}

fn include(call: &Call) -> Result<Include, Failure> {
    match call.query.get("includeObject") {
        None | Some("" | "Metadata") => Ok(Include::Metadata),
        Some("Object") => Ok(Include::Object),
        Some("None") => Ok(Include::None),
        Some(other) => {
            Err(Failure::bad_request(format!("unrecognized includeObject value: {other:?}")))
        }
    }
}

/// Puts kind and version in front of an object's JSON.
fn with_kind(api_version: &str, kind: &str, body: &Bytes) -> Bytes {
    let head = format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",");
    let mut whole = BytesMut::with_capacity(head.len() + body.len());
    whole.put_slice(head.as_bytes());
    whole.put_slice(&body[1..]);
    whole.freeze()
}

fn partial(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.value["metadata"],
    })
}
