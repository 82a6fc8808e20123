//! The pod that sweeps when a timer asks for it, where there is no CronJob that does.
//!
//! A function does not sweep itself: a sweep takes longer than a request may, and needs rights that a
//! function has not. It makes this pod, whose name follows from the time that the timer was set for,
//! so that a timer which calls twice has one sweep, and none while an earlier one has not ended. What is
//! over is deleted, when the timer calls again and by later sweeps.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, Pod, PodSpec, ResourceRequirements, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::project::ScriptLimits;
use crate::settings::Settings;
use crate::worker_pod::{confined, secret, text, texts};

/// The labels of such pods, as a selector.
pub const SELECTOR: &str = "heritage=brigade,component=sweep";

/// How long a sweep may take, in seconds.
const LIMIT: i64 = 1800;

/// The user of the worker's image.
const USER: i64 = 65532;

/// The pod that sweeps for a timer that was set for this time.
pub fn pod(settings: &Settings, namespace: &str, time: Timestamp) -> Pod {
    let container = Container {
        name: "sweep".to_owned(),
        image: Some(settings.worker_image.clone()),
        image_pull_policy: Some(settings.worker_pull_policy.clone()),
        args: Some(vec!["sweep".to_owned()]),
        env: Some(environment(settings, namespace)),
        resources: Some(resources()),
        // As the chart's CronJob has it: the profile `restricted`.
        security_context: Some(SecurityContext {
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            ..confined()
        }),
        ..Container::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(name(time)),
            namespace: Some(namespace.to_owned()),
            labels: Some(texts([("component", "sweep"), ("heritage", "brigade")])),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            active_deadline_seconds: Some(LIMIT),
            containers: vec![container],
            node_selector: Some(texts([("kubernetes.io/os", "linux")])),
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(settings.host.sweeper_service_account.clone()),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// What a sweep needs, as the chart's values say it.
fn resources() -> ResourceRequirements {
    let quantities = |all: &[(&str, &str)]| {
        let all = all.iter().map(|(name, much)| ((*name).to_owned(), Quantity((*much).to_owned())));
        Some(all.collect())
    };
    ResourceRequirements {
        limits: quantities(&[("memory", "512Mi")]),
        requests: quantities(&[("cpu", "50m"), ("memory", "32Mi")]),
        ..ResourceRequirements::default()
    }
}

/// Whether such a pod sweeps no more, and can be deleted. One that never found a node has not begun to
/// use up its time, so what is twice as old as it may become counts, too.
pub fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let made = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
    let is_old = made.is_some_and(|made| now.duration_since(made).as_secs() > 2 * LIMIT);
    is_old || matches!(phase, Some("Succeeded" | "Failed"))
}

fn name(time: Timestamp) -> String {
    format!("brigantine-sweep-{}", time.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S"))
}

/// What the function was told that concerns those whom a sweep starts, and what it deletes.
fn environment(settings: &Settings, namespace: &str) -> Vec<EnvVar> {
    let default = Settings::default();
    let (sweep, limits) = (&settings.sweep, &settings.script_limits);
    let seconds = |age: std::time::Duration| format!("{}s", age.as_secs());
    let mut all = vec![
        text("NAMESPACE", namespace),
        text("WORKER_IMAGE", &settings.worker_image),
        text("WORKER_PULL_POLICY", &settings.worker_pull_policy),
        text("WORKER_SERVICE_ACCOUNT", &settings.worker_service_account),
        text("JOB_SERVICE_ACCOUNT", &settings.job_service_account),
        text("VACUUM_SKIP_RUNNING_BUILDS", &sweep.skip_running.to_string()),
    ];
    let optional = [
        ("VACUUM_AGE", sweep.age.map(seconds)),
        ("VACUUM_MAX_BUILDS", sweep.max_builds.map(|most| most.to_string())),
        ("SCRIPT_LIMITS", (*limits != ScriptLimits::default()).then(|| limits.to_string())),
        ("DEFAULT_BUILD_STORAGE_CLASS", Some(settings.build_storage_class.clone())),
        ("DEFAULT_CACHE_STORAGE_CLASS", Some(settings.cache_storage_class.clone())),
        (
            "NPM_REGISTRY",
            Some(settings.npm_registry.clone()).filter(|it| *it != default.npm_registry),
        ),
        ("GITHUB_HOSTS", Some(settings.github_hosts.join(","))),
        ("LOG", Some(settings.log.clone()).filter(|log| *log != default.log)),
    ];
    let said = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    all.extend(said.filter(|(_, value)| !value.is_empty()).map(|(name, value)| text(name, &value)));
    all.extend(settings.notify.variables().iter().map(|(name, value)| text(name, value)));
    if let Some(app) = &settings.app_secret {
        all.extend([
            text("APP_SECRET", app),
            secret("APP_ID", app, "APP_ID"),
            secret("APP_KEY", app, "APP_KEY"),
        ]);
    }
    all
}

#[test]
fn a_sweep_has_the_name_of_its_time_and_the_settings_of_the_function() {
    let variables = [
        ("VACUUM_AGE", "720h"),
        ("VACUUM_MAX_BUILDS", "100"),
        ("WORKER_IMAGE", "registry.example/worker:7"),
        ("NOTIFY_BUDGET", "60"),
        ("DEFAULT_SHARED_SECRET", "hunter2"),
    ];
    let settings = Settings::read(|wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    });
    let time = "2026-05-04T07:30:00Z".parse().unwrap();
    let pod = pod(&settings.unwrap(), "ci", time);
    assert_eq!(pod.metadata.name.as_deref(), Some("brigantine-sweep-20260504-073000"));
    let spec = pod.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("brigantine-sweeper"));
    let container = &spec.containers[0];
    assert_eq!(container.image.as_deref(), Some("registry.example/worker:7"));
    let context = container.security_context.as_ref().unwrap();
    assert_eq!(
        (context.run_as_non_root, context.read_only_root_filesystem, context.run_as_user),
        (Some(true), Some(true), Some(USER))
    );
    assert_eq!(context.allow_privilege_escalation, Some(false));
    let limits = container.resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits["memory"].0, "512Mi");
    let environment = container.env.clone().unwrap();
    let value = |wanted: &str| {
        let found = environment.iter().find(|variable| variable.name == wanted);
        found.and_then(|variable| variable.value.clone())
    };
    assert_eq!(value("NAMESPACE").as_deref(), Some("ci"));
    assert_eq!(value("VACUUM_AGE").as_deref(), Some("2592000s"));
    assert_eq!(value("VACUUM_MAX_BUILDS").as_deref(), Some("100"));
    assert_eq!(value("NOTIFY_BUDGET").as_deref(), Some("60"));
    assert_eq!(value("LOG"), None);
    assert!(!format!("{environment:?}").contains("hunter2"), "{environment:?}");
}

#[test]
fn a_pod_that_has_ended_or_is_older_than_a_sweep_may_become_is_over() {
    let made: Timestamp = "2026-05-04T07:30:00Z".parse().unwrap();
    let mut pod = pod(&Settings::default(), "ci", made);
    pod.metadata.creation_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(made));
    for (phase, minutes, expected) in [
        ("Pending", 59, false),
        ("Running", 1, false),
        ("Succeeded", 1, true),
        ("Failed", 1, true),
        ("Pending", 61, true),
    ] {
        pod.status.get_or_insert_default().phase = Some(phase.to_owned());
        let now = made + jiff::SignedDuration::from_mins(minutes);
        assert_eq!(is_over(&pod, now), expected, "{phase} after {minutes} minutes");
    }
}
