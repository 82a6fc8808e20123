//! From what a request shows to who asks: tokens, and acting as somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Uri, header};

use super::tokens::{account_groups, account_of};
use super::{ANONYMOUS, AUTHENTICATED, Access, Attributes, Caller, UNAUTHENTICATED, User};
use crate::failure::Failure;
use crate::store::Store;

/// What the group of the reviews of users is.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Who asks.
///
/// # Errors
/// 401 for a proof that is none.
pub(super) fn user(
    access: &Access,
    store: &Store,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Arc<User>, Failure> {
    match caller {
        // What the connection proves is not looked at again.
        Caller::Known(user) => return Ok(Arc::clone(user)),
        Caller::Pretender => return Err(Failure::unauthorized()),
        Caller::Admin if !headers.contains_key(header::AUTHORIZATION) => {
            return Ok(Arc::clone(&access.admin));
        }
        Caller::Admin | Caller::Stranger => {}
    }
    let Some(token) = bearer(headers) else { return Ok(Arc::clone(&access.anonymous)) };
    match access.whose(store, token, &[]) {
        Ok(verified) => Ok(Arc::new(verified.user)),
        Err(refused) => {
            tracing::debug!(reason = refused.0, "a token was refused");
            Err(Failure::unauthorized())
        }
    }
}

/// The token of a request; another scheme is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let mut words = text.splitn(3, ' ');
    let scheme = words.next()?;
    let token = words.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// One thing that a request wants to act as.
#[derive(Debug)]
enum Part {
    User(String),
    Account { namespace: String, name: String },
    Group(String),
    Extra { key: String, value: String },
    Uid(String),
}

impl Part {
    /// The right that is needed: to impersonate this.
    fn attributes(&self) -> Attributes {
        let (group, version, resource, namespace, name) = match self {
            Part::User(name) => ("", "v1", "users", "", name),
            Part::Account { namespace, name } => {
                ("", "v1", "serviceaccounts", namespace.as_str(), name)
            }
            Part::Group(name) => ("", "v1", "groups", "", name),
            Part::Extra { value, .. } => (AUTHENTICATION, "v1", "userextras", "", value),
            Part::Uid(uid) => (AUTHENTICATION, "v1", "uids", "", uid),
        };
        Attributes {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.clone(),
            subresource: match self {
                Part::Extra { key, .. } => key.clone(),
                _ => String::new(),
            },
            ..Attributes::default()
        }
    }

    /// As the real server prints it in an error.
    fn shown(&self) -> String {
        match self {
            Part::User(name) => format!("{{User  {name}    }}"),
            Part::Account { namespace, name } => {
                format!("{{ServiceAccount {namespace} {name}    }}")
            }
            Part::Group(name) => format!("{{Group  {name}    }}"),
            Part::Extra { key, value } => {
                format!("{{UserExtra  {value}  {AUTHENTICATION}/v1  {key}}}")
            }
            Part::Uid(uid) => format!("{{UID  {uid}  {AUTHENTICATION}/v1  }}"),
        }
    }
}

/// Whom a request wants to act as, if anybody; whether it may is asked for each part.
///
/// # Errors
/// 403 when it may not, 500 when it names groups and no user.
pub(super) fn impersonated(
    user: &User,
    uri: &Uri,
    headers: &HeaderMap,
    allowed: impl Fn(&Attributes) -> Result<(), Failure>,
) -> Result<Option<User>, Failure> {
    let parts = parts(headers);
    if parts.is_empty() {
        return Ok(None);
    }
    if !matches!(parts.first(), Some(Part::User(_) | Part::Account { .. })) {
        let shown: Vec<String> = parts.iter().map(Part::shown).collect();
        return Err(Failure::internal(format!(
            "Internal Server Error: {:?}: requested [{}] without impersonating a user",
            uri.path_and_query().map_or("/", |path| path.as_str()),
            shown.join(" ")
        )));
    }
    for part in &parts {
        allowed(&part.attributes())?;
    }
    tracing::debug!(user.name = user.name, "somebody acts as somebody else");
    Ok(Some(become_user(parts)))
}

fn become_user(parts: Vec<Part>) -> User {
    let mut user = User {
        name: String::new(),
        uid: String::new(),
        groups: Vec::new(),
        extra: BTreeMap::new(),
    };
    let mut own = Vec::new();
    for part in parts {
        match part {
            Part::User(name) => user.name = name,
            Part::Account { namespace, name } => {
                own = account_groups(&namespace);
                user.name = super::tokens::account_user(&namespace, &name);
            }
            Part::Group(name) => user.groups.push(name),
            Part::Extra { key, value } => user.extra.entry(key).or_default().push(value),
            Part::Uid(uid) => user.uid = uid,
        }
    }
    if user.groups.is_empty() {
        user.groups = own;
    }
    let has = |group: &str| user.groups.iter().any(|one| one == group);
    if user.name == ANONYMOUS {
        if !has(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

fn parts(headers: &HeaderMap) -> Vec<Part> {
    const EXTRA: &str = "impersonate-extra-";
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(text).filter(|value| !value.is_empty());
    let mut parts = Vec::new();
    if let Some(name) = one("impersonate-user") {
        let account =
            account_of(&name).map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        parts.push(match account {
            Some((namespace, name)) => Part::Account { namespace, name },
            None => Part::User(name),
        });
    }
    parts.extend(headers.get_all("impersonate-group").iter().map(text).map(Part::Group));
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let key = crate::api::unescape(key).to_lowercase();
            parts.push(Part::Extra { key, value: text(value) });
        }
    }
    parts.extend(one("impersonate-uid").map(Part::Uid));
    parts
}
