//! A function app's files: `host.json`, and the `function.json` of each function.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{Failure, Mode};

/// What the files of an app and its settings say.
#[derive(Debug)]
pub(super) struct App {
    /// What the paths of all functions begin with, without slashes around it.
    pub(super) prefix: String,
    pub(super) mode: Mode,
    /// The functions, those first whose routes say most.
    pub(super) functions: Vec<Function>,
}

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The name of what it is invoked with.
    pub(super) input: String,
    /// The name of the output that is an answer of HTTP, if there is one.
    pub(super) output: Option<String>,
    /// The names of all its outputs and inputs are these two alone.
    pub(super) is_http_only: bool,
    pub(super) is_anonymous: bool,
    /// In upper case; all, if there are none.
    pub(super) methods: Vec<String>,
    route: Vec<Part>,
}

/// What invokes a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Http,
    Timer,
    Other,
}

/// A part of a route.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    /// `{*name}`: all that follows.
    Rest(String),
    /// `{name?}`
    Optional(String),
    /// `{name}`
    Any(String),
    /// Itself, in any case.
    Word(String),
}

impl App {
    /// Reads the files. The settings win, as `AzureFunctionsJobHost__a__b`.
    pub(super) fn read(folder: &Path, settings: &[(String, String)]) -> Result<App, Failure> {
        let host = read(&folder.join("host.json"))?;
        let setting = |path: &[&str]| {
            let name = format!("AzureFunctionsJobHost__{}", path.join("__"));
            let found = settings.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(&name));
            match found {
                Some((_, value)) => Some(value.clone()),
                None => match path.iter().fold(&host, |value, name| member(value, name)) {
                    Value::String(text) => Some(text.clone()),
                    Value::Bool(truth) => Some(truth.to_string()),
                    _ => None,
                },
            }
        };
        let is_on = |name| {
            setting(&["customHandler", name])
                .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        if member(&host, "customHandler").is_null() {
            return Err(Failure("host.json has no customHandler".to_owned()));
        }
        let prefix = setting(&["extensions", "http", "routePrefix"]);
        let mut functions = Vec::new();
        let entries = fs::read_dir(folder).map_err(|error| unread(folder, &error))?;
        for entry in entries {
            let file = entry.map_err(|error| unread(folder, &error))?.path();
            if file.join("function.json").is_file() {
                functions.push(Function::read(&file)?);
            }
        }
        // Words before names before all that follows, as ASP.NET's routing has it.
        functions.sort_by(|a, b| (Reverse(&a.route), &a.name).cmp(&(Reverse(&b.route), &b.name)));
        Ok(App {
            prefix: prefix.unwrap_or_else(|| "api".to_owned()).trim_matches('/').to_owned(),
            mode: match (is_on("enableProxyingHttpRequest"), is_on("enableForwardingHttpRequest")) {
                (true, _) => Mode::Proxying,
                (false, true) => Mode::Forwarding,
                (false, false) => Mode::Enveloping,
            },
            functions,
        })
    }

    /// The function that a request is for, and what its route names.
    pub(super) fn function(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(&Function, Map<String, Value>)> {
        let mut rest: Vec<&str> = path.split('/').skip(1).collect();
        if rest.last() == Some(&"") {
            rest.pop();
        }
        let prefix: Vec<&str> = self.prefix.split('/').filter(|part| !part.is_empty()).collect();
        let begins = rest.len() >= prefix.len()
            && prefix.iter().zip(&rest).all(|(a, b)| a.eq_ignore_ascii_case(b));
        let rest = rest.get(prefix.len()..).filter(|_| begins)?;
        let takes = |function: &&Function| {
            let methods = &function.methods;
            function.kind == Kind::Http
                && (methods.is_empty() || methods.iter().any(|known| known == method))
        };
        let mut functions = self.functions.iter().filter(takes);
        functions.find_map(|function| Some((function, matched(&function.route, rest)?)))
    }
}

impl Function {
    fn read(folder: &Path) -> Result<Function, Failure> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = read(&folder.join("function.json"))?;
        let wrong = |what: &str| Failure(format!("{name}/function.json {what}"));
        let bindings =
            member(&file, "bindings").as_array().ok_or_else(|| wrong("has no bindings"))?;
        let text = |binding: &Value, name: &str| {
            member(binding, name).as_str().unwrap_or_default().to_owned()
        };
        let kind_of = |binding: &Value| text(binding, "type").to_ascii_lowercase();
        let trigger = bindings.iter().find(|binding| kind_of(binding).ends_with("trigger"));
        let trigger = trigger.ok_or_else(|| wrong("has no trigger"))?;
        let kind = match kind_of(trigger).as_str() {
            "httptrigger" => Kind::Http,
            "timertrigger" => Kind::Timer,
            _ => Kind::Other,
        };
        let output = bindings.iter().find(|binding| kind_of(binding) == "http");
        let methods = member(trigger, "methods").as_array().into_iter().flatten();
        let route = match member(trigger, "route").as_str() {
            Some(route) => route.trim_matches('/').to_owned(),
            None => name.clone(),
        };
        Ok(Function {
            kind,
            input: text(trigger, "name"),
            output: output.map(|binding| text(binding, "name")),
            is_http_only: bindings.len() == 2 && kind == Kind::Http && output.is_some(),
            is_anonymous: text(trigger, "authLevel").eq_ignore_ascii_case("anonymous"),
            methods: methods.filter_map(Value::as_str).map(str::to_ascii_uppercase).collect(),
            route: route.split('/').filter(|part| !part.is_empty()).map(Part::read).collect(),
            name,
        })
    }
}

impl Part {
    fn read(text: &str) -> Part {
        let inner = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
        let Some(inner) = inner else { return Part::Word(text.to_owned()) };
        // What a value must look like is not looked at.
        let name = |inner: &str| inner.split([':', '=', '?']).next().unwrap_or_default().to_owned();
        match inner.trim_start_matches('*') {
            rest if rest.len() < inner.len() => Part::Rest(name(rest)),
            inner if inner.ends_with('?') => Part::Optional(name(inner)),
            inner => Part::Any(name(inner)),
        }
    }
}

fn matched(route: &[Part], path: &[&str]) -> Option<Map<String, Value>> {
    let decoded = |text: &str| Value::from(percent_decode_str(text).decode_utf8_lossy());
    let mut named = Map::new();
    let mut path = path.iter();
    for part in route {
        match part {
            Part::Rest(name) => {
                let rest: Vec<&str> = path.by_ref().copied().collect();
                if !rest.is_empty() {
                    named.insert(name.clone(), decoded(&rest.join("/")));
                }
            }
            Part::Optional(name) => {
                if let Some(text) = path.next() {
                    named.insert(name.clone(), decoded(text));
                }
            }
            Part::Any(name) => {
                named.insert(name.clone(), decoded(path.next()?));
            }
            Part::Word(word) => {
                path.next().filter(|text| text.eq_ignore_ascii_case(word))?;
            }
        }
    }
    path.next().is_none().then_some(named)
}

/// A member, whatever the case of its name.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_object().into_iter().flatten();
    let mut found = members.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map_or(&Value::Null, |(_, value)| value)
}

fn read(path: &Path) -> Result<Value, Failure> {
    let text = fs::read(path).map_err(|error| unread(path, &error))?;
    serde_json::from_slice(&text).map_err(|error| unread(path, &error))
}

fn unread(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure(format!("{} cannot be read: {error}", path.display()))
}
