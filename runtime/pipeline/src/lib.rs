//! One build, from its script to its outcome.

pub mod script;

mod engine;
mod mask;
mod output;
mod view;

pub use engine::{EngineError, Limits};
pub use output::{Line, Output, Stream};
