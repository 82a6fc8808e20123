//! The demo.

use crate::process::{no_sandbox, run, text};

#[test]
fn the_demo_tells_the_whole_story_in_the_sandbox() {
    if let Some(reason) = no_sandbox() {
        println!("skipped: {reason}");
        return;
    }
    let output = run(&["demo", "--pods", "sandbox"]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    in_order(
        &told,
        &[
            "a commit is pushed to main",
            "200 in ",
            "made dind-",
            "stand-in for docker",
            "Login Succeeded",
            "voyage.azurecr.io/voyage:8d3b6f0 has arrived",
            "made slack-notify-",
            "Brigantine says  New Build: New Build voyage:8d3b6f0 available!",
            "POST /notify/slack",
            "made slack-notify-",
            "New Build voyage:8d3b6f0 available!",
            "a pull request is opened",
            "made test-",
            "the page has no heading",
            "check brigantine/pull_request: failure",
            "is delivered again",
            "duplicate of build",
            "one byte changed",
            "403 in ",
            "done",
        ],
    );
}

#[test]
fn the_demo_simulates_where_pods_cannot_run() {
    let output = run(&["demo", "--pods", "simulate"]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    in_order(
        &told,
        &[
            "pods are simulated",
            "made dind-",
            "simulated",
            "made slack-notify-",
            "made test-",
            "check brigantine/pull_request: success",
            "done",
        ],
    );
}

#[test]
fn the_demo_shows_no_secret() {
    let output = run(&["--log", "debug", "demo", "--pods", "simulate"]);
    let told = text(&output.stdout) + &text(&output.stderr);
    for secret in ["correct horse", "aTokenForRegistries", "a secret that GitHub", "T00000000"] {
        assert!(!told.contains(secret), "{secret}:\n{told}");
    }
}

fn in_order(told: &str, words: &[&str]) {
    let mut rest = told;
    for word in words {
        let at = rest.find(word);
        let at = at.unwrap_or_else(|| panic!("{word:?} is not told, or too early:\n{told}"));
        rest = &rest[at + word.len()..];
    }
}
