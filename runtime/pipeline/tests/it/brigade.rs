//! What Brigade 1.5's own worker was seen to do with the same scripts, events and projects.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, ListParams};
use runtime::event::{Event, Image};
use serde_json::{Value, json};

use crate::world::{World, event};

const HEAD: &str = "const { events, Job, Group, fire } = require('brigadier');\n";

const PROJECT: &str = "
project: acme/app
repository: github.com/acme/app
cloneURL: https://github.com/acme/app.git
vcsSidecar: git-sidecar:1
sharedSecret: shared-secret-1
";

/// Runs a script whose pods all end well.
async fn run(project: &str, event: Event, body: &str) -> (World, i32) {
    let world = World::new();
    let context = world.build(project, event, &format!("{HEAD}{body}")).await;
    let outcome = world.run(&context, world.end_all()).await;
    (world, outcome.exit_code)
}

/// What a script prints, but for the id of its build.
async fn said(project: &str, body: &str) -> Vec<String> {
    let (world, _) = run(project, event("exec"), body).await;
    let id = id_of(&world).await;
    world.said().iter().map(|line| line.replace(&id, "ID")).collect()
}

async fn id_of(world: &World) -> String {
    use k8s_openapi::api::core::v1::Secret;
    let api: Api<Secret> = Api::default_namespaced(world.server.client());
    let builds = api.list(&ListParams::default().labels("component=build")).await.unwrap().items;
    builds[0].metadata.labels.as_ref().unwrap()["build"].clone()
}

/// Checks that everything that is expected is there, and equal; there may be more.
fn includes(found: &Value, expected: &Value, path: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (key, value) in expected {
                includes(found.get(key).unwrap_or(&Value::Null), value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            // What the API server adds: the service account's token.
            let added = |item: &&Value| {
                item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"))
            };
            let found: Vec<&Value> = found.iter().filter(|item| !added(item)).collect();
            assert_eq!(found.len(), expected.len(), "{path}: {found:#?}");
            for (at, value) in expected.iter().enumerate() {
                includes(found[at], value, &format!("{path}.{at}"));
            }
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

#[tokio::test]
async fn every_property_becomes_what_brigades_worker_makes_of_it() {
    let project = format!(
        "{PROJECT}
allowHostMounts: true
initGitSubmodules: true
serviceAccount: default
sshKey: key
sshCert: certificate
github:
  token: token-123
kubernetes:
  allowSecretKeyRef: true
  cacheStorageClass: fast
  buildStorageClass: slow
vcsSidecarResources:
  limits:
    cpu: 200m
  requests:
    memory: 16Mi
"
    );
    let (world, code) = run(
        &project,
        event("exec"),
        "events.on('exec', async () => {
            const j = new Job('every', 'alpine:3', ['echo a', 'echo b'], true);
            j.args = ['x', 'y']; j.shell = '/bin/bash';
            j.env = {
                A: '1', B: null,
                C: { configMapKeyRef: { name: 'm', key: 'k', optional: true } },
                D: { secretKeyRef: { name: 's', key: 'k', optional: true } },
                E: { fieldRef: { fieldPath: 'metadata.name' } },
            };
            j.imagePullSecrets = ['one', 'two']; j.mountPath = '/code'; j.privileged = true;
            j.timeout = 60500;
            j.resourceRequests.cpu = '100m'; j.resourceRequests.memory = '32Mi';
            j.resourceLimits.cpu = '1'; j.resourceLimits.memory = '64Mi';
            j.host.os = 'linux'; j.host.name = 'node-1'; j.host.nodeSelector.set('pool', 'a');
            j.cache.enabled = true; j.cache.size = '7Mi'; j.cache.path = '/c';
            j.storage.enabled = true; j.storage.path = '/s'; j.docker.enabled = true;
            j.volumes = [{ name: 'v', emptyDir: {} }, { name: 'h', hostPath: { path: '/tmp' } }];
            j.volumeMounts = [{ name: 'v', mountPath: '/v', readOnly: true }, { name: 'h', mountPath: '/h' }];
            j.annotations = { 'a/b': 'c' };
            await j.run();
        });",
    )
    .await;
    assert_eq!(code, 0, "{:#?}", world.printed());
    let id = id_of(&world).await;
    let (name, worker) = (format!("every-{id}"), format!("brigade-worker-{id}"));
    let pod = serde_json::to_value(world.job_pod("every").await).unwrap();
    let project_id = pod["metadata"]["labels"]["project"].clone();
    let labels = json!({
        "heritage": "brigade", "component": "job", "jobname": "every", "project": project_id,
        "worker": worker, "build": id,
    });
    let own = |key: &str| json!({ "secretKeyRef": { "name": project_id, "key": key } });
    let expected = json!({
        "metadata": { "name": name, "labels": labels, "annotations": { "a/b": "c" } },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccount": "default", "serviceAccountName": "default",
            "nodeName": "node-1",
            // Brigade has the old key, beta.kubernetes.io/os.
            "nodeSelector": { "kubernetes.io/os": "linux", "pool": "a" },
            "imagePullSecrets": [{ "name": "one" }, { "name": "two" }],
            "containers": [{
                "name": "brigaderun", "image": "alpine:3", "imagePullPolicy": "Always",
                "command": ["/bin/bash", "/hook/main.sh"], "args": ["x", "y"],
                "securityContext": { "privileged": true },
                "resources": {
                    "requests": { "cpu": "100m", "memory": "32Mi" },
                    "limits": { "cpu": "1", "memory": "64Mi" },
                },
                "env": [
                    { "name": "A", "valueFrom": { "secretKeyRef": { "name": name, "key": "A" } } },
                    { "name": "B" },
                    { "name": "C", "valueFrom": { "configMapKeyRef": { "name": "m", "key": "k", "optional": true } } },
                    { "name": "D", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k", "optional": true } } },
                    { "name": "E", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                ],
                "volumeMounts": [
                    { "name": name, "mountPath": "/hook" },
                    { "name": "vcs-sidecar", "mountPath": "/code" },
                    { "name": "github-com-acme-app-every", "mountPath": "/c" },
                    { "name": "build-storage", "mountPath": "/s" },
                    { "name": "docker-socket", "mountPath": "/var/run/docker.sock" },
                    { "name": "v", "mountPath": "/v", "readOnly": true },
                    { "name": "h", "mountPath": "/h" },
                ],
            }],
            "initContainers": [{
                "name": "vcs-sidecar", "image": "git-sidecar:1", "imagePullPolicy": "Always",
                "resources": { "limits": { "cpu": "200m" }, "requests": { "memory": "16Mi" } },
                "volumeMounts": [{ "name": "vcs-sidecar", "mountPath": "/src" }],
                "env": [
                    { "name": "CI", "value": "true" },
                    { "name": "BRIGADE_BUILD_ID", "value": id },
                    { "name": "BRIGADE_COMMIT_ID", "value": "c0ffee" },
                    { "name": "BRIGADE_COMMIT_REF", "value": "refs/heads/main" },
                    { "name": "BRIGADE_EVENT_PROVIDER", "value": "test" },
                    { "name": "BRIGADE_EVENT_TYPE", "value": "exec" },
                    { "name": "BRIGADE_PROJECT_ID", "value": project_id },
                    { "name": "BRIGADE_REMOTE_URL", "value": "https://github.com/acme/app.git" },
                    { "name": "BRIGADE_WORKSPACE", "value": "/src" },
                    { "name": "BRIGADE_PROJECT_NAMESPACE", "value": "default" },
                    { "name": "BRIGADE_SUBMODULES", "value": "true" },
                    { "name": "BRIGADE_LOG_LEVEL", "value": "LOG" },
                    { "name": "BRIGADE_REPO_KEY", "valueFrom": own("sshKey") },
                    { "name": "BRIGADE_REPO_SSH_CERT", "valueFrom": own("sshCert") },
                    { "name": "BRIGADE_REPO_AUTH_TOKEN", "valueFrom": own("github.token") },
                ],
            }],
            "volumes": [
                { "name": name, "secret": { "secretName": name } },
                { "name": "vcs-sidecar", "emptyDir": {} },
                { "name": "github-com-acme-app-every",
                  "persistentVolumeClaim": { "claimName": "github-com-acme-app-every" } },
                { "name": "build-storage", "persistentVolumeClaim": { "claimName": worker } },
                { "name": "docker-socket", "hostPath": { "path": "/var/run/docker.sock" } },
                { "name": "v", "emptyDir": {} },
                { "name": "h", "hostPath": { "path": "/tmp" } },
            ],
        },
    });
    includes(&pod, &expected, "pod");
    let secret = serde_json::to_value(world.secret("every").await).unwrap();
    includes(
        &secret,
        &json!({ "type": "brigade.sh/job", "metadata": { "name": name, "labels": labels } }),
        "secret",
    );
    assert_eq!(secret["data"].as_object().unwrap().len(), 2);
    assert_eq!(world.key("every", "A").await.unwrap(), "1");
    let script = "#!/bin/bash\n\nset -eo pipefail\n\necho a\necho b";
    assert_eq!(world.key("every", "main.sh").await.unwrap(), script);
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(world.server.client());
    let cache =
        serde_json::to_value(claims.get("github-com-acme-app-every").await.unwrap()).unwrap();
    let expected = json!({
        "metadata": { "labels": {
            "heritage": "brigade", "component": "jobCache", "job": "every", "project": project_id,
        } },
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "fast",
            "resources": { "requests": { "storage": "7Mi" } },
        },
    });
    includes(&cache, &expected, "cache");
}

#[tokio::test]
async fn the_event_and_the_project_are_brigades_to_the_letter() {
    let body = "events.on('exec', (e, p) => {
        console.log(JSON.stringify(e)); console.log(JSON.stringify(p)); });";
    let project =
        format!("{PROJECT}secrets:\n  A: b\n  n:\n    deep: [1, 2]\ninitGitSubmodules: true\n");
    let said_by = said(&project, body).await;
    assert_eq!(
        said_by[0],
        r#"{"buildID":"ID","workerID":"brigade-worker-ID","type":"exec","provider":"test","cloneURL":"https://github.com/acme/app.git","revision":{"commit":"c0ffee","ref":"refs/heads/main"},"logLevel":1,"payload":"{\"n\":1}"}"#
    );
    assert_eq!(
        said_by[1],
        r#"{"id":"brigade-5f89da0438fa1b1767532b58bd38cda2396f39889ab9e492e7f8f2","name":"github.com/acme/app","kubernetes":{"namespace":"default","buildStorageSize":"50Mi","vcsSidecar":"git-sidecar:1","vcsSidecarResourcesLimitsCPU":"","vcsSidecarResourcesLimitsMemory":"","vcsSidecarResourcesRequestsCPU":"","vcsSidecarResourcesRequestsMemory":"","cacheStorageClass":"","buildStorageClass":""},"secrets":{"A":"b","n":{"deep":[1,2]}},"allowPrivilegedJobs":true,"allowHostMounts":false,"repo":{"name":"acme/app","cloneURL":"https://github.com/acme/app.git","initGitSubmodules":true}}"#
    );
}

#[tokio::test]
async fn an_event_about_an_image_names_it_and_no_other_has_the_member() {
    let body = "events.on('image_push', (e) => console.log(JSON.stringify(e.image), Object.keys(e).pop()));
        events.on('brigade.sh/acr', 'push', (e) => {
            console.log(JSON.stringify(e.image)); e.image.tag = 'mine'; });
        events.on('exec', (e) => console.log('image' in e, e.image));
        events.on('brigade.sh/test', 'exec', (e) => console.log('image' in e));
        events.process();";
    let tagged = Image {
        registry: "acme.azurecr.io".to_owned(),
        repository: "team/app".to_owned(),
        tag: Some("1.0".to_owned()),
        digest: Some("sha256:8a2f".to_owned()),
    };
    let push = |image| {
        let mut event = event("image_push");
        event.provider = "acr".to_owned();
        Event { image: Some(image), ..event }
    };
    let whole = r#"{"registry":"acme.azurecr.io","repository":"team/app","tag":"1.0","digest":"sha256:8a2f","reference":"acme.azurecr.io/team/app:1.0"}"#;
    let bare = r#"{"registry":"","repository":"app","reference":"app"}"#;
    let untagged = Image { repository: "app".to_owned(), ..Image::default() };
    for (event, expected) in [
        (push(tagged), vec![whole.to_owned(), format!("{whole} image")]),
        (push(untagged), vec![bare.to_owned(), format!("{bare} image")]),
        (event("exec"), vec!["false".to_owned(), "false undefined".to_owned()]),
    ] {
        let (world, code) = run(PROJECT, event, body).await;
        assert_eq!((code, world.said()), (0, expected));
    }
}

#[tokio::test]
async fn a_project_without_a_repository_has_none_for_scripts() {
    let project = "project: acme/app\nsharedSecret: s-of-the-project\nvcsSidecar: NONE\n";
    let body = "events.on('exec', async (e, p) => {
        console.log(p.name, p.repo, 'repo' in p, e.cloneURL);
        await new Job('one', 'alpine', ['true']).run(); });";
    let (world, code) = run(project, event("exec"), body).await;
    assert_eq!((code, world.said()), (0, vec!["acme/app undefined false ".to_owned()]));
    assert_eq!(
        world.job_pod("one").await.spec.unwrap().init_containers.unwrap_or_default().len(),
        0
    );
}

#[tokio::test]
async fn after_and_error_are_told_what_brigade_tells() {
    let keys = "(e, p) => { console.log(e.type, e.provider, Object.keys(e), Object.keys(e.cause), e.cause.trigger,
        String(e.cause.reason), e.cause.event.type, e.payload, e.revision, Object.keys(p).length);
        new Job('tidy', 'alpine', ['true']).run(); }";
    for (handler, code, expected) in [
        (
            "() => {}",
            0,
            "after brigade [
  'buildID',
  'workerID',
  'type',
  'provider',
  'revision',
  'logLevel',
  'cause'
] [ 'event', 'trigger' ] success undefined exec undefined { commit: 'c0ffee', ref: 'refs/heads/main' } 7",
        ),
        (
            "() => { throw new TypeError('oh no'); }",
            1,
            "error brigade [
  'buildID',
  'workerID',
  'type',
  'provider',
  'revision',
  'logLevel',
  'cause'
] [ 'event', 'reason', 'trigger' ] unhandledRejection TypeError: oh no exec undefined { commit: 'c0ffee', ref: 'refs/heads/main' } 7",
        ),
        ("async () => { throw 'text'; }", 1, "error brigade [
  'buildID',
  'workerID',
  'type',
  'provider',
  'revision',
  'logLevel',
  'cause'
] [ 'event', 'reason', 'trigger' ] unhandledRejection text exec undefined { commit: 'c0ffee', ref: 'refs/heads/main' } 7"),
    ] {
        let body = format!("events.on('exec', {handler}); events.on('after', {keys}); events.on('error', {keys});");
        let (world, exit_code) = run(PROJECT, event("exec"), &body).await;
        assert_eq!((world.said().join("\n").as_str(), exit_code), (expected, code), "{handler}");
        // Brigade gives these jobs' sidecar no URL, so that they cannot clone.
        let pod = world.job_pod("tidy").await.spec.unwrap();
        let sidecar = &pod.init_containers.unwrap()[0];
        let url = sidecar.env.iter().flatten().find(|env| env.name == "BRIGADE_REMOTE_URL").unwrap();
        assert_eq!(url.value.as_deref(), Some("https://github.com/acme/app.git"));
    }
}

#[tokio::test]
async fn scripts_print_what_they_print_in_brigade() {
    for (body, expected) in [
        (
            "for (const n of ['UPPER', '-a', 'a-', 'a_b', '', 'x'.repeat(37), 'a.b', 'a']) {
                try { console.log(new Job(n).name); } catch (e) { console.log(String(e).slice(0, 38)); } }",
            "Error: job name must be lowercase lett
Error: job name must be lowercase lett
Error: job name must be lowercase lett
Error: job name must be lowercase lett
Error: job name must be lowercase lett
Error: job name must be lowercase lett
a.b
a",
        ),
        (
            "try { const j = new Job('bad', 'alpine'); j.volumes = [{ name: 'h', hostPath: { path: '/etc' } }]; await j.run(); }
             catch (e) { console.log('caught', e.message, String(e)); }
             try { const j = new Job('bad2', 'alpine'); j.volumeMounts = [{ name: 'z', mountPath: '/z' }]; await j.run(); }
             catch (e) { console.log('caught', String(e)); }",
            "caught allowHostMounts is false in this project, not mounting /etc Error: allowHostMounts is false in this project, not mounting /etc
caught Error: volume z referenced in volume mount is not defined",
        ),
        (
            "const g = new Group([new Job('a', 'i', ['true'])]); g.add(new Job('b', 'i', ['true']), new Job('c', 'i', ['true']));
             console.log(g.length()); const r = await g.runEach(); console.log(Array.isArray(r), r.length, typeof r[0].data);
             console.log((await Group.runAll([new Job('d', 'i', ['true'])])).length, (await new Group().runAll()).length);",
            "3\ntrue 3 string\n1 0",
        ),
        (
            "const j = new Job('logs', 'i', ['true']); console.log(JSON.stringify(j.podName)); const p = j.run(); console.log(j.podName);
             const r = await p; console.log(r.toString() === r.data, (await j.logs()) === r.data, Object.keys(r));",
            "\"\"\nlogs-ID\ntrue true [ 'data' ]",
        ),
        (
            "class A { constructor() { this.x = 1; } }
             console.log('%s is %d and %i %f %j %o %O %%', 'a', 42, 4.7, 1.5, { a: 1 }, [1], { b: { c: { d: {} } } }, 'extra');
             console.log(new A(), [undefined, null, , 3], Symbol('s'), 10n, -0, [1.5, 'two'], { f() {}, g: class B {}, h: () => 1 });
             console.log([new Date(0)], /re/g, Buffer.from('abc'), new Uint8Array(3), Object.create(null), function named() {});
             console.log([['a', 1], ['b', 2]], { a: [{ b: { c: {} } }] });",
            "a is 42 and 4 1.5 {\"a\":1} [ 1, [length]: 1 ] { b: { c: { d: {} } } } % extra
A { x: 1 } [ undefined, null, <1 empty item>, 3 ] Symbol(s) 10n -0 [ 1.5, 'two' ] { f: [Function: f], g: [class B], h: [Function: h] }
[ 1970-01-01T00:00:00.000Z ] /re/g <Buffer 61 62 63> Uint8Array(3) [ 0, 0, 0 ] [Object: null prototype] {} [Function: named]
[ [ 'a', 1 ], [ 'b', 2 ] ] { a: [ { b: [Object] } ] }",
        ),
        ("console.error('err'); console.info('info'); console.warn('warn'); console.debug('debug')", "err\ninfo\nwarn\ndebug"),
    ] {
        let lines = said(PROJECT, &format!("events.on('exec', async () => {{ {body} }});")).await;
        assert_eq!(lines.join("\n"), expected, "{body}");
    }
}

#[tokio::test]
async fn the_exit_codes_are_brigades() {
    for (body, code) in [
        ("", 0),
        ("events.on('push', () => {});", 0),
        ("events.on('exec', () => {});", 0),
        ("events.on('exec', async () => { try { throw 1 } catch {} });", 0),
        ("events.on('exec', () => { throw new Error('oh'); });", 1),
        ("events.on('exec', async () => { throw new Error('oh'); });", 1),
        ("events.on('exec', async () => { throw 1; }); events.on('error', () => {});", 1),
        ("throw new Error('top');", 1),
        ("const = 1;", 1),
        ("require('./nothing');", 1),
        ("events.on('exec', () => process.exit(7));", 7),
        ("process.exit(3);", 3),
        ("events.on('exec', () => { process.exitCode = 5; });", 5),
    ] {
        let (_, exit_code) = run(PROJECT, event("exec"), body).await;
        assert_eq!(exit_code, code, "{body}");
    }
    assert_eq!(run(PROJECT, event("ping"), "").await.1, 0);
}

#[tokio::test]
async fn after_is_told_whether_the_script_wants_to_fail() {
    for (code, trigger) in [("0", "success"), ("5", "failure"), ("undefined", "success")] {
        let body = format!(
            "events.on('exec', () => {{ process.exitCode = {code}; }});
             events.on('after', (e) => console.log(e.cause.trigger));"
        );
        assert_eq!(said(PROJECT, &body).await, [trigger], "{code}");
    }
}

#[tokio::test]
async fn an_empty_shell_is_the_usual_one() {
    let body = "events.on('exec', () => { const j = new Job('one', 'i', ['a', 'b c']); j.shell = ''; j.run(); });";
    let (world, _) = run(PROJECT, event("exec"), body).await;
    // Brigade runs it with /bin/sh too, but its script begins with an empty #! and goes on after
    // errors.
    assert_eq!(world.key("one", "main.sh").await.unwrap(), "#!/bin/sh\n\nset -e\n\na\nb c");
    let command = world.job_pod("one").await.spec.unwrap().containers[0].command.clone();
    assert_eq!(command.unwrap(), ["/bin/sh", "/hook/main.sh"]);
}

#[tokio::test]
async fn the_workers_lines_are_brigades() {
    let body = "events.on('exec', async () => {
        const j = new Job('one', 'i', ['true']);
        j.cache.enabled = true; j.storage.enabled = true; j.timeout = 5000;
        await j.run(); });";
    let (world, _) = run(PROJECT, event("exec"), body).await;
    let id = id_of(&world).await;
    let lines: Vec<String> = world.printed().iter().map(|line| line.replace(&id, "ID")).collect();
    for line in [
        "[brigade:k8s] Creating Job Cache PVC github-com-acme-app-one",
        "[brigade:k8s] Creating PVC named brigade-worker-ID",
        "[brigade:k8s] Creating secret one-ID",
        "[brigade:k8s] Creating pod one-ID",
        "[brigade:k8s] Timeout set at 5000 milliseconds",
        "[brigade:k8s] default/one-ID phase Succeeded",
        "[brigade:app] destroying storage",
        "[brigade:k8s] Destroying PVC named brigade-worker-ID",
    ] {
        assert!(lines.iter().any(|printed| printed == line), "{line} is not in {lines:#?}");
    }
}
