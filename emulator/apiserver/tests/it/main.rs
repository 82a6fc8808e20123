//! The server, used by the clients that people use.

mod access;
mod clients;
mod controllers;
mod hostile;
mod kubectl;
mod objects;
mod podman;
mod pods;
mod replay;
mod runtime;
mod state;
mod workloads;
