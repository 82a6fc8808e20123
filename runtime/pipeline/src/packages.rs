//! The packages of npm that a script depends on.
//!
//! `brigade.json` names them, as in Brigade 1.x. What the repository has in its `node_modules` is
//! used as it is; the rest is fetched from a registry, by a worker and never by a function. No
//! package runs anything when it comes: what would have to, is refused.
//!
//! What was chosen is noted on the build, so that a build that goes on elsewhere has the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use runtime::cluster::ClusterError;
use secrecy::SecretString;

use crate::Context;
use crate::output::Printer;

use config::{Vendored, Wanted};
use registry::Registry;
use tree::Chosen;
use unpack::Room;

mod cache;
mod config;
mod integrity;
mod registry;
mod tree;
mod unpack;

#[cfg(test)]
mod tests;

/// Where packages come from, and where they are kept.
#[derive(Clone, Debug)]
pub struct PackageOptions {
    /// The URL of a registry that speaks npm's protocol.
    pub registry: String,
    /// A folder of this process's own: packages stay there, by their content.
    pub folder: PathBuf,
    /// How long the registry may take for one answer.
    pub patience: Duration,
    /// How long all of an installation may take.
    pub time_limit: Duration,
    /// How many bytes may be unpacked for one build.
    pub size_limit: u64,
}

impl Default for PackageOptions {
    fn default() -> PackageOptions {
        PackageOptions {
            registry: "https://registry.npmjs.org".to_owned(),
            folder: PathBuf::from("/tmp/brigantine/packages"),
            patience: Duration::from_secs(60),
            time_limit: Duration::from_secs(600),
            size_limit: 256 << 20,
        }
    }
}

/// The packages of a build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packages {
    pub(crate) mounts: Arc<[Mount]>,
}

/// A package, and where scripts see it.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// `node_modules/a`, `node_modules/a/node_modules/b`.
    pub(crate) at: String,
    pub(crate) folder: PathBuf,
}

/// Why packages are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// The configuration names none that can be.
    #[error("{0}")]
    Config(String),
    /// Which one, and what to do.
    #[error("package {package}: {reason}")]
    Package { package: String, reason: String },
    #[error("packages cannot be kept in {}: {reason}", folder.display())]
    Folder { folder: PathBuf, reason: String },
    #[error("the cluster does not do what the build needs")]
    Cluster(#[from] ClusterError),
}

impl PackageError {
    fn of(package: impl ToString, reason: impl Into<String>) -> PackageError {
        PackageError::Package { package: package.to_string(), reason: reason.into() }
    }
}

/// The annotation that says which packages a build has, where each is.
const CHOSEN: &str = "brigantine.dev/packages";

/// The secret of a project that opens the registry.
const TOKEN: &str = "NPM_TOKEN";

/// How many packages are fetched at once.
const AT_ONCE: usize = 8;

/// The names that are always our own.
const OWN: [&str; 4] =
    ["@brigadecore/brigadier", "@brigadecore/brigadier-polyfill", "brigade", "brigadier"];

/// Whether a worker would fetch packages.
pub(crate) fn may_be_fetched(context: &Context) -> bool {
    let Context { project, build, script, .. } = context;
    let config = build.event.config.as_deref().unwrap_or_default();
    script.workspace.is_some()
        || script.config.is_some()
        || [config, &project.default_config, &project.default_config_name]
            .iter()
            .any(|text| !text.trim().is_empty())
}

/// Whether a worker has to look after what the script depends on, before any of it runs: to fetch
/// it, or to say what is wrong with the file that names it.
pub(crate) async fn are_wanted(context: &Context) -> Result<bool, ClusterError> {
    let config = match config::find(context).await {
        Ok(Some(config)) => config,
        Ok(None) => return Ok(false),
        Err(PackageError::Cluster(error)) => return Err(error),
        Err(_) => return Ok(true),
    };
    let vendored = Vendored::new(context.script.workspace.clone());
    Ok(config::read(&config)
        .map_or(true, |wanted| !wanted.iter().all(|wanted| vendored.has(wanted))))
}

/// Has everything that the build depends on. It is a future of its own on the heap, since few builds
/// need it, and all would have to carry it.
pub(crate) fn install<'a>(
    context: &'a Context,
    printer: &'a Printer,
) -> BoxFuture<'a, Result<Packages, PackageError>> {
    let limit = context.options.packages.time_limit;
    async move {
        match tokio::time::timeout(limit, find(context, printer)).await {
            Ok(installed) => installed,
            Err(_elapsed) => Err(PackageError::Config(format!(
                "the packages did not come within {limit:?}: ask who runs the registry, or vendor them in the repository's node_modules"
            ))),
        }
    }
    .boxed()
}

async fn find(context: &Context, printer: &Printer) -> Result<Packages, PackageError> {
    let Some(config) = config::find(context).await? else {
        say(printer, "no dependencies file found");
        return Ok(Packages::default());
    };
    let wanted = config::read(&config)?;
    if wanted.is_empty() {
        say(printer, "no dependencies to install");
        return Ok(Packages::default());
    }
    let vendored = Vendored::new(context.script.workspace.clone());
    if wanted.iter().all(|wanted| vendored.has(wanted)) {
        say(printer, "all dependencies are in node_modules");
        return Ok(Packages::default());
    }
    let names: Vec<String> = wanted.iter().map(Wanted::to_string).collect();
    say(printer, &format!("installing {}", names.join(", ")));
    fetch(context, printer, &wanted, &vendored).boxed().await
}

/// Says it as Brigade does.
fn say(printer: &Printer, text: &str) {
    printer.console("log", &format!("prestart: {text}"));
}

async fn fetch(
    context: &Context,
    printer: &Printer,
    wanted: &[Wanted],
    vendored: &Vendored,
) -> Result<Packages, PackageError> {
    let options = &context.options.packages;
    let token = context.project.secrets.get(TOKEN).and_then(serde_json::Value::as_str);
    let token = token.filter(|token| !token.is_empty()).map(SecretString::from);
    let registry = Registry::new(options, token)?;
    let noted = context.build.annotations.get(CHOSEN);
    let noted = noted.and_then(|json| serde_json::from_str::<BTreeMap<String, String>>(json).ok());
    let chosen = match &noted {
        Some(noted) => tree::again(&registry, noted).await?,
        None => tree::choose(&registry, wanted, vendored).await?,
    };
    if noted.is_none() {
        let at = chosen.iter().map(|chosen| (chosen.at.clone(), chosen.published.to_string()));
        let at: BTreeMap<String, String> = at.collect();
        let json = serde_json::to_string(&at).unwrap_or_default();
        let notes = BTreeMap::from([(CHOSEN.to_owned(), json)]);
        context.cluster.annotate(&context.build, &notes).await?;
    }
    for wanted in wanted.iter().filter(|wanted| !wanted.is_exact()) {
        let at = format!("node_modules/{}", wanted.name);
        if let Some(taken) = chosen.iter().find(|chosen| chosen.at == at) {
            say(printer, &format!("{wanted} names no exact version, {} is taken", taken.published));
        }
    }
    cache::prepare(&options.folder)?;
    let room = Room::new(options.size_limit);
    let fetches = chosen.into_iter().map(|Chosen { at, published }| {
        let (registry, room) = (&registry, &room);
        async move {
            let folder = cache::fetch(registry, &options.folder, &published, room).await?;
            Ok::<_, PackageError>(Mount { at, folder })
        }
    });
    let mut mounts: Vec<Mount> =
        futures::stream::iter(fetches).buffer_unordered(AT_ONCE).try_collect().await?;
    mounts.sort_by(|left, right| left.at.cmp(&right.at));
    Ok(Packages { mounts: mounts.into() })
}
