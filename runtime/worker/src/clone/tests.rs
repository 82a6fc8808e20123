//! Tests of clones, by the real git from its real server, on this machine.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tempfile::TempDir;

use super::*;
use folder::MARK;
use server::{Manners, Server, Ssh};

mod server;

const TOKEN: &str = "t0k3n-of-the-project";

/// `x-access-token` and the token.
const GIVEN: &str = "Basic eC1hY2Nlc3MtdG9rZW46dDBrM24tb2YtdGhlLXByb2plY3Q=";

#[tokio::test]
async fn branches_tags_references_and_commits_are_cloned() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let [first, second, hotfix, pull] = &world.commits;
    let short = &first[..9];
    for (commit, reference, expected, branch) in [
        // The cases that git-sidecar's own test has: a tag, a branch, a pull request, a commit.
        ("", "v0.1.0", first, ""),
        ("", "hotfix", hotfix, "hotfix"),
        ("", "refs/pull/1/head", pull, ""),
        ("", first.as_str(), first, ""),
        (first.as_str(), "", first, ""),
        ("", "", second, "main"),
        ("HEAD", "main", second, "main"),
        ("", "refs/heads/main", second, "main"),
        ("", "refs/tags/v0.1.0", first, ""),
        (short, "", first, ""),
        ("", short, first, ""),
        (short, "main", first, "main"),
        // The commit wins over what its reference is by now.
        (first.as_str(), "refs/heads/main", first, "main"),
        (first.as_str(), "main", first, "main"),
        (first.as_str(), "refs/heads/deleted", first, "deleted"),
        (first.as_str(), "v0.1.0", first, ""),
        (first.as_str(), "deleted", first, ""),
        // A tag comes before a branch of the same name, as git has it.
        ("", "twice", first, ""),
        ("", "refs/heads/twice", second, "twice"),
        ("", "feature/a", second, "feature/a"),
    ] {
        let what = format!("{commit:?} {reference:?}");
        let clone = world.clone(commit, reference).await;
        clone.ended.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(clone.git(&["rev-parse", "HEAD"]), *expected, "{what}");
        assert_eq!(clone.git(&["branch", "--show-current"]), branch, "{what}");
        assert_eq!(clone.git(&["status", "--porcelain"]), "", "{what}");
        let mode = clone.git(&["config", "remote.origin.url"]);
        assert_eq!(mode, world.server.url("app.git"), "{what}");
    }
}

#[tokio::test]
async fn only_the_commit_itself_is_fetched_unless_more_is_asked_for() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let second = world.commits[1].clone();
    let clone = world.clone(&second, "refs/heads/main").await;
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "1");
    let whole = CloneSettings { depth: None, ..world.settings(&second, "refs/heads/main") };
    let clone = world.clone_with(whole).await;
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(clone.git(&["describe"]), format!("v0.1.0-1-g{}", &second[..7]));
}

#[tokio::test]
async fn a_tag_is_there_to_be_described() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let first = world.commits[0].clone();
    for (commit, reference) in [("", "v0.1.0"), (first.as_str(), "refs/tags/v0.1.0")] {
        let clone = world.clone(commit, reference).await;
        assert_eq!(clone.git(&["describe"]), "v0.1.0", "{:?}", clone.printed);
    }
}

#[tokio::test]
async fn a_server_that_gives_out_no_single_commit_is_searched() {
    let Some(world) = World::new(Manners { old: true, ..Manners::default() }).await else { return };
    let [first, second, ..] = &world.commits;
    // What a branch or a tag points to is given out by any server.
    let work = world.folder.path().join("app");
    git(&work, &["tag", "--delete", "twice", "v0.1.0"]);
    for reference in ["refs/heads/main", "main", "refs/heads/deleted", ""] {
        let clone = world.clone(first, reference).await;
        clone.ended.as_ref().unwrap_or_else(|error| panic!("{error} {}", clone.printed));
        assert_eq!(clone.git(&["rev-parse", "HEAD"]), *first);
        assert!(clone.printed.contains("gives out no single commit"), "{}", clone.printed);
    }
    let clone = world.clone(second, "main").await;
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), *second);
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "1");
    let replaced = "0123456789012345678901234567890123456789";
    let error = world.clone(replaced, "main").await.ended.unwrap_err().to_string();
    assert!(error.contains("has no commit 0123456789"), "{error}");
    assert!(error.contains("forced push"), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let Some(world) = World::new(Manners::default()).await else { return };
    for (commit, reference, named) in [
        ("", "absent", "has no branch, tag or commit absent"),
        ("", "refs/heads/absent", "has no branch, tag or commit refs/heads/absent"),
        ("", "abcdef0", "has no branch, tag or commit abcdef0"),
        ("0123456789012345678901234567890123456789", "", "has no commit 01234567890"),
    ] {
        let error = world.clone(commit, reference).await.ended.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let absent = CloneSettings { remote: world.server.url("absent.git"), ..world.settings("", "") };
    let before = world.server.given().len();
    let error = world.clone_with(absent).await.ended.unwrap_err().to_string();
    assert!(error.starts_with("there is no repository http://127.0.0.1:"), "{error}");
    // Nothing of this is tried again.
    assert_eq!(world.server.given().len(), before + 1);
}

#[tokio::test]
async fn a_token_is_given_to_its_own_host_and_to_nobody_else() {
    let wants = Manners { authorization: Some(GIVEN.to_owned()), ..Manners::default() };
    let Some(world) = World::new(wants.clone()).await else { return };
    let error = world.clone("", "main").await.ended.unwrap_err().to_string();
    assert!(error.contains("needs credentials: give the project a github.token"), "{error}");
    let with_token = |remote: String| CloneSettings {
        remote,
        token: TOKEN.into(),
        ..world.settings("", "main")
    };
    let clone = world.clone_with(with_token(world.server.url("app.git"))).await;
    clone.ended.as_ref().unwrap();
    assert!(world.server.given().contains(&GIVEN.to_owned()));
    assert!(!clone.printed.contains(TOKEN), "{}", clone.printed);
    assert!(!clone.holds(TOKEN));
    let wrong = CloneSettings { token: "wrong-token".into(), ..world.settings("", "main") };
    let error = world.clone_with(wrong).await.ended.unwrap_err().to_string();
    assert!(error.contains("refuses the project's credentials"), "{error}");
    // A server that sends its visitors to another does not send their token with them.
    let elsewhere = format!("http://{}", world.server.address);
    let away = Manners { redirect: Some(elsewhere), ..Manners::default() };
    let away = Server::new(world.folder.path(), away).await;
    let before = world.server.given().len();
    let error = world.clone_with(with_token(away.url("app.git"))).await.ended.unwrap_err();
    assert!(matches!(error, CloneError::Denied { .. } | CloneError::NoCredentials(_)), "{error}");
    let given = world.server.given().split_off(before);
    assert!(!given.is_empty() && given.iter().all(String::is_empty), "{given:?}");
}

#[tokio::test]
async fn the_password_of_a_url_is_used_and_shown_nowhere() {
    let given = "Basic Ym9iOnMzY3IzdA==";
    let wants = Manners { authorization: Some(given.to_owned()), ..Manners::default() };
    let Some(world) = World::new(wants).await else { return };
    let url = world.server.url("app.git").replace("http://", "http://bob:s3cr3t@");
    let clone = world.clone_with(CloneSettings { remote: url, ..world.settings("", "main") }).await;
    clone.ended.as_ref().unwrap();
    assert!(!clone.printed.contains("s3cr3t"), "{}", clone.printed);
    assert!(!clone.holds("s3cr3t"));
    let wrong = world.server.url("app.git").replace("http://", "http://bob:wr0ng-one@");
    let clone = world.clone_with(CloneSettings { remote: wrong, ..world.settings("", "main") });
    let error = clone.await.ended.unwrap_err().to_string();
    assert!(error.contains("refuses the project's credentials"), "{error}");
    assert!(!error.contains("wr0ng-one"), "{error}");
}

#[tokio::test]
async fn the_network_is_tried_again_and_nothing_else() {
    let Some(world) = World::new(Manners { failures: 2, ..Manners::default() }).await else {
        return;
    };
    let clone = world.clone("", "main").await;
    clone.ended.as_ref().unwrap();
    assert_eq!(clone.printed.matches("trying again in 0 s").count(), 2, "{}", clone.printed);
    let Some(world) = World::new(Manners { failures: 1000, ..Manners::default() }).await else {
        return;
    };
    let error = world.clone("", "main").await.ended.unwrap_err().to_string();
    assert!(error.contains("could not be reached"), "{error}");
    assert_eq!(world.server.given().len(), 5);
}

#[tokio::test]
async fn a_clone_that_was_interrupted_is_made_anew() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let workspace = world.workspace();
    let settings = CloneSettings { workspace: workspace.clone(), ..world.settings("", "main") };
    world.clone_with(settings.clone()).await.ended.unwrap();
    // What a killed git leaves.
    fs::write(workspace.join(".git/index.lock"), "").unwrap();
    fs::write(workspace.join("half"), "").unwrap();
    fs::create_dir(workspace.join("folder")).unwrap();
    let other = CloneSettings { reference: "hotfix".to_owned(), ..settings.clone() };
    let clone = world.clone_with(other).await;
    clone.ended.as_ref().unwrap();
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    assert_eq!(clone.git(&["rev-parse", "HEAD"]), world.commits[2]);
    // One that was killed before git began.
    for left in ["", MARK] {
        fs::remove_dir_all(&workspace).unwrap();
        fs::create_dir_all(workspace.join(".git")).unwrap();
        if !left.is_empty() {
            fs::write(workspace.join(".git").join(left), "").unwrap();
        }
        world.clone_with(settings.clone()).await.ended.unwrap();
    }
    // Another's repository is left as it is.
    fs::remove_file(workspace.join(".git").join(MARK)).unwrap();
    let error = world.clone_with(settings).await.ended.unwrap_err().to_string();
    assert!(error.contains("holds another repository"), "{error}");
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_cloned_to() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let workspace = world.workspace();
    fs::create_dir_all(workspace.join("lost+found")).unwrap();
    fs::write(workspace.join("file"), "other").unwrap();
    let settings = CloneSettings { workspace: workspace.clone(), ..world.settings("", "main") };
    world.clone_with(settings).await.ended.unwrap();
    assert_eq!(fs::read_to_string(workspace.join("file")).unwrap(), "second\n");
    assert!(workspace.join("lost+found").exists());
}

#[tokio::test]
async fn submodules_are_cloned_with_the_token_of_their_host() {
    let wants = Manners { authorization: Some(GIVEN.to_owned()), ..Manners::default() };
    for manners in [wants.clone(), Manners { old: true, ..wants }] {
        let Some(world) = World::new(manners).await else { return };
        world.with_submodule("../library.git");
        let settings = CloneSettings {
            submodules: true,
            token: TOKEN.into(),
            ..world.settings("", "with-submodule")
        };
        let clone = world.clone_with(settings.clone()).await;
        clone.ended.as_ref().unwrap_or_else(|error| panic!("{error} {}", clone.printed));
        let file = clone.workspace.join("library/file");
        assert_eq!(fs::read_to_string(file).unwrap(), "library\n");
        assert!(!clone.holds(TOKEN));
        let without = CloneSettings { submodules: false, ..settings };
        let clone = world.clone_with(without).await;
        assert!(!clone.workspace.join("library/file").exists());
    }
}

#[tokio::test]
async fn hostile_submodules_are_refused_and_told_nothing() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let stranger = Manners { authorization: Some("nobody".to_owned()), ..Manners::default() };
    let stranger = Server::new(world.folder.path(), stranger).await;
    let touched = world.folder.path().join("touched");
    let program = format!("ext::touch {}", touched.display());
    let file = format!("file://{}/library.git", world.folder.path().display());
    for url in [program.as_str(), file.as_str(), &stranger.url("library.git")] {
        world.with_submodule(url);
        let settings = CloneSettings {
            submodules: true,
            token: TOKEN.into(),
            ..world.settings("", "with-submodule")
        };
        let clone = world.clone_with(settings).await;
        let error = clone.ended.as_ref().unwrap_err().to_string();
        assert!(error.contains("the submodules of"), "{url}: {error}");
        assert!(!clone.workspace.join("library/file").exists());
    }
    assert!(!touched.exists());
    let given = stranger.given();
    assert!(!given.is_empty() && given.iter().all(String::is_empty), "{given:?}");
}

#[tokio::test]
async fn nothing_of_this_machine_or_of_the_repository_is_run() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let touched = world.folder.path().join("touched");
    let hook = format!("#!/bin/sh\ntouch {}\n", touched.display());
    world.commit_file("hooked", ".githooks/post-checkout", &hook);
    world.commit_file("hooked", ".gitattributes", "* filter=evil\n");
    world.commit_file(
        "hooked",
        ".gitconfig",
        &format!("[filter \"evil\"]\n\tsmudge = touch {}\n", touched.display()),
    );
    world.clone("", "hooked").await.ended.unwrap();
    assert!(!touched.exists());
}

#[tokio::test]
async fn files_of_git_lfs_are_pointers_where_it_is_not_there() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 5\n";
    world.commit_file("large", "big.bin", pointer);
    world.commit_file(
        "large",
        "assets/.gitattributes",
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    );
    world.commit_file("large", "assets/big.bin", pointer);
    // Git alone, without what else this machine has.
    let tools = world.folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["git", "sh"] {
        std::os::unix::fs::symlink(which(tool).unwrap(), tools.join(tool)).unwrap();
    }
    if Command::new("git").args(["--exec-path"]).output().is_ok_and(|output| {
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("git-lfs").exists()
    }) {
        println!("git-lfs is among git's own programs here: nothing is tested");
        return;
    }
    let path = tools.display().to_string();
    let settings =
        CloneSettings { environment: vec![("PATH", path)], ..world.settings("", "large") };
    let clone = world.clone_with(settings).await;
    clone.ended.as_ref().unwrap();
    assert!(clone.printed.contains("git-lfs is not in this image"), "{}", clone.printed);
    let text = fs::read_to_string(clone.workspace.join("assets/big.bin")).unwrap();
    assert_eq!(text, pointer);
}

#[tokio::test]
async fn files_of_git_lfs_are_fetched_where_it_is_there() {
    if which("git-lfs").is_none() {
        missing("git-lfs");
        return;
    }
    let wants = Manners { authorization: Some(GIVEN.to_owned()), ..Manners::default() };
    let Some(world) = World::new(wants).await else { return };
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
        server::LARGE_ID,
        server::LARGE.len(),
    );
    world.commit_file("large", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    world.commit_file("large", "big.bin", &pointer);
    let settings = CloneSettings { token: TOKEN.into(), ..world.settings("", "large") };
    let clone = world.clone_with(settings).await;
    clone.ended.as_ref().unwrap_or_else(|error| panic!("{error} {}", clone.printed));
    assert_eq!(fs::read_to_string(clone.workspace.join("big.bin")).unwrap(), server::LARGE);
    assert!(!clone.holds(TOKEN));
}

#[tokio::test]
async fn a_clone_ends_when_its_time_is_over() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let settings = CloneSettings { time_limit: Duration::ZERO, ..world.settings("", "main") };
    let error = world.clone_with(settings).await.ended.unwrap_err().to_string();
    assert!(error.contains("could not be cloned in 0ns; CLONE_TIMEOUT allows more"), "{error}");
}

#[tokio::test]
async fn hostile_names_never_reach_git() {
    let Some(world) = World::new(Manners::default()).await else { return };
    for (remote, reference) in [
        ("ext::touch /tmp/x", "main"),
        ("--upload-pack=touch", "main"),
        ("file:///etc", "main"),
        ("https://example.com/a", "--upload-pack=touch"),
        ("https://example.com/a", "main\n--exec=x"),
    ] {
        let settings = CloneSettings { remote: remote.to_owned(), ..world.settings("", reference) };
        let clone = world.clone_with(settings).await;
        let error = clone.ended.as_ref().unwrap_err();
        assert!(matches!(error, CloneError::Remote(_) | CloneError::Name(_)), "{error}");
        assert_eq!(clone.printed, "");
    }
}

#[tokio::test]
async fn a_key_opens_its_own_host_and_known_hosts_are_kept_to() {
    let Some(world) = World::new(Manners::default()).await else { return };
    let Some(ssh) = world.ssh().await else {
        println!("there is no usable sshd here: nothing is tested");
        return;
    };
    let key = fs::read_to_string(world.folder.path().join("key")).unwrap();
    let user = output("id", &["-un"]);
    let path = world.folder.path().join("app.git").display().to_string();
    let settings = |key: &str, known_hosts: &str| CloneSettings {
        remote: format!("ssh://{user}@{}{path}", ssh.address),
        key: SecretString::from(key),
        known_hosts: known_hosts.to_owned(),
        ..world.settings("", "main")
    };
    let host_key = fs::read_to_string(world.folder.path().join("host.pub")).unwrap();
    let known = format!("[127.0.0.1]:{} {host_key}", ssh.address.port());
    // Also as Brigade keeps it, in one line.
    for (key, known) in [(key.clone(), ""), (key.replace('\n', "$"), &known)] {
        let clone = world.clone_with(settings(&key, known)).await;
        clone.ended.as_ref().unwrap_or_else(|error| panic!("{error} {}", clone.printed));
        assert_eq!(clone.git(&["rev-parse", "HEAD"]), world.commits[1]);
        assert!(!clone.holds("PRIVATE KEY"));
        assert_eq!(clone.printed.contains("no CLONE_KNOWN_HOSTS"), known.is_empty());
    }
    let error = world.clone_with(settings("", &known)).await.ended.unwrap_err().to_string();
    assert!(error.contains("refuses the project's credentials"), "{error}");
    let other = format!("[127.0.0.1]:{} {}", ssh.address.port(), world.other_key());
    let error = world.clone_with(settings(&key, &other)).await.ended.unwrap_err().to_string();
    assert!(error.contains("another key than CLONE_KNOWN_HOSTS says"), "{error}");
}

/// Repositories, their server, and what was cloned of them.
struct World {
    folder: TempDir,
    server: Server,
    /// The first and second commit of main, that of hotfix, that of a pull request.
    commits: [String; 4],
    clones: Mutex<usize>,
}

struct Cloned {
    ended: Result<(), CloneError>,
    printed: String,
    workspace: PathBuf,
}

/// Collects what is printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that nothing is tested, for want of a tool: a failure where all are said to be there.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says what there is")]
fn missing(tool: &str) {
    let all = std::env::var("BRIGANTINE_TOOLS").is_ok();
    assert!(!all, "BRIGANTINE_TOOLS is set, and there is no {tool}");
    println!("there is no {tool} here: nothing is tested");
}

impl World {
    /// `None` where the tools are missing that every test here needs.
    async fn new(manners: Manners) -> Option<World> {
        let programs = Command::new("git").arg("--exec-path").output().ok();
        let programs = programs.and_then(|output| String::from_utf8(output.stdout).ok());
        if !programs.is_some_and(|path| Path::new(path.trim()).join("git-http-backend").exists()) {
            missing("git with its http-backend");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["app", "library"] {
            let work = folder.path().join(name);
            fs::create_dir(&work).unwrap();
            git(&work, &["init", "--quiet", "--initial-branch=main"]);
        }
        let work = folder.path().join("app");
        let commit = |text: &str| {
            fs::write(work.join("file"), format!("{text}\n")).unwrap();
            git(&work, &["add", "--all"]);
            git(&work, &["commit", "--quiet", "--message", text]);
            git(&work, &["rev-parse", "HEAD"])
        };
        let first = commit("first");
        git(&work, &["tag", "--annotate", "--message", "v", "v0.1.0"]);
        git(&work, &["tag", "twice"]);
        let second = commit("second");
        git(&work, &["branch", "twice"]);
        git(&work, &["branch", "feature/a"]);
        git(&work, &["checkout", "--quiet", "-b", "hotfix", &first]);
        let hotfix = commit("hotfix");
        git(&work, &["checkout", "--quiet", "--detach", &first]);
        let pull = commit("pull");
        git(&work, &["update-ref", "refs/pull/1/head", &pull]);
        git(&work, &["checkout", "--quiet", "main"]);
        let library = folder.path().join("library");
        fs::write(library.join("file"), "library\n").unwrap();
        git(&library, &["add", "--all"]);
        git(&library, &["commit", "--quiet", "--message", "library"]);
        for name in ["app", "library"] {
            let (from, to) = (folder.path().join(name).join(".git"), format!("{name}.git"));
            std::os::unix::fs::symlink(from, folder.path().join(to)).unwrap();
        }
        let server = Server::new(folder.path(), manners).await;
        let commits = [first, second, hotfix, pull];
        Some(World { folder, server, commits, clones: Mutex::default() })
    }

    fn workspace(&self) -> PathBuf {
        let mut clones = self.clones.lock().unwrap();
        *clones += 1;
        self.folder.path().join(format!("clone-{clones}"))
    }

    fn settings(&self, commit: &str, reference: &str) -> CloneSettings {
        CloneSettings {
            remote: self.server.url("app.git"),
            commit: commit.to_owned(),
            reference: reference.to_owned(),
            workspace: self.workspace(),
            submodules: false,
            key: SecretString::default(),
            certificate: SecretString::default(),
            token: SecretString::default(),
            known_hosts: String::new(),
            depth: std::num::NonZeroU32::new(1),
            time_limit: Duration::from_secs(120),
            environment: vec![("PATH", path())],
        }
    }

    async fn clone(&self, commit: &str, reference: &str) -> Cloned {
        self.clone_with(self.settings(commit, reference)).await
    }

    async fn clone_with(&self, settings: CloneSettings) -> Cloned {
        let printed = Printed::default();
        let waits = [Duration::ZERO; 4];
        let ended = clone(&settings, printed.clone(), &waits, pending()).await;
        let printed = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
        Cloned { ended, printed, workspace: settings.workspace }
    }

    /// Commits a file to a branch.
    fn commit_file(&self, branch: &str, path: &str, text: &str) {
        let work = self.folder.path().join("app");
        git(&work, &["checkout", "--quiet", "-B", branch]);
        fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
        fs::write(work.join(path), text).unwrap();
        git(&work, &["add", "--all"]);
        git(&work, &["commit", "--quiet", "--message", path]);
    }

    /// Makes the branch `with-submodule`, with the library as a submodule of this URL.
    fn with_submodule(&self, url: &str) {
        let (work, library) = (self.folder.path().join("app"), self.folder.path().join("library"));
        git(&work, &["checkout", "--quiet", "-B", "with-submodule", "main"]);
        let text = format!("[submodule \"library\"]\n\tpath = library\n\turl = {url}\n");
        fs::write(work.join(".gitmodules"), text).unwrap();
        let tip = git(&library, &["rev-parse", "HEAD"]);
        git(&work, &["add", ".gitmodules"]);
        git(&work, &["update-index", "--add", "--cacheinfo", &format!("160000,{tip},library")]);
        git(&work, &["commit", "--quiet", "--message", "submodule"]);
    }

    /// An SSH server that takes the key in the file `key`, if this machine has one that does.
    async fn ssh(&self) -> Option<Ssh> {
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().map(PathBuf::from);
        let sshd = sshd.into_iter().find(|path| path.exists())?;
        let in_folder = |name: &str| self.folder.path().join(name).display().to_string();
        for key in ["host", "key"] {
            let new = ["-q", "-t", "ed25519", "-N", "", "-f", &in_folder(key)];
            Command::new("ssh-keygen").args(new).status().ok().filter(|status| status.success())?;
        }
        // What sshd wants for itself, where it runs as root.
        let _not_root = fs::create_dir("/run/sshd");
        let configuration = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PasswordAuthentication no\nPermitRootLogin yes\n",
            in_folder("host"),
            in_folder("key.pub"),
        );
        fs::write(in_folder("sshd"), configuration).unwrap();
        let server = Ssh::new(sshd, in_folder("sshd").into()).await;
        let port = server.address.port().to_string();
        let probe = tokio::process::Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60"])
            .args(["-i", &in_folder("key"), "-p", &port, "127.0.0.1", "true"])
            .output();
        let usable = probe.await.is_ok_and(|output| output.status.success());
        usable.then_some(server)
    }

    fn other_key(&self) -> String {
        fs::read_to_string(self.folder.path().join("key.pub")).unwrap()
    }
}

impl Cloned {
    fn git(&self, arguments: &[&str]) -> String {
        git(&self.workspace, arguments)
    }

    /// Whether any file of the clone, git's own with them, has this text.
    fn holds(&self, text: &str) -> bool {
        let folder = self.workspace.display().to_string();
        Command::new("grep").args(["-rqaF", "--", text, &folder]).status().unwrap().success()
    }
}

/// Runs git for a test, with nothing of this machine's configuration.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", path())
        .env("HOME", folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "where the tools are, is no setting")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

fn which(tool: &str) -> Option<PathBuf> {
    path().split(':').map(|folder| Path::new(folder).join(tool)).find(|path| path.exists())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
