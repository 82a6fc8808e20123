//! The charts, by real helm: what they render, and what they refuse.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use expect_test::{ExpectFile, expect, expect_file};
use serde_json::Value;

use super::{infra, printed, refused, root, tool};

/// `helm`, if there is one, with nothing of this machine.
pub(super) fn helm() -> Option<Command> {
    let mut helm = Command::new(tool("helm")?);
    helm.env_remove("KUBECONFIG").env("HELM_NO_PLUGINS", "1");
    Some(helm)
}

/// A chart of ours.
pub(super) fn chart(name: &str) -> PathBuf {
    infra().join("charts").join(name)
}

/// What a chart is with these arguments.
pub(super) fn template(helm: Command, release: &str, name: &str, arguments: &[&str]) -> Command {
    let mut helm = helm;
    helm.args(["template", release]).arg(chart(name)).args(["--namespace", "ci"]).args(arguments);
    helm
}

/// The objects in a stream of YAML.
pub(super) fn objects(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("helm writes YAML");
    all.into_iter().filter(|each| !each.is_null()).collect()
}

#[test]
fn helm_finds_nothing_wrong_with_the_charts() {
    for (name, more) in
        [("brigantine", "rbac.enabled=true"), ("brigantine-project", "project=acme/app")]
    {
        let Some(mut helm) = helm() else { return };
        helm.args(["lint", "--strict", "--set", more]).arg(chart(name));
        assert!(printed(&mut helm).contains("0 chart(s) failed"));
    }
}

#[test]
fn the_charts_are_as_they_were() {
    let full = root().join("tests/infra/full.yaml").display().to_string();
    let demo = root().join("emulator/demo/project.yaml").display().to_string();
    let check = |name, arguments: &[&str], expected: ExpectFile| {
        let Some(helm) = helm() else { return };
        expected.assert_eq(&printed(&mut template(helm, "ship", name, arguments)));
    };
    check("brigantine", &[], expect_file!["../../infra/default.snapshot.yaml"]);
    check("brigantine", &["--values", &full], expect_file!["../../infra/full.snapshot.yaml"]);
    check(
        "brigantine-project",
        &["--values", &demo],
        expect_file!["../../infra/project.snapshot.yaml"],
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_way_out() {
    let mut told = String::new();
    for value in [
        "controller.enabled=true",
        "api.enabled=true",
        "kashti.enabled=true",
        "gw.enabled=true",
        "worker.command=yarn",
        "vacuum.tag=v1.5.0",
        "cr.name=brigade-cr-gateway",
        "genericGateway.serviceAccount.name=x",
        "brigade-github-app.livenessProbe.periodSeconds=1",
        "functions.settings.APP_KEY=x",
        "functions.settings.CHECK_TOKEN=x",
        "functions.settings.HTTPS_PROXY=http://me:password@proxy:3128",
        "secrets.APP_ID=1",
        "nonsense=1",
        "functions.replicas=many",
        "ingress.enabled=true",
        "serviceMonitor.enabled=true,functions.settings.METRICS=on",
        "functions.settings.log=debug",
    ] {
        let Some(helm) = helm() else { return };
        let error = refused(&mut template(helm, "ship", "brigantine", &["--set", value]));
        let line = error.lines().rfind(|line| !line.is_empty() && !line.starts_with("Use --debug"));
        let line = line.unwrap_or_default();
        let reason = line.split_once(": ").filter(|_| line.starts_with("Error: ex"));
        let reason = reason.and_then(|(_, rest)| rest.split_once(": ")).map_or(line, |it| it.1);
        told += &format!("{value}\n    {reason}\n");
    }
    expect![[r#"
        controller.enabled=true
            controller cannot be honoured: there is no controller: functions start builds; resources of workers are a LimitRange's
        api.enabled=true
            api.enabled cannot be honoured: there is no brigade-api: brig, kubectl and Kubernetes' own API tell of builds; set it to false
        kashti.enabled=true
            kashti.enabled cannot be honoured: there is no dashboard in the cluster; set it to false
        gw.enabled=true
            gw.enabled cannot be honoured: the OAuth gateway is gone; brigade-github-app.enabled serves the same URL, /events/github
        worker.command=yarn
            worker.command cannot be honoured: set workerCommand in the project's values
        vacuum.tag=v1.5.0
            vacuum.tag cannot be honoured: it is swept by the worker's image: image.registry and image.tag
        cr.name=brigade-cr-gateway
            cr.name cannot be honoured: the functions have one image: image.registry and image.tag
        genericGateway.serviceAccount.name=x
            genericGateway.serviceAccount cannot be honoured: the functions have one service account: functions.serviceAccount
        brigade-github-app.livenessProbe.periodSeconds=1
            brigade-github-app.livenessProbe cannot be honoured: the functions have their own probes
        functions.settings.APP_KEY=x
            functions.settings.APP_KEY is secret, and settings are written into the Deployment for all to see: put it into a Secret of yours that secrets.existing names, or give it by functions.environment, or use secrets.APP_KEY
        functions.settings.CHECK_TOKEN=x
            functions.settings.CHECK_TOKEN is secret, and settings are written into the Deployment for all to see: put it into a Secret of yours that secrets.existing names, or give it by functions.environment
        functions.settings.HTTPS_PROXY=http://me:password@proxy:3128
            functions.settings.HTTPS_PROXY is secret, and settings are written into the Deployment for all to see: put it into a Secret of yours that secrets.existing names, or give it by functions.environment
        secrets.APP_ID=1
            a GitHub App needs both secrets.APP_ID and secrets.APP_KEY (brigade-github-app.github.appID and .key)
        nonsense=1
            - at '': additional properties 'nonsense' not allowed
        functions.replicas=many
            - at '/functions/replicas': got string, want integer
        ingress.enabled=true
            an Ingress needs a host: set ingress.hosts
        serviceMonitor.enabled=true,functions.settings.METRICS=on
            serviceMonitor.enabled needs metrics at an address of their own, which functions.settings.METRICS=on does not have: leave it out, or name one such as 0.0.0.0:9090
        functions.settings.log=debug
              - at '': 'log' does not match pattern '^[A-Z][A-Z0-9_]*$'
    "#]].assert_eq(&told);
}

#[test]
fn metrics_are_served_where_they_are_scraped_and_nowhere_else() {
    let Some(helm) = helm() else { return };
    let port = "serviceMonitor.enabled=true,functions.settings.METRICS=0.0.0.0:9191";
    let more = ["--set", port, "--set", "functions.service.type=LoadBalancer"];
    let all = objects(&printed(&mut template(helm, "ship", "brigantine", &more)));
    let find = |kind: &str, name: &str| {
        all.iter().find(|each| each["kind"] == kind && each["metadata"]["name"] == name).unwrap()
    };
    let pod = &find("Deployment", "ship-brigantine")["spec"]["template"];
    let service = find("Service", "ship-brigantine-metrics");
    let monitor = &find("ServiceMonitor", "ship-brigantine")["spec"];
    assert_eq!(pod["spec"]["containers"][0]["ports"][1]["containerPort"], 9191);
    assert_eq!(service["spec"]["ports"][0]["port"], 9191);
    assert_eq!(service["spec"]["type"], "ClusterIP");
    for (selector, labels) in [
        (&service["spec"]["selector"], &pod["metadata"]["labels"]),
        (&monitor["selector"]["matchLabels"], &service["metadata"]["labels"]),
    ] {
        for (name, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[name], value, "{name}");
        }
    }
    assert_eq!(monitor["endpoints"][0]["port"], "metrics");
    let public = &find("Service", "ship-brigantine")["spec"]["ports"];
    assert_eq!(public.as_array().unwrap().len(), 1, "the load balancer serves them, too");
    assert_ne!(
        monitor["selector"]["matchLabels"]["app.kubernetes.io/component"],
        find("Service", "ship-brigantine")["metadata"]["labels"]["app.kubernetes.io/component"]
    );
    let policy = &find("NetworkPolicy", "ship-brigantine-functions")["spec"]["ingress"][1];
    assert_eq!(policy["ports"][0]["port"], "metrics");
    assert_eq!(policy["from"][0].to_string(), r#"{"namespaceSelector":{}}"#);
}

#[test]
fn every_setting_that_is_secret_is_refused_where_all_see_it() {
    let mut secret = BTreeSet::new();
    let source = root().join("runtime/src");
    for file in ["settings.rs", "settings/cluster.rs", "settings/host.rs", "settings/telemetry.rs"]
    {
        let text = fs::read_to_string(source.join(file)).unwrap();
        let mut comment = String::new();
        for line in text.lines().map(str::trim) {
            match line.strip_prefix("///") {
                Some(words) => comment += words,
                None => {
                    let said = std::mem::take(&mut comment);
                    let is_field = line.starts_with("pub ") && line.ends_with(',');
                    if !is_field || !line.contains("SecretString") {
                        continue;
                    }
                    let (names, _) = said.split_once("`: ").expect("its variable is named");
                    let names = names.split('`').skip(1).step_by(2);
                    // Files are not secret, only what is in them.
                    let names = names.filter(|name| !name.ends_with("_FILE"));
                    let names = names.filter(|name| name.bytes().all(|b| !b.is_ascii_lowercase()));
                    secret.extend(names.map(str::to_owned));
                }
            }
        }
    }
    let helpers = chart("brigantine").join("templates/_helpers.tpl");
    let helpers = fs::read_to_string(helpers).unwrap();
    let (_, listed) = helpers.split_once("define \"secretSettings\" -}}\n").unwrap();
    let listed = listed.lines().next().unwrap().split(' ').map(str::to_owned);
    assert_eq!(listed.collect::<BTreeSet<_>>(), secret);
    let Some(helm) = helm() else { return };
    let open = ["--set", "functions.settings.HTTPS_PROXY=http://proxy:3128"];
    assert!(printed(&mut template(helm, "ship", "brigantine", &open)).contains("http://proxy"));
}

#[test]
fn a_gateway_of_brigades_that_is_switched_off_is_not_served() {
    let known: Vec<&str> = functions::Function::ALL.iter().map(|each| each.name()).collect();
    for (value, without) in [
        ("cr.enabled=false", &["registry"][..]),
        ("genericGateway.enabled=false", &["generic", "cloudevents"]),
        ("brigade-github-app.enabled=false", &["github"]),
    ] {
        let Some(helm) = helm() else { return };
        let text = printed(&mut template(helm, "ship", "brigantine", &["--set", value]));
        let line = text.lines().find(|line| line.contains("name: FUNCTIONS"));
        let served = line.and_then(|line| line.split('"').nth(1)).unwrap_or_default();
        let wanted: Vec<&str> =
            known.iter().copied().filter(|name| !without.contains(name)).collect();
        assert_eq!(served.split(',').collect::<Vec<_>>(), wanted, "{value}");
    }
}
