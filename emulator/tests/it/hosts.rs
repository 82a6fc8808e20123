//! `emulator up --host`: the functions as a process of their own, on every host.

use serde_json::Value;

use crate::process::{Up, demo_project, no_sandbox, run, text};
use crate::up::replay;

#[test]
fn on_every_host_a_delivery_makes_one_build() {
    let project = demo_project();
    let push = project.join("requests/github-push.http");
    for (host, below) in [("plain", ""), ("azure", "/api"), ("lambda", "")] {
        let folder = project.to_str().unwrap();
        let mut up = Up::start(&[folder, "--ephemeral", "--pods", "simulate", "--host", host]);
        let functions = up.ready["functions"].clone();
        let path = functions.trim_start_matches("http://").split_once('/');
        assert_eq!(path.map_or(String::new(), |(_, path)| format!("/{path}")), below, "{host}");
        let (ok, first) = replay(&up, push.to_str().unwrap(), &[]);
        assert!(ok, "{host}: {first}");
        let worker = first["body"]["worker"].as_str().unwrap();
        assert!(worker.starts_with("brigade-worker-"), "{host}: {first}");
        let (ok, second) = replay(&up, push.to_str().unwrap(), &[]);
        assert!(ok, "{host}: {second}");
        assert_eq!(second["body"]["duplicate"], Value::Bool(true), "{host}");
        assert_eq!(second["body"]["build"], first["body"]["build"], "{host}");
        // What the functions say is a part of the story.
        up.wait_for("a delivery made a build");
        up.wait_for("a delivery was made before");
        let fired = run(&["fire", "github", "push", "--project", folder, "--to", &functions]);
        assert!(fired.status.success(), "{host}: {}", text(&fired.stderr));
        up.stop();
    }
}

#[test]
fn on_a_host_the_workers_are_pods() {
    if let Some(reason) = no_sandbox() {
        println!("skipped: pods cannot run here: {reason}");
        return;
    }
    let project = demo_project();
    let folder = project.to_str().unwrap();
    let mut up = Up::start(&[folder, "--ephemeral", "--pods", "sandbox", "--host", "plain"]);
    let push = project.join("requests/github-push.http");
    let (ok, answer) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(ok, "{answer}");
    up.wait_for("available!");
    up.stop();
}

#[test]
fn a_host_is_for_the_embedded_cluster() {
    let ended = run(&["up", "--ephemeral", "--host", "azure", "--cluster", "kind"]);
    let said = text(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("--host is for the embedded cluster"),
        "{said}"
    );
}
