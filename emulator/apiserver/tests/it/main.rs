//! The server, used by the clients that people use.

mod controllers;
mod kubectl;
mod objects;
mod replay;
mod state;
