//! Tests of the sandbox; those that run something are skipped, with the reason, where it cannot.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use futures::TryStreamExt;
use tokio::time::timeout;

use super::super::{ContainerRun, Image, Mount, Resources, Running, Runtime, Signal, StartError};
use super::Sandbox;
use super::root::{Node, Source};
use crate::kubelet::{SandboxOptions, SimulateOptions};
use crate::logs::{LogOptions, Logs};

struct Bench {
    folder: tempfile::TempDir,
    logs: Logs,
    sandbox: Sandbox,
}

/// A sandbox to test with, or `None` after saying why there is none.
async fn bench(options: SandboxOptions) -> Option<Bench> {
    if let Err(reason) = Sandbox::probe(&SandboxOptions::default()).await {
        println!("skipped: {reason}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::new(folder.path().join("logs"));
    Some(Bench { folder, logs, sandbox: Sandbox::new(options) })
}

impl Bench {
    fn run(&self, command: &[&str]) -> ContainerRun {
        let folder = self.folder.path().join("container");
        fs::create_dir_all(&folder).unwrap();
        ContainerRun {
            id: "id".to_owned(),
            pod: "pod".to_owned(),
            pod_uid: "uid".to_owned(),
            namespace: "default".to_owned(),
            container: "main".to_owned(),
            restart_count: 0,
            serves: false,
            image: "tool:1".to_owned(),
            found: Image::default(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            working_folder: None,
            mounts: Vec::new(),
            hostname: "pod".to_owned(),
            host_aliases: Vec::new(),
            user: None,
            group: None,
            supplemental_groups: Vec::new(),
            read_only_root: false,
            privileged: false,
            may_gain_privileges: false,
            added_capabilities: Vec::new(),
            dropped_capabilities: Vec::new(),
            resources: Resources::default(),
            shares_processes: false,
            terminal: false,
            input: false,
            input_once: false,
            folder,
        }
    }

    fn shell(&self, script: &str) -> ContainerRun {
        self.run(&["/bin/sh", "-c", script])
    }

    async fn start(&self, run: ContainerRun) -> Result<Running, StartError> {
        let log = self.logs.writer("uid", "main", 0).unwrap();
        timeout(Duration::from_secs(60), self.sandbox.start(run, log)).await.expect("starts")
    }

    /// The exit code and all that was said.
    async fn finish(&self, run: ContainerRun) -> (i32, String) {
        let running = self.start(run).await.unwrap();
        let code =
            timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code;
        (code, self.said().await)
    }

    async fn said(&self) -> String {
        let log = self.logs.read("uid", "main", &LogOptions::default()).unwrap();
        let chunks: Vec<_> = log.try_collect().await.unwrap();
        String::from_utf8(chunks.concat()).unwrap()
    }

    /// Waits until the container has said something.
    async fn hear(&self, wanted: &str) {
        let log = LogOptions { follow: true, ..LogOptions::default() };
        let mut log = Box::pin(self.logs.read("uid", "main", &log).unwrap());
        let mut said = String::new();
        let listen = async {
            while !said.contains(wanted) {
                let chunk = log.try_next().await.unwrap().expect("the container still runs");
                said.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        timeout(Duration::from_secs(60), listen).await.expect("said in time");
    }
}

#[tokio::test]
async fn a_command_runs_and_both_outputs_keep_their_order() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let result = bench.finish(bench.shell("echo one; echo two >&2; echo three; exit 3")).await;
    assert_eq!(result, (3, "one\ntwo\nthree\n".to_owned()));
}

#[tokio::test]
async fn the_host_is_not_visible() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let secret = bench.folder.path().join("secret");
    fs::write(&secret, "host").unwrap();
    let script = format!(
        "ls -A /; ls -A /root /home /var /run /tmp /etc/shadow /sys 2>&1; cat {}; \
         echo processes /proc/[0-9]*; \
         echo capabilities $(grep CapEff /proc/self/status); hostname; id -u; pwd; echo $HOME",
        secret.display()
    );
    let (_, said) = bench.finish(bench.shell(&script)).await;
    for line in ["CapEff: 0000000000000000", "\npod\n0\n/\n/root\n", "processes /proc/1 /proc/2\n"]
    {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("host\n"), "{said}");
    assert!(said.contains("/home") && said.contains("No such file"), "{said}");
    let root: Vec<_> = said.lines().take_while(|line| !line.contains(' ')).collect();
    assert!(!root.contains(&"home") && !root.contains(&"sys") && !root.contains(&"work"), "{said}");
}

#[tokio::test]
async fn nothing_of_the_host_can_be_written() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let script = "for path in /usr/x /usr/bin/x /etc/ssl/x /etc/passwd /proc/sys/kernel/printk_delay \
                  /proc/sysrq-trigger /lib/x; do \
                  if (printf '' > $path) 2>/dev/null; then echo wrote $path; fi; done; \
                  mount -t tmpfs none /usr 2>/dev/null && echo mounted; \
                  mount -o remount,rw /usr 2>/dev/null && echo remounted; \
                  mknod /tmp/disk b 8 0 2>/dev/null && echo device; \
                  for path in /tmp/x /root/x /run/x /var/tmp/x /x /etc/x; do \
                  echo mine > $path || echo cannot write $path; done; echo done";
    assert_eq!(bench.finish(bench.shell(script)).await, (0, "done\n".to_owned()));
}

#[tokio::test]
async fn volumes_are_mounted_where_the_pod_says() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let shared = bench.folder.path().join("shared");
    let hook = bench.folder.path().join("hook");
    for path in [&shared, &hook] {
        fs::create_dir(path).unwrap();
    }
    fs::write(
        hook.join("main.sh"),
        "#!/bin/sh\necho from the hook > /src/made; cat /usr/share/odd/made",
    )
    .unwrap();
    let mount = |source: &Path, path: &str, read_only| Mount {
        source: source.to_owned(),
        path: path.to_owned(),
        read_only,
    };
    let mut run = bench.run(&["/bin/sh", "/hook/main.sh"]);
    run.mounts = vec![
        mount(&hook, "/hook", true),
        mount(&shared, "/src", false),
        mount(&shared, "/usr/share/odd", false),
        mount(&hook, "/src/nested/hook", true),
    ];
    assert_eq!(bench.finish(run).await, (0, "from the hook\n".to_owned()));
    assert_eq!(fs::read_to_string(shared.join("made")).unwrap(), "from the hook\n");
    let mut run = bench.shell("echo x > /hook/main.sh");
    run.mounts = vec![mount(&hook, "/hook", true)];
    assert_ne!(bench.finish(run).await.0, 0);
}

#[tokio::test]
async fn a_pod_s_environment_does_not_reach_bubblewrap_itself() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let mut run = bench
        .shell("echo $SECRET; cat /proc/1/cmdline | tr '\\0' ' '; tr '\\0' ' ' < /proc/1/environ");
    run.environment.insert("SECRET".to_owned(), "a\nb=c".to_owned());
    run.environment.insert("LD_PRELOAD".to_owned(), "/nonexistent.so".to_owned());
    let (_, said) = bench.finish(run).await;
    assert!(said.contains("a b=c"), "{said}");
    assert!(!said.contains("SECRET=") && !said.contains("LD_PRELOAD="), "{said}");
}

#[tokio::test]
async fn an_unknown_command_does_not_start() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    for command in ["/nonexistent", "no-such-tool"] {
        let error = bench.start(bench.run(&[command])).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "unable to start container process: exec: {command}: No such file or directory"
            )
        );
    }
    let mut run = bench.shell("true");
    run.working_folder = Some("/bin/sh/below".to_owned());
    let error = bench.start(run).await.unwrap_err().to_string();
    assert!(error.contains("/bin/sh"), "{error}");
}

#[tokio::test]
async fn a_working_folder_that_is_missing_is_made() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    for folder in ["/nowhere", "/a/b/c", "/usr/share/nowhere", "/usr", "/tmp/new"] {
        let mut run = bench.shell("pwd");
        run.working_folder = Some(folder.to_owned());
        assert_eq!(bench.finish(run).await, (0, format!("{folder}\n")));
    }
}

#[tokio::test]
async fn without_a_command_a_shell_reads_an_empty_input() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    assert_eq!(bench.finish(bench.run(&[])).await, (0, String::new()));
    assert_eq!(bench.finish(bench.shell("cat; echo end")).await, (0, "end\n".to_owned()));
}

#[tokio::test]
async fn sigterm_reaches_the_program_and_only_it() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let running = bench.start(bench.shell(script)).await.unwrap();
    bench.hear("ready").await;
    running.signals.send(Signal::Terminate).unwrap();
    let code = timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code;
    assert_eq!((code, bench.said().await), (7, "ready\ncaught\n".to_owned()));
}

#[tokio::test]
async fn sigkill_ends_what_ignores_sigterm() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let running =
        bench.start(bench.shell("trap '' TERM; echo ready; while :; do sleep 1; done")).await;
    let mut running = running.unwrap();
    bench.hear("ready").await;
    running.signals.send(Signal::Terminate).unwrap();
    assert!(timeout(Duration::from_millis(300), &mut running.exit).await.is_err(), "still runs");
    running.signals.send(Signal::Kill).unwrap();
    assert_eq!(
        timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code,
        137
    );
}

#[tokio::test]
async fn a_program_that_closed_its_outputs_is_still_signalled() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let running = bench.start(bench.shell("exec >/dev/null 2>&1; exec sleep 600")).await.unwrap();
    running.signals.send(Signal::Terminate).unwrap();
    assert_eq!(
        timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code,
        143
    );
    let running = bench.start(bench.shell("exec >/dev/null 2>&1; exec sleep 600")).await.unwrap();
    drop(running.signals);
    assert_eq!(
        timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code,
        137
    );
}

#[tokio::test]
async fn containers_end_with_their_sandbox() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let running = bench.start(bench.shell("trap '' TERM; exec sleep 600")).await.unwrap();
    drop(bench.sandbox);
    assert_eq!(
        timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code,
        137
    );
}

#[tokio::test]
async fn a_program_that_forks_leaves_nothing() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let mark = format!("{}.5", std::process::id() + 600);
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do setsid sh -c 'trap \"\" TERM HUP; sleep {mark} & sleep {mark}' & done; sleep 0.2; echo ready"
    );
    assert_eq!(bench.finish(bench.shell(&script)).await, (0, "ready\n".to_owned()));
    let left = || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes.filter(|process| is_running(&process.path(), &mark).unwrap_or(false)).count()
    };
    assert_eq!(left(), 0);
}

fn is_running(process: &Path, mark: &str) -> io::Result<bool> {
    Ok(fs::read_to_string(process.join("cmdline"))?.split('\0').any(|word| word == mark))
}

#[tokio::test]
async fn an_overlay_stands_in_for_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("tool");
    for (path, text) in [
        ("bin/tool", "#!/bin/sh\necho tool $TOOL_HOME $*"),
        ("entrypoint", "#!/bin/sh\necho entry $*; tool; /opt/tool/run; /slack-notify"),
        ("opt/tool/run", "#!/bin/sh\necho optional"),
        ("slack-notify", "#!/bin/sh\necho notified"),
        ("usr/bin/id", "#!/bin/sh\necho not the host id"),
    ] {
        let path = image.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let options = SandboxOptions {
        overlays: vec![folder.path().join("none"), folder.path().to_owned()],
        environment: BTreeMap::from([("TOOL_HOME".to_owned(), "/opt/tool".to_owned())]),
        binds: vec![(image.join("opt"), "/usr/share/extra".into())],
        ..SandboxOptions::default()
    };
    let Some(bench) = bench(options).await else { return };
    let mut run = bench.run(&[]);
    run.arguments = vec!["argument".to_owned()];
    let (code, said) = bench.finish(run).await;
    assert_eq!((code, said.as_str()), (0, "entry argument\ntool /opt/tool\noptional\nnotified\n"));
    let (_, said) =
        bench.finish(bench.shell("id; /usr/share/extra/tool/run; ls /usr/bin/env")).await;
    assert_eq!(said, "not the host id\noptional\n/usr/bin/env\n");
}

#[tokio::test]
async fn a_user_of_the_pod_is_that_user_inside() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let mut run = bench.shell("id -u; id -g; echo x > /tmp/x && echo wrote");
    (run.user, run.group) = (Some(1000), Some(2000));
    assert_eq!(bench.finish(run).await, (0, "1000\n2000\nwrote\n".to_owned()));
}

#[tokio::test]
async fn without_a_network_there_is_only_loopback() {
    let options = SandboxOptions { network: false, ..SandboxOptions::default() };
    let Some(bench) = bench(options).await else { return };
    let (_, said) = bench
        .finish(bench.shell("tail -n +3 /proc/net/dev | cut -d: -f1; stat -c %a /tmp; umask"))
        .await;
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["lo", "1777", "0022"]);
}

#[tokio::test]
async fn a_read_only_root_is_one() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let mut run = bench.shell("echo x > /x || echo x > /tmp/x || echo refused; echo x > /dev/null");
    run.read_only_root = true;
    let (code, said) = bench.finish(run).await;
    assert!(code == 0 && said.ends_with("refused\n"), "{said}");
}

#[tokio::test]
async fn a_missing_program_is_a_reason_not_to_use_the_sandbox() {
    let options =
        SandboxOptions { program: "/nonexistent/bwrap".into(), ..SandboxOptions::default() };
    let reason = Sandbox::probe(&options).await.unwrap_err();
    assert!(reason.contains("/nonexistent/bwrap"), "{reason}");
    let (runtime, reason) = Runtime::auto(options, SimulateOptions::default()).await;
    assert!(matches!(runtime, Runtime::Simulate(_)));
    assert!(reason.contains("simulated") && reason.contains("/nonexistent/bwrap"), "{reason}");
}

fn tree(root: &Node) -> Vec<String> {
    let words = root.arguments();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words
        .join(" ")
        .split("--")
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn a_host_folder_is_bound_whole_until_something_must_go_into_it() {
    let host = tempfile::tempdir().unwrap();
    let path = host.path().display().to_string();
    fs::create_dir_all(host.path().join("lib/inner")).unwrap();
    fs::write(host.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("lib", host.path().join("link")).unwrap();
    let usr = || {
        let mut root = Node::new();
        root.put(Path::new("/usr"), Source::Host(host.path().to_owned())).unwrap();
        root
    };
    let mut root = usr();
    assert_eq!(tree(&root), [format!("ro-bind {path} /usr")]);
    let volume = Source::Volume { path: "/v".into(), read_only: false };
    root.put(Path::new("/usr/lib/inner"), volume.clone()).unwrap();
    assert_eq!(tree(&root), [format!("ro-bind {path} /usr"), "bind /v /usr/lib/inner".to_owned()]);
    let mut root = usr();
    root.put(Path::new("/usr/link/new"), volume).unwrap();
    assert_eq!(
        tree(&root),
        [
            format!("ro-bind {path} /usr"),
            "tmpfs /usr/lib".to_owned(),
            format!("ro-bind {path}/lib/inner /usr/lib/inner"),
            "bind /v /usr/lib/new".to_owned(),
        ],
    );
}

#[test]
fn mount_paths_that_leave_the_root_are_refused() {
    for path in ["/", "/..", "/a/../../b", "relative", ""] {
        assert!(Node::new().put(Path::new(path), Source::Tmpfs).is_err(), "{path:?}");
    }
    let mut root = Node::new();
    root.put(Path::new("/loop"), Source::Symlink("/loop".into())).unwrap();
    assert!(root.put(Path::new("/loop/x"), Source::Tmpfs).is_err());
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_are_kept() {
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let begun = Instant::now();
    let script = "i=0; while [ $i -lt 100 ]; do head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; i=$((i+1)); done; echo end";
    let running = bench.start(bench.shell(script)).await.unwrap();
    let code = timeout(Duration::from_secs(120), running.exit).await.expect("ends").unwrap().code;
    println!("100 MB of output: {:?}", begun.elapsed());
    let log = bench.logs.read("uid", "main", &LogOptions::default()).unwrap();
    let count = |total, chunk: bytes::Bytes| async move { Ok::<_, io::Error>(total + chunk.len()) };
    let total: usize = log.try_fold(0, count).await.unwrap();
    assert_eq!(code, 0);
    assert!(total > 100_000_000, "{total}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_containers_run_at_once() {
    const CONTAINERS: usize = 100;
    let Some(bench) = bench(SandboxOptions::default()).await else { return };
    let begun = Instant::now();
    let mut all = Vec::new();
    for number in 0..CONTAINERS {
        let mut run = bench.shell("read line < /dev/null; exec sleep 600");
        run.folder = bench.folder.path().join(format!("container-{number}"));
        fs::create_dir_all(&run.folder).unwrap();
        let log = bench.logs.writer("uid", &format!("container-{number}"), 0).unwrap();
        all.push(bench.sandbox.start(run, log).await.unwrap());
    }
    println!("{CONTAINERS} containers running after {:?}", begun.elapsed());
    for running in &all {
        running.signals.send(Signal::Terminate).unwrap();
    }
    for running in all {
        assert_eq!(
            timeout(Duration::from_secs(60), running.exit).await.expect("ends").unwrap().code,
            143
        );
    }
}

#[tokio::test]
async fn a_new_command_among_the_host_s_own_is_possible() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool/usr/bin/new-tool");
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    let script =
        "#!/bin/sh\necho new | cat\nif [ -x /usr/bin/python3 ]; then python3 -c 'import json'; fi";
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options =
        SandboxOptions { overlays: vec![folder.path().to_owned()], ..SandboxOptions::default() };
    let Some(bench) = bench(options).await else { return };
    let begun = Instant::now();
    assert_eq!(bench.finish(bench.run(&["new-tool"])).await, (0, "new\n".to_owned()));
    println!("with links to the host's commands: {:?}", begun.elapsed());
}
