//! The Dockerfile and the scripts beside it: that what they name is there, and what linters say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{infra, printed, root, tool};

/// The stages of the Dockerfile, by their names: their instructions, a line each.
fn stages() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(infra().join("Dockerfile")).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut stage = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with("FROM ") {
            line.split(" AS ").nth(1).unwrap().trim().clone_into(&mut stage);
        }
        stages.entry(stage.clone()).or_default().push(line.to_owned());
    }
    stages
}

/// What the scripts are, which are run without an interpreter being named.
fn scripts() -> Vec<PathBuf> {
    ["images", "static", "kind-up", "aws/package", "azure/package"]
        .map(|name| infra().join(name))
        .into()
}

#[test]
fn every_image_has_a_user_who_is_a_number_and_is_not_root() {
    let stages = stages();
    for target in ["functions", "worker", "sidecar", "sidecar-root", "emulator"] {
        let stage = &stages[target];
        let user = stage.iter().rfind(|line| line.starts_with("USER ")).unwrap();
        let expected = if target == "sidecar-root" { "USER 0:0" } else { "USER 65532:65532" };
        assert_eq!(user, expected, "{target}");
        if target == "sidecar-root" {
            continue;
        }
        for part in ["ENTRYPOINT [\"/usr/local/bin/", "COPY --from=build /"] {
            assert!(stage.iter().any(|line| line.starts_with(part)), "{target} has no {part}");
        }
        let labels = ["title", "description", "licenses", "version", "revision"];
        let text = stage.join("\n");
        for label in labels {
            let label = format!("org.opencontainers.image.{label}=");
            assert!(text.contains(&label), "{target} has no {label}");
        }
    }
}

#[test]
fn what_is_copied_is_there_and_is_sent() {
    let ignore = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let sent: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let stages = stages();
    let copies = stages["build"].iter().filter_map(|line| line.strip_prefix("COPY "));
    let mut copied = Vec::new();
    for line in copies {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, sources) = words.split_last().unwrap();
        for source in sources {
            assert!(root().join(source).exists(), "there is no {source}");
            assert!(sent.contains(source), "{source} is not in .dockerignore");
            copied.push((*source).to_owned());
        }
    }
    // Every crate of the workspace must be there, or cargo builds none of them.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let members = members.split(',').map(|member| member.trim().trim_matches('"'));
    for member in members.filter(|member| !member.is_empty()) {
        let folder = member.split('/').next().unwrap_or_default();
        assert!(copied.iter().any(|source| source == folder), "{member} is not copied");
    }
    // So must every file be that a program is compiled with.
    let mut included = 0;
    for file in ["emulator", "functions", "runtime", "tests"].map(|it| root().join(it)) {
        for (source, path) in inclusions(&file) {
            included += 1;
            let covered = copied.iter().any(|copy| path.starts_with(root().join(copy)));
            assert!(covered, "{} includes {}, which is not copied", source, path.display());
        }
    }
    assert!(included > 20, "only {included} files are included");
}

/// What the sources below a folder include, by the sources.
fn inclusions(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            found.extend(inclusions(&path));
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for call in ["include_str!(", "include_bytes!("] {
            for rest in text.split(call).skip(1) {
                let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
                let name = rest.split('"').next().unwrap_or_default();
                let file = path.with_file_name(name).canonicalize();
                // A text that only speaks of it names no file.
                let Ok(file) = file else { continue };
                found.push((path.display().to_string(), file));
            }
        }
    }
    found
}

#[test]
fn the_compiler_of_the_images_is_that_of_the_workspace() {
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let text = fs::read_to_string(infra().join("Dockerfile")).unwrap();
    assert!(text.contains(&format!("ARG RUST={channel}\n")), "it is not {channel}");
}

#[test]
fn the_worker_is_called_what_its_readme_promises() {
    let stages = stages();
    let build = stages["build"].join("\n");
    for name in [
        "/worker/usr/local/bin/yarn",
        "/worker/usr/local/bin/check-run",
        "/worker/slack-notify",
        "/worker/check-run",
    ] {
        assert!(
            build.contains(&format!("bin/worker {name}"))
                || build.contains(&format!("worker {name}")),
            "{name}"
        );
    }
    let sidecar = &stages["sidecar"];
    assert!(sidecar.iter().any(|line| line.ends_with("\"clone\"]")), "it does not clone");
    let packages = sidecar.iter().find(|line| line.contains("apk add")).unwrap();
    for package in ["git", "git-lfs", "openssh-client", "ca-certificates"] {
        assert!(packages.split_whitespace().any(|word| word == package), "there is no {package}");
    }
}

#[test]
fn hadolint_finds_nothing_wrong_with_the_dockerfile() {
    let Some(hadolint) = tool("hadolint") else { return };
    printed(Command::new(hadolint).arg(infra().join("Dockerfile")));
}

#[test]
fn shellcheck_finds_nothing_wrong_with_the_scripts() {
    let Some(shellcheck) = tool("shellcheck") else { return };
    printed(Command::new(shellcheck).args(scripts()).arg(root().join(".ci/run")));
}

#[test]
fn scripts_say_what_they_take() {
    for (script, argument) in [("images", "nonsense"), ("static", "nonsense")] {
        let output = Command::new(infra().join(script)).arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{script}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(&format!("infra/{script}")), "{script}: {told}");
    }
}
