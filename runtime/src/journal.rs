//! What is noted of a build's jobs, so that whoever goes on with the build knows what was before.
//!
//! A worker writes to a job's Secret how the job ended, and when its script was told; the next
//! worker tells the script the same in the same order, though the pods may be gone. All of it is
//! annotations, as JSON; what cannot be read was not written by us and is passed over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The annotations, on the Secrets of jobs where nothing else is said.
pub mod annotation {
    /// The build's own time, in milliseconds, at which the script ran the job.
    pub const AT: &str = "brigantine.dev/at";
    /// Which pod stands for the job, if not its first: an [`Attempt`](super::Attempt).
    pub const ATTEMPT: &str = "brigantine.dev/attempt";
    /// How the job ended: an [`End`](super::End).
    pub const END: &str = "brigantine.dev/end";
    /// What a log that the script asked for was: a [`Log`](super::Log). A number follows.
    pub const LOG: &str = "brigantine.dev/log-";
    /// On a build: so many of its jobs, in the script's order, have had a pod.
    pub const MADE: &str = "brigantine.dev/made";
}

/// When a script was told something.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Told {
    /// Counts what the script was told, from 1.
    pub sequence: u64,
    /// The build's own time, in milliseconds since 1970.
    pub at: i64,
}

/// How a job ended.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct End {
    /// When the script was told, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// The pod that ended.
    pub pod: String,
    /// Whether the job did its work.
    pub succeeded: bool,
    /// Whether the job's container was begun, so that there is a log.
    pub ran: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The exit code of its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Kubernetes' word for how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When its container was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// What the script was given of its log, or the end of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Whether that is all that the script was given.
    pub whole: bool,
}

/// A log that the script asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// When the script was given it.
    pub told: Told,
    /// Whether it could be read; else the text says why not.
    pub read: bool,
    /// The text, or the end of it.
    pub text: String,
    /// Whether that is all of it.
    pub whole: bool,
}

/// Which pod stands for a job whose first pod was lost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Attempt {
    /// 0 is the job's first pod.
    pub number: u32,
    /// How many of the job's own `retries` were used.
    pub used: u32,
    /// Whether the pod was made.
    pub made: bool,
}

/// What is known of a job that was run before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// When the script ran it.
    pub at: Option<i64>,
    /// How it ended, if that was seen.
    pub end: Option<End>,
    /// The logs that the script was given of it, by the number of the question.
    pub logs: BTreeMap<u64, Log>,
    /// Which pod stands for it.
    pub attempt: Attempt,
}

impl Record {
    /// Reads what a job's Secret says.
    pub fn read(annotations: &BTreeMap<String, String>) -> Record {
        let logs = annotations.iter().filter_map(|(name, text)| {
            let number = name.strip_prefix(annotation::LOG)?.parse().ok()?;
            Some((number, serde_json::from_str(text).ok()?))
        });
        Record {
            at: annotations.get(annotation::AT).and_then(|text| text.parse().ok()),
            end: json(annotations.get(annotation::END)),
            logs: logs.collect(),
            attempt: json(annotations.get(annotation::ATTEMPT)).unwrap_or_default(),
        }
    }
}

fn json<T: DeserializeOwned>(text: Option<&String>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

/// Writes a note as the value of its annotation.
pub fn text<T: Serialize>(note: &T) -> String {
    serde_json::to_string(note).expect("texts, numbers and times are always JSON")
}

#[test]
fn what_is_written_is_read_again_and_what_is_strange_is_passed_over() {
    let told = Told { sequence: 3, at: 1234 };
    let end = End {
        told: Some(told),
        pod: "one-1".to_owned(),
        succeeded: true,
        ran: true,
        exit_code: Some(0),
        finished: Some(Timestamp::UNIX_EPOCH),
        log: Some("ä\n".to_owned()),
        whole: true,
        ..End::default()
    };
    let log = Log { told, read: true, text: "x".to_owned(), whole: false };
    let attempt = Attempt { number: 2, used: 1, made: true };
    let annotations = BTreeMap::from([
        (annotation::AT.to_owned(), "17".to_owned()),
        (annotation::END.to_owned(), text(&end)),
        (format!("{}7", annotation::LOG), text(&log)),
        (format!("{}x", annotation::LOG), text(&log)),
        (format!("{}8", annotation::LOG), "nonsense".to_owned()),
        (annotation::ATTEMPT.to_owned(), text(&attempt)),
    ]);
    let record = Record::read(&annotations);
    assert_eq!((record.at, record.end, record.attempt), (Some(17), Some(end), attempt));
    assert_eq!(record.logs, BTreeMap::from([(7, log)]));
    let strange = [annotation::AT, annotation::END, annotation::ATTEMPT];
    let strange = strange.map(|name| (name.to_owned(), "{".to_owned())).into();
    let record = Record::read(&strange);
    assert!(record.at.is_none() && record.end.is_none() && record.attempt.number == 0);
}
