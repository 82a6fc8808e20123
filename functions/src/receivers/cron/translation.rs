//! What a scheduler's call means: which schedule it is of, and which of its times.

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use runtime::event::{Event, Identity, Revision};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::lenient::{line, moment, text};
use crate::rejection::Rejection;
use crate::revision;

/// The longest name of an event or a schedule, in bytes.
const NAME: usize = 200;

/// The name of the event where the caller has no other.
const CRON: &str = "cron";

/// What the address asks for.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    pub(super) token: Option<String>,
    schedule: Option<String>,
    event: Option<String>,
    time: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    commit: Option<String>,
}

/// What the bodies of schedulers say; EventBridge's has its rule among the `resources`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(deserialize_with = "text")]
    schedule: Option<String>,
    #[serde(deserialize_with = "moment")]
    time: Option<Timestamp>,
    #[serde(rename = "scheduledTime", deserialize_with = "moment")]
    scheduled_time: Option<Timestamp>,
    #[serde(rename = "scheduled_time", deserialize_with = "moment")]
    scheduled_time_too: Option<Timestamp>,
    resources: Value,
}

/// The event of a call; `name` is what the caller has named it.
pub(super) fn translate(
    asked: &Asked,
    headers: &HeaderMap,
    name: Option<String>,
    payload: Bytes,
) -> Result<Event, Rejection> {
    let json = std::str::from_utf8(&payload).unwrap_or_default();
    let is_object = json.trim_start().starts_with('{');
    let body: Option<Body> = is_object.then(|| serde_json::from_str(json).ok()).flatten();
    let body = body.unwrap_or_default();
    let header = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok().map(str::to_owned)
    };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());

    let kind = given(&asked.event).unwrap_or_else(|| CRON.to_owned());
    // A full name of Cloud Scheduler's ends with the job's own.
    let job = header("x-cloudscheduler-jobname");
    let job = job.and_then(|name| name.rsplit('/').next().map(str::to_owned));
    let rule = body.resources[0].as_str().and_then(|rule| rule.rsplit('/').next());
    let schedule = given(&asked.schedule)
        .or(given(&job))
        .or(given(&body.schedule))
        .or(given(&rule.map(str::to_owned)));
    for name in [Some(&kind), schedule.as_ref()].into_iter().flatten() {
        if !is_name(name) {
            let name = line(name, 100);
            return Err(Rejection::malformed(format!("`{name}` cannot be the name of an event")));
        }
    }

    let read = |text: String| moment(Value::String(text)).ok().flatten();
    let time = match given(&asked.time) {
        // What is computed of nothing is 0.
        Some(text) => {
            Some(read(text).filter(|time| *time > Timestamp::UNIX_EPOCH).ok_or_else(|| {
                Rejection::malformed("?time= must be a time like 2026-05-04T07:30:00Z, or seconds")
            })?)
        }
        None => header("x-cloudscheduler-scheduletime")
            .and_then(read)
            .or_else(|| header("ce-time").and_then(read))
            .or(body.time)
            .or(body.scheduled_time)
            .or(body.scheduled_time_too),
    };

    let said = revision::of_json(json);
    let revision = match (given(&asked.reference), given(&asked.commit)) {
        (None, None) => said,
        (reference, commit) => Revision {
            commit: commit.unwrap_or_default(),
            reference: reference.unwrap_or_default(),
        },
    };
    if !revision::is_name(&revision.commit) || !revision::is_name(&revision.reference) {
        return Err(Rejection::malformed("?ref= and ?commit= must name a revision"));
    }

    let asked = (&kind, &schedule, &revision.reference, &revision.commit);
    let identity = match (time, name) {
        (Some(time), _) => Some(json!([asked, "time", time.as_millisecond()])),
        (None, Some(name)) => Some(json!([asked, "name", name])),
        (None, None) => None,
    };
    let title = schedule.clone().unwrap_or_else(|| kind.clone());
    let at = time.map(|time| format!(" at {time}")).unwrap_or_default();
    Ok(Event {
        action: schedule,
        revision,
        short_title: line(&title, 50),
        long_title: line(&format!("{title}{at}"), 200),
        time,
        identity: identity
            .map_or(Identity::Fresh, |said| Identity::Content(said.to_string().into())),
        ..Event::new(CRON, &kind, payload)
    })
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    name.len() <= NAME && name.chars().all(fits)
}
