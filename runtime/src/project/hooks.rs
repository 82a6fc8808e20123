//! How a project understands senders of which we know nothing: rules, so that they need no code.
//!
//! A rule says where in a JSON body the event's name, its revision and what tells it from others
//! are, and how the sender proves itself. Brigade has no key for this: it is the list `hooks` of a
//! values file, and the key `hooks` of the project's Secret, as JSON. What is not understood makes
//! the project one that cannot be loaded.
//!
//! ```yaml
//! hooks:
//!   - name: shop                        # POST /events/hook/org/repository/shop
//!     event: order                      # a name, or where it is: /type
//!     action: /status                   # order:paid is fired after order
//!     revision: {ref: refs/heads/main, commit: {from: /sha, default: ""}}
//!     when: {/test: false, /country: [DE, FR]}
//!     identity: [/id, /status]
//!     title: /subject
//!     proof: {type: hmac-sha256, header: X-Shop-Signature, prefix: sha256=}
//!     secret: SHOP_SECRET               # a key of the project's secrets
//! ```
//!
//! A place is `/a/b` (a JSON pointer into the body, or into the element where there is `each`),
//! `body:/a/b` (into the body in any case) or `header:X-Name`; a text is a place, a mapping of `from`
//! (a place, or several of which the first counts that has something) and `default`, or else the
//! text itself.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use http::HeaderName;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::signature::scheme::STANDARD_WEBHOOKS;
use crate::signature::{Algorithm, Encoding, Scheme, Signed};

#[cfg(test)]
mod tests;

/// How many rules a project may have, and how many places a rule may name in a list.
const MOST: usize = 100;

/// The rules of a project, and of every project.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    own: Vec<Hook>,
    /// As they were read.
    json: String,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its name, the last part of its address, and the provider of its events.
    pub name: String,
    /// The name of the event.
    pub event: Text,
    /// What happened to its subject.
    pub action: Option<Text>,
    /// The commit that it is about.
    pub commit: Option<Text>,
    /// The reference that it is about.
    pub reference: Option<Text>,
    /// A title for lists.
    pub title: Option<Text>,
    /// When it happened.
    pub time: Option<Text>,
    /// What is the same whenever it is sent again; without any, the whole of it.
    pub identity: Vec<Place>,
    /// The list of which each element is an event of its own.
    pub each: Option<String>,
    /// What must be where; nothing is built of anything else.
    pub when: Vec<Condition>,
    /// How the sender proves itself.
    pub proof: Proof,
    /// What with, if not with the project's token.
    pub secret: Option<SecretString>,
}

/// A place in a delivery.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A JSON pointer into the element, or into the body where there are no elements.
    Element(String),
    /// A JSON pointer into the body.
    Body(String),
    /// The name of a header.
    Header(HeaderName),
}

/// A text, or where it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text {
    /// Where it may be; the first place counts where there is something.
    pub places: Vec<Place>,
    /// What it is if it is nowhere.
    pub default: Option<String>,
}

/// What must be at a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// The place.
    pub place: Place,
    /// The texts, of which it must be one; nothing is the empty text.
    pub one_of: Vec<String>,
}

/// How a sender proves itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proof {
    /// By a token wherever tokens are taken.
    Token,
    /// By a header that is the token.
    Header(HeaderName),
    /// By a signature of the body.
    Signature {
        /// The header of the signature.
        header: HeaderName,
        /// What stands before the digest.
        prefix: String,
        /// The hash.
        algorithm: Algorithm,
        /// How the digest is written.
        encoding: Encoding,
    },
    /// By a signature as Standard Webhooks have it.
    StandardWebhooks,
}

/// A rule that is not understood.
#[derive(Debug, thiserror::Error)]
#[error("the hook {hook} {problem}")]
pub struct HookError {
    hook: String,
    problem: String,
}

impl Hooks {
    /// Reads the rules in a Secret's key; `secrets` are the project's own.
    pub(super) fn parse(json: &str, secrets: &Map<String, Value>) -> Result<Hooks, HookError> {
        if json.trim().is_empty() {
            return Ok(Hooks::default());
        }
        let value = serde_json::from_str(json).map_err(|error| HookError {
            hook: "list".to_owned(),
            problem: format!("is not JSON (line {}, column {})", error.line(), error.column()),
        })?;
        Hooks::read(&value, secrets)
    }

    /// Reads the rules.
    pub(super) fn read(value: &Value, secrets: &Map<String, Value>) -> Result<Hooks, HookError> {
        let wrong = |problem: &str| HookError { hook: "list".into(), problem: problem.into() };
        let items = match value {
            Value::Null => return Ok(Hooks::default()),
            Value::Array(items) => items,
            _ => return Err(wrong("must be a list of rules")),
        };
        if items.len() > MOST {
            return Err(wrong("has more than 100 rules"));
        }
        let mut own = Vec::new();
        let mut names = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let named = item["name"].as_str().map(|name| format!("{name:?}"));
            let hook = named.unwrap_or_else(|| format!("number {}", index + 1));
            let read = rule(item, secrets).and_then(|rule| {
                let fresh = names.insert(rule.name.clone());
                if fresh { Ok(rule) } else { Err("is there twice".to_owned()) }
            });
            own.push(read.map_err(|problem| HookError { hook, problem })?);
        }
        let json = if own.is_empty() { String::new() } else { value.to_string() };
        Ok(Hooks { own, json })
    }

    /// As a key of the project's Secret.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// The rule of this name: the project's own, or one that every project has.
    pub fn find(&self, name: &str) -> Option<Hook> {
        let own = self.own.iter().find(|hook| hook.name == name).cloned();
        own.or_else(|| (name == ALERTMANAGER).then(alertmanager))
    }
}

/// The name of Alertmanager's rule.
const ALERTMANAGER: &str = "alertmanager";

/// Alertmanager, and Grafana, which sends the same: each alert is `alert` and `alert:firing` or
/// `alert:resolved`. It is told again and again while it lasts, and built once.
fn alertmanager() -> Hook {
    let element = |pointer: &str| Place::Element(pointer.to_owned());
    let at = |place: Place| Some(Text { places: vec![place], default: None });
    Hook {
        name: ALERTMANAGER.to_owned(),
        event: Text { places: Vec::new(), default: Some("alert".to_owned()) },
        action: at(element("/status")),
        commit: None,
        reference: None,
        title: at(element("/labels/alertname")),
        time: at(element("/startsAt")),
        identity: vec![
            Place::Body("/groupKey".to_owned()),
            element("/labels"),
            element("/status"),
            element("/startsAt"),
        ],
        each: Some("/alerts".to_owned()),
        when: Vec::new(),
        proof: Proof::Token,
        secret: None,
    }
}

impl Hook {
    /// A header that decides what is built, and that the signature is not about.
    fn unsigned(&self) -> Option<&HeaderName> {
        let signed: &[&str] = match self.proof {
            // Who has the token has written the headers.
            Proof::Token | Proof::Header(_) => return None,
            Proof::Signature { .. } => &[],
            Proof::StandardWebhooks => &["webhook-id", "webhook-timestamp"],
        };
        let texts = [&self.action, &self.commit, &self.reference, &self.time];
        let texts = texts.into_iter().flatten().chain([&self.event]);
        let places = texts.flat_map(|text| &text.places).chain(&self.identity);
        let places = places.chain(self.when.iter().map(|condition| &condition.place));
        let mut headers = places.filter_map(|place| match place {
            Place::Header(name) => Some(name),
            Place::Element(_) | Place::Body(_) => None,
        });
        headers.find(|name| !signed.contains(&name.as_str()))
    }
}

impl Text {
    /// The text, given what is at a place.
    pub fn at(&self, look: impl FnMut(&Place) -> Option<String>) -> Option<String> {
        self.places.iter().find_map(look).or_else(|| self.default.clone())
    }
}

impl Proof {
    /// The scheme of a signature, if it is one.
    pub fn scheme(&self) -> Option<Scheme<'_>> {
        match self {
            Proof::Token | Proof::Header(_) => None,
            Proof::Signature { header, prefix, algorithm, encoding } => Some(Scheme {
                header: header.as_str(),
                prefix,
                algorithm: *algorithm,
                encoding: *encoding,
                signed: Signed::Body,
            }),
            Proof::StandardWebhooks => Some(STANDARD_WEBHOOKS),
        }
    }
}

/// As it is written in a rule.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Element(pointer) => formatter.write_str(pointer),
            Place::Body(pointer) => write!(formatter, "body:{pointer}"),
            Place::Header(name) => write!(formatter, "header:{name}"),
        }
    }
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    event: Value,
    #[serde(default)]
    action: Value,
    #[serde(default)]
    revision: WrittenRevision,
    #[serde(default)]
    title: Value,
    #[serde(default)]
    time: Value,
    #[serde(default)]
    identity: Value,
    each: Option<String>,
    #[serde(default)]
    when: BTreeMap<String, Value>,
    #[serde(default)]
    proof: Value,
    secret: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRevision {
    #[serde(default)]
    commit: Value,
    #[serde(default, rename = "ref")]
    reference: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenText {
    #[serde(default)]
    from: Value,
    default: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProof {
    #[serde(rename = "type")]
    kind: String,
    header: Option<String>,
    prefix: Option<String>,
    encoding: Option<String>,
}

fn rule(value: &Value, secrets: &Map<String, Value>) -> Result<Hook, String> {
    let written = Written::deserialize(value).map_err(|error| format!("is wrong: {error}"))?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if written.name.is_empty() || written.name.len() > 63 || !written.name.chars().all(fits) {
        return Err("has a name that is not 1 to 63 small letters, digits and hyphens".to_owned());
    }
    let some = |key: &str, value: &Value| {
        let text = if value.is_null() { None } else { Some(text(value)) };
        text.transpose().map_err(|problem| format!("has {key:?}, which {problem}"))
    };
    let event = some("event", &written.event)?.ok_or("has no event")?;
    if event.places.is_empty() && event.default.as_deref() == Some("") {
        return Err("has an event without a name".to_owned());
    }
    let secret = match &written.secret {
        None => None,
        Some(key) => match secrets.get(key) {
            Some(Value::String(secret)) if !secret.trim().is_empty() => {
                Some(SecretString::from(secret.clone()))
            }
            // Not named here: who mistakes the key for the secret itself has written that.
            _ => {
                let problem =
                    "has a `secret` that is not the key of a text in the project's secrets";
                return Err(problem.to_owned());
            }
        },
    };
    let proof = proof(&written.proof)?;
    let identity =
        places(&written.identity).map_err(|why| format!("has an identity that {why}"))?;
    if let Some(each) = &written.each {
        is_pointer(each).map_err(|problem| format!("has \"each\", which {problem}"))?;
    }
    let when = written.when.iter().map(|(at, value)| condition(at, value));
    let hook = Hook {
        name: written.name,
        event,
        action: some("action", &written.action)?,
        commit: some("commit", &written.revision.commit)?,
        reference: some("ref", &written.revision.reference)?,
        title: some("title", &written.title)?,
        time: some("time", &written.time)?,
        identity,
        each: written.each,
        when: when.collect::<Result<_, _>>()?,
        proof,
        secret,
    };
    // What was overheard could be sent again with another header.
    match hook.unsigned() {
        Some(name) => Err(format!(
            "takes what is built, or whether, from the header {name}, which is not signed"
        )),
        None => Ok(hook),
    }
}

fn text(value: &Value) -> Result<Text, String> {
    match value {
        Value::String(text) => Ok(match place(text)? {
            Some(place) => Text { places: vec![place], default: None },
            None => Text { places: Vec::new(), default: Some(text.clone()) },
        }),
        Value::Object(_) => {
            let written =
                WrittenText::deserialize(value).map_err(|error| format!("is wrong: {error}"))?;
            let places = places(&written.from)?;
            if places.is_empty() && written.default.is_none() {
                return Err("has neither from nor default".to_owned());
            }
            Ok(Text { places, default: written.default })
        }
        _ => Err("is neither a text nor a mapping of from and default".to_owned()),
    }
}

/// A place, or several.
fn places(value: &Value) -> Result<Vec<Place>, String> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    if items.len() > MOST {
        return Err("has more than 100 places".to_owned());
    }
    let known = |item: &Value| {
        let found = item.as_str().map(place).transpose()?.flatten();
        found.ok_or_else(|| format!("has {item}, which is no place: /..., body:/... or header:..."))
    };
    items.iter().map(known).collect()
}

/// The place that a text names, if it has the form of one.
fn place(text: &str) -> Result<Option<Place>, String> {
    if let Some(name) = text.strip_prefix("header:") {
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let name = name.map_err(|_invalid| format!("has {text:?}, which is no header"))?;
        return Ok(Some(Place::Header(name)));
    }
    if let Some(pointer) = text.strip_prefix("body:") {
        return is_pointer(pointer).map(|()| Some(Place::Body(pointer.to_owned())));
    }
    if text.starts_with('/') {
        return is_pointer(text).map(|()| Some(Place::Element(text.to_owned())));
    }
    Ok(None)
}

fn is_pointer(text: &str) -> Result<(), String> {
    let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if (text.is_empty() || text.starts_with('/')) && escaped && text.len() <= 1000 {
        return Ok(());
    }
    Err(format!("is {text:?}, and no JSON pointer: /a/b, with ~1 for a slash and ~0 for a tilde"))
}

fn condition(at: &str, value: &Value) -> Result<Condition, String> {
    let wrong = |problem: String| format!("has a condition {at:?} that {problem}");
    let place = place(at).map_err(wrong)?;
    let place =
        place.ok_or_else(|| wrong("is no place: /..., body:/... or header:...".to_owned()))?;
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let scalar = |item: &Value| match item {
        Value::Array(_) | Value::Object(_) => None,
        item => Some(written(item)),
    };
    let one_of: Option<Vec<String>> = items.iter().map(scalar).collect();
    let one_of = one_of.filter(|all| !all.is_empty());
    let one_of =
        one_of.ok_or_else(|| wrong("is neither a value nor a list of values".to_owned()))?;
    Ok(Condition { place, one_of })
}

/// A value as it is compared and shown: a text as it is, nothing as the empty text.
pub fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn proof(value: &Value) -> Result<Proof, String> {
    let given = match value {
        Value::Null => return Ok(Proof::Token),
        Value::String(kind) => {
            WrittenProof { kind: kind.clone(), header: None, prefix: None, encoding: None }
        }
        value => WrittenProof::deserialize(value)
            .map_err(|error| format!("has a proof that is wrong: {error}"))?,
    };
    let header = match &given.header {
        None => None,
        Some(name) => Some(
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_invalid| format!("has a proof with {name:?}, which is no header"))?,
        ),
    };
    let alone = given.prefix.is_none() && given.encoding.is_none();
    let algorithm = match given.kind.as_str() {
        "token" if alone => return Ok(header.map_or(Proof::Token, Proof::Header)),
        "standard-webhooks" if alone && header.is_none() => return Ok(Proof::StandardWebhooks),
        "token" => return Err("has a proof by token, which has only a header".to_owned()),
        "standard-webhooks" => {
            return Err("has a proof by standard-webhooks, which has its own header".to_owned());
        }
        "hmac-sha1" => Algorithm::Sha1,
        "hmac-sha256" => Algorithm::Sha256,
        "hmac-sha512" => Algorithm::Sha512,
        other => {
            return Err(format!(
                "has a proof by {other:?}: it must be token, hmac-sha256, hmac-sha512, hmac-sha1 \
                 or standard-webhooks"
            ));
        }
    };
    let encoding = match given.encoding.as_deref() {
        None | Some("hex") => Encoding::Hex,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            return Err(format!("has a proof in {other:?}: it must be hex or base64"));
        }
    };
    let header = header.ok_or("has a proof by an HMAC, and no header that has it")?;
    Ok(Proof::Signature { header, prefix: given.prefix.unwrap_or_default(), algorithm, encoding })
}
