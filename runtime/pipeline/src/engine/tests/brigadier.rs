//! The script API of Brigade 1.x.

use expect_test::expect;
use runtime::job::Job;

use super::*;

const HEAD: &str = "const { events, fire, Job, Group, ErrorReport } = require('brigadier');\n";

fn fired(body: &str) -> (Script, Turn) {
    let mut script = Script::new(usual(), None);
    let turn = script.load(&format!("{HEAD}{body}"));
    assert_eq!(turn.thrown, None);
    let turn = script.engine.turn(Delivery::Fire("push".to_owned()));
    (script, turn)
}

fn jobs(turn: &Turn) -> Vec<&Job> {
    let found = turn.commands.iter().filter_map(|command| match command {
        Command::Run { job, .. } => Some(&**job),
        _ => None,
    });
    found.collect()
}

fn job(body: &str) -> Job {
    let (script, turn) = fired(&format!(
        "events.on('push', (e, project) => {{ const job = new Job('j', 'i'); {body}; job.run(); }})"
    ));
    assert!(!turn.state.failed, "{}", script.printed());
    let found: Vec<Job> = jobs(&turn).into_iter().cloned().collect();
    let [job] = &found[..] else { panic!("{turn:?}") };
    job.clone()
}

#[test]
fn a_handler_is_told_the_event_and_the_project() {
    let (script, turn) =
        fired("events.on('push', (e, project) => { console.log(e); console.log(project); })");
    assert!(turn.heard);
    expect![[r#"
        {
          buildID: '01kag00000000000000000000a',
          workerID: 'brigade-worker-01kag00000000000000000000a',
          type: 'push',
          provider: 'github',
          cloneURL: 'https://github.com/org/app.git',
          revision: { commit: 'c0ffee', ref: 'refs/heads/main' },
          logLevel: 1,
          payload: '{"n":1}'
        }
        {
          id: 'brigade-e3a12384ea7e3d36cf71968a3761ce45b5dedb5a0f3308250caab4',
          name: 'github.com/org/app',
          kubernetes: {
            namespace: 'brigade',
            buildStorageSize: '50Mi',
            vcsSidecar: 'brigadecore/git-sidecar:latest',
            vcsSidecarResourcesLimitsCPU: '',
            vcsSidecarResourcesLimitsMemory: '',
            vcsSidecarResourcesRequestsCPU: '',
            vcsSidecarResourcesRequestsMemory: '',
            cacheStorageClass: '',
            buildStorageClass: ''
          },
          secrets: { PASSWORD: '***', nested: { a: [Array] } },
          allowPrivilegedJobs: true,
          allowHostMounts: false,
          repo: {
            name: 'org/app',
            cloneURL: 'https://github.com/org/app.git',
            initGitSubmodules: false
          }
        }"#]]
    .assert_eq(&script.printed());
}

#[test]
fn a_job_is_born_with_brigades_defaults() {
    assert_eq!(
        printed(&format!(
            "{HEAD}const job = new Job('one');
             console.log(job.name, [job.image], job.tasks, job.args, job.env, job.shell, job.mountPath, job.timeout);
             console.log(job.imageForcePull, job.imagePullSecrets, job.useSource, job.privileged, job.serviceAccount);
             console.log(job.resourceRequests.cpu, job.resourceLimits.memory, job.host.os, job.host.name, job.host.nodeSelector);
             console.log(job.cache.enabled, job.cache.size, job.cache.path, job.storage.enabled, job.storage.path);
             console.log(job.volumes, job.volumeMounts, job.docker.enabled, job.annotations, job.streamLogs, [job.podName]);
             console.log(Job.MAX_JOB_NAME_LENGTH, new Job('two', 'i', ['t'], true).imageForcePull, job instanceof Job);"
        )),
        "one [ '' ] [] [] {} /bin/sh /src 900000
false [] true false undefined
undefined undefined undefined undefined Map(0) {}
false 5Mi /mnt/brigade/cache false /mnt/brigade/share
[] [] false {} false [ '' ]
36 true true"
    );
}

#[test]
fn names_are_checked_when_a_job_is_made() {
    for (name, good) in [
        ("'a'", true),
        ("'0'", true),
        ("'a-b.c'", true),
        ("'a'.repeat(36)", true),
        ("'a'.repeat(37)", false),
        ("''", false),
        ("'A'", false),
        ("'-a'", false),
        ("'a-'", false),
        ("'a_b'", false),
        ("undefined", false),
        ("5", false),
        ("'aa\\n'", false),
        ("'a'.repeat(36000) + '!'", false),
    ] {
        let turn = Script::new(usual(), None).load(&format!("{HEAD}new Job({name}, 'i')"));
        assert_eq!(turn.thrown.is_none(), good, "{name}: {:?}", turn.thrown);
    }
}

#[test]
fn everything_that_a_job_says_arrives() {
    let job = job(
        "job.tasks = ['a', 5]; job.tasks.push('b');
         job.args = ['x']; job.shell = '/bin/bash'; job.mountPath = '/code'; job.timeout = 1000.5;
         job.imageForcePull = true; job.imagePullSecrets = ['pull']; job.useSource = false;
         job.privileged = true;
         job.resourceRequests.cpu = 1; job.resourceRequests.memory = '1Gi'; job.resourceLimits.cpu = '2';
         job.host.os = 'linux'; job.host.name = 'node'; job.host.nodeSelector.set('disk', 'ssd');
         job.cache.enabled = true; job.cache.size = '1Gi'; job.cache.path = '/c';
         job.storage.enabled = true; job.storage.path = '/s';
         job.volumes = [{ name: 'v', emptyDir: {} }]; job.volumeMounts = [{ name: 'v', mountPath: '/v' }];
         job.docker.enabled = true; job.annotations = { a: 'b', n: 1 }; job.streamLogs = true",
    );
    assert_eq!(
        (job.tasks, job.args),
        (vec!["a".to_owned(), "5".into(), "b".into()], vec!["x".to_owned()])
    );
    assert_eq!(
        (job.shell.as_str(), job.mount_path.as_str(), job.timeout),
        ("/bin/bash", "/code", 1001)
    );
    assert!(job.image_force_pull && !job.use_source && job.privileged && job.stream_logs);
    assert_eq!(job.image_pull_secrets, ["pull"]);
    assert_eq!(job.resource_requests.cpu.as_deref(), Some("1"));
    assert_eq!(job.resource_requests.memory.as_deref(), Some("1Gi"));
    assert_eq!(job.resource_limits.cpu.as_deref(), Some("2"));
    assert_eq!((job.host.os.as_deref(), job.host.name.as_deref()), (Some("linux"), Some("node")));
    assert_eq!(job.host.node_selector["disk"], "ssd");
    assert_eq!(
        (job.cache.enabled, job.cache.size.as_str(), job.cache.path.as_str()),
        (true, "1Gi", "/c")
    );
    assert_eq!((job.storage.enabled, job.storage.path.as_str()), (true, "/s"));
    assert!(job.volumes[0].empty_dir.is_some() && job.volume_mounts[0].mount_path == "/v");
    assert!(job.docker.enabled);
    assert_eq!((job.annotations["a"].as_str(), job.annotations["n"].as_str()), ("b", "1"));
}

#[test]
fn every_kind_of_value_may_be_in_the_environment() {
    let job = job(
        "job.env = { Z: 'text', N: 1.5, T: true, F: false, B: 10n, E: '', NULL: null, U: undefined,
            R: { configMapKeyRef: { name: 'm', key: 'k' } } }",
    );
    let shown: Vec<String> =
        job.env.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    assert_eq!(
        shown[..7],
        [
            "Z=Text(\"text\")",
            "N=Text(\"1.5\")",
            "T=Text(\"true\")",
            "F=Text(\"false\")",
            "B=Text(\"10\")",
            "E=Text(\"\")",
            "NULL=Empty",
        ]
    );
    assert!(shown.len() == 8 && shown[7].starts_with("R=From("), "{shown:?}");
}

#[test]
fn the_shapes_of_the_article_work() {
    let (script, turn) = fired(
        "events.on('push', async (e, project) => {
            console.log('received push for commit ' + e.revision.commit);
            const payload = JSON.parse(e.payload);
            console.log(payload);
            const docker = new Job('dind', 'docker:stable-dind');
            docker.privileged = true;
            docker.env = { DOCKER_DRIVER: 'overlay', USER: project.secrets.DOCKER_USER || 'nobody' };
            docker.tasks.push('dockerd-entrypoint.sh &');
            docker.tasks.push('sleep 20', 'cd /src');
            docker.run();
            const slack = new Job('slack-notify', 'technosophos/slack-notify:latest', ['/slack-notify']);
            slack.storage.enabled = false;
            slack.env = { SLACK_TITLE: `New Build ${e.revision.commit} available!` };
            slack.run();
        })",
    );
    assert_eq!(script.printed(), "received push for commit c0ffee\n{ n: 1 }");
    let jobs = jobs(&turn);
    assert_eq!(jobs[0].tasks, ["dockerd-entrypoint.sh &", "sleep 20", "cd /src"]);
    assert!(jobs[0].privileged);
    assert!(format!("{:?}", jobs[0].env[1]).contains("nobody"));
    assert_eq!(
        (jobs[1].name.as_str(), jobs[1].tasks[0].as_str()),
        ("slack-notify", "/slack-notify")
    );
}

#[test]
fn what_a_project_forbids_is_thrown_by_run() {
    for (body, expected) in [
        (
            "job.volumes = [{ name: 'v', hostPath: { path: '/etc' } }]",
            "allowHostMounts is false in this project, not mounting /etc",
        ),
        (
            "job.volumeMounts = [{ name: 'v', mountPath: '/x' }]",
            "volume v referenced in volume mount is not defined",
        ),
        (
            "job.volumes = [{ name: 'v', secret: { secretName: 'x' } }]",
            "kubernetes.allowSecretKeyRef is false in this project, not mounting the Secret of volume v",
        ),
        (
            "job.serviceAccount = 'admin'",
            "job j may not use the service account admin: it is neither the project's own nor one that this installation lets jobs ask for",
        ),
        ("job.env = { A: () => 1 }", "env A of job j is a function, not a value"),
        (
            "job.env = { A: { nonsense: 1, secretKeyRef: 5 } }",
            "an environment variable of job j is neither a value nor a reference such as { secretKeyRef: { name, key } }",
        ),
        ("job.tasks = 'echo'", "tasks of job j must be an array"),
        (
            "job.name = '../x'",
            "job name must be lowercase letters, numbers, and '-', and must not start or end with '-', having max length 36",
        ),
    ] {
        let (script, turn) = fired(&format!(
            "events.on('push', () => {{
                const job = new Job('j', 'i'); {body};
                try {{ job.run(); }} catch (error) {{ console.log(error.message); }}
            }})"
        ));
        assert_eq!(script.printed(), expected);
        assert!(jobs(&turn).is_empty());
    }
}

#[test]
fn a_synchronous_error_ends_its_event_and_is_told_once() {
    let (script, turn) = fired(
        "events.on('push', () => { console.log(1); throw new Error('oh'); });
         events.on('push', () => console.log('never'));
         events.on('error', (e) => console.log(e.type, e.cause.trigger, e.cause.reason.message, e.cause.event.type, 'payload' in e));
         events.on('after', () => console.log('never'));",
    );
    assert!(turn.state.failed);
    assert_eq!(
        script.printed(),
        "1\n[brigade:app] Error: oh\n    at brigade.js:2:53\nerror unhandledRejection oh push false"
    );
}

#[test]
fn a_rejection_that_is_handled_in_time_is_none() {
    let (script, turn) = fired(
        "events.on('push', async () => {
            const late = Promise.reject(new Error('late'));
            await null;
            late.catch(() => console.log('caught'));
            await Promise.allSettled([Promise.reject(1)]);
            try { await Promise.reject(new Error('x')); } catch {}
        })",
    );
    assert!(!turn.state.failed, "{}", script.printed());
    assert_eq!(script.printed(), "caught");
}

#[test]
fn only_fire_changes_what_jobs_are_run_for() {
    let (_, turn) = fired(
        "events.on('push', (e, p) => {
            events.emit('emitted', { ...e, type: 'emitted', revision: { commit: '1', ref: '1' } }, p);
            fire({ ...e, type: 'fired', revision: { commit: '2', ref: '2' } }, p);
         });
         events.on('emitted', () => new Job('a', 'i').run());
         events.on('fired', () => new Job('b', 'i').run());",
    );
    let commits: Vec<String> =
        jobs(&turn).iter().map(|job| job.occasion.clone().unwrap().revision.commit).collect();
    assert_eq!(commits, ["c0ffee", "2"]);
}

#[test]
fn the_registry_is_an_emitter() {
    assert_eq!(
        printed(&format!(
            "{HEAD}console.log(events.has('ping'), events.has('x'), events instanceof require('events'));
             events.on('x', (e, p) => console.log(e.type, p));
             events.once('x', () => console.log('once'));
             console.log(events.has('x'), events.emit('x', {{ type: 'x' }}, 1), events.fire({{ type: 'x' }}, 2), events.emit('y'));
             events.emit('ping');
             console.log(new ErrorReport(), new ErrorReport('c', 'r'));"
        )),
        "true false true\nx 1\nonce\nx 2\ntrue true true false\nping\nErrorReport {} ErrorReport { cause: 'c', reason: 'r' }"
    );
}

#[test]
fn handlers_are_listed_without_our_own() {
    let (_, turn) = fired(
        "events.on('push', () => events.on('nested', () => {})); events.on('after', () => {});",
    );
    assert_eq!(turn.state.handlers, ["push", "after", "nested"]);
}
