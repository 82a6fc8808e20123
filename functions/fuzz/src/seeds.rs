//! Writes what the fuzzer begins with, below the folder that is named: the recorded requests of
//! `tests/payloads`, a delivery of every source, and projects.

// What is instrumented calls it.
use libfuzzer_sys as _;
use std::fs;
use std::path::Path;

use functions::fuzzing::{PROJECT, deliveries};

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    let folder = Path::new(&folder);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for target in ["bodies", "projects", "proofs", "requests"] {
        fs::create_dir_all(folder.join(target))?;
    }
    for (number, (name, body)) in deliveries().enumerate() {
        let seed = [name.as_bytes(), b"\n", &body].concat();
        fs::write(folder.join(format!("bodies/{number}")), seed)?;
    }
    let mut number = 0;
    for receiver in fs::read_dir(root.join("tests/payloads"))? {
        let receiver = receiver?.path();
        if !receiver.is_dir() {
            continue;
        }
        for recorded in fs::read_dir(receiver)? {
            // About the project that there is, or nothing of it would be read.
            let text = fs::read_to_string(recorded?.path())?.replace("acme/app", PROJECT);
            fs::write(folder.join(format!("requests/{number}")), &text)?;
            fs::write(folder.join(format!("proofs/{number}")), &text)?;
            number += 1;
        }
    }
    for (number, project) in ["tests/payloads/project.yaml", "emulator/demo/project.yaml"]
        .iter()
        .map(|path| fs::read(root.join(path)))
        .enumerate()
    {
        fs::write(folder.join(format!("projects/{number}")), project?)?;
    }
    Ok(())
}
