//! The server, used by the clients that people use.

mod admission;
mod controllers;
mod hostile;
mod kubectl;
mod objects;
mod replay;
mod state;
