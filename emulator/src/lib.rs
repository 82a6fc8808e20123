#![doc = include_str!("../README.md")]

pub mod backstage;
pub mod demo;
pub mod emulator;
pub mod fire;
pub mod folder;
pub mod host;
pub mod replay;
pub mod request;
pub mod sinks;
pub mod stand_ins;
pub mod story;
mod sweeper;
pub mod up;
