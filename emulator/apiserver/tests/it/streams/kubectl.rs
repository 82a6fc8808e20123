//! The machine's kubectl. By default it speaks WebSocket; the variable makes it speak SPDY.

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
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
