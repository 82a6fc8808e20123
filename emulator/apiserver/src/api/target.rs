//! What a path means.

use std::borrow::Cow;
use std::sync::Arc;

use crate::resources::{Catalogue, Resource};
use crate::store::Key;

/// A path, understood.
#[derive(Debug)]
pub(crate) enum Path {
    /// An object, a collection, or a part of an object.
    Object(Target),
    /// A path of the API that names no resource.
    Unknown,
    /// Not a path of the API.
    Other,
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: String,
    /// The old form of a watch: `/api/v1/watch/...`.
    pub(crate) watch: bool,
}

impl Target {
    /// Where the object lies.
    pub(crate) fn key(&self) -> Key {
        Key::new(self.namespace.clone().unwrap_or_default(), self.name.clone().unwrap_or_default())
    }
}

/// Finds out what a path means.
pub(crate) fn parse(catalogue: &Catalogue, path: &str) -> Path {
    let segments: Vec<Cow<'_, str>> =
        path.trim_start_matches('/').split('/').map(unescape).collect();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Path::Other,
    };
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let find = |plural: &str| catalogue.find(group, version, plural);
    let (namespace, plural, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..]
            if !(group.is_empty() && matches!(*plural, "status" | "finalize" | "")) =>
        {
            (Some((*namespace).to_owned()), *plural, rest)
        }
        [] | [""] => return Path::Other,
        [plural, rest @ ..] => (None, *plural, rest),
    };
    let Some(resource) = find(plural) else {
        // What has only custom resources knows nothing else.
        if catalogue.is_custom(group) {
            return Path::Other;
        }
        let known = group.is_empty() || catalogue.groups().iter().any(|(name, _)| name == group);
        return if known { Path::Unknown } else { Path::Other };
    };
    let unknown = || if resource.custom.is_some() { Path::Other } else { Path::Unknown };
    if namespace.is_some() && !resource.namespaced {
        return unknown();
    }
    let (name, subresource) = match rest {
        [] | [""] => (None, String::new()),
        [name] | [name, ""] => (Some((*name).to_owned()), String::new()),
        [name, subresource @ ..] => (Some((*name).to_owned()), subresource.join("/")),
    };
    if name.is_some() && resource.namespaced && namespace.is_none() {
        return unknown();
    }
    if !subresource.is_empty()
        && resource.subresource(&subresource).is_none()
        && resource.custom.is_none()
    {
        return Path::Unknown;
    }
    Path::Object(Target { resource, namespace, name, subresource, watch })
}

/// Percent decoding; what is no escape stays as it is.
pub(crate) fn unescape(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = segment.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}
