//! The hosts of functions, played: what a program sees of AWS Lambda and of Azure Functions, and what
//! a client sees of it through them.
//!
//! A player starts a program, speaks to it as the host does, and serves HTTP in front of it. It knows
//! the hosts and nothing of the programs.

pub mod azure;
pub mod lambda;
pub mod plain;
mod process;
