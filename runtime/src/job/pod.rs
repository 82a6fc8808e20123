//! The Pod of a job, as Brigade 1.x's worker makes it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, HostPathVolumeSource, KeyToPath,
    LocalObjectReference, PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};

use super::{
    CONTAINER, FALLIBLE, Job, JobError, Occasion, Policy, Resources, Sidecar, Variable, cache_name,
    labels,
};
use crate::build::Build;
use crate::build::annotation::TRACEPARENT;
use crate::project::Project;
use crate::trace::TraceContext;

/// What the keys begin with under which a job's Secret keeps copies of the project's credentials.
pub(super) const COPIED: &str = "vcs-sidecar.";

pub(super) const SOURCE: &str = "vcs-sidecar";

const STORAGE: &str = "build-storage";

/// The Pod of a job, if the job may run.
pub fn pod(job: &Job, project: &Project, build: &Build, policy: &Policy) -> Result<Pod, JobError> {
    job.check(project, build, policy)?;
    let privileged = job.privileged && project.allow_privileged_jobs;
    let confined = !project.allow_privileged_jobs
        || !(job.privileged || job.sidecars.iter().any(|sidecar| sidecar.privileged));
    let (volumes, volume_mounts) = volumes(job, project, build);
    let (command, args) = (command(job), Some(job.args.clone()).filter(|args| !args.is_empty()));
    let pull_policy = pull_policy(job.image_force_pull);
    let account = [job.service_account.as_deref().unwrap_or_default(), &project.service_account]
        .into_iter()
        .chain([policy.service_account.as_str()])
        .find(|account| !account.is_empty())
        .map(str::to_owned);
    let trace = TraceContext::of_pod(build, &job.pod_name(build));
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(job.image.clone()),
        image_pull_policy: Some(pull_policy.to_owned()),
        command,
        args,
        env: Some([environment(job, project, build), traced(job, trace)].concat())
            .filter(|env| !env.is_empty()),
        resources: Some(resources(&job.resource_requests, &job.resource_limits)),
        security_context: Some(SecurityContext {
            privileged: privileged.then_some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(volume_mounts).filter(|mounts| !mounts.is_empty()),
        working_dir: job.working_directory.clone(),
        ..Container::default()
    };
    let mut annotations = job.annotations.clone();
    if job.fallible {
        annotations.insert(FALLIBLE.to_owned(), true.to_string());
    }
    if let Some(place) = trace {
        annotations.insert(TRACEPARENT.to_owned(), place.to_string());
    }
    let before = job.source(project).then(|| clone(job, project, build, pull_policy));
    let beside = job.sidecars.iter().map(|each| sidecar(each, job, project, build));
    let init_containers: Vec<Container> = before.into_iter().chain(beside).collect();
    let mut node_selector = job.host.node_selector.clone();
    if let Some(os) = &job.host.os {
        node_selector.insert("kubernetes.io/os".to_owned(), os.clone());
    }
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(job.pod_name(build)),
            namespace: Some(build.namespace.clone()),
            labels: Some(labels(job, build)),
            annotations: Some(annotations).filter(|all| !all.is_empty()),
            owner_references: build.owner().map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            active_deadline_seconds: Some(deadline(job)),
            automount_service_account_token: account.is_none().then_some(false),
            containers: vec![container],
            image_pull_secrets: pull_secrets(job, project),
            init_containers: Some(init_containers).filter(|all| !all.is_empty()),
            node_name: job.host.name.clone(),
            node_selector: Some(node_selector).filter(|labels| !labels.is_empty()),
            restart_policy: Some("Never".to_owned()),
            // A privileged container is not confined anyway.
            security_context: confined.then(|| PodSecurityContext {
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            service_account: account.clone(),
            service_account_name: account,
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        ..Pod::default()
    })
}

/// The project's credentials that clone, by their keys in the project's Secret.
pub(super) fn credentials(project: &Project) -> Vec<(&'static str, &SecretString)> {
    let given = |secret: &SecretString| !secret.expose_secret().is_empty();
    let mut found = Vec::new();
    if given(&project.ssh_key) {
        found.push(("sshKey", &project.ssh_key));
        if given(&project.ssh_cert) {
            found.push(("sshCert", &project.ssh_cert));
        }
    }
    if given(&project.github_token) {
        found.push(("github.token", &project.github_token));
    }
    found
}

/// The key of a job's Secret that holds a copy of a key of the project's.
pub(super) fn copied(key: &str) -> String {
    format!("{COPIED}{key}")
}

/// The job's time limit in whole seconds, as long as Kubernetes takes one.
fn deadline(job: &Job) -> i64 {
    i32::try_from(job.time_limit().div_ceil(1000)).unwrap_or(i32::MAX).into()
}

fn pull_policy(force: bool) -> &'static str {
    if force { "Always" } else { "IfNotPresent" }
}

fn command(job: &Job) -> Option<Vec<String>> {
    if let Some(own) = &job.command {
        return Some(own.clone()).filter(|own| !own.is_empty());
    }
    (!job.tasks.is_empty()).then(|| vec![job.shell().to_owned(), "/hook/main.sh".to_owned()])
}

/// Where the job is in its trace, if somebody is told of that and the job says nothing else.
fn traced(job: &Job, trace: Option<TraceContext>) -> Vec<EnvVar> {
    const NAME: &str = "TRACEPARENT";
    let place =
        trace.filter(|place| place.sampled && !job.env.iter().any(|(name, _)| name == NAME));
    let variable = |place: TraceContext| EnvVar {
        name: NAME.to_owned(),
        value: Some(place.to_string()),
        ..EnvVar::default()
    };
    place.map(variable).into_iter().collect()
}

fn environment(job: &Job, project: &Project, build: &Build) -> Vec<EnvVar> {
    let secret = job.pod_name(build);
    let mut variables = Vec::new();
    for (name, value) in &job.env {
        let variable = match value {
            Variable::Empty => {
                EnvVar { name: name.clone(), value: Some(String::new()), ..EnvVar::default() }
            }
            Variable::Text(_) => from_secret(name, &secret, name, None),
            Variable::From(source)
                if source.secret_key_ref.is_some() && !project.allow_secret_key_ref =>
            {
                continue;
            }
            Variable::From(source) => EnvVar {
                name: name.clone(),
                value_from: Some((**source).clone()),
                ..EnvVar::default()
            },
        };
        variables.push(variable);
    }
    variables
}

fn from_secret(name: &str, secret: &str, key: &str, optional: Option<bool>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn resources(requests: &Resources, limits: &Resources) -> ResourceRequirements {
    let amounts = |resources: &Resources| {
        let pairs = [("cpu", &resources.cpu), ("memory", &resources.memory)];
        let amounts: BTreeMap<String, Quantity> = pairs
            .into_iter()
            .filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount.clone()?))))
            .collect();
        Some(amounts).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        limits: amounts(limits),
        requests: amounts(requests),
        ..ResourceRequirements::default()
    }
}

fn volumes(job: &Job, project: &Project, build: &Build) -> (Vec<Volume>, Vec<VolumeMount>) {
    let secret = job.pod_name(build);
    // A job's name may have dots, a volume's may not.
    let hook = secret.replace('.', "-");
    let copies = job.source(project) && project.home != project.namespace;
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    if job.command.is_none() {
        volumes.push(Volume {
            name: hook.clone(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret),
                // The job itself must not see the copied credentials.
                items: copies.then(|| hook_items(job)),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
        mounts.push(mount(&hook, "/hook"));
    }
    if job.source(project) {
        volumes.push(Volume {
            name: SOURCE.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
        mounts.extend(seen(SOURCE, &job.mount_path));
    }
    if job.cache.enabled {
        let name = cache_name(job, project);
        volumes.push(claimed(&name, &name));
        mounts.push(mount(&name, &job.cache.path));
    }
    if job.storage.enabled {
        volumes.push(claimed(STORAGE, &build.name()));
        mounts.extend(seen(STORAGE, &job.storage.path));
    }
    if job.docker.enabled && project.allow_host_mounts {
        const SOCKET: &str = "/var/run/docker.sock";
        volumes.push(Volume {
            name: "docker-socket".to_owned(),
            host_path: Some(HostPathVolumeSource { path: SOCKET.to_owned(), type_: None }),
            ..Volume::default()
        });
        mounts.push(mount("docker-socket", SOCKET));
    }
    volumes.extend(job.volumes.iter().cloned());
    mounts.extend(job.volume_mounts.iter().cloned());
    (volumes, mounts)
}

fn hook_items(job: &Job) -> Vec<KeyToPath> {
    let script = (!job.tasks.is_empty()).then_some("main.sh");
    let texts = job.env.iter().filter_map(|(name, value)| match value {
        Variable::Text(_) => Some(name.as_str()),
        Variable::Empty | Variable::From(_) => None,
    });
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    script.into_iter().chain(texts).map(item).collect()
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// Where a volume is seen, unless it is not.
fn seen(name: &str, path: &str) -> Option<VolumeMount> {
    (!path.is_empty()).then(|| mount(name, path))
}

fn claimed(name: &str, claim: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    }
}

fn pull_secrets(job: &Job, project: &Project) -> Option<Vec<LocalObjectReference>> {
    let mut names: Vec<&String> = job.image_pull_secrets.iter().collect();
    names.extend(
        project.image_pull_secrets.iter().filter(|name| !job.image_pull_secrets.contains(name)),
    );
    let references: Vec<LocalObjectReference> =
        names.into_iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    Some(references).filter(|references| !references.is_empty())
}

/// A container beside the job's own. As an init container that is always restarted it begins
/// before that one, and the cluster itself ends it after that one.
fn sidecar(sidecar: &Sidecar, job: &Job, project: &Project, build: &Build) -> Container {
    let secret = job.pod_name(build);
    let environment: Vec<EnvVar> = sidecar
        .env
        .iter()
        .map(|(name, _)| from_secret(name, &secret, &sidecar.key(name), None))
        .collect();
    let source = sidecar.source_mount_path.as_ref().filter(|_| job.source(project));
    let storage = sidecar.workspace_mount_path.as_ref().filter(|_| job.storage.enabled);
    let mounts: Vec<VolumeMount> = [(SOURCE, source), (STORAGE, storage)]
        .into_iter()
        .filter_map(|(name, path)| seen(name, path?))
        .collect();
    let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    Container {
        name: sidecar.name.clone(),
        image: Some(sidecar.image.clone()),
        image_pull_policy: Some(pull_policy(sidecar.image_force_pull).to_owned()),
        command: some(&sidecar.command),
        args: some(&sidecar.args),
        env: Some(environment).filter(|all| !all.is_empty()),
        restart_policy: Some("Always".to_owned()),
        security_context: (sidecar.privileged && project.allow_privileged_jobs)
            .then(|| SecurityContext { privileged: Some(true), ..SecurityContext::default() }),
        volume_mounts: Some(mounts).filter(|all| !all.is_empty()),
        working_dir: sidecar.working_directory.clone(),
        ..Container::default()
    }
}

/// The init container that checks the source out.
fn clone(job: &Job, project: &Project, build: &Build, pull_policy: &str) -> Container {
    let event = &build.event;
    let own = Occasion {
        kind: event.kind.clone(),
        provider: event.provider.clone(),
        clone_url: event.clone_url.clone(),
        revision: event.revision.clone(),
    };
    let occasion = job.occasion.as_ref().unwrap_or(&own);
    let clone_url = occasion.clone_url.as_ref().filter(|url| !url.is_empty());
    let values = [
        ("CI", "true".to_owned()),
        ("BRIGADE_BUILD_ID", build.id.to_string()),
        ("BRIGADE_COMMIT_ID", occasion.revision.commit.clone()),
        ("BRIGADE_COMMIT_REF", occasion.revision.reference.clone()),
        ("BRIGADE_EVENT_PROVIDER", occasion.provider.clone()),
        ("BRIGADE_EVENT_TYPE", occasion.kind.clone()),
        ("BRIGADE_PROJECT_ID", project.id.clone()),
        ("BRIGADE_REMOTE_URL", clone_url.unwrap_or(&project.clone_url).clone()),
        ("BRIGADE_WORKSPACE", "/src".to_owned()),
        ("BRIGADE_PROJECT_NAMESPACE", project.namespace.clone()),
        ("BRIGADE_SUBMODULES", project.init_git_submodules.to_string()),
        ("BRIGADE_LOG_LEVEL", event.log_level.name().to_owned()),
    ];
    let mut env: Vec<EnvVar> = values
        .into_iter()
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: Some(value),
            ..EnvVar::default()
        })
        .collect();
    // A pod reads only the Secrets of its own namespace.
    let at_home = project.home == project.namespace;
    let secret = if at_home { project.id.clone() } else { job.pod_name(build) };
    let reference = |name: &str, key: &str, optional: Option<bool>| {
        let key = if at_home { key.to_owned() } else { copied(key) };
        from_secret(name, &secret, &key, optional)
    };
    if !project.ssh_key.expose_secret().is_empty() {
        env.push(reference("BRIGADE_REPO_KEY", "sshKey", None));
        env.push(reference("BRIGADE_REPO_SSH_CERT", "sshCert", Some(true)));
    }
    if !project.github_token.expose_secret().is_empty() {
        env.push(reference("BRIGADE_REPO_AUTH_TOKEN", "github.token", None));
    }
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let own = &project.sidecar_resources;
    Container {
        name: SOURCE.to_owned(),
        image: Some(project.vcs_sidecar.clone()),
        image_pull_policy: Some(pull_policy.to_owned()),
        env: Some(env),
        resources: Some(resources(
            &Resources { cpu: some(&own.requests_cpu), memory: some(&own.requests_memory) },
            &Resources { cpu: some(&own.limits_cpu), memory: some(&own.limits_memory) },
        )),
        volume_mounts: Some(vec![mount(SOURCE, "/src")]),
        ..Container::default()
    }
}
