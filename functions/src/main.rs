//! The program `functions`: the HTTP functions, on whatever host it finds itself.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    functions::play(std::env::args_os())
}
