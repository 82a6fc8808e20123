//! A registry of npm: what there is of a package, and its content.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use nodejs_semver::{Range, Version};
use reqwest::header::{ACCEPT, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::integrity::Integrity;
use super::{PackageError, PackageOptions};

/// How large the answers may be, in bytes.
const LARGEST_DOCUMENT: usize = 32 << 20;
const LARGEST_PACKAGE: usize = 32 << 20;

/// How often something is asked for, and how long it is waited before the second time.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// The registry whose addresses others pass on, and mean themselves.
const PUBLIC: &str = "registry.npmjs.org";

pub(super) struct Registry {
    /// Asks what there is, and takes the answer from nobody else.
    documents: Client,
    /// Fetches packages, from wherever: they are known by their digests.
    packages: Client,
    base: Url,
    token: Option<SecretString>,
}

/// What there is of a package.
#[derive(Debug)]
pub(super) struct Document {
    name: String,
    /// How many bytes it came in.
    pub(super) size: usize,
    tags: HashMap<String, String>,
    versions: HashMap<String, Wire>,
}

/// A version of a package.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) dependencies: BTreeMap<String, String>,
    pub(super) integrity: Integrity,
    tarball: Url,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    dependencies: Option<BTreeMap<String, String>>,
    optional_dependencies: Option<BTreeMap<String, serde_json::Value>>,
    dist: Dist,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dist {
    tarball: String,
    integrity: Option<String>,
    shasum: Option<String>,
}

impl fmt::Display for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.version)
    }
}

impl Registry {
    pub(super) fn new(
        options: &PackageOptions,
        token: Option<SecretString>,
    ) -> Result<Registry, PackageError> {
        let wrong = |reason: &str| PackageError::Config(format!("the registry {reason}"));
        let base = Url::parse(options.registry.trim_end_matches('/'))
            .map_err(|_unparsed| wrong("has a URL that is none"))?;
        if !matches!(base.scheme(), "https" | "http") || base.host_str().is_none() {
            return Err(wrong("must have an https URL"));
        }
        // Installed once for the process; a second time changes nothing.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = |policy| {
            let client = Client::builder()
                .connect_timeout(options.patience.min(Duration::from_secs(10)))
                .timeout(options.patience)
                .redirect(policy);
            client.build().map_err(|error| wrong(&format!("cannot be asked: {error}")))
        };
        let origin = base.origin();
        let own = origin.clone();
        let documents = client(Policy::custom(move |attempt| {
            if attempt.url().origin() == own && attempt.previous().len() < 5 {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }))?;
        let packages = client(Policy::custom(move |attempt| {
            let safe = attempt.url().scheme() == "https" || attempt.url().origin() == origin;
            if safe && attempt.previous().len() < 5 { attempt.follow() } else { attempt.stop() }
        }))?;
        Ok(Registry { documents, packages, base, token })
    }

    /// Asks what there is of a package.
    pub(super) async fn document(&self, name: &str) -> Result<Document, PackageError> {
        super::config::check_name(name)?;
        let wrong = |reason: String| PackageError::of(name, reason);
        let url =
            format!("{}/{}", self.base.as_str().trim_end_matches('/'), name.replace('/', "%2f"));
        let url = Url::parse(&url).map_err(|error| wrong(error.to_string()))?;
        let found = self.get(&self.documents, &url, LARGEST_DOCUMENT).await.map_err(wrong)?;
        let Some(content) = found else {
            return Err(wrong(format!(
                "{} has none of this name: look at how it is written, or vendor it in the repository's node_modules",
                self.host()
            )));
        };
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, rename = "dist-tags")]
            tags: HashMap<String, String>,
            #[serde(default)]
            versions: HashMap<String, Wire>,
        }
        let answer: Answer = serde_json::from_slice(&content).map_err(|error| {
            wrong(format!("{} gave an answer that is not understood: {error}", self.host()))
        })?;
        Ok(Document {
            name: name.to_owned(),
            size: content.len(),
            tags: answer.tags,
            versions: answer.versions,
        })
    }

    /// Fetches a package; its content is what it should be.
    pub(super) async fn package(&self, published: &Published) -> Result<Vec<u8>, PackageError> {
        let wrong = |reason: String| PackageError::of(published, reason);
        let content = self.get(&self.packages, &published.tarball, LARGEST_PACKAGE).await;
        let content = content
            .map_err(wrong)?
            .ok_or_else(|| wrong(format!("{} does not have its content any more", self.host())))?;
        if published.integrity.matches(&content) {
            return Ok(content);
        }
        Err(wrong(
            "what came is not what the registry says it is (its digest differs), so nothing of it is used: try again, and if that does not help, ask who runs the registry".to_owned(),
        ))
    }

    fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Asks until there is an answer; nothing where there is no such thing.
    async fn get(
        &self,
        client: &Client,
        url: &Url,
        largest: usize,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let (reason, passes) = match self.ask(client, url, largest).await {
                Ok(found) => return Ok(found),
                Err(failed) => failed,
            };
            if !passes || attempt == ATTEMPTS {
                return Err(reason);
            }
            #[expect(clippy::disallowed_methods, reason = "whoever is busy is left alone a while")]
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(None)
    }

    /// Asks once; an error says whether it may pass.
    async fn ask(
        &self,
        client: &Client,
        url: &Url,
        largest: usize,
    ) -> Result<Option<Vec<u8>>, (String, bool)> {
        let host = url.host_str().unwrap_or_default();
        let mut request = client
            .get(url.clone())
            .header(
                ACCEPT,
                "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
            )
            .header(USER_AGENT, "brigantine");
        if let Some(token) = &self.token
            && url.origin() == self.base.origin()
        {
            request = request.bearer_auth(token.expose_secret());
        }
        let away = |error: reqwest::Error| {
            let what = if error.is_timeout() { "did not answer in time" } else { "is unreachable" };
            (format!("{host} {what}"), true)
        };
        let mut answer = request.send().await.map_err(away)?;
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let text = format!(
                    "{host} answered {}: give the project a secret NPM_TOKEN that may read it",
                    status.as_u16()
                );
                return Err((text, false));
            }
            _ if status.is_redirection() => {
                let text = format!("{host} sent us elsewhere, where we do not go");
                return Err((text, false));
            }
            _ => {
                let passes = status.is_server_error()
                    || matches!(
                        status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    );
                return Err((format!("{host} answered {}", status.as_u16()), passes));
            }
        }
        let mut content = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if content.len() + chunk.len() > largest {
                return Err((format!("{host} sent more than {largest} bytes"), false));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(Some(content))
    }

    /// Where a package is to be had: not where the public registry has it, if this is another.
    fn tarball(&self, text: &str) -> Option<Url> {
        let mut url = Url::parse(text).ok()?;
        if url.host_str() == Some(PUBLIC) && self.host() != PUBLIC {
            let path = format!("{}{}", self.base.path().trim_end_matches('/'), url.path());
            url = self.base.join(&path).ok()?;
        }
        let safe = url.scheme() == "https" || url.origin() == self.base.origin();
        safe.then_some(url)
    }

    /// A version of a package, as it is needed to fetch it.
    fn published(&self, document: &Document, version: Version) -> Result<Published, PackageError> {
        let package = format!("{}@{version}", document.name);
        let wire = &document.versions[&version.to_string()];
        let integrity = wire.dist.integrity.as_deref().and_then(Integrity::parse);
        let integrity = integrity.or_else(|| wire.dist.shasum.as_deref().and_then(Integrity::sha1));
        let integrity = integrity.ok_or_else(|| {
            let reason = "the registry gives no digest for it, so it cannot be trusted: vendor it in the repository's node_modules";
            PackageError::of(&package, reason)
        })?;
        let tarball = self.tarball(&wire.dist.tarball).ok_or_else(|| {
            PackageError::of(&package, "the registry says of it no https URL to fetch it from")
        })?;
        let optional = wire.optional_dependencies.as_ref();
        let needed = |name: &String| optional.is_none_or(|optional| !optional.contains_key(name));
        let dependencies = wire.dependencies.iter().flatten();
        let dependencies = dependencies
            .filter(|(name, _)| needed(name))
            .map(|(name, versions)| (name.clone(), versions.clone()));
        Ok(Published {
            name: document.name.clone(),
            dependencies: dependencies.collect(),
            integrity,
            tarball,
            version,
        })
    }

    /// The highest version that is meant: by a version, a range, or a tag.
    pub(super) fn choose(
        &self,
        document: &Document,
        versions: &str,
    ) -> Result<Published, PackageError> {
        let package = format!("{}@{versions}", document.name);
        let tag = if versions.is_empty() { "latest" } else { versions };
        if let Some(version) = document.tags.get(tag)
            && document.versions.contains_key(version)
            && let Ok(version) = Version::parse(version)
        {
            return self.published(document, version);
        }
        let range = Range::parse(tag).map_err(|_unparsed| {
            PackageError::of(&package, "this is neither a version, nor a range, nor a tag of it: write a version such as 1.2.3")
        })?;
        let all = document.versions.keys().filter_map(|text| {
            // Only what is written as it is read can be found again.
            Version::parse(text).ok().filter(|version| version.to_string() == *text)
        });
        let highest = all.filter(|version| range.satisfies(version)).max();
        match highest {
            Some(version) => self.published(document, version),
            None => {
                let latest = document.tags.get("latest").map_or("none", String::as_str);
                let reason = format!("{} has no such version; the latest is {latest}", self.host());
                Err(PackageError::of(&package, reason))
            }
        }
    }
}
