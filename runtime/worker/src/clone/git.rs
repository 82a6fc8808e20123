//! Runs git: with nothing of this machine's configuration, with credentials that only the
//! repository's own host is given, and with what it says read for what went wrong.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::settings::CloneSettings;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::failure::{Failure, Kind, kind, last_line};
use super::remote::{PROTOCOLS, Remote};
use super::say::Say;

/// The variable that git's credential helper prints. It is in no file and in no argument.
const PASSWORD: &str = "BRIGANTINE_CLONE_PASSWORD";

/// Who speaks to servers that want a name beside a token, and take any.
const TOKEN_USER: &str = "x-access-token";

/// What is kept of what git says.
const SAID: usize = 64 * 1024;

/// How often progress is shown at most.
const PROGRESS: Duration = Duration::from_secs(5);

/// Git, ready to work in one folder for one repository.
pub(super) struct Git {
    folder: PathBuf,
    /// The home folder of git and ssh: their configuration, the key. It goes with this.
    home: TempDir,
    environment: Vec<(&'static str, String)>,
    waits: Vec<Duration>,
    pub(super) say: Say,
}

impl Git {
    pub(super) fn new(
        settings: &CloneSettings,
        remote: &Remote,
        waits: &[Duration],
        mut say: Say,
    ) -> io::Result<Git> {
        let home = tempfile::Builder::new().prefix("clone-").tempdir()?;
        let mut environment = settings.environment.clone();
        let mut set = |name, value: String| environment.push((name, value));
        set("GIT_ALLOW_PROTOCOL", PROTOCOLS.join(":"));
        set("GIT_CONFIG_NOSYSTEM", "1".to_owned());
        set("GIT_TERMINAL_PROMPT", "0".to_owned());
        set("GIT_LFS_SKIP_PUSH", "1".to_owned());
        set("HOME", home.path().display().to_string());
        set("LC_ALL", "C".to_owned());
        let password = match settings.token.expose_secret() {
            "" => remote.password.clone(),
            _ => Some(settings.token.clone()),
        };
        let password = password.filter(|_| remote.is_http());
        if let Some(password) = &password {
            say.hide(password.expose_secret());
            say.hide(&utf8_percent_encode(password.expose_secret(), NON_ALPHANUMERIC).to_string());
            set(PASSWORD, password.expose_secret().to_owned());
        }
        for secret in [&settings.token, &settings.key, &settings.certificate] {
            say.hide(secret.expose_secret());
        }
        let ssh = ssh(home.path(), settings, remote)?;
        set("GIT_SSH_COMMAND", format!("ssh -F {}", quoted(&ssh)));
        set("GIT_SSH_VARIANT", "ssh".to_owned());
        let configuration = configuration(remote, password.is_some(), has(&settings.key));
        write(&home.path().join(".gitconfig"), &configuration)?;
        let (folder, waits) = (settings.workspace.clone(), waits.to_vec());
        Ok(Git { folder, home, environment, waits, say })
    }

    /// Whether there is anything to answer a server with that asks for a password.
    pub(super) fn has_password(&self) -> bool {
        self.environment.iter().any(|(name, _)| *name == PASSWORD)
    }

    /// Adds git-lfs, if it is there, so that a checkout brings the files themselves.
    pub(super) async fn use_lfs(&self) -> io::Result<bool> {
        if self.run(&["lfs", "version"]).await.is_err() {
            return Ok(false);
        }
        let lfs = "[filter \"lfs\"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n\
                   \tprocess = git-lfs filter-process\n\trequired = true\n[lfs]\n\tlocksverify = false\n";
        let mut file = OpenOptions::new().append(true).open(self.home.path().join(".gitconfig"))?;
        file.write_all(lfs.as_bytes())?;
        Ok(true)
    }

    /// Runs git, again and again while it is the network that fails.
    pub(super) async fn reach(&self, arguments: &[&str]) -> Result<String, Failure> {
        for wait in &self.waits {
            match self.run(arguments).await {
                Err(failure) if failure.kind == Kind::Network => {
                    let said = last_line(&failure.said);
                    self.say.line(&format!("trying again in {} s: {said}", wait.as_secs()));
                    #[expect(clippy::disallowed_methods, reason = "the network needs the time")]
                    tokio::time::sleep(*wait).await;
                }
                ended => return ended,
            }
        }
        self.run(arguments).await
    }

    /// Runs git once; what it prints, or what it says of its failure.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failure { kind: Kind::NoGit, said: error.to_string() },
            _ => Failure { kind: Kind::Other, said: format!("git cannot be run: {error}") },
        };
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (out, error) = (child.stdout.take(), child.stderr.take());
        let (printed, said) = tokio::join!(read(out), self.listen(error));
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(printed);
        }
        let said = self.say.hidden(&said);
        Err(Failure { kind: kind(&said), said })
    }

    /// Reads what git says: its progress is shown now and then, the rest is kept.
    async fn listen(&self, stream: Option<impl AsyncRead + Unpin>) -> String {
        let Some(mut stream) = stream else { return String::new() };
        let (mut said, mut line, mut buffer) = (String::new(), Vec::new(), [0; 4096]);
        let mut shown = Instant::now();
        while let Ok(read) = stream.read(&mut buffer).await
            && read > 0
        {
            for byte in &buffer[..read] {
                match byte {
                    b'\n' | b'\r' => {
                        let text = String::from_utf8_lossy(&line).trim().to_owned();
                        line.clear();
                        if !is_progress(&text) {
                            keep(&mut said, &text);
                        } else if shown.elapsed() >= PROGRESS {
                            shown = Instant::now();
                            self.say.line(&text);
                        }
                    }
                    _ if line.len() < SAID => line.push(*byte),
                    _ => {}
                }
            }
        }
        keep(&mut said, String::from_utf8_lossy(&line).trim());
        said
    }
}

/// The configuration that git has beside the repository's own. There is no secret in it.
fn configuration(remote: &Remote, password: bool, key: bool) -> String {
    let mut text = "[advice]\n\tdetachedHead = false\n\
        [core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\
        [fetch]\n\trecurseSubmodules = false\n\
        [gc]\n\tauto = 0\n\
        [http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n\
        [init]\n\tdefaultBranch = main\n\ttemplateDir =\n\
        [maintenance]\n\tauto = false\n\
        [protocol]\n\tversion = 2\n\
        [safe]\n\tdirectory = *\n\
        [submodule]\n\trecurse = false\n"
        .to_owned();
    if remote.is_http() {
        let user = match remote.user.as_str() {
            "" if password => TOKEN_USER,
            user => user,
        };
        text += &format!("[credential {}]\n", config_quoted(&remote.origin));
        if !user.is_empty() {
            text += &format!("\tusername = {}\n", config_quoted(user));
        }
        if password {
            let helper = format!(
                "!f() {{ test \"$1\" = get && printf 'password=%s\\n' \"${PASSWORD}\"; }}; f"
            );
            text += &format!("\thelper = {}\n", config_quoted(&helper));
        }
        // A submodule is often named by SSH where there is only a token.
        if password && !key && remote.origin.starts_with("https:") {
            let host = &remote.host;
            text += &format!("[url {}]\n", config_quoted(&format!("{}/", remote.origin)));
            text += &format!("\tinsteadOf = {}\n", config_quoted(&format!("git@{host}:")));
            text += &format!("\tinsteadOf = {}\n", config_quoted(&format!("ssh://git@{host}/")));
        }
    }
    text
}

/// Writes what ssh needs: the key, which is offered to the repository's host alone.
fn ssh(home: &Path, settings: &CloneSettings, remote: &Remote) -> io::Result<PathBuf> {
    let folder = home.join(".ssh");
    DirBuilder::new().mode(0o700).create(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let mut text = String::new();
    if has(&settings.key) {
        write(&folder.join("key"), &lines(settings.key.expose_secret()))?;
        text += &format!("Host {}\n\tIdentityFile \"{}\"\n", remote.host, path("key"));
        if has(&settings.certificate) {
            write(&folder.join("key-cert.pub"), &lines(settings.certificate.expose_secret()))?;
            text += &format!("\tCertificateFile \"{}\"\n", path("key-cert.pub"));
        }
    }
    write(&folder.join("known_hosts"), &lines(&settings.known_hosts))?;
    let strict = if settings.known_hosts.is_empty() { "accept-new" } else { "yes" };
    text += &format!(
        "Host *\n\tBatchMode yes\n\tConnectTimeout 30\n\tForwardAgent no\n\
         \tGlobalKnownHostsFile none\n\tHashKnownHosts no\n\tIdentitiesOnly yes\n\
         \tIdentityAgent none\n\tIdentityFile none\n\tLogLevel ERROR\n\
         \tServerAliveInterval 15\n\tStrictHostKeyChecking {strict}\n\tUserKnownHostsFile \"{}\"\n",
        path("known_hosts"),
    );
    let configuration = folder.join("config");
    write(&configuration, &text)?;
    Ok(configuration)
}

/// What Brigade keeps with `$` in the place of the ends of lines.
fn lines(text: &str) -> String {
    let text = text.replace('$', "\n").replace("\r\n", "\n");
    format!("{}\n", text.trim_end())
}

fn has(secret: &SecretString) -> bool {
    !secret.expose_secret().trim().is_empty()
}

/// A new file that only its owner may read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// A value in git's configuration.
fn config_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(stream) = stream else { return String::new() };
    let mut bytes = Vec::new();
    // What is cut or cannot be read is missed by whoever reads it.
    let _cut = stream.take(SAID as u64 * 16).read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Keeps a line, and forgets the oldest where there are too many.
fn keep(said: &mut String, line: &str) {
    if line.is_empty() {
        return;
    }
    said.push_str(line);
    said.push('\n');
    if said.len() > SAID {
        let mut from = said.len() - SAID / 2;
        while !said.is_char_boundary(from) {
            from += 1;
        }
        said.drain(..from);
    }
}

/// `Receiving objects:  45% (9/20), 1.2 MiB | 3.4 MiB/s`
fn is_progress(line: &str) -> bool {
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    let steps = [
        "Checking out files:",
        "Compressing objects:",
        "Counting objects:",
        "Downloading LFS",
        "Enumerating objects:",
        "Filtering content:",
        "Receiving objects:",
        "Resolving deltas:",
        "Total ",
        "Unpacking objects:",
        "Updating files:",
    ];
    steps.iter().any(|step| line.starts_with(step))
}

#[test]
fn a_key_of_one_line_becomes_lines_again() {
    assert_eq!(
        lines("-----BEGIN-----$abc$-----END-----$"),
        "-----BEGIN-----\nabc\n-----END-----\n"
    );
    assert_eq!(lines("a\r\nb"), "a\nb\n");
}
