//! What a job may ask for: the line between a script and everything that is not its project's.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Volume;

use super::{CONTAINER, Job, JobError, MAX_NAME, Policy, Variable};
use crate::build::Build;
use crate::project::Project;

pub(super) fn job(
    job: &Job,
    project: &Project,
    build: &Build,
    policy: &Policy,
) -> Result<Vec<String>, JobError> {
    if !is_name(&job.name) {
        return Err(JobError::Name);
    }
    let mut warnings = Vec::new();
    for (name, value) in &job.env {
        if !is_variable(name) {
            return Err(JobError::Variable { job: job.name.clone(), name: name.clone() });
        }
        if let Variable::From(source) = value
            && source.secret_key_ref.is_some()
            && !project.allow_secret_key_ref
        {
            warnings.push(format!(
                "Using secretKeyRef is not allowed in this project, not setting environment variable {name}"
            ));
        }
    }
    check_sidecars(job)?;
    for volume in &job.volumes {
        check_volume(volume, project, build)?;
    }
    for mount in &job.volume_mounts {
        if !job.volumes.iter().any(|volume| volume.name == mount.name) {
            return Err(JobError::UnknownVolume(mount.name.clone()));
        }
    }
    if let Some(account) = &job.service_account
        && !allows(account, project, policy)
    {
        return Err(JobError::ServiceAccount { job: job.name.clone(), account: account.clone() });
    }
    for (what, value) in [
        ("processor limit", &job.resource_limits.cpu),
        ("memory limit", &job.resource_limits.memory),
        ("processor request", &job.resource_requests.cpu),
        ("memory request", &job.resource_requests.memory),
        ("cache size", &job.cache.enabled.then(|| job.cache.size.clone())),
    ] {
        if let Some(value) = value
            && !is_quantity(value)
        {
            let (job, value) = (job.name.clone(), value.clone());
            return Err(JobError::Quantity { job, what, value });
        }
    }
    if job.privileged && !project.allow_privileged_jobs {
        warnings.push(format!(
            "allowPrivilegedJobs is false in this project, job {} is not privileged",
            job.name
        ));
    }
    for sidecar in job.sidecars.iter().filter(|sidecar| sidecar.privileged) {
        if !project.allow_privileged_jobs {
            warnings.push(format!(
                "allowPrivilegedJobs is false in this project, sidecar {} of job {} is not privileged",
                sidecar.name, job.name
            ));
        }
    }
    if job.docker.enabled && !project.allow_host_mounts {
        warnings.push(format!(
            "allowHostMounts is false in this project, job {} gets no Docker socket",
            job.name
        ));
    }
    Ok(warnings)
}

fn is_name(name: &str) -> bool {
    let edge = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|letter| edge(letter) || letter == '-' || letter == '.')
}

/// Names are those of containers, and nobody's environment is kept where another's is.
fn check_sidecars(job: &Job) -> Result<(), JobError> {
    let mut taken = BTreeSet::from([CONTAINER, super::pod::SOURCE]);
    for sidecar in &job.sidecars {
        let name = sidecar.name.as_str();
        if !is_label(name) || !taken.insert(name) {
            return Err(JobError::Sidecar { job: job.name.clone(), name: name.to_owned() });
        }
    }
    let mut keys: BTreeSet<String> = job.env.iter().map(|(name, _)| name.clone()).collect();
    for sidecar in &job.sidecars {
        for (name, _) in &sidecar.env {
            let key = sidecar.key(name);
            if !is_variable(name) || key.len() > 253 || !keys.insert(key) {
                let job = format!("{}, sidecar {}", job.name, sidecar.name);
                return Err(JobError::Variable { job, name: name.clone() });
            }
        }
    }
    Ok(())
}

fn is_label(name: &str) -> bool {
    let edge = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|letter| edge(letter) || letter == '-')
}

/// Whether a key of a Secret can have this name, which the variable's value is kept under.
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name != "main.sh"
        && !name.starts_with("..")
        && name != "."
        && !name.starts_with(super::pod::COPIED)
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

fn is_quantity(text: &str) -> bool {
    const UNITS: [&str; 20] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3",
        "e6", "e9", "E3",
    ];
    let digits = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let number = &text[..text.len() - digits.len()];
    number.parse::<f64>().is_ok() && UNITS.contains(&digits)
}

fn check_volume(volume: &Volume, project: &Project, build: &Build) -> Result<(), JobError> {
    if let Some(host) = &volume.host_path
        && !project.allow_host_mounts
    {
        return Err(JobError::HostMount(host.path.clone()));
    }
    if shows_secret(volume) && !project.allow_secret_key_ref {
        return Err(JobError::SecretVolume(volume.name.clone()));
    }
    if let Some(claim) = &volume.persistent_volume_claim
        && claim.claim_name.starts_with("brigade-worker-")
        && claim.claim_name != build.name()
    {
        return Err(JobError::OtherBuild(claim.claim_name.clone()));
    }
    Ok(())
}

/// Whether a volume shows a Secret, or gives one to a driver on the job's behalf.
fn shows_secret(volume: &Volume) -> bool {
    let projected = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
    volume.secret.is_some()
        || projected.into_iter().flatten().any(|source| source.secret.is_some())
        || volume.azure_file.is_some()
        || volume.cephfs.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.cinder.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.csi.as_ref().is_some_and(|source| source.node_publish_secret_ref.is_some())
        || volume.flex_volume.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.iscsi.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.rbd.as_ref().is_some_and(|source| source.secret_ref.is_some())
        || volume.scale_io.is_some()
        || volume.storageos.as_ref().is_some_and(|source| source.secret_ref.is_some())
}

fn allows(account: &str, project: &Project, policy: &Policy) -> bool {
    account == project.service_account
        || account == policy.service_account
        || policy.service_accounts.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => account.starts_with(start),
            None => account == pattern,
        })
}
