//! A build: one event of one project, kept as a Secret from the moment a sender hears yes.
//!
//! The Secret is of type `brigade.sh/build`, in Brigade 1.x's format. Its name follows from what
//! the event is, not from when it arrived, so that creating it twice is refused by the API server:
//! that is the whole protection against duplicates. What 1.x has no key for is an annotation.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sha2::{Digest, Sha256};

use crate::event::{Event, LogLevel, Revision};
use crate::project::Project;

pub use head::Head;
pub use id::BuildId;

mod head;
mod id;

#[cfg(test)]
mod tests;

/// The type of a build's Secret.
pub const SECRET_TYPE: &str = "brigade.sh/build";

/// What a Secret may hold, by Kubernetes' own limit.
pub const SECRET_LIMIT: usize = 1024 * 1024;

/// What a compressed payload may become; a larger one was not written by us.
const PAYLOAD_LIMIT: u64 = 64 * 1024 * 1024;

/// How many characters of a reason are kept that somebody gives.
pub(crate) const REASON: usize = 500;

/// The annotations of a build's Secret.
pub mod annotation {
    /// The action that made the event fire a second name.
    pub const ACTION: &str = "brigantine.dev/action";
    /// What others call the event, so that it fires that name, too.
    pub const ALIAS: &str = "brigantine.dev/alias";
    /// Asks that the build be ended, whatever its value.
    pub const CANCEL: &str = "brigantine.dev/cancel";
    /// `true` when no worker follows the build: its state is that of its jobs.
    pub const DETACHED: &str = "brigantine.dev/detached";
    /// What was said to the sender, as JSON.
    pub const EXPLANATION: &str = "brigantine.dev/explanation";
    /// When the build ended, RFC 3339.
    pub const FINISHED: &str = "brigantine.dev/finished-at";
    /// The event type and the ref, where a build supersedes those that are of the same.
    pub const GROUP: &str = "brigantine.dev/supersede-group";
    /// The image that the event is about, as JSON.
    pub const IMAGE: &str = "brigantine.dev/image";
    /// How many jobs were run, and how they ended.
    pub const JOBS: &str = "brigantine.dev/jobs";
    /// The end of what the script printed, for builds without a worker pod.
    pub const LOG: &str = "brigantine.dev/log";
    /// Who is told of the build, and how far they were, as JSON; or that nobody is, [`NOBODY`].
    pub const NOTIFIED: &str = "brigantine.dev/notified";
    /// What [`NOTIFIED`] says of a build whose event no handler has heard.
    pub const NOBODY: &str = "nobody";
    /// `gzip` when the payload is kept compressed.
    pub const PAYLOAD_ENCODING: &str = "brigantine.dev/payload-encoding";
    /// How the build ended, or `Running`.
    pub const PHASE: &str = "brigantine.dev/phase";
    /// Why it ended so.
    pub const REASON: &str = "brigantine.dev/reason";
    /// How often a worker was made for the build because the one before had vanished.
    pub const REVIVED: &str = "brigantine.dev/revived";
    /// Where the script came from.
    pub const SCRIPT: &str = "brigantine.dev/script";
    /// When the script was first evaluated, RFC 3339.
    pub const STARTED: &str = "brigantine.dev/started-at";
    /// What the script says of the build: what its handler of Brigade 2's API returned.
    pub const SUMMARY: &str = "brigantine.dev/summary";
    /// Where the delivery that made the build is in its trace: W3C's header `traceparent`.
    pub const TRACEPARENT: &str = "brigantine.dev/traceparent";
    /// What the build waits for before it is started.
    pub const WAITING: &str = "brigantine.dev/waiting";
}

/// The label, and its value, of a build that was started.
pub const ACCEPTED: (&str, &str) = ("status", "accepted");

/// The label, and its value, of a build whose end is noted.
pub const ENDED: (&str, &str) = ("brigantine.dev/ended", "true");

/// The label of a build that somebody is told of: the same for all builds of its project, event and
/// reference.
pub const ABOUT: &str = "brigantine.dev/about";

/// One build.
#[derive(Clone, Debug)]
pub struct Build {
    /// Names the build, its worker and everything that it makes.
    pub id: BuildId,
    /// The name of its Secret, where another program chose one.
    pub called: Option<String>,
    /// The id of its project.
    pub project: String,
    /// Where its objects live.
    pub namespace: String,
    /// The uid of its Secret, once that is in the cluster.
    pub uid: Option<String>,
    /// When its Secret was made, by the cluster's clock, once it is there.
    pub created: Option<Timestamp>,
    /// What happened.
    pub event: Event,
    /// Whether it was started.
    pub accepted: bool,
    /// The annotations of its Secret.
    pub annotations: BTreeMap<String, String>,
}

/// The phases of a build. All but the first two are terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
}

/// Why there is no such build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The text is no id.
    #[error(
        "{0:?} is not a build id: an id has at most 63 lower-case letters and digits, and `-` or `.` \
         between them, because pods are named after it"
    )]
    Id(String),
    /// The event does not fit a Secret.
    #[error(
        "the event takes {size} bytes with its script, compressed; a Secret holds {SECRET_LIMIT}"
    )]
    TooLarge {
        /// What it takes.
        size: usize,
    },
    /// The Secret is something else.
    #[error("the Secret is of type {0:?}, a build's is {SECRET_TYPE:?}")]
    OtherType(String),
    /// A label that every build has is missing.
    #[error("the build's Secret has no label {0:?}")]
    Label(&'static str),
    /// Another Secret is the build of this id.
    #[error("the Secret {0} has the same label \"build\", and was there before")]
    Taken(String),
    /// The payload was compressed, and is damaged.
    #[error("the payload cannot be decompressed")]
    Payload(#[source] std::io::Error),
}

impl Build {
    /// The build that an event makes, not yet in the cluster.
    pub fn new(project: &Project, event: Event, now: Timestamp) -> Build {
        let mut annotations = BTreeMap::new();
        if let Some(action) = &event.action {
            annotations.insert(annotation::ACTION.to_owned(), action.clone());
        }
        if let Some(alias) = &event.alias {
            annotations.insert(annotation::ALIAS.to_owned(), alias.clone());
        }
        if let Some(image) = &event.image {
            let image = serde_json::to_string(image).expect("an image has only texts");
            annotations.insert(annotation::IMAGE.to_owned(), image);
        }
        if let Some(most) = project.limits.builds {
            let text = format!("until fewer than {most} builds of the project run");
            annotations.insert(annotation::WAITING.to_owned(), text);
        }
        let reference = &event.revision.reference;
        if project.limits.supersede && !reference.is_empty() {
            let group = format!("{} {reference}", event.kind);
            annotations.insert(annotation::GROUP.to_owned(), group);
        }
        let mut build = Build {
            id: BuildId::of(project, &event, now),
            called: None,
            project: project.id.clone(),
            namespace: project.namespace.clone(),
            uid: None,
            created: None,
            event,
            accepted: false,
            annotations,
        };
        if project.notifiers.caring(&build).next().is_some() {
            build.annotations.insert(annotation::NOTIFIED.to_owned(), "{}".to_owned());
        }
        build
    }

    /// Whether it is noted that nobody is to be told of it.
    pub fn is_told_to_nobody(&self) -> bool {
        self.annotations.get(annotation::NOTIFIED).is_some_and(|noted| noted == annotation::NOBODY)
    }

    /// Whether it only tells somebody something, with a script of its own.
    pub fn is_message(&self) -> bool {
        self.event.provider == "brigantine" && self.event.kind == "notify"
    }

    /// What it has in common with the other builds of its event and reference: the value of [`ABOUT`].
    pub fn about(&self) -> String {
        let about = format!("{} {}", self.event.kind, self.event.revision.reference);
        hex::encode(&Sha256::digest(about)[..16])
    }

    /// The name of its Secret and of its worker pod.
    pub fn name(&self) -> String {
        self.called.clone().unwrap_or_else(|| name_of(self.id))
    }

    /// The event names that it fires, in the order of Brigade's two builds for one event.
    pub fn fires(&self) -> Vec<String> {
        let mut names = vec![self.event.kind.clone()];
        names.extend(self.event.action.iter().map(|act| format!("{}:{act}", self.event.kind)));
        names.extend(self.event.alias.clone());
        names
    }

    /// How it stands, if anybody followed it.
    pub fn phase(&self) -> Option<Phase> {
        phase(&self.annotations, self.accepted)
    }

    /// Why it is to be ended, as a sentence, if it was cancelled.
    pub fn cancelled(&self) -> Option<String> {
        cancelled(&self.annotations)
    }

    /// What everything that the build makes is owned by, so that it goes when the build goes.
    pub fn owner(&self) -> Option<OwnerReference> {
        owner(self.name(), self.uid.clone())
    }

    /// The labels of its Secret and of its worker pod.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            ("build", self.id.to_string()),
            ("component", "build".to_owned()),
            ("heritage", "brigade".to_owned()),
            ("project", self.project.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Writes the build as its Secret.
    pub fn secret(&self) -> Result<Secret, BuildError> {
        let mut annotations = self.annotations.clone();
        let mut data = BTreeMap::new();
        let mut put = |key: &str, value: &[u8]| {
            data.insert(key.to_owned(), ByteString(value.to_vec()));
        };
        let event = &self.event;
        // As in Brigade, `build_id` is the name of the Secret.
        put("build_id", self.name().as_bytes());
        put("build_name", self.name().as_bytes());
        put("project_id", self.project.as_bytes());
        put("event_provider", event.provider.as_bytes());
        put("event_type", event.kind.as_bytes());
        put("commit_id", event.revision.commit.as_bytes());
        put("commit_ref", event.revision.reference.as_bytes());
        put("clone_url", event.clone_url.as_deref().unwrap_or_default().as_bytes());
        put("short_title", event.short_title.as_bytes());
        put("long_title", event.long_title.as_bytes());
        put("log_level", event.log_level.name().as_bytes());
        put("script", event.script.as_deref().unwrap_or_default().as_bytes());
        put("config", event.config.as_deref().unwrap_or_default().as_bytes());
        let besides: usize = data.values().map(|value| value.0.len()).sum();
        let payload = if besides + event.payload.len() <= SECRET_LIMIT {
            event.payload.to_vec()
        } else {
            annotations.insert(annotation::PAYLOAD_ENCODING.to_owned(), "gzip".to_owned());
            compress(&event.payload)
        };
        if besides + payload.len() > SECRET_LIMIT {
            return Err(BuildError::TooLarge { size: besides + payload.len() });
        }
        data.insert("payload".to_owned(), ByteString(payload));
        let mut labels = self.labels();
        if annotations.contains_key(annotation::NOTIFIED) {
            labels.insert(ABOUT.to_owned(), self.about());
        }
        Ok(Secret {
            type_: Some(SECRET_TYPE.to_owned()),
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels),
                annotations: Some(annotations).filter(|all| !all.is_empty()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..Secret::default()
        })
    }

    /// Reads a build from its Secret, whoever made that. What is missing is as it was in Brigade, and
    /// what `base64` puts at the end of a line is no part of it.
    pub fn from_secret(secret: &Secret) -> Result<Build, BuildError> {
        let found = secret.type_.clone().unwrap_or_default();
        if found != SECRET_TYPE {
            return Err(BuildError::OtherType(found));
        }
        let labels = secret.metadata.labels.clone().unwrap_or_default();
        let label = |name: &'static str| {
            let value = labels.get(name).filter(|value| !value.is_empty());
            value.cloned().ok_or(BuildError::Label(name))
        };
        let annotations = secret.metadata.annotations.clone().unwrap_or_default();
        let bytes = |key: &str| -> Bytes {
            let sent = secret.string_data.as_ref().and_then(|all| all.get(key));
            let kept = secret.data.as_ref().and_then(|all| all.get(key));
            match (sent, kept) {
                (Some(text), _) => text.clone().into(),
                (None, Some(value)) => value.0.clone().into(),
                (None, None) => Bytes::new(),
            }
        };
        let text = |key: &str| String::from_utf8_lossy(&bytes(key)).into_owned();
        let word = |key: &str| text(key).trim_end_matches(['\r', '\n']).to_owned();
        let or = |key: &str, default: &str| {
            Some(word(key)).filter(|word| !word.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let some = |key: &str| Some(text(key)).filter(|value| !value.is_empty());
        let packed = annotations.get(annotation::PAYLOAD_ENCODING).is_some_and(|how| how == "gzip");
        let payload = bytes("payload");
        let payload = if packed { decompress(&payload)? } else { payload };
        let image = annotations.get(annotation::IMAGE);
        let id = BuildId::parse(&label("build")?)?;
        Ok(Build {
            id,
            called: called(id, &secret.metadata),
            project: label("project")?,
            namespace: secret.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: secret.metadata.uid.clone(),
            created: secret.metadata.creation_timestamp.as_ref().map(|time| time.0),
            accepted: labels.get(ACCEPTED.0).is_some_and(|status| status == ACCEPTED.1),
            event: Event {
                action: annotations.get(annotation::ACTION).cloned(),
                alias: annotations.get(annotation::ALIAS).cloned(),
                revision: Revision { commit: word("commit_id"), reference: word("commit_ref") },
                clone_url: Some(word("clone_url")).filter(|url| !url.is_empty()),
                short_title: word("short_title"),
                long_title: word("long_title"),
                image: image.and_then(|json| serde_json::from_str(json).ok()),
                script: some("script"),
                config: some("config"),
                log_level: LogLevel::parse(&word("log_level")).unwrap_or_default(),
                ..Event::new(&or("event_provider", "unknown"), &or("event_type", "ping"), payload)
            },
            annotations,
        })
    }
}

impl Phase {
    /// The phase of this name.
    pub fn parse(name: &str) -> Option<Phase> {
        let all = [
            Phase::Waiting,
            Phase::Running,
            Phase::Succeeded,
            Phase::Failed,
            Phase::Cancelled,
            Phase::TimedOut,
        ];
        all.into_iter().find(|phase| phase.name() == name)
    }

    /// The phase's name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Waiting => "Waiting",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Cancelled => "Cancelled",
            Phase::TimedOut => "TimedOut",
        }
    }

    /// Whether a build in this phase has ended.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Phase::Waiting | Phase::Running)
    }
}

/// The name of a build's Secret, unless another program chose it.
pub(crate) fn name_of(id: BuildId) -> String {
    format!("brigade-worker-{id}")
}

/// The name of a build's Secret, if another program chose it.
fn called(id: BuildId, metadata: &ObjectMeta) -> Option<String> {
    metadata.name.clone().filter(|name| !name.is_empty() && *name != name_of(id))
}

fn phase(annotations: &BTreeMap<String, String>, accepted: bool) -> Option<Phase> {
    match annotations.get(annotation::PHASE) {
        Some(name) => Phase::parse(name),
        None if annotations.contains_key(annotation::WAITING) && !accepted => Some(Phase::Waiting),
        None => None,
    }
}

/// What the annotation says that cancels a build; its value is the reason, if it has one.
fn cancelled(annotations: &BTreeMap<String, String>) -> Option<String> {
    let reason = annotations.get(annotation::CANCEL)?.trim();
    let reason: String =
        reason.chars().take(REASON).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(match reason.as_str() {
        "" | "true" => "the build was cancelled".to_owned(),
        reason => format!("the build was cancelled: {reason}"),
    })
}

fn owner(name: String, uid: Option<String>) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        name,
        uid: uid?,
        ..OwnerReference::default()
    })
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes what is written to it");
    encoder.finish().expect("memory takes what is written to it")
}

fn decompress(bytes: &[u8]) -> Result<Bytes, BuildError> {
    let mut payload = Vec::new();
    let mut decoder = GzDecoder::new(bytes).take(PAYLOAD_LIMIT + 1);
    decoder.read_to_end(&mut payload).map_err(BuildError::Payload)?;
    if payload.len() as u64 > PAYLOAD_LIMIT {
        return Err(BuildError::Payload(std::io::Error::other("it is too large")));
    }
    Ok(payload.into())
}
