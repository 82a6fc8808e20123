//! The templates for AWS and Azure, and the manifests for Knative and kind, by whatever real tool
//! there is, and otherwise by what their programs need.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::charts::{helm, objects, template};
use super::{infra, printed, root, tool};
use crate::deliveries;

fn text(name: &str) -> String {
    fs::read_to_string(infra().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn cfn_lint_finds_nothing_wrong_with_the_template() {
    let Some(cfn_lint) = tool("cfn-lint") else { return };
    let mut command = Command::new(cfn_lint);
    // Nothing is fetched: the rules that it brings are those that are tried.
    printed(command.arg("--template").arg(infra().join("aws/template.yaml")));
}

#[test]
fn nothing_is_asked_of_the_parameters_that_cloudformation_refuses() {
    // `Rules` may have no functions but their own, which cfn-lint does not know.
    let template = text("aws/template.yaml");
    let rules = template.split("\nRules:\n").nth(1).unwrap_or_default();
    let rules = rules.split("\nResources:\n").next().unwrap_or_default();
    for function in ["!Join", "!Sub", "!Select", "!If", "Fn::Join", "Fn::Sub"] {
        assert!(!rules.contains(function), "{function} is in a rule");
    }
    // An account that is new has nothing to set aside.
    assert!(template.contains("ReservedConcurrentExecutions: !If [HasShare,"));
}

#[test]
fn what_a_timer_has_swept_is_deleted_by_age_as_the_chart_has_it() {
    let values = serde_saphyr::from_str::<Value>(&text("charts/brigantine/values.yaml")).unwrap();
    let age = values["vacuum"]["age"].as_str().unwrap();
    let aws = text("aws/template.yaml");
    let parameter = aws.split("  BuildAge:\n").nth(1).unwrap();
    assert!(parameter.split("Default: ").nth(1).unwrap().starts_with(&format!("{age}\n")));
    assert!(aws.contains("VACUUM_AGE: !If [HasAge, !Ref BuildAge, !Ref AWS::NoValue]"));
    let azure = text("azure/main.bicep");
    assert!(azure.contains(&format!("param buildAge string = '{age}'\n")));
    assert!(azure.contains("{ name: 'VACUUM_AGE', value: buildAge }"));
}

#[test]
fn the_functions_on_aws_may_do_nothing_but_find_the_cluster_and_log() {
    // The short forms are tags, of which only what they are about matters here.
    let template = text("aws/template.yaml");
    let actions = template.lines().filter_map(|line| line.trim().strip_prefix("Action: "));
    let mut actions: Vec<&str> = actions.collect();
    actions.sort_unstable();
    assert_eq!(
        actions,
        [
            "[logs:CreateLogStream, logs:PutLogEvents]",
            "eks:DescribeCluster",
            "lambda:InvokeFunction",
            "lambda:InvokeFunction",
            "lambda:InvokeFunction",
            "lambda:InvokeFunctionUrl",
            "sts:AssumeRole",
        ]
    );
    assert!(!template.contains("Resource: \"*\""), "a right has no bounds");
}

#[test]
fn the_bicep_files_are_understood() {
    let (bicep, files) = (tool_of_bicep(), ["main.bicep", "cluster.bicep"]);
    for file in files {
        let path = infra().join("azure").join(file);
        if let Some(bicep) = &bicep {
            printed(Command::new(bicep).args(["build", "--stdout"]).arg(&path));
        }
        let Some(python) = parser_of_bicep() else { continue };
        let script = root().join("tests/infra/bicep.py");
        printed(Command::new(python).arg(script).arg(&path));
    }
}

/// The compiler, which no package registry has: it is used where it is.
fn tool_of_bicep() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("bicep"));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: there is no bicep, so that types of resources are not checked");
    }
    found
}

/// A Python with a grammar of Bicep.
fn parser_of_bicep() -> Option<PathBuf> {
    let installed = root().join("target/clients/infra/bin/python");
    if installed.is_file() {
        return Some(installed);
    }
    #[expect(clippy::disallowed_methods, reason = "it says what must be installed")]
    let all = std::env::var("BRIGANTINE_TOOLS").is_ok();
    assert!(!all, "BRIGANTINE_TOOLS is set, and there is no {}", installed.display());
    println!("skipped: there is no grammar of Bicep");
    None
}

#[test]
fn the_function_app_has_a_function_for_each_trigger() {
    let host = json("azure/app/host.json");
    assert_eq!(host["version"], "2.0");
    let handler = &host["customHandler"];
    assert_eq!(handler["description"]["defaultExecutablePath"], "handler");
    // The one is the other's name in newer hosts.
    assert_eq!(handler["enableForwardingHttpRequest"], true);
    assert_eq!(handler["enableProxyingHttpRequest"], true);
    // Without a prefix, a client's path could be that of a trigger.
    assert_eq!(host["extensions"]["http"]["routePrefix"], "api");
    let folders = fs::read_dir(infra().join("azure/app")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut triggers = BTreeSet::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let function = json(&format!("azure/app/{name}/function.json"));
        let bindings = function["bindings"].as_array().unwrap();
        triggers.insert(bindings[0]["type"].as_str().unwrap().to_owned());
        // Requests are only passed on as they were sent to a function with one of each.
        let http = bindings[0]["type"] == "httpTrigger";
        assert_eq!(bindings.len(), if http { 2 } else { 1 }, "{name}");
        if http {
            assert_eq!(bindings[0]["route"], "{*path}");
            assert_eq!(bindings[0]["authLevel"], "anonymous");
            let methods = bindings[0]["methods"].to_string();
            assert!(methods.contains("options"), "CloudEvents' handshake needs OPTIONS");
        }
    }
    let wanted = ["eventGridTrigger", "httpTrigger", "timerTrigger"].map(str::to_owned);
    assert_eq!(triggers, BTreeSet::from(wanted));
    let script = text("azure/package");
    assert!(script.contains("\"$folder/handler\""), "the program has another name");
}

#[test]
fn every_setting_that_is_given_is_one() {
    // Their table is made of these files.
    let source = root().join("runtime/src");
    let mut table = fs::read_to_string(source.join("settings.rs")).unwrap();
    for entry in fs::read_dir(source.join("settings")).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            table += &fs::read_to_string(file).unwrap();
        }
    }
    let known = |name: &str| table.contains(&format!("`{name}`"));
    let mut names = BTreeSet::new();
    let full = root().join("tests/infra/full.yaml").display().to_string();
    if let Some(helm) = helm() {
        let text = printed(&mut template(helm, "ship", "brigantine", &["--values", &full]));
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("- {name: "));
        let variables = lines.filter_map(|line| line.split_once(", value: "));
        names.extend(variables.map(|(name, _)| name.to_owned()));
    }
    let knative = objects(&text("knative/service.yaml"));
    let container = &knative[0]["spec"]["template"]["spec"]["containers"][0];
    let listed = container["env"].as_array().unwrap().iter();
    names.extend(listed.map(|each| each["name"].as_str().unwrap().to_owned()));
    let template = text("aws/template.yaml");
    let variables = template.split("Variables:\n").nth(1).unwrap();
    let variables = variables.lines().take_while(|line| line.starts_with("          "));
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let variables = variables.filter_map(|line| line.trim().split(':').next());
    names.extend(variables.filter(is_name).filter(|name| !name.is_empty()).map(str::to_owned));
    let bicep = text("azure/main.bicep");
    let settings = bicep.split("{ name: '").skip(1).filter_map(|rest| rest.split('\'').next());
    // What is the host's own, or a timer's.
    let own = |name: &&str| !name.starts_with("AzureWebJobs") && !name.starts_with("APPLICATION");
    let own = settings.filter(is_name).filter(own).filter(|name| *name != "SWEEP_SCHEDULE");
    names.extend(own.map(str::to_owned));
    assert!(names.len() > 4, "{names:?}");
    for name in &names {
        assert!(known(name), "{name} is no setting");
    }
}

#[test]
fn the_manifests_are_what_kubernetes_and_knative_take() {
    for (file, kinds) in [
        ("knative/service.yaml", &["Service"][..]),
        ("knative/domain.yaml", &["DomainMapping"]),
        ("knative/eventing.yaml", &["Trigger", "PingSource"]),
        ("kind.yaml", &["Cluster"]),
    ] {
        let found = objects(&text(file));
        let found: Vec<&str> = found.iter().filter_map(|each| each["kind"].as_str()).collect();
        assert_eq!(found, kinds, "{file}");
    }
    let service = &objects(&text("knative/service.yaml"))[0];
    let spec = &service["spec"]["template"]["spec"];
    // What Knative's webhook refuses: more than one port, and a name but h2c and http1.
    assert_eq!(spec["containers"][0]["ports"].to_string(), r#"[{"containerPort":8080}]"#);
    assert_eq!(spec["serviceAccountName"], "brigantine-functions");
    // What else of a pod it refuses, unless its features say otherwise.
    let of_revisions = ["containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds"];
    let of_pods = ["serviceAccountName", "containers", "volumes", "imagePullSecrets"];
    for name in spec.as_object().unwrap().keys().map(String::as_str) {
        let taken = of_revisions.contains(&name) || of_pods.contains(&name);
        assert!(taken || name == "enableServiceLinks", "Knative refuses {name} of a pod");
    }
    let security = &spec["containers"][0]["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_knative_delivers_is_built() {
    let emulator = deliveries::start().await;
    let project = &emulator.folders[0].project;
    let manifest = text("knative/eventing.yaml");
    let client = emulator::replay::client().unwrap();
    let addresses: Vec<&str> =
        manifest.lines().filter_map(|line| line.trim().strip_prefix("uri: ")).collect();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for (number, address) in addresses.into_iter().enumerate() {
        let path = address.replace("acme/app", &project.name).replace("TOKEN", "onlyForTests");
        let request = client
            .post(emulator.functions.join(&path).unwrap())
            .header("ce-specversion", "1.0")
            .header("ce-type", "com.example.image.pushed")
            .header("ce-source", "/images")
            .header("ce-id", number.to_string())
            .header("content-type", "application/json")
            .body("{}");
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{address}: {status}");
    }
    emulator.stop().await;
}
