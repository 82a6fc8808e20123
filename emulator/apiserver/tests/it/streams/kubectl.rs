//! The machine's kubectl. By default it speaks WebSocket; the variable makes it speak SPDY.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{PATIENCE, World, skipped};

const SPDY: (&str, &str) = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
const WEBSOCKET: (&str, &str) = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true");

/// Runs kubectl with something to read.
async fn run(world: &World, protocol: (&str, &str), arguments: &[&str], input: &[u8]) -> Output {
    let mut command = world.kubectl(arguments);
    command.env(protocol.0, protocol.1);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let work = async {
        let write = async move {
            // A kubectl that needs no input has gone by now.
            let _ = stdin.write_all(input).await;
        };
        tokio::join!(write, child.wait_with_output()).1.unwrap()
    };
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end"))
}

async fn world() -> Option<World> {
    let mut command = tokio::process::Command::new("kubectl");
    if command.args(["version", "--client"]).output().await.is_err() {
        skipped("there is no kubectl on PATH");
        return None;
    }
    World::sandboxed().await
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

async fn a_command_has_its_streams_and_its_exit_code(protocol: (&str, &str)) {
    let Some(world) = world().await else { return };
    world.script("main", "export INNER=1; exec sleep 600").await;
    let script = "cat; echo mistake >&2; exit 3";
    let arguments = ["exec", "-i", "main", "--", "sh", "-c", script];
    let (code, said, complained) = texts(&run(&world, protocol, &arguments, b"hello\n").await);
    assert_eq!((code, said.as_str()), (Some(3), "hello\n"));
    assert!(complained.starts_with("mistake\n"), "{complained}");
    assert!(complained.contains("command terminated with exit code 3"), "{complained}");
    let output = run(&world, protocol, &["exec", "main", "--", "echo", "a  b", "$HOME"], b"").await;
    assert_eq!(texts(&output), (Some(0), "a  b $HOME\n".to_owned(), String::new()));
    let killed =
        run(&world, protocol, &["exec", "main", "--", "sh", "-c", "kill -9 $$"], b"").await;
    assert_eq!(killed.status.code(), Some(137));
    let absent = texts(&run(&world, protocol, &["exec", "main", "--", "nonesuch"], b"").await);
    assert_ne!(absent.0, Some(0));
    assert!(absent.2.contains("nonesuch"), "{}", absent.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_streams_and_its_exit_code_over_websocket() {
    a_command_has_its_streams_and_its_exit_code(WEBSOCKET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_in_its_container_and_has_no_more_rights() {
    let Some(world) = world().await else { return };
    world.script("main", "echo kept > /tmp/here; exec sleep 600").await;
    let look = "cat /tmp/here; hostname; grep -E 'Cap(Eff|Prm|Bnd|Inh)|NoNewPrivs' /proc/self/status; \
                tr '\\0' ' ' < /proc/2/cmdline; echo; pwd; id -u; ls -d /home/* /work 2>/dev/null; \
                echo $HOSTNAME $PATH; kill -0 1 && touch /usr/x 2>/dev/null || echo read-only";
    let output = run(&world, WEBSOCKET, &["exec", "main", "--", "sh", "-c", look], b"").await;
    let (code, said, complained) = texts(&output);
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    let none = "0000000000000000";
    let expected = format!(
        "kept\nmain\nCapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nNoNewPrivs:\t1\n\
         sleep 600 \n/\n0\nmain /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nread-only\n"
    );
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_its_streams_and_its_exit_code_over_spdy() {
    a_command_has_its_streams_and_its_exit_code(SPDY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_all_of_a_large_input() {
    let Some(world) = world().await else { return };
    world.script("main", "exec sleep 600").await;
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    for protocol in [WEBSOCKET, SPDY] {
        let output = run(&world, protocol, &["exec", "-i", "main", "--", "cat"], &input).await;
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_copied_both_ways() {
    let Some(world) = world().await else { return };
    world.script("main", "exec sleep 600").await;
    let folder = world.folder.path().join("folder/deep");
    std::fs::create_dir_all(&folder).unwrap();
    let content = "0123456789".repeat(50_000);
    std::fs::write(folder.join("large"), &content).unwrap();
    std::fs::write(folder.join("small"), "small").unwrap();
    for (from, to) in [
        ("folder/deep/small", "main:/tmp/file"),
        ("folder", "main:/tmp/folder"),
        ("main:/tmp/file", "back"),
        ("main:/tmp/folder", "back-folder"),
    ] {
        let output = run(&world, WEBSOCKET, &["cp", from, to], b"").await;
        assert_eq!(output.status.code(), Some(0), "{from} {to}: {:?}", texts(&output));
    }
    let read = |path: &str| std::fs::read_to_string(world.folder.path().join(path)).unwrap();
    assert_eq!(read("back"), "small");
    assert_eq!(read("back-folder/deep/small"), "small");
    assert!(read("back-folder/deep/large") == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_run_with_the_input_of_its_client() {
    let Some(world) = world().await else { return };
    for (name, protocol) in [("first", WEBSOCKET), ("second", SPDY)] {
        // What is said before kubectl is attached is in the log only, as with a real cluster.
        let script = "read line; echo got $line; cat; sleep 1; exit 4";
        let arguments = [
            "run",
            name,
            "-i",
            "--rm",
            "--image=alpine:3",
            "--restart=Never",
            "--",
            "sh",
            "-c",
            script,
        ];
        let output = texts(&run(&world, protocol, &arguments, b"one\ntwo\nthree\n").await);
        assert!(output.1.contains("got one\ntwo\nthree\n"), "{output:?}");
        assert_eq!(output.0, Some(4), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_attached_and_the_log_has_everything() {
    let Some(world) = world().await else { return };
    let mut main = super::container("echo begun; read line; echo got $line; exec sleep 600");
    main["stdin"] = serde_json::json!(true);
    world.run("main", serde_json::json!([main])).await;
    let mut command = world.kubectl(&["attach", "-i", "main"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it is said").unwrap();
    assert_eq!(line.as_deref(), Some("got hello"));
    child.kill().await.unwrap();
    let log = run(&world, WEBSOCKET, &["logs", "main"], b"").await;
    assert_eq!(texts(&log).1, "begun\ngot hello\n");
}

/// Answers each connection with what it got first, and ends it.
async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 1024];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                let _ = stream.write_all(&buffer[..count].repeat(1000)).await;
            });
        }
    });
    port
}

async fn a_port_is_forwarded(protocol: (&str, &str)) {
    let Some(world) = world().await else { return };
    world.script("main", "exec sleep 600").await;
    // A sandbox shares the network of its host, so what listens here listens there.
    let port = serve().await;
    let mut command = world.kubectl(&["port-forward", "pod/main", &format!(":{port}"), ":1"]);
    command.env(protocol.0, protocol.1).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut places = Vec::new();
    while places.len() < 2 {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it begins").unwrap().unwrap();
        if let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") {
            places.push(rest.split(' ').next().unwrap().parse::<u16>().unwrap());
        }
    }
    for number in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", places[0])).await.unwrap();
        let said = format!("hello {number};");
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it ends").unwrap();
        assert!(answer == said.repeat(1000), "{} bytes", answer.len());
    }
    let mut refused = TcpStream::connect(("127.0.0.1", places[1])).await.unwrap();
    let _ = refused.write_all(b"hello").await;
    let complaint = async {
        loop {
            let line = complaints.next_line().await.unwrap().unwrap();
            if line.contains("forwarding port 1 to pod main") {
                break;
            }
        }
    };
    timeout(PATIENCE, complaint).await.expect("kubectl says that nothing listens there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_over_websocket() {
    a_port_is_forwarded(("KUBECTL_PORT_FORWARD_WEBSOCKETS", "true")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_over_spdy() {
    a_port_is_forwarded(("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")).await;
}
