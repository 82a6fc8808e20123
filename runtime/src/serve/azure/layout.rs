//! What the files of a function app say: the prefix of routes, how requests arrive, which functions
//! there are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http::Uri;
use serde_json::Value;

use crate::settings::AzureSettings;

/// The prefix where nobody says another.
const PREFIX: &str = "api";

/// The longest name of a function.
const NAME: usize = 127;

/// What is known of the function app.
#[derive(Debug)]
pub(super) struct Layout {
    /// What the paths of clients' requests begin with, without slashes around it.
    pub(super) prefix: String,
    /// Whether what arrives at `/<function>` cannot be what a client sent.
    pub(super) sealed: bool,
    /// Whether requests are posted as they are to `/<function>`, as the old `httpWorker` has them.
    is_old: bool,
    root: Option<PathBuf>,
    /// Where the messages of triggers are posted.
    pub(super) triggers: Vec<(String, secrecy::SecretString)>,
}

/// A function, whose envelopes are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Function {
    /// Its folder's name.
    pub(super) name: String,
    /// What invokes it; nothing where there are no files to say so.
    pub(super) trigger: Option<Kind>,
    /// The name of the binding that HTTP is answered by.
    pub(super) output: String,
}

/// What invokes a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A request.
    Http,
    /// A schedule.
    Timer,
    /// Something that has a message.
    Message,
}

impl Layout {
    /// Reads `host.json`, if the host says where it is.
    pub(super) fn read(settings: &AzureSettings) -> Layout {
        let host = settings.root.as_deref().map(|root| read(&root.join("host.json")));
        let is_known = matches!(host, Some(Some(_)));
        let host = host.flatten().unwrap_or_default();
        let handler = member(&host, "customHandler");
        let is_on = |name| member(handler, name).as_bool().unwrap_or_default();
        let is_old = handler.is_null() && !member(&host, "httpWorker").is_null();
        let forwards = settings.forwards
            || is_on("enableForwardingHttpRequest")
            || is_on("enableProxyingHttpRequest")
            || is_old;
        let of_file = member(member(member(&host, "extensions"), "http"), "routePrefix").as_str();
        let of_host = settings.host_prefix.as_deref().or(of_file).unwrap_or(PREFIX);
        let of_host = of_host.trim_matches('/');
        let prefix = settings.prefix.as_deref().unwrap_or(of_host).to_owned();
        let has_prefix = !prefix.is_empty() && !of_host.is_empty();
        Layout {
            sealed: is_known && (has_prefix || !forwards),
            prefix,
            is_old,
            root: settings.root.clone(),
            triggers: settings.triggers.clone(),
        }
    }

    /// The address without the prefix, if it has one. The host does not look at the case of letters.
    pub(super) fn without_prefix(&self, uri: &Uri) -> Option<Uri> {
        let begin = uri.path().strip_prefix('/')?.get(..self.prefix.len())?;
        if self.prefix.is_empty() || !begin.eq_ignore_ascii_case(&self.prefix) {
            return None;
        }
        let rest = uri.path_and_query()?.as_str().get(1 + begin.len()..)?;
        match rest.as_bytes().first() {
            None => Some(Uri::from_static("/")),
            Some(b'/') => rest.parse().ok(),
            Some(b'?') => format!("/{rest}").parse().ok(),
            Some(_) => None,
        }
    }

    /// The function whose envelopes are posted to this path, if it is one's.
    pub(super) fn function(&self, path: &str) -> Option<Function> {
        let name = path.strip_prefix('/')?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=NAME).contains(&name.len()) || !name.chars().all(fits) {
            return None;
        }
        let Some(root) = &self.root else {
            return Some(Function {
                name: name.to_owned(),
                trigger: None,
                output: "res".to_owned(),
            });
        };
        let file = read(&root.join(name).join("function.json"))?;
        let bindings = member(&file, "bindings").as_array()?;
        let kind = |binding: &Value| match member(binding, "type").as_str()?.to_ascii_lowercase() {
            kind if kind == "httptrigger" => Some(Kind::Http),
            kind if kind == "timertrigger" => Some(Kind::Timer),
            kind => kind.ends_with("trigger").then_some(Kind::Message),
        };
        let trigger = bindings.iter().find_map(kind)?;
        if trigger == Kind::Http && self.is_old {
            return None;
        }
        let is_answer =
            |binding: &&Value| member(binding, "type").as_str().is_some_and(|kind| kind == "http");
        let output = bindings.iter().find(is_answer);
        let output = output.and_then(|binding| member(binding, "name").as_str()).unwrap_or("res");
        Some(Function { name: name.to_owned(), trigger: Some(trigger), output: output.to_owned() })
    }
}

/// What a file says, if it is there and can be read.
fn read(path: &Path) -> Option<Value> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        text => text,
    };
    let parsed = text.map_err(|error| error.to_string()).and_then(|text| {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        serde_json::from_slice(text).map_err(|error| error.to_string())
    });
    let say = |error: &String| {
        let path = path.display();
        tracing::warn!(file.path = %path, error, "a file of the function app cannot be read");
    };
    parsed.inspect_err(say).ok()
}

/// A member, whatever the case of its name: the host does not look at it, either.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_object().into_iter().flatten();
    let mut found = members.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map_or(&Value::Null, |(_, value)| value)
}
