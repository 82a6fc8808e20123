//! What a sample is: a recorded request, and how its values are changed.

use anyhow::{Context, Result};
use http::HeaderName;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::project::Project;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use super::{events, github, hosts, notify, registry};
use crate::request::{self, Request};

/// All samples, sender by sender.
pub(super) const SAMPLES: [&[Sample]; 5] =
    [github::SAMPLES, hosts::SAMPLES, registry::SAMPLES, events::SAMPLES, notify::SAMPLES];

/// What the recordings call the project and its repository.
const RECORDED_REPOSITORY: &str = "acme/app";

/// The commit that the recordings are about.
const RECORDED_COMMIT: &str = "8d3b6f0a1c2e4d5f60718293a4b5c6d7e8f90a1b";

/// What the ids in the recordings have in common.
const RECORDED_ID: &str = "-0000-4000-8000-";

/// A sample of an event.
pub(super) struct Sample {
    /// Who sends it.
    pub(super) source: &'static str,
    /// What it is called here.
    pub(super) event: &'static str,
    /// The event that a script hears; of none, nothing is built.
    pub(super) fires: Option<&'static str>,
    /// What happened, in a few words.
    pub(super) about: &'static str,
    /// The options that change it.
    pub(super) takes: &'static [Choice],
    /// The recorded request.
    pub(super) recording: &'static str,
    /// Changes it as the options say, and so that it is another event than the one before.
    pub(super) fill: fn(&mut Draft, &Values),
}

/// An option that some samples take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    Ref,
    Tag,
    Commit,
    Image,
    Action,
    Number,
    Message,
    Type,
}

/// What a sample is filled with.
pub(super) struct Values {
    pub(super) project: String,
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) reference: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) image: Option<String>,
    pub(super) action: Option<String>,
    pub(super) number: Option<u64>,
    pub(super) message: Option<String>,
    pub(super) kind: Option<String>,
    /// When it happens.
    pub(super) now: Timestamp,
    /// What no other event has.
    pub(super) id: String,
}

/// A request that is being filled.
pub(super) struct Draft {
    request: Request,
    body: Value,
}

impl Choice {
    /// The option, as it is given.
    pub(super) fn name(self) -> &'static str {
        match self {
            Choice::Ref => "--ref",
            Choice::Tag => "--tag",
            Choice::Commit => "--commit",
            Choice::Image => "--image",
            Choice::Action => "--action",
            Choice::Number => "--number",
            Choice::Message => "--message",
            Choice::Type => "--type",
        }
    }
}

impl Values {
    /// Those of an event that happens now, and that nobody has chosen anything of.
    pub(super) fn new(project: &Project) -> Values {
        let unique = || hex::encode(Sha256::digest(Ulid::generate().to_string()));
        Values {
            project: project.name.clone(),
            repository: project.name.clone(),
            commit: unique()[..40].to_owned(),
            reference: None,
            tag: None,
            image: None,
            action: None,
            number: None,
            message: None,
            kind: None,
            now: Timestamp::now(),
            id: unique()[..32].to_owned(),
        }
    }

    /// The reference in full; that of the tag, if there is one.
    pub(super) fn full_reference(&self) -> String {
        match (&self.tag, &self.reference) {
            (Some(tag), _) => format!("refs/tags/{tag}"),
            (None, Some(name)) if name.starts_with("refs/") => name.clone(),
            (None, Some(name)) => format!("refs/heads/{name}"),
            (None, None) => "refs/heads/main".to_owned(),
        }
    }

    /// The branch or the tag, without what is before its name.
    pub(super) fn branch(&self) -> String {
        let full = self.full_reference();
        let short = full.strip_prefix("refs/heads/").or(full.strip_prefix("refs/tags/"));
        short.unwrap_or(&full).to_owned()
    }

    /// Host, repository and tag of the image: what is not named is as in the recordings.
    pub(super) fn image(&self, host: &str) -> (String, String, String) {
        let own = self.repository.rsplit('/').next().unwrap_or_default();
        let image = self.image.clone().unwrap_or_else(|| format!("{host}/{own}"));
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name.to_owned(), Some(tag.to_owned())),
            _ => (image.clone(), None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first.to_owned(), rest.to_owned())
            }
            _ => (host.to_owned(), name),
        };
        let tag = self.tag.clone().or(tag).unwrap_or_else(|| "v1".to_owned());
        (host, repository, tag)
    }

    /// A digest that no other image has.
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}{}", self.id, self.id)
    }
}

impl Sample {
    /// The request that the sender sends; its placeholders are not filled in.
    pub(super) fn request(&self, values: &Values) -> Result<Request> {
        let request = request::parse(self.recording)?.remove(0);
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let mut draft = Draft { request, body };
        draft.rename(values);
        (self.fill)(&mut draft, values);
        draft.done()
    }
}

impl Draft {
    /// Puts a value into the body, at a place that the recording has, or beside one.
    pub(super) fn put(&mut self, pointer: &str, value: impl Into<Value>) {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        match self.body.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.insert(name.to_owned(), value.into())),
            Some(Value::Array(values)) => {
                if let Some(place) = name.parse().ok().and_then(|at: usize| values.get_mut(at)) {
                    *place = value.into();
                }
            }
            _ => {}
        }
    }

    /// Puts a value there, if somebody has chosen one.
    pub(super) fn put_chosen(&mut self, pointer: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(pointer, value);
        }
    }

    /// Puts a value into the body of a recorded form.
    pub(super) fn put_field(&mut self, name: &str, value: &str) {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        let form = String::from_utf8_lossy(&self.request.body).into_owned();
        let fields = form.split('&').map(|field| match field.split_once('=') {
            Some((key, _recorded)) if key == name => format!("{key}={value}"),
            _ => field.to_owned(),
        });
        self.request.body = fields.collect::<Vec<_>>().join("&").into();
    }

    /// Sets a header that the recording has.
    pub(super) fn set(&mut self, header: &'static str, value: &str) {
        let header = HeaderName::from_static(header);
        for (name, place) in &mut self.request.headers {
            if *name == header {
                value.clone_into(place);
            }
        }
    }

    /// Has a text in the path be another.
    pub(super) fn redirect(&mut self, from: &str, to: &str) {
        self.request.path = self.request.path.replace(from, to);
    }

    /// Gives the recording's project, repository, commit and ids the names of this event.
    fn rename(&mut self, values: &Values) {
        let encoded = |name: &str| name.replace('/', "%2F");
        self.redirect(RECORDED_REPOSITORY, &values.project);
        self.redirect(&encoded(RECORDED_REPOSITORY), &encoded(&values.project));
        rename(&mut self.body, values);
        for (_name, value) in &mut self.request.headers {
            renamed(value, values);
        }
    }

    fn done(mut self) -> Result<Request> {
        if !self.body.is_null() {
            let text = serde_json::to_string_pretty(&self.body).context("a sample is JSON")?;
            self.request.body = text.into();
        }
        Ok(self.request)
    }
}

fn rename(value: &mut Value, values: &Values) {
    match value {
        Value::String(text) => renamed(text, values),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, values)),
        Value::Object(members) => members.values_mut().for_each(|value| rename(value, values)),
        _ => {}
    }
}

fn renamed(text: &mut String, values: &Values) {
    if text.contains(RECORDED_REPOSITORY) {
        *text = text.replace(RECORDED_REPOSITORY, &values.repository);
    }
    if text.contains(RECORDED_COMMIT) {
        *text = text.replace(RECORDED_COMMIT, &values.commit);
    }
    // An id keeps its end, so that those in one request stay different.
    if text.len() == 36
        && let Some(end) = text.split_once(RECORDED_ID).map(|(_start, end)| end.to_owned())
    {
        let id = &values.id;
        *text = format!("{}-{}-4{}-8{}-{end}", &id[..8], &id[8..12], &id[12..15], &id[15..18]);
    }
}

/// A member that only some values have.
pub(super) fn seconds(now: Timestamp) -> Value {
    json!(now.as_second())
}
