//! Which packages there must be, and where: as Node looks for them.
//!
//! A package is put at the top, unless another version of it is there already; then it is put where
//! only the one that needs it finds it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nodejs_semver::{Range, Version};

use super::config::{Vendored, Wanted, check_name};
use super::registry::{Document, Published, Registry};
use super::{OWN, PackageError};

/// How many packages a build may have.
const MOST: usize = 500;

/// How many bytes of what a registry says are kept, to be asked again.
const KEPT: usize = 64 << 20;

/// How long what says which versions are meant may be.
const LONGEST: usize = 256;

/// A package, and where it is to be.
pub(super) struct Chosen {
    pub(super) at: String,
    pub(super) published: Published,
}

/// Chooses packages: for each the highest version that is meant.
pub(super) async fn choose(
    registry: &Registry,
    wanted: &[Wanted],
    vendored: &Vendored,
) -> Result<Vec<Chosen>, PackageError> {
    let mut documents = Documents::new(registry, KEPT);
    let mut placed: BTreeMap<String, Version> = BTreeMap::new();
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut open: VecDeque<Need> = VecDeque::new();
    for wanted in wanted.iter().filter(|wanted| !vendored.has(wanted)) {
        open.push_back(Need { by: String::new(), wanted: wanted.clone() });
    }
    while let Some(Need { by, wanted }) = open.pop_front() {
        if OWN.contains(&wanted.name.as_str()) {
            continue;
        }
        check_name(&wanted.name)?;
        let Spec { package, versions } = Spec::parse(&wanted, &by)?;
        let at = match seen(&placed, vendored, &by, &wanted.name) {
            Some((_, version)) if satisfies(&versions, &version) && !by.is_empty() => continue,
            // Its place is taken by another version.
            Some(_) if !by.is_empty() => format!("{by}/node_modules/{}", wanted.name),
            Some(_) | None => format!("node_modules/{}", wanted.name),
        };
        let published = documents.choose(&package, &versions, &by).await?;
        if chosen.len() >= MOST {
            let reason = format!("a build may have {MOST} packages, and this would be one more");
            return Err(PackageError::of(&published, reason));
        }
        placed.insert(at.clone(), published.version.clone());
        for (name, versions) in &published.dependencies {
            let wanted = Wanted { name: name.clone(), versions: versions.trim().to_owned() };
            open.push_back(Need { by: at.clone(), wanted });
        }
        chosen.push(Chosen { at, published });
    }
    Ok(chosen)
}

/// Has the packages again that were chosen before.
pub(super) async fn again(
    registry: &Registry,
    noted: &BTreeMap<String, String>,
) -> Result<Vec<Chosen>, PackageError> {
    let mut documents = Documents::new(registry, KEPT);
    let mut chosen = Vec::new();
    for (at, package) in noted.iter().take(MOST) {
        let wrong = || PackageError::of(package, "what is noted on the build names no package");
        let (name, version) = package.rsplit_once('@').ok_or_else(wrong)?;
        let parts = at.strip_prefix("node_modules/").ok_or_else(wrong)?;
        for part in parts.split("/node_modules/") {
            check_name(part)?;
        }
        let published = documents.choose(name, version, "").await?;
        chosen.push(Chosen { at: at.clone(), published });
    }
    Ok(chosen)
}

/// A package that another needs, by its place; the build itself is at no place.
struct Need {
    by: String,
    wanted: Wanted,
}

/// Which package is meant: with `npm:`, another than its name says.
struct Spec {
    package: String,
    versions: String,
}

impl Spec {
    fn parse(wanted: &Wanted, by: &str) -> Result<Spec, PackageError> {
        let text = wanted.versions.as_str();
        let wrong = |reason: &str| {
            let needs = if by.is_empty() { String::new() } else { format!(" (needed by {by})") };
            let short: String = wanted.to_string().chars().take(LONGEST).collect();
            Err(PackageError::of(short, format!("{reason}{needs}")))
        };
        if text.len() > LONGEST {
            return wrong("this is too long to say which version is meant");
        }
        if let Some(alias) = text.strip_prefix("npm:") {
            let at = alias.char_indices().skip(1).find(|(_, letter)| *letter == '@');
            let (package, versions) =
                at.map_or((alias, ""), |(at, _)| (&alias[..at], &alias[at + 1..]));
            check_name(package)?;
            return Ok(Spec { package: package.to_owned(), versions: versions.to_owned() });
        }
        if text.contains(':') || text.contains('/') {
            return wrong(
                "only packages of the registry are fetched, by a version: vendor this one in the repository's node_modules",
            );
        }
        Ok(Spec { package: wanted.name.clone(), versions: text.to_owned() })
    }
}

/// What a package finds by a name: the nearest, going up from it.
fn seen(
    placed: &BTreeMap<String, Version>,
    vendored: &Vendored,
    by: &str,
    name: &str,
) -> Option<(String, Version)> {
    let mut folder = by;
    loop {
        let at = match folder {
            "" => format!("node_modules/{name}"),
            folder => format!("{folder}/node_modules/{name}"),
        };
        if let Some(version) = placed.get(&at) {
            return Some((at, version.clone()));
        }
        if folder.is_empty() {
            return vendored.version(name).map(|version| (at, version));
        }
        folder = folder.rfind("/node_modules/").map_or("", |end| &folder[..end]);
    }
}

fn satisfies(versions: &str, version: &Version) -> bool {
    let versions = if matches!(versions, "" | "latest") { "*" } else { versions };
    Range::parse(versions).is_ok_and(|range| range.satisfies(version))
}

/// What the registry has said.
pub(super) struct Documents<'a> {
    registry: &'a Registry,
    known: HashMap<String, Document>,
    /// How many bytes those came in, and how many they may.
    size: usize,
    room: usize,
}

impl Documents<'_> {
    pub(super) fn new(registry: &Registry, room: usize) -> Documents<'_> {
        Documents { registry, known: HashMap::new(), size: 0, room }
    }

    pub(super) async fn choose(
        &mut self,
        name: &str,
        versions: &str,
        by: &str,
    ) -> Result<Published, PackageError> {
        if !self.known.contains_key(name) {
            let document = self.registry.document(name).await;
            let document = document.map_err(|error| needed(error, by))?;
            // What is forgotten is asked for again.
            if self.size + document.size > self.room {
                self.known.clear();
                self.size = 0;
            }
            self.size += document.size;
            self.known.insert(name.to_owned(), document);
        }
        let chosen = self.registry.choose(&self.known[name], versions);
        chosen.map_err(|error| needed(error, by))
    }
}

/// An error that says for which other package this one is needed.
fn needed(error: PackageError, by: &str) -> PackageError {
    match error {
        PackageError::Package { package, reason } if !by.is_empty() => {
            let by = by.rsplit("node_modules/").next().unwrap_or(by);
            PackageError::Package { package, reason: format!("{reason} (needed by {by})") }
        }
        error => error,
    }
}
