//! The server, used by the clients that people use.

mod kubectl;
mod objects;
mod replay;
mod state;
