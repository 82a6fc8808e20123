//! The server, used by the clients that people use.

mod access;
mod controllers;
mod hostile;
mod kubectl;
mod objects;
mod podman;
mod pods;
mod replay;
mod state;
mod workloads;
