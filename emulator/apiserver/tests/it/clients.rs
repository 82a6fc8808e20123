//! Programs with the Python and the JavaScript client, where `.ci/run` has installed them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect;
use tokio::process::Command;

use crate::kubectl::{Folder, Session};

/// No program takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the clients are installed: in a folder each.
fn installed(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients").join(client)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// Runs a program; what it printed.
async fn output(command: &mut Command) -> String {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("the program ends").expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

fn kubeconfig(folder: &Folder) -> PathBuf {
    folder.path().join("kubeconfig")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works() {
    let python = installed("python/bin/python");
    if !python.exists() {
        println!("skipped: the Python client is not installed at {}", python.display());
        return;
    }
    let session = Session::start(true).await;
    let mut command = session.folder.command(&python.display().to_string());
    command.arg(script("session.py")).arg(kubeconfig(&session.folder));
    let text = output(&mut command).await;
    expect![[r#"
        version 1
        created settings {'color': 'red'} True
        the same name is refused: 409 Conflict
        a missing one is refused: 404 Not Found
        pages ['a', 'b'] ['c'] {'key': 'Yw=='}
        strategic {'color': 'red', 'size': 'small'}
        merge {'color': 'red'}
        json {'color': 'blue'}
        apply is refused: 409 Conflict
        apply {'color': 'green'}
        an old version is refused: 409 Conflict
        MODIFIED settings {'color': 'red', 'size': 'small'}
        MODIFIED settings {'color': 'red'}
        MODIFIED settings {'color': 'blue'}
        MODIFIED settings {'color': 'green'}
        DELETED settings {'color': 'green'}
        log simulated: counter:1
        log one
        log two
        log three
        phase Succeeded
        tail 'three\n'
        another container is refused: 400 Bad Request
        a deleted pod is refused: 404 Not Found
        job 1 2
        allowed True
        left 0
    "#]]
    .assert_eq(&text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works() {
    let folder = installed("javascript");
    if !folder.join("node_modules").exists() {
        println!("skipped: the JavaScript client is not installed at {}", folder.display());
        return;
    }
    let session = Session::start(true).await;
    let mut command = session.folder.command("node");
    command.arg(script("session.mjs")).arg(kubeconfig(&session.folder)).arg(folder);
    let text = output(&mut command).await;
    expect![[r#"
        version 1
        created settings { color: 'red' } true
        the same name is refused: 409 AlreadyExists
        a missing one is refused: 404 NotFound
        pages [ 'a', 'b' ] [ 'c' ] { key: 'Yw==' }
        strategic { color: 'red', size: 'small' }
        merge { color: 'red' }
        json { color: 'blue' }
        apply is refused: 409 Conflict
        apply { color: 'green' }
        an old version is refused: 409 Conflict
        MODIFIED settings { color: 'red', size: 'small' }
        MODIFIED settings { color: 'red' }
        MODIFIED settings { color: 'blue' }
        MODIFIED settings { color: 'green' }
        DELETED settings { color: 'green' }
        log simulated: counter:1
        log one
        log two
        log three
        phase Succeeded
        tail "three\n"
        another container is refused: 400 BadRequest
        a deleted pod is refused: 404 NotFound
        job 1 2
        allowed true
        left 0
    "#]]
    .assert_eq(&text);
}
