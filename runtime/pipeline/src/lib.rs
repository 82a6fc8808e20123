//! One build, from its script to its outcome.

pub mod script;
