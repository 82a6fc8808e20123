//! kube-rs, over WebSocket.

use apiserver::kubelet::{Runtime, Sandbox, SandboxOptions};
use futures::{SinkExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{PATIENCE, World, container};

async fn all(reader: Option<impl AsyncRead + Unpin>) -> String {
    let mut text = String::new();
    reader.expect("it is attached").read_to_string(&mut text).await.unwrap();
    text
}

/// Both outputs and the status at the end.
async fn finish(mut process: AttachedProcess) -> (String, String, Status) {
    let status = process.take_status().unwrap();
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let ended = async {
        let stderr = async {
            match stderr {
                Some(stderr) => all(Some(stderr)).await,
                None => String::new(),
            }
        };
        tokio::join!(all(stdout), stderr, status)
    };
    let (stdout, stderr, status) = timeout(PATIENCE, ended).await.expect("it ends");
    (stdout, stderr, status.expect("there is a status"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_with_a_status() {
    let Some(world) = World::sandboxed().await else { return };
    world.script("main", "exec sleep 600").await;
    let pods = world.pods();
    let command = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let process = pods.exec("main", command, &AttachParams::default()).await.unwrap();
    let (stdout, stderr, status) = finish(process).await;
    assert_eq!((stdout.as_str(), stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.unwrap().causes.unwrap();
    assert_eq!(causes[0].reason.as_deref(), Some("ExitCode"));
    assert_eq!(causes[0].message.as_deref(), Some("7"));
    let parameters = AttachParams::default().stdin(true).stderr(false);
    let mut process = pods.exec("main", ["head", "-c", "5"], &parameters).await.unwrap();
    process.stdin().unwrap().write_all(b"hello, world").await.unwrap();
    let (stdout, _, status) = finish(process).await;
    assert_eq!((stdout.as_str(), status.status.as_deref()), ("hello", Some("Success")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_a_size_and_controls_its_command() {
    let Some(world) = World::sandboxed().await else { return };
    world.script("main", "exec sleep 600").await;
    // A client sends sizes and input side by side: which comes first is not said.
    let script = "read first; until stty size | grep '33 111'; do sleep 0.05; done; tty; \
                  echo $TERM; exec sleep 600";
    let parameters = AttachParams::interactive_tty();
    let mut process = world.pods().exec("main", ["sh", "-c", script], &parameters).await.unwrap();
    let mut sizes = process.terminal_size().unwrap();
    sizes.send(TerminalSize { height: 33, width: 111 }).await.unwrap();
    let (mut stdin, mut stdout) = (process.stdin().unwrap(), process.stdout().unwrap());
    stdin.write_all(b"go\n").await.unwrap();
    let mut said = String::new();
    let hear = async {
        while !said.contains("xterm\r\n") {
            let mut buffer = [0; 256];
            let count = stdout.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "{said}");
            said.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    timeout(PATIENCE, hear).await.expect("it is said");
    assert!(said.contains("33 111\r\n/dev/pts/0\r\n"), "{said}");
    // Interrupted as from a keyboard.
    stdin.write_all(&[3]).await.unwrap();
    let status = process.take_status().unwrap();
    let status = timeout(PATIENCE, status).await.expect("it ends").unwrap();
    assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("130"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_program_of_a_container_has_a_terminal() {
    let Some(world) = World::sandboxed().await else { return };
    let mut main = container(
        "read line; echo [$line]; until stty size | grep '20 90'; do sleep 0.05; done; exit 3",
    );
    main["stdin"] = json!(true);
    main["tty"] = json!(true);
    world.run("main", json!([main])).await;
    let parameters = AttachParams::interactive_tty();
    let mut process = world.pods().attach("main", &parameters).await.unwrap();
    let mut sizes = process.terminal_size().unwrap();
    sizes.send(TerminalSize { height: 20, width: 90 }).await.unwrap();
    process.stdin().unwrap().write_all(b"hello\n").await.unwrap();
    let (stdout, _, status) = finish(process).await;
    assert!(stdout.ends_with("[hello]\r\n20 90\r\n"), "{stdout}");
    assert_eq!(status.status.as_deref(), Some("Success"), "as with a real cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_with_its_client() {
    let Some(world) = World::sandboxed().await else { return };
    world.script("main", "exec sleep 600").await;
    let pods = world.pods();
    let runs = |mark: &str| {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let commands = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
        commands.filter(|command| String::from_utf8_lossy(command).contains(mark)).count()
    };
    for (mark, tty) in [("86401", false), ("86402", true)] {
        // Both the shell, which ignores the polite signals, and its child.
        let script = format!("trap '' TERM HUP; echo ready; sleep {mark}; sleep {mark}");
        let parameters = AttachParams::default().stderr(false).tty(tty);
        let mut process = pods.exec("main", ["sh", "-c", &script], &parameters).await.unwrap();
        let mut buffer = [0; 5];
        let mut stdout = process.stdout().unwrap();
        timeout(PATIENCE, stdout.read_exact(&mut buffer)).await.expect("it begins").unwrap();
        assert!(runs(mark) > 0);
        process.abort();
        drop((process, stdout));
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        let gone = async {
            // Nothing announces the end of a process that is not one's own.
            while runs(mark) > 0 {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("nothing of it is left");
    }
}

const SERVER: &str = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die; $| = 1; print "ready\n"; while (my $c = $s->accept) { my $line = <$c>; print $c "got $line"; close $c }"#;

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_a_pod_with_a_network_of_its_own_are_forwarded() {
    let options = SandboxOptions { network: false, ..SandboxOptions::default() };
    if let Err(reason) = Sandbox::probe(&options).await {
        return super::skipped(&reason);
    }
    let world = World::with(Runtime::Sandbox(Sandbox::new(options)), false).await;
    let server = json!({"name": "main", "image": "perl", "command": ["perl", "-e", SERVER]});
    world.run("main", json!([server])).await;
    let log = kube::api::LogParams { follow: true, ..Default::default() };
    let log = world.pods().log_stream("main", &log).await.unwrap();
    let mut lines = futures::AsyncBufReadExt::lines(log);
    let line = timeout(PATIENCE, lines.next()).await.expect("it says so");
    let Some(Ok(line)) = line else { return super::skipped("there is no perl") };
    assert_eq!(line, "ready");
    let mut forwarded = world.pods().portforward("main", &[8080, 8081]).await.unwrap();
    let mut stream = forwarded.take_stream(8080).unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    let mut answer = [0; 10];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("it answers").unwrap();
    assert_eq!(&answer, b"got hello\n");
    let error = forwarded.take_error(8081).unwrap();
    let error = timeout(PATIENCE, error).await.expect("it is refused").expect("with a reason");
    assert!(error.contains("error forwarding port 8081 to pod main"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_pods_say_what_would_be_run() {
    let world = World::simulated().await;
    world.script("main", "true").await;
    let parameters = AttachParams::default().stdin(true);
    let mut process = world.pods().exec("main", ["do", "it"], &parameters).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    stdin.write_all(b"input").await.unwrap();
    stdin.shutdown().await.unwrap();
    let (stdout, _, status) = finish(process).await;
    assert_eq!(stdout, "simulated: do it\ninput");
    assert_eq!(status.status.as_deref(), Some("Success"));
    let mut forwarded = world.pods().portforward("main", &[80]).await.unwrap();
    let error = timeout(PATIENCE, forwarded.take_error(80).unwrap()).await.unwrap().unwrap();
    assert!(error.contains("the pod is simulated"), "{error}");
}
