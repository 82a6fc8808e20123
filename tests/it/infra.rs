//! What `infra/` holds, tried with the tools that it is for. What is not installed is skipped, and
//! the test says so; where `BRIGANTINE_TOOLS` is set, it must be there.

mod charts;
mod images;
mod project;
mod rights;
mod templates;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder `infra`.
fn infra() -> PathBuf {
    root().join("infra")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in the workspace").to_owned()
}

/// A tool that is on the PATH, or that `.ci/run` has installed.
fn tool(name: &str) -> Option<PathBuf> {
    let installed = ["target/clients/infra/bin", "target/clients/go"];
    let installed = installed.map(|folder| root().join(folder).join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = found.chain(installed).find(|file| file.is_file());
    if found.is_none() {
        #[expect(clippy::disallowed_methods, reason = "it says what must be installed")]
        let all = std::env::var("BRIGANTINE_TOOLS").is_ok();
        assert!(!all, "BRIGANTINE_TOOLS is set, and there is no {name}");
        println!("skipped: there is no {name}");
    }
    found
}

/// Runs a tool to its end.
fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a tool that must succeed prints.
fn printed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = run(command);
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {}{errors}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stdout).expect("it prints text")
}

/// What a tool that must fail complains of.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = run(command);
    assert!(!status.success(), "{command:?} must fail");
    String::from_utf8_lossy(&stderr).into_owned()
}
