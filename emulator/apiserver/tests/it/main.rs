//! The server, used by the clients that people use.

mod controllers;
mod hostile;
mod kubectl;
mod objects;
mod replay;
mod state;
mod streams;
