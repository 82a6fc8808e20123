//! What an API server asks, what an exporter posts, and which events those are.

use jiff::Timestamp;
use runtime::build::BuildId;
use runtime::event::{Event, Identity, Revision};
use runtime::project::Project;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::address;
use crate::lenient::{line, moment, object, text};
use crate::rejection::Rejection;

/// How many Events a list may have.
const MOST: usize = 1000;

/// The longest name of a request, in bytes; it is a UUID.
const UID: usize = 128;

/// The kinds of what builds are made of. Others are named after ids, too: the volumes that a cluster
/// makes on demand are.
const OURS: [&str; 4] = ["ConfigMap", "PersistentVolumeClaim", "Pod", "Secret"];

/// The longest kind and the longest reason, in bytes; Kubernetes has them at most 128.
const WORD: usize = 256;

/// What is delivered.
#[derive(Debug)]
pub(super) enum Delivery<'a> {
    /// The API server asks before it stores something.
    Review(Review<'a>),
    /// An Event.
    One(&'a str),
    /// A list of them.
    Several(Vec<&'a str>),
}

/// What the API server asks.
#[derive(Debug)]
pub(super) struct Review<'a> {
    api_version: &'static str,
    request: Asked<'a>,
}

/// An Event, of either of the two groups that have it.
#[derive(Debug)]
pub(super) struct Happened<'a> {
    json: &'a str,
    body: Body,
}

/// Whether a project takes an Event, or why not.
#[derive(Debug)]
pub(super) enum Taken {
    Event(Box<Event>),
    Not(String),
}

impl<'a> Delivery<'a> {
    /// Reads a delivery.
    pub(super) fn read(body: &'a [u8]) -> Result<Delivery<'a>, Rejection> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Outer<'a> {
            #[serde(deserialize_with = "text")]
            api_version: Option<String>,
            #[serde(deserialize_with = "text")]
            kind: Option<String>,
            #[serde(borrow)]
            items: Option<Vec<&'a RawValue>>,
            #[serde(borrow)]
            request: Option<&'a RawValue>,
        }
        let whole = std::str::from_utf8(body).map_err(|_bytes| wrong("the body is not UTF-8"))?;
        let whole = whole.trim_ascii();
        if !whole.starts_with('{') {
            return Err(wrong("the body is not a JSON object"));
        }
        let outer: Outer<'_> =
            serde_json::from_str(whole).map_err(|_quoting| wrong("the body is not valid JSON"))?;
        let api_version = match (outer.kind.as_deref(), outer.api_version.as_deref()) {
            (Some("AdmissionReview"), Some("admission.k8s.io/v1")) => "admission.k8s.io/v1",
            (Some("AdmissionReview"), Some("admission.k8s.io/v1beta1")) => {
                "admission.k8s.io/v1beta1"
            }
            (Some("AdmissionReview"), _) => {
                return Err(wrong("an AdmissionReview is of admission.k8s.io/v1"));
            }
            _ => {
                let Some(items) = outer.items else { return Ok(Delivery::One(whole)) };
                if items.len() > MOST {
                    let reason = format!("a list may have {MOST} Events at most");
                    return Err(Rejection::TooLarge { reason });
                }
                return Ok(Delivery::Several(items.into_iter().map(RawValue::get).collect()));
            }
        };
        let request = outer.request.map(|request| serde_json::from_str(request.get()));
        let request: Asked<'_> = request
            .and_then(Result::ok)
            .ok_or_else(|| wrong("an AdmissionReview has a request"))?;
        let is_uid = |uid: &&String| {
            (1..=UID).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if request.uid.as_ref().filter(is_uid).is_none() {
            return Err(wrong("the request of an AdmissionReview has a uid"));
        }
        Ok(Delivery::Review(Review { api_version, request }))
    }
}

impl<'a> Review<'a> {
    pub(super) fn api_version(&self) -> &'static str {
        self.api_version
    }

    pub(super) fn uid(&self) -> &str {
        self.request.uid.as_deref().unwrap_or_default()
    }

    /// The Event that happened, or why none did.
    pub(super) fn happened(&self) -> Result<&'a str, String> {
        let Asked { dry_run, operation, kind, object, old_object, .. } = &self.request;
        let kind = kind.as_ref().and_then(|kind| kind.kind.as_deref()).unwrap_or_default();
        let operation = operation.as_deref().unwrap_or_default();
        if *dry_run != Some(false) && dry_run.is_some() {
            return Err("a dry run has no effects".to_owned());
        }
        if kind != "Event" {
            return Err(format!("the object is of the kind `{}`, not Event", line(kind, 60)));
        }
        let Some(object) = object else {
            return Err(format!("there is no object in `{}`", line(operation, 20)));
        };
        match operation {
            "CREATE" => Ok(object.get()),
            "UPDATE" => {
                let count = |json: &RawValue| {
                    Happened::read(json.get()).ok().map(|happened| happened.body.count().to_owned())
                };
                let before = old_object.and_then(count);
                if before.is_some() && before == count(object) {
                    return Err("the Event was changed, and has not happened again".to_owned());
                }
                Ok(object.get())
            }
            other => Err(format!("the operation is `{}`", line(other, 20))),
        }
    }
}

impl<'a> Happened<'a> {
    /// Reads an Event.
    pub(super) fn read(json: &'a str) -> Result<Happened<'a>, Rejection> {
        let body: Option<Body> =
            json.starts_with('{').then(|| serde_json::from_str(json).ok()).flatten();
        let body = body.ok_or_else(|| wrong("an Event is a JSON object"))?;
        let kind = body.object().kind.as_deref().unwrap_or_default();
        let is_word =
            |text: &str| (1..=WORD).contains(&text.len()) && !text.chars().any(char::is_control);
        if !is_word(kind) || !is_word(body.reason.as_deref().unwrap_or_default()) {
            return Err(wrong("an Event has an object of some kind, and a reason"));
        }
        Ok(Happened { json, body })
    }

    /// The name of the object that it is about.
    pub(super) fn name(&self) -> &str {
        self.body.object().name.as_deref().unwrap_or_default()
    }

    /// Whether it is about a pod in this namespace.
    pub(super) fn is_about_a_pod_in(&self, namespace: &str) -> bool {
        let object = self.body.object();
        object.kind.as_deref() == Some("Pod") && object.namespace.as_deref() == Some(namespace)
    }

    /// Whether a project takes it.
    pub(super) fn taken(&self, project: &Project) -> Taken {
        let object = self.body.object();
        let (namespace, kind) = (object.namespace.as_deref(), object.kind.as_deref());
        let (namespace, kind) = (namespace.unwrap_or_default(), kind.unwrap_or_default());
        let reason = self.body.reason.as_deref().unwrap_or_default();
        if is_ours(object) {
            return Taken::Not(format!("`{}` is a build's own", line(self.name(), 100)));
        }
        let seen = || line(&format!("{kind}:{reason} in `{namespace}`"), 200);
        let Some((number, filter)) = project.event_filters.decide(namespace, kind, reason) else {
            return Taken::Not(match project.event_filters.is_empty() {
                true => "the project has no kubernetes.eventFilters, and takes none".to_owned(),
                false => format!("no filter is about {}", seen()),
            });
        };
        if !filter.accepts() {
            return Taken::Not(format!("filter {number} rejects {}", seen()));
        }
        if namespace == project.namespace && filter.namespace != namespace {
            return Taken::Not(format!(
                "builds are in the namespace `{namespace}`, which filter {number} does not name"
            ));
        }
        Taken::Event(Box::new(self.event(kind, reason)))
    }

    fn event(&self, kind: &str, reason: &str) -> Event {
        let object = self.body.object();
        let place = match object.namespace.as_deref() {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}/{}", self.name()),
            _ => self.name().to_owned(),
        };
        let message = self.body.message.as_ref().or(self.body.note.as_ref());
        Event {
            revision: Revision { commit: String::new(), reference: "refs/heads/master".to_owned() },
            short_title: line(&format!("{reason} {place}"), 50),
            long_title: line(message.map_or(reason, String::as_str), 200),
            time: self.body.time(),
            identity: self.body.identity(),
            ..Event::new("k8s-gateway", &format!("{kind}:{reason}"), self.json.to_owned())
        }
    }
}

/// Whether an object was made by a build, or is one: building what builds do would never end.
fn is_ours(object: &Object) -> bool {
    let labels = object.labels.as_ref().and_then(|labels| labels.heritage.as_deref());
    let name = object.name.as_deref().unwrap_or_default();
    let ends_with_an_id = [26, 36].into_iter().any(|length| {
        let start = name.len().checked_sub(length).filter(|start| name.is_char_boundary(*start));
        start.is_some_and(|start| {
            let (before, id) = name.split_at(start);
            (before.is_empty() || before.ends_with('-')) && BuildId::is_made(id)
        })
    });
    let start = name.get(..62).unwrap_or_default();
    let named_so = name.starts_with("brigade-worker-") || ends_with_an_id || address::is_id(start);
    let kind = object.kind.as_deref().unwrap_or_default();
    labels == Some("brigade") || (OURS.contains(&kind) && named_so)
}

fn wrong(reason: impl Into<String>) -> Rejection {
    Rejection::malformed(reason)
}

/// The request of an AdmissionReview.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(deserialize_with = "text")]
    uid: Option<String>,
    #[serde(deserialize_with = "object")]
    kind: Option<Kind>,
    #[serde(deserialize_with = "text")]
    operation: Option<String>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kind {
    #[serde(deserialize_with = "text")]
    kind: Option<String>,
}

/// The members of an Event that matter here: of `v1`, and by their other names of `events.k8s.io`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "object")]
    metadata: Option<Metadata>,
    #[serde(deserialize_with = "object")]
    involved_object: Option<Object>,
    #[serde(deserialize_with = "object")]
    regarding: Option<Object>,
    #[serde(deserialize_with = "text")]
    reason: Option<String>,
    #[serde(deserialize_with = "text")]
    message: Option<String>,
    #[serde(deserialize_with = "text")]
    note: Option<String>,
    #[serde(deserialize_with = "text")]
    count: Option<String>,
    #[serde(deserialize_with = "text")]
    deprecated_count: Option<String>,
    #[serde(deserialize_with = "object")]
    series: Option<Series>,
    #[serde(deserialize_with = "moment")]
    event_time: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    last_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "moment")]
    deprecated_last_timestamp: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "text")]
    uid: Option<String>,
    #[serde(deserialize_with = "moment")]
    creation_timestamp: Option<Timestamp>,
}

/// The object that an Event is about; exporters add its labels.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    #[serde(deserialize_with = "text")]
    kind: Option<String>,
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    #[serde(deserialize_with = "text")]
    namespace: Option<String>,
    #[serde(deserialize_with = "object")]
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(deserialize_with = "text")]
    heritage: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    #[serde(deserialize_with = "text")]
    count: Option<String>,
    #[serde(deserialize_with = "moment")]
    last_observed_time: Option<Timestamp>,
}

impl Body {
    fn object(&self) -> &Object {
        const NONE: &Object = &Object { kind: None, name: None, namespace: None, labels: None };
        self.involved_object.as_ref().or(self.regarding.as_ref()).unwrap_or(NONE)
    }

    /// How often it has happened, as its sender counts.
    fn count(&self) -> &str {
        let series = self.series.as_ref().and_then(|series| series.count.as_ref());
        let count = series.or(self.count.as_ref()).or(self.deprecated_count.as_ref());
        count.map_or("0", String::as_str)
    }

    fn time(&self) -> Option<Timestamp> {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time);
        let last = series.or(self.last_timestamp).or(self.deprecated_last_timestamp);
        let made = self.metadata.as_ref().and_then(|metadata| metadata.creation_timestamp);
        last.or(self.event_time).or(made)
    }

    fn identity(&self) -> Identity {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let Some(metadata) = &self.metadata else { return Identity::Fresh };
        let named = || Some(format!("{}/{}", some(&metadata.namespace)?, some(&metadata.name)?));
        match some(&metadata.uid).or_else(named) {
            Some(name) => Identity::Content(format!("{name} {}", self.count()).into()),
            None => Identity::Fresh,
        }
    }
}
