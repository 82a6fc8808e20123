//! What a request wants to do, in the words of authorisation: a verb on a resource, or on a path.

use std::borrow::Cow;

use http::Method;

use super::User;
use crate::api::{Query, unescape};
use crate::failure::Failure;
use crate::selectors::Fields;

/// The words of one decision. Without a resource it is about a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The path, where it is about no resource.
    pub(crate) path: Option<String>,
}

impl Attributes {
    /// Those of a request.
    pub(crate) fn of(method: &Method, path: &str, query: &Query) -> Self {
        let segments: Vec<Cow<'_, str>> = match path.trim_matches('/') {
            "" => Vec::new(),
            inner => inner.split('/').map(unescape).collect(),
        };
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => {
                return Attributes {
                    verb: method.as_str().to_lowercase(),
                    path: Some(path.to_owned()),
                    ..Attributes::default()
                };
            }
        };
        let (mut verb, rest) = match (method, rest) {
            (&Method::GET | &Method::HEAD, ["watch", rest @ ..]) if !rest.is_empty() => {
                ("watch", rest)
            }
            (&Method::POST, rest) => ("create", rest),
            (&Method::GET | &Method::HEAD, rest) => ("get", rest),
            (&Method::PUT, rest) => ("update", rest),
            (&Method::PATCH, rest) => ("patch", rest),
            (&Method::DELETE, rest) => ("delete", rest),
            (_, rest) => ("", rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, kind, ..] if !matches!(*kind, "status" | "finalize") => {
                (*namespace, &rest[2..])
            }
            ["namespaces", namespace, ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default();
        let (resource, mut name) = (part(0), Cow::Borrowed(part(1)));
        // A longer path is the subresource's.
        let subresource = rest.get(2..).unwrap_or_default().join("/");
        if name.is_empty() && verb == "get" {
            verb = if query.flag("watch") { "watch" } else { "list" };
            let selector = query.get("fieldSelector").unwrap_or_default();
            let exact = Fields::exact(selector, "metadata.name");
            if let Some(exact) = exact.filter(|name| is_segment(name)) {
                name = Cow::Owned(exact);
            }
        } else if name.is_empty() && verb == "delete" {
            verb = "deletecollection";
        }
        Attributes {
            verb: verb.to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource,
            namespace: namespace.to_owned(),
            name: name.into_owned(),
            path: None,
        }
    }

    /// The resource with its part: how rules name it.
    pub(crate) fn whole_resource(&self) -> Cow<'_, str> {
        if self.subresource.is_empty() {
            Cow::Borrowed(&self.resource)
        } else {
            Cow::Owned(format!("{}/{}", self.resource, self.subresource))
        }
    }

    /// The answer to a user who may not.
    pub(crate) fn forbidden(&self, user: &User, reason: &str) -> Failure {
        let (verb, name) = (&self.verb, &user.name);
        let mut why = match &self.path {
            Some(path) => format!("User {name:?} cannot {verb} path {path:?}"),
            None => format!(
                "User {name:?} cannot {verb} resource {:?} in API group {:?} {}",
                self.whole_resource(),
                self.group,
                if self.namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {:?}", self.namespace)
                }
            ),
        };
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Failure::forbidden_about(&self.group, &self.resource, &self.name, &why)
    }
}

/// Whether a text can be a name in a path.
fn is_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
}
