//! The chart `brigantine-project` makes the Secret that the reader of values makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use runtime::project::{Project, values};
use serde_json::Value;

use super::charts::{helm, objects, template};
use super::{printed, refused, root};

/// What the chart makes of a values file.
fn secret(file: &Path) -> Option<Secret> {
    let file = file.display().to_string();
    let text = printed(&mut template(
        helm()?,
        "ship",
        "brigantine-project",
        &["--values", &file, "--show-only", "templates/secret.yaml"],
    ));
    let object = objects(&text).into_iter().next().expect("the chart makes a Secret");
    Some(serde_json::from_value(object).expect("it is a Secret"))
}

/// A Secret's keys, with what is JSON as JSON, whose numbers are written in many ways; and what the
/// annotations say.
fn contents(secret: &Secret) -> BTreeMap<String, Value> {
    let data = secret.data.iter().flatten().map(|(key, value)| {
        let text = String::from_utf8(value.0.clone()).expect("it is text");
        let json = matches!(key.as_str(), "secrets" | "hooks" | "notifiers");
        let parsed = if json { serde_json::from_str(&text).ok() } else { None };
        (key.clone(), parsed.unwrap_or(Value::String(text)))
    });
    let annotations = secret.metadata.annotations.iter().flatten();
    let annotations = annotations.filter(|(name, _)| !name.starts_with("meta.helm.sh/"));
    data.chain(annotations.map(|(name, value)| (format!("@{name}"), value.as_str().into())))
        .collect()
}

/// The chart's project is the reader's, once it is read.
fn check(file: &Path) {
    let Some(made) = secret(file) else { return };
    let text = fs::read_to_string(file).unwrap();
    let (project, _) = values::read(&text, "ci").unwrap();
    let read = Project::from_secret(&made).unwrap();
    assert_eq!(contents(&read.secret()), contents(&project.secret()), "{}", file.display());
    assert_eq!(made.metadata.name.as_ref(), Some(&project.id));
    assert_eq!(made.type_, project.secret().type_);
    let labels = made.metadata.labels.unwrap();
    for (label, value) in project.secret().metadata.labels.unwrap() {
        assert_eq!(labels.get(&label), Some(&value), "{label} of {}", file.display());
    }
}

#[test]
fn the_chart_makes_the_secret_that_the_reader_makes() {
    let projects = fs::read_dir(root().join("tests/projects")).unwrap();
    let mut files: Vec<PathBuf> =
        projects.map(|entry| entry.unwrap().path().join("project.yaml")).collect();
    files.push(root().join("emulator/demo/project.yaml"));
    let values = fs::read_dir(root().join("tests/infra/projects")).unwrap();
    files.extend(values.map(|entry| entry.unwrap().path()));
    for file in files {
        check(&file);
    }
}

#[test]
fn the_chart_refuses_what_the_reader_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    for (yaml, words) in [
        ("repository: x", "the values name no project"),
        ("project: a\nsecrets: [1]", "secrets"),
        ("project: a\nsecrets: '{'", "secrets"),
        ("project: a\nsecrets: '[1]'", "secrets"),
        ("project: a\nallowHostMounts: perhaps", "allowHostMounts"),
        ("project: a\nworker: {tag: [1]}", "worker/tag"),
        ("project: a\nlimits: {maxBuilds: -1}", "limits/maxBuilds"),
        ("project: a\nlimits: {scriptTime: soon}", "limits/scriptTime"),
        ("project: a\nlimits: {supersede: perhaps}", "limits/supersede"),
        ("project: a\nkubernetes: {allowSecretKeyRef: perhaps}", "allowSecretKeyRef"),
        ("project: a\nkubernetes: {eventFilters: [{kinds: Pod}]}", "eventFilters"),
        ("project: a\nkubernetes: {eventFilters: '{'}", "kubernetes.eventFilters is not JSON"),
        ("project: a\nhooks: [{name: Shop, event: x}]", "hooks/0/name"),
        ("project: a\nhooks: [{name: shop}]", "missing property 'event'"),
        ("project: a\nhooks: [{name: shop, event: x, secret: S}]", "not the key of a text"),
        ("project: a\nhooks: [{name: shop, event: x, proof: md5}]", "hooks/0/proof"),
        ("project: a\nhooks: '['", "hooks is not JSON"),
        ("project: a\nnotifiers: [{kind: pigeon}]", "notifiers/0/kind"),
        ("project: a\nnotifiers: [{kind: slack}, {kind: slack}]", "is there twice"),
        ("project: a\nnotifiers: [{kind: slack, window: 601}]", "notifiers/0/window"),
        (
            "project: a\nnotifiers: [{kind: slack, settings: {SLACK_WEBHOOK: {secret: NO}}}]",
            "no secret of the project",
        ),
    ] {
        fs::write(&file, yaml).unwrap();
        assert!(values::read(yaml, "ci").is_err(), "the reader takes {yaml:?}");
        let Some(helm) = helm() else { return };
        let name = file.display().to_string();
        let arguments = ["--values", name.as_str()];
        let error = refused(&mut template(helm, "ship", "brigantine-project", &arguments));
        assert!(error.contains(words), "{yaml:?}: {error}");
    }
}
