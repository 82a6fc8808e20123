//! `GET .../pods/{name}/log`: what a container wrote.

use axum::body::Body;
use axum::response::Response;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::{Call, Target, typed};
use crate::failure::Failure;
use crate::logs::{LogError, LogOptions};
use crate::object;
use crate::server::Shared;

const TEXT: &str = "text/plain";

pub(crate) fn log(shared: &Shared, target: &Target, call: &Call) -> Result<Response, Failure> {
    let key = target.key();
    let pod = shared
        .store
        .get(&target.resource.storage, &key)
        .ok_or_else(|| Failure::not_found(&target.resource, &key.name))?;
    let pod = &pod.value;
    let options = options(call)?;
    let container = container(pod, call.query.get("container").unwrap_or_default())?;
    if object::text(pod, &["spec", "nodeName"]).is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let value = HeaderValue::from_static("no-cache, private");
        response.headers_mut().insert(header::CACHE_CONTROL, value);
        return Ok(response);
    }
    let Some(logs) = &shared.logs else { return missing(pod, container, &options) };
    match logs.read(object::uid(pod), container, &options) {
        Ok(stream) => {
            let stream = stream.take_until(call.ended.clone().cancelled_owned());
            let mut response = Response::new(Body::from_stream(stream));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
            Ok(response)
        }
        Err(LogError::NotFound(_)) => missing(pod, container, &options),
        Err(error) => {
            tracing::error!(pod.name = key.name, %error, "a log could not be read");
            Err(Failure::new(500, "InternalError", "the log could not be read"))
        }
    }
}

fn options(call: &Call) -> Result<LogOptions, Failure> {
    let positive = |name: &str| -> Result<Option<u64>, Failure> {
        match call.query.number(name)? {
            None => Ok(None),
            Some(number) => u64::try_from(number).map(Some).map_err(|_| {
                Failure::new(
                    422,
                    "Invalid",
                    format!(
                        "PodLogOptions \"\" is invalid: {name}: Invalid value: {number}: must be greater than or equal to 0"
                    ),
                )
            }),
        }
    };
    let mut since = None;
    if let Some(seconds) = call.query.number("sinceSeconds")? {
        since = Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok();
    }
    if let Some(text) = call.query.get("sinceTime").filter(|text| !text.is_empty()) {
        let time = text.parse().map_err(|_| {
            Failure::bad_request(format!("sinceTime {text:?} is not a time in RFC 3339 form"))
        })?;
        since = Some(time);
    }
    Ok(LogOptions {
        follow: call.query.flag("follow"),
        previous: call.query.flag("previous"),
        since,
        tail_lines: positive("tailLines")?,
        limit_bytes: positive("limitBytes")?,
        timestamps: call.query.flag("timestamps"),
    })
}

/// The container that is asked for, or the only one.
pub(super) fn container<'a>(pod: &'a Value, wanted: &str) -> Result<&'a str, Failure> {
    let names: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| object::list(pod, &["spec", list]))
        .map(|one| object::text(one, &["name"]))
        .collect();
    if !wanted.is_empty() {
        let found = names.iter().copied().find(|name| *name == wanted);
        return found.ok_or_else(|| {
            Failure::bad_request(format!(
                "container {wanted} is not valid for pod {}",
                object::name(pod)
            ))
        });
    }
    let listed = |list: &str| -> Vec<&str> {
        let containers = object::list(pod, &["spec", list]);
        containers.iter().map(|one| object::text(one, &["name"])).collect()
    };
    let (own, first) = (listed("containers"), listed("initContainers"));
    if let [only] = own.as_slice() {
        return Ok(only);
    }
    let mut message = format!(
        "a container name must be specified for pod {}, choose one of: [{}]",
        object::name(pod),
        own.join(" ")
    );
    if !first.is_empty() {
        message += &format!(" or one of the init containers: [{}]", first.join(" "));
    }
    Err(Failure::bad_request(message))
}

/// There is no log: an ended container wrote nothing, any other has not started.
fn missing(pod: &Value, container: &str, options: &LogOptions) -> Result<Response, Failure> {
    let name = object::name(pod);
    let status = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| object::list(pod, &["status", list]))
        .find(|one| one["name"] == container);
    if options.previous {
        return Err(Failure::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )));
    }
    let state = status.map(|one| &one["state"]);
    if state.is_some_and(|state| state.get("terminated").or(state.get("running")).is_some()) {
        return Ok(typed(200, TEXT, ""));
    }
    let reason = state.map_or("", |state| object::text(state, &["waiting", "reason"]));
    let why = match reason {
        "" if object::list(pod, &["spec", "initContainers"]).is_empty() => "ContainerCreating",
        "" => "PodInitializing",
        "ImagePullBackOff" | "ErrImagePull" => "trying and failing to pull image",
        reason => reason,
    };
    Err(Failure::bad_request(format!(
        "container {container:?} in pod {name:?} is waiting to start: {why}"
    )))
}
