//! Acting as somebody else, by the headers `Impersonate-*`: for one verb only (the constrained
//! modes, which are tried first), or for everything (the old right to `impersonate`).

use std::collections::BTreeMap;

use http::HeaderMap;

use super::tokens::{account_groups, account_of};
use super::{ANONYMOUS, AUTHENTICATED, Attributes, MASTERS, UNAUTHENTICATED, User};
use crate::access::rules::quoted;
use crate::failure::Failure;
use crate::names::{Rule, name_faults};

const GROUP: &str = "authentication.k8s.io";

/// From how many groups or extras on the right to all of them is looked for first.
const MANY: usize = 4;

/// How somebody may act as somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Node,
    Account,
    Info,
    Old,
}

impl Mode {
    const ALL: [Mode; 4] = [Mode::Node, Mode::Account, Mode::Info, Mode::Old];

    fn name(self) -> &'static str {
        match self {
            Mode::Node => "arbitrary-node",
            Mode::Account => "serviceaccount",
            Mode::Info => "user-info",
            Mode::Old => "",
        }
    }

    /// Whether the mode is for such a user.
    fn is_for(self, wanted: &User) -> bool {
        let bare = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = node_of(&wanted.name).is_some();
        let account = account_of(&wanted.name).is_some();
        match self {
            Mode::Node => bare && node,
            Mode::Account => bare && account,
            Mode::Info => !node && !account,
            Mode::Old => true,
        }
    }
}

/// Whom a request wants to act as, if anybody.
///
/// # Errors
/// 403 for a user who may not, 400 when no user is named.
pub(super) fn impersonated(
    user: &User,
    request: &Attributes,
    headers: &HeaderMap,
    allowed: impl Fn(&Attributes) -> Result<(), Failure>,
) -> Result<Option<User>, Failure> {
    let Some(wanted) = wanted(headers)? else { return Ok(None) };
    let mut first = None;
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_for(&wanted)) {
        match check(mode, user, request, &wanted, &allowed) {
            Ok(found) => return Ok(Some(found)),
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    Err(first.unwrap_or_else(Failure::unauthorized))
}

/// Whether the headers ask to act as somebody else.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("impersonate-"))
}

fn wanted(headers: &HeaderMap) -> Result<Option<User>, Failure> {
    const EXTRA: &str = "impersonate-extra-";
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let mut wanted = User {
        name: one("impersonate-user"),
        uid: one("impersonate-uid"),
        groups: headers.get_all("impersonate-group").iter().map(text).collect(),
        extra: BTreeMap::new(),
    };
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let key = crate::api::unescape(key).into_owned();
            wanted.extra.entry(key).or_default().push(text(value));
        }
    }
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty() {
        return Ok(None);
    }
    Err(Failure::bad_request(format!(
        "requested {} without impersonating a user name",
        printed(&wanted)
    )))
}

/// A user as the real server prints one in an error.
fn printed(user: &User) -> String {
    let list = |list: &[String]| {
        let quoted: Vec<String> = list.iter().map(|one| format!("{one:?}")).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let groups =
        if user.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&user.groups) };
    let extra = if user.extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let entries: Vec<String> =
            user.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
        format!("map[string][]string{{{}}}", entries.join(", "))
    };
    format!(
        "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{groups}, Extra:{extra}}}",
        user.name, user.uid
    )
}

/// Whether a user may act as another in a mode; the other as it is then.
fn check(
    mode: Mode,
    user: &User,
    request: &Attributes,
    wanted: &User,
    allowed: &impl Fn(&Attributes) -> Result<(), Failure>,
) -> Result<User, Failure> {
    let constrained = mode != Mode::Old;
    if constrained {
        let verb = format!("impersonate-on:{}:{}", mode.name(), request.verb);
        allowed(&Attributes { verb, ..request.clone() })?;
    }
    let right = |group: &str, resource: &str, name: &str| Attributes {
        verb: match mode {
            Mode::Old => "impersonate".to_owned(),
            mode => format!("impersonate:{}", mode.name()),
        },
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let own = if constrained { GROUP } else { "" };
    let mut other = wanted.clone();
    match (account_of(&wanted.name), node_of(&wanted.name)) {
        (Some((namespace, name)), _) => {
            let namespace = namespace.to_owned();
            if wanted.groups.is_empty() {
                other.groups = account_groups(&namespace);
            }
            allowed(&Attributes { namespace, ..right(own, "serviceaccounts", name) })?;
        }
        (None, Some(node)) if constrained => {
            other.groups = vec!["system:nodes".to_owned()];
            allowed(&right(own, "nodes", node))?;
        }
        _ => allowed(&right(own, "users", &wanted.name))?,
    }
    if !wanted.uid.is_empty() {
        allowed(&right(GROUP, "uids", &wanted.uid))?;
    }
    let refused = |right: Attributes, why: &str| Err(right.forbidden(user, why));
    if constrained && wanted.groups.iter().any(String::is_empty) {
        let why = "impersonating the empty string group is not allowed";
        return refused(right(own, "groups", ""), why);
    }
    if constrained && wanted.groups.iter().any(|group| group == MASTERS) {
        let why = "impersonating the system:masters group is not allowed";
        return refused(right(own, "groups", MASTERS), why);
    }
    let all = constrained && wanted.groups.len() >= MANY;
    if !(all && allowed(&right(own, "groups", "*")).is_ok()) {
        for group in &wanted.groups {
            allowed(&right(own, "groups", group))?;
        }
    }
    if constrained && let Some(why) = extra_fault(&wanted.extra) {
        return refused(right(GROUP, "userextras", ""), &why);
    }
    let extra = |key: &str, value: &str| Attributes {
        subresource: key.to_owned(),
        ..right(GROUP, "userextras", value)
    };
    let count = wanted.extra.values().map(|values| values.len().max(1)).sum::<usize>();
    if !(constrained && count >= MANY && allowed(&extra("*", "*")).is_ok()) {
        for (key, values) in &wanted.extra {
            for value in values {
                allowed(&extra(key, value))?;
            }
        }
    }
    let has = |group: &str| other.groups.iter().any(|one| one == group);
    if other.name == ANONYMOUS {
        if !has(UNAUTHENTICATED) {
            other.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !has(UNAUTHENTICATED) && !has(AUTHENTICATED) {
        other.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(other)
}

/// What no constrained mode takes.
fn extra_fault(extra: &BTreeMap<String, Vec<String>>) -> Option<String> {
    for (key, values) in extra {
        if key.is_empty() {
            return Some("impersonating the empty string key in extra is not allowed".to_owned());
        }
        let domain = key.split_once('/').filter(|(domain, path)| {
            name_faults(Rule::Subdomain, domain).is_empty() && !path.is_empty()
        });
        if domain.is_none() {
            let key = quoted(std::slice::from_ref(key));
            return Some(format!("impersonating an invalid key in extra is not allowed: {key}"));
        }
        if values.iter().any(String::is_empty) {
            return Some("impersonating the empty string value in extra is not allowed".to_owned());
        }
    }
    None
}

/// The node that a user name means.
fn node_of(user: &str) -> Option<&str> {
    let name = user.strip_prefix("system:node:")?;
    name_faults(Rule::Subdomain, name).is_empty().then_some(name)
}
