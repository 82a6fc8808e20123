//! The program `worker`: what pods run that Brigantine makes for itself.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    worker::play(std::env::args_os())
}
