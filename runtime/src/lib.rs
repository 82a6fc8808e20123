#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod build;
pub mod event;
pub mod project;
