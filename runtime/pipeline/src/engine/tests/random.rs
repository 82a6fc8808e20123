//! Random descriptions of jobs: none breaks the engine, and none becomes an object that is not the
//! project's own.

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, Secret, Volume};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use runtime::job;

use super::*;

/// An expression of JavaScript, of the kinds that somebody might give a property.
fn value() -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        Just("undefined".to_owned()),
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("-0".to_owned()),
        Just("1e308".to_owned()),
        Just("10n".to_owned()),
        Just("Symbol('s')".to_owned()),
        Just("(() => 'f')".to_owned()),
        Just("new Map([['a', 'b'], ['kubernetes.io/hostname', 1]])".to_owned()),
        Just(
            "new Proxy({}, { get: (t, k) => k === Symbol.iterator ? undefined : 'p' })".to_owned()
        ),
        Just("{ toString() { return '../..'; } }".to_owned()),
        Just("{ get a() { throw new Error('got'); } }".to_owned()),
        Just("new Date(0)".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| value.to_string()),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
        "[a-z0-9./:-]{0,40}".prop_map(|value| format!("'{value}'")),
        proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
    ];
    simple.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec((key(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("[{key}]: {value}")).collect();
                format!("{{ {} }}", members.join(", "))
            }),
        ]
    })
}

/// What reaches for something that is not the project's.
const HOSTILE: [&str; 14] = [
    "[{ name: 'v', hostPath: { path: '/' } }]",
    "[{ name: 'v', secret: { secretName: 'other' } }]",
    "[{ name: 'v', projected: { sources: [{ secret: { name: 'other' } }] } }]",
    "[{ name: 'v', csi: { driver: 'd', nodePublishSecretRef: { name: 'other' } } }]",
    "[{ name: 'v', persistentVolumeClaim: { claimName: 'brigade-worker-other' } }]",
    "[{ name: 'v', mountPath: '/' }]",
    "{ A: { secretKeyRef: { name: 'other', key: 'k' } } }",
    "{ A: { valueFrom: { secretKeyRef: { name: 'other', key: 'k' } } } }",
    "{ 'main.sh': 'x', '../x': 'y', A: 'z' }",
    "{ 'vcs-sidecar.sshKey': 'x' }",
    "{ a: new Container('i'), 'vcs-sidecar': new Container('i'), brigaderun: new Container('i') }",
    "{ a: Object.assign(new Container('i'), { privileged: true, environment: { K: 'v' }, sourceMountPath: '/s' }) }",
    "Object.assign(new Container('i'), { privileged: true, workspaceMountPath: '/w', command: ['c'] })",
    "'admin'",
];

fn key() -> impl Strategy<Value = String> {
    let known = [
        "name",
        "enabled",
        "path",
        "size",
        "cpu",
        "memory",
        "os",
        "nodeSelector",
        "image",
        "command",
        "arguments",
        "environment",
        "secretKeyRef",
        "hostPath",
        "__proto__",
        "toJSON",
        "constructor",
        "privileged",
        "sourceMountPath",
        "workspaceMountPath",
        "A",
    ];
    prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(|key| format!("'{key}'")),
        1 => any::<String>().prop_map(|key| serde_json::to_string(&key).unwrap()),
    ]
}

fn property() -> impl Strategy<Value = String> {
    let names = [
        "name",
        "image",
        "tasks",
        "args",
        "shell",
        "env",
        "mountPath",
        "timeout",
        "retries",
        "useSource",
        "privileged",
        "serviceAccount",
        "resourceRequests",
        "resourceLimits",
        "host",
        "cache",
        "storage",
        "docker",
        "volumes",
        "volumeMounts",
        "annotations",
        "streamLogs",
        "imagePullSecrets",
        "imageForcePull",
        "primaryContainer",
        "sidecarContainers",
        "timeoutSeconds",
        "fallible",
        "event",
        "command",
        "sidecars",
        "occasion",
    ];
    proptest::sample::select(names.to_vec()).prop_map(str::to_owned)
}

/// Everything that a pod takes from a Secret, but its own.
fn secrets(pod: &Pod, own: &[&str]) -> Vec<String> {
    let spec = pod.spec.as_ref().unwrap();
    let containers: Vec<&Container> =
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    let from = |variable: &EnvVar| {
        let source = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(source.name.clone())
    };
    let variables = containers.iter().flat_map(|each| each.env.iter().flatten()).filter_map(from);
    let volume = |volume: &Volume| volume.secret.as_ref().and_then(|from| from.secret_name.clone());
    let volumes = spec.volumes.iter().flatten().filter_map(volume);
    variables.chain(volumes).filter(|name| !own.contains(&name.as_str())).collect()
}

fn is_own(job: &runtime::job::Job) {
    let mut project = project();
    project.allow_privileged_jobs = false;
    let build = build(&project, push());
    // What a script may run is checked where it is run; what is sent is checked again.
    let Ok(pod) = job::pod(job, &project, &build, &Policy::default()) else { return };
    let secret: Secret = job::secret(job, &project, &build, Timestamp::UNIX_EPOCH);
    let name = format!("{}-{}", job.name, build.id);
    for metadata in [&pod.metadata, &secret.metadata] {
        assert_eq!(metadata.namespace.as_deref(), Some("brigade"));
        assert_eq!(metadata.name.as_deref(), Some(name.as_str()));
        assert_eq!(metadata.labels.as_ref().unwrap()["build"], build.id.to_string());
        assert_eq!(metadata.owner_references.as_ref().map(Vec::len), Some(1));
    }
    assert_eq!(secrets(&pod, &[&name, &project.id]), [""; 0]);
    let spec = pod.spec.unwrap();
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let privileged = container.security_context.as_ref().and_then(|own| own.privileged);
        assert_eq!(privileged, None);
    }
    for volume in spec.volumes.iter().flatten() {
        assert!(volume.host_path.is_none(), "{volume:?}");
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| &claim.claim_name);
        let other =
            |claim: &&String| claim.starts_with("brigade-worker-") && **claim != build.name();
        assert_eq!(claim.filter(other), None);
    }
    assert_eq!(spec.service_account_name, None);
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert!(spec.host_network.is_none() && spec.host_pid.is_none() && spec.host_ipc.is_none());
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_description_of_a_job_breaks_anything_or_reaches_further(
        second in any::<bool>(),
        said in proptest::collection::vec((property(), value()), 0..6),
    ) {
        let own = if second { "new Job('one', 'i', {})" } else { "new Job('one', 'i', ['true'])" };
        let mut text = format!("const {{ Job, Container }} = require('brigadier'); const job = {own};\n");
        for (property, value) in &said {
            text += &format!("try {{ job.{property} = {value}; }} catch {{}}\n");
        }
        text += "job.run();";
        let mut script = Script::new(usual(), None);
        let turn = script.load(&text);
        assert_eq!(turn.stop, None, "{text}");
        for command in &turn.commands {
            if let Command::Run { job, .. } = command {
                is_own(job);
            }
        }
        let told = turn.thrown.is_some() || turn.state.failed;
        assert!(told || !turn.commands.is_empty(), "{text}: {turn:?}");
    }
}
