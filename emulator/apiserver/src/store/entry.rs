//! What the store holds: objects, each under its key.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::Value;

use crate::object;

/// An object at one version, without `kind` and `apiVersion`.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    pub(crate) revision: u64,
    body: OnceLock<Bytes>,
    /// The schema of a custom resource that is known to change nothing in it.
    form: AtomicU64,
}

impl Object {
    pub(crate) fn new(value: Value, revision: u64) -> Self {
        Object { value, revision, body: OnceLock::new(), form: AtomicU64::new(0) }
    }

    /// The schema that is known to change nothing in it; 0 is none.
    pub(crate) fn form(&self) -> u64 {
        self.form.load(Ordering::Relaxed)
    }

    /// Notes that a schema changes nothing in it.
    pub(crate) fn set_form(&self, form: u64) {
        self.form.store(form, Ordering::Relaxed);
    }

    /// The object as JSON, made once.
    pub(crate) fn body(&self) -> &Bytes {
        self.body.get_or_init(|| Bytes::from(encode(&self.value)))
    }
}

/// A value as JSON; quicker than by its `Display`.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, value).expect("JSON has only texts as keys");
    bytes
}

/// Where an object lies inside its resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Key { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of(value: &Value) -> Self {
        Key::new(object::namespace(value), object::name(value))
    }
}
