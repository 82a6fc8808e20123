//! Which git host wrote a body.
//!
//! Hosts that sign have the same secret of a project, the same HMAC, and nothing in it that says for
//! whom it is. So a delivery that somebody has overheard would be as good at the receiver of another
//! host, where it was never built. But what it says of its sender is signed.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::body::json_object;
use crate::lenient::object;
use crate::rejection::Rejection;

/// A host that signs no more than the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    Bitbucket,
    /// Forgejo and Gogs, too.
    Gitea,
    Github,
}

/// Refuses a body that is told to be another host's than this, if any.
pub(crate) fn must_be(own: Option<Host>, json: &[u8]) -> Result<(), Rejection> {
    let (name, address) = match writer(json) {
        None => return Ok(()),
        other if other == own => return Ok(()),
        Some(Host::Bitbucket) => ("Bitbucket", "/events/bitbucket"),
        Some(Host::Gitea) => ("Gitea", "/events/gitea"),
        Some(Host::Github) => ("GitHub", "/events/github"),
    };
    Err(Rejection::malformed(format!("the body is {name}'s, whose webhooks come to {address}")))
}

/// Gitea writes the name of its `sender` twice, GitHub writes what it is, and Bitbucket has an
/// `actor` instead. Without any of them it may be anybody's.
fn writer(json: &[u8]) -> Option<Host> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(deserialize_with = "object")]
        sender: Option<Sender>,
        #[serde(deserialize_with = "object")]
        actor: Option<Actor>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Sender {
        username: Option<IgnoredAny>,
        node_id: Option<IgnoredAny>,
        #[serde(rename = "type")]
        kind: Option<IgnoredAny>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Actor {}
    let body: Body = json_object(json).ok()?;
    match (body.sender, body.actor) {
        (Some(sender), _) if sender.username.is_some() => Some(Host::Gitea),
        (Some(sender), _) if sender.node_id.is_some() || sender.kind.is_some() => {
            Some(Host::Github)
        }
        (None, Some(_)) => Some(Host::Bitbucket),
        _ => None,
    }
}

#[test]
fn a_host_is_known_by_what_it_says_of_the_sender() {
    for (body, expected) in [
        (r#"{"sender": {"login": "a", "node_id": "x", "type": "User"}}"#, Some(Host::Github)),
        (r#"{"sender": {"login": "a", "type": "Bot"}, "actor": {}}"#, Some(Host::Github)),
        (r#"{"sender": {"login": "a", "username": "a"}}"#, Some(Host::Gitea)),
        (r#"{"actor": {"display_name": "a"}}"#, Some(Host::Bitbucket)),
        (r#"{"sender": {"login": "a"}}"#, None),
        (r#"{"sender": null, "actor": "a"}"#, None),
        (r#"{"repository": {"sender": {"type": "User"}, "actor": {}}}"#, None),
        ("{}", None),
        ("[]", None),
        ("", None),
    ] {
        assert_eq!(writer(body.as_bytes()), expected, "{body}");
    }
}
