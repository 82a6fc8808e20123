//! Each way of attacking a receiver that we know, tried on every source that it could work on.
//!
//! The table in the README of this crate says which test is about which attack.

use super::*;

mod addresses;
mod bodies;
mod github;
mod proof;
mod words;

/// Sends what must be refused, and checks that it made nothing.
async fn refused(world: &World, request: Request<Body>, code: u16) -> Value {
    let told = world.send(request).await;
    assert_eq!(told.code, code, "{told:?}");
    assert!(world.is_untouched().await, "{told:?}");
    told.body
}
