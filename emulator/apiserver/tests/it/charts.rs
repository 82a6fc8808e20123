//! Charts installed by the machine's helm, and rollouts by its kubectl. What is not on the PATH is
//! skipped, and the test says so.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use apiserver::kubelet::{self, Kubelet, Runtime, Simulate, SimulateOptions, SimulateRule};
use apiserver::logs::Logs;
use apiserver::streams::Streams;
use apiserver::{Options, Server};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// A cluster whose pods named `web…` and `db…` run until they are killed.
struct Session {
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Session {
    async fn start(tool: &str) -> Option<Session> {
        if Command::new(tool).arg("version").arg("--client").output().await.is_err() {
            println!("skipped: there is no {tool} on PATH");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let logs = Logs::new(folder.path().join("logs"));
        let options = Options { logs: Some(logs.clone()), ..Options::default() };
        let server = Server::new(options).expect("a server in memory starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("https://{}", listener.local_addr().expect("it is bound"));
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig("test", &url))
            .expect("a file can be written");
        let stop = CancellationToken::new();
        let rule = |image: &str, never_ends: bool| SimulateRule {
            image: Some(image.to_owned()),
            never_ends,
            ..Default::default()
        };
        let node = kubelet::Options {
            node_name: "simulated".to_owned(),
            root: folder.path().join("pods"),
            streams: Streams::default(),
            logs,
            runtime: Runtime::Simulate(Simulate::new(SimulateOptions {
                rules: vec![rule("web:*", true)],
            })),
            allow_host_paths: false,
            back_off: kubelet::BACK_OFF,
        };
        tokio::spawn(Kubelet::new(server.client(), node).run(stop.clone()));
        let stopped = stop.clone();
        tokio::spawn(async move { server.serve(listener, stopped.cancelled_owned()).await });
        Some(Session { folder, stop })
    }

    async fn output(&self, line: &str) -> Output {
        let mut words = line.split(' ');
        let running = Command::new(words.next().unwrap_or_default())
            .args(words)
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("HOME", self.folder.path())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(Duration::from_secs(120), running)
            .await
            .unwrap_or_else(|_| panic!("{line} takes too long"))
            .expect("the tool runs")
    }

    /// Runs a command that must succeed, and gives what it printed.
    async fn run(&self, line: &str) -> String {
        let output = self.output(line).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {text}{errors}");
        text
    }

    /// Runs a command that must fail, and gives what it complained.
    async fn fail(&self, line: &str) -> String {
        let output = self.output(line).await;
        assert!(!output.status.success(), "{line} must fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let file = Path::new(self.folder.path()).join(name);
        let folder = file.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("a folder can be made");
        std::fs::write(file, text).expect("a file can be written");
    }
}

fn has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_rolls_deployments_out_and_back() {
    let Some(session) = Session::start("kubectl").await else { return };
    let run = async |line: &str| session.run(&format!("kubectl {line}")).await;
    run("create deployment web --image=web:1 --replicas=2").await;
    has(&run("rollout status deployment/web --timeout=60s").await, "successfully rolled out");
    run("set image deployment/web web=web:2").await;
    has(&run("rollout status deployment/web --timeout=60s").await, "successfully rolled out");
    let history = run("rollout history deployment/web").await;
    has(&history, "REVISION");
    assert_eq!(history.lines().filter(|line| line.starts_with(['1', '2'])).count(), 2);
    has(&run("rollout undo deployment/web").await, "rolled back");
    run("rollout status deployment/web --timeout=60s").await;
    let image = "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(run(image).await, "web:1");
    run("scale deployment/web --replicas=4").await;
    run("wait --for=condition=Available deployment/web --timeout=60s").await;
    run("rollout status deployment/web --timeout=60s").await;
    let table = run("get deployment web -o wide").await;
    for part in ["READY", "UP-TO-DATE", "AVAILABLE", "CONTAINERS", "SELECTOR", "4/4", "app=web"] {
        has(&table, part);
    }
    has(&run("get replicasets").await, "DESIRED");
    run("rollout pause deployment/web").await;
    run("set image deployment/web web=web:3").await;
    has(&run("get deployment web -o jsonpath={.status.conditions}").await, "DeploymentPaused");
    run("rollout resume deployment/web").await;
    run("rollout restart deployment/web").await;
    run("rollout status deployment/web --timeout=60s").await;
    assert_eq!(run(image).await, "web:3");
    has(&run("describe deployment web").await, "ScalingReplicaSet");
    run("expose deployment web --port=80").await;
    let address = run("get service web -o jsonpath={.spec.clusterIP}").await;
    assert!(address.starts_with("10."), "{address}");
    run("delete deployment web").await;
    has(&run("wait --for=delete pod -l app=web --timeout=60s").await, "");
}

const CRON: &str = "\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: '0 3 * * *'
  timeZone: Europe/Berlin
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: main, image: 'busybox:1', command: [echo, hi]}]
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_makes_jobs_and_waits_for_them() {
    let Some(session) = Session::start("kubectl").await else { return };
    let run = async |line: &str| session.run(&format!("kubectl {line}")).await;
    session.write("cron.yaml", CRON);
    run("apply -f cron.yaml").await;
    run("create job now --from=cronjob/nightly").await;
    has(&run("wait --for=condition=complete job/now --timeout=60s").await, "condition met");
    let table = run("get jobs -o wide").await;
    for part in ["COMPLETIONS", "DURATION", "1/1", "Complete", "IMAGES"] {
        has(&table, part);
    }
    has(&run("logs job/now").await, "simulated");
    let cron = run("get cronjob nightly").await;
    has(&cron, "Europe/Berlin");
    has(&run("describe job now").await, "Job completed");
    run("delete job now").await;
    has(&session.fail("kubectl get job now").await, "NotFound");
    run("wait --for=delete pod -l job-name=now --timeout=60s").await;
}

const CHART: &[(&str, &str)] = &[
    ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
    ("chart/values.yaml", "image: web:1\nreplicas: 2\n"),
    (
        "chart/templates/all.yaml",
        "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {image: '{{ .Values.image }}'}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}
subjects: [{kind: ServiceAccount, name: web, namespace: '{{ .Release.Namespace }}'}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers: [{name: main, image: '{{ .Values.image }}', envFrom: [{configMapRef: {name: web}}]}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: web}
spec:
  schedule: '@daily'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'busybox:1'}]}}}}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-delete-policy: before-hook-creation}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'busybox:1'}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: check, annotations: {helm.sh/hook: test}}
spec: {restartPolicy: Never, containers: [{name: main, image: 'busybox:1'}]}
",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_upgrades_tests_and_removes_a_chart() {
    let Some(session) = Session::start("helm").await else { return };
    for (name, text) in CHART {
        session.write(name, text);
    }
    let helm = async |line: &str| session.run(&format!("helm {line}")).await;
    helm("install web chart --wait --timeout 60s --namespace blue --create-namespace").await;
    has(&helm("status web --namespace blue").await, "STATUS: deployed");
    helm("upgrade web chart --wait --timeout 60s --namespace blue --set image=web:2,replicas=3")
        .await;
    has(&helm("get manifest web --namespace blue").await, "web:2");
    has(&helm("test web --namespace blue --timeout 60s").await, "Succeeded");
    helm("rollback web 1 --wait --timeout 60s --namespace blue").await;
    let history = helm("history web --namespace blue").await;
    has(&history, "Rollback to 1");
    helm("uninstall web --wait --timeout 60s --namespace blue").await;
    has(&session.fail("helm status web --namespace blue").await, "not found");
}
