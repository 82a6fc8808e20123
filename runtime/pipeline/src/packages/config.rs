//! What a build depends on: `brigade.json`, and what the repository has of it.

use std::fmt;
use std::path::PathBuf;

use nodejs_semver::{Range, Version};
use serde_json::{Map, Value};

use super::{OWN, PackageError};
use crate::Context;
use crate::script::read_file;

/// A package that is depended on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// What it is required as.
    pub(super) name: String,
    /// Which versions: a version, a range, a tag, or `npm:` and another package.
    pub(super) versions: String,
}

/// A file that names dependencies, and its text.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) text: String,
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.versions)
    }
}

impl Wanted {
    pub(super) fn is_exact(&self) -> bool {
        Version::parse(&self.versions).is_ok()
    }
}

/// The first of these that there is: the file that the project names, what the event has, the
/// repository's, the project's own, that of the ConfigMap.
pub(super) async fn find(context: &Context) -> Result<Option<Config>, PackageError> {
    let Context { cluster, project, build, script, .. } = context;
    let file = |path: &str| {
        let folder = script.workspace.as_deref()?;
        read_file(folder, path).ok().flatten().map(|text| Config { name: path.to_owned(), text })
    };
    let text = |name: &str, text: &str| {
        let there = !text.trim().is_empty();
        there.then(|| Config { name: name.to_owned(), text: text.to_owned() })
    };
    let named = Some(project.config_path.as_str()).filter(|path| !path.is_empty()).and_then(file);
    let of_event = build.event.config.as_deref().unwrap_or_default();
    let found = named
        .or_else(|| text("the configuration of the event", of_event))
        .or_else(|| file("brigade.json"))
        // Where a script of Brigade 2 has them.
        .or_else(|| {
            let second = script.name.starts_with(".brigade/");
            second.then(|| file(".brigade/package.json")).flatten()
        })
        .or_else(|| script.config.clone().map(|(name, text)| Config { name, text }))
        .or_else(|| text("the project's defaultConfig", &project.default_config));
    if found.is_some() || project.default_config_name.is_empty() {
        return Ok(found);
    }
    let map = &project.default_config_name;
    let config = cluster.config_map(&project.namespace, map, "brigade.json").await?;
    Ok(config.and_then(|config| text(&format!("the ConfigMap {map}"), &config)))
}

/// The dependencies, in the order of their names; without those that are always ours.
pub(super) fn read(config: &Config) -> Result<Vec<Wanted>, PackageError> {
    let name = &config.name;
    let wrong = |reason: String| PackageError::Config(format!("{name} {reason}"));
    let text = config.text.strip_prefix('\u{feff}').unwrap_or(&config.text);
    let value: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("is no JSON: {error}")))?;
    let none = Map::new();
    let dependencies = match value.get("dependencies") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(all)) => all,
        Some(_) => {
            return Err(wrong("has dependencies that are no object of names and versions".into()));
        }
    };
    let mut wanted = Vec::new();
    for (package, versions) in dependencies {
        let versions = versions.as_str().ok_or_else(|| {
            wrong(format!("gives package {package} a version that is no text, such as \"1.2.3\""))
        })?;
        if OWN.contains(&package.as_str()) {
            continue;
        }
        check_name(package)?;
        wanted.push(Wanted { name: package.clone(), versions: versions.trim().to_owned() });
    }
    wanted.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(wanted)
}

/// Refuses what is no name of a package: it becomes part of paths and URLs.
pub(super) fn check_name(name: &str) -> Result<(), PackageError> {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_'])
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._~".contains(letter))
    };
    let valid = match name.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name))
        }
        None => part(name),
    };
    if valid && name.len() <= 214 && name != "node_modules" {
        return Ok(());
    }
    Err(PackageError::of(format!("{name:?}"), "this is no name of a package"))
}

/// What the repository has in its `node_modules`.
pub(super) struct Vendored(Option<PathBuf>);

impl Vendored {
    pub(super) fn new(workspace: Option<PathBuf>) -> Vendored {
        Vendored(workspace)
    }

    /// The version of a package, if there is one.
    pub(super) fn version(&self, name: &str) -> Option<Version> {
        check_name(name).ok()?;
        let manifest =
            read_file(self.0.as_deref()?, &format!("node_modules/{name}/package.json")).ok()??;
        let manifest: Value = serde_json::from_str(&manifest).ok()?;
        Version::parse(manifest.get("version")?.as_str()?).ok()
    }

    pub(super) fn has(&self, wanted: &Wanted) -> bool {
        let range = Range::parse(&wanted.versions);
        self.version(&wanted.name)
            .is_some_and(|version| range.is_ok_and(|range| range.satisfies(&version)))
    }
}
