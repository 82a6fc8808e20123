//! From a client's request to the event of a front.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>,
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Front;

/// The client, as the fronts tell of it.
const CLIENT: &str = "203.0.113.7";

/// The event, unless the path is not within the front's.
pub(super) fn event(front: &Front, parts: &Parts, body: &[u8]) -> Option<Value> {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let within = match path.strip_prefix(front.base().as_str())? {
        "" => "/",
        rest if rest.starts_with('/') => rest,
        _other => return None,
    };
    let is_text = is_text(front, &parts.headers);
    let body = match (body, is_text) {
        ([], _) => Value::Null,
        (body, true) => String::from_utf8_lossy(body).into(),
        (body, false) => STANDARD.encode(body).into(),
    };
    let request =
        Request { parts, path, within, query, is_base64: !is_text && !body.is_null(), body };
    Some(match front {
        Front::LoadBalancer { lists } => request.load_balancer(*lists),
        Front::RestApi { stage, .. } => request.rest(stage),
        Front::HttpApi { stage } => request.http(stage, true),
        Front::FunctionUrl => request.http("$default", false),
    })
}

/// What all events tell of.
struct Request<'a> {
    parts: &'a Parts,
    /// As the client has it.
    path: &'a str,
    /// Without the stage.
    within: &'a str,
    query: &'a str,
    body: Value,
    is_base64: bool,
}

impl Request<'_> {
    fn load_balancer(self, lists: bool) -> Value {
        let mut event = json!({
            "requestContext": {"elb": {
                "targetGroupArn": "arn:aws:elasticloadbalancing:eu-north-1:123456789012:\
                    targetgroup/function/6d0ecf831eec9f09",
            }},
            "httpMethod": self.parts.method.as_str(),
            "path": self.path,
            "body": if self.body.is_null() { "".into() } else { self.body },
            "isBase64Encoded": self.is_base64,
        });
        let mut headers = grouped(&self.parts.headers, |name| name.as_str().to_owned());
        headers.push(("x-forwarded-for".to_owned(), vec![CLIENT.to_owned()]));
        headers.push(("x-forwarded-proto".to_owned(), vec!["https".to_owned()]));
        // As it is in the address: nothing is decoded.
        let query = pairs(self.query, str::to_owned);
        if lists {
            event["multiValueHeaders"] = many(&headers);
            event["multiValueQueryStringParameters"] = many(&query);
        } else {
            event["headers"] = last(&headers);
            event["queryStringParameters"] = last(&query);
        }
        event
    }

    fn rest(self, stage: &str) -> Value {
        let headers = grouped(&self.parts.headers, capitalised);
        let query = pairs(self.query, decoded);
        let or_null = |value: Value| match value.as_object() {
            Some(all) if all.is_empty() => Value::Null,
            _ => value,
        };
        let proxy = self.within.trim_start_matches('/');
        let (resource, parameters) = match proxy {
            "" => ("/", Value::Null),
            proxy => ("/{proxy+}", json!({"proxy": percent_decode_str(proxy).decode_utf8_lossy()})),
        };
        json!({
            "resource": resource,
            "path": self.within,
            "httpMethod": self.parts.method.as_str(),
            "headers": last(&headers),
            "multiValueHeaders": many(&headers),
            "queryStringParameters": or_null(last(&query)),
            "multiValueQueryStringParameters": or_null(many(&query)),
            "pathParameters": parameters,
            "stageVariables": null,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "1234567890",
                "domainName": "1234567890.execute-api.eu-north-1.amazonaws.com",
                "domainPrefix": "1234567890",
                "extendedRequestId": "JKJaXmPLvHcESHA=",
                "httpMethod": self.parts.method.as_str(),
                "identity": {"sourceIp": CLIENT, "userAgent": self.agent()},
                "path": self.path,
                "protocol": "HTTP/1.1",
                "requestId": Uuid::new_v4().to_string(),
                "requestTime": "04/May/2026:07:30:00 +0000",
                "requestTimeEpoch": 1_777_879_800_000_u64,
                "resourceId": "123456",
                "resourcePath": resource,
                "stage": stage,
            },
            "body": self.body,
            "isBase64Encoded": self.is_base64,
        })
    }

    /// That of an HTTP API, which decodes the path, or of a function URL, which does not.
    fn http(self, stage: &str, is_api: bool) -> Value {
        let path = match is_api {
            false => self.path.to_owned(),
            // What comes after a decoded question mark is lost.
            true => decoded(&self.path.replace('+', "%2B"))
                .split('?')
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        let mut headers = Map::new();
        for (name, values) in grouped(&self.parts.headers, |name| name.as_str().to_owned()) {
            if name != header::COOKIE.as_str() {
                headers.insert(name, values.join(",").into());
            }
        }
        headers.insert("x-forwarded-for".to_owned(), CLIENT.into());
        headers.insert("x-forwarded-proto".to_owned(), "https".into());
        let cookies = self.parts.headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let cookies: Vec<&str> = cookies.flat_map(|value| value.split("; ")).collect();
        let joined = pairs(self.query, decoded).into_iter();
        let joined: Map<String, Value> =
            joined.map(|(name, values)| (name, values.join(",").into())).collect();
        let domain = match is_api {
            true => "1234567890.execute-api.eu-north-1.amazonaws.com",
            false => "abcdefghijklmnop.lambda-url.eu-north-1.on.aws",
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": if is_api { "123456789012" } else { "anonymous" },
                "apiId": domain.split('.').next(),
                "domainName": domain,
                "domainPrefix": domain.split('.').next(),
                "http": {
                    "method": self.parts.method.as_str(),
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": CLIENT,
                    "userAgent": self.agent(),
                },
                "requestId": Uuid::new_v4().to_string(),
                "routeKey": "$default",
                "stage": stage,
                "time": "04/May/2026:07:30:00 +0000",
                "timeEpoch": 1_777_879_800_000_u64,
            },
            "isBase64Encoded": self.is_base64,
        });
        for (name, value) in [
            ("body", self.body),
            ("cookies", json!(cookies)),
            ("queryStringParameters", Value::Object(joined)),
        ] {
            let is_empty = match &value {
                Value::Array(all) => all.is_empty(),
                Value::Object(all) => all.is_empty(),
                value => value.is_null(),
            };
            if !is_empty {
                event[name] = value;
            }
        }
        event
    }

    fn agent(&self) -> Option<&str> {
        self.parts.headers.get(header::USER_AGENT)?.to_str().ok()
    }
}

/// Whether a body of this type is in the event as it is, and not as base64.
fn is_text(front: &Front, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let all = ["application/json", "application/javascript", "application/xml"];
    let is_text = kind.starts_with("text/") || all.contains(&kind);
    match front {
        Front::RestApi { binary, .. } => !binary,
        Front::LoadBalancer { .. } => is_text && !headers.contains_key(header::CONTENT_ENCODING),
        Front::HttpApi { .. } | Front::FunctionUrl => is_text,
    }
}

type Groups = Vec<(String, Vec<String>)>;

/// The values of each header.
fn grouped(headers: &HeaderMap, name: impl Fn(&HeaderName) -> String) -> Groups {
    let values = |key: &HeaderName| -> Vec<String> {
        let values = headers.get_all(key).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    headers.keys().map(|key| (name(key), values(key))).collect()
}

/// The values of each parameter of a query.
fn pairs(query: &str, read: impl Fn(&str) -> String) -> Groups {
    let mut groups = Groups::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (read(name), read(value));
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

fn many(groups: &Groups) -> Value {
    groups.iter().map(|(name, values)| (name.clone(), json!(values))).collect::<Map<_, _>>().into()
}

fn last(groups: &Groups) -> Value {
    let last = |values: &Vec<String>| json!(values.last());
    groups.iter().map(|(name, values)| (name.clone(), last(values))).collect::<Map<_, _>>().into()
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A header's name as most clients write it.
fn capitalised(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}
