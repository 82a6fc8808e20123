//! The program as it is built, on every host that there is: each is played, and the deliveries of all
//! senders reach the program through it.

#[cfg(test)]
mod host;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod parity;
#[cfg(test)]
#[path = "../../src/sources.rs"]
#[expect(dead_code, reason = "the tests within the crate need more of it")]
mod sources;
#[cfg(test)]
mod world;
