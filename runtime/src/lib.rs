#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod build;
pub mod cluster;
pub mod event;
pub mod github;
pub mod job;
pub mod journal;
pub mod line;
pub mod outcome;
pub mod project;
pub mod serve;
pub mod settings;
pub mod signature;
pub mod sweep_pod;
pub mod telemetry;
pub mod template;
pub mod trace;
pub mod units;
pub mod worker_pod;

mod version;

pub use version::version;
