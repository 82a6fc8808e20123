//! The URL of a repository: checked, without its credentials, and as it may be shown.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// How git may reach a repository. Everything else runs programs or reads this machine's files.
pub(super) const PROTOCOLS: [&str; 4] = ["https", "http", "ssh", "git"];

/// A repository that may be cloned.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// What git is given. Without a password; by HTTP, without a user.
    pub(super) url: String,
    /// `https://host:port`, which credentials are for; empty where there are none to give.
    pub(super) origin: String,
    pub(super) host: String,
    /// Whether it is reached by SSH.
    pub(super) ssh: bool,
    pub(super) user: String,
    /// The password that the URL had.
    pub(super) password: Option<SecretString>,
    /// The URL for people: no user, no password, no query.
    pub(super) shown: String,
}

/// Why a URL is not cloned. The URL itself is not in the text, for it may hold a password.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("the repository's URL begins with {0:?}, which is an option and no URL")]
    Option(char),
    #[error("the repository's URL holds a character that no URL has")]
    Character,
    #[error("the repository's URL holds two @, so that its host is not clear; write %40 for one")]
    Ambiguous,
    #[error(
        "the repository's URL is not by https, http, ssh or git, nor user@host:path: nothing else \
         is cloned"
    )]
    Protocol,
    #[error("the repository's URL names no host")]
    Host,
    #[error("the repository's URL names no path")]
    Path,
}

impl Remote {
    pub(super) fn parse(text: &str) -> Result<Remote, RemoteError> {
        if text.starts_with('-') {
            return Err(RemoteError::Option('-'));
        }
        let unprintable = |letter: char| letter.is_control() || letter.is_whitespace();
        if text.contains(unprintable) || text.contains(['\\', '"', '\'', '`', '<', '>']) {
            return Err(RemoteError::Character);
        }
        match text.split_once("://") {
            Some((scheme, rest)) => with_scheme(&scheme.to_ascii_lowercase(), rest),
            None => short(text),
        }
    }

    /// Whether the URL is one that a password is for.
    pub(super) fn is_http(&self) -> bool {
        !self.origin.is_empty()
    }
}

/// `https://user:password@host:port/path`
fn with_scheme(scheme: &str, rest: &str) -> Result<Remote, RemoteError> {
    if !PROTOCOLS.contains(&scheme) {
        return Err(RemoteError::Protocol);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if path.len() < 2 {
        return Err(RemoteError::Path);
    }
    let (user, address) = match authority.split_once('@') {
        Some((_, address)) if address.contains('@') => return Err(RemoteError::Ambiguous),
        Some((user, address)) => (user, address),
        None => ("", authority),
    };
    let (user, password) = match user.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password)?)),
        None => (user, None),
    };
    let user = decoded(user)?;
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (address, ""),
    };
    let host = host.to_ascii_lowercase();
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    if !is_host(name) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RemoteError::Host);
    }
    let http = matches!(scheme, "http" | "https");
    let path_only = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    let address = address.to_ascii_lowercase();
    let origin = format!("{scheme}://{address}");
    let url = match user.as_str() {
        // Encoded again, so that nothing in it is anything else to ssh.
        user if scheme == "ssh" && !user.is_empty() => {
            if !is_user(user) {
                return Err(RemoteError::Character);
            }
            format!("ssh://{user}@{address}{path}")
        }
        _ => format!("{origin}{path}"),
    };
    Ok(Remote {
        url,
        origin: if http { origin.clone() } else { String::new() },
        host: name.to_owned(),
        ssh: scheme == "ssh",
        user,
        password: password.filter(|_| http).map(Into::into),
        shown: format!("{origin}{path_only}"),
    })
}

/// `user@host:path`, which is by SSH.
fn short(text: &str) -> Result<Remote, RemoteError> {
    let (address, path) = text.split_once(':').ok_or(RemoteError::Protocol)?;
    // `ext::...` names a program of git, `./x:y` a file.
    if address.contains('/') || path.starts_with(':') {
        return Err(RemoteError::Protocol);
    }
    let (user, host) = match address.split_once('@') {
        Some((_, host)) if host.contains('@') => return Err(RemoteError::Ambiguous),
        Some((user, host)) => (user, host),
        None => ("", address),
    };
    if !is_host(host) || (!user.is_empty() && !is_user(user)) {
        return Err(RemoteError::Host);
    }
    if path.is_empty() || path.starts_with('-') {
        return Err(RemoteError::Path);
    }
    Ok(Remote {
        url: text.to_owned(),
        origin: String::new(),
        host: host.to_owned(),
        ssh: true,
        user: user.to_owned(),
        password: None,
        shown: format!("{host}:{path}"),
    })
}

fn is_host(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._:".contains(letter);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(letter)
}

fn is_user(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._+".contains(letter);
    !name.starts_with('-') && name.chars().all(letter)
}

fn decoded(text: &str) -> Result<String, RemoteError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_no_text| RemoteError::Character)?;
    if text.contains(char::is_control) {
        return Err(RemoteError::Character);
    }
    Ok(text.into_owned())
}

#[test]
fn urls_are_shown_and_given_to_git_without_their_credentials() {
    for (url, given, shown) in [
        ("https://example.com/a.git", "https://example.com/a.git", "https://example.com/a.git"),
        (
            "https://bob:pass@Example.com:8443/a?token=t",
            "https://example.com:8443/a?token=t",
            "https://example.com:8443/a",
        ),
        (
            "ssh://git@example.com:22/a.git",
            "ssh://git@example.com:22/a.git",
            "ssh://example.com:22/a.git",
        ),
        (
            "ssh://git:pass@example.com/a.git",
            "ssh://git@example.com/a.git",
            "ssh://example.com/a.git",
        ),
        ("git@example.com:org/a.git", "git@example.com:org/a.git", "example.com:org/a.git"),
        ("git://[::1]:9418/a", "git://[::1]:9418/a", "git://[::1]:9418/a"),
    ] {
        let remote = Remote::parse(url).unwrap();
        assert_eq!((remote.url.as_str(), remote.shown.as_str()), (given, shown));
    }
    let remote = Remote::parse("https://bob:p%40ss@example.com/a").unwrap();
    assert_eq!((remote.user.as_str(), remote.origin.as_str()), ("bob", "https://example.com"));
}

#[test]
fn urls_that_run_programs_or_read_files_are_refused() {
    use RemoteError::{Ambiguous, Character, Host, Option, Path, Protocol};
    for (url, error) in [
        ("--upload-pack=touch /tmp/x", Option('-')),
        ("ext::sh -c touch% /tmp/x", Character),
        ("ext::sh", Protocol),
        ("fd::17", Protocol),
        ("file:///etc", Protocol),
        ("/etc", Protocol),
        ("./a:b", Protocol),
        ("https://example.com", Path),
        ("https:///a", Host),
        ("https://-oProxyCommand=x/a", Host),
        ("ssh://-oProxyCommand=x/a", Host),
        ("-oProxyCommand=x@example.com:a", Option('-')),
        ("git@-oProxyCommand=x:a", Host),
        ("https://a@b@c/d", Ambiguous),
        ("https://example.com/a\nb", Character),
        ("https://ex%61mple.com/a", Host),
        ("ssh://%2doProxyCommand@example.com/a", Character),
    ] {
        assert_eq!(Remote::parse(url).unwrap_err(), error, "{url}");
    }
}
