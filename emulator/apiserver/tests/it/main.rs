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
#[cfg(test)]
mod podman;
#[cfg(test)]
mod pods;
mod replay;
mod runtime;
mod state;
#[cfg(test)]
mod streams;
mod workloads;
