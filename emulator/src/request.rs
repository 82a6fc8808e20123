//! Recorded requests: files in the form that editors' REST clients run.
//!
//! A file holds one request or several, with lines of `###` between them. Lines that begin with
//! `#` or `//` before a request's first line are comments. `{{signature}}` stands for the body's
//! signature and `{{token}}` for the project's token, since a recording has no secret of its own.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use runtime::project::Project;
use runtime::signature::{self, Secrets};

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
        for (name, value) in &self.headers {
            let value = self.fill(name, value, project)?;
            let mut value = HeaderValue::from_str(&value)
                .with_context(|| format!("the header {name} has a character that none may have"))?;
            value.set_sensitive(value.is_sensitive() || name == http::header::AUTHORIZATION);
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn fill(&self, name: &HeaderName, value: &str, project: Option<&Project>) -> Result<String> {
        if !value.contains("{{") {
            return Ok(value.to_owned());
        }
        let project = project.context(
            "the request has placeholders that a project's secrets fill in: \
             name its folder with --project",
        )?;
        let shared = Secrets::of(&project.shared_secret);
        let secret = shared.current().unwrap_or_default();
        let signature = if name.as_str() == signature::GITHUB_SHA1 {
            signature::sign_github_sha1(secret, &self.body)
        } else {
            signature::sign_github(secret, &self.body)
        };
        let token = token(project).unwrap_or_default();
        let filled = value.replace("{{signature}}", &signature).replace("{{token}}", token);
        if filled.contains("{{") {
            bail!(
                "the header {name} has an unknown placeholder: {{{{signature}}}} and {{{{token}}}} are known"
            );
        }
        Ok(filled)
    }
}
