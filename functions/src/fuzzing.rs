//! What the fuzzer sends: the deliveries of every source, with bodies of its choice.

use axum::body::{Body, Bytes};
use axum::http::Request;

use crate::sources;

/// The project that every delivery is about.
pub const PROJECT: &str = sources::PROJECT;

/// The secret of that project.
pub const SECRET: &str = sources::SECRET;

/// The deliveries that there are, by name, each with a body that makes a build.
pub fn deliveries() -> impl Iterator<Item = (&'static str, Bytes)> {
    sources::all().map(|source| (source.name, (source.sample)(1).body))
}

/// The delivery of this name with this body, proved by this secret.
pub fn delivery(name: &str, body: Vec<u8>, secret: Option<&str>) -> Option<Request<Body>> {
    let source = sources::all().find(|source| source.name == name)?;
    Some((source.sample)(1).with_body(body).request(secret))
}
