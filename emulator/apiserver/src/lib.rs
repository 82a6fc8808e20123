#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod access;
mod admission;
mod api;
mod controllers;
mod custom;
mod discovery;
mod events;
mod failure;
mod faults;
pub mod kubelet;
pub mod logs;
mod managed;
mod names;
mod object;
mod openapi;
mod patch;
pub mod private;
mod protobuf;
mod resources;
mod schema;
mod selectors;
mod server;
mod store;
mod strategy;
pub mod streams;
mod table;
mod verbs;

pub use faults::{Fault, Faults, When};
pub use server::{Options, Server, StartError};
