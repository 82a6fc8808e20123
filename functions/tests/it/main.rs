//! The program as it is built, on every host that there is: each is played, and the deliveries of all
//! senders reach the program through it.

mod host;
mod lambda;
mod parity;
#[path = "../../src/sources.rs"]
#[expect(dead_code, reason = "the tests within the crate need more of it")]
mod sources;
mod world;
