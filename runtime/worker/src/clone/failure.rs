//! What git could not do, read from what it, curl and ssh say.

/// What git could not do.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// What git said of it, without secrets.
    pub(super) said: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The server wants other credentials, or any.
    Denied,
    /// The host's key is not the known one.
    UnknownHost,
    /// There is no such repository.
    NoRepository,
    /// There is no such reference.
    NoReference,
    /// The server does not give out this commit, or not in this way.
    Refused,
    /// Trying again may help.
    Network,
    /// The program is not there.
    NoGit,
    Other,
}

/// What went wrong, by what git, curl and ssh say. The order counts: a server that denies or has
/// nothing hangs up too.
pub(super) fn kind(said: &str) -> Kind {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        Kind::UnknownHost
    } else if has(&[
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "Permission denied (",
        "returned error: 401",
        "returned error: 403",
        "HTTP Basic: Access denied",
        "Too many authentication failures",
    ]) {
        Kind::Denied
    } else if has(&[
        "not our ref",
        "unadvertised object",
        "does not support shallow",
        "dumb http transport",
        "Server does not allow request",
    ]) {
        Kind::Refused
    } else if has(&["couldn't find remote ref", "could not find remote ref", "Remote branch"]) {
        Kind::NoReference
    } else if has(&[
        "epository not found",
        "' not found",
        "does not appear to be a git repository",
        "not exported",
        "returned error: 404",
        "returned error: 410",
        "does not exist",
        "valid repository name",
    ]) {
        Kind::NoRepository
    } else if has(&[
        "Could not resolve",
        "Couldn't resolve",
        "name resolution",
        "Failed to connect",
        "Couldn't connect",
        "Connection refused",
        "Connection reset",
        "Connection closed",
        "Connection timed out",
        "onnection to",
        "timed out",
        "Network is unreachable",
        "No route to host",
        "hung up",
        "early EOF",
        "RPC failed",
        "unexpected disconnect",
        "Empty reply",
        "returned error: 5",
        "returned error: 429",
        "returned error: 408",
        "SSL_read",
        "SSL_ERROR",
        "gnutls_handshake",
        "Operation too slow",
        "kex_exchange",
        "transfer closed",
        "invalid index-pack",
        "Broken pipe",
        "Recv failure",
        "Send failure",
    ]) {
        Kind::Network
    } else {
        Kind::Other
    }
}

/// The line that says most: the last that says what is wrong.
pub(super) fn last_line(said: &str) -> &str {
    let said = said.lines().rev().filter(|line| !line.trim().is_empty());
    // After these, ssh and git say only that it did not work.
    let empty = |line: &&str| {
        !line.starts_with("Please make sure")
            && !line.starts_with("and the repository exists")
            && !line.starts_with("fatal: Could not read from remote repository")
    };
    let mut lines = said.clone().filter(empty);
    lines.next().or_else(|| said.clone().next()).unwrap_or("git said nothing")
}

#[test]
fn what_git_says_tells_what_to_do() {
    for (said, expected) in [
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", Kind::Denied),
        (
            "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            Kind::Denied,
        ),
        ("fatal: repository 'https://x/y/' not found", Kind::NoRepository),
        (
            "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
            Kind::NoRepository,
        ),
        ("fatal: couldn't find remote ref refs/heads/x", Kind::NoReference),
        ("fatal: remote error: upload-pack: not our ref 00", Kind::Refused),
        ("error: Server does not allow request for unadvertised object 00", Kind::Refused),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Kind::Network),
        (
            "fatal: unable to access 'https://x/': The requested URL returned error: 503",
            Kind::Network,
        ),
        (
            "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote repository.",
            Kind::Network,
        ),
        ("fatal: the remote end hung up unexpectedly", Kind::Network),
        (
            "No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.",
            Kind::UnknownHost,
        ),
        ("fatal: pathspec", Kind::Other),
    ] {
        assert_eq!(kind(said), expected, "{said}");
    }
}
