//! The programs that images have, as one: the first argument names which it is to be.

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let mut given = std::env::args_os().skip(1);
    match given.next().and_then(|name| name.into_string().ok()).as_deref() {
        Some("functions") => functions::play(std::iter::once("functions".into()).chain(given)),
        Some("worker") => worker::play(std::iter::once("worker".into()).chain(given)),
        _ => anyhow::bail!("the first argument must be functions or worker"),
    }
}
