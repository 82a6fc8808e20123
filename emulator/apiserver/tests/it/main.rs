//! The server, used by the clients that people use.

mod access;
mod admission;
mod charts;
mod clients;
mod controllers;
mod custom;
mod hostile;
mod kubectl;
mod objects;
mod podman;
mod pods;
mod replay;
mod runtime;
mod state;
#[cfg(test)]
mod streams;
mod workloads;
