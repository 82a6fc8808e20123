//! The server, used by the clients that people use.

mod objects;
mod replay;
