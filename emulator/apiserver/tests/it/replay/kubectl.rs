//! Runs the recorded commands of kubectl against the server of a scenario.

use std::process::{Output, Stdio};
use std::time::Duration;

use apiserver::Server;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::kubectl::{Folder, mask::mask};

/// No command takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command printed, and how it ended.
pub(crate) struct Printed {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The first difference to what was recorded.
pub(crate) fn difference(step: &Value, actual: &Printed) -> Option<String> {
    let recorded = &step["response"];
    let status = recorded["exitCode"].as_i64();
    if actual.status.map(i64::from) != status {
        return Some(format!("exit {:?} for {status:?} ({})", actual.status, actual.stderr));
    }
    for (name, have) in [("stdout", &actual.stdout), ("stderr", &actual.stderr)] {
        let want = shown(step, recorded[name].as_str().unwrap_or_default());
        let have = shown(step, have);
        if want != have {
            return Some(format!("{name}: {have:?} for {want:?}"));
        }
    }
    None
}

/// A text without what differs from run to run.
fn shown(step: &Value, text: &str) -> String {
    let mut text = mask(text);
    if step.get("textMasks").is_some() {
        // The only masks there are hide the names of files that a diff compares.
        let lines =
            text.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++"));
        text = lines.map(|line| format!("{line}\n")).collect();
    }
    text
}

/// Runs the command of a step in an empty folder.
pub(crate) async fn run(
    folder: &Folder,
    step: &Value,
    during: impl Future<Output = ()>,
) -> Printed {
    let work = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in step["files"].as_object().into_iter().flatten() {
        std::fs::write(work.path().join(name), text.as_str().unwrap_or_default())
            .expect("a file can be written");
    }
    let words = step["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut command: Command = folder.command("kubectl");
    command.args(words.skip(1)).current_dir(work.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("there is a kubectl");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that reads nothing has closed it.
    let _ = stdin.write_all(step["stdin"].as_str().unwrap_or_default().as_bytes()).await;
    drop(stdin);
    let Some(wanted) = step["stopAfterLines"].as_u64() else {
        let (output, ()) = tokio::join!(timeout(PATIENCE, child.wait_with_output()), during);
        let Ok(Ok(output)) = output else {
            return Printed { status: None, stdout: String::new(), stderr: "it hangs".to_owned() };
        };
        return printed(folder, output);
    };
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut stdout = String::new();
    let reading = async {
        for _ in 0..wanted {
            let Ok(Some(line)) = lines.next_line().await else { break };
            stdout.push_str(&line);
            stdout.push('\n');
        }
    };
    let (_, ()) = tokio::join!(timeout(PATIENCE, reading), during);
    // It may have ended by itself.
    let _ = child.kill().await;
    let status = child.wait().await.ok().and_then(|status| status.code());
    Printed { status, stdout: folder.anonymous(&stdout, SERVER), stderr: String::new() }
}

/// How recordings write the address of the server.
const SERVER: &str = "https://apiserver";

fn printed(folder: &Folder, output: Output) -> Printed {
    let text = |bytes: &[u8]| folder.anonymous(&String::from_utf8_lossy(bytes), SERVER);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Printed { status: output.status.code(), stdout, stderr }
}

/// A folder for the commands of a scenario, and its server on a socket.
pub(crate) async fn folder(server: &Server) -> Folder {
    Folder::serving(server).await
}
