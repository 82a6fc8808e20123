//! `emulator up`, `emulator replay` and what kubectl sees of them.

use std::fs;

use serde_json::Value;

use crate::process::{Up, demo_project, has, run, text};

#[test]
fn a_delivery_makes_its_pod_once() {
    let project = demo_project();
    let up = Up::start(&[project.to_str().unwrap(), "--ephemeral", "--pods", "simulate"]);
    let push = project.join("requests/github-push.http");
    let (ok, first) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(ok);
    let pods = first["body"]["jobs"].as_array().unwrap();
    assert_eq!(pods.len(), 1);
    let pod = pods[0].as_str().unwrap();
    assert!(pod.starts_with("dind-") && pod.len() == "dind-".len() + 26, "{pod}");

    let (ok, second) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(ok);
    assert_eq!(second["body"]["duplicate"], Value::Bool(true));
    assert_eq!(second["body"]["build"], first["body"]["build"]);
    up.stop();
}

#[test]
fn a_changed_delivery_makes_nothing() {
    let project = demo_project();
    let up = Up::start(&[project.to_str().unwrap(), "--ephemeral", "--pods", "simulate"]);
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("project.yaml"), "project: acme/voyage\nsharedSecret: another")
        .unwrap();
    let push = project.join("requests/github-push.http");
    let options = ["--project", other.path().to_str().unwrap(), "--expect", "403"];
    let (ok, answer) = replay(&up, push.to_str().unwrap(), &options);
    assert!(ok, "{answer}");
    if has("kubectl") {
        let pods = up.kubectl(&["get", "pods,secrets", "-o", "name"]);
        assert!(!text(&pods.stdout).contains("dind"), "{}", text(&pods.stdout));
        assert!(!text(&pods.stdout).contains("brigade-worker"), "{}", text(&pods.stdout));
    }
}

#[test]
fn a_registrys_webhook_makes_its_pod() {
    let project = demo_project();
    let up = Up::start(&[project.to_str().unwrap(), "--ephemeral", "--pods", "simulate"]);
    let push = project.join("requests/acr-push.http");
    let (ok, answer) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(ok, "{answer}");
    let pod = answer["body"]["jobs"][0].as_str().unwrap();
    assert!(pod.starts_with("slack-notify-") && pod.len() == "slack-notify-".len() + 26, "{pod}");
}

#[test]
fn kubectl_sees_what_happens() {
    if !has("kubectl") {
        println!("skipped: there is no kubectl here");
        return;
    }
    let project = demo_project();
    let mut up = Up::start(&[project.to_str().unwrap(), "--ephemeral", "--pods", "simulate"]);
    let push = project.join("requests/github-push.http");
    let (_, answer) = replay(&up, push.to_str().unwrap(), &[]);
    let pod = answer["body"]["jobs"][0].as_str().unwrap().to_owned();
    up.wait_for(" Succeeded");
    let pods = text(&up.kubectl(&["get", "pods"]).stdout);
    assert!(pods.starts_with("NAME ") && pods.contains(&pod), "{pods}");
    assert!(pods.contains("Completed"), "{pods}");
    let log = text(&up.kubectl(&["logs", &pod]).stdout);
    assert!(log.contains("simulated"), "{log}");
    let described = up.kubectl(&["describe", "pod", &pod]);
    assert!(described.status.success(), "{}", text(&described.stderr));
    assert!(text(&described.stdout).contains("docker:stable-dind"));
    up.stop();
}

#[test]
fn state_is_kept_across_a_restart() {
    let project = demo_project();
    let state = tempfile::tempdir().unwrap();
    let arguments = [project.to_str().unwrap(), "--state", "state"];
    let push = project.join("requests/github-push.http");
    let mut up = Up::start_in(state.path(), &arguments);
    let (_, first) = replay(&up, push.to_str().unwrap(), &[]);
    up.wait_for(" Succeeded");
    up.stop();

    let up = Up::start_in(state.path(), &arguments);
    let (_, second) = replay(&up, push.to_str().unwrap(), &[]);
    assert_eq!(second["body"]["duplicate"], Value::Bool(true));
    assert_eq!(second["body"]["build"], first["body"]["build"]);
    up.stop();
}

#[test]
fn a_script_is_read_with_its_neighbours_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("project.yaml", "project: acme/app\nsharedSecret: s\n");
    write("lib.js", "exports.job = 'first';");
    write(
        "brigade.js",
        "const { events, Job } = require('brigadier');
         const lib = require('./lib');
         events.on('push', () => { new Job(lib.job, 'alpine', ['true']).run(); });",
    );
    write("push.http", PUSH);
    let up = Up::start(&[folder.path().to_str().unwrap(), "--ephemeral", "--pods", "simulate"]);
    let push = folder.path().join("push.http");
    let (_, answer) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(answer["body"]["jobs"][0].as_str().unwrap().starts_with("first-"), "{answer}");

    write("lib.js", "exports.job = 'second';");
    write("push.http", &PUSH.replace("Set sail", "Come about"));
    let (_, answer) = replay(&up, push.to_str().unwrap(), &[]);
    assert!(answer["body"]["jobs"][0].as_str().unwrap().starts_with("second-"), "{answer}");

    write("brigade.js", "console.log('nobody listens')");
    write("push.http", &PUSH.replace("Set sail", "Drop anchor"));
    let (_, answer) = replay(&up, push.to_str().unwrap(), &[]);
    assert_eq!(answer["body"]["handlers"], serde_json::json!([]));
    up.stop();
}

#[test]
fn a_missing_project_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["up", "--ephemeral", folder.path().to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("has no project.yaml"), "{}", text(&output.stderr));
}

#[test]
fn a_replay_to_nobody_says_what_is_missing() {
    let push = demo_project().join("requests/github-push.http");
    let output = run(&["replay", "--to", "http://127.0.0.1:9", push.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("does `emulator up` run?"), "{}", text(&output.stderr));
}

/// A push, as GitHub would tell it.
const PUSH: &str = r#"POST /events/github HTTP/1.1
content-type: application/json
x-github-event: push
x-hub-signature-256: {{signature}}

{
  "ref": "refs/heads/main",
  "after": "8d3b6f0a1c2e4d5f60718293a4b5c6d7e8f90a1b",
  "deleted": false,
  "head_commit": { "id": "8d3b6f0a1c2e4d5f60718293a4b5c6d7e8f90a1b", "message": "Set sail" },
  "repository": { "full_name": "acme/app", "pushed_at": 1777879801 },
  "pusher": { "name": "ada" }
}
"#;

/// Replays a file to an emulator: whether that succeeded, and the answer.
pub(crate) fn replay(up: &Up, file: &str, options: &[&str]) -> (bool, Value) {
    let mut arguments = vec!["replay", "-o", "json", "--to", &up.ready["functions"], file];
    arguments.extend(options);
    let output = run(&arguments);
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.success(), answer.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
}
