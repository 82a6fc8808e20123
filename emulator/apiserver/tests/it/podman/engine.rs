//! Podman's service in a folder of its own, with one image made of busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::timeout;

pub(crate) const IMAGE: &str = "localhost/busybox:1";
const BUSYBOX: &str = "/usr/bin/busybox";

pub(crate) struct Podman {
    pub(crate) socket: String,
    folder: TempDir,
    _service: Child,
}

impl Podman {
    /// Starts the service; the error is the reason why that is not possible.
    pub(crate) async fn start(insecure_registry: Option<&str>) -> Result<Podman, String> {
        let folder = tempfile::tempdir().unwrap();
        write_settings(folder.path(), insecure_registry.unwrap_or("127.0.0.1:1"));
        let tools = folder.path().join("tools.tar");
        archive(folder.path(), &tools)?;
        let command = r#"CMD ["-c", "echo the command of the image"]"#;
        let entry = r#"ENTRYPOINT ["/bin/sh"]"#;
        let image = tools.display().to_string();
        run(folder.path(), &["import", "-c", entry, "-c", command, &image, IMAGE])?;
        // The engine may be there and still be unable to run anything here.
        run(folder.path(), &["run", "--rm", "--network=none", IMAGE, "-c", "true"])?;
        let socket = format!("unix://{}/podman.sock", folder.path().display());
        let mut service = tokio::process::Command::from(podman(folder.path()));
        service.args(["system", "service", "--time=0", &socket]).kill_on_drop(true);
        service.stdout(Stdio::null()).stderr(Stdio::null());
        let service = service.spawn().map_err(|error| format!("podman: {error}"))?;
        let path = folder.path().join("podman.sock");
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let listens = async {
            // Nothing announces it.
            while tokio::net::UnixStream::connect(&path).await.is_err() {
                ticks.tick().await;
            }
        };
        let listening = timeout(Duration::from_secs(60), listens).await;
        listening.map_err(|_| "podman's service does not listen".to_owned())?;
        Ok(Podman { socket, folder, _service: service })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What there is of containers, running or not.
    pub(crate) fn containers(&self) -> String {
        run(self.folder.path(), &["ps", "--all", "--format", "{{.Names}}"]).unwrap()
    }

    /// Whether it says of a container that it was killed for its memory.
    pub(crate) fn tells_of_memory(&self) -> bool {
        let folder = self.folder.path();
        let hungry = ["run", "--name=hungry", "--network=none", "--memory=24m", IMAGE, "-c"];
        let ended = run(folder, &[&hungry[..], &["tail /dev/zero"]].concat());
        let told = run(folder, &["inspect", "--format", "{{.State.OOMKilled}}", "hungry"]);
        run(folder, &["rm", "--force", "hungry"]).unwrap();
        ended.is_err() && told.unwrap() == "true"
    }

    pub(crate) fn has_limits(&self) -> bool {
        let limited = ["run", "--rm", "--network=none", "--memory=64m", "--pids-limit=64"];
        run(self.folder.path(), &[&limited[..], &[IMAGE, "-c", "true"]].concat()).is_ok()
    }
}

fn podman(folder: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
    command.args(["--storage-driver", "vfs"]);
    command.env("CONTAINERS_CONF", folder.join("containers.conf"));
    command.env("CONTAINERS_REGISTRIES_CONF", folder.join("registries.conf"));
    // Its parts leave notes where they are.
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = podman(folder).args(arguments).output();
    let output = output.map_err(|error| format!("podman cannot be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("podman {}: {}", arguments[0], text(&output.stderr))),
    }
}

/// Settings with which it runs in containers and on hosts without systemd, too.
fn write_settings(folder: &Path, insecure_registry: &str) {
    let settings = "[containers]\n\
                    default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
                    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n\
                    events_logger = \"file\"\n";
    fs::write(folder.join("containers.conf"), settings).unwrap();
    let registries = format!("[[registry]]\nlocation = \"{insecure_registry}\"\ninsecure = true\n");
    fs::write(folder.join("registries.conf"), registries).unwrap();
}

/// An image's files: busybox, which links nothing, under the names of its tools.
pub(crate) fn archive(folder: &Path, file: &Path) -> Result<(), String> {
    let root = folder.join("tools");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::copy(BUSYBOX, root.join("bin/busybox")).map_err(|error| format!("{BUSYBOX}: {error}"))?;
    for tool in
        ["cat", "echo", "hostname", "id", "ls", "nc", "pwd", "seq", "sh", "sleep", "tail", "wc"]
    {
        symlink("busybox", root.join("bin").join(tool)).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&root).args(["--owner=0", "--group=0", "--mode=755", "-cf"]).arg(file);
    let status = tar.arg(".").status().map_err(|error| format!("tar: {error}"))?;
    status.success().then_some(()).ok_or_else(|| "tar has failed".to_owned())
}
