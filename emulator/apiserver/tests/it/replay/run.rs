//! Runs the steps of a scenario against a server of its own.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use apiserver::{Options, Server};
use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt;

use super::{compare, kubectl};

/// How a scenario went.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) agreed: usize,
    pub(crate) compared: usize,
    pub(crate) differences: Vec<String>,
    /// Of the commands of kubectl, which are counted on their own.
    pub(crate) printed: (usize, usize),
}

struct Run {
    server: Server,
    variables: HashMap<String, String>,
    /// Behind a lock, so that the run can be shared while it waits.
    streams: Mutex<HashMap<String, Stream>>,
}

/// An open watch.
struct Stream {
    status: u16,
    headers: Value,
    body: BodyDataStream,
    rest: String,
}

/// Runs a scenario; the commands of kubectl only if there is one, of this minor version.
pub(crate) async fn scenario(scenario: &Value, minor: Option<u32>) -> Outcome {
    let options =
        Options { schedule: false, bind_volumes: false, rbac: true, ..Options::default() };
    let mut run = Run {
        server: Server::new(options).expect("a server in memory starts"),
        variables: HashMap::new(),
        streams: Mutex::default(),
    };
    let mut outcome = Outcome::default();
    let mut folder = None;
    for step in scenario["steps"].as_array().into_iter().flatten() {
        let mut step = step.clone();
        step["request"]["as"] = step["as"].clone();
        let step = &step;
        let kind = step["kind"].as_str().unwrap_or("request");
        if kind == "kubectl" && minor.is_none() {
            continue;
        }
        if kind == "kubectl" {
            let folder = match &folder {
                Some(folder) => folder,
                None => folder.insert(kubectl::folder(&run.server).await),
            };
            let during = async {
                for request in step["during"].as_array().into_iter().flatten() {
                    run.request(request.get("request").unwrap_or(request)).await;
                }
            };
            let printed = kubectl::run(folder, step, during).await;
            outcome.printed.1 += 1;
            match kubectl::difference(step, &printed) {
                None => outcome.printed.0 += 1,
                Some(difference) => {
                    outcome
                        .differences
                        .push(format!("#{} {}: {difference}", step["id"], step["command"]));
                }
            }
            continue;
        }
        if kind == "sleep" {
            // The controllers have their time.
            tokio::time::sleep_until(Instant::now() + Duration::from_millis(50)).await;
            continue;
        }
        if kind == "compact" {
            run.server.compact();
            continue;
        }
        let Some(actual) = run.step(kind, step).await else { continue };
        run.capture(step, &actual);
        if step["compare"] == false {
            continue;
        }
        outcome.compared += 1;
        match compare::difference(step, &actual) {
            None => outcome.agreed += 1,
            Some(difference) => outcome.differences.push(format!(
                "#{} {} {}: {difference}",
                step["id"],
                step["request"]["method"].as_str().unwrap_or_default(),
                step["request"]["path"].as_str().unwrap_or_default(),
            )),
        }
    }
    outcome
}

impl Run {
    async fn step(&mut self, kind: &str, step: &Value) -> Option<Value> {
        match kind {
            "poll" => Some(self.poll(step).await),
            "watch" => {
                let mut stream = self.open(&step["request"]).await;
                Some(stream.read(&step["watch"]).await)
            }
            "watchStart" => {
                let stream = self.open(&step["request"]).await;
                let answer = json!({"status": stream.status, "headers": stream.headers});
                self.streams.get_mut().expect("nobody panicked").insert(name(step), stream);
                Some(answer)
            }
            "watchRead" => {
                let streams = self.streams.get_mut().expect("nobody panicked");
                let mut stream = streams.remove(&name(step))?;
                let mut answer = stream.read(&step["watch"]).await;
                self.streams.get_mut().expect("nobody panicked").insert(name(step), stream);
                let map = answer.as_object_mut()?;
                map.remove("status");
                map.remove("headers");
                Some(answer)
            }
            "watchStop" => {
                self.streams.get_mut().expect("nobody panicked").remove(&name(step));
                None
            }
            _ => Some(self.request(&step["request"]).await),
        }
    }

    async fn send(&self, request: &Value) -> Response {
        let request = self.fill(request);
        let body = match &request["body"] {
            Value::Null if request.get("body").is_none() => {
                request["bodyText"].as_str().unwrap_or_default().to_owned()
            }
            body => body.to_string(),
        };
        let mut built = Request::builder()
            .method(request["method"].as_str().unwrap_or("GET"))
            .uri(request["path"].as_str().unwrap_or("/").replace(' ', "%20"));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            built = built.header(name, value.as_str().unwrap_or_default());
        }
        let built = built.body(Body::from(body)).expect("a recorded request is valid");
        let router = match request["as"].as_str() {
            Some("anonymous") => self.server.router_for_strangers(),
            _ => self.server.router(),
        };
        router.oneshot(built).await.expect("the router answers everything")
    }

    async fn request(&self, request: &Value) -> Value {
        // Without a network in between, the controllers have no time of their own.
        if request["method"] == "GET" {
            tokio::task::yield_now().await;
        }
        let response = self.send(request).await;
        let status = response.status().as_u16();
        let headers = headers(&response);
        let collect = response.into_body().collect();
        let body = tokio::time::timeout(Duration::from_secs(5), collect).await;
        let bytes = match body {
            Ok(Ok(body)) => body.to_bytes(),
            _ => return json!({"status": status, "headers": headers, "bodyText": "<endless>"}),
        };
        let mut answer = json!({"status": status, "headers": headers});
        if !bytes.is_empty() {
            match serde_json::from_slice::<Value>(&bytes) {
                Ok(body) => answer["body"] = body,
                Err(_) => answer["bodyText"] = json!(String::from_utf8_lossy(&bytes)),
            }
        }
        answer
    }

    async fn poll(&self, step: &Value) -> Value {
        let until = self.fill(&step["until"]);
        let mut answer = Value::Null;
        for _ in 0..40 {
            answer = self.request(&step["request"]).await;
            if compare::holds(&until, &answer) {
                return answer;
            }
            let pause = Instant::now() + Duration::from_millis(25);
            tokio::time::sleep_until(pause).await;
        }
        answer
    }

    async fn open(&self, request: &Value) -> Stream {
        let response = self.send(request).await;
        Stream {
            status: response.status().as_u16(),
            headers: headers(&response),
            body: response.into_body().into_data_stream(),
            rest: String::new(),
        }
    }

    fn capture(&mut self, step: &Value, actual: &Value) {
        for (name, pointer) in step["captures"].as_object().into_iter().flatten() {
            let value = actual.pointer(pointer.as_str().unwrap_or_default());
            let text = match value {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => continue,
            };
            self.variables.insert(name.clone(), text);
        }
    }

    /// Puts variables and repetitions into every text of a value.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|one| self.fill(one)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, one)| (self.text(key), self.fill(one))).collect()
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            filled.push_str(before);
            match name.strip_prefix("repeat:").and_then(|repeat| repeat.rsplit_once(':')) {
                Some((what, times)) => {
                    filled.push_str(&what.repeat(times.parse().unwrap_or_default()));
                }
                None => filled.push_str(self.variables.get(name).map_or("", String::as_str)),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

impl Stream {
    async fn read(&mut self, wanted: &Value) -> Value {
        let mut answer = json!({"status": self.status, "headers": self.headers});
        let seconds = wanted["maxSeconds"].as_u64().unwrap_or(5).min(4);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let count = wanted["count"].as_u64().map(|count| count as usize);
        let mut events: Vec<Value> = Vec::new();
        let mut closed = false;
        loop {
            while let Some((line, rest)) = self.rest.split_once('\n') {
                if let Ok(event) = serde_json::from_str(line) {
                    events.push(event);
                }
                self.rest = rest.to_owned();
                if count == Some(events.len()) {
                    break;
                }
            }
            if count.is_some_and(|count| events.len() >= count) {
                break;
            }
            if let Some(until) = wanted.get("until")
                && events.last().is_some_and(|event| compare::contains(event, until))
            {
                break;
            }
            match timeout_at(deadline, self.body.next()).await {
                Ok(Some(Ok(bytes))) => self.rest.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(_) => {
                    closed = true;
                    break;
                }
                Err(_) => break,
            }
        }
        // An object's own path answers the object, whatever is asked.
        let plain = events.first().is_some_and(|event| event.get("type").is_none())
            || (events.is_empty() && self.rest.contains("\"metadata\""));
        if self.status != 200 || plain {
            match serde_json::from_str::<Value>(&self.rest) {
                Ok(body) => answer["body"] = body,
                Err(_) => answer["body"] = events.first().cloned().unwrap_or_default(),
            }
        } else {
            answer["events"] = json!(events);
        }
        if wanted["untilClose"] == true && self.status == 200 {
            answer["closed"] = json!(closed);
        }
        answer
    }
}

fn name(step: &Value) -> String {
    step["stream"].as_str().unwrap_or_default().to_owned()
}

fn headers(response: &Response) -> Value {
    let mut headers = serde_json::Map::new();
    for name in response.headers().keys() {
        let values: Vec<&str> =
            response.headers().get_all(name).iter().filter_map(|one| one.to_str().ok()).collect();
        let value =
            if values.len() == 1 && name != "warning" { json!(values[0]) } else { json!(values) };
        headers.insert(name.to_string(), value);
    }
    Value::Object(headers)
}
