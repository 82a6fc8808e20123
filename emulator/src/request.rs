//! Recorded requests: files in the form that editors' REST clients run.
//!
//! A file holds one request or several, with lines of `###` between them. Lines that begin with
//! `#` or `//` before a request's first line are comments.
//!
//! A recording has no secrets of its own, and no moment. These stand for them, in headers and in the
//! path:
//! - `{{signature}}`, in a header that is one: the signature of the body, as its sender makes it, or
//!   the secret itself where the sender sends that
//! - `{{token}}`: the project's token
//! - `{{secrets.NAME}}`: the member of the project's `secrets`
//! - `{{timestamp}}`: the present moment, in seconds

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::project::Project;
use runtime::signature::scheme;
use runtime::signature::{GITLAB_TOKEN, Scheme, Secrets, Stamp};

#[cfg(test)]
mod tests;

/// One request, as it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, with its query.
    pub path: String,
    /// The headers, whose values may hold placeholders.
    pub headers: Vec<(HeaderName, String)>,
    /// The body, byte for byte; the line end before `###` or the end of the file is not part of it.
    pub body: Bytes,
}

/// Reads the requests of a file.
pub fn parse(text: &str) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    let mut start = 1;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if line.trim_end() == "###" || line.starts_with("### ") {
            requests.extend(request(&lines, start)?);
            lines.clear();
            start = number + 1;
        } else {
            lines.push(line);
        }
    }
    requests.extend(request(&lines, start)?);
    if requests.is_empty() {
        bail!("there is no request in it");
    }
    Ok(requests)
}

/// Reads one request; there is none where there are only comments.
fn request(lines: &[&str], start: usize) -> Result<Option<Request>> {
    let is_comment = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line.starts_with("//")
    };
    let Some(first) = lines.iter().position(|line| !is_comment(line)) else { return Ok(None) };
    let mut words = lines[first].split_whitespace();
    let place = |line: usize| format!("line {}", start + line);
    let method = words.next().unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes())
        .with_context(|| format!("{}: {method:?} is no method", place(first)))?;
    let path = words.next().unwrap_or_default();
    if !path.starts_with('/') {
        bail!("{}: a request begins with a method and a path, POST /events/github", place(first));
    }
    let mut headers = Vec::new();
    let mut at = first + 1;
    while let Some(line) = lines.get(at).map(|line| line.trim_end()).filter(|line| !line.is_empty())
    {
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("{}: a header is a name, a colon and a value", place(at)))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .with_context(|| format!("{}: {name:?} is no header", place(at)))?;
        headers.push((name, value.trim().to_owned()));
        at += 1;
    }
    let body = lines.get(at + 1..).unwrap_or_default().concat();
    let body = body.strip_suffix('\n').unwrap_or(&body);
    Ok(Some(Request {
        method,
        path: path.to_owned(),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }))
}

/// The token that senders which cannot sign prove themselves with, as the functions expect it.
pub(crate) fn token(project: &Project) -> Option<&str> {
    Secrets::of(&project.generic_gateway_secret).or(&project.shared_secret).current()
}

impl Request {
    /// The headers with their placeholders filled in from the project.
    pub fn headers(&self, project: Option<&Project>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let now = Timestamp::now().as_second();
        // A signature may be of other headers, too, so these come first.
        let (signed, plain): (Vec<_>, Vec<_>) =
            self.headers.iter().partition(|(_, value)| value.contains("{{signature}}"));
        for (name, value) in plain.into_iter().chain(signed) {
            let value = expand(value, project, |placeholder, project| match placeholder {
                "signature" => Some(self.signature(name, &headers, project)),
                "timestamp" => Some(now.to_string()),
                _ => secret(placeholder, project),
            })
            .with_context(|| format!("the header {name}"))?;
            let mut value = HeaderValue::from_str(&value)
                .with_context(|| format!("the header {name} has a character that none may have"))?;
            value.set_sensitive(value.is_sensitive() || name == http::header::AUTHORIZATION);
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// The request with the placeholders of its path filled in from the project.
    pub fn addressed(&self, project: Option<&Project>) -> Result<Request> {
        let path = expand(&self.path, project, |placeholder, project| {
            let value = secret(placeholder, project)?;
            Some(utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string())
        });
        Ok(Request { path: path.context("the path")?, ..self.clone() })
    }

    /// The request as a file holds it, with its placeholders.
    pub fn recorded(&self) -> String {
        let head: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {} HTTP/1.1\n{head}\n{body}\n", self.method, self.path)
    }

    /// What the sender sends in this header to prove itself.
    fn signature(&self, name: &HeaderName, headers: &HeaderMap, project: &Project) -> String {
        let scheme = scheme_of(name, headers);
        let is_generic =
            ["/simpleevents/", "/cloudevents/v02/"].iter().any(|path| self.path.starts_with(path));
        let secrets = match scheme {
            Some(scheme::SLACK) => Secrets::of(&project.slack_signing_secret),
            _ if is_generic => Secrets::of(&project.generic_gateway_secret),
            _ => Secrets::of(&project.shared_secret),
        };
        let secret = secrets.current().unwrap_or_default();
        let Some(scheme) = scheme else { return secret.to_owned() };
        let text = |name: Option<&str>| {
            name.and_then(|name| headers.get(name)?.to_str().ok()).unwrap_or_default()
        };
        let (id, seconds) = scheme.stamp_headers();
        let stamp = Stamp { id: text(id), seconds: text(seconds) };
        // Where the secret is no key there is no signature, and nobody takes that.
        scheme.sign(secret, stamp, &self.body).unwrap_or_default()
    }
}

/// A text with its placeholders filled in.
fn expand(
    text: &str,
    project: Option<&Project>,
    value: impl Fn(&str, &Project) -> Option<String>,
) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let project = project.context(
            "the request has placeholders that a project's secrets fill in: \
             name its folder with --project",
        )?;
        let (name, after) = after.split_once("}}").context("a placeholder ends with }}")?;
        let value = value(name, project).with_context(|| {
            format!(
                "{{{{{name}}}}} is an unknown placeholder here: in headers {{{{signature}}}} and \
                 {{{{timestamp}}}} are known, and everywhere {{{{token}}}} and {{{{secrets.NAME}}}}, \
                 where the project has such a secret"
            )
        })?;
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The secret that a placeholder stands for.
fn secret(placeholder: &str, project: &Project) -> Option<String> {
    match placeholder.strip_prefix("secrets.") {
        Some(name) => project.secrets.get(name)?.as_str().map(str::to_owned),
        None if placeholder == "token" => Some(token(project).unwrap_or_default().to_owned()),
        None => None,
    }
}

/// How the sender signs who sends this header; none where it is the secret itself.
fn scheme_of(name: &HeaderName, headers: &HeaderMap) -> Option<Scheme<'static>> {
    let name = name.as_str();
    if matches!(name, GITLAB_TOKEN | "x-hook-uuid") {
        return None;
    }
    if name == scheme::BITBUCKET.header {
        // GitHub's old signature has the same header.
        let is_bitbucket = headers.contains_key("x-event-key");
        return Some(if is_bitbucket { scheme::BITBUCKET } else { scheme::GITHUB_SHA1 });
    }
    Some(scheme::ALL.into_iter().find(|scheme| scheme.header == name).unwrap_or(scheme::GITHUB))
}
