//! The pod of a build's worker, as Brigade's controller made it.
//!
//! What differs: it belongs to its build and goes with it, it clones only if it must, it may do
//! less on its node, and it says where the project's Secret is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    LocalObjectReference, Pod, PodSpec, ResourceRequirements, SeccompProfile, SecretKeySelector,
    SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::build::Build;
use crate::build::annotation::TRACEPARENT;
use crate::project::{Notifier, NotifierKind, Project, ScriptLimits};
use crate::settings::Settings;
use crate::trace::TraceContext;

#[cfg(test)]
mod tests;

/// Where the repository is cloned to.
const WORKSPACE: &str = "/vcs";

/// Whether the worker needs the repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clone {
    /// It does, for its script or for what that reads.
    Yes,
    /// Its script came with the build, and reads nothing.
    No,
}

/// The pod that goes on with a build.
pub fn pod(project: &Project, build: &Build, clone: Clone, settings: &Settings) -> Pod {
    let clones = clone == Clone::Yes && !project.vcs_sidecar.is_empty();
    let environment = environment(project, build, settings);
    let trace = TraceContext::of_build(build);
    let (volumes, mounts) = volumes(project, build, clones);
    let image = image(&settings.worker_image, project);
    let pull_policy = or(&project.worker.pull_policy, &settings.worker_pull_policy).to_owned();
    let sidecar = clones.then(|| Container {
        name: "vcs-sidecar".to_owned(),
        image: Some(project.vcs_sidecar.clone()),
        image_pull_policy: Some(pull_policy.clone()),
        env: Some(environment.clone()),
        resources: sidecar_resources(project),
        security_context: Some(confined()),
        volume_mounts: Some(vec![mount("vcs-sidecar", WORKSPACE, false)]),
        ..Container::default()
    });
    let own_command = !project.worker_command.is_empty();
    let runner = Container {
        name: "brigade-runner".to_owned(),
        image: Some(image),
        image_pull_policy: Some(pull_policy),
        command: own_command.then(|| project.worker_command.clone()),
        args: (!own_command).then(|| vec!["run".to_owned()]),
        env: Some([environment, app(project, settings)].concat()),
        security_context: Some(SecurityContext {
            // Brigade's own, which a project may still name, is root's.
            run_as_non_root: is_own(project).then_some(true),
            ..confined()
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let pull_secrets: Vec<LocalObjectReference> = project
        .image_pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    Pod {
        metadata: ObjectMeta {
            name: Some(build.name()),
            namespace: Some(build.namespace.clone()),
            labels: Some(build.labels()),
            owner_references: build.owner().map(|owner| vec![owner]),
            annotations: trace.map(|place| [(TRACEPARENT.to_owned(), place.to_string())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![runner],
            image_pull_secrets: Some(pull_secrets).filter(|all| !all.is_empty()),
            init_containers: sidecar.map(|sidecar| vec![sidecar]),
            node_selector: Some(texts([("kubernetes.io/os", "linux")])),
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(settings.worker_service_account.clone()),
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// What the installation's GitHub App tells GitHub with, in projects that have it told.
///
/// It is the key of all repositories that the App is installed in, so only the installation's own
/// worker has it: no image and no command of a project's, no container that clones, and no job. A
/// script cannot read the environment.
fn app(project: &Project, settings: &Settings) -> Vec<EnvVar> {
    let Some(name) = &settings.app_secret else { return Vec::new() };
    let tells = |notifier: &Notifier| notifier.kind == NotifierKind::Github;
    if !is_own(project) || !project.notifiers.all().iter().any(tells) {
        return Vec::new();
    }
    let mut all = vec![
        secret("APP_ID", name, "APP_ID"),
        secret("APP_KEY", name, "APP_KEY"),
        // For those whom this worker starts.
        text("APP_SECRET", name),
    ];
    if !settings.github_hosts.is_empty() {
        all.push(text("GITHUB_HOSTS", &settings.github_hosts.join(",")));
    }
    all
}

/// Whether the worker is the installation's own, in image and command.
fn is_own(project: &Project) -> bool {
    let worker = &project.worker;
    project.worker_command.is_empty()
        && [&worker.registry, &worker.name, &worker.tag].into_iter().all(String::is_empty)
}

fn environment(project: &Project, build: &Build, settings: &Settings) -> Vec<EnvVar> {
    let event = &build.event;
    let remote = event.clone_url.as_deref().unwrap_or(&project.clone_url);
    let account = or(&project.service_account, &settings.job_service_account);
    let mut all = vec![
        text("CI", "true"),
        text("BRIGADE_BUILD_ID", &build.id.to_string()),
        text("BRIGADE_BUILD_NAME", &build.name()),
        text("BRIGADE_COMMIT_ID", &event.revision.commit),
        text("BRIGADE_COMMIT_REF", &event.revision.reference),
        text("BRIGADE_EVENT_PROVIDER", &event.provider),
        text("BRIGADE_EVENT_TYPE", &event.kind),
        text("BRIGADE_PROJECT_ID", &project.id),
        text("BRIGADE_LOG_LEVEL", event.log_level.name()),
        text("BRIGADE_REMOTE_URL", remote),
        text("BRIGADE_SUBMODULES", &project.init_git_submodules.to_string()),
        text("BRIGADE_WORKSPACE", WORKSPACE),
        text("BRIGADE_PROJECT_NAMESPACE", &build.namespace),
        text("BRIGADE_SERVICE_ACCOUNT", account),
        text("BRIGADE_SECRET_KEY_REF", &project.allow_secret_key_ref.to_string()),
        secret("BRIGADE_REPO_KEY", &project.id, "sshKey"),
        secret("BRIGADE_REPO_SSH_CERT", &project.id, "sshCert"),
        secret("BRIGADE_REPO_AUTH_TOKEN", &project.id, "github.token"),
        text("BRIGADE_DEFAULT_BUILD_STORAGE_CLASS", &settings.build_storage_class),
        text("BRIGADE_DEFAULT_CACHE_STORAGE_CLASS", &settings.cache_storage_class),
        // Where the projects are, which is not where this pod need be.
        text("BRIGADE_NAMESPACE", &project.home),
    ];
    if settings.script_limits != ScriptLimits::default() {
        all.push(text("SCRIPT_LIMITS", &settings.script_limits.to_string()));
    }
    if project.limits.line_up() {
        // Its worker starts those that wait for it.
        all.extend([
            text("BRIGADE_JOB_SERVICE_ACCOUNT", &settings.job_service_account),
            text("BRIGADE_WORKER_IMAGE", &settings.worker_image),
            text("BRIGADE_WORKER_PULL_POLICY", &settings.worker_pull_policy),
            text("BRIGADE_WORKER_SERVICE_ACCOUNT", &settings.worker_service_account),
        ]);
    }
    if !project.notifiers.is_empty() {
        all.extend(settings.notify.variables().iter().map(|(name, value)| text(name, value)));
    }
    if settings.npm_registry != Settings::default().npm_registry {
        all.push(text("NPM_REGISTRY", &settings.npm_registry));
    }
    if let Some(place) = TraceContext::of_build(build).filter(|place| place.sampled) {
        all.push(text("TRACEPARENT", &place.to_string()));
        all.extend(settings.telemetry.variables().iter().map(|(name, value)| text(name, value)));
    }
    for (name, path) in
        [("BRIGADE_SCRIPT", &project.script_path), ("BRIGADE_CONFIG", &project.config_path)]
    {
        if !path.is_empty() && !path.starts_with('/') {
            all.push(text(name, &format!("{WORKSPACE}/{path}")));
        }
    }
    all
}

/// A variable.
pub(crate) fn text(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// A variable that is a key of a Secret, if there is one.
pub(crate) fn secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                key: key.to_owned(),
                name: secret.to_owned(),
                optional: Some(true),
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn volumes(project: &Project, build: &Build, clones: bool) -> (Vec<Volume>, Vec<VolumeMount>) {
    let secret = |name: &str, secret: &str, optional: bool| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            optional: optional.then_some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let elsewhere = project.home != build.namespace;
    let mut volumes = vec![
        secret("brigade-build", &build.name(), false),
        secret("brigade-project", &project.id, elsewhere),
    ];
    let mut mounts = vec![
        mount("brigade-build", "/etc/brigade", true),
        mount("brigade-project", "/etc/brigade-project", true),
    ];
    if clones {
        volumes.push(Volume {
            name: "vcs-sidecar".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
        mounts.push(mount("vcs-sidecar", WORKSPACE, false));
    }
    for (name, map, path) in [
        ("brigade-default-script", &project.default_script_name, "/etc/brigade-default-script"),
        ("brigade-default-config", &project.default_config_name, "/etc/brigade-default-config"),
    ] {
        if !map.is_empty() {
            volumes.push(Volume {
                name: name.to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: map.clone(),
                    optional: Some(true),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            });
            mounts.push(mount(name, path, true));
        }
    }
    (volumes, mounts)
}

/// The worker's image: the installation's, with what the project says instead.
fn image(default: &str, project: &Project) -> String {
    let (name, tag) = match default.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (default, "latest"),
    };
    let worker = &project.worker;
    let (name, tag) = (or(&worker.name, name), or(&worker.tag, tag));
    match worker.registry.as_str() {
        "" => format!("{name}:{tag}"),
        registry => format!("{registry}/{name}:{tag}"),
    }
}

fn sidecar_resources(project: &Project) -> Option<ResourceRequirements> {
    let asked = &project.sidecar_resources;
    let quantities = |cpu: &str, memory: &str| {
        let all: BTreeMap<String, Quantity> = [("cpu", cpu), ("memory", memory)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), Quantity(value.to_owned())))
            .collect();
        Some(all).filter(|all| !all.is_empty())
    };
    let resources = ResourceRequirements {
        limits: quantities(&asked.limits_cpu, &asked.limits_memory),
        requests: quantities(&asked.requests_cpu, &asked.requests_memory),
        ..ResourceRequirements::default()
    };
    (resources != ResourceRequirements::default()).then_some(resources)
}

/// What a worker, which only speaks to the API server, and git, which only writes files, need.
pub(crate) fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

pub(crate) fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    if value.is_empty() { default } else { value }
}
