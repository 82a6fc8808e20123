//! Sends recorded requests, signed anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use http::HeaderMap;
use reqwest::Url;
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::request::{self, Request};
use crate::story::printable;

/// The options of `emulator replay`.
#[derive(Args, Debug)]
pub struct Options {
    /// Files of recorded requests (.http): a request, or several with lines of ### between them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the functions are
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7744")]
    to: Url,
    /// The project whose secrets sign the requests: its folder or its values file
    /// [default: the nearest folder above each file that holds a project.yaml]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// How often each request is sent
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Fail unless every answer has this status; without it, unless every answer is a 2xx
    #[arg(long, value_name = "STATUS")]
    expect: Option<u16>,
    /// How answers are printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// A JSON object a line: file, method, path, status, body
    Json,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, as JSON if it is that, else as a text.
    pub body: Value,
}

/// Sends the files' requests in order; an error at the end if an answer is not as expected.
pub async fn run(options: &Options, out: &mut impl Write) -> Result<()> {
    let http = client()?;
    let (mut sent, mut other) = (0, 0);
    for file in &options.files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let requests = request::parse(&text).with_context(|| file.display().to_string())?;
        let folder = match &options.project {
            Some(path) => Some(Folder::read(path, "default")?),
            None => Folder::of(file, "default")?,
        };
        for request in &requests {
            for _ in 0..options.times {
                let project = folder.as_ref().map(|folder| &folder.project);
                let headers =
                    request.headers(project).with_context(|| file.display().to_string())?;
                let addressed =
                    request.addressed(project).with_context(|| file.display().to_string())?;
                let answer = send(&http, &options.to, &addressed, headers).await?;
                let expected = match options.expect {
                    Some(status) => answer.status == status,
                    None => (200..300).contains(&answer.status),
                };
                sent += 1;
                other += u32::from(!expected);
                print(options.output, file, request, &answer, out)?;
            }
        }
    }
    if other > 0 {
        let expected = options.expect.map_or("a 2xx".to_owned(), |status| status.to_string());
        bail!("{other} of {sent} answers had another status than {expected}");
    }
    Ok(())
}

/// A client that follows nothing and waits as long as a sender would.
pub fn client() -> Result<reqwest::Client> {
    // Installed once for the process; a second time changes nothing.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30));
    Ok(client.build()?)
}

/// The address of a path below that of the functions, which may have a path itself.
pub fn place(to: &Url, path: &str) -> Result<Url> {
    let mut url = to.join(path).context("the request's path makes no URL")?;
    // A recording may be a stranger's, and what is sent is signed with the project's secrets.
    if url.origin() != to.origin() {
        bail!("the request's path leads away from {to}: it must begin with one slash");
    }
    let below = to.path().trim_end_matches('/');
    if !below.is_empty() {
        let path = format!("{below}{}", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Sends one request.
pub async fn send(
    http: &reqwest::Client,
    to: &Url,
    request: &Request,
    headers: HeaderMap,
) -> Result<Answer> {
    let url = place(to, &request.path)?;
    let sent = http.request(request.method.clone(), url).headers(headers);
    let answer = sent.body(request.body.clone()).send().await.map_err(|error| {
        let error = error.without_url();
        anyhow::Error::new(error).context(format!("no answer from {to}: does `emulator up` run?"))
    })?;
    let status = answer.status().as_u16();
    let body = answer.text().await.context("reading the answer")?;
    Ok(Answer { status, body: serde_json::from_str(&body).unwrap_or(Value::String(body)) })
}

fn print(
    output: Output,
    file: &Path,
    request: &Request,
    answer: &Answer,
    out: &mut impl Write,
) -> Result<()> {
    // The query may hold a token.
    let path = request.path.split('?').next().unwrap_or_default();
    match output {
        Output::Json => {
            let line = json!({
                "file": file.display().to_string(),
                "method": request.method.as_str(),
                "path": path,
                "status": answer.status,
                "body": answer.body,
            });
            writeln!(out, "{line}")?;
        }
        Output::Text => {
            writeln!(out, "{} {} {path}", answer.status, request.method)?;
            writeln!(out, "{}", pretty(&answer.body))?;
        }
    }
    Ok(())
}

/// An answer's body for people.
pub(crate) fn pretty(body: &Value) -> String {
    match body {
        Value::String(text) => text.lines().map(printable).collect::<Vec<_>>().join("\n"),
        json => serde_json::to_string_pretty(json).unwrap_or_default(),
    }
}

#[tokio::test]
async fn a_recording_cannot_send_its_signature_elsewhere() {
    let to = Url::parse("http://127.0.0.1:1").unwrap();
    for path in ["//198.51.100.1/x", "/\\198.51.100.1/x"] {
        let recorded = format!("POST {path} HTTP/1.1\n\n{{}}\n");
        let request = request::parse(&recorded).unwrap().remove(0);
        let sent = send(&client().unwrap(), &to, &request, HeaderMap::new()).await;
        let error = sent.err().unwrap().to_string();
        assert!(error.contains("leads away"), "{path}: {error}");
    }
}

#[test]
fn functions_may_be_below_a_path() {
    let place = |to: &str, path: &str| place(&Url::parse(to).unwrap(), path);
    for (to, expected) in [
        ("http://x:1", "http://x:1/a%2Fb?c=d"),
        ("http://x:1/", "http://x:1/a%2Fb?c=d"),
        ("http://x:1/api", "http://x:1/api/a%2Fb?c=d"),
        ("http://x:1/api/", "http://x:1/api/a%2Fb?c=d"),
    ] {
        assert_eq!(place(to, "/a%2Fb?c=d").unwrap().as_str(), expected);
    }
    assert_eq!(place("http://x/api", "/../b").unwrap().as_str(), "http://x/api/b");
    assert!(place("http://x/api", "//y/b").is_err());
}
