//! Stands in for `docker:dind`: enough of `dockerd` and `docker` to build, log in and push.
//!
//! It builds nothing and says so: an image is the digest of its context. The daemon is a file with
//! what it knows, so that `docker` fails until `dockerd` runs, as the real one does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Where the daemon keeps what it knows, beside where the real one has its socket.
const STATE: &str = "/tmp/stand-in-dockerd.json";

/// What the daemon knows.
#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    /// The digests of images, by reference.
    images: BTreeMap<String, String>,
    /// The users, by registry.
    logins: BTreeMap<String, String>,
}

/// Runs until it is killed.
pub async fn dockerd(out: &mut impl Write) -> Result<()> {
    writeln!(out, "stand-in for dockerd: no daemon runs, docker build and push only pretend")?;
    save(&State::default())?;
    std::future::pending().await
}

/// Runs one command of `docker`.
pub async fn docker(
    arguments: &[String],
    variable: impl Fn(&str) -> Option<String>,
    out: &mut impl Write,
) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["version" | "info" | "ps", ..] => {
            load()?;
            writeln!(out, "stand-in for docker: its daemon answers")?;
        }
        ["images", ..] => {
            for (image, digest) in load()?.images {
                writeln!(out, "{image} {digest}")?;
            }
        }
        ["build", rest @ ..] | ["buildx", "build", rest @ ..] => build(rest, out)?,
        ["tag", from, to] => {
            let mut state = load()?;
            let digest = state.images.get(*from).cloned();
            let digest = digest.with_context(|| format!("no such image: {from}"))?;
            state.images.insert((*to).to_owned(), digest);
            save(&state)?;
        }
        ["login", rest @ ..] => login(rest, out)?,
        ["push", image] => push(image, variable, out).await?,
        _ => bail!(
            "the stand-in for docker knows version, info, ps, images, build, tag, login and push; \
             for the rest, run the pod in a real cluster (--cluster)"
        ),
    }
    Ok(())
}

fn load() -> Result<State> {
    let text = fs::read(STATE).ok().context(
        "Cannot connect to the Docker daemon (stand-in): is dockerd running? \
         Start dockerd-entrypoint.sh in the background first",
    )?;
    serde_json::from_slice(&text).context("what the daemon knows is damaged")
}

fn save(state: &State) -> Result<()> {
    let text = serde_json::to_vec(state)?;
    let draft = format!("{STATE}.draft");
    fs::write(&draft, text)?;
    fs::rename(&draft, STATE).context("writing what the daemon knows")
}

fn build(arguments: &[&str], out: &mut impl Write) -> Result<()> {
    let mut state = load()?;
    let (mut tags, mut file, mut context) = (Vec::<&str>::new(), None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-t" | "--tag" => tags.extend(rest.next().copied()),
            "-f" | "--file" => file = rest.next(),
            "--build-arg" | "--label" | "--network" | "--platform" | "--target" => {
                rest.next();
            }
            option if option.starts_with('-') => {}
            folder => context = Some(folder),
        }
    }
    let context = PathBuf::from(context.context("docker build needs a context, a folder")?);
    let file = file.map_or(context.join("Dockerfile"), PathBuf::from);
    let text = fs::read_to_string(&file)
        .with_context(|| format!("failed to read dockerfile: open {}", file.display()))?;
    let steps: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    for (number, step) in (1..).zip(&steps) {
        writeln!(out, "Step {number}/{} : {step}", steps.len())?;
    }
    let mut digest = Sha256::new();
    add(&context, &mut digest)?;
    let digest = format!("sha256:{}", hex::encode(digest.finalize()));
    writeln!(out, "stand-in for docker: nothing was built, {digest} is the context's digest")?;
    for tag in tags {
        state.images.insert(tag.to_owned(), digest.clone());
        writeln!(out, "Successfully tagged {tag}")?;
    }
    save(&state)
}

/// Adds the files of a folder, in the order of their names.
fn add(folder: &Path, digest: &mut Sha256) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        if path.is_dir() {
            add(&path, digest)?;
        } else if path.is_file() {
            digest.update(fs::read(&path)?);
        }
    }
    Ok(())
}

fn login(arguments: &[&str], out: &mut impl Write) -> Result<()> {
    let mut state = load()?;
    let (mut user, mut password, mut registry) = (None, None, "docker.io");
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "-u" | "--username" => user = rest.next().copied(),
            "-p" | "--password" => password = rest.next().map(|word| (*word).to_owned()),
            "--password-stdin" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                password = Some(text.trim_end().to_owned());
            }
            host => registry = host,
        }
    }
    let user = user.filter(|user| !user.is_empty()).context("docker login needs a user")?;
    if password.is_none_or(|password| password.is_empty()) {
        bail!("docker login needs a password");
    }
    state.logins.insert(registry.to_owned(), user.to_owned());
    save(&state)?;
    writeln!(out, "Login Succeeded (stand-in: any password would have)")?;
    Ok(())
}

async fn push(
    image: &str,
    variable: impl Fn(&str) -> Option<String>,
    out: &mut impl Write,
) -> Result<()> {
    let state = load()?;
    let digest = state.images.get(image).with_context(|| {
        format!("An image does not exist locally with the tag: {image}; build it first")
    })?;
    let (registry, repository, tag) = reference(image);
    let user = state.logins.get(&registry);
    let user = user.with_context(|| {
        format!("denied: nobody has logged in to {registry}; run docker login {registry}")
    })?;
    let emulator = variable(super::URL_VARIABLE).context("no emulator is near")?;
    writeln!(out, "The push refers to repository [{registry}/{repository}]")?;
    let body = json!({
        "registry": registry, "repository": repository, "tag": tag, "digest": digest, "user": user,
        "pod": variable("HOSTNAME"),
    });
    let answer = crate::replay::client()?.post(format!("{emulator}/registry")).json(&body).send();
    let answer =
        answer.await.map_err(reqwest::Error::without_url).context("no answer from the registry")?;
    let status = answer.status();
    let text = answer.text().await.context("reading the registry's answer")?;
    if !status.is_success() {
        bail!("the registry refused the push: {} {text}", status.as_u16());
    }
    writeln!(out, "{tag}: digest: {digest} (stand-in: {text})")?;
    Ok(())
}

/// Splits an image's reference as Docker does: registry, repository, tag.
fn reference(image: &str) -> (String, String, String) {
    let (registry, rest) = match image.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", image),
    };
    let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    (registry.to_owned(), repository.to_owned(), tag.to_owned())
}

#[test]
fn an_images_registry_is_what_looks_like_a_host() {
    for (image, registry, repository, tag) in [
        ("voyage.azurecr.io/voyage:1", "voyage.azurecr.io", "voyage", "1"),
        ("localhost:5000/a/b", "localhost:5000", "a/b", "latest"),
        ("acme/app:2", "docker.io", "acme/app", "2"),
        ("app", "docker.io", "app", "latest"),
    ] {
        let parts = (registry.to_owned(), repository.to_owned(), tag.to_owned());
        assert_eq!(reference(image), parts);
    }
}
