//! The event and the project as scripts see them, and the environment of their process.

use std::borrow::Cow;

use runtime::build::Build;
use runtime::job::Policy;
use runtime::project::Project;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};

mod v2;

#[derive(Serialize)]
struct Context<'a> {
    event: Event<'a>,
    project: ProjectView<'a>,
    v2: v2::Event,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "buildID")]
    build_id: String,
    #[serde(rename = "workerID")]
    worker_id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    provider: &'a str,
    #[serde(rename = "cloneURL")]
    clone_url: &'a str,
    revision: &'a runtime::event::Revision,
    log_level: u8,
    payload: Cow<'a, str>,
    /// Only of events that are about an image, since Brigade's events have no such member.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(flatten)]
    image: &'a runtime::event::Image,
    reference: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProjectView<'a> {
    id: &'a str,
    name: &'a str,
    kubernetes: Kubernetes<'a>,
    secrets: Cow<'a, Map<String, Value>>,
    allow_privileged_jobs: bool,
    allow_host_mounts: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo: Option<Repository<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kubernetes<'a> {
    namespace: &'a str,
    build_storage_size: &'a str,
    vcs_sidecar: &'a str,
    #[serde(rename = "vcsSidecarResourcesLimitsCPU")]
    limits_cpu: &'a str,
    #[serde(rename = "vcsSidecarResourcesLimitsMemory")]
    limits_memory: &'a str,
    #[serde(rename = "vcsSidecarResourcesRequestsCPU")]
    requests_cpu: &'a str,
    #[serde(rename = "vcsSidecarResourcesRequestsMemory")]
    requests_memory: &'a str,
    cache_storage_class: &'a str,
    build_storage_class: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Repository<'a> {
    name: &'a str,
    #[serde(rename = "cloneURL")]
    clone_url: Option<&'a str>,
    init_git_submodules: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_cert: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// The event and the project, as JSON.
pub(crate) fn context(project: &Project, build: &Build, policy: &Policy) -> String {
    let event = &build.event;
    let known = !project.repository.is_empty() || !project.clone_url.is_empty();
    let context = Context {
        event: Event {
            build_id: build.id.to_string(),
            worker_id: build.name(),
            kind: &event.kind,
            provider: &event.provider,
            clone_url: clone_url(project, build),
            revision: &event.revision,
            log_level: event.log_level as u8,
            payload: String::from_utf8_lossy(&event.payload),
            image: event.image.as_ref().map(|image| Image { image, reference: image.reference() }),
        },
        v2: v2::event(project, build),
        project: ProjectView {
            id: &project.id,
            name: first(&project.repository, &project.name),
            kubernetes: Kubernetes {
                namespace: &project.namespace,
                build_storage_size: &project.build_storage_size,
                vcs_sidecar: &project.vcs_sidecar,
                limits_cpu: &project.sidecar_resources.limits_cpu,
                limits_memory: &project.sidecar_resources.limits_memory,
                requests_cpu: &project.sidecar_resources.requests_cpu,
                requests_memory: &project.sidecar_resources.requests_memory,
                cache_storage_class: first(
                    &project.cache_storage_class,
                    &policy.cache_storage_class,
                ),
                build_storage_class: first(
                    &project.build_storage_class,
                    &policy.build_storage_class,
                ),
            },
            secrets: secrets(project, build),
            allow_privileged_jobs: project.allow_privileged_jobs,
            allow_host_mounts: project.allow_host_mounts,
            repo: known.then(|| Repository {
                name: &project.name,
                clone_url: Some(project.clone_url.as_str()).filter(|url| !url.is_empty()),
                init_git_submodules: project.init_git_submodules,
                ssh_key: given(project.ssh_key.expose_secret()),
                ssh_cert: given(project.ssh_cert.expose_secret()),
                token: given(project.github_token.expose_secret()),
            }),
        },
    };
    serde_json::to_string(&context).expect("texts, numbers and maps are always JSON")
}

/// The project's secrets, and what its notifiers' settings say for the script of a message, which
/// names them.
fn secrets<'a>(project: &'a Project, build: &Build) -> Cow<'a, Map<String, Value>> {
    if !build.is_message() {
        return Cow::Borrowed(&project.secrets);
    }
    let mut secrets = project.secrets.clone();
    for (name, value) in project.notifiers.written() {
        secrets.insert(name, value.expose_secret().into());
    }
    Cow::Owned(secrets)
}

/// The environment of the script's process, as a worker of Brigade 1.x has it.
pub(crate) fn environment(
    project: &Project,
    build: &Build,
    policy: &Policy,
    workspace: &str,
) -> String {
    let event = &build.event;
    let mut variables: Vec<(&str, String)> = vec![
        ("CI", "true".to_owned()),
        ("BRIGADE_BUILD_ID", build.id.to_string()),
        ("BRIGADE_BUILD_NAME", build.name()),
        ("BRIGADE_COMMIT_ID", event.revision.commit.clone()),
        ("BRIGADE_COMMIT_REF", event.revision.reference.clone()),
        ("BRIGADE_EVENT_PROVIDER", event.provider.clone()),
        ("BRIGADE_EVENT_TYPE", event.kind.clone()),
        ("BRIGADE_PROJECT_ID", project.id.clone()),
        ("BRIGADE_LOG_LEVEL", event.log_level.name().to_owned()),
        ("BRIGADE_REMOTE_URL", clone_url(project, build).to_owned()),
        ("BRIGADE_SUBMODULES", project.init_git_submodules.to_string()),
        ("BRIGADE_WORKSPACE", workspace.to_owned()),
        ("BRIGADE_PROJECT_NAMESPACE", project.namespace.clone()),
        (
            "BRIGADE_SERVICE_ACCOUNT",
            first(&project.service_account, &policy.service_account).to_owned(),
        ),
        ("BRIGADE_SECRET_KEY_REF", project.allow_secret_key_ref.to_string()),
    ];
    for (name, secret) in [
        ("BRIGADE_REPO_KEY", &project.ssh_key),
        ("BRIGADE_REPO_SSH_CERT", &project.ssh_cert),
        ("BRIGADE_REPO_AUTH_TOKEN", &project.github_token),
    ] {
        if let Some(value) = given(secret.expose_secret()) {
            variables.push((name, value.to_owned()));
        }
    }
    variables.push(("BRIGADE_DEFAULT_BUILD_STORAGE_CLASS", policy.build_storage_class.clone()));
    variables.push(("BRIGADE_DEFAULT_CACHE_STORAGE_CLASS", policy.cache_storage_class.clone()));
    let map: Map<String, Value> = variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    Value::Object(map).to_string()
}

fn clone_url<'a>(project: &'a Project, build: &'a Build) -> &'a str {
    first(build.event.clone_url.as_deref().unwrap_or_default(), &project.clone_url)
}

fn first<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
