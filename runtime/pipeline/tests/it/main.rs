//! Builds against a cluster in memory, whose kubelet is the test itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod brigade;
mod cancel;
mod examples;
mod faults;
mod hostile;
mod kill;
mod life;
mod limits;
mod packages;
mod replay;
mod start;
mod types;
mod v2;
mod world;
